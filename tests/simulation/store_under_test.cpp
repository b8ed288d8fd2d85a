#include "tests/simulation/store_under_test.hpp"

#include "base/simple_store.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <set>

namespace datamesh::test {

namespace {

constexpr auto home_folder = "/home";
constexpr auto vault_name = "main";

class text_source : public source {
public:
  explicit text_source(content from) : from_(std::move(from)) {}
  result<size_t> read(byte_span out) override {
    auto count = std::min(out.size(), from_->size() - at_);
    auto view = as_view(std::string_view{*from_}.substr(at_, count));
    std::copy(view.begin(), view.end(), out.begin());
    at_ += count;
    return count;
  }

private:
  content from_;
  size_t at_ = 0;
};

class text_sink : public sink {
public:
  result<void> write(byte_view data) override {
    text.append(as_text(data));
    return {};
  }
  std::string text;
};

bool is_below(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder + "/");
}

} // namespace

content make_content(seeded_random& random, size_t size, bool compressible) {
  auto raw = random.make(size);
  if (compressible)
    for (auto& one : raw)
      one = static_cast<std::byte>('a' + std::to_integer<int>(one) % 4);
  return std::make_shared<std::string>(as_text(raw));
}

std::string drive_folder(unsigned number) {
  return fmt::format("/drive-{}", number + 1);
}

// -- promises ----------------------------------------------------------------------

void promises::may_become(const std::string& path, const content& what) {
  auto& allowed = allowed_[path];
  if (allowed.empty())
    allowed.push_back(nullptr);
  allowed.push_back(what);
  if (what)
    history_[path].push_back(what);
}

void promises::is(const std::string& path, const content& what) {
  allowed_[path] = {what};
  if (what)
    history_[path].push_back(what);
}

void promises::may_go(const std::string& path) {
  for (auto& [name, allowed] : allowed_)
    if (is_below(name, path))
      allowed.push_back(nullptr);
}

void promises::is_gone(const std::string& path) {
  for (auto& [name, allowed] : allowed_)
    if (is_below(name, path))
      allowed = {nullptr};
}

bool promises::ever(const std::string& path, const std::string& what) const {
  auto known = history_.find(path);
  return known != history_.end() && std::any_of(known->second.begin(), known->second.end(), [&](const auto& one) { return *one == what; });
}

// -- opening and closing -------------------------------------------------------------

store_under_test::store_under_test(std::shared_ptr<simulated_files> disk, std::shared_ptr<manual_clock> time, uint64_t seed)
    : time_(std::move(time)), disk_(std::move(disk)), random_(std::make_shared<seeded_random>(seed)) {}

store_under_test::store_under_test(const simulated_files::image& from, const promises& expected, uint64_t seed)
    // Not the chance that made the image: its identifiers would come again.
    : time_(std::make_shared<manual_clock>()), random_(std::make_shared<seeded_random>(~seed)), expected_(expected) {
  time_->advance(std::chrono::hours{24});
  disk_ = std::make_shared<simulated_files>(from, time_);
}

std::unique_ptr<store_under_test> store_under_test::make(uint64_t seed) {
  auto time = std::make_shared<manual_clock>();
  std::unique_ptr<store_under_test> made{new store_under_test{std::make_shared<simulated_files>(time), time, seed}};
  auto created = node::create(made->options());
  REQUIRE(created);
  made->node_ = std::move(*created);
  for (unsigned i = 0; i < drive_count; ++i)
    REQUIRE(made->node_->add_drive(drive_folder(i)));
  new_vault what;
  what.name = vault_name;
  what.trust_this_device = true;
  REQUIRE(made->node_->create_vault(what));
  made->node_.reset();
  return made;
}

node_options store_under_test::options() const {
  node_options options;
  options.home = home_folder;
  options.environment.clock = time_;
  options.environment.random = random_;
  options.environment.files = disk_;
  options.environment.stores = simple_stores(disk_, random_);
  options.codec_threads = 2;
  return options;
}

result<void> store_under_test::open_node() {
  if (node_)
    return {};
  auto opened = node::open(options());
  if (!opened)
    return fail(opened.error());
  node_ = std::move(*opened);
  return {};
}

result<void> store_under_test::open() {
  if (auto opened = open_node(); !opened)
    return opened;
  auto opened = node_->open_vault(vault_name, credential::this_device());
  if (!opened)
    return fail(opened.error());
  vault_ = std::move(*opened);
  return {};
}

void store_under_test::close() {
  vault_.reset();
  node_.reset();
}

simulated_files::image store_under_test::freeze() {
  REQUIRE(!node_);
  disk_->sync_all();
  return disk_->snapshot();
}

void store_under_test::lose_power(uint64_t dice) {
  if (disk_->powered())
    disk_->crash_after(1);
  close();
  disk_->crash(dice);
  time_->advance(std::chrono::seconds{1});
}

void store_under_test::reopen_after_loss(seeded_random& random) {
  if (random.below(3) == 0) {
    disk_->crash_after(1 + random.below(24));
    (void) open();
    lose_power(random.below(1u << 30));
  }
  auto opened = open();
  INFO((opened ? std::string{} : opened.error().message()));
  REQUIRE(opened);
  ++found().reopened;
}

// -- what a user does ------------------------------------------------------------------

void store_under_test::add_source(const std::string& path, const content& what) {
  REQUIRE(make_folders(*disk_, path.substr(0, path.rfind('/'))));
  REQUIRE(write_whole(*disk_, path, as_view(*what), 0644));
}

result<void> store_under_test::put(const std::string& path, const content& what) {
  expected_.may_become(path, what);
  put_stream_request request;
  request.from = std::make_shared<text_source>(what);
  request.target_path = path;
  auto stored = vault_->put(request);
  if (!stored)
    return fail(stored.error());
  if (!stored->failures.empty())
    return fail(stored->failures.front().reason);
  told_short(stored->shards_short);
  expected_.is(path, what);
  return {};
}

result<void> store_under_test::put_folder(const std::string& source, const std::string& target,
                                          const std::map<std::string, content>& files) {
  for (const auto& [name, what] : files)
    expected_.may_become(target + "/" + name, what);
  put_request request;
  request.sources = {{source, target}};
  auto stored = vault_->put(request);
  if (!stored)
    return fail(stored.error());
  told_short(stored->shards_short);
  std::set<std::string> failed;
  for (const auto& failure : stored->failures)
    failed.insert(failure.path);
  for (const auto& [name, what] : files)
    if (!failed.contains(target + "/" + name))
      expected_.is(target + "/" + name, what);
  if (!failed.empty())
    return fail(stored->failures.front().reason);
  return {};
}

result<void> store_under_test::remove(const std::string& path, bool recursive) {
  expected_.may_go(path);
  auto removed = vault_->remove(path, recursive);
  if (!removed)
    return fail(removed.error());
  expected_.is_gone(path);
  return {};
}

result<std::string> store_under_test::read(const std::string& path, std::optional<version_id> version) {
  auto into = std::make_shared<text_sink>();
  auto got = vault_->get(path, into, {}, version);
  if (!got)
    return fail(got.error());
  return std::move(into->text);
}

result<std::map<std::string, uint64_t>> store_under_test::list() {
  std::map<std::string, uint64_t> files;
  list_request request;
  request.recursive = true;
  do {
    auto page = vault_->list(request);
    if (!page)
      return fail(page.error());
    for (const auto& entry : page->entries)
      if (entry.kind == entry_kind::file)
        files.emplace(entry.path, entry.size);
    request.cursor = page->next_cursor;
  } while (!request.cursor.empty());
  return files;
}

result<rebuild_summary> store_under_test::rebuild() {
  return node_->rebuild_catalog(vault_name, credential::this_device());
}

// -- checks ------------------------------------------------------------------------------

findings& store_under_test::found() {
  static findings sums;
  return sums;
}

void store_under_test::check() {
  check_contents();
  check_shards();
}

void store_under_test::check_contents() {
  auto listed = list();
  INFO((listed ? std::string{} : listed.error().message()));
  REQUIRE(listed);
  for (const auto& [path, size] : *listed) {
    INFO("listed: " << path);
    REQUIRE(expected_.all().contains(path));
  }
  auto all = expected_.all();
  for (const auto& [path, allowed] : all) {
    INFO("path: " << path << ", outcomes allowed: " << allowed.size());
    auto may_be_absent = std::find(allowed.begin(), allowed.end(), nullptr) != allowed.end();
    if (!listed->contains(path)) {
      INFO("an acknowledged file is lost");
      REQUIRE(may_be_absent);
      expected_.is(path, nullptr);
      continue;
    }
    auto text = read(path);
    INFO((text ? std::string{} : text.error().message()));
    REQUIRE(text);
    auto which = std::find_if(allowed.begin(), allowed.end(), [&](const auto& one) { return one && *one == *text; });
    INFO("a file is torn, or came back");
    REQUIRE(which != allowed.end());
    ++found().files_compared;
    check_versions(path);
    // Seen once, it stays.
    expected_.is(path, *which);
  }
}

void store_under_test::check_versions(const std::string& path) {
  auto versions = vault_->versions(path);
  REQUIRE(versions);
  if (versions->size() < 2)
    return;
  for (const auto& version : *versions) {
    auto text = read(path, version.id);
    INFO((text ? std::string{} : text.error().message()));
    REQUIRE(text);
    INFO("an old version is torn");
    REQUIRE(expected_.ever(path, *text));
    ++found().versions_compared;
  }
}

void store_under_test::check_shards() {
  verify_request deep;
  deep.deep = true;
  deep.repair = true;
  auto first = vault_->verify(deep);
  INFO((first ? std::string{} : first.error().message()));
  REQUIRE(first);
  REQUIRE(first->shards_damaged <= expected_.damaged_max());
  REQUIRE(first->files_lost.empty());
  REQUIRE(first->packs_lost == 0);
  deep.repair = false;
  auto second = vault_->verify(deep);
  REQUIRE(second);
  REQUIRE(second->shards_damaged == 0);
  REQUIRE(second->shards_missing == first->shards_unplaced);
  found().shards_checked += second->shards;
}

void store_under_test::check_shards_told() {
  verify_request deep;
  deep.deep = true;
  auto seen = vault_->verify(deep);
  INFO((seen ? std::string{} : seen.error().message()));
  REQUIRE(seen);
  CAPTURE(short_told_, seen->shards_missing);
  REQUIRE(seen->shards_damaged <= expected_.damaged_max());
  REQUIRE((seen->shards_missing == 0 || short_told_ > 0));
}

void store_under_test::check_rebuild() {
  auto before = list();
  REQUIRE(before);
  vault_.reset();
  auto rebuilt = rebuild();
  INFO((rebuilt ? std::string{} : rebuilt.error().message()));
  REQUIRE(rebuilt);
  REQUIRE(rebuilt->packs_unreadable == 0);
  REQUIRE(open());
  auto after = list();
  REQUIRE(after);
  REQUIRE(*before == *after);
  check_contents();
  ++found().rebuilds_compared;
}

void store_under_test::check_usable(uint64_t dice) {
  seeded_random random{dice};
  auto stored = put("/after the loss", make_content(random, 3000, false));
  INFO((stored ? std::string{} : stored.error().message()));
  REQUIRE(stored);
  lose_power(dice);
  auto opened = open();
  INFO((opened ? std::string{} : opened.error().message()));
  REQUIRE(opened);
  check_contents();
}

} // namespace datamesh::test
