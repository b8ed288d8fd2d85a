#include "storage/operation_batch.hpp"

#include "storage/envelope.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

struct fixture {
  test::seeded_random random{test::seed()};
  crypto::aead cipher;
  crypto::keyring keys = *crypto::make_keyring(random);
  device_id device = *random_id<device_id>(random);
  std::vector<std::string> operations{"first", std::string(1000, 'x'), "", std::string("\0\1\2", 3)};

  crypto::space_keys& space() {
    return keys.spaces.front();
  }
  std::pair<operations_entry, bytes> seal(uint64_t first = 41) {
    auto sealed = seal_operations(keys.vault, space(), device, first, operations, cipher, random);
    REQUIRE(sealed);
    return *sealed;
  }
  result<std::vector<std::string>> open(const operations_entry& entry, byte_view sealed) {
    return open_operations(keys.vault, space().id, entry, sealed, keys, cipher);
  }
  errc code(const operations_entry& entry, byte_view sealed) {
    auto opened = open(entry, sealed);
    return opened ? errc{} : opened.error().code();
  }

  // Seals *plain* as a batch of that entry, well or badly formed.
  bytes seal_raw(operations_entry& entry, byte_view plain) {
    std::vector<std::byte> info;
    std::vector<std::byte> aad;
    auto append = [](std::vector<std::byte>& to, byte_view part) {
      to.insert(to.end(), part.begin(), part.end());
    };
    auto number = [&](uint64_t value, size_t size) {
      for (size_t i = 0; i < size; ++i)
        aad.push_back(static_cast<std::byte>(value >> (8 * i)));
    };
    auto domain = as_view(entry.checkpoint ? "dm/checkpoint/1" : "dm/ops/1");
    append(info, domain);
    append(info, entry.device.view());
    append(aad, domain);
    number(static_cast<uint64_t>(entry.suite), 1);
    append(aad, keys.vault.view());
    append(aad, space().id.view());
    number(entry.epoch, 4);
    append(aad, entry.device.view());
    number(entry.first_sequence, 8);
    number(entry.last_sequence, 8);
    std::vector<std::byte> sealed(plain.size() + seal_overhead);
    REQUIRE(seal_envelope(cipher, entry.suite, space().epoch_keys.at(entry.epoch), info, aad, plain, random, sealed));
    entry.sealed_length = static_cast<uint32_t>(sealed.size());
    return bytes::take(std::move(sealed));
  }
};

} // namespace

TEST_CASE("operations open as they were sealed", "[operation_batch]") {
  fixture f;
  auto [entry, sealed] = f.seal();
  CHECK(entry.sealed_length == sealed.size());
  CHECK(entry.sealed_length == seal_overhead + 4 * 4 + 5 + 1000 + 3);
  CHECK(entry.epoch == f.space().epoch);
  CHECK(entry.device == f.device);
  CHECK(entry.first_sequence == 41);
  CHECK(entry.last_sequence == 44);
  CHECK_FALSE(entry.checkpoint);
  auto opened = f.open(entry, sealed);
  REQUIRE(opened);
  CHECK(*opened == f.operations);
}

TEST_CASE("a batch is what its layout says", "[operation_batch]") {
  fixture f;
  operations_entry entry;
  entry.epoch = f.space().epoch;
  entry.device = f.device;
  entry.first_sequence = entry.last_sequence = 9;
  auto sealed = f.seal_raw(entry, as_view(std::string_view{"\3\0\0\0abc", 7}));
  auto opened = f.open(entry, sealed);
  REQUIRE(opened);
  CHECK(*opened == std::vector<std::string>{"abc"});
}

TEST_CASE("operations of an old epoch open after a rotation", "[operation_batch]") {
  fixture f;
  auto [entry, sealed] = f.seal();
  REQUIRE(crypto::rotate(f.space(), f.random));
  CHECK(f.code(entry, sealed) == errc{});
  auto [newer, newer_sealed] = f.seal();
  CHECK(newer.epoch == entry.epoch + 1);
  CHECK(f.code(newer, newer_sealed) == errc{});
}

TEST_CASE("a checkpoint and a batch of operations are not taken for each other", "[operation_batch]") {
  fixture f;
  auto sealed = seal_checkpoint(f.keys.vault, f.space(), f.device, 1, f.operations, f.cipher, f.random);
  REQUIRE(sealed);
  auto [entry, content] = *sealed;
  CHECK(entry.checkpoint);
  CHECK(f.open(entry, content) == f.operations);
  entry.checkpoint = false;
  CHECK(f.code(entry, content) == errc::authentication_failed);
}

TEST_CASE("every fact of a batch is authenticated", "[operation_batch]") {
  fixture f;
  auto [entry, sealed] = f.seal();
  auto& content = sealed;
  auto with = [&, entry = entry](auto change) {
    auto changed = entry;
    change(changed);
    return f.code(changed, content);
  };
  CHECK(with([](auto&) {}) == errc{});
  CHECK(with([](auto& x) { x.offset = 77; }) == errc{});
  CHECK(with([](auto& x) { x.device.span()[0] ^= std::byte{1}; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { ++x.first_sequence, ++x.last_sequence; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { ++x.last_sequence; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { x.suite = crypto::aead_suite::chacha20_poly1305; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { ++x.epoch; }) == errc::unknown_epoch);
  CHECK(with([](auto& x) { x.last_sequence = x.first_sequence - 1; }) == errc::format_damaged);
  CHECK(with([](auto& x) { ++x.sealed_length; }) == errc::format_damaged);
  auto other_space = *random_id<space_id>(f.random);
  CHECK(open_operations(f.keys.vault, other_space, entry, sealed, f.keys, f.cipher).error().code() == errc::unknown_epoch);
  auto other_vault = *random_id<vault_id>(f.random);
  CHECK(open_operations(other_vault, f.space().id, entry, sealed, f.keys, f.cipher).error().code() == errc::authentication_failed);
}

TEST_CASE("every changed bit and every truncation of a batch is found", "[operation_batch]") {
  fixture f;
  f.operations = {"a", "bc"};
  auto [entry, sealed] = f.seal();
  std::vector<std::byte> changed(sealed.view().begin(), sealed.view().end());
  for (size_t bit = 0; bit < changed.size() * 8; ++bit) {
    changed[bit / 8] ^= std::byte{1} << (bit % 8);
    REQUIRE(f.code(entry, changed) == errc::authentication_failed);
    changed[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  for (uint32_t size = 0; size < sealed.size(); ++size) {
    auto shorter = entry;
    REQUIRE(f.code(shorter, sealed.slice(0, size)) == errc::format_damaged);
    shorter.sealed_length = size;
    REQUIRE(f.code(shorter, sealed.slice(0, size)) == errc::authentication_failed);
  }
}

TEST_CASE("counts and lengths inside of a batch are checked", "[operation_batch]") {
  fixture f;
  operations_entry entry;
  entry.epoch = f.space().epoch;
  entry.device = f.device;
  auto open = [&](uint64_t first, uint64_t last, std::string_view plain) {
    entry.first_sequence = first;
    entry.last_sequence = last;
    auto sealed = f.seal_raw(entry, as_view(plain));
    return f.code(entry, sealed);
  };
  auto two = std::string{"\1\0\0\0a\1\0\0\0b", 10};
  CHECK(open(5, 6, two) == errc{});
  CHECK(open(5, 5, two) == errc::format_damaged);
  CHECK(open(5, 7, two) == errc::format_damaged);
  CHECK(open(0, ~uint64_t{0}, two) == errc::format_damaged);
  CHECK(open(1, uint64_t{1} << 60, two) == errc::format_damaged);
  CHECK(open(5, 6, two + "x") == errc::format_damaged);
  CHECK(open(5, 6, std::string{"\1\0\0\0a\2\0\0\0b", 10}) == errc::format_damaged);
  CHECK(open(5, 6, std::string{"\1\0\0\0a\xff\xff\xff\xff", 9}) == errc::format_damaged);
  CHECK(open(5, 5, "") == errc::format_damaged);
  CHECK(open(5, 5, std::string{"\0\0\0", 3}) == errc::format_damaged);
  CHECK(open(5, 5, std::string{"\0\0\0\0", 4}) == errc{});
}

TEST_CASE("what can not be sealed is refused", "[operation_batch]") {
  fixture f;
  auto code = [&](uint64_t first, const std::vector<std::string>& operations) {
    return seal_operations(f.keys.vault, f.space(), f.device, first, operations, f.cipher, f.random).error().code();
  };
  CHECK(code(1, {}) == errc::invalid_argument);
  CHECK(code(~uint64_t{0}, {"a", "b"}) == errc::invalid_argument);
  CHECK(code(1, {std::string(pack_size_max, 'x')}) == errc::capacity_exceeded);
  f.space().epoch_keys.clear();
  CHECK(code(1, {"a"}) == errc::unknown_epoch);
}
