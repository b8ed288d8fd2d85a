#include "network/line_meter_actor.hpp"

#include "network/line_course.hpp"
#include "network/line_message.hpp"
#include "network/line_service_actor.hpp"
#include "network/peer_part.hpp"
#include "storage/kept_promise.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto attempted = "measure the line to a node";
constexpr auto looked_every = milliseconds{100};
constexpr auto own_answers_in = seconds{10};
constexpr auto dialed_in = seconds{30};
/// What an answer of our own actors may take beyond what they were told.
constexpr auto grace = seconds{1};
constexpr size_t probes = 7;
constexpr auto probe_answered_in = seconds{5};
/// With less than that each way, where more was wanted, a figure says nothing.
constexpr uint64_t telling = 1 << 20;

using meter_core = line_meter_actor::extend<caf::reacts_to<v1::LineWake>>;

class meter;
struct meter_state {
  static inline constexpr const char* name = "line-meter";
  std::shared_ptr<meter> does;
};
using meter_pointer = meter_core::stateful_pointer<meter_state>;
using measured_promise = storage::kept_promise<line_measured>;

/// What the actor does, on its thread.
class meter {
public:
  meter(meter_pointer self, line_meter_parts parts) : self_(self), parts_(std::move(parts)) {}

  caf::result<line_measured> begin(const v1::MeasureLine& what) {
    if (what.peer().size() != peer_id::size || begun_)
      return to_caf(error{errc::invalid_argument, attempted});
    begun_ = true;
    report_.peer = peer_id::from(as_view(what.peer()));
    wanted_ = what.bytes();
    lasts_ = milliseconds{static_cast<int64_t>(what.time_ms())};
    auto promise = self_->make_response_promise<measured_promise::promise_type>();
    promise_ = measured_promise{promise, attempted};
    find_link();
    wake();
    return promise;
  }

  void wake() {
    if (over_)
      return;
    self_->delayed_send(self_, looked_every, v1::LineWake{});
    if (auto why = parts_.ended())
      return end_with(*why);
    if (course_ && course_->is_over(now()))
      end_way();
  }

private:
  [[nodiscard]] clock::monotonic_time now() const {
    return parts_.time->monotonic();
  }

  // -- a link -------------------------------------------------------------------------------

  void find_link() {
    self_->request(parts_.links, own_answers_in, v1::ListLinks{}).then([this](const v1::LinkList& list) { take_links(list); }, failing());
  }

  void take_links(const v1::LinkList& list) {
    report_.address.clear();
    for (const auto& link : list.links())
      if (link.peer() == report_.peer.text()) {
        auto address = from_proto(link.address());
        report_.address = address ? address->text() : std::string{};
      }
    if (!report_.address.empty())
      return probe();
    if (std::exchange(dialed_, true))
      return end_with(error{errc::unavailable, attempted, "there is no link with it"});
    find_node();
  }

  /// Where it is, from those that are nearest to its id.
  void find_node() {
    v1::LookUp request;
    request.set_target(std::string{report_.peer.text()});
    self_->request(parts_.discovery, lookup_time_max + own_answers_in, std::move(request))
        .then(
            [this](const v1::LookedUp& found) {
              for (const auto& node : found.nearest())
                if (node.peer() == report_.peer.text())
                  addresses_.assign(node.address().begin(), node.address().end());
              dial();
            },
            failing());
  }

  /// One address after the other.
  void dial() {
    if (over_)
      return;
    if (addresses_.empty())
      return end_with(error{errc::unavailable, attempted, "it is not found in the mesh, or does not answer where it was"});
    v1::ConnectPeer request;
    *request.mutable_address() = addresses_.front();
    addresses_.erase(addresses_.begin());
    request.set_expected(std::string{report_.peer.text()});
    self_->request(parts_.links, dialed_in, std::move(request))
        .then([this](const v1::PeerConnected&) { find_link(); }, [this](const caf::error&) { dial(); });
  }

  // -- asking -------------------------------------------------------------------------------

  template <class Take, class Failed>
  void ask(uint32_t want, const bytes& body, milliseconds wait, Take take, Failed failed) {
    v1::AskPeer request;
    request.set_peer(std::string{report_.peer.text()});
    request.set_timeout_ms(static_cast<uint32_t>(std::max<int64_t>(wait.count(), 1)));
    request.set_message(message_to(peer_part::line, encode(line_request{want})));
    request.set_answer_max(want);
    self_->request(parts_.links, wait + grace, std::move(request), body)
        .then(
            [this, take](const v1::PeerAnswer& answer, const bytes& beside) mutable {
              auto read = decode_line_answer(as_view(answer.message()));
              if (!read)
                return end_with(read.error());
              said_ = *read;
              take(beside);
            },
            failed);
  }

  [[nodiscard]] std::function<void(const caf::error&)> failing() {
    return [this](const caf::error& reason) {
      end_with(from_caf(reason));
    };
  }

  void probe() {
    auto asked = now();
    ask(
        0, {}, probe_answered_in,
        [this, asked](const bytes&) {
          rtts_.push_back(now() - asked);
          if (over_)
            return;
          if (said_.refused || rtts_.size() == probes)
            return end_probes();
          probe();
        },
        [this](const caf::error& reason) {
          auto why = from_caf(reason);
          // The link was listed, and is down since.
          if (why.code() == errc::unavailable && !std::exchange(dialed_, true))
            return find_node();
          if (why.code() == errc::format_newer)
            why = error{errc::format_newer, attempted, "it is older, and does not answer such tests"};
          end_with(why);
        });
  }

  void end_probes() {
    std::ranges::sort(rtts_);
    report_.rtt_min_ns = static_cast<uint64_t>(rtts_.front().count());
    report_.rtt_median_ns = static_cast<uint64_t>(rtts_[rtts_.size() / 2].count());
    begin_way(&line_report::up);
  }

  // -- one way ------------------------------------------------------------------------------

  [[nodiscard]] bool is_up() const {
    return way_ == &line_report::up;
  }

  /// What is left at the other node is for both ways.
  void begin_way(line_flow line_report::*way) {
    way_ = way;
    auto most = is_up() ? said_.left / 2 : said_.left;
    auto bytes = std::min(wanted_, most);
    if (said_.refused || bytes < std::min(wanted_, telling)) {
      (report_.*way_).stop = line_stop::budget;
      return after_way();
    }
    if (is_up()) {
      auto noise = make_line_noise(*parts_.random);
      if (!noise)
        return end_with(noise.error());
      noise_ = std::move(*noise);
    }
    course_.emplace(bytes, bytes < wanted_, lasts_, rtts_.front(), now());
    fill();
  }

  void fill() {
    while (auto piece = course_->next(now()))
      ask_piece(*piece);
    if (course_->is_over(now()))
      end_way();
  }

  void ask_piece(uint32_t piece) {
    auto asked = now();
    auto wait = std::chrono::ceil<milliseconds>(course_->waits_until() - asked);
    auto way = way_;
    ask(
        is_up() ? 0 : piece, is_up() ? noise_.slice(0, piece) : bytes{}, wait,
        [this, way, asked, piece](const bytes& beside) {
          if (!over_ && way == way_ && course_)
            take_piece(piece, asked, beside);
        },
        [this, way](const caf::error& reason) {
          if (over_ || way != way_ || !course_)
            return;
          if (course_->is_over(now()) && course_->moved() > 0)
            return end_way();
          end_with(from_caf(reason));
        });
  }

  void take_piece(uint32_t piece, clock::monotonic_time asked, const bytes& beside) {
    if (said_.refused)
      course_->refused();
    else if (!is_up() && beside.size() != piece)
      return end_with(error{errc::protocol_violated, attempted, "it sends other bytes than were asked for"});
    else
      course_->answered(piece, asked, now());
    if (auto why = parts_.ended())
      return end_with(*why);
    parts_.progress(report_.up.bytes + course_->moved(), 2 * wanted_);
    fill();
  }

  void end_way() {
    report_.*way_ = course_->flow();
    course_.reset();
    if (auto& flow = report_.*way_; flow.bytes == 0 && flow.stop == line_stop::time)
      return end_with(error{errc::timed_out, attempted, "nothing arrived in time"});
    after_way();
  }

  void after_way() {
    auto& flow = report_.*way_;
    flow.own_limit = is_up() ? parts_.own.up : parts_.own.down;
    flow.their_limit = is_up() ? said_.limits.down : said_.limits.up;
    if (flow.stop == line_stop::budget)
      report_.refilled_in = said_.refilled_in;
    if (is_up())
      return begin_way(&line_report::down);
    over_ = true;
    promise_.deliver(line_measured{std::make_shared<const line_report>(report_)});
    self_->quit();
  }

  void end_with(const error& why) {
    if (std::exchange(over_, true))
      return;
    promise_.deliver(to_caf(why));
    self_->quit();
  }

  meter_pointer self_;
  line_meter_parts parts_;
  measured_promise promise_;
  bool begun_ = false;
  bool over_ = false;
  bool dialed_ = false;
  uint64_t wanted_ = 0;
  milliseconds lasts_{};
  std::vector<v1::PeerAddress> addresses_;
  std::vector<std::chrono::nanoseconds> rtts_;
  line_answer said_; ///< The last answer.
  bytes noise_;
  line_flow line_report::*way_ = nullptr;
  std::optional<line_course> course_;
  line_report report_;
};

meter_core::behavior_type measure(meter_pointer self, const line_meter_parts& parts) {
  self->state.does = std::make_shared<meter>(self, parts);
  auto* does = self->state.does.get();
  return {
      [=](const v1::MeasureLine& what) { return does->begin(what); },
      [=](const v1::LineWake&) { does->wake(); },
  };
}

} // namespace

line_meter_actor spawn_line_meter(caf::actor_system& sys, const line_meter_parts& parts) {
  return sys.spawn(measure, parts);
}

} // namespace datamesh::network
