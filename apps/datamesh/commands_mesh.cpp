// node status, node allow, peers: this node as a member of a mesh.
#include "display.hpp"
#include "session.hpp"
#include "units.hpp"

namespace datamesh::cli {

namespace {

/// What is set aside for others, where anything is.
struct set_aside {
  reserve_report reserved;
  uint64_t granted = 0;
  std::optional<uint64_t> used = 0; ///< None while that of somebody can not be told.
};

std::optional<set_aside> set_aside_of(const node& n) {
  auto reserved = n.reserved();
  auto rooms = n.rooms();
  if (!reserved || !rooms || reserved->bytes == 0)
    return std::nullopt;
  set_aside all{*reserved};
  for (const auto& room : *rooms) {
    all.granted += room.granted;
    all.used = all.used && room.used ? std::optional{*all.used + *room.used} : std::nullopt;
  }
  return all;
}

void tell_set_aside(session& s, const set_aside& all) {
  const auto& [bytes, held, lacking] = all.reserved;
  s.out.print("Reserved  {} for others: {} granted, {} used, {} held on the disks{}", s.out.size(bytes), s.out.size(all.granted),
              all.used ? s.out.size(*all.used) : "?", held ? s.out.size(*held) : "?",
              lacking.value_or(0) > 0 ? s.out.paint(tone::warning, ", " + s.out.size(*lacking) + " short") : "");
}

/// Who has room here: a line of JSON each, and the table for people, which follows what else
/// there is to say. Nothing where that is not for us, or nobody has any.
std::string tell_rooms(session& s, const node& n) {
  auto rooms = n.rooms();
  if (!rooms) {
    // Somebody else's daemon, or one of an earlier version.
    auto code = rooms.error().code();
    if (!s.by_daemon() || (code != errc::permission_denied && code != errc::format_newer))
      s.out.warn(printable(rooms.error().message()));
    return {};
  }
  using align = text_table::align;
  text_table table{{align::left, align::right, align::right, align::right, align::left}};
  table.heading({"OWNER", "GRANTED", "USED", "SHARDS", "COMPARED"});
  for (const auto& room : *rooms) {
    json_line line{"item"};
    line.add("owner", room.owner.hex()).add("granted", room.granted).add("used", room.used).add("shards", room.shards);
    if (room.compared_ns)
      line.time("compared", *room.compared_ns);
    if (room.stuck)
      line.add("stuck", *room.stuck);
    s.out.line(line);
    table.row({room.owner.hex(), s.out.size(room.granted), room.used ? s.out.size(*room.used) : "?",
               room.shards ? grouped(*room.shards) : "?", room.compared_ns ? s.out.time(*room.compared_ns) : "-"});
  }
  return table.empty() ? std::string{} : table.render();
}

void page_rooms(session& s, const std::string& rooms) {
  if (rooms.empty())
    return;
  s.out.print("");
  s.out.page(rooms);
}

/// Says why there is nothing to show, and what to do about it.
int tell_no_mesh(session& s, json_line line) {
  s.out.line(line.add("member", false).add("daemon", s.by_daemon()));
  s.out.print("This node is in no mesh{}.\nNext: set 'mesh_network' and its like in datameshd.toml, and {} datameshd; see datameshd(8)",
              s.by_daemon() ? "" : ": no daemon holds it, and only a daemon is a member of one", s.by_daemon() ? "restart" : "start");
  return 0;
}

std::string_view word_of(hosting how) {
  constexpr std::array words{"open", "paused", "draining"};
  return words.at(static_cast<size_t>(how));
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

std::string lan_of(const mesh_report& own) {
  if (!own.lan)
    return "not looked for";
  if (own.lan->failure)
    return "nobody is heard: " + printable(own.lan->failure->message());
  return own.lan->interfaces.empty() ? "hears others, and is heard on no interface" : "heard on " + listed(own.lan->interfaces, "");
}

/// "9.9.9.9:7000 by UPnP, until 2027-01-01T00:00:00Z"
std::string port_of(const session& s, const port_mapping_report& port) {
  if (port.address.empty())
    return port.failure ? "none: " + printable(short_reason(*port.failure)) : "being asked for";
  return fmt::format("{} by {}{}{}", printable(port.address), printable(port.protocol),
                     port.until_ns ? ", until " + s.out.time(*port.until_ns) : std::string{},
                     port.failure ? "; not renewed: " + printable(short_reason(*port.failure)) : std::string{});
}

void add_port(json_line& to, const port_mapping_report& port) {
  if (!port.gateway.empty())
    to.add("gateway", port.gateway);
  if (!port.address.empty())
    to.add("mapped", port.address).add("mapped_by", port.protocol);
  if (port.until_ns)
    to.time("mapped_until", *port.until_ns);
  if (port.failure)
    to.add("map_error", facts_of(port.failure->code()).name).add("map_reason", short_reason(*port.failure));
}

/// "1.2 GiB sent, 3.0 MiB received; now at most 2.0 MiB up a second"
std::string traffic_of(const session& s, const traffic_report& traffic) {
  auto text = fmt::format("{} sent, {} received", s.out.size(traffic.sent), s.out.size(traffic.received));
  auto limit = [&](uint64_t bytes, const char* way) {
    return bytes > 0 ? fmt::format(" {} {}", s.out.size(bytes), way) : std::string{};
  };
  auto up = limit(traffic.limits.up, "up");
  auto down = limit(traffic.limits.down, "down");
  if (up.empty() && down.empty())
    return text;
  return text + "; now at most" + up + (up.empty() || down.empty() ? "" : ",") + down + " a second";
}

/// "list 4: 12 nodes, signed by 2 of 3 operators, until 2027-01-01T00:00:00Z"
std::string members_of(const session& s, const members_report& list) {
  return fmt::format("list {}: {}, signed by {} of {}{}", list.number, counted(list.members, "node", "nodes"), list.threshold,
                     counted(list.operators, "operator", "operators"),
                     list.expires_ns ? ", until " + s.out.time(*list.expires_ns) : std::string{});
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
  auto rooms = tell_rooms(s, **n);
  auto aside = set_aside_of(**n);
  if (aside) {
    line.add("reserved", aside->reserved.bytes).add("granted", aside->granted);
    if (aside->used)
      line.add("used", *aside->used);
    if (aside->reserved.held)
      line.add("held", *aside->reserved.held);
    if (aside->reserved.lacking)
      line.add("lacking", *aside->reserved.lacking);
  }
  if (!*mesh) {
    auto told = tell_no_mesh(s, line);
    if (aside)
      tell_set_aside(s, *aside);
    page_rooms(s, rooms);
    return told;
  }
  const auto& own = **mesh;
  auto how = (*n)->hosts();
  line.add("member", true).add("daemon", s.by_daemon()).add("id", own.self.hex());
  if (how)
    line.add("hosting", word_of(*how));
  if (own.network)
    line.add("network", own.network->hex());
  line.add("local", own.local)
      .add("joined", own.joined())
      .add("listens", own.listens)
      .add("announces", own.announces)
      .add("links", own.links)
      .add("nodes_known", own.nodes_known)
      .add("nodes_alive", own.nodes_alive);
  if (own.members) {
    const auto& list = *own.members;
    line.add("members_list", list.number)
        .add("members", list.members)
        .add("operators", list.operators)
        .add("threshold", list.threshold)
        .add("listed", list.has_us);
    if (list.expires_ns)
      line.time("members_expire", *list.expires_ns);
    if (list.failure)
      line.add("members_error", facts_of(list.failure->code()).name).add("members_reason", list.failure->message());
  }
  line.add("sent", own.traffic.sent).add("received", own.traffic.received);
  line.add("limit_up", own.traffic.limits.up).add("limit_down", own.traffic.limits.down);
  line.add("lan", own.lan.has_value());
  if (own.lan)
    line.add("lan_interfaces", own.lan->interfaces);
  if (own.lan && own.lan->failure)
    line.add("lan_error", facts_of(own.lan->failure->code()).name).add("lan_reason", own.lan->failure->message());
  line.add("map_port", own.port_mapping.has_value());
  if (own.port_mapping)
    add_port(line, *own.port_mapping);
  line.add("relays", own.relay.has_value()).add("relayed_by", own.relayed_by);
  if (own.relay)
    line.add("relay_limit", own.relay->limit)
        .add("relay_bytes", own.relay->bytes)
        .add("relay_streams", own.relay->streams)
        .add("relay_served", own.relay->served);
  if (own.file_failure)
    line.add("error", facts_of(own.file_failure->code()).name).add("reason", own.file_failure->message());
  // The summary is the last line.
  if (own.members && !own.members->has_us)
    s.out.warn("this node is not on the list of members: the others do not let it in");
  if (own.members && own.members->failure)
    s.out.warn(printable(own.members->failure->message()));
  if (own.file_failure)
    s.out.warn(printable(own.file_failure->message()));
  s.out.line(line);
  s.out.print("Node      {}", own.self.hex());
  s.out.print("Mesh      {}{}", own.network ? own.network->hex() : "told to root and the daemon's user alone", own.local ? " (local)" : "");
  s.out.print("State     {}", s.out.paint(own.joined() ? tone::good : tone::warning, state_of(own)));
  s.out.print("Links     {}", grouped(own.links));
  s.out.print("Traffic   {}", traffic_of(s, own.traffic));
  s.out.print("Listens   {}", listed(own.listens, "nowhere: this node only dials"));
  s.out.print("Announces {}", listed(own.announces, "nothing: others can not dial this node"));
  s.out.print("LAN       {}", lan_of(own));
  if (own.port_mapping)
    s.out.print("Router    {}", port_of(s, *own.port_mapping));
  if (own.relay)
    s.out.print("Relays    {} for {}, at most {} a second: {} open", s.out.size(own.relay->bytes),
                counted(own.relay->served, "node", "nodes"), s.out.size(own.relay->limit),
                counted(own.relay->streams, "stream", "streams"));
  if (!own.relayed_by.empty())
    s.out.print("Reached   {}", listed(own.relayed_by, "nowhere"));
  if (own.members)
    s.out.print("Members   {}", members_of(s, *own.members));
  if (!own.announces.empty())
    s.out.print("Seed      {}@{}", own.self.hex(), printable(own.announces.front()));
  if (aside)
    tell_set_aside(s, *aside);
  if (how && *how != hosting::open)
    s.out.print("Others    {}", s.out.paint(tone::warning, *how == hosting::paused ? "paused: nothing new is taken; datamesh node resume"
                                                                                   : "draining: what is here goes to other nodes"));
  page_rooms(s, rooms);
  return 0;
}

outcome<int> run_node_allow(session& s) {
  const auto& words = s.arguments();
  auto owner = vault_id::parse(words[0]);
  if (!owner || owner->is_zero())
    return refuse(errc::invalid_argument,
                  fmt::format("'{}' is no vault's id, which has 64 digits of 0 to 9 and a to f", printable(words[0])),
                  "datamesh vault list --json, where the vault is: it shows the id");
  auto bytes = parse_size(words[1]).value_or(0); // The parser has looked at it.
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  if (!s.dry_run())
    if (auto done = (*n)->allow(*owner, bytes); !done) {
      failure why{done.error()};
      if (why.code == errc::permission_denied && s.by_daemon())
        why.next = "run it as root or as the user of the daemon: only they give room";
      else if (why.code == errc::capacity_exceeded)
        why.next = "datamesh node status: it shows what is granted; 'datamesh node init --capacity SIZE' sets more aside";
      else if (why.code == errc::format_damaged || why.code == errc::format_newer)
        why.next = fmt::format("look at {}, and move it away when it can not be mended: then nobody has room, and 'datamesh node allow' "
                               "gives it again",
                               shell_word((*n)->home() + "/grants"));
      return refuse(std::move(why));
    }
  s.out.line(json_line{"summary"}.add("dry_run", s.dry_run()).add("owner", owner->hex()).add("granted", bytes));
  if (bytes > 0)
    s.out.print("{} {} to keep up to {} here.", s.dry_run() ? "Would allow" : "Allowed", owner->hex(), s.out.size(bytes));
  else
    s.out.print("{} back what was granted to {}; what is kept for it stays.", s.dry_run() ? "Would take" : "Took", owner->hex());
  if (bytes > 0 && !s.dry_run())
    if (auto mesh = (*n)->mesh(); mesh && !*mesh)
      s.out.print("This node is in no mesh, so nobody can use it yet; see datameshd(8)");
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
    if (peer.through)
      line.add("through", peer.through->hex());
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
