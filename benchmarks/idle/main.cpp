// What a node costs that keeps many shards for an owner elsewhere and is not asked for any: memory, CPU time at rest, and what it takes to
// compare all of them with what the owner's other node says that it keeps. Two nodes, a process each, on the loopback address; of each
// pack the one has shard 0 and the other has shard 1. The shards are written into their drives beforehand, by the store that the nodes use.
#include "crypto/identity.hpp"
#include "crypto/merkle.hpp"
#include "datamesh/node.hpp"
#include "network/guest_store.hpp"

#include <fmt/core.h>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

using namespace datamesh;
using namespace datamesh::network;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

constexpr auto mesh_name = "a mesh of two nodes at rest";
constexpr storage::geometry shape{1, 1, 320};

struct settings {
  uint64_t shards = 1'000'000;
  std::string folder = "/dev/shm";
  int rest = 60; ///< Seconds.
  /// They compare four times in it. An owner's node says 24 hours, and they do so once an hour.
  std::chrono::seconds patience{120};
};

[[noreturn]] void give_up(const error& why) {
  fmt::print(stderr, "idle: {}\n", why.message());
  std::_Exit(1);
}

template <class T>
T need(result<T> outcome) {
  if (!outcome)
    give_up(outcome.error());
  if constexpr (!std::is_void_v<T>)
    return std::move(*outcome);
}

// -- the two nodes ---------------------------------------------------------------------

struct place {
  std::string home;
  std::string drive;
};

place place_of(const std::string& folder, int number) {
  return {fmt::format("{}/home{}", folder, number), fmt::format("{}/drive{}", folder, number)};
}

node_options options_of(const place& at, std::vector<std::string> seeds) {
  node_options options;
  options.home = at.home;
  options.mesh = {mesh_name, {"127.0.0.1:0"}, {}, std::move(seeds), true};
  return options;
}

struct owner {
  crypto::key256 seed = need(crypto::key256::random(*system_environment().random));
  crypto::public_key key = need(crypto::ed25519_public(seed));
  vault_id id = vault_id::from(byte_view{key});

  [[nodiscard]] word_signer signer() const {
    return [this](byte_view message) {
      return crypto::ed25519_sign(seed, message);
    };
  }
};

/// Makes its home and its drive, and gives the owner room.
std::pair<peer_id, network_id> make_node(const place& at, const owner& of) {
  auto made = need(node::create(options_of(at, {})));
  (void) need(made->add_drive(at.drive));
  need(made->allow(of.id, uint64_t{1} << 50));
  auto told = need(made->mesh());
  return {told->self, *told->network};
}

bytes body_of(uint64_t pack, uint8_t index) {
  std::vector<std::byte> body(shape.shard_length);
  std::memcpy(body.data(), &pack, sizeof(pack));
  body[sizeof(pack)] = std::byte{index};
  return bytes::take(std::move(body));
}

/// As the owner's node had sent them.
void fill(const settings& how, const std::string& folder, const owner& of, const std::vector<peer_id>& nodes, const network_id& mesh) {
  auto env = system_environment();
  auto now = std::chrono::time_point_cast<std::chrono::seconds>(env.clock->wall());
  std::vector<std::unique_ptr<guest_store>> stores;
  for (int number : {0, 1}) {
    guest_store_options options;
    options.folders = {guests_folder(place_of(folder, number).drive)};
    if (auto made = guest_store::format(env, options.folders[0]); !made && made.error().code() != errc::already_exists)
      give_up(made.error());
    stores.push_back(need(guest_store::open(env, options)));
    need(stores.back()->keep(need(sign(mesh, roster{of.id, 1, now, how.patience, nodes, {}}, of.signer()))));
  }
  for (uint64_t pack = 0; pack < how.shards; ++pack) {
    storage::pack_seal seal;
    seal.shape = shape;
    std::vector<bytes> bodies;
    std::vector<std::vector<digest>> hashes;
    for (uint8_t index : {0, 1}) {
      bodies.push_back(body_of(pack, index));
      hashes.push_back(storage::hash_blocks(bodies.back()));
      seal.shard_roots.push_back(crypto::merkle_root(hashes.back()));
    }
    seal.id = storage::pack_id_of(shape, seal.shard_roots);
    for (uint8_t index : {0, 1}) {
      ticket by{of.id, {seal.id, index}, shape.shard_length, 1, now + std::chrono::hours{24 * 60}, {}};
      (void) need(
          stores[index]->store({need(sign(mesh, std::move(by), of.signer())), {seal, index, hashes[index]}, bodies[index]}, UINT64_MAX));
    }
  }
  for (auto& store : stores)
    need(store->flush());
}

/// A process that is one of the nodes. It tells what it came to, a line each: its address; when its shards are open; each time that they
/// were compared, with the bytes that its links have carried.
void live(const place& at, std::vector<std::string> seeds, const vault_id& of, int tell) {
  auto say = [&](const std::string& line) {
    auto text = line + "\n";
    if (write(tell, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
      std::_Exit(1);
  };
  auto mine = need(node::open(options_of(at, std::move(seeds))));
  say(need(mine->mesh())->listens.at(0));
  auto room = [&] {
    for (auto& one : need(mine->rooms()))
      if (one.owner == of)
        return one;
    give_up(error{errc::not_found, "look for the room of the owner"});
  };
  while (!room().shards)
    std::this_thread::sleep_for(100ms);
  say(fmt::format("{}", *room().shards));
  for (std::optional<int64_t> last;; std::this_thread::sleep_for(1s)) {
    auto when = room().compared_ns;
    if (when == last)
      continue;
    last = when;
    auto traffic = need(mine->mesh())->traffic;
    say(fmt::format("{}", traffic.sent + traffic.received));
  }
}

// -- processes -------------------------------------------------------------------------

class child {
public:
  template <class Life>
  explicit child(Life life) {
    int ends[2];
    if (pipe(ends) != 0 || (process_ = fork()) < 0)
      give_up(error{errc::io_failed, "start a process"});
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(ends[0]);
      life(ends[1]);
      std::fflush(nullptr);
      std::_Exit(0);
    }
    close(ends[1]);
    from_ = fdopen(ends[0], "r");
  }
  ~child() {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
    fclose(from_);
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  [[nodiscard]] std::string line() {
    char text[4096];
    if (std::fgets(text, sizeof(text), from_) == nullptr)
      give_up(error{errc::io_failed, "hear from a process"});
    return std::string{text, std::strcspn(text, "\n")};
  }
  /// Whether it came to a good end. False, too, when a signal interrupts.
  [[nodiscard]] bool wait() {
    int status = 0;
    if (waitpid(process_, &status, 0) != process_)
      return false;
    process_ = -1;
    return status == 0;
  }
  /// Seconds of CPU so far.
  [[nodiscard]] double cpu() const {
    std::ifstream file{fmt::format("/proc/{}/stat", process_)};
    std::string text{std::istreambuf_iterator<char>{file}, {}};
    std::istringstream fields{text.substr(text.rfind(')') + 2)};
    std::string skipped;
    for (int i = 0; i < 11; ++i)
      fields >> skipped;
    uint64_t user = 0;
    uint64_t system = 0;
    fields >> user >> system;
    return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  }
  /// MiB of a line of /proc/PID/status.
  [[nodiscard]] uint64_t mebibytes(const std::string& what) const {
    std::ifstream file{fmt::format("/proc/{}/status", process_)};
    for (std::string line; std::getline(file, line);)
      if (line.starts_with(what + ":"))
        return std::stoull(line.substr(what.size() + 1)) / 1024;
    return 0;
  }

private:
  pid_t process_ = -1;
  std::FILE* from_ = nullptr;
};

class stopwatch {
public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

// -- what is measured ------------------------------------------------------------------

void measure(const settings& how, const std::string& folder) {
  owner of;
  {
    child made{[&](int) {
      auto [first, mesh] = make_node(place_of(folder, 0), of);
      auto second = make_node(place_of(folder, 1), of).first;
      fill(how, folder, of, {std::min(first, second), std::max(first, second)}, mesh);
    }};
    if (!made.wait())
      give_up(error{errc::io_failed, "write the shards"});
  }
  fmt::print("{} shards of {} bytes on each of two nodes\n", how.shards, shape.shard_length);
  std::fflush(stdout);
  stopwatch since;
  std::optional<child> first;
  first.emplace([&](int tell) { live(place_of(folder, 0), {}, of.id, tell); });
  auto address = first->line();
  auto kept = first->line();
  auto opened = first->cpu();
  fmt::print("opened {} shards: {:.1f} s, {:.1f} s of CPU, {} MiB of own memory, {} MiB at most\n", kept, since.seconds(), opened,
             first->mebibytes("RssAnon"), first->mebibytes("VmHWM"));
  std::fflush(stdout);
  std::this_thread::sleep_for(5s);
  auto before = first->cpu();
  std::this_thread::sleep_for(std::chrono::seconds{how.rest});
  fmt::print("at rest, alone: {:.2f} % of a core, {} MiB of own memory\n", (first->cpu() - before) / how.rest * 100,
             first->mebibytes("RssAnon"));
  std::fflush(stdout);
  std::optional<child> second;
  auto start_second = [&] {
    second.emplace([&](int tell) { live(place_of(folder, 1), {address}, of.id, tell); });
    (void) second->line();
    (void) second->line();
  };
  start_second();
  uint64_t carried = 0;
  auto compare = [&](const char* round) {
    before = first->cpu();
    auto second_before = second->cpu();
    stopwatch comparing;
    auto now = std::stoull(first->line());
    (void) second->line();
    fmt::print(
        "{}: {:.1f} s, {:.2f} s and {:.2f} s of CPU, {:.1f} bytes on the line for each shard, {} MiB of own memory, {} MiB at most\n",
        round, comparing.seconds(), first->cpu() - before, second->cpu() - second_before,
        static_cast<double>(now - carried) / static_cast<double>(how.shards), first->mebibytes("RssAnon"), first->mebibytes("VmHWM"));
    std::fflush(stdout);
    carried = now;
  };
  compare("compared with each other for the first time");
  compare("compared again, when nothing had changed");
  second.reset();
  first.reset();
  first.emplace([&](int tell) { live(place_of(folder, 0), {}, of.id, tell); });
  address = first->line();
  (void) first->line();
  start_second();
  carried = 0;
  compare("compared when both had been started again");
}

uint64_t number_of(const char* text) {
  uint64_t number = 0;
  auto end = text + std::strlen(text);
  if (auto [stop, failed] = std::from_chars(text, end, number); failed != std::errc{} || stop != end || number == 0) {
    fmt::print(stderr, "idle: '{}' is no number above 0\n", text);
    std::_Exit(2);
  }
  return number;
}

} // namespace

int main(int argc, char** argv) {
  settings how;
  for (int i = 1; i < argc; i += 2) {
    std::string_view name = argv[i];
    if (i + 1 < argc && name == "--shards") {
      how.shards = number_of(argv[i + 1]);
    } else if (i + 1 < argc && name == "--rest") {
      how.rest = static_cast<int>(number_of(argv[i + 1]));
    } else if (i + 1 < argc && name == "--patience") {
      how.patience = std::chrono::seconds{number_of(argv[i + 1])};
    } else if (i + 1 < argc && name == "--folder") {
      how.folder = argv[i + 1];
    } else {
      fmt::print(stderr, "usage: idle [--shards N] [--rest SECONDS] [--patience SECONDS] [--folder DIR]\nDIR is where the shards lie; "
                         "/dev/shm when not given, for a "
                         "disk takes long to write them one by one.\n");
      return 2;
    }
  }
  auto folder = fmt::format("{}/datamesh-idle.{}", how.folder, getpid());
  std::error_code failed;
  if (fs::create_directories(folder, failed); failed)
    give_up(error{errc::io_failed, "make a folder for the shards: " + failed.message(), folder});
  auto done = false;
  {
    child all{[&](int) {
      measure(how, folder);
    }};
    // However it ends, nothing is left in memory: the processes end with it.
    struct sigaction interrupt = {};
    interrupt.sa_handler = [](int) {
    };
    sigaction(SIGINT, &interrupt, nullptr);
    sigaction(SIGTERM, &interrupt, nullptr);
    done = all.wait();
  }
  fs::remove_all(folder, failed);
  return done ? 0 : 1;
}
