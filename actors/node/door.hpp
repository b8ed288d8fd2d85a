// What stands behind the facade's handles: a node in this process, or one that a
// daemon holds. Members and contracts are those of `datamesh/node.hpp`.
#pragma once

#include "datamesh/node.hpp"

namespace datamesh {

class vault_door {
public:
  virtual ~vault_door() = default;

  [[nodiscard]] virtual const std::string& name() const noexcept = 0;
  [[nodiscard]] virtual const vault_id& id() const noexcept = 0;

  [[nodiscard]] virtual result<put_summary> put(const put_request& what, const job_options& job) = 0;
  virtual void put(put_request what, completion<put_summary> done, job_options job) = 0;
  [[nodiscard]] virtual result<put_summary> put(const put_stream_request& what, const job_options& job) = 0;
  virtual void put(put_stream_request what, completion<put_summary> done, job_options job) = 0;
  [[nodiscard]] virtual result<get_summary> get(const get_request& what, const job_options& job) = 0;
  virtual void get(get_request what, completion<get_summary> done, job_options job) = 0;
  [[nodiscard]] virtual result<get_summary> get(const std::string& path, std::shared_ptr<sink> to, byte_range range,
                                                std::optional<version_id> version, const job_options& job) = 0;
  virtual void get(std::string path, std::shared_ptr<sink> to, byte_range range, std::optional<version_id> version,
                   completion<get_summary> done, job_options job) = 0;

  [[nodiscard]] virtual result<list_page> list(const list_request& what) const = 0;
  [[nodiscard]] virtual result<entry> info(const std::string& path) const = 0;
  [[nodiscard]] virtual result<std::vector<version_entry>> versions(const std::string& path) const = 0;
  [[nodiscard]] virtual result<change_result> remove(const std::string& path, bool recursive) = 0;
  [[nodiscard]] virtual result<change_result> move(const std::string& from, const std::string& to, if_exists conflict) = 0;
  [[nodiscard]] virtual result<change_result> copy(const std::string& from, const std::string& to, if_exists conflict) = 0;
  [[nodiscard]] virtual result<change_result> make_folder(const std::string& path) = 0;
  [[nodiscard]] virtual result<change_result> set_tag(const std::string& path, const std::string& key,
                                                      std::optional<std::string> value) = 0;
  [[nodiscard]] virtual result<change_result> revert(const std::string& path, const version_id& version) = 0;
  [[nodiscard]] virtual result<std::vector<std::pair<entry, int64_t>>> trash() const = 0;
  [[nodiscard]] virtual result<change_result> restore_from_trash(const node_id& node, const std::string& target_path) = 0;
  [[nodiscard]] virtual result<void> flush() = 0;

  [[nodiscard]] virtual result<vault_stats> stats() const = 0;
  [[nodiscard]] virtual result<status_report> status() const = 0;
  [[nodiscard]] virtual result<verify_summary> verify(const verify_request& what, const job_options& job) = 0;
  [[nodiscard]] virtual result<cleanup_summary> cleanup(const cleanup_request& what, const job_options& job) = 0;
  [[nodiscard]] virtual result<rebalance_summary> rebalance(bool dry_run, const job_options& job) = 0;
  [[nodiscard]] virtual result<loss_report> foresee_loss(const std::vector<drive_id>& drives) const = 0;
  [[nodiscard]] virtual result<distribution_report> distribution(const distribution_request& what) const = 0;

  [[nodiscard]] virtual result<std::vector<key_lock>> key_locks() const = 0;
  [[nodiscard]] virtual result<bytes> key_file() const = 0;
  [[nodiscard]] virtual result<void> change_password(const credential& next) = 0;
  [[nodiscard]] virtual result<std::string> add_recovery_phrase() = 0;
  [[nodiscard]] virtual result<void> trust_this_device() = 0;
  [[nodiscard]] virtual result<void> remove_key_lock(uint32_t number) = 0;
  [[nodiscard]] virtual result<uint32_t> rotate_epoch() = 0;
};

/// The inside of a handle.
struct vault::impl {
  std::unique_ptr<vault_door> door;
};

class node_door {
public:
  virtual ~node_door() = default;

  [[nodiscard]] virtual result<drive_report> add_drive(const std::string& folder) = 0;
  [[nodiscard]] virtual result<drive_report> adopt_drive(const std::string& folder) = 0;
  [[nodiscard]] virtual std::vector<drive_report> drives() const = 0;
  [[nodiscard]] virtual result<void> drain_drive(const std::string& drive) = 0;
  [[nodiscard]] virtual result<void> remove_drive(const std::string& drive, bool force) = 0;
  [[nodiscard]] virtual result<drive_report> label_drive(const std::string& drive, const drive_label_change& change) = 0;
  [[nodiscard]] virtual result<void> set_rule(const placement_rule& rule) = 0;
  [[nodiscard]] virtual result<placement_rule> rule() const = 0;

  [[nodiscard]] virtual result<std::optional<mesh_report>> mesh() const = 0;
  [[nodiscard]] virtual result<std::vector<peer_report>> peers() const = 0;
  [[nodiscard]] virtual result<std::vector<neighbour_report>> neighbours() const = 0;
  [[nodiscard]] virtual result<void> set_rates(const rate_plan& plan) = 0;
  [[nodiscard]] virtual result<rate_plan> rates() const = 0;
  [[nodiscard]] virtual result<line_report> measure_line(const peer_id& peer, const line_test& how, const job_options& job) = 0;
  [[nodiscard]] virtual result<void> reload_members() = 0;

  [[nodiscard]] virtual result<void> allow(const vault_id& owner, uint64_t bytes) = 0;
  [[nodiscard]] virtual result<std::vector<room_report>> rooms() const = 0;
  [[nodiscard]] virtual result<void> reserve(uint64_t bytes) = 0;
  [[nodiscard]] virtual result<reserve_report> reserved() const = 0;
  [[nodiscard]] virtual result<void> set_hosting(hosting how) = 0;
  [[nodiscard]] virtual result<hosting> hosts() const = 0;

  [[nodiscard]] virtual result<created_vault> create_vault(const new_vault& what) = 0;
  [[nodiscard]] virtual result<std::vector<vault_facts>> vaults() const = 0;
  [[nodiscard]] virtual result<std::unique_ptr<vault_door>> open_vault(const std::string& name, const credential& with) = 0;
  [[nodiscard]] virtual result<void> destroy_vault(const std::string& name) = 0;
  [[nodiscard]] virtual result<destroy_summary> destroy_vault(const std::string& name, const credential& with, const job_options& job) = 0;
  [[nodiscard]] virtual result<rebuild_summary> rebuild_catalog(const std::string& name, const credential& with,
                                                                const job_options& job) = 0;

  [[nodiscard]] virtual result<rebuild_summary> restore_vault(const std::string& name, const bytes& key_file, const credential& with,
                                                              const job_options& job) = 0;
  [[nodiscard]] virtual result<recover_summary> recover_vault(const std::string& name, const credential& phrase,
                                                              const job_options& job) = 0;

  [[nodiscard]] virtual const std::string& home() const noexcept = 0;
};

/// A node of this process; see `node::open` and `node::create`.
[[nodiscard]] result<std::unique_ptr<node_door>> open_local(node_options options, bool create);

} // namespace datamesh
