#include "network/guest_twins.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

constexpr size_t page = 1024;

/// The keys of one drive's tickets, in order.
class key_walk {
public:
  explicit key_walk(const guest_drive& of) : of_(of), from_(1, ticket_prefix) {}

  /// None behind the last.
  result<const std::string*> look() {
    if (at_ == keys_.size() && !at_end_)
      if (auto read = read_page(); !read)
        return fail(read.error());
    return at_ < keys_.size() ? &keys_[at_] : nullptr;
  }
  void pass() {
    ++at_;
  }

private:
  result<void> read_page() {
    keys_.clear();
    at_ = 0;
    auto scanned = of_.rows->scan(from_, prefix_end(std::string(1, ticket_prefix)), [&](std::string_view key, std::string_view) {
      keys_.emplace_back(key);
      return keys_.size() < page;
    });
    if (!scanned)
      return fail(scanned.error().within("look for shards that are kept twice", of_.shards->folder()));
    at_end_ = keys_.size() < page;
    if (!at_end_)
      from_ = keys_.back() + '\0';
    return {};
  }

  const guest_drive& of_;
  std::string from_;
  std::vector<std::string> keys_;
  size_t at_ = 0;
  bool at_end_ = false;
};

} // namespace

result<void> find_twins(std::span<const guest_drive> drives,
                        const std::function<result<void>(const std::string& ticket_key, const std::vector<size_t>& at)>& found) {
  std::vector<key_walk> walks{drives.begin(), drives.end()};
  for (;;) {
    const std::string* least = nullptr;
    for (auto& walk : walks) {
      auto key = walk.look();
      if (!key)
        return fail(key.error());
      if (*key != nullptr && (least == nullptr || **key < *least))
        least = *key;
    }
    if (least == nullptr)
      return {};
    auto key = *least;
    std::vector<size_t> at;
    for (size_t i = 0; i < walks.size(); ++i) {
      auto its = walks[i].look();
      if (!its)
        return fail(its.error());
      if (*its == nullptr || **its != key)
        continue;
      at.push_back(i);
      walks[i].pass();
    }
    if (at.size() > 1)
      if (auto done = found(key, at); !done)
        return done;
  }
}

} // namespace datamesh::network
