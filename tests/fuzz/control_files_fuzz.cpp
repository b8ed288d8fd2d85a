// The files of a client, over the control socket, when the other side lies. With an even
// first byte the daemon calls as it likes: the client gives and changes nothing outside of
// what its request named. With an odd one the client answers as it likes while the daemon
// reads its tree. The rest is a row of messages, each with its length (u16) before it.
#include "base/buffer_pool.hpp"
#include "control/client_files.hpp"
#include "control/link.hpp"
#include "fuzz.hpp"
#include "storage/tree_reader.hpp"
#include "tests/support/simulated_files.hpp"

#include <algorithm>

using namespace datamesh;
using namespace datamesh::control;

namespace {

constexpr uint64_t offset_max = 1 << 20;

class row_of_messages {
public:
  explicit row_of_messages(byte_view data) : rest_(data) {}

  /// The next, cut short at the end of the data; nothing behind it.
  std::optional<byte_view> next() {
    if (rest_.size() < 2)
      return std::nullopt;
    auto length = std::to_integer<size_t>(rest_[0]) | std::to_integer<size_t>(rest_[1]) << 8;
    auto message = rest_.subspan(2, std::min(length, rest_.size() - 2));
    rest_ = rest_.subspan(2 + message.size());
    return message;
  }

private:
  byte_view rest_;
};

/// Names, kinds and sizes of all that is not below /tree.
std::string outside(const test::simulated_files& disk) {
  std::string all;
  for (const auto& [path, status] : disk.list_all())
    if (!path.starts_with("/tree"))
      all += path + ' ' + std::to_string(static_cast<int>(status.kind)) + ' ' + std::to_string(status.size) + ' '
             + std::to_string(status.mode) + '\n';
  return all;
}

void serve(row_of_messages calls, bool writable) {
  auto disk = std::make_shared<test::simulated_files>();
  auto made = disk->make_folder("/tree") && disk->make_folder("/tree/folder") && disk->make_folder("/private")
              && write_whole(*disk, "/tree/folder/file", as_view("mine")) && write_whole(*disk, "/private/key", as_view("secret"))
              && disk->make_symlink("/private", "/tree/away") && disk->make_symlink("/private/key", "/tree/key");
  fuzz::require(made, "there is a tree");
  auto before = outside(*disk);
  auto changes = disk->calls();
  servant by{disk, {"/tree"}, writable};
  while (auto raw = calls.next()) {
    v1::ControlCall call;
    if (!parse(call, *raw))
      continue;
    // The simulated disk holds what is written in memory.
    call.set_offset(call.offset() % offset_max);
    call.set_length(call.length() % offset_max);
    auto answered = by.answer(call, raw->first(std::min<size_t>(raw->size(), 8)));
    fuzz::require(answered.header.call() == call.call(), "an answer names its call");
    fuzz::require(as_text(answered.body).find("secret") == std::string_view::npos, "no file outside is read");
    fuzz::require(answered.body.size() <= body_max, "an answer fits into a frame");
  }
  fuzz::require(outside(*disk) == before, "nothing outside is changed");
  fuzz::require(as_text(read_whole(*disk, "/private/key", 100).value()) == "secret", "no file outside is written");
  fuzz::require(writable || disk->calls() == changes, "what is only read is not changed");
}

/// Answers from the row, whatever is asked.
class liar : public caller {
public:
  explicit liar(row_of_messages answers) : answers_(answers) {}
  result<answer> call(v1::ControlCall what, byte_view, bool) override {
    auto raw = answers_.next();
    answer out;
    if (!raw || !parse(out.header, *raw) || out.header.has_failure())
      return fail(errc::unavailable, "ask the client");
    // What is left of its text is the body; a longer one than asked for, too.
    auto body = as_view(out.header.text());
    (void) what;
    frame_memory copy{body.size()};
    std::ranges::copy(body, copy.span().begin());
    out.whole = frame{frame_type::answer, std::move(copy), 0};
    return out;
  }

private:
  row_of_messages answers_;
};

void read_tree(row_of_messages answers) {
  constexpr storage::chunk_limits limits{1024, 4096, 16384};
  auto key = crypto::key256::from(std::array<std::byte, 32>{});
  storage::tree_reader reader{files_of(std::make_shared<liar>(answers)),
                              buffer_pool::make(40'000, 2),
                              storage::chunker{key, limits},
                              {{"/in", "out", nullptr}},
                              {}};
  std::map<uint64_t, uint64_t> sizes;
  for (auto pieces = reader.next(); !pieces.empty(); pieces = reader.next())
    for (const auto& piece : pieces) {
      if (const auto* chunk = std::get_if<storage::source_chunk>(&piece.what))
        sizes[piece.item] += chunk->data.size();
      else if (const auto* hole = std::get_if<storage::source_hole>(&piece.what))
        sizes[piece.item] += hole->length;
      else if (const auto* end = std::get_if<storage::source_end>(&piece.what))
        fuzz::require(end->size == sizes[piece.item], "a file is as long as its pieces");
    }
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  row_of_messages rest{fuzz::view(data + 1, size - 1)};
  if (data[0] % 2 == 0)
    serve(rest, data[0] % 4 == 0);
  else
    read_tree(rest);
  return 0;
}
