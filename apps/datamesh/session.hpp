// One run of the program: its settings, and the node and the vault that the command
// opens when it needs them.
#pragma once

#include "datamesh/node.hpp"

#include "output.hpp"
#include "progress.hpp"
#include "secrets.hpp"
#include "settings.hpp"

#include <memory>
#include <optional>

namespace datamesh::cli {

class session {
public:
  session(const parsed_line& line, settings set, std::string config_file, output& out, cancel_token cancel);
  ~session();

  const parsed_line& line;
  settings set;
  const std::string config_file;
  output& out;
  cancel_token cancel;

  [[nodiscard]] const std::vector<std::string>& arguments() const noexcept {
    return line.arguments;
  }
  [[nodiscard]] bool dry_run() const {
    return set.flag("dry-run");
  }

  /// Options for a node in --home that tells its events to this session.
  [[nodiscard]] node_options options();

  /// The home of the node that was opened, else of the one to open.
  [[nodiscard]] std::string home() const {
    return node_ ? node_->home() : set.text("home");
  }

  /// Opens the node once; where a daemon holds it, through the daemon.
  [[nodiscard]] outcome<node*> open_node();
  /// Lets the node go, so that others may open it.
  void close_node();
  /// Takes over a node that was just made.
  node* adopt(std::unique_ptr<node> made, bool by_daemon = false);
  /// True when the node that was opened is one that a daemon holds.
  [[nodiscard]] bool by_daemon() const noexcept {
    return by_daemon_;
  }

  /// Opens node and vault once. Asks for a password only when *may_ask*.
  [[nodiscard]] outcome<vault*> open_vault(bool may_ask = true);

  /// The vault to work on: --vault, else "main", else the only one.
  [[nodiscard]] outcome<vault_facts> chosen_vault();

  /// What opens *facts*: a password or phrase that was given, else the device key
  /// where the vault trusts this machine, else a question.
  [[nodiscard]] outcome<credential> credential_for(const vault_facts& facts, bool may_ask = true);

  /// A password for something new, of the options *prefix*password-file and *prefix*password-command; empty
  /// with --no-password.
  [[nodiscard]] outcome<std::optional<credential>> new_password(const std::string& prefix = {});

  /// The command line with the options that were given and answered, for a shell; with *file_option*, that with
  /// FILE for its value.
  [[nodiscard]] std::string as_typed(const std::string& file_option = {}) const;

  /// Runs *work* with progress under this command's name.
  template <class Work>
  auto with_progress(Work work, total_counter total = {}) {
    begin_progress(std::move(total));
    auto result = work(job_options{.cancel = cancel});
    end_progress();
    return result;
  }

  /// True without asking with --yes; else the answer to *question*.
  [[nodiscard]] outcome<bool> confirm(const std::string& question);

private:
  /// The daemon's node, when it is the one that this command means, else null; *why* tells why the
  /// node of --home could not be opened here. Fails when there is a daemon that does not serve this command.
  [[nodiscard]] result<std::unique_ptr<node>> ask_daemon(errc why);
  /// Where the command reaches other nodes: the mesh of the daemon's settings.
  void take_part(node_options& how);
  void await_nodes();
  void begin_progress(total_counter total);
  void end_progress();

  std::mutex mutex_;
  std::unique_ptr<progress> progress_;
  std::unique_ptr<node> node_;
  bool by_daemon_ = false;
  std::optional<vault> vault_;
};

/// Why vault *name* of *home* did not open, where its key file or its catalog is not what it should be.
[[nodiscard]] failure not_opened(const error& why, const std::string& name, const std::string& home);

/// "/a/b" for "a//b/", with "." left out. `name_invalid` for ".." and NUL.
[[nodiscard]] outcome<std::string> vault_path(std::string_view text);

/// The paths that *argument* names: itself when there is such an entry, or what it
/// matches as a pattern, in bytewise order. `not_found` when a pattern matches nothing.
[[nodiscard]] outcome<std::vector<std::string>> expand(const vault& in, const std::string& argument);

/// What becomes of a path below a folder that is among the paths, too.
enum class nested : uint8_t {
  each,  ///< It stays: the command is about each entry by itself.
  named, ///< It goes along with its folder, unless an argument names it and not a pattern.
  gone,  ///< It goes along with its folder in any case.
};

/// All arguments, expanded; each path once.
[[nodiscard]] outcome<std::vector<std::string>> expand_all(const vault& in, const std::vector<std::string>& arguments,
                                                           nested what = nested::each);

/// A command: answers the exit code, or why it ended.
using command_function = outcome<int> (*)(session&);

/// The function of the leaf command "drive add", or null.
[[nodiscard]] command_function find_command(std::string_view path);

// By file, in the order of the table.
outcome<int> run_init(session&);
outcome<int> run_doctor(session&);
outcome<int> run_put(session&);
outcome<int> run_get(session&);
outcome<int> run_cat(session&);
outcome<int> run_ls(session&);
outcome<int> run_info(session&);
outcome<int> run_mkdir(session&);
outcome<int> run_rm(session&);
outcome<int> run_mv(session&);
outcome<int> run_cp(session&);
outcome<int> run_tag(session&);
outcome<int> run_versions(session&);
outcome<int> run_restore(session&);
outcome<int> run_status(session&);
outcome<int> run_stats(session&);
outcome<int> run_verify(session&);
outcome<int> run_repair(session&);
outcome<int> run_cleanup(session&);
outcome<int> run_rebalance(session&);
outcome<int> run_topology(session&);
outcome<int> run_distribution(session&);
outcome<int> run_rebuild(session&);
outcome<int> run_recover(session&);
outcome<int> run_bench(session&);
outcome<int> run_drive_add(session&);
outcome<int> run_drive_list(session&);
outcome<int> run_drive_drain(session&);
outcome<int> run_drive_replace(session&);
outcome<int> run_drive_adopt(session&);
outcome<int> run_drive_remove(session&);
outcome<int> run_drive_label(session&);
outcome<int> run_drive_rule(session&);
outcome<int> run_drive_audits(session&);
outcome<int> run_node_status(session&);
outcome<int> run_node_init(session&);
outcome<int> run_node_start(session&);
outcome<int> run_node_allow(session&);
outcome<int> run_node_drain(session&);
outcome<int> run_node_leave(session&);
outcome<int> run_node_pause(session&);
outcome<int> run_node_resume(session&);
outcome<int> run_node_limit(session&);
outcome<int> run_network_health(session&);
outcome<int> run_peers(session&);
outcome<int> run_bandwidth(session&);
outcome<int> run_discover(session&);
outcome<int> run_preset_list(session&);
outcome<int> run_preset_show(session&);
outcome<int> run_preset_save(session&);
outcome<int> run_preset_remove(session&);
outcome<int> run_preset_use(session&);
outcome<int> run_members_key(session&);
outcome<int> run_members_init(session&);
outcome<int> run_members_add(session&);
outcome<int> run_members_remove(session&);
outcome<int> run_members_set(session&);
outcome<int> run_members_sign(session&);
outcome<int> run_members_show(session&);
outcome<int> run_invite_create(session&);
outcome<int> run_invite_show(session&);
outcome<int> run_invite_accept(session&);
outcome<int> run_vault_list(session&);
outcome<int> run_vault_create(session&);
outcome<int> run_vault_use(session&);
outcome<int> run_vault_restore(session&);
outcome<int> run_vault_destroy(session&);
outcome<int> run_key_list(session&);
outcome<int> run_key_change_password(session&);
outcome<int> run_key_recovery(session&);
outcome<int> run_key_trust_device(session&);
outcome<int> run_key_remove(session&);
outcome<int> run_key_rotate(session&);
outcome<int> run_key_export(session&);
outcome<int> run_config_show(session&);
outcome<int> run_config_check(session&);
outcome<int> run_config_set(session&);
outcome<int> run_explain(session&);
outcome<int> run_completion(session&);
outcome<int> run_help(session&);
outcome<int> run_version(session&);

// Parts that several commands print.
[[nodiscard]] json_line drive_json(const drive_report& drive, json_line line = json_line{"item"});
[[nodiscard]] std::string drive_table(const output& out, const std::vector<drive_report>& drives);
/// *line* with those labels that there are.
[[nodiscard]] json_line with_labels(json_line line, const drive_labels& labels);
/// "zone=house-1 region=eu", "-" for none.
[[nodiscard]] std::string labels_text(const drive_labels& labels);
/// "only region=eu, never operator=bob", "-" for none.
[[nodiscard]] std::string rule_text(const placement_rule& rule);
/// The drive that *word* means, as the node understands it.
[[nodiscard]] outcome<drive_report> find_drive(node& n, const std::string& word);
[[nodiscard]] std::vector<std::string> folders_of(const std::vector<drive_report>& drives);
/// Tells what a rebuild of *vault*'s catalog found.
[[nodiscard]] outcome<int> rebuilt(session& s, const std::string& vault, const rebuild_summary& sum);
/// Why a folder was not added, with what to do about it.
[[nodiscard]] failure drive_refused(const error& why, const std::string& folder);
/// Why a folder was not taken over, with what to do about it.
[[nodiscard]] failure adopt_refused(const error& why, const std::string& folder);
void warn_if_full(output& out, const drive_report& drive);
/// Shows a recovery phrase, and leaves no copy of it in memory.
void print_phrase(output& out, const std::string& phrase);
[[nodiscard]] if_exists conflict_of(const settings& set);
/// Sets *key* in the configuration file, which is made when it is missing.
[[nodiscard]] outcome<void> write_setting(const session& s, const std::string& key, const std::string& value);
/// What came of a job over several items.
struct items_told {
  std::string what;                 ///< "stored"
  bool done = false;                ///< Some items were.
  json_line summary;                ///< Goes before the exit code's line and behind all others.
  std::string next_if_taken = {};   ///< What to run where a name was taken,
  std::string next_if_missing = {}; ///< and where there was none.
  std::string next = {};            ///< What to run whatever the code is, when it is not empty.
};

/// Tells the failures that no event told, then the summary, and answers the exit code: 0 when there are
/// none, 3 when other items were done, else that of what failed.
int tell_failures(session& s, const std::vector<item_failure>& failures, uint64_t count, const items_told& told);

/// A small file that the command line names, whole. One that is not there is looked for in its folder.
[[nodiscard]] outcome<bytes> read_named_file(const std::string& path, uint64_t size_max);

/// "1 file", "2,000 files".
[[nodiscard]] std::string counted(uint64_t n, std::string_view one, std::string_view many);

} // namespace datamesh::cli
