#include "base/simple_store_files.hpp"

#include "base/crc32c.hpp"
#include "base/little_endian.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::simple {

namespace {

constexpr std::string_view state_magic{"DMSTATE\x01", 8};
constexpr std::string_view log_magic{"DMSLOG\0\x01", 8};
constexpr size_t record_head_size = 24;
constexpr uint64_t file_size_max = uint64_t{1} << 36;

enum class record_kind : uint8_t { batch = 1, end = 2 };

/// One checked record of a log or a state; the view borrows from the content.
struct record {
  uint64_t sequence = 0;
  uint64_t durable = 0; ///< All up to this one were durable when it was written.
  byte_view payload;    ///< Not empty.

  [[nodiscard]] record_kind kind() const noexcept {
    return static_cast<record_kind>(payload.front());
  }
};

template <std::unsigned_integral T>
void append(buffer& out, T value) {
  out.resize(out.size() + sizeof(T));
  store_le(byte_span{out}.last(sizeof(T)), value);
}

void append(buffer& out, std::string_view text) {
  append(out, static_cast<uint32_t>(text.size()));
  auto data = as_view(text);
  out.insert(out.end(), data.begin(), data.end());
}

buffer file_head(std::string_view kind, uint64_t generation) {
  buffer out(file_head_size);
  auto magic = as_view(kind == "log" ? log_magic : state_magic);
  std::copy(magic.begin(), magic.end(), out.begin());
  store_le(byte_span{out}.subspan(8), generation);
  store_le(byte_span{out}.subspan(20), crc32c(byte_view{out}.first(20)));
  return out;
}

bool has_file_head(byte_view content, std::string_view kind, uint64_t generation) {
  auto expected = file_head(kind, generation);
  return content.size() >= expected.size() && std::equal(expected.begin(), expected.end(), content.begin());
}

/// The record that *content* starts with, if its checksum is right.
std::optional<record> parse_record(byte_view content) {
  if (content.size() < record_head_size)
    return std::nullopt;
  auto length = load_le<uint32_t>(content.subspan(4));
  if (length == 0 || length > content.size() - record_head_size)
    return std::nullopt;
  auto whole = content.first(record_head_size + length);
  if (load_le<uint32_t>(whole) != crc32c(whole.subspan(4)))
    return std::nullopt;
  return record{load_le<uint64_t>(whole.subspan(8)), load_le<uint64_t>(whole.subspan(16)), whole.subspan(record_head_size)};
}

/// Takes a string of the form `append` gives from the front of *rest*.
bool take_text(byte_view& rest, std::string_view& text) {
  if (rest.size() < 4)
    return false;
  auto length = load_le<uint32_t>(rest);
  rest = rest.subspan(4);
  if (length > rest.size())
    return false;
  text = as_text(rest.first(length));
  rest = rest.subspan(length);
  return true;
}

/// Applies the changes of a batch; false when it is none or not well-formed.
bool apply_batch(const record& batch, persistent_map& rows) {
  auto rest = batch.payload.subspan(1);
  if (batch.kind() != record_kind::batch)
    return false;
  while (!rest.empty()) {
    auto has_value = rest.front();
    rest = rest.subspan(1);
    std::string_view key, value;
    if (has_value > std::byte{1} || !take_text(rest, key))
      return false;
    if (has_value == std::byte{0})
      rows.erase(key);
    else if (take_text(rest, value))
      rows.put(key, value);
    else
      return false;
  }
  return true;
}

/// Whether a record behind the damage at *from* was written when the batch
/// *missing* was already durable: then it was not a crash that tore that batch.
bool was_durable(byte_view content, size_t from, uint64_t missing) {
  for (auto at = from; at + record_head_size <= content.size(); ++at) {
    auto head = content.subspan(at);
    auto sequence = load_le<uint64_t>(head.subspan(8));
    auto durable = load_le<uint64_t>(head.subspan(16));
    if (durable >= missing && sequence > durable && sequence - missing < content.size() && parse_record(head))
      return true;
  }
  return false;
}

result<void> read_state(byte_view content, uint64_t generation, contents& into) {
  auto corrupt = [] {
    return fail(errc::store_corrupt, "read the state of an ordered store");
  };
  if (!has_file_head(content, "state", generation))
    return corrupt();
  auto rest = content.subspan(file_head_size);
  for (;;) {
    auto next = parse_record(rest);
    if (!next)
      return corrupt();
    rest = rest.subspan(record_head_size + next->payload.size());
    into.last = next->sequence;
    if (next->kind() == record_kind::end && next->payload.size() == 1 && rest.empty())
      return {};
    if (!apply_batch(*next, into.rows))
      return corrupt();
  }
}

result<void> read_log(byte_view content, uint64_t generation, contents& into) {
  auto corrupt = [] {
    return fail(errc::store_corrupt, "read the log of an ordered store");
  };
  if (!has_file_head(content, "log", generation))
    return corrupt();
  auto at = file_head_size;
  while (at < content.size()) {
    auto next = parse_record(content.subspan(at));
    if (!next || next->sequence != into.last + 1)
      break;
    if (!apply_batch(*next, into.rows))
      return corrupt();
    into.last = next->sequence;
    at += record_head_size + next->payload.size();
  }
  into.torn = at < content.size();
  if (into.torn && was_durable(content, at, into.last + 1))
    return corrupt();
  return {};
}

std::string name_of(std::string_view kind, uint64_t generation) {
  return fmt::format("{}-{:016x}", kind, generation);
}

/// The generation in a file's name, if it is a name of that kind.
std::optional<uint64_t> generation_of(std::string_view file, std::string_view kind) {
  if (file.size() != kind.size() + 17 || !file.starts_with(kind))
    return std::nullopt;
  uint64_t generation = 0;
  for (auto digit : file.substr(kind.size() + 1)) {
    auto value = std::string_view{"0123456789abcdef"}.find(digit);
    if (value == std::string_view::npos)
      return std::nullopt;
    generation = generation << 4 | value;
  }
  return file == name_of(kind, generation) ? std::optional{generation} : std::nullopt;
}

error wrong_start(byte_view content, const std::string& path) {
  auto text = as_text(content);
  if (text.starts_with(state_magic) || text.starts_with(log_magic))
    return error{errc::invalid_argument, "open with a key an ordered store that has no encryption", path};
  return error{errc::store_corrupt, "read the encryption header of an ordered store", path};
}

} // namespace

// -- record_writer ----------------------------------------------------------------

void record_writer::put_file_head(std::string_view kind, uint64_t generation) {
  auto head = file_head(kind, generation);
  content_.insert(content_.end(), head.begin(), head.end());
}

void record_writer::begin_batch() {
  start_ = content_.size();
  content_.resize(content_.size() + record_head_size);
  append(content_, static_cast<uint8_t>(record_kind::batch));
  in_batch_ = true;
}

void record_writer::put(std::string_view key, std::string_view value) {
  append(content_, uint8_t{1});
  append(content_, key);
  append(content_, value);
}

void record_writer::erase(std::string_view key) {
  append(content_, uint8_t{0});
  append(content_, key);
}

void record_writer::end_batch(uint64_t sequence, uint64_t durable) {
  auto whole = byte_span{content_}.subspan(start_);
  store_le(whole.subspan(4), static_cast<uint32_t>(whole.size() - record_head_size));
  store_le(whole.subspan(8), sequence);
  store_le(whole.subspan(16), durable);
  store_le(whole, crc32c(whole.subspan(4)));
  in_batch_ = false;
}

void record_writer::put_end(uint64_t sequence) {
  begin_batch();
  content_.back() = static_cast<std::byte>(record_kind::end);
  end_batch(sequence, sequence);
}

// -- appended_file ----------------------------------------------------------------

result<void> appended_file::append(byte_view data) {
  buffer sealed;
  if (cipher_ != nullptr) {
    sealed.resize(data.size());
    if (auto ok = cipher_->apply(iv_, size_ - head_, data, sealed); !ok)
      return ok;
    data = sealed;
  }
  return file_->write_at(size_, {&data, 1}).map([&] { size_ += data.size(); });
}

// -- store_folder -----------------------------------------------------------------

store_folder::store_folder(std::shared_ptr<file_system> files, std::shared_ptr<random_source> random,
                           std::shared_ptr<const file_cipher> cipher, std::string path)
    : files_(std::move(files)), random_(std::move(random)), cipher_(std::move(cipher)), path_(std::move(path)) {}

std::string store_folder::path_of(std::string_view kind, uint64_t generation) const {
  return join_path(path_, name_of(kind, generation));
}

result<inventory> store_folder::list() const {
  auto entries = files_->list(path_);
  if (!entries)
    return fail(std::move(entries.error()));
  inventory found;
  for (const auto& entry : *entries) {
    if (auto state = generation_of(entry.name, "state"))
      found.states.push_back(*state);
    if (auto log = generation_of(entry.name, "log"))
      found.logs.push_back(*log);
  }
  if (!found.states.empty())
    found.newest = *std::max_element(found.states.begin(), found.states.end());
  return found;
}

result<appended_file> store_folder::start(result<std::unique_ptr<writable_file>> file) const {
  if (!file)
    return fail(std::move(file.error()));
  appended_file made;
  made.file_ = std::move(*file);
  if (cipher_ == nullptr)
    return made;
  auto header = cipher_->make_header(*random_);
  if (!header)
    return fail(std::move(header.error()));
  auto iv = cipher_->open_header(*header);
  if (!iv)
    return fail(std::move(iv.error()));
  if (auto ok = made.append(*header); !ok)
    return fail(std::move(ok.error()));
  made.cipher_ = cipher_;
  made.iv_ = *iv;
  made.head_ = made.size_;
  return made;
}

result<appended_file> store_folder::resume(const std::string& path, uint64_t size) const {
  auto file = files_->open_write(path);
  if (!file)
    return fail(std::move(file.error()));
  appended_file made;
  made.file_ = std::move(*file);
  made.size_ = size;
  return made;
}

result<buffer> store_folder::read(const std::string& path) const {
  auto content = read_whole(*files_, path, file_size_max);
  if (!content)
    return fail(content.error().within("read ordered store", path));
  if (cipher_ == nullptr) {
    if (file_cipher::is_encrypted(*content))
      return fail(errc::authentication_failed, "open an encrypted ordered store without its key", path);
    return buffer(content->view().begin(), content->view().end());
  }
  auto iv = cipher_->open_header(*content);
  if (!iv && iv.error().code() == errc::format_alien)
    return fail(wrong_start(*content, path));
  if (!iv)
    return fail(iv.error().within("read ordered store", path));
  auto sealed = content->view().subspan(file_cipher::header_size);
  buffer plain(sealed.size());
  if (auto ok = cipher_->apply(*iv, 0, sealed, plain); !ok)
    return fail(ok.error().within("read ordered store", path));
  return plain;
}

result<contents> store_folder::load(uint64_t generation) const {
  contents all;
  auto state_path = path_of("state", generation);
  auto state = read(state_path);
  if (!state)
    return fail(std::move(state.error()));
  if (auto ok = read_state(*state, generation, all); !ok)
    return fail(ok.error().within("open ordered store", state_path));
  auto log_path = path_of("log", generation);
  auto log = read(log_path);
  // The log is durable before the state of its generation gets its name.
  if (!log && log.error().code() == errc::not_found)
    return fail(log.error().as(errc::store_corrupt, "open ordered store: its log is gone", log_path));
  if (!log)
    return fail(std::move(log.error()));
  if (auto ok = read_log(*log, generation, all); !ok)
    return fail(ok.error().within("open ordered store", log_path));
  all.state_bytes = state->size();
  all.log_bytes = log->size();
  return all;
}

} // namespace datamesh::simple
