#include "secrets.hpp"

#include "display.hpp"
#include "interruption.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

namespace datamesh::cli {

namespace {

constexpr size_t secret_size_max = 1024;

void wipe(std::string& text) {
  explicit_bzero(text.data(), text.size());
  text.clear();
}

class descriptor {
public:
  explicit descriptor(int fd) : fd_(fd) {}
  ~descriptor() {
    if (fd_ > STDERR_FILENO)
      close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  [[nodiscard]] int get() const noexcept {
    return fd_;
  }

private:
  int fd_;
};

tl::unexpected<failure> cancelled() {
  return refuse(errc::cancelled, "the question was not answered", "nothing was changed; run the command again to be asked again");
}

/// Waits until *fd* has something to read or *cancel* was asked for. A signal may come
/// just before the wait begins, or to another thread, and then would not end it.
void wait_for_input(int fd, const cancel_token& cancel) {
  constexpr int look_again_ms = 100;
  pollfd input{fd, POLLIN, 0};
  while (!cancel.cancelled()) {
    auto ready = ::poll(&input, 1, look_again_ms);
    if (ready > 0 || (ready < 0 && errno != EINTR))
      return;
  }
}

/// The first line from *fd*, without its end, byte by byte so that nothing behind the
/// line is taken away.
outcome<secret_text> read_line(int fd, const std::string& what, const cancel_token& cancel) {
  std::string line;
  line.reserve(secret_size_max + 1); // So that no copy is left behind in freed memory.
  for (;;) {
    wait_for_input(fd, cancel);
    if (cancel.cancelled()) {
      wipe(line);
      return cancelled();
    }
    char c = 0;
    auto got = ::read(fd, &c, 1);
    if (got < 0 && errno != EINTR) {
      wipe(line);
      return refuse(from_errno(errno, "read the " + what));
    }
    if (got == 0 || (got == 1 && c == '\n'))
      break;
    if (got < 0)
      continue;
    if (line.size() == secret_size_max) {
      wipe(line);
      return refuse(errc::invalid_argument, fmt::format("the {} is longer than {} bytes", what, secret_size_max));
    }
    line += c;
  }
  if (line.ends_with('\r'))
    line.pop_back();
  return secret_text{std::move(line)};
}

outcome<secret_text> read_from_file(const secret_request& request, const cancel_token& cancel) {
  if (request.file == "-") {
    echo_off quiet{STDIN_FILENO};
    if (isatty(STDIN_FILENO) == 1)
      std::fputs((request.what + ": ").c_str(), stderr);
    return read_line(STDIN_FILENO, request.what, cancel);
  }
  descriptor file{open(request.file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.get() < 0)
    return refuse(from_errno(errno, "read the " + request.what, request.file));
  struct stat status {};
  auto open_to_others = fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 077) != 0;
  if (open_to_others && request.warn)
    request.warn(fmt::format("others may read {}; run: chmod 600 {}", printable(request.file), shell_word(request.file)));
  return read_line(file.get(), request.what, cancel);
}

outcome<secret_text> read_from_command(const secret_request& request, const cancel_token& cancel) {
  std::unique_ptr<FILE, int (*)(FILE*)> pipe{popen(request.command.c_str(), "re"), pclose};
  if (!pipe)
    return refuse(from_errno(errno, "run the command for the " + request.what));
  auto line = read_line(fileno(pipe.get()), request.what, cancel);
  if (!line && line.error().code == errc::cancelled) {
    // Who ends now does not wait for the command, which may ask somebody.
    (void) pipe.release();
    return line;
  }
  char rest[4096];
  while (::read(fileno(pipe.get()), rest, sizeof(rest)) > 0)
    ;
  explicit_bzero(rest, sizeof(rest));
  auto status = pclose(pipe.release());
  if (status != 0)
    return refuse(errc::invalid_argument, fmt::format("the command for the {} ended with {}", request.what,
                                                      WIFEXITED(status) ? fmt::format("code {}", WEXITSTATUS(status)) : "a signal"));
  return line;
}

outcome<secret_text> prompt(int terminal, const std::string& question, const std::string& what, const cancel_token& cancel) {
  // First the echo, then the question: who types at once shall not be seen, either.
  echo_off quiet{terminal};
  auto text = question + ": ";
  [[maybe_unused]] auto written = write(terminal, text.data(), text.size());
  auto line = read_line(terminal, what, cancel);
  written = write(terminal, "\n", 1);
  return line;
}

} // namespace

secret_text::secret_text(std::string&& text) : text_(text) {
  wipe(text);
}

// A short text that is moved would leave its bytes behind: copied, and then wiped.
// NOLINTNEXTLINE(performance-move-constructor-init)
secret_text::secret_text(secret_text&& other) noexcept : text_(other.text_) {
  wipe(other.text_);
}

secret_text& secret_text::operator=(secret_text&& other) noexcept {
  if (this != &other) {
    wipe(text_);
    text_ = other.text_;
    wipe(other.text_);
  }
  return *this;
}

secret_text::~secret_text() {
  wipe(text_);
}

outcome<secret_text> read_secret(const secret_request& request, const cancel_token& cancel) {
  outcome<secret_text> secret;
  if (!request.file.empty()) {
    secret = read_from_file(request, cancel);
  } else if (!request.command.empty()) {
    secret = read_from_command(request, cancel);
  } else {
    descriptor terminal{open("/dev/tty", O_RDWR | O_CLOEXEC)};
    if (terminal.get() < 0)
      return refuse(errc::usage, fmt::format("there is no terminal to ask for the {} on", request.what), request.hint);
    secret = prompt(terminal.get(), request.what, request.what, cancel);
    if (secret && request.twice) {
      auto again = prompt(terminal.get(), request.what + ", once more", request.what, cancel);
      if (!again)
        return refuse(again.error());
      if (*again != *secret)
        return refuse(errc::invalid_argument, fmt::format("the {}s are not the same", request.what), "run the command again");
    }
  }
  if (secret && secret->view().empty())
    return refuse(errc::invalid_argument, fmt::format("the {} is empty", request.what), request.hint);
  return secret;
}

namespace {

outcome<std::string> question_line(const std::string& question, const cancel_token& cancel) {
  if (isatty(STDIN_FILENO) != 1)
    return refuse(errc::confirmation_needed, printable(question) + " There is no terminal to answer on", "run it again with --yes");
  auto text = question + " ";
  [[maybe_unused]] auto written = write(STDERR_FILENO, text.data(), text.size());
  auto line = read_line(STDIN_FILENO, "answer", cancel);
  if (!line)
    return refuse(line.error());
  return std::string{line->view()};
}

} // namespace

outcome<std::string> ask_line(const std::string& question, const cancel_token& cancel) {
  return question_line(question, cancel);
}

outcome<bool> ask(const std::string& question, const cancel_token& cancel) {
  auto line = question_line(question + " [y/N]", cancel);
  if (!line)
    return refuse(line.error());
  return *line == "y" || *line == "Y" || *line == "yes";
}

outcome<bool> ask_for(const std::string& question, const std::string& expected, const cancel_token& cancel) {
  auto line = question_line(question, cancel);
  if (!line)
    return refuse(line.error());
  return *line == expected;
}

} // namespace datamesh::cli
