// Where the data of a node's vaults may lie, as its operator says: the file `rule` of the node's home.
// Format: docs/formats/home.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/base/file_system.hpp"
#include "datamesh/node.hpp"

namespace datamesh::storage {

/// "only region=eu, never operator=bob"
[[nodiscard]] std::string text_of(const placement_rule& rule);

[[nodiscard]] std::string encode_rule(const placement_rule& rule);
/// `format_newer` for a later version, `format_damaged` for what is none.
[[nodiscard]] result<placement_rule> parse_rule(std::string_view text);

/// An empty one where there is no such file.
[[nodiscard]] result<placement_rule> read_rule(file_system& files, const std::string& path);

} // namespace datamesh::storage
