#include "storage/vault_context.hpp"

#include <algorithm>

namespace datamesh::storage {

void farewell_list::set(const std::vector<operation_body>& forgotten) {
  nodes_.clear();
  versions_.clear();
  for (const auto& body : forgotten)
    if (const auto* node = std::get_if<purge_node>(&body))
      nodes_.insert(node->node);
    else if (const auto* version = std::get_if<drop_version>(&body))
      versions_.insert(version->version);
}

void farewell_list::clear() {
  std::lock_guard alone{mutex_};
  nodes_.clear();
  versions_.clear();
}

packer_actor vault_context::packer_for(const policy& how) {
  std::lock_guard guard{mutex_};
  auto& packer = packers_[{how.k, how.m, how.level}];
  if (!packer) {
    packer_context context;
    context.codec = codec;
    context.team = team;
    context.drives = drives;
    context.names = names;
    context.catalog_writer = catalog_writer;
    context.pack_pool = pack_pool;
    context.how = how;
    context.intake = packers_.size();
    // One pack is filled while two are written, if the budget has room for them: drives
    // have the next shard at hand while they make the last one durable.
    context.packs_max = std::clamp<size_t>(budget->limit() / (2 * uint64_t{pack_size_max}), 1, pack_buffers_max);
    packer = spawn_packer(*sys, std::move(context));
  }
  return packer;
}

std::vector<folder_place> vault_context::own_folders() const {
  std::vector<folder_place> own;
  auto add = [&](const std::string& folder) {
    if (auto status = env.files->status(folder); status && status->inode != 0)
      own.push_back({status->device, status->inode});
  };
  add(home);
  auto all = drives->all();
  for (const auto& drive : *all)
    add(drive.folder);
  return own;
}

std::vector<packer_actor> vault_context::packers() const {
  std::lock_guard guard{mutex_};
  std::vector<packer_actor> result;
  for (const auto& [how, packer] : packers_)
    result.push_back(packer);
  return result;
}

namespace {

size_t in_state(const drive_table::list& drives, drive_state state) {
  return static_cast<size_t>(std::ranges::count_if(drives, [&](const auto& drive) { return drive.store && drive.state() == state; }));
}

} // namespace

size_t drives_for_policy(const drive_table& drives) {
  auto all = drives.all();
  return all->size() - in_state(*all, drive_state::draining);
}

result<policy> choose_policy(const drive_table& drives, std::string_view text) {
  auto count = drives_for_policy(drives);
  if (in_state(*drives.all(), drive_state::ok) == 0)
    return fail(errc::too_few_drives, "choose a policy");
  if (text.empty())
    return policy_for(count);
  auto how = parse_policy(text);
  if (!how)
    return how;
  if (count == 1)
    how->level = domain_level::block;
  else if (static_cast<size_t>(how->k) + how->m > count)
    return fail(errc::policy_invalid, "choose a policy", std::string{text});
  return how;
}

} // namespace datamesh::storage
