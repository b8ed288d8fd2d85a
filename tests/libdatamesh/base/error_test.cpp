#include "datamesh/base/error.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

using namespace datamesh;

namespace {

std::string text_of(const std::string& path) {
  std::ifstream in{std::string{DATAMESH_SOURCE_DIR} + "/" + path};
  REQUIRE(in.good());
  return {std::istreambuf_iterator<char>{in}, {}};
}

// The section of a code: from its heading to the next.
std::string section_of(const std::string& document, std::string_view name) {
  auto heading = "\n### " + std::string{name} + "\n";
  auto first = document.find(heading);
  if (first == std::string::npos)
    return {};
  REQUIRE(document.find(heading, first + 1) == std::string::npos);
  auto last = document.find("\n##", first + heading.size());
  return document.substr(first, last == std::string::npos ? last : last - first);
}

// The numbers that errc.hpp gives, as written there.
std::set<int> declared_numbers() {
  std::istringstream in{text_of("libdatamesh/include/datamesh/base/errc.hpp")};
  std::set<int> numbers;
  for (std::string line; std::getline(in, line);) {
    auto mark = line.find(" = ");
    if (mark == std::string::npos || line.find("///<") == std::string::npos || line.find(',') == std::string::npos)
      continue;
    numbers.insert(std::stoi(line.substr(mark + 3)));
  }
  return numbers;
}

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

} // namespace

TEST_CASE("every declared code has exactly one row", "[error]") {
  std::set<int> rows;
  for (const auto& row : all_error_facts())
    CHECK(rows.insert(static_cast<int>(row.code)).second);
  CHECK(rows == declared_numbers());
  CHECK(rows.count(0) == 0);
}

TEST_CASE("names are unique and are found in either case", "[error]") {
  std::set<std::string> names;
  for (const auto& row : all_error_facts()) {
    CAPTURE(row.name);
    CHECK(names.insert(std::string{row.name}).second);
    CHECK(row.name.substr(0, 3) == "DM-");
    CHECK(std::all_of(row.name.begin(), row.name.end(), [](char c) { return (c >= 'A' && c <= 'Z') || c == '-'; }));
    CHECK(find_errc(row.name) == row.code);
    CHECK(find_errc(lower(row.name)) == row.code);
    CHECK(&facts_of(row.code) == &row);
  }
  CHECK_FALSE(find_errc("").has_value());
  CHECK_FALSE(find_errc("DM-NO-SPAC").has_value());
  CHECK_FALSE(find_errc("DM-NO-SPACES").has_value());
}

TEST_CASE("an unknown number is taken for a mistake of ours", "[error]") {
  CHECK(facts_of(static_cast<errc>(0)).code == errc::internal);
  CHECK(facts_of(static_cast<errc>(19)).code == errc::internal);
  CHECK(facts_of(static_cast<errc>(65535)).code == errc::internal);
}

TEST_CASE("each code says in whole sentences what happened and what to do", "[error]") {
  const std::set<int> exit_codes{1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 130};
  for (const auto& row : all_error_facts()) {
    CAPTURE(row.name);
    for (auto sentence : {row.title, row.suggestion}) {
      CAPTURE(sentence);
      CHECK(sentence.size() > 10);
      CHECK(std::isupper(static_cast<unsigned char>(sentence.front())) != 0);
      CHECK(sentence.back() == '.');
      CHECK(std::count(sentence.begin(), sentence.end(), '`') % 2 == 0);
    }
    CHECK(exit_codes.count(row.exit_code) == 1);
    CHECK((row.http_status == 207 || (row.http_status >= 400 && row.http_status < 600)));
  }
}

TEST_CASE("suggestions name commands that the command line has", "[error]") {
  const std::set<std::string> commands{"--help",    "init",  "put",      "get",     "cat",    "ls",     "info",   "rm",      "mv",
                                       "cp",        "tag",   "versions", "stats",   "status", "verify", "repair", "cleanup", "drive",
                                       "rebalance", "vault", "bench",    "rebuild", "doctor", "config", "key",    "explain", "version"};
  for (const auto& row : all_error_facts()) {
    std::istringstream words{std::string{row.suggestion}};
    CAPTURE(row.name, row.suggestion);
    for (std::string word; words >> word;) {
      if (word != "`datamesh")
        continue;
      std::string command;
      words >> command;
      while (!command.empty() && std::string_view{"`.,:;"}.find(command.back()) != std::string_view::npos)
        command.pop_back();
      CHECK(commands.count(command) == 1);
    }
  }
}

TEST_CASE("docs/errors.md has a section for each code that agrees with the table", "[error]") {
  auto document = text_of("docs/errors.md");
  for (const auto& row : all_error_facts()) {
    CAPTURE(row.name);
    auto section = section_of(document, row.name);
    REQUIRE_FALSE(section.empty());
    CHECK(section.find(row.title) != std::string::npos);
    CHECK(section.find(row.suggestion) != std::string::npos);
    static constexpr const char* levels[] = {"info", "warning", "error", "critical"};
    auto figures = "Number " + std::to_string(static_cast<int>(row.code)) + " · " + levels[static_cast<int>(row.severity)] + " · exit "
                   + std::to_string(row.exit_code) + " · HTTP " + std::to_string(row.http_status) + "\n";
    CHECK(section.find(figures) != std::string::npos);
    CHECK(document.find("| " + std::to_string(row.exit_code) + " |") != std::string::npos);
  }
  // And none for a code that is not there.
  for (auto at = document.find("\n### "); at != std::string::npos; at = document.find("\n### ", at + 1)) {
    auto name = document.substr(at + 5, document.find('\n', at + 1) - at - 5);
    CAPTURE(name);
    CHECK(find_errc(name).has_value());
  }
}

TEST_CASE("a message tells what was tried on what and why it failed", "[error]") {
  CHECK(error{errc::no_space, "write shard", "/d1/x"}.message() == "write shard '/d1/x': the file system is full");
  CHECK(error{errc::no_space}.message() == "the file system is full");
  CHECK(error{errc::no_space, "write shard"}.message() == "write shard: the file system is full");
  CHECK(error{errc::internal, "fold"}.message() == "fold: DataMesh made a mistake of its own");
}

TEST_CASE("a message tells its causes and each code once", "[error]") {
  error low{errc::no_space, "write", "/d1/x"};
  auto middle = low.within("store shard", "3");
  CHECK(middle.code() == errc::no_space);
  REQUIRE(middle.cause() != nullptr);
  CHECK(middle.cause()->object() == "/d1/x");
  CHECK(middle.message() == "store shard '3': write '/d1/x': the file system is full");
  auto high = middle.as(errc::too_few_drives, "put", "a.txt");
  CHECK(high.code() == errc::too_few_drives);
  CHECK(high.message()
        == "put 'a.txt': fewer drives accept data than the policy needs: store shard '3': write '/d1/x': the file system is full");
  CHECK(low.cause() == nullptr);
}

TEST_CASE("a message stays one line whatever a name holds", "[error]") {
  auto text = error{errc::not_found, "open", std::string{"a\nb\x1b[31m\x7f\0c", 11}}.message();
  CHECK(text == "open 'a\\x0ab\\x1b[31m\\x7f\\x00c': the named file, folder, version or drive is not there");
}

TEST_CASE("errno values become the code that matches", "[error]") {
  CHECK(from_errno(ENOENT, "open").code() == errc::not_found);
  CHECK(from_errno(EEXIST, "link").code() == errc::already_exists);
  CHECK(from_errno(ENOSPC, "write").code() == errc::no_space);
  CHECK(from_errno(EDQUOT, "write").code() == errc::no_space);
  CHECK(from_errno(EROFS, "write").code() == errc::read_only);
  CHECK(from_errno(EACCES, "open").code() == errc::permission_denied);
  CHECK(from_errno(EPERM, "open").code() == errc::permission_denied);
  CHECK(from_errno(ENOTDIR, "open").code() == errc::not_a_folder);
  CHECK(from_errno(EISDIR, "open").code() == errc::is_a_folder);
  CHECK(from_errno(ENOTEMPTY, "rmdir").code() == errc::folder_not_empty);
  CHECK(from_errno(ENAMETOOLONG, "open").code() == errc::name_invalid);
  CHECK(from_errno(EMFILE, "open").code() == errc::unavailable);
  auto broken = from_errno(EIO, "read", "/d1/x");
  CHECK(broken.code() == errc::io_failed);
  CHECK(broken.message() == "read '/d1/x': the operating system reports an input or output error");
  auto rare = from_errno(EREMOTEIO, "read", "/d1/x");
  CHECK(rare.code() == errc::io_failed);
  CHECK(rare.attempted() == "read (Remote I/O error)");
  CHECK(from_errno(98765, "read").attempted() == "read (errno 98765)");
}
