// The smallest useful program: makes a node over six drives, stores a file, gets it
// back and compares every byte.
#include <datamesh/node.hpp>
#include <datamesh/version.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace {

// The value, or the end of the program with what went wrong.
template <class T>
T need(datamesh::result<T> answer) {
  if (!answer) {
    std::cerr << answer.error().message() << "\n";
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>)
    return std::move(*answer);
}

void require(bool condition, const char* sentence) {
  if (!condition) {
    std::cerr << "not so: " << sentence << "\n";
    std::exit(1);
  }
}

std::vector<char> noise(size_t size) {
  std::vector<char> out(size);
  uint64_t state = 0x9e3779b97f4a7c15;
  std::ranges::generate(out, [&] {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<char>(state);
  });
  return out;
}

std::vector<char> content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Takes bytes where the host wants them.
class memory_sink : public datamesh::sink {
public:
  std::vector<char> content;

  datamesh::result<void> write(datamesh::byte_view data) override {
    auto text = datamesh::as_text(data);
    content.insert(content.end(), text.begin(), text.end());
    return {};
  }
};

// Hands out bytes of the host's, a few at a time.
class memory_source : public datamesh::source {
public:
  explicit memory_source(const std::vector<char>& content) : left_(content) {}

  datamesh::result<size_t> read(datamesh::byte_span out) override {
    auto count = std::min({out.size(), left_.size(), size_t{70'001}});
    std::ranges::copy(std::as_bytes(left_.first(count)), out.begin());
    left_ = left_.subspan(count);
    return count;
  }

private:
  std::span<const char> left_;
};

} // namespace

int main(int argc, char** argv) {
  require(argc == 2, "a folder is given");
  auto root = fs::path(argv[1]);
  fs::remove_all(root);
  fs::create_directories(root / "back");

  auto written = noise(5'000'003);
  std::ofstream(root / "holiday.raw", std::ios::binary).write(written.data(), static_cast<std::streamsize>(written.size()));

  auto node = need(datamesh::node::create({.home = root / "home"}));
  for (int drive = 1; drive <= 6; ++drive)
    need(node->add_drive(root / ("drive" + std::to_string(drive))));
  auto created = need(node->create_vault({.name = "main", .password = datamesh::credential::password("correct horse")}));
  require(!created.recovery_phrase.empty(), "the recovery phrase is shown once");
  require(!node->open_vault("main", datamesh::credential::password("wrong horse")), "a wrong password is refused");

  auto vault = need(node->open_vault("main", datamesh::credential::password("correct horse")));
  auto stored = need(vault.put({.sources = {{root / "holiday.raw", "/holiday.raw"}}}));
  require(stored.files == 1 && stored.bytes == written.size(), "the summary counts the file");
  require(stored.shards_short == 0, "every shard found a drive of its own");

  auto fetched = need(vault.get({.paths = {"/holiday.raw"}, .target_folder = root / "back"}));
  require(fetched.files == 1 && fetched.shards_bad == 0, "it came back from good shards");
  require(content_of(root / "back" / "holiday.raw") == written, "every byte is the same");
  require(!vault.get({.paths = {"/no/such/file"}, .target_folder = root / "back"}), "what is not there is an error");

  auto streamed = need(vault.put({.from = std::make_shared<memory_source>(written), .target_path = "/streamed"}));
  require(streamed.bytes == written.size() && streamed.bytes_known == written.size(), "the same bytes by stream are known already");
  auto part = std::make_shared<memory_sink>();
  need(vault.get("/streamed", part, {.first = 1'234'567, .length = 2'000'000}));
  require(std::ranges::equal(part->content, std::span{written}.subspan(1'234'567, 2'000'000)), "a range is those bytes");

  std::cout << "datamesh " << datamesh::version() << ": stored and fetched " << written.size() << " bytes\n";
}
