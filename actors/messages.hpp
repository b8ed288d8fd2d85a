// The one bridge between protobuf and CAF: every type that an actor may be sent.
// Messages stay inside the process; protobuf headers could cross any border, what
// travels beside them (slices, writable memory, references to engines) can not.
#pragma once

#include "base/buffer_pool.hpp"
#include "datamesh/base/message_actor.hpp"

#include "datamesh/v1/store.pb.h"

#include <memory>
#include <vector>

namespace datamesh {

/// Writable memory beside a header; the receiver fills it before it answers.
struct memory {
  std::shared_ptr<const void> owner;
  byte_span span;
};
using memories = std::vector<memory>;

/// A reference to something of the same process, such as the pack being filled.
template <class T>
struct ref {
  std::shared_ptr<T> it;
  T* operator->() const noexcept {
    return it.get();
  }
  T& operator*() const noexcept {
    return *it;
  }
};

namespace storage {
class open_pack;
class stage_watch;
struct drive_entry;
} // namespace storage

using pack_ref = ref<storage::open_pack>;
using drive_watch = ref<const storage::drive_entry>;
using stage_watch_ref = ref<storage::stage_watch>;

// References are not for the wire: asked for their content, they have none.
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, memory&) {
  return f(caf::meta::type_name("memory"));
}
template <class Inspector, class T>
typename Inspector::result_type inspect(Inspector& f, ref<T>&) {
  return f(caf::meta::type_name("ref"));
}

} // namespace datamesh

#define DATAMESH_MESSAGE(name) CAF_ADD_TYPE_ID(datamesh, (datamesh::v1::name))

CAF_BEGIN_TYPE_ID_BLOCK(datamesh, first_custom_type_id)
CAF_ADD_TYPE_ID(datamesh, (datamesh::bytes))
CAF_ADD_TYPE_ID(datamesh, (datamesh::slices))
CAF_ADD_TYPE_ID(datamesh, (datamesh::memory))
CAF_ADD_TYPE_ID(datamesh, (datamesh::memories))
CAF_ADD_TYPE_ID(datamesh, (datamesh::pack_ref))
CAF_ADD_TYPE_ID(datamesh, (datamesh::drive_watch))
CAF_ADD_TYPE_ID(datamesh, (datamesh::stage_watch_ref))
DATAMESH_MESSAGE(ApplyOperations)
DATAMESH_MESSAGE(CheckShard)
DATAMESH_MESSAGE(CloseIntake)
DATAMESH_MESSAGE(CommitCatalog)
DATAMESH_MESSAGE(CopyChunks)
DATAMESH_MESSAGE(CopyOperations)
DATAMESH_MESSAGE(Done)
DATAMESH_MESSAGE(DriveQuery)
DATAMESH_MESSAGE(DriveUsage)
DATAMESH_MESSAGE(FinishPack)
DATAMESH_MESSAGE(FinishedPack)
DATAMESH_MESSAGE(FinishTargets)
DATAMESH_MESSAGE(FlushPacks)
DATAMESH_MESSAGE(MarkPacks)
DATAMESH_MESSAGE(OpenChunks)
DATAMESH_MESSAGE(OpenIntake)
DATAMESH_MESSAGE(OpenStretch)
DATAMESH_MESSAGE(OpenTarget)
DATAMESH_MESSAGE(PackFigures)
DATAMESH_MESSAGE(PullSource)
DATAMESH_MESSAGE(ReadBlocks)
DATAMESH_MESSAGE(ReadSource)
DATAMESH_MESSAGE(ReadStretch)
DATAMESH_MESSAGE(RebuildShards)
DATAMESH_MESSAGE(RememberSources)
DATAMESH_MESSAGE(RemoveShards)
DATAMESH_MESSAGE(SealChunks)
DATAMESH_MESSAGE(SealedChunks)
DATAMESH_MESSAGE(SetDriveState)
DATAMESH_MESSAGE(SourceBatch)
DATAMESH_MESSAGE(StampOperations)
DATAMESH_MESSAGE(StampedOperations)
DATAMESH_MESSAGE(StoreShards)
DATAMESH_MESSAGE(StretchRead)
DATAMESH_MESSAGE(SubmitOperations)
DATAMESH_MESSAGE(SweepDrive)
DATAMESH_MESSAGE(RelistDrive)
DATAMESH_MESSAGE(DriveRelisted)
DATAMESH_MESSAGE(TargetOpened)
DATAMESH_MESSAGE(TargetWritten)
DATAMESH_MESSAGE(WriteTarget)
CAF_END_TYPE_ID_BLOCK(datamesh)

#undef DATAMESH_MESSAGE
