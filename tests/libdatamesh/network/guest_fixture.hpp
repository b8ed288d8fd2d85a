// Owners, packs and a node's drives for the tests of what nodes keep for others.
#pragma once

#include "base/simple_store.hpp"
#include "network/guest_store.hpp"
#include "network/remote_shard.hpp"
#include "tests/libdatamesh/storage/pack_maker.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/simulated_files.hpp"

namespace datamesh::test {

inline const network::network_id guest_mesh = network::network_id::from(as_view("a mesh for tests of guest shards"));

/// Somebody with a key: an owner or a node.
struct signatory {
  explicit signatory(uint64_t number) {
    seeded_random chance{number};
    seed = crypto::key256::random(chance).value();
    key = crypto::ed25519_public(seed).value();
    owner = vault_id::from(byte_view{key});
  }

  [[nodiscard]] network::word_signer signer() const {
    return [this](byte_view message) {
      return crypto::ed25519_sign(seed, message);
    };
  }
  /// Signed as it stands.
  template <class Word>
  [[nodiscard]] Word sign(Word what, const network::network_id& mesh = guest_mesh) const {
    return network::sign(mesh, std::move(what), signer()).value();
  }
  [[nodiscard]] network::ticket ticket_for(const storage::shard_write& shard, uint64_t number, clock::wall_time expiry) const {
    return sign(network::ticket{owner, key_of(shard), shard.header.pack.shape.shard_length, number, expiry, {}});
  }
  [[nodiscard]] network::deletion deletion_of(const pack_id& pack, uint64_t number, clock::wall_time made) const {
    return sign(network::deletion{owner, pack, number, made, {}});
  }

  crypto::key256 seed;
  crypto::public_key key{};
  vault_id owner;
};

inline network::guest_write guest_of(const storage::shard_write& shard, const network::ticket& by) {
  return {by, shard.header, shard.body};
}

/// Drives in memory with the folders of guests on them.
class guest_house {
public:
  explicit guest_house(size_t drives = 1, uint64_t number = 1) : disk(std::make_shared<simulated_files>()) {
    take(number);
    for (size_t i = 0; i < drives; ++i) {
      options.folders.push_back(network::guests_folder("/drive" + std::to_string(i)));
      if (auto made = network::guest_store::format(env, options.folders.back()); !made)
        std::abort();
    }
    disk->sync_all();
    options.reserve_bytes = 0;
    options.reserve_ratio = 0;
  }
  guest_house(const simulated_files::image& from, network::guest_store_options with, uint64_t number)
      : disk(std::make_shared<simulated_files>(from)), options(std::move(with)) {
    take(number);
  }

  [[nodiscard]] result<void> open() {
    guests.reset();
    return network::guest_store::open(env, options).map([&](auto opened) { guests = std::move(opened); });
  }
  [[nodiscard]] clock::wall_time now() const {
    return time->wall();
  }
  [[nodiscard]] clock::wall_time later() const {
    return now() + std::chrono::hours{24 * 30};
  }

  std::shared_ptr<simulated_files> disk;
  std::shared_ptr<manual_clock> time = std::make_shared<manual_clock>();
  environment env;
  network::guest_store_options options;
  std::shared_ptr<network::guest_store> guests;

private:
  void take(uint64_t number) {
    env.clock = time;
    env.random = std::make_shared<seeded_random>(number);
    env.files = disk;
    env.stores = simple_stores(disk, env.random);
  }
};

template <class T>
errc refusal(const result<T>& outcome) {
  return outcome ? errc{} : outcome.error().code();
}

/// Shards that lie in the index, and shards that are files, of more than one block.
inline constexpr storage::geometry small_guest{2, 1, 320};
inline constexpr storage::geometry large_guest{2, 1, 3 * storage::block_size + 4096};

} // namespace datamesh::test
