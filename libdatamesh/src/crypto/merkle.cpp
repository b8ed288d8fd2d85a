#include "crypto/merkle.hpp"
