#include "network/peer_watch.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

using std::chrono::seconds;

constexpr auto lookup_grace = seconds{10};
constexpr auto dialed_in = seconds{30};
constexpr uint32_t room_told_in_ms = 10'000;

class watcher;
struct watch_state {
  static inline constexpr const char* name = "peer-watch";
  std::shared_ptr<watcher> does;
};
using watch_pointer = peer_watch_actor::stateful_pointer<watch_state>;

/// What the actor does, on its thread.
class watcher {
public:
  watcher(watch_pointer self, std::shared_ptr<const clock> time, std::shared_ptr<const peer_access> access, const peer_id& peer,
          std::shared_ptr<peer_standing> standing)
      : self_(self), time_(std::move(time)), access_(std::move(access)), peer_(peer), standing_(std::move(standing)) {}

  void wake() {
    self_->delayed_send(self_, link_looked_at, v1::ShardWake{});
    way_ = access_->now();
    if (!way_)
      return forget();
    if (way_->linked->has(peer_))
      return linked();
    forget();
    find();
  }

private:
  void linked() {
    pause_ = {};
    tell();
  }

  /// What it said, before it was gone.
  void forget() {
    room_at_.reset();
    given_.clear();
  }

  /// Where it is, from those that are nearest to its id.
  void find() {
    if (finding_ || time_->monotonic() < find_again_)
      return;
    finding_ = true;
    relays_known_ = false;
    v1::LookUp request;
    request.set_target(std::string{peer_.text()});
    self_->request(way_->discovery, lookup_time_max + lookup_grace, std::move(request))
        .then(
            [this](const v1::LookedUp& found) {
              addresses_.clear();
              for (const auto& node : found.nearest())
                if (node.peer() == peer_.text())
                  addresses_.assign(node.address().begin(), node.address().end());
              dial();
            },
            [this](const caf::error&) { not_found(); });
  }

  /// Which nodes pass on to it, from its record.
  void find_relays() {
    relays_known_ = true;
    v1::LookUp request;
    request.set_target(std::string{peer_.text()});
    request.set_kind(static_cast<uint32_t>(record_kind::node));
    self_->request(way_->discovery, lookup_time_max + lookup_grace, std::move(request))
        .then(
            [this](const v1::LookedUp& found) {
              for (const auto& record : found.record())
                take_relays(as_view(record));
              dial();
            },
            [this](const caf::error&) { not_found(); });
  }

  void take_relays(byte_view raw) {
    auto record = open_record(way_->mesh, raw, time_->wall());
    auto ways = record ? decode_node_record(record->value, peer_) : fail(record.error());
    if (!ways)
      return;
    for (const auto& way : *ways)
      if (way.through)
        addresses_.push_back(to_proto(way));
  }

  /// A node that is gone for good costs a lookup now and then.
  void not_found() {
    finding_ = false;
    pause_ = std::clamp<clock::monotonic_time::duration>(2 * pause_, link_looked_at, looked_for_at_least);
    find_again_ = time_->monotonic() + pause_;
  }

  /// One address after the other, and then through others.
  void dial() {
    way_ = access_->now();
    if (!way_)
      return not_found();
    if (addresses_.empty())
      return relays_known_ ? not_found() : find_relays();
    v1::ConnectPeer request;
    *request.mutable_address() = addresses_.front();
    addresses_.erase(addresses_.begin());
    request.set_expected(std::string{peer_.text()});
    self_->request(way_->links, dialed_in, std::move(request))
        .then(
            [this](const v1::PeerConnected&) {
              finding_ = false;
              linked();
            },
            [this](const caf::error&) { dial(); });
  }

  void tell() {
    if (!standing_)
      return;
    auto owners = access_->owners();
    ask_room(owners);
    if (way_)
      for (const auto& [owner, signer] : owners)
        give_roster(owner, signer);
  }

  void ask_room(const std::map<vault_id, word_signer>& owners) {
    auto now = time_->monotonic();
    if (owners.empty() || !way_ || (room_at_ && now - *room_at_ < room_known_for && owners.size() == owners_asked_))
      return;
    room_at_ = now;
    owners_asked_ = owners.size();
    best_ = {};
    awaited_ = owners.size();
    for (const auto& [owner, signer] : owners) {
      auto allowed = sign_permit(*way_, owner, signer, peer_, time_->wall());
      if (!allowed)
        continue;
      v1::RoomAtPeer request;
      request.set_peer(std::string{peer_.text()});
      request.set_timeout_ms(room_told_in_ms);
      request.set_permit(std::string{as_text(allowed->raw)});
      self_->request(way_->shards, seconds{2 * room_told_in_ms / 1000}, std::move(request))
          .then([this](const v1::RoomOfPeer& room) { take(room); }, [this](const caf::error&) { room_at_.reset(); });
    }
  }

  /// So that they look after what they keep together. Again where it was not taken.
  void give_roster(const vault_id& owner, const word_signer& signer) {
    auto draft = access_->draft_roster(owner);
    // Where a placement rule allows none of them, what they were told before still has to end.
    if (draft.nodes.empty() && draft.number > 0)
      draft.nodes = {way_->self};
    if (draft.nodes.empty() || draft.nodes.size() > roster_nodes_max || given_[owner] == draft.number)
      return;
    draft.made = time_->wall();
    given_[owner] = draft.number;
    auto what = sign(way_->mesh, std::move(draft), signer);
    if (!what)
      return;
    v1::GiveRoster request;
    request.set_peer(std::string{peer_.text()});
    request.set_timeout_ms(room_told_in_ms);
    request.set_roster(std::string{as_text(what->raw)});
    self_->request(way_->shards, seconds{2 * room_told_in_ms / 1000}, std::move(request))
        .then([](const v1::Done&) {},
              [this, owner](const caf::error& reason) {
                // Who has a later one, from another home of the vault, keeps that.
                if (from_caf(reason).code() != errc::conflict)
                  given_.erase(owner);
              });
  }

  void take(const v1::RoomOfPeer& room) {
    auto left = [](const v1::RoomOfPeer& of) {
      return of.granted() - std::min(of.granted(), of.used());
    };
    if (left(room) >= left(best_))
      best_ = room;
    standing_->granted = best_.granted();
    standing_->used = best_.used();
    awaited_ -= awaited_ > 0 ? 1 : 0;
    if (awaited_ == 0)
      standing_->told = true;
  }

  watch_pointer self_;
  std::shared_ptr<const clock> time_;
  std::shared_ptr<const peer_access> access_;
  peer_id peer_;
  std::shared_ptr<peer_standing> standing_;
  std::optional<peer_access::way> way_;
  bool finding_ = false;
  clock::monotonic_time find_again_{};
  clock::monotonic_time::duration pause_{};
  std::vector<v1::PeerAddress> addresses_;
  bool relays_known_ = false; ///< They were looked up, and are among the addresses.
  std::optional<clock::monotonic_time> room_at_;
  size_t owners_asked_ = 0;
  size_t awaited_ = 0;                 ///< Of these, who have no answer yet.
  std::map<vault_id, uint64_t> given_; ///< The number of the roster that it took.
  v1::RoomOfPeer best_;
};

peer_watch_actor::behavior_type watch(watch_pointer self, std::shared_ptr<const clock> time, std::shared_ptr<const peer_access> access,
                                      const peer_id& peer, std::shared_ptr<peer_standing> standing) {
  self->state.does = std::make_shared<watcher>(self, std::move(time), std::move(access), peer, std::move(standing));
  auto* does = self->state.does.get();
  does->wake();
  return {
      [=](const v1::ShardWake&) { does->wake(); },
  };
}

} // namespace

peer_watch_actor spawn_peer_watch(caf::actor_system& sys, std::shared_ptr<const clock> time, std::shared_ptr<const peer_access> access,
                                  const peer_id& peer, std::shared_ptr<peer_standing> standing) {
  return sys.spawn(watch, std::move(time), std::move(access), peer, std::move(standing));
}

} // namespace datamesh::network
