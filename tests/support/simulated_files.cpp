#include "tests/support/simulated_files.hpp"
