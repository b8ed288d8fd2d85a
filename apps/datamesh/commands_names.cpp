// ls, info, mkdir, rm, mv, cp, tag, versions, restore: names and what they stand for.
#include "display.hpp"
#include "list_filter.hpp"
#include "name_check.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>

namespace datamesh::cli {

namespace {

std::string_view name_of(entry_kind kind) {
  switch (kind) {
  case entry_kind::file:
    return "file";
  case entry_kind::folder:
    return "folder";
  case entry_kind::symlink:
    return "symlink";
  }
  return "file";
}

std::string mode_text(const entry& e) {
  std::string result = e.kind == entry_kind::folder ? "d" : e.kind == entry_kind::symlink ? "l" : "-";
  for (auto bit = 8; bit >= 0; --bit)
    result += (e.mode >> bit & 1u) != 0 ? "rwxrwxrwx"[8 - bit] : '-';
  return result;
}

void add_entry(json_line& line, const entry& e) {
  line.name("path", e.path)
      .add("kind", name_of(e.kind))
      .add("size", e.size)
      .add("mode", fmt::format("{:04o}", e.mode))
      .time("modified", e.modified_ns);
  if (e.kind == entry_kind::symlink)
    line.name("symlink_target", e.symlink_target);
  line.add("versions", e.version_count).add("margin", e.margin);
}

std::string health_text(const output& out, const entry& e) {
  if (!e.margin)
    return "";
  if (*e.margin < 0)
    return out.paint(tone::bad, "lost");
  auto text = fmt::format("+{}", *e.margin);
  return *e.margin == 0 ? out.paint(tone::warning, text) : text;
}

std::string shown_name(const output& out, const entry& e, const std::string& name) {
  auto text = printable_name(name);
  if (e.kind == entry_kind::folder)
    return out.paint(tone::strong, text + "/");
  if (e.kind == entry_kind::symlink)
    return text + " -> " + printable_name(e.symlink_target);
  return text;
}

/// Calls *take* with every entry of *request*, page by page.
template <class Take>
outcome<void> each_entry(const vault& v, list_request request, Take take) {
  do {
    auto page = v.list(request);
    if (!page)
      return refuse(page.error());
    for (auto& e : page->entries)
      take(e);
    request.cursor = page->next_cursor;
  } while (!request.cursor.empty());
  return {};
}

/// Colour codes have no width, so the health column is laid out by hand.
std::string long_line(const output& out, const entry& e, const std::string& name, bool health) {
  auto size = e.kind == entry_kind::folder ? std::string{"-"} : out.size(e.size);
  auto text = fmt::format("{}  {:>10}  {:<20}", mode_text(e), size, out.time(e.modified_ns));
  text += e.version_count > 1 ? fmt::format("  v{:<3}", e.version_count) : std::string(6, ' ');
  if (health) {
    auto h = health_text(out, e);
    auto width = !e.margin ? 0 : *e.margin < 0 ? 4 : fmt::format("+{}", *e.margin).size();
    text += "  " + h + std::string(width < 4 ? 4 - width : 0, ' ');
  }
  return text + "  " + shown_name(out, e, name) + "\n";
}

/// The id of an entry of the trash; its path where the catalog knows the old place.
node_id trash_id(const entry& e) {
  return e.node.is_zero() ? node_id::parse(e.path).value_or(e.node) : e.node;
}

outcome<int> list_trash(session& s, vault& v) {
  auto all = v.trash();
  if (!all)
    return refuse(all.error());
  std::string text;
  for (auto& [e, removed_ns] : *all) {
    json_line line{"item"};
    add_entry(line, e);
    s.out.line(line.name("name", e.name).add("id", trash_id(e).hex()).time("removed", removed_ns));
    text += fmt::format("{}  removed {:<20}  {}\n", trash_id(e).brief(), s.out.time(removed_ns),
                        shown_name(s.out, e, e.path.starts_with('/') ? e.path : e.name));
  }
  s.out.page(text);
  s.out.line(json_line{"summary"}.add("entries", all->size()));
  if (all->empty())
    s.out.note("The trash is empty.");
  return 0;
}

void tell_change(session& s, const change_result& done) {
  if (!done.in_packs && !s.set.flag("flush"))
    s.out.note("Durable in the local catalog; it reaches the drives with the next put, or at once with --flush.");
}

outcome<int> finish_changes(session& s, vault& v, uint64_t count, bool in_packs) {
  if (s.set.flag("flush") && !s.dry_run()) {
    if (auto flushed = v.flush(); !flushed)
      return refuse(flushed.error());
    in_packs = true;
  } else if (count > 0) {
    tell_change(s, change_result{in_packs});
  }
  s.out.line(json_line{"summary"}.add("dry_run", s.dry_run()).add("changed", s.dry_run() ? 0 : count).add("in_packs", in_packs));
  return 0;
}

/// Runs *change* on each item; asks and only tells where that is wanted.
class change_loop {
public:
  /// *joint* stands between what is changed and its target.
  change_loop(session& s, std::string verb, std::string done, std::string joint = " to ")
      : s_(s), verb_(std::move(verb)), done_(std::move(done)), joint_(std::move(joint)) {}

  template <class Change>
  outcome<void> run(const std::string& path, const std::string& target, Change change) {
    if (s_.cancel.cancelled())
      return refuse(errc::cancelled, verb_);
    auto place = target;
    auto shown = printable_name(path) + (target.empty() ? "" : joint_ + printable_name(target));
    if (s_.set.flag("interactive")) {
      auto sure = ask(fmt::format("{} {}?", verb_, shown), s_.cancel);
      if (!sure)
        return refuse(sure.error());
      if (!*sure)
        return {};
    }
    if (!s_.dry_run()) {
      result<change_result> done = change();
      if (!done)
        return refuse(done.error());
      in_packs = in_packs && done->in_packs;
      ++count;
      // Another name may have been taken.
      if (!done->path.empty() && !target.empty()) {
        place = done->path;
        shown = printable_name(path) + joint_ + printable_name(place);
      }
    }
    json_line line{"item"};
    line.add("action", s_.line.path).name("path", path);
    if (!place.empty())
      line.name("target", place);
    s_.out.line(line.add("dry_run", s_.dry_run()));
    if (s_.dry_run())
      s_.out.print("Would {} {}.", verb_, shown);
    else if (!s_.out.quiet())
      s_.out.print("{} {}.", done_, shown);
    return {};
  }

  uint64_t count = 0;
  bool in_packs = true;

private:
  session& s_;
  std::string verb_;
  std::string done_;
  std::string joint_;
};

/// Pairs of source and target by the rules of mv(1).
outcome<std::vector<std::pair<std::string, std::string>>> move_plan(session& s, vault& v) {
  auto words = s.arguments();
  auto target = vault_path(words.back());
  if (!target)
    return refuse(target.error());
  auto into_folder = words.back().ends_with('/');
  words.pop_back();
  auto sources = expand_all(v, words, nested::named);
  if (!sources)
    return refuse(sources.error());
  auto there = v.info(*target);
  if (there)
    into_folder = there->kind == entry_kind::folder;
  if (sources->size() > 1 && !into_folder)
    return refuse(there ? errc::not_a_folder : errc::not_found,
                  fmt::format("'{}' is no folder that several sources could go into", printable(*target)),
                  there ? "name a folder as the last argument" : "datamesh mkdir " + shell_word(*target));
  std::vector<std::pair<std::string, std::string>> plan;
  for (auto& source : *sources) {
    auto name = source.substr(source.rfind('/') + 1);
    plan.emplace_back(source, into_folder ? (*target == "/" ? "" : *target) + "/" + name : *target);
  }
  return plan;
}

} // namespace

outcome<int> run_ls(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto filter = filter_of(s.set, wall_now_ns());
  if (s.set.flag("trash") && !filter.empty())
    return refuse(errc::usage, "'--trash' takes no filter", "datamesh help ls");
  if (s.set.flag("trash"))
    return list_trash(s, **v);
  auto words = s.arguments().empty() ? std::vector<std::string>{"/"} : s.arguments();
  auto paths = expand_all(**v, words);
  if (!paths)
    return refuse(paths.error());
  auto health = s.set.flag("health");
  auto detailed = s.set.flag("long") || health;
  uint64_t count = 0;
  uint64_t bytes = 0;
  std::string text;
  // A listing tells no tags, and an entry may go in between.
  auto wanted = [&](const entry& e) {
    if (!filter.takes(e) || filter.tags.empty())
      return filter.takes(e);
    auto whole = (*v)->info(e.path);
    return whole && filter.takes_tags(*whole);
  };
  auto take = [&](const entry& e, const std::string& name) {
    if (!wanted(e))
      return;
    ++count;
    bytes += e.size;
    json_line line{"item"};
    add_entry(line, e);
    s.out.line(line);
    if (!s.out.json())
      text += detailed ? long_line(s.out, e, name, health) : shown_name(s.out, e, name) + "\n";
  };
  for (auto& path : *paths) {
    auto e = path == "/" ? result<entry>{entry{.path = "/", .name = "", .kind = entry_kind::folder}} : (*v)->info(path);
    if (!e)
      return refuse(e.error());
    if (e->kind != entry_kind::folder) {
      take(*e, path);
      continue;
    }
    if (paths->size() > 1 && !s.out.json())
      text += fmt::format("{}{}:\n", text.empty() ? "" : "\n", printable_name(path));
    list_request request{.path = path, .recursive = s.set.flag("recursive"), .health = health, .limit = 10'000};
    auto below = path == "/" ? size_t{1} : path.size() + 1;
    auto listed = each_entry(**v, request,
                             [&](const entry& x) { take(x, request.recursive ? x.path.substr(std::min(below, x.path.size())) : x.name); });
    if (!listed)
      return refuse(listed.error());
  }
  s.out.page(text);
  if (count == 0)
    s.out.note("{}", filter.empty() ? "Nothing is stored here yet." : "Nothing here matches.");
  s.out.line(json_line{"summary"}.add("entries", count).add("bytes", bytes));
  return 0;
}

outcome<int> run_info(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto paths = expand_all(**v, s.arguments());
  if (!paths)
    return refuse(paths.error());
  for (auto& path : *paths) {
    auto e = (*v)->info(path);
    if (!e)
      return refuse(e.error());
    json_line line{"item"};
    add_entry(line, *e);
    std::vector<json_line> tags;
    for (auto& [key, value] : e->tags)
      tags.push_back(json_line{}.name("key", key).name("value", value));
    s.out.line(line.add("tags", tags));
    auto& out = s.out;
    out.print("{}", out.paint(tone::strong, printable_name(e->path)));
    out.print("  kind      {}{}", name_of(e->kind), e->kind == entry_kind::symlink ? " to " + printable_name(e->symlink_target) : "");
    if (e->kind == entry_kind::file)
      out.print("  size      {}{}", out.size(e->size), e->size >= 1024 ? fmt::format(" ({} bytes)", grouped(e->size)) : "");
    out.print("  modified  {} ({})", rfc3339_seconds(e->modified_ns), relative_time(e->modified_ns, wall_now_ns()));
    out.print("  mode      {}", mode_text(*e));
    if (e->kind == entry_kind::file)
      out.print("  versions  {}", e->version_count);
    if (e->margin)
      out.print("  health    {}", *e->margin < 0 ? out.paint(tone::bad, "data is lost")
                                                 : fmt::format("{} more drives may fail before data is lost", *e->margin));
    for (auto& [key, value] : e->tags)
      out.print("  tag       {} = {}", printable(key), printable(value));
  }
  s.out.line(json_line{"summary"}.add("entries", paths->size()));
  return 0;
}

outcome<int> run_mkdir(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  change_loop loop{s, "make", "Made"};
  for (auto& word : s.arguments()) {
    auto path = vault_path(word);
    if (!path)
      return refuse(path.error());
    if (auto there = *path == "/" ? result<entry>{entry{.kind = entry_kind::folder}} : (*v)->info(*path);
        there && there->kind == entry_kind::folder) {
      s.out.note("{} is there already.", printable_name(*path));
      continue;
    }
    if (auto done = loop.run(*path, "", [&] { return (*v)->make_folder(*path); }); !done)
      return refuse(done.error());
  }
  return finish_changes(s, **v, loop.count, loop.in_packs);
}

outcome<int> run_rm(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto paths = expand_all(**v, s.arguments(), s.set.flag("recursive") ? nested::gone : nested::each);
  if (!paths)
    return refuse(paths.error());
  change_loop loop{s, "remove", "Removed"};
  name_check names{**v, s.dry_run()};
  for (auto& path : *paths) {
    if (auto possible = names.remove(path, s.set.flag("recursive")); !possible)
      return refuse(possible.error());
    if (auto done = loop.run(path, "", [&] { return (*v)->remove(path, s.set.flag("recursive")); }); !done)
      return refuse(done.error());
  }
  return finish_changes(s, **v, loop.count, loop.in_packs);
}

outcome<int> run_mv(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto plan = move_plan(s, **v);
  if (!plan)
    return refuse(plan.error());
  change_loop loop{s, "move", "Moved"};
  name_check names{**v, s.dry_run()};
  for (auto& [from, to] : *plan) {
    auto place = names.move(from, to, conflict_of(s.set));
    if (!place)
      return refuse(place.error());
    if (auto done = loop.run(from, *place, [&, f = from, t = to] { return (*v)->move(f, t, conflict_of(s.set)); }); !done)
      return refuse(done.error());
  }
  return finish_changes(s, **v, loop.count, loop.in_packs);
}

outcome<int> run_cp(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto plan = move_plan(s, **v);
  if (!plan)
    return refuse(plan.error());
  change_loop loop{s, "copy", "Copied"};
  name_check names{**v, s.dry_run()};
  for (auto& [from, to] : *plan) {
    auto place = names.copy(from, to, conflict_of(s.set));
    if (!place)
      return refuse(place.error());
    if (auto done = loop.run(from, *place, [&, f = from, t = to] { return (*v)->copy(f, t, conflict_of(s.set)); }); !done)
      return refuse(done.error());
  }
  return finish_changes(s, **v, loop.count, loop.in_packs);
}

namespace {

/// What the library takes; it keeps one key for itself.
bool may_be_tag(const std::string& key, const std::optional<std::string>& value) {
  return !key.empty() && key.size() <= 255 && (!value || value->size() <= 4096) && key != "datamesh.removed-from";
}

} // namespace

outcome<int> run_tag(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto path = vault_path(s.arguments()[0]);
  if (!path)
    return refuse(path.error());
  std::vector<std::pair<std::string, std::optional<std::string>>> changes;
  for (size_t i = 1; i < s.arguments().size(); ++i) {
    auto& word = s.arguments()[i];
    auto equals = word.find('=');
    if (equals == std::string::npos || equals == 0)
      return refuse(errc::usage, fmt::format("'{}' is not KEY=VALUE", printable(word)), "datamesh help tag");
    changes.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  for (auto& key : s.set.list("remove"))
    changes.emplace_back(key, std::nullopt);
  if (changes.empty()) {
    auto e = (*v)->info(*path);
    if (!e)
      return refuse(e.error());
    for (auto& [key, value] : e->tags) {
      s.out.line(json_line{"item"}.name("key", key).name("value", value));
      s.out.print("{} = {}", printable(key), printable(value));
    }
    s.out.line(json_line{"summary"}.add("dry_run", false).add("changed", 0).add("in_packs", true));
    return 0;
  }
  for (auto& [key, value] : changes)
    if (!may_be_tag(key, value))
      return refuse(errc::invalid_argument, fmt::format("no tag is '{}': a key has 1 to 255 bytes, a value up to 4096", printable(key)),
                    "datamesh help tag");
  if (s.dry_run())
    if (auto e = (*v)->info(*path); !e)
      return refuse(e.error());
  change_loop loop{s, "tag", "Tagged", " "};
  for (auto& [key, value] : changes) {
    auto shown = value ? key + "=" + *value : "without " + key;
    if (auto done = loop.run(*path, shown, [&, k = key, x = value] { return (*v)->set_tag(*path, k, x); }); !done)
      return refuse(done.error());
  }
  return finish_changes(s, **v, loop.count, loop.in_packs);
}

outcome<int> run_versions(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto path = vault_path(s.arguments()[0]);
  if (!path)
    return refuse(path.error());
  auto all = (*v)->versions(*path);
  if (!all)
    return refuse(all.error());
  text_table table{
      {text_table::align::left, text_table::align::right, text_table::align::left, text_table::align::left, text_table::align::left}};
  table.heading({"ID", "SIZE", "STORED", "MODIFIED", ""});
  for (auto& version : *all) {
    s.out.line(json_line{"item"}
                   .add("id", version.id.hex())
                   .add("size", version.size)
                   .time("stored", version.stored_ns)
                   .time("modified", version.modified_ns)
                   .add("current", version.current));
    table.row({version.id.brief(), s.out.size(version.size), s.out.time(version.stored_ns), s.out.time(version.modified_ns),
               version.current ? "current" : ""});
  }
  s.out.page(table.render());
  s.out.line(json_line{"summary"}.add("entries", all->size()));
  return 0;
}

namespace {

outcome<int> restore_version(session& s, vault& v) {
  if (s.arguments().size() > 1)
    return refuse(errc::usage, "'--version' takes a single PATH, and there are several", "datamesh help restore");
  auto path = vault_path(s.arguments()[0]);
  if (!path)
    return refuse(path.error());
  auto prefix = s.set.text("version");
  auto all = v.versions(*path);
  if (!all)
    return refuse(all.error());
  std::vector<version_entry> matching;
  for (auto& version : *all)
    if (version.id.hex().starts_with(prefix))
      matching.push_back(version);
  if (matching.size() != 1)
    return refuse(
        matching.empty() ? errc::not_found : errc::invalid_argument,
        fmt::format("{} version of '{}' begins with {}", matching.empty() ? "no" : "more than one", printable(*path), printable(prefix)),
        "datamesh versions " + shell_word(*path));
  change_loop loop{s, "make the version current of", "Restored the version of"};
  if (auto done = loop.run(*path, "", [&] { return v.revert(*path, matching.front().id); }); !done)
    return refuse(done.error());
  return finish_changes(s, v, loop.count, loop.in_packs);
}

} // namespace

namespace {

using trash_list = std::vector<std::pair<entry, int64_t>>;

struct trash_choice {
  trash_list::iterator item;
  std::string target;
};

/// Where the entry was that a restore brings back.
std::string place_in_trash(const entry& e) {
  return e.path.starts_with('/') ? e.path : "/" + e.name;
}

/// The commands that bring back what has *name* and was elsewhere; empty when nothing has it.
std::string others_in_trash(const trash_list& trash, const std::string& name, const std::string& path) {
  constexpr size_t shown_max = 3;
  std::vector<std::string> commands;
  for (auto& [e, removed_ns] : trash) {
    if (e.name != name)
      continue;
    auto command = "datamesh restore "
                   + (e.path.starts_with('/') ? shell_word(e.path) : fmt::format("{} --to {}", trash_id(e).brief(), shell_word(path)));
    if (std::find(commands.begin(), commands.end(), command) == commands.end())
      commands.push_back(std::move(command));
  }
  if (commands.size() > shown_max)
    return {};
  return fmt::format("{}", fmt::join(commands, ", or: "));
}

/// What *word* means: an id, the newest removal at that path, or, of a bare name, the newest of that name.
outcome<trash_choice> find_in_trash(session& s, trash_list& trash, const std::string& word) {
  auto path = vault_path(word);
  if (!path)
    return refuse(path.error());
  auto name = path->substr(path->rfind('/') + 1);
  auto by_path = [&](auto& item) {
    return item.first.path == *path;
  };
  auto by_id = [&](auto& item) {
    return word.size() >= 4 && trash_id(item.first).hex().starts_with(word);
  };
  auto by_name = [&](auto& item) {
    return item.first.name == name;
  };
  auto target = *path;
  auto found = std::find_if(trash.begin(), trash.end(), by_path);
  if (found == trash.end() && (found = std::find_if(trash.begin(), trash.end(), by_id)) != trash.end())
    target = place_in_trash(found->first);
  auto bare = word.find('/') == std::string::npos;
  if (bare && found == trash.end() && (found = std::find_if(trash.begin(), trash.end(), by_name)) != trash.end()) {
    target = place_in_trash(found->first);
    if (auto others = std::count_if(trash.begin(), trash.end(), by_name); others > 1)
      s.out.note("The newest of {} removed entries of that name; datamesh ls --trash shows the others.", others);
  }
  if (found == trash.end()) {
    auto others = others_in_trash(trash, name, *path);
    return refuse(errc::not_found, fmt::format("'{}' is not in the trash", printable(word)),
                  others.empty() ? "datamesh ls --trash" : others);
  }
  if (s.set.given("to")) {
    auto wanted = vault_path(s.set.text("to"));
    if (!wanted)
      return refuse(wanted.error());
    target = *wanted;
  }
  return trash_choice{found, target};
}

} // namespace

outcome<int> run_restore(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  if (s.set.given("version"))
    return restore_version(s, **v);
  if (s.arguments().size() > 1 && s.set.given("to"))
    return refuse(errc::usage, "'--to' takes a single PATH, and there are several", "datamesh help restore");
  auto trash = (*v)->trash();
  if (!trash)
    return refuse(trash.error());
  change_loop loop{s, "restore", "Restored"};
  name_check names{**v, s.dry_run()};
  for (auto& word : s.arguments()) {
    auto chosen = find_in_trash(s, *trash, word);
    if (!chosen)
      return refuse(chosen.error());
    auto id = trash_id(chosen->item->first);
    auto done = names.restore(chosen->target, chosen->item->first.kind);
    if (done)
      done = loop.run(chosen->target, "", [&] { return (*v)->restore_from_trash(id, chosen->target); });
    if (!done && (done.error().code == errc::already_exists || done.error().code == errc::is_a_folder))
      done.error().next = fmt::format("datamesh restore {} --to PATH", shell_word(word));
    if (!done)
      return refuse(done.error());
    trash->erase(chosen->item);
  }
  return finish_changes(s, **v, loop.count, loop.in_packs);
}

} // namespace datamesh::cli
