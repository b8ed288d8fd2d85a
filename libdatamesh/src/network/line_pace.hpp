// What the line of a node may take, by the plan of its operator, and what it took.
//
// Thread rule: any thread.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/mesh.hpp"

#include <atomic>
#include <mutex>

namespace datamesh::network {

class line_pace {
public:
  explicit line_pace(rate_plan plan) : plan_(std::move(plan)) {}

  void set(rate_plan plan);
  [[nodiscard]] rate_limits limits(clock::wall_time now) const;
  [[nodiscard]] traffic_report report(clock::wall_time now) const;
  /// Grows with each `set`.
  [[nodiscard]] uint64_t version() const noexcept {
    return version_;
  }
  void sent(uint64_t bytes) noexcept {
    sent_ += bytes;
  }
  void received(uint64_t bytes) noexcept {
    received_ += bytes;
  }

private:
  mutable std::mutex mutex_;
  rate_plan plan_;
  std::atomic<uint64_t> version_ = 0;
  std::atomic<uint64_t> sent_ = 0;
  std::atomic<uint64_t> received_ = 0;
};

} // namespace datamesh::network
