// Every seal in the life of a store, from the first key file to the last cleanup, looked at
// between our code and OpenSSL: no key seals twice under one nonce.
#include "crypto/aead.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/simulation/scripts.hpp"
#include "tests/simulation/seal_tracer.hpp"
#include "tests/simulation/shard_files.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <iostream>

namespace datamesh::test {

namespace {

const std::string chunks = "dm/chunk/1";
const std::string tables = "dm/toc/1";
const std::string operations = "dm/ops/1";
const std::string locks = "dm/lock/1";
const std::string key_files = "dm/key-file/1";

template <class T>
T must(result<T> outcome) {
  INFO((outcome ? std::string{} : outcome.error().message()));
  REQUIRE(outcome);
  return std::move(*outcome);
}

void must(const result<void>& outcome) {
  INFO((outcome ? std::string{} : outcome.error().message()));
  REQUIRE(outcome);
}

/// A life of a store whose every step has to seal at least what it says.
class traced_life {
public:
  traced_life(const seal_tracer& tracer, const char* what) : tracer_(tracer), what_(what), before_(tracer.counts()) {}

  void sealed(const std::vector<std::string>& kinds) {
    INFO(what_);
    auto after = tracer_.counts();
    for (const auto& kind : kinds) {
      INFO(kind);
      CHECK(after[kind] > before_[kind]);
    }
    REQUIRE(tracer_.repeated() == std::vector<std::string>{});
  }
  /// Nothing of that kind.
  void spared(const std::string& kind) {
    INFO(what_ << " must not seal " << kind);
    auto after = tracer_.counts();
    CHECK(after[kind] == before_[kind]);
  }

private:
  const seal_tracer& tracer_;
  const char* what_;
  std::map<std::string, uint64_t> before_;
};

cleanup_summary clean_up(store_under_test& store) {
  cleanup_request request;
  request.trash_age = std::chrono::seconds{0};
  request.keep_versions = 2;
  return must(store.vault().cleanup(request));
}

} // namespace

TEST_CASE("no key and nonce seal twice in the life of a store", "[simulation][seal]") {
  auto seed = test::seed();
  CAPTURE(seed);
  seeded_random random{seed};
  seal_tracer tracer;
  auto step = [&](const char* what) {
    return traced_life{tracer, what};
  };

  auto made = step("making a vault");
  auto store = store_under_test::make(seed);
  made.sealed({locks, key_files});

  std::map<std::string, content> tree;
  for (int i = 0; i < 24; ++i)
    tree[fmt::format("{}/{}", i % 3, i)] = make_content(random, 1 + random.below(120'000), i % 2 == 0);
  tree["long"] = make_content(random, 2'500'000, false);
  for (const auto& [name, text] : tree)
    store->add_source("/src/" + name, text);
  must(store->open());
  auto put = step("a put of a tree");
  must(store->put_folder("/src", "/tree", tree));
  put.sealed({chunks, tables, operations});

  auto again = step("the same tree once more");
  must(store->put_folder("/src", "/twice", tree));
  again.sealed({operations});
  again.spared(chunks);

  auto overwritten = step("overwriting");
  must(store->put("/tree/long", make_content(random, 700'000, false)));
  must(store->put("/tree/0/0", make_content(random, 5'000, true)));
  overwritten.sealed({chunks, tables, operations});

  auto named = step("changes of names alone");
  must(store->vault().make_folder("/empty"));
  must(store->remove("/twice", true));
  for (int i = 0; i < 24; i += 2)
    must(store->remove(fmt::format("/tree/{}/{}", i % 3, i), false));
  must(store->vault().flush());
  named.sealed({tables, operations});
  named.spared(chunks);

  auto cleaned = step("a cleanup");
  store->time().advance(std::chrono::hours{1});
  auto freed = clean_up(*store);
  CHECK(freed.packs_copied > 0);
  CHECK(freed.bytes_copied > 0);
  // Sealed chunks are copied as they are: the same bytes under the same seal.
  cleaned.sealed({tables});
  cleaned.spared(chunks);

  // What was forgotten is sealed anew: the same chunks under the same epoch's key.
  auto returned = step("what was forgotten, again");
  must(store->put_folder("/src", "/returned", tree));
  returned.sealed({chunks, tables, operations});

  auto healed = step("a repair");
  auto shards = shard_files(store->disk());
  REQUIRE(!shards.empty());
  must(store->disk().remove(shards.front().path));
  verify_request deep;
  deep.deep = true;
  deep.repair = true;
  CHECK(must(store->vault().verify(deep)).shards_repaired > 0);
  healed.spared(chunks);

  auto rebuilt = step("a rebuild of the catalog");
  store->close_vault();
  must(store->rebuild());
  must(store->open());
  must(store->put("/after the rebuild", make_content(random, 40'000, false)));
  rebuilt.sealed({chunks, tables, operations});

  auto keyed = step("changes of keys");
  must(store->vault().change_password(credential::password("one word after another")));
  must(store->vault().change_password(credential::password("another word after one")));
  (void) must(store->vault().add_recovery_phrase());
  must(store->vault().trust_this_device());
  for (const auto& lock : must(store->vault().key_locks()))
    if (lock.kind == "recovery-phrase")
      must(store->vault().remove_key_lock(lock.number));
  keyed.sealed({locks, key_files});

  auto rotated = step("a new epoch");
  (void) must(store->vault().rotate_epoch());
  must(store->put("/of the next epoch", make_content(random, 300'000, true)));
  rotated.sealed({chunks, tables, operations, key_files});

  auto other = step("a second vault with the same files");
  new_vault what;
  what.name = "second";
  what.trust_this_device = true;
  must(store->node().create_vault(what));
  {
    auto second = must(store->node().open_vault(what.name, credential::this_device()));
    put_request request;
    request.sources = {{"/src", "/tree"}};
    CHECK(must(second.put(request)).failures.empty());
    (void) must(second.rotate_epoch());
    request.sources = {{"/src/long", "/long"}};
    CHECK(must(second.put(request)).failures.empty());
  }
  other.sealed({chunks, tables, operations, locks, key_files});

  // One pack with a chunk each: what were counted anew by each run would meet.
  auto reopened = step("restarts");
  for (int run = 0; run < 5; ++run) {
    store->close();
    must(store->open());
    must(store->put(fmt::format("/run {}", run), make_content(random, 3'000, false)));
  }
  store->lose_power(seed);
  must(store->open());
  must(store->put("/after a loss of power", make_content(random, 200'000, false)));
  must(store->remove("/returned", true));
  (void) clean_up(*store);
  reopened.sealed({chunks, tables, operations});
  store->check();
  store->close();

  CHECK(tracer.repeated() == std::vector<std::string>{});
  CHECK(tracer.count("without a domain") == 0);
  for (const auto& [kind, count] : tracer.counts())
    std::cout << fmt::format("figure seals of {} in the life of a store: {}\n", kind, count);
}

TEST_CASE("the tracer of seals tells of a pair that seals twice", "[simulation][seal]") {
  seal_tracer tracer;
  auto key = crypto::key256::from(std::vector<std::byte>(crypto::key256::size, std::byte{3}));
  crypto::aead cipher;
  std::array<std::byte, 4> plain{};
  std::array<std::byte, plain.size() + crypto::aead_tag_size> out;
  auto seal = [&](std::byte nonce, std::string_view additional) {
    REQUIRE(cipher.seal(crypto::aead_suite::aes_256_gcm, key, {nonce}, as_view(additional), plain, out));
  };
  seal(std::byte{1}, "dm/one/1 of them");
  seal(std::byte{2}, "dm/one/1");
  seal(std::byte{3}, "");
  REQUIRE(cipher.open(crypto::aead_suite::aes_256_gcm, key, {std::byte{3}}, {}, out, plain));
  CHECK(tracer.repeated().empty());
  CHECK(tracer.count("dm/one/1") == 2);
  CHECK(tracer.count("without a domain") == 1);
  seal(std::byte{2}, "dm/two/1");
  CHECK(tracer.repeated() == std::vector<std::string>{"a seal of dm/two/1 uses key and nonce of one of dm/one/1"});
  CHECK(tracer.total() == 4);
}

} // namespace datamesh::test
