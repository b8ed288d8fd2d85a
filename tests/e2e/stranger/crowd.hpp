// Very many strangers at once who hold on to a node, each from an address that he shares with
// one of each other kind. Whoever is thrown out comes again.
#pragma once

#include "tests/e2e/stranger/wire.hpp"

#include <array>
#include <atomic>

namespace datamesh::stranger {

enum class manner : uint8_t {
  silent,        ///< Says nothing.
  partial_tls,   ///< Half a first message of TLS.
  partial_frame, ///< An honest hello, and a part of a request of 1 MiB.
  slow_reader,   ///< An honest hello, asks for much, and reads nothing.
};
inline constexpr size_t manners = 4;

struct crowd_plan {
  target to;
  size_t each = 0; ///< Of every manner.
  uint64_t seed = 0;
  double dials_a_second = 1000;
  std::string question; ///< Of slow readers.
  size_t questions = 48;
};

struct crowd_figures {
  std::array<size_t, manners> dialed{};
  std::array<size_t, manners> opened{};  ///< Hellos of the node that were heard.
  std::array<size_t, manners> ended{};   ///< By the node.
  std::array<size_t, manners> at_once{}; ///< Connections that were there together, at most.
  size_t no_socket = 0;                  ///< Dials for which the system had none.
};

/// Goes on until *stop*. @param came how often one of each manner that says a hello was let in, at least
[[nodiscard]] crowd_figures run_crowd(const crowd_plan& plan, const std::atomic<bool>& stop, std::atomic<size_t>& came);

} // namespace datamesh::stranger
