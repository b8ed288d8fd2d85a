#include "base/simple_store.hpp"

#include "base/simple_store_files.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <optional>

namespace datamesh {

namespace {

using simple::appended_file;
using simple::inventory;
using simple::record_writer;
using simple::store_folder;

constexpr size_t state_record_size = 64 << 10;

class simple_view : public ordered_view {
public:
  explicit simple_view(persistent_map rows) : rows_(std::move(rows)) {}

  result<std::optional<std::string>> get(std::string_view key) const override {
    auto found = rows_.find(key);
    return found != nullptr ? std::optional{*found} : std::nullopt;
  }

  result<void> scan(std::string_view first, std::string_view last,
                    const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    rows_.scan(first, last, visit);
    return {};
  }

private:
  persistent_map rows_;
};

class simple_store : public ordered_store {
public:
  simple_store(store_folder folder, std::unique_ptr<file_lock> lock, uint64_t memory)
      : folder_(std::move(folder)), lock_(std::move(lock)), log_max_(memory / 4) {}

  /// Makes the first generation.
  result<void> start() {
    return renew();
  }

  /// Reads the newest generation.
  result<void> resume(uint64_t generation) {
    auto all = folder_.load(generation);
    if (!all)
      return fail(std::move(all.error()));
    generation_ = generation;
    rows_ = std::move(all->rows);
    last_ = all->last;
    state_bytes_ = all->state_bytes;
    // Bytes that a crash took away may have been on the disk: an encrypted log
    // is never continued, or its counter blocks would serve twice.
    if (all->torn || folder_.encrypted())
      return renew();
    auto log = folder_.resume(folder_.path_of("log", generation), all->log_bytes);
    if (!log)
      return fail(std::move(log.error()));
    log_ = std::move(*log);
    log_start_ = simple::file_head_size;
    log_bytes_ = log_.size();
    return {};
  }

  /// From now on every write is answered with *reason*.
  void refuse_writes(error reason) {
    failed_ = std::move(reason);
  }

  result<std::optional<std::string>> get(std::string_view key) const override {
    return simple_view{rows()}.get(key);
  }

  result<void> scan(std::string_view first, std::string_view last,
                    const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    return simple_view{rows()}.scan(first, last, visit);
  }

  std::unique_ptr<ordered_view> snapshot() const override {
    return std::make_unique<simple_view>(rows());
  }

  result<void> write(const write_batch& batch, durability level) override {
    if (failed_)
      return fail(*failed_);
    if (batch.empty() && (level == durability::relaxed || durable_ == last_))
      return {};
    if (!batch.empty()) {
      auto framed = frame(batch);
      if (!framed)
        return fail(std::move(framed.error()));
      if (auto ok = log_.append(framed->content()); !ok)
        return give_up(ok.error().within("write to ordered store", folder_.path()));
      log_bytes_ = log_.size();
      ++last_;
    }
    if (level == durability::synced) {
      if (auto ok = log_.file().sync(); !ok)
        return give_up(ok.error().within("sync ordered store", folder_.path()));
      durable_ = last_;
    }
    apply(batch);
    // This batch is done; when the state cannot be written, the next write says so.
    if (log_.size() - log_start_ > std::max(log_max_, state_bytes_.load()))
      (void) renew();
    return {};
  }

  result<void> check() override {
    auto all = folder_.load(generation_);
    if (!all)
      return fail(std::move(all.error()));
    // Where nothing can be written, a torn end stays.
    if ((all->torn && writable()) || all->last != last_ || !(all->rows == rows()))
      return fail(errc::store_corrupt, "check ordered store: its files differ from what was written", folder_.path());
    return {};
  }

  result<void> flush() override {
    if (failed_)
      return fail(*failed_);
    if (log_.size() == log_start_)
      return {};
    return renew();
  }

  bool writable() const override {
    return !failed_;
  }

  uint64_t disk_bytes() const override {
    return state_bytes_ + log_bytes_;
  }

private:
  persistent_map rows() const {
    std::lock_guard guard{mutex_};
    return rows_;
  }

  void apply(const write_batch& batch) {
    auto next = rows();
    for (const auto& change : batch.changes())
      if (change.value)
        next.put(change.key, *change.value);
      else
        next.erase(change.key);
    std::lock_guard guard{mutex_};
    std::swap(rows_, next);
  }

  result<record_writer> frame(const write_batch& batch) const {
    uint64_t size = 1;
    for (const auto& change : batch.changes())
      size += 9 + change.key.size() + (change.value ? change.value->size() : 0);
    if (size > std::numeric_limits<uint32_t>::max())
      return fail(errc::invalid_argument, "write more than 4 GiB in one batch", folder_.path());
    record_writer out;
    out.begin_batch();
    for (const auto& change : batch.changes())
      if (change.value)
        out.put(change.key, *change.value);
      else
        out.erase(change.key);
    out.end_batch(last_ + 1, durable_);
    return out;
  }

  tl::unexpected<error> give_up(error reason) {
    failed_ = reason;
    return fail(std::move(reason));
  }

  /// Writes the rows as the state of the next generation and starts its log.
  result<void> renew() {
    auto next = generation_ + 1;
    auto log = start_log(next);
    if (!log)
      return give_up(log.error().within("start the log of an ordered store", folder_.path()));
    auto state_bytes = write_state(next);
    if (!state_bytes)
      return give_up(state_bytes.error().within("write the state of an ordered store", folder_.path()));
    auto old = std::exchange(generation_, next);
    log_ = std::move(*log);
    log_start_ = log_bytes_ = log_.size();
    state_bytes_ = *state_bytes;
    durable_ = last_;
    // Leftovers are harmless and go with the next opening.
    if (old != 0) {
      (void) folder_.files().remove(folder_.path_of("state", old));
      (void) folder_.files().remove(folder_.path_of("log", old));
    }
    return {};
  }

  result<appended_file> start_log(uint64_t generation) {
    auto log = folder_.start(folder_.files().create(folder_.path_of("log", generation)));
    if (!log)
      return log;
    record_writer out;
    out.put_file_head("log", generation);
    auto done = log->append(out.content()).and_then([&] { return log->file().sync(); }).and_then([&] {
      return folder_.files().sync_folder(folder_.path());
    });
    if (!done)
      return fail(std::move(done.error()));
    return log;
  }

  result<uint64_t> write_state(uint64_t generation) {
    auto state = folder_.start(folder_.files().create_unnamed(folder_.path()));
    if (!state)
      return fail(std::move(state.error()));
    record_writer out;
    out.put_file_head("state", generation);
    result<void> done;
    rows().scan({}, {}, [&](std::string_view key, std::string_view value) {
      if (!out.in_batch())
        out.begin_batch();
      out.put(key, value);
      if (out.content().size() < state_record_size)
        return true;
      out.end_batch(last_, last_);
      done = state->append(out.content());
      out.clear();
      return done.has_value();
    });
    if (out.in_batch())
      out.end_batch(last_, last_);
    out.put_end(last_);
    done = done.and_then([&] { return state->append(out.content()); })
               .and_then([&] { return state->file().sync(); })
               .and_then([&] { return state->file().link_as(folder_.path_of("state", generation)); })
               .and_then([&] { return folder_.files().sync_folder(folder_.path()); });
    if (!done)
      return fail(std::move(done.error()));
    return state->size();
  }

  store_folder folder_;
  std::unique_ptr<file_lock> lock_;
  const uint64_t log_max_;
  uint64_t generation_ = 0;
  appended_file log_;
  uint64_t log_start_ = 0; ///< Size of the log without any batch.
  uint64_t last_ = 0;      ///< Sequence of the last batch.
  uint64_t durable_ = 0;   ///< Sequence of the last batch known to be durable.
  std::optional<error> failed_;
  std::atomic<uint64_t> state_bytes_ = 0;
  std::atomic<uint64_t> log_bytes_ = 0;
  mutable std::mutex mutex_; ///< Guards `rows_` between the writer and readers.
  persistent_map rows_;
};

class simple_opener : public ordered_store_opener {
public:
  simple_opener(std::shared_ptr<file_system> files, std::shared_ptr<random_source> random)
      : files_(std::move(files)), random_(std::move(random)) {}

  result<std::unique_ptr<ordered_store>> open(const ordered_store_options& options) override {
    std::shared_ptr<const file_cipher> cipher;
    if (options.encryption_key) {
      auto made = file_cipher::create(*options.encryption_key);
      if (!made)
        return fail(made.error().within("open ordered store", options.folder));
      if (random_ == nullptr)
        return fail(errc::invalid_argument, "open an encrypted ordered store without a source of random bytes", options.folder);
      cipher = std::move(*made);
    }
    if (auto ok = prepare(options); !ok)
      return fail(ok.error().within("open ordered store", options.folder));
    auto may_read = [&](const error& reason) {
      return options.or_read_only && (reason.code() == errc::read_only || reason.code() == errc::no_space);
    };
    auto held = files_->lock(join_path(options.folder, "LOCK"));
    if (!held && !may_read(held.error()))
      return fail(held.error().within("open ordered store", options.folder));
    auto lock = held ? std::move(*held) : nullptr;
    store_folder folder{files_, random_, std::move(cipher), options.folder};
    auto found = folder.list();
    if (!found)
      return fail(found.error().within("open ordered store", options.folder));
    if (auto ok = judge(folder, *found); !ok)
      return fail(std::move(ok.error()));
    if (!found->newest && !options.create_if_missing)
      return fail(errc::not_found, "find ordered store", options.folder);
    auto store = std::make_unique<simple_store>(folder, std::move(lock), options.memory_bytes);
    auto ok = found->newest ? store->resume(*found->newest) : store->start();
    if (!ok && !(found->newest && may_read(ok.error())))
      return fail(std::move(ok.error()));
    if (!ok || !held)
      store->refuse_writes(ok ? std::move(held.error()) : std::move(ok.error()));
    if (!store->writable())
      return store;
    remove_leftovers(folder, *found);
    return store;
  }

  result<void> destroy(const std::string& folder) override {
    auto done = remove_all(folder);
    if (!done && done.error().code() != errc::not_found)
      return fail(done.error().within("remove ordered store", folder));
    return {};
  }

private:
  /// Makes the folder, or finds out that the store is not there.
  result<void> prepare(const ordered_store_options& options) const {
    auto status = files_->status(options.folder);
    if (!status && (status.error().code() != errc::not_found || !options.create_if_missing))
      return fail(std::move(status.error()));
    if (!status)
      return files_->make_folder(options.folder).and_then([&] { return files_->sync_folder(parent_path(options.folder)); });
    if (options.create_if_missing)
      return {};
    auto found = store_folder{files_, nullptr, nullptr, options.folder}.list();
    if (!found)
      return fail(std::move(found.error()));
    if (found->states.empty() && found->logs.empty())
      return fail(errc::not_found, "find ordered store", options.folder);
    return {};
  }

  /// A log with batches was in use, so its state had a name: when there is only
  /// an older state, or none, that state was lost.
  [[nodiscard]] result<void> judge(const store_folder& folder, const inventory& found) const {
    for (auto generation : found.logs) {
      if (found.newest && generation <= *found.newest)
        continue;
      auto path = folder.path_of("log", generation);
      auto status = files_->status(path);
      if (!status)
        return fail(status.error().within("open ordered store", path));
      if (status->size > simple::file_head_size + (folder.encrypted() ? file_cipher::header_size : 0))
        return fail(errc::store_corrupt, "open ordered store: its state is gone", path);
    }
    return {};
  }

  /// Removes older generations that a crash has left behind or brought back.
  void remove_leftovers(const store_folder& folder, const inventory& found) const {
    for (auto generation : found.logs)
      if (generation < found.newest)
        (void) files_->remove(folder.path_of("log", generation));
    for (auto generation : found.states)
      if (generation < found.newest)
        (void) files_->remove(folder.path_of("state", generation));
  }

  result<void> remove_all(const std::string& path) const {
    store_folder folder{files_, nullptr, nullptr, path};
    auto found = folder.list();
    if (!found)
      return fail(std::move(found.error()));
    auto lock = files_->lock(join_path(path, "LOCK"));
    if (!lock)
      return fail(std::move(lock.error()));
    auto gone = [&](const std::string& file) -> result<void> {
      auto ok = files_->remove(file);
      return ok || ok.error().code() == errc::not_found ? result<void>{} : ok;
    };
    for (auto generation : found->states)
      if (auto ok = gone(folder.path_of("state", generation)); !ok)
        return ok;
    for (auto generation : found->logs)
      if (auto ok = gone(folder.path_of("log", generation)); !ok)
        return ok;
    auto done = gone(join_path(path, "LOCK")).and_then([&] { return files_->sync_folder(path); });
    if (!done)
      return done;
    // Somebody else's files stay, and the folder with them.
    done = files_->remove_folder(path);
    if (!done && done.error().code() == errc::folder_not_empty)
      return {};
    return done.and_then([&] { return files_->sync_folder(parent_path(path)); });
  }

  std::shared_ptr<file_system> files_;
  std::shared_ptr<random_source> random_;
};

} // namespace

std::shared_ptr<ordered_store_opener> simple_stores(std::shared_ptr<file_system> files, std::shared_ptr<random_source> random) {
  return std::make_shared<simple_opener>(std::move(files), std::move(random));
}

} // namespace datamesh
