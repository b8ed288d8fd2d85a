#include "network/signed_record.hpp"

#include "base/little_endian.hpp"
#include "crypto/hash.hpp"
#include "network/certificate.hpp"

#include <cassert>

namespace datamesh::network {

namespace {

constexpr uint8_t version = 1;
constexpr size_t header_size = record_overhead - sizeof(crypto::signature);
constexpr std::string_view purpose = "dm/record/1";
constexpr auto reading = "read a record";

// Where the fields of the header are.
constexpr size_t kind_at = 1;
constexpr size_t reserved_at = 2;
constexpr size_t key_at = 4;
constexpr size_t publisher_at = 36;
constexpr size_t sequence_at = 68;
constexpr size_t expiry_at = 76;
constexpr size_t length_at = 84;

std::vector<std::byte> signed_message(const network_id& mesh, byte_view content) {
  std::vector<std::byte> message;
  for (auto part : {as_view(purpose), mesh.view(), content})
    message.insert(message.end(), part.begin(), part.end());
  return message;
}

/// The last second that a wall_time holds.
constexpr auto last_second = std::chrono::floor<std::chrono::seconds>(clock::wall_time::max()).time_since_epoch().count();

std::optional<point> key_under(std::string_view purpose_of_key, const crypto::public_key& publisher) {
  crypto::hasher hash;
  hash.update(as_view(purpose_of_key)).update(publisher);
  return point::from(hash.finish().view());
}

result<void> check_key(const record_name& name, const char* attempted) {
  auto due = key_of(name.kind, name.publisher);
  if (!due)
    return fail(due.error());
  if (*due && **due != name.key)
    return fail(errc::invalid_argument, attempted, "its key is not the publisher's");
  return {};
}

} // namespace

std::chrono::hours lifetime_of(record_kind kind) noexcept {
  return std::chrono::hours{outlives_publisher(kind) ? 24 * 90 : 48};
}

result<std::optional<point>> key_of(record_kind kind, const crypto::public_key& publisher) {
  switch (kind) {
  case record_kind::node:
    return peer_of(publisher).map([](const peer_id& id) { return std::optional{point_of(id)}; });
  case record_kind::device_head:
    return key_under("dm/device-head/1", publisher);
  case record_kind::recovery:
    return key_under("dm/recovery/1", publisher);
  case record_kind::provider:
    break;
  }
  return std::nullopt;
}

result<signed_record> sign_record(const network_id& mesh, const record_draft& draft, const record_signer& sign) {
  constexpr auto attempted = "sign a record";
  auto expiry = std::chrono::floor<std::chrono::seconds>(draft.expiry).time_since_epoch().count();
  if (draft.value.size() > record_value_max)
    return fail(errc::invalid_argument, attempted, "its value is longer than 4096 bytes");
  if (expiry <= 0)
    return fail(errc::invalid_argument, attempted, "it has run out");
  if (auto known = check_key(draft.name, attempted); !known)
    return fail(known.error());
  std::vector<std::byte> raw(header_size);
  byte_span out{raw};
  raw[0] = std::byte{version};
  raw[kind_at] = static_cast<std::byte>(draft.name.kind);
  std::copy(draft.name.key.view().begin(), draft.name.key.view().end(), raw.begin() + key_at);
  std::copy(draft.name.publisher.begin(), draft.name.publisher.end(), raw.begin() + publisher_at);
  store_le<uint64_t>(out.subspan(sequence_at), draft.sequence);
  store_le<uint64_t>(out.subspan(expiry_at), static_cast<uint64_t>(expiry));
  store_le<uint32_t>(out.subspan(length_at), static_cast<uint32_t>(draft.value.size()));
  raw.insert(raw.end(), draft.value.view().begin(), draft.value.view().end());
  auto sig = sign(signed_message(mesh, raw));
  if (!sig)
    return fail(sig.error().within(attempted));
  raw.insert(raw.end(), sig->begin(), sig->end());
  return signed_record{draft.name, draft.sequence, clock::wall_time{std::chrono::seconds{expiry}}, draft.value,
                       bytes::take(std::move(raw))};
}

result<signed_record> open_record(const network_id& mesh, byte_view raw, clock::wall_time now) {
  if (!raw.empty() && std::to_integer<uint8_t>(raw[0]) > version)
    return fail(errc::format_newer, reading);
  if (raw.size() < record_overhead || raw.size() > record_size_max || std::to_integer<uint8_t>(raw[0]) != version)
    return fail(errc::format_damaged, reading, "its size or version");
  auto kind = std::to_integer<uint8_t>(raw[kind_at]);
  auto expiry = load_le<uint64_t>(raw.subspan(expiry_at));
  if (!is_record_kind(kind) || load_le<uint16_t>(raw.subspan(reserved_at)) != 0 || expiry > static_cast<uint64_t>(last_second)
      || load_le<uint32_t>(raw.subspan(length_at)) != raw.size() - record_overhead)
    return fail(errc::format_damaged, reading, "its header");
  signed_record record;
  record.name.kind = static_cast<record_kind>(kind);
  record.name.key = point::from(raw.subspan(key_at, point::size));
  std::copy_n(raw.begin() + publisher_at, sizeof(crypto::public_key), record.name.publisher.begin());
  record.sequence = load_le<uint64_t>(raw.subspan(sequence_at));
  record.expiry = clock::wall_time{std::chrono::seconds{static_cast<int64_t>(expiry)}};
  if (record.has_expired(now))
    return fail(errc::invalid_argument, reading, "it has run out");
  if (record.expiry - now > lifetime_of(record.name.kind) + clock_error_max)
    return fail(errc::invalid_argument, reading, "it lives for longer than it may");
  if (auto known = check_key(record.name, reading); !known)
    return fail(known.error());
  crypto::signature sig;
  auto content = raw.first(raw.size() - sig.size());
  std::copy_n(raw.end() - static_cast<ptrdiff_t>(sig.size()), sig.size(), sig.begin());
  if (!crypto::ed25519_verify(record.name.publisher, signed_message(mesh, content), sig))
    return fail(errc::authentication_failed, reading);
  record.raw = bytes::copy_of(raw);
  record.value = record.raw.slice(header_size, content.size() - header_size);
  return record;
}

record_order compare(const signed_record& fresh, const signed_record& held) {
  assert(fresh.name == held.name);
  if (fresh.sequence != held.sequence)
    return fresh.sequence > held.sequence ? record_order::newer : record_order::older;
  // The signature is deterministic for who keeps to RFC 8032; one that is not is another
  // signature of the same.
  auto content = [](const signed_record& of) {
    return of.raw.slice(0, of.raw.size() - sizeof(crypto::signature));
  };
  auto a = content(fresh);
  auto b = content(held);
  return std::equal(a.view().begin(), a.view().end(), b.view().begin(), b.view().end()) ? record_order::same : record_order::conflict;
}

} // namespace datamesh::network
