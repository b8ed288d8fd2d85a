#include "plain.hpp"

#include <blake3.h>
#include <isa-l/erasure_code.h>
#include <openssl/evp.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <memory>

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

namespace datamesh::reference {

namespace {

const unsigned char* raw(byte_view data) {
  return reinterpret_cast<const unsigned char*>(data.data());
}

unsigned char* raw(byte_span data) {
  return reinterpret_cast<unsigned char*>(data.data());
}

class descriptor {
public:
  descriptor(const std::string& path, int flags) : number_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (number_ >= 0)
      ::close(number_);
  }
  operator int() const {
    return number_;
  }

private:
  int number_;
};

EVP_CIPHER_CTX* context() {
  static thread_local const std::unique_ptr<EVP_CIPHER_CTX, void (*)(EVP_CIPHER_CTX*)> made{EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
  return made.get();
}

const EVP_CIPHER* cipher() {
  static const std::unique_ptr<EVP_CIPHER, void (*)(EVP_CIPHER*)> made{EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr), EVP_CIPHER_free};
  return made.get();
}

constexpr std::array<unsigned char, 12> nonce{};
constexpr int tag_size = 16;

} // namespace

size_t scan(byte_view data, const uint64_t* gear, size_t size_min, size_t size_target, size_t size_max) {
  auto bits = 63 - __builtin_clzll(size_target);
  auto mask_of = [](int count) {
    uint64_t mask = 0;
    for (int i = 0; i < count; ++i)
      mask |= uint64_t{1} << (63 - 2 * i);
    return mask;
  };
  auto small = mask_of(bits + 2);
  auto large = mask_of(bits - 2);
  auto bytes = raw(data);
  size_t cuts = 0;
  for (size_t begin = 0; begin < data.size(); ++cuts) {
    auto end = std::min(begin + size_max, data.size());
    auto middle = std::min(begin + size_target, end);
    auto at = std::min(begin + size_min, end);
    uint64_t print = 0;
    for (; at < middle; ++at)
      if (print = (print << 1) + gear[bytes[at]]; (print & small) == 0)
        break;
    if (at >= middle)
      for (; at < end; ++at)
        if (print = (print << 1) + gear[bytes[at]]; (print & large) == 0)
          break;
    begin = at + (at < end ? 1 : 0);
  }
  return cuts;
}

void hash(byte_view data, byte_view key, byte_span out) {
  blake3_hasher state;
  blake3_hasher_init_keyed(&state, raw(key));
  blake3_hasher_update(&state, data.data(), data.size());
  blake3_hasher_finalize(&state, raw(out), out.size());
}

void hash_blocks(byte_view data, byte_span out) {
  constexpr size_t block = 64 << 10;
  const uint8_t leaf = 0;
  for (size_t at = 0, number = 0; at < data.size(); at += block, ++number) {
    blake3_hasher state;
    blake3_hasher_init(&state);
    blake3_hasher_update(&state, &leaf, 1);
    blake3_hasher_update(&state, data.data() + at, std::min(block, data.size() - at));
    blake3_hasher_finalize(&state, raw(out.subspan(number * 32, 32)), 32);
  }
}

size_t compress(byte_view data, byte_span out, int level) {
  static const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> state{ZSTD_createCCtx(), ZSTD_freeCCtx};
  return ZSTD_compressCCtx(state.get(), out.data(), out.size(), data.data(), data.size(), level);
}

void expand(byte_view packed, byte_span out) {
  static const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> state{ZSTD_createDCtx(), ZSTD_freeDCtx};
  ZSTD_decompressDCtx(state.get(), out.data(), out.size(), packed.data(), packed.size());
}

void seal(byte_view data, byte_view key, byte_span out) {
  int done = 0;
  EVP_EncryptInit_ex2(context(), cipher(), raw(key), nonce.data(), nullptr);
  EVP_EncryptUpdate(context(), raw(out), &done, raw(data), static_cast<int>(data.size()));
  EVP_EncryptFinal_ex(context(), raw(out) + done, &done);
  EVP_CIPHER_CTX_ctrl(context(), EVP_CTRL_AEAD_GET_TAG, tag_size, out.data() + data.size());
}

bool open(byte_view sealed, byte_view key, byte_span out) {
  int done = 0;
  auto tag = const_cast<std::byte*>(sealed.data() + sealed.size() - tag_size);
  EVP_DecryptInit_ex2(context(), cipher(), raw(key), nonce.data(), nullptr);
  EVP_DecryptUpdate(context(), raw(out), &done, raw(sealed), static_cast<int>(sealed.size()) - tag_size);
  EVP_CIPHER_CTX_ctrl(context(), EVP_CTRL_AEAD_SET_TAG, tag_size, tag);
  return EVP_DecryptFinal_ex(context(), raw(out) + done, &done) == 1;
}

encoder::encoder(size_t k, size_t m) : k_(k), m_(m), tables_(32 * k * m) {
  std::vector<unsigned char> matrix((k + m) * k);
  gf_gen_cauchy1_matrix(matrix.data(), static_cast<int>(k + m), static_cast<int>(k));
  ec_init_tables(static_cast<int>(k), static_cast<int>(m), matrix.data() + k * k, tables_.data());
}

void encoder::encode(const std::vector<byte_view>& data, const std::vector<byte_span>& parity) const {
  std::vector<unsigned char*> from;
  std::vector<unsigned char*> to;
  for (auto part : data)
    from.push_back(const_cast<unsigned char*>(raw(part)));
  for (auto part : parity)
    to.push_back(raw(part));
  ec_encode_data(static_cast<int>(data.front().size()), static_cast<int>(k_), static_cast<int>(m_),
                 const_cast<unsigned char*>(tables_.data()), from.data(), to.data());
}

bool write_file(const std::string& folder, const std::string& name, byte_view header, byte_view body) {
  descriptor file{folder, O_TMPFILE | O_WRONLY | O_DIRECT};
  if (file < 0 || ::fallocate(file, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(header.size() + body.size())) != 0)
    return false;
  std::array<iovec, 2> parts{iovec{const_cast<std::byte*>(header.data()), header.size()},
                             iovec{const_cast<std::byte*>(body.data()), body.size()}};
  if (::pwritev(file, parts.data(), 2, 0) != static_cast<ssize_t>(header.size() + body.size()) || ::fdatasync(file) != 0)
    return false;
  auto alias = "/proc/self/fd/" + std::to_string(static_cast<int>(file));
  if (::linkat(AT_FDCWD, alias.c_str(), AT_FDCWD, (folder + "/" + name).c_str(), AT_SYMLINK_FOLLOW) != 0)
    return false;
  descriptor above{folder, O_RDONLY | O_DIRECTORY};
  return above >= 0 && ::fsync(above) == 0;
}

bool read_direct(const std::string& path, byte_span out) {
  descriptor file{path, O_RDONLY | O_DIRECT};
  return file >= 0 && ::pread(file, out.data(), out.size(), 0) == static_cast<ssize_t>(out.size());
}

bool read_cached(const std::string& path, byte_span scratch) {
  descriptor file{path, O_RDONLY};
  if (file < 0)
    return false;
  ssize_t count = 1;
  while (count > 0)
    count = ::read(file, scratch.data(), std::min<size_t>(scratch.size(), 1 << 20));
  return count == 0;
}

bool write_cached(const std::string& path, byte_view content, uint64_t size) {
  descriptor file{path, O_WRONLY | O_CREAT | O_TRUNC};
  for (uint64_t done = 0; file >= 0 && done < size;) {
    auto from = static_cast<size_t>(done % content.size());
    auto part = content.subspan(from, std::min<size_t>({content.size() - from, size_t{1} << 20, static_cast<size_t>(size - done)}));
    auto count = ::write(file, part.data(), part.size());
    if (count <= 0)
      return false;
    done += static_cast<uint64_t>(count);
  }
  return file >= 0;
}

} // namespace datamesh::reference
