#include "datamesh/base/message_actor.hpp"

#include <charconv>
#include <optional>
#include <tuple>

namespace datamesh {

namespace {

constexpr uint8_t our_code = 1;
const auto our_category = caf::atom("datamesh");

/// Takes the next number of *text* and the space behind it.
std::optional<size_t> take_number(std::string_view& text) {
  size_t number = 0;
  auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc{} || end == text.data() + text.size())
    return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return number;
}

/// Takes one level: code, two lengths, and so many bytes, which may be any.
std::optional<std::tuple<errc, std::string, std::string>> take_level(std::string_view& text) {
  auto code = take_number(text);
  auto attempted = code ? take_number(text) : std::nullopt;
  auto object = attempted ? take_number(text) : std::nullopt;
  if (!object || *attempted > text.size() || *object > text.size() - *attempted)
    return std::nullopt;
  std::tuple level{static_cast<errc>(*code), std::string{text.substr(0, *attempted)}, std::string{text.substr(*attempted, *object)}};
  text.remove_prefix(*attempted + *object);
  return level;
}

} // namespace

caf::error to_caf(const error& reason) {
  std::string text;
  for (auto level = &reason; level != nullptr; level = level->cause())
    text += std::to_string(static_cast<uint16_t>(level->code())) + " " + std::to_string(level->attempted().size()) + " "
            + std::to_string(level->object().size()) + " " + level->attempted() + level->object();
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
  std::vector<std::tuple<errc, std::string, std::string>> levels;
  std::string_view rest{text};
  while (auto level = take_level(rest))
    levels.push_back(std::move(*level));
  if (levels.empty())
    return error{errc::internal, "pass on an error"};
  auto& [code, attempted, object] = levels.back();
  error result{code, attempted, object};
  for (auto it = std::next(levels.rbegin()); it != levels.rend(); ++it)
    result = result.as(std::get<0>(*it), std::get<1>(*it), std::get<2>(*it));
  return result;
}

} // namespace datamesh
