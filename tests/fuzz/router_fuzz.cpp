// What a router says, or somebody in its place. The first byte tells what it answers: NAT-PMP, a search, a description, a
// call, or that it is no router but the system's list of routes.
#include "fuzz.hpp"
#include "network/default_gateway.hpp"
#include "network/nat_pmp.hpp"
#include "network/upnp.hpp"

#include <algorithm>

using namespace datamesh;
using namespace datamesh::network;

namespace {

const auto router = parse_ip4("192.168.1.1").value();
const auto description = parse_http_place("http://192.168.1.1:5000/igd/desc.xml").value();

/// Nothing of it can become another line or another word of a request.
void is_of_router(const http_place& place) {
  fuzz::require(place.at.ip == router && place.at.port != 0, "it leads to the router");
  auto is_plain = [](char c) {
    return c > ' ' && c <= '~';
  };
  fuzz::require(place.target.starts_with('/') && std::ranges::all_of(place.target, is_plain), "it is one word");
}

void nat_pmp(byte_view answer) {
  if (auto given = nat_pmp_read_port(answer, 7000))
    fuzz::require(given->outside != 0 && given->lifetime.count() > 0, "what is given is something");
  fuzz::require(!(nat_pmp_read_address(answer) && nat_pmp_read_end(answer, 7000)), "an answer is to one question");
}

void call(std::string_view xml) {
  (void) upnp_error(xml);
  if (auto text = upnp_element(xml, "NewExternalIPAddress"))
    fuzz::require(text->empty() || xml.find(*text) != std::string_view::npos, "what is found is there");
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  auto rest = fuzz::view(data, size).subspan(1);
  switch (data[0] % 5) {
  case 0:
    nat_pmp(rest);
    break;
  case 1:
    if (auto found = upnp_read_found(rest, router))
      is_of_router(*found);
    break;
  case 2:
    if (auto services = upnp_read_description(as_text(rest), description)) {
      fuzz::require(!services->empty() && services->size() <= upnp_services_max, "there are a few services");
      for (const auto& one : *services)
        is_of_router(one.control);
    }
    break;
  case 3:
    call(as_text(rest));
    break;
  default:
    if (auto by = default_gateway(as_text(rest)))
      fuzz::require(!by->v6 && is_host(*by), "a router is a host");
  }
  return 0;
}
