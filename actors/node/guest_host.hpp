// What a node keeps for others: the room that is granted in its home, the guest stores on its
// drives, and, where it is in a mesh, the service by which other nodes reach them.
// docs/formats/ticket.md.
//
// A store reads all of its tickets when it is opened. That is done on a thread of its own, and
// again over the drives that are in service whenever these become others; meanwhile other nodes
// are answered `unavailable`.
//
// Thread rule: `serve` once, then `close`; all else from any thread until then.
#pragma once

#include "datamesh/mesh.hpp"
#include "network/guest_store.hpp"
#include "network/shard_service_actor.hpp"
#include "node/home.hpp"
#include "storage/drive_table.hpp"

#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

namespace datamesh {

namespace network {
class mesh_member;
class peer_access;
} // namespace network

/// How long is waited for stores to be opened or closed by who needs that.
inline constexpr auto settled_within = std::chrono::seconds{30};

struct guest_parts {
  environment env;
  node_home* home = nullptr; ///< Outlives the host.
  std::shared_ptr<const storage::drive_table> drives;
  std::shared_ptr<const network::peer_access> peers; ///< By which other nodes are reached.
  /// Told what an operator should know. Called on any thread, and returns soon.
  std::function<void(severity, std::string, std::optional<errc>)> tell;
};

class guest_host {
public:
  guest_host(caf::actor_system& sys, guest_parts parts);
  /// Closes.
  ~guest_host();
  guest_host(const guest_host&) = delete;
  guest_host& operator=(const guest_host&) = delete;

  /// Begins to serve the nodes of a mesh, which ends after `close`.
  void serve(network::mesh_member& mesh);
  /// Ends that. False where a thread still waits for a drive that owes an answer: then what it uses
  /// has to stay until the process ends.
  [[nodiscard]] bool close();

  /// Durable when it succeeds, and known to the service. See `node::allow`.
  [[nodiscard]] result<void> allow(const vault_id& owner, uint64_t bytes);
  /// Durable when it succeeds, and known to the service.
  [[nodiscard]] result<void> set_hosting(hosting how);
  /// See `node::reserve`.
  [[nodiscard]] result<void> reserve(uint64_t bytes);
  /// See `node::reserved`.
  [[nodiscard]] result<reserve_report> reserved();
  /// What is held for others on the drive in *folder*, as far as that is open.
  [[nodiscard]] uint64_t held_on(const std::string& folder);
  /// The drive in *folder* is none any more: nothing is held there. @pre `await_drives` was called since
  void let_go_of(const std::string& folder);
  /// See `node::rooms`.
  [[nodiscard]] result<std::vector<room_report>> rooms();

  /// Other drives than before are in service, or may be: what is kept is opened anew.
  void drives_changed();
  /// The same, and waits for it, so that nothing of a drive that is none any more is in use; for
  /// `settled_within` at most.
  void await_drives();
  /// How many shards of others lie on the drive in *folder*. `timed_out` while they are being opened.
  [[nodiscard]] result<uint64_t> shards_on(const std::string& folder);

private:
  /// Drives with guests, by id and by the folder of their guests.
  using drive_list = std::vector<std::pair<drive_id, std::string>>;

  void run();
  [[nodiscard]] drive_list drives_with_guests(bool make, const drive_list& known);
  void begin_service(const drive_list& over);
  void end_service();
  [[nodiscard]] bool await_end();
  [[nodiscard]] bool store_is_gone(std::chrono::milliseconds within);
  [[nodiscard]] result<std::unique_ptr<network::guest_store>> open_store(const drive_list& over);
  [[nodiscard]] result<std::map<vault_id, network::guest_usage>> count();
  [[nodiscard]] bool await_idle(std::unique_lock<std::mutex>& lock);
  [[nodiscard]] result<void> check_capacity(const network::grants& room) const;
  [[nodiscard]] result<uint64_t> room_for_others();
  [[nodiscard]] result<void> tell_service();
  [[nodiscard]] result<void> hold(uint64_t bytes);

  caf::actor_system& sys_;
  guest_parts parts_;
  network::mesh_member* mesh_ = nullptr;
  std::thread thread_; ///< Opens and closes; there is one where there is a mesh.

  std::mutex changes_; ///< One at a time changes grants, or opens stores where there is no mesh.
  std::mutex mutex_;
  std::condition_variable changed_;
  bool due_ = false;  ///< Drives or grants changed since it was looked which to open.
  bool busy_ = false; ///< It is being opened or closed.
  bool stopping_ = false;
  bool makes_folders_ = false;                    ///< Somebody was granted room, or some is set aside.
  uint64_t aside_ = 0;                            ///< What is set aside, as the store knows it, or will.
  network::grants room_;                          ///< What the service was told, or will be.
  hosting how_ = hosting::open;                   ///< This, too.
  network::shard_service_actor service_;          ///< None while nothing is served.
  std::shared_ptr<network::guest_store> store_;   ///< That of the service.
  std::shared_ptr<network::sibling_board> board_; ///< Of the service.
  std::future<void> store_gone_;                  ///< Ready when nobody uses the last store any more.
};

} // namespace datamesh
