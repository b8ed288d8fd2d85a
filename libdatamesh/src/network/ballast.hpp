// Holds on the drives what a node set aside for others, and they do not use yet: a `ballast_file` a
// drive, which gives way to their shards. Rules: docs/formats/ticket.md.
//
// It never grows into what a drive leaves alone (the reserve of `shard_store_options`), and gives way
// when the node itself would otherwise have nothing left to write with.
//
// Thread rule: `add`, `make_way`, `make_way_for_rows` and `settle` from one thread at a time; the rest
// from any meanwhile, when all was added.
#pragma once

#include "datamesh/base/environment.hpp"
#include "network/ballast_file.hpp"

#include <functional>
#include <vector>

namespace datamesh::network {

/// What is free at least on a disk while the ballast can see to it: rows and folders need some, and
/// whoever deletes something writes first.
inline constexpr uint64_t rows_room = 16ull << 20;
/// What the ballast holds beyond that is let go in such pieces.
inline constexpr uint64_t ballast_step = 64ull << 20;

struct ballast_options {
  uint64_t capacity = 0; ///< What others may have together; 0: nothing is held.
  /// As in `shard_store_options`, of the drives.
  uint64_t reserve_bytes = 0;
  double reserve_ratio = 0;
  /// Whether shards may go to that folder. What is held where they may not is let go.
  std::function<bool(const std::string&)> takes_new;
};

class ballast {
public:
  ballast(environment env, ballast_options options);

  /// The next drive; the first is number 0.
  void add(const std::string& folder);

  /// Any thread; `settle` does what follows from it.
  void set_capacity(uint64_t bytes) noexcept {
    capacity_ = bytes;
  }
  [[nodiscard]] uint64_t capacity() const noexcept {
    return capacity_;
  }

  /// What may still be stored on a drive: what is free there, and what is held.
  [[nodiscard]] uint64_t room(size_t drive) const;

  /// Sees to it that a shard can be stored. `drive_full` where neither what is free nor what is
  /// held is enough.
  /// @param charge what its owner is charged for it; @param used what all are charged so far
  [[nodiscard]] result<void> make_way(size_t drive, uint64_t charge, uint64_t used);
  /// The same for some rows, as far as it can.
  void make_way_for_rows(size_t drive);

  /// Lets go what is too much and takes what is missing, as far as the disks have it: for some
  /// tenths of a second at most. False when there is more to do now.
  /// @param used what all are charged now
  bool settle(uint64_t used);

  /// On all drives, with what it holds beyond what was promised.
  [[nodiscard]] uint64_t held() const noexcept;
  /// 0 for a folder that was not added.
  [[nodiscard]] uint64_t held_in(const std::string& folder) const;
  /// Of what is set aside and not used: what is held,
  [[nodiscard]] uint64_t held_for(uint64_t used) const noexcept;
  /// and what is not.
  [[nodiscard]] uint64_t lacking(uint64_t used) const noexcept;

private:
  struct place {
    place(std::shared_ptr<file_system> files, const std::string& in) : folder(in), file(std::move(files), in) {}
    std::string folder;
    ballast_file file;
    bool told = false; ///< That something is wrong with it.
  };
  /// Of a disk, in bytes.
  struct measure {
    uint64_t available = 0;
    uint64_t reserve = 0;
    uint64_t rows = 0; ///< That part of the reserve which is kept free in any case.
    /// What may be taken from it.
    [[nodiscard]] uint64_t free() const noexcept {
      return available > reserve ? available - reserve : 0;
    }
  };
  [[nodiscard]] uint64_t left(uint64_t used) const noexcept;
  [[nodiscard]] result<measure> look_at(const place& at) const;
  [[nodiscard]] uint64_t give(place& at, uint64_t bytes);
  void let_go_where_nothing_goes();
  void keep_rows_room(uint64_t promised);
  void let_go(uint64_t bytes);
  [[nodiscard]] bool take(uint64_t bytes);
  [[nodiscard]] uint64_t grow(place& at, uint64_t bytes);
  void tell_once(place& at, std::string_view what) const;

  environment env_;
  ballast_options options_;
  std::atomic<uint64_t> capacity_;
  std::vector<std::unique_ptr<place>> places_;
};

} // namespace datamesh::network
