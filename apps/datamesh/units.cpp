#include "units.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>

#include <fmt/format.h>

namespace datamesh::cli {

namespace {

constexpr uint64_t u64_max = std::numeric_limits<uint64_t>::max();

template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size() || text.empty())
    return std::nullopt;
  return value;
}

std::optional<uint64_t> unit_of(std::string_view suffix) {
  if (suffix.empty() || suffix == "B")
    return 1;
  constexpr std::string_view letters = "KMGTPE";
  auto letter = suffix[0] == 'k' ? 'K' : suffix[0];
  auto power = letters.find(letter);
  if (power == std::string_view::npos)
    return std::nullopt;
  auto rest = suffix.substr(1);
  uint64_t base = 0;
  if (rest.empty() || rest == "iB" || rest == "i")
    base = 1024;
  else if (rest == "B")
    base = 1000;
  else
    return std::nullopt;
  uint64_t unit = 1;
  for (size_t i = 0; i <= power; ++i)
    unit *= base;
  return unit;
}

std::optional<uint64_t> checked_multiply(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product))
    return std::nullopt;
  return product;
}

std::string count_of(uint64_t n, std::string_view what) {
  return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
}

} // namespace

std::string human_size(uint64_t bytes) {
  if (bytes < 1024)
    return fmt::format("{} B", bytes);
  constexpr std::array<std::string_view, 6> names = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t power = 0;
  auto unit = uint64_t{1024};
  // A value that would round up to 1024.0 is shown in the next unit.
  while (power + 1 < names.size() && bytes >= unit * 1024 - unit / 20) {
    unit *= 1024;
    ++power;
  }
  auto whole = bytes / unit;
  auto tenths = static_cast<uint64_t>(std::llround(static_cast<double>(bytes % unit) * 10 / static_cast<double>(unit)));
  whole += tenths / 10;
  tenths %= 10;
  return fmt::format("{}.{} {}", whole, tenths, names[power]);
}

std::optional<uint64_t> parse_size(std::string_view text) {
  auto digits = text.find_first_not_of("0123456789");
  auto whole = parse_number<uint64_t>(text.substr(0, digits));
  if (!whole)
    return std::nullopt;
  auto rest = digits == std::string_view::npos ? std::string_view{} : text.substr(digits);
  std::string_view fraction;
  if (rest.starts_with('.')) {
    auto end = rest.find_first_not_of("0123456789", 1);
    fraction = rest.substr(1, end == std::string_view::npos ? end : end - 1);
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end);
    if (fraction.empty() || fraction.size() > 6)
      return std::nullopt;
  }
  if (rest.starts_with(' ')) {
    rest.remove_prefix(1);
    if (rest.empty())
      return std::nullopt;
  }
  auto unit = unit_of(rest);
  if (!unit || (!fraction.empty() && *unit == 1))
    return std::nullopt;
  auto result = checked_multiply(*whole, *unit);
  if (!result || fraction.empty())
    return result;
  uint64_t scale = 1;
  for (size_t i = 0; i < fraction.size(); ++i)
    scale *= 10;
  // unit = whole * scale + rest keeps the product below 2^64 for six decimals.
  auto part = *parse_number<uint64_t>(fraction);
  auto extra = *unit / scale * part + *unit % scale * part / scale;
  if (extra > u64_max - *result)
    return std::nullopt;
  return *result + extra;
}

std::string grouped(uint64_t number) {
  auto result = std::to_string(number);
  for (auto i = static_cast<int>(result.size()) - 3; i > 0; i -= 3)
    result.insert(static_cast<size_t>(i), ",");
  return result;
}

std::string human_span(uint64_t seconds) {
  if (seconds < 60)
    return fmt::format("{} s", seconds);
  if (seconds < 3600)
    return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  if (seconds < 86400)
    return fmt::format("{} h {} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} d {} h", seconds / 86400, seconds / 3600 % 24);
}

std::optional<uint64_t> parse_span(std::string_view text) {
  // Nothing is nothing in any unit.
  if (text == "0")
    return 0;
  if (text.size() < 2)
    return std::nullopt;
  uint64_t unit = 0;
  switch (text.back()) {
  case 's':
    unit = 1;
    break;
  case 'm':
    unit = 60;
    break;
  case 'h':
    unit = 3600;
    break;
  case 'd':
    unit = 86400;
    break;
  case 'w':
    unit = 604800;
    break;
  default:
    return std::nullopt;
  }
  auto number = parse_number<uint64_t>(text.substr(0, text.size() - 1));
  // 2^40 seconds are 34,000 years; more would not fit into nanoseconds anyway.
  if (!number || *number > (uint64_t{1} << 40) / unit)
    return std::nullopt;
  return *number * unit;
}

std::string relative_time(int64_t then_ns, int64_t now_ns) {
  auto before = then_ns <= now_ns;
  auto apart = before ? static_cast<uint64_t>(now_ns) - static_cast<uint64_t>(then_ns)
                      : static_cast<uint64_t>(then_ns) - static_cast<uint64_t>(now_ns);
  auto seconds = apart / 1'000'000'000;
  if (seconds < 10)
    return "just now";
  constexpr uint64_t day = 86'400;
  std::string amount;
  if (seconds < 120)
    amount = count_of(seconds, "second");
  else if (seconds < 7200)
    amount = count_of(seconds / 60, "minute");
  else if (seconds < 2 * day)
    amount = count_of(seconds / 3600, "hour");
  else if (seconds < 730 * day)
    amount = count_of(seconds / day, "day");
  else
    amount = count_of(seconds / (365 * day), "year");
  return before ? amount + " ago" : "in " + amount;
}

std::string rfc3339(int64_t ns) {
  using namespace std::chrono;
  auto point = sys_time<nanoseconds>{nanoseconds{ns}};
  auto day = floor<days>(point);
  auto date = year_month_day{day};
  auto time = hh_mm_ss{floor<seconds>(point - day)};
  auto fraction = (point - floor<seconds>(point)).count();
  auto text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                          static_cast<unsigned>(date.day()), time.hours().count(), time.minutes().count(), time.seconds().count());
  if (fraction != 0)
    text += fmt::format(".{:09}", fraction);
  return text + "Z";
}

std::string rfc3339_seconds(int64_t ns) {
  auto text = rfc3339(ns);
  auto point = text.find('.');
  return point == std::string::npos ? text : text.substr(0, point) + "Z";
}

std::optional<int64_t> parse_date(std::string_view text, int64_t now_ns) {
  constexpr int64_t second_ns = 1'000'000'000;
  if (auto span = text == "0" ? std::nullopt : parse_span(text)) {
    int64_t result = 0;
    auto back = static_cast<int64_t>(*span);
    auto beyond = __builtin_mul_overflow(back, second_ns, &back) || __builtin_sub_overflow(now_ns, back, &result);
    return beyond ? std::numeric_limits<int64_t>::min() : result;
  }
  auto digits = [&](size_t at, size_t count) {
    auto part = text.substr(at, count);
    auto plain = part.find_first_not_of("0123456789") == std::string_view::npos;
    return plain ? static_cast<int>(parse_number<uint32_t>(part).value_or(9999)) : 9999;
  };
  auto whole = text.size() == 20;
  if ((text.size() != 10 && !whole) || text[4] != '-' || text[7] != '-')
    return std::nullopt;
  if (whole && (text[10] != 'T' || text[13] != ':' || text[16] != ':' || text[19] != 'Z'))
    return std::nullopt;
  using namespace std::chrono;
  auto in_year = digits(5, 2);
  auto in_month = digits(8, 2);
  // Both types keep eight bits only.
  if (in_year > 12 || in_month > 31)
    return std::nullopt;
  auto date = year_month_day{year{digits(0, 4)}, month{static_cast<unsigned>(in_year)}, day{static_cast<unsigned>(in_month)}};
  auto hour = whole ? digits(11, 2) : 0;
  auto minute = whole ? digits(14, 2) : 0;
  auto second = whole ? digits(17, 2) : 0;
  // Nanoseconds of 64 bits reach from 1678 to 2261.
  if (!date.ok() || date.year() < year{1678} || date.year() > year{2261} || hour > 23 || minute > 59 || second > 59)
    return std::nullopt;
  auto since_1970 = sys_days{date}.time_since_epoch() / seconds{1};
  return (since_1970 + int64_t{3600} * hour + int64_t{60} * minute + second) * second_ns;
}

std::optional<parsed_range> parse_range(std::string_view text) {
  auto at = text.find_first_of("-+");
  if (at == std::string_view::npos)
    return std::nullopt;
  auto first = parse_size(text.substr(0, at));
  if (!first)
    return std::nullopt;
  auto rest = text.substr(at + 1);
  if (text[at] == '-' && rest.empty())
    return parsed_range{*first, std::nullopt};
  auto second = parse_size(rest);
  if (!second)
    return std::nullopt;
  if (text[at] == '+')
    return parsed_range{*first, *second};
  if (*second < *first || *second - *first == u64_max)
    return std::nullopt;
  return parsed_range{*first, *second - *first + 1};
}

bool valid_policy(std::string_view text) {
  auto plus = text.find('+');
  if (plus == std::string_view::npos)
    return false;
  auto k = parse_number<uint32_t>(text.substr(0, plus));
  auto m = parse_number<uint32_t>(text.substr(plus + 1));
  return k && m && *k >= 1 && *k <= 128 && *m <= 127 && *k + *m <= 128;
}

bool valid_vault_name(std::string_view text) {
  constexpr size_t size_max = 64;
  constexpr std::string_view good = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return !text.empty() && text.size() <= size_max && text.front() != '.' && text.find_first_not_of(good) == std::string_view::npos;
}

} // namespace datamesh::cli
