// stranger owner SEED                                   the owner to whom the node has to give room
// stranger list                                         the names of the bad handshakes
// stranger handshakes PORT MESH SEED                    tries each of them, an honest peer after each
// stranger crowd PORT MESH SEED EACH ALONE-S SPAN-S     an honest peer by itself, and beside a crowd
//
// The node listens on 127.0.0.1. Figures are told as scripts/prove reads them.

#include "network/mesh_settings.hpp"
#include "tests/e2e/stranger/crowd.hpp"
#include "tests/e2e/stranger/guest.hpp"
#include "tests/e2e/stranger/handshakes.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace datamesh::stranger {

namespace {

using std::chrono::steady_clock;

/// Addresses that no stranger has.
constexpr size_t honest_hosts = 60'000;
constexpr auto every = std::chrono::milliseconds{10};
constexpr int skipped = 77;
/// So many times the span are waited for the whole crowd.
constexpr int patience = 10;

void figure(std::string_view name, uint64_t value) {
  fmt::print("figure {}: {}\n", name, value);
  std::fflush(stdout);
}

// -- bad handshakes --------------------------------------------------------------------------

bool was_refused(const bad_handshake& what, const outcome& seen) {
  if (!seen.closed || seen.answers > (what.reaches == stage::open ? 1 : 0))
    return false;
  if (what.reaches == stage::tls ? seen.heard_hello : !seen.heard_hello)
    return false;
  return !what.end || seen.end == static_cast<uint32_t>(*what.end);
}

/// Why it is not served over the link that it has; nothing when it is.
std::optional<std::string> goes_on(honest_peer& who) {
  auto answer = who.ask(sign_of_life());
  if (!answer)
    return "no answer: " + answer.error().message();
  return answer->failure ? std::optional{"refused: " + answer->failure->message()} : std::nullopt;
}

std::optional<std::string> serves(honest_peer& who) {
  if (auto made = who.connect(); !made)
    return "no link: " + made.error().message();
  return goes_on(who);
}

int run_handshakes(const target& to, uint64_t seed) {
  persona old{seed << 20};
  honest_peer resident{old, to, host_address(honest_hosts)};
  if (auto why = serves(resident)) {
    fmt::print("the node does not serve an honest peer: {}\n", *why);
    return 1;
  }
  int wrong = 0;
  uint64_t number = 0;
  auto attempt = [&](const bad_handshake& what) {
    ++number;
    persona us{seed << 20 | (2 * number)};
    persona other{seed << 20 | (2 * number + 1)};
    visit v{to, us, other, host_address(number), {}};
    v.socket = dial_from(v.address, to.port);
    return what.act(v);
  };
  for (const auto& what : good_handshakes())
    if (auto seen = attempt(what); !seen.heard_hello || (what.reaches == stage::open && seen.answers != 1)) {
      fmt::print("NOT SERVED  {}: {}\n", what.name, seen.text());
      ++wrong;
    }
  for (const auto& what : bad_handshakes()) {
    auto seen = attempt(what);
    auto good = was_refused(what, seen);
    persona fresh{seed << 20 | (1 << 19) | number};
    honest_peer newcomer{fresh, to, host_address(honest_hosts + number)};
    auto stays = goes_on(resident);
    auto comes = serves(newcomer);
    fmt::print("{}  {}: {}\n", good ? "refused" : "NOT REFUSED", what.name, seen.text());
    if (stays || comes)
      fmt::print("NOT SERVED after {}: {}\n", what.name, stays.value_or(comes.value_or("")));
    wrong += !good || stays || comes ? 1 : 0;
    std::fflush(stdout);
  }
  figure("bad handshakes tried", bad_handshakes().size());
  figure("honest links and requests between them", 2 * bad_handshakes().size());
  return wrong == 0 ? 0 : 1;
}

// -- the crowd -------------------------------------------------------------------------------

/// What an honest peer saw, who asks at fixed times whether or not the answer before was late.
struct seen_by_honest {
  std::vector<double> took; ///< Microseconds of those that were served, from when they were due.
  size_t refused = 0;       ///< Answered with an error.
  size_t lost = 0;          ///< Not answered.

  void add(const seen_by_honest& more) {
    took.insert(took.end(), more.took.begin(), more.took.end());
    refused += more.refused;
    lost += more.lost;
  }
  [[nodiscard]] uint64_t percentile(double part) {
    if (took.empty())
      return 0;
    auto at = took.begin() + static_cast<ptrdiff_t>(static_cast<double>(took.size() - 1) * part);
    std::nth_element(took.begin(), at, took.end());
    return static_cast<uint64_t>(*at);
  }
};

seen_by_honest ask_for(std::chrono::milliseconds span, honest_peer& who, const std::function<std::string(size_t)>& question) {
  seen_by_honest seen;
  auto begun = steady_clock::now();
  auto due = begun;
  for (size_t i = 0; due < begun + span; ++i, due += every) {
    who.rest(due);
    auto answer = who.ask(question(i));
    if (!answer) {
      ++seen.lost;
      (void) who.connect();
      // What was due meanwhile is lost, too.
      for (; due + every < steady_clock::now() && due < begun + span; due += every)
        ++seen.lost;
    } else if (answer->failure) {
      ++seen.refused;
    } else {
      seen.took.push_back(std::chrono::duration<double, std::micro>(steady_clock::now() - due).count());
    }
  }
  return seen;
}

void tell(const std::string& when, seen_by_honest& seen) {
  figure("honest requests served " + when, seen.took.size());
  figure("honest requests refused " + when, seen.refused);
  figure("honest requests lost " + when, seen.lost);
  figure("honest p50 in us " + when, seen.percentile(0.5));
  figure("honest p99 in us " + when, seen.percentile(0.99));
}

/// All threads see it.
class end_of_siege {
public:
  void tell() {
    std::lock_guard guard{mutex_};
    now = true;
    told_.notify_all();
  }
  /// True when it comes by then.
  bool by(steady_clock::time_point when) {
    std::unique_lock guard{mutex_};
    return told_.wait_until(guard, when, [this] { return now.load(); });
  }

  std::atomic<bool> now = false;

private:
  std::mutex mutex_;
  std::condition_variable told_;
};

struct newcomers {
  size_t came = 0;
  size_t served = 0;
};

/// Twice a second an honest node that was never here.
newcomers let_newcomers_come(const target& to, uint64_t seed, end_of_siege& end) {
  newcomers seen;
  auto next = steady_clock::now();
  do {
    next = std::max(next + std::chrono::milliseconds{500}, steady_clock::now());
    persona fresh{seed << 20 | (1 << 19) | seen.came};
    honest_peer who{fresh, to, host_address(honest_hosts + 1 + seen.came)};
    ++seen.came;
    if (!serves(who))
      ++seen.served;
  } while (!end.by(next));
  return seen;
}

/// MiB that the system holds for all connections.
uint64_t kernel_mebibytes() {
  uint64_t pages = 0;
  if (auto* file = std::fopen("/proc/net/sockstat", "r"); file != nullptr) {
    char line[256];
    while (std::fgets(line, sizeof(line), file) != nullptr)
      if (std::string_view text{line}; text.starts_with("TCP:") && text.find("mem ") != std::string_view::npos)
        pages = std::strtoull(line + text.find("mem ") + 4, nullptr, 10);
    std::fclose(file);
  }
  return pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) >> 20;
}

/// False when the system does not let this process have so many files.
bool raise_files(size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < wanted) {
    fmt::print("skipped: this takes {} open files, and the hard limit is {}\n", wanted, limit.rlim_max);
    return false;
  }
  limit.rlim_cur = std::max<rlim_t>(limit.rlim_cur, wanted);
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

int run_crowd_beside_honest(const target& to, uint64_t seed, size_t each, std::chrono::seconds alone, std::chrono::seconds span) {
  if (!raise_files(manners * each + 200))
    return skipped;
  persona us{seed << 20};
  honest_peer honest{us, to, host_address(honest_hosts)};
  guest owner{seed};
  if (auto ready = honest.connect().and_then([&] { return owner.store(honest, to.mesh); }); !ready) {
    fmt::print("nothing to ask for: {}\n", ready.error().message());
    return 1;
  }
  auto room = owner.room_question(to.mesh, honest.node(), us.tls.id());
  auto question = [&](size_t i) {
    return i % 2 == 0 ? sign_of_life() : room;
  };
  (void) ask_for(std::chrono::seconds{1}, honest, question);
  auto before = ask_for(alone, honest, question);

  crowd_plan plan{to, each, seed, 1000, owner.large_question()};
  end_of_siege end;
  std::atomic<size_t> came = 0;
  crowd_figures crowd;
  newcomers fresh;
  std::thread strangers{[&] {
    // They are elsewhere: what they take of a processor is not to be had by those who are measured.
    ::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + 10);
    crowd = run_crowd(plan, end.now, came);
  }};
  std::thread comers{[&] {
    fresh = let_newcomers_come(to, seed, end);
  }};
  std::thread watch{[&] {
    uint64_t most = 0;
    do
      most = std::max(most, kernel_mebibytes());
    while (!end.by(steady_clock::now() + std::chrono::milliseconds{200}));
    figure("MiB of the system's buffers at most", most);
  }};
  // On a busy machine it takes longer until all of them were there.
  seen_by_honest beside;
  auto begun = steady_clock::now();
  for (auto spent = begun - begun; spent < span || (came < each && spent < patience * span); spent = steady_clock::now() - begun)
    beside.add(ask_for(std::min<std::chrono::milliseconds>(span, std::chrono::seconds{5}), honest, question));
  end.tell();
  for (auto* each_thread : {&strangers, &comers, &watch})
    each_thread->join();
  honest.rest(steady_clock::now() + std::chrono::seconds{1});
  auto after = ask_for(alone, honest, question);

  constexpr std::array<const char*, manners> names{"silent", "partial TLS", "partial frame", "slow reader"};
  for (size_t i = 0; i < manners; ++i) {
    figure(fmt::format("{}, dialed", names[i]), crowd.dialed[i]);
    figure(fmt::format("{}, opened", names[i]), crowd.opened[i]);
    figure(fmt::format("{}, ended by the node", names[i]), crowd.ended[i]);
    figure(fmt::format("{}, at once at most", names[i]), crowd.at_once[i]);
  }
  figure("dials without a socket", crowd.no_socket);
  figure("honest newcomers", fresh.came);
  figure("honest newcomers served", fresh.served);
  tell("alone", before);
  tell("beside them", beside);
  tell("after them", after);
  return 0;
}

int run(int count, char** given) {
  std::vector<std::string> words{given + 1, given + count};
  auto number = [&](size_t at) {
    return std::strtoull(words.at(at).c_str(), nullptr, 10);
  };
  if (words.size() == 2 && words[0] == "owner") {
    fmt::print("{}\n", guest{number(1)}.owner().hex());
    return 0;
  }
  if (words.size() == 1 && words[0] == "list") {
    for (const auto& what : bad_handshakes())
      fmt::print("{}\n", what.name);
    return 0;
  }
  if (words.size() >= 4) {
    target to{static_cast<uint16_t>(number(1)), network::parse_network(words[2]).value()};
    if (words.size() == 4 && words[0] == "handshakes")
      return run_handshakes(to, number(3));
    if (words.size() == 7 && words[0] == "crowd")
      return run_crowd_beside_honest(to, number(3), number(4), std::chrono::seconds{number(5)}, std::chrono::seconds{number(6)});
  }
  fmt::print(stderr, "stranger owner SEED | list | handshakes PORT MESH SEED | crowd PORT MESH SEED EACH ALONE-S SPAN-S\n");
  return 2;
}

} // namespace

} // namespace datamesh::stranger

int main(int count, char** given) {
  return datamesh::stranger::run(count, given);
}
