#include "network/nat_pmp.hpp"

#include <fmt/format.h>

namespace datamesh::network {

namespace {

constexpr auto attempted = "ask the router by NAT-PMP";
constexpr std::byte version{0};
constexpr std::byte about_address{0};
constexpr std::byte about_tcp{2};
constexpr std::byte is_answer{0x80};

constexpr size_t header_size = 4;
constexpr size_t address_size = 12;
constexpr size_t port_size = 16;

uint16_t read16(byte_view from, size_t at) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(from[at]) << 8 | std::to_integer<unsigned>(from[at + 1]));
}

uint32_t read32(byte_view from, size_t at) {
  return static_cast<uint32_t>(read16(from, at)) << 16 | read16(from, at + 2);
}

template <size_t Size>
void write16(std::array<std::byte, Size>& to, size_t at, uint32_t value) {
  to.at(at) = static_cast<std::byte>(value >> 8 & 0xff);
  to.at(at + 1) = static_cast<std::byte>(value & 0xff);
}

std::string reason_of(uint16_t code) {
  constexpr std::array reasons{"",
                               "it speaks another version",
                               "it does not allow it",
                               "it has no address outside now",
                               "it has no port left",
                               "it does not do that"};
  return code < reasons.size() ? reasons.at(code) : fmt::format("it refuses with code {}", code);
}

tl::unexpected<error> broken(const char* what) {
  return fail(errc::protocol_violated, attempted, what);
}

/// What all answers have at their beginning.
result<void> check_header(byte_view answer, std::byte about, size_t size) {
  if (answer.size() < header_size || answer[1] != (is_answer | about))
    return fail(errc::format_alien, attempted, "an answer to something else");
  auto code = read16(answer, 2);
  // Who speaks a later version alone says so with that one.
  if (answer[0] != version || code == 1)
    return fail(errc::unavailable, attempted, reason_of(1));
  if (code != 0)
    return fail(errc::unavailable, attempted, reason_of(code));
  if (answer.size() != size)
    return broken("an answer of a wrong size");
  return {};
}

result<void> check_port(byte_view answer, uint16_t inside) {
  auto good = check_header(answer, about_tcp, port_size);
  if (good && read16(answer, 8) != inside)
    return fail(errc::format_alien, attempted, "an answer about another port");
  return good;
}

} // namespace

std::array<std::byte, 2> nat_pmp_ask_address() {
  return {version, about_address};
}

std::array<std::byte, 12> nat_pmp_ask_port(uint16_t inside, uint16_t outside, std::chrono::seconds lifetime) {
  std::array<std::byte, 12> to{version, about_tcp};
  auto seconds = static_cast<uint32_t>(lifetime.count());
  write16(to, 4, inside);
  write16(to, 6, outside);
  write16(to, 8, seconds >> 16);
  write16(to, 10, seconds);
  return to;
}

result<ip_address> nat_pmp_read_address(byte_view answer) {
  if (auto good = check_header(answer, about_address, address_size); !good)
    return fail(good.error());
  return ip_from(answer.subspan(8, 4)).value();
}

result<nat_pmp_given> nat_pmp_read_port(byte_view answer, uint16_t inside) {
  if (auto good = check_port(answer, inside); !good)
    return fail(good.error());
  nat_pmp_given given{read16(answer, 10), std::chrono::seconds{read32(answer, 12)}};
  if (given.outside == 0 || given.lifetime.count() == 0)
    return broken("it gives no port, and says that it does");
  return given;
}

result<void> nat_pmp_read_end(byte_view answer, uint16_t inside) {
  return check_port(answer, inside);
}

} // namespace datamesh::network
