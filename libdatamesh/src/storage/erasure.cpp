#include "storage/erasure.hpp"

#include "storage/geometry.hpp"

#include <fmt/core.h>
#include <isa-l/erasure_code.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cassert>

namespace datamesh::storage {

namespace {

constexpr size_t row_max = shard_count_max;

// The slices of all shards of one step stay in the second-level cache, since
// ISA-L reads the sources once for every few rows that it makes.
constexpr size_t step_bytes = 512 << 10;
constexpr size_t slice_min = 4096;

using pointer_row = std::array<unsigned char*, row_max>;

void multiply(const std::vector<unsigned char>& tables, std::span<const byte_view> from, std::span<const byte_span> to) {
  auto length = from.front().size();
  auto slice = erasure_code::slice_of(from.size() + to.size());
  // ISA-L declares its tables and sources writable but does not write to them.
  pointer_row sources;
  pointer_row targets;
  for (size_t at = 0; at < length; at += slice) {
    for (size_t i = 0; i < from.size(); ++i)
      sources[i] = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(from[i].data() + at));
    for (size_t i = 0; i < to.size(); ++i)
      targets[i] = reinterpret_cast<unsigned char*>(to[i].data() + at);
    ec_encode_data(static_cast<int>(std::min(slice, length - at)), static_cast<int>(from.size()), static_cast<int>(to.size()),
                   const_cast<unsigned char*>(tables.data()), sources.data(), targets.data());
  }
}

template <class Shards>
bool all_of_length(const Shards& shards, size_t length) {
  return std::all_of(shards.begin(), shards.end(), [length](const auto& shard) { return shard.size() == length; });
}

} // namespace

size_t erasure_code::slice_of(size_t shards) noexcept {
  return std::max(step_bytes / shards / 64 * 64, slice_min);
}

erasure_code::erasure_code(uint8_t k, uint8_t m) : k_(k), m_(m), matrix_((size_t{k} + m) * k), tables_(size_t{32} * k * m) {
  assert(k >= 1 && size_t{k} + m <= row_max);
  gf_gen_cauchy1_matrix(matrix_.data(), k + m, k);
  if (m > 0)
    ec_init_tables(k, m, matrix_.data() + size_t{k} * k, tables_.data());
}

void erasure_code::encode(std::span<const byte_view> data, std::span<const byte_span> parity) const {
  assert(data.size() == k_ && parity.size() == m_);
  assert(all_of_length(data, data.front().size()) && all_of_length(parity, data.front().size()));
  if (m_ > 0)
    multiply(tables_, data, parity);
}

result<void> erasure_code::reconstruct(std::span<const uint8_t> present_index, std::span<const byte_view> present,
                                       std::span<const uint8_t> wanted, std::span<const byte_span> out) const {
  constexpr auto attempt = "reconstruct shards";
  if (present.size() < k_ || present_index.size() < k_)
    return fail(errc::damaged, attempt, fmt::format("{} of {} needed", std::min(present.size(), present_index.size()), k_));
  if (present.size() != k_ || present_index.size() != k_ || wanted.size() != out.size())
    return fail(errc::invalid_argument, attempt, "lists of different lengths");
  std::bitset<256> seen;
  auto take = [&](uint8_t index) {
    auto fresh = index < k_ + m_ && !seen.test(index);
    seen.set(index);
    return fresh;
  };
  if (!std::all_of(present_index.begin(), present_index.end(), take) || !std::all_of(wanted.begin(), wanted.end(), take))
    return fail(errc::invalid_argument, attempt, "an index twice or out of range");
  if (!all_of_length(present, present.front().size()) || !all_of_length(out, present.front().size()))
    return fail(errc::invalid_argument, attempt, "shards of different lengths");
  if (wanted.empty())
    return {};
  size_t k = k_;
  std::vector<unsigned char> rows(k * k);
  std::vector<unsigned char> inverse(k * k);
  for (size_t i = 0; i < k; ++i)
    std::copy_n(matrix_.begin() + present_index[i] * k, k, rows.begin() + i * k);
  // Every square part of a Cauchy matrix below the identity has an inverse.
  [[maybe_unused]] auto singular = gf_invert_matrix(rows.data(), inverse.data(), k_);
  assert(singular == 0);
  std::vector<unsigned char> recipe(wanted.size() * k);
  for (size_t row = 0; row < wanted.size(); ++row)
    for (size_t column = 0; column < k; ++column) {
      unsigned char sum = 0;
      for (size_t i = 0; i < k; ++i)
        sum ^= gf_mul(matrix_[wanted[row] * k + i], inverse[i * k + column]);
      recipe[row * k + column] = sum;
    }
  std::vector<unsigned char> tables(32 * recipe.size());
  ec_init_tables(k_, static_cast<int>(wanted.size()), recipe.data(), tables.data());
  multiply(tables, present, out);
  return {};
}

} // namespace datamesh::storage
