// node limit: what this node takes of its line.
#include "display.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>

namespace datamesh::cli {

namespace {

constexpr int minutes_of_day = 24 * 60;

std::string text_of(uint16_t minute) {
  return fmt::format("{:02}:{:02}", minute / 60, minute % 60);
}

std::string text_of(const rate_window& hours) {
  return text_of(hours.from) + "-" + text_of(hours.until);
}

/// Of "08:00"; 24:00 is the end of a day.
std::optional<uint16_t> parse_minute(std::string_view text) {
  auto is_digit = [](char c) {
    return c >= '0' && c <= '9';
  };
  if (text.size() != 5 || text[2] != ':' || !is_digit(text[0]) || !is_digit(text[1]) || !is_digit(text[3]) || !is_digit(text[4])
      || text[3] > '5')
    return std::nullopt;
  auto minute = 600 * (text[0] - '0') + 60 * (text[1] - '0') + 10 * (text[3] - '0') + (text[4] - '0');
  return minute <= minutes_of_day ? std::optional{static_cast<uint16_t>(minute)} : std::nullopt;
}

outcome<rate_window> parse_hours(std::string_view text) {
  auto dash = text.find('-');
  auto from = parse_minute(text.substr(0, dash));
  auto until = dash == std::string_view::npos ? std::nullopt : parse_minute(text.substr(dash + 1));
  if (!from || !until || *from == *until || *from == minutes_of_day)
    return refuse(errc::usage, fmt::format("'{}' is no part of a day", printable(text)), "write 08:00-18:00, or 22:00-06:00");
  return rate_window{*from, *until, {}};
}

/// What was named of it takes the place of what there was.
void change(session& s, rate_limits& to) {
  if (s.set.given("up"))
    to.up = parse_size(s.set.text("up")).value_or(0); // The parser has looked at it.
  if (s.set.given("down"))
    to.down = parse_size(s.set.text("down")).value_or(0);
}

outcome<rate_plan> changed(session& s, rate_plan plan) {
  auto clears = s.set.flag("clear");
  auto names = s.set.given("up") || s.set.given("down");
  if (clears && names)
    return refuse(errc::usage, "--clear takes limits away, and --up and --down set some", "leave out one of them");
  if (!s.set.given("between")) {
    if (clears)
      return rate_plan{};
    change(s, plan.always);
    return plan;
  }
  auto hours = parse_hours(s.set.text("between"));
  if (!hours)
    return refuse(hours.error());
  if (!clears && !names)
    return refuse(errc::usage, "nothing is said of these hours", "add --up SIZE, --down SIZE or --clear");
  auto known = std::ranges::find_if(plan.windows, [&](const auto& one) { return one.from == hours->from && one.until == hours->until; });
  if (clears && known == plan.windows.end())
    return refuse(errc::not_found, fmt::format("there are no limits for {}", text_of(*hours)), "datamesh node limit: it shows them");
  if (clears) {
    plan.windows.erase(known);
    return plan;
  }
  if (known == plan.windows.end()) {
    hours->limits = plan.always;
    known = plan.windows.insert(plan.windows.end(), *hours);
  }
  change(s, known->limits);
  std::ranges::sort(plan.windows, {}, &rate_window::from);
  return plan;
}

std::string text_of(const session& s, uint64_t limit) {
  return limit == 0 ? "not limited" : s.out.size(limit) + " a second";
}

void tell(session& s, const rate_plan& plan) {
  std::vector<json_line> windows;
  using align = text_table::align;
  text_table table{{align::left, align::left, align::left}};
  table.heading({"WHEN", "UP", "DOWN"});
  for (const auto& one : plan.windows) {
    json_line row;
    row.add("from", text_of(one.from)).add("until", text_of(one.until)).add("up", one.limits.up).add("down", one.limits.down);
    windows.push_back(std::move(row));
    table.row({text_of(one), text_of(s, one.limits.up), text_of(s, one.limits.down)});
  }
  table.row({plan.windows.empty() ? "always" : "else", text_of(s, plan.always.up), text_of(s, plan.always.down)});
  s.out.line(json_line{"summary"}
                 .add("dry_run", s.dry_run())
                 .add("up", plan.always.up)
                 .add("down", plan.always.down)
                 .add("windows", std::span<const json_line>{windows}));
  s.out.page(table.render());
}

} // namespace

outcome<int> run_node_limit(session& s) {
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  auto changes = std::ranges::any_of(std::array{"up", "down", "between", "clear"}, [&](auto name) { return s.set.given(name); });
  auto plan = s.set.flag("clear") && !s.set.given("between") ? rate_plan{} : (*n)->rates();
  if (!plan) {
    failure why{plan.error()};
    if (why.code == errc::format_damaged || why.code == errc::format_newer)
      why.next = "datamesh node limit --clear: nothing is limited then, and limits can be set anew";
    return refuse(std::move(why));
  }
  if (changes) {
    auto next = changed(s, std::move(*plan));
    if (!next)
      return refuse(next.error());
    if (auto good = check_rates(*next); !good)
      return refuse(failure{good.error()});
    if (!s.dry_run())
      if (auto done = (*n)->set_rates(*next); !done) {
        failure why{done.error()};
        if (why.code == errc::permission_denied && s.by_daemon())
          why.next = "run it as root or as the user of the daemon: it is their line";
        return refuse(std::move(why));
      }
    plan = std::move(*next);
  }
  tell(s, *plan);
  return 0;
}

} // namespace datamesh::cli
