#include "tests/actors/node/hooked_files.hpp"

namespace datamesh::test {

namespace {

using state_ptr = std::shared_ptr<hooked_files::state>;

class hooked_reader : public readable_file {
public:
  hooked_reader(std::unique_ptr<readable_file> inner, state_ptr shared, std::string path)
      : inner_(std::move(inner)), shared_(std::move(shared)), path_(std::move(path)) {}
  result<size_t> read_at(uint64_t offset, byte_span out) override {
    return shared_->pass("read", path_).and_then([&] { return inner_->read_at(offset, out); });
  }
  result<file_status> status() override {
    return shared_->pass("status of file", path_).and_then([&] { return inner_->status(); });
  }
  result<uint64_t> next_data(uint64_t offset) override {
    return inner_->next_data(offset);
  }
  result<uint64_t> next_hole(uint64_t offset) override {
    return inner_->next_hole(offset);
  }

private:
  std::unique_ptr<readable_file> inner_;
  state_ptr shared_;
  std::string path_;
};

class hooked_writer : public writable_file {
public:
  hooked_writer(std::unique_ptr<writable_file> inner, state_ptr shared, std::string path)
      : inner_(std::move(inner)), shared_(std::move(shared)), path_(std::move(path)) {}
  result<void> write_at(uint64_t offset, std::span<const byte_view> parts) override {
    return shared_->pass("write", path_).and_then([&] { return inner_->write_at(offset, parts); });
  }
  result<void> allocate(uint64_t size) override {
    return shared_->pass("allocate", path_).and_then([&] { return inner_->allocate(size); });
  }
  result<void> resize(uint64_t size) override {
    return shared_->pass("resize", path_).and_then([&] { return inner_->resize(size); });
  }
  result<void> sync() override {
    return shared_->pass("sync", path_).and_then([&] { return inner_->sync(); });
  }
  result<void> set_attributes(uint32_t mode, int64_t modified_ns) override {
    return inner_->set_attributes(mode, modified_ns);
  }
  result<void> link_as(const std::string& path) override {
    return shared_->pass("link", path).and_then([&] { return inner_->link_as(path); });
  }
  result<file_status> lock() override {
    return shared_->pass("lock", path_).and_then([&] { return inner_->lock(); });
  }

private:
  std::unique_ptr<writable_file> inner_;
  state_ptr shared_;
  std::string path_;
};

template <class Wrapper, class File>
result<std::unique_ptr<File>> wrapped(result<std::unique_ptr<File>> file, const state_ptr& shared, const std::string& path) {
  if (!file)
    return file;
  return std::make_unique<Wrapper>(std::move(*file), shared, path);
}

} // namespace

result<std::unique_ptr<readable_file>> hooked_files::open_read(const std::string& path, access_hint hint) {
  return shared_->pass("open_read", path).and_then([&] { return wrapped<hooked_reader>(inner_->open_read(path, hint), shared_, path); });
}

result<std::unique_ptr<writable_file>> hooked_files::create(const std::string& path, uint32_t mode) {
  return shared_->pass("create", path).and_then([&] { return wrapped<hooked_writer>(inner_->create(path, mode), shared_, path); });
}

result<std::unique_ptr<writable_file>> hooked_files::open_write(const std::string& path) {
  return shared_->pass("open_write", path).and_then([&] { return wrapped<hooked_writer>(inner_->open_write(path), shared_, path); });
}

result<std::unique_ptr<writable_file>> hooked_files::create_unnamed(const std::string& folder, uint32_t mode, access_hint hint) {
  return shared_->pass("create_unnamed", folder).and_then([&] {
    return wrapped<hooked_writer>(inner_->create_unnamed(folder, mode, hint), shared_, folder);
  });
}

result<void> hooked_files::rename(const std::string& from, const std::string& to) {
  return shared_->pass("rename", to).and_then([&] { return inner_->rename(from, to); });
}

result<void> hooked_files::rename_new(const std::string& from, const std::string& to) {
  return shared_->pass("rename", to).and_then([&] { return inner_->rename_new(from, to); });
}

result<void> hooked_files::remove(const std::string& path) {
  return shared_->pass("remove", path).and_then([&] { return inner_->remove(path); });
}

result<void> hooked_files::remove_folder(const std::string& path) {
  return shared_->pass("remove_folder", path).and_then([&] { return inner_->remove_folder(path); });
}

result<void> hooked_files::make_folder(const std::string& path, uint32_t mode) {
  return shared_->pass("make_folder", path).and_then([&] { return inner_->make_folder(path, mode); });
}

result<void> hooked_files::sync_folder(const std::string& path) {
  return shared_->pass("sync_folder", path).and_then([&] { return inner_->sync_folder(path); });
}

result<std::vector<folder_entry>> hooked_files::list(const std::string& path) {
  return shared_->pass("list", path).and_then([&] { return inner_->list(path); });
}

result<file_status> hooked_files::status(const std::string& path) {
  return shared_->pass("status", path).and_then([&] { return inner_->status(path); });
}

result<void> hooked_files::set_attributes(const std::string& path, uint32_t mode, int64_t modified_ns) {
  return inner_->set_attributes(path, mode, modified_ns);
}

result<std::string> hooked_files::read_link(const std::string& path) {
  return shared_->pass("read_link", path).and_then([&] { return inner_->read_link(path); });
}

result<void> hooked_files::make_symlink(const std::string& target, const std::string& path) {
  return shared_->pass("make_symlink", path).and_then([&] { return inner_->make_symlink(target, path); });
}

result<disk_space> hooked_files::space(const std::string& path) {
  return shared_->pass("space", path).and_then([&] { return inner_->space(path); });
}

result<void> hooked_files::yield_disk() {
  return shared_->pass("yield_disk", {}).and_then([&] { return inner_->yield_disk(); });
}

result<std::unique_ptr<file_lock>> hooked_files::lock(const std::string& path) {
  return shared_->pass("lock", path).and_then([&] { return inner_->lock(path); });
}

} // namespace datamesh::test
