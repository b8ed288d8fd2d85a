// Reads the parts of checkpoints out of packs, for a rebuild and for cleanup, which
// both trust only a checkpoint of which every part was read.
#pragma once

#include "storage/checkpoint.hpp"
#include "storage/job.hpp"
#include "storage/pack_reader_actor.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

class checkpoint_parts {
public:
  checkpoint_parts(caf::blocking_actor* self, const vault_context& context, const pack_reader_actor& reader, const job& running)
      : self_(self), context_(context), reader_(reader), job_(running) {}

  /// The encoded part, from whichever of its copies can be read.
  [[nodiscard]] result<std::string> read(const found_checkpoint& from, uint64_t part);

  /// What it covers, from whichever of its parts can be read.
  [[nodiscard]] result<checkpoint_header> header_of(const found_checkpoint& what);

  /// Reads all parts and holds them to each other.
  [[nodiscard]] result<good_checkpoint> verify(const found_checkpoint& what);

  struct outcome {
    std::vector<good_checkpoint> good;
    std::vector<broken_checkpoint> broken;
    bool newer = false; ///< There are some that only a later version reads.
  };
  /// Verifies each. Fails only when the job ends.
  [[nodiscard]] result<outcome> verify_all(const std::vector<found_checkpoint>& all);

private:
  [[nodiscard]] result<std::string> read_copy(const found_checkpoint& from, const pack_id& pack, const operations_entry& entry);

  caf::blocking_actor* self_;
  const vault_context& context_;
  const pack_reader_actor& reader_;
  const job& job_;
  crypto::aead cipher_;
};

} // namespace datamesh::storage
