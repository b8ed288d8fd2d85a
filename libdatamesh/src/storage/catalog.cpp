#include "storage/catalog.hpp"
