// This node as a member of a mesh: its sockets, links, router and discovery together, from
// their start to an orderly end, with what else of the node other nodes ask.
//
// Thread rule: members from any thread that is no actor's; `close` once.
#pragma once

#include "datamesh/base/environment.hpp"
#include "network/line_pace.hpp"
#include "network/link_messages.hpp"
#include "network/member_list.hpp"
#include "network/mesh_settings.hpp"
#include "network/peer_part.hpp"

#include "crypto/secret.hpp"

#include <functional>
#include <memory>

namespace datamesh::network {

struct member_parts {
  environment env; ///< Clock, random and files are used.
  crypto::key256 seed;
  mesh_settings settings;
  std::string saved_at;                  ///< The file of known nodes; none when empty. Its folder is there.
  std::shared_ptr<membership> members{}; ///< Null in an open mesh.
  std::shared_ptr<line_pace> pace;       ///< What the line may take.
  std::string members_at{};              ///< Where a newer list of members is kept.
  /// Told when the first node answers, when none does any more, when the file of known nodes
  /// fails, when a node is refused, and of lists of members. Called on a thread of the actors: returns soon.
  std::function<void(severity, std::string, std::optional<errc>)> tell;
  /// Ends what other parts serve; called once, by `close`, behind discovery and before the links,
  /// so that who waits for an answer gets it. Nothing where it is empty.
  std::function<void()> end_parts;
};

class peer_access;
class tls_identity;

class mesh_member {
public:
  /// Listens, and begins to look for others. *sys* knows the messages of `datamesh_mesh` and
  /// outlives the member. Fails as `asio_transport::listen` does.
  [[nodiscard]] static result<std::unique_ptr<mesh_member>> start(caf::actor_system& sys, const member_parts& parts);
  /// Closes.
  ~mesh_member();

  [[nodiscard]] mesh_report report() const;
  /// In the order of ids. `timed_out` when discovery does not answer.
  [[nodiscard]] result<std::vector<peer_report>> peers() const;
  /// Those of this mesh in the order of ids, then others; `unavailable` where the settings say no.
  [[nodiscard]] result<std::vector<neighbour_report>> neighbours() const;

  /// See `node::measure_line`. @param ended why it is to end now, or nothing @param progress bytes that were
  /// moved, and that are to be; both are called on a thread of the actors
  [[nodiscard]] result<line_report> measure_line(const peer_id& peer, const line_test& how, std::function<std::optional<error>()> ended,
                                                 std::function<void(uint64_t, uint64_t)> progress) const;

  /// A list of members of the operator of this node; answers whether it is newer. Fails as
  /// `judge_after` does; `unavailable` in an open mesh.
  [[nodiscard]] result<bool> offer_members(const bytes& list);

  /// From now on requests to that part go to *by*, a `peer_handler_actor`, until it ends; then they
  /// are answered `unavailable`. `timed_out` when the router does not answer.
  [[nodiscard]] result<void> serve(peer_part part, const caf::actor& by);
  /// From now on drives that are other nodes' room reach these, until `close` begins.
  void lend(std::shared_ptr<peer_access> to);
  [[nodiscard]] const std::shared_ptr<const tls_identity>& identity() const noexcept;
  [[nodiscard]] const network_id& network() const noexcept;

  /// Saves the known nodes, tells the peers, and returns when nothing runs any more.
  void close();

private:
  struct impl;
  [[nodiscard]] result<void> keep_members(const member_parts& parts);
  [[nodiscard]] result<void> begin_relay(const member_parts& parts);
  [[nodiscard]] result<v1::NeighbourList> ask_lan() const;
  void begin_lan(const member_parts& parts, const std::vector<endpoint>& listens);
  void begin_mapping(const member_parts& parts, const endpoint& behind, const std::vector<endpoint>& told);
  explicit mesh_member(std::unique_ptr<impl> with);
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::network
