// Passwords and phrases from the terminal, a file or a command; never from the
// command line. Questions before something is destroyed.
#pragma once

#include "datamesh/node.hpp"
#include "failure.hpp"

#include <functional>
#include <string>

namespace datamesh::cli {

/// Text that is overwritten when it goes.
class secret_text {
public:
  secret_text() = default;
  /// Takes the characters and wipes *text*.
  explicit secret_text(std::string&& text);
  secret_text(secret_text&& other) noexcept;
  secret_text& operator=(secret_text&& other) noexcept;
  ~secret_text();

  [[nodiscard]] std::string_view view() const noexcept {
    return text_;
  }
  friend bool operator==(const secret_text& a, const secret_text& b) noexcept {
    return a.text_ == b.text_;
  }

private:
  std::string text_;
};

struct secret_request {
  std::string what;    ///< "password": for the question and for errors.
  std::string file;    ///< First line of it; "-" is standard input.
  std::string command; ///< First line that `sh -c` of it prints.
  bool twice = false;  ///< On the terminal: ask again and compare.
  std::string hint;    ///< Command to suggest where there is no terminal.
  /// Told when others may read the file. May be empty.
  std::function<void(const std::string&)> warn = {};
};

/// At most 1 KiB. Without file and command the terminal is asked with echo off.
[[nodiscard]] outcome<secret_text> read_secret(const secret_request& request, const cancel_token& cancel);

/// Asks for a line on the terminal. `confirmation_needed` as below.
[[nodiscard]] outcome<std::string> ask_line(const std::string& question, const cancel_token& cancel);

/// Asks on the terminal; true for "y" or "yes". `confirmation_needed` when standard
/// input is no terminal.
[[nodiscard]] outcome<bool> ask(const std::string& question, const cancel_token& cancel);

/// Asks for *expected* to be typed. `confirmation_needed` as above.
[[nodiscard]] outcome<bool> ask_for(const std::string& question, const std::string& expected, const cancel_token& cancel);

} // namespace datamesh::cli
