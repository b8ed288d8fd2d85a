// Writes what is made from the table of commands:
//
//   datamesh-documents DOCS    commands.md, man/*.1 and completion/* below the folder DOCS
#include "documents.hpp"

#include <filesystem>
#include <fstream>
#include <iostream>

namespace {

bool write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file{path, std::ios::binary};
  file << text;
  file.close();
  if (!file)
    std::cerr << "can not write " << path << "\n";
  return static_cast<bool>(file);
}

} // namespace

int main(int argc, char** argv) {
  using namespace datamesh::cli;
  if (argc != 2) {
    std::cerr << "usage: datamesh-documents DOCS\n";
    return 2;
  }
  std::filesystem::path docs{argv[1]};
  std::filesystem::create_directories(docs / "man");
  std::filesystem::create_directories(docs / "completion");
  auto good = write(docs / "commands.md", commands_markdown());
  good = write(docs / "man" / manual_name(""), manual_page("", command_tree())) && good;
  for (auto& [path, command] : leaf_commands())
    good = write(docs / "man" / manual_name(path), manual_page(path, *command)) && good;
  for (auto& [shell, name] : {std::pair{"bash", "datamesh.bash"}, {"zsh", "_datamesh"}, {"fish", "datamesh.fish"}})
    good = write(docs / "completion" / name, completion_script(shell)) && good;
  return good ? 0 : 1;
}
