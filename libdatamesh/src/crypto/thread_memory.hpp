// What OpenSSL keeps for a thread.
//
// Thread rule: for the thread that calls.
#pragma once

namespace datamesh::crypto {

/// Frees it, as OpenSSL does itself when a thread has ended. A thread that is still on its way out when
/// the process ends would leave it: OPENSSL_thread_stop(3). What is used after that is made anew.
void free_thread_memory() noexcept;

} // namespace datamesh::crypto
