// What a node sets aside for owners on other nodes, all together: the file `capacity` of the node's home.
// Format: docs/formats/home.md.
//
// Thread rule: functions are safe to call from any thread.
#pragma once

#include "datamesh/base/file_system.hpp"

#include <string>

namespace datamesh::network {

/// @param bytes for all owners; 0: nothing is set aside
[[nodiscard]] std::string encode_capacity(uint64_t bytes);
/// `format_newer` for a later version, `format_damaged` for what is none.
[[nodiscard]] result<uint64_t> parse_capacity(std::string_view text);

/// 0 where there is no such file.
[[nodiscard]] result<uint64_t> read_capacity(file_system& files, const std::string& path);

} // namespace datamesh::network
