#include "storage/compressor.hpp"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace datamesh::storage {

namespace {

constexpr size_t sample_size = 4096;
constexpr size_t sample_count = 8;
// Shorter data is tried as a whole.
constexpr size_t probed_min = 4 * sample_size * sample_count;

constexpr int window_log_max = 23;

// The longest outcome that pays: 3 % saved, and one byte at the least.
constexpr size_t worth(size_t plain_size) noexcept {
  auto saved = std::max<size_t>((plain_size * 3 + 99) / 100, 1);
  return plain_size - std::min(saved, plain_size);
}

struct free_compression {
  void operator()(ZSTD_CCtx* x) const noexcept {
    ZSTD_freeCCtx(x);
  }
};

struct free_decompression {
  void operator()(ZSTD_DCtx* x) const noexcept {
    ZSTD_freeDCtx(x);
  }
};

// RFC 8878, 3.1.1: a magic number, a descriptor and, unless the frame is one
// segment, the window. Decoding into one buffer needs no window, but a reader
// that streams is to be able to hold the one that we let pass.
bool frame_is_tame(byte_view frame) {
  constexpr std::array magic{std::byte{0x28}, std::byte{0xb5}, std::byte{0x2f}, std::byte{0xfd}};
  if (frame.size() < 6 || !std::ranges::equal(frame.first(4), magic))
    return false;
  auto single_segment = (std::to_integer<unsigned>(frame[4]) & 0x20) != 0;
  return single_segment || std::to_integer<int>(frame[5] >> 3) + 10 < window_log_max || frame[5] == std::byte{(window_log_max - 10) << 3};
}

} // namespace

struct compressor::impl {
  int level = 0;
  std::unique_ptr<ZSTD_CCtx, free_compression> in;
  std::unique_ptr<ZSTD_DCtx, free_decompression> out;
  std::array<std::byte, sample_size * sample_count> samples;
  std::array<std::byte, sample_size * sample_count> probed;

  bool ready_to_compress() {
    if (!in) {
      in.reset(ZSTD_createCCtx());
      if (!in || ZSTD_isError(ZSTD_CCtx_setParameter(in.get(), ZSTD_c_compressionLevel, level)) != 0
          || ZSTD_isError(ZSTD_CCtx_setParameter(in.get(), ZSTD_c_contentSizeFlag, 0)) != 0)
        in.reset();
    }
    return in != nullptr;
  }

  // Samples from all over *plain*, compressed as one.
  bool shrinks(byte_view plain) {
    auto gap = (plain.size() - sample_size) / (sample_count - 1);
    for (size_t i = 0; i < sample_count; ++i)
      std::copy_n(plain.begin() + static_cast<ptrdiff_t>(i * gap), sample_size, samples.begin() + i * sample_size);
    auto size = ZSTD_compressCCtx(in.get(), probed.data(), worth(samples.size()), samples.data(), samples.size(), 1);
    return ZSTD_isError(size) == 0;
  }
};

compressor::compressor(int level) : impl_(std::make_unique<impl>()) {
  impl_->level = std::clamp(level, 0, 19);
}

compressor::~compressor() = default;
compressor::compressor(compressor&&) noexcept = default;
compressor& compressor::operator=(compressor&&) noexcept = default;

std::optional<size_t> compressor::compress(byte_view plain, byte_span scratch) {
  assert(scratch.size() >= plain.size());
  if (impl_->level == 0 || plain.empty() || !impl_->ready_to_compress())
    return std::nullopt;
  if (plain.size() >= probed_min && !impl_->shrinks(plain))
    return std::nullopt;
  auto size = ZSTD_compress2(impl_->in.get(), scratch.data(), worth(plain.size()), plain.data(), plain.size());
  if (ZSTD_isError(size) != 0)
    return std::nullopt;
  return size;
}

result<void> compressor::decompress(codec method, byte_view packed, byte_span out) {
  constexpr auto attempt = "expand a chunk";
  auto damaged = [&](const char* what) {
    return fail(errc::format_damaged, attempt, what);
  };
  switch (method) {
  case codec::none:
    if (packed.size() != out.size())
      return damaged("wrong length");
    std::copy(packed.begin(), packed.end(), out.begin());
    return {};
  case codec::zstd: {
    // One frame and nothing behind it: zstd would go on with what follows.
    if (!frame_is_tame(packed) || ZSTD_findFrameCompressedSize(packed.data(), packed.size()) != packed.size())
      return damaged("not one zstd frame");
    if (!impl_->out)
      impl_->out.reset(ZSTD_createDCtx());
    if (!impl_->out)
      return fail(errc::capacity_exceeded, attempt, "no memory");
    auto size = ZSTD_decompressDCtx(impl_->out.get(), out.data(), out.size(), packed.data(), packed.size());
    if (ZSTD_isError(size) != 0)
      return damaged(ZSTD_getErrorName(size));
    if (size != out.size())
      return damaged("wrong length");
    return {};
  }
  }
  return damaged("unknown codec");
}

} // namespace datamesh::storage
