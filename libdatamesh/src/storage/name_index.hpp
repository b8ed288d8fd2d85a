// Name rows: which node is shown under which name of a folder. Of several that
// claim one name the one with the lowest stamp keeps it; the others get an alias
// row each. Adding or removing a claim costs a few rows however many there are.
#pragma once

#include "storage/overlay.hpp"

namespace datamesh::storage {

void claim_name(overlay& rows, const node_place& where, const node_id& node);

/// @pre it was claimed at exactly that place
void release_name(overlay& rows, const node_place& where, const node_id& node);

/// The name under which *node*, which claims *where*, is shown.
[[nodiscard]] std::string shown_name(const row_source& rows, const node_place& where, const node_id& node);

} // namespace datamesh::storage
