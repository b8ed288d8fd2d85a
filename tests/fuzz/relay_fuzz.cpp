// What nodes say to one that passes on, and what a node's record tells. The first byte tells which.
#include "fuzz.hpp"
#include "network/discovery_message.hpp"
#include "network/relay_message.hpp"

using namespace datamesh;
using namespace datamesh::network;

namespace {

void read_request(byte_view data) {
  for (auto body : {size_t{0}, size_t{1}, relay_piece_max, relay_piece_max + 1}) {
    auto read = decode_relay_request(data, body);
    if (!read)
      continue;
    fuzz::require(std::holds_alternative<relay_piece>(*read) == (body > 0) && body <= relay_piece_max, "a piece alone has bytes beside it");
    auto again = decode_relay_request(as_view(encode(*read)), body);
    fuzz::require(again && again->index() == read->index() && encode(*again) == encode(*read), "a request is read as it was written");
  }
}

void read_answer(byte_view data) {
  if (auto read = decode_relay_answer(data))
    fuzz::require(decode_relay_answer(as_view(encode_relay_answer(*read))).value() == *read, "an answer is read as it was written");
}

void read_record(byte_view data) {
  auto whose = peer_id::from(as_view("the id of a node that is named N"));
  auto read = decode_node_record(data, whose);
  if (!read)
    return;
  fuzz::require(!read->empty() && read->size() <= 2 * contact_addresses_max, "a record tells some ways");
  for (const auto& way : *read)
    fuzz::require(way.port != 0 && (!way.through || (way.through->to == whose && way.through->relay != whose)), "each leads to the node");
  fuzz::require(decode_node_record(as_view(encode_node_record(*read)), whose).value() == *read, "a record is read as it was written");
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  auto rest = fuzz::view(data, size).subspan(1);
  if (data[0] % 3 == 0)
    read_request(rest);
  else if (data[0] % 3 == 1)
    read_answer(rest);
  else
    read_record(rest);
  return 0;
}
