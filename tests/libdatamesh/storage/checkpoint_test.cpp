#include "storage/checkpoint.hpp"

#include "datamesh/v1/checkpoint.pb.h"
#include "tests/libdatamesh/storage/catalog_history.hpp"

using namespace datamesh;
using namespace datamesh::storage;
using namespace datamesh::test;

namespace {

constexpr int64_t hour = 3600ll * 1'000'000'000;

struct opened {
  std::shared_ptr<memory_disk> disk = std::make_shared<memory_disk>();
  std::unique_ptr<catalog> names = open_catalog(disk);

  opened() {
    std::vector<chunk_id> chunks;
    for (uint64_t n = 1; n <= chunk_count; ++n)
      chunks.push_back(chunk(n));
    add(*names, {new_pack(pack(500), chunks)});
  }
  void take(const std::vector<operation>& ops, seeded_random& random) {
    for (size_t at = 0; at < ops.size();) {
      catalog_commit c;
      auto end = std::min<size_t>(ops.size(), at + 1 + random.below(20));
      c.operations.assign(ops.begin() + static_cast<ptrdiff_t>(at), ops.begin() + static_cast<ptrdiff_t>(end));
      REQUIRE(names->commit(c));
      at = end;
    }
  }
  std::vector<std::string> write(size_t part_size = checkpoint_part_size) const {
    checkpoint_writer writer{names->freeze(), 77, part_size};
    std::vector<std::string> parts;
    for (;;) {
      auto part = writer.next();
      INFO((part ? std::string{} : part.error().message()));
      REQUIRE(part);
      if (!*part)
        return parts;
      parts.push_back(std::move(**part));
    }
  }
  result<void> import(const std::vector<std::string>& parts) {
    for (const auto& part : parts) {
      catalog_commit c;
      c.imported = {part};
      if (auto done = names->commit(c); !done)
        return done;
    }
    return {};
  }
  digest print() const {
    auto sound = names->check();
    INFO((sound ? std::string{} : sound.error().message()));
    REQUIRE(sound);
    return names->fingerprint().value();
  }
};

/// Reads all parts, as a rebuild does; the error of the first that is refused.
result<bool> read_all(const std::vector<std::string>& parts) {
  checkpoint_reader reader;
  for (const auto& part : parts)
    if (auto good = reader.next(part); !good)
      return fail(good.error());
  return reader.whole();
}

std::vector<std::string> some_parts(size_t part_size = 600) {
  seeded_random random{run_seed()};
  opened from;
  from.take(history{random}.make_operations(120), random);
  auto parts = from.write(part_size);
  REQUIRE(parts.size() > 4);
  return parts;
}

operations_entry listed(const device_id& who, uint64_t first, uint64_t last, bool checkpoint = false) {
  operations_entry e;
  e.device = who;
  e.first_sequence = first;
  e.last_sequence = last;
  e.checkpoint = checkpoint;
  return e;
}

/// A checkpoint that covers the first *count* operations of each of some devices.
good_checkpoint covering(uint64_t number, const std::map<uint64_t, uint64_t>& counts) {
  good_checkpoint c;
  c.number = number;
  for (const auto& [who, count] : counts) {
    auto& log = c.header.devices[device(who)];
    digest link;
    for (uint64_t s = 1; s <= count; ++s) {
      auto hash = crypto::blake3(as_view(std::to_string(s)));
      log.add(s, link, hash);
      link = hash;
    }
    c.header.operations += count;
  }
  return c;
}

} // namespace

TEST_CASE("a catalog made from a checkpoint has the rows of the one that wrote it", "[checkpoint]") {
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  for (int round = 0; round < 40; ++round) {
    CAPTURE(round);
    auto ops = history{random}.make_operations(1 + random.below(200));
    shuffle(ops, random);
    opened from;
    from.take(ops, random);
    from.take({}, random);
    catalog_commit condemned;
    condemned.operations = from.names->stamp({condemn_packs{{pack(7), pack(8)}}}, 5);
    REQUIRE(from.names->commit(condemned));
    auto parts = from.write(1 + random.below(5000));
    REQUIRE(read_all(parts).value());
    opened made;
    REQUIRE(made.import(parts));
    CHECK(made.disk->content == from.disk->content);
    CHECK(made.print() == from.print());
    // It goes on as the same device, behind numbers that packs unknown to it may carry.
    auto next = made.names->stamp({purge_node{nth_node(1)}}, 9).at(0);
    auto there = from.names->stamp({purge_node{nth_node(1)}}, 9).at(0);
    CHECK(next.previous == there.previous);
    CHECK(next.sequence >= there.sequence);
  }
}

TEST_CASE("a checkpoint of any prefix and the operations behind it, in any order, make the catalog of all", "[checkpoint]") {
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  for (int round = 0; round < 60; ++round) {
    CAPTURE(round);
    auto ops = history{random}.make_operations(10 + random.below(110));
    opened all;
    all.take(ops, random);
    // What the writer knew: any set, of any device, with gaps.
    auto arrival = ops;
    if (round % 2 == 1)
      shuffle(arrival, random);
    auto cut = static_cast<ptrdiff_t>(1 + random.below(arrival.size()));
    std::vector<operation> rest{arrival.begin() + cut, arrival.end()};
    opened writer;
    writer.take({arrival.begin(), arrival.begin() + cut}, random);
    opened made;
    REQUIRE(made.import(writer.write(1 + random.below(3000))));
    // Late ones that it covers come again, between those that it does not.
    for (auto n = random.below(20); n > 0; --n)
      rest.push_back(arrival[random.below(static_cast<uint64_t>(cut))]);
    shuffle(rest, random);
    made.take(rest, random);
    CHECK(made.print() == all.print());
    CHECK(made.names->totals()->operations == ops.size());
    CHECK(made.names->totals()->files == all.names->totals()->files);
    CHECK(made.names->totals()->logical_bytes == all.names->totals()->logical_bytes);
    auto devices = made.names->devices().value();
    for (const auto& d : devices)
      CHECK((d.missing == 0 && d.broken_at == 0));
  }
}

TEST_CASE("a checkpoint of a checkpoint is the same checkpoint", "[checkpoint]") {
  auto parts = some_parts();
  opened made;
  REQUIRE(made.import(parts));
  CHECK(made.write(600) == parts);
}

TEST_CASE("a checkpoint with a part that is missing, doubled, moved or changed is refused", "[checkpoint]") {
  auto parts = some_parts();
  CHECK(read_all(parts).value());
  SECTION("each cut is not whole") {
    for (size_t n = 0; n < parts.size(); ++n)
      CHECK_FALSE(read_all({parts.begin(), parts.begin() + static_cast<ptrdiff_t>(n)}).value());
  }
  SECTION("without any one part") {
    for (size_t n = 0; n + 1 < parts.size(); ++n) {
      auto less = parts;
      less.erase(less.begin() + static_cast<ptrdiff_t>(n));
      CHECK(read_all(less).error().code() == errc::format_damaged);
    }
  }
  SECTION("with any one part twice") {
    for (size_t n = 0; n < parts.size(); ++n) {
      auto more = parts;
      more.insert(more.begin() + static_cast<ptrdiff_t>(n), parts[n]);
      CHECK(read_all(more).error().code() == errc::format_damaged);
    }
  }
  SECTION("with two parts in each other's place") {
    for (size_t n = 0; n + 1 < parts.size(); ++n) {
      auto swapped = parts;
      std::swap(swapped[n], swapped[n + 1]);
      CHECK(read_all(swapped).error().code() == errc::format_damaged);
    }
  }
  SECTION("with a part cut short or changed") {
    seeded_random random{run_seed()};
    for (int i = 0; i < 300; ++i) {
      auto wrong = parts;
      // No digest covers the last part, whose content is its seal's to keep.
      auto cut = i % 2 == 0;
      auto& part = wrong[random.below(cut ? wrong.size() : wrong.size() - 1)];
      if (cut)
        part.resize(random.below(part.size()));
      else
        part[random.below(part.size())] ^= static_cast<char>(1 << random.below(8));
      auto read = read_all(wrong);
      CHECK((!read || !*read));
    }
  }
  SECTION("an error sticks") {
    checkpoint_reader reader;
    REQUIRE(reader.next(parts[0]));
    REQUIRE_FALSE(reader.next("nonsense"));
    CHECK(reader.next(parts[1]).error().code() == errc::format_damaged);
    CHECK_FALSE(reader.whole());
  }
}

TEST_CASE("each part tells what the whole checkpoint covers", "[checkpoint]") {
  auto parts = some_parts();
  REQUIRE(parts.size() > 2);
  compressor packer;
  auto first = decode_checkpoint_part(parts.front(), packer);
  REQUIRE(first);
  CHECK(first->header.operations > 0);
  for (const auto& encoded : parts) {
    auto part = decode_checkpoint_part(encoded, packer);
    REQUIRE(part);
    CHECK(part->header.covers(first->header));
    CHECK(part->header.operations == first->header.operations);
  }
  SECTION("a part that covers something else is refused") {
    auto second = decode_checkpoint_part(parts[1], packer);
    REQUIRE(second);
    ++second->header.created_ns;
    checkpoint_reader reader;
    REQUIRE(reader.next(parts[0]));
    CHECK(reader.next(encode(*second, packer)).error().code() == errc::format_damaged);
  }
  SECTION("a part without it is refused") {
    v1::CheckpointPart bare;
    REQUIRE(bare.ParseFromString(parts[1]));
    bare.clear_header();
    CHECK(decode_checkpoint_part(bare.SerializeAsString(), packer).error().code() == errc::format_damaged);
  }
}

TEST_CASE("a checkpoint of a later version is told from a damaged one", "[checkpoint]") {
  auto parts = some_parts();
  v1::CheckpointPart part;
  REQUIRE(part.ParseFromString(parts[0]));
  part.set_format(2);
  checkpoint_reader reader;
  CHECK(reader.next(part.SerializeAsString()).error().code() == errc::format_newer);
  part.set_format(0);
  checkpoint_reader another;
  CHECK(another.next(part.SerializeAsString()).error().code() == errc::format_damaged);
}

TEST_CASE("no length in a checkpoint is believed", "[checkpoint]") {
  v1::CheckpointPart part;
  compressor packer;
  auto refused = [&] {
    auto decoded = decode_checkpoint_part(part.SerializeAsString(), packer);
    REQUIRE_FALSE(decoded);
    return decoded.error().code() == errc::format_damaged;
  };
  auto start = [&] {
    part.Clear();
    compressor unpacker;
    auto plain = decode_checkpoint_part(some_parts().front(), unpacker);
    REQUIRE(plain);
    plain->rows.clear();
    REQUIRE(part.ParseFromString(encode(*plain, unpacker)));
    REQUIRE(decode_checkpoint_part(part.SerializeAsString(), packer));
  };
  start();
  part.set_plain_length(checkpoint_rows_max + 1);
  CHECK(refused());
  start();
  part.set_plain_length(1);
  CHECK(refused());
  start();
  part.set_codec(2);
  CHECK(refused());
  start();
  part.set_codec(1);
  part.set_plain_length(1 << 20);
  part.set_rows("not zstd");
  CHECK(refused());
  start();
  part.mutable_header()->set_operations(part.header().operations() + 1);
  CHECK(refused());
  start();
  part.mutable_header()->mutable_devices(0)->set_device("short");
  CHECK(refused());
  start();
  *part.mutable_header()->add_devices() = part.header().devices(0);
  CHECK(refused());
  start();
  part.mutable_trailer()->set_digest("short");
  CHECK(refused());
  for (const auto* key : {"", "h", "i", "c0123456789abcdef0123456789abcdef", "q"}) {
    start();
    v1::CheckpointRows rows;
    rows.add_keys(key);
    rows.add_values("");
    part.set_rows(rows.SerializeAsString());
    part.set_plain_length(static_cast<uint32_t>(part.rows().size()));
    CHECK(refused());
  }
  start();
  v1::CheckpointRows uneven;
  uneven.add_keys("k");
  part.set_rows(uneven.SerializeAsString());
  part.set_plain_length(static_cast<uint32_t>(part.rows().size()));
  CHECK(refused());
}

TEST_CASE("a catalog that has operations takes no checkpoint", "[checkpoint]") {
  auto parts = some_parts();
  opened busy;
  apply(*busy.names, {make(nth_node(1), root_node(), "a")});
  auto before = busy.disk->content;
  CHECK(busy.import({parts[0]}).error().code() == errc::conflict);
  CHECK(busy.disk->content == before);
}

TEST_CASE("a catalog without operations has no checkpoint", "[checkpoint]") {
  auto bare = open_catalog(std::make_shared<memory_disk>());
  checkpoint_writer writer{bare->freeze(), 1};
  CHECK(writer.next().error().code() == errc::not_found);
  opened with_a_pack;
  checkpoint_writer another{with_a_pack.names->freeze(), 1};
  CHECK(another.next().error().code() == errc::not_found);
}

TEST_CASE("a part is closed soon after it has its size", "[checkpoint]") {
  opened from;
  for (uint64_t n = 1; n <= 3000; ++n)
    apply(*from.names, {make(nth_node(n), root_node(), "file " + std::to_string(n)), put(nth_node(n), version(n), {chunk(n)})});
  compressor packer;
  auto parts = from.write(64 << 10);
  CHECK(parts.size() > 8);
  for (const auto& part : parts) {
    size_t size = 0;
    auto decoded = decode_checkpoint_part(part, packer).value();
    for (const auto& [key, value] : decoded.rows)
      size += key.size() + value.size();
    CHECK(size <= (64 << 10) + 4096);
  }
}

TEST_CASE("a place in a checkpoint travels as a sequence number", "[checkpoint]") {
  for (auto number : {uint64_t{1}, uint64_t{99}, checkpoint_number_max - 1})
    for (auto part : {uint64_t{0}, uint64_t{1}, checkpoint_parts_max - 1}) {
      auto sequence = checkpoint_place{number, part}.sequence();
      auto back = checkpoint_place::of(listed(device(1), sequence, sequence, true));
      REQUIRE(back);
      CHECK((back->number == number && back->part == part));
    }
  CHECK_FALSE(checkpoint_place::of(listed(device(1), 5 * checkpoint_parts_max, 5 * checkpoint_parts_max)));
  CHECK_FALSE(checkpoint_place::of(listed(device(1), 5 * checkpoint_parts_max, 5 * checkpoint_parts_max + 1, true)));
  CHECK_FALSE(checkpoint_place::of(listed(device(1), 7, 7, true)));
}

TEST_CASE("operations go only when two checkpoints in a row cover them", "[checkpoint]") {
  auto older = covering(1, {{1, 10}});
  auto newer = covering(2, {{1, 20}, {2, 5}});
  SECTION("with one there is nothing to fall back to") {
    auto cover = choose_cover({newer}, {{9, {}}});
    CHECK_FALSE(cover.ready());
    CHECK_FALSE(cover.drops(listed(device(1), 1, 5)));
    CHECK_FALSE(cover.drops(listed(device(1), checkpoint_place{9, 0}.sequence(), checkpoint_place{9, 0}.sequence(), true)));
  }
  SECTION("what both cover, and nothing else") {
    auto cover = choose_cover({older, newer}, {});
    REQUIRE(cover.ready());
    CHECK(cover.drops(listed(device(1), 1, 10)));
    CHECK_FALSE(cover.drops(listed(device(1), 10, 11)));
    CHECK_FALSE(cover.drops(listed(device(1), 11, 20)));
    CHECK_FALSE(cover.drops(listed(device(2), 1, 5)));
    CHECK_FALSE(cover.drops(listed(device(3), 1, 1)));
  }
  SECTION("the last two are kept, older and unreadable ones go") {
    auto oldest = covering(3, {{1, 4}});
    auto cover = choose_cover({older, oldest, newer}, {{9, {}}, {11, newer.header}});
    REQUIRE(cover.ready());
    auto part = [&](uint64_t number) {
      auto sequence = checkpoint_place{number, 3}.sequence();
      return cover.drops(listed(device(1), sequence, sequence, true));
    };
    CHECK_FALSE(part(1));
    CHECK_FALSE(part(2));
    CHECK(part(3));
    CHECK(part(9));
    CHECK(part(11));
    CHECK_FALSE(part(10)); // Not seen, or of a later version.
    CHECK(cover.drops(listed(device(1), 5, 10)));
  }
  SECTION("two that each know what the other does not let nothing go") {
    auto aside = covering(4, {{1, 9}, {3, 40}});
    auto cover = choose_cover({older, newer, aside}, {{9, {}}});
    CHECK_FALSE(cover.ready());
    CHECK_FALSE(cover.drops(listed(device(1), 1, 2)));
  }
  SECTION("nor does a broken one that knew something else") {
    auto beyond = covering(4, {{1, 21}}).header;
    auto cover = choose_cover({older, newer}, {{9, beyond}});
    CHECK_FALSE(cover.ready());
    CHECK_FALSE(cover.drops(listed(device(1), 1, 2)));
    CHECK_FALSE(cover.drops(listed(device(1), checkpoint_place{9, 0}.sequence(), checkpoint_place{9, 0}.sequence(), true)));
  }
  SECTION("nor does a log with a broken link") {
    auto& log = newer.header.devices[device(2)];
    log.add(6, crypto::blake3(as_view(std::string_view{"else"})), digest{});
    REQUIRE(log.broken_at() == 6);
    CHECK_FALSE(choose_cover({older, newer}, {}).ready());
  }
}

TEST_CASE("a batch across a gap of what is known is not covered", "[checkpoint]") {
  checkpoint_header header;
  auto& log = header.devices[device(1)];
  log.add(1, digest{}, digest{});
  log.add(2, digest{}, digest{});
  log.add(4, digest{}, digest{});
  CHECK(header.covers(device(1), 1, 2));
  CHECK(header.covers(device(1), 4, 4));
  CHECK_FALSE(header.covers(device(1), 2, 4));
  CHECK_FALSE(header.covers(device(1), 3, 3));
}

TEST_CASE("what a catalog knows is told operation by operation, gaps included", "[checkpoint]") {
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  auto ops = history{random}.make_operations(90);
  shuffle(ops, random);
  auto cut = ops.begin() + 50;
  opened some;
  some.take({ops.begin(), cut}, random);
  auto known = known_by(*some.names->freeze()).value();
  CHECK(known.operations == 50);
  for (auto i = ops.begin(); i != ops.end(); ++i)
    CHECK(known.covers(i->at.device, i->sequence, i->sequence) == (i < cut));
  opened all;
  all.take(ops, random);
  auto everything = known_by(*all.names->freeze()).value();
  CHECK(everything.covers(known));
  CHECK_FALSE(known.covers(everything));
  CHECK(everything.count_beyond(known) == 40);
  CHECK(known.count_beyond(everything) == 0);
  CHECK(known.count_beyond({}) == 50);
}

TEST_CASE("numbers that are left out are no operations that are missing", "[checkpoint]") {
  opened writer;
  apply(*writer.names, {make(nth_node(1), root_node(), "a")});
  // The process ends without closing, and goes on behind numbers that it leaves out.
  writer.names = open_catalog(writer.disk);
  apply(*writer.names, {make(nth_node(2), root_node(), "b")});
  auto known = known_by(*writer.names->freeze()).value();
  CHECK(known.operations == 2);
  REQUIRE(known.devices.begin()->second.runs().size() == 2);
  CHECK(known.covers(known));
  opened made;
  REQUIRE(made.import(writer.write()));
  CHECK(known_by(*made.names->freeze()).value().covers(known));
  CHECK(known_by(*made.names->freeze()).value().count_beyond(known) == 0);
}

TEST_CASE("a rebuild leaves out as many numbers behind the last operation it finds, in whatever order they come", "[checkpoint]") {
  constexpr uint64_t left_out = 1 << 20;
  opened from;
  for (uint64_t n = 1; n <= 60; ++n)
    apply(*from.names, {make(nth_node(n), root_node(), std::to_string(n))});
  auto parts = from.write(500);
  auto behind = from.names->stamp(
      {make(nth_node(61), root_node(), "61"), make(nth_node(62), root_node(), "62"), make(nth_node(63), root_node(), "63")}, 3);
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  for (int round = 0; round < 6; ++round) {
    shuffle(behind, random);
    opened made;
    REQUIRE(made.import(parts));
    auto after_import = made.names->stamp({purge_node{nth_node(1)}}, 9).at(0);
    CHECK(after_import.sequence == 60 + left_out + 1);
    made.names->unstamp();
    for (const auto& op : behind) {
      catalog_commit c;
      c.operations = {op};
      c.operations_in_pack = true;
      REQUIRE(made.names->commit(c));
    }
    auto next = made.names->stamp({purge_node{nth_node(1)}}, 9).at(0);
    CHECK(next.sequence == 63 + left_out + 1);
    CHECK(next.at.lamport == next.sequence);
  }
}

TEST_CASE("a checkpoint is due after 10,000 operations or a day, but not over and over", "[checkpoint]") {
  catalog_totals totals;
  auto now = 1000 * hour;
  auto day = 24 * hour;
  CHECK_FALSE(checkpoint_due(totals, {}, 0, now));
  totals.operations = 1;
  CHECK_FALSE(checkpoint_due(totals, {}, now, now));
  CHECK(checkpoint_due(totals, {}, now - day, now));
  CHECK_FALSE(checkpoint_due(totals, {}, now + hour, now)); // A clock that was set back.
  totals.operations = 10'000;
  CHECK(checkpoint_due(totals, {}, now, now));
  checkpoint_note last{1, now, 10'000};
  CHECK_FALSE(checkpoint_due(totals, last, now - day, now));
  totals.operations = 10'001;
  CHECK(checkpoint_due(totals, last, now - day, now));
  CHECK_FALSE(checkpoint_due(totals, last, now - day + 1, now));
  totals.operations = 20'000;
  CHECK(checkpoint_due(totals, last, now, now));
  totals.versions = 1'000'000;
  CHECK_FALSE(checkpoint_due(totals, last, now, now));
  CHECK(checkpoint_due(totals, last, now - day, now));
  totals.operations = 19'999;
  CHECK_FALSE(checkpoint_due(totals, last, now - day, now));
  totals.operations = 135'000;
  CHECK(checkpoint_due(totals, last, now, now));
}
