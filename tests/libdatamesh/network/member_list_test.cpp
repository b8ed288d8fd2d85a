#include "network/member_list.hpp"

#include "tests/libdatamesh/network/node.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/code_of.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

const auto mesh = network_id::from(as_view("a mesh for the tests of members."));

/// 0, 1, 2 ...
struct counting : random_source {
  result<void> fill(byte_span out) override {
    for (auto& one : out)
      one = static_cast<std::byte>(next++);
    return {};
  }
  uint8_t next = 0;
};

peer_id node(uint8_t number) {
  peer_id id;
  id.span().back() = std::byte{number};
  return id;
}

struct people {
  seeded_random chance{seed()};
  operator_key ann = operator_key::make(chance).value();
  operator_key bob = operator_key::make(chance).value();
  operator_key eve = operator_key::make(chance).value();

  [[nodiscard]] member_list list(uint64_t number, std::vector<const operator_key*> by, uint32_t threshold = 1) const {
    member_list made;
    made.network = mesh;
    made.number = number;
    made.made_s = 1'790'000'000;
    made.threshold = threshold;
    for (const auto* one : by)
      made.operators.push_back(one->id());
    std::ranges::sort(made.operators);
    made.members = {{node(1), "one"}, {node(2), ""}, {node(3), "M\xc3\xbcller"}};
    return made;
  }
};

/// All bytes with one changed.
std::vector<std::byte> with_byte(const bytes& raw, size_t at, uint8_t value) {
  std::vector<std::byte> changed{raw.view().begin(), raw.view().end()};
  changed.at(at) = std::byte{value};
  return changed;
}

result<std::optional<signed_members>> after(const signed_members& present, const signed_members& next) {
  return judge_after(present, read_members(next.raw).value());
}

} // namespace

TEST_CASE("a list of members is read as it was signed", "[members]") {
  people p;
  auto list = p.list(7, {&p.ann, &p.bob}, 2);
  list.expires_s = 1'900'000'000;
  auto made = p.ann.sign(list).value();
  auto read = read_members(made.raw);
  REQUIRE(read);
  CHECK(read->list == list);
  CHECK(read->signers == std::vector{p.ann.id()});
  CHECK_FALSE(read->is_whole());
  auto both = p.bob.sign(*read).value();
  auto again = read_members(both.raw);
  REQUIRE(again);
  CHECK(again->is_whole());
  CHECK(again->list == list);
  CHECK(members_digest(*again) == members_digest(*read));
  CHECK(again->list.find(node(2)) != nullptr);
  CHECK(again->list.find(node(4)) == nullptr);
  // Who has signed does not count twice.
  CHECK(std::ranges::equal(p.ann.sign(both)->raw.view(), both.raw.view()));
}

TEST_CASE("the list of members in the documents is made so", "[members]") {
  counting chance;
  auto key = operator_key::make(chance).value();
  member_list list;
  list.network = mesh;
  list.number = 3;
  list.made_s = 1'767'225'600;
  list.expires_s = 1'798'761'600;
  list.operators = {key.id()};
  list.members = {{node(1), "cellar"}, {node(2), ""}};
  auto made = key.sign(list).value();
  CHECK(made.raw.size() == 76 + 32 + 39 + 33 + 2 + 96);
  std::string hex;
  for (auto one : made.raw.view())
    hex += fmt::format("{:02x}", std::to_integer<unsigned>(one));
  CHECK(hex
        == "444d4d454d4252010100000061206d65736820666f7220746865207465737473206f66206d656d626572732e030000000000000000b9556900000000"
           "80ec366b00000000010001000200000003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8000000000000000000000000"
           "00000000000000000000000000000000000000010663656c6c6172000000000000000000000000000000000000000000000000000000000000000200"
           "010003a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b821fdf098b9ce568c5e8062eeddf500d9c9a4574cb41477d2f60b"
           "b8c8e3a002c5091469d8830212f74cdf7050b51c6c885b50814e3aee340dafcb225c69eae204");
}

TEST_CASE("a list that was cut off, lengthened or changed in any byte is refused", "[members]") {
  people p;
  auto made = p.ann.sign(p.list(7, {&p.ann})).value();
  for (size_t size = 0; size < made.raw.size(); ++size)
    CHECK_FALSE(read_members(made.raw.view().first(size)));
  std::vector<std::byte> more{made.raw.view().begin(), made.raw.view().end()};
  more.push_back({});
  CHECK(code_of(read_members(more)) == errc::format_damaged);
  for (size_t at = 0; at < made.raw.size(); ++at) {
    auto was = std::to_integer<uint8_t>(made.raw.view()[at]);
    CHECK_FALSE(read_members(with_byte(made.raw, at, was ^ 1)));
    CHECK_FALSE(read_members(with_byte(made.raw, at, was ^ 0x80)));
  }
  CHECK(code_of(read_members(as_view("DMPEERS\x01 and so on"))) == errc::format_alien);
  CHECK(code_of(read_members(with_byte(made.raw, 8, 2))) == errc::format_newer);
}

TEST_CASE("a list that breaks a rule is signed by nobody", "[members]") {
  people p;
  auto list = p.list(7, {&p.ann, &p.bob});
  SECTION("number 0") {
    list.number = 0;
  }
  SECTION("no operator") {
    list.operators.clear();
  }
  SECTION("an operator twice") {
    list.operators[1] = list.operators[0];
  }
  SECTION("more have to sign than there are") {
    list.threshold = 3;
  }
  SECTION("nobody has to sign") {
    list.threshold = 0;
  }
  SECTION("a member twice") {
    list.members.push_back(list.members.back());
  }
  SECTION("members without order") {
    std::swap(list.members[0], list.members[1]);
  }
  SECTION("a label that is too long") {
    list.members[0].label = std::string(member_label_max + 1, 'x');
  }
  SECTION("a control character") {
    list.members[0].label = "a\nb";
  }
  SECTION("a label that is no UTF-8") {
    list.members[0].label = GENERATE("\xc3", "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\x80");
  }
  SECTION("a time of nobody") {
    list.made_s = -1;
  }
  SECTION("too many members") {
    list.members.clear();
    for (uint32_t i = 0; i <= members_max; ++i) {
      peer_id id;
      id.span()[0] = static_cast<std::byte>(i >> 8);
      id.span()[1] = static_cast<std::byte>(i);
      list.members.push_back({id, {}});
    }
  }
  CHECK(code_of(p.ann.sign(list)) == errc::invalid_argument);
}

TEST_CASE("the largest list fits what a list may have", "[members]") {
  people p;
  auto list = p.list(1, {&p.ann});
  list.members.clear();
  for (uint32_t i = 0; i < members_max; ++i) {
    peer_id id;
    id.span()[0] = static_cast<std::byte>(i >> 8);
    id.span()[1] = static_cast<std::byte>(i);
    list.members.push_back({id, std::string(member_label_max, 'x')});
  }
  auto made = p.ann.sign(list);
  REQUIRE(made);
  CHECK(made->raw.size() <= member_list_size_max);
  CHECK(read_members(made->raw).value().list == list);
}

TEST_CASE("a first list counts when enough of its own operators have signed it", "[members]") {
  people p;
  auto one = p.ann.sign(p.list(1, {&p.ann, &p.bob}, 2)).value();
  CHECK(code_of(judge_first(mesh, one.raw)) == errc::authentication_failed);
  CHECK(code_of(judge_first(mesh, p.eve.sign(one)->raw)) == errc::authentication_failed);
  CHECK(judge_first(mesh, p.bob.sign(one)->raw));
  CHECK(code_of(judge_first(network_id{}, p.bob.sign(one)->raw)) == errc::invalid_argument);
}

TEST_CASE("a newer list takes the place of an older one, and never the other way round", "[members]") {
  people p;
  auto five = p.ann.sign(p.list(5, {&p.ann})).value();
  auto six = p.ann.sign(p.list(6, {&p.ann})).value();
  auto next = after(five, six);
  REQUIRE(next);
  REQUIRE(*next);
  CHECK((*next)->list.number == 6);
  CHECK(code_of(after(six, five)) == errc::conflict);
  auto same = after(five, five);
  REQUIRE(same);
  CHECK_FALSE(*same);
  // Another signature does not make another list.
  auto known = after(five, p.bob.sign(five).value());
  REQUIRE(known);
  CHECK_FALSE(*known);
}

TEST_CASE("a list of whom the operators do not know is refused", "[members]") {
  people p;
  auto five = p.ann.sign(p.list(5, {&p.ann})).value();
  // Eve has made herself an operator.
  CHECK(code_of(after(five, p.eve.sign(p.list(6, {&p.eve})).value())) == errc::authentication_failed);
  CHECK(code_of(after(five, p.eve.sign(p.list(6, {&p.ann})).value())) == errc::authentication_failed);
  CHECK(code_of(after(five, p.eve.sign(p.list(6, {&p.ann, &p.eve})).value())) == errc::authentication_failed);
  auto elsewhere = p.list(6, {&p.ann});
  elsewhere.network = {};
  CHECK(code_of(after(five, p.ann.sign(elsewhere).value())) == errc::invalid_argument);
}

TEST_CASE("two lists of one number are told, and the first one stays", "[members]") {
  people p;
  auto five = p.ann.sign(p.list(5, {&p.ann})).value();
  auto other = p.list(5, {&p.ann});
  other.members.pop_back();
  CHECK(code_of(after(five, p.ann.sign(other).value())) == errc::conflict);
}

TEST_CASE("as many operators as the list says have to sign the next", "[members]") {
  people p;
  auto list = p.list(5, {&p.ann, &p.bob, &p.eve}, 2);
  auto five = p.bob.sign(p.ann.sign(list).value()).value();
  auto six = p.list(6, {&p.ann, &p.bob, &p.eve}, 2);
  auto by_one = p.ann.sign(six).value();
  CHECK(code_of(after(five, by_one)) == errc::authentication_failed);
  CHECK(after(five, p.eve.sign(by_one).value()).value());
  // Whoever lowers the number is counted by the old one.
  auto alone = p.list(6, {&p.ann}, 1);
  CHECK(code_of(after(five, p.ann.sign(alone).value())) == errc::authentication_failed);
  CHECK(after(five, p.bob.sign(p.ann.sign(alone).value()).value()).value());
}

TEST_CASE("operators are followed by others when both have signed", "[members]") {
  people p;
  auto five = p.ann.sign(p.list(5, {&p.ann})).value();
  auto to_bob = p.ann.sign(p.list(6, {&p.bob})).value();
  CHECK(code_of(after(five, to_bob)) == errc::authentication_failed);
  auto six = p.bob.sign(to_bob).value();
  CHECK(after(five, six).value());
  CHECK(after(six, p.bob.sign(p.list(7, {&p.bob})).value()).value());
  CHECK(code_of(after(six, p.ann.sign(p.list(7, {&p.bob})).value())) == errc::authentication_failed);
}

TEST_CASE("who is on the list is let in, until the list runs out", "[members]") {
  people p;
  auto time = std::make_shared<manual_clock>();
  auto now = std::chrono::floor<std::chrono::seconds>(time->wall()).time_since_epoch().count();
  auto list = p.list(5, {&p.ann});
  list.expires_s = now + 60;
  membership of{time, p.ann.sign(list).value()};
  CHECK(of.refuses(node(1)) == link_refusal::none);
  CHECK(of.refuses(node(4)) == link_refusal::no_member);
  time->advance(60s);
  CHECK(of.refuses(node(1)) == link_refusal::members_expired);
  list.number = 6;
  list.expires_s.reset();
  list.members.erase(list.members.begin());
  auto next = of.judge(p.ann.sign(list).value().raw);
  REQUIRE(next);
  of.adopt(std::move(**next));
  CHECK(of.refuses(node(1)) == link_refusal::no_member);
  CHECK(of.refuses(node(2)) == link_refusal::none);
}

TEST_CASE("the key of an operator is opened by its password alone", "[members]") {
  people p;
  auto sealed = p.ann.seal("correct horse", p.chance).value();
  CHECK(operator_key::inspect(sealed).value() == p.ann.id());
  auto again = operator_key::open(sealed, "correct horse");
  REQUIRE(again);
  CHECK(again->id() == p.ann.id());
  auto list = p.list(1, {&p.ann});
  CHECK(std::ranges::equal(again->sign(list)->raw.view(), p.ann.sign(list)->raw.view()));
  CHECK(code_of(operator_key::open(sealed, "correct horsf")) == errc::wrong_password);
  CHECK(code_of(operator_key::open(sealed, "")) == errc::invalid_argument);
  CHECK(code_of(operator_key::open(sealed.view().first(sealed.size() - 1), "correct horse")) == errc::key_file_damaged);
  CHECK(code_of(operator_key::open(as_view("DMNODEK\x01"), "correct horse")) == errc::format_alien);
  for (size_t at = 8; at < sealed.size(); ++at)
    CHECK(code_of(operator_key::inspect(with_byte(sealed, at, std::to_integer<uint8_t>(sealed.view()[at]) ^ 4))) == errc::key_file_damaged);
  CHECK_FALSE(std::ranges::equal(p.ann.seal("correct horse", p.chance)->view(), sealed.view()));
}
