#include "storage/name_index.hpp"

namespace datamesh::storage {

namespace {

bool before(const name_row::claim& a, const name_row::claim& b) {
  return a.at != b.at ? a.at < b.at : a.node < b.node;
}

void store(overlay& rows, const std::string& key, const name_row& row) {
  if (row.keeper || !row.aliases.empty())
    rows.put(key, row.encode());
  else
    rows.erase(key);
}

void set_alias(overlay& rows, const node_place& where, const node_id& node, bool wanted) {
  auto key = name_key(where.parent, alias_of(where.name, node));
  auto row = rows.load<name_row>(key).value_or(name_row{});
  auto i = std::lower_bound(row.aliases.begin(), row.aliases.end(), node);
  bool there = i != row.aliases.end() && *i == node;
  if (wanted && !there)
    row.aliases.insert(i, node);
  if (!wanted && there)
    row.aliases.erase(i);
  store(rows, key, row);
}

void add_contender(overlay& rows, const node_place& where, const name_row::claim& who) {
  rows.put(contender_key(where.parent, where.name, who), {});
  set_alias(rows, where, who.node, true);
}

void drop_contender(overlay& rows, const node_place& where, const name_row::claim& who) {
  rows.erase(contender_key(where.parent, where.name, who));
  set_alias(rows, where, who.node, false);
}

} // namespace

void claim_name(overlay& rows, const node_place& where, const node_id& node) {
  auto key = name_key(where.parent, where.name);
  auto row = rows.load<name_row>(key).value_or(name_row{});
  name_row::claim mine{node, where.at};
  if (row.keeper) {
    auto loser = before(mine, *row.keeper) ? *row.keeper : mine;
    row.contenders += 1;
    add_contender(rows, where, loser);
    if (loser.node == node)
      mine = *row.keeper;
  }
  row.keeper = mine;
  store(rows, key, row);
}

void release_name(overlay& rows, const node_place& where, const node_id& node) {
  auto key = name_key(where.parent, where.name);
  auto row = rows.load<name_row>(key);
  if (!row || !row->keeper) {
    rows.damaged(key);
    return;
  }
  if (row->keeper->node != node) {
    drop_contender(rows, where, {node, where.at});
    row->contenders -= 1;
  } else if (row->contenders == 0) {
    row->keeper.reset();
  } else {
    std::optional<name_row::claim> next;
    rows.scan(contender_prefix(where.parent, where.name), [&](std::string_view contender, std::string_view) {
      next = parse_contender(contender);
      return false;
    });
    if (!next) {
      rows.damaged(key);
      return;
    }
    drop_contender(rows, where, *next);
    row->keeper = next;
    row->contenders -= 1;
  }
  store(rows, key, *row);
}

std::string shown_name(const row_source& rows, const node_place& where, const node_id& node) {
  auto row = rows.load<name_row>(name_key(where.parent, where.name));
  return row && row->keeper && row->keeper->node == node ? where.name : alias_of(where.name, node);
}

} // namespace datamesh::storage
