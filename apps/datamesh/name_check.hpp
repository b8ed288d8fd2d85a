// What a change of names is refused for, and the name that it takes: looked up before the
// change, and instead of it in a dry run.
#pragma once

#include "datamesh/node.hpp"
#include "failure.hpp"

#include <optional>
#include <string>
#include <vector>

namespace datamesh::cli {

/// All paths are as `vault_path` answers them.
class name_check {
public:
  /// In a *dry* run what was looked up is taken for done by what comes behind it.
  name_check(const vault& v, bool dry) : vault_(v), dry_(dry) {}

  /// Where *from* would be.
  [[nodiscard]] outcome<std::string> move(const std::string& from, const std::string& to, if_exists conflict);
  [[nodiscard]] outcome<std::string> copy(const std::string& from, const std::string& to, if_exists conflict);
  [[nodiscard]] outcome<void> remove(const std::string& path, bool recursive);
  /// *kind* is that of what is in the trash.
  [[nodiscard]] outcome<void> restore(const std::string& target, entry_kind kind);

private:
  struct change {
    std::string from; ///< Empty: it is new.
    std::string to;   ///< Empty: it is removed.
    entry_kind kind = entry_kind::file;
    bool stays = false; ///< *from* does.
  };
  struct place {
    std::optional<entry_kind> kind{}; ///< Empty: nothing is there.
    bool in_file = false;             ///< And nothing can be.
  };

  [[nodiscard]] outcome<place> look(const std::string& path) const;
  /// After the first *count* changes.
  [[nodiscard]] outcome<place> find(const std::string& path, size_t count) const;
  [[nodiscard]] outcome<place> find(const std::string& path) const;
  [[nodiscard]] outcome<entry_kind> kind_of(const std::string& path) const;
  /// *to*, or below it where that is a folder.
  [[nodiscard]] outcome<std::string> target_of(const std::string& from, const std::string& to) const;
  /// The name that something of *kind* gets; *fresh*: not that of a folder that is there.
  [[nodiscard]] outcome<std::string> claim(const std::string& path, entry_kind kind, if_exists conflict, bool fresh) const;
  /// Of all that is in *from*, where the folder *to* is there already.
  [[nodiscard]] outcome<void> claim_content(const std::string& from, const std::string& to, if_exists conflict) const;
  void note(change done);

  const vault& vault_;
  bool dry_;
  std::vector<change> done_;
};

} // namespace datamesh::cli
