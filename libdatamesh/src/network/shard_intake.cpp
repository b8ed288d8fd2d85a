#include "network/shard_intake.hpp"

#include "storage/shard_index.hpp"

#include <algorithm>

namespace datamesh::network {

uint64_t charge_of(const storage::geometry& shape) noexcept {
  return storage::stored_length(shape) + row_charge;
}

result<void> shard_intake::begin(const peer_id& from, uint64_t number, ticket by, storage::shard_header header, time now) {
  constexpr auto attempted = "take a shard in";
  if (auto found = uploads_.find({from, number}); found != uploads_.end()) {
    found->second.last = now;
    if (found->second.by.name() == by.name())
      return {};
    return fail(errc::conflict, attempted, "the number is another upload's");
  }
  size_t uploads = 0;
  size_t bytes = 0;
  for (auto at = uploads_.lower_bound({from, 0}); at != uploads_.end() && at->first.first == from; ++at) {
    ++uploads;
    bytes += at->second.by.size;
  }
  if (uploads_.size() >= limits_.uploads_max || uploads >= limits_.peer_uploads_max || bytes + by.size > limits_.peer_bytes_max
      || bytes_ + by.size > limits_.bytes_max)
    return fail(errc::capacity_exceeded, attempted, by.shard.pack.brief());
  arrival fresh;
  fresh.body = buffer_pool::make(by.size, 0)->take();
  fresh.came.resize(header.pack.shape.block_count());
  fresh.missing = fresh.came.size();
  fresh.last = now;
  bytes_ += by.size;
  fresh.by = std::move(by);
  fresh.header = std::move(header);
  uploads_.emplace(upload_key{from, number}, std::move(fresh));
  return {};
}

result<std::map<shard_intake::upload_key, shard_intake::arrival>::iterator> shard_intake::find(const peer_id& from, uint64_t number,
                                                                                               const char* attempted) {
  auto found = uploads_.find({from, number});
  if (found == uploads_.end())
    return fail(errc::not_found, attempted, "no such upload");
  if (found->second.finishing)
    return fail(errc::unavailable, attempted, "it is being stored");
  return found;
}

result<void> shard_intake::take(const peer_id& from, uint64_t number, uint32_t first, byte_view blocks, time now) {
  constexpr auto attempted = "take blocks in";
  auto found = find(from, number, attempted);
  if (!found)
    return fail(found.error());
  auto& one = (*found)->second;
  one.last = now;
  if (blocks.empty() || blocks.size() > blocks_bytes_max || first >= one.came.size()
      || blocks.size() > one.by.size - uint64_t{first} * storage::block_size)
    return fail(errc::range_invalid, attempted, one.by.shard.pack.brief());
  auto count = static_cast<uint32_t>((blocks.size() + storage::block_size - 1) / storage::block_size);
  for (uint32_t i = 0; i < count; ++i) {
    auto at = size_t{i} * storage::block_size;
    auto block = blocks.subspan(at, std::min<size_t>(storage::block_size, blocks.size() - at));
    if (auto good = storage::check_block(one.header, first + i, block); !good)
      return fail(good.error().within(attempted));
  }
  std::copy(blocks.begin(), blocks.end(), one.body.span().begin() + static_cast<ptrdiff_t>(size_t{first} * storage::block_size));
  for (uint32_t i = first; i < first + count; ++i) {
    one.missing -= one.came[i] ? 0 : 1;
    one.came[i] = true;
  }
  return {};
}

result<guest_write> shard_intake::finish(const peer_id& from, uint64_t number, time now) {
  constexpr auto attempted = "end an upload";
  auto found = find(from, number, attempted);
  if (!found)
    return fail(found.error());
  auto& one = (*found)->second;
  one.last = now;
  if (one.missing != 0)
    return fail(errc::range_invalid, attempted, std::to_string(one.missing) + " blocks did not come");
  one.finishing = true;
  return guest_write{one.by, one.header, one.body.freeze(0, one.by.size)};
}

void shard_intake::erase(std::map<upload_key, arrival>::iterator at) {
  bytes_ -= at->second.by.size;
  uploads_.erase(at);
}

void shard_intake::done(const peer_id& from, uint64_t number) {
  if (auto found = uploads_.find({from, number}); found != uploads_.end())
    erase(found);
}

void shard_intake::expire(time now) {
  for (auto at = uploads_.begin(); at != uploads_.end();) {
    auto next = std::next(at);
    if (!at->second.finishing && now - at->second.last >= limits_.idle_max)
      erase(at);
    at = next;
  }
}

uint64_t shard_intake::reserved(const vault_id& owner) const {
  uint64_t sum = 0;
  for (const auto& [key, one] : uploads_)
    if (one.by.owner == owner)
      sum += charge_of(one.header.pack.shape);
  return sum;
}

} // namespace datamesh::network
