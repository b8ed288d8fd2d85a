#include "stages.hpp"

#include "base/buffer_pool.hpp"
#include "crypto/derive.hpp"
#include "crypto/hash.hpp"
#include "crypto/merkle.hpp"
#include "network/tls_link.hpp"
#include "plain.hpp"
#include "storage/chunker.hpp"
#include "storage/erasure.hpp"
#include "storage/sealed_chunk.hpp"
#include "storage/shard_store.hpp"
#include "tls_pair.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

namespace datamesh::reference {

namespace {

using namespace datamesh::storage;

constexpr size_t segment = 8 << 20; ///< As the source reads.
constexpr size_t chunk = 1 << 20;   ///< As chunks are on the average.
constexpr uint8_t k = 4;
constexpr uint8_t m = 2;
constexpr size_t shard = pack_size_max / k;

double clock_seconds(clockid_t which) {
  timespec now{};
  ::clock_gettime(which, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// What all stages share.
struct bench {
  environment env = system_environment();
  crypto::keyring keys;
  std::string folder;
  byte_span random;
  byte_span text;
  byte_span scratch;
  byte_span other;
  std::vector<buffer_pool::buffer> buffers;
  crypto::aead cipher;
  compressor packer{1};
  std::unique_ptr<shard_store> drive;
  std::array<uint64_t, 256> gear{};
  size_t packed = 0;
  uint64_t files = 0;
  bytes shard_body;
  pack_seal seal;
  std::vector<digest> hashes;

  byte_span take(size_t size) {
    buffers.push_back(buffer_pool::make(size, 0)->take());
    return buffers.back().span();
  }
  [[nodiscard]] const crypto::space_keys& space() const {
    return keys.spaces.front();
  }
  [[nodiscard]] chunk_facts facts() const {
    return {keys.vault, space().id, space().epoch, crypto::aead_suite::aes_256_gcm, {}, codec::none, chunk};
  }
};

/// Words of a small vocabulary, short ones more often: packs about as prose does.
void write_text(byte_span out) {
  static constexpr std::string_view letters = "etaoinshrdlucmfwypvbgkqjxz";
  uint64_t state = 0x9e3779b97f4a7c15ull;
  auto next = [&] {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dull;
  };
  for (size_t at = 0; at < out.size();) {
    auto draw = next() >> 40;
    auto word = (draw % 4096) * (draw % 97) % 4096 * 2654435761u;
    for (size_t i = 0; i < 2 + word % 7 && at < out.size(); ++i, word = word * 2654435761u + 12345)
      out[at++] = static_cast<std::byte>(letters[(word >> 8) % 26]);
    if (at < out.size())
      out[at++] = std::byte{' '};
  }
}

result<std::shared_ptr<bench>> make_bench(const std::string& folder) {
  auto it = std::make_shared<bench>();
  it->folder = folder;
  auto keys = crypto::make_keyring(*it->env.random);
  if (!keys)
    return fail(keys.error());
  it->keys = std::move(*keys);
  it->random = it->take(pack_size_max + 2 * shard);
  it->text = it->take(segment);
  it->scratch = it->take(pack_size_max + 2 * shard);
  it->other = it->take(segment);
  if (auto filled = it->env.random->fill(it->random); !filled)
    return fail(filled.error());
  write_text(it->text);
  std::fill(it->scratch.begin(), it->scratch.end(), std::byte{1});
  std::fill(it->other.begin(), it->other.end(), std::byte{1});
  if (auto filled = it->env.random->fill(std::as_writable_bytes(std::span{it->gear})); !filled)
    return fail(filled.error());
  for (const auto* name : {"/drive", "/plain"})
    if (auto made = it->env.files->make_folder(folder + name); !made)
      return fail(made.error());
  if (auto id = shard_store::format(it->env, folder + "/drive"); !id)
    return fail(id.error());
  shard_store_options options;
  options.folder = folder + "/drive";
  auto drive = shard_store::open(it->env, options);
  if (!drive)
    return fail(drive.error());
  it->drive = std::move(*drive);
  return it;
}

/// A shard under a fresh pack id, as a put makes them.
shard_write next_shard(bench& it) {
  it.seal.shape = {k, m, shard};
  if (it.hashes.empty()) {
    it.shard_body = it.buffers.front().freeze(0, shard);
    it.hashes = storage::hash_blocks(it.shard_body);
    it.seal.shard_roots.assign(k + m, crypto::merkle_root(it.hashes));
  }
  auto number = ++it.files;
  it.seal.shard_roots.back() = crypto::blake3(std::as_bytes(std::span{&number, 1}));
  it.seal.id = pack_id_of(it.seal.shape, it.seal.shard_roots);
  return {{it.seal, 0, it.hashes}, it.shard_body};
}

template <class Use>
bool each_chunk(byte_view data, Use use) {
  for (size_t at = 0; at < data.size(); at += chunk)
    if (!use(data.subspan(at, chunk)))
      return false;
  return true;
}

void add_cutting(const std::shared_ptr<bench>& it, std::vector<stage>& all) {
  auto data = byte_view{it->random}.first(segment);
  chunker cutter{it->space().chunker_key};
  all.push_back({"cut",
                 segment,
                 false,
                 [=] {
                   const auto& limits = cutter.limits();
                   return scan(data, it->gear.data(), limits.size_min, limits.size_target, limits.size_max) > 0;
                 },
                 [=] { return !cutter.cut(data, true).empty(); },
                 {}});
  all.push_back({"hash chunks",
                 segment,
                 false,
                 [=] {
                   return each_chunk(data, [&](byte_view part) {
                     reference::hash(part, it->space().id_key.view(), it->scratch.first(32));
                     return true;
                   });
                 },
                 [=] { return each_chunk(data, [&](byte_view part) { return !chunk_id_of(it->space().id_key, part).is_zero(); }); },
                 {}});
}

void add_packing(const std::shared_ptr<bench>& it, std::vector<stage>& all) {
  auto compress_with = [=](byte_view data) {
    return stage{
        "",
        segment,
        false,
        [=] { return each_chunk(data, [&](byte_view part) { return reference::compress(part, it->scratch.first(2 * chunk), 1) > 0; }); },
        [=] {
          return each_chunk(data, [&](byte_view part) {
            (void) it->packer.compress(part, it->scratch.first(2 * chunk));
            return true;
          });
        },
        {}};
  };
  all.push_back(compress_with(it->text));
  all.back().name = "compress text";
  all.push_back(compress_with(byte_view{it->random}.first(segment)));
  all.back().name = "compress random";
  it->packed = reference::compress(byte_view{it->text}.first(chunk), it->other, 1);
  all.push_back(
      {"expand text",
       chunk,
       false,
       [=] {
         expand(byte_view{it->other}.first(it->packed), it->scratch.first(chunk));
         return true;
       },
       [=] { return it->packer.decompress(codec::zstd, byte_view{it->other}.first(it->packed), it->scratch.first(chunk)).has_value(); },
       {}});
}

void add_sealing(const std::shared_ptr<bench>& it, std::vector<stage>& all) {
  auto key = it->space().epoch_keys.at(it->space().epoch);
  auto data = byte_view{it->random}.first(chunk);
  auto sealed = std::make_shared<std::vector<std::byte>>(chunk + seal_overhead);
  auto plain_sealed = std::make_shared<std::vector<std::byte>>(chunk + crypto::aead_tag_size);
  auto seal_ours = [=] {
    return seal_chunk(it->cipher, key, it->facts(), data, *it->env.random, *sealed).has_value();
  };
  auto seal_plain = [=] {
    reference::seal(data, key.view(), *plain_sealed);
    return true;
  };
  (void) seal_ours();
  (void) seal_plain();
  all.push_back({"seal", chunk, false, seal_plain, seal_ours, {}});
  all.push_back({"open",
                 chunk,
                 false,
                 [=] { return reference::open(*plain_sealed, key.view(), it->scratch.first(chunk)); },
                 [=] { return open_chunk(it->cipher, key, it->facts(), *sealed, it->scratch.first(chunk)).has_value(); },
                 {}});
}

void add_coding(const std::shared_ptr<bench>& it, std::vector<stage>& all) {
  std::vector<byte_view> data;
  std::vector<byte_span> parity;
  for (size_t i = 0; i < k; ++i)
    data.push_back(byte_view{it->random}.subspan(i * shard, shard));
  for (size_t i = 0; i < m; ++i)
    parity.push_back(it->scratch.subspan(i * shard, shard));
  encoder plain{k, m};
  erasure_code ours{k, m};
  all.push_back({"encode 4+2",
                 size_t{k} * shard,
                 false,
                 [=] {
                   plain.encode(data, parity);
                   return true;
                 },
                 [=] {
                   ours.encode(data, parity);
                   return true;
                 },
                 {}});
  all.push_back({"hash blocks",
                 shard,
                 false,
                 [=] {
                   reference::hash_blocks(data.front(), it->scratch.first(shard / block_size * 32));
                   return true;
                 },
                 [=] { return storage::hash_blocks(data.front()).size() == shard / block_size; },
                 {}});
}

/// Our links, both ends.
struct link_pair {
  std::optional<network::tls_identity> identity[2];
  std::optional<network::tls_link> end[2];

  static std::shared_ptr<link_pair> make(const environment& env) {
    using namespace network;
    auto it = std::make_shared<link_pair>();
    for (size_t i = 0; i < 2; ++i) {
      crypto::key256 seed;
      if (!env.random->fill(seed.span()))
        return nullptr;
      auto made = tls_identity::make(seed, env.clock, *env.random);
      if (!made)
        return nullptr;
      it->identity[i].emplace(std::move(*made));
      auto opened = tls_link::open(*it->identity[i], i == 0 ? link_side::dialer : link_side::acceptor, std::nullopt);
      if (!opened)
        return nullptr;
      it->end[i].emplace(std::move(*opened));
    }
    for (int round = 0; round < 8 && !(it->end[0]->established() && it->end[1]->established()); ++round)
      for (size_t i = 0; i < 2; ++i)
        (void) it->end[1 - i]->received(it->end[i]->take_output());
    return it->end[0]->established() && it->end[1]->established() ? it : nullptr;
  }

  bool pass(byte_view data, byte_span out) {
    constexpr size_t at_once = 256 << 10;
    for (size_t at = 0; at < data.size(); at += at_once) {
      auto part = data.subspan(at, std::min(at_once, data.size() - at));
      if (!end[0]->write(part) || !end[1]->received(end[0]->output()))
        return false;
      end[0]->drop_output(end[0]->output_size());
      for (size_t done = 0; done < part.size();) {
        auto got = end[1]->read(out.subspan(at + done, part.size() - done));
        if (!got || *got == 0)
          return false;
        done += *got;
      }
    }
    return true;
  }
};

result<void> add_link(const std::shared_ptr<bench>& it, std::vector<stage>& all) {
  std::shared_ptr<tls_pair> plain = tls_pair::make();
  auto ours = link_pair::make(it->env);
  if (!plain || !ours)
    return fail(errc::unavailable, "open TLS links in memory");
  auto data = byte_view{it->random}.first(segment);
  all.push_back({"TLS, both ends",
                 segment,
                 false,
                 [=] { return plain->pass(data, it->scratch.first(segment)); },
                 [=] { return ours->pass(data, it->scratch.first(segment)); },
                 {}});
  return {};
}

void add_disk(const std::shared_ptr<bench>& it, std::vector<stage>& all) {
  auto plain = it->folder + "/plain";
  all.push_back({"store a shard",
                 shard,
                 true,
                 [=] {
                   auto name = std::to_string(++it->files);
                   return write_file(plain, name, byte_view{it->scratch}.first(direct_alignment), byte_view{it->random}.first(shard));
                 },
                 [=] {
                   auto write = next_shard(*it);
                   return it->drive->store({&write, 1}).has_value();
                 },
                 {}});
  auto last = std::make_shared<shard_header>();
  all.push_back({"read a shard",
                 shard,
                 true,
                 [=] { return read_direct(plain + "/1", it->scratch.first(shard)); },
                 [=] {
                   if (last->block_hashes.empty()) {
                     auto write = next_shard(*it);
                     if (!it->drive->store({&write, 1}))
                       return false;
                     *last = write.header;
                   }
                   return it->drive->read_checked(*last, 0, it->scratch.first(shard)).has_value();
                 },
                 {}});
  // What the disk can do when all drives of a put or get are busy with it.
  auto by_all = [=](const std::function<bool(size_t)>& call) {
    std::array<bool, k + m> good{};
    std::vector<std::thread> drives;
    for (size_t i = 0; i < good.size(); ++i)
      drives.emplace_back([&, i] { good[i] = call(i); });
    for (auto& drive : drives)
      drive.join();
    return std::all_of(good.begin(), good.end(), [](bool is) { return is; });
  };
  all.push_back({"store on six drives",
                 (k + m) * shard,
                 true,
                 [=] {
                   auto first = it->files;
                   it->files += k + m;
                   return by_all([&](size_t i) {
                     return write_file(plain, std::to_string(first + 1 + i), byte_view{it->scratch}.first(direct_alignment),
                                       byte_view{it->random}.first(shard));
                   });
                 },
                 {},
                 {}});
  all.push_back({"read from six drives",
                 (k + m) * shard,
                 true,
                 [=] {
                   return by_all([&](size_t i) {
                     return read_direct(plain + "/" + std::to_string(it->files - i), it->scratch.subspan(i * shard, shard));
                   });
                 },
                 {},
                 {}});
  auto cached = it->folder + "/cached";
  all.push_back({"write the page cache",
                 segment,
                 false,
                 [=] { return write_cached(cached, byte_view{it->random}.first(segment), segment); },
                 {},
                 {}});
  all.push_back({"read the page cache", segment, false, [=] { return read_cached(cached, it->scratch); }, {}, {}});
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

/// Bytes a second, or 0 when a call fails.
double rate_of(const stage& what, const std::function<bool()>& call, uint64_t bytes) {
  auto which = what.on_disk ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
  auto begin = clock_seconds(which);
  uint64_t done = 0;
  for (; done < bytes; done += what.bytes)
    if (!call())
      return 0;
  return static_cast<double>(done) / (clock_seconds(which) - begin);
}

} // namespace

double wall_now() {
  return clock_seconds(CLOCK_MONOTONIC);
}

result<std::vector<stage>> make_stages(const std::string& folder) {
  auto it = make_bench(folder);
  if (!it)
    return fail(it.error());
  std::vector<stage> all;
  add_cutting(*it, all);
  add_packing(*it, all);
  add_sealing(*it, all);
  add_coding(*it, all);
  if (auto added = add_link(*it, all); !added)
    return fail(added.error());
  add_disk(*it, all);
  return all;
}

result<void> measure(std::vector<stage>& stages, int rounds, uint64_t bytes) {
  for (auto& what : stages) {
    std::vector<double> reference;
    std::vector<double> ours;
    for (int round = 0; round < rounds; ++round) {
      reference.push_back(rate_of(what, what.reference, bytes));
      if (what.ours)
        ours.push_back(rate_of(what, what.ours, bytes));
    }
    what.measured = {median(reference), median(ours)};
    if (what.measured.reference == 0 || (what.ours && what.measured.ours == 0))
      return fail(errc::unavailable, "measure", what.name);
  }
  return {};
}

} // namespace datamesh::reference
