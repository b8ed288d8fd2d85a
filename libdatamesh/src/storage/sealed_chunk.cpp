#include "storage/sealed_chunk.hpp"

#include "crypto/hash.hpp"
#include "storage/little_endian.hpp"

namespace datamesh::storage {

namespace {

using namespace std::string_view_literals;

constexpr auto domain = "dm/chunk/1"sv;

using info_image = std::array<std::byte, domain.size() + chunk_id::size>;
using aad_image = std::array<std::byte, domain.size() + 1 + vault_id::size + space_id::size + 4 + chunk_id::size + 1 + 4>;

info_image info_of(const chunk_id& id) {
  info_image image;
  layout_writer writer{image};
  writer.put(domain).put(id.view());
  assert(writer.written() == image.size());
  return image;
}

aad_image aad_of(const chunk_facts& facts) {
  aad_image image;
  layout_writer writer{image};
  writer.put(domain).put(static_cast<uint8_t>(facts.suite)).put(facts.vault.view()).put(facts.space.view()).put(facts.epoch);
  writer.put(facts.id.view()).put(static_cast<uint8_t>(facts.method)).put(facts.plain_length);
  assert(writer.written() == image.size());
  return image;
}

} // namespace

chunk_id chunk_id_of(const crypto::key256& id_key, byte_view plain) {
  return chunk_id::from(crypto::blake3_keyed(id_key, plain).view());
}

result<void> seal_chunk(crypto::aead& cipher, const crypto::key256& epoch_key, const chunk_facts& facts, byte_view payload,
                        random_source& random, byte_span out) {
  return seal_envelope(cipher, facts.suite, epoch_key, info_of(facts.id), aad_of(facts), payload, random, out)
      .map_error([&](const error& cause) { return cause.within("seal chunk", facts.id.brief()); });
}

result<void> open_chunk(crypto::aead& cipher, const crypto::key256& epoch_key, const chunk_facts& facts, byte_view sealed,
                        byte_span payload) {
  return open_envelope(cipher, facts.suite, epoch_key, info_of(facts.id), aad_of(facts), sealed, payload)
      .map_error([&](const error& cause) { return cause.within("open chunk", facts.id.brief()); });
}

} // namespace datamesh::storage
