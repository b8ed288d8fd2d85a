// Chunks that lie together in a pack are fetched together; where that fails, one by one,
// so that only those fail that are lost.
#pragma once

#include "storage/job_actor.hpp"
#include "storage/pack_reader_actor.hpp"

namespace datamesh::storage {

/// Chunks of one pack, in the order in which they are wanted. At most `segment_size` bytes
/// when opened, and no farther apart in the pack than one read may reach.
struct pack_stretch {
  pack_id pack;
  std::vector<chunk_entry> chunks;
  uint32_t begin = 0; ///< In the pack.
  uint32_t end = 0;
  size_t plain_size = 0;

  /// False when the chunk is too large for any stretch: its row is damaged.
  [[nodiscard]] static bool may_take(const chunk_entry& entry);
  /// False when it belongs to the next stretch; the first is always taken.
  /// @pre `may_take`
  [[nodiscard]] bool add(const chunk_location& at);
};

/// Lives in an actor that works on a job, and reads in its name; not thread safe.
class stretch_opener {
public:
  struct listener {
    /// Each chunk of the stretch once, in order.
    std::function<void(size_t number, result<void>)> settled;
    std::function<void()> done;
  };

  stretch_opener(job_actor::pointer self, const std::shared_ptr<vault_context>& context, const std::shared_ptr<job>& job);

  /// Opens the chunks into *plain*, one behind the other. Any number may be under way.
  /// What can be said at once is said before it returns.
  /// @pre *what* is of *pack*, and not empty
  void open(const pack_record& pack, pack_stretch what, buffer_pool::buffer plain, listener tell);

  /// Ends; nobody is told any more.
  void close();

  /// So far.
  [[nodiscard]] uint64_t shards_bad() const noexcept {
    return shards_bad_;
  }
  [[nodiscard]] uint64_t reads_hedged() const noexcept {
    return reads_hedged_;
  }

private:
  struct opening {
    pack_record pack;
    pack_stretch what;
    buffer_pool::buffer plain;
    listener tell;
  };
  using opening_ptr = std::shared_ptr<opening>;

  void ask(const opening& one, const pack_stretch& part, size_t offset, std::function<void(result<void>)> answered);
  void open_alone(const opening_ptr& one, size_t number, size_t offset);

  job_actor::pointer self_;
  pack_reader_actor reader_;
  bool closed_ = false;
  uint64_t shards_bad_ = 0;
  uint64_t reads_hedged_ = 0;
};

} // namespace datamesh::storage
