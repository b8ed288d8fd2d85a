// What nodes say to each other when one measures the line between them. The first byte tells which.
#include "fuzz.hpp"
#include "network/line_course.hpp"
#include "network/line_message.hpp"

using namespace datamesh;
using namespace datamesh::network;

namespace {

void read_request(byte_view data) {
  auto read = decode_line_request(data);
  if (!read)
    return;
  fuzz::require(read->want <= line_piece_max, "nobody asks for more than a link takes");
  auto again = decode_line_request(as_view(encode(*read)));
  fuzz::require(again && again->want == read->want, "a request is read as it was written");
}

void read_answer(byte_view data) {
  auto read = decode_line_answer(data);
  if (!read)
    return;
  fuzz::require(read->refilled_in >= std::chrono::milliseconds{0}, "nobody waits for what was");
  auto again = decode_line_answer(as_view(encode(*read)));
  fuzz::require(again && again->refused == read->refused && again->left == read->left && again->refilled_in == read->refilled_in
                    && again->limits == read->limits,
                "an answer is read as it was written");
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  auto rest = fuzz::view(data, size).subspan(1);
  if (data[0] % 2 == 0)
    read_request(rest);
  else
    read_answer(rest);
  return 0;
}
