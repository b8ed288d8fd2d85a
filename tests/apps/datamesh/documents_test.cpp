#include "documents.hpp"

#include "display.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace datamesh::cli;

namespace {

bool has(const completion_answer& answer, std::string_view word) {
  return std::find(answer.words.begin(), answer.words.end(), word) != answer.words.end();
}

} // namespace

TEST_CASE("every command's help has usage, options and an example within 80 columns", "[documents]") {
  for (auto& [path, command] : leaf_commands()) {
    auto text = command_help(path, *command);
    CAPTURE(path, text);
    CHECK(text.find("Usage: datamesh " + path) != std::string::npos);
    CHECK(text.find("--json") != std::string::npos);
    CHECK(text.find("\nExample") != std::string::npos);
    size_t from = 0;
    while (from < text.size()) {
      auto end = text.find('\n', from);
      auto line = text.substr(from, end - from);
      auto is_example = text.find("\nExample") < from || line.starts_with("Usage");
      CHECK((is_example || display_width(line) <= 80));
      CHECK_FALSE(line.ends_with(' '));
      from = end + 1;
    }
  }
}

TEST_CASE("the overview names every command", "[documents]") {
  auto text = overview_text();
  for (auto& child : command_tree().children)
    CHECK(text.find("\n  " + std::string{child.name} + " ") != std::string::npos);
}

TEST_CASE("commands, options and their values are completed", "[documents]") {
  CHECK(has(complete({"pu"}), "put"));
  CHECK(complete({"pu"}).words.size() == 1);
  CHECK(has(complete({""}), "drive"));
  CHECK(has(complete({"drive", "a"}), "adopt"));
  CHECK(has(complete({"put", "--ex"}), "--exclude"));
  CHECK(has(complete({"put", "--if-exists", ""}), "rename"));
  CHECK(has(complete({"completion", "z"}), "zsh"));
  CHECK(has(complete({"help", "exit"}), "exit-codes"));
}

TEST_CASE("files, folders and names of the vault are completed by whoever knows them", "[documents]") {
  CHECK(complete({"put", ""}).files == completion_files::any);
  CHECK(complete({"put", "a", "b"}).files == completion_files::any);
  CHECK(complete({"init", "--drive", ""}).files == completion_files::folders);
  CHECK(complete({"get", "/ph"}).dynamic == value_kind::vault_path);
  CHECK(complete({"get", "--to", ""}).files == completion_files::folders);
  CHECK(complete({"ls", "--vault", ""}).dynamic == value_kind::vault_name);
  CHECK(complete({"drive", "drain", ""}).dynamic == value_kind::drive);
  CHECK(complete({"explain", "DM"}).dynamic == value_kind::code);
}

TEST_CASE("a line that can not go on has no candidates", "[documents]") {
  CHECK(complete({"nonsense", ""}).words.empty());
  auto after = complete({"version", ""});
  CHECK(after.words.empty());
  CHECK(after.files == completion_files::none);
  CHECK(complete({"drive", "drain", "x", ""}).dynamic == value_kind::flag);
  CHECK(complete({}).words.size() == command_tree().children.size());
}

TEST_CASE("a manual page is made for every command and begins as mdoc wants", "[documents]") {
  for (auto& [path, command] : leaf_commands()) {
    auto page = manual_page(path, *command);
    CHECK(page.starts_with(".Dd "));
    CHECK(page.find(".Sh EXAMPLES") != std::string::npos);
  }
  CHECK(manual_name("drive add") == "datamesh-drive-add.1");
  CHECK(manual_name("") == "datamesh.1");
}
