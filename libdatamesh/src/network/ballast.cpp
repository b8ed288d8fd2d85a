#include "network/ballast.hpp"

#include <algorithm>
#include <array>

namespace datamesh::network {

namespace {

/// Some file systems take their time to allocate: between two pieces something else may be done.
constexpr uint64_t piece = 4ull << 30;
constexpr auto at_once = std::chrono::milliseconds{200};
constexpr uint64_t page = 4096;

/// What shards take beyond what is charged for them: for each 64 bytes one, and what rows and their
/// logs take; beside what is kept free for rows.
uint64_t spare_of(uint64_t left, uint64_t rows) {
  return left == 0 ? 0 : left / 64 + 2 * rows;
}

} // namespace

ballast::ballast(environment env, ballast_options options)
    : env_(std::move(env)), options_(std::move(options)), capacity_(options_.capacity) {}

void ballast::add(const std::string& folder) {
  auto at = std::make_unique<place>(env_.files, folder);
  if (auto looked = at->file.look(); !looked)
    tell_once(*at, looked.error().message());
  places_.push_back(std::move(at));
}

void ballast::tell_once(place& at, std::string_view what) const {
  if (env_.log == nullptr || std::exchange(at.told, true))
    return;
  std::array<log_field, 1> fields{log_field{"folder", at.folder}};
  env_.log->write(severity::warning, "ballast", what, fields);
}

// -- figures -------------------------------------------------------------------------

uint64_t ballast::held() const noexcept {
  uint64_t sum = 0;
  for (const auto& at : places_)
    sum += at->file.held();
  return sum;
}

uint64_t ballast::held_in(const std::string& folder) const {
  for (const auto& at : places_)
    if (at->folder == folder)
      return at->file.held();
  return 0;
}

uint64_t ballast::left(uint64_t used) const noexcept {
  auto capacity = capacity_.load();
  return capacity > used ? capacity - used : 0;
}

uint64_t ballast::held_for(uint64_t used) const noexcept {
  return std::min(left(used), held());
}

uint64_t ballast::lacking(uint64_t used) const noexcept {
  auto due = left(used);
  return due - std::min(due, held());
}

result<ballast::measure> ballast::look_at(const place& at) const {
  auto space = env_.files->space(at.folder);
  if (!space)
    return fail(space.error());
  auto share = static_cast<uint64_t>(static_cast<double>(space->total) * options_.reserve_ratio);
  auto reserve = std::max(options_.reserve_bytes, share);
  return measure{space->available, reserve, std::min(reserve, rows_room)};
}

uint64_t ballast::room(size_t drive) const {
  const auto& at = *places_.at(drive);
  auto disk = look_at(at);
  return at.file.held() + (disk ? disk->free() : 0);
}

// -- giving way ----------------------------------------------------------------------

/// As far as it has so much; answers how much that was, in whole pages.
uint64_t ballast::give(place& at, uint64_t bytes) {
  auto before = at.file.held();
  if (before == 0 || bytes == 0)
    return 0;
  auto given = at.file.hold(before - std::min(before, bytes));
  if (!given && given.error().code() != errc::read_only)
    tell_once(at, given.error().message());
  return before - std::min(before, at.file.held());
}

result<void> ballast::make_way(size_t drive, uint64_t charge, uint64_t used) {
  auto& at = *places_.at(drive);
  auto disk = look_at(at);
  if (!disk)
    return {}; // Whoever stores there is told.
  auto cost = (charge + page - 1) / page * page;
  if (disk->free() >= cost)
    return {};
  auto full = [&] {
    return fail(errc::drive_full, "store shards", at.folder);
  };
  if (charge > left(used))
    return full();
  // The disk is to have as much free afterwards as now, or as what is kept free in any case.
  auto need = cost - disk->free() + (disk->rows - std::min(disk->rows, disk->available));
  // Without that, half of the reserve is for the upkeep of the node's own data, unless others took it.
  auto others_took_it = disk->available < disk->reserve / 2;
  for (;;) {
    auto given = give(at, need);
    auto is_paid = given >= need || others_took_it;
    disk = look_at(at);
    if (!disk || disk->available >= cost + (is_paid ? disk->rows : disk->reserve) / 2)
      return {};
    if (!is_paid || given == 0)
      return full();
    // What only root may have was taken, too, and is made up for before there is anything for others.
    need = cost + disk->rows - disk->available;
  }
}

void ballast::make_way_for_rows(size_t drive) {
  auto& at = *places_.at(drive);
  if (at.file.held() == 0)
    return;
  if (auto disk = look_at(at); disk && disk->available < disk->rows)
    (void) give(at, disk->rows - disk->available);
}

// -- settling ------------------------------------------------------------------------

void ballast::let_go_where_nothing_goes() {
  for (auto& at : places_)
    if (at->file.held() > 0 && options_.takes_new && !options_.takes_new(at->folder))
      (void) give(*at, at->file.held());
}

/// Of what is held beyond what was promised.
void ballast::keep_rows_room(uint64_t promised) {
  for (auto& at : places_) {
    auto all = held();
    auto disk = look_at(*at);
    if (disk && disk->available < disk->rows && all > promised)
      (void) give(*at, std::min(disk->rows - disk->available, all - promised));
  }
}

/// From the fullest disks first.
void ballast::let_go(uint64_t bytes) {
  std::vector<std::pair<uint64_t, place*>> order;
  for (auto& at : places_)
    if (auto disk = look_at(*at))
      order.emplace_back(disk->available, at.get());
  std::ranges::stable_sort(order, {}, &std::pair<uint64_t, place*>::first);
  for (auto& [available, at] : order)
    bytes -= std::min(bytes, give(*at, bytes));
}

/// Answers how much more it holds.
uint64_t ballast::grow(place& at, uint64_t bytes) {
  auto disk = look_at(at);
  auto more = std::min({bytes, disk ? disk->free() : 0, piece});
  auto before = at.file.held();
  // A full or failing disk is told by what is lacking.
  if (more > 0 && at.file.hold(before + more) && !at.file.can_hold())
    tell_once(at, "The file system can not hold room for others: what is set aside is an account here, and no more.");
  return at.file.held() - std::min(before, at.file.held());
}

/// On each disk in proportion to what is free there. False when there was no time for all.
bool ballast::take(uint64_t bytes) {
  auto until = env_.clock->monotonic() + at_once;
  while (bytes > 0) {
    std::vector<std::pair<uint64_t, place*>> free;
    uint64_t all = 0;
    for (auto& at : places_) {
      auto disk = look_at(*at);
      if (!disk || !at->file.can_hold() || (options_.takes_new && !options_.takes_new(at->folder)))
        continue;
      free.emplace_back(disk->free(), at.get());
      all += disk->free();
    }
    uint64_t taken = 0;
    auto due = bytes;
    for (auto& [share, at] : free) {
      if (share > 0)
        taken += grow(*at, static_cast<uint64_t>(static_cast<double>(due) * static_cast<double>(share) / static_cast<double>(all)) + page);
      if (env_.clock->monotonic() >= until)
        break;
    }
    if (taken == 0)
      return true;
    bytes -= std::min(bytes, taken);
    if (bytes > 0 && env_.clock->monotonic() >= until)
      return false;
  }
  return true;
}

bool ballast::settle(uint64_t used) {
  auto promised = left(used);
  let_go_where_nothing_goes();
  keep_rows_room(promised);
  auto spare = spare_of(promised, std::min(options_.reserve_bytes, rows_room));
  auto due = promised + spare;
  auto all = held();
  if (promised == 0 || all > due + ballast_step)
    let_go(all - std::min(all, due));
  else if (all < promised + spare / 2)
    return take(due - all);
  return true;
}

} // namespace datamesh::network
