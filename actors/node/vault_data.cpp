// Data in and out of a vault: put and get of the facade.
#include "node/vault_impl.hpp"
#include "storage/get_actor.hpp"
#include "storage/outside_files.hpp"
#include "storage/put_actor.hpp"
#include "storage/range_reader.hpp"

namespace datamesh {

using storage::job;

namespace {

using job_ptr = std::shared_ptr<job>;
using side = storage::outside_watch::side;

void begin_put(const std::shared_ptr<vault_runtime>& runtime, const put_request& what, job_ptr running, completion<put_summary> done) {
  auto how = storage::choose_policy(*runtime->core->drives, what.policy);
  if (!how)
    return done(fail(how.error()));
  storage::put_task task;
  for (const auto& item : what.sources)
    task.roots.push_back({item.source_path, item.target_path, nullptr, 0, 0, what.compare_contents});
  task.files = storage::watched(what.files ? what.files : runtime->core->env.files, running->outside, side::source);
  task.exclude = what.exclude;
  task.conflict = what.conflict;
  task.how = *how;
  task.dry_run = what.dry_run;
  task.job = std::move(running);
  task.done = std::move(done);
  storage::start_put(runtime->context, std::move(task));
}

void begin_put(const std::shared_ptr<vault_runtime>& runtime, const put_stream_request& what, job_ptr running,
               completion<put_summary> done) {
  if (!what.from)
    return done(fail(errc::invalid_argument, "store a stream", what.target_path));
  auto how = storage::choose_policy(*runtime->core->drives, what.policy);
  if (!how)
    return done(fail(how.error()));
  storage::put_task task;
  auto modified = what.modified_ns ? *what.modified_ns : runtime->core->env.clock->wall().time_since_epoch().count();
  task.roots.push_back({{}, what.target_path, storage::watched(what.from, running->outside), what.mode, modified, true});
  task.conflict = what.conflict;
  task.how = *how;
  task.job = std::move(running);
  task.done = [done = std::move(done)](result<put_summary> outcome) {
    // A stream is one item: what befell it is the answer.
    if (outcome && outcome->failure_count > 0 && outcome->files == 0)
      return done(fail(outcome->failures.front().reason));
    done(std::move(outcome));
  };
  storage::start_put(runtime->context, std::move(task));
}

result<std::vector<storage::restore_plan::root>> roots_of(const storage::catalog& names, const get_request& what) {
  std::vector<storage::restore_plan::root> roots;
  for (const auto& path : what.paths) {
    auto node = names.resolve(path);
    if (!node)
      return fail(node.error());
    auto target = what.target_name.empty() ? node->name : what.target_name;
    // The second would take the place of the first.
    auto taken = [&](const auto& root) {
      return root.target == target && (root.node.kind != storage::node_kind::folder || node->kind != storage::node_kind::folder);
    };
    if (std::ranges::any_of(roots, taken))
      return fail(errc::conflict, "get two things under one name", target);
    roots.push_back({std::move(*node), std::move(target), what.version});
  }
  if (roots.empty() || (!what.target_name.empty() && roots.size() > 1))
    return fail(errc::invalid_argument, "get");
  return roots;
}

/// A file that is named by itself must not be there yet; below folders, what is
/// equal by size and time counts as restored.
result<void> check_targets(file_system& files, const std::vector<storage::restore_plan::root>& roots, const get_request& what) {
  auto folder = files.status(what.target_folder);
  if (!folder)
    return fail(folder.error().within("get into", what.target_folder));
  if (what.overwrite)
    return {};
  for (const auto& root : roots)
    if (root.node.kind != storage::node_kind::folder && files.status(join_path(what.target_folder, root.target)))
      return fail(errc::already_exists, "get into", join_path(what.target_folder, root.target));
  return {};
}

void begin_get(const std::shared_ptr<vault_runtime>& runtime, const get_request& what, job_ptr running, completion<get_summary> done) {
  auto files = what.files ? what.files : runtime->core->env.files;
  auto roots = roots_of(*runtime->context->names, what);
  if (!roots)
    return done(fail(roots.error()));
  if (!what.target_name.empty())
    if (auto valid = storage::validate_name(what.target_name); !valid)
      return done(fail(valid.error()));
  if (auto free = check_targets(*files, *roots, what); !free)
    return done(fail(free.error()));
  storage::get_task task;
  task.roots = std::move(*roots);
  task.writer = storage::write_tree(storage::watched(files, running->outside, side::target), what.target_folder, what.overwrite,
                                    runtime->context->keys->get()->spaces.front().id_key);
  task.resumable = true;
  task.job = std::move(running);
  task.done = std::move(done);
  storage::start_get(runtime->context, std::move(task));
}

struct stream_request {
  std::string path;
  std::shared_ptr<sink> to;
  byte_range range;
  std::optional<version_id> version;
};

void begin_get(const std::shared_ptr<vault_runtime>& runtime, const stream_request& what, job_ptr running, completion<get_summary> done) {
  auto node = runtime->context->names->resolve(what.path);
  if (!node)
    return done(fail(node.error()));
  if (node->kind == storage::node_kind::folder)
    return done(fail(errc::is_a_folder, "read", what.path));
  if (node->kind == storage::node_kind::symlink && !what.version)
    return done(fail(errc::unsupported_source, "read: it is a symbolic link", what.path));
  if (!what.to)
    return done(fail(errc::invalid_argument, "read", what.path));
  if (what.range.first > node->size && !what.version)
    return done(fail(errc::range_invalid, "read", what.path));
  // What a reader of ranges writes it has copied; it holds no memory of the budget then.
  if (storage::range_reader::takes(*node, what.range)) {
    auto read = runtime->context->ranges->read(runtime->context, {*node, what.version, what.range, what.to, running});
    if (read)
      return done(std::move(*read));
  }
  storage::get_task task;
  task.roots.push_back({std::move(*node), "stream", what.version});
  task.range = what.range;
  task.writer = storage::write_stream(storage::watched(what.to, running->outside));
  task.job = std::move(running);
  task.done = [done = std::move(done)](result<get_summary> outcome) {
    if (outcome && outcome->failure_count > 0)
      return done(fail(outcome->failures.front().reason));
    done(std::move(outcome));
  };
  storage::start_get(runtime->context, std::move(task));
}

template <class Summary, class Request>
result<Summary> wait(const std::shared_ptr<vault_runtime>& runtime, const Request& what, const job_options& options,
                     void (*begin)(const std::shared_ptr<vault_runtime>&, const Request&, job_ptr, completion<Summary>)) {
  return runtime->wait_for<Summary>(options,
                                    [&](job_ptr running, completion<Summary> done) { begin(runtime, what, running, std::move(done)); });
}

template <class Summary, class Request>
void run(const std::shared_ptr<vault_runtime>& runtime, const Request& what, const job_options& options, completion<Summary> done,
         void (*begin)(const std::shared_ptr<vault_runtime>&, const Request&, job_ptr, completion<Summary>)) {
  runtime->run<Summary>(options, std::move(done),
                        [&](job_ptr running, completion<Summary> finished) { begin(runtime, what, running, std::move(finished)); });
}

} // namespace

result<put_summary> local_vault::put(const put_request& what, const job_options& job) {
  return wait<put_summary, put_request>(runtime_, what, job, begin_put);
}

void local_vault::put(put_request what, completion<put_summary> done, job_options job) {
  run<put_summary, put_request>(runtime_, what, job, std::move(done), begin_put);
}

result<put_summary> local_vault::put(const put_stream_request& what, const job_options& job) {
  return wait<put_summary, put_stream_request>(runtime_, what, job, begin_put);
}

void local_vault::put(put_stream_request what, completion<put_summary> done, job_options job) {
  run<put_summary, put_stream_request>(runtime_, what, job, std::move(done), begin_put);
}

result<get_summary> local_vault::get(const get_request& what, const job_options& job) {
  return wait<get_summary, get_request>(runtime_, what, job, begin_get);
}

void local_vault::get(get_request what, completion<get_summary> done, job_options job) {
  run<get_summary, get_request>(runtime_, what, job, std::move(done), begin_get);
}

result<get_summary> local_vault::get(const std::string& path, std::shared_ptr<sink> to, byte_range range, std::optional<version_id> version,
                                     const job_options& job) {
  return wait<get_summary, stream_request>(runtime_, {path, std::move(to), range, version}, job, begin_get);
}

void local_vault::get(std::string path, std::shared_ptr<sink> to, byte_range range, std::optional<version_id> version,
                      completion<get_summary> done, job_options job) {
  stream_request what{std::move(path), std::move(to), range, version};
  if (!range.length || *range.length > storage::cached_range_max)
    return run<get_summary, stream_request>(runtime_, what, job, std::move(done), begin_get);
  // Short ranges are read by a thread that waits.
  runtime_->run<get_summary>(job, std::move(done), [&](job_ptr running, completion<get_summary> finished) {
    // Who closes the vault awaits the job; the thread must not be the one that closes it.
    std::shared_ptr<vault_runtime> borrowed{std::shared_ptr<void>{}, runtime_.get()};
    runtime_->core->system().spawn<caf::detached>(
        [borrowed, what, running, finished](caf::blocking_actor*) { begin_get(borrowed, what, running, finished); });
  });
}

} // namespace datamesh
