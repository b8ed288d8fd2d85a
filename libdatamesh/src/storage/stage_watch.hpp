// Measures for which stage a put or a get stands still (`transfer_waits`). Two speak: the
// transfer says for what it waits itself, or that it waits for the pipeline; the pipeline
// says in which stage that hangs just now. Each change of what was said before reads the
// clock once and gives the time since the last one to the stage that was waited for.
//
// Thread rule: any thread.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/node.hpp"

#include <array>
#include <map>
#include <mutex>

namespace datamesh::storage {

/// A stage and, when it is one drive alone that is waited for, that drive.
struct stage_wait {
  transfer_stage stage = transfer_stage::none;
  drive_id drive{};
  bool operator==(const stage_wait&) const = default;
};

class stage_watch {
public:
  /// Time runs from here on; nothing is waited for.
  explicit stage_watch(std::shared_ptr<datamesh::clock> time);

  // -- the transfer ----------------------------------------------------------------

  void wait_for(transfer_stage stage);
  /// For what `pipeline_waits_for` names.
  void wait_for_pipeline();

  // -- the pipeline ----------------------------------------------------------------

  void pipeline_waits_for(const stage_wait& what);

  // -- what came of it ---------------------------------------------------------------

  struct figures {
    transfer_waits waits; ///< Without the name of the drive.
    drive_id drive{};     ///< That holds the others up; zero when there is none.
  };
  /// Up to now.
  [[nodiscard]] figures read();

private:
  void turn_to(const stage_wait& next);
  /// Gives the time since the last change to what is waited for.
  void settle();

  std::mutex mutex_;
  std::shared_ptr<datamesh::clock> time_;
  clock::monotonic_time began_;
  clock::monotonic_time since_;
  stage_wait current_; ///< What the transfer said, or, while it follows, the pipeline.
  stage_wait behind_;
  bool follows_ = false;
  std::array<std::chrono::nanoseconds, 7> waited_{};
  std::map<drive_id, std::chrono::nanoseconds> alone_;
};

} // namespace datamesh::storage
