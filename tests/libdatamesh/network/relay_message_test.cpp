#include "network/relay_message.hpp"

#include "datamesh/base/errc.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;

namespace {

const auto ann = peer_id::from(as_view("the id of a node that is named A"));

relay_request there_and_back(const relay_request& message, size_t body = 0) {
  return decode_relay_request(as_view(encode(message)), body).value();
}

errc refusal(byte_view message, size_t body) {
  auto read = decode_relay_request(message, body);
  return read ? errc{} : read.error().code();
}

} // namespace

TEST_CASE("what is said to a node that passes on is read as it was written", "[relay]") {
  CHECK(std::holds_alternative<relay_reserve>(there_and_back(relay_reserve{})));
  auto opens = std::get<relay_open>(there_and_back(relay_open{ann, 7}));
  CHECK(opens.to == ann);
  CHECK(opens.token == 7);
  auto offers = std::get<relay_offer>(there_and_back(relay_offer{ann, 9}));
  CHECK(offers.from == ann);
  CHECK(offers.stream == 9);
  auto piece = std::get<relay_piece>(there_and_back(relay_piece{3, 1 << 20, true}, relay_piece_max));
  CHECK(piece.stream == 3);
  CHECK(piece.offset == 1 << 20);
  CHECK(piece.by_relay);
  CHECK(std::get<relay_end>(there_and_back(relay_end{4, true})).by_relay);
  CHECK(decode_relay_answer(as_view(encode_relay_answer(5))).value() == 5);
}

TEST_CASE("the examples of the page of the format are these bytes", "[relay]") {
  CHECK(encode(relay_reserve{}) == std::string("\x0a\x00", 2));
  CHECK(encode(relay_piece{3, 65536, false}) == std::string("\x22\x06\x08\x03\x10\x80\x80\x04", 8));
  CHECK(encode_relay_answer(3) == "\x08\x03");
}

TEST_CASE("what is no request to pass on is refused, and so are bytes that are not due", "[relay]") {
  CHECK(refusal({}, 0) == errc::protocol_violated);
  CHECK(refusal(as_view("\x0a"), 0) == errc::protocol_violated);
  CHECK(refusal(as_view(std::string(relay_message_max + 1, '\0')), 0) == errc::protocol_violated);
  auto open = encode(relay_open{ann, 7});
  for (size_t cut = 1; cut < open.size(); ++cut)
    CHECK(refusal(as_view(open).first(cut), 0) == errc::protocol_violated);
  CHECK(refusal(as_view(open), 1) == errc::protocol_violated);
  auto piece = encode(relay_piece{1, 0, false});
  CHECK(refusal(as_view(piece), 0) == errc::protocol_violated);
  CHECK(refusal(as_view(piece), relay_piece_max + 1) == errc::protocol_violated);
  CHECK_FALSE(decode_relay_answer(as_view("\xff")));
}
