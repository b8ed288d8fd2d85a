// Drives with labels: where shards go, what a loss would do and does, and where data is.
#include "tests/actors/node/house.hpp"

#include <algorithm>
#include <set>

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;

drive_report drive_of(house& h, size_t number) {
  for (const auto& drive : h.node().drives())
    if (drive.folder == h.drive(number))
      return drive;
  FAIL("no such drive");
  return {};
}

void label_zone(house& h, size_t drive, const std::string& zone) {
  must(h.node().label_drive(h.drive(drive), {.zone = zone}));
}

/// Eight drives in six zones: the first three in one.
void label_six_zones(house& h) {
  for (size_t drive = 1; drive <= 8; ++drive)
    label_zone(h, drive, drive <= 3 ? "many" : "one" + std::to_string(drive));
}

const domain_share* share_of(const distribution_report& of, domain_share::level level, const std::string& name) {
  auto found = std::ranges::find_if(of.shares, [&](const auto& share) { return share.of == level && share.name == name; });
  return found == of.shares.end() ? nullptr : &*found;
}

constexpr auto zone_level = domain_share::level::zone;
constexpr auto drive_level = domain_share::level::drive;

/// Whether each pack has a shard in each of the six zones, and so just one.
bool is_in_each_zone_once(const distribution_report& of) {
  auto zones = std::ranges::count(of.shares, zone_level, &domain_share::of);
  return zones == 6 && std::ranges::all_of(of.shares, [&](const auto& share) {
           return share.of != zone_level || (share.shards == of.packs && share.packs == of.packs);
         });
}

} // namespace

TEST_CASE("labels of drives are kept, changed one by one, and taken away", "[topology]") {
  house h{3};
  CHECK(code_of(h.files().status(h.path("home/labels"))) == errc::not_found);
  auto told = must(h.node().label_drive(h.drive(1), {.region = "eu", .zone = "house-1", .operated_by = "ann"}));
  CHECK(told.labels == drive_labels{"eu", "house-1", "ann"});
  CHECK(told.folder == h.drive(1));
  must(h.node().label_drive(drive_of(h, 2).id.hex().substr(0, 8), {.zone = "house-2"}));
  h.reopen();
  CHECK(drive_of(h, 1).labels == drive_labels{"eu", "house-1", "ann"});
  CHECK(drive_of(h, 2).labels == drive_labels{"", "house-2", ""});
  CHECK(drive_of(h, 3).labels == drive_labels{});
  must(h.node().label_drive(h.drive(1), {.region = ""}));
  must(h.node().label_drive(h.drive(2), {.zone = ""}));
  h.reopen();
  CHECK(drive_of(h, 1).labels == drive_labels{"", "house-1", "ann"});
  CHECK(drive_of(h, 2).labels == drive_labels{});
}

TEST_CASE("a label that can not be is refused, and nothing changes", "[topology]") {
  house h{2};
  label_zone(h, 1, "a");
  CHECK(code_of(h.node().label_drive(h.drive(1), {.zone = "b c"})) == errc::name_invalid);
  CHECK(code_of(h.node().label_drive(h.drive(1), {.region = "eu", .zone = "b\n"})) == errc::name_invalid);
  CHECK(code_of(h.node().label_drive("/nowhere", {.zone = "b"})) == errc::not_found);
  CHECK(drive_of(h, 1).labels == drive_labels{"", "a", ""});
  h.reopen();
  CHECK(drive_of(h, 1).labels == drive_labels{"", "a", ""});
}

TEST_CASE("a node whose labels can not be read is not opened without them", "[topology]") {
  house h{2};
  label_zone(h, 1, "a");
  h.close();
  h.write("home/labels", "datamesh labels 2\nanything");
  CHECK(code_of(datamesh::node::open(h.options)) == errc::format_newer);
  h.write("home/labels", "datamesh labels 1\ndrive");
  CHECK(code_of(datamesh::node::open(h.options)) == errc::format_damaged);
  must(h.files().remove(h.path("home/labels")));
  h.open();
  CHECK(drive_of(h, 1).labels == drive_labels{});
}

TEST_CASE("a drive that is taken out forgets its labels, and one that was away keeps them", "[topology]") {
  house h{3};
  label_zone(h, 1, "a");
  label_zone(h, 2, "b");
  must(h.node().remove_drive(h.drive(1)));
  must(h.node().adopt_drive(h.drive(1)));
  CHECK(drive_of(h, 1).labels == drive_labels{});
  h.close();
  must(h.files().rename(h.drive(2), h.path("elsewhere")));
  h.open();
  CHECK(drive_of(h, 2).state == "missing");
  CHECK(drive_of(h, 2).labels.zone == "b");
  CHECK(must(h.node().adopt_drive(h.path("elsewhere"))).state == "ok");
  h.reopen();
  CHECK(drive_of(h, 1).labels == drive_labels{});
  auto drives = h.node().drives();
  auto moved = std::ranges::find(drives, h.path("elsewhere"), &drive_report::folder);
  REQUIRE(moved != drives.end());
  CHECK(moved->labels.zone == "b");
}

TEST_CASE("new data goes to one drive of each zone, and a lost zone costs a shard of each pack", "[topology]") {
  house h{8};
  label_six_zones(h);
  for (uint64_t i = 0; i < 6; ++i)
    h.put_text("/" + std::to_string(i), noise(i, 2 * mib));
  auto where = must(h.vault().distribution());
  CHECK(where.packs >= 6);
  CHECK(where.standing == pack_standing{where.packs, 0, 0, 0});
  CHECK(where.shards == 6 * where.packs);
  CHECK(is_in_each_zone_once(where));
  CHECK(where.margin == 2);
  // Zones, operators, nodes, drives; all drives are of this one node.
  CHECK(where.margins == std::vector<int>{2, 0, 0, 2});
  const auto* many = share_of(where, zone_level, "many");
  REQUIRE(many != nullptr);
  CHECK(many->labelled);
  CHECK(many->packs_needed == 0);
  uint64_t in_many = 0;
  for (size_t drive = 1; drive <= 3; ++drive)
    if (const auto* share = share_of(where, drive_level, h.drive(drive)))
      in_many += share->shards;
  CHECK(in_many == where.packs);
  auto loss = must(h.vault().foresee_loss({drive_of(h, 1).id, drive_of(h, 2).id, drive_of(h, 3).id}));
  CHECK(loss.drives.size() == 3);
  CHECK(loss.then == pack_standing{0, where.packs, 0, 0});
  CHECK(loss.shards_gone == where.packs);
}

TEST_CASE("a rebalance moves apart what was stored before drives were labelled, and no more", "[topology]") {
  house h{8};
  for (uint64_t i = 0; i < 8; ++i)
    h.put_text("/" + std::to_string(i), noise(i, 2 * mib));
  CHECK(must(h.vault().rebalance()).shards_moved == 0);
  label_six_zones(h);
  auto before = must(h.vault().distribution());
  const auto* many = share_of(before, zone_level, "many");
  REQUIRE(many != nullptr);
  auto too_many = many->shards - many->packs;
  REQUIRE(too_many > 0); // Six of eight drives have a shard of each pack, so one or more of these three.
  auto foreseen = must(h.vault().rebalance(true));
  CHECK(must(h.vault().distribution()).standing == before.standing);
  CHECK_FALSE(is_in_each_zone_once(must(h.vault().distribution())));
  auto moved = must(h.vault().rebalance());
  CHECK(moved.shards_moved == too_many);
  CHECK(moved.shards_left == 0);
  CHECK(foreseen.shards_moved == moved.shards_moved);
  CHECK(foreseen.bytes_moved == moved.bytes_moved);
  auto after = must(h.vault().distribution());
  CHECK(is_in_each_zone_once(after));
  CHECK(after.standing == pack_standing{after.packs, 0, 0, 0});
  CHECK(must(h.vault().rebalance()).shards_moved == 0);
  auto checked = must(h.vault().verify({.deep = true}));
  CHECK(checked.shards_missing + checked.shards_damaged == 0);
  for (uint64_t i = 0; i < 8; ++i)
    CHECK(h.get_text("/" + std::to_string(i)) == noise(i, 2 * mib));
}

TEST_CASE("what a loss is said to do is what it does", "[topology]") {
  auto labelled = GENERATE(false, true);
  auto gone = GENERATE(std::vector<size_t>{1}, std::vector<size_t>{2, 5}, std::vector<size_t>{1, 2, 3}, std::vector<size_t>{1, 4, 6, 8});
  CAPTURE(labelled, gone);
  house h{8};
  if (labelled)
    label_six_zones(h);
  const char* policies[] = {"4+2", "2+1", "1+1", "3+3"};
  for (uint64_t i = 0; i < 12; ++i) {
    put_stream_request what;
    what.from = std::make_shared<text_source>(noise(i, mib));
    what.target_path = "/" + std::to_string(i);
    what.policy = policies[i % 4];
    must(h.vault().put(what));
  }
  std::vector<drive_id> ids;
  for (auto number : gone)
    ids.push_back(drive_of(h, number).id);
  auto said = must(h.vault().foresee_loss(ids));
  CHECK(said.now == pack_standing{said.packs, 0, 0, 0});
  // A drive that is named twice is lost once.
  ids.push_back(ids.front());
  CHECK(must(h.vault().foresee_loss(ids)).then == said.then);
  for (auto number : gone)
    must(h.node().remove_drive(h.drive(number), true));
  auto status = must(h.vault().status());
  CHECK(status.packs == said.packs);
  CHECK(status.packs_lost == said.then.lost);
  CHECK(status.packs_degraded == said.then.below_full);
  auto now = must(h.vault().foresee_loss({}));
  CHECK(now.now == said.then);
  CHECK(now.shards_gone == 0);
  auto looked = must(h.vault().verify({}));
  CHECK(looked.packs_lost == said.then.lost);
  auto mended = must(h.vault().verify({.repair = true}));
  CHECK(mended.packs_lost == said.then.lost);
  CHECK(mended.shards_repaired == said.shards_to_repair - said.shards_unplaced);
  CHECK(mended.shards_unplaced == said.shards_unplaced);
  if (said.shards_unplaced == 0)
    CHECK(must(h.vault().foresee_loss({})).now == pack_standing{said.packs - said.then.lost, 0, 0, said.then.lost});
  for (uint64_t i = 0; i < 12; ++i) {
    auto path = "/" + std::to_string(i);
    auto lost = std::ranges::find(looked.files_lost, path) != looked.files_lost.end();
    CAPTURE(path, lost);
    CHECK(datamesh::test::get_text(h.vault(), path).has_value() == !lost);
  }
}

TEST_CASE("a loss is foreseen of drives of this node alone", "[topology]") {
  house h{3};
  CHECK(code_of(h.vault().foresee_loss({*drive_id::parse(std::string(32, '1'))})) == errc::not_found);
  CHECK(must(h.vault().foresee_loss({})).packs == 0);
  h.put_text("/x", noise(1, mib));
  auto all = must(h.vault().foresee_loss({drive_of(h, 1).id, drive_of(h, 2).id, drive_of(h, 3).id}));
  CHECK(all.then.lost == all.packs);
  CHECK(all.shards_to_repair == 0);
}

TEST_CASE("where data is, is told by file, folder and tag", "[topology]") {
  house h{6};
  h.put_text("/a/one", noise(1, 3 * mib));
  h.put_text("/a/two", noise(2, 3 * mib));
  h.put_text("/b", noise(3, 3 * mib));
  must(h.vault().set_tag("/a/two", "kind", "tax"));
  must(h.vault().set_tag("/b", "kind", "photo"));
  auto one = must(h.vault().distribution({.paths = {"/a/one"}}));
  CHECK(one.files == 1);
  CHECK(one.packs >= 1);
  auto folder = must(h.vault().distribution({.paths = {"/a"}}));
  CHECK(folder.files == 2);
  CHECK(folder.packs > one.packs);
  // One that is named twice counts once.
  CHECK(must(h.vault().distribution({.paths = {"/a", "/a/one"}})).packs == folder.packs);
  CHECK(must(h.vault().distribution({.tag_key = "kind"})).files == 2);
  CHECK(must(h.vault().distribution({.tag_key = "kind", .tag = "tax"})).files == 1);
  CHECK(must(h.vault().distribution({.paths = {"/b"}, .tag_key = "kind", .tag = "tax"})).files == 0);
  auto none = must(h.vault().distribution({.tag_key = "no"}));
  CHECK(none.packs == 0);
  CHECK(none.margin == std::nullopt);
  CHECK(none.shares.empty());
  CHECK(code_of(h.vault().distribution({.paths = {"/nowhere"}})) == errc::not_found);
  auto all = must(h.vault().distribution());
  CHECK(all.files == 3);
  CHECK(all.packs > folder.packs);
  uint64_t shards = 0;
  for (const auto& share : all.shares)
    shards += share.of == drive_level ? share.shards : 0;
  CHECK(shards == all.shards);
}

TEST_CASE("shards that are gone are bad where data is told, and the margin is less", "[topology]") {
  house h{6};
  h.put_text("/x", noise(1, 3 * mib));
  auto before = must(h.vault().distribution({.paths = {"/x"}}));
  CHECK(before.margin == 2);
  h.close();
  must(h.files().rename(h.drive(1), h.path("away")));
  h.open();
  auto after = must(h.vault().distribution({.paths = {"/x"}}));
  CHECK(after.packs == before.packs);
  CHECK(after.margin == 1);
  CHECK(after.shards_bad == after.packs);
  CHECK(after.standing == pack_standing{0, after.packs, 0, 0});
  const auto* gone = share_of(after, drive_level, h.drive(1));
  REQUIRE(gone != nullptr);
  CHECK(gone->shards_bad == gone->shards);
  must(h.node().remove_drive(h.drive(2), true));
  must(h.node().remove_drive(h.drive(3), true));
  auto lost = must(h.vault().distribution({.paths = {"/x"}}));
  CHECK(lost.margin == -1);
  CHECK(lost.standing.lost == lost.packs);
}

} // namespace datamesh::test
