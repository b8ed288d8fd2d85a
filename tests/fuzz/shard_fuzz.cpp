// The header of a shard, as it is and with every hash made to fit: the block hashes
// lead to this shard's root, the roots to the pack id, and the checksum is right.
#include "crypto/hash.hpp"
#include "crypto/merkle.hpp"
#include "fuzz.hpp"
#include "storage/shard.hpp"

#include <algorithm>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

constexpr size_t fixed_size = 8 + 2 + 2 + 4 + 4 + 4 + 32;

uint32_t number(byte_view data, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i)
    value |= std::to_integer<uint32_t>(data[at + i]) << (8 * i);
  return value;
}

void parse(byte_view data) {
  if (data.size() >= 16)
    if (auto length = peek_shard_header_length(data.first(16)))
      fuzz::require(*length <= 1 << 20, "a claimed length is bounded");
  auto header = parse_shard_header(data);
  if (!header)
    return;
  auto [pack, index, hashes] = *header;
  fuzz::require(validate(pack.shape).has_value() && index < pack.shape.shard_count(), "the shape is possible");
  fuzz::require(hashes.size() == pack.shape.block_count(), "there is a hash for each block");
  for (bool as_file : {false, true})
    if (shard_header_length(pack.shape, as_file) <= data.size()) {
      auto encoded = encode_shard_header(*header, as_file);
      auto same = std::ranges::equal(encoded.view(), data.first(encoded.size()));
      auto length = number(data, 12);
      fuzz::require(same || length != encoded.size(), "there is one encoding");
    }
}

void stamp(std::vector<std::byte>& data) {
  geometry shape{std::to_integer<uint8_t>(data[16]), std::to_integer<uint8_t>(data[17]), number(data, 20)};
  auto index = std::to_integer<size_t>(data[18]);
  auto roots_at = fixed_size;
  auto hashes_at = roots_at + digest::size * shape.shard_count();
  auto sum_at = hashes_at + digest::size * size_t{shape.block_count()};
  if (!validate(shape) || index >= shape.shard_count() || sum_at + digest::size > data.size())
    return;
  auto digests = [&](size_t at, size_t count) {
    std::vector<digest> found;
    for (size_t i = 0; i < count; ++i)
      found.push_back(digest::from(byte_view{data}.subspan(at + i * digest::size, digest::size)));
    return found;
  };
  auto put = [&](size_t at, byte_view what) {
    std::ranges::copy(what, data.begin() + static_cast<ptrdiff_t>(at));
  };
  put(roots_at + index * digest::size, crypto::merkle_root(digests(hashes_at, shape.block_count())).view());
  put(24, pack_id_of(shape, digests(roots_at, shape.shard_count())).view());
  put(sum_at, crypto::blake3(byte_view{data}.first(sum_at)).view());
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto raw = fuzz::view(data, size);
  parse(raw);
  std::vector<std::byte> stamped(raw.begin(), raw.end());
  if (stamped.size() < fixed_size + digest::size)
    return 0;
  stamp(stamped);
  parse(stamped);
  return 0;
}
