#include "node/home.hpp"

#include "base/little_endian.hpp"
#include "crypto/hash.hpp"
#include "crypto/identity.hpp"
#include "network/rate_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace datamesh {

namespace {

constexpr std::string_view drives_heading = "datamesh node 1\n";
constexpr uint64_t small_file_max = 4 << 20;
/// There while a vault is being removed.
constexpr auto removal_mark = "removal";
/// Before the number of a list of what a vault has on the drives.
const std::string removal_prefix = "shards.";

/// A folder's name on one line: '%' and line breaks are escaped.
std::string escape(const std::string& path) {
  std::string text;
  for (char c : path)
    if (c == '%' || c == '\n' || c == '\r')
      text += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    else
      text += c;
  return text;
}

std::optional<std::string> unescape(std::string_view text) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      path += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size() || std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr != text.data() + i + 3)
      return std::nullopt;
    path += static_cast<char>(value);
    i += 2;
  }
  return path;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    auto end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return lines;
}

/// The file `hosting`, whole.
std::string_view hosting_line(hosting how) {
  switch (how) {
  case hosting::paused:
    return "paused\n";
  case hosting::draining:
    return "draining\n";
  default:
    return "open\n";
  }
}

} // namespace

// Without the lock another process may have written meanwhile.
result<void> node_home::check_writable(const std::string& path) const {
  if (read_only_)
    return fail(errc::read_only, "write in the home, which was read-only when it was opened", path);
  return {};
}

result<void> node_home::write(const std::string& path, byte_view content, uint32_t mode) const {
  if (auto writable = check_writable(path); !writable)
    return writable;
  return write_whole(*env_.files, path, content, mode);
}

std::string node_home::drives_file() const {
  return join_path(folder_, "drives");
}

bool node_home::exists() const {
  return env_.files->status(drives_file()).has_value();
}

result<void> node_home::create() {
  if (exists())
    return fail(errc::vault_exists, "make a node", folder_);
  if (auto made = make_folders(*env_.files, join_path(folder_, "vaults")); !made)
    return made;
  return set_drives({});
}

result<std::unique_ptr<file_lock>> node_home::lock() {
  if (!exists())
    return fail(errc::no_vault, "open the node", folder_);
  auto held = env_.files->lock(join_path(folder_, "lock"));
  read_only_ = !held && held.error().code() == errc::read_only;
  if (read_only_)
    return nullptr;
  if (!held)
    return fail(held.error().within("open the node", folder_));
  return held;
}

namespace {

/// Stands in a line of its own behind a drive that was another node's.
constexpr std::string_view taken_keyword = "taken ";

std::optional<uint64_t> read_term(std::string_view text) {
  uint64_t term = 0;
  auto [rest, wrong] = std::from_chars(text.data(), text.data() + text.size(), term);
  return wrong == std::errc{} && rest == text.data() + text.size() && term > 0 ? std::optional{term} : std::nullopt;
}

} // namespace

result<std::vector<known_drive>> node_home::drives() const {
  auto text = read_whole(*env_.files, drives_file(), small_file_max);
  if (!text)
    return fail(text.error());
  auto lines = lines_of(as_text(*text));
  if (lines.empty() || std::string{lines[0]} + "\n" != drives_heading)
    return fail(lines.empty() || !lines[0].starts_with("datamesh node ") ? errc::format_alien : errc::format_newer,
                "read the list of drives", drives_file());
  if (as_text(*text).back() != '\n')
    return fail(errc::format_damaged, "read the list of drives", drives_file());
  std::vector<known_drive> drives;
  for (size_t i = 1; i < lines.size(); ++i) {
    constexpr std::string_view keyword = "drive ";
    auto line = lines[i];
    if (line.starts_with(taken_keyword)) {
      auto term = drives.empty() ? std::nullopt : read_term(line.substr(taken_keyword.size()));
      if (!term)
        return fail(errc::format_damaged, "read the list of drives", drives_file());
      drives.back().term = *term;
      continue;
    }
    auto id = line.starts_with(keyword) ? drive_id::parse(line.substr(keyword.size(), 2 * drive_id::size)) : std::nullopt;
    auto folder = id && line.size() > keyword.size() + 2 * drive_id::size + 1
                      ? unescape(line.substr(keyword.size() + 2 * drive_id::size + 1))
                      : std::nullopt;
    if (!folder)
      return fail(errc::format_damaged, "read the list of drives", drives_file());
    drives.push_back({*id, *folder, 0});
  }
  return drives;
}

result<void> node_home::set_drives(const std::vector<known_drive>& drives) {
  std::string text{drives_heading};
  for (const auto& drive : drives) {
    text += fmt::format("drive {} {}\n", drive.id.hex(), escape(drive.folder));
    if (drive.term > 0)
      text += fmt::format("{}{}\n", taken_keyword, drive.term);
  }
  return write(drives_file(), as_view(text));
}

std::string node_home::labels_file() const {
  return join_path(folder_, "labels");
}

result<storage::label_table> node_home::labels() const {
  return storage::read_labels(*env_.files, labels_file());
}

result<void> node_home::set_labels(const storage::label_table& labels) {
  auto there = this->labels();
  if (!there)
    return fail(there.error());
  auto text = storage::encode_labels(labels);
  return storage::encode_labels(*there) == text ? result<void>{} : write(labels_file(), as_view(text));
}

std::string node_home::rule_file() const {
  return join_path(folder_, "rule");
}

result<placement_rule> node_home::rule() const {
  return storage::read_rule(*env_.files, rule_file());
}

result<void> node_home::set_rule(const placement_rule& rule) {
  return write(rule_file(), as_view(storage::encode_rule(rule)));
}

result<crypto::key256> node_home::device_secret() {
  auto path = join_path(folder_, "device.key");
  auto raw = read_whole(*env_.files, path, small_file_max);
  if (raw && raw->size() == crypto::key256::size)
    return crypto::key256::from(*raw);
  if (raw)
    return fail(errc::key_file_damaged, "read the device key", path);
  if (raw.error().code() != errc::not_found)
    return fail(raw.error());
  auto fresh = crypto::key256::random(*env_.random);
  if (!fresh)
    return fresh;
  if (auto written = write(path, fresh->view(), 0600); !written)
    return fail(written.error());
  return fresh;
}

result<device_id> node_home::device() {
  auto secret = device_secret();
  if (!secret)
    return fail(secret.error());
  auto key = crypto::x25519_public(*secret);
  if (!key)
    return fail(key.error());
  auto name = crypto::hasher{}.update(as_view("dm/device/1")).update(*key).finish();
  return device_id::from(name.view().first(device_id::size));
}

std::string node_home::place_of_catalog(const std::string& name) const {
  // The first is never written again, and no program can set when a copy came to be.
  auto key = env_.files->status(join_path(folder_, "device.key"));
  auto folder = env_.files->status(catalog_folder(name));
  return fmt::format("{} {} {}", key ? key->inode : 0, key ? key->changed_ns : 0, folder ? folder->inode : 0);
}

namespace {

// node.key: magic | u16 version | u16 0 | seed | BLAKE3 over all before.
constexpr std::string_view node_key_magic{"DMNODEK\x01", 8};
constexpr uint16_t node_key_version = 1;
constexpr size_t node_key_body = 12 + crypto::key256::size;

} // namespace

result<crypto::key256> node_home::node_seed() {
  constexpr auto attempted = "read the key of this node";
  auto path = join_path(folder_, "node.key");
  auto raw = read_whole(*env_.files, path, small_file_max);
  if (raw) {
    auto body = raw->view().first(std::min(raw->size(), node_key_body));
    auto whole = raw->size() == node_key_body + digest::size && as_text(body).starts_with(node_key_magic)
                 && crypto::blake3(body) == digest::from(raw->view().subspan(node_key_body));
    if (!whole)
      return fail(errc::key_file_damaged, attempted, path);
    if (load_le<uint16_t>(body.subspan(8)) != node_key_version)
      return fail(errc::format_newer, attempted, path);
    return crypto::key256::from(body.subspan(12));
  }
  if (raw.error().code() != errc::not_found)
    return fail(raw.error());
  auto fresh = crypto::key256::random(*env_.random);
  if (!fresh)
    return fresh;
  std::array<std::byte, node_key_body + digest::size> out{};
  std::ranges::copy(as_view(node_key_magic), out.begin());
  store_le(byte_span{out}.subspan(8), node_key_version);
  std::ranges::copy(fresh->view(), out.begin() + 12);
  std::ranges::copy(crypto::blake3(byte_view{out}.first(node_key_body)).view(), out.begin() + node_key_body);
  auto written = write(path, out, 0600);
  crypto::wipe(out);
  if (!written)
    return fail(written.error());
  return fresh;
}

std::string node_home::members_file(const network_id& mesh) const {
  return join_path(folder_, "members." + mesh.brief());
}

// Nodes of one mesh are not told of another.
std::string node_home::known_nodes_file(const network_id& mesh) const {
  return read_only_ ? std::string{} : join_path(folder_, "known-nodes." + mesh.brief());
}

std::string node_home::peer_index_folder(const peer_id& peer) const {
  return join_path(folder_, "peers/" + peer.hex());
}

result<void> node_home::check_vault_name(const std::string& name) {
  auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  if (name.empty() || name.size() > 64 || name.front() == '.' || !std::all_of(name.begin(), name.end(), good))
    return fail(errc::name_invalid, "name a vault", name);
  return {};
}

std::string node_home::grants_file() const {
  return join_path(folder_, "grants");
}

result<network::grants> node_home::grants() const {
  return network::read_grants(*env_.files, grants_file());
}

result<void> node_home::set_grants(const network::grants& what) {
  if (auto writable = check_writable(grants_file()); !writable)
    return writable;
  return network::write_grants(*env_.files, grants_file(), what);
}

std::string node_home::capacity_file() const {
  return join_path(folder_, "capacity");
}

result<uint64_t> node_home::capacity() const {
  return network::read_capacity(*env_.files, capacity_file());
}

result<void> node_home::set_capacity(uint64_t bytes) {
  return write(capacity_file(), as_view(network::encode_capacity(bytes)));
}

std::string node_home::hosting_file() const {
  return join_path(folder_, "hosting");
}

result<hosting> node_home::hosts() const {
  auto text = read_whole(*env_.files, hosting_file(), small_file_max);
  if (!text && text.error().code() == errc::not_found)
    return hosting::open;
  if (!text)
    return fail(text.error());
  for (auto how : {hosting::open, hosting::paused, hosting::draining})
    if (as_text(*text) == hosting_line(how))
      return how;
  return fail(errc::format_damaged, "read how the node serves others", hosting_file());
}

result<void> node_home::set_hosts(hosting how) {
  return write(hosting_file(), as_view(hosting_line(how)));
}

std::string node_home::rates_file() const {
  return join_path(folder_, "rates");
}

result<rate_plan> node_home::rates() const {
  auto text = read_whole(*env_.files, rates_file(), small_file_max);
  if (!text && text.error().code() == errc::not_found)
    return rate_plan{};
  auto read = text.and_then([](const bytes& raw) { return network::parse_rates(as_text(raw)); });
  if (!read)
    return fail(read.error().within("read the limits of the line", rates_file()));
  return read;
}

result<void> node_home::set_rates(const rate_plan& plan) {
  return write(rates_file(), as_view(network::encode_rates(plan)));
}

result<std::vector<std::string>> node_home::vault_names() const {
  auto entries = env_.files->list(join_path(folder_, "vaults"));
  if (!entries)
    return fail(entries.error());
  std::vector<std::string> names;
  for (const auto& entry : *entries)
    if (entry.kind == file_kind::folder && check_vault_name(entry.name))
      names.push_back(entry.name);
  return names;
}

std::string node_home::vault_folder(const std::string& name) const {
  return join_path(join_path(folder_, "vaults"), name);
}

std::string node_home::catalog_folder(const std::string& name) const {
  return join_path(vault_folder(name), "catalog");
}

result<bytes> node_home::key_file(const std::string& name) const {
  if (auto valid = check_vault_name(name); !valid)
    return fail(valid.error());
  auto encoded = read_whole(*env_.files, join_path(vault_folder(name), "key"), small_file_max);
  if (!encoded && encoded.error().code() == errc::not_found)
    return fail(errc::no_vault, "open vault", name);
  return encoded;
}

result<void> node_home::set_key_file(const std::string& name, byte_view encoded) {
  if (auto made = make_folders(*env_.files, vault_folder(name)); !made)
    return made;
  return write(join_path(vault_folder(name), "key"), encoded, 0600);
}

care_times node_home::care(const std::string& name) const {
  care_times times;
  auto text = read_whole(*env_.files, join_path(vault_folder(name), "care"), small_file_max);
  if (!text)
    return times;
  for (auto line : lines_of(as_text(*text))) {
    auto space = line.find(' ');
    int64_t value = 0;
    if (space == std::string_view::npos || std::from_chars(line.data() + space + 1, line.data() + line.size(), value).ec != std::errc{})
      continue;
    if (line.substr(0, space) == "quick-verify")
      times.quick_verify_ns = value;
    if (line.substr(0, space) == "deep-verify")
      times.deep_verify_ns = value;
    if (value <= 0)
      continue;
    if (line.substr(0, space) == "files-lost")
      times.files_lost = static_cast<uint64_t>(value);
    if (line.substr(0, space) == "packs-incomplete")
      times.packs_incomplete = static_cast<uint64_t>(value);
    if (line.substr(0, space) == "packs-unread")
      times.packs_unread = static_cast<uint64_t>(value);
    if (line.substr(0, space) == "drives-unseen")
      times.drives_unseen = static_cast<uint64_t>(value);
  }
  return times;
}

result<void> node_home::set_care(const std::string& name, const care_times& times) {
  std::string text;
  if (times.quick_verify_ns)
    text += fmt::format("quick-verify {}\n", *times.quick_verify_ns);
  if (times.deep_verify_ns)
    text += fmt::format("deep-verify {}\n", *times.deep_verify_ns);
  if (times.files_lost > 0)
    text += fmt::format("files-lost {}\n", times.files_lost);
  if (times.packs_incomplete > 0)
    text += fmt::format("packs-incomplete {}\n", times.packs_incomplete);
  if (times.packs_unread > 0)
    text += fmt::format("packs-unread {}\n", times.packs_unread);
  if (times.drives_unseen > 0)
    text += fmt::format("drives-unseen {}\n", times.drives_unseen);
  return write(join_path(vault_folder(name), "care"), as_view(text));
}

std::string node_home::rebuild_file(const std::string& name) const {
  return join_path(vault_folder(name), "rebuild");
}

result<void> node_home::begin_rebuild(const std::string& name) {
  return write(rebuild_file(name), as_view("the catalog is being made again\n"));
}

result<void> node_home::end_rebuild(const std::string& name) {
  if (auto removed = env_.files->remove(rebuild_file(name)); !removed)
    return removed;
  return env_.files->sync_folder(vault_folder(name));
}

result<bool> node_home::is_rebuilding(const std::string& name) const {
  auto there = env_.files->status(rebuild_file(name));
  if (!there && there.error().code() != errc::not_found)
    return fail(there.error());
  return there.has_value();
}

result<void> node_home::remove_vault(const std::string& name) {
  auto folder = vault_folder(name);
  if (auto marked = write(join_path(folder, removal_mark), as_view("the vault is being removed\n")); !marked)
    return marked;
  // The key goes first: from then on the vault is gone, whatever happens next. A crash
  // may have left another copy of it.
  for (const auto* key : {"key.new", "key"})
    if (auto removed = env_.files->remove(join_path(folder, key)); !removed && removed.error().code() != errc::not_found)
      return removed;
  if (auto synced = env_.files->sync_folder(folder); !synced)
    return synced;
  if (auto destroyed = env_.stores->destroy(catalog_folder(name)); !destroyed && destroyed.error().code() != errc::not_found)
    return destroyed;
  auto rest = env_.files->list(folder);
  if (!rest)
    return fail(rest.error());
  for (const auto& entry : *rest) {
    auto path = join_path(folder, entry.name);
    if (entry.kind != file_kind::regular || entry.name == removal_mark)
      continue;
    auto listed = entry.name.starts_with(removal_prefix) && !entry.name.ends_with(".new");
    if (auto gone = listed ? keep_removal_list(name, path) : env_.files->remove(path); !gone)
      return gone;
  }
  if (auto synced = env_.files->sync_folder(folder); !synced)
    return synced;
  // The mark last: a folder without it and without a key has lost its key otherwise.
  if (auto removed = env_.files->remove(join_path(folder, removal_mark)); !removed && removed.error().code() != errc::not_found)
    return removed;
  if (auto removed = env_.files->remove_folder(folder); !removed)
    return removed;
  return env_.files->sync_folder(join_path(folder_, "vaults"));
}

result<bool> node_home::is_half_removed(const std::string& name) const {
  auto entries = env_.files->list(vault_folder(name));
  if (!entries && entries.error().code() == errc::not_found)
    return false;
  if (!entries)
    return fail(entries.error());
  auto has = [&](std::string_view file) {
    return std::any_of(entries->begin(), entries->end(), [&](const auto& entry) { return entry.name == file; });
  };
  return entries->empty() || (has(removal_mark) && !has("key"));
}

std::string node_home::removed_folder() const {
  return join_path(folder_, "removed");
}

result<void> node_home::set_removal_list(const std::string& name, uint32_t number, byte_view text) {
  return write(join_path(vault_folder(name), removal_prefix + std::to_string(number)), text);
}

result<void> node_home::drop_removal_lists(const std::string& name) {
  auto entries = env_.files->list(vault_folder(name));
  if (!entries)
    return fail(entries.error());
  for (const auto& entry : *entries)
    if (entry.name.starts_with(removal_prefix))
      if (auto removed = env_.files->remove(join_path(vault_folder(name), entry.name)); !removed)
        return removed;
  return {};
}

result<void> node_home::keep_removal_list(const std::string& name, const std::string& path) {
  if (auto made = make_folders(*env_.files, removed_folder()); !made)
    return made;
  for (uint64_t number = 0;; ++number) {
    auto moved = env_.files->rename_new(path, join_path(removed_folder(), fmt::format("{}.{}", name, number)));
    if (!moved && moved.error().code() == errc::already_exists)
      continue;
    if (!moved)
      return moved;
    return env_.files->sync_folder(removed_folder());
  }
}

result<void> node_home::drop_removal_list(const std::string& path) {
  if (auto removed = env_.files->remove(path); !removed)
    return removed;
  return env_.files->sync_folder(removed_folder());
}

result<std::vector<std::string>> node_home::removal_lists(const std::optional<std::string>& name) const {
  std::vector<std::string> paths;
  auto entries = env_.files->list(removed_folder());
  if (!entries && entries.error().code() == errc::not_found)
    return paths;
  if (!entries)
    return fail(entries.error());
  for (const auto& entry : *entries) {
    auto dot = entry.name.rfind('.');
    auto number = dot == std::string::npos ? std::string{} : entry.name.substr(dot + 1);
    if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos)
      continue;
    if (!name || entry.name.substr(0, dot) == *name)
      paths.push_back(join_path(removed_folder(), entry.name));
  }
  return paths;
}

} // namespace datamesh
