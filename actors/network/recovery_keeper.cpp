#include "network/recovery_keeper.hpp"

#include "network/recovery_record.hpp"

#include <algorithm>
#include <set>

namespace datamesh::network {

namespace {

using std::chrono::seconds;

constexpr auto grace = seconds{10};

/// One phrase, and what was sent for it last.
struct row {
  recovery_phrase phrase;
  uint64_t number = 0; ///< Of the offer.
  bool sending = false;
  bool too_large = false;
  std::optional<clock::monotonic_time> next_try;
  // Of what was sent last; kept over offers, since it is known by the secret.
  uint64_t sent_number = 0;
  std::set<peer_id> sent_nodes;
  std::optional<clock::wall_time> until;
  uint64_t sequence = 0;
  uint64_t copies = 0;
  uint64_t nodes = 0;
  uint64_t left_out = 0;
};

struct board {
  mutable std::mutex mutex;
  std::map<vault_id, std::vector<row>> vaults;
  uint64_t offers = 0;
};

using keeper_actor = caf::typed_actor<caf::reacts_to<v1::ShardWake>, caf::reacts_to<caf::tick_atom>>;
class keeper;
struct keeper_state {
  static inline constexpr const char* name = "recovery-keeper";
  std::shared_ptr<keeper> does;
};
using keeper_pointer = keeper_actor::stateful_pointer<keeper_state>;

bool is_same(const crypto::key256& a, const crypto::key256& b) noexcept {
  return crypto::equal_in_constant_time(a.view(), b.view());
}

std::set<peer_id> ids_of(const std::vector<recovery_node>& nodes) {
  std::set<peer_id> ids;
  for (const auto& node : nodes)
    ids.insert(node.id);
  return ids;
}

/// Somebody has it as it is to be.
bool is_sent(const row& one, const std::vector<recovery_node>& nodes) {
  return one.until && one.copies > 0 && one.sent_number == one.number && (one.phrase.ended || one.sent_nodes == ids_of(nodes));
}

/// What the actor does, on its thread.
class keeper {
public:
  keeper(keeper_pointer self, environment env, std::shared_ptr<const peer_access> access, std::function<std::vector<recovery_node>()> nodes,
         std::shared_ptr<board> on)
      : self_(self), env_(std::move(env)), access_(std::move(access)), nodes_(std::move(nodes)), board_(std::move(on)) {}

  void look_again() {
    self_->delayed_send(self_, recovery_looked_at, v1::ShardWake{});
    look();
  }

  void look() {
    auto way = access_->now();
    std::lock_guard guard{board_->mutex};
    if (!way || board_->vaults.empty())
      return;
    auto nodes = nodes_();
    for (auto& [vault, rows] : board_->vaults)
      for (auto& one : rows)
        if (is_due(one, nodes))
          send(*way, vault, one, nodes);
  }

private:
  [[nodiscard]] bool is_due(const row& one, const std::vector<recovery_node>& nodes) const {
    if (one.sending || (one.next_try && env_.clock->monotonic() < *one.next_try))
      return false;
    auto known = one.until.has_value();
    // One that was removed earlier may be kept since, by whom this node does not know.
    if (nodes.empty() && !known && !one.phrase.ended)
      return false;
    return !known || !is_sent(one, nodes) || *one.until - env_.clock->wall() < lifetime_of(record_kind::recovery) / 2;
  }

  [[nodiscard]] uint64_t next_sequence(const row& one) const {
    auto now = std::chrono::duration_cast<std::chrono::milliseconds>(env_.clock->wall().time_since_epoch()).count();
    return std::max<uint64_t>(static_cast<uint64_t>(std::max<int64_t>(now, 1)), one.sequence + 1);
  }

  /// The larger key file where all nodes fit beside it, and of the nodes those with the most shards.
  [[nodiscard]] static recovery_contents contents_of(const recovery_phrase& phrase, std::vector<recovery_node> nodes) {
    recovery_contents what;
    auto fit = recovery_nodes_max(phrase.key_file.size());
    what.key_file = phrase.key_file;
    if (!fit || *fit < nodes.size()) {
      what.key_file = phrase.key_file_least;
      fit = recovery_nodes_max(phrase.key_file_least.size());
    }
    std::ranges::stable_sort(nodes, std::ranges::greater{}, &recovery_node::shards);
    auto count = std::min(nodes.size(), fit.value_or(0));
    for (size_t i = 0; i < count; ++i)
      what.nodes.push_back(nodes[i].id);
    what.nodes_left_out = static_cast<uint32_t>(nodes.size() - count);
    return what;
  }

  void send(const peer_access::way& way, const vault_id& vault, row& one, const std::vector<recovery_node>& nodes) {
    one.sequence = next_sequence(one);
    auto now = env_.clock->wall();
    auto withdraws = one.phrase.ended || nodes.empty();
    auto what = withdraws ? recovery_contents{} : contents_of(one.phrase, nodes);
    one.too_large = !withdraws && what.nodes.empty();
    one.next_try = env_.clock->monotonic() + recovery_sent_again;
    if (one.too_large)
      return;
    auto record = withdraws ? withdraw_recovery_record(one.phrase.secret, way.mesh, one.sequence, now)
                            : make_recovery_record(one.phrase.secret, way.mesh, what, one.sequence, now, *env_.random);
    if (!record)
      return;
    one.sending = true;
    one.sent_number = one.number;
    one.sent_nodes = ids_of(nodes);
    one.until = record->expiry;
    one.copies = 0;
    one.nodes = what.nodes.size();
    one.left_out = what.nodes_left_out;
    v1::PublishRecord request;
    request.set_record(std::string{as_text(record->raw)});
    self_->request(way.discovery, lookup_time_max + grace, std::move(request))
        .then([this, vault, secret = one.phrase.secret](const v1::RecordPublished& done) { sent(vault, secret, done.copies()); },
              [this, vault, secret = one.phrase.secret](const caf::error&) { sent(vault, secret, 0); });
  }

  void sent(const vault_id& vault, const crypto::key256& secret, uint64_t copies) {
    std::lock_guard guard{board_->mutex};
    auto found = board_->vaults.find(vault);
    if (found == board_->vaults.end())
      return;
    for (auto& one : found->second)
      if (is_same(one.phrase.secret, secret)) {
        one.sending = false;
        one.copies = copies;
        if (copies > 0)
          one.next_try.reset();
      }
  }

  keeper_pointer self_;
  environment env_;
  std::shared_ptr<const peer_access> access_;
  std::function<std::vector<recovery_node>()> nodes_;
  std::shared_ptr<board> board_;
};

keeper_actor::behavior_type keep(keeper_pointer self, environment env, std::shared_ptr<const peer_access> access,
                                 std::function<std::vector<recovery_node>()> nodes, std::shared_ptr<board> on) {
  self->state.does = std::make_shared<keeper>(self, std::move(env), std::move(access), std::move(nodes), std::move(on));
  auto* does = self->state.does.get();
  self->delayed_send(self, recovery_looked_at, v1::ShardWake{});
  return {
      [=](const v1::ShardWake&) { does->look_again(); },
      [=](caf::tick_atom) { does->look(); },
  };
}

} // namespace

struct recovery_keeper::impl {
  caf::actor_system& sys;
  std::shared_ptr<const peer_access> access;
  std::function<std::vector<recovery_node>()> nodes;
  std::shared_ptr<board> on;
  keeper_actor by;
};

recovery_keeper::recovery_keeper(caf::actor_system& sys, environment env, std::shared_ptr<const peer_access> access,
                                 std::function<std::vector<recovery_node>()> nodes) {
  auto on = std::make_shared<board>();
  auto by = sys.spawn(keep, std::move(env), access, nodes, on);
  impl_ = std::make_unique<impl>(impl{sys, std::move(access), std::move(nodes), std::move(on), std::move(by)});
}

recovery_keeper::~recovery_keeper() {
  caf::scoped_actor self{impl_->sys};
  self->send_exit(impl_->by, caf::exit_reason::user_shutdown);
  self->wait_for(impl_->by);
}

void recovery_keeper::offer(const vault_id& vault, std::vector<recovery_phrase> phrases) {
  {
    std::lock_guard guard{impl_->on->mutex};
    auto number = ++impl_->on->offers;
    auto& rows = impl_->on->vaults[vault];
    std::vector<row> fresh;
    for (auto& phrase : phrases) {
      auto before = std::ranges::find_if(rows, [&](const row& one) { return is_same(one.phrase.secret, phrase.secret); });
      auto now = before != rows.end() ? *before : row{};
      if (now.number == 0 || now.phrase.revision != phrase.revision || now.phrase.ended != phrase.ended) {
        now.phrase = std::move(phrase);
        now.number = number;
        now.next_try.reset();
      }
      fresh.push_back(std::move(now));
    }
    rows = std::move(fresh);
    if (rows.empty())
      impl_->on->vaults.erase(vault);
  }
  caf::anon_send(impl_->by, caf::tick_atom_v);
}

void recovery_keeper::withdraw(const vault_id& vault) {
  {
    std::lock_guard guard{impl_->on->mutex};
    auto found = impl_->on->vaults.find(vault);
    if (found == impl_->on->vaults.end())
      return;
    for (auto& one : found->second) {
      one.phrase.ended = true;
      one.number = ++impl_->on->offers;
      one.next_try.reset();
    }
  }
  caf::anon_send(impl_->by, caf::tick_atom_v);
}

recovery_report recovery_keeper::standing(const vault_id& vault) const {
  using state = recovery_report::state;
  recovery_report report;
  auto nodes = impl_->nodes();
  if (nodes.empty())
    return report;
  report.now = state::no_mesh;
  if (!impl_->access->now())
    return report;
  std::lock_guard guard{impl_->on->mutex};
  report.now = state::no_phrase;
  auto found = impl_->on->vaults.find(vault);
  if (found == impl_->on->vaults.end())
    return report;
  std::vector<const row*> rows;
  auto withdrawn = true;
  for (const auto& one : found->second)
    if (!one.phrase.ended)
      rows.push_back(&one);
    else
      withdrawn = withdrawn && is_sent(one, nodes);
  for (const auto* one : rows) {
    auto first = one == rows.front();
    auto now = one->too_large ? state::too_large : is_sent(*one, nodes) && withdrawn ? state::kept : state::waiting;
    report.now = first ? now : now == state::kept ? report.now : now;
    report.copies = first ? one->copies : std::min(report.copies, one->copies);
    report.nodes = first ? one->nodes : std::min(report.nodes, one->nodes);
    report.nodes_left_out = std::max(report.nodes_left_out, one->left_out);
    if (one->until && one->copies > 0) {
      auto until = one->until->time_since_epoch().count();
      report.until_ns = std::min<int64_t>(report.until_ns.value_or(until), until);
    }
  }
  return report;
}

} // namespace datamesh::network
