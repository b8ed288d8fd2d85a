#include "storage/operation.hpp"

#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

uint64_t seed_of_run() {
  auto* text = std::getenv("DATAMESH_SEED");
  return text ? std::strtoull(text, nullptr, 10) : 7;
}

template <class Id>
Id some_id(uint8_t fill) {
  Id id;
  for (auto& b : id.span())
    b = std::byte{fill};
  return id;
}

operation with_body(operation_body body) {
  operation op;
  op.at = {77, some_id<device_id>(3)};
  op.sequence = 12;
  op.wall_ns = -5;
  op.previous = some_id<digest>(9);
  op.body = std::move(body);
  return op;
}

put_version sample_put() {
  put_version put;
  put.node = some_id<node_id>(1);
  put.version = some_id<version_id>(2);
  put.replaces = {some_id<version_id>(4), some_id<version_id>(5)};
  put.size = 1500;
  put.mode = 0644;
  put.modified_ns = -1;
  put.extent_count = 2;
  put.extents = {{some_id<chunk_id>(6), 1000}, {std::nullopt, 500}};
  return put;
}

std::vector<operation> samples() {
  std::vector<operation> list;
  list.push_back(with_body(move_node{some_id<node_id>(1), root_node(), "caf\xe9 \x01", node_kind::folder}));
  list.push_back(with_body(move_node{some_id<node_id>(1), trash_node(), "x", node_kind::symlink}));
  list.push_back(with_body(add_extents{some_id<version_id>(2), 4096, {{some_id<chunk_id>(6), 4 << 20}, {std::nullopt, 1ull << 40}}}));
  list.push_back(with_body(sample_put()));
  put_version link;
  link.node = some_id<node_id>(1);
  link.version = some_id<version_id>(2);
  link.symlink_target = "../else where";
  list.push_back(with_body(link));
  list.push_back(with_body(drop_version{some_id<node_id>(1), some_id<version_id>(2)}));
  list.push_back(with_body(purge_node{some_id<node_id>(1)}));
  list.push_back(with_body(set_tag{some_id<node_id>(1), "colour", "red"}));
  list.push_back(with_body(set_tag{some_id<node_id>(1), "colour", ""}));
  list.push_back(with_body(set_tag{some_id<node_id>(1), "colour", std::nullopt}));
  list.push_back(with_body(condemn_packs{{some_id<pack_id>(1), some_id<pack_id>(2)}}));
  auto first = with_body(purge_node{some_id<node_id>(1)});
  first.sequence = 1;
  first.previous = {};
  list.push_back(first);
  return list;
}

errc refusal(const operation& op) {
  auto outcome = decode_operation(encode(op));
  REQUIRE_FALSE(outcome);
  CHECK_FALSE(validate(op));
  return outcome.error().code();
}

} // namespace

TEST_CASE("every kind of operation comes back as it was", "[operation]") {
  for (const auto& op : samples()) {
    auto encoded = encode(op);
    CAPTURE(op.body.index(), encoded.size());
    auto back = decode_operation(encoded);
    REQUIRE(back);
    CHECK(*back == op);
    CHECK(encode(*back) == encoded);
  }
}

TEST_CASE("the example of the format document is what an operation looks like", "[operation]") {
  operation op;
  op.at = {5, some_id<device_id>(0x11)};
  op.sequence = 1;
  op.wall_ns = 1000;
  op.body = drop_version{some_id<node_id>(0x22), some_id<version_id>(0x33)};
  auto expected = std::string("\x08\x05\x12\x10") + std::string(16, '\x11') + "\x18\x01\x20\xe8\x07\x6a\x24\x0a\x10"
                  + std::string(16, '\x22') + "\x12\x10" + std::string(16, '\x33');
  CHECK(encode(op) == expected);
  CHECK(decode_operation(expected).value() == op);
}

TEST_CASE("every truncation of an operation is refused", "[operation]") {
  for (const auto& op : samples()) {
    auto encoded = encode(op);
    for (size_t size = 0; size < encoded.size(); ++size)
      CHECK_FALSE(decode_operation(std::string_view{encoded}.substr(0, size)));
    CHECK_FALSE(decode_operation(encoded + encoded.substr(0, 3)));
  }
}

TEST_CASE("altered operations are refused or are another canonical operation, and never crash", "[operation]") {
  auto seed = seed_of_run();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto list = samples();
  for (int round = 0; round < 20000; ++round) {
    auto encoded = encode(list[random.below(list.size())]);
    for (auto n = 1 + random.below(3); n > 0; --n)
      encoded[random.below(encoded.size())] = static_cast<char>(random.below(256));
    if (auto op = decode_operation(encoded))
      CHECK(encode(*op) == encoded);
  }
}

TEST_CASE("an operation of a newer version is refused as newer", "[operation]") {
  auto op = samples().front();
  auto encoded = encode(op);
  // Field 15000, varint 1: unknown beside a known body.
  CHECK(decode_operation(encoded + std::string("\xc0\xa9\x07\x01", 4)).error().code() == errc::format_newer);
  // A body with number 99, and none of ours.
  std::string header = encoded.substr(0, encoded.size());
  auto body = header.find(static_cast<char>(0x52)); // Field 10, length-delimited.
  REQUIRE(body != std::string::npos);
  CHECK(decode_operation(header.substr(0, body) + std::string("\x9a\x06\x01x", 4)).error().code() == errc::format_newer);
  CHECK(decode_operation(header.substr(0, body)).error().code() == errc::format_damaged);
}

TEST_CASE("a second encoding of the same operation is refused", "[operation]") {
  auto encoded = encode(samples().front());
  REQUIRE(encoded[0] == 0x08);
  REQUIRE(encoded[1] == 77);
  auto longer = encoded.substr(0, 1) + std::string("\xcd\x00", 2) + encoded.substr(2);
  CHECK(decode_operation(longer).error().code() == errc::format_damaged);
}

TEST_CASE("an operation that is too large is refused unread", "[operation]") {
  CHECK(decode_operation(std::string(operation_size_max + 1, '\x0a')).error().code() == errc::format_damaged);
}

TEST_CASE("operations with fields out of bounds are refused", "[operation]") {
  auto node = some_id<node_id>(1);
  auto version = some_id<version_id>(2);
  CHECK(refusal(with_body(move_node{root_node(), trash_node(), "x", node_kind::folder})) == errc::format_damaged);
  CHECK(refusal(with_body(move_node{trash_node(), root_node(), "x", node_kind::folder})) == errc::format_damaged);
  CHECK(refusal(with_body(move_node{node, root_node(), "a/b", node_kind::file})) == errc::format_damaged);
  CHECK(refusal(with_body(move_node{node, root_node(), "", node_kind::file})) == errc::format_damaged);
  CHECK(refusal(with_body(move_node{node, root_node(), "a", static_cast<node_kind>(0)})) == errc::format_damaged);
  CHECK(refusal(with_body(purge_node{root_node()})) == errc::format_damaged);
  CHECK(refusal(with_body(add_extents{version, 0, {}})) == errc::format_damaged);
  CHECK(refusal(with_body(add_extents{version, 0, {{some_id<chunk_id>(1), (4 << 20) + 1}}})) == errc::format_damaged);
  CHECK(refusal(with_body(add_extents{version, 0, {{std::nullopt, 0}}})) == errc::format_damaged);
  CHECK(refusal(with_body(add_extents{version, 0, std::vector<extent>(4097, {std::nullopt, 1})})) == errc::format_damaged);
  CHECK(refusal(with_body(set_tag{node, "", "x"})) == errc::format_damaged);
  CHECK(refusal(with_body(set_tag{node, std::string("a\0b", 3), "x"})) == errc::format_damaged);
  CHECK(refusal(with_body(condemn_packs{})) == errc::format_damaged);
  auto put = sample_put();
  put.size += 1;
  CHECK(refusal(with_body(put)) == errc::format_damaged);
  put = sample_put();
  put.extent_count = 1;
  CHECK(refusal(with_body(put)) == errc::format_damaged);
  put = sample_put();
  put.extents[1].length = ~0ull;
  CHECK(refusal(with_body(put)) == errc::format_damaged);
  auto op = with_body(purge_node{node});
  op.sequence = 0;
  CHECK(refusal(op) == errc::format_damaged);
  op.sequence = 1;
  op.at.lamport = ~0ull;
  CHECK(refusal(op) == errc::format_damaged);
}

TEST_CASE("names are any bytes but a NUL and a slash", "[operation]") {
  CHECK(validate_name("a"));
  CHECK(validate_name("..."));
  CHECK(validate_name(" \n\xff\x80"));
  CHECK(validate_name(std::string(255, 'x')));
  for (std::string_view bad : {std::string_view{""}, std::string_view{"."}, std::string_view{".."}, std::string_view{"a/b"},
                               std::string_view{"/"}, std::string_view{"a\0", 2}})
    CHECK(validate_name(bad).error().code() == errc::name_invalid);
  CHECK(validate_name(std::string(256, 'x')).error().code() == errc::name_invalid);
}
