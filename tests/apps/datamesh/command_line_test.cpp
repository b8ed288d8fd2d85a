#include "command_line.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace datamesh;
using namespace datamesh::cli;

namespace {

parsed_line good(const std::vector<std::string>& words) {
  auto line = parse_command_line(words);
  INFO((line ? "" : line.error().what));
  REQUIRE(line);
  return *line;
}

std::string wrong(const std::vector<std::string>& words) {
  auto line = parse_command_line(words);
  REQUIRE_FALSE(line);
  CHECK(line.error().code == errc::usage);
  CHECK_FALSE(line.error().next.empty());
  return line.error().what;
}

using list = std::vector<std::string>;

} // namespace

TEST_CASE("options stand anywhere and in every form", "[command-line]") {
  for (auto words : {list{"put", "a", "--to", "/x"}, list{"put", "--to=/x", "a"}, list{"put", "-t", "/x", "a"}, list{"put", "-t/x", "a"},
                     list{"put", "-t=/x", "a"}, list{"--json=false", "put", "a", "--to", "/y", "--to", "/x"}}) {
    auto line = good(words);
    CHECK(line.path == "put");
    CHECK(line.options["to"] == list{"/x"});
    CHECK(line.arguments == list{"a"});
  }
}

TEST_CASE("short flags are grouped and the last may take a value", "[command-line]") {
  auto line = good({"put", "-nqt/x", "a"});
  CHECK(line.options["dry-run"] == list{"true"});
  CHECK(line.options["quiet"] == list{"true"});
  CHECK(line.options["to"] == list{"/x"});
  CHECK(wrong({"put", "-nz", "a"}) == "unknown option '-z'");
}

TEST_CASE("two dashes end the options, one dash is an argument", "[command-line]") {
  CHECK(good({"rm", "--", "--json", "-r"}).arguments == list{"--json", "-r"});
  CHECK(good({"put", "-", "--as", "x"}).arguments == list{"-"});
}

TEST_CASE("a command within a group is found and named", "[command-line]") {
  auto line = good({"drive", "add", "/mnt/a"});
  CHECK(line.path == "drive add");
  CHECK(line.command->name == "add");
  CHECK(wrong({"drive"}).starts_with("'drive' needs a command: add, list"));
}

TEST_CASE("the command of a line that can not be read is named as far as it was", "[command-line]") {
  CHECK(command_of({"--json", "nosuch"}) == "nosuch");
  CHECK(command_of({"--home", "put", "--json", "drive", "lst"}) == "drive");
  CHECK(command_of({"--json", "drive", "add"}) == "drive add");
  CHECK(command_of({"drive", "add", "/mnt/a"}) == "drive add");
  CHECK(command_of({"--nosuch", "put"}).empty());
}

TEST_CASE("a near miss gets a suggestion and a far one none", "[command-line]") {
  CHECK(wrong({"pt", "a"}) == "unknown command 'pt'; did you mean 'put'?");
  CHECK(wrong({"verfiy"}) == "unknown command 'verfiy'; did you mean 'verify'?");
  CHECK(wrong({"drive", "lst"}) == "unknown command 'lst' of 'drive'; did you mean 'list'?");
  CHECK(wrong({"xylophone"}) == "unknown command 'xylophone'");
  CHECK(wrong({"ls", "--jsn"}) == "unknown option '--jsn' of 'ls'; did you mean '--json'?");
  CHECK(wrong({std::string(5000, 'x')}).find("did you mean") == std::string::npos);
}

TEST_CASE("abbreviations are never guessed", "[command-line]") {
  CHECK(wrong({"ver"}).starts_with("unknown command 'ver'"));
  CHECK(wrong({"put", "--dry", "a"}).starts_with("unknown option '--dry'"));
}

TEST_CASE("missing and surplus arguments are named", "[command-line]") {
  CHECK(wrong({"get"}).starts_with("'get' needs PATH"));
  CHECK(wrong({"mv", "/a"}).starts_with("'mv' needs TARGET"));
  CHECK(wrong({"versions", "/a", "/b"}).starts_with("'versions' does not take '/b'"));
  CHECK(wrong({"version", "x"}).starts_with("'version' does not take 'x'"));
}

TEST_CASE("values are checked by their kind", "[command-line]") {
  CHECK(wrong({"put", "a", "--policy", "4x2"}).find("is no policy") != std::string::npos);
  CHECK(wrong({"put", "a", "--memory", "lots"}).find("is no size") != std::string::npos);
  CHECK(wrong({"cat", "/a", "--range", "9-5"}).find("is no range") != std::string::npos);
  CHECK(wrong({"put", "a", "--if-exists", "versoin"}).find("did you mean 'version'?") != std::string::npos);
  CHECK(wrong({"cleanup", "--trash-age", "5"}).find("is no span") != std::string::npos);
  CHECK(wrong({"cleanup", "--keep-versions", "-1"}).find("no natural number") != std::string::npos);
  CHECK(wrong({"completion", "csh"}).find("is none of bash, zsh, fish") != std::string::npos);
  CHECK(wrong({"put", "--to"}) == "option '--to' needs a value: FOLDER");
  CHECK(wrong({"ls", "--json=maybe"}).find("neither true nor false") != std::string::npos);
}

TEST_CASE("an option before the command must be one that the command takes", "[command-line]") {
  CHECK(good({"--vault", "x", "ls"}).options["vault"] == list{"x"});
  CHECK(wrong({"--vault", "x", "version"}) == "'version' has no option '--vault'");
}

TEST_CASE("repeated options collect, others keep the last value", "[command-line]") {
  CHECK(good({"init", "-d", "a", "-d", "b"}).options["drive"] == list{"a", "b"});
  CHECK(good({"put", "x", "--as", "a", "--as", "b"}).options["as"] == list{"b"});
}

TEST_CASE("help is given for a line that lacks arguments", "[command-line]") {
  CHECK(good({"get", "--help"}).path == "get");
  CHECK(good({"drive", "-h"}).path == "drive");
  CHECK(good({}).command == &command_tree());
  CHECK(good({"--version"}).path == "version");
}

TEST_CASE("control characters of the command line are not repeated to the terminal", "[command-line]") {
  CHECK(wrong({"\x1b[2J"}).find('\x1b') == std::string::npos);
  CHECK(wrong({"ls", "--\x1b[2J"}).find('\x1b') == std::string::npos);
}

TEST_CASE("no command has two options of one name or letter", "[command-line]") {
  for (auto& [path, command] : leaf_commands()) {
    CAPTURE(path);
    std::set<std::string_view> names;
    std::set<char> letters;
    for (auto* option : options_of(*command)) {
      CAPTURE(option->name);
      CHECK(names.insert(option->name).second);
      CHECK((option->letter == 0 || letters.insert(option->letter).second));
      CHECK(option->text.ends_with('.'));
      CHECK((option->kind == value_kind::flag) == option->placeholder.empty());
      CHECK(check_value(option->kind, option->choices, option->fallback.empty() && option->kind != value_kind::flag ? "" : option->fallback)
                .empty()
            == (!option->fallback.empty() || option->kind == value_kind::flag || check_value(option->kind, option->choices, "").empty()));
    }
    CHECK_FALSE(command->summary.empty());
    CHECK_FALSE(command->summary.ends_with('.'));
    CHECK_FALSE(command->example.empty());
  }
}
