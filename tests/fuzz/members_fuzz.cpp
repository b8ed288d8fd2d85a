// The list of members that nodes of a closed mesh hand to each other, the key of an operator, and an invite.
// The first byte tells which.
#include "datamesh/invite.hpp"
#include "fuzz.hpp"
#include "network/member_list.hpp"

using namespace datamesh;
using namespace datamesh::network;

namespace {

void read_list(byte_view data) {
  auto read = read_members(data);
  if (!read)
    return;
  fuzz::require(std::ranges::equal(read->raw.view(), data), "a list is kept as it came");
  fuzz::require(members_content(*read).size() < data.size(), "what is signed is a part of it");
  auto again = read_members(read->raw);
  fuzz::require(again && again->list == read->list && again->signers == read->signers, "a list has one meaning");
  for (const auto& one : read->list.members)
    fuzz::require(read->list.find(one.id) != nullptr, "a member is found");
  fuzz::require(!*judge_after(*read, *again), "a list is not newer than itself");
}

void read_key(byte_view data) {
  if (auto whose = operator_key::inspect(data))
    fuzz::require(!operator_key::open(data, "").has_value(), "no key is opened without a password");
}

void read_an_invite(byte_view data) {
  auto read = read_invite(data);
  if (!read)
    return;
  for (const auto& seed : read->seeds)
    fuzz::require(invite_seed(seed) == seed, "a seed has one text");
  fuzz::require(read->members.empty() || read_members(read->members)->list.network == read->network, "its members are of its mesh");
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  auto rest = fuzz::view(data, size).subspan(1);
  switch (data[0] % 3) {
  case 0:
    read_list(rest);
    break;
  case 1:
    read_key(rest);
    break;
  default:
    read_an_invite(rest);
  }
  return 0;
}
