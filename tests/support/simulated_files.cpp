#include "tests/support/simulated_files.hpp"

#include "tests/support/simulated_content.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <map>
#include <mutex>
#include <optional>
#include <set>

namespace datamesh::test {

namespace {

struct inode;
using inode_ptr = std::shared_ptr<inode>;
using names = std::map<std::string, inode_ptr>;

struct attributes {
  uint32_t mode = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
};

struct inode {
  uint64_t number = 0;
  file_kind kind = file_kind::regular;
  attributes now;
  attributes durable;
  simulated_content content; ///< Of a regular file.
  std::string target;        ///< Of a symbolic link.
  names entries;             ///< Of a folder, as the running system sees it.
  names durable_entries;
  uint64_t links = 0;   ///< Names that the running system sees.
  uint64_t handles = 0; ///< Open files.
};

// One change of names that is not durable yet: a name gets another inode, or none.
struct name_change {
  struct step {
    inode_ptr folder;
    std::string name;
    inode_ptr value;
    bool synced = false;
  };
  std::vector<step> steps; ///< Atomic: all or none.
  inode_ptr gone_folder;   ///< A removed folder: what was moved out of it went before.
  [[nodiscard]] bool moves_folder() const {
    return steps.size() > 1 && steps.front().value->kind == file_kind::folder;
  }
};

// Names that changes in front of the one at hand have to go along with.
class dependencies {
public:
  [[nodiscard]] bool bind(const name_change& change) const {
    // Out of order, two moves of folders could put each below the other.
    if (folder_moved_ && change.moves_folder())
      return true;
    return std::any_of(change.steps.begin(), change.steps.end(), [&](const auto& step) {
      return names_.count({step.folder->number, step.name}) != 0 || folders_.count(step.folder->number) != 0;
    });
  }
  void add(const name_change& change) {
    for (const auto& step : change.steps)
      names_.insert({step.folder->number, step.name});
    if (change.gone_folder != nullptr)
      folders_.insert(change.gone_folder->number);
    folder_moved_ = folder_moved_ || change.moves_folder();
  }

private:
  std::set<std::pair<uint64_t, std::string>> names_;
  std::set<uint64_t> folders_;
  bool folder_moved_ = false;
};

void apply_durably(const name_change& change) {
  for (const auto& step : change.steps) {
    if (step.value == nullptr)
      step.folder->durable_entries.erase(step.name);
    else
      step.folder->durable_entries[step.name] = step.value;
  }
}

// What a path leads to: the folder, the name in it, and what is there.
struct place {
  inode_ptr folder; ///< Null for the root.
  std::string name;
  inode_ptr found;
  std::vector<inode_ptr> above; ///< The root first, *folder* last.
};

enum class fate : uint8_t { succeeds, fails, power_goes };

bool is_below(const std::string& path, const std::string& folder) {
  return path.size() >= folder.size() && path.compare(0, folder.size(), folder) == 0
         && (path.size() == folder.size() || path[folder.size()] == '/' || folder == "/");
}

constexpr int64_t start_ns = 1'767'225'600'000'000'000;

} // namespace

// -- state -----------------------------------------------------------------------

struct simulated_files::core {
  mutable std::mutex mutex;
  std::shared_ptr<clock> time;
  inode_ptr root;
  uint64_t next_number = 1;
  uint64_t epoch = 0; ///< Of power; handles die with theirs.
  bool powered = true;
  std::vector<name_change> unsynced;
  std::set<uint64_t> locked;
  struct ending {
    drive_end how = drive_end::unplugged;
    uint64_t from = 0; ///< The first change that meets it.
  };
  std::map<std::string, ending> ended; ///< By folder.
  uint64_t capacity = uint64_t{1} << 40;
  uint64_t pages_used = 0;
  uint64_t changes = 0;
  uint64_t reads = 0;
  std::array<uint64_t, disk_call_kinds> by_kind{};
  uint64_t power_goes_at = 0;
  uint64_t change_fails_at = 0;
  uint64_t read_fails_at = 0;
  errc failure = errc::io_failed;
  errc read_failure = errc::io_failed;

  [[nodiscard]] int64_t wall_ns() const {
    return time != nullptr ? time->wall().time_since_epoch().count() : start_ns + static_cast<int64_t>(changes) * 1'000'000;
  }

  inode_ptr make_inode(file_kind kind, uint32_t mode) {
    auto made = std::make_shared<inode>();
    made->number = next_number++;
    made->kind = kind;
    made->now = made->durable = {mode & 07777, wall_ns(), wall_ns()};
    return made;
  }

  // -- what goes wrong on purpose

  [[nodiscard]] std::optional<error> refusal(const char* attempted, const std::string& path) const {
    if (!powered)
      return error{errc::io_failed, std::string{attempted} + ": power is off", path};
    if (has_ended(path, drive_end::unplugged))
      return error{errc::io_failed, std::string{attempted} + ": unplugged", path};
    return std::nullopt;
  }

  [[nodiscard]] std::optional<error> change_refusal(const char* attempted, const std::string& path) const {
    if (auto refused = refusal(attempted, path))
      return refused;
    if (has_ended(path, drive_end::read_only))
      return error{errc::read_only, attempted, path};
    return std::nullopt;
  }

  [[nodiscard]] bool has_ended(const std::string& path, drive_end how) const {
    return std::any_of(ended.begin(), ended.end(), [&](const auto& one) {
      return one.second.how == how && changes + 1 >= one.second.from && is_below(path, one.first);
    });
  }

  fate count(disk_call kind) {
    ++changes;
    ++by_kind[static_cast<size_t>(kind)];
    if (changes == power_goes_at)
      return fate::power_goes;
    return changes == change_fails_at ? fate::fails : fate::succeeds;
  }

  // Runs a change that has its effect at once or not at all.
  template <class Effect>
  auto change(disk_call kind, const char* attempted, const std::string& path, Effect effect) -> decltype(effect()) {
    if (auto refused = change_refusal(attempted, path))
      return fail(*refused);
    auto how = count(kind);
    if (how == fate::fails)
      return fail(failure, attempted, path);
    auto done = effect();
    if (how == fate::power_goes)
      return fail(power_off(attempted, path));
    return done;
  }

  error power_off(const char* attempted, const std::string& path) {
    powered = false;
    return error{errc::io_failed, std::string{attempted} + ": power is off", path};
  }

  // -- space

  [[nodiscard]] uint64_t free_pages(const std::string& path) const {
    if (has_ended(path, drive_end::full))
      return 0;
    auto all = capacity / simulated_pages::page_size;
    return all > pages_used ? all - pages_used : 0;
  }

  // Keeps the account while *change* works on a file.
  template <class Change>
  auto accounted(inode& file, Change change) {
    auto before = file.content.pages_used();
    auto answer = change();
    pages_used += file.content.pages_used() - before;
    return answer;
  }

  void release(inode& file) {
    if (file.links == 0 && file.handles == 0)
      pages_used -= file.content.pages_used();
  }

  // -- paths

  result<place> resolve(const char* attempted, const std::string& path, bool follow_last) const {
    if (path.find('\0') != std::string::npos)
      return fail(errc::name_invalid, attempted, path);
    if (path.empty())
      return fail(errc::not_found, attempted, path);
    int links_left = 40;
    place at{nullptr, {}, root, {}};
    auto walked = walk(attempted, path, path, follow_last, at, links_left);
    if (!walked)
      return fail(walked.error());
    return at;
  }

  result<void> walk(const char* attempted, const std::string& whole, std::string_view rest, bool follow_last, place& at,
                    int& links_left) const {
    if (!rest.empty() && rest.front() == '/')
      at = {nullptr, {}, root, {}};
    while (!rest.empty()) {
      auto name = std::string{rest.substr(0, rest.find('/'))};
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
      bool last = rest.find_first_not_of('/') == std::string_view::npos;
      if (name.empty())
        continue;
      if (at.found == nullptr)
        return fail(errc::not_found, attempted, whole);
      if (at.found->kind != file_kind::folder)
        return fail(errc::not_a_folder, attempted, whole);
      if (name.size() > 255)
        return fail(errc::name_invalid, attempted, whole);
      if (name == ".")
        continue;
      if (name == "..") {
        leave(at);
        continue;
      }
      auto entry = at.found->entries.find(name);
      auto next = entry == at.found->entries.end() ? nullptr : entry->second;
      if (next != nullptr && next->kind == file_kind::symlink && (!last || follow_last)) {
        if (links_left-- == 0)
          return fail(errc::unsupported_source, attempted, whole);
        if (auto walked = walk(attempted, whole, next->target, true, at, links_left); !walked)
          return walked;
        continue;
      }
      at.folder = at.found;
      at.above.push_back(at.folder);
      at.name = std::move(name);
      at.found = std::move(next);
    }
    return {};
  }

  void leave(place& at) const {
    if (at.above.empty())
      return;
    at.found = at.above.back();
    at.above.pop_back();
    // The name by which the folder is known is of no use to anybody.
    at.folder = at.above.empty() ? nullptr : at.above.back();
    at.name = "..";
  }

  result<inode_ptr> find(const char* attempted, const std::string& path, bool follow_last = true) const {
    auto at = resolve(attempted, path, follow_last);
    if (!at)
      return fail(at.error());
    if (at->found == nullptr)
      return fail(errc::not_found, attempted, path);
    return at->found;
  }

  // A place for a new name.
  result<place> find_vacant(const char* attempted, const std::string& path) const {
    auto at = resolve(attempted, path, false);
    if (at && (at->found != nullptr || at->folder == nullptr))
      return fail(errc::already_exists, attempted, path);
    return at;
  }

  // -- names

  void change_names(std::vector<name_change::step> steps, inode_ptr gone_folder = nullptr) {
    for (const auto& step : steps) {
      auto& entry = step.folder->entries[step.name];
      if (step.value != nullptr)
        ++step.value->links;
      auto old = std::exchange(entry, step.value);
      if (entry == nullptr)
        step.folder->entries.erase(step.name);
      if (old != nullptr && --old->links == 0)
        release(*old);
      step.folder->now.modified_ns = step.folder->now.changed_ns = wall_ns();
    }
    unsynced.push_back({std::move(steps), std::move(gone_folder)});
  }

  void add_name(const place& at, const inode_ptr& value) {
    change_names({{at.folder, at.name, value}});
  }

  result<void> rename(const std::string& from, const std::string& to, bool replace) {
    auto source = resolve("rename", from, false);
    if (!source)
      return fail(source.error());
    auto target = resolve("rename", to, false);
    if (!target)
      return fail(target.error());
    if (source->found == nullptr)
      return fail(errc::not_found, "rename", from);
    const auto& moved = source->found;
    if (source->folder == nullptr || target->folder == nullptr || source->name == ".." || target->name == "..")
      return fail(errc::conflict, "rename", to);
    const auto& replaced = target->found;
    if (replaced != nullptr && !replace)
      return fail(errc::already_exists, "rename", to);
    auto is_above = [](const place& at, const inode_ptr& folder) {
      return std::find(at.above.begin(), at.above.end(), folder) != at.above.end();
    };
    if (is_above(*target, moved))
      return fail(errc::conflict, "rename into itself", to);
    if (is_above(*source, replaced))
      return fail(errc::folder_not_empty, "rename", to);
    if (replaced == moved)
      return {};
    bool folder = moved->kind == file_kind::folder;
    if (replaced != nullptr) {
      bool over_folder = replaced->kind == file_kind::folder;
      if (over_folder != folder)
        return fail(over_folder ? errc::is_a_folder : errc::not_a_folder, "rename", to);
      if (over_folder && !replaced->entries.empty())
        return fail(errc::folder_not_empty, "rename", to);
    }
    change_names({{target->folder, target->name, moved}, {source->folder, source->name, nullptr}}, folder ? replaced : nullptr);
    return {};
  }

  // Makes those changes durable that *chosen* marks, and all they build on.
  void commit(std::vector<bool> chosen) {
    dependencies needed;
    for (size_t i = unsynced.size(); i-- > 0;) {
      chosen[i] = chosen[i] || needed.bind(unsynced[i]);
      if (chosen[i])
        needed.add(unsynced[i]);
    }
    std::vector<name_change> left;
    for (size_t i = 0; i < unsynced.size(); ++i) {
      if (chosen[i])
        apply_durably(unsynced[i]);
      else
        left.push_back(std::move(unsynced[i]));
    }
    unsynced = std::move(left);
  }

  void sync_names(const inode_ptr& folder) {
    std::vector<bool> chosen;
    for (auto& change : unsynced) {
      for (auto& step : change.steps)
        step.synced = step.synced || step.folder == folder;
      chosen.push_back(std::all_of(change.steps.begin(), change.steps.end(), [](const auto& step) { return step.synced; }));
    }
    commit(std::move(chosen));
  }

  // Each change reached the disk or never will; moved folders do, so that the tree stays one.
  void fail_sync_names(const inode_ptr& folder, chance& dice) {
    auto concerns = [&](const name_change& change) {
      return std::any_of(change.steps.begin(), change.steps.end(), [&](const auto& step) { return step.folder == folder; });
    };
    std::vector<bool> chosen;
    for (const auto& change : unsynced)
      chosen.push_back(concerns(change) && (dice() % 2 == 0 || change.moves_folder()));
    commit(std::move(chosen));
    unsynced.erase(std::remove_if(unsynced.begin(), unsynced.end(), concerns), unsynced.end());
  }

  // -- the power

  static survival choose(chance& dice) {
    return std::array{survival::nothing, survival::everything, survival::prefix, survival::subset}[dice() % 4];
  }

  void lose_names(chance& dice) {
    auto mode = choose(dice);
    auto kept = dice() % (unsynced.size() + 1);
    std::vector<bool> chosen;
    for (size_t i = 0; i < unsynced.size(); ++i) {
      auto drawn = dice() % 2 == 0;
      chosen.push_back(mode == survival::everything || (mode == survival::prefix && i < kept) || (mode == survival::subset && drawn));
    }
    commit(std::move(chosen));
    unsynced.clear();
  }

  // Visits what the disk has, each inode once, in order of path.
  template <class Visit>
  static void walk_durable(const inode_ptr& at, std::set<uint64_t>& seen, const Visit& visit) {
    if (!seen.insert(at->number).second)
      return;
    visit(*at);
    for (const auto& [name, child] : at->durable_entries)
      walk_durable(child, seen, visit);
  }

  // The running system sees what the disk has, and nothing else is there.
  void restart() {
    ++epoch;
    powered = true;
    unsynced.clear();
    locked.clear();
    power_goes_at = change_fails_at = read_fails_at = 0;
    pages_used = 0;
    std::set<uint64_t> seen;
    walk_durable(root, seen, [](inode& each) {
      each.entries = each.durable_entries;
      each.links = each.handles = 0;
    });
    seen.clear();
    walk_durable(root, seen, [this](inode& each) {
      pages_used += each.content.pages_used();
      for (auto& [name, child] : each.entries)
        ++child->links;
    });
  }

  void crash(uint64_t seed) {
    chance dice{seed};
    lose_names(dice);
    std::set<uint64_t> seen;
    walk_durable(root, seen, [seed](inode& each) {
      // Of its own, so that one file's fate does not hang on how many others there are.
      chance own{seed ^ (each.number * 0x9e3779b97f4a7c15)};
      if (own() % 2 == 0)
        each.durable = each.now;
      each.now = each.durable;
      auto mode = choose(own);
      each.content.crash(mode, own);
    });
    restart();
  }

  void sync_everything() {
    for (const auto& change : unsynced)
      apply_durably(change);
    unsynced.clear();
    std::set<uint64_t> seen;
    walk_durable(root, seen, [](inode& each) {
      each.durable = each.now;
      each.content.sync();
    });
  }

  // -- copies

  static inode_ptr copy(const inode& from, std::map<uint64_t, inode_ptr>& copies) {
    auto& made = copies[from.number];
    if (made != nullptr)
      return made;
    made = std::make_shared<inode>();
    auto fresh = made;
    fresh->number = from.number;
    fresh->kind = from.kind;
    fresh->now = fresh->durable = from.durable;
    fresh->target = from.target;
    fresh->content = from.content;
    fresh->content.forget_changes();
    for (const auto& [name, child] : from.durable_entries)
      fresh->durable_entries[name] = copy(*child, copies);
    return fresh;
  }

  [[nodiscard]] std::shared_ptr<core> copy_durable() const {
    std::lock_guard guard{mutex};
    auto fresh = std::make_shared<core>();
    std::map<uint64_t, inode_ptr> copies;
    fresh->root = copy(*root, copies);
    fresh->next_number = next_number;
    fresh->capacity = capacity;
    fresh->changes = changes;
    fresh->time = time;
    fresh->restart();
    return fresh;
  }
};

// -- open files --------------------------------------------------------------------

namespace {

file_status status_of(const inode& at) {
  file_status status;
  status.kind = at.kind;
  status.mode = at.now.mode;
  status.modified_ns = at.now.modified_ns;
  status.changed_ns = at.now.changed_ns;
  status.device = 1;
  status.inode = at.number;
  status.size = at.kind == file_kind::symlink ? at.target.size() : at.content.now().size();
  status.allocated = at.content.pages_used() * simulated_pages::page_size;
  return status;
}

// What readers, writers and locks share: they die with the power.
class handle {
public:
  handle(std::shared_ptr<simulated_files::core> disk, inode_ptr file, std::string path)
      : disk_(std::move(disk)), file_(std::move(file)), path_(std::move(path)), epoch_(disk_->epoch) {
    ++file_->handles;
  }
  handle(const handle&) = delete;
  handle& operator=(const handle&) = delete;
  ~handle() {
    std::lock_guard guard{disk_->mutex};
    if (is_alive() && --file_->handles == 0)
      disk_->release(*file_);
  }

  [[nodiscard]] bool is_alive() const {
    return disk_->epoch == epoch_;
  }
  [[nodiscard]] std::optional<error> refusal(const char* attempted) const {
    if (!is_alive())
      return error{errc::io_failed, std::string{attempted} + ": opened before the power went", path_};
    return disk_->refusal(attempted, path_);
  }
  [[nodiscard]] std::optional<error> change_refusal(const char* attempted) const {
    auto refused = refusal(attempted);
    return refused ? refused : disk_->change_refusal(attempted, path_);
  }

  std::shared_ptr<simulated_files::core> disk_;
  inode_ptr file_;
  std::string path_;
  uint64_t epoch_;
};

class simulated_reader : public readable_file {
public:
  simulated_reader(std::shared_ptr<simulated_files::core> disk, inode_ptr file, std::string path)
      : at_(std::move(disk), std::move(file), std::move(path)) {}

  result<size_t> read_at(uint64_t offset, byte_span out) override {
    std::lock_guard guard{at_.disk_->mutex};
    if (auto refused = at_.refusal("read"))
      return fail(*refused);
    if (offset > INT64_MAX || out.size() > INT64_MAX - offset)
      return fail(errc::invalid_argument, "read", at_.path_);
    if (++at_.disk_->reads == at_.disk_->read_fails_at)
      return fail(at_.disk_->read_failure, "read", at_.path_);
    return at_.file_->content.now().read(offset, out);
  }

  result<file_status> status() override {
    std::lock_guard guard{at_.disk_->mutex};
    if (auto refused = at_.refusal("read status"))
      return fail(*refused);
    return status_of(*at_.file_);
  }

  result<uint64_t> next_data(uint64_t offset) override {
    return seek(offset, &simulated_pages::next_data);
  }

  result<uint64_t> next_hole(uint64_t offset) override {
    return seek(offset, &simulated_pages::next_hole);
  }

private:
  result<uint64_t> seek(uint64_t offset, uint64_t (simulated_pages::*next)(uint64_t) const) {
    std::lock_guard guard{at_.disk_->mutex};
    if (auto refused = at_.refusal("find holes"))
      return fail(*refused);
    const auto& pages = at_.file_->content.now();
    return offset >= pages.size() ? pages.size() : (pages.*next)(offset);
  }

  handle at_;
};

class simulated_writer : public writable_file {
public:
  simulated_writer(std::shared_ptr<simulated_files::core> disk, inode_ptr file, std::string path, bool named)
      : at_(std::move(disk), std::move(file), std::move(path)), named_(named) {}
  simulated_writer(const simulated_writer&) = delete;
  simulated_writer& operator=(const simulated_writer&) = delete;
  ~simulated_writer() override {
    std::lock_guard guard{at_.disk_->mutex};
    if (locked_ && at_.is_alive())
      at_.disk_->locked.erase(at_.file_->number);
  }

  result<void> write_at(uint64_t offset, std::span<const byte_view> parts) override {
    std::lock_guard guard{at_.disk_->mutex};
    if (auto refused = at_.change_refusal("write"))
      return fail(*refused);
    uint64_t size = 0;
    for (const auto& part : parts)
      size += part.size();
    if (offset > INT64_MAX || size > INT64_MAX - offset)
      return fail(errc::invalid_argument, "write", at_.path_);
    auto how = at_.disk_->count(disk_call::write);
    std::vector<std::byte> data;
    data.reserve(size);
    for (const auto& part : parts)
      data.insert(data.end(), part.begin(), part.end());
    if (how == fate::fails)
      data.resize(data.size() / 2);
    auto& file = *at_.file_;
    auto written = at_.disk_->accounted(file, [&] { return file.content.write(offset, data, at_.disk_->free_pages(at_.path_)); });
    file.now.modified_ns = file.now.changed_ns = at_.disk_->wall_ns();
    if (how == fate::power_goes)
      return fail(at_.disk_->power_off("write", at_.path_));
    if (how == fate::fails)
      return fail(at_.disk_->failure, "write", at_.path_);
    if (written < data.size())
      return fail(errc::no_space, "write", at_.path_);
    return {};
  }

  result<void> allocate(uint64_t size) override {
    return change(disk_call::allocate, "allocate", [&]() -> result<void> {
      if (size > INT64_MAX)
        return fail(errc::invalid_argument, "allocate", at_.path_);
      auto& content = at_.file_->content;
      auto trial = content;
      trial.reserve(size);
      if (trial.pages_used() - content.pages_used() > at_.disk_->free_pages(at_.path_))
        return fail(errc::no_space, "allocate", at_.path_);
      at_.disk_->accounted(*at_.file_, [&] {
        content.reserve(size);
        return 0;
      });
      return {};
    });
  }

  result<void> resize(uint64_t size) override {
    return change(disk_call::resize, "resize", [&]() -> result<void> {
      if (size > INT64_MAX)
        return fail(errc::invalid_argument, "resize", at_.path_);
      at_.disk_->accounted(*at_.file_, [&] {
        at_.file_->content.resize(size);
        return 0;
      });
      at_.file_->now.modified_ns = at_.file_->now.changed_ns = at_.disk_->wall_ns();
      return {};
    });
  }

  result<void> sync() override {
    std::lock_guard guard{at_.disk_->mutex};
    if (auto refused = at_.change_refusal("sync"))
      return fail(*refused);
    auto how = at_.disk_->count(disk_call::sync);
    if (how == fate::power_goes)
      return fail(at_.disk_->power_off("sync", at_.path_));
    if (how == fate::fails) {
      chance dice{at_.disk_->changes};
      at_.file_->content.fail_sync(dice);
      return fail(error{at_.disk_->failure, "call fdatasync", at_.path_}.as(errc::sync_failed, "sync", at_.path_));
    }
    at_.file_->content.sync();
    return {};
  }

  result<void> set_attributes(uint32_t mode, int64_t modified_ns) override {
    return change(disk_call::set_attributes, "set attributes", [&]() -> result<void> {
      at_.file_->now = {mode & 07777, modified_ns, at_.disk_->wall_ns()};
      return {};
    });
  }

  result<void> link_as(const std::string& path) override {
    return change(disk_call::link, "link", [&]() -> result<void> {
      if (named_)
        return fail(errc::invalid_argument, "link a file that has a name", path);
      if (auto refused = at_.disk_->change_refusal("link", path))
        return fail(*refused);
      auto to = at_.disk_->find_vacant("link", path);
      if (!to)
        return fail(to.error());
      at_.disk_->add_name(*to, at_.file_);
      named_ = true;
      at_.path_ = path;
      return {};
    });
  }

  result<file_status> lock() override {
    std::lock_guard guard{at_.disk_->mutex};
    if (auto refused = at_.refusal("lock"))
      return fail(*refused);
    if (!locked_ && !at_.disk_->locked.insert(at_.file_->number).second)
      return fail(errc::locked, "lock", at_.path_);
    locked_ = true;
    return status_of(*at_.file_);
  }

private:
  template <class Effect>
  result<void> change(disk_call kind, const char* attempted, Effect effect) {
    std::lock_guard guard{at_.disk_->mutex};
    if (auto refused = at_.refusal(attempted))
      return fail(*refused);
    return at_.disk_->change(kind, attempted, at_.path_, effect);
  }

  handle at_;
  bool named_;
  bool locked_ = false;
};

class simulated_lock : public file_lock {
public:
  simulated_lock(std::shared_ptr<simulated_files::core> disk, inode_ptr file, std::string path)
      : at_(std::move(disk), std::move(file), std::move(path)) {}
  ~simulated_lock() override {
    std::lock_guard guard{at_.disk_->mutex};
    if (at_.is_alive())
      at_.disk_->locked.erase(at_.file_->number);
  }

private:
  handle at_;
};

result<void> check_regular(const char* attempted, const inode& at, const std::string& path) {
  if (at.kind == file_kind::folder)
    return fail(errc::is_a_folder, attempted, path);
  if (at.kind != file_kind::regular)
    return fail(errc::unsupported_source, attempted, path);
  return {};
}

} // namespace

// -- what a test steers --------------------------------------------------------------

std::string_view to_string(disk_call kind) noexcept {
  static constexpr std::array<std::string_view, disk_call_kinds> texts{
      "create", "create unnamed", "write",         "allocate",    "resize",       "sync", "set attributes", "link", "rename",
      "remove", "make folder",    "remove folder", "sync folder", "make symlink", "lock"};
  return texts[static_cast<size_t>(kind)];
}

std::string_view to_string(drive_end how) noexcept {
  static constexpr std::array<std::string_view, 3> texts{"unplugged", "read-only", "full"};
  return texts[static_cast<size_t>(how)];
}

simulated_files::simulated_files(std::shared_ptr<clock> time) : core_(std::make_shared<core>()) {
  core_->time = std::move(time);
  core_->root = core_->make_inode(file_kind::folder, 0755);
}

simulated_files::simulated_files(const image& from, std::shared_ptr<clock> time) : core_(from->copy_durable()) {
  if (time != nullptr)
    core_->time = std::move(time);
}

simulated_files::~simulated_files() = default;

simulated_files::image simulated_files::snapshot() const {
  return core_->copy_durable();
}

void simulated_files::sync_all() {
  std::lock_guard guard{core_->mutex};
  core_->sync_everything();
}

void simulated_files::crash(uint64_t seed) {
  std::lock_guard guard{core_->mutex};
  core_->crash(seed);
}

void simulated_files::crash_after(uint64_t n) {
  std::lock_guard guard{core_->mutex};
  assert(n > 0);
  core_->power_goes_at = core_->changes + n;
}

bool simulated_files::powered() const {
  std::lock_guard guard{core_->mutex};
  return core_->powered;
}

void simulated_files::fail_call(uint64_t n, errc code) {
  std::lock_guard guard{core_->mutex};
  assert(n > 0);
  core_->change_fails_at = core_->changes + n;
  core_->failure = code;
}

void simulated_files::fail_read(uint64_t n, errc code) {
  std::lock_guard guard{core_->mutex};
  assert(n > 0);
  core_->read_fails_at = core_->reads + n;
  core_->read_failure = code;
}

void simulated_files::unplug(const std::string& folder) {
  std::lock_guard guard{core_->mutex};
  core_->ended[folder] = {drive_end::unplugged, 0};
}

void simulated_files::end_drive(uint64_t n, const std::string& folder, drive_end how) {
  std::lock_guard guard{core_->mutex};
  assert(n > 0);
  core_->ended[folder] = {how, core_->changes + n};
}

void simulated_files::plug_in(const std::string& folder) {
  std::lock_guard guard{core_->mutex};
  core_->ended.erase(folder);
}

void simulated_files::set_capacity(uint64_t bytes) {
  std::lock_guard guard{core_->mutex};
  core_->capacity = bytes;
}

uint64_t simulated_files::used() const {
  std::lock_guard guard{core_->mutex};
  return core_->pages_used * simulated_pages::page_size;
}

result<void> simulated_files::flip_bit(const std::string& path, uint64_t bit) {
  std::array<std::byte, 1> value{};
  {
    std::lock_guard guard{core_->mutex};
    auto file = core_->find("flip bit", path);
    if (!file)
      return fail(file.error());
    (void) (*file)->content.now().read(bit / 8, value);
  }
  value[0] ^= std::byte{1} << (bit % 8);
  return corrupt(path, bit / 8, value);
}

result<void> simulated_files::corrupt(const std::string& path, uint64_t offset, byte_view replacement) {
  std::lock_guard guard{core_->mutex};
  auto file = core_->find("corrupt", path);
  if (!file)
    return fail(file.error());
  if (auto regular = check_regular("corrupt", **file, path); !regular)
    return regular;
  auto size = (*file)->content.now().size();
  if (offset > size || replacement.size() > size - offset)
    return fail(errc::range_invalid, "corrupt", path);
  return core_->accounted(**file, [&]() -> result<void> {
    (*file)->content.damage(offset, replacement);
    return {};
  });
}

std::vector<simulated_files::listed> simulated_files::list_all() const {
  std::lock_guard guard{core_->mutex};
  std::vector<listed> all;
  auto walk = [&all](const auto& self, const inode& folder, const std::string& path) -> void {
    for (const auto& [name, child] : folder.entries) {
      auto below = path + "/" + name;
      all.push_back({below, status_of(*child)});
      self(self, *child, below);
    }
  };
  walk(walk, *core_->root, "");
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return all;
}

uint64_t simulated_files::calls() const {
  std::lock_guard guard{core_->mutex};
  return core_->changes;
}

uint64_t simulated_files::calls(disk_call kind) const {
  std::lock_guard guard{core_->mutex};
  return core_->by_kind[static_cast<size_t>(kind)];
}

// -- the file system -------------------------------------------------------------------

result<std::unique_ptr<readable_file>> simulated_files::open_read(const std::string& path, access_hint) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->refusal("open", path))
    return fail(*refused);
  auto file = core_->find("open", path);
  if (!file)
    return fail(file.error());
  if (auto regular = check_regular("open", **file, path); !regular)
    return fail(regular.error());
  return std::make_unique<simulated_reader>(core_, *file, path);
}

result<std::unique_ptr<writable_file>> simulated_files::create(const std::string& path, uint32_t mode) {
  using answer = result<std::unique_ptr<writable_file>>;
  std::lock_guard guard{core_->mutex};
  inode_ptr opened;
  auto done = core_->change(disk_call::create, "create", path, [&]() -> result<void> {
    auto at = core_->resolve("create", path, false);
    if (!at)
      return fail(at.error());
    if (at->found == nullptr) {
      opened = core_->make_inode(file_kind::regular, mode);
      core_->add_name(*at, opened);
      return {};
    }
    if (auto regular = check_regular("create", *at->found, path); !regular)
      return regular;
    opened = at->found;
    if (opened->content.now().size() > 0)
      core_->accounted(*opened, [&] {
        opened->content.resize(0);
        return 0;
      });
    return {};
  });
  if (!done)
    return fail(done.error());
  return answer{std::make_unique<simulated_writer>(core_, opened, path, true)};
}

result<std::unique_ptr<writable_file>> simulated_files::open_write(const std::string& path) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->change_refusal("open for writing", path))
    return fail(*refused);
  auto file = core_->find("open for writing", path, false);
  if (!file)
    return fail(file.error());
  if (auto regular = check_regular("open for writing", **file, path); !regular)
    return fail(regular.error());
  return std::make_unique<simulated_writer>(core_, *file, path, true);
}

result<std::unique_ptr<writable_file>> simulated_files::create_unnamed(const std::string& folder, uint32_t mode, access_hint) {
  std::lock_guard guard{core_->mutex};
  inode_ptr opened;
  auto done = core_->change(disk_call::create_unnamed, "create unnamed file in", folder, [&]() -> result<void> {
    auto at = core_->find("create unnamed file in", folder);
    if (!at)
      return fail(at.error());
    if ((*at)->kind != file_kind::folder)
      return fail(errc::not_a_folder, "create unnamed file in", folder);
    opened = core_->make_inode(file_kind::regular, mode);
    return {};
  });
  if (!done)
    return fail(done.error());
  return std::make_unique<simulated_writer>(core_, opened, folder, false);
}

result<void> simulated_files::rename(const std::string& from, const std::string& to) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->refusal("rename", from))
    return fail(*refused);
  return core_->change(disk_call::rename, "rename", to, [&] { return core_->rename(from, to, true); });
}

result<void> simulated_files::rename_new(const std::string& from, const std::string& to) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->refusal("rename", from))
    return fail(*refused);
  return core_->change(disk_call::rename, "rename", to, [&] { return core_->rename(from, to, false); });
}

result<void> simulated_files::remove(const std::string& path) {
  std::lock_guard guard{core_->mutex};
  return core_->change(disk_call::remove, "remove", path, [&]() -> result<void> {
    auto at = core_->resolve("remove", path, false);
    if (!at)
      return fail(at.error());
    if (at->found == nullptr)
      return fail(errc::not_found, "remove", path);
    if (at->found->kind == file_kind::folder)
      return fail(errc::is_a_folder, "remove", path);
    core_->change_names({{at->folder, at->name, nullptr}});
    return {};
  });
}

result<void> simulated_files::remove_folder(const std::string& path) {
  std::lock_guard guard{core_->mutex};
  return core_->change(disk_call::remove_folder, "remove folder", path, [&]() -> result<void> {
    auto at = core_->resolve("remove folder", path, false);
    if (!at)
      return fail(at.error());
    if (at->found == nullptr)
      return fail(errc::not_found, "remove folder", path);
    if (at->found->kind != file_kind::folder)
      return fail(errc::not_a_folder, "remove folder", path);
    if (!at->found->entries.empty())
      return fail(errc::folder_not_empty, "remove folder", path);
    if (at->folder == nullptr || at->name == "..")
      return fail(errc::locked, "remove folder", path);
    core_->change_names({{at->folder, at->name, nullptr}}, at->found);
    return {};
  });
}

result<void> simulated_files::make_folder(const std::string& path, uint32_t mode) {
  std::lock_guard guard{core_->mutex};
  return core_->change(disk_call::make_folder, "create folder", path, [&]() -> result<void> {
    auto at = core_->resolve("create folder", path, false);
    if (!at)
      return fail(at.error());
    if (at->found == nullptr) {
      core_->add_name(*at, core_->make_inode(file_kind::folder, mode));
      return {};
    }
    auto there = core_->find("create folder", path);
    if (there && (*there)->kind == file_kind::folder)
      return {};
    return fail(errc::not_a_folder, "create folder", path);
  });
}

result<void> simulated_files::sync_folder(const std::string& path) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->change_refusal("open folder", path))
    return fail(*refused);
  auto how = core_->count(disk_call::sync_folder);
  if (how == fate::power_goes)
    return fail(core_->power_off("sync folder", path));
  auto folder = core_->find("open folder", path);
  if (!folder)
    return fail(folder.error());
  if ((*folder)->kind != file_kind::folder)
    return fail(errc::not_a_folder, "open folder", path);
  if (how == fate::fails) {
    chance dice{core_->changes};
    core_->fail_sync_names(*folder, dice);
    return fail(error{core_->failure, "call fsync", path}.as(errc::sync_failed, "sync folder", path));
  }
  core_->sync_names(*folder);
  return {};
}

result<std::vector<folder_entry>> simulated_files::list(const std::string& path) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->refusal("list", path))
    return fail(*refused);
  auto folder = core_->find("list", path);
  if (!folder)
    return fail(folder.error());
  if ((*folder)->kind != file_kind::folder)
    return fail(errc::not_a_folder, "list", path);
  std::vector<folder_entry> entries;
  for (const auto& [name, child] : (*folder)->entries)
    entries.push_back({name, child->kind});
  return entries;
}

result<file_status> simulated_files::status(const std::string& path) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->refusal("read status", path))
    return fail(*refused);
  return core_->find("read status", path, false).map([](const inode_ptr& at) { return status_of(*at); });
}

result<void> simulated_files::set_attributes(const std::string& path, uint32_t mode, int64_t modified_ns) {
  std::lock_guard guard{core_->mutex};
  return core_->change(disk_call::set_attributes, "set attributes", path, [&]() -> result<void> {
    auto at = core_->find("set attributes", path, false);
    if (!at)
      return fail(at.error());
    auto& now = (*at)->now;
    now = {(*at)->kind == file_kind::symlink ? now.mode : mode & 07777, modified_ns, core_->wall_ns()};
    return {};
  });
}

result<std::string> simulated_files::read_link(const std::string& path) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->refusal("read link", path))
    return fail(*refused);
  auto at = core_->find("read link", path, false);
  if (!at)
    return fail(at.error());
  if ((*at)->kind != file_kind::symlink)
    return fail(errc::invalid_argument, "read link", path);
  return (*at)->target;
}

result<void> simulated_files::make_symlink(const std::string& target, const std::string& path) {
  std::lock_guard guard{core_->mutex};
  return core_->change(disk_call::make_symlink, "create link", path, [&]() -> result<void> {
    if (target.find('\0') != std::string::npos)
      return fail(errc::name_invalid, "create link", path);
    if (target.empty())
      return fail(errc::not_found, "create link", path);
    auto at = core_->find_vacant("create link", path);
    if (!at)
      return fail(at.error());
    auto link = core_->make_inode(file_kind::symlink, 0777);
    link->target = target;
    core_->add_name(*at, link);
    return {};
  });
}

result<disk_space> simulated_files::space(const std::string& path) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->refusal("read free space", path))
    return fail(*refused);
  return core_->find("read free space", path).map([&](const inode_ptr&) {
    return disk_space{.total = core_->capacity, .available = core_->free_pages(path) * simulated_pages::page_size};
  });
}

result<std::unique_ptr<file_lock>> simulated_files::lock(const std::string& path) {
  std::lock_guard guard{core_->mutex};
  if (auto refused = core_->refusal("lock", path))
    return fail(*refused);
  auto at = core_->resolve("lock", path, false);
  if (!at)
    return fail(at.error());
  auto file = at->found;
  if (file == nullptr) {
    auto made = core_->change(disk_call::lock, "lock", path, [&]() -> result<void> {
      file = core_->make_inode(file_kind::regular, 0600);
      core_->add_name(*at, file);
      return {};
    });
    if (!made)
      return fail(made.error());
  }
  if (auto regular = check_regular("lock", *file, path); !regular)
    return fail(regular.error());
  if (!core_->locked.insert(file->number).second)
    return fail(errc::locked, "lock", path);
  return std::make_unique<simulated_lock>(core_, file, path);
}

} // namespace datamesh::test
