#include "tests/libdatamesh/network/memory_net.hpp"

namespace datamesh::test {

using namespace network;

bool memory_net::step() {
  bool any = false;
  for (; !events_.empty(); any = true) {
    auto next = std::move(events_.front());
    events_.pop_front();
    next();
  }
  for (auto* each : std::vector{all_})
    if (each->alarm_ && *each->alarm_ <= time->monotonic()) {
      each->alarm_.reset();
      each->user_->tick();
      any = true;
    }
  return any;
}

bool memory_net::run() {
  bool any = false;
  while (step())
    any = true;
  return any;
}

void memory_net::pass(std::chrono::nanoseconds span) {
  auto end = time->monotonic() + span;
  for (run(); time->monotonic() < end; run()) {
    auto next = end;
    for (auto* each : all_)
      if (each->alarm_)
        next = std::min(next, *each->alarm_);
    time->advance(next - time->monotonic());
  }
}

memory_transport::memory_transport(memory_net& net, const endpoint& at, bool listens) : net_(net), at_(at), listens_(listens) {}

memory_transport::~memory_transport() {
  stop();
}

void memory_transport::start(transport_user& user) {
  user_ = &user;
  net_.all_.push_back(this);
  if (listens_)
    net_.places_[at_] = this;
}

void memory_transport::stop() {
  std::erase(net_.all_, this);
  if (listens_)
    net_.places_.erase(at_);
  while (!ends_.empty())
    close(ends_.begin()->first);
  user_ = nullptr;
  alarm_.reset();
}

void memory_transport::post(std::function<void()> what) {
  net_.events_.push_back([this, alive = std::weak_ptr{alive_}, what = std::move(what)] {
    if (!alive.expired() && user_ != nullptr)
      what();
  });
}

memory_transport::end* memory_transport::find(socket_id socket) {
  auto at = ends_.find(socket);
  return at == ends_.end() ? nullptr : &at->second;
}

void memory_transport::later(socket_id socket, void (memory_transport::*what)(socket_id)) {
  post([this, socket, what] { (this->*what)(socket); });
}

socket_id memory_transport::dial(const endpoint& to) {
  auto socket = ++last_;
  ends_[socket] = {};
  post([this, socket, to, from = at_] {
    if (find(socket) == nullptr)
      return;
    auto place = net_.places_.find(to);
    if (place == net_.places_.end())
      return fail(socket, "nobody listens there");
    auto& there = *place->second;
    auto other = ++there.last_;
    auto forth = std::make_shared<stream>();
    auto back = std::make_shared<stream>();
    there.ends_[other] = {this, socket, forth, back};
    auto reading = ends_[socket].reading;
    ends_[socket] = {&there, other, back, forth, reading};
    user_->connected(socket);
    if (there.find(other) != nullptr && !there.user_->accepted(other, from))
      there.close(other);
  });
  return socket;
}

size_t memory_transport::send(socket_id socket, byte_view data) {
  auto* e = find(socket);
  if (e == nullptr || e->there == nullptr)
    return 0;
  auto room = net_.buffer - std::min(net_.buffer, e->out->data.size());
  auto taken = data.first(std::min(room, data.size()));
  e->out->data.insert(e->out->data.end(), taken.begin(), taken.end());
  e->out->starved = taken.size() < data.size();
  if (!taken.empty())
    e->there->later(e->other, &memory_transport::arrive);
  return taken.size();
}

void memory_transport::arrive(socket_id socket) {
  auto* e = find(socket);
  if (e == nullptr || !e->reading || net_.dead || e->ended || !e->in)
    return;
  auto in = e->in;
  if (in->data.empty()) {
    if (in->shut)
      fail(socket, "the other side closed it");
    return;
  }
  auto size = static_cast<ptrdiff_t>(std::min({in->data.size(), net_.piece, size_t{64 << 10}}));
  std::vector<std::byte> part{in->data.begin(), in->data.begin() + size};
  in->data.erase(in->data.begin(), in->data.begin() + size);
  if (in->data.empty())
    in->data = std::vector<std::byte>{};
  if (std::exchange(in->starved, false) && e->there != nullptr)
    e->there->later(e->other, &memory_transport::make_room);
  if (!in->data.empty() || in->shut)
    later(socket, &memory_transport::arrive);
  user_->received(socket, part);
}

void memory_transport::make_room(socket_id socket) {
  if (find(socket) != nullptr)
    user_->writable(socket);
}

void memory_transport::fail(socket_id socket, const char* why) {
  auto* e = find(socket);
  if (e == nullptr || std::exchange(e->ended, true))
    return;
  user_->ended(socket, error{errc::unavailable, "use a connection", why});
}

void memory_transport::read(socket_id socket, bool wanted) {
  ++reads;
  if (auto* e = find(socket)) {
    e->reading = wanted;
    if (wanted)
      later(socket, &memory_transport::arrive);
  }
}

void memory_transport::shut(socket_id socket) {
  auto* e = find(socket);
  if (e == nullptr || e->there == nullptr)
    return;
  e->out->shut = true;
  e->there->later(e->other, &memory_transport::arrive);
}

void memory_transport::close(socket_id socket) {
  auto* e = find(socket);
  if (e == nullptr)
    return;
  if (e->there != nullptr) {
    e->out->shut = true;
    auto* other = e->there->find(e->other);
    other->there = nullptr;
    e->there->later(e->other, &memory_transport::arrive);
  }
  ends_.erase(socket);
}

void memory_transport::wake_at(clock::monotonic_time when) {
  alarm_ = when;
}

} // namespace datamesh::test
