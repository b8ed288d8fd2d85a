// drive: the folders that shards lie in.
#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>
#include <functional>

namespace datamesh::cli {

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

failure drive_refused(const error& why, const std::string& folder) {
  failure told{why};
  auto shown = shell_word(folder);
  // What is in the folder is written first, then the home's list of drives.
  auto of_folder = told.what.find("'" + printable(folder)) != std::string::npos;
  if (is_node_name(folder) && why.code() == errc::permission_denied)
    told.next = "on that node: datamesh node allow VAULT-ID SIZE; 'datamesh vault list --json' here shows the id";
  else if (is_node_name(folder) && why.code() == errc::timed_out)
    told.next = "datamesh peers shows the nodes that are known; that node must run as a member of this mesh";
  else if (is_node_name(folder) && why.code() == errc::already_exists)
    told.next = "datamesh drive list";
  else if (is_node_name(folder) && why.code() == errc::invalid_argument)
    told.next = "name it as 'node:' and the 64 digits that 'datamesh node status' shows there, where the daemon's settings name the mesh";
  else if (why.code() == errc::already_exists)
    told.next = "datamesh drive list, or name an empty folder; 'datamesh drive adopt DIR' takes over a drive of another node";
  else if (why.code() == errc::read_only && of_folder)
    told.next = fmt::format("mount the file system of {} read-write, or name a folder on another disk", shown);
  else if (why.code() == errc::read_only)
    told.next = fmt::format("mount the file system of the home read-write, then: datamesh drive adopt {}", shown);
  else if (why.code() == errc::no_space && of_folder)
    told.next = fmt::format("free space where {} is, or name a folder on another disk", shown);
  else if (why.code() == errc::no_space)
    told.next = fmt::format("free space on the disk of the home, then: datamesh drive adopt {}", shown);
  return told;
}

failure adopt_refused(const error& why, const std::string& folder) {
  if (why.code() == errc::drive_missing || why.code() == errc::drive_alien || why.code() == errc::not_a_folder)
    return {why.code(), why.message(),
            "name the folder of a drive, mounted: it holds a file 'datamesh-drive'; 'datamesh drive add DIR' makes a new drive"};
  return drive_refused(why, folder);
}

namespace {

/// Nothing is done to any of the folders when one of them can not be a drive beside those in *there*.
outcome<int> each_drive(session& s, const std::function<std::string_view(const drive_report&)>& action,
                        const std::vector<std::string>& there, const std::function<result<drive_report>(const std::string&)>& take,
                        failure (*refused)(const error&, const std::string&)) {
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
      return refuse(refused(drive.error(), folder));
    s.out.line(drive_json(*drive));
    s.out.print("{} {}, id {}.", action(*drive), printable(drive->folder), drive->id.brief());
    warn_if_full(s.out, *drive);
  }
  s.out.line(json_line{"summary"}.add("drives", s.arguments().size()));
  return 0;
}

void tell_drive_change(session& s, const drive_report& drive, const std::string& would, const std::string& did) {
  s.out.line(json_line{"summary"}.add("dry_run", s.dry_run()).add("id", drive.id.hex()).name("folder", drive.folder));
  s.out.print("{} {}.", s.dry_run() ? would : did, printable(drive.folder));
}

} // namespace

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

json_line drive_json(const drive_report& drive, json_line line) {
  line.add("id", drive.id.hex())
      .name("folder", drive.folder)
      .add("state", drive.state)
      .add("shards", drive.shards)
      .add("shard_bytes", drive.shard_bytes)
      .add("disk_total", drive.disk_total)
      .add("disk_free", drive.disk_free);
  if (drive.held > 0)
    line.add("held", drive.held);
  if (drive.reason)
    line.add("error", facts_of(drive.reason->code()).name).add("reason", drive.reason->message());
  line = with_labels(std::move(line), drive.labels);
  if (drive.outside_rule)
    line.add("outside_rule", true);
  return line;
}

std::string drive_table(const output& out, const std::vector<drive_report>& drives) {
  using align = text_table::align;
  auto labelled = std::ranges::any_of(drives, [](const auto& drive) { return drive.labels != drive_labels{} || drive.outside_rule; });
  std::vector<std::string> heading{"ID", "STATE", "SHARDS", "STORED", "FREE", "FOLDER"};
  std::vector columns{align::left, align::left, align::right, align::right, align::right, align::left, align::left};
  auto holds = std::ranges::any_of(drives, [](const auto& drive) { return drive.held > 0; });
  if (holds) {
    heading.insert(heading.end() - 1, "HELD");
    columns.insert(columns.begin() + 5, align::right);
  }
  if (labelled)
    heading.insert(heading.end() - 1, "LABELS");
  text_table table{columns};
  table.heading(heading);
  for (auto& drive : drives) {
    std::vector<std::string> row{drive.id.brief(),
                                 drive.state,
                                 grouped(drive.shards),
                                 out.size(drive.shard_bytes),
                                 drive.disk_total > 0 ? out.size(drive.disk_free) : "-",
                                 printable(drive.folder)};
    if (holds)
      row.insert(row.end() - 1, out.size(drive.held));
    if (labelled)
      row.insert(row.end() - 1, labels_text(drive.labels) + (drive.outside_rule ? ", outside the rule" : ""));
    table.row(std::move(row));
  }
  return table.render();
}

outcome<int> run_drive_add(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto there = (*n)->drives();
  auto draining = [&](const std::string& folder) {
    return std::find_if(there.begin(), there.end(),
                        [&](auto& drive) { return drive.state == "draining" && same_folder(drive.folder, folder); });
  };
  auto action = [&](const drive_report& drive) {
    return draining(drive.folder) == there.end() ? "Added" : "New data goes again to";
  };
  auto add = [&](const std::string& folder) {
    auto back = draining(folder);
    return (*n)->add_drive(back == there.end() ? folder : back->folder);
  };
  return each_drive(s, action, folders_of(there), add, drive_refused);
}

outcome<int> run_drive_adopt(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto there = (*n)->drives();
  for (auto& drive : there)
    for (auto& folder : s.arguments())
      if (drive.state != "failed" && drive.state != "missing" && same_folder(drive.folder, folder))
        return refuse(errc::already_exists, fmt::format("'{}' is a drive of this node", printable(folder)),
                      drive.state == "draining" ? fmt::format("datamesh drive add {}, which gives it new data again", shell_word(folder))
                                                : "datamesh drive list");
  // One that is missing may be what is adopted now, at its new place.
  std::erase_if(there, [](auto& drive) { return drive.state == "missing"; });
  return each_drive(
      s, [](const drive_report&) { return "Adopted"; }, folders_of(there),
      [&](const std::string& folder) { return (*n)->adopt_drive(folder); }, adopt_refused);
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
    s.out.note("It gets no new data. To empty it, run: datamesh rebalance; to have it as before: datamesh drive add {}",
               shell_word(drive->folder));
  return 0;
}

namespace {

/// Where another drive is out of service its shards wait for its replacement: that is no
/// trouble of this one's.
void tell_unplaced(session& s, const std::vector<drive_report>& drives, const drive_id& replaced, uint64_t count) {
  for (const auto& drive : drives)
    if (drive.id != replaced && (drive.state == "missing" || drive.state == "failed"))
      return s.out.note("{} until {} is replaced, too: datamesh drive replace {} DIR", counted(count, "shard waits", "shards wait"),
                        printable(drive.folder), shell_word(drive.folder));
  s.out.warn(fmt::format("{} be rebuilt, but no drive takes {} yet; run: datamesh repair", counted(count, "shard could", "shards could"),
                         count == 1 ? "it" : "them"));
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
  if (folder) {
    auto added = n.add_drive(*folder);
    if (!added)
      return refuse(drive_refused(added.error(), *folder));
    // It is where the old one was, as far as anybody said.
    if (const auto& as = old.labels; as != drive_labels{})
      if (auto labelled = n.label_drive(added->id.hex(), {as.region, as.zone, as.operated_by}); !labelled)
        return refuse(labelled.error());
  }
  if (old.state == "ok" || old.state == "read-only")
    if (auto drained = n.drain_drive(old.id.hex()); !drained && !may_still_be_emptied(drained.error().code()))
      return refuse(drained.error());
  auto moved = s.with_progress([&](const job_options& job) { return v.rebalance(false, job); });
  if (!moved)
    return refuse(moved.error());
  return *moved;
}

/// Refuses what the node would, in a dry run, too.
outcome<void> check_new_folder(const session& s, const std::string& folder, const std::string& home,
                               const std::vector<std::string>& there) {
  if (auto apart = check_drive_folders({folder}, home, there); !apart)
    return apart;
  if (auto possible = check_can_be_made(folder, !s.by_daemon()); !possible)
    return possible;
  return check_no_drives({folder});
}

/// Whether a drive stays for vault *name*, or for any, that is not open.
bool names_closed(const std::string& reason, const std::string& name = {}) {
  return reason.find(name.empty() ? "', which is not open" : fmt::format("vault '{}', which is not open", name)) != std::string::npos;
}

/// Nothing but what is kept for others holds the drive.
bool is_for_guests(const failure& why) {
  return why.code == errc::conflict && why.what.find("kept for others") != std::string::npos;
}

/// Nobody moves the shards of others; who owns them makes them again.
std::string give_up_guests(const drive_report& drive) {
  return fmt::format("datamesh drive remove {} --force, which gives up what is kept there for others: their owners have to make it again "
                     "from their other shards",
                     shell_word(drive.folder));
}

/// Why *old* stays, with what is to be done for it to go.
failure old_stays(const error& reason, const drive_report& old, const std::string& folder, const std::vector<std::string>& others) {
  failure why{reason};
  if (reason.code() != errc::conflict)
    return why;
  auto closed = std::find_if(others.begin(), others.end(), [&](auto& name) { return names_closed(why.what, name); });
  if (is_for_guests(why))
    why.next = give_up_guests(old);
  else if (old.state != "missing" && closed != others.end())
    why.next = fmt::format("datamesh --vault {2} drive replace {0} {1}", shell_word(old.folder), shell_word(folder), shell_word(*closed));
  else if (old.state != "missing" && names_closed(why.what))
    // What other people's keys open is moved by them alone.
    why.next = fmt::format("whoever has a vault here runs: datamesh rebalance; then again: datamesh drive replace {} {}",
                           shell_word(old.folder), shell_word(folder));
  else if (others.empty())
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
  if (old->state != "missing" && same_folder(old->folder, folder))
    return refuse(errc::already_exists, fmt::format("'{}' is the drive that is to be replaced", printable(folder)), "name another folder");
  auto others = (*n)->drives();
  // An earlier try may have added it. What a drive in use has would stay where it is, with no
  // place for the other's.
  auto begun = [&](auto& drive) {
    return drive.shards == 0 || old->state != "ok";
  };
  auto there = std::any_of(others.begin(), others.end(), [&](auto& drive) {
    return drive.id != old->id && drive.state == "ok" && drive.folder == folder && begun(drive);
  });
  for (const auto& drive : others)
    if (!there && drive.id != old->id && drive.state != "missing" && same_folder(drive.folder, folder))
      return refuse(errc::already_exists, fmt::format("'{}' is a drive of this node", printable(drive.folder)),
                    "name a folder that is none; to do with fewer drives: datamesh drive drain " + shell_word(old->folder)
                        + " && datamesh rebalance && datamesh drive remove " + shell_word(old->folder));
  // A new disk may be mounted where the old one was.
  std::erase_if(others, [&](auto& drive) { return drive.id == old->id && drive.state == "missing"; });
  if (!there)
    if (auto good = check_new_folder(s, folder, (*n)->home(), folders_of(others)); !good)
      return refuse(good.error());
  json_line line{"summary"};
  line.add("dry_run", s.dry_run()).add("old", old->id.hex()).name("new_folder", folder);
  if (s.dry_run()) {
    s.out.print("Would add {}, move {} off {} and take it out of the node.", printable(folder), counted(old->shards, "shard", "shards"),
                printable(old->folder));
    s.out.line(line.add("shards_moved", old->state == "missing" ? 0 : old->shards).add("shards_repaired", 0).add("removed", false));
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

namespace {

/// A vault that does not open without a question; none where it is another's.
std::optional<std::string> one_that_asks(const node& n) {
  if (auto all = n.vaults())
    for (const auto& facts : *all)
      if (std::none_of(facts.locks.begin(), facts.locks.end(), [](auto& lock) { return lock.kind == "device"; }))
        return shell_word(facts.name);
  return std::nullopt;
}

} // namespace

outcome<int> run_drive_remove(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto drive = find_drive(**n, s.arguments()[0]);
  if (!drive)
    return refuse(drive.error());
  auto force = s.set.flag("force");
  if (s.dry_run() && drive->shards > 0 && !force)
    return refuse(errc::conflict, fmt::format("'{}' has {}", printable(drive->folder), counted(drive->shards, "shard", "shards")),
                  fmt::format("datamesh drive drain {0} && datamesh rebalance && datamesh drive remove {0}", shell_word(drive->folder)));
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
      if (is_for_guests(why))
        why.next = give_up_guests(*drive);
      else if (why.code == errc::conflict && drive->state == "missing")
        why.next = fmt::format(
            "datamesh drive replace {0} NEW; or, when it does not come back: datamesh drive remove {0} --force && datamesh repair",
            shell_word(drive->folder));
      else if (why.code == errc::conflict && drive->state == "failed")
        why.next =
            fmt::format("datamesh rebalance && datamesh drive remove {0}, or: datamesh drive replace {0} NEW", shell_word(drive->folder));
      else if (why.code == errc::conflict && names_closed(why.what)) {
        auto closed = one_that_asks(**n);
        why.next = fmt::format("{0} datamesh drive remove {1}; or, to give up what it has there: datamesh drive remove {1} --force",
                               closed ? fmt::format("datamesh --vault {} key trust-device &&", *closed)
                                      : fmt::format("datamesh drive drain {}; whoever has a vault here runs: datamesh rebalance; then:",
                                                    shell_word(drive->folder)),
                               shell_word(drive->folder));
      } else if (why.code == errc::conflict && why.what.find("that no vault here knows") != std::string::npos)
        why.next =
            fmt::format("datamesh rebuild && datamesh drive remove {0}, where they may be of a vault here; or, to give them up: datamesh "
                        "drive remove {0} --force",
                        shell_word(drive->folder));
      else if (why.code == errc::conflict)
        why.next = fmt::format("datamesh drive drain {0} && datamesh rebalance && datamesh drive remove {0}", shell_word(drive->folder));
      return refuse(std::move(why));
    }
  }
  tell_drive_change(s, *drive, "Would remove", "Removed");
  return 0;
}

} // namespace datamesh::cli
