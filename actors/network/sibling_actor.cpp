#include "network/sibling_actor.hpp"

#include "network/peer_watch.hpp"
#include "network/sibling_losses.hpp"
#include "storage/ask.hpp"
#include "storage/erasure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace datamesh::network {

namespace {

using std::chrono::seconds;
using storage::ask;
using storage::ask_with;
using storage::shard_header;

constexpr auto making = "make up for a shard that no node keeps any more";
constexpr auto handing = "hand a shard over";
/// How long another node may take for an answer, and what our own actors may take beyond it.
constexpr auto node_answers_in = seconds{10};
constexpr auto grace = seconds{5};
/// A shard is sent in some thirty requests, four at a time.
constexpr auto stored_in = 20 * node_answers_in;
constexpr auto kept_in = std::chrono::minutes{1};
/// Own shards that are compared with those of the others at once.
constexpr size_t window = 128;
constexpr auto paced_at = std::chrono::milliseconds{100};

template <class Request>
Request request_to(const peer_id& node) {
  Request request;
  request.set_peer(std::string{node.text()});
  request.set_timeout_ms(static_cast<uint32_t>(std::chrono::milliseconds{node_answers_in}.count()));
  return request;
}

/// A node of a roster.
struct sibling {
  peer_watch_actor watch;
  clock::wall_time heard; ///< When it last had a link with us, or it was first looked for.
};

/// When the next round for an owner begins.
struct sibling_plan {
  uint64_t number = 0; ///< Of his roster.
  clock::wall_time due;
  std::set<peer_id> missed; ///< Nodes that did not answer in the last round.
  clock::wall_time begun;   ///< The last round; 1970 where there was none.
  clock::wall_time::duration pause = sibling_round_again;
  /// Losses that were left to other nodes, and in how many rounds one after the other.
  std::map<shard_key, size_t> left{};
};

/// What a round for one owner did.
struct round_tally {
  bool awaited = false; ///< A node did not answer, and may yet.
  uint64_t made = 0;
  uint64_t handed = 0;  ///< To other nodes, of a node that is drained.
  uint64_t stuck = 0;   ///< Of these, what none of them took.
  uint64_t not_now = 0; ///< Losses that this node could not make up for, though it was its turn.
  std::optional<error> why;
  std::map<shard_key, size_t> left; ///< As in `sibling_plan`.
};

class siblings {
public:
  siblings(caf::actor_system& sys, const sibling_parts& parts) : sys_(sys), parts_(parts), pace_(sibling_pace) {}
  ~siblings() {
    for (const auto& [node, one] : known_)
      caf::anon_send_exit(one.watch, caf::exit_reason::user_shutdown);
  }
  siblings(const siblings&) = delete;
  siblings& operator=(const siblings&) = delete;

  void look() {
    way_ = parts_.access->now();
    if (!way_)
      return;
    auto rosters = parts_.guests->rosters();
    std::erase_if(rosters, [&](const roster& one) { return !one.names(way_->self); });
    watch(rosters);
    auto now = parts_.env.clock->wall();
    auto how = parts_.board->how();
    if (std::exchange(how_, how) != how)
      for (auto& [owner, plan] : plans_)
        plan.due = now;
    if (how == hosting::paused)
      return;
    for (const auto& one : rosters) {
      auto& plan = plans_[one.owner];
      if (plan.number != one.number) {
        parts_.board->no_longer_stuck(one.owner);
        plan = {one.number, now + siblings_awaited, {one.nodes.begin(), one.nodes.end()}, {}, sibling_round_again, std::move(plan.left)};
      }
      plan.missed.erase(way_->self);
      // A clock that was put back does not stop it.
      if (now < plan.due && plan.due - now <= sibling_round_max && !answers_now(plan, now))
        continue;
      plan.missed.clear();
      plan.begun = now;
      plan.due = now + std::min<clock::wall_time::duration>(sibling_round_max, one.patience / 4);
      round(one, plan);
      if (parts_.board->stopped())
        return;
    }
  }

private:
  /// Keeps a link with each node of a roster, and notes who has one.
  void watch(const std::vector<roster>& rosters) {
    auto now = parts_.env.clock->wall();
    std::set<peer_id> named;
    for (const auto& one : rosters)
      named.insert(one.nodes.begin(), one.nodes.end());
    named.erase(way_->self);
    std::erase_if(known_, [&](const auto& each) {
      auto gone = !named.contains(each.first);
      if (gone)
        caf::anon_send_exit(each.second.watch, caf::exit_reason::user_shutdown);
      return gone;
    });
    for (const auto& node : named) {
      auto& one = known_[node];
      if (!one.watch) {
        one.watch = spawn_peer_watch(sys_, parts_.env.clock, parts_.access, node);
        one.heard = now;
      }
      if (parts_.access->is_linked(node))
        one.heard = now;
    }
  }

  /// Those that were missed the last time have links now. Of a new roster, all.
  [[nodiscard]] bool answers_now(const sibling_plan& plan, clock::wall_time now) const {
    auto linked = [&](const peer_id& node) {
      return parts_.access->is_linked(node);
    };
    if (plan.begun == clock::wall_time{})
      return std::ranges::all_of(plan.missed, linked);
    return now - plan.begun >= plan.pause && std::ranges::any_of(plan.missed, linked);
  }

  void round(const roster& of, sibling_plan& plan) {
    round_tally tally;
    std::optional<shard_key> after;
    while (!parts_.board->stopped()) {
      auto mine = parts_.guests->list(of.owner, after, window);
      if (!mine)
        return say(severity::warning, mine.error());
      if (mine->empty())
        break;
      look_at(of, after, *mine, tally, plan);
      after = mine->back().shard;
    }
    plan.pause = tally.awaited ? std::min<clock::wall_time::duration>(2 * plan.pause, sibling_round_max) : sibling_round_again;
    if (how_ == hosting::draining)
      return tell_handed(of, tally, plan);
    if (!tally.awaited && !parts_.board->stopped()) {
      parts_.board->compared(of.owner, plan.begun);
      plan.left = std::move(tally.left);
    }
    if (tally.made > 0)
      parts_.tell(severity::info,
                  fmt::format("made up for {} of vault {} that no node kept any more",
                              tally.made == 1 ? "1 shard" : fmt::format("{} shards", tally.made), of.owner.brief()),
                  std::nullopt);
    if (tally.not_now > 0)
      parts_.tell(severity::warning,
                  fmt::format("{} of vault {} are missing and could not be made up for: {}",
                              tally.not_now == 1 ? "1 shard" : fmt::format("{} shards", tally.not_now), of.owner.brief(),
                              tally.why->message()),
                  tally.why->code());
  }

  void tell_handed(const roster& of, const round_tally& tally, const sibling_plan& plan) const {
    if (parts_.board->stopped())
      return;
    // One that does not answer yet may take it.
    auto is_sure = !tally.awaited || plan.pause > siblings_awaited;
    if (is_sure)
      parts_.board->stuck(of.owner, tally.stuck);
    if (tally.handed > 0)
      parts_.tell(severity::info,
                  fmt::format("handed {} of vault {} over to other nodes",
                              tally.handed == 1 ? "1 shard" : fmt::format("{} shards", tally.handed), of.owner.brief()),
                  std::nullopt);
    if (tally.stuck > 0 && is_sure)
      parts_.tell(severity::warning,
                  fmt::format("{} of vault {} could not be handed over: {}",
                              tally.stuck == 1 ? "1 shard" : fmt::format("{} shards", tally.stuck), of.owner.brief(), tally.why->message()),
                  tally.why->code());
  }

  void say(severity how, const error& what) const {
    parts_.tell(how, what.message(), what.code());
  }

  void look_at(const roster& of, const std::optional<shard_key>& after, const std::vector<ticket>& mine, round_tally& tally,
               sibling_plan& plan) {
    sibling_view seen;
    seen.self = way_->self;
    seen.mine = mine;
    seen.now = parts_.env.clock->wall();
    for (const auto& node : of.nodes) {
      if (node == way_->self)
        continue;
      auto listed = list_of(of, node, after, mine.back().shard.pack);
      // Who answers neither now nor did for so long has lost what he had.
      if (listed) {
        seen.listed[node] = std::move(*listed);
      } else {
        plan.missed.insert(node);
        tally.awaited |= seen.now - known_.at(node).heard < of.patience;
      }
    }
    if (parts_.board->stopped())
      return;
    remember(seen);
    challenge(seen);
    if (how_ == hosting::draining)
      return hand_over(seen, tally);
    if (tally.awaited)
      return;
    std::set<pack_id> packs;
    for (const auto& one : mine)
      if (packs.insert(one.shard.pack).second)
        if (auto known = parts_.guests->siblings(of.owner, one.shard.pack))
          seen.remembered.insert(seen.remembered.end(), known->begin(), known->end());
    for (const auto& loss : find_losses(seen)) {
      if (parts_.board->stopped())
        return;
      // Who is before it may not know of the loss: he came to the pack after it. He is waited for a round.
      auto left = plan.left.find(loss.lost.shard);
      if (auto rounds = left == plan.left.end() ? 0 : left->second; loss.turn > rounds) {
        tally.left[loss.lost.shard] = rounds + 1;
        continue;
      }
      auto done = make_up_for(seen, loss);
      tally.made += done && *done ? 1 : 0;
      if (!done) {
        ++tally.not_now;
        tally.why = done.error();
      }
    }
  }

  /// What it keeps of the owner's packs behind *after*, up to *last*.
  [[nodiscard]] result<std::vector<ticket>> list_of(const roster& of, const peer_id& node, const std::optional<shard_key>& after,
                                                    const pack_id& last) {
    std::vector<ticket> all;
    auto given = false;
    auto request = request_to<v1::ListAtPeer>(node);
    request.set_owner(std::string{of.owner.text()});
    request.set_limit(listed_at_once);
    if (after)
      request.set_behind_pack(std::string{after->pack.text()});
    storage::asker self{sys_, parts_.place};
    for (;;) {
      auto page = ask<v1::ListedAtPeer>(self.ptr(), way_->shards, node_answers_in + grace, request);
      // One whose drives are new ones has no roster any more, and its owner may be away.
      if (!page && page.error().code() == errc::permission_denied && !std::exchange(given, true) && give_roster(of, node))
        continue;
      if (!page)
        return fail(page.error());
      for (const auto& raw : page->ticket()) {
        auto by = read_ticket(as_view(raw));
        if (!by)
          return fail(by.error());
        if (last < by->shard.pack)
          return all;
        all.push_back(std::move(*by));
      }
      if (!page->more() || page->ticket().empty() || parts_.board->stopped())
        return all;
      request.set_after(*page->ticket().rbegin());
    }
  }

  [[nodiscard]] bool give_roster(const roster& what, const peer_id& node) {
    auto request = request_to<v1::GiveRoster>(node);
    request.set_roster(std::string{as_text(what.raw)});
    storage::asker self{sys_, parts_.place};
    return ask<v1::Done>(self.ptr(), way_->shards, node_answers_in + grace, std::move(request)).has_value();
  }

  void remember(const sibling_view& seen) {
    std::set<pack_id> packs;
    for (const auto& one : seen.mine)
      packs.insert(one.shard.pack);
    v1::RememberSiblings told;
    for (const auto& [node, tickets] : seen.listed)
      for (const auto& by : tickets)
        if (packs.contains(by.shard.pack))
          told.add_ticket(std::string{as_text(by.raw)});
    if (told.ticket_size() == 0)
      return;
    storage::asker self{sys_, parts_.place};
    if (auto kept = ask<v1::Done>(self.ptr(), parts_.keeper, kept_in, std::move(told)); !kept)
      say(severity::warning, kept.error().within("remember what other nodes keep"));
  }

  /// The node has to show a block, some one of the shard's.
  [[nodiscard]] result<void> prove(const peer_id& node, const ticket& by, uint64_t chance) {
    auto request = request_to<v1::ProveAtPeer>(node);
    request.set_ticket(std::string{as_text(by.raw)});
    auto blocks = (by.size + storage::block_size - 1) / storage::block_size;
    request.set_block(static_cast<uint32_t>(chance % blocks));
    storage::asker self{sys_, parts_.place};
    auto shown = ask_with<v1::Done, bytes>(self.ptr(), way_->shards, node_answers_in + grace, std::move(request));
    return shown ? result<void>{} : fail(shown.error());
  }

  /// Each has to show a block of what it says that it keeps. A shard of which it can not does not count.
  void challenge(sibling_view& seen) {
    for (auto& [node, tickets] : seen.listed) {
      std::array<std::byte, 8> chance{};
      if (tickets.empty() || parts_.board->stopped() || !parts_.env.random->fill(chance))
        continue;
      auto number = std::bit_cast<uint64_t>(chance);
      auto which = tickets.begin() + static_cast<ptrdiff_t>(number % tickets.size());
      auto shown = prove(node, *which, number >> 32);
      if (shown)
        continue;
      auto code = shown.error().code();
      if (code == errc::shard_missing || code == errc::shard_damaged || code == errc::peer_lies)
        tickets.erase(which);
    }
  }

  // -- a node that is drained -----------------------------------------------------------------------

  void hand_over(const sibling_view& seen, round_tally& tally) {
    for (const auto& by : seen.mine) {
      if (parts_.board->stopped() || parts_.board->how() != hosting::draining)
        return;
      auto done = hand_over(seen, by);
      ++(done ? tally.handed : tally.stuck);
      if (!done)
        tally.why = done.error();
    }
  }

  /// It is let go of when the other node has shown that it has it.
  [[nodiscard]] result<void> hand_over(const sibling_view& seen, const ticket& by) {
    auto takers = find_takers(seen, by.shard);
    if (takers.empty())
      return fail(errc::unavailable, handing, "no other node that its owner named answers and has nothing of the pack");
    auto header = parts_.guests->read_header(by);
    if (!header)
      return fail(header.error().within(handing));
    auto body = read_whole(by, header->pack.shape);
    if (!body)
      return fail(body.error().within(handing));
    auto taken = give({by, {}, std::move(takers), 0}, *header, *body);
    if (!taken)
      return fail(taken.error().within(handing));
    if (!*taken)
      return fail(errc::conflict, handing, "the other node knows that its owner deleted it, or a later ticket");
    std::array<std::byte, 8> chance{};
    if (auto filled = parts_.env.random->fill(chance); !filled)
      return filled;
    if (auto shown = prove(**taken, by, std::bit_cast<uint64_t>(chance)); !shown)
      return fail(shown.error().within(handing));
    v1::LetGoOfGuest gone;
    gone.set_ticket(std::string{as_text(by.raw)});
    storage::asker self{sys_, parts_.place};
    auto let_go = ask<v1::Done>(self.ptr(), parts_.keeper, kept_in, std::move(gone));
    return let_go ? result<void>{} : fail(let_go.error().within(handing));
  }

  [[nodiscard]] result<bytes> read_whole(const ticket& by, const storage::geometry& shape) const {
    std::vector<std::byte> body;
    body.reserve(shape.shard_length);
    for (uint32_t first = 0; first < shape.block_count(); first += blocks_at_once) {
      auto piece = parts_.guests->read_blocks(by, first, std::min(blocks_at_once, shape.block_count() - first));
      if (!piece)
        return piece;
      auto view = piece->view();
      body.insert(body.end(), view.begin(), view.end());
    }
    return bytes::take(std::move(body));
  }

  // -- one shard ---------------------------------------------------------------------------------

  /// One of those from which it is made.
  struct source {
    std::optional<peer_id> node; ///< None: it is here.
    ticket by;
    bytes header; ///< Of another node's, when it was read once.
  };

  /// False where its owner does not want it any more.
  [[nodiscard]] result<bool> make_up_for(const sibling_view& seen, const shard_loss& loss) {
    auto own = std::ranges::find(seen.mine, loss.lost.shard.pack, [](const ticket& by) { return by.shard.pack; });
    auto header = parts_.guests->read_header(*own);
    if (!header)
      return fail(header.error().within(making));
    auto shape = header->pack.shape;
    if (loss.lost.shard.index >= shape.shard_count() || loss.lost.size != shape.shard_length)
      return fail(errc::format_damaged, making, loss.lost.shard.pack.brief());
    std::vector<source> sources{{std::nullopt, *own, {}}};
    for (const auto& one : loss.sources)
      sources.push_back({one.node, one.by, {}});
    if (loss.takers.empty())
      return fail(errc::unavailable, making, "no other node of the roster answers");
    auto body = rebuild(shape, loss.lost.shard.index, std::move(sources));
    if (!body)
      return fail(body.error().within(making));
    shard_header made{header->pack, loss.lost.shard.index, storage::hash_blocks(*body)};
    auto taker = give(loss, made, *body);
    if (!taker)
      return fail(taker.error().within(making));
    return taker->has_value();
  }

  /// Of as many pieces as fit into a request each. A source that fails is not asked again.
  [[nodiscard]] result<bytes> rebuild(const storage::geometry& shape, uint8_t index, std::vector<source> sources) {
    storage::erasure_code code{shape.k, shape.m};
    std::vector<std::byte> body(shape.shard_length);
    for (uint32_t first = 0; first < shape.block_count(); first += blocks_at_once) {
      auto count = std::min(blocks_at_once, shape.block_count() - first);
      auto at = size_t{first} * storage::block_size;
      auto out = byte_span{body}.subspan(at, std::min<size_t>(body.size() - at, size_t{count} * storage::block_size));
      std::vector<bytes> pieces;
      std::vector<uint8_t> indexes;
      for (auto one = sources.begin(); one != sources.end() && pieces.size() < shape.k;) {
        auto piece = read(*one, first, count);
        if (parts_.board->stopped())
          return fail(errc::unavailable, making);
        if (piece && piece->size() == out.size()) {
          indexes.push_back(one->by.shard.index);
          pieces.push_back(std::move(*piece));
          ++one;
        } else {
          one = sources.erase(one);
        }
      }
      if (pieces.size() < shape.k)
        return fail(errc::damaged, making, fmt::format("{} of {} answer", pieces.size(), shape.k));
      std::vector<byte_view> views{pieces.begin(), pieces.end()};
      if (auto done = code.reconstruct(indexes, views, std::span{&index, 1}, std::span{&out, 1}); !done)
        return fail(done.error());
    }
    return bytes::take(std::move(body));
  }

  [[nodiscard]] result<bytes> read(source& from, uint32_t first, uint32_t count) {
    if (!from.node)
      return parts_.guests->read_blocks(from.by, first, count);
    wait_for_turn(uint64_t{count} * storage::block_size);
    auto request = request_to<v1::ReadAtPeer>(*from.node);
    request.set_ticket(std::string{as_text(from.by.raw)});
    request.set_header(std::string{as_text(from.header)});
    request.set_first(first);
    request.set_count(count);
    request.set_work(static_cast<uint32_t>(work_kind::repair));
    storage::asker self{sys_, parts_.place};
    // Each block was checked against the pack id.
    auto found = ask_with<v1::ReadFromPeer, bytes>(self.ptr(), way_->shards, 2 * node_answers_in + grace, std::move(request));
    if (!found)
      return fail(found.error());
    from.header = bytes::copy_of(found->first.header());
    return std::move(found->second);
  }

  /// To the first that takes it, or has it by then; none where its owner does not want it any more.
  [[nodiscard]] result<std::optional<peer_id>> give(const shard_loss& loss, const shard_header& header, const bytes& body) {
    result<std::optional<peer_id>> given = fail(errc::unavailable, "give a shard to another node");
    for (const auto& node : loss.takers) {
      if (parts_.board->stopped())
        break;
      wait_for_turn(body.size());
      auto request = request_to<v1::StoreAtPeer>(node);
      request.set_ticket(std::string{as_text(loss.lost.raw)});
      request.set_header(std::string{as_text(encode_shard_header(header, false))});
      request.set_work(static_cast<uint32_t>(work_kind::repair));
      storage::asker self{sys_, parts_.place};
      auto stored = ask<v1::StoredAtPeer>(self.ptr(), way_->shards, stored_in, std::move(request), body);
      if (stored)
        return node;
      // It knows of a deletion, or of a later ticket.
      if (stored.error().code() == errc::conflict)
        return std::nullopt;
      given = fail(stored.error());
    }
    return given;
  }

  void wait_for_turn(uint64_t count) {
    while (parts_.env.clock->monotonic() < pace_.ready_at())
      if (!wait_a_little())
        return;
    pace_.take(count, parts_.env.clock->monotonic());
  }

  /// False when it is to stop.
  [[nodiscard]] bool wait_a_little() {
    if (!parts_.place)
      return parts_.board->wait(paced_at);
    parts_.place->pass(paced_at, [&] { return parts_.board->stopped(); });
    return !parts_.board->stopped();
  }

  caf::actor_system& sys_;
  sibling_parts parts_;
  token_bucket pace_;
  std::optional<peer_access::way> way_;
  hosting how_ = hosting::open;
  std::map<peer_id, sibling> known_;
  std::map<vault_id, sibling_plan> plans_;
};

struct sibling_state {
  static inline constexpr const char* name = "siblings";
  std::unique_ptr<siblings> does;
};

sibling_actor::behavior_type look_after(sibling_actor::stateful_pointer<sibling_state> self, const sibling_parts& parts) {
  self->state.does = std::make_unique<siblings>(self->system(), parts);
  self->send(self, v1::ShardWake{});
  return {
      [=](const v1::ShardWake&) {
        self->state.does->look();
        self->delayed_send(self, siblings_looked_at, v1::ShardWake{});
      },
  };
}

} // namespace

sibling_actor spawn_siblings(caf::actor_system& sys, const sibling_parts& parts) {
  return storage::spawn_worker(parts.place, sys, look_after, parts);
}

} // namespace datamesh::network
