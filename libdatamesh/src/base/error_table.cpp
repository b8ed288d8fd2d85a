#include "datamesh/base/errc.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace datamesh {

namespace {

using std::to_array;

constexpr auto table = to_array<error_facts>({
    // general
    {errc::internal, "DM-INTERNAL", "DataMesh made a mistake of its own.",
     "Run `datamesh doctor` and report what it prints together with this message.", severity::critical, 1, 500},
    {errc::invalid_argument, "DM-INVALID-ARGUMENT", "A value is outside of what the call accepts.",
     "Run the command with `--help` and correct the value that the message names.", severity::error, 2, 400},
    {errc::not_found, "DM-NOT-FOUND", "The named file, folder, version or drive is not there.",
     "Run `datamesh ls` on the folder, or `datamesh versions` on the file, to see what there is.", severity::error, 5, 404},
    {errc::already_exists, "DM-ALREADY-EXISTS", "The name is taken.",
     "Choose another name, or say what becomes of the old one with `datamesh put --if-exists`; `datamesh get --force` replaces files.",
     severity::error, 1, 409},
    {errc::cancelled, "DM-CANCELLED", "The operation was cancelled before it was done.",
     "Run the same command again; what is stored already is not stored twice.", severity::info, 130, 499},
    {errc::timed_out, "DM-TIMED-OUT", "A deadline passed before the answer came.",
     "Run the command again, and `datamesh status` to see whether a drive is slow.", severity::error, 8, 504},
    {errc::unavailable, "DM-UNAVAILABLE", "The part that was asked is restarting, draining or out of a resource of the system.",
     "Wait a moment and run the command again; `datamesh doctor` checks the limits of the system.", severity::error, 8, 503},
    {errc::capacity_exceeded, "DM-CAPACITY-EXCEEDED", "A stated maximum is reached.",
     "Make the item smaller or raise the limit that the message names with `datamesh config set`.", severity::error, 6, 413},
    {errc::permission_denied, "DM-PERMISSION-DENIED", "Access was refused.",
     "Check owner and mode of the path, or run the command as the user who owns the vault; `datamesh doctor` shows both.", severity::error,
     4, 403},
    {errc::partial_failure, "DM-PARTIAL-FAILURE", "Some items failed and the rest was done.",
     "Read the list of failed items above, mend what it names and run the same command again.", severity::warning, 3, 207},
    {errc::usage, "DM-USAGE", "The command line is not understood.", "Run `datamesh --help`, or the command with `--help`.",
     severity::error, 2, 400},
    {errc::config_invalid, "DM-CONFIG-INVALID", "The configuration file has an error.",
     "Correct the line that the message names; `datamesh config show --origin` tells which file each value comes from.", severity::error, 2,
     422},
    {errc::confirmation_needed, "DM-CONFIRMATION-NEEDED", "The command wants to be confirmed and there is no terminal to ask.",
     "Run it with `--dry-run` to see what it would do, then with `--yes`.", severity::error, 2, 428},
    // disk
    {errc::io_failed, "DM-IO-FAILED", "The operating system reports an input or output error.",
     "Run `datamesh status` to see which drive is concerned and `datamesh drive replace` if it is failing.", severity::error, 1, 500},
    {errc::no_space, "DM-NO-SPACE", "The file system is full.",
     "Free space or run `datamesh drive add`; `datamesh cleanup` gives back what deleted files still occupy.", severity::error, 8, 507},
    {errc::read_only, "DM-READ-ONLY", "The file system is mounted read-only.",
     "Mount it read-write after checking it, or run `datamesh drive replace`.", severity::error, 4, 503},
    {errc::sync_failed, "DM-SYNC-FAILED", "The drive did not confirm that the data is durable.",
     "Run `datamesh status`, then `datamesh repair`; replace the drive with `datamesh drive replace` if it happens again.",
     severity::critical, 1, 500},
    {errc::locked, "DM-LOCKED", "Another process has it open.",
     "Wait for the other process or let the daemon serve both; `fuser -v` on the lock file tells who holds it.", severity::error, 11, 423},
    {errc::store_corrupt, "DM-STORE-CORRUPT", "An index or the catalog is damaged.",
     "Run `datamesh rebuild` to make the catalog again, or `datamesh repair` for the index of a drive.", severity::critical, 1, 500},
    {errc::source_changed, "DM-SOURCE-CHANGED", "The file changed while it was read.",
     "Run the command again when nobody writes to the file.", severity::warning, 8, 409},
    {errc::unsupported_source, "DM-UNSUPPORTED-SOURCE", "A socket, device, FIFO or link stands where a file is due.",
     "Leave it out with `datamesh put --exclude`, or put the file that it leads to.", severity::warning, 1, 422},
    // keys and sealing
    {errc::wrong_password, "DM-WRONG-PASSWORD", "The password, phrase or device key does not open the vault.",
     "Run the command again, or set a new password with the recovery phrase: `datamesh key change-password --phrase-file -`.",
     severity::error, 12, 401},
    {errc::key_file_damaged, "DM-KEY-FILE-DAMAGED", "The key file is truncated or changed.",
     "Put a copy of the key file, as `datamesh key export` writes one, in its place, then run `datamesh doctor`.", severity::critical, 1,
     500},
    {errc::authentication_failed, "DM-AUTHENTICATION-FAILED", "Sealed bytes do not open: they are damaged or not ours.",
     "Run `datamesh verify --deep`, then `datamesh repair`.", severity::error, 1, 500},
    {errc::unknown_epoch, "DM-UNKNOWN-EPOCH", "The keyring has no key for that space or epoch.",
     "Open the vault on a device that has the key, or ask for a share of the space.", severity::error, 4, 403},
    {errc::phrase_invalid, "DM-PHRASE-INVALID", "The recovery phrase has a typing error.",
     "Compare each word with the printed phrase, then run the command again.", severity::error, 12, 422},
    {errc::random_failed, "DM-RANDOM-FAILED", "The operating system gave no random bytes.",
     "Run `datamesh doctor`; DataMesh makes no key without random bytes.", severity::critical, 1, 500},
    // formats
    {errc::format_alien, "DM-FORMAT-ALIEN", "The bytes are not of the format they should be.",
     "Check that the path leads to the right file; `datamesh doctor` looks at those of the node.", severity::error, 1, 422},
    {errc::format_newer, "DM-FORMAT-NEWER", "It was written by a newer version of DataMesh.",
     "Install the newer version; `datamesh version` shows this one.", severity::error, 1, 422},
    {errc::format_damaged, "DM-FORMAT-DAMAGED", "The bytes contradict themselves.", "Run `datamesh verify --deep`, then `datamesh repair`.",
     severity::error, 1, 500},
    // vault and data
    {errc::no_vault, "DM-NO-VAULT", "There is no vault here, or none of that name.",
     "Run `datamesh vault list` to see what there is, or `datamesh init` to make one.", severity::error, 10, 404},
    {errc::vault_exists, "DM-VAULT-EXISTS", "A vault of that name is there already.",
     "Choose another name with `datamesh vault create`, or use the one that is there with `datamesh vault use`.", severity::error, 1, 409},
    {errc::damaged, "DM-DAMAGED", "Data is lost beyond what its parity can bring back.",
     "Bring missing drives back and run `datamesh repair`; `datamesh verify` lists the files that are concerned.", severity::critical, 7,
     500},
    {errc::degraded, "DM-DEGRADED", "The data is safe but has less redundancy than its policy asks for.",
     "Run `datamesh repair`; `datamesh status` shows what is missing.", severity::warning, 3, 207},
    {errc::too_few_drives, "DM-TOO-FEW-DRIVES", "Fewer drives accept data than the policy needs.",
     "Run `datamesh drive list`, bring missing drives back or run `datamesh drive add`.", severity::error, 8, 503},
    {errc::policy_invalid, "DM-POLICY-INVALID", "The policy is out of bounds or asks for more drives than there are.",
     "Run `datamesh drive list` and choose a policy such as `--policy 4+2` that fits their number.", severity::error, 2, 422},
    {errc::drive_failed, "DM-DRIVE-FAILED", "A drive does not answer or was failed after an error.",
     "Run `datamesh drive replace` for it, or `datamesh repair` to rebuild its shards on the others.", severity::critical, 1, 503},
    {errc::drive_alien, "DM-DRIVE-ALIEN", "The folder is no drive, or belongs to another node.",
     "Run `datamesh drive adopt` to take over a drive of another node, or `datamesh drive add` with an empty folder.", severity::error, 1,
     409},
    {errc::drive_missing, "DM-DRIVE-MISSING", "A known drive is not at its path.",
     "Connect or mount the drive; where it is at another path now, `datamesh drive adopt` takes it over there.", severity::error, 8, 503},
    {errc::drive_full, "DM-DRIVE-FULL", "A drive reached its reserve.",
     "Run `datamesh drive add`, then `datamesh rebalance`, or `datamesh cleanup` to free space.", severity::error, 8, 507},
    {errc::shard_missing, "DM-SHARD-MISSING", "A shard that should be there is not.", "Run `datamesh repair`.", severity::warning, 1, 500},
    {errc::shard_damaged, "DM-SHARD-DAMAGED", "The bytes of a shard do not match its hashes.",
     "Run `datamesh repair`; run `datamesh verify --deep` when a drive does this often.", severity::warning, 1, 500},
    {errc::catalog_missing, "DM-CATALOG-MISSING", "The catalog is gone.",
     "Run `datamesh rebuild`: packs and key are enough to make it again.", severity::error, 1, 503},
    {errc::name_invalid, "DM-NAME-INVALID", "The name can not be stored.",
     "Choose a name that is neither empty, `.` nor `..`, holds no `/` or NUL and has at most 255 bytes, then run `datamesh put` again.",
     severity::error, 2, 422},
    {errc::folder_not_empty, "DM-FOLDER-NOT-EMPTY", "The folder still has entries.",
     "Remove the entries first, or run `datamesh rm --recursive`.", severity::error, 1, 409},
    {errc::not_a_folder, "DM-NOT-A-FOLDER", "A file stands where a folder is due.",
     "Run `datamesh ls` on the parent and choose another path.", severity::error, 1, 409},
    {errc::is_a_folder, "DM-IS-A-FOLDER", "A folder stands where a file is due.",
     "Run `datamesh ls` on the folder and name a file in it, or use `datamesh get`, which takes folders.", severity::error, 1, 409},
    {errc::range_invalid, "DM-RANGE-INVALID", "The range begins behind the end of the file.",
     "Run `datamesh info` to see the size of the file and choose a range within it.", severity::error, 2, 416},
    {errc::conflict, "DM-CONFLICT", "Two changes exclude each other.",
     "Run `datamesh ls` to see the present state and make the change that is still wanted.", severity::error, 1, 409},
    {errc::rule_leaves_too_few, "DM-RULE-LEAVES-TOO-FEW", "The placement rule leaves fewer drives than the policy needs.",
     "Run `datamesh drive rule` to see which drives it leaves out, then add or label drives within it, or change it.", severity::error, 1,
     409},

    {errc::peer_refused, "DM-PEER-REFUSED", "One node refuses the other, or does not prove that it is the one it should be.",
     "Compare the node id with the one its operator tells, look whether it is on the list of members, and see that the clocks of both "
     "machines are right.",
     severity::error, 4, 502},
    {errc::protocol_violated, "DM-PROTOCOL-VIOLATED", "The other node breaks the rules of the protocol.",
     "See that nothing but DataMesh answers at that address, and that both nodes have a recent version.", severity::error, 1, 502},
    {errc::peer_lies, "DM-PEER-LIES", "The other node sent what is not what it was given.",
     "Run `datamesh drive audits` to see what it did; `datamesh repair` makes what it keeps again on other drives.", severity::error, 1,
     502},
});

static_assert(std::is_sorted(table.begin(), table.end(), [](const auto& a, const auto& b) { return a.code <= b.code; }),
              "the rows stand in order of number, each number once");

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  auto upper = [](char c) {
    return std::toupper(static_cast<unsigned char>(c));
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return upper(x) == upper(y); });
}

} // namespace

const error_facts& facts_of(errc code) noexcept {
  auto row = std::lower_bound(table.begin(), table.end(), code, [](const error_facts& x, errc y) { return x.code < y; });
  // A number from elsewhere that we do not know is a mistake of ours.
  return row != table.end() && row->code == code ? *row : table.front();
}

std::optional<errc> find_errc(std::string_view name) noexcept {
  auto row = std::find_if(table.begin(), table.end(), [&](const error_facts& x) { return equal_ignoring_case(x.name, name); });
  if (row == table.end())
    return std::nullopt;
  return row->code;
}

std::span<const error_facts> all_error_facts() noexcept {
  return table;
}

} // namespace datamesh
