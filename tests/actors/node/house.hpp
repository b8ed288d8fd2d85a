// A node with some drives and one vault, on the machine's disk or on a simulated
// one, and what tests of the facade read and write beside it.
#pragma once

#include "datamesh/node.hpp"
#include "tests/support/code_of.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <string>
#include <vector>

namespace datamesh::test {

/// The value; the test ends when there is none.
template <class T>
T must(result<T> answer) {
  INFO((answer ? std::string{} : answer.error().message()));
  REQUIRE(answer.has_value());
  if constexpr (!std::is_void_v<T>)
    return std::move(*answer);
}

/// *size* bytes that do not compress, the same for the same *seed*.
std::string noise(uint64_t seed, size_t size);

/// A folder of the machine that goes with this.
class temp_folder {
public:
  temp_folder();
  ~temp_folder();
  temp_folder(const temp_folder&) = delete;
  temp_folder& operator=(const temp_folder&) = delete;
  [[nodiscard]] const std::string& path() const noexcept {
    return path_;
  }

private:
  std::string path_;
};

enum class disk { system, simulated };

/// Supplies a text, *step* bytes at a time.
class text_source : public source {
public:
  explicit text_source(std::string text, size_t step = 100'000) : text_(std::move(text)), step_(step) {}
  result<size_t> read(byte_span out) override;

private:
  std::string text_;
  size_t step_;
  size_t at_ = 0;
};

/// Keeps what it is given, and the lengths of the pieces.
class text_sink : public sink {
public:
  result<void> write(byte_view data) override;
  result<void> write_hole(uint64_t length) override;
  std::string text;
  std::vector<size_t> pieces;
  uint64_t hole_bytes = 0;
};

/// Stores and fetches a text. Threads beside the test's own use these, since
/// Catch2's assertions are for one thread.
result<put_summary> put_text(vault& to, const std::string& target, std::string text, if_exists conflict = if_exists::version);
result<std::string> get_text(vault& from, const std::string& path, byte_range range = {}, std::optional<version_id> version = {});

class house {
public:
  explicit house(size_t drives = 3, disk where = disk::simulated, node_options with = {});
  house(house&&) = default;
  ~house();

  [[nodiscard]] std::string path(std::string_view name) const {
    return join_path(root_, name);
  }
  [[nodiscard]] std::string drive(size_t number) const {
    return path("drive" + std::to_string(number));
  }
  [[nodiscard]] file_system& files() {
    return *options.environment.files;
  }

  /// Writes a file and the folders above it, both below the house.
  void write(std::string_view name, std::string_view content, uint32_t mode = 0644, int64_t modified_ns = 1'700'000'000'000'000'000);
  void link(std::string_view name, const std::string& target);
  [[nodiscard]] std::string read(std::string_view name);
  /// A line for each file, folder and link below *name*: attributes and content.
  [[nodiscard]] std::map<std::string, std::string> look(std::string_view name);
  void remove_tree(const std::string& path);
  /// What is at *to* goes first. Modes are those of new files.
  void copy_tree(const std::string& from, const std::string& to);
  /// Regular files below *path*.
  [[nodiscard]] std::vector<std::string> files_below(const std::string& path);

  put_summary put(std::string_view source, const std::string& target);
  put_summary put_text(const std::string& target, std::string text, if_exists conflict = if_exists::version);
  [[nodiscard]] std::string get_text(const std::string& path, byte_range range = {}, std::optional<version_id> version = {});
  /// Names below a folder of the vault.
  [[nodiscard]] std::vector<std::string> list(const std::string& path = "/", bool recursive = true);

  void close();
  void open();
  void reopen() {
    close();
    open();
  }
  [[nodiscard]] datamesh::node& node() {
    return *node_;
  }
  [[nodiscard]] datamesh::vault& vault() {
    return *vault_;
  }

  node_options options;

private:
  std::unique_ptr<temp_folder> folder_;
  std::string root_;
  std::unique_ptr<datamesh::node> node_;
  std::optional<datamesh::vault> vault_;
};

} // namespace datamesh::test
