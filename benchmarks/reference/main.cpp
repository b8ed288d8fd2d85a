// What this machine's libraries and disk can do, what our stages make of it, and how
// near a whole put and get come to the limit that follows.
//
//   reference [--size MIB] [--rounds N] [--folder FOLDER] [--json]
#include "datamesh/node.hpp"
#include "plain.hpp"
#include "stages.hpp"
#include "together.hpp"

#include <fmt/core.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <sys/utsname.h>

namespace datamesh::reference {

namespace {

namespace fs = std::filesystem;

constexpr double stage_bar = 0.9;
constexpr double whole_bar = 0.85;
constexpr double written_per_byte = 1.5; ///< 4+2.

struct settings {
  uint64_t size_mib = 1024;
  int rounds = 5;
  std::string folder = fs::temp_directory_path();
  bool json = false;
};

/// Of each thread, in its share of the whole.
constexpr size_t together_bytes = 512 << 20;

struct whole {
  double limit_seconds = 0;
  double seconds = 0;
  [[nodiscard]] double ratio() const {
    return seconds > 0 ? limit_seconds / seconds : 0;
  }
};

std::string processor() {
  std::ifstream info{"/proc/cpuinfo"};
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name"))
      return line.substr(line.find(':') + 2);
  return "unknown processor";
}

double rate(const std::vector<stage>& all, std::string_view name) {
  for (const auto& what : all)
    if (what.name == name)
      return what.measured.reference;
  return 0;
}

unsigned cores() {
  return std::max(1u, std::thread::hardware_concurrency());
}

/// max(sum of CPU / cores, bytes / disk rate).
double limit_of(double cpu_per_byte, double disk_per_byte, uint64_t size) {
  return std::max(cpu_per_byte / cores(), disk_per_byte) * static_cast<double>(size);
}

double put_limit(const std::vector<stage>& all, uint64_t size) {
  auto cpu = 1 / rate(all, "read the page cache") + 1 / rate(all, "cut") + 1 / rate(all, "hash chunks") + 1 / rate(all, "seal")
             + 1 / rate(all, "encode 4+2") + written_per_byte / rate(all, "hash blocks");
  return limit_of(cpu, written_per_byte / rate(all, "store on six drives"), size);
}

double get_limit(const std::vector<stage>& all, uint64_t size) {
  auto cpu = 1 / rate(all, "hash blocks") + 1 / rate(all, "open") + 1 / rate(all, "hash chunks") + 1 / rate(all, "write the page cache");
  return limit_of(cpu, 1 / rate(all, "read from six drives"), size);
}

result<double> timed(const std::function<result<void>()>& call) {
  auto begin = wall_now();
  if (auto done = call(); !done)
    return fail(done.error());
  return wall_now() - begin;
}

/// Stores and fetches a file through the facade, once; the vault is fresh.
result<std::pair<double, double>> store_and_fetch(const std::string& folder, const std::string& source) {
  node_options options;
  options.home = folder + "/home";
  auto opened = node::create(options);
  if (!opened)
    return fail(opened.error());
  for (int i = 0; i < 6; ++i)
    if (auto added = (*opened)->add_drive(fmt::format("{}/d{}", folder, i)); !added)
      return fail(added.error());
  new_vault fresh;
  fresh.trust_this_device = true;
  if (auto made = (*opened)->create_vault(fresh); !made)
    return fail(made.error());
  auto vault = (*opened)->open_vault("main", credential::this_device());
  if (!vault)
    return fail(vault.error());
  put_request put;
  put.sources.push_back({source, "/file"});
  put.policy = "4+2";
  auto stored = timed([&]() -> result<void> {
    auto done = vault->put(put);
    return done && done->failure_count == 0 ? result<void>{} : fail(done ? error{errc::internal, "put"} : done.error());
  });
  if (!stored)
    return fail(stored.error());
  get_request get;
  get.paths = {"/file"};
  get.target_folder = folder;
  auto fetched = timed([&]() -> result<void> {
    auto done = vault->get(get);
    return done && done->failure_count == 0 ? result<void>{} : fail(done ? error{errc::internal, "get"} : done.error());
  });
  if (!fetched)
    return fail(fetched.error());
  return std::pair{*stored, *fetched};
}

result<void> measure_whole(const settings& how, const std::string& folder, const std::vector<stage>& stages, whole& put, whole& get) {
  auto size = how.size_mib << 20;
  auto env = system_environment();
  std::vector<std::byte> segment(8 << 20);
  auto source = folder + "/source";
  std::ofstream out{source, std::ios::binary};
  for (uint64_t done = 0; done < size; done += segment.size()) {
    if (auto filled = env.random->fill(segment); !filled)
      return filled;
    out.write(reinterpret_cast<const char*>(segment.data()), static_cast<std::streamsize>(std::min<uint64_t>(segment.size(), size - done)));
  }
  out.close();
  put.limit_seconds = put_limit(stages, size);
  get.limit_seconds = get_limit(stages, size);
  std::vector<double> stored;
  std::vector<double> fetched;
  for (int round = 0; round < how.rounds; ++round) {
    auto place = fmt::format("{}/round{}", folder, round);
    fs::create_directory(place);
    if (!read_cached(source, segment))
      return fail(errc::io_failed, "read", source);
    auto times = store_and_fetch(place, source);
    if (!times)
      return fail(times.error());
    fs::remove_all(place);
    stored.push_back(times->first);
    fetched.push_back(times->second);
  }
  std::sort(stored.begin(), stored.end());
  std::sort(fetched.begin(), fetched.end());
  put.seconds = stored[stored.size() / 2];
  get.seconds = fetched[fetched.size() / 2];
  return {};
}

const char* verdict(double ratio, double bar) {
  return ratio >= bar ? "met" : "missed";
}

void print_text(const settings& how, const std::vector<stage>& stages, double together, const whole& put, const whole& get) {
  utsname machine{};
  ::uname(&machine);
  fmt::print("{}, {} threads, Linux {}; commit {}; medians of {} rounds\n\n", processor(), cores(), machine.release, DATAMESH_COMMIT,
             how.rounds);
  fmt::print("{:<22}{:>14}{:>14}{:>8}  bar {}\n", "stage", "library GB/s", "ours GB/s", "ratio", stage_bar);
  for (const auto& what : stages) {
    fmt::print("{:<22}{:>14.2f}", what.name, what.measured.reference / 1e9);
    if (what.ours)
      fmt::print("{:>14.2f}{:>8.2f}  {}", what.measured.ours / 1e9, what.measured.ratio(), verdict(what.measured.ratio(), stage_bar));
    fmt::print("\n");
  }
  fmt::print("\n{} threads that hash and seal at once do {:.2f} times the work of one; the limit counts with {}.\n", cores(), together,
             cores());
  fmt::print("\n{:<22}{:>14}{:>14}{:>8}  bar {}\n", "whole, 4+2", "limit s", "ours s", "ratio", whole_bar);
  for (const auto& [name, what] : {std::pair{"put", put}, std::pair{"get", get}})
    fmt::print("{:<22}{:>14.2f}{:>14.2f}{:>8.2f}  {}\n", fmt::format("{} {} MiB random", name, how.size_mib), what.limit_seconds,
               what.seconds, what.ratio(), verdict(what.ratio(), whole_bar));
}

void print_json(const settings& how, const std::vector<stage>& stages, double together, const whole& put, const whole& get) {
  utsname machine{};
  ::uname(&machine);
  fmt::print(R"({{"processor":"{}","threads":{},"kernel":"{}","commit":"{}","rounds":{},"mebibytes":{},"stages":[)", processor(), cores(),
             machine.release, DATAMESH_COMMIT, how.rounds, how.size_mib);
  auto comma = "";
  for (const auto& what : stages) {
    fmt::print(R"({}{{"name":"{}","reference":{:.0f})", comma, what.name, what.measured.reference);
    if (what.ours)
      fmt::print(R"(,"ours":{:.0f},"ratio":{:.3f})", what.measured.ours, what.measured.ratio());
    fmt::print("}}");
    comma = ",";
  }
  fmt::print(R"(],"together":{:.3f})", together);
  fmt::print(R"(,"put":{{"limit":{:.4f},"seconds":{:.4f},"ratio":{:.3f}}},"get":{{"limit":{:.4f},"seconds":{:.4f},"ratio":{:.3f}}}}})",
             put.limit_seconds, put.seconds, put.ratio(), get.limit_seconds, get.seconds, get.ratio());
  fmt::print("\n");
}

result<void> run(const settings& how, const std::string& folder) {
  auto stages = make_stages(folder);
  if (!stages)
    return fail(stages.error());
  if (auto done = measure(*stages, how.rounds, std::min<uint64_t>(how.size_mib, 64) << 20); !done)
    return done;
  auto together = gain_together(cores(), std::min<size_t>(how.size_mib << 20, together_bytes));
  whole put;
  whole get;
  if (auto done = measure_whole(how, folder, *stages, put, get); !done)
    return done;
  (how.json ? print_json : print_text)(how, *stages, together, put, get);
  return {};
}

int main_of(int argc, char** argv) {
  settings how;
  for (int i = 1; i < argc; ++i) {
    auto is = [&](const char* name) {
      return std::strcmp(argv[i], name) == 0;
    };
    if (is("--json")) {
      how.json = true;
    } else if (is("--size") && i + 1 < argc) {
      how.size_mib = std::strtoull(argv[++i], nullptr, 10);
    } else if (is("--rounds") && i + 1 < argc) {
      how.rounds = std::atoi(argv[++i]);
    } else if (is("--folder") && i + 1 < argc) {
      how.folder = argv[++i];
    } else {
      fmt::print(stderr, "usage: reference [--size MIB] [--rounds N] [--folder FOLDER] [--json]\n");
      return 2;
    }
  }
  if (how.size_mib == 0 || how.rounds < 1) {
    fmt::print(stderr, "reference: size and rounds are at least 1\n");
    return 2;
  }
  auto name = how.folder + "/datamesh-reference-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    fmt::print(stderr, "reference: cannot make a folder in {}\n", how.folder);
    return 1;
  }
  auto done = run(how, name);
  std::error_code ignored;
  fs::remove_all(name, ignored);
  if (!done)
    fmt::print(stderr, "reference: {}\n", done.error().message());
  return done ? 0 : 1;
}

} // namespace

} // namespace datamesh::reference

int main(int argc, char** argv) {
  return datamesh::reference::main_of(argc, argv);
}
