// Shards on their way in from other nodes. They are in memory until they are whole, each
// block checked when it comes; so what is cut short leaves nothing. docs/formats/ticket.md.
//
// Not thread-safe.
#pragma once

#include "base/buffer_pool.hpp"
#include "network/shard_message.hpp"

#include <map>

namespace datamesh::network {

struct intake_limits {
  /// Bytes of all shards that are on their way, and of those of one peer.
  size_t bytes_max = 64 << 20;
  size_t peer_bytes_max = 32 << 20;
  /// Uploads of all peers, and of one.
  size_t uploads_max = 256;
  size_t peer_uploads_max = 16;
  /// An upload of which nothing came for so long is dropped.
  std::chrono::milliseconds idle_max{std::chrono::minutes{1}};
};

/// A shard that came whole. Its blocks lead to the header's hashes, and the header to the ticket.
struct guest_write {
  ticket by;
  storage::shard_header header;
  bytes body;
};

class shard_intake {
public:
  using time = clock::monotonic_time;

  explicit shard_intake(intake_limits limits = {}) : limits_(limits) {}

  /// @pre `check_header(by, header)`
  /// `capacity_exceeded` when too much is on its way, `conflict` when the peer uses the number
  /// for another ticket. The same again is fine and changes nothing.
  [[nodiscard]] result<void> begin(const peer_id& from, uint64_t upload, ticket by, storage::shard_header header, time now);
  /// Blocks in any order, also again. `shard_damaged` for those that are not the shard's:
  /// none of them is taken. `not_found` when there is no such upload.
  [[nodiscard]] result<void> take(const peer_id& from, uint64_t upload, uint32_t first, byte_view blocks, time now);
  /// The whole shard; `range_invalid` while blocks are missing. It counts until `done`.
  /// `unavailable` the second time.
  [[nodiscard]] result<guest_write> finish(const peer_id& from, uint64_t upload, time now);
  void done(const peer_id& from, uint64_t upload);

  /// Drops what is idle.
  void expire(time now);

  [[nodiscard]] bool empty() const noexcept {
    return uploads_.empty();
  }
  [[nodiscard]] size_t bytes_held() const noexcept {
    return bytes_;
  }
  /// What the shards of that owner that are on their way will be charged.
  [[nodiscard]] uint64_t reserved(const vault_id& owner) const;
  /// Whether it is on its way from that peer under that number.
  [[nodiscard]] bool has(const peer_id& from, uint64_t upload) const {
    return uploads_.contains({from, upload});
  }

private:
  using upload_key = std::pair<peer_id, uint64_t>;
  struct arrival {
    ticket by;
    storage::shard_header header;
    buffer_pool::buffer body;
    std::vector<bool> came;
    size_t missing = 0;
    time last;
    bool finishing = false;
  };

  [[nodiscard]] result<std::map<upload_key, arrival>::iterator> find(const peer_id& from, uint64_t upload, const char* attempted);
  void erase(std::map<upload_key, arrival>::iterator at);

  intake_limits limits_;
  std::map<upload_key, arrival> uploads_;
  size_t bytes_ = 0;
};

/// What an owner is charged for a shard: header and body as they lie on the drive, and its rows.
[[nodiscard]] uint64_t charge_of(const storage::geometry& shape) noexcept;
/// For the rows of a shard, and for those of a deletion.
inline constexpr uint64_t row_charge = 512;

} // namespace datamesh::network
