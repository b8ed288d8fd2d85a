#include "control/client_files.hpp"

#include "control/convert.hpp"

#include <algorithm>
#include <array>

namespace datamesh::control {

namespace {

using operation = v1::ControlCall;

/// Files that a client holds open for one request.
constexpr size_t files_max = 64;
/// Of a folder's names that are asked for at once.
constexpr uint64_t page_bytes = 4 << 20;

v1::ControlCall make_call(operation::Operation what, const std::string& path = {}, const std::string& other = {}) {
  v1::ControlCall call;
  call.set_operation(what);
  call.set_path(path);
  call.set_other(other);
  return call;
}

class remote_file {
public:
  remote_file(std::shared_ptr<caller> client, uint64_t file) : client_(std::move(client)), file_(file) {}
  ~remote_file() {
    (void) ask(make_call(operation::CLOSE));
  }
  remote_file(const remote_file&) = delete;
  remote_file& operator=(const remote_file&) = delete;

  result<caller::answer> ask(v1::ControlCall what, byte_view body = {}) {
    what.set_file(file_);
    return client_->call(std::move(what), body, false);
  }
  result<void> tell(v1::ControlCall what, byte_view body = {}) {
    auto answer = ask(std::move(what), body);
    if (!answer)
      return fail(answer.error());
    return {};
  }

private:
  std::shared_ptr<caller> client_;
  uint64_t file_;
};

class remote_reader : public readable_file {
public:
  remote_reader(std::shared_ptr<caller> client, uint64_t file) : file_(std::move(client), file) {}

  result<size_t> read_at(uint64_t offset, byte_span out) override {
    size_t done = 0;
    while (done < out.size()) {
      auto call = make_call(operation::READ_AT);
      auto wanted = std::min(out.size() - done, body_max);
      call.set_offset(offset + done);
      call.set_length(wanted);
      auto answer = file_.ask(std::move(call));
      if (!answer)
        return fail(answer.error());
      auto body = answer->whole.body();
      if (body.size() > wanted)
        return fail(errc::format_damaged, "read a file of the client");
      std::copy(body.begin(), body.end(), out.begin() + static_cast<ptrdiff_t>(done));
      done += body.size();
      if (body.size() < wanted)
        break;
    }
    return done;
  }
  result<file_status> status() override {
    auto answer = file_.ask(make_call(operation::FILE_STATUS));
    if (!answer)
      return fail(answer.error());
    return read(answer->header.status());
  }
  result<uint64_t> next_data(uint64_t offset) override {
    return next(operation::NEXT_DATA, offset);
  }
  result<uint64_t> next_hole(uint64_t offset) override {
    return next(operation::NEXT_HOLE, offset);
  }

private:
  result<uint64_t> next(operation::Operation what, uint64_t offset) {
    auto call = make_call(what);
    call.set_offset(offset);
    auto answer = file_.ask(std::move(call));
    if (!answer)
      return fail(answer.error());
    if (answer->header.number() < offset)
      return fail(errc::format_damaged, "read a file of the client");
    return answer->header.number();
  }
  remote_file file_;
};

class remote_writer : public writable_file {
public:
  remote_writer(std::shared_ptr<caller> client, uint64_t file) : file_(std::move(client), file) {}

  result<void> write_at(uint64_t offset, std::span<const byte_view> parts) override {
    for (auto part : parts)
      while (!part.empty()) {
        auto now = part.first(std::min(part.size(), body_max));
        auto call = make_call(operation::WRITE_AT);
        call.set_offset(offset);
        if (auto told = file_.tell(std::move(call), now); !told)
          return told;
        offset += now.size();
        part = part.subspan(now.size());
      }
    return {};
  }
  result<void> allocate(uint64_t size) override {
    return sized(operation::ALLOCATE, size);
  }
  result<void> resize(uint64_t size) override {
    return sized(operation::RESIZE, size);
  }
  result<void> sync() override {
    return file_.tell(make_call(operation::SYNC));
  }
  result<void> set_attributes(uint32_t mode, int64_t modified_ns) override {
    auto call = make_call(operation::SET_FILE_ATTRIBUTES);
    call.set_mode(mode);
    call.set_modified_ns(modified_ns);
    return file_.tell(std::move(call));
  }
  result<void> link_as(const std::string& path) override {
    return file_.tell(make_call(operation::LINK_AS, path));
  }
  result<file_status> lock() override {
    auto answer = file_.ask(make_call(operation::LOCK_FILE));
    if (!answer)
      return fail(answer.error());
    return read(answer->header.status());
  }

private:
  result<void> sized(operation::Operation what, uint64_t size) {
    auto call = make_call(what);
    call.set_length(size);
    return file_.tell(std::move(call));
  }
  remote_file file_;
};

class remote_files : public file_system {
public:
  explicit remote_files(std::shared_ptr<caller> client) : client_(std::move(client)) {}

  result<std::unique_ptr<readable_file>> open_read(const std::string& path, access_hint hint) override {
    auto file = open(operation::OPEN_READ, path, 0, hint);
    if (!file)
      return fail(file.error());
    return std::make_unique<remote_reader>(client_, *file);
  }
  result<std::unique_ptr<writable_file>> create(const std::string& path, uint32_t mode) override {
    return writer(operation::CREATE, path, mode, access_hint::normal);
  }
  result<std::unique_ptr<writable_file>> open_write(const std::string& path) override {
    return writer(operation::OPEN_WRITE, path, 0, access_hint::normal);
  }
  result<std::unique_ptr<writable_file>> create_unnamed(const std::string& folder, uint32_t mode, access_hint hint) override {
    return writer(operation::CREATE_UNNAMED, folder, mode, hint);
  }
  result<void> rename(const std::string& from, const std::string& to) override {
    return tell(make_call(operation::RENAME, from, to));
  }
  result<void> rename_new(const std::string& from, const std::string& to) override {
    return tell(make_call(operation::RENAME_NEW, from, to));
  }
  result<void> remove(const std::string& path) override {
    return tell(make_call(operation::REMOVE, path));
  }
  result<void> remove_folder(const std::string& path) override {
    return tell(make_call(operation::REMOVE_FOLDER, path));
  }
  result<void> make_folder(const std::string& path, uint32_t mode) override {
    auto call = make_call(operation::MAKE_FOLDER, path);
    call.set_mode(mode);
    return tell(std::move(call));
  }
  result<void> sync_folder(const std::string& path) override {
    return tell(make_call(operation::SYNC_FOLDER, path));
  }
  result<std::vector<folder_entry>> list(const std::string& path) override {
    std::vector<folder_entry> entries;
    for (;;) {
      auto call = make_call(operation::LIST, path);
      call.set_length(page_bytes);
      auto behind = entries.empty() ? std::string{} : entries.back().name;
      call.set_other(behind);
      auto answer = client_->call(std::move(call), {}, false);
      if (!answer)
        return fail(answer.error());
      for (const auto& row : answer->header.entries()) {
        // Always further on, or a client could keep us here for ever.
        if (row.kind() > static_cast<uint32_t>(file_kind::other) || row.name().empty() || row.name().find('/') != std::string::npos
            || row.name() <= behind)
          return fail(errc::format_damaged, "list a folder of the client", path);
        entries.push_back({row.name(), static_cast<file_kind>(row.kind())});
      }
      if (answer->header.number() == 0)
        return entries;
      if (answer->header.entries().empty())
        return fail(errc::format_damaged, "list a folder of the client", path);
    }
  }
  result<file_status> status(const std::string& path) override {
    auto answer = client_->call(make_call(operation::PATH_STATUS, path), {}, false);
    if (!answer)
      return fail(answer.error());
    return read(answer->header.status());
  }
  result<void> set_attributes(const std::string& path, uint32_t mode, int64_t modified_ns) override {
    auto call = make_call(operation::SET_ATTRIBUTES, path);
    call.set_mode(mode);
    call.set_modified_ns(modified_ns);
    return tell(std::move(call));
  }
  result<std::string> read_link(const std::string& path) override {
    auto answer = client_->call(make_call(operation::READ_LINK, path), {}, false);
    if (!answer)
      return fail(answer.error());
    return answer->header.text();
  }
  result<void> make_symlink(const std::string& target, const std::string& path) override {
    return tell(make_call(operation::MAKE_SYMLINK, path, target));
  }
  result<disk_space> space(const std::string& path) override {
    auto answer = client_->call(make_call(operation::SPACE, path), {}, false);
    if (!answer)
      return fail(answer.error());
    return disk_space{answer->header.number(), answer->header.other()};
  }
  result<std::unique_ptr<file_lock>> lock(const std::string& path) override {
    return fail(errc::invalid_argument, "lock a file of the client", path);
  }

private:
  result<uint64_t> open(operation::Operation what, const std::string& path, uint32_t mode, access_hint hint) {
    auto call = make_call(what, path);
    call.set_mode(mode);
    call.set_hint(static_cast<uint32_t>(hint));
    auto answer = client_->call(std::move(call), {}, false);
    if (!answer)
      return fail(answer.error());
    return answer->header.number();
  }
  result<std::unique_ptr<writable_file>> writer(operation::Operation what, const std::string& path, uint32_t mode, access_hint hint) {
    auto file = open(what, path, mode, hint);
    if (!file)
      return fail(file.error());
    return std::make_unique<remote_writer>(client_, *file);
  }
  result<void> tell(v1::ControlCall what) {
    auto answer = client_->call(std::move(what), {}, false);
    if (!answer)
      return fail(answer.error());
    return {};
  }
  std::shared_ptr<caller> client_;
};

class remote_source : public source {
public:
  explicit remote_source(std::shared_ptr<caller> client) : client_(std::move(client)) {}
  result<size_t> read(byte_span out) override {
    auto call = make_call(operation::PULL);
    auto wanted = std::min(out.size(), body_max);
    call.set_length(wanted);
    auto answer = client_->call(std::move(call), {}, true);
    if (!answer)
      return fail(answer.error());
    auto body = answer->whole.body();
    if (body.size() > wanted)
      return fail(errc::format_damaged, "read from the client");
    std::copy(body.begin(), body.end(), out.begin());
    return body.size();
  }

private:
  std::shared_ptr<caller> client_;
};

class remote_sink : public sink {
public:
  explicit remote_sink(std::shared_ptr<caller> client) : client_(std::move(client)) {}
  result<void> write(byte_view data) override {
    while (!data.empty()) {
      auto now = data.first(std::min(data.size(), body_max));
      if (auto answer = client_->call(make_call(operation::PUSH), now, true); !answer)
        return fail(answer.error());
      data = data.subspan(now.size());
    }
    return {};
  }
  result<void> write_hole(uint64_t length) override {
    auto call = make_call(operation::PUSH_HOLE);
    call.set_length(length);
    if (auto answer = client_->call(std::move(call), {}, true); !answer)
      return fail(answer.error());
    return {};
  }

private:
  std::shared_ptr<caller> client_;
};

template <class T>
result<void> keep(result<T> from, uint64_t& next, std::map<uint64_t, T>& in, v1::ControlAnswer& out) {
  if (!from)
    return fail(from.error());
  out.set_number(next);
  in.emplace(next++, std::move(*from));
  return {};
}

} // namespace

std::shared_ptr<file_system> files_of(std::shared_ptr<caller> client) {
  return std::make_shared<remote_files>(std::move(client));
}

std::shared_ptr<source> source_of(std::shared_ptr<caller> client) {
  return std::make_shared<remote_source>(std::move(client));
}

std::shared_ptr<sink> sink_of(std::shared_ptr<caller> client) {
  return std::make_shared<remote_sink>(std::move(client));
}

// -- the client's end ---------------------------------------------------------------

servant::servant(std::shared_ptr<file_system> files, std::vector<std::string> roots, bool writable)
    : files_(std::move(files)), roots_(std::move(roots)), writable_(writable) {}

servant::servant(std::shared_ptr<source> from) : from_(std::move(from)) {}

servant::servant(std::shared_ptr<sink> to) : to_(std::move(to)) {}

servant::answered servant::answer(const v1::ControlCall& what, byte_view body) {
  answered out;
  out.header.set_call(what.call());
  if (auto done = carry_out(what, body, out); !done) {
    write(*out.header.mutable_failure(), done.error());
    out.body.clear();
  }
  return out;
}

/// Below a root nothing on the way may be a symbolic link: it could lead out again.
bool servant::passes_link(const std::string& root, const std::string& path, bool opens) const {
  auto is_link = [&](const std::string& at) {
    auto status = files_->status(at);
    return status && status->kind == file_kind::symlink;
  };
  for (auto slash = path.find('/', root.size() + 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    if (is_link(path.substr(0, slash)))
      return true;
  return opens && path.size() > root.size() && is_link(path);
}

bool servant::may_touch(const std::string& path, bool opens) const {
  return std::any_of(roots_.begin(), roots_.end(), [&](const std::string& root) {
    if (!path.starts_with(root))
      return false;
    auto below = path.substr(root.size());
    auto inside = below.empty() || ((root.ends_with('/') || below.front() == '/') && ("/" + below + "/").find("/../") == std::string::npos);
    return inside && !passes_link(root, path, opens);
  });
}

result<void> servant::carry_out(const v1::ControlCall& what, byte_view body, answered& out) {
  auto number = what.operation();
  if (number >= operation::PULL)
    return on_stream(what, body, out);
  if (!files_)
    return fail(errc::permission_denied, "serve files that were not asked for", what.path());
  if (number == operation::CLOSE) {
    readers_.erase(what.file());
    writers_.erase(what.file());
    return {};
  }
  if (number >= operation::READ_AT && number <= operation::NEXT_HOLE)
    return on_reader(what, out);
  if ((number >= operation::WRITE_AT && number <= operation::LINK_AS) || number == operation::LOCK_FILE)
    return on_writer(what, body, out);
  return on_path(what, out);
}

result<void> servant::on_reader(const v1::ControlCall& what, answered& out) {
  auto found = readers_.find(what.file());
  if (found == readers_.end())
    return fail(errc::invalid_argument, "read a file that is not open");
  auto& file = *found->second;
  if (what.operation() == operation::READ_AT) {
    out.body.resize(std::min<uint64_t>(what.length(), body_max));
    auto got = file.read_at(what.offset(), out.body);
    if (!got)
      return fail(got.error());
    out.body.resize(*got);
    return {};
  }
  if (what.operation() == operation::FILE_STATUS) {
    auto status = file.status();
    if (!status)
      return fail(status.error());
    write(*out.header.mutable_status(), *status);
    return {};
  }
  auto next = what.operation() == operation::NEXT_DATA ? file.next_data(what.offset()) : file.next_hole(what.offset());
  if (!next)
    return fail(next.error());
  out.header.set_number(*next);
  return {};
}

result<void> servant::on_writer(const v1::ControlCall& what, byte_view body, answered& out) {
  auto found = writers_.find(what.file());
  if (found == writers_.end())
    return fail(errc::invalid_argument, "write a file that is not open");
  auto& file = *found->second;
  switch (what.operation()) {
  case operation::WRITE_AT:
    return file.write_at(what.offset(), std::array{body});
  case operation::ALLOCATE:
    return file.allocate(what.length());
  case operation::RESIZE:
    return file.resize(what.length());
  case operation::SYNC:
    return file.sync();
  case operation::SET_FILE_ATTRIBUTES:
    return file.set_attributes(what.mode(), what.modified_ns());
  case operation::LINK_AS:
    if (!may_touch(what.path(), false))
      return fail(errc::permission_denied, "write outside of the target", what.path());
    return file.link_as(what.path());
  case operation::LOCK_FILE:
    return file.lock().map([&](const file_status& status) { write(*out.header.mutable_status(), status); });
  default:
    return fail(errc::invalid_argument, "serve an unknown call");
  }
}

result<void> servant::on_path(const v1::ControlCall& what, answered& out) {
  const auto& path = what.path();
  auto number = what.operation();
  auto reads = number == operation::OPEN_READ || number == operation::LIST || number == operation::PATH_STATUS
               || number == operation::READ_LINK || number == operation::SPACE;
  auto renames = number == operation::RENAME || number == operation::RENAME_NEW;
  auto opens =
      number <= operation::CREATE_UNNAMED || number == operation::LIST || number == operation::SYNC_FOLDER || number == operation::SPACE;
  if ((!reads && !writable_) || !may_touch(path, opens) || (renames && !may_touch(what.other(), false)))
    return fail(errc::permission_denied, "serve a path that the request did not name", path);
  if (readers_.size() + writers_.size() >= files_max && number <= operation::CREATE_UNNAMED)
    return fail(errc::capacity_exceeded, "hold more files open", path);
  auto hint = what.hint() <= static_cast<uint32_t>(access_hint::direct) ? static_cast<access_hint>(what.hint()) : access_hint::normal;
  switch (number) {
  case operation::OPEN_READ:
    return keep(files_->open_read(path, hint), next_file_, readers_, out.header);
  case operation::CREATE:
    return keep(files_->create(path, what.mode()), next_file_, writers_, out.header);
  case operation::OPEN_WRITE:
    return keep(files_->open_write(path), next_file_, writers_, out.header);
  case operation::CREATE_UNNAMED:
    return keep(files_->create_unnamed(path, what.mode(), hint), next_file_, writers_, out.header);
  case operation::RENAME:
    return files_->rename(path, what.other());
  case operation::RENAME_NEW:
    return files_->rename_new(path, what.other());
  case operation::REMOVE:
    return files_->remove(path);
  case operation::REMOVE_FOLDER:
    return files_->remove_folder(path);
  case operation::MAKE_FOLDER:
    return files_->make_folder(path, what.mode());
  case operation::SYNC_FOLDER:
    return files_->sync_folder(path);
  case operation::SET_ATTRIBUTES:
    return files_->set_attributes(path, what.mode(), what.modified_ns());
  case operation::MAKE_SYMLINK:
    return files_->make_symlink(what.other(), path);
  case operation::LIST:
    return list(what, out.header);
  case operation::PATH_STATUS:
    return files_->status(path).map([&](const file_status& status) { write(*out.header.mutable_status(), status); });
  case operation::READ_LINK:
    return files_->read_link(path).map([&](const std::string& target) { out.header.set_text(target); });
  case operation::SPACE:
    return files_->space(path).map([&](const disk_space& space) {
      out.header.set_number(space.total);
      out.header.set_other(space.available);
    });
  default:
    return fail(errc::invalid_argument, "serve an unknown call");
  }
}

/// A listing goes out in parts of about the length that was asked for, each behind the
/// name that the last one ended with; who asks for no length gets all. It is kept until
/// its last part is out, so that the parts are of one moment.
result<void> servant::list(const v1::ControlCall& what, v1::ControlAnswer& out) {
  if (what.other().empty() || listed_folder_ != what.path()) {
    auto entries = files_->list(what.path());
    if (!entries)
      return fail(entries.error());
    listed_ = std::move(*entries);
    listed_folder_ = what.path();
  }
  auto behind = [](const std::string& name, const folder_entry& entry) {
    return name < entry.name;
  };
  auto next = what.other().empty() ? listed_.begin() : std::upper_bound(listed_.begin(), listed_.end(), what.other(), behind);
  constexpr uint64_t row_bytes = 16;
  uint64_t filled = 0;
  for (; next != listed_.end() && (what.length() == 0 || filled < what.length()); ++next) {
    auto* row = out.add_entries();
    row->set_name(next->name);
    row->set_kind(static_cast<uint32_t>(next->kind));
    filled += next->name.size() + row_bytes;
  }
  out.set_number(next == listed_.end() ? 0 : 1);
  if (next == listed_.end()) {
    listed_ = {};
    listed_folder_.clear();
  }
  return {};
}

result<void> servant::on_stream(const v1::ControlCall& what, byte_view body, answered& out) {
  if (what.operation() == operation::PULL && from_) {
    out.body.resize(std::min<uint64_t>(what.length(), body_max));
    auto got = from_->read(out.body);
    if (!got)
      return fail(got.error());
    out.body.resize(*got);
    return {};
  }
  if (what.operation() == operation::PUSH && to_)
    return to_->write(body);
  if (what.operation() == operation::PUSH_HOLE && to_)
    return to_->write_hole(what.length());
  return fail(errc::permission_denied, "serve a stream that was not asked for");
}

} // namespace datamesh::control
