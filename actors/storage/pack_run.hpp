// What the packer has under way: batches of chunks, operations, and packs from
// their first chunk to their commit.
#pragma once

#include "storage/codec_actor.hpp"
#include "storage/kept_promise.hpp"
#include "storage/stage_watch.hpp"

#include <map>
#include <set>

namespace datamesh::storage {

using seal_promise = kept_promise<v1::SealedChunks>;
using done_promise = kept_promise<v1::Done>;
using figures_promise = kept_promise<v1::PackFigures>;

/// A batch of chunks on its way into packs.
struct intake_batch {
  std::variant<v1::SealChunks, v1::CopyChunks> request;
  slices data;
  std::variant<seal_promise, done_promise> promise;
  v1::SealedChunks reply;
  uint64_t job = 0;
};

/// With the reply, unless there is a reason why not.
void answer(intake_batch& batch, const caf::error& reason);

struct submission {
  uint64_t job = 0;
  std::vector<std::string> bodies;
  std::vector<v1::SealedOperations> copied;
  uint32_t size = 0;
  uint64_t after_serial = 0; ///< Its chunks are in packs up to this one.
  figures_promise promise;
};

struct flush_wait {
  uint64_t job = 0;
  figures_promise promise;
};

struct pack_run {
  /// `ready`: full; `coding`: takes operations and is coded; `coded`: waits for those
  /// before it; `storing`: shards are on their way; `stored`: the catalog is told.
  enum class stage : uint8_t { filling, ready, coding, coded, storing, stored };
  uint64_t serial = 0;
  std::shared_ptr<open_pack> pack; ///< Its buffer; gone once it is stored.
  stage at = stage::filling;
  bool carries = false; ///< Operations.
  bool upkeep = true;   ///< Holds nothing that a put brought.
  bool pending = false; ///< Operations that were in the catalog alone.
  bool stamped = false; ///< Some of them, and the catalog has not been told to commit.
  bool closing = false;
  bool asks_catalog = false; ///< For stamps; else what is coded is at a worker.
  std::optional<error> dead; ///< Why.
  size_t jobs = 0;           ///< Workers that fill it.
  std::vector<submission> submissions;
  std::vector<flush_wait> flushes;
  v1::FinishPack finish;
  v1::FinishedPack finished;
  slices bodies;
  pack_record record;
  std::vector<bool> stored;   ///< By shard index.
  std::set<drive_id> refused; ///< Drives that failed this pack.
  bool full = false;          ///< One of them for want of room.
  std::set<drive_id> closed;  ///< Those of them whose file system is read-only.
  std::set<drive_id> answers_due;
  std::map<drive_id, std::set<uint8_t>> asked; ///< Shards that a drive may have, whatever it answered.
  size_t removals_due = 0;
};

/// For what *run* waits, with the drive when it is one alone; for nothing of its own
/// while it is filled, or waits for those before it.
[[nodiscard]] stage_wait stage_of(const pack_run& run);

using run_ptr = std::shared_ptr<pack_run>;

} // namespace datamesh::storage
