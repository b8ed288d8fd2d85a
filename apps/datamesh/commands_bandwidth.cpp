// bandwidth: how fast the line to other nodes is.
#include "display.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>

namespace datamesh::cli {

namespace {

/// Nodes that are measured when none is named.
constexpr size_t nodes_at_most = 4;
/// The first digits of an id that name a node.
constexpr size_t digits_least = 4;
/// From this part of a limit on it is the limit that is measured, and not the line.
constexpr double held_from = 0.75;

bool is_linked(const peer_report& peer) {
  return peer.links_dialed + peer.links_accepted > 0;
}

/// The node that *word* means; one that nobody knows here may be found in the mesh.
outcome<peer_id> find_node(const std::vector<peer_report>& peers, const std::string& word) {
  auto digits = std::string_view{word};
  if (digits.starts_with("node:"))
    digits.remove_prefix(5);
  if (auto whole = peer_id::parse(digits))
    return *whole;
  std::optional<peer_id> found;
  for (const auto& peer : peers)
    if (digits.size() >= digits_least && peer.id.hex().starts_with(digits)) {
      if (found)
        return refuse(errc::invalid_argument, fmt::format("several nodes begin with '{}'", printable(word)), "datamesh peers");
      found = peer.id;
    }
  if (!found)
    return refuse(errc::not_found, fmt::format("no node of the mesh that is known here is '{}'", printable(word)), "datamesh peers");
  return *found;
}

outcome<std::vector<peer_id>> chosen(session& s, const std::vector<peer_report>& peers) {
  std::vector<peer_id> nodes;
  auto add = [&](const peer_id& node) {
    if (std::ranges::find(nodes, node) == nodes.end())
      nodes.push_back(node);
  };
  for (const auto& word : s.arguments()) {
    auto node = find_node(peers, word);
    if (!node)
      return refuse(node.error());
    add(*node);
  }
  if (!nodes.empty())
    return nodes;
  for (const auto& peer : peers)
    if (is_linked(peer))
      add(peer.id);
  if (nodes.empty())
    return refuse(errc::unavailable, "there is no link with another node whose line could be measured",
                  "datamesh peers: it shows who is known; datamesh bandwidth NODE dials one");
  if (nodes.size() > nodes_at_most) {
    s.out.note("{} have a link; the first {} are measured. Name others to measure them.", counted(nodes.size(), "node", "nodes"),
               nodes_at_most);
    nodes.resize(nodes_at_most);
  }
  return nodes;
}

std::string_view word_of(line_stop stop) {
  constexpr std::array words{"bytes", "time", "budget"};
  return words.at(static_cast<size_t>(stop));
}

/// Which limit was measured in place of the line: "own", "their" or "".
std::string_view held_by(const line_flow& flow) {
  auto held = [&](uint64_t limit) {
    return limit > 0 && flow.per_second() >= held_from * static_cast<double>(limit);
  };
  // The lower one is met first.
  auto theirs_first = flow.their_limit > 0 && (flow.own_limit == 0 || flow.their_limit < flow.own_limit);
  if (theirs_first)
    return held(flow.their_limit) ? "their" : "";
  return held(flow.own_limit) ? "own" : "";
}

json_line json_of(const line_flow& flow) {
  json_line row;
  row.add("bytes", flow.bytes)
      .add("elapsed_ns", flow.elapsed_ns)
      .add("bytes_per_second", flow.per_second())
      .add("stop", word_of(flow.stop))
      .add("own_limit", flow.own_limit)
      .add("their_limit", flow.their_limit);
  if (auto by = held_by(flow); !by.empty())
    row.add("held_by", by);
  return row;
}

void tell_item(session& s, const line_report& report) {
  json_line line{"item"};
  line.add("id", report.peer.hex())
      .add("address", report.address)
      .add("rtt_min_ns", report.rtt_min_ns)
      .add("rtt_median_ns", report.rtt_median_ns)
      .add("up", json_of(report.up))
      .add("down", json_of(report.down));
  if (report.refilled_in)
    line.add("refilled_seconds", std::chrono::ceil<std::chrono::seconds>(*report.refilled_in).count());
  s.out.line(line);
}

/// "0.4 ms"
std::string milliseconds_of(uint64_t ns) {
  auto ms = static_cast<double>(ns) / 1e6;
  return fmt::format("{:.{}f} ms", ms, ms < 10 ? 2 : ms < 100 ? 1 : 0);
}

std::string rate_of(const session& s, const line_flow& flow) {
  return flow.bytes == 0 ? "-" : s.out.size(static_cast<uint64_t>(flow.per_second())) + "/s";
}

/// How long until the node answers as many tests as ever.
std::string wait_of(const line_report& report) {
  return human_span(static_cast<uint64_t>(std::chrono::ceil<std::chrono::seconds>(*report.refilled_in).count()));
}

/// What else than the line decided how fast it was.
void tell_bounds(session& s, const line_report& report) {
  auto node = report.peer.hex().substr(0, 8);
  auto tell_limit = [&](const line_flow& flow, std::string_view way) {
    auto by = held_by(flow);
    if (by == "own")
      s.out.print("{} {}: this is the limit of this node's line, {}/s; see 'datamesh node limit'.", node, way, s.out.size(flow.own_limit));
    else if (by == "their")
      s.out.print("{} {}: this is the limit that the operator of that node set, {}/s.", node, way, s.out.size(flow.their_limit));
  };
  tell_limit(report.up, "up");
  tell_limit(report.down, "down");
  if (report.refilled_in)
    s.out.print("{}: it answers only so many tests; as many as ever in {}.", node, wait_of(report));
}

void tell_table(session& s, const std::vector<line_report>& reports) {
  if (reports.empty())
    return;
  using align = text_table::align;
  text_table table{{align::left, align::right, align::right, align::right, align::right, align::left}};
  table.heading({"ID", "RTT", "UP", "DOWN", "MOVED", "ADDRESS"});
  for (const auto& one : reports)
    table.row({one.peer.hex(), milliseconds_of(one.rtt_median_ns), rate_of(s, one.up), rate_of(s, one.down),
               s.out.size(one.up.bytes + one.down.bytes), printable(one.address)});
  s.out.page(table.render());
  for (const auto& one : reports)
    tell_bounds(s, one);
}

/// It was reached, and moved nothing: it answers no tests now.
bool was_refused(const line_report& report) {
  return report.refilled_in && report.up.bytes + report.down.bytes == 0;
}

error refusal_of(const line_report& report) {
  return error{errc::capacity_exceeded,
               fmt::format("measure the line to a node that answers no more tests of this one for {}", wait_of(report)), report.peer.hex()};
}

/// What to do about failures that are all of one kind.
std::string next_for(const std::vector<item_failure>& failures) {
  auto code = failures.empty() ? errc::internal : failures.front().reason.code();
  if (!std::ranges::all_of(failures, [&](const auto& one) { return one.reason.code() == code; }))
    return {};
  switch (code) {
  case errc::capacity_exceeded:
    return "wait that long, or for less of it with a smaller --size, then the same again";
  case errc::conflict:
    return "wait until that test has ended, then the same again";
  case errc::format_newer:
    return "update DataMesh on that node";
  case errc::unavailable:
    return "datamesh peers: it shows which nodes have a link";
  default:
    return {};
  }
}

} // namespace

outcome<int> run_bandwidth(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto mesh = (*n)->mesh();
  if (!mesh)
    return refuse(mesh.error());
  if (!*mesh)
    return refuse(errc::unavailable,
                  s.by_daemon() ? "this node is in no mesh" : "no daemon holds this node, and only a daemon is a member of a mesh",
                  fmt::format("set 'mesh_network' and its like in datameshd.toml, and {} datameshd; see datameshd(8)",
                              s.by_daemon() ? "restart" : "start"));
  auto peers = (*n)->peers();
  if (!peers)
    return refuse(peers.error());
  auto nodes = chosen(s, *peers);
  if (!nodes)
    return refuse(nodes.error());
  line_test how;
  how.bytes = parse_size(s.set.text("size")).value_or(how.bytes); // The parser has looked at it.
  how.time = std::chrono::seconds{s.set.number("seconds")};
  std::vector<line_report> reports;
  std::vector<item_failure> failures;
  for (const auto& node : *nodes) {
    auto report = s.with_progress([&](const job_options& job) { return (*n)->measure_line(node, how, job); });
    if (!report && report.error().code() == errc::cancelled) {
      tell_table(s, reports);
      return refuse(report.error());
    }
    if (report)
      tell_item(s, *report);
    if (report && !was_refused(*report))
      reports.push_back(std::move(*report));
    else
      failures.push_back({node.hex(), report ? refusal_of(*report) : report.error()});
  }
  tell_table(s, reports);
  return tell_failures(s, failures, failures.size(),
                       {.what = "measured",
                        .done = !reports.empty(),
                        .summary = json_line{"summary"}.add("measured", reports.size()).add("failed", failures.size()),
                        .next = next_for(failures)});
}

} // namespace datamesh::cli
