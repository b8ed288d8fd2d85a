#include "network/tls_buffer.hpp"

#include <catch2/catch.hpp>
#include <openssl/bio.h>

#include <vector>

using namespace datamesh;
using network::tls_buffer;

namespace {

std::vector<std::byte> counted(size_t size) {
  std::vector<std::byte> made(size);
  for (size_t i = 0; i < size; ++i)
    made[i] = static_cast<std::byte>(i * 7 + i / 251);
  return made;
}

bool holds(const tls_buffer& buffer, byte_view what) {
  return std::equal(buffer.view().begin(), buffer.view().end(), what.begin(), what.end());
}

} // namespace

TEST_CASE("what goes into a buffer of a link comes out in order, however it is cut", "[tls_buffer]") {
  tls_buffer buffer;
  auto all = counted(300'000);
  size_t in = 0, out = 0;
  for (size_t step = 1; out < all.size(); step = step * 3 % 70'001 + 1) {
    auto more = std::min(step, all.size() - in);
    buffer.put(byte_view{all}.subspan(in, more));
    in += more;
    REQUIRE(holds(buffer, byte_view{all}.subspan(out, in - out)));
    auto less = std::min(buffer.size(), step / 2 + 1);
    buffer.drop(less);
    out += less;
    if (step % 2 == 0)
      buffer.give_back();
    REQUIRE(holds(buffer, byte_view{all}.subspan(out, in - out)));
  }
  CHECK(buffer.size() == 0);
}

TEST_CASE("a buffer of a link holds on to little more than what is in it", "[tls_buffer]") {
  tls_buffer buffer;
  auto all = counted(1 << 20);
  buffer.put(all);
  buffer.drop(all.size() - 1000);
  buffer.give_back();
  CHECK(buffer.capacity() <= 8 << 10);
  CHECK(holds(buffer, byte_view{all}.last(1000)));
  buffer.drop(1000);
  buffer.put(byte_view{all}.first(100'000));
  buffer.drop(100'000);
  buffer.give_back();
  CHECK(buffer.capacity() == 0);
}

TEST_CASE("room that was made for what comes is not made again", "[tls_buffer]") {
  tls_buffer buffer;
  auto part = counted(1000);
  buffer.reserve(64'000);
  auto before = buffer.capacity();
  for (int i = 0; i < 64; ++i)
    buffer.put(part);
  CHECK(buffer.capacity() == before);
}

TEST_CASE("a session finds in an empty buffer nothing yet, and no end", "[tls_buffer]") {
  tls_buffer buffer;
  auto* bio = buffer.make_bio();
  REQUIRE(bio != nullptr);
  char got[4] = {};
  CHECK(BIO_read(bio, got, 4) == -1);
  CHECK(BIO_should_retry(bio));
  CHECK(BIO_write(bio, "abcdef", 6) == 6);
  CHECK(BIO_ctrl_pending(bio) == 6);
  CHECK(BIO_read(bio, got, 4) == 4);
  CHECK(std::string_view{got, 4} == "abcd");
  CHECK(buffer.size() == 2);
  BIO_free(bio);
}
