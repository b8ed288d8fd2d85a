#include "storage/checkpoint_parts.hpp"

#include "storage/ask.hpp"
#include "storage/convert.hpp"
#include "storage/operation_batch.hpp"

namespace datamesh::storage {

namespace {

error not_there(const char* attempted) {
  return error{errc::not_found, attempted, "it is not whole"};
}

} // namespace

result<std::string> checkpoint_parts::read_copy(const found_checkpoint& from, const pack_id& pack, const operations_entry& entry) {
  auto record = context_.names->find_pack(pack);
  if (!record)
    return fail(record.error());
  if (!*record)
    return fail(errc::not_found, "read a part of a checkpoint", pack.brief());
  v1::ReadStretch request;
  *request.mutable_pack() = to_proto(**record);
  request.set_begin(entry.offset);
  request.set_end(entry.offset + entry.sealed_length);
  auto answer = ask_with<v1::StretchRead, bytes>(self_, reader_, until_answered, std::move(request));
  if (!answer)
    return fail(answer.error());
  auto sealed = answer->second.slice(entry.offset - answer->first.base(), entry.sealed_length);
  auto keys = context_.keys->get();
  auto opened = open_operations(keys->vault, from.space, entry, sealed, *keys, cipher_);
  if (!opened)
    return fail(opened.error());
  return std::move(opened->front());
}

result<std::string> checkpoint_parts::read(const found_checkpoint& from, uint64_t part) {
  auto copies = from.parts.find(part);
  auto reason = not_there("read a part of a checkpoint");
  if (copies == from.parts.end())
    return fail(reason);
  for (const auto& [pack, entry] : copies->second) {
    auto encoded = read_copy(from, pack, entry);
    if (encoded)
      return encoded;
    reason = encoded.error();
  }
  return fail(reason);
}

result<checkpoint_header> checkpoint_parts::header_of(const found_checkpoint& what) {
  auto reason = not_there("read what a checkpoint covers");
  compressor packer;
  for (const auto& [number, copies] : what.parts) {
    auto part = read(what, number).and_then([&](const std::string& encoded) { return decode_checkpoint_part(encoded, packer); });
    if (part)
      return std::move(part->header);
    reason = part.error();
  }
  return fail(reason);
}

result<good_checkpoint> checkpoint_parts::verify(const found_checkpoint& what) {
  checkpoint_reader reader;
  for (uint64_t part = 0; part < what.parts.size(); ++part) {
    if (auto reason = job_.ended())
      return fail(*reason);
    auto encoded = read(what, part);
    if (!encoded)
      return fail(encoded.error());
    if (auto good = reader.next(*encoded); !good)
      return fail(good.error());
  }
  if (!reader.whole())
    return fail(not_there("read a checkpoint"));
  return good_checkpoint{what.number, reader.header()};
}

result<checkpoint_parts::outcome> checkpoint_parts::verify_all(const std::vector<found_checkpoint>& all) {
  outcome sum;
  for (const auto& one : all) {
    auto good = verify(one);
    if (auto reason = job_.ended())
      return fail(*reason);
    if (good)
      sum.good.push_back(std::move(*good));
    else if (good.error().code() == errc::format_newer)
      sum.newer = true;
    else if (auto header = header_of(one))
      sum.broken.push_back({one.number, std::move(*header)});
    else
      sum.broken.push_back({one.number, std::nullopt});
  }
  return sum;
}

} // namespace datamesh::storage
