// What other nodes send to find nodes and records, and the saved table and records. The first byte tells
// which.
#include "fuzz.hpp"
#include "network/discovery.hpp"
#include "network/kept_records.hpp"
#include "network/recovery_record.hpp"
#include "tests/support/seeded_random.hpp"

#include <algorithm>

using namespace datamesh;
using namespace datamesh::network;

namespace {

constexpr clock::wall_time day{std::chrono::seconds{1'767'225'600}};
const auto mesh = network_id::from(as_view("a mesh for the tests of finding."));

void read_request(byte_view data) {
  auto message = decode_request(data);
  if (!message)
    return;
  auto again = decode_request(as_view(encode(*message)));
  fuzz::require(again && again->from == message->from && again->what.index() == message->what.index(),
                "a request is read as it was written");
  test::seeded_random random{1};
  discovery engine{peer_id{}, {mesh, ip_rules::local(), {}}, random, {{}, day}};
  contact asker{peer_id::from(mesh.view()), message->from};
  auto answer = decode_answer(as_view(encode(engine.serve(asker, message->what, {{}, day}))));
  fuzz::require(answer.has_value(), "an answer can be read");
}

void read_answer(byte_view data) {
  auto answer = decode_answer(data);
  auto found = answer ? std::get_if<found_answer>(&*answer) : nullptr;
  if (found == nullptr)
    return;
  auto again = decode_answer(as_view(encode(*answer)));
  fuzz::require(again && std::get<found_answer>(*again).nodes == found->nodes, "an answer is read as it was written");
  contact replier{peer_id::from(mesh.view()), {{*parse_ip4("127.0.0.1"), 1}}};
  lookup_goal goal;
  goal.kind = record_kind::provider;
  lookup search{peer_id{}, mesh, ip_rules::local(), goal, {replier}};
  auto ask = search.next({});
  fuzz::require(ask.has_value(), "there is somebody to ask");
  (void) search.answered(ask->number, *found, replier.addresses.front().ip, day);
  while (auto next = search.next({}))
    search.failed(next->number);
  fuzz::require(search.has_ended(), "a lookup ends when nobody is left");
  fuzz::require(search.outcome().nearest.size() <= 1, "only who answered is found");
}

void read_record(byte_view data) {
  auto record = open_record(mesh, data, day);
  if (!record)
    return;
  fuzz::require(std::ranges::equal(record->raw.view(), data), "a record is kept as it came");
  record_store store;
  fuzz::require(store.put(*record, day) == store_outcome::stored && store.size() == 1, "a record that holds is stored");
  // The secret that the corpus was made with: all zeros.
  auto recovery = open_recovery_record({}, mesh, *record);
  fuzz::require(!recovery || record->name.kind == record_kind::recovery, "what recovers is a recovery record");
}

void read_kept(byte_view data) {
  auto records = decode_kept(mesh, data, day);
  if (!records)
    return;
  record_store store;
  for (const auto& record : *records)
    (void) store.put(record, day);
  auto again = decode_kept(mesh, encode_kept(store), day);
  fuzz::require(store.size() == 0 || (again && again->size() == store.size()), "records are read as they were saved");
}

void read_table(byte_view data) {
  auto table = routing_table::restore(peer_id{}, {}, data);
  if (!table)
    return;
  auto saved = table->save();
  auto again = routing_table::restore(peer_id{}, {}, saved);
  fuzz::require(again && again->save() == saved && again->size() == table->size(), "a table is read as it was saved");
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  auto rest = fuzz::view(data, size).subspan(1);
  switch (data[0] % 5) {
  case 0:
    read_request(rest);
    break;
  case 1:
    read_answer(rest);
    break;
  case 2:
    read_record(rest);
    break;
  case 3:
    read_table(rest);
    break;
  default:
    read_kept(rest);
  }
  return 0;
}
