#include "crypto/key_file.hpp"

#include "crypto/derive.hpp"
#include "crypto/hash.hpp"
#include "crypto/identity.hpp"
#include "crypto/keyring_encoding.hpp"
#include "crypto/parse_message.hpp"
#include "crypto/phrase.hpp"
#include "datamesh/v1/key_file.pb.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>

namespace datamesh::crypto {

namespace {

constexpr std::string_view magic = "DMKEYFIL";
constexpr uint32_t format_version = 2; ///< With recovery keys; 1 without.
constexpr size_t prefix_size = 8 + 3 * 4;
constexpr size_t salt_size = 32;
constexpr size_t argon2_salt_size = 16;
constexpr size_t sealed_root_size = key256::size + aead_tag_size;
constexpr auto suite = aead_suite::aes_256_gcm;

byte_view view_of(const std::string& field) noexcept {
  return as_view(field);
}

std::string text_of(byte_view data) {
  return std::string{as_text(data)};
}

void put_u32(std::vector<std::byte>& out, size_t value) {
  for (size_t i = 0; i < 4; ++i)
    out.push_back(static_cast<std::byte>(value >> (8 * i)));
}

uint32_t get_u32(byte_view from) noexcept {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i)
    value |= std::to_integer<uint32_t>(from[i]) << (8 * i);
  return value;
}

tl::unexpected<error> damaged(std::string what) {
  return fail(errc::key_file_damaged, "read the key file", std::move(what));
}

// -- the frame: magic, version, sizes, header, sealed keyring, checksum ---------

struct frame {
  byte_view header;
  byte_view sealed;
  byte_view open_part; ///< All that stands before the sealed keyring.
};

result<frame> read_frame(byte_view file) {
  auto shared = std::min(file.size(), magic.size());
  if (as_text(file.first(shared)) != magic.substr(0, shared))
    return fail(errc::format_alien, "read the key file");
  if (file.size() < prefix_size + digest::size || file.size() > key_file_size_max)
    return damaged("its size is impossible");
  auto body = file.first(file.size() - digest::size);
  if (blake3(body) != digest::from(file.last(digest::size)))
    return damaged("its checksum differs");
  // Frame and checksum stay as they are in every version, so that a flipped
  // bit in the version does not pass for a newer one.
  auto version = get_u32(file.subspan(8));
  if (version > format_version)
    return fail(errc::format_newer, "read the key file");
  uint64_t header_size = get_u32(file.subspan(12));
  uint64_t sealed_size = get_u32(file.subspan(16));
  if (version == 0 || prefix_size + header_size + sealed_size != body.size() || sealed_size < aead_tag_size)
    return damaged("its sizes do not add up");
  return frame{body.subspan(prefix_size, header_size), body.last(sealed_size), body.first(prefix_size + header_size)};
}

std::vector<std::byte> begin_frame(uint32_t version, std::string_view header, size_t sealed_size) {
  std::vector<std::byte> file;
  file.reserve(prefix_size + header.size() + sealed_size + digest::size);
  auto opening = as_view(magic);
  file.insert(file.end(), opening.begin(), opening.end());
  put_u32(file, version);
  put_u32(file, header.size());
  put_u32(file, sealed_size);
  auto content = as_view(header);
  file.insert(file.end(), content.begin(), content.end());
  return file;
}

// -- seals that commit to their key ----------------------------------------------

// GCM alone lets one ciphertext open under two keys. So every seal comes with a
// commitment: the second half of the HKDF output whose first half is the key.
struct sealing_keys {
  key256 key;
  key256 commitment;

  static sealing_keys derive(const key256& secret, byte_view salt, byte_view info) {
    crypto::secret<2 * key256::size> both;
    hkdf_sha256(secret.view(), salt, info, both.span());
    return {key256::from(both.view().first<key256::size>()), key256::from(both.view().last<key256::size>())};
  }

  [[nodiscard]] bool commits_to(byte_view stated) const noexcept {
    return equal_in_constant_time(commitment.view(), stated);
  }
};

// Binds a wrapped root to its vault and to every byte of its parameters.
std::vector<std::byte> lock_context(const vault_id& vault, const std::string& parameters) {
  std::vector<std::byte> context;
  for (auto part : {as_view("dm/lock/1"), vault.view(), view_of(parameters)})
    context.insert(context.end(), part.begin(), part.end());
  return context;
}

std::vector<std::byte> keyring_context(byte_view open_part) {
  std::vector<std::byte> context;
  for (auto part : {as_view("dm/key-file/1"), open_part})
    context.insert(context.end(), part.begin(), part.end());
  return context;
}

constexpr std::string_view keyring_key_info = "dm/keyring/1";

/// Records live for 90 days, and clocks differ.
constexpr int64_t ended_kept_ns = int64_t{91} * 24 * 3600 * 1'000'000'000;

// -- locks -----------------------------------------------------------------------

struct parsed_lock {
  v1::Lock lock;
  v1::LockParameters parameters;
  lock_facts facts;
};

password_cost cost_of(const v1::LockParameters& parameters) {
  return {parameters.argon2_memory_bytes(), parameters.argon2_passes()};
}

result<parsed_lock> parse_lock(byte_view encoded) {
  parsed_lock result;
  auto& parameters = result.parameters;
  if (!parse_message(result.lock, encoded) || !parse_message(parameters, view_of(result.lock.parameters())))
    return damaged("a lock is garbled");
  auto kind = static_cast<lock_kind>(parameters.kind());
  if (parameters.kind() > static_cast<uint32_t>(lock_kind::device))
    return fail(errc::format_newer, "read the key file", "a lock is of an unknown kind");
  auto is_device = kind == lock_kind::device;
  auto key_size = is_device ? size_t{public_key{}.size()} : 0;
  if (parameters.kind() == 0 || parameters.number() == 0 || parameters.label().size() > lock_label_size_max
      || parameters.salt().size() != salt_size || result.lock.commitment().size() != key256::size
      || result.lock.wrapped_root().size() != sealed_root_size || parameters.device_public().size() != key_size
      || parameters.ephemeral_public().size() != key_size)
    return damaged("a lock has a field of a wrong size");
  if (kind == lock_kind::password && !is_acceptable(cost_of(parameters)))
    return damaged("a lock asks for an unreasonable password cost");
  result.facts = {parameters.number(), kind, parameters.label(), parameters.created_ns()};
  return result;
}

} // namespace

struct key_file::draft {
  v1::LockParameters parameters;
};

struct key_file::contents {
  frame parts;
  v1::KeyFileHeader header;
  vault_id vault;
  std::vector<parsed_lock> locks;
};

// -- reading -----------------------------------------------------------------------

result<key_file::contents> key_file::parse(byte_view encoded) {
  auto parts = read_frame(encoded);
  if (!parts)
    return fail(parts.error());
  contents file;
  file.parts = *parts;
  auto& header = file.header;
  if (!parse_message(header, parts->header))
    return damaged("its header is garbled");
  auto lock_count = static_cast<size_t>(header.locks_size());
  if (header.vault().size() != vault_id::size || header.salt().size() != salt_size || header.commitment().size() != key256::size
      || lock_count == 0 || lock_count > lock_count_max)
    return damaged("its header has a field of a wrong size");
  file.vault = vault_id::from(view_of(header.vault()));
  std::set<uint32_t> numbers;
  size_t passwords = 0;
  for (const auto& encoded_lock : header.locks()) {
    auto lock = parse_lock(view_of(encoded_lock));
    if (!lock)
      return fail(lock.error());
    passwords += lock->facts.kind == lock_kind::password ? 1 : 0;
    if (!numbers.insert(lock->facts.number).second || lock->facts.number >= header.next_lock())
      return damaged("its locks are misnumbered");
    file.locks.push_back(std::move(*lock));
  }
  if (passwords > password_lock_count_max)
    return damaged("it has too many passwords");
  return file;
}

result<key_file::public_facts> key_file::inspect(byte_view encoded) {
  auto file = parse(encoded);
  if (!file)
    return fail(file.error().within("inspect the key file"));
  public_facts facts{file->vault, file->header.revision(), {}};
  for (auto& lock : file->locks)
    facts.locks.push_back(std::move(lock.facts));
  return facts;
}

namespace {

// What the person or device brought, checked before any lock is tried.
struct credential {
  lock_kind kind;
  byte_view password;
  key256 secret; ///< The phrase's entropy or the device's secret.
  public_key device_public{};
};

result<credential> read_credential(const unlocker& with) {
  credential result{with.kind, {}, {}, {}};
  switch (with.kind) {
  case lock_kind::password:
    if (with.value.size() > password_size_max)
      return fail(errc::invalid_argument, "read the password", "it is longer than 1024 bytes");
    result.password = with.value.view();
    return result;
  case lock_kind::recovery_phrase: {
    auto entropy = decode_phrase(with.value.view());
    if (!entropy)
      return fail(entropy.error());
    result.secret = *entropy;
    return result;
  }
  case lock_kind::device: {
    if (with.value.size() != key256::size)
      return fail(errc::invalid_argument, "read the device key", "it is not of 32 bytes");
    result.secret = key256::from(with.value.view());
    auto open = x25519_public(result.secret);
    if (!open)
      return fail(open.error());
    result.device_public = *open;
    return result;
  }
  }
  return fail(errc::invalid_argument, "unlock with an unknown kind of lock");
}

public_key key_in(const std::string& field) {
  public_key key;
  std::copy_n(view_of(field).begin(), key.size(), key.begin());
  return key;
}

// The secret under the lock, right or wrong; null when this lock is plainly
// for somebody else.
result<std::optional<key256>> secret_for(const parsed_lock& lock, const credential& brought) {
  const auto& parameters = lock.parameters;
  auto some = [](const key256& key) {
    return std::optional<key256>{key};
  };
  switch (brought.kind) {
  case lock_kind::password:
    return argon2id(brought.password, view_of(parameters.salt()).first(argon2_salt_size), cost_of(parameters)).map(some);
  case lock_kind::recovery_phrase:
    return some(brought.secret);
  case lock_kind::device:
    break;
  }
  if (key_in(parameters.device_public()) != brought.device_public)
    return std::nullopt;
  auto shared = x25519_shared(brought.secret, key_in(parameters.ephemeral_public()));
  return shared ? some(*shared) : std::nullopt;
}

} // namespace

result<key256> key_file::open_locks(const contents& file, const unlocker& with) {
  auto brought = read_credential(with);
  if (!brought)
    return fail(brought.error());
  for (const auto& entry : file.locks) {
    if (entry.facts.kind != brought->kind)
      continue;
    auto secret = secret_for(entry, *brought);
    if (!secret)
      return fail(secret.error());
    if (!*secret)
      continue;
    auto context = lock_context(file.vault, entry.lock.parameters());
    auto keys = sealing_keys::derive(**secret, view_of(entry.parameters.salt()), context);
    if (!keys.commits_to(view_of(entry.lock.commitment())))
      continue;
    key256 root;
    if (!aead{}.open(suite, keys.key, {}, context, view_of(entry.lock.wrapped_root()), root.span()))
      return damaged("a lock fits its key, but its content was changed");
    return root;
  }
  return fail(errc::wrong_password, "unlock");
}

result<key_file> key_file::open(byte_view encoded, const unlocker& with, seal_observer* observer) {
  auto refuse = [](const error& reason) {
    return fail(reason.within("open the key file"));
  };
  auto file = parse(encoded);
  if (!file)
    return refuse(file.error());
  auto root = open_locks(*file, with);
  if (!root)
    return refuse(root.error());
  auto sealing = sealing_keys::derive(*root, view_of(file->header.salt()), as_view(keyring_key_info));
  secret_bytes plain{file->parts.sealed.size() - aead_tag_size};
  if (!sealing.commits_to(view_of(file->header.commitment()))
      || !aead{}.open(suite, sealing.key, {}, keyring_context(file->parts.open_part), file->parts.sealed, plain.span()))
    return refuse(damaged("header, locks and keyring do not belong together").value());
  auto keys = decode_keyring(plain.view(), file->vault, file->header.revision());
  if (!keys)
    return refuse(keys.error());
  key_file opened;
  opened.keys_ = std::move(*keys);
  opened.root_ = *root;
  opened.next_lock_ = file->header.next_lock();
  opened.observer_ = observer;
  for (size_t i = 0; i < file->locks.size(); ++i) {
    opened.facts_.push_back(std::move(file->locks[i].facts));
    opened.wraps_.push_back(bytes::copy_of(file->header.locks(static_cast<int>(i))));
  }
  return opened;
}

// -- changing ----------------------------------------------------------------------

result<key_file> key_file::create(keyring keys, random_source& source, seal_observer* observer) {
  auto root = key256::random(source);
  if (!root)
    return fail(root.error().within("create a key file"));
  key_file made;
  made.keys_ = std::move(keys);
  made.root_ = *root;
  made.observer_ = observer;
  return made;
}

result<key_file::draft> key_file::draft_lock(lock_kind kind, std::string label, int64_t now_ns, random_source& source) const {
  if (label.size() > lock_label_size_max)
    return fail(errc::invalid_argument, "add a lock", "its label is longer than 256 bytes");
  auto same_kind = std::count_if(facts_.begin(), facts_.end(), [&](const lock_facts& facts) { return facts.kind == kind; });
  if (facts_.size() >= lock_count_max || next_lock_ == std::numeric_limits<uint32_t>::max()
      || (kind == lock_kind::password && static_cast<size_t>(same_kind) >= password_lock_count_max))
    return fail(errc::capacity_exceeded, "add a lock");
  std::array<std::byte, salt_size> salt;
  if (auto filled = source.fill(salt); !filled)
    return fail(filled.error().within("add a lock"));
  draft made;
  made.parameters.set_number(next_lock_);
  made.parameters.set_kind(static_cast<uint32_t>(kind));
  made.parameters.set_label(std::move(label));
  made.parameters.set_created_ns(now_ns);
  made.parameters.set_salt(text_of(salt));
  return made;
}

result<lock_facts> key_file::close_lock(const draft& made, const key256& secret) {
  v1::Lock lock;
  lock.set_parameters(made.parameters.SerializeAsString());
  auto context = lock_context(keys_.vault, lock.parameters());
  auto keys = sealing_keys::derive(secret, view_of(made.parameters.salt()), context);
  std::array<std::byte, sealed_root_size> wrapped;
  if (auto sealed = aead{observer_}.seal(suite, keys.key, {}, context, root_.view(), wrapped); !sealed)
    return fail(sealed.error().within("add a lock"));
  lock.set_commitment(text_of(keys.commitment.view()));
  lock.set_wrapped_root(text_of(wrapped));
  lock_facts facts{made.parameters.number(), static_cast<lock_kind>(made.parameters.kind()), made.parameters.label(),
                   made.parameters.created_ns()};
  wraps_.push_back(bytes::copy_of(lock.SerializeAsString()));
  facts_.push_back(facts);
  ++next_lock_;
  ++keys_.revision;
  return facts;
}

result<lock_facts> key_file::add_password(const secret_bytes& password, std::string label, const password_cost& cost, int64_t now_ns,
                                          random_source& source) {
  if (password.size() == 0 || password.size() > password_size_max)
    return fail(errc::invalid_argument, "add a password", "it is empty or longer than 1024 bytes");
  if (!is_acceptable(cost))
    return fail(errc::invalid_argument, "add a password", "its Argon2id cost is out of bounds");
  auto made = draft_lock(lock_kind::password, std::move(label), now_ns, source);
  if (!made)
    return fail(made.error());
  made->parameters.set_argon2_memory_bytes(cost.memory_bytes);
  made->parameters.set_argon2_passes(cost.passes);
  auto secret = argon2id(password.view(), view_of(made->parameters.salt()).first(argon2_salt_size), cost);
  if (!secret)
    return fail(secret.error().within("add a password"));
  return close_lock(*made, *secret);
}

result<secret_bytes> key_file::add_recovery_phrase(std::string label, int64_t now_ns, random_source& source) {
  auto made = draft_lock(lock_kind::recovery_phrase, std::move(label), now_ns, source);
  if (!made)
    return fail(made.error());
  auto entropy = key256::random(source);
  if (!entropy)
    return fail(entropy.error().within("make a recovery phrase"));
  return close_lock(*made, *entropy).map([&](const lock_facts& lock) {
    keys_.recoveries.push_back({lock.number, recovery_secret(*entropy), 0});
    return encode_phrase(*entropy);
  });
}

result<lock_facts> key_file::add_device(const std::array<std::byte, 32>& device_public, std::string label, int64_t now_ns,
                                        random_source& source) {
  auto made = draft_lock(lock_kind::device, std::move(label), now_ns, source);
  if (!made)
    return fail(made.error());
  auto ephemeral = key256::random(source);
  if (!ephemeral)
    return fail(ephemeral.error().within("add a device"));
  auto ephemeral_public = x25519_public(*ephemeral);
  if (!ephemeral_public)
    return fail(ephemeral_public.error().within("add a device"));
  auto shared = x25519_shared(*ephemeral, device_public);
  if (!shared)
    return fail(shared.error().as(errc::invalid_argument, "add a device", "its public key"));
  // Both keys are parameters, so the derived key is bound to them as HPKE's is.
  made->parameters.set_device_public(text_of(device_public));
  made->parameters.set_ephemeral_public(text_of(*ephemeral_public));
  return close_lock(*made, *shared);
}

result<bool> key_file::learn_recovery(const secret_bytes& phrase) {
  constexpr auto attempted = "keep what the phrase recovers by";
  auto entropy = decode_phrase(phrase.view());
  if (!entropy)
    return fail(entropy.error());
  for (size_t i = 0; i < facts_.size(); ++i) {
    if (facts_[i].kind != lock_kind::recovery_phrase)
      continue;
    auto lock = parse_lock(wraps_[i]);
    if (!lock)
      return fail(lock.error().within(attempted));
    auto context = lock_context(keys_.vault, lock->lock.parameters());
    auto tried = sealing_keys::derive(*entropy, view_of(lock->parameters.salt()), context);
    if (!tried.commits_to(view_of(lock->lock.commitment())))
      continue;
    auto known = std::ranges::any_of(keys_.recoveries, [&](const auto& key) { return key.lock == facts_[i].number; });
    if (known || keys_.recoveries.size() >= recovery_key_count_max)
      return false;
    keys_.recoveries.push_back({facts_[i].number, recovery_secret(*entropy), 0});
    ++keys_.revision;
    return true;
  }
  return fail(errc::wrong_password, attempted);
}

result<void> key_file::remove_lock(uint32_t number, int64_t now_ns) {
  auto i = std::find_if(facts_.begin(), facts_.end(), [&](const lock_facts& facts) { return facts.number == number; });
  if (i == facts_.end())
    return fail(errc::not_found, "remove a lock", std::to_string(number));
  if (facts_.size() == 1)
    return fail(errc::conflict, "remove the last lock", std::to_string(number));
  wraps_.erase(wraps_.begin() + (i - facts_.begin()));
  facts_.erase(i);
  for (auto& key : keys_.recoveries)
    if (key.lock == number)
      key.ended_ns = std::max<int64_t>(now_ns, 1);
  std::erase_if(keys_.recoveries, [&](const auto& key) { return key.ended_ns != 0 && now_ns - key.ended_ns > ended_kept_ns; });
  ++keys_.revision;
  return {};
}

result<bytes> key_file::encode(random_source& source) const {
  return encode_locks({wraps_.begin(), wraps_.end()}, source);
}

result<bytes> key_file::encode_with(std::span<const uint32_t> numbers, random_source& source) const {
  std::vector<byte_view> wraps;
  for (size_t i = 0; i < facts_.size(); ++i)
    if (std::ranges::find(numbers, facts_[i].number) != numbers.end())
      wraps.emplace_back(wraps_[i]);
  return encode_locks(wraps, source);
}

result<bytes> key_file::encode_locks(const std::vector<byte_view>& wraps, random_source& source) const {
  if (wraps.empty() || !is_consistent(keys_))
    return fail(errc::invalid_argument, "encode the key file", wraps.empty() ? "it has no lock" : "its keyring contradicts itself");
  std::array<std::byte, salt_size> salt;
  if (auto filled = source.fill(salt); !filled)
    return fail(filled.error().within("encode the key file"));
  auto sealing = sealing_keys::derive(root_, salt, as_view(keyring_key_info));
  auto plain = encode_keyring(keys_);
  v1::KeyFileHeader header;
  header.set_vault(text_of(keys_.vault.view()));
  header.set_revision(keys_.revision);
  header.set_next_lock(next_lock_);
  for (const auto& wrap : wraps)
    header.add_locks(text_of(wrap));
  header.set_salt(text_of(salt));
  header.set_commitment(text_of(sealing.commitment.view()));
  auto sealed_size = plain.size() + aead_tag_size;
  auto file = begin_frame(keys_.recoveries.empty() ? 1 : format_version, header.SerializeAsString(), sealed_size);
  if (file.size() + sealed_size + digest::size > key_file_size_max)
    return fail(errc::capacity_exceeded, "encode the key file");
  auto context = keyring_context(file);
  auto open_size = file.size();
  file.resize(open_size + sealed_size);
  auto sealed = byte_span{file}.subspan(open_size);
  if (auto done = aead{observer_}.seal(suite, sealing.key, {}, context, plain.view(), sealed); !done)
    return fail(done.error().within("encode the key file"));
  auto sum = blake3(file);
  file.insert(file.end(), sum.view().begin(), sum.view().end());
  return bytes::take(std::move(file));
}

} // namespace datamesh::crypto
