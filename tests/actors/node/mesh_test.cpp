// Nodes as members of a mesh, over sockets of the loopback address.
#include "base/little_endian.hpp"
#include "crypto/hash.hpp"
#include "datamesh/members.hpp"
#include "tests/actors/node/house.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>

using namespace datamesh;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

const std::string some_mesh = "a mesh for the tests of the node";
const std::string list_path = "/members.list";

/// What a node told, for the thread of the test.
class told_events {
public:
  void take(const event& what) {
    std::lock_guard guard{mutex_};
    events_.push_back(what);
    changed_.notify_all();
  }
  bool await_text(const std::string& part) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 60s, [&] {
      return std::ranges::any_of(events_, [&](const event& one) { return one.detail.find(part) != std::string::npos; });
    });
  }
  bool await(severity level) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 60s, [&] {
      return std::ranges::any_of(
          events_, [&](const event& one) { return one.kind == event_kind::node_changed && one.subject == "mesh" && one.level == level; });
    });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<event> events_;
};

/// One node with a disk of its own that outlives it.
class member {
public:
  explicit member(mesh_options mesh) : mesh_(std::move(mesh)) {
    open();
  }

  void open() {
    told = std::make_shared<told_events>();
    node_ = must(try_open());
  }
  result<std::unique_ptr<node>> try_open() {
    node_options options;
    options.home = "/home";
    options.environment.files = files;
    options.codec_threads = 1;
    options.mesh = mesh_;
    options.on_event = [to = told](const event& what) {
      to->take(what);
    };
    auto there = files->status("/home").has_value();
    return there ? node::open(std::move(options)) : node::create(std::move(options));
  }
  void close() {
    node_.reset();
  }
  void reopen(mesh_options mesh) {
    close();
    mesh_ = std::move(mesh);
    open();
  }

  /// Puts a list of members where the settings name it.
  void hand(const signed_members& list) {
    REQUIRE(write_whole(*files, list_path, list.raw));
  }
  [[nodiscard]] result<void> reload() {
    return node_->reload_members();
  }
  [[nodiscard]] members_report members() const {
    return report().members.value_or(members_report{});
  }
  [[nodiscard]] size_t links_with(const peer_id& whom) const {
    size_t links = 0;
    for (const auto& one : peers())
      if (one.id == whom)
        links += one.links_dialed + one.links_accepted;
    return links;
  }

  [[nodiscard]] bool reopens(mesh_options mesh) {
    close();
    mesh_ = std::move(mesh);
    auto opened = try_open();
    if (opened)
      node_ = std::move(*opened);
    return opened.has_value();
  }

  [[nodiscard]] bool awaits_another() {
    return told->await(severity::info);
  }
  [[nodiscard]] mesh_report report() const {
    return must(node_->mesh()).value();
  }
  [[nodiscard]] std::vector<peer_report> peers() const {
    return must(node_->peers());
  }
  [[nodiscard]] std::string at() const {
    return report().announces.at(0);
  }
  /// What it knows of the other, if anything.
  [[nodiscard]] std::optional<peer_report> of(const member& other) const {
    auto all = peers();
    auto found = std::ranges::find(all, other.report().self, &peer_report::id);
    return found == all.end() ? std::nullopt : std::optional{*found};
  }
  [[nodiscard]] bool knows(const member& other) const {
    auto found = of(other);
    return found && found->known;
  }

  std::shared_ptr<simulated_files> files = std::make_shared<simulated_files>(system_environment().clock);
  std::shared_ptr<told_events> told;

private:
  mesh_options mesh_;
  std::unique_ptr<node> node_;
};

/// Asks until it is so, for as long as that may take.
template <class Holds>
bool comes_to_be(Holds holds) {
  for (auto end = std::chrono::steady_clock::now() + 60s; std::chrono::steady_clock::now() < end;)
    if (holds())
      return true;
  return false;
}

mesh_options with_seeds(std::vector<std::string> seeds, std::string network = some_mesh) {
  return {std::move(network), {"127.0.0.1:0"}, {}, std::move(seeds), true};
}

std::string read_file(file_system& files, const std::string& path) {
  return std::string{as_text(must(read_whole(files, path, 1 << 20)))};
}

std::vector<std::string> names_in_home(const member& of) {
  std::vector<std::string> names;
  for (const auto& one : must(of.files->list("/home")))
    names.push_back(one.name);
  return names;
}

} // namespace

TEST_CASE("a node finds another by a seed, and each shows the other", "[mesh]") {
  member first{with_seeds({})};
  CHECK_FALSE(first.report().joined());
  member second{with_seeds({first.report().self.hex() + "@" + first.at()})};
  REQUIRE(second.awaits_another());
  REQUIRE(first.awaits_another());
  auto mine = first.report();
  auto other = second.report();
  CHECK(mine.self != other.self);
  CHECK(mine.network == other.network);
  CHECK(mine.local);
  REQUIRE(mine.listens.size() == 1);
  CHECK(mine.listens[0] != "127.0.0.1:0");
  CHECK(mine.announces == mine.listens);
  CHECK(mine.joined());
  CHECK(mine.nodes_known == 1);
  CHECK(mine.nodes_alive == 1);
  CHECK(mine.links >= 1);
  CHECK_FALSE(mine.file_failure);
  for (auto [of, to] : {std::pair{&first, &second}, std::pair{&second, &first}}) {
    REQUIRE(of->peers().size() == 1);
    auto seen = of->of(*to);
    REQUIRE(seen);
    CHECK(seen->known);
    CHECK(seen->addresses == to->report().announces);
    CHECK(seen->links_dialed + seen->links_accepted >= 1);
    CHECK(seen->linked_since_ns.value_or(0) > 0);
  }
}

TEST_CASE("three nodes from one seed come to know each other", "[mesh]") {
  member first{with_seeds({})};
  member second{with_seeds({first.at()})};
  member third{with_seeds({first.at()})};
  CHECK(comes_to_be([&] { return second.knows(third) && third.knows(second) && first.knows(second) && first.knows(third); }));
  CHECK(third.peers().size() == 2);
}

TEST_CASE("a node of another mesh is not let in", "[mesh]") {
  member first{with_seeds({})};
  member own{with_seeds({}, "another mesh of the same tests")};
  member stranger{with_seeds({first.at(), own.at()}, "another mesh of the same tests")};
  REQUIRE(stranger.awaits_another());
  CHECK(stranger.knows(own));
  CHECK_FALSE(stranger.of(first));
  CHECK(first.peers().empty());
  CHECK_FALSE(first.report().joined());
  CHECK(stranger.report().network != first.report().network);
}

TEST_CASE("a node that only dials is a member whom nobody else can dial", "[mesh]") {
  member first{with_seeds({})};
  member second{{some_mesh, {}, {}, {first.at()}, true}};
  REQUIRE(second.awaits_another());
  CHECK(second.report().listens.empty());
  CHECK(second.report().announces.empty());
  REQUIRE(comes_to_be([&] { return first.of(second).has_value(); }));
  CHECK_FALSE(first.of(second)->known);
  CHECK(first.of(second)->links_accepted == 1);
}

TEST_CASE("a node that closes ends its links at once", "[mesh]") {
  member first{with_seeds({})};
  member second{with_seeds({first.at()})};
  REQUIRE(first.awaits_another());
  REQUIRE(second.awaits_another());
  auto gone = second.report().self;
  second.close();
  CHECK(comes_to_be([&] { return first.report().links == 0; }));
  // It may still be known, until it has left some requests unanswered.
  for (const auto& one : first.peers()) {
    CHECK(one.id == gone);
    CHECK(one.known);
    CHECK_FALSE(one.linked_since_ns);
  }
}

TEST_CASE("a node is the same one after a restart, and no other is", "[mesh]") {
  member first{with_seeds({})};
  member other{with_seeds({})};
  auto self = first.report().self;
  CHECK(self != other.report().self);
  auto key = must(first.files->status("/home/node.key"));
  CHECK((key.mode & 0777) == 0600);
  auto content = read_file(*first.files, "/home/node.key");
  first.reopen(with_seeds({}));
  CHECK(first.report().self == self);
  CHECK(read_file(*first.files, "/home/node.key") == content);
}

TEST_CASE("a node without seeds comes back by the nodes that it knew", "[mesh]") {
  member first{with_seeds({})};
  member second{with_seeds({first.at()})};
  REQUIRE(second.awaits_another());
  second.reopen(with_seeds({}));
  REQUIRE(second.awaits_another());
  CHECK(second.knows(first));
}

TEST_CASE("nodes of one mesh are not told of another", "[mesh]") {
  member first{with_seeds({})};
  member second{with_seeds({first.at()})};
  REQUIRE(second.awaits_another());
  auto file = "known-nodes." + first.report().network->brief();
  second.reopen(with_seeds({}, "another mesh of the same tests"));
  CHECK(std::ranges::count(names_in_home(second), file) == 1);
  CHECK(second.peers().empty());
}

TEST_CASE("a damaged file of known nodes is told, and the seeds are asked all the same", "[mesh]") {
  member first{with_seeds({})};
  member second{with_seeds({first.at()})};
  REQUIRE(second.awaits_another());
  second.close();
  REQUIRE(second.files->flip_bit("/home/known-nodes." + first.report().network->brief(), 40 * 8));
  second.open();
  CHECK(second.told->await(severity::warning));
  CHECK(second.awaits_another());
  REQUIRE(second.report().file_failure);
  CHECK(second.report().file_failure->code() == errc::format_damaged);
}

TEST_CASE("a key of the node that is damaged, cut short or of a later version is refused and left as it is", "[mesh]") {
  member one{with_seeds({})};
  one.close();
  auto content = read_file(*one.files, "/home/node.key");
  REQUIRE(content.size() == 76);
  auto due = errc::key_file_damaged;
  SECTION("a bit of the seed") {
    content[20] = static_cast<char>(content[20] ^ 1);
  }
  SECTION("a bit of the checksum") {
    content.back() = static_cast<char>(content.back() ^ 1);
  }
  SECTION("the end is missing") {
    content.resize(GENERATE(as<size_t>{}, 0, 11, 44, 75));
  }
  SECTION("something follows") {
    content += '\0';
  }
  SECTION("something else") {
    content = std::string(76, 'x');
  }
  SECTION("a later version") {
    content[8] = 2;
    auto sum = crypto::blake3(as_view(content).first(44));
    content.replace(44, 32, sum.text());
    due = errc::format_newer;
  }
  REQUIRE(write_whole(*one.files, "/home/node.key", as_view(content)));
  auto opened = one.try_open();
  REQUIRE(code_of(opened) == due);
  CHECK(opened.error().message().find("/home/node.key") != std::string::npos);
  CHECK(read_file(*one.files, "/home/node.key") == content);
}

TEST_CASE("a node with settings of a mesh that are wrong, or a port that is taken, is not opened", "[mesh]") {
  member first{with_seeds({})};
  auto taken = first.at();
  mesh_options wrong;
  auto due = errc::invalid_argument;
  SECTION("a name that is guessed") {
    wrong = with_seeds({}, "home");
  }
  SECTION("a private address in a mesh that is not local") {
    wrong = with_seeds({});
    wrong.local = false;
  }
  SECTION("no way to meet anybody") {
    wrong = {some_mesh, {}, {}, {}, true};
  }
  SECTION("a port that is taken") {
    wrong = {some_mesh, {taken}, {}, {}, true};
    due = errc::unavailable;
  }
  member second{with_seeds({})};
  second.close();
  node_options options;
  options.home = "/home";
  options.environment.files = second.files;
  options.mesh = wrong;
  CHECK(code_of(node::open(options)) == due);
  // Nothing is held by it afterwards.
  second.open();
}

TEST_CASE("a node that is in no mesh says so, makes no key and opens no socket", "[mesh]") {
  node_options options;
  options.home = "/home";
  auto files = std::make_shared<simulated_files>();
  options.environment.files = files;
  auto alone = must(node::create(std::move(options)));
  CHECK_FALSE(must(alone->mesh()));
  CHECK(code_of(alone->peers()) == errc::unavailable);
  CHECK_FALSE(files->status("/home/node.key"));
}

namespace {

mesh_options closed(std::vector<std::string> seeds = {}) {
  auto options = with_seeds(std::move(seeds));
  options.members = list_path;
  return options;
}

/// Nodes of a closed mesh, and the operator who says which.
struct closed_mesh {
  operator_key ann = operator_key::make(*system_environment().random).value();
  operator_key eve = operator_key::make(*system_environment().random).value();

  [[nodiscard]] member_list list(uint64_t number, const std::vector<peer_id>& of) const {
    member_list made;
    made.network = mesh_id_of(some_mesh).value();
    made.number = number;
    made.operators = {ann.id()};
    for (const auto& one : of)
      made.members.push_back({one, {}});
    std::ranges::sort(made.members, {}, &listed_node::id);
    return made;
  }
  [[nodiscard]] signed_members signed_list(uint64_t number, const std::vector<peer_id>& of) const {
    return ann.sign(list(number, of)).value();
  }
};

} // namespace

TEST_CASE("in a closed mesh members are let in, and a stranger who knows the mesh is not, as both are told", "[mesh][members]") {
  closed_mesh mesh;
  member first{with_seeds({})};
  member second{with_seeds({})};
  member stranger{with_seeds({})};
  CHECK_FALSE(first.report().members);
  auto list = mesh.signed_list(1, {first.report().self, second.report().self});
  first.hand(list);
  second.hand(list);
  first.reopen(closed());
  second.reopen(closed({first.at()}));
  REQUIRE(second.awaits_another());
  CHECK(second.knows(first));
  CHECK(first.members().number == 1);
  CHECK(first.members().members == 2);
  CHECK(first.members().operators == 1);
  CHECK(first.members().has_us);
  CHECK_FALSE(first.members().failure);
  stranger.reopen(with_seeds({first.report().self.hex() + "@" + first.at(), second.at()}));
  auto self = stranger.report().self;
  REQUIRE(first.told->await_text("no link with node " + self.hex()));
  REQUIRE(second.told->await_text("no link with node " + self.hex()));
  CHECK(first.told->await_text("not on the list of members"));
  CHECK(stranger.told->await_text("not on its list of members"));
  CHECK_FALSE(stranger.report().joined());
  CHECK(first.links_with(self) == 0);
  CHECK_FALSE(first.knows(stranger));
}

TEST_CASE("a member does not let in a stranger whom it dials", "[mesh][members]") {
  closed_mesh mesh;
  member stranger{with_seeds({})};
  member first{with_seeds({})};
  first.hand(mesh.signed_list(1, {first.report().self}));
  first.reopen(closed({stranger.at()}));
  CHECK(first.told->await_text("not on the list of members"));
  CHECK(stranger.told->await_text("not on its list of members"));
  CHECK_FALSE(first.report().joined());
  CHECK_FALSE(stranger.report().joined());
}

TEST_CASE("a newer list goes from node to node, ends the links of whom it leaves out, and is never rolled back", "[mesh][members]") {
  closed_mesh mesh;
  member first{with_seeds({})};
  member second{with_seeds({})};
  member third{with_seeds({})};
  auto one = mesh.signed_list(1, {first.report().self, second.report().self, third.report().self});
  for (auto* each : {&first, &second, &third})
    each->hand(one);
  first.reopen(closed());
  second.reopen(closed({first.at()}));
  third.reopen(closed({first.at()}));
  REQUIRE(comes_to_be([&] { return third.knows(first) && third.knows(second) && second.knows(third); }));
  auto gone = third.report().self;

  auto two = mesh.signed_list(2, {first.report().self, second.report().self});
  first.hand(two);
  REQUIRE(first.reload());
  CHECK(first.members().number == 2);
  REQUIRE(comes_to_be([&] { return second.members().number == 2; }));
  CHECK(second.told->await_text("list of members 2 holds"));
  CHECK(comes_to_be([&] { return first.links_with(gone) == 0 && second.links_with(gone) == 0; }));
  CHECK(third.told->await_text("not on its list of members"));
  CHECK(comes_to_be([&] { return third.report().links == 0; }));
  // It learned of it from nobody, and lets the others in, who do not want to.
  CHECK(third.members().number == 1);

  // The old list again, by the operator of the node or of the settings.
  first.hand(one);
  auto back = first.reload();
  REQUIRE_FALSE(back);
  CHECK(back.error().code() == errc::conflict);
  CHECK(first.members().number == 2);
  // The file of the second one is as old as it was.
  second.reopen(closed({first.at()}));
  CHECK(second.members().number == 2);
  CHECK(second.told->await_text("which is newer than number 1"));
  third.reopen(closed({second.at()}));
  CHECK(second.told->await_text("no link with node " + gone.hex()));
  CHECK(second.links_with(gone) == 0);
  // It is closed without a file, too.
  second.reopen(with_seeds({}));
  CHECK(second.members().number == 2);
}

TEST_CASE("a node that was away gets the newest list from the first that it meets", "[mesh][members]") {
  closed_mesh mesh;
  member first{with_seeds({})};
  member second{with_seeds({})};
  auto one = mesh.signed_list(1, {first.report().self, second.report().self});
  first.hand(mesh.signed_list(4, {first.report().self, second.report().self}));
  second.hand(one);
  first.reopen(closed());
  second.reopen(closed({first.at()}));
  CHECK(comes_to_be([&] { return second.members().number == 4; }));
  auto kept = read_members(must(read_whole(*second.files, "/home/members." + mesh_id_of(some_mesh)->brief(), member_list_size_max)));
  REQUIRE(kept);
  CHECK(kept->list.number == 4);
}

TEST_CASE("a list that the operators did not sign is refused, and the present one holds", "[mesh][members]") {
  closed_mesh mesh;
  member first{with_seeds({})};
  auto self = first.report().self;
  first.hand(mesh.signed_list(1, {self}));
  first.reopen(closed());
  auto forged = mesh.list(2, {self});
  forged.operators = {mesh.eve.id()};
  auto due = errc::authentication_failed;
  SECTION("another operator's") {
    first.hand(mesh.eve.sign(forged).value());
  }
  SECTION("in the name of the operator") {
    auto raw = mesh.signed_list(2, {self}).raw;
    std::vector<std::byte> changed{raw.view().begin(), raw.view().end()};
    changed.back() ^= std::byte{1};
    REQUIRE(write_whole(*first.files, list_path, changed));
  }
  SECTION("another list of the same number") {
    first.hand(mesh.signed_list(1, {}));
    due = errc::conflict;
  }
  SECTION("a list of another mesh") {
    auto other = mesh.list(2, {self});
    other.network = mesh_id_of("another mesh of the same tests").value();
    first.hand(mesh.ann.sign(other).value());
    due = errc::invalid_argument;
  }
  SECTION("garbage") {
    REQUIRE(write_whole(*first.files, list_path, as_view("DMMEMBR and no more")));
    due = errc::format_alien;
  }
  auto taken = first.reload();
  REQUIRE_FALSE(taken);
  CHECK(taken.error().code() == due);
  CHECK(first.members().number == 1);
  // Nor by a restart; it is told.
  first.reopen(closed());
  CHECK(first.members().number == 1);
  CHECK(first.told->await_text("is not taken, and list of members 1 holds"));
}

TEST_CASE("a node that does not know whom to let in does not start", "[mesh][members]") {
  closed_mesh mesh;
  member first{with_seeds({})};
  auto self = first.report().self;
  auto kept = "/home/members." + mesh_id_of(some_mesh)->brief();
  SECTION("the file is not there") {}
  SECTION("too few have signed the first list") {
    auto list = mesh.list(1, {self});
    list.operators.push_back(mesh.eve.id());
    std::ranges::sort(list.operators);
    list.threshold = 2;
    first.hand(mesh.ann.sign(list).value());
  }
  SECTION("what is kept is damaged") {
    first.hand(mesh.signed_list(1, {self}));
    first.reopen(closed());
    first.close();
    REQUIRE(first.files->flip_bit(kept, 50 * 8));
  }
  CHECK_FALSE(first.reopens(closed()));
}

TEST_CASE("a node that is not on the list says so", "[mesh][members]") {
  closed_mesh mesh;
  member first{with_seeds({})};
  first.hand(mesh.signed_list(1, {}));
  first.reopen(closed());
  CHECK(first.told->await_text("this node is not on the list of members"));
  CHECK_FALSE(first.members().has_us);
  auto none = member{with_seeds({})}.reload();
  REQUIRE_FALSE(none);
  CHECK(none.error().code() == errc::unavailable);
}
