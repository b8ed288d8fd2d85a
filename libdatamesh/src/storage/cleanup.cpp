#include "storage/cleanup.hpp"
