#include "tests/actors/node/house.hpp"

#include "base/simple_store.hpp"
#include "crypto/hash.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

namespace datamesh::test {

std::string noise(uint64_t seed, size_t size) {
  std::string out(size, '\0');
  uint64_t state = seed * 0x9e3779b97f4a7c15 + 1;
  for (size_t i = 0; i < size; i += 8) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    for (size_t j = i; j < std::min(size, i + 8); ++j)
      out[j] = static_cast<char>(state >> (8 * (j - i)));
  }
  return out;
}

temp_folder::temp_folder() {
  auto pattern = (std::filesystem::temp_directory_path() / "datamesh-test-XXXXXX").string();
  REQUIRE(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

temp_folder::~temp_folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

result<size_t> text_source::read(byte_span out) {
  auto count = std::min({out.size(), step_, text_.size() - at_});
  std::copy_n(as_view(text_).begin() + static_cast<ptrdiff_t>(at_), count, out.begin());
  at_ += count;
  return count;
}

result<void> text_sink::write(byte_view data) {
  text += as_text(data);
  pieces.push_back(data.size());
  return {};
}

result<void> text_sink::write_hole(uint64_t length) {
  text.append(length, '\0');
  hole_bytes += length;
  return {};
}

result<put_summary> put_text(vault& to, const std::string& target, std::string text, if_exists conflict) {
  put_stream_request what;
  what.from = std::make_shared<text_source>(std::move(text));
  what.target_path = target;
  what.conflict = conflict;
  return to.put(what);
}

result<std::string> get_text(vault& from, const std::string& path, byte_range range, std::optional<version_id> version) {
  auto to = std::make_shared<text_sink>();
  return from.get(path, to, range, version).map([&](const get_summary&) { return std::move(to->text); });
}

house::house(size_t drives, disk where, node_options with) : options(std::move(with)) {
  if (where == disk::simulated) {
    root_ = "/house";
    auto system = system_environment();
    if (!options.environment.files)
      options.environment.files = std::make_shared<simulated_files>(system.clock);
    if (!options.environment.stores)
      options.environment.stores = simple_stores(options.environment.files, system.random);
    must(make_folders(files(), root_));
  } else {
    folder_ = std::make_unique<temp_folder>();
    root_ = folder_->path();
    if (!options.environment.files)
      options.environment.files = system_files();
  }
  if (options.codec_threads == 0)
    options.codec_threads = 2;
  options.home = path("home");
  node_ = must(datamesh::node::create(options));
  for (size_t i = 1; i <= drives; ++i)
    must(node_->add_drive(drive(i)));
  must(node_->create_vault({.name = "main", .trust_this_device = true}));
  vault_ = must(node_->open_vault("main", credential::this_device()));
}

house::~house() {
  close();
}

void house::close() {
  vault_.reset();
  node_.reset();
}

void house::open() {
  node_ = must(datamesh::node::open(options));
  vault_ = must(node_->open_vault("main", credential::this_device()));
}

void house::write(std::string_view name, std::string_view content, uint32_t mode, int64_t modified_ns) {
  auto at = path(name);
  must(make_folders(files(), parent_path(at)));
  auto file = must(files().create(at));
  const byte_view parts[] = {as_view(content)};
  if (!content.empty())
    must(file->write_at(0, parts));
  must(file->set_attributes(mode, modified_ns));
}

void house::link(std::string_view name, const std::string& target) {
  must(make_folders(files(), parent_path(path(name))));
  must(files().make_symlink(target, path(name)));
}

std::string house::read(std::string_view name) {
  return std::string{as_text(must(read_whole(files(), path(name), 1ull << 30)))};
}

std::map<std::string, std::string> house::look(std::string_view name) {
  std::map<std::string, std::string> seen;
  auto top = path(name);
  std::vector<std::string> waiting{top};
  while (!waiting.empty()) {
    auto at = std::move(waiting.back());
    waiting.pop_back();
    auto status = must(files().status(at));
    auto relative = at.substr(top.size());
    if (status.kind == file_kind::symlink) {
      seen[relative] = "-> " + must(files().read_link(at));
      continue;
    }
    auto line = fmt::format("{:o} {}", status.mode & 0777, status.modified_ns);
    if (status.kind == file_kind::folder) {
      for (const auto& row : must(files().list(at)))
        waiting.push_back(join_path(at, row.name));
      line += " folder";
    } else {
      auto content = must(read_whole(files(), at, 1ull << 30));
      line += fmt::format(" {} {}", content.size(), crypto::hasher{}.update(content.view()).finish().hex());
    }
    seen[relative] = line;
  }
  return seen;
}

void house::remove_tree(const std::string& at) {
  auto status = must(files().status(at));
  if (status.kind != file_kind::folder)
    return must(files().remove(at));
  for (const auto& row : must(files().list(at)))
    remove_tree(join_path(at, row.name));
  must(files().remove_folder(at));
}

void house::copy_tree(const std::string& from, const std::string& to) {
  if (files().status(to))
    remove_tree(to);
  must(make_folders(files(), to));
  for (const auto& row : must(files().list(from))) {
    auto target = join_path(to, row.name);
    if (row.kind == file_kind::folder)
      copy_tree(join_path(from, row.name), target);
    else if (row.kind == file_kind::regular)
      must(write_whole(files(), target, must(read_whole(files(), join_path(from, row.name), 1ull << 30)).view()));
  }
}

std::vector<std::string> house::files_below(const std::string& at) {
  std::vector<std::string> found;
  for (const auto& row : must(files().list(at))) {
    auto below = join_path(at, row.name);
    if (row.kind == file_kind::folder)
      for (auto& more : files_below(below))
        found.push_back(std::move(more));
    else if (row.kind == file_kind::regular)
      found.push_back(below);
  }
  return found;
}

put_summary house::put(std::string_view source, const std::string& target) {
  auto summary = must(vault().put(put_request{.sources = {{path(source), target}}}));
  for (const auto& failure : summary.failures)
    UNSCOPED_INFO(failure.path << ": " << failure.reason.message());
  CHECK(summary.failure_count == 0);
  return summary;
}

put_summary house::put_text(const std::string& target, std::string text, if_exists conflict) {
  return must(test::put_text(vault(), target, std::move(text), conflict));
}

std::string house::get_text(const std::string& from, byte_range range, std::optional<version_id> version) {
  return must(test::get_text(vault(), from, range, version));
}

std::vector<std::string> house::list(const std::string& at, bool recursive) {
  std::vector<std::string> names;
  list_request request{.path = at, .recursive = recursive};
  do {
    auto page = must(vault().list(request));
    for (const auto& row : page.entries)
      names.push_back(row.path);
    request.cursor = page.next_cursor;
  } while (!request.cursor.empty());
  return names;
}

} // namespace datamesh::test
