#include "network/audit_record.hpp"

#include "base/text_lines.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::network {

namespace {

constexpr std::string_view title = "datamesh audits ";
constexpr unsigned version = 1;
constexpr auto reading = "read what a node has shown";
constexpr double forgets = 1 - 1 / audits_remembered;

constexpr std::array<std::string_view, 4> names{"passed", "lost", "wrong", "unanswered"};

std::string_view name_of(audit_outcome outcome) {
  return names[static_cast<size_t>(outcome)];
}

int64_t nanoseconds(clock::wall_time when) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
}

/// A number of which nothing stands behind.
std::optional<double> parse_weight(std::string_view text) {
  double value = 0;
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (failure != std::errc{} || end != text.data() + text.size() || !(value >= 0) || value > 2 * audits_remembered)
    return std::nullopt;
  return value;
}

std::optional<challenge> parse_challenge(std::string_view pack, std::string_view shard, std::string_view block) {
  auto id = pack_id::parse(pack);
  auto index = parse_decimal<uint8_t>(shard);
  auto number = parse_decimal<uint32_t>(block);
  if (!id || id->hex() != pack || !index || !number)
    return std::nullopt;
  return challenge{{*id, *index}, *number};
}

} // namespace

challenge audit_record::next(const shard_key& shard, uint32_t block) const {
  auto due = owed_.find(shard);
  return {shard, due == owed_.end() ? block : due->second.block};
}

bool audit_record::owes(const shard_key& shard) const {
  return owed_.contains(shard);
}

audit_outcome audit_record::note(const challenge& what, audit_outcome outcome, clock::wall_time when) {
  auto& due = owed_[what.shard];
  if (due.block != what.block)
    due = {what.block};
  auto again = outcome == audit_outcome::wrong && due.wrong;
  if (outcome == audit_outcome::unanswered && ++due.unanswered >= asked_at_most)
    outcome = audit_outcome::lost;
  due.wrong = outcome == audit_outcome::wrong;
  auto open = due.wrong || outcome == audit_outcome::unanswered;
  // Who leaves so many unanswered is asked about others first: one is as good as another.
  if (!open || owed_.size() > challenges_open_max)
    owed_.erase(what.shard);
  count(what, outcome, when);
  lies_ = lies_ || again || wrongs_since(when - wrongs_count_for) >= wrongs_at_most;
  return outcome;
}

void audit_record::count(const challenge& what, audit_outcome outcome, clock::wall_time when) {
  ++counts_[static_cast<size_t>(outcome)];
  // Who may only have been slow is not judged by it.
  if (outcome != audit_outcome::unanswered) {
    auto good = outcome == audit_outcome::passed;
    good_ = forgets * good_ + (good ? 1 : 0);
    bad_ = forgets * bad_ + (good ? 0 : 1);
  }
  if (outcome == audit_outcome::passed) {
    last_ns_ = nanoseconds(when);
    return;
  }
  if (events_.size() >= audit_events_max)
    events_.pop_front();
  events_.push_back({nanoseconds(when), std::string{name_of(outcome)}, what.shard.pack, what.shard.index, what.block, score()});
}

size_t audit_record::wrongs_since(clock::wall_time when) const {
  return static_cast<size_t>(std::ranges::count_if(events_, [since = nanoseconds(when)](const audit_event& one) {
    return one.what == name_of(audit_outcome::wrong) && one.when_ns >= since;
  }));
}

double audit_record::score() const noexcept {
  return good_ / (good_ + bad_);
}

audit_report audit_record::report() const {
  audit_report all;
  all.score = score();
  all.lies = lies_;
  all.passed = counts_[0];
  all.lost = counts_[1];
  all.wrong = counts_[2];
  all.unanswered = counts_[3];
  all.last_passed_ns = last_ns_;
  all.events.assign(events_.rbegin(), events_.rend());
  return all;
}

std::string audit_record::encode() const {
  auto text = fmt::format("{}{}\nweights {:.6f} {:.6f}\ncounts {} {} {} {}\n", title, version, good_, bad_, counts_[0], counts_[1],
                          counts_[2], counts_[3]);
  if (last_ns_)
    text += fmt::format("last {}\n", *last_ns_);
  if (lies_)
    text += "lies\n";
  for (const auto& [shard, due] : owed_)
    text += fmt::format("owes {} {} {} {} {}\n", shard.pack.hex(), shard.index, due.block, due.unanswered, due.wrong ? "wrong" : "silent");
  for (const auto& one : events_)
    text += fmt::format("event {} {} {} {} {} {:.6f}\n", one.when_ns, one.what, one.pack.hex(), one.shard, one.block, one.score);
  return text;
}

result<audit_record> audit_record::parse(std::string_view text) {
  auto damaged = [](const char* what) {
    return fail(errc::format_damaged, reading, what);
  };
  if (auto titled = take_title(text, title, version, reading); !titled)
    return fail(titled.error());
  audit_record read;
  auto line = take_line(text);
  auto weights = line ? split_words<3>(*line) : std::nullopt;
  auto good = weights && (*weights)[0] == "weights" ? parse_weight((*weights)[1]) : std::nullopt;
  auto bad = weights ? parse_weight((*weights)[2]) : std::nullopt;
  if (!good || !bad || *good + *bad <= 0)
    return damaged("its weights");
  read.good_ = *good;
  read.bad_ = *bad;
  line = take_line(text);
  auto counts = line ? split_words<5>(*line) : std::nullopt;
  for (size_t i = 0; i < read.counts_.size(); ++i) {
    auto count = counts && (*counts)[0] == "counts" ? parse_decimal<uint64_t>((*counts)[i + 1]) : std::nullopt;
    if (!count)
      return damaged("its counts");
    read.counts_[i] = *count;
  }
  while (!text.empty()) {
    line = take_line(text);
    if (!line)
      return damaged("its end");
    if (auto last = split_words<2>(*line); last && (*last)[0] == "last") {
      read.last_ns_ = parse_decimal<int64_t>((*last)[1]);
      if (read.last_ns_)
        continue;
    } else if (*line == "lies") {
      read.lies_ = true;
      continue;
    } else if (auto owes = split_words<6>(*line); owes && (*owes)[0] == "owes" && read.owed_.size() < challenges_open_max) {
      auto what = parse_challenge((*owes)[1], (*owes)[2], (*owes)[3]);
      auto times = parse_decimal<uint32_t>((*owes)[4]);
      auto wrong = (*owes)[5] == "wrong";
      if (what && times && *times < asked_at_most && (wrong || (*owes)[5] == "silent")
          && read.owed_.emplace(what->shard, owed{what->block, *times, wrong}).second)
        continue;
    } else if (auto event = split_words<7>(*line); event && (*event)[0] == "event" && read.events_.size() < audit_events_max) {
      auto when = parse_decimal<int64_t>((*event)[1]);
      auto known = std::ranges::find(names, (*event)[2]) != names.end();
      auto what = parse_challenge((*event)[3], (*event)[4], (*event)[5]);
      auto score = parse_weight((*event)[6]);
      if (when && known && what && score && *score <= 1) {
        read.events_.push_back({*when, std::string{(*event)[2]}, what->shard.pack, what->shard.index, what->block, *score});
        continue;
      }
    }
    return damaged("a line of it");
  }
  return read;
}

} // namespace datamesh::network
