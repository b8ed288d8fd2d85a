// A part of a checkpoint as it comes out of its envelope; parts that follow each other,
// each behind its length in three bytes.
#include "fuzz.hpp"
#include "storage/checkpoint.hpp"

using namespace datamesh;
using namespace datamesh::storage;

namespace {

void read_part(std::string_view encoded) {
  compressor packer;
  auto part = decode_checkpoint_part(encoded, packer);
  if (!part)
    return;
  fuzz::require(part->header.covers(part->header) && part->header.count_beyond(part->header) == 0, "it covers itself");
  auto again = decode_checkpoint_part(encode(*part, packer), packer);
  // What its writer compressed less well may exceed a limit now, and nothing else may.
  fuzz::require(again.has_value(), "what is decoded can be encoded");
  fuzz::require(again->rows == part->rows, "rows stay as they are");
  fuzz::require(again->header.covers(part->header) && part->header.covers(again->header), "the header stays");
  fuzz::require(again->trailer.has_value() == part->trailer.has_value(), "the trailer stays");
}

void read_parts(std::string_view all) {
  checkpoint_reader reader;
  while (all.size() >= 3) {
    auto byte = [&](size_t at) {
      return static_cast<size_t>(static_cast<unsigned char>(all[at]));
    };
    auto length = std::min(byte(0) | byte(1) << 8 | byte(2) << 16, all.size() - 3);
    auto was_whole = reader.whole();
    auto part = reader.next(all.substr(3, length));
    fuzz::require(!part || !was_whole, "nothing comes behind the last part");
    all.remove_prefix(3 + length);
  }
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto all = as_text(fuzz::view(data, size));
  if (all.empty())
    return 0;
  if (all.front() == 0)
    read_part(all.substr(1));
  else
    read_parts(all.substr(1));
  return 0;
}
