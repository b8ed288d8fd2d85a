# Defines BLAKE3::blake3. Takes the distribution's libblake3 where there is one;
# else builds upstream's C and assembler sources, which Debian ships in
# librust-blake3-dev, as a static library of hidden symbols. Only that one package is
# unpacked, into the build tree: installing it would pull 28 Rust source packages.

find_path(BLAKE3_INCLUDE_DIR blake3.h)
find_library(BLAKE3_LIBRARY blake3)
if(BLAKE3_INCLUDE_DIR AND BLAKE3_LIBRARY)
  set(BLAKE3_FROM "${BLAKE3_LIBRARY}")
  if(NOT TARGET BLAKE3::blake3)
    add_library(BLAKE3::blake3 UNKNOWN IMPORTED)
    set_target_properties(BLAKE3::blake3 PROPERTIES IMPORTED_LOCATION "${BLAKE3_LIBRARY}"
      INTERFACE_INCLUDE_DIRECTORIES "${BLAKE3_INCLUDE_DIR}")
  endif()
else()
  # The second place is where scripts/dependencies unpacks it.
  file(GLOB blake3_sources LIST_DIRECTORIES true /usr/share/cargo/registry/blake3-*/c
       ${CMAKE_CURRENT_LIST_DIR}/../build/blake3/usr/share/cargo/registry/blake3-*/c)
  if(NOT blake3_sources)
    set(blake3_unpacked "${CMAKE_BINARY_DIR}/blake3")
    file(GLOB blake3_sources LIST_DIRECTORIES true ${blake3_unpacked}/usr/share/cargo/registry/blake3-*/c)
    if(NOT blake3_sources)
      file(MAKE_DIRECTORY ${blake3_unpacked})
      message(STATUS "Fetching BLAKE3's sources from Debian's librust-blake3-dev")
      execute_process(COMMAND apt-get download -q librust-blake3-dev WORKING_DIRECTORY ${blake3_unpacked} OUTPUT_QUIET ERROR_QUIET)
      file(GLOB blake3_deb ${blake3_unpacked}/librust-blake3-dev_*.deb)
      if(blake3_deb)
        execute_process(COMMAND dpkg -x ${blake3_deb} ${blake3_unpacked})
      endif()
      file(GLOB blake3_sources LIST_DIRECTORIES true ${blake3_unpacked}/usr/share/cargo/registry/blake3-*/c)
    endif()
  endif()
  if(blake3_sources)
    list(GET blake3_sources 0 BLAKE3_FROM)
    if(NOT TARGET blake3-static)
      enable_language(ASM)
      set(blake3_files blake3.c blake3_dispatch.c blake3_portable.c)
      set(blake3_defines)
      if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|amd64")
        list(APPEND blake3_files blake3_sse2_x86-64_unix.S blake3_sse41_x86-64_unix.S blake3_avx2_x86-64_unix.S
             blake3_avx512_x86-64_unix.S)
      elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
        list(APPEND blake3_files blake3_neon.c)
        list(APPEND blake3_defines BLAKE3_USE_NEON=1)
      endif()
      list(TRANSFORM blake3_files PREPEND ${BLAKE3_FROM}/)
      add_library(blake3-static STATIC ${blake3_files})
      target_include_directories(blake3-static PUBLIC ${BLAKE3_FROM})
      target_compile_definitions(blake3-static PRIVATE ${blake3_defines})
      target_compile_options(blake3-static PRIVATE -O3 -fvisibility=hidden)
      set_target_properties(blake3-static PROPERTIES POSITION_INDEPENDENT_CODE ON)
      add_library(BLAKE3::blake3 ALIAS blake3-static)
    endif()
  endif()
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(BLAKE3 REQUIRED_VARS BLAKE3_FROM
  REASON_FAILURE_MESSAGE "install librust-blake3-dev, or let 'apt-get download librust-blake3-dev' reach a mirror")
