#include "storage/compressor.hpp"
