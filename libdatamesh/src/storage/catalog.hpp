// Names, folders, versions, tags and where the bytes are: the fold of the
// operation log in an ordered store, with chunk -> pack rows from the pack tables
// and pack -> drive rows from the drives. A cache: `datamesh rebuild` makes it
// again from packs and key alone. Rows: docs/formats/catalog.md.
//
// The fold is a CRDT. Any order of `apply` over the same operations gives the same
// answers to every question below: tree moves by undo and redo (Kleppmann et al.
// 2021), versions as a set with causal replacement, tags by last writer. Two nodes
// that claim one name both stay: the one with the lower stamp keeps it, the other is
// shown as "name~" + the first eight hex digits of its node id.
//
// Thread rule: members that are not const from one thread; const ones from any.
#pragma once

#include "base/lasting_store.hpp"
#include "datamesh/base/clock.hpp"
#include "storage/operation.hpp"
#include "storage/pack.hpp"
#include "storage/placement.hpp"
#include "storage/shard.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace datamesh::storage {

/// A pack that is committed: its seal and where its shards are.
struct pack_record {
  pack_seal seal;
  std::vector<drive_id> drives; ///< By shard index; zero where a shard is missing.
  int64_t created_ns = 0;
  uint32_t used_length = 0; ///< Bytes before padding.
  uint32_t table_offset = 0;
  uint32_t table_sealed_length = 0;
  bool condemned = false;
  bool lost = false;           ///< Fewer than k shards were good when a verify or reads last looked.
  bool copied_forward = false; ///< Cleanup moved its living chunks elsewhere.
  /// Shards that were found missing or damaged where `drives` says they are, sorted.
  std::vector<uint8_t> faulty;

  [[nodiscard]] size_t shards_present() const noexcept;
  [[nodiscard]] bool is_faulty(size_t shard) const noexcept;
};

/// How many drives may be lost for good of those that hold so many good shards each, with
/// *k* shards left; negative with fewer than *k* now.
[[nodiscard]] int drives_to_spare(std::vector<size_t> shards_by_drive, size_t k);

/// The same, were all shards of *pack* good and those without a place on drives of their own.
[[nodiscard]] int drive_losses_survived(const pack_record& pack);

/// How many shards were ever stored or removed for a vault on each drive.
using drive_marks = std::map<drive_id, uint64_t>;

/// A shard where it was looked at.
struct seen_shard {
  pack_id pack;
  uint8_t index = 0;
  drive_id drive;
};

/// Where a chunk is.
struct chunk_location {
  pack_id pack;
  chunk_entry entry;
};

/// A node as one sees it in its folder.
struct node_view {
  node_id node;
  node_id parent;
  std::string name; ///< As shown: with "~id" when two nodes claim the name.
  node_kind kind = node_kind::file;
  uint64_t size = 0; ///< Of the current version.
  uint32_t mode = 0;
  int64_t modified_ns = 0;
  std::string symlink_target;
  std::optional<version_id> version; ///< The current one; none for a bare folder.
  uint32_t version_count = 0;
  uint64_t extent_count = 0;
  uint64_t child_count = 0; ///< Of a folder.
  int64_t moved_ns = 0;     ///< Wall time of the move that put it where it is.
};

/// What the file was like on its file system that a version holds.
struct source_mark {
  version_id version;
  uint64_t size = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0; ///< See `file_status`.
  uint64_t device = 0;
  uint64_t inode = 0;
  friend bool operator==(const source_mark&, const source_mark&) = default;
};

struct version_view {
  version_id version;
  int64_t stored_ns = 0; ///< Wall time of its operation.
  uint64_t size = 0;
  uint32_t mode = 0;
  int64_t modified_ns = 0;
  uint64_t extent_count = 0;
  bool current = false;
};

/// What is known of the operation log of a device.
struct device_view {
  device_id device;
  uint64_t last_sequence = 0; ///< The highest that is known.
  uint64_t missing = 0;       ///< Operations below it that are not known.
  uint64_t broken_at = 0;     ///< The lowest whose hash link does not fit; 0 when all fit.
};

/// What the catalog remembers of a checkpoint.
struct checkpoint_note {
  uint64_t number = 0; ///< Its name, see checkpoint.hpp.
  int64_t created_ns = 0;
  uint64_t operations = 0; ///< That it covers.
  friend bool operator==(const checkpoint_note&, const checkpoint_note&) = default;
};

/// Nodes in the trash count until they are purged, condemned packs until they are
/// forgotten.
struct catalog_totals {
  uint64_t files = 0;
  uint64_t folders = 0;
  uint64_t symlinks = 0;
  uint64_t versions = 0;
  uint64_t logical_bytes = 0;      ///< Sizes of all current versions.
  uint64_t chunks = 0;             ///< Distinct, stored.
  uint64_t chunk_plain_bytes = 0;  ///< Of distinct chunks, before compression.
  uint64_t chunk_sealed_bytes = 0; ///< Of distinct chunks, as sealed.
  uint64_t packs = 0;
  uint64_t pack_bytes = 0;  ///< Before parity, with padding.
  uint64_t shard_bytes = 0; ///< With parity.
  uint64_t operations = 0;
};

/// What becomes visible and durable in one step.
struct catalog_commit {
  struct new_pack {
    pack_record record;
    pack_table table;
  };
  std::vector<new_pack> packs;
  std::vector<operation> operations; ///< Applied in this order; may repeat known ones.
  /// True when the operations lie in one of the packs (or in earlier ones); false
  /// keeps them for the next pack, see `pending_operations`.
  bool operations_in_pack = true;
  /// New placement of packs that are known (repair, drain); others are passed over.
  std::vector<pack_record> placed;
  /// Packs whose shards are deleted: their rows and chunk rows go.
  std::vector<pack_id> forgotten;
  /// Encoded parts of a checkpoint, all of them in order from commit to commit, into a
  /// catalog that has no operation yet; see checkpoint.hpp. `conflict` when it has some.
  std::vector<std::string> imported;
  /// A checkpoint of this catalog that is whole in packs.
  std::optional<checkpoint_note> checkpoint;
  /// One of the packs has parts of a checkpoint, or the catalog was compared with all of them:
  /// what `catalog::is_behind` answers from now on.
  std::optional<bool> behind;
};

/// An operation with the bytes that its hash covers.
struct stamped_operation {
  operation op;
  std::string encoded;
  digest hash;
};

class catalog {
public:
  /// Opens the catalog of *vault* in *store* for writing, and for reading alone where the store
  /// takes no writes. `store_corrupt` when it can not be read; `datamesh rebuild` makes it again.
  /// It goes on with the log that it wrote last. Where somebody may have gone on with that
  /// already, it writes the log of *fresh*: a name that chance has given just now. So it is
  /// after a crash, where *place*, which names the store on its disk and not a copy of it, is
  /// another than before (`was_interrupted`), and where `compare_drives` says so.
  [[nodiscard]] static result<std::unique_ptr<catalog>> open(std::unique_ptr<lasting_store> store, const vault_id& vault,
                                                             const device_id& fresh, std::string_view place = {});
  ~catalog();

  // -- writing -----------------------------------------------------------------

  /// Where writes are refused since the disk was full or read-only, opens the store anew, to
  /// learn whether it still is and what is there: then `was_interrupted`, as after a crash.
  /// The refusal when it stays, or when something is stamped; `unavailable` while somebody
  /// holds a view.
  [[nodiscard]] result<void> make_writable();

  /// Notes durably that somebody writes: from here on to `close` a crash is told by
  /// `was_interrupted`. Every commit does so; called before something that no commit
  /// tells of lands on a drive.
  [[nodiscard]] result<void> begin_writing();

  /// Gives bodies their stamp, sequence and hash link, in order. What is stamped
  /// must be committed, in this order, or the process must end.
  [[nodiscard]] std::vector<operation> stamp(const std::vector<operation_body>& bodies, int64_t wall_ns);

  /// The same for one body that `encode_body` has encoded as *encoded*.
  const stamped_operation& stamp_encoded(operation_body body, std::string_view encoded, int64_t wall_ns);

  /// What was stamped and is not committed, in order.
  [[nodiscard]] std::span<const stamped_operation> stamped() const noexcept;

  /// Takes back every stamp that was given since the last commit: the pack that
  /// was to carry those operations failed. Nothing else may have been stamped.
  void unstamp();

  /// One atomic batch. After an error the catalog refuses every further write; but see
  /// `make_writable`.
  /// Operations may come in any order; least work is one device's in the order of
  /// their sequence. A late move of a folder undoes and redoes later moves.
  [[nodiscard]] result<void> commit(const catalog_commit& what, durability level = durability::synced);

  /// Keeps what the source of a node is like, for `find_unchanged`: one mark a node, the
  /// last. May be lost in a crash, which costs time alone; a mark of a version that never
  /// comes does no harm.
  [[nodiscard]] result<void> remember_sources(const std::vector<std::pair<node_id, source_mark>>& marks);

  /// Notes durably which packs a verify found to have fewer than k good shards, and which
  /// have enough again. `find_chunk` finds nothing in a lost one, so that its chunks are
  /// stored anew when they come by. No part of the fold, and gone after a rebuild.
  [[nodiscard]] result<void> mark_packs(const std::vector<pack_id>& lost, const std::vector<pack_id>& whole);

  /// Notes which shards were found missing or damaged, and which of these are good after
  /// all. Those that lie elsewhere by now and those of packs that are condemned or gone are
  /// passed over; so are all where the store takes no writes. A pack with fewer than k others is
  /// lost, until `mark_packs` says otherwise. May be forgotten in a crash: who reads finds them again. No part of the fold; a new place of
  /// a shard ends it.
  [[nodiscard]] result<void> mark_shards(const std::vector<seen_shard>& faulty, const std::vector<seen_shard>& good);

  /// Operations that are durable here but in no pack yet, oldest first.
  [[nodiscard]] result<std::vector<operation>> pending_operations(size_t limit) const;

  /// Brings the store into the state in which it opens fastest, marks it clean, and
  /// closes it, whatever the outcome: who reads later is answered `unavailable`.
  [[nodiscard]] result<void> close();

  /// `close` asks *now* for the marks of the drives that are there, and keeps those of drives that
  /// `compare_drives`, `reconciled` or `trust` named.
  void follow_drives(std::function<drive_marks()> now);

  /// Where the marks are not those of the last `close`, this catalog or a drive is a copy from
  /// earlier days, and something was stored without it: `was_interrupted`. Where one of *expected*
  /// has none, that may be so. @pre nothing was stamped
  void compare_drives(const std::vector<drive_id>& expected = {});

  /// By `compare_drives` it is a copy from earlier days, or one that a crash made and that lies
  /// elsewhere now, or by `doubt` a drive came with more than it left with: something may be
  /// stored that is unknown here, on drives, too, that are. From any thread.
  [[nodiscard]] bool may_be_older() const noexcept;

  /// There is nothing on *drives* that is unknown here. From any thread.
  void trust(const std::vector<drive_id>& drives);

  /// True when the last process that wrote did not `close`, or `follow_drives` found so: packs may be on drives
  /// that are unknown here, and the caller reconciles. Until it said so, `close` does not
  /// mark the store clean. Both from any thread.
  [[nodiscard]] bool was_interrupted() const noexcept;

  /// *drive* came, and may hold packs which are unknown here: `was_interrupted` until the
  /// caller has looked. From any thread.
  void doubt(const drive_id& drive);
  [[nodiscard]] uint64_t doubts() const noexcept;

  /// Packs of *seen* were compared with what is known here. Doubts that came since there were
  /// *doubts* stay. From any thread.
  void reconciled(uint64_t doubts, const std::vector<drive_id>& seen);

  // -- names -----------------------------------------------------------------------

  /// The node at *path* ("/a/b", leading slash optional, "" and "/" are the root).
  [[nodiscard]] result<node_view> resolve(std::string_view path) const;

  [[nodiscard]] result<node_view> node(const node_id& id) const;

  /// Every node that is shown, in order of id; for cleanup.
  [[nodiscard]] result<void> visit_nodes(const std::function<bool(const node_view&)>& visit) const;

  /// The child of that shown name, or nothing.
  [[nodiscard]] result<std::optional<node_view>> child(const node_id& parent, std::string_view name) const;

  /// Children in bytewise order of shown name, behind *after*, about *limit* at most:
  /// nodes that are shown under one name always come together.
  [[nodiscard]] result<std::vector<node_view>> list(const node_id& parent, std::string_view after, size_t limit) const;

  /// The path of a node that is not in the trash; `not_found` for one that is.
  [[nodiscard]] result<std::string> path_of(const node_id& id) const;

  // -- versions, extents, tags --------------------------------------------------------

  /// Newest first.
  [[nodiscard]] result<std::vector<version_view>> versions(const node_id& id) const;

  /// Extents from *ordinal* on, at most *limit*; none behind the last. `not_found` for
  /// a version that is unknown, dropped or purged, or whose extents are still to come.
  [[nodiscard]] result<std::vector<extent>> extents(const version_id& version, uint64_t ordinal, size_t limit) const;

  /// The current version of the child of that shown name, if a mark says that it holds
  /// a file that was exactly like *seen* (whose version is of no account), and each of
  /// its chunks has a place by `find_chunk`.
  [[nodiscard]] result<std::optional<version_id>> find_unchanged(const node_id& parent, std::string_view name, source_mark seen) const;

  /// Sorted by key.
  [[nodiscard]] result<std::vector<std::pair<std::string, std::string>>> tags(const node_id& id) const;

  // -- where the bytes are ----------------------------------------------------------------

  /// The place of a chunk in a pack that is neither condemned nor lost nor gone, else nothing.
  [[nodiscard]] result<std::optional<chunk_location>> find_chunk(const chunk_id& id) const;

  /// For reading: like `find_chunk`, but a place in a condemned or lost pack is good enough.
  [[nodiscard]] result<std::optional<chunk_location>> locate_chunk(const chunk_id& id) const;

  [[nodiscard]] result<std::optional<pack_record>> find_pack(const pack_id& id) const;

  /// Whether a cleanup condemned that pack, known or not: nothing of it is wanted any more.
  [[nodiscard]] result<bool> was_condemned(const pack_id& id) const;

  /// Packs in order of id behind *after*.
  [[nodiscard]] result<std::vector<pack_record>> packs(const std::optional<pack_id>& after, size_t limit) const;

  /// The chunks and operation batches of a pack.
  [[nodiscard]] result<pack_table> table_of(const pack_id& id) const;

  /// Every extent of every version that lives, as (node, version, chunk), until *visit*
  /// answers false; a chunk that a version names twice comes twice. One pass over all
  /// extents; for damage reports and cleanup.
  [[nodiscard]] result<void> visit_references(const std::function<bool(const node_id&, const version_id&, const chunk_id&)>& visit) const;

  // -- the whole -----------------------------------------------------------------------------

  [[nodiscard]] result<catalog_totals> totals() const;

  /// What is known of each device's log, in order of device.
  [[nodiscard]] result<std::vector<device_view>> devices() const;

  /// Whose log it writes.
  [[nodiscard]] const device_id& own_device() const noexcept;

  /// There is a checkpoint in the packs that covers operations which are not known here, and which
  /// may be nowhere else: only a rebuild brings them in. From any thread.
  [[nodiscard]] bool is_behind() const noexcept;

  /// All rows as they are now, frozen; for a checkpoint.
  [[nodiscard]] std::unique_ptr<ordered_view> freeze() const;

  /// The last checkpoint that was written, or that this catalog was made from.
  [[nodiscard]] result<std::optional<checkpoint_note>> last_checkpoint() const;

  /// A digest of the whole view (names, versions, tags), equal for equal folds.
  [[nodiscard]] result<digest> fingerprint() const;

  /// Checks every checksum of the store and that the rows agree with each other.
  [[nodiscard]] result<void> check() const;

  [[nodiscard]] uint64_t disk_bytes() const;

private:
  catalog();
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::storage
