#include "storage/tree_reader.hpp"

#include <fnmatch.h>

#include <array>

namespace datamesh::storage {

tree_reader::tree_reader(std::shared_ptr<file_system> files, std::shared_ptr<buffer_pool> pool, chunker cutter,
                         std::vector<source_root> roots, std::vector<std::string> exclude, std::vector<folder_place> own,
                         std::shared_ptr<source_marks> marks)
    : files_(std::move(files)), pool_(std::move(pool)), cutter_(std::move(cutter)), exclude_(std::move(exclude)), own_(std::move(own)),
      marks_(std::move(marks)), roots_(std::make_move_iterator(roots.begin()), std::make_move_iterator(roots.end())) {}

void tree_reader::add(source_root root) {
  roots_.push_back(std::move(root));
}

/// Depth first, in order of name: what lies together is stored together.
std::optional<tree_reader::waiting> tree_reader::next_waiting() {
  while (!folders_.empty() && folders_.back().next == folders_.back().entries.size())
    folders_.pop_back();
  if (!folders_.empty()) {
    auto& in = folders_.back();
    auto& entry = in.entries[in.next++];
    waiting result;
    result.at.source_path = join_path(in.at.source_path, entry.name);
    result.at.target_path = join_path(in.at.target_path, entry.name);
    result.at.compare_contents = in.at.compare_contents;
    result.relative = in.relative.empty() ? entry.name : join_path(in.relative, entry.name);
    result.kind = entry.kind;
    return result;
  }
  if (roots_.empty())
    return std::nullopt;
  waiting result{std::move(roots_.front()), {}, file_kind::other};
  roots_.pop_front();
  return result;
}

std::vector<source_piece> tree_reader::next() {
  pieces out;
  auto buffer = pool_->take();
  size_t used = 0;
  while (out.size() < pieces_per_batch_max) {
    if (open_) {
      // A large file begins in a buffer of its own.
      if (used == 0)
        read_large(out, buffer);
      break;
    }
    auto entry = next_waiting();
    if (!entry)
      break;
    begin(std::move(*entry), out, buffer, used);
    if (used + cutter_.limits().size_min > buffer.span().size())
      break;
  }
  // A file that begins and has nothing read of it yet must not look like the end.
  if (out.empty() && (open_ || !folders_.empty() || !roots_.empty()))
    return next();
  return out;
}

bool tree_reader::excluded(const std::string& relative) const {
  if (relative.empty())
    return false;
  auto slash = relative.rfind('/');
  auto name = slash == std::string::npos ? relative : relative.substr(slash + 1);
  return std::any_of(exclude_.begin(), exclude_.end(), [&](const std::string& pattern) {
    return fnmatch(pattern.c_str(), relative.c_str(), FNM_PATHNAME) == 0 || fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
}

void tree_reader::begin(waiting entry, pieces& out, const buffer_pool::buffer& buffer, size_t& used) {
  if (excluded(entry.relative))
    return;
  auto item = items_++;
  if (entry.at.stream) {
    out.push_back({item, source_begin{entry.at.target_path, node_kind::file, entry.at.mode, entry.at.modified_ns, {}}});
    open_ = open_file{};
    open_->item = item;
    open_->path = entry.at.target_path;
    open_->stream = std::move(entry.at.stream);
    return;
  }
  if (entry.kind == file_kind::regular)
    return begin_file(entry, item, out, buffer, used);
  auto status = files_->status(entry.at.source_path);
  if (!status) {
    out.push_back({item, source_failure{entry.at.source_path, status.error()}});
    return;
  }
  switch (status->kind) {
  case file_kind::folder:
    return begin_folder(std::move(entry), *status, item, out);
  case file_kind::symlink: {
    auto target = files_->read_link(entry.at.source_path);
    if (!target) {
      out.push_back({item, source_failure{entry.at.source_path, target.error()}});
      return;
    }
    out.push_back({item, source_begin{entry.at.target_path, node_kind::symlink, status->mode, status->modified_ns, std::move(*target)}});
    out.push_back({item, source_end{}});
    return;
  }
  case file_kind::regular:
    return begin_file(entry, item, out, buffer, used);
  default:
    out.push_back({item, source_failure{entry.at.source_path, error{errc::unsupported_source, "read file", entry.at.source_path}}});
  }
}

void tree_reader::begin_folder(waiting entry, const file_status& status, uint64_t item, pieces& out) {
  if (std::find(own_.begin(), own_.end(), folder_place{status.device, status.inode}) != own_.end()) {
    out.push_back({item, source_left_out{entry.at.source_path}});
    return;
  }
  auto entries = files_->list(entry.at.source_path);
  if (!entries) {
    out.push_back({item, source_failure{entry.at.source_path, entries.error()}});
    return;
  }
  out.push_back({item, source_begin{entry.at.target_path, node_kind::folder, status.mode, status.modified_ns, {}}});
  out.push_back({item, source_end{}});
  folders_.push_back({std::move(entry.at), std::move(entry.relative), std::move(*entries), 0});
}

void tree_reader::begin_file(const waiting& entry, uint64_t item, pieces& out, const buffer_pool::buffer& buffer, size_t& used) {
  if (is_unchanged(entry, item, out))
    return;
  auto file = files_->open_regular(entry.at.source_path);
  if (!file) {
    out.push_back({item, source_failure{entry.at.source_path, file.error()}});
    return;
  }
  const auto& before = file->status;
  out.push_back({item, source_begin{entry.at.target_path, node_kind::file, before.mode, before.modified_ns, {}}});
  open_file opened;
  opened.item = item;
  opened.path = entry.at.source_path;
  opened.file = std::move(file->file);
  opened.before = before;
  opened.settled = marks_ && marks_->settled(before);
  opened.sparse = before.size >= hole_size_min && before.allocated < before.size;
  if (before.size == 0) {
    std::array<std::byte, 1> first{};
    auto count = opened.file->read_at(0, first);
    if (!count) {
      out.push_back({item, source_failure{entry.at.source_path, count.error()}});
      return;
    }
    opened.unsized = *count > 0;
  }
  if (!opened.sparse && !opened.unsized && before.size <= cutter_.limits().size_min && before.size + used < buffer.span().size())
    read_small(opened, out, buffer, used);
  else
    open_.emplace(std::move(opened));
}

bool tree_reader::is_unchanged(const waiting& entry, uint64_t item, pieces& out) {
  if (!marks_ || entry.at.compare_contents || !marks_->knows_folder_of(entry.at.target_path))
    return false;
  auto now = files_->status(entry.at.source_path);
  auto version = now ? marks_->find(entry.at.target_path, *now) : std::nullopt;
  if (!version)
    return false;
  source_begin begin{entry.at.target_path, node_kind::file, now->mode, now->modified_ns, {}};
  out.push_back({item, source_unchanged{std::move(begin), entry.at.source_path, now->size, *version}});
  return true;
}

/// A file that is one chunk whatever it holds.
void tree_reader::read_small(open_file& from, pieces& out, const buffer_pool::buffer& buffer, size_t& used) {
  auto size = static_cast<size_t>(from.before.size);
  size_t done = 0;
  if (size > 0) {
    auto count = from.file->read_at(0, buffer.span().subspan(used, size));
    if (!count) {
      out.push_back({from.item, source_failure{from.path, count.error()}});
      return;
    }
    done = *count;
  }
  if (done > 0)
    out.push_back({from.item, source_chunk{buffer.freeze(used, done)}});
  used += done;
  from.offset = done;
  end(from, out);
}

/// Reads up to the end of the buffer, of the data before a hole, or of the file.
result<size_t> tree_reader::fill(open_file& from, byte_span out, bool& at_end) {
  size_t done = 0;
  while (done < out.size()) {
    auto room = out.subspan(done);
    if (from.file && !from.unsized) {
      auto until = from.sparse ? from.data_end : from.before.size;
      if (from.offset >= until) {
        at_end = !from.sparse;
        break;
      }
      room = room.first(static_cast<size_t>(std::min<uint64_t>(room.size(), until - from.offset)));
    }
    auto count = from.stream ? from.stream->read(room) : from.file->read_at(from.offset, room);
    if (!count)
      return fail(count.error());
    if (*count == 0) {
      at_end = true;
      break;
    }
    done += *count;
    from.offset += *count;
    // No last, empty read.
    if (from.file && !from.sparse && !from.unsized && from.offset >= from.before.size) {
      at_end = true;
      break;
    }
  }
  return done;
}

/// In a sparse file: passes over the hole at the offset and finds where the data
/// behind it ends. Short holes count as data. The file may change meanwhile, so no
/// answer is believed that leads backwards or behind the size.
result<void> tree_reader::skip_hole(pieces& out) {
  auto& from = *open_;
  auto size = from.before.size;
  if (!from.sparse || from.offset < from.data_end || from.offset >= size)
    return {};
  auto data = from.file->next_data(from.offset);
  if (!data)
    return fail(data.error());
  auto data_begin = std::clamp(*data, from.offset, size);
  auto hole = data_begin - from.offset;
  if (hole >= hole_size_min || (hole > 0 && data_begin == size)) {
    out.push_back({from.item, source_hole{hole}});
    from.offset = data_begin;
  }
  auto end = data_begin;
  while (end < size) {
    auto found = from.file->next_hole(end);
    if (!found)
      return fail(found.error());
    auto hole_begin = std::clamp(*found, end, size);
    auto next = from.file->next_data(hole_begin);
    if (!next)
      return fail(next.error());
    auto hole_end = std::clamp(*next, hole_begin, size);
    auto is_short = hole_end > hole_begin && hole_end - hole_begin < hole_size_min;
    if (!is_short) {
      end = std::max(hole_begin, std::min(end + 1, size));
      break;
    }
    end = hole_end;
  }
  from.data_end = end;
  return {};
}

void tree_reader::read_large(pieces& out, const buffer_pool::buffer& buffer) {
  auto& from = *open_;
  auto give_up = [&](const error& reason) {
    out.push_back({from.item, source_failure{from.path, reason}});
    open_.reset();
  };
  auto skipped = skip_hole(out);
  if (!skipped)
    return give_up(skipped.error());
  std::copy(from.carry.view().begin(), from.carry.view().end(), buffer.span().begin());
  auto have = from.carry.size();
  from.carry = {};
  auto at_end = false;
  auto count = fill(from, buffer.span().subspan(have), at_end);
  if (!count)
    return give_up(count.error());
  have += *count;
  auto file_ends = at_end || (from.sparse && from.offset >= from.before.size);
  auto data_ends = file_ends || (from.sparse && from.offset >= from.data_end);
  size_t begin = 0;
  for (auto length : cutter_.cut(byte_view{buffer.span()}.first(have), data_ends)) {
    out.push_back({from.item, source_chunk{buffer.freeze(begin, length)}});
    begin += length;
  }
  if (begin < have)
    from.carry = buffer.freeze(begin, have - begin);
  if (file_ends) {
    end(from, out);
    open_.reset();
  }
}

void tree_reader::end(open_file& from, pieces& out) {
  source_end last;
  last.size = from.offset;
  if (from.file) {
    auto after = from.file->status();
    last.changed = !after || after->size != from.before.size || after->modified_ns != from.before.modified_ns
                   || (!from.unsized && from.offset != from.before.size);
    if (!last.changed && from.settled && after->changed_ns == from.before.changed_ns) {
      last.changed_ns = after->changed_ns;
      last.device = after->device;
      last.inode = after->inode;
    }
  }
  out.push_back({from.item, last});
}

} // namespace datamesh::storage
