#include "network/asio_resolver.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

namespace datamesh::network {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using answer = result<std::vector<ip_address>>;

constexpr auto attempted = "look up the name of a node";

/// Lives on while the system still asks a name server for it, which can not be cancelled.
struct resolving {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  tcp::resolver resolver{context};
  std::mutex mutex;
  uint64_t last = 0;
  std::map<uint64_t, std::function<void(answer)>> waiting;

  /// The first answer counts: an address, a failure, or that it took too long. Whoever lets the resolver
  /// go waits until nobody is being told.
  void tell(uint64_t number, answer what) {
    std::lock_guard guard{mutex};
    if (auto found = waiting.extract(number); !found.empty())
      found.mapped()(std::move(what));
  }
};

template <size_t Size>
std::optional<ip_address> ip_of(const std::array<unsigned char, Size>& raw) {
  return ip_from(std::as_bytes(std::span{raw}));
}

answer addresses_of(const host_name& name, const tcp::resolver::results_type& found) {
  std::vector<ip_address> all;
  for (const auto& one : found) {
    auto at = one.endpoint().address();
    auto ip = at.is_v4() ? ip_of(at.to_v4().to_bytes()) : ip_of(at.to_v6().to_bytes());
    if (ip && is_host(*ip) && std::ranges::find(all, *ip) == all.end() && all.size() < resolved_max)
      all.push_back(*ip);
  }
  if (all.empty())
    return fail(errc::not_found, attempted, name.name);
  return all;
}

error reason_of(const error_code& code, const host_name& name) {
  auto is_none = code == asio::error::host_not_found || code == asio::error::no_data;
  return error{is_none ? errc::not_found : errc::unavailable, attempted, name.name + ": " + code.message()};
}

class asio_resolver final : public name_resolver {
public:
  asio_resolver() : state_(std::make_shared<resolving>()) {
    std::thread{[state = state_] {
      state->context.run();
    }}.detach();
  }

  ~asio_resolver() override {
    {
      std::lock_guard guard{state_->mutex};
      state_->waiting.clear();
    }
    state_->context.stop();
    // Whoever lets it go last waits for the name server.
    std::thread{[state = std::move(state_)] {
    }}.detach();
  }
  asio_resolver(const asio_resolver&) = delete;
  asio_resolver& operator=(const asio_resolver&) = delete;

  void resolve(const host_name& name, std::function<void(answer)> done) override {
    uint64_t number = 0;
    {
      std::lock_guard guard{state_->mutex};
      number = ++state_->last;
      state_->waiting.emplace(number, std::move(done));
    }
    auto& state = *state_;
    asio::post(state.context, [&state, name, number] { begin(state, name, number); });
  }

private:
  /// On the thread of the context.
  static void begin(resolving& state, const host_name& name, uint64_t number) {
    auto timer = std::make_shared<asio::steady_timer>(state.context, resolve_time_max);
    timer->async_wait([&state, name, number](const error_code& code) {
      if (!code)
        state.tell(number, fail(errc::timed_out, attempted, name.name));
    });
    auto take = [&state, name, number, timer](const error_code& code, const tcp::resolver::results_type& found) {
      timer->cancel();
      state.tell(number, code ? answer{fail(reason_of(code, name))} : addresses_of(name, found));
    };
    // Only a name is looked up, never a service.
    if (name.family == name_family::any)
      state.resolver.async_resolve(name.name, "", std::move(take));
    else
      state.resolver.async_resolve(name.family == name_family::ip4 ? tcp::v4() : tcp::v6(), name.name, "", std::move(take));
  }

  std::shared_ptr<resolving> state_;
};

} // namespace

std::unique_ptr<name_resolver> make_asio_resolver() {
  return std::make_unique<asio_resolver>();
}

} // namespace datamesh::network
