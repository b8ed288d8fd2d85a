#include "network/link_hub.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <unordered_map>

namespace datamesh::network {

namespace {

/// Links whose time has come, in one go: the transport has others to serve meanwhile.
constexpr size_t ticks_at_once = 256;
/// Links that begin within so much of each other may cross: each was dialed before the
/// other was open.
constexpr auto crossing_max = 2 * handshake_time_max;
/// Peers without a link whose pace is kept before it is looked who gains by it.
constexpr size_t paces_kept = 1024;
/// Addresses at which a peer was dialed that are remembered with a link.
constexpr size_t reached_max = 4;
/// Unsent bytes with which a closed link is dropped instead.
constexpr size_t farewell_bytes_max = 256 << 10;
/// What a link may hold, with one request, so that it is served while others hold too much. An answer is large,
/// and counts only when it is there: more than one would let strangers gain by it.
constexpr size_t modest_bytes = 64 << 10;
/// With so much on its way out nothing more is begun, so that what is small, and goes before what is large, does not wait
/// behind it for long: a lookup in a mesh is given up after some seconds, and a slow line takes these for a megabyte.
constexpr size_t output_ahead = 256 << 10;
constexpr size_t small_bytes = 16 << 10;
/// A first message of TLS, with the head of its record, is no longer.
constexpr size_t first_bytes_max = handshake_bytes_max + 5;
/// When to look again for links that are unused, where some are busy.
constexpr auto busy_again = std::chrono::seconds{1};
/// Without a byte either way for so long, a link that holds as much as that goes before those over which bytes move.
constexpr auto stuck_after = std::chrono::seconds{1};

/// A request that the peer takes no credit for yet, or has not answered.
struct pending_request {
  uint64_t token = 0;
  std::string message;
  bytes body;
  link_time deadline;
  request_terms terms;

  [[nodiscard]] size_t size() const noexcept {
    return message.size() + body.size();
  }
  /// Of the memory for what we ask.
  [[nodiscard]] size_t cost() const noexcept {
    auto all = size() + terms.answer_max;
    return all <= small_bytes ? 0 : all;
  }
  [[nodiscard]] size_t kind() const noexcept {
    return static_cast<size_t>(terms.work);
  }
  /// Before which others it goes.
  [[nodiscard]] size_t rank() const noexcept {
    return size() <= small_bytes && cost() == 0 ? 0 : 1 + kind();
  }
};

/// Waits for what is before it to be sent.
struct pending_answer {
  uint64_t id = 0; ///< Of the peer's request.
  std::string message;
  bytes body;

  [[nodiscard]] size_t size() const noexcept {
    return message.size() + body.size();
  }
};

/// Was asked over the one of two links that ended; the other is not open yet.
struct stranded_request {
  peer_id peer;
  pending_request what;
  link_time until;
};
/// Stands for the link of those.
constexpr uint64_t no_link = 0;

/// How fast a peer sends.
struct pace {
  token_bucket items;
  token_bucket bytes;

  [[nodiscard]] link_time ready_at() const noexcept {
    return std::max(items.ready_at(), bytes.ready_at());
  }
  [[nodiscard]] bool is_full(link_time now) const noexcept {
    return items.is_full(now) && bytes.is_full(now);
  }
};

enum class wire_state : uint8_t {
  dialing, ///< The socket is not there yet.
  flowing, ///< All that it was given was taken.
  stalled, ///< It takes no more now.
  gone,    ///< To be closed.
};

/// One socket, and the link over it.
struct entry {
  link_facts facts;
  std::optional<peer_id> expected;
  link_time begun;
  wire_state wire = wire_state::flowing;
  /// Made when it is his turn, if others dialed: a stranger who says nothing, or half of what is to be said, costs next to
  /// nothing.
  std::optional<peer_link> link;
  std::vector<std::byte> early; ///< Came before the link was open, and is taken one after the other.
  bool knocked = false;         ///< The first message is there, or something that is none.
  bool up = false;              ///< The owner knows it.
  bool over = false;            ///< It was closed; the peer may still hear why.
  bool shut = false;            ///< ... and has heard it.
  bool reading = false;
  bool dialed = false;  ///< Counts as a dial.
  bool starved = false; ///< Waits for memory for what it asks.
  link_time ends{};     ///< When the last word is over.
  link_time paused{};   ///< Until when the peer has sent too much.
  link_time stalled{};  ///< Since when it takes no more.
  link_time used{};     ///< When something was asked over it last, by either side.
  link_time moved{};    ///< When bytes last came or went.
  link_time scheduled = link_time::max();
  size_t held = 0;
  uint64_t items = 0; ///< Of the link, that its peer's pace has.
  std::deque<pending_request> waiting;
  size_t waiting_bytes = 0;
  std::map<uint64_t, pending_request> asked; ///< With our numbers.
  std::deque<pending_answer> answers;
  size_t answers_bytes = 0;
  std::vector<uint64_t> connecting; ///< Tokens of those who wait for it to open.
  std::vector<endpoint> reached;    ///< Where the peer was dialed while the link lasts.

  [[nodiscard]] uint64_t number() const noexcept {
    return facts.link;
  }
  [[nodiscard]] bool is_open() const noexcept {
    return link && link->is_open();
  }
  /// What came waits until it is taken.
  [[nodiscard]] bool awaits_step() const noexcept {
    return !early.empty() && (knocked || link);
  }
  /// Not through another node.
  [[nodiscard]] bool is_direct() const noexcept {
    return !facts.address.through;
  }
  /// Room in the output for something of that size.
  [[nodiscard]] bool takes(size_t size) const noexcept {
    return size <= small_bytes || link->output().size() < output_ahead;
  }
  [[nodiscard]] bool takes_request() const {
    return !starved && is_open() && !waiting.empty() && link->has_credit(waiting.front().size()) && takes(waiting.front().size());
  }
  [[nodiscard]] bool takes_answer() const {
    return is_open() && !answers.empty() && takes(answers.front().size());
  }
  [[nodiscard]] bool is_modest() const noexcept {
    return held <= modest_bytes && link->owed() <= 1;
  }
  [[nodiscard]] bool is_stuck(link_time now) const noexcept {
    return held >= modest_bytes && now >= moved + stuck_after;
  }
};

} // namespace

struct link_hub::impl {
  impl(const tls_identity& identity, const hub_options& with, transport& transport, const clock& clock, hub_owner& o)
      : us(identity), options(with), by(transport), time(clock), owner(o), door(with.door) {}

  const tls_identity& us;
  const hub_options options;
  transport& by;
  const clock& time;
  hub_owner& owner;
  admission door;
  std::unordered_map<uint64_t, entry> entries;
  std::map<peer_id, std::vector<uint64_t>> peers;           ///< Open links of each, the newest last; never empty.
  std::map<std::pair<peer_id, endpoint>, uint64_t> dialing; ///< Who must answer, and where.
  std::map<peer_id, pace> paces;
  std::unordered_map<uint64_t, uint64_t> asks; ///< Tokens with their links.
  std::vector<stranded_request> stranded;
  std::set<std::pair<link_time, uint64_t>> timers;
  link_time wakes = link_time::max();
  size_t dials = 0;
  size_t farewells = 0;
  size_t up = 0;           ///< Entries that are.
  link_time unused_from{}; ///< None is found unused for long before.
  size_t held = 0;
  std::array<size_t, work_kinds> own{};                  ///< Of `cost`, by kind.
  std::array<std::deque<uint64_t>, work_kinds> starving; ///< Links whose first request waits for memory.
  bool closing = false;
  bool closed = false;
  bool busy = false;
  std::deque<uint64_t> unsettled;
  std::deque<uint64_t> steps; ///< Half-open links of which something came.

  entry* find(uint64_t number) {
    auto at = entries.find(number);
    return at == entries.end() ? nullptr : &at->second;
  }
  [[nodiscard]] link_time now() const {
    return time.monotonic();
  }

  entry& add(socket_id socket, const endpoint& address, link_side side);
  void open_link(entry& e);
  void take_early(entry& e, byte_view data);
  void go_on_with_handshakes();
  void give_link(entry& e, byte_view data);
  void lose(entry& e, const error& reason);
  void forget(uint64_t number);
  void no_longer_dialed(entry& e);

  void settle(uint64_t number);
  void end_turn();
  void settle_one(uint64_t number);
  void take_events(entry& e);
  void take(entry& e, const link_opened& what);
  void take(entry& e, link_request& what);
  void take(entry& e, const link_cancelled& what);
  void take(entry& e, link_answer& what);
  void take(entry& e, const link_closed& what);
  [[nodiscard]] bool keeps(const entry& fresh, const peer_id& peer);
  void note_reached(entry& dialed);
  void end_unused();
  [[nodiscard]] bool is_reached(const peer_id& peer, const endpoint& at);
  void send_waiting(entry& e);
  [[nodiscard]] bool has_memory_for(const pending_request& what) const;
  void release(const pending_request& what);
  void send_answers(entry& e);
  void flush(entry& e);
  [[nodiscard]] bool says_farewell(entry& e);
  void set_reading(entry& e);
  void count_held(entry& e);
  void count_pace(entry& e, size_t size);
  void relieve();

  [[nodiscard]] link_time next_tick(const entry& e) const;
  void schedule(entry& e);
  void set_alarm();
  void wake(entry& e);
  void expire_waiting(entry& e);

  [[nodiscard]] entry* newest(const peer_id& peer);
  [[nodiscard]] bool ask_again(const peer_id& peer, pending_request& what);
  void ask_over(entry& e, pending_request what);
  template <class Which>
  [[nodiscard]] std::vector<stranded_request> take_stranded(Which which);
  template <class Which>
  void fail_stranded(errc why, Which which);
  void answered(uint64_t token, std::optional<error> failure, std::string message, bytes body);
};

// One call from outside. The owner may call back from within it; what comes of that is
// done when the outermost is over, so no link goes while somebody works on it.
class link_hub::turn {
public:
  explicit turn(impl& of) : of_(of), outermost_(!std::exchange(of.busy, true)) {}
  ~turn() {
    if (outermost_)
      of_.end_turn();
  }
  turn(const turn&) = delete;
  turn& operator=(const turn&) = delete;

private:
  impl& of_;
  bool outermost_;
};

link_hub::link_hub(const tls_identity& us, const hub_options& options, transport& by, const clock& time, hub_owner& owner)
    : impl_(std::make_unique<impl>(us, options, by, time, owner)) {}
link_hub::~link_hub() = default;

// -- the life of a link ----------------------------------------------------------------

entry& link_hub::impl::add(socket_id socket, const endpoint& address, link_side side) {
  auto& e = entries[socket];
  e.facts = {socket, {}, address, side};
  e.begun = now();
  return e;
}

void link_hub::impl::open_link(entry& e) {
  auto made = peer_link::open(us, e.facts.side, e.expected, options.link, e.begun);
  if (!made)
    return lose(e, made.error());
  e.link = std::move(*made);
}

// Of a handshake that is begun, or the first message of one. What those say who are not known yet costs much more than most of
// what others say, so each of it waits for its turn, and open links are served in between.
void link_hub::impl::take_early(entry& e, byte_view data) {
  e.early.insert(e.early.end(), data.begin(), data.end());
  if (e.link)
    return steps.push_back(e.number());
  if (e.early.size() > first_bytes_max)
    return lose(e, error{errc::protocol_violated, "open a link", "so much is no first message"});
  if (!is_part_of_first_record(e.early)) {
    e.knocked = true;
    door.knock(e.number());
  }
}

void link_hub::impl::go_on_with_handshakes() {
  auto take = [this](entry& e) {
    auto data = std::exchange(e.early, {});
    if (e.link)
      give_link(e, data);
    settle(e.number());
  };
  if (!steps.empty()) {
    auto* e = find(steps.front());
    steps.pop_front();
    if (e != nullptr && !e->over)
      take(*e);
  }
  if (auto turn = door.next(now())) {
    if (turn->instead_of) {
      lose(*find(*turn->instead_of), error{errc::capacity_exceeded, "open a link", "it took its time, and others came"});
      settle(*turn->instead_of);
    }
    auto& e = *find(turn->link);
    open_link(e);
    take(e);
  }
}

void link_hub::impl::give_link(entry& e, byte_view data) {
  e.link->received(data, now());
  if (e.is_open())
    count_pace(e, data.size());
}

// Its last event, if it has a link, tells all who wait; nobody else could.
void link_hub::impl::lose(entry& e, const error& reason) {
  e.wire = wire_state::gone;
  if (e.link)
    e.link->lost(reason);
  else
    take(e, link_closed{reason});
}

void link_hub::impl::no_longer_dialed(entry& e) {
  if (!std::exchange(e.dialed, false))
    return;
  --dials;
  if (e.expected)
    dialing.erase({*e.expected, e.facts.address});
}

void link_hub::impl::forget(uint64_t number) {
  auto& e = *find(number);
  by.close(number);
  timers.erase({e.scheduled, number});
  held -= e.held;
  if (e.ends != link_time{})
    --farewells;
  entries.erase(number);
}

// -- after anything that may have changed a link -----------------------------------------

void link_hub::impl::settle(uint64_t number) {
  unsettled.push_back(number);
}

void link_hub::impl::end_turn() {
  while (!unsettled.empty()) {
    auto next = unsettled.front();
    unsettled.pop_front();
    settle_one(next);
    if (unsettled.empty() && held > options.held_max)
      relieve();
  }
  busy = false;
  set_alarm();
  if (closing && entries.empty() && !std::exchange(closed, true))
    owner.on_closed();
}

void link_hub::impl::settle_one(uint64_t number) {
  auto* e = find(number);
  if (e == nullptr)
    return;
  take_events(*e);
  do {
    send_answers(*e);
    send_waiting(*e);
    take_events(*e);
    flush(*e);
  } while (e->wire == wire_state::flowing && (e->takes_answer() || e->takes_request()));
  if (e->over && !says_farewell(*e))
    return forget(number);
  set_reading(*e);
  count_held(*e);
  schedule(*e);
}

void link_hub::impl::take_events(entry& e) {
  while (auto event = e.link ? e.link->take_event() : std::nullopt)
    std::visit([&](auto& what) { take(e, what); }, *event);
}

void link_hub::impl::take(entry& e, const link_opened& what) {
  door.opened(e.number());
  no_longer_dialed(e);
  e.facts.peer = what.peer;
  if (e.facts.side == link_side::dialer)
    note_reached(e);
  e.used = now();
  if (keeps(e, what.peer)) {
    e.up = true;
    ++up;
    end_unused();
    auto& all = peers[what.peer];
    all.push_back(e.number());
    owner.on_link_up(e.facts, all.size());
    for (auto& each : take_stranded([&](const auto& one) { return one.peer == what.peer; }))
      ask_over(e, std::move(each.what));
  } else {
    e.link->close(errc::already_exists);
  }
  for (auto token : std::exchange(e.connecting, {}))
    owner.on_connected(token, what.peer);
}

// What another node passes on costs that one as well, and gives way to a link without it; who was dialed again
// through another node does not know whether the direct link is dead.
//
// Two nodes that dial each other at once must not both give up their own link, or the
// other's: the one stays that the node with the smaller id dialed. Else, who dialed knows
// whether he has another, and gives up the new one. Who was dialed does not know whether
// the old one is dead, as after the peer's power failed, and keeps both; not more.
bool link_hub::impl::keeps(const entry& fresh, const peer_id& peer) {
  auto known = peers.find(peer);
  if (known == peers.end())
    return true;
  auto winner = us.id() < peer ? link_side::dialer : link_side::acceptor;
  auto give_up = [this](uint64_t number) {
    find(number)->link->close(errc::already_exists);
    settle(number);
  };
  for (auto number : known->second) {
    const auto& old = *find(number);
    bool crossed = old.facts.side != fresh.facts.side && now() < old.begun + crossing_max;
    if (old.is_direct() != fresh.is_direct()) {
      if (fresh.is_direct())
        give_up(number);
      else if (crossed || fresh.facts.side == link_side::dialer)
        return false;
      continue;
    }
    if (crossed && fresh.facts.side == winner)
      give_up(number);
    else if (crossed || fresh.facts.side == link_side::dialer)
      return false;
  }
  auto alive = std::ranges::count_if(known->second, [this](auto number) { return find(number)->is_open(); });
  if (static_cast<size_t>(alive) >= links_per_peer)
    give_up(known->second.front());
  return true;
}

// Of two links with a peer one may go at once; what was learned by it stays with the other.
void link_hub::impl::note_reached(entry& dialed) {
  auto note = [at = dialed.facts.address](std::vector<endpoint>& in) {
    if (std::ranges::find(in, at) != in.end())
      return;
    if (in.size() >= reached_max)
      in.erase(in.begin());
    in.push_back(at);
  };
  note(dialed.reached);
  if (auto others = peers.find(dialed.facts.peer); others != peers.end())
    for (auto number : others->second)
      note(find(number)->reached);
}

void link_hub::impl::end_unused() {
  auto at = now();
  if (up <= options.links_kept || at < unused_from)
    return;
  entry* longest = nullptr;
  for (auto& [number, e] : entries) {
    bool is_busy = e.held > 0 || !e.asked.empty() || !e.waiting.empty();
    if (e.up && e.is_open() && !is_busy && (longest == nullptr || std::pair{e.used, number} < std::pair{longest->used, longest->number()}))
      longest = &e;
  }
  // Who is busy now may be found unused for long as soon as that is over.
  unused_from = std::min(at + busy_again, longest != nullptr ? longest->used + options.unused_after : link_time::max());
  if (at < unused_from)
    return;
  longest->link->close(errc::capacity_exceeded);
  settle(longest->number());
}

bool link_hub::impl::is_reached(const peer_id& peer, const endpoint& at) {
  auto known = peers.find(peer);
  return known != peers.end() && std::ranges::any_of(known->second, [&](auto number) {
           const auto& e = *find(number);
           return e.is_open() && std::ranges::find(e.reached, at) != e.reached.end();
         });
}

void link_hub::impl::take(entry& e, link_request& what) {
  count_held(e);
  e.used = now();
  // Who takes little is not to suffer from those who take much.
  if (closing || (held > options.held_max / 2 && !e.is_modest()))
    return (void) e.link->answer(what.id, closing ? errc::unavailable : errc::capacity_exceeded);
  owner.on_request({e.number(), what.id}, e.facts.peer, what.deadline, std::move(what.message), std::move(what.body));
}

void link_hub::impl::take(entry& e, const link_cancelled& what) {
  owner.on_cancelled({e.number(), what.id});
}

void link_hub::impl::take(entry& e, link_answer& what) {
  auto of = std::move(e.asked.extract(what.id).mapped());
  release(of);
  if (what.doubled && ask_again(e.facts.peer, of))
    return;
  answered(of.token, std::move(what.failure), std::move(what.message), std::move(what.body));
}

// Who ends one of two links counts on the other, so what was asked over it is not lost. It may be
// done twice by that: all that nodes ask each other is such that this does no harm.
bool link_hub::impl::ask_again(const peer_id& peer, pending_request& what) {
  auto at = now();
  if (at >= what.deadline || closing)
    return false;
  if (auto* other = newest(peer)) {
    ask_over(*other, std::move(what));
    return true;
  }
  // Of two sockets the peer may have heard the one earlier.
  if (stranded.size() >= options.waiting_max)
    return false;
  auto until = std::min(what.deadline, at + handshake_time_max);
  asks[what.token] = no_link;
  stranded.push_back({peer, std::move(what), until});
  timers.emplace(until, no_link);
  return true;
}

void link_hub::impl::ask_over(entry& e, pending_request what) {
  asks[what.token] = e.number();
  e.waiting_bytes += what.size();
  auto before = std::ranges::find_if(e.waiting, [rank = what.rank()](const auto& one) { return one.rank() > rank; });
  // What waits for memory may be behind it now.
  e.starved = e.starved && before != e.waiting.begin();
  e.waiting.insert(before, std::move(what));
  settle(e.number());
}

template <class Which>
std::vector<stranded_request> link_hub::impl::take_stranded(Which which) {
  auto rest = std::stable_partition(stranded.begin(), stranded.end(), [&](const auto& one) { return !which(one); });
  std::vector<stranded_request> taken{std::make_move_iterator(rest), std::make_move_iterator(stranded.end())};
  stranded.erase(rest, stranded.end());
  return taken;
}

template <class Which>
void link_hub::impl::fail_stranded(errc why, Which which) {
  for (auto& each : take_stranded(which))
    answered(each.what.token, error{why, "ask another node", each.peer.brief()}, {}, {});
}

// Not the one of which an end is just heard.
entry* link_hub::impl::newest(const peer_id& peer) {
  auto known = peers.find(peer);
  if (known == peers.end())
    return nullptr;
  auto open = std::ranges::find_if(known->second.rbegin(), known->second.rend(), [&](auto number) { return find(number)->is_open(); });
  return open == known->second.rend() ? nullptr : find(*open);
}

void link_hub::impl::take(entry& e, const link_closed& what) {
  e.over = true;
  e.answers.clear();
  e.answers_bytes = 0;
  no_longer_dialed(e);
  door.left(e.number());
  // A peer that is silent hears nothing, either.
  if (e.wire == wire_state::dialing || what.reason.code() == errc::timed_out)
    e.wire = wire_state::gone;
  for (auto& each : std::exchange(e.waiting, {}))
    if (!what.doubled || !ask_again(e.facts.peer, each))
      answered(each.token, what.reason.as(errc::unavailable, "ask another node"), {}, {});
  for (auto token : std::exchange(e.connecting, {}))
    owner.on_connected(token, fail(what.reason));
  if (!std::exchange(e.up, false)) {
    if (auto who = e.link ? e.link->proven() : std::nullopt; who && what.refused != link_refusal::none) {
      e.facts.peer = *who;
      owner.on_refused(e.facts, what.reason);
    }
    return;
  }
  --up;
  auto all = peers.find(e.facts.peer);
  auto left = std::erase(all->second, e.number()) == 1 ? all->second.size() : 0;
  if (left == 0)
    peers.erase(all);
  owner.on_link_down(e.facts, left, what.reason);
}

void link_hub::impl::send_waiting(entry& e) {
  while (e.takes_request()) {
    if (!has_memory_for(e.waiting.front())) {
      e.starved = true;
      return starving[e.waiting.front().kind()].push_back(e.number());
    }
    auto next = std::move(e.waiting.front());
    e.waiting.pop_front();
    e.waiting_bytes -= next.size();
    e.used = now();
    auto id = e.link->request(next.message, next.body, next.deadline, now(), next.terms.answer_max);
    if (!id) {
      answered(next.token, id.error(), {}, {});
      continue;
    }
    own[next.kind()] += next.cost();
    e.asked.emplace(*id, std::move(next));
  }
}

bool link_hub::impl::has_memory_for(const pending_request& what) const {
  auto used = std::accumulate(own.begin(), own.end(), size_t{0});
  return what.cost() == 0 || own[what.kind()] == 0 || used + what.cost() <= options.own_max >> what.kind();
}

// Who waits for it goes on in the order of kinds, and within one in that of coming.
void link_hub::impl::release(const pending_request& what) {
  if (what.cost() == 0)
    return;
  own[what.kind()] -= what.cost();
  for (auto& kind : starving)
    for (auto number : std::exchange(kind, {}))
      if (auto* e = find(number); e != nullptr) {
        e->starved = false;
        settle(number);
      }
}

void link_hub::impl::send_answers(entry& e) {
  while (e.takes_answer()) {
    auto next = std::move(e.answers.front());
    e.answers.pop_front();
    e.answers_bytes -= next.size();
    (void) e.link->answer(next.id, std::move(next.message), next.body);
  }
}

void link_hub::impl::flush(entry& e) {
  while (e.link && e.wire == wire_state::flowing) {
    auto out = e.link->output();
    if (out.empty())
      return;
    auto size = out.size();
    auto sent = by.send(e.number(), out);
    e.link->drop_output(sent, now());
    if (sent > 0)
      e.moved = now();
    if (sent < size) {
      e.wire = wire_state::stalled;
      e.stalled = now();
    }
  }
}

// False when nothing is left to be said. A socket that is closed with bytes in it takes
// along what is on the way to the peer, so its end is waited for, a while.
bool link_hub::impl::says_farewell(entry& e) {
  if (e.wire == wire_state::gone)
    return false;
  if (e.ends == link_time{}) {
    if (farewells >= farewells_max || (e.link && e.link->output().size() > farewell_bytes_max))
      return false;
    ++farewells;
    e.ends = now() + farewell_max;
  }
  if (!e.shut && (!e.link || e.link->output().empty())) {
    e.shut = true;
    e.link.reset();
    by.shut(e.number());
  }
  return true;
}

void link_hub::impl::set_reading(entry& e) {
  auto takes_more = now() >= e.paused && e.answers_bytes <= output_high && (!e.link || e.link->wants_input());
  auto wanted = e.wire != wire_state::dialing && (e.over || (takes_more && !e.awaits_step()));
  if (wanted != std::exchange(e.reading, wanted))
    by.read(e.number(), wanted);
}

void link_hub::impl::count_held(entry& e) {
  auto size = (e.link ? e.link->held() : 0) + e.answers_bytes + e.early.size();
  held = held - e.held + size;
  e.held = size;
}

// Those who hold most pay for all, and before them those who only hold. It ends at once: what it
// holds is to be free.
void link_hub::impl::relieve() {
  auto at = now();
  auto most = std::ranges::max_element(entries, {}, [at](const auto& each) {
    return std::pair{each.second.is_stuck(at), each.second.held};
  });
  auto& e = most->second;
  lose(e, error{errc::capacity_exceeded, "keep a link", "all links together hold too much, and this one most"});
  settle(e.number());
}

// -- the pace of a peer ---------------------------------------------------------------------

void link_hub::impl::count_pace(entry& e, size_t size) {
  auto at = now();
  if (paces.size() > peers.size() + paces_kept)
    std::erase_if(paces, [&](const auto& each) { return each.second.is_full(at) && !peers.contains(each.first); });
  auto& of = paces.try_emplace(e.link->peer(), pace{token_bucket{options.items}, token_bucket{options.bytes}}).first->second;
  auto items = e.link->items();
  of.items.take(items - std::exchange(e.items, items), at);
  of.bytes.take(size, at);
  e.paused = of.ready_at();
}

// -- time -----------------------------------------------------------------------------------

link_time link_hub::impl::next_tick(const entry& e) const {
  if (e.over)
    return e.ends;
  if (!e.link)
    return e.begun + handshake_time_max;
  auto next = e.link->next_tick();
  if (e.wire == wire_state::stalled)
    next = std::min(next, e.stalled + stall_max);
  if (!e.reading && e.paused > now())
    next = std::min(next, e.paused);
  for (const auto& each : e.waiting)
    next = std::min(next, each.deadline);
  return next;
}

// A time that turns out to be later is found out when the earlier one comes: most links
// hear something long before anything is due.
void link_hub::impl::schedule(entry& e) {
  auto next = next_tick(e);
  if (next >= e.scheduled)
    return;
  timers.erase({e.scheduled, e.number()});
  e.scheduled = next;
  timers.emplace(next, e.number());
}

void link_hub::impl::set_alarm() {
  auto next = timers.empty() ? link_time::max() : timers.begin()->first;
  if (!steps.empty())
    next = std::min(next, now());
  else if (auto turn = door.next_at())
    next = std::min(next, *turn);
  if (next >= wakes)
    return;
  wakes = next;
  by.wake_at(wakes);
}

void link_hub::tick() {
  turn taken{*impl_};
  auto& self = *impl_;
  auto at = self.now();
  self.wakes = link_time::max();
  for (size_t i = 0; i < ticks_at_once && !self.timers.empty() && self.timers.begin()->first <= at; ++i) {
    auto number = self.timers.begin()->second;
    self.timers.erase(self.timers.begin());
    if (number == no_link) {
      self.fail_stranded(errc::unavailable, [&](const auto& one) { return one.until <= at; });
      continue;
    }
    auto& e = *self.find(number);
    e.scheduled = link_time::max();
    self.wake(e);
  }
  self.go_on_with_handshakes();
}

void link_hub::impl::wake(entry& e) {
  auto at = now();
  if (e.over)
    e.wire = at >= e.ends ? wire_state::gone : e.wire;
  else if (e.link)
    e.link->tick(at);
  else if (at >= e.begun + handshake_time_max)
    lose(e, error{errc::timed_out, "open a link"});
  if (!e.over && e.wire == wire_state::stalled && at >= e.stalled + stall_max)
    lose(e, error{errc::timed_out, "send to another node", "it takes nothing"});
  expire_waiting(e);
  settle(e.number());
}

void link_hub::impl::expire_waiting(entry& e) {
  auto at = now();
  std::vector<uint64_t> late;
  std::erase_if(e.waiting, [&](const pending_request& each) {
    if (at < each.deadline)
      return false;
    late.push_back(each.token);
    e.waiting_bytes -= each.size();
    return true;
  });
  for (auto token : late)
    answered(token, error{errc::timed_out, "ask another node", e.facts.peer.brief()}, {}, {});
}

// -- by the transport ---------------------------------------------------------------------------

bool link_hub::accepted(socket_id socket, const endpoint& from) {
  turn taken{*impl_};
  auto& self = *impl_;
  if (self.closing)
    return false;
  auto in = self.door.arrive(socket, from.host(), self.now());
  if (!in)
    return false;
  if (in->instead_of) {
    self.lose(*self.find(*in->instead_of), error{errc::capacity_exceeded, "open a link", "it said nothing, and others came"});
    self.settle(*in->instead_of);
  }
  self.add(socket, from, link_side::acceptor);
  self.settle(socket);
  return true;
}

void link_hub::connected(socket_id socket) {
  turn taken{*impl_};
  if (auto* e = impl_->find(socket)) {
    e->wire = wire_state::flowing;
    impl_->settle(socket);
  }
}

void link_hub::received(socket_id socket, byte_view data) {
  turn taken{*impl_};
  auto& self = *impl_;
  auto* e = self.find(socket);
  if (e == nullptr || e->over)
    return;
  e->moved = self.now();
  if (e->facts.side == link_side::acceptor && !e->is_open()) {
    self.take_early(*e, data);
  } else {
    self.give_link(*e, data);
  }
  self.settle(socket);
}

void link_hub::writable(socket_id socket) {
  turn taken{*impl_};
  auto* e = impl_->find(socket);
  if (e == nullptr || e->wire != wire_state::stalled)
    return;
  e->wire = wire_state::flowing;
  impl_->settle(socket);
}

void link_hub::ended(socket_id socket, const error& reason) {
  turn taken{*impl_};
  if (auto* e = impl_->find(socket)) {
    if (e->over)
      e->wire = wire_state::gone;
    else
      impl_->lose(*e, reason);
    impl_->settle(socket);
  }
}

// -- by the owner --------------------------------------------------------------------------------

void link_hub::connect(uint64_t token, const endpoint& to, std::optional<peer_id> expected, bool there) {
  turn taken{*impl_};
  constexpr auto attempted = "reach a node";
  auto& self = *impl_;
  if (self.closing)
    return self.owner.on_connected(token, fail(errc::unavailable, attempted, "this node closes its links"));
  if (expected == self.us.id())
    return self.owner.on_connected(token, fail(errc::invalid_argument, attempted, "it is this one"));
  if (expected && self.options.link.gate && self.options.link.gate->refuses(*expected) != link_refusal::none) {
    error reason{errc::peer_refused, attempted, "the list of members does not let it in"};
    self.owner.on_refused({0, *expected, to, link_side::dialer}, reason);
    return self.owner.on_connected(token, fail(reason));
  }
  if (expected && (there ? self.is_reached(*expected, to) : self.peers.contains(*expected)))
    return self.owner.on_connected(token, *expected);
  if (auto under_way = expected ? self.dialing.find({*expected, to}) : self.dialing.end(); under_way != self.dialing.end())
    return self.find(under_way->second)->connecting.push_back(token);
  if (self.dials >= self.options.dials_max)
    return self.owner.on_connected(token, fail(errc::capacity_exceeded, attempted, "too many are being dialed"));
  auto socket = self.by.dial(to);
  auto& e = self.add(socket, to, link_side::dialer);
  e.expected = expected;
  e.wire = wire_state::dialing;
  e.dialed = true;
  e.connecting.push_back(token);
  ++self.dials;
  if (expected)
    self.dialing.emplace(std::pair{*expected, to}, socket);
  self.open_link(e);
  self.settle(socket);
}

void link_hub::ask(uint64_t token, const peer_id& peer, std::string message, bytes body, link_time deadline, const request_terms& terms) {
  turn taken{*impl_};
  constexpr auto attempted = "ask another node";
  auto& self = *impl_;
  auto refuse = [&](errc code, const char* why) {
    self.owner.on_answer(token, error{code, attempted, why}, {}, {});
  };
  if (!self.peers.contains(peer))
    return refuse(errc::unavailable, "there is no link with it");
  auto* newest = self.newest(peer);
  if (newest == nullptr)
    return refuse(errc::unavailable, "the link with it is closed");
  auto& e = *newest;
  if (message.size() > link_message_max || body.size() > link_body_max)
    return refuse(errc::capacity_exceeded, "the request is too large");
  if (self.now() >= deadline)
    return refuse(errc::timed_out, "before it began");
  auto size = message.size() + body.size();
  if (e.waiting.size() >= self.options.waiting_max || e.waiting_bytes + size > self.options.waiting_bytes_max)
    return refuse(errc::capacity_exceeded, "too many requests wait for it");
  self.ask_over(e, {token, std::move(message), std::move(body), deadline, terms});
}

void link_hub::impl::answered(uint64_t token, std::optional<error> failure, std::string message, bytes body) {
  asks.erase(token);
  owner.on_answer(token, std::move(failure), std::move(message), std::move(body));
}

void link_hub::give_up(uint64_t token) {
  turn taken{*impl_};
  auto& self = *impl_;
  auto found = self.asks.find(token);
  if (found == self.asks.end())
    return;
  if (found->second == no_link)
    return self.fail_stranded(errc::cancelled, [&](const auto& one) { return one.what.token == token; });
  auto& e = *self.find(found->second);
  auto sent = std::ranges::find(e.asked, token, [](const auto& each) { return each.second.token; });
  auto waiting = std::ranges::find(e.waiting, token, &pending_request::token);
  if (sent != e.asked.end()) {
    e.link->cancel(sent->first);
  } else if (waiting != e.waiting.end()) {
    e.waiting_bytes -= waiting->size();
    e.waiting.erase(waiting);
    self.answered(token, error{errc::cancelled, "ask another node"}, {}, {});
  }
  self.settle(e.number());
}

void link_hub::answer(const request_key& key, std::string message, bytes body) {
  turn taken{*impl_};
  auto* e = impl_->find(key.link);
  if (e == nullptr || !e->is_open())
    return;
  // What is too large can not be sent, and an answer is still due.
  if (message.size() > link_message_max || body.size() > link_body_max)
    return answer(key, errc::internal);
  pending_answer next{key.id, std::move(message), std::move(body)};
  e->answers_bytes += next.size();
  auto before = next.size() <= small_bytes ? std::ranges::find_if(e->answers, [](const auto& one) { return one.size() > small_bytes; })
                                           : e->answers.end();
  e->answers.insert(before, std::move(next));
  impl_->settle(key.link);
}

void link_hub::answer(const request_key& key, errc failure) {
  turn taken{*impl_};
  auto* e = impl_->find(key.link);
  if (e == nullptr || !e->is_open())
    return;
  (void) e->link->answer(key.id, failure);
  impl_->settle(key.link);
}

void link_hub::drop(const peer_id& peer, errc reason) {
  turn taken{*impl_};
  auto& self = *impl_;
  auto known = self.peers.find(peer);
  for (auto number : known == self.peers.end() ? std::vector<uint64_t>{} : known->second) {
    self.find(number)->link->close(reason);
    self.settle(number);
  }
}

void link_hub::check_gate() {
  turn taken{*impl_};
  auto& self = *impl_;
  for (auto& [number, e] : self.entries)
    if (e.link && !e.over) {
      e.link->check_gate();
      self.settle(number);
    }
}

void link_hub::close() {
  turn taken{*impl_};
  auto& self = *impl_;
  self.closing = true;
  self.fail_stranded(errc::unavailable, [](const auto&) { return true; });
  std::vector<uint64_t> all;
  for (const auto& [number, e] : self.entries)
    all.push_back(number);
  std::ranges::sort(all);
  for (auto number : all) {
    auto* e = self.find(number);
    if (e == nullptr || e->over)
      continue;
    if (e->link)
      e->link->close(errc::unavailable);
    else
      self.lose(*e, error{errc::unavailable, "open a link", "this node closes its links"});
    self.settle(number);
  }
}

std::vector<link_facts> link_hub::links() const {
  std::vector<link_facts> all;
  for (const auto& [peer, numbers] : impl_->peers)
    for (auto number : numbers)
      all.push_back(impl_->entries.at(number).facts);
  return all;
}

size_t link_hub::size() const noexcept {
  return impl_->entries.size();
}

size_t link_hub::held() const noexcept {
  return impl_->held;
}

size_t link_hub::own() const noexcept {
  return std::accumulate(impl_->own.begin(), impl_->own.end(), size_t{0});
}

const admission& link_hub::door() const noexcept {
  return impl_->door;
}

} // namespace datamesh::network
