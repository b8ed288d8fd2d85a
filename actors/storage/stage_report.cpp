#include "storage/stage_report.hpp"

namespace datamesh::storage {

void watch_stages(job& running) {
  running.waits = std::make_shared<stage_watch>(running.time);
  running.waits->wait_for(transfer_stage::memory);
}

transfer_waits waits_of(const vault_context& context, const job& running) {
  auto figures = running.waits->read();
  if (!figures.drive.is_zero()) {
    auto drives = context.drives->all();
    if (const auto* drive = drive_table::find(*drives, figures.drive))
      figures.waits.drive = drive->folder;
  }
  return std::move(figures.waits);
}

} // namespace datamesh::storage
