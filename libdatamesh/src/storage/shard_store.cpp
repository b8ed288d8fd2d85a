#include "storage/shard_store.hpp"
