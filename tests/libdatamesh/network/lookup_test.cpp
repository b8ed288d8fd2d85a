#include "network/lookup.hpp"

#include "tests/libdatamesh/network/mesh_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

/// A search that the test answers by hand.
struct search_under_test {
  explicit search_under_test(size_t start_size = 20, lookup_goal with = {}) : goal(std::move(with)) {
    if (goal.target.is_zero())
      goal.target = random_id<point>(random).value();
    for (size_t i = 0; i < start_size; ++i)
      start.push_back(make(2));
    std::sort(start.begin(), start.end(), [&](const contact& a, const contact& b) { return apart(a) < apart(b); });
    search.emplace(self, test_mesh, rules, goal, start);
  }

  contact make(unsigned bits) {
    return contact_at(id_near(peer_id::from(goal.target.view()), bits, random), public_ip(next_group++));
  }
  [[nodiscard]] xor_distance apart(const contact& who) const {
    return distance_of(goal.target, who.id);
  }
  std::vector<lookup_ask> asks() {
    std::vector<lookup_ask> all;
    while (auto one = search->next(now)) {
      all.push_back(*one);
      open.emplace(one->number, *one);
    }
    return all;
  }
  answer_verdict answer(const lookup_ask& to, const found_answer& what) {
    open.erase(to.number);
    return search->answered(to.number, what, to.whom.addresses.front().ip, test_day);
  }
  /// Everyone else answers with nothing.
  void run_out() {
    while (!search->has_ended()) {
      (void) asks();
      REQUIRE_FALSE(open.empty());
      for (auto all = std::exchange(open, {}); const auto& [number, one] : all)
        answer(one, {});
    }
  }

  seeded_random random{seed()};
  peer_id self = random_id<peer_id>(random).value();
  ip_rules rules;
  lookup_goal goal;
  uint32_t next_group = 0;
  mesh_time now{1h};
  std::vector<contact> start;
  std::optional<lookup> search;
  std::map<uint64_t, lookup_ask> open; ///< Not answered yet.
};

lookup_goal for_record(const signed_record& record, size_t enough = 1) {
  lookup_goal goal;
  goal.target = record.name.key;
  goal.kind = record.name.kind;
  goal.enough = enough;
  return goal;
}

/// Nodes, each of which knows some others and tells the nearest of them.
struct small_world {
  small_world(size_t count, search_under_test& with) : under(with) {
    for (size_t i = 0; i < count; ++i)
      all.push_back(contact_at(random_id<peer_id>(under.random).value(), public_ip(100'000 + static_cast<uint32_t>(i))));
    std::sort(all.begin(), all.end(), [&](const contact& a, const contact& b) { return under.apart(a) < under.apart(b); });
  }

  [[nodiscard]] found_answer told_by(const contact& who) {
    std::vector<contact> nearer;
    for (const auto& one : all) {
      if (under.apart(one) >= under.apart(who))
        break;
      // Neighbours are known, of the others every third.
      if (shared_bits(one.id.view(), who.id.view()) >= 5 || under.random.below(3) == 0)
        nearer.push_back(one);
      if (nearer.size() == bucket_size)
        break;
    }
    return {nearer, {}};
  }

  search_under_test& under;
  std::vector<contact> all; ///< The nearest to the target first.
};

} // namespace

TEST_CASE("a lookup asks three nodes at once on each of four paths, and more when they are slow", "[lookup]") {
  search_under_test under;
  auto first = under.asks();
  CHECK(first.size() == 12);
  CHECK(under.search->next_tick() == under.now + slow_after);
  under.now += slow_after - 1ns;
  CHECK(under.asks().empty());
  under.now += 1ns;
  CHECK(under.asks().size() == 8);
  CHECK_FALSE(under.search->has_ended());
  // The slow ones are still heard.
  CHECK(under.answer(first.front(), {}) == answer_verdict::taken);
}

TEST_CASE("a lookup that knows nobody has ended with nothing", "[lookup]") {
  search_under_test under{0};
  CHECK(under.search->has_ended());
  CHECK(under.asks().empty());
  CHECK(under.search->outcome().nearest.empty());
}

TEST_CASE("a lookup ends with the nearest nodes that answered", "[lookup]") {
  search_under_test under;
  under.run_out();
  auto outcome = under.search->outcome();
  CHECK(outcome.nearest == under.start);
  CHECK(outcome.asked == 20);
  CHECK(outcome.hops == 1);
  CHECK(under.answer({1, under.start.front()}, {}) == answer_verdict::stray);
}

TEST_CASE("a lookup finds the nearest living nodes though a third does not answer", "[lookup]") {
  CAPTURE(seed());
  search_under_test under{0};
  small_world world{600, under};
  std::vector<contact> start;
  for (int i = 0; i < 20; ++i)
    start.push_back(world.all[100 + under.random.below(500)]);
  under.search.emplace(under.self, test_mesh, under.rules, under.goal, start);
  std::set<peer_id> dead;
  for (const auto& one : world.all)
    if (under.random.below(3) == 0)
      dead.insert(one.id);
  size_t unanswered = 0;
  std::set<peer_id> asked;
  while (!under.search->has_ended())
    for (const auto& one : under.asks()) {
      CHECK(asked.insert(one.whom.id).second);
      if (dead.contains(one.whom.id)) {
        under.search->failed(one.number);
        ++unanswered;
      } else {
        CHECK(under.answer(one, world.told_by(one.whom)) == answer_verdict::taken);
      }
    }
  auto outcome = under.search->outcome();
  CHECK(outcome.unanswered == unanswered);
  CHECK(outcome.asked == asked.size());
  CHECK(outcome.hops >= 2);
  std::vector<peer_id> living;
  for (const auto& one : world.all)
    if (!dead.contains(one.id) && living.size() < bucket_size)
      living.push_back(one.id);
  REQUIRE(outcome.nearest.size() == bucket_size);
  for (size_t i = 0; i < 10; ++i)
    CHECK(outcome.nearest[i].id == living[i]);
}

TEST_CASE("the same calls make the same lookup", "[lookup]") {
  auto run = [] {
    std::vector<peer_id> order;
    search_under_test under{0};
    small_world world{300, under};
    under.search.emplace(under.self, test_mesh, under.rules, under.goal,
                         std::vector<contact>(world.all.begin() + 200, world.all.begin() + 220));
    while (!under.search->has_ended())
      for (const auto& one : under.asks()) {
        order.push_back(one.whom.id);
        under.answer(one, world.told_by(one.whom));
      }
    return order;
  };
  CHECK(run() == run());
}

TEST_CASE("the last path begins far from the target, and finds who is hidden by all that are near", "[lookup]") {
  search_under_test under;
  auto hidden = under.make(60);
  auto far = under.make(0);
  under.search.emplace(under.self, test_mesh, under.rules, under.goal, under.start, std::vector{far});
  while (!under.search->has_ended())
    for (const auto& one : under.asks())
      under.answer(one, one.whom == far ? found_answer{{hidden}, {}} : found_answer{});
  auto outcome = under.search->outcome();
  REQUIRE_FALSE(outcome.nearest.empty());
  CHECK(outcome.nearest.front() == hidden);
  CHECK(outcome.asked == 22);
}

TEST_CASE("whom one path has asked no other path asks", "[lookup]") {
  search_under_test under{4};
  auto near = under.make(30);
  for (const auto& one : under.asks())
    CHECK(under.answer(one, {{near}, {}}) == answer_verdict::taken);
  auto then = under.asks();
  REQUIRE(then.size() == 1);
  CHECK(then.front().whom == near);
  under.answer(then.front(), {});
  CHECK(under.search->has_ended());
  CHECK(under.search->outcome().asked == 5);
  CHECK(under.search->outcome().hops == 2);
}

TEST_CASE("a node that a liar gave a wrong address is reached by a path that knows the right one", "[lookup]") {
  search_under_test under{4};
  auto near = under.make(30);
  auto false_near = contact_at(near.id, public_ip(80'000));
  auto first = under.asks();
  REQUIRE(first.size() == 4);
  under.answer(first[0], {{false_near}, {}});
  auto then = under.asks();
  REQUIRE(then.size() == 1);
  CHECK(then.front().whom == false_near);
  under.answer(first[1], {{near}, {}});
  under.answer(first[2], {{false_near}, {}});
  // While it may still answer it is left alone.
  CHECK(under.asks().empty());
  under.search->failed(then.front().number);
  auto again = under.asks();
  REQUIRE(again.size() == 1);
  CHECK(again.front().whom == near);
  under.search->failed(again.front().number);
  CHECK(under.asks().empty());
  under.answer(first[3], {});
  CHECK(under.search->has_ended());
}

TEST_CASE("a path whose nearest node does not answer another path goes on with the next", "[lookup]") {
  lookup_goal one_node;
  one_node.count = 1;
  search_under_test under{2, one_node};
  auto near = under.make(30);
  auto next = under.make(20);
  auto first = under.asks();
  REQUIRE(first.size() == 2);
  under.answer(first[0], {{near}, {}});
  auto then = under.asks();
  REQUIRE(then.size() == 1);
  CHECK(then.front().whom == near);
  under.answer(first[1], {{near, next}, {}});
  CHECK(under.asks().empty());
  under.search->failed(then.front().number);
  auto last = under.asks();
  REQUIRE(last.size() == 1);
  CHECK(last.front().whom == next);
  under.answer(last.front(), {});
  CHECK(under.search->has_ended());
  CHECK(under.search->outcome().nearest == std::vector{next});
}

TEST_CASE("an answer that breaks a rule counts as none", "[lookup]") {
  search_under_test under;
  auto first = under.asks();
  auto good = under.make(30);
  found_answer bad{{good}, {}};
  SECTION("it names a node that is farther") {
    bad.nodes.push_back(under.make(1));
  }
  SECTION("it names itself") {
    bad.nodes.push_back(first.front().whom);
  }
  SECTION("it names more than 20") {
    for (int i = 0; i < 20; ++i)
      bad.nodes.push_back(under.make(30));
  }
  SECTION("it names a node without an address") {
    bad.nodes.back().addresses.clear();
  }
  SECTION("it names a node with five addresses") {
    bad.nodes.back().addresses.assign(5, good.addresses.front());
  }
  SECTION("it names an address inside of our network") {
    bad.nodes.back().addresses.push_back({*parse_ip4("192.168.1.1"), 22});
  }
  SECTION("it names port 0") {
    bad.nodes.back().addresses.front().port = 0;
  }
  SECTION("it brings a record where none was asked for") {
    publisher who{under.random};
    bad.records.push_back(who.make(record_kind::provider, 1, "x", under.goal.target).raw);
  }
  CHECK(under.answer(first.front(), bad) == answer_verdict::violated);
  CHECK(under.answer(first.front(), {}) == answer_verdict::stray);
  under.run_out();
  auto outcome = under.search->outcome();
  CHECK(outcome.nearest.size() == 19);
  CHECK(outcome.unanswered == 1);
  for (const auto& one : outcome.nearest)
    CHECK((one.id != good.id && one.id != first.front().whom.id));
}

TEST_CASE("a liar who makes up ever nearer nodes is left after 80 requests, and costs the other paths nothing", "[lookup]") {
  search_under_test under;
  auto honest = under.make(200);
  std::set<peer_id> liars{under.start[0].id};
  size_t asked = 0;
  unsigned bits = 3;
  while (!under.search->has_ended())
    for (const auto& one : under.asks()) {
      ++asked;
      found_answer what;
      if (liars.contains(one.whom.id)) {
        auto invented = under.make(std::min(bits++, 250U));
        if (under.apart(invented) < under.apart(one.whom)) {
          liars.insert(invented.id);
          what.nodes.push_back(invented);
        }
      } else if (one.whom.id == under.start[1].id) {
        what.nodes.push_back(honest);
      }
      CHECK(under.answer(one, what) == answer_verdict::taken);
    }
  CHECK(asked <= 80 + 16);
  auto outcome = under.search->outcome();
  CHECK(std::any_of(outcome.nearest.begin(), outcome.nearest.end(), [&](const contact& one) { return one.id == honest.id; }));
}

TEST_CASE("64 ids that are nearest to the target but from four subnets are not the 20 nearest", "[lookup]") {
  search_under_test under;
  std::vector<contact> gang;
  for (uint8_t i = 0; i < 64; ++i)
    gang.push_back(contact_at(id_near(peer_id::from(under.goal.target.view()), 40, under.random), public_ip(200'000U + i % 4U, i)));
  auto is_gang = [&](const contact& who) {
    return std::find(gang.begin(), gang.end(), who) != gang.end();
  };
  size_t asked = 0;
  while (!under.search->has_ended())
    for (const auto& one : under.asks()) {
      asked += is_gang(one.whom) ? 1 : 0;
      found_answer what;
      if (!is_gang(one.whom))
        for (int i = 0; i < 20; ++i)
          what.nodes.push_back(gang[under.random.below(gang.size())]);
      under.answer(one, what);
    }
  CHECK(asked <= 4 * 8);
  auto outcome = under.search->outcome();
  REQUIRE(outcome.nearest.size() == 20);
  CHECK(std::count_if(outcome.nearest.begin(), outcome.nearest.end(), is_gang) <= 12);
}

TEST_CASE("records that paths found are put together when each has ended, and the highest sequence counts", "[lookup]") {
  seeded_random random{seed()};
  publisher who{random};
  auto old = who.make(record_kind::node, 3, "old");
  auto fresh = who.make(record_kind::node, 4, "new");
  auto other = who.make(record_kind::node, 4, "other");
  search_under_test under{4, for_record(fresh)};
  auto first = under.asks();
  REQUIRE(first.size() == 4);
  under.answer(first[0], {{}, {old.raw}});
  under.answer(first[1], {{}, {fresh.raw}});
  CHECK_FALSE(under.search->has_ended());
  under.answer(first[2], {{}, {old.raw}});
  CHECK_FALSE(under.search->has_ended());
  SECTION("all agree") {
    under.answer(first[3], {{}, {fresh.raw}});
    REQUIRE(under.search->has_ended());
    CHECK(under.search->outcome().conflicts.empty());
  }
  SECTION("one has another with the same sequence") {
    under.answer(first[3], {{}, {other.raw}});
    REQUIRE(under.search->has_ended());
    auto outcome = under.search->outcome();
    REQUIRE(outcome.conflicts.size() == 1);
    CHECK(outcome.conflicts.front().held.sequence == outcome.conflicts.front().other.sequence);
  }
  auto outcome = under.search->outcome();
  REQUIRE(outcome.records.size() == 1);
  CHECK(as_text(outcome.records.front().value) == "new");
}

TEST_CASE("a path that has a record ends, while the others go on", "[lookup]") {
  seeded_random random{seed()};
  publisher who{random};
  auto record = who.make(record_kind::node, 3, "here");
  search_under_test under{20, for_record(record)};
  auto first = under.asks();
  REQUIRE(first.size() == 12);
  under.answer(first[0], {{}, {record.raw}});
  // One path has ended with two requests open; the others have three each.
  CHECK(under.asks().empty());
  CHECK_FALSE(under.search->has_ended());
  under.run_out();
  CHECK(under.search->outcome().records.size() == 1);
}

TEST_CASE("records of several publishers are put together", "[lookup]") {
  seeded_random random{seed()};
  publisher a{random};
  publisher b{random};
  publisher c{random};
  auto key = random_id<point>(random).value();
  auto of = [&](const publisher& who, uint64_t sequence) {
    return who.make(record_kind::provider, sequence, "x", key);
  };
  search_under_test under{2, for_record(of(a, 1), 20)};
  auto first = under.asks();
  REQUIRE(first.size() == 2);
  under.answer(first[0], {{}, {of(a, 1).raw, of(b, 7).raw}});
  under.answer(first[1], {{}, {of(b, 6).raw, of(c, 1).raw}});
  REQUIRE(under.search->has_ended());
  auto records = under.search->outcome().records;
  REQUIRE(records.size() == 3);
  for (const auto& one : records)
    CHECK(one.sequence == (one.name.publisher == b.key ? 7 : 1));
}

TEST_CASE("an answer with a record that does not hold counts as none", "[lookup]") {
  seeded_random random{seed()};
  publisher who{random};
  publisher other{random};
  auto record = who.make(record_kind::node, 3, "here");
  search_under_test under{1, for_record(record)};
  auto first = under.asks();
  REQUIRE(first.size() == 1);
  std::vector<std::byte> raw{record.raw.view().begin(), record.raw.view().end()};
  SECTION("its value was changed") {
    raw[88] ^= std::byte{1};
    CHECK(under.answer(first.front(), {{}, {bytes::copy_of(raw)}}) == answer_verdict::violated);
  }
  SECTION("it is of another kind") {
    CHECK(under.answer(first.front(), {{}, {who.make(record_kind::provider, 3, "x", under.goal.target).raw}}) == answer_verdict::violated);
  }
  SECTION("it is of another key") {
    CHECK(under.answer(first.front(), {{}, {other.make(record_kind::node, 3, "x").raw}}) == answer_verdict::violated);
  }
  SECTION("it has run out, as clocks differ: that is no violation") {
    CHECK(under.search->answered(1, {{}, {record.raw}}, first.front().whom.addresses.front().ip, test_day + 25h) == answer_verdict::taken);
  }
  REQUIRE(under.search->has_ended());
  CHECK(under.search->outcome().records.empty());
}
