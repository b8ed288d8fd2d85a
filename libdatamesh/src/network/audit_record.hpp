// What a node has shown of itself when it was asked for what it keeps for this one: how often it proved
// a block, and what was wrong. The score is that of a beta reputation with forgetting (Jøsang and Ismail,
// "The Beta Reputation System", 2002), as Storj's satellites have one for each of their nodes: what
// happened long ago counts for less. Pure; docs/formats/ticket.md, "Audits".
//
// Thread rule: as any value.
#pragma once

#include "datamesh/audit_report.hpp"
#include "datamesh/base/clock.hpp"
#include "network/shard_ticket.hpp"

#include <deque>
#include <map>

namespace datamesh::network {

/// What came of asking for a block.
enum class audit_outcome : uint8_t {
  passed,
  lost,       ///< It says that it has not got the shard any more, or not whole.
  wrong,      ///< It sent what is not the block.
  unanswered, ///< It has a link, and said nothing in time.
};

/// A block that is asked for.
struct challenge {
  shard_key shard;
  uint32_t block = 0;
  friend bool operator==(const challenge&, const challenge&) = default;
};

/// So many audits are remembered, on average; what is older hardly counts.
inline constexpr double audits_remembered = 200;
/// A node that nobody knows is taken for one that passed so many.
inline constexpr double audits_given = 20;
/// A block that was asked for so often without an answer counts as lost.
inline constexpr uint32_t asked_at_most = 3;
/// So many wrong answers in `wrongs_count_for` are no accident of a memory or a disk; nor are two to the
/// same question, one after the other.
inline constexpr size_t wrongs_at_most = 3;
inline constexpr auto wrongs_count_for = std::chrono::hours{24 * 90};
inline constexpr size_t audit_events_max = 64;
inline constexpr size_t challenges_open_max = 4096;
inline constexpr uint64_t audit_file_max = 1 << 20;

class audit_record {
public:
  /// Of the text of a file: `format_damaged`, `format_newer`.
  [[nodiscard]] static result<audit_record> parse(std::string_view text);
  [[nodiscard]] std::string encode() const;

  /// What the node owes an answer to of that shard; else *block*.
  [[nodiscard]] challenge next(const shard_key& shard, uint32_t block) const;

  /// Whether it owes one.
  [[nodiscard]] bool owes(const shard_key& shard) const;

  /// Answers what it counts as: `lost` for a block that was asked for often enough.
  audit_outcome note(const challenge& what, audit_outcome outcome, clock::wall_time when);

  /// Between 0 and 1; 1 of one that never failed.
  [[nodiscard]] double score() const noexcept;
  /// It has sent what it was not given, and not by accident. It never ends.
  [[nodiscard]] bool lies() const noexcept {
    return lies_;
  }
  [[nodiscard]] audit_report report() const;

private:
  struct owed {
    uint32_t block = 0;
    uint32_t unanswered = 0;
    bool wrong = false; ///< The last answer.
  };

  void count(const challenge& what, audit_outcome outcome, clock::wall_time when);
  [[nodiscard]] size_t wrongs_since(clock::wall_time when) const;

  double good_ = audits_given;
  double bad_ = 0;
  std::array<uint64_t, 4> counts_{}; ///< By `audit_outcome`.
  std::optional<int64_t> last_ns_;
  bool lies_ = false;
  std::map<shard_key, owed> owed_;
  std::deque<audit_event> events_; ///< The oldest first.
};

} // namespace datamesh::network
