// One run of a simulated mesh: a seed draws how many nodes there are, what their owners do, which kinds of faults there are and
// how often; first all of that happens, and what must never be is looked for; then everything is healed, and what must come to
// be is awaited: every pack is whole again, without its owner where nothing else is said, and comes back byte for byte.
//
// Kinds of faults: the power of a node goes and comes back, at once or hours later, between two things or in the middle of a
// write; its drives are replaced by empty ones; a bit of a shard is flipped; its disk is full for a while, or refuses one call;
// nodes can not reach each other, in both directions or in one; a connection breaks; the network is slow, or the lines of all are;
// requests and answers are lost, served twice, or overtake each other; a clock is put forward or back; a node comes in late, or is
// drained and leaves. In some runs the room that was granted is hardly more than what is needed.
//
// Thread rule: one at a time in a process.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace datamesh::test {

struct mesh_run_options {
  uint64_t seed = 1;
  uint32_t nodes = 0;          ///< That keep shards; 0: 8 to 16, as the seed draws.
  double hours = 0;            ///< Of faults, in the time of the mesh; 0: 25 to 60 minutes, as the seed draws.
  uint64_t check_every = 1000; ///< Messages between two looks at all that was promised.
};

struct mesh_run_outcome {
  uint64_t seed = 0;
  uint32_t nodes = 0;
  double hours = 0;                       ///< From the beginning to the end.
  uint64_t messages = 0;                  ///< Pieces of links that arrived: a message, or several that were sent at once.
  uint64_t steps = 0;                     ///< Messages that actors were given, and things that were due by time.
  std::map<std::string, uint64_t> faults; ///< By kind.
  uint64_t repairs = 0;                   ///< Shards that nodes brought to others.
  uint64_t handed_over = 0;               ///< Shards, by nodes that were drained.
  uint64_t packs_stored = 0;
  uint64_t packs_deleted = 0;
  uint64_t packs_read = 0; ///< Byte for byte.
  uint64_t checks = 0;
  bool owners_left = false; ///< Before all was whole.
  std::string trace;        ///< Of all that happened; equal for equal seeds.
  std::optional<std::string> failure;

  [[nodiscard]] uint64_t fault_count() const;
  /// It is as much as a seed has to be to count: 8 nodes, 10^5 messages, 20 faults of 5 kinds, 3 repairs.
  [[nodiscard]] bool counts() const;
  /// One line.
  [[nodiscard]] std::string text() const;
};

[[nodiscard]] mesh_run_outcome run_mesh(const mesh_run_options& options);

} // namespace datamesh::test
