// The record of one node's audits, in a file of the home: what it owes an answer to, and what it has shown.
//
// Thread rule: any thread.
#pragma once

#include "datamesh/base/environment.hpp"
#include "network/audit_record.hpp"

#include <mutex>

namespace datamesh::network {

/// What was passed is written down after so long at the latest; all else at once.
inline constexpr auto audits_written_after = std::chrono::minutes{1};
/// A node is asked for no more blocks than so many in this time, and no more than it has shards.
inline constexpr uint64_t audits_at_once = 32;
inline constexpr auto audits_again = std::chrono::hours{24};

class audit_book {
public:
  /// One that is not there, or can not be read, begins anew.
  audit_book(environment env, std::string path);
  /// Writes down what is not.
  ~audit_book();
  audit_book(const audit_book&) = delete;
  audit_book& operator=(const audit_book&) = delete;

  /// Whether this shard is to be proved now, of so many that the node keeps: what it owes an answer to always is,
  /// others by chance, as far as there are audits left. `random_failed`.
  [[nodiscard]] result<bool> is_due(const shard_key& shard, uint64_t of);
  /// A block of a shard of so many: what the node owes an answer to, or one by chance. `random_failed`.
  [[nodiscard]] result<challenge> next(const shard_key& shard, uint32_t blocks) const;
  audit_outcome note(const challenge& what, audit_outcome outcome);

  [[nodiscard]] double score() const;
  [[nodiscard]] bool lies() const;
  [[nodiscard]] audit_report report() const;

private:
  void write();
  [[nodiscard]] result<uint64_t> draw() const;

  environment env_;
  std::string path_;
  mutable std::mutex mutex_;
  audit_record record_;
  bool changed_ = false;
  clock::monotonic_time written_;
  clock::monotonic_time all_left_at_{}; ///< When as many are left as there may be.
};

} // namespace datamesh::network
