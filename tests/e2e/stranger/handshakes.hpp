// Handshakes that a node must refuse, each by a name, and what it did about them.
#pragma once

#include "tests/e2e/stranger/wire.hpp"

#include <functional>

namespace datamesh::stranger {

/// How far somebody may come with it.
enum class stage : uint8_t {
  tls,   ///< Not through the handshake of TLS: he hears nothing of the node's hello.
  hello, ///< The link is not opened: nothing that is asked is answered.
  open,  ///< The link was open, and ends.
};

/// What the node did.
struct outcome {
  bool closed = false;
  bool heard_hello = false;
  size_t answers = 0;
  std::optional<int> alert;    ///< Of TLS.
  std::optional<uint32_t> end; ///< The code of its last frame.

  [[nodiscard]] std::string text() const;
};

/// A connection of one stranger, who is somebody else each time.
struct visit {
  target to;
  const persona& us;
  const persona& other; ///< Another one.
  uint32_t address = 0;
  descriptor socket;
};

struct bad_handshake {
  const char* name;
  stage reaches;
  std::optional<errc> end; ///< What the node must say; nothing where it need not say anything.
  std::function<outcome(visit&)> act;
};

[[nodiscard]] const std::vector<bad_handshake>& bad_handshakes();
/// The same means used honestly: each of these must be served.
[[nodiscard]] const std::vector<bad_handshake>& good_handshakes();

} // namespace datamesh::stranger
