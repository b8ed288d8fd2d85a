#include "base/rocksdb_store.hpp"

#include "base/careful_files.hpp"
#include "base/encrypted_files.hpp"
#include "base/rocksdb_log.hpp"
#include "base/rocksdb_status.hpp"
#include "base/system_parts.hpp"
#include "datamesh/base/file_system.hpp"

#include <openssl/crypto.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/table.h>

#include <algorithm>
#include <array>
#include <mutex>

namespace datamesh {

namespace {

using rocksdb::Slice;
using rocksdb::Status;

constexpr size_t protection_bytes = 8;

Slice slice_of(std::string_view text) {
  return {text.data(), text.size()};
}

std::string_view text_of(const Slice& slice) {
  return {slice.data(), slice.size()};
}

class silent_logger : public rocksdb::Logger {
public:
  silent_logger() : Logger(rocksdb::InfoLogLevel::FATAL_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

/// Keeps the first error that RocksDB meets in the background.
class failure_listener : public rocksdb::EventListener {
public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason, Status* status) override {
    std::lock_guard guard{mutex_};
    if (first_.ok())
      first_ = *status;
  }

  [[nodiscard]] Status first() const {
    std::lock_guard guard{mutex_};
    return first_;
  }

private:
  mutable std::mutex mutex_;
  Status first_;
};

rocksdb::CompressionType compression() {
  static const auto chosen = [] {
    auto linked = rocksdb::GetSupportedCompressions();
    return std::find(linked.begin(), linked.end(), rocksdb::kLZ4Compression) != linked.end() ? rocksdb::kLZ4Compression
                                                                                             : rocksdb::kNoCompression;
  }();
  return chosen;
}

/// How full the memtable gets before `write` has it written out, in bytes.
size_t memtable_max(uint64_t memory) {
  return std::max<uint64_t>(memory / 4, 64 << 10);
}

rocksdb::BlockBasedTableOptions table_options(uint64_t memory) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(memory / 2, 0);
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  table.checksum = rocksdb::kXXH3;
  table.verify_compression = true;
  return table;
}

void set_integrity(rocksdb::Options& options) {
  options.paranoid_checks = true;
  options.paranoid_file_checks = true;
  options.force_consistency_checks = true;
  options.flush_verify_memtable_count = true;
  options.verify_sst_unique_id_in_manifest = true;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  // Up to 7.9, tracking misses logs that were rightly removed and refuses the
  // store (facebook/rocksdb#10892); `expect_durable` stands in for it.
  options.track_and_verify_wals_in_manifest = false;
  options.best_efforts_recovery = false;
  options.recycle_log_file_num = 0;
  // A manifest in use is never appended to, for a record torn by a crash would
  // pass for damage: each change of the set of tables gets a new one, which is
  // whole before CURRENT names it.
  options.max_manifest_file_size = 1;
  options.max_bgerror_resume_count = 0;
}

void set_size(rocksdb::Options& options, uint64_t memory) {
  // `write` empties the memtable at half of this, after a sync of the log:
  // RocksDB on its own would go on in a new log while the old one may still
  // lose its end.
  options.write_buffer_size = 2 * memtable_max(memory);
  options.max_write_buffer_number = 2;
  // Most of what a commit looks up is new: a bit a key saves the walk.
  options.memtable_whole_key_filtering = true;
  options.memtable_prefix_bloom_size_ratio = 0.05;
  options.arena_block_size = std::max<size_t>(memtable_max(memory) / 16, 4096);
  options.target_file_size_base = 8 << 20;
  options.max_bytes_for_level_base = 32 << 20;
  options.level_compaction_dynamic_level_bytes = true;
  options.compression = compression();
  options.max_open_files = 64;
  options.max_file_opening_threads = 1;
  // The threads are the process's: several stores that are closed together write
  // their tables side by side, which is mostly waiting for the disk.
  options.max_background_flushes = 6;
  options.max_background_compactions = 1;
  options.manifest_preallocation_size = 64 << 10;
  options.writable_file_max_buffer_size = 64 << 10;
  options.compaction_readahead_size = 256 << 10;
  options.allow_concurrent_memtable_write = false;
  options.enable_write_thread_adaptive_yield = false;
}

void set_quiet(rocksdb::Options& options) {
  options.info_log = std::make_shared<silent_logger>();
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.skip_stats_update_on_db_open = true;
}

rocksdb::Options options_for(rocksdb::Env* env, uint64_t memory) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = true;
  set_integrity(options);
  set_size(options, memory);
  set_quiet(options);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table_options(memory)));
  return options;
}

/// A lock that ends with its holder.
class held_lock {
public:
  explicit held_lock(rocksdb::FileSystem& files) : files_(files) {}
  held_lock(const held_lock&) = delete;
  held_lock& operator=(const held_lock&) = delete;
  ~held_lock() {
    if (lock_ != nullptr)
      files_.UnlockFile(lock_, {}, nullptr).PermitUncheckedError();
  }
  [[nodiscard]] Status take(const std::string& path) {
    return files_.LockFile(path, {}, &lock_, nullptr);
  }

private:
  rocksdb::FileSystem& files_;
  rocksdb::FileLock* lock_ = nullptr;
};

/// An open database with what must outlive it. Snapshots share it.
struct database {
  std::string folder;
  uint64_t memory = 0;
  bool writes = true; ///< Not opened for reading alone.
  std::unique_ptr<rocksdb::Env> env;
  std::optional<held_lock> lock; ///< Of one opened for reading alone; RocksDB takes none for it.
  std::shared_ptr<failure_listener> failures = std::make_shared<failure_listener>();
  std::unique_ptr<rocksdb::DB> db;

  [[nodiscard]] tl::unexpected<error> failed(const Status& status, std::string attempted) const {
    return fail(from_rocksdb(status, std::move(attempted), folder));
  }

  [[nodiscard]] result<std::optional<std::string>> get(std::string_view key, const rocksdb::Snapshot* at) const {
    rocksdb::ReadOptions options;
    options.snapshot = at;
    std::string value;
    auto status = db->Get(options, slice_of(key), &value);
    if (status.IsNotFound())
      return std::nullopt;
    if (!status.ok())
      return failed(status, "read from ordered store");
    return value;
  }

  [[nodiscard]] result<void> scan(std::string_view first, std::string_view last, const rocksdb::Snapshot* at,
                                  const std::function<bool(std::string_view, std::string_view)>& visit) const {
    rocksdb::ReadOptions options;
    options.snapshot = at;
    auto bound = slice_of(last);
    if (!last.empty()) {
      if (last <= first)
        return {};
      options.iterate_upper_bound = &bound;
    }
    std::unique_ptr<rocksdb::Iterator> row{db->NewIterator(options)};
    for (row->Seek(slice_of(first)); row->Valid(); row->Next())
      if (!visit(text_of(row->key()), text_of(row->value())))
        break;
    if (!row->status().ok())
      return failed(row->status(), "scan ordered store");
    return {};
  }
};

class rocksdb_view : public ordered_view {
public:
  explicit rocksdb_view(std::shared_ptr<database> base) : base_(std::move(base)), at_(base_->db->GetSnapshot()) {}

  rocksdb_view(const rocksdb_view&) = delete;
  rocksdb_view& operator=(const rocksdb_view&) = delete;

  ~rocksdb_view() override {
    base_->db->ReleaseSnapshot(at_);
  }

  result<std::optional<std::string>> get(std::string_view key) const override {
    return base_->get(key, at_);
  }

  result<void> scan(std::string_view first, std::string_view last,
                    const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    return base_->scan(first, last, at_, visit);
  }

private:
  std::shared_ptr<database> base_;
  const rocksdb::Snapshot* at_;
};

class rocksdb_store : public ordered_store {
public:
  /// @param refusal why it takes no writes, for one that was opened for reading alone
  explicit rocksdb_store(std::shared_ptr<database> base, std::optional<error> refusal = std::nullopt)
      : base_(std::move(base)), durable_(base_->db->GetLatestSequenceNumber()), failed_(std::move(refusal)) {}

  result<std::optional<std::string>> get(std::string_view key) const override {
    return base_->get(key, nullptr);
  }

  result<void> scan(std::string_view first, std::string_view last,
                    const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    return base_->scan(first, last, nullptr, visit);
  }

  std::unique_ptr<ordered_view> snapshot() const override {
    return std::make_unique<rocksdb_view>(base_);
  }

  result<void> write(const write_batch& batch, durability level) override {
    if (auto ok = healthy(); !ok)
      return ok;
    if (batch.empty())
      return level == durability::synced ? sync() : result<void>{};
    size_t size = 32;
    for (const auto& change : batch.changes())
      size += 16 + change.key.size() + (change.value ? change.value->size() : 0);
    rocksdb::WriteBatch changes{size, 0, protection_bytes, 0};
    auto status = changes.PutLogData(durable_claim(durable_));
    for (const auto& change : batch.changes())
      if (status.ok())
        status = change.value ? changes.Put(slice_of(change.key), slice_of(*change.value)) : changes.Delete(slice_of(change.key));
    rocksdb::WriteOptions options;
    options.sync = level == durability::synced;
    options.protection_bytes_per_key = protection_bytes;
    if (status.ok())
      status = base_->db->Write(options, &changes);
    if (!status.ok())
      return give_up(status, "write to ordered store");
    if (options.sync)
      durable_ = base_->db->GetLatestSequenceNumber();
    empty_full_memtable();
    return {};
  }

  result<void> check() override {
    // What is read from a disk that takes no writes stands there already.
    if (base_->writes)
      if (auto ok = flush(); !ok)
        return ok;
    // A second, read-only database reads from the disk what this one has in memory.
    struct pause {
      explicit pause(rocksdb::DB& which) : db(which) {
        db.DisableFileDeletions().PermitUncheckedError();
      }
      ~pause() {
        db.EnableFileDeletions(false).PermitUncheckedError();
      }
      rocksdb::DB& db;
    } deletions{*base_->db};
    rocksdb::DB* opened = nullptr;
    auto status = rocksdb::DB::OpenForReadOnly(options_for(base_->env.get(), base_->memory), base_->folder, &opened);
    std::unique_ptr<rocksdb::DB> again{opened};
    rocksdb::ReadOptions options;
    options.verify_checksums = true;
    options.fill_cache = false;
    if (status.ok())
      status = again->VerifyChecksum(options);
    if (!status.ok())
      return base_->failed(status, "check ordered store");
    return {};
  }

  result<void> flush() override {
    if (auto ok = healthy(); !ok)
      return ok;
    if (auto status = base_->db->Flush(rocksdb::FlushOptions{}); !status.ok())
      return give_up(status, "flush ordered store");
    durable_ = base_->db->GetLatestSequenceNumber();
    return {};
  }

  bool writable() const override {
    return !failed_ && base_->failures->first().ok();
  }

  uint64_t disk_bytes() const override {
    std::vector<rocksdb::FileAttributes> files;
    uint64_t sum = 0;
    const auto& below = base_->env->GetFileSystem();
    if (below->GetChildrenFileAttributes(base_->folder, {}, &files, nullptr).ok())
      for (const auto& file : files)
        sum += file.size_bytes;
    return sum;
  }

private:
  result<void> healthy() {
    if (auto status = base_->failures->first(); !failed_ && !status.ok())
      failed_ = from_rocksdb(status, "work on ordered store in the background", base_->folder);
    if (failed_)
      return fail(*failed_);
    return {};
  }

  tl::unexpected<error> give_up(const Status& status, std::string attempted) {
    if (!failed_)
      failed_ = from_rocksdb(status, std::move(attempted), base_->folder);
    return fail(*failed_);
  }

  result<void> sync() {
    auto last = base_->db->GetLatestSequenceNumber();
    if (durable_ == last)
      return {};
    if (auto status = base_->db->SyncWAL(); !status.ok())
      return give_up(status, "sync ordered store");
    durable_ = last;
    return {};
  }

  /// The batch is done already: what fails here is for the next one to say.
  void empty_full_memtable() {
    uint64_t used = 0;
    base_->db->GetIntProperty(rocksdb::DB::Properties::kCurSizeActiveMemTable, &used);
    if (used < memtable_max(base_->memory) || !sync())
      return;
    rocksdb::FlushOptions options;
    options.wait = false;
    options.allow_write_stall = true;
    if (auto status = base_->db->Flush(options); !status.ok())
      (void) give_up(status, "flush ordered store");
  }

  std::shared_ptr<database> base_;
  /// Number of the last change known to be durable. Opening has written all
  /// that logs held into tables.
  rocksdb::SequenceNumber durable_;
  std::optional<error> failed_;
};

class rocksdb_opener : public ordered_store_opener {
public:
  rocksdb_opener(std::shared_ptr<rocksdb::FileSystem> files, std::shared_ptr<random_source> random, rocksdb_env_maker make_env)
      : files_(careful_files(std::move(files))), random_(std::move(random)), make_env_(std::move(make_env)) {}

  result<std::unique_ptr<ordered_store>> open(const ordered_store_options& options) override {
    auto files = files_;
    std::shared_ptr<const file_cipher> cipher;
    if (options.encryption_key) {
      auto made = file_cipher::create(*options.encryption_key);
      if (!made)
        return fail(made.error().within("open ordered store", options.folder));
      cipher = std::move(*made);
      files = encrypted_files(files_, cipher, random_);
    }
    if (auto ok = prepare(options, cipher.get()); !ok)
      return fail(std::move(ok.error()));
    auto base = std::make_shared<database>();
    base->folder = options.folder;
    base->memory = options.memory_bytes;
    base->env = make_env_(files);
    auto opened = open_for_writing(*base, *files, options.create_if_missing);
    if (opened) {
      remove_empty_logs(options.folder, cipher ? file_cipher::header_size : 0);
      return std::make_unique<rocksdb_store>(std::move(base));
    }
    auto code = opened.error().code();
    if (!options.or_read_only || (code != errc::read_only && code != errc::no_space))
      return fail(std::move(opened.error()));
    if (auto ok = open_for_reading(*base, *files); !ok)
      return fail(std::move(ok.error()));
    return std::make_unique<rocksdb_store>(std::move(base), std::move(opened.error()));
  }

  result<void> destroy(const std::string& folder) override {
    if (!files_->FileExists(folder, {}, nullptr).ok())
      return {};
    auto env = make_env_(files_);
    auto status = rocksdb::DestroyDB(folder, options_for(env.get(), 0));
    if (status.ok())
      status = sync_names(*files_, parent_path(folder));
    if (!status.ok())
      return fail(from_rocksdb(status, "remove ordered store", folder));
    return {};
  }

private:
  static std::string lock_path(const database& base) {
    return join_path(base.folder, "LOCK");
  }

  static result<void> open_for_writing(database& base, rocksdb::FileSystem& files, bool create) {
    if (auto ok = expect_durable(base, files); !ok)
      return ok;
    auto settings = options_for(base.env.get(), base.memory);
    settings.create_if_missing = create;
    settings.listeners.push_back(base.failures);
    rocksdb::DB* db = nullptr;
    auto status = rocksdb::DB::Open(settings, base.folder, &db);
    base.db.reset(db);
    if (!status.ok())
      return base.failed(status, "open ordered store");
    return {};
  }

  /// Replays the logs in memory.
  static result<void> open_for_reading(database& base, rocksdb::FileSystem& files) {
    base.writes = false;
    // Where the lock can not be written, nobody writes.
    base.lock.emplace(*base.env->GetFileSystem());
    if (auto status = base.lock->take(lock_path(base)); !status.ok())
      if (auto refused = base.failed(status, "open ordered store"); refused.value().code() != errc::read_only)
        return refused;
    if (auto ok = compare_with_claims(base, files); !ok)
      return ok;
    rocksdb::DB* db = nullptr;
    auto status = rocksdb::DB::OpenForReadOnly(options_for(base.env.get(), base.memory), base.folder, &db);
    base.db.reset(db);
    if (!status.ok())
      return base.failed(status, "open ordered store for reading");
    return {};
  }

  /// Tells a store that is not there from one that is damaged, makes its folder
  /// and tries the key.
  result<void> prepare(const ordered_store_options& options, const file_cipher* cipher) const {
    const auto& folder = options.folder;
    auto there = files_->FileExists(folder, {}, nullptr);
    if (there.IsNotFound() && options.create_if_missing) {
      there = files_->CreateDirIfMissing(folder, {}, nullptr);
      if (there.ok())
        return sync_parent(folder);
      // The only thing that can be missing is the folder above.
      if (there.IsPathNotFound())
        return fail(errc::not_found, "create the folder of an ordered store", folder);
    }
    if (there.IsNotFound())
      return fail(errc::not_found, "find ordered store", folder);
    if (!there.ok())
      return fail(from_rocksdb(there, "find ordered store", folder));
    auto current = join_path(folder, "CURRENT");
    there = files_->FileExists(current, {}, nullptr);
    if (there.ok())
      return try_key(current, cipher);
    if (!there.IsNotFound())
      return fail(from_rocksdb(there, "find ordered store", folder));
    if (auto ok = expect_no_remains(folder); !ok)
      return ok;
    if (!options.create_if_missing)
      return fail(errc::not_found, "find ordered store", folder);
    return {};
  }

  result<void> sync_parent(const std::string& folder) const {
    if (auto status = sync_names(*files_, parent_path(folder)); !status.ok())
      return fail(from_rocksdb(status, "create the folder of an ordered store", folder));
    return {};
  }

  /// RocksDB names the manifest in CURRENT before it writes any row, and would
  /// silently begin anew where CURRENT is lost.
  result<void> expect_no_remains(const std::string& folder) const {
    std::vector<std::string> names;
    if (auto status = files_->GetChildren(folder, {}, &names, nullptr); !status.ok())
      return fail(from_rocksdb(status, "list ordered store", folder));
    for (const auto& name : names)
      if (name.ends_with(".sst") || name.ends_with(".log"))
        return fail(errc::store_corrupt, "open ordered store: CURRENT is gone", folder);
    return {};
  }

  /// Refuses a store whose logs would give back less than what they say was
  /// durable. Changes nothing on the disk, so the store stays refused.
  static result<void> expect_durable(const database& base, rocksdb::FileSystem& files) {
    if (files.FileExists(join_path(base.folder, "CURRENT"), {}, nullptr).IsNotFound())
      return {};
    held_lock lock{files};
    if (auto status = lock.take(lock_path(base)); !status.ok())
      return base.failed(status, "open ordered store");
    return compare_with_claims(base, files);
  }

  static result<void> compare_with_claims(const database& base, rocksdb::FileSystem& files) {
    auto claims = read_log_claims(files, base.folder);
    if (!claims)
      return fail(claims.error().within("open ordered store", base.folder));
    if (!claims->damaged)
      return {};
    rocksdb::DB* opened = nullptr;
    auto status = rocksdb::DB::OpenForReadOnly(options_for(base.env.get(), base.memory), base.folder, &opened);
    std::unique_ptr<rocksdb::DB> trial{opened};
    if (!status.ok())
      return base.failed(status, "open ordered store");
    if (trial->GetLatestSequenceNumber() < claims->durable)
      return fail(errc::store_corrupt, "open ordered store: its log is damaged where it was synced", base.folder);
    return {};
  }

  /// RocksDB starts a log with each opening and drops the older ones with the
  /// next flush; who only reads would gather one empty file an opening.
  void remove_empty_logs(const std::string& folder, size_t empty_size) const {
    std::vector<rocksdb::FileAttributes> files;
    if (!files_->GetChildrenFileAttributes(folder, {}, &files, nullptr).ok())
      return;
    std::erase_if(files, [](const auto& file) { return !file.name.ends_with(".log"); });
    auto older = [](const auto& lhs, const auto& rhs) {
      return lhs.name.size() != rhs.name.size() ? lhs.name.size() < rhs.name.size() : lhs.name < rhs.name;
    };
    auto live = std::max_element(files.begin(), files.end(), older);
    for (const auto& file : files)
      if (file.size_bytes <= empty_size && file.name != live->name)
        files_->DeleteFile(join_path(folder, file.name), {}, nullptr).PermitUncheckedError();
  }

  result<void> try_key(const std::string& current, const file_cipher* cipher) const {
    std::unique_ptr<rocksdb::FSSequentialFile> file;
    auto status = files_->NewSequentialFile(current, {}, &file, nullptr);
    char scratch[file_cipher::header_size];
    Slice start;
    if (status.ok())
      status = file->Read(sizeof(scratch), {}, &start, scratch, nullptr);
    if (!status.ok())
      return fail(from_rocksdb(status, "read ordered store", current));
    auto view = as_view(text_of(start));
    if (cipher == nullptr && file_cipher::is_encrypted(view))
      return fail(errc::authentication_failed, "open an encrypted ordered store without its key", current);
    if (cipher == nullptr)
      return {};
    if (text_of(start).starts_with("MANIFEST-"))
      return fail(errc::invalid_argument, "open with a key an ordered store that has no encryption", current);
    auto opened = cipher->open_header(view);
    if (opened)
      return {};
    if (opened.error().code() == errc::format_alien)
      return fail(opened.error().as(errc::store_corrupt, "open ordered store", current));
    return fail(opened.error().within("open ordered store", current));
  }

  std::shared_ptr<rocksdb::FileSystem> files_;
  std::shared_ptr<random_source> random_;
  rocksdb_env_maker make_env_;
};

} // namespace

std::shared_ptr<ordered_store_opener> rocksdb_stores_on(std::shared_ptr<rocksdb::FileSystem> files, std::shared_ptr<random_source> random,
                                                        rocksdb_env_maker make_env) {
  // At exit what began last ends first: RocksDB's threads seal blocks, so OpenSSL has to
  // outlive them, and frees what it keeps for a thread only while it lives. Asked for
  // nothing it would not begin.
  OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS, nullptr);
  if (!make_env)
    make_env = rocksdb::NewCompositeEnv;
  return std::make_shared<rocksdb_opener>(std::move(files), std::move(random), std::move(make_env));
}

std::shared_ptr<ordered_store_opener> rocksdb_stores() {
  return rocksdb_stores_on(rocksdb::FileSystem::Default(), system_random());
}

} // namespace datamesh
