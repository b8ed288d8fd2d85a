// A key file. The checksum at its end is stamped: it finds accidents, and would keep
// the fuzzer out. No password is tried: the file decides what Argon2id costs, and
// `inspect` checks that already.
#include "crypto/hash.hpp"
#include "crypto/key_file.hpp"
#include "fuzz.hpp"
#include "tests/libdatamesh/crypto/hex.hpp"
#include "tests/libdatamesh/crypto/key_file_fixture.hpp"

using namespace datamesh;

namespace {

void try_all(byte_view file) {
  static const auto device = test::unhex(test::key_file_v1_device);
  auto facts = crypto::key_file::inspect(file);
  auto by_device = crypto::key_file::open(file, {crypto::lock_kind::device, crypto::secret_bytes{device}});
  auto by_phrase =
      crypto::key_file::open(file, {crypto::lock_kind::recovery_phrase, crypto::secret_bytes{as_view(test::key_file_v1_phrase)}});
  for (const auto* opened : {&by_device, &by_phrase}) {
    if (!*opened)
      continue;
    fuzz::require(facts.has_value(), "what opens can be inspected");
    fuzz::require(facts->vault == (*opened)->keys().vault, "it opens as the vault that it names");
    fuzz::require(crypto::is_consistent((*opened)->keys()), "its keyring is consistent");
  }
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto raw = fuzz::view(data, size);
  try_all(raw);
  std::vector<std::byte> stamped(raw.begin(), raw.end());
  if (stamped.size() < digest::size)
    return 0;
  auto sum = crypto::blake3(byte_view{stamped}.first(stamped.size() - digest::size));
  std::ranges::copy(sum.view(), stamped.end() - digest::size);
  try_all(stamped);
  return 0;
}
