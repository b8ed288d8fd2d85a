// The records of others that outlive who wrote them, as a file: so that they are there after a
// restart of those that keep them. docs/formats/discovery.md.
//
// Thread rule: functions are safe to call from any thread.
#pragma once

#include "network/record_store.hpp"

#include <vector>

namespace datamesh::network {

/// Bytes of such a file, at most; what does not fit is left out.
inline constexpr size_t kept_bytes_max = 4 << 20;

/// Those of *records* that outlive their publishers; empty where there are none.
[[nodiscard]] std::vector<std::byte> encode_kept(const record_store& records);

/// Those that can still be kept. `format_alien`, `format_damaged`, `format_newer`.
[[nodiscard]] result<std::vector<signed_record>> decode_kept(const network_id& mesh, byte_view saved, clock::wall_time now);

} // namespace datamesh::network
