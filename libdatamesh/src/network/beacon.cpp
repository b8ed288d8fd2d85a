#include "network/beacon.hpp"

#include "base/little_endian.hpp"
#include "crypto/aead.hpp"
#include "crypto/derive.hpp"
#include "network/certificate.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

constexpr std::string_view magic{"DMBEACN\x01", 8};
constexpr std::string_view purpose = "dm/beacon/1";
constexpr auto reading = "read a beacon";
constexpr auto making = "make a beacon";

constexpr size_t salt_size = 32;
constexpr size_t sealed_at = magic.size() + salt_size;
constexpr auto suite = crypto::aead_suite::chacha20_poly1305;

// Where the fields of the content are.
constexpr size_t kind_at = 0;
constexpr size_t count_at = 1;
constexpr size_t reserved_at = 2;
constexpr size_t question_size = 4;
constexpr size_t key_at = 4;
constexpr size_t sequence_at = 36;
constexpr size_t addresses_at = 44;

constexpr std::byte kind_here{1};
constexpr std::byte kind_question{2};

/// One that a node can be dialed at by others: a link-local one needs to be told by which interface.
bool may_be_told(const endpoint& at) noexcept {
  auto is_link_local = at.ip.v6 ? at.ip.raw[0] == 0xfe && (at.ip.raw[1] & 0xc0) == 0x80 : at.ip.raw[0] == 169 && at.ip.raw[1] == 254;
  return at.port != 0 && is_host(at.ip) && !is_link_local;
}

tl::unexpected<error> damaged(const char* what) {
  return fail(errc::format_damaged, reading, what);
}

std::vector<std::byte> signed_message(const network_id& mesh, byte_view content) {
  std::vector<std::byte> message;
  for (auto part : {as_view(purpose), mesh.view(), content})
    message.insert(message.end(), part.begin(), part.end());
  return message;
}

/// Each datagram has a key of its own, so that a nonce is of no concern.
crypto::key256 key_of(const network_id& mesh, byte_view salt) {
  return crypto::derive_key(mesh.view(), salt, as_view(purpose));
}

result<bytes> seal(const network_id& mesh, byte_view content, random_source& random) {
  std::vector<std::byte> out(sealed_at + content.size() + crypto::aead_tag_size);
  byte_span all{out};
  std::ranges::copy(as_view(magic), out.begin());
  auto salt = all.subspan(magic.size(), salt_size);
  if (auto filled = random.fill(salt); !filled)
    return fail(filled.error());
  crypto::aead seals;
  auto sealed = seals.seal(suite, key_of(mesh, salt), crypto::nonce{}, as_view(magic), content, all.subspan(sealed_at));
  if (!sealed)
    return fail(sealed.error());
  return bytes::take(std::move(out));
}

/// What stands behind the header of the content, up to its end.
result<std::vector<endpoint>> read_addresses(byte_view rest, size_t count) {
  std::vector<endpoint> all;
  for (size_t i = 0; i < count; ++i) {
    auto size = rest.empty() ? size_t{0} : static_cast<size_t>(rest[0]);
    if ((size != 4 && size != 16) || rest.size() < 1 + size + 2)
      return damaged("an address");
    auto ip = ip_from(rest.subspan(1, size));
    endpoint at{ip.value_or(ip_address{}), load_le<uint16_t>(rest.subspan(1 + size))};
    // One text for one address: what stands for an address of IPv4 is to be written as that.
    if (!ip || ip->v6 != (size == 16) || !may_be_told(at) || std::ranges::find(all, at) != all.end())
      return damaged("an address");
    all.push_back(at);
    rest = rest.subspan(1 + size + 2);
  }
  if (!rest.empty())
    return damaged("its length");
  return all;
}

} // namespace

ip_address beacon_group(bool v6) noexcept {
  if (v6)
    return {{0xff, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc4, 0x4d, 0x4c, 0x4e}, true};
  return {{239, 255, 68, 77}, false};
}

bool is_beacon(byte_view datagram) noexcept {
  return datagram.size() >= sealed_at + question_size + crypto::aead_tag_size && datagram.size() <= beacon_size_max
         && as_text(datagram.first(magic.size())) == magic;
}

result<bytes> seal_beacon(const network_id& mesh, const beacon& what, const std::function<result<crypto::signature>(byte_view)>& sign,
                          random_source& random) {
  if (what.addresses.empty() || what.addresses.size() > contact_addresses_max || !std::ranges::all_of(what.addresses, may_be_told))
    return fail(errc::invalid_argument, making, "its addresses");
  std::vector<std::byte> content(addresses_at);
  byte_span head{content};
  content[kind_at] = kind_here;
  content[count_at] = static_cast<std::byte>(what.addresses.size());
  std::ranges::copy(what.key, content.begin() + key_at);
  store_le(head.subspan(sequence_at), what.sequence);
  for (const auto& at : what.addresses) {
    auto raw = at.ip.view();
    content.push_back(static_cast<std::byte>(raw.size()));
    content.insert(content.end(), raw.begin(), raw.end());
    content.resize(content.size() + 2);
    store_le(byte_span{content}.last(2), at.port);
  }
  auto sig = sign(signed_message(mesh, content));
  if (!sig)
    return fail(sig.error());
  content.insert(content.end(), sig->begin(), sig->end());
  return seal(mesh, content, random);
}

result<bytes> seal_question(const network_id& mesh, random_source& random) {
  std::array<std::byte, question_size> content{kind_question};
  return seal(mesh, content, random);
}

result<std::variant<unsealed_beacon, beacon_question>> unseal_beacon(const network_id& mesh, byte_view datagram) {
  if (!is_beacon(datagram))
    return fail(errc::format_alien, reading);
  auto salt = datagram.subspan(magic.size(), salt_size);
  auto sealed = datagram.subspan(sealed_at);
  std::vector<std::byte> raw(sealed.size() - crypto::aead_tag_size);
  crypto::aead opens;
  if (auto opened = opens.open(suite, key_of(mesh, salt), crypto::nonce{}, as_view(magic), sealed, raw); !opened)
    return fail(opened.error());
  byte_view content{raw};
  if (load_le<uint16_t>(content.subspan(reserved_at)) != 0)
    return damaged("what is reserved");
  auto count = static_cast<size_t>(content[count_at]);
  if (content[kind_at] == kind_question) {
    if (count != 0 || content.size() != question_size)
      return damaged("its length");
    return beacon_question{};
  }
  if (content[kind_at] != kind_here)
    return damaged("its kind");
  unsealed_beacon read;
  if (content.size() < addresses_at + read.signature.size() || count == 0 || count > contact_addresses_max)
    return damaged("its size");
  auto said = content.first(content.size() - read.signature.size());
  auto addresses = read_addresses(said.subspan(addresses_at), count);
  if (!addresses)
    return fail(addresses.error());
  read.what.addresses = std::move(*addresses);
  std::ranges::copy(content.subspan(key_at, read.what.key.size()), read.what.key.begin());
  read.what.sequence = load_le<uint64_t>(content.subspan(sequence_at));
  auto id = peer_of(read.what.key);
  if (!id)
    return damaged("its key");
  read.what.id = *id;
  std::ranges::copy(content.last(read.signature.size()), read.signature.begin());
  read.content = bytes::copy_of(said);
  return read;
}

bool holds(const network_id& mesh, const unsealed_beacon& what) {
  return crypto::ed25519_verify(what.what.key, signed_message(mesh, what.content), what.signature);
}

} // namespace datamesh::network
