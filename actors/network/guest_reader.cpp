#include "network/guest_reader.hpp"

#include "network/guest_ranges.hpp"

namespace datamesh::network {

namespace {

/// Tickets that are read to compare what one request asks for; ranges behind these count as other ones.
constexpr size_t compared_at_once = 8192;

struct reader_state {
  static inline constexpr const char* name = "guest-reader";
};

struct found {
  shard_answer message;
  bytes body;
};

result<found> read(const guest_store& from, const find_header& what) {
  auto by = read_ticket(what.ticket);
  if (!by)
    return fail(by.error());
  auto header = from.read_header(*by);
  if (!header)
    return fail(header.error());
  return found{header_found{encode_shard_header(*header, false)}, {}};
}

result<found> read(const guest_store& from, const find_blocks& what) {
  auto by = read_ticket(what.ticket);
  if (!by)
    return fail(by.error());
  auto blocks = from.read_blocks(*by, what.first, what.count);
  if (!blocks)
    return fail(blocks.error());
  return found{blocks_found{}, std::move(*blocks)};
}

result<found> read(const guest_store& from, const prove_block& what) {
  auto by = read_ticket(what.ticket);
  if (!by)
    return fail(by.error());
  auto block = from.read_blocks(*by, what.block, 1);
  if (!block)
    return fail(block.error());
  auto header = from.read_header(*by);
  if (!header)
    return fail(header.error());
  return found{prove(*header, what.block), std::move(*block)};
}

result<found> read(const guest_store& from, const list_shards& what) {
  auto owner = what.owner;
  if (owner.is_zero()) {
    auto by = read_permit(what.permit);
    if (!by)
      return fail(by.error());
    owner = by->owner;
  }
  auto tickets = from.list(owner, what.after, size_t{what.limit} + 1);
  if (!tickets)
    return fail(tickets.error());
  shards_listed listed;
  listed.more = tickets->size() > what.limit;
  for (const auto& one : std::span{*tickets}.first(std::min<size_t>(tickets->size(), what.limit)))
    listed.tickets.push_back(one.raw);
  return found{std::move(listed), {}};
}

result<found> read(const guest_store& from, const compare_shards& what) {
  auto kept = digest_ranges(from, what.owner, {what.bits, what.first}, what.digests.size(), compared_at_once);
  if (!kept)
    return fail(kept.error());
  shards_compared compared;
  for (size_t i = 0; i < what.digests.size(); ++i)
    compared.same.push_back((*kept)[i] == what.digests[i]);
  return found{std::move(compared), {}};
}

template <class Other>
result<found> read(const guest_store&, const Other&) {
  return fail(errc::internal, "read what is kept for another");
}

peer_handler_actor::behavior_type reader(peer_handler_actor::stateful_pointer<reader_state>,
                                         const std::shared_ptr<const guest_store>& guests) {
  return {
      [=](const v1::PeerRequest& request, const bytes&) -> caf::result<v1::PeerAnswer, bytes> {
        auto what = decode_shard_request(as_view(request.message()));
        if (!what)
          return to_caf(what.error());
        auto outcome = std::visit([&](const auto& one) { return read(*guests, one); }, *what);
        if (!outcome)
          return to_caf(outcome.error());
        v1::PeerAnswer answer;
        answer.set_message(encode(outcome->message));
        return {std::move(answer), std::move(outcome->body)};
      },
  };
}

} // namespace

peer_handler_actor spawn_guest_reader(caf::actor_system& sys, std::shared_ptr<const guest_store> guests,
                                      const std::shared_ptr<storage::workplace>& place) {
  return storage::spawn_worker(place, sys, reader, std::move(guests));
}

} // namespace datamesh::network
