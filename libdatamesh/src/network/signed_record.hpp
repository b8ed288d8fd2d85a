// What the mesh keeps: small records that their publishers sign. A record is handed on as
// the bytes that were signed. Layout, kinds, and where a kind is kept:
// docs/formats/discovery.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "crypto/identity.hpp"
#include "datamesh/base/clock.hpp"
#include "network/key_space.hpp"
#include "network/network_id.hpp"

#include <functional>
#include <tuple>

namespace datamesh::network {

enum class record_kind : uint8_t {
  node = 1,        ///< How to reach a node.
  provider = 2,    ///< Who has what the key names.
  device_head = 3, ///< The last that a device wrote.
  recovery = 4,    ///< By which a phrase brings its vault back (recovery_record.hpp).
};

/// Of a number from outside.
[[nodiscard]] constexpr bool is_record_kind(uint32_t number) noexcept {
  return number >= static_cast<uint32_t>(record_kind::node) && number <= static_cast<uint32_t>(record_kind::recovery);
}
/// Whether its publisher may be away, or gone, for longer than those that keep it are there: they see to it
/// themselves.
[[nodiscard]] constexpr bool outlives_publisher(record_kind kind) noexcept {
  return kind == record_kind::device_head || kind == record_kind::recovery;
}

inline constexpr size_t record_value_max = 4096;
inline constexpr size_t record_overhead = 88 + 64;
inline constexpr size_t record_size_max = record_overhead + record_value_max;

/// From its making, or its last renewal, to its end, at most.
[[nodiscard]] std::chrono::hours lifetime_of(record_kind kind) noexcept;

/// What tells records apart; of those with the same one counts.
struct record_name {
  record_kind kind{};
  point key;
  crypto::public_key publisher{};

  friend auto operator<=>(const record_name& a, const record_name& b) noexcept {
    return std::tie(a.kind, a.key, a.publisher) <=> std::tie(b.kind, b.key, b.publisher);
  }
  friend bool operator==(const record_name&, const record_name&) = default;
};

/// What is to be signed.
struct record_draft {
  record_name name;
  uint64_t sequence = 0;
  clock::wall_time expiry; ///< Whole seconds.
  bytes value;
};

/// A record whose signature holds.
struct signed_record {
  record_name name;
  uint64_t sequence = 0;
  clock::wall_time expiry;
  bytes value;
  bytes raw; ///< All of it, with the signature.

  [[nodiscard]] bool has_expired(clock::wall_time now) const noexcept {
    return now >= expiry;
  }
};

/// Where the record of that kind of that publisher is kept; nothing for kinds that may
/// have any key.
[[nodiscard]] result<std::optional<point>> key_of(record_kind kind, const crypto::public_key& publisher);

using record_signer = std::function<result<crypto::signature>(byte_view message)>;
/// @param sign signs with the publisher's key
/// `invalid_argument` for a value that is too long, a key that is not the publisher's, and
/// an expiry that is none.
[[nodiscard]] result<signed_record> sign_record(const network_id& mesh, const record_draft& draft, const record_signer& sign);

/// Reads and verifies. `format_damaged` for what is no record, `format_newer`,
/// `authentication_failed` for a signature that does not hold in this mesh, and
/// `invalid_argument` for a key that is not the publisher's, a record that has run out, or one
/// that lives for longer than its kind may, and 24 hours by which clocks may differ.
[[nodiscard]] result<signed_record> open_record(const network_id& mesh, byte_view raw, clock::wall_time now);

/// What a record does to one of the same name.
enum class record_order : uint8_t {
  newer,
  same,
  older,
  conflict, ///< The publisher signed two with one sequence.
};
/// @pre `fresh.name == held.name`
[[nodiscard]] record_order compare(const signed_record& fresh, const signed_record& held);

} // namespace datamesh::network
