#include "progress.hpp"

#include "display.hpp"

#include <catch2/catch.hpp>

using namespace datamesh::cli;
using namespace std::chrono_literals;

TEST_CASE("the rate is measured over the last ten seconds", "[progress]") {
  rate_meter meter;
  rate_meter::instant start{};
  meter.add(start, 0);
  CHECK_FALSE(meter.rate());
  meter.add(start + 100ms, 1000);
  CHECK_FALSE(meter.rate());
  meter.add(start + 1s, 1000);
  CHECK(*meter.rate() == Approx(1000));
  CHECK(meter.seconds_left(3000) == 2);
  for (auto i = 2; i <= 30; ++i)
    meter.add(start + i * 1s, 1000);
  CHECK(*meter.rate() == Approx(0));
  CHECK_FALSE(meter.seconds_left(3000));
}

TEST_CASE("a figure that runs back starts the measurement anew", "[progress]") {
  rate_meter meter;
  rate_meter::instant start{};
  meter.add(start, 5000);
  meter.add(start + 1s, 9000);
  meter.add(start + 2s, 100);
  CHECK_FALSE(meter.rate());
  meter.add(start + 3s, 200);
  CHECK(*meter.rate() == Approx(100));
}

TEST_CASE("the line of progress never exceeds the terminal", "[progress]") {
  progress_state state{.title = "put",
                       .subject = "/a/very/long/\x1b[31mpath/日本語日本語日本語日本語/with/many/parts.txt",
                       .items_done = 3,
                       .items_total = 10,
                       .bytes_done = 1 << 20,
                       .bytes_total = 4 << 20,
                       .rate = 1e6,
                       .seconds_left = 3};
  for (size_t columns = 1; columns < 200; ++columns) {
    auto line = render_progress(state, columns);
    CAPTURE(columns, line);
    CHECK(display_width(line) <= columns);
    CHECK(line.find('\x1b') == std::string::npos);
  }
  CHECK(render_progress(state, 70).starts_with("put   25%  1.0 MiB of 4.0 MiB  3/10  976.6 KiB/s  3 s left"));
}

TEST_CASE("what is unknown is left out of the line", "[progress]") {
  CHECK(render_progress({.title = "put", .subject = {}, .bytes_done = 512, .rate = {}, .seconds_left = {}}, 80) == "put  512 B");
}

TEST_CASE("colours follow the option, then NO_COLOR, then CLICOLOR_FORCE, then the terminal", "[progress]") {
  CHECK(use_color("always", true, false, false));
  CHECK_FALSE(use_color("never", false, true, true));
  CHECK_FALSE(use_color("auto", true, true, true));
  CHECK(use_color("auto", false, true, false));
  CHECK(use_color("auto", false, false, true));
  CHECK_FALSE(use_color("auto", false, false, false));
}
