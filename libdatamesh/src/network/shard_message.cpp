#include "network/shard_message.hpp"

#include "crypto/merkle.hpp"
#include "crypto/parse_message.hpp"
#include "datamesh/v1/shards.pb.h"

namespace datamesh::network {

namespace {

constexpr size_t header_max = 16 << 10;
constexpr size_t key_size = pack_id::size + 1;
/// Hashes on the way through the blocks of the longest shard.
constexpr size_t path_max = 16;

template <class... Ts>
struct cases : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
cases(Ts...) -> cases<Ts...>;

std::string as_string(byte_view data) {
  return std::string{as_text(data)};
}

bool is_word(const std::string& field, size_t size) {
  return field.size() == size;
}

std::optional<std::vector<digest>> read_digests(const google::protobuf::RepeatedPtrField<std::string>& fields, size_t most) {
  if (static_cast<size_t>(fields.size()) > most)
    return std::nullopt;
  std::vector<digest> read;
  for (const auto& field : fields) {
    if (field.size() != digest::size)
      return std::nullopt;
    read.push_back(digest::from(as_view(field)));
  }
  return read;
}

std::optional<shard_request> read_list(const v1::GuestList& field) {
  auto by_permit = field.owner().empty() && is_word(field.permit(), permit_size);
  auto by_roster = field.permit().empty() && field.owner().size() == vault_id::size;
  if ((!by_permit && !by_roster) || field.limit() == 0 || field.limit() > listed_at_once)
    return std::nullopt;
  list_shards list{bytes::copy_of(field.permit()), std::nullopt, field.limit()};
  if (by_roster)
    list.owner = vault_id::from(as_view(field.owner()));
  if (field.after().empty())
    return list;
  if (field.after().size() != key_size)
    return std::nullopt;
  auto after = as_view(field.after());
  list.after = shard_key{pack_id::from(after.first(pack_id::size)), std::to_integer<uint8_t>(after.back())};
  return list;
}

std::optional<shard_request> read_compare(const v1::GuestCompare& field) {
  auto digests = read_digests(field.digest(), ranges_at_once);
  if (field.owner().size() != vault_id::size || field.bits() > range_bits_max || !digests || digests->empty())
    return std::nullopt;
  auto count = uint32_t{1} << field.bits();
  if (field.first() >= count || digests->size() > count - field.first())
    return std::nullopt;
  return compare_shards{vault_id::from(as_view(field.owner())), field.bits(), field.first(), std::move(*digests)};
}

std::optional<shard_request> read_request(const v1::GuestRequest& message) {
  switch (message.what_case()) {
  case v1::GuestRequest::kBegin: {
    const auto& field = message.begin();
    if (!is_word(field.ticket(), ticket_size) || field.header().size() > header_max)
      return std::nullopt;
    return begin_upload{field.upload(), bytes::copy_of(field.ticket()), bytes::copy_of(field.header())};
  }
  case v1::GuestRequest::kBlocks:
    return upload_blocks{message.blocks().upload(), message.blocks().first()};
  case v1::GuestRequest::kEnd:
    return end_upload{message.end().upload()};
  case v1::GuestRequest::kHeader:
    if (!is_word(message.header().ticket(), ticket_size))
      return std::nullopt;
    return find_header{bytes::copy_of(message.header().ticket())};
  case v1::GuestRequest::kRead: {
    const auto& field = message.read();
    if (!is_word(field.ticket(), ticket_size) || field.count() == 0 || field.count() > blocks_at_once)
      return std::nullopt;
    return find_blocks{bytes::copy_of(field.ticket()), field.first(), field.count()};
  }
  case v1::GuestRequest::kProve:
    if (!is_word(message.prove().ticket(), ticket_size))
      return std::nullopt;
    return prove_block{bytes::copy_of(message.prove().ticket()), message.prove().block()};
  case v1::GuestRequest::kRemove:
    if (!is_word(message.remove().deletion(), deletion_size))
      return std::nullopt;
    return delete_pack{bytes::copy_of(message.remove().deletion())};
  case v1::GuestRequest::kList:
    return read_list(message.list());
  case v1::GuestRequest::kRoom:
    if (!is_word(message.room().permit(), permit_size))
      return std::nullopt;
    return find_room{bytes::copy_of(message.room().permit())};
  case v1::GuestRequest::kRoster:
    if (message.roster().roster().size() > roster_size(roster_nodes_max))
      return std::nullopt;
    return keep_roster{bytes::copy_of(message.roster().roster())};
  case v1::GuestRequest::kCompare:
    return read_compare(message.compare());
  case v1::GuestRequest::WHAT_NOT_SET:
    break;
  }
  return std::nullopt;
}

std::optional<shard_answer> read_proof(const v1::GuestProof& field) {
  if (field.k() > UINT8_MAX || field.m() > UINT8_MAX)
    return std::nullopt;
  block_proof proof;
  proof.shape = {static_cast<uint8_t>(field.k()), static_cast<uint8_t>(field.m()), field.shard_length()};
  auto roots = read_digests(field.root(), storage::shard_count_max);
  auto path = read_digests(field.path(), path_max);
  if (!storage::validate(proof.shape) || !roots || !path || roots->size() != proof.shape.shard_count())
    return std::nullopt;
  proof.roots = std::move(*roots);
  proof.path = std::move(*path);
  return proof;
}

std::optional<shard_answer> read_listed(const v1::GuestListed& field) {
  if (static_cast<size_t>(field.ticket_size()) > listed_at_once)
    return std::nullopt;
  shards_listed listed;
  listed.more = field.more();
  for (const auto& one : field.ticket()) {
    if (!is_word(one, ticket_size))
      return std::nullopt;
    listed.tickets.push_back(bytes::copy_of(one));
  }
  return listed;
}

std::optional<shard_answer> read_answer(const v1::GuestAnswer& message) {
  switch (message.what_case()) {
  case v1::GuestAnswer::kBegun:
    if (!message.begun().receipt().empty() && !is_word(message.begun().receipt(), receipt_size))
      return std::nullopt;
    return upload_begun{bytes::copy_of(message.begun().receipt())};
  case v1::GuestAnswer::kTaken:
    return blocks_taken{};
  case v1::GuestAnswer::kKept:
    if (!is_word(message.kept().receipt(), receipt_size))
      return std::nullopt;
    return shard_kept{bytes::copy_of(message.kept().receipt())};
  case v1::GuestAnswer::kHeader:
    if (message.header().header().size() > header_max)
      return std::nullopt;
    return header_found{bytes::copy_of(message.header().header())};
  case v1::GuestAnswer::kBlocks:
    return blocks_found{};
  case v1::GuestAnswer::kProof:
    return read_proof(message.proof());
  case v1::GuestAnswer::kRemoved:
    if (!is_word(message.removed().removal(), removal_size))
      return std::nullopt;
    return pack_deleted{bytes::copy_of(message.removed().removal())};
  case v1::GuestAnswer::kListed:
    return read_listed(message.listed());
  case v1::GuestAnswer::kRoom:
    return room_found{message.room().granted(), message.room().used()};
  case v1::GuestAnswer::kRoster:
    return roster_kept{};
  case v1::GuestAnswer::kCompared: {
    const auto& same = message.compared().same();
    if (same.empty() || static_cast<size_t>(same.size()) > ranges_at_once)
      return std::nullopt;
    return shards_compared{{same.begin(), same.end()}};
  }
  case v1::GuestAnswer::WHAT_NOT_SET:
    break;
  }
  return std::nullopt;
}

void put_list(const list_shards& list, v1::GuestList& out) {
  out.set_permit(as_string(list.permit));
  if (!list.owner.is_zero())
    out.set_owner(as_string(list.owner.view()));
  out.set_limit(list.limit);
  if (!list.after)
    return;
  auto after = std::string{list.after->pack.text()};
  after += static_cast<char>(list.after->index);
  out.set_after(std::move(after));
}

void put_compare(const compare_shards& compare, v1::GuestCompare& out) {
  out.set_owner(as_string(compare.owner.view()));
  out.set_bits(compare.bits);
  out.set_first(compare.first);
  for (const auto& one : compare.digests)
    out.add_digest(as_string(one.view()));
}

void put_proof(const block_proof& proof, v1::GuestProof& out) {
  out.set_k(proof.shape.k);
  out.set_m(proof.shape.m);
  out.set_shard_length(proof.shape.shard_length);
  for (const auto& root : proof.roots)
    out.add_root(as_string(root.view()));
  for (const auto& hash : proof.path)
    out.add_path(as_string(hash.view()));
}

} // namespace

std::string encode(const shard_request& message) {
  v1::GuestRequest out;
  std::visit(cases{
                 [&](const begin_upload& what) {
                   auto& field = *out.mutable_begin();
                   field.set_upload(what.upload);
                   field.set_ticket(as_string(what.ticket));
                   field.set_header(as_string(what.header));
                 },
                 [&](const upload_blocks& what) {
                   out.mutable_blocks()->set_upload(what.upload);
                   out.mutable_blocks()->set_first(what.first);
                 },
                 [&](const end_upload& what) { out.mutable_end()->set_upload(what.upload); },
                 [&](const find_header& what) { out.mutable_header()->set_ticket(as_string(what.ticket)); },
                 [&](const find_blocks& what) {
                   auto& field = *out.mutable_read();
                   field.set_ticket(as_string(what.ticket));
                   field.set_first(what.first);
                   field.set_count(what.count);
                 },
                 [&](const prove_block& what) {
                   out.mutable_prove()->set_ticket(as_string(what.ticket));
                   out.mutable_prove()->set_block(what.block);
                 },
                 [&](const delete_pack& what) { out.mutable_remove()->set_deletion(as_string(what.deletion)); },
                 [&](const list_shards& what) { put_list(what, *out.mutable_list()); },
                 [&](const find_room& what) { out.mutable_room()->set_permit(as_string(what.permit)); },
                 [&](const keep_roster& what) { out.mutable_roster()->set_roster(as_string(what.roster)); },
                 [&](const compare_shards& what) { put_compare(what, *out.mutable_compare()); },
             },
             message);
  return out.SerializeAsString();
}

std::string encode(const shard_answer& message) {
  v1::GuestAnswer out;
  std::visit(cases{
                 [&](const upload_begun& what) { out.mutable_begun()->set_receipt(as_string(what.receipt)); },
                 [&](const blocks_taken&) { (void) out.mutable_taken(); },
                 [&](const shard_kept& what) { out.mutable_kept()->set_receipt(as_string(what.receipt)); },
                 [&](const header_found& what) { out.mutable_header()->set_header(as_string(what.header)); },
                 [&](const blocks_found&) { (void) out.mutable_blocks(); },
                 [&](const block_proof& what) { put_proof(what, *out.mutable_proof()); },
                 [&](const pack_deleted& what) { out.mutable_removed()->set_removal(as_string(what.removal)); },
                 [&](const shards_listed& what) {
                   auto& field = *out.mutable_listed();
                   field.set_more(what.more);
                   for (const auto& one : what.tickets)
                     field.add_ticket(as_string(one));
                 },
                 [&](const room_found& what) {
                   out.mutable_room()->set_granted(what.granted);
                   out.mutable_room()->set_used(what.used);
                 },
                 [&](const roster_kept&) { (void) out.mutable_roster(); },
                 [&](const shards_compared& what) {
                   for (auto same : what.same)
                     out.mutable_compared()->add_same(same);
                 },
             },
             message);
  return out.SerializeAsString();
}

result<shard_request> decode_shard_request(byte_view message) {
  constexpr auto attempted = "read another node's request";
  v1::GuestRequest in;
  if (message.size() > shard_request_max || !crypto::parse_message(in, message))
    return fail(errc::protocol_violated, attempted);
  auto what = read_request(in);
  if (!what)
    return fail(errc::protocol_violated, attempted, "a field of it");
  return std::move(*what);
}

result<shard_answer> decode_shard_answer(byte_view message) {
  constexpr auto attempted = "read another node's answer";
  v1::GuestAnswer in;
  if (message.size() > shard_answer_max || !crypto::parse_message(in, message))
    return fail(errc::protocol_violated, attempted);
  auto what = read_answer(in);
  if (!what)
    return fail(errc::protocol_violated, attempted, "a field of it");
  return std::move(*what);
}

block_proof prove(const storage::shard_header& header, uint32_t block) {
  return {header.pack.shape, header.pack.shard_roots, crypto::merkle_path(header.block_hashes, block)};
}

result<void> check_proof(const shard_key& shard, uint32_t shard_length, uint32_t number, byte_view content, const block_proof& proof) {
  constexpr auto attempted = "check a block that was asked for";
  const auto& shape = proof.shape;
  auto lies = [&](const char* what) {
    return fail(errc::peer_lies, attempted, what);
  };
  if (!storage::validate(shape) || proof.roots.size() != shape.shard_count() || shape.shard_length != shard_length
      || shard.index >= proof.roots.size() || number >= shape.block_count())
    return lies("no such shard or block");
  if (storage::pack_id_of(shape, proof.roots) != shard.pack)
    return lies("the roots are another pack's");
  auto length = std::min(storage::block_size, shape.shard_length - number * storage::block_size);
  if (content.size() != length
      || !crypto::merkle_verify(proof.roots[shard.index], crypto::merkle_leaf(content), number, shape.block_count(), proof.path))
    return lies("the block is another one");
  return {};
}

} // namespace datamesh::network
