// One search of the key space over up to four paths that share no node (Baumgart and
// Mies, "S/Kademlia", 2007): whom to ask next, and what the answers come to. What an answer
// may hold: docs/formats/discovery.md. Given the same calls, it does the same.
//
// Not thread-safe.
#pragma once

#include "network/record_store.hpp"
#include "network/routing_table.hpp"

#include <unordered_map>

namespace datamesh::network {

inline constexpr unsigned lookup_paths = 4;
/// Requests that one path has open at once.
inline constexpr unsigned lookup_parallel = 3;
/// Requests of one path of a lookup of 20 nodes, at most; of others as many more as they want
/// more nodes.
inline constexpr size_t lookup_asks_max = 80;
/// After which a request no longer counts as open, and after which it has failed.
inline constexpr auto slow_after = std::chrono::seconds{1};
inline constexpr auto request_time_max = std::chrono::seconds{5};

struct lookup_goal {
  point target;
  /// Records of that kind under the target are wanted, else the nearest nodes alone.
  std::optional<record_kind> kind;
  /// A path that has the records of so many publishers ends.
  size_t enough = 1;
  size_t count = bucket_size; ///< Of nodes.
  unsigned paths = lookup_paths;
};

/// What a node that was asked tells.
struct found_answer {
  std::vector<contact> nodes;
  std::vector<bytes> records;
};

struct lookup_ask {
  uint64_t number = 0; ///< Of this lookup's requests, from 1.
  contact whom;
};

enum class answer_verdict : uint8_t {
  taken,
  stray,    ///< Nobody waits for it.
  violated, ///< It breaks a rule, and counts as none.
};

struct lookup_outcome {
  /// Those that answered, nearest first, and not more of one group than a table takes.
  std::vector<contact> nearest;
  /// The one that counts of each publisher.
  std::vector<signed_record> records;
  std::vector<record_conflict> conflicts;
  size_t asked = 0;
  size_t unanswered = 0;
  unsigned hops = 0; ///< To the nearest.
};

class lookup {
public:
  /// @param start the nearest that are known, nearest first
  /// @param others from all over the table: the last path begins with these alone, so that who
  ///               surrounds the target does not have every path from its first step on
  lookup(const peer_id& self, const network_id& mesh, ip_rules rules, const lookup_goal& goal, const std::vector<contact>& start,
         const std::vector<contact>& others = {});

  /// Whom to ask now, if anyone.
  [[nodiscard]] std::optional<lookup_ask> next(mesh_time now);
  answer_verdict answered(uint64_t number, const found_answer& what, const ip_address& reached_at, clock::wall_time wall);
  /// No answer came, or none in time.
  void failed(uint64_t number);

  /// True when every path has ended; only then there is an outcome.
  [[nodiscard]] bool has_ended() const noexcept;
  /// @pre has_ended()
  [[nodiscard]] lookup_outcome outcome() const;
  /// When `next` may have more without an answer before.
  [[nodiscard]] mesh_time next_tick() const;
  [[nodiscard]] const lookup_goal& goal() const noexcept {
    return goal_;
  }

private:
  enum class state : uint8_t { fresh, asked, answered, failed };
  struct candidate {
    contact who;
    std::vector<ip_group> groups; ///< Of its addresses.
    unsigned depth = 1;           ///< Hops to it.
    state how = state::fresh;
  };
  struct path {
    std::map<xor_distance, candidate> known;
    size_t open = 0;
    size_t asks = 0;
    bool waits = false; ///< One of its nearest was asked by another path, and may fail there.
    bool idle = false;  ///< Has nobody to ask until another answer comes, or fails to come.
    bool ended = false;
    std::map<crypto::public_key, signed_record> records;
  };
  struct request {
    size_t path = 0;
    xor_distance apart;
    mesh_time asked_at;
  };
  /// Who was asked by some path.
  struct claim {
    state how = state::asked;
    std::vector<endpoint> tried;
  };
  struct answering {
    contact who;
    ip_address reached_at;
    unsigned depth = 0;
  };

  [[nodiscard]] bool may_be_asked(const contact& who) const;
  [[nodiscard]] candidate make_candidate(const contact& who, unsigned depth) const;
  candidate* pick(path& of);
  void settle();
  [[nodiscard]] result<std::vector<signed_record>> check(const found_answer& what, const xor_distance& replier,
                                                         clock::wall_time wall) const;
  void keep(signed_record record, std::map<crypto::public_key, signed_record>& in, std::vector<record_conflict>& conflicts) const;
  void learn(path& in, const contact& who, unsigned depth);

  peer_id self_;
  network_id mesh_;
  ip_rules rules_;
  lookup_goal goal_;
  size_t asks_max_;
  std::vector<path> paths_;
  size_t turn_ = 0;
  mesh_time looked_at_ = mesh_time::min();
  uint64_t last_number_ = 0;
  std::map<uint64_t, request> requests_;
  std::unordered_map<peer_id, claim> claims_;
  std::map<xor_distance, answering> answered_;
  std::vector<record_conflict> conflicts_;
  size_t unanswered_ = 0;
};

} // namespace datamesh::network
