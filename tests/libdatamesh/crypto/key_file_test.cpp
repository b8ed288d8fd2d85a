#include "crypto/key_file.hpp"

#include "crypto/hash.hpp"
#include "crypto/identity.hpp"
#include "crypto/phrase.hpp"
#include "datamesh/v1/key_file.pb.h"
#include "tests/libdatamesh/crypto/hex.hpp"
#include "tests/libdatamesh/crypto/key_file_fixture.hpp"
#include "tests/support/code_of.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

#include <iostream>
#include <set>

using namespace datamesh;
using namespace datamesh::crypto;
using namespace datamesh::test;

namespace {

constexpr password_cost cheap{8 << 10, 1};
constexpr size_t prefix_size = 20;
constexpr size_t checksum_size = 32;

uint64_t seed() {
  const auto* text = std::getenv("DATAMESH_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}

unlocker with_password(std::string_view text) {
  return {lock_kind::password, secret_bytes{as_view(text)}};
}

unlocker with_phrase(const secret_bytes& phrase) {
  return {lock_kind::recovery_phrase, secret_bytes{phrase.view()}};
}

unlocker with_device(const key256& secret) {
  return {lock_kind::device, secret_bytes{secret.view()}};
}

/// Fails the test when a (suite, key, nonce) triple seals twice.
class nonce_tracer : public seal_observer {
public:
  void sealed(aead_suite suite, const key256& key, const nonce& n) override {
    ++count;
    repeats += seen_.insert(std::to_string(static_cast<int>(suite)) + hex(key.view()) + hex(n)).second ? 0 : 1;
  }
  int count = 0;
  int repeats = 0;

private:
  std::set<std::string> seen_;
};

/// The same bytes again and again: what a broken random source would give.
struct stuck_source : random_source {
  result<void> fill(byte_span out) override {
    std::fill(out.begin(), out.end(), std::byte{7});
    return {};
  }
};

/// Fails from the *left*-th call on.
struct dry_source : random_source {
  explicit dry_source(int calls) : left(calls) {}
  result<void> fill(byte_span out) override {
    if (left-- <= 0)
      return fail(errc::random_failed, "draw random bytes");
    return rest.fill(out);
  }
  int left;
  seeded_random rest{99};
};

/// A file with two passwords, a phrase and a device.
struct sample {
  seeded_random random{seed()};
  nonce_tracer tracer;
  key256 device = key256::random(random).value();
  key_file file = key_file::create(make_keyring(random).value(), random, &tracer).value();
  secret_bytes phrase;
  bytes encoded;

  sample() {
    REQUIRE(file.add_password(secret_bytes{as_view("first password")}, "laptop", cheap, 1000, random));
    phrase = file.add_recovery_phrase("printed on paper", 2000, random).value();
    REQUIRE(file.add_device(x25519_public(device).value(), std::string{"h\xff\0st", 5}, 3000, random));
    REQUIRE(file.add_password(secret_bytes{as_view("second password")}, "", cheap, -4000, random));
    encoded = file.encode(random).value();
  }

  [[nodiscard]] std::vector<unlocker> all_keys() const {
    std::vector<unlocker> keys;
    keys.push_back(with_password("first password"));
    keys.push_back(with_password("second password"));
    keys.push_back(with_phrase(phrase));
    keys.push_back(with_device(device));
    return keys;
  }
};

std::string describe(const keyring& keys) {
  auto text = keys.vault.hex() + hex(keys.identity_seed.view()) + hex(keys.catalog_key.view()) + std::to_string(keys.revision);
  for (const auto& space : keys.spaces) {
    text += "|" + space.id.hex() + space.name + hex(space.id_key.view()) + hex(space.chunker_key.view()) + std::to_string(space.epoch);
    for (const auto& [number, key] : space.epoch_keys)
      text += "," + std::to_string(number) + hex(key.view());
  }
  for (const auto& key : keys.recoveries)
    text += ";" + std::to_string(key.lock) + hex(key.secret.view()) + std::to_string(key.ended_ns);
  return text;
}

std::vector<std::byte> copy_of(const bytes& data) {
  return {data.view().begin(), data.view().end()};
}

/// Makes the checksum fit again, as a forger would.
void stamp(std::vector<std::byte>& file) {
  auto sum = blake3(byte_view{file}.first(file.size() - checksum_size));
  std::copy(sum.view().begin(), sum.view().end(), file.end() - checksum_size);
}

errc refusal(byte_view encoded, const unlocker& with) {
  auto opened = key_file::open(encoded, with);
  REQUIRE_FALSE(opened);
  return opened.error().code();
}

size_t header_size(const bytes& encoded) {
  uint32_t size = 0;
  std::memcpy(&size, encoded.data() + 12, sizeof(size));
  return size;
}

v1::KeyFileHeader header_of(const bytes& encoded) {
  v1::KeyFileHeader header;
  REQUIRE(header.ParseFromArray(encoded.data() + prefix_size, static_cast<int>(header_size(encoded))));
  return header;
}

/// The file with another header and a checksum that fits.
std::vector<std::byte> with_header(const bytes& encoded, const v1::KeyFileHeader& header) {
  auto text = header.SerializeAsString();
  auto old = byte_view{encoded};
  std::vector<std::byte> file{old.begin(), old.begin() + prefix_size};
  auto size = static_cast<uint32_t>(text.size());
  std::memcpy(file.data() + 12, &size, sizeof(size));
  file.insert(file.end(), as_view(text).begin(), as_view(text).end());
  auto rest = old.subspan(prefix_size + header_size(encoded));
  file.insert(file.end(), rest.begin(), rest.end());
  stamp(file);
  return file;
}

template <class Change>
std::vector<std::byte> with_lock_parameters(const bytes& encoded, int index, Change change) {
  auto header = header_of(encoded);
  v1::Lock lock;
  REQUIRE(lock.ParseFromString(header.locks(index)));
  v1::LockParameters parameters;
  REQUIRE(parameters.ParseFromString(lock.parameters()));
  change(parameters);
  lock.set_parameters(parameters.SerializeAsString());
  header.set_locks(index, lock.SerializeAsString());
  return with_header(encoded, header);
}

} // namespace

TEST_CASE("every lock opens the key file and gives the same keyring", "[key_file]") {
  sample s;
  for (const auto& key : s.all_keys()) {
    auto opened = key_file::open(s.encoded, key);
    REQUIRE(opened);
    CHECK(describe(opened->keys()) == describe(s.file.keys()));
  }
}

TEST_CASE("a key that fits no lock is refused as wrong", "[key_file]") {
  sample s;
  for (auto text : {"", "first passwor", "first password ", "First password", "third password"})
    CHECK(refusal(s.encoded, with_password(text)) == errc::wrong_password);
  auto other = key256::random(s.random).value();
  CHECK(refusal(s.encoded, with_device(other)) == errc::wrong_password);
  CHECK(refusal(s.encoded, with_phrase(encode_phrase(other))) == errc::wrong_password);
  CHECK(refusal(s.encoded, {lock_kind::password, secret_bytes{s.phrase.view()}}) == errc::wrong_password);
}

TEST_CASE("a key of a wrong shape is told apart from a wrong key", "[key_file]") {
  sample s;
  CHECK(refusal(s.encoded, with_password(std::string(1025, 'x'))) == errc::invalid_argument);
  CHECK(refusal(s.encoded, {lock_kind::device, secret_bytes{s.device.view().first(31)}}) == errc::invalid_argument);
  CHECK(refusal(s.encoded, {static_cast<lock_kind>(9), secret_bytes{s.device.view()}}) == errc::invalid_argument);
  std::string typed{as_text(s.phrase.view())};
  typed[6 * 4] = 'q';
  auto opened = key_file::open(s.encoded, {lock_kind::recovery_phrase, secret_bytes{as_view(typed)}});
  REQUIRE_FALSE(opened);
  CHECK(opened.error().code() == errc::phrase_invalid);
  CHECK_THAT(opened.error().message(), Catch::Matchers::Contains("word 5"));
}

TEST_CASE("labels, times and numbers survive, and are read without a key", "[key_file]") {
  sample s;
  auto check = [&](const std::vector<lock_facts>& locks) {
    REQUIRE(locks.size() == 4);
    CHECK(locks[0].label == "laptop");
    CHECK(locks[1].label == "printed on paper");
    CHECK(locks[2].label == std::string{"h\xff\0st", 5});
    CHECK(locks[3].label.empty());
    CHECK(locks[1].kind == lock_kind::recovery_phrase);
    CHECK(locks[2].kind == lock_kind::device);
    CHECK(locks[3].kind == lock_kind::password);
    CHECK(locks[3].created_ns == -4000);
    for (uint32_t i = 0; i < 4; ++i)
      CHECK(locks[i].number == i + 1);
  };
  check(s.file.locks());
  check(key_file::open(s.encoded, with_device(s.device)).value().locks());
  auto facts = key_file::inspect(s.encoded).value();
  check(facts.locks);
  CHECK(facts.vault == s.file.keys().vault);
  CHECK(facts.revision == s.file.keys().revision);
}

TEST_CASE("no single flipped bit passes", "[key_file]") {
  sample s;
  auto file = copy_of(s.encoded);
  for (size_t bit = 0; bit < 8 * file.size(); ++bit) {
    file[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
    auto expected = bit < 64 ? errc::format_alien : errc::key_file_damaged;
    if (refusal(file, with_device(s.device)) != expected || key_file::inspect(file))
      FAIL_CHECK("bit " << bit);
    file[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
  }
  CHECK(key_file::open(file, with_device(s.device)));
}

TEST_CASE("a truncated or extended key file is called damaged", "[key_file]") {
  sample s;
  for (size_t size = 0; size < s.encoded.size(); ++size) {
    if (refusal(s.encoded.view().first(size), with_device(s.device)) != errc::key_file_damaged)
      FAIL_CHECK("size " << size);
    // A forger makes the checksum fit what is left.
    auto cut = copy_of(s.encoded.slice(0, size));
    if (size >= prefix_size + checksum_size) {
      stamp(cut);
      CHECK(refusal(cut, with_device(s.device)) == errc::key_file_damaged);
    }
  }
  auto longer = copy_of(s.encoded);
  longer.push_back({});
  CHECK(refusal(longer, with_device(s.device)) == errc::key_file_damaged);
  stamp(longer);
  CHECK(refusal(longer, with_device(s.device)) == errc::key_file_damaged);
}

TEST_CASE("a forged byte is refused even under a checksum that fits", "[key_file]") {
  sample s;
  for (size_t i = 8; i + checksum_size < s.encoded.size(); ++i)
    for (auto flip : {std::byte{0x01}, std::byte{0x80}}) {
      auto file = copy_of(s.encoded);
      file[i] ^= flip;
      stamp(file);
      CAPTURE(i);
      for (const auto& key : {with_device(s.device), with_phrase(s.phrase)}) {
        auto code = refusal(file, key);
        CHECK((code == errc::key_file_damaged || code == errc::wrong_password || code == errc::format_newer));
      }
    }
}

TEST_CASE("random forgeries are refused and harm nothing", "[key_file]") {
  CAPTURE(seed());
  sample s;
  seeded_random random{seed()};
  for (int round = 0; round < 3000; ++round) {
    auto file = copy_of(s.encoded);
    for (auto edits = 1 + random.below(4); edits > 0; --edits) {
      auto at = 8 + random.below(file.size() - checksum_size - 8);
      auto size = std::min<size_t>(1 + random.below(20), file.size() - checksum_size - at);
      switch (random.below(3)) {
      case 0:
        std::generate_n(file.begin() + static_cast<ptrdiff_t>(at), size, [&] { return static_cast<std::byte>(random.below(256)); });
        break;
      case 1:
        file.erase(file.begin() + static_cast<ptrdiff_t>(at), file.begin() + static_cast<ptrdiff_t>(at + size));
        break;
      default:
        file.insert(file.begin() + static_cast<ptrdiff_t>(at), size, static_cast<std::byte>(random.below(256)));
      }
    }
    stamp(file);
    if (file == copy_of(s.encoded))
      continue;
    // Sizes that fit again let the forgery reach the inner parsers.
    auto sealed_size = s.encoded.size() - prefix_size - header_size(s.encoded) - checksum_size;
    if (random.below(2) == 0 && file.size() >= prefix_size + sealed_size + checksum_size) {
      auto size = static_cast<uint32_t>(file.size() - prefix_size - sealed_size - checksum_size);
      std::memcpy(file.data(), s.encoded.data(), 12);
      std::memcpy(file.data() + 12, &size, sizeof(size));
      std::memcpy(file.data() + 16, s.encoded.data() + 16, 4);
      stamp(file);
    }
    if (file == copy_of(s.encoded))
      continue;
    (void) key_file::inspect(file);
    CHECK_FALSE(key_file::open(file, with_device(s.device)));
  }
}

TEST_CASE("alien bytes and newer versions are told apart from damage", "[key_file]") {
  sample s;
  CHECK(refusal(as_view("what is this"), with_device(s.device)) == errc::format_alien);
  CHECK(refusal(as_view("DMKEYFIL"), with_device(s.device)) == errc::key_file_damaged);
  CHECK(refusal({}, with_device(s.device)) == errc::key_file_damaged);
  auto file = copy_of(s.encoded);
  file[8] = std::byte{3};
  stamp(file);
  CHECK(refusal(file, with_device(s.device)) == errc::format_newer);
  file[8] = std::byte{0};
  stamp(file);
  CHECK(refusal(file, with_device(s.device)) == errc::key_file_damaged);
  auto newer_lock = with_lock_parameters(s.encoded, 0, [](auto& parameters) { parameters.set_kind(4); });
  CHECK(refusal(newer_lock, with_device(s.device)) == errc::format_newer);
}

TEST_CASE("locks can not be taken out, put in, swapped or moved by who has no key", "[key_file]") {
  sample s;
  auto header = header_of(s.encoded);
  auto fewer = header;
  fewer.mutable_locks()->RemoveLast();
  CHECK(refusal(with_header(s.encoded, fewer), with_device(s.device)) == errc::key_file_damaged);
  auto swapped = header;
  swapped.mutable_locks()->SwapElements(0, 1);
  CHECK(refusal(with_header(s.encoded, swapped), with_device(s.device)) == errc::key_file_damaged);
  auto older = header;
  older.set_revision(header.revision() - 1);
  CHECK(refusal(with_header(s.encoded, older), with_device(s.device)) == errc::key_file_damaged);
  auto annotated = header;
  annotated.add_locks(header.locks(0));
  CHECK(refusal(with_header(s.encoded, annotated), with_device(s.device)) == errc::key_file_damaged);

  CHECK(key_file::inspect(with_header(s.encoded, annotated)).error().code() == errc::key_file_damaged);
  auto reused = header;
  reused.set_next_lock(4);
  CHECK(key_file::inspect(with_header(s.encoded, reused)).error().code() == errc::key_file_damaged);
  auto bare = header;
  bare.clear_locks();
  CHECK(key_file::inspect(with_header(s.encoded, bare)).error().code() == errc::key_file_damaged);

  // A lock of the same vault and the same root, which the owner had removed.
  auto stale = s.file;
  REQUIRE(stale.remove_lock(4, 1));
  auto without = stale.encode(s.random).value();
  auto restored = header_of(without);
  restored.add_locks(header.locks(3));
  CHECK(refusal(with_header(without, restored), with_password("second password")) == errc::key_file_damaged);

  // A lock of the attacker's own file.
  seeded_random other_random{seed() + 1};
  auto theirs = key_file::create(make_keyring(other_random).value(), other_random).value();
  REQUIRE(theirs.add_password(secret_bytes{as_view("theirs")}, "", cheap, 0, other_random));
  auto planted = header;
  planted.set_locks(0, header_of(theirs.encode(other_random).value()).locks(0));
  CHECK(refusal(with_header(s.encoded, planted), with_password("theirs")) == errc::wrong_password);
  CHECK(refusal(with_header(s.encoded, planted), with_device(s.device)) == errc::key_file_damaged);
}

TEST_CASE("a changed parameter of a lock keeps it shut", "[key_file]") {
  sample s;
  auto renamed = with_lock_parameters(s.encoded, 0, [](auto& parameters) { parameters.set_label("mine"); });
  CHECK(refusal(renamed, with_password("first password")) == errc::wrong_password);
  auto dearer = with_lock_parameters(s.encoded, 0, [](auto& parameters) { parameters.set_argon2_passes(2); });
  CHECK(refusal(dearer, with_password("first password")) == errc::wrong_password);
  auto low_order = with_lock_parameters(s.encoded, 2, [](auto& parameters) { parameters.set_ephemeral_public(std::string(32, '\0')); });
  CHECK(refusal(low_order, with_device(s.device)) == errc::wrong_password);
}

TEST_CASE("an attacker's Argon2 cost is refused before memory is taken", "[key_file]") {
  sample s;
  for (uint64_t memory : {uint64_t{0}, uint64_t{4096}, (uint64_t{1} << 30) + 1024, uint64_t{1} << 40, ~uint64_t{0}}) {
    auto file = with_lock_parameters(s.encoded, 0, [&](auto& parameters) { parameters.set_argon2_memory_bytes(memory); });
    CHECK(refusal(file, with_password("first password")) == errc::key_file_damaged);
    CHECK(key_file::inspect(file).error().code() == errc::key_file_damaged);
  }
  for (uint32_t passes : {0u, 17u, 0xffffffffu}) {
    auto file = with_lock_parameters(s.encoded, 0, [&](auto& parameters) { parameters.set_argon2_passes(passes); });
    CHECK(refusal(file, with_password("first password")) == errc::key_file_damaged);
  }
}

TEST_CASE("a lock whose wrapped root was exchanged is called damaged", "[key_file]") {
  sample s;
  auto header = header_of(s.encoded);
  v1::Lock lock;
  REQUIRE(lock.ParseFromString(header.locks(2)));
  (*lock.mutable_wrapped_root())[0] ^= 1;
  header.set_locks(2, lock.SerializeAsString());
  CHECK(refusal(with_header(s.encoded, header), with_device(s.device)) == errc::key_file_damaged);
}

TEST_CASE("changing a password shuts the old one out and keeps keys and other locks", "[key_file]") {
  sample s;
  auto file = key_file::open(s.encoded, with_password("first password")).value();
  auto before = file.keys().revision;
  auto added = file.add_password(secret_bytes{as_view("new password")}, "laptop", cheap, 5000, s.random);
  REQUIRE(added);
  CHECK(added->number == 5);
  REQUIRE(file.remove_lock(1, 1));
  CHECK(file.keys().revision > before);
  auto encoded = file.encode(s.random).value();
  CHECK(refusal(encoded, with_password("first password")) == errc::wrong_password);
  for (const auto& key : {with_password("new password"), with_password("second password"), with_phrase(s.phrase), with_device(s.device)})
    CHECK(describe(key_file::open(encoded, key).value().keys()) == describe(file.keys()));
  // What the header says of old copies holds.
  CHECK(key_file::open(s.encoded, with_password("first password")));
}

TEST_CASE("the last lock stays, and numbers are not used again", "[key_file]") {
  sample s;
  CHECK(s.file.remove_lock(9, 1).error().code() == errc::not_found);
  for (uint32_t number : {4u, 1u, 2u})
    REQUIRE(s.file.remove_lock(number, 1));
  CHECK(s.file.remove_lock(3, 1).error().code() == errc::conflict);
  CHECK(s.file.remove_lock(4, 1).error().code() == errc::not_found);
  REQUIRE(s.file.locks().size() == 1);
  auto reopened = key_file::open(s.file.encode(s.random).value(), with_device(s.device)).value();
  CHECK(reopened.add_password(secret_bytes{as_view("x")}, "", cheap, 0, s.random)->number == 5);
}

TEST_CASE("a phrase leaves what it recovers by in the keyring, and ends it when it is removed", "[key_file]") {
  sample s;
  auto file = key_file::open(s.encoded, with_device(s.device)).value();
  REQUIRE(file.keys().recoveries.size() == 1);
  CHECK(file.keys().recoveries[0].lock == 2);
  CHECK(hex(file.keys().recoveries[0].secret.view()) == hex(recovery_secret(decode_phrase(s.phrase.view()).value()).view()));
  CHECK(file.keys().recoveries[0].ended_ns == 0);
  CHECK_FALSE(file.learn_recovery(s.phrase).value());
  REQUIRE(file.remove_lock(2, 77));
  auto again = key_file::open(file.encode(s.random).value(), with_device(s.device)).value();
  REQUIRE(again.keys().recoveries.size() == 1);
  CHECK(again.keys().recoveries[0].ended_ns == 77);
  constexpr int64_t day_ns = int64_t{24} * 3600 * 1'000'000'000;
  REQUIRE(again.remove_lock(1, 77 + 91 * day_ns));
  CHECK(again.keys().recoveries.size() == 1);
  REQUIRE(again.remove_lock(4, 78 + 91 * day_ns));
  CHECK(again.keys().recoveries.empty());
}

TEST_CASE("a key file from before recovery keys learns them from its phrase, and is of a later version from then on", "[key_file]") {
  seeded_random random{seed()};
  auto old = with_phrase(secret_bytes{as_view(key_file_v1_phrase)});
  auto file = key_file::open(unhex(key_file_v1), old).value();
  CHECK(file.keys().recoveries.empty());
  CHECK(file.encode(random).value().view()[8] == std::byte{1});
  CHECK(code_of(file.learn_recovery(secret_bytes{sample{}.phrase.view()})) == errc::wrong_password);
  CHECK(file.learn_recovery(secret_bytes{as_view(key_file_v1_phrase)}).value());
  auto next = file.encode(random).value();
  CHECK(next.view()[8] == std::byte{2});
  CHECK(key_file::open(next, old).value().keys().recoveries.size() == 1);
}

TEST_CASE("a copy with fewer locks opens by these alone, and without any is none", "[key_file]") {
  sample s;
  auto copy = s.file.encode_with(std::array{2U}, s.random).value();
  CHECK(describe(key_file::open(copy, with_phrase(s.phrase)).value().keys()) == describe(s.file.keys()));
  CHECK(refusal(copy, with_password("first password")) == errc::wrong_password);
  CHECK(refusal(copy, with_device(s.device)) == errc::wrong_password);
  CHECK(code_of(s.file.encode_with(std::array{9U}, s.random)) == errc::invalid_argument);
}

TEST_CASE("no (key, nonce) pair seals twice", "[key_file]") {
  sample s;
  for (int i = 0; i < 100; ++i) {
    REQUIRE(s.file.encode(s.random));
    auto again = key_file::open(s.encoded, with_device(s.device), &s.tracer).value();
    REQUIRE(again.add_password(secret_bytes{as_view("same password")}, "same", cheap, 0, s.random));
    REQUIRE(again.encode(s.random));
  }
  CHECK(s.tracer.count == 5 + 300);
  CHECK(s.tracer.repeats == 0);
}

TEST_CASE("the nonce tracer sees a random source that is stuck", "[key_file]") {
  nonce_tracer tracer;
  stuck_source source;
  auto file = key_file::create(make_keyring(source).value(), source, &tracer).value();
  REQUIRE(file.add_recovery_phrase("", 0, source));
  REQUIRE(file.encode(source));
  CHECK(tracer.repeats == 0);
  REQUIRE(file.encode(source));
  CHECK(tracer.repeats == 1);
}

TEST_CASE("two encodes of one file differ and open alike", "[key_file]") {
  sample s;
  auto again = s.file.encode(s.random).value();
  CHECK(copy_of(again) != copy_of(s.encoded));
  CHECK(again.size() == s.encoded.size());
  CHECK(describe(key_file::open(again, with_phrase(s.phrase)).value().keys()) == describe(s.file.keys()));
}

TEST_CASE("no secret stands readable in the file", "[key_file]") {
  sample s;
  auto text = hex(s.encoded);
  const auto& keys = s.file.keys();
  for (const auto& key :
       {keys.identity_seed, keys.catalog_key, keys.spaces[0].id_key, keys.spaces[0].chunker_key, keys.spaces[0].epoch_keys.at(1), s.device})
    CHECK(text.find(hex(key.view().first(8))) == std::string::npos);
  CHECK(text.find(hex(as_view("first password"))) == std::string::npos);
  CHECK(text.find(hex(as_view("main"))) == std::string::npos);
}

TEST_CASE("a keyring with many spaces and epochs comes back whole", "[key_file]") {
  sample s;
  auto& keys = s.file.keys();
  while (keys.spaces.size() < 100) {
    auto space = make_keyring(s.random).value().spaces[0];
    space.name = std::string(keys.spaces.size() % 257, 'n');
    for (size_t i = keys.spaces.size() % 5; i > 0; --i)
      REQUIRE(rotate(space, s.random));
    keys.spaces.push_back(space);
  }
  keys.spaces[7].epoch_keys.erase(1);
  ++keys.revision;
  auto encoded = s.file.encode(s.random).value();
  CHECK(describe(key_file::open(encoded, with_device(s.device)).value().keys()) == describe(keys));
}

TEST_CASE("what could not be opened again is not written", "[key_file]") {
  sample s;
  auto refused = [&](auto change) {
    auto file = s.file;
    change(file.keys());
    auto encoded = file.encode(s.random);
    return encoded ? errc::internal : encoded.error().code();
  };
  CHECK(refused([](keyring& keys) { keys.vault = {}; }) == errc::invalid_argument);
  CHECK(refused([](keyring& keys) { keys.spaces.clear(); }) == errc::invalid_argument);
  CHECK(refused([](keyring& keys) { keys.spaces.push_back(keys.spaces[0]); }) == errc::invalid_argument);
  CHECK(refused([](keyring& keys) { keys.spaces[0].epoch = 2; }) == errc::invalid_argument);
  CHECK(refused([](keyring& keys) { keys.spaces[0].epoch_keys.clear(); }) == errc::invalid_argument);
  CHECK(refused([](keyring& keys) { keys.spaces[0].epoch_keys[0] = {}; }) == errc::invalid_argument);
  CHECK(refused([](keyring& keys) { keys.spaces[0].name = std::string(257, 'n'); }) == errc::invalid_argument);
  CHECK(refused([](keyring& keys) {
          for (uint32_t i = 2; i < 120'000; ++i)
            keys.spaces[0].epoch_keys[i] = {};
        })
        == errc::capacity_exceeded);
  auto bare = key_file::create(s.file.keys(), s.random).value();
  CHECK(bare.encode(s.random).error().code() == errc::invalid_argument);
}

TEST_CASE("locks out of bounds are refused and change nothing", "[key_file]") {
  sample s;
  auto revision = s.file.keys().revision;
  auto code = [](const auto& outcome) {
    return outcome ? errc::internal : outcome.error().code();
  };
  auto secret = [](std::string_view text) {
    return secret_bytes{as_view(text)};
  };
  CHECK(code(s.file.add_password(secret(""), "", cheap, 0, s.random)) == errc::invalid_argument);
  CHECK(code(s.file.add_password(secret(std::string(1025, 'x')), "", cheap, 0, s.random)) == errc::invalid_argument);
  CHECK(code(s.file.add_password(secret("x"), std::string(257, 'l'), cheap, 0, s.random)) == errc::invalid_argument);
  CHECK(code(s.file.add_password(secret("x"), "", {1, 1}, 0, s.random)) == errc::invalid_argument);
  CHECK(code(s.file.add_recovery_phrase(std::string(257, 'l'), 0, s.random)) == errc::invalid_argument);
  CHECK(code(s.file.add_device({}, "", 0, s.random)) == errc::invalid_argument);
  CHECK(s.file.locks().size() == 4);
  CHECK(s.file.keys().revision == revision);

  for (int i = 2; i < 8; ++i)
    REQUIRE(s.file.add_password(secret("x"), std::string(256, 'l'), cheap, 0, s.random));
  CHECK(code(s.file.add_password(secret("x"), "", cheap, 0, s.random)) == errc::capacity_exceeded);
  while (s.file.locks().size() < 64)
    REQUIRE(s.file.add_recovery_phrase("", 0, s.random));
  CHECK(code(s.file.add_recovery_phrase("", 0, s.random)) == errc::capacity_exceeded);
  CHECK(code(s.file.add_device(x25519_public(s.device).value(), "", 0, s.random)) == errc::capacity_exceeded);
  auto full = s.file.encode(s.random).value();
  CHECK(key_file::open(full, with_device(s.device)).value().locks().size() == 64);
}

TEST_CASE("a file with more locks than may be tried is refused", "[key_file]") {
  sample s;
  auto copies = [&](int of, size_t count) {
    auto header = header_of(s.encoded);
    v1::Lock lock;
    REQUIRE(lock.ParseFromString(header.locks(of)));
    v1::LockParameters parameters;
    REQUIRE(parameters.ParseFromString(lock.parameters()));
    header.clear_locks();
    for (uint32_t number = 1; number <= count; ++number) {
      parameters.set_number(number);
      lock.set_parameters(parameters.SerializeAsString());
      header.add_locks(lock.SerializeAsString());
    }
    header.set_next_lock(100);
    return with_header(s.encoded, header);
  };
  CHECK(key_file::inspect(copies(0, 8)));
  CHECK(key_file::inspect(copies(0, 9)).error().code() == errc::key_file_damaged);
  CHECK(key_file::inspect(copies(1, 64)));
  CHECK(key_file::inspect(copies(1, 65)).error().code() == errc::key_file_damaged);
}

TEST_CASE("without randomness nothing is made and nothing changes", "[key_file]") {
  sample s;
  auto before = describe(s.file.keys());
  auto fails_at_each_call = [&](auto action) {
    int calls = 0;
    for (;; ++calls) {
      auto file = s.file;
      dry_source dry{calls};
      auto outcome = action(file, dry);
      if (outcome)
        break;
      CHECK(outcome.error().code() == errc::random_failed);
      CHECK(file.locks().size() == 4);
      CHECK(describe(file.keys()) == before);
    }
    return calls;
  };
  CHECK(fails_at_each_call(
            [](key_file& file, random_source& dry) { return file.add_password(secret_bytes{as_view("x")}, "", cheap, 0, dry); })
        == 1);
  CHECK(fails_at_each_call([](key_file& file, random_source& dry) { return file.add_recovery_phrase("", 0, dry); }) == 2);
  CHECK(fails_at_each_call([&](key_file& file, random_source& dry) { return file.add_device(x25519_public(s.device).value(), "", 0, dry); })
        == 2);
  CHECK(fails_at_each_call([](key_file& file, random_source& dry) { return file.encode(dry); }) == 1);
  CHECK(fails_at_each_call([](key_file& file, random_source& dry) { return key_file::create(file.keys(), dry); }) == 1);
}

TEST_CASE("the committed key files of format versions 1 and 2 open by each of their locks", "[key_file]") {
  auto version = GENERATE(1, 2);
  auto encoded = unhex(version == 1 ? key_file_v1 : key_file_v2);
  CHECK(encoded[8] == static_cast<std::byte>(version));
  CHECK(key_file::inspect(encoded).value().vault.hex() == key_file_v1_vault);
  for (const auto& key : {with_password("correct horse battery staple"), with_phrase(secret_bytes{as_view(key_file_v1_phrase)}),
                          with_device(key_from(key_file_v1_device))}) {
    auto opened = key_file::open(encoded, key);
    REQUIRE(opened);
    CHECK(opened->keys().recoveries.size() == static_cast<size_t>(version - 1));
    CHECK(blake3(as_view(describe(opened->keys()))).hex() == (version == 1 ? key_file_v1_keyring_digest : key_file_v2_keyring_digest));
  }
}

TEST_CASE("print a key file for the fixture", "[.print_fixture]") {
  seeded_random random{20'260'101};
  auto device = key256::random(random).value();
  auto file = key_file::create(make_keyring(random).value(), random).value();
  REQUIRE(
      file.add_password(secret_bytes{as_view("correct horse battery staple")}, "laptop", {1 << 20, 2}, 1'767'225'600'000'000'000, random));
  auto phrase = file.add_recovery_phrase("paper", 1'767'225'600'000'000'000, random).value();
  REQUIRE(file.add_device(x25519_public(device).value(), "nas", 1'767'225'600'000'000'000, random));
  REQUIRE(rotate(file.keys(), file.keys().spaces[0].id, random));
  std::cout << hex(file.encode(random).value()) << '\n'
            << file.keys().vault.hex() << '\n'
            << as_text(phrase.view()) << '\n'
            << hex(device.view()) << '\n'
            << blake3(as_view(describe(file.keys()))).hex() << '\n';
}
