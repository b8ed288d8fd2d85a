// A node of a test that has others keep shards, as a node does or against all rules.
#pragma once

#include "network/remote_shards_actor.hpp"
#include "tests/actors/network/mesh_of_actors.hpp"

#include <catch2/catch.hpp>

namespace datamesh::test {

inline constexpr uint32_t patience_ms = 30'000;

inline std::string text_of(byte_view raw) {
  return std::string{as_text(raw)};
}

/// The answer of an actor and the bytes beside it.
template <class Answer, class Handle, class... Ts>
result<std::pair<Answer, bytes>> ask_both(caf::scoped_actor& self, const Handle& whom, Ts&&... message) {
  result<std::pair<Answer, bytes>> outcome = fail(errc::internal, "wait for an answer");
  self->request(whom, caf::infinite, std::forward<Ts>(message)...)
      .receive(
          [&](Answer& answer, bytes& body) {
            outcome = std::pair{std::move(answer), std::move(body)};
          },
          [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
  return outcome;
}

/// A node that asks others.
class asking_place {
public:
  asking_place(mesh_world& world, uint64_t number, mesh_place_options options = {})
      : place(world, number, options), world_(world), shards_(network::spawn_remote_shards(world.sys, place.links, world.mesh)) {}
  ~asking_place() {
    caf::anon_send_exit(shards_, caf::exit_reason::user_shutdown);
  }
  asking_place(const asking_place&) = delete;
  asking_place& operator=(const asking_place&) = delete;

  void reach(const mesh_place& other) {
    REQUIRE(reach(other.at()));
  }
  result<v1::PeerConnected> reach(const network::endpoint& at) {
    v1::ConnectPeer request;
    *request.mutable_address() = to_proto(at);
    return ask<v1::PeerConnected>(world_.self, place.links, request);
  }
  result<network::receipt> store(const peer_id& at, const storage::shard_write& shard, const network::ticket& by) {
    v1::StoreAtPeer request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_ticket(text_of(by.raw));
    request.set_header(text_of(storage::encode_shard_header(shard.header, false)));
    auto stored = ask<v1::StoredAtPeer>(world_.self, shards_, request, shard.body);
    if (!stored)
      return fail(stored.error());
    return network::open_receipt(world_.mesh, as_view(stored->receipt()));
  }
  result<bytes> read(const peer_id& at, const network::ticket& by, uint32_t first, uint32_t count) {
    v1::ReadAtPeer request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_ticket(text_of(by.raw));
    request.set_first(first);
    request.set_count(count);
    return ask_both<v1::ReadFromPeer>(world_.self, shards_, request).map([](auto both) { return both.second; });
  }
  result<bytes> challenge(const peer_id& at, const network::ticket& by, uint32_t block) {
    v1::ProveAtPeer request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_ticket(text_of(by.raw));
    request.set_block(block);
    return ask_both<v1::Done>(world_.self, shards_, request).map([](auto both) { return both.second; });
  }
  result<network::removal> remove(const peer_id& at, const network::deletion& what) {
    v1::DeleteAtPeer request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_deletion(text_of(what.raw));
    auto deleted = ask<v1::DeletedAtPeer>(world_.self, shards_, request);
    if (!deleted)
      return fail(deleted.error());
    return network::open_removal(world_.mesh, as_view(deleted->removal()));
  }
  result<v1::ListedAtPeer> list(const peer_id& at, const network::permit& by, const std::string& after, uint32_t limit) {
    v1::ListAtPeer request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_permit(text_of(by.raw));
    request.set_after(after);
    request.set_limit(limit);
    return ask<v1::ListedAtPeer>(world_.self, shards_, request);
  }
  /// As one who is on the owner's roster.
  result<v1::ListedAtPeer> list(const peer_id& at, const vault_id& owner, const std::optional<pack_id>& behind = {}) {
    v1::ListAtPeer request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_owner(text_of(owner.view()));
    if (behind)
      request.set_behind_pack(text_of(behind->view()));
    request.set_limit(10);
    return ask<v1::ListedAtPeer>(world_.self, shards_, request);
  }
  /// Of all packs, as one who is on the owner's roster.
  result<v1::ComparedAtPeer> compare(const peer_id& at, const vault_id& owner, const digest& thought) {
    v1::CompareAtPeer request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_owner(text_of(owner.view()));
    request.add_digest(text_of(thought.view()));
    return ask<v1::ComparedAtPeer>(world_.self, shards_, request);
  }
  result<v1::Done> give(const peer_id& at, const network::roster& what) {
    v1::GiveRoster request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_roster(text_of(what.raw));
    return ask<v1::Done>(world_.self, shards_, request);
  }
  result<v1::RoomOfPeer> room(const peer_id& at, const network::permit& by) {
    v1::RoomAtPeer request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_permit(text_of(by.raw));
    return ask<v1::RoomOfPeer>(world_.self, shards_, request);
  }
  /// What the wire allows, whatever the rules are.
  result<network::shard_answer> say(const peer_id& at, const network::shard_request& what, const bytes& body = {}) {
    v1::AskPeer request;
    request.set_peer(text_of(at.view()));
    request.set_timeout_ms(patience_ms);
    request.set_message(network::message_to(network::peer_part::shards, network::encode(what)));
    auto answer = ask_both<v1::PeerAnswer>(world_.self, place.links, request, body);
    if (!answer)
      return fail(answer.error());
    return network::decode_shard_answer(as_view(answer->first.message()));
  }

  mesh_place place;

private:
  mesh_world& world_;
  network::remote_shards_actor shards_;
};

} // namespace datamesh::test
