#include "tests/e2e/stranger/crowd.hpp"

#include "tests/e2e/stranger/talker.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>

namespace datamesh::stranger {

namespace {

using std::chrono::steady_clock;

/// Of a slow reader, so that little waits in his own system.
constexpr int small_buffer = 4 << 10;
/// A slow reader can not see that the node left him, so he comes again after so long.
constexpr auto slow_visit = std::chrono::seconds{15};
/// What a stranger who was thrown out waits before he dials again.
constexpr auto sulk = std::chrono::milliseconds{200};

struct stranger {
  manner how{};
  size_t number = 0;
  std::unique_ptr<persona> who; ///< Of those who say a hello.
  descriptor socket;
  std::optional<talker> link;
  bool connected = false;
  bool done = false; ///< All was said that he says.
  steady_clock::time_point since;
};

class crowd {
public:
  crowd(const crowd_plan& plan, std::atomic<size_t>& came)
      : plan_(plan), came_(came), chance_(plan.seed), poll_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (size_t i = 0; i < plan.each; ++i)
      for (size_t kind = 0; kind < manners; ++kind) {
        auto& one = all_.emplace_back();
        one.how = static_cast<manner>(kind);
        one.number = i;
      }
    for (size_t i = 0; i < all_.size(); ++i)
      waiting_[index(all_[i])].push_back({steady_clock::time_point{}, i});
  }

  crowd_figures run(const std::atomic<bool>& stop) {
    std::array<epoll_event, 256> events{};
    auto turn = steady_clock::now();
    double owed = 0;
    while (!stop) {
      auto at = steady_clock::now();
      owed = std::min(owed + std::chrono::duration<double>(at - turn).count() * plan_.dials_a_second, 200.0);
      turn = at;
      while (owed >= 1 && dial_next(at))
        owed -= 1;
      auto count = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), 5);
      for (int i = 0; i < count; ++i)
        serve(events[static_cast<size_t>(i)].data.u64, events[static_cast<size_t>(i)].events);
      if (at > looked_ + std::chrono::seconds{1})
        renew_slow(at);
    }
    return figures_;
  }

private:
  struct turn_of {
    steady_clock::time_point when;
    size_t who = 0;
  };

  static size_t index(const stranger& of) {
    return static_cast<size_t>(of.how);
  }

  // Each manner in its turn, so that none takes all that the node lets in.
  bool dial_next(steady_clock::time_point at) {
    for (size_t tried = 0; tried < manners; ++tried) {
      auto& queue = waiting_[next_++ % manners];
      if (queue.empty() || queue.front().when > at)
        continue;
      auto who = queue.front().who;
      queue.pop_front();
      dial(who, at);
      return true;
    }
    return false;
  }

  void dial(size_t who, steady_clock::time_point at) {
    auto& s = all_[who];
    s.socket = dial_from(host_address(s.number), plan_.to.port, s.how == manner::slow_reader ? small_buffer : 0);
    s.connected = s.done = false;
    s.since = at;
    ++figures_.dialed[index(s)];
    if (!s.socket) {
      ++figures_.no_socket;
      return rest(who, at);
    }
    watch(who, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    auto& here = here_[index(s)];
    figures_.at_once[index(s)] = std::max(figures_.at_once[index(s)], ++here);
  }

  void watch(size_t who, int how, uint32_t events) {
    epoll_event wanted{};
    wanted.events = events;
    wanted.data.u64 = who;
    ::epoll_ctl(poll_.get(), how, all_[who].socket.get(), &wanted);
  }

  void rest(size_t who, steady_clock::time_point at) {
    waiting_[index(all_[who])].push_back({at + sulk, who});
  }

  void leave(size_t who) {
    auto& s = all_[who];
    s.link.reset();
    s.socket = descriptor{};
    --here_[index(s)];
    rest(who, steady_clock::now());
  }

  void thrown_out(size_t who) {
    ++figures_.ended[index(all_[who])];
    leave(who);
  }

  void serve(size_t who, uint32_t events) {
    auto& s = all_[who];
    if (!s.socket)
      return;
    if ((events & (EPOLLERR | EPOLLHUP)) != 0)
      return thrown_out(who);
    if (!s.connected && (events & EPOLLOUT) != 0) {
      s.connected = true;
      watch(who, EPOLL_CTL_MOD, EPOLLIN | EPOLLRDHUP);
      begin(who);
    }
    if (s.socket && (events & (EPOLLIN | EPOLLRDHUP)) != 0)
      read(who);
  }

  void begin(size_t who) {
    auto& s = all_[who];
    if (s.how == manner::silent)
      return;
    if (!s.who)
      s.who = std::make_unique<persona>(plan_.seed << 20 | static_cast<uint64_t>(s.how) << 16 | s.number);
    auto made = talker::dial(s.who->tls);
    if (!made)
      return leave(who);
    s.link = std::move(*made);
    auto flight = s.link->take_output();
    if (s.how == manner::partial_tls)
      flight.resize(1 + chance_.below(flight.size() - 1));
    if (!send_all(s.socket.get(), flight, 0))
      thrown_out(who);
  }

  void read(size_t who) {
    auto& s = all_[who];
    std::array<std::byte, 16 << 10> part;
    auto got = ::recv(s.socket.get(), part.data(), part.size(), 0);
    if (got < 0 && errno == EAGAIN)
      return;
    if (got <= 0 || !s.link || s.how == manner::partial_tls)
      return thrown_out(who);
    if (!s.link->received(byte_view{part}.first(static_cast<size_t>(got))))
      return thrown_out(who);
    auto heard = false;
    while (auto frame = s.link->take_frame()) {
      if (frame->type == end)
        return thrown_out(who);
      heard = heard || frame->type == hello;
    }
    if (heard && !std::exchange(s.done, true)) {
      ++figures_.opened[index(s)];
      came_ =
          std::min(figures_.opened[static_cast<size_t>(manner::partial_frame)], figures_.opened[static_cast<size_t>(manner::slow_reader)]);
      hold_on(s);
      // Who reads nothing learns nothing but that the wire is gone.
      if (s.how == manner::slow_reader)
        watch(who, EPOLL_CTL_MOD, 0);
    }
    if (auto out = s.link->take_output(); !out.empty() && !send_all(s.socket.get(), out, 0))
      thrown_out(who);
  }

  void hold_on(stranger& s) {
    s.link->write(frame_of(hello, s.link->hello_header({plan_.to.mesh})));
    if (s.how == manner::slow_reader) {
      for (size_t i = 1; i <= plan_.questions; ++i)
        s.link->write(request_of(i, plan_.question));
      return;
    }
    // Half of them as little as makes the node expect the rest, half of them more.
    auto whole = request_of(1, "x", std::string(1 << 20, 'x'));
    s.link->write(whole.substr(0, s.number % 2 == 0 ? 13 : 40'000));
  }

  void renew_slow(steady_clock::time_point at) {
    looked_ = at;
    for (size_t i = 0; i < all_.size(); ++i)
      if (auto& s = all_[i]; s.how == manner::slow_reader && s.socket && s.done && at > s.since + slow_visit)
        leave(i);
  }

  const crowd_plan& plan_;
  std::atomic<size_t>& came_;
  test::seeded_random chance_;
  descriptor poll_;
  std::deque<stranger> all_;
  std::array<std::deque<turn_of>, manners> waiting_;
  std::array<size_t, manners> here_{};
  size_t next_ = 0;
  steady_clock::time_point looked_{};
  crowd_figures figures_;
};

} // namespace

crowd_figures run_crowd(const crowd_plan& plan, const std::atomic<bool>& stop, std::atomic<size_t>& came) {
  return crowd{plan, came}.run(stop);
}

} // namespace datamesh::stranger
