// What another node may send. The first byte says when: from the beginning, to who
// dialed or to who was dialed, or inside TLS, with a good hello before it or without;
// and in pieces of which size. A link ends once, answers each request of ours once, and
// holds no more than it may.
#include "datamesh/v1/link.pb.h"
#include "fuzz.hpp"
#include "network/peer_link.hpp"
#include "tests/libdatamesh/network/node.hpp"

#include <algorithm>
#include <map>

using namespace datamesh;
using namespace datamesh::network;

namespace {

enum class moment : uint8_t { dialing, dialed, before_hello, after_hello };

const auto mesh = network_id::from(as_view("a mesh for the tests of its link"));
constexpr link_time start{};

struct nodes {
  test::test_node us{1};
  test::test_node them{2};
};

const nodes& both() {
  static const nodes made;
  return made;
}

/// The link that is looked at, and all that it told.
struct victim {
  explicit victim(link_side side) : link(peer_link::open(both().us.tls, side, std::nullopt, {mesh}, start).value()) {}

  void look() {
    while (auto event = link.take_event()) {
      fuzz::require(!closed, "nothing follows the end");
      if (auto* request = std::get_if<link_request>(&*event)) {
        fuzz::require(request->message.size() <= link_message_max && request->body.size() <= link_body_max, "requests are within the caps");
        // Every other one is never answered.
        if (request->id % 2 == 0)
          (void) link.answer(request->id, request->message, request->body);
      } else if (auto* answer = std::get_if<link_answer>(&*event)) {
        fuzz::require(asked.erase(answer->id) == 1, "one answer to what was asked");
      } else if (std::get_if<link_opened>(&*event) != nullptr) {
        for (int i = 0; i < 3; ++i)
          asked[link.request("x", as_view("body"), start + std::chrono::hours{1}, start).value()] = true;
      } else {
        closed = std::get_if<link_closed>(&*event) != nullptr;
      }
    }
  }

  void feed(byte_view data, size_t piece) {
    while (!data.empty()) {
      auto part = data.first(std::min(piece, data.size()));
      link.received(part, start);
      look();
      data = data.subspan(part.size());
      fuzz::require(link.held() <= output_max + (20u << 20), "it holds no more than it may");
    }
  }

  void end() {
    link.lost(error{errc::io_failed, "read from a socket"});
    look();
    fuzz::require(closed && link.is_closed(), "a link without a wire is closed");
    fuzz::require(asked.empty(), "all that was asked has its answer");
    fuzz::require(link.next_tick() == link_time::max(), "nothing is due any more");
  }

  peer_link link;
  std::map<uint64_t, bool> asked;
  bool closed = false;
};

std::vector<std::byte> good_hello(const tls_link& over) {
  v1::HelloTerms terms;
  terms.set_network(std::string{mesh.text()});
  terms.set_protocol_min(1);
  terms.set_protocol_max(1);
  terms.set_requests_max(10);
  terms.set_bytes_max(8 << 20);
  auto encoded = terms.SerializeAsString();
  auto key = over.exported("EXPORTER-datamesh-hello", as_view("d")).value();
  auto signed_text = "datamesh hello 1" + std::string{as_text(key.view())} + encoded;
  v1::Hello hello;
  hello.set_terms(encoded);
  hello.set_signature(std::string{as_text(both().them.tls.sign(as_view(signed_text)).value())});
  auto header = hello.SerializeAsString();
  std::vector<std::byte> frame(12);
  store_le<uint32_t>(frame, static_cast<uint32_t>(8 + header.size()));
  frame[4] = std::byte{1};
  store_le<uint16_t>(byte_span{frame}.subspan(6), 1);
  store_le<uint32_t>(byte_span{frame}.subspan(8), static_cast<uint32_t>(header.size()));
  auto rest = as_view(header);
  frame.insert(frame.end(), rest.begin(), rest.end());
  return frame;
}

/// A peer that knows TLS well.
void speak(victim& to, byte_view frames, bool hello, size_t piece) {
  auto tls = tls_link::open(both().them.tls, link_side::dialer, both().us.id()).value();
  auto carry = [&] {
    for (;;) {
      auto there = tls.take_output();
      to.link.received(there, start);
      to.look();
      auto back = to.link.take_output();
      if (!back.empty())
        (void) tls.received(back);
      if (there.empty() && back.empty())
        return;
    }
  };
  carry();
  fuzz::require(tls.established(), "TLS is agreed on");
  if (hello) {
    (void) tls.write(good_hello(tls));
    carry();
    fuzz::require(to.link.is_open(), "a good hello opens the link");
  }
  while (!frames.empty()) {
    auto part = frames.first(std::min(piece, frames.size()));
    (void) tls.write(part);
    frames = frames.subspan(part.size());
  }
  to.feed(tls.take_output(), 1 + piece * 7);
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  auto when = static_cast<moment>(data[0] & 3);
  auto piece = size_t{1} << (data[0] >> 2 & 15);
  auto rest = fuzz::view(data + 1, size - 1);
  victim v{when == moment::dialing ? link_side::dialer : link_side::acceptor};
  if (when == moment::dialing || when == moment::dialed)
    v.feed(rest, piece);
  else
    speak(v, rest, when == moment::after_hello, piece);
  v.end();
  return 0;
}
