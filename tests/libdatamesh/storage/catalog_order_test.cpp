// The fold against a naive model: all operations sorted by stamp and replayed, the
// rules of version_fold.hpp written down as sets. Any order of arrival must show
// what the model shows.

#include "tests/libdatamesh/storage/catalog_history.hpp"

#include <fmt/format.h>

#include <set>

using namespace datamesh;
using namespace datamesh::storage;
using namespace datamesh::test;

namespace {

// -- the model ---------------------------------------------------------------------------

struct model {
  struct place {
    node_id parent;
    std::string name;
    node_kind kind = node_kind::file;
    stamp at;
  };
  struct put_entry {
    stamp at;
    put_version put;
  };

  std::map<node_id, place> tree;
  std::map<version_id, put_entry> puts;
  std::set<version_id> replaced;
  std::set<version_id> dropped;
  std::map<node_id, stamp> purged;
  std::map<std::pair<node_id, std::string>, std::pair<stamp, std::optional<std::string>>> tags;

  explicit model(std::vector<operation> ops) {
    std::sort(ops.begin(), ops.end(), [](const operation& a, const operation& b) { return a.at < b.at; });
    for (const auto& op : ops)
      std::visit([&](const auto& b) { take(op.at, b); }, op.body);
  }

  bool is_above(const node_id& node, node_id of) const {
    for (;;) {
      if (of == node)
        return true;
      auto i = tree.find(of);
      if (i == tree.end())
        return false;
      of = i->second.parent;
    }
  }
  void take(const stamp& at, const move_node& b) {
    if (!is_above(b.node, b.parent))
      tree[b.node] = {b.parent, b.name, b.kind, at};
  }
  void take(const stamp& at, const put_version& b) {
    puts.try_emplace(b.version, put_entry{at, b}); // In order of stamps: the lowest stays.
    replaced.insert(b.replaces.begin(), b.replaces.end());
  }
  void take(const stamp&, const add_extents&) {}
  void take(const stamp&, const drop_version& b) {
    dropped.insert(b.version);
  }
  void take(const stamp& at, const purge_node& b) {
    purged[b.node] = at;
  }
  void take(const stamp& at, const set_tag& b) {
    tags[{b.node, b.key}] = {at, b.value};
  }
  void take(const stamp&, const condemn_packs&) {}

  bool later_than_purge(const node_id& node, const stamp& at) const {
    auto i = purged.find(node);
    return i == purged.end() || i->second < at;
  }
  std::vector<std::pair<version_id, put_entry>> living(const node_id& node) const {
    std::vector<std::pair<version_id, put_entry>> out;
    for (const auto& [id, p] : puts)
      if (p.put.node == node && !dropped.count(id) && later_than_purge(node, p.at))
        out.emplace_back(id, p);
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return b.second.at < a.second.at; });
    return out;
  }
  std::optional<version_id> current(const node_id& node) const {
    auto list = living(node);
    for (const auto& [id, p] : list)
      if (!replaced.count(id))
        return id;
    return list.empty() ? std::nullopt : std::optional{list.front().first};
  }
  bool shown(const node_id& node) const {
    auto where = tree.find(node);
    if (where == tree.end())
      return false;
    if (!purged.count(node) || !living(node).empty())
      return true;
    if (where->second.kind == node_kind::folder && later_than_purge(node, where->second.at))
      return true;
    return std::any_of(tree.begin(), tree.end(), [&](const auto& n) { return n.second.parent == node && shown(n.first); });
  }
  std::string shown_name(const node_id& node) const {
    const auto& mine = tree.at(node);
    for (const auto& [other, where] : tree)
      if (where.parent == mine.parent && where.name == mine.name && where.at < mine.at && shown(other))
        return mine.name + "~" + node.brief();
    return mine.name;
  }

  std::string render() const {
    std::string out;
    std::multiset<std::string> lines;
    for (const auto& [id, where] : tree)
      if (shown(id))
        lines.insert(fmt::format("{} {} {} {}\n", id.hex(), where.parent.hex(), shown_name(id), where.kind == node_kind::folder));
    for (const auto& line : lines)
      out += line;
    for (uint64_t n = 0; n <= node_count; ++n) {
      auto id = n == 0 ? root_node() : nth_node(n);
      for (const auto& [v, p] : living(id))
        out += fmt::format("{} v {} {} {}\n", n, v.hex(), p.put.size, current(id) == v);
      for (const auto& [key, tag] : tags)
        if (key.first == id && tag.second && later_than_purge(id, tag.first))
          out += fmt::format("{} t {}={}\n", n, key.second, *tag.second);
    }
    return out;
  }
};

/// The same text from the answers of a catalog.
std::string render(const catalog& names) {
  std::string out;
  std::multiset<std::string> lines;
  std::multiset<std::string> visited;
  auto line_of = [](const node_view& n) {
    return fmt::format("{} {} {} {}\n", n.node.hex(), n.parent.hex(), n.name, n.kind == node_kind::folder);
  };
  REQUIRE(names.visit_nodes([&](const node_view& n) {
    visited.insert(line_of(n));
    return true;
  }));
  for (uint64_t n = 0; n <= node_count + 1; ++n) {
    auto parent = n == 0 ? root_node() : n > node_count ? trash_node() : nth_node(n);
    std::string before;
    auto list = names.list(parent, "", 1000);
    REQUIRE(list);
    for (const auto& c : *list) {
      CHECK(before <= c.name);
      before = c.name;
      lines.insert(line_of(c));
      CHECK(line_of(names.node(c.node).value()) == line_of(c));
      auto found = names.child(parent, c.name).value();
      REQUIRE(found);
      CHECK(found->name == c.name);
    }
  }
  CHECK(lines == visited);
  for (const auto& line : lines)
    out += line;
  for (uint64_t n = 0; n <= node_count; ++n) {
    auto id = n == 0 ? root_node() : nth_node(n);
    auto versions = names.versions(id);
    REQUIRE(versions);
    for (const auto& v : *versions)
      out += fmt::format("{} v {} {} {}\n", n, v.version.hex(), v.size, v.current);
    auto tags = names.tags(id);
    REQUIRE(tags);
    for (const auto& [key, value] : *tags)
      out += fmt::format("{} t {}={}\n", n, key, value);
  }
  return out;
}

/// A fresh catalog that got *ops* in batches of random size.
std::unique_ptr<catalog> fold_of(const std::vector<operation>& ops, seeded_random& random) {
  auto disk = std::make_shared<memory_disk>();
  auto names = open_catalog(disk, device(1 + random.below(4)));
  std::vector<chunk_id> chunks;
  for (uint64_t i = 1; i <= chunk_count; ++i)
    chunks.push_back(chunk(i));
  add(*names, {new_pack(pack(1), chunks)});
  for (size_t at = 0; at < ops.size();) {
    auto end = std::min(ops.size(), at + 1 + random.below(random.below(3) ? 4 : ops.size()));
    catalog_commit c;
    c.operations.assign(ops.begin() + static_cast<long>(at), ops.begin() + static_cast<long>(end));
    REQUIRE(names->commit(c));
    at = end;
  }
  return names;
}

} // namespace

TEST_CASE("any order of arrival shows what replay in the order of stamps shows", "[catalog]") {
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    auto ops = history{random}.make_operations(10 + random.below(110));
    auto expected = model{ops}.render();
    std::optional<digest> print;
    for (int order = 0; order < 8; ++order) {
      CAPTURE(order);
      auto arrival = ops;
      if (order == 1)
        std::reverse(arrival.begin(), arrival.end());
      if (order > 1) {
        for (auto n = random.below(10); n > 0; --n)
          arrival.push_back(ops[random.below(ops.size())]);
        shuffle(arrival, random);
      }
      auto names = fold_of(arrival, random);
      REQUIRE(render(*names) == expected);
      auto now = names->fingerprint();
      REQUIRE(now);
      REQUIRE(print.value_or(*now) == *now);
      print = *now;
      auto sound = names->check();
      INFO((sound ? "" : sound.error().message()));
      REQUIRE(sound);
      REQUIRE(names->totals()->operations == ops.size());
    }
  }
}

TEST_CASE("operations that repeat change nothing", "[catalog]") {
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  auto ops = history{random}.make_operations(200);
  auto disk = std::make_shared<memory_disk>();
  auto names = open_catalog(disk);
  catalog_commit c;
  c.operations = ops;
  REQUIRE(names->commit(c));
  auto before = disk->content;
  shuffle(c.operations, random);
  REQUIRE(names->commit(c));
  CHECK(disk->content == before);
}

TEST_CASE("every node that was created is in one place or below a node that is yet to come", "[catalog]") {
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  for (int round = 0; round < 20; ++round) {
    auto ops = history{random}.make_operations(300);
    // Without purges, and with a parent for all.
    std::vector<operation> kept;
    std::set<node_id> created;
    for (const auto& op : ops)
      if (auto* move = std::get_if<move_node>(&op.body); move && move->node != move->parent) {
        kept.push_back(op);
        created.insert(move->node);
      }
    shuffle(kept, random);
    auto names = fold_of(kept, random);
    size_t reached = 0;
    std::vector<node_id> open{root_node(), trash_node()};
    // One whose moves were all below itself when their turn came is yet to come, too.
    for (uint64_t n = 1; n <= node_count; ++n)
      if (!names->node(nth_node(n)))
        open.push_back(nth_node(n));
    while (!open.empty()) {
      auto at = open.back();
      open.pop_back();
      auto list = names->list(at, "", 1000).value();
      for (const auto& n : list)
        open.push_back(n.node);
      reached += list.size();
      REQUIRE(reached <= created.size());
    }
    CHECK(reached <= created.size());
    auto totals = names->totals().value();
    CHECK(totals.files + totals.folders == reached);
  }
}

TEST_CASE("a late move of a leaf is where an undo looks for it once the leaf is a folder", "[catalog]") {
  auto op = [](uint64_t stamp, operation_body body) {
    operation o;
    o.at = {stamp, device(1)};
    o.sequence = stamp;
    o.body = std::move(body);
    return o;
  };
  auto folder = node_kind::folder;
  std::vector<operation> arrival{op(1, make(nth_node(2), root_node(), "p", folder)), op(2, make(nth_node(1), root_node(), "a", folder)),
                                 op(6, make(nth_node(1), nth_node(2), "c", folder)), op(4, make(nth_node(1), root_node(), "b", folder)),
                                 op(5, make(nth_node(2), nth_node(1), "q", folder))};
  auto disk = std::make_shared<memory_disk>();
  auto names = open_catalog(disk);
  for (const auto& o : arrival) {
    catalog_commit c;
    c.operations = {o};
    REQUIRE(names->commit(c));
  }
  // The last move of node 1 would now put it below itself.
  CHECK(names->path_of(nth_node(2)).value() == "/b/q");
  CHECK(render(*names) == model{arrival}.render());
}
