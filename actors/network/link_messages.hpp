// What the actors of this room may be sent, beside what messages.hpp of the actors has.
#pragma once

#include "messages.hpp"

#include "datamesh/v1/mesh.pb.h"

#define DATAMESH_MESSAGE(name) CAF_ADD_TYPE_ID(datamesh_mesh, (datamesh::v1::name))

CAF_BEGIN_TYPE_ID_BLOCK(datamesh_mesh, caf::id_block::datamesh::end)
DATAMESH_MESSAGE(ArrivedRequest)
DATAMESH_MESSAGE(AskOutcome)
DATAMESH_MESSAGE(AskPeer)
DATAMESH_MESSAGE(ConnectOutcome)
DATAMESH_MESSAGE(ConnectPeer)
DATAMESH_MESSAGE(DiscoveryWake)
DATAMESH_MESSAGE(DropPeer)
DATAMESH_MESSAGE(LinkDown)
DATAMESH_MESSAGE(LinkList)
DATAMESH_MESSAGE(LinksClosed)
DATAMESH_MESSAGE(LinkUp)
DATAMESH_MESSAGE(ListLinks)
DATAMESH_MESSAGE(ListNodes)
DATAMESH_MESSAGE(LookedUp)
DATAMESH_MESSAGE(LookUp)
DATAMESH_MESSAGE(NodeList)
DATAMESH_MESSAGE(NodesChanged)
DATAMESH_MESSAGE(NodesFileFailed)
DATAMESH_MESSAGE(PeerAnswer)
DATAMESH_MESSAGE(PeerConnected)
DATAMESH_MESSAGE(PeerRequest)
DATAMESH_MESSAGE(PublishRecord)
DATAMESH_MESSAGE(RecordConflict)
DATAMESH_MESSAGE(RecordPublished)
DATAMESH_MESSAGE(RecordRenewalDue)
DATAMESH_MESSAGE(ServePart)
DATAMESH_MESSAGE(TokenFailed)
DATAMESH_MESSAGE(WithdrawRecord)
CAF_END_TYPE_ID_BLOCK(datamesh_mesh)

#undef DATAMESH_MESSAGE
