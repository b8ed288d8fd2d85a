// Random histories of operations, for tests of the fold.
#pragma once

#include "tests/libdatamesh/storage/catalog_fixture.hpp"

#include "crypto/hash.hpp"

namespace datamesh::test {

inline constexpr uint64_t node_count = 14;
inline constexpr uint64_t version_count = 24;
inline constexpr uint64_t chunk_count = 6;

/// Three devices that see each other's operations now and then.
class history {
public:
  explicit history(seeded_random& random) : random_(random) {}

  std::vector<storage::operation> make_operations(size_t count) {
    std::vector<storage::operation> all;
    for (size_t i = 0; i < count; ++i) {
      auto d = random_.below(3);
      if (random_.below(4) == 0)
        lamport_[d] = *std::max_element(lamport_.begin(), lamport_.end());
      auto& op = all.emplace_back();
      op.at = {++lamport_[d], device(d + 1)};
      op.sequence = ++sequence_[d];
      op.wall_ns = static_cast<int64_t>(random_.below(1000));
      op.previous = last_hash_[d];
      op.body = body();
      last_hash_[d] = crypto::blake3(as_view(encode(op)));
    }
    return all;
  }

private:
  node_id some_node() {
    return nth_node(1 + random_.below(node_count));
  }
  version_id some_version() {
    return version(1 + random_.below(version_count));
  }
  node_id some_parent() {
    auto pick = random_.below(10);
    return pick < 2 ? storage::root_node() : pick == 2 ? storage::trash_node() : some_node();
  }
  std::string some_name() {
    static const std::string alias = "a~" + nth_node(3).brief();
    auto pick = random_.below(9);
    return pick < 4 ? "a" : pick < 7 ? "b" : pick == 7 ? "a!" : alias;
  }
  storage::operation_body body() {
    auto pick = random_.below(20);
    if (pick < 9)
      return make(some_node(), some_parent(), some_name(), random_.below(3) ? storage::node_kind::folder : storage::node_kind::file);
    if (pick < 14) {
      std::vector<version_id> replaces;
      for (auto n = random_.below(3); n > 0; --n)
        replaces.push_back(some_version());
      std::vector<chunk_id> chunks;
      for (auto n = random_.below(3); n > 0; --n)
        chunks.push_back(chunk(1 + random_.below(chunk_count)));
      return put(some_node(), some_version(), chunks, replaces);
    }
    if (pick < 15)
      return storage::drop_version{some_node(), some_version()};
    if (pick < 16)
      return storage::purge_node{some_node()};
    auto value = random_.below(3) ? std::optional{std::to_string(random_.below(5))} : std::nullopt;
    return storage::set_tag{some_node(), random_.below(2) ? "k" : "l", value};
  }

  seeded_random& random_;
  std::array<uint64_t, 3> lamport_{};
  std::array<uint64_t, 3> sequence_{};
  std::array<digest, 3> last_hash_{};
};

template <class T>
void shuffle(std::vector<T>& list, seeded_random& random) {
  for (size_t i = list.size(); i > 1; --i)
    std::swap(list[i - 1], list[random.below(i)]);
}

} // namespace datamesh::test
