#include "storage/drive_marker.hpp"

#include <fmt/core.h>

#include <charconv>

namespace datamesh::storage {

namespace {

constexpr std::string_view first_words = "datamesh drive ";
constexpr uint64_t marker_size_max = 4096;
constexpr std::string_view replacement_suffix = ".new";

/// Cuts *word* off the front of *text*.
bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word))
    return false;
  text.remove_prefix(word.size());
  return true;
}

} // namespace

std::string marker_path(const std::string& folder) {
  return join_path(folder, "datamesh-drive");
}

std::string lock_path(const std::string& folder) {
  return join_path(folder, "datamesh-drive.lock");
}

std::string failed_path(const std::string& folder) {
  return join_path(folder, "datamesh-drive.failed");
}

std::string index_path(const std::string& folder) {
  return join_path(folder, "index");
}

std::string shards_path(const std::string& folder) {
  return join_path(folder, "shards");
}

std::string shard_folder(const std::string& folder, unsigned first) {
  return join_path(shards_path(folder), fmt::format("{:02x}", first));
}

std::string shard_path(const std::string& folder, const shard_key& key) {
  auto first = std::to_integer<unsigned>(key.pack.view().front());
  return join_path(shard_folder(folder, first), fmt::format("{}.{}", key.pack.hex(), key.index));
}

std::string replacement_path(const std::string& folder, const shard_key& key) {
  return shard_path(folder, key).append(replacement_suffix);
}

std::optional<shard_name> parse_shard_name(std::string_view name) {
  shard_name result;
  if (name.ends_with(replacement_suffix)) {
    result.replacement = true;
    name.remove_suffix(replacement_suffix.size());
  }
  auto dot = name.find('.');
  if (dot == std::string_view::npos)
    return std::nullopt;
  auto pack = pack_id::parse(name.substr(0, dot));
  unsigned index = 0;
  auto digits = name.substr(dot + 1);
  auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (!pack || error != std::errc{} || rest != digits.data() + digits.size() || index >= shard_count_max)
    return std::nullopt;
  result.key = {*pack, static_cast<uint8_t>(index)};
  // Only the one spelling that `shard_path` gives is a name of ours.
  if (fmt::format("{}.{}", pack->hex(), index) != name)
    return std::nullopt;
  return result;
}

result<drive_id> read_marker(file_system& files, const std::string& folder) {
  constexpr auto attempt = "read drive marker";
  auto content = read_whole(files, marker_path(folder), marker_size_max);
  if (!content) {
    auto code = content.error().code();
    if (code == errc::not_found || code == errc::not_a_folder)
      code = files.status(folder) ? errc::drive_alien : errc::drive_missing;
    else if (code == errc::capacity_exceeded || code == errc::is_a_folder)
      code = errc::drive_alien;
    return fail(content.error().as(code, attempt, folder));
  }
  auto text = as_text(*content);
  auto alien = [&] {
    return fail(errc::drive_alien, attempt, marker_path(folder));
  };
  if (!take(text, first_words))
    return alien();
  unsigned version = 0;
  auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  // A number too large for us is a later version as well.
  if (error == std::errc::result_out_of_range || (error == std::errc{} && version > drive_format_version))
    return fail(errc::format_newer, attempt, marker_path(folder));
  if (error != std::errc{} || version != drive_format_version)
    return alien();
  text.remove_prefix(static_cast<size_t>(rest - text.data()));
  if (!take(text, "\nid ") || text.size() != 2 * drive_id::size + 1 || text.back() != '\n')
    return alien();
  auto id = drive_id::parse(text.substr(0, 2 * drive_id::size));
  if (!id || id->is_zero())
    return alien();
  return *id;
}

result<void> write_marker(file_system& files, const std::string& folder, const drive_id& id) {
  auto text = fmt::format("{}{}\nid {}\n", first_words, drive_format_version, id.hex());
  return write_whole(files, marker_path(folder), as_view(text), 0644);
}

} // namespace datamesh::storage
