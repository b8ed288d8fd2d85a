// Preloaded into a program, counts its system calls on files below some folders and
// lets one of them fail, or kills the process in its place. One counter a kind of
// call, over all threads; opening counts as `open` whatever the flags.
//
//   FAILING_BELOW  folders, with ':' between them; calls on other files are not seen
//   FAILING_TALLY  a file of 4096 bytes: a u64 for each kind of call in the order of
//                  `kinds`, then a u64 that is 1 once a call has failed; it is mapped,
//                  so it survives a kill
//   FAILING_CALL   the kind of call that fails, or `any`
//   FAILING_AT     which of them, counted from 1; none when it is 0
//   FAILING_WITH   number of the error, or `kill`
//   FAILING_LINGER milliseconds that a call which kills takes before it does: as beside
//                  a slow disk, the other threads go on, and may tell what is not done yet
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { k_open, k_write, k_fdatasync, k_fsync, k_link, k_rename, k_unlink, k_mkdir, k_rmdir, k_fallocate, k_ftruncate, k_read, k_end };

static const char* const kinds[k_end] = {"open",   "write", "fdatasync", "fsync",     "link",      "rename",
                                         "unlink", "mkdir", "rmdir",     "fallocate", "ftruncate", "read"};

struct tally {
  _Atomic uint64_t seen[k_end];
  _Atomic uint64_t failed;
};

static struct {
  const char* below;
  struct tally* tally;
  int kind; // k_end: any
  uint64_t at;
  int with; // 0: kill
  long linger_ms;
  _Atomic uint64_t all;
} plan;

__attribute__((constructor)) static void begin(void) {
  const char* file = getenv("FAILING_TALLY");
  const char* call = getenv("FAILING_CALL");
  const char* at = getenv("FAILING_AT");
  const char* with = getenv("FAILING_WITH");
  const char* linger = getenv("FAILING_LINGER");
  if (file == NULL)
    return;
  int fd = (int) syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC, 0);
  void* mapped = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED)
    abort();
  syscall(SYS_close, fd);
  plan.kind = k_end;
  for (int i = 0; call != NULL && i < k_end; ++i)
    if (strcmp(call, kinds[i]) == 0)
      plan.kind = i;
  plan.at = at == NULL ? 0 : strtoull(at, NULL, 10);
  plan.with = with == NULL || strcmp(with, "kill") == 0 ? 0 : atoi(with);
  plan.linger_ms = linger == NULL ? 0 : strtol(linger, NULL, 10);
  plan.below = getenv("FAILING_BELOW");
  plan.tally = mapped;
}

static int is_below(const char* path) {
  for (const char* next = plan.below; next != NULL && *next != 0;) {
    size_t length = strcspn(next, ":");
    if (strncmp(path, next, length) == 0 && (path[length] == '/' || path[length] == 0))
      return 1;
    next += length + (next[length] == ':');
  }
  return 0;
}

// True when the call is to fail; errno is set.
static int fails_at(enum kind kind, const char* path) {
  if (plan.tally == NULL || path == NULL || !is_below(path))
    return 0;
  uint64_t one = 1 + atomic_fetch_add(&plan.tally->seen[kind], 1);
  uint64_t all = 1 + atomic_fetch_add(&plan.all, 1);
  uint64_t number = plan.kind == k_end ? all : plan.kind == (int) kind ? one : 0;
  if (plan.at == 0 || number < plan.at)
    return 0;
  if (number > plan.at) {
    // Other threads run on until a kill reaches them, but none gets past such a call.
    while (plan.with == 0 && plan.linger_ms == 0)
      syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
    return 0;
  }
  atomic_store(&plan.tally->failed, 1);
  if (plan.with == 0) {
    struct timespec rest = {plan.linger_ms / 1000, plan.linger_ms % 1000 * 1000000};
    syscall(SYS_nanosleep, &rest, NULL);
    for (;;)
      syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
  }
  errno = plan.with;
  return 1;
}

static int fails_on(enum kind kind, int fd) {
  char link[32] = "/proc/self/fd/";
  char path[PATH_MAX];
  char digits[12];
  size_t count = 0;
  if (plan.tally == NULL || fd < 0)
    return 0;
  do
    digits[count++] = (char) ('0' + fd % 10);
  while ((fd /= 10) != 0);
  for (size_t i = 0; i < count; ++i)
    link[14 + i] = digits[count - 1 - i];
  ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (length < 0)
    return 0;
  path[length] = 0;
  return fails_at(kind, path);
}

#define SHOWN __attribute__((visibility("default")))

static int do_open(int folder, const char* path, int flags, mode_t mode) {
  return fails_at(k_open, path) ? -1 : (int) syscall(SYS_openat, folder, path, flags, mode);
}

#define OPENS(name, before, folder)                                                                                                        \
  SHOWN int name(before const char* path, int flags, ...) {                                                                                \
    mode_t mode = 0;                                                                                                                       \
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {                                                                      \
      va_list rest;                                                                                                                        \
      va_start(rest, flags);                                                                                                               \
      mode = va_arg(rest, mode_t);                                                                                                         \
      va_end(rest);                                                                                                                        \
    }                                                                                                                                      \
    return do_open(folder, path, flags, mode);                                                                                             \
  }
#define NOTHING
#define FOLDER int at,
OPENS(open, NOTHING, AT_FDCWD)
OPENS(open64, NOTHING, AT_FDCWD)
OPENS(openat, FOLDER, at)
OPENS(openat64, FOLDER, at)

SHOWN ssize_t write(int fd, const void* data, size_t size) {
  return fails_on(k_write, fd) ? -1 : syscall(SYS_write, fd, data, size);
}
#define WRITES(name)                                                                                                                       \
  SHOWN ssize_t name(int fd, const void* data, size_t size, off_t at) {                                                                    \
    return fails_on(k_write, fd) ? -1 : syscall(SYS_pwrite64, fd, data, size, at);                                                         \
  }
WRITES(pwrite)
WRITES(pwrite64)
#define WRITES_PARTS(name)                                                                                                                 \
  SHOWN ssize_t name(int fd, const struct iovec* parts, int count, off_t at) {                                                             \
    return fails_on(k_write, fd) ? -1 : syscall(SYS_pwritev, fd, parts, count, at, 0);                                                     \
  }
WRITES_PARTS(pwritev)
WRITES_PARTS(pwritev64)
#define READS(name)                                                                                                                        \
  SHOWN ssize_t name(int fd, void* data, size_t size, off_t at) {                                                                          \
    return fails_on(k_read, fd) ? -1 : syscall(SYS_pread64, fd, data, size, at);                                                           \
  }
READS(pread)
READS(pread64)

SHOWN int fdatasync(int fd) {
  return fails_on(k_fdatasync, fd) ? -1 : (int) syscall(SYS_fdatasync, fd);
}
SHOWN int fsync(int fd) {
  return fails_on(k_fsync, fd) ? -1 : (int) syscall(SYS_fsync, fd);
}
#define ALLOCATES(name)                                                                                                                    \
  SHOWN int name(int fd, int mode, off_t offset, off_t size) {                                                                             \
    return fails_on(k_fallocate, fd) ? -1 : (int) syscall(SYS_fallocate, fd, mode, offset, size);                                          \
  }
ALLOCATES(fallocate)
ALLOCATES(fallocate64)
#define RESIZES(name)                                                                                                                      \
  SHOWN int name(int fd, off_t size) {                                                                                                     \
    return fails_on(k_ftruncate, fd) ? -1 : (int) syscall(SYS_ftruncate, fd, size);                                                        \
  }
RESIZES(ftruncate)
RESIZES(ftruncate64)

SHOWN int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) {
  return fails_at(k_link, to) ? -1 : (int) syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
}
SHOWN int link(const char* from, const char* to) {
  return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}
SHOWN int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  return fails_at(k_rename, to) ? -1 : (int) syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}
SHOWN int rename(const char* from, const char* to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}
SHOWN int unlink(const char* path) {
  return fails_at(k_unlink, path) ? -1 : (int) syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
SHOWN int mkdir(const char* path, mode_t mode) {
  return fails_at(k_mkdir, path) ? -1 : (int) syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}
SHOWN int rmdir(const char* path) {
  return fails_at(k_rmdir, path) ? -1 : (int) syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}
