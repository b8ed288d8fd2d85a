// Which operations of one device are known, as runs of sequence numbers, and
// whether their hash links hold. Operations may come in any order: links are
// compared where two runs meet.
#pragma once

#include "storage/catalog_rows.hpp"

namespace datamesh::storage {

class device_log {
public:
  struct run {
    uint64_t first = 0;
    uint64_t last = 0;
    digest previous;  ///< Hash link of the first.
    digest last_hash; ///< Of the last.
  };

  [[nodiscard]] bool knows(uint64_t sequence) const;

  /// Adds an operation that is not known yet.
  void add(uint64_t sequence, const digest& previous, const digest& hash);

  /// In ascending order, never touching one another.
  [[nodiscard]] const std::vector<run>& runs() const {
    return runs_;
  }
  /// The lowest sequence number whose hash link does not fit; 0 when all fit.
  [[nodiscard]] uint64_t broken_at() const {
    return broken_at_;
  }

  [[nodiscard]] std::string encode() const;
  [[nodiscard]] static std::optional<device_log> decode(std::string_view value);

private:
  void expect_link(uint64_t sequence, const digest& link, const digest& hash);

  std::vector<run> runs_;
  uint64_t broken_at_ = 0;
};

} // namespace datamesh::storage
