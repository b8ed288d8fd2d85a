// The reading half of a drive: finds a shard in a file or in the index, reads it
// and checks it. Thread rule: any thread; borrows its index.
#pragma once

#include "datamesh/base/file_system.hpp"
#include "storage/shard_index.hpp"

#include <memory>
#include <string>

namespace datamesh::storage {

class shard_reader {
public:
  shard_reader(std::shared_ptr<file_system> files, std::string folder, const shard_index& index);

  // As the functions of these names in `shard_store`.
  [[nodiscard]] result<shard_header> read_header(const shard_key& key) const;
  [[nodiscard]] result<void> read(const shard_key& key, uint32_t offset, byte_span out) const;
  [[nodiscard]] result<void> read_checked(const shard_header& header, uint32_t first_block, byte_span out) const;
  [[nodiscard]] result<void> check_quick(const shard_key& key) const;
  [[nodiscard]] result<void> check_deep(const shard_key& key) const;

  /// True when exactly *header* and *body* can be read back. False for bytes that are
  /// gone, differ or do not read; an error only where the index does not answer.
  [[nodiscard]] result<bool> holds(const shard_record& record, byte_view header, byte_view body) const;

private:
  class source;
  [[nodiscard]] result<source> open(const shard_key& key, const geometry& shape, access_hint hint) const;
  [[nodiscard]] result<source> find(const shard_key& key, access_hint hint) const;
  [[nodiscard]] result<shard_header> read_header(const shard_key& key, const source& from) const;
  [[nodiscard]] result<shard_header> check_length_and_header(const shard_key& key, const source& from) const;

  std::shared_ptr<file_system> files_;
  std::string folder_;
  const shard_index& index_;
};

} // namespace datamesh::storage
