#include "network/sibling_actor.hpp"

#include "crypto/hash.hpp"
#include "network/guest_ranges.hpp"
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
  range_memory ranges{};
  digest written{}; ///< Of what is remembered of them in a file.
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
  std::set<peer_id> silent;         ///< Nodes that left a request unanswered: they are not asked again in this round.
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
    if (!std::exchange(tidied_, true))
      tidy(rosters);
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
        recall(one, plan);
      }
      plan.missed.erase(way_->self);
      // A clock that was put back does not stop it.
      if (now < plan.due && plan.due - now <= sibling_round_max && !answers_now(plan, now))
        continue;
      plan.missed.clear();
      plan.begun = now;
      plan.due = now + std::min<clock::wall_time::duration>(sibling_round_max, one.patience / 4);
      round(one, plan);
      write_down(one, plan);
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

  // -- what is remembered of ranges, in a file of each owner's ------------------------------------------
  // Without it they are compared anew, so nothing of it is an error.

  [[nodiscard]] std::string path_of(const vault_id& owner) const {
    return parts_.folder + "/" + owner.hex();
  }
  void recall(const roster& of, sibling_plan& plan) const {
    if (parts_.folder.empty())
      return;
    auto saved = datamesh::read_whole(*parts_.env.files, path_of(of.owner), range_memory_max);
    if (auto memory = saved ? range_memory::decode(*saved, of) : fail(saved.error())) {
      plan.ranges = std::move(*memory);
      plan.written = crypto::blake3(*saved);
    }
  }
  void write_down(const roster& of, sibling_plan& plan) const {
    if (parts_.folder.empty())
      return;
    auto image = plan.ranges.encode(of);
    auto name = crypto::blake3(image);
    if (name != plan.written && make_folders(*parts_.env.files, parts_.folder, 0700)
        && write_whole(*parts_.env.files, path_of(of.owner), image))
      plan.written = name;
  }
  /// Removes what is remembered of owners of whom nothing is kept any more.
  void tidy(const std::vector<roster>& rosters) const {
    if (parts_.folder.empty())
      return;
    auto files = parts_.env.files->list(parts_.folder);
    if (!files)
      return;
    for (const auto& file : *files)
      if (std::ranges::none_of(rosters, [&](const roster& one) { return one.owner.hex() == file.name; }))
        (void) parts_.env.files->remove(parts_.folder + "/" + file.name);
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
    plan.ranges.fit(parts_.guests->usage(of.owner).shards, parts_.ranges.shards);
    for (uint32_t first = 0; first < plan.ranges.count(); first += ranges_at_once) {
      auto due = find_due(of, first, tally, plan);
      if (!due)
        return say(severity::warning, due.error());
      for (const auto& range : *due) {
        if (parts_.board->stopped())
          break;
        auto mine = list_range(*parts_.guests, of.owner, range);
        if (!mine)
          return say(severity::warning, mine.error());
        if (!mine->empty())
          look_at(of, range, *mine, tally, plan);
      }
      if (parts_.board->stopped())
        break;
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

  /// Of the ranges from *first* on those that are to be listed: where something has changed since they were settled, at a node
  /// that answers, and some by chance, for who is not asked to show anything can say that it has all.
  [[nodiscard]] result<std::vector<pack_range>> find_due(const roster& of, uint32_t first, round_tally& tally, sibling_plan& plan) {
    auto bits = plan.ranges.bits();
    auto count = std::min<size_t>(ranges_at_once, plan.ranges.count() - first);
    auto mine = digest_ranges(*parts_.guests, of.owner, {bits, first}, count, SIZE_MAX);
    if (!mine)
      return fail(mine.error());
    std::vector<bool> due(count);
    for (size_t i = 0; i < count; ++i) {
      auto known = plan.ranges.find(first + static_cast<uint32_t>(i));
      due[i] = how_ == hosting::draining || known == nullptr || known->mine != (*mine)[i] || is_drawn(plan.ranges.count());
    }
    for (const auto& node : of.nodes)
      if (node != way_->self && !parts_.board->stopped() && std::ranges::find(due, false) != due.end())
        compare(of, node, first, due, tally, plan);
    std::vector<pack_range> ranges;
    for (size_t i = 0; i < count; ++i)
      if (due[i])
        ranges.push_back({bits, first + static_cast<uint32_t>(i)});
    return ranges;
  }

  [[nodiscard]] bool is_drawn(uint64_t ranges) {
    std::array<std::byte, 8> chance{};
    auto anyway = parts_.ranges.listed_anyway;
    return ranges <= anyway || !parts_.env.random->fill(chance) || std::bit_cast<uint64_t>(chance) % ranges < anyway;
  }

  /// Marks the ranges of which the node keeps something else than when they were settled.
  void compare(const roster& of, const peer_id& node, uint32_t first, std::vector<bool>& due, round_tally& tally, sibling_plan& plan) {
    auto request = request_to<v1::CompareAtPeer>(node);
    request.set_owner(std::string{of.owner.text()});
    request.set_bits(plan.ranges.bits());
    request.set_first(first);
    auto known_of = [&](size_t i) -> const digest* {
      auto range = plan.ranges.find(first + static_cast<uint32_t>(i));
      if (range == nullptr || !range->others.contains(node))
        return nullptr;
      return &range->others.at(node);
    };
    for (size_t i = 0; i < due.size(); ++i) {
      auto known = known_of(i);
      request.add_digest(std::string{(known != nullptr ? *known : digest{}).text()});
    }
    auto said = result<v1::ComparedAtPeer>{fail(errc::unavailable, "compare with what a node keeps")};
    if (!tally.silent.contains(node)) {
      storage::asker self{sys_, parts_.place};
      said = ask<v1::ComparedAtPeer>(self.ptr(), way_->shards, node_answers_in + grace, std::move(request));
    }
    if (!said)
      note_silence(node, said.error().code(), tally);
    // Who says something else may not know the question, or the owner.
    auto is_silent = tally.silent.contains(node);
    auto is_awaited = is_silent && miss(of, node, tally, plan);
    for (size_t i = 0; i < due.size(); ++i) {
      // One that is awaited may have all that it had, and without one that was not there before nothing is new.
      auto is_same = said ? said->same(static_cast<int>(i)) : is_silent && (is_awaited || known_of(i) == nullptr);
      due[i] = due[i] || !is_same;
    }
  }

  void note_silence(const peer_id& node, errc why, round_tally& tally) const {
    if (why == errc::timed_out || !parts_.access->is_linked(node))
      tally.silent.insert(node);
  }

  /// Of a node that did not answer, whether it may yet: who did not for so long either has lost what he had.
  bool miss(const roster& of, const peer_id& node, round_tally& tally, sibling_plan& plan) const {
    plan.missed.insert(node);
    auto is_awaited = parts_.env.clock->wall() - known_.at(node).heard < of.patience;
    tally.awaited |= is_awaited;
    return is_awaited;
  }

  void look_at(const roster& of, const pack_range& range, const std::vector<ticket>& mine, round_tally& tally, sibling_plan& plan) {
    plan.ranges.forget(range.number);
    sibling_view seen;
    seen.self = way_->self;
    seen.mine = mine;
    seen.now = parts_.env.clock->wall();
    range_memory::settled_range found{digest_of(mine), {}};
    for (const auto& node : of.nodes) {
      if (node == way_->self)
        continue;
      auto listed = tally.silent.contains(node) ? result<std::vector<ticket>>{fail(errc::unavailable, "list what a node keeps")}
                                                : list_of(of, node, range);
      if (listed) {
        found.others.emplace(node, digest_of(*listed));
        seen.listed[node] = std::move(*listed);
      } else {
        note_silence(node, listed.error().code(), tally);
        (void) miss(of, node, tally, plan);
      }
    }
    if (parts_.board->stopped())
      return;
    remember(seen);
    auto all_shown = challenge(seen);
    if (how_ == hosting::draining)
      return hand_over(seen, tally);
    if (tally.awaited)
      return;
    std::set<pack_id> packs;
    for (const auto& one : mine)
      if (packs.insert(one.shard.pack).second)
        if (auto known = parts_.guests->siblings(of.owner, one.shard.pack))
          seen.remembered.insert(seen.remembered.end(), known->begin(), known->end());
    auto losses = find_losses(seen);
    if (all_shown && losses.empty())
      plan.ranges.settle(range.number, std::move(found));
    for (const auto& loss : losses) {
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

  /// What it keeps of the owner's packs.
  [[nodiscard]] result<std::vector<ticket>> list_of(const roster& of, const peer_id& node, const pack_range& range) {
    std::vector<ticket> all;
    auto after = before(range);
    auto last = last_of(range);
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

  /// Each has to show a block of what it says that it keeps. A shard of which it can not does not count. False where one did not.
  bool challenge(sibling_view& seen) {
    auto all_shown = true;
    for (auto& [node, tickets] : seen.listed) {
      std::array<std::byte, 8> chance{};
      if (tickets.empty() || parts_.board->stopped() || !parts_.env.random->fill(chance))
        continue;
      auto number = std::bit_cast<uint64_t>(chance);
      auto which = tickets.begin() + static_cast<ptrdiff_t>(number % tickets.size());
      auto shown = prove(node, *which, number >> 32);
      if (shown)
        continue;
      all_shown = false;
      auto code = shown.error().code();
      if (code == errc::shard_missing || code == errc::shard_damaged || code == errc::peer_lies)
        tickets.erase(which);
    }
    return all_shown;
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
  bool tidied_ = false;
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
