#include "storage/operation_batch.hpp"

#include "storage/envelope.hpp"
#include "storage/little_endian.hpp"

#include <limits>

namespace datamesh::storage {

namespace {

using namespace std::string_view_literals;

std::string_view domain_of(bool checkpoint) noexcept {
  return checkpoint ? "dm/checkpoint/1"sv : "dm/ops/1"sv;
}

constexpr size_t length_size = sizeof(uint32_t);
constexpr size_t sealed_max = pack_size_max - pack_header_size;

std::vector<std::byte> info_of(const operations_entry& entry) {
  auto domain = domain_of(entry.checkpoint);
  std::vector<std::byte> image(domain.size() + device_id::size);
  layout_writer{image}.put(domain).put(entry.device.view());
  return image;
}

std::vector<std::byte> aad_of(const vault_id& vault, const space_id& space, const operations_entry& entry) {
  auto domain = domain_of(entry.checkpoint);
  std::vector<std::byte> image(domain.size() + 1 + vault_id::size + space_id::size + 4 + device_id::size + 8 + 8);
  layout_writer writer{image};
  writer.put(domain).put(static_cast<uint8_t>(entry.suite)).put(vault.view()).put(space.view()).put(entry.epoch);
  writer.put(entry.device.view()).put(entry.first_sequence).put(entry.last_sequence);
  assert(writer.written() == image.size());
  return image;
}

result<std::pair<operations_entry, bytes>> seal(const vault_id& vault, const crypto::space_keys& space, operations_entry entry,
                                                std::span<const std::string> encoded, crypto::aead& cipher, random_source& random) {
  auto attempt = entry.checkpoint ? "seal a checkpoint" : "seal operations";
  if (encoded.empty() || entry.first_sequence > std::numeric_limits<uint64_t>::max() - (encoded.size() - 1))
    return fail(errc::invalid_argument, attempt);
  uint64_t size = seal_overhead;
  for (auto& operation : encoded)
    size += length_size + operation.size();
  if (size > sealed_max)
    return fail(errc::capacity_exceeded, attempt, std::to_string(size) + " bytes");
  auto key = space.epoch_keys.find(space.epoch);
  if (key == space.epoch_keys.end())
    return fail(errc::unknown_epoch, attempt, space.id.brief());
  entry.sealed_length = static_cast<uint32_t>(size);
  entry.epoch = space.epoch;
  entry.suite = crypto::preferred_suite();
  entry.last_sequence = entry.first_sequence + (encoded.size() - 1);
  std::vector<std::byte> sealed(size);
  auto plain = byte_span{sealed}.subspan(seal_prefix_size, size - seal_overhead);
  layout_writer writer{plain};
  for (auto& operation : encoded)
    writer.put(static_cast<uint32_t>(operation.size())).put(operation);
  auto outcome = seal_envelope(cipher, entry.suite, key->second, info_of(entry), aad_of(vault, space.id, entry), plain, random, sealed);
  if (!outcome)
    return fail(outcome.error().within(attempt, entry.device.brief()));
  return std::pair{entry, bytes::take(std::move(sealed))};
}

} // namespace

result<std::pair<operations_entry, bytes>> seal_operations(const vault_id& vault, const crypto::space_keys& space, const device_id& device,
                                                           uint64_t first_sequence, std::span<const std::string> encoded,
                                                           crypto::aead& cipher, random_source& random) {
  operations_entry entry;
  entry.device = device;
  entry.first_sequence = first_sequence;
  return seal(vault, space, entry, encoded, cipher, random);
}

result<std::pair<operations_entry, bytes>> seal_checkpoint(const vault_id& vault, const crypto::space_keys& space, const device_id& device,
                                                           uint64_t first_part, std::span<const std::string> parts, crypto::aead& cipher,
                                                           random_source& random) {
  operations_entry entry;
  entry.device = device;
  entry.first_sequence = first_part;
  entry.checkpoint = true;
  return seal(vault, space, entry, parts, cipher, random);
}

result<std::vector<std::string>> open_operations(const vault_id& vault, const space_id& space, const operations_entry& entry,
                                                 byte_view sealed, const crypto::keyring& keys, crypto::aead& cipher) {
  auto attempt = entry.checkpoint ? "open a checkpoint" : "open operations";
  auto damaged = [&](const char* what) {
    return fail(errc::format_damaged, attempt, what);
  };
  if (sealed.size() != entry.sealed_length || sealed.size() > sealed_max || entry.first_sequence > entry.last_sequence)
    return damaged("lengths");
  auto* found = keys.find(space);
  if (found == nullptr || !found->epoch_keys.contains(entry.epoch))
    return fail(errc::unknown_epoch, attempt, space.brief() + "/" + std::to_string(entry.epoch));
  std::vector<std::byte> plain(sealed.size() - std::min(sealed.size(), seal_overhead));
  auto opened =
      open_envelope(cipher, entry.suite, found->epoch_keys.at(entry.epoch), info_of(entry), aad_of(vault, space, entry), sealed, plain);
  if (!opened)
    return fail(opened.error().within(attempt, entry.device.brief()));
  // Each operation takes its length at least, so the count is bounded by the content.
  auto more = entry.last_sequence - entry.first_sequence;
  if (more >= plain.size() / length_size)
    return damaged("count");
  std::vector<std::string> operations;
  operations.reserve(more + 1);
  layout_reader reader{plain};
  while (reader.left() >= length_size) {
    auto length = reader.get<uint32_t>();
    if (length > reader.left())
      return damaged("an operation's length");
    operations.emplace_back(as_text(reader.take(length)));
  }
  if (reader.left() != 0 || operations.size() != more + 1)
    return damaged("count");
  return operations;
}

} // namespace datamesh::storage
