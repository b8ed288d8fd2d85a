#include "base/memory_budget.hpp"
