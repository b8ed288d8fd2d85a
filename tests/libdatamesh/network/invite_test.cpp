#include "network/invite.hpp"

#include "datamesh/members.hpp"
#include "tests/libdatamesh/network/node.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/code_of.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::test;

namespace {

struct inviting {
  test_node node{seed()};
  invite what;

  inviting() {
    what.network = mesh_id_of("a mesh for the tests of invites").value();
    what.local = true;
    what.made_s = 1'767'225'600;
    what.expires_s = what.made_s + 3600;
    what.seeds = {node.id().hex() + "@/ip4/192.168.1.7/tcp/7000", node.id().hex() + "@/dns/mesh.example/tcp/7000"};
  }
  [[nodiscard]] result<bytes> made() const {
    return network::sign_invite(what, node.seed);
  }
  [[nodiscard]] bytes list(const network_id& of) {
    auto key = operator_key::make(node.chance).value();
    member_list list;
    list.network = of;
    list.operators = {key.id()};
    return key.sign(list)->raw;
  }
};

} // namespace

TEST_CASE("an invite is read as it was signed", "[invite]") {
  inviting i;
  if (GENERATE(false, true))
    i.what.members = i.list(i.what.network);
  i.what.local = GENERATE(false, true);
  auto read = read_invite(i.made().value());
  REQUIRE(read);
  CHECK(read->network == i.what.network);
  CHECK(read->local == i.what.local);
  CHECK(read->seeds == i.what.seeds);
  CHECK(read->made_s == i.what.made_s);
  CHECK(read->expires_s == i.what.expires_s);
  CHECK(std::ranges::equal(read->members.view(), i.what.members.view()));
  CHECK(read->from == i.node.id());
  CHECK_FALSE(read->is_over(i.what.expires_s - 1));
  CHECK(read->is_over(i.what.expires_s));
}

TEST_CASE("an invite that was cut off, lengthened or changed in any byte is refused", "[invite]") {
  inviting i;
  auto raw = i.made().value();
  for (size_t size = 0; size < raw.size(); ++size)
    CHECK_FALSE(read_invite(raw.view().first(size)));
  std::vector<std::byte> all{raw.view().begin(), raw.view().end()};
  for (auto& one : all) {
    one ^= std::byte{1};
    CHECK_FALSE(read_invite(all));
    one ^= std::byte{1};
  }
  CHECK(read_invite(all));
  all.push_back({});
  CHECK_FALSE(read_invite(all));
  all.pop_back();
  all[8] = std::byte{2};
  CHECK(code_of(read_invite(all)) == errc::format_newer);
  CHECK(code_of(read_invite(as_view("DMMEMBR\x01"))) == errc::format_alien);
  all[8] = std::byte{1};
  all.back() ^= std::byte{1};
  CHECK(code_of(read_invite(all)) == errc::authentication_failed);
}

TEST_CASE("what no invite may be is signed by nobody", "[invite]") {
  inviting i;
  SECTION("no seed") {
    i.what.seeds.clear();
  }
  SECTION("too many seeds") {
    i.what.seeds.assign(17, i.what.seeds[0]);
  }
  SECTION("a seed without an id") {
    i.what.seeds = {"/ip4/192.168.1.7/tcp/7000"};
  }
  SECTION("a seed in another form than the one") {
    i.what.seeds = {i.node.id().hex() + "@192.168.1.7:7000"};
  }
  SECTION("an end before its beginning") {
    i.what.expires_s = i.what.made_s;
  }
  SECTION("the members of another mesh") {
    i.what.members = i.list(mesh_id_of("another mesh of the same tests").value());
  }
  SECTION("members that are none") {
    i.what.members = bytes::copy_of(std::string_view{"nobody"});
  }
  CHECK(code_of(i.made()) == errc::invalid_argument);
}
