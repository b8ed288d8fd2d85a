// The engines in a row, as a put and a get use them: cut, compress, seal, pack, code; lose
// shards, rebuild, open, expand, put together again.
#include "storage/chunker.hpp"
#include "storage/compressor.hpp"
#include "storage/erasure.hpp"
#include "storage/pack.hpp"
#include "storage/sealed_chunk.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

struct round_trip {
  test::seeded_random random{test::seed()};
  crypto::aead cipher;
  compressor press;
  crypto::keyring keys = *crypto::make_keyring(random);
  std::vector<std::byte> buffer = std::vector<std::byte>(pack_buffer_size);

  const crypto::space_keys& space() const {
    return keys.spaces.front();
  }
  const crypto::key256& key(const chunk_entry& entry) const {
    return space().epoch_keys.at(entry.epoch);
  }
  chunk_facts facts_of(const chunk_entry& entry) const {
    return {keys.vault, space().id, entry.epoch, entry.suite, entry.id, entry.method, entry.plain_length};
  }

  void add(pack_builder& builder, byte_view plain) {
    std::vector<std::byte> scratch(plain.size());
    auto packed = press.compress(plain, scratch);
    auto payload = packed ? byte_view{scratch}.first(*packed) : plain;
    chunk_entry entry;
    entry.id = chunk_id_of(space().id_key, plain);
    entry.sealed_length = static_cast<uint32_t>(payload.size() + seal_overhead);
    entry.plain_length = static_cast<uint32_t>(plain.size());
    entry.epoch = space().epoch;
    entry.method = packed ? codec::zstd : codec::none;
    entry.suite = crypto::preferred_suite();
    auto room = builder.add_chunk(entry);
    REQUIRE(seal_chunk(cipher, key(entry), facts_of(entry), payload, random, room));
  }

  std::vector<std::byte> read(byte_view pack) {
    auto header = parse_pack_header(pack, pack.size());
    REQUIRE(header);
    auto table = open_pack_table(*header, pack.subspan(header->table_offset, header->table_sealed_length), keys, cipher);
    REQUIRE(table);
    std::vector<std::byte> all;
    for (const auto& entry : table->chunks) {
      std::vector<std::byte> payload(entry.sealed_length - seal_overhead);
      std::vector<std::byte> plain(entry.plain_length);
      REQUIRE(open_chunk(cipher, key(entry), facts_of(entry), pack.subspan(entry.offset, entry.sealed_length), payload));
      REQUIRE(press.decompress(entry.method, payload, plain));
      CHECK(chunk_id_of(space().id_key, plain) == entry.id);
      all.insert(all.end(), plain.begin(), plain.end());
    }
    return all;
  }
};

/// Half random, half text.
std::vector<std::byte> some_content(test::seeded_random& random) {
  auto content = random.make(1'500'000);
  for (size_t line = 0; content.size() < 3'000'000; ++line)
    for (char c : "line " + std::to_string(line) + " of a text\n")
      content.push_back(static_cast<std::byte>(c));
  return content;
}

} // namespace

TEST_CASE("what is cut, compressed, sealed, packed and coded comes back from any k shards", "[round_trip]") {
  round_trip trip;
  INFO("DATAMESH_SEED=" << test::seed());
  auto content = some_content(trip.random);
  chunker cutter{trip.space().chunker_key};
  pack_builder builder{trip.buffer};
  size_t begin = 0;
  for (auto length : cutter.cut(content, true)) {
    trip.add(builder, byte_view{content}.subspan(begin, length));
    begin += length;
  }
  REQUIRE(begin == content.size());
  auto shape = builder.finish(trip.keys.vault, trip.space(), 1'767'225'600'000'000'000, 4, 2, trip.cipher, trip.random);
  REQUIRE(shape);
  CHECK(shape->data_length() < content.size());

  std::vector<std::vector<std::byte>> shards(shape->shard_count(), std::vector<std::byte>(shape->shard_length));
  for (size_t i = 0; i < shape->k; ++i)
    std::copy_n(trip.buffer.begin() + static_cast<ptrdiff_t>(i * shape->shard_length), shape->shard_length, shards[i].begin());
  erasure_code code{shape->k, shape->m};
  code.encode(std::vector<byte_view>{shards[0], shards[1], shards[2], shards[3]}, std::vector<byte_span>{shards[4], shards[5]});

  for (uint8_t first = 0; first < 6; ++first)
    for (uint8_t second = first + 1; second < 6; ++second) {
      INFO("lost " << int{first} << " and " << int{second});
      auto left = shards;
      std::vector<uint8_t> present_index;
      std::vector<byte_view> present;
      for (uint8_t i = 0; i < 6; ++i)
        if (i != first && i != second) {
          present_index.push_back(i);
          present.emplace_back(left[i]);
        }
      left[first].assign(shape->shard_length, std::byte{});
      left[second].assign(shape->shard_length, std::byte{});
      REQUIRE(
          code.reconstruct(present_index, present, std::vector<uint8_t>{first, second}, std::vector<byte_span>{left[first], left[second]}));
      std::vector<std::byte> pack;
      for (size_t i = 0; i < shape->k; ++i)
        pack.insert(pack.end(), left[i].begin(), left[i].end());
      CHECK((trip.read(pack) == content));
    }
}
