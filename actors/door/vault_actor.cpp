#include "datamesh/vault_actor.hpp"

#include "control/convert.hpp"

#include <algorithm>
#include <map>

namespace datamesh {

namespace {

struct running_job {
  caf::actor_addr asker;
  cancel_token cancel;
};

struct vault_state {
  static inline constexpr const char* name = "vault";
  std::shared_ptr<vault> it;
  vault_actor_options options;
  std::map<caf::actor_addr, running_job> jobs; ///< By their workers.

  ~vault_state() {
    for (auto& [worker, job] : jobs)
      job.cancel.cancel();
  }
};

using self_pointer = vault_actor::stateful_pointer<vault_state>;

/// What an outcome is for CAF: a message that *write* fills, or our error in its own.
template <class Reply, class T>
caf::result<Reply> answer(const result<T>& outcome) {
  if (!outcome)
    return to_caf(outcome.error());
  Reply reply;
  control::write(reply, *outcome);
  return reply;
}

caf::result<v1::ChangeResult> changed(const result<change_result>& outcome) {
  if (!outcome)
    return to_caf(outcome.error());
  v1::ChangeResult reply;
  reply.set_in_packs(outcome->in_packs);
  return reply;
}

template <class Reply, class... Request>
using worker_actor = caf::typed_actor<typename caf::replies_to<Request...>::template with<Reply>>;

/// One job from its request to its answer.
template <class Reply, class Run, class... Request>
typename worker_actor<Reply, Request...>::behavior_type work(typename worker_actor<Reply, Request...>::pointer self, Run run,
                                                             job_options job) {
  return {
      [=](const Request&... request) -> caf::result<Reply> {
        self->quit();
        return run(request..., job);
      },
  };
}

/// Has a job done by an actor of its own; it answers the one who asked.
template <class Reply, class... Request, class Run>
caf::result<Reply> start(self_pointer self, Run run, const Request&... request) {
  auto& state = self->state;
  if (state.jobs.size() >= state.options.jobs_max)
    return to_caf(error{errc::capacity_exceeded, "run more jobs of a vault at once", state.it->name()});
  job_options job;
  job.timeout = state.options.job_timeout;
  auto worker = self->spawn<caf::detached>(work<Reply, Run, Request...>, std::move(run), job);
  self->monitor(worker);
  state.jobs[worker.address()] = {caf::actor_cast<caf::actor_addr>(self->current_sender()), job.cancel};
  return self->delegate(worker, request...);
}

/// The slices, one behind the other.
class slices_source : public source {
public:
  explicit slices_source(slices all) : all_(std::move(all)) {}

  result<size_t> read(byte_span out) override {
    size_t filled = 0;
    while (filled < out.size() && next_ < all_.size()) {
      auto rest = all_[next_].view().subspan(offset_);
      auto count = std::min(rest.size(), out.size() - filled);
      std::copy_n(rest.begin(), count, out.begin() + static_cast<std::ptrdiff_t>(filled));
      filled += count;
      offset_ += count;
      if (count == rest.size()) {
        ++next_;
        offset_ = 0;
      }
    }
    return filled;
  }

private:
  slices all_;
  size_t next_ = 0;
  size_t offset_ = 0;
};

/// Keeps what it is given, up to a limit.
class limited_sink : public sink {
public:
  explicit limited_sink(uint64_t limit) : limit_(limit) {}

  result<void> write(byte_view data) override {
    if (data.size() > limit_ - content_.size())
      return fail(errc::capacity_exceeded, "answer a range of more than " + std::to_string(limit_) + " bytes");
    content_.insert(content_.end(), data.begin(), data.end());
    return {};
  }
  bytes take() {
    return bytes::take(std::move(content_));
  }

private:
  uint64_t limit_;
  std::vector<std::byte> content_;
};

caf::result<v1::PutSummary> put_trees(vault& to, const v1::PutTrees& request, const job_options& job) {
  auto what = control::read(request);
  return answer<v1::PutSummary>(what ? to.put(*what, job) : fail(what.error()));
}

caf::result<v1::PutSummary> put_slices(vault& to, const v1::PutStream& request, const slices& content, const job_options& job) {
  auto what = control::read(request);
  if (!what)
    return to_caf(what.error());
  what->from = std::make_shared<slices_source>(content);
  return answer<v1::PutSummary>(to.put(*what, job));
}

caf::result<v1::GetSummary> get_trees(vault& from, const v1::GetTrees& request, const job_options& job) {
  auto what = control::read(request);
  return answer<v1::GetSummary>(what ? from.get(*what, job) : fail(what.error()));
}

caf::result<bytes> get_range(vault& from, const v1::GetStream& request, uint64_t fetch_max, const job_options& job) {
  std::optional<version_id> version;
  if (request.has_version()) {
    auto id = control::read_id<version_id>(request.version());
    if (!id)
      return to_caf(id.error());
    version = *id;
  }
  byte_range range{.first = request.first()};
  if (request.has_length())
    range.length = request.length();
  auto kept = std::make_shared<limited_sink>(fetch_max);
  auto got = from.get(request.path(), kept, range, version, job);
  if (!got)
    return to_caf(got.error());
  return kept->take();
}

caf::result<v1::ChangeResult> move_or_copy(vault& in, const v1::OnPath& what, bool move) {
  auto conflict = control::read_conflict(what.conflict());
  if (!conflict)
    return to_caf(conflict.error());
  return changed(move ? in.move(what.path(), what.other(), *conflict) : in.copy(what.path(), what.other(), *conflict));
}

caf::result<v1::ChangeResult> revert(vault& in, const v1::OnPath& what) {
  auto id = control::read_id<version_id>(what.id());
  return id ? changed(in.revert(what.path(), *id)) : to_caf(id.error());
}

caf::result<v1::EntryPage> list(vault& in, const v1::ListPart& request) {
  auto page = in.list(control::read(request));
  if (!page)
    return to_caf(page.error());
  v1::EntryPage reply;
  for (const auto& entry : page->entries)
    control::write(*reply.add_entries(), entry);
  reply.set_next_cursor(page->next_cursor);
  return reply;
}

vault_actor::behavior_type vault_behavior(self_pointer self, std::shared_ptr<vault> opened, vault_actor_options options) {
  self->state.it = opened;
  self->state.options = options;
  self->set_down_handler([=](caf::down_msg& down) { self->state.jobs.erase(down.source); });
  return {
      [=](const v1::PutTrees& request) {
        return start<v1::PutSummary>(
            self, [=](const v1::PutTrees& what, const job_options& job) { return put_trees(*opened, what, job); }, request);
      },
      [=](const v1::GetTrees& request) {
        return start<v1::GetSummary>(
            self, [=](const v1::GetTrees& what, const job_options& job) { return get_trees(*opened, what, job); }, request);
      },
      [=](const v1::PutStream& request, const slices& content) {
        return start<v1::PutSummary>(
            self, [=](const v1::PutStream& what, const slices& all, const job_options& job) { return put_slices(*opened, what, all, job); },
            request, content);
      },
      [=](const v1::GetStream& request) {
        return start<bytes>(
            self, [=](const v1::GetStream& what, const job_options& job) { return get_range(*opened, what, options.fetch_max, job); },
            request);
      },
      [=](const v1::ListPart& request) { return list(*opened, request); },
      [=](info_atom, const v1::OnPath& what) { return answer<v1::Entry>(opened->info(what.path())); },
      [=](versions_atom, const v1::OnPath& what) { return answer<v1::Versions>(opened->versions(what.path())); },
      [=](remove_atom, const v1::OnPath& what) { return changed(opened->remove(what.path(), what.recursive())); },
      [=](move_atom, const v1::OnPath& what) { return move_or_copy(*opened, what, true); },
      [=](copy_atom, const v1::OnPath& what) { return move_or_copy(*opened, what, false); },
      [=](folder_atom, const v1::OnPath& what) { return changed(opened->make_folder(what.path())); },
      [=](tag_atom, const v1::OnPath& what) {
        return changed(
            opened->set_tag(what.path(), what.other(), what.has_value() ? std::optional<std::string>{what.value()} : std::nullopt));
      },
      [=](revert_atom, const v1::OnPath& what) { return revert(*opened, what); },
      [=](caf::flush_atom) -> caf::result<v1::Nothing> {
        auto flushed = opened->flush();
        if (!flushed)
          return to_caf(flushed.error());
        return v1::Nothing{};
      },
      [=](stats_atom) { return answer<v1::VaultStats>(opened->stats()); },
      [=](status_atom) { return answer<v1::StatusReport>(opened->status()); },
      [=](const v1::Verify& request) {
        return start<v1::VerifySummary>(
            self,
            [=](const v1::Verify& raw, const job_options& job) {
              auto what = control::read(raw);
              return answer<v1::VerifySummary>(what ? opened->verify(*what, job) : fail(what.error()));
            },
            request);
      },
      [=](const v1::Cleanup& request) {
        return start<v1::CleanupSummary>(
            self,
            [=](const v1::Cleanup& what, const job_options& job) {
              return answer<v1::CleanupSummary>(opened->cleanup(control::read(what), job));
            },
            request);
      },
      [=](const v1::Rebalance& request) {
        return start<v1::RebalanceSummary>(
            self,
            [=](const v1::Rebalance& what, const job_options& job) {
              return answer<v1::RebalanceSummary>(opened->rebalance(what.dry_run(), job));
            },
            request);
      },
      [=](cancel_atom) {
        auto asker = caf::actor_cast<caf::actor_addr>(self->current_sender());
        for (auto& [worker, job] : self->state.jobs)
          if (job.asker == asker)
            job.cancel.cancel();
      },
  };
}

} // namespace

vault_actor spawn_vault(caf::actor_system& sys, vault opened, vault_actor_options options) {
  return sys.spawn<caf::detached>(vault_behavior, std::make_shared<vault>(std::move(opened)), options);
}

std::function<void(const event&)> tell(event_listener_actor whom) {
  return [whom = std::move(whom)](const event& what) {
    v1::Event message;
    control::write(message, what);
    caf::anon_send(whom, std::move(message));
  };
}

} // namespace datamesh
