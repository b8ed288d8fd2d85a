// Stream sockets of one machine (AF_UNIX), with the uid of who is at the other end.
//
// Thread rule: one thread receives, one at a time sends; `shut` from any thread.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"

#include <chrono>
#include <memory>
#include <span>
#include <string>

namespace datamesh {

/// Ends a wait of another thread.
class DATAMESH_EXPORT wake_up {
public:
  [[nodiscard]] static result<wake_up> make();
  wake_up(wake_up&& other) noexcept;
  wake_up& operator=(wake_up&& other) noexcept;
  ~wake_up();
  /// Safe in a signal handler.
  void ring() const noexcept;
  void clear() const noexcept;

private:
  friend class local_socket;
  friend class local_listener;
  explicit wake_up(int raw) : raw_(raw) {}
  int raw_;
};

enum class waited : uint8_t { readable, woken, timed_out };

class DATAMESH_EXPORT local_socket {
public:
  /// `not_found` when nobody listens there.
  [[nodiscard]] static result<local_socket> connect(const std::string& path);
  local_socket(local_socket&& other) noexcept;
  local_socket& operator=(local_socket&& other) noexcept;
  ~local_socket();

  /// From SO_PEERCRED: who connected, or who listens.
  [[nodiscard]] result<uint32_t> peer_uid() const;
  /// A send or receive that makes no headway for so long fails with `timed_out`.
  [[nodiscard]] result<void> set_deadline(std::chrono::milliseconds limit);

  /// Bell first: `woken` when both are so.
  [[nodiscard]] result<waited> wait(const wake_up* bell, std::chrono::milliseconds limit) const;
  /// At least one byte; 0 at the end.
  [[nodiscard]] result<size_t> receive(byte_span out);
  /// All of *parts*.
  [[nodiscard]] result<void> send(std::span<const byte_view> parts);
  /// Both ways; who waits on it returns.
  void shut() noexcept;

private:
  friend class local_listener;
  explicit local_socket(int raw) : raw_(raw) {}
  int raw_;
};

class DATAMESH_EXPORT local_listener {
public:
  /// Binds *path*, with *mode*; a socket file that nobody listens on is replaced, one
  /// that somebody does is `locked`. *group* gets the file when there is such a group.
  [[nodiscard]] static result<local_listener> listen(const std::string& path, uint32_t mode, const std::string& group);
  local_listener(local_listener&& other) noexcept;
  local_listener& operator=(local_listener&& other) = delete;
  /// Removes the socket file.
  ~local_listener();

  [[nodiscard]] result<waited> wait(const wake_up& bell, std::chrono::milliseconds limit) const;
  [[nodiscard]] result<local_socket> accept();

private:
  local_listener(int raw, std::string path) : raw_(raw), path_(std::move(path)) {}
  int raw_;
  std::string path_;
};

} // namespace datamesh
