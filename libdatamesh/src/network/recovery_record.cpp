#include "network/recovery_record.hpp"

#include "base/little_endian.hpp"
#include "crypto/derive.hpp"

#include <algorithm>
#include <set>

namespace datamesh::network {

namespace {

constexpr uint8_t version = 1;
constexpr size_t salt_at = 4;
constexpr size_t salt_size = 32;
constexpr size_t open_size = salt_at + salt_size;
constexpr size_t plain_size = record_value_max - open_size - crypto::aead_tag_size;
/// Sizes of what follows: key file u16, nodes u16, nodes left out u32.
constexpr size_t counts_size = 8;
constexpr auto suite = crypto::aead_suite::aes_256_gcm;
constexpr auto reading = "read a recovery record";

struct locator {
  crypto::key256 seed;
  crypto::public_key key{};
};

result<locator> locator_of(const crypto::key256& secret, const network_id& mesh) {
  locator made;
  made.seed = crypto::derive_key(secret.view(), mesh.view(), as_view("dm/recovery-locator/1"));
  auto key = crypto::ed25519_public(made.seed);
  if (!key)
    return fail(key.error());
  made.key = *key;
  return made;
}

result<record_name> name_of(const locator& by) {
  return key_of(record_kind::recovery, by.key).map([&](const std::optional<point>& key) {
    return record_name{record_kind::recovery, key.value_or(point{}), by.key};
  });
}

std::vector<std::byte> joined(std::initializer_list<byte_view> parts) {
  std::vector<std::byte> all;
  for (auto part : parts)
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

crypto::key256 sealing_key(const crypto::key256& secret, const network_id& mesh, byte_view salt) {
  return crypto::derive_key(secret.view(), salt, joined({as_view("dm/recovery-seal/1"), mesh.view()}));
}

std::vector<std::byte> context_of(const network_id& mesh, const locator& by, byte_view open_part) {
  return joined({as_view("dm/recovery-value/1"), mesh.view(), by.key, open_part});
}

tl::unexpected<error> damaged(const char* what) {
  return fail(errc::format_damaged, reading, what);
}

result<bytes> seal(const crypto::key256& secret, const network_id& mesh, const locator& by, const recovery_contents& what,
                   random_source& source, crypto::seal_observer* observer) {
  crypto::secret_bytes plain{plain_size};
  auto out = plain.span();
  store_le<uint16_t>(out, static_cast<uint16_t>(what.key_file.size()));
  store_le<uint16_t>(out.subspan(2), static_cast<uint16_t>(what.nodes.size()));
  store_le<uint32_t>(out.subspan(4), what.nodes_left_out);
  auto at = std::copy(what.key_file.view().begin(), what.key_file.view().end(), out.begin() + counts_size);
  for (const auto& node : what.nodes)
    at = std::copy(node.view().begin(), node.view().end(), at);
  std::fill(at, out.end(), std::byte{0});
  std::vector<std::byte> value(record_value_max);
  value[0] = std::byte{version};
  auto salt = byte_span{value}.subspan(salt_at, salt_size);
  if (auto filled = source.fill(salt); !filled)
    return fail(filled.error());
  auto open_part = byte_view{value}.first(open_size);
  auto sealed = crypto::aead{observer}.seal(suite, sealing_key(secret, mesh, salt), {}, context_of(mesh, by, open_part), plain.view(),
                                            byte_span{value}.subspan(open_size));
  if (!sealed)
    return fail(sealed.error());
  return bytes::take(std::move(value));
}

result<recovery_contents> read_plain(byte_view plain) {
  recovery_contents what;
  size_t key_file_size = load_le<uint16_t>(plain);
  size_t nodes = load_le<uint16_t>(plain.subspan(2));
  what.nodes_left_out = load_le<uint32_t>(plain.subspan(4));
  auto rest = plain.subspan(counts_size);
  if (key_file_size > rest.size() || nodes > (rest.size() - key_file_size) / peer_id::size)
    return damaged("its sizes do not add up");
  what.key_file = bytes::copy_of(rest.first(key_file_size));
  rest = rest.subspan(key_file_size);
  std::set<peer_id> seen;
  for (; nodes > 0; --nodes, rest = rest.subspan(peer_id::size)) {
    auto node = peer_id::from(rest.first(peer_id::size));
    if (!seen.insert(node).second)
      return damaged("a node is named twice");
    what.nodes.push_back(node);
  }
  if (std::ranges::any_of(rest, [](std::byte one) { return one != std::byte{0}; }))
    return damaged("something follows the nodes");
  return what;
}

result<signed_record> sign_value(const locator& by, const network_id& mesh, uint64_t sequence, clock::wall_time now, bytes value) {
  auto name = name_of(by);
  if (!name)
    return fail(name.error());
  auto expiry = std::chrono::floor<std::chrono::seconds>(now) + lifetime_of(record_kind::recovery);
  record_draft draft{*name, sequence, expiry, std::move(value)};
  return sign_record(mesh, draft, [&](byte_view message) { return crypto::ed25519_sign(by.seed, message); });
}

} // namespace

std::optional<size_t> recovery_nodes_max(size_t key_file_size) noexcept {
  if (key_file_size > plain_size - counts_size)
    return std::nullopt;
  return (plain_size - counts_size - key_file_size) / peer_id::size;
}

result<record_name> recovery_name(const crypto::key256& secret, const network_id& mesh) {
  return locator_of(secret, mesh).and_then(name_of);
}

result<signed_record> make_recovery_record(const crypto::key256& secret, const network_id& mesh, const recovery_contents& what,
                                           uint64_t sequence, clock::wall_time now, random_source& source,
                                           crypto::seal_observer* observer) {
  constexpr auto attempted = "make a recovery record";
  auto fit = recovery_nodes_max(what.key_file.size());
  if (!fit || what.nodes.size() > *fit)
    return fail(errc::capacity_exceeded, attempted);
  if (std::set<peer_id>{what.nodes.begin(), what.nodes.end()}.size() != what.nodes.size())
    return fail(errc::invalid_argument, attempted, "a node is named twice");
  auto by = locator_of(secret, mesh);
  if (!by)
    return fail(by.error().within(attempted));
  auto value = seal(secret, mesh, *by, what, source, observer);
  if (!value)
    return fail(value.error().within(attempted));
  return sign_value(*by, mesh, sequence, now, std::move(*value));
}

result<signed_record> withdraw_recovery_record(const crypto::key256& secret, const network_id& mesh, uint64_t sequence,
                                               clock::wall_time now) {
  return locator_of(secret, mesh).and_then([&](const locator& by) { return sign_value(by, mesh, sequence, now, {}); });
}

result<std::optional<recovery_contents>> open_recovery_record(const crypto::key256& secret, const network_id& mesh,
                                                              const signed_record& record) {
  auto by = locator_of(secret, mesh);
  auto name = by ? name_of(*by) : fail(by.error());
  if (!name)
    return fail(name.error().within(reading));
  if (record.name != *name)
    return fail(errc::not_found, reading, "it is for another phrase, or of another mesh");
  auto value = record.value.view();
  if (value.empty())
    return std::nullopt;
  if (std::to_integer<uint8_t>(value[0]) > version)
    return fail(errc::format_newer, reading);
  if (value.size() != record_value_max || std::to_integer<uint8_t>(value[0]) != version)
    return damaged("its size or version");
  auto open_part = value.first(open_size);
  crypto::secret_bytes plain{plain_size};
  auto opened = crypto::aead{}.open(suite, sealing_key(secret, mesh, open_part.subspan(salt_at)), {}, context_of(mesh, *by, open_part),
                                    value.subspan(open_size), plain.span());
  if (!opened)
    return fail(opened.error().within(reading));
  auto what = read_plain(plain.view());
  if (!what)
    return fail(what.error());
  return std::optional{std::move(*what)};
}

} // namespace datamesh::network
