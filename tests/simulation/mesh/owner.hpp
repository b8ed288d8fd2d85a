// An owner in a simulated mesh. He is modelled: the engine of a vault works on threads of its own and does not replay. What he
// signs and asks, and how, is what a vault does: packs that are erasure-coded, a ticket for each shard, one shard of a pack on a
// node, rosters, reads whose blocks are checked, deletions that are said again until each node has signed for them. The nodes
// that he asks, and those by which he asks, are not modelled.
//
// Thread rule: as the stage's.
#pragma once

#include "storage/erasure.hpp"
#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/simulation/mesh/ledger.hpp"

namespace datamesh::test {

struct owned_pack {
  std::vector<storage::shard_write> shards;
  std::vector<network::ticket> tickets;
  std::vector<std::optional<peer_id>> at; ///< Who signed for each.
  std::vector<bool> busy;
  std::vector<unsigned> failures; ///< To store each, since a node was chosen for it.
  std::vector<peer_id> meant;     ///< For each.
  bool acknowledged = false;      ///< All of it was stored.
  bool unwanted = false;
  std::optional<network::deletion> gone;
  std::optional<error> last_failure; ///< To store some of it, or to delete it.
  std::set<peer_id> awaited;         ///< Who has not signed that it is gone.
  bool read_well = false;            ///< In the last round of reads.
  bool reading = false;

  [[nodiscard]] const pack_id& id() const {
    return shards.front().header.pack.id;
  }
  [[nodiscard]] const storage::geometry& shape() const {
    return shards.front().header.pack.shape;
  }
};

struct owner_habits {
  size_t packs_max = 24;
  std::chrono::seconds acts_every{20};
  std::chrono::seconds patience{3600};
  storage::geometry shape{4, 2, 0};
};

class sim_owner {
public:
  /// @param place by which he asks; it is up as long as he is there
  sim_owner(sim_mesh& mesh, sim_place& place, uint64_t number, sim_ledger& ledger, std::vector<peer_id> nodes, const owner_habits& habits);
  ~sim_owner();
  sim_owner(const sim_owner&) = delete;
  sim_owner& operator=(const sim_owner&) = delete;

  /// Stores, reads and deletes from now on.
  void begin();
  /// Begins nothing new, but sees to it that all that he began is done.
  void rest();
  /// Is not there any more: nothing is asked or signed.
  void leave();
  /// Everything that he began is done.
  [[nodiscard]] bool is_at_rest() const {
    return !undone();
  }
  /// What is not.
  [[nodiscard]] std::optional<std::string> undone() const;
  /// Asks for every pack; when `reads_under_way` is 0, each has `read_well` or not.
  void read_all();

  [[nodiscard]] const vault_id& id() const {
    return key_.owner;
  }
  [[nodiscard]] const std::vector<std::unique_ptr<owned_pack>>& packs() const {
    return packs_;
  }

  uint64_t stored = 0; ///< Packs.
  uint64_t deleted = 0;
  uint64_t reads = 0; ///< Packs that came back byte for byte.
  uint64_t reads_failed = 0;
  size_t reads_under_way = 0;
  /// What must not be, once it was.
  std::optional<std::string> wrong;

private:
  struct reading;
  void act();
  void tend();
  void give_rosters();
  void make_pack();
  void store(owned_pack& pack, size_t index);
  void remove_some();
  void remove(owned_pack& pack, const peer_id& node);
  void read(owned_pack& pack);
  void read_next(const std::shared_ptr<reading>& of);
  void ask_block(const std::shared_ptr<reading>& of);
  void check_read(const reading& of);
  [[nodiscard]] peer_id choose(const owned_pack& pack);
  [[nodiscard]] clock::wall_time now() const {
    return place_.env().clock->wall();
  }
  template <class Request>
  [[nodiscard]] Request request_to(const peer_id& node) const;
  template <class Word>
  [[nodiscard]] Word sign(Word what) const {
    return network::sign(mesh_.id, std::move(what), key_.signer()).value();
  }

  sim_mesh& mesh_;
  sim_place& place_;
  signatory key_;
  sim_ledger& ledger_;
  std::vector<peer_id> nodes_;
  owner_habits habits_;
  seeded_random chance_;
  caf::actor asks_; ///< In whose name all is asked.
  caf::event_based_actor* self_ = nullptr;
  std::vector<network::peer_watch_actor> watches_;
  std::vector<std::unique_ptr<owned_pack>> packs_;
  uint64_t roster_number_ = 0;
  bool acts_ = false;
  bool there_ = true;
};

} // namespace datamesh::test
