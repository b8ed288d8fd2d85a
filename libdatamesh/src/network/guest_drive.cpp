#include "network/guest_drive.hpp"

#include "base/little_endian.hpp"

namespace datamesh::network {

using storage::shard_store;

result<void> guest_drive::write(const write_batch& changes) const {
  constexpr auto attempted = "write tickets";
  if (shards->state() == storage::drive_state::failed)
    return fail(errc::drive_failed, attempted, shards->folder());
  if (!rows->writable())
    if (auto opened = rows->reopen(); !opened)
      return fail(opened.error().within(attempted, shards->folder()));
  auto written = rows->write(changes, durability::synced);
  if (written)
    return {};
  auto code = written.error().code();
  if (!disk_refuses(code) && code != errc::not_found)
    (void) shards->set_state(storage::drive_state::failed);
  return fail(written.error().as(disk_refuses(code) ? code : errc::drive_failed, attempted, shards->folder()));
}

result<std::optional<kept_guest>> guest_drive::find(const shard_key& shard, const vault_id& owner) const {
  auto row = rows->get(ticket_key(shard, owner));
  if (!row)
    return fail(row.error().within("look for a ticket", shards->folder()));
  if (!*row)
    return std::nullopt;
  auto kept = read_kept(**row);
  if (!kept)
    return fail(kept.error());
  return std::move(*kept);
}

result<std::optional<std::pair<deletion, clock::wall_time>>> guest_drive::find_deletion(const vault_id& owner, const pack_id& pack) const {
  auto row = rows->get(deletion_key(owner, pack));
  if (!row)
    return fail(row.error().within("look for a deletion", shards->folder()));
  if (!*row)
    return std::nullopt;
  auto read = read_remembered(**row);
  if (!read)
    return fail(read.error());
  return std::move(*read);
}

result<bool> guest_drive::has_tickets(const shard_key& shard) const {
  auto prefix = shard_prefix(shard);
  bool found = false;
  auto scanned = rows->scan(prefix, prefix_end(prefix), [&](std::string_view, std::string_view) {
    found = true;
    return false;
  });
  if (!scanned)
    return fail(scanned.error());
  return found;
}

result<std::vector<ticket>> guest_drive::siblings(const vault_id& owner, const pack_id& pack) const {
  std::vector<ticket> found;
  auto prefix = siblings_prefix(owner, pack);
  auto scanned = rows->scan(prefix, prefix_end(prefix), [&](std::string_view, std::string_view value) {
    // One that can not be read is told anew.
    if (auto read = read_ticket(as_view(value)))
      found.push_back(std::move(*read));
    return true;
  });
  if (!scanned)
    return fail(scanned.error().within("look for tickets of other nodes", shards->folder()));
  return found;
}

result<void> guest_drive::drop_shard(const shard_key& shard) const {
  auto needed = has_tickets(shard);
  if (!needed)
    return fail(needed.error());
  return *needed ? result<void>{} : shards->remove(std::span{&shard, 1});
}

result<std::unique_ptr<lasting_store>> open_rows(const environment& env, const shard_store& shards) {
  constexpr auto attempted = "open tickets";
  ordered_store_options options;
  options.folder = join_path(shards.folder(), "tickets");
  options.create_if_missing = false;
  options.or_read_only = true;
  auto corrupt = [&] {
    return fail(errc::store_corrupt, attempted, shards.folder());
  };
  auto first = shards.list(std::nullopt, 1);
  if (!first)
    return fail(first.error());
  auto opened = lasting_store::open(env.stores, options);
  if (!opened && opened.error().code() == errc::not_found) {
    // Without tickets everything would look like a leftover.
    if (!first->empty())
      return corrupt();
    options.create_if_missing = true;
    opened = lasting_store::open(env.stores, options);
  }
  if (!opened)
    return fail(opened.error().within(attempted, shards.folder()));
  auto meta = (*opened)->get(meta_key);
  if (!meta)
    return fail(meta.error().within(attempted, shards.folder()));
  if (*meta ? (*meta)->size() != sizeof(uint16_t) : !first->empty())
    return corrupt();
  if (*meta && load_le<uint16_t>(as_view(**meta)) != rows_version)
    return fail(errc::format_newer, attempted, shards.folder());
  return opened;
}

} // namespace datamesh::network
