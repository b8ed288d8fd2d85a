# Every outside library, once. See docs/dependencies.md for what each is for.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
find_package(fmt REQUIRED)
find_package(tl-expected REQUIRED)
find_package(Protobuf REQUIRED)
find_package(CAF 0.17.6 REQUIRED)
find_package(BLAKE3 REQUIRED)
pkg_check_modules(pc_sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(pc_zstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(pc_isal REQUIRED IMPORTED_TARGET libisal)
find_package(RocksDB REQUIRED)
# Header-only, for the command line's configuration file.
find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)
if(DATAMESH_TESTS)
  find_package(Catch2 2 REQUIRED)
endif()
