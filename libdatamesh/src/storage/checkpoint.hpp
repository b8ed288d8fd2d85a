// A checkpoint: the fold of all operations that a catalog knows, in parts that are
// sealed like batches of operations and travel in packs. A catalog that is made from
// it, and from the operations that it does not cover, is the one that is made from all
// operations. Format: docs/formats/checkpoint.md.
//
// A part holds about 1 MiB of rows, so memory depends neither for the writer nor for
// the reader on how much there is.
#pragma once

#include "storage/compressor.hpp"
#include "storage/device_log.hpp"
#include "storage/fold.hpp"

#include "crypto/hash.hpp"

#include <map>
#include <set>

namespace datamesh::storage {

inline constexpr size_t checkpoint_part_size = 1 << 20;       ///< Rows in a part, about; never above by more than a row.
inline constexpr uint32_t checkpoint_rows_max = 4 << 20;      ///< Encoded rows of a part that are believed.
inline constexpr size_t checkpoint_encoded_max = 6 << 20;     ///< An encoded part that is believed.
inline constexpr uint64_t checkpoint_parts_max = 1u << 20;    ///< Parts of one checkpoint.
inline constexpr uint64_t checkpoint_number_max = 1ull << 43; ///< Above every number.
inline constexpr size_t checkpoints_kept = 2;

/// Which checkpoint, and which of its parts, an entry of a pack's table holds.
struct checkpoint_place {
  uint64_t number = 0; ///< Random; from 1.
  uint64_t part = 0;   ///< From 0.

  [[nodiscard]] uint64_t sequence() const noexcept {
    return number * checkpoint_parts_max + part;
  }
  /// Nothing for batches of operations and for what no writer makes.
  [[nodiscard]] static std::optional<checkpoint_place> of(const operations_entry& entry) noexcept;
};

/// What a checkpoint covers: the first thing in each of its parts.
struct checkpoint_header {
  int64_t created_ns = 0;
  uint64_t lamport = 0;    ///< The highest.
  uint64_t operations = 0; ///< How many.
  op_order last_move;
  std::map<device_id, device_log> devices;

  [[nodiscard]] bool covers(const device_id& device, uint64_t first, uint64_t last) const;
  /// True when every operation that *other* covers is covered here, too.
  [[nodiscard]] bool covers(const checkpoint_header& other) const;
  /// How many operations it covers that *other* does not.
  [[nodiscard]] uint64_t count_beyond(const checkpoint_header& other) const;
};

/// What a catalog with these rows knows; `not_found` where it has no operation yet.
[[nodiscard]] result<checkpoint_header> known_by(const ordered_view& rows);

struct checkpoint_trailer {
  uint32_t parts = 0; ///< The last one included.
  uint64_t rows = 0;
  digest before; ///< BLAKE3 of all encoded parts before the last.
};

struct checkpoint_part {
  checkpoint_header header; ///< The same in all.
  uint32_t number = 0;      ///< From 0.
  std::vector<std::pair<std::string, std::string>> rows;
  std::optional<checkpoint_trailer> trailer; ///< In the last, which may be the first.
};

[[nodiscard]] std::string encode(const checkpoint_part& part, compressor& packer);

/// `format_newer` for one of a later version, `format_damaged` for what no writer makes.
[[nodiscard]] result<checkpoint_part> decode_checkpoint_part(std::string_view encoded, compressor& packer);

/// Draws the parts of a checkpoint from the rows of a catalog.
class checkpoint_writer {
public:
  /// *part_size*: bytes of rows that a part is closed at.
  checkpoint_writer(std::unique_ptr<ordered_view> rows, int64_t now_ns, size_t part_size = checkpoint_part_size);

  /// The next part, encoded; nothing behind the last. `not_found` where there is no
  /// operation yet, `capacity_exceeded` for more than *checkpoint_parts_max* parts.
  [[nodiscard]] result<std::optional<std::string>> next();

  /// Operations that it covers; known once the first part is drawn.
  [[nodiscard]] uint64_t operations() const noexcept {
    return header_.operations;
  }

private:
  [[nodiscard]] result<void> fill(checkpoint_part& part);

  std::unique_ptr<ordered_view> rows_;
  int64_t now_ns_;
  size_t part_size_;
  compressor packer_;
  crypto::hasher hasher_;
  size_t kind_ = 0;  ///< Of rows, that come next.
  std::string from_; ///< Key that comes next.
  uint32_t parts_ = 0;
  uint64_t rows_count_ = 0;
  checkpoint_header header_;
  bool done_ = false;
};

/// Holds the parts of a checkpoint to each other: all there, once, in order.
class checkpoint_reader {
public:
  /// *encoded* is the next part. `format_damaged` when it can not be, and then for
  /// every further one.
  [[nodiscard]] result<checkpoint_part> next(std::string_view encoded);

  /// True when the last part was there.
  [[nodiscard]] bool whole() const noexcept {
    return whole_;
  }
  /// @pre one part was good
  [[nodiscard]] const checkpoint_header& header() const {
    return *header_;
  }

private:
  compressor packer_;
  crypto::hasher hasher_;
  std::optional<checkpoint_header> header_;
  uint64_t parts_ = 0;
  uint64_t rows_ = 0;
  bool whole_ = false;
  bool broken_ = false;
};

/// Takes encoded parts into a fold, the first one into a fold without operations:
/// else `conflict`. What they say in common was held together by a reader before.
[[nodiscard]] result<void> import_checkpoint(fold& into, const std::vector<std::string>& parts);

/// Where a checkpoint lies: every copy of every part that was found.
struct found_checkpoint {
  uint64_t number = 0;
  device_id device;
  space_id space;
  std::map<uint64_t, std::vector<std::pair<pack_id, operations_entry>>> parts; ///< By part.
};

/// Notes the parts that a pack holds.
void find_parts(const pack_id& pack, const pack_table& table, std::vector<found_checkpoint>& found);

/// All checkpoints in the packs of a catalog, whole or not.
[[nodiscard]] result<std::vector<found_checkpoint>> find_checkpoints(const catalog& names);

/// A checkpoint of which every part was read and is good.
struct good_checkpoint {
  uint64_t number = 0;
  checkpoint_header header;
};

/// One that can not be read whole: damaged, or its writer was interrupted.
struct broken_checkpoint {
  uint64_t number = 0;
  std::optional<checkpoint_header> header; ///< Where one of its parts is good.
};

/// What cleanup may leave behind, by the checkpoints that can be read.
struct checkpoint_cover {
  std::vector<good_checkpoint> kept; ///< The newest two at most; each covers the one behind it.
  std::set<uint64_t> superseded;     ///< Checkpoints that go.

  /// False until there are two to fall back to: nothing goes before.
  [[nodiscard]] bool ready() const noexcept {
    return kept.size() == checkpoints_kept;
  }
  /// True for a batch that all kept checkpoints cover, or a part of a superseded one.
  [[nodiscard]] bool drops(const operations_entry& entry) const;
};

/// Nothing goes where one does not cover all that an older or a broken one does: then
/// several devices write, and their checkpoints would have to be joined, or the catalog
/// misses what the broken one knew; nor where hash links of a device are broken.
[[nodiscard]] checkpoint_cover choose_cover(std::vector<good_checkpoint> good, const std::vector<broken_checkpoint>& broken);

/// True when one should be written: 10,000 operations came since the last, or some came
/// and it is 24 hours old. A large catalog is not written over and over: so many as an
/// eighth of its versions must have come in the first case, a hundredth in the second.
/// *since_ns* is the time of the last one; without one that of the oldest pack.
[[nodiscard]] bool checkpoint_due(const catalog_totals& totals, const std::optional<checkpoint_note>& last, int64_t since_ns,
                                  int64_t now_ns);

} // namespace datamesh::storage
