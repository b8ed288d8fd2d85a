// The files of a client, as the daemon sees them: every call goes back over the
// control socket, and the client carries it out with its own rights. So the daemon
// reads and writes nothing that its client could not.
#pragma once

#include "control/frame.hpp"
#include "datamesh/base/file_system.hpp"
#include "datamesh/node.hpp"

#include "datamesh/v1/control.pb.h"

#include <map>

namespace datamesh::control {

/// Calls a client and waits for what it answers. Any thread.
class caller {
public:
  struct answer {
    v1::ControlAnswer header;
    frame whole; ///< Its body holds bytes that were read.
  };
  virtual ~caller() = default;
  /// With *patient*, waits for as long as the client lives; else a minute.
  [[nodiscard]] virtual result<answer> call(v1::ControlCall what, byte_view body, bool patient) = 0;
};

[[nodiscard]] std::shared_ptr<file_system> files_of(std::shared_ptr<caller> client);
[[nodiscard]] std::shared_ptr<source> source_of(std::shared_ptr<caller> client);
[[nodiscard]] std::shared_ptr<sink> sink_of(std::shared_ptr<caller> client);

/// The other end: answers the calls of one request. Refuses what the request did not
/// name: paths outside of *roots*, also by way of a symbolic link below them, and
/// changes unless *writable*.
class servant {
public:
  servant(std::shared_ptr<file_system> files, std::vector<std::string> roots, bool writable);
  explicit servant(std::shared_ptr<source> from);
  explicit servant(std::shared_ptr<sink> to);
  servant() = default;

  struct answered {
    v1::ControlAnswer header;
    std::vector<std::byte> body;
  };
  [[nodiscard]] answered answer(const v1::ControlCall& what, byte_view body);

private:
  [[nodiscard]] result<void> carry_out(const v1::ControlCall& what, byte_view body, answered& out);
  [[nodiscard]] result<void> on_reader(const v1::ControlCall& what, answered& out);
  [[nodiscard]] result<void> on_writer(const v1::ControlCall& what, byte_view body, answered& out);
  [[nodiscard]] result<void> on_path(const v1::ControlCall& what, answered& out);
  [[nodiscard]] result<void> list(const v1::ControlCall& what, v1::ControlAnswer& out);
  [[nodiscard]] result<void> on_stream(const v1::ControlCall& what, byte_view body, answered& out);
  /// *opens*: the last name is followed, too.
  [[nodiscard]] bool may_touch(const std::string& path, bool opens) const;
  [[nodiscard]] bool passes_link(const std::string& root, const std::string& path, bool opens) const;

  std::shared_ptr<file_system> files_;
  std::vector<std::string> roots_;
  bool writable_ = false;
  std::shared_ptr<source> from_;
  std::shared_ptr<sink> to_;
  uint64_t next_file_ = 1;
  std::string listed_folder_; ///< Whose listing is not out yet, and the listing.
  std::vector<folder_entry> listed_;
  std::map<uint64_t, std::unique_ptr<readable_file>> readers_;
  std::map<uint64_t, std::unique_ptr<writable_file>> writers_;
};

} // namespace datamesh::control
