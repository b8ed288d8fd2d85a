// Protobuf headers to engine values and back. Whatever comes in is checked: ids
// have their size, counts their bounds.
#pragma once

#include "storage/catalog.hpp"

#include "datamesh/v1/store.pb.h"

namespace datamesh::storage {

/// `format_damaged` unless *raw* has the id's size.
template <class Id>
[[nodiscard]] result<Id> read_id(const std::string& raw) {
  if (raw.size() != Id::size)
    return fail(errc::format_damaged, "read an id");
  return Id::from(as_view(raw));
}

template <class Id>
[[nodiscard]] std::string write_id(const Id& id) {
  return std::string{id.text()};
}

[[nodiscard]] v1::PackSeal to_proto(const pack_seal& seal);
[[nodiscard]] result<pack_seal> from_proto(const v1::PackSeal& message);

[[nodiscard]] v1::PackRecord to_proto(const pack_record& record);
[[nodiscard]] result<pack_record> from_proto(const v1::PackRecord& message);

[[nodiscard]] v1::ChunkAt to_proto(const chunk_entry& entry);
[[nodiscard]] result<chunk_entry> from_proto(const v1::ChunkAt& message);

[[nodiscard]] v1::OperationsAt to_proto(const operations_entry& entry);
[[nodiscard]] result<operations_entry> from_proto(const v1::OperationsAt& message);

[[nodiscard]] v1::NewPack to_proto(const pack_record& record, const pack_table& table);
[[nodiscard]] result<catalog_commit::new_pack> from_proto(const v1::NewPack& message);

[[nodiscard]] v1::ShardName to_proto(const shard_key& key);
[[nodiscard]] result<shard_key> from_proto(const v1::ShardName& message);

[[nodiscard]] v1::MarkPacks::Shard to_proto(const seen_shard& shard);
[[nodiscard]] result<seen_shard> from_proto(const v1::MarkPacks::Shard& message);

} // namespace datamesh::storage
