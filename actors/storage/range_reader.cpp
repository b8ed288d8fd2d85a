#include "storage/range_reader.hpp"

#include "storage/job_actor.hpp"
#include "storage/stage_report.hpp"

namespace datamesh::storage {

namespace {

/// What the path of a stream is called where paths are told.
constexpr const char* stream_path = "stream";

chunk_key key_of(const vault_context& context, const chunk_id& id) {
  return {context.id, id};
}

/// The location, if it is what the extent says.
std::optional<chunk_location> locate(const vault_context& context, const extent& what) {
  auto found = context.names->locate_chunk(*what.chunk);
  if (!found || !*found || (*found)->entry.plain_length != what.length)
    return std::nullopt;
  return **found;
}

/// Memory for a load that nobody waits for; the cache gives way if that is enough.
std::optional<memory_budget::reservation> memory_for_ahead(const vault_context& context) {
  auto memory = reserve_now(*context.budget, load_memory);
  if (memory || context.budget->in_use() + load_memory > context.budget->limit() + context.cache->reserved())
    return memory;
  context.cache->give_way(load_memory);
  return reserve_now(*context.budget, load_memory);
}

} // namespace

bool range_reader::takes(const node_view& node, const byte_range& range) {
  return node.kind == node_kind::file && node.version && range.length && *range.length > 0 && *range.length <= cached_range_max;
}

range_reader::figures range_reader::current() const {
  std::lock_guard guard{mutex_};
  return figures_;
}

std::optional<result<get_summary>> range_reader::read(const std::shared_ptr<vault_context>& context, const range_task& task) {
  watch_stages(*task.job);
  task.job->waits->wait_for(transfer_stage::catalog);
  auto planned = plan_range(*context, task);
  if (!planned)
    return std::nullopt;
  auto& pieces = planned->pieces;
  auto all = find(context, task, pieces);
  open_ahead(context, *planned);
  get_summary summary;
  auto there = wait(*context, task, pieces, summary);
  if (!there)
    return fail(there.error());
  if (!all || !*there)
    return std::nullopt;
  return write(*context, task, std::move(pieces), std::move(summary));
}

result<range_reader::plan> range_reader::plan_range(const vault_context& context, const range_task& task) {
  plan result;
  result.version = *task.node.version;
  result.extent_count = task.node.extent_count;
  auto size = task.node.size;
  if (task.version) {
    auto versions = context.names->versions(task.node.node);
    if (!versions)
      return fail(versions.error());
    auto chosen = std::find_if(versions->begin(), versions->end(), [&](const auto& one) { return one.version == *task.version; });
    if (chosen == versions->end())
      return fail(errc::not_found, "find version", task.version->hex());
    result.version = chosen->version;
    result.extent_count = chosen->extent_count;
    size = chosen->size;
  }
  auto first = std::min(task.range.first, size);
  auto length = std::min(*task.range.length, size - first);
  if (length == 0)
    return result;
  std::lock_guard guard{mutex_};
  if (!finder_)
    finder_.emplace(context.names);
  auto extents = finder_->find(result.version, result.extent_count, first, length);
  if (!extents)
    return fail(extents.error());
  result.ahead = ahead_.note(result.version, first, length, cache_->room_ahead());
  for (const auto& one : *extents) {
    auto skip = first > one.offset ? first - one.offset : 0;
    auto wanted = std::min(one.offset + one.what.length, first + length) - one.offset - skip;
    // Who reads on in a chunk has asked for it before.
    result.pieces.push_back({one.what, skip, wanted, !result.ahead.goes_on || skip == 0, {}, nullptr, false});
  }
  return result;
}

bool range_reader::find(const std::shared_ptr<vault_context>& context, const range_task& task, std::vector<piece>& pieces) {
  load_task load;
  auto all = true;
  {
    // A chunk is in the cache before it is no longer under way; see `settle`.
    std::lock_guard guard{mutex_};
    for (auto& one : pieces) {
      if (!one.what.chunk)
        continue;
      auto [plain, first] = cache_->find(key_of(*context, *one.what.chunk), one.counts);
      ++(plain.empty() ? figures_.misses : figures_.hits);
      figures_.ahead_used += first ? 1 : 0;
      if (!plain.empty()) {
        all = all && plain.size() == one.what.length;
        one.plain = std::move(plain);
        continue;
      }
      if (auto found = flights_.find(*one.what.chunk); found != flights_.end()) {
        one.coming = found->second;
        continue;
      }
      auto at = locate(*context, one.what);
      if (!at) {
        all = false;
        continue;
      }
      one.coming = flights_[*one.what.chunk] = std::make_shared<flight>();
      one.own = true;
      load.chunks.push_back(std::move(*at));
    }
  }
  if (!load.chunks.empty()) {
    load.job = task.job;
    load.opened = landing(context->id);
    task.job->waits->wait_for(transfer_stage::memory);
    start_load(context, std::move(load));
  }
  return all;
}

void range_reader::open_ahead(const std::shared_ptr<vault_context>& context, const plan& what) {
  if (what.ahead.length == 0 || !context->begin_job)
    return;
  auto memory = memory_for_ahead(*context);
  if (!memory)
    return;
  load_task load;
  {
    std::lock_guard guard{mutex_};
    auto extents = finder_->find(what.version, what.extent_count, what.ahead.first, what.ahead.length);
    auto room = cache_->room_ahead();
    for (const auto& one : extents.value_or(std::vector<placed_extent>{})) {
      if (!one.what.chunk || flights_.count(*one.what.chunk) > 0 || cache_->holds(key_of(*context, *one.what.chunk)))
        continue;
      if (one.what.length + chunk_cache::entry_overhead > room)
        break;
      auto at = locate(*context, one.what);
      if (!at)
        break;
      room -= one.what.length + chunk_cache::entry_overhead;
      auto begun = flights_[*one.what.chunk] = std::make_shared<flight>();
      begun->ahead = true;
      load.chunks.push_back(std::move(*at));
    }
  }
  if (load.chunks.empty())
    return;
  load.opened = landing(context->id);
  load.job = context->begin_job();
  if (!load.job) {
    for (const auto& chunk : load.chunks)
      load.opened(chunk.entry.id, fail(errc::unavailable, "open ahead"));
    return;
  }
  load.done = [end = context->end_job, job = load.job] {
    end(job);
  };
  start_load(context, std::move(load), std::move(*memory));
}

std::function<void(const chunk_id&, result<opened_chunk>)> range_reader::landing(const vault_id& vault) {
  return [self = shared_from_this(), vault](const chunk_id& id, result<opened_chunk> outcome) {
    self->settle(id, std::move(outcome), vault);
  };
}

void range_reader::settle(const chunk_id& id, result<opened_chunk> outcome, const vault_id& vault) {
  std::lock_guard guard{mutex_};
  auto found = flights_.find(id);
  if (found == flights_.end())
    return;
  auto ended = found->second;
  if (outcome) {
    cache_->insert({vault, id}, outcome->plain, ended->ahead ? chunk_cache::origin::ahead : chunk_cache::origin::asked);
    ++figures_.opened;
    figures_.ahead += ended->ahead ? 1 : 0;
  }
  ended->outcome = std::move(outcome);
  flights_.erase(found);
  changed_.notify_all();
}

/// True when all are there; an error when the job ended before.
result<bool> range_reader::wait(const vault_context& context, const range_task& task, std::vector<piece>& pieces, get_summary& summary) {
  auto all = true;
  for (auto& one : pieces) {
    if (!one.coming)
      continue;
    std::unique_lock lock{mutex_};
    // What was begun for this job has to end before the job does.
    while (!changed_.wait_for(lock, end_check_interval, [&] { return one.coming->outcome.has_value(); }))
      if (auto reason = task.job->ended(); reason && !one.own)
        break;
    if (!one.coming->outcome)
      continue;
    const auto& outcome = *one.coming->outcome;
    if (!outcome || outcome->plain.size() != one.what.length) {
      all = false;
      continue;
    }
    one.plain = outcome->plain;
    summary.shards_bad = std::max(summary.shards_bad, outcome->shards_bad);
    summary.reads_hedged = std::max(summary.reads_hedged, outcome->reads_hedged);
    if (one.coming->ahead && cache_->find(key_of(context, *one.what.chunk), false).first)
      ++figures_.ahead_used;
  }
  if (auto reason = task.job->ended())
    return fail(*reason);
  return all;
}

result<get_summary> range_reader::write(const vault_context& context, const range_task& task, std::vector<piece> pieces,
                                        get_summary summary) {
  // A sink may block for as long as it likes; the job ends in time all the same.
  struct delivery {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<result<void>> outcome;
  };
  task.job->waits->wait_for(transfer_stage::target);
  summary.files = 1;
  for (const auto& one : pieces)
    summary.bytes += one.what.chunk ? one.wanted : 0;
  auto shared = std::make_shared<delivery>();
  context.sys->spawn<caf::detached>([shared, to = task.to, pieces = std::move(pieces)](caf::blocking_actor*) {
    auto outcome = write_all(*to, pieces);
    std::lock_guard guard{shared->mutex};
    shared->outcome = std::move(outcome);
    shared->changed.notify_all();
  });
  std::unique_lock lock{shared->mutex};
  while (!shared->changed.wait_for(lock, end_check_interval, [&] { return shared->outcome.has_value(); }))
    if (auto reason = task.job->ended())
      return fail(*reason);
  if (!*shared->outcome) {
    error reason{shared->outcome->error().code(), shared->outcome->error().attempted(), stream_path};
    task.job->item(event_kind::item_failed, stream_path, 0, &reason);
    return fail(reason);
  }
  task.job->progress(1, 1, summary.bytes, summary.bytes, true);
  summary.waits = waits_of(context, *task.job);
  return summary;
}

result<void> range_reader::write_all(sink& to, const std::vector<piece>& pieces) {
  // The sink is the host's.
  try {
    for (const auto& one : pieces) {
      auto written = one.what.chunk ? to.write(one.plain.view().subspan(one.skip, one.wanted)) : to.write_hole(one.wanted);
      if (!written)
        return written;
    }
  } catch (...) {
    return fail(errc::unavailable, "write a range", stream_path);
  }
  return {};
}

} // namespace datamesh::storage
