// Sees every (key, nonce) pair under which this program seals something, and what it was,
// by standing between our code and OpenSSL: the linker puts its functions in the place of
// two of OpenSSL's, so that the code under test knows nothing of it and production has
// nothing of it. That all of our seals pass there is the house's rule `one_seal`.
//
//   seal_tracer tracer;
//   ... // what seals
//   CHECK(tracer.repeated().empty());
//   CHECK(tracer.count("dm/chunk/1") > 0);
//
// Thread rule: any thread may seal and ask; one tracer at a time.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace datamesh::test {

class seal_tracer {
public:
  seal_tracer();
  seal_tracer(const seal_tracer&) = delete;
  ~seal_tracer();

  /// Seals of a kind, by the domain with which their additional data begins, as in "dm/chunk/1".
  [[nodiscard]] uint64_t count(const std::string& kind) const;
  [[nodiscard]] uint64_t total() const;
  [[nodiscard]] std::map<std::string, uint64_t> counts() const;
  /// One sentence for each pair that sealed a second time.
  [[nodiscard]] std::vector<std::string> repeated() const;

  /// Called for what passes to OpenSSL.
  void sealed(byte_view key, byte_view nonce, byte_view additional);

private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> kind_of_pair_;
  std::map<std::string, uint64_t> counts_;
  std::vector<std::string> repeated_;
};

} // namespace datamesh::test
