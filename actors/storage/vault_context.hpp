// What the actors of one opened vault share.
#pragma once

#include "base/memory_budget.hpp"
#include "node/event_hub.hpp"
#include "storage/pack_turns.hpp"
#include "storage/packer_actor.hpp"

#include "storage/memory_holders.hpp"
#include "storage/name_claims.hpp"
#include "storage/read_pace.hpp"
#include "storage/tree_reader.hpp"

#include <map>
#include <shared_mutex>
#include <unordered_set>

namespace datamesh::storage {

/// Longest a single step of a job may take before it is given up.
inline constexpr auto step_timeout = std::chrono::minutes{5};

class range_reader;
class read_cache;

/// What a cleanup is about to forget: nobody brings it back any more. From any thread.
class farewell_list {
public:
  /// While this is held nothing is planned: what is found in the trash or among the versions
  /// may be brought back, unless it is on the list.
  [[nodiscard]] std::shared_lock<std::shared_mutex> hold_plans() const {
    return std::shared_lock{mutex_};
  }
  /// While this is held nothing is brought back.
  [[nodiscard]] std::unique_lock<std::shared_mutex> hold_returns() const {
    return std::unique_lock{mutex_};
  }
  /// @pre `hold_returns`
  void set(const std::vector<operation_body>& forgotten);
  void clear();
  /// @pre `hold_plans`
  [[nodiscard]] bool has(const node_id& node) const {
    return nodes_.count(node) > 0;
  }
  [[nodiscard]] bool has(const version_id& version) const {
    return versions_.count(version) > 0;
  }

private:
  mutable std::shared_mutex mutex_;
  std::unordered_set<node_id> nodes_;
  std::unordered_set<version_id> versions_;
};

struct vault_context {
  environment env;
  std::string name;
  vault_id id;
  std::string home; ///< The node's folder.
  caf::actor_system* sys = nullptr;
  std::shared_ptr<event_hub> events;
  std::shared_ptr<memory_budget> budget;
  std::shared_ptr<memory_holders> holders; ///< Of the budget.
  std::shared_ptr<drive_table> drives;
  std::shared_ptr<read_pace> pace; ///< Of the drives of the node.
  std::shared_ptr<key_holder> keys;
  std::shared_ptr<catalog> names;
  catalog_actor catalog_writer;
  std::shared_ptr<chunk_claims> chunks;
  std::shared_ptr<name_claims> claims;
  std::shared_ptr<codec_context> codec;
  std::shared_ptr<codec_team> team;
  std::shared_ptr<buffer_pool> segment_pool; ///< Plain bytes: 8 MiB each.
  std::shared_ptr<buffer_pool> pack_pool;
  std::shared_ptr<read_cache> cache; ///< Of the node.
  std::shared_ptr<range_reader> ranges;
  /// For what is done without being asked for: the vault awaits such jobs when it closes.
  /// Null when it is closing. Call both only while a job of the vault runs.
  std::function<std::shared_ptr<job>()> begin_job;
  std::function<void(const std::shared_ptr<job>&)> end_job;

  /// Held by cleanup and by whoever writes a checkpoint: parts of one that is not whole
  /// yet look like what an interrupted writer left.
  std::mutex upkeep;
  pack_turns turns; ///< Of repair, rebalance and cleanup.
  farewell_list leaving;

  /// The intake for a policy; started when first asked for.
  [[nodiscard]] packer_actor packer_for(const policy& how);
  /// The node's folder and its drives, as far as they are there.
  [[nodiscard]] std::vector<folder_place> own_folders() const;
  /// All that were started.
  [[nodiscard]] std::vector<packer_actor> packers() const;

private:
  mutable std::mutex mutex_;
  std::map<std::tuple<uint8_t, uint8_t, domain_level>, packer_actor> packers_;
};

inline constexpr size_t segment_size = 8 << 20;
/// Packs of one vault and policy that are in memory together.
inline constexpr size_t pack_buffers_max = 3;

/// The policy named by *text*, or the one for the drives there are.
/// Drives that count for a policy: also those that are away or failed, for they come back or are
/// replaced, but not those that are being drained or that the rule leaves out.
[[nodiscard]] size_t drives_for_policy(const drive_table& drives);
/// `rule_leaves_too_few` where the drives that the rule leaves out are what lacks, `too_few_drives`, `policy_invalid`.
[[nodiscard]] result<policy> choose_policy(const drive_table& drives, std::string_view text);

} // namespace datamesh::storage
