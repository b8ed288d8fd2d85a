#include "node/removal.hpp"

#include "network/peer_drive.hpp"
#include "node/vault_runtime.hpp"
#include "storage/convert.hpp"
#include "storage/shard_index.hpp"

#include <fmt/format.h>

#include <charconv>

namespace datamesh {

namespace {

constexpr std::string_view kind_of_list = "datamesh removal ";
constexpr std::string_view heading = "datamesh removal 1\n";
constexpr uint64_t list_bytes_max = 4 << 20;
constexpr size_t packs_at_once = 1000;
constexpr int shards_at_once = 512;
/// Each is a request of its own there.
constexpr int shards_at_once_of_node = 64;

/// "WORD ID" or "WORD ID NUMBER".
template <class Id>
std::optional<Id> id_behind(std::string_view word, std::string_view line, std::string_view& rest) {
  if (!line.starts_with(word) || line.size() < word.size() + 2 * Id::size)
    return std::nullopt;
  rest = line.substr(word.size() + 2 * Id::size);
  return Id::parse(line.substr(word.size(), 2 * Id::size));
}

bool read_line(removal_list& list, std::string_view line) {
  std::string_view rest;
  if (auto vault = id_behind<vault_id>("vault ", line, rest)) {
    auto first = list.vault.is_zero() && list.drives.empty() && list.packs.empty();
    list.vault = *vault;
    return rest.empty() && first && !vault->is_zero();
  }
  if (auto drive = id_behind<drive_id>("drive ", line, rest)) {
    list.drives.push_back(*drive);
    return rest.empty() && list.packs.empty();
  }
  auto pack = id_behind<pack_id>("pack ", line, rest);
  unsigned shards = 0;
  if (!pack || rest.empty() || rest.front() != ' ' || list.packs.size() >= removal_packs_max)
    return false;
  auto [end, wrong] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), shards);
  if (wrong != std::errc{} || end != rest.data() + rest.size() || shards == 0 || shards > storage::shard_count_max)
    return false;
  list.packs.push_back({*pack, static_cast<uint8_t>(shards)});
  return true;
}

} // namespace

std::string encode_removal(const removal_list& list) {
  auto text = fmt::format("{}vault {}\n", heading, list.vault.hex());
  for (const auto& id : list.drives)
    text += fmt::format("drive {}\n", id.hex());
  for (const auto& pack : list.packs)
    text += fmt::format("pack {} {}\n", pack.id.hex(), pack.shards);
  return text;
}

result<removal_list> decode_removal(byte_view content, const std::string& path) {
  constexpr auto attempt = "read what a destroyed vault left";
  auto text = as_text(content);
  if (!text.starts_with(heading))
    return fail(text.starts_with(kind_of_list) ? errc::format_newer : errc::format_alien, attempt, path);
  if (text.back() != '\n')
    return fail(errc::format_damaged, attempt, path);
  text.remove_prefix(heading.size());
  removal_list list;
  while (!text.empty()) {
    auto end = text.find('\n');
    if (!read_line(list, text.substr(0, end)))
      return fail(errc::format_damaged, attempt, path);
    text.remove_prefix(end + 1);
  }
  if (list.vault.is_zero())
    return fail(errc::format_damaged, attempt, path);
  return list;
}

// -- destroying a vault ------------------------------------------------------------------

namespace {

/// Removes the shards of one list from one drive.
class shard_remover {
public:
  shard_remover(caf::actor_system& sys, const storage::drive_entry& drive, const job_options& job, destroy_summary& summary)
      : self_(sys), drive_(drive), job_(job), summary_(summary),
        at_once_(network::peer_of(drive.folder) ? shards_at_once_of_node : shards_at_once) {}

  result<void> run(const removal_list& list) {
    vault_ = list.vault;
    for (const auto& pack : list.packs) {
      if (job_.cancel.cancelled())
        return fail(errc::cancelled, "remove the shards of a destroyed vault", drive_.folder);
      for (uint8_t index = 0; index < pack.shards; ++index) {
        storage::shard_key key{pack.id, index};
        auto found = drive_.store->find(key);
        if (!found)
          return fail(found.error());
        if (!*found)
          continue;
        *request_.add_shards() = storage::to_proto(key);
        bytes_ += storage::stored_length((*found)->shape);
        if (request_.shards_size() >= at_once_)
          if (auto removed = remove(); !removed)
            return removed;
      }
    }
    return remove();
  }

private:
  result<void> remove() {
    auto count = static_cast<uint64_t>(request_.shards_size());
    if (count == 0)
      return {};
    result<void> outcome;
    request_.set_vault(storage::write_id(vault_));
    self_->request(drive_.writer, storage::step_timeout, std::exchange(request_, {}))
        .receive([](v1::Done&) {}, [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
    if (outcome) {
      summary_.shards_removed += count;
      summary_.bytes_freed += std::exchange(bytes_, 0);
    }
    return outcome;
  }

  caf::scoped_actor self_;
  const storage::drive_entry& drive_;
  const job_options& job_;
  destroy_summary& summary_;
  int at_once_;
  vault_id vault_;
  v1::RemoveShards request_;
  uint64_t bytes_ = 0;
};

} // namespace

result<std::pair<vault_id, network::word_signer>> node_core::list_shards(const std::string& name, const credential& with,
                                                                         const job_options& job) {
  auto runtime = open_vault(name, with);
  if (!runtime)
    return fail(runtime.error());
  if (auto dropped = home.drop_removal_lists(name); !dropped)
    return fail(dropped.error());
  removal_list list;
  list.vault = (*runtime)->context->id;
  auto signer = peers->signer_of(list.vault);
  if (!signer)
    return fail(signer.error());
  for (const auto& drive : *drives->all())
    list.drives.push_back(drive.id);
  uint32_t number = 0;
  std::optional<pack_id> after;
  for (;;) {
    if (job.cancel.cancelled())
      return fail(errc::cancelled, "list the shards of vault", name);
    auto page = (*runtime)->context->names->packs(after, packs_at_once);
    if (!page)
      return fail(page.error());
    for (const auto& pack : *page)
      list.packs.push_back({pack.seal.id, static_cast<uint8_t>(pack.drives.size())});
    if (!list.packs.empty() && (page->empty() || list.packs.size() + packs_at_once > removal_packs_max)) {
      if (auto saved = home.set_removal_list(name, number++, as_view(encode_removal(list))); !saved)
        return fail(saved.error());
      list.packs.clear();
    }
    if (page->empty())
      return std::pair{list.vault, std::move(*signer)};
    after = page->back().seal.id;
  }
}

result<destroy_summary> node_core::destroy_vault(const std::string& name, const credential* with, const job_options& job) {
  constexpr auto attempt = "destroy vault";
  if (auto valid = node_home::check_vault_name(name); !valid)
    return fail(valid.error());
  auto half = home.is_half_removed(name);
  if (!half)
    return fail(half.error().within(attempt, name));
  std::optional<std::pair<vault_id, network::word_signer>> signer;
  if (!*half) {
    if (auto there = home.key_file(name); !there) {
      auto left = home.removal_lists(name);
      if (with != nullptr && there.error().code() == errc::no_vault && left && !left->empty())
        return remove_leftovers(name, job);
      return fail(there.error());
    }
    if (is_open(name))
      return fail(errc::locked, "destroy a vault that is open", name);
    result<void> listed;
    if (with == nullptr)
      listed = home.drop_removal_lists(name);
    else if (auto found = list_shards(name, *with, job))
      signer = std::move(*found);
    else
      listed = fail(found.error());
    if (!listed)
      return fail(listed.error().within(attempt, name));
  }
  {
    std::lock_guard guard{mutex_};
    if (open_.count(name) > 0)
      return fail(errc::locked, "destroy a vault that is open", name);
    auto key_file = home.key_file(name);
    if (auto removed = home.remove_vault(name); !removed)
      return fail(removed.error().within(attempt, name));
    if (key_file)
      withdraw_recovery(*key_file);
  }
  if (with == nullptr)
    return destroy_summary{};
  // What lies on other nodes is deleted in its name as long as this takes.
  if (signer)
    peers->add_owner(signer->first, signer->second);
  auto removed = remove_leftovers(name, job);
  if (signer)
    peers->drop_owner(signer->first);
  return removed;
}

result<std::set<vault_id>> node_core::vaults_here() const {
  auto names = home.vault_names();
  if (!names)
    return fail(names.error());
  std::set<vault_id> ids;
  for (const auto& name : *names) {
    auto encoded = home.key_file(name);
    if (!encoded && encoded.error().code() == errc::no_vault)
      continue;
    if (!encoded)
      return fail(encoded.error());
    auto known = crypto::key_file::inspect(*encoded);
    if (!known)
      return fail(known.error().within("tell whose key file it is", name));
    ids.insert(known->vault);
  }
  return ids;
}

result<destroy_summary> node_core::remove_leftovers(const std::optional<std::string>& name, const job_options& job) {
  std::lock_guard alone{removal_mutex_};
  auto paths = home.removal_lists(name);
  if (!paths)
    return fail(paths.error());
  auto here = vaults_here();
  if (!here)
    return fail(here.error());
  destroy_summary summary;
  auto table = drives->all();
  for (const auto& path : *paths) {
    auto text = read_whole(*env.files, path, list_bytes_max);
    if (!text)
      return fail(text.error());
    auto list = decode_removal(*text, path);
    if (!list)
      return fail(list.error());
    // It was brought back from a copy of its key file.
    if (here->count(list->vault) > 0) {
      if (auto dropped = home.drop_removal_list(path); !dropped)
        return fail(dropped.error());
      continue;
    }
    summary.packs += list->packs.size();
    auto before = list->drives.size();
    for (const auto& drive : *table) {
      auto named = std::find(list->drives.begin(), list->drives.end(), drive.id);
      if (named == list->drives.end())
        continue;
      auto serves = drive.store && drive.store->state() != storage::drive_state::failed;
      result<void> done = fail(errc::drive_missing, "remove shards", drive.folder);
      if (serves)
        done = shard_remover{*system_, drive, job, summary}.run(*list);
      if (!done && done.error().code() == errc::cancelled)
        return fail(done.error());
      if (!done && std::ranges::find(summary.drives_left, drive.folder) == summary.drives_left.end())
        summary.drives_left.push_back(drive.folder);
      // Later nobody can sign for what another node still has: it goes with its tickets.
      if (done || network::peer_of(drive.folder))
        list->drives.erase(named);
    }
    // A drive that is none of this node any more takes its shards along.
    std::erase_if(list->drives, [&](const drive_id& id) {
      return std::none_of(table->begin(), table->end(), [&](const auto& drive) { return drive.id == id; });
    });
    result<void> kept;
    if (list->drives.empty())
      kept = home.drop_removal_list(path);
    else if (list->drives.size() != before)
      kept = write_whole(*env.files, path, as_view(encode_removal(*list)));
    if (!kept)
      return fail(kept.error());
  }
  return summary;
}

} // namespace datamesh
