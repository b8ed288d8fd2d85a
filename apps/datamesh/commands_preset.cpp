// preset: settings of a mesh under a name.
#include "datamesh/base/environment.hpp"

#include "daemon_file.hpp"
#include "display.hpp"
#include "drive_folders.hpp"
#include "presets.hpp"
#include "session.hpp"

#include <algorithm>

namespace datamesh::cli {

namespace {

void add_facts(json_line& to, const preset& of) {
  to.add("name", of.name).add("built_in", of.built_in).add("local", of.local).add("lan", of.lan).add("map_port", of.map_port);
  to.add("listen", of.listen).add("announce", of.announce).add("seeds", of.seeds).add("needs_seeds", of.needs_seeds);
  if (!of.network.empty())
    to.add("network", of.network);
  if (!of.members.empty())
    to.add("members_file", of.members);
}

std::string config_of(const session& s, const char* option) {
  auto path = s.set.text(option);
  return path.empty() ? daemon_config_file() : absolute_path(path);
}

void print_lines(session& s, const preset& of) {
  auto text = of.lines();
  for (size_t begin = 0; begin < text.size();) {
    auto end = text.find('\n', begin);
    s.out.print("{}", printable(text.substr(begin, end - begin)));
    begin = end + 1;
  }
}

/// Whether it listens at all addresses of the machine, so that it has to say which of them others dial.
bool needs_announce(const preset& what) {
  auto is_any = [](const std::string& at) {
    return at.starts_with("0.0.0.0:") || at.starts_with("[::]:") || at.starts_with("/ip4/0.0.0.0/") || at.starts_with("/ip6/::/");
  };
  auto finds_out = what.local && what.lan.value_or(true);
  return !finds_out && !what.map_port && what.announce.empty() && std::ranges::any_of(what.listen, is_any);
}

/// What the command line says, and what is there already where the preset says nothing of it.
outcome<preset> filled_in(session& s, preset what, const std::optional<preset>& before) {
  for (auto [option, to] : {std::pair{"listen", &what.listen}, std::pair{"announce", &what.announce}, std::pair{"seed", &what.seeds}})
    if (s.set.given(option))
      *to = s.set.list(option);
  if (before && what.network.empty())
    what.network = before->network;
  if (before && what.members.empty() && what.network == before->network)
    what.members = before->members;
  if (before && what.needs_seeds && what.seeds.empty())
    what.seeds = before->seeds;
  if (what.network.empty()) {
    auto made = random_id<network_id>(*system_environment().random);
    if (!made)
      return refuse(failure{made.error()});
    what.network = made->hex();
  }
  if (what.needs_seeds && what.seeds.empty() && !s.set.flag("first"))
    return refuse(errc::usage, fmt::format("the preset '{}' needs a node to ask first", what.name),
                  "name one with --seed ADDRESS, or say --first when this node is the first of its mesh");
  if (needs_announce(what))
    return refuse(errc::usage, "a node that listens at all addresses has to say at which of them others reach it",
                  "name it with --announce ADDRESS");
  return what;
}

} // namespace

outcome<int> run_preset_list(session& s) {
  auto all = all_presets();
  if (!all)
    return refuse(all.error());
  using align = text_table::align;
  text_table table{{align::left, align::left, align::left, align::left}};
  table.heading({"NAME", "LISTENS", "LAN", "WHAT IT IS"});
  for (const auto& one : *all) {
    json_line line{"item"};
    add_facts(line, one);
    s.out.line(line);
    table.row({one.name, one.listen.empty() ? "-" : printable(fmt::format("{}", fmt::join(one.listen, ", "))),
               one.lan ? *one.lan ? "on" : "off" : "-", one.summary});
  }
  s.out.page(table.render());
  s.out.line(json_line{"summary"}.add("presets", all->size()));
  return 0;
}

outcome<int> run_preset_show(session& s) {
  auto found = find_preset(s.arguments()[0]);
  if (!found)
    return refuse(found.error());
  json_line line{"summary"};
  add_facts(line, *found);
  s.out.line(line);
  print_lines(s, *found);
  return 0;
}

outcome<int> run_preset_save(session& s) {
  auto path = config_of(s, "from");
  auto text = read_daemon_file(path);
  if (!text)
    return refuse(text.error());
  auto what = mesh_of_settings(*text, path);
  if (!what)
    return refuse(what.error());
  if (!*what)
    return refuse(errc::not_found, fmt::format("{} has no settings of a mesh", printable(path)), "name the settings with --from CONFIG");
  (*what)->name = s.arguments()[0];
  if (!s.dry_run())
    if (auto saved = save_preset(**what, s.set.flag("force")); !saved)
      return refuse(saved.error());
  json_line line{"summary"};
  add_facts(line, **what);
  s.out.line(line.add("dry_run", s.dry_run()));
  s.out.print("{} '{}':", s.dry_run() ? "Would save" : "Saved", (*what)->name);
  print_lines(s, **what);
  return 0;
}

outcome<int> run_preset_remove(session& s) {
  const auto& name = s.arguments()[0];
  if (auto gone = remove_preset(name, s.dry_run()); !gone)
    return refuse(gone.error());
  s.out.line(json_line{"summary"}.add("name", name).add("dry_run", s.dry_run()));
  s.out.print("{} the preset '{}'.", s.dry_run() ? "Would remove" : "Removed", name);
  return 0;
}

outcome<int> run_preset_use(session& s) {
  auto found = find_preset(s.arguments()[0]);
  if (!found)
    return refuse(found.error());
  auto path = config_of(s, "to");
  auto text = read_daemon_file(path);
  if (!text)
    return refuse(text.error());
  auto before = mesh_of_settings(*text, path);
  if (!before)
    return refuse(before.error());
  auto what = filled_in(s, std::move(*found), *before);
  if (!what)
    return refuse(what.error());
  auto rest = without_mesh(*text, path, s.set.flag("force"), s.as_typed() + " --force");
  if (!rest)
    return refuse(rest.error());
  auto next = *rest + what->lines();
  if (auto good = mesh_of_settings(next, path); !good)
    return refuse(good.error());
  if (!s.dry_run())
    if (auto done = write_daemon_file(path, next); !done)
      return refuse(done.error());
  json_line line{"summary"};
  add_facts(line, *what);
  s.out.line(line.add("dry_run", s.dry_run()).name("file", path));
  s.out.print("{} {}:", s.dry_run() ? "Would write to" : "Wrote to", printable(path));
  print_lines(s, *what);
  if (!s.dry_run())
    s.out.note("Now: datameshd --check-config, then restart datameshd. Others come in by 'datamesh invite create'.");
  return 0;
}

} // namespace datamesh::cli
