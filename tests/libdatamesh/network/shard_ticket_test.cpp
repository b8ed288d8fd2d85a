#include "network/shard_ticket.hpp"

#include "network/certificate.hpp"
#include "network/remote_shard.hpp"
#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>
#include <fmt/core.h>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr clock::wall_time day{std::chrono::seconds{1'767'225'600}};

using opener = std::function<errc(const network_id&, byte_view)>;

/// One signed word of each kind.
struct sample {
  const char* name;
  size_t size;
  bytes raw;
  opener open;
};

template <class Word>
opener opens_by(result<Word> (*open)(const network_id&, byte_view)) {
  return [open](const network_id& mesh, byte_view raw) {
    return refusal(open(mesh, raw));
  };
}

std::vector<sample> samples() {
  seeded_random random{seed()};
  signatory owner{1};
  signatory node{2};
  auto shard = make_pack(random, small_guest)[1];
  auto by = owner.ticket_for(shard, 7, day + 24h);
  auto gone = owner.deletion_of(shard.header.pack.id, 8, day);
  permit allowed{owner.owner, peer_of(node.key).value(), peer_of(owner.key).value(), day + 1h, {}};
  roster both{owner.owner, 3, day, 24h, {peer_of(node.key).value(), peer_of(owner.key).value()}, {}};
  std::ranges::sort(both.nodes);
  removal removed{node.key, owner.owner, shard.header.pack.id, gone.name(), day, 1, {}};
  return {{"ticket", ticket_size, by.raw, opens_by(open_ticket)},
          {"deletion", deletion_size, gone.raw, opens_by(open_deletion)},
          {"permit", permit_size, owner.sign(allowed).raw, opens_by(open_permit)},
          {"receipt", receipt_size, node.sign(receipt_for(by, node.key, day)).raw, opens_by(open_receipt)},
          {"removal", removal_size, node.sign(removed).raw, opens_by(open_removal)},
          {"roster", roster_size(2), owner.sign(both).raw, opens_by(open_roster)}};
}

} // namespace

TEST_CASE("a ticket, a deletion, a permit and both receipts are read as they were signed", "[shard_ticket]") {
  seeded_random random{seed()};
  signatory owner{1};
  signatory node{2};
  auto shard = make_pack(random, large_guest)[2];
  auto by = owner.ticket_for(shard, 7, day + 24h + 5ms);
  auto read = open_ticket(guest_mesh, by.raw);
  REQUIRE(read);
  CHECK(read->owner == owner.owner);
  CHECK(read->shard == key_of(shard));
  CHECK(read->size == large_guest.shard_length);
  CHECK(read->number == 7);
  CHECK(read->expiry == day + 24h);
  CHECK(read->name() == by.name());
  CHECK(check_header(*read, shard.header));
  CHECK_FALSE(read->has_expired(day));
  CHECK(read->has_expired(day + 24h));

  auto gone = open_deletion(guest_mesh, owner.deletion_of(shard.header.pack.id, 9, day).raw);
  REQUIRE(gone);
  CHECK(gone->pack == shard.header.pack.id);
  CHECK(gone->number == 9);
  CHECK(gone->made == day);

  auto receipt = open_receipt(guest_mesh, node.sign(receipt_for(by, node.key, day + 1h)).raw);
  REQUIRE(receipt);
  CHECK(receipt->holder == node.key);
  CHECK(receipt->by == by.name());
  CHECK(receipt->shard == by.shard);
  CHECK(receipt->stored == day + 1h);
  CHECK(receipt->expiry == by.expiry);

  permit allowed{owner.owner, peer_of(node.key).value(), peer_of(owner.key).value(), day + 1h, {}};
  auto permitted = open_permit(guest_mesh, owner.sign(allowed).raw);
  REQUIRE(permitted);
  CHECK(permitted->holder == allowed.holder);
  CHECK(permitted->asker == allowed.asker);

  removal removed{node.key, owner.owner, shard.header.pack.id, gone->name(), day + 2h, 3, {}};
  auto told = open_removal(guest_mesh, node.sign(removed).raw);
  REQUIRE(told);
  CHECK(told->by == gone->name());
  CHECK(told->shards == 3);
  CHECK(told->removed == day + 2h);
}

TEST_CASE("the ticket of the format's page is as it stands there", "[shard_ticket]") {
  crypto::key256 key;
  for (size_t i = 0; i < key.view().size(); ++i)
    key.span()[i] = static_cast<std::byte>(i);
  auto owner = vault_id::from(byte_view{crypto::ed25519_public(key).value()});
  pack_id pack;
  std::ranges::fill(pack.span(), std::byte{0x44});
  auto by = sign(guest_mesh, ticket{owner, {pack, 1}, 4096, 5, day + 1h, {}},
                 [&](byte_view message) { return crypto::ed25519_sign(key, message); });
  REQUIRE(by);
  std::string hex;
  for (auto part : by->raw.view())
    hex += fmt::format("{:02x}", std::to_integer<unsigned>(part));
  CHECK(hex
        == "01010000"
           "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8"
           "4444444444444444444444444444444444444444444444444444444444444444"
           "01000000"
           "00100000"
           "0500000000000000"
           "10c7556900000000"
           "0ae0e5c53ea91da057219a951a46e50e703dee37fb8df1f6c3ab6fde79fbd222"
           "01b0ed6b151494d81b58103a26c2e95e7a61e9e52c738b1ca0ccf57cc8578106");
}

TEST_CASE("a word that is cut short, has something behind it, or is of another kind or version is refused", "[shard_ticket]") {
  auto all = samples();
  for (const auto& one : all) {
    CAPTURE(one.name);
    REQUIRE(one.raw.size() == one.size);
    CHECK(one.open(guest_mesh, one.raw) == errc{});
    for (size_t size = 0; size < one.size; ++size)
      REQUIRE(one.open(guest_mesh, one.raw.slice(0, size)) == errc::format_damaged);
    std::vector<std::byte> longer{one.raw.view().begin(), one.raw.view().end()};
    longer.push_back(std::byte{0});
    CHECK(one.open(guest_mesh, longer) == errc::format_damaged);
    longer[0] = std::byte{2};
    CHECK(one.open(guest_mesh, longer) == errc::format_newer);
    for (const auto& other : all)
      if (other.name != one.name)
        CHECK(one.open(guest_mesh, other.raw) == errc::format_damaged);
  }
}

TEST_CASE("a word with any bit changed is refused", "[shard_ticket]") {
  for (const auto& one : samples()) {
    CAPTURE(one.name);
    for (size_t bit = 0; bit < one.size * 8; ++bit) {
      std::vector<std::byte> raw{one.raw.view().begin(), one.raw.view().end()};
      raw[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      CAPTURE(bit);
      REQUIRE(one.open(guest_mesh, raw) != errc{});
    }
  }
}

TEST_CASE("a word holds in its own mesh alone", "[shard_ticket]") {
  auto other = network_id::from(as_view("another mesh for guest shards..."));
  for (const auto& one : samples()) {
    CAPTURE(one.name);
    CHECK(one.open(other, one.raw) == errc::authentication_failed);
  }
}

TEST_CASE("a signature for one kind does not hold for another", "[shard_ticket]") {
  // A removal made of the words of a deletion would be as long only by chance; what keeps
  // them apart is in what is signed.
  signatory owner{1};
  auto ticket_bytes = samples()[0].raw;
  std::vector<std::byte> content{ticket_bytes.view().begin(), ticket_bytes.view().end() - 64};
  for (auto purpose : {"dm/receipt/1", "dm/deletion/1", "dm/record/1", ""}) {
    std::vector<std::byte> message;
    for (auto part : {as_view(purpose), guest_mesh.view(), byte_view{content}})
      message.insert(message.end(), part.begin(), part.end());
    auto sig = crypto::ed25519_sign(owner.seed, message).value();
    auto forged = content;
    forged.insert(forged.end(), sig.begin(), sig.end());
    CHECK(refusal(open_ticket(guest_mesh, forged)) == errc::authentication_failed);
  }
}

TEST_CASE("a ticket for what no shard can be is not signed", "[shard_ticket]") {
  seeded_random random{seed()};
  signatory owner{1};
  auto shard = make_pack(random, small_guest)[0];
  auto good = owner.ticket_for(shard, 1, day);
  auto code = [&](const std::function<void(ticket&)>& change) {
    auto bad = good;
    change(bad);
    return refusal(sign(guest_mesh, bad, owner.signer()));
  };
  CHECK(code([](ticket&) {}) == errc{});
  CHECK(code([](ticket& what) { what.size = 0; }) == errc::invalid_argument);
  CHECK(code([](ticket& what) { what.size = storage::pack_buffer_size + 1; }) == errc::invalid_argument);
  CHECK(code([](ticket& what) { what.shard.index = 128; }) == errc::invalid_argument);
  CHECK(code([](ticket& what) { what.expiry = {}; }) == errc::invalid_argument);
}

TEST_CASE("a roster is read as it was signed, and one that is out of order, empty, too long or without patience is not signed",
          "[shard_ticket]") {
  signatory owner{1};
  roster good{owner.owner, 9, day + 5ms, 36h, {}, {}};
  for (uint64_t i = 0; i < roster_nodes_max; ++i)
    good.nodes.push_back(peer_of(signatory{100 + i}.key).value());
  std::ranges::sort(good.nodes);
  auto read = open_roster(guest_mesh, owner.sign(good).raw);
  REQUIRE(read);
  CHECK(read->owner == owner.owner);
  CHECK(read->number == 9);
  CHECK(read->made == day);
  CHECK(read->patience == 36h);
  CHECK(read->nodes == good.nodes);
  CHECK(read->names(good.nodes[77]));
  CHECK_FALSE(read->names(peer_of(owner.key).value()));
  auto code = [&](const std::function<void(roster&)>& change) {
    auto bad = good;
    change(bad);
    return refusal(sign(guest_mesh, bad, owner.signer()));
  };
  CHECK(code([](roster& what) { std::swap(what.nodes[0], what.nodes[1]); }) == errc::invalid_argument);
  CHECK(code([](roster& what) { what.nodes[1] = what.nodes[0]; }) == errc::invalid_argument);
  CHECK(code([](roster& what) { what.nodes.clear(); }) == errc::invalid_argument);
  CHECK(code([&](roster& what) {
          what.nodes.push_back(peer_of(owner.key).value());
          std::ranges::sort(what.nodes);
        })
        == errc::invalid_argument);
  CHECK(code([](roster& what) { what.patience = 0s; }) == errc::invalid_argument);
  CHECK(code([](roster& what) { what.patience = std::chrono::seconds{int64_t{1} << 32}; }) == errc::invalid_argument);
}

TEST_CASE("a receipt of another node, for another ticket, or changed is not taken", "[shard_ticket]") {
  seeded_random random{seed()};
  signatory owner{1};
  signatory node{2};
  signatory other{3};
  auto pack = make_pack(random, small_guest);
  auto by = owner.ticket_for(pack[0], 7, day + 24h);
  auto id = peer_of(node.key).value();
  CHECK(check_receipt(guest_mesh, node.sign(receipt_for(by, node.key, day)).raw, by, id));
  auto code = [&](const bytes& raw) {
    return refusal(check_receipt(guest_mesh, raw, by, id));
  };
  CHECK(code(other.sign(receipt_for(by, other.key, day)).raw) == errc::peer_lies);
  CHECK(code(other.sign(receipt_for(by, node.key, day)).raw) == errc::peer_lies);
  CHECK(code(node.sign(receipt_for(owner.ticket_for(pack[1], 7, day + 24h), node.key, day)).raw) == errc::peer_lies);
  CHECK(code(node.sign(receipt_for(owner.ticket_for(pack[0], 8, day + 24h), node.key, day)).raw) == errc::peer_lies);
  auto shorter = receipt_for(by, node.key, day);
  shorter.expiry = day + 1h;
  CHECK(code(node.sign(shorter).raw) == errc::peer_lies);
  CHECK(code({}) == errc::peer_lies);
}

TEST_CASE("a list of shards that is out of order, another's, endless or too long is not taken", "[shard_ticket]") {
  seeded_random random{seed()};
  signatory owner{1};
  signatory other{2};
  std::vector<ticket> tickets;
  for (int i = 0; i < 4; ++i)
    tickets.push_back(owner.ticket_for(make_pack(random, small_guest)[0], 1, day + 24h));
  std::ranges::sort(tickets, {}, &ticket::shard);
  auto code = [&](const shards_listed& listed, const std::optional<shard_key>& after = {}, uint32_t limit = 4) {
    return refusal(check_listed(guest_mesh, listed, owner.owner, after, limit));
  };
  shards_listed good{{tickets[0].raw, tickets[1].raw, tickets[2].raw}, true};
  CHECK(code(good) == errc{});
  CHECK(code(good, {}, 2) == errc::peer_lies);
  CHECK(code(good, tickets[0].shard) == errc::peer_lies);
  CHECK(code({{tickets[1].raw, tickets[0].raw}, false}) == errc::peer_lies);
  CHECK(code({{tickets[1].raw, tickets[1].raw}, false}) == errc::peer_lies);
  CHECK(code({{}, true}) == errc::peer_lies);
  CHECK(code({{}, false}) == errc{});
  auto alien = other.ticket_for(make_pack(random, small_guest)[0], 1, day + 24h);
  CHECK(code({{alien.raw}, false}) == errc::peer_lies);
}
