#include "datamesh/base/error.hpp"
