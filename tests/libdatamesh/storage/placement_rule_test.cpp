#include "storage/placement_rule.hpp"

#include "tests/support/code_of.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

constexpr auto region = label_kind::region;
constexpr auto zone = label_kind::zone;
constexpr auto operated_by = label_kind::operated_by;

std::optional<errc> refusal(const std::string& text) {
  auto read = parse_rule(text);
  return read ? std::nullopt : std::optional{read.error().code()};
}

std::optional<errc> refusal(const placement_rule& rule) {
  auto good = check_rule(rule);
  return good ? std::nullopt : std::optional{good.error().code()};
}

} // namespace

TEST_CASE("without a rule data may lie anywhere", "[rule]") {
  CHECK(allows({}, {}));
  CHECK(allows({}, {"us", "house-1", "ann"}));
}

TEST_CASE("only a drive that has the label is within a rule that names it, and one without a label is not", "[rule]") {
  placement_rule rule{.only = {{region, "eu"}}};
  CHECK(allows(rule, {"eu", "", ""}));
  CHECK(allows(rule, {"eu", "house-1", "ann"}));
  CHECK(!allows(rule, {"us", "", ""}));
  CHECK(!allows(rule, {}));
  // A zone or an operator of that name is no region.
  CHECK(!allows(rule, {"", "eu", "eu"}));
}

TEST_CASE("of labels of one kind one is enough, and of each kind there has to be one", "[rule]") {
  placement_rule rule{.only = {{region, "eu"}, {operated_by, "ann"}, {region, "ch"}}};
  CHECK(allows(rule, {"eu", "", "ann"}));
  CHECK(allows(rule, {"ch", "house-1", "ann"}));
  CHECK(!allows(rule, {"eu", "", "bob"}));
  CHECK(!allows(rule, {"ch", "", ""}));
  CHECK(!allows(rule, {"us", "", "ann"}));
}

TEST_CASE("a drive with a label that is never wanted is outside, whatever else it has", "[rule]") {
  placement_rule rule{.only = {{region, "eu"}}, .never = {{operated_by, "bob"}, {zone, "cellar"}}};
  CHECK(allows(rule, {"eu", "house-1", "ann"}));
  CHECK(allows(rule, {"eu", "", ""}));
  CHECK(!allows(rule, {"eu", "", "bob"}));
  CHECK(!allows(rule, {"eu", "cellar", "ann"}));
  placement_rule never{.never = {{region, "us"}}};
  CHECK(!allows(never, {"us", "", ""}));
  // Nobody said that it is there.
  CHECK(allows(never, {}));
}

TEST_CASE("a rule is read as it was written", "[rule]") {
  placement_rule rule{.only = {{region, "eu"}, {region, "ch"}, {operated_by, "ann.example"}}, .never = {{zone, "house-1"}}};
  auto text = encode_rule(rule);
  CHECK(text == "datamesh rule 1\nonly region=eu\nonly region=ch\nonly operator=ann.example\nnever zone=house-1\n");
  CHECK(*parse_rule(text) == rule);
  CHECK(*parse_rule(encode_rule({})) == placement_rule{});
  CHECK(text_of(rule) == "only region=eu, only region=ch, only operator=ann.example, never zone=house-1");
}

TEST_CASE("a file of a rule that is not as it is written is refused", "[rule]") {
  std::string title = "datamesh rule 1\n";
  CHECK(!refusal(title + "only region=eu\n"));
  CHECK(refusal("datamesh rule 2\nwhatever") == errc::format_newer);
  for (const auto& text :
       {std::string{}, std::string{"datamesh rule 1"}, std::string{"datamesh rule 0\n"}, std::string{"datamesh labels 1\n"},
        title + "only region=eu", title + "only region=\n", title + "only region\n", title + "only  region=eu\n",
        title + "only country=eu\n", title + "always region=eu\n", title + "only region=e u\n", title + "only region=eu zone=a\n",
        title + "\n", title + "only region=eu\nonly region=eu\n", title + "only region=" + std::string(65, 'a') + "\n"}) {
    INFO(text);
    CHECK(refusal(text) == errc::format_damaged);
  }
  auto many = title;
  for (size_t i = 0; i <= rule_labels_max; ++i)
    many += "never zone=z" + std::to_string(i) + "\n";
  CHECK(refusal(many) == errc::format_damaged);
}

TEST_CASE("a rule that can not be is refused", "[rule]") {
  CHECK(!refusal(placement_rule{}));
  CHECK(refusal(placement_rule{.only = {{region, ""}}}) == errc::name_invalid);
  CHECK(refusal(placement_rule{.only = {{region, "e u"}}}) == errc::name_invalid);
  CHECK(refusal(placement_rule{.never = {{zone, "a\n"}}}) == errc::name_invalid);
  CHECK(refusal(placement_rule{.only = {{region, "eu"}, {region, "eu"}}}) == errc::invalid_argument);
  CHECK(!refusal(placement_rule{.only = {{region, "eu"}}, .never = {{zone, "eu"}}}));
  placement_rule many;
  for (size_t i = 0; i < rule_labels_max; ++i)
    many.never.push_back({zone, "z" + std::to_string(i)});
  CHECK(!refusal(many));
  many.only.push_back({region, "eu"});
  CHECK(refusal(many) == errc::invalid_argument);
}

TEST_CASE("where there is no file there is no rule", "[rule]") {
  test::simulated_files files;
  CHECK(*read_rule(files, "/home/rule") == placement_rule{});
}
