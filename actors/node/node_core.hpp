// What a node consists of, behind the facade: the actor system, the drives, and the
// vaults that are open. Shared by the facade's handles; ends with the last of them.
#pragma once

#include "base/memory_budget.hpp"
#include "crypto/key_file.hpp"
#include "datamesh/node.hpp"
#include "network/shard_ticket.hpp"
#include "node/event_hub.hpp"
#include "node/home.hpp"
#include "node/supervisor_actor.hpp"
#include "storage/job.hpp"
#include "storage/vault_context.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

namespace datamesh {

class vault_runtime;

class guest_host;

namespace network {
class line_pace;
class mesh_member;
class peer_access;
class recovery_keeper;
struct recovery_node;
} // namespace network

/// How long an actor may take to close.
inline constexpr auto close_timeout = std::chrono::seconds{30};

class node_core : public std::enable_shared_from_this<node_core> {
public:
  [[nodiscard]] static result<std::shared_ptr<node_core>> open(node_options options, bool create);
  ~node_core();

  node_options options;
  environment env;
  node_home home;
  std::shared_ptr<event_hub> events;
  std::shared_ptr<memory_budget> budget;
  std::shared_ptr<storage::memory_holders> holders = std::make_shared<storage::memory_holders>();
  std::shared_ptr<storage::drive_table> drives = std::make_shared<storage::drive_table>();
  /// Drives that are room on other nodes ask by it.
  std::shared_ptr<network::peer_access> peers;
  std::shared_ptr<storage::read_pace> pace;
  std::shared_ptr<buffer_pool> segment_pool;
  std::shared_ptr<buffer_pool> pack_pool;
  std::shared_ptr<storage::read_cache> cache;

  [[nodiscard]] caf::actor_system& system() {
    return *system_;
  }
  [[nodiscard]] uint64_t next_job() {
    return ++jobs_;
  }

  // -- drives ------------------------------------------------------------------------
  [[nodiscard]] result<drive_report> add_drive(const std::string& folder, bool adopt);
  [[nodiscard]] result<void> remove_drive(const std::string& which, bool force);
  [[nodiscard]] result<void> set_drive_state(const std::string& which, storage::drive_state state);
  /// See `node::label_drive`.
  [[nodiscard]] result<drive_report> label_drive(const std::string& which, const drive_label_change& change);
  /// See `node::set_rule`.
  [[nodiscard]] result<void> set_rule(const placement_rule& rule);
  [[nodiscard]] std::vector<drive_report> reports() const;
  [[nodiscard]] std::vector<drive_id> drives_in_service() const;

  // -- the mesh ----------------------------------------------------------------------
  /// Looks what the nodes that are drives keep for the vault, which others may have changed.
  void ask_peers(vault_runtime& vault);
  /// Null where this node is in no mesh.
  [[nodiscard]] const network::mesh_member* mesh() const noexcept {
    return mesh_.get();
  }
  /// See `node::reload_members`.
  [[nodiscard]] result<void> reload_members();
  /// See `node::set_rates`.
  [[nodiscard]] result<void> set_rates(const rate_plan& plan);
  /// See `node::measure_line`.
  [[nodiscard]] result<line_report> measure_line(const peer_id& peer, const line_test& how, const job_options& job);
  /// What it keeps for others.
  [[nodiscard]] guest_host& guests() const noexcept {
    return *guests_;
  }

  // -- vaults ------------------------------------------------------------------------
  [[nodiscard]] result<created_vault> create_vault(const new_vault& what);
  /// Opens it, or shares it when it is open. Where a rebuild of its catalog was
  /// interrupted, that is done first.
  [[nodiscard]] result<std::shared_ptr<vault_runtime>> open_vault(const std::string& name, const credential& with);
  /// Throws the catalog away and makes it again. Interrupted, it goes on when the
  /// vault is opened next.
  [[nodiscard]] result<rebuild_summary> rebuild_catalog(const std::string& name, const credential& with, const job_options& job);
  [[nodiscard]] result<rebuild_summary> restore_vault(const std::string& name, const bytes& key_file, const credential& with,
                                                      const job_options& job);
  /// Of what the mesh keeps for who has the phrase.
  [[nodiscard]] result<recover_summary> recover_vault(const std::string& name, const credential& phrase, const job_options& job);
  /// From now on the mesh keeps what brings back the vault of these keys, where data of it is on
  /// other nodes.
  void offer_recovery(const crypto::key_file& keys);
  /// The vault of that key file was destroyed.
  void withdraw_recovery(byte_view key_file);
  [[nodiscard]] recovery_report recovery_of(const vault_id& vault) const;
  /// Removes key and catalog, then the shards when *with* is given.
  [[nodiscard]] result<destroy_summary> destroy_vault(const std::string& name, const credential* with, const job_options& job);
  /// Removes what is left of destroyed vaults, of *name* or of all, from drives that are there.
  [[nodiscard]] result<destroy_summary> remove_leftovers(const std::optional<std::string>& name, const job_options& job);
  /// Also while it closes.
  [[nodiscard]] bool is_open(const std::string& name);
  void closed(const std::string& name);
  [[nodiscard]] result<crypto::unlocker> unlocker_for(const credential& with);

private:
  node_core(node_options o, environment e);
  [[nodiscard]] storage::drive_entry start_drive(const known_drive& known, bool take_over = false);
  [[nodiscard]] result<std::shared_ptr<storage::shard_place>> open_place(const known_drive& known, bool take_over);
  [[nodiscard]] result<storage::drive_entry> reach_peer(const peer_id& peer, const std::string& folder);
  [[nodiscard]] result<drive_report> add_peer(const std::string& folder);
  [[nodiscard]] result<std::vector<std::string>> add_peers(const std::vector<peer_id>& peers, const job_options& job,
                                                           std::vector<std::string>& away);
  [[nodiscard]] result<void> check_not_here(const vault_id& vault, const char* attempt, const std::string& name) const;
  [[nodiscard]] result<uint64_t> relist(const storage::drive_entry& drive, const vault_id& vault);
  [[nodiscard]] result<uint64_t> relist_until(clock::monotonic_time until, const storage::drive_entry& drive, const vault_id& vault);
  void name_peers(const std::vector<std::string>& folders);
  void name_peers(const storage::drive_table::list& list);
  [[nodiscard]] drive_report report_of(const storage::drive_entry& drive) const;
  void tell_vaults(const drive_id& drive, bool holds, std::unique_lock<std::mutex>& guard);
  void start_supervisor();
  void start_recovery();
  [[nodiscard]] std::vector<network::recovery_node> peers_that_are_drives() const;
  void tell_node(const std::string& subject, severity level, std::string detail, std::optional<errc> code);
  void make_guests();
  [[nodiscard]] result<void> start_mesh();
  void drive_fell(const drive_id& id, const std::string& why);
  [[nodiscard]] bool restart_drive(const drive_id& id);
  [[nodiscard]] result<void> check_no_guests(const storage::drive_entry& drive);
  [[nodiscard]] result<void> check_unused(const storage::drive_entry& drive, const std::vector<std::shared_ptr<vault_runtime>>& vaults);
  void hold_leaving(const drive_id& id, bool leaving);
  [[nodiscard]] std::optional<drive_id> draining_at(const std::string& folder) const;
  [[nodiscard]] result<drive_report> end_draining(const drive_id& id);
  void report_drive(const storage::drive_entry& drive, severity level, std::string detail, std::optional<errc> code);
  [[nodiscard]] storage::drive_table::list start_drives(const std::vector<known_drive>& known, const storage::label_table& labels);
  void stop_drives(const storage::drive_table::list& list);
  [[nodiscard]] result<storage::drive_entry> find_drive(const std::string& which) const;
  /// A catalog that is made of no drive would be an empty one.
  [[nodiscard]] result<void> check_drives(const std::string& name) const;
  [[nodiscard]] result<crypto::key_file> unlock(const std::string& name, const credential& with);
  [[nodiscard]] result<std::shared_ptr<vault_runtime>> start_rebuilding(const std::string& name, crypto::key_file keys,
                                                                        const job_options& job, rebuild_summary& summary,
                                                                        bool knows_all = false);
  [[nodiscard]] result<std::set<vault_id>> vaults_here() const;
  /// Answers the vault, and what signs for it without being opened.
  [[nodiscard]] result<std::pair<vault_id, network::word_signer>> list_shards(const std::string& name, const credential& with,
                                                                              const job_options& job);
  [[nodiscard]] result<void> save_drives(const storage::drive_table::list& list);
  [[nodiscard]] result<void> save_labels(const storage::drive_table::list& list);

  std::unique_ptr<caf::actor_system_config> config_ = std::make_unique<caf::actor_system_config>();
  std::unique_ptr<caf::actor_system> system_;
  std::atomic<bool> kept_threads_ = false; ///< By a drive that owes an answer.
  supervisor_actor supervisor_;
  std::unique_ptr<guest_host> guests_;
  std::shared_ptr<network::line_pace> pace_;
  std::mutex rates_mutex_; ///< One at a time sets them.
  std::unique_ptr<network::mesh_member> mesh_;
  std::unique_ptr<network::recovery_keeper> recovery_;
  device_id device_; ///< Zero where the home is read-only and has none yet.
  std::unique_ptr<file_lock> lock_;
  std::mutex mutex_;
  std::mutex removal_mutex_; ///< One at a time removes what destroyed vaults left.
  std::condition_variable vault_closed_;
  std::map<std::string, std::weak_ptr<vault_runtime>> open_; ///< Until it is closed.
  std::atomic<uint64_t> jobs_ = 0;
};

} // namespace datamesh
