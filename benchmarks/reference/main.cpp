// What this machine's libraries and disk can do, what our stages make of it, and how
// near a whole put and get come to the limit that follows.
//
//   reference [--size MIB] [--rounds N] [--folder FOLDER] [--json]
#include "datamesh/node.hpp"
#include "plain.hpp"
#include "six_nodes.hpp"
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
constexpr double mesh_bar = 0.7;
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

/// CPU seconds a byte.
double put_cost(const std::vector<stage>& all) {
  return 1 / rate(all, "read the page cache") + 1 / rate(all, "cut") + 1 / rate(all, "hash chunks") + 1 / rate(all, "seal")
         + 1 / rate(all, "encode 4+2") + written_per_byte / rate(all, "hash blocks");
}

double get_cost(const std::vector<stage>& all) {
  return 1 / rate(all, "hash blocks") + 1 / rate(all, "open") + 1 / rate(all, "hash chunks") + 1 / rate(all, "write the page cache");
}

/// Of what goes to another node, or comes from it: TLS at both ends, and the node checks what it stores and what it shows.
double link_cost(const std::vector<stage>& all) {
  return 1 / rate(all, "TLS, both ends") + 1 / rate(all, "hash blocks");
}

double put_limit(const std::vector<stage>& all, uint64_t size, double cpu) {
  return limit_of(cpu, written_per_byte / rate(all, "store on six drives"), size);
}

double get_limit(const std::vector<stage>& all, uint64_t size, double cpu) {
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

result<void> make_source(const std::string& path, uint64_t size) {
  auto env = system_environment();
  std::vector<std::byte> segment(8 << 20);
  std::ofstream out{path, std::ios::binary};
  for (uint64_t done = 0; done < size; done += segment.size()) {
    if (auto filled = env.random->fill(segment); !filled)
      return filled;
    out.write(reinterpret_cast<const char*>(segment.data()), static_cast<std::streamsize>(std::min<uint64_t>(segment.size(), size - done)));
  }
  return {};
}

/// What stores a file and fetches it again, in a fresh folder.
using both_ways = result<std::pair<double, double>> (*)(const std::string& folder, const std::string& source);

/// Medians of as many rounds as *how* says.
result<void> measure_whole(const settings& how, const std::string& folder, both_ways call, whole& put, whole& get) {
  auto source = folder + "/source";
  std::vector<std::byte> segment(8 << 20);
  std::vector<double> stored;
  std::vector<double> fetched;
  for (int round = 0; round < how.rounds; ++round) {
    auto place = fmt::format("{}/round{}", folder, round);
    fs::create_directory(place);
    if (!read_cached(source, segment))
      return fail(errc::io_failed, "read", source);
    auto times = call(place, source);
    fs::remove_all(place);
    if (!times)
      return fail(times.error());
    stored.push_back(times->first);
    fetched.push_back(times->second);
  }
  std::sort(stored.begin(), stored.end());
  std::sort(fetched.begin(), fetched.end());
  put.seconds = stored[stored.size() / 2];
  get.seconds = fetched[fetched.size() / 2];
  return {};
}

/// On drives of the node, and on those of six others.
struct wholes {
  whole put;
  whole get;
  whole put_to_nodes;
  whole get_from_nodes;
};

result<wholes> measure_wholes(const settings& how, const std::string& folder, const std::vector<stage>& stages) {
  wholes all;
  auto size = how.size_mib << 20;
  if (auto made = make_source(folder + "/source", size); !made)
    return fail(made.error());
  all.put.limit_seconds = put_limit(stages, size, put_cost(stages));
  all.get.limit_seconds = get_limit(stages, size, get_cost(stages));
  all.put_to_nodes.limit_seconds = put_limit(stages, size, put_cost(stages) + written_per_byte * link_cost(stages));
  all.get_from_nodes.limit_seconds = get_limit(stages, size, get_cost(stages) + link_cost(stages));
  if (auto done = measure_whole(how, folder, store_and_fetch, all.put, all.get); !done)
    return fail(done.error());
  if (auto done = measure_whole(how, folder, store_and_fetch_by_nodes, all.put_to_nodes, all.get_from_nodes); !done)
    return fail(done.error());
  return all;
}

const char* verdict(double ratio, double bar) {
  return ratio >= bar ? "met" : "missed";
}

void print_text(const settings& how, const std::vector<stage>& stages, double together, const wholes& all) {
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
  auto print_both = [&](const char* title, const whole& put, const whole& get, double bar) {
    fmt::print("\n{:<22}{:>14}{:>14}{:>8}  bar {}\n", title, "limit s", "ours s", "ratio", bar);
    for (const auto& [name, what] : {std::pair{"put", put}, std::pair{"get", get}})
      fmt::print("{:<22}{:>14.2f}{:>14.2f}{:>8.2f}  {}\n", fmt::format("{} {} MiB random", name, how.size_mib), what.limit_seconds,
                 what.seconds, what.ratio(), verdict(what.ratio(), bar));
  };
  print_both("whole, 4+2", all.put, all.get, whole_bar);
  print_both("by six nodes", all.put_to_nodes, all.get_from_nodes, mesh_bar);
}

void print_json(const settings& how, const std::vector<stage>& stages, double together, const wholes& all) {
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
  for (const auto& [name, what] : {std::pair{"put", all.put}, std::pair{"get", all.get}, std::pair{"put_to_nodes", all.put_to_nodes},
                                   std::pair{"get_from_nodes", all.get_from_nodes}})
    fmt::print(R"(,"{}":{{"limit":{:.4f},"seconds":{:.4f},"ratio":{:.3f}}})", name, what.limit_seconds, what.seconds, what.ratio());
  fmt::print("}}\n");
}

result<void> run(const settings& how, const std::string& folder) {
  auto stages = make_stages(folder);
  if (!stages)
    return fail(stages.error());
  if (auto done = measure(*stages, how.rounds, std::min<uint64_t>(how.size_mib, 64) << 20); !done)
    return done;
  auto together = gain_together(cores(), std::min<size_t>(how.size_mib << 20, together_bytes));
  auto all = measure_wholes(how, folder, *stages);
  if (!all)
    return fail(all.error());
  (how.json ? print_json : print_text)(how, *stages, together, *all);
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
