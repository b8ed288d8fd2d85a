#include "storage/vault_context.hpp"

#include "storage/placement_rule.hpp"

#include <fmt/format.h>

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

bool is_draining(const drive_entry& drive) {
  return drive.store && drive.state() == drive_state::draining;
}

bool is_ok(const drive_entry& drive) {
  return drive.store && drive.state() == drive_state::ok;
}

/// Why *what* can not be done: it needs drives that the rule leaves out. Names some of them.
error barred(const drive_table& drives, const std::string& what) {
  constexpr size_t names_max = 4;
  auto all = drives.all();
  std::vector<std::string> names;
  for (const auto& drive : *all)
    if (!drives.allows(drive))
      names.push_back(drive.folder);
  auto count = names.size();
  auto more = count > names_max ? fmt::format(" and {} more", count - names_max) : std::string{};
  names.resize(std::min(count, names_max));
  return error{errc::rule_leaves_too_few,
               fmt::format("{} within the rule '{}', which leaves out {} of {} drives:", what, text_of(drives.rule()), count, all->size()),
               fmt::format("{}{}", fmt::join(names, ", "), more)};
}

} // namespace

size_t drives_for_policy(const drive_table& drives) {
  auto all = drives.all();
  return static_cast<size_t>(std::ranges::count_if(*all, [&](const auto& drive) { return !is_draining(drive) && drives.allows(drive); }));
}

result<policy> choose_policy(const drive_table& drives, std::string_view text) {
  auto all = drives.all();
  auto count = drives_for_policy(drives);
  if (std::ranges::none_of(*all, [&](const auto& drive) { return is_ok(drive) && drives.allows(drive); }))
    return std::ranges::any_of(*all, is_ok) ? fail(barred(drives, "store anything")) : fail(errc::too_few_drives, "choose a policy");
  if (text.empty())
    return policy_for(count);
  auto how = parse_policy(text);
  if (!how)
    return how;
  auto without_rule = all->size() - static_cast<size_t>(std::ranges::count_if(*all, is_draining));
  auto wanted = static_cast<size_t>(how->k) + how->m;
  if (without_rule == 1)
    how->level = domain_level::block;
  else if (wanted > count && wanted <= without_rule)
    return fail(barred(drives, fmt::format("store as {}", text)));
  else if (wanted > count)
    return fail(errc::policy_invalid, "choose a policy", std::string{text});
  return how;
}

} // namespace datamesh::storage
