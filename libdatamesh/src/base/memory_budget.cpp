#include "base/memory_budget.hpp"

#include <cassert>
#include <utility>

namespace datamesh {

memory_budget::reservation::reservation(reservation&& other) noexcept
    : from_(std::move(other.from_)), size_(std::exchange(other.size_, 0)) {}

memory_budget::reservation& memory_budget::reservation::operator=(reservation&& other) noexcept {
  if (this != &other) {
    reservation old{std::move(*this)};
    from_ = std::move(other.from_);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

memory_budget::reservation::~reservation() {
  if (from_ != nullptr)
    from_->release(size_);
}

std::shared_ptr<memory_budget> memory_budget::make(uint64_t limit_bytes) {
  return std::shared_ptr<memory_budget>{new memory_budget{limit_bytes}};
}

result<void> memory_budget::reserve(uint64_t size, std::function<void(reservation)> granted) {
  if (size > limit_)
    return fail(errc::capacity_exceeded, "reserve " + std::to_string(size) + " bytes of a memory budget of " + std::to_string(limit_));
  {
    std::lock_guard guard{mutex_};
    if (!waiting_.empty() || size > limit_ - used_) {
      waiting_.push_back({size, std::move(granted)});
      return {};
    }
    used_ += size;
  }
  granted(reservation{shared_from_this(), size});
  return {};
}

uint64_t memory_budget::in_use() const {
  std::lock_guard guard{mutex_};
  return used_;
}

void memory_budget::release(uint64_t size) {
  std::unique_lock guard{mutex_};
  assert(used_ >= size);
  used_ -= size;
  // A callback that drops its reservation at once comes back to here. Serving in
  // one loop keeps the order of arrival and the stack flat.
  if (serving_)
    return;
  serving_ = true;
  while (!waiting_.empty() && waiting_.front().size <= limit_ - used_) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    used_ += next.size;
    guard.unlock();
    next.granted(reservation{shared_from_this(), next.size});
    next.granted = nullptr;
    guard.lock();
  }
  serving_ = false;
}

} // namespace datamesh
