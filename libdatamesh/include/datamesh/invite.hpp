// What one node's operator gives another one, so that his node comes in: which mesh it is, whom to ask
// first, and in a closed mesh the list of members. docs/formats/invite.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"
#include "datamesh/mesh.hpp"

namespace datamesh {

/// Bytes of the longest invite.
inline constexpr size_t invite_size_max = 576 << 10;

struct invite {
  network_id network; ///< Who knows it is let into an open mesh.
  bool local = false; ///< See `mesh_options::local`.
  int64_t made_s = 0; ///< Seconds since 1970.
  int64_t expires_s = 0;
  std::vector<std::string> seeds; ///< 1 to 16, each with the node's id: "ID@/ip4/192.0.2.7/tcp/4433".
  bytes members{};                ///< A list of members (datamesh/members.hpp); empty in an open mesh.
  peer_id from{};                 ///< The node that signed it; `sign_invite` sets it.

  [[nodiscard]] bool is_over(int64_t now_s) const noexcept {
    return now_s >= expires_s;
  }
};

/// The invite, signed by the node whose home that is, with its key: for who may read that. `not_found` where the
/// node has no key yet, which it gets when it is first a member of a mesh; `invalid_argument` for what no invite may be.
[[nodiscard]] DATAMESH_EXPORT result<bytes> sign_invite(const invite& what, const std::string& home);

/// The one text of a seed that a person wrote, with its node's id. `invalid_argument` tells what would be right.
[[nodiscard]] DATAMESH_EXPORT result<std::string> invite_seed(std::string_view text);

/// `format_alien`, `format_newer`, `format_damaged`; `authentication_failed` when the signature does not hold. Whether
/// it is over, and whether whoever signed it may invite, is for the caller to see.
[[nodiscard]] DATAMESH_EXPORT result<invite> read_invite(byte_view raw);

} // namespace datamesh
