#include "crypto/identity.hpp"
