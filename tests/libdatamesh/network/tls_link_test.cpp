#include "network/tls_link.hpp"

#include "tests/libdatamesh/network/allocated.hpp"
#include "tests/libdatamesh/network/node.hpp"

#include <catch2/catch.hpp>
#include <openssl/ssl.h>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

std::string text_of(const std::vector<std::byte>& data) {
  return std::string{as_text(data)};
}

/// Two ends and the wire between them.
struct wire {
  wire(const test_node& a, const test_node& b, std::optional<peer_id> expected)
      : dialer(tls_link::open(a.tls, link_side::dialer, expected).value()),
        acceptor(tls_link::open(b.tls, link_side::acceptor, std::nullopt).value()) {}

  /// Carries bytes, *step* at a time, until nobody has any.
  void carry(size_t step = SIZE_MAX) {
    for (bool moved = true; moved;) {
      moved = move(dialer, acceptor, acceptor_end, step);
      moved = move(acceptor, dialer, dialer_end, step) || moved;
    }
  }

  static bool move(tls_link& from, tls_link& to, std::optional<error>& end, size_t step) {
    auto data = from.take_output();
    byte_view rest{data};
    while (!rest.empty() && !end) {
      auto part = rest.first(std::min(rest.size(), step));
      rest = rest.subspan(part.size());
      if (auto taken = to.received(part); !taken)
        end = taken.error();
    }
    return !data.empty();
  }

  static std::string all_of(tls_link& from) {
    std::vector<std::byte> got;
    std::array<std::byte, 1000> part{};
    for (;;) {
      auto count = from.read(part);
      REQUIRE(count);
      if (*count == 0)
        return text_of(got);
      got.insert(got.end(), part.begin(), part.begin() + static_cast<ptrdiff_t>(*count));
    }
  }

  tls_link dialer;
  tls_link acceptor;
  std::optional<error> dialer_end;
  std::optional<error> acceptor_end;
};

/// The other end as plain OpenSSL, to do what ours never does.
struct foreign_end {
  explicit foreign_end(bool client) : context(SSL_CTX_new(TLS_method())) {
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    is_client = client;
  }
  ~foreign_end() {
    SSL_free(session);
    SSL_CTX_free(context);
  }
  foreign_end(const foreign_end&) = delete;
  foreign_end& operator=(const foreign_end&) = delete;

  void show(const test_node& node) {
    auto key = private_key(node.seed).value();
    seeded_random chance{99};
    auto certificate = make_certificate(*key, node.wall->wall(), chance).value();
    REQUIRE(SSL_CTX_use_certificate(context, certificate.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context, key.get()) == 1);
  }
  void speak(std::string_view protocols) {
    SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(protocols.data()), static_cast<unsigned>(protocols.size()));
  }

  /// What *ours* says in the end; nothing when it sees no fault.
  std::optional<error> meet(tls_link& ours) {
    session = SSL_new(context);
    auto* in = BIO_new(BIO_s_mem());
    auto* out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(session, in, out);
    if (is_client)
      SSL_set_connect_state(session);
    else
      SSL_set_accept_state(session);
    std::optional<error> end;
    for (bool moved = true; moved && !end;) {
      SSL_do_handshake(session);
      std::vector<std::byte> data(BIO_ctrl_pending(out));
      if (!data.empty())
        BIO_read(out, data.data(), static_cast<int>(data.size()));
      if (auto taken = ours.received(data); !taken)
        end = taken.error();
      auto back = ours.take_output();
      if (!back.empty())
        BIO_write(in, back.data(), static_cast<int>(back.size()));
      moved = !data.empty() || !back.empty();
    }
    return end;
  }

  SSL_CTX* context;
  SSL* session = nullptr;
  bool is_client;
};

constexpr std::string_view ours = "\x0a"
                                  "datamesh/1";

} // namespace

TEST_CASE("two nodes know each other after a handshake, in whatever pieces it comes", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  for (auto step : {size_t{1}, size_t{7}, SIZE_MAX}) {
    wire w{a, b, b.id()};
    w.carry(step);
    REQUIRE(w.dialer.established());
    REQUIRE(w.acceptor.established());
    CHECK(w.dialer.peer() == b.id());
    CHECK(w.acceptor.peer() == a.id());
  }
}

TEST_CASE("bytes cross a link both ways and are not to be read on the wire", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  wire w{a, b, b.id()};
  w.carry();
  REQUIRE(w.acceptor.established());
  std::string there(100'000, 'x');
  REQUIRE(w.dialer.write(as_view(there)));
  REQUIRE(w.acceptor.write(as_view("and back")));
  auto sealed = w.dialer.take_output();
  CHECK(text_of(sealed).find("xxxx") == std::string::npos);
  REQUIRE(w.acceptor.received(sealed));
  w.carry();
  CHECK(wire::all_of(w.acceptor) == there);
  CHECK(wire::all_of(w.dialer) == "and back");
}

TEST_CASE("small records are counted, in whatever pieces they come", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  for (auto step : {size_t{1}, size_t{7}, SIZE_MAX}) {
    wire w{a, b, b.id()};
    w.carry(step);
    auto before = w.acceptor.small_records();
    for (int i = 0; i < 10; ++i)
      REQUIRE(w.dialer.write(as_view("x")));
    REQUIRE(w.dialer.write(as_view(std::string(40'000, 'x'))));
    w.carry(step);
    CHECK(w.acceptor.small_records() == before + 10);
    CHECK(wire::all_of(w.acceptor).size() == 40'010);
  }
}

TEST_CASE("output is sent in parts", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  wire w{a, b, b.id()};
  w.carry();
  std::string there(100'000, 'x');
  REQUIRE(w.dialer.write(as_view(there)));
  while (!w.dialer.output().empty()) {
    auto part = w.dialer.output().first(std::min<size_t>(w.dialer.output_size(), 30'000));
    REQUIRE(w.acceptor.received(part));
    w.dialer.drop_output(part.size());
  }
  CHECK(wire::all_of(w.acceptor) == there);
}

TEST_CASE("what follows the handshake in one piece with its end is kept", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  wire w{a, b, b.id()};
  REQUIRE(w.acceptor.received(w.dialer.take_output()));
  REQUIRE(w.dialer.received(w.acceptor.take_output()));
  REQUIRE(w.dialer.established());
  REQUIRE(w.dialer.write(as_view("early bird")));
  REQUIRE(w.acceptor.received(w.dialer.take_output()));
  CHECK(wire::all_of(w.acceptor) == "early bird");
}

TEST_CASE("a node that is not the expected one is refused by who dialed", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  test_node c{3};
  wire w{a, b, c.id()};
  w.carry();
  CHECK_FALSE(w.dialer.established());
  REQUIRE(w.dialer_end);
  CHECK(w.dialer_end->code() == errc::peer_refused);
  CHECK(w.dialer_end->message().find(b.id().brief()) != std::string::npos);
  // The alert reached the other side, too.
  REQUIRE(w.acceptor_end);
  CHECK_FALSE(w.acceptor.established());
  CHECK_FALSE(w.dialer.received({}));
}

TEST_CASE("a clock that is far ahead refuses the peer and says so", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  a.wall->advance(certificate_lifetime + std::chrono::hours{48});
  wire w{a, b, b.id()};
  w.carry();
  REQUIRE(w.dialer_end);
  CHECK(w.dialer_end->code() == errc::peer_refused);
  CHECK(w.dialer_end->message().find("clock") != std::string::npos);
}

TEST_CASE("a node that runs for long shows a new certificate before the old one ends", "[tls_link]") {
  auto time = std::make_shared<manual_clock>();
  test_node a{1, time};
  test_node b{2, time};
  for (int month = 0; month < 13; ++month) {
    wire w{a, b, b.id()};
    // A link that was begun before the renewal is not in its way.
    time->advance(std::chrono::hours{24 * 30});
    wire after{b, a, a.id()};
    w.carry();
    after.carry();
    CHECK(w.dialer.established());
    CHECK(w.acceptor.established());
    CHECK(after.dialer.established());
    CHECK(after.acceptor.established());
  }
}

TEST_CASE("a node whose clock went back to before its certificate shows a new one", "[tls_link]") {
  auto time = std::make_shared<manual_clock>();
  time->advance(std::chrono::hours{24 * 365});
  test_node a{1, time};
  time->advance(-std::chrono::hours{24 * 365});
  test_node b{2, time};
  wire w{a, b, b.id()};
  w.carry();
  CHECK(w.dialer.established());
  CHECK(w.acceptor.established());
}

TEST_CASE("a peer without a certificate is refused", "[tls_link]") {
  test_node a{1};
  auto link = tls_link::open(a.tls, link_side::acceptor, std::nullopt).value();
  foreign_end other{true};
  other.speak(ours);
  auto end = other.meet(link);
  REQUIRE(end);
  CHECK(end->code() == errc::protocol_violated);
  CHECK_FALSE(link.established());
}

TEST_CASE("a peer that speaks at most TLS 1.2 is refused, whoever dials", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  for (auto side : {link_side::dialer, link_side::acceptor}) {
    auto link = tls_link::open(a.tls, side, std::nullopt).value();
    foreign_end other{side == link_side::acceptor};
    other.show(b);
    other.speak(ours);
    SSL_CTX_set_max_proto_version(other.context, TLS1_2_VERSION);
    SSL_CTX_set_min_proto_version(other.context, TLS1_2_VERSION);
    auto end = other.meet(link);
    if (side == link_side::acceptor) {
      REQUIRE(end);
      CHECK(end->code() == errc::protocol_violated);
    }
    CHECK_FALSE(link.established());
  }
}

TEST_CASE("a peer that speaks another protocol over TLS is refused", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  auto speaks = GENERATE(std::string_view{}, std::string_view{"\x02h2"},
                         std::string_view{"\x0a"
                                          "datamesh/2"});
  auto link = tls_link::open(a.tls, link_side::acceptor, std::nullopt).value();
  foreign_end other{true};
  other.show(b);
  if (!speaks.empty())
    other.speak(speaks);
  auto end = other.meet(link);
  REQUIRE(end);
  CHECK(end->code() == errc::protocol_violated);
}

TEST_CASE("a weaker cipher or another group alone is refused", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  auto weak = GENERATE(true, false);
  auto link = tls_link::open(a.tls, link_side::acceptor, std::nullopt).value();
  foreign_end other{true};
  other.show(b);
  other.speak(ours);
  if (weak)
    SSL_CTX_set_ciphersuites(other.context, "TLS_AES_128_GCM_SHA256");
  else
    SSL_CTX_set1_groups_list(other.context, "P-256");
  auto end = other.meet(link);
  REQUIRE(end);
  CHECK(end->code() == errc::protocol_violated);
}

TEST_CASE("no changed byte of sealed data is taken", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  // A header of 5 bytes, the text, the type of the content, a tag of 16 bytes.
  constexpr size_t record_size = 5 + 15 + 1 + 16;
  for (size_t at = 0; at < record_size; ++at) {
    wire w{a, b, b.id()};
    w.carry();
    REQUIRE(w.dialer.write(as_view("a short message")));
    auto sealed = w.dialer.take_output();
    REQUIRE(sealed.size() == record_size);
    sealed[at] ^= std::byte{1};
    std::array<std::byte, 100> out{};
    auto taken = w.acceptor.received(sealed);
    auto got = w.acceptor.read(out);
    // A longer length makes it wait for the rest.
    INFO("byte " << at);
    if (got)
      CHECK(*got == 0);
    else
      CHECK(got.error().code() == errc::protocol_violated);
  }
}

TEST_CASE("a piece that is sent twice is refused", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  wire w{a, b, b.id()};
  w.carry();
  REQUIRE(w.dialer.write(as_view("pay once")));
  auto sealed = w.dialer.take_output();
  REQUIRE(w.acceptor.received(sealed));
  CHECK(wire::all_of(w.acceptor) == "pay once");
  REQUIRE(w.acceptor.received(sealed));
  std::array<std::byte, 100> out{};
  auto got = w.acceptor.read(out);
  REQUIRE_FALSE(got);
  CHECK(got.error().code() == errc::protocol_violated);
  CHECK_FALSE(w.acceptor.write(as_view("x")));
}

TEST_CASE("a handshake that does not end is cut off", "[tls_link]") {
  test_node a{1};
  auto link = tls_link::open(a.tls, link_side::acceptor, std::nullopt).value();
  // A handshake record of a ClientHello that announces 128,000 bytes: OpenSSL waits for more.
  std::vector<std::byte> record(5 + 4096);
  auto begin = {0x16, 0x03, 0x01, 0x10, 0x00, 0x01, 0x01, 0xf4, 0x00};
  std::transform(begin.begin(), begin.end(), record.begin(), [](int x) { return static_cast<std::byte>(x); });
  std::optional<error> end;
  size_t taken = 0;
  while (!end && taken < 1 << 20) {
    if (auto good = link.received(record); !good)
      end = good.error();
    taken += record.size();
  }
  REQUIRE(end);
  CHECK(end->code() == errc::protocol_violated);
  CHECK(taken <= 2 * handshake_bytes_max);
}

TEST_CASE("noise in place of a handshake is refused", "[tls_link]") {
  test_node a{1};
  seeded_random chance{5};
  for (int round = 0; round < 200; ++round) {
    auto link = tls_link::open(a.tls, link_side::acceptor, std::nullopt).value();
    auto taken = link.received(chance.make(100 + chance.below(1000)));
    CHECK_FALSE(link.established());
    // The first byte of a TLS record may be hit by chance, and then it waits.
    if (!taken)
      CHECK(taken.error().code() == errc::protocol_violated);
  }
}

TEST_CASE("the end of a link is told in order", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  wire w{a, b, b.id()};
  w.carry();
  w.dialer.close();
  w.carry();
  std::array<std::byte, 10> out{};
  auto got = w.acceptor.read(out);
  REQUIRE_FALSE(got);
  CHECK(got.error().code() == errc::unavailable);
}

TEST_CASE("both ends export one key, another for each label, context and link", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  wire w{a, b, b.id()};
  wire other{a, b, b.id()};
  w.carry();
  other.carry();
  auto key = [](const tls_link& of, std::string_view label, std::string_view context) {
    auto made = of.exported(label, as_view(context)).value();
    return text_of({made.view().begin(), made.view().end()});
  };
  CHECK(key(w.dialer, "hello", "x") == key(w.acceptor, "hello", "x"));
  CHECK(key(w.dialer, "hello", "x") != key(w.dialer, "hello", "y"));
  CHECK(key(w.dialer, "hello", "x") != key(w.dialer, "other", "x"));
  CHECK(key(w.dialer, "hello", "x") != key(other.dialer, "hello", "x"));
}

TEST_CASE("a session is not taken up again", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  auto link = tls_link::open(a.tls, link_side::acceptor, std::nullopt).value();
  foreign_end other{true};
  other.show(b);
  other.speak(ours);
  CHECK_FALSE(other.meet(link));
  REQUIRE(link.established());
  CHECK(SSL_SESSION_is_resumable(SSL_get_session(other.session)) == 0);
}

TEST_CASE("what was sent of much is not held on to while the rest waits", "[tls_link]") {
  test_node a{1};
  test_node b{2};
  wire w{a, b, b.id()};
  w.carry();
  REQUIRE(w.dialer.established());
  auto before = allocated_bytes();
  REQUIRE(w.dialer.write(as_view(std::string(4 << 20, 'x'))));
  auto sealed = std::string{as_text(w.dialer.output())};
  auto rest = size_t{100'000};
  while (w.dialer.output_size() > rest)
    w.dialer.drop_output(std::min(w.dialer.output_size() - rest, size_t{300'000}));
  CHECK(allocated_bytes() - before - sealed.capacity() < 4 * rest);
  CHECK(as_text(w.dialer.output()) == std::string_view{sealed}.substr(sealed.size() - rest));
}
