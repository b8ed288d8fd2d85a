#include "tests/e2e/stranger/wire.hpp"

#include "base/system_parts.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace datamesh::stranger {

uint32_t host_address(size_t number) {
  return (127u << 24 | 1u << 16) + static_cast<uint32_t>(number / 250 * 256 + number % 250 + 1);
}

descriptor::~descriptor() {
  if (fd_ >= 0)
    ::close(fd_);
}

descriptor dial_from(uint32_t address, uint16_t port, int receive_buffer) {
  descriptor made{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  if (!made)
    return made;
  int on = 1;
  ::setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  // Ports of an address are chosen when it is dialed, for each pair of addresses by itself.
  ::setsockopt(made.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  if (receive_buffer > 0)
    ::setsockopt(made.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(address);
  if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0)
    return descriptor{};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(port);
  if (::connect(made.get(), reinterpret_cast<const sockaddr*>(&at), sizeof(at)) != 0 && errno != EINPROGRESS)
    return descriptor{};
  return made;
}

bool await_input(int fd, int milliseconds) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, milliseconds) == 1;
}

bool send_all(int fd, byte_view data, int milliseconds) {
  while (!data.empty()) {
    auto sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      data = data.subspan(static_cast<size_t>(sent));
      continue;
    }
    pollfd one{fd, POLLOUT, 0};
    if (errno != EAGAIN || ::poll(&one, 1, milliseconds) != 1 || (one.revents & (POLLERR | POLLHUP)) != 0)
      return false;
  }
  return true;
}

persona::persona(uint64_t number)
    : chance(number), seed(crypto::key256::random(chance).value()), tls(network::tls_identity::make(seed, system_clock(), chance).value()) {
}

} // namespace datamesh::stranger
