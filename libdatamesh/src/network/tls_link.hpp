// TLS 1.3 (RFC 8446) between two nodes, without a socket: bytes from the wire in,
// bytes for the wire out. Both sides show a self-signed certificate of their Ed25519
// key; there is no authority, and who the peer is follows from its key alone.
//
// Only TLS 1.3, only AES-256-GCM and ChaCha20-Poly1305, only X25519; no tickets, no
// resumption, no early data, no renegotiation. Protocol "datamesh/1" (ALPN, RFC 7301).
// OpenSSL takes its randomness from the system: replayed runs go over a transport
// above TLS.
//
// Thread rule: a `tls_identity` may be shared by links on several threads; a link
// belongs to one thread at a time.
#pragma once

#include "network/certificate.hpp"

#include <optional>
#include <string_view>

typedef struct ssl_ctx_st SSL_CTX;

namespace datamesh::network {

enum class link_side : uint8_t { dialer, acceptor };

/// A handshake that took more than this from its peer is refused, in bytes.
inline constexpr size_t handshake_bytes_max = 16 << 10;
/// A record with less than this in it is a small one, in bytes.
inline constexpr size_t small_record = 512;

/// Whether what came first from who dials is the beginning of a record with a message of a handshake, and more of it is to
/// come (RFC 8446, section 5.1). False as soon as it is anything else.
[[nodiscard]] bool is_part_of_first_record(byte_view came) noexcept;

/// What a node shows of itself on each of its links: a certificate that is made anew when half
/// of its life is over, or when the clock went back to before it.
class tls_identity {
public:
  /// @param wall tells the time by which the peers' certificates are judged
  /// @pre *random* outlives it
  [[nodiscard]] static result<tls_identity> make(const crypto::key256& seed, std::shared_ptr<const clock> wall, random_source& random);
  tls_identity(tls_identity&&) noexcept;
  tls_identity& operator=(tls_identity&&) noexcept;
  ~tls_identity();

  [[nodiscard]] const peer_id& id() const noexcept;
  [[nodiscard]] const crypto::public_key& key() const noexcept;
  [[nodiscard]] result<crypto::signature> sign(byte_view message) const;

private:
  friend class tls_link;
  struct impl;
  explicit tls_identity(std::unique_ptr<impl> with);
  std::unique_ptr<impl> impl_;
};

class tls_link {
public:
  /// @param expected who must answer; nothing where anybody may, as on an acceptor
  [[nodiscard]] static result<tls_link> open(const tls_identity& us, link_side side, std::optional<peer_id> expected);
  tls_link(tls_link&&) noexcept;
  tls_link& operator=(tls_link&&) noexcept;
  ~tls_link();

  /// Bytes from the wire. Afterwards `take_output` may have something, also when this
  /// fails: the alert that tells the peer. `peer_refused` when the peer's certificate
  /// is not accepted or is not the one expected, `protocol_violated` for everything
  /// else; the link is then of no more use.
  [[nodiscard]] result<void> received(byte_view data);

  /// What is to be sent, until the link is used again; empty when there is nothing.
  [[nodiscard]] byte_view output() const noexcept;
  /// So many bytes of it were sent.
  void drop_output(size_t count) noexcept;
  /// Both in one.
  [[nodiscard]] std::vector<std::byte> take_output();
  [[nodiscard]] size_t output_size() const noexcept;
  /// How many records came that were so small that what they cost is not their bytes.
  [[nodiscard]] uint64_t small_records() const noexcept;

  /// True once the handshake is over and the peer is known.
  [[nodiscard]] bool established() const noexcept;
  /// @pre established()
  [[nodiscard]] const peer_id& peer() const noexcept;
  /// True when *sig* is the peer's. @pre established()
  [[nodiscard]] bool is_signed_by_peer(byte_view message, const crypto::signature& sig) const;

  /// Plain bytes to the peer; `take_output` then has them sealed. @pre established()
  [[nodiscard]] result<void> write(byte_view plain);
  /// Plain bytes from the peer: how many were put into *out*, 0 when there are none
  /// now. `unavailable` when the peer has closed in order.
  [[nodiscard]] result<size_t> read(byte_span out);
  /// Tells the peer that nothing more will come.
  void close() noexcept;

  /// 32 bytes that only the two ends of this link know (RFC 8446, 7.5), and which
  /// differ for each link. @pre established()
  [[nodiscard]] result<crypto::key256> exported(std::string_view label, byte_view context) const;

private:
  struct impl;
  explicit tls_link(std::unique_ptr<impl> with);
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::network
