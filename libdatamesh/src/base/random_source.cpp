#include "datamesh/base/random_source.hpp"
