#include "network/audit_record.hpp"

#include "tests/libdatamesh/network/guest_fixture.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

const clock::wall_time start{std::chrono::seconds{1'800'000'000}};

challenge ask_for(uint8_t pack, uint32_t block = 0) {
  pack_id id;
  id.span()[0] = std::byte{pack};
  return {{id, 1}, block};
}

audit_record after(std::initializer_list<audit_outcome> outcomes) {
  audit_record record;
  uint8_t pack = 0;
  for (auto outcome : outcomes)
    record.note(ask_for(pack++), outcome, start);
  return record;
}

using enum audit_outcome;

} // namespace

TEST_CASE("a node that never failed has the best score, and each loss counts for less the longer it is ago", "[audits]") {
  auto record = after({passed, passed});
  CHECK(record.score() == 1);
  record.note(ask_for(9), lost, start);
  auto fresh = record.score();
  CHECK(fresh < 1);
  CHECK(fresh > 0.9);
  for (uint8_t i = 0; i < 100; ++i)
    record.note(ask_for(i), passed, start);
  CHECK(record.score() > fresh);
  CHECK_FALSE(record.lies());
}

TEST_CASE("a node that lost all that it had has a bad score, and can make up for it", "[audits]") {
  audit_record record;
  for (uint8_t i = 0; i < 200; ++i)
    record.note(ask_for(i), lost, start);
  CHECK(record.score() < 0.1);
  CHECK_FALSE(record.lies());
  for (int round = 0; round < 6; ++round)
    for (uint8_t i = 0; i < 200; ++i)
      record.note(ask_for(i), passed, start);
  CHECK(record.score() > 0.99);
}

TEST_CASE("a node that does not answer is asked for the same block, and has lost it the third time", "[audits]") {
  audit_record record;
  auto what = record.next(ask_for(1).shard, 7);
  CHECK(what.block == 7);
  CHECK(record.note(what, unanswered, start) == unanswered);
  CHECK(record.next(what.shard, 3) == what);
  CHECK(record.next(ask_for(2).shard, 3).block == 3);
  CHECK(record.note(what, unanswered, start) == unanswered);
  CHECK(record.score() == 1);
  CHECK(record.note(what, unanswered, start) == lost);
  CHECK(record.score() < 1);
  CHECK(record.next(what.shard, 3).block == 3);
}

TEST_CASE("an answer in between ends what a node owed", "[audits]") {
  audit_record record;
  auto what = ask_for(1, 7);
  for (int round = 0; round < 5; ++round) {
    CHECK(record.note(what, unanswered, start) == unanswered);
    CHECK(record.note(what, unanswered, start) == unanswered);
    CHECK(record.note(what, passed, start) == passed);
  }
  CHECK(record.score() == 1);
}

TEST_CASE("who gives two wrong answers to one question lies, and does for ever", "[audits]") {
  audit_record record;
  record.note(ask_for(1), wrong, start);
  CHECK_FALSE(record.lies());
  CHECK(record.next(ask_for(1).shard, 9) == ask_for(1));
  record.note(ask_for(1), wrong, start);
  CHECK(record.lies());
  for (uint8_t i = 0; i < 250; ++i)
    record.note(ask_for(i), passed, start + 24h * 365);
  CHECK(record.lies());
}

TEST_CASE("a wrong answer now and then is an accident, three in 90 days are none", "[audits]") {
  audit_record record;
  auto mistake = [&](uint8_t pack, clock::wall_time when) {
    record.note(ask_for(pack), wrong, when);
    record.note(ask_for(pack), passed, when);
  };
  mistake(1, start);
  mistake(2, start + 24h * 46);
  mistake(3, start + 24h * 92);
  CHECK_FALSE(record.lies());
  mistake(4, start + 24h * 130);
  CHECK(record.lies());
}

TEST_CASE("what moved the score is told, the latest first and no more than 64", "[audits]") {
  auto record = after({passed, lost, unanswered});
  auto told = record.report();
  CHECK(told.passed == 1);
  CHECK(told.lost == 1);
  CHECK(told.unanswered == 1);
  CHECK(told.wrong == 0);
  REQUIRE(told.events.size() == 2);
  CHECK(told.events[0].what == "unanswered");
  CHECK(told.events[1].what == "lost");
  CHECK(told.events[1].pack == ask_for(1).shard.pack);
  CHECK(told.events[1].score == record.score());
  CHECK(told.last_passed_ns == start.time_since_epoch().count());
  for (int i = 0; i < 100; ++i)
    record.note(ask_for(5), lost, start + std::chrono::seconds{i});
  told = record.report();
  CHECK(told.events.size() == audit_events_max);
  CHECK(told.events[0].when_ns > told.events[63].when_ns);
}

TEST_CASE("a record is read as it was written", "[audits]") {
  auto record = after({passed, lost, wrong, unanswered, passed});
  auto text = record.encode();
  auto back = audit_record::parse(text).value();
  CHECK(back.encode() == text);
  CHECK(back.next(ask_for(2).shard, 5) == ask_for(2));
  back.note(ask_for(2), wrong, start);
  CHECK(back.lies());
  CHECK(audit_record::parse(back.encode()).value().lies());
  CHECK(audit_record::parse(audit_record{}.encode()).value().encode() == audit_record{}.encode());
}

TEST_CASE("a record that is not as it is written is refused", "[audits]") {
  auto text = after({lost, unanswered}).encode();
  CHECK(refusal(audit_record::parse(text)) == errc{});
  for (size_t length = 0; length < text.size(); ++length) {
    // What ends with a line may be a record of less.
    auto part = text.substr(0, length);
    auto code = refusal(audit_record::parse(part));
    CAPTURE(part);
    CHECK((code == errc::format_damaged || (code == errc{} && part.ends_with('\n'))));
  }
  auto with = [&](std::string_view from, std::string_view to) {
    auto changed = text;
    auto at = changed.find(from);
    REQUIRE(at != std::string::npos);
    return refusal(audit_record::parse(changed.replace(at, from.size(), to)));
  };
  CHECK(with("audits 1", "audits 2") == errc::format_newer);
  CHECK(with("audits 1", "audits x") == errc::format_damaged);
  CHECK(with("weights ", "weights -") == errc::format_damaged);
  CHECK(with("weights ", "weights nan ") == errc::format_damaged);
  CHECK(with("weights ", "weights 1e9 ") == errc::format_damaged);
  CHECK(with("counts 0", "counts -1") == errc::format_damaged);
  CHECK(with("counts 0", "counts 00") == errc::format_damaged);
  CHECK(with("silent", "shouts") == errc::format_damaged);
  CHECK(with(" lost ", " gained ") == errc::format_damaged);
  CHECK(refusal(audit_record::parse(text + "more\n")) == errc::format_damaged);
  CHECK(refusal(audit_record::parse(text + "last 1 \n")) == errc::format_damaged);
}

TEST_CASE("who leaves thousands of questions unanswered makes no record without end", "[audits]") {
  audit_record record;
  for (uint32_t i = 0; i < 2 * challenges_open_max; ++i) {
    pack_id id;
    for (size_t byte = 0; byte < 4; ++byte)
      id.span()[byte] = static_cast<std::byte>(i >> (8 * byte));
    record.note({{id, 1}, 0}, unanswered, start);
  }
  CHECK(record.encode().size() < audit_file_max);
  CHECK(refusal(audit_record::parse(record.encode())) == errc{});
}
