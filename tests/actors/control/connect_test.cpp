// A node that a daemon holds, through `node::connect`: the same calls, the same
// answers, and files of this process.
#include "control/server.hpp"
#include "tests/actors/node/house.hpp"
#include "tests/support/manual_clock.hpp"

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

#include <unistd.h>

namespace datamesh::test {

namespace {

/// A house that is served on a socket, and a connection to it.
class served_house {
public:
  explicit served_house(uint32_t own_uid = geteuid(), std::optional<mesh_options> mesh = {}, std::shared_ptr<clock> time = {})
      : inner(3, disk::simulated, options_of(*this, std::move(mesh), std::move(time))) {
    control::server_options options;
    options.socket = join_path(folder_.path(), "control.sock");
    options.group.clear();
    options.own_uid = own_uid;
    socket = options.socket;
    auto server = must(control::server::listen(inner.node(), std::move(options)));
    {
      std::lock_guard guard{mutex_};
      server_ = std::move(server);
    }
    serving_ = std::thread{[this] {
      server_->run();
    }};
  }
  ~served_house() {
    stop();
  }

  void stop() {
    if (!serving_.joinable())
      return;
    server_->stop(std::chrono::seconds{30});
    serving_.join();
    std::lock_guard guard{mutex_};
    server_.reset();
  }

  /// As an event of whatever job runs for the only connection that there ever was.
  void tell_clients(event what) {
    constexpr uint64_t jobs = 100;
    for (what.job = uint64_t{1} << 32; what.job < (uint64_t{1} << 32) + jobs; ++what.job)
      server_->publish(what);
  }

  /// Files of the connection are on a disk of its own.
  std::unique_ptr<datamesh::node> connect(std::function<void(const event&)> on_event = {}) {
    node_options options;
    options.environment.files = files;
    options.on_event = std::move(on_event);
    return must(datamesh::node::connect(socket, std::move(options)));
  }

  std::string socket;
  std::shared_ptr<simulated_files> files = std::make_shared<simulated_files>();

private:
  static node_options options_of(served_house& of, std::optional<mesh_options> mesh, std::shared_ptr<clock> time) {
    node_options options;
    options.environment.clock = std::move(time);
    options.mesh = std::move(mesh);
    options.on_event = [&of](const event& what) {
      std::lock_guard guard{of.mutex_};
      if (of.server_)
        of.server_->publish(what);
    };
    return options;
  }

  std::mutex mutex_;
  temp_folder folder_;
  std::unique_ptr<control::server> server_; ///< Before the node, which tells of things while it is made.

public:
  house inner;

private:
  std::thread serving_;
};

void write_file(file_system& files, const std::string& path, const std::string& content) {
  auto file = must(files.create(path, 0640));
  const byte_view parts[] = {as_view(content)};
  must(file->write_at(0, parts));
}

std::string read_file(file_system& files, const std::string& path) {
  return std::string{as_text(must(read_whole(files, path, 1 << 30)))};
}

/// Holds its reader until it is let go.
class held_source : public source {
public:
  result<size_t> read(byte_span) override {
    std::unique_lock lock{mutex_};
    asked_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return free_; });
    return size_t{0};
  }
  void await_reader() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return asked_; });
  }
  void let_go() {
    std::lock_guard guard{mutex_};
    free_ = true;
    changed_.notify_all();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false;
  bool free_ = false;
};

/// Answers its only read with as much as was asked for, after *before*.
class late_source : public source {
public:
  explicit late_source(std::function<void()> before) : before_(std::move(before)) {}
  result<size_t> read(byte_span out) override {
    if (auto first = std::exchange(before_, nullptr)) {
      first();
      std::ranges::fill(out, std::byte{7});
      given = out.size();
      return given;
    }
    return size_t{0};
  }
  size_t given = 0;

private:
  std::function<void()> before_;
};

/// Never ends, and cancels its job as soon as it is read.
class endless_source : public source {
public:
  explicit endless_source(cancel_token job) : job_(std::move(job)) {}
  result<size_t> read(byte_span out) override {
    job_.cancel();
    std::fill(out.begin(), out.end(), std::byte{7});
    return out.size();
  }

private:
  cancel_token job_;
};

} // namespace

TEST_CASE("what goes through a connection comes back through it, from and to files of this process", "[connect]") {
  served_house h;
  auto node = h.connect();
  CHECK(node->home() == h.inner.node().home());
  REQUIRE(node->drives().size() == 3);
  auto vaults = must(node->vaults());
  REQUIRE(vaults.size() == 1);
  CHECK(vaults[0].name == "main");
  auto vault = must(node->open_vault("main", credential::this_device()));
  CHECK(vault.id() == h.inner.vault().id());

  auto content = noise(1, 3'000'000);
  must(h.files->make_folder("/mine"));
  write_file(*h.files, "/mine/large", content);
  write_file(*h.files, "/mine/empty", "");
  must(h.files->make_symlink("large", "/mine/link"));
  auto stored = must(vault.put({.sources = {{"/mine", "/tree"}}}));
  CHECK(stored.files == 2);
  CHECK(stored.symlinks == 1);
  CHECK(stored.bytes == content.size());
  // It is in the vault that the daemon holds.
  CHECK(h.inner.get_text("/tree/large") == content);

  must(h.files->make_folder("/back"));
  auto got = must(vault.get({.paths = {"/tree"}, .target_folder = "/back"}));
  for (const auto& waits : {stored.waits, got.waits}) {
    CHECK(waits.elapsed_ns > 0);
    CHECK(waits.limiting() != transfer_stage::none);
    CHECK(waits.share() <= 1);
  }
  CHECK(got.files == 2);
  CHECK(read_file(*h.files, "/back/tree/large") == content);
  CHECK(must(h.files->status("/back/tree/large")).mode == 0640);
  CHECK(must(h.files->read_link("/back/tree/link")) == "large");

  CHECK(must(put_text(vault, "/stream", content)).bytes_known == content.size());
  CHECK(must(get_text(vault, "/stream", {.first = 1000, .length = 5000})) == content.substr(1000, 5000));
}

TEST_CASE("what a node knows of its mesh is told over a connection as without it", "[connect]") {
  mesh_options mesh{"a mesh for the tests of the socket", {"127.0.0.1:0"}, {}, {}, true};
  served_house h{geteuid(), mesh};
  auto node = h.connect();
  auto own = must(h.inner.node().mesh());
  REQUIRE(own);
  mesh.seeds = {own->announces.at(0)};
  house other{0, disk::simulated, [&] {
                node_options options;
                options.mesh = mesh;
                return options;
              }()};
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  while (must(node->peers()).empty() && std::chrono::steady_clock::now() < end) {
  }
  auto seen = must(node->mesh());
  REQUIRE(seen);
  CHECK(seen->self == own->self);
  CHECK(seen->network == own->network);
  CHECK(seen->local);
  CHECK(seen->listens == own->listens);
  CHECK(seen->announces == own->announces);
  auto peers = must(node->peers());
  REQUIRE(peers.size() == 1);
  CHECK(peers[0].id == must(other.node().mesh())->self);
  CHECK_FALSE(peers[0].addresses.empty());
  CHECK((peers[0].known || peers[0].links_accepted > 0));
}

TEST_CASE("a node in no mesh tells so over a connection", "[connect]") {
  served_house h;
  auto node = h.connect();
  CHECK_FALSE(must(node->mesh()));
  CHECK(code_of(node->peers()) == errc::unavailable);
}

TEST_CASE("room is given and taken back over a connection", "[connect]") {
  served_house h;
  auto node = h.connect();
  auto first = vault_id::from(as_view("an owner of a vault somewhere.. "));
  auto second = vault_id::from(as_view("somebody else who owns a vault.."));
  CHECK(must(node->rooms()).empty());
  must(node->allow(first, UINT64_MAX));
  must(node->allow(second, 5));
  must(node->allow(second, 0));
  auto rooms = must(node->rooms());
  REQUIRE(rooms.size() == 1);
  CHECK(rooms[0].owner == first);
  CHECK(rooms[0].granted == UINT64_MAX);
  CHECK(rooms[0].used == 0);
  CHECK(rooms[0].shards == 0);
  CHECK(must(h.inner.node().rooms()).size() == 1);
  CHECK(code_of(node->allow(vault_id{}, 5)) == errc::invalid_argument);
  // What the daemon can not tell, it does not tell here either.
  h.inner.write("home/grants", "nothing of the kind");
  CHECK(code_of(node->rooms()) == errc::format_damaged);
  CHECK(code_of(node->allow(first, 5)) == errc::format_damaged);
}

TEST_CASE("who is not the operator neither gives room nor sees who has some", "[connect]") {
  // The daemon runs as somebody else than we do. Root may do all.
  served_house h{geteuid() + 1};
  auto node = h.connect();
  auto due = geteuid() == 0 ? errc{} : errc::permission_denied;
  CHECK(code_of(node->allow(vault_id::from(as_view("an owner of a vault somewhere.. ")), 5)) == due);
  CHECK(code_of(node->rooms()) == due);
  CHECK(must(h.inner.node().rooms()).size() == (geteuid() == 0 ? 1 : 0));
}

TEST_CASE("a vault comes back from its phrase over a connection, for who may add drives", "[connect]") {
  mesh_options mesh{"a mesh for recovery by the socket", {"127.0.0.1:0"}, {}, {}, true};
  house own{0, disk::simulated, {.mesh = mesh}};
  mesh.seeds = must(own.node().mesh())->listens;
  std::vector<std::unique_ptr<house>> peers;
  for (int i = 0; i < 2; ++i) {
    peers.push_back(std::make_unique<house>(1, disk::simulated, node_options{.mesh = mesh}));
    must(peers.back()->node().allow(own.vault().id(), 1 << 30));
    must(own.node().add_drive("node:" + must(peers.back()->node().mesh())->self.hex()));
  }
  auto phrase = must(own.vault().add_recovery_phrase());
  own.put_text("/x", "over there");
  must(own.vault().flush());
  auto is_kept = [&] {
    auto now = must(own.vault().status()).recovery;
    return now.now == recovery_report::state::kept && now.copies == 2;
  };
  for (auto end = std::chrono::steady_clock::now() + std::chrono::seconds{60}; !is_kept() && std::chrono::steady_clock::now() < end;)
    std::this_thread::yield();
  auto id = own.vault().id();
  auto made = must(own.vault().status()).recovery;
  own.close();
  mesh.seeds = must(peers[0]->node().mesh())->listens;
  auto with = credential::recovery_phrase(phrase);
  SECTION("the operator") {
    served_house h{geteuid(), mesh};
    auto node = h.connect();
    CHECK(code_of(node->recover_vault("main", with)) == errc::vault_exists);
    auto done = must(node->recover_vault("back", with));
    CHECK(done.id == id);
    CHECK(done.nodes.size() == 2);
    CHECK(done.rebuilt.files == 1);
    CHECK(done.made_ns > 0);
    auto back = must(node->open_vault("back", with));
    CHECK(must(get_text(back, "/x")) == "over there");
    CHECK(must(back.status()).recovery.nodes <= made.nodes);
  }
  SECTION("somebody else") {
    served_house h{geteuid() + 1, mesh};
    auto due = geteuid() == 0 ? errc{} : errc::permission_denied;
    CHECK(code_of(h.connect()->recover_vault("back", with)) == due);
  }
}

TEST_CASE("a rule for where data may lie is set over a connection, and what lies outside is told", "[connect]") {
  served_house h;
  auto node = h.connect();
  CHECK(must(node->rule()).empty());
  auto vault = must(node->open_vault("main", credential::this_device()));
  must(put_text(vault, "/x", noise(1, 300'000)));
  must(node->label_drive(node->drives()[0].id.hex(), {.region = "eu", .operated_by = "ann"}));
  placement_rule rule{.only = {{label_kind::region, "eu"}, {label_kind::operated_by, "ann"}}, .never = {{label_kind::zone, "cellar"}}};
  must(node->set_rule(rule));
  CHECK(must(node->rule()) == rule);
  CHECK(must(h.inner.node().rule()) == rule);
  CHECK(!node->drives()[0].outside_rule);
  CHECK(node->drives()[1].outside_rule);
  auto status = must(vault.status());
  CHECK(status.shards_outside > 0);
  CHECK(status.shards_outside == must(h.inner.vault().status()).shards_outside);
  CHECK(must(vault.distribution()).shards_outside == status.shards_outside);
  CHECK(code_of(node->set_rule({.only = {{label_kind::zone, ""}}})) == errc::name_invalid);
  put_stream_request what;
  what.from = std::make_shared<text_source>(noise(2, 1000));
  what.target_path = "/y";
  what.policy = "2+1";
  CHECK(code_of(vault.put(what)) == errc::rule_leaves_too_few);
  must(node->set_rule({}));
  CHECK(must(node->rule()).empty());
}

TEST_CASE("who is not the operator sees the rule and sets none, and sets nothing aside", "[connect]") {
  served_house h{geteuid() + 1};
  auto node = h.connect();
  auto due = geteuid() == 0 ? errc{} : errc::permission_denied;
  CHECK(code_of(node->set_rule({.never = {{label_kind::region, "us"}}})) == due);
  CHECK(code_of(node->rule()) == errc{});
  CHECK(code_of(node->reserve(1000)) == due);
  CHECK(code_of(node->reserved()) == due);
}

TEST_CASE("room is set aside over a connection", "[connect]") {
  served_house h;
  auto node = h.connect();
  CHECK(must(node->reserved()).bytes == 0);
  must(node->reserve(1000));
  CHECK(must(node->reserved()).bytes == 1000);
  CHECK(must(h.inner.node().reserved()).bytes == 1000);
  CHECK(code_of(node->allow(vault_id::from(as_view("an owner of a vault somewhere.. ")), 1001)) == errc::capacity_exceeded);
  CHECK(code_of(node->reserve(UINT64_MAX)) == errc::no_space);
}

TEST_CASE("drives are labelled over a connection, and what is told of places and losses is the same", "[connect]") {
  served_house h;
  auto node = h.connect();
  auto drives = node->drives();
  REQUIRE(drives.size() == 3);
  CHECK(must(node->label_drive(drives[0].id.hex(), {.region = "eu", .zone = "a", .operated_by = "ann"})).labels
        == drive_labels{"eu", "a", "ann"});
  must(node->label_drive(drives[0].id.hex(), {.operated_by = ""}));
  CHECK(code_of(node->label_drive(drives[1].id.hex(), {.zone = "a b"})) == errc::name_invalid);
  CHECK(node->drives()[0].labels == drive_labels{"eu", "a", ""});
  CHECK(h.inner.node().drives()[0].labels == drive_labels{"eu", "a", ""});
  CHECK(node->drives()[1].labels == drive_labels{});
  auto vault = must(node->open_vault("main", credential::this_device()));
  must(put_text(vault, "/a/one", noise(1, 300'000)));
  must(put_text(vault, "/two", noise(2, 300'000)));
  must(vault.set_tag("/two", "kind", "tax"));
  for (const auto& gone : {std::vector<drive_id>{}, {drives[0].id}, {drives[0].id, drives[2].id}}) {
    auto there = must(vault.foresee_loss(gone));
    auto here = must(h.inner.vault().foresee_loss(gone));
    CHECK(there.packs == here.packs);
    CHECK(there.now == here.now);
    CHECK(there.then == here.then);
    CHECK(there.shards_gone == here.shards_gone);
    CHECK(there.bytes_gone == here.bytes_gone);
    CHECK(there.shards_to_repair == here.shards_to_repair);
    CHECK(there.bytes_to_write == here.bytes_to_write);
    CHECK(there.bytes_to_read == here.bytes_to_read);
    CHECK(there.shards_unplaced == here.shards_unplaced);
    CHECK(there.drives.size() == gone.size());
  }
  CHECK(must(vault.foresee_loss({drives[0].id, drives[2].id})).then.lost > 0);
  CHECK(code_of(vault.foresee_loss({*drive_id::parse(std::string(32, '1'))})) == errc::not_found);
  for (const auto& what : {distribution_request{}, distribution_request{.paths = {"/a"}},
                           distribution_request{.tag_key = "kind", .tag = "tax"}, distribution_request{.tag_key = "none"}}) {
    auto there = must(vault.distribution(what));
    auto here = must(h.inner.vault().distribution(what));
    CHECK(there.files == here.files);
    CHECK(there.packs == here.packs);
    CHECK(there.standing == here.standing);
    CHECK(there.shards == here.shards);
    CHECK(there.shards_bad == here.shards_bad);
    CHECK(there.margin == here.margin);
    CHECK(there.margins == here.margins);
    REQUIRE(there.shares.size() == here.shares.size());
    for (size_t i = 0; i < there.shares.size(); ++i) {
      CHECK(there.shares[i].of == here.shares[i].of);
      CHECK(there.shares[i].name == here.shares[i].name);
      CHECK(there.shares[i].labelled == here.shares[i].labelled);
      CHECK(there.shares[i].packs == here.shares[i].packs);
      CHECK(there.shares[i].shards == here.shares[i].shards);
      CHECK(there.shares[i].packs_needed == here.shares[i].packs_needed);
      CHECK(there.shares[i].bytes == here.shares[i].bytes);
    }
  }
  CHECK(must(vault.distribution({.paths = {"/a"}})).files == 1);
}

TEST_CASE("who is not the operator labels no drive", "[connect]") {
  served_house h{geteuid() + 1};
  auto node = h.connect();
  auto due = geteuid() == 0 ? errc{} : errc::permission_denied;
  CHECK(code_of(node->label_drive(h.inner.drive(1), {.zone = "a"})) == due);
}

TEST_CASE("names, care and keys answer over a connection as they do without it", "[connect]") {
  served_house h;
  auto node = h.connect();
  auto vault = must(node->open_vault("main", credential::this_device()));
  must(put_text(vault, "/a/one", "first"));
  must(put_text(vault, "/a/one", "second"));
  auto same = [](const list_page& a, const list_page& b) {
    return std::equal(a.entries.begin(), a.entries.end(), b.entries.begin(), b.entries.end(), [](const entry& x, const entry& y) {
      return x.path == y.path && x.size == y.size && x.version_count == y.version_count && x.node == y.node && x.kind == y.kind;
    });
  };
  list_request all{.recursive = true};
  CHECK(same(must(vault.list(all)), must(h.inner.vault().list(all))));
  CHECK(must(vault.versions("/a/one")).size() == 2);
  must(vault.move("/a/one", "/b"));
  must(vault.copy("/b", "/c"));
  must(vault.set_tag("/b", "colour", "red"));
  CHECK(must(h.inner.vault().info("/b")).tags == must(vault.info("/b")).tags);
  must(vault.remove("/c"));
  auto trash = must(vault.trash());
  REQUIRE(trash.size() == 1);
  must(vault.restore_from_trash(trash[0].first.node, "/again"));
  CHECK(must(get_text(vault, "/again")) == "second");
  must(vault.flush());
  CHECK(must(vault.stats()).files == must(h.inner.vault().stats()).files);
  auto status = must(vault.status());
  CHECK(status.sentence == must(h.inner.vault().status()).sentence);
  CHECK(must(vault.verify({.deep = true})).shards_damaged == 0);
  CHECK(must(vault.status()).last_deep_verify_ns.has_value());
  CHECK(must(vault.cleanup({.dry_run = true})).packs_deleted == must(h.inner.vault().cleanup({.dry_run = true})).packs_deleted);
  CHECK(must(vault.rebalance(true)).shards_moved == 0);
  must(vault.change_password(credential::password("next")));
  CHECK(must(vault.key_locks()).size() == must(h.inner.vault().key_locks()).size());
  CHECK_FALSE(must(vault.add_recovery_phrase()).empty());
}

TEST_CASE("a trash of more entries than one answer has is listed whole", "[connect]") {
  served_house h;
  auto& inner = h.inner.vault();
  for (int i = 0; i < 501; ++i) {
    must(inner.make_folder("/" + std::to_string(i)));
    must(inner.remove("/" + std::to_string(i)));
  }
  auto node = h.connect();
  auto vault = must(node->open_vault("main", credential::this_device()));
  auto direct = must(inner.trash());
  for (int twice = 0; twice < 2; ++twice) {
    auto listed = must(vault.trash());
    REQUIRE(listed.size() == 501);
    CHECK(std::equal(listed.begin(), listed.end(), direct.begin(),
                     [](const auto& a, const auto& b) { return a.first.node == b.first.node && a.second == b.second; }));
  }
}

TEST_CASE("more names than a request holds are refused, and the connection serves on", "[connect]") {
  served_house h;
  auto node = h.connect();
  auto vault = must(node->open_vault("main", credential::this_device()));
  put_request many;
  for (int i = 0; i < 3000; ++i)
    many.sources.push_back({"/" + std::string(400, 'x') + std::to_string(i), "/" + std::to_string(i)});
  auto refused = vault.put(many);
  REQUIRE(code_of(refused) == errc::capacity_exceeded);
  CHECK(refused.error().message().find("1 MiB of names") != std::string::npos);
  must(vault.list({}));
}

TEST_CASE("a failure has the same code over a connection", "[connect]") {
  served_house h;
  auto node = h.connect();
  auto vault = must(node->open_vault("main", credential::this_device()));
  CHECK(code_of(vault.info("/none")) == errc::not_found);
  CHECK(code_of(get_text(vault, "/none")) == errc::not_found);
  CHECK(code_of(vault.make_folder("/../x")) == errc::name_invalid);
  CHECK(code_of(node->open_vault("none", credential::this_device())) == errc::no_vault);
  CHECK(code_of(node->open_vault("main", credential::password("wrong"))) == errc::wrong_password);
  CHECK(code_of(node->add_drive(h.inner.drive(1))) == errc::already_exists);
  CHECK(code_of(node->destroy_vault("main")) == errc::locked);
  auto stored = must(vault.put({.sources = {{"/none", "/x"}}}));
  REQUIRE(stored.failure_count == 1);
  CHECK(stored.failures[0].reason.code() == errc::not_found);
  // What fails here while the daemon reads comes back as it was.
  write_file(*h.files, "/broken", noise(2, 100'000));
  h.files->fail_read(1, errc::io_failed);
  auto broken = must(vault.put({.sources = {{"/broken", "/y"}}}));
  REQUIRE(broken.failure_count == 1);
  CHECK(broken.failures[0].reason.code() == errc::io_failed);
}

TEST_CASE("nobody listens: not found", "[connect]") {
  temp_folder folder;
  CHECK(code_of(datamesh::node::connect(folder.path() + "/none.sock")) == errc::not_found);
}

TEST_CASE("events of a connection's job come before its answer", "[connect]") {
  served_house h;
  std::vector<event> heard;
  auto node = h.connect([&](const event& what) { heard.push_back(what); });
  auto vault = must(node->open_vault("main", credential::this_device()));
  write_file(*h.files, "/file", noise(3, 200'000));
  must(vault.put({.sources = {{"/file", "/file"}}}));
  auto done = std::find_if(heard.begin(), heard.end(), [](const event& what) { return what.kind == event_kind::item_done; });
  REQUIRE(done != heard.end());
  CHECK(done->bytes_done == 200'000);
}

TEST_CASE("a client that answers at length while many events wait for it gets them all, and its answer is read", "[connect]") {
  served_house h;
  size_t heard = 0;
  auto node = h.connect([&](const event& what) { heard += what.subject.size() == 4000 ? 1 : 0; });
  auto vault = must(node->open_vault("main", credential::this_device()));
  auto from = std::make_shared<late_source>([&] {
    // More than a socket holds, while nobody takes them.
    for (auto i = 0; i < 1000; ++i)
      h.tell_clients({.kind = event_kind::item_done, .subject = std::string(4000, 'x')});
  });
  auto put = vault.put(put_stream_request{.from = from, .target_path = "/x"});
  CHECK(from->given > 500'000); // More than a socket holds, too.
  CHECK(must(put).files == 1);
  CHECK(heard == 1000);
}

TEST_CASE("a job over a connection is cancelled, and the connection serves on", "[connect]") {
  served_house h;
  auto node = h.connect();
  auto vault = must(node->open_vault("main", credential::this_device()));
  job_options job;
  auto from = std::make_shared<endless_source>(job.cancel);
  CHECK(code_of(vault.put(put_stream_request{.from = from, .target_path = "/x"}, job)) == errc::cancelled);
  CHECK(code_of(vault.info("/x")) == errc::not_found);
  CHECK(must(put_text(vault, "/y", "after")).files == 1);
}

TEST_CASE("who waits for memory gets that of a client that gives nothing, whose connection serves on", "[connect]") {
  auto time = std::make_shared<manual_clock>();
  served_house h{geteuid(), {}, time};
  h.inner.put_text("/file", "small");
  auto idle_node = h.connect();
  auto idle = must(idle_node->open_vault("main", credential::this_device()));
  auto from = std::make_shared<held_source>();
  auto put = std::async(std::launch::async, [&] { return idle.put(put_stream_request{.from = from, .target_path = "/x"}); });
  from->await_reader();
  auto other_node = h.connect();
  auto other = must(other_node->open_vault("main", credential::this_device()));
  auto get = std::async(std::launch::async, [&] { return get_text(other, "/file"); });
  // It may begin to wait only after some of these.
  for (size_t i = 0; i < 12'000 && get.wait_for(std::chrono::milliseconds{10}) != std::future_status::ready; ++i)
    time->advance(std::chrono::milliseconds{100});
  CHECK(get.wait_for(std::chrono::seconds{0}) == std::future_status::ready);
  // Its answer is to a call that nobody waits for any more.
  from->let_go();
  CHECK(code_of(put.get()) == errc::timed_out);
  CHECK(must(get.get()) == "small");
  CHECK(code_of(idle.info("/x")) == errc::not_found);
  CHECK(must(put_text(idle, "/y", "after")).files == 1);
}

TEST_CASE("a daemon that stops lets a job end, and then answers nobody", "[connect]") {
  served_house h;
  auto node = h.connect();
  auto vault = must(node->open_vault("main", credential::this_device()));
  auto from = std::make_shared<held_source>();
  auto put = std::async(std::launch::async, [&] { return vault.put(put_stream_request{.from = from, .target_path = "/x"}); });
  from->await_reader();
  auto stopped = std::async(std::launch::async, [&] { h.stop(); });
  from->let_go();
  CHECK(must(put.get()).files == 1);
  stopped.get();
  CHECK(code_of(vault.info("/x")) == errc::unavailable);
  CHECK(code_of(datamesh::node::connect(h.socket)) == errc::not_found);
  CHECK(h.inner.get_text("/x").empty());
}

TEST_CASE("vaults of other people are neither seen nor opened", "[connect]") {
  // The daemon runs as somebody else than we do.
  served_house h{geteuid() + 1};
  auto node = h.connect();
  CHECK(must(node->vaults()).empty());
  CHECK(code_of(node->open_vault("main", credential::this_device())) == errc::no_vault);
  must(node->create_vault({.name = "main", .password = credential::password("ours")}));
  auto vault = must(node->open_vault("main", credential::password("ours")));
  CHECK(vault.id() != h.inner.vault().id());
  CHECK(must(node->vaults()).size() == 1);
  CHECK(must(h.inner.node().vaults()).size() == 2);
}

} // namespace datamesh::test
