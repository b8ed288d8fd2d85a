// members: the list of a closed mesh, and the keys that sign it. No node is needed.
#include "datamesh/members.hpp"

#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"

#include <algorithm>

namespace datamesh::cli {

namespace {

constexpr uint64_t key_file_max = 4096;

outcome<secret_text> read_operator_password(session& s, bool is_new) {
  auto file = s.set.text("operator-password-file");
  auto password = read_secret({.what = is_new ? "new password of the operator's key" : "password of the operator's key",
                               .file = file,
                               .command = file.empty() ? s.set.text("operator-password-command") : std::string{},
                               .twice = is_new,
                               .hint = s.as_typed("operator-password-file"),
                               .warn =
                                   [&s](const std::string& text) {
                                     s.out.warn(text);
                                   }},
                              s.cancel);
  if (!password) {
    auto why = password.error();
    why.what += s.set.said_by(file.empty() ? "operator-password-command" : "operator-password-file");
    return refuse(std::move(why));
  }
  return password;
}

outcome<operator_key> open_key(session& s) {
  auto file = s.set.text("operator-key");
  if (file.empty())
    return refuse(errc::usage, "--operator-key is missing: lists are signed", "datamesh members key KEYFILE, which makes one");
  auto path = absolute_path(file);
  auto sealed = read_named_file(path, key_file_max);
  if (!sealed)
    return refuse(sealed.error());
  if (auto whose = operator_key::inspect(*sealed); !whose)
    return refuse(failure{whose.error().within("read " + path)});
  auto password = read_operator_password(s, false);
  if (!password)
    return refuse(password.error());
  auto key = operator_key::open(*sealed, password->view());
  if (!key) {
    failure why{key.error()};
    if (why.code == errc::wrong_password)
      why.next = s.as_typed("operator-password-file");
    return refuse(std::move(why));
  }
  return std::move(*key);
}

outcome<signed_members> read_list(const std::string& path) {
  auto raw = read_named_file(path, member_list_size_max);
  if (!raw)
    return refuse(raw.error());
  auto list = read_members(*raw);
  if (!list)
    return refuse(failure{list.error().within("read " + path)});
  return std::move(*list);
}

outcome<peer_id> read_node(const std::string& word) {
  auto id = peer_id::parse(word);
  if (!id || id->is_zero())
    return refuse(errc::invalid_argument, fmt::format("'{}' is no node's id, which has 64 digits of 0 to 9 and a to f", printable(word)),
                  "datamesh node status, on that node: it shows the id");
  return *id;
}

/// The operators and how many of them have to sign, where that was said.
outcome<void> set_operators(session& s, member_list& to) {
  if (s.set.given("operator")) {
    to.operators.clear();
    for (const auto& word : s.set.list("operator")) {
      auto id = operator_id::parse(word);
      if (!id || id->is_zero())
        return refuse(errc::invalid_argument, fmt::format("'{}' is no operator's id", printable(word)),
                      "datamesh members key KEYFILE, where the operator is: it shows the id");
      to.operators.push_back(*id);
    }
    std::ranges::sort(to.operators);
    auto twice = std::ranges::unique(to.operators);
    to.operators.erase(twice.begin(), twice.end());
    to.threshold = std::min(to.threshold, static_cast<uint32_t>(to.operators.size()));
  }
  if (s.set.given("threshold"))
    to.threshold = static_cast<uint32_t>(s.set.number("threshold"));
  if (to.threshold > to.operators.size())
    return refuse(errc::invalid_argument, fmt::format("{} operators have to sign, and there are {}", to.threshold, to.operators.size()),
                  "name more with --operator, or a smaller --threshold");
  if (s.set.given("lasts"))
    to.expires_s = wall_now_ns() / 1'000'000'000 + static_cast<int64_t>(s.set.number("lasts"));
  return {};
}

std::string missing_of(const signed_members& made, const member_list& by) {
  auto have = std::ranges::count_if(by.operators, [&](const auto& one) { return std::ranges::binary_search(made.signers, one); });
  auto more = by.threshold - std::min<uint64_t>(by.threshold, static_cast<uint64_t>(have));
  return counted(more, "more operator has to sign", "more operators have to sign");
}

json_line facts_of_list(const signed_members& what) {
  std::vector<std::string> operators;
  for (const auto& one : what.list.operators)
    operators.push_back(one.hex());
  std::vector<std::string> signers;
  for (const auto& one : what.signers)
    signers.push_back(one.hex());
  json_line line{"summary"};
  line.add("network", what.list.network.hex())
      .add("number", what.list.number)
      .add("members", what.list.members.size())
      .add("threshold", what.list.threshold)
      .add("operators", operators)
      .add("signers", signers)
      .add("complete", what.is_whole())
      .time("made", what.list.made_s * 1'000'000'000);
  if (what.list.expires_s)
    line.time("expires", *what.list.expires_s * 1'000'000'000);
  return line;
}

outcome<int> write_list(session& s, const std::string& path, const signed_members& made, const member_list& before) {
  if (!s.dry_run())
    if (auto written = write_whole(*system_files(), path, made.raw, 0644); !written)
      return refuse(failure{written.error()});
  s.out.line(facts_of_list(made).add("dry_run", s.dry_run()).name("file", path));
  s.out.print("{} list {} of mesh {} to {}: {}.", s.dry_run() ? "Would write" : "Wrote", made.list.number, made.list.network.brief(),
              printable(path), counted(made.list.members.size(), "node", "nodes"));
  if (!made.is_whole())
    s.out.note("It does not hold yet: {}, with: datamesh members sign", missing_of(made, made.list));
  else if (!made.satisfies(before))
    s.out.note("It does not hold yet: of those who signed the list before, {}, with: datamesh members sign", missing_of(made, before));
  else if (!s.dry_run())
    s.out.note("Now take it to a node of the mesh, where 'mesh_members' names it; then, there: systemctl reload datameshd");
  return 0;
}

/// The next list, with what *change* does to it, signed and written.
template <class Change>
outcome<int> next_list(session& s, Change change) {
  auto path = absolute_path(s.arguments()[0]);
  auto before = read_list(path);
  if (!before)
    return refuse(before.error());
  auto next = before->list;
  if (auto done = change(next); !done)
    return refuse(done.error());
  // One that does not hold yet has been seen by no node.
  ++next.number;
  next.made_s = wall_now_ns() / 1'000'000'000;
  auto key = open_key(s);
  if (!key)
    return refuse(key.error());
  auto may = [&](const member_list& by) {
    return std::ranges::binary_search(by.operators, key->id());
  };
  if (!may(before->list) && !may(next))
    return refuse(errc::permission_denied, fmt::format("the key {} is of no operator of this list", key->id().hex()),
                  "let one of them do it: datamesh members show " + shell_word(path));
  auto made = key->sign(next);
  if (!made)
    return refuse(failure{made.error()});
  return write_list(s, path, *made, before->list);
}

} // namespace

outcome<int> run_members_key(session& s) {
  auto path = absolute_path(s.arguments()[0]);
  auto files = system_files();
  if (auto there = read_whole(*files, path, key_file_max)) {
    auto whose = operator_key::inspect(*there);
    if (!whose)
      return refuse(failure{whose.error().within("read " + path)});
    s.out.line(json_line{"summary"}.add("id", whose->hex()).name("file", path).add("made", false));
    s.out.print("{}", whose->hex());
    return 0;
  } else if (there.error().code() != errc::not_found) {
    return refuse(failure{there.error()});
  }
  auto password = read_operator_password(s, true);
  if (!password)
    return refuse(password.error());
  auto random = system_environment().random;
  auto key = operator_key::make(*random);
  if (!key)
    return refuse(failure{key.error()});
  auto sealed = key->seal(password->view(), *random);
  if (!sealed)
    return refuse(failure{sealed.error()});
  if (auto written = write_whole(*files, path, *sealed, 0600); !written)
    return refuse(failure{written.error()});
  s.out.line(json_line{"summary"}.add("id", key->id().hex()).name("file", path).add("made", true));
  s.out.print("{}", key->id().hex());
  s.out.note("Made the key in {}. Keep a copy, and the password: without enough operators nobody is let in or shut out any more.",
             printable(path));
  return 0;
}

outcome<int> run_members_init(session& s) {
  auto path = absolute_path(s.arguments()[0]);
  if (system_files()->status(path))
    return refuse(errc::already_exists, fmt::format("'{}' is there", printable(path)), "name another LIST, or: datamesh members add");
  member_list list;
  list.made_s = wall_now_ns() / 1'000'000'000;
  if (auto name = s.set.text("network"); !name.empty()) {
    auto mesh = mesh_id_of(name);
    if (!mesh)
      return refuse(failure{mesh.error()});
    list.network = *mesh;
  } else {
    auto n = s.open_node();
    if (!n)
      return refuse(n.error());
    auto mesh = (*n)->mesh();
    if (!mesh)
      return refuse(failure{mesh.error()});
    if (!*mesh || !(*mesh)->network)
      return refuse(errc::invalid_argument, *mesh ? "the daemon does not tell you its mesh" : "the node of this machine is in no mesh",
                    "name the mesh with --network");
    list.network = *(*mesh)->network;
    list.members.push_back({(*mesh)->self, {}});
  }
  auto key = open_key(s);
  if (!key)
    return refuse(key.error());
  list.operators = {key->id()};
  if (auto good = set_operators(s, list); !good)
    return refuse(good.error());
  if (!std::ranges::binary_search(list.operators, key->id()))
    return refuse(errc::invalid_argument, fmt::format("the key {} is of none of the operators that are named", key->id().hex()),
                  "name it with --operator, too");
  auto made = key->sign(list);
  if (!made)
    return refuse(failure{made.error()});
  return write_list(s, path, *made, made->list);
}

outcome<int> run_members_add(session& s) {
  return next_list(s, [&](member_list& to) -> outcome<void> {
    auto label = s.set.text("label");
    if (label.size() > member_label_max)
      return refuse(errc::invalid_argument, fmt::format("a label has at most {} bytes", member_label_max));
    for (const auto& word : std::vector(s.arguments().begin() + 1, s.arguments().end())) {
      auto id = read_node(word);
      if (!id)
        return refuse(id.error());
      auto at = std::ranges::lower_bound(to.members, *id, {}, &listed_node::id);
      if (at != to.members.end() && at->id == *id)
        at->label = s.set.given("label") ? label : at->label;
      else
        to.members.insert(at, {*id, label});
    }
    if (to.members.size() > members_max)
      return refuse(errc::capacity_exceeded, fmt::format("a list has at most {} nodes", members_max));
    return {};
  });
}

outcome<int> run_members_remove(session& s) {
  return next_list(s, [&](member_list& to) -> outcome<void> {
    for (const auto& word : std::vector(s.arguments().begin() + 1, s.arguments().end())) {
      auto id = read_node(word);
      if (!id)
        return refuse(id.error());
      if (std::erase_if(to.members, [&](const listed_node& one) { return one.id == *id; }) == 0)
        return refuse(errc::not_found, fmt::format("the node {} is not on the list", id->hex()),
                      "datamesh members show " + shell_word(s.arguments()[0]));
    }
    return {};
  });
}

outcome<int> run_members_set(session& s) {
  if (!s.set.given("operator") && !s.set.given("threshold") && !s.set.given("lasts") && !s.set.flag("lasts-forever"))
    return refuse(errc::usage, "nothing is said that should change", "datamesh members set --help");
  return next_list(s, [&](member_list& to) {
    if (s.set.flag("lasts-forever"))
      to.expires_s.reset();
    return set_operators(s, to);
  });
}

outcome<int> run_members_sign(session& s) {
  auto path = absolute_path(s.arguments()[0]);
  auto list = read_list(path);
  if (!list)
    return refuse(list.error());
  auto key = open_key(s);
  if (!key)
    return refuse(key.error());
  if (std::ranges::binary_search(list->signers, key->id()))
    s.out.note("It has that signature already.");
  auto made = key->sign(*list);
  if (!made)
    return refuse(failure{made.error()});
  return write_list(s, path, *made, made->list);
}

outcome<int> run_members_show(session& s) {
  auto list = read_list(absolute_path(s.arguments()[0]));
  if (!list)
    return refuse(list.error());
  const auto& facts = list->list;
  text_table table{{text_table::align::left, text_table::align::left}};
  table.heading({"NODE", "LABEL"});
  for (const auto& one : facts.members) {
    s.out.line(json_line{"item"}.add("node", one.id.hex()).add("label", one.label));
    table.row({one.id.hex(), printable(one.label)});
  }
  s.out.line(facts_of_list(*list));
  s.out.print("Mesh      {}", facts.network.hex());
  s.out.print("Number    {}, of {}", facts.number, s.out.time(facts.made_s * 1'000'000'000));
  s.out.print("Holds     {}", facts.expires_s ? "until " + s.out.time(*facts.expires_s * 1'000'000'000) : "until there is a newer one");
  s.out.print("Signed    {}", list->is_whole() ? fmt::format("by {} of {}", facts.threshold, facts.operators.size())
                                               : "not by enough: " + missing_of(*list, facts));
  for (const auto& one : facts.operators)
    s.out.print("Operator  {}{}", one.hex(), std::ranges::binary_search(list->signers, one) ? "  has signed" : "");
  s.out.print("");
  s.out.page(facts.members.empty() ? std::string{"No node is on it.\n"} : table.render());
  return 0;
}

} // namespace datamesh::cli
