// The power goes at every change of the disk, and every change fails once: what was answered
// is there, nothing is there in part, and what an owner is charged is what he has.
#include "network/guest_store.hpp"

#include "storage/drive_marker.hpp"
#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <set>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t plenty = 1 << 30;

enum class expectation { absent, either, present };

/// Stores, renewals and deletions of two owners, and what was answered.
class story {
public:
  story(const guest_house& before, const simulated_files::image& image, uint64_t number)
      : house{image, before.options, number}, random_(number), files_(make_pack(random_, {1, 1, storage::inline_shard_max})),
        rows_(make_pack(random_, small_guest)) {}

  /// False when something was refused.
  bool run() {
    auto whole = true;
    for (const auto* shard : {&files_[0], &rows_[0], &files_[1]})
      whole &= store(owner_, *shard, 1);
    whole &= store(other_, files_[0], 1);
    whole &= renew(owner_, rows_[0], 2);
    whole &= remove(owner_, files_, 1);
    whole &= store(owner_, files_[0], 2);
    whole &= remove(other_, files_, 1);
    whole &= remove(owner_, rows_, 2);
    return whole;
  }

  /// What owners are charged is what they have.
  void check_counts() const {
    for (const auto* owner : {&owner_, &other_}) {
      auto usage = house.guests->usage(owner->owner);
      uint64_t bytes = usage.deletions * row_charge;
      auto listed = house.guests->list(owner->owner, {}, 100).value();
      for (const auto& by : listed)
        bytes += charge_of(find(by.shard).header.pack.shape);
      REQUIRE(usage.shards == listed.size());
      REQUIRE(usage.bytes == bytes);
    }
  }

  /// What is there, after it was opened.
  void check() {
    check_counts();
    for (const auto* owner : {&owner_, &other_}) {
      auto listed = house.guests->list(owner->owner, {}, 100).value();
      for (const auto& by : listed) {
        auto shard = find(by.shard);
        auto whole = house.guests->read_blocks(by, 0, shard.header.pack.shape.block_count());
        INFO((whole ? std::string{} : whole.error().message()));
        REQUIRE(whole);
        REQUIRE(std::ranges::equal(whole->view(), shard.body.view()));
      }
      for (const auto* pack : {&files_, &rows_})
        for (const auto& shard : *pack) {
          auto is_there = std::ranges::any_of(listed, [&](const ticket& by) { return by.shard == key_of(shard); });
          auto due = expected_[{owner->owner, key_of(shard)}];
          CAPTURE(key_of(shard).pack.brief(), int{shard.header.index}, int(due), is_there);
          REQUIRE((due != expectation::present || is_there));
          REQUIRE((due != expectation::absent || !is_there));
        }
    }
    // Nothing lies there that nobody is charged for.
    storage::shard_store_options options;
    options.folder = house.options.folders[0];
    house.guests.reset();
    auto shards = storage::shard_store::open(house.env, options);
    REQUIRE(shards);
    if ((*shards)->state() == storage::drive_state::failed) {
      shards->reset();
      REQUIRE(house.open());
      return;
    }
    REQUIRE((*shards)->sweep(-1'000'000'000));
    auto rows = (*shards)->list({}, 100).value();
    shards->reset();
    REQUIRE(house.open());
    std::set<shard_key> paid;
    for (const auto* owner : {&owner_, &other_}) {
      auto listed = house.guests->list(owner->owner, {}, 100).value();
      for (const auto& by : listed)
        paid.insert(by.shard);
    }
    for (const auto& row : rows)
      REQUIRE(paid.contains(row.key));
  }

  guest_house house;

private:
  using name = std::pair<vault_id, shard_key>;

  [[nodiscard]] ticket by(const signatory& owner, const storage::shard_write& shard, uint64_t number) const {
    return owner.ticket_for(shard, number, house.later());
  }
  [[nodiscard]] storage::shard_write find(const shard_key& key) const {
    for (const auto* pack : {&files_, &rows_})
      for (const auto& shard : *pack)
        if (key_of(shard) == key)
          return shard;
    FAIL("a shard that nobody stored");
    return {};
  }

  bool store(const signatory& owner, const storage::shard_write& shard, uint64_t number) {
    auto& due = expected_[{owner.owner, key_of(shard)}];
    if (due == expectation::absent)
      due = expectation::either;
    auto kept = house.guests->store(guest_of(shard, by(owner, shard, number)), plenty);
    if (kept)
      due = expectation::present;
    return kept.has_value();
  }
  bool renew(const signatory& owner, const storage::shard_write& shard, uint64_t number) {
    return house.guests->renew(by(owner, shard, number)).has_value();
  }
  bool remove(const signatory& owner, const std::vector<storage::shard_write>& pack, uint64_t number) {
    for (const auto& shard : pack)
      if (auto& due = expected_[{owner.owner, key_of(shard)}]; due == expectation::present)
        due = expectation::either;
    auto removed = house.guests->remove(owner.deletion_of(pack[0].header.pack.id, number, house.now()), plenty);
    if (removed)
      for (const auto& shard : pack)
        expected_[{owner.owner, key_of(shard)}] = expectation::absent;
    return removed.has_value();
  }

  signatory owner_{1};
  signatory other_{2};
  seeded_random random_;
  std::vector<storage::shard_write> files_;
  std::vector<storage::shard_write> rows_;
  std::map<name, expectation> expected_;
};

} // namespace

TEST_CASE("a power loss at any change loses no shard that was answered and leaves none in part", "[guest_store][guest_power]") {
  auto number = seed();
  auto capacity = GENERATE(as<uint64_t>{}, 0, plenty);
  CAPTURE(number, capacity);
  guest_house before{1, number};
  before.options.capacity = capacity;
  auto image = before.disk->snapshot();
  uint64_t n = 1;
  for (;; ++n) {
    CAPTURE(n);
    story one{before, image, number};
    REQUIRE(one.house.open());
    one.house.disk->crash_after(n);
    auto done = one.run();
    auto powered = one.house.disk->powered();
    // What is left of a removed shard is no failure.
    REQUIRE((done || !powered));
    one.house.guests.reset();
    one.house.disk->crash(number + n);
    // The power goes again while what is left is looked at.
    if (n % 3 == 0) {
      one.house.disk->crash_after(1 + n % 7);
      (void) one.house.open();
      one.house.guests.reset();
      one.house.disk->crash(number + 2 * n);
    }
    auto opened = one.house.open();
    INFO((opened ? std::string{} : opened.error().message()));
    REQUIRE(opened);
    one.check();
    if (powered)
      break;
  }
  CHECK(n > 40);
}

TEST_CASE("any change of the disk may fail once, and nothing that was answered is lost", "[guest_store][guest_power]") {
  auto number = seed();
  auto code = GENERATE(errc::io_failed, errc::no_space);
  auto capacity = GENERATE(as<uint64_t>{}, 0, plenty);
  CAPTURE(number, int(code), capacity);
  guest_house before{1, number};
  before.options.capacity = capacity;
  auto image = before.disk->snapshot();
  uint64_t refused = 0;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    story one{before, image, number};
    REQUIRE(one.house.open());
    auto calls = one.house.disk->calls();
    one.house.disk->fail_call(n, code);
    refused += one.run() ? 0 : 1;
    auto made = one.house.disk->calls() - calls;
    // What a failure left is set right by the next call.
    if (one.house.guests->expire())
      one.check_counts();
    one.house.guests.reset();
    one.house.disk->crash(number + n);
    auto opened = one.house.open();
    INFO((opened ? std::string{} : opened.error().message()));
    REQUIRE(opened);
    one.check();
    if (made < n)
      break;
  }
  CHECK(refused > 10);
}
