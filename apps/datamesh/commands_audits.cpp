// drive audits: what nodes have shown of themselves.
#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"
#include "units.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::cli {

namespace {

void tell(session& s, const drive_report& drive) {
  const auto& shown = *drive.audits;
  json_line line{"item"};
  line.name("drive", drive.folder)
      .add("state", drive.state)
      .add("score", shown.score)
      .add("lies", shown.lies)
      .add("passed", shown.passed)
      .add("lost", shown.lost)
      .add("wrong", shown.wrong)
      .add("unanswered", shown.unanswered);
  if (shown.last_passed_ns)
    line.time("last_passed", *shown.last_passed_ns);
  s.out.line(line);
  for (const auto& one : shown.events)
    s.out.line(json_line{"item"}
                   .name("drive", drive.folder)
                   .time("time", one.when_ns)
                   .add("outcome", one.what)
                   .add("pack", one.pack.hex())
                   .add("shard", uint64_t{one.shard})
                   .add("block", uint64_t{one.block})
                   .add("score", one.score));
}

std::string audits_table(const output& out, const std::vector<drive_report>& nodes) {
  using align = text_table::align;
  text_table table{{align::left, align::right, align::right, align::right, align::right, align::right, align::left, align::left}};
  table.heading({"ID", "SCORE", "PASSED", "LOST", "WRONG", "UNANSWERED", "LAST PASSED", "NODE"});
  for (const auto& node : nodes)
    table.row({node.id.brief(), fmt::format("{:.3f}", node.audits->score), grouped(node.audits->passed), grouped(node.audits->lost),
               grouped(node.audits->wrong), grouped(node.audits->unanswered),
               node.audits->last_passed_ns ? out.time(*node.audits->last_passed_ns) : "never", printable(node.folder)});
  return table.render();
}

std::string events_table(const output& out, const drive_report& node) {
  using align = text_table::align;
  text_table table{{align::left, align::left, align::left, align::right, align::right, align::right}};
  table.heading({"WHEN", "OUTCOME", "PACK", "SHARD", "BLOCK", "SCORE THEN"});
  for (const auto& one : node.audits->events)
    table.row({out.time(one.when_ns), one.what, one.pack.brief(), std::to_string(one.shard), std::to_string(one.block),
               fmt::format("{:.3f}", one.score)});
  return table.render();
}

} // namespace

outcome<int> run_drive_audits(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto nodes = (*n)->drives();
  if (!s.arguments().empty()) {
    auto drive = find_drive(**n, s.arguments()[0]);
    if (!drive)
      return refuse(drive.error());
    if (!is_node_name(drive->folder))
      return refuse(errc::invalid_argument,
                    fmt::format("'{}' is a folder of this machine, which is not asked to prove anything", printable(drive->folder)),
                    "datamesh drive audits, for all drives that are nodes");
    nodes = {*drive};
  }
  std::erase_if(nodes, [](const auto& drive) { return !drive.audits; });
  for (const auto& drive : nodes)
    tell(s, drive);
  std::string text = nodes.empty() ? std::string{"No drive is another node.\n"} : audits_table(s.out, nodes);
  for (const auto& node : nodes) {
    if (node.audits->lies)
      text += fmt::format("{} sent what it was not given: it gets nothing new. What it has is made again by: datamesh repair\n",
                          printable(node.folder));
    if (!node.audits->events.empty() && !s.arguments().empty())
      text += "\n" + events_table(s.out, node);
  }
  s.out.page(text);
  s.out.line(json_line{"summary"}.add("nodes", nodes.size()));
  return 0;
}

} // namespace datamesh::cli
