#include "node/member_file.hpp"

#include <fmt/format.h>

namespace datamesh {

namespace {

constexpr auto attempted = "use the list of members";

void keep(const environment& env, const std::string& at, const signed_members& what, const member_teller& tell) {
  if (auto written = write_whole(*env.files, at, what.raw, 0600); !written)
    tell(severity::error, "the list of members holds, but is not kept over a restart: " + written.error().message(),
         written.error().code());
}

/// The one of the file, where it takes the place of what is kept.
signed_members newer_of(const environment& env, signed_members kept, const std::string& kept_at, const std::string& file,
                        const member_teller& tell) {
  auto raw = read_member_file(env, file);
  auto read = raw ? read_members(*raw) : fail(raw.error());
  if (read && read->list.network == kept.list.network && read->list.number < kept.list.number) {
    tell(severity::info,
         fmt::format("list of members {} holds, which is newer than number {} in {}", kept.list.number, read->list.number, file),
         std::nullopt);
    return kept;
  }
  auto judged = read ? network::judge_after(kept, std::move(*read)) : fail(read.error());
  if (!judged) {
    tell(severity::error,
         fmt::format("the file {} is not taken, and list of members {} holds: {}", file, kept.list.number, judged.error().message()),
         judged.error().code());
    return kept;
  }
  if (!*judged)
    return kept;
  keep(env, kept_at, **judged, tell);
  return std::move(**judged);
}

} // namespace

result<bytes> read_member_file(const environment& env, const std::string& path) {
  return read_whole(*env.files, path, member_list_size_max);
}

result<std::shared_ptr<network::membership>> begin_membership(const environment& env, const network_id& mesh, const std::string& kept_at,
                                                              const std::string& file, const member_teller& tell) {
  auto kept = read_member_file(env, kept_at);
  if (!kept && kept.error().code() != errc::not_found)
    return fail(kept.error().within(attempted, kept_at));
  if (!kept && file.empty())
    return nullptr;
  auto raw = kept ? std::move(kept) : read_member_file(env, file);
  auto first = raw ? network::judge_first(mesh, *raw) : fail(raw.error());
  if (!first)
    return fail(first.error().within(attempted, kept ? kept_at : file));
  if (!kept)
    keep(env, kept_at, *first, tell);
  else if (!file.empty())
    *first = newer_of(env, std::move(*first), kept_at, file, tell);
  return std::make_shared<network::membership>(env.clock, std::move(*first));
}

} // namespace datamesh
