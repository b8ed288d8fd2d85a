#include "network/mesh_member.hpp"

#include "network/asio_lan.hpp"
#include "network/asio_router_wire.hpp"
#include "network/asio_transport.hpp"
#include "network/discovery_actor.hpp"
#include "network/lan_actor.hpp"
#include "network/line_meter_actor.hpp"
#include "network/line_service_actor.hpp"
#include "network/members_actor.hpp"
#include "network/paced_transport.hpp"
#include "network/peer_access.hpp"
#include "network/peer_router.hpp"
#include "network/port_mapper_actor.hpp"
#include "network/refusal_log.hpp"
#include "network/relay_actor.hpp"
#include "network/relayed_transport.hpp"
#include "storage/ask.hpp"

#include <fmt/format.h>

#include <map>
#include <mutex>

namespace datamesh::network {

namespace {

constexpr auto answer_max = std::chrono::seconds{10};
/// Discovery may write its file for a minute.
constexpr auto close_max = std::chrono::seconds{70};

struct open_link {
  peer_id peer;
  endpoint address;
  bool dialed = false;
  int64_t since_ns = 0;
};

/// What the watcher was told, for whoever asks.
struct mesh_facts {
  mutable std::mutex mutex;
  std::map<uint64_t, open_link> links;
  uint32_t nodes = 0;
  uint32_t alive = 0;
  std::optional<error> file_failure;
  std::optional<error> members_failure;
  std::optional<error> lan_failure;
  std::optional<port_facts> port; ///< None where the router is not asked.
  members_actor members;          ///< None in an open mesh.
  relay_actor relay;              ///< None at the begin and the end.
  relay_facts relayed;
};

using watch_actor =
    caf::typed_actor<caf::reacts_to<v1::LinkUp>, caf::reacts_to<v1::LinkDown>, caf::reacts_to<v1::LinkRefused>,
                     caf::reacts_to<v1::NodesChanged>, caf::reacts_to<v1::RecordRenewalDue>, caf::reacts_to<v1::RecordConflict>,
                     caf::reacts_to<v1::NodesFileFailed>, caf::reacts_to<v1::SeedFailed>>;

struct watcher {
  std::shared_ptr<mesh_facts> facts;
  std::shared_ptr<const clock> time;
  std::function<void(severity, std::string, std::optional<errc>)> tell;
  std::shared_ptr<refusal_log> refusals = std::make_shared<refusal_log>();

  void up(const v1::LinkUp& what) const {
    auto address = from_proto(what.link().address());
    open_link link{peer_id::from(as_view(what.link().peer())), address.value_or(endpoint{}), what.link().dialed(),
                   time->wall().time_since_epoch().count()};
    std::lock_guard guard{facts->mutex};
    facts->links[what.link().link()] = link;
    if (facts->members)
      caf::anon_send(facts->members, what);
    if (facts->relay)
      caf::anon_send(facts->relay, what);
  }
  void down(const v1::LinkDown& what) const {
    {
      std::lock_guard guard{facts->mutex};
      if (facts->relay)
        caf::anon_send(facts->relay, what);
      facts->links.erase(what.link().link());
    }
    if (static_cast<errc>(what.code()) == errc::peer_refused)
      refused(what.link(), what.reason());
  }
  void refused(const v1::LinkFacts& link, const std::string& reason) const {
    auto peer = peer_id::from(as_view(link.peer()));
    auto address = from_proto(link.address());
    switch (refusals->seen(peer, reason, time->monotonic())) {
    case refusal_log::what::tell:
      return tell(severity::warning, fmt::format("no link with node {} at {}: {}", peer.hex(), address ? address->text() : "?", reason),
                  errc::peer_refused);
    case refusal_log::what::tell_that_there_are_more:
      return tell(severity::warning, "more links are refused, which are not told for an hour", errc::peer_refused);
    case refusal_log::what::nothing:
      return;
    }
  }
  void nodes(const v1::NodesChanged& what) const {
    uint32_t before = 0;
    {
      std::lock_guard guard{facts->mutex};
      before = std::exchange(facts->alive, what.alive());
      facts->nodes = what.nodes();
    }
    if (before == 0 && what.alive() > 0)
      tell(severity::info, "joined the mesh: another node answers", std::nullopt);
    else if (before > 0 && what.alive() == 0)
      tell(severity::warning, "no other node of the mesh answers any more", errc::unavailable);
  }
  void file_failed(const v1::NodesFileFailed& what) const {
    auto code = static_cast<errc>(what.code());
    {
      std::lock_guard guard{facts->mutex};
      facts->file_failure = error{code, "keep the known nodes", what.reason()};
    }
    tell(severity::warning, "the file of known nodes: " + what.reason(), code);
  }
};

watch_actor::behavior_type watch(watch_actor::pointer, const watcher& does) {
  return {
      [=](const v1::LinkUp& what) { does.up(what); },
      [=](const v1::LinkDown& what) { does.down(what); },
      [=](const v1::LinkRefused& what) { does.refused(what.link(), what.reason()); },
      [=](const v1::NodesChanged& what) { does.nodes(what); },
      // The node's own record, the only one that is published, is renewed by discovery itself.
      [](const v1::RecordRenewalDue&) {},
      [](const v1::RecordConflict&) {},
      [=](const v1::NodesFileFailed& what) { does.file_failed(what); },
      [=](const v1::SeedFailed& what) {
        does.tell(severity::warning, fmt::format("the seed {} is not reached: {}", what.seed(), what.reason()),
                  static_cast<errc>(what.code()));
      },
  };
}

std::vector<std::string> texts_of(const std::vector<endpoint>& from) {
  std::vector<std::string> texts;
  for (const auto& one : from)
    texts.push_back(one.text());
  return texts;
}

/// What others are told, with the port of the router behind all else.
std::vector<endpoint> with_port(std::vector<endpoint> told, const std::optional<endpoint>& outside) {
  if (outside && std::ranges::find(told, *outside) == told.end())
    told.push_back(*outside);
  told.resize(std::min(told.size(), contact_addresses_max));
  return told;
}

/// Says what changed since *before*.
void tell_port(const port_mapping_report& before, const port_mapping_report& now,
               const std::function<void(severity, std::string, std::optional<errc>)>& tell) {
  if (!now.address.empty() && (now.address != before.address || (before.failure && !now.failure)))
    tell(severity::info, fmt::format("the router {} leads {} here, by {}", now.gateway, now.address, now.protocol), std::nullopt);
  if (now.failure && (!before.failure || before.failure->message() != now.failure->message()))
    tell(severity::warning, "no port of a router leads here: " + now.failure->object(), now.failure->code());
}

void add(peer_report& to, const open_link& link) {
  ++(link.dialed ? to.links_dialed : to.links_accepted);
  to.linked_since_ns = std::min(to.linked_since_ns.value_or(link.since_ns), link.since_ns);
  if (to.addresses.empty())
    to.addresses.push_back(link.address.text());
  // One that is direct is used.
  if (!link.address.through)
    to.through.reset();
  else if (to.links_dialed + to.links_accepted == 1)
    to.through = link.address.through->relay;
}

/// Says what changed since *before*.
void tell_relays(const std::vector<endpoint>& before, const std::vector<endpoint>& now,
                 const std::function<void(severity, std::string, std::optional<errc>)>& tell) {
  for (const auto& at : now)
    if (std::ranges::find(before, at) == before.end())
      tell(severity::info, fmt::format("nobody can dial this node; it is reached {}", at.text()), std::nullopt);
  if (!before.empty() && now.empty())
    tell(severity::warning, "no other node passes on to this one any more, and nobody can dial it", errc::unavailable);
}

} // namespace

struct mesh_member::impl {
  caf::actor_system& sys;
  std::shared_ptr<random_source> random; ///< Of the identity.
  std::shared_ptr<const tls_identity> identity;
  std::shared_ptr<mesh_facts> facts;
  mesh_report own; ///< What does not change.
  watch_actor watcher;
  peer_router_actor router;
  link_actor links;
  discovery_actor discovery;
  std::function<void()> end_parts;
  remote_shards_actor remote;
  std::shared_ptr<peer_access> lent;
  std::shared_ptr<membership> members;
  members_actor keeper;
  std::shared_ptr<const clock> time;
  std::shared_ptr<line_pace> pace;
  lan_actor lan{};
  peer_handler_actor line{};
  relay_actor relay{};
  std::shared_ptr<relayed_transport> wire{};
  std::unique_ptr<std::mutex> measuring = std::make_unique<std::mutex>(); ///< Held by the one test of a line that runs.
  std::vector<endpoint> told{};                                           ///< Without the port of the router.
  std::shared_ptr<router_wire> to_router{};
  port_mapper_actor mapper{};
  std::shared_ptr<linked_peers> linked = std::make_shared<linked_peers>();
};

mesh_member::mesh_member(std::unique_ptr<impl> with) : impl_(std::move(with)) {}

mesh_member::~mesh_member() {
  close();
}

result<std::unique_ptr<mesh_member>> mesh_member::start(caf::actor_system& sys, const member_parts& parts) {
  const auto& env = parts.env;
  auto wire = asio_transport::listen(parts.settings.listen, env.clock);
  if (!wire)
    return fail(wire.error());
  auto identity = tls_identity::make(parts.seed, env.clock, *env.random);
  if (!identity)
    return fail(identity.error());
  auto at = (*wire)->addresses();
  auto facts = std::make_shared<mesh_facts>();
  auto made = std::make_unique<impl>(impl{sys,
                                          env.random,
                                          std::make_shared<const tls_identity>(std::move(*identity)),
                                          facts,
                                          {},
                                          {},
                                          {},
                                          {},
                                          {},
                                          parts.end_parts,
                                          {},
                                          {},
                                          parts.members,
                                          {},
                                          env.clock,
                                          parts.pace});
  discovery_setup setup;
  setup.mesh = parts.settings.mesh;
  setup.rules = parts.settings.rules();
  setup.told = parts.settings.told(at, interfaces_of_machine().value_or(std::vector<lan_interface>{}));
  setup.seeds = parts.settings.seeds;
  setup.saved_at = parts.saved_at;
  made->told = setup.told;
  made->own = {made->identity->id(), setup.mesh, parts.settings.local, texts_of(at), {}, 0, 0, 0, {}};
  made->watcher = sys.spawn(watch, watcher{facts, env.clock, parts.tell});
  made->router = spawn_peer_router(sys);
  hub_options options;
  options.link.network = setup.mesh;
  options.link.gate = parts.members;
  made->wire = std::make_shared<relayed_transport>(std::make_unique<paced_transport>(std::move(*wire), env.clock, parts.pace));
  made->links = spawn_link_actor(sys, {made->wire, env.clock, made->identity, options, made->router, made->watcher, made->linked});
  // From here on it ends as a member does.
  std::unique_ptr<mesh_member> member{new mesh_member{std::move(made)}};
  auto& self = *member->impl_;
  if (parts.members)
    if (auto kept = member->keep_members(parts); !kept)
      return fail(kept.error());
  auto discovery = spawn_discovery_actor(sys, {env, self.identity, self.links, std::move(setup), self.watcher});
  if (!discovery)
    return fail(discovery.error());
  self.discovery = *discovery;
  if (auto served = member->serve(peer_part::discovery, caf::actor_cast<caf::actor>(*discovery)); !served)
    return fail(served.error());
  self.line = spawn_line_service(sys, {env.clock, env.random, parts.pace});
  if (auto served = member->serve(peer_part::line, caf::actor_cast<caf::actor>(self.line)); !served)
    return fail(served.error());
  if (auto begun = member->begin_relay(parts); !begun)
    return fail(begun.error());
  if (parts.settings.lan)
    member->begin_lan(parts, at);
  if (const auto* behind = mesh_settings::behind_router(at); behind != nullptr && parts.settings.map_port)
    member->begin_mapping(parts, *behind, self.told);
  return member;
}

result<void> mesh_member::keep_members(const member_parts& parts) {
  auto& self = *impl_;
  auto failed = [facts = self.facts](std::optional<error> why) {
    std::lock_guard guard{facts->mutex};
    facts->members_failure = std::move(why);
  };
  self.keeper = spawn_members_actor(
      self.sys, {parts.env, parts.members, self.links, self.identity->id(), parts.members_at, parts.tell, std::move(failed)});
  {
    std::lock_guard guard{self.facts->mutex};
    self.facts->members = self.keeper;
  }
  return serve(peer_part::members, caf::actor_cast<caf::actor>(self.keeper));
}

result<void> mesh_member::begin_relay(const member_parts& parts) {
  auto& self = *impl_;
  auto changed = [facts = self.facts, tell = parts.tell, to = self.discovery](const relay_facts& now) {
    relay_facts before;
    {
      std::lock_guard guard{facts->mutex};
      before = std::exchange(facts->relayed, now);
    }
    if (before.relays == now.relays)
      return;
    v1::TellRelays message;
    for (const auto& at : now.relays)
      *message.add_address() = to_proto(at);
    caf::anon_send(to, std::move(message));
    tell_relays(before.relays, now.relays, tell);
  };
  const auto& settings = parts.settings;
  self.relay = spawn_relay_actor(self.sys, {self.time, self.identity->id(), settings.relay, settings.rules(), !self.told.empty(),
                                            self.links, self.linked, self.wire, std::move(changed)});
  {
    std::lock_guard guard{self.facts->mutex};
    self.facts->relay = self.relay;
  }
  return serve(peer_part::relay, caf::actor_cast<caf::actor>(self.relay));
}

void mesh_member::begin_lan(const member_parts& parts, const std::vector<endpoint>& listens) {
  auto& self = *impl_;
  auto failed = [facts = self.facts, tell = parts.tell](const std::optional<error>& why) {
    if (why)
      tell(severity::warning, "nobody is heard on the local network: " + why->message(), why->code());
    else
      tell(severity::info, "the local network is heard again", std::nullopt);
    std::lock_guard guard{facts->mutex};
    facts->lan_failure = why;
  };
  const auto& settings = parts.settings;
  self.lan = spawn_lan_actor(self.sys, {parts.env, self.identity, settings.mesh, settings.rules(), listens, settings.announce,
                                        self.discovery, parts.members, make_asio_lan(), std::move(failed)});
}

void mesh_member::begin_mapping(const member_parts& parts, const endpoint& behind, const std::vector<endpoint>& told) {
  auto& self = *impl_;
  self.facts->port.emplace();
  auto changed = [facts = self.facts, tell = parts.tell, to = self.discovery, relay = self.relay, told](const port_facts& now) {
    v1::TellAddresses message;
    for (const auto& at : with_port(told, now.outside))
      *message.add_address() = to_proto(at);
    caf::anon_send(relay, message);
    caf::anon_send(to, std::move(message));
    port_facts before;
    {
      std::lock_guard guard{facts->mutex};
      before = *std::exchange(facts->port, now);
    }
    tell_port(before.report, now.report, tell);
  };
  port_wish wish{behind.port, behind.port, std::nullopt};
  if (is_host(behind.ip))
    wish.to = behind.ip;
  self.to_router = make_asio_router_wire(parts.env, wish.to);
  self.mapper = spawn_port_mapper_actor(self.sys, {parts.env, wish, parts.settings.rules(), self.to_router, std::move(changed)});
}

result<bool> mesh_member::offer_members(const bytes& list) {
  if (!impl_->keeper)
    return fail(errc::unavailable, taking, "the mesh is an open one until the node is restarted");
  caf::scoped_actor asks{impl_->sys};
  return storage::ask<v1::MembersOffered>(asks.ptr(), impl_->keeper, answer_max, v1::OfferMembers{}, list)
      .map([](const v1::MembersOffered& answer) { return answer.newer(); });
}

result<void> mesh_member::serve(peer_part part, const caf::actor& by) {
  caf::scoped_actor asks{impl_->sys};
  return storage::ask<v1::Done>(asks.ptr(), impl_->router, answer_max, serve_part(part), by).map([](const v1::Done&) {});
}

void mesh_member::lend(std::shared_ptr<peer_access> to) {
  auto& self = *impl_;
  self.remote = spawn_remote_shards(self.sys, self.links, network());
  self.lent = std::move(to);
  self.lent->open({network(), self.identity->id(), self.remote, self.links, self.discovery, self.linked});
}

const std::shared_ptr<const tls_identity>& mesh_member::identity() const noexcept {
  return impl_->identity;
}

const network_id& mesh_member::network() const noexcept {
  return *impl_->own.network;
}

mesh_report mesh_member::report() const {
  auto now = impl_->own;
  if (impl_->lan) {
    now.lan.emplace();
    if (auto list = ask_lan())
      now.lan->interfaces.assign(list->interface().begin(), list->interface().end());
  }
  now.traffic = impl_->pace->report(impl_->time->wall());
  std::lock_guard guard{impl_->facts->mutex};
  const auto& port = impl_->facts->port;
  now.announces = texts_of(with_port(impl_->told, port ? port->outside : std::nullopt));
  if (port)
    now.port_mapping = port->report;
  now.relay = impl_->facts->relayed.report;
  now.relayed_by = texts_of(impl_->facts->relayed.relays);
  now.links = impl_->facts->links.size();
  now.nodes_known = impl_->facts->nodes;
  now.nodes_alive = impl_->facts->alive;
  now.file_failure = impl_->facts->file_failure;
  if (now.lan)
    now.lan->failure = impl_->facts->lan_failure;
  if (impl_->members) {
    auto newest = impl_->members->newest();
    const auto& list = newest->list;
    now.members = members_report{list.number,
                                 list.members.size(),
                                 static_cast<uint32_t>(list.operators.size()),
                                 list.threshold,
                                 {},
                                 list.find(now.self) != nullptr,
                                 impl_->facts->members_failure};
    if (list.expires_s)
      now.members->expires_ns = *list.expires_s * 1'000'000'000;
  }
  return now;
}

result<std::vector<peer_report>> mesh_member::peers() const {
  caf::scoped_actor asks{impl_->sys};
  auto list = storage::ask<v1::NodeList>(asks.ptr(), impl_->discovery, answer_max, v1::ListNodes{});
  if (!list)
    return fail(list.error().within("list the nodes of the mesh"));
  std::map<peer_id, peer_report> all;
  for (const auto& node : list->node()) {
    auto& one = all[peer_id::from(as_view(node.peer()))];
    one.known = true;
    for (const auto& address : node.address())
      if (auto at = from_proto(address))
        one.addresses.push_back(at->text());
  }
  {
    std::lock_guard guard{impl_->facts->mutex};
    for (const auto& [number, link] : impl_->facts->links)
      add(all[link.peer], link);
  }
  std::vector<peer_report> peers;
  for (auto& [id, one] : all) {
    one.id = id;
    peers.push_back(std::move(one));
  }
  return peers;
}

result<line_report> mesh_member::measure_line(const peer_id& peer, const line_test& how, std::function<std::optional<error>()> ended,
                                              std::function<void(uint64_t, uint64_t)> progress) const {
  const auto& self = *impl_;
  std::unique_lock only{*self.measuring, std::try_to_lock};
  if (!only)
    return fail(errc::conflict, "measure two lines at once, since one would slow the other", peer.hex());
  auto meter = spawn_line_meter(self.sys, {self.time, self.random, self.links, self.discovery, self.pace->limits(self.time->wall()),
                                           std::move(ended), std::move(progress)});
  v1::MeasureLine request;
  request.set_peer(std::string{peer.text()});
  request.set_bytes(how.bytes);
  request.set_time_ms(static_cast<uint64_t>(how.time.count()));
  caf::scoped_actor asks{self.sys};
  auto measured = storage::ask<line_measured>(asks.ptr(), meter, storage::until_answered, std::move(request));
  // Nothing that it was handed is called any more.
  asks->wait_for(meter);
  if (!measured)
    return fail(measured.error().within("measure the line to node", peer.hex()));
  return *measured->it;
}

namespace {

neighbour_report report_of(const v1::NeighbourList::Row& row, clock::wall_time now) {
  neighbour_report one;
  auto since = std::chrono::milliseconds{static_cast<int64_t>(row.since_ms())};
  one.heard_ns = (now - since).time_since_epoch().count();
  if (row.peer().size() == peer_id::size)
    one.id = peer_id::from(as_view(row.peer()));
  for (const auto& address : row.address())
    if (auto ip = ip_from(as_view(address.address())))
      one.addresses.push_back(one.id ? endpoint{*ip, static_cast<uint16_t>(address.port())}.text() : to_string(*ip));
  return one;
}

} // namespace

result<v1::NeighbourList> mesh_member::ask_lan() const {
  if (!impl_->lan)
    return fail(errc::unavailable, "list who is on the local network, since 'mesh_lan' is not set");
  caf::scoped_actor asks{impl_->sys};
  auto list = storage::ask<v1::NeighbourList>(asks.ptr(), impl_->lan, answer_max, v1::ListNeighbours{});
  return list ? std::move(list) : fail(list.error().within("list who is on the local network"));
}

result<std::vector<neighbour_report>> mesh_member::neighbours() const {
  auto list = ask_lan();
  if (!list)
    return fail(list.error());
  std::vector<neighbour_report> all;
  for (const auto& row : list->row())
    all.push_back(report_of(row, impl_->time->wall()));
  return all;
}

void mesh_member::close() {
  auto& self = *impl_;
  if (!self.links)
    return;
  caf::scoped_actor asks{self.sys};
  // Others are told no more that they come in there.
  if (self.mapper) {
    self.to_router->cancel();
    (void) storage::ask<v1::Done>(asks.ptr(), self.mapper, close_max, caf::close_atom_v);
    asks->send_exit(self.mapper, caf::exit_reason::user_shutdown);
    asks->wait_for(self.mapper);
  }
  // Nothing more is passed on, or asked to be.
  if (self.relay) {
    {
      std::lock_guard guard{self.facts->mutex};
      self.facts->relay = nullptr;
    }
    asks->send_exit(self.relay, caf::exit_reason::user_shutdown);
    asks->wait_for(self.relay);
  }
  // Sources first: discovery asks over the links.
  if (self.lan) {
    asks->send_exit(self.lan, caf::exit_reason::user_shutdown);
    asks->wait_for(self.lan);
  }
  if (self.lent)
    self.lent->close();
  if (self.discovery) {
    (void) storage::ask<v1::Done>(asks.ptr(), self.discovery, close_max, caf::close_atom_v);
    asks->send_exit(self.discovery, caf::exit_reason::user_shutdown);
    asks->wait_for(self.discovery);
  }
  if (self.keeper) {
    {
      std::lock_guard guard{self.facts->mutex};
      self.facts->members = nullptr;
    }
    asks->send_exit(self.keeper, caf::exit_reason::user_shutdown);
    asks->wait_for(self.keeper);
  }
  // Who of the parts asks other nodes is told at once that none answers.
  if (self.remote) {
    asks->send_exit(self.remote, caf::exit_reason::user_shutdown);
    asks->wait_for(self.remote);
  }
  if (self.end_parts)
    std::exchange(self.end_parts, nullptr)();
  (void) storage::ask<v1::Done>(asks.ptr(), self.links, close_max, caf::close_atom_v);
  asks->send_exit(self.links, caf::exit_reason::user_shutdown);
  asks->send_exit(self.router, caf::exit_reason::user_shutdown);
  asks->send_exit(self.watcher, caf::exit_reason::user_shutdown);
  asks->wait_for(self.links, self.router, self.watcher);
  if (self.line) {
    asks->send_exit(self.line, caf::exit_reason::user_shutdown);
    asks->wait_for(self.line);
  }
  self.discovery = nullptr;
  self.links = nullptr;
}

} // namespace datamesh::network
