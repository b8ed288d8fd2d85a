#include "crypto/merkle.hpp"

#include "crypto/hash.hpp"
#include "tests/libdatamesh/crypto/hex.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::crypto;
using namespace datamesh::test;

namespace {

std::vector<digest> some_leaves(size_t count) {
  std::vector<digest> leaves;
  for (size_t i = 0; i < count; ++i)
    leaves.push_back(merkle_leaf(counting(static_cast<uint8_t>(i), i % 7)));
  return leaves;
}

// RFC 6962, 2.1, word for word: split at the largest power of two below n.
digest root_by_rfc_6962(std::span<const digest> leaves) {
  if (leaves.size() == 1)
    return leaves[0];
  size_t split = 1;
  while (2 * split < leaves.size())
    split *= 2;
  return merkle_node(root_by_rfc_6962(leaves.first(split)), root_by_rfc_6962(leaves.subspan(split)));
}

} // namespace

TEST_CASE("leaves and nodes are hashed with their tag behind the data", "[merkle]") {
  CHECK(merkle_leaf(unhex("010203")) == blake3(unhex("01020300")));
  CHECK(merkle_leaf({}) == blake3(unhex("00")));
  auto a = blake3(unhex("0a"));
  auto b = blake3(unhex("0b"));
  CHECK(merkle_node(a, b) == blake3(unhex(a.hex() + b.hex() + "01")));
  CHECK(merkle_node(a, b) != merkle_node(b, a));
  CHECK(merkle_leaf(unhex(a.hex() + b.hex())) != merkle_node(a, b));
}

TEST_CASE("the tree has the shape of RFC 6962", "[merkle]") {
  for (size_t count = 1; count <= 70; ++count) {
    auto leaves = some_leaves(count);
    CHECK(merkle_root(leaves) == root_by_rfc_6962(leaves));
  }
  CHECK(merkle_root(some_leaves(1)) == some_leaves(1)[0]);
}

TEST_CASE("every leaf's path leads to the root and to no other", "[merkle]") {
  for (size_t count = 1; count <= 33; ++count) {
    auto leaves = some_leaves(count);
    auto root = merkle_root(leaves);
    for (size_t i = 0; i < count; ++i) {
      CAPTURE(count, i);
      auto path = merkle_path(leaves, i);
      CHECK(merkle_verify(root, leaves[i], i, count, path));
      CHECK_FALSE(merkle_verify(blake3(root.view()), leaves[i], i, count, path));
      CHECK_FALSE(merkle_verify(root, blake3(leaves[i].view()), i, count, path));
      CHECK_FALSE(merkle_verify(root, leaves[i], count, count, path));
      CHECK_FALSE(merkle_verify(root, leaves[i], i, 0, path));
      for (size_t other = 0; other < count; ++other)
        if (other != i)
          CHECK_FALSE(merkle_verify(root, leaves[i], other, count, path));
    }
  }
}

TEST_CASE("a path that was cut, extended or changed is refused", "[merkle]") {
  for (size_t count : {2u, 3u, 7u, 8u, 21u}) {
    auto leaves = some_leaves(count);
    auto root = merkle_root(leaves);
    for (size_t i = 0; i < count; ++i) {
      auto path = merkle_path(leaves, i);
      for (size_t size = 0; size < path.size(); ++size)
        CHECK_FALSE(merkle_verify(root, leaves[i], i, count, std::span{path}.first(size)));
      auto longer = path;
      longer.push_back(root);
      CHECK_FALSE(merkle_verify(root, leaves[i], i, count, longer));
      for (auto& sibling : path) {
        sibling.span()[5] ^= std::byte{1};
        CHECK_FALSE(merkle_verify(root, leaves[i], i, count, path));
        sibling.span()[5] ^= std::byte{1};
      }
    }
  }
}

TEST_CASE("an inner node does not pass for a leaf of a smaller tree", "[merkle]") {
  auto leaves = some_leaves(4);
  auto root = merkle_root(leaves);
  std::vector<digest> siblings{merkle_node(leaves[2], leaves[3])};
  auto forged_data = unhex(leaves[0].hex() + leaves[1].hex());
  CHECK_FALSE(merkle_verify(root, merkle_leaf(forged_data), 0, 2, siblings));
}
