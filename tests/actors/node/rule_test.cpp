// A rule for where data may lie: what is stored, repaired and moved, and what is refused.
#include "tests/actors/node/house.hpp"

#include <algorithm>

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;
const placement_rule only_eu{.only = {{label_kind::region, "eu"}}};
const placement_rule never_us{.never = {{label_kind::region, "us"}}};

drive_report drive_of(house& h, size_t number) {
  for (const auto& drive : h.node().drives())
    if (drive.folder == h.drive(number))
      return drive;
  FAIL("no such drive");
  return {};
}

void label_region(house& h, size_t first, size_t last, const std::string& region) {
  for (auto drive = first; drive <= last; ++drive)
    must(h.node().label_drive(h.drive(drive), {.region = region}));
}

result<put_summary> put_as(house& h, const std::string& path, const std::string& policy) {
  put_stream_request what;
  what.from = std::make_shared<text_source>(noise(std::hash<std::string>{}(path), mib));
  what.target_path = path;
  what.policy = policy;
  return h.vault().put(what);
}

/// Shards of this vault on the drives of these numbers.
uint64_t shards_on(house& h, size_t first, size_t last) {
  uint64_t shards = 0;
  for (auto drive = first; drive <= last; ++drive)
    shards += drive_of(h, drive).shards;
  return shards;
}

} // namespace

TEST_CASE("a rule is kept over a restart, and taken away", "[rule]") {
  house h{3};
  CHECK(must(h.node().rule()).empty());
  CHECK(code_of(h.files().status(h.path("home/rule"))) == errc::not_found);
  must(h.node().set_rule(only_eu));
  CHECK(must(h.node().rule()) == only_eu);
  h.reopen();
  CHECK(must(h.node().rule()) == only_eu);
  CHECK(drive_of(h, 1).outside_rule);
  must(h.node().label_drive(h.drive(1), {.region = "eu"}));
  CHECK(!drive_of(h, 1).outside_rule);
  must(h.node().set_rule({}));
  h.reopen();
  CHECK(must(h.node().rule()).empty());
  CHECK(!drive_of(h, 2).outside_rule);
}

TEST_CASE("a rule that can not be is refused, and the one before stays", "[rule]") {
  house h{2};
  must(h.node().set_rule(never_us));
  CHECK(code_of(h.node().set_rule({.only = {{label_kind::zone, "a b"}}})) == errc::name_invalid);
  CHECK(code_of(h.node().set_rule({.only = {{label_kind::zone, "a"}, {label_kind::zone, "a"}}})) == errc::invalid_argument);
  CHECK(must(h.node().rule()) == never_us);
  h.reopen();
  CHECK(must(h.node().rule()) == never_us);
}

TEST_CASE("a node whose rule can not be read is not opened without it", "[rule]") {
  house h{2};
  h.close();
  h.write("home/rule", "datamesh rule 2\nanything");
  CHECK(code_of(datamesh::node::open(h.options)) == errc::format_newer);
  h.write("home/rule", "datamesh rule 1\nonly\n");
  CHECK(code_of(datamesh::node::open(h.options)) == errc::format_damaged);
  must(h.files().remove(h.path("home/rule")));
  h.open();
  CHECK(must(h.node().rule()).empty());
}

TEST_CASE("what is stored keeps the rule, and its policy is that of the drives within it", "[rule]") {
  house h{8};
  label_region(h, 1, 4, "eu");
  label_region(h, 5, 6, "us");
  must(h.node().set_rule(only_eu));
  CHECK(must(h.vault().status()).policy == "2+2");
  for (uint64_t i = 0; i < 6; ++i)
    h.put_text("/" + std::to_string(i), noise(i, mib));
  CHECK(shards_on(h, 1, 4) > 0);
  CHECK(shards_on(h, 5, 8) == 0);
  CHECK(must(h.vault().status()).shards_outside == 0);
  // Nobody said where the last two are.
  must(h.node().set_rule(never_us));
  CHECK(must(h.vault().status()).policy == "4+2");
  for (uint64_t i = 6; i < 9; ++i)
    h.put_text("/" + std::to_string(i), noise(i, mib));
  CHECK(shards_on(h, 7, 8) > 0);
  CHECK(shards_on(h, 5, 6) == 0);
  for (uint64_t i = 0; i < 9; ++i)
    CHECK(h.get_text("/" + std::to_string(i)) == noise(i, mib));
}

TEST_CASE("a put that can not keep the rule is refused with the drives that it leaves out, and stores nothing", "[rule]") {
  house h{6};
  label_region(h, 1, 5, "eu");
  must(put_as(h, "/before", "4+2"));
  must(h.node().set_rule(only_eu));
  auto before = shards_on(h, 1, 6);
  auto refused = put_as(h, "/x", "4+2");
  REQUIRE(code_of(refused) == errc::rule_leaves_too_few);
  auto told = refused.error().message();
  CAPTURE(told);
  CHECK(told.find("only region=eu") != std::string::npos);
  CHECK(told.find("1 of 6 drives") != std::string::npos);
  CHECK(told.find(h.drive(6)) != std::string::npos);
  CHECK(told.find(h.drive(1)) == std::string::npos);
  CHECK(shards_on(h, 1, 6) == before);
  CHECK(h.list() == std::vector<std::string>{"/before"});
  // More than there are at all is no matter of the rule.
  CHECK(code_of(put_as(h, "/x", "6+2")) == errc::policy_invalid);
  must(put_as(h, "/x", "2+2"));
  must(h.node().set_rule({.only = {{label_kind::region, "ch"}}}));
  CHECK(code_of(put_as(h, "/y", "")) == errc::rule_leaves_too_few);
  CHECK(code_of(put_as(h, "/y", "2+2")) == errc::rule_leaves_too_few);
  CHECK(h.get_text("/x") == noise(std::hash<std::string>{}("/x"), mib));
}

TEST_CASE("a put for which the drives within the rule are away is refused, though others would do", "[rule]") {
  house h{6};
  label_region(h, 1, 3, "eu");
  must(h.node().set_rule(only_eu));
  h.close();
  must(h.files().rename(h.drive(1), h.path("away1")));
  must(h.files().rename(h.drive(2), h.path("away2")));
  h.open();
  CHECK(code_of(put_as(h, "/x", "2+1")) == errc::rule_leaves_too_few);
  CHECK(shards_on(h, 3, 6) == 0);
  must(h.node().set_rule({}));
  must(put_as(h, "/x", "2+1"));
}

TEST_CASE("what lies outside of a new rule is told, and a rebalance moves it and nothing else", "[rule]") {
  auto by_label = GENERATE(false, true);
  CAPTURE(by_label);
  house h{8};
  label_region(h, 1, 6, "eu");
  label_region(h, 7, 8, by_label ? "eu" : "us");
  if (by_label)
    must(h.node().set_rule(only_eu));
  for (uint64_t i = 0; i < 8; ++i)
    h.put_text("/" + std::to_string(i), noise(i, mib));
  CHECK(must(h.vault().status()).shards_outside == 0);
  if (by_label)
    label_region(h, 7, 8, "us");
  else
    must(h.node().set_rule(only_eu));
  auto outside = must(h.vault().status()).shards_outside;
  REQUIRE(outside > 0);
  CHECK(outside == shards_on(h, 7, 8));
  auto told = must(h.vault().distribution());
  CHECK(told.shards_outside == outside);
  // It is read until then.
  CHECK(told.standing == pack_standing{told.packs, 0, 0, 0});
  CHECK(h.get_text("/1") == noise(1, mib));
  auto foreseen = must(h.vault().rebalance(true));
  CHECK(foreseen.shards_moved == outside);
  CHECK(must(h.vault().status()).shards_outside == outside);
  auto moved = must(h.vault().rebalance());
  CHECK(moved.shards_moved == outside);
  CHECK(moved.shards_left == 0);
  CHECK(shards_on(h, 7, 8) == 0);
  CHECK(must(h.vault().status()).shards_outside == 0);
  CHECK(must(h.vault().distribution()).standing == pack_standing{told.packs, 0, 0, 0});
  CHECK(must(h.vault().rebalance()).shards_moved == 0);
  auto checked = must(h.vault().verify({.deep = true}));
  CHECK(checked.shards_missing + checked.shards_damaged == 0);
  for (uint64_t i = 0; i < 8; ++i)
    CHECK(h.get_text("/" + std::to_string(i)) == noise(i, mib));
}

TEST_CASE("shards for which there is no place within the rule stay, and are told", "[rule]") {
  house h{6};
  for (uint64_t i = 0; i < 3; ++i)
    h.put_text("/" + std::to_string(i), noise(i, mib));
  label_region(h, 1, 5, "eu");
  must(h.node().set_rule(only_eu));
  auto outside = must(h.vault().status()).shards_outside;
  REQUIRE(outside > 0);
  auto moved = must(h.vault().rebalance());
  CHECK(moved.shards_moved == 0);
  CHECK(moved.shards_left == outside);
  CHECK(must(h.vault().status()).shards_outside == outside);
  CHECK(must(h.vault().verify({.deep = true})).shards_missing == 0);
}

TEST_CASE("what is lost is made again within the rule, or not at all", "[rule]") {
  house h{8};
  label_region(h, 1, 6, "eu");
  must(h.node().set_rule(only_eu));
  for (uint64_t i = 0; i < 4; ++i)
    h.put_text("/" + std::to_string(i), noise(i, mib));
  must(h.node().remove_drive(h.drive(1), true));
  auto nowhere = must(h.vault().verify({.repair = true}));
  CHECK(nowhere.shards_repaired == 0);
  CHECK(nowhere.shards_unplaced > 0);
  CHECK(shards_on(h, 7, 8) == 0);
  auto status = must(h.vault().status());
  CHECK(status.packs_degraded == status.packs);
  must(h.node().label_drive(h.drive(7), {.region = "eu"}));
  auto mended = must(h.vault().verify({.repair = true}));
  CHECK(mended.shards_repaired == nowhere.shards_unplaced);
  CHECK(drive_of(h, 7).shards == mended.shards_repaired);
  CHECK(drive_of(h, 8).shards == 0);
  CHECK(must(h.vault().status()).packs_degraded == 0);
}

TEST_CASE("a shard that is lost outside of the rule is not made again there", "[rule]") {
  house h{7};
  for (uint64_t i = 0; i < 6; ++i)
    h.put_text("/" + std::to_string(i), noise(i, mib));
  label_region(h, 1, 6, "eu");
  must(h.node().set_rule(only_eu));
  REQUIRE(shards_on(h, 7, 7) > 0);
  // Its shards go, and the drive stays.
  h.close();
  h.remove_tree(h.drive(7));
  h.open();
  must(h.node().remove_drive(h.drive(7), true));
  must(h.node().add_drive(h.drive(7)));
  auto mended = must(h.vault().verify({.repair = true}));
  CHECK(mended.shards_repaired > 0);
  CHECK(mended.shards_unplaced == 0);
  CHECK(shards_on(h, 7, 7) == 0);
  CHECK(must(h.vault().status()).packs_degraded == 0);
}

TEST_CASE("a drive that is drained is emptied within the rule", "[rule]") {
  house h{8};
  label_region(h, 1, 7, "eu");
  must(h.node().set_rule(only_eu));
  for (uint64_t i = 0; i < 6; ++i)
    h.put_text("/" + std::to_string(i), noise(i, mib));
  must(h.node().drain_drive(h.drive(1)));
  auto moved = must(h.vault().rebalance());
  CHECK(moved.shards_left == 0);
  CHECK(drive_of(h, 1).shards == 0);
  CHECK(drive_of(h, 8).shards == 0);
}

TEST_CASE("a loss is foreseen with the drives within the rule alone", "[rule]") {
  house h{8};
  label_region(h, 1, 6, "eu");
  must(h.node().set_rule(only_eu));
  h.put_text("/x", noise(1, mib));
  auto loss = must(h.vault().foresee_loss({drive_of(h, 1).id}));
  CHECK(loss.shards_to_repair == loss.packs);
  CHECK(loss.shards_unplaced == loss.packs);
  must(h.node().set_rule({}));
  CHECK(must(h.vault().foresee_loss({drive_of(h, 1).id})).shards_unplaced == 0);
}

} // namespace datamesh::test
