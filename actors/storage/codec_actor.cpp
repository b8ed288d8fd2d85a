#include "storage/codec_actor.hpp"

#include "crypto/merkle.hpp"
#include "storage/convert.hpp"
#include "storage/erasure.hpp"
#include "storage/operation_batch.hpp"
#include "storage/sealed_chunk.hpp"

namespace datamesh::storage {

namespace {

/// Longest plain chunk.
constexpr size_t chunk_size_max = 4 << 20;

struct codec_state {
  static inline constexpr const char* name = "codec";
  codec_context context;
  crypto::aead cipher;
  std::optional<compressor> packer;
  std::vector<std::byte> scratch;
};

chunk_facts facts_of_entry(const crypto::keyring& keys, const crypto::space_keys& space, const chunk_entry& entry) {
  return {keys.vault, space.id, entry.epoch, entry.suite, entry.id, entry.method, entry.plain_length};
}

v1::SealedChunk outcome_of(const chunk_id& id, v1::SealedChunk::Standing standing, size_t plain_length, uint32_t sealed_length) {
  v1::SealedChunk row;
  row.set_id(write_id(id));
  row.set_standing(standing);
  row.set_plain_length(static_cast<uint32_t>(plain_length));
  row.set_sealed_length(sealed_length);
  return row;
}

/// Seals one chunk into *pack*, or answers nothing when the pack is full.
result<std::optional<v1::SealedChunk>> seal_one(codec_state& state, const crypto::keyring& keys, const v1::SealChunks& request,
                                                byte_view plain, open_pack& pack, uint64_t intake) {
  const auto& space = keys.spaces.front();
  auto id = chunk_id_of(space.id_key, plain);
  auto standing = state.context.claims->look_up(id, intake, request.job());
  if (!standing)
    return fail(standing.error());
  if (*standing == chunk_claims::standing::known)
    return outcome_of(id, v1::SealedChunk::KNOWN, plain.size(), 0);
  if (*standing == chunk_claims::standing::pending)
    return outcome_of(id, v1::SealedChunk::PENDING, plain.size(), 0);
  auto payload = plain;
  auto method = codec::none;
  if (state.scratch.size() < plain.size())
    state.scratch.resize(chunk_size_max);
  if (auto packed = state.packer->compress(plain, state.scratch)) {
    payload = byte_view{state.scratch}.first(*packed);
    method = codec::zstd;
  }
  auto sealed_length = static_cast<uint32_t>(payload.size() + seal_overhead);
  if (request.dry_run())
    return outcome_of(id, v1::SealedChunk::STORED, plain.size(), sealed_length);
  chunk_entry entry{id, 0, sealed_length, static_cast<uint32_t>(plain.size()), space.epoch, method, crypto::preferred_suite()};
  byte_span room;
  auto outcome = state.context.claims->add(id, {intake, pack.serial()}, [&] {
    auto span = pack.reserve(entry);
    if (span)
      room = *span;
    return span.has_value();
  });
  if (outcome == chunk_claims::outcome::full)
    return std::nullopt;
  if (outcome == chunk_claims::outcome::pending)
    return outcome_of(id, v1::SealedChunk::PENDING, plain.size(), 0);
  auto sealed = seal_chunk(state.cipher, space.epoch_keys.at(space.epoch), facts_of_entry(keys, space, entry), payload,
                           *state.context.env.random, room);
  if (!sealed)
    return fail(sealed.error().within("seal chunk", id.brief()));
  return outcome_of(id, v1::SealedChunk::STORED, plain.size(), sealed_length);
}

result<v1::SealedChunks> seal_chunks(codec_state& state, const v1::SealChunks& request, const slices& plain, open_pack& pack) {
  auto keys = state.context.keys->get();
  v1::SealedChunks reply;
  for (const auto& slice : plain) {
    if (slice.empty() || slice.size() > chunk_size_max)
      return fail(errc::invalid_argument, "seal chunk");
    auto row = seal_one(state, *keys, request, slice, pack, request.intake());
    if (!row)
      return fail(row.error());
    if (!*row)
      break;
    *reply.add_chunks() = std::move(**row);
  }
  return reply;
}

result<v1::SealedChunks> copy_chunks(const v1::CopyChunks& request, const slices& sealed, open_pack& pack) {
  if (static_cast<size_t>(request.chunks_size()) != sealed.size())
    return fail(errc::invalid_argument, "copy chunks");
  v1::SealedChunks reply;
  for (size_t i = 0; i < sealed.size(); ++i) {
    auto entry = from_proto(request.chunks(static_cast<int>(i)));
    if (!entry)
      return fail(entry.error());
    if (entry->sealed_length != sealed[i].size())
      return fail(errc::invalid_argument, "copy chunk", entry->id.brief());
    auto room = pack.reserve(*entry);
    if (!room)
      break;
    std::copy(sealed[i].view().begin(), sealed[i].view().end(), room->begin());
    *reply.add_chunks() = outcome_of(entry->id, v1::SealedChunk::STORED, entry->plain_length, entry->sealed_length);
  }
  return reply;
}

result<void> add_operations(codec_state& state, const crypto::keyring& keys, const v1::FinishPack& request, pack_builder& builder) {
  for (const auto& run : request.runs()) {
    auto device = read_id<device_id>(run.device());
    if (!device)
      return fail(device.error());
    std::vector<std::string> encoded{run.operations().begin(), run.operations().end()};
    auto batch =
        seal_operations(keys.vault, keys.spaces.front(), *device, run.first_sequence(), encoded, state.cipher, *state.context.env.random);
    if (!batch)
      return fail(batch.error());
    if (auto added = builder.add_operations(batch->first, batch->second); !added)
      return fail(added.error());
  }
  for (const auto& batch : request.copied()) {
    auto entry = from_proto(batch.at());
    if (!entry)
      return fail(entry.error());
    if (auto added = builder.add_operations(*entry, as_view(batch.sealed())); !added)
      return fail(added.error());
  }
  return {};
}

struct coded_pack {
  pack_seal seal;
  std::vector<bytes> bodies;
  std::vector<std::vector<digest>> hashes;
};

/// Cuts the pack into k shards, computes the m others and hashes all of them.
coded_pack code_pack(codec_state& state, open_pack& pack, const geometry& shape) {
  coded_pack coded;
  coded.seal.shape = shape;
  std::vector<byte_view> data;
  for (size_t i = 0; i < shape.k; ++i) {
    coded.bodies.push_back(pack.buffer().freeze(i * shape.shard_length, shape.shard_length));
    data.push_back(coded.bodies.back());
  }
  if (shape.m > 0) {
    // Small packs must not hold a whole parity buffer, and wide policies may need
    // more than one.
    auto needed = size_t{shape.m} * shape.shard_length;
    auto pool = needed <= state.context.parity_pool->buffer_size() ? state.context.parity_pool : buffer_pool::make(needed, 0);
    auto buffer = pool->take();
    std::vector<byte_span> parity;
    for (size_t i = 0; i < shape.m; ++i)
      parity.push_back(buffer.span().subspan(i * shape.shard_length, shape.shard_length));
    erasure_code{shape.k, shape.m}.encode(data, parity);
    for (size_t i = 0; i < shape.m; ++i)
      coded.bodies.push_back(buffer.freeze(i * shape.shard_length, shape.shard_length));
  }
  for (const auto& body : coded.bodies) {
    coded.hashes.push_back(hash_blocks(body));
    coded.seal.shard_roots.push_back(crypto::merkle_root(coded.hashes.back()));
  }
  coded.seal.id = pack_id_of(shape, coded.seal.shard_roots);
  return coded;
}

result<std::pair<v1::FinishedPack, slices>> finish_pack(codec_state& state, const v1::FinishPack& request, open_pack& pack) {
  if (request.k() == 0 || request.k() + request.m() > shard_count_max)
    return fail(errc::policy_invalid, "finish a pack");
  auto keys = state.context.keys->get();
  auto& builder = pack.builder();
  if (auto added = add_operations(state, *keys, request, builder); !added)
    return fail(added.error().within("put operations into a pack"));
  auto now = state.context.env.clock->wall().time_since_epoch().count();
  auto shape = builder.finish(keys->vault, keys->spaces.front(), now, static_cast<uint8_t>(request.k()), static_cast<uint8_t>(request.m()),
                              state.cipher, *state.context.env.random);
  if (!shape)
    return fail(shape.error().within("finish a pack"));
  auto coded = code_pack(state, pack, *shape);
  auto header = parse_pack_header(pack.buffer().span(), shape->data_length());
  if (!header)
    return fail(header.error());
  pack_record record;
  record.seal = coded.seal;
  record.drives.resize(shape->shard_count());
  record.created_ns = now;
  record.used_length = header->used_length;
  record.table_offset = header->table_offset;
  record.table_sealed_length = header->table_sealed_length;
  v1::FinishedPack reply;
  *reply.mutable_pack() = to_proto(record, builder.table());
  reply.set_vault(write_id(keys->vault));
  auto as_file = shape->shard_length >= inline_shard_max;
  for (size_t i = 0; i < coded.bodies.size(); ++i) {
    auto encoded = encode_shard_header({coded.seal, static_cast<uint8_t>(i), coded.hashes[i]}, as_file);
    reply.add_shard_headers(std::string{as_text(encoded)});
  }
  return std::pair{std::move(reply), std::move(coded.bodies)};
}

result<void> open_one(codec_state& state, const crypto::keyring& keys, const chunk_entry& entry, byte_view sealed, byte_span plain) {
  const auto& space = keys.spaces.front();
  auto key = space.epoch_keys.find(entry.epoch);
  if (key == space.epoch_keys.end())
    return fail(errc::unknown_epoch, "open chunk", entry.id.brief());
  auto facts = facts_of_entry(keys, space, entry);
  auto payload_length = entry.sealed_length - seal_overhead;
  if (entry.method == codec::none) {
    if (payload_length != plain.size())
      return fail(errc::format_damaged, "open chunk", entry.id.brief());
    if (auto opened = open_chunk(state.cipher, key->second, facts, sealed, plain); !opened)
      return opened;
  } else {
    if (payload_length > chunk_size_max)
      return fail(errc::format_damaged, "open chunk", entry.id.brief());
    if (state.scratch.size() < payload_length)
      state.scratch.resize(chunk_size_max);
    auto payload = byte_span{state.scratch}.first(payload_length);
    if (auto opened = open_chunk(state.cipher, key->second, facts, sealed, payload); !opened)
      return opened;
    if (auto expanded = state.packer->decompress(entry.method, payload, plain); !expanded)
      return expanded;
  }
  if (chunk_id_of(space.id_key, plain) != entry.id)
    return fail(errc::damaged, "check chunk", entry.id.brief());
  return {};
}

result<void> open_chunks(codec_state& state, const v1::OpenChunks& request, byte_view stretch, byte_span out) {
  auto keys = state.context.keys->get();
  size_t done = 0;
  for (const auto& row : request.chunks()) {
    auto entry = from_proto(row);
    if (!entry)
      return fail(entry.error());
    if (entry->offset < request.base_offset() || entry->sealed_length < seal_overhead || entry->plain_length > out.size() - done)
      return fail(errc::format_damaged, "open chunk", entry->id.brief());
    auto begin = entry->offset - request.base_offset();
    if (begin > stretch.size() || entry->sealed_length > stretch.size() - begin)
      return fail(errc::format_damaged, "open chunk", entry->id.brief());
    auto opened = open_one(state, *keys, *entry, stretch.subspan(begin, entry->sealed_length), out.subspan(done, entry->plain_length));
    if (!opened)
      return opened;
    done += entry->plain_length;
  }
  return {};
}

result<void> rebuild(const v1::RebuildShards& request, const slices& present, const memories& out) {
  if (request.k() == 0 || request.k() + request.m() > shard_count_max || static_cast<size_t>(request.wanted_size()) != out.size()
      || static_cast<size_t>(request.present_size()) != present.size())
    return fail(errc::invalid_argument, "rebuild shards");
  std::vector<uint8_t> have{request.present().begin(), request.present().end()};
  std::vector<uint8_t> wanted{request.wanted().begin(), request.wanted().end()};
  std::vector<byte_view> sources{present.begin(), present.end()};
  std::vector<byte_span> targets;
  for (const auto& target : out)
    targets.push_back(target.span);
  return erasure_code{static_cast<uint8_t>(request.k()), static_cast<uint8_t>(request.m())}.reconstruct(have, sources, wanted, targets);
}

codec_actor::behavior_type codec_worker(codec_actor::stateful_pointer<codec_state> self, codec_context context) {
  self->state.packer.emplace(context.compression_level);
  self->state.context = std::move(context);
  return {
      [=](const v1::SealChunks& request, const slices& plain, pack_ref& pack) -> caf::result<v1::SealedChunks> {
        auto reply = seal_chunks(self->state, request, plain, *pack);
        if (!reply)
          return to_caf(reply.error());
        return std::move(*reply);
      },
      [=](const v1::CopyChunks& request, const slices& sealed, pack_ref& pack) -> caf::result<v1::SealedChunks> {
        auto reply = copy_chunks(request, sealed, *pack);
        if (!reply)
          return to_caf(reply.error());
        return std::move(*reply);
      },
      [=](const v1::FinishPack& request, pack_ref& pack) -> caf::result<v1::FinishedPack, slices> {
        auto reply = finish_pack(self->state, request, *pack);
        if (!reply)
          return to_caf(reply.error());
        return {std::move(reply->first), std::move(reply->second)};
      },
      [=](const v1::OpenChunks& request, const bytes& stretch, memory& out) -> caf::result<v1::Done> {
        if (auto opened = open_chunks(self->state, request, stretch, out.span); !opened)
          return to_caf(opened.error());
        return v1::Done{};
      },
      [=](const v1::RebuildShards& request, const slices& present, const memories& out) -> caf::result<v1::Done> {
        if (auto rebuilt = rebuild(request, present, out); !rebuilt)
          return to_caf(rebuilt.error());
        return v1::Done{};
      },
  };
}

} // namespace

codec_actor spawn_codec(caf::actor_system& sys, codec_context context) {
  return sys.spawn<caf::detached>(codec_worker, std::move(context));
}

codec_team::codec_team(caf::actor_system& sys, const codec_context& context, size_t count) : under_way_(count, 0) {
  for (size_t i = 0; i < count; ++i)
    workers_.push_back(spawn_codec(sys, context));
}

std::pair<size_t, const codec_actor*> codec_team::pick() {
  std::lock_guard guard{mutex_};
  auto least = static_cast<size_t>(std::min_element(under_way_.begin(), under_way_.end()) - under_way_.begin());
  ++under_way_[least];
  return {least, &workers_[least]};
}

void codec_team::finished(size_t number) {
  std::lock_guard guard{mutex_};
  --under_way_[number];
}

} // namespace datamesh::storage
