// invite: how a node comes into a mesh without its operator writing settings by hand.
#include "datamesh/invite.hpp"
#include "datamesh/members.hpp"

#include "daemon_file.hpp"
#include "display.hpp"
#include "drive_folders.hpp"
#include "presets.hpp"
#include "session.hpp"
#include "toml.hpp"

namespace datamesh::cli {

namespace {

int64_t now_s() {
  return wall_now_ns() / 1'000'000'000;
}

outcome<invite> read_file(const std::string& path) {
  auto raw = read_named_file(path, invite_size_max);
  if (!raw)
    return refuse(raw.error());
  auto read = read_invite(*raw);
  if (!read)
    return refuse(failure{read.error().within("read " + path)});
  return std::move(*read);
}

std::string members_text(const invite& what) {
  if (what.members.empty())
    return "open: whoever has this invite, or knows the mesh's id, is let in";
  auto list = read_members(what.members);
  return list ? fmt::format("closed: list {} with {}", list->list.number, counted(list->list.members.size(), "node", "nodes")) : "closed";
}

json_line facts_of(const invite& what) {
  json_line line{"summary"};
  line.add("network", what.network.hex())
      .add("local", what.local)
      .add("seeds", what.seeds)
      .add("from", what.from.hex())
      .add("closed", !what.members.empty())
      .time("made", what.made_s * 1'000'000'000)
      .time("expires", what.expires_s * 1'000'000'000)
      .add("expired", what.is_over(now_s()));
  return line;
}

void print_facts(session& s, const invite& what) {
  s.out.print("Mesh      {}{}", what.network.hex(), what.local ? " (local)" : "");
  s.out.print("From      node {}", what.from.hex());
  for (const auto& seed : what.seeds)
    s.out.print("Seed      {}", seed);
  s.out.print("Members   {}", members_text(what));
  s.out.print("Holds     {}", what.is_over(now_s()) ? "no more" : "until " + s.out.time(what.expires_s * 1'000'000'000));
}

std::string mesh_lines(session& s, const invite& what, const std::string& list_path) {
  std::string lines = fmt::format("mesh_network = {}\nmesh_seeds = {}\n", json_quoted(what.network.hex()), toml_list(what.seeds));
  if (what.local)
    lines += "mesh_local = true\n";
  for (const auto* option : {"listen", "announce"})
    if (s.set.given(option))
      lines += fmt::format("mesh_{} = {}\n", option, toml_list(s.set.list(option)));
  if (!list_path.empty())
    lines += fmt::format("mesh_members = {}\n", json_quoted(list_path));
  return lines;
}

} // namespace

outcome<int> run_invite_create(session& s) {
  auto path = absolute_path(s.arguments()[0]);
  if (!s.set.flag("force") && system_files()->status(path))
    return refuse(errc::already_exists, fmt::format("'{}' is there", printable(path)), "run it again with --force, or name another FILE");
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto mesh = (*n)->mesh();
  if (!mesh)
    return refuse(failure{mesh.error()});
  if (!*mesh || !(*mesh)->network)
    return refuse(errc::invalid_argument, *mesh ? "the daemon does not tell you its mesh" : "the node of this machine is in no mesh",
                  *mesh ? "run it as root or as the user of the daemon" : "set 'mesh_network' in datameshd.toml, and restart datameshd");
  const auto& own = **mesh;
  invite what;
  what.network = *own.network;
  what.local = own.local;
  what.made_s = now_s();
  what.expires_s = what.made_s + static_cast<int64_t>(s.set.number("lasts"));
  auto seeds = s.set.list("seed");
  if (auto name = s.set.text("preset"); !name.empty()) {
    auto preset = find_preset(name);
    if (!preset)
      return refuse(preset.error());
    if (auto id = preset->network.empty() ? result<network_id>{what.network} : mesh_id_of(preset->network))
      what.network = *id;
    else
      return refuse(failure{id.error()});
    what.local = preset->local;
    if (seeds.empty())
      seeds = preset->seeds;
  }
  if (seeds.empty() && what.network == *own.network)
    for (const auto& at : own.announces)
      seeds.push_back(own.self.hex() + "@" + at);
  for (const auto& text : seeds) {
    auto seed = invite_seed(text);
    if (!seed)
      return refuse(failure{seed.error()});
    what.seeds.push_back(*seed);
  }
  if (what.seeds.empty())
    return refuse(errc::invalid_argument, "nobody can dial this node, so that it is no seed",
                  "name a node that is reached with --seed ID@ADDRESS, as 'datamesh node status' shows it there");
  if (auto list = s.set.text("members"); !list.empty()) {
    auto raw = read_named_file(absolute_path(list), member_list_size_max);
    if (!raw)
      return refuse(raw.error());
    what.members = *raw;
  } else if (own.members && what.network == *own.network) {
    return refuse(errc::usage, "this mesh is closed, and the new node has to know its list of members", "name it with --members LIST");
  }
  auto made = sign_invite(what, (*n)->home());
  if (!made) {
    failure why{made.error()};
    if (why.code == errc::permission_denied)
      why.next = "run it as root or as the user of the daemon: the node's key signs";
    return refuse(std::move(why));
  }
  auto read = read_invite(*made);
  if (!read)
    return refuse(failure{read.error()});
  if (auto written = write_whole(*system_files(), path, *made, 0600); !written)
    return refuse(failure{written.error()});
  s.out.line(facts_of(*read).name("file", path));
  print_facts(s, *read);
  s.out.note("Give {} to whom it is for, and to nobody else. There: datamesh invite accept {}", printable(path),
             shell_word(path.substr(path.rfind('/') + 1)));
  return 0;
}

outcome<int> run_invite_show(session& s) {
  auto what = read_file(absolute_path(s.arguments()[0]));
  if (!what)
    return refuse(what.error());
  s.out.line(facts_of(*what));
  print_facts(s, *what);
  return 0;
}

outcome<int> run_invite_accept(session& s) {
  auto what = read_file(absolute_path(s.arguments()[0]));
  if (!what)
    return refuse(what.error());
  if (what->is_over(now_s()))
    return refuse(errc::invalid_argument, "the invite is over since " + s.out.time(what->expires_s * 1'000'000'000),
                  "ask for a new one, and see that the clock of this machine is right");
  if (auto from = s.set.text("from"); !from.empty() && peer_id::parse(from) != what->from)
    return refuse(errc::authentication_failed, "the invite is signed by node " + what->from.hex(), "ask whoever sent it for another one");
  auto path = s.set.text("to").empty() ? daemon_config_file() : absolute_path(s.set.text("to"));
  auto files = system_files();
  auto before = read_daemon_file(path);
  if (!before)
    return refuse(before.error());
  auto rest = without_mesh(*before, path, s.set.flag("force"), s.as_typed() + " --force");
  if (!rest)
    return refuse(rest.error());
  auto list_path = what->members.empty() ? std::string{} : parent_path(path) + "/members." + what->network.brief();
  auto lines = mesh_lines(s, *what, list_path);
  if (auto good = parse_toml(*rest + lines, path); !good)
    return refuse(errc::invalid_argument, fmt::format("the settings would be none: {}", good.error().what),
                  "look at --listen and --announce");
  if (!s.dry_run()) {
    if (!list_path.empty()) {
      auto made =
          make_folders(*files, parent_path(list_path), 0755).and_then([&] { return write_whole(*files, list_path, what->members, 0644); });
      if (!made)
        return refuse(failure{made.error()});
    }
    if (auto done = write_daemon_file(path, *rest + lines); !done)
      return refuse(done.error());
  }
  s.out.line(facts_of(*what).add("dry_run", s.dry_run()).name("file", path));
  print_facts(s, *what);
  s.out.print("");
  s.out.print("{} {}:", s.dry_run() ? "Would write to" : "Wrote to", printable(path));
  s.out.print("{}", lines.substr(0, lines.size() - 1));
  if (!list_path.empty())
    s.out.print("{} {}.", s.dry_run() ? "Would write" : "Wrote", printable(list_path));
  if (!s.set.given("listen"))
    s.out.note("The node only dials: without --listen nobody can dial it.");
  if (!s.dry_run())
    s.out.note("Now: datameshd --check-config, then restart datameshd.{}",
               list_path.empty()
                   ? ""
                   : " Tell an operator of the mesh the id that 'datamesh node status' shows: it has to be on the list of members.");
  return 0;
}

} // namespace datamesh::cli
