#include "storage/shard.hpp"
