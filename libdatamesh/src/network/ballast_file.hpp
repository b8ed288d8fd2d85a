// A file that keeps room on a disk: allocated, and never written. Whoever gives the room away makes
// the file shorter first. docs/formats/ticket.md.
//
// What it holds is what the file system says that it has allocated: some take the call and allocate
// nothing.
//
// Thread rule: `look` and `hold` from one thread at a time; const members from any meanwhile.
#pragma once

#include "datamesh/base/file_system.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace datamesh::network {

class ballast_file {
public:
  ballast_file(std::shared_ptr<file_system> files, const std::string& folder);

  /// Finds what an earlier process left.
  [[nodiscard]] result<void> look();
  /// Makes it hold *size* bytes, in whole pages; 0 removes it. After an error, `no_space` among them,
  /// it holds no more than before. Where the file system can not, see `can_hold`, that is no error,
  /// and there is no file.
  [[nodiscard]] result<void> hold(uint64_t size);

  [[nodiscard]] uint64_t held() const noexcept {
    return held_;
  }
  /// False when the file system took the call, and allocated nothing.
  [[nodiscard]] bool can_hold() const noexcept {
    return can_hold_;
  }

private:
  [[nodiscard]] result<void> grow(uint64_t size);

  std::shared_ptr<file_system> files_;
  std::string path_;
  std::atomic<uint64_t> held_ = 0;
  std::atomic<bool> can_hold_ = true;
};

} // namespace datamesh::network
