#include "tests/support/simulated_content.hpp"

#include <algorithm>
#include <cstring>

namespace datamesh::test {

namespace {

constexpr uint64_t page_size = simulated_pages::page_size;
constexpr uint64_t sector = 512;

uint64_t pages_of(uint64_t size) {
  return size / page_size + (size % page_size != 0 ? 1 : 0);
}

// Calls *visit* with each part of a range that lies in one block.
template <class Visit>
void for_each_block(uint64_t offset, uint64_t size, uint64_t block, Visit visit) {
  for (uint64_t done = 0; done < size;) {
    auto at = offset + done;
    auto count = std::min(size - done, block - at % block);
    visit(at, done, count);
    done += count;
  }
}

} // namespace

size_t simulated_pages::read(uint64_t offset, byte_span out) const {
  if (offset >= size_)
    return 0;
  auto size = std::min<uint64_t>(out.size(), size_ - offset);
  for_each_block(offset, size, page_size, [&](uint64_t at, uint64_t done, uint64_t count) {
    auto found = pages_.find(at / page_size);
    if (found == pages_.end())
      std::memset(out.data() + done, 0, count);
    else
      std::memcpy(out.data() + done, found->second->data() + at % page_size, count);
  });
  return size;
}

void simulated_pages::write(uint64_t offset, byte_view data) {
  for_each_block(offset, data.size(), page_size, [&](uint64_t at, uint64_t done, uint64_t count) {
    auto& target = pages_[at / page_size];
    if (target == nullptr)
      target = std::make_shared<page>();
    else if (target.use_count() > 1)
      target = std::make_shared<page>(*target);
    std::memcpy(target->data() + at % page_size, data.data() + done, count);
  });
  if (!data.empty())
    size_ = std::max(size_, offset + data.size());
}

void simulated_pages::resize(uint64_t size) {
  pages_.erase(pages_.lower_bound(pages_of(size)), pages_.end());
  if (size % page_size != 0 && has_page(size / page_size)) {
    static constexpr page zeros{};
    write(size, byte_view{zeros}.first(page_size - size % page_size));
  }
  size_ = size;
}

void simulated_pages::copy_page(uint64_t index, const simulated_pages& from) {
  auto found = from.pages_.find(index);
  if (found == from.pages_.end())
    pages_.erase(index);
  else
    pages_[index] = found->second;
}

uint64_t simulated_pages::next_data(uint64_t offset) const {
  auto found = pages_.lower_bound(offset / page_size);
  return found == pages_.end() ? size_ : std::min(size_, std::max(offset, found->first * page_size));
}

uint64_t simulated_pages::next_hole(uint64_t offset) const {
  auto index = offset / page_size;
  if (!has_page(index))
    return std::min(size_, offset);
  for (auto at = pages_.find(index); at != pages_.end() && at->first == index; ++at)
    ++index;
  return std::min(size_, index * page_size);
}

uint64_t simulated_pages::count_pages(uint64_t first) const {
  return first == 0 ? pages_.size() : static_cast<uint64_t>(std::distance(pages_.lower_bound(first), pages_.end()));
}

size_t simulated_content::write(uint64_t offset, byte_view data, uint64_t free_pages) {
  size_t room = 0;
  bool full = false;
  for_each_block(offset, data.size(), page_size, [&](uint64_t at, uint64_t, uint64_t count) {
    auto index = at / page_size;
    bool fresh = index >= reserved_pages_ && !now_.has_page(index);
    full = full || (fresh && free_pages == 0);
    if (full)
      return;
    free_pages -= fresh ? 1 : 0;
    room += count;
  });
  auto fitting = data.first(room);
  if (fitting.empty())
    return 0;
  now_.write(offset, fitting);
  unsynced_.push_back({offset, {fitting.begin(), fitting.end()}, false, now_.size()});
  return room;
}

void simulated_content::resize(uint64_t size) {
  if (size < now_.size())
    reserved_pages_ = std::min(reserved_pages_, pages_of(size));
  now_.resize(size);
  unsynced_.push_back({size, {}, true, size});
}

void simulated_content::reserve(uint64_t size) {
  reserved_pages_ = std::max(reserved_pages_, pages_of(size));
}

uint64_t simulated_content::pages_used() const {
  return reserved_pages_ + now_.count_pages(reserved_pages_);
}

void simulated_content::sync() {
  for (const auto& each : unsynced_)
    if (each.resize && each.offset < durable_.size())
      durable_.resize(each.offset);
  for (const auto& each : unsynced_)
    for_each_block(each.offset, each.data.size(), page_size,
                   [&](uint64_t at, uint64_t, uint64_t) { durable_.copy_page(at / page_size, now_); });
  durable_.set_size(now_.size());
  unsynced_.clear();
}

void simulated_content::fail_sync(chance& dice) {
  apply(unsynced_, survival::subset, dice);
  unsynced_.clear();
}

void simulated_content::crash(survival mode, chance& dice) {
  apply(unsynced_, mode, dice);
  forget_changes();
}

void simulated_content::forget_changes() {
  unsynced_.clear();
  now_ = durable_;
  reserved_pages_ = 0;
}

void simulated_content::damage(uint64_t offset, byte_view data) {
  now_.write(offset, data);
  if (offset < durable_.size())
    durable_.write(offset, data.first(std::min<uint64_t>(data.size(), durable_.size() - offset)));
}

// Sizes are journaled by real file systems and so survive in order; data does not.
void simulated_content::apply(const std::vector<change>& changes, survival mode, chance& dice) {
  auto kept = mode == survival::nothing ? 0 : mode == survival::everything ? changes.size() : dice() % (changes.size() + 1);
  auto sizes_kept = kept + (mode == survival::prefix && kept < changes.size() ? dice() % 2 : 0);
  auto size = sizes_kept == 0 ? durable_.size() : changes[sizes_kept - 1].size_after;
  for (size_t i = 0; i < changes.size(); ++i) {
    const auto& each = changes[i];
    if (each.resize) {
      if (i < sizes_kept && each.offset < durable_.size())
        durable_.resize(each.offset);
      continue;
    }
    enum { lost, whole, torn } fate = i < kept ? whole : lost;
    if (mode == survival::prefix && i == kept)
      fate = torn;
    if (mode == survival::subset)
      fate = std::array{lost, whole, torn}[dice() % 3];
    if (fate == lost)
      continue;
    for_each_block(each.offset, each.data.size(), sector, [&](uint64_t at, uint64_t done, uint64_t count) {
      if (fate == whole || dice() % 2 == 0)
        durable_.write(at, byte_view{each.data}.subspan(done, count));
    });
  }
  durable_.resize(size);
}

} // namespace datamesh::test
