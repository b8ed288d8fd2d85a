// What a destroyed vault has left on the drives: lists of its packs, written while its
// catalog can still tell them, and worked off when its key is gone. Format:
// docs/formats/home.md.
#pragma once

#include "datamesh/base/ids.hpp"
#include "datamesh/base/result.hpp"

#include <string>
#include <vector>

namespace datamesh {

/// Packs of one list, at most.
inline constexpr size_t removal_packs_max = 20'000;

struct removal_list {
  struct pack {
    pack_id id;
    uint8_t shards = 0; ///< k + m
    friend bool operator==(const pack&, const pack&) = default;
  };
  vault_id vault;               ///< Whose they are.
  std::vector<drive_id> drives; ///< That may have shards of them.
  std::vector<pack> packs;
  friend bool operator==(const removal_list&, const removal_list&) = default;
};

[[nodiscard]] std::string encode_removal(const removal_list& list);

/// `format_alien`, `format_newer` or `format_damaged` when it is none that we wrote.
[[nodiscard]] result<removal_list> decode_removal(byte_view text, const std::string& path);

} // namespace datamesh
