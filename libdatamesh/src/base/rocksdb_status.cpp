#include "base/rocksdb_status.hpp"

#include <rocksdb/io_status.h>
#include <rocksdb/status.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

namespace datamesh {

namespace {

/// RocksDB keeps of an errno only its text, at the end of the message.
errc code_of_io_error(const rocksdb::Status& status) {
  const auto message = status.ToString();
  if (status.subcode() == rocksdb::Status::kNoSpace)
    return errc::no_space;
  auto ends_with_errno = [&](int number) {
    return message.ends_with(std::generic_category().message(number));
  };
  // Before what was tried, which may have been a lock or a sync.
  if (ends_with_errno(EROFS))
    return errc::read_only;
  // A file that a living store names is gone.
  if (status.subcode() == rocksdb::Status::kPathNotFound)
    return errc::store_corrupt;
  constexpr std::array<std::string_view, 2> of_locks = {"lock hold by current process", "While lock file"};
  for (auto text : of_locks)
    if (message.find(text) != std::string::npos)
      return errc::locked;
  constexpr std::array<std::string_view, 2> of_syncs = {"While fdatasync", "While fsync"};
  for (auto text : of_syncs)
    if (message.find(text) != std::string::npos)
      return errc::sync_failed;
  for (auto number : {EACCES, EPERM, EDQUOT})
    if (ends_with_errno(number))
      return from_errno(number, {}).code();
  return errc::io_failed;
}

errc code_of(const rocksdb::Status& status) {
  switch (status.code()) {
  case rocksdb::Status::kNotFound:
    return errc::not_found;
  case rocksdb::Status::kCorruption:
    return errc::store_corrupt;
  case rocksdb::Status::kNotSupported:
    return errc::format_newer;
  case rocksdb::Status::kInvalidArgument:
    return errc::invalid_argument;
  case rocksdb::Status::kBusy:
    return errc::locked;
  case rocksdb::Status::kTimedOut:
    return errc::timed_out;
  case rocksdb::Status::kAborted:
  case rocksdb::Status::kShutdownInProgress:
    return errc::unavailable;
  case rocksdb::Status::kIOError:
    return code_of_io_error(status);
  default:
    return errc::internal;
  }
}

} // namespace

error from_rocksdb(const rocksdb::Status& status, std::string attempted, std::string object) {
  return error{code_of(status), status.ToString()}.within(std::move(attempted), std::move(object));
}

rocksdb::IOStatus to_rocksdb(const error& reason) {
  switch (reason.code()) {
  case errc::not_found:
    return rocksdb::IOStatus::PathNotFound(reason.message());
  case errc::no_space:
    return rocksdb::IOStatus::NoSpace(reason.message());
  case errc::read_only:
    return rocksdb::IOStatus::IOError(reason.message(), std::generic_category().message(EROFS));
  case errc::locked:
    return rocksdb::IOStatus::Busy(reason.message());
  case errc::sync_failed:
    return rocksdb::IOStatus::IOError("While fdatasync", reason.message());
  case errc::store_corrupt:
  case errc::authentication_failed:
    return rocksdb::IOStatus::Corruption(reason.message());
  default:
    return rocksdb::IOStatus::IOError(reason.message());
  }
}

} // namespace datamesh
