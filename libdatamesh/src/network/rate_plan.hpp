// The limits that the operator of a node sets for its line: the file `rates` of the node's home.
// Format: docs/formats/home.md.
//
// Thread rule: functions are safe to call from any thread.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/base/result.hpp"
#include "datamesh/mesh.hpp"

#include <string>
#include <string_view>

namespace datamesh::network {

inline constexpr size_t rate_windows_max = 16;

/// @param minute of the day, below 1,440
[[nodiscard]] rate_limits limits_at(const rate_plan& plan, unsigned minute) noexcept;

/// By the clock of the machine, in its zone.
[[nodiscard]] unsigned minute_of_day(clock::wall_time when);

[[nodiscard]] std::string encode_rates(const rate_plan& plan);
/// `format_newer` for a later version, `format_damaged` for what is none.
[[nodiscard]] result<rate_plan> parse_rates(std::string_view text);

} // namespace datamesh::network
