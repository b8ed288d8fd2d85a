#include "tests/e2e/stranger/guest.hpp"

#include "network/peer_part.hpp"
#include "tests/libdatamesh/storage/pack_maker.hpp"

namespace datamesh::stranger {

namespace {

/// As many blocks as one answer may have.
constexpr storage::geometry shape{2, 1, network::blocks_bytes_max};

std::string to_shards(const network::shard_request& what) {
  return network::message_to(network::peer_part::shards, network::encode(what));
}

clock::wall_time in_minutes(int count) {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + std::chrono::minutes{count};
}

result<void> taken(honest_peer& by, const network::shard_request& what, byte_view body = {}) {
  auto answer = by.ask(to_shards(what), body);
  if (!answer)
    return fail(answer.error());
  if (answer->failure)
    return fail(*answer->failure);
  return {};
}

} // namespace

guest::guest(uint64_t number)
    : chance_(number), seed_(crypto::key256::random(chance_).value()), owner_(vault_id::from(crypto::ed25519_public(seed_).value())) {}

network::word_signer guest::signer() const {
  return [this](byte_view message) {
    return crypto::ed25519_sign(seed_, message);
  };
}

result<void> guest::store(honest_peer& by, const network::network_id& mesh) {
  auto shard = test::make_pack(chance_, shape)[0];
  auto ticket = network::sign(mesh, network::ticket{owner_, test::key_of(shard), shape.shard_length, 1, in_minutes(120), {}}, signer());
  if (!ticket)
    return fail(ticket.error());
  question_ = to_shards(network::find_blocks{ticket->raw, 0, network::blocks_at_once});
  return taken(by, network::begin_upload{1, ticket->raw, storage::encode_shard_header(shard.header, false)})
      .and_then([&] {
        return taken(by, network::upload_blocks{1, 0}, shard.body);
      })
      .and_then([&] { return taken(by, network::end_upload{1}); });
}

std::string guest::room_question(const network::network_id& mesh, const network::peer_id& holder, const network::peer_id& asker) const {
  auto permit = network::sign(mesh, network::permit{owner_, holder, asker, in_minutes(50), {}}, signer()).value();
  return to_shards(network::find_room{permit.raw});
}

} // namespace datamesh::stranger
