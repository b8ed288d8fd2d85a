// TLS 1.3 alone: both ends of a connection in memory, by OpenSSL and nothing else.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <memory>

namespace datamesh::reference {

class tls_pair {
public:
  /// With AES-256-GCM and a self-signed certificate of an Ed25519 key, as links of nodes have. Null when refused.
  [[nodiscard]] static std::unique_ptr<tls_pair> make();
  ~tls_pair();

  /// One end seals *data* in records of 16 KiB, the other opens them; *out* has as many bytes. False when refused.
  bool pass(byte_view data, byte_span out);

private:
  struct impl;
  explicit tls_pair(std::unique_ptr<impl> with);
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::reference
