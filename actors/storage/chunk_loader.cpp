#include "storage/chunk_loader.hpp"

#include "storage/ask.hpp"
#include "storage/convert.hpp"
#include "storage/memory_wait.hpp"
#include "storage/pack_reader_actor.hpp"

#include "storage/chunk_cache.hpp"

namespace datamesh::storage {

namespace {

constexpr auto end_check_interval = std::chrono::milliseconds{100};
/// Two chunks with more than this between them are fetched apart.
constexpr uint32_t gap_max = 1 << 20;
/// Block borders on both ends come on top.
constexpr uint32_t stretch_max = segment_size - 4 * block_size;

using loader_actor = caf::typed_actor<caf::reacts_to<caf::tick_atom>>;

/// Chunks that are fetched together.
struct load_group {
  pack_id pack;
  std::vector<chunk_entry> chunks;
  uint32_t begin = 0;
  uint32_t end = 0;
  size_t plain_size = 0;
};

struct loader_state {
  static inline constexpr const char* name = "chunk-loader";
  std::shared_ptr<vault_context> context;
  load_task task;
  memory_budget::reservation reservation;
  pack_reader_actor reader;
  std::deque<load_group> groups;
  bool over = false;
};

class loader {
public:
  using self_pointer = loader_actor::stateful_pointer<loader_state>;

  explicit loader(self_pointer self) : self_(self), state_(self->state) {}

  void start() {
    state_.reader = spawn_pack_reader(*state_.context->sys, state_.context, state_.task.job);
    for (const auto& chunk : state_.task.chunks)
      add(chunk);
    tick();
    go_on();
  }

  void tick() {
    if (state_.over)
      return;
    if (auto reason = state_.task.job->ended())
      return end(*reason);
    self_->delayed_send(self_, end_check_interval, caf::tick_atom_v);
  }

private:
  void add(const chunk_location& chunk) {
    const auto& entry = chunk.entry;
    if (entry.plain_length > segment_size || entry.sealed_length > stretch_max)
      return state_.task.opened(entry.id, fail(errc::store_corrupt, "find a chunk", entry.id.brief()));
    auto entry_end = entry.offset + entry.sealed_length;
    if (!state_.groups.empty()) {
      auto& last = state_.groups.back();
      auto begin = std::min(last.begin, entry.offset);
      auto end = std::max(last.end, entry_end);
      auto far = entry.offset > last.end + gap_max || entry_end + gap_max < last.begin;
      if (last.pack == chunk.pack && !far && end - begin <= stretch_max && last.plain_size + entry.plain_length <= segment_size) {
        last.begin = begin;
        last.end = end;
        last.plain_size += entry.plain_length;
        last.chunks.push_back(entry);
        return;
      }
    }
    state_.groups.push_back({chunk.pack, {entry}, entry.offset, entry_end, entry.plain_length});
  }

  void go_on() {
    if (state_.over)
      return;
    if (state_.groups.empty())
      return end(error{errc::unavailable, "open chunks"});
    auto record = state_.context->names->find_pack(state_.groups.front().pack);
    const auto& group = state_.groups.front();
    if (!record || !*record || group.end > (*record)->seal.shape.data_length())
      return lose(record ? error{errc::store_corrupt, "find a pack", group.pack.brief()} : record.error());
    open(to_proto(**record));
  }

  void open(v1::PackRecord&& pack) {
    const auto& group = state_.groups.front();
    v1::OpenStretch request;
    *request.mutable_pack() = std::move(pack);
    request.set_begin(group.begin);
    request.set_end(group.end);
    for (const auto& entry : group.chunks)
      *request.add_chunks() = to_proto(entry);
    auto buffer = state_.context->segment_pool->take();
    memory target{std::make_shared<bytes>(buffer.freeze(0, group.plain_size)), buffer.span().first(group.plain_size)};
    self_->request(state_.reader, until_answered, std::move(request), std::move(target))
        .then([this, buffer](v1::StretchRead& reply) { take(buffer, reply); },
              [this](caf::error& reason) {
                if (!state_.over)
                  lose(from_caf(reason));
              });
  }

  void take(const buffer_pool::buffer& buffer, const v1::StretchRead& reply) {
    if (state_.over)
      return;
    size_t done = 0;
    for (const auto& entry : state_.groups.front().chunks) {
      auto plain = chunk_cache::copy_of(byte_view{buffer.span()}.subspan(done, entry.plain_length));
      done += entry.plain_length;
      state_.task.opened(entry.id, opened_chunk{std::move(plain), reply.shards_bad(), reply.reads_hedged()});
    }
    state_.groups.pop_front();
    go_on();
  }

  /// Chunk by chunk, only those fail that are lost.
  void lose(const error& reason) {
    auto group = std::move(state_.groups.front());
    state_.groups.pop_front();
    if (group.chunks.size() == 1)
      state_.task.opened(group.chunks.front().id, fail(reason));
    else
      for (auto entry = group.chunks.rbegin(); entry != group.chunks.rend(); ++entry)
        state_.groups.push_front({group.pack, {*entry}, entry->offset, entry->offset + entry->sealed_length, entry->plain_length});
    go_on();
  }

  void end(const error& reason) {
    if (std::exchange(state_.over, true))
      return;
    for (const auto& group : state_.groups)
      for (const auto& entry : group.chunks)
        state_.task.opened(entry.id, fail(reason));
    self_->send_exit(state_.reader, caf::exit_reason::user_shutdown);
    state_.groups.clear();
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
};

loader_actor::behavior_type loader_behavior(loader_actor::stateful_pointer<loader_state> self, std::shared_ptr<vault_context> context,
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
