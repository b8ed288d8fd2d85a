#include "base/encrypted_files.hpp"

#include "base/rocksdb_status.hpp"

#include <rocksdb/file_system.h>

#include <algorithm>

namespace datamesh {

namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr auto head = file_cipher::header_size;
constexpr size_t piece_size = 64 << 10;

byte_view view_of(const Slice& slice) {
  return as_view({slice.data(), slice.size()});
}

uint64_t content_size(uint64_t file_size) {
  return file_size < head ? 0 : file_size - head;
}

/// The cipher and what it needs for one file.
struct file_key {
  std::shared_ptr<const file_cipher> cipher;
  file_cipher::counter_block iv{};
  bool empty = false; ///< The header never reached the disk.

  /// Decrypts what was read at *offset* of the content into *scratch*.
  IOStatus open(uint64_t offset, Slice* result, char* scratch) const {
    auto opened = byte_span{reinterpret_cast<std::byte*>(scratch), result->size()};
    if (auto ok = cipher->apply(iv, offset, view_of(*result), opened); !ok)
      return to_rocksdb(ok.error());
    *result = Slice{scratch, result->size()};
    return IOStatus::OK();
  }

  IOStatus read_header(const Slice& start) {
    auto view = view_of(start);
    empty = view.size() < head || std::all_of(view.begin(), view.end(), [](std::byte one) { return one == std::byte{0}; });
    if (empty)
      return IOStatus::OK();
    auto opened = cipher->open_header(view);
    if (!opened)
      return opened.error().code() == errc::format_alien ? IOStatus::Corruption("a file without an encryption header")
                                                         : to_rocksdb(opened.error());
    iv = *opened;
    return IOStatus::OK();
  }
};

class sequential_file : public rocksdb::FSSequentialFile {
public:
  sequential_file(std::unique_ptr<FSSequentialFile> below, file_key key) : below_(std::move(below)), key_(std::move(key)) {}

  IOStatus Read(size_t count, const IOOptions& options, Slice* result, char* scratch, IODebugContext* debug) override {
    *result = Slice{};
    if (key_.empty)
      return IOStatus::OK();
    auto status = below_->Read(count, options, result, scratch, debug);
    if (!status.ok())
      return status;
    status = key_.open(offset_, result, scratch);
    offset_ += result->size();
    return status;
  }

  IOStatus Skip(uint64_t count) override {
    offset_ += count;
    return below_->Skip(count);
  }

  IOStatus InvalidateCache(size_t offset, size_t length) override {
    return below_->InvalidateCache(offset + head, length);
  }

private:
  std::unique_ptr<FSSequentialFile> below_;
  file_key key_;
  uint64_t offset_ = 0;
};

class random_access_file : public rocksdb::FSRandomAccessFile {
public:
  random_access_file(std::unique_ptr<FSRandomAccessFile> below, file_key key) : below_(std::move(below)), key_(std::move(key)) {}

  IOStatus Read(uint64_t offset, size_t count, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext* debug) const override {
    *result = Slice{};
    if (key_.empty)
      return IOStatus::OK();
    auto status = below_->Read(offset + head, count, options, result, scratch, debug);
    return status.ok() ? key_.open(offset, result, scratch) : status;
  }

  IOStatus Prefetch(uint64_t offset, size_t count, const IOOptions& options, IODebugContext* debug) override {
    return below_->Prefetch(offset + head, count, options, debug);
  }

  size_t GetUniqueId(char* id, size_t size_max) const override {
    return below_->GetUniqueId(id, size_max);
  }

  void Hint(AccessPattern pattern) override {
    below_->Hint(pattern);
  }

  IOStatus InvalidateCache(size_t offset, size_t length) override {
    return below_->InvalidateCache(offset + head, length);
  }

private:
  std::unique_ptr<FSRandomAccessFile> below_;
  file_key key_;
};

class writable_file_above : public rocksdb::FSWritableFileOwnerWrapper {
public:
  writable_file_above(std::unique_ptr<FSWritableFile> below, file_key key)
      : FSWritableFileOwnerWrapper(std::move(below)), key_(std::move(key)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    auto rest = view_of(data);
    while (!rest.empty()) {
      auto piece = rest.first(std::min(rest.size(), piece_size));
      sealed_.resize(piece.size());
      if (auto ok = key_.cipher->apply(key_.iv, size_, piece, sealed_); !ok)
        return to_rocksdb(ok.error());
      auto text = as_text(sealed_);
      if (auto status = target()->Append(Slice{text.data(), text.size()}, options, debug); !status.ok())
        return status;
      size_ += piece.size();
      rest = rest.subspan(piece.size());
    }
    return IOStatus::OK();
  }

  /// The checksum handed over is one of the plain bytes; below it means nothing.
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&, IODebugContext* debug) override {
    return Append(data, options, debug);
  }

  /// Would write over what stands there, under the same counter blocks.
  IOStatus PositionedAppend(const Slice&, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::NotSupported("PositionedAppend to an encrypted file");
  }
  IOStatus PositionedAppend(const Slice&, uint64_t, const IOOptions&, const rocksdb::DataVerificationInfo&, IODebugContext*) override {
    return IOStatus::NotSupported("PositionedAppend to an encrypted file");
  }

  IOStatus Truncate(uint64_t size, const IOOptions& options, IODebugContext* debug) override {
    return size < size_ ? IOStatus::NotSupported("shortening an encrypted file") : target()->Truncate(size + head, options, debug);
  }

  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    return size_;
  }

  IOStatus InvalidateCache(size_t offset, size_t length) override {
    return target()->InvalidateCache(offset + head, length);
  }

  IOStatus RangeSync(uint64_t offset, uint64_t count, const IOOptions& options, IODebugContext* debug) override {
    return target()->RangeSync(offset + head, count, options, debug);
  }

  void PrepareWrite(size_t offset, size_t count, const IOOptions& options, IODebugContext* debug) override {
    target()->PrepareWrite(offset + head, count, options, debug);
  }

  IOStatus Allocate(uint64_t offset, uint64_t count, const IOOptions& options, IODebugContext* debug) override {
    return target()->Allocate(offset + head, count, options, debug);
  }

private:
  file_key key_;
  uint64_t size_ = 0; ///< Of the content.
  std::vector<std::byte> sealed_;
};

class encrypting_file_system : public rocksdb::FileSystemWrapper {
public:
  encrypting_file_system(const std::shared_ptr<FileSystem>& below, std::shared_ptr<const file_cipher> cipher,
                         std::shared_ptr<random_source> random)
      : FileSystemWrapper(below), cipher_(std::move(cipher)), random_(std::move(random)) {}

  const char* Name() const override {
    return "datamesh-encrypted-files";
  }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions& options, std::unique_ptr<rocksdb::FSSequentialFile>* made,
                             IODebugContext* debug) override {
    made->reset();
    std::unique_ptr<rocksdb::FSSequentialFile> below;
    auto status = target()->NewSequentialFile(path, buffered(options), &below, debug);
    file_key key{cipher_};
    char scratch[head];
    Slice start;
    if (status.ok())
      status = below->Read(head, options.io_options, &start, scratch, debug);
    if (status.ok())
      status = key.read_header(start);
    if (status.ok())
      *made = std::make_unique<sequential_file>(std::move(below), std::move(key));
    return status;
  }

  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions& options, std::unique_ptr<rocksdb::FSRandomAccessFile>* made,
                               IODebugContext* debug) override {
    made->reset();
    std::unique_ptr<rocksdb::FSRandomAccessFile> below;
    auto status = target()->NewRandomAccessFile(path, buffered(options), &below, debug);
    file_key key{cipher_};
    char scratch[head];
    Slice start;
    if (status.ok())
      status = below->Read(0, head, options.io_options, &start, scratch, debug);
    if (status.ok())
      status = key.read_header(start);
    if (status.ok())
      *made = std::make_unique<random_access_file>(std::move(below), std::move(key));
    return status;
  }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options, std::unique_ptr<rocksdb::FSWritableFile>* made,
                           IODebugContext* debug) override {
    made->reset();
    std::unique_ptr<rocksdb::FSWritableFile> below;
    auto status = target()->NewWritableFile(path, buffered(options), &below, debug);
    if (!status.ok())
      return status;
    auto header = cipher_->make_header(*random_);
    if (!header)
      return to_rocksdb(header.error());
    auto text = as_text(*header);
    status = below->Append(Slice{text.data(), text.size()}, options.io_options, debug);
    file_key key{cipher_};
    if (status.ok())
      status = key.read_header(Slice{text.data(), text.size()});
    if (status.ok())
      *made = std::make_unique<writable_file_above>(std::move(below), std::move(key));
    return status;
  }

  // What would write in place or beside the cipher is refused; none of our settings needs it.

  IOStatus ReopenWritableFile(const std::string& path, const FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>*,
                              IODebugContext*) override {
    return IOStatus::NotSupported("reopen an encrypted file for writing", path);
  }
  IOStatus ReuseWritableFile(const std::string& path, const std::string&, const FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>*,
                             IODebugContext*) override {
    return IOStatus::NotSupported("reuse an encrypted file", path);
  }
  IOStatus NewRandomRWFile(const std::string& path, const FileOptions&, std::unique_ptr<rocksdb::FSRandomRWFile>*,
                           IODebugContext*) override {
    return IOStatus::NotSupported("write into an encrypted file", path);
  }
  IOStatus NewMemoryMappedFileBuffer(const std::string& path, std::unique_ptr<rocksdb::MemoryMappedFileBuffer>*) override {
    return IOStatus::NotSupported("map an encrypted file", path);
  }
  IOStatus NewLogger(const std::string& path, const IOOptions&, std::shared_ptr<rocksdb::Logger>*, IODebugContext*) override {
    return IOStatus::NotSupported("log in plain text", path);
  }
  IOStatus Truncate(const std::string& path, size_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::NotSupported("shorten an encrypted file", path);
  }

  IOStatus GetFileSize(const std::string& path, const IOOptions& options, uint64_t* size, IODebugContext* debug) override {
    auto status = target()->GetFileSize(path, options, size, debug);
    if (status.ok())
      *size = content_size(*size);
    return status;
  }

  IOStatus GetChildrenFileAttributes(const std::string& folder, const IOOptions& options, std::vector<rocksdb::FileAttributes>* result,
                                     IODebugContext* debug) override {
    auto status = target()->GetChildrenFileAttributes(folder, options, result, debug);
    if (status.ok())
      for (auto& file : *result)
        file.size_bytes = content_size(file.size_bytes);
    return status;
  }

private:
  /// Direct and mapped access would pass the cipher by.
  static FileOptions buffered(FileOptions options) {
    options.use_direct_reads = options.use_direct_writes = false;
    options.use_mmap_reads = options.use_mmap_writes = false;
    return options;
  }

  std::shared_ptr<const file_cipher> cipher_;
  std::shared_ptr<random_source> random_;
};

} // namespace

std::shared_ptr<rocksdb::FileSystem> encrypted_files(std::shared_ptr<rocksdb::FileSystem> below, std::shared_ptr<const file_cipher> cipher,
                                                     std::shared_ptr<random_source> random) {
  return std::make_shared<encrypting_file_system>(std::move(below), std::move(cipher), std::move(random));
}

} // namespace datamesh
