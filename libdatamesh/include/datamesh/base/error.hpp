// An error is a code, what was being tried, on which object, and its cause.
#pragma once

#include "datamesh/base/errc.hpp"
#include "datamesh/base/export.hpp"

#include <memory>
#include <string>

namespace datamesh {

class DATAMESH_EXPORT error {
public:
  /// @param attempted what was being tried, as in "read shard"
  /// @param object    the thing it was tried on: a path, an id; never a secret
  explicit error(errc code, std::string attempted = {}, std::string object = {});

  [[nodiscard]] errc code() const noexcept {
    return code_;
  }
  [[nodiscard]] const std::string& attempted() const noexcept {
    return attempted_;
  }
  [[nodiscard]] const std::string& object() const noexcept {
    return object_;
  }

  /// The error underneath, or null.
  [[nodiscard]] const error* cause() const noexcept {
    return cause_.get();
  }

  /// Puts this error under a new one of the same code: what was being tried
  /// one level further up.
  [[nodiscard]] error within(std::string attempted, std::string object = {}) const;

  /// Puts this error under a new one with another code.
  [[nodiscard]] error as(errc code, std::string attempted, std::string object = {}) const;

  /// One line: what was tried, on what, and why it failed, with its causes.
  [[nodiscard]] std::string message() const;

private:
  errc code_;
  std::string attempted_;
  std::string object_;
  std::shared_ptr<const error> cause_;
};

/// Makes an error from an `errno` value: ENOENT, ENOSPC, EROFS, EACCES, ... map
/// to the matching code, all else to `errc::io_failed`.
[[nodiscard]] DATAMESH_EXPORT error from_errno(int value, std::string attempted, std::string object = {});

} // namespace datamesh
