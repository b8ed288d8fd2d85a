// A file system in memory that behaves as a disk may: it loses unsynced bytes,
// links and renames when the power goes, tears writes at 512 bytes, runs full,
// fails the N-th call and flips bits.
#pragma once
