#include "crypto/aead.hpp"
