#include "storage/chunk_loader.hpp"

#include "storage/memory_wait.hpp"
#include "storage/stretch_opener.hpp"

#include "storage/chunk_cache.hpp"

namespace datamesh::storage {

namespace {

struct loader_state {
  static inline constexpr const char* name = "chunk-loader";
  std::shared_ptr<vault_context> context;
  load_task task;
  memory_budget::reservation reservation;
  std::deque<pack_stretch> stretches; ///< The first is under way.
  size_t told = 0;                    ///< Chunks of that.
  bool over = false;
};

class loader {
public:
  using self_pointer = job_actor::stateful_pointer<loader_state>;

  explicit loader(self_pointer self) : self_(self), state_(self->state), opener_(self, self->state.context, self->state.task.job) {}

  void start() {
    for (const auto& chunk : state_.task.chunks)
      add(chunk);
    tick();
    go_on();
  }

  void tick() {
    if (state_.over)
      return;
    if (auto reason = ended_or_look_later(self_, *state_.task.job))
      end(*reason);
  }

private:
  void add(const chunk_location& chunk) {
    const auto& entry = chunk.entry;
    if (!pack_stretch::may_take(entry))
      return state_.task.opened(entry.id, fail(errc::store_corrupt, "find a chunk", entry.id.brief()));
    if (!state_.stretches.empty() && state_.stretches.back().add(chunk))
      return;
    (void) state_.stretches.emplace_back().add(chunk);
  }

  void go_on() {
    if (state_.over)
      return;
    if (state_.stretches.empty())
      return end(error{errc::unavailable, "open chunks"});
    const auto& first = state_.stretches.front();
    auto record = state_.context->names->find_pack(first.pack);
    if (record && *record)
      return open(**record);
    auto reason = record ? error{errc::store_corrupt, "find a pack", first.pack.brief()} : record.error();
    for (const auto& entry : first.chunks)
      state_.task.opened(entry.id, fail(reason));
    next();
  }

  void open(const pack_record& pack) {
    auto buffer = state_.context->segment_pool->take();
    opener_.open(pack, state_.stretches.front(), buffer,
                 {[this, buffer, done = size_t{0}](size_t number, result<void> outcome) mutable {
                    const auto& entry = state_.stretches.front().chunks[number];
                    state_.told = number + 1;
                    if (outcome)
                      tell(entry, byte_view{buffer.span()}.subspan(done, entry.plain_length));
                    else
                      state_.task.opened(entry.id, fail(outcome.error()));
                    done += entry.plain_length;
                  },
                  [this] {
                    next();
                  }});
  }

  void tell(const chunk_entry& entry, byte_view plain) {
    state_.task.opened(entry.id, opened_chunk{chunk_cache::copy_of(plain), opener_.shards_bad(), opener_.reads_hedged()});
  }

  void next() {
    state_.stretches.pop_front();
    state_.told = 0;
    go_on();
  }

  void end(const error& reason) {
    if (std::exchange(state_.over, true))
      return;
    for (const auto& one : state_.stretches)
      for (auto number = std::exchange(state_.told, 0); number < one.chunks.size(); ++number)
        state_.task.opened(one.chunks[number].id, fail(reason));
    opener_.close();
    state_.stretches.clear();
    state_.reservation = {};
    state_.context.reset();
    auto done = std::move(state_.task.done);
    state_.task = {};
    if (done)
      done();
    self_->quit();
  }

  self_pointer self_;
  loader_state& state_;
  stretch_opener opener_;
};

job_actor::behavior_type loader_behavior(job_actor::stateful_pointer<loader_state> self, std::shared_ptr<vault_context> context,
                                         std::shared_ptr<load_task> task, std::shared_ptr<memory_budget::reservation> reservation) {
  self->state.context = std::move(context);
  self->state.task = std::move(*task);
  self->state.reservation = std::move(*reservation);
  auto logic = std::make_shared<loader>(self);
  logic->start();
  return {[=](caf::tick_atom) {
    logic->tick();
  }};
}

} // namespace

void start_load(std::shared_ptr<vault_context> context, load_task task) {
  auto shared = std::make_shared<load_task>(std::move(task));
  auto granted = [context, shared](const std::shared_ptr<memory_budget::reservation>& reservation) {
    if (shared->job->waits)
      shared->job->waits->wait_for_pipeline();
    context->sys->spawn(loader_behavior, context, shared, reservation);
  };
  auto refused = [shared](const error& reason) {
    for (const auto& chunk : shared->chunks)
      shared->opened(chunk.entry.id, fail(reason));
    if (shared->done)
      shared->done();
  };
  wait_for_memory(*context, shared->job, load_memory, granted, refused);
}

void start_load(std::shared_ptr<vault_context> context, load_task task, memory_budget::reservation memory) {
  auto held = std::make_shared<memory_budget::reservation>(std::move(memory));
  context->sys->spawn(loader_behavior, context, std::make_shared<load_task>(std::move(task)), held);
}

} // namespace datamesh::storage
