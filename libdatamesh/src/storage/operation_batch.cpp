#include "storage/operation_batch.hpp"
