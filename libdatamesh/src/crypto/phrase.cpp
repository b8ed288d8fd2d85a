#include "crypto/phrase.hpp"
