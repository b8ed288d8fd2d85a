#include "tests/e2e/stranger/honest.hpp"

#include "network/discovery_message.hpp"
#include "network/peer_part.hpp"

#include <poll.h>
#include <sys/socket.h>

namespace datamesh::stranger {

namespace {

clock::monotonic_time now() {
  return std::chrono::steady_clock::now();
}

/// Until it is readable or over; false when it is that late. To the microsecond: a time is measured by it.
bool await_input_until(int fd, clock::monotonic_time when) {
  auto left = std::max<int64_t>(0, std::chrono::nanoseconds{when - now()}.count());
  timespec span{left / 1'000'000'000, left % 1'000'000'000};
  pollfd one{fd, POLLIN, 0};
  return ::ppoll(&one, 1, &span, nullptr) == 1;
}

} // namespace

std::string sign_of_life() {
  return network::message_to(network::peer_part::discovery, network::encode(network::request_message{{}, network::ping{}}));
}

void honest_peer::leave() {
  link_.reset();
  socket_ = descriptor{};
}

error honest_peer::lost() const {
  return why_.value_or(error{errc::timed_out, "ask the node"});
}

// Its next event, or nothing when the time is over or the link is.
std::optional<network::link_event> honest_peer::next_event(time until) {
  std::array<std::byte, 64 << 10> part;
  while (link_) {
    if (auto event = link_->take_event()) {
      if (auto* closed = std::get_if<network::link_closed>(&*event)) {
        why_ = closed->reason;
        leave();
        return std::nullopt;
      }
      return event;
    }
    if (auto out = link_->take_output(); !out.empty() && !send_all(socket_.get(), out))
      link_->lost(error{errc::unavailable, "send to the node"});
    if (link_->is_closed())
      continue;
    auto due = std::min(until, link_->next_tick());
    if (await_input_until(socket_.get(), due)) {
      auto got = ::recv(socket_.get(), part.data(), part.size(), 0);
      if (got > 0)
        link_->received(byte_view{part}.first(static_cast<size_t>(got)), now());
      else if (got == 0 || errno != EAGAIN)
        link_->lost(error{errc::unavailable, "hear the node"});
    } else if (now() >= until) {
      return std::nullopt;
    }
    link_->tick(now());
  }
  return std::nullopt;
}

result<void> honest_peer::connect(std::chrono::milliseconds patience) {
  if (link_ && link_->is_open())
    return {};
  leave();
  why_.reset();
  socket_ = dial_from(address_, to_.port);
  if (!socket_)
    return fail(errc::unavailable, "dial the node", "the system has no socket");
  network::link_options options;
  options.network = to_.mesh;
  auto made = network::peer_link::open(us_.tls, network::link_side::dialer, std::nullopt, options, now());
  if (!made)
    return fail(made.error());
  link_ = std::move(*made);
  auto until = now() + patience;
  while (auto event = next_event(until))
    if (std::holds_alternative<network::link_opened>(*event))
      return {};
  auto reason = lost();
  leave();
  return fail(reason);
}

result<network::link_answer> honest_peer::ask(std::string message, byte_view body, std::chrono::milliseconds patience) {
  if (!link_)
    return fail(lost());
  auto until = now() + patience;
  auto id = link_->request(std::move(message), body, until, now());
  if (!id)
    return fail(id.error());
  while (auto event = next_event(until + std::chrono::milliseconds{50}))
    if (auto* answer = std::get_if<network::link_answer>(&*event); answer != nullptr && answer->id == *id)
      return std::move(*answer);
  return fail(lost());
}

void honest_peer::rest(std::chrono::steady_clock::time_point until) {
  while (now() < until && next_event(until))
    ;
}

} // namespace datamesh::stranger
