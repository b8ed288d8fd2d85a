// A program that carries its own store: makes a node over six drives, puts a folder
// and a stream into a vault, lists, reads a range, damages what lies on the drives,
// heals it, gets all of it back and compares every byte.
//
//   c++ -std=c++20 embed.cpp $(pkg-config --cflags --libs datamesh) -o embed
//   ./embed [folder]        # without one, a temporary folder that is removed again
#include <datamesh/node.hpp>
#include <datamesh/version.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

// The value, or the end of the program with the reason and what to do about it. A
// program of yours would hand the error on: `return datamesh::fail(answer.error())`.
template <class T>
T need(datamesh::result<T> answer) {
  if (!answer) {
    std::cerr << answer.error().message() << "\n" << datamesh::facts_of(answer.error().code()).suggestion << "\n";
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>)
    return std::move(*answer);
}

void require(bool condition, const std::string& sentence) {
  if (!condition) {
    std::cerr << "not so: " << sentence << "\n";
    std::exit(1);
  }
}

std::string noise(unsigned seed, size_t size) {
  std::mt19937 engine{seed};
  std::string text(size, '\0');
  std::generate(text.begin(), text.end(), [&] { return static_cast<char>(engine()); });
  return text;
}

std::string content_of(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

// Each file below a folder with its content.
std::map<std::string, std::string> tree_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& row : fs::recursive_directory_iterator{folder})
    if (row.is_regular_file())
      files[fs::relative(row.path(), folder).string()] = content_of(row.path());
  return files;
}

void make_tree(const fs::path& folder) {
  for (unsigned i = 0; i < 40; ++i) {
    auto path = folder / ("album " + std::to_string(i / 10)) / ("picture " + std::to_string(i) + ".raw");
    fs::create_directories(path.parent_path());
    std::ofstream{path, std::ios::binary} << noise(i % 30, 20'000 + 7'000 * (i % 30)); // Ten of them twice.
  }
  std::ofstream{folder / "empty"};
}

// A stream that is made while it is read. It is asked on one thread of the node.
class diary : public datamesh::source {
public:
  datamesh::result<size_t> read(datamesh::byte_span out) override {
    if (day_ == days)
      return size_t{0};
    auto line = text_of(day_++);
    require(line.size() <= out.size(), "the buffer takes a line");
    std::ranges::copy(datamesh::as_view(line), out.begin());
    return line.size();
  }
  static std::string whole() {
    std::string text;
    for (unsigned day = 0; day < days; ++day)
      text += text_of(day);
    return text;
  }

private:
  static constexpr unsigned days = 20'000;
  static std::string text_of(unsigned day) {
    return "day " + std::to_string(day) + ": nothing was lost\n";
  }
  unsigned day_ = 0;
};

// Takes what a get brings.
class page : public datamesh::sink {
public:
  datamesh::result<void> write(datamesh::byte_view data) override {
    text += datamesh::as_text(data);
    return {};
  }
  std::string text;
};

// Flips one bit in the middle of every fifth shard, as a bad drive would.
size_t damage(const fs::path& drive) {
  size_t damaged = 0;
  size_t number = 0;
  for (const auto& row : fs::recursive_directory_iterator{drive / "shards"}) {
    if (!row.is_regular_file() || number++ % 5 != 0)
      continue;
    std::fstream shard{row.path(), std::ios::in | std::ios::out | std::ios::binary};
    auto middle = static_cast<std::streamoff>(row.file_size() / 2);
    shard.seekg(middle);
    auto byte = static_cast<char>(shard.get() ^ 1);
    shard.seekp(middle);
    shard.put(byte);
    ++damaged;
  }
  return damaged;
}

void run(const fs::path& root) {
  make_tree(root / "photos");
  fs::create_directories(root / "back");

  // A node is a folder, and drives are folders, too; here all on one disk.
  size_t healed_events = 0;
  datamesh::node_options options;
  options.home = root / "home";
  options.memory_bytes = 64 << 20;
  options.on_event = [&](const datamesh::event& what) {
    healed_events += what.kind == datamesh::event_kind::damage_healed;
  };
  auto node = need(datamesh::node::create(options));
  for (int drive = 1; drive <= 6; ++drive)
    need(node->add_drive(root / ("drive" + std::to_string(drive))));

  // The key file is locked by a password in earnest; this device will do here.
  auto created = need(node->create_vault({.name = "main", .trust_this_device = true}));
  require(!created.recovery_phrase.empty(), "the phrase is there to be written down");
  std::cout << "vault " << created.id.brief() << "\n";
  auto vault = need(node->open_vault("main", datamesh::credential::this_device()));

  // A folder, answered when every byte is on the drives.
  auto stored = need(vault.put(datamesh::put_request{.sources = {{root / "photos", "/photos"}}}));
  require(stored.files == 41 && stored.failure_count == 0, "all pictures are stored");
  require(stored.chunks_known == 10, "what is there twice is stored once");
  std::cout << "stored " << stored.files << " files of " << stored.bytes << " bytes as " << stored.bytes_written << " bytes with parity\n";

  // A stream, answered by a callback on a thread of the node.
  std::promise<datamesh::result<datamesh::put_summary>> written;
  datamesh::put_stream_request stream{std::make_shared<diary>(), "/diary.txt"};
  vault.put(stream, [&](datamesh::result<datamesh::put_summary> outcome) { written.set_value(std::move(outcome)); });
  auto diary_stored = need(written.get_future().get());
  std::cout << "stored a stream of " << diary_stored.bytes << " bytes as " << diary_stored.bytes_written << "\n";

  // A list, by pages.
  size_t files = 0;
  datamesh::list_request request{.path = "/photos", .recursive = true, .limit = 20};
  do {
    auto rows = need(vault.list(request));
    for (const auto& row : rows.entries)
      files += row.kind == datamesh::entry_kind::file;
    request.cursor = rows.next_cursor;
  } while (!request.cursor.empty());
  require(files == 41, "the list has all of them");

  // A range reads no more than it needs.
  auto lines = std::make_shared<page>();
  need(vault.get("/diary.txt", lines, {.first = 300'000, .length = 100}));
  require(lines->text == diary::whole().substr(300'000, 100), "the range is exact");

  // Two of six drives may fail: damage one, lose the shards of another.
  auto damaged = damage(root / "drive2");
  for (const auto& row : fs::recursive_directory_iterator{root / "drive5" / "shards"})
    if (row.is_regular_file())
      fs::remove(row);
  auto found = need(vault.verify({.deep = true, .repair = true}));
  require(found.shards_damaged == damaged, "every flipped bit is found");
  require(found.shards_repaired == found.shards_damaged + found.shards_missing && found.files_lost.empty(), "all is healed");
  std::cout << "healed " << found.shards_damaged << " damaged and " << found.shards_missing << " missing shards\n";
  std::cout << need(vault.status()).sentence << "\n";

  // Back again, beside what was there; a second get would refuse to overwrite.
  auto fetched = need(vault.get(datamesh::get_request{.paths = {"/photos", "/diary.txt"}, .target_folder = root / "back"}));
  require(fetched.files == 42 && fetched.failure_count == 0, "all is fetched");
  require(tree_of(root / "back" / "photos") == tree_of(root / "photos"), "every byte of the folder is the same");
  require(content_of(root / "back" / "diary.txt") == diary::whole(), "every byte of the stream is the same");
  auto again = vault.get(datamesh::get_request{.paths = {"/diary.txt"}, .target_folder = root / "back"});
  require(!again && again.error().code() == datamesh::errc::already_exists, "nothing is overwritten unasked");
  std::cout << "fetched " << fetched.bytes << " bytes, all the same\n";

  // Handles end before what they use: first the vault, then the node.
  { auto closing = std::move(vault); }
  node.reset();
  require(healed_events > 0, "the events told of it");
}

} // namespace

int main(int argc, char** argv) {
  std::cout << "datamesh " << datamesh::version() << "\n";
  auto root = argc > 1 ? fs::path{argv[1]} : fs::temp_directory_path() / ("datamesh-embed-" + std::to_string(std::random_device{}()));
  fs::create_directories(root);
  run(root);
  if (argc == 1)
    fs::remove_all(root);
}
