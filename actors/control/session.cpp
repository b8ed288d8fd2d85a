#include "control/session.hpp"

#include "control/convert.hpp"

#include "datamesh/version.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace datamesh::control {

namespace {

/// Who connects has something to ask.
constexpr auto first_request_limit = std::chrono::seconds{30};
constexpr auto idle_limit = std::chrono::hours{1};
constexpr auto call_limit = std::chrono::minutes{1};
/// Progress is dropped when a client is slower than this.
constexpr size_t progress_queue_max = 64;
constexpr size_t event_queue_max = 4096;
constexpr size_t vaults_max = 16;
/// Entries of one page: with paths of 4 KiB they fit into a frame.
constexpr size_t page_max = 2000;
/// Of entries whose number has no bound.
constexpr uint64_t page_bytes = 4 << 20;
constexpr size_t calls_max = 256;

using request_case = v1::ControlRequest;

/// A reply from an outcome: *fill* writes it when there is one.
template <class Reply, class T, class Fill>
result<Reply> made(const result<T>& outcome, Fill fill) {
  if (!outcome)
    return fail(outcome.error());
  Reply reply;
  fill(reply, *outcome);
  return reply;
}

template <class Reply>
result<Reply> made(const result<void>& outcome) {
  if (!outcome)
    return fail(outcome.error());
  Reply reply;
  reply.message.mutable_done();
  return reply;
}

template <class Reply>
result<Reply> changed(const result<change_result>& outcome) {
  return made<Reply>(outcome, [](Reply& to, const change_result& from) {
    auto& change = *to.message.mutable_change();
    change.set_in_packs(from.in_packs);
    change.set_path(from.path);
  });
}

result<credential> credential_of(const v1::CredentialKind& kind, byte_view secret) {
  switch (kind.kind()) {
  case static_cast<uint32_t>(credential::kind::password):
    return credential::password(as_text(secret));
  case static_cast<uint32_t>(credential::kind::recovery_phrase):
    return credential::recovery_phrase(as_text(secret));
  case static_cast<uint32_t>(credential::kind::device):
    return credential::this_device();
  default:
    return fail(errc::format_damaged, "read a credential");
  }
}

} // namespace

session::session(node& of, const server_options& options, local_socket socket, wake_up bell, uint32_t peer, uint64_t first_job)
    : node_(of), options_(options), link_(std::move(socket), side::daemon), bell_(std::move(bell)), peer_(peer),
      owner_(options.own_uid, peer), next_job_(first_job) {}

session::~session() {
  end_job();
}

// -- frames ----------------------------------------------------------------------------

void session::run() {
  for (;;) {
    if (stopping_ && !busy_) {
      // Its reply may still be on the way.
      end_job();
      break;
    }
    auto limit = busy_ || asked_ ? std::chrono::milliseconds{idle_limit} : std::chrono::milliseconds{first_request_limit};
    auto got = link_.receive(&bell_, limit);
    if (!got || (got->why == waited::timed_out && !busy_))
      break;
    if (got->why == waited::woken)
      bell_.clear();
    if (got->what && !serve(std::move(*got->what)))
      break;
  }
  leave();
}

void session::leave() {
  link_.shut();
  {
    std::lock_guard guard{mutex_};
    gone_ = true;
    cancel_.cancel();
    for (auto& [number, waiting] : calls_)
      waiting.promise.set_value(fail(errc::unavailable, "ask a client that is gone"));
    calls_.clear();
  }
  end_job();
  vaults_.clear();
}

void session::stop(bool now) {
  stopping_ = true;
  if (now) {
    std::lock_guard guard{mutex_};
    cancel_.cancel();
  }
  bell_.ring();
}

result<void> session::serve(frame what) {
  switch (what.type) {
  case frame_type::cancel: {
    std::lock_guard guard{mutex_};
    cancel_.cancel();
    return {};
  }
  case frame_type::answer:
    return take_answer(std::move(what));
  default:
    return begin(std::move(what));
  }
}

result<void> session::take_answer(frame what) {
  answer taken;
  if (auto parsed = parse(taken.header, what.header()); !parsed)
    return parsed;
  taken.whole = std::move(what);
  std::lock_guard guard{mutex_};
  if (overtaken_.erase(taken.header.call()) > 0)
    return {};
  auto waiting = calls_.find(taken.header.call());
  // Only what was asked may be answered, and once.
  if (waiting == calls_.end())
    return fail(errc::format_damaged, "take an answer that nobody waits for");
  if (taken.header.has_failure())
    waiting->second.promise.set_value(fail(read(taken.header.failure())));
  else
    waiting->second.promise.set_value(std::move(taken));
  calls_.erase(waiting);
  return {};
}

result<caller::answer> session::call(v1::ControlCall what, byte_view body, bool patient) {
  std::future<result<answer>> future;
  uint64_t number = 0;
  {
    std::lock_guard guard{mutex_};
    if (gone_)
      return fail(errc::unavailable, "ask a client that is gone");
    if (job_ == 0)
      return fail(errc::unavailable, "ask a client whose job has ended");
    if (calls_.size() + overtaken_.size() >= calls_max)
      return fail(errc::capacity_exceeded, "ask the client more at once");
    number = next_call_++;
    future = calls_[number].promise.get_future();
  }
  what.set_call(number);
  if (auto sent = link_.send(frame_type::call, &what, body); !sent) {
    std::lock_guard guard{mutex_};
    calls_.erase(number);
    overtaken_.erase(number);
    return fail(sent.error());
  }
  if (!patient && future.wait_for(call_limit) != std::future_status::ready) {
    // A client that is so late is not waited for again.
    link_.shut();
  }
  return future.get();
}

void session::publish(const event& what) {
  std::lock_guard guard{mutex_};
  if (what.job != job_ || job_ == 0 || gone_)
    return;
  if (events_.size() >= (what.kind == event_kind::job_progress ? progress_queue_max : event_queue_max))
    return;
  events_.push_back(what);
  happened_.notify_one();
}

void session::tell_events() {
  std::unique_lock lock{mutex_};
  for (;;) {
    happened_.wait(lock, [this] { return !events_.empty() || !telling_; });
    // What is left then comes with the reply.
    if (!telling_)
      return;
    lock.unlock();
    if (!send_events())
      return link_.shut();
    lock.lock();
  }
}

result<void> session::send_events() {
  std::lock_guard in_order{sending_events_};
  for (;;) {
    std::deque<event> now;
    {
      std::lock_guard guard{mutex_};
      now.swap(events_);
    }
    if (now.empty())
      return {};
    for (const auto& one : now) {
      v1::Event row;
      write(row, one);
      if (auto sent = link_.send(frame_type::event, &row); !sent && sent.error().code() != errc::capacity_exceeded)
        return sent;
    }
  }
}

// -- requests --------------------------------------------------------------------------

bool session::is_long(const v1::ControlRequest& request) {
  switch (request.what_case()) {
  case request_case::kCreateVault:
  case request_case::kOpenVault:
  case request_case::kCloseVault:
  case request_case::kDestroyVault:
  case request_case::kRebuildCatalog:
  case request_case::kRestoreVault:
  case request_case::kRecoverVault:
  case request_case::kMeasureLine:
  case request_case::kPut:
  case request_case::kPutStream:
  case request_case::kGet:
  case request_case::kGetStream:
  case request_case::kCopy:
  case request_case::kFlush:
  case request_case::kVerify:
  case request_case::kCleanup:
  case request_case::kRebalance:
  case request_case::kForeseeLoss:
  case request_case::kDistribution:
  case request_case::kChangePassword:
  case request_case::kAddRecoveryPhrase:
    return true;
  default:
    return false;
  }
}

result<void> session::begin(frame what) {
  asked_ = true;
  if (busy_)
    return fail(errc::format_damaged, "take a request while one runs");
  end_job();
  auto request = std::make_shared<v1::ControlRequest>();
  if (auto parsed = parse(*request, what.header()); !parsed)
    return parsed;
  {
    std::lock_guard guard{mutex_};
    cancel_ = cancel_token{};
    telling_ = is_long(*request);
  }
  if (stopping_) {
    finish(fail(errc::unavailable, "serve a request while the daemon stops"));
    return {};
  }
  if (!is_long(*request)) {
    finish(carry_out(*request, what.body()));
    return {};
  }
  busy_ = true;
  auto held = std::make_shared<frame>(std::move(what));
  job_thread_ = std::thread{[this, request, held] {
    auto outcome = carry_out(*request, held->body());
    finish(std::move(outcome));
  }};
  // Not by the thread that reads: a client that sends a long answer takes nothing until that was read.
  event_thread_ = std::thread{[this] {
    tell_events();
  }};
  return {};
}

void session::end_job() {
  for (auto* thread : {&job_thread_, &event_thread_})
    if (thread->joinable())
      thread->join();
}

void session::finish(result<reply> outcome) {
  {
    std::lock_guard guard{mutex_};
    job_ = 0;
    telling_ = false;
    happened_.notify_one();
    // A job may end while its client still reads from a pipe or writes to one. Who waits
    // for that would keep a thread and a buffer.
    for (auto& [number, waiting] : calls_) {
      overtaken_.insert(number);
      waiting.promise.set_value(fail(errc::unavailable, "ask a client whose job has ended"));
    }
    calls_.clear();
  }
  // Events of a job come before its reply.
  auto sent = send_events();
  // From here on the next request is welcome.
  busy_ = false;
  reply whole;
  if (outcome)
    whole = std::move(*outcome);
  else
    write(*whole.message.mutable_failure(), outcome.error());
  sent = link_.send(frame_type::reply, &whole.message, as_view(whole.secret));
  ::explicit_bzero(whole.secret.data(), whole.secret.size());
  if (!sent && sent.error().code() == errc::capacity_exceeded) {
    v1::ControlReply too_large;
    write(*too_large.mutable_failure(), sent.error().within("whole with so much at once"));
    sent = link_.send(frame_type::reply, &too_large);
  }
  if (!sent)
    link_.shut();
  bell_.ring();
}

job_options session::options_for(const v1::ControlRequest& request) {
  constexpr uint64_t longest_ms = 30ull * 24 * 3600 * 1000;
  job_options job;
  if (request.timeout_ms() > 0)
    job.timeout = std::chrono::milliseconds{std::min(request.timeout_ms(), longest_ms)};
  std::lock_guard guard{mutex_};
  job.cancel = cancel_;
  job.job = job_ = next_job_++;
  return job;
}

result<session::reply> session::carry_out(const v1::ControlRequest& request, byte_view secret) {
  if (request.what_case() == request_case::WHAT_NOT_SET)
    return fail(errc::format_newer, "serve a request of a kind that this version does not know");
  if (request.what_case() <= request_case::kLabelDrive && request.what_case() != request_case::kCloseVault)
    return on_node(request, secret);
  auto found = vaults_.find(request.vault());
  if (found == vaults_.end())
    return fail(errc::not_found, "serve a request to a vault that is not open");
  if (request.what_case() == request_case::kCloseVault) {
    vaults_.erase(found);
    return made<reply>(result<void>{});
  }
  auto& in = found->second;
  if (request.what_case() <= request_case::kGetStream)
    return on_data(in, request, options_for(request));
  if (request.what_case() <= request_case::kFlush)
    return on_names(in, request);
  if (request.what_case() <= request_case::kDistribution)
    return on_care(in, request, options_for(request));
  return on_keys(in, request, secret);
}

result<session::reply> session::on_node(const v1::ControlRequest& request, byte_view secret) {
  switch (request.what_case()) {
  case request_case::kHello: {
    reply hello;
    auto* to = hello.message.mutable_hello();
    to->set_version(version());
    to->set_home(node_.home());
    to->set_uid(peer_);
    return hello;
  }
  case request_case::kDrives:
  case request_case::kAddDrive:
  case request_case::kAdoptDrive:
  case request_case::kDrainDrive:
  case request_case::kRemoveDrive:
  case request_case::kLabelDrive:
  case request_case::kSetRule:
  case request_case::kRule:
    return on_drives(request);
  case request_case::kMesh:
    return made<reply>(node_.mesh(), [&](reply& to, std::optional<mesh_report> from) {
      if (from && !is_operator())
        from->network.reset();
      write(*to.message.mutable_mesh(), from);
    });
  case request_case::kPeers:
    return made<reply>(node_.peers(), [](reply& to, const std::vector<peer_report>& from) { write(*to.message.mutable_peers(), from); });
  case request_case::kNeighbours:
    return made<reply>(node_.neighbours(),
                       [](reply& to, const std::vector<neighbour_report>& from) { write(*to.message.mutable_neighbours(), from); });
  case request_case::kSetRates:
  case request_case::kRates:
    return on_rates(request);
  case request_case::kMeasureLine: {
    auto peer = read_id<peer_id>(request.measure_line().peer());
    auto how = read(request.measure_line());
    return peer ? made<reply>(node_.measure_line(*peer, how, options_for(request)),
                              [](reply& to, const line_report& from) { write(*to.message.mutable_line(), from); })
                : fail(peer.error());
  }
  case request_case::kAllow:
  case request_case::kReserve:
  case request_case::kSetHosting:
  case request_case::kRooms:
    return on_rooms(request);
  default:
    return on_vault_list(request, secret);
  }
}

/// It is the operator's line.
result<session::reply> session::on_rates(const v1::ControlRequest& request) {
  if (request.has_rates())
    return made<reply>(node_.rates(), [](reply& to, const rate_plan& from) { write(*to.message.mutable_rates(), from); });
  if (!is_operator())
    return fail(errc::permission_denied, "limit the line of the daemon's node");
  auto plan = read(request.set_rates());
  return plan ? made<reply>(node_.set_rates(*plan)) : fail(plan.error());
}

/// Whom the operator gives room, and how much, is his affair.
result<session::reply> session::on_rooms(const v1::ControlRequest& request) {
  if (!is_operator())
    return fail(errc::permission_denied,
                request.has_rooms() ? "ask who has room on the daemon's node" : "say who has room on the daemon's node");
  if (request.has_set_hosting()) {
    auto how = read_hosting(request.set_hosting());
    return how ? made<reply>(node_.set_hosting(*how)) : fail(how.error());
  }
  if (request.has_rooms()) {
    auto how = node_.hosts();
    if (!how)
      return fail(how.error());
    auto reserved = node_.reserved();
    if (!reserved)
      return fail(reserved.error());
    return made<reply>(node_.rooms(), [&](reply& to, const std::vector<room_report>& from) {
      write(*to.message.mutable_rooms(), from);
      to.message.mutable_rooms()->set_hosting(static_cast<uint32_t>(*how));
      to.message.mutable_rooms()->set_reserved(reserved->bytes);
      if (reserved->held)
        to.message.mutable_rooms()->set_held(*reserved->held);
      if (reserved->lacking)
        to.message.mutable_rooms()->set_lacking(*reserved->lacking);
    });
  }
  if (request.what_case() == request_case::kReserve)
    return made<reply>(node_.reserve(request.reserve()));
  auto owner = read_id<vault_id>(request.allow().owner());
  return owner ? made<reply>(node_.allow(*owner, request.allow().bytes())) : fail(owner.error());
}

result<session::reply> session::on_drives(const v1::ControlRequest& request) {
  if (request.what_case() == request_case::kDrives) {
    reply list;
    for (const auto& drive : node_.drives())
      write(*list.message.mutable_drives()->add_drives(), drive);
    return list;
  }
  if (request.what_case() == request_case::kRule)
    return made<reply>(node_.rule(), [](reply& to, const placement_rule& from) { write(*to.message.mutable_rule(), from); });
  if (!is_operator())
    return fail(errc::permission_denied, "change the drives of the daemon");
  auto one = [](reply& to, const drive_report& drive) {
    write(*to.message.mutable_drives()->add_drives(), drive);
  };
  switch (request.what_case()) {
  case request_case::kAddDrive:
    return made<reply>(node_.add_drive(request.add_drive().drive()), one);
  case request_case::kAdoptDrive:
    return made<reply>(node_.adopt_drive(request.adopt_drive().drive()), one);
  case request_case::kLabelDrive:
    return made<reply>(node_.label_drive(request.label_drive().drive(), read(request.label_drive())), one);
  case request_case::kSetRule: {
    auto rule = read(request.set_rule());
    return rule ? made<reply>(node_.set_rule(*rule)) : fail(rule.error());
  }
  case request_case::kDrainDrive:
    return made<reply>(node_.drain_drive(request.drain_drive().drive()));
  default:
    return made<reply>(node_.remove_drive(request.remove_drive().drive(), request.remove_drive().force()));
  }
}

result<session::reply> session::on_vault_list(const v1::ControlRequest& request, byte_view secret) {
  if (request.what_case() == request_case::kVaults)
    return made<reply>(node_.vaults(), [&](reply& to, const std::vector<vault_facts>& all) {
      to.message.mutable_vaults();
      for (auto facts : all)
        if (auto name = owner_.called(facts.name)) {
          facts.name = *name;
          write(*to.message.mutable_vaults()->add_vaults(), facts);
        }
    });
  const auto& opening = request.has_destroy_vault()   ? request.destroy_vault()
                        : request.has_open_vault()    ? request.open_vault()
                        : request.has_restore_vault() ? request.restore_vault()
                        : request.has_recover_vault() ? request.recover_vault()
                                                      : request.rebuild_catalog();
  auto name = owner_.kept_as(request.has_create_vault() ? request.create_vault().name() : opening.name());
  if (!name)
    return fail(name.error());
  if (request.has_create_vault()) {
    new_vault what{*name, std::nullopt, request.create_vault().trust_this_device()};
    if (request.create_vault().has_password()) {
      auto password = credential_of(request.create_vault().password(), secret);
      if (!password || password->type() != credential::kind::password)
        return fail(errc::invalid_argument, "create a vault with this credential");
      what.password = std::move(*password);
    }
    return made<reply>(node_.create_vault(what), [](reply& to, const created_vault& from) {
      to.message.mutable_created()->set_id(std::string{from.id.text()});
      to.secret = from.recovery_phrase;
    });
  }
  // Its nodes become drives of this one.
  if (request.has_recover_vault() && !is_operator())
    return fail(errc::permission_denied, "change the drives of the daemon");
  auto released = request.has_open_vault() || !options_.release ? nullptr : options_.release(*name);
  if (request.has_destroy_vault() && !opening.has_with())
    return made<reply>(node_.destroy_vault(*name));
  auto with = credential_of(opening.with(), secret);
  if (!with)
    return fail(with.error());
  if (request.has_destroy_vault())
    return made<reply>(node_.destroy_vault(*name, *with, options_for(request)),
                       [](reply& to, const destroy_summary& from) { write(*to.message.mutable_destroyed(), from); });
  if (request.has_rebuild_catalog())
    return made<reply>(node_.rebuild_catalog(*name, *with, options_for(request)),
                       [](reply& to, const rebuild_summary& from) { write(*to.message.mutable_rebuilt(), from); });
  if (request.has_restore_vault())
    return made<reply>(node_.restore_vault(*name, bytes::copy_of(as_view(opening.key_file())), *with, options_for(request)),
                       [](reply& to, const rebuild_summary& from) { write(*to.message.mutable_rebuilt(), from); });
  if (request.has_recover_vault())
    return made<reply>(node_.recover_vault(*name, *with, options_for(request)),
                       [](reply& to, const recover_summary& from) { write(*to.message.mutable_recovered(), from); });
  if (vaults_.size() >= vaults_max)
    return fail(errc::capacity_exceeded, "open more vaults over one connection");
  auto opened = node_.open_vault(*name, *with);
  if (!opened)
    return fail(opened.error());
  reply whole;
  auto* to = whole.message.mutable_opened();
  to->set_vault(next_vault_);
  to->set_name(owner_.called(opened->name()).value_or(opened->name()));
  to->set_id(std::string{opened->id().text()});
  vaults_.emplace(next_vault_++, std::move(*opened));
  return whole;
}

result<session::reply> session::on_data(vault& in, const v1::ControlRequest& request, const job_options& job) {
  auto stored = [](reply& to, const put_summary& from) {
    write(*to.message.mutable_put(), from);
  };
  auto fetched = [](reply& to, const get_summary& from) {
    write(*to.message.mutable_get(), from);
  };
  auto client = std::static_pointer_cast<caller>(shared_from_this());
  switch (request.what_case()) {
  case request_case::kPut: {
    auto what = read(request.put());
    if (!what)
      return fail(what.error());
    what->files = files_of(client);
    return made<reply>(in.put(*what, job), stored);
  }
  case request_case::kPutStream: {
    auto what = read(request.put_stream());
    if (!what)
      return fail(what.error());
    what->from = source_of(client);
    return made<reply>(in.put(*what, job), stored);
  }
  case request_case::kGet: {
    auto what = read(request.get());
    if (!what)
      return fail(what.error());
    what->files = files_of(client);
    return made<reply>(in.get(*what, job), fetched);
  }
  default: {
    const auto& what = request.get_stream();
    byte_range range{what.first(), what.has_length() ? std::optional<uint64_t>{what.length()} : std::nullopt};
    std::optional<version_id> version;
    if (what.has_version()) {
      auto id = read_id<version_id>(what.version());
      if (!id)
        return fail(id.error());
      version = *id;
    }
    return made<reply>(in.get(what.path(), sink_of(client), range, version, job), fetched);
  }
  }
}

result<session::reply> session::on_names(vault& in, const v1::ControlRequest& request) {
  switch (request.what_case()) {
  case request_case::kList: {
    auto what = read(request.list());
    what.limit = std::clamp<size_t>(what.limit, 1, page_max);
    return made<reply>(in.list(what), [](reply& to, const list_page& page) {
      to.message.mutable_page()->set_next_cursor(page.next_cursor);
      for (const auto& one : page.entries)
        write(*to.message.mutable_page()->add_entries(), one);
    });
  }
  case request_case::kInfo:
    return made<reply>(in.info(request.info().path()), [](reply& to, const entry& from) { write(*to.message.mutable_info(), from); });
  case request_case::kVersions:
    return made<reply>(in.versions(request.versions().path()),
                       [](reply& to, const std::vector<version_entry>& from) { write(*to.message.mutable_versions(), from); });
  case request_case::kRemove:
    return changed<reply>(in.remove(request.remove().path(), request.remove().recursive()));
  case request_case::kMove:
  case request_case::kCopy: {
    const auto& what = request.has_move() ? request.move() : request.copy();
    auto conflict = read_conflict(what.conflict());
    if (!conflict)
      return fail(conflict.error());
    return changed<reply>(request.has_move() ? in.move(what.path(), what.other(), *conflict)
                                             : in.copy(what.path(), what.other(), *conflict));
  }
  case request_case::kMakeFolder:
    return changed<reply>(in.make_folder(request.make_folder().path()));
  case request_case::kSetTag: {
    const auto& what = request.set_tag();
    return changed<reply>(
        in.set_tag(what.path(), what.other(), what.has_value() ? std::optional<std::string>{what.value()} : std::nullopt));
  }
  case request_case::kRevert: {
    auto id = read_id<version_id>(request.revert().id());
    return id ? changed<reply>(in.revert(request.revert().path(), *id)) : fail(id.error());
  }
  case request_case::kTrash:
    return part_of_trash(in, request);
  case request_case::kRestoreFromTrash: {
    auto id = read_id<node_id>(request.restore_from_trash().id());
    return id ? changed<reply>(in.restore_from_trash(*id, request.restore_from_trash().path())) : fail(id.error());
  }
  default:
    return made<reply>(in.flush());
  }
}

/// All parts are of the moment at which the first was asked for.
result<session::reply> session::part_of_trash(vault& in, const v1::ControlRequest& request) {
  const auto& what = request.trash();
  size_t at = 0;
  if (what.cursor().empty()) {
    auto all = in.trash();
    if (!all)
      return fail(all.error());
    trash_ = std::move(*all);
    trash_of_ = request.vault();
  } else {
    const auto* end = what.cursor().data() + what.cursor().size();
    auto [rest, wrong] = std::from_chars(what.cursor().data(), end, at);
    if (wrong != std::errc{} || rest != end || trash_of_ != request.vault() || at >= trash_.size())
      return fail(errc::invalid_argument, "go on with a listing of the trash that did not begin");
  }
  reply part;
  auto* page = part.message.mutable_page();
  auto limit = what.limit() == 0 ? trash_.size() : at + std::min<uint64_t>(what.limit(), trash_.size() - at);
  for (uint64_t filled = 0; at < limit && (what.limit() == 0 || filled < page_bytes); ++at) {
    auto* row = page->add_entries();
    write(*row, trash_[at].first);
    row->set_trashed_ns(trash_[at].second);
    filled += row->ByteSizeLong();
  }
  if (at < trash_.size())
    page->set_next_cursor(std::to_string(at));
  else
    trash_ = {};
  return part;
}

result<session::reply> session::on_care(vault& in, const v1::ControlRequest& request, const job_options& job) {
  switch (request.what_case()) {
  case request_case::kStats:
    return made<reply>(in.stats(), [](reply& to, const vault_stats& from) { write(*to.message.mutable_stats(), from); });
  case request_case::kStatus:
    return made<reply>(in.status(), [](reply& to, const status_report& from) { write(*to.message.mutable_status(), from); });
  case request_case::kVerify: {
    auto what = read(request.verify());
    if (!what)
      return fail(what.error());
    return made<reply>(in.verify(*what, job), [](reply& to, const verify_summary& from) { write(*to.message.mutable_verified(), from); });
  }
  case request_case::kCleanup:
    return made<reply>(in.cleanup(read(request.cleanup()), job),
                       [](reply& to, const cleanup_summary& from) { write(*to.message.mutable_cleaned(), from); });
  case request_case::kForeseeLoss: {
    auto drives = read(request.foresee_loss());
    if (!drives)
      return fail(drives.error());
    return made<reply>(in.foresee_loss(*drives), [](reply& to, const loss_report& from) { write(*to.message.mutable_loss(), from); });
  }
  case request_case::kDistribution:
    return made<reply>(in.distribution(read(request.distribution())),
                       [](reply& to, const distribution_report& from) { write(*to.message.mutable_distribution(), from); });
  default:
    return made<reply>(in.rebalance(request.rebalance().dry_run(), job),
                       [](reply& to, const rebalance_summary& from) { write(*to.message.mutable_rebalanced(), from); });
  }
}

result<session::reply> session::on_keys(vault& in, const v1::ControlRequest& request, byte_view secret) {
  switch (request.what_case()) {
  case request_case::kKeyLocks:
    return made<reply>(in.key_locks(), [](reply& to, const std::vector<key_lock>& from) { write(*to.message.mutable_locks(), from); });
  case request_case::kChangePassword: {
    auto next = credential_of(request.change_password(), secret);
    return next ? made<reply>(in.change_password(*next)) : fail(next.error());
  }
  case request_case::kKeyFile:
    return made<reply>(in.key_file(), [](reply& to, const bytes& file) { to.message.set_key_file(std::string{as_text(file)}); });
  case request_case::kAddRecoveryPhrase:
    return made<reply>(in.add_recovery_phrase(), [](reply& to, const std::string& phrase) {
      to.message.mutable_phrase();
      to.secret = phrase;
    });
  case request_case::kTrustThisDevice:
    return made<reply>(in.trust_this_device());
  case request_case::kRemoveKeyLock:
    return made<reply>(in.remove_key_lock(request.remove_key_lock().number()));
  default:
    return made<reply>(in.rotate_epoch(), [](reply& to, uint32_t epoch) { to.message.set_epoch(epoch); });
  }
}

} // namespace datamesh::control
