// A file system whose calls a test sees first and may fail.
#pragma once

#include "datamesh/base/file_system.hpp"

#include <mutex>

namespace datamesh::test {

/// Asked before each call: "open_read", "read", "create_unnamed", "write", "sync",
/// "list", ... and the path (of the folder, for unnamed files). An error is answered
/// instead of the call. Thread rule: any thread; the hook is called by one at a time.
class hooked_files : public file_system {
public:
  using hook = std::function<result<void>(std::string_view call, const std::string& path)>;

  explicit hooked_files(std::shared_ptr<file_system> inner) : inner_(std::move(inner)), shared_(std::make_shared<state>()) {}

  void set(hook next) {
    std::lock_guard guard{shared_->mutex};
    shared_->ask = std::move(next);
  }

  result<std::unique_ptr<readable_file>> open_read(const std::string& path, access_hint hint) override;
  result<std::unique_ptr<writable_file>> create(const std::string& path, uint32_t mode) override;
  result<std::unique_ptr<writable_file>> open_write(const std::string& path) override;
  result<std::unique_ptr<writable_file>> create_unnamed(const std::string& folder, uint32_t mode, access_hint hint) override;
  result<void> rename(const std::string& from, const std::string& to) override;
  result<void> rename_new(const std::string& from, const std::string& to) override;
  result<void> remove(const std::string& path) override;
  result<void> remove_folder(const std::string& path) override;
  result<void> make_folder(const std::string& path, uint32_t mode) override;
  result<void> sync_folder(const std::string& path) override;
  result<std::vector<folder_entry>> list(const std::string& path) override;
  result<file_status> status(const std::string& path) override;
  result<void> set_attributes(const std::string& path, uint32_t mode, int64_t modified_ns) override;
  result<std::string> read_link(const std::string& path) override;
  result<void> make_symlink(const std::string& target, const std::string& path) override;
  result<disk_space> space(const std::string& path) override;
  result<void> yield_disk() override;
  result<std::unique_ptr<file_lock>> lock(const std::string& path) override;

  struct state {
    std::mutex mutex;
    hook ask;
    result<void> pass(std::string_view call, const std::string& path) {
      std::lock_guard guard{mutex};
      return ask ? ask(call, path) : result<void>{};
    }
  };

private:
  std::shared_ptr<file_system> inner_;
  std::shared_ptr<state> shared_;
};

} // namespace datamesh::test
