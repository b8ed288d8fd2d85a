#include "network/discovery_message.hpp"

#include "crypto/parse_message.hpp"
#include "datamesh/v1/discovery.pb.h"

namespace datamesh::network {

namespace {

template <class... Ts>
struct cases : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
cases(Ts...) -> cases<Ts...>;

std::string as_string(byte_view data) {
  return std::string{as_text(data)};
}

template <class Fields>
void put_addresses(const std::vector<endpoint>& addresses, Fields& out) {
  for (const auto& at : addresses) {
    auto& field = *out.Add();
    field.set_ip(as_string(at.ip.view()));
    field.set_port(at.port);
  }
}

std::optional<endpoint> read_address(const v1::Endpoint& field) {
  auto ip = ip_from(as_view(field.ip()));
  if (!ip || field.port() == 0 || field.port() > UINT16_MAX)
    return std::nullopt;
  return endpoint{*ip, static_cast<uint16_t>(field.port())};
}

template <class Fields>
std::optional<std::vector<endpoint>> read_addresses(const Fields& fields) {
  if (static_cast<size_t>(fields.size()) > contact_addresses_max)
    return std::nullopt;
  std::vector<endpoint> addresses;
  for (const auto& field : fields) {
    auto at = read_address(field);
    if (!at)
      return std::nullopt;
    addresses.push_back(*at);
  }
  return addresses;
}

template <class Id>
std::optional<Id> read_id(const std::string& field) {
  if (field.size() != Id::size)
    return std::nullopt;
  return Id::from(as_view(field));
}

std::optional<discovery_request> read_what(const v1::DiscoveryRequest& message) {
  switch (message.what_case()) {
  case v1::DiscoveryRequest::kPing:
    return ping{};
  case v1::DiscoveryRequest::kFindNode:
    if (auto target = read_id<point>(message.find_node().target()))
      return find_node{*target};
    return std::nullopt;
  case v1::DiscoveryRequest::kFindRecord: {
    const auto& field = message.find_record();
    auto key = read_id<point>(field.key());
    if (!key || !is_record_kind(field.kind()))
      return std::nullopt;
    return find_record{static_cast<record_kind>(field.kind()), *key};
  }
  case v1::DiscoveryRequest::kStore:
    if (message.store().record().size() > record_size_max)
      return std::nullopt;
    return store_record{bytes::copy_of(message.store().record())};
  case v1::DiscoveryRequest::WHAT_NOT_SET:
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<found_answer> read_found(const v1::Found& field) {
  if (static_cast<size_t>(field.node_size()) > bucket_size)
    return std::nullopt;
  found_answer found;
  for (const auto& node : field.node()) {
    auto id = read_id<peer_id>(node.id());
    auto addresses = read_addresses(node.address());
    if (!id || !addresses || addresses->empty())
      return std::nullopt;
    found.nodes.push_back({*id, std::move(*addresses)});
  }
  for (const auto& record : field.record()) {
    if (record.size() > record_size_max)
      return std::nullopt;
    found.records.push_back(bytes::copy_of(record));
  }
  return found;
}

void put_found(const found_answer& found, v1::Found& out) {
  size_t room = answer_records_bytes;
  for (const auto& record : found.records) {
    // Its length and tag are written beside it.
    if (record.size() + 8 > room)
      break;
    room -= record.size() + 8;
    out.add_record(as_string(record));
  }
  room = discovery_message_max - 256;
  for (const auto& one : found.nodes) {
    v1::Contact node;
    node.set_id(as_string(one.id.view()));
    put_addresses(one.addresses, *node.mutable_address());
    if (node.ByteSizeLong() + 8 > room)
      break;
    room -= node.ByteSizeLong() + 8;
    *out.add_node() = std::move(node);
  }
}

} // namespace

std::string encode(const request_message& message) {
  v1::DiscoveryRequest out;
  put_addresses(message.from, *out.mutable_from());
  std::visit(cases{
                 [&](const ping&) { (void) out.mutable_ping(); },
                 [&](const find_node& what) { out.mutable_find_node()->set_target(as_string(what.target.view())); },
                 [&](const find_record& what) {
                   out.mutable_find_record()->set_kind(static_cast<uint32_t>(what.kind));
                   out.mutable_find_record()->set_key(as_string(what.key.view()));
                 },
                 [&](const store_record& what) { out.mutable_store()->set_record(as_string(what.record)); },
             },
             message.what);
  return out.SerializeAsString();
}

std::string encode(const discovery_answer& answer) {
  v1::DiscoveryAnswer out;
  std::visit(cases{
                 [&](const pong&) { (void) out.mutable_ping(); },
                 [&](const found_answer& found) { put_found(found, *out.mutable_found()); },
                 [&](const store_answer& stored) { out.mutable_stored()->set_outcome(static_cast<uint32_t>(stored.outcome)); },
             },
             answer);
  return out.SerializeAsString();
}

result<request_message> decode_request(byte_view message) {
  constexpr auto attempted = "read another node's request";
  v1::DiscoveryRequest in;
  if (message.size() > discovery_message_max || !crypto::parse_message(in, message))
    return fail(errc::protocol_violated, attempted);
  auto from = read_addresses(in.from());
  auto what = read_what(in);
  if (!from || !what)
    return fail(errc::protocol_violated, attempted, "a field of it");
  return request_message{std::move(*from), std::move(*what)};
}

result<discovery_answer> decode_answer(byte_view message) {
  constexpr auto attempted = "read another node's answer";
  v1::DiscoveryAnswer in;
  if (message.size() > discovery_records_max || !crypto::parse_message(in, message))
    return fail(errc::protocol_violated, attempted);
  switch (in.what_case()) {
  case v1::DiscoveryAnswer::kPing:
    return pong{};
  case v1::DiscoveryAnswer::kFound: {
    auto found = read_found(in.found());
    if (!found || (found->records.empty() && message.size() > discovery_message_max))
      break;
    return std::move(*found);
  }
  case v1::DiscoveryAnswer::kStored: {
    auto outcome = in.stored().outcome();
    if (outcome < static_cast<uint32_t>(store_outcome::stored) || outcome > static_cast<uint32_t>(store_outcome::not_valid))
      break;
    return store_answer{static_cast<store_outcome>(outcome)};
  }
  case v1::DiscoveryAnswer::WHAT_NOT_SET:
    break;
  }
  return fail(errc::protocol_violated, attempted, "a field of it");
}

std::string encode_node_record(const node_ways& ways) {
  v1::NodeRecord out;
  for (const auto& way : ways) {
    auto& at = way.through ? *out.add_relay()->mutable_at() : *out.add_address();
    at.set_ip(as_string(way.ip.view()));
    at.set_port(way.port);
    if (way.through)
      out.mutable_relay()->rbegin()->set_id(as_string(way.through->relay.view()));
  }
  return out.SerializeAsString();
}

result<node_ways> decode_node_record(byte_view value, const peer_id& whose) {
  constexpr auto attempted = "read a node's record";
  v1::NodeRecord in;
  auto ways = crypto::parse_message(in, value) ? read_addresses(in.address()) : std::nullopt;
  if (!ways || static_cast<size_t>(in.relay_size()) > contact_addresses_max)
    return fail(errc::format_damaged, attempted);
  for (const auto& field : in.relay()) {
    auto at = read_address(field.at());
    auto relay = read_id<peer_id>(field.id());
    if (!at || !relay || *relay == whose)
      return fail(errc::format_damaged, attempted, "a relay in it");
    at->through = relay_way{*relay, whose};
    ways->push_back(*at);
  }
  if (ways->empty())
    return fail(errc::format_damaged, attempted, "it tells no way");
  return std::move(*ways);
}

} // namespace datamesh::network
