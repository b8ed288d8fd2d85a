# Compiles CAF's core from its source with the flags of this build. ThreadSanitizer sees the
# order that CAF's queues and reference counts make between threads only in code that it has
# instrumented, and Debian's is not; scripts/tsan fetches the source of Debian's version.
#
# DATAMESH_CAF_SOURCE is the folder of that source; CAF_INCLUDE_DIR must hold the same version.

file(GLOB_RECURSE caf_sources ${DATAMESH_CAF_SOURCE}/libcaf_core/src/*.cpp)
if(NOT caf_sources)
  message(FATAL_ERROR "DATAMESH_CAF_SOURCE, ${DATAMESH_CAF_SOURCE}, does not hold CAF's source; scripts/tsan fetches it.")
endif()
file(STRINGS "${DATAMESH_CAF_SOURCE}/libcaf_core/caf/config.hpp" caf_source_line REGEX "#define CAF_VERSION ")
if(NOT caf_source_line STREQUAL caf_version_line)
  message(FATAL_ERROR "${DATAMESH_CAF_SOURCE} is not of the version of ${CAF_INCLUDE_DIR}.")
endif()
add_library(caf-from-source SHARED ${caf_sources})
target_include_directories(caf-from-source PUBLIC ${CAF_INCLUDE_DIR})
target_compile_features(caf-from-source PUBLIC cxx_std_17)
# Its warnings are not ours to mend.
target_compile_options(caf-from-source PRIVATE -w)
target_link_libraries(caf-from-source PUBLIC Threads::Threads)
set_target_properties(caf-from-source PROPERTIES OUTPUT_NAME caf_core UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 10)
add_library(CAF::core INTERFACE IMPORTED GLOBAL)
target_link_libraries(CAF::core INTERFACE caf-from-source)
