// Which settings of a webhook are taken, and what of them a log may name. How events
// are posted is in daemon_test.py.
#include "webhook.hpp"

#include <catch2/catch.hpp>

using namespace datamesh::daemon;

TEST_CASE("a webhook is an http or https URL", "[webhook]") {
  for (auto good : {"", "https://example.org/hooks/1", "http://10.0.0.1:8080/", "https://[::1]/x?y=z"}) {
    CAPTURE(good);
    CHECK(what_is_wrong({.url = good}).empty());
  }
  for (auto bad : {"example.org", "ftp://example.org/", "file:///etc/passwd", "https://", "https://example.org/a b",
                   "https://example.org/\nX-Header: y", "mailto:ann@example.org"}) {
    CAPTURE(bad);
    CHECK(!what_is_wrong({.url = bad}).empty());
  }
}

TEST_CASE("a token goes over TLS or stays on this machine", "[webhook]") {
  CHECK(what_is_wrong({.url = "https://example.org/", .token_file = "/t"}).empty());
  CHECK(what_is_wrong({.url = "http://127.0.0.1:99/", .token_file = "/t"}).empty());
  CHECK(what_is_wrong({.url = "http://localhost/", .token_file = "/t"}).empty());
  CHECK(!what_is_wrong({.url = "http://example.org/", .token_file = "/t"}).empty());
  CHECK(!what_is_wrong({.url = "http://127.0.0.1.example.org/", .token_file = "/t"}).empty());
  CHECK(!what_is_wrong({.url = "http://localhost@example.org/", .token_file = "/t"}).empty());
}

TEST_CASE("what a log names of a webhook holds no secret", "[webhook]") {
  CHECK(origin_of("https://ann:secret@hooks.example.org:8443/services/SECRET?key=SECRET#SECRET") == "https://hooks.example.org:8443");
  CHECK(origin_of("http://hooks.example.org/SECRET") == "http://hooks.example.org");
}
