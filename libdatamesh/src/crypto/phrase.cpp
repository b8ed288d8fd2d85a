#include "crypto/phrase.hpp"

#include "crypto/derive.hpp"
#include "crypto/hash.hpp"

#include <fmt/format.h>

namespace datamesh::crypto {

namespace {

constexpr std::string_view consonants = "bdfghjklmnprstvz";
constexpr std::string_view vowels = "aiou";
constexpr size_t word_size = 5;
constexpr size_t word_count = key256::size / 2 + 1;
constexpr size_t typed_size_max = 4096;

uint16_t checksum_of(const key256& entropy) {
  auto sum = hasher{}.update(as_view("dm/phrase/1")).update(entropy.view()).finish();
  return static_cast<uint16_t>(std::to_integer<unsigned>(sum.view()[0]) << 8 | std::to_integer<unsigned>(sum.view()[1]));
}

void put_word(uint16_t value, byte_span out) {
  const char letters[word_size] = {consonants[value >> 12], vowels[value >> 10 & 3], consonants[value >> 6 & 15], vowels[value >> 4 & 3],
                                   consonants[value & 15]};
  for (size_t i = 0; i < word_size; ++i)
    out[i] = static_cast<std::byte>(letters[i]);
}

/// The lower-case letter, or 0 for what separates words.
char letter_of(std::byte typed) noexcept {
  auto c = static_cast<char>(std::to_integer<unsigned char>(typed) | 0x20);
  return c >= 'a' && c <= 'z' ? c : '\0';
}

// Messages tell places, never letters: what was typed may be a good part of a
// secret.
tl::unexpected<error> refuse(std::string why) {
  return fail(errc::phrase_invalid, "read the recovery phrase", std::move(why));
}

class phrase_reader {
public:
  result<key256> read(byte_view typed) {
    if (typed.size() > typed_size_max)
      return refuse("it is too long");
    while (!typed.empty()) {
      auto letters = std::find_if(typed.begin(), typed.end(), [](std::byte x) { return letter_of(x) == '\0'; }) - typed.begin();
      if (letters == 0) {
        typed = typed.subspan(1);
        continue;
      }
      if (auto read = read_run(typed.first(static_cast<size_t>(letters))); !read)
        return fail(read.error());
      typed = typed.subspan(static_cast<size_t>(letters));
    }
    if (words_ != word_count)
      return refuse(fmt::format("it has {} words, not {}", words_, word_count));
    if (last_ != checksum_of(entropy_))
      return refuse("its last word does not fit the others: a word is wrong, or two changed places");
    return entropy_;
  }

private:
  // Reads letters that stand together: one word, or several without a gap.
  result<void> read_run(byte_view run) {
    if (run.size() % word_size != 0)
      return refuse(fmt::format("word {} has {} letters, not {}", words_ + 1, run.size(), word_size));
    for (; !run.empty(); run = run.subspan(word_size)) {
      if (auto read = read_word(run.first(word_size)); !read)
        return read;
    }
    return {};
  }

  result<void> read_word(byte_view word) {
    if (words_ == word_count)
      return refuse(fmt::format("it has more than {} words", word_count));
    unsigned value = 0;
    for (size_t i = 0; i < word_size; ++i) {
      auto among = i % 2 == 0 ? consonants : vowels;
      auto place = among.find(letter_of(word[i]));
      if (place == std::string_view::npos)
        return refuse(fmt::format("word {} can not be one: look at its letter {}", words_ + 1, i + 1));
      value = value * static_cast<unsigned>(among.size()) + static_cast<unsigned>(place);
    }
    if (words_ + 1 < word_count) {
      entropy_.span()[2 * words_] = static_cast<std::byte>(value >> 8);
      entropy_.span()[2 * words_ + 1] = static_cast<std::byte>(value);
    }
    last_ = value;
    ++words_;
    return {};
  }

  key256 entropy_;
  size_t words_ = 0;
  unsigned last_ = 0;
};

} // namespace

secret_bytes encode_phrase(const key256& entropy) {
  secret_bytes phrase{word_count * (word_size + 1) - 1};
  auto word = [&](size_t i) {
    return phrase.span().subspan(i * (word_size + 1), word_size);
  };
  for (size_t i = 0; i + 1 < word_count; ++i) {
    put_word(
        static_cast<uint16_t>(std::to_integer<unsigned>(entropy.view()[2 * i]) << 8 | std::to_integer<unsigned>(entropy.view()[2 * i + 1])),
        word(i));
    phrase.span()[i * (word_size + 1) + word_size] = std::byte{'-'};
  }
  put_word(checksum_of(entropy), word(word_count - 1));
  return phrase;
}

result<key256> decode_phrase(byte_view typed) {
  return phrase_reader{}.read(typed);
}

key256 recovery_secret(const key256& entropy) {
  return derive_key(entropy.view(), {}, as_view("dm/recovery/1"));
}

} // namespace datamesh::crypto
