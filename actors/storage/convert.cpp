#include "storage/convert.hpp"

namespace datamesh::storage {

v1::PackSeal to_proto(const pack_seal& seal) {
  v1::PackSeal message;
  message.set_id(write_id(seal.id));
  message.set_k(seal.shape.k);
  message.set_m(seal.shape.m);
  message.set_shard_length(seal.shape.shard_length);
  for (const auto& root : seal.shard_roots)
    message.add_shard_roots(write_id(root));
  return message;
}

result<pack_seal> from_proto(const v1::PackSeal& message) {
  pack_seal seal;
  auto id = read_id<pack_id>(message.id());
  if (!id)
    return fail(id.error());
  seal.id = *id;
  if (message.k() > shard_count_max || message.m() > shard_count_max)
    return fail(errc::format_damaged, "read a pack's shape", seal.id.brief());
  seal.shape = {static_cast<uint8_t>(message.k()), static_cast<uint8_t>(message.m()), message.shard_length()};
  if (auto valid = validate(seal.shape); !valid)
    return fail(valid.error());
  if (static_cast<size_t>(message.shard_roots_size()) != seal.shape.shard_count())
    return fail(errc::format_damaged, "read a pack's roots", seal.id.brief());
  for (const auto& raw : message.shard_roots()) {
    auto root = read_id<digest>(raw);
    if (!root)
      return fail(root.error());
    seal.shard_roots.push_back(*root);
  }
  return seal;
}

v1::PackRecord to_proto(const pack_record& record) {
  v1::PackRecord message;
  *message.mutable_seal() = to_proto(record.seal);
  for (const auto& drive : record.drives)
    message.add_drives(drive.is_zero() ? std::string{} : write_id(drive));
  message.set_created_ns(record.created_ns);
  message.set_used_length(record.used_length);
  message.set_table_offset(record.table_offset);
  message.set_table_sealed_length(record.table_sealed_length);
  message.set_condemned(record.condemned);
  message.set_copied_forward(record.copied_forward);
  return message;
}

result<pack_record> from_proto(const v1::PackRecord& message) {
  auto seal = from_proto(message.seal());
  if (!seal)
    return fail(seal.error());
  pack_record record;
  record.seal = std::move(*seal);
  if (static_cast<size_t>(message.drives_size()) != record.seal.shape.shard_count())
    return fail(errc::format_damaged, "read a pack's placement", record.seal.id.brief());
  for (const auto& raw : message.drives()) {
    if (raw.empty()) {
      record.drives.emplace_back();
      continue;
    }
    auto drive = read_id<drive_id>(raw);
    if (!drive)
      return fail(drive.error());
    record.drives.push_back(*drive);
  }
  record.created_ns = message.created_ns();
  record.used_length = message.used_length();
  record.table_offset = message.table_offset();
  record.table_sealed_length = message.table_sealed_length();
  record.condemned = message.condemned();
  record.copied_forward = message.copied_forward();
  return record;
}

v1::ChunkAt to_proto(const chunk_entry& entry) {
  v1::ChunkAt message;
  message.set_id(write_id(entry.id));
  message.set_offset(entry.offset);
  message.set_sealed_length(entry.sealed_length);
  message.set_plain_length(entry.plain_length);
  message.set_epoch(entry.epoch);
  message.set_codec(static_cast<uint32_t>(entry.method));
  message.set_suite(static_cast<uint32_t>(entry.suite));
  return message;
}

result<chunk_entry> from_proto(const v1::ChunkAt& message) {
  chunk_entry entry;
  auto id = read_id<chunk_id>(message.id());
  if (!id)
    return fail(id.error());
  if (message.codec() > 1 || message.suite() < 1 || message.suite() > 2)
    return fail(errc::format_damaged, "read a chunk's place", id->brief());
  entry.id = *id;
  entry.offset = message.offset();
  entry.sealed_length = message.sealed_length();
  entry.plain_length = message.plain_length();
  entry.epoch = message.epoch();
  entry.method = static_cast<codec>(message.codec());
  entry.suite = static_cast<crypto::aead_suite>(message.suite());
  return entry;
}

v1::OperationsAt to_proto(const operations_entry& entry) {
  v1::OperationsAt message;
  message.set_offset(entry.offset);
  message.set_sealed_length(entry.sealed_length);
  message.set_epoch(entry.epoch);
  message.set_suite(static_cast<uint32_t>(entry.suite));
  message.set_device(write_id(entry.device));
  message.set_first_sequence(entry.first_sequence);
  message.set_last_sequence(entry.last_sequence);
  message.set_checkpoint(entry.checkpoint);
  return message;
}

result<operations_entry> from_proto(const v1::OperationsAt& message) {
  auto device = read_id<device_id>(message.device());
  if (!device)
    return fail(device.error());
  if (message.suite() < 1 || message.suite() > 2)
    return fail(errc::format_damaged, "read a batch of operations");
  return operations_entry{
      message.offset(), message.sealed_length(),  message.epoch(),         static_cast<crypto::aead_suite>(message.suite()),
      *device,          message.first_sequence(), message.last_sequence(), message.checkpoint()};
}

v1::NewPack to_proto(const pack_record& record, const pack_table& table) {
  v1::NewPack message;
  *message.mutable_record() = to_proto(record);
  message.set_space(write_id(table.space));
  message.set_epoch(table.epoch);
  for (const auto& entry : table.chunks)
    *message.add_chunks() = to_proto(entry);
  for (const auto& entry : table.operations)
    *message.add_operations() = to_proto(entry);
  return message;
}

result<catalog_commit::new_pack> from_proto(const v1::NewPack& message) {
  auto record = from_proto(message.record());
  if (!record)
    return fail(record.error());
  auto space = read_id<space_id>(message.space());
  if (!space)
    return fail(space.error());
  catalog_commit::new_pack pack;
  pack.record = std::move(*record);
  pack.table.space = *space;
  pack.table.epoch = message.epoch();
  pack.table.created_ns = pack.record.created_ns;
  pack.table.chunks.reserve(static_cast<size_t>(message.chunks_size()));
  for (const auto& row : message.chunks()) {
    auto entry = from_proto(row);
    if (!entry)
      return fail(entry.error());
    pack.table.chunks.push_back(*entry);
  }
  for (const auto& row : message.operations()) {
    auto entry = from_proto(row);
    if (!entry)
      return fail(entry.error());
    pack.table.operations.push_back(*entry);
  }
  return pack;
}

v1::ShardName to_proto(const shard_key& key) {
  v1::ShardName message;
  message.set_pack(write_id(key.pack));
  message.set_index(key.index);
  return message;
}

result<shard_key> from_proto(const v1::ShardName& message) {
  auto pack = read_id<pack_id>(message.pack());
  if (!pack)
    return fail(pack.error());
  if (message.index() >= shard_count_max)
    return fail(errc::format_damaged, "read a shard's index", pack->brief());
  return shard_key{*pack, static_cast<uint8_t>(message.index())};
}

v1::MarkPacks::Shard to_proto(const seen_shard& shard) {
  v1::MarkPacks::Shard message;
  message.set_pack(write_id(shard.pack));
  message.set_index(shard.index);
  message.set_drive(write_id(shard.drive));
  return message;
}

result<seen_shard> from_proto(const v1::MarkPacks::Shard& message) {
  auto pack = read_id<pack_id>(message.pack());
  if (!pack)
    return fail(pack.error());
  auto drive = read_id<drive_id>(message.drive());
  if (!drive)
    return fail(drive.error());
  if (message.index() >= shard_count_max)
    return fail(errc::format_damaged, "read a shard's index", pack->brief());
  return seen_shard{*pack, static_cast<uint8_t>(message.index()), *drive};
}

} // namespace datamesh::storage
