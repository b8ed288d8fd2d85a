#include "control/vault_owner.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace datamesh::control {

namespace {

constexpr size_t kept_name_max = 64;

/// "u" digits "." something.
bool has_owner(const std::string& name) {
  auto dot = name.find('.');
  return name.size() > 2 && name.front() == 'u' && dot != std::string::npos && dot > 1
         && std::all_of(name.begin() + 1, name.begin() + static_cast<ptrdiff_t>(dot), [](char c) { return c >= '0' && c <= '9'; });
}

} // namespace

vault_owner::vault_owner(uint32_t own, uint32_t peer) : prefix_(own == peer ? std::string{} : fmt::format("u{}.", peer)) {}

result<std::string> vault_owner::kept_as(const std::string& name) const {
  auto kept = prefix_ + name;
  if (has_owner(name) || name.empty() || name.front() == '.' || kept.size() > kept_name_max)
    return fail(errc::name_invalid, "name a vault", name);
  return kept;
}

std::optional<std::string> vault_owner::called(const std::string& kept) const {
  if (prefix_.empty())
    return has_owner(kept) ? std::nullopt : std::optional{kept};
  if (!kept.starts_with(prefix_))
    return std::nullopt;
  return kept.substr(prefix_.size());
}

} // namespace datamesh::control
