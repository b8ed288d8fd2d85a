// drive rule: by what labels drives may have data.
#include "display.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>
#include <array>

namespace datamesh::cli {

namespace {

/// "region=eu"
std::string text_of(const drive_label& one) {
  return fmt::format("{}={}", to_string(one.kind), one.value);
}

std::vector<std::string> texts_of(const std::vector<drive_label>& labels) {
  std::vector<std::string> texts;
  std::ranges::transform(labels, std::back_inserter(texts), [](const auto& one) { return text_of(one); });
  return texts;
}

outcome<std::vector<drive_label>> labels_of(const std::vector<std::string>& words) {
  std::vector<drive_label> labels;
  for (const auto& word : words) {
    constexpr std::array kinds{label_kind::region, label_kind::zone, label_kind::operated_by};
    auto equals = word.find('=');
    auto kind = std::ranges::find(kinds, word.substr(0, equals), [](label_kind one) { return to_string(one); });
    if (equals == std::string::npos || kind == kinds.end())
      return refuse(errc::usage, fmt::format("'{}' is not region=NAME, zone=NAME or operator=NAME", printable(word)),
                    "datamesh help drive rule");
    labels.push_back({*kind, word.substr(equals + 1)});
  }
  return labels;
}

/// The rule that the options say, or none where they say nothing.
outcome<std::optional<placement_rule>> rule_of(session& s) {
  auto names = !s.set.list("only").empty() || !s.set.list("never").empty();
  if (s.set.flag("clear") && names)
    return refuse(errc::usage, "--clear takes the rule away, and --only and --never say one", "leave out one of them");
  if (s.set.flag("clear"))
    return placement_rule{};
  if (!names)
    return std::nullopt;
  auto only = labels_of(s.set.list("only"));
  if (!only)
    return refuse(only.error());
  auto never = labels_of(s.set.list("never"));
  if (!never)
    return refuse(never.error());
  placement_rule rule{std::move(*only), std::move(*never)};
  auto good = check_rule(rule);
  if (!good && good.error().code() == errc::name_invalid)
    return refuse(errc::name_invalid, good.error().message(),
                  "a label has 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter or digit");
  if (!good)
    return refuse(good.error());
  return rule;
}

void tell(session& s, const placement_rule& rule, const std::vector<drive_report>& drives) {
  std::vector<drive_report> outside;
  uint64_t shards = 0;
  for (auto drive : drives) {
    drive.outside_rule = !allows(rule, drive.labels);
    if (!drive.outside_rule)
      continue;
    shards += drive.shards;
    s.out.line(drive_json(drive));
    outside.push_back(std::move(drive));
  }
  s.out.line(json_line{"summary"}
                 .add("dry_run", s.dry_run())
                 .add("only", texts_of(rule.only))
                 .add("never", texts_of(rule.never))
                 .add("drives", drives.size())
                 .add("drives_outside", outside.size())
                 .add("shards_outside", shards));
  if (rule.empty())
    return s.out.print("There is no rule: data may lie on any drive.");
  s.out.print("Rule      {}", rule_text(rule));
  s.out.print("Within    {} of {}", grouped(drives.size() - outside.size()), counted(drives.size(), "drive", "drives"));
  if (outside.empty())
    return;
  s.out.print("Outside   {} on {}", counted(shards, "shard", "shards"), counted(outside.size(), "drive", "drives"));
  s.out.print("");
  s.out.page(drive_table(s.out, outside));
  if (outside.size() == drives.size())
    s.out.warn("no drive is within the rule: nothing new can be stored. Label drives: datamesh drive label");
  else if (shards > 0)
    s.out.print("New data heeds it from now on. To move what is there, run: datamesh rebalance");
}

} // namespace

std::string rule_text(const placement_rule& rule) {
  std::vector<std::string> texts;
  for (const auto& one : rule.only)
    texts.push_back("only " + text_of(one));
  for (const auto& one : rule.never)
    texts.push_back("never " + text_of(one));
  return texts.empty() ? "-" : fmt::format("{}", fmt::join(texts, ", "));
}

outcome<int> run_drive_rule(session& s) {
  auto next = rule_of(s);
  if (!next)
    return refuse(next.error());
  auto n = s.open_node();
  if (!n)
    return refuse(n.error());
  if (*next && !s.dry_run())
    if (auto done = (*n)->set_rule(**next); !done) {
      failure why{done.error()};
      if (why.code == errc::permission_denied && s.by_daemon())
        why.next = "run it as root or as the user of the daemon: only they say where data may lie";
      return refuse(std::move(why));
    }
  auto rule = *next ? result<placement_rule>{**next} : (*n)->rule();
  if (!rule)
    return refuse(rule.error());
  tell(s, *rule, (*n)->drives());
  return 0;
}

} // namespace datamesh::cli
