// doctor: what about this machine, this node and its drives could endanger data.
#include "checkup.hpp"
#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"
#include "units.hpp"

#include "datamesh/version.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

namespace datamesh::cli {

namespace {

namespace fs = std::filesystem;

/// Above this, every put is felt to wait.
constexpr double slow_sync_ms = 100;

struct sync_time {
  double median_ms = 0;
  double worst_ms = 0;
};

/// Writes 4 KiB and makes it durable, eleven times, in an unnamed file of *folder*.
result<sync_time> measure_sync(const std::string& folder) {
  auto fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0)
    return datamesh::fail(from_errno(errno, "create a file in", folder));
  std::vector<double> times;
  std::string block(4096, 'x');
  auto failed = 0;
  for (auto i = 0; i < 11 && failed == 0; ++i) {
    auto begin = std::chrono::steady_clock::now();
    if (::pwrite(fd, block.data(), block.size(), static_cast<off_t>(i) * 4096) != 4096 || ::fdatasync(fd) != 0)
      failed = errno;
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  ::close(fd);
  if (failed != 0)
    return datamesh::fail(from_errno(failed, "make data durable in", folder));
  std::sort(times.begin(), times.end());
  return sync_time{times[times.size() / 2], times.back()};
}

void check_disk(checkup& all, const std::string& folder, const output& out) {
  struct statvfs space {};
  if (statvfs(folder.c_str(), &space) != 0) {
    all.tell(finding::fail, "space", from_errno(errno, "look at", folder).message(), "ls -ld " + folder);
    return;
  }
  auto free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  auto total = static_cast<uint64_t>(space.f_blocks) * space.f_frsize;
  auto text = fmt::format("{} of {} free at {}", out.size(free), out.size(total), folder);
  auto low = free < total / 20 || free < (256ull << 20);
  all.tell(low ? finding::warn : finding::ok, "space", text, low ? "df -h " + folder : "");
}

void check_sync(checkup& all, const std::string& folder) {
  auto time = measure_sync(folder);
  if (!time) {
    all.tell(finding::fail, "fsync", time.error().message(), "df -h " + folder);
    return;
  }
  auto slow = time->median_ms > slow_sync_ms;
  all.tell(slow ? finding::warn : finding::ok, "fsync",
           fmt::format("4 KiB are durable after {:.2f} ms (median of 11, worst {:.2f} ms) at {}", time->median_ms, time->worst_ms, folder),
           slow ? "datamesh bench --folder " + folder : "");
}

void check_limits(checkup& all) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  auto low = files.rlim_cur != RLIM_INFINITY && files.rlim_cur < 1024;
  all.tell(low ? finding::warn : finding::ok, "open files", fmt::format("this process may open {} files", files.rlim_cur),
           low ? "ulimit -n 4096" : "");
}

void check_clock(checkup& all) {
  // 2026-01-01: no vault is older than the program.
  constexpr int64_t earliest = 1'767'225'600'000'000'000;
  auto now = wall_now_ns();
  if (now < earliest) {
    all.tell(finding::fail, "clock", fmt::format("the clock says {}", rfc3339_seconds(now)), "timedatectl set-ntp true");
    return;
  }
  timex state{};
  auto answer = adjtimex(&state);
  auto loose = answer == TIME_ERROR || (state.status & STA_UNSYNC) != 0;
  all.tell(loose ? finding::warn : finding::ok, "clock",
           loose ? "the clock is not kept by a time server" : "the clock is kept by a time server",
           loose ? "timedatectl set-ntp true" : "");
}

void check_version(checkup& all) {
  auto built = fmt::format("{}.{}.{}", DATAMESH_VERSION_MAJOR, DATAMESH_VERSION_MINOR, DATAMESH_VERSION_PATCH);
  auto same = built == version();
  all.tell(same ? finding::ok : finding::warn, "version",
           same ? "datamesh " + built : fmt::format("this program is {}, the library that it loaded is {}", built, version()),
           same ? "" : "ldd \"$(command -v datamesh)\"");
}

/// Keys lie below the home: nobody else may read there.
void check_permissions(checkup& all, const std::string& home) {
  struct stat top {};
  if (lstat(home.c_str(), &top) != 0) {
    all.tell(finding::fail, "permissions", from_errno(errno, "look at", home).message(), "ls -ld " + home);
    return;
  }
  if (top.st_uid != geteuid())
    all.tell(finding::warn, "permissions", fmt::format("{} belongs to user {}, and you are {}", home, top.st_uid, geteuid()),
             "ls -ln " + home);
  std::string open_file;
  std::error_code failed;
  auto walk = fs::recursive_directory_iterator{home, fs::directory_options::skip_permission_denied, failed};
  for (; !failed && walk != fs::recursive_directory_iterator{}; walk.increment(failed)) {
    if (walk.depth() >= 3)
      walk.disable_recursion_pending();
    struct stat status {};
    if (lstat(walk->path().c_str(), &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 077) != 0)
      open_file = walk->path().string();
  }
  auto closed = (top.st_mode & 077) == 0;
  if (closed)
    all.tell(finding::ok, "permissions", home + " is open to you alone");
  else if (!open_file.empty())
    all.tell(finding::fail, "permissions", "others may read " + open_file, "chmod -R go= " + home);
  else
    all.tell(finding::warn, "permissions", "others may look into " + home, "chmod go= " + home);
}

void check_drive(checkup& all, const drive_report& drive, const output& out) {
  auto held = drive.held > 0 ? fmt::format(", {} held for others", out.size(drive.held)) : "";
  auto free = drive.disk_total > 0 ? fmt::format(", {} of {} free{}", out.size(drive.disk_free), out.size(drive.disk_total), held) : "";
  auto text = fmt::format("{} is {}{}{}", drive.folder, drive.state, free, drive.reason ? ": " + drive.reason->message() : "");
  if (drive.state == "draining")
    return all.tell(finding::warn, "drive", text, drive.shards == 0 ? "datamesh drive remove " + drive.folder : "datamesh rebalance");
  if (drive.state != "ok")
    return all.tell(finding::fail, "drive", text,
                    drive.state == "read-only"   ? "findmnt --target " + drive.folder
                    : drive.state != "missing"   ? "datamesh drive replace " + drive.folder + " NEW"
                    : is_node_name(drive.folder) ? "datamesh peers"
                                                 : "ls -l " + drive.folder);
  if (is_node_name(drive.folder))
    return all.tell(finding::ok, "drive", text);
  // Drives of a daemon may be closed to who asks; the daemon itself looks at them.
  if (::access(drive.folder.c_str(), W_OK) != 0 && errno == EACCES)
    return all.tell(finding::ok, "drive", text + ", closed to this user");
  auto time = measure_sync(drive.folder);
  if (!time)
    return all.tell(finding::fail, "drive", text + "; " + time.error().message(), "datamesh drive replace " + drive.folder + " NEW");
  text += fmt::format(", durable after {:.2f} ms", time->median_ms);
  if (drive.disk_total > 0 && drive.disk_free < drive.disk_total / 20)
    return all.tell(finding::warn, "drive", text, "datamesh drive add DIR");
  if (time->median_ms > slow_sync_ms)
    return all.tell(finding::warn, "drive", text, "datamesh bench --folder " + drive.folder);
  all.tell(finding::ok, "drive", text);
}

void check_drives(checkup& all, node& n, const output& out) {
  auto drives = n.drives();
  if (drives.empty())
    all.tell(finding::fail, "drives", "the node has no drive", "datamesh drive add DIR");
  for (auto& drive : drives)
    check_drive(all, drive, out);
  if (drives.size() == 1)
    all.tell(finding::warn, "drives", "there is one drive: its loss is the loss of all data", "datamesh drive add DIR");
}

void check_vaults(checkup& all, node& n) {
  auto vaults = n.vaults();
  if (!vaults) {
    all.tell(finding::fail, "vaults", vaults.error().message(), "datamesh vault list");
    return;
  }
  if (vaults->empty())
    all.tell(finding::warn, "vaults", "there is no vault yet", "datamesh vault create main");
  for (auto& facts : *vaults) {
    auto has = [&](std::string_view kind) {
      return std::any_of(facts.locks.begin(), facts.locks.end(), [&](auto& l) { return l.kind == kind; });
    };
    if (!facts.id)
      all.tell(finding::fail, "vault", fmt::format("the key file of '{}' is damaged", facts.name), "datamesh explain DM-KEY-FILE-DAMAGED");
    else if (!has("recovery-phrase"))
      all.tell(finding::warn, "vault", fmt::format("'{}' has no recovery phrase", facts.name),
               "datamesh key recovery --vault " + facts.name);
    else
      all.tell(finding::ok, "vault", fmt::format("'{}' has {} keys that open it", facts.name, facts.locks.size()));
  }
}

/// The node behind --socket: what its daemon tells, and what this user can see of it.
void check_daemon(checkup& all, session& s) {
  auto n = s.open_node();
  if (!n)
    return all.tell(finding::fail, "daemon", n.error().what, n.error().next);
  all.tell(finding::ok, "daemon", fmt::format("a daemon serves {} at {}", (*n)->home(), s.set.text("socket")));
  check_drives(all, **n, s.out);
  check_vaults(all, **n);
}

} // namespace

outcome<int> run_doctor(session& s) {
  checkup all{s.out};
  check_version(all);
  check_limits(all);
  check_clock(all);
  auto home = s.set.text("home");
  if (!s.set.text("socket").empty()) {
    check_daemon(all, s);
    return all.finish("doctor");
  }
  std::error_code failed;
  if (!fs::exists(home, failed)) {
    all.tell(finding::fail, "node", "there is no node in " + home, "datamesh init --drive DIR");
  } else {
    check_disk(all, home, s.out);
    check_sync(all, home);
    check_permissions(all, home);
    if (auto n = s.open_node(); n) {
      check_drives(all, **n, s.out);
      check_vaults(all, **n);
    } else {
      auto code = n.error().code;
      all.tell(code == errc::locked ? finding::warn : finding::fail, "node", n.error().what,
               code == errc::no_vault ? "datamesh init --drive DIR" : "datamesh explain " + std::string{facts_of(code).name});
    }
  }
  return all.finish("doctor");
}

} // namespace datamesh::cli
