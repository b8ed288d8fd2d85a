#include "datamesh/node.hpp"

#include "control/remote_node.hpp"
#include "datamesh/version.hpp"
#include "network/mesh_member.hpp"
#include "node/guest_host.hpp"
#include "node/vault_impl.hpp"
#include "node/vault_runtime.hpp"

namespace datamesh {

const char* version() noexcept {
  return DATAMESH_VERSION_TEXT;
}

// -- credential ------------------------------------------------------------------------

credential::credential(enum kind k, std::string_view text) : kind_(k), secret_(as_view(text).begin(), as_view(text).end()) {}

credential::~credential() {
  crypto::wipe(secret_);
}

credential credential::password(std::string_view text) {
  return {kind::password, text};
}

credential credential::recovery_phrase(std::string_view text) {
  return {kind::recovery_phrase, text};
}

credential credential::this_device() {
  return {kind::device, {}};
}

// -- a node of this process -------------------------------------------------------------

namespace {

class local_node final : public node_door {
public:
  explicit local_node(std::shared_ptr<node_core> core) : core_(std::move(core)) {}

  [[nodiscard]] result<drive_report> add_drive(const std::string& folder) override;
  [[nodiscard]] result<drive_report> adopt_drive(const std::string& folder) override;
  [[nodiscard]] std::vector<drive_report> drives() const override;
  [[nodiscard]] result<void> drain_drive(const std::string& drive) override;
  [[nodiscard]] result<void> remove_drive(const std::string& drive, bool force) override;
  [[nodiscard]] result<drive_report> label_drive(const std::string& drive, const drive_label_change& change) override;
  [[nodiscard]] result<void> set_rule(const placement_rule& rule) override;
  [[nodiscard]] result<placement_rule> rule() const override;

  [[nodiscard]] result<std::optional<mesh_report>> mesh() const override;
  [[nodiscard]] result<std::vector<peer_report>> peers() const override;
  [[nodiscard]] result<std::vector<neighbour_report>> neighbours() const override;
  [[nodiscard]] result<void> set_rates(const rate_plan& plan) override;
  [[nodiscard]] result<rate_plan> rates() const override;
  [[nodiscard]] result<line_report> measure_line(const peer_id& peer, const line_test& how, const job_options& job) override;
  [[nodiscard]] result<void> reload_members() override;

  [[nodiscard]] result<void> allow(const vault_id& owner, uint64_t bytes) override;
  [[nodiscard]] result<std::vector<room_report>> rooms() const override;
  [[nodiscard]] result<void> reserve(uint64_t bytes) override;
  [[nodiscard]] result<reserve_report> reserved() const override;
  [[nodiscard]] result<void> set_hosting(hosting how) override;
  [[nodiscard]] result<hosting> hosts() const override;

  [[nodiscard]] result<created_vault> create_vault(const new_vault& what) override;
  [[nodiscard]] result<std::vector<vault_facts>> vaults() const override;
  [[nodiscard]] result<std::unique_ptr<vault_door>> open_vault(const std::string& name, const credential& with) override;
  [[nodiscard]] result<void> destroy_vault(const std::string& name) override;
  [[nodiscard]] result<destroy_summary> destroy_vault(const std::string& name, const credential& with, const job_options& job) override;
  [[nodiscard]] result<rebuild_summary> rebuild_catalog(const std::string& name, const credential& with, const job_options& job) override;
  [[nodiscard]] result<rebuild_summary> restore_vault(const std::string& name, const bytes& key_file, const credential& with,
                                                      const job_options& job) override;
  [[nodiscard]] result<recover_summary> recover_vault(const std::string& name, const credential& phrase, const job_options& job) override;

  [[nodiscard]] const std::string& home() const noexcept override;

private:
  std::shared_ptr<node_core> core_;
};

} // namespace

result<drive_report> local_node::add_drive(const std::string& folder) {
  return core_->add_drive(folder, false);
}

result<drive_report> local_node::adopt_drive(const std::string& folder) {
  return core_->add_drive(folder, true);
}

std::vector<drive_report> local_node::drives() const {
  return core_->reports();
}

result<void> local_node::drain_drive(const std::string& drive) {
  return core_->set_drive_state(drive, storage::drive_state::draining);
}

result<void> local_node::remove_drive(const std::string& drive, bool force) {
  return core_->remove_drive(drive, force);
}

result<drive_report> local_node::label_drive(const std::string& drive, const drive_label_change& change) {
  return core_->label_drive(drive, change);
}

result<void> local_node::set_rule(const placement_rule& rule) {
  return core_->set_rule(rule);
}

result<placement_rule> local_node::rule() const {
  return core_->drives->rule();
}

result<std::optional<mesh_report>> local_node::mesh() const {
  const auto* member = core_->mesh();
  return member != nullptr ? std::optional{member->report()} : std::nullopt;
}

result<std::vector<peer_report>> local_node::peers() const {
  const auto* member = core_->mesh();
  if (member == nullptr)
    return fail(errc::unavailable, "list the nodes of a mesh, since this node is in none");
  return member->peers();
}

result<std::vector<neighbour_report>> local_node::neighbours() const {
  const auto* member = core_->mesh();
  if (member == nullptr)
    return fail(errc::unavailable, "list who is on the local network, since this node is in no mesh");
  return member->neighbours();
}

result<void> local_node::set_rates(const rate_plan& plan) {
  return core_->set_rates(plan);
}

result<rate_plan> local_node::rates() const {
  return core_->home.rates();
}

result<line_report> local_node::measure_line(const peer_id& peer, const line_test& how, const job_options& job) {
  return core_->measure_line(peer, how, job);
}

result<void> local_node::reload_members() {
  return core_->reload_members();
}

result<void> local_node::allow(const vault_id& owner, uint64_t bytes) {
  return core_->guests().allow(owner, bytes);
}

result<std::vector<room_report>> local_node::rooms() const {
  return core_->guests().rooms();
}

result<void> local_node::reserve(uint64_t bytes) {
  return core_->guests().reserve(bytes);
}

result<reserve_report> local_node::reserved() const {
  return core_->guests().reserved();
}

result<void> local_node::set_hosting(hosting how) {
  return core_->guests().set_hosting(how);
}

result<hosting> local_node::hosts() const {
  return core_->home.hosts();
}

result<created_vault> local_node::create_vault(const new_vault& what) {
  return core_->create_vault(what);
}

result<std::vector<vault_facts>> local_node::vaults() const {
  auto names = core_->home.vault_names();
  if (!names)
    return fail(names.error());
  std::vector<vault_facts> all;
  for (const auto& name : *names) {
    vault_facts facts;
    facts.name = name;
    auto encoded = core_->home.key_file(name);
    auto known = encoded ? crypto::key_file::inspect(*encoded) : fail(encoded.error());
    if (known) {
      facts.id = known->vault;
      facts.locks = describe(known->locks);
    }
    all.push_back(std::move(facts));
  }
  return all;
}

result<std::unique_ptr<vault_door>> local_node::open_vault(const std::string& name, const credential& with) {
  auto runtime = core_->open_vault(name, with);
  if (!runtime)
    return fail(runtime.error());
  return std::make_unique<local_vault>(std::move(*runtime));
}

result<void> local_node::destroy_vault(const std::string& name) {
  auto outcome = core_->destroy_vault(name, nullptr, {});
  if (!outcome)
    return fail(outcome.error());
  return {};
}

result<destroy_summary> local_node::destroy_vault(const std::string& name, const credential& with, const job_options& job) {
  return core_->destroy_vault(name, &with, job);
}

result<rebuild_summary> local_node::rebuild_catalog(const std::string& name, const credential& with, const job_options& job) {
  return core_->rebuild_catalog(name, with, job);
}

result<rebuild_summary> local_node::restore_vault(const std::string& name, const bytes& key_file, const credential& with,
                                                  const job_options& job) {
  return core_->restore_vault(name, key_file, with, job);
}

result<recover_summary> local_node::recover_vault(const std::string& name, const credential& phrase, const job_options& job) {
  return core_->recover_vault(name, phrase, job);
}

const std::string& local_node::home() const noexcept {
  return core_->home.folder();
}

result<std::unique_ptr<node_door>> open_local(node_options options, bool create) {
  auto core = node_core::open(std::move(options), create);
  if (!core)
    return fail(core.error());
  return std::make_unique<local_node>(std::move(*core));
}

// -- node --------------------------------------------------------------------------------------

struct node::impl {
  std::unique_ptr<node_door> door;
};

node::node() = default;
node::~node() = default;

result<std::unique_ptr<node>> node::behind(result<std::unique_ptr<node_door>> door) {
  if (!door)
    return fail(door.error());
  std::unique_ptr<node> opened{new node};
  opened->impl_ = std::make_unique<impl>(impl{std::move(*door)});
  return opened;
}

result<std::unique_ptr<node>> node::open(node_options options) {
  return behind(open_local(std::move(options), false));
}

result<std::unique_ptr<node>> node::create(node_options options) {
  return behind(open_local(std::move(options), true));
}

result<std::unique_ptr<node>> node::connect(const std::string& socket, node_options options) {
  return behind(control::connect(socket, std::move(options)));
}

result<vault> node::open_vault(const std::string& name, const credential& with) {
  auto door = impl_->door->open_vault(name, with);
  if (!door)
    return fail(door.error());
  return vault{std::make_unique<vault::impl>(vault::impl{std::move(*door)})};
}

result<drive_report> node::add_drive(const std::string& folder) {
  return impl_->door->add_drive(folder);
}

result<drive_report> node::adopt_drive(const std::string& folder) {
  return impl_->door->adopt_drive(folder);
}

std::vector<drive_report> node::drives() const {
  return impl_->door->drives();
}

result<void> node::drain_drive(const std::string& drive) {
  return impl_->door->drain_drive(drive);
}

result<void> node::remove_drive(const std::string& drive, bool force) {
  return impl_->door->remove_drive(drive, force);
}

result<drive_report> node::label_drive(const std::string& drive, const drive_label_change& change) {
  return impl_->door->label_drive(drive, change);
}

result<void> node::set_rule(const placement_rule& rule) {
  return impl_->door->set_rule(rule);
}

result<placement_rule> node::rule() const {
  return impl_->door->rule();
}

result<std::optional<mesh_report>> node::mesh() const {
  return impl_->door->mesh();
}

result<std::vector<peer_report>> node::peers() const {
  return impl_->door->peers();
}

result<std::vector<neighbour_report>> node::neighbours() const {
  return impl_->door->neighbours();
}

result<void> node::set_rates(const rate_plan& plan) {
  return impl_->door->set_rates(plan);
}

result<rate_plan> node::rates() const {
  return impl_->door->rates();
}

result<line_report> node::measure_line(const peer_id& peer, const line_test& how, const job_options& job) {
  return impl_->door->measure_line(peer, how, job);
}

result<void> node::reload_members() {
  return impl_->door->reload_members();
}

result<void> node::allow(const vault_id& owner, uint64_t bytes) {
  return impl_->door->allow(owner, bytes);
}

result<std::vector<room_report>> node::rooms() const {
  return impl_->door->rooms();
}

result<void> node::reserve(uint64_t bytes) {
  return impl_->door->reserve(bytes);
}

result<reserve_report> node::reserved() const {
  return impl_->door->reserved();
}

result<void> node::set_hosting(hosting how) {
  return impl_->door->set_hosting(how);
}

result<hosting> node::hosts() const {
  return impl_->door->hosts();
}

result<created_vault> node::create_vault(const new_vault& what) {
  return impl_->door->create_vault(what);
}

result<std::vector<vault_facts>> node::vaults() const {
  return impl_->door->vaults();
}

result<void> node::destroy_vault(const std::string& name) {
  return impl_->door->destroy_vault(name);
}

result<destroy_summary> node::destroy_vault(const std::string& name, const credential& with, const job_options& job) {
  return impl_->door->destroy_vault(name, with, job);
}

result<rebuild_summary> node::rebuild_catalog(const std::string& name, const credential& with, const job_options& job) {
  return impl_->door->rebuild_catalog(name, with, job);
}

result<rebuild_summary> node::restore_vault(const std::string& name, const bytes& key_file, const credential& with,
                                            const job_options& job) {
  return impl_->door->restore_vault(name, key_file, with, job);
}

result<recover_summary> node::recover_vault(const std::string& name, const credential& phrase, const job_options& job) {
  return impl_->door->recover_vault(name, phrase, job);
}

const std::string& node::home() const noexcept {
  return impl_->door->home();
}

} // namespace datamesh
