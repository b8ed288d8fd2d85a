# What is installed, in components: `runtime` is the library and the programs,
# `development` the headers and the CMake and pkg-config packages. `actors` adds to it
# the actors for programs that run CAF themselves: their headers and a static library.

if(NOT TARGET datamesh)
  return()
endif()

include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/datamesh)

# Until 1.0 a minor version may change the interface.
set_target_properties(datamesh PROPERTIES
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  EXPORT_NAME datamesh)
target_compile_features(datamesh INTERFACE cxx_std_20)
target_include_directories(datamesh INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

install(TARGETS datamesh EXPORT datameshTargets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT runtime NAMELINK_COMPONENT development
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/libdatamesh/include/datamesh DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT development FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h" PATTERN "*_actor.hpp" EXCLUDE)
install(EXPORT datameshTargets NAMESPACE datamesh:: DESTINATION ${package_folder} COMPONENT development)

set_target_properties(datamesh-vault-actor PROPERTIES EXPORT_NAME actors OUTPUT_NAME datamesh_actors)
target_include_directories(datamesh-vault-actor INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
install(TARGETS datamesh-vault-actor EXPORT datameshActorsTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT actors)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/libdatamesh/include/datamesh DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  COMPONENT actors FILES_MATCHING PATTERN "*_actor.hpp")
install(FILES ${PROJECT_BINARY_DIR}/proto/datamesh/v1/control.pb.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/datamesh/v1 COMPONENT actors)
install(EXPORT datameshActorsTargets NAMESPACE datamesh:: DESTINATION ${package_folder} COMPONENT actors)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/FindCAF.cmake DESTINATION ${package_folder} COMPONENT actors)

# Installed programs find the library beside them, wherever the prefix is moved to.
# They install themselves, where they are defined.
file(RELATIVE_PATH from_bin_to_lib /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
foreach(program datamesh-cli datameshd)
  if(TARGET ${program})
    set_target_properties(${program} PROPERTIES INSTALL_RPATH "$ORIGIN/${from_bin_to_lib}")
  endif()
endforeach()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/datameshConfig.cmake.in
  ${PROJECT_BINARY_DIR}/datameshConfig.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/datameshConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/datameshConfig.cmake ${PROJECT_BINARY_DIR}/datameshConfigVersion.cmake
  DESTINATION ${package_folder} COMPONENT development)

file(RELATIVE_PATH DATAMESH_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" DATAMESH_PREFIX_FROM_PC "${DATAMESH_PREFIX_FROM_PC}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/datamesh.pc.in ${PROJECT_BINARY_DIR}/datamesh.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/datamesh.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)

install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT runtime)
