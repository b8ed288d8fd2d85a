#include "health/scrub_schedule.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace datamesh::health {

namespace {

bool round_is_due(const scrub_state& state, int64_t now) {
  return state.deep_began_ns <= 0 || state.deep_began_ns > now || (state.deep_over && now - state.deep_began_ns >= deep_every_ns);
}

/// Packs that should have been looked at by now, of a round that began then.
uint64_t due_packs(int64_t began, uint64_t packs, int64_t now) {
  if (now - began >= deep_every_ns)
    return packs + 1;
  // The first part of a round is due at once.
  return static_cast<uint64_t>(static_cast<long double>(packs) * static_cast<long double>(now - began) / deep_every_ns) + 1;
}

template <class T>
bool read_number(std::string_view text, T& to) {
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), to);
  return failed == std::errc{} && end == text.data() + text.size();
}

} // namespace

scrub_step next_step(const scrub_state& state, std::optional<int64_t> last_quick_ns, uint64_t packs, int64_t now_ns) {
  if (!last_quick_ns || *last_quick_ns > now_ns || now_ns - *last_quick_ns >= quick_every_ns)
    return {scrub_step::kind::quick, 0};
  if (packs == 0)
    return {};
  if (round_is_due(state, now_ns))
    return {scrub_step::kind::deep_part, std::min(part_max, due_packs(now_ns, packs, now_ns))};
  if (state.deep_over)
    return {};
  auto due = due_packs(state.deep_began_ns, packs, now_ns);
  if (due <= state.deep_packs)
    return {};
  return {scrub_step::kind::deep_part, std::min(part_max, due - state.deep_packs)};
}

scrub_state after_part(scrub_state state, uint64_t packs, std::optional<pack_id> after, int64_t now_ns) {
  if (round_is_due(state, now_ns))
    state = {now_ns, false, 0, std::nullopt};
  state.deep_packs += packs;
  state.deep_after = after;
  state.deep_over = !after;
  return state;
}

std::string scrub_state::encode() const {
  return fmt::format("scrub 1\nbegan {}\nover {}\npacks {}\nafter {}\n", deep_began_ns, deep_over ? 1 : 0, deep_packs,
                     deep_after ? deep_after->hex() : "-");
}

result<scrub_state> scrub_state::decode(std::string_view text) {
  scrub_state state;
  auto damaged = [] {
    return fail(errc::format_damaged, "read how far the scrub is");
  };
  auto take = [&](std::string_view word) -> std::optional<std::string_view> {
    auto end = text.find('\n');
    if (end == std::string_view::npos || end <= word.size() || !text.starts_with(word) || text[word.size()] != ' ')
      return std::nullopt;
    auto value = text.substr(word.size() + 1, end - word.size() - 1);
    text.remove_prefix(end + 1);
    return value;
  };
  auto version = take("scrub");
  auto began = version ? take("began") : std::nullopt;
  auto over = began ? take("over") : std::nullopt;
  auto packs = over ? take("packs") : std::nullopt;
  auto after = packs ? take("after") : std::nullopt;
  if (!after || !text.empty() || *version != "1" || !read_number(*began, state.deep_began_ns) || !read_number(*packs, state.deep_packs)
      || (*over != "0" && *over != "1"))
    return damaged();
  state.deep_over = *over == "1";
  if (*after != "-") {
    state.deep_after = pack_id::parse(*after);
    if (!state.deep_after)
      return damaged();
  }
  return state;
}

} // namespace datamesh::health
