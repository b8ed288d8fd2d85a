#include "storage/outside_files.hpp"

#include <algorithm>

namespace datamesh::storage {

namespace {

/// Of a file.
constexpr size_t read_part = 1 << 20;
/// What even a slow line takes in some seconds.
constexpr size_t write_part = 256 << 10;
/// Of a hole: a pipe gets zeros.
constexpr uint64_t hole_part = 8 << 20;

using side = outside_watch::side;

struct watcher {
  std::shared_ptr<outside_watch> by;
  side whom = side::source;

  template <class Call>
  auto operator()(Call&& call) const {
    outside_watch::wait waiting{*by, whom};
    return call();
  }
};

class watched_reader : public readable_file {
public:
  watched_reader(std::unique_ptr<readable_file> file, watcher during) : file_(std::move(file)), during_(std::move(during)) {}
  ~watched_reader() override {
    during_([&] { file_.reset(); });
  }
  watched_reader(const watched_reader&) = delete;
  watched_reader& operator=(const watched_reader&) = delete;

  result<size_t> read_at(uint64_t offset, byte_span out) override {
    size_t done = 0;
    while (done < out.size()) {
      auto part = out.subspan(done, std::min(out.size() - done, read_part));
      auto count = during_([&] { return file_->read_at(offset + done, part); });
      if (!count)
        return count;
      done += *count;
      if (*count < part.size())
        break;
    }
    return done;
  }
  result<file_status> status() override {
    return during_([&] { return file_->status(); });
  }
  result<uint64_t> next_data(uint64_t offset) override {
    return during_([&] { return file_->next_data(offset); });
  }
  result<uint64_t> next_hole(uint64_t offset) override {
    return during_([&] { return file_->next_hole(offset); });
  }

private:
  std::unique_ptr<readable_file> file_;
  watcher during_;
};

class watched_writer : public writable_file {
public:
  watched_writer(std::unique_ptr<writable_file> file, watcher during) : file_(std::move(file)), during_(std::move(during)) {}
  ~watched_writer() override {
    during_([&] { file_.reset(); });
  }
  watched_writer(const watched_writer&) = delete;
  watched_writer& operator=(const watched_writer&) = delete;

  result<void> write_at(uint64_t offset, std::span<const byte_view> parts) override {
    return during_([&] { return file_->write_at(offset, parts); });
  }
  result<void> allocate(uint64_t size) override {
    return during_([&] { return file_->allocate(size); });
  }
  result<void> resize(uint64_t size) override {
    return during_([&] { return file_->resize(size); });
  }
  result<void> sync() override {
    return during_([&] { return file_->sync(); });
  }
  result<void> set_attributes(uint32_t mode, int64_t modified_ns) override {
    return during_([&] { return file_->set_attributes(mode, modified_ns); });
  }
  result<void> link_as(const std::string& path) override {
    return during_([&] { return file_->link_as(path); });
  }
  result<file_status> lock() override {
    return during_([&] { return file_->lock(); });
  }

private:
  std::unique_ptr<writable_file> file_;
  watcher during_;
};

class watched_files : public file_system {
public:
  watched_files(std::shared_ptr<file_system> files, watcher during) : files_(std::move(files)), during_(std::move(during)) {}

  result<std::unique_ptr<readable_file>> open_read(const std::string& path, access_hint hint) override {
    auto file = during_([&] { return files_->open_read(path, hint); });
    if (!file)
      return file;
    return std::make_unique<watched_reader>(std::move(*file), during_);
  }
  result<opened_file> open_regular(const std::string& path) override {
    auto opened = during_([&] { return files_->open_regular(path); });
    if (opened)
      opened->file = std::make_unique<watched_reader>(std::move(opened->file), during_);
    return opened;
  }
  result<std::unique_ptr<writable_file>> create(const std::string& path, uint32_t mode) override {
    return writer([&] { return files_->create(path, mode); });
  }
  result<std::unique_ptr<writable_file>> open_write(const std::string& path) override {
    return writer([&] { return files_->open_write(path); });
  }
  result<std::unique_ptr<writable_file>> create_unnamed(const std::string& folder, uint32_t mode, access_hint hint) override {
    return writer([&] { return files_->create_unnamed(folder, mode, hint); });
  }
  result<void> rename(const std::string& from, const std::string& to) override {
    return during_([&] { return files_->rename(from, to); });
  }
  result<void> rename_new(const std::string& from, const std::string& to) override {
    return during_([&] { return files_->rename_new(from, to); });
  }
  result<void> remove(const std::string& path) override {
    return during_([&] { return files_->remove(path); });
  }
  result<void> remove_folder(const std::string& path) override {
    return during_([&] { return files_->remove_folder(path); });
  }
  result<void> make_folder(const std::string& path, uint32_t mode) override {
    return during_([&] { return files_->make_folder(path, mode); });
  }
  result<void> sync_folder(const std::string& path) override {
    return during_([&] { return files_->sync_folder(path); });
  }
  result<std::vector<folder_entry>> list(const std::string& path) override {
    return during_([&] { return files_->list(path); });
  }
  result<file_status> status(const std::string& path) override {
    return during_([&] { return files_->status(path); });
  }
  result<void> set_attributes(const std::string& path, uint32_t mode, int64_t modified_ns) override {
    return during_([&] { return files_->set_attributes(path, mode, modified_ns); });
  }
  result<std::string> read_link(const std::string& path) override {
    return during_([&] { return files_->read_link(path); });
  }
  result<void> make_symlink(const std::string& target, const std::string& path) override {
    return during_([&] { return files_->make_symlink(target, path); });
  }
  result<disk_space> space(const std::string& path) override {
    return during_([&] { return files_->space(path); });
  }
  result<void> yield_disk() override {
    return files_->yield_disk();
  }
  result<std::unique_ptr<file_lock>> lock(const std::string& path) override {
    return during_([&] { return files_->lock(path); });
  }

private:
  template <class Open>
  result<std::unique_ptr<writable_file>> writer(Open&& open) {
    auto file = during_(std::forward<Open>(open));
    if (!file)
      return file;
    return std::make_unique<watched_writer>(std::move(*file), during_);
  }

  std::shared_ptr<file_system> files_;
  watcher during_;
};

class watched_source : public source {
public:
  watched_source(std::shared_ptr<source> from, watcher during) : from_(std::move(from)), during_(std::move(during)) {}
  result<size_t> read(byte_span out) override {
    return during_([&] { return from_->read(out); });
  }

private:
  std::shared_ptr<source> from_;
  watcher during_;
};

class watched_sink : public sink {
public:
  watched_sink(std::shared_ptr<sink> to, watcher during) : to_(std::move(to)), during_(std::move(during)) {}
  result<void> write(byte_view data) override {
    do {
      auto part = data.first(std::min(data.size(), write_part));
      if (auto written = during_([&] { return to_->write(part); }); !written)
        return written;
      data = data.subspan(part.size());
    } while (!data.empty());
    return {};
  }
  result<void> write_hole(uint64_t length) override {
    do {
      auto part = std::min(length, hole_part);
      if (auto written = during_([&] { return to_->write_hole(part); }); !written)
        return written;
      length -= part;
    } while (length > 0);
    return {};
  }

private:
  std::shared_ptr<sink> to_;
  watcher during_;
};

} // namespace

std::shared_ptr<file_system> watched(std::shared_ptr<file_system> files, std::shared_ptr<outside_watch> by, outside_watch::side whom) {
  return std::make_shared<watched_files>(std::move(files), watcher{std::move(by), whom});
}

std::shared_ptr<source> watched(std::shared_ptr<source> from, std::shared_ptr<outside_watch> by) {
  return std::make_shared<watched_source>(std::move(from), watcher{std::move(by), side::source});
}

std::shared_ptr<sink> watched(std::shared_ptr<sink> to, std::shared_ptr<outside_watch> by) {
  return std::make_shared<watched_sink>(std::move(to), watcher{std::move(by), side::target});
}

} // namespace datamesh::storage
