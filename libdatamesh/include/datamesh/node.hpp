// The store as a C++ program sees it. A `node` owns drives and vaults below one
// home folder; a `vault` is an opened vault of it. Every call answers a
// `result<T>`; the forms that take a *done* callback return at once and call it
// exactly once, on the executor of the node's options. The others return after
// `on_event` was called with the events of their job, but from `on_event` itself.
//
//   auto n = datamesh::node::open({.home = "/var/lib/datamesh"});
//   auto v = (*n)->open_vault("main", datamesh::credential::password("..."));
//   auto stored = v->put({.sources = {{"/home/ann/photos", "/photos"}}});
//   auto fetched = v->get({.paths = {"/photos"}, .target_folder = "/tmp/back"});
//
// Thread rule: all members of `node` and `vault` from any thread. A node outlives
// its vaults; destroying it drains: running jobs are cancelled and waited for.
#pragma once

#include "datamesh/audit_report.hpp"
#include "datamesh/base/result.hpp"
#include "datamesh/event.hpp"
#include "datamesh/mesh.hpp"
#include "datamesh/options.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace datamesh {

class node_door;

// -- how a job is steered ------------------------------------------------------

/// Cancels jobs; copies share one flag. Cancelling is asynchronous: the job ends
/// with `errc::cancelled`, and what it had acknowledged stays.
class cancel_token {
public:
  cancel_token() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void cancel() noexcept {
    flag_->store(true);
  }
  [[nodiscard]] bool cancelled() const noexcept {
    return flag_->load();
  }

private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

struct job_options {
  cancel_token cancel{};
  std::optional<std::chrono::milliseconds> timeout{}; ///< Ends with `errc::timed_out`.
  /// Number that the events of this job carry; 0 lets the node choose one.
  uint64_t job = 0;
};

/// Answers of the callback forms arrive here.
template <class T>
using completion = std::function<void(result<T>)>;

// -- keys ------------------------------------------------------------------------

/// What opens a vault. Wiped when it goes; never logged.
class DATAMESH_EXPORT credential {
public:
  static credential password(std::string_view text);
  static credential recovery_phrase(std::string_view text);
  /// The device secret in the node's home, when the vault trusts this device.
  static credential this_device();

  enum class kind : uint8_t { password, recovery_phrase, device };
  [[nodiscard]] kind type() const noexcept {
    return kind_;
  }
  [[nodiscard]] byte_view secret() const noexcept {
    return secret_;
  }
  credential(credential&&) noexcept = default;
  credential& operator=(credential&&) noexcept = default;
  credential(const credential&) = default;
  credential& operator=(const credential&) = default;
  ~credential();

private:
  credential(kind k, std::string_view text);
  kind kind_;
  std::vector<std::byte> secret_;
};

struct key_lock {
  uint32_t number = 0;
  std::string kind; ///< "password", "recovery-phrase", "device"
  std::string label;
  int64_t created_ns = 0;
};

// -- data in and out -----------------------------------------------------------------

/// Supplies the bytes of one file, in order. Called on one thread of the node.
class DATAMESH_EXPORT source {
public:
  virtual ~source() = default;
  /// Up to `out.size()` bytes; 0 at the end.
  [[nodiscard]] virtual result<size_t> read(byte_span out) = 0;
};

/// Takes the bytes of one file or range, in order. Called on one thread of the node.
class DATAMESH_EXPORT sink {
public:
  virtual ~sink() = default;
  [[nodiscard]] virtual result<void> write(byte_view data) = 0;
  /// *length* zero bytes that need not be stored. Writes zeros unless overridden.
  [[nodiscard]] virtual result<void> write_hole(uint64_t length);
};

enum class if_exists : uint8_t {
  version, ///< The file becomes a new version of the one that is there.
  fail,    ///< `errc::already_exists`.
  rename,  ///< Stored as "name (2).ext", the first number that is free.
};

struct put_request {
  struct item {
    std::string source_path{}; ///< A file, folder or symlink of the node's file system.
    std::string target_path{}; ///< Where it goes in the vault, its own name included.
  };
  std::vector<item> sources{};
  if_exists conflict = if_exists::version;
  std::string policy{};               ///< "4+2"; empty = by the drives there are.
  std::vector<std::string> exclude{}; ///< Globs over paths relative to their source.
  bool dry_run = false;               ///< Reads and chunks, but stores nothing.
  /// Reads every file. Else one whose size, inode and times are as an earlier put of it
  /// found them is taken for unchanged and not read.
  bool compare_contents = false;
  std::shared_ptr<file_system> files{}; ///< Where the sources are; the node's when empty.
};

struct put_stream_request {
  std::shared_ptr<source> from{};
  std::string target_path{};
  if_exists conflict = if_exists::version;
  std::string policy{};
  uint32_t mode = 0644;
  std::optional<int64_t> modified_ns{}; ///< Now when empty.
};

/// One failed item of a job over several.
struct item_failure {
  std::string path;
  error reason;
};

/// What the bytes of a put or a get pass.
enum class transfer_stage : uint8_t {
  none = 0,
  memory = 1,  ///< The transfer's share of the node's memory, before it begins.
  source = 2,  ///< Put: files or a stream are read and cut into chunks.
  codec = 3,   ///< Processors: compress, seal and code; open and rebuild.
  drives = 4,  ///< Shards are written and made durable; shards are read.
  catalog = 5, ///< Names and places are looked up, stamped and committed.
  target = 6,  ///< Get: what comes back is written where it was asked for.
};

/// "none", "memory", "source", ...
[[nodiscard]] constexpr std::string_view to_string(transfer_stage stage) noexcept {
  constexpr std::string_view names[] = {"none", "memory", "source", "codec", "drives", "catalog", "target"};
  return names[static_cast<size_t>(stage)];
}

/// For what a put or a get stood still, measured by the clock of the environment. At any
/// moment it waits for one stage or for none. It waits for a stage while that works for
/// it and what comes before can not go on: before a put reads further, there must be room
/// in the stages behind (blamed is the one that makes the room), and once all is read,
/// what is hindmost must come through (blamed is the stage that it is in). While two
/// stages next to each other work side by side, it waits for none. So the figures are
/// disjoint, and their sum is at most `elapsed_ns`.
struct transfer_waits {
  uint64_t elapsed_ns = 0; ///< From the call until all was durable, or written.
  uint64_t memory_ns = 0;
  uint64_t source_ns = 0;
  uint64_t codec_ns = 0;
  uint64_t drives_ns = 0;
  uint64_t catalog_ns = 0;
  uint64_t target_ns = 0;
  /// Folder of the drive that holds the others up: of `drives_ns`, the transfer waited
  /// for it alone, all others had answered, for at least half. Else empty.
  std::string drive;

  [[nodiscard]] uint64_t of(transfer_stage stage) const noexcept {
    switch (stage) {
    case transfer_stage::none:
      return 0;
    case transfer_stage::memory:
      return memory_ns;
    case transfer_stage::source:
      return source_ns;
    case transfer_stage::codec:
      return codec_ns;
    case transfer_stage::drives:
      return drives_ns;
    case transfer_stage::catalog:
      return catalog_ns;
    case transfer_stage::target:
      return target_ns;
    }
    return 0;
  }

  /// The limiting stage: the one that was waited for longest, the first of them if
  /// several were; none when nothing was waited for.
  [[nodiscard]] transfer_stage limiting() const noexcept {
    auto longest = transfer_stage::none;
    for (auto number = uint8_t{1}; number <= static_cast<uint8_t>(transfer_stage::target); ++number)
      if (of(static_cast<transfer_stage>(number)) > of(longest))
        longest = static_cast<transfer_stage>(number);
    return longest;
  }

  /// The share of the elapsed time, 0 to 1, that the limiting stage was waited for.
  [[nodiscard]] double share() const noexcept {
    return elapsed_ns == 0 ? 0 : static_cast<double>(of(limiting())) / static_cast<double>(elapsed_ns);
  }
};

struct put_summary {
  uint64_t files = 0;
  uint64_t folders = 0;
  uint64_t symlinks = 0;
  uint64_t bytes = 0; ///< Plain bytes of all files, holes included.
  uint64_t hole_bytes = 0;
  uint64_t files_unread = 0; ///< Taken for unchanged, see `put_request::compare_contents`.
  uint64_t bytes_unread = 0; ///< Of those.
  uint64_t chunks = 0;       ///< Of what was read.
  uint64_t chunks_known = 0; ///< Referenced, not stored again.
  uint64_t bytes_known = 0;  ///< Plain bytes of those.
  uint64_t bytes_new_plain = 0;
  uint64_t bytes_new_sealed = 0; ///< After compression, with seals.
  uint64_t bytes_written = 0;    ///< On drives, with parity and padding.
  uint64_t packs = 0;
  uint32_t shards_short = 0;          ///< Most shards that any pack lacks; 0 = "full".
  std::vector<std::string> stored_as; ///< Target paths as stored (renames applied), at most 1,000.
  std::vector<item_failure> failures; ///< At most 1,000 are kept; see `failure_count`.
  uint64_t failure_count = 0;
  transfer_waits waits;
};

struct get_request {
  std::vector<std::string> paths{}; ///< Files or folders of the vault.
  std::string target_folder{};      ///< Must exist.
  /// Name for a single path; empty = its own.
  std::string target_name{};
  bool overwrite = false;               ///< Else `already_exists` before a byte is written.
  std::optional<version_id> version{};  ///< Of a single file.
  std::shared_ptr<file_system> files{}; ///< Where the target is; the node's when empty.
};

struct byte_range {
  uint64_t first = 0;
  std::optional<uint64_t> length{}; ///< To the end when empty.
};

struct get_summary {
  uint64_t files = 0;
  uint64_t folders = 0;
  uint64_t symlinks = 0;
  uint64_t bytes = 0;         ///< That were written, holes and those of files that failed half-way included.
  uint64_t bytes_resumed = 0; ///< Found in partial files of an earlier get, checked, and kept.
  uint64_t shards_bad = 0;    ///< Missing or wrong shards that were read around.
  uint64_t reads_hedged = 0;  ///< That a drive did not answer in time, so that others were asked.
  std::vector<item_failure> failures;
  uint64_t failure_count = 0;
  transfer_waits waits;
};

// -- what is there -----------------------------------------------------------------------

enum class entry_kind : uint8_t { file = 1, folder = 2, symlink = 3 };

struct entry {
  std::string path; ///< In the vault, with a leading slash.
  std::string name;
  entry_kind kind = entry_kind::file;
  uint64_t size = 0;
  uint32_t mode = 0;
  int64_t modified_ns = 0;
  std::string symlink_target;
  uint32_t version_count = 0;
  node_id node;                                          ///< Stays when it is renamed; what `restore_from_trash` takes.
  std::vector<std::pair<std::string, std::string>> tags; ///< Only from `info`.
  /// Fewest drives whose loss would make it unreadable, less one: so many may still fail. Only from `info`
  /// and from `list` with health. Negative: data is lost.
  std::optional<int> margin;
};

struct list_request {
  std::string path = "/";
  bool recursive = false;
  bool health = false;
  std::string cursor{}; ///< From the page before; empty = start.
  size_t limit = 1000;  ///< At most 10,000.
};

struct list_page {
  std::vector<entry> entries; ///< In bytewise order of path.
  std::string next_cursor;    ///< Empty at the end.
};

struct version_entry {
  version_id id;
  int64_t stored_ns = 0;
  int64_t modified_ns = 0;
  uint64_t size = 0;
  bool current = false;
};

struct change_result {
  /// True when the change is in packs on the drives; false: durable in the local
  /// catalog, in the packs at the next flush.
  bool in_packs = false;
  /// Where what was moved or copied is now; empty otherwise.
  std::string path{};
};

struct vault_stats {
  uint64_t files = 0, folders = 0, symlinks = 0, versions = 0;
  uint64_t logical_bytes = 0;
  uint64_t chunks = 0, chunk_plain_bytes = 0, chunk_sealed_bytes = 0;
  uint64_t packs = 0, pack_bytes = 0, shard_bytes = 0;
  uint64_t operations = 0;
  uint64_t catalog_bytes = 0;
  int64_t last_checkpoint_ns = 0;           ///< When the catalog was last put into packs whole; 0: never.
  uint64_t operations_since_checkpoint = 0; ///< That a rebuild of the catalog would repeat.
};

/// Where a drive is and who runs it, as the operator of this node says; what nobody said is empty.
/// The shards of a pack are kept apart by it (docs/mesh.md). Each has 1 to 64 letters, digits, '.',
/// '_' or '-', and begins with none of these three.
struct drive_labels {
  std::string region;
  std::string zone;        ///< Within its region: what may go at once, as a house.
  std::string operated_by; ///< `operator` on the command line.
  friend bool operator==(const drive_labels&, const drive_labels&) = default;
};

/// What is none stays as it is; an empty one takes the label away.
struct drive_label_change {
  std::optional<std::string> region{};
  std::optional<std::string> zone{};
  std::optional<std::string> operated_by{};
};

/// What a label tells.
enum class label_kind : uint8_t { region = 0, zone = 1, operated_by = 2 };

/// "region", "zone", "operator"
[[nodiscard]] constexpr std::string_view to_string(label_kind kind) noexcept {
  constexpr std::string_view names[] = {"region", "zone", "operator"};
  return names[static_cast<size_t>(kind)];
}

/// One label that a drive may have; of a zone the name alone, whatever its region.
struct drive_label {
  label_kind kind = label_kind::region;
  std::string value; ///< As in `drive_labels`, not empty.
  friend bool operator==(const drive_label&, const drive_label&) = default;
};

/// Where the data of this node's vaults may lie, by what is said of its drives. A drive is within the rule when it has
/// none of the labels *never*, and of each kind that is in *only* one of those there. A drive without a label of a
/// kind is nowhere in that respect: *only* leaves it out, and *never* does not.
struct placement_rule {
  std::vector<drive_label> only{};
  std::vector<drive_label> never{};
  /// No rule: all drives are within it.
  [[nodiscard]] bool empty() const noexcept {
    return only.empty() && never.empty();
  }
  friend bool operator==(const placement_rule&, const placement_rule&) = default;
};

/// Labels in a rule, at most.
inline constexpr size_t rule_labels_max = 64;

/// Whether a drive with *labels* is within the rule.
[[nodiscard]] DATAMESH_EXPORT bool allows(const placement_rule& rule, const drive_labels& labels);

/// `name_invalid` for a label that can not be, `invalid_argument` for too many, and for one that stands there twice.
[[nodiscard]] DATAMESH_EXPORT result<void> check_rule(const placement_rule& rule);

struct drive_report {
  drive_id id;
  std::string folder;
  std::string state; ///< "ok", "read-only", "draining", "failed", "missing"
  uint64_t shards = 0;
  uint64_t shard_bytes = 0;
  uint64_t disk_total = 0;
  uint64_t disk_free = 0;
  std::optional<error> reason; ///< Why it is not ok.
  drive_labels labels;
  std::optional<audit_report> audits{}; ///< Of a node.
  bool outside_rule = false;            ///< By its labels it gets no data, see `placement_rule`.
  uint64_t held = 0;                    ///< Bytes of the disk for owners on other nodes; not in `disk_free`.
};

/// How packs are. A shard counts where its drive is in service and has not failed, and nobody found
/// the shard missing or damaged.
struct pack_standing {
  uint64_t full = 0;       ///< All k+m count.
  uint64_t below_full = 0; ///< Fewer, but k or more.
  uint64_t at_margin = 0;  ///< Of these, exactly k: the loss of one more is that of data.
  uint64_t lost = 0;       ///< Fewer than k.
  friend bool operator==(const pack_standing&, const pack_standing&) = default;
};

/// What would be if drives were gone for good.
struct loss_report {
  std::vector<drive_report> drives; ///< Those drives.
  uint64_t packs = 0;
  pack_standing now;
  pack_standing then;
  uint64_t shards_gone = 0; ///< That count now.
  uint64_t bytes_gone = 0;
  /// Of packs that are not lost then, all that do not count: what `repair` would make anew, and what
  /// it reads for that, k shards a pack.
  uint64_t shards_to_repair = 0;
  uint64_t bytes_to_write = 0;
  uint64_t bytes_to_read = 0;
  uint64_t shards_unplaced = 0; ///< Of these, for which the drives that are left have no place.
};

struct distribution_request {
  std::vector<std::string> paths{}; ///< Files or folders with all below; empty: all there is, names and older versions, too.
  std::string tag_key{};            ///< Only files with that tag ...
  std::optional<std::string> tag{}; ///< ... and that value.
};

/// What lies in one part of the store.
struct domain_share {
  enum class level : uint8_t { zone = 0, operated_by = 1, node = 2, drive = 3 };
  level of = level::drive;
  std::string name;     ///< "REGION/ZONE", "ZONE", an operator, "this node", "node:" and its id, or a drive's folder.
  bool labelled = true; ///< False for what has no label of that level, and stands under the name that it has below.
  uint64_t packs = 0;   ///< That have a shard there.
  uint64_t shards = 0;
  uint64_t shards_bad = 0;   ///< Of these, that do not count, see `pack_standing`.
  uint64_t bytes = 0;        ///< Of all shards there.
  uint64_t packs_needed = 0; ///< That could not be read without it.
};

struct distribution_report {
  uint64_t files = 0;
  uint64_t packs = 0;
  pack_standing standing;
  uint64_t shards = 0; ///< That there should be.
  uint64_t shards_bad = 0;
  std::optional<int> margin;   ///< Fewest shards that any pack can lose; negative where data is lost, empty without packs.
  uint64_t shards_outside = 0; ///< That lie outside of the rule, see `placement_rule`.
  /// Fewest zones, operators, nodes and drives whose loss would be that of data, less one; in the order of `domain_share::level`.
  std::vector<int> margins;
  std::vector<domain_share> shares; ///< By level, then name.
};

/// What the mesh keeps of a vault, so that a recovery phrase and the nodes alone bring it back
/// (docs/formats/recovery.md).
struct recovery_report {
  enum class state : uint8_t {
    not_needed = 0, ///< Nothing of this node lies on others.
    no_mesh = 1,    ///< This node is a member of none.
    no_phrase = 2,  ///< There is none, or it is from before such records were made: opening the vault with it mends that.
    waiting = 3,    ///< Not sent yet, or no other node took it.
    kept = 4,
    too_large = 5, ///< The keys leave no room for nodes.
  };
  state now = state::not_needed;
  uint64_t copies = 0;             ///< Other nodes that took it when it was sent last; of several phrases' records the fewest.
  uint64_t nodes = 0;              ///< That it names.
  uint64_t nodes_left_out = 0;     ///< For which there was no room.
  std::optional<int64_t> until_ns; ///< Nobody keeps it for longer, unless it is sent anew; nanoseconds since the epoch.
};

/// "not-needed", "no-mesh", ...
[[nodiscard]] constexpr std::string_view to_string(recovery_report::state state) noexcept {
  constexpr std::string_view names[] = {"not-needed", "no-mesh", "no-phrase", "waiting", "kept", "too-large"};
  return names[static_cast<size_t>(state)];
}

/// "Is my data safe?"
struct status_report {
  enum class answer : uint8_t { safe, degraded, lost, unknown };
  answer overall = answer::unknown;
  std::string sentence;     ///< For people.
  std::string policy;       ///< "4+2" that new data gets.
  std::string policy_level; ///< "drive", or "block": bit rot only.
  uint64_t packs = 0;
  uint64_t packs_degraded = 0;
  uint64_t packs_lost = 0;
  uint64_t packs_weaker = 0;   ///< Survive the loss of fewer drives than new data; `cleanup` with a policy writes them anew.
  int margin_min = 0;          ///< Fewest spare shards of any pack.
  uint64_t shards_outside = 0; ///< That lie outside of the rule, see `placement_rule`; `rebalance` moves them.
  std::vector<drive_report> drives;
  std::optional<int64_t> last_quick_verify_ns;
  std::optional<int64_t> last_deep_verify_ns;
  recovery_report recovery;
};

struct verify_request {
  bool deep = false;                ///< Reads and checks every block; else presence and roots.
  bool repair = false;              ///< Rebuilds what is found missing or wrong.
  std::vector<std::string> paths{}; ///< Only packs that these need; empty = all.
  bool dry_run = false;
  /// Reads only what nobody else keeps the drives from (idle I/O), one shard a drive
  /// at a time: for looks that nobody waits for. Then the catalog goes into packs, when
  /// that is due (docs/formats/checkpoint.md).
  bool background = false;
  /// For a look in parts: only packs behind this one, and at most so many (0 = all).
  std::optional<pack_id> after{};
  uint64_t packs_max = 0;
};

struct verify_summary {
  uint64_t packs = 0;
  uint64_t shards = 0;
  uint64_t bytes = 0;
  uint64_t shards_missing = 0;
  uint64_t shards_damaged = 0;
  uint64_t shards_repaired = 0;
  uint64_t shards_unplaced = 0; ///< Could be rebuilt, but no drive takes them.
  uint64_t packs_lost = 0;
  std::vector<std::string> files_lost; ///< Exactly the files that can not be read whole.
  /// Packs on the drives that the catalog could not take in when that was last tried: too few of
  /// their shards are in service, or the key file is older than they are.
  uint64_t packs_unread = 0;
  /// The last pack that was looked at, when there are more behind it.
  std::optional<pack_id> next_after;
};

struct cleanup_request {
  bool dry_run = false;
  std::optional<std::chrono::seconds> trash_age{}; ///< 30 days when empty.
  uint32_t keep_versions = 0;                      ///< Of each file, the current one among them; 0 = all.
  /// "4+2": packs that survive the loss of fewer drives are written anew with it. Empty: none is for
  /// that alone, and what is copied anyway is protected no less than before.
  std::string policy{};
  /// Also where packs on the drives could not be read, see `vault::cleanup`: what they need may go.
  bool give_up_unread = false;
};

struct cleanup_summary {
  uint64_t nodes_forgotten = 0;
  uint64_t versions_forgotten = 0;
  uint64_t packs_deleted = 0;
  uint64_t packs_copied = 0;
  uint64_t bytes_copied = 0;
  uint64_t bytes_freed = 0;
  uint64_t shards_waiting = 0; ///< Are to go, but their drives are away or refuse; the next cleanup removes them.
};

struct rebalance_summary {
  uint64_t shards_moved = 0;
  uint64_t bytes_moved = 0;
  uint64_t shards_left = 0; ///< Could not be moved: no drive takes them.
};

struct rebuild_summary {
  uint64_t packs = 0;
  uint64_t packs_unreadable = 0;
  uint64_t packs_newer = 0; ///< Of these, sealed under a key that the key file has not.
  uint64_t operations = 0;
  uint64_t files = 0;
  /// That a damaged checkpoint of the catalog once covered, and nothing else holds that
  /// could be read. Drives that are away may have them: a rebuild with those tells.
  uint64_t operations_missing = 0;
  /// Drives that are not in service, where there are so many that whole packs may lie on them
  /// alone. What these hold comes in when they are back.
  uint64_t drives_unseen = 0;
  /// Beside those above: packs of which all drives together have too few shards. A put that was cut off
  /// left them, or the rest is on drives that are none of this node's.
  uint64_t packs_incomplete = 0;
};

struct recover_summary {
  vault_id id;
  rebuild_summary rebuilt;
  int64_t made_ns = 0;                 ///< When the record was signed, by the clock of who signed it.
  std::vector<std::string> nodes;      ///< What the drives are called that came with it, "node:" and an id each.
  std::vector<std::string> nodes_away; ///< That did not answer, and are no drives: `add_drive` when they are back.
  uint64_t nodes_left_out = 0;         ///< That kept shards of it, too, and had no room in the record.
};

// -- an opened vault ------------------------------------------------------------------------

class DATAMESH_EXPORT vault {
public:
  vault(vault&&) noexcept;
  vault& operator=(vault&&) noexcept;
  ~vault();

  [[nodiscard]] const std::string& name() const noexcept;
  [[nodiscard]] const vault_id& id() const noexcept;

  // Data. Answered when it is durable; `too_few_drives` and `rule_leaves_too_few` store nothing.
  [[nodiscard]] result<put_summary> put(const put_request& what, const job_options& job = {});
  void put(put_request what, completion<put_summary> done, job_options job = {});
  [[nodiscard]] result<put_summary> put(const put_stream_request& what, const job_options& job = {});
  void put(put_stream_request what, completion<put_summary> done, job_options job = {});
  [[nodiscard]] result<get_summary> get(const get_request& what, const job_options& job = {});
  void get(get_request what, completion<get_summary> done, job_options job = {});
  /// Streams a file, or a range of it, into *to*.
  [[nodiscard]] result<get_summary> get(const std::string& path, std::shared_ptr<sink> to, byte_range range = {},
                                        std::optional<version_id> version = {}, const job_options& job = {});
  void get(std::string path, std::shared_ptr<sink> to, byte_range range, std::optional<version_id> version, completion<get_summary> done,
           job_options job = {});

  // Names. Durable when they answer.
  [[nodiscard]] result<list_page> list(const list_request& what) const;
  [[nodiscard]] result<entry> info(const std::string& path) const;
  [[nodiscard]] result<std::vector<version_entry>> versions(const std::string& path) const;
  /// Into the trash; a folder with entries needs *recursive*.
  [[nodiscard]] result<change_result> remove(const std::string& path, bool recursive = false);
  [[nodiscard]] result<change_result> move(const std::string& from, const std::string& to, if_exists conflict = if_exists::fail);
  /// A second file over the same chunks; folders with all they hold.
  [[nodiscard]] result<change_result> copy(const std::string& from, const std::string& to, if_exists conflict = if_exists::fail);
  [[nodiscard]] result<change_result> make_folder(const std::string& path);
  [[nodiscard]] result<change_result> set_tag(const std::string& path, const std::string& key, std::optional<std::string> value);
  /// Makes an older version the current one.
  [[nodiscard]] result<change_result> revert(const std::string& path, const version_id& version);
  /// Paths of the trash with the time they went there, newest first.
  [[nodiscard]] result<std::vector<std::pair<entry, int64_t>>> trash() const;
  [[nodiscard]] result<change_result> restore_from_trash(const node_id& node, const std::string& target_path);
  /// Puts changes that are only in the catalog into packs.
  [[nodiscard]] result<void> flush();

  // Care.
  [[nodiscard]] result<vault_stats> stats() const;
  [[nodiscard]] result<status_report> status() const;
  [[nodiscard]] result<verify_summary> verify(const verify_request& what, const job_options& job = {});
  /// `conflict` where packs on the drives could not be read, or drives were away when the catalog was made
  /// (`status` tells): nobody knows what these need. A dry run is refused, too.
  [[nodiscard]] result<cleanup_summary> cleanup(const cleanup_request& what, const job_options& job = {});
  /// Moves shards off draining drives and such that the rule leaves out, onto emptier ones, and apart where drives were
  /// labelled since.
  [[nodiscard]] result<rebalance_summary> rebalance(bool dry_run = false, const job_options& job = {});
  /// What would be without *drives*, by where the shards are; nothing is done. `not_found` for one that is none.
  [[nodiscard]] result<loss_report> foresee_loss(const std::vector<drive_id>& drives) const;
  /// Where the data of files is, or of all.
  [[nodiscard]] result<distribution_report> distribution(const distribution_request& what = {}) const;

  // Keys.
  [[nodiscard]] result<std::vector<key_lock>> key_locks() const;
  /// The key file as it is: sealed, some KiB, so it may be kept anywhere. With it, what opens
  /// the vault, and the drives, `node::restore_vault` brings all back where the home is lost.
  [[nodiscard]] result<bytes> key_file() const;
  [[nodiscard]] result<void> change_password(const credential& next);
  /// Adds a recovery phrase and answers it; it is shown once.
  [[nodiscard]] result<std::string> add_recovery_phrase();
  [[nodiscard]] result<void> trust_this_device();
  [[nodiscard]] result<void> remove_key_lock(uint32_t number);
  /// New data is sealed under a new epoch key; old epochs stay readable.
  [[nodiscard]] result<uint32_t> rotate_epoch();

private:
  friend class node;
  struct impl;
  explicit vault(std::unique_ptr<impl> i);
  std::unique_ptr<impl> impl_;
};

// -- the node --------------------------------------------------------------------------------

struct new_vault {
  std::string name = "main";
  std::optional<credential> password{}; ///< At least one of the two.
  bool trust_this_device = false;       ///< Opens without a password on this machine.
};

struct created_vault {
  vault_id id;
  std::string recovery_phrase; ///< Shown once, kept nowhere.
};

struct destroy_summary {
  uint64_t packs = 0;                   ///< That the vault had.
  uint64_t shards_removed = 0;          ///< From drives that are there.
  uint64_t bytes_freed = 0;             ///< Of those, with headers.
  std::vector<std::string> drives_left; ///< Folders of drives that are away or failed, and may keep shards of it.
};

struct vault_facts {
  std::string name;
  std::optional<vault_id> id; ///< Empty when the key file is damaged.
  std::vector<key_lock> locks;
};

class DATAMESH_EXPORT node {
public:
  /// Opens the node in `options.home` and all of its drives; a drive that is missing
  /// or failed is reported by `drives`, not an error. `no_vault` when there is no
  /// node in *home* (see `create`), `locked` when another process has it.
  [[nodiscard]] static result<std::unique_ptr<node>> open(node_options options);

  /// Makes an empty node in `options.home` and opens it; `vault_exists` when there is one.
  [[nodiscard]] static result<std::unique_ptr<node>> create(node_options options);

  /// The node that a daemon holds, over its control socket. Files of puts and gets are
  /// read and written here, with the rights of this process, by `environment.files`;
  /// of the other options only `on_event` and `executor` count. Calls go one after
  /// another: a source or a sink must not call its own node. `not_found` when no
  /// daemon listens there.
  [[nodiscard]] static result<std::unique_ptr<node>> connect(const std::string& socket, node_options options = {});

  ~node();

  // Drives.
  [[nodiscard]] result<drive_report> add_drive(const std::string& folder); ///< A drive here that is draining gets new data again.
  /// Takes a drive that was another node's, with the shards on it.
  [[nodiscard]] result<drive_report> adopt_drive(const std::string& folder);
  [[nodiscard]] std::vector<drive_report> drives() const;
  /// *drive* by id, its first hex digits, or folder. No new shards; `rebalance` empties it, though it refuse to note that (`read_only`).
  [[nodiscard]] result<void> drain_drive(const std::string& drive);
  /// Takes a drive out of the node. `conflict` while packs depend on it, or may do so in a vault that is not open, or while shards
  /// of other nodes' owners lie on it, unless *force*.
  [[nodiscard]] result<void> remove_drive(const std::string& drive, bool force = false);

  /// Durable when it answers. New data heeds it at once, what is there when it is rebalanced.
  /// `name_invalid` for a label that can not be.
  [[nodiscard]] result<drive_report> label_drive(const std::string& drive, const drive_label_change& change);

  /// Where data may lie from now on: what is stored, repaired and moved. Durable when it answers. What lies elsewhere is
  /// read, and moved by `rebalance`. Nodes that the rule leaves out are no longer told to make up for what others lose.
  /// `name_invalid` for a label that can not be, `invalid_argument` for more than `rule_labels_max`, or one twice.
  [[nodiscard]] result<void> set_rule(const placement_rule& rule);
  [[nodiscard]] result<placement_rule> rule() const;

  // The mesh that it is a member of, by `node_options::mesh`.
  /// Nothing where it is in none.
  [[nodiscard]] result<std::optional<mesh_report>> mesh() const;
  /// Other nodes of the mesh that this one knows or has a link with, in the order of ids;
  /// `unavailable` where it is in no mesh.
  [[nodiscard]] result<std::vector<peer_report>> peers() const;
  /// Who was heard on the local network of late, those of this mesh first and in the order of ids;
  /// `unavailable` where it is in no mesh, or listens to nobody there (`mesh_options::lan`).
  [[nodiscard]] result<std::vector<neighbour_report>> neighbours() const;
  /// Durable when it answers, and holds from then on, over restarts, for all links of this node together.
  /// `invalid_argument` for a limit below `rate_limit_min` and for hours that can not be.
  [[nodiscard]] result<void> set_rates(const rate_plan& plan);
  [[nodiscard]] result<rate_plan> rates() const;
  /// Sends random bytes to another node, which throws them away, and has it send some. They take the way of
  /// all others, within the limits of both nodes' lines. Dials the node where there is no link. Events tell how
  /// far it is. A node that answers no tests now has moved no bytes, and tells when it does again. `unavailable`
  /// where this node is in no mesh or the other one is not reached, `conflict` while this node measures another
  /// line, `format_newer` where the other node is of a version before such tests, `invalid_argument`.
  [[nodiscard]] result<line_report> measure_line(const peer_id& peer, const line_test& how = {}, const job_options& job = {});
  /// Reads the file `mesh_options::members` again. A newer list holds from then on, is kept, and is told
  /// to the others; links with whom it leaves out are ended. An older one, and one that the operators of
  /// the present one did not sign, changes nothing: `conflict`, `authentication_failed`. `unavailable`
  /// where no such file was named, or by a daemon: it does so on SIGHUP.
  [[nodiscard]] result<void> reload_members();

  // Room for shards of owners on other nodes (docs/formats/ticket.md).
  /// Lets *owner* keep up to *bytes* here, in place of what he was granted before; 0 takes the grant
  /// back. What he has stays, and nothing is stored beyond. Durable when it answers, and holds from
  /// then on; in a node that is in no mesh, from when it is in one. `invalid_argument` for an owner
  /// that is none and for more than 65,536 of them; `capacity_exceeded` for more than was set aside for all, see `reserve`;
  /// `format_damaged` when the file `grants` is.
  [[nodiscard]] result<void> allow(const vault_id& owner, uint64_t bytes);
  /// All who were granted something, or have something here, in the order of ids.
  [[nodiscard]] result<std::vector<room_report>> rooms() const;
  /// Sets *bytes* aside for owners on other nodes: what is granted comes to no more together, and what they do not use yet
  /// is held on the drives where the file system can, soon after it answered. 0 takes that away. Durable when it answers.
  /// `no_space` where the drives have less free for it, and `conflict` where more is granted already.
  [[nodiscard]] result<void> reserve(uint64_t bytes);
  [[nodiscard]] result<reserve_report> reserved() const;
  /// Durable when it answers, and holds from then on, over restarts. What is handed over goes to nodes
  /// that have nothing of its pack, with the ticket of its owner, one shard after the other; it is
  /// let go of here when the other node has shown a block of it. `rooms` tells what is left.
  [[nodiscard]] result<void> set_hosting(hosting how);
  [[nodiscard]] result<hosting> hosts() const;

  // Vaults.
  [[nodiscard]] result<created_vault> create_vault(const new_vault& what);
  [[nodiscard]] result<std::vector<vault_facts>> vaults() const;
  [[nodiscard]] result<vault> open_vault(const std::string& name, const credential& with);
  /// Removes key file and catalog: what the packs hold can never be read again. The
  /// shards stay on the drives, for nobody can tell whose they are any more.
  [[nodiscard]] result<void> destroy_vault(const std::string& name);
  /// The same, and removes the vault's shards from all drives that are there; its catalog,
  /// which *with* opens, tells them. The key goes first. What an interruption or a drive
  /// that is away left is removed by the next call with that name, which asks no
  /// credential when the key is gone, or by the next cleanup of any vault.
  [[nodiscard]] result<destroy_summary> destroy_vault(const std::string& name, const credential& with, const job_options& job = {});
  /// Makes a vault of what `vault::key_file` gave, and its catalog from the packs on the
  /// drives. `vault_exists` when the name, or the vault under another one, is here;
  /// `wrong_password` when *with* does not open it, `key_file_damaged`. A device can not.
  [[nodiscard]] result<rebuild_summary> restore_vault(const std::string& name, const bytes& key_file, const credential& with,
                                                      const job_options& job = {});
  /// Makes a vault of what the mesh keeps for who has the phrase: its key file, and the nodes that keep
  /// its shards, which become drives. Waits until none has answered for a while. `unavailable` where this
  /// node is in no mesh, or no other node of it answers, or none that keeps shards does: then nothing was
  /// changed. `not_found` where the mesh has no record of that phrase, `phrase_invalid`,
  /// `invalid_argument` for another credential; else as `restore_vault`.
  [[nodiscard]] result<recover_summary> recover_vault(const std::string& name, const credential& phrase, const job_options& job = {});
  /// Makes the catalog again from packs and key alone.
  [[nodiscard]] result<rebuild_summary> rebuild_catalog(const std::string& name, const credential& with, const job_options& job = {});

  [[nodiscard]] const std::string& home() const noexcept;

private:
  node();
  [[nodiscard]] static result<std::unique_ptr<node>> behind(result<std::unique_ptr<node_door>> door);
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh
