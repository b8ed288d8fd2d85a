// How a node is opened.
#pragma once

#include "datamesh/base/environment.hpp"
#include "datamesh/event.hpp"
#include "datamesh/mesh.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace datamesh {

struct node_options {
  /// Folder of the node: its list of drives, its vaults' key files and catalogs.
  std::string home{};

  /// Clock, random source, file system, ordered stores and log sink. Members left
  /// null are the system's.
  datamesh::environment environment{};

  /// Bytes that all running operations may hold together; at least 40 MiB.
  uint64_t memory_bytes = 96ull << 20;

  /// Threads for chunking, hashing, compressing, sealing and coding; 0 = one a core.
  unsigned codec_threads = 0;

  /// zstd level 1..19 for new data; 0 switches compression off.
  int compression_level = 2;

  /// Called in order for every event, on one thread of the node, which waits for
  /// it: return soon. May be empty.
  std::function<void(const event&)> on_event{};

  /// Runs the callbacks of asynchronous calls; when empty they run on a thread of
  /// the node.
  std::function<void(std::function<void()>)> executor{};

  /// Makes the node a member of a mesh while it is open. It listens and dials then; without
  /// this it opens no socket. `invalid_argument` from opening when a value is wrong.
  std::optional<mesh_options> mesh{};
};

} // namespace datamesh
