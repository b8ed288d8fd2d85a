#include "network/audit_book.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace datamesh::network {

audit_book::audit_book(environment env, std::string path)
    : env_(std::move(env)), path_(std::move(path)), written_(env_.clock->monotonic()) {
  auto text = read_whole(*env_.files, path_, audit_file_max);
  auto read = text ? audit_record::parse(as_text(*text)) : fail(text.error());
  record_ = read.value_or(audit_record{});
}

audit_book::~audit_book() {
  std::lock_guard guard{mutex_};
  write();
}

result<uint64_t> audit_book::draw() const {
  std::array<std::byte, 8> chance{};
  return env_.random->fill(chance).map([&] { return std::bit_cast<uint64_t>(chance); });
}

result<bool> audit_book::is_due(const shard_key& shard, uint64_t of) {
  auto chance = draw();
  if (!chance)
    return fail(chance.error());
  std::lock_guard guard{mutex_};
  auto now = env_.clock->monotonic();
  auto at_once = std::clamp<uint64_t>(of, 1, audits_at_once);
  auto each = std::chrono::nanoseconds{audits_again} / at_once;
  auto missing = all_left_at_ <= now ? 0 : static_cast<uint64_t>((all_left_at_ - now + each - std::chrono::nanoseconds{1}) / each);
  auto chosen = *chance % std::max<uint64_t>(of, 1) + missing < at_once;
  if (chosen)
    all_left_at_ = std::max(all_left_at_, now) + each;
  return chosen || record_.owes(shard);
}

result<challenge> audit_book::next(const shard_key& shard, uint32_t blocks) const {
  auto chance = draw();
  if (!chance)
    return fail(chance.error());
  std::lock_guard guard{mutex_};
  return record_.next(shard, static_cast<uint32_t>(*chance % blocks));
}

audit_outcome audit_book::note(const challenge& what, audit_outcome outcome) {
  std::lock_guard guard{mutex_};
  auto counts = record_.note(what, outcome, env_.clock->wall());
  changed_ = true;
  if (counts != audit_outcome::passed || env_.clock->monotonic() - written_ >= audits_written_after)
    write();
  return counts;
}

double audit_book::score() const {
  std::lock_guard guard{mutex_};
  return record_.score();
}

bool audit_book::lies() const {
  std::lock_guard guard{mutex_};
  return record_.lies();
}

audit_report audit_book::report() const {
  std::lock_guard guard{mutex_};
  return record_.report();
}

// On a full disk it is tried again with the next change.
void audit_book::write() {
  if (!changed_ || !write_whole(*env_.files, path_, as_view(record_.encode())))
    return;
  changed_ = false;
  written_ = env_.clock->monotonic();
}

} // namespace datamesh::network
