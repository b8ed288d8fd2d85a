#include "network/beacon.hpp"

#include "tests/libdatamesh/network/node.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/code_of.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

const auto mesh = network_id::from(as_view("a mesh for the tests of beacons."));
const auto other_mesh = network_id::from(as_view("a mesh of somebody else entirely"));

endpoint at(const char* text, uint16_t port) {
  auto v4 = parse_ip4(text);
  return {v4 ? *v4 : parse_ip6(text).value(), port};
}

struct speaking {
  test_node node{seed()};
  beacon what{node.id(), node.tls.key(), 1'767'225'600'000, {at("192.168.1.7", 7000), at("fd00::7", 7001)}};

  [[nodiscard]] result<bytes> made() {
    return seal_beacon(
        mesh, what, [this](byte_view message) { return node.tls.sign(message); }, node.chance);
  }
};

} // namespace

TEST_CASE("a beacon is read as it was made, by who knows the mesh", "[beacon]") {
  speaking s;
  auto raw = s.made().value();
  CHECK(is_beacon(raw));
  CHECK(raw.size() <= 240);
  auto read = unseal_beacon(mesh, raw);
  REQUIRE(read);
  const auto& said = std::get<unsealed_beacon>(*read);
  CHECK(said.what == s.what);
  CHECK(holds(mesh, said));
  CHECK(code_of(unseal_beacon(other_mesh, raw)) == errc::authentication_failed);
}

TEST_CASE("the longest beacon has 240 bytes, and a question 60", "[beacon]") {
  speaking s;
  s.what.addresses = {at("fd00::1", 1), at("fd00::2", 1), at("fd00::3", 1), at("fd00::4", 1)};
  CHECK(s.made()->size() == 240);
  CHECK(seal_question(mesh, s.node.chance)->size() == 60);
}

TEST_CASE("a question is read as one", "[beacon]") {
  seeded_random chance{seed()};
  auto raw = seal_question(mesh, chance).value();
  auto read = unseal_beacon(mesh, raw);
  REQUIRE(read);
  CHECK(std::holds_alternative<beacon_question>(*read));
  CHECK(code_of(unseal_beacon(other_mesh, raw)) == errc::authentication_failed);
}

TEST_CASE("nothing of a beacon tells a stranger which mesh and node it is of", "[beacon]") {
  speaking s;
  auto first = s.made().value();
  auto second = s.made().value();
  auto holds_bytes = [&](byte_view what) {
    return std::search(first.view().begin(), first.view().end(), what.begin(), what.end()) != first.view().end();
  };
  CHECK_FALSE(holds_bytes(mesh.view().first(8)));
  CHECK_FALSE(holds_bytes(s.node.id().view().first(8)));
  CHECK_FALSE(holds_bytes(byte_view{s.what.key}.first(8)));
  // Two of the same content have nothing in common behind the first eight bytes.
  size_t same = 0;
  for (size_t i = 8; i < first.size(); ++i)
    same += first.view()[i] == second.view()[i] ? 1 : 0;
  CHECK(same < 16);
}

TEST_CASE("a beacon that was cut off, lengthened or changed in any byte is refused", "[beacon]") {
  speaking s;
  auto raw = s.made().value();
  for (size_t size = 0; size < raw.size(); ++size)
    CHECK_FALSE(unseal_beacon(mesh, raw.view().first(size)));
  std::vector<std::byte> all{raw.view().begin(), raw.view().end()};
  for (auto& one : all) {
    one ^= std::byte{1};
    CHECK_FALSE(unseal_beacon(mesh, all));
    one ^= std::byte{1};
  }
  CHECK(unseal_beacon(mesh, all));
  all.push_back({});
  CHECK_FALSE(unseal_beacon(mesh, all));
  all.resize(beacon_size_max + 1);
  CHECK_FALSE(is_beacon(all));
  CHECK(code_of(unseal_beacon(mesh, all)) == errc::format_alien);
}

TEST_CASE("who knows the mesh can not speak for another node", "[beacon]") {
  speaking s;
  test_node other{seed() + 1};
  auto forged = seal_beacon(
                    mesh, s.what, [&](byte_view message) { return other.tls.sign(message); }, s.node.chance)
                    .value();
  auto read = unseal_beacon(mesh, forged);
  REQUIRE(read);
  CHECK_FALSE(holds(mesh, std::get<unsealed_beacon>(*read)));
}

TEST_CASE("a signature of one mesh holds in no other", "[beacon]") {
  speaking s;
  auto said = std::get<unsealed_beacon>(unseal_beacon(mesh, s.made().value()).value());
  CHECK(holds(mesh, said));
  CHECK_FALSE(holds(other_mesh, said));
}

TEST_CASE("a beacon without addresses, with too many, and with one that nobody can dial is not made", "[beacon]") {
  speaking s;
  auto bad = GENERATE_COPY(values<std::vector<endpoint>>({
      {},
      {at("10.0.0.1", 1), at("10.0.0.2", 1), at("10.0.0.3", 1), at("10.0.0.4", 1), at("10.0.0.5", 1)},
      {at("10.0.0.1", 0)},
      {at("0.0.0.0", 1)},
      {at("239.255.68.77", 1)},
      {at("fe80::1", 1)},
      {at("169.254.1.1", 1)},
  }));
  s.what.addresses = bad;
  CHECK(code_of(s.made()) == errc::invalid_argument);
}

TEST_CASE("a beacon is sealed as docs/formats/beacon.md shows", "[beacon]") {
  struct fixed final : random_source {
    result<void> fill(byte_span out) override {
      std::ranges::fill(out, std::byte{0x5a});
      return {};
    }
  } salt;
  std::array<std::byte, 32> raw{};
  for (size_t i = 0; i < raw.size(); ++i)
    raw[i] = static_cast<std::byte>(i);
  auto seed = crypto::key256::from(raw);
  beacon what;
  what.key = crypto::ed25519_public(seed).value();
  what.sequence = 1'767'225'600'000;
  what.addresses = {at("192.168.1.7", 7000)};
  auto sign = [&](byte_view message) {
    return crypto::ed25519_sign(seed, message);
  };
  std::string hex;
  auto made = seal_beacon(mesh, what, sign, salt).value();
  for (auto b : made.view())
    hex += fmt::format("{:02x}", static_cast<unsigned>(b));
  CHECK(hex
        == "444d424541434e015a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5ad83401158f9522fc5a04"
           "5356b6fbf473e90123190cfb56c779a48634a8644e0ede76224dd7363f46fb0e5e2c91db78abcbb741e7ed12a57cbb0ee3b1"
           "ce305006cc06301ebb9c19b81358f351b622bf88384de589abc8a93444c657eec86ebd84bee33e13eaa8c0ea790b10c998a2"
           "e100a34ab5c9c3a277e0f65f674262b0bd5824dcb4");
}
