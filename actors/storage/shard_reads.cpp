#include "storage/shard_reads.hpp"

#include "storage/ask.hpp"
#include "storage/convert.hpp"

#include <fmt/format.h>

namespace datamesh::storage {

namespace {

/// How often a reader looks for what is late: one timer for all it has asked for.
constexpr auto look_interval = std::chrono::milliseconds{50};

} // namespace

void shard_reads::look() {
  looking_ = false;
  std::vector<std::pair<uint64_t, std::shared_ptr<asking>>> now{asked_.begin(), asked_.end()};
  for (const auto& [number, one] : now) {
    // What was done for the one before may have ended this one.
    if (one->answered && *one->dropped)
      end_asking(number);
    if (!one->answered)
      continue;
    auto age = pace_.now() - one->begun;
    if (age >= read_deadline) {
      note_bad(one->pack, one->shard, one->drive, error{errc::timed_out, "read shard"});
      auto answered = one->answered;
      end_asking(number);
      answered(answer::none);
    } else if (one->late && age >= pace_.patience(one->size)) {
      // The answer is still taken when it comes before the others'.
      if (auto late = one->late; late(tell_if_hanging(one->drive)))
        one->late = nullptr;
    }
  }
  look_later();
}

void shard_reads::ask(const shard_source& what, const column& from, const memory& target, std::shared_ptr<const bool> dropped,
                      std::function<void(answer)> answered, std::function<bool(bool)> late) {
  const auto& pack = what.pack.seal.id;
  const auto& id = what.pack.drives[from.shard];
  const auto* drive = id.is_zero() ? nullptr : drive_table::find(*what.drives, id);
  if (drive == nullptr) {
    note_bad(pack, from.shard, id, error{id.is_zero() ? errc::shard_missing : errc::drive_missing, "read shard"});
    return answered(answer::bad);
  }
  if (missing_.count({pack, from.shard}) > 0)
    return answered(answer::bad);
  v1::ReadBlocks request;
  *request.mutable_seal() = what.seal;
  request.set_index(from.shard);
  request.set_first_block(from.begin / block_size);
  auto number = next_++;
  asked_.emplace(number, std::make_shared<asking>(asking{pack, from.shard, id, from.size(), pace_.now(), std::move(dropped),
                                                         std::move(answered), std::move(late), what.stages}));
  what.stages->ask(id);
  using held = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
  memory out{std::make_shared<held>(target.owner, pace_.begin(id, from.size())), target.span};
  look_later();
  // Over a link, what a repair asks for waits behind clients; on a disk of ours, which may be
  // the last that has it, it does not.
  const auto& reader = work_ == work_kind::repair && !drive->node.empty() ? drive->care : drive->reader();
  // `look` ends it at `read_deadline`, by the clock of the environment.
  self_->request(reader, until_answered, std::move(request), std::move(out))
      .then([this, number](v1::Done&) { end_asking(number, answer::good); },
            [this, number, pack, shard = from.shard, id](caf::error& reason) {
              note_bad(pack, shard, id, from_caf(reason));
              end_asking(number, answer::bad);
            });
}

void shard_reads::end_asking(uint64_t number, std::optional<answer> with) {
  auto found = asked_.find(number);
  if (found == asked_.end())
    return;
  auto one = found->second;
  asked_.erase(found);
  one->stages->answered(one->drive);
  auto answered = std::exchange(one->answered, nullptr);
  auto dropped = std::exchange(one->dropped, nullptr);
  one->late = nullptr;
  if (with && !*dropped)
    answered(*with);
}

void shard_reads::look_later() {
  if (asked_.empty() || std::exchange(looking_, true))
    return;
  self_->delayed_send(self_, look_interval, caf::tick_atom_v);
}

bool shard_reads::others_answer(const shard_source& what, uint8_t shard) const {
  size_t count = 0;
  for (size_t i = 0; i < what.pack.drives.size(); ++i) {
    const auto& id = what.pack.drives[i];
    auto there = i != shard && !id.is_zero() && drive_table::find(*what.drives, id) != nullptr;
    if (there && missing_.count({what.pack.seal.id, static_cast<uint8_t>(i)}) == 0)
      count += pace_.of(id) == read_pace::standing::answers;
  }
  return count >= what.pack.seal.shape.k;
}

void shard_reads::note_bad(const pack_id& pack, uint8_t shard, const drive_id& drive, const error& reason) {
  if (reason.code() != errc::shard_damaged)
    missing_.insert({pack, shard});
  // A missing drive is one piece of news, not one a shard; who opened it told it.
  if (!bad_.insert({pack, shard}).second || reason.code() == errc::drive_missing)
    return;
  mark(pack, shard, drive, reason);
  event found;
  found.kind = event_kind::damage_found;
  found.level = severity::warning;
  found.job = job_ ? job_->number : 0;
  found.subject = fmt::format("{}.{}", pack.hex(), shard);
  found.detail = reason.message();
  found.code = reason.code();
  context_->events->publish(std::move(found));
}

/// The catalog learns what is proved: on a drive in service the shard is not there, or
/// its bytes do not have their root. Nobody waits for that.
void shard_reads::mark(const pack_id& pack, uint8_t shard, const drive_id& drive, const error& reason) {
  auto proved = reason.code() == errc::shard_missing || reason.code() == errc::shard_damaged;
  if (!proved || drive.is_zero() || !context_->catalog_writer)
    return;
  v1::MarkPacks marks;
  *marks.add_faulty() = to_proto(seen_shard{pack, shard, drive});
  caf::anon_send(context_->catalog_writer, std::move(marks));
}

bool shard_reads::tell_if_hanging(const drive_id& id) {
  if (pace_.of(id) != read_pace::standing::hanging)
    return false;
  if (work_ != work_kind::client || !pace_.is_news(id))
    return true;
  auto drives = context_->drives->all();
  const auto* drive = drive_table::find(*drives, id);
  event silent;
  silent.kind = event_kind::drive_changed;
  silent.level = severity::warning;
  silent.job = job_ ? job_->number : 0;
  silent.subject = drive != nullptr ? drive->folder : id.hex();
  silent.detail = "does not answer; until it does, what it holds is rebuilt from other drives";
  silent.code = errc::timed_out;
  context_->events->publish(std::move(silent));
  return true;
}

} // namespace datamesh::storage
