// make-corpus FOLDER: writes known-good inputs for the fuzzers, and a few that are good
// but for one thing, into FOLDER/NAME/.
#include "control/frame.hpp"
#include "crypto/merkle.hpp"
#include "crypto/phrase.hpp"
#include "datamesh/v1/control.pb.h"
#include "datamesh/v1/link.pb.h"
#include "datamesh/v1/pack.pb.h"
#include "network/beacon.hpp"
#include "network/certificate.hpp"
#include "network/discovery_message.hpp"
#include "network/grants.hpp"
#include "network/invite.hpp"
#include "network/kept_records.hpp"
#include "network/line_message.hpp"
#include "network/member_list.hpp"
#include "network/peer_link.hpp"
#include "network/recovery_record.hpp"
#include "network/relay_message.hpp"
#include "network/shard_message.hpp"
#include "storage/checkpoint.hpp"
#include "storage/operation.hpp"
#include "storage/operation_batch.hpp"
#include "storage/sealed_chunk.hpp"
#include "tests/libdatamesh/crypto/key_file_fixture.hpp"
#include "tests/libdatamesh/network/node.hpp"
#include "tests/libdatamesh/storage/pack_maker.hpp"
#include "tests/support/seeded_random.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

std::filesystem::path top;

void put(const std::string& fuzzer, const std::string& name, std::string_view content) {
  std::filesystem::create_directories(top / fuzzer);
  std::ofstream file{top / fuzzer / name, std::ios::binary};
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
}

void put(const std::string& fuzzer, const std::string& name, char mode, byte_view content) {
  put(fuzzer, name, mode + std::string{as_text(content)});
}

template <class Id>
Id some_id(uint8_t fill) {
  Id id;
  for (auto& b : id.span())
    b = std::byte{fill};
  return id;
}

std::vector<std::string> operations() {
  extent chunk{some_id<chunk_id>(7), 5000};
  extent hole{std::nullopt, 1 << 20};
  std::vector<operation_body> bodies{
      move_node{some_id<node_id>(1), root_node(), "folder", node_kind::folder},
      move_node{some_id<node_id>(2), some_id<node_id>(1), "file", node_kind::file},
      add_extents{some_id<version_id>(3), 0, {chunk, hole}},
      put_version{.node = some_id<node_id>(2),
                  .version = some_id<version_id>(4),
                  .replaces = {some_id<version_id>(3)},
                  .size = 5000 + (1 << 20),
                  .mode = 0644,
                  .modified_ns = 1'767'225'600'000'000'000,
                  .symlink_target = {},
                  .extent_count = 2,
                  .extents = {chunk, hole}},
      condemn_packs{{some_id<pack_id>(9)}},
  };
  std::vector<std::string> encoded;
  for (auto& body : bodies) {
    operation op;
    op.at = {encoded.size() + 1, some_id<device_id>(5)};
    op.sequence = encoded.size() + 1;
    op.wall_ns = 1'767'225'600'000'000'000;
    op.body = std::move(body);
    encoded.push_back(encode(op));
  }
  return encoded;
}

void packs() {
  // The vault of pack_fuzz.cpp: the same seed.
  test::seeded_random random{1};
  crypto::aead cipher;
  auto keys = *crypto::make_keyring(random);
  const auto& space = keys.spaces.front();
  std::vector<std::byte> buffer(1 << 20);
  pack_builder builder{buffer};
  for (size_t size : {size_t{1}, size_t{300}, size_t{5000}}) {
    auto plain = random.make(size);
    chunk_entry entry;
    entry.id = chunk_id_of(space.id_key, plain);
    entry.sealed_length = static_cast<uint32_t>(size + seal_overhead);
    entry.plain_length = static_cast<uint32_t>(size);
    entry.epoch = space.epoch;
    auto room = builder.add_chunk(entry);
    if (!seal_chunk(cipher, space.epoch_keys.at(entry.epoch),
                    {keys.vault, space.id, entry.epoch, entry.suite, entry.id, entry.method, entry.plain_length}, plain, random, room))
      std::abort();
  }
  auto encoded = operations();
  auto batch = seal_operations(keys.vault, space, some_id<device_id>(5), 1, encoded, cipher, random);
  if (!batch || !builder.add_operations(batch->first, batch->second))
    std::abort();
  auto shape = builder.finish(keys.vault, space, 1'767'225'600'000'000'000, 4, 2, cipher, random);
  if (!shape)
    std::abort();
  auto pack = byte_view{buffer}.first(shape->data_length());
  put("pack", "whole", 0, pack);
  put("pack", "stamped", 1, pack);

  v1::PackTable table;
  table.set_chunk_ids(std::string(32, 'i') + std::string(32, 'j'));
  for (uint32_t at : {128u, 308u}) {
    table.add_chunk_offset(at);
    table.add_chunk_sealed_length(180);
    table.add_chunk_plain_length(100);
    table.add_chunk_epoch(1);
    table.add_chunk_codec(at == 308);
    table.add_chunk_suite(1);
  }
  auto& row = *table.add_operations();
  row.set_offset(488);
  row.set_sealed_length(85);
  row.set_epoch(1);
  row.set_suite(1);
  row.set_device(std::string(16, 'd'));
  row.set_first_sequence(1);
  row.set_last_sequence(3);
  put("pack", "table", 2, as_view(table.SerializeAsString()));

  std::string content(1, static_cast<char>(encoded.size() - 1));
  for (const auto& one : encoded) {
    for (size_t i = 0; i < 4; ++i)
      content += static_cast<char>(one.size() >> (8 * i));
    content += one;
  }
  put("pack", "operations", 3, as_view(content));
}

void checkpoints() {
  compressor packer;
  checkpoint_part first;
  auto& header = first.header;
  header.created_ns = 1'767'225'600'000'000'000;
  header.lamport = 40;
  header.last_move = {{39, some_id<device_id>(5)}, 12};
  for (uint64_t sequence : {1, 2, 3, 20, 21})
    header.devices[some_id<device_id>(5)].add(sequence, {}, {});
  header.devices[some_id<device_id>(6)].add(1, {}, {});
  header.operations = 6;
  first.rows.emplace_back('z' + std::string(32, 'p'), "");
  checkpoint_part last;
  last.header = first.header;
  last.number = 1;
  for (char c = 'a'; c < 'g'; ++c)
    last.rows.emplace_back('i' + std::string(16, c), std::string(40, 'v'));
  auto one = encode(first, packer);
  last.trailer = {2, first.rows.size() + last.rows.size(), crypto::blake3(as_view(one))};
  auto two = encode(last, packer);
  put("checkpoint", "first", 0, as_view(one));
  put("checkpoint", "last", 0, as_view(two));
  std::string both;
  for (const auto& part : {one, two}) {
    for (size_t i = 0; i < 3; ++i)
      both += static_cast<char>(part.size() >> (8 * i));
    both += part;
  }
  put("checkpoint", "whole", 1, as_view(both));
  put("checkpoint", "cut_short", 1, as_view(both).first(both.size() - 5));
  first.trailer = {1, first.rows.size(), crypto::blake3({})};
  put("checkpoint", "single", 0, as_view(encode(first, packer)));
}

void shards() {
  test::seeded_random random{2};
  auto pack = test::make_pack(random, {4, 2, 128});
  put("shard", "inline", as_text(encode_shard_header(pack[0].header, false).view()));
  put("shard", "parity", as_text(encode_shard_header(pack[5].header, false).view()));
  auto large = test::make_pack(random, {2, 1, 3 * block_size + 4096});
  put("shard", "file", as_text(encode_shard_header(large[1].header, true).view()));
}

void key_files() {
  std::string raw;
  for (size_t i = 0; i < test::key_file_v1.size(); i += 2) {
    unsigned value = 0;
    std::from_chars(test::key_file_v1.data() + i, test::key_file_v1.data() + i + 2, value, 16);
    raw += static_cast<char>(value);
  }
  put("key_file", "v1", raw);
  put("phrase", "v1", test::key_file_v1_phrase);
  std::string shouted;
  for (char c : test::key_file_v1_phrase)
    shouted += c == '-' ? '\n' : static_cast<char>(c - 32);
  put("phrase", "upper", shouted);
}

std::string framed(control::frame_type type, control::side reader, std::string_view header, std::string_view body = {}) {
  auto prefix = control::write_prefix(type, reader, header.size(), body.size());
  if (!prefix)
    std::abort();
  return std::string{as_text(*prefix)} + std::string{header} + std::string{body};
}

v1::ControlRequest request(uint64_t vault) {
  v1::ControlRequest made;
  made.set_timeout_ms(60'000);
  made.set_vault(vault);
  return made;
}

void control_requests() {
  auto hello = request(0);
  hello.mutable_hello();
  auto put_in = request(1);
  auto& trees = *put_in.mutable_put();
  trees.add_sources()->set_source_path("/home/me/docs");
  trees.mutable_sources(0)->set_target_path("docs");
  trees.set_conflict(1);
  trees.set_policy("4+2");
  trees.add_exclude("*.o");
  auto get_out = request(1);
  get_out.mutable_get()->add_paths("docs");
  get_out.mutable_get()->set_target_folder("/home/me/back");
  get_out.mutable_get()->set_version(std::string(16, 'v'));
  auto check = request(1);
  check.mutable_verify()->set_deep(true);
  check.mutable_verify()->set_after(std::string(32, 'p'));
  v1::ControlAnswer status;
  status.set_call(7);
  status.mutable_status()->set_size(5000);
  status.mutable_failure()->set_code(3);
  status.mutable_failure()->mutable_cause()->set_attempted("open");
  std::string stream = framed(control::frame_type::request, control::side::daemon, hello.SerializeAsString(), "a password");
  stream += framed(control::frame_type::answer, control::side::daemon, status.SerializeAsString(), std::string(300, 'x'));
  stream += framed(control::frame_type::cancel, control::side::daemon, {});
  put("control_frame", "to_daemon", '\x28', as_view(stream));
  put("control_frame", "put", 1, as_view(put_in.SerializeAsString()));
  put("control_frame", "get", 1, as_view(get_out.SerializeAsString()));
  put("control_frame", "verify", 1, as_view(check.SerializeAsString()));
  put("control_frame", "answer", 4, as_view(status.SerializeAsString()));
}

void control_replies() {
  v1::ControlReply page;
  auto& entry = *page.mutable_page()->add_entries();
  entry.set_path("docs/a");
  entry.set_kind(1);
  entry.set_node(std::string(16, 'n'));
  entry.set_margin(2);
  entry.add_tags()->set_key("k");
  v1::ControlReply status;
  auto& drive = *status.mutable_status()->mutable_drives()->add_drives();
  drive.set_id(std::string(16, 'd'));
  drive.mutable_reason()->set_code(12);
  v1::ControlReply stored;
  stored.mutable_put()->set_files(3);
  stored.mutable_put()->add_stored_as("docs~");
  stored.mutable_put()->add_failures()->mutable_reason()->set_object("docs/b");
  v1::Event event;
  event.set_kind(2);
  event.set_code(12);
  event.set_subject("drive");
  v1::ControlCall call;
  call.set_operation(v1::ControlCall::WRITE_AT);
  std::string stream = framed(control::frame_type::event, control::side::client, event.SerializeAsString());
  stream += framed(control::frame_type::call, control::side::client, call.SerializeAsString(), std::string(100, 'b'));
  stream += framed(control::frame_type::reply, control::side::client, stored.SerializeAsString());
  put("control_frame", "to_client", '\x2f', as_view(stream));
  put("control_frame", "page", 2, as_view(page.SerializeAsString()));
  put("control_frame", "status", 2, as_view(status.SerializeAsString()));
  put("control_frame", "event", 5, as_view(event.SerializeAsString()));
}

template <class Message>
void append(std::string& row, const Message& message) {
  auto encoded = message.SerializeAsString();
  row += static_cast<char>(encoded.size());
  row += static_cast<char>(encoded.size() >> 8);
  row += encoded;
}

void control_files() {
  using operation = v1::ControlCall;
  std::string calls;
  for (auto [what, path, other] : {std::tuple{operation::LIST, "/tree", ""},
                                   {operation::OPEN_READ, "/tree/folder/file", ""},
                                   {operation::READ_AT, "", ""},
                                   {operation::CREATE_UNNAMED, "/tree/folder", ""},
                                   {operation::WRITE_AT, "", ""},
                                   {operation::LINK_AS, "/tree/folder/new", ""},
                                   {operation::MAKE_SYMLINK, "/tree/folder/link", "/private"},
                                   {operation::RENAME, "/tree/folder/new", "/tree/folder/link/new"},
                                   {operation::OPEN_READ, "/tree/away/key", ""}}) {
    v1::ControlCall call;
    call.set_operation(what);
    call.set_path(path);
    call.set_other(other);
    call.set_file(what == operation::READ_AT ? 1 : 2);
    call.set_length(4);
    append(calls, call);
  }
  put("control_files", "calls_that_change", 0, as_view(calls));
  put("control_files", "calls_that_read", 2, as_view(calls));

  std::string answers;
  v1::ControlAnswer folder;
  folder.mutable_status()->set_kind(1);
  append(answers, folder);
  v1::ControlAnswer list;
  list.add_entries()->set_name("a");
  append(answers, list);
  v1::ControlAnswer file;
  file.mutable_status()->set_size(3);
  v1::ControlAnswer opened;
  opened.set_number(5);
  opened.set_text("abc");
  for (const auto& one : {file, opened, file, opened, file})
    append(answers, one);
  put("control_files", "answers", 1, as_view(answers));
  v1::ControlAnswer sparse;
  sparse.mutable_status()->set_size(1 << 20);
  sparse.mutable_status()->set_allocated(4096);
  v1::ControlAnswer data;
  data.set_number(100'000);
  data.set_text(std::string(100, 'd'));
  std::string holes;
  for (const auto& one : {sparse, opened, sparse, data, data, data, data})
    append(holes, one);
  put("control_files", "holes", 1, as_view(holes));
}

std::string link_frame(uint8_t type, std::string_view header, std::string_view body = {}) {
  std::array<std::byte, 12> prefix{};
  byte_span out{prefix};
  store_le<uint32_t>(out, static_cast<uint32_t>(8 + header.size() + body.size()));
  out[4] = std::byte{type};
  store_le<uint16_t>(out.subspan(6), 1);
  store_le<uint32_t>(out.subspan(8), static_cast<uint32_t>(header.size()));
  return std::string{as_text(prefix)} + std::string{header} + std::string{body};
}

// Modes 0 and 1: to who dialed, and who was; 2 and 3: inside TLS, before and after the
// hello. The higher bits say how large the pieces are.
void links() {
  constexpr char whole = 15 << 2;
  test::test_node here{1};
  test::test_node there{2};
  auto dialer = network::tls_link::open(there.tls, network::link_side::dialer, here.id()).value();
  auto acceptor = network::tls_link::open(here.tls, network::link_side::acceptor, std::nullopt).value();
  auto first = dialer.take_output();
  put("link", "client_hello", whole | 1, first);
  put("link", "client_hello_in_bytes", 1, first);
  if (!acceptor.received(first))
    std::abort();
  put("link", "server_hello_of_another", whole, acceptor.take_output());
  v1::LinkRequest request;
  request.set_id(2);
  request.set_deadline_ms(1000);
  request.set_message("what is it?");
  v1::LinkAnswer answer;
  answer.set_id(1);
  answer.set_message("so it is");
  v1::LinkAnswer refusal;
  refusal.set_id(2);
  refusal.set_code(7);
  v1::LinkCancel cancel;
  cancel.set_id(2);
  v1::LinkPing ping;
  ping.set_token(5);
  v1::LinkEnd end;
  end.set_code(7);
  auto frames = link_frame(2, request.SerializeAsString(), "a body") + link_frame(3, answer.SerializeAsString(), std::string(300, 'b'))
                + link_frame(3, refusal.SerializeAsString()) + link_frame(4, cancel.SerializeAsString())
                + link_frame(5, ping.SerializeAsString());
  put("link", "frames", whole | 3, as_view(frames));
  put("link", "frames_in_bytes", 3, as_view(frames));
  put("link", "end", whole | 3, as_view(frames + link_frame(7, end.SerializeAsString()) + frames));
  put("link", "before_hello", whole | 2, as_view(frames));
  put("link", "half", whole | 3, as_view(frames.substr(0, frames.size() / 2)));
  put("link", "stray_pong", whole | 3, as_view(link_frame(6, ping.SerializeAsString())));
}

void beacons() {
  using namespace datamesh::network;
  test::seeded_random random{5};
  auto seed = crypto::key256::random(random).value();
  auto key = crypto::ed25519_public(seed).value();
  auto mesh = network_id::from(as_view("a mesh for the tests of beacons."));
  auto sign = [&](byte_view message) {
    return crypto::ed25519_sign(seed, message);
  };
  beacon here{peer_of(key).value(), key, 1'767'225'600'000, {{{{192, 168, 1, 7}, false}, 7000}, {*parse_ip6("fd00::7"), 7000}}};
  auto whole = seal_beacon(mesh, here, sign, random).value();
  auto opened = std::get<unsealed_beacon>(unseal_beacon(mesh, whole).value());
  std::string content{as_text(opened.content)};
  std::string signature{as_text(byte_view{opened.signature})};
  put("beacon", "here", 0, whole);
  put("beacon", "question", 0, seal_question(mesh, random).value());
  put("beacon", "half", 0, whole.view().first(whole.size() / 2));
  put("beacon", "of_another_mesh", 0, seal_question(network_id{}, random).value());
  put("beacon", "content", 1, as_view(content + signature));
  put("beacon", "content_of_a_question", 1, as_view(std::string{"\2\0\0\0", 4}));
  put("beacon", "unsigned", 1, as_view(content + std::string(64, 'x')));
  content[1] = 4;
  put("beacon", "fewer_addresses", 1, as_view(content + signature));
}

void routers() {
  const std::string type = "urn:schemas-upnp-org:service:WANIPConnection:1";
  const std::string service = "<service><serviceType>" + type + "</serviceType><controlURL>/ctl?a&amp;b</controlURL></service>";
  put("router", "address", 0, as_view(std::string{"\0\x80\0\0\0\0\1\0\x9\x9\x9\x9", 12}));
  put("router", "port", 0, as_view(std::string{"\0\x82\0\0\0\0\1\0\x1b\x58\x1b\x59\0\0\x0e\x10", 16}));
  put("router", "refusal", 0, as_view(std::string{"\0\x82\0\2", 4}));
  put("router", "found", 1, as_view("HTTP/1.1 200 OK\r\nST: x\r\nLOCATION: http://192.168.1.1:5000/igd/desc.xml\r\n\r\n"));
  put("router", "found_elsewhere", 1, as_view("HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.2/desc.xml\r\n\r\n"));
  put("router", "description", 2, as_view("<root><URLBase>http://192.168.1.1:49000</URLBase>" + service + service + "</root>"));
  put("router", "description_relative", 2,
      as_view("<service><serviceType>" + type + "</serviceType><controlURL>ctl</controlURL></service>"));
  put("router", "address_by_call", 3, as_view("<u:R xmlns:u=\"x\"><NewExternalIPAddress>9.9.9.9</NewExternalIPAddress></u:R>"));
  put("router", "error_by_call", 3, as_view("<s:Fault><detail><errorCode>718</errorCode></detail></s:Fault>"));
  put("router", "routes", 4, as_view("Iface\tDestination\tGateway\neth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"));
}

void discovery_messages() {
  using namespace datamesh::network;
  test::seeded_random random{3};
  auto seed = crypto::key256::random(random).value();
  auto key = crypto::ed25519_public(seed).value();
  auto mesh = network_id::from(as_view("a mesh for the tests of finding."));
  auto ip = [](uint8_t last) {
    return ip_address{{8, 8, last, 1}, false};
  };
  contact one{random_id<peer_id>(random).value(), {{ip(1), 4433}, {*parse_ip6("2600::7"), 80}}};
  std::vector<endpoint> from{{ip(9), 4433}};
  record_draft draft{{record_kind::provider, {}, key},
                     1,
                     clock::wall_time{std::chrono::seconds{1'767'225'600 + 3600}},
                     bytes::copy_of(std::string_view{"here"})};
  auto record = sign_record(mesh, draft, [&](byte_view message) { return crypto::ed25519_sign(seed, message); }).value();
  put("discovery", "ping", 0, as_view(encode({from, ping{}})));
  put("discovery", "find_node", 0, as_view(encode({{}, find_node{point_of(one.id)}})));
  put("discovery", "find_record", 0, as_view(encode({from, find_record{record_kind::provider, {}}})));
  put("discovery", "store", 0, as_view(encode({from, store_record{record.raw}})));
  put("discovery", "found", 1, as_view(encode(found_answer{{one, one}, {record.raw}})));
  put("discovery", "stored", 1, as_view(encode(store_answer{store_outcome::full})));
  put("discovery", "record", 2, record.raw);
  routing_table table{{}, {}};
  for (uint8_t i = 0; i < 5; ++i)
    (void) table.seen({random_id<peer_id>(random).value(), {{ip(i), 4433}}}, ip(i), {});
  (void) table.seen(one, one.addresses[1].ip, {});
  put("discovery", "table", 3, table.save());
  clock::wall_time day{std::chrono::seconds{1'767'225'600}};
  auto recovery = make_recovery_record({}, mesh, {bytes::copy_of(std::string_view{"a key file"}), {one.id}, 1}, 1, day, random).value();
  put("discovery", "recovery", 2, recovery.raw);
  put("discovery", "withdrawn", 2, withdraw_recovery_record({}, mesh, 2, day).value().raw);
  record_store kept;
  (void) kept.put(recovery, day);
  put("discovery", "kept", 4, encode_kept(kept));

  auto id = one.id.hex() + "@";
  put("peer_address", "ip4", id + "/ip4/8.8.8.8/tcp/4433");
  put("peer_address", "ip6", id + "/ip6/2001:db8::1:0:0:7/tcp/4433");
  put("peer_address", "ip6_mixed", "[64:ff9b::8.8.8.8]:1");
  put("peer_address", "name", "/dns4/Host-1.example./tcp/65535");
  put("peer_address", "plain", id + "host:4433");
  put("peer_address", "zone", "/ip6/fe80::1%eth0/tcp/1");
  put("peer_address", "octal", "010.0.0.1:80");
  put("peer_address", "any_at_any", "[::]:0");
  put("peer_address", "control", "\x1b[31mred\xc3\xbc:1");
}

/// The mesh and the pack of ticket_fuzz.cpp.
void tickets() {
  using namespace datamesh::network;
  test::seeded_random random{1};
  auto pack = test::make_pack(random, {2, 1, 3 * block_size + 4096});
  auto mesh = network_id::from(as_view("a mesh for tests of guest shards"));
  auto seed = crypto::key256::random(random).value();
  auto key = crypto::ed25519_public(seed).value();
  auto owner = vault_id::from(byte_view{key});
  word_signer signer = [&](byte_view message) {
    return crypto::ed25519_sign(seed, message);
  };
  clock::wall_time day{std::chrono::seconds{1'767'225'600}};
  auto by = sign(mesh, ticket{owner, test::key_of(pack[1]), pack[1].header.pack.shape.shard_length, 1, day, {}}, signer).value();
  auto gone = sign(mesh, deletion{owner, by.shard.pack, 2, day, {}}, signer).value();
  auto allowed = sign(mesh, permit{owner, {}, {}, day, {}}, signer).value();
  auto kept = sign(mesh, receipt_for(by, key, day), signer).value();
  auto removed = sign(mesh, removal{key, owner, by.shard.pack, gone.name(), day, 3, {}}, signer).value();
  roster named;
  named.owner = owner;
  named.number = 4;
  named.made = day;
  named.patience = std::chrono::hours{24};
  named.nodes = {peer_id::from(crypto::blake3(as_view("one")).view()), peer_id::from(crypto::blake3(as_view("two")).view())};
  std::ranges::sort(named.nodes);
  auto list = sign(mesh, named, signer).value();
  put("ticket", "roster", 0, list.raw);
  put("ticket", "ticket", 0, by.raw);
  put("ticket", "deletion", 0, gone.raw);
  put("ticket", "permit", 0, allowed.raw);
  put("ticket", "receipt", 0, kept.raw);
  put("ticket", "removal", 0, removed.raw);
  auto header = encode_shard_header(pack[1].header, false);
  std::vector<std::pair<std::string, shard_request>> requests{{"begin", begin_upload{7, by.raw, header}},
                                                              {"blocks", upload_blocks{7, 2}},
                                                              {"end", end_upload{7}},
                                                              {"header", find_header{by.raw}},
                                                              {"read", find_blocks{by.raw, 1, 16}},
                                                              {"prove", prove_block{by.raw, 2}},
                                                              {"delete", delete_pack{gone.raw}},
                                                              {"list", list_shards{allowed.raw, by.shard, 256}},
                                                              {"room", find_room{allowed.raw}},
                                                              {"roster", keep_roster{list.raw}},
                                                              {"compare", compare_shards{owner, 8, 254, {digest{}, digest{}}}}};
  for (const auto& [name, what] : requests)
    put("ticket", "ask_" + name, 1, as_view(encode(what)));
  std::vector<std::pair<std::string, shard_answer>> answers{{"begun", upload_begun{kept.raw}},
                                                            {"taken", blocks_taken{}},
                                                            {"kept", shard_kept{kept.raw}},
                                                            {"header", header_found{header}},
                                                            {"proof", prove(pack[1].header, 0)},
                                                            {"removed", pack_deleted{removed.raw}},
                                                            {"blocks", blocks_found{}},
                                                            {"listed", shards_listed{{by.raw, by.raw}, true}},
                                                            {"room", room_found{100, 7}},
                                                            {"roster", roster_kept{}},
                                                            {"compared", shards_compared{{true, false}}}};
  for (const auto& [name, what] : answers)
    put("ticket", "told_" + name, 2, as_view(encode(what)));
  put("ticket", "grants", 3, as_view(encode_grants({{owner, 100}, {{}, 0}})));
  put("ticket", "grants_newer", 3, as_view("datamesh grants 2\n"));
}

void member_lists() {
  using namespace network;
  test::seeded_random random{2};
  auto ann = operator_key::make(random).value();
  auto bob = operator_key::make(random).value();
  member_list list;
  list.network = network_id::from(as_view("a mesh for the tests of members."));
  list.operators = {ann.id(), bob.id()};
  std::ranges::sort(list.operators);
  auto empty = ann.sign(list).value();
  list.number = 7;
  list.threshold = 2;
  list.made_s = 1'767'225'600;
  list.expires_s = 1'798'761'600;
  list.members = {{some_id<peer_id>(1), "cellar"}, {some_id<peer_id>(2), ""}, {some_id<peer_id>(3), "M\xc3\xbcller"}};
  auto both = bob.sign(ann.sign(list).value()).value();
  put("members", "empty", 0, empty.raw);
  put("members", "list", 0, both.raw);
  auto text = std::string{as_text(both.raw)};
  put("members", "newer", 0, as_view(std::string{text}.replace(8, 1, "\x02")));
  put("members", "cut", 0, as_view(text.substr(0, text.size() - 20)));
  put("members", "many", 0, as_view(std::string{text}.replace(72, 4, "\xff\xff\xff\xff")));
  invite to;
  to.network = list.network;
  to.made_s = list.made_s;
  to.expires_s = *list.expires_s;
  to.seeds = {some_id<peer_id>(1).hex() + "@/ip4/9.9.9.9/tcp/7000", some_id<peer_id>(2).hex() + "@/dns6/mesh.example/tcp/7000"};
  auto seed = crypto::key256::random(random).value();
  put("members", "invite", 2, sign_invite(to, seed).value());
  to.members = both.raw;
  put("members", "invite_closed", 2, sign_invite(to, seed).value());
  put("members", "key", 1, ann.seal("a password", random).value());
}

void line_tests() {
  using namespace network;
  put("line", "empty", 0, as_view(encode(line_request{})));
  put("line", "want", 0, as_view(encode(line_request{1 << 20})));
  put("line", "too_much", 0, as_view(encode(line_request{1 << 21})));
  line_answer told{true, 5 << 20, std::chrono::minutes{9}, {1 << 20, 2 << 20}};
  put("line", "answer", 1, as_view(encode(told)));
  put("line", "answer_cut", 1, as_view(encode(told).substr(0, 5)));
  told.refilled_in = std::chrono::hours{8760};
  put("line", "answer_late", 1, as_view(encode(told)));
}

void relay_words() {
  using namespace network;
  auto peer = peer_id::from(as_view("the id of a node that is named R"));
  put("relay", "reserve", 0, as_view(encode(relay_reserve{})));
  put("relay", "open", 0, as_view(encode(relay_open{peer, 7})));
  put("relay", "offer", 0, as_view(encode(relay_offer{peer, 3})));
  put("relay", "piece", 0, as_view(encode(relay_piece{3, 1 << 16, true})));
  put("relay", "end", 0, as_view(encode(relay_end{3, false})));
  put("relay", "open_cut", 0, as_view(encode(relay_open{peer, 7}).substr(0, 20)));
  put("relay", "answer", 1, as_view(encode_relay_answer(3)));
  auto here = endpoint::v4({9, 9, 9, 9}, 7000);
  auto there = here;
  there.through = relay_way{peer, {}};
  put("relay", "record", 2, as_view(encode_node_record({here})));
  put("relay", "record_relayed", 2, as_view(encode_node_record({here, there})));
}

void texts() {
  put("config", "all", "# mine\nmemory = '64M'\nquiet = true\ncolor = \"never\"\nthreads = 2\nexclude = ['*.o', \"b\\u00e4r\"]\n");
  put("config", "dotted", "vault = '''\nx'''\n\n[table]\na.b = 1979-05-27T07:32:00Z\n");
  put("config", "unknown", "memroy = 0x1F\n");
  put("config", "marked", "\xEF\xBB\xBF# mine\nquiet = true\n");
  put("config", "left_over", "memory = \"\"\"\nquiet = true #\"\"\"\n");
  put("daemon_config", "all",
      "home = '/srv/datamesh'\nsocket = \"/run/datamesh/control.sock\"\ngroup = 'datamesh'\nmemory = \"96MiB\"\nthreads = 2\n"
      "compression = 3\nconnections = 32\nscrub = false\nnotify = ['/usr/bin/logger', '-t', 'datamesh']\n");
  put("daemon_config", "mesh",
      "mesh_network = 'the photos of the millers, 2026'\nmesh_listen = ['0.0.0.0:7000', \"[::]:7000\"]\nmesh_announce = ['9.9.9.9:7000']\n"
      "mesh_seeds = ['/ip4/9.9.9.8/tcp/7000']\nmesh_local = false\n");
  put("daemon_config", "lan",
      "mesh_network = 'the photos of the millers, 2026'\nmesh_listen = ['0.0.0.0:7000']\nmesh_local = true\nmesh_lan = true\n");
  put("daemon_config", "mesh_without_name", "mesh_local = true\nmesh_seeds = ['127.0.0.1:7000']\n");
  put("daemon_config", "members",
      "mesh_network = 'the photos of the millers, 2026'\nmesh_seeds = ['/dns6/mesh.example/tcp/7000']\nmesh_members = "
      "'/etc/datamesh/members'\n");
  put("daemon_config", "wrong", "memory = 1\nnotfy = ['logger']\n");
  put("drive_marker", "v1", "datamesh drive 1\nid 6f1d0c52a7be44f09c0b7d6f0be2a915\n");
  put("drive_marker", "newer", "datamesh drive 2\nid 6f1d0c52a7be44f09c0b7d6f0be2a915\n");
  put("drives", "three",
      "datamesh node 1\ndrive 07e0902af79efa63625bd26d6ba74b25 /mnt/a\ndrive 05f63bcd30bb741b5d10e37c073c9a17 /mnt/%0ab\n"
      "drive 00db265fe95eced3487a5d07f82b9b6d /mnt/100%25\n");
  put("drives", "none", "datamesh node 1\n");
  put("drives", "newer", "datamesh node 2\n");
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2)
    return 2;
  top = argv[1];
  auto encoded = operations();
  for (size_t i = 0; i < encoded.size(); ++i)
    put("operation", std::to_string(i), encoded[i]);
  packs();
  checkpoints();
  shards();
  key_files();
  control_requests();
  control_replies();
  control_files();
  links();
  beacons();
  routers();
  discovery_messages();
  tickets();
  member_lists();
  line_tests();
  relay_words();
  texts();
}
