#include "storage/get_actor.hpp"

#include "storage/ask.hpp"
#include "storage/convert.hpp"
#include "storage/memory_wait.hpp"
#include "storage/sink_actor.hpp"
#include "storage/stage_report.hpp"
#include "storage/stretch_opener.hpp"

#include <map>

namespace datamesh::storage {

namespace {

constexpr size_t failures_kept_max = 1000;
constexpr size_t steps_per_group_max = 1000;

/// What the sink is told, and the bytes for it: chunks that lie together.
struct fetch_group {
  v1::WriteTarget steps;
  std::vector<size_t> chunk_of_step;      ///< By step; chunk number + 1, or 0.
  std::vector<std::string> file_of_chunk; ///< For reports.
  std::optional<pack_record> pack;
  pack_stretch stretch; ///< Its chunks in order of the steps.
  buffer_pool::buffer plain;
  bool ready = false;
  bool whole = false;                      ///< No file of it begins before or ends behind it.
  std::map<std::string, node_kind> others; ///< Folders and links that it makes.
};

using group_ptr = std::shared_ptr<fetch_group>;

struct get_state {
  static inline constexpr const char* name = "get";
  std::shared_ptr<vault_context> context;
  get_task task;
  memory_budget::reservation reservation;
  std::optional<restore_plan> plan;
  std::vector<sink_actor> sinks; ///< What is not whole goes to the first.
  std::vector<size_t> writes_of; ///< By sink.
  size_t groups_max = 1;
  std::deque<group_ptr> groups;             ///< In order of writing.
  size_t writes = 0;                        ///< At the sink.
  std::optional<target_file> file;          ///< Being planned.
  std::optional<restore_plan::piece> piece; ///< Did not fit the last group.
  bool opening = false;                     ///< A long file is next: all before it is written first.
  bool open_asked = false;                  ///< ... and the sink was told.
  bool begin_again = false;                 ///< The file's begin was taken back from the last group.
  std::unordered_set<std::string> lost;     ///< Paths of files that are told as lost.
  bool planned = false;
  bool finishing = false;
  bool over = false;
  get_summary summary;
};

class getter {
public:
  using self_pointer = job_actor::stateful_pointer<get_state>;

  explicit getter(self_pointer self) : self_(self), state_(self->state), opener_(self, self->state.context, self->state.task.job) {}

  void start() {
    state_.plan.emplace(state_.context->names, std::move(state_.task.roots), state_.task.range);
    state_.sinks.push_back(spawn_sink(*state_.context->sys, state_.task.writer));
    // Making a small file costs more than all else that is done for it.
    if (auto companion = state_.task.writer->companion())
      state_.sinks.push_back(spawn_sink(*state_.context->sys, std::move(companion)));
    state_.writes_of.assign(state_.sinks.size(), 0);
    tick();
    go_on();
  }

  void tick() {
    if (state_.over)
      return;
    if (auto reason = ended_or_look_later(self_, *state_.task.job))
      end(fail(*reason));
  }

private:
  // -- for what it waits --------------------------------------------------------------

  stage_watch& waits() {
    return *state_.task.job->waits;
  }

  /// While the next groups are fetched and others are written, it waits for none.
  void tell_waits() {
    auto writes = state_.writes > 0 || state_.open_asked || state_.finishing;
    if (!writes)
      waits().wait_for_pipeline();
    else
      waits().wait_for(state_.groups.empty() ? transfer_stage::target : transfer_stage::none);
  }

  void tell_own_work() {
    if (state_.groups.empty() && state_.writes == 0)
      waits().wait_for(transfer_stage::catalog);
  }

  // -- planning ----------------------------------------------------------------------

  bool between_files() const {
    return !state_.file || state_.opening || state_.begin_again;
  }

  void go_on() {
    plan_groups();
    if (!state_.over)
      open_long_file_if_due();
    finish_if_done();
    if (!state_.over)
      tell_waits();
  }

  void plan_groups() {
    while (!state_.over && !state_.planned && !state_.opening && state_.groups.size() + state_.writes < state_.groups_max) {
      tell_own_work();
      auto group = std::make_shared<fetch_group>();
      group->whole = between_files();
      if (auto filled = fill(*group); !filled)
        return end(fail(filled.error()));
      if (group->steps.steps_size() == 0)
        continue;
      group->whole = group->whole && between_files();
      state_.groups.push_back(group);
      tell_waits();
      fetch(group);
    }
  }

  /// Adds steps until the group is full, a long file begins, or all is planned.
  result<void> fill(fetch_group& group) {
    if (std::exchange(state_.begin_again, false))
      write_begin(*state_.file, *add_step(group, 0)->mutable_begin());
    // A group ends with a file where that can be had, so that any sink can take it.
    while (static_cast<size_t>(group.steps.steps_size()) < (state_.file ? 2 : 1) * steps_per_group_max) {
      if (!state_.file) {
        auto begun = begin_file(group);
        if (!begun)
          return fail(begun.error());
        if (!*begun)
          return {};
        continue;
      }
      auto more = add_extent(group);
      if (!more)
        return fail(more.error());
      if (!*more)
        return {};
    }
    return {};
  }

  /// False when the group must be closed here.
  result<bool> begin_file(fetch_group& group) {
    auto next = state_.plan->next();
    if (!next)
      return fail(next.error());
    if (!*next) {
      state_.planned = true;
      return false;
    }
    auto& file = **next;
    if (file.kind != node_kind::file) {
      group.others.emplace(file.path, file.kind);
      write_begin(file, *add_step(group, 0)->mutable_begin());
      return true;
    }
    state_.file = std::move(file);
    if (!state_.task.resumable || state_.file->size < resumable_size_min) {
      write_begin(*state_.file, *add_step(group, 0)->mutable_begin());
      return true;
    }
    state_.opening = true;
    // What is planned already is written first; the sink keeps the order.
    return false;
  }

  void open_long_file_if_due() {
    if (!state_.opening || state_.open_asked || !state_.groups.empty() || state_.writes > 0)
      return;
    state_.open_asked = true;
    tell_waits();
    open_long_file();
  }

  void open_long_file() {
    v1::OpenTarget request;
    write_begin(*state_.file, *request.mutable_begin());
    auto extents = state_.plan->first_extents();
    if (!extents)
      return end(fail(extents.error()));
    for (const auto& next : *extents) {
      auto* row = request.add_extents();
      if (next.chunk)
        row->set_chunk(write_id(*next.chunk));
      row->set_length(next.length);
    }
    self_->request(state_.sinks.front(), until_answered, std::move(request))
        .then(
            [this](v1::TargetOpened& opened) {
              state_.opening = state_.open_asked = false;
              auto passed = state_.plan->skip_extents(opened.skip() ? UINT64_MAX : opened.extents_resumed());
              if (!passed)
                return end(fail(passed.error()));
              state_.summary.bytes_resumed += *passed;
              if (opened.skip()) {
                ++state_.summary.files;
                state_.file.reset();
              }
              go_on();
            },
            [this](caf::error& reason) {
              state_.opening = state_.open_asked = false;
              add_failure(state_.file->path, from_caf(reason));
              (void) state_.plan->skip_extents(UINT64_MAX);
              state_.file.reset();
              go_on();
            });
  }

  /// Folders and links that are there now.
  void count(std::map<std::string, node_kind> others, const v1::TargetWritten& reply) {
    for (const auto& failed : reply.failures())
      others.erase(failed.path());
    for (const auto& [path, kind] : others)
      ++(kind == node_kind::folder ? state_.summary.folders : state_.summary.symlinks);
  }

  static void write_begin(const target_file& file, v1::SinkBegin& begin) {
    begin.set_path(file.path);
    begin.set_kind(static_cast<uint32_t>(file.kind));
    begin.set_size(file.size);
    begin.set_mode(file.mode);
    begin.set_modified_ns(file.modified_ns);
    begin.set_symlink_target(file.symlink_target);
  }

  static v1::SinkStep* add_step(fetch_group& group, size_t chunk) {
    group.chunk_of_step.push_back(chunk);
    return group.steps.add_steps();
  }

  /// False when the extent belongs to the next group.
  result<bool> add_extent(fetch_group& group) {
    if (!state_.piece) {
      auto next = state_.plan->next_extent();
      if (!next)
        return fail(next.error());
      if (!*next) {
        add_step(group, 0)->set_end(true);
        state_.file.reset();
        return true;
      }
      state_.piece = **next;
    }
    auto& piece = *state_.piece;
    if (!piece.what.chunk) {
      add_step(group, 0)->set_hole_length(piece.wanted);
      state_.piece.reset();
      return true;
    }
    auto location = state_.context->names->locate_chunk(*piece.what.chunk);
    if (!location)
      return fail(location.error());
    if (!*location) {
      add_step(group, 0)->set_abandon(true);
      add_failure(state_.file->path, error{errc::damaged, "find a chunk of", state_.file->path});
      pass_file();
      return true;
    }
    auto fits = add_chunk(group, **location, piece);
    if (fits && *fits)
      state_.piece.reset();
    else if (fits)
      begin_in_next(group);
    return fits;
  }

  /// A file of which nothing but its begin is in the group begins in the next one.
  void begin_in_next(fetch_group& group) {
    auto last = group.steps.steps_size() - 1;
    if (last < 0 || !group.steps.steps(last).has_begin())
      return;
    group.steps.mutable_steps()->RemoveLast();
    group.chunk_of_step.pop_back();
    state_.begin_again = true;
  }

  void pass_file() {
    (void) state_.plan->skip_extents(UINT64_MAX);
    state_.piece.reset();
    state_.file.reset();
  }

  result<bool> add_chunk(fetch_group& group, const chunk_location& at, const restore_plan::piece& piece) {
    const auto& entry = at.entry;
    if (entry.plain_length != piece.what.length || !pack_stretch::may_take(entry))
      return fail(errc::store_corrupt, "find a chunk", entry.id.brief());
    if (!group.pack) {
      auto record = state_.context->names->find_pack(at.pack);
      if (!record)
        return fail(record.error());
      if (!*record)
        return fail(errc::store_corrupt, "find a pack", at.pack.brief());
      if (entry.offset + entry.sealed_length > (*record)->seal.shape.data_length())
        return fail(errc::store_corrupt, "find a chunk", entry.id.brief());
      group.pack = std::move(**record);
    }
    if (!group.stretch.add(at))
      return false;
    group.file_of_chunk.push_back(state_.file->path);
    if (piece.skip > 0)
      add_step(group, 0)->set_skip_length(static_cast<uint32_t>(piece.skip));
    add_step(group, group.stretch.chunks.size())->set_write_length(static_cast<uint32_t>(piece.wanted));
    if (auto rest = entry.plain_length - piece.skip - piece.wanted; rest > 0)
      add_step(group, 0)->set_skip_length(static_cast<uint32_t>(rest));
    return true;
  }

  // -- fetching ------------------------------------------------------------------------------

  void fetch(const group_ptr& group) {
    if (group->stretch.chunks.empty()) {
      group->ready = true;
      return write_ready();
    }
    group->plain = state_.context->segment_pool->take();
    opener_.open(*group->pack, group->stretch, group->plain,
                 {[this, group](size_t number, result<void> outcome) {
                    if (!outcome)
                      lose(*group, number, outcome.error());
                  },
                  [this, group] {
                    group->ready = true;
                    write_ready();
                  }});
  }

  /// Only the files suffer whose bytes are really lost.
  void lose(fetch_group& group, size_t number, const error& reason) {
    const auto& path = group.file_of_chunk[number];
    if (state_.lost.insert(path).second)
      add_failure(path, reason);
    // What follows in a file that can not become whole need not be fetched.
    if (!between_files() && state_.file->path == path)
      pass_file();
    for (size_t step = 0; step < group.chunk_of_step.size(); ++step)
      if (group.chunk_of_step[step] == number + 1)
        return split_step(group, step);
  }

  /// The bytes of a lost chunk are passed over, and its file is abandoned.
  static void split_step(fetch_group& group, size_t step) {
    auto length = group.steps.steps(static_cast<int>(step)).write_length();
    group.steps.mutable_steps(static_cast<int>(step))->set_skip_length(length);
    group.steps.add_steps()->set_abandon(true);
    group.chunk_of_step.push_back(0);
    for (auto i = group.steps.steps_size() - 1; i > static_cast<int>(step) + 1; --i) {
      group.steps.mutable_steps()->SwapElements(i, i - 1);
      std::swap(group.chunk_of_step[static_cast<size_t>(i)], group.chunk_of_step[static_cast<size_t>(i - 1)]);
    }
  }

  // -- writing -----------------------------------------------------------------------------------

  void write_ready() {
    while (!state_.over && !state_.groups.empty() && state_.groups.front()->ready) {
      auto group = std::move(state_.groups.front());
      state_.groups.pop_front();
      ++state_.writes;
      auto idlest = std::min_element(state_.writes_of.begin(), state_.writes_of.end());
      auto number = group->whole ? static_cast<size_t>(idlest - state_.writes_of.begin()) : 0;
      ++state_.writes_of[number];
      auto data = group->plain ? group->plain.freeze(0, group->stretch.plain_size) : bytes{};
      group->plain = {};
      tell_waits();
      self_->request(state_.sinks[number], until_answered, std::move(group->steps), std::move(data))
          .then(
              [this, number, others = std::move(group->others)](v1::TargetWritten& reply) {
                count(others, reply);
                written(number, reply);
              },
              [this](caf::error& reason) { end(fail(from_caf(reason))); });
    }
    go_on();
  }

  void written(size_t sink, const v1::TargetWritten& reply) {
    --state_.writes;
    --state_.writes_of[sink];
    take_figures(reply);
    state_.task.job->progress(state_.summary.files, 0, state_.summary.bytes, 0);
    go_on();
  }

  void take_figures(const v1::TargetWritten& reply) {
    state_.summary.files += reply.files();
    state_.summary.bytes += reply.bytes();
    state_.summary.bytes_resumed += reply.bytes_skipped();
    for (const auto& row : reply.failures())
      add_failure(row.path(), error{static_cast<errc>(row.code()), row.attempted(), row.path()});
  }

  void add_failure(const std::string& path, error reason) {
    state_.task.job->item(event_kind::item_failed, path, 0, &reason);
    ++state_.summary.failure_count;
    if (state_.summary.failures.size() < failures_kept_max)
      state_.summary.failures.push_back({path, std::move(reason)});
  }

  void finish_if_done() {
    if (state_.over || !state_.planned || state_.finishing || !state_.groups.empty() || state_.writes > 0)
      return;
    state_.finishing = true;
    tell_waits();
    self_->request(state_.sinks.front(), until_answered, v1::FinishTargets{})
        .then(
            [this](v1::TargetWritten& reply) {
              take_figures(reply);
              state_.task.job->progress(state_.summary.files, state_.summary.files, state_.summary.bytes, state_.summary.bytes, true);
              state_.summary.shards_bad = opener_.shards_bad();
              state_.summary.reads_hedged = opener_.reads_hedged();
              state_.summary.waits = waits_of(*state_.context, *state_.task.job);
              end(std::move(state_.summary));
            },
            [this](caf::error& reason) { end(fail(from_caf(reason))); });
  }

  void end(result<get_summary> outcome) {
    if (state_.over)
      return;
    state_.over = true;
    for (const auto& sink : state_.sinks)
      self_->send_exit(sink, caf::exit_reason::user_shutdown);
    opener_.close();
    state_.groups.clear();
    state_.reservation = {};
    state_.task.done(std::move(outcome));
    self_->quit();
  }

  self_pointer self_;
  get_state& state_;
  stretch_opener opener_;
};

job_actor::behavior_type get_behavior(job_actor::stateful_pointer<get_state> self, std::shared_ptr<vault_context> context,
                                      std::shared_ptr<get_task> task, std::shared_ptr<memory_budget::reservation> reservation) {
  self->state.context = std::move(context);
  self->state.task = std::move(*task);
  self->state.reservation = std::move(*reservation);
  // Each group holds a stretch of a pack and its plain bytes; a rebuild holds one
  // pack beside them.
  self->state.groups_max = std::max<size_t>(1, (self->state.reservation.size() - pack_buffer_size) / (2 * segment_size));
  auto logic = std::make_shared<getter>(self);
  logic->start();
  return {[=](caf::tick_atom) {
    logic->tick();
  }};
}

} // namespace

void start_get(std::shared_ptr<vault_context> context, get_task task) {
  auto groups = context->budget->limit() >= uint64_t{4} * pack_buffer_size ? 4u : 1u;
  auto shared = std::make_shared<get_task>(std::move(task));
  watch_stages(*shared->job);
  auto size = groups * 2 * segment_size + pack_buffer_size;
  auto granted = [context, shared](const std::shared_ptr<memory_budget::reservation>& reservation) {
    context->sys->spawn(get_behavior, context, shared, reservation);
  };
  wait_for_memory(*context, shared->job, size, granted, [shared](const error& reason) { shared->done(fail(reason)); });
}

} // namespace datamesh::storage
