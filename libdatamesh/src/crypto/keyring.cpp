#include "crypto/keyring.hpp"

#include "crypto/identity.hpp"

#include <algorithm>
#include <limits>
#include <set>

namespace datamesh::crypto {

namespace {

result<space_keys> make_space(std::string name, random_source& source) {
  space_keys space;
  space.name = std::move(name);
  for (auto part : {space.id.span(), space.id_key.span(), space.chunker_key.span()})
    if (auto filled = source.fill(part); !filled)
      return fail(filled.error());
  if (auto rotated = rotate(space, source); !rotated)
    return fail(rotated.error());
  return space;
}

} // namespace

const space_keys* keyring::find(const space_id& id) const noexcept {
  auto i = std::find_if(spaces.begin(), spaces.end(), [&](const space_keys& space) { return space.id == id; });
  return i == spaces.end() ? nullptr : &*i;
}

bool is_consistent(const keyring& keys) {
  auto identity = ed25519_public(keys.identity_seed);
  if (!identity || vault_id::from(*identity) != keys.vault)
    return false;
  std::set<space_id> seen;
  auto good = [&](const space_keys& space) {
    return seen.insert(space.id).second && space.name.size() <= space_name_size_max && space.epoch_keys.count(space.epoch) == 1
           && space.epoch_keys.begin()->first > 0;
  };
  std::set<uint32_t> locks;
  auto of_another = [&](const recovery_key& key) {
    return key.lock > 0 && locks.insert(key.lock).second;
  };
  if (keys.recoveries.size() > recovery_key_count_max || !std::all_of(keys.recoveries.begin(), keys.recoveries.end(), of_another))
    return false;
  return !keys.spaces.empty() && keys.spaces.size() <= space_count_max && std::all_of(keys.spaces.begin(), keys.spaces.end(), good);
}

result<keyring> make_keyring(random_source& source) {
  keyring keys;
  for (auto part : {keys.identity_seed.span(), keys.catalog_key.span()})
    if (auto filled = source.fill(part); !filled)
      return fail(filled.error().within("make a keyring"));
  auto identity = ed25519_public(keys.identity_seed);
  if (!identity)
    return fail(identity.error().within("make a keyring"));
  keys.vault = vault_id::from(*identity);
  auto space = make_space("main", source);
  if (!space)
    return fail(space.error().within("make a keyring"));
  keys.spaces.push_back(std::move(*space));
  return keys;
}

result<void> rotate(space_keys& space, random_source& source) {
  if (space.epoch == std::numeric_limits<uint32_t>::max())
    return fail(errc::capacity_exceeded, "rotate the keys of a space", space.id.brief());
  auto fresh = key256::random(source);
  if (!fresh)
    return fail(fresh.error().within("rotate the keys of a space", space.id.brief()));
  space.epoch_keys[++space.epoch] = *fresh;
  return {};
}

result<void> rotate(keyring& keys, const space_id& id, random_source& source) {
  for (auto& space : keys.spaces) {
    if (space.id != id)
      continue;
    if (auto rotated = rotate(space, source); !rotated)
      return rotated;
    ++keys.revision;
    return {};
  }
  return fail(errc::not_found, "rotate the keys of a space", id.brief());
}

} // namespace datamesh::crypto
