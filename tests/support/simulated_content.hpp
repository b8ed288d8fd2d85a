// The bytes of one simulated file, twice: as the running system sees them and as
// the disk has them. Between two syncs the changes are kept, so that a power loss
// can let any of them survive, whole or torn at 512 bytes.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace datamesh::test {

/// What a power loss lets survive of that which was not synced.
enum class survival : uint8_t {
  nothing,
  everything,
  prefix, ///< All up to some change, the one behind it torn.
  subset, ///< Any.
};

using chance = std::mt19937_64;

/// Pages are shared between copies until they are written.
class simulated_pages {
public:
  static constexpr uint64_t page_size = 4096;

  [[nodiscard]] uint64_t size() const noexcept {
    return size_;
  }
  [[nodiscard]] bool has_page(uint64_t index) const {
    return pages_.count(index) != 0;
  }
  [[nodiscard]] size_t read(uint64_t offset, byte_span out) const;
  /// The size grows when *data* ends behind it.
  void write(uint64_t offset, byte_view data);
  void resize(uint64_t size);
  /// Takes over the page with that number, or its absence.
  void copy_page(uint64_t index, const simulated_pages& from);
  void set_size(uint64_t size) noexcept {
    size_ = size;
  }
  [[nodiscard]] uint64_t next_data(uint64_t offset) const;
  [[nodiscard]] uint64_t next_hole(uint64_t offset) const;
  /// Pages with a number of at least *first*.
  [[nodiscard]] uint64_t count_pages(uint64_t first = 0) const;

private:
  using page = std::array<std::byte, page_size>;
  std::map<uint64_t, std::shared_ptr<page>> pages_;
  uint64_t size_ = 0;
};

/// Thread rule: that of the file system that owns it.
class simulated_content {
public:
  /// As the running system sees it.
  [[nodiscard]] const simulated_pages& now() const noexcept {
    return now_;
  }
  [[nodiscard]] const simulated_pages& durable() const noexcept {
    return durable_;
  }

  /// Writes until *free_pages* fresh pages are used up; answers the bytes written.
  size_t write(uint64_t offset, byte_view data, uint64_t free_pages);
  void resize(uint64_t size);
  /// Sets room aside for the first *size* bytes.
  void reserve(uint64_t size);
  /// Pages that it takes on disk, with those set aside.
  [[nodiscard]] uint64_t pages_used() const;

  /// All is durable.
  void sync();
  /// A sync that failed: each change reached the disk or not, and the system
  /// believes that all did.
  void fail_sync(chance& dice);
  /// The power goes: what survives is all there is.
  void crash(survival mode, chance& dice);
  /// Only what is durable.
  void forget_changes();
  /// The medium itself changes. @pre within the size
  void damage(uint64_t offset, byte_view data);

private:
  struct change {
    uint64_t offset;
    std::vector<std::byte> data; ///< Empty for a resize.
    bool resize;
    uint64_t size_after;
  };
  void apply(const std::vector<change>& changes, survival mode, chance& dice);
  simulated_pages now_;
  simulated_pages durable_;
  std::vector<change> unsynced_;
  uint64_t reserved_pages_ = 0;
};

} // namespace datamesh::test
