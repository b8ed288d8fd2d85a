// The CPU's share of the data path: naming, compressing, sealing, coding, hashing,
// and the way back. One worker a core, each on a thread of its own.
#pragma once

#include "crypto/keyring.hpp"
#include "messages.hpp"
#include "storage/chunk_claims.hpp"
#include "storage/open_pack.hpp"

#include "datamesh/base/environment.hpp"

#include <atomic>
#include <mutex>

namespace datamesh::storage {

/// The vault's keys as they are now; changes when an epoch begins.
class key_holder {
public:
  explicit key_holder(crypto::keyring keys) : keys_(std::make_shared<const crypto::keyring>(std::move(keys))) {}
  [[nodiscard]] std::shared_ptr<const crypto::keyring> get() const {
    std::lock_guard guard{mutex_};
    return keys_;
  }
  void set(crypto::keyring keys) {
    auto next = std::make_shared<const crypto::keyring>(std::move(keys));
    std::lock_guard guard{mutex_};
    keys_ = std::move(next);
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const crypto::keyring> keys_;
};

using codec_actor = caf::typed_actor<
    // Names the slices, looks them up, and seals the fresh ones into the pack. Answers
    // for as many as fit.
    caf::replies_to<v1::SealChunks, slices, pack_ref>::with<v1::SealedChunks>,
    // Copies chunks that are sealed already into the pack; answers how many fit by
    // the number of rows.
    caf::replies_to<v1::CopyChunks, slices, pack_ref>::with<v1::SealedChunks>,
    // Seals operations and table, computes parity, roots and pack id.
    caf::replies_to<v1::FinishPack, pack_ref>::with<v1::FinishedPack, slices>,
    // Opens chunks out of a stretch of a pack into the memory, one behind the other.
    caf::replies_to<v1::OpenChunks, bytes, memory>::with<v1::Done>,
    // Rebuilds the wanted shards' columns from k others'.
    caf::replies_to<v1::RebuildShards, slices, memories>::with<v1::Done>>;

/// What every worker of a vault shares.
struct codec_context {
  environment env;
  std::shared_ptr<key_holder> keys;
  std::shared_ptr<chunk_claims> claims;
  std::shared_ptr<buffer_pool> parity_pool; ///< Buffers for the parity of one pack.
  int compression_level = 1;
};

[[nodiscard]] codec_actor spawn_codec(caf::actor_system& sys, codec_context context);

/// The workers of a vault; whoever has least to do is asked next.
class codec_team {
public:
  codec_team(caf::actor_system& sys, const codec_context& context, size_t count);

  /// The worker with the fewest jobs under way. Call `finished` with the same
  /// number when it has answered.
  [[nodiscard]] std::pair<size_t, const codec_actor*> pick();
  void finished(size_t number);
  [[nodiscard]] size_t size() const noexcept {
    return workers_.size();
  }
  [[nodiscard]] const std::vector<codec_actor>& workers() const noexcept {
    return workers_;
  }

private:
  std::mutex mutex_;
  std::vector<codec_actor> workers_;
  std::vector<uint32_t> under_way_;
};

} // namespace datamesh::storage
