// What nodes ask each other to find nodes and records, and how it is written:
// proto/datamesh/v1/discovery.proto, docs/formats/discovery.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "network/lookup.hpp"

#include <variant>

namespace datamesh::network {

/// Bytes of a message, at most: of a request and of an answer without records, and of one
/// with them.
inline constexpr size_t discovery_message_max = 16 << 10;
inline constexpr size_t discovery_records_max = 64 << 10;
/// Bytes of the records of an answer.
inline constexpr size_t answer_records_bytes = 46 << 10;

struct ping {
  friend bool operator==(const ping&, const ping&) = default;
};
struct find_node {
  point target;

  friend bool operator==(const find_node&, const find_node&) = default;
};
struct find_record {
  record_kind kind{};
  point key;

  friend bool operator==(const find_record&, const find_record&) = default;
};
struct store_record {
  bytes record;
};
using discovery_request = std::variant<ping, find_node, find_record, store_record>;

struct pong {
  friend bool operator==(const pong&, const pong&) = default;
};
struct store_answer {
  store_outcome outcome{};

  friend bool operator==(const store_answer&, const store_answer&) = default;
};
using discovery_answer = std::variant<pong, found_answer, store_answer>;

/// A request and where its sender says that it is reached.
struct request_message {
  std::vector<endpoint> from; ///< Up to `contact_addresses_max`.
  discovery_request what;
};

[[nodiscard]] std::string encode(const request_message& message);
/// Leaves out the farthest nodes, which stand last, and the last records where they would be too much.
[[nodiscard]] std::string encode(const discovery_answer& answer);

/// `protocol_violated` for what is too long or is none. Rules that depend on the mesh or on what was
/// asked are not looked at here.
[[nodiscard]] result<request_message> decode_request(byte_view message);
[[nodiscard]] result<discovery_answer> decode_answer(byte_view message);

/// Where a node says that it is reached: up to `contact_addresses_max` addresses and then as many relays, one at least.
using node_ways = std::vector<endpoint>;
/// The value of a node's record.
[[nodiscard]] std::string encode_node_record(const node_ways& ways);
/// `format_damaged` for what is none. @param whose record it is
[[nodiscard]] result<node_ways> decode_node_record(byte_view value, const peer_id& whose);

} // namespace datamesh::network
