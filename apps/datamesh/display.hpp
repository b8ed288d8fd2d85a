// Text for terminals: names made harmless, columns that line up.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace datamesh::cli {

/// *text* with control characters, bytes that are not UTF-8, and characters that
/// reorder text shown as `\x1b` or `\u202e`, so that a file's name can not steer a
/// terminal or fake a line.
[[nodiscard]] std::string printable(std::string_view text);

/// The same for a name, with `\\` for a backslash: no two names look the same.
[[nodiscard]] std::string printable_name(std::string_view name);

/// *word* as bash and zsh read it back, for command lines that are shown: in quotes where it must be, and
/// as `$'\x1b'` where it is not printable.
[[nodiscard]] std::string shell_word(std::string_view word);

/// Columns that *text* takes on a terminal. @pre text is `printable`
[[nodiscard]] size_t display_width(std::string_view text);

/// *text* cut to *columns*, with "..." for what is left out of its middle.
[[nodiscard]] std::string shortened(std::string_view text, size_t columns);

/// True when *text* is well-formed UTF-8.
[[nodiscard]] bool is_utf8(std::string_view text);

/// Rows of cells; each column is as wide as its widest cell.
class text_table {
public:
  enum class align : uint8_t { left, right };

  explicit text_table(std::vector<align> columns) : columns_(std::move(columns)) {}
  void heading(std::vector<std::string> cells) {
    heading_ = std::move(cells);
  }
  void row(std::vector<std::string> cells) {
    rows_.push_back(std::move(cells));
  }
  [[nodiscard]] bool empty() const noexcept {
    return rows_.empty();
  }
  /// Lines with two blanks between columns, none at their ends.
  [[nodiscard]] std::string render() const;

private:
  std::vector<align> columns_;
  std::vector<std::string> heading_;
  std::vector<std::vector<std::string>> rows_;
};

} // namespace datamesh::cli
