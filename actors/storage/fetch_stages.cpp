#include "storage/fetch_stages.hpp"

namespace datamesh::storage {

std::shared_ptr<fetch_stages::step> fetch_stages::begin() {
  reads_.try_emplace(++last_);
  return std::make_shared<step>(shared_from_this(), last_);
}

void fetch_stages::step::ask(const drive_id& drive) {
  if (auto read = all_->reads_.find(number_); read != all_->reads_.end())
    ++read->second.due[drive];
  all_->tell();
}

void fetch_stages::step::answered(const drive_id& drive) {
  if (auto read = all_->reads_.find(number_); read != all_->reads_.end()) {
    auto& due = read->second.due;
    if (auto at = due.find(drive); at != due.end() && --at->second == 0)
      due.erase(at);
  }
  all_->tell();
}

void fetch_stages::step::at_worker(bool is) {
  if (auto read = all_->reads_.find(number_); read != all_->reads_.end())
    read->second.at_worker = is;
  all_->tell();
}

void fetch_stages::step::end() {
  if (all_->reads_.erase(number_) > 0)
    all_->tell();
}

void fetch_stages::tell() {
  if (!watch_)
    return;
  stage_wait now;
  if (!reads_.empty()) {
    const auto& first = reads_.begin()->second;
    if (first.at_worker)
      now.stage = transfer_stage::codec;
    else if (!first.due.empty())
      now = {transfer_stage::drives, first.due.size() == 1 ? first.due.begin()->first : drive_id{}};
  }
  if (now == told_)
    return;
  told_ = now;
  watch_->pipeline_waits_for(now);
}

} // namespace datamesh::storage
