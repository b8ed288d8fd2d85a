#include "storage/name_claims.hpp"

#include <fmt/format.h>

namespace datamesh::storage {

namespace {

/// Numbers that `rename` tries.
constexpr unsigned rename_max = 10'000;

} // namespace

std::string numbered_name(const std::string& name, unsigned number) {
  auto dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0)
    dot = name.size();
  return fmt::format("{} ({}){}", name.substr(0, dot), number, name.substr(dot));
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> names;
  while (!path.empty()) {
    auto slash = path.find('/');
    auto name = path.substr(0, slash);
    if (!name.empty())
      names.emplace_back(name);
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
  }
  return names;
}

result<std::optional<name_claims::pending_node>> name_claims::find(const node_id& parent, const std::string& name,
                                                                   std::optional<node_view>* existing) const {
  auto pending = pending_.find({parent, name});
  if (pending != pending_.end())
    return pending->second;
  auto child = names_.child(parent, name);
  if (!child)
    return fail(child.error());
  if (!*child)
    return std::nullopt;
  if (existing != nullptr)
    *existing = **child;
  return pending_node{(*child)->node, (*child)->kind, {}};
}

bool name_claims::join(const node_id& parent, const std::string& name, uint64_t job) {
  auto pending = pending_.find({parent, name});
  return pending != pending_.end() && pending->second.jobs.insert(job).second;
}

result<node_id> name_claims::enter(const node_id& parent, const std::string& name, uint64_t job, std::vector<move_node>& created) {
  auto found = find(parent, name, nullptr);
  if (!found)
    return fail(found.error());
  if (*found) {
    if ((*found)->kind != node_kind::folder)
      return fail(errc::not_a_folder, "enter folder", name);
    if (join(parent, name, job))
      created.push_back({(*found)->node, parent, name, node_kind::folder});
    return (*found)->node;
  }
  auto node = random_id<node_id>(random_);
  if (!node)
    return fail(node.error());
  created.push_back({*node, parent, name, node_kind::folder});
  pending_[{parent, name}] = {*node, node_kind::folder, {job}};
  return *node;
}

result<name_claims::claim> name_claims::take(std::string_view path, node_kind kind, if_exists conflict, uint64_t job) {
  auto names = split_path(path);
  if (names.empty())
    return fail(errc::name_invalid, "store at", std::string{path});
  for (const auto& name : names)
    if (auto valid = validate_name(name); !valid)
      return fail(valid.error().within("store at", std::string{path}));
  std::lock_guard guard{mutex_};
  claim result;
  result.parent = root_node();
  for (size_t i = 0; i + 1 < names.size(); ++i) {
    auto next = enter(result.parent, names[i], job, result.folders);
    if (!next)
      return fail(next.error().within("store at", std::string{path}));
    result.parent = *next;
  }
  result.name = names.back();
  for (unsigned number = 2;; ++number) {
    auto found = find(result.parent, result.name, &result.existing);
    if (!found)
      return fail(found.error());
    if (!*found)
      break;
    auto same_kind = (*found)->kind == kind;
    if (same_kind && (kind == node_kind::folder || conflict == if_exists::version)) {
      result.node = (*found)->node;
      result.fresh = join(result.parent, result.name, job);
      return result;
    }
    if (conflict != if_exists::rename || number > rename_max)
      return fail((*found)->kind == node_kind::folder ? errc::is_a_folder : errc::already_exists, "store at", std::string{path});
    result.existing.reset();
    result.name = numbered_name(names.back(), number);
  }
  auto node = random_id<node_id>(random_);
  if (!node)
    return fail(node.error());
  result.node = *node;
  result.fresh = true;
  pending_[{result.parent, result.name}] = {*node, kind, {job}};
  return result;
}

void name_claims::withdraw(const claim& what, uint64_t job) {
  std::lock_guard guard{mutex_};
  auto row = pending_.find({what.parent, what.name});
  if (!what.fresh || row == pending_.end() || row->second.node != what.node)
    return;
  row->second.jobs.erase(job);
  if (row->second.jobs.empty())
    pending_.erase(row);
}

void name_claims::settle(const std::vector<operation>& committed) {
  std::lock_guard guard{mutex_};
  for (const auto& op : committed) {
    const auto* move = std::get_if<move_node>(&op.body);
    removals_ += move != nullptr && move->parent == trash_node() ? 1 : 0;
    auto row = move ? pending_.find({move->parent, move->name}) : pending_.end();
    if (row != pending_.end() && row->second.node == move->node)
      pending_.erase(row);
  }
}

void name_claims::release(uint64_t job) {
  std::lock_guard guard{mutex_};
  for (auto row = pending_.begin(); row != pending_.end();) {
    auto erased = row->second.jobs.erase(job) > 0 && row->second.jobs.empty();
    row = erased ? pending_.erase(row) : std::next(row);
  }
}

} // namespace datamesh::storage
