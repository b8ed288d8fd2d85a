// What other nodes say about shards that one keeps for others, what owners and nodes sign about
// them, and the file of grants. The first byte tells which.
#include "fuzz.hpp"
#include "network/grants.hpp"
#include "network/remote_shard.hpp"
#include "network/shard_intake.hpp"
#include "tests/libdatamesh/storage/pack_maker.hpp"

using namespace datamesh;
using namespace datamesh::network;

namespace {

const auto mesh = network_id::from(as_view("a mesh for tests of guest shards"));
constexpr storage::geometry shape{2, 1, 3 * storage::block_size + 4096};

const std::vector<storage::shard_write>& pack() {
  static const auto made = [] {
    test::seeded_random random{1};
    return test::make_pack(random, shape);
  }();
  return made;
}

result<crypto::signature> no_signature(byte_view) {
  return crypto::signature{};
}

/// What was read, without its signature, is what is written again.
template <class Word>
void write_again(const Word& read, byte_view data) {
  fuzz::require(std::ranges::equal(read.raw.view(), data), "a word is kept as it came");
  auto again = sign(mesh, read, no_signature);
  // An expiry of 1970 is read, and signed by nobody.
  if (again)
    fuzz::require(std::ranges::equal(again->raw.view().first(data.size() - 64), data.first(data.size() - 64)),
                  "a word is written as it was read");
}

void read_words(byte_view data) {
  if (auto read = read_ticket(data))
    write_again(*read, data);
  if (auto read = read_deletion(data))
    write_again(*read, data);
  if (auto read = read_permit(data))
    write_again(*read, data);
  if (auto read = read_roster(data))
    write_again(*read, data);
  if (auto read = open_ticket(mesh, data))
    fuzz::require(read_ticket(data).has_value(), "what is opened can be read");
  (void) open_deletion(mesh, data);
  (void) open_permit(mesh, data);
  if (auto read = open_roster(mesh, data))
    fuzz::require(std::ranges::is_sorted(read->nodes), "a roster names its nodes in order");
  if (auto read = open_receipt(mesh, data))
    write_again(*read, data);
  if (auto read = open_removal(mesh, data))
    write_again(*read, data);
}

void read_request(byte_view data) {
  auto what = decode_shard_request(data);
  if (!what)
    return;
  auto again = decode_shard_request(as_view(encode(*what)));
  fuzz::require(again && again->index() == what->index() && encode(*again) == encode(*what), "a request is read as it was written");
  auto begin = std::get_if<begin_upload>(&*what);
  if (begin == nullptr)
    return;
  auto by = read_ticket(begin->ticket);
  auto header = storage::parse_shard_header(begin->header);
  if (!by || !header || !check_header(*by, *header))
    return;
  shard_intake intake;
  fuzz::require(intake.begin({}, begin->upload, *by, *header, {}).has_value(), "a shard that fits its ticket may come in");
  fuzz::require(!intake.finish({}, begin->upload, {}), "nothing of it came yet");
}

void read_answer(byte_view data) {
  auto what = decode_shard_answer(data);
  if (!what)
    return;
  auto again = decode_shard_answer(as_view(encode(*what)));
  fuzz::require(again && again->index() == what->index() && encode(*again) == encode(*what), "an answer is read as it was written");
  const auto& shard = pack()[1];
  if (auto proof = std::get_if<block_proof>(&*what)) {
    auto block = shard.body.slice(0, storage::block_size);
    (void) check_proof(test::key_of(shard), shape.shard_length, 0, block, *proof);
    fuzz::require(!check_proof(test::key_of(shard), shape.shard_length, 0, pack()[0].body.slice(0, storage::block_size), *proof),
                  "another block is not proved");
  }
  if (auto found = std::get_if<header_found>(&*what)) {
    ticket by;
    by.shard = test::key_of(shard);
    by.size = shape.shard_length;
    if (auto header = check_header_from(found->header, by))
      fuzz::require(header->block_hashes == shard.header.block_hashes, "one shard has one header");
  }
  if (auto listed = std::get_if<shards_listed>(&*what))
    (void) check_listed(mesh, *listed, {}, {}, listed_at_once);
}

void read_grants(byte_view data) {
  if (auto read = parse_grants(as_text(data)))
    fuzz::require(parse_grants(encode_grants(*read)).value() == *read, "grants are read as they were written");
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  auto rest = fuzz::view(data, size).subspan(1);
  switch (data[0] % 4) {
  case 0:
    read_words(rest);
    break;
  case 1:
    read_request(rest);
    break;
  case 2:
    read_answer(rest);
    break;
  default:
    read_grants(rest);
  }
  return 0;
}
