#include "control/vault_owner.hpp"

#include <catch2/catch.hpp>

using datamesh::errc;
using datamesh::control::vault_owner;

TEST_CASE("the daemon's own uid has its vaults under their plain names", "[control]") {
  vault_owner own{1000, 1000};
  CHECK(own.kept_as("main").value() == "main");
  CHECK(own.called("main") == "main");
  CHECK(own.called("u1.main") == std::nullopt);
}

TEST_CASE("two people may each have a vault of one name and see only their own", "[control]") {
  vault_owner ann{0, 1000};
  vault_owner bob{0, 1001};
  CHECK(ann.kept_as("main").value() == "u1000.main");
  CHECK(bob.kept_as("main").value() == "u1001.main");
  CHECK(ann.called("u1000.main") == "main");
  CHECK(bob.called("u1000.main") == std::nullopt);
  CHECK(ann.called("main") == std::nullopt);
  CHECK(vault_owner{0, 100}.called("u1000.main") == std::nullopt);
}

TEST_CASE("nobody names another's vault", "[control]") {
  for (uint32_t peer : {0u, 1000u, 1001u}) {
    vault_owner who{0, peer};
    CHECK(who.kept_as("u1000.main").error().code() == errc::name_invalid);
    CHECK(who.kept_as("u0.x").error().code() == errc::name_invalid);
    CHECK(who.kept_as("").error().code() == errc::name_invalid);
    CHECK(who.kept_as(".main").error().code() == errc::name_invalid);
    CHECK(who.kept_as("unicorn.main"));
    CHECK(who.kept_as("u.main"));
  }
}

TEST_CASE("a name must fit with its owner before it", "[control]") {
  vault_owner who{0, 4294967295u};
  CHECK(who.kept_as(std::string(52, 'a')));
  CHECK(who.kept_as(std::string(53, 'a')).error().code() == errc::name_invalid);
}
