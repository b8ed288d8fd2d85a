// The libraries alone, called as straight as they can be: what each stage of ours
// is measured against. Nothing here is used by the product.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <string>
#include <vector>

namespace datamesh::reference {

/// The gear scan as FastCDC publishes it: skips the minimum, one byte a step.
/// Answers the number of cuts.
size_t scan(byte_view data, const uint64_t* gear, size_t size_min, size_t size_target, size_t size_max);

/// Keyed BLAKE3 of the whole.
void hash(byte_view data, byte_view key, byte_span out);

/// BLAKE3 of each 64 KiB block behind a leaf byte; 32 bytes a block into *out*.
void hash_blocks(byte_view data, byte_span out);

/// zstd in one call; answers the packed length.
size_t compress(byte_view data, byte_span out, int level);
void expand(byte_view packed, byte_span out);

/// AES-256-GCM with a zero nonce; the tag goes behind.
void seal(byte_view data, byte_view key, byte_span out);
bool open(byte_view sealed, byte_view key, byte_span out);

/// ISA-L over whole shards, in one call.
class encoder {
public:
  encoder(size_t k, size_t m);
  void encode(const std::vector<byte_view>& data, const std::vector<byte_span>& parity) const;

private:
  size_t k_;
  size_t m_;
  std::vector<unsigned char> tables_;
};

/// Unnamed file, fallocate, one direct write of a header page and a body, fdatasync,
/// link, fsync of the folder: the discipline of a shard file. False when refused.
bool write_file(const std::string& folder, const std::string& name, byte_view header, byte_view body);

/// Reads a file past the page cache.
bool read_direct(const std::string& path, byte_span out);
/// Reads or writes a file through the page cache, 1 MiB a call.
bool read_cached(const std::string& path, byte_span scratch);
bool write_cached(const std::string& path, byte_view content, uint64_t size);

} // namespace datamesh::reference
