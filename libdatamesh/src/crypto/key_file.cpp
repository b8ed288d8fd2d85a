#include "crypto/key_file.hpp"
