#include "storage/placement.hpp"
