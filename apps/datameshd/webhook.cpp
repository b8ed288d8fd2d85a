#include "webhook.hpp"

#include "notices.hpp"

#include "datamesh/base/file_system.hpp"
#include "datamesh/version.hpp"

#include <algorithm>
#include <memory>

#include <curl/curl.h>
#include <string.h>

namespace datamesh::daemon {

namespace {

constexpr long connect_limit_ms = 5'000;
constexpr long post_limit_ms = 30'000;
constexpr int tries_max = 8;
constexpr auto first_pause = std::chrono::milliseconds{500};
constexpr uint64_t token_max = 8192;

/// The header with the token. Wiped by who gets it.
result<std::string> authorization(const std::string& token_file) {
  auto text = read_whole(*system_files(), token_file, token_max);
  if (!text)
    return fail(text.error());
  auto token = as_text(*text);
  token = token.substr(0, token.find_last_not_of("\r\n") + 1);
  if (token.empty() || !std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; }))
    return fail(errc::config_invalid, "read the token of the webhook", token_file);
  return "Authorization: Bearer " + std::string{token};
}

enum class verdict { taken, refused, again };

struct attempt {
  verdict how = verdict::again;
  std::string why;
};

verdict judge(long status) {
  if (status >= 200 && status < 300)
    return verdict::taken;
  return status == 408 || status == 429 || status >= 500 ? verdict::again : verdict::refused;
}

size_t ignore(char*, size_t size, size_t count, void*) {
  return size * count;
}

int end_when_stopping(void* box, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<outbox*>(box)->stopping() ? 1 : 0;
}

struct headers {
  curl_slist* list = nullptr;
  headers() = default;
  headers(const headers&) = delete;
  headers& operator=(const headers&) = delete;
  ~headers() {
    // They hold the token.
    for (auto* row = list; row != nullptr; row = row->next)
      ::explicit_bzero(row->data, ::strlen(row->data));
    curl_slist_free_all(list);
  }
  void add(const std::string& line) {
    if (auto* longer = curl_slist_append(list, line.c_str()))
      list = longer;
  }
};

attempt post(const webhook_settings& with, const std::string& body, outbox& of) {
  headers sent;
  sent.add("Content-Type: application/json");
  sent.add("Expect:");
  if (!with.token_file.empty()) {
    auto token = authorization(with.token_file);
    if (!token)
      return {verdict::again, token.error().message()};
    sent.add(*token);
    ::explicit_bzero(token->data(), token->size());
  }
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl{curl_easy_init(), curl_easy_cleanup};
  if (!curl)
    return {verdict::again, "no memory"};
  auto set = [&](CURLoption option, auto value) {
    return curl_easy_setopt(curl.get(), option, value) == CURLE_OK;
  };
  auto ready = set(CURLOPT_URL, with.url.c_str()) && set(CURLOPT_PROTOCOLS_STR, "http,https") && set(CURLOPT_FOLLOWLOCATION, 0L)
               && set(CURLOPT_SSL_VERIFYPEER, 1L) && set(CURLOPT_SSL_VERIFYHOST, 2L)
               && set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2}) && set(CURLOPT_NOSIGNAL, 1L)
               && set(CURLOPT_CONNECTTIMEOUT_MS, connect_limit_ms) && set(CURLOPT_TIMEOUT_MS, post_limit_ms)
               && set(CURLOPT_USERAGENT, ("datameshd/" + std::string{version()}).c_str()) && set(CURLOPT_HTTPHEADER, sent.list)
               && set(CURLOPT_POST, 1L) && set(CURLOPT_POSTFIELDS, body.c_str())
               && set(CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size())) && set(CURLOPT_WRITEFUNCTION, &ignore)
               && set(CURLOPT_NOPROGRESS, 0L) && set(CURLOPT_XFERINFOFUNCTION, &end_when_stopping) && set(CURLOPT_XFERINFODATA, &of);
  if (ready && !with.ca_file.empty())
    ready = set(CURLOPT_CAINFO, with.ca_file.c_str());
  // Better not told than told without what protects it.
  if (!ready)
    return {verdict::refused, "libcurl lacks what this needs"};
  if (auto code = curl_easy_perform(curl.get()); code != CURLE_OK)
    return {verdict::again, curl_easy_strerror(code)};
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  return {judge(status), "it answered " + std::to_string(status)};
}

} // namespace

webhook::webhook(webhook_settings with)
    : settings_(std::move(with)), box_("webhook", [this](outbox& of, const event& what) { tell(of, what); }) {}

void webhook::set(webhook_settings with) {
  std::lock_guard guard{mutex_};
  settings_ = std::move(with);
}

webhook_settings webhook::settings() {
  std::lock_guard guard{mutex_};
  return settings_;
}

void webhook::take(const event& what) {
  if (!settings().url.empty())
    box_.take(what);
}

void webhook::tell(outbox& of, const event& what) {
  auto body = notice_of(what);
  auto pause = first_pause;
  for (int tries = 1;; ++tries) {
    // They may have been set meanwhile.
    auto with = settings();
    if (with.url.empty())
      return;
    auto done = post(with, body, of);
    if (done.how == verdict::taken || of.stopping())
      return;
    if (done.how == verdict::refused || tries == tries_max)
      return log_line(severity::warning, "the webhook did not take an event: " + done.why, origin_of(with.url));
    if (tries == 1)
      log_line(severity::info, "the webhook is tried again: " + done.why, origin_of(with.url));
    if (!of.rest(pause))
      return;
    pause *= 2;
  }
}

} // namespace datamesh::daemon
