// The room that the operator of a node grants to owners: the file `grants` of the node's home.
// Format: docs/formats/ticket.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/base/file_system.hpp"
#include "datamesh/base/ids.hpp"

#include <map>

namespace datamesh::network {

inline constexpr size_t grants_max = 65'536;
inline constexpr size_t grants_file_max = 8 << 20;

/// Bytes by owner. Who is not named has no room.
using grants = std::map<vault_id, uint64_t>;

[[nodiscard]] std::string encode_grants(const grants& of);
/// `format_newer` for a later version, `format_damaged` for what is none.
[[nodiscard]] result<grants> parse_grants(std::string_view text);

/// None where there is no such file.
[[nodiscard]] result<grants> read_grants(file_system& files, const std::string& path);
/// Durable when it succeeds; the file before stands when it does not.
/// `invalid_argument` for more than `grants_max` owners.
[[nodiscard]] result<void> write_grants(file_system& files, const std::string& path, const grants& what);

} // namespace datamesh::network
