#include "network/upnp.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace datamesh::network {

namespace {

constexpr auto attempted = "ask the router by UPnP";
constexpr auto blanks = " \t\r\n";
constexpr std::string_view scheme = "http://";

/// In the order in which a router of both is asked.
constexpr std::array<std::string_view, 3> known_types{"urn:schemas-upnp-org:service:WANIPConnection:2",
                                                      "urn:schemas-upnp-org:service:WANIPConnection:1",
                                                      "urn:schemas-upnp-org:service:WANPPPConnection:1"};

tl::unexpected<error> broken(std::string what) {
  return fail(errc::protocol_violated, attempted, std::move(what));
}

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  auto last = text.find_last_not_of(blanks);
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool may_be_target(std::string_view text) {
  return text.size() <= upnp_target_max && std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

/// The name of a tag without what stands before its colon.
std::string_view local_name(std::string_view tag) {
  auto name = tag.substr(0, tag.find_first_of(" \t\r\n/"));
  auto colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

struct element_found {
  std::string_view content;
  std::string_view rest; ///< Behind it.
};

/// Up to the end tag of that name; an element of the same name within it is not looked for, since there is none here.
std::optional<element_found> content_until_end(std::string_view xml, std::string_view name) {
  for (auto at = xml.find("</"); at != std::string_view::npos; at = xml.find("</", at + 2)) {
    auto end = xml.find('>', at);
    if (end == std::string_view::npos)
      return std::nullopt;
    if (local_name(xml.substr(at + 2, end - at - 2)) == name)
      return element_found{xml.substr(0, at), xml.substr(end + 1)};
  }
  return std::nullopt;
}

std::optional<element_found> find_element(std::string_view xml, std::string_view name) {
  for (auto at = xml.find('<'); at != std::string_view::npos; at = xml.find('<', at + 1)) {
    auto end = xml.find('>', at);
    if (end == std::string_view::npos)
      return std::nullopt;
    auto tag = xml.substr(at + 1, end - at - 1);
    if (local_name(tag) == name && !tag.ends_with('/'))
      return content_until_end(xml.substr(end + 1), name);
  }
  return std::nullopt;
}

/// As it stands in a URL: "&amp;" is the one escape that such may have.
std::string unescaped(std::string_view text) {
  constexpr std::string_view escaped = "&amp;";
  std::string plain;
  for (auto at = text.find(escaped); at != std::string_view::npos; at = text.find(escaped)) {
    plain += text.substr(0, at);
    plain += '&';
    text.remove_prefix(at + escaped.size());
  }
  return plain.append(text);
}

/// A whole address, or what is to be put behind *base* (RFC 3986, without "..").
result<http_place> place_from(std::string_view text, const http_place& base) {
  auto url = unescaped(trimmed(text));
  if (url.starts_with(scheme)) {
    auto place = parse_http_place(url);
    if (place && place->at.ip != base.at.ip)
      return broken("it leads to another host");
    return place;
  }
  if (url.empty() || !may_be_target(url))
    return broken("a service without an address");
  auto folder = base.target.substr(0, base.target.find('?'));
  folder.resize(folder.rfind('/') + 1);
  return http_place{base.at, url.front() == '/' ? url : folder + url};
}

std::optional<upnp_service> service_of(std::string_view xml, const http_place& base, std::optional<error>& why_not) {
  auto said = upnp_element(xml, "serviceType");
  auto known = std::ranges::find(known_types, said.value_or(""));
  if (known == known_types.end())
    return std::nullopt;
  auto control = place_from(upnp_element(xml, "controlURL").value_or(""), base);
  if (!control) {
    why_not = control.error();
    return std::nullopt;
  }
  return upnp_service{*known, std::move(*control)};
}

} // namespace

result<http_place> parse_http_place(std::string_view url) {
  auto wrong = [](const char* what) {
    return fail(errc::invalid_argument, "read an address of a router", what);
  };
  if (!same_word(url.substr(0, scheme.size()), scheme))
    return wrong("it does not begin with http://");
  url.remove_prefix(scheme.size());
  auto host = url.substr(0, url.find_first_of("/?#"));
  auto target = url.substr(host.size());
  auto colon = host.find(':');
  auto ip = parse_ip4(host.substr(0, colon));
  uint16_t port = 80;
  if (colon != std::string_view::npos) {
    auto digits = host.substr(colon + 1);
    auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (code != std::errc{} || end != digits.data() + digits.size() || port == 0)
      return wrong("its port is no port");
  }
  if (!ip)
    return wrong("its host is no IPv4 address");
  if (!may_be_target(target))
    return wrong("it is too long, or has a character that no address has");
  std::string path{target.substr(0, target.find('#'))};
  return http_place{{*ip, port}, path.starts_with('/') ? path : "/" + path};
}

endpoint upnp_group() noexcept {
  return endpoint::v4({239, 255, 255, 250}, 1900);
}

std::string upnp_search() {
  return "M-SEARCH * HTTP/1.1\r\n"
         "HOST: 239.255.255.250:1900\r\n"
         "MAN: \"ssdp:discover\"\r\n"
         "MX: 1\r\n"
         "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
         "\r\n";
}

result<http_place> upnp_read_found(byte_view datagram, const ip_address& router) {
  auto text = as_text(datagram);
  auto alien = [](const char* what) {
    return fail(errc::format_alien, attempted, what);
  };
  auto first = text.substr(0, text.find('\n'));
  if (!first.starts_with("HTTP/1.") || first.find(" 200") == std::string_view::npos)
    return alien("no answer to a search");
  text.remove_prefix(std::min(first.size() + 1, text.size()));
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    auto colon = line.find(':');
    if (colon == std::string_view::npos || !same_word(trimmed(line.substr(0, colon)), "location"))
      continue;
    auto place = parse_http_place(trimmed(line.substr(colon + 1)));
    if (!place)
      return broken(place.error().object());
    if (place->at.ip != router)
      return broken("it leads to another host");
    return place;
  }
  return alien("an answer without an address");
}

result<std::vector<upnp_service>> upnp_read_description(std::string_view xml, const http_place& from) {
  auto base = from;
  if (auto said = upnp_element(xml, "URLBase"); said && !said->empty()) {
    auto place = place_from(*said, from);
    if (!place)
      return fail(place.error());
    base = std::move(*place);
  }
  std::vector<upnp_service> all;
  std::optional<error> why_not;
  for (auto found = find_element(xml, "service"); found; found = find_element(found->rest, "service"))
    if (auto one = service_of(found->content, base, why_not); one && all.size() < upnp_services_max)
      all.push_back(std::move(*one));
  if (all.empty())
    return why_not ? fail(*why_not) : fail(errc::not_found, attempted, "it gives no ports");
  std::ranges::stable_sort(all, {}, [](const upnp_service& one) { return std::ranges::find(known_types, one.type); });
  return all;
}

upnp_call upnp_ask(std::string_view type, std::string_view action, std::span<const upnp_argument> arguments) {
  std::string inside;
  for (const auto& one : arguments)
    inside += fmt::format("<{0}>{1}</{0}>", one.name, one.value);
  return {fmt::format("\"{}#{}\"", type, action), fmt::format("<?xml version=\"1.0\"?>\r\n"
                                                              "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" "
                                                              "s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\">"
                                                              "<s:Body><u:{0} xmlns:u=\"{1}\">{2}</u:{0}></s:Body></s:Envelope>\r\n",
                                                              action, type, inside)};
}

std::optional<std::string_view> upnp_element(std::string_view xml, std::string_view name) {
  auto found = find_element(xml, name);
  return found ? std::optional{trimmed(found->content)} : std::nullopt;
}

std::optional<uint32_t> upnp_error(std::string_view xml) {
  auto text = upnp_element(xml, "errorCode").value_or("");
  uint32_t number = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  return code == std::errc{} && end == text.data() + text.size() ? std::optional{number} : std::nullopt;
}

} // namespace datamesh::network
