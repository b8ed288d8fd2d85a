// An ordered store that outlasts its refusals: after an error, or where it was opened for
// reading alone, it can be closed and opened anew while others read it.
//
// Thread rule: that of an ordered store; `reopen` counts as a write.
#pragma once

#include "datamesh/base/ordered_store.hpp"

#include <atomic>
#include <shared_mutex>

namespace datamesh {

/// True for what a full or read-only disk answers: it may pass.
[[nodiscard]] constexpr bool disk_refuses(errc code) noexcept {
  return code == errc::no_space || code == errc::read_only;
}

class lasting_store final : public ordered_store {
public:
  /// What *stores* answers.
  [[nodiscard]] static result<std::unique_ptr<lasting_store>> open(std::shared_ptr<ordered_store_opener> stores,
                                                                   ordered_store_options options);
  ~lasting_store() override;

  /// Closes the store and opens it again as before, but makes none. What it then holds is
  /// the truth about writes that failed. Waits for `get` and `scan`; while somebody holds a
  /// view it answers `unavailable` and nothing has happened. After any other error nothing
  /// can be read until it succeeds.
  [[nodiscard]] result<void> reopen();
  /// Closes the store, for good unless it is opened anew: who comes late is answered
  /// `unavailable`. Waits for `get` and `scan`. Counts as a write.
  void close();

  result<std::optional<std::string>> get(std::string_view key) const override;
  result<void> scan(std::string_view first, std::string_view last,
                    const std::function<bool(std::string_view key, std::string_view value)>& visit) const override;
  result<void> write(const write_batch& batch, durability level) override;
  std::unique_ptr<ordered_view> snapshot() const override;
  result<void> check() override;
  result<void> flush() override;
  bool writable() const override;
  uint64_t disk_bytes() const override;

private:
  class view;
  lasting_store(std::shared_ptr<ordered_store_opener> stores, ordered_store_options options);
  template <class Use>
  [[nodiscard]] auto with_store(Use use) const -> decltype(use(std::declval<ordered_store&>()));

  std::shared_ptr<ordered_store_opener> stores_;
  ordered_store_options options_;
  // Held shared by whoever uses the store, alone by `reopen`.
  mutable std::shared_mutex mutex_;
  std::unique_ptr<ordered_store> store_;
  /// Of those that are held; may outlive this object.
  std::shared_ptr<std::atomic<size_t>> views_ = std::make_shared<std::atomic<size_t>>(0);
};

} // namespace datamesh
