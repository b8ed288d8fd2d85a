#include "together.hpp"

#include "plain.hpp"
#include "stages.hpp"

#include <thread>
#include <vector>

namespace datamesh::reference {

namespace {

constexpr size_t chunk_size = 1 << 20;
constexpr size_t tag_size = 16;

void work(size_t bytes) {
  std::vector<std::byte> chunk(chunk_size, std::byte{0x5a});
  std::vector<std::byte> sealed(chunk_size + tag_size);
  std::vector<std::byte> key(32, std::byte{0x17});
  for (size_t done = 0; done < bytes; done += chunk_size) {
    hash(chunk, key, byte_span{key});
    seal(chunk, key, sealed);
  }
}

double seconds_of(unsigned threads, size_t bytes) {
  auto begin = wall_now();
  std::vector<std::thread> team;
  for (unsigned i = 0; i < threads; ++i)
    team.emplace_back(work, bytes);
  for (auto& one : team)
    one.join();
  return wall_now() - begin;
}

} // namespace

double gain_together(unsigned threads, size_t bytes) {
  work(chunk_size); // The library's own preparations.
  auto alone = seconds_of(1, bytes);
  return threads * alone / seconds_of(threads, bytes);
}

} // namespace datamesh::reference
