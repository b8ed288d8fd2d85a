#include "storage/geometry.hpp"
