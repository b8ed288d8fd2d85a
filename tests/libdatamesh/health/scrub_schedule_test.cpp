#include "health/scrub_schedule.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::health;
using kind = scrub_step::kind;

namespace {

constexpr int64_t start = 1'795'000'000'000'000'000;

pack_id pack(uint8_t number) {
  pack_id id;
  id.span()[0] = std::byte{number};
  return id;
}

} // namespace

TEST_CASE("a vault that was never looked at is looked at quickly first", "[health]") {
  CHECK(next_step({}, std::nullopt, 0, start).what == kind::quick);
  CHECK(next_step({}, std::nullopt, 10, start).what == kind::quick);
}

TEST_CASE("a quick look is due after a day and not before", "[health]") {
  scrub_state over{start, true, 10, std::nullopt};
  CHECK(next_step(over, start, 10, start + quick_every_ns - 1).what == kind::nothing);
  CHECK(next_step(over, start, 10, start + quick_every_ns).what == kind::quick);
}

TEST_CASE("an empty vault has nothing to be read", "[health]") {
  CHECK(next_step({}, start, 0, start).what == kind::nothing);
}

TEST_CASE("a clock that was set back does not end the scrub", "[health]") {
  auto now = start;
  CHECK(next_step({}, start + 1, 10, now).what == kind::quick);
  scrub_state future{start + hour_ns, true, 10, std::nullopt};
  CHECK(next_step(future, start, 10, now).what == kind::deep_part);
}

TEST_CASE("a round reads every pack within four weeks, evenly, and the next begins on time", "[health]") {
  auto packs = GENERATE(uint64_t{1}, uint64_t{10}, uint64_t{1000}, uint64_t{50'000});
  scrub_state state;
  int64_t quick = start;
  uint64_t read = 0;
  uint64_t read_in_first_week = 0;
  int64_t finished = 0;
  int64_t began_again = 0;
  for (auto now = start; now < start + deep_every_ns + 2 * 24 * hour_ns; now += hour_ns) {
    for (;;) {
      auto step = next_step(state, quick, packs, now);
      if (step.what == kind::nothing)
        break;
      if (step.what == kind::quick) {
        quick = now;
        continue;
      }
      REQUIRE(step.packs > 0);
      REQUIRE(step.packs <= part_max);
      if (finished > 0) {
        began_again = now;
        break;
      }
      auto count = std::min(step.packs, packs - read);
      read += count;
      state = after_part(state, count, read < packs ? std::optional{pack(1)} : std::nullopt, now);
      if (state.deep_over)
        finished = now;
    }
    if (now < start + deep_every_ns / 4)
      read_in_first_week = read;
    if (began_again > 0)
      break;
  }
  CAPTURE(packs);
  CHECK(read == packs);
  CHECK(finished - start <= deep_every_ns);
  CHECK(read_in_first_week <= packs / 4 + part_max);
  CHECK(read_in_first_week + packs / 600 + 1 >= packs / 4);
  CHECK(began_again >= start + deep_every_ns);
  CHECK(began_again <= start + deep_every_ns + hour_ns);
}

TEST_CASE("what was missed while the machine was off is made up for in bounded parts", "[health]") {
  auto state = after_part({}, 1, pack(1), start);
  auto later = start + 3 * deep_every_ns;
  auto step = next_step(state, later, 1000, later);
  CHECK(step.what == kind::deep_part);
  CHECK(step.packs == part_max);
  // It goes on where it was, and does not begin anew.
  CHECK(after_part(state, 1, pack(2), later).deep_began_ns == start);
}

TEST_CASE("how far a scrub is survives as text, and other text is refused", "[health]") {
  scrub_state state{start, false, 7, pack(9)};
  auto again = scrub_state::decode(state.encode());
  REQUIRE(again);
  CHECK(again->deep_began_ns == start);
  CHECK(again->deep_packs == 7);
  CHECK(again->deep_after == pack(9));
  CHECK_FALSE(again->deep_over);
  auto text = state.encode();
  for (size_t length = 0; length < text.size(); ++length)
    CHECK_FALSE(scrub_state::decode(text.substr(0, length)));
  CHECK_FALSE(scrub_state::decode(text + text));
  CHECK_FALSE(scrub_state::decode("scrub 2\n" + text.substr(8)));
  CHECK(scrub_state::decode(scrub_state{}.encode()));
}
