// The C layer over the facade. Every entry ends in `guarded`, which turns what is
// thrown, such as the end of memory, into a code.
#include "datamesh/datamesh.h"
#include "datamesh/node.hpp"
#include "datamesh/version.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

struct datamesh_node {
  std::unique_ptr<datamesh::node> inner;
};

struct datamesh_vault {
  datamesh::vault inner;
};

struct datamesh_error {
  int code;
  std::string message;
};

struct datamesh_cancel {
  datamesh::cancel_token inner;
};

namespace {

using datamesh::errc;
using datamesh::error;
using datamesh::fail;
using datamesh::result;

int refuse(const error& reason, datamesh_error** why) {
  auto code = static_cast<int>(reason.code());
  if (why != nullptr)
    *why = new datamesh_error{code, reason.message()};
  return code;
}

/// Runs *body*, which answers a `result<void>`. No exception leaves it.
template <class Body>
int guarded(datamesh_error** why, Body&& body) noexcept {
  try {
    auto outcome = body();
    return outcome ? 0 : refuse(outcome.error(), why);
  } catch (const std::bad_alloc&) {
    if (why != nullptr)
      *why = nullptr;
    return static_cast<int>(errc::capacity_exceeded);
  } catch (...) {
    if (why != nullptr)
      *why = nullptr;
    return static_cast<int>(errc::internal);
  }
}

/// The caller's struct, as far as he knows of it, over one of our size.
template <class T>
T known_part(const T* theirs) {
  T ours{};
  if (theirs != nullptr)
    std::memcpy(&ours, theirs, std::min(theirs->struct_size, sizeof(T)));
  return ours;
}

template <class T>
void give(T ours, T* theirs) {
  if (theirs == nullptr)
    return;
  auto size = theirs->struct_size;
  ours.struct_size = size;
  std::memcpy(theirs, &ours, std::min(size, sizeof(T)));
}

/// For `datamesh_free`.
char* copy_of(const std::string& text) {
  auto* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr)
    throw std::bad_alloc{};
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

result<std::string> text_of(const char* text, const char* what) {
  if (text == nullptr)
    return fail(errc::invalid_argument, what);
  return std::string{text};
}

datamesh::job_options steering(const datamesh_job_options& job) {
  datamesh::job_options options;
  if (job.cancel != nullptr)
    options.cancel = job.cancel->inner;
  if (job.timeout_ms > 0)
    options.timeout = std::chrono::milliseconds{job.timeout_ms};
  options.job = job.job;
  return options;
}

void tell_failures(const datamesh_job_options& job, const std::vector<datamesh::item_failure>& failures) {
  if (job.on_failure == nullptr)
    return;
  for (const auto& failure : failures)
    job.on_failure(job.context, failure.path.c_str(), static_cast<int>(failure.reason.code()), failure.reason.message().c_str());
}

result<datamesh::if_exists> conflict_of(datamesh_if_exists conflict) {
  switch (conflict) {
  case DATAMESH_VERSION:
    return datamesh::if_exists::version;
  case DATAMESH_FAIL:
    return datamesh::if_exists::fail;
  case DATAMESH_RENAME:
    return datamesh::if_exists::rename;
  }
  return fail(errc::invalid_argument, "choose what happens to names that are taken");
}

template <class Summary>
void give_waits(const datamesh::transfer_waits& from, Summary& to) {
  to.elapsed_ns = from.elapsed_ns;
  to.limiting_ns = from.of(from.limiting());
  to.limiting = static_cast<uint64_t>(from.limiting());
}

void give_summary(const datamesh::put_summary& from, datamesh_put_summary* to) {
  datamesh_put_summary ours{};
  ours.files = from.files;
  ours.folders = from.folders;
  ours.symlinks = from.symlinks;
  ours.bytes = from.bytes;
  ours.bytes_known = from.bytes_known;
  ours.bytes_written = from.bytes_written;
  ours.shards_short = from.shards_short;
  ours.failure_count = from.failure_count;
  give_waits(from.waits, ours);
  give(ours, to);
}

void give_summary(const datamesh::get_summary& from, datamesh_get_summary* to) {
  datamesh_get_summary ours{};
  ours.files = from.files;
  ours.folders = from.folders;
  ours.symlinks = from.symlinks;
  ours.bytes = from.bytes;
  ours.bytes_resumed = from.bytes_resumed;
  ours.shards_bad = from.shards_bad;
  ours.failure_count = from.failure_count;
  give_waits(from.waits, ours);
  give(ours, to);
}

/// Answers a finished put or get: its failures, then its figures.
template <class Summary, class Target>
result<void> conclude(const result<Summary>& outcome, const datamesh_job_options& job, Target* summary) {
  if (!outcome)
    return fail(outcome.error());
  tell_failures(job, outcome->failures);
  give_summary(*outcome, summary);
  return {};
}

/// A cancelled call may leave its reader or writer behind on a thread of the node:
/// `close` waits for the callback that runs, and lets no other begin.
class callback_gate {
public:
  template <class Call>
  auto pass(Call&& call) -> decltype(call()) {
    std::lock_guard guard{mutex_};
    if (closed_)
      return fail(errc::cancelled, "call the program back");
    return call();
  }
  void close() {
    std::lock_guard guard{mutex_};
    closed_ = true;
  }

private:
  std::mutex mutex_;
  bool closed_ = false;
};

class calling_source : public datamesh::source {
public:
  calling_source(datamesh_read call, void* context) : call_(call), context_(context) {}
  result<size_t> read(datamesh::byte_span out) override {
    return gate.pass([&]() -> result<size_t> {
      auto count = call_(context_, out.data(), out.size());
      if (count < 0 || static_cast<uint64_t>(count) > out.size())
        return fail(count < 0 ? errc::io_failed : errc::invalid_argument, "read from the program");
      return static_cast<size_t>(count);
    });
  }
  callback_gate gate;

private:
  datamesh_read call_;
  void* context_;
};

class calling_sink : public datamesh::sink {
public:
  calling_sink(datamesh_write call, void* context) : call_(call), context_(context) {}
  result<void> write(datamesh::byte_view data) override {
    return gate.pass([&]() -> result<void> {
      if (!data.empty() && call_(context_, data.data(), data.size()) != 0)
        return fail(errc::io_failed, "write to the program");
      return {};
    });
  }
  callback_gate gate;

private:
  datamesh_write call_;
  void* context_;
};

datamesh::node_options options_of(std::string home, const datamesh_node_options& theirs) {
  datamesh::node_options options;
  options.home = std::move(home);
  if (theirs.memory_bytes > 0)
    options.memory_bytes = theirs.memory_bytes;
  options.codec_threads = theirs.codec_threads;
  if (theirs.compression_level != 0)
    options.compression_level = std::max(theirs.compression_level, 0);
  if (theirs.on_event == nullptr)
    return options;
  options.on_event = [call = theirs.on_event, context = theirs.context](const datamesh::event& what) {
    datamesh_event shown{};
    shown.struct_size = sizeof(shown);
    shown.kind = static_cast<int>(what.kind);
    shown.severity = static_cast<int>(what.level);
    shown.sequence = what.sequence;
    shown.wall_ns = what.wall_ns;
    shown.job = what.job;
    shown.subject = what.subject.c_str();
    shown.detail = what.detail.c_str();
    shown.code = what.code ? static_cast<int>(*what.code) : 0;
    shown.items_done = what.items_done;
    shown.items_total = what.items_total;
    shown.bytes_done = what.bytes_done;
    shown.bytes_total = what.bytes_total;
    call(context, &shown);
  };
  return options;
}

int begin_node(const char* home, const datamesh_node_options* options, datamesh_node** node, datamesh_error** why, bool create) {
  return guarded(why, [&]() -> result<void> {
    auto folder = text_of(home, "open the node");
    if (!folder || node == nullptr)
      return fail(errc::invalid_argument, "open the node");
    auto ours = options_of(std::move(*folder), known_part(options));
    auto opened = create ? datamesh::node::create(std::move(ours)) : datamesh::node::open(std::move(ours));
    if (!opened)
      return fail(opened.error());
    *node = new datamesh_node{std::move(*opened)};
    return {};
  });
}

/// A call that takes one name and answers nothing but success.
template <class Handle, class Call>
int with_name(Handle* handle, const char* name, const char* what, datamesh_error** why, Call&& call) {
  return guarded(why, [&]() -> result<void> {
    auto text = text_of(name, what);
    if (handle == nullptr || !text)
      return fail(errc::invalid_argument, what);
    auto outcome = call(*text);
    if (!outcome)
      return fail(outcome.error());
    return {};
  });
}

int show(const datamesh::entry& from, datamesh_visit_entry visit, void* context) {
  datamesh_entry shown{};
  shown.struct_size = sizeof(shown);
  shown.path = from.path.c_str();
  shown.name = from.name.c_str();
  shown.kind = static_cast<int>(from.kind);
  shown.mode = from.mode;
  shown.size = from.size;
  shown.modified_ns = from.modified_ns;
  shown.symlink_target = from.symlink_target.c_str();
  shown.version_count = from.version_count;
  return visit(context, &shown);
}

const datamesh::error_facts* facts_of_number(int code) {
  for (const auto& facts : datamesh::all_error_facts())
    if (static_cast<int>(facts.code) == code)
      return &facts;
  return nullptr;
}

const char* word_of(datamesh::status_report::answer overall) {
  using answer = datamesh::status_report::answer;
  switch (overall) {
  case answer::safe:
    return "safe";
  case answer::degraded:
    return "degraded";
  case answer::lost:
    return "lost";
  case answer::unknown:
    return "unknown";
  }
  return "unknown";
}

} // namespace

const char* datamesh_version(void) {
  return datamesh::version();
}

// -- errors ----------------------------------------------------------------------------

int datamesh_error_code(const datamesh_error* reason) {
  return reason == nullptr ? 0 : reason->code;
}

const char* datamesh_error_message(const datamesh_error* reason) {
  return reason == nullptr ? "" : reason->message.c_str();
}

void datamesh_error_free(datamesh_error* reason) {
  delete reason;
}

// The table's texts are literals, which end in a zero.

const char* datamesh_code_name(int code) {
  const auto* facts = facts_of_number(code);
  return facts == nullptr ? "" : facts->name.data();
}

const char* datamesh_code_title(int code) {
  const auto* facts = facts_of_number(code);
  return facts == nullptr ? "" : facts->title.data();
}

const char* datamesh_code_suggestion(int code) {
  const auto* facts = facts_of_number(code);
  return facts == nullptr ? "" : facts->suggestion.data();
}

void datamesh_free(char* text) {
  std::free(text);
}

// -- how a call is steered --------------------------------------------------------------------

datamesh_cancel* datamesh_cancel_new(void) {
  try {
    return new datamesh_cancel;
  } catch (...) {
    return nullptr;
  }
}

void datamesh_cancel_now(datamesh_cancel* cancel) {
  if (cancel != nullptr)
    cancel->inner.cancel();
}

void datamesh_cancel_free(datamesh_cancel* cancel) {
  delete cancel;
}

// -- node -----------------------------------------------------------------------------------------

int datamesh_node_create(const char* home, const datamesh_node_options* options, datamesh_node** node, datamesh_error** why) {
  return begin_node(home, options, node, why, true);
}

int datamesh_node_open(const char* home, const datamesh_node_options* options, datamesh_node** node, datamesh_error** why) {
  return begin_node(home, options, node, why, false);
}

void datamesh_node_close(datamesh_node* node) {
  delete node;
}

int datamesh_drive_add(datamesh_node* node, const char* folder, datamesh_error** why) {
  return with_name(node, folder, "add a drive", why, [&](const std::string& at) { return node->inner->add_drive(at); });
}

int datamesh_drive_adopt(datamesh_node* node, const char* folder, datamesh_error** why) {
  return with_name(node, folder, "adopt a drive", why, [&](const std::string& at) { return node->inner->adopt_drive(at); });
}

int datamesh_drive_drain(datamesh_node* node, const char* drive, datamesh_error** why) {
  return with_name(node, drive, "drain a drive", why, [&](const std::string& which) { return node->inner->drain_drive(which); });
}

int datamesh_drive_remove(datamesh_node* node, const char* drive, int force, datamesh_error** why) {
  return with_name(node, drive, "remove a drive", why,
                   [&](const std::string& which) { return node->inner->remove_drive(which, force != 0); });
}

int datamesh_drive_list(const datamesh_node* node, int (*visit)(void*, const datamesh_drive*), void* context, datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    if (node == nullptr || visit == nullptr)
      return fail(errc::invalid_argument, "list drives");
    for (const auto& drive : node->inner->drives()) {
      auto id = drive.id.hex();
      datamesh_drive shown{sizeof(shown), id.c_str(),        drive.folder.c_str(), drive.state.c_str(),
                           drive.shards,  drive.shard_bytes, drive.disk_total,     drive.disk_free};
      if (visit(context, &shown) != 0)
        break;
    }
    return {};
  });
}

// -- vaults ------------------------------------------------------------------------------------------

int datamesh_vault_create(datamesh_node* node, const char* name, const char* password, int trust_this_device, char** phrase,
                          datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    auto text = text_of(name, "create a vault");
    if (node == nullptr || !text)
      return fail(errc::invalid_argument, "create a vault");
    datamesh::new_vault what;
    what.name = std::move(*text);
    if (password != nullptr)
      what.password = datamesh::credential::password(password);
    what.trust_this_device = trust_this_device != 0;
    auto created = node->inner->create_vault(what);
    if (!created)
      return fail(created.error());
    if (phrase != nullptr)
      *phrase = copy_of(created->recovery_phrase);
    return {};
  });
}

int datamesh_vault_open(datamesh_node* node, const char* name, datamesh_credential kind, const char* secret, datamesh_vault** vault,
                        datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    auto text = text_of(name, "open a vault");
    if (node == nullptr || vault == nullptr || !text || (secret == nullptr && kind != DATAMESH_THIS_DEVICE))
      return fail(errc::invalid_argument, "open a vault");
    auto open = [&](const datamesh::credential& with) -> result<void> {
      auto opened = node->inner->open_vault(*text, with);
      if (!opened)
        return fail(opened.error());
      *vault = new datamesh_vault{std::move(*opened)};
      return {};
    };
    switch (kind) {
    case DATAMESH_PASSWORD:
      return open(datamesh::credential::password(secret));
    case DATAMESH_RECOVERY_PHRASE:
      return open(datamesh::credential::recovery_phrase(secret));
    case DATAMESH_THIS_DEVICE:
      return open(datamesh::credential::this_device());
    }
    return fail(errc::invalid_argument, "open a vault", *text);
  });
}

void datamesh_vault_close(datamesh_vault* vault) {
  delete vault;
}

// -- data -----------------------------------------------------------------------------------------------

int datamesh_put(datamesh_vault* vault, const char* source_path, const char* target_path, datamesh_if_exists conflict,
                 const datamesh_job_options* job, datamesh_put_summary* summary, datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    auto how = conflict_of(conflict);
    if (vault == nullptr || source_path == nullptr || target_path == nullptr || !how)
      return fail(errc::invalid_argument, "store a path");
    auto steer = known_part(job);
    datamesh::put_request what;
    what.sources.push_back({source_path, target_path});
    what.conflict = *how;
    return conclude(vault->inner.put(what, steering(steer)), steer, summary);
  });
}

int datamesh_put_stream(datamesh_vault* vault, datamesh_read read, void* context, const char* target_path, datamesh_if_exists conflict,
                        const datamesh_job_options* job, datamesh_put_summary* summary, datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    auto how = conflict_of(conflict);
    if (vault == nullptr || read == nullptr || target_path == nullptr || !how)
      return fail(errc::invalid_argument, "store a stream");
    auto steer = known_part(job);
    datamesh::put_stream_request what;
    auto from = std::make_shared<calling_source>(read, context);
    what.from = from;
    what.target_path = target_path;
    what.conflict = *how;
    auto outcome = vault->inner.put(what, steering(steer));
    from->gate.close();
    return conclude(outcome, steer, summary);
  });
}

int datamesh_get(datamesh_vault* vault, const char* path, const char* target_folder, const char* target_name, int overwrite,
                 const datamesh_job_options* job, datamesh_get_summary* summary, datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    if (vault == nullptr || path == nullptr || target_folder == nullptr)
      return fail(errc::invalid_argument, "get");
    auto steer = known_part(job);
    datamesh::get_request what;
    what.paths.emplace_back(path);
    what.target_folder = target_folder;
    what.target_name = target_name == nullptr ? "" : target_name;
    what.overwrite = overwrite != 0;
    return conclude(vault->inner.get(what, steering(steer)), steer, summary);
  });
}

int datamesh_get_stream(datamesh_vault* vault, const char* path, uint64_t first, uint64_t length, datamesh_write write, void* context,
                        const datamesh_job_options* job, datamesh_get_summary* summary, datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    if (vault == nullptr || path == nullptr || write == nullptr)
      return fail(errc::invalid_argument, "read");
    auto steer = known_part(job);
    datamesh::byte_range range{first, {}};
    if (length != UINT64_MAX)
      range.length = length;
    auto to = std::make_shared<calling_sink>(write, context);
    auto outcome = vault->inner.get(path, to, range, {}, steering(steer));
    to->gate.close();
    return conclude(outcome, steer, summary);
  });
}

// -- names -------------------------------------------------------------------------------------------------

int datamesh_list(const datamesh_vault* vault, const char* path, int recursive, datamesh_visit_entry visit, void* context,
                  datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    if (vault == nullptr || path == nullptr || visit == nullptr)
      return fail(errc::invalid_argument, "list");
    datamesh::list_request what;
    what.path = path;
    what.recursive = recursive != 0;
    do {
      auto page = vault->inner.list(what);
      if (!page)
        return fail(page.error());
      for (const auto& row : page->entries)
        if (show(row, visit, context) != 0)
          return {};
      what.cursor = std::move(page->next_cursor);
    } while (!what.cursor.empty());
    return {};
  });
}

int datamesh_info(const datamesh_vault* vault, const char* path, datamesh_visit_entry visit, void* context, datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    if (vault == nullptr || path == nullptr || visit == nullptr)
      return fail(errc::invalid_argument, "look at a path");
    auto row = vault->inner.info(path);
    if (!row)
      return fail(row.error());
    (void) show(*row, visit, context);
    return {};
  });
}

int datamesh_make_folder(datamesh_vault* vault, const char* path, datamesh_error** why) {
  return with_name(vault, path, "make a folder", why, [&](const std::string& at) { return vault->inner.make_folder(at); });
}

int datamesh_remove(datamesh_vault* vault, const char* path, int recursive, datamesh_error** why) {
  return with_name(vault, path, "remove", why, [&](const std::string& at) { return vault->inner.remove(at, recursive != 0); });
}

int datamesh_move(datamesh_vault* vault, const char* from, const char* to, datamesh_if_exists conflict, datamesh_error** why) {
  return with_name(vault, from, "move", why, [&](const std::string& at) -> result<datamesh::change_result> {
    auto how = conflict_of(conflict);
    if (to == nullptr || !how)
      return fail(errc::invalid_argument, "move", at);
    return vault->inner.move(at, to, *how);
  });
}

int datamesh_flush(datamesh_vault* vault, datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    if (vault == nullptr)
      return fail(errc::invalid_argument, "flush");
    return vault->inner.flush();
  });
}

// -- care ----------------------------------------------------------------------------------------------------

int datamesh_status(const datamesh_vault* vault, char** answer, char** sentence, char** policy, datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    if (vault == nullptr)
      return fail(errc::invalid_argument, "ask for the status");
    auto report = vault->inner.status();
    if (!report)
      return fail(report.error());
    struct freeing {
      void operator()(char* text) const {
        std::free(text);
      }
    };
    using text = std::unique_ptr<char, freeing>;
    // All are made before the first is given away.
    text word{copy_of(word_of(report->overall))};
    text said{copy_of(report->sentence)};
    text how{copy_of(report->policy)};
    if (answer != nullptr)
      *answer = word.release();
    if (sentence != nullptr)
      *sentence = said.release();
    if (policy != nullptr)
      *policy = how.release();
    return {};
  });
}

int datamesh_verify(datamesh_vault* vault, int deep, int repair, const datamesh_job_options* job, datamesh_verify_summary* summary,
                    datamesh_error** why) {
  return guarded(why, [&]() -> result<void> {
    if (vault == nullptr)
      return fail(errc::invalid_argument, "verify");
    auto steer = known_part(job);
    datamesh::verify_request what;
    what.deep = deep != 0;
    what.repair = repair != 0;
    auto found = vault->inner.verify(what, steering(steer));
    if (!found)
      return fail(found.error());
    std::vector<datamesh::item_failure> lost;
    for (size_t i = 0; i < std::min<size_t>(found->files_lost.size(), 1000); ++i)
      lost.push_back({found->files_lost[i], error{errc::damaged, "verify", found->files_lost[i]}});
    tell_failures(steer, lost);
    datamesh_verify_summary ours{};
    ours.packs = found->packs;
    ours.shards = found->shards;
    ours.bytes = found->bytes;
    ours.shards_missing = found->shards_missing;
    ours.shards_damaged = found->shards_damaged;
    ours.shards_repaired = found->shards_repaired;
    ours.shards_unplaced = found->shards_unplaced;
    ours.packs_lost = found->packs_lost;
    ours.files_lost = found->files_lost.size();
    give(ours, summary);
    return {};
  });
}
