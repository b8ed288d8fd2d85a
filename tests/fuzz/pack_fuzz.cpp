// A pack, from outside in. The first byte says how far inside the rest lies: the whole
// pack as it is; its header with a checksum that fits; the table of contents, sealed
// under a fixed key; a batch of operations, sealed likewise.
#include "crypto/hash.hpp"
#include "fuzz.hpp"
#include "storage/envelope.hpp"
#include "storage/operation.hpp"
#include "storage/operation_batch.hpp"
#include "tests/support/seeded_random.hpp"

#include <algorithm>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

/// The vault in which everything is sealed.
struct fixed_vault {
  test::seeded_random random{1};
  crypto::aead cipher;
  crypto::keyring keys = *crypto::make_keyring(random);

  const crypto::space_keys& space() const {
    return keys.spaces.front();
  }
  const crypto::key256& key() const {
    return space().epoch_keys.at(space().epoch);
  }
};

std::vector<std::byte> joined(std::initializer_list<byte_view> parts) {
  std::vector<std::byte> all;
  for (auto part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

void stamp_header(std::vector<std::byte>& header) {
  auto sum = crypto::blake3(byte_view{header}.first(pack_header_size - 8));
  std::copy_n(sum.view().begin(), 8, header.begin() + pack_header_size - 8);
}

void check(const pack_header& header, const pack_table& table) {
  for (const auto& entry : table.chunks) {
    fuzz::require(entry.offset >= pack_header_size && uint64_t{entry.offset} + entry.sealed_length <= header.table_offset,
                  "a chunk is inside");
    fuzz::require(entry.plain_length <= chunk_plain_max, "a chunk is not too long");
  }
  for (const auto& entry : table.operations)
    fuzz::require(entry.offset >= pack_header_size && uint64_t{entry.offset} + entry.sealed_length <= header.table_offset,
                  "a batch is inside");
}

void read_pack(fixed_vault& vault, byte_view pack) {
  auto header = parse_pack_header(pack, pack.size());
  if (!header)
    return;
  fuzz::require(uint64_t{header->table_offset} + header->table_sealed_length <= pack.size(), "the table is inside");
  auto table = open_pack_table(*header, pack.subspan(header->table_offset, header->table_sealed_length), vault.keys, vault.cipher);
  if (!table)
    return;
  check(*header, *table);
  for (const auto& entry : table->operations)
    (void) open_operations(header->vault, header->space, entry, pack.subspan(entry.offset, entry.sealed_length), vault.keys, vault.cipher);
}

/// The header of a pack whose table lies 4 MiB behind its beginning.
void read_table(fixed_vault& vault, byte_view plain) {
  if (plain.size() > pack_table_max)
    return;
  constexpr uint32_t table_offset = 4 << 20;
  auto length = static_cast<uint32_t>(plain.size());
  auto sealed_length = length + static_cast<uint32_t>(seal_overhead);
  std::vector<std::byte> image;
  auto number = [&](uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i)
      image.push_back(static_cast<std::byte>(value >> (8 * i)));
  };
  image = joined({as_view(std::string_view{"DMPACK\0\1", 8})});
  number(1, 2);
  number(static_cast<uint64_t>(crypto::aead_suite::aes_256_gcm), 1);
  number(0, 1);
  number(vault.space().epoch, 4);
  number(table_offset + sealed_length, 4);
  number(table_offset, 4);
  number(sealed_length, 4);
  number(length, 4);
  number(1'767'225'600'000'000'000, 8);
  image = joined({image, vault.space().id.view(), vault.keys.vault.view()});
  image.resize(pack_header_size);
  stamp_header(image);
  auto header = parse_pack_header(image, table_offset + sealed_length);
  fuzz::require(header.has_value(), "a header that was made is read");
  std::vector<std::byte> sealed(sealed_length);
  auto info = joined({as_view("dm/toc/1"), vault.space().id.view()});
  auto aad = joined({as_view("dm/toc/1"), image});
  auto made = seal_envelope(vault.cipher, header->suite, vault.key(), info, aad, plain, vault.random, sealed);
  fuzz::require(made.has_value(), "a table can be sealed");
  auto table = open_pack_table(*header, sealed, vault.keys, vault.cipher);
  if (table)
    check(*header, *table);
  else
    fuzz::require(table.error().code() != errc::authentication_failed, "a table that was sealed opens");
}

/// The seal that `seal_operations` puts on a batch, on any bytes; the first says how
/// many operations the table claims.
void read_operations(fixed_vault& vault, byte_view data) {
  if (data.empty() || data.size() > 1 << 20)
    return;
  auto plain = data.subspan(1);
  operations_entry entry;
  entry.device = *random_id<device_id>(vault.random);
  entry.first_sequence = 1;
  entry.last_sequence = 1 + std::to_integer<uint64_t>(data[0]);
  entry.epoch = vault.space().epoch;
  entry.sealed_length = static_cast<uint32_t>(plain.size() + seal_overhead);
  auto info = joined({as_view("dm/ops/1"), entry.device.view()});
  auto aad = joined({as_view("dm/ops/1")});
  auto number = [&](uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i)
      aad.push_back(static_cast<std::byte>(value >> (8 * i)));
  };
  number(static_cast<uint64_t>(entry.suite), 1);
  aad = joined({aad, vault.keys.vault.view(), vault.space().id.view()});
  number(entry.epoch, 4);
  aad = joined({aad, entry.device.view()});
  number(entry.first_sequence, 8);
  number(entry.last_sequence, 8);
  std::vector<std::byte> sealed(entry.sealed_length);
  auto made = seal_envelope(vault.cipher, entry.suite, vault.key(), info, aad, plain, vault.random, sealed);
  fuzz::require(made.has_value(), "a batch can be sealed");
  auto operations = open_operations(vault.keys.vault, vault.space().id, entry, sealed, vault.keys, vault.cipher);
  if (!operations)
    return fuzz::require(operations.error().code() != errc::authentication_failed, "a batch that was sealed opens");
  for (const auto& encoded : *operations)
    if (auto decoded = decode_operation(encoded))
      fuzz::require(encode(*decoded) == encoded, "there is one encoding");
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  fixed_vault vault;
  auto rest = fuzz::view(data + 1, size - 1);
  switch (data[0] % 4) {
  case 0:
    read_pack(vault, rest);
    break;
  case 1: {
    std::vector<std::byte> stamped(rest.begin(), rest.end());
    stamped.resize(std::max(stamped.size(), pack_header_size));
    stamp_header(stamped);
    read_pack(vault, stamped);
    break;
  }
  case 2:
    read_table(vault, rest);
    break;
  default:
    read_operations(vault, rest);
  }
  return 0;
}
