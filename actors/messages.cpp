#include "messages.hpp"

#include <fmt/format.h>

namespace datamesh {

namespace {

using error_level = std::tuple<uint16_t, std::string, std::string>;

constexpr uint8_t our_code = 1;
const auto our_category = caf::atom("datamesh");

} // namespace

caf::error to_caf(const error& reason) {
  // Levels are joined with control characters, which no message of ours holds.
  std::string text;
  for (auto level = &reason; level != nullptr; level = level->cause())
    text += fmt::format("{}\x1f{}\x1f{}\x1e", static_cast<uint16_t>(level->code()), level->attempted(), level->object());
  return caf::error{our_code, our_category, caf::make_message(std::move(text))};
}

error from_caf(const caf::error& reason) {
  if (reason.category() != our_category) {
    if (reason == caf::sec::request_timeout)
      return error{errc::timed_out, "wait for an answer"};
    return error{errc::unavailable, "ask a part of the node"};
  }
  std::string text;
  if (reason.context().match_elements<std::string>())
    text = reason.context().get_as<std::string>(0);
  std::vector<error_level> levels;
  size_t begin = 0;
  while (begin < text.size()) {
    auto end = text.find('\x1e', begin);
    auto first = text.find('\x1f', begin);
    auto second = first == std::string::npos ? first : text.find('\x1f', first + 1);
    if (end == std::string::npos || second == std::string::npos || second > end)
      break;
    levels.emplace_back(static_cast<uint16_t>(std::stoul(text.substr(begin, first - begin))), text.substr(first + 1, second - first - 1),
                        text.substr(second + 1, end - second - 1));
    begin = end + 1;
  }
  if (levels.empty())
    return error{errc::internal, "pass on an error"};
  auto& [code, attempted, object] = levels.back();
  error result{static_cast<errc>(code), attempted, object};
  for (auto it = std::next(levels.rbegin()); it != levels.rend(); ++it)
    result = result.as(static_cast<errc>(std::get<0>(*it)), std::get<1>(*it), std::get<2>(*it));
  return result;
}

} // namespace datamesh
