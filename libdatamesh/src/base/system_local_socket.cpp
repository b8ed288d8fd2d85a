#include "base/local_socket.hpp"

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>
#include <vector>

#include <grp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace datamesh {

namespace {

constexpr int waiting_max = 64;
constexpr size_t parts_max = 8;

template <class Call>
auto retry(Call call) {
  decltype(call()) rc;
  do
    rc = call();
  while (rc < 0 && errno == EINTR);
  return rc;
}

void close_raw(int raw) {
  if (raw >= 0)
    ::close(raw);
}

result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path) || path.find('\0') != std::string::npos)
    return fail(errc::name_invalid, "name a socket", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

int open_socket() {
  return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

result<waited> wait_for(int raw, int bell, std::chrono::milliseconds limit) {
  std::array<pollfd, 2> polled{pollfd{bell, POLLIN, 0}, pollfd{raw, POLLIN, 0}};
  auto milliseconds = static_cast<int>(std::min<int64_t>(limit.count(), INT_MAX));
  auto ready = retry([&] { return ::poll(polled.data(), polled.size(), milliseconds); });
  if (ready < 0)
    return fail(from_errno(errno, "wait on a socket"));
  if (ready == 0)
    return waited::timed_out;
  return polled[0].revents != 0 ? waited::woken : waited::readable;
}

error socket_error(const char* attempted) {
  if (errno == EAGAIN || errno == EWOULDBLOCK)
    return error{errc::timed_out, attempted};
  if (errno == EPIPE || errno == ECONNRESET)
    return error{errc::unavailable, attempted};
  return from_errno(errno, attempted);
}

/// Whether nobody listens on the socket file any more.
bool is_abandoned(const sockaddr_un& address) {
  auto raw = open_socket();
  auto refused = ::connect(raw, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0 && errno == ECONNREFUSED;
  close_raw(raw);
  return refused;
}

} // namespace

// -- bell -----------------------------------------------------------------------

result<wake_up> wake_up::make() {
  auto raw = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (raw < 0)
    return fail(from_errno(errno, "make an event descriptor"));
  return wake_up{raw};
}

wake_up::wake_up(wake_up&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}

wake_up& wake_up::operator=(wake_up&& other) noexcept {
  std::swap(raw_, other.raw_);
  return *this;
}

wake_up::~wake_up() {
  close_raw(raw_);
}

void wake_up::ring() const noexcept {
  uint64_t one = 1;
  (void) !::write(raw_, &one, sizeof(one));
}

void wake_up::clear() const noexcept {
  uint64_t count = 0;
  (void) !::read(raw_, &count, sizeof(count));
}

// -- socket -------------------------------------------------------------------------

result<local_socket> local_socket::connect(const std::string& path) {
  auto address = address_of(path);
  if (!address)
    return fail(address.error());
  local_socket made{open_socket()};
  if (made.raw_ < 0)
    return fail(from_errno(errno, "make a socket", path));
  if (retry([&] { return ::connect(made.raw_, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)); }) < 0) {
    if (errno == ECONNREFUSED)
      return fail(errc::not_found, "connect to the daemon", path);
    return fail(from_errno(errno, "connect to the daemon", path));
  }
  return made;
}

local_socket::local_socket(local_socket&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}

local_socket& local_socket::operator=(local_socket&& other) noexcept {
  std::swap(raw_, other.raw_);
  return *this;
}

local_socket::~local_socket() {
  close_raw(raw_);
}

result<uint32_t> local_socket::peer_uid() const {
  ucred who{};
  socklen_t size = sizeof(who);
  if (::getsockopt(raw_, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || size != sizeof(who))
    return fail(from_errno(errno, "ask who is at the socket"));
  return who.uid;
}

result<void> local_socket::set_deadline(std::chrono::milliseconds limit) {
  timeval time{};
  time.tv_sec = limit.count() / 1000;
  time.tv_usec = limit.count() % 1000 * 1000;
  if (::setsockopt(raw_, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) < 0
      || ::setsockopt(raw_, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) < 0)
    return fail(from_errno(errno, "set a socket's deadline"));
  return {};
}

result<waited> local_socket::wait(const wake_up* bell, std::chrono::milliseconds limit) const {
  return wait_for(raw_, bell != nullptr ? bell->raw_ : -1, limit);
}

result<size_t> local_socket::receive(byte_span out) {
  auto got = retry([&] { return ::recv(raw_, out.data(), out.size(), 0); });
  if (got < 0)
    return fail(socket_error("receive from a socket"));
  return static_cast<size_t>(got);
}

result<void> local_socket::send(std::span<const byte_view> parts) {
  std::array<iovec, parts_max> rest{};
  if (parts.size() > rest.size())
    return fail(errc::internal, "send too many parts");
  size_t count = 0;
  for (const auto& part : parts)
    if (!part.empty())
      rest[count++] = {const_cast<std::byte*>(part.data()), part.size()};
  size_t first = 0;
  while (first < count) {
    msghdr message{};
    message.msg_iov = rest.data() + first;
    message.msg_iovlen = count - first;
    auto sent = retry([&] { return ::sendmsg(raw_, &message, MSG_NOSIGNAL); });
    if (sent < 0)
      return fail(socket_error("send to a socket"));
    auto left = static_cast<size_t>(sent);
    while (first < count && left >= rest[first].iov_len)
      left -= rest[first++].iov_len;
    if (left > 0) {
      rest[first].iov_base = static_cast<std::byte*>(rest[first].iov_base) + left;
      rest[first].iov_len -= left;
    }
  }
  return {};
}

void local_socket::shut() noexcept {
  ::shutdown(raw_, SHUT_RDWR);
}

// -- listener ------------------------------------------------------------------------------

result<local_listener> local_listener::listen(const std::string& path, uint32_t mode, const std::string& group) {
  auto address = address_of(path);
  if (!address)
    return fail(address.error());
  struct stat there {};
  if (::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode))
      return fail(errc::already_exists, "listen", path);
    if (!is_abandoned(*address))
      return fail(errc::locked, "listen where somebody listens", path);
    if (::unlink(path.c_str()) < 0)
      return fail(from_errno(errno, "remove an abandoned socket", path));
  }
  auto raw = open_socket();
  if (raw < 0)
    return fail(from_errno(errno, "make a socket", path));
  // Nobody may connect before mode and group are right: that is what `listen` opens.
  if (::bind(raw, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) < 0) {
    auto reason = from_errno(errno, "bind the control socket", path);
    close_raw(raw);
    return fail(std::move(reason));
  }
  local_listener made{raw, path};
  std::vector<char> memory(16 << 10);
  ::group entry{};
  ::group* found = nullptr;
  if (!group.empty() && ::getgrnam_r(group.c_str(), &entry, memory.data(), memory.size(), &found) == 0 && found != nullptr)
    // Only root and members may hand it over; for others it stays their own.
    (void) !::chown(path.c_str(), static_cast<uid_t>(-1), found->gr_gid);
  if (::chmod(path.c_str(), mode) < 0 || ::listen(raw, waiting_max) < 0)
    return fail(from_errno(errno, "listen", path));
  return made;
}

local_listener::local_listener(local_listener&& other) noexcept : raw_(std::exchange(other.raw_, -1)), path_(std::move(other.path_)) {}

local_listener::~local_listener() {
  if (raw_ < 0)
    return;
  (void) ::unlink(path_.c_str());
  close_raw(raw_);
}

result<waited> local_listener::wait(const wake_up& bell, std::chrono::milliseconds limit) const {
  return wait_for(raw_, bell.raw_, limit);
}

result<local_socket> local_listener::accept() {
  auto raw = retry([&] { return ::accept4(raw_, nullptr, nullptr, SOCK_CLOEXEC); });
  if (raw < 0)
    return fail(from_errno(errno, "accept a connection"));
  return local_socket{raw};
}

} // namespace datamesh
