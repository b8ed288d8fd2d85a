// Sizes, spans, times and ranges as people write and read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace datamesh::cli {

/// "999 B", "1.5 GiB": one decimal, IEC units.
[[nodiscard]] std::string human_size(uint64_t bytes);

/// Takes "4096", "10M" and "10MiB" (both 2^20), "10MB" (10^6), "1.5 GiB". Empty on
/// anything else and on more than 2^64 - 1.
[[nodiscard]] std::optional<uint64_t> parse_size(std::string_view text);

/// "12,345,678".
[[nodiscard]] std::string grouped(uint64_t number);

/// "45 s", "3 min 12 s", "2 h 5 min", "3 d 4 h".
[[nodiscard]] std::string human_span(uint64_t seconds);

/// Takes "90s", "5m", "12h", "30d", "2w", and "0" alone. Seconds.
[[nodiscard]] std::optional<uint64_t> parse_span(std::string_view text);

/// "just now", "5 minutes ago", "in 2 hours".
[[nodiscard]] std::string relative_time(int64_t then_ns, int64_t now_ns);

/// "2026-01-01T00:00:00Z"; nine decimals where there is a fraction. *ns* counts from
/// 1970 in UTC.
[[nodiscard]] std::string rfc3339(int64_t ns);

/// The same for people: without the fraction.
[[nodiscard]] std::string rfc3339_seconds(int64_t ns);

/// Takes "2026-01-31" (its first moment in UTC), "2026-01-31T12:00:00Z", and a span such
/// as "7d", which counts back from *now_ns*. Nanoseconds since 1970.
[[nodiscard]] std::optional<int64_t> parse_date(std::string_view text, int64_t now_ns);

struct parsed_range {
  uint64_t first = 0;
  std::optional<uint64_t> length; ///< To the end when empty.
};

/// Takes "A-B" (both included), "A+LENGTH" and "A-"; all are sizes.
[[nodiscard]] std::optional<parsed_range> parse_range(std::string_view text);

/// True for "K+M" with 1 <= K, 0 <= M and K + M <= 128.
[[nodiscard]] bool valid_policy(std::string_view text);

/// As a node checks it: 1 to 64 letters, digits, '.', '_' or '-', no '.' first.
[[nodiscard]] bool valid_vault_name(std::string_view text);

} // namespace datamesh::cli
