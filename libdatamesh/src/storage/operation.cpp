#include "storage/operation.hpp"
