#include "network/kept_records.hpp"

#include "base/little_endian.hpp"
#include "crypto/hash.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

constexpr std::string_view magic{"DMRECRD\x01", 8};
constexpr uint16_t version = 1;
constexpr size_t header_size = 16;
constexpr size_t length_size = 2;
constexpr auto reading = "read the records that are kept";

} // namespace

std::vector<std::byte> encode_kept(const record_store& records) {
  std::vector<std::byte> out(header_size);
  std::ranges::copy(as_view(magic), out.begin());
  store_le<uint16_t>(byte_span{out}.subspan(8), version);
  uint32_t count = 0;
  records.each([&](const signed_record& record) {
    if (!outlives_publisher(record.name.kind) || out.size() + length_size + record.raw.size() + digest::size > kept_bytes_max)
      return;
    out.resize(out.size() + length_size);
    store_le<uint16_t>(byte_span{out}.last(length_size), static_cast<uint16_t>(record.raw.size()));
    out.insert(out.end(), record.raw.view().begin(), record.raw.view().end());
    ++count;
  });
  if (count == 0)
    return {};
  store_le<uint32_t>(byte_span{out}.subspan(12), count);
  auto checksum = crypto::blake3(out);
  out.insert(out.end(), checksum.view().begin(), checksum.view().end());
  return out;
}

result<std::vector<signed_record>> decode_kept(const network_id& mesh, byte_view saved, clock::wall_time now) {
  if (saved.size() < magic.size() || as_text(saved.first(magic.size())) != magic)
    return fail(errc::format_alien, reading);
  if (saved.size() < header_size + digest::size || saved.size() > kept_bytes_max)
    return fail(errc::format_damaged, reading, "its size");
  auto content = saved.first(saved.size() - digest::size);
  if (digest::from(saved.last(digest::size)) != crypto::blake3(content))
    return fail(errc::format_damaged, reading, "the checksum is wrong");
  if (load_le<uint16_t>(content.subspan(8)) > version)
    return fail(errc::format_newer, reading);
  auto count = load_le<uint32_t>(content.subspan(12));
  if (load_le<uint16_t>(content.subspan(8)) != version || load_le<uint16_t>(content.subspan(10)) != 0)
    return fail(errc::format_damaged, reading, "its header");
  std::vector<signed_record> records;
  auto rest = content.subspan(header_size);
  for (; count > 0; --count) {
    size_t length = rest.size() < length_size ? 0 : load_le<uint16_t>(rest);
    if (length == 0 || length > rest.size() - length_size)
      return fail(errc::format_damaged, reading, "a length");
    // One that has run out meanwhile, or is not as it was signed, is passed over.
    if (auto record = open_record(mesh, rest.subspan(length_size, length), now); record && outlives_publisher(record->name.kind))
      records.push_back(std::move(*record));
    rest = rest.subspan(length_size + length);
  }
  if (!rest.empty())
    return fail(errc::format_damaged, reading, "something follows the records");
  return records;
}

} // namespace datamesh::network
