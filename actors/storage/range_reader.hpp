// Answers the ranges that somebody reads of the files of one vault. Chunks are looked for
// in the cache first; one that is just being opened for somebody else is waited for, and
// what is in neither is opened now. Who reads on where he left off finds opened what
// follows, if there is memory for that.
//
// Thread rule: any thread; `read` waits.
#pragma once

#include "storage/chunk_loader.hpp"
#include "storage/extent_finder.hpp"
#include "storage/read_cache.hpp"
#include "storage/readahead.hpp"

#include <condition_variable>
#include <map>

namespace datamesh::storage {

/// Longer ones are gets like that of a whole file: those pass by the cache.
inline constexpr uint64_t cached_range_max = 4 << 20;

struct range_task {
  node_view node;
  std::optional<version_id> version; ///< Instead of the current one.
  byte_range range;
  std::shared_ptr<sink> to;
  std::shared_ptr<storage::job> job;
};

class range_reader : public std::enable_shared_from_this<range_reader> {
public:
  struct figures {
    uint64_t hits = 0;   ///< Chunks that were in the cache when a range needed them.
    uint64_t misses = 0; ///< ... that were not.
    uint64_t opened = 0; ///< For ranges and ahead of them.
    uint64_t ahead = 0;  ///< Of them, ahead.
    uint64_t ahead_used = 0;
  };

  explicit range_reader(std::shared_ptr<read_cache> cache) : cache_(std::move(cache)) {}

  /// Short enough, and of a file.
  [[nodiscard]] static bool takes(const node_view& node, const byte_range& range);

  /// Nothing when a chunk could not be opened; then nothing was written, either, and a
  /// get finds out what is lost. @pre `takes`
  [[nodiscard]] std::optional<result<get_summary>> read(const std::shared_ptr<vault_context>& context, const range_task& task);

  [[nodiscard]] figures current() const;

private:
  struct flight {
    bool ahead = false;
    std::optional<result<opened_chunk>> outcome;
  };
  using flight_ptr = std::shared_ptr<flight>;
  /// What a range needs of an extent.
  struct piece {
    extent what;
    uint64_t skip = 0;
    uint64_t wanted = 0;
    bool counts = true; ///< For how often the chunk is asked for.
    bytes plain;
    flight_ptr coming;
    bool own = false; ///< ... since this range asked for it.
  };
  struct plan {
    version_id version;
    uint64_t extent_count = 0;
    std::vector<piece> pieces;
    readahead::advice ahead;
  };

  [[nodiscard]] result<plan> plan_range(const vault_context& context, const range_task& task);
  /// False when the catalog does not know where a chunk is.
  [[nodiscard]] bool find(const std::shared_ptr<vault_context>& context, const range_task& task, std::vector<piece>& pieces);
  void open_ahead(const std::shared_ptr<vault_context>& context, const plan& what);
  [[nodiscard]] std::function<void(const chunk_id&, result<opened_chunk>)> landing(const vault_id& vault);
  void settle(const chunk_id& id, result<opened_chunk> outcome, const vault_id& vault);
  [[nodiscard]] result<bool> wait(const vault_context& context, const range_task& task, std::vector<piece>& pieces, get_summary& summary);
  [[nodiscard]] static result<get_summary> write(const vault_context& context, const range_task& task, std::vector<piece> pieces,
                                                 get_summary summary);
  [[nodiscard]] static result<void> write_all(sink& to, const std::vector<piece>& pieces);

  const std::shared_ptr<read_cache> cache_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<extent_finder> finder_;
  readahead ahead_;
  std::map<chunk_id, flight_ptr> flights_;
  figures figures_;
};

} // namespace datamesh::storage
