#include "network/peer_watch.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

using std::chrono::seconds;

constexpr auto link_answers_in = seconds{10};
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
      return set_linked(false);
    self_->request(way_->links, link_answers_in, v1::ListLinks{})
        .then(
            [this](const v1::LinkList& list) {
              auto linked = std::ranges::any_of(list.links(), [&](const auto& link) { return link.peer() == peer_.text(); });
              set_linked(linked);
              if (linked)
                ask_room();
              else
                find();
            },
            [this](const caf::error&) { set_linked(false); });
  }

private:
  void set_linked(bool linked) {
    standing_->linked = linked;
    if (!linked)
      room_at_.reset();
  }

  /// Where it is, from those that are nearest to its id.
  void find() {
    if (std::exchange(finding_, true))
      return;
    v1::LookUp request;
    request.set_target(std::string{peer_.text()});
    self_->request(way_->discovery, lookup_time_max + link_answers_in, std::move(request))
        .then(
            [this](const v1::LookedUp& found) {
              addresses_.clear();
              for (const auto& node : found.nearest())
                if (node.peer() == peer_.text())
                  addresses_.assign(node.address().begin(), node.address().end());
              dial();
            },
            [this](const caf::error&) { finding_ = false; });
  }

  /// One address after the other.
  void dial() {
    way_ = access_->now();
    if (addresses_.empty() || !way_) {
      finding_ = false;
      return;
    }
    v1::ConnectPeer request;
    *request.mutable_address() = addresses_.front();
    addresses_.erase(addresses_.begin());
    request.set_expected(std::string{peer_.text()});
    self_->request(way_->links, dialed_in, std::move(request))
        .then(
            [this](const v1::PeerConnected&) {
              finding_ = false;
              set_linked(true);
              ask_room();
            },
            [this](const caf::error&) { dial(); });
  }

  void ask_room() {
    auto now = time_->monotonic();
    auto owners = access_->owners();
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
  std::vector<v1::PeerAddress> addresses_;
  std::optional<clock::monotonic_time> room_at_;
  size_t owners_asked_ = 0;
  size_t awaited_ = 0; ///< Of these, who have no answer yet.
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
