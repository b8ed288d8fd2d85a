#include "storage/checkpoint_actor.hpp"

#include "storage/ask.hpp"
#include "storage/convert.hpp"
#include "storage/memory_wait.hpp"
#include "storage/operation_batch.hpp"

namespace datamesh::storage {

namespace {

/// Parts that go into packs together.
constexpr size_t bytes_at_once = 2 << 20;
/// Without a checkpoint the age of a vault shows in any handful of its packs.
constexpr size_t packs_looked_at = 64;

class checkpointer {
public:
  checkpointer(caf::blocking_actor* self, std::shared_ptr<vault_context> context, checkpoint_task& task)
      : self_(self), context_(std::move(context)), task_(task), packer_(context_->packer_for(task.how)) {}
  ~checkpointer() {
    // Until then its packs are pinned.
    v1::CloseIntake close;
    close.set_job(task_.job->number);
    (void) ask<v1::Done>(self_, packer_, until_answered, close);
  }

  result<checkpoint_note> run() {
    // Cleanup may take long, and looks for a checkpoint itself when it is done.
    std::unique_lock alone{context_->upkeep, std::try_to_lock};
    if (!alone)
      return fail(errc::unavailable, "write a checkpoint while cleanup runs", context_->name);
    auto number = random_below(*context_->env.random, checkpoint_number_max - 1);
    if (!number)
      return fail(number.error());
    number_ = *number + 1;
    checkpoint_note note;
    note.number = number_;
    note.created_ns = context_->env.clock->wall().time_since_epoch().count();
    checkpoint_writer writer{context_->names->freeze(), note.created_ns};
    for (uint64_t part = 0;; ++part) {
      if (auto reason = task_.job->ended())
        return fail(*reason);
      auto encoded = writer.next();
      if (!encoded)
        return fail(encoded.error());
      if (!*encoded)
        break;
      if (auto added = add(part, **encoded); !added)
        return fail(added.error());
      if (bytes_ >= bytes_at_once)
        if (auto sent = send(); !sent)
          return fail(sent.error());
    }
    if (auto sent = send(); !sent)
      return fail(sent.error());
    note.operations = writer.operations();
    if (auto noted = keep(note); !noted)
      return fail(noted.error());
    return note;
  }

private:
  result<void> add(uint64_t part, const std::string& encoded) {
    auto keys = context_->keys->get();
    auto batch = seal_checkpoint(keys->vault, keys->spaces.front(), context_->names->own_device(),
                                 checkpoint_place{number_, part}.sequence(), std::span{&encoded, 1}, cipher_, *context_->env.random);
    if (!batch)
      return fail(batch.error());
    auto& row = *waiting_.add_batches();
    *row.mutable_at() = to_proto(batch->first);
    row.set_sealed(std::string{as_text(batch->second)});
    bytes_ += row.sealed().size();
    return {};
  }

  /// Answers when the parts are durable.
  result<void> send() {
    if (waiting_.batches_size() == 0)
      return {};
    bytes_ = 0;
    waiting_.set_job(task_.job->number);
    auto stored = self_->request(packer_, until_answered, std::exchange(waiting_, {}));
    v1::FlushPacks request;
    request.set_job(task_.job->number);
    request.set_at_once(true);
    auto flushed = ask<v1::PackFigures>(self_, packer_, until_answered, request);
    result<void> outcome;
    stored.receive([](v1::PackFigures&) {}, [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
    if (outcome && !flushed)
      return fail(flushed.error());
    return outcome;
  }

  result<void> keep(const checkpoint_note& note) {
    v1::CommitCatalog commit;
    auto& row = *commit.mutable_checkpoint();
    row.set_number(note.number);
    row.set_created_ns(note.created_ns);
    row.set_operations(note.operations);
    auto committed = ask<v1::Done>(self_, context_->catalog_writer, step_timeout, std::move(commit));
    if (!committed)
      return fail(committed.error());
    return {};
  }

  caf::blocking_actor* self_;
  std::shared_ptr<vault_context> context_;
  checkpoint_task& task_;
  packer_actor packer_;
  crypto::aead cipher_;
  uint64_t number_ = 0;
  v1::CopyOperations waiting_;
  size_t bytes_ = 0;
};

} // namespace

void start_checkpoint(std::shared_ptr<vault_context> context, checkpoint_task task) {
  auto shared = std::make_shared<checkpoint_task>(std::move(task));
  auto size = std::min<uint64_t>(context->budget->limit(), uint64_t{2} * pack_buffer_size);
  auto granted = [context, shared](const std::shared_ptr<memory_budget::reservation>& held) {
    context->sys->spawn<caf::detached>([context, shared, held](caf::blocking_actor* self) {
      auto outcome = checkpointer{self, context, *shared}.run();
      *held = {};
      shared->done(std::move(outcome));
    });
  };
  wait_for_memory(*context, shared->job, size, granted, [shared](const error& reason) { shared->done(fail(reason)); });
}

bool wants_checkpoint(const vault_context& context) {
  auto totals = context.names->totals();
  auto last = context.names->last_checkpoint();
  if (!totals || !last)
    return false;
  auto now = context.env.clock->wall().time_since_epoch().count();
  auto since = *last ? (*last)->created_ns : now;
  if (!*last)
    if (auto packs = context.names->packs(std::nullopt, packs_looked_at))
      for (const auto& pack : *packs)
        since = std::min(since, pack.created_ns);
  return checkpoint_due(*totals, *last, since, now);
}

} // namespace datamesh::storage
