// Every way in which DataMesh can fail, once. CLI exit codes, health codes,
// problem documents and `datamesh explain` all read the table behind it.
#pragma once

#include "datamesh/base/export.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace datamesh {

/// Numbers are part of the API: never reused, never renumbered.
enum class errc : uint16_t {
  // -- general ----------------------------------------------------------------
  internal = 1,             ///< A mistake of ours; please report it.
  invalid_argument = 2,     ///< A value is outside of what the call accepts.
  not_found = 3,            ///< The named file, folder, version or drive is not there.
  already_exists = 4,       ///< The name is taken and the conflict policy is `fail`.
  cancelled = 5,            ///< The caller cancelled, or the process was interrupted.
  timed_out = 6,            ///< A deadline passed before the answer came.
  unavailable = 7,          ///< The part asked is restarting or draining.
  capacity_exceeded = 8,    ///< A stated maximum is reached.
  permission_denied = 9,    ///< The operating system or the daemon refused access.
  partial_failure = 10,     ///< Some items failed; the rest was done.
  usage = 11,               ///< The command line is not understood.
  config_invalid = 12,      ///< The configuration file has an error.
  confirmation_needed = 13, ///< The command needs `--yes` when there is no terminal.

  // -- disk ---------------------------------------------------------------------
  io_failed = 20,          ///< The operating system reports an I/O error.
  no_space = 21,           ///< A file system is full, or the drive is at its reserve.
  read_only = 22,          ///< The file system is mounted read-only.
  sync_failed = 23,        ///< fsync failed: what it covered must not be trusted.
  locked = 24,             ///< Another process has it open.
  store_corrupt = 25,      ///< The ordered store (index or catalog) is damaged.
  source_changed = 26,     ///< A file changed while it was read.
  unsupported_source = 27, ///< A socket, device or FIFO where a file is due.

  // -- keys and sealing ----------------------------------------------------------
  wrong_password = 40,        ///< The password, phrase or device key opens no lock of the key file.
  key_file_damaged = 41,      ///< The key file is truncated or changed.
  authentication_failed = 42, ///< Sealed bytes do not open: damaged or not ours.
  unknown_epoch = 43,         ///< The keyring has no key for that epoch or space.
  phrase_invalid = 44,        ///< The recovery phrase has a typing error.
  random_failed = 45,         ///< The operating system gave no random bytes.

  // -- formats -----------------------------------------------------------------------
  format_alien = 60,   ///< The bytes are not of the format they should be.
  format_newer = 61,   ///< Written by a newer version than this one.
  format_damaged = 62, ///< The format is known but the bytes are inconsistent.

  // -- vault and data --------------------------------------------------------------
  no_vault = 80,            ///< There is no vault here, or none of that name.
  vault_exists = 81,        ///< A vault of that name is there already.
  damaged = 82,             ///< Data is lost beyond what parity can bring back.
  degraded = 83,            ///< Data is safe but has less redundancy than its policy.
  too_few_drives = 84,      ///< Fewer drives accept shards than the policy's minimum.
  policy_invalid = 85,      ///< k+m is out of bounds or there are too few drives for it.
  drive_failed = 86,        ///< A drive does not answer or was failed after an I/O error.
  drive_alien = 87,         ///< The folder is no drive, or belongs to another node.
  drive_missing = 88,       ///< A known drive is not at its path.
  drive_full = 89,          ///< A drive reached its reserve.
  shard_missing = 90,       ///< An index row or the catalog names a shard that is not there.
  shard_damaged = 91,       ///< A shard's bytes do not match its hashes.
  catalog_missing = 92,     ///< The catalog is gone; it can be rebuilt.
  name_invalid = 93,        ///< The name is empty, too long, `.`/`..`, or holds NUL or `/`.
  folder_not_empty = 94,    ///< The folder still has entries.
  not_a_folder = 95,        ///< A file stands where a folder is due.
  is_a_folder = 96,         ///< A folder stands where a file is due.
  range_invalid = 97,       ///< The range begins behind the end of the file.
  conflict = 98,            ///< Two changes exclude each other, such as a folder moved into itself.
  rule_leaves_too_few = 99, ///< With all drives there would be enough, and those within the placement rule are too few.

  // -- the mesh ----------------------------------------------------------------------
  peer_refused = 110,      ///< The other node does not prove who it should be.
  protocol_violated = 111, ///< The other node breaks the rules of the protocol.
  peer_lies = 112,         ///< The other node sent what is not what it was given, or not what it was asked for.
};

/// How bad it is, on the scale that logs, alerts and exit codes share.
enum class severity : uint8_t { info, warning, error, critical };

/// What everybody may know about a code.
struct error_facts {
  errc code;
  std::string_view name;       ///< Stable, as in "DM-NO-SPACE".
  std::string_view title;      ///< One sentence: what happened.
  std::string_view suggestion; ///< One sentence: what to run or do next.
  datamesh::severity severity;
  uint8_t exit_code; ///< Of the command line; see `datamesh help exit-codes`.
  uint16_t http_status;
};

/// The row of *code*.
[[nodiscard]] DATAMESH_EXPORT const error_facts& facts_of(errc code) noexcept;

/// The code with that name ("DM-NO-SPACE"), case-insensitive.
[[nodiscard]] DATAMESH_EXPORT std::optional<errc> find_errc(std::string_view name) noexcept;

/// The whole table in order of number.
[[nodiscard]] DATAMESH_EXPORT std::span<const error_facts> all_error_facts() noexcept;

} // namespace datamesh
