// Which list of members holds, and who is let in by it. docs/formats/members.md.
//
// Thread rule: `membership` from any thread; all else are values.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/members.hpp"
#include "network/peer_gate.hpp"

#include <mutex>

namespace datamesh::network {

inline constexpr auto taking = "take a list of members";

/// What is signed: all but the signatures, of which there may come more.
[[nodiscard]] byte_view members_content(const signed_members& of) noexcept;
[[nodiscard]] digest members_digest(const signed_members& of);

/// The first list of a node, which says itself who its operators are: as `read_members`, `invalid_argument`
/// for that of another mesh, `authentication_failed` when too few of its operators have signed it.
[[nodiscard]] result<signed_members> judge_first(const network_id& mesh, byte_view raw);

/// Whether *next* takes the place of *present*: so many operators of each of both as that one wants have
/// signed it, and its number is higher. Nothing when it is the same. `conflict` when it is older or another
/// one of the same number, `authentication_failed`, `invalid_argument` for that of another mesh.
[[nodiscard]] result<std::optional<signed_members>> judge_after(const signed_members& present, signed_members next);

class membership final : public peer_gate {
public:
  membership(std::shared_ptr<const clock> time, signed_members first);

  [[nodiscard]] link_refusal refuses(const peer_id& peer) const override;
  [[nodiscard]] std::shared_ptr<const signed_members> newest() const;
  /// What `adopt` may be given: see `judge_after`.
  [[nodiscard]] result<std::optional<signed_members>> judge(byte_view raw) const;
  /// @pre `judge` answered it, and one thread alone adopts
  void adopt(signed_members what);

private:
  std::shared_ptr<const clock> time_;
  mutable std::mutex mutex_;
  std::shared_ptr<const signed_members> newest_;
};

} // namespace datamesh::network
