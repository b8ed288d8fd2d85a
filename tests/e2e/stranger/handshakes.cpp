#include "tests/e2e/stranger/handshakes.hpp"

#include "network/certificate.hpp"
#include "tests/e2e/stranger/honest.hpp"
#include "tests/e2e/stranger/talker.hpp"

#include "datamesh/v1/link.pb.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

namespace datamesh::stranger {

namespace {

/// Longer than a node waits for a hello.
constexpr int patience_ms = 8'000;

using std::chrono::steady_clock;

// -- bytes -----------------------------------------------------------------------------

/// What is in the socket now. Nothing when it is over, or when nothing came in time.
std::optional<std::string> receive(int fd, steady_clock::time_point until, bool& over) {
  auto left = std::chrono::ceil<std::chrono::milliseconds>(until - steady_clock::now()).count();
  if (left <= 0 || !await_input(fd, static_cast<int>(left)))
    return std::nullopt;
  std::string part(64 << 10, '\0');
  auto got = ::recv(fd, part.data(), part.size(), 0);
  if (got <= 0) {
    over = got == 0 || errno != EAGAIN;
    return over ? std::nullopt : std::optional{std::string{}};
  }
  part.resize(static_cast<size_t>(got));
  return part;
}

/// The alert in plain records, if one is there.
void find_alert(std::string_view records, outcome& out) {
  while (records.size() >= 5) {
    auto size = size_t{static_cast<uint8_t>(records[3])} << 8 | static_cast<uint8_t>(records[4]);
    if (records.size() < 5 + size)
      return;
    if (records[0] == 21 && size == 2)
      out.alert = static_cast<uint8_t>(records[6]);
    records.remove_prefix(5 + size);
  }
}

/// Sends bytes that are no TLS, or only a part of it.
outcome send_raw(visit& v, std::string_view data, bool finish = false) {
  outcome out;
  send_all(v.socket.get(), as_view(data));
  if (finish)
    ::shutdown(v.socket.get(), SHUT_WR);
  auto until = steady_clock::now() + std::chrono::milliseconds{patience_ms};
  std::string heard;
  while (auto part = receive(v.socket.get(), until, out.closed))
    heard += *part;
  find_alert(heard, out);
  return out;
}

std::string first_flight(const persona& us) {
  auto made = talker::dial(us.tls).value();
  return std::string{as_text(made.take_output())};
}

std::string record(uint8_t type, std::string_view payload, uint16_t claimed) {
  std::string out{static_cast<char>(type), 3, 3, static_cast<char>(claimed >> 8), static_cast<char>(claimed & 255)};
  return out.append(payload);
}

std::string record(uint8_t type, std::string_view payload) {
  return record(type, payload, static_cast<uint16_t>(payload.size()));
}

// -- above TLS ---------------------------------------------------------------------------

void flush(visit& v, talker& by) {
  auto out = by.take_output();
  send_all(v.socket.get(), out);
}

void note(talker& by, outcome& out) {
  while (auto frame = by.take_frame()) {
    if (frame->type == hello)
      out.heard_hello = true;
    if (frame->type == answer)
      ++out.answers;
    v1::LinkEnd last;
    if (frame->type == end && last.ParseFromString(frame->header))
      out.end = last.code();
  }
}

/// Until the node's hello is there.
bool agree(visit& v, talker& by, outcome& out, std::string* said = nullptr) {
  auto until = steady_clock::now() + std::chrono::milliseconds{patience_ms};
  for (;;) {
    auto mine = by.take_output();
    if (said != nullptr)
      *said += as_text(mine);
    send_all(v.socket.get(), mine);
    if (out.heard_hello)
      return true;
    auto part = receive(v.socket.get(), until, out.closed);
    if (!part || !by.received(as_view(*part)))
      return false;
    note(by, out);
  }
}

using words = std::function<std::string(visit&, talker&)>;

/// Agrees on TLS in order, then says that. @param enough answers that end the wait
outcome say(visit& v, const words& what, bool finish = false, size_t enough = SIZE_MAX) {
  outcome out;
  auto by = talker::dial(v.us.tls).value();
  if (!agree(v, by, out))
    return out;
  if (auto text = what(v, by); !text.empty())
    by.write(text);
  flush(v, by);
  if (finish)
    ::shutdown(v.socket.get(), SHUT_WR);
  auto until = steady_clock::now() + std::chrono::milliseconds{patience_ms};
  while (out.answers < enough) {
    auto part = receive(v.socket.get(), until, out.closed);
    if (!part)
      break;
    auto lives = by.received(as_view(*part));
    note(by, out);
    flush(v, by);
    if (!lives)
      by.close();
  }
  return out;
}

std::string honest_hello(visit& v, const talker& by) {
  return frame_of(hello, by.hello_header({v.to.mesh}));
}

/// Those terms, signed as they should be.
words hello_with(const std::function<void(visit&, hello_terms&)>& change) {
  return [change](visit& v, talker& by) {
    hello_terms terms{v.to.mesh};
    change(v, terms);
    return frame_of(hello, by.hello_header(terms));
  };
}

/// That header in the place of a hello's, made from an honest one.
words hello_header(const std::function<std::string(visit&, talker&, std::string)>& change) {
  return [change](visit& v, talker& by) {
    return frame_of(hello, change(v, by, by.hello_header({v.to.mesh})));
  };
}

/// An honest hello, and that behind it.
words then(const std::function<std::string(visit&, talker&)>& more) {
  return [more](visit& v, talker& by) {
    return honest_hello(v, by) + more(v, by);
  };
}

words then(std::string more) {
  return then([more = std::move(more)](visit&, talker&) { return more; });
}

words only(std::string frame) {
  return [frame = std::move(frame)](visit&, talker&) {
    return frame;
  };
}

std::string signed_hello(std::string terms, std::string signature) {
  v1::Hello said;
  said.set_terms(std::move(terms));
  said.set_signature(std::move(signature));
  return said.SerializeAsString();
}

std::string front(uint32_t length, uint8_t type, uint32_t header, uint8_t flags = 0, uint16_t version = 1) {
  return frame_front{length, type, flags, version, header}.text();
}

/// Groups of a field that nobody knows, so deep in each other.
std::string nested(size_t depth) {
  return std::string(depth, '\x7b') + std::string(depth, '\x7c');
}

template <class Message>
std::string with_id(uint64_t id) {
  Message message;
  message.set_id(id);
  return message.SerializeAsString();
}

std::string token(uint64_t value) {
  v1::LinkPing message;
  message.set_token(value);
  return message.SerializeAsString();
}

// -- TLS by OpenSSL, which does what the library's engine never would ----------------------

struct free_all {
  void operator()(SSL_CTX* x) const noexcept {
    SSL_CTX_free(x);
  }
  void operator()(SSL* x) const noexcept {
    SSL_free(x);
  }
  void operator()(X509_EXTENSION* x) const noexcept {
    X509_EXTENSION_free(x);
  }
};

struct shown {
  network::key_ptr key;
  network::certificate_ptr certificate;
};

constexpr int64_t day = 24 * 3600;

void set_days(X509& of, int64_t from, int64_t until) {
  X509_gmtime_adj(X509_getm_notBefore(&of), from * day);
  X509_gmtime_adj(X509_getm_notAfter(&of), until * day);
}

/// An honest certificate, changed and signed again with its own key.
shown certificate_of(visit& v, const std::function<void(X509&)>& change = {}) {
  shown out;
  out.key = network::private_key(v.us.seed).value();
  test::seeded_random chance{v.address};
  out.certificate = network::make_certificate(*out.key, std::chrono::system_clock::now(), chance).value();
  if (change) {
    change(*out.certificate);
    X509_sign(out.certificate.get(), out.key.get(), nullptr);
  }
  return out;
}

void add_extension(X509& to, int nid, const char* value) {
  std::unique_ptr<X509_EXTENSION, free_all> made{X509V3_EXT_conf_nid(nullptr, nullptr, nid, value)};
  X509_add_ext(&to, made.get(), -1);
}

network::key_ptr foreign_key(const char* kind) {
  if (std::string_view{kind} == "RSA")
    return network::key_ptr{EVP_RSA_gen(2048)};
  if (std::string_view{kind} == "EC")
    return network::key_ptr{EVP_EC_gen("P-256")};
  return network::key_ptr{EVP_PKEY_Q_keygen(nullptr, nullptr, kind)};
}

using set_up = std::function<void(visit&, SSL_CTX&)>;

void show(SSL_CTX& in, const shown& what) {
  SSL_CTX_use_certificate(&in, what.certificate.get());
  SSL_CTX_use_PrivateKey(&in, what.key.get());
}

/// What an honest node would have, and what is changed in it afterwards.
set_up showing(const std::function<void(X509&)>& change) {
  return [change](visit& v, SSL_CTX& context) {
    show(context, certificate_of(v, change));
  };
}

/// The certificate holds another key than the one that signs the handshake.
set_up showing_key_of(const std::function<network::key_ptr(visit&)>& other, bool sign_with_it) {
  return [other, sign_with_it](visit& v, SSL_CTX& context) {
    auto mine = certificate_of(v);
    show(context, mine);
    auto key = other(v);
    // The context has this very object, and looked at its key before.
    X509_set_pubkey(mine.certificate.get(), key.get());
    auto* signer = sign_with_it ? key.get() : mine.key.get();
    X509_sign(mine.certificate.get(), signer,
              EVP_PKEY_get_id(signer) == EVP_PKEY_ED25519 || EVP_PKEY_get_id(signer) == EVP_PKEY_ED448 ? nullptr : EVP_sha256());
  };
}

void speak(SSL_CTX& context, std::string_view protocols) {
  SSL_CTX_set_alpn_protos(&context, reinterpret_cast<const unsigned char*>(protocols.data()), static_cast<unsigned>(protocols.size()));
}

int last_alert() {
  int found = -1;
  while (auto code = ERR_get_error())
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) > SSL_AD_REASON_OFFSET
        && ERR_GET_REASON(code) < SSL_AD_REASON_OFFSET + 256)
      found = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;
  return found;
}

/// A handshake by a context that was set up so. @param after what is done when it went well, as it seems to this side
outcome shake(visit& v, const set_up& set, const std::function<void(SSL&)>& after = {}) {
  outcome out;
  std::unique_ptr<SSL_CTX, free_all> context{SSL_CTX_new(TLS_client_method())};
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  speak(*context, "\x0a"
                  "datamesh/1");
  set(v, *context);
  std::unique_ptr<SSL, free_all> session{SSL_new(context.get())};
  SSL_set_fd(session.get(), v.socket.get());
  SSL_set_connect_state(session.get());
  auto until = steady_clock::now() + std::chrono::milliseconds{patience_ms};
  bool done = false;
  std::array<char, 4096> heard{};
  while (steady_clock::now() < until) {
    ERR_clear_error();
    auto got = done ? SSL_read(session.get(), heard.data(), static_cast<int>(heard.size())) : SSL_do_handshake(session.get());
    if (got > 0 && !std::exchange(done, true)) {
      if (after)
        after(*session);
      continue;
    }
    if (got > 0) {
      out.heard_hello = true;
      continue;
    }
    auto why = SSL_get_error(session.get(), got);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
      if (auto alert = last_alert(); alert >= 0)
        out.alert = alert;
      break;
    }
    (void) await_input(v.socket.get(), 50);
  }
  ::shutdown(v.socket.get(), SHUT_WR);
  while (!out.closed && receive(v.socket.get(), until, out.closed))
    ;
  return out;
}

outcome shake_showing(visit& v, const std::function<void(X509&)>& change) {
  return shake(v, showing(change));
}

set_up honestly_but(const std::function<void(SSL_CTX&)>& change) {
  return [change](visit& v, SSL_CTX& context) {
    show(context, certificate_of(v));
    change(context);
  };
}

// -- the table -------------------------------------------------------------------------------

outcome shake_with_flipped_end(visit& v) {
  outcome out;
  auto by = talker::dial(v.us.tls).value();
  flush(v, by);
  auto until = steady_clock::now() + std::chrono::milliseconds{patience_ms};
  while (!by.established()) {
    auto part = receive(v.socket.get(), until, out.closed);
    if (!part || !by.received(as_view(*part)))
      return out;
  }
  auto last = by.take_output();
  last.back() ^= std::byte{1};
  return send_raw(v, as_text(last));
}

outcome replay_handshake(visit& v) {
  outcome first;
  std::string said;
  {
    visit earlier{v.to, v.us, v.other, v.address, dial_from(v.address, v.to.port)};
    auto by = talker::dial(v.us.tls).value();
    if (!agree(earlier, by, first, &said))
      return first;
  }
  return send_raw(v, said);
}

std::string hello_of_another_link(visit& v, const talker&) {
  outcome aside;
  visit earlier{v.to, v.us, v.other, v.address, dial_from(v.address, v.to.port)};
  auto by = talker::dial(v.us.tls).value();
  return agree(earlier, by, aside) ? honest_hello(v, by) : std::string{};
}

std::vector<bad_handshake> tls_table() {
  auto tls = stage::tls;
  return {
      {"closed before a byte",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, "", true);
       }},
      {"silent",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, "");
       }},
      {"a request of HTTP",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
       }},
      {"a greeting of SSH",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, "SSH-2.0-OpenSSH_9.2\r\n");
       }},
      {"zeros",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, std::string(4096, '\0'));
       }},
      {"random bytes",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, as_text(test::seeded_random{v.address}.make(4096)));
       }},
      {"a hello of SSL 2",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, std::string("\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", 11) + std::string(37, '\1'));
       }},
      {"a record of an unknown type",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, record(99, "what is this"));
       }},
      {"a record longer than TLS has",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, record(22, std::string(20'000, '\1'), 0xffff));
       }},
      {"empty records",
       tls,
       {},
       [](visit& v) {
         std::string many;
         for (int i = 0; i < 4'000; ++i)
           many += record(22, "");
         return send_raw(v, many);
       }},
      {"application data first",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, record(23, std::string(64, 'x')));
       }},
      {"an alert first",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, record(21, std::string("\x02\x28", 2)));
       }},
      {"a first flight that breaks off",
       tls,
       {},
       [](visit& v) {
         auto flight = first_flight(v.us);
         return send_raw(v, std::string_view{flight}.substr(0, flight.size() / 2), true);
       }},
      {"half a first flight, and silence",
       tls,
       {},
       [](visit& v) {
         auto flight = first_flight(v.us);
         return send_raw(v, std::string_view{flight}.substr(0, flight.size() / 2));
       }},
      {"a first flight twice",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, first_flight(v.us) + first_flight(v.us));
       }},
      {"a first flight with its lengths wrong",
       tls,
       {},
       [](visit& v) {
         auto flight = first_flight(v.us);
         flight[6 + 37] = '\x7f';
         return send_raw(v, flight);
       }},
      {"the answer of a server",
       tls,
       {},
       [](visit& v) {
         return send_raw(v, record(22, std::string("\x02\x00\x00\x26\x03\x03", 6) + std::string(36, '\2')));
       }},
      {"a handshake of 64 KiB",
       tls,
       {},
       [](visit& v) {
         std::string many = record(22, std::string("\x01\x00\xff\xf0", 4) + std::string(16'000, '\3'));
         for (int i = 0; i < 3; ++i)
           many += record(22, std::string(16'000, '\3'));
         return send_raw(v, many);
       }},
      {"a handshake that was recorded", tls, {}, replay_handshake},
      {"the last message of the handshake altered", tls, {}, shake_with_flipped_end},
      {"TLS 1.2",
       tls,
       {},
       [](visit& v) {
         return shake(v, honestly_but([](SSL_CTX& c) {
                        SSL_CTX_set_min_proto_version(&c, TLS1_2_VERSION);
                        SSL_CTX_set_max_proto_version(&c, TLS1_2_VERSION);
                      }));
       }},
      {"TLS 1.0",
       tls,
       {},
       [](visit& v) {
         return shake(v, honestly_but([](SSL_CTX& c) {
                        SSL_CTX_set_security_level(&c, 0);
                        SSL_CTX_set_min_proto_version(&c, TLS1_VERSION);
                        SSL_CTX_set_max_proto_version(&c, TLS1_VERSION);
                      }));
       }},
      {"a cipher that is not taken",
       tls,
       {},
       [](visit& v) {
         return shake(v, honestly_but([](SSL_CTX& c) { SSL_CTX_set_ciphersuites(&c, "TLS_AES_128_GCM_SHA256"); }));
       }},
      {"a group that is not taken",
       tls,
       {},
       [](visit& v) {
         return shake(v, honestly_but([](SSL_CTX& c) { SSL_CTX_set1_groups_list(&c, "P-256"); }));
       }},
      {"signatures that are not taken",
       tls,
       {},
       [](visit& v) {
         return shake(v, honestly_but([](SSL_CTX& c) { SSL_CTX_set1_sigalgs_list(&c, "ECDSA+SHA256:RSA-PSS+SHA256"); }));
       }},
      {"no protocol named",
       tls,
       {},
       [](visit& v) {
         return shake(v, honestly_but([](SSL_CTX& c) { SSL_CTX_set_alpn_protos(&c, nullptr, 0); }));
       }},
      {"another protocol named",
       tls,
       {},
       [](visit& v) {
         return shake(v, honestly_but([](SSL_CTX& c) { speak(c, "\x02h2\x08http/1.1"); }));
       }},
      {"no certificate",
       tls,
       {},
       [](visit& v) {
         return shake(v, [](visit&, SSL_CTX&) {});
       }},
      {"a certificate with a key of RSA",
       tls,
       {},
       [](visit& v) {
         return shake(v, showing_key_of([](visit&) { return foreign_key("RSA"); }, true));
       }},
      {"a certificate with a key of ECDSA",
       tls,
       {},
       [](visit& v) {
         return shake(v, showing_key_of([](visit&) { return foreign_key("EC"); }, true));
       }},
      {"a certificate with a key of Ed448",
       tls,
       {},
       [](visit& v) {
         return shake(v, showing_key_of([](visit&) { return foreign_key("ED448"); }, true));
       }},
      {"a certificate of somebody else",
       tls,
       {},
       [](visit& v) {
         return shake(v, showing_key_of([](visit& w) { return network::private_key(w.other.seed).value(); }, true));
       }},
      {"a certificate signed by somebody else",
       tls,
       {},
       [](visit& v) {
         return shake(v, showing_key_of([](visit& w) { return network::private_key(w.other.seed).value(); }, false));
       }},
      {"a certificate that has expired",
       tls,
       {},
       [](visit& v) {
         return shake_showing(v, [](X509& c) { set_days(c, -90, -1); });
       }},
      {"a certificate of next week",
       tls,
       {},
       [](visit& v) {
         return shake_showing(v, [](X509& c) { set_days(c, 7, 90); });
       }},
      {"a certificate of version 1",
       tls,
       {},
       [](visit& v) {
         return shake_showing(v, [](X509& c) { X509_set_version(&c, X509_VERSION_1); });
       }},
      {"a certificate with a critical extension",
       tls,
       {},
       [](visit& v) {
         return shake_showing(v, [](X509& c) { add_extension(c, NID_basic_constraints, "critical,CA:TRUE"); });
       }},
      {"a certificate of 12 KiB",
       tls,
       {},
       [](visit& v) {
         return shake_showing(v, [](X509& c) { add_extension(c, NID_netscape_comment, std::string(12'000, 'x').c_str()); });
       }},
      {"two certificates",
       tls,
       {},
       [](visit& v) {
         return shake(v, [](visit& w, SSL_CTX& c) {
           show(c, certificate_of(w));
           auto second = certificate_of(w, [](X509& x) { X509_set_version(&x, X509_VERSION_3); });
           SSL_CTX_add_extra_chain_cert(&c, second.certificate.release());
         });
       }},
      {"key updates without an end",
       stage::hello,
       {},
       [](visit& v) {
         auto out = shake(v, honestly_but([](SSL_CTX&) {}), [](SSL& session) {
           for (int i = 0; i < 2'000; ++i)
             if (SSL_key_update(&session, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(&session) != 1)
               return;
         });
         return out;
       }},
  };
}

std::vector<bad_handshake> hello_table() {
  auto at = stage::hello;
  auto violated = errc::protocol_violated;
  return {
      {"silent after TLS",
       at,
       {},
       [](visit& v) {
         return say(v, only(""));
       }},
      {"closed after TLS",
       at,
       {},
       [](visit& v) {
         return say(v, only(""), true);
       }},
      {"a hello of another mesh", at, errc::peer_refused,
       [](visit& v) {
         return say(v, hello_with([](visit&, hello_terms& t) {
                      t.mesh = network::network_id::from(as_view("another mesh than the one there.."));
                    }));
       }},
      {"a hello that breaks off",
       at,
       {},
       [](visit& v) {
         return say(
             v, [](visit& w, talker& by) { return honest_hello(w, by).substr(0, 60); }, true);
       }},
      {"half a hello, and silence",
       at,
       {},
       [](visit& v) {
         return say(v, [](visit& w, talker& by) { return honest_hello(w, by).substr(0, 60); });
       }},
      {"a hello of another link", at, violated,
       [](visit& v) {
         return say(v, hello_of_another_link);
       }},
      {"a hello as the dialed side says it", at, violated,
       [](visit& v) {
         return say(v, hello_header([](visit& w, talker& by, std::string) {
                      auto terms = hello_terms{w.to.mesh}.text();
                      return signed_hello(terms, by.sign(terms, w.us.tls, 'a'));
                    }));
       }},
      {"a hello signed by somebody else", at, violated,
       [](visit& v) {
         return say(v, hello_header([](visit& w, talker& by, std::string) {
                      auto terms = hello_terms{w.to.mesh}.text();
                      return signed_hello(terms, by.sign(terms, w.other.tls));
                    }));
       }},
      {"a hello with other terms than were signed", at, violated,
       [](visit& v) {
         return say(v, hello_header([](visit& w, talker& by, std::string) {
                      hello_terms terms{w.to.mesh};
                      auto sig = by.sign(terms.text(), w.us.tls);
                      terms.requests_max = 65'000;
                      return signed_hello(terms.text(), sig);
                    }));
       }},
      {"a hello without a signature", at, violated,
       [](visit& v) {
         return say(v, hello_header([](visit& w, talker&, std::string) { return signed_hello(hello_terms{w.to.mesh}.text(), ""); }));
       }},
      {"a hello with half a signature", at, violated,
       [](visit& v) {
         return say(v, hello_header([](visit& w, talker& by, std::string) {
                      auto terms = hello_terms{w.to.mesh}.text();
                      return signed_hello(terms, by.sign(terms, w.us.tls).substr(0, 32));
                    }));
       }},
      {"an empty hello", at, violated,
       [](visit& v) {
         return say(v, only(frame_of(hello, "")));
       }},
      {"a hello without terms", at, errc::peer_refused,
       [](visit& v) {
         return say(v, hello_header([](visit& w, talker& by, std::string) { return signed_hello("", by.sign("", w.us.tls)); }));
       }},
      {"a hello that is no protobuf", at, violated,
       [](visit& v) {
         return say(v, only(frame_of(hello, std::string(100, '\xff'))));
       }},
      {"a hello with nested groups", at, violated,
       [](visit& v) {
         return say(v, hello_header([](visit&, talker&, std::string header) { return header + nested(300); }));
       }},
      {"terms with nested groups", at, violated,
       [](visit& v) {
         return say(v, hello_header([](visit& w, talker& by, std::string) {
                      auto terms = hello_terms{w.to.mesh}.text() + nested(300);
                      return signed_hello(terms, by.sign(terms, w.us.tls));
                    }));
       }},
      {"a hello that grants no request", at, violated,
       [](visit& v) {
         return say(v, hello_with([](visit&, hello_terms& t) { t.requests_max = 0; }));
       }},
      {"a hello that grants no bytes", at, violated,
       [](visit& v) {
         return say(v, hello_with([](visit&, hello_terms& t) { t.bytes_max = 1000; }));
       }},
      {"versions from 2 to 1", at, violated,
       [](visit& v) {
         return say(v, hello_with([](visit&, hello_terms& t) {
                      t.protocol_min = 2;
                      t.protocol_max = 1;
                    }));
       }},
      {"version 0 alone", at, violated,
       [](visit& v) {
         return say(v, hello_with([](visit&, hello_terms& t) { t.protocol_min = t.protocol_max = 0; }));
       }},
      {"a later version alone", at, errc::format_newer,
       [](visit& v) {
         return say(v, hello_with([](visit&, hello_terms& t) { t.protocol_min = t.protocol_max = 9; }));
       }},
      {"a hello with a body", at, violated,
       [](visit& v) {
         return say(v, [](visit& w, talker& by) { return frame_of(hello, by.hello_header({w.to.mesh}), "and more"); });
       }},
      {"a hello of 2 KiB", at, violated,
       [](visit& v) {
         return say(v, only(front(8 + 2048, hello, 2048) + std::string(2048, '\0')));
       }},
      {"a frame of 4 GiB", at, violated,
       [](visit& v) {
         return say(v, only(front(0xffffffff, hello, 0xfffffff0)));
       }},
      {"a frame shorter than its front", at, violated,
       [](visit& v) {
         return say(v, only(front(3, hello, 0)));
       }},
      {"a header longer than its frame", at, violated,
       [](visit& v) {
         return say(v, only(front(100, hello, 500)));
       }},
      {"a frame of a later version", at, violated,
       [](visit& v) {
         return say(v, only(front(8, hello, 0, 0, 2)));
       }},
      {"a frame of version 0", at, violated,
       [](visit& v) {
         return say(v, only(front(8, hello, 0, 0, 0)));
       }},
      {"a frame with flags", at, violated,
       [](visit& v) {
         return say(v, only(front(8, hello, 0, 1)));
       }},
      {"a frame of type 0", at, violated,
       [](visit& v) {
         return say(v, only(front(8, 0, 0)));
       }},
      {"a frame of an unknown type", at, violated,
       [](visit& v) {
         return say(v, only(front(8, 99, 0)));
       }},
      {"a request before the hello", at, violated,
       [](visit& v) {
         return say(v, only(request_of(1, sign_of_life())));
       }},
      {"an answer before the hello", at, violated,
       [](visit& v) {
         return say(v, only(frame_of(answer, with_id<v1::LinkAnswer>(1))));
       }},
      {"a ping before the hello", at, violated,
       [](visit& v) {
         return say(v, only(frame_of(ping, token(1))));
       }},
      {"an end before the hello",
       at,
       {},
       [](visit& v) {
         return say(v, only(frame_of(end, "")));
       }},
  };
}

std::vector<bad_handshake> open_table() {
  auto at = stage::open;
  auto violated = errc::protocol_violated;
  return {
      {"a hello twice", at, violated,
       [](visit& v) {
         return say(v, then([](visit& w, talker& by) { return honest_hello(w, by); }));
       }},
      {"an unknown type after the hello", at, violated,
       [](visit& v) {
         return say(v, then(front(8, 42, 0)));
       }},
      {"a request that is no protobuf", at, violated,
       [](visit& v) {
         return say(v, then(frame_of(request, std::string(100, '\xff'))));
       }},
      {"a request with nested groups", at, violated,
       [](visit& v) {
         return say(v, then(frame_of(request, with_id<v1::LinkRequest>(1) + nested(20'000))));
       }},
      {"a request of 64 MiB", at, violated,
       [](visit& v) {
         return say(v, then(front(64 << 20, request, 20)));
       }},
      {"a message of more than 64 KiB", at, violated,
       [](visit& v) {
         return say(v, then(request_of(1, std::string((64 << 10) + 10, 'x'))));
       }},
      {"a request with the number 0", at, violated,
       [](visit& v) {
         return say(v, then(request_of(0, sign_of_life())));
       }},
      {"a request twice", at, violated,
       [](visit& v) {
         return say(v, then(request_of(7, sign_of_life()) + request_of(7, sign_of_life())));
       }},
      {"requests that count down", at, violated,
       [](visit& v) {
         return say(v, then(request_of(7, sign_of_life()) + request_of(6, sign_of_life())));
       }},
      {"an answer that nobody asked for", at, violated,
       [](visit& v) {
         return say(v, then(frame_of(answer, with_id<v1::LinkAnswer>(5))));
       }},
      {"a cancel of what was never asked", at, violated,
       [](visit& v) {
         return say(v, then(frame_of(cancel, with_id<v1::LinkCancel>(5))));
       }},
      {"a pong without a ping", at, violated,
       [](visit& v) {
         return say(v, then(frame_of(pong, token(1))));
       }},
      {"a ping of 100 bytes", at, violated,
       [](visit& v) {
         return say(v, then(front(108, ping, 100)));
       }},
      {"a request that breaks off",
       at,
       {},
       [](visit& v) {
         return say(v, then(request_of(1, sign_of_life()).substr(0, 20)), true);
       }},
      {"garbage under TLS after the hello",
       at,
       {},
       [](visit& v) {
         outcome out;
         auto by = talker::dial(v.us.tls).value();
         if (!agree(v, by, out))
           return out;
         by.write(honest_hello(v, by));
         flush(v, by);
         auto cut = send_raw(v, record(23, std::string(400, 'x')));
         cut.heard_hello = out.heard_hello;
         return cut;
       }},
  };
}

} // namespace

std::string outcome::text() const {
  std::string out = closed ? "closed" : "left open";
  if (alert)
    out += fmt::format(", alert {}", *alert);
  if (end)
    out += fmt::format(", end {}", *end);
  if (answers > 0)
    out += fmt::format(", {} answers", answers);
  return heard_hello ? out + ", after its hello" : out;
}

const std::vector<bad_handshake>& bad_handshakes() {
  static const auto all = [] {
    auto out = tls_table();
    for (auto table : {hello_table(), open_table()})
      out.insert(out.end(), table.begin(), table.end());
    return out;
  }();
  return all;
}

const std::vector<bad_handshake>& good_handshakes() {
  static const std::vector<bad_handshake> all{
      {"frames made by hand",
       stage::open,
       {},
       [](visit& v) {
         return say(v, then(request_of(1, sign_of_life())), false, 1);
       }},
      {"TLS by OpenSSL",
       stage::hello,
       {},
       [](visit& v) {
         return shake(v, honestly_but([](SSL_CTX&) {}));
       }},
  };
  return all;
}

} // namespace datamesh::stranger
