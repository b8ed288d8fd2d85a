#include "network/guest_ranges.hpp"

namespace datamesh::network {

namespace {

constexpr size_t page = 256;

/// Tickets from behind *after* up to a pack, a page at a time.
class ticket_walk {
public:
  ticket_walk(const guest_store& guests, const vault_id& owner, std::optional<shard_key> after, const pack_id& last)
      : guests_(guests), owner_(owner), after_(std::move(after)), last_(last) {}

  /// None behind the last.
  result<ticket*> look() {
    if (at_ == page_.size() && !at_end_)
      if (auto read = read_page(); !read)
        return fail(read.error());
    return at_ == page_.size() || last_ < page_[at_].shard.pack ? nullptr : &page_[at_];
  }
  void pass() {
    ++at_;
  }

private:
  result<void> read_page() {
    auto read = guests_.list(owner_, after_, page);
    if (!read)
      return fail(read.error());
    page_ = std::move(*read);
    at_ = 0;
    at_end_ = page_.size() < page;
    if (!page_.empty())
      after_ = page_.back().shard;
    return {};
  }

  const guest_store& guests_;
  vault_id owner_;
  std::optional<shard_key> after_;
  pack_id last_;
  std::vector<ticket> page_;
  size_t at_ = 0;
  bool at_end_ = false;
};

} // namespace

result<std::vector<ticket>> list_range(const guest_store& guests, const vault_id& owner, const pack_range& range) {
  std::vector<ticket> all;
  ticket_walk walk{guests, owner, before(range), last_of(range)};
  for (;;) {
    auto one = walk.look();
    if (!one)
      return fail(one.error());
    if (*one == nullptr)
      return all;
    all.push_back(std::move(**one));
    walk.pass();
  }
}

result<std::vector<std::optional<digest>>> digest_ranges(const guest_store& guests, const vault_id& owner, const pack_range& first,
                                                         size_t count, size_t most) {
  std::vector<std::optional<digest>> digests(count);
  auto final_one = static_cast<uint32_t>(first.number + count - 1);
  ticket_walk walk{guests, owner, before(first), last_of({first.bits, final_one})};
  size_t read = 0;
  for (size_t i = 0; i < count; ++i) {
    std::vector<ticket> of_this;
    auto last = last_of({first.bits, static_cast<uint32_t>(first.number + i)});
    for (;;) {
      auto one = walk.look();
      if (!one)
        return fail(one.error());
      if (*one == nullptr || last < (*one)->shard.pack)
        break;
      if (++read > most)
        return digests;
      of_this.push_back(std::move(**one));
      walk.pass();
    }
    digests[i] = digest_of(of_this);
  }
  return digests;
}

} // namespace datamesh::network
