// The facade's handles: each call goes through the door behind the handle.
#include "node/door.hpp"

namespace datamesh {

vault::vault(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
vault::vault(vault&&) noexcept = default;
vault& vault::operator=(vault&&) noexcept = default;
vault::~vault() = default;

const std::string& vault::name() const noexcept {
  return impl_->door->name();
}

const vault_id& vault::id() const noexcept {
  return impl_->door->id();
}

result<put_summary> vault::put(const put_request& what, const job_options& job) {
  return impl_->door->put(what, job);
}

void vault::put(put_request what, completion<put_summary> done, job_options job) {
  impl_->door->put(std::move(what), std::move(done), std::move(job));
}

result<put_summary> vault::put(const put_stream_request& what, const job_options& job) {
  return impl_->door->put(what, job);
}

void vault::put(put_stream_request what, completion<put_summary> done, job_options job) {
  impl_->door->put(std::move(what), std::move(done), std::move(job));
}

result<get_summary> vault::get(const get_request& what, const job_options& job) {
  return impl_->door->get(what, job);
}

void vault::get(get_request what, completion<get_summary> done, job_options job) {
  impl_->door->get(std::move(what), std::move(done), std::move(job));
}

result<get_summary> vault::get(const std::string& path, std::shared_ptr<sink> to, byte_range range, std::optional<version_id> version,
                               const job_options& job) {
  return impl_->door->get(path, std::move(to), range, std::move(version), job);
}

void vault::get(std::string path, std::shared_ptr<sink> to, byte_range range, std::optional<version_id> version,
                completion<get_summary> done, job_options job) {
  impl_->door->get(std::move(path), std::move(to), range, std::move(version), std::move(done), std::move(job));
}

result<list_page> vault::list(const list_request& what) const {
  return impl_->door->list(what);
}

result<entry> vault::info(const std::string& path) const {
  return impl_->door->info(path);
}

result<std::vector<version_entry>> vault::versions(const std::string& path) const {
  return impl_->door->versions(path);
}

result<change_result> vault::remove(const std::string& path, bool recursive) {
  return impl_->door->remove(path, recursive);
}

result<change_result> vault::move(const std::string& from, const std::string& to, if_exists conflict) {
  return impl_->door->move(from, to, conflict);
}

result<change_result> vault::copy(const std::string& from, const std::string& to, if_exists conflict) {
  return impl_->door->copy(from, to, conflict);
}

result<change_result> vault::make_folder(const std::string& path) {
  return impl_->door->make_folder(path);
}

result<change_result> vault::set_tag(const std::string& path, const std::string& key, std::optional<std::string> value) {
  return impl_->door->set_tag(path, key, std::move(value));
}

result<change_result> vault::revert(const std::string& path, const version_id& version) {
  return impl_->door->revert(path, version);
}

result<std::vector<std::pair<entry, int64_t>>> vault::trash() const {
  return impl_->door->trash();
}

result<change_result> vault::restore_from_trash(const node_id& node, const std::string& target_path) {
  return impl_->door->restore_from_trash(node, target_path);
}

result<void> vault::flush() {
  return impl_->door->flush();
}

result<vault_stats> vault::stats() const {
  return impl_->door->stats();
}

result<status_report> vault::status() const {
  return impl_->door->status();
}

result<verify_summary> vault::verify(const verify_request& what, const job_options& job) {
  return impl_->door->verify(what, job);
}

result<cleanup_summary> vault::cleanup(const cleanup_request& what, const job_options& job) {
  return impl_->door->cleanup(what, job);
}

result<loss_report> vault::foresee_loss(const std::vector<drive_id>& drives) const {
  return impl_->door->foresee_loss(drives);
}

result<distribution_report> vault::distribution(const distribution_request& what) const {
  return impl_->door->distribution(what);
}

result<rebalance_summary> vault::rebalance(bool dry_run, const job_options& job) {
  return impl_->door->rebalance(dry_run, job);
}

result<std::vector<key_lock>> vault::key_locks() const {
  return impl_->door->key_locks();
}

result<bytes> vault::key_file() const {
  return impl_->door->key_file();
}

result<void> vault::change_password(const credential& next) {
  return impl_->door->change_password(next);
}

result<std::string> vault::add_recovery_phrase() {
  return impl_->door->add_recovery_phrase();
}

result<void> vault::trust_this_device() {
  return impl_->door->trust_this_device();
}

result<void> vault::remove_key_lock(uint32_t number) {
  return impl_->door->remove_key_lock(number);
}

result<uint32_t> vault::rotate_epoch() {
  return impl_->door->rotate_epoch();
}

} // namespace datamesh
