// An opened vault behind the facade: its key, its actors and the jobs that run on it.
//
// Thread rule: any thread.
#pragma once

#include "node/job_registry.hpp"
#include "node/node_core.hpp"

#include <future>
#include <shared_mutex>

namespace datamesh {

/// An opened vault. Closes when the last handle is gone: running jobs are cancelled
/// and awaited, and the catalog closes. What is only in the catalog stays there, where
/// it is durable, until the next put or flush.
class vault_runtime {
public:
  vault_runtime(std::shared_ptr<node_core> core, std::string name, crypto::key_file keys);
  ~vault_runtime();

  enum class catalog_use : uint8_t {
    fresh,    ///< Begins an empty one.
    as_it_is, ///< Looks at no drive: who makes it again wants what it alone knows.
    compared, ///< Takes in what is on the drives, where somebody may have written without it.
  };

  /// Opens the catalog and starts the actors.
  [[nodiscard]] result<void> start(catalog_use use);

  /// Where the catalog refuses writes since its disk was full or read-only, tries whether it
  /// still is, unless jobs run; then takes in what the refused ones left on the drives. What
  /// can not be mended is read, and tells each write why it is refused. `store_corrupt` where
  /// only a rebuild brings in what is on the drives.
  [[nodiscard]] result<void> mend();

  std::shared_ptr<node_core> core;
  const std::string name;
  std::mutex key_mutex;
  crypto::key_file keys;
  std::shared_ptr<storage::vault_context> context;
  job_registry jobs;
  bool listed = false; ///< Among the open vaults of the node.

  [[nodiscard]] std::shared_ptr<storage::job> begin(const job_options& options);
  /// Stamps and commits operations without data.
  [[nodiscard]] result<void> apply(const std::vector<storage::operation_body>& bodies);
  [[nodiscard]] result<void> flush();
  /// They count once they are saved. @pre `key_mutex` is held
  [[nodiscard]] result<void> replace_keys(crypto::key_file next);
  /// A phrase from before recovery records, with which the vault was opened, is good for one from now
  /// on. What can not be saved is tried again the next time.
  void learn_recovery(const credential& with);
  /// Writes a checkpoint of the catalog when one is due. One that fails, or is
  /// cancelled, is tried again the next time.
  void keep_checkpoint(const cancel_token& cancel);

  /// Keeps what `status` tells of packs that are not in the catalog. Where that *knows_all* that
  /// anybody was told of, packs with too few shards are what was left behind, but for those that
  /// could not be read before.
  [[nodiscard]] result<void> note_unread(const rebuild_summary& found, bool knows_all) const;
  void tell_lost(uint64_t packs) const;

  /// Runs *start* and waits for its answer.
  template <class T>
  [[nodiscard]] result<T> wait_for(const job_options& options,
                                   const std::function<void(std::shared_ptr<storage::job>, completion<T>)>& start) {
    auto job = begin_when_mended(options);
    if (!job)
      return fail(errc::unavailable, "run a job", name);
    return wait_on<T>(job, start);
  }

  /// Runs *start* in *job*, ends it, and waits for its answer.
  template <class T>
  [[nodiscard]] result<T> wait_on(const std::shared_ptr<storage::job>& job,
                                  const std::function<void(std::shared_ptr<storage::job>, completion<T>)>& start) {
    auto promise = std::make_shared<std::promise<result<T>>>();
    auto future = promise->get_future();
    start(job, [this, promise, job](result<T> outcome) {
      jobs.end(job);
      promise->set_value(std::move(outcome));
    });
    auto outcome = future.get();
    core->events->wait_delivered();
    return outcome;
  }

  /// Runs *start*; the answer goes to *done*, on the host's executor.
  template <class T>
  void run(const job_options& options, completion<T> done, const std::function<void(std::shared_ptr<storage::job>, completion<T>)>& start) {
    auto executor = core->options.executor;
    auto deliver = [executor, done = std::move(done)](result<T> outcome) {
      if (executor)
        executor([done, outcome = std::move(outcome)] { done(outcome); });
      else
        done(std::move(outcome));
    };
    auto job = begin_when_mended(options);
    if (!job)
      return deliver(fail(errc::unavailable, "run a job", name));
    start(job, [this, job, deliver](result<T> outcome) {
      deliver(std::move(outcome));
      jobs.end(job);
    });
  }

private:
  [[nodiscard]] result<void> adopt();
  [[nodiscard]] std::shared_ptr<storage::job> begin_when_mended(const job_options& options);
  void close();

  std::shared_mutex mending_; ///< Held alone by `mend`: what begins meanwhile would look like something left behind.
};

} // namespace datamesh
