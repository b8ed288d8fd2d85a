// init, node init and vault: what a node is made of, and the vaults in it.
#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>
#include <cstring>

#include <unistd.h>

namespace datamesh::cli {

void print_phrase(output& out, const std::string& phrase) {
  out.print("{}", out.paint(tone::strong, "Recovery phrase, shown this once. Whoever has it can read everything: write it down."));
  out.print("");
  // Six words a line are easy to copy by hand; line breaks do not matter when it is typed.
  std::string text = "    ";
  size_t words = 0;
  for (auto c : phrase) {
    text += c;
    if ((c == '-' || c == ' ') && ++words % 6 == 0)
      text += "\n    ";
  }
  out.print("{}", text);
  explicit_bzero(text.data(), text.size());
  out.print("");
}

namespace {

std::string policy_text(const status_report& report, size_t drives) {
  if (report.policy_level == "block")
    return fmt::format("{} over blocks of one drive: damaged blocks are mended, the loss of the drive is not survived", report.policy);
  auto plus = report.policy.find('+');
  auto parity = plus == std::string::npos ? std::string{} : report.policy.substr(plus + 1);
  return fmt::format("{} over {} drives: any {} of them may be lost", report.policy, drives, parity);
}

/// The node of this home, or null when there is none yet.
outcome<node*> node_if_any(session& s) {
  // A home that is not there yet is made here, unless a daemon was named.
  if (s.set.text("socket").empty()) {
    auto opened = node::open(s.options());
    if (opened)
      s.adopt(std::move(*opened));
    else if (opened.error().code() == errc::no_vault)
      return nullptr;
  }
  return s.open_node();
}

outcome<node*> make_node(session& s) {
  auto made = node::create(s.options());
  if (made)
    return s.adopt(std::move(*made));
  failure why{made.error()};
  if (why.code == errc::not_a_folder || why.code == errc::permission_denied || why.code == errc::read_only || why.code == errc::no_space)
    why.next = fmt::format("see what '{}' is and who may write there, or name another home with --home DIR", printable(s.set.text("home")));
  return refuse(std::move(why));
}

/// The node that an interrupted `init` left without a vault, or null when there is none.
outcome<node*> unfinished_node(session& s) {
  auto found = node_if_any(s);
  if (!found || *found == nullptr)
    return found;
  auto* n = *found;
  auto vaults = n->vaults();
  if (!vaults)
    return refuse(vaults.error());
  if (!vaults->empty())
    return refuse(errc::vault_exists, fmt::format("there is a node with a vault '{}' in {}", vaults->front().name, printable(n->home())),
                  "datamesh vault create NAME, datamesh drive add DIR, or another --home");
  return n;
}

/// What of *folders* is no drive of the unfinished node *n*, which may be null, and can
/// become one: asked before anything is made.
outcome<std::vector<std::string>> new_drives(const node* n, const std::string& home, std::vector<std::string> folders) {
  auto there = n != nullptr ? folders_of(n->drives()) : std::vector<std::string>{};
  if (auto good = check_drive_folders(folders, n != nullptr ? n->home() : home, there); !good)
    return refuse(good.error());
  std::erase_if(folders, [&](auto& folder) {
    return std::any_of(there.begin(), there.end(), [&](auto& drive) { return same_folder(drive, folder); });
  });
  if (auto good = check_no_drives(folders); !good)
    return refuse(good.error());
  return folders;
}

/// "~/d" as a shell would understand it.
std::string from_home(const std::string& folder) {
  auto home = process_variables()("HOME");
  return folder.starts_with("~/") && home ? *home + folder.substr(1) : folder;
}

/// Asks for what the command line does not say. Each question names its option.
outcome<void> ask_for_setup(session& s) {
  s.out.note("A drive is a folder, best each on a disk of its own. An empty line ends the list.");
  std::vector<std::string> folders;
  for (;;) {
    auto folder = ask_line(fmt::format("Drive {} (--drive):", folders.size() + 1), s.cancel);
    if (!folder)
      return refuse(folder.error());
    if (folder->empty())
      break;
    folders.push_back(from_home(*folder));
  }
  s.set.answer("drive", folders);
  if (folders.empty())
    return {};
  auto settled = s.set.given("password-file") || s.set.given("password-command") || s.set.given("no-password");
  if (!settled) {
    auto without = ask("Open it without a password, on this machine only? (--no-password)", s.cancel);
    if (!without)
      return refuse(without.error());
    if (*without)
      s.set.answer("no-password", {"true"});
  }
  s.out.note("This runs: {}", s.as_typed());
  return {};
}

outcome<int> make_vault(session& s, node& n, const std::string& name, const std::optional<credential>& password) {
  auto trust = s.set.flag("trust-device") || s.set.flag("no-password");
  auto made = n.create_vault({.name = name, .password = password, .trust_this_device = trust});
  if (!made)
    return refuse(made.error());
  auto drives = n.drives();
  auto opened = n.open_vault(name, trust || !password ? credential::this_device() : *password);
  auto report = opened ? opened->status() : result<status_report>{datamesh::fail(opened.error())};
  json_line line{"summary"};
  line.name("vault", name).add("id", made->id.hex()).name("home", n.home()).add("recovery_phrase", made->recovery_phrase);
  if (report)
    line.add("policy", report->policy).add("policy_level", report->policy_level);
  std::vector<json_line> list;
  for (auto& drive : drives)
    list.push_back(drive_json(drive, {}));
  for (auto& drive : drives)
    warn_if_full(s.out, drive);
  if (drives.size() == 1)
    s.out.warn("with one drive only bit rot is repaired; add others with: datamesh drive add DIR");
  s.out.if_lost(failure{errc::io_failed, fmt::format("vault '{}' was made, but its recovery phrase was not shown", name),
                        fmt::format("datamesh key recovery --vault {}, which makes another phrase and shows it", printable(name))});
  s.out.line(line.add("drives", list));
  auto& out = s.out;
  out.print("Made vault '{}', id {}.", printable(name), made->id.hex());
  out.print("");
  out.print("Home      {}", printable(n.home()));
  out.print("Drives    {}", drives.size());
  if (report)
    out.print("Policy    {}", policy_text(*report, drives.size()));
  out.print("Opens by  {}", !password ? "this machine alone, and the recovery phrase"
                            : trust   ? "password, this machine, and the recovery phrase"
                                      : "password and the recovery phrase");
  out.print("");
  print_phrase(out, made->recovery_phrase);
  explicit_bzero(made->recovery_phrase.data(), made->recovery_phrase.size());
  if (!out.lost())
    out.if_lost({});
  return 0;
}
} // namespace

outcome<int> run_init(session& s) {
  if (s.set.list("drive").empty() && !s.out.json() && isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1)
    if (auto asked = ask_for_setup(s); !asked)
      return refuse(asked.error());
  auto folders = s.set.list("drive");
  if (folders.empty())
    return refuse(errc::usage, "'init' needs at least one --drive DIR", "datamesh init --drive DIR");
  auto n = unfinished_node(s);
  if (!n)
    return refuse(n.error());
  // Before anything is made: without drives or a password there is to be nothing half done.
  std::transform(folders.begin(), folders.end(), folders.begin(), absolute_path);
  auto wanted = new_drives(*n, s.set.text("home"), std::move(folders));
  if (!wanted)
    return refuse(wanted.error());
  auto password = s.new_password();
  if (!password)
    return refuse(password.error());
  if (*n == nullptr)
    n = make_node(s);
  if (!n)
    return refuse(n.error());
  for (auto& folder : *wanted)
    if (auto added = (*n)->add_drive(folder); !added)
      return refuse(drive_refused(added.error(), folder));
  auto made = make_vault(s, **n, s.set.text("name"), *password);
  if (!made)
    return made;
  s.out.print("Next:");
  s.out.print("  datamesh put FILE...");
  s.out.print("  datamesh ls");
  s.out.print("  datamesh get /NAME --to FOLDER");
  return 0;
}

namespace {

bool has_own_drive(const node& n) {
  return std::ranges::any_of(n.drives(), [](const auto& drive) { return !is_node_name(drive.folder); });
}

failure not_reserved(const session& s, const error& why) {
  failure told{why};
  if (why.code() == errc::no_space)
    told.next = "name a smaller --capacity, or another drive with --folder DIR";
  else if (why.code() == errc::conflict)
    told.next = "datamesh node status: it shows who was granted how much; 'datamesh node allow OWNER SIZE' takes some of it back";
  else if (why.code() == errc::permission_denied && s.by_daemon())
    told.next = "run it as root or as the user of the daemon: only they give room";
  return told;
}

} // namespace

outcome<int> run_node_init(session& s) {
  auto folders = s.set.list("folder");
  std::transform(folders.begin(), folders.end(), folders.begin(), absolute_path);
  auto n = node_if_any(s);
  if (!n)
    return refuse(n.error());
  auto wanted = new_drives(*n, s.set.text("home"), std::move(folders));
  if (!wanted)
    return refuse(wanted.error());
  if (wanted->empty() && (*n == nullptr || !has_own_drive(**n)))
    return refuse(errc::usage, "a node that is to keep something for others needs a drive",
                  "datamesh node init --folder DIR --capacity SIZE");
  if (*n == nullptr)
    n = make_node(s);
  if (!n)
    return refuse(n.error());
  for (auto& folder : *wanted)
    if (auto added = (*n)->add_drive(folder); !added)
      return refuse(drive_refused(added.error(), folder));
  if (s.set.given("capacity"))
    if (auto done = (*n)->reserve(parse_size(s.set.text("capacity")).value_or(0)); !done) // The parser has looked at it.
      return refuse(not_reserved(s, done.error()));
  auto reserved = (*n)->reserved();
  if (!reserved)
    return refuse(reserved.error());
  auto drives = (*n)->drives();
  for (const auto& drive : drives)
    s.out.line(drive_json(drive));
  s.out.line(json_line{"summary"}.name("home", (*n)->home()).add("drives", drives.size()).add("reserved", reserved->bytes));
  auto& out = s.out;
  out.print("Home      {}", printable((*n)->home()));
  out.print("Drives    {}", drives.size());
  out.print("Reserved  {}",
            reserved->bytes > 0 ? out.size(reserved->bytes) + " for owners on other nodes, together" : "nothing: grants know no limit");
  out.print("Next:");
  out.print("  datamesh invite accept FILE --listen ADDRESS, or datamesh preset use NAME");
  out.print("  datamesh node start");
  out.print("  datamesh node allow OWNER SIZE");
  return 0;
}

outcome<int> run_vault_list(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto all = (*n)->vaults();
  if (!all)
    return refuse(all.error());
  auto chosen = s.chosen_vault();
  text_table table{{text_table::align::left, text_table::align::left, text_table::align::left, text_table::align::left}};
  table.heading({"", "NAME", "ID", "OPENS BY"});
  for (auto& facts : *all) {
    std::vector<std::string> kinds;
    for (auto& lock : facts.locks)
      kinds.push_back(lock.kind);
    auto current = chosen && chosen->name == facts.name;
    json_line line{"item"};
    line.name("name", facts.name).add("current", current).add("opens_by", kinds);
    if (facts.id)
      line.add("id", facts.id->hex());
    s.out.line(line);
    table.row({current ? "*" : "", printable(facts.name), facts.id ? facts.id->brief() : "key file damaged",
               fmt::format("{}", fmt::join(kinds, ", "))});
  }
  s.out.page(table.render());
  s.out.line(json_line{"summary"}.add("vaults", all->size()));
  return 0;
}

outcome<int> run_vault_create(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto password = s.new_password();
  if (!password)
    return refuse(password.error());
  return make_vault(s, **n, s.arguments()[0], *password);
}

namespace {

constexpr size_t key_file_max = 1 << 20;

/// The node in the home, made where there is none.
outcome<node*> node_or_new(session& s) {
  auto opened = s.set.text("socket").empty() ? node::open(s.options()) : result<std::unique_ptr<node>>{datamesh::fail(errc::locked)};
  if (opened)
    return s.adopt(std::move(*opened));
  if (opened.error().code() != errc::no_vault)
    return s.open_node();
  auto made = node::create(s.options());
  if (!made)
    return refuse(made.error());
  return s.adopt(std::move(*made));
}

} // namespace

namespace {

constexpr auto which_key_file = "name a copy of the vault's key file, which 'datamesh key export FILE' wrote";

/// Why a copy of a key file brought no vault back.
failure not_restored(const session& s, const error& why) {
  failure told{why};
  switch (why.code()) {
  case errc::wrong_password:
    told.next =
        s.set.text("phrase-file").empty()
            ? fmt::format("try again with the password that held when the copy was made, or with its recovery phrase: datamesh vault "
                          "restore {} --phrase-file -",
                          shell_word(s.arguments()[0]))
            : "try again with the recovery phrase of the vault that the copy is of, or with the password that held when it was made";
    break;
  case errc::format_alien:
  case errc::format_damaged:
  case errc::key_file_damaged:
    told.next = fmt::format("{}; when this is one, it is damaged, and another copy may be whole", which_key_file);
    break;
  case errc::vault_exists:
    told.next = "datamesh vault list; where another vault has that name, choose one with --name NAME";
    break;
  default:
    break;
  }
  return told;
}

} // namespace

namespace {

/// A password or phrase, which may have to be asked for.
outcome<credential> credential_to_restore(session& s, const vault_facts& facts) {
  auto with = s.credential_for(facts);
  auto given = s.set.given("password-file") || s.set.given("password-command") || s.set.given("phrase-file");
  if (with || given || with.error().code != errc::usage)
    return with;
  auto why = with.error();
  why.next += "; or, where it has no password, by its recovery phrase: " + s.as_typed("phrase-file");
  return refuse(std::move(why));
}

/// Nothing else was said, and this home has a device key, which vaults without a password are opened by.
bool has_device_key(const session& s) {
  return !s.set.given("password-file") && !s.set.given("password-command") && !s.set.given("phrase-file")
         && system_files()->status(s.set.text("home") + "/device.key").has_value();
}

} // namespace

outcome<int> run_vault_restore(session& s) {
  auto path = absolute_path(s.arguments()[0]);
  auto key = read_whole(*system_files(), path, key_file_max);
  if (!key && key.error().code() != errc::permission_denied)
    return refuse(key.error().code(), key.error().message(), which_key_file);
  if (!key)
    return refuse(key.error());
  vault_facts facts;
  facts.name = s.set.text("name");
  auto by_device = has_device_key(s);
  auto with = by_device ? outcome<credential>{credential::this_device()} : credential_to_restore(s, facts);
  if (!with)
    return refuse(with.error());
  auto n = node_or_new(s);
  if (!n)
    return refuse(n.error());
  auto folders = s.set.list("drive");
  std::transform(folders.begin(), folders.end(), folders.begin(), absolute_path);
  auto there = folders_of((*n)->drives());
  std::erase_if(folders, [&](auto& folder) {
    return std::any_of(there.begin(), there.end(), [&](auto& drive) { return same_folder(drive, folder); });
  });
  if (auto good = check_drive_folders(folders, (*n)->home(), there); !good)
    return refuse(good.error());
  for (auto& folder : folders)
    if (auto adopted = (*n)->adopt_drive(folder); !adopted)
      return refuse(adopt_refused(adopted.error(), folder));
  if ((*n)->drives().empty())
    return refuse(errc::usage, "'vault restore' needs the drives that the vault is on", "datamesh vault restore KEYFILE --drive DIR");
  auto restore = [&](const job_options& job) {
    return (*n)->restore_vault(facts.name, *key, *with, job);
  };
  auto sum = s.with_progress(restore);
  if (!sum && by_device && sum.error().code() == errc::wrong_password) {
    with = credential_to_restore(s, facts);
    if (!with)
      return refuse(with.error());
    sum = s.with_progress(restore);
  }
  if (!sum)
    return refuse(not_restored(s, sum.error()));
  return rebuilt(s, facts.name, *sum);
}

namespace {

/// Why the mesh brought no vault back.
failure not_recovered(const session& s, const error& why) {
  constexpr auto in_mesh = "set 'mesh_network' and its like in datameshd.toml, and start datameshd; see datameshd(8)";
  failure told{why};
  switch (why.code()) {
  case errc::no_vault:
    told.next = in_mesh;
    break;
  case errc::unavailable:
    told.next = s.by_daemon() ? "look at 'datamesh node status' and 'datamesh peers', and try again when other nodes answer" : in_mesh;
    break;
  case errc::not_found:
    told.next = "try another phrase of the vault, or wait until more nodes answer (datamesh node status); with a copy of the key file: "
                "datamesh drive add node:ID for each node, then: datamesh vault restore FILE";
    break;
  case errc::vault_exists:
    told.next = "datamesh vault list; where another vault has that name, choose one with --name NAME";
    break;
  case errc::permission_denied:
    told.next = "run it as root or as the user of the daemon: the nodes become its drives";
    break;
  default:
    break;
  }
  return told;
}

void tell_recovered(session& s, const recover_summary& sum) {
  s.out.line(json_line{"item"}.add("id", sum.id.hex()).time("made", sum.made_ns).add("nodes_left_out", sum.nodes_left_out));
  for (const auto& [nodes, answered] : {std::pair{&sum.nodes, true}, {&sum.nodes_away, false}})
    for (const auto& node : *nodes)
      s.out.line(json_line{"item"}.add("node", node).add("answered", answered));
  s.out.print("Found what the mesh keeps for this phrase, of {}. {} now {} of this node.", s.out.time(sum.made_ns),
              counted(sum.nodes.size(), "node is", "nodes are"), sum.nodes.size() == 1 ? "a drive" : "drives");
  for (const auto& node : sum.nodes_away)
    s.out.warn(fmt::format("a node that keeps shards did not answer; when it is back: datamesh drive add {}", node));
  if (sum.nodes_left_out > 0)
    s.out.warn(fmt::format("{} more shards, and the mesh had no room for {}; who knows the id: datamesh drive add node:ID",
                           counted(sum.nodes_left_out, "node keeps", "nodes keep"), sum.nodes_left_out == 1 ? "its id" : "their ids"));
}

} // namespace

outcome<int> run_recover(session& s) {
  auto n = s.open_node();
  if (!n) {
    auto why = n.error();
    if (why.code == errc::no_vault)
      why.next = "set 'mesh_network' and its like in datameshd.toml, and start datameshd; see datameshd(8)";
    return refuse(std::move(why));
  }
  auto warn = [&](const std::string& text) {
    s.out.warn(text);
  };
  auto phrase = read_secret({.what = "recovery phrase", .file = s.set.text("phrase-file"), .hint = s.as_typed("phrase-file"), .warn = warn},
                            s.cancel);
  if (!phrase)
    return refuse(phrase.error());
  auto with = credential::recovery_phrase(phrase->view());
  auto name = s.set.text("name");
  auto sum = s.with_progress([&](const job_options& job) { return (*n)->recover_vault(name, with, job); });
  if (!sum)
    return refuse(not_recovered(s, sum.error()));
  tell_recovered(s, *sum);
  return rebuilt(s, name, sum->rebuilt);
}

outcome<int> run_vault_use(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto all = (*n)->vaults();
  if (!all)
    return refuse(all.error());
  auto& name = s.arguments()[0];
  if (std::none_of(all->begin(), all->end(), [&](auto& facts) { return facts.name == name; }))
    return refuse(errc::no_vault, fmt::format("there is no vault '{}' here", printable(name)), "datamesh vault list");
  if (!s.dry_run())
    if (auto written = write_setting(s, "vault", name); !written)
      return refuse(written.error());
  s.out.line(json_line{"summary"}.add("dry_run", s.dry_run()).name("vault", name).name("config", s.config_file));
  s.out.print("{} '{}' when no --vault is given; {} {}.", s.dry_run() ? "Commands would use" : "Commands use", printable(name),
              s.dry_run() ? "it would stand in" : "it stands in", printable(s.config_file));
  return 0;
}

namespace {

int vault_destroyed(session& s, const destroy_summary& sum) {
  auto& name = s.arguments()[0];
  for (auto& folder : sum.drives_left)
    if (folder.starts_with("node:"))
      s.out.warn(fmt::format("{} {} not answer: what it keeps goes by itself, within 60 days, and nobody can read it", printable(folder),
                             s.dry_run() ? "does" : "did"));
    else
      s.out.warn(
          fmt::format("{} is not in service and may keep shards, which nobody can read; when it is back, run: datamesh vault destroy {}",
                      printable(folder), printable(name)));
  json_line line{"summary"};
  line.add("dry_run", s.dry_run()).name("vault", name).add("packs", sum.packs);
  if (!s.dry_run())
    line.add("shards_removed", sum.shards_removed);
  s.out.line(line.add("bytes_freed", sum.bytes_freed).names("drives_left", sum.drives_left));
  s.out.print("{} vault '{}'.", s.dry_run() ? "Would destroy" : "Destroyed", printable(name));
  if (s.dry_run() && sum.packs > 0)
    s.out.print("Its {} would go from the drives: about {} would be free.", counted(sum.packs, "pack", "packs"),
                s.out.size(sum.bytes_freed));
  if (sum.shards_removed > 0)
    s.out.print("Removed {}: {} are free.", counted(sum.shards_removed, "shard", "shards"), s.out.size(sum.bytes_freed));
  else if (s.set.flag("key-only") && !s.dry_run())
    s.out.note("Its shards stay on the drives. Nobody can read them.");
  return 0;
}

/// Why a removal of shards ended early; the key of the vault is gone.
failure shards_left(const session& s, std::string what) {
  return {
      errc::cancelled, std::move(what),
      fmt::format("datamesh vault destroy {}, or the next cleanup of any vault, removes the rest of them", printable(s.arguments()[0]))};
}

/// The key goes first: who interrupts what follows is told that it is gone.
bool is_gone(node& n, const std::string& name) {
  auto all = n.vaults();
  return all && std::none_of(all->begin(), all->end(), [&](auto& facts) { return facts.name == name; });
}

outcome<destroy_summary> destroy(session& s, node& n, const vault_facts& facts) {
  if (s.set.flag("key-only")) {
    if (auto done = n.destroy_vault(facts.name); !done)
      return refuse(done.error());
    return destroy_summary{};
  }
  // Without a key there is nothing to open: an earlier removal goes on.
  auto with = facts.locks.empty() ? outcome<credential>{credential::this_device()} : s.credential_for(facts);
  if (!with)
    return refuse(with.error());
  auto done = s.with_progress([&](const job_options& job) { return n.destroy_vault(facts.name, *with, job); });
  if (done)
    return *done;
  failure why{done.error()};
  if (why.code == errc::cancelled && is_gone(n, facts.name))
    return refuse(
        shards_left(s, fmt::format("vault '{}' is destroyed and nobody can read it any more, but not all of its shards are removed",
                                   printable(facts.name))));
  // Where nothing can be written the key stays, too.
  constexpr errc hold_for_the_key[] = {errc::locked,    errc::authentication_failed, errc::no_vault, errc::cancelled,
                                       errc::read_only, errc::permission_denied};
  if (std::find(std::begin(hold_for_the_key), std::end(hold_for_the_key), why.code) == std::end(hold_for_the_key))
    why.next = fmt::format("datamesh vault destroy {} --key-only, which needs no password and leaves the shards", printable(facts.name));
  return refuse(std::move(why));
}

/// What a removal would find, by the catalog.
outcome<destroy_summary> foresee_destroy(session& s, node& n, const vault_facts& facts) {
  destroy_summary sum;
  if (s.set.flag("key-only") || facts.locks.empty())
    return sum;
  auto with = s.credential_for(facts);
  if (!with)
    return refuse(with.error());
  auto there = n.open_vault(facts.name, *with);
  auto stats = there ? there->stats() : fail(there.error());
  if (!stats)
    return refuse(not_opened(stats.error(), facts.name, n.home()));
  sum.packs = stats->packs;
  sum.bytes_freed = stats->shard_bytes;
  for (const auto& drive : n.drives())
    if (drive.state == "missing" || drive.state == "failed")
      sum.drives_left.push_back(drive.folder);
  return sum;
}

} // namespace

outcome<int> run_vault_destroy(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto& name = s.arguments()[0];
  auto all = (*n)->vaults();
  if (!all)
    return refuse(all.error());
  auto found = std::find_if(all->begin(), all->end(), [&](auto& facts) { return facts.name == name; });
  if (found == all->end()) {
    // Its key may be gone already, and shards of it left.
    auto rest = s.dry_run() ? result<destroy_summary>{datamesh::fail(errc::no_vault, "destroy vault", name)}
                            : (*n)->destroy_vault(name, credential::this_device(), {.cancel = s.cancel});
    if (!rest && rest.error().code() == errc::cancelled)
      return refuse(shards_left(s, fmt::format("vault '{}' was destroyed before, and not all of its shards are removed", printable(name))));
    if (!rest && rest.error().code() != errc::no_vault && rest.error().code() != errc::name_invalid)
      return refuse(rest.error());
    if (!rest)
      return refuse(errc::no_vault, fmt::format("there is no vault '{}' here", printable(name)), "datamesh vault list");
    return vault_destroyed(s, *rest);
  }
  if (!s.dry_run() && !s.set.flag("yes")) {
    auto sure =
        ask_for(fmt::format("Everything in '{}' will be unreadable for ever. Type its name to go on:", printable(name)), name, s.cancel);
    if (!sure)
      return refuse(sure.error());
    if (!*sure)
      return refuse(not_confirmed("the vault stays"));
  }
  auto done = s.dry_run() ? foresee_destroy(s, **n, *found) : destroy(s, **n, *found);
  if (!done)
    return refuse(done.error());
  return vault_destroyed(s, *done);
}

} // namespace datamesh::cli
