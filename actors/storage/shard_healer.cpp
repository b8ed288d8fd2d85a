#include "storage/shard_healer.hpp"

#include "crypto/merkle.hpp"
#include "storage/convert.hpp"

namespace datamesh::storage {

void note_change(caf::blocking_actor* self, const vault_context& context) {
  // A stamp of nothing: the catalog notes that somebody writes.
  (void) ask<v1::StampedOperations>(self, context.catalog_writer, step_timeout, v1::StampOperations{});
}

shard_healer::shard_healer(caf::blocking_actor* self, std::shared_ptr<vault_context> context, std::shared_ptr<storage::job> job)
    : self_(self), context_(std::move(context)), job_(std::move(job)),
      reader_(spawn_pack_reader(*context_->sys, context_, job_, work_kind::repair)) {}

shard_healer::~shard_healer() {
  self_->send_exit(reader_, caf::exit_reason::user_shutdown);
}

bool shard_healer::readable(const pack_record& pack, uint32_t begin, uint32_t end) {
  v1::ReadStretch request;
  *request.mutable_pack() = to_proto(pack);
  request.set_begin(begin);
  request.set_end(end);
  return ask_with<v1::StretchRead, bytes>(self_, reader_, until_answered, std::move(request)).has_value();
}

/// Reads all data (the reader rebuilds what it must), then codes the parity that is
/// wanted anew.
result<slices> shard_healer::bodies_of(const pack_record& pack, const std::vector<uint8_t>& wanted) {
  const auto& shape = pack.seal.shape;
  v1::ReadStretch request;
  *request.mutable_pack() = to_proto(pack);
  request.set_end(static_cast<uint32_t>(shape.data_length()));
  auto data = ask_with<v1::StretchRead, bytes>(self_, reader_, until_answered, std::move(request));
  if (!data)
    return fail(data.error());
  v1::RebuildShards rebuild;
  rebuild.set_k(shape.k);
  rebuild.set_m(shape.m);
  slices present;
  for (uint32_t i = 0; i < shape.k; ++i) {
    rebuild.add_present(i);
    present.push_back(data->second.slice(size_t{i} * shape.shard_length, shape.shard_length));
  }
  slices bodies;
  memories out;
  auto parity = buffer_pool::make(std::max<size_t>(1, size_t{shape.m} * shape.shard_length), 0)->take();
  size_t used = 0;
  for (auto index : wanted) {
    if (index < shape.k) {
      bodies.push_back(present[index]);
      continue;
    }
    auto body = parity.freeze(used, shape.shard_length);
    out.push_back({std::make_shared<bytes>(body), parity.span().subspan(used, shape.shard_length)});
    rebuild.add_wanted(index);
    bodies.push_back(std::move(body));
    used += shape.shard_length;
  }
  if (out.empty())
    return bodies;
  auto [number, worker] = context_->team->pick();
  auto rebuilt = ask<v1::Done>(self_, *worker, step_timeout, std::move(rebuild), std::move(present), std::move(out));
  context_->team->finished(number);
  if (!rebuilt)
    return fail(rebuilt.error());
  return bodies;
}

domain_level shard_healer::level_of(const pack_record& pack) const {
  std::set<drive_id> seen;
  auto shared = std::ranges::any_of(pack.drives, [&](const auto& drive) { return !drive.is_zero() && !seen.insert(drive).second; });
  return shared || context_->drives->all()->size() == 1 ? domain_level::block : domain_level::drive;
}

std::optional<drive_id> shard_healer::choose_drive(const pack_record& pack, uint8_t index, bool elsewhere, domain_level level,
                                                   const std::set<drive_id>& refused) const {
  auto drives = context_->drives->all();
  const auto& old = pack.drives[index];
  const auto* there = old.is_zero() ? nullptr : drive_table::find(*drives, old);
  auto candidates = context_->drives->candidates(*drives, room_for::data);
  for (auto& drive : candidates)
    if (refused.count(drive.id) > 0)
      drive.state = drive_state::failed;
  auto takes = std::any_of(candidates.begin(), candidates.end(), [&](const auto& drive) {
    return drive.id == old && drive.state == drive_state::ok && drive.allowed && !drive.read_only;
  });
  if (!elsewhere && there != nullptr && there->state() == drive_state::ok && takes)
    return old;
  std::vector<drive_id> taken;
  for (size_t i = 0; i < pack.drives.size(); ++i)
    if (i != index && !pack.drives[i].is_zero())
      taken.push_back(pack.drives[i]);
  if (elsewhere && !old.is_zero())
    std::erase_if(candidates, [&](const auto& drive) { return drive.id == old; });
  auto size = uint64_t{pack.seal.shape.shard_length} + shard_header_length(pack.seal.shape, true);
  return place_one(candidates, taken, {pack.seal.shape.k, pack.seal.shape.m, level}, pack.seal.id.view(), size);
}

result<void> shard_healer::store(const pack_record& pack, uint8_t index, const bytes& body, const drive_id& where) {
  shard_header header{pack.seal, index, hash_blocks(body)};
  if (crypto::merkle_root(header.block_hashes) != pack.seal.shard_roots[index])
    return fail(errc::internal, "rebuild shard", pack.seal.id.brief());
  auto drives = context_->drives->all();
  const auto* drive = drive_table::find(*drives, where);
  if (drive == nullptr)
    return fail(errc::drive_missing, "store shard", pack.seal.id.brief());
  if (!std::exchange(noted_, true))
    note_change(self_, *context_);
  v1::StoreShards request;
  request.set_vault(write_id(context_->id));
  request.set_work(static_cast<uint32_t>(work_kind::repair));
  auto encoded = encode_shard_header(header, pack.seal.shape.shard_length >= inline_shard_max);
  request.add_headers(std::string{as_text(encoded)});
  auto stored = ask<v1::Done>(self_, drive->writer, step_timeout, std::move(request), slices{body});
  if (!stored)
    return fail(stored.error());
  return {};
}

result<shard_healer::outcome> shard_healer::rebuild(const pack_record& pack, const std::vector<uint8_t>& wanted, bool elsewhere,
                                                    domain_level level) {
  auto bodies = bodies_of(pack, wanted);
  if (!bodies)
    return fail(bodies.error());
  outcome done;
  auto placed = pack;
  for (size_t i = 0; i < wanted.size(); ++i) {
    // The drive that it was on first, then others: one that is full or can not write there
    // keeps nothing from being healed.
    std::set<drive_id> refused;
    auto where = choose_drive(placed, wanted[i], elsewhere, level, refused);
    while (where && !store(pack, wanted[i], (*bodies)[i], *where)) {
      refused.insert(*where);
      where = choose_drive(placed, wanted[i], elsewhere, level, refused);
    }
    if (!where) {
      ++done.unplaced;
      continue;
    }
    placed.drives[wanted[i]] = *where;
    ++done.stored;
    done.healed.push_back(wanted[i]);
    done.where.push_back(*where);
    done.bytes += pack.seal.shape.shard_length;
  }
  if (placed.drives == pack.drives)
    return done;
  v1::CommitCatalog commit;
  *commit.add_placed() = to_proto(placed);
  auto committed = ask<v1::Done>(self_, context_->catalog_writer, step_timeout, std::move(commit));
  if (!committed)
    return fail(committed.error());
  return done;
}

shard_healer::outcome shard_healer::foresee(const pack_record& pack, const std::vector<uint8_t>& wanted, bool elsewhere, domain_level level,
                                            const std::set<drive_id>& full) const {
  outcome seen;
  auto placed = pack;
  for (auto index : wanted) {
    auto where = choose_drive(placed, index, elsewhere, level, full);
    if (!where) {
      ++seen.unplaced;
      continue;
    }
    placed.drives[index] = *where;
    ++seen.stored;
    seen.healed.push_back(index);
    seen.where.push_back(*where);
    seen.bytes += pack.seal.shape.shard_length;
  }
  return seen;
}

} // namespace datamesh::storage
