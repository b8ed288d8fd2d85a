#include "base/careful_files.hpp"

#include "datamesh/base/file_system.hpp"

#include <rocksdb/file_system.h>

namespace datamesh {

namespace {

using rocksdb::IOStatus;

class careful_file_system : public rocksdb::FileSystemWrapper {
public:
  explicit careful_file_system(const std::shared_ptr<rocksdb::FileSystem>& below) : FileSystemWrapper(below) {}

  const char* Name() const override {
    return "datamesh-careful-files";
  }

  IOStatus RenameFile(const std::string& from, const std::string& to, const rocksdb::IOOptions& options,
                      rocksdb::IODebugContext* debug) override {
    if (to.ends_with("/CURRENT"))
      if (auto status = sync_names(*target(), parent_path(to)); !status.ok())
        return status;
    return target()->RenameFile(from, to, options, debug);
  }
};

} // namespace

std::shared_ptr<rocksdb::FileSystem> careful_files(std::shared_ptr<rocksdb::FileSystem> below) {
  return std::make_shared<careful_file_system>(std::move(below));
}

IOStatus sync_names(rocksdb::FileSystem& files, const std::string& folder) {
  std::unique_ptr<rocksdb::FSDirectory> opened;
  auto status = files.NewDirectory(folder, {}, &opened, nullptr);
  return status.ok() ? opened->Fsync({}, nullptr) : status;
}

} // namespace datamesh
