#include "network/audit_book.hpp"

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

result<challenge> audit_book::next(const shard_key& shard, uint32_t blocks) const {
  std::array<std::byte, 8> chance{};
  if (auto drawn = env_.random->fill(chance); !drawn)
    return fail(drawn.error());
  auto block = static_cast<uint32_t>(std::bit_cast<uint64_t>(chance) % blocks);
  std::lock_guard guard{mutex_};
  return record_.next(shard, block);
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
