// Which drives take the shards of a pack. Weighted rendezvous hashing (Thaler and
// Ravishankar 1998; weights as in Schindelhauer and Schomaker 2005): a drive's
// share follows its free space, and adding one moves no more than its share.
//
// Drives lie in domains that may go at once: a zone, an operator's nodes, a node. From the highest
// level down, as few shards of a pack as can be go to one domain of a level, where no more than m do:
// then the loss of any of its domains is survived. Where there are k+m of them that is one each. A level
// of which the loss of a domain could not be survived in any case does not count. Inside of that the
// weights choose; as long as domains of a level lie within such of a higher one, what they choose is
// the heaviest set that there is.
#pragma once

#include "datamesh/base/ids.hpp"
#include "datamesh/base/result.hpp"
#include "storage/shard_store.hpp"

#include <array>
#include <span>
#include <vector>

namespace datamesh::storage {

/// Level of the domains that the shards of one pack are kept apart by.
enum class domain_level : uint8_t { block = 0, drive = 1 };

struct policy {
  uint8_t k = 0;
  uint8_t m = 0;
  domain_level level = domain_level::drive;

  /// k + 1 shards, or k when m is at most 1: fewer durable shards fail a put.
  [[nodiscard]] uint8_t shards_min() const noexcept {
    return m > 1 ? static_cast<uint8_t>(k + 1) : k;
  }
  friend bool operator==(const policy&, const policy&) = default;
};

/// One drive 10+2 at level block, two 1+1, three 2+1, four or five 2+2, six and
/// more 4+2. @pre `drive_count > 0`
[[nodiscard]] policy policy_for(size_t drive_count) noexcept;

/// Parses "4+2". `policy_invalid` for what is not k+m with 1 <= k, k+m <= 128.
[[nodiscard]] result<policy> parse_policy(std::string_view text);

[[nodiscard]] std::string to_string(const policy& p);

/// Drives that may be lost for good without loss of data, when each has at most one shard
/// of a pack; 0 at level block.
[[nodiscard]] uint8_t drive_losses_survived(const policy& p) noexcept;

enum class label_level : uint8_t { zone = 0, operated_by = 1, node = 2 };
inline constexpr size_t label_levels = 3;
/// By `label_level`; equal texts are one domain.
using drive_domains = std::array<std::string, label_levels>;

/// Where nobody said what zone or operator a drive is of, its domain of that level is the one below.
/// @param node that the drive is of; empty: this one
[[nodiscard]] drive_domains domains_of(std::string_view region, std::string_view zone, std::string_view operated_by, std::string_view node);

struct drive_candidate {
  drive_id id;
  drive_state state = drive_state::ok;
  uint64_t bytes_free = 0; ///< Above the drive's reserve.
  bool read_only = false;  ///< Takes no shard, whatever is free.
  double trust = 1;        ///< Its share is as much less.
  drive_domains domains{};
  bool allowed = true; ///< By the placement rule; else it takes none, either.
};

/// The drive of each shard, by shard index. At level drive all differ, and domains do as said above; drives that
/// are not ok, not allowed, read-only or lack room for *shard_bytes* are left out, and the tail of the answer
/// is empty (nullopt) where drives run short. At level block shards share drives
/// evenly as far as each has room. Deterministic: *seed* (the pack id) and the drives
/// decide, not their order. When fewer than *shards_min* can be placed, `read_only` if the
/// drives that are would be enough with the others, `drive_full` if room is what lacks, `rule_leaves_too_few` if those that are not
/// allowed would be enough with the others, else `too_few_drives`. `policy_invalid` for k = 0
/// or k+m > 128. A new drive takes the place of one drive of a pack, so at most one shard of it has to move; which index lies where among
/// the drives that stay is of no matter. One in a domain that was not there may move more, where shards come further apart. @pre Ids
/// differ.
[[nodiscard]] result<std::vector<std::optional<drive_id>>> place(std::span<const drive_candidate> drives, const policy& how, byte_view seed,
                                                                 uint64_t shard_bytes);

/// Whether *placed* shards would be enough with those that *read_only* drives do not take.
[[nodiscard]] bool enough_if_written(const policy& how, size_t placed, size_t read_only) noexcept;

/// One drive for a single shard that is to be rebuilt or moved: the next best by the
/// order of `place`. Drives in *taken* hold shards of the pack, named once a shard:
/// at level drive they are left out, at level block the drive with the fewest wins. One that is
/// not in *drives* counts for nothing, any other one with its domains, whatever its state.
[[nodiscard]] std::optional<drive_id> place_one(std::span<const drive_candidate> drives, std::span<const drive_id> taken, const policy& how,
                                                byte_view seed, uint64_t shard_bytes);

/// A shard of the pack that lies on the drives *placed* (zero: nowhere), which would be further from
/// the others where `place_one` puts it: the lightest in a domain that has more than it should. None
/// where no move helps, and at level block. Moved one by one, each makes the excess of a level less and
/// that of no higher one more, so that there are no more of them than shards in excess.
/// Only what lies on drives that are ok, allowed and not read-only is moved.
[[nodiscard]] std::optional<size_t> too_close(std::span<const drive_candidate> drives, std::span<const drive_id> placed, const policy& how,
                                              byte_view seed, uint64_t shard_bytes);

/// Whether shards of that pack are closer to each other once that number *index* is on *to*.
[[nodiscard]] bool comes_closer(std::span<const drive_candidate> drives, std::span<const drive_id> placed, size_t index, const drive_id& to,
                                const policy& how, uint64_t shard_bytes);

} // namespace datamesh::storage
