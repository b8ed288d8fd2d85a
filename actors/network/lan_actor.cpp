#include "network/lan_actor.hpp"

namespace datamesh::network {

namespace {

using std::chrono::milliseconds;

/// It wakes no sooner after it was woken.
constexpr auto wake_soonest = milliseconds{10};

class speaker;
struct speaker_state {
  static inline constexpr const char* name = "lan";
  std::unique_ptr<speaker> does;
};
using speaker_pointer = lan_actor::stateful_pointer<speaker_state>;

/// What the actor does, on its thread.
class speaker {
public:
  speaker(speaker_pointer self, const lan_parts& parts)
      : self_(self), parts_(parts),
        heard_({parts.mesh, parts.identity->id(), parts.rules, !parts.listens.empty()}, *parts_.env.random, parts.env.clock->monotonic()) {}
  ~speaker() {
    parts_.wire->stop();
  }
  speaker(const speaker&) = delete;
  speaker& operator=(const speaker&) = delete;

  void begin() {
    auto limits = std::make_shared<datagram_limits>();
    auto started = parts_.wire->start(
        [to = caf::actor_cast<lan_actor>(self_), limits, time = parts_.env.clock](const ip_address& from, byte_view datagram) {
          if (!limits->admits(datagram, from, time->monotonic()))
            return;
          v1::LanHeard message;
          message.set_from(std::string{as_text(from.view())});
          message.set_datagram(std::string{as_text(datagram)});
          caf::anon_send(to, std::move(message));
        });
    if (!started)
      return parts_.failed(started.error());
    set_wake();
  }

  void wake(uint64_t number) {
    if (number != wakes_)
      return;
    woken_at_.reset();
    if (now().now >= next_look_)
      look();
    if (auto what = heard_.take_saying(now().now))
      say(*what);
    set_wake();
  }

  void heard(const v1::LanHeard& what) {
    auto from = ip_from(as_view(what.from()));
    if (!from)
      return;
    (void) heard_.heard(as_view(what.datagram()), *from, now());
    while (auto who = heard_.take_contact())
      if (!parts_.gate || parts_.gate->refuses(who->id) == link_refusal::none)
        name(*who);
    set_wake();
  }

  [[nodiscard]] v1::NeighbourList list() const {
    v1::NeighbourList answer;
    auto at = now().now;
    for (const auto& one : heard_.of_late(at)) {
      auto& row = *answer.add_row();
      if (one.id)
        row.set_peer(std::string{one.id->text()});
      for (const auto& address : one.addresses)
        *row.add_address() = to_proto(address);
      row.set_since_ms(static_cast<uint64_t>(std::chrono::floor<milliseconds>(at - one.heard).count()));
    }
    for (const auto& one : interfaces_)
      if (!told_on(one, parts_.listens, parts_.announces).empty())
        answer.add_interface(one.name);
    return answer;
  }

private:
  [[nodiscard]] discovery_time now() const {
    return {parts_.env.clock->monotonic(), parts_.env.clock->wall()};
  }

  // A wake that was set for later, before, is passed over by its number.
  void set_wake() {
    auto at = now().now;
    auto next = std::max<mesh_time>(std::min<mesh_time>(heard_.next_saying(), next_look_), at + wake_soonest);
    if (woken_at_ && *woken_at_ <= next)
      return;
    woken_at_ = next;
    v1::LanWake message;
    message.set_number(++wakes_);
    self_->delayed_send(self_, next - at, std::move(message));
  }

  void look() {
    next_look_ = now().now + interfaces_looked_at;
    auto there = parts_.wire->look();
    if (!there && !std::exchange(deaf_, true))
      parts_.failed(there.error());
    else if (there && std::exchange(deaf_, false))
      parts_.failed(std::nullopt);
    interfaces_ = there ? std::move(*there) : std::vector<lan_interface>{};
  }

  void say(const neighbourhood::saying& what) {
    for (const auto& one : interfaces_) {
      auto addresses = told_on(one, parts_.listens, parts_.announces);
      // A node that is on loopback alone is nothing that others of the house need to see.
      if (what.question && (parts_.listens.empty() || !addresses.empty()))
        if (auto question = seal_question(parts_.mesh, *parts_.env.random))
          parts_.wire->send(one, *question);
      if (!what.here || addresses.empty())
        continue;
      // Grows with the time, so that it does over a restart, too.
      auto since = std::chrono::floor<milliseconds>(now().wall).time_since_epoch().count();
      sequence_ = std::max(sequence_ + 1, static_cast<uint64_t>(std::max<int64_t>(since, 0)));
      beacon here{parts_.identity->id(), parts_.identity->key(), sequence_, std::move(addresses)};
      auto sign = [this](byte_view message) {
        return parts_.identity->sign(message);
      };
      if (auto datagram = seal_beacon(parts_.mesh, here, sign, *parts_.env.random))
        parts_.wire->send(one, *datagram);
    }
  }

  void name(const contact& who) {
    v1::NodeHeard message;
    message.mutable_node()->set_peer(std::string{who.id.text()});
    for (const auto& at : who.addresses)
      *message.mutable_node()->add_address() = to_proto(at);
    self_->send(parts_.discovery, std::move(message));
  }

  speaker_pointer self_;
  lan_parts parts_;
  neighbourhood heard_;
  std::vector<lan_interface> interfaces_;
  mesh_time next_look_ = mesh_time::min();
  bool deaf_ = false;
  uint64_t sequence_ = 0;
  std::optional<mesh_time> woken_at_;
  uint64_t wakes_ = 0;
};

lan_actor::behavior_type speak(speaker_pointer self, const lan_parts& parts) {
  self->state.does = std::make_unique<speaker>(self, parts);
  self->state.does->begin();
  return {
      [=](const v1::LanHeard& what) { self->state.does->heard(what); },
      [=](const v1::LanWake& what) { self->state.does->wake(what.number()); },
      [=](const v1::ListNeighbours&) { return self->state.does->list(); },
  };
}

} // namespace

lan_actor spawn_lan_actor(caf::actor_system& sys, const lan_parts& parts) {
  return sys.spawn(speak, parts);
}

} // namespace datamesh::network
