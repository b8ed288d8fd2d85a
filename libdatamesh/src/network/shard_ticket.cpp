#include "network/shard_ticket.hpp"

#include "crypto/hash.hpp"
#include "storage/little_endian.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

using storage::layout_reader;
using storage::layout_writer;

constexpr uint8_t version = 1;
constexpr size_t signature_size = sizeof(crypto::signature);

enum class word_kind : uint8_t { ticket = 1, deletion = 2, permit = 3, receipt = 4, removal = 5, roster = 6 };

/// What tells one kind from the others in what is signed.
constexpr std::string_view purpose_of(word_kind kind) noexcept {
  switch (kind) {
  case word_kind::ticket:
    return "dm/ticket/1";
  case word_kind::deletion:
    return "dm/deletion/1";
  case word_kind::permit:
    return "dm/permit/1";
  case word_kind::receipt:
    return "dm/receipt/1";
  case word_kind::removal:
    return "dm/removal/1";
  case word_kind::roster:
    return "dm/roster/1";
  }
  return {};
}

/// The last second that a wall_time holds.
constexpr auto last_second = std::chrono::floor<std::chrono::seconds>(clock::wall_time::max()).time_since_epoch().count();

int64_t seconds_of(clock::wall_time time) noexcept {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

bool may_be(const shard_key& shard, uint32_t size) noexcept {
  return shard.index < storage::shard_count_max && size > 0 && size <= storage::pack_buffer_size;
}

std::vector<std::byte> signed_message(word_kind kind, const network_id& mesh, byte_view content) {
  std::vector<std::byte> message;
  for (auto part : {as_view(purpose_of(kind)), mesh.view(), content})
    message.insert(message.end(), part.begin(), part.end());
  return message;
}

/// Writes the fields behind the first four bytes, and signs.
template <class Fields>
result<bytes> seal(word_kind kind, size_t size, const network_id& mesh, const word_signer& signer, const Fields& fields) {
  std::vector<std::byte> raw(size - signature_size);
  layout_writer writer{raw};
  writer.put(version).put(static_cast<uint8_t>(kind)).put(uint16_t{0});
  fields(writer);
  assert(writer.written() == raw.size());
  auto sig = signer(signed_message(kind, mesh, raw));
  if (!sig)
    return fail(sig.error());
  raw.insert(raw.end(), sig->begin(), sig->end());
  return bytes::take(std::move(raw));
}

/// The fields behind the first four bytes, without the signature.
result<byte_view> fields_of(word_kind kind, size_t size, byte_view raw, const char* reading) {
  if (!raw.empty() && std::to_integer<uint8_t>(raw[0]) > version)
    return fail(errc::format_newer, reading);
  if (raw.size() != size)
    return fail(errc::format_damaged, reading, "its size");
  layout_reader reader{raw};
  auto found_version = reader.get<uint8_t>();
  auto found_kind = reader.get<uint8_t>();
  if (found_version != version || found_kind != static_cast<uint8_t>(kind) || reader.get<uint16_t>() != 0)
    return fail(errc::format_damaged, reading, "its version or kind");
  return raw.subspan(4, size - 4 - signature_size);
}

result<void> verify(word_kind kind, const network_id& mesh, byte_view raw, const crypto::public_key& key, const char* reading) {
  crypto::signature sig;
  auto content = raw.first(raw.size() - sig.size());
  std::copy(raw.begin() + static_cast<ptrdiff_t>(content.size()), raw.end(), sig.begin());
  if (!crypto::ed25519_verify(key, signed_message(kind, mesh, content), sig))
    return fail(errc::authentication_failed, reading);
  return {};
}

crypto::public_key key_of(const vault_id& owner) {
  crypto::public_key key;
  std::copy(owner.view().begin(), owner.view().end(), key.begin());
  return key;
}

crypto::public_key get_key(layout_reader& from) {
  return key_of(from.get_id<vault_id>());
}

/// Nothing for a time that is none.
std::optional<clock::wall_time> get_time(layout_reader& from) {
  auto seconds = from.get<uint64_t>();
  if (seconds > static_cast<uint64_t>(last_second))
    return std::nullopt;
  return clock::wall_time{std::chrono::seconds{static_cast<int64_t>(seconds)}};
}

/// As it is read again.
clock::wall_time whole_seconds(clock::wall_time time) {
  return std::chrono::floor<std::chrono::seconds>(time);
}

shard_key get_shard(layout_reader& from) {
  shard_key key;
  key.pack = from.get_id<pack_id>();
  key.index = from.get<uint8_t>();
  return key;
}

void put_shard(layout_writer& to, const shard_key& key) {
  to.put(key.pack.view()).put(key.index).zeros(3);
}

} // namespace

digest ticket::name() const {
  return crypto::blake3(raw);
}

digest deletion::name() const {
  return crypto::blake3(raw);
}

// -- signing -----------------------------------------------------------------------

result<ticket> sign(const network_id& mesh, ticket what, const word_signer& signer) {
  constexpr auto attempted = "sign a ticket";
  if (!may_be(what.shard, what.size))
    return fail(errc::invalid_argument, attempted, "no shard has that index or size");
  if (seconds_of(what.expiry) <= 0)
    return fail(errc::invalid_argument, attempted, "it has run out");
  what.expiry = whole_seconds(what.expiry);
  auto raw = seal(word_kind::ticket, ticket_size, mesh, signer, [&](layout_writer& to) {
    to.put(what.owner.view());
    put_shard(to, what.shard);
    to.put(what.size).put(what.number).put(static_cast<uint64_t>(seconds_of(what.expiry)));
  });
  if (!raw)
    return fail(raw.error().within(attempted));
  what.raw = std::move(*raw);
  return what;
}

result<deletion> sign(const network_id& mesh, deletion what, const word_signer& signer) {
  constexpr auto attempted = "sign a deletion";
  if (seconds_of(what.made) < 0)
    return fail(errc::invalid_argument, attempted, "it is from before 1970");
  what.made = whole_seconds(what.made);
  auto raw = seal(word_kind::deletion, deletion_size, mesh, signer, [&](layout_writer& to) {
    to.put(what.owner.view()).put(what.pack.view()).put(what.number).put(static_cast<uint64_t>(seconds_of(what.made)));
  });
  if (!raw)
    return fail(raw.error().within(attempted));
  what.raw = std::move(*raw);
  return what;
}

result<permit> sign(const network_id& mesh, permit what, const word_signer& signer) {
  constexpr auto attempted = "sign a permit";
  if (seconds_of(what.expiry) <= 0)
    return fail(errc::invalid_argument, attempted, "it has run out");
  what.expiry = whole_seconds(what.expiry);
  auto raw = seal(word_kind::permit, permit_size, mesh, signer, [&](layout_writer& to) {
    to.put(what.owner.view()).put(what.holder.view()).put(what.asker.view()).put(static_cast<uint64_t>(seconds_of(what.expiry)));
  });
  if (!raw)
    return fail(raw.error().within(attempted));
  what.raw = std::move(*raw);
  return what;
}

namespace {

bool may_be(const roster& what) {
  auto strictly = [](const auto& ids) {
    return std::ranges::adjacent_find(ids, [](const auto& a, const auto& b) { return !(a < b); }) == ids.end();
  };
  return !what.nodes.empty() && what.nodes.size() <= roster_nodes_max && strictly(what.nodes) && what.patience.count() > 0
         && what.patience.count() <= UINT32_MAX;
}

} // namespace

bool roster::names(const peer_id& node) const {
  return std::ranges::binary_search(nodes, node);
}

result<roster> sign(const network_id& mesh, roster what, const word_signer& signer) {
  constexpr auto attempted = "sign a roster";
  if (!may_be(what) || seconds_of(what.made) < 0)
    return fail(errc::invalid_argument, attempted);
  what.made = whole_seconds(what.made);
  auto raw = seal(word_kind::roster, roster_size(what.nodes.size()), mesh, signer, [&](layout_writer& to) {
    to.put(what.owner.view()).put(what.number).put(static_cast<uint64_t>(seconds_of(what.made)));
    to.put(static_cast<uint32_t>(what.patience.count())).put(static_cast<uint8_t>(what.nodes.size())).zeros(3);
    for (const auto& node : what.nodes)
      to.put(node.view());
  });
  if (!raw)
    return fail(raw.error().within(attempted));
  what.raw = std::move(*raw);
  return what;
}

result<receipt> sign(const network_id& mesh, receipt what, const word_signer& signer) {
  constexpr auto attempted = "sign a receipt";
  if (!may_be(what.shard, what.size) || seconds_of(what.stored) < 0 || seconds_of(what.expiry) <= 0)
    return fail(errc::invalid_argument, attempted);
  what.stored = whole_seconds(what.stored);
  what.expiry = whole_seconds(what.expiry);
  auto raw = seal(word_kind::receipt, receipt_size, mesh, signer, [&](layout_writer& to) {
    to.put(byte_view{what.holder}).put(what.owner.view());
    put_shard(to, what.shard);
    to.put(what.size).put(what.by.view());
    to.put(static_cast<uint64_t>(seconds_of(what.stored))).put(static_cast<uint64_t>(seconds_of(what.expiry)));
  });
  if (!raw)
    return fail(raw.error().within(attempted));
  what.raw = std::move(*raw);
  return what;
}

result<removal> sign(const network_id& mesh, removal what, const word_signer& signer) {
  constexpr auto attempted = "sign a removal";
  if (seconds_of(what.removed) < 0)
    return fail(errc::invalid_argument, attempted);
  what.removed = whole_seconds(what.removed);
  auto raw = seal(word_kind::removal, removal_size, mesh, signer, [&](layout_writer& to) {
    to.put(byte_view{what.holder}).put(what.owner.view()).put(what.pack.view()).put(what.by.view());
    to.put(static_cast<uint64_t>(seconds_of(what.removed))).put(what.shards);
  });
  if (!raw)
    return fail(raw.error().within(attempted));
  what.raw = std::move(*raw);
  return what;
}

// -- reading -----------------------------------------------------------------------

result<ticket> read_ticket(byte_view raw) {
  constexpr auto reading = "read a ticket";
  auto fields = fields_of(word_kind::ticket, ticket_size, raw, reading);
  if (!fields)
    return fail(fields.error());
  layout_reader reader{*fields};
  ticket read;
  read.owner = reader.get_id<vault_id>();
  read.shard = get_shard(reader);
  auto reserved = reader.zeros(3);
  read.size = reader.get<uint32_t>();
  read.number = reader.get<uint64_t>();
  auto expiry = get_time(reader);
  if (!reserved || !expiry || !may_be(read.shard, read.size))
    return fail(errc::format_damaged, reading, "a field of it");
  read.expiry = *expiry;
  read.raw = bytes::copy_of(raw);
  return read;
}

result<ticket> open_ticket(const network_id& mesh, byte_view raw) {
  auto read = read_ticket(raw);
  if (read)
    if (auto held = verify(word_kind::ticket, mesh, raw, key_of(read->owner), "read a ticket"); !held)
      return fail(held.error());
  return read;
}

result<deletion> read_deletion(byte_view raw) {
  constexpr auto reading = "read a deletion";
  auto fields = fields_of(word_kind::deletion, deletion_size, raw, reading);
  if (!fields)
    return fail(fields.error());
  layout_reader reader{*fields};
  deletion read;
  read.owner = reader.get_id<vault_id>();
  read.pack = reader.get_id<pack_id>();
  read.number = reader.get<uint64_t>();
  auto made = get_time(reader);
  if (!made)
    return fail(errc::format_damaged, reading, "a field of it");
  read.made = *made;
  read.raw = bytes::copy_of(raw);
  return read;
}

result<deletion> open_deletion(const network_id& mesh, byte_view raw) {
  auto read = read_deletion(raw);
  if (read)
    if (auto held = verify(word_kind::deletion, mesh, raw, key_of(read->owner), "read a deletion"); !held)
      return fail(held.error());
  return read;
}

result<permit> read_permit(byte_view raw) {
  constexpr auto reading = "read a permit";
  auto fields = fields_of(word_kind::permit, permit_size, raw, reading);
  if (!fields)
    return fail(fields.error());
  layout_reader reader{*fields};
  permit read;
  read.owner = reader.get_id<vault_id>();
  read.holder = reader.get_id<peer_id>();
  read.asker = reader.get_id<peer_id>();
  auto expiry = get_time(reader);
  if (!expiry)
    return fail(errc::format_damaged, reading, "a field of it");
  read.expiry = *expiry;
  read.raw = bytes::copy_of(raw);
  return read;
}

result<permit> open_permit(const network_id& mesh, byte_view raw) {
  auto read = read_permit(raw);
  if (read)
    if (auto held = verify(word_kind::permit, mesh, raw, key_of(read->owner), "read a permit"); !held)
      return fail(held.error());
  return read;
}

result<roster> read_roster(byte_view raw) {
  constexpr auto reading = "read a roster";
  constexpr auto smallest = roster_size(1);
  auto nodes = raw.size() < smallest ? 0 : (raw.size() - roster_size(0)) / peer_id::size;
  auto fields = fields_of(word_kind::roster, roster_size(std::max<size_t>(nodes, 1)), raw, reading);
  if (!fields)
    return fail(fields.error());
  layout_reader reader{*fields};
  roster read;
  read.owner = reader.get_id<vault_id>();
  read.number = reader.get<uint64_t>();
  auto made = get_time(reader);
  read.patience = std::chrono::seconds{reader.get<uint32_t>()};
  auto count = reader.get<uint8_t>();
  auto reserved = reader.zeros(3);
  if (!made || !reserved || count != nodes)
    return fail(errc::format_damaged, reading, "a field of it");
  read.made = *made;
  while (read.nodes.size() < nodes)
    read.nodes.push_back(reader.get_id<peer_id>());
  if (!may_be(read))
    return fail(errc::format_damaged, reading, "its nodes");
  read.raw = bytes::copy_of(raw);
  return read;
}

result<roster> open_roster(const network_id& mesh, byte_view raw) {
  auto read = read_roster(raw);
  if (read)
    if (auto held = verify(word_kind::roster, mesh, raw, key_of(read->owner), "read a roster"); !held)
      return fail(held.error());
  return read;
}

result<receipt> open_receipt(const network_id& mesh, byte_view raw) {
  constexpr auto reading = "read a receipt";
  auto fields = fields_of(word_kind::receipt, receipt_size, raw, reading);
  if (!fields)
    return fail(fields.error());
  layout_reader reader{*fields};
  receipt read;
  read.holder = get_key(reader);
  read.owner = reader.get_id<vault_id>();
  read.shard = get_shard(reader);
  auto reserved = reader.zeros(3);
  read.size = reader.get<uint32_t>();
  read.by = reader.get_id<digest>();
  auto stored = get_time(reader);
  auto expiry = get_time(reader);
  if (!reserved || !stored || !expiry || !may_be(read.shard, read.size))
    return fail(errc::format_damaged, reading, "a field of it");
  read.stored = *stored;
  read.expiry = *expiry;
  if (auto held = verify(word_kind::receipt, mesh, raw, read.holder, reading); !held)
    return fail(held.error());
  read.raw = bytes::copy_of(raw);
  return read;
}

result<removal> open_removal(const network_id& mesh, byte_view raw) {
  constexpr auto reading = "read a removal";
  auto fields = fields_of(word_kind::removal, removal_size, raw, reading);
  if (!fields)
    return fail(fields.error());
  layout_reader reader{*fields};
  removal read;
  read.holder = get_key(reader);
  read.owner = reader.get_id<vault_id>();
  read.pack = reader.get_id<pack_id>();
  read.by = reader.get_id<digest>();
  auto removed = get_time(reader);
  if (!removed)
    return fail(errc::format_damaged, reading, "a field of it");
  read.removed = *removed;
  read.shards = reader.get<uint32_t>();
  if (auto held = verify(word_kind::removal, mesh, raw, read.holder, reading); !held)
    return fail(held.error());
  read.raw = bytes::copy_of(raw);
  return read;
}

// -- what belongs together -----------------------------------------------------------

receipt receipt_for(const ticket& of, const crypto::public_key& holder, clock::wall_time stored) {
  receipt what;
  what.holder = holder;
  what.owner = of.owner;
  what.shard = of.shard;
  what.size = of.size;
  what.by = of.name();
  what.stored = stored;
  what.expiry = of.expiry;
  return what;
}

// The pack id covers k, m, length and all roots, so nothing else has to be compared.
result<void> check_header(const ticket& of, const storage::shard_header& header) {
  if (header.pack.id != of.shard.pack || header.index != of.shard.index || header.pack.shape.shard_length != of.size)
    return fail(errc::invalid_argument, "match a shard with its ticket", of.shard.pack.brief());
  return {};
}

} // namespace datamesh::network
