#include "tests/actors/network/mesh_of_actors.hpp"

namespace datamesh::test {

using namespace network;

namespace {

/// Many nodes behind one address, which a mesh has not.
hub_options crowded(const network_id& mesh) {
  hub_options options;
  options.link.network = mesh;
  options.door.half_open = 1024;
  options.door.unproven_per_host = 1024;
  options.door.links_per_host = 4096;
  options.door.handshakes = {10'000, 10'000};
  options.door.arrivals_per_host = {10'000, 10'000};
  return options;
}

discovery_watch_actor::behavior_type watcher(discovery_watch_actor::pointer, const std::shared_ptr<told_nodes>& to) {
  return {
      [to](const v1::NodesChanged& now) { to->tell([&] { to->alive = now.alive(); }); },
      [](const v1::RecordRenewalDue&) {},
      [to](const v1::RecordConflict& what) { to->tell([&] { to->conflicts.push_back(what); }); },
      [to](const v1::NodesFileFailed& what) { to->tell([&] { to->file_failures.push_back(static_cast<errc>(what.code())); }); },
      [to](const v1::SeedFailed& what) { to->tell([&] { to->seed_failures.push_back(what); }); },
  };
}

} // namespace

mesh_config::mesh_config() {
  add_message_types<caf::id_block::datamesh>();
  add_message_types<caf::id_block::datamesh_mesh>();
  set("scheduler.max-threads", 2);
}

mesh_place::mesh_place(mesh_world& world, uint64_t number, const mesh_place_options& options) : world_(world), node_(number) {
  auto env = system_environment();
  env.files = options.files;
  auto wire = std::shared_ptr{asio_transport::listen({options.at}, env.clock).value()};
  at_ = wire->addresses().at(0);
  auto identity = std::make_shared<tls_identity>(tls_identity::make(node_.seed, env.clock, *env.random).value());
  identity_ = identity;
  router_ = spawn_peer_router(world.sys);
  auto handler = options.handler ? options.handler : peer_handler_actor{router_};
  links = spawn_link_actor(world.sys, {wire, env.clock, identity, crowded(world.mesh), handler, {}});
  discovery_setup setup;
  setup.mesh = world.mesh;
  setup.rules = options.local ? ip_rules::local() : ip_rules{};
  setup.told = options.tells.value_or(std::vector{at_});
  setup.seeds = options.seeds;
  setup.saved_at = options.saved_at;
  discovery = spawn_discovery_actor(world.sys, {env, identity, links, setup, world.sys.spawn(watcher, told), options.resolver}).value();
  serve(peer_part::discovery, caf::actor_cast<caf::actor>(discovery));
}

void mesh_place::serve(peer_part part, const caf::actor& by) {
  (void) ask<v1::Done>(world_.self, router_, serve_part(part), by);
}

void mesh_place::close() {
  if (!std::exchange(open_, false))
    return;
  (void) ask<v1::Done>(world_.self, discovery, caf::close_atom_v);
  (void) ask<v1::Done>(world_.self, links, caf::close_atom_v);
  caf::anon_send_exit(router_, caf::exit_reason::user_shutdown);
}

mesh_place::~mesh_place() {
  close();
  world_.self->wait_for(discovery, links);
}

peer_spec mesh_place::spec(bool with_id) const {
  return {with_id ? std::optional{id()} : std::nullopt, {at_.ip, at_.port}};
}

result<v1::LookedUp> mesh_place::look_up(const point& target, uint32_t kind) {
  v1::LookUp request;
  request.set_target(std::string{as_text(target.view())});
  request.set_kind(kind);
  return ask<v1::LookedUp>(world_.self, discovery, std::move(request));
}

result<uint32_t> mesh_place::publish(const signed_record& record) {
  v1::PublishRecord request;
  request.set_record(std::string{as_text(record.raw)});
  auto answer = ask<v1::RecordPublished>(world_.self, discovery, std::move(request));
  if (!answer)
    return fail(answer.error());
  return answer->copies();
}

result<v1::NodeList> mesh_place::list() {
  return ask<v1::NodeList>(world_.self, discovery, v1::ListNodes{});
}

bool mesh_place::knows(const mesh_place& other) {
  auto all = list();
  return all && std::ranges::any_of(all->node(), [&](const v1::NodeContact& one) { return one.peer() == as_text(other.id().view()); });
}

signed_record mesh_place::sign(record_kind kind, uint64_t sequence, std::string_view value, const point& key_if_any) const {
  auto key = crypto::ed25519_public(node_.seed).value();
  auto due = key_of(kind, key).value();
  auto expiry = std::chrono::floor<std::chrono::seconds>(system_environment().clock->wall()) + std::chrono::hours{24};
  record_draft draft{{kind, due.value_or(key_if_any), key}, sequence, expiry, bytes::copy_of(value)};
  return sign_record(world_.mesh, draft, [this](byte_view message) { return crypto::ed25519_sign(node_.seed, message); }).value();
}

} // namespace datamesh::test
