#include "network/range_memory.hpp"

#include "crypto/hash.hpp"
#include "storage/little_endian.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace datamesh::network {

namespace {

using storage::layout_reader;
using storage::layout_writer;

constexpr std::string_view magic{"DMRANGE\x01", 8};
constexpr uint16_t version = 1;
constexpr size_t header_size = magic.size() + 2 * sizeof(uint16_t) + sizeof(uint32_t) + digest::size;
constexpr size_t row_size = sizeof(uint32_t) + digest::size + sizeof(uint16_t);
constexpr size_t other_size = sizeof(uint16_t) + digest::size;
constexpr auto reading = "read what is remembered of ranges";

} // namespace

void range_memory::fit(uint64_t shards, uint64_t each) {
  auto fits = shards < 8 * each << bits_ && (bits_ == 0 || shards >= each / 2 << bits_);
  if (fits)
    return;
  auto ranges = std::max<uint64_t>(shards / each, 1);
  auto bits = std::min(static_cast<uint32_t>(std::bit_width(ranges)) - 1, range_bits_max);
  if (std::exchange(bits_, bits) != bits)
    settled_.clear();
}

const range_memory::settled_range* range_memory::find(uint32_t number) const {
  auto found = settled_.find(number);
  return found == settled_.end() ? nullptr : &found->second;
}

void range_memory::settle(uint32_t number, settled_range found) {
  settled_.insert_or_assign(number, std::move(found));
}

void range_memory::forget(uint32_t number) {
  settled_.erase(number);
}

std::vector<std::byte> range_memory::encode(const roster& of) const {
  size_t size = header_size + digest::size;
  auto end = std::ranges::find_if(settled_, [&](const auto& each) {
    auto row = row_size + each.second.others.size() * other_size;
    auto fits = size + row <= range_memory_max;
    size += fits ? row : 0;
    return !fits;
  });
  std::vector<std::byte> out(size);
  layout_writer write{out};
  write.put(magic).put(version).put(static_cast<uint16_t>(bits_));
  write.put(static_cast<uint32_t>(std::distance(settled_.begin(), end))).put(crypto::blake3(of.raw).view());
  for (auto one = settled_.begin(); one != end; ++one) {
    const auto& [number, range] = *one;
    write.put(number).put(range.mine.view()).put(static_cast<uint16_t>(range.others.size()));
    for (const auto& [node, has] : range.others)
      write.put(static_cast<uint16_t>(std::ranges::lower_bound(of.nodes, node) - of.nodes.begin())).put(has.view());
  }
  write.put(crypto::blake3(byte_view{out}.first(write.written())).view());
  return out;
}

result<range_memory> range_memory::decode(byte_view saved, const roster& of) {
  if (saved.size() < magic.size() || as_text(saved.first(magic.size())) != magic)
    return fail(errc::format_alien, reading);
  if (saved.size() < header_size + digest::size || saved.size() > range_memory_max)
    return fail(errc::format_damaged, reading, "its size");
  auto content = saved.first(saved.size() - digest::size);
  if (digest::from(saved.last(digest::size)) != crypto::blake3(content))
    return fail(errc::format_damaged, reading, "the checksum is wrong");
  layout_reader read{content.subspan(magic.size())};
  if (auto written_by = read.get<uint16_t>(); written_by != version)
    return fail(written_by > version ? errc::format_newer : errc::format_damaged, reading, "its version");
  range_memory memory;
  memory.bits_ = read.get<uint16_t>();
  auto rows = read.get<uint32_t>();
  if (memory.bits_ > range_bits_max || rows > memory.count())
    return fail(errc::format_damaged, reading, "its header");
  if (read.get_id<digest>() != crypto::blake3(of.raw))
    return fail(errc::conflict, reading, "it is of another roster");
  for (auto wrong = fail(errc::format_damaged, reading, "a row"); rows > 0; --rows) {
    if (read.left() < row_size)
      return wrong;
    auto number = read.get<uint32_t>();
    settled_range range{read.get_id<digest>(), {}};
    size_t others = read.get<uint16_t>();
    if (number >= memory.count() || (!memory.settled_.empty() && number <= memory.settled_.rbegin()->first)
        || read.left() / other_size < others)
      return wrong;
    for (; others > 0; --others) {
      size_t node = read.get<uint16_t>();
      if (node >= of.nodes.size() || !range.others.emplace(of.nodes[node], read.get_id<digest>()).second)
        return wrong;
    }
    memory.settled_.emplace_hint(memory.settled_.end(), number, std::move(range));
  }
  return read.left() == 0 ? result<range_memory>{std::move(memory)} : fail(errc::format_damaged, reading, "something follows the rows");
}

} // namespace datamesh::network
