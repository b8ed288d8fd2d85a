// How lookups fare in a whole mesh, of DATAMESH_MESH_NODES nodes (160), by
// DATAMESH_MESH_LOOKUPS lookups (60).
#include "tests/libdatamesh/network/mesh_in_memory.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <functional>
#include <iostream>
#include <set>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

size_t setting(const char* name, size_t otherwise) {
  auto text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

size_t mesh_size() {
  return setting("DATAMESH_MESH_NODES", 160);
}

size_t lookup_count() {
  return setting("DATAMESH_MESH_LOOKUPS", 60);
}

void tell(std::string_view what, size_t count) {
  std::cout << fmt::format("figure {}: {}\n", what, count);
}

lookup_goal for_node(const point& target, unsigned paths = lookup_paths) {
  lookup_goal goal;
  goal.target = target;
  goal.paths = paths;
  return goal;
}

lookup_goal for_record(const record_name& name, unsigned paths = lookup_paths) {
  auto goal = for_node(name.key, paths);
  goal.kind = name.kind;
  return goal;
}

struct tally {
  size_t lookups = 0;
  size_t found = 0;
  size_t asked = 0;
  size_t unanswered = 0;
  size_t hops = 0;
  unsigned most_hops = 0;

  void count(const lookup_outcome& outcome, bool success) {
    ++lookups;
    found += success ? 1 : 0;
    asked += outcome.asked;
    unanswered += outcome.unanswered;
    hops += outcome.hops;
    most_hops = std::max(most_hops, outcome.hops);
  }
  void tell_all(const std::string& where) const {
    tell("lookups " + where, lookups);
    tell("of these found, " + where, found);
    tell("requests of lookups " + where, asked);
    tell("requests without an answer " + where, unanswered);
    tell("hops of lookups " + where, hops);
  }
  /// In 10,000.
  [[nodiscard]] size_t rate() const {
    return lookups == 0 ? 0 : found * 10'000 / lookups;
  }
};

/// Lookups that were begun together: a large mesh does much else in the time that each of them takes.
class batch {
public:
  static constexpr size_t at_once = 50;

  explicit batch(mesh_in_memory& mesh) : mesh_(mesh) {}
  /// Calls *ended* with what it came to, when enough of them are under way or with `finish`.
  void look_up(size_t from, const lookup_goal& goal, std::function<void(const lookup_outcome&)> ended) {
    begun_.emplace_back(mesh_.begin_lookup(from, goal), std::move(ended));
    if (begun_.size() == at_once)
      finish();
  }
  void finish() {
    for (const auto& [which, ended] : std::exchange(begun_, {}))
      ended(mesh_.await(which));
  }

private:
  mesh_in_memory& mesh_;
  std::vector<std::pair<mesh_in_memory::begun_lookup, std::function<void(const lookup_outcome&)>>> begun_;
};

/// Nodes that live and do not lie look each other up.
tally look_each_other_up(mesh_in_memory& mesh, unsigned paths = lookup_paths) {
  tally sum;
  batch lookups{mesh};
  for (size_t i = 0; i < lookup_count(); ++i) {
    auto from = mesh.some_honest();
    auto to = mesh.some_honest();
    if (from == to)
      continue;
    auto id = mesh.at(to).self.id;
    lookups.look_up(from, for_node(point_of(id), paths),
                    [&sum, id](const auto& outcome) { sum.count(outcome, !outcome.nearest.empty() && outcome.nearest.front().id == id); });
  }
  lookups.finish();
  return sum;
}

/// Records under any keys, of whom they were sent to most.
std::vector<record_name> publish_some(mesh_in_memory& mesh, size_t count) {
  std::vector<record_name> names;
  publisher who{mesh.random()};
  for (size_t i = 0; i < count; ++i) {
    auto draft = who.draft(record_kind::provider, 1, "here", random_id<point>(mesh.random()).value());
    draft.expiry = mesh.time().wall + 24h;
    auto record = who.sign(draft).value();
    auto copies = mesh.publish(mesh.some_honest(), record);
    CHECK(copies >= std::min<size_t>(10, mesh.size() / 2));
    names.push_back(record.name);
  }
  return names;
}

tally look_records_up(mesh_in_memory& mesh, const std::vector<record_name>& names, unsigned paths = lookup_paths) {
  tally sum;
  batch lookups{mesh};
  for (size_t i = 0; i < lookup_count(); ++i) {
    const auto& name = names[i % names.size()];
    lookups.look_up(mesh.some_honest(), for_record(name, paths),
                    [&](const auto& outcome) { sum.count(outcome, outcome.records.size() == 1 && outcome.records.front().name == name); });
  }
  lookups.finish();
  return sum;
}

/// Lookups of points by chance find the 20 nearest that there are.
void find_nearest_of_any(mesh_in_memory& mesh) {
  tally sum;
  size_t nearest = 0;
  size_t known = 0;
  batch lookups{mesh};
  for (size_t i = 0; i < lookup_count(); ++i) {
    auto target = random_id<point>(mesh.random()).value();
    auto from = mesh.some_honest();
    lookups.look_up(from, for_node(target), [&, target, from](const auto& outcome) {
      auto truth = mesh.truly_nearest(target, bucket_size);
      // Nobody finds itself.
      std::erase(truth, mesh.at(from).self.id);
      sum.count(outcome, !outcome.nearest.empty() && outcome.nearest.front().id == truth.front());
      std::set<peer_id> found;
      for (const auto& one : outcome.nearest)
        found.insert(one.id);
      nearest += truth.size();
      for (const auto& id : truth)
        known += found.contains(id) ? 1 : 0;
    });
  }
  lookups.finish();
  auto where = fmt::format("among {} nodes", mesh.size());
  sum.tell_all(where);
  tell("of the 20 nearest, " + where, nearest);
  tell("found of the 20 nearest, " + where, known);
  CHECK(sum.rate() >= 9'990);
  CHECK(known * 1000 >= nearest * 990);
  CHECK(sum.most_hops <= std::bit_width(mesh.size()));
}

} // namespace

// One mesh for both, for one of 10,000 takes minutes to come together.
TEST_CASE("every node of a mesh finds those nearest to any point in a few hops, and who is left when 30 % are gone at once", "[mesh]") {
  CAPTURE(seed());
  mesh_in_memory mesh{{mesh_size()}, seed()};
  mesh.join_all();
  find_nearest_of_any(mesh);
  auto names = publish_some(mesh, 30);
  for (size_t gone = 0; gone < mesh.size() * 3 / 10; ++gone)
    mesh.kill(mesh.some_honest());
  auto where = fmt::format("when 30 % of {} nodes are gone", mesh.size());
  auto nodes = look_each_other_up(mesh);
  nodes.tell_all(where);
  CHECK(nodes.rate() >= 9'990);
  CHECK(nodes.most_hops <= std::bit_width(mesh.size()));
  auto records = look_records_up(mesh, names);
  records.tell_all("of records " + where);
  CHECK(records.rate() >= 9'990);
}

TEST_CASE("lookups find nodes and records while a fifth of a mesh dies, and then a third of it", "[mesh][mesh_dead]") {
  CAPTURE(seed());
  mesh_in_memory mesh{{mesh_size()}, seed()};
  mesh.join_all();
  auto names = publish_some(mesh, 30);
  size_t dead = 0;
  for (size_t percent : {0, 20, 33}) {
    for (; dead < mesh.size() * percent / 100; ++dead)
      mesh.kill(mesh.some_honest());
    auto where = fmt::format("with {} % of {} nodes dead", percent, mesh.size());
    auto nodes = look_each_other_up(mesh);
    nodes.tell_all(where);
    tell("most hops of a lookup " + where, nodes.most_hops);
    CHECK(nodes.rate() >= 9'990);
    CHECK(nodes.most_hops <= std::bit_width(mesh.size()));
    auto records = look_records_up(mesh, names);
    records.tell_all("of records " + where);
    tell("most hops of a lookup of records " + where, records.most_hops);
    CHECK(records.rate() >= 9'990);
    CHECK(records.most_hops <= std::bit_width(mesh.size()));
  }
}

TEST_CASE("lookups over four paths succeed though 20 % of the nodes lie", "[mesh]") {
  CAPTURE(seed());
  mesh_in_memory mesh{{mesh_size()}, seed()};
  mesh.join_all();
  auto names = publish_some(mesh, 30);
  for (size_t turned = 0; turned < mesh.size() / 5; ++turned)
    mesh.turn(mesh.some_honest());
  auto where = fmt::format("when 20 % of {} nodes lie", mesh.size());
  auto one_path = look_each_other_up(mesh, 1);
  one_path.tell_all("over one path " + where);
  auto nodes = look_each_other_up(mesh);
  nodes.tell_all(where);
  CHECK(nodes.rate() >= 9'900);
  auto one_path_records = look_records_up(mesh, names, 1);
  one_path_records.tell_all("of records over one path " + where);
  auto records = look_records_up(mesh, names);
  records.tell_all("of records " + where);
  CHECK(records.rate() >= 9'900);
}

// Their share of the tables is more than a fifth then, for they name each other alone.
TEST_CASE("nine of ten lookups succeed in a mesh that 20 % of liars have joined from the beginning", "[mesh]") {
  CAPTURE(seed());
  mesh_in_memory mesh{{mesh_size()}, seed()};
  while (mesh.size() < mesh_size()) {
    mesh.join(mesh.size() % 5 == 4);
    mesh.run(50ms);
  }
  // Their tables have been refreshed once since they joined.
  mesh.run(65min);
  auto nodes = look_each_other_up(mesh);
  nodes.tell_all(fmt::format("when 20 % of {} nodes lie from the beginning", mesh.size()));
  CHECK(nodes.rate() >= 9'000);
}

TEST_CASE("64 ids that are ground to lie at a key, from 4 subnets, neither hide its record nor fill the tables", "[mesh]") {
  CAPTURE(seed());
  mesh_in_memory mesh{{mesh_size()}, seed()};
  mesh.join_all();
  publisher who{mesh.random()};
  auto draft = who.draft(record_kind::node, 1, "here");
  draft.expiry = mesh.time().wall + 24h;
  auto record = who.sign(draft).value();
  auto victim = peer_id::from(record.name.key.view());
  std::vector<ip_group> groups;
  for (uint32_t i = 0; i < 64; ++i) {
    auto ip = public_ip(5'500'000 + i % 4, static_cast<uint8_t>(i));
    mesh.join(id_near(victim, 20 + i % 20, mesh.random()), ip, true);
    mesh.run(50ms);
    if (i < 4)
      groups.push_back(*ip_rules{}.group_of(ip));
  }
  mesh.run(10min);
  size_t most = 0;
  size_t places = 0;
  for (size_t i = 0; i < mesh.size(); ++i)
    if (!mesh.at(i).lies)
      for (auto group : groups) {
        auto count = mesh.at(i).engine->table().count_of(group);
        most = std::max(most, count);
        places += count;
      }
  CHECK(most <= ip_rules{}.per_table);
  tell("places that 64 ground ids of 4 subnets have in tables", places);
  auto copies = mesh.publish(mesh.some_honest(), record);
  auto honest = mesh.keepers(record.name);
  tell("copies of the eclipsed record", copies);
  tell("of these with honest nodes", honest);
  CHECK(honest >= bucket_size - 12);
  auto records = look_records_up(mesh, {record.name});
  records.tell_all("of the eclipsed record");
  CHECK(records.rate() >= 9'900);
}

TEST_CASE("the head of a device and a recovery record outlive who wrote them and the nodes that kept them first", "[mesh]") {
  CAPTURE(seed());
  auto kind = GENERATE(record_kind::device_head, record_kind::recovery);
  mesh_in_memory mesh{{40}, seed()};
  mesh.join_all();
  publisher who{mesh.random()};
  auto draft = who.draft(kind, 1, "head");
  draft.expiry = mesh.time().wall + 24h * 90;
  auto record = who.sign(draft).value();
  auto device = mesh.some_honest();
  CHECK(mesh.publish(device, record) >= 15);
  mesh.kill(device);
  auto first = mesh.truly_nearest(record.name.key, bucket_size);
  // Half of the mesh goes, one node an hour, and as many others come.
  for (int hour = 0; hour < 36; ++hour) {
    if (hour % 2 == 0)
      for (size_t i = 0; i < mesh.size(); ++i)
        if (mesh.at(i).alive && hour / 2 < static_cast<int>(first.size()) && mesh.at(i).self.id == first[static_cast<size_t>(hour / 2)])
          mesh.kill(i);
    if (hour % 2 == 1)
      mesh.join();
    mesh.run(1h);
  }
  CHECK(mesh.keepers(record.name) >= 10);
  auto outcome = mesh.look_up(mesh.some_honest(), for_record(record.name));
  REQUIRE(outcome.records.size() == 1);
  CHECK(as_text(outcome.records.front().value) == "head");
}

TEST_CASE("a mesh that was shut down finds together again from the saved tables alone", "[mesh]") {
  CAPTURE(seed());
  mesh_in_memory mesh{{80}, seed()};
  mesh.join_all();
  for (size_t i = 0; i < mesh.size(); ++i)
    mesh.kill(i);
  mesh.run(24h);
  for (size_t i = 0; i < mesh.size(); ++i)
    mesh.restart(i);
  mesh.run(2min);
  auto nodes = look_each_other_up(mesh);
  CHECK(nodes.found == nodes.lookups);
}

TEST_CASE("one seed gives one run of a mesh", "[mesh]") {
  auto run = [](uint64_t with) {
    mesh_in_memory mesh{{40}, with};
    mesh.join_all();
    auto saved = mesh.at(7).engine->table().save();
    return std::pair{mesh.messages(), saved};
  };
  auto once = run(seed());
  CHECK(once == run(seed()));
  CHECK(once != run(seed() + 1));
}

TEST_CASE("nodes of one machine are a mesh when the rules spare its addresses", "[mesh]") {
  CAPTURE(seed());
  mesh_in_memory mesh{{30, 1, ip_rules::local()}, seed()};
  for (uint8_t i = 0; i < 30; ++i) {
    mesh.join(random_id<peer_id>(mesh.random()).value(), {{127, 0, 0, static_cast<uint8_t>(i + 1)}, false});
    mesh.run(50ms);
  }
  mesh.run(2min);
  auto nodes = look_each_other_up(mesh);
  CHECK(nodes.found == nodes.lookups);
}

TEST_CASE("in a small mesh everyone soon knows everyone, also who joined at the same time", "[mesh][small_mesh]") {
  auto count = GENERATE(size_t{3}, size_t{7}, size_t{15});
  mesh_in_memory mesh{{}, seed() + count};
  for (size_t i = 0; i < count; ++i)
    mesh.join();
  mesh.run(30s);
  for (size_t i = 0; i < count; ++i)
    CHECK(mesh.at(i).engine->table().alive() == count - 1);
}
