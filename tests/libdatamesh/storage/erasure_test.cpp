// Every loss at every boundary. The test program of each build takes all loss sets of the
// three schemes around the lengths of vectors and of a page of direct I/O, and one random
// loss for each count of lost shards around the longer boundaries: of a shard's block, of
// what goes through ISA-L at once, and the longest shard. With DATAMESH_EVERY_LOSS set, as
// `scripts/prove --only every-loss` does, it takes all loss sets at all boundaries.
#include "storage/erasure.hpp"

#include "storage/geometry.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <cstring>
#include <iostream>
#include <numeric>
#include <set>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

using shards = std::vector<std::vector<std::byte>>;

// GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1, straight from its definition.
uint8_t multiply(uint8_t a, uint8_t b) {
  unsigned product = 0;
  for (unsigned bit = 0; bit < 8; ++bit)
    if ((b >> bit & 1) != 0)
      product ^= unsigned{a} << bit;
  for (unsigned bit = 15; bit >= 8; --bit)
    if ((product >> bit & 1) != 0)
      product ^= 0x11du << (bit - 8);
  return static_cast<uint8_t>(product);
}

uint8_t invert(uint8_t a) {
  for (unsigned b = 1; b < 256; ++b)
    if (multiply(a, static_cast<uint8_t>(b)) == 1)
      return static_cast<uint8_t>(b);
  return 0;
}

// Parity row i, counted from k, holds 1 / (i xor j) in column j.
shards reference_parity(const shards& data, uint8_t m) {
  auto k = data.size();
  shards parity(m, std::vector<std::byte>(data[0].size()));
  for (size_t row = 0; row < m; ++row)
    for (size_t column = 0; column < k; ++column) {
      auto factor = invert(static_cast<uint8_t>((row + k) ^ column));
      std::array<std::byte, 256> products;
      for (unsigned i = 0; i < 256; ++i)
        products[i] = std::byte{multiply(factor, static_cast<uint8_t>(i))};
      for (size_t i = 0; i < parity[row].size(); ++i)
        parity[row][i] ^= products[std::to_integer<size_t>(data[column][i])];
    }
  return parity;
}

shards make_data(test::seeded_random& random, uint8_t k, size_t length) {
  shards data;
  for (size_t i = 0; i < k; ++i)
    data.push_back(random.make(length));
  return data;
}

shards encode(const erasure_code& code, shards data) {
  auto length = data[0].size();
  data.resize(size_t{code.k()} + code.m(), std::vector<std::byte>(length));
  std::vector<byte_view> from(data.begin(), data.begin() + code.k());
  std::vector<byte_span> to(data.begin() + code.k(), data.end());
  code.encode(from, to);
  return data;
}

// Not a comparison within a macro, which would print megabytes.
bool agrees(const shards& all, const shards& parity) {
  return std::equal(parity.begin(), parity.end(), all.end() - static_cast<ptrdiff_t>(parity.size()));
}

// Rebuilds every shard that is not in *present* and answers whether each is as it was.
bool rebuilds(const erasure_code& code, const shards& all, const std::vector<uint8_t>& present) {
  std::vector<byte_view> from;
  for (auto index : present)
    from.push_back(all[index]);
  std::vector<uint8_t> wanted;
  for (size_t i = 0; i < all.size(); ++i)
    if (std::find(present.begin(), present.end(), i) == present.end())
      wanted.push_back(static_cast<uint8_t>(i));
  shards rebuilt(wanted.size(), std::vector<std::byte>(all[0].size(), std::byte{0xee}));
  std::vector<byte_span> to(rebuilt.begin(), rebuilt.end());
  if (!code.reconstruct(present, from, wanted, to))
    return false;
  for (size_t i = 0; i < wanted.size(); ++i)
    if (rebuilt[i] != all[wanted[i]])
      return false;
  return true;
}

constexpr size_t short_length = 2 * direct_alignment;

// One below, at and above each length at which the code, or what calls it, goes another
// way; 64 is the unit of real shards.
std::set<size_t> boundaries(uint8_t k, uint8_t m) {
  std::set<size_t> lengths{1, 15, 16, 17};
  auto add = [&](size_t border) {
    lengths.insert({border - 1, border, border + 1});
  };
  for (size_t border : {32, 64, 128})
    add(border);
  for (size_t border : {direct_alignment, block_size})
    add(border);
  // ISA-L sees k shards and as many as it makes.
  for (size_t made = 1; made <= m; ++made)
    add(erasure_code::slice_of(k + made));
  lengths.insert({direct_alignment - shard_alignment, direct_alignment + shard_alignment, block_size + direct_alignment});
  lengths.insert(geometry_for(k, m, pack_size_max).shard_length);
  return lengths;
}

// Loses shards of *all* and compares what is rebuilt from the first k that are left and,
// where more are left, from the last k.
class loss_walk {
public:
  loss_walk(const erasure_code& code, const shards& all, size_t lost)
      : code_(code), all_(all), rebuilt_to_(lost, std::vector<std::byte>(all[0].size())) {}

  void lose(const std::vector<uint8_t>& loss) {
    std::vector<uint8_t> left;
    for (size_t i = 0; i < all_.size(); ++i)
      if (std::find(loss.begin(), loss.end(), i) == loss.end())
        left.push_back(static_cast<uint8_t>(i));
    std::span<const uint8_t> present{left};
    rebuild(loss, present.first(code_.k()));
    if (left.size() > code_.k())
      rebuild(loss, present.last(code_.k()));
  }
  [[nodiscard]] uint64_t rebuilt() const {
    return rebuilt_;
  }
  [[nodiscard]] uint64_t wrong() const {
    return wrong_;
  }

private:
  void rebuild(const std::vector<uint8_t>& loss, std::span<const uint8_t> present) {
    std::vector<byte_view> from;
    for (auto index : present)
      from.push_back(all_[index]);
    // What the loss before left here may be right by chance.
    for (auto& one : rebuilt_to_)
      std::memset(one.data(), 0xee, one.size());
    std::vector<byte_span> to(rebuilt_to_.begin(), rebuilt_to_.end());
    auto done = code_.reconstruct(present, from, loss, to);
    for (size_t i = 0; done && i < loss.size(); ++i)
      if (std::memcmp(rebuilt_to_[i].data(), all_[loss[i]].data(), all_[0].size()) != 0)
        done = fail(errc::damaged, "compare");
    ++(done ? rebuilt_ : wrong_);
  }

  const erasure_code& code_;
  const shards& all_;
  shards rebuilt_to_;
  uint64_t rebuilt_ = 0;
  uint64_t wrong_ = 0;
};

// *count* different numbers below *bound*, ascending.
std::vector<uint8_t> choose(test::seeded_random& random, uint8_t bound, uint8_t count) {
  std::set<uint8_t> chosen;
  while (chosen.size() < count)
    chosen.insert(static_cast<uint8_t>(random.below(bound)));
  return {chosen.begin(), chosen.end()};
}

// Calls *visit* with every ascending choice of *count* numbers below *bound*.
template <class Visit>
size_t for_each_choice(uint8_t bound, uint8_t count, Visit visit) {
  std::vector<uint8_t> choice(count);
  std::iota(choice.begin(), choice.end(), uint8_t{0});
  for (size_t visited = 1;; ++visited) {
    visit(choice);
    int i = count - 1;
    while (i >= 0 && choice[i] == bound - count + i)
      --i;
    if (i < 0)
      return visited;
    ++choice[i];
    std::iota(choice.begin() + i + 1, choice.end(), static_cast<uint8_t>(choice[i] + 1));
  }
}

} // namespace

TEST_CASE("every loss that a code allows is rebuilt at every boundary of length", "[erasure][every_loss]") {
  struct scheme {
    uint8_t k;
    uint8_t m;
    size_t loss_sets;
  };
  auto [k, m, loss_sets] = GENERATE(scheme{4, 2, 22}, scheme{8, 4, 794}, scheme{10, 6, 14893});
  auto everything = std::getenv("DATAMESH_EVERY_LOSS") != nullptr;
  CAPTURE(int{k}, int{m}, test::seed());
  test::seeded_random random{test::seed()};
  erasure_code code{k, m};
  uint64_t rebuilt = 0;
  for (auto length : boundaries(k, m)) {
    CAPTURE(length);
    auto all = encode(code, make_data(random, k, length));
    size_t sets = 0;
    for (uint8_t lost = 0; lost <= m; ++lost) {
      CAPTURE(int{lost});
      loss_walk walk{code, all, lost};
      if (everything || length < short_length)
        sets += for_each_choice(static_cast<uint8_t>(k + m), lost, [&](const auto& loss) { walk.lose(loss); });
      else
        walk.lose(choose(random, static_cast<uint8_t>(k + m), lost));
      REQUIRE(walk.wrong() == 0);
      rebuilt += walk.rebuilt();
    }
    REQUIRE(sets == (everything || length < short_length ? loss_sets : 0));
  }
  std::cout << fmt::format("figure losses of {}+{} rebuilt: {}\n", k, m, rebuilt);
}

TEST_CASE("a code agrees with plain field arithmetic at every boundary of length", "[erasure]") {
  auto [k, m] = GENERATE(std::pair{1, 1}, std::pair{1, 3}, std::pair{2, 1}, std::pair{2, 2}, std::pair{4, 2}, std::pair{10, 2},
                         std::pair{8, 4}, std::pair{10, 6}, std::pair{3, 9});
  CAPTURE(k, m, test::seed());
  test::seeded_random random{test::seed()};
  erasure_code code{static_cast<uint8_t>(k), static_cast<uint8_t>(m)};
  for (size_t length : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 4095, 4096, 4097, 32767, 32832, 65535, 65536, 65537}) {
    CAPTURE(length);
    auto data = make_data(random, static_cast<uint8_t>(k), length);
    auto all = encode(code, data);
    REQUIRE(agrees(all, reference_parity(data, static_cast<uint8_t>(m))));
    std::vector<uint8_t> order(all.size());
    std::iota(order.begin(), order.end(), uint8_t{0});
    for (auto i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[random.below(i)]);
    order.resize(k);
    REQUIRE(rebuilds(code, all, order));
  }
}

TEST_CASE("the widest codes work", "[erasure]") {
  auto [k, m] = GENERATE(std::pair{127, 1}, std::pair{1, 127}, std::pair{64, 64}, std::pair{96, 32}, std::pair{128, 0});
  CAPTURE(k, m, test::seed());
  test::seeded_random random{test::seed()};
  erasure_code code{static_cast<uint8_t>(k), static_cast<uint8_t>(m)};
  auto data = make_data(random, static_cast<uint8_t>(k), 130);
  auto all = encode(code, data);
  REQUIRE(agrees(all, reference_parity(data, static_cast<uint8_t>(m))));
  std::vector<uint8_t> last(k);
  std::iota(last.begin(), last.end(), static_cast<uint8_t>(m));
  CHECK(rebuilds(code, all, last));
}

TEST_CASE("a code without parity encodes and reconstructs nothing", "[erasure]") {
  test::seeded_random random{test::seed()};
  erasure_code code{3, 0};
  auto data = make_data(random, 3, 100);
  CHECK(encode(code, data) == data);
  CHECK(rebuilds(code, data, {2, 0, 1}));
}

TEST_CASE("a lost shard is rebuilt from slices larger than the cache", "[erasure]") {
  test::seeded_random random{test::seed()};
  erasure_code code{4, 2};
  auto all = encode(code, make_data(random, 4, (1 << 20) + 77));
  CHECK(rebuilds(code, all, {5, 1, 4, 3}));
}

TEST_CASE("reconstruction refuses what does not fit together", "[erasure]") {
  test::seeded_random random{test::seed()};
  erasure_code code{3, 2};
  auto all = encode(code, make_data(random, 3, 64));
  std::vector<std::byte> target(64);
  std::vector<std::byte> short_target(63);
  auto attempt = [&](std::vector<uint8_t> present, std::vector<size_t> content, std::vector<uint8_t> wanted, std::vector<byte_span> out) {
    std::vector<byte_view> from;
    for (auto i : content)
      from.push_back(all[i]);
    auto outcome = code.reconstruct(present, from, wanted, out);
    return outcome ? errc{} : outcome.error().code();
  };
  CHECK(attempt({0, 1, 2}, {0, 1, 2}, {4}, {target}) == errc{});
  CHECK(target == all[4]);
  SECTION("too few shards are damage") {
    CHECK(attempt({0, 1}, {0, 1}, {4}, {target}) == errc::damaged);
    CHECK(attempt({}, {}, {4}, {target}) == errc::damaged);
    CHECK(attempt({0, 1, 2}, {0, 1}, {4}, {target}) == errc::damaged);
  }
  SECTION("more than k shards are a mistake") {
    CHECK(attempt({0, 1, 2, 3}, {0, 1, 2, 3}, {4}, {target}) == errc::invalid_argument);
    CHECK(attempt({0, 1, 2}, {0, 1, 2, 3}, {4}, {target}) == errc::invalid_argument);
  }
  SECTION("an index twice") {
    CHECK(attempt({0, 1, 1}, {0, 1, 1}, {4}, {target}) == errc::invalid_argument);
    CHECK(attempt({0, 1, 2}, {0, 1, 2}, {4, 4}, {target, target}) == errc::invalid_argument);
    CHECK(attempt({0, 1, 2}, {0, 1, 2}, {1}, {target}) == errc::invalid_argument);
  }
  SECTION("an index out of range") {
    CHECK(attempt({0, 1, 5}, {0, 1, 2}, {4}, {target}) == errc::invalid_argument);
    CHECK(attempt({0, 1, 2}, {0, 1, 2}, {5}, {target}) == errc::invalid_argument);
    CHECK(attempt({0, 1, 255}, {0, 1, 2}, {4}, {target}) == errc::invalid_argument);
  }
  SECTION("lengths that differ") {
    CHECK(attempt({0, 1, 2}, {0, 1, 2}, {4}, {short_target}) == errc::invalid_argument);
    CHECK(attempt({0, 1, 2}, {0, 1, 2}, {3, 4}, {target}) == errc::invalid_argument);
  }
}
