#include "crypto/thread_memory.hpp"

#include <openssl/crypto.h>

namespace datamesh::crypto {

void free_thread_memory() noexcept {
  OPENSSL_thread_stop();
}

} // namespace datamesh::crypto
