#include "tests/simulation/mesh/place.hpp"

#include "base/simple_store.hpp"
#include "network/paced_transport.hpp"
#include "network/peer_part.hpp"
#include "tests/libdatamesh/network/mesh_fixture.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::test {

using namespace network;

namespace {

constexpr size_t said_kept = 8;
constexpr auto files_of_shards = 64u << 10;
// So that nodes with few shards have many, most of which are compared by a digest.
constexpr range_plan few_ranges{8, 2};

void must(const result<void>& outcome) {
  if (!outcome)
    throw violation{outcome.error().message()};
}

crypto::key256 seed_of(uint32_t number) {
  seeded_random chance{0x6e6f6465 + number};
  return crypto::key256::random(chance).value();
}

} // namespace

void sim_log::write(severity level, std::string_view, std::string_view message, std::span<const log_field>) {
  if (level == severity::critical && message.find("takes no more writes") != std::string_view::npos && counts())
    drive_failed = true;
}

sim_place::sim_place(sim_mesh& mesh, uint32_t number, unsigned drives)
    : disk(std::make_shared<simulated_files>(mesh.stage.time)), time(std::make_shared<sim_clock>(mesh.stage.time)), mesh_(mesh),
      number_(number), at_({public_ip(number * 256), 7000}) {
  env_.clock = time;
  env_.random = std::make_shared<seeded_random>(mesh.stage.chance->below(UINT64_MAX));
  env_.files = disk;
  env_.stores = simple_stores(disk, env_.random);
  env_.log = log_;
  log_->counts = [this] {
    return disk->powered();
  };
  for (unsigned i = 0; i < drives; ++i)
    folders_.push_back(guests_folder(fmt::format("/drive{}", i)));
  identity_ = std::make_shared<const tls_identity>(tls_identity::make(seed_of(number), time, *env_.random).value());
  must(disk->make_folder("/home"));
  format();
}

sim_place::~sim_place() {
  if (up_)
    lose_power(0);
}

void sim_place::format() {
  for (const auto& folder : folders_)
    must(guest_store::format(env_, folder));
  disk->sync_all();
}

void sim_place::replace_drives() {
  log_->drive_failed = false;
  disk = std::make_shared<simulated_files>(mesh_.stage.time);
  env_.files = disk;
  env_.stores = simple_stores(disk, env_.random);
  must(disk->make_folder("/home"));
  format();
}

std::vector<std::string> sim_place::shard_files() const {
  std::vector<std::string> found;
  for (const auto& file : disk->list_all())
    if (file.status.kind == file_kind::regular && file.status.size >= files_of_shards && file.path.find("/shards/") != std::string::npos)
      found.push_back(file.path);
  return found;
}

void sim_place::set(hosting how) {
  how_ = how;
  if (board_)
    board_->set(how);
}

bool sim_place::has_failed_drive() const {
  return log_->drive_failed;
}

void sim_place::watch_end(const caf::actor& of) {
  ++living_;
  of->attach_functor([this] { --living_; });
}

result<void> sim_place::start(const grants& room) {
  auto& sys = mesh_.stage.sys;
  guest_store_options options;
  options.folders = folders_;
  options.reserve_bytes = 0;
  options.reserve_ratio = 0;
  if (!folders_.empty()) {
    auto opened = guest_store::open(env_, options);
    if (!opened)
      return fail(opened.error());
    guests_ = std::move(*opened);
  }
  up_ = true;
  ++starts;
  auto wire = std::make_unique<sim_transport>(mesh_.net, at_);
  wire_ = wire.get();
  auto pace = std::make_shared<line_pace>(rate_plan{{line_limit_, line_limit_}, {}});
  auto paced = std::make_shared<paced_transport>(std::move(wire), time, std::move(pace));
  access = std::make_shared<peer_access>();
  router_ = spawn_peer_router(sys);
  answers_ = mesh_.courier.incoming(id(), at_.ip, router_);
  hub_options hub;
  hub.link.network = mesh_.id;
  auto linked = std::make_shared<linked_peers>();
  links_ = spawn_link_actor(sys, {std::move(paced), time, identity_, hub, answers_, {}, linked});
  asks_ = mesh_.courier.outgoing(id(), at_.ip, links_);
  discovery_setup setup;
  setup.mesh = mesh_.id;
  setup.told = {at_};
  for (const auto& seed : mesh_.seeds)
    if (seed.address != peer_address{at_.ip, at_.port})
      setup.seeds.push_back(seed);
  setup.saved_at = "/home/nodes";
  discovery_ = spawn_discovery_actor(sys, {env_, identity_, asks_, setup, {}, {}, mesh_.stage.place()}).value();
  caf::anon_send(router_, serve_part(peer_part::discovery), caf::actor_cast<caf::actor>(discovery_));
  remote_ = spawn_remote_shards(sys, asks_, mesh_.id);
  access->open({mesh_.id, id(), remote_, links_, discovery_, linked});
  for (const auto& each :
       {caf::actor_cast<caf::actor>(router_), caf::actor_cast<caf::actor>(answers_), caf::actor_cast<caf::actor>(asks_),
        caf::actor_cast<caf::actor>(links_), caf::actor_cast<caf::actor>(discovery_), caf::actor_cast<caf::actor>(remote_)})
    watch_end(each);
  if (!guests_)
    return {};
  board_ = std::make_shared<sibling_board>();
  board_->set(how_);
  auto tell = [this](severity, const std::string& what, std::optional<errc>) {
    made_up_for += what.starts_with("made up for") ? 1 : 0;
    mesh_.stage.note("said", as_view(what));
    said.push_back(what);
    if (said.size() > said_kept)
      said.erase(said.begin());
  };
  service_ = spawn_shard_service(
      sys, {env_, identity_, guests_, mesh_.id, room, {}, 2, access, board_, tell, mesh_.stage.place(), few_ranges, "/home/siblings"});
  watch_end(caf::actor_cast<caf::actor>(service_));
  caf::anon_send(router_, serve_part(peer_part::shards), caf::actor_cast<caf::actor>(service_));
  return {};
}

/// First nothing gets out any more, then nothing gets to the disk; what its actors do until they have ended is as if they
/// had never done it.
void sim_place::lose_power(uint64_t dice) {
  auto watch = std::exchange(mesh_.stage.after_step, nullptr);
  up_ = false;
  wire_->cut();
  if (disk->powered())
    disk->crash_after(1);
  if (board_)
    board_->stop();
  access->close();
  auto kill = [](const auto& which) {
    if (which)
      caf::anon_send_exit(which, caf::exit_reason::kill);
  };
  kill(service_);
  kill(remote_);
  kill(discovery_);
  kill(asks_);
  kill(answers_);
  kill(links_);
  kill(router_);
  service_ = nullptr;
  remote_ = nullptr;
  discovery_ = nullptr;
  asks_ = nullptr;
  answers_ = nullptr;
  links_ = nullptr;
  router_ = nullptr;
  std::weak_ptr<guest_store> store = guests_;
  guests_ = nullptr;
  // A thread of it may be in the middle of a wait that is measured in time.
  auto ended = mesh_.stage.pass(std::chrono::hours{1}, [&] { return living_ == 0 && store.expired(); });
  mesh_.stage.after_step = std::move(watch);
  if (!ended)
    throw violation{fmt::format("the actors of node {} do not end", number_)};
  wire_ = nullptr;
  board_ = nullptr;
  access = nullptr;
  disk->crash(dice);
}

} // namespace datamesh::test
