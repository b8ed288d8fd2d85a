#include "storage/catalog_actor.hpp"

#include "storage/convert.hpp"

#include <deque>

namespace datamesh::storage {

namespace {

using stamp_promise = caf::typed_response_promise<v1::StampedOperations>;
using done_promise = caf::typed_response_promise<v1::Done>;

struct waiting_request {
  std::variant<std::pair<v1::StampOperations, stamp_promise>, std::pair<v1::ApplyOperations, done_promise>> what;
};

struct catalog_state {
  static inline constexpr const char* name = "catalog";
  std::shared_ptr<catalog> names;
  std::shared_ptr<clock> time;
  bool stamped = false; ///< A pack with stamped operations is under way.
  std::deque<waiting_request> waiting;

  int64_t now_ns() const {
    return time->wall().time_since_epoch().count();
  }
};

template <class Strings>
result<std::vector<operation_body>> read_bodies(const Strings& encoded) {
  std::vector<operation_body> bodies;
  bodies.reserve(static_cast<size_t>(encoded.size()));
  for (const auto& raw : encoded) {
    auto op = decode_operation(raw);
    if (!op)
      return fail(op.error());
    bodies.push_back(std::move(op->body));
  }
  return bodies;
}

result<v1::StampedOperations> stamp_now(catalog_state& state, const v1::StampOperations& request) {
  auto bodies = read_bodies(request.bodies());
  if (!bodies)
    return fail(bodies.error());
  if (auto begun = state.names->begin_writing(); !begun)
    return fail(begun.error());
  v1::StampedOperations reply;
  auto operations = state.names->stamp(std::move(*bodies), state.now_ns());
  for (const auto& op : operations)
    reply.add_operations(encode(op));
  if (!operations.empty()) {
    reply.set_device(write_id(operations.front().at.device));
    reply.set_first_sequence(operations.front().sequence);
  }
  return reply;
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
  for (const auto& raw : request.operations()) {
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
  for (const auto& raw : request.forgotten()) {
    auto id = read_id<pack_id>(raw);
    if (!id)
      return fail(id.error());
    commit.forgotten.push_back(*id);
  }
  return state.names->commit(commit);
}

result<void> apply_now(catalog_state& state, const v1::ApplyOperations& request) {
  auto bodies = read_bodies(request.bodies());
  if (!bodies)
    return fail(bodies.error());
  catalog_commit commit;
  commit.operations = state.names->stamp(std::move(*bodies), state.now_ns());
  commit.operations_in_pack = false;
  return state.names->commit(commit);
}

void deliver(done_promise& promise, const result<void>& outcome) {
  if (outcome)
    promise.deliver(v1::Done{});
  else
    promise.deliver(to_caf(outcome.error()));
}

/// Serves what waited, up to the next stamp.
void serve_waiting(catalog_state& state) {
  while (!state.stamped && !state.waiting.empty()) {
    auto next = std::move(state.waiting.front());
    state.waiting.pop_front();
    if (auto* stamping = std::get_if<0>(&next.what)) {
      auto reply = stamp_now(state, stamping->first);
      state.stamped = reply && reply->operations_size() > 0;
      if (reply)
        stamping->second.deliver(std::move(*reply));
      else
        stamping->second.deliver(to_caf(reply.error()));
    } else {
      auto& [request, promise] = std::get<1>(next.what);
      deliver(promise, apply_now(state, request));
    }
  }
}

catalog_actor::behavior_type catalog_writer(catalog_actor::stateful_pointer<catalog_state> self, std::shared_ptr<catalog> names,
                                            std::shared_ptr<clock> time) {
  self->state.names = std::move(names);
  self->state.time = std::move(time);
  return {
      [=](const v1::StampOperations& request) -> caf::result<v1::StampedOperations> {
        if (self->state.waiting.size() >= catalog_queue_max)
          return to_caf(error{errc::capacity_exceeded, "stamp operations"});
        auto promise = self->make_response_promise<stamp_promise>();
        self->state.waiting.push_back({std::pair{request, promise}});
        serve_waiting(self->state);
        return promise;
      },
      [=](caf::delete_atom) {
        self->state.names->unstamp();
        self->state.stamped = false;
        serve_waiting(self->state);
      },
      [=](const v1::CommitCatalog& request) -> caf::result<v1::Done> {
        auto outcome = commit_now(self->state, request);
        if (request.operations_size() > 0) {
          if (!outcome)
            self->state.names->unstamp();
          self->state.stamped = false;
        }
        auto promise = self->make_response_promise<done_promise>();
        deliver(promise, outcome);
        serve_waiting(self->state);
        return promise;
      },
      [=](const v1::ApplyOperations& request) -> caf::result<v1::Done> {
        if (self->state.waiting.size() >= catalog_queue_max)
          return to_caf(error{errc::capacity_exceeded, "apply operations"});
        auto promise = self->make_response_promise<done_promise>();
        self->state.waiting.push_back({std::pair{request, promise}});
        serve_waiting(self->state);
        return promise;
      },
      [=](caf::close_atom) -> caf::result<v1::Done> {
        if (auto closed = self->state.names->close(); !closed)
          return to_caf(closed.error());
        return v1::Done{};
      },
  };
}

} // namespace

catalog_actor spawn_catalog(caf::actor_system& sys, std::shared_ptr<catalog> names, std::shared_ptr<clock> time) {
  return sys.spawn<caf::detached>(catalog_writer, std::move(names), std::move(time));
}

} // namespace datamesh::storage
