// Making a drive of a folder, and telling whether one is a drive.
#include "storage/shard_store.hpp"

#include "storage/drive_marker.hpp"
#include "storage/shard_index.hpp"

namespace datamesh::storage {

namespace {

/// A folder without a marker may hold what an interrupted `format` left, but no shard.
result<void> check_blank(const environment& env, const std::string& folder) {
  constexpr auto attempt = "check for shards without a marker";
  for (unsigned number = 0; number < shard_folder_count; ++number) {
    auto entries = env.files->list(shard_folder(folder, number));
    if (!entries && entries.error().code() != errc::not_found)
      return fail(entries.error().within(attempt, folder));
    if (entries && !entries->empty())
      return fail(errc::already_exists, attempt, shard_folder(folder, number));
  }
  if (!env.files->status(index_path(folder)))
    return {};
  auto index = shard_index::open(env.stores, index_path(folder));
  if (!index && index.error().code() != errc::not_found)
    return fail(index.error().within(attempt, folder));
  if (index && (*index)->totals().shard_count != 0)
    return fail(errc::already_exists, attempt, index_path(folder));
  if (index)
    index->reset();
  return env.stores->destroy(index_path(folder));
}

} // namespace

result<void> make_shard_folders(file_system& files, const std::string& folder) {
  if (auto made = files.make_folder(shards_path(folder)); !made)
    return made;
  for (unsigned number = 0; number < shard_folder_count; ++number)
    if (auto made = files.make_folder(shard_folder(folder, number)); !made)
      return made;
  // A link into a folder counts only when the folder itself is durable.
  return files.sync_folder(shards_path(folder)).and_then([&] { return files.sync_folder(folder); });
}

result<drive_id> shard_store::format(const environment& env, const std::string& folder) {
  constexpr auto attempt = "format drive";
  auto refuse = [&](const error& cause) {
    return fail(cause.within(attempt, folder));
  };
  if (identify(*env.files, folder))
    return fail(errc::already_exists, attempt, folder);
  // A marker that we can not read is somebody's drive all the same.
  auto marker = env.files->status(marker_path(folder));
  if (marker)
    return refuse(identify(*env.files, folder).error());
  if (marker.error().code() != errc::not_found)
    return refuse(marker.error());
  if (auto made = make_folders(*env.files, folder); !made)
    return refuse(made.error());
  auto lock = env.files->lock(lock_path(folder));
  if (!lock)
    return refuse(lock.error());
  auto id = random_id<drive_id>(*env.random);
  if (!id)
    return refuse(id.error());
  auto done = check_blank(env, folder)
                  .and_then([&] { return make_shard_folders(*env.files, folder); })
                  .and_then([&] { return shard_index::create(*env.stores, index_path(folder), *id); })
                  // The marker comes last: what carries one is whole.
                  .and_then([&] { return env.files->sync_folder(folder); })
                  .and_then([&] { return write_marker(*env.files, folder, *id); });
  if (!done)
    return refuse(done.error());
  return *id;
}

result<drive_id> shard_store::identify(file_system& files, const std::string& folder) {
  return read_marker(files, folder);
}

} // namespace datamesh::storage
