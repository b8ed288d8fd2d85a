#include "base/rocksdb_log.hpp"

#include "base/crc32c.hpp"
#include "base/little_endian.hpp"
#include "base/rocksdb_status.hpp"
#include "datamesh/base/file_system.hpp"

#include <rocksdb/file_system.h>

#include <algorithm>
#include <optional>

namespace datamesh {

namespace {

constexpr size_t block_size = 32 << 10;
constexpr size_t head_size = 7; ///< CRC, length, type.
constexpr size_t claim_at = 12; ///< Behind a batch's sequence and count.
constexpr std::byte log_data{0x03};

enum class piece_kind : uint8_t { full = 1, first = 2, middle = 3, last = 4 };

struct piece {
  piece_kind kind;
  byte_view payload;
};

uint32_t masked(uint32_t crc) noexcept {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/// The piece of a record that *rest* of a block starts with.
std::optional<piece> parse_piece(byte_view rest) {
  if (rest.size() < head_size)
    return std::nullopt;
  auto length = load_le<uint16_t>(rest.subspan(4));
  auto kind = static_cast<uint8_t>(rest[6]);
  if (kind < 1 || kind > 4 || length > rest.size() - head_size)
    return std::nullopt;
  if (load_le<uint32_t>(rest) != masked(crc32c(rest.subspan(6, 1 + length))))
    return std::nullopt;
  return piece{static_cast<piece_kind>(kind), rest.subspan(head_size, length)};
}

/// Puts pieces together to as much of a batch as holds its claim.
class claim_reader {
public:
  explicit claim_reader(log_claims& into) : into_(into) {}

  void take(const piece& next) {
    auto begins = next.kind == piece_kind::full || next.kind == piece_kind::first;
    auto ends = next.kind == piece_kind::full || next.kind == piece_kind::last;
    if (begins)
      start_.clear();
    into_.damaged |= begins == open_;
    open_ = !ends;
    auto wanted = std::min(next.payload.size(), claim_end - start_.size());
    start_.insert(start_.end(), next.payload.begin(), next.payload.begin() + static_cast<ptrdiff_t>(wanted));
    if (ends && start_.size() == claim_end && start_[claim_at] == log_data && start_[claim_at + 1] == std::byte{8})
      into_.durable = std::max(into_.durable, load_le<uint64_t>(byte_view{start_}.subspan(claim_at + 2)));
  }

  /// The pieces so far lead nowhere.
  void drop() {
    into_.damaged = true;
    open_ = false;
    start_.clear();
  }

  [[nodiscard]] bool open() const noexcept {
    return open_;
  }

private:
  static constexpr size_t claim_end = claim_at + 2 + 8;
  log_claims& into_;
  std::vector<std::byte> start_;
  bool open_ = false;
};

void read_log(byte_view content, log_claims& into) {
  claim_reader reader{into};
  for (size_t block = 0; block < content.size(); block += block_size) {
    auto rest = content.subspan(block, std::min(block_size, content.size() - block));
    // What is shorter than a head at the end of a block is padding.
    while (rest.size() >= head_size || (!rest.empty() && block + block_size > content.size())) {
      if (auto next = parse_piece(rest)) {
        reader.take(*next);
        rest = rest.subspan(head_size + next->payload.size());
      } else {
        reader.drop();
        rest = rest.subspan(1);
      }
    }
  }
  into.damaged |= reader.open();
}

result<std::vector<std::byte>> read_file(rocksdb::FileSystem& files, const std::string& path) {
  constexpr size_t step = 64 << 10;
  std::vector<std::byte> content;
  std::unique_ptr<rocksdb::FSSequentialFile> file;
  auto status = files.NewSequentialFile(path, {}, &file, nullptr);
  for (auto more = status.ok(); more;) {
    auto before = content.size();
    content.resize(before + step);
    auto room = reinterpret_cast<char*>(content.data() + before);
    rocksdb::Slice got;
    status = file->Read(step, {}, &got, room, nullptr);
    if (status.ok() && got.data() != room)
      std::copy_n(got.data(), got.size(), room);
    content.resize(before + (status.ok() ? got.size() : 0));
    more = content.size() > before;
  }
  if (!status.ok())
    return fail(from_rocksdb(status, "read the log of an ordered store", path));
  return content;
}

} // namespace

std::string durable_claim(uint64_t sequence) {
  std::string claim(8, '\0');
  store_le(std::as_writable_bytes(std::span{claim}), sequence);
  return claim;
}

result<log_claims> read_log_claims(rocksdb::FileSystem& files, const std::string& folder) {
  std::vector<std::string> names;
  if (auto status = files.GetChildren(folder, {}, &names, nullptr); !status.ok())
    return fail(from_rocksdb(status, "list ordered store", folder));
  log_claims claims;
  for (const auto& name : names) {
    if (!name.ends_with(".log"))
      continue;
    auto content = read_file(files, join_path(folder, name));
    if (!content)
      return fail(std::move(content.error()));
    read_log(*content, claims);
  }
  return claims;
}

} // namespace datamesh
