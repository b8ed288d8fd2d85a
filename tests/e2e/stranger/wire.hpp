// Sockets from any address of 127.0.0.0/8, and the identities of those who use them.
#pragma once

#include "network/network_id.hpp"
#include "network/tls_link.hpp"
#include "tests/support/seeded_random.hpp"

#include <string>

namespace datamesh::stranger {

/// Where the node is, and what an honest one knows of it.
struct target {
  uint16_t port = 0; ///< On 127.0.0.1.
  network::network_id mesh;
};

/// Address *number* of strangers: 127.1.0.1 and so on, 250 in each /24.
[[nodiscard]] uint32_t host_address(size_t number);

/// An open file descriptor, or none.
class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int of) : fd_(of) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor();

  [[nodiscard]] int get() const noexcept {
    return fd_;
  }
  explicit operator bool() const noexcept {
    return fd_ >= 0;
  }

private:
  int fd_ = -1;
};

/// A connection from that address that does not block, and perhaps is still being made.
/// @param receive_buffer bytes, or 0 for what the system gives
/// @return nothing where the system has none to give
[[nodiscard]] descriptor dial_from(uint32_t address, uint16_t port, int receive_buffer = 0);

/// Waits until it is readable or over. False when *milliseconds* are.
[[nodiscard]] bool await_input(int fd, int milliseconds);

/// Takes all of it, as long as the other side lives and the time lasts.
bool send_all(int fd, byte_view data, int milliseconds = 10'000);

/// A node with a key of its own, by a number.
struct persona {
  explicit persona(uint64_t number);

  test::seeded_random chance;
  crypto::key256 seed;
  network::tls_identity tls;
};

} // namespace datamesh::stranger
