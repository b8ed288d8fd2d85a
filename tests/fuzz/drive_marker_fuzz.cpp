// The marker of a drive.
#include "fuzz.hpp"
#include "storage/drive_marker.hpp"
#include "tests/support/simulated_files.hpp"

using namespace datamesh;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  test::simulated_files disk;
  fuzz::require(disk.make_folder("/d").has_value(), "there is a folder");
  auto content = fuzz::view(data, size);
  fuzz::require(write_whole(disk, storage::marker_path("/d"), content).has_value(), "there is a marker");
  auto id = storage::read_marker(disk, "/d");
  if (!id)
    return 0;
  fuzz::require(!id->is_zero(), "an id is not zero");
  fuzz::require(storage::write_marker(disk, "/d", *id).has_value(), "it is written again");
  auto again = storage::read_marker(disk, "/d");
  fuzz::require(again && *again == *id, "an id is read as it was written");
  return 0;
}
