#include "storage/shard.hpp"

#include "crypto/hash.hpp"
#include "crypto/merkle.hpp"
#include "storage/little_endian.hpp"

#include <cassert>

namespace datamesh::storage {

namespace {

using namespace std::string_view_literals;

constexpr auto magic = "DMSHARD\1"sv;
constexpr uint16_t version = 1;
constexpr size_t fixed_size = 8 + 2 + 2 + 4 + 4 + 4 + pack_id::size;

constexpr size_t exact_length(size_t shard_count, size_t block_count) noexcept {
  return fixed_size + (shard_count + block_count + 1) * digest::size;
}

constexpr size_t round_up_to_file(size_t length) noexcept {
  return (length + direct_alignment - 1) / direct_alignment * direct_alignment;
}

constexpr size_t header_length_min = exact_length(1, 1);
constexpr size_t header_length_max = round_up_to_file(exact_length(shard_count_max, pack_buffer_size / block_size + 1));

uint32_t block_length(const geometry& shape, uint32_t number) noexcept {
  return std::min(block_size, shape.shard_length - number * block_size);
}

} // namespace

std::vector<digest> hash_blocks(byte_view body) {
  std::vector<digest> hashes;
  hashes.reserve((body.size() + block_size - 1) / block_size);
  for (size_t at = 0; at < body.size(); at += block_size)
    hashes.push_back(crypto::merkle_leaf(body.subspan(at, std::min<size_t>(block_size, body.size() - at))));
  return hashes;
}

pack_id pack_id_of(const geometry& shape, std::span<const digest> shard_roots) {
  assert(shard_roots.size() == shape.shard_count());
  std::array<std::byte, 9 + 1 + 1 + 4 + digest::size> image;
  layout_writer writer{image};
  writer.put("dm/pack/1"sv).put(shape.k).put(shape.m).put(shape.shard_length).put(crypto::merkle_root(shard_roots).view());
  assert(writer.written() == image.size());
  return pack_id::from(crypto::blake3(image).view());
}

uint32_t shard_header_length(const geometry& shape, bool as_file) {
  auto exact = exact_length(shape.shard_count(), shape.block_count());
  return static_cast<uint32_t>(as_file ? round_up_to_file(exact) : exact);
}

bytes encode_shard_header(const shard_header& header, bool as_file) {
  auto& shape = header.pack.shape;
  assert(header.pack.shard_roots.size() == shape.shard_count() && header.block_hashes.size() == shape.block_count());
  assert(header.index < shape.shard_count());
  std::vector<std::byte> out(shard_header_length(shape, as_file));
  layout_writer writer{out};
  writer.put(magic).put(version).put(uint16_t{0}).put(static_cast<uint32_t>(out.size()));
  writer.put(shape.k).put(shape.m).put(header.index).put(uint8_t{0}).put(shape.shard_length).put(header.pack.id.view());
  for (auto& root : header.pack.shard_roots)
    writer.put(root.view());
  for (auto& hash : header.block_hashes)
    writer.put(hash.view());
  writer.put(crypto::blake3(byte_view{out}.first(writer.written())).view());
  return bytes::take(std::move(out));
}

result<uint32_t> peek_shard_header_length(byte_view first16) {
  constexpr auto attempt = "read the start of a shard";
  if (first16.size() < 16)
    return fail(errc::format_damaged, attempt, "truncated");
  layout_reader reader{first16};
  if (as_text(reader.take(magic.size())).substr(0, 7) != magic.substr(0, 7))
    return fail(errc::format_alien, attempt);
  (void) reader.take(4);
  auto length = reader.get<uint32_t>();
  if (length < header_length_min || length > header_length_max)
    return fail(errc::format_damaged, attempt, "header length");
  return length;
}

result<shard_header> parse_shard_header(byte_view data) {
  constexpr auto attempt = "read a shard header";
  auto length = peek_shard_header_length(data);
  if (!length)
    return fail(length.error().within(attempt));
  auto damaged = [&](const char* what) {
    return fail(errc::format_damaged, attempt, what);
  };
  if (data.size() < *length)
    return damaged("truncated");
  shard_header header;
  auto& shape = header.pack.shape;
  layout_reader reader{data.first(*length)};
  auto magic_version = reader.take(magic.size()).back();
  auto found_version = reader.get<uint16_t>();
  auto reserved = reader.get<uint16_t>();
  (void) reader.take(4);
  shape.k = reader.get<uint8_t>();
  shape.m = reader.get<uint8_t>();
  header.index = reader.get<uint8_t>();
  reserved |= reader.get<uint8_t>();
  shape.shard_length = reader.get<uint32_t>();
  if (auto valid = validate(shape); !valid)
    return fail(valid.error().as(errc::format_damaged, attempt));
  auto exact = exact_length(shape.shard_count(), shape.block_count());
  if (*length != exact && *length != round_up_to_file(exact))
    return damaged("header length");
  header.pack.id = reader.get_id<pack_id>();
  for (size_t i = 0; i < shape.shard_count(); ++i)
    header.pack.shard_roots.push_back(reader.get_id<digest>());
  for (size_t i = 0; i < shape.block_count(); ++i)
    header.block_hashes.push_back(reader.get_id<digest>());
  // The checksum comes first: a flipped bit of the version is damage, which can be
  // repaired, and not a newer version, which must be left alone.
  if (reader.get_id<digest>() != crypto::blake3(data.first(exact - digest::size)))
    return damaged("checksum");
  if (magic_version != static_cast<std::byte>(magic.back()) || found_version > version)
    return fail(errc::format_newer, attempt);
  if (found_version != version || reserved != 0 || header.index >= shape.shard_count() || !reader.zeros(reader.left()))
    return damaged("version, index or padding");
  if (crypto::merkle_root(header.block_hashes) != header.pack.shard_roots[header.index])
    return damaged("block hashes do not lead to the shard's root");
  if (pack_id_of(shape, header.pack.shard_roots) != header.pack.id)
    return damaged("shard roots do not lead to the pack id");
  return header;
}

result<void> check_block(const shard_header& header, uint32_t number, byte_view block) {
  constexpr auto attempt = "check a block";
  auto& shape = header.pack.shape;
  if (number >= shape.block_count())
    return fail(errc::invalid_argument, attempt);
  if (block.size() != block_length(shape, number) || crypto::merkle_leaf(block) != header.block_hashes[number])
    return fail(errc::shard_damaged, attempt,
                header.pack.id.brief() + "/" + std::to_string(header.index) + " block " + std::to_string(number));
  return {};
}

} // namespace datamesh::storage
