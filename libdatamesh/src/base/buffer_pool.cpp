#include "base/buffer_pool.hpp"
