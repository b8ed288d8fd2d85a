// The reads of a pack reader at drives: who is asked, what is late, and what is found bad.
#pragma once

#include "storage/fetch_stages.hpp"
#include "storage/pack_reader_actor.hpp"

#include <map>
#include <set>

namespace datamesh::storage {

/// Whole blocks of one shard.
struct column {
  uint8_t shard = 0;
  uint32_t begin = 0;
  uint32_t end = 0;
  bool asked_alone = false; ///< A block of a column that could not be rebuilt whole.
  [[nodiscard]] uint32_t size() const noexcept {
    return end - begin;
  }
};

enum class answer : uint8_t {
  good,
  bad,
  none, ///< The drive has the request still, and may write to the memory.
};

/// A pack whose shards are read, and where they are.
struct shard_source {
  std::shared_ptr<fetch_stages::step> stages;
  pack_record pack;
  v1::PackSeal seal;
  std::shared_ptr<const drive_table::list> drives;
};

/// Lives in the pack reader and asks in its name; not thread safe.
class shard_reads {
public:
  /// *job* may be null; *pace* outlives it.
  shard_reads(pack_reader_actor::pointer self, std::shared_ptr<vault_context> context, std::shared_ptr<storage::job> job, work_kind work,
              read_pace& pace)
      : self_(self), context_(std::move(context)), job_(std::move(job)), work_(work), pace_(pace) {}

  /// *answered* is called once, maybe before this returns, unless *dropped* becomes true
  /// before. *late* may be null; it asks others, if it may, and answers true when it did,
  /// *free* when that need not be paid for.
  void ask(const shard_source& what, const column& from, const memory& target, std::shared_ptr<const bool> dropped,
           std::function<void(answer)> answered, std::function<bool(bool free)> late);

  /// At each tick: looks for what is late.
  void look();

  [[nodiscard]] read_pace::standing standing_of(const shard_source& what, uint8_t shard) const {
    return pace_.of(what.pack.drives[shard]);
  }

  /// True when k others can be asked whose drives answer.
  [[nodiscard]] bool others_answer(const shard_source& what, uint8_t shard) const;

  /// Tells once that a drive hangs; true when it does. A repair that was made to wait tells nothing.
  bool tell_if_hanging(const drive_id& id);

  /// Shards that were found missing or damaged.
  [[nodiscard]] size_t count_bad() const noexcept {
    return bad_.size();
  }

private:
  /// One read at a drive.
  struct asking {
    pack_id pack;
    uint8_t shard;
    drive_id drive;
    size_t size;
    clock::monotonic_time begun;
    std::shared_ptr<const bool> dropped; ///< Nobody waits for the answer any more.
    std::function<void(answer)> answered;
    std::function<bool(bool free)> late;
    std::shared_ptr<fetch_stages::step> stages;
  };

  void end_asking(uint64_t number, std::optional<answer> with = std::nullopt);
  void look_later();
  void note_bad(const pack_id& pack, uint8_t shard, const drive_id& drive, const error& reason);
  void mark(const pack_id& pack, uint8_t shard, const drive_id& drive, const error& reason);

  pack_reader_actor::pointer self_;
  std::shared_ptr<vault_context> context_;
  std::shared_ptr<storage::job> job_;
  const work_kind work_;
  read_pace& pace_;
  std::set<std::pair<pack_id, uint8_t>> bad_;     ///< Missing or damaged; each is reported once.
  std::set<std::pair<pack_id, uint8_t>> missing_; ///< Of them, those that are not asked again.
  std::map<uint64_t, std::shared_ptr<asking>> asked_;
  uint64_t next_ = 0;
  bool looking_ = false; ///< The timer runs.
};

} // namespace datamesh::storage
