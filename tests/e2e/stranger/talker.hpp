// The dialing end of a link whose frames are made by hand, so that they can be wrong: TLS by
// the library's engine, and above it whatever is told. No socket here.
#pragma once

#include "network/network_id.hpp"
#include "network/tls_link.hpp"

#include <deque>
#include <string>

namespace datamesh::stranger {

/// Types of docs/formats/wire.md, and others.
enum frame_type : uint8_t { hello = 1, request = 2, answer = 3, cancel = 4, ping = 5, pong = 6, end = 7 };

struct plain_frame {
  uint8_t type = 0;
  std::string header;
  std::string body;
};

/// The twelve bytes before a frame, each field as it is given.
struct frame_front {
  uint32_t length = 0; ///< Of what follows these four bytes.
  uint8_t type = 0;
  uint8_t flags = 0;
  uint16_t version = 1;
  uint32_t header = 0;

  [[nodiscard]] std::string text() const;
};

/// A frame as it should be.
[[nodiscard]] std::string frame_of(uint8_t type, std::string_view header, std::string_view body = {});
[[nodiscard]] std::string request_of(uint64_t id, std::string_view message, std::string_view body = {}, uint32_t deadline_ms = 30'000);

/// What a hello says; as it stands an honest one.
struct hello_terms {
  network::network_id mesh;
  uint32_t protocol_min = 1;
  uint32_t protocol_max = 1;
  uint32_t requests_max = 64;
  uint32_t bytes_max = 8 << 20;

  [[nodiscard]] std::string text() const;
};

class talker {
public:
  /// @pre *us* outlives it
  [[nodiscard]] static result<talker> dial(const network::tls_identity& us);

  /// Bytes from the wire. False when the link is over.
  [[nodiscard]] bool received(byte_view data);
  [[nodiscard]] std::vector<std::byte> take_output() {
    return tls_.take_output();
  }
  [[nodiscard]] bool established() const noexcept {
    return tls_.established();
  }
  [[nodiscard]] const network::peer_id& peer() const noexcept {
    return tls_.peer();
  }
  /// The next frame of the other side, if one is whole.
  [[nodiscard]] std::optional<plain_frame> take_frame();

  /// A signature over *terms* for this link, by the key of *signer* and in the place of *side*: 'd' is the dialer's.
  [[nodiscard]] std::string sign(std::string_view terms, const network::tls_identity& signer, char side = 'd') const;
  /// The header of a hello by this node.
  [[nodiscard]] std::string hello_header(const hello_terms& terms) const;
  /// @pre established()
  void write(std::string_view plain);
  void close() {
    tls_.close();
  }

private:
  talker(const network::tls_identity& us, network::tls_link tls) : us_(&us), tls_(std::move(tls)) {}

  const network::tls_identity* us_;
  network::tls_link tls_;
  std::string in_;
};

} // namespace datamesh::stranger
