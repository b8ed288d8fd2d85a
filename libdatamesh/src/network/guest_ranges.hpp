// What a node keeps for an owner of ranges of packs: the tickets of one, and the digests of some.
//
// Thread rule: as the const members of `guest_store`.
#pragma once

#include "network/guest_store.hpp"
#include "network/pack_range.hpp"

namespace datamesh::network {

/// In order of packs and indexes.
[[nodiscard]] result<std::vector<ticket>> list_range(const guest_store& guests, const vault_id& owner, const pack_range& range);

/// `digest_of` each of *count* ranges from *first* on. None for those that come when *most* tickets were read.
/// @pre *first* and *count* name ranges that there are
[[nodiscard]] result<std::vector<std::optional<digest>>> digest_ranges(const guest_store& guests, const vault_id& owner,
                                                                       const pack_range& first, size_t count, size_t most);

} // namespace datamesh::network
