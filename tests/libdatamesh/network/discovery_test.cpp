#include "network/discovery.hpp"

#include "tests/libdatamesh/network/mesh_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

/// One node, whose requests the test answers by hand.
struct node_under_test {
  seeded_random random{seed()};
  peer_id self = random_id<peer_id>(random).value();
  discovery_time now{mesh_time{1h}, test_day};
  discovery engine{self, {test_mesh, {}, {}}, random, now};
  uint32_t next_group = 0;

  contact make(unsigned bits) {
    return contact_at(id_near(self, bits, random), public_ip(next_group++));
  }
  std::vector<discovery_ask> asks() {
    std::vector<discovery_ask> all;
    while (auto one = engine.take_ask(now))
      all.push_back(std::move(*one));
    return all;
  }
  void answer(const discovery_ask& to, const discovery_answer& what) {
    engine.answered(to.number, what, to.whom.addresses.front().ip, now);
  }
  /// The node gets to know it.
  contact meet(unsigned bits) {
    auto who = make(bits);
    engine.heard_of(who);
    for (const auto& one : asks())
      if (std::holds_alternative<ping>(one.what))
        answer(one, pong{});
    REQUIRE(engine.table().contains(who.id));
    return who;
  }
  /// Answers all that is asked, with nothing.
  std::vector<discovery_ask> run_out(store_outcome stores = store_outcome::stored) {
    std::vector<discovery_ask> all;
    for (auto some = asks(); !some.empty(); some = asks())
      for (auto& one : some) {
        if (std::holds_alternative<store_record>(one.what))
          answer(one, store_answer{stores});
        else if (std::holds_alternative<ping>(one.what))
          answer(one, pong{});
        else
          answer(one, found_answer{});
        all.push_back(std::move(one));
      }
    return all;
  }
  template <class Event>
  std::vector<Event> events() {
    std::vector<Event> found;
    while (auto event = engine.take_event())
      if (auto one = std::get_if<Event>(&*event))
        found.push_back(std::move(*one));
    return found;
  }
};

} // namespace

TEST_CASE("a node that was heard of is in the table when it has answered, and not before", "[discovery]") {
  node_under_test under;
  auto who = under.make(3);
  under.engine.heard_of(who);
  under.engine.heard_of(who);
  auto asked = under.asks();
  REQUIRE(asked.size() == 1);
  CHECK(std::holds_alternative<ping>(asked.front().what));
  CHECK(asked.front().whom == who);
  CHECK_FALSE(under.engine.table().contains(who.id));
  SECTION("it answers") {
    under.answer(asked.front(), pong{});
    CHECK(under.engine.table().contains(who.id));
  }
  SECTION("it answers something else") {
    under.answer(asked.front(), found_answer{});
    CHECK_FALSE(under.engine.table().contains(who.id));
  }
  SECTION("it does not answer in time") {
    under.now.now += request_time_max;
    under.engine.tick(under.now);
    CHECK_FALSE(under.engine.table().contains(who.id));
    under.answer(asked.front(), pong{});
    CHECK_FALSE(under.engine.table().contains(who.id));
    under.engine.heard_of(who);
    CHECK(under.asks().size() == 1);
  }
}

TEST_CASE("a node at an address that the mesh does not admit is not asked", "[discovery]") {
  node_under_test under;
  auto who = under.make(3);
  who.addresses.push_back({*parse_ip4("10.0.0.1"), 22});
  under.engine.heard_of(who);
  under.engine.heard_of({random_id<peer_id>(under.random).value(), {}});
  under.engine.heard_of(contact_at(under.self, public_ip(1)));
  CHECK(under.asks().empty());
}

TEST_CASE("no more than 8 signs of life are asked for at once, and 64 nodes wait for it", "[discovery]") {
  node_under_test under;
  for (int i = 0; i < 100; ++i)
    under.engine.heard_of(under.make(static_cast<unsigned>(i % 10)));
  CHECK(under.asks().size() == pings_max);
  under.now.now += request_time_max;
  under.engine.tick(under.now);
  size_t more = 0;
  for (int round = 0; round < 20; ++round) {
    more += under.asks().size();
    under.now.now += request_time_max;
    under.engine.tick(under.now);
  }
  CHECK(more == heard_of_max - pings_max);
}

TEST_CASE("a node that asks is asked back before it is known", "[discovery]") {
  node_under_test under;
  auto who = under.make(3);
  auto answer = under.engine.serve(who, find_node{point_of(under.self)}, under.now);
  CHECK(std::holds_alternative<found_answer>(answer));
  CHECK(under.engine.table().size() == 0);
  auto asked = under.asks();
  REQUIRE(asked.size() == 1);
  CHECK(asked.front().whom == who);
}

TEST_CASE("a node in a full bucket that no longer answers gives its place to one that waits", "[discovery]") {
  node_under_test under;
  std::vector<contact> old;
  for (size_t i = 0; i < bucket_size; ++i)
    old.push_back(under.meet(0));
  under.now.now += 1h;
  // Newcomers reach the table by what a lookup asks them.
  lookup_goal goal;
  auto fresh = under.make(0);
  goal.target = point_of(fresh.id);
  (void) under.engine.look_up(goal);
  std::optional<contact> doubted;
  for (auto some = under.asks(); !some.empty(); some = under.asks())
    for (const auto& one : some) {
      if (std::holds_alternative<ping>(one.what))
        doubted = one.whom;
      else if (one.whom == old.front())
        under.engine.failed(one.number, under.now);
      else if (one.whom == fresh)
        under.answer(one, found_answer{});
      else
        under.answer(one, found_answer{{fresh}, {}});
    }
  REQUIRE(doubted == old.front());
  CHECK_FALSE(under.engine.table().contains(fresh.id));
  CHECK(under.engine.table().contains(old.front().id));
  under.now.now += request_time_max;
  under.engine.tick(under.now);
  CHECK(under.engine.table().contains(fresh.id));
  CHECK_FALSE(under.engine.table().contains(old.front().id));
}

TEST_CASE("who breaks a rule in an answer is no longer known", "[discovery]") {
  node_under_test under;
  auto liar = under.meet(0);
  auto honest = under.meet(1);
  lookup_goal goal;
  goal.target = random_id<point>(under.random).value();
  auto number = under.engine.look_up(goal);
  for (const auto& one : under.asks()) {
    auto self = found_answer{{one.whom}, {}};
    under.answer(one, one.whom == liar ? self : found_answer{});
  }
  auto ended = under.events<lookup_ended>();
  REQUIRE(ended.size() == 1);
  CHECK(ended.front().number == number);
  CHECK(ended.front().outcome.nearest == std::vector{honest});
  CHECK_FALSE(under.engine.table().contains(liar.id));
}

TEST_CASE("a node names only those that are nearer than itself, and not the one that asks", "[discovery]") {
  node_under_test under;
  std::vector<contact> known;
  for (unsigned bits = 0; bits < 6; ++bits)
    known.push_back(under.meet(bits));
  auto target = point_of(known.front().id);
  auto told_to = [&](const contact& asker, const point& about) {
    auto told = std::get<found_answer>(under.engine.serve(asker, find_node{about}, under.now)).nodes;
    for (const auto& one : told) {
      CHECK(one.id != asker.id);
      CHECK(distance_of(about, one.id) < distance_of(about, under.self));
    }
    return told;
  };
  auto told = told_to(known[1], target);
  REQUIRE_FALSE(told.empty());
  CHECK(told.front() == known.front());
  for (const auto& one : told_to(known.front(), target))
    CHECK(one != known.front());
  CHECK(told_to(known[1], point_of(under.self)).empty());
}

TEST_CASE("a node stores a record that holds while fewer than 20 that it knows are nearer", "[discovery]") {
  node_under_test under;
  publisher who{under.random};
  auto asker = under.make(0);
  auto store = [&](byte_view raw) {
    return std::get<store_answer>(under.engine.serve(asker, store_record{bytes::copy_of(raw)}, under.now)).outcome;
  };
  auto key = point_of(id_near(under.self, 0, under.random));
  auto record = who.make(record_kind::provider, 1, "here", key);
  for (size_t i = 0; i < bucket_size - 1; ++i)
    under.meet(0);
  CHECK(store(record.raw) == store_outcome::stored);
  CHECK(store(record.raw) == store_outcome::known);
  CHECK(store(who.make(record_kind::provider, 1, "there", key).raw) == store_outcome::conflict);
  REQUIRE(under.events<conflict_seen>().size() == 1);
  std::vector<std::byte> changed{record.raw.view().begin(), record.raw.view().end()};
  changed[88] ^= std::byte{1};
  CHECK(store(changed) == store_outcome::not_valid);
  CHECK(store({}) == store_outcome::not_valid);
  auto found = std::get<found_answer>(under.engine.serve(asker, find_record{record_kind::provider, key}, under.now));
  REQUIRE(found.records.size() == 1);
  CHECK(as_text(found.records.front()) == as_text(record.raw));
  CHECK(std::get<found_answer>(under.engine.serve(asker, find_record{record_kind::node, key}, under.now)).records.empty());
  // Who sent it was asked for a sign of life, and is nearer, too.
  under.run_out();
  CHECK(under.engine.table().contains(asker.id));
  CHECK(store(who.make(record_kind::provider, 2, "here", key).raw) == store_outcome::not_near);
}

TEST_CASE("a record is sent to those that are nearest to its key, and it is told how many keep it", "[discovery]") {
  node_under_test under;
  publisher who{under.random};
  for (unsigned i = 0; i < 30; ++i)
    under.meet(i % 4);
  auto record = who.make(record_kind::provider, 1, "here", random_id<point>(under.random).value());
  under.engine.publish(record, under.now);
  size_t stores = 0;
  bool first = true;
  for (auto some = under.asks(); !some.empty(); some = under.asks())
    for (const auto& one : some) {
      if (auto store = std::get_if<store_record>(&one.what)) {
        ++stores;
        CHECK(as_text(store->record) == as_text(record.raw));
        if (std::exchange(first, false))
          under.engine.failed(one.number, under.now);
        else
          under.answer(one, store_answer{stores == 2 ? store_outcome::full : store_outcome::stored});
      } else {
        under.answer(one, found_answer{});
      }
    }
  CHECK(stores == bucket_size);
  auto sent = under.events<record_sent>();
  REQUIRE(sent.size() == 1);
  CHECK(sent.front().name == record.name);
  CHECK(sent.front().copies == bucket_size - 2);
}

TEST_CASE("a record that was published is sent again with each sweep, until it is withdrawn or ends", "[discovery]") {
  node_under_test under;
  publisher who{under.random};
  for (unsigned i = 0; i < 10; ++i)
    under.meet(i % 4);
  auto draft = who.draft(record_kind::provider, 1, "here", random_id<point>(under.random).value());
  draft.expiry = test_day + 48h;
  auto record = who.sign(draft).value();
  under.engine.publish(record, under.now);
  auto stores_within = [&](std::chrono::hours time) {
    size_t stores = 0;
    for (int i = 0; i < time.count() * 4; ++i) {
      under.now.now += 15min;
      under.now.wall += 15min;
      under.engine.tick(under.now);
      for (const auto& one : under.run_out())
        stores += std::holds_alternative<store_record>(one.what) ? 1 : 0;
    }
    return stores;
  };
  under.run_out();
  CHECK(stores_within(24h) == 20);
  SECTION("its publisher is told to sign it anew when half of its life is over") {
    CHECK(under.events<renewal_due>().empty());
    stores_within(2h);
    REQUIRE(under.events<renewal_due>().size() == 1);
    stores_within(2h);
    CHECK(under.events<renewal_due>().empty());
  }
  SECTION("it ends") {
    stores_within(24h);
    CHECK(stores_within(24h) == 0);
    CHECK(under.engine.records().size() == 0);
  }
  SECTION("it is withdrawn") {
    under.engine.withdraw(record.name);
    CHECK(stores_within(24h) == 0);
  }
}

TEST_CASE("a node that came to know others looks around itself, and again after an hour", "[discovery]") {
  node_under_test under;
  for (unsigned i = 0; i < 25; ++i)
    under.meet(i % 3);
  size_t searches = 0;
  auto look = [&] {
    searches = 0;
    for (int i = 0; i < 10; ++i) {
      under.engine.tick(under.now);
      for (const auto& one : under.run_out())
        searches += std::holds_alternative<find_node>(one.what) ? 1 : 0;
    }
    return searches;
  };
  CHECK(look() > 0);
  CHECK(look() == 0);
  under.now.now += 1h;
  CHECK(look() > 0);
}

TEST_CASE("the time of the next tick is never past when all was asked and answered", "[discovery]") {
  node_under_test under;
  for (unsigned i = 0; i < 25; ++i)
    under.meet(i % 3);
  for (int i = 0; i < 200; ++i) {
    under.engine.tick(under.now);
    under.run_out();
    // One refresh follows the other.
    if (i > 10)
      REQUIRE(under.engine.next_tick() > under.now.now);
    under.now.now += 7min;
  }
}

TEST_CASE("nodes that did not answer are asked again each minute, and known again when they do", "[discovery]") {
  node_under_test under;
  auto who = under.meet(3);
  auto retries = [&] {
    under.now.now += retry_every;
    under.engine.tick(under.now);
    size_t pings = 0;
    for (auto some = under.asks(); !some.empty(); some = under.asks())
      for (const auto& one : some) {
        pings += std::holds_alternative<ping>(one.what) ? 1 : 0;
        under.engine.failed(one.number, under.now);
      }
    return pings;
  };
  lookup_goal goal;
  goal.target = point_of(who.id);
  for (int i = 0; i < 2; ++i) {
    (void) under.engine.look_up(goal);
    for (const auto& one : under.asks())
      under.engine.failed(one.number, under.now);
  }
  REQUIRE(under.engine.table().alive() == 0);
  REQUIRE(under.engine.table().closest(goal.target, 1).empty());
  SECTION("it answers") {
    under.now.now += retry_every;
    under.engine.tick(under.now);
    for (const auto& one : under.run_out())
      CHECK(one.whom == who);
    CHECK(under.engine.table().alive() == 1);
    CHECK(retries() == 0);
  }
  SECTION("it does not, and goes in the end") {
    CHECK(retries() == 1);
    CHECK(under.engine.table().contains(who.id));
    for (int i = 0; i < 3; ++i)
      retries();
    CHECK_FALSE(under.engine.table().contains(who.id));
    CHECK(retries() == 0);
  }
}

TEST_CASE("a node that has too much to do is not one that is gone", "[discovery]") {
  node_under_test under;
  auto who = under.meet(3);
  lookup_goal goal;
  goal.target = point_of(who.id);
  for (unsigned i = 0; i < failures_until_dropped; ++i) {
    (void) under.engine.look_up(goal);
    for (const auto& one : under.asks())
      under.engine.declined(one.number, under.now);
  }
  CHECK(under.events<lookup_ended>().size() == failures_until_dropped);
  CHECK(under.engine.table().alive() == 1);
}

TEST_CASE("of the addresses that a node is named with, the one where it was reached comes first", "[discovery]") {
  node_under_test under;
  auto who = under.make(3);
  auto true_one = who.addresses.front();
  who.addresses.insert(who.addresses.begin(), {public_ip(9999), 4433});
  under.engine.heard_of(who);
  for (const auto& one : under.asks())
    under.engine.answered(one.number, pong{}, true_one.ip, under.now);
  auto known = under.engine.table().closest(point_of(who.id), 1);
  REQUIRE(known.size() == 1);
  CHECK(known.front().addresses == std::vector{true_one, who.addresses.front()});
}

TEST_CASE("a lookup finds the record that only the node itself keeps", "[discovery]") {
  node_under_test under;
  publisher who{under.random};
  auto asker = under.meet(0);
  auto old = who.make(record_kind::device_head, 1, "old");
  auto fresh = who.make(record_kind::device_head, 2, "new");
  (void) under.engine.serve(asker, store_record{fresh.raw}, under.now);
  lookup_goal goal;
  goal.target = fresh.name.key;
  goal.kind = record_kind::device_head;
  auto others = GENERATE(0, 1);
  (void) under.engine.look_up(goal);
  for (const auto& one : under.asks())
    under.answer(one, found_answer{{}, others == 0 ? std::vector<bytes>{} : std::vector{old.raw}});
  auto ended = under.events<lookup_ended>();
  REQUIRE(ended.size() == 1);
  REQUIRE(ended.front().outcome.records.size() == 1);
  CHECK(ended.front().outcome.records.front().sequence == 2);
}
