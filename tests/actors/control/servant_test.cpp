#include "control/client_files.hpp"

#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using control::servant;
using operation = v1::ControlCall;

namespace {

struct served {
  std::shared_ptr<test::simulated_files> disk = std::make_shared<test::simulated_files>();

  served() {
    REQUIRE(disk->make_folder("/tree"));
    REQUIRE(disk->make_folder("/tree/folder"));
    REQUIRE(disk->make_folder("/private"));
    REQUIRE(write_whole(*disk, "/tree/folder/file", as_view("mine")));
    REQUIRE(write_whole(*disk, "/private/key", as_view("secret")));
    REQUIRE(disk->make_symlink("/private", "/tree/away"));
    REQUIRE(disk->make_symlink("/private/key", "/tree/key"));
  }
  /// Why it is refused; nothing when it is done.
  static std::optional<errc> ask(servant& by, operation::Operation what, const std::string& path, const std::string& other = {}) {
    v1::ControlCall call;
    call.set_operation(what);
    call.set_path(path);
    call.set_other(other);
    auto answered = by.answer(call, {});
    if (!answered.header.has_failure())
      return std::nullopt;
    return static_cast<errc>(answered.header.failure().code());
  }
};

/// A client next door: its answers must fit into a frame.
class next_door : public control::caller {
public:
  explicit next_door(std::shared_ptr<servant> by) : by_(std::move(by)) {}
  result<answer> call(v1::ControlCall what, byte_view body, bool) override {
    ++calls;
    answer made;
    made.header = by_->answer(what, body).header;
    if (change)
      change(made.header);
    largest = std::max(largest, made.header.ByteSizeLong());
    if (made.header.has_failure())
      return fail(static_cast<errc>(made.header.failure().code()), "ask the client next door");
    return made;
  }
  size_t calls = 0;
  size_t largest = 0;
  std::function<void(v1::ControlAnswer&)> change;

private:
  std::shared_ptr<servant> by_;
};

} // namespace

TEST_CASE("a folder with more names than a frame holds is listed in parts", "[servant]") {
  served room;
  constexpr size_t many = 40'000;
  std::string long_name(230, 'n');
  REQUIRE(room.disk->make_folder("/tree/many"));
  for (size_t i = 0; i < many; ++i)
    REQUIRE(room.disk->create("/tree/many/" + long_name + std::to_string(i)));
  auto by = std::make_shared<servant>(room.disk, std::vector<std::string>{"/tree"}, false);
  auto client = std::make_shared<next_door>(by);
  auto files = control::files_of(client);
  auto direct = room.disk->list("/tree/many");
  auto listed = files->list("/tree/many");
  REQUIRE(listed);
  REQUIRE(listed->size() == many);
  CHECK(std::equal(listed->begin(), listed->end(), direct->begin(), [](const auto& a, const auto& b) { return a.name == b.name; }));
  CHECK(client->calls > 2);
  CHECK(client->largest < 5u << 20);
  CHECK(files->list("/tree/folder").value().size() == 1);
  // Who asks for no length, as earlier daemons do, is not told that there is more.
  v1::ControlCall whole;
  whole.set_operation(operation::LIST);
  whole.set_path("/tree/many");
  auto all = by->answer(whole, {});
  CHECK(all.header.entries_size() == static_cast<int>(many));
  CHECK(all.header.number() == 0);
}

TEST_CASE("a client whose listing never ends is refused", "[servant]") {
  served room;
  auto client = std::make_shared<next_door>(std::make_shared<servant>(room.disk, std::vector<std::string>{"/tree"}, false));
  auto files = control::files_of(client);
  SECTION("as it begins anew each time") {
    client->change = [&](v1::ControlAnswer& made) {
      made.clear_entries();
      made.add_entries()->set_name("again");
      made.set_number(1);
    };
  }
  SECTION("as it only says that there is more") {
    client->change = [](v1::ControlAnswer& made) {
      made.clear_entries();
      made.set_number(1);
    };
  }
  auto listed = files->list("/tree/folder");
  REQUIRE_FALSE(listed);
  CHECK(listed.error().code() == errc::format_damaged);
  CHECK(client->calls <= 2);
}

TEST_CASE("a client serves what lies below the paths of its request", "[servant]") {
  served room;
  servant by{room.disk, {"/tree"}, true};
  CHECK_FALSE(room.ask(by, operation::LIST, "/tree"));
  CHECK_FALSE(room.ask(by, operation::OPEN_READ, "/tree/folder/file"));
  CHECK_FALSE(room.ask(by, operation::READ_LINK, "/tree/away"));
  CHECK_FALSE(room.ask(by, operation::CREATE, "/tree/folder/new"));
  CHECK_FALSE(room.ask(by, operation::RENAME, "/tree/folder/new", "/tree/newer"));
  CHECK_FALSE(room.ask(by, operation::REMOVE, "/tree/away"));
}

TEST_CASE("a client serves nothing outside of them", "[servant]") {
  served room;
  servant by{room.disk, {"/tree"}, true};
  for (const auto* path : {"/private/key", "/treehouse", "/tree/../private/key", "/tree/folder/../../private/key", ""})
    CHECK(room.ask(by, operation::OPEN_READ, path) == errc::permission_denied);
  CHECK(room.ask(by, operation::RENAME, "/tree/folder/file", "/private/key") == errc::permission_denied);
}

TEST_CASE("a client follows no link out of them", "[servant]") {
  served room;
  servant by{room.disk, {"/tree"}, true};
  for (const auto* path : {"/tree/away/key", "/tree//away/key", "/tree/key", "/tree/./away/key"})
    CHECK(room.ask(by, operation::OPEN_READ, path) == errc::permission_denied);
  for (const auto* path : {"/tree/away", "/tree/away/"})
    CHECK(room.ask(by, operation::LIST, path) == errc::permission_denied);
  CHECK(room.ask(by, operation::CREATE, "/tree/away/new") == errc::permission_denied);
  CHECK(room.ask(by, operation::CREATE_UNNAMED, "/tree/away") == errc::permission_denied);
  CHECK(room.ask(by, operation::REMOVE, "/tree/away/key") == errc::permission_denied);
  CHECK(room.ask(by, operation::RENAME, "/tree/folder/file", "/tree/away/key") == errc::permission_denied);
  // Nor one that was made for the purpose.
  CHECK_FALSE(room.ask(by, operation::MAKE_SYMLINK, "/tree/made", "/private"));
  CHECK(room.ask(by, operation::CREATE, "/tree/made/new") == errc::permission_denied);
  CHECK(as_text(read_whole(*room.disk, "/private/key", 100).value()) == "secret");
}

TEST_CASE("a client locks its open files for the node", "[servant]") {
  served room;
  auto by = std::make_shared<servant>(room.disk, std::vector<std::string>{"/tree"}, true);
  auto files = control::files_of(std::make_shared<next_door>(by));
  auto first = files->open_write("/tree/folder/file");
  REQUIRE(first);
  auto locked = (*first)->lock();
  REQUIRE(locked);
  CHECK(locked->inode == room.disk->status("/tree/folder/file")->inode);
  // Another client of the same disk.
  auto next = std::make_shared<servant>(room.disk, std::vector<std::string>{"/tree"}, true);
  auto second = control::files_of(std::make_shared<next_door>(next))->open_write("/tree/folder/file");
  REQUIRE(second);
  auto refused = (*second)->lock();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == errc::locked);
  first->reset();
  CHECK((*second)->lock());
}

TEST_CASE("a client changes nothing while it is only read", "[servant]") {
  served room;
  servant by{room.disk, {"/tree"}, false};
  CHECK_FALSE(room.ask(by, operation::OPEN_READ, "/tree/folder/file"));
  for (auto what : {operation::CREATE, operation::OPEN_WRITE, operation::REMOVE, operation::SYNC_FOLDER, operation::MAKE_SYMLINK})
    CHECK(room.ask(by, what, "/tree/folder/file") == errc::permission_denied);
}
