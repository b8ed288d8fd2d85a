// Moves of nodes as a CRDT: Kleppmann, Mulligan, Gomes, Beresford, "A highly-available
// move operation for replicated trees" (2021). The outcome is that of applying all
// moves in the order of their stamps, where a move under one's own descendant has
// no effect.
//
// The move log keeps each move with the place before it. A move with the highest
// stamp so far needs nothing else. A late move of a node that was never named as a
// parent can be on no cycle: it is spliced into that node's own history. Only other
// late moves undo what is later, and only moves of nodes that were named as parents,
// since no other move can change whether there is a cycle.
#pragma once

#include "storage/fold.hpp"

namespace datamesh::storage {

/// Moves of one commit, each with its stamp in `to.at`. None is known already.
void fold_moves(fold& into, std::vector<move_row> moves);

} // namespace datamesh::storage
