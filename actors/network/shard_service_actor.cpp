#include "network/shard_service_actor.hpp"

#include "network/guest_keeper.hpp"
#include "network/guest_reader.hpp"
#include "storage/kept_promise.hpp"

#include <fmt/format.h>

namespace datamesh::network {

namespace {

using std::chrono::milliseconds;
using service_core = shard_service_actor::extend<caf::reacts_to<v1::ShardWake>>;
using answer_promise = storage::kept_promise<v1::PeerAnswer, bytes>;

constexpr auto attempted = "keep a shard for another";
constexpr auto not_on_roster = "it is not on the owner's roster";
constexpr auto wake_every = std::chrono::seconds{10};
constexpr auto closing_max = std::chrono::minutes{1};
constexpr auto expiring_max = std::chrono::minutes{10};
/// Peers whose pace is kept before it is looked who has none any more.
constexpr size_t paces_kept = 1024;

struct service_state;
using service_pointer = service_core::stateful_pointer<service_state>;
using served = caf::result<v1::PeerAnswer, bytes>;

/// Who asks, and how long he waits.
struct asker {
  peer_id peer;
  milliseconds wait;
};

/// What the actor does, on its thread.
class shard_service {
public:
  shard_service(service_pointer self, const shard_service_parts& parts);

  void wake();
  void settle();
  void tell_lacking();
  [[nodiscard]] served serve(const v1::PeerRequest& request, const bytes& body);
  [[nodiscard]] caf::result<v1::Done> set(const v1::SetGrants& request);
  [[nodiscard]] caf::result<v1::GrantList> list() const;
  [[nodiscard]] caf::result<v1::Done> close();
  /// Its threads end with it.
  void end();

private:
  [[nodiscard]] served on(const asker& by, const begin_upload& what, const v1::PeerRequest&, const bytes&);
  [[nodiscard]] served on(const asker& by, const upload_blocks& what, const v1::PeerRequest&, const bytes& body);
  [[nodiscard]] served on(const asker& by, const end_upload& what, const v1::PeerRequest&, const bytes&);
  [[nodiscard]] served on(const asker& by, const delete_pack& what, const v1::PeerRequest&, const bytes&);
  [[nodiscard]] served on(const asker& by, const list_shards& what, const v1::PeerRequest& request, const bytes&);
  [[nodiscard]] served on(const asker& by, const compare_shards& what, const v1::PeerRequest& request, const bytes&);
  [[nodiscard]] served on(const asker& by, const find_room& what, const v1::PeerRequest&, const bytes&);
  [[nodiscard]] served on(const asker& by, const keep_roster& what, const v1::PeerRequest&, const bytes&);
  template <class Read>
  [[nodiscard]] served on(const asker& by, const Read& what, const v1::PeerRequest& request, const bytes&);

  [[nodiscard]] result<permit> check_permit(const asker& by, const bytes& raw) const;
  [[nodiscard]] bool is_sibling(const peer_id& peer, const vault_id& owner) const;
  [[nodiscard]] bool may_ask(const peer_id& peer);
  [[nodiscard]] uint64_t room_of(const vault_id& owner) const;
  [[nodiscard]] result<void> begin(const peer_id& from, uint64_t upload, const ticket& by, const storage::shard_header& header);
  [[nodiscard]] served read(const asker& by, const v1::PeerRequest& request);
  template <class Finish, class Actor, class... Message>
  [[nodiscard]] served pass(const asker& by, Finish finish, const Actor& to, Message... message);
  [[nodiscard]] bool may_wait(const peer_id& peer) const;
  void end_wait(const peer_id& peer);

  service_pointer self_;
  environment env_;
  std::shared_ptr<const tls_identity> identity_;
  std::shared_ptr<guest_store> guests_;
  network_id mesh_;
  grants room_;
  shard_intake intake_;
  guest_keeper_actor keeper_;
  std::vector<peer_handler_actor> readers_;
  sibling_actor siblings_;
  std::shared_ptr<sibling_board> board_;
  size_t next_reader_ = 0;
  std::map<peer_id, size_t> waits_;
  size_t all_waits_ = 0;
  std::map<peer_id, token_bucket> paces_;
  clock::monotonic_time next_expiry_;
  bool settling_ = false;
  bool told_lacking_ = false;
  std::function<void(severity, std::string, std::optional<errc>)> tell_;
  bool closing_ = false;
};

struct service_state {
  static inline constexpr const char* name = "shards";
  std::unique_ptr<shard_service> does;
  ~service_state() {
    if (does)
      does->end();
  }
};

served answer_with(const shard_answer& what) {
  v1::PeerAnswer message;
  message.set_message(encode(what));
  return {std::move(message), bytes{}};
}

served refuse(errc code, const char* why) {
  return to_caf(error{code, attempted, why});
}

shard_service::shard_service(service_pointer self, const shard_service_parts& parts)
    : self_(self), env_(parts.env), identity_(parts.identity), guests_(parts.guests), mesh_(parts.mesh), room_(parts.room),
      intake_(parts.intake), board_(parts.board ? parts.board : std::make_shared<sibling_board>()), next_expiry_(env_.clock->monotonic()),
      tell_(parts.tell) {
  auto& sys = self->system();
  keeper_ = spawn_guest_keeper(sys, {env_.clock, guests_, identity_, mesh_, parts.place});
  for (size_t i = 0; i < std::max<size_t>(parts.readers, 1); ++i)
    readers_.push_back(spawn_guest_reader(sys, guests_, parts.place));
  if (parts.access)
    siblings_ = spawn_siblings(sys, {env_, guests_, keeper_, parts.access, board_, parts.tell, parts.place, parts.ranges, parts.folder});
  wake();
}

void shard_service::end() {
  board_->stop();
  if (siblings_)
    caf::anon_send_exit(siblings_, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(keeper_, caf::exit_reason::user_shutdown);
  for (const auto& reader : readers_)
    caf::anon_send_exit(reader, caf::exit_reason::user_shutdown);
}

void shard_service::wake() {
  if (closing_)
    return;
  auto now = env_.clock->monotonic();
  intake_.expire(now);
  if (now >= next_expiry_) {
    next_expiry_ = now + expire_every;
    // What could not be removed is tried again with the next.
    self_->request(keeper_, expiring_max, v1::ExpireGuests{}).then([](const v1::Done&) {}, [](const caf::error&) {});
  }
  settle();
  self_->delayed_send(self_, wake_every, v1::ShardWake{});
}

/// Piece by piece, for shards are not to wait for it. Others may have filled a disk since, or made room.
void shard_service::settle() {
  if (closing_ || settling_ || !guests_->needs_settling())
    return;
  settling_ = true;
  self_->request(keeper_, expiring_max, v1::SettleGuests{})
      .then(
          [this](const v1::GuestsSettled& settled) {
            settling_ = false;
            if (settled.done())
              tell_lacking();
            else
              settle();
          },
          [this](const caf::error&) { settling_ = false; });
}

/// Once, until all is held again.
void shard_service::tell_lacking() {
  auto lacking = guests_->lacking();
  if (lacking > 0 && !told_lacking_ && tell_)
    tell_(severity::warning,
          fmt::format("{} bytes of what is set aside for others are not held on the drives: others filled these, or a file system can not "
                      "hold room; see datamesh node status",
                      lacking),
          errc::no_space);
  told_lacking_ = lacking > 0;
}

// -- requests of peers -----------------------------------------------------------------------

bool shard_service::may_ask(const peer_id& peer) {
  auto now = env_.clock->monotonic();
  if (paces_.size() >= paces_kept && !paces_.contains(peer))
    std::erase_if(paces_, [&](const auto& each) { return each.second.is_full(now); });
  return paces_.try_emplace(peer, token_bucket{shards_served}).first->second.try_take(1, now);
}

served shard_service::serve(const v1::PeerRequest& request, const bytes& body) {
  if (closing_)
    return refuse(errc::unavailable, "it ends");
  if (request.peer().size() != peer_id::size)
    return refuse(errc::invalid_argument, "a node's id has 32 bytes");
  asker by{peer_id::from(as_view(request.peer())), milliseconds{request.timeout_ms()}};
  if (!may_ask(by.peer))
    return refuse(errc::capacity_exceeded, "it asks too often");
  auto what = decode_shard_request(as_view(request.message()));
  if (!what)
    return to_caf(what.error());
  if (!body.empty() && !std::holds_alternative<upload_blocks>(*what))
    return refuse(errc::protocol_violated, "a body where none is due");
  if (!std::holds_alternative<upload_blocks>(*what) && !may_wait(by.peer))
    return refuse(errc::capacity_exceeded, "too many wait for the drives");
  return std::visit([&](const auto& one) { return on(by, one, request, body); }, *what);
}

uint64_t shard_service::room_of(const vault_id& owner) const {
  auto found = room_.find(owner);
  return found == room_.end() ? 0 : found->second;
}

bool shard_service::may_wait(const peer_id& peer) const {
  auto found = waits_.find(peer);
  return all_waits_ < drive_waits_max && (found == waits_.end() || found->second < drive_waits_of_peer);
}

void shard_service::end_wait(const peer_id& peer) {
  --all_waits_;
  if (auto found = waits_.find(peer); --found->second == 0)
    waits_.erase(found);
}

/// Asks one of the threads. The peer is told what that says, unless *finish*, which gets the
/// message or nothing, says otherwise.
template <class Finish, class Actor, class... Message>
served shard_service::pass(const asker& by, Finish finish, const Actor& to, Message... message) {
  ++all_waits_;
  ++waits_[by.peer];
  auto promise = self_->make_response_promise<answer_promise::promise_type>();
  answer_promise kept{promise, attempted};
  self_->request(to, by.wait, std::move(message)...)
      .then(
          [this, peer = by.peer, kept, finish](v1::PeerAnswer& answer, bytes& body) mutable {
            end_wait(peer);
            if (auto finished = finish(&answer); finished)
              kept.deliver(std::move(answer), std::move(body));
            else
              kept.deliver(to_caf(finished.error()));
          },
          [this, peer = by.peer, kept, finish](caf::error& reason) mutable {
            end_wait(peer);
            (void) finish(nullptr);
            kept.deliver(std::move(reason));
          });
  return promise;
}

result<void> as_it_is(const v1::PeerAnswer*) {
  return {};
}

/// Room for it, and for all that is on its way already.
result<void> shard_service::begin(const peer_id& from, uint64_t upload, const ticket& by, const storage::shard_header& header) {
  if (!intake_.has(from, upload)) {
    auto due = guests_->usage(by.owner).bytes + intake_.reserved(by.owner);
    auto room = room_of(by.owner);
    if (due > room || charge_of(header.pack.shape) > room - due)
      return fail(errc::no_space, attempted, "what was granted to " + by.owner.brief());
    if (board_->how() != hosting::open)
      return fail(errc::no_space, attempted, "this node takes nothing new");
  }
  return intake_.begin(from, upload, by, header, env_.clock->monotonic());
}

served shard_service::on(const asker& by, const begin_upload& what, const v1::PeerRequest&, const bytes&) {
  auto shown = open_ticket(mesh_, what.ticket);
  if (!shown)
    return to_caf(shown.error());
  if (!room_.contains(shown->owner))
    return refuse(errc::permission_denied, "nothing was granted to its owner");
  auto header = storage::parse_shard_header(what.header);
  if (!header)
    return to_caf(header.error());
  if (auto fits = check_header(*shown, *header); !fits)
    return to_caf(fits.error());
  v1::ClaimGuest claim;
  claim.set_ticket(std::string{as_text(what.ticket)});
  auto finish = [this, peer = by.peer, upload = what.upload, shown = std::move(*shown),
                 header = std::move(*header)](const v1::PeerAnswer* answer) -> result<void> {
    auto found = answer != nullptr ? decode_shard_answer(as_view(answer->message())) : fail(errc::unavailable);
    if (!found || !std::get<upload_begun>(*found).receipt.empty())
      return {};
    return begin(peer, upload, shown, header);
  };
  return pass(by, std::move(finish), keeper_, std::move(claim));
}

served shard_service::on(const asker& by, const upload_blocks& what, const v1::PeerRequest&, const bytes& body) {
  if (auto taken = intake_.take(by.peer, what.upload, what.first, body, env_.clock->monotonic()); !taken)
    return to_caf(taken.error());
  return answer_with(blocks_taken{});
}

served shard_service::on(const asker& by, const end_upload& what, const v1::PeerRequest&, const bytes&) {
  auto whole = intake_.finish(by.peer, what.upload, env_.clock->monotonic());
  if (!whole)
    return to_caf(whole.error());
  v1::KeepGuest keep;
  keep.set_ticket(std::string{as_text(whole->by.raw)});
  keep.set_header(std::string{as_text(encode_shard_header(whole->header, false))});
  keep.set_room(room_of(whole->by.owner));
  auto finish = [this, peer = by.peer, upload = what.upload](const v1::PeerAnswer*) -> result<void> {
    intake_.done(peer, upload);
    return {};
  };
  return pass(by, finish, keeper_, std::move(keep), whole->body);
}

served shard_service::on(const asker& by, const delete_pack& what, const v1::PeerRequest&, const bytes&) {
  auto shown = open_deletion(mesh_, what.deletion);
  if (!shown)
    return to_caf(shown.error());
  v1::RemoveGuests remove;
  remove.set_deletion(std::string{as_text(what.deletion)});
  remove.set_room(room_of(shown->owner));
  return pass(by, as_it_is, keeper_, std::move(remove));
}

served shard_service::read(const asker& by, const v1::PeerRequest& request) {
  next_reader_ = (next_reader_ + 1) % readers_.size();
  return pass(by, as_it_is, readers_[next_reader_], request, bytes{});
}

/// Whoever has a ticket may read what it is for.
template <class Read>
served shard_service::on(const asker& by, const Read& what, const v1::PeerRequest& request, const bytes&) {
  if (auto shown = open_ticket(mesh_, what.ticket); !shown)
    return to_caf(shown.error());
  return read(by, request);
}

/// What there is only the owner may ask, or whom he permits it.
result<permit> shard_service::check_permit(const asker& by, const bytes& raw) const {
  auto shown = open_permit(mesh_, raw);
  if (!shown)
    return shown;
  if (shown->holder != identity_->id() || shown->asker != by.peer)
    return fail(errc::permission_denied, attempted, "the permit is for another node");
  auto now = env_.clock->wall();
  if (now >= shown->expiry || shown->expiry - now > permit_lifetime_max + clock_error_max)
    return fail(errc::invalid_argument, attempted, "the permit has run out, or is valid for too long");
  return shown;
}

served shard_service::on(const asker& by, const list_shards& what, const v1::PeerRequest& request, const bytes&) {
  if (what.owner.is_zero()) {
    if (auto shown = check_permit(by, what.permit); !shown)
      return to_caf(shown.error());
  } else if (!is_sibling(by.peer, what.owner)) {
    return refuse(errc::permission_denied, not_on_roster);
  }
  return read(by, request);
}

served shard_service::on(const asker& by, const compare_shards& what, const v1::PeerRequest& request, const bytes&) {
  return is_sibling(by.peer, what.owner) ? read(by, request) : refuse(errc::permission_denied, not_on_roster);
}

bool shard_service::is_sibling(const peer_id& peer, const vault_id& owner) const {
  auto known = guests_->roster_of(owner);
  return known && known->names(peer);
}

/// From whomever it comes: the owner signed it, and has something here or may have.
served shard_service::on(const asker& by, const keep_roster& what, const v1::PeerRequest&, const bytes&) {
  auto shown = open_roster(mesh_, what.roster);
  if (!shown)
    return to_caf(shown.error());
  if (!room_.contains(shown->owner) && guests_->usage(shown->owner).shards == 0)
    return refuse(errc::permission_denied, "nothing was granted to its owner");
  v1::KeepRoster keep;
  keep.set_roster(std::string{as_text(what.roster)});
  return pass(by, as_it_is, keeper_, std::move(keep));
}

served shard_service::on(const asker& by, const find_room& what, const v1::PeerRequest&, const bytes&) {
  auto shown = check_permit(by, what.permit);
  if (!shown)
    return to_caf(shown.error());
  // What is not taken is no room.
  auto used = guests_->usage(shown->owner).bytes;
  return answer_with(room_found{board_->how() == hosting::open ? room_of(shown->owner) : used, used});
}

// -- requests of the rest of the node ----------------------------------------------------------

caf::result<v1::Done> shard_service::set(const v1::SetGrants& request) {
  if (request.hosting() > static_cast<uint32_t>(hosting::draining))
    return to_caf(error{errc::invalid_argument, "serve others in a way that is unknown"});
  grants fresh;
  for (const auto& one : request.grant()) {
    if (one.owner().size() != vault_id::size || fresh.size() == grants_max)
      return to_caf(error{errc::invalid_argument, "grant room to an owner"});
    fresh[vault_id::from(as_view(one.owner()))] = one.room();
  }
  room_ = std::move(fresh);
  if (auto how = static_cast<hosting>(request.hosting()); how != board_->how())
    board_->set(how);
  settle();
  return v1::Done{};
}

caf::result<v1::GrantList> shard_service::list() const {
  v1::GrantList all;
  for (const auto& [owner, room] : room_) {
    auto used = guests_->usage(owner);
    auto& row = *all.add_row();
    row.mutable_grant()->set_owner(std::string{owner.text()});
    row.mutable_grant()->set_room(room);
    row.set_used(used.bytes);
    row.set_shards(used.shards);
  }
  return all;
}

caf::result<v1::Done> shard_service::close() {
  closing_ = true;
  board_->stop();
  auto promise = self_->make_response_promise<caf::typed_response_promise<v1::Done>>();
  self_->request(keeper_, closing_max, caf::close_atom_v)
      .then(
          [this, promise](const v1::Done& done) mutable {
            promise.deliver(done);
            self_->quit();
          },
          [this, promise](caf::error& reason) mutable {
            promise.deliver(std::move(reason));
            self_->quit();
          });
  return promise;
}

service_core::behavior_type service(service_pointer self, const shard_service_parts& parts) {
  self->state.does = std::make_unique<shard_service>(self, parts);
  auto* does = self->state.does.get();
  return {
      [=](const v1::PeerRequest& request, const bytes& body) { return does->serve(request, body); },
      [=](const v1::SetGrants& request) { return does->set(request); },
      [=](const v1::ListGrants&) { return does->list(); },
      [=](caf::close_atom) { return does->close(); },
      [=](const v1::ShardWake&) { does->wake(); },
  };
}

} // namespace

shard_service_actor spawn_shard_service(caf::actor_system& sys, const shard_service_parts& parts) {
  return sys.spawn(service, parts);
}

} // namespace datamesh::network
