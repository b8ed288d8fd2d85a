#include "storage/compressor.hpp"

#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>
#include <zstd.h>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

using buffer = std::vector<std::byte>;

// Words drawn from a small dictionary: shrinks by more than half.
buffer make_text(test::seeded_random& random, size_t size) {
  static constexpr std::string_view words[] = {"pack ", "shard ", "chunk ", "drive\n", "of ", "a ", "the ", "mesh ", "42 "};
  std::string text;
  while (text.size() < size)
    text += words[random.below(std::size(words))];
  auto view = as_view(text).first(size);
  return {view.begin(), view.end()};
}

std::optional<buffer> compress(compressor& engine, const buffer& plain) {
  buffer scratch(plain.size());
  auto size = engine.compress(plain, scratch);
  if (!size)
    return std::nullopt;
  scratch.resize(*size);
  return scratch;
}

// Expands into exactly *size* bytes between two guards.
errc expand(compressor& engine, byte_view packed, size_t size, buffer* out = nullptr, codec method = codec::zstd) {
  constexpr auto guard = std::byte{0xa5};
  buffer room(size + 64, guard);
  auto outcome = engine.decompress(method, packed, byte_span{room}.subspan(32, size));
  REQUIRE(std::all_of(room.begin(), room.begin() + 32, [](auto b) { return b == guard; }));
  REQUIRE(std::all_of(room.end() - 32, room.end(), [](auto b) { return b == guard; }));
  if (out != nullptr)
    out->assign(room.begin() + 32, room.end() - 32);
  return outcome ? errc{} : outcome.error().code();
}

buffer frame_of(byte_view plain, int level, int window_log, bool with_size) {
  auto context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, with_size ? 1 : 0);
  if (window_log > 0)
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  buffer out(ZSTD_compressBound(plain.size()));
  // Streaming, so that the window is not cut down to the content.
  ZSTD_inBuffer in{plain.data(), plain.size(), 0};
  ZSTD_outBuffer target{out.data(), out.size(), 0};
  if (with_size)
    ZSTD_CCtx_setPledgedSrcSize(context, plain.size());
  ZSTD_compressStream2(context, &target, &in, ZSTD_e_continue);
  REQUIRE(ZSTD_compressStream2(context, &target, &in, ZSTD_e_end) == 0);
  ZSTD_freeCCtx(context);
  out.resize(target.pos);
  return out;
}

} // namespace

TEST_CASE("what shrinks survives the round trip", "[compressor]") {
  CAPTURE(test::seed());
  test::seeded_random random{test::seed()};
  auto level = GENERATE(1, 3, 19);
  compressor engine{level};
  for (size_t size : {200, 4096, 100'000, 131'071, 131'072, 131'073, 1 << 20}) {
    CAPTURE(level, size);
    auto plain = make_text(random, size);
    auto packed = compress(engine, plain);
    REQUIRE(packed);
    CHECK(packed->size() * 100 <= plain.size() * 97);
    buffer back;
    CHECK(expand(engine, *packed, size, &back) == errc{});
    CHECK((back == plain));
  }
}

TEST_CASE("chunks of the largest size go both ways, again and again", "[compressor]") {
  compressor engine;
  buffer zeros(4 << 20);
  for (int round = 0; round < 3; ++round) {
    auto packed = compress(engine, zeros);
    REQUIRE(packed);
    CHECK(packed->size() < 1000);
    buffer back;
    CHECK(expand(engine, *packed, zeros.size(), &back) == errc{});
    CHECK((back == zeros));
  }
}

TEST_CASE("what does not shrink is left alone", "[compressor]") {
  CAPTURE(test::seed());
  test::seeded_random random{test::seed()};
  compressor engine;
  for (size_t size : {0, 1, 2, 10, 33, 100, 5000, 131'071, 131'072, 1 << 20}) {
    CAPTURE(size);
    CHECK_FALSE(compress(engine, random.make(size)));
  }
}

TEST_CASE("saving less than three percent does not pay", "[compressor]") {
  test::seeded_random random{test::seed()};
  compressor engine;
  // The zeros compress to next to nothing, the rest not at all.
  auto with_zeros = [&](size_t zeros) {
    auto plain = random.make(100'000);
    std::fill_n(plain.begin() + 50'000, zeros, std::byte{0});
    return compress(engine, plain);
  };
  CHECK_FALSE(with_zeros(2'500));
  auto packed = with_zeros(4'000);
  REQUIRE(packed);
  CHECK(packed->size() <= 97'000);
}

TEST_CASE("the probe sees what lies in the middle and at the end", "[compressor]") {
  test::seeded_random random{test::seed()};
  compressor engine;
  auto plain = random.make(1 << 20);
  auto text = make_text(random, 1 << 19);
  SECTION("text in the second half") {
    std::copy(text.begin(), text.end(), plain.begin() + (1 << 19));
    CHECK(compress(engine, plain));
  }
  SECTION("text in the middle") {
    std::copy(text.begin(), text.end(), plain.begin() + (1 << 18));
    CHECK(compress(engine, plain));
  }
}

TEST_CASE("level 0 never compresses", "[compressor]") {
  compressor engine{0};
  CHECK_FALSE(compress(engine, buffer(100'000)));
  compressor other{1};
  auto packed = compress(other, buffer(100'000));
  CHECK(expand(engine, *packed, 100'000) == errc{});
}

TEST_CASE("plain bytes are copied when lengths agree", "[compressor]") {
  test::seeded_random random{test::seed()};
  compressor engine;
  auto plain = random.make(1000);
  buffer back;
  CHECK(expand(engine, plain, 1000, &back, codec::none) == errc{});
  CHECK(back == plain);
  CHECK(expand(engine, plain, 999, nullptr, codec::none) == errc::format_damaged);
  CHECK(expand(engine, plain, 1001, nullptr, codec::none) == errc::format_damaged);
  CHECK(expand(engine, plain, 1000, nullptr, static_cast<codec>(2)) == errc::format_damaged);
}

TEST_CASE("a frame that holds more or less than it should is refused", "[compressor]") {
  test::seeded_random random{test::seed()};
  compressor engine;
  auto plain = make_text(random, 50'000);
  auto packed = *compress(engine, plain);
  for (size_t size : {0, 1, 49'999, 50'001, 100'000}) {
    CAPTURE(size);
    CHECK(expand(engine, packed, size) == errc::format_damaged);
  }
  // A bomb: 64 MiB in a few KiB, both with and without its size in the frame.
  buffer zeros(64 << 20);
  CHECK(expand(engine, frame_of(zeros, 1, 0, true), 4096) == errc::format_damaged);
  CHECK(expand(engine, frame_of(zeros, 1, 0, false), 4096) == errc::format_damaged);
}

TEST_CASE("a size in the frame is not trusted", "[compressor]") {
  test::seeded_random random{test::seed()};
  compressor engine;
  auto plain = make_text(random, 300);
  auto frame = frame_of(plain, 1, 0, true);
  REQUIRE(expand(engine, frame, 300) == errc{});
  // One segment, so the two-byte size less 256 follows the descriptor.
  REQUIRE((std::to_integer<unsigned>(frame[4]) & 0xe0) == 0x60);
  for (uint8_t low : {uint8_t{0}, uint8_t{43}, uint8_t{45}, uint8_t{255}}) {
    frame[5] = std::byte{low};
    CHECK(expand(engine, frame, 300) == errc::format_damaged);
    CHECK(expand(engine, frame, 256u + low) == errc::format_damaged);
  }
}

TEST_CASE("only one frame with a bounded window is taken", "[compressor]") {
  test::seeded_random random{test::seed()};
  compressor engine;
  auto plain = make_text(random, 20'000);
  SECTION("two frames") {
    auto half = make_text(random, 10'000);
    auto twice = frame_of(half, 1, 0, false);
    auto once = twice;
    twice.insert(twice.end(), once.begin(), once.end());
    CHECK(expand(engine, twice, 20'000) == errc::format_damaged);
  }
  SECTION("bytes behind the frame") {
    auto frame = frame_of(plain, 1, 0, false);
    frame.push_back(std::byte{0});
    CHECK(expand(engine, frame, plain.size()) == errc::format_damaged);
  }
  SECTION("a skippable frame") {
    buffer frame{std::byte{0x50}, std::byte{0x2a}, std::byte{0x4d}, std::byte{0x18},
                 std::byte{0},    std::byte{0},    std::byte{0},    std::byte{0}};
    CHECK(expand(engine, frame, 0) == errc::format_damaged);
  }
  SECTION("windows") {
    CHECK(expand(engine, frame_of(plain, 1, 23, false), plain.size()) == errc{});
    CHECK(expand(engine, frame_of(plain, 1, 24, false), plain.size()) == errc::format_damaged);
    CHECK(expand(engine, frame_of(plain, 1, 27, false), plain.size()) == errc::format_damaged);
  }
}

TEST_CASE("truncated and changed frames do no harm", "[compressor]") {
  CAPTURE(test::seed());
  test::seeded_random random{test::seed()};
  compressor engine;
  auto plain = make_text(random, 3'000);
  auto packed = *compress(engine, plain);
  for (size_t size = 0; size < packed.size(); ++size)
    REQUIRE(expand(engine, byte_view{packed}.first(size), plain.size()) == errc::format_damaged);
  for (size_t bit = 0; bit < packed.size() * 8; ++bit) {
    auto changed = packed;
    changed[bit / 8] ^= std::byte{1} << (bit % 8);
    // Content is authenticated elsewhere: here only the bounds matter.
    (void) expand(engine, changed, plain.size());
  }
  buffer back;
  CHECK(expand(engine, packed, plain.size(), &back) == errc{});
  CHECK((back == plain));
}
