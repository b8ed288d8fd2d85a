// The list of drives in a node's home.
#include "fuzz.hpp"
#include "node/home.hpp"
#include "tests/support/simulated_files.hpp"

using namespace datamesh;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  environment env;
  env.files = std::make_shared<test::simulated_files>();
  fuzz::require(env.files->make_folder("/home").has_value(), "there is a folder");
  fuzz::require(write_whole(*env.files, "/home/drives", fuzz::view(data, size)).has_value(), "there is a list");
  node_home home{env, "/home"};
  auto drives = home.drives();
  if (!drives)
    return 0;
  fuzz::require(home.set_drives(*drives).has_value(), "it is written again");
  auto again = home.drives();
  auto same = [](const known_drive& a, const known_drive& b) {
    return a.id == b.id && a.folder == b.folder && a.term == b.term;
  };
  fuzz::require(again && std::equal(drives->begin(), drives->end(), again->begin(), again->end(), same),
                "a list is read as it was written");
  return 0;
}
