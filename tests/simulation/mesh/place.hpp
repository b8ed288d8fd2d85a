// A node of a simulated mesh: its real actors over a simulated disk and network. What an operator or fate does to a node
// is done here: it is started, loses its power, its drive is replaced.
//
// Thread rule: as the stage's.
#pragma once

#include "network/discovery_actor.hpp"
#include "network/peer_router.hpp"
#include "network/peer_watch.hpp"
#include "network/shard_service_actor.hpp"
#include "tests/simulation/mesh/courier.hpp"
#include "tests/support/simulated_files.hpp"

namespace datamesh::test {

/// Time as one node sees it: its clock may have been put forward or back.
class sim_clock final : public clock {
public:
  explicit sim_clock(std::shared_ptr<manual_clock> of) : of_(std::move(of)) {}
  [[nodiscard]] monotonic_time monotonic() const override {
    return of_->monotonic();
  }
  [[nodiscard]] wall_time wall() const override {
    return of_->wall() + off;
  }
  std::chrono::nanoseconds off{0};

private:
  std::shared_ptr<manual_clock> of_;
};

/// What a node writes to its log, as far as an operator would act on it.
class sim_log final : public log_sink {
public:
  void write(severity level, std::string_view component, std::string_view message, std::span<const log_field> fields) override;
  /// Of the drive that it has now, told by a node that has power.
  bool drive_failed = false;
  std::function<bool()> counts;
};

struct sim_mesh {
  sim_stage& stage;
  sim_network& net;
  sim_courier& courier;
  network::network_id id;
  std::vector<network::peer_spec> seeds;
};

class sim_place {
public:
  /// @param drives on which it keeps shards for others; with none it only asks
  sim_place(sim_mesh& mesh, uint32_t number, unsigned drives);
  /// Without power by then.
  ~sim_place();
  sim_place(const sim_place&) = delete;
  sim_place& operator=(const sim_place&) = delete;

  /// @pre !is_up()
  [[nodiscard]] result<void> start(const network::grants& room);
  /// From one moment to the next; what was not synced survives as *dice* says.
  void lose_power(uint64_t dice);
  /// All drives are empty ones now. @pre !is_up()
  void replace_drives();

  [[nodiscard]] bool is_up() const {
    return up_;
  }
  [[nodiscard]] const network::peer_id& id() const {
    return identity_->id();
  }
  [[nodiscard]] const network::endpoint& at() const {
    return at_;
  }
  [[nodiscard]] const environment& env() const {
    return env_;
  }
  [[nodiscard]] const network::guest_store* guests() const {
    return guests_.get();
  }
  [[nodiscard]] uint32_t number() const {
    return number_;
  }
  /// Files with the bodies of shards.
  [[nodiscard]] std::vector<std::string> shard_files() const;

  /// As its operator wants it, from now on and after each start.
  void set(hosting how);
  [[nodiscard]] hosting how() const {
    return how_;
  }
  /// Bytes that its line may take each way in a second, from the next start on; 0 for no limit.
  void limit_line(uint64_t bytes) {
    line_limit_ = bytes;
  }

  /// Its log says that one takes nothing any more.
  [[nodiscard]] bool has_failed_drive() const;

  std::shared_ptr<simulated_files> disk;
  std::shared_ptr<sim_clock> time;
  std::shared_ptr<network::peer_access> access; ///< While it is up.
  uint64_t starts = 0;
  uint64_t made_up_for = 0;      ///< Times that it told of shards which it brought to another node.
  std::vector<std::string> said; ///< The last things that it told its operator.

private:
  void format();
  void watch_end(const caf::actor& of);

  sim_mesh& mesh_;
  uint32_t number_;
  network::endpoint at_;
  std::shared_ptr<sim_log> log_ = std::make_shared<sim_log>();
  std::vector<std::string> folders_;
  environment env_;
  std::shared_ptr<const network::tls_identity> identity_;
  bool up_ = false;
  std::shared_ptr<network::guest_store> guests_;
  sim_transport* wire_ = nullptr; ///< Belongs to the links.
  uint64_t line_limit_ = 0;
  hosting how_ = hosting::open;
  std::shared_ptr<network::sibling_board> board_;
  network::peer_router_actor router_;
  network::link_actor links_;
  network::link_actor asks_; ///< Before the links.
  network::peer_handler_actor answers_;
  network::discovery_actor discovery_;
  network::remote_shards_actor remote_;
  network::shard_service_actor service_;
  size_t living_ = 0; ///< Of its actors that it made itself.
};

} // namespace datamesh::test
