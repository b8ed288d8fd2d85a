#include "storage/erasure.hpp"
