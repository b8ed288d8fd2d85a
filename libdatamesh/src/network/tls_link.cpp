#include "network/tls_link.hpp"

#include "network/tls_buffer.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cstring>
#include <mutex>

namespace datamesh::network {

namespace {

constexpr std::string_view protocol = "datamesh/1";
/// As ALPN writes it: each name behind its length.
constexpr std::string_view protocol_list = "\x0a"
                                           "datamesh/1";

constexpr auto renew_after = certificate_lifetime / 2;

struct free_session {
  void operator()(SSL* x) const noexcept {
    SSL_free(x);
  }
};

const unsigned char* raw(std::string_view text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}

/// What the callback judges by, and what it found.
struct verdict {
  std::shared_ptr<const clock> wall;
  std::optional<peer_id> expected;
  std::optional<peer_identity> peer;
  std::optional<error> refusal;
};

// Stands for all of OpenSSL's checks of a chain, so that it must make all of ours.
int judge_peer(X509_STORE_CTX* store, void*) {
  auto* session = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto& so_far = *static_cast<verdict*>(SSL_get_app_data(session));
  auto* shown = X509_STORE_CTX_get0_cert(store);
  auto* chain = X509_STORE_CTX_get0_untrusted(store);
  auto found = result<peer_identity>{fail(errc::peer_refused, "check a node's certificate", "it shows none, or several")};
  if (shown != nullptr && (chain == nullptr || sk_X509_num(chain) <= 1))
    found = check_certificate(*shown, so_far.wall->wall());
  if (found && so_far.expected && found->id != *so_far.expected)
    found = fail(errc::peer_refused, "reach a node", "node " + found->id.brief() + " answers in place of " + so_far.expected->brief());
  if (found) {
    so_far.peer = *found;
    return 1;
  }
  so_far.refusal = found.error();
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

int choose_protocol(SSL*, const unsigned char** out, unsigned char* out_size, const unsigned char* in, unsigned in_size, void*) {
  // OpenSSL does not write to what it is given back.
  unsigned char* chosen = nullptr;
  auto size = static_cast<unsigned>(protocol_list.size());
  if (SSL_select_next_proto(&chosen, out_size, raw(protocol_list), size, in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

bool set_up(SSL_CTX* context, X509& certificate, EVP_PKEY& key) {
  constexpr auto both_ways = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, both_ways, nullptr);
  SSL_CTX_set_cert_verify_callback(context, judge_peer, nullptr);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  // A certificate of ours has about 300 bytes.
  SSL_CTX_set_max_cert_list(context, 4 << 10);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
  return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1
         && SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") == 1
         && SSL_CTX_set1_groups_list(context, "X25519") == 1 && SSL_CTX_set1_sigalgs_list(context, "ed25519") == 1
         && SSL_CTX_set_num_tickets(context, 0) == 1 && SSL_CTX_set_max_early_data(context, 0) == 1
         && SSL_CTX_set_alpn_protos(context, raw(protocol_list), static_cast<unsigned>(protocol_list.size())) == 0
         && SSL_CTX_use_certificate(context, &certificate) == 1 && SSL_CTX_use_PrivateKey(context, &key) == 1;
}

} // namespace

struct tls_identity::impl {
  peer_id id;
  crypto::public_key key;
  crypto::key256 seed;
  std::shared_ptr<const clock> wall;
  random_source* random = nullptr;

  /// With a certificate that is valid for long enough, if one can be had.
  [[nodiscard]] std::shared_ptr<SSL_CTX> current();
  [[nodiscard]] result<void> renew(clock::wall_time now);

private:
  std::mutex mutex_;
  std::shared_ptr<SSL_CTX> context_; ///< Links that are open keep the one that they began with.
  clock::wall_time made_;
};

result<void> tls_identity::impl::renew(clock::wall_time now) {
  auto secret = private_key(seed);
  if (!secret)
    return fail(secret.error());
  auto certificate = make_certificate(**secret, now, *random);
  if (!certificate)
    return fail(certificate.error());
  std::shared_ptr<SSL_CTX> fresh{SSL_CTX_new(TLS_method()), &SSL_CTX_free};
  if (!fresh || !set_up(fresh.get(), **certificate, **secret)) {
    ERR_clear_error();
    return fail(errc::internal, "make a certificate", "this OpenSSL lacks something");
  }
  context_ = std::move(fresh);
  made_ = now;
  return {};
}

std::shared_ptr<SSL_CTX> tls_identity::impl::current() {
  std::lock_guard guard{mutex_};
  auto now = wall->wall();
  // Where none can be made, the one that there is may still do.
  if (now >= made_ + renew_after || now < made_ - clock_error_max)
    (void) renew(now);
  return context_;
}

tls_identity::tls_identity(std::unique_ptr<impl> with) : impl_(std::move(with)) {}
tls_identity::tls_identity(tls_identity&&) noexcept = default;
tls_identity& tls_identity::operator=(tls_identity&&) noexcept = default;
tls_identity::~tls_identity() = default;

const peer_id& tls_identity::id() const noexcept {
  return impl_->id;
}

const crypto::public_key& tls_identity::key() const noexcept {
  return impl_->key;
}

result<crypto::signature> tls_identity::sign(byte_view message) const {
  return crypto::ed25519_sign(impl_->seed, message);
}

result<tls_identity> tls_identity::make(const crypto::key256& seed, std::shared_ptr<const clock> wall, random_source& random) {
  constexpr auto attempted = "set up TLS";
  auto open = crypto::ed25519_public(seed);
  if (!open)
    return fail(open.error().within(attempted));
  auto id = peer_of(*open);
  if (!id)
    return fail(id.error().within(attempted));
  auto made = std::make_unique<impl>();
  made->id = *id;
  made->key = *open;
  made->seed = seed;
  made->wall = std::move(wall);
  made->random = &random;
  if (auto first = made->renew(made->wall->wall()); !first)
    return fail(first.error().within(attempted));
  return tls_identity{std::move(made)};
}

namespace {

// The outer headers are plain: u8 type | u16 version | u16 length, big-endian (RFC 8446, 5.1).
constexpr size_t record_head = 5;
constexpr std::byte of_handshake{22};

/// Of a whole head.
size_t payload_of(byte_view head) noexcept {
  return std::to_integer<size_t>(head[3]) << 8 | std::to_integer<size_t>(head[4]);
}

// A record with nothing but a key update or an empty one costs us some
// microseconds, and OpenSSL takes any number of them.
class record_counter {
public:
  void pass(byte_view data) noexcept {
    while (!data.empty()) {
      auto skipped = std::min(left_, data.size());
      left_ -= skipped;
      data = data.subspan(skipped);
      if (data.empty())
        return;
      header_[have_++] = data.front();
      data = data.subspan(1);
      if (have_ < header_.size())
        continue;
      have_ = 0;
      left_ = payload_of(header_);
      if (left_ < small_record)
        ++small_;
    }
  }
  [[nodiscard]] uint64_t small() const noexcept {
    return small_;
  }

private:
  std::array<std::byte, record_head> header_{};
  size_t have_ = 0;
  size_t left_ = 0; ///< Of the record that has begun.
  uint64_t small_ = 0;
};

/// What TLS adds to a record of at most so many bytes: RFC 8446, section 5.2.
constexpr size_t record_max = 16 << 10;
constexpr size_t record_overhead_max = record_head + 256;

} // namespace

bool is_part_of_first_record(byte_view came) noexcept {
  if (!came.empty() && came[0] != of_handshake)
    return false;
  return came.size() < record_head || (payload_of(came) <= record_max && came.size() < record_head + payload_of(came));
}

struct tls_link::impl {
  verdict about;
  tls_buffer in;
  tls_buffer out;
  std::unique_ptr<SSL, free_session> session; ///< Owns what reads and writes these.
  record_counter records;
  size_t handshake_bytes = 0;
  bool established = false;
  std::optional<error> broken;

  error break_down(errc code, const char* attempted, std::string reason);
  result<void> go_on();
};

tls_link::tls_link(std::unique_ptr<impl> with) : impl_(std::move(with)) {}
tls_link::tls_link(tls_link&&) noexcept = default;
tls_link& tls_link::operator=(tls_link&&) noexcept = default;
tls_link::~tls_link() = default;

error tls_link::impl::break_down(errc code, const char* attempted, std::string reason) {
  ERR_clear_error();
  broken = about.refusal ? *about.refusal : error{code, attempted, std::move(reason)};
  return *broken;
}

result<tls_link> tls_link::open(const tls_identity& us, link_side side, std::optional<peer_id> expected) {
  constexpr auto attempted = "open a TLS link";
  auto made = std::make_unique<impl>();
  made->about.wall = us.impl_->wall;
  made->about.expected = expected;
  made->session.reset(SSL_new(us.impl_->current().get()));
  auto* in = made->in.make_bio();
  auto* out = made->out.make_bio();
  if (!made->session || in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    ERR_clear_error();
    return fail(errc::internal, attempted, "there is no memory");
  }
  SSL_set_bio(made->session.get(), in, out);
  SSL_set_app_data(made->session.get(), &made->about);
  if (side == link_side::dialer)
    SSL_set_connect_state(made->session.get());
  else
    SSL_set_accept_state(made->session.get());
  if (auto begun = made->go_on(); !begun)
    return fail(begun.error().within(attempted));
  return tls_link{std::move(made)};
}

result<void> tls_link::impl::go_on() {
  if (established)
    return {};
  ERR_clear_error();
  auto done = SSL_do_handshake(session.get());
  if (done != 1) {
    auto why = SSL_get_error(session.get(), done);
    if (why == SSL_ERROR_WANT_READ)
      return {};
    auto* text = ERR_reason_error_string(ERR_peek_error());
    return fail(break_down(errc::protocol_violated, "agree on TLS", text == nullptr ? "the handshake ended" : text));
  }
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(session.get(), &chosen, &size);
  if (!about.peer || std::string_view{reinterpret_cast<const char*>(chosen), size} != protocol)
    return fail(break_down(errc::protocol_violated, "agree on TLS", "the peer does not speak datamesh/1"));
  established = true;
  return {};
}

result<void> tls_link::received(byte_view data) {
  auto& self = *impl_;
  if (self.broken)
    return fail(*self.broken);
  if (!self.established) {
    // The last piece may hold more than the handshake's end.
    if (self.handshake_bytes > handshake_bytes_max)
      return fail(self.break_down(errc::protocol_violated, "agree on TLS", "the handshake is too long"));
    self.handshake_bytes += data.size();
  }
  self.records.pass(data);
  self.in.put(data);
  return self.go_on();
}

byte_view tls_link::output() const noexcept {
  return impl_->out.view();
}

void tls_link::drop_output(size_t count) noexcept {
  impl_->out.drop(std::min(count, impl_->out.size()));
  impl_->out.give_back();
}

std::vector<std::byte> tls_link::take_output() {
  auto all = output();
  std::vector<std::byte> out{all.begin(), all.end()};
  drop_output(out.size());
  return out;
}

uint64_t tls_link::small_records() const noexcept {
  return impl_->records.small();
}

size_t tls_link::output_size() const noexcept {
  return impl_->out.size();
}

bool tls_link::established() const noexcept {
  return impl_->established;
}

const peer_id& tls_link::peer() const noexcept {
  return impl_->about.peer->id;
}

bool tls_link::is_signed_by_peer(byte_view message, const crypto::signature& sig) const {
  return crypto::ed25519_verify(impl_->about.peer->key, message, sig);
}

result<void> tls_link::write(byte_view plain) {
  auto& self = *impl_;
  if (self.broken)
    return fail(*self.broken);
  size_t written = 0;
  ERR_clear_error();
  self.out.reserve(plain.size() + (plain.size() / record_max + 1) * record_overhead_max);
  // A buffer takes all; 0 bytes would be an error.
  if (!plain.empty() && (SSL_write_ex(self.session.get(), plain.data(), plain.size(), &written) != 1 || written != plain.size()))
    return fail(self.break_down(errc::protocol_violated, "write to a link", "it is closed"));
  return {};
}

result<size_t> tls_link::read(byte_span out) {
  auto& self = *impl_;
  if (self.broken)
    return fail(*self.broken);
  size_t got = 0;
  ERR_clear_error();
  if (out.empty() || !self.established || SSL_read_ex(self.session.get(), out.data(), out.size(), &got) == 1)
    return got;
  switch (SSL_get_error(self.session.get(), 0)) {
  case SSL_ERROR_WANT_READ:
    self.in.give_back();
    return 0;
  case SSL_ERROR_ZERO_RETURN:
    return fail(self.break_down(errc::unavailable, "read from a link", "the peer closed it"));
  default:
    return fail(self.break_down(errc::protocol_violated, "read from a link", "bytes on it do not authenticate"));
  }
}

void tls_link::close() noexcept {
  if (!impl_->broken && impl_->established)
    SSL_shutdown(impl_->session.get());
  ERR_clear_error();
}

result<crypto::key256> tls_link::exported(std::string_view label, byte_view context) const {
  crypto::key256 key;
  auto out = reinterpret_cast<unsigned char*>(key.span().data());
  auto about = reinterpret_cast<const unsigned char*>(context.data());
  if (SSL_export_keying_material(impl_->session.get(), out, key.span().size(), label.data(), label.size(), about, context.size(), 1) != 1) {
    ERR_clear_error();
    return fail(errc::internal, "derive a key from a link");
  }
  return key;
}

} // namespace datamesh::network
