// Posts events as JSON to a URL. Each has half a minute at most and is tried again,
// with growing pauses, while the receiver can not be reached or answers that it is at
// fault (408, 429, 5xx); any other answer that is not 2xx ends it. Certificates are
// verified; redirects are not followed. What the log names is the URL's origin: its
// path may be a secret, as the token is.
#pragma once

#include "outbox.hpp"
#include "webhook_settings.hpp"

namespace datamesh::daemon {

class webhook {
public:
  explicit webhook(webhook_settings with);
  void set(webhook_settings with);
  /// Any thread.
  void take(const event& what);

private:
  void tell(outbox& of, const event& what);
  [[nodiscard]] webhook_settings settings();
  std::mutex mutex_;
  webhook_settings settings_;
  outbox box_; ///< Last: its thread uses the rest.
};

} // namespace datamesh::daemon
