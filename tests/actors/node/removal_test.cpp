// A vault that is destroyed: its key, its catalog, and its shards on the drives.
#include "node/removal.hpp"
#include "tests/actors/node/house.hpp"

#include <filesystem>
#include <numeric>

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;

uint64_t shards_on(const node& of) {
  auto reports = of.drives();
  return std::accumulate(reports.begin(), reports.end(), uint64_t{0}, [](uint64_t sum, const auto& drive) { return sum + drive.shards; });
}

void make_second(house& h, const std::string& text) {
  must(h.node().create_vault({.name = "second", .trust_this_device = true}));
  auto second = must(h.node().open_vault("second", credential::this_device()));
  must(put_text(second, "/yours", text));
}

} // namespace

TEST_CASE("a destroyed vault takes its shards along and leaves those of others", "[removal]") {
  house h{3};
  auto text = noise(1, 3 * mib);
  h.put_text("/mine", text);
  auto before = shards_on(h.node());
  make_second(h, noise(2, 3 * mib));
  auto both = shards_on(h.node());
  REQUIRE(both > before);
  CHECK(code_of(h.node().destroy_vault("second", credential::password("wrong"))) == errc::wrong_password);
  CHECK(code_of(h.node().destroy_vault("main", credential::this_device())) == errc::locked);
  CHECK(shards_on(h.node()) == both);
  auto gone = must(h.node().destroy_vault("second", credential::this_device()));
  CHECK(gone.packs > 0);
  CHECK(gone.shards_removed == both - before);
  CHECK(gone.bytes_freed > 3 * mib);
  CHECK(gone.drives_left.empty());
  CHECK(shards_on(h.node()) == before);
  CHECK(must(h.node().vaults()).size() == 1);
  CHECK(code_of(h.files().status(h.path("home/vaults/second"))) == errc::not_found);
  CHECK(h.files_below(h.path("home/removed")).empty());
  CHECK(code_of(h.node().destroy_vault("second", credential::this_device())) == errc::no_vault);
  CHECK(h.get_text("/mine") == text);
  CHECK(must(h.vault().verify({.deep = true})).shards_missing == 0);
}

TEST_CASE("without what opens the vault only its key can be destroyed, and the shards stay", "[removal]") {
  house h{3};
  make_second(h, noise(2, mib));
  auto before = shards_on(h.node());
  must(h.node().destroy_vault("second"));
  CHECK(shards_on(h.node()) == before);
  CHECK(code_of(h.node().open_vault("second", credential::this_device())) == errc::no_vault);
  CHECK(code_of(h.node().destroy_vault("second", credential::this_device())) == errc::no_vault);
}

TEST_CASE("what a drive that was away keeps of a destroyed vault goes when it is back", "[removal]") {
  house h{3};
  make_second(h, noise(2, 2 * mib));
  h.close();
  must(h.files().rename(h.drive(2), h.path("away")));
  h.open();
  auto gone = must(h.node().destroy_vault("second", credential::this_device()));
  CHECK(gone.drives_left == std::vector{h.drive(2)});
  CHECK(shards_on(h.node()) == 0);
  CHECK(code_of(h.node().open_vault("second", credential::this_device())) == errc::no_vault);
  // Still away.
  CHECK(must(h.node().destroy_vault("second", credential::this_device())).drives_left.size() == 1);
  must(h.node().adopt_drive(h.path("away")));
  CHECK(shards_on(h.node()) > 0);
  SECTION("by the same call") {
    CHECK(must(h.node().destroy_vault("second", credential::this_device())).shards_removed > 0);
  }
  SECTION("by a cleanup of another vault") {
    must(h.vault().cleanup({.dry_run = true}));
    CHECK(shards_on(h.node()) > 0);
    must(h.vault().cleanup({}));
  }
  SECTION("also when a new vault has the name") {
    make_second(h, noise(3, mib));
    auto all = shards_on(h.node());
    must(h.vault().cleanup({}));
    CHECK(shards_on(h.node()) < all);
    auto second = must(h.node().open_vault("second", credential::this_device()));
    CHECK(must(get_text(second, "/yours")) == noise(3, mib));
    return;
  }
  CHECK(shards_on(h.node()) == 0);
  CHECK(code_of(h.node().destroy_vault("second", credential::this_device())) == errc::no_vault);
}

TEST_CASE("a destruction that the power cuts short anywhere is undone or can be run again", "[removal]") {
  auto text = noise(2, 200'000);
  auto whole = 0;
  auto ended = false;
  for (uint64_t at = 1; !ended; ++at) {
    CAPTURE(at);
    house h{2};
    make_second(h, text);
    auto& disk = dynamic_cast<simulated_files&>(h.files());
    disk.sync_all();
    disk.crash_after(at);
    ended = h.node().destroy_vault("second", credential::this_device()).has_value() && disk.powered();
    h.close();
    if (!disk.powered())
      disk.crash(at);
    h.open();
    auto opened = h.node().open_vault("second", credential::this_device());
    if (opened) {
      ++whole;
      CHECK(must(get_text(*opened, "/yours")) == text);
      CHECK(must(opened->verify({.deep = true})).shards_missing == 0);
      { auto closed = std::move(*opened); }
    }
    auto again = h.node().destroy_vault("second", credential::this_device());
    CHECK((again || again.error().code() == errc::no_vault));
    CHECK(shards_on(h.node()) == 0);
    CHECK(must(h.node().vaults()).size() == 1);
    CHECK(h.files_below(h.path("home/removed")).empty());
  }
  CHECK(whole > 0);
}

TEST_CASE("a new vault takes nothing over from one whose removal was interrupted", "[removal]") {
  house h{2};
  make_second(h, noise(2, mib));
  h.write("home/vaults/second/removal", "");
  must(h.files().remove(h.path("home/vaults/second/key")));
  must(h.node().create_vault({.name = "second", .trust_this_device = true}));
  auto second = must(h.node().open_vault("second", credential::this_device()));
  CHECK(must(second.list({})).entries.empty());
}

TEST_CASE("a vault whose key file is lost is not taken for one that is being removed", "[removal]") {
  house h{2};
  make_second(h, noise(2, mib));
  must(h.files().rename(h.path("home/vaults/second/key"), h.path("kept")));
  CHECK(code_of(h.node().destroy_vault("second", credential::this_device())) == errc::no_vault);
  must(h.files().rename(h.path("kept"), h.path("home/vaults/second/key")));
  auto second = must(h.node().open_vault("second", credential::this_device()));
  CHECK(must(get_text(second, "/yours")) == noise(2, mib));
}

TEST_CASE("a destroyed vault that was brought back from a copy of its key keeps its shards", "[removal]") {
  house h{3, disk::system};
  auto text = noise(5, 3 * mib);
  make_second(h, text);
  auto second = must(h.node().open_vault("second", credential::this_device()));
  auto key = must(second.key_file());
  { auto closed = std::move(second); }
  namespace fs = std::filesystem;
  h.close();
  fs::rename(h.drive(1), h.path("away"));
  h.open();
  CHECK(must(h.node().destroy_vault("second", credential::this_device())).drives_left == std::vector<std::string>{h.drive(1)});
  h.close();
  fs::rename(h.path("away"), h.drive(1));
  h.open();
  CHECK(shards_on(h.node()) > 0);
  // Its shards on the other drives are gone: what came back with the first is what there is.
  auto made = must(h.node().restore_vault("back", key, credential::this_device()));
  CHECK(made.files == 0);
  auto left = shards_on(h.node());
  REQUIRE(left > 0);
  must(h.vault().cleanup({}));
  CHECK(shards_on(h.node()) == left);
  CHECK(h.files_below(h.path("home/removed")).empty());
}

TEST_CASE("a list of what is to be removed is read as it was written, and nothing else is", "[removal]") {
  auto id = [](auto kind, uint8_t fill) {
    std::vector<std::byte> raw(decltype(kind)::size, std::byte{fill});
    return decltype(kind)::from(raw);
  };
  removal_list list{id(vault_id{}, 9), {id(drive_id{}, 1), id(drive_id{}, 2)}, {{id(pack_id{}, 3), 6}, {id(pack_id{}, 4), 128}}};
  auto text = encode_removal(list);
  CHECK(must(decode_removal(as_view(text), "list")) == list);
  CHECK(must(decode_removal(as_view(encode_removal({list.vault, {}, {}})), "list")) == removal_list{list.vault, {}, {}});
  auto read = [](const std::string& what) {
    return code_of(decode_removal(as_view(what), "list"));
  };
  CHECK(read("") == errc::format_alien);
  CHECK(read("datamesh removal 2\n") == errc::format_newer);
  CHECK(read("datamesh removal 1\n") == errc::format_damaged);
  auto heading = text.find('\n', text.find("vault ")) + 1;
  for (auto length = heading + 1; length < text.size(); ++length)
    if (text[length - 1] != '\n')
      CHECK(read(text.substr(0, length)) == errc::format_damaged);
  auto line = text.substr(text.rfind("pack"));
  for (const auto& wrong :
       {std::string{"\n"}, std::string{"pack \n"}, line.substr(0, line.size() - 4) + "0\n", line.substr(0, line.size() - 4) + "129\n",
        line.substr(0, line.size() - 1) + "x\n", "drive " + id(drive_id{}, 1).hex() + " 1\n", "drive " + id(drive_id{}, 1).hex() + "\n",
        "vault " + list.vault.hex() + "\n"}) {
    CAPTURE(wrong);
    CHECK(read(text + wrong) == errc::format_damaged);
  }
}

} // namespace datamesh::test
