#include "node/supervisor_actor.hpp"

#include <map>

namespace datamesh {

namespace {

constexpr auto wait_min = std::chrono::seconds{1};
constexpr auto wait_max = std::chrono::seconds{60};

struct fallen_drive {
  std::chrono::seconds wait = wait_min;
  bool due = false; ///< Waits for the next tick.
};

struct supervisor_state {
  static inline constexpr const char* name = "supervisor";
  supervisor_tasks tasks;
  std::map<caf::actor_addr, drive_id> watched;
  std::map<drive_id, fallen_drive> fallen;
};

using self_pointer = supervisor_actor::stateful_pointer<supervisor_state>;

void wait_for_restart(self_pointer self, const drive_id& id) {
  auto& drive = self->state.fallen[id];
  drive.due = true;
  self->delayed_send(self, drive.wait, caf::tick_atom_v);
  drive.wait = std::min<std::chrono::seconds>(2 * drive.wait, wait_max);
}

void take_down(self_pointer self, const caf::down_msg& down) {
  auto found = self->state.watched.find(down.source);
  if (found == self->state.watched.end())
    return;
  auto id = found->second;
  self->state.watched.erase(found);
  // Whoever stops a drive on purpose says so.
  if (down.reason == caf::exit_reason::user_shutdown || self->state.fallen[id].due)
    return;
  self->state.tasks.fallen(id, to_string(down.reason));
  wait_for_restart(self, id);
}

supervisor_actor::behavior_type supervisor(self_pointer self, supervisor_tasks tasks) {
  self->state.tasks = std::move(tasks);
  self->set_down_handler([=](caf::down_msg& down) { take_down(self, down); });
  return {
      [=](const drive_watch& drive) {
        if (!drive->store)
          return;
        auto watch = [&](const auto& actor) {
          self->monitor(actor);
          self->state.watched[actor.address()] = drive->id;
        };
        watch(drive->writer);
        for (const auto& reader : drive->readers)
          watch(reader);
        watch(drive->care);
      },
      [=](caf::tick_atom) {
        for (auto& [id, drive] : self->state.fallen)
          if (std::exchange(drive.due, false) && !self->state.tasks.restart(id))
            wait_for_restart(self, id);
      },
  };
}

} // namespace

supervisor_actor spawn_supervisor(caf::actor_system& sys, supervisor_tasks tasks) {
  return sys.spawn<caf::detached>(supervisor, std::move(tasks));
}

} // namespace datamesh
