#include "datamesh/base/errc.hpp"
