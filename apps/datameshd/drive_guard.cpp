#include "drive_guard.hpp"

#include "display.hpp"
#include "units.hpp"

#include <fmt/format.h>

#include <array>

namespace datamesh::daemon {

namespace {

/// Once low, a drive counts as well again when so much more is free: no flapping.
constexpr uint64_t slack_percent = 1;

uint64_t share(uint64_t of, uint64_t percent) {
  return of / 100 * percent;
}

} // namespace

drive_changes::health drive_changes::judge(const drive_report& drive, const drive_limits& limits, health before) {
  if (drive.state == "missing")
    return health::missing;
  if (drive.state == "failed" || drive.state == "read-only")
    return health::failed;
  if (drive.state == "draining")
    return health::draining;
  auto below = [&](uint64_t percent, bool was) {
    return drive.disk_free <= share(drive.disk_total, percent + (was && percent > 0 ? slack_percent : 0));
  };
  if (below(limits.full_percent, before == health::full))
    return health::full;
  return below(limits.low_percent, before == health::low || before == health::full) ? health::low : health::well;
}

std::vector<event> drive_changes::look(const std::vector<drive_report>& drives, const drive_limits& limits) {
  std::vector<event> news;
  std::map<drive_id, health> now;
  for (const auto& drive : drives) {
    auto known = seen_.find(drive.id);
    auto before = known == seen_.end() ? health::well : known->second;
    auto found = now[drive.id] = judge(drive, limits, before);
    // Who drains a drive knows that.
    if (found == before || found == health::draining || (found == health::well && before == health::draining))
      continue;
    event what;
    what.kind = event_kind::drive_changed;
    what.subject = drive.folder;
    auto left = fmt::format("{} of {} free for shards", cli::human_size(drive.disk_free), cli::human_size(drive.disk_total));
    if (drive.held > 0)
      left += fmt::format(", beside {} held for others", cli::human_size(drive.held));
    switch (found) {
    case health::low:
      what.level = severity::warning;
      what.detail = "the drive runs full: " + left;
      break;
    case health::full:
      what.level = severity::error;
      what.code = errc::drive_full;
      what.detail = "the drive is full: " + left;
      break;
    case health::failed:
    case health::missing:
      what.level = severity::error;
      what.code = drive.reason ? drive.reason->code() : found == health::failed ? errc::drive_failed : errc::drive_missing;
      what.detail = drive.reason ? drive.reason->message() : "the drive is " + drive.state;
      break;
    default:
      what.level = severity::info;
      what.detail = "the drive is well again: " + left;
    }
    news.push_back(std::move(what));
  }
  seen_ = std::move(now);
  return news;
}

drive_guard::drive_guard(node& of, environment env, drive_limits limits, std::function<void(const event&)> tell)
    : node_(of), env_(std::move(env)), tell_(std::move(tell)), limits_(limits) {}

drive_guard::~drive_guard() {
  stop();
}

void drive_guard::start() {
  thread_ = std::thread{[this] {
    std::unique_lock lock{mutex_};
    while (!stopping_) {
      look_now_ = false;
      lock.unlock();
      tick();
      lock.lock();
      changed_.wait_for(lock, std::chrono::seconds{limits_.every_s}, [this] { return stopping_ || look_now_; });
    }
  }};
}

void drive_guard::stop() {
  {
    std::lock_guard guard{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable())
    thread_.join();
}

void drive_guard::set(drive_limits limits) {
  {
    std::lock_guard guard{mutex_};
    limits_ = limits;
    look_now_ = true;
  }
  changed_.notify_all();
}

/// A page that goes when the file is closed.
result<void> drive_guard::probe(const std::string& folder) {
  alignas(4096) static constexpr std::array<std::byte, 4096> page{};
  auto file = env_.files->create_unnamed(folder);
  if (!file)
    return fail(file.error());
  const byte_view parts[] = {page};
  return (*file)->write_at(0, parts).and_then([&] { return (*file)->sync(); });
}

void drive_guard::tick() {
  drive_limits limits;
  {
    std::lock_guard guard{mutex_};
    limits = limits_;
  }
  auto drives = node_.drives();
  for (auto& drive : drives) {
    if (drive.state != "ok")
      continue;
    // One that is full says so below, and room on another node is looked after by that.
    if (auto works = drive.folder.starts_with('/') ? probe(drive.folder) : result<void>{};
        !works && works.error().code() != errc::no_space) {
      drive.state = "failed";
      drive.reason = works.error().within("look after drive", drive.folder);
    }
  }
  for (auto& what : changes_.look(drives, limits)) {
    what.wall_ns = env_.clock->wall().time_since_epoch().count();
    tell_(what);
  }
}

} // namespace datamesh::daemon
