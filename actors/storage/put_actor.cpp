#include "storage/put_actor.hpp"

#include "storage/ask.hpp"
#include "storage/convert.hpp"
#include "storage/job_actor.hpp"
#include "storage/memory_wait.hpp"
#include "storage/source_actor.hpp"
#include "storage/stage_report.hpp"

#include <fmt/format.h>

#include <unordered_set>

namespace datamesh::storage {

namespace {

constexpr size_t failures_kept_max = 1000;

/// A file, folder or link on its way in.
struct put_item {
  v1::SourceBegin begin;
  name_claims::claim target;
  version_id version;
  std::vector<extent> extents; ///< Those that are in no operation yet.
  uint64_t first_ordinal = 0;  ///< Number of the first of them.
  size_t unresolved = 0;       ///< Of them, those whose chunk has no name yet.
  uint64_t size = 0;
  bool ended = false;
  uint64_t removals = 0;  ///< When its place was claimed.
  int64_t changed_ns = 0; ///< Of a file that may be remembered.
  uint64_t device = 0;
  uint64_t inode = 0;
};

/// An item that has nothing left to store.
struct ended_item {
  std::string path;
  uint64_t size = 0;
  node_id node;
  node_kind kind{};
  uint64_t removals = 0;
};
using ended_items = std::vector<ended_item>;

/// Where a chunk's name belongs when it comes back.
struct chunk_target {
  uint64_t item;
  uint64_t ordinal;
};

struct put_state {
  static inline constexpr const char* name = "put";
  std::shared_ptr<vault_context> context;
  put_task task;
  memory_budget::reservation reservation;
  packer_actor packer;
  source_actor source;
  std::map<uint64_t, put_item> items;
  std::vector<move_node> folders;             ///< Made on the way to items, and in no operation yet.
  std::map<std::string, std::string> renamed; ///< Folders whose names were taken, by path, and where they went.
  std::unordered_set<chunk_id> seen;          ///< Of a dry run.
  size_t batches_max = 2;
  size_t batches = 0; ///< At the packer.
  size_t marking = 0; ///< Requests to remember sources that are not answered yet.
  bool pulling = false;
  bool more_to_read = false; ///< The source got another file.
  bool source_finished = false;
  bool flushing = false;
  bool over = false;
  uint64_t packs_before = 0;
  uint64_t written_before = 0;
  uint64_t times_bounded = 0; ///< Items whose time of change is beyond what 64 bits of nanoseconds say.
  std::string first_bounded;
  put_summary summary;
};

class putter {
public:
  using self_pointer = job_actor::stateful_pointer<put_state>;

  explicit putter(self_pointer self) : self_(self), state_(self->state) {}

  void start() {
    auto& context = *state_.context;
    state_.packer = context.packer_for(state_.task.how);
    auto cutter = chunker{context.keys->get()->spaces.front().chunker_key};
    auto files = state_.task.files ? state_.task.files : context.env.files;
    // Who wants a conflict told, or another name, gets that for an unchanged file, too.
    // What lies on drives that are away may have to be stored anew.
    context.drives->look();
    if (state_.task.conflict != if_exists::version || !context.drives->complete())
      for (auto& root : state_.task.roots)
        root.compare_contents = true;
    auto marks = std::make_shared<source_marks>(context.names, context.env.clock);
    auto reader = std::make_shared<tree_reader>(files, context.segment_pool, std::move(cutter), std::move(state_.task.roots),
                                                std::move(state_.task.exclude), context.own_folders(), std::move(marks));
    state_.source = spawn_source(*context.sys, std::move(reader));
    v1::OpenIntake open;
    open.set_job(state_.task.job->number);
    waits().wait_for(transfer_stage::none);
    self_->request(state_.packer, step_timeout, open, stage_watch_ref{state_.task.job->waits})
        .then(
            [this](v1::PackFigures& figures) {
              state_.packs_before = figures.packs();
              state_.written_before = figures.bytes_written();
              pull();
            },
            [this](caf::error& reason) { give_up(from_caf(reason)); });
    tick();
  }

  void tick() {
    if (state_.over)
      return;
    if (auto reason = ended_or_look_later(self_, *state_.task.job))
      give_up(*reason);
  }

private:
  // -- for what it waits --------------------------------------------------------------

  stage_watch& waits() {
    return *state_.task.job->waits;
  }

  /// While it reads, it waits for the source alone if all that was read went through.
  void tell_waits() {
    if (!state_.pulling)
      waits().wait_for_pipeline();
    else
      waits().wait_for(state_.batches == 0 ? transfer_stage::source : transfer_stage::none);
  }

  /// Names are looked up; meanwhile workers may have something to do.
  void tell_own_work() {
    waits().wait_for(state_.batches == 0 ? transfer_stage::catalog : transfer_stage::none);
  }

  // -- from the source ------------------------------------------------------------------

  void pull() {
    if (!state_.over && !state_.pulling && !state_.source_finished && state_.batches < state_.batches_max)
      ask_source();
    tell_waits();
  }

  void ask_source() {
    state_.pulling = true;
    tell_waits();
    // A pipe may have nothing to say for as long as it likes.
    self_->request(state_.source, until_answered, v1::PullSource{})
        .then(
            [this](v1::SourceBatch& batch, slices& data) {
              state_.pulling = false;
              if (state_.over)
                return;
              tell_own_work();
              if (batch.finished() && !std::exchange(state_.more_to_read, false)) {
                state_.source_finished = true;
                finish_if_done();
              } else {
                take_batch(batch, data);
              }
              pull();
            },
            [this](caf::error& reason) { give_up(from_caf(reason)); });
  }

  void take_batch(v1::SourceBatch& batch, slices& data) {
    slices fresh;
    std::vector<chunk_target> targets;
    size_t next = 0;
    for (auto& piece : *batch.mutable_pieces()) {
      auto has_data = piece.what_case() == v1::SourcePiece::kChunkLength;
      auto slice = has_data ? std::move(data[next++]) : bytes{};
      if (piece.what_case() == v1::SourcePiece::kBegin) {
        begin_item(piece.item(), *piece.mutable_begin());
        continue;
      }
      if (piece.what_case() == v1::SourcePiece::kUnchanged) {
        take_unchanged(*piece.mutable_unchanged());
        continue;
      }
      if (piece.what_case() == v1::SourcePiece::kFailure) {
        forget_item(piece.item());
        const auto& failure = piece.failure();
        add_failure(failure.path(), error{static_cast<errc>(failure.code()), failure.attempted(), failure.path()});
        continue;
      }
      if (piece.what_case() == v1::SourcePiece::kLeftOut) {
        state_.task.job->left_out(piece.left_out());
        continue;
      }
      auto found = state_.items.find(piece.item());
      if (found == state_.items.end())
        continue; // Failed when it began, or in between.
      auto& item = found->second;
      if (has_data) {
        state_.summary.bytes += slice.size();
        targets.push_back({piece.item(), item.first_ordinal + item.extents.size()});
        item.extents.push_back({chunk_id{}, slice.size()});
        ++item.unresolved;
        fresh.push_back(std::move(slice));
      } else if (piece.what_case() == v1::SourcePiece::kHoleLength) {
        state_.summary.bytes += piece.hole_length();
        state_.summary.hole_bytes += piece.hole_length();
        item.extents.push_back({std::nullopt, piece.hole_length()});
      } else if (piece.end().changed()) {
        // What was read is neither what it was nor what it is.
        add_failure(item.begin.path(), error{errc::source_changed, "read file", item.begin.path()});
        forget_item(piece.item());
      } else {
        end_item(item, piece.end());
      }
    }
    if (fresh.empty()) {
      tell_progress();
      return submit_complete();
    }
    seal(std::move(fresh), std::move(targets));
  }

  /// What lies in a folder whose name was taken goes where the folder went.
  [[nodiscard]] std::string place_of(const std::string& path) const {
    if (!state_.renamed.empty())
      for (auto end = path.rfind('/'); end != std::string::npos && end > 0; end = path.rfind('/', end - 1))
        if (auto folder = state_.renamed.find(path.substr(0, end)); folder != state_.renamed.end())
          return folder->second + path.substr(end);
    return path;
  }

  /// Where the item goes; nothing when that failed, which is noted.
  std::optional<put_item> claim(v1::SourceBegin& begin) {
    put_item item;
    item.removals = state_.context->claims->removals();
    auto kind = static_cast<node_kind>(begin.kind());
    auto path = place_of(begin.path());
    if (kind == node_kind::folder && split_path(begin.path()).empty()) {
      item.target.node = root_node();
    } else {
      auto target = state_.context->claims->take(path, kind, state_.task.conflict, state_.task.job->number);
      if (!target) {
        add_failure(begin.path(), target.error());
        return std::nullopt;
      }
      item.target = std::move(*target);
      if (auto name = split_path(path).back(); kind == node_kind::folder && name != item.target.name)
        state_.renamed.emplace(begin.path(), path.substr(0, path.rfind(name)) + item.target.name);
      // Others may need them, whatever becomes of this item.
      std::move(item.target.folders.begin(), item.target.folders.end(), std::back_inserter(state_.folders));
      item.target.folders.clear();
    }
    item.begin = std::move(begin);
    item.begin.set_path(std::move(path));
    return item;
  }

  void begin_item(uint64_t number, v1::SourceBegin& begin) {
    auto item = claim(begin);
    if (!item)
      return;
    auto version = random_id<version_id>(*state_.context->env.random);
    if (!version)
      return give_up(version.error());
    item->version = *version;
    state_.items.emplace(number, std::move(*item));
  }

  /// Others may have put something else there since the reader looked: then it is read.
  void take_unchanged(v1::SourceUnchanged& file) {
    auto item = claim(*file.mutable_begin());
    if (!item)
      return;
    const auto& existing = item->target.existing;
    if (existing && existing->version && existing->version->text() == file.version()) {
      item->size = file.size();
      state_.summary.bytes += file.size();
      state_.summary.bytes_unread += file.size();
      state_.summary.files_unread += 1;
      return tell_done({end(*item)});
    }
    state_.context->claims->withdraw(item->target, state_.task.job->number);
    v1::ReadSource again;
    again.set_path(std::move(*file.mutable_path()));
    again.set_target_path(std::move(*item->begin.mutable_path()));
    state_.more_to_read = true;
    self_->send(state_.source, std::move(again));
  }

  void forget_item(uint64_t number) {
    auto found = state_.items.find(number);
    if (found == state_.items.end())
      return;
    state_.context->claims->withdraw(found->second.target, state_.task.job->number);
    state_.items.erase(found);
  }

  void end_item(put_item& item, const v1::SourceEnd& end) {
    item.size = end.size();
    item.ended = true;
    item.changed_ns = end.changed_ns();
    item.device = end.device();
    item.inode = end.inode();
  }

  // -- through the packer --------------------------------------------------------------------

  void seal(slices data, std::vector<chunk_target> targets) {
    ++state_.batches;
    v1::SealChunks request;
    request.set_job(state_.task.job->number);
    request.set_dry_run(state_.task.dry_run);
    self_->request(state_.packer, step_timeout, std::move(request), std::move(data))
        .then(
            [this, targets = std::move(targets)](v1::SealedChunks& reply) {
              --state_.batches;
              if (state_.over)
                return;
              if (static_cast<size_t>(reply.chunks_size()) != targets.size())
                return give_up(error{errc::internal, "seal chunks"});
              for (size_t i = 0; i < targets.size(); ++i)
                take_name(targets[i], reply.chunks(static_cast<int>(i)));
              submit_complete();
              tell_progress();
              pull();
            },
            [this](caf::error& reason) { give_up(from_caf(reason)); });
  }

  void tell_progress() {
    state_.task.job->progress(state_.summary.files, 0, state_.summary.bytes, 0);
  }

  void take_name(const chunk_target& target, const v1::SealedChunk& row) {
    auto id = read_id<chunk_id>(row.id());
    if (!id)
      return give_up(id.error());
    auto& summary = state_.summary;
    ++summary.chunks;
    auto known = row.standing() != v1::SealedChunk::STORED || (state_.task.dry_run && !state_.seen.insert(*id).second);
    if (known) {
      ++summary.chunks_known;
      summary.bytes_known += row.plain_length();
    } else {
      summary.bytes_new_plain += row.plain_length();
      summary.bytes_new_sealed += row.sealed_length();
    }
    auto found = state_.items.find(target.item);
    if (found == state_.items.end())
      return;
    auto& item = found->second;
    item.extents[target.ordinal - item.first_ordinal].chunk = *id;
    --item.unresolved;
  }

  // -- operations --------------------------------------------------------------------------------

  /// Writes operations for items that are complete, and for stretches of those
  /// that are long.
  void submit_complete() {
    v1::SubmitOperations request;
    v1::RememberSources marks;
    ended_items ended;
    request.set_job(state_.task.job->number);
    for (auto& folder : std::exchange(state_.folders, {}))
      add_body(request, std::move(folder));
    for (auto it = state_.items.begin(); it != state_.items.end();) {
      auto& item = it->second;
      if (item.unresolved > 0 || (!item.ended && item.extents.size() < extents_per_operation_max)) {
        ++it;
        continue;
      }
      if (!item.ended) {
        add_stretch(item, request);
        ++it;
        continue;
      }
      end_with_operations(item, request);
      ended.push_back(end(item));
      add_mark(item, marks);
      it = state_.items.erase(it);
    }
    if (marks.marks_size() > 0 && !state_.task.dry_run)
      remember(std::move(marks));
    if (request.bodies_size() == 0 || state_.task.dry_run) {
      tell_done(ended);
      return finish_if_done();
    }
    // Nobody hears of an item before it would outlive a power cut.
    self_->request(state_.packer, until_answered, std::move(request))
        .then([this, ended = std::move(ended)](v1::PackFigures&) { tell_done(ended); },
              [this](caf::error& reason) { give_up(from_caf(reason)); });
    finish_if_done();
  }

  /// The put ends when they are there, for the next one to find. Without them it only reads more.
  void remember(v1::RememberSources&& marks) {
    ++state_.marking;
    auto done = [this] {
      --state_.marking;
      finish_if_done();
    };
    self_->request(state_.context->catalog_writer, until_answered, std::move(marks))
        .then([done](v1::Done&) { done(); }, [done](caf::error&) { done(); });
  }

  static void add_body(v1::SubmitOperations& request, operation_body body) {
    request.add_bodies(encode_body(std::move(body)));
  }

  void add_stretch(put_item& item, v1::SubmitOperations& request) {
    size_t begin = 0;
    while (item.extents.size() - begin > extents_per_operation_max) {
      auto first = item.extents.begin() + static_cast<ptrdiff_t>(begin);
      add_body(request, add_extents{item.version, item.first_ordinal, {first, first + extents_per_operation_max}});
      begin += extents_per_operation_max;
      item.first_ordinal += extents_per_operation_max;
    }
    if (!item.ended && item.extents.size() - begin == extents_per_operation_max) {
      auto first = item.extents.begin() + static_cast<ptrdiff_t>(begin);
      add_body(request, add_extents{item.version, item.first_ordinal, {first, item.extents.end()}});
      item.first_ordinal += extents_per_operation_max;
      begin = item.extents.size();
    }
    item.extents.erase(item.extents.begin(), item.extents.begin() + static_cast<ptrdiff_t>(begin));
  }

  void end_with_operations(put_item& item, v1::SubmitOperations& request) {
    auto kind = static_cast<node_kind>(item.begin.kind());
    if (item.target.fresh)
      add_body(request, move_node{item.target.node, item.target.parent, item.target.name, kind});
    if (unchanged(item)) {
      item.version = *item.target.existing->version;
      return;
    }
    add_stretch(item, request);
    put_version version;
    version.node = item.target.node;
    version.version = item.version;
    if (item.target.existing && item.target.existing->version)
      version.replaces.push_back(*item.target.existing->version);
    version.size = item.size;
    version.mode = item.begin.mode();
    version.modified_ns = item.begin.modified_ns();
    version.symlink_target = item.begin.symlink_target();
    version.extent_count = item.first_ordinal + item.extents.size();
    version.extents = std::move(item.extents);
    add_body(request, std::move(version));
  }

  static void add_mark(const put_item& item, v1::RememberSources& to) {
    if (item.changed_ns == 0)
      return;
    auto* mark = to.add_marks();
    mark->set_node(write_id(item.target.node));
    mark->set_version(write_id(item.version));
    mark->set_size(item.size);
    mark->set_modified_ns(item.begin.modified_ns());
    mark->set_changed_ns(item.changed_ns);
    mark->set_device(item.device);
    mark->set_inode(item.inode);
  }

  /// True when the current version is the same in content and attributes.
  bool unchanged(const put_item& item) {
    const auto& old = item.target.existing;
    if (!old || !old->version || item.first_ordinal > 0)
      return false;
    if (old->size != item.size || old->mode != item.begin.mode() || old->modified_ns != item.begin.modified_ns()
        || old->symlink_target != item.begin.symlink_target() || old->extent_count != item.extents.size())
      return false;
    auto extents = state_.context->names->extents(*old->version, 0, item.extents.size());
    return extents && *extents == item.extents;
  }

  ended_item end(const put_item& item) {
    return {count(item), item.size, item.target.node, static_cast<node_kind>(item.begin.kind()), item.removals};
  }

  uint64_t& counter_of(node_kind kind) {
    auto& summary = state_.summary;
    return kind == node_kind::file ? summary.files : kind == node_kind::folder ? summary.folders : summary.symlinks;
  }

  /// Answers the path as which the item is stored.
  std::string count(const put_item& item) {
    auto& summary = state_.summary;
    ++counter_of(static_cast<node_kind>(item.begin.kind()));
    auto path = item.begin.path();
    if (auto slash = path.rfind('/'); !item.target.name.empty())
      path = (slash == std::string::npos ? std::string{} : path.substr(0, slash + 1)) + item.target.name;
    if (summary.stored_as.size() < failures_kept_max)
      summary.stored_as.push_back(path);
    auto at = item.begin.modified_ns();
    if ((at == INT64_MIN || at == INT64_MAX) && state_.times_bounded++ == 0)
      state_.first_bounded = path;
    return path;
  }

  void tell_done(const ended_items& items) {
    for (const auto& item : items)
      if (is_in_tree(item))
        state_.task.job->item(event_kind::item_done, item.path, item.size);
      else
        take_back(item);
  }

  /// Where somebody removed something since the item got its place, that may have gone along.
  bool is_in_tree(const ended_item& item) const {
    if (state_.task.dry_run || item.removals == state_.context->claims->removals())
      return true;
    auto path = state_.context->names->path_of(item.node);
    return path || path.error().code() != errc::not_found;
  }

  void take_back(const ended_item& item) {
    --counter_of(item.kind);
    std::erase(state_.summary.stored_as, item.path);
    add_failure(item.path, error{errc::conflict, "store: it was removed before it was durable, and is in the trash", item.path});
  }

  void add_failure(const std::string& path, error reason) {
    state_.task.job->item(event_kind::item_failed, path, 0, &reason);
    ++state_.summary.failure_count;
    if (state_.summary.failures.size() < failures_kept_max)
      state_.summary.failures.push_back({path, std::move(reason)});
  }

  /// One line for all of them: a tree of such files is likely to hold no others.
  void tell_bounded_times() {
    if (state_.times_bounded == 0)
      return;
    constexpr auto detail = "its time of change is outside of the years 1678 to 2261 and stored as the nearest that can be told";
    event what;
    what.kind = event_kind::item_done;
    what.level = severity::warning;
    what.job = state_.task.job->number;
    what.subject = state_.first_bounded;
    what.detail = state_.times_bounded == 1 ? detail : fmt::format("{}; so are those of {} more", detail, state_.times_bounded - 1);
    state_.task.job->events->publish(std::move(what));
  }

  // -- the end ----------------------------------------------------------------------------------------

  void finish_if_done() {
    if (state_.over || !state_.source_finished || state_.batches > 0 || state_.marking > 0 || state_.flushing || !state_.items.empty())
      return;
    // Submissions that are still on their way are covered by the flush.
    state_.flushing = true;
    if (state_.task.dry_run) {
      v1::PackFigures nothing;
      nothing.set_packs(state_.packs_before);
      nothing.set_bytes_written(state_.written_before);
      return complete(nothing);
    }
    v1::FlushPacks request;
    request.set_job(state_.task.job->number);
    tell_waits();
    self_->request(state_.packer, until_answered, request)
        .then([this](v1::PackFigures& figures) { complete(figures); }, [this](caf::error& reason) { give_up(from_caf(reason)); });
  }

  void complete(const v1::PackFigures& figures) {
    if (state_.over)
      return;
    auto& summary = state_.summary;
    summary.packs = figures.packs() - state_.packs_before;
    summary.bytes_written = figures.bytes_written() - state_.written_before;
    summary.shards_short = figures.shards_short();
    summary.waits = waits_of(*state_.context, *state_.task.job);
    tell_bounded_times();
    state_.task.job->progress(summary.files, summary.files, summary.bytes, summary.bytes, true);
    end(std::move(summary));
  }

  void give_up(error reason) {
    if (state_.over)
      return;
    auto code = reason.code();
    if (code != errc::drive_full && code != errc::no_space && code != errc::too_few_drives && code != errc::rule_leaves_too_few)
      return end(fail(std::move(reason)));
    // How much fits can not be known before all is cut and compressed. What was written
    // by then is no loss to a later put, but it fills drives that are full.
    state_.over = true;
    v1::OpenIntake figures_so_far;
    figures_so_far.set_job(state_.task.job->number);
    self_->request(state_.packer, step_timeout, figures_so_far)
        .then(
            [this, reason](v1::PackFigures& figures) {
              auto left = figures.bytes_written() - state_.written_before;
              if (left == 0)
                return end(fail(reason));
              constexpr auto attempted = "put, of which up to {:.1f} MiB stay on the drives for the next try, or for a cleanup to free";
              end(fail(reason.within(fmt::format(attempted, static_cast<double>(left) / (1 << 20)))));
            },
            [this, reason](caf::error&) { end(fail(reason)); });
  }

  void end(result<put_summary> outcome) {
    state_.over = true;
    self_->send_exit(state_.source, caf::exit_reason::user_shutdown);
    state_.reservation = {};
    // Told when it can not change any more.
    auto told = [this, outcome = std::move(outcome)]() mutable {
      state_.context->claims->release(state_.task.job->number);
      state_.task.done(std::move(outcome));
      self_->quit();
    };
    v1::CloseIntake close;
    close.set_job(state_.task.job->number);
    auto shared = std::make_shared<decltype(told)>(std::move(told));
    self_->request(state_.packer, until_answered, close).then([shared](v1::Done&) { (*shared)(); }, [shared](caf::error&) { (*shared)(); });
  }

  self_pointer self_;
  put_state& state_;
};

job_actor::behavior_type put_behavior(job_actor::stateful_pointer<put_state> self, std::shared_ptr<vault_context> context,
                                      std::shared_ptr<put_task> task, std::shared_ptr<memory_budget::reservation> reservation) {
  self->state.context = std::move(context);
  self->state.task = std::move(*task);
  self->state.reservation = std::move(*reservation);
  self->state.batches_max = self->state.reservation.size() / segment_size - 1;
  auto logic = std::make_shared<putter>(self);
  logic->start();
  return {[=](caf::tick_atom) {
    logic->tick();
  }};
}

} // namespace

void start_put(std::shared_ptr<vault_context> context, put_task task) {
  // One segment is read while others are sealed.
  auto segments = context->budget->limit() >= size_t{4} * pack_buffer_size ? 3u : 2u;
  auto shared = std::make_shared<put_task>(std::move(task));
  watch_stages(*shared->job);
  auto granted = [context, shared](const std::shared_ptr<memory_budget::reservation>& reservation) {
    context->sys->spawn(put_behavior, context, shared, reservation);
  };
  wait_for_memory(*context, shared->job, segments * segment_size, granted, [shared](const error& reason) { shared->done(fail(reason)); });
}

} // namespace datamesh::storage
