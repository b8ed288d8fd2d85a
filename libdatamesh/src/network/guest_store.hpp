// The shards that a node keeps for others, on its drives beside its own: in each drive a
// folder `guests`, which is a shard store of its own with the owners' tickets in it. What an
// owner has here is counted from the tickets, when it is opened, so no count can drift.
// Layout, rules and order of writes: docs/formats/ticket.md.
//
// A ticket's row is what makes a shard count: it is written after the shard is durable, and
// goes before the shard does. What an interruption leaves without a ticket goes when the
// store is opened.
//
// Thread rule: `renew`, `store`, `remove`, `let_go`, `keep`, `remember`, `expire`, `settle`, `flush` from one writer
// thread; const members and `set_aside` from any thread meanwhile.
#pragma once

#include "datamesh/base/environment.hpp"
#include "network/kept_guest.hpp"
#include "network/shard_intake.hpp"

#include <functional>
#include <memory>

namespace datamesh::network {

/// How long a deletion is remembered, and for how long after its ticket's end a shard is kept:
/// clocks differ.
inline constexpr auto deletion_kept = std::chrono::hours{24 * 90};
inline constexpr auto expired_kept = std::chrono::hours{24};

/// Beside what is a drive's own, in its folder.
[[nodiscard]] std::string guests_folder(const std::string& drive);

struct guest_store_options {
  /// `guests_folder` of each drive. With none there is nothing, and nothing is stored.
  std::vector<std::string> folders;
  /// Whether a shard that is new may go to that folder, asked by the writer before each; where it
  /// is empty, it always may. What is there is read and removed all the same.
  std::function<bool(const std::string&)> takes_new;
  /// Told of a folder that does not open, and why; it is left out. Where it is empty, `open`
  /// fails as the first of them does.
  std::function<void(const std::string&, const error&)> left_out;
  /// What all owners may have together: what of it they do not use is held on the drives. 0: nothing is.
  uint64_t capacity = 0;
  /// As in `shard_store_options`.
  uint64_t reserve_bytes = 64ull << 20;
  double reserve_ratio = 0.02;
  bool direct_io = true;
};

/// What one owner has here.
struct guest_usage {
  uint64_t shards = 0;
  uint64_t deletions = 0; ///< That are remembered.
  uint64_t bytes = 0;     ///< What he is charged for both.

  friend bool operator==(const guest_usage&, const guest_usage&) = default;
};

class guest_store {
public:
  /// Makes an empty one of *folder*, durably. `already_exists` when it is one.
  [[nodiscard]] static result<void> format(const environment& env, const std::string& folder);

  /// Removes what an interruption left without a ticket, and tickets whose shard is lost.
  /// What `shard_store::open` answers; `store_corrupt` where there are shards and no tickets.
  [[nodiscard]] static result<std::unique_ptr<guest_store>> open(const environment& env, const guest_store_options& options);
  ~guest_store();

  /// For a shard that is here whole, each block looked at: from now on it is kept by *by*,
  /// which may be a later ticket than before. Nothing where it is to be sent. What `store`
  /// refuses is refused.
  [[nodiscard]] result<std::optional<kept_guest>> renew(const ticket& by);

  /// Durable when it succeeds; what an error leaves counts for nothing.
  /// @param room what the owner may have here in all
  /// `invalid_argument` for a ticket that has run out, `conflict` for one that is older than
  /// what is here, or than a deletion, `no_space` when *room* is not enough, and what
  /// `shard_store::store` answers on the last drive that was tried.
  [[nodiscard]] result<kept_guest> store(const guest_write& write, uint64_t room);

  /// Removes what is here by tickets up to the deletion's number, remembers it, and answers
  /// how many shards those were. `permission_denied` or `no_space` where nothing of that pack
  /// is here, and no room to remember it.
  [[nodiscard]] result<uint32_t> remove(const deletion& what, uint64_t room);

  /// Another node has that shard: it is removed here, and nothing remembered. Does nothing where it
  /// is not here, or is kept by another ticket than this very one.
  [[nodiscard]] result<void> let_go(const ticket& by);

  /// From now on the owner's roster is that one, durably, on every drive that takes it; answers
  /// whether it was not before. `conflict` for one with a lower number, or with the same number and
  /// other content.
  [[nodiscard]] result<bool> keep(const roster& what);
  /// Tickets of shards that other nodes keep, of packs of which a shard is here; others are left
  /// out. What is lost of them by a power loss is told again.
  [[nodiscard]] result<void> remember(std::span<const ticket> siblings);

  /// Removes what ran out; answers how many shards.
  [[nodiscard]] result<uint64_t> expire();

  /// See `guest_store_options::capacity`; `settle` does what follows from it.
  void set_aside(uint64_t capacity);
  /// Now and then: others may fill a disk, or make room. False while nothing is set aside, and nothing held.
  [[nodiscard]] bool needs_settling() const;
  /// Brings what is held for others to what it should be, for some tenths of a second at most. False
  /// when there is more to do now.
  [[nodiscard]] bool settle();

  /// `shard_missing` unless it is here for that owner, and *by* is valid or the one by which
  /// it is. @pre *by* was verified
  [[nodiscard]] result<storage::shard_header> read_header(const ticket& by) const;
  /// Whole blocks, each checked. `range_invalid` beyond the end, `shard_damaged`.
  [[nodiscard]] result<bytes> read_blocks(const ticket& by, uint32_t first, uint32_t count) const;

  /// Up to *limit* behind *after*, in order of pack and index.
  [[nodiscard]] result<std::vector<ticket>> list(const vault_id& owner, const std::optional<shard_key>& after, size_t limit) const;

  [[nodiscard]] std::optional<roster> roster_of(const vault_id& owner) const;
  /// In the order of owners.
  [[nodiscard]] std::vector<roster> rosters() const;
  /// What is remembered of a pack, in order of indexes.
  [[nodiscard]] result<std::vector<ticket>> siblings(const vault_id& owner, const pack_id& pack) const;

  [[nodiscard]] guest_usage usage(const vault_id& owner) const;
  /// Of all that have something here.
  [[nodiscard]] std::map<vault_id, guest_usage> usages() const;

  /// Of what is set aside and not used: bytes that are held on the drives, and those that are not.
  [[nodiscard]] uint64_t held() const;
  [[nodiscard]] uint64_t lacking() const;
  /// What a folder holds, and 0 for one that is none of `folders`. It may be more than was set aside.
  [[nodiscard]] uint64_t held_in(const std::string& folder) const;

  /// Those that were opened, in the order in which they were given.
  [[nodiscard]] std::vector<std::string> folders() const;
  /// How many lie in that folder, whosever they are. `not_found` when it is not one of `folders`.
  [[nodiscard]] result<uint64_t> shards_in(const std::string& folder) const;

  /// Brings all into the state in which it opens fastest.
  [[nodiscard]] result<void> flush();

private:
  guest_store();
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::network
