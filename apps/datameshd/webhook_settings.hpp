// Where events are posted, and what of that may be said aloud.
#pragma once

#include <string>

namespace datamesh::daemon {

struct webhook_settings {
  std::string url;        ///< Empty: nobody is told.
  std::string token_file; ///< Its content is sent as a bearer token; read for each event.
  std::string ca_file;    ///< Certificates to trust instead of the system's.
  friend bool operator==(const webhook_settings&, const webhook_settings&) = default;
};

/// What is wrong with the settings, or nothing. A token goes over TLS, or to this machine.
[[nodiscard]] std::string what_is_wrong(const webhook_settings& with);

/// "https://host:port" of a URL.
[[nodiscard]] std::string origin_of(const std::string& url);

} // namespace datamesh::daemon
