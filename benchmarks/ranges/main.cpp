// What a file costs that is read in ranges, beside the same file read whole: one vault on
// six drives, in one run, the drives' files in the page cache.
//
//   ranges [--size MIB] [--step KIB] [--rounds N] [--folder FOLDER]
#include "datamesh/node.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include <unistd.h>

namespace datamesh::ranges {

namespace {

namespace fs = std::filesystem;

struct settings {
  uint64_t size_mib = 256;
  uint64_t step_kib = 64;
  int rounds = 5;
  std::string folder = fs::temp_directory_path();
};

/// Bytes that do not compress.
class noise : public source {
public:
  explicit noise(uint64_t size) : left_(size) {}
  result<size_t> read(byte_span out) override {
    auto size = std::min<uint64_t>(left_, out.size());
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
      uint64_t word = chance_();
      std::memcpy(out.data() + at, &word, std::min(sizeof word, size - at));
    }
    left_ -= size;
    return size;
  }

private:
  uint64_t left_;
  std::mt19937_64 chance_{1};
};

class forgetting : public sink {
public:
  result<void> write(byte_view data) override {
    bytes += data.size();
    return {};
  }
  uint64_t bytes = 0;
};

/// MiB a second, or 0 when a byte was missing.
template <class Reads>
double rate(uint64_t bytes, Reads&& reads) {
  auto to = std::make_shared<forgetting>();
  auto begun = std::chrono::steady_clock::now();
  reads(to);
  std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
  return to->bytes == bytes ? static_cast<double>(bytes >> 20) / passed.count() : 0;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int fail_with(const error& reason) {
  fmt::print(stderr, "{}\n", reason.message());
  return 1;
}

int measure(vault& v, const settings& with) {
  auto size = with.size_mib << 20;
  auto step = with.step_kib << 10;
  std::vector<double> whole, sequential, random;
  for (int round = 0; round < with.rounds; ++round) {
    whole.push_back(rate(size, [&](const auto& to) { (void) v.get("/file", to); }));
    sequential.push_back(rate(size, [&](const auto& to) {
      for (uint64_t at = 0; at < size; at += step)
        (void) v.get("/file", to, {at, step});
    }));
    auto count = std::min<uint64_t>(256, size / step);
    std::mt19937_64 chance{static_cast<uint64_t>(round)};
    random.push_back(rate(count * step, [&](const auto& to) {
      for (uint64_t i = 0; i < count; ++i)
        (void) v.get("/file", to, {chance() % (size / step) * step, step});
    }));
  }
  fmt::print("medians of {} rounds, {} MiB, ranges of {} KiB\n", with.rounds, with.size_mib, with.step_kib);
  fmt::print("whole get          {:8.1f} MiB/s\n", median(whole));
  fmt::print("ranges in order    {:8.1f} MiB/s, {:.3f} of the whole get\n", median(sequential), median(sequential) / median(whole));
  fmt::print("ranges at random   {:8.1f} MiB/s, {:.3f} of the whole get\n", median(random), median(random) / median(whole));
  return median(whole) > 0 && median(sequential) > 0 && median(random) > 0 ? 0 : 1;
}

int run(const settings& with) {
  auto root = with.folder + "/datamesh-ranges-" + std::to_string(getpid());
  fs::create_directories(root);
  auto made = node::create({.home = root + "/home"});
  if (!made)
    return fail_with(made.error());
  for (int i = 0; i < 6; ++i)
    if (auto drive = (*made)->add_drive(root + "/drive" + std::to_string(i)); !drive)
      return fail_with(drive.error());
  if (auto vault = (*made)->create_vault({.name = "main", .trust_this_device = true}); !vault)
    return fail_with(vault.error());
  auto code = 1;
  if (auto opened = (*made)->open_vault("main", credential::this_device())) {
    put_stream_request what;
    what.from = std::make_shared<noise>(with.size_mib << 20);
    what.target_path = "/file";
    auto stored = opened->put(what);
    code = stored ? measure(*opened, with) : fail_with(stored.error());
  }
  made->reset();
  std::error_code ignored;
  fs::remove_all(root, ignored);
  return code;
}

} // namespace

} // namespace datamesh::ranges

int main(int argc, char** argv) {
  datamesh::ranges::settings with;
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string_view name = argv[i];
    if (name == "--size")
      with.size_mib = std::strtoull(argv[i + 1], nullptr, 10);
    else if (name == "--step")
      with.step_kib = std::strtoull(argv[i + 1], nullptr, 10);
    else if (name == "--rounds")
      with.rounds = std::atoi(argv[i + 1]);
    else if (name == "--folder")
      with.folder = argv[i + 1];
    else
      return 2;
  }
  if (argc % 2 == 0 || with.size_mib == 0 || with.step_kib == 0 || with.rounds < 1 || (with.size_mib << 10) % with.step_kib != 0)
    return 2;
  return datamesh::ranges::run(with);
}
