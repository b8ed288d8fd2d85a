#include "session.hpp"

#include "client_mesh.hpp"
#include "display.hpp"
#include "glob.hpp"
#include "units.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

namespace datamesh::cli {

session::session(const parsed_line& l, settings s, std::string file, output& o, cancel_token c)
    : line(l), set(std::move(s)), config_file(std::move(file)), out(o), cancel(std::move(c)) {}

session::~session() {
  vault_.reset();
  node_.reset();
}

node_options session::options() {
  node_options result;
  result.home = set.text("home");
  if (set.given("memory"))
    result.memory_bytes = set.number("memory");
  result.codec_threads = static_cast<unsigned>(set.number("threads"));
  if (auto level = set.text("compression"); !level.empty())
    result.compression_level = static_cast<int>(set.number("compression"));
  result.on_event = [this](const event& what) {
    std::lock_guard guard{mutex_};
    if (progress_)
      progress_->take(what);
  };
  return result;
}

result<std::unique_ptr<node>> session::ask_daemon(errc why) {
  if (why != errc::locked && why != errc::no_vault && why != errc::permission_denied)
    return std::unique_ptr<node>{};
  auto canonical = [](const std::string& path) {
    std::error_code failed;
    auto result = std::filesystem::weakly_canonical(path, failed);
    return failed ? std::filesystem::path{path} : result;
  };
  auto home = canonical(set.text("home"));
  // Who named no home and has none means the machine's.
  auto any = why == errc::no_vault && !set.given("home");
  auto env = process_variables();
  auto run = env("XDG_RUNTIME_DIR");
  std::optional<error> busy;
  for (const auto& folder : {run.value_or(""), std::string{"/run"}}) {
    if (!folder.starts_with('/'))
      continue;
    auto socket = folder + "/datamesh/control.sock";
    auto connected = node::connect(socket, options());
    if (connected && (any || canonical((*connected)->home()) == home))
      return std::move(*connected);
    if (!connected && connected.error().code() == errc::unavailable && (any || why != errc::no_vault))
      busy = connected.error().within("ask the daemon at", socket);
  }
  if (busy)
    return datamesh::fail(*busy);
  return std::unique_ptr<node>{};
}

namespace {

/// Why a daemon that is there does not serve this command.
failure not_served(const error& why) {
  return {why.code(), why.message(), "wait until another command has ended, or until the daemon is back, then the same again"};
}

/// Names the process that holds the node, when its lock file tells and that process is alive; *busy* tells of a
/// daemon that did not serve this command.
failure in_use(const std::string& home, const error& why, const error* busy) {
  auto files = system_files();
  auto read = [&](const std::string& path) {
    auto text = read_whole(*files, path, 64);
    return text ? std::string{as_text(*text).substr(0, as_text(*text).find('\n'))} : std::string{};
  };
  auto process = read(home + "/lock");
  auto name =
      process.empty() || process.find_first_not_of("0123456789") != std::string::npos ? std::string{} : read("/proc/" + process + "/comm");
  if (busy != nullptr && (name.empty() || name == "datameshd"))
    return not_served(*busy);
  if (name.empty())
    return {errc::locked, why.message(), fmt::format("fuser -v {}, to see which process holds it", shell_word(home + "/lock"))};
  return {errc::locked, fmt::format("process {} ({}) has the node in {} open", process, name, home),
          name == "datameshd" ? "add --socket with the socket that the daemon's settings name"
                              : fmt::format("wait until process {} ends, or start datameshd, which serves several at once", process)};
}

/// Nodes that are up answer within a second or two; one that is not is not waited for any longer by a command.
constexpr auto nodes_awaited = std::chrono::seconds{8};

} // namespace

void session::take_part(node_options& how) {
  if ((line.command->groups & group_mesh) == 0)
    return;
  auto mesh = client_mesh(how.home);
  if (mesh)
    how.mesh = std::move(*mesh);
  else
    out.warn(fmt::format("other nodes are not asked: {}", mesh.error().what));
}

void session::await_nodes() {
  auto silent = cli::await_nodes(*node_, nodes_awaited, cancel);
  if (!silent.empty())
    out.note("{} {} not answer: {}", counted(silent.size(), "node", "nodes"), silent.size() == 1 ? "does" : "do",
             printable(fmt::format("{}", fmt::join(silent, ", "))));
}

outcome<node*> session::open_node() {
  if (node_)
    return node_.get();
  if (auto socket = set.text("socket"); !socket.empty()) {
    auto connected = node::connect(socket, options());
    if (!connected && connected.error().code() == errc::unavailable)
      return refuse(not_served(connected.error().within("ask the daemon at", socket)));
    if (!connected)
      return refuse(connected.error().code() == errc::not_found ? errc::unavailable : connected.error().code(),
                    fmt::format("no daemon answers at {}{}", printable(socket), set.said_by("socket")), "systemctl status datameshd");
    return adopt(std::move(*connected), true);
  }
  auto how = options();
  take_part(how);
  auto meshed = how.mesh.has_value();
  auto opened = node::open(std::move(how));
  if (!opened) {
    auto daemon = ask_daemon(opened.error().code());
    if (daemon && *daemon)
      return adopt(std::move(*daemon), true);
    if (opened.error().code() == errc::locked)
      return refuse(in_use(set.text("home"), opened.error(), daemon ? nullptr : &daemon.error()));
    if (!daemon)
      return refuse(not_served(daemon.error()));
    if (opened.error().code() == errc::no_vault)
      return refuse(errc::no_vault, "there is no node in " + set.text("home") + set.said_by("home"), "datamesh init --drive DIR");
    return refuse(opened.error());
  }
  adopt(std::move(*opened));
  if (meshed)
    await_nodes();
  return node_.get();
}

void session::close_node() {
  vault_.reset();
  node_.reset();
}

node* session::adopt(std::unique_ptr<node> made, bool by_daemon) {
  node_ = std::move(made);
  by_daemon_ = by_daemon;
  return node_.get();
}

outcome<vault_facts> session::chosen_vault() {
  auto n = open_node();
  if (!n)
    return refuse(n.error());
  auto all = (*n)->vaults();
  if (!all)
    return refuse(all.error());
  auto wanted = set.text("vault");
  for (auto& facts : *all)
    if (facts.name == (wanted.empty() ? "main" : wanted))
      return facts;
  if (!wanted.empty())
    return refuse(errc::no_vault, fmt::format("there is no vault '{}' here{}", wanted, set.said_by("vault")), "datamesh vault list");
  if (all->size() == 1)
    return all->front();
  if (all->empty())
    return refuse(errc::no_vault, "there is no vault here yet", "datamesh vault create main");
  return refuse(errc::no_vault, "there are several vaults and none is chosen", "datamesh vault use NAME");
}

outcome<credential> session::credential_for(const vault_facts& facts, bool may_ask) {
  auto warn = [this](const std::string& text) {
    out.warn(text);
  };
  if (auto file = set.text("phrase-file"); !file.empty()) {
    auto phrase = read_secret({.what = "recovery phrase", .file = file, .warn = warn}, cancel);
    if (!phrase)
      return refuse(phrase.error());
    return credential::recovery_phrase(phrase->view());
  }
  auto given = set.given("password-file") || set.given("password-command");
  auto trusted = std::any_of(facts.locks.begin(), facts.locks.end(), [](auto& lock) { return lock.kind == "device"; });
  if (!given && (trusted || !may_ask))
    return credential::this_device();
  auto password = read_secret({.what = fmt::format("password of vault '{}'", facts.name),
                               .file = set.text("password-file"),
                               .command = set.text("password-file").empty() ? set.text("password-command") : std::string{},
                               .hint = as_typed("password-file"),
                               .warn = warn},
                              cancel);
  if (!password) {
    auto why = password.error();
    why.what += set.said_by(set.text("password-file").empty() ? "password-command" : "password-file");
    return refuse(std::move(why));
  }
  return credential::password(password->view());
}

failure not_opened(const error& why, const std::string& name, const std::string& home) {
  failure told{why};
  auto folder = fmt::format("{}/vaults/{}", home, name);
  auto key = shell_word(folder + "/key");
  if (why.code() == errc::format_alien || why.code() == errc::key_file_damaged)
    told.next = fmt::format("cp COPY {}, where COPY is what 'datamesh key export' wrote", key);
  else if (why.code() == errc::authentication_failed)
    told.next =
        fmt::format("cp COPY {}, when that is the key file of another vault and COPY is this one's, as 'datamesh key export' writes it; "
                    "when it is its own, the catalog is not: mv {} {}, then: datamesh rebuild",
                    key, shell_word(folder + "/catalog"), shell_word(folder + "/catalog.other"));
  return told;
}

outcome<vault*> session::open_vault(bool may_ask) {
  if (vault_)
    return &*vault_;
  auto facts = chosen_vault();
  if (!facts)
    return refuse(facts.error());
  // A key file that tells no locks can not be opened; no password is needed to hear why.
  auto with = credential_for(*facts, may_ask && !facts->locks.empty());
  if (!with)
    return refuse(with.error());
  auto opened = node_->open_vault(facts->name, *with);
  // A lock of another machine looks the same until it is tried.
  if (!opened && opened.error().code() == errc::wrong_password && with->type() == credential::kind::device && may_ask) {
    vault_facts by_password = *facts;
    by_password.locks.clear();
    with = credential_for(by_password);
    if (!with)
      return refuse(with.error());
    opened = node_->open_vault(facts->name, *with);
  }
  if (!opened)
    return refuse(not_opened(opened.error(), facts->name, home()));
  vault_.emplace(std::move(*opened));
  return &*vault_;
}

outcome<std::optional<credential>> session::new_password(const std::string& prefix) {
  if (set.flag("no-password"))
    return std::optional<credential>{};
  auto file = set.text(prefix + "password-file");
  auto password = read_secret({.what = "new password",
                               .file = file,
                               .command = file.empty() ? set.text(prefix + "password-command") : std::string{},
                               .twice = true,
                               .hint = as_typed(prefix + "password-file"),
                               .warn =
                                   [this](const std::string& text) {
                                     out.warn(text);
                                   }},
                              cancel);
  if (!password)
    return refuse(password.error());
  return std::optional<credential>{credential::password(password->view())};
}

std::string session::as_typed(const std::string& file_option) const {
  constexpr size_t arguments_shown_max = 3;
  std::string words;
  for (size_t i = 0; i < std::min(arguments().size(), arguments_shown_max); ++i)
    words += " " + shell_word(arguments()[i]);
  if (arguments().size() > arguments_shown_max)
    words += " ...";
  // What begins with a dash is no option only behind "--", where no option is one.
  auto dashes = std::any_of(arguments().begin(), arguments().end(), [](auto& word) { return word.starts_with('-') && word != "-"; });
  auto text = "datamesh " + line.path + (dashes ? "" : words);
  for (auto& [name, value] : set.all())
    for (auto& word : value.from == origin::flag && name != file_option ? value.values : std::vector<std::string>{})
      text += " --" + name + (word == "true" ? "" : word == "false" ? "=false" : " " + shell_word(word));
  if (!file_option.empty())
    text += " --" + file_option + " FILE";
  return dashes ? text + " --" + words : text;
}

outcome<bool> session::confirm(const std::string& question) {
  if (set.flag("yes"))
    return true;
  return ask(question, cancel);
}

void session::begin_progress(total_counter total) {
  auto shown = !out.quiet() && !set.flag("no-progress");
  std::lock_guard guard{mutex_};
  progress_ = std::make_unique<progress>(out, line.path, shown);
  if (shown && total)
    progress_->count(std::move(total));
}

void session::end_progress() {
  std::unique_ptr<progress> ended;
  {
    std::lock_guard guard{mutex_};
    ended = std::move(progress_);
  }
}

outcome<std::string> vault_path(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    auto slash = text.find('/');
    auto part = text.substr(0, slash);
    text.remove_prefix(slash == std::string_view::npos ? text.size() : slash + 1);
    if (part.empty() || part == ".")
      continue;
    if (part == ".." || part.find('\0') != std::string_view::npos)
      return refuse(errc::name_invalid, fmt::format("'{}' can not be a name in a vault", printable(part)),
                    "name the whole path, as 'datamesh ls' shows it");
    result += '/';
    result += part;
  }
  return result.empty() ? "/" : result;
}

outcome<std::vector<std::string>> expand(const vault& in, const std::string& argument) {
  auto path = vault_path(argument);
  if (!path)
    return refuse(path.error());
  if (!is_glob(*path) || in.info(*path))
    return std::vector{*path};
  std::vector<std::string> found;
  list_request request{.path = glob_folder(*path), .recursive = !glob_is_flat(*path), .limit = 10'000};
  do {
    auto page = in.list(request);
    if (!page && page.error().code() == errc::not_found)
      break;
    if (!page)
      return refuse(page.error());
    for (auto& entry : page->entries)
      if (glob_match(*path, entry.path))
        found.push_back(entry.path);
    request.cursor = page->next_cursor;
  } while (!request.cursor.empty());
  if (found.empty())
    return refuse(errc::not_found, fmt::format("nothing matches '{}'", printable(*path)));
  return found;
}

outcome<std::vector<std::string>> expand_all(const vault& in, const std::vector<std::string>& arguments, nested what) {
  std::vector<std::string> result;
  std::set<std::string> seen;
  std::set<std::string> named; // And not only matched by a pattern.
  for (auto& argument : arguments) {
    auto paths = expand(in, argument);
    if (!paths)
      return refuse(paths.error());
    for (auto& path : *paths)
      if (seen.insert(path).second)
        result.push_back(path);
    if (auto whole = vault_path(argument); what == nested::named && seen.count(*whole) > 0)
      named.insert(*whole);
  }
  if (what == nested::each)
    return result;
  auto goes_along = [&](const std::string& path) {
    for (auto end = path.rfind('/'); end != std::string::npos && end > 0; end = path.rfind('/', end - 1))
      if (seen.count(path.substr(0, end)) > 0)
        return true;
    return seen.count("/") > 0 && path != "/";
  };
  std::erase_if(result, [&](auto& path) { return named.count(path) == 0 && goes_along(path); });
  return result;
}

if_exists conflict_of(const settings& set) {
  auto text = set.text("if-exists");
  return text == "fail" ? if_exists::fail : text == "rename" ? if_exists::rename : if_exists::version;
}

namespace {

/// True when *path* stands in *text* as a name of its own, and not within another word.
bool names(std::string_view text, std::string_view path) {
  for (auto at = text.find(path); at != std::string_view::npos; at = text.find(path, at + 1)) {
    auto end = at + path.size();
    if ((at == 0 || std::string_view{"'/ "}.find(text[at - 1]) != std::string_view::npos)
        && (end == text.size() || std::string_view{"': "}.find(text[end]) != std::string_view::npos))
      return true;
  }
  return false;
}

} // namespace

int tell_failures(session& s, const std::vector<item_failure>& failures, uint64_t count, const items_told& told) {
  for (auto& failed : failures)
    s.out.item_error(failed.path, failed.reason.code(), failed.reason.message());
  if (auto named = s.out.failed_items(); count > named && count > 1)
    s.out.warn(fmt::format("{} more items failed than are named here", count - named));
  s.out.line(told.summary);
  if (count == 0)
    return 0;
  auto one_kind = !failures.empty() && std::all_of(failures.begin(), failures.end(), [&](auto& failed) {
    return failed.reason.code() == failures.front().reason.code();
  });
  auto taken = one_kind && failures.front().reason.code() == errc::already_exists;
  failure why{errc::partial_failure, {}, !told.next.empty() ? told.next : taken ? told.next_if_taken : std::string{}};
  if (!told.done && !failures.empty())
    why.code = failures.front().reason.code();
  // A single thing that was asked for and failed is the failure of the command.
  if (!told.done && count == 1 && !failures.empty()) {
    s.out.drop_held_back();
    why.what = failures.front().reason.message();
    if (!names(why.what, failures.front().path))
      why.what = failures.front().path + ": " + why.what;
    if (why.code == errc::not_found)
      why.next = told.next_if_missing;
    return s.out.fail(s.line.path, why);
  }
  why.what = fmt::format("{} of the items could not be {}: {}", told.done ? grouped(count) : "all " + grouped(count), told.what,
                         s.out.failed_by_code());
  return s.out.fail(s.line.path, why);
}

outcome<bytes> read_named_file(const std::string& path, uint64_t size_max) {
  auto raw = read_whole(*system_files(), path, size_max);
  if (raw)
    return std::move(*raw);
  failure why{raw.error()};
  if (why.code == errc::not_found)
    why.next = "ls -l " + shell_word(path.substr(0, std::max<size_t>(path.rfind('/'), 1)));
  return refuse(std::move(why));
}

std::string counted(uint64_t n, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", grouped(n), n == 1 ? one : many);
}

command_function find_command(std::string_view path) {
  static constexpr std::pair<std::string_view, command_function> table[] = {
      {"init", run_init},
      {"doctor", run_doctor},
      {"put", run_put},
      {"get", run_get},
      {"cat", run_cat},
      {"ls", run_ls},
      {"info", run_info},
      {"mkdir", run_mkdir},
      {"rm", run_rm},
      {"mv", run_mv},
      {"cp", run_cp},
      {"tag", run_tag},
      {"versions", run_versions},
      {"restore", run_restore},
      {"status", run_status},
      {"stats", run_stats},
      {"verify", run_verify},
      {"repair", run_repair},
      {"cleanup", run_cleanup},
      {"rebalance", run_rebalance},
      {"topology", run_topology},
      {"distribution", run_distribution},
      {"rebuild", run_rebuild},
      {"recover", run_recover},
      {"bench", run_bench},
      {"drive add", run_drive_add},
      {"drive list", run_drive_list},
      {"drive drain", run_drive_drain},
      {"drive replace", run_drive_replace},
      {"drive adopt", run_drive_adopt},
      {"drive remove", run_drive_remove},
      {"drive label", run_drive_label},
      {"drive rule", run_drive_rule},
      {"drive audits", run_drive_audits},
      {"node status", run_node_status},
      {"node init", run_node_init},
      {"node start", run_node_start},
      {"node allow", run_node_allow},
      {"node drain", run_node_drain},
      {"node leave", run_node_leave},
      {"node pause", run_node_pause},
      {"node resume", run_node_resume},
      {"node limit", run_node_limit},
      {"network health", run_network_health},
      {"peers", run_peers},
      {"bandwidth", run_bandwidth},
      {"discover", run_discover},
      {"preset list", run_preset_list},
      {"preset show", run_preset_show},
      {"preset save", run_preset_save},
      {"preset remove", run_preset_remove},
      {"preset use", run_preset_use},
      {"members key", run_members_key},
      {"members init", run_members_init},
      {"members add", run_members_add},
      {"members remove", run_members_remove},
      {"members set", run_members_set},
      {"members sign", run_members_sign},
      {"members show", run_members_show},
      {"invite create", run_invite_create},
      {"invite show", run_invite_show},
      {"invite accept", run_invite_accept},
      {"vault list", run_vault_list},
      {"vault create", run_vault_create},
      {"vault use", run_vault_use},
      {"vault restore", run_vault_restore},
      {"vault destroy", run_vault_destroy},
      {"key list", run_key_list},
      {"key change-password", run_key_change_password},
      {"key recovery", run_key_recovery},
      {"key trust-device", run_key_trust_device},
      {"key remove", run_key_remove},
      {"key rotate", run_key_rotate},
      {"key export", run_key_export},
      {"config show", run_config_show},
      {"config check", run_config_check},
      {"config set", run_config_set},
      {"explain", run_explain},
      {"completion", run_completion},
      {"help", run_help},
      {"version", run_version},
  };
  for (auto& [name, function] : table)
    if (name == path)
      return function;
  return nullptr;
}

} // namespace datamesh::cli
