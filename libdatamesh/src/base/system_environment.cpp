#include "datamesh/base/environment.hpp"
