#include "storage/drive_table.hpp"

namespace datamesh::storage {

std::vector<drive_candidate> drive_table::candidates(const list& drives) {
  std::vector<drive_candidate> result;
  for (const auto& drive : drives) {
    if (!drive.store)
      continue;
    drive_candidate candidate{drive.id, drive.store->state(), 0};
    if (auto usage = drive.store->usage())
      candidate.bytes_free = usage->disk.available > usage->reserve ? usage->disk.available - usage->reserve : 0;
    result.push_back(candidate);
  }
  return result;
}

} // namespace datamesh::storage
