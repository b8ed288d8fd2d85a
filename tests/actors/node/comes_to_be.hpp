// Waits for what other threads bring about.
#pragma once

#include <chrono>
#include <thread>

namespace datamesh::test {

/// Asks until it is so, for as long as that may take.
template <class Holds>
bool comes_to_be(Holds holds) {
  for (auto end = std::chrono::steady_clock::now() + std::chrono::minutes{2}; std::chrono::steady_clock::now() < end;
       std::this_thread::yield())
    if (holds())
      return true;
  return false;
}

} // namespace datamesh::test
