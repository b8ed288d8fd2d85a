#include "units.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <random>

using namespace datamesh::cli;

namespace {

uint64_t seed() {
  auto* text = std::getenv("DATAMESH_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 20260101;
}

constexpr auto day_ns = int64_t{86400} * 1'000'000'000;

} // namespace

TEST_CASE("sizes are shown with one decimal in IEC units", "[units]") {
  CHECK(human_size(0) == "0 B");
  CHECK(human_size(1023) == "1023 B");
  CHECK(human_size(1024) == "1.0 KiB");
  CHECK(human_size(1536) == "1.5 KiB");
  CHECK(human_size(uint64_t{3} << 29) == "1.5 GiB");
  CHECK(human_size(UINT64_MAX) == "16.0 EiB");
}

TEST_CASE("a size that would round up to 1024 is shown in the next unit", "[units]") {
  CHECK(human_size((1 << 20) - 1) == "1.0 MiB");
  CHECK(human_size((1ull << 30) - 1) == "1.0 GiB");
  CHECK(human_size(1023 * 1024) == "1023.0 KiB");
}

TEST_CASE("a size that is read back is the size that was shown, within its last digit", "[units]") {
  auto s = seed();
  CAPTURE(s);
  std::mt19937_64 random{s};
  for (auto i = 0; i < 20'000; ++i) {
    auto size = random() >> (random() % 64);
    auto shown = human_size(size);
    CAPTURE(size, shown);
    auto read = parse_size(shown);
    // 16.0 EiB is 2^64, one more than the greatest size.
    if (!read) {
      CHECK(shown == "16.0 EiB");
      continue;
    }
    auto off = *read > size ? *read - size : size - *read;
    CHECK(off <= size / 20 / (size < 10240 ? 1 : 1) + 1);
    CHECK(human_size(*read) == shown);
    CHECK(parse_size(std::to_string(size)) == size);
  }
}

TEST_CASE("sizes are read with IEC, SI and no units", "[units]") {
  CHECK(parse_size("0") == 0);
  CHECK(parse_size("4096") == 4096);
  CHECK(parse_size("10M") == 10ull << 20);
  CHECK(parse_size("10MiB") == 10ull << 20);
  CHECK(parse_size("10MB") == 10'000'000);
  CHECK(parse_size("10kB") == 10'000);
  CHECK(parse_size("1.5GiB") == 3ull << 29);
  CHECK(parse_size("1.5 GiB") == 3ull << 29);
  CHECK(parse_size("0.000001M") == 1);
  CHECK(parse_size("18446744073709551615") == UINT64_MAX);
}

TEST_CASE("what is no size is refused", "[units]") {
  for (auto text : {"",           " ",
                    "B",          "-1",
                    "+1",         "1.5",
                    "1.",         ".5K",
                    "1.2345678K", "1 ",
                    "1KK",        "1XB",
                    "0x10",       "1e3",
                    "1,000",      "18446744073709551616",
                    "16E",        "99999999999999999999",
                    "16777216T",  "1.0000001E",
                    "1b"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_size(text));
  }
  CHECK(parse_size("15E") == 15ull << 60);
}

TEST_CASE("numbers are grouped by thousands", "[units]") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1000) == "1,000");
  CHECK(grouped(12345678) == "12,345,678");
  CHECK(grouped(UINT64_MAX) == "18,446,744,073,709,551,615");
}

TEST_CASE("spans of time are read with a unit and shown in two", "[units]") {
  CHECK(parse_span("90s") == 90);
  CHECK(parse_span("5m") == 300);
  CHECK(parse_span("12h") == 43200);
  CHECK(parse_span("30d") == 2592000);
  CHECK(parse_span("2w") == 1209600);
  CHECK(parse_span("0") == 0);
  CHECK(parse_span("0d") == 0);
  for (auto text : {"", "s", "5", "5y", "-5s", "1.5h", "99999999999999999s", "5 s"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_span(text));
  }
  CHECK(human_span(59) == "59 s");
  CHECK(human_span(192) == "3 min 12 s");
  CHECK(human_span(7500) == "2 h 5 min");
  CHECK(human_span(273600) == "3 d 4 h");
}

TEST_CASE("times are told relative to now, in both directions", "[units]") {
  CHECK(relative_time(0, 0) == "just now");
  CHECK(relative_time(0, 30'000'000'000) == "30 seconds ago");
  CHECK(relative_time(0, day_ns / 24) == "60 minutes ago");
  CHECK(relative_time(0, day_ns) == "24 hours ago");
  CHECK(relative_time(0, 3 * day_ns) == "3 days ago");
  CHECK(relative_time(3 * day_ns, 0) == "in 3 days");
  CHECK(relative_time(0, 800 * day_ns) == "2 years ago");
  CHECK(relative_time(INT64_MIN, INT64_MAX) == "584 years ago");
}

TEST_CASE("times are written by RFC 3339 in UTC", "[units]") {
  CHECK(rfc3339(0) == "1970-01-01T00:00:00Z");
  CHECK(rfc3339(1'767'225'600'000'000'000) == "2026-01-01T00:00:00Z");
  CHECK(rfc3339(1'709'164'800'000'000'000) == "2024-02-29T00:00:00Z");
  CHECK(rfc3339(1) == "1970-01-01T00:00:00.000000001Z");
  CHECK(rfc3339(-1) == "1969-12-31T23:59:59.999999999Z");
  CHECK(rfc3339_seconds(-1) == "1969-12-31T23:59:59Z");
  CHECK(rfc3339_seconds(0) == "1970-01-01T00:00:00Z");
}

TEST_CASE("dates are days or moments in UTC, or spans before now", "[units]") {
  constexpr int64_t second = 1'000'000'000;
  CHECK(parse_date("1970-01-01", 5) == 0);
  CHECK(parse_date("2026-01-01", 5) == 1'767'225'600 * second);
  CHECK(parse_date("2024-02-29T23:59:59Z", 5) == (1'709'164'800 + 86'399) * second);
  CHECK(parse_date("1969-12-31T23:59:59Z", 5) == -second);
  CHECK(parse_date("7d", 8 * 86'400 * second) == 86'400 * second);
  CHECK(parse_date("1000000w", 0));
  for (auto text : {"", "2026", "2026-13-01", "2025-02-29", "2026-1-1", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
                    "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "-026-01-01", "1600-01-01", "2300-01-01", "yesterday", "0"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_date(text, 0));
  }
}

TEST_CASE("ranges have an end that is included, a length, or no end", "[units]") {
  auto check = [](const char* text, uint64_t first, std::optional<uint64_t> length) {
    CAPTURE(text);
    auto range = parse_range(text);
    REQUIRE(range);
    CHECK(range->first == first);
    CHECK(range->length == length);
  };
  check("0-0", 0, 1);
  check("0-99", 0, 100);
  check("1M+64K", 1 << 20, 64 << 10);
  check("100-", 100, std::nullopt);
  check("5+0", 5, 0);
  for (auto text : {"", "-", "5", "-5", "9-5", "a-b", "5+", "1--2", "0-18446744073709551615"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_range(text));
  }
}

TEST_CASE("policies have at least one data shard and at most 128 shards", "[units]") {
  for (auto text : {"4+2", "1+0", "1+1", "100+28"})
    CHECK(valid_policy(text));
  for (auto text : {"", "4", "+", "4+", "+2", "0+2", "100+29", "4+2+1", "-4+2", "4 + 2", "99999999999+1"})
    CHECK_FALSE(valid_policy(text));
}

TEST_CASE("names of vaults are those that a node takes", "[units]") {
  for (auto text : {"main", "a", "Work-2.old_1", "-"})
    CHECK(valid_vault_name(text));
  CHECK(valid_vault_name(std::string(64, 'a')));
  for (auto text : {"", ".", ".a", "a/b", "a b", "\xc3\xa4", "a\n"})
    CHECK_FALSE(valid_vault_name(text));
  CHECK_FALSE(valid_vault_name(std::string(65, 'a')));
}
