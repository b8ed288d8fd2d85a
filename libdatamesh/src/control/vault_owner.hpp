// Whose a vault is. A daemon holds the vaults of several people in one home; a vault
// of uid 1000 called "main" is kept there as "u1000.main", and those of the daemon's
// own uid under their plain names. Nobody names, sees or opens another's.
#pragma once

#include "datamesh/base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace datamesh::control {

class vault_owner {
public:
  /// @param own the uid that the daemon runs as
  /// @param peer the uid that asks
  vault_owner(uint32_t own, uint32_t peer);

  /// How the home calls what the peer calls *name*. `name_invalid` for a name that
  /// would be another's, and for one that is too long with its owner before it.
  [[nodiscard]] result<std::string> kept_as(const std::string& name) const;
  /// How the peer calls what the home calls *kept*; nothing when it is another's.
  [[nodiscard]] std::optional<std::string> called(const std::string& kept) const;

private:
  std::string prefix_; ///< Empty for the daemon's own uid.
};

} // namespace datamesh::control
