#include "storage/pack_reader_actor.hpp"

#include "storage/convert.hpp"
#include "storage/kept_promise.hpp"

#include <fmt/format.h>

#include <deque>
#include <set>

namespace datamesh::storage {

namespace {

/// A drive that does not answer for so long is read around.
constexpr auto read_timeout = std::chrono::seconds{30};

/// A column of one shard: whole blocks, and where they go.
struct column {
  uint8_t shard = 0;
  uint32_t begin = 0;
  uint32_t end = 0;
  memory target;
};

struct reading {
  pack_record pack;
  v1::PackSeal seal;
  std::shared_ptr<const drive_table::list> drives;
  buffer_pool::buffer buffer;
  uint32_t base = 0;
  uint32_t size = 0;
  size_t answers_due = 0;
  std::deque<column> missing;
  std::function<void(result<void>)> done;
};

struct rebuilding {
  column wanted;
  buffer_pool::buffer buffer;
  std::deque<uint8_t> untried;
  std::vector<std::pair<uint8_t, bytes>> got;
  size_t answers_due = 0;
};

using reading_ptr = std::shared_ptr<reading>;
using rebuilding_ptr = std::shared_ptr<rebuilding>;

struct reader_state {
  static inline constexpr const char* name = "pack-reader";
  std::shared_ptr<vault_context> context;
  std::shared_ptr<storage::job> job;
  std::set<std::pair<pack_id, uint8_t>> bad;     ///< Missing or damaged; each is reported once.
  std::set<std::pair<pack_id, uint8_t>> missing; ///< Of them, those that are not asked again.
};

class pack_reader {
public:
  using self_pointer = pack_reader_actor::stateful_pointer<reader_state>;

  explicit pack_reader(self_pointer self) : self_(self), state_(self->state) {}

  /// Fills a buffer with the blocks around pack bytes [begin, end).
  void read(const v1::PackRecord& pack, uint32_t begin, uint32_t end, std::function<void(result<reading_ptr>)> done) {
    auto what = std::make_shared<reading>();
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
    auto pool = what->size <= segment_size ? state_.context->segment_pool : state_.context->pack_pool;
    if (what->size > pool->buffer_size())
      return done(fail(errc::invalid_argument, "read pack", what->pack.seal.id.brief()));
    what->buffer = pool->take();
    what->drives = state_.context->drives->all();
    what->done = [done, what_weak = std::weak_ptr{what}](result<void> outcome) {
      auto self = what_weak.lock();
      done(outcome ? result<reading_ptr>{self} : fail(outcome.error()));
    };
    what->answers_due = last - first + 1;
    for (auto shard = first; shard <= last; ++shard) {
      column part;
      part.shard = static_cast<uint8_t>(shard);
      part.begin = shard == first ? what->base - first * length : 0;
      part.end = shard == last ? last_end : length;
      part.target = memory_in(what->buffer, shard * length + part.begin - what->base, part.end - part.begin);
      request_column(what, part, [this, what, part](bool good) {
        if (!good)
          what->missing.push_back(part);
        if (--what->answers_due == 0)
          rebuild_next(what);
      });
    }
  }

  uint64_t bad_count() const {
    return state_.bad.size();
  }

private:
  static memory memory_in(const buffer_pool::buffer& buffer, size_t offset, size_t size) {
    return {std::make_shared<bytes>(buffer.freeze(offset, size)), buffer.span().subspan(offset, size)};
  }

  void request_column(const reading_ptr& what, const column& from, std::function<void(bool)> done) {
    const auto& id = what->pack.drives[from.shard];
    const auto* drive = id.is_zero() ? nullptr : drive_table::find(*what->drives, id);
    if (drive == nullptr) {
      note_bad(*what, from.shard, error{id.is_zero() ? errc::shard_missing : errc::drive_missing, "read shard"});
      return done(false);
    }
    if (state_.missing.count({what->pack.seal.id, from.shard}) > 0)
      return done(false);
    v1::ReadBlocks request;
    *request.mutable_seal() = what->seal;
    request.set_index(from.shard);
    request.set_first_block(from.begin / block_size);
    self_->request(drive->reader(), read_timeout, std::move(request), from.target)
        .then([done](v1::Done&) { done(true); },
              [this, done, what, shard = from.shard](caf::error& reason) {
                note_bad(*what, shard, from_caf(reason));
                done(false);
              });
  }

  void note_bad(const reading& what, uint8_t shard, const error& reason) {
    if (reason.code() != errc::shard_damaged)
      state_.missing.insert({what.pack.seal.id, shard});
    // A missing drive is one piece of news, not one a shard; who opened it told it.
    if (!state_.bad.insert({what.pack.seal.id, shard}).second || reason.code() == errc::drive_missing)
      return;
    event found;
    found.kind = event_kind::damage_found;
    found.level = severity::warning;
    found.job = state_.job ? state_.job->number : 0;
    found.subject = fmt::format("{}.{}", what.pack.seal.id.hex(), shard);
    found.detail = reason.message();
    found.code = reason.code();
    state_.context->events->publish(std::move(found));
  }

  void rebuild_next(const reading_ptr& what) {
    if (what->missing.empty())
      return what->done({});
    auto wanted = what->missing.front();
    what->missing.pop_front();
    if (wanted.end - wanted.begin > block_size)
      return begin_rebuild(what, wanted);
    // Of a damaged shard, most blocks are good.
    request_column(what, wanted, [this, what, wanted](bool good) {
      if (good)
        rebuild_next(what);
      else
        begin_rebuild(what, wanted);
    });
  }

  void begin_rebuild(const reading_ptr& what, const column& wanted) {
    auto work = std::make_shared<rebuilding>();
    work->wanted = wanted;
    work->buffer = state_.context->pack_pool->take();
    for (size_t i = 0; i < what->pack.seal.shape.shard_count(); ++i)
      if (i != work->wanted.shard)
        work->untried.push_back(static_cast<uint8_t>(i));
    fill_rebuild(what, work);
  }

  /// Fewer than k whole columns are good, but block by block there may be enough.
  void split(const reading_ptr& what, const column& wanted) {
    std::vector<column> blocks;
    for (auto begin = wanted.begin; begin < wanted.end; begin += block_size) {
      column block = wanted;
      block.begin = begin;
      block.end = std::min(wanted.end, begin + block_size);
      block.target.span = wanted.target.span.subspan(begin - wanted.begin, block.end - begin);
      blocks.push_back(std::move(block));
    }
    what->missing.insert(what->missing.begin(), blocks.begin(), blocks.end());
    rebuild_next(what);
  }

  /// Asks for as many columns as are still short of k.
  void fill_rebuild(const reading_ptr& what, const rebuilding_ptr& work) {
    auto k = what->pack.seal.shape.k;
    auto size = work->wanted.end - work->wanted.begin;
    auto asked = std::vector<column>{};
    auto slot = work->got.size();
    while (slot < k && !work->untried.empty()) {
      column part;
      part.shard = work->untried.front();
      work->untried.pop_front();
      part.begin = work->wanted.begin;
      part.end = work->wanted.end;
      part.target = memory_in(work->buffer, slot * size, size);
      asked.push_back(std::move(part));
      ++slot;
    }
    if (slot < k) {
      if (size > block_size)
        return split(what, work->wanted);
      return what->done(fail(errc::damaged, "rebuild shard", what->pack.seal.id.brief()));
    }
    if (asked.empty())
      return run_rebuild(what, work);
    work->answers_due = asked.size();
    auto good = std::make_shared<std::vector<column>>();
    for (const auto& part : asked)
      request_column(what, part, [this, what, work, part, good](bool is_good) {
        if (is_good)
          good->push_back(part);
        if (--work->answers_due == 0)
          keep_good(what, work, *good);
      });
  }

  /// Columns that came in move up, so that the next round fills the slots behind.
  void keep_good(const reading_ptr& what, const rebuilding_ptr& work, std::vector<column>& good) {
    auto size = work->wanted.end - work->wanted.begin;
    std::sort(good.begin(), good.end(), [](const auto& a, const auto& b) { return a.target.span.data() < b.target.span.data(); });
    for (const auto& part : good) {
      auto place = work->buffer.span().subspan(work->got.size() * size, size);
      if (place.data() != part.target.span.data())
        std::copy(part.target.span.begin(), part.target.span.end(), place.begin());
      work->got.emplace_back(part.shard, work->buffer.freeze(work->got.size() * size, size));
    }
    fill_rebuild(what, work);
  }

  void run_rebuild(const reading_ptr& what, const rebuilding_ptr& work) {
    v1::RebuildShards request;
    request.set_k(what->pack.seal.shape.k);
    request.set_m(what->pack.seal.shape.m);
    request.add_wanted(work->wanted.shard);
    slices present;
    for (auto& [shard, data] : work->got) {
      request.add_present(shard);
      present.push_back(data);
    }
    auto [number, worker] = state_.context->team->pick();
    self_->request(*worker, step_timeout, std::move(request), std::move(present), memories{work->wanted.target})
        .then(
            [this, what, work, number = number](v1::Done&) {
              state_.context->team->finished(number);
              rebuild_next(what);
            },
            [this, what, number = number](caf::error& reason) {
              state_.context->team->finished(number);
              what->done(fail(from_caf(reason)));
            });
  }

  self_pointer self_;
  reader_state& state_;
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
          reply.set_shards_bad(logic->bad_count());
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
          self->request(*worker, step_timeout, std::move(open), (*outcome)->buffer.freeze(0, (*outcome)->size), plain)
              .then(
                  [=, number = number](v1::Done&) mutable {
                    self->state.context->team->finished(number);
                    v1::StretchRead reply;
                    reply.set_shards_bad(logic->bad_count());
                    promise.deliver(std::move(reply));
                  },
                  [=, number = number](caf::error& reason) mutable {
                    self->state.context->team->finished(number);
                    promise.deliver(std::move(reason));
                  });
        });
        return given;
      },
  };
}

} // namespace

pack_reader_actor spawn_pack_reader(caf::actor_system& sys, std::shared_ptr<vault_context> context, std::shared_ptr<storage::job> job) {
  return sys.spawn(pack_reader_behavior, std::move(context), std::move(job));
}

} // namespace datamesh::storage
