#include "storage/pack_reader_actor.hpp"

#include "storage/ask.hpp"
#include "storage/convert.hpp"
#include "storage/fetch_stages.hpp"
#include "storage/kept_promise.hpp"

#include <fmt/format.h>

#include <deque>
#include <map>
#include <set>

namespace datamesh::storage {

namespace {

/// How often a reader looks for what is late: one timer for all it has asked for.
constexpr auto look_interval = std::chrono::milliseconds{50};

/// Whole blocks of one shard.
struct column {
  uint8_t shard = 0;
  uint32_t begin = 0;
  uint32_t end = 0;
  bool asked_alone = false; ///< A block of a column that could not be rebuilt whole.
  [[nodiscard]] uint32_t size() const noexcept {
    return end - begin;
  }
};

enum class answer : uint8_t {
  good,
  bad,
  none, ///< The drive has the request still, and may write to the memory.
};

/// One read at a drive.
struct asking {
  pack_id pack;
  uint8_t shard;
  drive_id drive;
  size_t size;
  clock::monotonic_time begun;
  std::shared_ptr<const bool> dropped; ///< Nobody waits for the answer any more.
  std::function<void(answer)> answered;
  /// Asks others, if it may; true when it did. *free* when that need not be paid for.
  std::function<bool(bool free)> late;
  std::shared_ptr<fetch_stages::step> stages;
};

/// What a stretch covers of one shard.
struct part {
  column where;
  uint32_t left = 0;      ///< Bytes that are not there yet.
  bool asked = false;     ///< Its drive has not answered.
  bool avoided = false;   ///< Its drive was not asked, since it is late with others.
  bool queued = false;    ///< Is being rebuilt, or will be.
  bool elsewhere = false; ///< Rebuilt into the second buffer.
  bool done = false;
};

struct slot {
  buffer_pool::buffer buffer;
  size_t offset = 0;
};

struct rebuilding {
  column wanted;
  std::deque<uint8_t> untried;
  std::vector<slot> slots; ///< That no drive writes to.
  std::vector<std::pair<uint8_t, bytes>> got;
  size_t due = 0;   ///< Answers.
  size_t hoped = 0; ///< Of them, those that are not late.
  bool coding = false;
  bool over = false;
};

struct reading {
  std::shared_ptr<fetch_stages::step> stages;
  pack_record pack;
  v1::PackSeal seal;
  std::shared_ptr<const drive_table::list> drives;
  std::shared_ptr<buffer_pool> pool;
  buffer_pool::buffer buffer;
  /// Takes what is rebuilt in the place of a drive that may yet write to the first.
  buffer_pool::buffer second;
  uint32_t base = 0;
  uint32_t size = 0;
  std::vector<part> parts;
  std::deque<column> missing; ///< Rebuilt one after another.
  std::shared_ptr<rebuilding> work;
  bool over = false;
  std::function<void(result<void>)> done;
};

using asking_ptr = std::shared_ptr<asking>;
using reading_ptr = std::shared_ptr<reading>;
using rebuilding_ptr = std::shared_ptr<rebuilding>;

struct reader_state {
  static inline constexpr const char* name = "pack-reader";
  std::shared_ptr<vault_context> context;
  std::shared_ptr<storage::job> job;
  std::set<std::pair<pack_id, uint8_t>> bad;     ///< Missing or damaged; each is reported once.
  std::set<std::pair<pack_id, uint8_t>> missing; ///< Of them, those that are not asked again.
  std::map<uint64_t, asking_ptr> asked;
  uint64_t next = 0;
  bool looking = false; ///< The timer runs.
  uint64_t hedged = 0;
};

class pack_reader {
public:
  using self_pointer = pack_reader_actor::stateful_pointer<reader_state>;

  explicit pack_reader(self_pointer self)
      : self_(self), state_(self->state), pace_(*self->state.context->pace),
        stages_(std::make_shared<fetch_stages>(state_.job ? state_.job->waits : nullptr)) {}

  /// Fills a buffer with the blocks around pack bytes [begin, end).
  void read(const v1::PackRecord& pack, uint32_t begin, uint32_t end, std::function<void(result<reading_ptr>)> done) {
    auto what = std::make_shared<reading>();
    what->stages = stages_->begin();
    auto record = from_proto(pack);
    if (!record)
      return done(fail(record.error()));
    what->pack = std::move(*record);
    what->seal = pack.seal();
    const auto& shape = what->pack.seal.shape;
    if (begin >= end || end > shape.data_length())
      return done(fail(errc::invalid_argument, "read pack", what->pack.seal.id.brief()));
    auto length = shape.shard_length;
    auto first = begin / length;
    auto last = (end - 1) / length;
    what->base = first * length + (begin % length) / block_size * block_size;
    auto last_end = std::min(length, ((end - 1) % length / block_size + 1) * block_size);
    what->size = last * length + last_end - what->base;
    what->pool = what->size <= segment_size ? state_.context->segment_pool : state_.context->pack_pool;
    if (what->size > what->pool->buffer_size())
      return done(fail(errc::invalid_argument, "read pack", what->pack.seal.id.brief()));
    what->buffer = what->pool->take();
    what->drives = state_.context->drives->all();
    what->done = [done, what_weak = std::weak_ptr{what}](result<void> outcome) {
      auto self = what_weak.lock();
      if (!outcome && self)
        self->stages->end();
      done(outcome ? result<reading_ptr>{self} : fail(outcome.error()));
    };
    for (auto shard = first; shard <= last; ++shard) {
      part one;
      one.where.shard = static_cast<uint8_t>(shard);
      one.where.begin = shard == first ? what->base - first * length : 0;
      one.where.end = shard == last ? last_end : length;
      one.left = one.where.size();
      what->parts.push_back(one);
    }
    for (auto& one : what->parts)
      if (!what->over)
        begin_part(what, one);
    go_on(what);
  }

  /// Looks for what is late.
  void look() {
    state_.looking = false;
    std::vector<std::pair<uint64_t, asking_ptr>> now{state_.asked.begin(), state_.asked.end()};
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

  void report(v1::StretchRead& reply) const {
    reply.set_shards_bad(state_.bad.size());
    reply.set_reads_hedged(state_.hedged);
  }

private:
  // -- asking drives ---------------------------------------------------------------------

  /// Where a column of the stretch goes.
  static memory place_of(const reading& what, const column& where, bool elsewhere) {
    auto offset = where.shard * size_t{what.pack.seal.shape.shard_length} + where.begin - what.base;
    return memory_in(elsewhere ? what.second : what.buffer, offset, where.size());
  }

  static part& part_of(reading& what, const column& where) {
    return what.parts[where.shard - what.parts.front().where.shard];
  }

  /// *answered* is called once, unless *dropped* becomes true before.
  void ask(const reading_ptr& what, const column& from, const memory& target, std::shared_ptr<const bool> dropped,
           std::function<void(answer)> answered, std::function<bool(bool)> late) {
    const auto& pack = what->pack.seal.id;
    const auto& id = what->pack.drives[from.shard];
    const auto* drive = id.is_zero() ? nullptr : drive_table::find(*what->drives, id);
    if (drive == nullptr) {
      note_bad(pack, from.shard, id, error{id.is_zero() ? errc::shard_missing : errc::drive_missing, "read shard"});
      return answered(answer::bad);
    }
    if (state_.missing.count({pack, from.shard}) > 0)
      return answered(answer::bad);
    v1::ReadBlocks request;
    *request.mutable_seal() = what->seal;
    request.set_index(from.shard);
    request.set_first_block(from.begin / block_size);
    auto number = state_.next++;
    state_.asked.emplace(number, std::make_shared<asking>(asking{pack, from.shard, id, from.size(), pace_.now(), std::move(dropped),
                                                                 std::move(answered), std::move(late), what->stages}));
    what->stages->ask(id);
    using held = std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>;
    memory out{std::make_shared<held>(target.owner, pace_.begin(id, from.size())), target.span};
    look_later();
    // `look` ends it at `read_deadline`, by the clock of the environment.
    self_->request(drive->reader(), until_answered, std::move(request), std::move(out))
        .then([this, number](v1::Done&) { end_asking(number, answer::good); },
              [this, number, pack, shard = from.shard, id](caf::error& reason) {
                note_bad(pack, shard, id, from_caf(reason));
                end_asking(number, answer::bad);
              });
  }

  void end_asking(uint64_t number, std::optional<answer> with = std::nullopt) {
    auto found = state_.asked.find(number);
    if (found == state_.asked.end())
      return;
    auto one = found->second;
    state_.asked.erase(found);
    one->stages->answered(one->drive);
    auto answered = std::exchange(one->answered, nullptr);
    auto dropped = std::exchange(one->dropped, nullptr);
    one->late = nullptr;
    if (with && !*dropped)
      answered(*with);
  }

  void look_later() {
    if (state_.asked.empty() || std::exchange(state_.looking, true))
      return;
    self_->delayed_send(self_, look_interval, caf::tick_atom_v);
  }

  read_pace::standing standing_of(const reading& what, uint8_t shard) const {
    return pace_.of(what.pack.drives[shard]);
  }

  /// True when k others can be asked whose drives answer.
  bool others_answer(const reading& what, uint8_t shard) const {
    size_t count = 0;
    for (size_t i = 0; i < what.pack.drives.size(); ++i) {
      const auto& id = what.pack.drives[i];
      auto there = i != shard && !id.is_zero() && drive_table::find(*what.drives, id) != nullptr;
      if (there && state_.missing.count({what.pack.seal.id, static_cast<uint8_t>(i)}) == 0)
        count += pace_.of(id) == read_pace::standing::answers;
    }
    return count >= what.pack.seal.shape.k;
  }

  void note_bad(const pack_id& pack, uint8_t shard, const drive_id& drive, const error& reason) {
    if (reason.code() != errc::shard_damaged)
      state_.missing.insert({pack, shard});
    // A missing drive is one piece of news, not one a shard; who opened it told it.
    if (!state_.bad.insert({pack, shard}).second || reason.code() == errc::drive_missing)
      return;
    mark(pack, shard, drive, reason);
    event found;
    found.kind = event_kind::damage_found;
    found.level = severity::warning;
    found.job = state_.job ? state_.job->number : 0;
    found.subject = fmt::format("{}.{}", pack.hex(), shard);
    found.detail = reason.message();
    found.code = reason.code();
    state_.context->events->publish(std::move(found));
  }

  /// The catalog learns what is proved: on a drive in service the shard is not there, or
  /// its bytes do not have their root. Nobody waits for that.
  void mark(const pack_id& pack, uint8_t shard, const drive_id& drive, const error& reason) {
    auto proved = reason.code() == errc::shard_missing || reason.code() == errc::shard_damaged;
    if (!proved || drive.is_zero() || !state_.context->catalog_writer)
      return;
    v1::MarkPacks marks;
    *marks.add_faulty() = to_proto(seen_shard{pack, shard, drive});
    caf::anon_send(state_.context->catalog_writer, std::move(marks));
  }

  /// Tells once that a drive hangs; true when it does.
  bool tell_if_hanging(const drive_id& id) {
    if (pace_.of(id) != read_pace::standing::hanging)
      return false;
    if (!pace_.is_news(id))
      return true;
    auto drives = state_.context->drives->all();
    const auto* drive = drive_table::find(*drives, id);
    event silent;
    silent.kind = event_kind::drive_changed;
    silent.level = severity::warning;
    silent.job = state_.job ? state_.job->number : 0;
    silent.subject = drive != nullptr ? drive->folder : id.hex();
    silent.detail = "does not answer; until it does, what it holds is rebuilt from other drives";
    silent.code = errc::timed_out;
    state_.context->events->publish(std::move(silent));
    return true;
  }

  // -- the parts of a stretch ------------------------------------------------------------

  void begin_part(const reading_ptr& what, part& one) {
    auto late = standing_of(*what, one.where.shard) != read_pace::standing::answers && others_answer(*what, one.where.shard);
    // A drive that hangs is as good as missing; while it may just be slow, it costs.
    if (late && (tell_if_hanging(what->pack.drives[one.where.shard]) || pace_.pay(what->pack.seal.shape.k))) {
      ++state_.hedged;
      one.avoided = true;
      return queue(*what, one);
    }
    ask_part(what, one);
  }

  void ask_part(const reading_ptr& what, part& one) {
    one.asked = true;
    auto late = [this, what, &one](bool free) {
      if (one.queued || !others_answer(*what, one.where.shard) || !(free || pace_.pay(what->pack.seal.shape.k)))
        return false;
      ++state_.hedged;
      move_elsewhere(*what, one);
      queue(*what, one);
      go_on(what);
      return true;
    };
    ask(
        what, one.where, place_of(*what, one.where, false), {what, &one.done},
        [this, what, &one](answer how) { part_answered(what, one, how); }, late);
  }

  static void queue(reading& what, part& one) {
    one.queued = true;
    what.missing.push_back(one.where);
  }

  static void move_elsewhere(reading& what, part& one) {
    if (!what.second)
      what.second = what.pool->take();
    one.elsewhere = true;
  }

  void part_answered(const reading_ptr& what, part& one, answer how) {
    one.asked = false;
    if (what->over || one.done)
      return;
    auto& work = what->work;
    auto in_work = work && work->wanted.shard == one.where.shard;
    if (how == answer::good) {
      // What is being coded is there in a moment, and its memory is being written.
      if (in_work && work->coding)
        return;
      if (in_work)
        end_work(*what);
      std::erase_if(what->missing, [&](const auto& where) { return where.shard == one.where.shard; });
      one.elsewhere = false;
      one.left = 0;
      one.done = true;
    } else if (!one.queued) {
      if (how == answer::none)
        move_elsewhere(*what, one);
      queue(*what, one);
    }
    go_on(what);
  }

  /// What is missing is rebuilt, one column at a time; then all is there.
  void go_on(const reading_ptr& what) {
    if (what->over || what->work)
      return;
    if (what->missing.empty()) {
      auto whole = std::all_of(what->parts.begin(), what->parts.end(), [](const auto& one) { return one.done; });
      return whole ? finish(what) : void();
    }
    auto wanted = what->missing.front();
    what->missing.pop_front();
    auto work = std::make_shared<rebuilding>();
    work->wanted = wanted;
    what->work = work;
    if (!wanted.asked_alone)
      return begin_rebuild(what, work);
    // Of a damaged shard, most blocks are good.
    auto block = std::make_shared<std::vector<std::byte>>(wanted.size());
    ask(
        what, wanted, {block, byte_span{*block}}, {work, &work->over},
        [this, what, work, block](answer how) {
          if (how != answer::good)
            return begin_rebuild(what, work);
          auto place = place_of(*what, work->wanted, part_of(*what, work->wanted).elsewhere);
          std::copy(block->begin(), block->end(), place.span.begin());
          column_is_there(what);
        },
        nullptr);
  }

  static void end_work(reading& what) {
    what.work->over = true;
    what.work = nullptr;
  }

  void column_is_there(const reading_ptr& what) {
    auto& one = part_of(*what, what->work->wanted);
    one.left -= what->work->wanted.size();
    one.done = one.left == 0;
    end_work(*what);
    go_on(what);
  }

  static void end(const reading_ptr& what, result<void> outcome) {
    what->over = true;
    if (what->work)
      end_work(*what);
    for (auto& one : what->parts)
      one.done = true;
    what->done(std::move(outcome));
  }

  static void finish(const reading_ptr& what) {
    if (what->second) {
      // The first buffer may be written to at any time.
      for (const auto& one : what->parts)
        if (!one.elsewhere) {
          auto from = place_of(*what, one.where, false);
          std::copy(from.span.begin(), from.span.end(), place_of(*what, one.where, true).span.begin());
        }
      what->buffer = std::move(what->second);
    }
    end(what, {});
  }

  // -- rebuilding ------------------------------------------------------------------------

  void begin_rebuild(const reading_ptr& what, const rebuilding_ptr& work) {
    for (size_t i = 0; i < what->pack.seal.shape.shard_count(); ++i)
      if (i != work->wanted.shard)
        work->untried.push_back(static_cast<uint8_t>(i));
    std::stable_partition(work->untried.begin(), work->untried.end(),
                          [&](auto shard) { return standing_of(*what, shard) == read_pace::standing::answers; });
    fill(what, work);
  }

  slot take_slot(const reading& what, rebuilding& work) {
    if (work.slots.empty()) {
      auto buffer = state_.context->pack_pool->take();
      for (size_t i = what.pack.seal.shape.k; i > 0; --i)
        work.slots.push_back({buffer, (i - 1) * work.wanted.size()});
    }
    auto taken = std::move(work.slots.back());
    work.slots.pop_back();
    return taken;
  }

  /// Asks for as many columns as are still short of k.
  void fill(const reading_ptr& what, const rebuilding_ptr& work) {
    auto k = what->pack.seal.shape.k;
    while (!work->over && !work->coding && work->got.size() + work->hoped < k && !work->untried.empty()) {
      auto shard = work->untried.front();
      work->untried.pop_front();
      ask_other(what, work, shard);
    }
    if (work->over || work->coding)
      return;
    if (work->got.size() >= k)
      return code(what, work);
    if (work->got.size() + work->due < k)
      too_few(what);
  }

  void ask_other(const reading_ptr& what, const rebuilding_ptr& work, uint8_t shard) {
    ++work->due;
    ++work->hoped;
    auto place = take_slot(*what, *work);
    auto from = work->wanted;
    from.shard = shard;
    auto is_late = std::make_shared<bool>(false);
    auto answered = [this, what, work, shard, place, is_late](answer how) {
      --work->due;
      work->hoped -= *is_late ? 0 : 1;
      if (how == answer::good)
        work->got.emplace_back(shard, place.buffer.freeze(place.offset, work->wanted.size()));
      else if (how == answer::bad)
        work->slots.push_back(place);
      fill(what, work);
    };
    auto late = [this, what, work, is_late](bool free) {
      auto other = !work->untried.empty() && standing_of(*what, work->untried.front()) == read_pace::standing::answers;
      if (!other || !(free || pace_.pay(1)))
        return false;
      ++state_.hedged;
      *is_late = true;
      --work->hoped;
      fill(what, work);
      return true;
    };
    ask(what, from, memory_in(place.buffer, place.offset, from.size()), {work, &work->over}, answered, late);
  }

  /// No k whole columns are good.
  void too_few(const reading_ptr& what) {
    auto wanted = what->work->wanted;
    auto& one = part_of(*what, wanted);
    end_work(*what);
    one.queued = false;
    if (std::exchange(one.avoided, false))
      ask_part(what, one);
    else if (!one.asked && wanted.size() <= block_size)
      return end(what, fail(errc::damaged, "rebuild shard", what->pack.seal.id.brief()));
    else if (!one.asked)
      split(*what, wanted);
    go_on(what);
  }

  /// Block by block there may be enough.
  static void split(reading& what, const column& wanted) {
    std::vector<column> blocks;
    for (auto begin = wanted.begin; begin < wanted.end; begin += block_size)
      blocks.push_back({wanted.shard, begin, std::min(wanted.end, begin + block_size), true});
    part_of(what, wanted).queued = true;
    what.missing.insert(what.missing.begin(), blocks.begin(), blocks.end());
  }

  void code(const reading_ptr& what, const rebuilding_ptr& work) {
    work->coding = true;
    v1::RebuildShards request;
    request.set_k(what->pack.seal.shape.k);
    request.set_m(what->pack.seal.shape.m);
    request.add_wanted(work->wanted.shard);
    slices present;
    std::sort(work->got.begin(), work->got.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto& [shard, data] : work->got) {
      request.add_present(shard);
      present.push_back(data);
    }
    auto place = place_of(*what, work->wanted, part_of(*what, work->wanted).elsewhere);
    auto [number, worker] = state_.context->team->pick();
    what->stages->at_worker(true);
    self_->request(*worker, step_timeout, std::move(request), std::move(present), memories{std::move(place)})
        .then(
            [this, what, number = number](v1::Done&) {
              state_.context->team->finished(number);
              what->stages->at_worker(false);
              column_is_there(what);
            },
            [this, what, number = number](caf::error& reason) {
              state_.context->team->finished(number);
              end(what, fail(from_caf(reason)));
            });
  }

  self_pointer self_;
  reader_state& state_;
  read_pace& pace_;
  std::shared_ptr<fetch_stages> stages_;
};

pack_reader_actor::behavior_type pack_reader_behavior(pack_reader_actor::stateful_pointer<reader_state> self,
                                                      std::shared_ptr<vault_context> context, std::shared_ptr<storage::job> job) {
  self->state.context = std::move(context);
  self->state.job = std::move(job);
  auto logic = std::make_shared<pack_reader>(self);
  return {
      [=](const v1::ReadStretch& request) -> caf::result<v1::StretchRead, bytes> {
        using promise_type = kept_promise<v1::StretchRead, bytes>;
        auto given = self->make_response_promise<promise_type::promise_type>();
        promise_type promise{given, "read a stretch of a pack"};
        logic->read(request.pack(), request.begin(), request.end(), [=](result<reading_ptr> outcome) mutable {
          if (!outcome) {
            promise.deliver(to_caf(outcome.error()));
            return;
          }
          v1::StretchRead reply;
          reply.set_base((*outcome)->base);
          logic->report(reply);
          promise.deliver(std::move(reply), (*outcome)->buffer.freeze(0, (*outcome)->size));
        });
        return given;
      },
      [=](v1::OpenStretch& request, memory& plain) -> caf::result<v1::StretchRead> {
        using promise_type = kept_promise<v1::StretchRead>;
        auto given = self->make_response_promise<promise_type::promise_type>();
        promise_type promise{given, "open a stretch of a pack"};
        auto chunks = std::make_shared<v1::OpenStretch>(std::move(request));
        logic->read(chunks->pack(), chunks->begin(), chunks->end(), [=](result<reading_ptr> outcome) mutable {
          if (!outcome) {
            promise.deliver(to_caf(outcome.error()));
            return;
          }
          v1::OpenChunks open;
          open.set_base_offset((*outcome)->base);
          *open.mutable_chunks() = std::move(*chunks->mutable_chunks());
          auto [number, worker] = self->state.context->team->pick();
          auto read = *outcome;
          read->stages->at_worker(true);
          self->request(*worker, step_timeout, std::move(open), (*outcome)->buffer.freeze(0, (*outcome)->size), plain)
              .then(
                  [=, number = number](v1::Done&) mutable {
                    self->state.context->team->finished(number);
                    read->stages->end();
                    v1::StretchRead reply;
                    logic->report(reply);
                    promise.deliver(std::move(reply));
                  },
                  [=, number = number](caf::error& reason) mutable {
                    self->state.context->team->finished(number);
                    promise.deliver(std::move(reason));
                  });
        });
        return given;
      },
      [=](caf::tick_atom) { logic->look(); },
  };
}

} // namespace

pack_reader_actor spawn_pack_reader(caf::actor_system& sys, std::shared_ptr<vault_context> context, std::shared_ptr<storage::job> job) {
  return sys.spawn(pack_reader_behavior, std::move(context), std::move(job));
}

} // namespace datamesh::storage
