// datameshd: holds a node and serves it on the control socket. SIGTERM drains, SIGHUP
// reads the configuration again.
#include "control/server.hpp"
#include "daemon_config.hpp"
#include "display.hpp"
#include "drive_guard.hpp"
#include "health/scrubber.hpp"
#include "notices.hpp"
#include "standard_streams.hpp"
#include "webhook.hpp"

#include "datamesh/version.hpp"

#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace datamesh::daemon {

namespace {

/// systemd waits for thirty seconds.
constexpr auto drain_limit = std::chrono::seconds{25};
constexpr uint64_t config_size_max = 1 << 20;

constexpr const char* usage = "usage: datameshd [--config FILE] [--check-config]\n"
                              "Holds a node, serves it on its control socket, and looks after its vaults.\n"
                              "  --config FILE   settings; /etc/datamesh/datameshd.toml or below XDG_CONFIG_HOME\n"
                              "  --check-config  only reads the settings, and says what is wrong with them\n"
                              "  --version       prints the version\n";

int tell(const cli::failure& why) {
  auto& facts = facts_of(why.code);
  // fmt throws where nothing can be written.
  auto text = fmt::format("error: {}\n  why: {} ({})\n  next: {}\n", cli::printable(why.what), facts.title, facts.name,
                          why.next.empty() ? std::string{facts.suggestion} : why.next);
  std::fputs(text.c_str(), stderr);
  return facts.exit_code;
}

/// What is printed is printed whole, or that it was not is told.
int print_all(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return 0;
  auto why = from_errno(errno, "write standard output");
  return tell({why.code(), why.message(), "run it again with standard output going elsewhere"});
}

struct arguments {
  std::string config_file;
  bool named = false;
  bool check = false;
};

cli::outcome<daemon_config> load(const arguments& line, const cli::variables& env) {
  auto standard = standard_config(env, geteuid());
  auto text = read_whole(*system_files(), line.config_file, config_size_max);
  if (!text && (line.named || text.error().code() != errc::not_found))
    return cli::refuse(cli::failure{text.error()});
  return text ? read_config(std::string{as_text(*text)}, line.config_file, standard) : cli::outcome<daemon_config>{standard};
}

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (auto number : {SIGTERM, SIGINT, SIGHUP})
    sigaddset(&set, number);
  return set;
}

/// Waits for a signal; 0 when *limit* passes.
int next_signal(const sigset_t& of, std::chrono::milliseconds limit) {
  timespec time{limit.count() / 1000, limit.count() % 1000 * 1'000'000};
  auto number = ::sigtimedwait(&of, nullptr, &time);
  return number > 0 ? number : 0;
}

std::chrono::milliseconds watchdog_pause(const cli::variables& env) {
  auto every = env("WATCHDOG_USEC");
  auto microseconds = every ? std::strtoll(every->c_str(), nullptr, 10) : 0;
  if (microseconds <= 0)
    return std::chrono::seconds{10};
  return std::chrono::milliseconds{std::clamp<int64_t>(microseconds / 3000, 1, 10'000)};
}

class service {
public:
  service(arguments line, daemon_config config)
      : line_(std::move(line)), config_(std::move(config)), hook_(config_.notify), webhook_(config_.webhook) {}

  int run(const cli::variables& env) {
    auto handled = handled_signals();
    if (auto begun = begin(); !begun)
      return tell(begun.error());
    std::thread serving{[this] {
      server_->run();
    }};
    if (config_.scrub)
      scrubber_->start();
    guard_->start();
    log_line(severity::info, "ready", config_.socket);
    tell_systemd(fmt::format("READY=1\nMAINPID={}\nSTATUS=Serving {}\n", getpid(), config_.home));
    auto pause = watchdog_pause(env);
    for (;;) {
      auto number = next_signal(handled, pause);
      if (number == SIGTERM || number == SIGINT)
        break;
      if (number == SIGHUP)
        reload(env);
      // Locks that requests need must be free in finite time, or systemd starts us anew.
      tell_systemd(fmt::format("WATCHDOG=1\nSTATUS=Serving {}, {} connections\n", config_.home, server_->connections()));
    }
    end(serving);
    return 0;
  }

private:
  cli::outcome<void> begin() {
    auto environment = system_environment();
    node_options options;
    options.home = config_.home;
    options.environment = environment;
    options.memory_bytes = config_.memory_bytes;
    options.codec_threads = static_cast<unsigned>(config_.threads);
    options.compression_level = static_cast<int>(config_.compression);
    if (!config_.mesh.network.empty())
      options.mesh = config_.mesh;
    options.on_event = [this](const event& what) {
      take(what);
    };
    auto opened = node::open(options);
    if (!opened && opened.error().code() == errc::no_vault)
      opened = node::create(std::move(options));
    if (!opened)
      return cli::refuse(not_opened(opened.error()));
    node_ = std::move(*opened);
    if (auto member = node_->mesh(); member && *member)
      log_line(
          severity::info,
          fmt::format("node {} of a mesh, {}", (*member)->self.hex(),
                      (*member)->listens.empty() ? "listens nowhere" : fmt::format("listens at {}", fmt::join((*member)->listens, ", "))),
          "mesh");
    for (const auto& drive : node_->drives())
      if (drive.reason)
        log_line(severity::warning, drive.reason->message(), drive.folder);
    scrubber_ = std::make_unique<health::scrubber>(*node_, environment);
    guard_ = std::make_unique<drive_guard>(*node_, environment, config_.drives, [this](const event& what) { take(what); });
    // Of the socket's folder only the last part is ours to make. Others must get through it.
    auto folder = parent_path(config_.socket);
    auto there = environment.files->status(folder).has_value();
    if (auto made = environment.files->make_folder(folder, 0755); !made)
      return cli::refuse(cli::failure{made.error()});
    if (!there)
      (void) ::chmod(folder.c_str(), 0755);
    control::server_options served;
    served.socket = config_.socket;
    served.group = config_.group;
    served.own_uid = geteuid();
    served.connections_max = config_.connections;
    served.release = [this](const std::string& name) {
      return scrubber_->release(name);
    };
    auto listening = control::server::listen(*node_, std::move(served));
    if (!listening)
      return cli::refuse(cli::failure{listening.error()});
    std::lock_guard guard{mutex_};
    server_ = std::move(*listening);
    return {};
  }

  static cli::failure not_opened(const error& why) {
    cli::failure told{why};
    if (why.code() == errc::key_file_damaged)
      told.next = "put a copy of the file back, or remove it: then the node gets a new key, and is another one to the mesh";
    else if (why.attempted() == "use the list of members")
      told.next = fmt::format("see what is wrong with {}; 'datamesh members show' reads it", cli::printable(why.object()));
    else if (why.attempted() == "listen for nodes")
      told.next = "see that no other program has the port, and that 'mesh_listen' names an address of this machine";
    return told;
  }

  void take(const event& what) {
    if (what.kind != event_kind::job_progress && what.kind != event_kind::item_done && what.kind != event_kind::item_failed)
      log_event(what);
    hook_.take(what);
    webhook_.take(what);
    std::lock_guard guard{mutex_};
    if (server_)
      server_->publish(what);
  }

  void reload(const cli::variables& env) {
    tell_systemd("RELOADING=1\n");
    if (auto next = load(line_, env)) {
      for (const auto& name : need_restart(config_, *next))
        log_line(severity::warning, "this setting takes effect after a restart", name);
      config_.notify = next->notify;
      hook_.set_command(next->notify);
      config_.webhook = next->webhook;
      webhook_.set(next->webhook);
      config_.drives = next->drives;
      guard_->set(next->drives);
      reload_members(next->mesh);
      log_line(severity::info, "read the settings again", line_.config_file);
    } else {
      log_line(severity::error, next.error().what, line_.config_file);
    }
    tell_systemd("READY=1\n");
  }

  void reload_members(const mesh_options& next) {
    if (next.members.empty() || next.members != config_.mesh.members)
      return;
    auto done = node_->reload_members();
    if (done)
      return;
    // What came from another node may be newer than the file.
    auto is_old = done.error().code() == errc::conflict;
    log_line(is_old ? severity::info : severity::error, "the list of members is not taken: " + done.error().message(), next.members);
  }

  void end(std::thread& serving) {
    tell_systemd("STOPPING=1\nSTATUS=Draining\n");
    log_line(severity::info, "draining");
    scrubber_->stop();
    guard_->stop();
    server_->stop(drain_limit);
    serving.join();
    std::unique_ptr<control::server> over;
    {
      std::lock_guard guard{mutex_};
      over = std::move(server_);
    }
    over.reset();
    scrubber_.reset();
    guard_.reset();
    node_.reset();
    log_line(severity::info, "stopped");
  }

  arguments line_;
  daemon_config config_;
  hook hook_;
  webhook webhook_;
  std::mutex mutex_; ///< Guards `server_` against events.
  std::unique_ptr<node> node_;
  std::unique_ptr<health::scrubber> scrubber_;
  std::unique_ptr<drive_guard> guard_;
  std::unique_ptr<control::server> server_;
};

int run(const std::vector<std::string>& words) {
  auto env = cli::process_variables();
  arguments line{standard_config_file(env, geteuid())};
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--check-config") {
      line.check = true;
    } else if (words[i] == "--config" && i + 1 < words.size()) {
      line.config_file = words[++i];
      line.named = true;
    } else if (words[i] == "--version") {
      return print_all(fmt::format("datameshd {}\n", version()));
    } else if (words[i] == "--help") {
      return print_all(usage);
    } else {
      std::fputs(usage, stderr);
      return facts_of(errc::usage).exit_code;
    }
  }
  auto config = load(line, env);
  if (!config)
    return tell(config.error());
  if (line.check) {
    return print_all(fmt::format("{}: good\n", cli::printable(line.config_file)));
  }
  // Keys are in this memory: no core file, no debugger of others.
  rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  ::prctl(PR_SET_DUMPABLE, 0);
  ::umask(0077);
  // Before the first thread: in one that does not block them they would end the process.
  auto handled = handled_signals();
  ::pthread_sigmask(SIG_BLOCK, &handled, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  return service{std::move(line), std::move(*config)}.run(env);
}

} // namespace

} // namespace datamesh::daemon

int main(int argc, char** argv) {
  datamesh::cli::hold_standard_streams();
  try {
    return datamesh::daemon::run({argv + 1, argv + argc});
  } catch (const std::exception& reason) {
    std::fprintf(stderr, "error: %s\n", reason.what());
    return 1;
  }
}
