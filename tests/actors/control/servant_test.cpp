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

} // namespace

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

TEST_CASE("a client changes nothing while it is only read", "[servant]") {
  served room;
  servant by{room.disk, {"/tree"}, false};
  CHECK_FALSE(room.ask(by, operation::OPEN_READ, "/tree/folder/file"));
  for (auto what : {operation::CREATE, operation::OPEN_WRITE, operation::REMOVE, operation::SYNC_FOLDER, operation::MAKE_SYMLINK})
    CHECK(room.ask(by, what, "/tree/folder/file") == errc::permission_denied);
}
