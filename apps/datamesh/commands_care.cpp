// status, stats, verify, repair, cleanup, rebalance, rebuild: whether data is safe, and
// what makes it so.
#include "display.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>

namespace datamesh::cli {

namespace {

constexpr int exit_degraded = 3;
constexpr int exit_damaged = 7;

/// Why the exit code is not 0 although the command did what it should.
int verdict(session& s, errc code, const std::string& what, const std::string& next = {}) {
  return s.out.fail(s.line.path, failure{code, what, next});
}

std::string_view name_of(status_report::answer answer) {
  switch (answer) {
  case status_report::answer::safe:
    return "safe";
  case status_report::answer::degraded:
    return "degraded";
  case status_report::answer::lost:
    return "lost";
  case status_report::answer::unknown:
    return "unknown";
  }
  return "unknown";
}

json_line status_json(const status_report& report) {
  std::vector<json_line> drives;
  for (auto& drive : report.drives)
    drives.push_back(drive_json(drive, {}));
  json_line line{"summary"};
  line.add("answer", name_of(report.overall))
      .add("sentence", report.sentence)
      .add("policy", report.policy)
      .add("policy_level", report.policy_level)
      .add("packs", report.packs)
      .add("packs_degraded", report.packs_degraded)
      .add("packs_lost", report.packs_lost)
      .add("packs_weaker", report.packs_weaker)
      .add("shards_outside", report.shards_outside)
      .add("margin_min", report.margin_min)
      .add("drives", drives);
  line.add("recovery", to_string(report.recovery.now));
  if (report.recovery.now != recovery_report::state::not_needed)
    line.add("recovery_copies", report.recovery.copies)
        .add("recovery_nodes", report.recovery.nodes)
        .add("recovery_nodes_left_out", report.recovery.nodes_left_out);
  if (report.recovery.until_ns)
    line.time("recovery_until", *report.recovery.until_ns);
  if (report.last_quick_verify_ns)
    line.time("last_quick_verify", *report.last_quick_verify_ns);
  if (report.last_deep_verify_ns)
    line.time("last_deep_verify", *report.last_deep_verify_ns);
  return line;
}

std::string checked_text(const output& out, const std::optional<int64_t>& ns, const char* advice) {
  return ns ? out.time(*ns) : fmt::format("never; run: {}", advice);
}

/// Whether the recovery phrase alone would bring the vault back.
std::string recovery_text(const output& out, const recovery_report& r) {
  using state = recovery_report::state;
  switch (r.now) {
  case state::not_needed:
    return {};
  case state::no_mesh:
    return "by a copy of the key file alone: this node is in no mesh that could keep one";
  case state::no_phrase:
    return "by a copy of the key file alone; run: datamesh key recovery, or once: datamesh status --phrase-file -";
  case state::too_large:
    return "by a copy of the key file alone: with so many keys it has no room in the mesh";
  case state::waiting:
    return "by a copy of the key file alone: no other node keeps the newest one yet";
  case state::kept:
    break;
  }
  auto text =
      fmt::format("by the phrase alone: {} until {}", counted(r.copies, "other node keeps the key file", "other nodes keep the key file"),
                  out.time(r.until_ns.value_or(0)));
  if (r.nodes_left_out > 0)
    text += fmt::format("; {} of {} nodes had no room in it", grouped(r.nodes_left_out), grouped(r.nodes_left_out + r.nodes));
  return text;
}

void print_status(output& out, const status_report& r) {
  auto word = r.overall == status_report::answer::safe       ? out.paint(tone::good, "Yes, your data is safe.")
              : r.overall == status_report::answer::degraded ? out.paint(tone::warning, "Yes, for now.")
              : r.overall == status_report::answer::lost     ? out.paint(tone::bad, "No.")
                                                             : out.paint(tone::warning, "That is not known.");
  out.print("{} {}", word, printable(r.sentence));
  out.print("");
  auto barred = !r.drives.empty() && std::ranges::all_of(r.drives, &drive_report::outside_rule);
  if (r.policy.empty())
    out.print("New data     is refused until a drive takes it{}", barred ? ": 'drive rule' leaves out all of them" : "");
  else
    out.print("New data     {} over {}s{}", r.policy, r.policy_level,
              r.policy_level == "block" ? ": guards against bit rot, not against the loss of the drive" : "");
  auto packs = grouped(r.packs);
  if (r.packs_degraded > 0)
    packs += fmt::format(", {} degraded", grouped(r.packs_degraded));
  if (r.packs_lost > 0)
    packs += fmt::format(", {} lost", grouped(r.packs_lost));
  out.print("Packs        {}", packs);
  if (r.packs_weaker > 0)
    out.print("Weaker       {} of them {} the loss of fewer drives than new data; run: datamesh cleanup --policy {}",
              grouped(r.packs_weaker), r.packs_weaker == 1 ? "survives" : "survive", r.policy);
  if (r.shards_outside > 0)
    out.print("Outside      {} on drives that 'drive rule' leaves out; run: datamesh rebalance",
              counted(r.shards_outside, "shard lies", "shards lie"));
  if (r.packs > 0 && r.margin_min >= 0)
    out.print("Reserve      {} more {} may be lost anywhere without loss of data", r.margin_min, r.margin_min == 1 ? "shard" : "shards");
  // Who reads all has checked all.
  out.print("Checked      {}", checked_text(out, std::max(r.last_quick_verify_ns, r.last_deep_verify_ns), "datamesh verify"));
  out.print("Read whole   {}", checked_text(out, r.last_deep_verify_ns, "datamesh verify --deep"));
  if (auto text = recovery_text(out, r.recovery); !text.empty())
    out.print("Comes back   {}", text);
  out.print("");
  // One screen: the worst drives first, and only as many as fit.
  auto drives = r.drives;
  std::stable_sort(drives.begin(), drives.end(), [](auto& a, auto& b) { return (a.state != "ok") > (b.state != "ok"); });
  constexpr size_t drives_shown = 12;
  auto hidden = drives.size() > drives_shown ? drives.size() - drives_shown : 0;
  drives.resize(drives.size() - hidden);
  out.page(drive_table(out, drives));
  if (hidden > 0)
    out.print("and {} more; run: datamesh drive list", hidden);
}

/// A home has a vault once, so its key file is not brought in again.
constexpr std::string_view newest_key = "datamesh --home NEW vault restore FILE --drive DIR..., with the copy of the key file that was "
                                        "exported after the last key rotate";

json_line verify_json(const verify_summary& sum, bool dry_run) {
  json_line line{"summary"};
  line.add("dry_run", dry_run)
      .add("packs", sum.packs)
      .add("shards", sum.shards)
      .add("bytes", sum.bytes)
      .add("shards_missing", sum.shards_missing)
      .add("shards_damaged", sum.shards_damaged)
      .add("shards_repaired", sum.shards_repaired)
      .add("shards_unplaced", sum.shards_unplaced)
      .add("packs_lost", sum.packs_lost)
      .add("packs_unread", sum.packs_unread)
      .names("files_lost", sum.files_lost);
  return line;
}

/// A failed drive, while packs have less redundancy than they should.
std::optional<std::string> failed_drive_in_use(const vault& v) {
  auto now = v.status();
  if (now && now->packs_degraded > 0)
    for (const auto& drive : now->drives)
      if (drive.state == "failed")
        return drive.folder;
  return std::nullopt;
}

outcome<int> run_check(session& s, bool repair) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  verify_request request{.deep = s.set.flag("deep"), .repair = repair, .paths = {}, .dry_run = s.dry_run()};
  if (!s.arguments().empty()) {
    auto paths = expand_all(**v, s.arguments());
    if (!paths)
      return refuse(paths.error());
    request.paths = std::move(*paths);
  }
  auto sum = s.with_progress([&](const job_options& job) { return (*v)->verify(request, job); });
  if (!sum)
    return refuse(sum.error());
  auto& out = s.out;
  out.line(verify_json(*sum, s.dry_run()));
  out.print("Checked {} of {}, {}{}.", counted(sum->shards, "shard", "shards"), counted(sum->packs, "pack", "packs"), out.size(sum->bytes),
            request.deep ? ", every block" : "");
  auto bad = sum->shards_missing + sum->shards_damaged;
  if (bad == 0 && sum->packs_lost == 0 && sum->files_lost.empty() && sum->packs_unread > 0)
    return verdict(s, errc::partial_failure,
                   counted(sum->packs_unread, "pack", "packs") + " on the drives could not be read, and what is in them is not known",
                   "bring back or adopt drives that are missing; where the key file is older than the packs: " + std::string{newest_key});
  auto lost = sum->packs_lost > 0 || !sum->files_lost.empty();
  if (repair && !s.dry_run() && bad == 0 && !lost)
    if (auto on = failed_drive_in_use(**v); on)
      return verdict(s, errc::degraded, "what lies on the failed drive " + printable(*on) + " can be read, but no drive takes it",
                     "datamesh drive replace " + shell_word(*on) + " NEW");
  if (bad == 0 && !lost) {
    out.print("{}", out.paint(tone::good, "All is well."));
    return 0;
  }
  out.print("{} missing, {} damaged.", counted(sum->shards_missing, "shard is", "shards are"), grouped(sum->shards_damaged));
  if (repair)
    out.print("{} {} rebuilt.", grouped(sum->shards_repaired), s.dry_run() ? "would be" : sum->shards_repaired == 1 ? "was" : "were");
  for (auto& file : sum->files_lost)
    out.print("{}  {}", out.paint(tone::bad, "lost"), printable_name(file));
  if (lost)
    return verdict(s, errc::damaged, counted(sum->files_lost.size(), "file", "files") + " can not be read whole any more");
  if (sum->shards_unplaced > 0)
    return verdict(s, errc::degraded, counted(sum->shards_unplaced, "shard", "shards") + " could be rebuilt, but no drive takes them",
                   "bring missing drives back, or run: datamesh drive add DIR && datamesh repair");
  if (repair && (s.dry_run() || sum->shards_repaired >= bad))
    return 0;
  return verdict(s, errc::degraded, counted(bad - std::min(bad, sum->shards_repaired), "shard is", "shards are") + " missing or damaged");
}

} // namespace

outcome<int> run_status(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto report = (*v)->status();
  if (!report)
    return refuse(report.error());
  s.out.line(status_json(*report));
  if (!s.out.json())
    print_status(s.out, *report);
  if (report->overall == status_report::answer::lost)
    return s.out.json() ? verdict(s, errc::damaged, report->sentence) : exit_damaged;
  if (report->overall != status_report::answer::safe)
    return s.out.json() ? verdict(s, errc::degraded, report->sentence) : exit_degraded;
  return 0;
}

namespace {

/// What is saved between *before* and *after* as a factor; where nothing is, *why*.
std::string saved(uint64_t before, uint64_t after, std::string_view by, std::string_view why) {
  if (after == 0)
    return {};
  if (after > before)
    return fmt::format(": {}", why);
  return fmt::format(": {:.2f}x by {}", static_cast<double>(before) / static_cast<double>(after), by);
}

void print_stored(output& out, const vault_stats& x) {
  out.print("Files        {} in {}, {}: {} in all, the trash included", grouped(x.files), counted(x.folders, "folder", "folders"),
            counted(x.symlinks, "link", "links"), counted(x.versions, "version", "versions"));
  out.print("Size         {} of the current versions", out.size(x.logical_bytes));
  out.print("Different    {} in {}{}", out.size(x.chunk_plain_bytes), counted(x.chunks, "chunk", "chunks"),
            saved(x.logical_bytes, x.chunk_plain_bytes, "deduplication and holes", "older versions are kept, or wait for a cleanup"));
  out.print("Sealed       {}{}", out.size(x.chunk_sealed_bytes),
            saved(x.chunk_plain_bytes, x.chunk_sealed_bytes, "compression", "the seals take more than compression saves"));
  out.print("On drives    {} in {}, with parity, padding and the log of changes", out.size(x.shard_bytes),
            counted(x.packs, "pack", "packs"));
}

} // namespace

outcome<int> run_stats(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto x = (*v)->stats();
  if (!x)
    return refuse(x.error());
  auto& out = s.out;
  json_line line{"summary"};
  line.add("files", x->files)
      .add("folders", x->folders)
      .add("symlinks", x->symlinks)
      .add("versions", x->versions)
      .add("logical_bytes", x->logical_bytes)
      .add("chunks", x->chunks)
      .add("chunk_plain_bytes", x->chunk_plain_bytes)
      .add("chunk_sealed_bytes", x->chunk_sealed_bytes)
      .add("packs", x->packs)
      .add("pack_bytes", x->pack_bytes)
      .add("shard_bytes", x->shard_bytes)
      .add("operations", x->operations)
      .add("catalog_bytes", x->catalog_bytes)
      .add("operations_since_checkpoint", x->operations_since_checkpoint);
  if (x->last_checkpoint_ns != 0)
    line.time("last_checkpoint", x->last_checkpoint_ns);
  out.line(line);
  print_stored(out, *x);
  out.print("Catalog      {}, {}", out.size(x->catalog_bytes), counted(x->operations, "operation", "operations"));
  out.print("Checkpoint   {}", x->last_checkpoint_ns == 0
                                   ? std::string{"none yet"}
                                   : fmt::format("{}, {} since", out.time(x->last_checkpoint_ns),
                                                 counted(x->operations_since_checkpoint, "operation", "operations")));
  return 0;
}

outcome<int> run_verify(session& s) {
  return run_check(s, s.set.flag("repair"));
}

outcome<int> run_repair(session& s) {
  return run_check(s, true);
}

outcome<int> run_cleanup(session& s) {
  constexpr uint64_t default_age = uint64_t{30} * 86400;
  cleanup_request request{.dry_run = s.dry_run(),
                          .trash_age = std::chrono::seconds{s.set.number("trash-age")},
                          .keep_versions = static_cast<uint32_t>(s.set.number("keep-versions")),
                          .policy = s.set.text("policy"),
                          .give_up_unread = s.set.flag("give-up-unread")};
  auto forgets_more = s.set.number("trash-age") < default_age || request.keep_versions > 0;
  if (!request.dry_run && request.give_up_unread) {
    auto sure = s.confirm("Delete for ever what only packs that could not be read may need?");
    if (!sure)
      return refuse(sure.error());
    if (!*sure)
      return refuse(not_confirmed("nothing was deleted"));
  }
  if (!request.dry_run && (forgets_more || s.set.flag("interactive"))) {
    auto age = s.set.number("trash-age");
    auto sure = s.confirm(fmt::format(
        "Forget for ever {}{}?", age == 0 ? "all that is in the trash" : "what is in the trash for longer than " + human_span(age),
        request.keep_versions == 0 ? ""
        : request.keep_versions == 1
            ? ", and all but the current version of each file"
            : fmt::format(", and all but {} versions of each file, the current one among them", grouped(request.keep_versions))));
    if (!sure)
      return refuse(sure.error());
    if (!*sure)
      return refuse(not_confirmed("nothing was forgotten"));
  }
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto sum = s.with_progress([&](const job_options& job) { return (*v)->cleanup(request, job); });
  if (!sum && sum.error().code() == errc::conflict)
    return refuse(errc::conflict, fmt::format("can not {} in '{}'", sum.error().attempted(), printable((*v)->name())),
                  "bring back or adopt the drives that are missing, as 'datamesh status' tells; if they, or the key, are gone for good: "
                  "datamesh cleanup --give-up-unread");
  if (!sum)
    return refuse(sum.error());
  s.out.line(json_line{"summary"}
                 .add("dry_run", request.dry_run)
                 .add("nodes_forgotten", sum->nodes_forgotten)
                 .add("versions_forgotten", sum->versions_forgotten)
                 .add("packs_deleted", sum->packs_deleted)
                 .add("packs_copied", sum->packs_copied)
                 .add("bytes_copied", sum->bytes_copied)
                 .add("bytes_freed", sum->bytes_freed)
                 .add("shards_waiting", sum->shards_waiting));
  s.out.print("{} {} and {}, {} {}: {} {}.", request.dry_run ? "Would forget" : "Forgot", counted(sum->nodes_forgotten, "entry", "entries"),
              counted(sum->versions_forgotten, "version", "versions"), request.dry_run ? "delete" : "deleted",
              counted(sum->packs_deleted, "pack", "packs"), s.out.size(sum->bytes_freed), request.dry_run ? "would be free" : "are free");
  if (sum->packs_copied > 0)
    s.out.print("What is still needed of {} of them, {}, {} other packs.", grouped(sum->packs_copied), s.out.size(sum->bytes_copied),
                request.dry_run ? "would go into" : "is in");
  if (sum->shards_waiting > 0)
    s.out.print("{} of that {} on drives that are away or take no writes: the next cleanup removes what it can.",
                counted(sum->shards_waiting, "shard", "shards"), sum->shards_waiting == 1 ? "waits" : "wait");
  return 0;
}

outcome<int> run_rebalance(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto sum = s.with_progress([&](const job_options& job) { return (*v)->rebalance(s.dry_run(), job); });
  if (!sum)
    return refuse(sum.error());
  s.out.line(json_line{"summary"}
                 .add("dry_run", s.dry_run())
                 .add("shards_moved", sum->shards_moved)
                 .add("bytes_moved", sum->bytes_moved)
                 .add("shards_left", sum->shards_left));
  s.out.print("{} {}, {}.", s.dry_run() ? "Would move" : "Moved", counted(sum->shards_moved, "shard", "shards"),
              s.out.size(sum->bytes_moved));
  if (sum->shards_left > 0)
    return verdict(s, errc::degraded, counted(sum->shards_left, "shard", "shards") + " could not be moved: no other drive takes them",
                   "bring missing drives back, or run: datamesh drive add DIR && datamesh rebalance");
  return 0;
}

outcome<int> rebuilt(session& s, const std::string& vault, const rebuild_summary& sum) {
  s.out.line(json_line{"summary"}
                 .add("packs", sum.packs)
                 .add("packs_unreadable", sum.packs_unreadable)
                 .add("packs_newer", sum.packs_newer)
                 .add("operations", sum.operations)
                 .add("files", sum.files)
                 .add("operations_missing", sum.operations_missing)
                 .add("drives_unseen", sum.drives_unseen)
                 .add("packs_incomplete", sum.packs_incomplete));
  s.out.print("Rebuilt the catalog of '{}': {} from {} in {}.", printable(vault), counted(sum.files, "file", "files"),
              counted(sum.operations, "operation", "operations"), counted(sum.packs, "pack", "packs"));
  // Lost, or on a drive that is away: from here nobody can tell.
  constexpr auto next = "bring back drives that are away, then: datamesh rebuild; datamesh verify lists the files that can not be read";
  if (sum.packs_newer > 0)
    return verdict(s, errc::partial_failure,
                   counted(sum.packs_newer, "pack is", "packs are") + " newer than the key file, which has no key for what is in them",
                   std::string{newest_key});
  if (sum.packs_unreadable > 0)
    return verdict(
        s, errc::partial_failure,
        counted(sum.packs_unreadable, "pack", "packs") + " could not be read: what is in them is lost, or on a drive that is away", next);
  if (sum.drives_unseen > 0)
    return verdict(s, errc::partial_failure,
                   (sum.drives_unseen == 1 ? std::string{"a drive is"} : grouped(sum.drives_unseen) + " drives are")
                       + " not in service, and what lies there alone is missing",
                   "bring them back: what is on them is taken in then; or: datamesh drive adopt DIR");
  if (sum.packs_incomplete > 0)
    return verdict(s, errc::partial_failure,
                   counted(sum.packs_incomplete, "pack has", "packs have")
                       + " too few shards here: the rest is on other drives, or a put that was cut off left them",
                   "if the vault has other drives: datamesh drive adopt DIR");
  if (sum.operations_missing > 0)
    return verdict(s, errc::partial_failure,
                   counted(sum.operations_missing, "operation is", "operations are") + " missing: lost, or on a drive that is away", next);
  return 0;
}

outcome<int> run_rebuild(session& s) {
  auto facts = s.chosen_vault();
  if (!facts)
    return refuse(facts.error());
  auto with = s.credential_for(*facts);
  if (!with)
    return refuse(with.error());
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto sum = s.with_progress([&](const job_options& job) { return (*n)->rebuild_catalog(facts->name, *with, job); });
  if (!sum)
    return refuse(not_opened(sum.error(), facts->name, (*n)->home()));
  return rebuilt(s, facts->name, *sum);
}

} // namespace datamesh::cli
