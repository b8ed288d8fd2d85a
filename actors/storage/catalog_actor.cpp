#include "storage/catalog_actor.hpp"

#include "storage/convert.hpp"
#include "storage/kept_promise.hpp"

#include <deque>

namespace datamesh::storage {

namespace {

using stamp_promise = kept_promise<v1::StampedOperations>;
using done_promise = kept_promise<v1::Done>;

struct waiting_request {
  caf::actor_addr from;
  std::variant<std::pair<v1::StampOperations, stamp_promise>, std::pair<v1::ApplyOperations, done_promise>,
               std::pair<v1::CommitCatalog, done_promise>>
      what;
};

struct catalog_state {
  static inline constexpr const char* name = "catalog";
  std::shared_ptr<catalog> names;
  std::shared_ptr<clock> time;
  std::shared_ptr<name_claims> claims;
  caf::actor_addr holder; ///< Whose packs carry what is stamped and not committed.
  std::deque<waiting_request> waiting;

  /// Packs with stamped operations are under way.
  bool stamped() const {
    return !names->stamped().empty();
  }
  int64_t now_ns() const {
    return time->wall().time_since_epoch().count();
  }
};

/// Stamps all of *encoded*, or none.
template <class Strings>
result<void> stamp_all(catalog_state& state, const Strings& encoded) {
  std::vector<operation_body> bodies;
  bodies.reserve(static_cast<size_t>(encoded.size()));
  for (const auto& raw : encoded) {
    auto body = decode_body(raw);
    if (!body)
      return fail(body.error());
    bodies.push_back(std::move(*body));
  }
  auto now = state.now_ns();
  auto raw = encoded.begin();
  for (auto& body : bodies)
    state.names->stamp_encoded(std::move(body), *raw++, now);
  return {};
}

result<v1::StampedOperations> stamp_now(catalog_state& state, const v1::StampOperations& request) {
  if (auto begun = state.names->begin_writing(); !begun)
    return fail(begun.error());
  auto before = state.names->stamped().size();
  if (auto stamped = stamp_all(state, request.bodies()); !stamped)
    return fail(stamped.error());
  v1::StampedOperations reply;
  auto operations = state.names->stamped().subspan(before);
  for (const auto& stamped : operations)
    reply.add_operations(stamped.encoded);
  if (!operations.empty()) {
    reply.set_device(write_id(operations.front().op.at.device));
    reply.set_first_sequence(operations.front().op.sequence);
  }
  return reply;
}

template <class Strings>
result<std::vector<pack_id>> read_packs(const Strings& raw) {
  std::vector<pack_id> packs;
  for (const auto& text : raw) {
    auto id = read_id<pack_id>(text);
    if (!id)
      return fail(id.error());
    packs.push_back(*id);
  }
  return packs;
}

result<std::vector<seen_shard>> read_shards(const google::protobuf::RepeatedPtrField<v1::MarkPacks::Shard>& raw) {
  std::vector<seen_shard> shards;
  for (const auto& row : raw) {
    auto shard = from_proto(row);
    if (!shard)
      return fail(shard.error());
    shards.push_back(*shard);
  }
  return shards;
}

result<void> commit_now(catalog_state& state, const v1::CommitCatalog& request) {
  catalog_commit commit;
  commit.operations_in_pack = request.operations_in_pack();
  for (const auto& row : request.packs()) {
    auto pack = from_proto(row);
    if (!pack)
      return fail(pack.error());
    commit.packs.push_back(std::move(*pack));
  }
  auto stamped = state.names->stamped();
  for (const auto& raw : request.operations()) {
    // Those that were stamped here come back as they were given.
    if (!stamped.empty() && stamped.front().encoded == raw) {
      commit.operations.push_back(stamped.front().op);
      stamped = stamped.subspan(1);
      continue;
    }
    auto op = decode_operation(raw);
    if (!op)
      return fail(op.error());
    commit.operations.push_back(std::move(*op));
  }
  for (const auto& row : request.placed()) {
    auto record = from_proto(row);
    if (!record)
      return fail(record.error());
    commit.placed.push_back(std::move(*record));
  }
  auto forgotten = read_packs(request.forgotten());
  if (!forgotten)
    return fail(forgotten.error());
  commit.forgotten = std::move(*forgotten);
  commit.imported = {request.imported().begin(), request.imported().end()};
  if (request.has_checkpoint())
    commit.checkpoint = {request.checkpoint().number(), request.checkpoint().created_ns(), request.checkpoint().operations()};
  if (request.has_behind())
    commit.behind = request.behind();
  auto committed = state.names->commit(commit);
  if (committed)
    state.claims->settle(commit.operations);
  return committed;
}

result<void> apply_now(catalog_state& state, const v1::ApplyOperations& request) {
  if (auto stamped = stamp_all(state, request.bodies()); !stamped)
    return fail(stamped.error());
  catalog_commit commit;
  for (const auto& stamped : state.names->stamped())
    commit.operations.push_back(stamped.op);
  commit.operations_in_pack = false;
  auto committed = state.names->commit(commit);
  // Nobody holds these stamps, so nobody else would take them back, and all would wait.
  if (!committed)
    state.names->unstamp();
  else
    state.claims->settle(commit.operations);
  return committed;
}

result<void> mark_now(catalog_state& state, const v1::MarkPacks& request) {
  auto lost = read_packs(request.lost());
  auto whole = read_packs(request.whole());
  if (!lost || !whole)
    return fail((lost ? whole : lost).error());
  auto faulty = read_shards(request.faulty());
  auto good = read_shards(request.good());
  if (!faulty || !good)
    return fail((faulty ? good : faulty).error());
  auto marked = lost->empty() && whole->empty() ? result<void>{} : state.names->mark_packs(*lost, *whole);
  if (marked && !(faulty->empty() && good->empty()))
    marked = state.names->mark_shards(*faulty, *good);
  return marked;
}

void remember_now(catalog_state& state, const v1::RememberSources& request) {
  std::vector<std::pair<node_id, source_mark>> marks;
  marks.reserve(static_cast<size_t>(request.marks_size()));
  for (const auto& row : request.marks()) {
    auto node = read_id<node_id>(row.node());
    auto version = read_id<version_id>(row.version());
    if (node && version)
      marks.emplace_back(*node, source_mark{*version, row.size(), row.modified_ns(), row.changed_ns(), row.device(), row.inode()});
  }
  // A store that refuses this refuses the commit behind it, too, and that is told.
  static_cast<void>(state.names->remember_sources(marks));
}

void deliver(done_promise& promise, const result<void>& outcome) {
  if (outcome)
    promise.deliver(v1::Done{});
  else
    promise.deliver(to_caf(outcome.error()));
}

class catalog_queue {
public:
  using self_pointer = catalog_actor::stateful_pointer<catalog_state>;

  explicit catalog_queue(self_pointer self) : self_(self), state_(self->state) {}

  template <class Answer, class Request>
  caf::result<Answer> add(const Request& request, const char* attempted) {
    if (state_.waiting.size() >= catalog_queue_max)
      return to_caf(error{errc::capacity_exceeded, attempted});
    auto from = sender(); // The promise takes it over.
    auto promise = self_->template make_response_promise<caf::typed_response_promise<Answer>>();
    state_.waiting.push_back({from, std::pair{request, kept_promise<Answer>{promise, attempted}}});
    serve_waiting();
    return promise;
  }

  /// True when the sender's operations are the stamped ones, or there are none.
  [[nodiscard]] bool may_commit() const {
    return !state_.stamped() || state_.holder == sender();
  }

  [[nodiscard]] result<void> commit(const v1::CommitCatalog& request) {
    auto was_stamped = state_.stamped();
    auto outcome = commit_now(state_, request);
    if (was_stamped && (!outcome || !state_.stamped()))
      end_stamps();
    return outcome;
  }

  /// The sender's pack failed, or the sender waits for its stamp no more.
  void take_back() {
    auto from = sender();
    if (state_.stamped() && state_.holder == from)
      end_stamps();
    else
      drop_first_stamp(from);
    serve_waiting();
  }

  /// Whoever is gone commits nothing.
  void forget(const caf::actor_addr& gone) {
    if (!state_.stamped() || state_.holder != gone)
      return;
    end_stamps();
    serve_waiting();
  }

  /// Serves what waited, up to the next stamp. The holder may have more stamped as
  /// long as nobody else waits.
  void serve_waiting() {
    auto more_of_holder = [&] {
      const auto& next = state_.waiting.front();
      return state_.waiting.size() == 1 && next.what.index() == 0 && next.from == state_.holder;
    };
    while (!state_.waiting.empty() && (!state_.stamped() || more_of_holder())) {
      auto next = std::move(state_.waiting.front());
      state_.waiting.pop_front();
      if (auto* stamping = std::get_if<0>(&next.what))
        stamp(next.from, *stamping);
      else if (auto* applying = std::get_if<1>(&next.what))
        deliver(applying->second, apply_now(state_, applying->first));
      else
        deliver(std::get<2>(next.what).second, commit_now(state_, std::get<2>(next.what).first));
    }
  }

private:
  [[nodiscard]] caf::actor_addr sender() const {
    return caf::actor_cast<caf::actor_addr>(self_->current_sender());
  }

  void stamp(const caf::actor_addr& from, std::pair<v1::StampOperations, stamp_promise>& stamping) {
    auto& [request, promise] = stamping;
    auto holder = caf::actor_cast<caf::strong_actor_ptr>(from);
    auto reply = holder ? stamp_now(state_, request) : fail(errc::cancelled, "stamp operations");
    if (!reply) {
      promise.deliver(to_caf(reply.error()));
      return;
    }
    if (reply->operations_size() > 0 && state_.holder != from) {
      state_.holder = from;
      self_->monitor(holder);
    }
    promise.deliver(std::move(*reply));
  }

  void end_stamps() {
    if (state_.stamped())
      state_.names->unstamp();
    self_->demonitor(std::exchange(state_.holder, {}));
  }

  void drop_first_stamp(const caf::actor_addr& from) {
    auto first = std::find_if(state_.waiting.begin(), state_.waiting.end(),
                              [&](const auto& request) { return request.from == from && request.what.index() == 0; });
    if (first == state_.waiting.end())
      return;
    std::get<0>(first->what).second.deliver(to_caf(error{errc::cancelled, "stamp operations"}));
    state_.waiting.erase(first);
  }

  self_pointer self_;
  catalog_state& state_;
};

catalog_actor::behavior_type catalog_writer(catalog_actor::stateful_pointer<catalog_state> self, std::shared_ptr<catalog> names,
                                            std::shared_ptr<clock> time, std::shared_ptr<name_claims> claims) {
  self->state.names = std::move(names);
  self->state.time = std::move(time);
  self->state.claims = std::move(claims);
  auto queue = std::make_shared<catalog_queue>(self);
  self->set_down_handler([=](const caf::down_msg& gone) { queue->forget(gone.source); });
  return {
      [=](const v1::StampOperations& request) { return queue->add<v1::StampedOperations>(request, "stamp operations"); },
      [=](caf::delete_atom) { queue->take_back(); },
      [=](const v1::CommitCatalog& request) -> caf::result<v1::Done> {
        // Operations of others could take the numbers that were just given.
        if (request.operations_size() > 0 && !queue->may_commit())
          return queue->add<v1::Done>(request, "commit to catalog");
        auto promise = self->make_response_promise<done_promise::promise_type>();
        done_promise kept{promise, "commit to catalog"};
        deliver(kept, queue->commit(request));
        queue->serve_waiting();
        return promise;
      },
      [=](const v1::ApplyOperations& request) { return queue->add<v1::Done>(request, "apply operations"); },
      [=](const v1::MarkPacks& request) -> caf::result<v1::Done> {
        if (auto marked = mark_now(self->state, request); !marked)
          return to_caf(marked.error());
        return v1::Done{};
      },
      [=](const v1::RememberSources& request) {
        remember_now(self->state, request);
        return v1::Done{};
      },
      [=](caf::open_atom) -> caf::result<v1::Done> {
        if (auto ready = self->state.names->make_writable(); !ready)
          return to_caf(ready.error());
        return v1::Done{};
      },
      [=](caf::close_atom) -> caf::result<v1::Done> {
        if (auto closed = self->state.names->close(); !closed)
          return to_caf(closed.error());
        return v1::Done{};
      },
  };
}

} // namespace

catalog_actor spawn_catalog(caf::actor_system& sys, std::shared_ptr<catalog> names, std::shared_ptr<clock> time,
                            std::shared_ptr<name_claims> claims) {
  return sys.spawn<caf::detached>(catalog_writer, std::move(names), std::move(time), std::move(claims));
}

} // namespace datamesh::storage
