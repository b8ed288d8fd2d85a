#include "storage/shard_reader.hpp"

#include "base/buffer_pool.hpp"
#include "storage/drive_marker.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

namespace datamesh::storage {

namespace {

/// Unit of reading whole shards; a multiple of the block size.
constexpr uint32_t step_size = 16 * block_size;

std::string name_of(const shard_key& key) {
  return fmt::format("{}.{}", key.pack.hex(), key.index);
}

} // namespace

/// Header and body of one stored shard, wherever they lie.
class shard_reader::source {
public:
  source(geometry shape, std::unique_ptr<readable_file> file) : shape_(shape), file_(std::move(file)) {}
  source(geometry shape, std::string content) : shape_(shape), content_(std::move(content)) {}
  [[nodiscard]] const geometry& shape() const noexcept {
    return shape_;
  }
  [[nodiscard]] uint32_t header_length() const noexcept {
    return shard_header_length(shape_, file_ != nullptr);
  }
  [[nodiscard]] result<uint64_t> size() const {
    if (file_ == nullptr)
      return content_.size();
    return file_->status().map([](const file_status& status) { return status.size; });
  }
  /// `shard_damaged` when there are fewer bytes.
  [[nodiscard]] result<void> read(uint64_t offset, byte_span out) const {
    size_t count = 0;
    if (file_ != nullptr) {
      auto got = file_->read_at(offset, out);
      if (!got)
        return fail(got.error());
      count = *got;
    } else if (offset < content_.size()) {
      count = std::min<size_t>(out.size(), content_.size() - offset);
      std::memcpy(out.data(), content_.data() + offset, count);
    }
    if (count != out.size())
      return fail(errc::shard_damaged, "read past the end of a shard");
    return {};
  }
  [[nodiscard]] result<void> read_body(uint64_t offset, byte_span out) const {
    return read(header_length() + offset, out);
  }

private:
  geometry shape_;
  std::unique_ptr<readable_file> file_;
  std::string content_;
};

shard_reader::shard_reader(std::shared_ptr<file_system> files, std::string folder, const shard_index& index)
    : files_(std::move(files)), folder_(std::move(folder)), index_(index) {}

result<shard_reader::source> shard_reader::open(const shard_key& key, const geometry& shape, access_hint hint) const {
  if (shape.shards_are_files()) {
    auto file = files_->open_read(shard_path(folder_, key), hint);
    if (!file) {
      auto code = file.error().code();
      if (code == errc::not_found) {
        // Below an empty mount point, or on another disk, no shard is there and none is gone.
        auto there = read_marker(*files_, folder_);
        code = there && *there == index_.drive() ? errc::shard_missing : errc::drive_missing;
      }
      return fail(file.error().as(code, "open shard", name_of(key)));
    }
    return source{shape, std::move(*file)};
  }
  auto content = index_.content(key);
  if (!content)
    return fail(content.error().within("open shard", name_of(key)));
  if (!*content)
    return fail(errc::shard_missing, "open shard", name_of(key));
  return source{shape, std::move(**content)};
}

result<shard_reader::source> shard_reader::find(const shard_key& key, access_hint hint) const {
  auto record = index_.find(key);
  if (!record)
    return fail(record.error().within("find shard", name_of(key)));
  if (!*record)
    return fail(errc::shard_missing, "find shard", name_of(key));
  return open(key, (*record)->shape, hint);
}

result<shard_header> shard_reader::read_header(const shard_key& key, const source& from) const {
  constexpr auto attempt = "read shard header";
  std::vector<std::byte> image(from.header_length());
  if (auto read = from.read(0, image); !read)
    return fail(read.error().within(attempt, name_of(key)));
  auto header = parse_shard_header(image);
  if (!header) {
    auto code = header.error().code();
    return fail(header.error().as(code == errc::format_newer ? code : errc::shard_damaged, attempt, name_of(key)));
  }
  if (header->pack.id != key.pack || header->index != key.index || header->pack.shape != from.shape())
    return fail(errc::shard_damaged, attempt, name_of(key));
  return header;
}

result<shard_header> shard_reader::read_header(const shard_key& key) const {
  return find(key, access_hint::normal).and_then([&](const source& from) { return read_header(key, from); });
}

result<void> shard_reader::read(const shard_key& key, uint32_t offset, byte_span out) const {
  auto from = find(key, access_hint::normal);
  if (!from)
    return fail(from.error());
  auto length = from->shape().shard_length;
  if (offset > length || out.size() > length - offset)
    return fail(errc::range_invalid, "read shard", name_of(key));
  if (auto read = from->read_body(offset, out); !read)
    return fail(read.error().within("read shard", name_of(key)));
  return {};
}

result<void> shard_reader::read_checked(const shard_header& header, uint32_t first_block, byte_span out) const {
  shard_key key{header.pack.id, header.index};
  const auto& shape = header.pack.shape;
  auto begin = uint64_t{first_block} * block_size;
  auto end = begin + out.size();
  if (end > shape.shard_length || (end % block_size != 0 && end != shape.shard_length))
    return fail(errc::range_invalid, "read blocks of shard", name_of(key));
  auto from = open(key, shape, access_hint::normal);
  if (!from)
    return fail(from.error());
  if (auto read = from->read_body(begin, out); !read)
    return fail(read.error().within("read blocks of shard", name_of(key)));
  for (size_t at = 0; at < out.size(); at += block_size) {
    auto block = out.subspan(at, std::min<size_t>(block_size, out.size() - at));
    if (auto good = check_block(header, first_block + static_cast<uint32_t>(at / block_size), block); !good)
      return fail(good.error().within("read blocks of shard", name_of(key)));
  }
  return {};
}

result<shard_header> shard_reader::check_length_and_header(const shard_key& key, const source& from) const {
  auto size = from.size();
  if (!size)
    return fail(size.error().within("check shard", name_of(key)));
  if (*size != uint64_t{from.header_length()} + from.shape().shard_length)
    return fail(errc::shard_damaged, "check length of shard", name_of(key));
  auto header = read_header(key, from);
  // A sector that no longer reads is damage to this shard like any other.
  if (!header && header.error().code() == errc::io_failed)
    return fail(header.error().as(errc::shard_damaged, "check shard", name_of(key)));
  return header;
}

result<void> shard_reader::check_quick(const shard_key& key) const {
  return find(key, access_hint::normal)
      .and_then([&](const source& from) { return check_length_and_header(key, from); })
      .map([](const shard_header&) {});
}

result<void> shard_reader::check_deep(const shard_key& key) const {
  auto from = find(key, access_hint::direct);
  if (!from)
    return fail(from.error());
  auto header = check_length_and_header(key, *from);
  if (!header)
    return fail(header.error());
  auto length = from->shape().shard_length;
  auto memory = buffer_pool::make(step_size, 0)->take();
  for (uint32_t at = 0; at < length; at += step_size) {
    auto part = memory.span().first(std::min(step_size, length - at));
    if (auto read = from->read_body(at, part); !read)
      return fail(read.error().as(errc::shard_damaged, "check shard", name_of(key)));
    for (size_t block = 0; block < part.size(); block += block_size) {
      auto number = static_cast<uint32_t>((at + block) / block_size);
      if (auto good = check_block(*header, number, part.subspan(block, std::min<size_t>(block_size, part.size() - block))); !good)
        return fail(good.error().within("check shard", name_of(key)));
    }
  }
  return {};
}

result<bool> shard_reader::holds(const shard_record& record, byte_view header, byte_view body) const {
  auto from = open(record.key, record.shape, access_hint::direct);
  if (!from) {
    if (record.in_index && from.error().code() != errc::shard_missing)
      return fail(from.error());
    return false;
  }
  auto size = from->size();
  if (!size || *size != header.size() + body.size())
    return false;
  auto memory = buffer_pool::make(step_size, 0)->take();
  auto equal = [&](uint64_t offset, byte_view expected) {
    for (size_t at = 0; at < expected.size(); at += step_size) {
      auto part = expected.subspan(at, std::min<size_t>(step_size, expected.size() - at));
      auto found = memory.span().first(part.size());
      if (!from->read(offset + at, found) || !std::equal(part.begin(), part.end(), found.begin()))
        return false;
    }
    return true;
  };
  return equal(0, header) && equal(header.size(), body);
}

} // namespace datamesh::storage
