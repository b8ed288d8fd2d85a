// A recovery phrase as it is typed.
#include "crypto/phrase.hpp"
#include "fuzz.hpp"

#include <algorithm>

using namespace datamesh;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto entropy = crypto::decode_phrase(fuzz::view(data, size));
  if (!entropy)
    return 0;
  auto spelled = crypto::encode_phrase(*entropy);
  auto again = crypto::decode_phrase(spelled.view());
  fuzz::require(again && std::ranges::equal(again->view(), entropy->view()), "a phrase spells what it was read as");
  return 0;
}
