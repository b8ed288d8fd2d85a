#include "storage/pack.hpp"

#include "crypto/hash.hpp"
#include "datamesh/v1/pack.pb.h"
#include "storage/envelope.hpp"
#include "storage/little_endian.hpp"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace datamesh::storage {

namespace {

using namespace std::string_view_literals;

constexpr auto magic = "DMPACK\0\1"sv;
constexpr uint16_t version = 1;
constexpr uint16_t version_with_checkpoints = 2;
constexpr size_t checksum_size = 8;
constexpr size_t reserve_size = 32;
constexpr auto table_domain = "dm/toc/1"sv;
constexpr int recursion_max = 16;

// What a table takes at the most: offsets and lengths are below 2^28, so their
// varints have four bytes at the most; an epoch has five.
constexpr uint64_t table_frame_bound = 64;
constexpr uint64_t chunk_row_bound = chunk_id::size + 4 + 4 + 4 + 5 + 1 + 1;
constexpr uint64_t operations_row_bound = 3 + 5 + 5 + 6 + 2 + 18 + 11 + 11 + 2;
constexpr uint64_t sealed_batch_min = seal_overhead + sizeof(uint32_t);
static_assert(pack_buffer_size < 1u << 28);
static_assert(table_frame_bound + pack_chunks_max * chunk_row_bound + pack_operations_max * operations_row_bound <= pack_table_max);

using header_image = std::array<std::byte, pack_header_size>;
using header_sum = std::array<std::byte, checksum_size>;

header_sum checksum_of(byte_view header) {
  header_sum sum;
  std::copy_n(crypto::blake3(header.first(pack_header_size - checksum_size)).view().begin(), sum.size(), sum.begin());
  return sum;
}

header_image encode(const pack_header& header) {
  header_image image;
  layout_writer writer{image};
  writer.put(magic).put(header.checkpoints ? version_with_checkpoints : version);
  writer.put(static_cast<uint8_t>(header.suite)).put(uint8_t{0}).put(header.epoch);
  writer.put(header.used_length).put(header.table_offset).put(header.table_sealed_length).put(header.table_plain_length);
  writer.put(header.created_ns).put(header.space.view()).put(header.vault.view()).zeros(reserve_size);
  writer.put(checksum_of(image));
  assert(writer.written() == image.size());
  return image;
}

// The whole header is authenticated with the table.
using aad_image = std::array<std::byte, table_domain.size() + pack_header_size>;

aad_image aad_of(const pack_header& header) {
  aad_image image;
  layout_writer{image}.put(table_domain).put(encode(header));
  return image;
}

using info_image = std::array<std::byte, table_domain.size() + space_id::size>;

info_image info_of(const space_id& space) {
  info_image image;
  layout_writer{image}.put(table_domain).put(space.view());
  return image;
}

bool known(uint64_t suite) noexcept {
  return suite == static_cast<uint64_t>(crypto::aead_suite::aes_256_gcm)
         || suite == static_cast<uint64_t>(crypto::aead_suite::chacha20_poly1305);
}

v1::PackTable to_proto(const pack_table& table) {
  v1::PackTable out;
  for (auto& chunk : table.chunks) {
    out.mutable_chunk_ids()->append(chunk.id.text());
    out.add_chunk_offset(chunk.offset);
    out.add_chunk_sealed_length(chunk.sealed_length);
    out.add_chunk_plain_length(chunk.plain_length);
    out.add_chunk_epoch(chunk.epoch);
    out.add_chunk_codec(static_cast<uint32_t>(chunk.method));
    out.add_chunk_suite(static_cast<uint32_t>(chunk.suite));
  }
  for (auto& batch : table.operations) {
    auto& row = *out.add_operations();
    row.set_offset(batch.offset);
    row.set_sealed_length(batch.sealed_length);
    row.set_epoch(batch.epoch);
    row.set_suite(static_cast<uint32_t>(batch.suite));
    row.set_device(std::string{batch.device.text()});
    row.set_first_sequence(batch.first_sequence);
    row.set_last_sequence(batch.last_sequence);
    row.set_checkpoint(batch.checkpoint);
  }
  return out;
}

// Chunks of a pack table, or nothing when a column or a value can not be.
std::optional<std::vector<chunk_entry>> chunks_of(const v1::PackTable& table) {
  auto count = table.chunk_ids().size() / chunk_id::size;
  if (count > pack_chunks_max || table.chunk_ids().size() % chunk_id::size != 0)
    return std::nullopt;
  for (auto* column : {&table.chunk_offset(), &table.chunk_sealed_length(), &table.chunk_plain_length(), &table.chunk_epoch(),
                       &table.chunk_codec(), &table.chunk_suite()})
    if (static_cast<size_t>(column->size()) != count)
      return std::nullopt;
  std::vector<chunk_entry> chunks(count);
  auto ids = as_view(table.chunk_ids());
  for (size_t i = 0; i < count; ++i) {
    auto row = static_cast<int>(i);
    auto& chunk = chunks[i];
    chunk.id = chunk_id::from(ids.subspan(i * chunk_id::size, chunk_id::size));
    chunk.offset = table.chunk_offset(row);
    chunk.sealed_length = table.chunk_sealed_length(row);
    chunk.plain_length = table.chunk_plain_length(row);
    chunk.epoch = table.chunk_epoch(row);
    auto method = table.chunk_codec(row);
    auto whole = chunk.plain_length + uint32_t{seal_overhead};
    auto length_possible = method == 0 ? chunk.sealed_length == whole : chunk.sealed_length > seal_overhead && chunk.sealed_length < whole;
    if (chunk.plain_length == 0 || chunk.plain_length > chunk_plain_max || method > 1 || !known(table.chunk_suite(row)) || !length_possible)
      return std::nullopt;
    chunk.method = static_cast<codec>(method);
    chunk.suite = static_cast<crypto::aead_suite>(table.chunk_suite(row));
  }
  return chunks;
}

std::optional<std::vector<operations_entry>> operations_of(const v1::PackTable& table) {
  if (static_cast<size_t>(table.operations_size()) > pack_operations_max)
    return std::nullopt;
  std::vector<operations_entry> batches;
  for (auto& row : table.operations()) {
    if (row.device().size() != device_id::size || !known(row.suite()) || row.first_sequence() > row.last_sequence()
        || row.sealed_length() < sealed_batch_min)
      return std::nullopt;
    batches.push_back({row.offset(), row.sealed_length(), row.epoch(), static_cast<crypto::aead_suite>(row.suite()),
                       device_id::from(as_view(row.device())), row.first_sequence(), row.last_sequence(), row.checkpoint()});
  }
  return batches;
}

// True when everything lies between header and table and nothing overlaps.
bool entries_fit(const pack_table& table, uint32_t table_offset) {
  std::vector<std::pair<uint64_t, uint64_t>> places;
  for (auto& chunk : table.chunks)
    places.emplace_back(chunk.offset, chunk.sealed_length);
  for (auto& batch : table.operations)
    places.emplace_back(batch.offset, batch.sealed_length);
  std::ranges::sort(places);
  uint64_t end = pack_header_size;
  for (auto [offset, length] : places) {
    if (offset < end)
      return false;
    end = offset + length;
  }
  return end <= table_offset;
}

} // namespace

pack_builder::pack_builder(byte_span buffer, uint32_t size_limit) : buffer_(buffer), size_limit_(size_limit) {
  assert(buffer.size() > 4 * size_t{direct_alignment});
  // A shard's length is rounded up to 4096 where it is a file, which takes 64 KiB
  // a shard at the least, and to 64 where it is not.
  auto length = std::min<uint64_t>(buffer.size(), pack_buffer_size);
  auto files = std::min<uint64_t>(shard_count_max, length / (inline_shard_max - shard_alignment) + 1);
  auto padding = std::max(files * direct_alignment, uint64_t{shard_count_max} * shard_alignment);
  hard_limit_ = static_cast<uint32_t>(length - padding);
}

uint64_t pack_builder::table_bound() const noexcept {
  return seal_overhead + table_frame_bound + table_.chunks.size() * chunk_row_bound + table_.operations.size() * operations_row_bound;
}

bool pack_builder::fits(uint32_t sealed_length, uint32_t operation_bytes) const noexcept {
  if (table_.chunks.size() >= pack_chunks_max)
    return false;
  auto batches = operation_bytes > 0 ? operation_bytes / sealed_batch_min + 1 : 0;
  auto end = uint64_t{used_} + sealed_length + operation_bytes + table_bound() + chunk_row_bound + batches * operations_row_bound;
  return end <= hard_limit_ && (empty() || end <= size_limit_);
}

byte_span pack_builder::add_chunk(chunk_entry& entry) {
  assert(fits(entry.sealed_length) && entry.sealed_length > seal_overhead);
  entry.offset = used_;
  used_ += entry.sealed_length;
  table_.chunks.push_back(entry);
  return buffer_.subspan(entry.offset, entry.sealed_length);
}

result<void> pack_builder::add_operations(operations_entry entry, byte_view sealed) {
  constexpr auto attempt = "add operations to a pack";
  if (sealed.size() != entry.sealed_length || sealed.size() < sealed_batch_min || entry.first_sequence > entry.last_sequence)
    return fail(errc::invalid_argument, attempt);
  if (table_.operations.size() >= pack_operations_max || used_ + sealed.size() + table_bound() + operations_row_bound > hard_limit_)
    return fail(errc::capacity_exceeded, attempt);
  entry.offset = used_;
  std::copy(sealed.begin(), sealed.end(), buffer_.begin() + used_);
  used_ += entry.sealed_length;
  table_.operations.push_back(entry);
  return {};
}

bool pack_builder::empty() const noexcept {
  return table_.chunks.empty() && table_.operations.empty();
}

uint32_t pack_builder::used() const noexcept {
  return used_;
}

result<geometry> pack_builder::finish(const vault_id& vault, const crypto::space_keys& space, int64_t now_ns, uint8_t k, uint8_t m,
                                      crypto::aead& cipher, random_source& random) {
  constexpr auto attempt = "finish a pack";
  if (empty())
    return fail(errc::invalid_argument, attempt, "empty");
  if (k == 0 || size_t{k} + m > shard_count_max)
    return fail(errc::policy_invalid, attempt);
  auto key = space.epoch_keys.find(space.epoch);
  if (key == space.epoch_keys.end())
    return fail(errc::unknown_epoch, attempt, space.id.brief());
  table_.space = space.id;
  table_.epoch = space.epoch;
  table_.created_ns = now_ns;
  auto content = to_proto(table_);
  auto plain_length = static_cast<uint32_t>(content.ByteSizeLong());
  assert(plain_length + seal_overhead <= table_bound());
  auto sealed_length = plain_length + static_cast<uint32_t>(seal_overhead);
  pack_header header{vault,         space.id,     space.epoch, crypto::preferred_suite(), used_ + sealed_length, used_,
                     sealed_length, plain_length, now_ns};
  header.checkpoints = std::ranges::any_of(table_.operations, &operations_entry::checkpoint);
  auto shape = geometry_for(k, m, header.used_length);
  assert(shape.data_length() <= buffer_.size());
  auto sealed = buffer_.subspan(used_, sealed_length);
  auto plain = sealed.subspan(seal_prefix_size, plain_length);
  if (!content.SerializeToArray(plain.data(), static_cast<int>(plain.size())))
    return fail(errc::internal, attempt, "write the table");
  auto outcome = seal_envelope(cipher, header.suite, key->second, info_of(space.id), aad_of(header), plain, random, sealed);
  if (!outcome)
    return fail(outcome.error().within(attempt));
  std::ranges::copy(encode(header), buffer_.begin());
  std::ranges::fill(buffer_.subspan(header.used_length, shape.data_length() - header.used_length), std::byte{0});
  used_ = header.used_length;
  return shape;
}

result<pack_header> parse_pack_header(byte_view header, uint64_t pack_length) {
  constexpr auto attempt = "read a pack header";
  auto damaged = [&](const char* what) {
    return fail(errc::format_damaged, attempt, what);
  };
  if (header.size() < pack_header_size)
    return damaged("truncated");
  header = header.first(pack_header_size);
  layout_reader reader{header};
  auto found = as_text(reader.take(magic.size()));
  if (found.substr(0, 7) != magic.substr(0, 7))
    return fail(errc::format_alien, attempt);
  // The checksum comes first: a flipped bit of the version is damage.
  if (!std::ranges::equal(checksum_of(header), header.last(checksum_size)))
    return damaged("checksum");
  auto found_version = reader.get<uint16_t>();
  if (found.back() != magic.back() || found_version > version_with_checkpoints)
    return fail(errc::format_newer, attempt);
  if (found_version < version)
    return damaged("version");
  auto suite = reader.get<uint8_t>();
  auto flags = reader.get<uint8_t>();
  pack_header out;
  out.checkpoints = found_version == version_with_checkpoints;
  out.suite = static_cast<crypto::aead_suite>(suite);
  out.epoch = reader.get<uint32_t>();
  out.used_length = reader.get<uint32_t>();
  out.table_offset = reader.get<uint32_t>();
  out.table_sealed_length = reader.get<uint32_t>();
  out.table_plain_length = reader.get<uint32_t>();
  out.created_ns = reader.get<int64_t>();
  out.space = reader.get_id<space_id>();
  out.vault = reader.get_id<vault_id>();
  if (!known(suite) || flags != 0 || !reader.zeros(reserve_size))
    return damaged("suite, flags or reserve");
  if (pack_length > pack_buffer_size || out.used_length > pack_length || out.table_offset < pack_header_size
      || out.table_plain_length > pack_table_max || out.table_sealed_length != out.table_plain_length + seal_overhead
      || uint64_t{out.table_offset} + out.table_sealed_length != out.used_length)
    return damaged("lengths");
  return out;
}

result<pack_table> open_pack_table(const pack_header& header, byte_view sealed_table, const crypto::keyring& keys, crypto::aead& cipher) {
  constexpr auto attempt = "open the table of a pack";
  auto damaged = [&](const char* what) {
    return fail(errc::format_damaged, attempt, what);
  };
  if (sealed_table.size() != header.table_sealed_length || sealed_table.size() < seal_overhead
      || header.table_plain_length > pack_table_max)
    return damaged("length");
  auto* space = keys.vault == header.vault ? keys.find(header.space) : nullptr;
  if (space == nullptr || !space->epoch_keys.contains(header.epoch))
    return fail(errc::unknown_epoch, attempt, header.space.brief() + "/" + std::to_string(header.epoch));
  std::vector<std::byte> plain(sealed_table.size() - seal_overhead);
  auto opened =
      open_envelope(cipher, header.suite, space->epoch_keys.at(header.epoch), info_of(header.space), aad_of(header), sealed_table, plain);
  if (!opened)
    return fail(opened.error().within(attempt));
  google::protobuf::io::CodedInputStream input{reinterpret_cast<const uint8_t*>(plain.data()), static_cast<int>(plain.size())};
  input.SetRecursionLimit(recursion_max);
  v1::PackTable content;
  if (!content.ParseFromCodedStream(&input) || !input.ConsumedEntireMessage())
    return damaged("message");
  auto chunks = chunks_of(content);
  auto operations = operations_of(content);
  if (!chunks || !operations)
    return damaged("entries");
  pack_table table{header.space, header.epoch, header.created_ns, std::move(*chunks), std::move(*operations)};
  if (!entries_fit(table, header.table_offset))
    return damaged("places");
  return table;
}

} // namespace datamesh::storage
