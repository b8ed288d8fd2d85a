// A chunk that opens under its keys but is not the plaintext that its id names, as a
// client with the epoch key could write it.
#include "storage/codec_actor.hpp"

#include "storage/convert.hpp"
#include "storage/sealed_chunk.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

namespace datamesh::test {

using namespace datamesh::storage;

TEST_CASE("a chunk that is not what its id names is refused", "[simulation][chunk_identity]") {
  caf::actor_system_config config;
  config.add_message_types<caf::id_block::datamesh>();
  caf::actor_system sys{config};
  auto random = std::make_shared<seeded_random>(7);
  auto keys = crypto::make_keyring(*random);
  REQUIRE(keys);
  const auto& space = keys->spaces.front();
  codec_context context;
  context.env.random = random;
  context.keys = std::make_shared<key_holder>(*keys);
  auto codec = spawn_codec(sys, context);
  caf::scoped_actor self{sys};

  auto plain = random->make(5000);
  auto open = [&](const chunk_id& id) {
    chunk_entry entry{id,
                      0,
                      static_cast<uint32_t>(plain.size() + seal_overhead),
                      static_cast<uint32_t>(plain.size()),
                      space.epoch,
                      storage::codec::none,
                      crypto::preferred_suite()};
    chunk_facts facts{keys->vault, space.id, entry.epoch, entry.suite, entry.id, entry.method, entry.plain_length};
    std::vector<std::byte> sealed(entry.sealed_length);
    crypto::aead cipher;
    REQUIRE(seal_chunk(cipher, space.epoch_keys.at(space.epoch), facts, plain, *random, sealed));
    v1::OpenChunks request;
    *request.add_chunks() = to_proto(entry);
    auto out = std::make_shared<bytes>(bytes::take(std::vector<std::byte>(plain.size())));
    memory into{out, {const_cast<std::byte*>(out->data()), out->size()}};
    std::optional<error> refused;
    self->request(codec, std::chrono::seconds{60}, std::move(request), bytes::take(std::move(sealed)), std::move(into))
        .receive([](v1::Done&) {}, [&](caf::error& reason) { refused = from_caf(reason); });
    return refused;
  };
  REQUIRE(!open(chunk_id_of(space.id_key, plain)));
  auto other = plain;
  other.front() ^= std::byte{1};
  auto refused = open(chunk_id_of(space.id_key, other));
  REQUIRE(refused);
  REQUIRE(refused->code() == errc::damaged);
  self->send_exit(codec, caf::exit_reason::user_shutdown);
}

} // namespace datamesh::test
