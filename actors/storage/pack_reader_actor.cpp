#include "storage/pack_reader_actor.hpp"

#include "storage/ask.hpp"
#include "storage/convert.hpp"
#include "storage/kept_promise.hpp"
#include "storage/shard_reads.hpp"

#include <deque>

namespace datamesh::storage {

namespace {

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
  std::map<uint8_t, bool> lent; ///< Parts of the stretch that serve here, too, when they come; whether they are late.
  size_t due = 0;               ///< Answers.
  size_t hoped = 0;             ///< Of them, those that are not late.
  bool coding = false;
  bool over = false;
};

struct reading : shard_source {
  std::shared_ptr<buffer_pool> pool;
  buffer_pool::buffer buffer;
  /// Takes what is rebuilt in the place of a drive that may yet write to the first.
  buffer_pool::buffer second;
  uint32_t base = 0;
  uint32_t size = 0;
  std::vector<part> parts;
  std::deque<column> missing; ///< Rebuilt one after another.
  std::shared_ptr<rebuilding> work;
  bool begun = false; ///< All parts were asked for.
  bool over = false;
  std::function<void(result<void>)> done;
};

using reading_ptr = std::shared_ptr<reading>;
using rebuilding_ptr = std::shared_ptr<rebuilding>;

struct reader_state {
  static inline constexpr const char* name = "pack-reader";
  std::shared_ptr<vault_context> context;
  std::shared_ptr<storage::job> job;
  work_kind work = work_kind::client;
  std::shared_ptr<read_pace> pace;
  uint64_t hedged = 0;
  /// What waits for an answer holds the logic: it goes with the state, when the actor ends.
  std::optional<shard_reads> shards;
};

class pack_reader {
public:
  using self_pointer = pack_reader_actor::stateful_pointer<reader_state>;

  explicit pack_reader(self_pointer self)
      : self_(self), state_(self->state), pace_(*self->state.pace),
        stages_(std::make_shared<fetch_stages>(state_.job ? state_.job->waits : nullptr)),
        shards_(state_.shards.emplace(self, state_.context, state_.job, state_.work, pace_)) {}

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
    what->begun = true;
    go_on(what);
  }

  void look() {
    shards_.look();
  }

  void report(v1::StretchRead& reply) const {
    reply.set_shards_bad(shards_.count_bad());
    reply.set_reads_hedged(state_.hedged);
  }

private:
  // -- places ------------------------------------------------------------------------

  static size_t offset_of(const reading& what, const column& where) {
    return where.shard * size_t{what.pack.seal.shape.shard_length} + where.begin - what.base;
  }

  /// Where a column of the stretch goes.
  static memory place_of(const reading& what, const column& where, bool elsewhere) {
    return memory_in(elsewhere ? what.second : what.buffer, offset_of(what, where), where.size());
  }

  static part& part_of(reading& what, const column& where) {
    return what.parts[where.shard - what.parts.front().where.shard];
  }

  // -- the parts of a stretch ------------------------------------------------------------

  void begin_part(const reading_ptr& what, part& one) {
    auto late =
        shards_.standing_of(*what, one.where.shard) != read_pace::standing::answers && shards_.others_answer(*what, one.where.shard);
    // A drive that hangs is as good as missing; while it may just be slow, it costs.
    if (late && (shards_.tell_if_hanging(what->pack.drives[one.where.shard]) || pace_.pay(what->pack.seal.shape.k))) {
      ++state_.hedged;
      one.avoided = true;
      return queue(*what, one);
    }
    ask_part(what, one);
  }

  void ask_part(const reading_ptr& what, part& one) {
    one.asked = true;
    auto late = [this, what, &one](bool free) {
      if (one.queued || !shards_.others_answer(*what, one.where.shard) || !(free || pace_.pay(what->pack.seal.shape.k)))
        return false;
      ++state_.hedged;
      move_elsewhere(*what, one);
      queue(*what, one);
      if (what->work)
        lent_is_late(what, what->work, one.where.shard);
      go_on(what);
      return true;
    };
    shards_.ask(
        *what, one.where, place_of(*what, one.where, false), {what, &one.done},
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
    auto work = what->work;
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
    if (work && !in_work)
      lent_answered(what, work, one);
    go_on(what);
  }

  /// What is missing is rebuilt, one column at a time; then all is there.
  void go_on(const reading_ptr& what) {
    if (!what->begun || what->over || what->work)
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
    shards_.ask(
        *what, wanted, {block, byte_span{*block}}, {work, &work->over},
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
                          [&](auto shard) { return shards_.standing_of(*what, shard) == read_pace::standing::answers; });
    for (const auto& one : what->parts)
      lend(*what, *work, one);
    fill(what, work);
  }

  // A part that is read for its own sake is one of the k, and is not read twice: so a pack
  // of which one shard is bad is read whole with k reads.

  static void lend(const reading& what, rebuilding& work, const part& one) {
    const auto& wanted = work.wanted;
    auto covers = one.where.begin <= wanted.begin && wanted.end <= one.where.end;
    if (one.where.shard == wanted.shard || !covers || !(one.done || one.asked))
      return;
    std::erase(work.untried, one.where.shard);
    if (one.done)
      return take_lent(what, work, one);
    work.lent.emplace(one.where.shard, one.queued);
    ++work.due;
    work.hoped += one.queued ? 0 : 1;
  }

  static void take_lent(const reading& what, rebuilding& work, const part& one) {
    auto from = work.wanted;
    from.shard = one.where.shard;
    const auto& buffer = one.elsewhere ? what.second : what.buffer;
    work.got.emplace_back(from.shard, buffer.freeze(offset_of(what, from), from.size()));
  }

  void lent_is_late(const reading_ptr& what, const rebuilding_ptr& work, uint8_t shard) {
    auto found = work->lent.find(shard);
    if (found == work->lent.end() || std::exchange(found->second, true))
      return;
    --work->hoped;
    fill(what, work);
  }

  void lent_answered(const reading_ptr& what, const rebuilding_ptr& work, const part& one) {
    auto found = work->lent.find(one.where.shard);
    if (found == work->lent.end())
      return;
    --work->due;
    work->hoped -= found->second ? 0 : 1;
    work->lent.erase(found);
    if (one.done)
      take_lent(*what, *work, one);
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
      auto other = !work->untried.empty() && shards_.standing_of(*what, work->untried.front()) == read_pace::standing::answers;
      if (!other || !(free || pace_.pay(1)))
        return false;
      ++state_.hedged;
      *is_late = true;
      --work->hoped;
      fill(what, work);
      return true;
    };
    shards_.ask(*what, from, memory_in(place.buffer, place.offset, from.size()), {work, &work->over}, answered, late);
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
  shard_reads& shards_;
};

pack_reader_actor::behavior_type pack_reader_behavior(pack_reader_actor::stateful_pointer<reader_state> self,
                                                      std::shared_ptr<vault_context> context, std::shared_ptr<storage::job> job,
                                                      work_kind work) {
  self->state.context = std::move(context);
  self->state.job = std::move(job);
  self->state.work = work;
  self->state.pace = work == work_kind::client ? self->state.context->pace : std::make_shared<read_pace>(self->state.context->env.clock, 0);
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

pack_reader_actor spawn_pack_reader(caf::actor_system& sys, std::shared_ptr<vault_context> context, std::shared_ptr<storage::job> job,
                                    work_kind work) {
  return sys.spawn(pack_reader_behavior, std::move(context), std::move(job), work);
}

} // namespace datamesh::storage
