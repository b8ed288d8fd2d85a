#include "network/remote_shards_actor.hpp"

#include "network/peer_part.hpp"
#include "storage/kept_promise.hpp"

#include <algorithm>
#include <map>

namespace datamesh::network {

namespace {

using std::chrono::milliseconds;
using storage::kept_promise;

/// What an answer of our own actors may take beyond what they were told.
constexpr auto grace = std::chrono::seconds{1};

/// Blocks that are sent with one request: the more, the less it costs, and the longer waits who has something else to say
/// on that link. So it goes by how long answers take.
constexpr uint32_t blocks_at_first = 4;
constexpr auto answered_soon = milliseconds{500};
constexpr auto answered_late = milliseconds{2000};
constexpr size_t lines_max = 4096;

struct remote_state {
  static inline constexpr const char* name = "remote-shards";
  std::map<peer_id, uint32_t> at_once; ///< By node; `blocks_at_first` where it is not named.

  [[nodiscard]] uint32_t blocks_for(const peer_id& peer) const {
    auto at = at_once.find(peer);
    return at == at_once.end() ? blocks_at_first : at->second;
  }
  void answered(const peer_id& peer, std::chrono::nanoseconds in) {
    auto now = blocks_for(peer);
    if (at_once.size() >= lines_max)
      at_once.clear();
    if (in < answered_soon)
      at_once[peer] = std::min(2 * now, blocks_at_once);
    else if (in > answered_late)
      at_once[peer] = std::max(now / 2, 1u);
  }
};
using remote_pointer = remote_shards_actor::stateful_pointer<remote_state>;

/// One node that is asked.
struct remote {
  remote_pointer self;
  link_actor links;
  network_id mesh;
  peer_id peer;
  milliseconds wait;
  work_kind work = work_kind::client;

  /// Calls *take* with a message of that kind and the body beside it, or *failed*. What else
  /// comes must not be.
  template <class Answer, class Take, class Failed>
  void ask(const shard_request& what, const bytes& body, Take take, Failed failed, size_t answer_max = 0) const {
    v1::AskPeer request;
    request.set_peer(std::string{peer.text()});
    request.set_timeout_ms(static_cast<uint32_t>(wait.count()));
    request.set_message(message_to(peer_part::shards, encode(what)));
    request.set_answer_max(static_cast<uint32_t>(answer_max));
    request.set_work(static_cast<uint32_t>(work));
    self->request(links, wait + grace, std::move(request), body)
        .then(
            [take, failed](const v1::PeerAnswer& answer, const bytes& beside) mutable {
              auto read = decode_shard_answer(as_view(answer.message()));
              auto due = read ? std::get_if<Answer>(&*read) : nullptr;
              if (due == nullptr)
                failed(read ? error{errc::protocol_violated, "read another node's answer", "it is to another question"} : read.error());
              else
                take(*due, beside);
            },
            [failed](const caf::error& reason) mutable { failed(from_caf(reason)); });
  }
};

struct remote_maker {
  remote_pointer self;
  link_actor links;
  network_id mesh;

  template <class Request>
  [[nodiscard]] result<remote> operator()(const Request& request, work_kind work = work_kind::client) const {
    if (request.peer().size() != peer_id::size || request.timeout_ms() == 0)
      return fail(errc::invalid_argument, "ask a node about a shard");
    return remote{self, links, mesh, peer_id::from(as_view(request.peer())), milliseconds{request.timeout_ms()}, work};
  }
};

// -- storing -----------------------------------------------------------------------------

/// A shard on its way out. It lives as long as an answer is due to it.
class upload : public std::enable_shared_from_this<upload> {
public:
  upload(remote to, ticket by, storage::shard_header header, bytes body, kept_promise<v1::StoredAtPeer> promise)
      : to_(std::move(to)), number_(upload_number(by)), by_(std::move(by)), header_(std::move(header)), body_(std::move(body)),
        promise_(std::move(promise)) {}

  void begin() {
    begin_upload what{number_, by_.raw, encode_shard_header(header_, false)};
    to_.ask<upload_begun>(
        what, {},
        [self = shared_from_this()](const upload_begun& begun, const bytes&) {
          if (!begun.receipt.empty())
            self->end_with(begun.receipt);
          else if (self->body_.empty())
            self->failing()(error{errc::shard_missing, "renew a shard's ticket", self->by_.shard.pack.brief()});
          else
            self->send();
        },
        failing());
  }

private:
  /// Whoever comes second finds it ended.
  [[nodiscard]] std::function<void(const error&)> failing() {
    return [self = shared_from_this()](const error& reason) {
      if (!std::exchange(self->ended_, true))
        self->promise_.deliver(to_caf(reason));
    };
  }

  void send() {
    auto blocks = header_.pack.shape.block_count();
    while (!ended_ && under_way_ < uploads_ahead && next_ < blocks) {
      ++under_way_;
      auto first = next_;
      auto count = to_.self->state.blocks_for(to_.peer);
      next_ += count;
      to_.ask<blocks_taken>(
          upload_blocks{number_, first}, body_.slice(size_t{first} * storage::block_size, size_t{count} * storage::block_size),
          [self = shared_from_this(), asked = to_.self->clock().now()](const blocks_taken&, const bytes&) {
            self->to_.self->state.answered(self->to_.peer, self->to_.self->clock().now() - asked);
            --self->under_way_;
            self->send();
          },
          failing());
    }
    if (!ended_ && under_way_ == 0 && !std::exchange(ending_, true))
      to_.ask<shard_kept>(
          end_upload{number_}, {}, [self = shared_from_this()](const shard_kept& kept, const bytes&) { self->end_with(kept.receipt); },
          failing());
  }

  void end_with(const bytes& raw) {
    if (std::exchange(ended_, true))
      return;
    auto checked = check_receipt(to_.mesh, raw, by_, to_.peer);
    if (!checked)
      return promise_.deliver(to_caf(checked.error()));
    v1::StoredAtPeer answer;
    answer.set_receipt(std::string{as_text(raw)});
    promise_.deliver(std::move(answer));
  }

  remote to_;
  uint64_t number_;
  ticket by_;
  storage::shard_header header_;
  bytes body_;
  kept_promise<v1::StoredAtPeer> promise_;
  uint32_t next_ = 0;
  size_t under_way_ = 0;
  bool ending_ = false;
  bool ended_ = false;
};

caf::result<v1::StoredAtPeer> store(const remote_maker& make, const v1::StoreAtPeer& request, const bytes& body) {
  constexpr auto attempted = "store a shard on another node";
  auto to = make(request, work_kind_of(request.work()));
  if (!to)
    return to_caf(to.error());
  auto by = read_ticket(as_view(request.ticket()));
  if (!by)
    return to_caf(by.error().within(attempted));
  auto header = storage::parse_shard_header(as_view(request.header()));
  if (!header)
    return to_caf(header.error().within(attempted));
  if (auto fits = check_header(*by, *header); !fits)
    return to_caf(fits.error().within(attempted));
  if (!body.empty() && body.size() != by->size)
    return to_caf(error{errc::invalid_argument, attempted, "its length"});
  auto promise = make.self->make_response_promise<caf::typed_response_promise<v1::StoredAtPeer>>();
  std::make_shared<upload>(std::move(*to), std::move(*by), std::move(*header), body, kept_promise<v1::StoredAtPeer>{promise, attempted})
      ->begin();
  return promise;
}

// -- reading -----------------------------------------------------------------------------

using read_promise = kept_promise<v1::ReadFromPeer, bytes>;

void deliver_header(read_promise to, const storage::shard_header& header, bytes blocks) {
  v1::ReadFromPeer answer;
  answer.set_header(std::string{as_text(encode_shard_header(header, false))});
  to.deliver(std::move(answer), std::move(blocks));
}

template <class Promise>
auto failing(const Promise& promise) {
  return [kept = promise](const error& reason) mutable {
    kept.deliver(to_caf(reason));
  };
}

void read_blocks(const remote& from, const ticket& by, const storage::shard_header& header, uint32_t first, uint32_t count,
                 const read_promise& promise) {
  from.ask<blocks_found>(
      find_blocks{by.raw, first, count}, {},
      [header, first, count, kept = promise](const blocks_found&, const bytes& blocks) mutable {
        if (auto good = check_blocks(header, first, count, blocks); !good)
          return kept.deliver(to_caf(good.error()));
        deliver_header(kept, header, blocks);
      },
      failing(promise), size_t{count} * storage::block_size);
}

caf::result<v1::ReadFromPeer, bytes> read(const remote_maker& make, const v1::ReadAtPeer& request) {
  constexpr auto attempted = "read a shard of another node";
  auto from = make(request, work_kind_of(request.work()));
  if (!from)
    return to_caf(from.error());
  auto by = read_ticket(as_view(request.ticket()));
  if (!by)
    return to_caf(by.error().within(attempted));
  if (request.count() > blocks_at_once)
    return to_caf(error{errc::invalid_argument, attempted, "more than 16 blocks"});
  std::optional<storage::shard_header> known;
  if (!request.header().empty()) {
    auto header = storage::parse_shard_header(as_view(request.header()));
    if (!header || !check_header(*by, *header))
      return to_caf(error{errc::invalid_argument, attempted, "the header is another shard's"});
    known = std::move(*header);
  }
  auto first = request.first();
  auto count = request.count();
  auto blocks = (by->size + storage::block_size - 1) / storage::block_size;
  if (count > 0 && (first >= blocks || count > blocks - first))
    return to_caf(error{errc::range_invalid, attempted, by->shard.pack.brief()});
  auto promise = make.self->make_response_promise<read_promise::promise_type>();
  read_promise kept{promise, attempted};
  if (known && count == 0)
    deliver_header(kept, *known, {});
  else if (known)
    read_blocks(*from, *by, *known, first, count, kept);
  else
    from->ask<header_found>(
        find_header{by->raw}, {},
        [=, from = *from, by = *by](const header_found& found, const bytes&) mutable {
          auto header = check_header_from(found.header, by);
          if (!header)
            return kept.deliver(to_caf(header.error()));
          if (count == 0)
            return deliver_header(kept, *header, {});
          read_blocks(from, by, *header, first, count, kept);
        },
        failing(kept));
  return promise;
}

caf::result<v1::Done, bytes> challenge(const remote_maker& make, const v1::ProveAtPeer& request) {
  constexpr auto attempted = "challenge a node";
  auto whom = make(request, work_kind::scrub);
  if (!whom)
    return to_caf(whom.error());
  auto by = read_ticket(as_view(request.ticket()));
  if (!by)
    return to_caf(by.error().within(attempted));
  auto promise = make.self->make_response_promise<caf::typed_response_promise<v1::Done, bytes>>();
  kept_promise<v1::Done, bytes> kept{promise, attempted};
  whom->ask<block_proof>(
      prove_block{by->raw, request.block()}, {},
      [kept, by = *by, block = request.block()](const block_proof& proof, const bytes& content) mutable {
        if (auto good = check_proof(by.shard, by.size, block, content, proof); !good)
          return kept.deliver(to_caf(good.error()));
        kept.deliver(v1::Done{}, content);
      },
      failing(kept), storage::block_size);
  return promise;
}

// -- the rest ----------------------------------------------------------------------------

caf::result<v1::DeletedAtPeer> remove(const remote_maker& make, const v1::DeleteAtPeer& request) {
  constexpr auto attempted = "delete a pack on another node";
  auto from = make(request);
  if (!from)
    return to_caf(from.error());
  auto what = read_deletion(as_view(request.deletion()));
  if (!what)
    return to_caf(what.error().within(attempted));
  auto promise = make.self->make_response_promise<caf::typed_response_promise<v1::DeletedAtPeer>>();
  kept_promise<v1::DeletedAtPeer> kept{promise, attempted};
  from->ask<pack_deleted>(
      delete_pack{what->raw}, {},
      [kept, mesh = make.mesh, peer = from->peer, what = *what](const pack_deleted& deleted, const bytes&) mutable {
        auto checked = check_removal(mesh, deleted.removal, what, peer);
        if (!checked)
          return kept.deliver(to_caf(checked.error()));
        v1::DeletedAtPeer answer;
        answer.set_removal(std::string{as_text(deleted.removal)});
        kept.deliver(std::move(answer));
      },
      failing(kept));
  return promise;
}

caf::result<v1::ListedAtPeer> list(const remote_maker& make, const v1::ListAtPeer& request) {
  constexpr auto attempted = "ask a node what it keeps";
  auto whom = make(request);
  if (!whom)
    return to_caf(whom.error());
  list_shards what{{}, std::nullopt, request.limit()};
  vault_id owner;
  if (!request.permit().empty()) {
    auto by = read_permit(as_view(request.permit()));
    if (!by)
      return to_caf(by.error().within(attempted));
    what.permit = by->raw;
    owner = by->owner;
  } else if (request.owner().size() == vault_id::size) {
    owner = what.owner = vault_id::from(as_view(request.owner()));
  } else {
    return to_caf(error{errc::invalid_argument, attempted, "in nobody's name"});
  }
  if (request.behind_pack().size() == pack_id::size)
    what.after = shard_key{pack_id::from(as_view(request.behind_pack())), UINT8_MAX};
  if (!request.after().empty()) {
    auto last = read_ticket(as_view(request.after()));
    if (!last)
      return to_caf(last.error().within(attempted));
    what.after = last->shard;
  }
  if (what.limit == 0 || what.limit > listed_at_once)
    return to_caf(error{errc::invalid_argument, attempted, "1 to 256 at once"});
  auto promise = make.self->make_response_promise<caf::typed_response_promise<v1::ListedAtPeer>>();
  kept_promise<v1::ListedAtPeer> kept{promise, attempted};
  whom->ask<shards_listed>(
      what, {},
      [kept, mesh = make.mesh, owner, after = what.after, limit = what.limit](const shards_listed& listed, const bytes&) mutable {
        auto checked = check_listed(mesh, listed, owner, after, limit);
        if (!checked)
          return kept.deliver(to_caf(checked.error()));
        v1::ListedAtPeer answer;
        for (const auto& one : *checked)
          answer.add_ticket(std::string{as_text(one.raw)});
        answer.set_more(listed.more);
        kept.deliver(std::move(answer));
      },
      failing(kept));
  return promise;
}

caf::result<v1::ComparedAtPeer> compare(const remote_maker& make, const v1::CompareAtPeer& request) {
  constexpr auto attempted = "compare with what a node keeps";
  auto whom = make(request);
  if (!whom)
    return to_caf(whom.error());
  if (request.owner().size() != vault_id::size)
    return to_caf(error{errc::invalid_argument, attempted, "in nobody's name"});
  compare_shards what{vault_id::from(as_view(request.owner())), request.bits(), request.first(), {}};
  for (const auto& one : request.digest()) {
    if (one.size() != digest::size)
      return to_caf(error{errc::invalid_argument, attempted, "a digest has 32 bytes"});
    what.digests.push_back(digest::from(as_view(one)));
  }
  auto promise = make.self->make_response_promise<caf::typed_response_promise<v1::ComparedAtPeer>>();
  kept_promise<v1::ComparedAtPeer> kept{promise, attempted};
  auto count = what.digests.size();
  whom->ask<shards_compared>(
      std::move(what), {},
      [kept, count](const shards_compared& compared, const bytes&) mutable {
        if (compared.same.size() != count)
          return kept.deliver(to_caf(error{errc::protocol_violated, attempted, "it answers for other ranges"}));
        v1::ComparedAtPeer answer;
        for (auto same : compared.same)
          answer.add_same(same);
        kept.deliver(std::move(answer));
      },
      failing(kept));
  return promise;
}

caf::result<v1::RoomOfPeer> room(const remote_maker& make, const v1::RoomAtPeer& request) {
  constexpr auto attempted = "ask a node for its room";
  auto whom = make(request);
  if (!whom)
    return to_caf(whom.error());
  auto by = read_permit(as_view(request.permit()));
  if (!by)
    return to_caf(by.error().within(attempted));
  auto promise = make.self->make_response_promise<caf::typed_response_promise<v1::RoomOfPeer>>();
  kept_promise<v1::RoomOfPeer> kept{promise, attempted};
  whom->ask<room_found>(
      find_room{by->raw}, {},
      [kept](const room_found& found, const bytes&) mutable {
        v1::RoomOfPeer answer;
        answer.set_granted(found.granted);
        answer.set_used(found.used);
        kept.deliver(std::move(answer));
      },
      failing(kept));
  return promise;
}

caf::result<v1::Done> give(const remote_maker& make, const v1::GiveRoster& request) {
  constexpr auto attempted = "give a node an owner's roster";
  auto whom = make(request);
  if (!whom)
    return to_caf(whom.error());
  auto what = read_roster(as_view(request.roster()));
  if (!what)
    return to_caf(what.error().within(attempted));
  auto promise = make.self->make_response_promise<caf::typed_response_promise<v1::Done>>();
  kept_promise<v1::Done> kept{promise, attempted};
  whom->ask<roster_kept>(
      keep_roster{what->raw}, {}, [kept](const roster_kept&, const bytes&) mutable { kept.deliver(v1::Done{}); }, failing(kept));
  return promise;
}

remote_shards_actor::behavior_type asking(remote_pointer self, const link_actor& links, const network_id& mesh) {
  remote_maker make{self, links, mesh};
  return {
      [=](const v1::StoreAtPeer& request, const bytes& body) { return store(make, request, body); },
      [=](const v1::ReadAtPeer& request) { return read(make, request); },
      [=](const v1::ProveAtPeer& request) { return challenge(make, request); },
      [=](const v1::DeleteAtPeer& request) { return remove(make, request); },
      [=](const v1::ListAtPeer& request) { return list(make, request); },
      [=](const v1::RoomAtPeer& request) { return room(make, request); },
      [=](const v1::GiveRoster& request) { return give(make, request); },
      [=](const v1::CompareAtPeer& request) { return compare(make, request); },
  };
}

} // namespace

remote_shards_actor spawn_remote_shards(caf::actor_system& sys, link_actor links, const network_id& mesh) {
  return sys.spawn(asking, std::move(links), mesh);
}

} // namespace datamesh::network
