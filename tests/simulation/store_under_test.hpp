// A node with six drives and one vault, all of it on one simulated disk, and beside
// it what has been promised to its user. The promises are kept outside of the disk,
// so that no power loss touches them:
//
//   store_under_test store{image, seed};
//   REQUIRE(store.open());
//   store.disk().crash_after(n);
//   (void) run(store);      // notes what may be and, once acknowledged, what is
//   store.lose_power(seed);
//   store.reopen_after_loss(seed);
//   store.check();          // Catch2 assertions
//
// Thread rule: one thread.
#pragma once

#include "datamesh/node.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <map>
#include <string>
#include <vector>

namespace datamesh::test {

/// Bytes of a file; null: there is none.
using content = std::shared_ptr<const std::string>;

[[nodiscard]] content make_content(seeded_random& random, size_t size, bool compressible);

/// What may be found under each path.
class promises {
public:
  /// Somebody began to make *what* of *path*: it is that or what it was.
  void may_become(const std::string& path, const content& what);
  /// It is acknowledged.
  void is(const std::string& path, const content& what);
  /// All under *path* goes.
  void may_go(const std::string& path);
  void is_gone(const std::string& path);
  [[nodiscard]] const std::map<std::string, std::vector<content>>& all() const noexcept {
    return allowed_;
  }
  /// That many shards may be found damaged, as the disk had them from the beginning.
  void may_be_damaged(uint64_t shards) noexcept {
    damaged_max_ = shards;
  }
  [[nodiscard]] uint64_t damaged_max() const noexcept {
    return damaged_max_;
  }
  /// Every content that the path ever had, for its versions.
  [[nodiscard]] bool ever(const std::string& path, const std::string& what) const;

private:
  std::map<std::string, std::vector<content>> allowed_;
  std::map<std::string, std::vector<content>> history_;
  uint64_t damaged_max_ = 0;
};

/// What the checks found, summed over all runs.
struct findings {
  uint64_t reopened = 0;
  uint64_t files_compared = 0;
  uint64_t versions_compared = 0;
  uint64_t rebuilds_compared = 0;
  uint64_t shards_checked = 0;
};

inline constexpr unsigned drive_count = 6;
[[nodiscard]] std::string drive_folder(unsigned number);

class store_under_test {
public:
  /// Makes the node, its drives and its vault on an empty disk.
  [[nodiscard]] static std::unique_ptr<store_under_test> make(uint64_t seed);

  store_under_test(const simulated_files::image& from, const promises& expected, uint64_t seed);

  [[nodiscard]] result<void> open();
  void close();

  /// Everything to the disk, and a frozen copy of it. @pre closed
  [[nodiscard]] simulated_files::image freeze();

  /// Cuts the node off from its disk, ends it, and lets chance choose what survives.
  void lose_power(uint64_t dice);
  /// The power goes again while the store recovers, then it opens for good.
  void reopen_after_loss(seeded_random& random);

  /// Each file is one that was promised, whole; none has gone and none came back;
  /// every version can be read; a deep verify finds nothing damaged, repairs what is
  /// missing, and then finds nothing at all.
  void check();
  /// The first part of it, which needs no drive that is away.
  void check_contents();
  /// None is damaged, and some are missing only when a put has said that it lacks some.
  /// @pre everything else that stored packs is whole
  void check_shards_told();
  /// The catalog made again from the packs is the same. The store is open before and after.
  void check_rebuild();
  /// What is stored now is there after the next loss of power.
  void check_usable(uint64_t dice);

  /// Writes a file to the disk, to be a source.
  void add_source(const std::string& path, const content& what);

  /// One file through a stream.
  [[nodiscard]] result<void> put(const std::string& path, const content& what);
  /// The folder *source* of the disk, as *target*; *files* tells what is in it.
  [[nodiscard]] result<void> put_folder(const std::string& source, const std::string& target, const std::map<std::string, content>& files);
  [[nodiscard]] result<void> remove(const std::string& path, bool recursive);
  /// A put has said that it lacks so many.
  void told_short(uint32_t shards) noexcept {
    short_told_ = std::max(short_told_, shards);
  }
  [[nodiscard]] result<std::string> read(const std::string& path, std::optional<version_id> version = {});
  [[nodiscard]] result<std::map<std::string, uint64_t>> list();
  [[nodiscard]] result<rebuild_summary> rebuild();

  [[nodiscard]] simulated_files& disk() {
    return *disk_;
  }
  [[nodiscard]] datamesh::vault& vault() {
    return *vault_;
  }
  [[nodiscard]] datamesh::node& node() {
    return *node_;
  }
  [[nodiscard]] promises& expected() {
    return expected_;
  }
  [[nodiscard]] manual_clock& time() {
    return *time_;
  }
  /// Opens the node alone.
  [[nodiscard]] result<void> open_node();
  void close_vault() {
    vault_.reset();
  }

  static findings& found();

private:
  store_under_test(std::shared_ptr<simulated_files> disk, std::shared_ptr<manual_clock> time, uint64_t seed);
  [[nodiscard]] node_options options() const;
  void check_versions(const std::string& path);
  void check_shards();

  std::shared_ptr<manual_clock> time_;
  std::shared_ptr<simulated_files> disk_;
  std::shared_ptr<seeded_random> random_;
  promises expected_;
  std::unique_ptr<datamesh::node> node_;
  std::optional<datamesh::vault> vault_;
  uint32_t short_told_ = 0; ///< Most shards that a put has said it lacks.
};

} // namespace datamesh::test
