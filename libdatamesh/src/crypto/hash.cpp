#include "crypto/hash.hpp"
