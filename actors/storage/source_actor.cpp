#include "storage/source_actor.hpp"

#include "storage/convert.hpp"

namespace datamesh::storage {

namespace {

struct source_state {
  static inline constexpr const char* name = "source";
  std::shared_ptr<tree_reader> reader;
};

void write(v1::SourceBegin& to, source_begin& begin) {
  to.set_path(std::move(begin.path));
  to.set_kind(static_cast<uint32_t>(begin.kind));
  to.set_mode(begin.mode);
  to.set_modified_ns(begin.modified_ns);
  to.set_symlink_target(std::move(begin.symlink_target));
}

/// Writes a piece as protobuf; a chunk's bytes go beside it.
struct piece_writer {
  v1::SourcePiece& row;
  slices& data;

  void operator()(source_begin& begin) {
    write(*row.mutable_begin(), begin);
  }
  void operator()(source_unchanged& file) {
    auto* what = row.mutable_unchanged();
    write(*what->mutable_begin(), file.begin);
    what->set_path(std::move(file.path));
    what->set_size(file.size);
    what->set_version(write_id(file.version));
  }
  void operator()(source_chunk& chunk) {
    row.set_chunk_length(static_cast<uint32_t>(chunk.data.size()));
    data.push_back(std::move(chunk.data));
  }
  void operator()(source_hole& hole) {
    row.set_hole_length(hole.length);
  }
  void operator()(source_end& end) {
    row.mutable_end()->set_size(end.size);
    row.mutable_end()->set_changed(end.changed);
    row.mutable_end()->set_changed_ns(end.changed_ns);
    row.mutable_end()->set_device(end.device);
    row.mutable_end()->set_inode(end.inode);
  }
  void operator()(source_failure& failure) {
    auto* what = row.mutable_failure();
    what->set_path(std::move(failure.path));
    what->set_code(static_cast<uint32_t>(failure.reason.code()));
    what->set_attempted(failure.reason.attempted());
  }
  void operator()(source_left_out& folder) {
    row.set_left_out(std::move(folder.path));
  }
};

source_actor::behavior_type source_behavior(source_actor::stateful_pointer<source_state> self, std::shared_ptr<tree_reader> reader) {
  self->state.reader = std::move(reader);
  return {
      [=](const v1::PullSource&) -> caf::result<v1::SourceBatch, slices> {
        v1::SourceBatch batch;
        slices data;
        auto pieces = self->state.reader->next();
        for (auto& piece : pieces) {
          auto* row = batch.add_pieces();
          row->set_item(piece.item);
          std::visit(piece_writer{*row, data}, piece.what);
        }
        batch.set_finished(pieces.empty());
        return {std::move(batch), std::move(data)};
      },
      [=](v1::ReadSource& what) {
        source_root root;
        root.source_path = std::move(*what.mutable_path());
        root.target_path = std::move(*what.mutable_target_path());
        root.compare_contents = true;
        self->state.reader->add(std::move(root));
      },
  };
}

} // namespace

source_actor spawn_source(caf::actor_system& sys, std::shared_ptr<tree_reader> reader) {
  return sys.spawn<caf::detached>(source_behavior, std::move(reader));
}

} // namespace datamesh::storage
