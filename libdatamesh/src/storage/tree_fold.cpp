#include "storage/tree_fold.hpp"

namespace datamesh::storage {

namespace {

constexpr size_t depth_max = 1 << 20;

bool is_ancestor(fold& tree, const node_id& node, node_id of) {
  for (size_t depth = 0; depth < depth_max; ++depth) {
    if (of == node)
      return true;
    const auto& row = tree.peek(of);
    if (!row.where)
      return false;
    of = row.where->parent;
  }
  tree.rows.damaged(id_key(row_kind::node, node));
  return true;
}

void log_move(fold& tree, const move_row& m) {
  tree.rows.put(move_key(m.to.at), m.encode());
}

/// Applies a move that is later than all that are applied.
void apply(fold& tree, move_row& m) {
  auto& node = tree.edit(m.node);
  m.before = node.where;
  m.effective = m.node != m.to.parent && !(node.named_as_parent && is_ancestor(tree, m.node, m.to.parent));
  if (m.effective)
    node.where = m.to;
  node.logged = true;
  tree.edit(m.to.parent).named_as_parent = true;
}

void undo(fold& tree, const move_row& m) {
  if (m.effective)
    tree.edit(m.node).where = m.before;
}

/// Puts a late move of a node that was never a parent where it belongs among that
/// node's own moves, all of which had an effect.
void splice(fold& tree, move_row& m) {
  auto& node = tree.edit(m.node);
  m.effective = true;
  node.logged = true;
  tree.edit(m.to.parent).named_as_parent = true;
  if (!node.where || node.where->at < m.to.at) {
    m.before = node.where;
    node.where = m.to;
    return;
  }
  auto later = tree.rows.load<move_row>(move_key(node.where->at));
  while (later && later->before && m.to.at < later->before->at)
    later = tree.rows.load<move_row>(move_key(later->before->at));
  if (!later) {
    tree.rows.damaged(move_key(node.where->at));
    return;
  }
  m.before = later->before;
  later->before = m.to;
  log_move(tree, *later);
}

/// The moves behind *first* in the log that may take part in a cycle.
std::vector<move_row> later_moves(fold& tree, const op_order& first) {
  std::vector<move_row> result;
  const std::string prefix{static_cast<char>(row_kind::move)};
  tree.rows.scan(prefix, move_key(first), [&](std::string_view key, std::string_view value) {
    auto m = tree.rows.parse<move_row>(key, value);
    if (m && tree.peek(m->node).named_as_parent)
      result.push_back(std::move(*m));
    return m.has_value();
  });
  return result;
}

/// Undoes what is later than the first of *moves*, then applies all in order.
void merge(fold& tree, std::vector<move_row> moves) {
  auto later = later_moves(tree, moves.front().to.at);
  for (auto i = later.rbegin(); i != later.rend(); ++i)
    undo(tree, *i);
  auto next_new = moves.begin();
  auto next_old = later.begin();
  while (next_new != moves.end() || next_old != later.end()) {
    bool is_new = next_old == later.end() || (next_new != moves.end() && next_new->to.at < next_old->to.at);
    auto& m = is_new ? *next_new++ : *next_old++;
    auto before = m.before;
    auto effective = m.effective;
    apply(tree, m);
    if (is_new || before != m.before || effective != m.effective)
      log_move(tree, m);
  }
}

} // namespace

void fold_moves(fold& into, std::vector<move_row> moves) {
  auto by_stamp = [](const move_row& a, const move_row& b) {
    return a.to.at < b.to.at;
  };
  std::sort(moves.begin(), moves.end(), by_stamp);
  auto newest = std::partition_point(moves.begin(), moves.end(), [&](const move_row& m) { return m.to.at < into.head.last_move; });
  std::vector<move_row> entangled;
  for (auto m = moves.begin(); m != newest; ++m) {
    const auto& node = into.peek(m->node);
    if (m->node != m->to.parent && !node.named_as_parent) {
      splice(into, *m);
      log_move(into, *m);
    } else {
      into.edit(m->to.parent).named_as_parent = true;
      entangled.push_back(std::move(*m));
    }
  }
  if (!entangled.empty())
    merge(into, std::move(entangled));
  for (auto m = newest; m != moves.end() && !into.rows.failed(); ++m) {
    apply(into, *m);
    log_move(into, *m);
    into.head.last_move = m->to.at;
  }
}

} // namespace datamesh::storage
