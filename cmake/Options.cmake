# Flags of our own targets. They sit in one INTERFACE target that is linked
# PRIVATE, so that programs that link us inherit none of them.

add_library(datamesh-options INTERFACE)
target_compile_features(datamesh-options INTERFACE cxx_std_20)
target_compile_options(datamesh-options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers
  -fvisibility=hidden -fvisibility-inlines-hidden -fstack-protector-strong
  # g++ 12 sees overlapping copies in `"x" + std::string` (its bug 105651).
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
  $<$<BOOL:${DATAMESH_WERROR}>:-Werror>)
target_link_options(datamesh-options INTERFACE -Wl,-z,relro,-z,now)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g1")
# Assertions stay on in release.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1")

if(DATAMESH_FUZZERS)
  # libFuzzer sees which paths its inputs take.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

if(DATAMESH_SANITIZER)
  add_compile_options(-fsanitize=${DATAMESH_SANITIZER} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${DATAMESH_SANITIZER})
  # g++ 12 sees uninitialised memory in instrumented std::regex and std::function.
  add_compile_options(-Wno-maybe-uninitialized)
  # CAF 0.17.6 registers its types through a null reference.
  if(DATAMESH_SANITIZER MATCHES undefined)
    add_compile_options(-fno-sanitize=vptr,null)
    add_link_options(-fno-sanitize=vptr,null)
  endif()
endif()

# datamesh_room(NAME SOURCES ... DEPENDS ...): one room, as objects that end up in
# the one library and in the tests.
function(datamesh_room name)
  cmake_parse_arguments(room "" "" "SOURCES;DEPENDS" ${ARGN})
  add_library(${name} OBJECT ${room_SOURCES})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/libdatamesh/include ${PROJECT_SOURCE_DIR}/libdatamesh/src)
  target_link_libraries(${name} PUBLIC ${room_DEPENDS} PRIVATE datamesh-options)
endfunction()
