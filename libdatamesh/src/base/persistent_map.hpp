// A sorted map of byte strings whose copies share structure: copying is one
// pointer, changing a copy leaves all others as they are. A treap (Seidel and
// Aragon 1996) with path copying; a key's rank is a hash of it, so equal maps
// have equal shapes whatever the history.
//
// Thread rule: a value like `std::shared_ptr`; different copies may be used on
// different threads.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace datamesh {

class persistent_map {
public:
  using visitor = std::function<bool(std::string_view key, std::string_view value)>;

  /// The value of *key*, or null.
  [[nodiscard]] const std::string* find(std::string_view key) const noexcept {
    auto at = root_.get();
    while (at != nullptr) {
      auto order = key.compare(at->pair->key);
      if (order == 0)
        return &at->pair->value;
      at = (order < 0 ? at->left : at->right).get();
    }
    return nullptr;
  }

  void put(std::string_view key, std::string_view value) {
    root_ = put(root_, std::make_shared<const row>(row{std::string{key}, std::string{value}}), rank_of(key));
  }

  void erase(std::string_view key) {
    if (find(key) != nullptr)
      root_ = erase(root_, key);
  }

  /// Visits [first, last) in order until *visit* answers false; an empty *last*
  /// is no bound.
  void scan(std::string_view first, std::string_view last, const visitor& visit) const {
    walk(root_.get(), first, last, visit);
  }

  [[nodiscard]] friend bool operator==(const persistent_map& lhs, const persistent_map& rhs) noexcept {
    return equal(lhs.root_.get(), rhs.root_.get());
  }

private:
  struct row {
    std::string key;
    std::string value;
  };

  struct node;
  using link = std::shared_ptr<const node>;

  struct node {
    std::shared_ptr<const row> pair;
    uint64_t rank;
    link left;
    link right;
  };

  /// FNV-1a, then the finalizer of splitmix64.
  static uint64_t rank_of(std::string_view key) noexcept {
    uint64_t hash = 0xcbf29ce484222325;
    for (unsigned char one : key)
      hash = (hash ^ one) * 0x100000001b3;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
    return hash ^ (hash >> 31);
  }

  static bool above(uint64_t rank, std::string_view key, const node& other) noexcept {
    return rank != other.rank ? rank > other.rank : key < other.pair->key;
  }

  static link make(const node& like, link left, link right) {
    return std::make_shared<const node>(node{like.pair, like.rank, std::move(left), std::move(right)});
  }

  static link put(const link& at, std::shared_ptr<const row> pair, uint64_t rank) {
    if (at == nullptr)
      return std::make_shared<const node>(node{std::move(pair), rank, nullptr, nullptr});
    auto order = pair->key.compare(at->pair->key);
    if (order == 0)
      return std::make_shared<const node>(node{std::move(pair), rank, at->left, at->right});
    if (above(rank, pair->key, *at)) {
      auto [left, right] = split(at, pair->key);
      return std::make_shared<const node>(node{std::move(pair), rank, std::move(left), std::move(right)});
    }
    if (order < 0)
      return make(*at, put(at->left, std::move(pair), rank), at->right);
    return make(*at, at->left, put(at->right, std::move(pair), rank));
  }

  /// Those below *key* and those above it; the key itself is not there, for its
  /// rank would have put it higher up.
  static std::pair<link, link> split(const link& at, std::string_view key) {
    if (at == nullptr)
      return {};
    if (key < at->pair->key) {
      auto [left, right] = split(at->left, key);
      return {std::move(left), make(*at, std::move(right), at->right)};
    }
    auto [left, right] = split(at->right, key);
    return {make(*at, at->left, std::move(left)), std::move(right)};
  }

  static link merge(const link& left, const link& right) {
    if (left == nullptr)
      return right;
    if (right == nullptr)
      return left;
    if (above(left->rank, left->pair->key, *right))
      return make(*left, left->left, merge(left->right, right));
    return make(*right, merge(left, right->left), right->right);
  }

  static link erase(const link& at, std::string_view key) {
    auto order = key.compare(at->pair->key);
    if (order == 0)
      return merge(at->left, at->right);
    if (order < 0)
      return make(*at, erase(at->left, key), at->right);
    return make(*at, at->left, erase(at->right, key));
  }

  static bool walk(const node* at, std::string_view first, std::string_view last, const visitor& visit) {
    if (at == nullptr)
      return true;
    std::string_view key = at->pair->key;
    if (key < first)
      return walk(at->right.get(), first, last, visit);
    if (!walk(at->left.get(), first, last, visit))
      return false;
    if (!last.empty() && key >= last)
      return false;
    return visit(key, at->pair->value) && walk(at->right.get(), first, last, visit);
  }

  static bool equal(const node* lhs, const node* rhs) noexcept {
    if (lhs == rhs)
      return true;
    return lhs != nullptr && rhs != nullptr && lhs->pair->key == rhs->pair->key && lhs->pair->value == rhs->pair->value
           && equal(lhs->left.get(), rhs->left.get()) && equal(lhs->right.get(), rhs->right.get());
  }

  link root_;
};

} // namespace datamesh
