#include "storage/chunker.hpp"
