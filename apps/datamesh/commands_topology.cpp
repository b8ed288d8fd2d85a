// drive label, topology, distribution: where drives and data are, and what a loss would do.
#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>
#include <map>

namespace datamesh::cli {

namespace {

constexpr size_t digits_shown = 12; ///< Of a node's id, in a tree for people.

std::string_view const label_keys[] = {"region", "zone", "operator"};

std::optional<std::string>* field(drive_label_change& of, std::string_view key) {
  std::optional<std::string>* fields[] = {&of.region, &of.zone, &of.operated_by};
  auto found = std::ranges::find(label_keys, key);
  return found == std::end(label_keys) ? nullptr : fields[found - std::begin(label_keys)];
}

outcome<drive_label_change> change_of(std::span<const std::string> words) {
  drive_label_change change;
  for (const auto& word : words) {
    auto equals = word.find('=');
    auto* to = equals == std::string::npos ? nullptr : field(change, word.substr(0, equals));
    if (to == nullptr)
      return refuse(errc::usage, fmt::format("'{}' is not region=NAME, zone=NAME or operator=NAME", printable(word)),
                    "datamesh help drive label");
    if (*to)
      return refuse(errc::usage, fmt::format("'{}' stands there twice", printable(word.substr(0, equals))), "datamesh help drive label");
    *to = word.substr(equals + 1);
  }
  return change;
}

/// The drive's labels once *change* is made.
drive_labels labels_after(const drive_labels& old, const drive_label_change& change) {
  return {change.region.value_or(old.region), change.zone.value_or(old.zone), change.operated_by.value_or(old.operated_by)};
}

} // namespace

json_line with_labels(json_line line, const drive_labels& labels) {
  const std::pair<std::string_view, const std::string&> all[] = {
      {"region", labels.region}, {"zone", labels.zone}, {"operator", labels.operated_by}};
  for (const auto& [key, value] : all)
    if (!value.empty())
      line.add(key, std::string_view{value});
  return line;
}

std::string labels_text(const drive_labels& labels) {
  std::vector<std::string> texts;
  const std::string* values[] = {&labels.region, &labels.zone, &labels.operated_by};
  for (size_t i = 0; i < std::size(values); ++i)
    if (!values[i]->empty())
      texts.push_back(fmt::format("{}={}", label_keys[i], printable(*values[i])));
  return texts.empty() ? "-" : fmt::format("{}", fmt::join(texts, " "));
}

outcome<int> run_drive_label(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto change = change_of(std::span{s.arguments()}.subspan(1));
  if (!change)
    return refuse(change.error());
  auto drive = find_drive(**n, s.arguments()[0]);
  if (!drive)
    return refuse(drive.error());
  auto labels = labels_after(drive->labels, *change);
  if (!s.dry_run()) {
    auto done = (*n)->label_drive(drive->id.hex(), *change);
    if (!done && done.error().code() == errc::name_invalid)
      return refuse(errc::name_invalid, done.error().message(),
                    "a label has 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter or digit");
    if (!done && (done.error().code() == errc::format_damaged || done.error().code() == errc::format_newer))
      return refuse(done.error().code(), done.error().message(),
                    fmt::format("look at {}; without that file no drive has a label", shell_word((*n)->home() + "/labels")));
    if (!done)
      return refuse(done.error());
    labels = done->labels;
  }
  s.out.line(
      with_labels(json_line{"summary"}.add("dry_run", s.dry_run()).add("id", drive->id.hex()).name("folder", drive->folder), labels));
  auto text = labels_text(labels);
  s.out.print("{} {}: {}.", s.dry_run() ? "Would label" : "Labelled", printable(drive->folder), text == "-" ? "no label" : text);
  if (!s.dry_run() && drive->labels != labels)
    s.out.print("New data heeds it from now on. For what is there, run: datamesh rebalance");
  return 0;
}

// -- topology ------------------------------------------------------------------------------

namespace {

/// A part of the tree: what is below it, and the drives that are in it.
struct place {
  std::string name;
  std::string kind; ///< "region", "zone", "operator", "node", "drive"; empty for the whole.
  std::map<std::string, place> parts;
  std::vector<const drive_report*> drives; ///< All, also those of parts.

  template <class Number>
  [[nodiscard]] uint64_t sum(Number drive_report::*figure) const {
    uint64_t total = 0;
    for (const auto* drive : drives)
      total += drive->*figure;
    return total;
  }
  /// How many are in which state: "ok", or "5 ok, 1 missing".
  [[nodiscard]] std::string state() const {
    std::map<std::string, size_t> states;
    for (const auto* drive : drives)
      ++states[drive->state];
    if (states.size() == 1)
      return states.begin()->first;
    std::vector<std::string> texts;
    for (const auto& [word, count] : states)
      texts.push_back(fmt::format("{} {}", count, word));
    return fmt::format("{}", fmt::join(texts, ", "));
  }
};

std::string node_of(const drive_report& drive) {
  return is_node_name(drive.folder) ? drive.folder : std::string{"this node"};
}

/// Region, zone, operator and node of each drive, in this order. A level that no drive has a label of is left out.
place tree_of(const std::vector<drive_report>& drives) {
  auto any = [&](std::string drive_labels::*label) {
    return std::ranges::any_of(drives, [&](const auto& drive) { return !(drive.labels.*label).empty(); });
  };
  const std::pair<std::string_view, std::string drive_labels::*> levels[] = {
      {"region", &drive_labels::region}, {"zone", &drive_labels::zone}, {"operator", &drive_labels::operated_by}};
  place root;
  for (const auto& drive : drives) {
    auto* at = &root;
    auto enter = [&](const std::string& name, std::string_view kind) {
      at->drives.push_back(&drive);
      // What has no name stands behind what has.
      at = &at->parts[name.empty() ? "\x7f" : name];
      at->name = name.empty() ? fmt::format("(no {})", kind) : name;
      at->kind = kind;
    };
    for (const auto& [kind, label] : levels)
      if (any(label))
        enter(drive.labels.*label, kind);
    enter(node_of(drive), "node");
    if (!is_node_name(drive.folder))
      enter(drive.folder, "drive");
    at->drives.push_back(&drive);
  }
  return root;
}

/// Nodes that are reached through another one, and through whom; both as "node:ID".
using relays = std::map<std::string, std::string>;

relays relays_of(const node& n) {
  relays found;
  if (auto peers = n.peers())
    for (const auto& peer : *peers)
      if (peer.through)
        found.emplace("node:" + peer.id.hex(), "node:" + peer.through->hex());
  return found;
}

std::string short_node(const std::string& name) {
  return printable(name).substr(0, std::string_view{"node:"}.size() + digits_shown);
}

std::string shown_name(const place& of, const relays& by) {
  auto text = is_node_name(of.name) ? short_node(of.name) : printable(of.name);
  if (auto through = by.find(of.name); through != by.end())
    text += " through " + short_node(through->second);
  auto labelled = of.kind == "region" || of.kind == "zone" || of.kind == "operator";
  return labelled && !text.starts_with('(') ? fmt::format("{} {}", of.kind, text) : text;
}

void add_rows(const output& out, text_table& table, const place& of, const relays& by, size_t depth) {
  auto capacity = of.sum(&drive_report::disk_total);
  table.row({std::string(2 * depth, ' ') + shown_name(of, by), of.state(), grouped(of.sum(&drive_report::shards)),
             out.size(of.sum(&drive_report::shard_bytes)), capacity > 0 ? out.size(capacity) : "-",
             capacity > 0 ? out.size(of.sum(&drive_report::disk_free)) : "-"});
  for (const auto& [name, part] : of.parts)
    add_rows(out, table, part, by, depth + 1);
}

/// As a quoted string of the DOT language: a quote and a backslash are escaped, and what is not printable is shown.
std::string dot_quoted(std::string_view text) {
  std::string quoted = "\"";
  for (char c : printable(text)) {
    if (c == '"' || c == '\\')
      quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

void add_dot(const output& out, std::string& text, const place& of, const relays& by, size_t& number) {
  auto own = number++;
  auto label = of.kind.empty() ? "this store" : shown_name(of, by);
  auto capacity = of.sum(&drive_report::disk_total);
  // Two characters, which the language takes for a line break.
  auto quoted = dot_quoted(label);
  quoted.pop_back();
  text += fmt::format("  n{} [label={}\\n{}\\n{}\\n{} free of {}\"", own, quoted, of.state(),
                      counted(of.sum(&drive_report::shards), "shard", "shards"), out.size(of.sum(&drive_report::disk_free)),
                      out.size(capacity));
  auto bad = std::ranges::any_of(of.drives, [](const auto* drive) { return drive->state == "missing" || drive->state == "failed"; });
  text += fmt::format("{}];\n", bad ? ", style=dashed" : "");
  for (const auto& [name, part] : of.parts) {
    text += fmt::format("  n{} -> n{};\n", own, number);
    add_dot(out, text, part, by, number);
  }
}

std::string dot_of(const output& out, const place& root, const relays& by) {
  std::string text = "digraph datamesh {\n  rankdir=LR;\n  node [shape=box];\n";
  size_t number = 0;
  add_dot(out, text, root, by, number);
  return text + "}\n";
}

json_line topology_json(const drive_report& drive, const relays& by) {
  auto line = drive_json(drive).name("node", node_of(drive));
  if (auto through = by.find(drive.folder); through != by.end())
    line.name("through", through->second);
  return line;
}

/// Drives that *word* means: one of them, a node by the beginning of its id, or all with a label.
outcome<std::vector<drive_id>> drives_meant(node& n, const std::vector<drive_report>& drives, const std::string& word) {
  std::vector<drive_id> found;
  auto equals = word.find('=');
  auto key = word.substr(0, equals);
  if (equals != std::string::npos && std::ranges::find(label_keys, key) != std::end(label_keys)) {
    auto value = word.substr(equals + 1);
    for (const auto& drive : drives) {
      const auto& of = drive.labels;
      // A zone may be told with its region in front.
      auto is = key == "region" ? of.region == value
                : key == "zone" ? of.zone == value || (!of.region.empty() && of.region + "/" + of.zone == value)
                                : of.operated_by == value;
      if (is && !value.empty())
        found.push_back(drive.id);
    }
    if (found.empty())
      return refuse(errc::not_found, fmt::format("no drive has the label '{}'", printable(word)), "datamesh drive list");
    return found;
  }
  if (word == "node:this") {
    for (const auto& drive : drives)
      if (!is_node_name(drive.folder))
        found.push_back(drive.id);
    if (found.empty())
      return refuse(errc::not_found, "this node has no drive of its own", "datamesh drive list");
    return found;
  }
  constexpr size_t least = 5 + 4; // "node:" and as many digits as a drive's id takes.
  if (is_node_name(word) && word.size() >= least) {
    for (const auto& drive : drives)
      if (drive.folder.starts_with(word))
        found.push_back(drive.id);
    if (found.size() > 1)
      return refuse(errc::invalid_argument, fmt::format("several nodes begin with '{}'", printable(word)), "datamesh drive list");
    if (!found.empty())
      return found;
  }
  auto drive = find_drive(n, word);
  if (!drive)
    return refuse(drive.error());
  return std::vector{drive->id};
}

json_line standing_json(const pack_standing& of) {
  return json_line{}.add("full", of.full).add("below_full", of.below_full).add("at_margin", of.at_margin).add("lost", of.lost);
}

std::string standing_text(const pack_standing& of) {
  std::vector<std::string> texts;
  if (of.full > 0)
    texts.push_back(fmt::format("{} full", grouped(of.full)));
  if (of.below_full > 0)
    texts.push_back(fmt::format("{} below full ({} at the margin)", grouped(of.below_full), grouped(of.at_margin)));
  if (of.lost > 0)
    texts.push_back(fmt::format("{} lost", grouped(of.lost)));
  return texts.empty() ? "none" : fmt::format("{}", fmt::join(texts, ", "));
}

/// Of this store's nodes, those that are reached through one that would be gone, and are not gone themselves.
size_t cut_off(const std::vector<drive_report>& all, const std::vector<drive_report>& gone, const relays& by) {
  auto is_gone = [&](const std::string& name) {
    return std::ranges::any_of(gone, [&](const auto& drive) { return drive.folder == name; });
  };
  return static_cast<size_t>(std::ranges::count_if(all, [&](const auto& drive) {
    auto through = by.find(drive.folder);
    return through != by.end() && is_gone(through->second) && !is_gone(drive.folder);
  }));
}

outcome<int> tell_loss(session& s, const std::vector<drive_report>& all, const std::vector<drive_id>& gone, const relays& by) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto loss = (*v)->foresee_loss(gone);
  if (!loss)
    return refuse(loss.error());
  auto& out = s.out;
  std::vector<std::string> names;
  for (const auto& drive : loss->drives) {
    out.line(topology_json(drive, by));
    names.push_back(printable(drive.folder));
  }
  auto away = cut_off(all, loss->drives, by);
  out.line(json_line{"summary"}
               .add("drives", loss->drives.size())
               .add("packs", loss->packs)
               .add("now", standing_json(loss->now))
               .add("then", standing_json(loss->then))
               .add("shards_gone", loss->shards_gone)
               .add("bytes_gone", loss->bytes_gone)
               .add("shards_to_repair", loss->shards_to_repair)
               .add("bytes_to_read", loss->bytes_to_read)
               .add("bytes_to_write", loss->bytes_to_write)
               .add("shards_unplaced", loss->shards_unplaced)
               .add("room_for_repair", loss->shards_unplaced == 0)
               .add("nodes_cut_off", away));
  auto lost = loss->then.lost > loss->now.lost;
  out.print("Without {}, {}", fmt::join(names, ", "),
            lost ? out.paint(tone::bad, fmt::format("{} would be lost.", counted(loss->then.lost - loss->now.lost, "pack", "packs")))
                 : out.paint(tone::good, "nothing would be lost."));
  out.print("");
  out.print("Packs now    {}", standing_text(loss->now));
  out.print("Packs then   {}", standing_text(loss->then));
  out.print("Gone         {}, {}", counted(loss->shards_gone, "shard", "shards"), out.size(loss->bytes_gone));
  if (loss->shards_to_repair > 0)
    out.print("Repair       {}: {} to read, {} to write", counted(loss->shards_to_repair, "shard", "shards"), out.size(loss->bytes_to_read),
              out.size(loss->bytes_to_write));
  if (loss->shards_unplaced > 0)
    out.print("Room         {}", out.paint(tone::warning, fmt::format("{} would have no place on the drives that are left",
                                                                      counted(loss->shards_unplaced, "shard", "shards"))));
  else if (loss->shards_to_repair > 0)
    out.print("Room         there is, on the drives that are left");
  if (away > 0)
    out.print("Cut off      {} through there, and away until another one passes on to {}",
              counted(away, "node is reached", "nodes are reached"), away == 1 ? "it" : "them");
  return 0;
}

} // namespace

outcome<int> run_topology(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto drives = (*n)->drives();
  auto by = relays_of(**n);
  const auto& without = s.set.list("without");
  if (!without.empty()) {
    if (s.set.flag("dot"))
      return refuse(errc::usage, "--dot draws what is, and --without tells what would be", "datamesh help topology");
    std::vector<drive_id> gone;
    for (const auto& word : without) {
      auto meant = drives_meant(**n, drives, word);
      if (!meant)
        return refuse(meant.error());
      gone.insert(gone.end(), meant->begin(), meant->end());
    }
    return tell_loss(s, drives, gone, by);
  }
  auto root = tree_of(drives);
  if (s.set.flag("dot")) {
    auto text = dot_of(s.out, root, by);
    s.out.line(json_line{"item"}.add("name", "topology.dot").add("text", std::string_view{text}));
    s.out.line(json_line{"summary"}.add("documents", 1));
    s.out.print("{}", text.substr(0, text.size() - 1));
    return 0;
  }
  std::set<std::string> nodes;
  for (const auto& drive : drives) {
    s.out.line(topology_json(drive, by));
    nodes.insert(node_of(drive));
  }
  s.out.line(json_line{"summary"}
                 .add("drives", drives.size())
                 .add("nodes", nodes.size())
                 .add("shards", root.sum(&drive_report::shards))
                 .add("shard_bytes", root.sum(&drive_report::shard_bytes))
                 .add("disk_total", root.sum(&drive_report::disk_total))
                 .add("disk_free", root.sum(&drive_report::disk_free)));
  using align = text_table::align;
  text_table table{{align::left, align::left, align::right, align::right, align::right, align::right}};
  table.heading({"PLACE", "STATE", "SHARDS", "STORED", "CAPACITY", "FREE"});
  for (const auto& [name, part] : root.parts)
    add_rows(s.out, table, part, by, 0);
  if (drives.empty())
    s.out.print("This node has no drive.");
  else
    s.out.page(table.render());
  return 0;
}

// -- distribution ----------------------------------------------------------------------------

namespace {

std::string_view name_of(domain_share::level level) {
  switch (level) {
  case domain_share::level::zone:
    return "zone";
  case domain_share::level::operated_by:
    return "operator";
  case domain_share::level::node:
    return "node";
  case domain_share::level::drive:
    return "drive";
  }
  return "drive";
}

/// "2 shards of any pack, 1 zone, 3 drives": the levels that anything is labelled of.
std::string margin_text(const distribution_report& of, const std::set<domain_share::level>& shown) {
  auto text = counted(static_cast<uint64_t>(*of.margin), "shard of any pack", "shards of any pack");
  constexpr std::pair<const char*, const char*> words[] = {
      {"zone", "zones"}, {"operator", "operators"}, {"node", "nodes"}, {"drive", "drives"}};
  for (size_t i = 0; i < std::min(of.margins.size(), std::size(words)); ++i)
    if (shown.contains(static_cast<domain_share::level>(i)) && of.margins[i] >= 0)
      text += fmt::format(", or {}", counted(static_cast<uint64_t>(of.margins[i]), words[i].first, words[i].second));
  return text;
}

} // namespace

outcome<int> run_distribution(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  distribution_request request;
  if (!s.arguments().empty()) {
    auto paths = expand_all(**v, s.arguments());
    if (!paths)
      return refuse(paths.error());
    request.paths = std::move(*paths);
  }
  if (s.set.given("tag")) {
    auto word = s.set.text("tag");
    auto equals = word.find('=');
    request.tag_key = word.substr(0, equals);
    if (equals != std::string::npos)
      request.tag = word.substr(equals + 1);
    if (request.tag_key.empty())
      return refuse(errc::usage, fmt::format("'{}' is not KEY or KEY=VALUE", printable(word)), "datamesh help distribution");
  }
  auto report = (*v)->distribution(request);
  if (!report)
    return refuse(report.error());
  auto& out = s.out;
  // What nobody labelled is the same again as the level below.
  std::set<domain_share::level> shown{domain_share::level::node, domain_share::level::drive};
  for (const auto& share : report->shares)
    if (share.labelled)
      shown.insert(share.of);
  using align = text_table::align;
  text_table table{{align::left, align::left, align::right, align::right, align::right, align::right, align::right}};
  table.heading({"LEVEL", "NAME", "PACKS", "NEEDED", "SHARDS", "BAD", "STORED"});
  for (const auto& share : report->shares) {
    out.line(json_line{"item"}
                 .add("level", name_of(share.of))
                 .name("name", share.name)
                 .add("labelled", share.labelled)
                 .add("packs", share.packs)
                 .add("packs_needed", share.packs_needed)
                 .add("shards", share.shards)
                 .add("shards_bad", share.shards_bad)
                 .add("bytes", share.bytes));
    if (shown.contains(share.of))
      table.row({std::string{name_of(share.of)}, printable(share.name), grouped(share.packs), grouped(share.packs_needed),
                 grouped(share.shards), grouped(share.shards_bad), out.size(share.bytes)});
  }
  json_line line{"summary"};
  line.add("files", report->files)
      .add("packs", report->packs)
      .add("standing", standing_json(report->standing))
      .add("shards", report->shards)
      .add("shards_bad", report->shards_bad)
      .add("shards_outside", report->shards_outside)
      .add("margin", report->margin);
  for (size_t i = 0; i < report->margins.size(); ++i)
    line.add(fmt::format("margin_{}s", name_of(static_cast<domain_share::level>(i))), report->margins[i]);
  out.line(line);
  out.print("{} in {}: {}.", counted(report->files, "file", "files"), counted(report->packs, "pack", "packs"),
            standing_text(report->standing));
  if (report->shards_outside > 0)
    out.print("{} on drives that 'drive rule' leaves out; run: datamesh rebalance",
              counted(report->shards_outside, "shard lies", "shards lie"));
  if (report->margin && *report->margin < 0)
    out.print("{}", out.paint(tone::bad, "Data is lost already."));
  else if (report->margin)
    out.print("Without loss of data may go: {}.", margin_text(*report, shown));
  if (!table.empty()) {
    out.print("");
    out.page(table.render());
  }
  return 0;
}

} // namespace datamesh::cli
