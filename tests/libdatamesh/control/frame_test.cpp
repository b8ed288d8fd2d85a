#include "control/frame.hpp"

#include "base/little_endian.hpp"

#include <catch2/catch.hpp>

#include <cstring>

using namespace datamesh;
using namespace datamesh::control;

namespace {

std::vector<std::byte> encoded(frame_type type, side reader, std::string_view header, std::string_view body) {
  auto prefix = write_prefix(type, reader, header.size(), body.size());
  REQUIRE(prefix);
  std::vector<std::byte> all{prefix->begin(), prefix->end()};
  for (auto part : {header, body}) {
    auto view = as_view(part);
    all.insert(all.end(), view.begin(), view.end());
  }
  return all;
}

/// Feeds *data* in steps of at most *step* bytes; the frames, then the error if any.
struct fed {
  std::vector<frame> frames;
  std::optional<error> refused;
  bool at_boundary = false;
};

fed feed(side reader, byte_view data, size_t step) {
  fed seen;
  frame_reader in{reader};
  while (!data.empty()) {
    auto wanted = in.wanted();
    REQUIRE_FALSE(wanted.empty());
    auto count = std::min({wanted.size(), data.size(), step});
    std::copy_n(data.begin(), count, wanted.begin());
    data = data.subspan(count);
    auto whole = in.filled(count);
    if (!whole) {
      seen.refused = whole.error();
      return seen;
    }
    if (*whole)
      seen.frames.push_back(std::move(**whole));
  }
  seen.at_boundary = in.at_boundary();
  return seen;
}

std::vector<std::byte> raw_prefix(uint32_t length, uint8_t type, uint8_t flags, uint16_t version, uint32_t header) {
  std::vector<std::byte> raw(frame_prefix_size);
  byte_span out{raw};
  store_le(out, length);
  out[4] = static_cast<std::byte>(type);
  out[5] = static_cast<std::byte>(flags);
  store_le(out.subspan(6), version);
  store_le(out.subspan(8), header);
  return raw;
}

} // namespace

TEST_CASE("a frame comes back whole, however its bytes are split", "[control]") {
  auto step = GENERATE(size_t{1}, size_t{5}, size_t{12}, size_t{13}, size_t{4096});
  auto data = encoded(frame_type::request, side::daemon, "header", "the body");
  auto seen = feed(side::daemon, data, step);
  REQUIRE(seen.frames.size() == 1);
  CHECK(seen.frames[0].type == frame_type::request);
  CHECK(as_text(seen.frames[0].header()) == "header");
  CHECK(as_text(seen.frames[0].body()) == "the body");
  CHECK(seen.at_boundary);
}

TEST_CASE("frames follow each other without a gap, the same one twice, too", "[control]") {
  auto data = encoded(frame_type::cancel, side::daemon, "", "");
  auto other = encoded(frame_type::answer, side::daemon, "a", "");
  for (const auto& part : {data, other, other})
    data.insert(data.end(), part.begin(), part.end());
  auto seen = feed(side::daemon, data, 7);
  REQUIRE(seen.frames.size() == 4);
  CHECK(seen.frames[0].header().empty());
  CHECK(as_text(seen.frames[3].header()) == "a");
}

TEST_CASE("a truncated frame is no frame and leaves the reader amid it", "[control]") {
  auto data = encoded(frame_type::request, side::daemon, "header", "body");
  for (size_t length = 1; length < data.size(); ++length) {
    auto seen = feed(side::daemon, byte_view{data}.first(length), 4096);
    CAPTURE(length);
    CHECK(seen.frames.empty());
    CHECK_FALSE(seen.refused);
    CHECK_FALSE(seen.at_boundary);
  }
}

TEST_CASE("a frame beyond the caps of its type is refused by its prefix alone", "[control]") {
  auto caps = caps_of(frame_type::request, side::daemon);
  REQUIRE(caps);
  auto request = static_cast<uint8_t>(frame_type::request);
  auto refused = [&](uint32_t header, uint32_t body) {
    auto seen = feed(side::daemon, raw_prefix(8 + header + body, request, 0, 1, header), 4096);
    return seen.refused ? std::optional{seen.refused->code()} : std::nullopt;
  };
  CHECK_FALSE(refused(caps->header_max, caps->body_max));
  CHECK(refused(caps->header_max + 1, 0) == errc::capacity_exceeded);
  CHECK(refused(0, caps->body_max + 1) == errc::capacity_exceeded);
  CHECK(refused(0, 0xffffff00 - 8) == errc::capacity_exceeded);
  CHECK(write_prefix(frame_type::request, side::daemon, caps->header_max + 1, 0).error().code() == errc::capacity_exceeded);
}

TEST_CASE("a frame takes memory as its bytes arrive, and a long one comes back whole", "[control]") {
  frame_reader in{side::daemon};
  auto prefix = write_prefix(frame_type::answer, side::daemon, 16 << 20, 0);
  REQUIRE(prefix);
  std::copy(prefix->begin(), prefix->end(), in.wanted().begin());
  REQUIRE(in.filled(frame_prefix_size));
  CHECK(in.room() == 64 << 10);
  for (size_t came = 0; came < 1 << 20;) {
    auto wanted = in.wanted();
    came += wanted.size();
    REQUIRE(in.filled(wanted.size()));
    CHECK(in.wanted().size() <= 3 * came);
    CHECK(in.room() == came + in.wanted().size());
  }

  std::string body(900'001, 'b');
  body.front() = body[70'000] = body.back() = 'x';
  auto data = encoded(frame_type::answer, side::daemon, "header", body);
  auto seen = feed(side::daemon, data, 10'000);
  REQUIRE(seen.frames.size() == 1);
  CHECK(as_text(seen.frames[0].header()) == "header");
  CHECK(as_text(seen.frames[0].body()) == body);
}

TEST_CASE("a prefix that contradicts itself is refused", "[control]") {
  auto refused = [](const std::vector<std::byte>& raw, side reader = side::daemon) {
    auto seen = feed(reader, raw, 4096);
    REQUIRE(seen.refused);
    return seen.refused->code();
  };
  CHECK(refused(raw_prefix(7, 1, 0, 1, 0)) == errc::format_damaged);
  CHECK(refused(raw_prefix(0, 1, 0, 1, 0)) == errc::format_damaged);
  CHECK(refused(raw_prefix(8, 1, 0, 1, 1)) == errc::format_damaged);
  CHECK(refused(raw_prefix(20, 1, 0, 1, 0xffffffff)) == errc::format_damaged);
  CHECK(refused(raw_prefix(8, 1, 1, 1, 0)) == errc::format_damaged);
  CHECK(refused(raw_prefix(8, 0, 0, 1, 0)) == errc::format_damaged);
  CHECK(refused(raw_prefix(8, 7, 0, 1, 0)) == errc::format_damaged);
  CHECK(refused(raw_prefix(8, 1, 0, 0, 0)) == errc::format_damaged);
  CHECK(refused(raw_prefix(8, 1, 0, 2, 0)) == errc::format_newer);
}

TEST_CASE("each side takes only what the other may send", "[control]") {
  for (auto type : {frame_type::reply, frame_type::call, frame_type::event}) {
    CHECK_FALSE(caps_of(type, side::daemon));
    CHECK(caps_of(type, side::client));
  }
  for (auto type : {frame_type::request, frame_type::answer, frame_type::cancel}) {
    CHECK(caps_of(type, side::daemon));
    CHECK_FALSE(caps_of(type, side::client));
  }
  auto seen = feed(side::daemon, encoded(frame_type::reply, side::client, "x", ""), 4096);
  REQUIRE(seen.refused);
  CHECK(seen.refused->code() == errc::format_damaged);
}

TEST_CASE("the worked example of the format's page is what is sent", "[control]") {
  // docs/formats/control.md
  static constexpr unsigned char example[] = {0x0a, 0, 0, 0, 1, 0, 1, 0, 2, 0, 0, 0, 0x52, 0x00};
  auto data = encoded(frame_type::request, side::daemon, std::string_view{"\x52\x00", 2}, "");
  REQUIRE(data.size() == sizeof(example));
  CHECK(std::memcmp(data.data(), example, sizeof(example)) == 0);
}

TEST_CASE("the body of a frame can be kept without a copy when the frame and its reader are gone", "[control]") {
  bytes kept;
  const std::byte* was = nullptr;
  {
    auto seen = feed(side::daemon, encoded(frame_type::answer, side::daemon, "header", "the body"), 4096);
    REQUIRE(seen.frames.size() == 1);
    was = seen.frames[0].body().data();
    kept = seen.frames[0].kept_body();
  }
  CHECK(as_text(kept) == "the body");
  CHECK(kept.data() == was);
}
