// A drive's writer that does what a test says: takes shards, refuses them, or
// holds its answer until it is let go. It remembers what it has.
#pragma once

#include "storage/convert.hpp"
#include "storage/drive_actor.hpp"

#include <condition_variable>
#include <mutex>
#include <set>

namespace datamesh::test {

/// Thread rule: any thread.
class fake_drive {
public:
  enum class manner : uint8_t {
    take,
    refuse,
    hold,      ///< Answers when it is let go.
    hold_next, ///< Holds one request, then takes.
    lie,       ///< Takes, and says that it refused.
  };

  void set(manner how) {
    std::lock_guard guard{mutex_};
    manner_ = how;
  }
  /// Called with each request, on the drive's thread, before it is served.
  void observe(std::function<void()> observer) {
    std::lock_guard guard{mutex_};
    observer_ = std::move(observer);
  }
  /// Blocks until so many requests to store came in all.
  void wait_for_stores(size_t count) {
    std::unique_lock guard{mutex_};
    came_.wait(guard, [&] { return stores_ >= count; });
  }
  [[nodiscard]] std::set<storage::shard_key> shards() const {
    std::lock_guard guard{mutex_};
    return shards_;
  }
  [[nodiscard]] size_t stores() const {
    std::lock_guard guard{mutex_};
    return stores_;
  }

  /// What to do with a request that came now.
  manner ask(const std::vector<storage::shard_key>& keys) {
    std::function<void()> observer;
    {
      std::lock_guard guard{mutex_};
      observer = observer_;
    }
    if (observer)
      observer();
    std::lock_guard guard{mutex_};
    ++stores_;
    auto now = manner_;
    if (now == manner::hold_next) {
      manner_ = manner::take;
      now = manner::hold;
    }
    if (now == manner::take || now == manner::lie)
      shards_.insert(keys.begin(), keys.end());
    came_.notify_all();
    return now;
  }
  void keep(const std::vector<storage::shard_key>& keys) {
    std::lock_guard guard{mutex_};
    shards_.insert(keys.begin(), keys.end());
  }
  void drop(const storage::shard_key& key) {
    std::lock_guard guard{mutex_};
    shards_.erase(key);
  }

private:
  mutable std::mutex mutex_;
  std::condition_variable came_;
  manner manner_ = manner::take;
  std::function<void()> observer_;
  size_t stores_ = 0;
  std::set<storage::shard_key> shards_;
};

struct fake_drive_state {
  static inline constexpr const char* name = "fake-drive";
  using promise = caf::typed_response_promise<v1::Done>;
  std::vector<std::pair<std::vector<storage::shard_key>, promise>> held;
};

/// The writer that *script* speaks for; `flush_atom` lets go what it holds.
inline storage::drive_writer_actor spawn_fake_drive(caf::actor_system& sys, std::shared_ptr<fake_drive> script) {
  using pointer = storage::drive_writer_actor::stateful_pointer<fake_drive_state>;
  auto behavior = [](pointer self, std::shared_ptr<fake_drive> drive) -> storage::drive_writer_actor::behavior_type {
    return {
        [=](const v1::StoreShards& request, const slices&) -> caf::result<v1::Done> {
          std::vector<storage::shard_key> keys;
          for (const auto& raw : request.headers()) {
            auto header = storage::parse_shard_header(as_view(raw));
            if (!header)
              return to_caf(header.error());
            keys.push_back({header->pack.id, header->index});
          }
          auto how = drive->ask(keys);
          if (how == fake_drive::manner::refuse || how == fake_drive::manner::lie)
            return to_caf(error{errc::drive_failed, "store shards", "fake"});
          if (how == fake_drive::manner::take)
            return v1::Done{};
          auto promise = self->make_response_promise<fake_drive_state::promise>();
          self->state.held.emplace_back(std::move(keys), promise);
          return promise;
        },
        [=](const v1::RemoveShards& request) -> caf::result<v1::Done> {
          for (const auto& shard : request.shards())
            if (auto key = storage::from_proto(shard))
              drive->drop(*key);
          return v1::Done{};
        },
        [=](const v1::SetDriveState&) -> caf::result<v1::Done> { return v1::Done{}; },
        [=](const v1::SweepDrive&) -> caf::result<v1::Done> { return v1::Done{}; },
        [=](const v1::RelistDrive&) -> caf::result<v1::DriveRelisted> { return v1::DriveRelisted{}; },
        [=](caf::flush_atom) {
          for (auto& [keys, promise] : std::exchange(self->state.held, {})) {
            drive->keep(keys);
            promise.deliver(v1::Done{});
          }
        },
        [=](caf::close_atom) -> caf::result<v1::Done> { return v1::Done{}; },
    };
  };
  return sys.spawn<caf::detached>(behavior, std::move(script));
}

} // namespace datamesh::test
