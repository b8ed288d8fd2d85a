// An operation as it comes out of a batch.
#include "fuzz.hpp"
#include "storage/operation.hpp"

using namespace datamesh;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto encoded = as_text(fuzz::view(data, size));
  auto decoded = storage::decode_operation(encoded);
  if (!decoded)
    return 0;
  fuzz::require(storage::validate(*decoded).has_value(), "what is decoded is within bounds");
  fuzz::require(storage::encode(*decoded) == encoded, "there is one encoding");
  return 0;
}
