// The files of the small ordered store: framing, checking and reading back.
// Formats: docs/formats/simple-store.md.
#pragma once

#include "base/file_cipher.hpp"
#include "base/persistent_map.hpp"
#include "datamesh/base/file_system.hpp"

#include <optional>

namespace datamesh::simple {

using buffer = std::vector<std::byte>;

/// Bytes before the first record of a file, without the encryption header.
constexpr size_t file_head_size = 24;

/// Builds records one after the other.
class record_writer {
public:
  /// Starts with the head of a log or a state ("log", "state").
  void put_file_head(std::string_view kind, uint64_t generation);

  /// Starts a batch; `put` and `erase` add to it.
  void begin_batch();
  void put(std::string_view key, std::string_view value);
  void erase(std::string_view key);

  /// Ends the batch. @param durable all batches up to this one are durable
  void end_batch(uint64_t sequence, uint64_t durable);

  /// The last record of a state.
  void put_end(uint64_t sequence);

  [[nodiscard]] bool in_batch() const noexcept {
    return in_batch_;
  }
  [[nodiscard]] byte_view content() const noexcept {
    return content_;
  }
  void clear() noexcept {
    content_.clear();
  }

private:
  buffer content_;
  size_t start_ = 0; ///< Of the record being built.
  bool in_batch_ = false;
};

/// A file that is only appended to.
class appended_file {
public:
  /// Writes *data* at the end, encrypted if the file is.
  [[nodiscard]] result<void> append(byte_view data);

  [[nodiscard]] writable_file& file() noexcept {
    return *file_;
  }
  [[nodiscard]] uint64_t size() const noexcept {
    return size_;
  }

private:
  friend class store_folder;
  std::unique_ptr<writable_file> file_;
  std::shared_ptr<const file_cipher> cipher_;
  file_cipher::counter_block iv_{};
  uint64_t head_ = 0; ///< Bytes of the encryption header.
  uint64_t size_ = 0;
};

/// What the files of one generation say.
struct contents {
  persistent_map rows;
  uint64_t last = 0; ///< Sequence of the last batch.
  bool torn = false; ///< The log ends in bytes that are no record.
  uint64_t state_bytes = 0;
  uint64_t log_bytes = 0;
};

/// What lies in a store's folder.
struct inventory {
  std::optional<uint64_t> newest; ///< Generation of the newest state.
  std::vector<uint64_t> states;
  std::vector<uint64_t> logs;
};

/// The folder of a store, encrypted or not.
class store_folder {
public:
  /// @param cipher null for a store without encryption
  store_folder(std::shared_ptr<file_system> files, std::shared_ptr<random_source> random, std::shared_ptr<const file_cipher> cipher,
               std::string path);

  [[nodiscard]] bool encrypted() const noexcept {
    return cipher_ != nullptr;
  }
  [[nodiscard]] file_system& files() const noexcept {
    return *files_;
  }
  [[nodiscard]] const std::string& path() const noexcept {
    return path_;
  }
  [[nodiscard]] std::string path_of(std::string_view kind, uint64_t generation) const;

  [[nodiscard]] result<inventory> list() const;

  /// Starts a file with an encryption header of its own.
  [[nodiscard]] result<appended_file> start(result<std::unique_ptr<writable_file>> file) const;

  /// Goes on with a file without encryption.
  [[nodiscard]] result<appended_file> resume(const std::string& path, uint64_t size) const;

  /// Reads and checks state and log. A torn end of the log is told; all other
  /// damage is `store_corrupt`.
  [[nodiscard]] result<contents> load(uint64_t generation) const;

private:
  [[nodiscard]] result<buffer> read(const std::string& path) const;

  std::shared_ptr<file_system> files_;
  std::shared_ptr<random_source> random_;
  std::shared_ptr<const file_cipher> cipher_;
  std::string path_;
};

} // namespace datamesh::simple
