#include "storage/sealed_chunk.hpp"
