// Packs that one at a time changes.
#include "storage/pack_turns.hpp"

#include <catch2/catch.hpp>

#include <future>

namespace datamesh::storage {

namespace {

pack_id pack(uint8_t number) {
  std::array<std::byte, pack_id::size> raw{};
  raw[0] = std::byte{number};
  return pack_id::from(byte_view{raw});
}

} // namespace

TEST_CASE("a pack is one's at a time, and others are free meanwhile", "[pack_turns]") {
  pack_turns turns;
  job working;
  const std::vector first{pack(1), pack(2)};
  const std::vector second{pack(2), pack(3)};
  std::optional<pack_turns::turn> mine{std::move(*turns.take(first, working))};
  CHECK(turns.take(std::vector{pack(4)}, working).has_value());
  auto over = turns.count_over();
  std::atomic<bool> is_mine = true;
  auto other = std::async(std::launch::async, [&] {
    auto taken = turns.take(second, working);
    return taken.has_value() && !is_mine;
  });
  is_mine = false;
  mine.reset();
  CHECK(other.get());
  CHECK(turns.count_over() == over + 2);
  CHECK(turns.take(first, working).has_value());
}

TEST_CASE("who waits for a turn in vain ends with his job, and has nothing then", "[pack_turns]") {
  pack_turns turns;
  job working;
  job cancelled;
  cancelled.cancel.cancel();
  auto mine = turns.take(std::vector{pack(2)}, working);
  REQUIRE(mine.has_value());
  auto refused = turns.take(std::vector{pack(1), pack(2)}, cancelled);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code() == errc::cancelled);
  CHECK(turns.take(std::vector{pack(1)}, working).has_value());
  // One who waits already is told, too.
  job late;
  auto waiting = std::async(std::launch::async, [&] { return turns.take(std::vector{pack(2)}, late).has_value(); });
  late.cancel.cancel();
  CHECK_FALSE(waiting.get());
}

} // namespace datamesh::storage
