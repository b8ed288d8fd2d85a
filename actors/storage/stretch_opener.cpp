#include "storage/stretch_opener.hpp"

#include "storage/ask.hpp"
#include "storage/convert.hpp"

#include <algorithm>

namespace datamesh::storage {

namespace {

/// Two chunks with more than this between them are fetched apart.
constexpr uint32_t gap_max = 1 << 20;
/// Block borders on both ends come on top.
constexpr uint32_t stretch_max = segment_size - 4 * block_size;

} // namespace

bool pack_stretch::may_take(const chunk_entry& entry) {
  return entry.plain_length <= segment_size && entry.sealed_length <= stretch_max;
}

bool pack_stretch::add(const chunk_location& at) {
  const auto& entry = at.entry;
  auto entry_end = entry.offset + entry.sealed_length;
  auto first = chunks.empty();
  auto new_begin = first ? entry.offset : std::min(begin, entry.offset);
  auto new_end = first ? entry_end : std::max(end, entry_end);
  auto far = !first && (entry.offset > end + gap_max || entry_end + gap_max < begin);
  if ((!first && pack != at.pack) || far || new_end - new_begin > stretch_max || plain_size + entry.plain_length > segment_size)
    return false;
  pack = at.pack;
  begin = new_begin;
  end = new_end;
  plain_size += entry.plain_length;
  chunks.push_back(entry);
  return true;
}

stretch_opener::stretch_opener(job_actor::pointer self, const std::shared_ptr<vault_context>& context, const std::shared_ptr<job>& job)
    : self_(self), reader_(spawn_pack_reader(*context->sys, context, job)) {}

void stretch_opener::open(const pack_record& pack, pack_stretch what, buffer_pool::buffer plain, listener tell) {
  auto one = std::make_shared<opening>(opening{pack, std::move(what), std::move(plain), std::move(tell)});
  ask(*one, one->what, 0, [this, one](result<void> outcome) {
    auto count = one->what.chunks.size();
    if (!outcome && count > 1)
      return open_alone(one, 0, 0);
    for (size_t number = 0; number < count; ++number)
      one->tell.settled(number, outcome);
    one->tell.done();
  });
}

void stretch_opener::open_alone(const opening_ptr& one, size_t number, size_t offset) {
  if (number == one->what.chunks.size())
    return one->tell.done();
  const auto& entry = one->what.chunks[number];
  pack_stretch alone{one->what.pack, {entry}, entry.offset, entry.offset + entry.sealed_length, entry.plain_length};
  ask(*one, alone, offset, [this, one, number, next = offset + entry.plain_length](result<void> outcome) {
    one->tell.settled(number, std::move(outcome));
    if (!closed_)
      open_alone(one, number + 1, next);
  });
}

void stretch_opener::ask(const opening& one, const pack_stretch& part, size_t offset, std::function<void(result<void>)> answered) {
  if (part.end > one.pack.seal.shape.data_length())
    return answered(fail(errc::store_corrupt, "find a chunk of a pack", part.pack.brief()));
  v1::OpenStretch request;
  *request.mutable_pack() = to_proto(one.pack);
  request.set_begin(part.begin);
  request.set_end(part.end);
  for (const auto& entry : part.chunks)
    *request.add_chunks() = to_proto(entry);
  self_->request(reader_, until_answered, std::move(request), memory_in(one.plain, offset, part.plain_size))
      .then(
          [this, answered](v1::StretchRead& reply) {
            shards_bad_ = reply.shards_bad();
            reads_hedged_ = reply.reads_hedged();
            if (!closed_)
              answered({});
          },
          [this, answered](caf::error& reason) {
            if (!closed_)
              answered(fail(from_caf(reason)));
          });
}

void stretch_opener::close() {
  closed_ = true;
  self_->send_exit(reader_, caf::exit_reason::user_shutdown);
}

} // namespace datamesh::storage
