#include "webhook_settings.hpp"

#include <algorithm>
#include <memory>

#include <curl/curl.h>

namespace datamesh::daemon {

namespace {

using url_parts = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

url_parts parse(const std::string& url) {
  url_parts parts{curl_url(), curl_url_cleanup};
  if (!parts || curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
    return {nullptr, curl_url_cleanup};
  return parts;
}

std::string part(const url_parts& of, CURLUPart which) {
  char* text = nullptr;
  if (!of || curl_url_get(of.get(), which, &text, 0) != CURLUE_OK)
    return {};
  std::string copy{text};
  curl_free(text);
  return copy;
}

bool is_this_machine(const std::string& host) {
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

bool is_plain(char c) {
  return c > ' ' && c < 0x7f;
}

} // namespace

std::string what_is_wrong(const webhook_settings& with) {
  if (with.url.empty())
    return {};
  auto parts = parse(with.url);
  auto scheme = part(parts, CURLUPART_SCHEME);
  auto host = part(parts, CURLUPART_HOST);
  if ((scheme != "https" && scheme != "http") || host.empty() || !std::all_of(with.url.begin(), with.url.end(), is_plain))
    return "'webhook' must be a URL, as in \"https://example.org/hooks/mesh\"";
  if (scheme == "http" && !with.token_file.empty() && !is_this_machine(host))
    return "'webhook_token_file' is for https only: the token would go over the network in the clear";
  return {};
}

std::string origin_of(const std::string& url) {
  auto parts = parse(url);
  auto port = part(parts, CURLUPART_PORT);
  return part(parts, CURLUPART_SCHEME) + "://" + part(parts, CURLUPART_HOST) + (port.empty() ? "" : ":" + port);
}

} // namespace datamesh::daemon
