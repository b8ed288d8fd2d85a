// Who looks after the drives in the background leaves them to everybody else.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace datamesh::test {

namespace {

/// The classes in which threads opened shard files.
struct opened_shards {
  size_t idle = 0;
  size_t others = 0;
};

bool this_thread_is_idle() {
  constexpr int who_process = 1, class_idle = 3, class_shift = 13;
  return ::syscall(SYS_ioprio_get, who_process, 0) >> class_shift == class_idle;
}

} // namespace

TEST_CASE("a look in the background reads shards in the idle class, all other reads do not", "[idle]") {
  auto files = std::make_shared<hooked_files>(system_files());
  node_options options;
  options.environment.files = files;
  house h{3, disk::system, options};
  auto content = noise(1, 3 << 20);
  h.put_text("/file", content);
  auto count = std::make_shared<opened_shards>();
  files->set([count](std::string_view call, const std::string& path) -> result<void> {
    if (call == "open_read" && path.find("/shards/") != std::string::npos)
      ++(this_thread_is_idle() ? count->idle : count->others);
    return {};
  });
  auto seen = [&] {
    return std::exchange(*count, {});
  };

  for (auto deep : {false, true}) {
    CHECK(must(h.vault().verify({.deep = deep, .background = true})).shards_missing == 0);
    auto background = seen();
    CHECK(background.idle > 0);
    CHECK(background.others == 0);
    CHECK(must(h.vault().verify({.deep = deep})).shards_missing == 0);
    auto foreground = seen();
    CHECK(foreground.idle == 0);
    CHECK(foreground.others == background.idle);
  }
  CHECK(h.get_text("/file") == content);
  auto read = seen();
  CHECK(read.idle == 0);
  CHECK(read.others > 0);
  files->set({});
}

} // namespace datamesh::test
