// How tickets and deletions of other nodes' owners lie in the index of a drive: keys and rows. docs/formats/ticket.md.
//
// Thread rule: free functions without state.
#pragma once

#include "network/kept_guest.hpp"

#include <string>
#include <string_view>
#include <utility>

namespace datamesh::network {

constexpr std::string_view meta_key = "m";
constexpr char ticket_prefix = 't';
constexpr char owner_prefix = 'o';
constexpr char deletion_prefix = 'd';
constexpr char roster_prefix = 'r';
constexpr char sibling_prefix = 's';
constexpr uint16_t rows_version = 1;

/// Of all tickets of a shard.
[[nodiscard]] std::string shard_prefix(const shard_key& shard);
[[nodiscard]] std::string ticket_key(const shard_key& shard, const vault_id& owner);
/// Of all that an owner has of a pack.
[[nodiscard]] std::string pack_prefix(const vault_id& owner, const pack_id& pack);
[[nodiscard]] std::string owner_key(const vault_id& owner, const shard_key& shard);
[[nodiscard]] std::string deletion_key(const vault_id& owner, const pack_id& pack);
[[nodiscard]] std::string roster_key(const vault_id& owner);
[[nodiscard]] std::string siblings_prefix(const vault_id& owner, const pack_id& pack);
[[nodiscard]] std::string sibling_key(const ticket& of);

/// @pre *key* is one that `ticket_key` made
[[nodiscard]] shard_key shard_of_ticket_key(std::string_view key);

/// A signed word, and when it came.
[[nodiscard]] std::string encode_row(clock::wall_time at, byte_view word);
[[nodiscard]] std::pair<clock::wall_time, byte_view> split_row(std::string_view value);
/// `store_corrupt` or `format_newer`.
[[nodiscard]] result<kept_guest> read_kept(std::string_view value);
/// A deletion, and since when it is remembered.
[[nodiscard]] result<std::pair<deletion, clock::wall_time>> read_remembered(std::string_view value);

} // namespace datamesh::network
