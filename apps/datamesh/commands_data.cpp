// put, get, cat: bytes in and out.
#include "display.hpp"
#include "session.hpp"
#include "transfer_advice.hpp"
#include "units.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace datamesh::cli {

namespace {

class stdin_source : public source {
public:
  explicit stdin_source(cancel_token cancel) : cancel_(std::move(cancel)) {}
  result<size_t> read(byte_span out) override {
    while (!cancel_.cancelled()) {
      pollfd ready{STDIN_FILENO, POLLIN, 0};
      auto polled = poll(&ready, 1, 200);
      if (polled < 0 && errno != EINTR)
        return datamesh::fail(from_errno(errno, "wait for standard input"));
      if (polled <= 0)
        continue;
      auto got = ::read(STDIN_FILENO, out.data(), out.size());
      if (got >= 0)
        return static_cast<size_t>(got);
      if (errno != EINTR && errno != EAGAIN)
        return datamesh::fail(from_errno(errno, "read standard input"));
    }
    return datamesh::fail(errc::cancelled, "read standard input");
  }

private:
  cancel_token cancel_;
};

/// Bytes as they are, or, with --json, lines with offset and base64.
class stdout_sink : public sink {
public:
  stdout_sink(output& out, uint64_t offset) : out_(out), offset_(offset) {}
  result<void> write(byte_view data) override {
    auto text = as_text(data);
    if (!out_.json()) {
      if (!out_.raw(text))
        return datamesh::fail(errc::cancelled, "write standard output");
      return {};
    }
    while (!text.empty()) {
      auto part = text.substr(0, line_bytes);
      out_.line(json_line{"item"}
                    .add("action", "data")
                    .add("offset", offset_)
                    .add("size", part.size())
                    .add("data_base64", std::string_view{base64(part)}));
      if (out_.lost())
        return datamesh::fail(errc::cancelled, "write standard output");
      offset_ += part.size();
      text.remove_prefix(part.size());
    }
    return {};
  }

private:
  static constexpr size_t line_bytes = 48 << 10;
  output& out_;
  uint64_t offset_;
};

outcome<std::string> join_vault(const std::string& folder, const std::string& name) {
  return vault_path(folder + "/" + name);
}

/// The name under which *source* is stored: its last part, also of "." and "..".
outcome<std::string> own_name(const std::string& source) {
  namespace fs = std::filesystem;
  std::error_code failed;
  auto path = fs::path{source};
  auto name = path.has_filename() ? path.filename() : path.parent_path().filename();
  if (name.empty() || name == "." || name == "..") {
    path = fs::canonical(path, failed);
    name = path.filename();
  }
  if (failed || name.empty())
    return refuse(errc::name_invalid, fmt::format("'{}' has no name of its own", printable(source)), "give it one with --as NAME");
  return name.string();
}

json_line waits_json(const transfer_waits& waits) {
  json_line line;
  line.add("limiting", to_string(waits.limiting()))
      .add("elapsed_ns", waits.elapsed_ns)
      .add("memory_ns", waits.memory_ns)
      .add("source_ns", waits.source_ns)
      .add("codec_ns", waits.codec_ns)
      .add("drives_ns", waits.drives_ns)
      .add("catalog_ns", waits.catalog_ns)
      .add("target_ns", waits.target_ns);
  if (!waits.drive.empty())
    line.name("drive", waits.drive);
  return line;
}

std::string_view for_people(transfer_stage stage) {
  constexpr std::string_view names[] = {"nothing",    "memory",      "what it reads", "the processors",
                                        "the drives", "the catalog", "what it writes"};
  return names[static_cast<size_t>(stage)];
}

/// Says what would have to be faster, where that is plain.
void tell_limit(output& out, const transfer_waits& waits) {
  constexpr uint64_t worth_telling_ns = 5'000'000'000;
  constexpr double share_min = 0.2;
  auto limiting = waits.limiting();
  if (limiting == transfer_stage::none)
    return;
  if (!out.verbose() && (waits.elapsed_ns < worth_telling_ns || waits.share() < share_min))
    return;
  auto named = limiting == transfer_stage::drives && !waits.drive.empty();
  auto of_these = named ? fmt::format(", most of it for {} alone", printable(waits.drive)) : std::string{};
  out.note("It waited longest for {}: {:.0f} % of {:.1f} s{}.", for_people(limiting), waits.share() * 100,
           static_cast<double>(waits.elapsed_ns) / 1e9, of_these);
}

json_line put_json(const put_summary& sum, bool dry_run) {
  json_line line{"summary"};
  line.add("dry_run", dry_run)
      .add("files", sum.files)
      .add("folders", sum.folders)
      .add("symlinks", sum.symlinks)
      .add("bytes", sum.bytes)
      .add("hole_bytes", sum.hole_bytes)
      .add("files_unread", sum.files_unread)
      .add("bytes_unread", sum.bytes_unread)
      .add("chunks", sum.chunks)
      .add("chunks_known", sum.chunks_known)
      .add("bytes_known", sum.bytes_known)
      .add("bytes_new_plain", sum.bytes_new_plain)
      .add("bytes_new_sealed", sum.bytes_new_sealed)
      .add("bytes_written", sum.bytes_written)
      .add("packs", sum.packs)
      .add("shards_short", sum.shards_short)
      .names("stored_as", sum.stored_as)
      .add("failed", sum.failure_count)
      .add("waits", waits_json(sum.waits));
  return line;
}

/// What was taken for unchanged, if there is some.
std::string unread(output& out, const put_summary& sum) {
  if (sum.files_unread == 0)
    return {};
  return fmt::format(", {} in {} unchanged and not read", out.size(sum.bytes_unread), counted(sum.files_unread, "file", "files"));
}

/// The command that removes what a put met in the vault, or nothing.
std::string advice_of_vault(session& s, const std::vector<item_failure>& failures) {
  auto v = failures.empty() ? refuse(errc::not_found, {}) : s.open_vault();
  return v ? advice_for_kinds(**v, failures, conflict_of(s.set) == if_exists::fail) : std::string{};
}

int finish_put(session& s, const put_summary& sum) {
  auto& out = s.out;
  auto what = counted(sum.files, "file", "files");
  if (sum.folders > 0)
    what += ", " + counted(sum.folders, "folder", "folders");
  if (sum.symlinks > 0)
    what += ", " + counted(sum.symlinks, "link", "links");
  auto done = sum.files + sum.folders + sum.symlinks > 0;
  // What was named is there and was neither stored nor refused: it is the store itself.
  auto only_own = !done && sum.failure_count == 0;
  if (done)
    out.print("{} {}, {}: {} new, {} known already{}.", s.dry_run() ? "Would store" : "Stored", what, out.size(sum.bytes),
              out.size(sum.bytes_new_plain), out.size(sum.bytes_known), unread(out, sum));
  if (done && !s.dry_run() && sum.bytes_written > 0)
    out.print("{} compressed and sealed, {} on the drives with parity and padding.", out.size(sum.bytes_new_sealed),
              out.size(sum.bytes_written));
  if (sum.stored_as.size() == 1 && sum.files == 1)
    out.print("{}", printable_name(sum.stored_as.front()));
  tell_limit(out, sum.waits);
  if (sum.shards_short > 0)
    out.warn(fmt::format("the data is durable, but up to {} of a pack found no drive; run: datamesh repair",
                         counted(sum.shards_short, "shard", "shards")));
  if (only_own) {
    out.line(put_json(sum, s.dry_run()));
    return out.fail(s.line.path, failure{errc::invalid_argument, "nothing was stored: what was named belongs to this store itself",
                                         "name a file or folder outside of the drives and of the home of the store"});
  }
  return tell_failures(s, sum.failures, sum.failure_count,
                       {.what = "stored",
                        .done = done,
                        .summary = put_json(sum, s.dry_run()),
                        .next_if_taken = "run it again with --if-exists version, with --if-exists rename, or with --as NAME",
                        .next_if_missing = "check the path: it is one of this machine, not of the vault",
                        .next = advice_of_vault(s, sum.failures)});
}

/// Refuses a standard input that nobody can read: one that is closed, or a folder.
outcome<void> check_stdin(const std::string& name) {
  struct stat status {};
  auto flags = fcntl(STDIN_FILENO, F_GETFL);
  // In the place of one that was closed something stands that can only be written.
  auto closed = flags < 0 || (flags & O_ACCMODE) == O_WRONLY;
  if (closed)
    return refuse(errc::usage, "there is no way to read standard input: it is closed",
                  fmt::format("COMMAND | datamesh put - --as {0}, or: datamesh put - --as {0} < FILE", shell_word(name)));
  if (fstat(STDIN_FILENO, &status) == 0 && S_ISDIR(status.st_mode))
    return refuse(errc::usage, "there is no way to read standard input: it is a folder", "datamesh put FOLDER, which stores a folder");
  return {};
}

outcome<int> put_stdin(session& s, const std::string& folder) {
  auto name = s.set.text("as");
  if (name.empty())
    return refuse(errc::usage, "standard input has no name", "datamesh put - --as NAME");
  if (s.dry_run())
    return refuse(errc::usage, "standard input can not be read for a dry run", "datamesh help put");
  if (auto readable = check_stdin(name); !readable)
    return refuse(readable.error());
  auto target = join_vault(folder, name);
  if (!target)
    return refuse(target.error());
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  put_stream_request request{.from = std::make_shared<stdin_source>(s.cancel),
                             .target_path = *target,
                             .conflict = conflict_of(s.set),
                             .policy = s.set.text("policy"),
                             .modified_ns = std::nullopt};
  auto sum = s.with_progress([&](const job_options& job) { return (*v)->put(request, job); });
  if (!sum) {
    failure why{sum.error()};
    why.next = advice_of_vault(s, {{*target, sum.error()}});
    return refuse(std::move(why));
  }
  return finish_put(s, *sum);
}

outcome<put_request> put_plan(session& s, const std::string& folder) {
  put_request request{.sources = {},
                      .conflict = conflict_of(s.set),
                      .policy = s.set.text("policy"),
                      .exclude = s.set.list("exclude"),
                      .dry_run = s.dry_run(),
                      .compare_contents = s.set.flag("checksum")};
  auto as = s.set.text("as");
  for (auto& source : s.arguments()) {
    auto name = as.empty() ? own_name(source) : outcome<std::string>{as};
    if (!name)
      return refuse(name.error());
    auto target = join_vault(folder, *name);
    if (!target)
      return refuse(target.error());
    std::error_code failed;
    auto path = std::filesystem::absolute(source, failed);
    if (failed)
      return refuse(from_errno(failed.value(), "find", source));
    for (auto& other : request.sources)
      if (other.target_path == *target)
        return refuse(errc::usage, fmt::format("two sources would both be stored as '{}'", printable(*target)),
                      "store one of them by a command of its own, with --as NAME");
    request.sources.push_back({path.string(), *target});
  }
  return request;
}

outcome<std::optional<version_id>> chosen_version(session& s, const vault& v, const std::string& path) {
  auto prefix = s.set.text("version");
  if (prefix.empty())
    return std::optional<version_id>{};
  auto all = v.versions(path);
  if (!all)
    return refuse(all.error());
  std::optional<version_id> found;
  for (auto& version : *all) {
    if (!version.id.hex().starts_with(prefix))
      continue;
    if (found)
      return refuse(errc::invalid_argument, fmt::format("several versions of '{}' begin with {}", printable(path), prefix),
                    "datamesh versions " + shell_word(path));
    found = version.id;
  }
  if (!found)
    return refuse(errc::not_found, fmt::format("no version of '{}' begins with {}", printable(path), printable(prefix)),
                  "datamesh versions " + shell_word(path));
  return found;
}

json_line get_json(const get_summary& sum) {
  json_line line{"summary"};
  line.add("files", sum.files)
      .add("folders", sum.folders)
      .add("symlinks", sum.symlinks)
      .add("bytes", sum.bytes)
      .add("bytes_resumed", sum.bytes_resumed)
      .add("shards_bad", sum.shards_bad)
      .add("reads_hedged", sum.reads_hedged)
      .add("failed", sum.failure_count)
      .add("waits", waits_json(sum.waits));
  return line;
}

/// With --force only what is no file stays in the way.
std::string advice_where_taken(bool force) {
  return force ? "move away what is there and no file, or bring it into another folder with --to FOLDER"
               : "run it again with --force, which replaces files, or into another folder with --to FOLDER";
}

/// *target* is empty where standard output was written.
int finish_get(session& s, const get_summary& sum, const std::string& target = {}) {
  tell_limit(s.out, sum.waits);
  if (sum.shards_bad > 0)
    s.out.warn(fmt::format("{} read around; run: datamesh repair",
                           counted(sum.shards_bad, "missing or damaged shard was", "missing or damaged shards were")));
  return tell_failures(s, sum.failures, sum.failure_count,
                       {.what = "brought back",
                        .done = sum.files + sum.folders + sum.symlinks > 0,
                        .summary = get_json(sum),
                        .next_if_taken = advice_where_taken(!target.empty() && s.set.flag("force")),
                        .next = target.empty() ? std::string{} : advice_for_target(sum.failures, target)});
}

/// Why what stands at *path* does not go to standard output.
failure not_streamed(const error& why, const std::string& path) {
  failure told{why};
  if (why.code() == errc::is_a_folder)
    told.next = fmt::format("datamesh get {0} --to FOLDER, which brings back the whole folder; datamesh ls {0} shows the files in it",
                            shell_word(path));
  if (why.code() == errc::unsupported_source)
    told.next = fmt::format("datamesh info {0} shows where it leads; datamesh get {0} --to FOLDER brings back the link", shell_word(path));
  return told;
}

outcome<get_summary> stream(session& s, vault& v, const std::string& path) {
  auto version = chosen_version(s, v, path);
  if (!version)
    return refuse(version.error());
  byte_range range;
  if (auto text = s.set.text("range"); !text.empty()) {
    auto parsed = parse_range(text);
    range = {parsed->first, parsed->length};
  }
  auto to = std::make_shared<stdout_sink>(s.out, range.first);
  auto sum = s.with_progress([&](const job_options& job) { return v.get(path, to, range, *version, job); });
  if (!sum)
    return refuse(not_streamed(sum.error(), path));
  return *sum;
}

/// Of streams that followed one another.
void add_to(transfer_waits& all, const transfer_waits& one) {
  if (all.drives_ns == 0)
    all.drive = one.drive;
  else if (one.drives_ns > 0 && all.drive != one.drive)
    all.drive.clear();
  all.elapsed_ns += one.elapsed_ns;
  all.memory_ns += one.memory_ns;
  all.codec_ns += one.codec_ns;
  all.drives_ns += one.drives_ns;
  all.catalog_ns += one.catalog_ns;
  all.target_ns += one.target_ns;
}

void add_to(get_summary& all, const get_summary& one) {
  add_to(all.waits, one.waits);
  all.files += one.files;
  all.bytes += one.bytes;
  all.bytes_resumed += one.bytes_resumed;
  all.shards_bad += one.shards_bad;
  all.reads_hedged += one.reads_hedged;
  all.failure_count += one.failure_count;
  all.failures.insert(all.failures.end(), one.failures.begin(), one.failures.end());
}

outcome<int> stream_all(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto paths = expand_all(**v, s.arguments());
  if (!paths)
    return refuse(paths.error());
  get_summary all;
  for (auto& path : *paths) {
    auto sum = stream(s, **v, path);
    if (!sum)
      return refuse(sum.error());
    add_to(all, *sum);
  }
  return finish_get(s, all);
}

/// Bytes of the files that a put will read. What it can not see it leaves out.
total_counter bytes_of_sources(const put_request& what) {
  return [sources = what.sources, exclude = what.exclude](const std::atomic<bool>& stop) {
    namespace fs = std::filesystem;
    std::error_code failed;
    auto left_out = [&](const fs::path& relative) {
      return std::any_of(exclude.begin(), exclude.end(), [&](const std::string& pattern) {
        return fnmatch(pattern.c_str(), relative.c_str(), FNM_PATHNAME) == 0
               || fnmatch(pattern.c_str(), relative.filename().c_str(), 0) == 0;
      });
    };
    uint64_t bytes = 0;
    auto add = [&](const fs::directory_entry& file) {
      if (!file.is_symlink(failed) && file.is_regular_file(failed))
        if (auto size = file.file_size(failed); !failed)
          bytes += size;
    };
    for (const auto& source : sources) {
      fs::directory_entry root{source.source_path, failed};
      add(root);
      if (root.is_symlink(failed) || !root.is_directory(failed))
        continue;
      fs::recursive_directory_iterator below{source.source_path, fs::directory_options::skip_permission_denied, failed};
      for (; !failed && !stop && below != fs::recursive_directory_iterator{}; below.increment(failed)) {
        if (left_out(below->path().lexically_relative(source.source_path)))
          below.disable_recursion_pending();
        else
          add(*below);
      }
    }
    return stop ? 0 : bytes;
  };
}

/// Bytes of the files that a get will bring back.
total_counter bytes_of_paths(const vault& v, const std::vector<std::string>& paths) {
  return [&v, paths](const std::atomic<bool>& stop) -> uint64_t {
    uint64_t bytes = 0;
    for (const auto& path : paths) {
      list_request request{.path = path, .recursive = true, .limit = 10'000};
      do {
        auto page = stop ? fail(errc::cancelled) : v.list(request);
        if (!page)
          return 0;
        for (const auto& one : page->entries)
          bytes += one.kind == entry_kind::file ? one.size : 0;
        request.cursor = page->next_cursor;
      } while (!request.cursor.empty());
    }
    return bytes;
  };
}

/// Until this was done, a power loss may take what was written.
result<void> make_durable(const std::string& folder) {
  auto raw = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (raw < 0)
    return fail(from_errno(errno, "make durable what was brought back", folder));
  auto failed = ::syncfs(raw) < 0 ? errno : 0;
  ::close(raw);
  if (failed != 0)
    return fail(from_errno(failed, "make durable what was brought back", folder));
  return {};
}

} // namespace

namespace {

/// A daemon takes only so many names at once.
failure of_several(const error& why, size_t count) {
  failure told{why};
  if (why.code() == errc::capacity_exceeded && count > 1)
    told.next = "name fewer of them in one command, or the folder that holds them";
  return told;
}

} // namespace

outcome<int> run_put(session& s) {
  auto folder = vault_path(s.set.text("to"));
  if (!folder)
    return refuse(folder.error());
  auto& sources = s.arguments();
  auto from_stdin = s.set.flag("stdin") || (sources.size() == 1 && sources[0] == "-");
  if (from_stdin && (sources.size() > 1 || (sources.size() == 1 && sources[0] != "-")))
    return refuse(errc::usage, "standard input and files can not be stored by one command", "datamesh help put");
  if (from_stdin)
    return put_stdin(s, *folder);
  if (sources.empty())
    return refuse(errc::usage, "'put' needs SOURCE", "datamesh help put");
  if (sources.size() > 1 && s.set.given("as"))
    return refuse(errc::usage, "'--as' names one source, and there are several", "datamesh help put");
  auto request = put_plan(s, *folder);
  if (!request)
    return refuse(request.error());
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto sum = s.with_progress([&](const job_options& job) { return (*v)->put(*request, job); }, bytes_of_sources(*request));
  if (!sum)
    return refuse(of_several(sum.error(), request->sources.size()));
  return finish_put(s, *sum);
}

outcome<int> run_get(session& s) {
  auto target = s.set.text("to");
  if (target == "-") {
    if (s.set.given("as") || s.set.flag("force"))
      return refuse(errc::usage, "'--as' and '--force' have no meaning for standard output", "datamesh help get");
    return stream_all(s);
  }
  if (s.set.given("range"))
    return refuse(errc::usage, "a range goes to standard output", "add --to -, or use: datamesh cat PATH --range A-B");
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto paths = expand_all(**v, s.arguments(), nested::named);
  if (!paths)
    return refuse(paths.error());
  if (paths->size() > 1 && (s.set.given("as") || s.set.given("version")))
    return refuse(errc::usage, "'--as' and '--version' take a single PATH, and there are several", "datamesh help get");
  auto version = chosen_version(s, **v, paths->front());
  if (!version)
    return refuse(version.error());
  auto in_target = [&](const error& why) {
    failure told{why};
    told.next = advice_for_target(why.code(), target);
    return told;
  };
  std::error_code failed;
  std::filesystem::create_directories(target, failed);
  if (failed)
    return refuse(in_target(from_errno(failed.value(), "make the folder", target)));
  auto folder = std::filesystem::absolute(target, failed).string();
  get_request request{
      .paths = *paths, .target_folder = folder, .target_name = s.set.text("as"), .overwrite = s.set.flag("force"), .version = *version};
  auto sum = s.with_progress([&](const job_options& job) { return (*v)->get(request, job); }, bytes_of_paths(**v, *paths));
  if (!sum && sum.error().code() == errc::already_exists)
    return refuse(errc::already_exists, sum.error().message(), advice_where_taken(s.set.flag("force")));
  if (!sum && sum.error().code() == errc::conflict)
    return refuse(errc::conflict, sum.error().message(), "get them one by one, each with --as NAME or --to FOLDER");
  if (!sum && sum.error().code() == errc::name_invalid)
    return refuse(errc::name_invalid, sum.error().message(), "choose another NAME for --as, without '/'; the folder is what --to names");
  if (!sum && sum.error().code() == errc::capacity_exceeded)
    return refuse(of_several(sum.error(), paths->size()));
  if (!sum)
    return refuse(in_target(sum.error()));
  if (s.set.flag("sync"))
    if (auto durable = make_durable(folder); !durable)
      return refuse(in_target(durable.error()));
  auto& out = s.out;
  auto into = target == "." ? "this folder" : printable(target);
  auto what = counted(sum->files, "file", "files");
  if (sum->folders > 0)
    what += ", " + counted(sum->folders, "folder", "folders");
  if (sum->failure_count == 0)
    out.print("Brought back {}, {}, into {}.", what, out.size(sum->bytes + sum->bytes_resumed), into);
  else if (sum->files + sum->folders + sum->symlinks > 0)
    out.print("Brought back {}, into {}; {} were written, those of files that failed half-way among them.", what, into,
              out.size(sum->bytes));
  if (sum->bytes_resumed > 0)
    out.print("{} were there already, from an earlier get.", out.size(sum->bytes_resumed));
  return finish_get(s, *sum, target);
}

outcome<int> run_cat(session& s) {
  return stream_all(s);
}

} // namespace datamesh::cli
