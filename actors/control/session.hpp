// One connection of the control socket, from the daemon's side: reads frames, runs
// requests, forwards their calls and events.
#pragma once

#include "control/client_files.hpp"
#include "control/link.hpp"
#include "control/server.hpp"
#include "control/vault_owner.hpp"

#include <condition_variable>
#include <deque>
#include <future>
#include <set>
#include <thread>

namespace datamesh::control {

class session : public caller, public std::enable_shared_from_this<session> {
public:
  /// @param first_job the first of the numbers that jobs of this session carry
  session(node& of, const server_options& options, local_socket socket, wake_up bell, uint32_t peer, uint64_t first_job);
  ~session() override;

  /// Serves until the client goes or `stop`.
  void run();
  /// Ends as soon as nothing runs; *now* cancels what does.
  void stop(bool now);
  /// Queues it when it is of this session's job.
  void publish(const event& what);

  [[nodiscard]] uint32_t peer() const noexcept {
    return peer_;
  }

  result<answer> call(v1::ControlCall what, byte_view body, bool patient) override;

private:
  struct reply {
    v1::ControlReply message;
    std::string secret;
  };
  struct waiting_call {
    std::promise<result<answer>> promise;
  };

  [[nodiscard]] result<void> serve(frame what);
  [[nodiscard]] result<void> take_answer(frame what);
  [[nodiscard]] result<void> begin(frame what);
  void end_job();
  void finish(result<reply> outcome);
  /// Sends events as they come, for as long as a job runs.
  void tell_events();
  [[nodiscard]] result<void> send_events();
  void leave();

  /// Root, and who runs the daemon.
  [[nodiscard]] bool is_operator() const noexcept {
    return peer_ == 0 || peer_ == options_.own_uid;
  }
  [[nodiscard]] static bool is_long(const v1::ControlRequest& request);
  [[nodiscard]] result<reply> carry_out(const v1::ControlRequest& request, byte_view secret);
  [[nodiscard]] result<reply> on_node(const v1::ControlRequest& request, byte_view secret);
  [[nodiscard]] result<reply> on_rates(const v1::ControlRequest& request);
  [[nodiscard]] result<reply> on_rooms(const v1::ControlRequest& request);
  [[nodiscard]] result<reply> on_drives(const v1::ControlRequest& request);
  [[nodiscard]] result<reply> on_vault_list(const v1::ControlRequest& request, byte_view secret);
  [[nodiscard]] result<reply> on_data(vault& in, const v1::ControlRequest& request, const job_options& job);
  [[nodiscard]] result<reply> on_names(vault& in, const v1::ControlRequest& request);
  [[nodiscard]] result<reply> part_of_trash(vault& in, const v1::ControlRequest& request);
  [[nodiscard]] result<reply> on_care(vault& in, const v1::ControlRequest& request, const job_options& job);
  [[nodiscard]] result<reply> on_keys(vault& in, const v1::ControlRequest& request, byte_view secret);
  [[nodiscard]] job_options options_for(const v1::ControlRequest& request);

  node& node_;
  const server_options& options_;
  link link_;
  wake_up bell_;
  uint32_t peer_;
  vault_owner owner_;
  uint64_t next_job_;
  uint64_t next_vault_ = 1;
  std::map<uint64_t, vault> vaults_;
  std::vector<std::pair<entry, int64_t>> trash_; ///< While it is listed in parts.
  uint64_t trash_of_ = 0;                        ///< The vault.

  std::thread job_thread_;
  std::thread event_thread_;
  std::atomic<bool> busy_ = false;
  std::atomic<bool> stopping_ = false;
  bool asked_ = false;

  std::mutex mutex_;
  cancel_token cancel_;
  uint64_t job_ = 0;
  bool gone_ = false;
  uint64_t next_call_ = 1;
  std::map<uint64_t, waiting_call> calls_;
  std::set<uint64_t> overtaken_; ///< Calls that nobody waits for any more, and no answer came.
  std::deque<event> events_;
  bool telling_ = false; ///< A job runs whose events are told as they come.
  std::condition_variable happened_;

  std::mutex sending_events_; ///< So that they stay in order, and come before the reply. Locked before mutex_.
};

} // namespace datamesh::control
