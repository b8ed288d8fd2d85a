// discover: who is on the local network.
#include "datamesh/lan.hpp"
#include "datamesh/members.hpp"

#include "daemon_file.hpp"
#include "display.hpp"
#include "drive_folders.hpp"
#include "presets.hpp"
#include "session.hpp"

#include <algorithm>
#include <map>

namespace datamesh::cli {

namespace {

/// Who was heard, and what is known of him beside.
struct heard {
  std::vector<neighbour_report> all;
  std::map<peer_id, peer_report> peers;
  std::optional<peer_id> self; ///< Of the daemon: it does not hear itself, others do.
  bool by_node = false;        ///< The node listens all the time.
  bool knows_mesh = false;
};

/// The mesh of the daemon's settings, where they can be read.
outcome<std::optional<network_id>> mesh_of_daemon(session& s) {
  auto named = !s.set.text("from").empty();
  auto path = named ? absolute_path(s.set.text("from")) : daemon_config_file();
  auto text = read_daemon_file(path);
  if (!text && (named || text.error().code != errc::permission_denied))
    return refuse(text.error());
  if (!text || text->empty())
    return std::optional<network_id>{};
  auto settings = mesh_of_settings(*text, path);
  if (!settings)
    return refuse(settings.error());
  if (!*settings || (*settings)->network.empty())
    return std::optional<network_id>{};
  auto id = mesh_id_of((*settings)->network);
  if (!id)
    return refuse(failure{id.error()});
  return *id;
}

/// By the daemon that holds the node, or the process that does; nothing where it does not listen.
outcome<std::optional<heard>> ask_node(session& s, std::optional<network_id>& mesh) {
  auto n = s.open_node();
  if (!n && n.error().code == errc::no_vault && s.set.text("socket").empty())
    return std::optional<heard>{};
  if (!n)
    return refuse(n.error());
  auto own = (*n)->mesh();
  if (!own)
    return refuse(failure{own.error()});
  if (!*own)
    return std::optional<heard>{};
  mesh = (*own)->network;
  heard found;
  found.self = (*own)->self;
  if (auto peers = (*n)->peers())
    for (auto& one : *peers)
      found.peers.emplace(one.id, std::move(one));
  if (!(*own)->lan || (*own)->lan->failure)
    return found;
  auto all = (*n)->neighbours();
  if (!all)
    return refuse(failure{all.error()});
  found.all = std::move(*all);
  found.by_node = found.knows_mesh = true;
  return found;
}

outcome<heard> find_out(session& s) {
  std::optional<network_id> mesh;
  auto asked = ask_node(s, mesh);
  if (!asked)
    return refuse(asked.error());
  auto found = asked->value_or(heard{});
  if (found.by_node)
    return found;
  // Nobody is to wait for the home meanwhile.
  s.close_node();
  if (!mesh) {
    auto read = mesh_of_daemon(s);
    if (!read)
      return refuse(read.error());
    mesh = *read;
  }
  auto all = look_around(mesh, std::chrono::seconds{s.set.number("timeout")});
  if (!all)
    return refuse(failure{all.error()});
  found.all = std::move(*all);
  found.knows_mesh = mesh.has_value();
  std::erase_if(found.all, [&](const neighbour_report& one) { return found.self && one.id == found.self; });
  return found;
}

std::string state_of(const peer_report* peer) {
  if (peer == nullptr)
    return "no";
  return peer->links_dialed + peer->links_accepted > 0 ? "linked" : "known";
}

} // namespace

outcome<int> run_discover(session& s) {
  auto found = find_out(s);
  if (!found)
    return refuse(found.error());
  using align = text_table::align;
  text_table table{{align::left, align::left, align::left, align::left}};
  table.heading({"ID", "PEER", "HEARD", "ADDRESS"});
  size_t of_mesh = 0;
  for (const auto& one : found->all) {
    const auto peer = one.id ? found->peers.find(*one.id) : found->peers.end();
    const auto* known = peer == found->peers.end() ? nullptr : &peer->second;
    of_mesh += one.id ? 1 : 0;
    json_line line{"item"};
    if (one.id)
      line.add("id", one.id->hex());
    line.add("same_mesh", one.id.has_value())
        .add("known", known != nullptr && known->known)
        .add("linked", known != nullptr && known->links_dialed + known->links_accepted > 0)
        .add("addresses", one.addresses)
        .time("heard", one.heard_ns);
    s.out.line(line);
    table.row({one.id ? one.id->hex() : "of another mesh, or not told", one.id ? state_of(known) : "-", s.out.time(one.heard_ns),
               printable(fmt::format("{}", fmt::join(one.addresses, ", ")))});
  }
  if (!found->all.empty())
    s.out.page(table.render());
  else
    s.out.print("Nobody is heard on the local network.");
  if (!found->knows_mesh)
    s.out.note(
        "Which mesh to ask for is not known here: run it where 'mesh_network' can be read, or name the settings with --from CONFIG.");
  s.out.line(json_line{"summary"}
                 .add("neighbours", found->all.size())
                 .add("of_mesh", of_mesh)
                 .add("mesh_known", found->knows_mesh)
                 .add("node_listens", found->by_node));
  return 0;
}

} // namespace datamesh::cli
