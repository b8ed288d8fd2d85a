#include "datamesh/base/error.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>

namespace datamesh {

namespace {

// Names of files may hold any byte; a message stays one line that a terminal can show.
void append_quoted(std::string& out, const std::string& object) {
  static constexpr char digits[] = "0123456789abcdef";
  out += '\'';
  for (char c : object) {
    auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
      continue;
    }
    out += "\\x";
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  out += '\'';
}

void append_title(std::string& out, errc code) {
  std::string title{facts_of(code).title};
  auto is_upper = [](unsigned char c) {
    return std::isupper(c) != 0;
  };
  auto word_end = title.begin() + static_cast<ptrdiff_t>(std::min(title.find(' '), title.size()));
  // A name such as DataMesh keeps its spelling.
  if (!title.empty() && std::none_of(title.begin() + 1, word_end, is_upper))
    title[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(title[0])));
  if (!title.empty() && title.back() == '.')
    title.pop_back();
  out += title;
}

errc code_of_errno(int value) {
  switch (value) {
  case ENOENT:
    return errc::not_found;
  case EEXIST:
    return errc::already_exists;
  case EACCES:
  case EPERM:
    return errc::permission_denied;
  case ENOSPC:
  case EDQUOT:
    return errc::no_space;
  case EROFS:
    return errc::read_only;
  case ENOTDIR:
    return errc::not_a_folder;
  case EISDIR:
    return errc::is_a_folder;
  case ENOTEMPTY:
    return errc::folder_not_empty;
  case ENAMETOOLONG:
    return errc::name_invalid;
  case EINVAL:
    return errc::invalid_argument;
  case EFBIG:
    return errc::capacity_exceeded;
  case EXDEV:
    return errc::conflict;
  case ENXIO:
  case ENODEV:
  case ELOOP:
    return errc::unsupported_source;
  case ETXTBSY:
  case EBUSY:
    return errc::locked;
  case EMFILE:
  case ENFILE:
  case ENOMEM:
    return errc::unavailable;
  case ECANCELED:
    return errc::cancelled;
  case ETIMEDOUT:
    return errc::timed_out;
  default:
    return errc::io_failed;
  }
}

} // namespace

error::error(errc code, std::string attempted, std::string object)
    : code_(code), attempted_(std::move(attempted)), object_(std::move(object)) {}

error error::within(std::string attempted, std::string object) const {
  return as(code_, std::move(attempted), std::move(object));
}

error error::as(errc code, std::string attempted, std::string object) const {
  error outer{code, std::move(attempted), std::move(object)};
  outer.cause_ = std::make_shared<const error>(*this);
  return outer;
}

std::string error::message() const {
  std::string out;
  auto separate = [&out] {
    if (!out.empty())
      out += ": ";
  };
  for (const auto* level = this; level != nullptr; level = level->cause()) {
    if (!level->attempted_.empty() || !level->object_.empty()) {
      separate();
      out += level->attempted_;
      if (!level->object_.empty()) {
        if (!level->attempted_.empty())
          out += ' ';
        append_quoted(out, level->object_);
      }
    }
    // A code is told once, where the chain changes to another.
    if (level->cause() == nullptr || level->cause()->code_ != level->code_) {
      separate();
      append_title(out, level->code_);
    }
  }
  return out;
}

error from_errno(int value, std::string attempted, std::string object) {
  auto code = code_of_errno(value);
  if (code == errc::io_failed && value != EIO) {
    const char* text = strerrordesc_np(value);
    attempted += text != nullptr ? " (" + std::string{text} + ")" : " (errno " + std::to_string(value) + ")";
  }
  return error{code, std::move(attempted), std::move(object)};
}

} // namespace datamesh
