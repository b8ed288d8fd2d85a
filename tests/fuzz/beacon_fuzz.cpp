// Datagrams of the local network. The first byte tells whether what follows is one, or the content of one that who
// knows the mesh sealed: strangers do not get past the seal.
#include "crypto/aead.hpp"
#include "crypto/derive.hpp"
#include "fuzz.hpp"
#include "network/neighbourhood.hpp"
#include "tests/support/seeded_random.hpp"

#include <algorithm>

using namespace datamesh;
using namespace datamesh::network;

namespace {

const auto mesh = network_id::from(as_view("a mesh for the tests of beacons."));
const discovery_time now{mesh_time{} + std::chrono::hours{1}, clock::wall_time{std::chrono::seconds{1'767'225'600}}};

/// As docs/formats/beacon.md has it.
std::vector<std::byte> sealed(byte_view content) {
  constexpr std::string_view magic{"DMBEACN\x01", 8};
  std::vector<std::byte> all(40 + content.size() + crypto::aead_tag_size);
  std::ranges::copy(as_view(magic), all.begin());
  auto key = crypto::derive_key(mesh.view(), byte_view{all}.subspan(8, 32), as_view("dm/beacon/1"));
  crypto::aead seals;
  auto done = seals.seal(crypto::aead_suite::chacha20_poly1305, key, {}, as_view(magic), content, byte_span{all}.subspan(40));
  fuzz::require(done.has_value(), "it is sealed");
  return all;
}

void hear(byte_view datagram) {
  const auto from = parse_ip4("192.168.1.7").value();
  datagram_limits limits;
  fuzz::require(limits.admits(datagram, from, now.now) == is_beacon(datagram), "what is no beacon is not looked into");
  test::seeded_random random{1};
  neighbourhood ear{{mesh, peer_id{}, ip_rules::local(), true}, random, now.now};
  auto verdict = ear.heard(datagram, from, now);
  fuzz::require((ear.size() == 1) == (verdict == beacon_verdict::taken), "who was not taken is not there");
  auto contact = ear.take_contact();
  fuzz::require(!contact || verdict == beacon_verdict::taken, "nobody else is named");
  if (contact)
    for (const auto& at : contact->addresses)
      fuzz::require(at.port != 0 && is_host(at.ip) && ip_rules::local().admits(at.ip), "an address can be dialed");
  if (verdict == beacon_verdict::taken)
    fuzz::require(ear.heard(datagram, from, now) == beacon_verdict::repeated, "a second time it is a repetition");
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  auto rest = fuzz::view(data, size).subspan(1);
  if (data[0] % 2 == 0)
    hear(rest);
  else
    hear(sealed(rest));
  return 0;
}
