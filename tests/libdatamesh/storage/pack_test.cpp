#include "storage/pack.hpp"

#include "crypto/hash.hpp"
#include "datamesh/v1/pack.pb.h"
#include "storage/envelope.hpp"
#include "storage/operation_batch.hpp"
#include "storage/sealed_chunk.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

constexpr int64_t now_ns = 1'767'225'600'123'456'789;

struct fixture {
  test::seeded_random random{test::seed()};
  crypto::aead cipher;
  crypto::keyring keys = *crypto::make_keyring(random);
  std::vector<std::byte> buffer = std::vector<std::byte>(1 << 20, std::byte{0xcc});
  std::vector<std::vector<std::byte>> plains;

  crypto::space_keys& space() {
    return keys.spaces.front();
  }
  chunk_facts facts_of(const chunk_entry& entry) {
    return {keys.vault, space().id, entry.epoch, entry.suite, entry.id, entry.method, entry.plain_length};
  }
  void add_chunk(pack_builder& builder, size_t size) {
    auto& plain = plains.emplace_back(random.make(size));
    chunk_entry entry;
    entry.id = chunk_id_of(space().id_key, plain);
    entry.sealed_length = static_cast<uint32_t>(size + seal_overhead);
    entry.plain_length = static_cast<uint32_t>(size);
    entry.epoch = space().epoch;
    entry.suite = crypto::preferred_suite();
    REQUIRE(builder.fits(entry.sealed_length));
    auto room = builder.add_chunk(entry);
    REQUIRE(room.size() == entry.sealed_length);
    REQUIRE(seal_chunk(cipher, space().epoch_keys.at(entry.epoch), facts_of(entry), plain, random, room));
  }
  void add_operations(pack_builder& builder, uint64_t first, const std::vector<std::string>& operations) {
    auto sealed = seal_operations(keys.vault, space(), *random_id<device_id>(random), first, operations, cipher, random);
    REQUIRE(sealed);
    REQUIRE(builder.add_operations(sealed->first, sealed->second));
  }
  geometry finish(pack_builder& builder, uint8_t k = 4, uint8_t m = 2) {
    auto shape = builder.finish(keys.vault, space(), now_ns, k, m, cipher, random);
    REQUIRE(shape);
    return *shape;
  }
  byte_view table_of(const pack_header& header, byte_view pack) {
    return pack.subspan(header.table_offset, header.table_sealed_length);
  }
  // Reads a pack as a reader does who knows the keys alone.
  result<pack_table> read(byte_view pack) {
    auto header = parse_pack_header(pack.first(pack_header_size), pack.size());
    if (!header)
      return fail(header.error());
    return open_pack_table(*header, table_of(*header, pack), keys, cipher);
  }
  errc code(byte_view pack) {
    auto table = read(pack);
    return table ? errc{} : table.error().code();
  }
  bool chunk_opens(byte_view pack, const chunk_entry& entry, const std::vector<std::byte>& plain) {
    std::vector<std::byte> out(entry.plain_length);
    auto outcome =
        open_chunk(cipher, space().epoch_keys.at(entry.epoch), facts_of(entry), pack.subspan(entry.offset, entry.sealed_length), out);
    return outcome && out == plain && chunk_id_of(space().id_key, out) == entry.id;
  }

  // A pack with that table, right or wrong, sealed as a table is. The header's
  // facts may be changed before.
  template <class Change>
  std::vector<std::byte> forge(const v1::PackTable& content, Change change) {
    auto plain = content.SerializeAsString();
    auto length = static_cast<uint32_t>(plain.size());
    pack_header header{keys.vault, space().id, space().epoch, crypto::aead_suite::aes_256_gcm, 0, 1000, length + uint32_t{seal_overhead},
                       length,     now_ns};
    header.used_length = header.table_offset + header.table_sealed_length;
    change(header);
    std::vector<std::byte> pack(size_t{header.table_offset} + header.table_sealed_length);
    std::ranges::copy(encode(header), pack.begin());
    std::vector<std::byte> aad;
    for (auto part : {as_view("dm/toc/1"), byte_view{pack}.first(pack_header_size)})
      aad.insert(aad.end(), part.begin(), part.end());
    std::vector<std::byte> info;
    for (auto part : {as_view("dm/toc/1"), header.space.view()})
      info.insert(info.end(), part.begin(), part.end());
    REQUIRE(seal_envelope(cipher, header.suite, space().epoch_keys.at(space().epoch), info, aad, as_view(plain), random,
                          byte_span{pack}.subspan(header.table_offset, length + seal_overhead)));
    return pack;
  }
  std::vector<std::byte> forge(const v1::PackTable& content) {
    return forge(content, [](auto&) {});
  }

  static std::vector<std::byte> encode(const pack_header& h) {
    std::vector<std::byte> out;
    auto number = [&](uint64_t value, size_t size) {
      for (size_t i = 0; i < size; ++i)
        out.push_back(static_cast<std::byte>(value >> (8 * i)));
    };
    auto append = [&](byte_view part) {
      out.insert(out.end(), part.begin(), part.end());
    };
    append(as_view(std::string_view{"DMPACK\0\1", 8}));
    number(1, 2);
    number(static_cast<uint64_t>(h.suite), 1);
    number(0, 1);
    number(h.epoch, 4);
    number(h.used_length, 4);
    number(h.table_offset, 4);
    number(h.table_sealed_length, 4);
    number(h.table_plain_length, 4);
    number(static_cast<uint64_t>(h.created_ns), 8);
    append(h.space.view());
    append(h.vault.view());
    out.resize(120);
    auto sum = crypto::blake3(out);
    append(sum.view().first(8));
    return out;
  }
};

void reseal_header(std::vector<std::byte>& pack) {
  auto sum = crypto::blake3(byte_view{pack}.first(120));
  std::copy_n(sum.view().begin(), 8, pack.begin() + 120);
}

// One chunk of 100 bytes behind the header and one batch of 85 behind it.
v1::PackTable small_table() {
  v1::PackTable table;
  table.set_chunk_ids(std::string(32, 'i'));
  table.add_chunk_offset(128);
  table.add_chunk_sealed_length(180);
  table.add_chunk_plain_length(100);
  table.add_chunk_epoch(1);
  table.add_chunk_codec(0);
  table.add_chunk_suite(1);
  auto& batch = *table.add_operations();
  batch.set_offset(308);
  batch.set_sealed_length(85);
  batch.set_epoch(1);
  batch.set_suite(1);
  batch.set_device(std::string(16, 'd'));
  batch.set_first_sequence(1);
  batch.set_last_sequence(1);
  return table;
}

} // namespace

TEST_CASE("a pack tells what was put into it", "[pack]") {
  fixture f;
  pack_builder builder{f.buffer};
  CHECK(builder.empty());
  for (size_t size : {1, 1000, 70'000, 33})
    f.add_chunk(builder, size);
  f.add_operations(builder, 10, {"one", "two"});
  f.add_operations(builder, 100, {"three"});
  CHECK_FALSE(builder.empty());
  auto shape = f.finish(builder);
  auto pack = byte_view{f.buffer}.first(shape.data_length());
  CHECK(shape == geometry_for(4, 2, builder.used()));
  CHECK(std::ranges::all_of(pack.subspan(builder.used()), [](auto b) { return b == std::byte{0}; }));
  CHECK(f.buffer[shape.data_length()] == std::byte{0xcc});
  auto header = parse_pack_header(pack, pack.size());
  REQUIRE(header);
  CHECK(header->vault == f.keys.vault);
  CHECK(header->space == f.space().id);
  CHECK(header->epoch == f.space().epoch);
  CHECK(header->used_length == builder.used());
  CHECK(header->created_ns == now_ns);
  auto table = f.read(pack);
  REQUIRE(table);
  CHECK(table->space == f.space().id);
  CHECK(table->epoch == f.space().epoch);
  CHECK(table->created_ns == now_ns);
  REQUIRE(table->chunks.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(table->chunks[i].id == builder.table().chunks[i].id);
    CHECK(f.chunk_opens(pack, table->chunks[i], f.plains[i]));
  }
  REQUIRE(table->operations.size() == 2);
  auto& batch = table->operations[0];
  CHECK(batch.first_sequence == 10);
  CHECK(batch.last_sequence == 11);
  CHECK(open_operations(f.keys.vault, f.space().id, batch, pack.subspan(batch.offset, batch.sealed_length), f.keys, f.cipher)
        == std::vector<std::string>{"one", "two"});
}

TEST_CASE("the header is what its layout says", "[pack]") {
  fixture f;
  pack_builder builder{f.buffer};
  f.add_chunk(builder, 10);
  f.finish(builder);
  auto header = parse_pack_header(f.buffer, f.buffer.size());
  REQUIRE(header);
  CHECK(std::ranges::equal(fixture::encode(*header), byte_view{f.buffer}.first(pack_header_size)));
}

TEST_CASE("a pack may hold operations alone, and chunks alone", "[pack]") {
  fixture f;
  pack_builder builder{f.buffer};
  auto with_chunk = GENERATE(false, true);
  if (with_chunk)
    f.add_chunk(builder, 500);
  else
    f.add_operations(builder, 1, {"rm"});
  auto shape = f.finish(builder, 1, 0);
  auto table = f.read(byte_view{f.buffer}.first(shape.data_length()));
  REQUIRE(table);
  CHECK(table->chunks.size() == (with_chunk ? 1 : 0));
  CHECK(table->operations.size() == (with_chunk ? 0 : 1));
}

TEST_CASE("a sealed chunk is copied verbatim into another pack", "[pack]") {
  fixture f;
  pack_builder first{f.buffer};
  f.add_chunk(first, 3000);
  f.add_chunk(first, 4000);
  f.finish(first);
  REQUIRE(crypto::rotate(f.space(), f.random));
  auto entry = first.table().chunks[1];
  auto sealed = byte_view{f.buffer}.subspan(entry.offset, entry.sealed_length);
  std::vector<std::byte> other(200'000);
  pack_builder second{other};
  f.add_chunk(second, 777);
  auto copied = entry;
  std::ranges::copy(sealed, second.add_chunk(copied).begin());
  CHECK(copied.offset != entry.offset);
  auto shape = f.finish(second, 2, 1);
  auto pack = byte_view{other}.first(shape.data_length());
  auto table = f.read(pack);
  REQUIRE(table);
  REQUIRE(table->chunks.size() == 2);
  CHECK(table->epoch == 2);
  CHECK(table->chunks[1].epoch == 1);
  CHECK(f.chunk_opens(pack, table->chunks[1], f.plains[1]));
}

TEST_CASE("every changed bit of header and table is found", "[pack]") {
  fixture f;
  pack_builder builder{f.buffer};
  f.add_chunk(builder, 64);
  f.add_operations(builder, 1, {"x"});
  auto shape = f.finish(builder);
  auto pack = byte_span{f.buffer}.first(shape.data_length());
  auto header = *parse_pack_header(pack, pack.size());
  REQUIRE(f.code(pack) == errc{});
  auto check = [&](size_t first, size_t size, bool checksum_too) {
    for (size_t bit = first * 8; bit < (first + size) * 8; ++bit) {
      auto flipped = std::vector(pack.begin(), pack.end());
      flipped[bit / 8] ^= std::byte{1} << (bit % 8);
      if (checksum_too)
        reseal_header(flipped);
      if (f.code(flipped) == errc{})
        FAIL("bit " << bit);
    }
  };
  check(0, pack_header_size, false);
  // A forger can make the checksum right, but not the seal.
  check(0, pack_header_size - 8, true);
  check(header.table_offset, header.table_sealed_length, false);
}

TEST_CASE("a truncated pack is refused", "[pack]") {
  fixture f;
  pack_builder builder{f.buffer};
  f.add_chunk(builder, 64);
  f.finish(builder, 1, 0);
  auto used = builder.used();
  auto whole = byte_view{f.buffer}.first(used);
  CHECK(f.code(whole) == errc{});
  for (size_t size = 0; size < used; ++size) {
    auto header = parse_pack_header(whole.first(std::min(size, pack_header_size)), size);
    REQUIRE_FALSE(header);
    REQUIRE(header.error().code() == errc::format_damaged);
  }
  auto header = *parse_pack_header(whole, used);
  auto table = f.table_of(header, whole);
  for (size_t size = 0; size < table.size(); ++size)
    REQUIRE(open_pack_table(header, table.first(size), f.keys, f.cipher).error().code() == errc::format_damaged);
}

TEST_CASE("a header's lengths are checked before they are believed", "[pack]") {
  fixture f;
  auto code = [&](auto change, uint64_t pack_length = 1 << 20) {
    pack_header header{f.keys.vault, f.space().id, 1, crypto::aead_suite::aes_256_gcm, 1200, 1000, 200, 120, now_ns};
    change(header);
    auto parsed = parse_pack_header(fixture::encode(header), pack_length);
    return parsed ? errc{} : parsed.error().code();
  };
  CHECK(code([](auto&) {}) == errc{});
  CHECK(code([](auto&) {}, 1200) == errc{});
  CHECK(code([](auto&) {}, 1199) == errc::format_damaged);
  CHECK(code([](auto&) {}, uint64_t{pack_buffer_size} + 1) == errc::format_damaged);
  CHECK(code([](auto& h) { h.used_length = 1201; }) == errc::format_damaged);
  CHECK(code([](auto& h) { h.table_offset = 127, h.used_length = 327; }) == errc::format_damaged);
  CHECK(code([](auto& h) { h.table_offset = 128, h.used_length = 328; }) == errc{});
  CHECK(code([](auto& h) { h.table_offset = 0xffffffff; }) == errc::format_damaged);
  CHECK(code([](auto& h) { h.table_offset = 0xffffffff, h.used_length = 199; }) == errc::format_damaged);
  CHECK(code([](auto& h) { h.table_plain_length = 119; }) == errc::format_damaged);
  CHECK(code([](auto& h) { h.table_plain_length = 0xffffffff, h.table_sealed_length = 79, h.used_length = 1079; }) == errc::format_damaged);
  CHECK(code(
            [](auto& h) {
              h.table_plain_length = pack_table_max + 1;
              h.table_sealed_length = h.table_plain_length + 80;
              h.used_length = h.table_offset + h.table_sealed_length;
            },
            16 << 20)
        == errc::format_damaged);
  CHECK(code([](auto& h) { h.suite = static_cast<crypto::aead_suite>(3); }) == errc::format_damaged);
}

TEST_CASE("an alien and a newer pack are told apart from a damaged one", "[pack]") {
  fixture f;
  pack_builder builder{f.buffer};
  f.add_chunk(builder, 64);
  f.finish(builder);
  auto code = [&](size_t at, uint8_t value) {
    auto changed = f.buffer;
    changed[at] = std::byte{value};
    reseal_header(changed);
    return parse_pack_header(changed, changed.size()).error().code();
  };
  CHECK(code(0, 'X') == errc::format_alien);
  CHECK(code(7, 2) == errc::format_newer);
  CHECK(code(8, 3) == errc::format_newer);
  CHECK(code(8, 0) == errc::format_damaged);
  CHECK(code(11, 1) == errc::format_damaged);
  CHECK(code(100, 1) == errc::format_damaged);
  f.buffer[8] ^= std::byte{2};
  CHECK(parse_pack_header(f.buffer, f.buffer.size()).error().code() == errc::format_damaged);
}

TEST_CASE("a table opens with its own keys alone", "[pack]") {
  fixture f;
  pack_builder builder{f.buffer};
  f.add_chunk(builder, 64);
  f.finish(builder);
  auto header = *parse_pack_header(f.buffer, f.buffer.size());
  auto open = [&](const crypto::keyring& keys) {
    auto table = open_pack_table(header, f.table_of(header, f.buffer), keys, f.cipher);
    return table ? errc{} : table.error().code();
  };
  CHECK(open(f.keys) == errc{});
  CHECK(open(*crypto::make_keyring(f.random)) == errc::unknown_epoch);
  auto keys = f.keys;
  keys.spaces.front().epoch_keys[1] = *crypto::key256::random(f.random);
  CHECK(open(keys) == errc::authentication_failed);
  keys.spaces.front().epoch_keys.clear();
  CHECK(open(keys) == errc::unknown_epoch);
}

TEST_CASE("the entries of a sealed table are checked all the same", "[pack]") {
  fixture f;
  auto code = [&](auto change) {
    auto table = small_table();
    change(table);
    return f.code(f.forge(table));
  };
  CHECK(code([](auto&) {}) == errc{});
  CHECK(code([](auto& t) { t.Clear(); }) == errc{});
  SECTION("columns of different lengths") {
    CHECK(code([](auto& t) { t.mutable_chunk_ids()->append("x"); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.mutable_chunk_ids()->append(std::string(32, 'j')); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.add_chunk_offset(500); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.add_chunk_suite(1); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.clear_chunk_epoch(); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.clear_chunk_ids(); }) == errc::format_damaged);
  }
  SECTION("places outside of header and table") {
    CHECK(code([](auto& t) { t.set_chunk_offset(0, 127); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.set_chunk_offset(0, 0); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.set_chunk_offset(0, 820); }) == errc{});
    CHECK(code([](auto& t) { t.set_chunk_offset(0, 821); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.set_chunk_offset(0, 0xffffffff); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.mutable_operations(0)->set_offset(915); }) == errc{});
    CHECK(code([](auto& t) { t.mutable_operations(0)->set_offset(916); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.mutable_operations(0)->set_sealed_length(0xffffffff); }) == errc::format_damaged);
  }
  SECTION("places that overlap") {
    CHECK(code([](auto& t) { t.mutable_operations(0)->set_offset(307); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.mutable_operations(0)->set_offset(128); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.set_chunk_offset(0, 392); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.set_chunk_offset(0, 393); }) == errc{});
  }
  SECTION("lengths that can not be") {
    auto lengths = [&](uint32_t sealed, uint32_t plain, uint32_t method) {
      return code([&](auto& t) {
        t.set_chunk_sealed_length(0, sealed);
        t.set_chunk_plain_length(0, plain);
        t.set_chunk_codec(0, method);
      });
    };
    CHECK(lengths(180, 100, 1) == errc::format_damaged);
    CHECK(lengths(179, 100, 1) == errc{});
    CHECK(lengths(179, 100, 0) == errc::format_damaged);
    CHECK(lengths(81, chunk_plain_max, 1) == errc{});
    CHECK(lengths(81, chunk_plain_max + 1, 1) == errc::format_damaged);
    CHECK(lengths(80, 100, 1) == errc::format_damaged);
    CHECK(lengths(80, 0, 0) == errc::format_damaged);
    CHECK(lengths(79, 0xffffffff, 0) == errc::format_damaged);
    CHECK(lengths(179, 100, 2) == errc::format_damaged);
    CHECK(lengths(179, 100, 257) == errc::format_damaged);
  }
  SECTION("suites that are not") {
    CHECK(code([](auto& t) { t.set_chunk_suite(0, 0); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.set_chunk_suite(0, 2); }) == errc{});
    CHECK(code([](auto& t) { t.set_chunk_suite(0, 3); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.set_chunk_suite(0, 257); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.mutable_operations(0)->set_suite(0); }) == errc::format_damaged);
  }
  SECTION("operations that can not be") {
    CHECK(code([](auto& t) { t.mutable_operations(0)->set_device("short"); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.mutable_operations(0)->set_first_sequence(2); }) == errc::format_damaged);
    CHECK(code([](auto& t) { t.mutable_operations(0)->set_sealed_length(83); }) == errc::format_damaged);
  }
  SECTION("too many of them") {
    auto chunks = [&](size_t count) {
      v1::PackTable table;
      table.set_chunk_ids(std::string(32 * count, 'i'));
      for (uint32_t i = 0; i < count; ++i) {
        table.add_chunk_offset(128 + 81 * i);
        table.add_chunk_sealed_length(81);
        table.add_chunk_plain_length(1);
        table.add_chunk_epoch(1);
        table.add_chunk_codec(0);
        table.add_chunk_suite(1);
      }
      return f.code(f.forge(table, [](auto& h) {
        h.table_offset = 4 << 20;
        h.used_length = h.table_offset + h.table_sealed_length;
      }));
    };
    CHECK(chunks(pack_chunks_max) == errc{});
    CHECK(chunks(pack_chunks_max + 1) == errc::format_damaged);
    auto batches = [&](size_t count) {
      v1::PackTable table;
      for (uint32_t i = 0; i < count; ++i) {
        auto& batch = *table.add_operations();
        batch = small_table().operations(0);
        batch.set_offset(128 + 85 * i);
      }
      return f.code(f.forge(table, [](auto& h) {
        h.table_offset = 4 << 20;
        h.used_length = h.table_offset + h.table_sealed_length;
      }));
    };
    CHECK(batches(pack_operations_max) == errc{});
    CHECK(batches(pack_operations_max + 1) == errc::format_damaged);
  }
}

TEST_CASE("a sealed table that is no message is refused", "[pack]") {
  fixture f;
  CAPTURE(test::seed());
  for (int round = 0; round < 200; ++round) {
    auto pack = f.forge(small_table());
    auto header = *parse_pack_header(pack, pack.size());
    // The same forgery with random bytes for a table, sealed rightly.
    auto noise = f.random.make(1 + f.random.below(100));
    std::vector<std::byte> forged(1000 + noise.size() + seal_overhead);
    header.table_plain_length = static_cast<uint32_t>(noise.size());
    header.table_sealed_length = header.table_plain_length + uint32_t{seal_overhead};
    header.used_length = 1000 + header.table_sealed_length;
    std::ranges::copy(fixture::encode(header), forged.begin());
    std::vector<std::byte> aad;
    for (auto part : {as_view("dm/toc/1"), byte_view{forged}.first(pack_header_size)})
      aad.insert(aad.end(), part.begin(), part.end());
    std::vector<std::byte> info;
    for (auto part : {as_view("dm/toc/1"), header.space.view()})
      info.insert(info.end(), part.begin(), part.end());
    REQUIRE(seal_envelope(f.cipher, header.suite, f.space().epoch_keys.at(1), info, aad, noise, f.random, byte_span{forged}.subspan(1000)));
    auto table = f.read(forged);
    // Unknown fields are let pass; what is told of chunks must be whole.
    if (table)
      REQUIRE((table->chunks.empty() && table->operations.empty()));
    else
      REQUIRE(table.error().code() == errc::format_damaged);
  }
}

TEST_CASE("a pack never outgrows its buffer", "[pack]") {
  fixture f;
  CAPTURE(test::seed());
  for (int round = 0; round < 60; ++round) {
    std::vector<std::byte> room(20'000 + f.random.below(300'000), std::byte{0xcc});
    auto limit = round % 2 == 0 ? pack_size_max : static_cast<uint32_t>(10'000 + f.random.below(50'000));
    pack_builder builder{room, limit};
    uint32_t pending = round % 3 == 0 ? 2000 : 0;
    auto chunk_max = round % 4 == 0 ? 30 : 5000;
    for (;;) {
      chunk_entry entry;
      entry.plain_length = static_cast<uint32_t>(1 + f.random.below(static_cast<uint64_t>(chunk_max)));
      entry.sealed_length = entry.plain_length + uint32_t{seal_overhead};
      entry.epoch = 0xffffffff;
      if (!builder.fits(entry.sealed_length, pending))
        break;
      (void) builder.add_chunk(entry);
    }
    REQUIRE_FALSE(builder.empty());
    if (pending > 0)
      for (int i = 0; i < 4; ++i)
        f.add_operations(builder, uint64_t{1} << 63, {std::string(400, 'o')});
    auto k = static_cast<uint8_t>(1 + f.random.below(128));
    auto shape = f.finish(builder, k, 0);
    REQUIRE(shape.data_length() <= room.size());
    REQUIRE(builder.used() <= std::max(limit, uint32_t{10'000}));
    REQUIRE(f.code(byte_view{room}.first(shape.data_length())) == errc{});
  }
}

TEST_CASE("a full buffer takes packs of the whole size for every k", "[pack]") {
  fixture f;
  std::vector<std::byte> room(pack_buffer_size);
  for (unsigned k : {1u, 3u, 10u, 127u, 128u}) {
    CAPTURE(k);
    pack_builder builder{room};
    for (auto size = chunk_plain_max; size > 0; size /= 2) {
      chunk_entry entry;
      entry.plain_length = size;
      entry.sealed_length = size + uint32_t{seal_overhead};
      while (builder.fits(entry.sealed_length))
        (void) builder.add_chunk(entry);
    }
    CHECK(builder.used() > pack_size_max - 5'000);
    auto shape = f.finish(builder, static_cast<uint8_t>(k), 0);
    CHECK(builder.used() <= pack_size_max);
    CHECK(shape.data_length() <= room.size());
    CHECK(validate(shape));
    CHECK(f.code(byte_view{room}.first(shape.data_length())) == errc{});
  }
}

TEST_CASE("the first chunk fits whatever the soft limit says", "[pack]") {
  std::vector<std::byte> room(5 << 20);
  pack_builder builder{room, 64 << 10};
  chunk_entry entry;
  entry.plain_length = chunk_plain_max;
  entry.sealed_length = chunk_plain_max + uint32_t{seal_overhead};
  REQUIRE(builder.fits(entry.sealed_length));
  (void) builder.add_chunk(entry);
  CHECK_FALSE(builder.fits(81));
}

TEST_CASE("the number of chunks in a pack is bounded", "[pack]") {
  std::vector<std::byte> room(pack_buffer_size);
  pack_builder builder{room};
  chunk_entry entry;
  entry.plain_length = 1;
  entry.sealed_length = 81;
  size_t count = 0;
  for (; builder.fits(entry.sealed_length); ++count)
    (void) builder.add_chunk(entry);
  CHECK(count == pack_chunks_max);
}

TEST_CASE("operations that the buffer can not hold are refused", "[pack]") {
  fixture f;
  f.buffer.resize(40'000);
  pack_builder builder{f.buffer};
  auto sealed = *seal_operations(f.keys.vault, f.space(), *random_id<device_id>(f.random), 1, std::vector{std::string(20'000, 'x')},
                                 f.cipher, f.random);
  CHECK(builder.add_operations(sealed.first, sealed.second));
  auto again = builder.add_operations(sealed.first, sealed.second);
  REQUIRE_FALSE(again);
  CHECK(again.error().code() == errc::capacity_exceeded);
  auto wrong = sealed.first;
  --wrong.sealed_length;
  CHECK(builder.add_operations(wrong, sealed.second).error().code() == errc::invalid_argument);
  CHECK(builder.table().operations.size() == 1);
}

TEST_CASE("a pack that can not be finished says why", "[pack]") {
  fixture f;
  pack_builder builder{f.buffer};
  auto code = [&](uint8_t k, uint8_t m) {
    auto shape = builder.finish(f.keys.vault, f.space(), now_ns, k, m, f.cipher, f.random);
    return shape ? errc{} : shape.error().code();
  };
  CHECK(code(4, 2) == errc::invalid_argument);
  f.add_chunk(builder, 10);
  CHECK(code(0, 2) == errc::policy_invalid);
  CHECK(code(127, 2) == errc::policy_invalid);
  auto key = f.space().epoch_keys.at(1);
  f.space().epoch_keys.clear();
  CHECK(code(4, 2) == errc::unknown_epoch);
  f.space().epoch_keys[1] = key;
  CHECK(code(4, 2) == errc{});
}

namespace {

// The worked example of docs/formats/pack.md, as the first version wrote it.
constexpr std::string_view example_pack = "444d5041434b00010100010001000000e601000040010000a6000000560000000000faed517286182222222222222222"
                                          "222222222222222211111111111111111111111111111111111111111111111111111111111111110000000000000000"
                                          "00000000000000000000000000000000000000000000000079c6954f2ba4bd90000102030405060708090a0b0c0d0e0f"
                                          "101112131415161718191a1b1c1d1e1fca8eb9cde9529edd51b53eb1fd56a44bd23a981b2356cad23aabd7d53470f386"
                                          "6775280b9828b7330f3592de48c6dfc50cf414a43f6f6a2e6760044bd6202122232425262728292a2b2c2d2e2f303132"
                                          "333435363738393a3b3c3d3e3f1bfac833230bdb6f15485f8f8c64a1fcb0a57efff87442668b4d493047da37c63b1f4c"
                                          "ae7d09b3e416d259ad501b0cb84b68a0d09e968dd62c2a3b56aca727159ec14d404142434445464748494a4b4c4d4e4f"
                                          "505152535455565758595a5b5c5d5e5f5c0b3a1ac5beef75af34d046ceed6ea14507a5d8a6ea18ecc14e32a50586de3f"
                                          "c8f7d6c7a0f0e5c32b972055a64bc6963d55ca8d51f9de04eb48645fecf9d9c76e568187067640125673fc85372db4a4"
                                          "362057a8c2eb04db4e5b6c78d24cffaf2f7f0f555f0e230cf0584e53e03042fc08e359426840f79ac7476b6641726bf3"
                                          "44607ac13280";

template <class Id>
Id filled(uint8_t value) {
  Id result;
  std::ranges::fill(result.span(), std::byte{value});
  return result;
}

} // namespace

TEST_CASE("the pack of the format's page still opens", "[pack]") {
  fixture f;
  f.keys.vault = filled<vault_id>(0x11);
  f.space().id = filled<space_id>(0x22);
  f.space().epoch_keys[1] = filled<crypto::key256>(0x33);
  f.space().id_key = filled<crypto::key256>(0x44);
  std::vector<std::byte> pack;
  for (size_t i = 0; i < example_pack.size(); i += 2)
    pack.push_back(static_cast<std::byte>(std::stoi(std::string{example_pack.substr(i, 2)}, nullptr, 16)));
  auto table = f.read(pack);
  REQUIRE(table);
  CHECK(table->created_ns == 1'767'225'600'000'000'000);
  REQUIRE(table->chunks.size() == 1);
  CHECK(table->chunks[0].id.hex() == "ffe2fc5013fdd1b318375d073e89f49168f1a8f7a6b9545e339bddf86f2bcd9e");
  auto plain = as_view("Hello, mesh!\n");
  CHECK(f.chunk_opens(pack, table->chunks[0], {plain.begin(), plain.end()}));
  REQUIRE(table->operations.size() == 1);
  auto& batch = table->operations[0];
  CHECK(batch.device == filled<device_id>(0x55));
  CHECK(batch.first_sequence == 7);
  CHECK(open_operations(f.keys.vault, f.space().id, batch, byte_view{pack}.subspan(batch.offset, batch.sealed_length), f.keys, f.cipher)
        == std::vector<std::string>{"first", "second"});
}
