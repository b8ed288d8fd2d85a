// Keeps the list of members of a closed mesh: takes newer ones from the operator of this node and from
// other members, writes them down, tells them to others, and has links ended with whom they leave out.
// docs/formats/members.md.
//
// Has a thread of its own, since it waits for the disk. Ends by an exit message.
#pragma once

#include "datamesh/base/environment.hpp"
#include "datamesh/event.hpp"
#include "network/link_actor.hpp"
#include "network/member_list.hpp"

#include <functional>

namespace datamesh::network {

/// Requests of one peer that are served, a second and at once: a list may be large.
inline constexpr rate members_served_rate{1, 16};
/// How often it is looked whether the list ran out, and tried again to keep it.
inline constexpr auto members_looked_at = std::chrono::minutes{1};

using members_actor = caf::typed_actor<
    // A peer's request of this part: a `peer_handler_actor`, for the router.
    caf::replies_to<v1::PeerRequest, bytes>::with<v1::PeerAnswer, bytes>,
    // The list is beside it. What `judge_after` fails with; it holds when it is answered.
    caf::replies_to<v1::OfferMembers, bytes>::with<v1::MembersOffered>, caf::reacts_to<v1::LinkUp>, caf::reacts_to<v1::MembersWake>>;

struct members_parts {
  environment env; ///< Clock and files are used.
  std::shared_ptr<membership> members;
  link_actor links;
  peer_id self;
  std::string kept_at; ///< Where the newest list is written.
  /// Told what an operator should know; called on its thread.
  std::function<void(severity, std::string, std::optional<errc>)> tell;
  /// Told why a list was not taken or not kept, or that one was.
  std::function<void(std::optional<error>)> failed;
};

[[nodiscard]] members_actor spawn_members_actor(caf::actor_system& sys, const members_parts& parts);

} // namespace datamesh::network
