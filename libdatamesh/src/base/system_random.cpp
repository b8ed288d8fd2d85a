#include "base/system_parts.hpp"

#include <cerrno>
#include <cstring>

#include <sys/random.h>

namespace datamesh {

namespace {

class kernel_random : public random_source {
public:
  [[nodiscard]] result<void> fill(byte_span out) override {
    for (size_t done = 0; done < out.size();) {
      auto count = getrandom(out.data() + done, out.size() - done, 0);
      if (count > 0) {
        done += static_cast<size_t>(count);
        continue;
      }
      if (count < 0 && errno == EINTR)
        continue;
      auto reason = count < 0 ? errno : EIO;
      // A caller that overlooks the error must not find half a key.
      explicit_bzero(out.data(), out.size());
      return fail(from_errno(reason, "call getrandom").as(errc::random_failed, "draw random bytes"));
    }
    return {};
  }
};

} // namespace

std::shared_ptr<random_source> system_random() {
  return std::make_shared<kernel_random>();
}

} // namespace datamesh
