#include "network/discovery_message.hpp"

#include "datamesh/v1/discovery.pb.h"
#include "tests/libdatamesh/network/mesh_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

struct made_up {
  seeded_random random{seed()};
  point target = random_id<point>(random).value();

  std::vector<contact> nodes(size_t count, size_t addresses = 1) {
    std::vector<contact> all;
    for (uint32_t i = 0; i < count; ++i) {
      contact one{random_id<peer_id>(random).value(), {}};
      for (uint32_t a = 0; a < addresses; ++a)
        one.addresses.push_back({ip_from(random.make(16)).value(), static_cast<uint16_t>(1 + random.below(65'535))});
      all.push_back(std::move(one));
    }
    return all;
  }
};

v1::DiscoveryAnswer good_answer() {
  v1::DiscoveryAnswer message;
  auto& node = *message.mutable_found()->add_node();
  node.set_id(std::string(32, 'i'));
  auto& at = *node.add_address();
  at.set_ip("\x08\x08\x08\x08");
  at.set_port(4433);
  return message;
}

bool is_read(const google::protobuf::MessageLite& message) {
  auto answer = decode_answer(as_view(message.SerializeAsString()));
  CHECK((answer || answer.error().code() == errc::protocol_violated));
  return answer.has_value();
}

} // namespace

TEST_CASE("a request is read as it was written", "[discovery_message]") {
  made_up with;
  std::vector<endpoint> from{{public_ip(1), 1}, {*parse_ip6("2600::7"), 65'535}};
  auto pass = [&](const discovery_request& what) {
    auto again = decode_request(as_view(encode({from, what})));
    REQUIRE(again);
    CHECK(again->from == from);
    return again->what;
  };
  CHECK(std::holds_alternative<ping>(pass(ping{})));
  CHECK(std::get<find_node>(pass(find_node{with.target})) == find_node{with.target});
  find_record record{record_kind::device_head, with.target};
  CHECK(std::get<find_record>(pass(record)) == record);
  auto largest = bytes::take(with.random.make(record_size_max));
  auto stored = std::get<store_record>(pass(store_record{largest})).record;
  CHECK(as_text(stored) == as_text(largest));
  from.clear();
  pass(ping{});
}

TEST_CASE("an answer is read as it was written", "[discovery_message]") {
  made_up with;
  auto pass = [](const discovery_answer& what) {
    auto again = decode_answer(as_view(encode(what)));
    REQUIRE(again);
    return *again;
  };
  CHECK(std::holds_alternative<pong>(pass(pong{})));
  CHECK(std::get<store_answer>(pass(store_answer{store_outcome::not_near})).outcome == store_outcome::not_near);
  found_answer found{with.nodes(20, 4), {bytes::copy_of(std::string_view{"one"}), bytes::copy_of(std::string_view{"two"})}};
  auto again = std::get<found_answer>(pass(found));
  CHECK(again.nodes == found.nodes);
  REQUIRE(again.records.size() == 2);
  CHECK(as_text(again.records[1]) == "two");
  CHECK(std::get<found_answer>(pass(found_answer{})).nodes.empty());
}

TEST_CASE("the largest answer fits, and has as many records as there is room for", "[discovery_message]") {
  made_up with;
  found_answer found{with.nodes(20, 4), {}};
  CHECK(encode(found).size() <= discovery_message_max);
  for (int i = 0; i < 64; ++i)
    found.records.push_back(bytes::take(with.random.make(record_size_max)));
  auto encoded = encode(found);
  CHECK(encoded.size() <= discovery_records_max);
  auto again = decode_answer(as_view(encoded));
  REQUIRE(again);
  CHECK(std::get<found_answer>(*again).records.size() == 11);
  CHECK(std::get<found_answer>(*again).nodes == found.nodes);
}

TEST_CASE("a message that is too long, truncated or wrong in a field is refused", "[discovery_message]") {
  CHECK(is_read(good_answer()));
  auto with = [](const std::function<void(v1::DiscoveryAnswer&)>& change) {
    auto message = good_answer();
    change(message);
    return is_read(message);
  };
  CHECK_FALSE(with([](auto& m) { m.clear_what(); }));
  CHECK_FALSE(with([](auto& m) { m.mutable_found()->mutable_node(0)->set_id("short"); }));
  CHECK_FALSE(with([](auto& m) { m.mutable_found()->mutable_node(0)->clear_address(); }));
  CHECK_FALSE(with([](auto& m) { m.mutable_found()->mutable_node(0)->mutable_address(0)->set_ip("12345"); }));
  CHECK_FALSE(with([](auto& m) { m.mutable_found()->mutable_node(0)->mutable_address(0)->set_port(0); }));
  CHECK_FALSE(with([](auto& m) { m.mutable_found()->mutable_node(0)->mutable_address(0)->set_port(65'536); }));
  CHECK_FALSE(with([](auto& m) {
    for (int i = 0; i < 4; ++i)
      *m.mutable_found()->mutable_node(0)->add_address() = m.found().node(0).address(0);
  }));
  CHECK_FALSE(with([](auto& m) {
    for (int i = 0; i < 20; ++i)
      *m.mutable_found()->add_node() = m.found().node(0);
  }));
  CHECK_FALSE(with([](auto& m) { m.mutable_found()->add_record(std::string(record_size_max + 1, 'r')); }));
  CHECK_FALSE(with([](auto& m) { m.mutable_stored()->set_outcome(0); }));
  CHECK_FALSE(with([](auto& m) { m.mutable_stored()->set_outcome(8); }));
  CHECK_FALSE(with([](auto& m) {
    for (int i = 0; i < 16; ++i)
      m.mutable_found()->add_record(std::string(record_size_max, 'r'));
  }));
  v1::DiscoveryRequest request;
  CHECK_FALSE(decode_request(as_view(request.SerializeAsString())));
  request.mutable_find_record()->set_key(std::string(32, 'k'));
  CHECK_FALSE(decode_request(as_view(request.SerializeAsString())));
  request.mutable_find_record()->set_kind(5);
  CHECK_FALSE(decode_request(as_view(request.SerializeAsString())));
  request.mutable_find_record()->set_kind(1);
  CHECK(decode_request(as_view(request.SerializeAsString())));
  request.mutable_store()->set_record(std::string(record_size_max + 1, 'r'));
  CHECK_FALSE(decode_request(as_view(request.SerializeAsString())));
  for (int i = 0; i < 5; ++i) {
    request.add_from()->set_ip("\x08\x08\x08\x08");
    request.mutable_from(i)->set_port(1);
  }
  (void) request.mutable_ping();
  CHECK_FALSE(decode_request(as_view(request.SerializeAsString())));
}

TEST_CASE("what is no message is refused", "[discovery_message]") {
  CAPTURE(seed());
  made_up with;
  auto whole = encode(found_answer{with.nodes(3), {}});
  for (size_t size = 0; size < whole.size(); ++size)
    if (auto part = decode_answer(as_view(whole).first(size)))
      CHECK(std::get<found_answer>(*part).nodes.size() < 3);
  for (int i = 0; i < 20'000; ++i) {
    auto junk = with.random.make(with.random.below(80));
    (void) decode_answer(junk);
    (void) decode_request(junk);
  }
}

TEST_CASE("a node's record tells its addresses, and through whom it is reached", "[discovery_message]") {
  auto here = endpoint::v4({9, 9, 9, 9}, 7000);
  auto whose = peer_id::from(as_view("the id of a node that is named N"));
  auto relayed = endpoint::v4({8, 8, 8, 8}, 1);
  relayed.through = relay_way{peer_id::from(as_view("the id of a node that is named R")), whose};
  auto ways = GENERATE_COPY(node_ways{here}, node_ways{relayed}, node_ways{here, relayed});
  CHECK(decode_node_record(as_view(encode_node_record(ways)), whose).value() == ways);
  // With addresses alone it is what earlier versions wrote, and read.
  CHECK(encode_node_record({here}) == std::string("\x0a\x09\x0a\x04\x09\x09\x09\x09\x10\xd8\x36", 11));
}

TEST_CASE("a record that tells no way, too many, or a relay that is none is refused", "[discovery_message]") {
  auto whose = peer_id::from(as_view("the id of a node that is named N"));
  auto refused = [&](const v1::NodeRecord& record) {
    return !decode_node_record(as_view(record.SerializeAsString()), whose);
  };
  v1::NodeRecord record;
  CHECK(refused(record));
  auto& relay = *record.add_relay();
  CHECK(refused(record));
  relay.mutable_at()->set_ip("\x08\x08\x08\x08");
  relay.mutable_at()->set_port(1);
  CHECK(refused(record));
  relay.set_id(std::string(31, 'r'));
  CHECK(refused(record));
  relay.set_id(std::string{whose.text()});
  CHECK(refused(record));
  relay.set_id(std::string(32, 'r'));
  CHECK_FALSE(refused(record));
  for (size_t i = 1; i <= contact_addresses_max; ++i)
    *record.add_relay() = relay;
  CHECK(refused(record));
}
