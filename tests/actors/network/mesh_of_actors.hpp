// Nodes of one process that find each other over sockets of the loopback address.
#pragma once

#include "network/asio_transport.hpp"
#include "network/discovery_actor.hpp"
#include "network/peer_router.hpp"
#include "tests/actors/waiting.hpp"
#include "tests/libdatamesh/network/node.hpp"
#include "tests/support/simulated_files.hpp"

#include <condition_variable>
#include <mutex>

namespace datamesh::test {

/// What the watcher of one node was told, for the thread of the test.
class told_nodes {
public:
  void tell(const std::function<void()>& what) {
    std::lock_guard guard{mutex_};
    what();
    changed_.notify_all();
  }
  /// Whether it came to be so; what it waits for takes no such time.
  bool await(const std::function<bool()>& holds) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, std::chrono::seconds{60}, holds);
  }
  bool await_alive(uint32_t count) {
    return await([&] { return alive >= count; });
  }

  uint32_t alive = 0;
  std::vector<errc> file_failures;
  std::vector<v1::RecordConflict> conflicts;
  std::vector<v1::SeedFailed> seed_failures;

private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

struct mesh_config : caf::actor_system_config {
  mesh_config();
};

/// The process. Its nodes end before it.
struct mesh_world {
  mesh_config cfg;
  caf::actor_system sys{cfg};
  caf::scoped_actor self{sys};
  network::network_id mesh = network::network_id::from(as_view("a mesh for the tests of actors.."));
};

struct mesh_place_options {
  std::vector<network::peer_spec> seeds;
  /// Where it listens; port 0 is any.
  network::endpoint at = network::endpoint::v4({127, 0, 0, 1}, 0);
  std::string saved_at;
  std::shared_ptr<file_system> files = system_files();
  /// In place of discovery, for those who do not keep to the rules.
  network::peer_handler_actor handler;
  /// What it tells others of where it is; by default where that is.
  std::optional<std::vector<network::endpoint>> tells;
  std::shared_ptr<network::name_resolver> resolver;
  bool local = true;
};

class mesh_place {
public:
  mesh_place(mesh_world& world, uint64_t number, const mesh_place_options& options = {});
  ~mesh_place();
  mesh_place(const mesh_place&) = delete;
  mesh_place& operator=(const mesh_place&) = delete;

  /// Ends it as a node is ended.
  void close();

  [[nodiscard]] const network::peer_id& id() const {
    return node_.id();
  }
  [[nodiscard]] const network::endpoint& at() const {
    return at_;
  }
  [[nodiscard]] const std::shared_ptr<network::tls_identity>& identity() const {
    return identity_;
  }
  [[nodiscard]] network::peer_spec spec(bool with_id = true) const;

  /// From now on that part of it is answered by *by*.
  void serve(network::peer_part part, const caf::actor& by);

  [[nodiscard]] result<v1::LookedUp> look_up(const network::point& target, uint32_t kind = 0);
  [[nodiscard]] result<uint32_t> publish(const network::signed_record& record);
  [[nodiscard]] result<v1::NodeList> list();
  [[nodiscard]] bool knows(const mesh_place& other);
  /// A record of this node's own key.
  [[nodiscard]] network::signed_record sign(network::record_kind kind, uint64_t sequence, std::string_view value,
                                            const network::point& key_if_any = {}) const;

  std::shared_ptr<told_nodes> told = std::make_shared<told_nodes>();
  network::discovery_actor discovery;
  network::link_actor links;

private:
  mesh_world& world_;
  test_node node_;
  network::endpoint at_;
  std::shared_ptr<network::tls_identity> identity_;
  network::peer_router_actor router_;
  bool open_ = true;
};

} // namespace datamesh::test
