// Bits flip on the medium, below everything.
//
// DATAMESH_FLIPS: bits that the campaign flips, 1,000 by default; DATAMESH_SEED: which;
// DATAMESH_FLIP_ALL: not a random choice of all bits of all shards of a small pack but
// every single bit of two of its shards: three seeds in a row take all six.
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/simulation/shard_files.hpp"
#include "tests/simulation/store_under_test.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <iostream>
#include <set>

namespace datamesh::test {

namespace {

constexpr size_t parity = 2; // Six drives: 4+2.

using packs = std::map<std::string, std::vector<shard_file>>;

packs packs_of(const simulated_files& disk) {
  packs found;
  for (const auto& shard : shard_files(disk))
    found[shard.pack].push_back(shard);
  return found;
}

/// One put, and so one pack, for each size.
std::unique_ptr<store_under_test> make_stored(seeded_random& random, const std::vector<size_t>& sizes) {
  auto store = store_under_test::make(random.below(1u << 30));
  REQUIRE(store->open());
  for (size_t i = 0; i < sizes.size(); ++i)
    REQUIRE(store->put(fmt::format("/file {}", i), make_content(random, sizes[i], false)));
  return store;
}

/// Different bits, so that none flips back.
std::set<uint64_t> choose_bits(seeded_random& random, const shard_file& shard, uint64_t count) {
  std::set<uint64_t> bits;
  while (bits.size() < count)
    bits.insert(random.below(shard.size * 8));
  return bits;
}

void flip(simulated_files& disk, const std::string& path, const std::set<uint64_t>& bits) {
  for (auto bit : bits)
    REQUIRE(disk.flip_bit(path, bit));
}

template <class T>
void shuffle(std::vector<T>& list, seeded_random& random) {
  for (size_t i = list.size(); i > 1; --i)
    std::swap(list[i - 1], list[random.below(i)]);
}

verify_summary verify(store_under_test& store, bool repair) {
  verify_request request;
  request.deep = true;
  request.repair = repair;
  auto outcome = store.vault().verify(request);
  INFO((outcome ? std::string{} : outcome.error().message()));
  REQUIRE(outcome);
  return *outcome;
}

void compare_all(store_under_test& store) {
  for (const auto& [path, allowed] : store.expected().all()) {
    INFO(path);
    auto text = store.read(path);
    INFO((text ? std::string{} : text.error().message()));
    REQUIRE(text);
    REQUIRE(*text == *allowed.front());
  }
}

uint64_t from_environment(const char* name, uint64_t otherwise) {
  auto text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

} // namespace

TEST_CASE("flipped bits in as many shards as there is parity are found, read around and healed", "[simulation][bit_flip]") {
  auto seed = test::seed();
  seeded_random random{seed};
  auto wanted = from_environment("DATAMESH_FLIPS", 1000);
  auto store = make_stored(random, {300'000, 900'000, 270'000, 2'500'000, 400'000});
  uint64_t flips = 0;
  uint64_t damaged = 0;
  uint64_t rounds = 0;
  for (; flips < wanted; ++rounds) {
    CAPTURE(seed, rounds);
    uint64_t touched = 0;
    for (auto& [pack, shards] : packs_of(store->disk())) {
      REQUIRE(shards.size() == drive_count);
      shuffle(shards, random);
      auto count = random.below(parity + 1);
      for (uint64_t i = 0; i < count; ++i) {
        auto bits = choose_bits(random, shards[i], 1 + random.below(24));
        flip(store->disk(), shards[i].path, bits);
        flips += bits.size();
        ++touched;
      }
    }
    // Before anybody scrubs, every byte is right, too.
    if (rounds % 2 == 0)
      compare_all(*store);
    auto found = verify(*store, true);
    REQUIRE(found.shards_damaged == touched);
    REQUIRE(found.shards_repaired == touched);
    REQUIRE(found.packs_lost == 0);
    damaged += touched;
    REQUIRE(verify(*store, false).shards_damaged == 0);
    compare_all(*store);
  }
  std::cout << fmt::format(
      "figure bits flipped: {}\nfigure rounds of scrub and comparison: {}\nfigure shards found damaged and healed: {}\n", flips, rounds,
      damaged);
}

TEST_CASE("beyond the parity exactly the lost files are named and all others come back", "[simulation][bit_flip]") {
  constexpr uint64_t rounds = 6;
  auto seed = test::seed();
  for (uint64_t round = 0; round < rounds; ++round) {
    CAPTURE(seed, round);
    seeded_random random{seed + round};
    auto store = store_under_test::make(seed + round);
    for (int i = 0; i < 12; ++i)
      store->add_source(fmt::format("/src/{}", i), make_content(random, 20'000 + random.below(90'000), false));
    REQUIRE(store->open());
    std::map<std::string, content> files;
    for (int i = 0; i < 12; ++i)
      files[std::to_string(i)] = std::make_shared<std::string>(as_text(*read_whole(store->disk(), fmt::format("/src/{}", i), 1 << 20)));
    REQUIRE(store->put_folder("/src", "/shared", files));
    REQUIRE(store->put("/other", make_content(random, 500'000, false)));

    auto all = packs_of(store->disk());
    REQUIRE(all.size() >= 2);
    auto pack = all.begin();
    std::advance(pack, static_cast<ptrdiff_t>(random.below(all.size())));
    auto shards = pack->second;
    shuffle(shards, random);
    for (size_t i = 0; i < parity + 1 + random.below(3); ++i)
      flip(store->disk(), shards[i].path, choose_bits(random, shards[i], 40));

    auto found = verify(*store, true);
    REQUIRE(found.packs_lost == 1);
    std::set<std::string> lost;
    for (const auto& [path, allowed] : store->expected().all()) {
      auto text = store->read(path);
      if (!text)
        lost.insert(path);
      else
        REQUIRE(*text == *allowed.front());
    }
    REQUIRE(!lost.empty());
    REQUIRE(lost == std::set<std::string>(found.files_lost.begin(), found.files_lost.end()));
    // Stored again, they are there again.
    store->time().advance(std::chrono::seconds{1});
    for (const auto& path : lost) {
      auto again = store->put(path, store->expected().all().at(path).front());
      INFO((again ? std::string{} : again.error().message()));
      REQUIRE(again);
    }
    compare_all(*store);
  }
  std::cout << "figure packs lost beyond the parity, exactly their files named: " << rounds << '\n';
}

TEST_CASE("a deep verify finds every single flipped bit of a pack", "[simulation][bit_flip]") {
  auto seed = test::seed();
  seeded_random random{seed};
  // Shards of two blocks, the second a short one: no pack much smaller lies in files.
  auto store = make_stored(random, {263'000});
  auto shards = shard_files(store->disk());
  REQUIRE(shards.size() == drive_count);
  constexpr uint64_t header_bits = 8 * 640; // The longest header of 4+2 and a little more.
  auto all = std::getenv("DATAMESH_FLIP_ALL") != nullptr;
  auto step = [&](uint64_t bit) -> uint64_t {
    return all ? 1 : 1 + random.below(bit < header_bits ? 12 : 6000);
  };
  uint64_t found = 0;
  // One bit in each of as many shards as there is parity, so that no shard is judged by
  // what is wrong with another and the pack is never lost.
  for (size_t first = 0; first < shards.size(); first += parity) {
    if (all && first / parity != seed % (shards.size() / parity))
      continue;
    for (uint64_t bit = 0; bit < shards[first].size * 8; bit += step(bit)) {
      CAPTURE(seed, first, bit, shards[first].size);
      for (size_t i = first; i < first + parity; ++i)
        REQUIRE(store->disk().flip_bit(shards[i].path, bit));
      auto outcome = verify(*store, false);
      REQUIRE(outcome.shards_damaged == parity);
      REQUIRE(outcome.shards_missing == 0);
      REQUIRE(outcome.packs_lost == 0);
      for (size_t i = first; i < first + parity; ++i)
        REQUIRE(store->disk().flip_bit(shards[i].path, bit));
      found += parity;
    }
  }
  REQUIRE(verify(*store, false).shards_damaged == 0);
  std::cout << fmt::format("figure single bits of a pack flipped and found: {}\n", found);
}

TEST_CASE("a flipped bit in an index, a catalog or a key file never leads to wrong bytes", "[simulation][bit_flip]") {
  auto seed = test::seed();
  seeded_random random{seed};
  auto store = make_stored(random, {300, 4000, 300'000, 20'000});
  REQUIRE(store->remove("/file 1", false));
  store->close();
  auto expected = store->expected();
  auto image = store->freeze();
  auto rounds = from_environment("DATAMESH_FLIPS", 1000) / 100;
  uint64_t flips = 0;
  uint64_t refused = 0;
  uint64_t drives_out = 0;
  uint64_t harmless = 0;
  for (const auto& [path, status] : store->disk().list_all()) {
    if (status.kind != file_kind::regular || status.size == 0 || path.find("/shards/") != std::string::npos)
      continue;
    if (!path.starts_with("/home") && !path.starts_with(drive_folder(0)))
      continue;
    for (uint64_t round = 0; round < rounds; ++round) {
      auto bit = random.below(status.size * 8);
      CAPTURE(seed, path, bit, status.size);
      store_under_test hurt{image, expected, seed + round};
      REQUIRE(hurt.disk().flip_bit(path, bit));
      ++flips;
      auto opened = hurt.open();
      if (!opened) {
        INFO(opened.error().message());
        REQUIRE(opened.error().code() != errc::internal);
        ++refused;
        continue;
      }
      uint64_t out = 0;
      for (const auto& drive : hurt.node().drives())
        out += drive.state == "ok" ? 0 : 1;
      REQUIRE(out <= 1);
      drives_out += out;
      harmless += out == 0 ? 1 : 0;
      auto listed = hurt.list();
      REQUIRE(listed);
      for (const auto& [name, allowed] : expected.all()) {
        CAPTURE(name);
        REQUIRE(listed->contains(name) == (allowed.front() != nullptr));
        if (!allowed.front())
          continue;
        auto text = hurt.read(name);
        INFO((text ? std::string{} : text.error().message()));
        REQUIRE(text);
        REQUIRE(*text == *allowed.front());
      }
    }
  }
  CHECK(refused > 0);
  CHECK(drives_out > 0);
  std::cout << fmt::format("figure bits of indexes, catalogs and keys flipped: {}\nfigure of these refused at opening: {}\n"
                           "figure of these that cost one drive: {}\nfigure of these without any effect: {}\n",
                           flips, refused, drives_out, harmless);
}

} // namespace datamesh::test
