#include "base/lasting_store.hpp"

#include <mutex>

namespace datamesh {

/// A view of the store that is open; of none, when it could not be opened.
class lasting_store::view : public ordered_view {
public:
  view(std::unique_ptr<ordered_view> inner, std::shared_ptr<std::atomic<size_t>> count, std::string folder)
      : inner_(std::move(inner)), count_(std::move(count)), folder_(std::move(folder)) {
    ++*count_;
  }
  view(const view&) = delete;
  view& operator=(const view&) = delete;
  ~view() override {
    // What keeps the store open goes first.
    inner_.reset();
    --*count_;
  }

  result<std::optional<std::string>> get(std::string_view key) const override {
    if (inner_ == nullptr)
      return fail(errc::unavailable, "read from ordered store", folder_);
    return inner_->get(key);
  }

  result<void> scan(std::string_view first, std::string_view last,
                    const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    if (inner_ == nullptr)
      return fail(errc::unavailable, "scan ordered store", folder_);
    return inner_->scan(first, last, visit);
  }

private:
  std::unique_ptr<ordered_view> inner_;
  std::shared_ptr<std::atomic<size_t>> count_;
  std::string folder_;
};

lasting_store::lasting_store(std::shared_ptr<ordered_store_opener> stores, ordered_store_options options)
    : stores_(std::move(stores)), options_(std::move(options)) {}

lasting_store::~lasting_store() = default;

result<std::unique_ptr<lasting_store>> lasting_store::open(std::shared_ptr<ordered_store_opener> stores, ordered_store_options options) {
  std::unique_ptr<lasting_store> made{new lasting_store{std::move(stores), std::move(options)}};
  auto opened = made->stores_->open(made->options_);
  if (!opened)
    return fail(std::move(opened.error()));
  made->store_ = std::move(*opened);
  made->options_.create_if_missing = false;
  return made;
}

result<void> lasting_store::reopen() {
  std::unique_lock guard{mutex_};
  // Nobody gets a view meanwhile.
  if (*views_ > 0)
    return fail(errc::unavailable, "open anew an ordered store that is being read", options_.folder);
  store_.reset();
  auto opened = stores_->open(options_);
  if (!opened)
    return fail(std::move(opened.error()));
  store_ = std::move(*opened);
  return {};
}

void lasting_store::close() {
  std::unique_lock guard{mutex_};
  store_.reset();
}

template <class Use>
auto lasting_store::with_store(Use use) const -> decltype(use(std::declval<ordered_store&>())) {
  std::shared_lock guard{mutex_};
  if (store_ == nullptr)
    return fail(errc::unavailable, "use ordered store", options_.folder);
  return use(*store_);
}

result<std::optional<std::string>> lasting_store::get(std::string_view key) const {
  return with_store([&](ordered_store& store) { return store.get(key); });
}

result<void> lasting_store::scan(std::string_view first, std::string_view last,
                                 const std::function<bool(std::string_view, std::string_view)>& visit) const {
  return with_store([&](ordered_store& store) { return store.scan(first, last, visit); });
}

result<void> lasting_store::write(const write_batch& batch, durability level) {
  return with_store([&](ordered_store& store) { return store.write(batch, level); });
}

std::unique_ptr<ordered_view> lasting_store::snapshot() const {
  std::shared_lock guard{mutex_};
  return std::make_unique<view>(store_ == nullptr ? nullptr : store_->snapshot(), views_, options_.folder);
}

result<void> lasting_store::check() {
  return with_store([](ordered_store& store) { return store.check(); });
}

result<void> lasting_store::flush() {
  return with_store([](ordered_store& store) { return store.flush(); });
}

bool lasting_store::writable() const {
  std::shared_lock guard{mutex_};
  return store_ != nullptr && store_->writable();
}

uint64_t lasting_store::disk_bytes() const {
  std::shared_lock guard{mutex_};
  return store_ == nullptr ? 0 : store_->disk_bytes();
}

} // namespace datamesh
