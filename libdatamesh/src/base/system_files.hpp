// The POSIX file system with some of what a file system may offer left unused,
// so that the ways around it are tested on a machine that has it all.
#pragma once

#include "datamesh/base/file_system.hpp"

#include <memory>

namespace datamesh {

struct system_files_offers {
  bool unnamed_files = true; ///< O_TMPFILE; else a named file ".datamesh-XXXXXX.tmp" stands in.
  bool direct_access = true; ///< O_DIRECT; else all goes through the page cache.
  bool rename_new = true;    ///< RENAME_NOREPLACE; else link and unlink, or a claimed name, stand in.
  bool hard_links = true;    ///< link(2) for the former; FAT has none.
};

[[nodiscard]] std::shared_ptr<file_system> system_files_with(system_files_offers offers);

} // namespace datamesh
