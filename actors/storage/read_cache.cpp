#include "storage/read_cache.hpp"

#include <algorithm>

namespace datamesh::storage {

namespace {

constexpr uint64_t slab_min = 1 << 20;
constexpr uint64_t slabs_max = 64;

/// What a request for memory that may not wait has become.
struct hasty_request {
  std::mutex mutex;
  std::optional<memory_budget::reservation> got;
  bool too_late = false;
};

} // namespace

std::optional<memory_budget::reservation> reserve_now(memory_budget& budget, uint64_t size) {
  if (budget.in_use() + size > budget.limit())
    return std::nullopt;
  auto request = std::make_shared<hasty_request>();
  auto asked = budget.reserve(size, [request](memory_budget::reservation granted) {
    // Who is served too late gives it back at once.
    std::lock_guard guard{request->mutex};
    if (!request->too_late)
      request->got.emplace(std::move(granted));
  });
  std::lock_guard guard{request->mutex};
  request->too_late = true;
  return asked ? std::exchange(request->got, std::nullopt) : std::nullopt;
}

read_cache::read_cache(std::shared_ptr<memory_budget> budget, uint64_t seed)
    : budget_(std::move(budget)), limit_max_(budget_->limit() / 3), slab_(std::max(slab_min, limit_max_ / slabs_max)),
      cache_(limit_max_, seed) {
  cache_.set_limit(0);
}

uint64_t read_cache::held() const {
  return slabs_.size() * slab_;
}

uint64_t read_cache::reserved() const {
  std::lock_guard guard{mutex_};
  return held();
}

void read_cache::grow() {
  while (held() + slab_ <= limit_max_) {
    auto more = reserve_now(*budget_, slab_);
    if (!more)
      break;
    slabs_.push_back(std::move(*more));
  }
  cache_.set_limit(held());
}

read_cache::found read_cache::find(const chunk_key& key, bool counts) {
  std::lock_guard guard{mutex_};
  auto used = cache_.current().ahead_used;
  auto plain = cache_.find(key, counts);
  return {std::move(plain), cache_.current().ahead_used > used};
}

bool read_cache::holds(const chunk_key& key) const {
  std::lock_guard guard{mutex_};
  return cache_.holds(key);
}

void read_cache::insert(const chunk_key& key, const bytes& plain, chunk_cache::origin from) {
  std::lock_guard guard{mutex_};
  grow();
  (void) cache_.insert(key, plain, from);
}

void read_cache::forget(const vault_id& vault) {
  std::lock_guard guard{mutex_};
  cache_.forget(vault);
}

uint64_t read_cache::room_ahead() const {
  std::lock_guard guard{mutex_};
  auto free = budget_->limit() - std::min(budget_->limit(), budget_->in_use());
  return chunk_cache::ahead_share(std::min(limit_max_, held() + free));
}

void read_cache::give_way(uint64_t size) {
  std::vector<memory_budget::reservation> freed;
  std::lock_guard guard{mutex_};
  auto wanted = budget_->in_use() + size;
  auto lacking = wanted - std::min(wanted, budget_->limit());
  auto count = std::min<uint64_t>(slabs_.size(), lacking / slab_ + (lacking % slab_ > 0 ? 1 : 0));
  for (; count > 0; --count) {
    freed.push_back(std::move(slabs_.back()));
    slabs_.pop_back();
  }
  cache_.set_limit(held());
}

chunk_cache::figures read_cache::current() const {
  std::lock_guard guard{mutex_};
  return cache_.current();
}

} // namespace datamesh::storage
