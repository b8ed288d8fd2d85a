// node drain, node leave, node pause, node resume: how this node serves those whom it has granted room.
#include "daemon_file.hpp"
#include "display.hpp"
#include "drive_folders.hpp"
#include "presets.hpp"
#include "session.hpp"

#include <algorithm>
#include <thread>

namespace datamesh::cli {

namespace {

/// How often `--wait` looks, and how often it sees that nobody takes what is left before it believes it:
/// an owner may just have named another node.
constexpr auto looked_at = std::chrono::seconds{1};
constexpr int still_for = 60;

/// What is kept here for others.
struct tally {
  uint64_t owners = 0;
  uint64_t shards = 0;
  uint64_t stuck = 0;
  bool told = true; ///< All of it is known.

  [[nodiscard]] bool is_over() const {
    return told && shards == 0;
  }
  /// Nobody takes what is left.
  [[nodiscard]] bool stands_still() const {
    return told && stuck >= shards;
  }
};

result<tally> count(const node& n) {
  auto rooms = n.rooms();
  if (!rooms)
    return fail(rooms.error());
  tally all;
  for (const auto& room : *rooms) {
    all.told = all.told && room.shards.has_value();
    all.owners += room.shards.value_or(0) > 0 ? 1 : 0;
    all.shards += room.shards.value_or(0);
    all.stuck += room.stuck.value_or(0);
  }
  return all;
}

/// What a daemon of somebody else refuses.
outcome<int> refuse_for(const session& s, const error& what) {
  failure why{what};
  if (why.code == errc::permission_denied && s.by_daemon())
    why.next = "run it as root or as the user of the daemon: only they say how the node serves others";
  return refuse(std::move(why));
}

std::string text_of(const tally& what) {
  return fmt::format("{} of {}", counted(what.shards, "shard", "shards"), counted(what.owners, "owner", "owners"));
}

json_line summary(const session& s, std::string_view mode, const std::optional<tally>& left) {
  json_line line{"summary"};
  line.add("dry_run", s.dry_run()).add("hosting", mode);
  if (left && left->told)
    line.add("owners", left->owners).add("shards", left->shards).add("stuck", left->stuck);
  return line;
}

outcome<int> change(session& s, hosting how, std::string_view mode, std::string_view done) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  if (!s.dry_run())
    if (auto set = (*n)->set_hosting(how); !set)
      return refuse_for(s, set.error());
  s.out.line(summary(s, mode, std::nullopt));
  s.out.print("{}{}", s.dry_run() ? "Would say: " : "", done);
  return 0;
}

/// Says that the node is to be empty, and how much there is.
outcome<tally> begin_draining(session& s, node& n) {
  if (!s.dry_run())
    if (auto set = n.set_hosting(hosting::draining); !set)
      return refuse(refuse_for(s, set.error()).error());
  auto left = count(n);
  if (!left)
    return refuse(refuse_for(s, left.error()).error());
  return *left;
}

/// Until nothing is left, or nobody takes the rest.
outcome<tally> wait_until_empty(session& s, const node& n, tally left) {
  if (auto mesh = n.mesh(); mesh && !*mesh && !left.is_over())
    return refuse(errc::unavailable, "what is here for others can not be handed over, for this node is in no mesh now",
                  "start its daemon, and run it again: see datameshd(8)");
  for (auto still = 0; !left.is_over() && still < still_for; still = left.stands_still() ? still + 1 : 0) {
    std::this_thread::sleep_for(looked_at);
    if (s.cancel.cancelled())
      return refuse(errc::cancelled, "wait until this node is empty", "it goes on: datamesh node status shows what is left");
    auto now = count(n);
    if (!now)
      return refuse(refuse_for(s, now.error()).error());
    left = *now;
  }
  return left;
}

failure nobody_takes(const tally& left) {
  return {errc::unavailable, fmt::format("no other node takes {}", text_of(left)),
          "ask their owners for another node, or to move them: datamesh drive drain; the daemon's log tells more"};
}

/// A vault of this node that is on other nodes can not be read from outside of their mesh.
outcome<void> check_nothing_elsewhere(const node& n) {
  auto drives = n.drives();
  auto elsewhere = std::ranges::count_if(drives, [](const auto& drive) { return drive.folder.starts_with("node:") && drive.shards > 0; });
  if (elsewhere == 0)
    return {};
  return refuse(
      errc::conflict,
      fmt::format("vaults of this node have shards on {}", counted(static_cast<uint64_t>(elsewhere), "other node", "other nodes")),
      "move them to drives of this node with datamesh drive drain, or give them up with --force");
}

} // namespace

outcome<int> run_node_pause(session& s) {
  return change(s, hosting::paused, "paused",
                "This node takes nothing new from others, and serves what it has. Next: datamesh node resume");
}

outcome<int> run_node_resume(session& s) {
  return change(s, hosting::open, "open", "This node takes from others what they were granted.");
}

outcome<int> run_node_drain(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto left = begin_draining(s, **n);
  auto waits = s.set.flag("wait") && !s.dry_run();
  if (left && waits)
    left = wait_until_empty(s, **n, *left);
  if (!left)
    return refuse(left.error());
  s.out.line(summary(s, "draining", *left));
  if (waits && !left->is_over())
    return refuse(nobody_takes(*left));
  if (left->is_over())
    s.out.print("{}nothing of others is here, and nothing new is taken.", s.dry_run() ? "Would say: " : "Drained: ");
  else
    s.out.print("{} {} to other nodes. 'datamesh node status' shows what is left.", s.dry_run() ? "Would hand over" : "Hands over",
                left->told ? text_of(*left) : "what is here");
  if (!left->is_over())
    if (auto mesh = (*n)->mesh(); mesh && !*mesh)
      s.out.print("This node is in no mesh now: it begins when its daemon runs; see datameshd(8)");
  return 0;
}

outcome<int> run_node_leave(session& s) {
  auto path = s.set.text("to").empty() ? daemon_config_file() : absolute_path(s.set.text("to"));
  auto text = read_daemon_file(path);
  if (!text)
    return refuse(text.error());
  auto settings = mesh_of_settings(*text, path);
  if (!settings)
    return refuse(settings.error());
  if (!*settings)
    return refuse(errc::not_found, fmt::format("{} has no settings of a mesh", printable(path)),
                  "name the daemon's settings with --to CONFIG");
  auto rest = without_mesh(*text, path, true, "");
  if (!rest)
    return refuse(rest.error());
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto force = s.set.flag("force");
  if (!force)
    if (auto none = check_nothing_elsewhere(**n); !none)
      return refuse(none.error());
  auto left = begin_draining(s, **n);
  if (left && !s.dry_run() && !force)
    left = wait_until_empty(s, **n, *left);
  if (!left)
    return refuse(left.error());
  auto leaves = !s.dry_run() && (force || left->is_over());
  if (leaves)
    if (auto done = write_daemon_file(path, *rest); !done)
      return refuse(done.error());
  s.out.line(summary(s, "draining", *left).name("file", path).add("left", leaves));
  if (s.dry_run()) {
    s.out.print("Would hand over {} to other nodes, and take the mesh out of {}", text_of(*left), printable(path));
    return 0;
  }
  if (!leaves) {
    auto why = nobody_takes(*left);
    why.next += "; or give it up with --force: they make up for what is lost";
    return refuse(std::move(why));
  }
  s.out.print("The mesh is taken out of {}", printable(path));
  s.out.note("Now: restart datameshd. Should the node come into a mesh again, 'datamesh node resume' lets it take from others.");
  return 0;
}

} // namespace datamesh::cli
