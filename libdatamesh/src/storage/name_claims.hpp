// Gives out names while puts run side by side: two jobs that write to one name at
// the same time meet here, before either is in the catalog. Folders on the way are
// created once.
//
// Thread rule: any thread.
#pragma once

#include "datamesh/base/random_source.hpp"
#include "datamesh/node.hpp"
#include "storage/catalog.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <vector>

namespace datamesh::storage {

class name_claims {
public:
  name_claims(const catalog& names, random_source& random) : names_(names), random_(random) {}

  /// A node that a job writes to. What is not in the catalog yet may never come
  /// there when another job made it, so each job that relies on it is told to.
  struct claim {
    node_id node;
    node_id parent;
    std::string name;   ///< As it will be shown; differs after `rename`.
    bool fresh = false; ///< Not in the catalog yet, nor claimed by this job: a move_node is due.
    std::optional<node_view> existing;
    std::vector<move_node> folders; ///< Due before it, outermost first.
  };

  /// Resolves *path* for a job that writes a node of *kind* there. Folders are
  /// entered, not replaced. `already_exists`, `is_a_folder`, `not_a_folder`,
  /// `name_invalid`.
  [[nodiscard]] result<claim> take(std::string_view path, node_kind kind, if_exists conflict, uint64_t job);

  /// Nothing is written to *what* after all; its folders stay claimed.
  void withdraw(const claim& what, uint64_t job);

  /// *committed* are in the catalog, so nobody needs to be told of the nodes that they place.
  void settle(const std::vector<operation>& committed);

  /// How often something was brought into the trash so far. Where that changed since a claim
  /// was taken, its place may be there, too.
  [[nodiscard]] uint64_t removals() const noexcept {
    return removals_;
  }

  /// *job* ends: what it claimed is in the catalog by now, or never will be.
  void release(uint64_t job);

private:
  struct pending_node {
    node_id node;
    node_kind kind;
    std::set<uint64_t> jobs;
  };
  [[nodiscard]] result<std::optional<pending_node>> find(const node_id& parent, const std::string& name,
                                                         std::optional<node_view>* existing) const;
  [[nodiscard]] result<node_id> enter(const node_id& parent, const std::string& name, uint64_t job, std::vector<move_node>& created);

  /// True when *job* has not claimed that node before and it is not in the catalog.
  [[nodiscard]] bool join(const node_id& parent, const std::string& name, uint64_t job);

  const catalog& names_;
  random_source& random_;
  std::mutex mutex_;
  std::atomic<uint64_t> removals_ = 0;
  std::map<std::pair<node_id, std::string>, pending_node> pending_;
};

/// "name (2).ext" for "name.ext" and 2.
[[nodiscard]] std::string numbered_name(const std::string& name, unsigned number);

/// The names between slashes; empty ones are left out.
[[nodiscard]] std::vector<std::string> split_path(std::string_view path);

} // namespace datamesh::storage
