// init, drive, vault, key: what a node is made of, and who may open it.
#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>

#include <unistd.h>

namespace datamesh::cli {

namespace {

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

std::string policy_text(const status_report& report, size_t drives) {
  if (report.policy_level == "block")
    return fmt::format("{} over blocks of one drive: damaged blocks are mended, the loss of the drive is not survived", report.policy);
  auto plus = report.policy.find('+');
  auto parity = plus == std::string::npos ? std::string{} : report.policy.substr(plus + 1);
  return fmt::format("{} over {} drives: any {} of them may be lost", report.policy, drives, parity);
}

/// The node that an interrupted `init` left without a vault, or null when there is none.
outcome<node*> unfinished_node(session& s) {
  // A home that is not there yet is made here, unless a daemon was named.
  if (s.set.text("socket").empty()) {
    auto opened = node::open(s.options());
    if (opened)
      s.adopt(std::move(*opened));
    else if (opened.error().code() == errc::no_vault)
      return nullptr;
  }
  auto found = s.open_node();
  if (!found)
    return refuse(found.error());
  auto* n = *found;
  auto vaults = n->vaults();
  if (!vaults)
    return refuse(vaults.error());
  if (!vaults->empty())
    return refuse(errc::vault_exists, fmt::format("there is a node with a vault '{}' in {}", vaults->front().name, printable(n->home())),
                  "datamesh vault create NAME, datamesh drive add DIR, or another --home");
  return n;
}

/// The reserve of a drive grows with its disk and is 64 MiB at least.
void warn_if_full(output& out, const drive_report& drive) {
  if (drive.disk_total > 0 && drive.disk_free == 0)
    out.warn(fmt::format("nothing fits on {}: of {}, less is free than a drive leaves alone", printable(drive.folder),
                         out.size(drive.disk_total)));
}

std::vector<std::string> folders_of(const std::vector<drive_report>& drives) {
  std::vector<std::string> folders;
  for (auto& drive : drives)
    folders.push_back(drive.folder);
  return folders;
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

failure drive_refused(const error& why) {
  failure told{why};
  if (why.code() == errc::already_exists)
    told.next = "datamesh drive list, or name an empty folder; 'datamesh drive adopt DIR' takes over a drive of another node";
  return told;
}

/// Nothing is done to any of the folders when one of them can not be a drive beside those in *there*.
outcome<int> each_drive(session& s, const char* action, const std::vector<std::string>& there,
                        const std::function<result<drive_report>(const std::string&)>& take) {
  auto folders = s.arguments();
  std::transform(folders.begin(), folders.end(), folders.begin(), absolute_path);
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  if (auto good = check_drive_folders(folders, (*n)->home(), there); !good)
    return refuse(good.error());
  for (auto& folder : folders) {
    auto drive = take(folder);
    if (!drive)
      return refuse(drive_refused(drive.error()));
    s.out.line(drive_json(*drive));
    s.out.print("{} {}, id {}.", action, printable(drive->folder), drive->id.brief());
    warn_if_full(s.out, *drive);
  }
  s.out.line(json_line{"summary"}.add("drives", s.arguments().size()));
  return 0;
}

/// The drive that *word* means, as the node understands it.
outcome<drive_report> find_drive(node& n, const std::string& word) {
  auto path = absolute_path(word);
  std::optional<drive_report> found;
  for (auto& drive : n.drives()) {
    if (drive.folder == path || drive.folder == word || same_folder(drive.folder, path))
      return drive;
    if (word.size() >= 2 && drive.id.hex().starts_with(word)) {
      if (found)
        return refuse(errc::invalid_argument, fmt::format("several drives begin with '{}'", printable(word)), "datamesh drive list");
      found = drive;
    }
  }
  if (!found)
    return refuse(errc::not_found, fmt::format("no drive is '{}'", printable(word)), "datamesh drive list");
  return *found;
}

void tell_drive_change(session& s, const drive_report& drive, const std::string& would, const std::string& did) {
  s.out.line(json_line{"summary"}.add("dry_run", s.dry_run()).add("id", drive.id.hex()).name("folder", drive.folder));
  s.out.print("{} {}.", s.dry_run() ? would : did, printable(drive.folder));
}

} // namespace

json_line drive_json(const drive_report& drive, json_line line) {
  line.add("id", drive.id.hex())
      .name("folder", drive.folder)
      .add("state", drive.state)
      .add("shards", drive.shards)
      .add("shard_bytes", drive.shard_bytes)
      .add("disk_total", drive.disk_total)
      .add("disk_free", drive.disk_free);
  if (drive.reason)
    line.add("error", facts_of(drive.reason->code()).name).add("reason", drive.reason->message());
  return line;
}

std::string drive_table(const output& out, const std::vector<drive_report>& drives) {
  using align = text_table::align;
  text_table table{{align::left, align::left, align::right, align::right, align::right, align::left}};
  table.heading({"ID", "STATE", "SHARDS", "STORED", "FREE", "FOLDER"});
  for (auto& drive : drives) {
    table.row({drive.id.brief(), drive.state, grouped(drive.shards), out.size(drive.shard_bytes),
               drive.disk_total > 0 ? out.size(drive.disk_free) : "-", printable(drive.folder)});
  }
  return table.render();
}

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
  if (*n == nullptr) {
    auto made = node::create(s.options());
    if (!made) {
      failure why{made.error()};
      if (why.code == errc::not_a_folder || why.code == errc::permission_denied || why.code == errc::read_only
          || why.code == errc::no_space)
        why.next =
            fmt::format("see what '{}' is and who may write there, or name another home with --home DIR", printable(s.set.text("home")));
      return refuse(std::move(why));
    }
    n = s.adopt(std::move(*made));
  }
  for (auto& folder : *wanted)
    if (auto added = (*n)->add_drive(folder); !added)
      return refuse(drive_refused(added.error()));
  auto made = make_vault(s, **n, s.set.text("name"), *password);
  if (!made)
    return made;
  s.out.print("Next:");
  s.out.print("  datamesh put FILE...");
  s.out.print("  datamesh ls");
  s.out.print("  datamesh get /NAME --to FOLDER");
  return 0;
}

outcome<int> run_drive_add(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  return each_drive(s, "Added", folders_of((*n)->drives()), [&](const std::string& folder) { return (*n)->add_drive(folder); });
}

outcome<int> run_drive_adopt(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto there = (*n)->drives();
  for (auto& drive : there)
    for (auto& folder : s.arguments())
      if (drive.state != "failed" && drive.state != "missing" && same_folder(drive.folder, folder))
        return refuse(errc::already_exists, fmt::format("'{}' is a drive of this node", printable(folder)), "datamesh drive list");
  // One that is missing may be what is adopted now, at its new place.
  std::erase_if(there, [](auto& drive) { return drive.state == "missing"; });
  return each_drive(s, "Adopted", folders_of(there), [&](const std::string& folder) { return (*n)->adopt_drive(folder); });
}

outcome<int> run_drive_list(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto drives = (*n)->drives();
  for (auto& drive : drives)
    s.out.line(drive_json(drive));
  auto text = drive_table(s.out, drives);
  for (auto& drive : drives)
    if (drive.reason)
      text += fmt::format("{}: {}\n", printable(drive.folder), printable(drive.reason->message()));
  s.out.page(text);
  s.out.line(json_line{"summary"}.add("drives", drives.size()));
  return 0;
}

outcome<int> run_drive_drain(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto drive = find_drive(**n, s.arguments()[0]);
  if (!drive)
    return refuse(drive.error());
  if (!s.dry_run())
    if (auto done = (*n)->drain_drive(drive->id.hex()); !done)
      return refuse(done.error());
  tell_drive_change(s, *drive, "Would drain", "Draining");
  if (!s.dry_run())
    s.out.note("It gets no new data. To empty it, run: datamesh rebalance");
  return 0;
}

namespace {

/// Where another drive is out of service its shards wait for its replacement: that is no
/// trouble of this one's.
void tell_unplaced(session& s, const std::vector<drive_report>& drives, const drive_id& replaced, uint64_t count) {
  for (const auto& drive : drives)
    if (drive.id != replaced && (drive.state == "missing" || drive.state == "failed"))
      return s.out.note("{} shards wait until {} is replaced, too: datamesh drive replace {} DIR", grouped(count), printable(drive.folder),
                        printable(drive.folder));
  s.out.warn(fmt::format("{} shards could be rebuilt, but no drive takes them yet; run: datamesh repair", count));
}

} // namespace

namespace {

/// Opens the vaults beside the chosen one that need no question, so that the node knows
/// whether their packs need a drive; *names* gets all of them.
std::vector<vault> open_others(session& s, node& n, const std::string& chosen, std::vector<std::string>& names) {
  std::vector<vault> opened;
  auto all = n.vaults();
  if (!all)
    return opened;
  for (const auto& facts : *all) {
    if (facts.name == chosen)
      continue;
    names.push_back(facts.name);
    auto with = s.credential_for(facts, false);
    if (!with)
      continue;
    if (auto other = n.open_vault(facts.name, *with))
      opened.push_back(std::move(*other));
  }
  return opened;
}

/// A drive that takes no writes is emptied all the same, and one that failed is so anyway.
bool may_still_be_emptied(errc code) {
  return code == errc::read_only || code == errc::drive_full || code == errc::no_space || code == errc::drive_failed;
}

/// Adds the new drive, unless an earlier try did, and moves to it what the old one has.
outcome<rebalance_summary> empty_drive(session& s, node& n, vault& v, const drive_report& old, const std::optional<std::string>& folder) {
  if (folder)
    if (auto added = n.add_drive(*folder); !added)
      return refuse(drive_refused(added.error()));
  if (old.state == "ok" || old.state == "read-only")
    if (auto drained = n.drain_drive(old.id.hex()); !drained && !may_still_be_emptied(drained.error().code()))
      return refuse(drained.error());
  auto moved = s.with_progress([&](const job_options& job) { return v.rebalance(false, job); });
  if (!moved)
    return refuse(moved.error());
  return *moved;
}

/// Why *old* stays, with what is to be done for it to go.
failure old_stays(const error& reason, const drive_report& old, const std::string& folder, const std::vector<std::string>& others) {
  failure why{reason};
  if (reason.code() != errc::conflict)
    return why;
  if (others.empty())
    why.next =
        fmt::format("datamesh repair && datamesh drive replace {0} {1}; or, to give up what only it has: datamesh drive remove {0} --force",
                    shell_word(old.folder), shell_word(folder));
  else
    why.next =
        fmt::format("datamesh --vault {2} drive replace {0} {1}, for each vault of this node; then: datamesh drive remove {0} --force",
                    shell_word(old.folder), shell_word(folder), others.front());
  return why;
}

} // namespace

outcome<int> run_drive_replace(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto old = find_drive(**n, s.arguments()[0]);
  if (!old)
    return refuse(old.error());
  auto folder = absolute_path(s.arguments()[1]);
  auto others = (*n)->drives();
  // An earlier try may have added it.
  auto there = std::any_of(others.begin(), others.end(),
                           [&](auto& drive) { return drive.id != old->id && drive.state == "ok" && same_folder(drive.folder, folder); });
  // A new disk may be mounted where the old one was.
  std::erase_if(others, [&](auto& drive) { return drive.id == old->id && drive.state == "missing"; });
  if (!there)
    if (auto good = check_drive_folders({folder}, (*n)->home(), folders_of(others)); !good)
      return refuse(good.error());
  json_line line{"summary"};
  line.add("dry_run", s.dry_run()).add("old", old->id.hex()).name("new_folder", folder);
  if (s.dry_run()) {
    s.out.print("Would add {}, move {} off {} and take it out of the node.", printable(folder), counted(old->shards, "shard", "shards"),
                printable(old->folder));
    s.out.line(line.add("shards_moved", 0).add("shards_repaired", 0).add("removed", false));
    return 0;
  }
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto moved = empty_drive(s, **n, **v, *old, there ? std::nullopt : std::optional{folder});
  if (!moved)
    return refuse(moved.error());
  auto mended = s.with_progress([&](const job_options& job) { return (*v)->verify({.repair = true}, job); });
  if (!mended)
    return refuse(mended.error());
  std::vector<std::string> other_names;
  auto other_vaults = open_others(s, **n, (*v)->name(), other_names);
  auto removed = (*n)->remove_drive(old->id.hex());
  // Nothing is lost with what is away, where all packs can be read without it.
  auto given_up = !removed && old->state == "missing" && mended->packs_lost == 0;
  if (given_up)
    removed = (*n)->remove_drive(old->id.hex(), true);
  line.add("shards_moved", moved->shards_moved).add("shards_repaired", mended->shards_repaired).add("removed", removed.has_value());
  s.out.print("Moved {} and rebuilt {}.", counted(moved->shards_moved, "shard", "shards"), grouped(mended->shards_repaired));
  if (mended->shards_unplaced > 0)
    tell_unplaced(s, (*n)->drives(), old->id, mended->shards_unplaced);
  s.out.line(line);
  if (!removed)
    return refuse(old_stays(removed.error(), *old, folder, other_names));
  s.out.print("{} is no drive of this node any more.", printable(old->folder));
  if (given_up)
    for (const auto& name : other_names)
      s.out.note("What vault '{0}' had there is not rebuilt yet; run: datamesh --vault {0} repair", name);
  return 0;
}

outcome<int> run_drive_remove(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto drive = find_drive(**n, s.arguments()[0]);
  if (!drive)
    return refuse(drive.error());
  auto force = s.set.flag("force");
  if (!s.dry_run()) {
    // Only open vaults can tell what of them is on it. Who forces need not have the keys.
    std::vector<vault> others;
    std::vector<std::string> names;
    if (drive->state == "missing" || drive->shards > 0)
      if (auto v = s.open_vault(!force))
        others = open_others(s, **n, (*v)->name(), names);
    auto done = (*n)->remove_drive(drive->id.hex());
    if (!done && done.error().code() == errc::conflict && force) {
      s.out.warn(fmt::format("without --force it is refused to {}", printable(done.error().attempted())));
      auto sure =
          s.confirm(fmt::format("Take {} with {} out of the node?", printable(drive->folder), counted(drive->shards, "shard", "shards")));
      if (!sure)
        return refuse(sure.error());
      if (!*sure)
        return refuse(not_confirmed("the drive stays"));
      done = (*n)->remove_drive(drive->id.hex(), true);
    }
    if (!done) {
      failure why{done.error()};
      if (why.code == errc::conflict && drive->state == "missing")
        why.next = fmt::format(
            "datamesh drive replace {0} NEW; or, when it does not come back: datamesh drive remove {0} --force && datamesh repair",
            shell_word(drive->folder));
      else if (why.code == errc::conflict && drive->state == "failed")
        why.next =
            fmt::format("datamesh rebalance && datamesh drive remove {0}, or: datamesh drive replace {0} NEW", shell_word(drive->folder));
      else if (why.code == errc::conflict)
        why.next = fmt::format("datamesh drive drain {0} && datamesh rebalance && datamesh drive remove {0}", shell_word(drive->folder));
      return refuse(std::move(why));
    }
  }
  tell_drive_change(s, *drive, "Would remove", "Removed");
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
  s.out.print("{} '{}' when no --vault is given.", s.dry_run() ? "Would use" : "Commands use", printable(name));
  return 0;
}

namespace {

int vault_destroyed(session& s, const destroy_summary& sum) {
  auto& name = s.arguments()[0];
  for (auto& folder : sum.drives_left)
    s.out.warn(
        fmt::format("{} is not in service and may keep shards, which nobody can read; when it is back, run: datamesh vault destroy {}",
                    printable(folder), printable(name)));
  s.out.line(json_line{"summary"}
                 .add("dry_run", s.dry_run())
                 .name("vault", name)
                 .add("packs", sum.packs)
                 .add("shards_removed", sum.shards_removed)
                 .add("bytes_freed", sum.bytes_freed)
                 .names("drives_left", sum.drives_left));
  s.out.print("{} vault '{}'.", s.dry_run() ? "Would destroy" : "Destroyed", printable(name));
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
  if (why.code != errc::locked && why.code != errc::authentication_failed && why.code != errc::no_vault && why.code != errc::cancelled)
    why.next = fmt::format("datamesh vault destroy {} --key-only, which needs no password and leaves the shards", printable(facts.name));
  return refuse(std::move(why));
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
  auto done = s.dry_run() ? outcome<destroy_summary>{destroy_summary{}} : destroy(s, **n, *found);
  if (!done)
    return refuse(done.error());
  return vault_destroyed(s, *done);
}

outcome<int> run_key_list(session& s) {
  auto facts = s.chosen_vault();
  if (!facts)
    return refuse(facts.error());
  text_table table{{text_table::align::right, text_table::align::left, text_table::align::left, text_table::align::left}};
  table.heading({"NUMBER", "KIND", "MADE", "LABEL"});
  for (auto& lock : facts->locks) {
    s.out.line(
        json_line{"item"}.add("number", lock.number).add("kind", lock.kind).name("label", lock.label).time("created", lock.created_ns));
    table.row({std::to_string(lock.number), lock.kind, s.out.time(lock.created_ns), printable(lock.label)});
  }
  s.out.page(table.render());
  s.out.line(json_line{"summary"}.name("vault", facts->name).add("keys", facts->locks.size()));
  return 0;
}

namespace {

int key_done(session& s, const vault& v, const std::string& text) {
  s.out.line(json_line{"summary"}.name("vault", v.name()));
  s.out.print("{}", text);
  return 0;
}

} // namespace

outcome<int> run_key_change_password(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto next = s.new_password("new-");
  if (!next)
    return refuse(next.error());
  if (auto done = (*v)->change_password(**next); !done)
    return refuse(done.error());
  return key_done(s, **v, "The new password holds from now on.");
}

namespace {

/// Removes the recovery phrase that nobody saw: the one that was not there *before*.
failure take_back(vault& v, const std::vector<key_lock>& before) {
  auto now = v.key_locks();
  auto is_new = [&](const key_lock& lock) {
    return lock.kind == "recovery-phrase"
           && std::none_of(before.begin(), before.end(), [&](auto& old) { return old.number == lock.number; });
  };
  auto unseen = now ? std::find_if(now->begin(), now->end(), is_new) : decltype(now->begin()){};
  if (now && unseen != now->end() && v.remove_key_lock(unseen->number))
    return {errc::io_failed, "the new recovery phrase was not shown and holds no more", "datamesh key recovery"};
  return {errc::io_failed, "the new recovery phrase holds, but was not shown",
          "remove it, as 'datamesh key list' numbers it, with datamesh key remove NUMBER; then datamesh key recovery"};
}

} // namespace

outcome<int> run_key_recovery(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto before = (*v)->key_locks();
  if (!before)
    return refuse(before.error());
  auto phrase = (*v)->add_recovery_phrase();
  if (!phrase)
    return refuse(phrase.error());
  s.out.line(json_line{"summary"}.name("vault", (*v)->name()).add("recovery_phrase", *phrase));
  print_phrase(s.out, *phrase);
  explicit_bzero(phrase->data(), phrase->size());
  if (s.out.lost())
    s.out.if_lost(take_back(**v, *before));
  return 0;
}

outcome<int> run_key_trust_device(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  if (auto done = (*v)->trust_this_device(); !done)
    return refuse(done.error());
  return key_done(s, **v, "This machine opens the vault without a password from now on.");
}

outcome<int> run_key_remove(session& s) {
  auto facts = s.chosen_vault();
  if (!facts)
    return refuse(facts.error());
  auto number = static_cast<uint32_t>(parse_size(s.arguments()[0]).value_or(0));
  auto lock = std::find_if(facts->locks.begin(), facts->locks.end(), [&](auto& l) { return l.number == number; });
  if (lock == facts->locks.end())
    return refuse(errc::not_found, fmt::format("the vault has no key number {}", number), "datamesh key list");
  auto shown = fmt::format("{} {} ({})", lock->kind, number, printable(lock->label));
  if (!s.dry_run()) {
    auto sure = s.confirm(fmt::format("Remove the {}? What it opens stays open to the other keys only.", shown));
    if (!sure)
      return refuse(sure.error());
    if (!*sure)
      return refuse(not_confirmed("the key stays"));
    auto v = s.open_vault();
    if (!v)
      return refuse(v.error());
    if (auto done = (*v)->remove_key_lock(number); !done)
      return refuse(done.error());
  }
  s.out.line(json_line{"summary"}.add("dry_run", s.dry_run()).name("vault", facts->name).add("number", number));
  s.out.print("{} the {}.", s.dry_run() ? "Would remove" : "Removed", shown);
  return 0;
}

outcome<int> run_key_rotate(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto epoch = (*v)->rotate_epoch();
  if (!epoch)
    return refuse(epoch.error());
  s.out.line(json_line{"summary"}.name("vault", (*v)->name()).add("epoch", *epoch));
  s.out.print("New data is sealed under key {} from now on.", *epoch);
  return 0;
}

} // namespace datamesh::cli
