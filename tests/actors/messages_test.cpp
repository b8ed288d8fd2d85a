#include "messages.hpp"

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <catch2/catch.hpp>

using namespace datamesh;

namespace {

struct system_room {
  caf::actor_system_config config;
  std::unique_ptr<caf::actor_system> sys;

  system_room() {
    config.add_message_types<caf::id_block::datamesh>();
    sys = std::make_unique<caf::actor_system>(config);
  }

  /// There and back as a message of any type, as CAF would send it.
  template <class T>
  T round_trip(const T& what) {
    auto sent = caf::make_message(what);
    std::vector<char> buffer;
    caf::binary_serializer to{*sys, buffer};
    REQUIRE(!to(sent));
    caf::message received;
    caf::binary_deserializer from{*sys, buffer};
    REQUIRE(!from(received));
    REQUIRE(received.match_elements<T>());
    return received.get_as<T>(0);
  }

  template <class... Messages>
  void check_all() {
    (check(Messages{}), ...);
  }
  template <class Message>
  void check(const Message& what) {
    CAPTURE(what.GetTypeName());
    CHECK(round_trip(what).SerializeAsString() == what.SerializeAsString());
  }
};

void check_equal(const error& a, const error& b) {
  CHECK(a.code() == b.code());
  CHECK(a.attempted() == b.attempted());
  CHECK(a.object() == b.object());
  REQUIRE((a.cause() == nullptr) == (b.cause() == nullptr));
  if (a.cause() != nullptr)
    check_equal(*a.cause(), *b.cause());
}

} // namespace

TEST_CASE("an error comes through CAF with all of its causes", "[messages]") {
  for (const auto& reason :
       {error{errc::drive_full}, error{errc::io_failed, "read shard", "/mnt/a b\n"},
        error{errc::io_failed, "read", "x"}.as(errc::shard_damaged, "check shard", "0123").within("read pack").as(errc::damaged, "get")}) {
    CAPTURE(reason.message());
    auto there = from_caf(to_caf(reason));
    check_equal(there, reason);
    CHECK(there.message() == reason.message());
    check_equal(from_caf(to_caf(there)), reason);
  }
}

TEST_CASE("a path with any byte comes through in an error", "[messages]") {
  for (const auto& object : {std::string{"a\x1e"
                                         "b"},
                             std::string{"\x1f\x1f"}, std::string{"\0\xff", 2}}) {
    error reason = error{errc::not_found, "open", object}.within("put", object);
    check_equal(from_caf(to_caf(reason)), reason);
  }
}

TEST_CASE("CAF's own errors become ours", "[messages]") {
  CHECK(from_caf(caf::make_error(caf::sec::request_timeout)).code() == errc::timed_out);
  CHECK(from_caf(caf::make_error(caf::sec::request_receiver_down)).code() == errc::unavailable);
  CHECK(from_caf(caf::make_error(caf::exit_reason::user_shutdown)).code() == errc::unavailable);
}

TEST_CASE("every message has a type id and comes through serialization", "[messages]") {
  using namespace v1;
  system_room room;
  room.check_all<ApplyOperations, CheckShard, CloseIntake, CommitCatalog, CopyChunks, CopyOperations, Done, DriveQuery, DriveUsage,
                 FinishPack, FinishedPack, FinishTargets, FlushPacks, OpenChunks, OpenIntake, OpenStretch, OpenTarget, PackFigures,
                 PullSource, ReadBlocks, ReadStretch, RebuildShards, RemoveShards, SealChunks, SealedChunks, SetDriveState, SourceBatch,
                 StampOperations, StampedOperations, StoreShards, StretchRead, SubmitOperations, TargetOpened, TargetWritten,
                 WriteTarget>();
  StampedOperations stamped;
  stamped.set_device(std::string("\0\x01\xff", 3));
  stamped.set_first_sequence(UINT64_MAX);
  stamped.add_operations("one");
  stamped.add_operations("");
  room.check(stamped);
  SealChunks seal;
  seal.set_job(7);
  seal.set_dry_run(true);
  room.check(seal);
}
