#include "network/rate_plan.hpp"
#include "tests/support/code_of.hpp"
#include "tests/support/manual_clock.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

constexpr uint64_t mib = 1 << 20;

rate_plan office() {
  return {{0, 4 * mib}, {{8 * 60, 18 * 60 + 30, {mib, 2 * mib}}, {22 * 60, 6 * 60, {0, 0}}}};
}

rate_plan with(rate_window window) {
  return {{}, {window}};
}

} // namespace

TEST_CASE("limits of the line are read as they were written", "[rates]") {
  CHECK(parse_rates(encode_rates(office())).value() == office());
  CHECK(parse_rates(encode_rates({})).value() == rate_plan{});
  CHECK(encode_rates(office())
        == "datamesh rates 1\nalways up 0 down 4194304\nfrom 08:00 until 18:30 up 1048576 down 2097152\nfrom 22:00 until 06:00 up 0 down "
           "0\n");
}

TEST_CASE("a file of limits that is not as it is written is refused", "[rates]") {
  auto head = std::string{"datamesh rates 1\nalways up 0 down 0\n"};
  CHECK(code_of(parse_rates(head)) == errc{});
  CHECK(code_of(parse_rates("datamesh rates 2\nwhatever")) == errc::format_newer);
  for (const auto& text : {std::string{},
                           std::string{"datamesh rates 1"},
                           std::string{"datamesh rates 1\n"},
                           std::string{"datamesh rates 01\nalways up 0 down 0\n"},
                           std::string{"datamesh grants 1\nalways up 0 down 0\n"},
                           std::string{"datamesh rates 1\nalways up 0 down 0"},
                           std::string{"datamesh rates 1\nalways up 0\n"},
                           std::string{"datamesh rates 1\nalways up 0 down -1\n"},
                           std::string{"datamesh rates 1\nalways up 0 down 00\n"},
                           std::string{"datamesh rates 1\nalways up 0 down 1000\n"},
                           std::string{"datamesh rates 1\nalways up 0 down 18446744073709551616\n"},
                           head + "from 8:00 until 18:00 up 0 down 0\n",
                           head + "from 08:00 until 18:60 up 0 down 0\n",
                           head + "from 08:00 until 24:01 up 0 down 0\n",
                           head + "from 24:00 until 08:00 up 0 down 0\n",
                           head + "from 08:00 until 08:00 up 0 down 0\n",
                           head + "from 08:00 until 18:00 up 0 down 0 \n",
                           head + "from 08:00  until 18:00 up 0 down 0\n",
                           head + "from 08:00 until 18:00 up 0 down 0\nfrom 17:59 until 19:00 up 0 down 0\n",
                           head + head}) {
    CAPTURE(text);
    CHECK(code_of(parse_rates(text)) == errc::format_damaged);
  }
}

TEST_CASE("limits that can not be are refused with what is wrong", "[rates]") {
  CHECK(code_of(check_rates(office())) == errc{});
  CHECK(code_of(check_rates(with({0, 1440, {rate_limit_min, 0}}))) == errc{});
  CHECK(code_of(check_rates({{rate_limit_min - 1, 0}, {}})) == errc::invalid_argument);
  CHECK(code_of(check_rates({{0, 1}, {}})) == errc::invalid_argument);
  CHECK(code_of(check_rates(with({60, 120, {1, 0}}))) == errc::invalid_argument);
  CHECK(code_of(check_rates(with({60, 60, {}}))) == errc::invalid_argument);
  CHECK(code_of(check_rates(with({1440, 60, {}}))) == errc::invalid_argument);
  CHECK(code_of(check_rates(with({60, 1441, {}}))) == errc::invalid_argument);
  auto many = rate_plan{};
  for (uint16_t i = 0; i < rate_windows_max; ++i)
    many.windows.push_back({i, static_cast<uint16_t>(i + 1), {}});
  CHECK(code_of(check_rates(many)) == errc{});
  many.windows.push_back({100, 101, {}});
  CHECK(code_of(check_rates(many)) == errc::invalid_argument);
  auto overlapping = check_rates({{}, {{22 * 60, 6 * 60, {}}, {5 * 60 + 59, 7 * 60, {}}}});
  REQUIRE_FALSE(overlapping);
  CHECK(overlapping.error().message().find("05:59-07:00") != std::string::npos);
}

TEST_CASE("the limits of an hour hold in it, over midnight too, and those of all others else", "[rates]") {
  auto plan = office();
  CHECK(limits_at(plan, 8 * 60 - 1) == plan.always);
  CHECK(limits_at(plan, 8 * 60) == plan.windows[0].limits);
  CHECK(limits_at(plan, 18 * 60 + 29) == plan.windows[0].limits);
  CHECK(limits_at(plan, 18 * 60 + 30) == plan.always);
  CHECK(limits_at(plan, 21 * 60 + 59) == plan.always);
  for (auto minute : {22 * 60, 23 * 60 + 59, 0, 5 * 60 + 59})
    CHECK(limits_at(plan, static_cast<unsigned>(minute)) == plan.windows[1].limits);
  CHECK(limits_at(plan, 6 * 60) == plan.always);
  CHECK(limits_at(with({600, 1440, {mib, mib}}), 1439).up == mib);
}

TEST_CASE("the minute of the day goes on with the clock and begins anew each day", "[rates]") {
  manual_clock time;
  auto first = minute_of_day(time.wall());
  time.advance(std::chrono::minutes{1});
  CHECK(minute_of_day(time.wall()) == (first + 1) % 1440);
  time.advance(std::chrono::hours{24});
  CHECK(minute_of_day(time.wall()) == (first + 1) % 1440);
}
