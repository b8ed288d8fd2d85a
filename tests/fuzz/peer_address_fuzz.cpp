// The address of a node as a person writes it.
#include "network/peer_address.hpp"

#include "fuzz.hpp"

#include <algorithm>

using namespace datamesh;
using namespace datamesh::network;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto text = as_text(fuzz::view(data, size));
  if (auto at = parse_listen_address(text))
    fuzz::require(parse_listen_address(at->text()).value() == *at, "where to listen is read as it was printed");
  auto spec = parse_peer_spec(text);
  if (!spec) {
    auto message = spec.error().message();
    auto is_plain = [](char c) {
      return c >= ' ' && c <= '~';
    };
    fuzz::require(std::all_of(message.begin(), message.end(), is_plain), "a mistake is told in plain characters");
    fuzz::require(message.size() < 1024, "a mistake is told briefly");
    return 0;
  }
  auto printed = to_string(*spec);
  auto again = parse_peer_spec(printed);
  fuzz::require(again && *again == *spec, "an address is read as it was printed");
  fuzz::require(to_string(*again) == printed, "an address has one text");
  return 0;
}
