#include "datamesh/base/file_system.hpp"
