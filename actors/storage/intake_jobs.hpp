// The jobs that use a packer: what they have at workers, what of theirs is lost, and for
// what they wait. Pins the packs that they need.
#pragma once

#include "storage/pack_run.hpp"

#include <functional>

namespace datamesh::storage {

/// Lives in the packer; not thread safe.
class intake_jobs {
public:
  explicit intake_jobs(std::shared_ptr<chunk_claims> claims) : claims_(std::move(claims)) {}

  void begin(uint64_t number) {
    jobs_.try_emplace(number);
  }
  /// ... and *watch* is told for what it waits.
  void begin(uint64_t number, std::shared_ptr<stage_watch> watch) {
    jobs_[number].watch = std::move(watch);
  }
  /// *promise* is answered by `forget_idle`.
  void close(uint64_t number, done_promise promise) {
    jobs_[number].closed = std::move(promise);
  }
  /// Of those that are closed, all that have nothing at workers and are not *busy* go, with
  /// their pins.
  void forget_idle(const std::function<bool(uint64_t number, bool failed)>& busy);

  [[nodiscard]] size_t size() const noexcept {
    return jobs_.size();
  }
  /// True of those that are gone, too.
  [[nodiscard]] bool is_closed(uint64_t number) const;

  // -- at workers --

  void to_worker(uint64_t number) {
    ++jobs_[number].at_workers;
  }
  void from_worker(uint64_t number) {
    --jobs_[number].at_workers;
  }
  /// Packs up to *serial* may hold chunks of it.
  void rely_on(uint64_t number, uint64_t serial);
  /// Until its operations are committed, nothing else says that a job needs *pack*.
  void pin(const pack_id& pack);

  // -- what is lost --

  /// Why something of it is lost.
  [[nodiscard]] std::optional<error> failure_of(uint64_t number) const;
  [[nodiscard]] bool is_alive(uint64_t number) const {
    return jobs_.count(number) > 0 && !failure_of(number);
  }
  /// The first reason stays.
  void fail(uint64_t number, const error& reason);
  /// All that rely on the pack *serial*.
  void fail_those_with(uint64_t serial, const error& reason);

  /// Shards of a pack that was committed while they ran.
  void note_shards_short(uint32_t count);
  /// Most that any pack lacked while the job ran.
  [[nodiscard]] uint32_t shards_short(uint64_t number) const;

  // -- for what they wait --

  using waits = std::map<uint64_t, stage_wait>;
  /// Of those that are watched: the codec, or nothing that is known here.
  [[nodiscard]] waits at_codec() const;
  void tell(const waits& found);

private:
  struct job {
    uint32_t shards_short = 0;
    uint64_t last_serial = 0; ///< Packs up to this one may hold chunks of it.
    size_t at_workers = 0;    ///< Batches.
    std::optional<done_promise> closed;
    std::optional<error> failure;
    std::shared_ptr<stage_watch> watch; ///< Null where nobody wants to know.
    stage_wait waits;                   ///< For what; as it was told last.
  };

  std::shared_ptr<chunk_claims> claims_;
  std::map<uint64_t, job> jobs_;
};

} // namespace datamesh::storage
