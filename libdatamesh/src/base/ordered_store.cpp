#include "datamesh/base/ordered_store.hpp"
