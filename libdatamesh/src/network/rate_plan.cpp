#include "network/rate_plan.hpp"

#include "base/text_lines.hpp"

#include <fmt/format.h>

#include <array>
#include <bitset>
#include <ctime>
#include <optional>

namespace datamesh::network {

namespace {

constexpr std::string_view title = "datamesh rates ";
constexpr unsigned version = 1;
constexpr auto reading = "read the limits of the line";
constexpr unsigned minutes_of_day = 24 * 60;

std::string text_of(uint16_t minute) {
  return fmt::format("{:02}:{:02}", minute / 60, minute % 60);
}

/// Of `HH:MM`; that it can be is for `check_rates`.
std::optional<uint16_t> parse_minute(std::string_view text) {
  auto digit = [&](size_t at) {
    return text[at] >= '0' && text[at] <= '9';
  };
  if (text.size() != 5 || text[2] != ':' || !digit(0) || !digit(1) || !digit(3) || !digit(4) || text[3] > '5')
    return std::nullopt;
  auto two = [&](size_t at) {
    return 10 * (text[at] - '0') + (text[at + 1] - '0');
  };
  return static_cast<uint16_t>(60 * two(0) + two(3));
}

std::optional<rate_limits> parse_limits(std::string_view up_word, std::string_view up, std::string_view down_word, std::string_view down) {
  auto sent = parse_decimal<uint64_t>(up);
  auto received = parse_decimal<uint64_t>(down);
  if (up_word != "up" || down_word != "down" || !sent || !received)
    return std::nullopt;
  return rate_limits{*sent, *received};
}

std::optional<rate_window> parse_window(std::string_view line) {
  auto words = split_words<8>(line);
  if (!words || (*words)[0] != "from" || (*words)[2] != "until")
    return std::nullopt;
  auto from = parse_minute((*words)[1]);
  auto until = parse_minute((*words)[3]);
  auto limits = parse_limits((*words)[4], (*words)[5], (*words)[6], (*words)[7]);
  if (!from || !until || !limits)
    return std::nullopt;
  return rate_window{*from, *until, *limits};
}

bool is_in(const rate_window& window, unsigned minute) noexcept {
  if (window.from < window.until)
    return window.from <= minute && minute < window.until;
  return window.from <= minute || minute < window.until;
}

tl::unexpected<error> impossible(std::string what) {
  return fail(errc::invalid_argument, "limit the line", std::move(what));
}

} // namespace

} // namespace datamesh::network

namespace datamesh {

result<void> check_rates(const rate_plan& plan) {
  using namespace network;
  auto can_be = [](const rate_limits& of) {
    return (of.up == 0 || of.up >= rate_limit_min) && (of.down == 0 || of.down >= rate_limit_min);
  };
  if (!can_be(plan.always))
    return impossible("to less than 256 KiB a second");
  if (plan.windows.size() > rate_windows_max)
    return impossible("at more than 16 times of a day");
  std::bitset<minutes_of_day> taken;
  for (const auto& one : plan.windows) {
    auto hours = text_of(one.from) + "-" + text_of(one.until);
    if (!can_be(one.limits))
      return impossible(hours + " to less than 256 KiB a second");
    if (one.from >= minutes_of_day || one.until > minutes_of_day || one.from == one.until)
      return impossible(hours + ", which is no part of a day");
    for (unsigned minute = 0; minute < minutes_of_day; ++minute) {
      if (!is_in(one, minute))
        continue;
      if (taken[minute])
        return impossible(hours + ", when other limits hold");
      taken.set(minute);
    }
  }
  return {};
}

} // namespace datamesh

namespace datamesh::network {

rate_limits limits_at(const rate_plan& plan, unsigned minute) noexcept {
  for (const auto& one : plan.windows)
    if (is_in(one, minute))
      return one.limits;
  return plan.always;
}

unsigned minute_of_day(clock::wall_time when) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(when.time_since_epoch()).count();
  auto since = static_cast<std::time_t>(seconds);
  std::tm local{};
  if (::localtime_r(&since, &local) == nullptr)
    return 0;
  return static_cast<unsigned>(60 * local.tm_hour + local.tm_min);
}

std::string encode_rates(const rate_plan& plan) {
  auto text = fmt::format("{}{}\nalways up {} down {}\n", title, version, plan.always.up, plan.always.down);
  for (const auto& one : plan.windows)
    text += fmt::format("from {} until {} up {} down {}\n", text_of(one.from), text_of(one.until), one.limits.up, one.limits.down);
  return text;
}

result<rate_plan> parse_rates(std::string_view text) {
  auto damaged = [](const char* what) {
    return fail(errc::format_damaged, reading, what);
  };
  if (auto titled = take_title(text, title, version, reading); !titled)
    return fail(titled.error());
  auto line = take_line(text);
  auto words = line ? split_words<5>(*line) : std::nullopt;
  auto always = words && (*words)[0] == "always" ? parse_limits((*words)[1], (*words)[2], (*words)[3], (*words)[4]) : std::nullopt;
  if (!always)
    return damaged("its second line");
  rate_plan plan{*always, {}};
  while (!text.empty()) {
    auto next = take_line(text);
    auto window = next ? parse_window(*next) : std::nullopt;
    if (!window || plan.windows.size() == rate_windows_max)
      return damaged("a line of it");
    plan.windows.push_back(*window);
  }
  if (!check_rates(plan))
    return damaged("its limits");
  return plan;
}

} // namespace datamesh::network
