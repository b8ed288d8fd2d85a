#include "network/signed_record.hpp"

#include "base/little_endian.hpp"
#include "network/certificate.hpp"
#include "network/record_store.hpp"
#include "tests/libdatamesh/network/mesh_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

errc code_of(byte_view raw, clock::wall_time now = test_day, const network_id& mesh = test_mesh) {
  auto record = open_record(mesh, raw, now);
  return record ? errc{} : record.error().code();
}

std::vector<std::byte> raw_of(const signed_record& record) {
  return {record.raw.view().begin(), record.raw.view().end()};
}

/// The record with a field of its header changed, and signed again.
std::vector<std::byte> forged(const publisher& who, const signed_record& record, const std::function<void(byte_span)>& change) {
  auto raw = raw_of(record);
  auto content = byte_span{raw}.first(raw.size() - 64);
  change(content);
  std::vector<std::byte> message;
  for (auto part : {as_view("dm/record/1"), test_mesh.view(), byte_view{content}})
    message.insert(message.end(), part.begin(), part.end());
  auto sig = crypto::ed25519_sign(who.seed, message).value();
  std::copy(sig.begin(), sig.end(), raw.end() - 64);
  return raw;
}

} // namespace

TEST_CASE("a record of each kind is read as it was signed", "[signed_record]") {
  seeded_random random{seed()};
  publisher who{random};
  auto kind = GENERATE(record_kind::node, record_kind::provider, record_kind::device_head, record_kind::recovery);
  auto size = GENERATE(size_t{0}, size_t{1}, record_value_max);
  auto key = random_id<point>(random).value();
  std::string value(size, 'v');
  auto record = who.make(kind, 7, value, key);
  CHECK(record.raw.size() == record_overhead + size);
  auto read = open_record(test_mesh, record.raw, test_day);
  REQUIRE(read);
  CHECK(read->name == record.name);
  CHECK(read->sequence == 7);
  CHECK(read->expiry == test_day + 24h);
  CHECK(as_text(read->value) == value);
  CHECK(compare(*read, record) == record_order::same);
  if (kind == record_kind::provider)
    CHECK(read->name.key == key);
  if (kind == record_kind::node)
    CHECK(read->name.key == point_of(peer_of(who.key).value()));
}

TEST_CASE("the record of the format's page is as it stands there", "[signed_record]") {
  crypto::key256 seed;
  for (size_t i = 0; i < seed.view().size(); ++i)
    seed.span()[i] = static_cast<std::byte>(i);
  auto key = crypto::ed25519_public(seed).value();
  record_draft draft{
      {record_kind::provider, point::from(as_view("a key of exactly thirty-two byte")), key}, 5, test_day + 1h, bytes::copy_of("here")};
  auto record = sign_record(test_mesh, draft, [&](byte_view message) { return crypto::ed25519_sign(seed, message); }).value();
  std::string hex;
  for (auto b : record.raw.view())
    hex += id<struct one_byte, 1>::from({&b, 1}).hex();
  CHECK(hex
        == "0102000061206b6579206f662065786163746c79207468697274792d74776f20"
           "6279746503a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664"
           "125531b8050000000000000010c755690000000004000000686572656103e0f5"
           "a1a85e5c7f22fde64a74ef23ae907063cf8daab578865671b280a00662b8f36a"
           "21c70130975813cb529475c8da94185d4514a4e272c04de9d339c90b");
}

TEST_CASE("a record with any bit changed or of any other length is refused", "[signed_record]") {
  seeded_random random{seed()};
  publisher who{random};
  auto record = who.make(record_kind::provider, 3, "value", random_id<point>(random).value());
  auto raw = raw_of(record);
  for (size_t at = 0; at < raw.size(); ++at)
    for (auto bit : {std::byte{1}, std::byte{0x80}}) {
      auto changed = raw;
      changed[at] ^= bit;
      CAPTURE(at);
      REQUIRE(code_of(changed) != errc{});
    }
  for (size_t size = 0; size < raw.size(); ++size)
    REQUIRE(code_of(byte_view{raw}.first(size)) == errc::format_damaged);
  auto longer = raw;
  longer.push_back(std::byte{0});
  CHECK(code_of(longer) == errc::format_damaged);
  auto newer = raw;
  newer[0] = std::byte{2};
  CHECK(code_of(newer) == errc::format_newer);
}

TEST_CASE("a record that somebody else signed is refused, as is one of another mesh", "[signed_record]") {
  seeded_random random{seed()};
  publisher who{random};
  publisher other{random};
  auto record = who.make(record_kind::provider, 3, "value");
  CHECK(code_of(forged(other, record, [](byte_span) {})) == errc::authentication_failed);
  CHECK(code_of(forged(who, record, [](byte_span) {})) == errc{});
  CHECK(code_of(record.raw, test_day, network_id{}) == errc::authentication_failed);
}

TEST_CASE("nobody can put a record where another node or device is looked for", "[signed_record]") {
  seeded_random random{seed()};
  publisher who{random};
  publisher other{random};
  auto kind = GENERATE(record_kind::node, record_kind::device_head, record_kind::recovery);
  auto draft = who.draft(kind, 1, "here");
  draft.name.key = key_of(kind, other.key).value().value();
  CHECK(who.sign(draft).error().code() == errc::invalid_argument);
  auto raw = forged(who, who.make(kind, 1, "here"),
                    [&](byte_span content) { std::copy(draft.name.key.view().begin(), draft.name.key.view().end(), content.begin() + 4); });
  CHECK(code_of(raw) == errc::invalid_argument);
}

TEST_CASE("a record holds until its end, which is not farther away than its kind allows", "[signed_record]") {
  seeded_random random{seed()};
  publisher who{random};
  auto record = who.make(record_kind::node, 1, "here");
  CHECK(code_of(record.raw, record.expiry - 1ns) == errc{});
  CHECK(code_of(record.raw, record.expiry) == errc::invalid_argument);
  // A publisher's clock may be ahead by a day.
  CHECK(code_of(record.raw, record.expiry - 72h) == errc{});
  CHECK(code_of(record.raw, record.expiry - 72h - 1ns) == errc::invalid_argument);
  auto head = who.draft(record_kind::device_head, 1, "head");
  head.expiry = test_day + 24h * 91;
  CHECK(code_of(who.sign(head)->raw) == errc{});
  head.expiry += 1s;
  CHECK(code_of(who.sign(head)->raw) == errc::invalid_argument);
}

TEST_CASE("a record whose header does not hold together is refused though it is signed", "[signed_record]") {
  seeded_random random{seed()};
  publisher who{random};
  auto record = who.make(record_kind::provider, 3, "value");
  auto with = [&](const std::function<void(byte_span)>& change) {
    return code_of(forged(who, record, change));
  };
  CHECK(with([](byte_span raw) { raw[1] = std::byte{0}; }) == errc::format_damaged);
  CHECK(with([](byte_span raw) { raw[1] = std::byte{5}; }) == errc::format_damaged);
  CHECK(with([](byte_span raw) { raw[3] = std::byte{1}; }) == errc::format_damaged);
  CHECK(with([](byte_span raw) { store_le<uint32_t>(raw.subspan(84), 4); }) == errc::format_damaged);
  CHECK(with([](byte_span raw) { store_le<uint32_t>(raw.subspan(84), UINT32_MAX); }) == errc::format_damaged);
  CHECK(with([](byte_span raw) { store_le<uint64_t>(raw.subspan(76), UINT64_MAX); }) == errc::format_damaged);
  CHECK(with([](byte_span raw) { store_le<uint64_t>(raw.subspan(76), 9'223'372'037); }) == errc::format_damaged);
  CHECK(with([](byte_span raw) { store_le<uint64_t>(raw.subspan(76), 0); }) == errc::invalid_argument);
  auto draft = who.draft(record_kind::provider, 1, std::string(record_value_max + 1, 'v'));
  CHECK(who.sign(draft).error().code() == errc::invalid_argument);
}

TEST_CASE("of two records the one with the higher sequence counts, and a second with the same is a conflict", "[record_store]") {
  seeded_random random{seed()};
  publisher who{random};
  record_store store;
  auto first = who.make(record_kind::node, 5, "one");
  auto older = who.make(record_kind::node, 4, "none");
  auto other = who.make(record_kind::node, 5, "two");
  auto newer = who.make(record_kind::node, 6, "three");
  CHECK(store.put(first, test_day) == store_outcome::stored);
  CHECK(store.put(first, test_day) == store_outcome::known);
  CHECK(store.put(older, test_day) == store_outcome::older);
  CHECK(store.put(other, test_day) == store_outcome::conflict);
  CHECK(as_text(store.find(first.name)->value) == "one");
  CHECK(store.put(newer, test_day) == store_outcome::stored);
  CHECK(store.put(other, test_day) == store_outcome::older);
  REQUIRE(store.find(record_kind::node, first.name.key, test_day).size() == 1);
  CHECK(as_text(store.find(record_kind::node, first.name.key, test_day).front().value) == "three");
  CHECK(store.size() == 1);
}

TEST_CASE("records that ran out are neither told nor in the way", "[record_store]") {
  seeded_random random{seed()};
  publisher who{random};
  record_store store;
  auto draft = who.draft(record_kind::node, 9, "old");
  draft.expiry = test_day + 1h;
  auto old = who.sign(draft).value();
  CHECK(store.put(old, test_day) == store_outcome::stored);
  CHECK(store.put(old, test_day + 2h) == store_outcome::not_valid);
  CHECK(store.find(record_kind::node, old.name.key, test_day + 1h).empty());
  CHECK(store.put(who.make(record_kind::node, 1, "new"), test_day + 2h) == store_outcome::stored);
  CHECK(store.expire(test_day + 23h) == 0);
  CHECK(store.expire(test_day + 24h) == 1);
  CHECK(store.size() == 0);
  CHECK(store.find(old.name) == nullptr);
}

TEST_CASE("records have bounds for all, for a publisher, for a key, and for their bytes", "[record_store]") {
  seeded_random random{seed()};
  publisher a{random};
  publisher b{random};
  publisher c{random};
  auto key = random_id<point>(random).value();
  auto any = [&](const publisher& who) {
    return who.make(record_kind::provider, 1, "x", random_id<point>(random).value());
  };
  SECTION("a publisher") {
    record_store store{{.of_publisher = 2}};
    auto mine = any(a);
    CHECK(store.put(mine, test_day) == store_outcome::stored);
    CHECK(store.put(any(a), test_day) == store_outcome::stored);
    CHECK(store.put(any(a), test_day) == store_outcome::full);
    CHECK(store.put(any(b), test_day) == store_outcome::stored);
    store.remove(mine.name);
    CHECK(store.put(any(a), test_day) == store_outcome::stored);
  }
  SECTION("a key") {
    record_store store{{.of_key = 2}};
    CHECK(store.put(a.make(record_kind::provider, 1, "x", key), test_day) == store_outcome::stored);
    CHECK(store.put(b.make(record_kind::provider, 1, "x", key), test_day) == store_outcome::stored);
    CHECK(store.put(c.make(record_kind::provider, 1, "x", key), test_day) == store_outcome::full);
    // What is there can still be renewed.
    CHECK(store.put(b.make(record_kind::provider, 2, "y", key), test_day) == store_outcome::stored);
    CHECK(store.find(record_kind::provider, key, test_day).size() == 2);
  }
  SECTION("all") {
    record_store store{{.records = 3}};
    for (int i = 0; i < 3; ++i)
      CHECK(store.put(any(a), test_day) == store_outcome::stored);
    CHECK(store.put(any(b), test_day) == store_outcome::full);
  }
  SECTION("bytes") {
    record_store store{{.bytes = 2 * record_overhead + 10}};
    CHECK(store.put(a.make(record_kind::provider, 1, "12345", key), test_day) == store_outcome::stored);
    CHECK(store.put(b.make(record_kind::provider, 1, "123456", key), test_day) == store_outcome::full);
    CHECK(store.put(b.make(record_kind::provider, 1, "12345", key), test_day) == store_outcome::stored);
    CHECK(store.put(b.make(record_kind::provider, 2, "123456", key), test_day) == store_outcome::full);
    CHECK(store.put(b.make(record_kind::provider, 2, "54321", key), test_day) == store_outcome::stored);
  }
}
