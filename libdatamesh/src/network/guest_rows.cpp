#include "network/guest_rows.hpp"

#include "storage/little_endian.hpp"

#include <vector>

namespace datamesh::network {

using storage::layout_reader;
using storage::layout_writer;

std::string shard_prefix(const shard_key& shard) {
  std::string key{ticket_prefix};
  key += shard.pack.text();
  key += static_cast<char>(shard.index);
  return key;
}
std::string ticket_key(const shard_key& shard, const vault_id& owner) {
  return shard_prefix(shard).append(owner.text());
}
std::string pack_prefix(const vault_id& owner, const pack_id& pack) {
  std::string key{owner_prefix};
  return key.append(owner.text()).append(pack.text());
}
std::string owner_key(const vault_id& owner, const shard_key& shard) {
  return pack_prefix(owner, shard.pack) + static_cast<char>(shard.index);
}
std::string deletion_key(const vault_id& owner, const pack_id& pack) {
  std::string key{deletion_prefix};
  return key.append(owner.text()).append(pack.text());
}

std::string roster_key(const vault_id& owner) {
  std::string key{roster_prefix};
  return key.append(owner.text());
}
std::string siblings_prefix(const vault_id& owner, const pack_id& pack) {
  std::string key{sibling_prefix};
  return key.append(owner.text()).append(pack.text());
}
std::string sibling_key(const ticket& of) {
  return siblings_prefix(of.owner, of.shard.pack) + static_cast<char>(of.shard.index);
}

std::string encode_row(clock::wall_time at, byte_view word) {
  std::vector<std::byte> image(sizeof(int64_t) + word.size());
  layout_writer{image}.put(static_cast<int64_t>(at.time_since_epoch().count())).put(word);
  return std::string{as_text(image)};
}

std::pair<clock::wall_time, byte_view> split_row(std::string_view value) {
  layout_reader reader{as_view(value)};
  auto at = clock::wall_time{std::chrono::nanoseconds{reader.get<int64_t>()}};
  return {at, reader.take(reader.left())};
}

result<kept_guest> read_kept(std::string_view value) {
  auto corrupt = [] {
    return fail(errc::store_corrupt, "read the row of a ticket");
  };
  if (value.size() < sizeof(int64_t))
    return corrupt();
  auto [at, word] = split_row(value);
  auto by = read_ticket(word);
  if (!by)
    return by.error().code() == errc::format_newer ? fail(by.error()) : corrupt();
  return kept_guest{std::move(*by), at};
}

result<std::pair<deletion, clock::wall_time>> read_remembered(std::string_view value) {
  if (value.size() < sizeof(int64_t))
    return fail(errc::store_corrupt, "read the row of a deletion");
  auto [at, word] = split_row(value);
  auto what = read_deletion(word);
  if (!what)
    return fail(what.error());
  return std::pair{std::move(*what), at};
}

shard_key shard_of_ticket_key(std::string_view key) {
  layout_reader reader{as_view(key.substr(1))};
  shard_key shard;
  shard.pack = reader.get_id<pack_id>();
  shard.index = reader.get<uint8_t>();
  return shard;
}

} // namespace datamesh::network
