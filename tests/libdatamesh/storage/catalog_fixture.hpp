// A store in memory that outlives the catalog on it, and short ways to make what a
// catalog takes.
#pragma once

#include "storage/catalog.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <map>
#include <utility>

namespace datamesh::test {

using rows = std::map<std::string, std::string, std::less<>>;

inline result<void> scan_rows(const rows& in, std::string_view first, std::string_view last,
                              const std::function<bool(std::string_view, std::string_view)>& visit) {
  for (auto i = in.lower_bound(first); i != in.end() && (last.empty() || i->first < last); ++i)
    if (!visit(i->first, i->second))
      break;
  return {};
}

class frozen_rows : public ordered_view {
public:
  explicit frozen_rows(rows content) : content_(std::move(content)) {}
  result<std::optional<std::string>> get(std::string_view key) const override {
    auto i = content_.find(key);
    return i == content_.end() ? std::nullopt : std::optional{i->second};
  }
  result<void> scan(std::string_view first, std::string_view last,
                    const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    return scan_rows(content_, first, last, visit);
  }

private:
  rows content_;
};

/// What outlives the store object, as a disk does.
struct memory_disk {
  rows content;
  size_t writes = 0;
  size_t changes = 0;
  bool write_fails = false;
  errc refusal = errc::no_space;
  bool keeps_refused = false; ///< What a refused write had for its content is there all the same.
  bool read_only = false;
};

class memory_store : public ordered_store {
public:
  explicit memory_store(std::shared_ptr<memory_disk> disk) : disk_(std::move(disk)), refuses_(disk_->write_fails) {}
  result<std::optional<std::string>> get(std::string_view key) const override {
    auto i = disk_->content.find(key);
    return i == disk_->content.end() ? std::nullopt : std::optional{i->second};
  }
  result<void> scan(std::string_view first, std::string_view last,
                    const std::function<bool(std::string_view, std::string_view)>& visit) const override {
    return scan_rows(disk_->content, first, last, visit);
  }
  result<void> write(const write_batch& batch, durability) override {
    auto refused = std::exchange(refuses_, refuses_ || disk_->write_fails);
    if (refuses_ && (refused || !disk_->keeps_refused))
      return fail(disk_->refusal, "write");
    disk_->writes += !batch.empty();
    disk_->changes += batch.changes().size();
    for (const auto& c : batch.changes()) {
      if (c.value)
        disk_->content[c.key] = *c.value;
      else
        disk_->content.erase(c.key);
    }
    if (refuses_)
      return fail(disk_->refusal, "write");
    return {};
  }
  std::unique_ptr<ordered_view> snapshot() const override {
    return std::make_unique<frozen_rows>(disk_->content);
  }
  result<void> check() override {
    return {};
  }
  result<void> flush() override {
    return {};
  }
  bool writable() const override {
    return !refuses_ && !disk_->read_only;
  }
  uint64_t disk_bytes() const override {
    return disk_->content.size();
  }

private:
  std::shared_ptr<memory_disk> disk_;
  bool refuses_;
};

class memory_stores : public ordered_store_opener {
public:
  explicit memory_stores(std::shared_ptr<memory_disk> disk) : disk_(std::move(disk)) {}
  result<std::unique_ptr<ordered_store>> open(const ordered_store_options&) override {
    return std::make_unique<memory_store>(disk_);
  }
  result<void> destroy(const std::string&) override {
    return {};
  }

private:
  std::shared_ptr<memory_disk> disk_;
};

inline result<std::unique_ptr<storage::catalog>> try_open_catalog(const std::shared_ptr<memory_disk>& disk, const vault_id& vault,
                                                                  const device_id& as, std::string_view place = {}) {
  auto store = lasting_store::open(std::make_shared<memory_stores>(disk), {});
  REQUIRE(store);
  return storage::catalog::open(std::move(*store), vault, as, place);
}

inline uint64_t run_seed() {
  auto* text = std::getenv("DATAMESH_SEED");
  return text ? std::strtoull(text, nullptr, 10) : 20261120;
}

/// An identifier that shows its number, and already in its first eight digits.
template <class Id>
Id numbered(uint64_t n) {
  Id id;
  for (size_t i = 0; i < 8; ++i)
    id.span()[i] = static_cast<std::byte>(n >> (56 - 8 * ((i + 4) % 8)));
  id.span()[Id::size - 1] = std::byte{0x11};
  return id;
}

inline node_id nth_node(uint64_t n) {
  return numbered<node_id>(n);
}
inline version_id version(uint64_t n) {
  return numbered<version_id>(n);
}
inline chunk_id chunk(uint64_t n) {
  return numbered<chunk_id>(n);
}
inline pack_id pack(uint64_t n) {
  return numbered<pack_id>(n);
}
inline device_id device(uint64_t n) {
  return numbered<device_id>(n);
}

inline vault_id test_vault() {
  return numbered<vault_id>(1);
}

inline std::unique_ptr<storage::catalog> open_catalog(const std::shared_ptr<memory_disk>& disk, const device_id& as = device(1)) {
  auto opened = try_open_catalog(disk, test_vault(), as);
  REQUIRE(opened);
  return std::move(*opened);
}

/// A pack at 4+2 that holds *chunks* of 1000 bytes each, 500 sealed.
inline storage::catalog_commit::new_pack new_pack(const pack_id& id, const std::vector<chunk_id>& chunks) {
  storage::catalog_commit::new_pack p;
  p.record.seal.id = id;
  p.record.seal.shape = {4, 2, 8192};
  p.record.seal.shard_roots.assign(6, digest{});
  for (uint64_t d = 1; d <= 6; ++d)
    p.record.drives.push_back(numbered<drive_id>(d));
  p.record.used_length = static_cast<uint32_t>(128 + 500 * chunks.size());
  p.table.space = numbered<space_id>(1);
  for (const auto& c : chunks) {
    storage::chunk_entry e;
    e.id = c;
    e.offset = static_cast<uint32_t>(128 + 500 * p.table.chunks.size());
    e.sealed_length = 500;
    e.plain_length = 1000;
    e.epoch = 1;
    p.table.chunks.push_back(e);
  }
  return p;
}

inline storage::move_node make(const node_id& id, const node_id& parent, std::string name,
                               storage::node_kind kind = storage::node_kind::file) {
  return {id, parent, std::move(name), kind};
}

inline storage::put_version put(const node_id& id, const version_id& v, std::vector<chunk_id> chunks,
                                std::vector<version_id> replaces = {}) {
  storage::put_version op;
  op.node = id;
  op.version = v;
  op.replaces = std::move(replaces);
  op.mode = 0644;
  for (const auto& c : chunks)
    op.extents.push_back({c, 1000});
  op.extent_count = op.extents.size();
  op.size = 1000 * op.extents.size();
  return op;
}

/// Stamps and commits, in a pack.
inline void apply(storage::catalog& names, std::vector<storage::operation_body> bodies, int64_t wall_ns = 0) {
  storage::catalog_commit c;
  c.operations = names.stamp(std::move(bodies), wall_ns);
  REQUIRE(names.commit(c));
}

inline void add(storage::catalog& names, std::vector<storage::catalog_commit::new_pack> packs) {
  storage::catalog_commit c;
  c.packs = std::move(packs);
  REQUIRE(names.commit(c));
}

} // namespace datamesh::test
