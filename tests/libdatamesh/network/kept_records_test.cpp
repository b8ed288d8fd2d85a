// Records that are there again after a restart of who keeps them.
#include "network/kept_records.hpp"

#include "crypto/hash.hpp"
#include "tests/libdatamesh/network/mesh_fixture.hpp"
#include "tests/support/code_of.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

struct shelf {
  seeded_random random{1};
  record_store store;
  std::vector<publisher> who;

  signed_record put(record_kind kind, clock::wall_time expiry = test_day + 24h) {
    who.emplace_back(random);
    auto draft = who.back().draft(kind, 1, "kept");
    draft.expiry = expiry;
    auto record = who.back().sign(draft).value();
    CHECK(store.put(record, test_day) == store_outcome::stored);
    return record;
  }
};

/// With a checksum that fits.
std::vector<std::byte> sealed(std::vector<std::byte> content) {
  auto sum = crypto::blake3(content);
  content.insert(content.end(), sum.view().begin(), sum.view().end());
  return content;
}

} // namespace

TEST_CASE("records that outlive who wrote them come back from the file, and others do not", "[kept_records]") {
  shelf s;
  CHECK(encode_kept(s.store).empty());
  (void) s.put(record_kind::node);
  CHECK(encode_kept(s.store).empty());
  auto head = s.put(record_kind::device_head);
  auto recovery = s.put(record_kind::recovery);
  auto soon = s.put(record_kind::recovery, test_day + 1h);
  auto back = decode_kept(test_mesh, encode_kept(s.store), test_day + 2h).value();
  REQUIRE(back.size() == 2);
  for (const auto& record : back)
    CHECK((record.name == head.name || record.name == recovery.name));
  CHECK(decode_kept(test_mesh, encode_kept(s.store), test_day).value().size() == 3);
}

TEST_CASE("a file of records with any bit flipped, truncated or extended is refused", "[kept_records]") {
  shelf s;
  (void) s.put(record_kind::recovery);
  auto whole = encode_kept(s.store);
  for (size_t at = 0; at < whole.size(); ++at) {
    auto bad = whole;
    bad[at] ^= std::byte{1};
    CHECK_FALSE(decode_kept(test_mesh, bad, test_day));
    CHECK_FALSE(decode_kept(test_mesh, byte_view{whole}.first(at), test_day));
  }
  auto longer = std::vector<std::byte>(whole.begin(), whole.end() - digest::size);
  longer.push_back(std::byte{0});
  CHECK(code_of(decode_kept(test_mesh, sealed(longer), test_day)) == errc::format_damaged);
  auto later = std::vector<std::byte>(whole.begin(), whole.end() - digest::size);
  later[8] = std::byte{2};
  CHECK(code_of(decode_kept(test_mesh, sealed(later), test_day)) == errc::format_newer);
  auto more = std::vector<std::byte>(whole.begin(), whole.end() - digest::size);
  more[12] = std::byte{2};
  CHECK(code_of(decode_kept(test_mesh, sealed(more), test_day)) == errc::format_damaged);
}

TEST_CASE("a record in the file that nobody signed so is passed over", "[kept_records]") {
  shelf s;
  (void) s.put(record_kind::recovery);
  auto good = s.put(record_kind::device_head);
  auto whole = encode_kept(s.store);
  auto forged = std::vector<std::byte>(whole.begin(), whole.end() - digest::size);
  forged[20] ^= std::byte{1};
  CHECK(decode_kept(test_mesh, sealed(forged), test_day).value().size() == 1);
  auto elsewhere = network_id::from(as_view("another mesh, of thirty-two byte"));
  CHECK(decode_kept(elsewhere, whole, test_day).value().empty());
}
