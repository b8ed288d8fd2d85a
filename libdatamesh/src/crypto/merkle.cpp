#include "crypto/merkle.hpp"

#include "crypto/hash.hpp"

#include <cassert>

namespace datamesh::crypto {

namespace {

constexpr std::byte leaf_tag{0x00};
constexpr std::byte node_tag{0x01};

// Folds a level in place and answers the number of nodes of the next one.
size_t fold(std::vector<digest>& level, size_t count) {
  for (size_t i = 0; i + 1 < count; i += 2)
    level[i / 2] = merkle_node(level[i], level[i + 1]);
  if (count % 2 == 1)
    level[count / 2] = level[count - 1];
  return count / 2 + count % 2;
}

} // namespace

digest merkle_leaf(byte_view data) {
  return hasher{}.update(data).update({&leaf_tag, 1}).finish();
}

digest merkle_node(const digest& left, const digest& right) {
  std::array<std::byte, 2 * digest::size + 1> both;
  std::copy_n(left.view().begin(), digest::size, both.begin());
  std::copy_n(right.view().begin(), digest::size, both.begin() + digest::size);
  both.back() = node_tag;
  return blake3(both);
}

digest merkle_root(std::span<const digest> leaves) {
  assert(!leaves.empty());
  std::vector<digest> level(leaves.begin(), leaves.end());
  for (auto count = level.size(); count > 1;)
    count = fold(level, count);
  return level.front();
}

std::vector<digest> merkle_path(std::span<const digest> leaves, size_t index) {
  assert(index < leaves.size());
  std::vector<digest> path;
  std::vector<digest> level(leaves.begin(), leaves.end());
  for (auto count = level.size(); count > 1; index /= 2) {
    if ((index ^ 1) < count)
      path.push_back(level[index ^ 1]);
    count = fold(level, count);
  }
  return path;
}

bool merkle_verify(const digest& root, const digest& leaf, size_t index, size_t leaf_count, std::span<const digest> path) {
  if (index >= leaf_count)
    return false;
  auto node = leaf;
  for (auto count = leaf_count; count > 1; count = count / 2 + count % 2, index /= 2) {
    if ((index ^ 1) >= count)
      continue;
    if (path.empty())
      return false;
    node = index % 2 == 0 ? merkle_node(node, path.front()) : merkle_node(path.front(), node);
    path = path.subspan(1);
  }
  return path.empty() && node == root;
}

} // namespace datamesh::crypto
