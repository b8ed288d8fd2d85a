#include "tests/libdatamesh/network/memory_router.hpp"

#include "network/nat_pmp.hpp"

#include <fmt/format.h>

namespace datamesh::test {

using namespace network;

namespace {

constexpr auto attempted = "ask a router in memory";
const auto own_address = parse_ip4("192.168.1.1").value();
const auto client = parse_ip4("192.168.1.7").value();
const std::string type = "urn:schemas-upnp-org:service:WANIPConnection:1";

uint16_t read16(byte_view from, size_t at) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(from[at]) << 8 | std::to_integer<unsigned>(from[at + 1]));
}

void add16(std::vector<std::byte>& to, uint32_t value) {
  to.push_back(static_cast<std::byte>(value >> 8 & 0xff));
  to.push_back(static_cast<std::byte>(value & 0xff));
}

http_answer refuse(uint32_t code) {
  return {500, fmt::format("<s:Fault><detail><UPnPError><errorCode>{}</errorCode></UPnPError></detail></s:Fault>", code), client};
}

uint16_t port_in(const upnp_call& call, std::string_view name) {
  return static_cast<uint16_t>(std::stoul(std::string{upnp_element(call.body, name).value_or("0")}));
}

/// What stands between '#' and the quote at the end.
std::string action_of(const upnp_call& call) {
  auto begin = call.action.find('#') + 1;
  return call.action.substr(begin, call.action.size() - begin - 1);
}

} // namespace

result<void> memory_router::ask(std::string what) {
  if (cancelled_)
    return fail(errc::cancelled, attempted);
  state_.said.push_back(std::move(what));
  changed_.notify_all();
  return {};
}

result<ip_address> memory_router::gateway() {
  std::lock_guard guard{mutex_};
  if (!state_.is_there)
    return fail(errc::not_found, attempted);
  return own_address;
}

result<void> memory_router::exchange(const endpoint& to, byte_view datagram, const std::function<bool(byte_view)>& is_answer) {
  std::unique_lock lock{mutex_};
  if (auto asked = ask("nat-pmp"); !asked)
    return asked;
  if (state_.hangs) {
    changed_.wait(lock, [this] { return cancelled_; });
    return fail(errc::cancelled, attempted);
  }
  if (to != endpoint{own_address, nat_pmp_port} || !state_.by_nat_pmp || !is_answer(answer_nat_pmp(datagram)))
    return fail(errc::timed_out, attempted);
  changed_.notify_all();
  return {};
}

std::vector<std::byte> memory_router::answer_nat_pmp(byte_view datagram) {
  if (state_.nat_pmp_answer)
    return *state_.nat_pmp_answer;
  std::vector<std::byte> answer{std::byte{0}, datagram[1] | std::byte{0x80}};
  add16(answer, state_.nat_pmp_code);
  add16(answer, 0);
  add16(answer, 1);
  if (datagram.size() == 2) {
    auto outside = parse_ip4(state_.outside).value();
    answer.insert(answer.end(), outside.view().begin(), outside.view().end());
    return answer;
  }
  auto inside = read16(datagram, 4);
  auto wished = read16(datagram, 6);
  auto lifetime = static_cast<uint32_t>(read16(datagram, 8)) << 16 | read16(datagram, 10);
  auto to = fmt::format("{}:{}", to_string(client), inside);
  if (lifetime == 0)
    std::erase_if(state_.ports, [&](const auto& one) { return one.second == to; });
  else if (state_.nat_pmp_code == 0)
    while (state_.ports.contains(wished) && state_.ports[wished] != to)
      ++wished;
  if (lifetime != 0 && state_.nat_pmp_code == 0)
    state_.ports[wished] = to;
  add16(answer, inside);
  add16(answer, wished);
  auto kept = std::min(lifetime, state_.lifetime_max);
  add16(answer, kept >> 16);
  add16(answer, kept);
  return answer;
}

result<void> memory_router::search(const endpoint&, byte_view datagram, const ip_address& from,
                                   const std::function<bool(byte_view)>& is_answer) {
  std::lock_guard guard{mutex_};
  if (auto asked = ask("search"); !asked)
    return asked;
  auto text = state_.found.empty() ? std::string{"HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.1:5000/desc.xml\r\n\r\n"} : state_.found;
  if (from != own_address || as_text(datagram) != upnp_search() || !state_.by_upnp || !is_answer(as_view(text)))
    return fail(errc::timed_out, attempted);
  return {};
}

result<http_answer> memory_router::http(const http_place& at, const upnp_call* call) {
  std::lock_guard guard{mutex_};
  if (auto asked = ask(call != nullptr ? action_of(*call) : "description"); !asked)
    return fail(asked.error());
  if (call == nullptr && at.target == "/desc.xml")
    return http_answer{200,
                       state_.description.value_or(fmt::format(
                           "<root><service><serviceType>{}</serviceType><controlURL>/control</controlURL></service></root>", type)),
                       client};
  if (call == nullptr || at.target != "/control")
    return http_answer{404, "", client};
  auto answer = answer_call(*call);
  changed_.notify_all();
  return answer;
}

http_answer memory_router::answer_call(const upnp_call& call) {
  if (state_.control_answer)
    return *state_.control_answer;
  auto asks = [&](const char* action) {
    return call.action == fmt::format("\"{}#{}\"", type, action);
  };
  if (asks("GetExternalIPAddress"))
    return {200, fmt::format("<u:R><NewExternalIPAddress>{}</NewExternalIPAddress></u:R>", state_.outside), client};
  if (asks("AddPortMapping"))
    return add_port(call);
  if (asks("DeletePortMapping"))
    return state_.ports.erase(port_in(call, "NewExternalPort")) > 0 ? http_answer{200, "", client} : refuse(714);
  return refuse(401);
}

http_answer memory_router::add_port(const upnp_call& call) {
  auto port = port_in(call, "NewExternalPort");
  auto to = fmt::format("{}:{}", upnp_element(call.body, "NewInternalClient").value_or(""), port_in(call, "NewInternalPort"));
  if (state_.upnp_code != 0)
    return refuse(state_.upnp_code);
  if (state_.only_for_ever && upnp_element(call.body, "NewLeaseDuration") != "0")
    return refuse(725);
  if (auto there = state_.ports.find(port); there != state_.ports.end() && there->second != to)
    return refuse(718);
  state_.ports[port] = to;
  return {200, "<u:AddPortMappingResponse/>", client};
}

void memory_router::cancel() noexcept {
  std::lock_guard guard{mutex_};
  cancelled_ = true;
  changed_.notify_all();
}

void memory_router::resume() noexcept {
  std::lock_guard guard{mutex_};
  cancelled_ = false;
}

} // namespace datamesh::test
