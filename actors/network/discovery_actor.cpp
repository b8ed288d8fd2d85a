#include "network/discovery_actor.hpp"

#include "network/asio_resolver.hpp"
#include "network/discovery_message.hpp"
#include "network/kept_records.hpp"
#include "network/peer_part.hpp"
#include "storage/kept_promise.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

using std::chrono::milliseconds;
using storage::kept_promise;

using discovery_core = discovery_actor::extend<caf::reacts_to<v1::DiscoveryWake>, caf::reacts_to<v1::SeedFound>>;
/// Writes the file of known nodes, and that of records unless it is empty, on a thread of its own, once.
using table_keeper = caf::typed_actor<caf::replies_to<bytes, bytes>::with<v1::Done>>;

/// It wakes no sooner after it was woken, and no later.
constexpr auto wake_soonest = milliseconds{10};
constexpr auto wake_latest = std::chrono::minutes{1};
/// What an answer of our own actors may take beyond what they were told.
constexpr auto grace = std::chrono::seconds{1};
constexpr auto writing_max = std::chrono::minutes{1};
constexpr auto own_record_again = std::chrono::minutes{1};
constexpr size_t saved_bytes_max = 1 << 20;

template <class Id>
result<Id> read_id(const std::string& raw, const char* attempted) {
  if (raw.size() != Id::size)
    return fail(errc::invalid_argument, attempted, "an id has 32 bytes");
  return Id::from(as_view(raw));
}

std::string text_of(byte_view raw) {
  return std::string{as_text(raw)};
}

v1::NodeContact to_proto(const contact& from) {
  v1::NodeContact to;
  to.set_peer(text_of(from.id.view()));
  for (const auto& at : from.addresses)
    *to.add_address() = network::to_proto(at);
  return to;
}

std::string records_beside(const std::string& nodes) {
  return nodes + ".records";
}

table_keeper::behavior_type keep_table(table_keeper::pointer self, const std::shared_ptr<file_system>& files, const std::string& path) {
  return {
      [=](const bytes& nodes, const bytes& records) -> caf::result<v1::Done> {
        self->quit();
        if (auto written = nodes.empty() ? result<void>{} : write_whole(*files, path, nodes); !written)
          return to_caf(written.error());
        if (auto written = records.empty() ? result<void>{} : write_whole(*files, records_beside(path), records); !written)
          return to_caf(written.error());
        return v1::Done{};
      },
  };
}

/// A seed that has a name, while its addresses are looked up and dialed.
struct named_seed {
  bool busy = false;
  size_t left = 0; ///< Addresses that are being dialed.
  bool reached = false;
  bool told = false; ///< That it fails; once until it is reached.
  std::optional<error> last;
};

/// A request of the engine that is under way.
struct asked {
  discovery_ask what;
  mesh_time ends;
  size_t address = 0; ///< Of the contact's, that is tried now.
  bool again = false; ///< Its link went while it was asked; that happens once.
};

template <class Answer>
struct waiting {
  kept_promise<Answer> promise;
  mesh_time ends;
  bool told = false; ///< It took too long, and who asked knows.
};

struct finder_state;
using finder_pointer = discovery_core::stateful_pointer<finder_state>;

/// What the actor does, on its thread.
class finder {
public:
  finder(finder_pointer self, const discovery_parts& parts)
      : self_(self), env_(parts.env), identity_(parts.identity), links_(parts.links), setup_(parts.setup), watch_(parts.watch),
        engine_(identity_->id(), {setup_.mesh, setup_.rules, setup_.limits}, *env_.random, now()), resolver_(parts.resolver),
        place_(parts.place), named_(setup_.seeds.size()), next_save_(now().now + save_every) {}

  void begin();
  void wake(uint64_t number);
  void seed_found(const v1::SeedFound& what);
  [[nodiscard]] caf::result<v1::PeerAnswer, bytes> serve(const v1::PeerRequest& request);
  [[nodiscard]] caf::result<v1::LookedUp> look_up(const v1::LookUp& request);
  [[nodiscard]] caf::result<v1::RecordPublished> publish(const v1::PublishRecord& request);
  [[nodiscard]] caf::result<v1::Done> withdraw(const v1::WithdrawRecord& request);
  [[nodiscard]] caf::result<v1::NodeList> list() const;
  void heard(const v1::NodeHeard& what);
  void tell(const v1::TellAddresses& what);
  void tell_relays(const v1::TellRelays& what);
  void ways_changed();
  [[nodiscard]] caf::result<v1::Done> close();

private:
  [[nodiscard]] discovery_time now() const {
    return {env_.clock->monotonic(), env_.clock->wall()};
  }
  void go_on();
  void tell_nodes();
  void set_wake();
  void begin(discovery_ask ask);
  void reach(uint64_t number);
  void send(uint64_t number, const endpoint& at);
  void take_answer(uint64_t number, const endpoint& at, const std::string& message);
  void take_failure(uint64_t number, const error& reason);
  void give_up(uint64_t number, bool has_failed = true);
  [[nodiscard]] bool may_ask(const peer_id& peer);

  void take(lookup_ended& what);
  void take(record_sent& what);
  void take(renewal_due& what);
  void take(conflict_seen& what);
  void expire_waiting();

  void rejoin();
  void call_seed(const endpoint& at, const std::optional<peer_id>& who, std::optional<size_t> named);
  void resolve_seed(size_t which, const host_name& name);
  void seed_ended(size_t which, bool reached, std::optional<error> why);
  [[nodiscard]] record_name own_name() const;
  void publish_own();

  void restore();
  void restore_records();
  void save();
  void tell_file(const error& reason);
  void finish_close();

  finder_pointer self_;
  environment env_;
  std::shared_ptr<const tls_identity> identity_;
  link_actor links_;
  discovery_setup setup_;
  node_ways relays_; ///< Through which this node is reached.
  discovery_watch_actor watch_;
  discovery engine_;

  std::map<uint64_t, asked> asks_;
  std::map<peer_id, token_bucket> paces_; ///< Of those that ask us.
  std::map<uint64_t, waiting<v1::LookedUp>> lookups_;
  std::multimap<record_name, waiting<v1::RecordPublished>> publications_;

  std::optional<mesh_time> woken_at_; ///< For when the last wake is set.
  uint64_t wakes_ = 0;
  mesh_time next_rejoin_ = mesh_time::min();
  milliseconds rejoin_wait_ = rejoin_first;
  std::set<endpoint> calling_; ///< Seeds without an id that are being dialed.
  std::shared_ptr<name_resolver> resolver_;
  std::shared_ptr<storage::workplace> place_;
  std::vector<named_seed> named_;      ///< One a seed.
  std::vector<contact> known_;         ///< As it was saved last.
  std::pair<uint32_t, uint32_t> told_; ///< Nodes, and those that live.
  mesh_time next_own_ = mesh_time::min();
  uint64_t own_sequence_ = 0;
  mesh_time next_save_;
  bool saving_ = false;
  bool closing_ = false;
  std::vector<kept_promise<v1::Done>> closings_;
};

struct finder_state {
  static inline constexpr const char* name = "discovery";
  std::unique_ptr<finder> does;
};

// -- time ----------------------------------------------------------------------------------

void finder::begin() {
  restore();
  go_on();
}

/// After anything that the engine was told.
void finder::go_on() {
  for (bool more = true; more && !closing_;) {
    while (asks_.size() < discovery_asks_max) {
      auto next = engine_.take_ask(now());
      if (!next)
        break;
      begin(std::move(*next));
    }
    more = false;
    while (auto event = engine_.take_event()) {
      std::visit([this](auto& what) { take(what); }, *event);
      more = true;
    }
    if (now().now >= next_own_ && engine_.table().alive() > 0) {
      publish_own();
      more = true;
    }
  }
  tell_nodes();
  set_wake();
}

void finder::tell_nodes() {
  v1::NodesChanged message;
  message.set_nodes(static_cast<uint32_t>(engine_.table().size()));
  message.set_alive(static_cast<uint32_t>(engine_.table().alive()));
  std::pair counts{message.nodes(), message.alive()};
  if (std::exchange(told_, counts) != counts && watch_)
    self_->send(watch_, std::move(message));
}

// A wake that was set for later, before, is passed over by its number.
void finder::set_wake() {
  if (closing_)
    return;
  auto at = now().now;
  auto next = std::min({engine_.next_tick(), next_rejoin_, next_save_, at + wake_latest});
  next = std::max(next, at + wake_soonest);
  if (woken_at_ && *woken_at_ <= next)
    return;
  woken_at_ = next;
  v1::DiscoveryWake message;
  message.set_number(++wakes_);
  self_->delayed_send(self_, next - at, std::move(message));
}

void finder::wake(uint64_t number) {
  if (closing_ || number != wakes_)
    return;
  woken_at_.reset();
  auto at = now();
  engine_.tick(at);
  expire_waiting();
  if (engine_.table().alive() > 0) {
    next_rejoin_ = mesh_time::max();
    rejoin_wait_ = rejoin_first;
  } else if (next_rejoin_ == mesh_time::max() || at.now >= next_rejoin_) {
    rejoin();
  }
  if (at.now >= next_save_) {
    next_save_ = at.now + save_every;
    save();
  }
  go_on();
}

// -- requests to other nodes ---------------------------------------------------------------

void finder::begin(discovery_ask ask) {
  auto number = ask.number;
  asks_.emplace(number, asked{std::move(ask), now().now + request_time_max});
  reach(number);
}

/// At its next address. Whether it is reached there has to be seen: a link that it dialed
/// itself shows nothing of that.
void finder::reach(uint64_t number) {
  const auto& one = asks_.at(number);
  const auto& whom = one.what.whom;
  auto left = std::chrono::ceil<milliseconds>(one.ends - now().now);
  if (one.address >= whom.addresses.size() || left <= milliseconds{0})
    return give_up(number);
  auto at = whom.addresses[one.address];
  bool is_last = one.address + 1 == whom.addresses.size();
  v1::ConnectPeer request;
  *request.mutable_address() = network::to_proto(at);
  request.set_expected(text_of(whom.id.view()));
  request.set_there(true);
  self_->request(links_, is_last ? left : std::min<milliseconds>(left, next_address_after), std::move(request))
      .then([this, number, at](const v1::PeerConnected&) { send(number, at); },
            [this, number](const caf::error& reason) {
              // We dial too many, which is not its fault.
              if (from_caf(reason).code() == errc::capacity_exceeded)
                return give_up(number, false);
              ++asks_.at(number).address;
              reach(number);
            });
}

void finder::send(uint64_t number, const endpoint& at) {
  const auto& one = asks_.at(number);
  auto left = std::chrono::ceil<milliseconds>(one.ends - now().now);
  if (left <= milliseconds{0})
    return give_up(number);
  v1::AskPeer request;
  request.set_peer(text_of(one.what.whom.id.view()));
  request.set_timeout_ms(static_cast<uint32_t>(left.count()));
  request.set_message(message_to(peer_part::discovery, encode(request_message{setup_.told, one.what.what})));
  self_->request(links_, left + grace, std::move(request), bytes{})
      .then([this, number, at](const v1::PeerAnswer& answer, const bytes&) { take_answer(number, at, answer.message()); },
            [this, number](const caf::error& reason) { take_failure(number, from_caf(reason)); });
}

void finder::take_answer(uint64_t number, const endpoint& at, const std::string& message) {
  asks_.erase(number);
  if (auto answer = decode_answer(as_view(message)))
    engine_.answered(number, *answer, at.ip, now());
  else
    engine_.violated(number, now());
  go_on();
}

void finder::take_failure(uint64_t number, const error& reason) {
  auto& one = asks_.at(number);
  // Of two links that cross, one goes.
  if (reason.code() == errc::unavailable && !std::exchange(one.again, true)) {
    one.address = 0;
    return reach(number);
  }
  // Who does not know such records yet has answered.
  const auto* record = std::get_if<find_record>(&one.what.what);
  auto is_strange = record != nullptr && record->kind == record_kind::recovery && reason.code() == errc::protocol_violated;
  give_up(number, reason.code() != errc::capacity_exceeded && !is_strange);
}

void finder::give_up(uint64_t number, bool has_failed) {
  asks_.erase(number);
  if (has_failed)
    engine_.failed(number, now());
  else
    engine_.declined(number, now());
  go_on();
}

// -- requests of other nodes -----------------------------------------------------------------

bool finder::may_ask(const peer_id& peer) {
  auto at = now().now;
  if (paces_.size() >= paces_kept && !paces_.contains(peer))
    std::erase_if(paces_, [&](const auto& each) { return each.second.is_full(at); });
  return paces_.try_emplace(peer, token_bucket{served_rate}).first->second.try_take(1, at);
}

caf::result<v1::PeerAnswer, bytes> finder::serve(const v1::PeerRequest& request) {
  constexpr auto attempted = "serve another node";
  if (closing_)
    return to_caf(error{errc::unavailable, attempted});
  auto peer = read_id<peer_id>(request.peer(), attempted);
  if (!peer)
    return to_caf(peer.error());
  if (!may_ask(*peer))
    return to_caf(error{errc::capacity_exceeded, attempted, "it asks too often"});
  auto message = decode_request(as_view(request.message()));
  if (!message)
    return to_caf(message.error());
  v1::PeerAnswer answer;
  answer.set_message(encode(engine_.serve({*peer, std::move(message->from)}, message->what, now())));
  go_on();
  return {std::move(answer), bytes{}};
}

// -- requests of the rest of the node ----------------------------------------------------------

caf::result<v1::LookedUp> finder::look_up(const v1::LookUp& request) {
  constexpr auto attempted = "look something up in the mesh";
  auto target = read_id<point>(request.target(), attempted);
  if (!target)
    return to_caf(target.error());
  if (request.kind() != 0 && !is_record_kind(request.kind()))
    return to_caf(error{errc::invalid_argument, attempted, "there is no such kind of record"});
  if (closing_)
    return to_caf(error{errc::unavailable, attempted});
  if (lookups_.size() >= lookups_waiting_max)
    return to_caf(error{errc::capacity_exceeded, attempted, "too many lookups wait"});
  lookup_goal goal;
  goal.target = *target;
  if (request.kind() != 0)
    goal.kind = static_cast<record_kind>(request.kind());
  goal.enough = std::max<size_t>(request.enough(), 1);
  auto promise = self_->make_response_promise<caf::typed_response_promise<v1::LookedUp>>();
  lookups_.emplace(engine_.look_up(goal), waiting<v1::LookedUp>{{promise, attempted}, now().now + lookup_time_max});
  go_on();
  return promise;
}

void finder::take(lookup_ended& what) {
  auto found = lookups_.extract(what.number);
  if (found.empty() || found.mapped().told)
    return;
  v1::LookedUp answer;
  for (const auto& one : what.outcome.nearest)
    *answer.add_nearest() = to_proto(one);
  for (const auto& record : what.outcome.records)
    answer.add_record(text_of(record.raw));
  answer.set_asked(static_cast<uint32_t>(what.outcome.asked));
  answer.set_unanswered(static_cast<uint32_t>(what.outcome.unanswered));
  answer.set_hops(what.outcome.hops);
  found.mapped().promise.deliver(std::move(answer));
}

caf::result<v1::RecordPublished> finder::publish(const v1::PublishRecord& request) {
  constexpr auto attempted = "publish a record";
  auto record = open_record(setup_.mesh, as_view(request.record()), now().wall);
  if (!record)
    return to_caf(record.error().within(attempted));
  if (closing_)
    return to_caf(error{errc::unavailable, attempted});
  if (publications_.size() >= lookups_waiting_max || engine_.published() >= published_max)
    return to_caf(error{errc::capacity_exceeded, attempted, "too many are published"});
  auto promise = self_->make_response_promise<caf::typed_response_promise<v1::RecordPublished>>();
  publications_.emplace(record->name, waiting<v1::RecordPublished>{{promise, attempted}, now().now + lookup_time_max});
  engine_.publish(*record, now());
  go_on();
  return promise;
}

void finder::take(record_sent& what) {
  if (what.name == own_name() && what.copies == 0)
    next_own_ = now().now + own_record_again;
  auto [first, last] = publications_.equal_range(what.name);
  v1::RecordPublished answer;
  answer.set_copies(static_cast<uint32_t>(what.copies));
  for (auto one = first; one != last; ++one)
    one->second.promise.deliver(answer);
  publications_.erase(first, last);
}

caf::result<v1::Done> finder::withdraw(const v1::WithdrawRecord& request) {
  auto name = from_proto(request.name());
  if (!name)
    return to_caf(name.error());
  engine_.withdraw(*name);
  auto [first, last] = publications_.equal_range(*name);
  for (auto one = first; one != last; ++one)
    one->second.promise.deliver(to_caf(error{errc::cancelled, "publish a record", "it was withdrawn"}));
  publications_.erase(first, last);
  return v1::Done{};
}

caf::result<v1::NodeList> finder::list() const {
  v1::NodeList answer;
  for (const auto& one : engine_.table().closest(point_of(identity_->id()), SIZE_MAX))
    *answer.add_node() = to_proto(one);
  answer.set_alive(static_cast<uint32_t>(engine_.table().alive()));
  return answer;
}

void finder::heard(const v1::NodeHeard& what) {
  auto id = read_id<peer_id>(what.node().peer(), "hear of a node");
  if (!id || closing_)
    return;
  contact who{*id, {}};
  for (const auto& address : what.node().address())
    if (auto at = network::from_proto(address))
      who.addresses.push_back(*at);
  engine_.heard_of(who);
  go_on();
}

// Nodes that know this one learn it with the next request to them, and others from its record.
void finder::tell(const v1::TellAddresses& what) {
  std::vector<endpoint> told;
  for (const auto& address : what.address())
    if (auto at = network::from_proto(address); at && at->port != 0 && told.size() < contact_addresses_max)
      told.push_back(*at);
  if (closing_ || told == setup_.told)
    return;
  setup_.told = std::move(told);
  ways_changed();
}

void finder::tell_relays(const v1::TellRelays& what) {
  node_ways relays;
  for (const auto& address : what.address())
    if (auto at = network::from_proto(address); at && at->through && relays.size() < contact_addresses_max)
      relays.push_back(*at);
  if (closing_ || relays == relays_)
    return;
  relays_ = std::move(relays);
  ways_changed();
}

void finder::ways_changed() {
  if (setup_.told.empty() && relays_.empty())
    engine_.withdraw(own_name());
  next_own_ = now().now;
  go_on();
}

// A lookup counts until it has ended, whoever waits for it.
void finder::expire_waiting() {
  auto at = now().now;
  auto late = to_caf(error{errc::timed_out, "wait for the mesh"});
  for (auto& [number, one] : lookups_)
    if (at >= one.ends && !std::exchange(one.told, true))
      one.promise.deliver(late);
  for (auto i = publications_.begin(); i != publications_.end();) {
    if (at >= i->second.ends) {
      i->second.promise.deliver(late);
      i = publications_.erase(i);
    } else {
      ++i;
    }
  }
}

void finder::take(renewal_due& what) {
  if (what.name == own_name())
    return publish_own();
  v1::RecordRenewalDue message;
  *message.mutable_name() = network::to_proto(what.name);
  if (watch_)
    self_->send(watch_, std::move(message));
}

void finder::take(conflict_seen& what) {
  v1::RecordConflict message;
  message.set_held(text_of(what.proof.held.raw));
  message.set_other(text_of(what.proof.other.raw));
  if (watch_)
    self_->send(watch_, std::move(message));
}

// -- the node itself ---------------------------------------------------------------------------

record_name finder::own_name() const {
  return {record_kind::node, point_of(identity_->id()), identity_->key()};
}

// The number grows with the time, so that it does over a restart, too.
void finder::publish_own() {
  next_own_ = mesh_time::max();
  auto ways = setup_.told;
  ways.insert(ways.end(), relays_.begin(), relays_.end());
  if (ways.empty())
    return;
  auto wall = now().wall;
  auto since = std::chrono::floor<milliseconds>(wall).time_since_epoch().count();
  own_sequence_ = std::max(own_sequence_ + 1, static_cast<uint64_t>(std::max<int64_t>(since, 0)));
  auto expiry = std::chrono::floor<std::chrono::seconds>(wall) + lifetime_of(record_kind::node);
  record_draft draft{own_name(), own_sequence_, expiry, bytes::copy_of(encode_node_record(ways))};
  auto record = sign_record(setup_.mesh, draft, [this](byte_view message) { return identity_->sign(message); });
  if (record)
    engine_.publish(*record, now());
  else
    next_own_ = now().now + own_record_again;
}

/// Nobody of the table answers: asks those who may be there.
void finder::rejoin() {
  for (size_t i = 0; i < setup_.seeds.size(); ++i) {
    const auto& seed = setup_.seeds[i];
    const auto* ip = std::get_if<ip_address>(&seed.address.host);
    if (ip == nullptr)
      resolve_seed(i, std::get<host_name>(seed.address.host));
    else if (seed.id)
      engine_.heard_of({*seed.id, {endpoint{*ip, seed.address.port}}});
    else
      call_seed({*ip, seed.address.port}, std::nullopt, std::nullopt);
  }
  auto any = known_;
  for (size_t i = 0; i < std::min(known_asked, any.size()); ++i) {
    auto which = random_below(*env_.random, any.size() - i);
    if (!which)
      break;
    std::swap(any[i], any[i + *which]);
    engine_.heard_of(any[i]);
  }
  // Nodes that lost the same seed do not come back all at once.
  auto more = random_below(*env_.random, static_cast<uint64_t>(rejoin_wait_.count()) / 4).value_or(0);
  next_rejoin_ = now().now + rejoin_wait_ + milliseconds{more};
  rejoin_wait_ = std::min<milliseconds>(2 * rejoin_wait_, rejoin_last);
}

/// Anew each time: what a name stands for changes.
void finder::resolve_seed(size_t which, const host_name& name) {
  if (std::exchange(named_[which].busy, true))
    return;
  if (!resolver_)
    resolver_ = make_asio_resolver();
  resolver_->resolve(name, [to = caf::actor_cast<discovery_core>(self_), which](const result<std::vector<ip_address>>& found) {
    v1::SeedFound message;
    message.set_seed(static_cast<uint32_t>(which));
    if (found) {
      for (const auto& ip : *found)
        message.add_address(text_of(ip.view()));
    } else {
      message.set_code(static_cast<uint32_t>(found.error().code()));
      message.set_reason(found.error().message());
    }
    caf::anon_send(to, std::move(message));
  });
}

void finder::seed_found(const v1::SeedFound& what) {
  auto& of = named_.at(what.seed());
  const auto& seed = setup_.seeds[what.seed()];
  if (closing_)
    return;
  of.left = 0;
  of.reached = false;
  of.last.reset();
  if (what.code() != 0)
    return seed_ended(what.seed(), false, error{static_cast<errc>(what.code()), what.reason()});
  std::vector<endpoint> all;
  // Who answers for a name must not make us dial into the house.
  for (const auto& raw : what.address())
    if (auto ip = ip_from(as_view(raw)); ip && setup_.rules.admits(*ip))
      all.push_back({*ip, seed.address.port});
  if (all.empty())
    return seed_ended(what.seed(), false,
                      error{errc::unavailable, "reach a node", "the name stands for no address that is reached from everywhere"});
  of.left = all.size();
  for (const auto& at : all)
    call_seed(at, seed.id, what.seed());
}

/// Of one of its addresses, or of all before one was dialed.
void finder::seed_ended(size_t which, bool reached, std::optional<error> why) {
  auto& of = named_[which];
  of.left -= std::min<size_t>(of.left, 1);
  of.reached = of.reached || reached;
  if (why)
    of.last = std::move(why);
  if (of.left > 0)
    return;
  of.busy = false;
  if (of.reached) {
    of.told = false;
    return;
  }
  if (!of.last || std::exchange(of.told, true) || !watch_)
    return;
  v1::SeedFailed message;
  message.set_seed(to_string(setup_.seeds[which]));
  message.set_code(static_cast<uint32_t>(of.last->code()));
  message.set_reason(of.last->message());
  self_->send(watch_, std::move(message));
}

/// Who answers there is learned by dialing.
void finder::call_seed(const endpoint& at, const std::optional<peer_id>& who, std::optional<size_t> named) {
  auto end = [this, named](bool reached, std::optional<error> why) {
    if (named)
      seed_ended(*named, reached, std::move(why));
  };
  if (!calling_.insert(at).second)
    return end(false, std::nullopt);
  v1::ConnectPeer request;
  *request.mutable_address() = network::to_proto(at);
  if (who)
    request.set_expected(text_of(who->view()));
  self_->request(links_, handshake_time_max + grace, std::move(request))
      .then(
          [this, at, end](const v1::PeerConnected& answer) {
            calling_.erase(at);
            end(true, std::nullopt);
            if (auto peer = read_id<peer_id>(answer.peer(), "reach a node"))
              engine_.heard_of({*peer, {at}});
            go_on();
          },
          [this, at, end](const caf::error& reason) {
            calling_.erase(at);
            end(false, from_caf(reason));
          });
}

// -- the file of known nodes ----------------------------------------------------------------------

void finder::tell_file(const error& reason) {
  v1::NodesFileFailed message;
  message.set_code(static_cast<uint32_t>(reason.code()));
  message.set_reason(reason.message());
  if (watch_)
    self_->send(watch_, std::move(message));
}

void finder::restore_records() {
  auto path = records_beside(setup_.saved_at);
  auto saved = read_whole(*env_.files, path, kept_bytes_max);
  if (!saved) {
    if (saved.error().code() != errc::not_found)
      tell_file(saved.error());
    return;
  }
  auto records = decode_kept(setup_.mesh, *saved, now().wall);
  if (!records)
    return tell_file(records.error().within("read the records that were kept", path));
  for (const auto& record : *records)
    engine_.kept_before(record, now());
}

void finder::restore() {
  if (setup_.saved_at.empty())
    return;
  restore_records();
  auto saved = read_whole(*env_.files, setup_.saved_at, saved_bytes_max);
  if (!saved) {
    if (saved.error().code() != errc::not_found)
      tell_file(saved.error());
    return;
  }
  if (auto read = engine_.restore(*saved); !read)
    return tell_file(read.error().within("read the saved nodes", setup_.saved_at));
  known_ = engine_.table().closest(point_of(identity_->id()), SIZE_MAX);
}

// Who reaches nobody keeps what was known when somebody was reached.
void finder::save() {
  if (setup_.saved_at.empty() || saving_)
    return;
  bytes nodes;
  auto records = bytes::take(encode_kept(engine_.records()));
  if (engine_.table().alive() > 0) {
    known_ = engine_.table().closest(point_of(identity_->id()), SIZE_MAX);
    nodes = bytes::copy_of(engine_.table().save());
  } else if (records.empty()) {
    return;
  }
  saving_ = true;
  auto keeper = storage::spawn_worker(place_, *self_, keep_table, env_.files, setup_.saved_at);
  auto done = [this] {
    saving_ = false;
    if (closing_)
      finish_close();
  };
  self_->request(keeper, writing_max, std::move(nodes), std::move(records))
      .then([done](const v1::Done&) { done(); },
            [this, done](const caf::error& reason) {
              tell_file(from_caf(reason));
              done();
            });
}

caf::result<v1::Done> finder::close() {
  auto promise = self_->make_response_promise<caf::typed_response_promise<v1::Done>>();
  closings_.emplace_back(promise, "close discovery");
  if (!std::exchange(closing_, true)) {
    save();
    if (!saving_)
      finish_close();
  }
  return promise;
}

void finder::finish_close() {
  for (auto& promise : closings_)
    promise.deliver(v1::Done{});
  self_->quit();
}

discovery_core::behavior_type discover(finder_pointer self, const discovery_parts& parts) {
  self->state.does = std::make_unique<finder>(self, parts);
  self->state.does->begin();
  return {
      [=](const v1::PeerRequest& request, const bytes&) { return self->state.does->serve(request); },
      [=](const v1::LookUp& request) { return self->state.does->look_up(request); },
      [=](const v1::PublishRecord& request) { return self->state.does->publish(request); },
      [=](const v1::WithdrawRecord& request) { return self->state.does->withdraw(request); },
      [=](const v1::ListNodes&) { return self->state.does->list(); },
      [=](const v1::NodeHeard& what) { self->state.does->heard(what); },
      [=](const v1::TellAddresses& what) { self->state.does->tell(what); },
      [=](const v1::TellRelays& what) { self->state.does->tell_relays(what); },
      [=](caf::close_atom) { return self->state.does->close(); },
      [=](const v1::DiscoveryWake& wake) { self->state.does->wake(wake.number()); },
      [=](const v1::SeedFound& what) { self->state.does->seed_found(what); },
  };
}

} // namespace

v1::RecordName to_proto(const record_name& from) {
  v1::RecordName to;
  to.set_kind(static_cast<uint32_t>(from.kind));
  to.set_key(text_of(from.key.view()));
  to.set_publisher(text_of(from.publisher));
  return to;
}

result<record_name> from_proto(const v1::RecordName& from) {
  constexpr auto attempted = "read a record's name";
  auto key = read_id<point>(from.key(), attempted);
  if (!key)
    return fail(key.error());
  record_name to{static_cast<record_kind>(from.kind()), *key, {}};
  if (!is_record_kind(from.kind()) || from.publisher().size() != to.publisher.size())
    return fail(errc::invalid_argument, attempted);
  std::ranges::copy(as_view(from.publisher()), to.publisher.begin());
  return to;
}

result<discovery_actor> spawn_discovery_actor(caf::actor_system& sys, const discovery_parts& parts) {
  constexpr auto attempted = "begin to find nodes";
  const auto& setup = parts.setup;
  if (setup.seeds.size() > seeds_max)
    return fail(errc::invalid_argument, attempted, "too many seeds");
  if (setup.told.size() > contact_addresses_max || std::ranges::any_of(setup.told, [](const endpoint& at) { return at.port == 0; }))
    return fail(errc::invalid_argument, attempted, "the addresses of this node");
  return caf::actor_cast<discovery_actor>(sys.spawn(discover, parts));
}

} // namespace datamesh::network
