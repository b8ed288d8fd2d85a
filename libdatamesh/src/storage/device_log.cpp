#include "storage/device_log.hpp"

#include "datamesh/v1/catalog.pb.h"

namespace datamesh::storage {

namespace {

/// The first run that ends at or behind *sequence*.
template <class Runs>
auto find_run(Runs& runs, uint64_t sequence) {
  // In order of arrival is the common case.
  if (!runs.empty() && runs.back().last < sequence)
    return runs.end();
  return std::lower_bound(runs.begin(), runs.end(), sequence, [](const device_log::run& r, uint64_t s) { return r.last < s; });
}

} // namespace

bool device_log::knows(uint64_t sequence) const {
  auto i = find_run(runs_, sequence);
  return i != runs_.end() && i->first <= sequence;
}

void device_log::expect_link(uint64_t sequence, const digest& link, const digest& hash) {
  if (link != hash && (broken_at_ == 0 || sequence < broken_at_))
    broken_at_ = sequence;
}

void device_log::add(uint64_t sequence, const digest& previous, const digest& hash) {
  auto next = find_run(runs_, sequence);
  if (sequence == 1)
    expect_link(sequence, previous, digest{});
  bool joins_next = next != runs_.end() && next->first == sequence + 1;
  if (joins_next)
    expect_link(sequence + 1, next->previous, hash);
  if (next != runs_.begin() && std::prev(next)->last + 1 == sequence) {
    auto before = std::prev(next);
    expect_link(sequence, previous, before->last_hash);
    before->last = sequence;
    before->last_hash = hash;
    if (joins_next) {
      before->last = next->last;
      before->last_hash = next->last_hash;
      runs_.erase(next);
    }
  } else if (joins_next) {
    next->first = sequence;
    next->previous = previous;
  } else {
    runs_.insert(next, {sequence, sequence, previous, hash});
  }
}

std::string device_log::encode() const {
  v1::CatalogDevice m;
  for (const auto& r : runs_) {
    auto& out = *m.add_runs();
    out.set_first(r.first);
    out.set_last(r.last);
    out.set_previous(std::string{r.previous.text()});
    out.set_last_hash(std::string{r.last_hash.text()});
  }
  m.set_broken_at(broken_at_);
  return m.SerializeAsString();
}

std::optional<device_log> device_log::decode(std::string_view value) {
  v1::CatalogDevice m;
  if (!m.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return std::nullopt;
  device_log log;
  uint64_t least = 1;
  for (const auto& r : m.runs()) {
    if (r.first() < least || r.last() < r.first() || r.previous().size() != digest::size || r.last_hash().size() != digest::size)
      return std::nullopt;
    log.runs_.push_back({r.first(), r.last(), digest::from(as_view(r.previous())), digest::from(as_view(r.last_hash()))});
    least = r.last() + 2;
  }
  log.broken_at_ = m.broken_at();
  return log;
}

} // namespace datamesh::storage
