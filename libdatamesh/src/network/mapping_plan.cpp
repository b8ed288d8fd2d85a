#include "network/mapping_plan.hpp"

#include <algorithm>

namespace datamesh::network {

void mapping_plan::gave(const given_port& what, mesh_time now) {
  held_ = what;
  ends_.reset();
  // 0 stays; all else is at most what a number of 32 bits tells.
  if (what.lifetime.count() > 0)
    ends_ = now + what.lifetime;
  auto half = what.lifetime.count() > 0 ? what.lifetime / 2 : std::chrono::seconds{port_renewed_last};
  next_ = now + std::clamp<std::chrono::seconds>(half, port_renewed_first, port_renewed_last);
  failure_.reset();
  retry_ = port_retry_first;
}

void mapping_plan::failed(const error& why, mesh_time now) {
  failure_ = why;
  next_ = now + retry_;
  retry_ = std::min<std::chrono::seconds>(retry_ * 2, port_retry_last);
}

void mapping_plan::expire(mesh_time now) {
  if (!ends_ || now < *ends_)
    return;
  held_.reset();
  ends_.reset();
}

mesh_time mapping_plan::next() const noexcept {
  return ends_ ? std::min(next_, *ends_) : next_;
}

} // namespace datamesh::network
