#include "network/remote_shard.hpp"

#include "base/little_endian.hpp"
#include "network/certificate.hpp"

namespace datamesh::network {

namespace {

tl::unexpected<error> lies(const char* attempted, const char* what) {
  return fail(errc::peer_lies, attempted, what);
}

bool is_key_of(const crypto::public_key& key, const peer_id& holder) {
  auto id = peer_of(key);
  return id && *id == holder;
}

} // namespace

uint64_t upload_number(const ticket& of) {
  return load_le<uint64_t>(of.name().view());
}

result<receipt> check_receipt(const network_id& mesh, byte_view raw, const ticket& of, const peer_id& holder) {
  constexpr auto attempted = "check a receipt";
  auto read = open_receipt(mesh, raw);
  if (!read)
    return fail(read.error().as(errc::peer_lies, attempted));
  if (!is_key_of(read->holder, holder))
    return lies(attempted, "it is another node's");
  if (read->by != of.name() || read->owner != of.owner || read->shard != of.shard || read->size != of.size || read->expiry != of.expiry)
    return lies(attempted, "it is for another ticket");
  return read;
}

result<removal> check_removal(const network_id& mesh, byte_view raw, const deletion& of, const peer_id& holder) {
  constexpr auto attempted = "check the receipt of a deletion";
  auto read = open_removal(mesh, raw);
  if (!read)
    return fail(read.error().as(errc::peer_lies, attempted));
  if (!is_key_of(read->holder, holder))
    return lies(attempted, "it is another node's");
  if (read->by != of.name() || read->owner != of.owner || read->pack != of.pack)
    return lies(attempted, "it is for another deletion");
  return read;
}

result<storage::shard_header> check_header_from(byte_view raw, const ticket& of) {
  constexpr auto attempted = "check the header of a shard";
  auto header = storage::parse_shard_header(raw);
  if (!header)
    return fail(header.error().as(errc::peer_lies, attempted));
  if (!check_header(of, *header))
    return lies(attempted, "it is another shard's");
  return header;
}

result<void> check_blocks(const storage::shard_header& header, uint32_t first, uint32_t count, byte_view blocks) {
  constexpr auto attempted = "check blocks of a shard";
  const auto& shape = header.pack.shape;
  if (count == 0 || first >= shape.block_count() || count > shape.block_count() - first)
    return fail(errc::range_invalid, attempted, header.pack.id.brief());
  auto begin = uint64_t{first} * storage::block_size;
  if (blocks.size() != std::min(uint64_t{count} * storage::block_size, shape.shard_length - begin))
    return lies(attempted, "their length");
  for (uint32_t i = 0; i < count; ++i) {
    auto at = size_t{i} * storage::block_size;
    auto block = blocks.subspan(at, std::min<size_t>(storage::block_size, blocks.size() - at));
    if (auto good = storage::check_block(header, first + i, block); !good)
      return fail(good.error().as(errc::peer_lies, attempted));
  }
  return {};
}

result<std::vector<ticket>> check_listed(const network_id& mesh, const shards_listed& listed, const vault_id& owner,
                                         const std::optional<shard_key>& after, uint32_t limit) {
  constexpr auto attempted = "check a list of shards";
  if (listed.tickets.size() > limit)
    return lies(attempted, "it is longer than was asked for");
  // Else who follows it would never come to its end.
  if (listed.more && listed.tickets.empty())
    return lies(attempted, "it has more behind nothing");
  std::vector<ticket> read;
  auto last = after;
  for (const auto& raw : listed.tickets) {
    auto one = open_ticket(mesh, raw);
    if (!one)
      return fail(one.error().as(errc::peer_lies, attempted));
    if (one->owner != owner)
      return lies(attempted, "a ticket is another owner's");
    if (last && one->shard <= *last)
      return lies(attempted, "it is out of order");
    last = one->shard;
    read.push_back(std::move(*one));
  }
  return read;
}

} // namespace datamesh::network
