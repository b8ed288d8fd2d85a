// node status, peers: this node as a member of a mesh.
#include "display.hpp"
#include "session.hpp"
#include "units.hpp"

namespace datamesh::cli {

namespace {

/// Says why there is nothing to show, and what to do about it.
int tell_no_mesh(session& s, json_line line) {
  s.out.line(line.add("member", false).add("daemon", s.by_daemon()));
  s.out.print("This node is in no mesh{}.\nNext: set 'mesh_network' and its like in datameshd.toml, and {} datameshd; see datameshd(8)",
              s.by_daemon() ? "" : ": no daemon holds it, and only a daemon is a member of one", s.by_daemon() ? "restart" : "start");
  return 0;
}

std::string state_of(const mesh_report& mesh) {
  if (mesh.joined())
    return fmt::format("joined: {} ({} known)", counted(mesh.nodes_alive, "other node answers", "other nodes answer"),
                       grouped(mesh.nodes_known));
  return mesh.nodes_known == 0 ? "alone: no other node has answered yet"
                               : fmt::format("alone: none of {} answers", counted(mesh.nodes_known, "known node", "known nodes"));
}

std::string listed(const std::vector<std::string>& texts, std::string_view none) {
  return texts.empty() ? std::string{none} : printable(fmt::format("{}", fmt::join(texts, ", ")));
}

/// "2 out, 1 in"
std::string links_of(const peer_report& peer) {
  std::string text;
  if (peer.links_dialed > 0)
    text = fmt::format("{} out", peer.links_dialed);
  if (peer.links_accepted > 0)
    text += fmt::format("{}{} in", text.empty() ? "" : ", ", peer.links_accepted);
  return text.empty() ? "-" : text;
}

} // namespace

outcome<int> run_node_status(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto mesh = (*n)->mesh();
  if (!mesh)
    return refuse(mesh.error());
  json_line line{"summary"};
  if (!*mesh)
    return tell_no_mesh(s, line);
  const auto& own = **mesh;
  line.add("member", true).add("daemon", s.by_daemon()).add("id", own.self.hex());
  if (own.network)
    line.add("network", own.network->hex());
  line.add("local", own.local)
      .add("joined", own.joined())
      .add("listens", own.listens)
      .add("announces", own.announces)
      .add("links", own.links)
      .add("nodes_known", own.nodes_known)
      .add("nodes_alive", own.nodes_alive);
  if (own.file_failure)
    line.add("error", facts_of(own.file_failure->code()).name).add("reason", own.file_failure->message());
  s.out.line(line);
  s.out.print("Node      {}", own.self.hex());
  s.out.print("Mesh      {}{}", own.network ? own.network->hex() : "told to root and the daemon's user alone", own.local ? " (local)" : "");
  s.out.print("State     {}", s.out.paint(own.joined() ? tone::good : tone::warning, state_of(own)));
  s.out.print("Links     {}", grouped(own.links));
  s.out.print("Listens   {}", listed(own.listens, "nowhere: this node only dials"));
  s.out.print("Announces {}", listed(own.announces, "nothing: others can not dial this node"));
  if (!own.announces.empty())
    s.out.print("Seed      {}@{}", own.self.hex(), printable(own.announces.front()));
  if (own.file_failure)
    s.out.warn(printable(own.file_failure->message()));
  return 0;
}

outcome<int> run_peers(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto mesh = (*n)->mesh();
  if (!mesh)
    return refuse(mesh.error());
  if (!*mesh)
    return tell_no_mesh(s, json_line{"summary"}.add("peers", 0));
  auto peers = (*n)->peers();
  if (!peers)
    return refuse(peers.error());
  using align = text_table::align;
  text_table table{{align::left, align::left, align::left, align::left, align::left}};
  table.heading({"ID", "KNOWN", "LINKS", "SINCE", "ADDRESS"});
  for (const auto& peer : *peers) {
    json_line line{"item"};
    line.add("id", peer.id.hex())
        .add("known", peer.known)
        .add("links_dialed", peer.links_dialed)
        .add("links_accepted", peer.links_accepted)
        .add("addresses", peer.addresses);
    if (peer.linked_since_ns)
      line.time("linked_since", *peer.linked_since_ns);
    s.out.line(line);
    table.row({peer.id.hex(), peer.known ? "yes" : "no", links_of(peer), peer.linked_since_ns ? s.out.time(*peer.linked_since_ns) : "-",
               listed(peer.addresses, "-")});
  }
  if (!peers->empty())
    s.out.page(table.render());
  else
    s.out.print("No other node is known yet.");
  s.out.line(json_line{"summary"}.add("peers", peers->size()).add("member", true).add("daemon", s.by_daemon()));
  return 0;
}

} // namespace datamesh::cli
