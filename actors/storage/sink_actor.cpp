#include "storage/sink_actor.hpp"

#include "storage/convert.hpp"

namespace datamesh::storage {

namespace {

struct sink_state {
  static inline constexpr const char* name = "sink";
  std::shared_ptr<restore_writer> writer;
  std::string path;     ///< Of the current file.
  bool passing = false; ///< The rest of the current file is not written.
  bool broken = false;  ///< ... because something failed.
};

target_file read_begin(const v1::SinkBegin& begin) {
  return {begin.path(), static_cast<node_kind>(begin.kind()), begin.size(), begin.mode(), begin.modified_ns(), begin.symlink_target()};
}

void add_failure(v1::TargetWritten& reply, const std::string& path, const error& reason) {
  auto* row = reply.add_failures();
  row->set_path(path);
  row->set_code(static_cast<uint32_t>(reason.code()));
  row->set_attempted(reason.attempted());
}

result<v1::TargetOpened> open_target(sink_state& state, const v1::OpenTarget& request) {
  state.path = request.begin().path();
  state.passing = true;
  state.broken = true;
  auto answer = state.writer->begin(read_begin(request.begin()));
  if (!answer)
    return fail(answer.error());
  v1::TargetOpened reply;
  reply.set_skip(*answer == restore_writer::answer::skip);
  state.broken = false;
  if (reply.skip())
    return reply;
  std::vector<extent> extents;
  for (const auto& row : request.extents()) {
    extent next{std::nullopt, row.length()};
    if (!row.chunk().empty()) {
      auto id = read_id<chunk_id>(row.chunk());
      if (!id)
        return fail(id.error());
      next.chunk = *id;
    }
    extents.push_back(next);
  }
  auto resumed = state.writer->resume(extents);
  if (!resumed)
    return fail(resumed.error());
  reply.set_extents_resumed(*resumed);
  state.passing = false;
  return reply;
}

/// One step of a file; *data* begins with the bytes that are its own.
result<void> take_step(sink_state& state, const v1::SinkStep& step, byte_view data, v1::TargetWritten& reply) {
  switch (step.what_case()) {
  case v1::SinkStep::kBegin: {
    state.path = step.begin().path();
    state.passing = false;
    state.broken = false;
    auto answer = state.writer->begin(read_begin(step.begin()));
    if (!answer)
      return fail(answer.error());
    state.passing = *answer == restore_writer::answer::skip;
    return {};
  }
  case v1::SinkStep::kWriteLength:
    if (state.broken)
      return {};
    if (state.passing) {
      reply.set_bytes_skipped(reply.bytes_skipped() + data.size());
      return {};
    }
    if (auto written = state.writer->write(data); !written)
      return written;
    if (state.writer->comparing())
      reply.set_bytes_skipped(reply.bytes_skipped() + data.size());
    else
      reply.set_bytes(reply.bytes() + data.size());
    return {};
  case v1::SinkStep::kHoleLength:
    if (state.passing)
      return {};
    if (auto written = state.writer->hole(step.hole_length()); !written)
      return written;
    if (!state.writer->comparing())
      reply.set_bytes(reply.bytes() + step.hole_length());
    return {};
  case v1::SinkStep::kEnd:
    if (state.broken)
      return {};
    if (!state.passing)
      if (auto ended = state.writer->end(); !ended)
        return ended;
    reply.set_files(reply.files() + 1);
    return {};
  case v1::SinkStep::kAbandon:
    if (!state.passing)
      state.writer->abandon();
    state.passing = true;
    state.broken = true;
    return {};
  default:
    return {};
  }
}

v1::TargetWritten write_target(sink_state& state, const v1::WriteTarget& request, byte_view data) {
  v1::TargetWritten reply;
  size_t done = 0;
  for (const auto& step : request.steps()) {
    size_t length = step.what_case() == v1::SinkStep::kWriteLength  ? step.write_length()
                    : step.what_case() == v1::SinkStep::kSkipLength ? step.skip_length()
                                                                    : 0;
    length = std::min(length, data.size() - done);
    auto outcome = take_step(state, step, data.subspan(done, length), reply);
    done += length;
    if (outcome)
      continue;
    add_failure(reply, state.path, outcome.error());
    state.writer->abandon();
    state.passing = true;
    state.broken = true;
  }
  return reply;
}

sink_actor::behavior_type sink_behavior(sink_actor::stateful_pointer<sink_state> self, std::shared_ptr<restore_writer> writer) {
  self->state.writer = std::move(writer);
  return {
      [=](const v1::OpenTarget& request) -> caf::result<v1::TargetOpened> {
        auto reply = open_target(self->state, request);
        if (!reply)
          return to_caf(reply.error());
        return std::move(*reply);
      },
      [=](const v1::WriteTarget& request, const bytes& data) -> caf::result<v1::TargetWritten> {
        return write_target(self->state, request, data);
      },
      [=](const v1::FinishTargets&) -> caf::result<v1::TargetWritten> {
        v1::TargetWritten reply;
        for (const auto& failure : self->state.writer->finish())
          add_failure(reply, failure.path, failure.reason);
        return reply;
      },
  };
}

} // namespace

sink_actor spawn_sink(caf::actor_system& sys, std::shared_ptr<restore_writer> writer) {
  return sys.spawn<caf::detached>(sink_behavior, std::move(writer));
}

} // namespace datamesh::storage
