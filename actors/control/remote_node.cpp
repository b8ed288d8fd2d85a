#include "control/remote_node.hpp"

#include "control/client_files.hpp"
#include "control/convert.hpp"
#include "control/link.hpp"

#include <thread>

namespace datamesh::control {

namespace {

/// How long a cancelled job may go unnoticed.
constexpr auto glance = std::chrono::milliseconds{100};
/// Entries that are asked for at once.
constexpr size_t page_max = 500;
/// A daemon that stops amid a frame is gone.
constexpr auto frame_deadline = std::chrono::seconds{60};

struct reply {
  v1::ControlReply message;
  frame whole;
};

class connection {
public:
  connection(local_socket socket, node_options o) : options(std::move(o)), link_(std::move(socket), side::client) {}

  node_options options;

  /// One request at a time; answers its calls by *by* until the reply is there.
  result<reply> ask(v1::ControlRequest request, byte_view secret = {}, const job_options& job = {}, servant* by = nullptr) {
    if (job.timeout)
      request.set_timeout_ms(static_cast<uint64_t>(std::max<int64_t>(job.timeout->count(), 1)));
    std::lock_guard guard{mutex_};
    if (broken_)
      return fail(errc::unavailable, "ask the daemon");
    auto sent = link_.send(frame_type::request, &request, secret);
    if (!sent && sent.error().code() == errc::capacity_exceeded)
      return fail(sent.error().as(errc::capacity_exceeded, "tell the daemon more than 1 MiB of names at once"));
    // A daemon that serves nobody more says so and is gone before it was asked.
    auto gone = !sent && sent.error().code() == errc::unavailable;
    auto got = sent || gone ? await(job, by) : fail(sent.error());
    if (!got) {
      broken_ = true;
      return fail(got.error().as(errc::unavailable, "ask the daemon"));
    }
    if (got->message.has_failure())
      return fail(read(got->message.failure()));
    return got;
  }

private:
  result<reply> await(const job_options& job, servant* by) {
    auto cancelled = false;
    servant nobody;
    for (;;) {
      if (job.cancel.cancelled() && !cancelled) {
        cancelled = true;
        if (auto sent = link_.send(frame_type::cancel, nullptr); !sent)
          return fail(sent.error());
      }
      auto got = link_.receive(nullptr, glance);
      if (!got)
        return fail(got.error());
      if (!got->what)
        continue;
      if (got->what->type == frame_type::reply) {
        reply whole;
        if (auto parsed = parse(whole.message, got->what->header()); !parsed)
          return fail(parsed.error());
        whole.whole = std::move(*got->what);
        return whole;
      }
      if (auto served = serve(*got->what, by != nullptr ? *by : nobody); !served)
        return fail(served.error());
    }
  }

  result<void> serve(const frame& what, servant& by) {
    if (what.type == frame_type::event) {
      v1::Event happened;
      if (auto parsed = parse(happened, what.header()); !parsed)
        return parsed;
      if (options.on_event)
        options.on_event(read(happened));
      return {};
    }
    v1::ControlCall call;
    if (auto parsed = parse(call, what.header()); !parsed)
      return parsed;
    auto answer = by.answer(call, what.body());
    auto sent = link_.send(frame_type::answer, &answer.header, answer.body);
    if (sent || sent.error().code() != errc::capacity_exceeded)
      return sent;
    v1::ControlAnswer too_large;
    too_large.set_call(call.call());
    write(*too_large.mutable_failure(), sent.error());
    return link_.send(frame_type::answer, &too_large);
  }

  link link_;
  std::mutex mutex_;
  bool broken_ = false;
};

v1::ControlRequest on_vault(uint64_t vault) {
  v1::ControlRequest request;
  request.set_vault(vault);
  return request;
}

template <class T>
result<T> misfit() {
  return fail(errc::format_damaged, "read the daemon's reply");
}

class remote_vault final : public vault_door {
public:
  remote_vault(std::shared_ptr<connection> to, uint64_t handle, std::string name, vault_id id)
      : to_(std::move(to)), handle_(handle), name_(std::move(name)), id_(id) {}

  ~remote_vault() override {
    for (auto& running : running_)
      running.join();
    auto request = on_vault(handle_);
    request.mutable_close_vault();
    (void) to_->ask(std::move(request));
  }
  remote_vault(const remote_vault&) = delete;
  remote_vault& operator=(const remote_vault&) = delete;

  const std::string& name() const noexcept override {
    return name_;
  }
  const vault_id& id() const noexcept override {
    return id_;
  }

  // -- data -----------------------------------------------------------------------

  result<put_summary> put(const put_request& what, const job_options& job) override {
    std::vector<std::string> roots;
    for (const auto& item : what.sources)
      roots.push_back(item.source_path);
    servant by{what.files ? what.files : to_->options.environment.files, std::move(roots), false};
    auto request = on_vault(handle_);
    write(*request.mutable_put(), what);
    return put_summary_of(to_->ask(std::move(request), {}, job, &by));
  }
  result<put_summary> put(const put_stream_request& what, const job_options& job) override {
    if (!what.from)
      return fail(errc::invalid_argument, "store a stream", what.target_path);
    servant by{what.from};
    auto request = on_vault(handle_);
    write(*request.mutable_put_stream(), what);
    return put_summary_of(to_->ask(std::move(request), {}, job, &by));
  }
  result<get_summary> get(const get_request& what, const job_options& job) override {
    servant by{what.files ? what.files : to_->options.environment.files, {what.target_folder}, true};
    auto request = on_vault(handle_);
    write(*request.mutable_get(), what);
    return get_summary_of(to_->ask(std::move(request), {}, job, &by));
  }
  result<get_summary> get(const std::string& path, std::shared_ptr<sink> to, byte_range range, std::optional<version_id> version,
                          const job_options& job) override {
    if (!to)
      return fail(errc::invalid_argument, "read", path);
    servant by{std::move(to)};
    auto request = on_vault(handle_);
    auto* what = request.mutable_get_stream();
    what->set_path(path);
    what->set_first(range.first);
    if (range.length)
      what->set_length(*range.length);
    if (version)
      what->set_version(std::string{version->text()});
    return get_summary_of(to_->ask(std::move(request), {}, job, &by));
  }
  void put(put_request what, completion<put_summary> done, job_options job) override {
    run<put_summary>(std::move(done), [this, what = std::move(what), job] { return put(what, job); });
  }
  void put(put_stream_request what, completion<put_summary> done, job_options job) override {
    run<put_summary>(std::move(done), [this, what = std::move(what), job] { return put(what, job); });
  }
  void get(get_request what, completion<get_summary> done, job_options job) override {
    run<get_summary>(std::move(done), [this, what = std::move(what), job] { return get(what, job); });
  }
  void get(std::string path, std::shared_ptr<sink> to, byte_range range, std::optional<version_id> version, completion<get_summary> done,
           job_options job) override {
    run<get_summary>(std::move(done), [=, this] { return get(path, to, range, version, job); });
  }

  // -- names ------------------------------------------------------------------------

  result<list_page> list(const list_request& what) const override {
    auto request = on_vault(handle_);
    write(*request.mutable_list(), what);
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    list_page page;
    for (const auto& row : got->message.page().entries()) {
      auto one = read(row);
      if (!one)
        return fail(one.error());
      page.entries.push_back(std::move(*one));
    }
    page.next_cursor = got->message.page().next_cursor();
    return page;
  }
  result<entry> info(const std::string& path) const override {
    auto request = on_vault(handle_);
    request.mutable_info()->set_path(path);
    auto got = to_->ask(std::move(request));
    return got ? read(got->message.info()) : fail(got.error());
  }
  result<std::vector<version_entry>> versions(const std::string& path) const override {
    auto request = on_vault(handle_);
    request.mutable_versions()->set_path(path);
    auto got = to_->ask(std::move(request));
    return got ? read(got->message.versions()) : fail(got.error());
  }
  result<change_result> remove(const std::string& path, bool recursive) override {
    auto request = on_vault(handle_);
    request.mutable_remove()->set_path(path);
    request.mutable_remove()->set_recursive(recursive);
    return change(std::move(request));
  }
  result<change_result> move(const std::string& from, const std::string& to, if_exists conflict) override {
    auto request = on_vault(handle_);
    auto* what = request.mutable_move();
    what->set_path(from);
    what->set_other(to);
    what->set_conflict(static_cast<uint32_t>(conflict));
    return change(std::move(request));
  }
  result<change_result> copy(const std::string& from, const std::string& to, if_exists conflict) override {
    auto request = on_vault(handle_);
    auto* what = request.mutable_copy();
    what->set_path(from);
    what->set_other(to);
    what->set_conflict(static_cast<uint32_t>(conflict));
    return change(std::move(request));
  }
  result<change_result> make_folder(const std::string& path) override {
    auto request = on_vault(handle_);
    request.mutable_make_folder()->set_path(path);
    return change(std::move(request));
  }
  result<change_result> set_tag(const std::string& path, const std::string& key, std::optional<std::string> value) override {
    auto request = on_vault(handle_);
    auto* what = request.mutable_set_tag();
    what->set_path(path);
    what->set_other(key);
    if (value)
      what->set_value(*value);
    return change(std::move(request));
  }
  result<change_result> revert(const std::string& path, const version_id& version) override {
    auto request = on_vault(handle_);
    request.mutable_revert()->set_path(path);
    request.mutable_revert()->set_id(std::string{version.text()});
    return change(std::move(request));
  }
  result<std::vector<std::pair<entry, int64_t>>> trash() const override {
    std::vector<std::pair<entry, int64_t>> all;
    std::string cursor;
    do {
      auto request = on_vault(handle_);
      request.mutable_trash()->set_cursor(cursor);
      request.mutable_trash()->set_limit(page_max);
      auto got = to_->ask(std::move(request));
      if (!got)
        return fail(got.error());
      for (const auto& row : got->message.page().entries()) {
        auto one = read(row);
        if (!one)
          return fail(one.error());
        all.emplace_back(std::move(*one), row.trashed_ns());
      }
      cursor = got->message.page().next_cursor();
    } while (!cursor.empty());
    return all;
  }
  result<change_result> restore_from_trash(const node_id& node, const std::string& target_path) override {
    auto request = on_vault(handle_);
    request.mutable_restore_from_trash()->set_id(std::string{node.text()});
    request.mutable_restore_from_trash()->set_path(target_path);
    return change(std::move(request));
  }
  result<void> flush() override {
    auto request = on_vault(handle_);
    request.mutable_flush();
    return done(std::move(request));
  }

  // -- care ---------------------------------------------------------------------------

  result<vault_stats> stats() const override {
    auto request = on_vault(handle_);
    request.mutable_stats();
    return to_->ask(std::move(request)).map([](const reply& got) { return read(got.message.stats()); });
  }
  result<status_report> status() const override {
    auto request = on_vault(handle_);
    request.mutable_status();
    auto got = to_->ask(std::move(request));
    return got ? read(got->message.status()) : fail(got.error());
  }
  result<verify_summary> verify(const verify_request& what, const job_options& job) override {
    auto request = on_vault(handle_);
    write(*request.mutable_verify(), what);
    auto got = to_->ask(std::move(request), {}, job);
    return got ? read(got->message.verified()) : fail(got.error());
  }
  result<cleanup_summary> cleanup(const cleanup_request& what, const job_options& job) override {
    auto request = on_vault(handle_);
    write(*request.mutable_cleanup(), what);
    return to_->ask(std::move(request), {}, job).map([](const reply& got) { return read(got.message.cleaned()); });
  }
  result<rebalance_summary> rebalance(bool dry_run, const job_options& job) override {
    auto request = on_vault(handle_);
    request.mutable_rebalance()->set_dry_run(dry_run);
    return to_->ask(std::move(request), {}, job).map([](const reply& got) { return read(got.message.rebalanced()); });
  }
  result<loss_report> foresee_loss(const std::vector<drive_id>& drives) const override {
    auto request = on_vault(handle_);
    write(*request.mutable_foresee_loss(), drives);
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.has_loss() ? read(got->message.loss()) : misfit<loss_report>();
  }
  result<distribution_report> distribution(const distribution_request& what) const override {
    auto request = on_vault(handle_);
    write(*request.mutable_distribution(), what);
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.has_distribution() ? read(got->message.distribution()) : misfit<distribution_report>();
  }

  // -- keys ----------------------------------------------------------------------------

  result<std::vector<key_lock>> key_locks() const override {
    auto request = on_vault(handle_);
    request.mutable_key_locks();
    return to_->ask(std::move(request)).map([](const reply& got) { return read(got.message.locks()); });
  }
  result<void> change_password(const credential& next) override {
    auto request = on_vault(handle_);
    request.mutable_change_password()->set_kind(static_cast<uint32_t>(next.type()));
    return done(std::move(request), next.secret());
  }
  result<std::string> add_recovery_phrase() override {
    auto request = on_vault(handle_);
    request.mutable_add_recovery_phrase();
    return to_->ask(std::move(request)).map([](const reply& got) { return std::string{as_text(got.whole.body())}; });
  }
  result<void> trust_this_device() override {
    auto request = on_vault(handle_);
    request.mutable_trust_this_device();
    return done(std::move(request));
  }
  result<void> remove_key_lock(uint32_t number) override {
    auto request = on_vault(handle_);
    request.mutable_remove_key_lock()->set_number(number);
    return done(std::move(request));
  }
  result<bytes> key_file() const override {
    auto request = on_vault(handle_);
    request.mutable_key_file();
    return to_->ask(std::move(request)).map([](const reply& got) { return bytes::copy_of(as_view(got.message.key_file())); });
  }
  result<uint32_t> rotate_epoch() override {
    auto request = on_vault(handle_);
    request.mutable_rotate_epoch();
    return to_->ask(std::move(request)).map([](const reply& got) { return got.message.epoch(); });
  }

private:
  static result<put_summary> put_summary_of(const result<reply>& got) {
    if (!got)
      return fail(got.error());
    return got->message.has_put() ? read(got->message.put()) : misfit<put_summary>();
  }
  static result<get_summary> get_summary_of(const result<reply>& got) {
    if (!got)
      return fail(got.error());
    return got->message.has_get() ? read(got->message.get()) : misfit<get_summary>();
  }
  result<change_result> change(v1::ControlRequest request) {
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    if (!got->message.has_change())
      return misfit<change_result>();
    return change_result{got->message.change().in_packs(), got->message.change().path()};
  }
  result<void> done(v1::ControlRequest request, byte_view secret = {}) {
    auto got = to_->ask(std::move(request), secret);
    if (!got)
      return fail(got.error());
    return got->message.has_done() ? result<void>{} : misfit<void>();
  }
  template <class T, class Work>
  void run(completion<T> done, Work work) {
    std::lock_guard guard{running_mutex_};
    running_.emplace_back([this, done = std::move(done), work = std::move(work)] {
      auto outcome = work();
      auto executor = to_->options.executor;
      if (executor)
        executor([done, outcome] { done(outcome); });
      else
        done(std::move(outcome));
    });
  }

  std::shared_ptr<connection> to_;
  uint64_t handle_;
  std::string name_;
  vault_id id_;
  std::mutex running_mutex_;
  std::vector<std::thread> running_;
};

class remote_node final : public node_door {
public:
  remote_node(std::shared_ptr<connection> to, std::string home) : to_(std::move(to)), home_(std::move(home)) {}

  result<drive_report> add_drive(const std::string& folder) override {
    v1::ControlRequest request;
    request.mutable_add_drive()->set_drive(folder);
    return one_drive(std::move(request));
  }
  result<drive_report> adopt_drive(const std::string& folder) override {
    v1::ControlRequest request;
    request.mutable_adopt_drive()->set_drive(folder);
    return one_drive(std::move(request));
  }
  std::vector<drive_report> drives() const override {
    v1::ControlRequest request;
    request.mutable_drives();
    auto got = to_->ask(std::move(request));
    std::vector<drive_report> all;
    if (!got)
      return all;
    for (const auto& row : got->message.drives().drives())
      if (auto drive = read(row))
        all.push_back(std::move(*drive));
    return all;
  }
  result<void> drain_drive(const std::string& drive) override {
    v1::ControlRequest request;
    request.mutable_drain_drive()->set_drive(drive);
    return done(std::move(request));
  }
  result<void> remove_drive(const std::string& drive, bool force) override {
    v1::ControlRequest request;
    request.mutable_remove_drive()->set_drive(drive);
    request.mutable_remove_drive()->set_force(force);
    return done(std::move(request));
  }
  result<drive_report> label_drive(const std::string& drive, const drive_label_change& change) override {
    v1::ControlRequest request;
    write(*request.mutable_label_drive(), change);
    request.mutable_label_drive()->set_drive(drive);
    return one_drive(std::move(request));
  }
  result<void> set_rule(const placement_rule& rule) override {
    v1::ControlRequest request;
    write(*request.mutable_set_rule(), rule);
    return done(std::move(request));
  }
  result<placement_rule> rule() const override {
    v1::ControlRequest request;
    request.mutable_rule();
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.has_rule() ? read(got->message.rule()) : misfit<placement_rule>();
  }
  result<std::optional<mesh_report>> mesh() const override {
    v1::ControlRequest request;
    request.mutable_mesh();
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.has_mesh() ? read(got->message.mesh()) : misfit<std::optional<mesh_report>>();
  }
  result<std::vector<peer_report>> peers() const override {
    v1::ControlRequest request;
    request.mutable_peers();
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.has_peers() ? read(got->message.peers()) : misfit<std::vector<peer_report>>();
  }
  result<std::vector<neighbour_report>> neighbours() const override {
    v1::ControlRequest request;
    request.mutable_neighbours();
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.has_neighbours() ? read(got->message.neighbours()) : misfit<std::vector<neighbour_report>>();
  }
  result<void> set_rates(const rate_plan& plan) override {
    v1::ControlRequest request;
    write(*request.mutable_set_rates(), plan);
    return done(std::move(request));
  }
  result<rate_plan> rates() const override {
    v1::ControlRequest request;
    request.mutable_rates();
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.has_rates() ? read(got->message.rates()) : misfit<rate_plan>();
  }
  result<line_report> measure_line(const peer_id& peer, const line_test& how, const job_options& job) override {
    v1::ControlRequest request;
    auto& what = *request.mutable_measure_line();
    what.set_peer(std::string{peer.text()});
    what.set_bytes(how.bytes);
    what.set_time_ms(static_cast<uint64_t>(std::max<int64_t>(how.time.count(), 0)));
    auto got = to_->ask(std::move(request), {}, job);
    if (!got)
      return fail(got.error());
    return got->message.has_line() ? read(got->message.line()) : misfit<line_report>();
  }
  result<void> reload_members() override {
    return fail(errc::unavailable, "read the list of members again", "the daemon does so on SIGHUP");
  }
  result<void> allow(const vault_id& owner, uint64_t bytes) override {
    v1::ControlRequest request;
    request.mutable_allow()->set_owner(std::string{owner.text()});
    request.mutable_allow()->set_bytes(bytes);
    return done(std::move(request));
  }
  result<std::vector<room_report>> rooms() const override {
    v1::ControlRequest request;
    request.mutable_rooms();
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.has_rooms() ? read(got->message.rooms()) : misfit<std::vector<room_report>>();
  }
  result<void> reserve(uint64_t bytes) override {
    v1::ControlRequest request;
    request.set_reserve(bytes);
    return done(std::move(request));
  }
  result<reserve_report> reserved() const override {
    v1::ControlRequest request;
    request.mutable_rooms();
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    if (!got->message.has_rooms())
      return misfit<reserve_report>();
    const auto& rooms = got->message.rooms();
    reserve_report report{rooms.reserved(), {}, {}};
    if (rooms.has_held())
      report.held = rooms.held();
    if (rooms.has_lacking())
      report.lacking = rooms.lacking();
    return report;
  }
  result<void> set_hosting(hosting how) override {
    v1::ControlRequest request;
    request.set_set_hosting(static_cast<uint32_t>(how));
    return done(std::move(request));
  }
  result<hosting> hosts() const override {
    v1::ControlRequest request;
    request.mutable_rooms();
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.has_rooms() ? read_hosting(got->message.rooms().hosting()) : misfit<hosting>();
  }
  result<created_vault> create_vault(const new_vault& what) override {
    v1::ControlRequest request;
    auto* create = request.mutable_create_vault();
    create->set_name(what.name);
    create->set_trust_this_device(what.trust_this_device);
    if (what.password)
      create->mutable_password()->set_kind(static_cast<uint32_t>(what.password->type()));
    auto got = to_->ask(std::move(request), what.password ? what.password->secret() : byte_view{});
    if (!got)
      return fail(got.error());
    auto id = read_id<vault_id>(got->message.created().id());
    if (!id)
      return fail(id.error());
    return created_vault{*id, std::string{as_text(got->whole.body())}};
  }
  result<std::vector<vault_facts>> vaults() const override {
    v1::ControlRequest request;
    request.mutable_vaults();
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    std::vector<vault_facts> all;
    for (const auto& row : got->message.vaults().vaults()) {
      auto facts = read(row);
      if (!facts)
        return fail(facts.error());
      all.push_back(std::move(*facts));
    }
    return all;
  }
  result<std::unique_ptr<vault_door>> open_vault(const std::string& name, const credential& with) override {
    v1::ControlRequest request;
    request.mutable_open_vault()->set_name(name);
    request.mutable_open_vault()->mutable_with()->set_kind(static_cast<uint32_t>(with.type()));
    auto got = to_->ask(std::move(request), with.secret());
    if (!got)
      return fail(got.error());
    const auto& opened = got->message.opened();
    auto id = read_id<vault_id>(opened.id());
    if (!id)
      return fail(id.error());
    return std::make_unique<remote_vault>(to_, opened.vault(), opened.name(), *id);
  }
  result<void> destroy_vault(const std::string& name) override {
    v1::ControlRequest request;
    request.mutable_destroy_vault()->set_name(name);
    return done(std::move(request));
  }
  result<destroy_summary> destroy_vault(const std::string& name, const credential& with, const job_options& job) override {
    v1::ControlRequest request;
    request.mutable_destroy_vault()->set_name(name);
    request.mutable_destroy_vault()->mutable_with()->set_kind(static_cast<uint32_t>(with.type()));
    return to_->ask(std::move(request), with.secret(), job).map([](const reply& got) { return read(got.message.destroyed()); });
  }
  result<rebuild_summary> rebuild_catalog(const std::string& name, const credential& with, const job_options& job) override {
    v1::ControlRequest request;
    request.mutable_rebuild_catalog()->set_name(name);
    request.mutable_rebuild_catalog()->mutable_with()->set_kind(static_cast<uint32_t>(with.type()));
    return to_->ask(std::move(request), with.secret(), job).map([](const reply& got) { return read(got.message.rebuilt()); });
  }
  result<rebuild_summary> restore_vault(const std::string& name, const bytes& key_file, const credential& with,
                                        const job_options& job) override {
    v1::ControlRequest request;
    request.mutable_restore_vault()->set_name(name);
    request.mutable_restore_vault()->set_key_file(std::string{as_text(key_file)});
    request.mutable_restore_vault()->mutable_with()->set_kind(static_cast<uint32_t>(with.type()));
    return to_->ask(std::move(request), with.secret(), job).map([](const reply& got) { return read(got.message.rebuilt()); });
  }
  result<recover_summary> recover_vault(const std::string& name, const credential& phrase, const job_options& job) override {
    v1::ControlRequest request;
    request.mutable_recover_vault()->set_name(name);
    request.mutable_recover_vault()->mutable_with()->set_kind(static_cast<uint32_t>(phrase.type()));
    return to_->ask(std::move(request), phrase.secret(), job).and_then([](const reply& got) { return read(got.message.recovered()); });
  }
  const std::string& home() const noexcept override {
    return home_;
  }

private:
  result<drive_report> one_drive(v1::ControlRequest request) {
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return got->message.drives().drives_size() == 1 ? read(got->message.drives().drives(0)) : misfit<drive_report>();
  }
  result<void> done(v1::ControlRequest request) {
    auto got = to_->ask(std::move(request));
    if (!got)
      return fail(got.error());
    return {};
  }

  std::shared_ptr<connection> to_;
  std::string home_;
};

} // namespace

result<std::unique_ptr<node_door>> connect(const std::string& socket, node_options options) {
  auto made = local_socket::connect(socket);
  if (!made)
    return fail(made.error());
  if (auto set = made->set_deadline(frame_deadline); !set)
    return fail(set.error());
  if (!options.environment.files)
    options.environment.files = system_files();
  auto to = std::make_shared<connection>(std::move(*made), std::move(options));
  v1::ControlRequest request;
  request.mutable_hello();
  auto got = to->ask(std::move(request));
  if (!got)
    return fail(got.error());
  if (!got->message.has_hello())
    return misfit<std::unique_ptr<node_door>>();
  return std::make_unique<remote_node>(std::move(to), got->message.hello().home());
}

} // namespace datamesh::control
