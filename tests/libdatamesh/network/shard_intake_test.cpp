#include "network/shard_intake.hpp"

#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;
using namespace std::string_view_literals;
using storage::block_size;

namespace {

const auto alice = peer_id::from(as_view("a node that sends shards in here."sv.substr(0, 32)));
const auto bob = peer_id::from(as_view("another one that does the same.."));

struct intake_test {
  seeded_random random{seed()};
  signatory owner{1};
  std::vector<storage::shard_write> pack = make_pack(random, large_guest);
  manual_clock time;
  intake_limits limits;
  shard_intake intake{limits};

  [[nodiscard]] ticket by(size_t index, uint64_t number = 1) const {
    return owner.ticket_for(pack[index], number, time.wall() + 24h);
  }
  result<void> begin(const peer_id& from, uint64_t upload, size_t index) {
    return intake.begin(from, upload, by(index), pack[index].header, time.monotonic());
  }
  result<void> take(const peer_id& from, uint64_t upload, uint32_t first, byte_view blocks) {
    return intake.take(from, upload, first, blocks, time.monotonic());
  }
  result<guest_write> finish(const peer_id& from, uint64_t upload) {
    return intake.finish(from, upload, time.monotonic());
  }
  [[nodiscard]] bytes blocks(size_t index, uint32_t first, uint32_t count) const {
    return pack[index].body.slice(size_t{first} * block_size, size_t{count} * block_size);
  }
};

} // namespace

TEST_CASE("a shard comes in whatever order and however often its blocks come", "[shard_intake]") {
  intake_test test;
  REQUIRE(test.begin(alice, 1, 0));
  CHECK(refusal(test.finish(alice, 1)) == errc::range_invalid);
  REQUIRE(test.take(alice, 1, 2, test.blocks(0, 2, 2)));
  REQUIRE(test.take(alice, 1, 0, test.blocks(0, 0, 1)));
  REQUIRE(test.take(alice, 1, 2, test.blocks(0, 2, 1)));
  REQUIRE(test.begin(alice, 1, 0));
  CHECK(refusal(test.finish(alice, 1)) == errc::range_invalid);
  REQUIRE(test.take(alice, 1, 0, test.blocks(0, 0, 3)));
  auto whole = test.finish(alice, 1);
  REQUIRE(whole);
  CHECK(std::ranges::equal(whole->body.view(), test.pack[0].body.view()));
  CHECK(refusal(test.finish(alice, 1)) == errc::unavailable);
  CHECK(refusal(test.take(alice, 1, 0, test.blocks(0, 0, 1))) == errc::unavailable);
  CHECK(test.intake.reserved(test.owner.owner) == charge_of(large_guest));
  test.intake.done(alice, 1);
  CHECK(test.intake.empty());
  CHECK(test.intake.bytes_held() == 0);
  CHECK(test.intake.reserved(test.owner.owner) == 0);
}

TEST_CASE("blocks that are wrong, of another shard, too many or too short are not taken", "[shard_intake]") {
  intake_test test;
  REQUIRE(test.begin(alice, 1, 0));
  CHECK(refusal(test.take(alice, 1, 0, test.blocks(1, 0, 1))) == errc::shard_damaged);
  CHECK(refusal(test.take(alice, 1, 1, test.blocks(0, 0, 1))) == errc::shard_damaged);
  std::vector<std::byte> flipped{test.blocks(0, 0, 2).view().begin(), test.blocks(0, 0, 2).view().end()};
  flipped.back() ^= std::byte{1};
  CHECK(refusal(test.take(alice, 1, 0, flipped)) == errc::shard_damaged);
  CHECK(refusal(test.take(alice, 1, 0, test.blocks(0, 0, 1).slice(0, 100))) == errc::shard_damaged);
  CHECK(refusal(test.take(alice, 1, 3, test.blocks(0, 3, 1).slice(0, 4095))) == errc::shard_damaged);
  CHECK(refusal(test.take(alice, 1, 0, {})) == errc::range_invalid);
  CHECK(refusal(test.take(alice, 1, 4, test.blocks(0, 0, 1))) == errc::range_invalid);
  CHECK(refusal(test.take(alice, 1, UINT32_MAX, test.blocks(0, 0, 1))) == errc::range_invalid);
  CHECK(refusal(test.take(alice, 1, 3, test.blocks(0, 0, 1))) == errc::range_invalid);
  CHECK(refusal(test.take(alice, 2, 0, test.blocks(0, 0, 1))) == errc::not_found);
  CHECK(refusal(test.take(bob, 1, 0, test.blocks(0, 0, 1))) == errc::not_found);
  // Not even the good block before the bad one counts.
  REQUIRE(test.take(alice, 1, 1, test.blocks(0, 1, 3)));
  CHECK(refusal(test.finish(alice, 1)) == errc::range_invalid);
}

TEST_CASE("uploads have their maxima, in all and of one peer", "[shard_intake]") {
  intake_test test;
  test.limits.bytes_max = 3 * large_guest.shard_length;
  test.limits.peer_bytes_max = 2 * large_guest.shard_length;
  test.intake = shard_intake{test.limits};
  REQUIRE(test.begin(alice, 1, 0));
  REQUIRE(test.begin(alice, 2, 1));
  CHECK(refusal(test.begin(alice, 3, 2)) == errc::capacity_exceeded);
  // The same number for something else.
  CHECK(refusal(test.begin(alice, 2, 2)) == errc::conflict);
  REQUIRE(test.begin(bob, 1, 0));
  CHECK(refusal(test.begin(bob, 2, 1)) == errc::capacity_exceeded);
  test.intake.done(alice, 1);
  CHECK(test.begin(bob, 2, 1));
  CHECK(test.intake.bytes_held() == 3 * large_guest.shard_length);

  test.limits = {};
  test.limits.peer_uploads_max = 2;
  test.intake = shard_intake{test.limits};
  REQUIRE(test.begin(alice, 1, 0));
  REQUIRE(test.begin(alice, 2, 1));
  CHECK(refusal(test.begin(alice, 3, 2)) == errc::capacity_exceeded);
  test.limits.uploads_max = 3;
  test.intake = shard_intake{test.limits};
  REQUIRE(test.begin(alice, 1, 0));
  REQUIRE(test.begin(alice, 2, 1));
  REQUIRE(test.begin(bob, 1, 0));
  CHECK(refusal(test.begin(bob, 2, 1)) == errc::capacity_exceeded);
}

TEST_CASE("an upload of which nothing comes any more is dropped, and gives back what it held", "[shard_intake]") {
  intake_test test;
  REQUIRE(test.begin(alice, 1, 0));
  REQUIRE(test.begin(bob, 1, 1));
  test.time.advance(40s);
  REQUIRE(test.take(alice, 1, 0, test.blocks(0, 0, 1)));
  test.time.advance(30s);
  test.intake.expire(test.time.monotonic());
  CHECK(test.intake.has(alice, 1));
  CHECK_FALSE(test.intake.has(bob, 1));
  CHECK(test.intake.bytes_held() == large_guest.shard_length);
  // What is being stored stays, however long that takes.
  REQUIRE(test.take(alice, 1, 0, test.blocks(0, 0, 4)));
  REQUIRE(test.finish(alice, 1));
  test.time.advance(1h);
  test.intake.expire(test.time.monotonic());
  CHECK(test.intake.has(alice, 1));
}

TEST_CASE("a block is proved by its path, and nothing else passes for it", "[shard_message]") {
  intake_test test;
  const auto& shard = test.pack[2];
  auto key = key_of(shard);
  for (uint32_t number = 0; number < large_guest.block_count(); ++number) {
    auto proof = prove(shard.header, number);
    auto block = test.blocks(2, number, 1);
    CHECK(check_proof(key, large_guest.shard_length, number, block, proof));
    auto code = [&](const shard_key& of, uint32_t length, uint32_t at, byte_view content, const block_proof& by) {
      return refusal(check_proof(of, length, at, content, by));
    };
    auto lies = errc::peer_lies;
    CHECK(code(key, large_guest.shard_length, number, test.blocks(1, number, 1), proof) == lies);
    CHECK(code(key, large_guest.shard_length, (number + 1) % 4, block, proof) == lies);
    CHECK(code({key.pack, 1}, large_guest.shard_length, number, block, proof) == lies);
    CHECK(code({pack_id{}, 2}, large_guest.shard_length, number, block, proof) == lies);
    CHECK(code(key, large_guest.shard_length, number, block.slice(1), proof) == lies);
    CHECK(code(key, large_guest.shard_length + 64, number, block, proof) == lies);
    auto other = proof;
    other.roots[2] = other.roots[1];
    CHECK(code(key, large_guest.shard_length, number, block, other) == lies);
    other = proof;
    other.path.pop_back();
    CHECK(code(key, large_guest.shard_length, number, block, other) == lies);
    other = proof;
    other.path.push_back({});
    CHECK(code(key, large_guest.shard_length, number, block, other) == lies);
  }
}

TEST_CASE("requests and answers are read as they were written, and refused with a field that must not be", "[shard_message]") {
  intake_test test;
  auto by = test.by(0);
  std::vector<shard_request> requests{
      begin_upload{7, by.raw, encode_shard_header(test.pack[0].header, true)},
      upload_blocks{7, 3},
      end_upload{7},
      find_header{by.raw},
      find_blocks{by.raw, 1, blocks_at_once},
      prove_block{by.raw, 2},
      delete_pack{test.owner.deletion_of(by.shard.pack, 1, test.time.wall()).raw},
      list_shards{test.owner.sign(permit{test.owner.owner, alice, bob, test.time.wall() + 1h, {}}).raw, by.shard, listed_at_once},
      find_room{test.owner.sign(permit{test.owner.owner, alice, bob, test.time.wall() + 1h, {}}).raw},
      compare_shards{test.owner.owner, 5, 16, std::vector<digest>(ranges_at_once)}};
  for (const auto& one : requests) {
    auto text = encode(one);
    auto read = decode_shard_request(as_view(text));
    REQUIRE(read);
    CHECK(read->index() == one.index());
    CHECK(encode(*read) == text);
    CHECK(refusal(decode_shard_request(as_view(text + "\x07"))) == errc::protocol_violated);
  }
  auto code = [](const shard_request& what) {
    return refusal(decode_shard_request(as_view(encode(what))));
  };
  CHECK(code(find_header{by.raw.slice(1)}) == errc::protocol_violated);
  CHECK(code(find_blocks{by.raw, 0, 0}) == errc::protocol_violated);
  CHECK(code(find_blocks{by.raw, 0, blocks_at_once + 1}) == errc::protocol_violated);
  CHECK(code(begin_upload{1, by.raw, bytes::take(std::vector<std::byte>((16 << 10) + 1))}) == errc::protocol_violated);
  CHECK(code(delete_pack{by.raw}) == errc::protocol_violated);
  CHECK(code(find_room{by.raw}) == errc::protocol_violated);
  CHECK(refusal(decode_shard_request({})) == errc::protocol_violated);
  CHECK(code(compare_shards{test.owner.owner, 5, 17, std::vector<digest>(ranges_at_once)}) == errc::protocol_violated);
  CHECK(code(compare_shards{test.owner.owner, 5, 32, std::vector<digest>(1)}) == errc::protocol_violated);
  CHECK(code(compare_shards{test.owner.owner, 5, 0, std::vector<digest>(ranges_at_once + 1)}) == errc::protocol_violated);
  CHECK(code(compare_shards{test.owner.owner, 5, 0, {}}) == errc::protocol_violated);
  CHECK(code(compare_shards{test.owner.owner, range_bits_max + 1, 0, std::vector<digest>(1)}) == errc::protocol_violated);

  std::vector<shard_answer> answers{upload_begun{},
                                    blocks_taken{},
                                    header_found{bytes::copy_of("h")},
                                    blocks_found{},
                                    prove(test.pack[0].header, 0),
                                    shards_listed{std::vector(listed_at_once, by.raw), true},
                                    room_found{uint64_t{1} << 50, 17},
                                    shards_compared{{true, false, true}}};
  for (const auto& one : answers) {
    auto text = encode(one);
    auto read = decode_shard_answer(as_view(text));
    REQUIRE(read);
    CHECK(read->index() == one.index());
    CHECK(encode(*read) == text);
  }
  CHECK(refusal(decode_shard_answer(as_view(encode(shard_answer{shard_kept{by.raw}})))) == errc::protocol_violated);
  CHECK(refusal(decode_shard_answer(as_view(encode(shard_answer{shards_compared{}})))) == errc::protocol_violated);
  CHECK(refusal(decode_shard_answer(as_view(encode(shard_answer{shards_compared{std::vector<bool>(ranges_at_once + 1)}}))))
        == errc::protocol_violated);
  CHECK(refusal(decode_shard_answer(as_view(encode(shard_answer{shards_listed{std::vector(listed_at_once + 1, by.raw), true}}))))
        == errc::protocol_violated);
}
