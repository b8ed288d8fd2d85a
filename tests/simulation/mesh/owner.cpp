#include "tests/simulation/mesh/owner.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::test {

using namespace network;
using std::chrono::seconds;

namespace {

constexpr auto answers_in = seconds{20};
constexpr auto tends_every = seconds{30};
constexpr auto gives_every = std::chrono::minutes{5};
constexpr unsigned tried_at_one_node = 3;
constexpr auto kept_for = std::chrono::hours{24 * 60};

std::string text_of(byte_view raw) {
  return std::string{as_text(raw)};
}

/// A pack of random data and its parity.
std::vector<storage::shard_write> encoded_pack(seeded_random& chance, const storage::geometry& shape) {
  std::vector<std::vector<std::byte>> contents;
  for (size_t i = 0; i < shape.k; ++i)
    contents.push_back(chance.make(shape.shard_length));
  for (size_t i = 0; i < shape.m; ++i)
    contents.emplace_back(shape.shard_length);
  std::vector<byte_view> data{contents.begin(), contents.begin() + shape.k};
  std::vector<byte_span> parity{contents.begin() + shape.k, contents.end()};
  storage::erasure_code{shape.k, shape.m}.encode(data, parity);
  return pack_of(shape, std::move(contents));
}

} // namespace

sim_owner::sim_owner(sim_mesh& mesh, sim_place& place, uint64_t number, sim_ledger& ledger, std::vector<peer_id> nodes,
                     const owner_habits& habits)
    : mesh_(mesh), place_(place), key_(0x6f776e6572 + number), ledger_(ledger), nodes_(std::move(nodes)), habits_(habits),
      chance_(mesh.stage.chance->below(UINT64_MAX)) {
  std::ranges::sort(nodes_);
  auto& sys = mesh_.stage.sys;
  asks_ = sys.spawn([this](caf::event_based_actor* self) -> caf::behavior {
    self_ = self;
    return {[](const v1::Done&) {
    }};
  });
  mesh_.stage.settle([&] { return self_ != nullptr; });
  for (const auto& node : nodes_)
    watches_.push_back(spawn_peer_watch(sys, place_.env().clock, place_.access, node));
}

sim_owner::~sim_owner() {
  leave();
}

void sim_owner::leave() {
  if (!std::exchange(there_, false))
    return;
  acts_ = false;
  for (const auto& each : watches_)
    caf::anon_send_exit(each, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(asks_, caf::exit_reason::kill);
  watches_.clear();
  asks_ = nullptr;
  for (auto& pack : packs_) {
    std::fill(pack->busy.begin(), pack->busy.end(), false);
    pack->reading = false;
  }
  reads_under_way = 0;
}

template <class Request>
Request sim_owner::request_to(const peer_id& node) const {
  Request request;
  request.set_peer(text_of(node.view()));
  request.set_timeout_ms(static_cast<uint32_t>(std::chrono::milliseconds{answers_in}.count()));
  return request;
}

// -- what he does ------------------------------------------------------------------------------------

void sim_owner::begin() {
  acts_ = true;
  give_rosters();
  act();
  tend();
}

void sim_owner::rest() {
  acts_ = false;
}

void sim_owner::act() {
  if (!acts_)
    return;
  auto wanted = std::ranges::count_if(packs_, [](const auto& one) { return !one->unwanted; });
  auto draw = chance_.below(10);
  if (static_cast<size_t>(wanted) < habits_.packs_max && (draw < 4 || wanted < 4))
    make_pack();
  else if (draw < 9 && wanted > 0)
    read(*packs_[chance_.below(packs_.size())]);
  else
    remove_some();
  auto every = std::chrono::milliseconds{habits_.acts_every};
  mesh_.stage.after(every / 2 + std::chrono::milliseconds{static_cast<int64_t>(chance_.below(static_cast<uint64_t>(every.count())))},
                    [this] { act(); });
}

void sim_owner::tend() {
  if (!there_)
    return;
  for (auto& pack : packs_) {
    for (size_t i = 0; i < pack->at.size(); ++i)
      if (!pack->unwanted && !pack->at[i])
        store(*pack, i);
    for (const auto& node : std::set{pack->awaited})
      remove(*pack, node);
  }
  mesh_.stage.after(tends_every, [this] { tend(); });
}

void sim_owner::give_rosters() {
  if (!there_)
    return;
  roster what;
  what.owner = key_.owner;
  what.number = ++roster_number_;
  what.made = now();
  what.patience = habits_.patience;
  what.nodes = nodes_;
  auto shown = sign(std::move(what));
  for (const auto& node : nodes_) {
    auto request = request_to<v1::GiveRoster>(node);
    request.set_roster(text_of(shown.raw));
    self_->request(place_.access->now()->shards, answers_in * 2, std::move(request)).then([](const v1::Done&) {}, [](const caf::error&) {});
  }
  mesh_.stage.after(gives_every, [this] { give_rosters(); });
}

std::optional<std::string> sim_owner::undone() const {
  auto why = [](const owned_pack& pack) {
    return pack.last_failure ? pack.last_failure->message() : std::string{"nothing failed"};
  };
  for (const auto& pack : packs_) {
    if (pack->unwanted && !pack->awaited.empty())
      return fmt::format("pack {} is not deleted by {} nodes; {}", pack->id().brief(), pack->awaited.size(), why(*pack));
    auto missing = std::ranges::count_if(pack->at, [](const auto& at) { return !at; });
    if (!pack->unwanted && missing > 0)
      return fmt::format("{} shards of pack {} are not stored; {}", missing, pack->id().brief(), why(*pack));
  }
  return std::nullopt;
}

// -- storing -------------------------------------------------------------------------------------------

void sim_owner::make_pack() {
  auto made = std::make_unique<owned_pack>();
  auto shape = habits_.shape;
  // Some lie in an index, some are files of one block, some of two.
  constexpr std::array<uint32_t, 4> lengths{320, 4096, storage::block_size, 2 * storage::block_size};
  shape.shard_length = lengths[chance_.below(lengths.size())];
  made->shards = encoded_pack(chance_, shape);
  auto expiry = std::chrono::floor<seconds>(now()) + kept_for;
  for (const auto& shard : made->shards)
    made->tickets.push_back(sign(ticket{key_.owner, key_of(shard), shape.shard_length, 1, expiry, {}}));
  auto count = made->shards.size();
  made->at.resize(count);
  made->busy.resize(count);
  made->failures.resize(count);
  for (size_t i = 0; i < count; ++i)
    made->meant.push_back(choose(*made));
  packs_.push_back(std::move(made));
  for (size_t i = 0; i < count; ++i)
    store(*packs_.back(), i);
}

/// A node that is meant for no other shard of it.
peer_id sim_owner::choose(const owned_pack& pack) {
  std::vector<peer_id> free;
  for (const auto& node : nodes_)
    if (std::ranges::count(pack.meant, node) == 0)
      free.push_back(node);
  return free.empty() ? nodes_[chance_.below(nodes_.size())] : free[chance_.below(free.size())];
}

void sim_owner::store(owned_pack& pack, size_t index) {
  if (!there_ || pack.busy[index])
    return;
  pack.busy[index] = true;
  if (pack.failures[index] >= tried_at_one_node) {
    pack.failures[index] = 0;
    pack.meant[index] = choose(pack);
  }
  auto node = pack.meant[index];
  shard_name name{key_.owner, pack.tickets[index].shard};
  ledger_.sent(node, name);
  auto request = request_to<v1::StoreAtPeer>(node);
  request.set_ticket(text_of(pack.tickets[index].raw));
  request.set_header(text_of(storage::encode_shard_header(pack.shards[index].header, false)));
  self_->request(place_.access->now()->shards, answers_in * 10, std::move(request), pack.shards[index].body)
      .then(
          [this, &pack, index, node, name, starts = ledger_.lives(node)](const v1::StoredAtPeer&) {
            pack.busy[index] = false;
            // Its drives may have gone while the receipt was on its way.
            if (pack.unwanted || ledger_.lives(node) != starts)
              return;
            pack.at[index] = node;
            ledger_.kept(node, name);
            if (!pack.acknowledged && std::ranges::all_of(pack.at, [](const auto& at) { return at.has_value(); })) {
              pack.acknowledged = true;
              ++stored;
            }
          },
          [&pack, index](const caf::error& reason) {
            pack.busy[index] = false;
            ++pack.failures[index];
            pack.last_failure = from_caf(reason);
          });
}

// -- deleting ------------------------------------------------------------------------------------------

void sim_owner::remove_some() {
  auto which = chance_.below(std::max<size_t>(packs_.size(), 1));
  for (size_t i = 0; i < packs_.size(); ++i) {
    auto& pack = *packs_[(which + i) % packs_.size()];
    if (pack.unwanted || !pack.acknowledged || pack.reading)
      continue;
    pack.unwanted = true;
    ledger_.unwanted(key_.owner, pack.id());
    pack.gone = sign(deletion{key_.owner, pack.id(), 1, std::chrono::floor<seconds>(now()), {}});
    pack.awaited = {nodes_.begin(), nodes_.end()};
    ++deleted;
    for (const auto& node : nodes_)
      remove(pack, node);
    return;
  }
}

void sim_owner::remove(owned_pack& pack, const peer_id& node) {
  auto request = request_to<v1::DeleteAtPeer>(node);
  request.set_deletion(text_of(pack.gone->raw));
  self_->request(place_.access->now()->shards, answers_in * 2, std::move(request))
      .then(
          [this, &pack, node, starts = ledger_.lives(node)](const v1::DeletedAtPeer&) {
            pack.awaited.erase(node);
            if (ledger_.lives(node) == starts)
              ledger_.gone(node, key_.owner, pack.id());
          },
          [&pack, node](const caf::error& reason) {
            pack.last_failure = from_caf(reason);
            // It has nothing of it, and no room to remember that.
            if (pack.last_failure->code() == errc::no_space)
              pack.awaited.erase(node);
          });
}

// -- reading -------------------------------------------------------------------------------------------

struct sim_owner::reading {
  owned_pack* pack;
  std::vector<uint8_t> indexes; ///< Still to be asked for, the last first.
  std::vector<peer_id> nodes;   ///< Still to be asked for the index that is asked for, the last first.
  std::map<uint8_t, bytes> found;
  bool deep = false; ///< All of them, to see which are damaged.
};

void sim_owner::read_all() {
  for (auto& pack : packs_)
    if (pack->acknowledged && !pack->unwanted) {
      pack->read_well = false;
      read(*pack);
    }
}

void sim_owner::read(owned_pack& pack) {
  if (pack.unwanted || !pack.acknowledged || std::exchange(pack.reading, true))
    return;
  auto of = std::make_shared<reading>();
  of->pack = &pack;
  of->deep = !acts_;
  for (uint8_t i = 0; i < pack.shards.size(); ++i)
    of->indexes.push_back(i);
  for (size_t i = of->indexes.size(); i > 1; --i)
    std::swap(of->indexes[i - 1], of->indexes[chance_.below(i)]);
  ++reads_under_way;
  read_next(of);
}

void sim_owner::read_next(const std::shared_ptr<reading>& of) {
  auto& pack = *of->pack;
  auto enough = of->found.size() >= pack.shape().k && !of->deep;
  if (enough || of->indexes.empty()) {
    --reads_under_way;
    pack.reading = false;
    return check_read(*of);
  }
  auto at = pack.at[of->indexes.back()];
  of->nodes = nodes_;
  for (size_t i = of->nodes.size(); i > 1; --i)
    std::swap(of->nodes[i - 1], of->nodes[chance_.below(i)]);
  if (at)
    std::swap(*std::ranges::find(of->nodes, *at), of->nodes.back());
  ask_block(of);
}

/// All blocks of one shard, of one node after the other.
void sim_owner::ask_block(const std::shared_ptr<reading>& of) {
  auto& pack = *of->pack;
  auto index = of->indexes.back();
  if (of->nodes.empty()) {
    // A look at all is what a repair begins with: what no node has any more is stored again.
    if (of->deep)
      pack.at[index].reset();
    of->indexes.pop_back();
    return read_next(of);
  }
  auto node = of->nodes.back();
  of->nodes.pop_back();
  auto request = request_to<v1::ReadAtPeer>(node);
  request.set_ticket(text_of(pack.tickets[index].raw));
  request.set_first(0);
  request.set_count(pack.shape().block_count());
  self_->request(place_.access->now()->shards, answers_in * 3, std::move(request))
      .then(
          [this, of, index](const v1::ReadFromPeer&, const bytes& body) {
            auto& shard = of->pack->shards[index];
            if (!std::ranges::equal(body.view(), shard.body.view()))
              wrong = fmt::format("wrong bytes of pack {}, shard {}, were taken for right ones", of->pack->id().brief(), index);
            of->found.emplace(index, body);
            of->indexes.pop_back();
            read_next(of);
          },
          [this, of, index, node](const caf::error& reason) {
            // What its node can not read any more is stored again.
            if (from_caf(reason).code() == errc::shard_damaged && of->pack->at[index] == node)
              of->pack->at[index].reset();
            ask_block(of);
          });
}

void sim_owner::check_read(const reading& of) {
  auto& pack = *of.pack;
  auto shape = pack.shape();
  if (of.found.size() < shape.k) {
    ++reads_failed;
    return;
  }
  std::vector<uint8_t> indexes;
  std::vector<byte_view> views;
  for (const auto& [index, body] : of.found)
    if (indexes.size() < shape.k) {
      indexes.push_back(index);
      views.push_back(body.view());
    }
  storage::erasure_code code{shape.k, shape.m};
  for (uint8_t i = 0; i < shape.k; ++i) {
    if (std::ranges::count(indexes, i) > 0)
      continue;
    std::vector<std::byte> made(shape.shard_length);
    byte_span out{made};
    auto done = code.reconstruct(indexes, views, std::span{&i, 1}, std::span{&out, 1});
    if (!done || !std::ranges::equal(byte_view{made}, pack.shards[i].body.view()))
      wrong = fmt::format("pack {} did not come back as it was stored", pack.id().brief());
  }
  ++reads;
  pack.read_well = true;
}

} // namespace datamesh::test
