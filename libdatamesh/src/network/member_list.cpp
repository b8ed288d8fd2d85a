#include "datamesh/members.hpp"

#include "base/little_endian.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "crypto/identity.hpp"
#include "crypto/password.hpp"
#include "network/member_list.hpp"
#include "network/mesh_settings.hpp"

#include <algorithm>

namespace datamesh {

using network::members_content;

namespace {

constexpr std::string_view magic{"DMMEMBR\x01", 8};
constexpr uint16_t version = 1;
constexpr std::string_view purpose = "dm/members/1";
constexpr auto reading = "read a list of members";
constexpr auto signing = "sign a list of members";
constexpr size_t header_size = 76;
constexpr size_t signature_size = sizeof(crypto::public_key) + sizeof(crypto::signature);

/// Times beyond are nobody's.
constexpr int64_t last_second = std::chrono::floor<std::chrono::seconds>(clock::wall_time::max()).time_since_epoch().count();

// Where the fields of the header are.
constexpr size_t version_at = 8;
constexpr size_t reserved_at = 10;
constexpr size_t mesh_at = 12;
constexpr size_t number_at = 44;
constexpr size_t made_at = 52;
constexpr size_t expires_at = 60;
constexpr size_t threshold_at = 68;
constexpr size_t operators_at = 70;
constexpr size_t members_at = 72;

tl::unexpected<error> damaged(const char* what) {
  return fail(errc::format_damaged, reading, what);
}

crypto::public_key key_of(const operator_id& who) {
  crypto::public_key key;
  std::ranges::copy(who.view(), key.begin());
  return key;
}

/// Strict UTF-8 (RFC 3629) without control characters.
bool is_label(std::string_view text) noexcept {
  for (size_t i = 0; i < text.size();) {
    auto first = static_cast<unsigned char>(text[i]);
    size_t more = first < 0x80 ? 0 : (first >> 5) == 6 ? 1 : (first >> 4) == 14 ? 2 : (first >> 3) == 30 ? 3 : SIZE_MAX;
    if (more == SIZE_MAX || text.size() - i <= more)
      return false;
    uint32_t point = more == 0 ? first : first & (0x3fu >> more);
    for (size_t k = 1; k <= more; ++k) {
      auto next = static_cast<unsigned char>(text[i + k]);
      if ((next >> 6) != 2)
        return false;
      point = point << 6 | (next & 0x3f);
    }
    constexpr std::array<uint32_t, 4> least{0, 0x80, 0x800, 0x10000};
    bool is_surrogate = point >= 0xd800 && point < 0xe000;
    bool is_control = point < 0x20 || (point >= 0x7f && point < 0xa0);
    if (point < least[more] || point > 0x10ffff || is_surrogate || is_control)
      return false;
    i += more + 1;
  }
  return true;
}

/// What is wrong with the list, or null.
const char* mistake_in(const member_list& list) noexcept {
  auto ascends = [](const auto& all, auto key) {
    return std::ranges::adjacent_find(all, std::ranges::greater_equal{}, key) == all.end();
  };
  if (list.number == 0)
    return "its number is 0";
  if (list.made_s < 0 || list.made_s > last_second || (list.expires_s && (*list.expires_s <= 0 || *list.expires_s > last_second)))
    return "a time of it";
  if (list.operators.empty() || list.operators.size() > operators_max || !ascends(list.operators, std::identity{}))
    return "its operators";
  if (list.threshold == 0 || list.threshold > list.operators.size())
    return "the number of operators that have to sign";
  if (list.members.size() > members_max || !ascends(list.members, &listed_node::id))
    return "its members";
  if (!std::ranges::all_of(list.members,
                           [](const listed_node& one) { return one.label.size() <= member_label_max && is_label(one.label); }))
    return "a label";
  return nullptr;
}

std::vector<std::byte> encode(const member_list& list) {
  std::vector<std::byte> out(header_size);
  byte_span head{out};
  std::ranges::copy(as_view(magic), out.begin());
  store_le(head.subspan(version_at), version);
  std::ranges::copy(list.network.view(), out.begin() + mesh_at);
  store_le(head.subspan(number_at), list.number);
  store_le(head.subspan(made_at), static_cast<uint64_t>(list.made_s));
  store_le(head.subspan(expires_at), static_cast<uint64_t>(list.expires_s.value_or(0)));
  store_le(head.subspan(threshold_at), static_cast<uint16_t>(list.threshold));
  store_le(head.subspan(operators_at), static_cast<uint16_t>(list.operators.size()));
  store_le(head.subspan(members_at), static_cast<uint32_t>(list.members.size()));
  auto put = [&](byte_view part) {
    out.insert(out.end(), part.begin(), part.end());
  };
  for (const auto& one : list.operators)
    put(one.view());
  for (const auto& one : list.members) {
    put(one.id.view());
    out.push_back(static_cast<std::byte>(one.label.size()));
    put(as_view(one.label));
  }
  return out;
}

std::vector<std::byte> signed_message(byte_view content) {
  std::vector<std::byte> message;
  for (auto part : {as_view(purpose), content})
    message.insert(message.end(), part.begin(), part.end());
  return message;
}

/// Takes what is there from the front.
class taker {
public:
  explicit taker(byte_view from) : rest_(from) {}
  [[nodiscard]] std::optional<byte_view> take(size_t size) {
    if (rest_.size() < size)
      return std::nullopt;
    auto part = rest_.first(size);
    rest_ = rest_.subspan(size);
    return part;
  }
  [[nodiscard]] size_t left() const noexcept {
    return rest_.size();
  }

private:
  byte_view rest_;
};

result<void> read_header(byte_view raw, member_list& to, size_t& operators, size_t& members) {
  if (raw.size() < magic.size() || as_text(raw.first(magic.size())) != magic)
    return fail(errc::format_alien, reading);
  if (raw.size() < header_size || raw.size() > member_list_size_max)
    return damaged("its size");
  auto found = load_le<uint16_t>(raw.subspan(version_at));
  if (found > version)
    return fail(errc::format_newer, reading);
  if (found != version || load_le<uint16_t>(raw.subspan(reserved_at)) != 0)
    return damaged("its version");
  to.network = network_id::from(raw.subspan(mesh_at, network_id::size));
  to.number = load_le<uint64_t>(raw.subspan(number_at));
  to.made_s = static_cast<int64_t>(load_le<uint64_t>(raw.subspan(made_at)));
  if (auto expires = static_cast<int64_t>(load_le<uint64_t>(raw.subspan(expires_at))); expires != 0)
    to.expires_s = expires;
  to.threshold = load_le<uint16_t>(raw.subspan(threshold_at));
  operators = load_le<uint16_t>(raw.subspan(operators_at));
  members = load_le<uint32_t>(raw.subspan(members_at));
  if (operators > operators_max || members > members_max)
    return damaged("more operators or members than there may be");
  return {};
}

result<void> read_rows(taker& from, member_list& to, size_t operators, size_t members) {
  for (size_t i = 0; i < operators; ++i) {
    auto key = from.take(operator_id::size);
    if (!key)
      return damaged("it is cut off");
    to.operators.push_back(operator_id::from(*key));
  }
  for (size_t i = 0; i < members; ++i) {
    auto row = from.take(peer_id::size + 1);
    auto label = row ? from.take(std::to_integer<size_t>(row->back())) : std::nullopt;
    if (!label)
      return damaged("it is cut off");
    to.members.push_back({peer_id::from(row->first(peer_id::size)), std::string{as_text(*label)}});
  }
  return {};
}

} // namespace

// -- the list ----------------------------------------------------------------------------

const listed_node* member_list::find(const peer_id& who) const noexcept {
  auto at = std::ranges::lower_bound(members, who, {}, &listed_node::id);
  return at != members.end() && at->id == who ? &*at : nullptr;
}

bool signed_members::satisfies(const member_list& of) const noexcept {
  auto count = std::ranges::count_if(of.operators, [&](const operator_id& one) { return std::ranges::binary_search(signers, one); });
  return of.threshold > 0 && static_cast<size_t>(count) >= of.threshold;
}

byte_view network::members_content(const signed_members& of) noexcept {
  return of.raw.view().first(of.raw.size() - 2 - of.signers.size() * signature_size);
}

result<network_id> mesh_id_of(std::string_view text) {
  return network::parse_network(text);
}

result<signed_members> read_members(byte_view raw) {
  signed_members read;
  size_t operators = 0;
  size_t members = 0;
  if (auto head = read_header(raw, read.list, operators, members); !head)
    return fail(head.error());
  taker rest{raw.subspan(header_size)};
  if (auto rows = read_rows(rest, read.list, operators, members); !rows)
    return fail(rows.error());
  if (const auto* what = mistake_in(read.list))
    return damaged(what);
  auto content = raw.first(raw.size() - rest.left());
  auto count = rest.take(2);
  if (!count || load_le<uint16_t>(*count) > member_signatures_max || rest.left() != load_le<uint16_t>(*count) * signature_size)
    return damaged("its signatures");
  auto message = signed_message(content);
  while (auto one = rest.take(signature_size)) {
    auto who = operator_id::from(one->first(operator_id::size));
    if (!read.signers.empty() && read.signers.back() >= who)
      return damaged("the order of its signatures");
    crypto::signature sig;
    std::ranges::copy(one->subspan(operator_id::size), sig.begin());
    if (!crypto::ed25519_verify(key_of(who), message, sig))
      return fail(errc::authentication_failed, reading, "the signature of " + who.brief());
    read.signers.push_back(who);
  }
  read.raw = bytes::copy_of(raw);
  return read;
}

// -- the key of an operator ------------------------------------------------------------------

namespace {

constexpr std::string_view key_magic{"DMOPKEY\x01", 8};
constexpr uint16_t key_version = 1;
constexpr size_t salt_size = 16;
constexpr size_t key_memory_at = 44;
constexpr size_t key_passes_at = 52;
constexpr size_t key_salt_at = 56;
constexpr size_t key_sealed_at = key_salt_at + salt_size;
constexpr size_t key_body = key_sealed_at + crypto::key256::size + crypto::aead_tag_size;
constexpr size_t key_size = key_body + digest::size;
constexpr size_t password_max = 1024;
constexpr auto opening = "open the key of an operator";

result<void> check_password(std::string_view password, const char* attempted) {
  if (password.empty() || password.size() > password_max)
    return fail(errc::invalid_argument, attempted, "a password has 1 to 1,024 bytes");
  return {};
}

result<void> check_key_file(byte_view sealed) {
  if (sealed.size() < key_magic.size() || as_text(sealed.first(key_magic.size())) != key_magic)
    return fail(errc::format_alien, opening);
  if (sealed.size() != key_size || crypto::blake3(sealed.first(key_body)) != digest::from(sealed.subspan(key_body)))
    return fail(errc::key_file_damaged, opening);
  if (load_le<uint16_t>(sealed.subspan(version_at)) != key_version)
    return fail(errc::format_newer, opening);
  return {};
}

} // namespace

struct operator_key::impl {
  crypto::key256 seed;
  operator_id id;
};

operator_key::operator_key(std::unique_ptr<impl> with) : impl_(std::move(with)) {}
operator_key::operator_key(operator_key&&) noexcept = default;
operator_key& operator_key::operator=(operator_key&&) noexcept = default;
operator_key::~operator_key() = default;

const operator_id& operator_key::id() const noexcept {
  return impl_->id;
}

result<operator_key> operator_key::make(random_source& random) {
  auto seed = crypto::key256::random(random);
  if (!seed)
    return fail(seed.error());
  return crypto::ed25519_public(*seed).map([&](const crypto::public_key& key) {
    return operator_key{std::make_unique<impl>(impl{*seed, operator_id::from(key)})};
  });
}

result<bytes> operator_key::seal(std::string_view password, random_source& random) const {
  if (auto good = check_password(password, "seal the key of an operator"); !good)
    return fail(good.error());
  std::vector<std::byte> out(key_size);
  byte_span all{out};
  crypto::password_cost cost;
  std::ranges::copy(as_view(key_magic), out.begin());
  store_le(all.subspan(version_at), key_version);
  std::ranges::copy(impl_->id.view(), out.begin() + mesh_at);
  store_le(all.subspan(key_memory_at), cost.memory_bytes);
  store_le(all.subspan(key_passes_at), cost.passes);
  if (auto salted = random.fill(all.subspan(key_salt_at, salt_size)); !salted)
    return fail(salted.error());
  auto key = crypto::argon2id(as_view(password), all.subspan(key_salt_at, salt_size), cost);
  if (!key)
    return fail(key.error());
  // The salt, and with it the key, is another one each time.
  if (auto done = crypto::aead{}.seal(crypto::aead_suite::chacha20_poly1305, *key, {}, all.first(key_sealed_at), impl_->seed.view(),
                                      all.subspan(key_sealed_at, key_body - key_sealed_at));
      !done)
    return fail(done.error());
  std::ranges::copy(crypto::blake3(all.first(key_body)).view(), out.begin() + key_body);
  return bytes::take(std::move(out));
}

result<operator_id> operator_key::inspect(byte_view sealed) {
  if (auto good = check_key_file(sealed); !good)
    return fail(good.error());
  return operator_id::from(sealed.subspan(mesh_at, operator_id::size));
}

result<operator_key> operator_key::open(byte_view sealed, std::string_view password) {
  if (auto good = check_key_file(sealed); !good)
    return fail(good.error());
  if (auto good = check_password(password, opening); !good)
    return fail(good.error());
  crypto::password_cost cost{load_le<uint64_t>(sealed.subspan(key_memory_at)), load_le<uint32_t>(sealed.subspan(key_passes_at))};
  if (!crypto::is_acceptable(cost))
    return fail(errc::key_file_damaged, opening);
  auto key = crypto::argon2id(as_view(password), sealed.subspan(key_salt_at, salt_size), cost);
  if (!key)
    return fail(key.error());
  crypto::key256 seed;
  if (!crypto::aead{}.open(crypto::aead_suite::chacha20_poly1305, *key, {}, sealed.first(key_sealed_at),
                           sealed.subspan(key_sealed_at, key_body - key_sealed_at), seed.span()))
    return fail(errc::wrong_password, opening);
  auto who = crypto::ed25519_public(seed);
  if (!who)
    return fail(who.error());
  if (operator_id::from(*who) != operator_id::from(sealed.subspan(mesh_at, operator_id::size)))
    return fail(errc::key_file_damaged, opening);
  return operator_key{std::make_unique<impl>(impl{seed, operator_id::from(*who)})};
}

// -- signing -----------------------------------------------------------------------------------

namespace {

struct signature_row {
  operator_id who;
  crypto::signature sig;
};

result<signed_members> assemble(const member_list& list, byte_view content, const std::vector<signature_row>& rows) {
  signed_members made;
  made.list = list;
  std::vector<std::byte> out{content.begin(), content.end()};
  std::array<std::byte, 2> count;
  store_le(count, static_cast<uint16_t>(rows.size()));
  out.insert(out.end(), count.begin(), count.end());
  for (const auto& row : rows) {
    made.signers.push_back(row.who);
    out.insert(out.end(), row.who.view().begin(), row.who.view().end());
    out.insert(out.end(), row.sig.begin(), row.sig.end());
  }
  made.raw = bytes::take(std::move(out));
  return made;
}

} // namespace

result<signed_members> operator_key::sign(const member_list& list) const {
  if (const auto* what = mistake_in(list))
    return fail(errc::invalid_argument, signing, what);
  auto content = encode(list);
  auto sig = crypto::ed25519_sign(impl_->seed, signed_message(content));
  if (!sig)
    return fail(sig.error());
  return assemble(list, content, {{impl_->id, *sig}});
}

result<signed_members> operator_key::sign(const signed_members& list) const {
  if (std::ranges::binary_search(list.signers, impl_->id))
    return list;
  if (list.signers.size() >= member_signatures_max)
    return fail(errc::capacity_exceeded, signing, "it has as many signatures as there may be");
  auto content = members_content(list);
  auto sig = crypto::ed25519_sign(impl_->seed, signed_message(content));
  if (!sig)
    return fail(sig.error());
  std::vector<signature_row> rows{{impl_->id, *sig}};
  for (auto rest = list.raw.view().subspan(content.size() + 2); !rest.empty(); rest = rest.subspan(signature_size)) {
    signature_row row{operator_id::from(rest.first(operator_id::size)), {}};
    std::ranges::copy(rest.subspan(operator_id::size, sizeof(crypto::signature)), row.sig.begin());
    rows.push_back(row);
  }
  std::ranges::sort(rows, {}, &signature_row::who);
  return assemble(list.list, content, rows);
}

// -- who is let in -----------------------------------------------------------------------------

namespace network {

membership::membership(std::shared_ptr<const clock> time, signed_members first)
    : time_(std::move(time)), newest_(std::make_shared<const signed_members>(std::move(first))) {}

std::shared_ptr<const signed_members> membership::newest() const {
  std::lock_guard guard{mutex_};
  return newest_;
}

link_refusal membership::refuses(const peer_id& peer) const {
  auto list = newest();
  if (list->list.expires_s && std::chrono::floor<std::chrono::seconds>(time_->wall()).time_since_epoch().count() >= *list->list.expires_s)
    return link_refusal::members_expired;
  return list->list.find(peer) != nullptr ? link_refusal::none : link_refusal::no_member;
}

result<std::optional<signed_members>> membership::judge(byte_view raw) const {
  auto read = read_members(raw);
  if (!read)
    return fail(read.error());
  return judge_after(*newest(), std::move(*read));
}

void membership::adopt(signed_members what) {
  auto next = std::make_shared<const signed_members>(std::move(what));
  std::lock_guard guard{mutex_};
  newest_ = std::move(next);
}

result<signed_members> judge_first(const network_id& mesh, byte_view raw) {
  auto read = read_members(raw);
  if (!read)
    return read;
  if (read->list.network != mesh)
    return fail(errc::invalid_argument, taking, "it is of another mesh");
  if (!read->is_whole())
    return fail(errc::authentication_failed, taking, "too few of its operators have signed it");
  return read;
}

result<std::optional<signed_members>> judge_after(const signed_members& present, signed_members next) {
  const auto& old = present.list;
  if (next.list.network != old.network)
    return fail(errc::invalid_argument, taking, "it is of another mesh");
  auto is_same = std::ranges::equal(members_content(present), members_content(next));
  if (is_same)
    return std::nullopt;
  // Said before the rest: nobody can have a node taken back by what was right once.
  if (next.list.number < old.number)
    return fail(errc::conflict, taking,
                "number " + std::to_string(next.list.number) + " is older than number " + std::to_string(old.number) + ", which is known");
  if (!next.satisfies(old))
    return fail(errc::authentication_failed, taking, "too few operators of the list that holds have signed it");
  if (!next.is_whole())
    return fail(errc::authentication_failed, taking, "too few of its own operators have signed it");
  if (next.list.number == old.number)
    return fail(errc::conflict, taking, "the operators have signed two lists with number " + std::to_string(old.number));
  return next;
}

digest members_digest(const signed_members& of) {
  return crypto::blake3(members_content(of));
}

} // namespace network

} // namespace datamesh
