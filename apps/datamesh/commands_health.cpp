// network health: whether this node and its mesh are as they should be.
#include "checkup.hpp"
#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>
#include <thread>

namespace datamesh::cli {

namespace {

constexpr int64_t second_ns = 1'000'000'000;
/// A list of members that ends sooner should be signed anew.
constexpr int64_t expires_soon_ns = 14 * 24 * 3600 * second_ns;
/// Nodes of one vault compare what they keep a few times a day.
constexpr int64_t compared_late_ns = 48 * 3600 * second_ns;

struct observation {
  finding result{};
  std::string check;
  std::string cause;
  std::string run{};
  friend bool operator==(const observation&, const observation&) = default;
};
using observations = std::vector<observation>;

/// The router's port, where it is asked for one.
void look_at_port(observations& all, const port_mapping_report& port) {
  if (port.failure)
    all.push_back({finding::warn, "router", short_reason(*port.failure), "datamesh node status"});
  else if (port.address.empty())
    all.push_back({finding::ok, "router", "it is being asked for a port"});
  else
    all.push_back({finding::ok, "router", fmt::format("{} leads here, by {}", port.address, port.protocol)});
}

void look_at_links(observations& all, const mesh_report& own) {
  auto nodes = counted(own.nodes_known, "known node", "known nodes");
  if (!own.joined())
    all.push_back({finding::fail, "mesh", own.nodes_known == 0 ? "no other node has answered" : fmt::format("none of {} answers", nodes),
                   "datamesh peers"});
  else if (2 * own.nodes_alive < own.nodes_known)
    all.push_back({finding::warn, "mesh", fmt::format("{} of {} {}", own.nodes_alive, nodes, own.nodes_alive == 1 ? "answers" : "answer"),
                   "datamesh peers"});
  else
    all.push_back({finding::ok, "mesh", fmt::format("{} of {} {}", own.nodes_alive, nodes, own.nodes_alive == 1 ? "answers" : "answer")});
  if (own.announces.empty() && own.relayed_by.empty())
    all.push_back({finding::warn, "address", "others can not dial this node", "datamesh node status"});
  else if (own.announces.empty())
    all.push_back({finding::ok, "address", "others reach this node through another one"});
  if (own.file_failure)
    all.push_back({finding::warn, "known nodes", own.file_failure->message(), "df -h"});
  if (own.lan && own.lan->failure)
    all.push_back({finding::warn, "LAN", own.lan->failure->message(), "datamesh discover"});
  else if (own.lan)
    all.push_back({finding::ok, "LAN", fmt::format("heard on {}", fmt::join(own.lan->interfaces, ", "))});
  if (own.port_mapping)
    look_at_port(all, *own.port_mapping);
}

void look_at_members(observations& all, const members_report& list) {
  auto name = fmt::format("list {}", list.number);
  if (!list.has_us)
    all.push_back({finding::fail, "members", "this node is not on " + name + ": the others do not let it in", "datamesh node status"});
  else if (list.expires_ns && *list.expires_ns < wall_now_ns())
    all.push_back(
        {finding::fail, "members", name + " ran out: the operators have to sign a new one", "datamesh members set LIST --lasts 90d"});
  else if (list.expires_ns && *list.expires_ns < wall_now_ns() + expires_soon_ns)
    all.push_back({finding::warn, "members", fmt::format("{} ends at {}", name, rfc3339_seconds(*list.expires_ns)),
                   "datamesh members set LIST --lasts 90d"});
  else if (list.failure)
    all.push_back({finding::warn, "members", list.failure->message(), "datamesh members show LIST"});
  else
    all.push_back({finding::ok, "members", name + " has this node"});
}

/// A node that lost one shard of ten of late has less.
constexpr double relied_upon_from = 0.9;

/// What other nodes keep for this one: those are drives of its vaults.
void look_at_drives(observations& all, const node& n) {
  for (const auto& drive : n.drives()) {
    if (!is_node_name(drive.folder))
      continue;
    auto cause = fmt::format("{} is {}{}", drive.folder, drive.state, drive.reason ? ": " + drive.reason->message() : "");
    auto audits = "datamesh drive audits " + drive.folder;
    if (drive.audits && drive.audits->lies)
      all.push_back(
          {finding::fail, "kept there", drive.folder + " sent what it was not given", "datamesh repair; " + audits + " shows what"});
    else if (drive.state != "ok")
      all.push_back({drive.state == "draining" ? finding::warn : finding::fail, "kept there", cause, "datamesh drive list"});
    else if (drive.audits && drive.audits->score < relied_upon_from)
      all.push_back({finding::warn, "kept there",
                     fmt::format("{} has lost shards of late: its score is {:.2f}", drive.folder, drive.audits->score), audits});
    else
      all.push_back({finding::ok, "kept there", cause});
  }
}

/// What a rule says where data may lie.
void look_at_rule(observations& all, const node& n) {
  auto rule = n.rule();
  // A daemon of an earlier version has none.
  if (!rule || rule->empty())
    return;
  uint64_t shards = 0;
  uint64_t outside = 0;
  for (const auto& drive : n.drives())
    if (drive.outside_rule && drive.shards > 0) {
      ++outside;
      shards += drive.shards;
    }
  if (shards > 0)
    all.push_back({finding::warn, "rule",
                   fmt::format("{} on {} outside of '{}'", counted(shards, "shard lies", "shards lie"), counted(outside, "drive", "drives"),
                               rule_text(*rule)),
                   "datamesh rebalance"});
  else
    all.push_back({finding::ok, "rule", fmt::format("nothing lies outside of '{}'", rule_text(*rule))});
}

void look_at_room(observations& all, const output& out, const room_report& room) {
  auto owner = room.owner.hex().substr(0, 8);
  if (!room.used)
    return all.push_back({finding::warn, "kept here", "what " + owner + " keeps can not be told", "datamesh drive list"});
  if (room.stuck.value_or(0) > 0)
    return all.push_back({finding::warn, "kept here",
                          fmt::format("no other node takes {} of {}", counted(*room.stuck, "shard", "shards"), owner),
                          "datamesh node status"});
  if (room.granted > 0 && *room.used > room.granted / 20 * 19)
    return all.push_back({finding::warn, "kept here", fmt::format("{} fills what it was granted, {}", owner, out.size(room.granted)),
                          fmt::format("datamesh node allow {} SIZE", room.owner.hex())});
  if (room.compared_ns && *room.compared_ns + compared_late_ns < wall_now_ns())
    return all.push_back(
        {finding::warn, "kept here", fmt::format("what {} keeps was compared with other nodes long ago", owner), "datamesh node status"});
  all.push_back({finding::ok, "kept here", fmt::format("{} of {}", counted(room.shards.value_or(0), "shard", "shards"), owner)});
}

void look_at_guests(observations& all, const output& out, const node& n) {
  auto rooms = n.rooms();
  // Whom it keeps something for is its operator's affair.
  if (!rooms && rooms.error().code() == errc::permission_denied)
    return;
  if (!rooms)
    return all.push_back({finding::warn, "kept here", rooms.error().message(), "datamesh node status"});
  for (const auto& room : *rooms)
    look_at_room(all, out, room);
  if (auto how = n.hosts(); how && *how != hosting::open)
    all.push_back({finding::warn, "others",
                   *how == hosting::paused ? "paused: nothing new is taken" : "draining: what is here goes to other nodes",
                   "datamesh node resume"});
}

observations look(session& s) {
  observations all;
  auto n = s.open_node();
  if (!n)
    return {{finding::fail, "node", n.error().what, n.error().next.empty() ? "datamesh node status" : n.error().next}};
  auto mesh = (*n)->mesh();
  if (!mesh)
    return {{finding::fail, "node", mesh.error().message(), "datamesh node status"}};
  if (!*mesh)
    return {{finding::fail, "node", "it is in no mesh", "datamesh node status"}};
  look_at_links(all, **mesh);
  if ((*mesh)->members)
    look_at_members(all, *(*mesh)->members);
  look_at_drives(all, **n);
  look_at_rule(all, **n);
  look_at_guests(all, s.out, **n);
  return all;
}

/// False when it was interrupted.
bool wait(const session& s, std::chrono::seconds time) {
  constexpr auto step = std::chrono::milliseconds{100};
  for (auto waited = std::chrono::milliseconds{0}; waited < time && !s.cancel.cancelled(); waited += step)
    std::this_thread::sleep_for(step);
  return !s.cancel.cancelled();
}

} // namespace

outcome<int> run_network_health(session& s) {
  auto seen = look(s);
  checkup first{s.out};
  for (const auto& one : seen)
    first.tell(one.result, one.check, one.cause, one.run);
  if (!s.set.flag("watch"))
    return first.finish("network health");
  auto last = first;
  // Let go of meanwhile: a daemon may want to begin.
  for (s.close_node(); wait(s, std::chrono::seconds{s.set.number("every")}) && !s.out.broken(); s.close_node()) {
    auto now = look(s);
    if (s.cancel.cancelled())
      break;
    last = checkup{s.out};
    for (const auto& one : now)
      if (std::ranges::find(seen, one) != seen.end())
        last.count(one.result);
      else
        last.tell(one.result, one.check, one.cause, one.run, wall_now_ns());
    seen = std::move(now);
  }
  return last.finish("network health");
}

} // namespace datamesh::cli
