#include "crypto/derive.hpp"
