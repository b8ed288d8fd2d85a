#include "storage/shard.hpp"

#include "crypto/hash.hpp"
#include "crypto/merkle.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

std::vector<std::byte> copy(byte_view data) {
  return {data.begin(), data.end()};
}

// A random pack: its shards' bodies and headers.
struct sample {
  std::vector<std::vector<std::byte>> bodies;
  std::vector<shard_header> headers;

  explicit sample(geometry shape) {
    test::seeded_random random{test::seed()};
    pack_seal seal;
    seal.shape = shape;
    for (size_t i = 0; i < shape.shard_count(); ++i) {
      bodies.push_back(random.make(shape.shard_length));
      headers.push_back({{}, static_cast<uint8_t>(i), hash_blocks(bodies.back())});
      seal.shard_roots.push_back(crypto::merkle_root(headers.back().block_hashes));
    }
    seal.id = pack_id_of(shape, seal.shard_roots);
    for (auto& header : headers)
      header.pack = seal;
  }
};

errc code_of(byte_view data) {
  auto parsed = parse_shard_header(data);
  return parsed ? errc{} : parsed.error().code();
}

// Puts a right checksum on a header that was changed.
void reseal(std::vector<std::byte>& header) {
  auto sum = crypto::blake3(byte_view{header}.first(header.size() - digest::size));
  std::ranges::copy(sum.view(), header.end() - digest::size);
}

} // namespace

TEST_CASE("the geometry of a pack follows its length", "[shard]") {
  CHECK(geometry_for(4, 2, 1) == geometry{4, 2, 64});
  CHECK(geometry_for(4, 2, 256) == geometry{4, 2, 64});
  CHECK(geometry_for(4, 2, 257) == geometry{4, 2, 128});
  CHECK(geometry_for(1, 0, 65472) == geometry{1, 0, 65472});
  CHECK(geometry_for(1, 0, 65473) == geometry{1, 0, 65536});
  CHECK(geometry_for(1, 1, 65537) == geometry{1, 1, 69632});
  CHECK(geometry_for(4, 2, pack_size_max) == geometry{4, 2, 4 << 20});
  CHECK(geometry_for(3, 2, pack_size_max) == geometry{3, 2, 5595136});
  for (unsigned k = 1; k <= shard_count_max; ++k) {
    CAPTURE(k);
    for (uint32_t length : {1u, 129u, 70000u, 8388608u, pack_size_max}) {
      auto g = geometry_for(static_cast<uint8_t>(k), static_cast<uint8_t>(shard_count_max - k), length);
      CHECK(g.data_length() >= length);
      CHECK(validate(g));
    }
  }
}

TEST_CASE("a geometry out of bounds is refused", "[shard]") {
  auto code = [](geometry g) {
    return validate(g).error().code();
  };
  CHECK(code({0, 2, 64}) == errc::policy_invalid);
  CHECK(code({128, 1, 64}) == errc::policy_invalid);
  CHECK(code({255, 255, 64}) == errc::policy_invalid);
  CHECK(code({4, 2, 0}) == errc::format_damaged);
  CHECK(code({1, 2, pack_buffer_size + 1}) == errc::format_damaged);
  CHECK(code({127, 1, 0xffffffff}) == errc::format_damaged);
}

TEST_CASE("a shard header survives the round trip", "[shard]") {
  auto shape = GENERATE(geometry{1, 0, 1}, geometry{1, 1, 64}, geometry{4, 2, 65536}, geometry{4, 2, 65537}, geometry{2, 1, 5 * 65536 - 1},
                        geometry{100, 28, 1024});
  auto as_file = GENERATE(false, true);
  CAPTURE(int{shape.k}, int{shape.m}, shape.shard_length, as_file);
  sample pack{shape};
  for (auto& header : pack.headers) {
    auto encoded = encode_shard_header(header, as_file);
    REQUIRE(encoded.size() == shard_header_length(shape, as_file));
    REQUIRE(peek_shard_header_length(encoded.view().first(16)) == encoded.size());
    CHECK((encoded.size() % direct_alignment == 0) == as_file);
    auto longer = copy(encoded);
    longer.insert(longer.end(), 100, std::byte{7});
    auto parsed = parse_shard_header(longer);
    REQUIRE(parsed);
    CHECK(parsed->pack.id == header.pack.id);
    CHECK(parsed->pack.shape == shape);
    CHECK(parsed->pack.shard_roots == header.pack.shard_roots);
    CHECK(parsed->index == header.index);
    CHECK(parsed->block_hashes == header.block_hashes);
  }
}

TEST_CASE("every flipped bit of a shard header is found", "[shard]") {
  auto as_file = GENERATE(false, true);
  sample pack{{2, 1, 70000}};
  auto encoded = copy(encode_shard_header(pack.headers[1], as_file));
  REQUIRE(code_of(encoded) == errc{});
  for (size_t bit = 0; bit < encoded.size() * 8; ++bit) {
    encoded[bit / 8] ^= std::byte{1} << (bit % 8);
    // Only the magic makes it alien; a flip of the version is damage all the same.
    auto expected = bit < 7 * 8 ? errc::format_alien : errc::format_damaged;
    if (auto code = code_of(encoded); code != expected)
      FAIL("bit " << bit << " gave " << static_cast<int>(code));
    encoded[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  CHECK(code_of(encoded) == errc{});
}

TEST_CASE("a truncated shard header is refused", "[shard]") {
  auto as_file = GENERATE(false, true);
  sample pack{{2, 1, 70000}};
  auto encoded = copy(encode_shard_header(pack.headers[2], as_file));
  for (size_t length = 0; length < encoded.size(); ++length)
    if (auto code = code_of(std::vector(encoded.begin(), encoded.begin() + static_cast<ptrdiff_t>(length))); code != errc::format_damaged)
      FAIL("length " << length << " gave " << static_cast<int>(code));
}

TEST_CASE("a shard header with a right checksum but wrong content is refused", "[shard]") {
  sample pack{{2, 1, 70000}};
  auto encoded = copy(encode_shard_header(pack.headers[1], false));
  auto change = [&](size_t at, uint8_t value) {
    encoded[at] = std::byte{value};
    reseal(encoded);
    return code_of(encoded);
  };
  REQUIRE(change(0, 'D') == errc{});
  SECTION("another magic") {
    CHECK(change(0, 'X') == errc::format_alien);
  }
  SECTION("a newer magic") {
    CHECK(change(7, 2) == errc::format_newer);
  }
  SECTION("a newer version") {
    CHECK(change(8, 2) == errc::format_newer);
    CHECK(change(9, 1) == errc::format_newer);
  }
  SECTION("version 0") {
    CHECK(change(8, 0) == errc::format_damaged);
  }
  SECTION("reserved bytes") {
    CHECK(change(10, 1) == errc::format_damaged);
    CHECK(change(10, 0) == errc{});
    CHECK(change(19, 1) == errc::format_damaged);
  }
  SECTION("k is 0 or k and m are too many") {
    CHECK(change(16, 0) == errc::format_damaged);
    CHECK(change(16, 128) == errc::format_damaged);
  }
  SECTION("another shape of as many shards") {
    encoded[16] = std::byte{1};
    CHECK(change(17, 2) == errc::format_damaged);
  }
  SECTION("another index") {
    CHECK(change(18, 0) == errc::format_damaged);
    CHECK(change(18, 3) == errc::format_damaged);
  }
  SECTION("another length of as many blocks") {
    CHECK(change(20, 0x71) == errc::format_damaged);
  }
  SECTION("an absurd length") {
    CHECK(change(23, 0xff) == errc::format_damaged);
  }
  SECTION("another pack id") {
    CHECK(change(24, std::to_integer<uint8_t>(~encoded[24])) == errc::format_damaged);
  }
  SECTION("another root of a sibling") {
    CHECK(change(56 + 64, std::to_integer<uint8_t>(~encoded[56 + 64])) == errc::format_damaged);
  }
  SECTION("another block hash") {
    CHECK(change(56 + 96, std::to_integer<uint8_t>(~encoded[56 + 96])) == errc::format_damaged);
  }
}

TEST_CASE("a header length is bounded before it is believed", "[shard]") {
  sample pack{{1, 0, 1}};
  auto encoded = copy(encode_shard_header(pack.headers[0], false));
  auto peek = [&](uint32_t length) {
    for (size_t i = 0; i < 4; ++i)
      encoded[12 + i] = static_cast<std::byte>(length >> (8 * i));
    return peek_shard_header_length(encoded);
  };
  auto exact = shard_header_length({1, 0, 1}, false);
  CHECK(peek(exact) == exact);
  CHECK_FALSE(peek(exact - 1));
  CHECK_FALSE(peek(0));
  CHECK_FALSE(peek(0xffffffff));
  CHECK_FALSE(peek(1 << 20));
  CHECK(peek_shard_header_length(byte_view{encoded}.first(15)).error().code() == errc::format_damaged);
  auto largest = shard_header_length({1, 127, pack_buffer_size}, true);
  CHECK(peek(largest) == largest);
}

TEST_CASE("a block is held to its number, length and content", "[shard]") {
  sample pack{{2, 1, 2 * block_size + 100}};
  auto& header = pack.headers[1];
  byte_view body = pack.bodies[1];
  CHECK(check_block(header, 0, body.first(block_size)));
  CHECK(check_block(header, 1, body.subspan(block_size, block_size)));
  CHECK(check_block(header, 2, body.subspan(2 * block_size)));
  auto code = [&](uint32_t number, byte_view block) {
    return check_block(header, number, block).error().code();
  };
  CHECK(code(1, body.first(block_size)) == errc::shard_damaged);
  CHECK(code(0, body.first(block_size - 1)) == errc::shard_damaged);
  CHECK(code(2, body.last(101)) == errc::shard_damaged);
  CHECK(code(0, {}) == errc::shard_damaged);
  CHECK(code(3, body.first(100)) == errc::invalid_argument);
  auto flipped = copy(body.first(block_size));
  flipped[777] ^= std::byte{16};
  CHECK(code(0, flipped) == errc::shard_damaged);
}

TEST_CASE("a pack id depends on shape and roots", "[shard]") {
  sample pack{{2, 1, 100}};
  auto roots = pack.headers[0].pack.shard_roots;
  auto id = pack_id_of({2, 1, 100}, roots);
  CHECK(pack_id_of({1, 2, 100}, roots) != id);
  CHECK(pack_id_of({2, 1, 101}, roots) != id);
  std::swap(roots[0], roots[1]);
  CHECK(pack_id_of({2, 1, 100}, roots) != id);
}

TEST_CASE("block hashes are Merkle leaves of 64 KiB", "[shard]") {
  test::seeded_random random{test::seed()};
  auto body = random.make(block_size + 5);
  auto hashes = hash_blocks(body);
  REQUIRE(hashes.size() == 2);
  std::vector<std::byte> tagged(body.begin() + block_size, body.end());
  tagged.push_back(std::byte{0});
  CHECK(hashes[1] == crypto::blake3(tagged));
  CHECK(hash_blocks({}).empty());
}

TEST_CASE("the shard header of the format's page is read and written", "[shard]") {
  // Shard 2, the parity, of the pack of docs/formats/pack.md at 2+1.
  constexpr std::string_view example = "444d53484152440101000000d8000000020102000001000016e73ca3521793f94e9da36da225d3566e2c25e64e40f4d6"
                                       "88176a551e7a625c7d06c6b86dec494bcc495c7689c2a34a4ec4be36ea1a4aef4bf77fc3ee3608d4a96118a718653bf4"
                                       "7ecff5de850ff9288093d07be6bec8fb81719f97928d3167eafbefcd5b8f6b8d860505545415a2eceac88bb5a36b946d"
                                       "ba3a72413e9beee0eafbefcd5b8f6b8d860505545415a2eceac88bb5a36b946dba3a72413e9beee0dd674438fcb3adcb"
                                       "1568b231453683d6e7392d2a0d1f5fe30abbfdaf2735f2fd";
  std::vector<std::byte> encoded;
  for (size_t i = 0; i < example.size(); i += 2)
    encoded.push_back(static_cast<std::byte>(std::stoi(std::string{example.substr(i, 2)}, nullptr, 16)));
  auto header = parse_shard_header(encoded);
  REQUIRE(header);
  CHECK(header->pack.id.hex() == "16e73ca3521793f94e9da36da225d3566e2c25e64e40f4d688176a551e7a625c");
  CHECK(header->pack.shape == geometry{2, 1, 256});
  CHECK(header->index == 2);
  CHECK(std::ranges::equal(encode_shard_header(*header, false).view(), encoded));
}
