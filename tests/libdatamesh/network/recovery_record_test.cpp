// The record that brings a vault back from its phrase: what is in it, and who can read or forge it.
#include "network/recovery_record.hpp"

#include "crypto/derive.hpp"
#include "crypto/key_file.hpp"
#include "crypto/phrase.hpp"
#include "network/record_store.hpp"
#include "tests/libdatamesh/network/mesh_fixture.hpp"
#include "tests/support/code_of.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

uint64_t seed() {
  const auto* text = std::getenv("DATAMESH_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}

const network_id other_mesh = network_id::from(as_view("another mesh, of thirty-two byte"));

struct world {
  seeded_random random{seed()};
  crypto::key256 secret = crypto::key256::random(random).value();
  recovery_contents what{bytes::copy_of("a key file"), some_nodes(3), 2};

  std::vector<peer_id> some_nodes(size_t count) {
    std::vector<peer_id> nodes;
    for (size_t i = 0; i < count; ++i)
      nodes.push_back(random_id<peer_id>(random).value());
    return nodes;
  }
  signed_record make(uint64_t sequence = 1) {
    return make_recovery_record(secret, test_mesh, what, sequence, test_day, random).value();
  }
  /// Signed by the right key, with another value.
  signed_record make_of(bytes value) {
    auto by = crypto::derive_key(secret.view(), test_mesh.view(), as_view("dm/recovery-locator/1"));
    record_draft draft{recovery_name(secret, test_mesh).value(), 1, test_day + 24h, std::move(value)};
    return sign_record(test_mesh, draft, [&](byte_view message) { return crypto::ed25519_sign(by, message); }).value();
  }
};

struct sevens : random_source {
  result<void> fill(byte_span out) override {
    std::ranges::fill(out, std::byte{7});
    return {};
  }
};

std::string hex(byte_view data) {
  std::string text;
  for (auto b : data)
    text += id<struct one_byte, 1>::from({&b, 1}).hex();
  return text;
}

} // namespace

TEST_CASE("who has the secret reads what the record holds", "[recovery]") {
  world w;
  auto record = open_record(test_mesh, w.make().raw, test_day).value();
  CHECK(record.name.kind == record_kind::recovery);
  CHECK(record.expiry == test_day + 24h * 90);
  auto read = open_recovery_record(w.secret, test_mesh, record).value();
  REQUIRE(read);
  CHECK(as_text(read->key_file) == "a key file");
  CHECK(read->nodes == w.what.nodes);
  CHECK(read->nodes_left_out == 2);
}

TEST_CASE("the recovery record of the format's page is as it stands there", "[recovery]") {
  crypto::key256 entropy;
  peer_id node;
  for (size_t i = 0; i < 32; ++i) {
    entropy.span()[i] = static_cast<std::byte>(i);
    node.span()[i] = static_cast<std::byte>(32 + i);
  }
  auto secret = crypto::recovery_secret(entropy);
  CHECK(hex(secret.view()) == "9ac0f2c2c6e912ce3b5517d121ec26427cc9d30fc961ac34c692d1c5d29505e0");
  sevens source;
  auto record = make_recovery_record(secret, test_mesh, {bytes::copy_of("a key file"), {node}, 2}, 5, test_day, source).value();
  CHECK(hex(record.name.publisher) == "b89febd8d033e9bf76405547512c4422ccda86c1bc568e39de049b71ae50f290");
  CHECK(record.name.key.hex() == "83f55b09c5e2b76076752e3e11d970a6ccb3bfd5587eb90a0fdca9efd7f92339");
  CHECK(hex(record.value.view().first(68))
        == "010000000707070707070707070707070707070707070707070707070707070707070707"
           "90b099938be9af19ae0c5d74f37a3acae58b0f66f6c21bbf8fa048de86dbdbf4");
  CHECK(hex(record.value.view().last(16)) == "87125285f9afc71843e718f23f1b474c");
}

TEST_CASE("records of any content look alike to who keeps them", "[recovery]") {
  world w;
  auto full = w.make();
  w.what = {};
  auto empty = w.make(2);
  CHECK(full.raw.size() == record_size_max);
  CHECK(empty.raw.size() == record_size_max);
  CHECK(as_text(full.raw).find("a key file") == std::string_view::npos);
}

TEST_CASE("another phrase finds and reads nothing", "[recovery]") {
  world w;
  auto other = crypto::key256::random(w.random).value();
  CHECK(recovery_name(other, test_mesh).value() != recovery_name(w.secret, test_mesh).value());
  CHECK(code_of(open_recovery_record(other, test_mesh, w.make())) == errc::not_found);
}

TEST_CASE("a recovery record of another mesh is none, and can not be linked to it", "[recovery]") {
  world w;
  auto record = w.make();
  CHECK(code_of(open_record(other_mesh, record.raw, test_day)) == errc::authentication_failed);
  CHECK(code_of(open_recovery_record(w.secret, other_mesh, record)) == errc::not_found);
  CHECK(recovery_name(w.secret, other_mesh).value().publisher != record.name.publisher);
}

TEST_CASE("a recovery record can not be forged, nor any bit of it be changed", "[recovery]") {
  world w;
  auto record = w.make();
  publisher stranger{w.random};
  auto forged = stranger.draft(record_kind::recovery, 9, "");
  forged.name.key = record.name.key;
  CHECK(code_of(stranger.sign(forged)) == errc::invalid_argument);
  for (size_t at = 0; at < record.raw.size(); at += 37) {
    auto raw = std::vector<std::byte>(record.raw.view().begin(), record.raw.view().end());
    raw[at] ^= std::byte{1};
    CHECK(code_of(open_record(test_mesh, raw, test_day)) != errc{});
  }
  // Signed by who has the secret, and sealed by somebody else.
  for (size_t at : {size_t{1}, size_t{4}, size_t{36}, record_value_max - 1}) {
    auto value = std::vector<std::byte>(record.value.view().begin(), record.value.view().end());
    value[at] ^= std::byte{1};
    CHECK(code_of(open_recovery_record(w.secret, test_mesh, w.make_of(bytes::take(std::move(value))))) == errc::authentication_failed);
  }
}

TEST_CASE("a truncated value is damaged, and a later version is told as such", "[recovery]") {
  world w;
  auto record = w.make();
  for (size_t size : {size_t{1}, size_t{36}, record_value_max - 1})
    CHECK(code_of(open_recovery_record(w.secret, test_mesh, w.make_of(record.value.slice(0, size)))) == errc::format_damaged);
  auto later = std::vector<std::byte>(record.value.view().begin(), record.value.view().end());
  later[0] = std::byte{2};
  CHECK(code_of(open_recovery_record(w.secret, test_mesh, w.make_of(bytes::take(std::move(later))))) == errc::format_newer);
}

TEST_CASE("a later record takes the place of an earlier one, and not the other way round", "[recovery]") {
  world w;
  record_store store;
  CHECK(store.put(w.make(5), test_day) == store_outcome::stored);
  CHECK(store.put(w.make(4), test_day) == store_outcome::older);
  CHECK(store.put(w.make(6), test_day) == store_outcome::stored);
}

TEST_CASE("a record that was withdrawn says so, and an earlier one does not come back", "[recovery]") {
  world w;
  record_store store;
  auto record = w.make(5);
  (void) store.put(record, test_day);
  auto gone = withdraw_recovery_record(w.secret, test_mesh, 6, test_day).value();
  CHECK(gone.name == record.name);
  CHECK(gone.raw.size() == record_overhead);
  CHECK(store.put(gone, test_day) == store_outcome::stored);
  CHECK(store.put(record, test_day) == store_outcome::older);
  CHECK_FALSE(open_recovery_record(w.secret, test_mesh, gone).value());
}

TEST_CASE("as many nodes fit as is said, and no more, and none twice", "[recovery]") {
  world w;
  auto fit = recovery_nodes_max(w.what.key_file.size());
  REQUIRE(fit);
  CHECK(*fit == 125);
  w.what.nodes = w.some_nodes(*fit);
  CHECK(open_recovery_record(w.secret, test_mesh, w.make()).value()->nodes == w.what.nodes);
  w.what.nodes = w.some_nodes(*fit + 1);
  CHECK(code_of(make_recovery_record(w.secret, test_mesh, w.what, 1, test_day, w.random)) == errc::capacity_exceeded);
  w.what.nodes = {w.what.nodes[0], w.what.nodes[0]};
  CHECK(code_of(make_recovery_record(w.secret, test_mesh, w.what, 1, test_day, w.random)) == errc::invalid_argument);
  w.what = {bytes::copy_of(std::string(4037, 'x')), {}, 0};
  CHECK_FALSE(recovery_nodes_max(4037));
  CHECK(code_of(make_recovery_record(w.secret, test_mesh, w.what, 1, test_day, w.random)) == errc::capacity_exceeded);
}

TEST_CASE("a key file with the phrase's lock alone is opened from the record, and leaves room for many nodes", "[recovery]") {
  world w;
  auto file = crypto::key_file::create(crypto::make_keyring(w.random).value(), w.random).value();
  REQUIRE(file.add_password(crypto::secret_bytes{as_view("a password")}, "laptop", {8 << 10, 1}, 1, w.random));
  auto phrase = file.add_recovery_phrase("recovery phrase", 2, w.random).value();
  const auto& key = file.keys().recoveries.at(0);
  w.secret = key.secret;
  w.what.key_file = file.encode_with(std::array{key.lock}, w.random).value();
  CHECK(recovery_nodes_max(w.what.key_file.size()).value_or(0) >= 100);
  auto typed = crypto::recovery_secret(crypto::decode_phrase(phrase.view()).value());
  auto read = open_recovery_record(typed, test_mesh, w.make()).value();
  auto opened = crypto::key_file::open(read->key_file, {crypto::lock_kind::recovery_phrase, crypto::secret_bytes{phrase.view()}}).value();
  CHECK(opened.keys().vault == file.keys().vault);
  CHECK(opened.locks().size() == 1);
}
