// Marks what the shared library shows. Everything else is hidden, so that a
// host's own protobuf or spdlog is never disturbed by ours.
#pragma once

#define DATAMESH_EXPORT __attribute__((visibility("default")))
