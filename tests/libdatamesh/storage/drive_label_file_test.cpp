#include "storage/drive_label_file.hpp"

#include "tests/support/code_of.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

const std::string hex_a(32, 'a');
const std::string hex_b(32, 'b');
const auto id_a = *drive_id::parse(hex_a);
const auto id_b = *drive_id::parse(hex_b);

std::optional<errc> refusal(const std::string& text) {
  auto read = parse_labels(text);
  return read ? std::nullopt : std::optional{read.error().code()};
}

} // namespace

TEST_CASE("labels are read as they were written, and a drive without one is not named", "[labels]") {
  label_table some{{id_a, {"eu", "house-1", "ann.example"}}, {id_b, {"", "", "bob"}}, {*drive_id::parse(std::string(32, 'c')), {}}};
  auto text = encode_labels(some);
  CHECK(text == "datamesh labels 1\ndrive " + hex_a + " region=eu zone=house-1 operator=ann.example\ndrive " + hex_b + " operator=bob\n");
  some.erase(*drive_id::parse(std::string(32, 'c')));
  CHECK(*parse_labels(text) == some);
  CHECK(parse_labels(encode_labels({}))->empty());
}

TEST_CASE("a file of labels that is not as it is written is refused", "[labels]") {
  std::string title = "datamesh labels 1\n";
  auto one = "drive " + hex_a + " zone=x\n";
  CHECK(!refusal(title + one));
  CHECK(refusal("datamesh labels 2\nwhatever") == errc::format_newer);
  for (const auto& text :
       {std::string{}, std::string{"datamesh labels 1"}, std::string{"datamesh labels 0\n"}, std::string{"datamesh node 1\n"},
        title + one + one, title + "drive " + hex_a + " zone=x", title + "drive " + hex_a + "\n", title + "drive " + hex_a + " \n",
        title + "drive " + hex_a + " zone=x \n", title + "drive " + hex_a + " zone=\n", title + "drive " + hex_a + " zone\n",
        title + "drive " + hex_a + " zone=x zone=y\n", title + "drive " + hex_a + " rack=x\n", title + "drive " + hex_a + " zone=x=y\n",
        title + "drive " + std::string(32, 'A') + " zone=x\n", title + "drive " + std::string(31, 'a') + " zone=x\n", title + "\n",
        title + " " + one, title + "label " + hex_a + " zone=x\n"}) {
    CAPTURE(text);
    CHECK(refusal(text) == errc::format_damaged);
  }
}

TEST_CASE("a label has letters, digits and little else", "[labels]") {
  for (const auto& good : {std::string{"a"}, std::string{"eu-west.1_b"}, std::string{"7"}, std::string(64, 'z')})
    CHECK(check_labels({"", good, ""}));
  for (const auto& bad : {std::string(65, 'z'), std::string{"-a"}, std::string{".a"}, std::string{"_"}, std::string{"a b"},
                          std::string{"a\n"}, std::string{"a=b"}, std::string{"a/b"}, std::string{"\xc3\xa4"}, std::string{"a\0b", 3}}) {
    CAPTURE(bad);
    for (const auto& labels : {drive_labels{bad, "", ""}, drive_labels{"", bad, ""}, drive_labels{"", "", bad}}) {
      auto refused = check_labels(labels);
      REQUIRE(!refused);
      CHECK(refused.error().code() == errc::name_invalid);
    }
  }
}

TEST_CASE("a change of labels touches those that it names", "[labels]") {
  drive_labels old{"eu", "a", "ann"};
  CHECK(changed_by(old, {}) == old);
  CHECK(changed_by(old, {std::nullopt, "b", std::nullopt}) == drive_labels{"eu", "b", "ann"});
  CHECK(changed_by(old, {"", std::nullopt, ""}) == drive_labels{"", "a", ""});
}

TEST_CASE("no file of labels is no label", "[labels]") {
  test::simulated_files disk;
  REQUIRE(disk.make_folder("/home"));
  CHECK(read_labels(disk, "/home/labels")->empty());
  REQUIRE(write_whole(disk, "/home/labels", as_view("datamesh labels 1\n")));
  CHECK(read_labels(disk, "/home/labels")->empty());
  REQUIRE(write_whole(disk, "/home/labels", as_view("datamesh labels 1\ndrive")));
  CHECK(read_labels(disk, "/home/labels").error().code() == errc::format_damaged);
}
