#include "tests/libdatamesh/base/rocksdb_on_files.hpp"

#include "base/rocksdb_status.hpp"
#include "base/rocksdb_store.hpp"

#include <rocksdb/env.h>
#include <rocksdb/file_system.h>
#include <rocksdb/system_clock.h>

namespace datamesh::test {

namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

template <class T>
IOStatus status_of(const result<T>& done) {
  return done ? IOStatus::OK() : to_rocksdb(done.error());
}

IOStatus read(readable_file& file, uint64_t offset, size_t count, Slice* out, char* scratch) {
  auto got = file.read_at(offset, {reinterpret_cast<std::byte*>(scratch), count});
  *out = got ? Slice{scratch, *got} : Slice{};
  return status_of(got);
}

class sequential : public rocksdb::FSSequentialFile {
public:
  explicit sequential(std::unique_ptr<readable_file> file) : file_(std::move(file)) {}
  IOStatus Read(size_t count, const IOOptions&, Slice* out, char* scratch, IODebugContext*) override {
    auto status = read(*file_, offset_, count, out, scratch);
    offset_ += out->size();
    return status;
  }
  IOStatus Skip(uint64_t count) override {
    offset_ += count;
    return IOStatus::OK();
  }

private:
  std::unique_ptr<readable_file> file_;
  uint64_t offset_ = 0;
};

class random_access : public rocksdb::FSRandomAccessFile {
public:
  explicit random_access(std::unique_ptr<readable_file> file) : file_(std::move(file)) {}
  IOStatus Read(uint64_t offset, size_t count, const IOOptions&, Slice* out, char* scratch, IODebugContext*) const override {
    return read(*file_, offset, count, out, scratch);
  }

private:
  std::unique_ptr<readable_file> file_;
};

class writable : public rocksdb::FSWritableFile {
public:
  explicit writable(std::unique_ptr<writable_file> file) : file_(std::move(file)) {}
  using FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    auto part = as_view({data.data(), data.size()});
    auto done = file_->write_at(size_, {&part, 1});
    if (done)
      size_ += data.size();
    return status_of(done);
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    size_ = size;
    return status_of(file_->resize(size));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus Flush(const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    return status_of(file_->sync());
  }
  bool IsSyncThreadSafe() const override {
    return true;
  }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    return size_;
  }

private:
  std::unique_ptr<writable_file> file_;
  uint64_t size_ = 0;
};

class folder : public rocksdb::FSDirectory {
public:
  folder(std::shared_ptr<file_system> files, std::string path) : files_(std::move(files)), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return status_of(files_->sync_folder(path_));
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }

private:
  std::shared_ptr<file_system> files_;
  std::string path_;
};

class held_lock : public rocksdb::FileLock {
public:
  explicit held_lock(std::unique_ptr<file_lock> lock) : lock_(std::move(lock)) {}

private:
  std::unique_ptr<file_lock> lock_;
};

class adapter : public rocksdb::FileSystem {
public:
  explicit adapter(std::shared_ptr<file_system> files) : files_(std::move(files)) {}

  const char* Name() const override {
    return "datamesh-simulated-files";
  }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions&, std::unique_ptr<rocksdb::FSSequentialFile>* made,
                             IODebugContext*) override {
    return make<sequential>(files_->open_read(path), made);
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions&, std::unique_ptr<rocksdb::FSRandomAccessFile>* made,
                               IODebugContext*) override {
    return make<random_access>(files_->open_read(path), made);
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>* made,
                           IODebugContext*) override {
    return make<writable>(files_->create(path), made);
  }

  IOStatus NewDirectory(const std::string& path, const IOOptions&, std::unique_ptr<rocksdb::FSDirectory>* made, IODebugContext*) override {
    auto there = files_->status(path);
    if (there)
      *made = std::make_unique<folder>(files_, path);
    return status_of(there);
  }

  IOStatus FileExists(const std::string& path, const IOOptions&, IODebugContext*) override {
    auto there = files_->status(path);
    return !there && there.error().code() == errc::not_found ? IOStatus::NotFound(path) : status_of(there);
  }

  IOStatus GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* names, IODebugContext*) override {
    names->clear();
    auto entries = files_->list(path);
    if (entries)
      for (const auto& entry : *entries)
        names->push_back(entry.name);
    return status_of(entries);
  }

  IOStatus DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) override {
    return status_of(files_->remove(path));
  }
  IOStatus CreateDir(const std::string& path, const IOOptions& options, IODebugContext* debug) override {
    return FileExists(path, options, debug).ok() ? IOStatus::IOError("there already", path) : CreateDirIfMissing(path, options, debug);
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions&, IODebugContext*) override {
    // A folder that is there is told as such on a read-only file system, too.
    if (files_->status(path))
      return IOStatus::OK();
    return status_of(files_->make_folder(path));
  }
  IOStatus DeleteDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return status_of(files_->remove_folder(path));
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&, IODebugContext*) override {
    return status_of(files_->rename(from, to));
  }

  IOStatus GetFileSize(const std::string& path, const IOOptions&, uint64_t* size, IODebugContext*) override {
    auto there = files_->status(path);
    *size = there ? there->size : 0;
    return status_of(there);
  }
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions&, uint64_t* time, IODebugContext*) override {
    auto there = files_->status(path);
    *time = there ? static_cast<uint64_t>(there->modified_ns / 1'000'000'000) : 0;
    return status_of(there);
  }
  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is_folder, IODebugContext*) override {
    auto there = files_->status(path);
    *is_folder = there && there->kind == file_kind::folder;
    return status_of(there);
  }

  IOStatus LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** made, IODebugContext*) override {
    auto lock = files_->lock(path);
    *made = lock ? new held_lock{std::move(*lock)} : nullptr;
    return status_of(lock);
  }
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) override {
    delete lock;
    return IOStatus::OK();
  }

  IOStatus GetTestDirectory(const IOOptions&, std::string*, IODebugContext*) override {
    return IOStatus::NotSupported("GetTestDirectory");
  }
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* out, IODebugContext*) override {
    *out = path;
    return IOStatus::OK();
  }

private:
  template <class Made, class File, class Base>
  static IOStatus make(result<std::unique_ptr<File>> opened, std::unique_ptr<Base>* made) {
    made->reset();
    if (opened)
      *made = std::make_unique<Made>(std::move(*opened));
    return status_of(opened);
  }

  std::shared_ptr<file_system> files_;
};

class sleepless_clock : public rocksdb::SystemClockWrapper {
public:
  sleepless_clock() : SystemClockWrapper(rocksdb::SystemClock::Default()) {}
  const char* Name() const override {
    return "datamesh-sleepless-clock";
  }
  void SleepForMicroseconds(int) override {}
};

class sleepless_env : public rocksdb::EnvWrapper {
public:
  explicit sleepless_env(std::unique_ptr<rocksdb::Env> below) : EnvWrapper(below.get()), below_(std::move(below)) {
    file_system_ = below_->GetFileSystem();
    system_clock_ = std::make_shared<sleepless_clock>();
  }
  const char* Name() const override {
    return "datamesh-sleepless-env";
  }
  void SleepForMicroseconds(int) override {}

private:
  std::unique_ptr<rocksdb::Env> below_;
};

} // namespace

std::shared_ptr<ordered_store_opener> rocksdb_stores_over(std::shared_ptr<file_system> files, std::shared_ptr<random_source> random) {
  return rocksdb_stores_on(std::make_shared<adapter>(std::move(files)), std::move(random),
                           [](std::shared_ptr<rocksdb::FileSystem> below) -> std::unique_ptr<rocksdb::Env> {
                             return std::make_unique<sleepless_env>(rocksdb::NewCompositeEnv(below));
                           });
}

} // namespace datamesh::test
