// A whole pack, the smallest that there is, with every one of its bits flipped by itself.
// Its shards are so short that they lie in the drives' indexes; shards that are files of
// their own have the test of this kind in tests/simulation/bit_flip_test.cpp.
#include "base/simple_store.hpp"
#include "storage/drive_marker.hpp"
#include "storage/erasure.hpp"
#include "storage/operation_batch.hpp"
#include "storage/pack.hpp"
#include "storage/sealed_chunk.hpp"
#include "storage/shard_reader.hpp"
#include "tests/libdatamesh/storage/pack_maker.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <iostream>

using namespace datamesh;
using namespace datamesh::storage;
using test::key_of;

namespace {

/// The shards of a pack that holds one chunk of one byte, sealed as every other.
std::vector<shard_write> smallest_pack(test::seeded_random& random) {
  crypto::aead cipher;
  auto keys = *crypto::make_keyring(random);
  const auto& space = keys.spaces.front();
  std::array plain{std::byte{'x'}};
  std::vector<std::byte> buffer(pack_buffer_size);
  pack_builder builder{buffer};
  chunk_entry entry;
  entry.id = chunk_id_of(space.id_key, plain);
  entry.sealed_length = static_cast<uint32_t>(plain.size() + seal_overhead);
  entry.plain_length = static_cast<uint32_t>(plain.size());
  entry.epoch = space.epoch;
  entry.suite = crypto::preferred_suite();
  auto room = builder.add_chunk(entry);
  chunk_facts facts{keys.vault, space.id, entry.epoch, entry.suite, entry.id, entry.method, entry.plain_length};
  REQUIRE(seal_chunk(cipher, space.epoch_keys.at(entry.epoch), facts, plain, random, room));
  auto shape = builder.finish(keys.vault, space, 1, 4, 2, cipher, random);
  REQUIRE(shape);
  std::vector<std::vector<std::byte>> bodies;
  for (size_t i = 0; i < shape->shard_count(); ++i)
    bodies.emplace_back(buffer.begin() + static_cast<ptrdiff_t>(i * shape->shard_length),
                        buffer.begin() + static_cast<ptrdiff_t>((i + 1) * shape->shard_length));
  std::vector<byte_view> data{bodies.begin(), bodies.begin() + shape->k};
  std::vector<byte_span> parity{bodies.begin() + shape->k, bodies.end()};
  erasure_code{shape->k, shape->m}.encode(data, parity);
  return test::pack_of(*shape, bodies);
}

} // namespace

TEST_CASE("every single flipped bit of every shard of the smallest pack is found", "[every_bit]") {
  test::seeded_random random{test::seed()};
  CAPTURE(test::seed());
  auto disk = std::make_shared<test::simulated_files>(std::make_shared<test::manual_clock>());
  auto stores = simple_stores(disk);
  REQUIRE(shard_index::create(*stores, "/index", drive_id::from(random.make(drive_id::size))));
  auto index = shard_index::open(stores, "/index");
  REQUIRE(index);
  auto keep = [&](const shard_write& write, bool replaces, const std::string& content) {
    shard_index::batch batch;
    batch.put({key_of(write), write.header.pack.shape, 1, true}, replaces, content);
    REQUIRE((*index)->write(std::move(batch), durability::relaxed));
  };
  auto pack = smallest_pack(random);
  REQUIRE(!pack.front().header.pack.shape.shards_are_files());
  std::vector<std::string> contents;
  for (const auto& write : pack) {
    contents.push_back(std::string{as_text(encode_shard_header(write.header, false))} + std::string{as_text(write.body)});
    keep(write, false, contents.back());
  }
  shard_reader reader{disk, "/", **index};
  auto whole = [&] {
    return std::all_of(pack.begin(), pack.end(), [&](const auto& write) { return reader.check_deep(key_of(write)).has_value(); });
  };
  REQUIRE(whole());
  uint64_t found = 0;
  for (size_t i = 0; i < pack.size(); ++i) {
    for (size_t bit = 0; bit < contents[i].size() * 8; ++bit) {
      CAPTURE(i, bit);
      auto flipped = contents[i];
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      keep(pack[i], true, flipped);
      auto outcome = reader.check_deep(key_of(pack[i]));
      REQUIRE(!outcome);
      REQUIRE(outcome.error().code() == errc::shard_damaged);
      ++found;
    }
    keep(pack[i], true, contents[i]);
  }
  REQUIRE(whole());
  std::cout << fmt::format("figure single bits of the smallest pack flipped and found: {}\n", found);
}
