#include "tests/simulation/mesh/wire.hpp"

#include <algorithm>

namespace datamesh::test {

using namespace network;

namespace {

/// What a connection holds in each direction before it takes no more, and how much arrives at once.
constexpr size_t held_max = 256 << 10;
constexpr size_t piece_max = 64 << 10;
constexpr auto looked_again = std::chrono::milliseconds{200};
/// A dial to a place that does not answer.
constexpr auto dial_max = std::chrono::seconds{60};

} // namespace

// -- the network -----------------------------------------------------------------------------------

std::chrono::nanoseconds sim_network::draw_delay() {
  auto& chance = *stage.chance;
  auto span = static_cast<uint64_t>(std::chrono::nanoseconds{delay_max - delay_min}.count());
  auto delay = std::chrono::nanoseconds{delay_min} + std::chrono::nanoseconds{static_cast<int64_t>(chance.below(span + 1))};
  return slow_one_in > 0 && chance.below(slow_one_in) == 0 ? delay * static_cast<int64_t>(1 + chance.below(100)) : delay;
}

void sim_network::part(const ip_address& from, const ip_address& to) {
  parted_.emplace(from, to);
}

void sim_network::mend() {
  parted_.clear();
}

void sim_network::reset(const ip_address& at) {
  auto found = at_.find(at);
  if (found == at_.end() || found->second->ends_.empty())
    return;
  auto& ends = found->second->ends_;
  auto which = std::next(ends.begin(), static_cast<ptrdiff_t>(stage.chance->below(ends.size())));
  if (!which->second.in)
    return;
  which->second.in->broken = true;
  which->second.out->broken = true;
  if (auto* other = found->second->there(which->second))
    other->look_later(which->second.other, stage.now());
  found->second->look_later(which->first, stage.now());
}

// -- a place on it -----------------------------------------------------------------------------------

sim_transport::~sim_transport() {
  stop();
}

void sim_transport::start(transport_user& user) {
  user_ = &user;
  if (is_cut_)
    return;
  net_.places_[at_] = this;
  net_.at_[at_.ip] = this;
}

void sim_transport::stop() {
  if (user_ == nullptr)
    return;
  cut();
  user_ = nullptr;
  alive_.reset();
}

void sim_transport::cut() {
  if (std::exchange(is_cut_, true))
    return;
  net_.places_.erase(at_);
  net_.at_.erase(at_.ip);
  ends_.clear();
}

void sim_transport::post(std::function<void()> what) {
  net_.stage.after({}, [this, alive = std::weak_ptr{alive_}, what = std::move(what)] {
    if (!alive.expired() && user_ != nullptr)
      what();
  });
}

sim_transport::end* sim_transport::find(socket_id socket) {
  auto at = ends_.find(socket);
  return at == ends_.end() ? nullptr : &at->second;
}

sim_transport* sim_transport::there(const end& of) const {
  auto other = of.there.lock();
  return other && !(*other)->is_cut_ ? *other : nullptr;
}

/// A piece that arrives while another is looked for is found by that.
void sim_transport::look_later(socket_id socket, clock::monotonic_time when) {
  net_.stage.at(when, [this, alive = std::weak_ptr{alive_}, socket] {
    if (!alive.expired() && user_ != nullptr)
      look(socket);
  });
}

void sim_transport::tell(end& of) {
  if (auto* other = there(of))
    other->look_later(of.other, net_.stage.now() + net_.draw_delay());
}

socket_id sim_transport::dial(const endpoint& to) {
  auto socket = ++last_;
  ends_[socket].far = to;
  net_.stage.after(net_.draw_delay(), [this, alive = std::weak_ptr{alive_}, socket, to] {
    if (!alive.expired() && user_ != nullptr)
      arrive_at(socket, to);
  });
  return socket;
}

void sim_transport::arrive_at(socket_id socket, const endpoint& to) {
  if (find(socket) == nullptr || is_cut_)
    return;
  auto place = net_.places_.find(to);
  // Nobody says that nobody is there.
  if (place == net_.places_.end() || net_.is_parted(at_.ip, to.ip) || net_.is_parted(to.ip, at_.ip))
    return net_.stage.after(dial_max, [this, alive = std::weak_ptr{alive_}, socket] {
      if (!alive.expired() && user_ != nullptr)
        finish(socket, "it took too long");
    });
  auto& other = *place->second;
  ++net_.connections_[std::minmax(at_.ip, to.ip)];
  auto number = ++other.last_;
  auto forth = std::make_shared<stream>();
  auto back = std::make_shared<stream>();
  other.ends_[number] = {at_, alive_, socket, forth, back};
  auto reading = ends_[socket].reading;
  ends_[socket] = {to, other.alive_, number, back, forth, reading};
  user_->connected(socket);
  if (other.find(number) != nullptr && !other.user_->accepted(number, at_))
    other.close(number);
}

size_t sim_transport::send(socket_id socket, byte_view data) {
  auto* e = find(socket);
  if (e == nullptr || !e->out || is_cut_)
    return 0;
  // Whoever lost his power and is there again knows nothing of it.
  auto place = net_.places_.find(e->far);
  if (there(*e) == nullptr && place != net_.places_.end() && !net_.is_parted(at_.ip, e->far.ip)) {
    e->in->broken = true;
    look_later(socket, net_.stage.now() + net_.draw_delay());
  }
  auto room = held_max - std::min(held_max, e->out->held);
  auto taken = data.first(std::min(room, data.size()));
  e->out->starved = taken.size() < data.size();
  if (!taken.empty()) {
    e->out->last = std::max(e->out->last, net_.stage.now() + net_.draw_delay());
    e->out->pieces.emplace_back(e->out->last, std::vector<std::byte>{taken.begin(), taken.end()});
    e->out->held += taken.size();
    if (auto* other = there(*e))
      other->look_later(e->other, e->out->last);
  }
  return taken.size();
}

void sim_transport::look(socket_id socket) {
  auto* e = find(socket);
  if (e == nullptr || e->ended || !e->in || is_cut_)
    return;
  if (e->in->broken)
    return finish(socket, "the connection was reset");
  auto in = e->in;
  if (!e->reading)
    return;
  if (net_.is_parted(e->far.ip, at_.ip))
    return look_later(socket, net_.stage.now() + looked_again);
  if (in->pieces.empty()) {
    if (in->shut)
      finish(socket, "the other side closed it");
    return;
  }
  auto& [when, piece] = in->pieces.front();
  if (when > net_.stage.now())
    return;
  auto size = static_cast<ptrdiff_t>(std::min(piece.size(), piece_max));
  std::vector<std::byte> part{piece.begin(), piece.begin() + size};
  piece.erase(piece.begin(), piece.begin() + size);
  in->held -= part.size();
  if (piece.empty())
    in->pieces.pop_front();
  if (std::exchange(in->starved, false))
    if (auto* other = there(*e))
      net_.stage.after(net_.draw_delay(), [other, alive = std::weak_ptr{other->alive_}, number = e->other] {
        if (!alive.expired() && other->user_ != nullptr && other->find(number) != nullptr)
          other->user_->writable(number);
      });
  if (!in->pieces.empty() || in->shut)
    look_later(socket, in->pieces.empty() ? net_.stage.now() : std::max(net_.stage.now(), in->pieces.front().first));
  ++net_.pieces;
  net_.bytes += part.size();
  net_.stage.note(e->far.text() + ">" + at_.text(), part);
  user_->received(socket, part);
}

void sim_transport::finish(socket_id socket, const char* why) {
  auto* e = find(socket);
  if (e == nullptr || std::exchange(e->ended, true))
    return;
  user_->ended(socket, error{errc::unavailable, "use a connection", why});
}

void sim_transport::read(socket_id socket, bool wanted) {
  if (auto* e = find(socket)) {
    e->reading = wanted;
    if (wanted)
      look_later(socket, net_.stage.now());
  }
}

void sim_transport::shut(socket_id socket) {
  if (auto* e = find(socket); e != nullptr && e->out) {
    e->out->shut = true;
    tell(*e);
  }
}

void sim_transport::close(socket_id socket) {
  auto* e = find(socket);
  if (e == nullptr)
    return;
  if (e->out) {
    e->out->shut = true;
    tell(*e);
  }
  ends_.erase(socket);
}

void sim_transport::wake_at(clock::monotonic_time when) {
  net_.stage.at(when, [this, alive = std::weak_ptr{alive_}, number = ++alarms_] {
    if (!alive.expired() && user_ != nullptr && number == alarms_)
      user_->tick();
  });
}

} // namespace datamesh::test
