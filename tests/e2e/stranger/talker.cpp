#include "tests/e2e/stranger/talker.hpp"

#include "base/little_endian.hpp"
#include "datamesh/v1/link.pb.h"

namespace datamesh::stranger {

namespace {

template <class Number>
void put(std::string& out, Number value) {
  std::array<std::byte, sizeof(Number)> raw{};
  store_le<Number>(raw, value);
  out += as_text(raw);
}

} // namespace

std::string frame_front::text() const {
  std::string out;
  put<uint32_t>(out, length);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  put<uint16_t>(out, version);
  put<uint32_t>(out, header);
  return out;
}

std::string frame_of(uint8_t type, std::string_view header, std::string_view body) {
  frame_front front;
  front.length = static_cast<uint32_t>(8 + header.size() + body.size());
  front.type = type;
  front.header = static_cast<uint32_t>(header.size());
  return front.text().append(header).append(body);
}

std::string request_of(uint64_t id, std::string_view message, std::string_view body, uint32_t deadline_ms) {
  v1::LinkRequest asked;
  asked.set_id(id);
  asked.set_deadline_ms(deadline_ms);
  asked.set_message(std::string{message});
  return frame_of(request, asked.SerializeAsString(), body);
}

std::string hello_terms::text() const {
  v1::HelloTerms terms;
  terms.set_network(std::string{mesh.text()});
  terms.set_protocol_min(protocol_min);
  terms.set_protocol_max(protocol_max);
  terms.set_requests_max(requests_max);
  terms.set_bytes_max(bytes_max);
  return terms.SerializeAsString();
}

result<talker> talker::dial(const network::tls_identity& us) {
  return network::tls_link::open(us, network::link_side::dialer, std::nullopt).map([&](network::tls_link opened) {
    return talker{us, std::move(opened)};
  });
}

bool talker::received(byte_view data) {
  if (!tls_.received(data))
    return false;
  std::array<std::byte, 16 << 10> part;
  while (tls_.established()) {
    auto got = tls_.read(part);
    if (!got)
      return false;
    if (*got == 0)
      return true;
    in_ += as_text(byte_view{part}.first(*got));
  }
  return true;
}

std::optional<plain_frame> talker::take_frame() {
  if (in_.size() < 12)
    return std::nullopt;
  auto length = load_le<uint32_t>(as_view(in_));
  auto header = load_le<uint32_t>(as_view(in_).subspan(8));
  if (in_.size() < size_t{4} + length || length < 8 || header > length - 8)
    return std::nullopt;
  plain_frame out{static_cast<uint8_t>(in_[4]), in_.substr(12, header), in_.substr(12 + header, length - 8 - header)};
  in_.erase(0, size_t{4} + length);
  return out;
}

std::string talker::sign(std::string_view terms, const network::tls_identity& signer, char side) const {
  auto who = static_cast<std::byte>(side);
  auto key = tls_.exported("EXPORTER-datamesh-hello", byte_view{&who, 1}).value();
  auto message = std::string{"datamesh hello 1"}.append(as_text(key.view())).append(terms);
  return std::string{as_text(signer.sign(as_view(message)).value())};
}

std::string talker::hello_header(const hello_terms& terms) const {
  v1::Hello said;
  said.set_terms(terms.text());
  said.set_signature(sign(said.terms(), *us_));
  return said.SerializeAsString();
}

void talker::write(std::string_view plain) {
  // What can not be written any more is seen by the end of the link.
  (void) tls_.write(as_view(plain));
}

} // namespace datamesh::stranger
