// Runs a fuzzer on each file of the folders that are named: replay FOLDER...
#include "fuzz.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

int main(int argc, char** argv) {
  size_t count = 0;
  for (int i = 1; i < argc; ++i)
    for (const auto& entry : std::filesystem::directory_iterator{argv[i]}) {
      std::ifstream file{entry.path(), std::ios::binary};
      std::vector<char> content{std::istreambuf_iterator<char>{file}, {}};
      // A copy of the exact size shows a read beyond its end.
      std::vector<uint8_t> exact(content.begin(), content.end());
      LLVMFuzzerTestOneInput(exact.data(), exact.size());
      ++count;
    }
  std::printf("%zu inputs\n", count);
  return count > 0 ? 0 : 1;
}
