#include "network/members_actor.hpp"

#include "crypto/parse_message.hpp"
#include "datamesh/v1/members.pb.h"
#include "network/peer_part.hpp"
#include "network/token_bucket.hpp"

#include <fmt/format.h>

#include <map>
#include <set>

namespace datamesh::network {

namespace {

constexpr uint32_t asked_in_ms = 30'000;
constexpr auto grace = std::chrono::seconds{1};
/// Peers whose pace is kept before it is looked who has none any more.
constexpr size_t paces_most = 1024;
/// Lists that were refused are told so often, until the next that is taken.
constexpr int refusals_told = 8;

class keeper;
struct keeper_state {
  static inline constexpr const char* name = "members";
  std::shared_ptr<keeper> does;
};
using keeper_pointer = members_actor::stateful_pointer<keeper_state>;

/// What the actor does, on its thread.
class keeper {
public:
  keeper(keeper_pointer self, members_parts parts) : self_(self), parts_(std::move(parts)) {}

  void begin() {
    tell_whether_listed();
    spread();
    wake();
  }

  void wake() {
    self_->delayed_send(self_, members_looked_at, v1::MembersWake{});
    if (unsaved_)
      save(*parts_.members->newest());
    auto is_over = parts_.members->refuses(parts_.self) == link_refusal::members_expired;
    if (is_over && !std::exchange(told_over_, true))
      parts_.tell(severity::error, "the list of members ran out: nobody is let in until the operators sign a new one", errc::peer_refused);
    if (is_over)
      self_->send(parts_.links, v1::CheckPeers{});
  }

  void link_up(const v1::LinkUp& what) {
    ask(what.link().peer());
  }

  [[nodiscard]] caf::result<v1::PeerAnswer, bytes> serve(const v1::PeerRequest& request) {
    constexpr auto attempted = "tell another node the list of members";
    if (!may_ask(request.peer()))
      return to_caf(error{errc::capacity_exceeded, attempted, "it asks too often"});
    v1::MembersRequest theirs;
    if (!crypto::parse_message(theirs, as_view(request.message())) || theirs.content().size() != digest::size)
      return to_caf(error{errc::protocol_violated, attempted});
    auto ours = parts_.members->newest();
    if (theirs.number() > ours->list.number)
      ask(request.peer());
    v1::MembersAnswer says;
    says.set_number(ours->list.number);
    v1::PeerAnswer answer;
    answer.set_message(says.SerializeAsString());
    auto is_due =
        theirs.number() < ours->list.number || (theirs.number() == ours->list.number && theirs.content() != members_digest(*ours).text());
    return {std::move(answer), is_due ? ours->raw : bytes{}};
  }

  [[nodiscard]] result<bool> take(byte_view raw, const std::string& from) {
    auto judged = parts_.members->judge(raw);
    if (!judged)
      return fail(judged.error());
    if (!*judged)
      return false;
    auto& next = **judged;
    parts_.failed(std::nullopt);
    // First durable, then in force: what was let in or shut out stays so over a restart.
    save(next);
    auto text =
        fmt::format("list of members {} holds from now on: {} nodes; it came from {}", next.list.number, next.list.members.size(), from);
    parts_.members->adopt(std::move(next));
    told_over_ = false;
    refusals_ = 0;
    parts_.tell(severity::info, std::move(text), std::nullopt);
    tell_whether_listed();
    self_->send(parts_.links, v1::CheckPeers{});
    spread();
    return true;
  }

private:
  void tell_whether_listed() {
    if (parts_.members->newest()->list.find(parts_.self) == nullptr)
      parts_.tell(severity::warning, "this node is not on the list of members: the others do not let it in", errc::peer_refused);
  }

  void save(const signed_members& what) {
    auto written = write_whole(*parts_.env.files, parts_.kept_at, what.raw, 0600);
    unsaved_ = !written;
    if (written)
      return;
    parts_.failed(written.error());
    parts_.tell(severity::error, "the list of members holds, but is not kept over a restart: " + written.error().message(),
                written.error().code());
  }

  void spread() {
    self_->request(parts_.links, std::chrono::seconds{10}, v1::ListLinks{})
        .then(
            [this](const v1::LinkList& list) {
              std::set<std::string> peers;
              for (const auto& link : list.links())
                if (peers.insert(link.peer()).second)
                  ask(link.peer());
            },
            [](const caf::error&) {});
  }

  /// Tells it what there is here; whoever has the newer list hands it over.
  void ask(const std::string& peer) {
    auto ours = parts_.members->newest();
    // What it was told already is under way.
    auto& asked = asking_[peer];
    if (asked >= ours->list.number)
      return;
    asked = ours->list.number;
    v1::MembersRequest says;
    says.set_number(ours->list.number);
    says.set_content(std::string{members_digest(*ours).text()});
    v1::AskPeer request;
    request.set_peer(peer);
    request.set_timeout_ms(asked_in_ms);
    request.set_message(message_to(peer_part::members, says.SerializeAsString()));
    self_->request(parts_.links, std::chrono::milliseconds{asked_in_ms} + grace, std::move(request), bytes{})
        .then(
            [this, peer](const v1::PeerAnswer&, const bytes& list) {
              asking_.erase(peer);
              if (list.empty())
                return;
              auto who = peer_id::from(as_view(peer)).hex();
              auto taken = take(list, "node " + who);
              if (taken)
                return;
              parts_.failed(taken.error());
              if (refusals_++ < refusals_told)
                parts_.tell(severity::error, fmt::format("the list of members of node {} is not taken: {}", who, taken.error().message()),
                            taken.error().code());
            },
            // An older version, or a link that went: it is asked again over the next one.
            [this, peer](const caf::error&) { asking_.erase(peer); });
  }

  [[nodiscard]] bool may_ask(const std::string& peer) {
    auto at = parts_.env.clock->monotonic();
    if (paces_.size() >= paces_most && !paces_.contains(peer))
      std::erase_if(paces_, [&](const auto& each) { return each.second.is_full(at); });
    return paces_.try_emplace(peer, token_bucket{members_served_rate}).first->second.try_take(1, at);
  }

  keeper_pointer self_;
  members_parts parts_;
  std::map<std::string, uint64_t> asking_; ///< Peers, with the number that they were told.
  std::map<std::string, token_bucket> paces_;
  bool unsaved_ = false;
  bool told_over_ = false;
  int refusals_ = 0;
};

members_actor::behavior_type keep_members(keeper_pointer self, const members_parts& parts) {
  self->state.does = std::make_shared<keeper>(self, parts);
  self->state.does->begin();
  return {
      [=](const v1::PeerRequest& request, const bytes&) { return self->state.does->serve(request); },
      [=](const v1::OfferMembers&, const bytes& list) -> caf::result<v1::MembersOffered> {
        auto taken = self->state.does->take(list, "the operator of this node");
        if (!taken)
          return to_caf(taken.error());
        v1::MembersOffered answer;
        answer.set_newer(*taken);
        return answer;
      },
      [=](const v1::LinkUp& what) { self->state.does->link_up(what); },
      [=](const v1::MembersWake&) { self->state.does->wake(); },
  };
}

} // namespace

members_actor spawn_members_actor(caf::actor_system& sys, const members_parts& parts) {
  return sys.spawn<caf::detached>(keep_members, parts);
}

} // namespace datamesh::network
