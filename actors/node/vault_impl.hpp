// A vault of this process behind its handle.
#pragma once

#include "node/door.hpp"
#include "node/vault_runtime.hpp"

namespace datamesh {

class local_vault final : public vault_door {
public:
  explicit local_vault(std::shared_ptr<vault_runtime> runtime) : runtime_(std::move(runtime)) {}

  [[nodiscard]] const std::string& name() const noexcept override;
  [[nodiscard]] const vault_id& id() const noexcept override;

  [[nodiscard]] result<put_summary> put(const put_request& what, const job_options& job) override;
  void put(put_request what, completion<put_summary> done, job_options job) override;
  [[nodiscard]] result<put_summary> put(const put_stream_request& what, const job_options& job) override;
  void put(put_stream_request what, completion<put_summary> done, job_options job) override;
  [[nodiscard]] result<get_summary> get(const get_request& what, const job_options& job) override;
  void get(get_request what, completion<get_summary> done, job_options job) override;
  [[nodiscard]] result<get_summary> get(const std::string& path, std::shared_ptr<sink> to, byte_range range,
                                        std::optional<version_id> version, const job_options& job) override;
  void get(std::string path, std::shared_ptr<sink> to, byte_range range, std::optional<version_id> version, completion<get_summary> done,
           job_options job) override;

  [[nodiscard]] result<list_page> list(const list_request& what) const override;
  [[nodiscard]] result<entry> info(const std::string& path) const override;
  [[nodiscard]] result<std::vector<version_entry>> versions(const std::string& path) const override;
  [[nodiscard]] result<change_result> remove(const std::string& path, bool recursive) override;
  [[nodiscard]] result<change_result> move(const std::string& from, const std::string& to, if_exists conflict) override;
  [[nodiscard]] result<change_result> copy(const std::string& from, const std::string& to, if_exists conflict) override;
  [[nodiscard]] result<change_result> make_folder(const std::string& path) override;
  [[nodiscard]] result<change_result> set_tag(const std::string& path, const std::string& key, std::optional<std::string> value) override;
  [[nodiscard]] result<change_result> revert(const std::string& path, const version_id& version) override;
  [[nodiscard]] result<std::vector<std::pair<entry, int64_t>>> trash() const override;
  [[nodiscard]] result<change_result> restore_from_trash(const node_id& node, const std::string& target_path) override;
  [[nodiscard]] result<void> flush() override;

  [[nodiscard]] result<vault_stats> stats() const override;
  [[nodiscard]] result<status_report> status() const override;
  [[nodiscard]] result<verify_summary> verify(const verify_request& what, const job_options& job) override;
  [[nodiscard]] result<cleanup_summary> cleanup(const cleanup_request& what, const job_options& job) override;
  [[nodiscard]] result<rebalance_summary> rebalance(bool dry_run, const job_options& job) override;
  [[nodiscard]] result<loss_report> foresee_loss(const std::vector<drive_id>& drives) const override;
  [[nodiscard]] result<distribution_report> distribution(const distribution_request& what) const override;

  [[nodiscard]] result<std::vector<key_lock>> key_locks() const override;
  [[nodiscard]] result<bytes> key_file() const override;
  [[nodiscard]] result<void> change_password(const credential& next) override;
  [[nodiscard]] result<std::string> add_recovery_phrase() override;
  [[nodiscard]] result<void> trust_this_device() override;
  [[nodiscard]] result<void> remove_key_lock(uint32_t number) override;
  [[nodiscard]] result<uint32_t> rotate_epoch() override;

private:
  std::shared_ptr<vault_runtime> runtime_;
};

/// Locks as the facade shows them.
[[nodiscard]] std::vector<key_lock> describe(const std::vector<crypto::lock_facts>& locks);

} // namespace datamesh
