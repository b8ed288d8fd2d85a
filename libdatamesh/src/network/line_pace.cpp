#include "network/line_pace.hpp"

#include "network/rate_plan.hpp"

namespace datamesh::network {

void line_pace::set(rate_plan plan) {
  {
    std::lock_guard guard{mutex_};
    plan_ = std::move(plan);
  }
  ++version_;
}

rate_limits line_pace::limits(clock::wall_time now) const {
  std::lock_guard guard{mutex_};
  return plan_.windows.empty() ? plan_.always : limits_at(plan_, minute_of_day(now));
}

traffic_report line_pace::report(clock::wall_time now) const {
  return {sent_, received_, limits(now)};
}

} // namespace datamesh::network
