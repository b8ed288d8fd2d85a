#include "datamesh/node.hpp"

#include "datamesh/version.hpp"
#include "node/node_core.hpp"
#include "node/vault_impl.hpp"

namespace datamesh {

const char* version() noexcept {
  return DATAMESH_VERSION_TEXT;
}

std::string_view to_string(event_kind kind) noexcept {
  switch (kind) {
  case event_kind::job_progress:
    return "job-progress";
  case event_kind::item_done:
    return "item-done";
  case event_kind::item_failed:
    return "item-failed";
  case event_kind::damage_found:
    return "damage-found";
  case event_kind::damage_healed:
    return "damage-healed";
  case event_kind::data_lost:
    return "data-lost";
  case event_kind::drive_changed:
    return "drive-changed";
  case event_kind::node_changed:
    return "node-changed";
  }
  return "unknown";
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

// -- sink ----------------------------------------------------------------------------------

result<void> sink::write_hole(uint64_t length) {
  static constexpr size_t stretch = 64 << 10;
  static const std::vector<std::byte> zeros(stretch);
  while (length > 0) {
    auto count = static_cast<size_t>(std::min<uint64_t>(length, stretch));
    if (auto written = write(byte_view{zeros}.first(count)); !written)
      return written;
    length -= count;
  }
  return {};
}

// -- node --------------------------------------------------------------------------------------

struct node::impl {
  std::shared_ptr<node_core> core;
};

node::node() = default;
node::~node() = default;

result<std::unique_ptr<node>> node::open(node_options options) {
  auto core = node_core::open(std::move(options), false);
  if (!core)
    return fail(core.error());
  std::unique_ptr<node> opened{new node};
  opened->impl_ = std::make_unique<impl>(impl{std::move(*core)});
  return opened;
}

result<std::unique_ptr<node>> node::create(node_options options) {
  auto core = node_core::open(std::move(options), true);
  if (!core)
    return fail(core.error());
  std::unique_ptr<node> opened{new node};
  opened->impl_ = std::make_unique<impl>(impl{std::move(*core)});
  return opened;
}

result<drive_report> node::add_drive(const std::string& folder) {
  return impl_->core->add_drive(folder, false);
}

result<drive_report> node::adopt_drive(const std::string& folder) {
  return impl_->core->add_drive(folder, true);
}

std::vector<drive_report> node::drives() const {
  return impl_->core->reports();
}

result<void> node::drain_drive(const std::string& drive) {
  return impl_->core->set_drive_state(drive, storage::drive_state::draining);
}

result<void> node::remove_drive(const std::string& drive, bool force) {
  return impl_->core->remove_drive(drive, force);
}

result<created_vault> node::create_vault(const new_vault& what) {
  return impl_->core->create_vault(what);
}

result<std::vector<vault_facts>> node::vaults() const {
  auto names = impl_->core->home.vault_names();
  if (!names)
    return fail(names.error());
  std::vector<vault_facts> all;
  for (const auto& name : *names) {
    vault_facts facts;
    facts.name = name;
    auto encoded = impl_->core->home.key_file(name);
    auto known = encoded ? crypto::key_file::inspect(*encoded) : fail(encoded.error());
    if (known) {
      facts.id = known->vault;
      facts.locks = describe(known->locks);
    }
    all.push_back(std::move(facts));
  }
  return all;
}

result<vault> node::open_vault(const std::string& name, const credential& with) {
  auto runtime = impl_->core->open_vault(name, with);
  if (!runtime)
    return fail(runtime.error());
  return vault{std::make_unique<vault::impl>(vault::impl{std::move(*runtime)})};
}

result<void> node::destroy_vault(const std::string& name) {
  if (auto valid = node_home::check_vault_name(name); !valid)
    return valid;
  if (auto there = impl_->core->home.key_file(name); !there)
    return fail(there.error());
  if (impl_->core->is_open(name))
    return fail(errc::locked, "destroy a vault that is open", name);
  return impl_->core->home.remove_vault(name);
}

result<rebuild_summary> node::rebuild_catalog(const std::string& name, const credential& with, const job_options& job) {
  return impl_->core->rebuild_catalog(name, with, job);
}

const std::string& node::home() const noexcept {
  return impl_->core->home.folder();
}

} // namespace datamesh
