#include "network/invite.hpp"

#include "base/little_endian.hpp"
#include "crypto/identity.hpp"
#include "datamesh/base/clock.hpp"
#include "datamesh/members.hpp"
#include "network/certificate.hpp"
#include "network/peer_address.hpp"

#include <algorithm>

namespace datamesh {

namespace {

constexpr std::string_view magic{"DMINVIT\x01", 8};
constexpr uint16_t version = 1;
constexpr std::string_view purpose = "dm/invite/1";
constexpr auto reading = "read an invite";
constexpr auto making = "make an invite";
constexpr uint16_t flag_local = 1;
constexpr size_t header_size = 66;
constexpr size_t signature_size = sizeof(crypto::public_key) + sizeof(crypto::signature);

// Where the fields of the header are.
constexpr size_t version_at = 8;
constexpr size_t flags_at = 10;
constexpr size_t mesh_at = 12;
constexpr size_t made_at = 44;
constexpr size_t expires_at = 52;
constexpr size_t seeds_at = 60;
constexpr size_t members_at = 62;

constexpr int64_t last_second = std::chrono::floor<std::chrono::seconds>(clock::wall_time::max()).time_since_epoch().count();

/// What is wrong with it, or null.
const char* mistake_in(const invite& what) {
  if (what.made_s < 0 || what.expires_s <= what.made_s || what.expires_s > last_second)
    return "its times";
  if (what.seeds.empty() || what.seeds.size() > network::invite_seeds_max)
    return "the number of its seeds";
  for (const auto& text : what.seeds) {
    auto seed = network::parse_peer_spec(text);
    if (!seed || !seed->id || to_string(*seed) != text)
      return "a seed of it";
  }
  if (what.members.empty())
    return nullptr;
  auto list = read_members(what.members);
  return !list || list->list.network != what.network ? "its list of members" : nullptr;
}

std::vector<std::byte> signed_message(byte_view content) {
  std::vector<std::byte> message;
  for (auto part : {as_view(purpose), content})
    message.insert(message.end(), part.begin(), part.end());
  return message;
}

tl::unexpected<error> damaged(const char* what) {
  return fail(errc::format_damaged, reading, what);
}

/// All between the header and the signature.
result<void> read_body(byte_view rest, size_t seeds, size_t members, invite& to) {
  for (size_t i = 0; i < seeds; ++i) {
    auto length = rest.size() < 2 ? SIZE_MAX : size_t{load_le<uint16_t>(rest)};
    if (length > network::peer_text_max || rest.size() - 2 < length)
      return damaged("a seed of it");
    to.seeds.emplace_back(as_text(rest.subspan(2, length)));
    rest = rest.subspan(2 + length);
  }
  if (rest.size() != members)
    return damaged("its length");
  to.members = members > 0 ? bytes::copy_of(rest) : bytes{};
  return {};
}

} // namespace

result<bytes> network::sign_invite(const invite& what, const crypto::key256& seed) {
  if (const auto* wrong = mistake_in(what))
    return fail(errc::invalid_argument, making, wrong);
  std::vector<std::byte> out(header_size);
  byte_span head{out};
  std::ranges::copy(as_view(magic), out.begin());
  store_le(head.subspan(version_at), version);
  store_le(head.subspan(flags_at), static_cast<uint16_t>(what.local ? flag_local : 0));
  std::ranges::copy(what.network.view(), out.begin() + mesh_at);
  store_le(head.subspan(made_at), static_cast<uint64_t>(what.made_s));
  store_le(head.subspan(expires_at), static_cast<uint64_t>(what.expires_s));
  store_le(head.subspan(seeds_at), static_cast<uint16_t>(what.seeds.size()));
  store_le(head.subspan(members_at), static_cast<uint32_t>(what.members.size()));
  auto put = [&](byte_view part) {
    out.insert(out.end(), part.begin(), part.end());
  };
  for (const auto& one : what.seeds) {
    std::array<std::byte, 2> length;
    store_le(length, static_cast<uint16_t>(one.size()));
    put(length);
    put(as_view(one));
  }
  put(what.members);
  auto key = crypto::ed25519_public(seed);
  auto sig = key ? crypto::ed25519_sign(seed, signed_message(out)) : fail(key.error());
  if (!sig)
    return fail(sig.error());
  put(*key);
  put(*sig);
  return bytes::take(std::move(out));
}

result<std::string> invite_seed(std::string_view text) {
  auto seed = network::parse_peer_spec(text);
  if (!seed)
    return fail(seed.error());
  if (!seed->id)
    return fail(errc::invalid_argument, "read the address of a node", std::string{text} + " has no node's id in front");
  return to_string(*seed);
}

result<invite> read_invite(byte_view raw) {
  if (raw.size() < magic.size() || as_text(raw.first(magic.size())) != magic)
    return fail(errc::format_alien, reading);
  if (raw.size() < header_size + signature_size || raw.size() > invite_size_max)
    return damaged("its size");
  if (load_le<uint16_t>(raw.subspan(version_at)) > version)
    return fail(errc::format_newer, reading);
  auto flags = load_le<uint16_t>(raw.subspan(flags_at));
  if (load_le<uint16_t>(raw.subspan(version_at)) != version || flags > flag_local)
    return damaged("its version");
  invite read;
  read.local = flags == flag_local;
  read.network = network_id::from(raw.subspan(mesh_at, network_id::size));
  read.made_s = static_cast<int64_t>(load_le<uint64_t>(raw.subspan(made_at)));
  read.expires_s = static_cast<int64_t>(load_le<uint64_t>(raw.subspan(expires_at)));
  auto content = raw.first(raw.size() - signature_size);
  auto seeds = load_le<uint16_t>(raw.subspan(seeds_at));
  if (seeds > network::invite_seeds_max)
    return damaged("the number of its seeds");
  if (auto body = read_body(content.subspan(header_size), seeds, load_le<uint32_t>(raw.subspan(members_at)), read); !body)
    return fail(body.error());
  crypto::public_key key;
  crypto::signature sig;
  std::ranges::copy(raw.subspan(content.size(), key.size()), key.begin());
  std::ranges::copy(raw.subspan(content.size() + key.size()), sig.begin());
  // What is said in it is looked at once it is known that somebody said it.
  if (!crypto::ed25519_verify(key, signed_message(content), sig))
    return fail(errc::authentication_failed, reading);
  if (const auto* wrong = mistake_in(read))
    return damaged(wrong);
  auto from = network::peer_of(key);
  if (!from)
    return fail(from.error());
  read.from = *from;
  return read;
}

} // namespace datamesh
