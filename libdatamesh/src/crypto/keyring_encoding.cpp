#include "crypto/keyring_encoding.hpp"

#include "crypto/parse_message.hpp"
#include "datamesh/v1/key_file.pb.h"

namespace datamesh::crypto {

namespace {

std::string text_of(byte_view data) {
  return std::string{as_text(data)};
}

tl::unexpected<error> damaged(std::string what) {
  return fail(errc::key_file_damaged, "read the keyring", std::move(what));
}

// Protobuf keeps fields in std::string, which wipes nothing.
class keyring_message {
public:
  keyring_message() = default;
  keyring_message(const keyring_message&) = delete;
  keyring_message& operator=(const keyring_message&) = delete;
  ~keyring_message() {
    wipe_text(*content.mutable_identity_seed());
    wipe_text(*content.mutable_catalog_key());
    for (auto& space : *content.mutable_spaces()) {
      wipe_text(*space.mutable_id_key());
      wipe_text(*space.mutable_chunker_key());
      for (auto& epoch : *space.mutable_epochs())
        wipe_text(*epoch.mutable_key());
    }
    for (auto& recovery : *content.mutable_recoveries())
      wipe_text(*recovery.mutable_secret());
  }

  v1::Keyring content;

private:
  static void wipe_text(std::string& text) noexcept {
    wipe(std::as_writable_bytes(std::span{text}));
  }
};

bool read_key(const std::string& field, key256& key) {
  if (field.size() != key256::size)
    return false;
  key = key256::from(as_view(field));
  return true;
}

bool read_space(const v1::SpaceKeys& row, space_keys& space) {
  if (row.id().size() != space_id::size || !read_key(row.id_key(), space.id_key) || !read_key(row.chunker_key(), space.chunker_key))
    return false;
  space.id = space_id::from(as_view(row.id()));
  space.name = row.name();
  space.epoch = row.epoch();
  for (const auto& epoch : row.epochs()) {
    key256 key;
    if (!read_key(epoch.key(), key) || !space.epoch_keys.emplace(epoch.number(), key).second)
      return false;
  }
  return true;
}

} // namespace

secret_bytes encode_keyring(const keyring& keys) {
  keyring_message message;
  message.content.set_identity_seed(text_of(keys.identity_seed.view()));
  message.content.set_catalog_key(text_of(keys.catalog_key.view()));
  for (const auto& space : keys.spaces) {
    auto& row = *message.content.add_spaces();
    row.set_id(text_of(space.id.view()));
    row.set_name(space.name);
    row.set_id_key(text_of(space.id_key.view()));
    row.set_chunker_key(text_of(space.chunker_key.view()));
    row.set_epoch(space.epoch);
    for (const auto& [number, key] : space.epoch_keys) {
      auto& epoch = *row.add_epochs();
      epoch.set_number(number);
      epoch.set_key(text_of(key.view()));
    }
  }
  for (const auto& recovery : keys.recoveries) {
    auto& row = *message.content.add_recoveries();
    row.set_lock(recovery.lock);
    row.set_secret(text_of(recovery.secret.view()));
    row.set_ended_ns(recovery.ended_ns);
  }
  secret_bytes plain{message.content.ByteSizeLong()};
  message.content.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(plain.span().data()));
  return plain;
}

result<keyring> decode_keyring(byte_view plain, const vault_id& vault, uint64_t revision) {
  keyring_message message;
  keyring keys;
  keys.vault = vault;
  keys.revision = revision;
  if (!parse_message(message.content, plain) || !read_key(message.content.identity_seed(), keys.identity_seed)
      || !read_key(message.content.catalog_key(), keys.catalog_key))
    return damaged("the keyring is garbled");
  for (const auto& row : message.content.spaces())
    if (!read_space(row, keys.spaces.emplace_back()))
      return damaged("a space of the keyring is garbled");
  for (const auto& row : message.content.recoveries()) {
    auto& recovery = keys.recoveries.emplace_back();
    recovery.lock = row.lock();
    recovery.ended_ns = row.ended_ns();
    if (!read_key(row.secret(), recovery.secret))
      return damaged("a recovery key is garbled");
  }
  if (!is_consistent(keys))
    return damaged("the keyring contradicts itself");
  return keys;
}

} // namespace datamesh::crypto
