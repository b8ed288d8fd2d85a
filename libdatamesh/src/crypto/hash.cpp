#include "crypto/hash.hpp"

#include <blake3.h>

#include <new>

namespace datamesh::crypto {

namespace {

static_assert(digest::size == BLAKE3_OUT_LEN && key256::size == BLAKE3_KEY_LEN);

const uint8_t* raw(byte_view data) noexcept {
  return reinterpret_cast<const uint8_t*>(data.data());
}

digest finish(const blake3_hasher& state) {
  digest result;
  blake3_hasher_finalize(&state, reinterpret_cast<uint8_t*>(result.span().data()), digest::size);
  return result;
}

blake3_hasher& in(std::array<std::byte, 1920>& room) noexcept {
  static_assert(sizeof(blake3_hasher) <= sizeof(room) && alignof(blake3_hasher) <= 16);
  return *std::launder(reinterpret_cast<blake3_hasher*>(room.data()));
}

} // namespace

hasher::hasher() {
  blake3_hasher_init(new (state_.data()) blake3_hasher);
}

hasher::hasher(const key256& key) {
  blake3_hasher_init_keyed(new (state_.data()) blake3_hasher, raw(key.view()));
}

hasher::~hasher() {
  wipe(state_);
}

hasher& hasher::update(byte_view data) {
  blake3_hasher_update(&in(state_), data.data(), data.size());
  return *this;
}

hasher& hasher::update_u32(uint32_t value) {
  std::array<std::byte, 4> encoded;
  for (size_t i = 0; i < encoded.size(); ++i)
    encoded[i] = static_cast<std::byte>(value >> (8 * i));
  return update(encoded);
}

digest hasher::finish() const {
  return crypto::finish(*std::launder(reinterpret_cast<const blake3_hasher*>(state_.data())));
}

digest blake3(byte_view data) {
  blake3_hasher state;
  blake3_hasher_init(&state);
  blake3_hasher_update(&state, data.data(), data.size());
  return finish(state);
}

digest blake3_keyed(const key256& key, byte_view data) {
  return hasher{key}.update(data).finish();
}

} // namespace datamesh::crypto
