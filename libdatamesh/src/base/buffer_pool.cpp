#include "base/buffer_pool.hpp"

#include <new>

namespace datamesh {

namespace {

constexpr std::align_val_t page{4096};

size_t whole_pages(size_t size) {
  constexpr auto mask = static_cast<size_t>(page) - 1;
  return (size + mask) & ~mask;
}

} // namespace

std::shared_ptr<buffer_pool> buffer_pool::make(size_t buffer_size, size_t idle_max) {
  auto pool = std::shared_ptr<buffer_pool>{new buffer_pool{buffer_size, idle_max}};
  // Putting back happens in a deleter and must not allocate.
  pool->idle_.reserve(idle_max);
  return pool;
}

buffer_pool::~buffer_pool() {
  for (auto* memory : idle_)
    ::operator delete(memory, page);
}

buffer_pool::buffer buffer_pool::take() {
  void* memory = nullptr;
  {
    std::lock_guard guard{mutex_};
    if (!idle_.empty()) {
      // The one used last is the likeliest to be in the CPU's cache.
      memory = idle_.back();
      idle_.pop_back();
    }
  }
  if (memory == nullptr)
    memory = ::operator new(whole_pages(buffer_size_), page);
  buffer result;
  result.span_ = {static_cast<std::byte*>(memory), buffer_size_};
  result.owner_ = std::shared_ptr<const void>{memory, [weak = weak_from_this(), memory](const void*) {
                                                if (auto pool = weak.lock())
                                                  pool->put_back(memory);
                                                else
                                                  ::operator delete(memory, page);
                                              }};
  return result;
}

void buffer_pool::put_back(void* memory) {
  {
    std::lock_guard guard{mutex_};
    if (idle_.size() < idle_max_) {
      idle_.push_back(memory);
      return;
    }
  }
  ::operator delete(memory, page);
}

} // namespace datamesh
