#include "storage/read_pace.hpp"

#include <algorithm>
#include <vector>

namespace datamesh::storage {

namespace {

/// A disk seeks in the time in which it reads so many bytes.
constexpr double seek_bytes = 1 << 20;

/// A 19th of the way up, so that it rests where one in twenty takes longer.
constexpr double up = 1.2;
constexpr double down = 0.990450; // 1.2 ^ (-1 / 19)

double work_of(size_t size) {
  return 1 + static_cast<double>(size) / seek_bytes;
}

} // namespace

class read_pace::read {
public:
  read(std::shared_ptr<read_pace> pace, const drive_id& drive, uint64_t number) : pace_(std::move(pace)), drive_(drive), number_(number) {}
  ~read() {
    pace_->end(drive_, number_);
  }
  read(const read&) = delete;
  read& operator=(const read&) = delete;

private:
  std::shared_ptr<read_pace> pace_;
  drive_id drive_;
  uint64_t number_;
};

std::shared_ptr<const void> read_pace::begin(const drive_id& drive, size_t size) {
  uint64_t number = 0;
  {
    std::lock_guard guard{mutex_};
    number = next_++;
    drives_[drive].reads.emplace(number, under_way{now(), size});
    funds_ = std::min(funds_ + 1, funds_max_);
  }
  return std::make_shared<read>(shared_from_this(), drive, number);
}

void read_pace::end(const drive_id& drive, uint64_t number) {
  std::lock_guard guard{mutex_};
  auto& pace = drives_[drive];
  auto done = pace.reads.find(number);
  auto took = static_cast<double>(duration{now() - done->second.begun}.count()) / work_of(done->second.size);
  pace.reads.erase(done);
  pace.told = pace.told && standing_locked(pace) == standing::hanging;
  if (!pace.slow_ns)
    pace.slow_ns = std::max(took, 1.0);
  else
    pace.slow_ns = std::max(*pace.slow_ns * (took > *pace.slow_ns ? up : down), 1.0);
}

read_pace::duration read_pace::patience(size_t size) const {
  std::lock_guard guard{mutex_};
  return patience_locked(size);
}

read_pace::duration read_pace::patience_locked(size_t size) const {
  std::vector<double> measured;
  for (const auto& [drive, pace] : drives_)
    if (pace.slow_ns)
      measured.push_back(*pace.slow_ns);
  if (measured.empty())
    return late_unmeasured;
  // Of two the faster one.
  auto middle = measured.begin() + static_cast<ptrdiff_t>((measured.size() - 1) / 2);
  std::nth_element(measured.begin(), middle, measured.end());
  auto late = std::min(late_factor * *middle * work_of(size), static_cast<double>(duration{hanging_after}.count()));
  return std::max<duration>(late_floor, duration{static_cast<int64_t>(late)});
}

read_pace::standing read_pace::of(const drive_id& drive) const {
  std::lock_guard guard{mutex_};
  auto known = drives_.find(drive);
  return known == drives_.end() ? standing::answers : standing_locked(known->second);
}

read_pace::standing read_pace::standing_locked(const drive_pace& pace) const {
  if (pace.reads.empty())
    return standing::answers;
  const auto& oldest = pace.reads.begin()->second;
  auto age = now() - oldest.begun;
  if (age >= hanging_after)
    return standing::hanging;
  return age >= patience_locked(oldest.size) ? standing::late : standing::answers;
}

bool read_pace::pay(size_t count) {
  std::lock_guard guard{mutex_};
  if (count > funds_ / reads_per_hedge)
    return false;
  funds_ -= static_cast<unsigned>(count) * reads_per_hedge;
  return true;
}

bool read_pace::is_news(const drive_id& drive) {
  std::lock_guard guard{mutex_};
  auto known = drives_.find(drive);
  if (known == drives_.end() || standing_locked(known->second) != standing::hanging)
    return false;
  return !std::exchange(known->second.told, true);
}

} // namespace datamesh::storage
