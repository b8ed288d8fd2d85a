#include "storage/operation.hpp"

#include "datamesh/v1/operation.pb.h"

#include <google/protobuf/io/coded_stream.h>

namespace datamesh::storage {

namespace {

constexpr uint64_t lamport_max = uint64_t{1} << 62;
constexpr uint64_t chunk_plain_max = 4 << 20;
constexpr uint64_t file_size_max = uint64_t{1} << 62;
constexpr size_t symlink_target_max = 4096;
constexpr size_t tag_value_max = 64 << 10;
constexpr size_t replaces_max = 4096;
constexpr size_t stamp_size_max = 128;

// -- encoding --------------------------------------------------------------------

template <class Id>
std::string raw(const Id& id) {
  return std::string{id.text()};
}

template <class List>
void encode_extents(const std::vector<extent>& from, List* to) {
  to->Reserve(static_cast<int>(from.size()));
  for (const auto& e : from) {
    auto* out = to->Add();
    if (e.chunk)
      out->set_chunk(raw(*e.chunk));
    out->set_length(e.length);
  }
}

struct body_encoder {
  v1::Operation& out;

  void operator()(const move_node& b) const {
    auto& m = *out.mutable_move_node();
    m.set_node(raw(b.node));
    m.set_parent(raw(b.parent));
    m.set_name(b.name);
    m.set_kind(static_cast<uint32_t>(b.kind));
  }
  void operator()(const add_extents& b) const {
    auto& m = *out.mutable_add_extents();
    m.set_version(raw(b.version));
    m.set_ordinal(b.ordinal);
    encode_extents(b.extents, m.mutable_extents());
  }
  void operator()(const put_version& b) const {
    auto& m = *out.mutable_put_version();
    m.set_node(raw(b.node));
    m.set_version(raw(b.version));
    for (const auto& v : b.replaces)
      m.add_replaces(raw(v));
    m.set_size(b.size);
    m.set_mode(b.mode);
    m.set_modified_ns(b.modified_ns);
    m.set_symlink_target(b.symlink_target);
    m.set_extent_count(b.extent_count);
    encode_extents(b.extents, m.mutable_extents());
  }
  void operator()(const drop_version& b) const {
    auto& m = *out.mutable_drop_version();
    m.set_node(raw(b.node));
    m.set_version(raw(b.version));
  }
  void operator()(const purge_node& b) const {
    out.mutable_purge_node()->set_node(raw(b.node));
  }
  void operator()(const set_tag& b) const {
    auto& m = *out.mutable_set_tag();
    m.set_node(raw(b.node));
    m.set_key(b.key);
    if (b.value)
      m.set_value(*b.value);
  }
  void operator()(const condemn_packs& b) const {
    auto& m = *out.mutable_condemn_packs();
    for (const auto& p : b.packs)
      m.add_packs(raw(p));
  }
};

// -- decoding ----------------------------------------------------------------------

/// Turns message fields into ids; remembers whether one had the wrong size.
class field_reader {
public:
  template <class Id>
  Id id(const std::string& field) {
    if (field.size() == Id::size)
      return Id::from(as_view(field));
    good_ = false;
    return {};
  }

  template <class List>
  std::vector<extent> extents(const List& list) {
    std::vector<extent> result;
    result.reserve(static_cast<size_t>(list.size()));
    for (const auto& e : list) {
      auto& x = result.emplace_back();
      if (!e.chunk().empty())
        x.chunk = id<chunk_id>(e.chunk());
      x.length = e.length();
    }
    return result;
  }

  template <class Id, class List>
  std::vector<Id> ids(const List& list) {
    std::vector<Id> result;
    result.reserve(static_cast<size_t>(list.size()));
    for (const auto& x : list)
      result.push_back(id<Id>(x));
    return result;
  }

  [[nodiscard]] bool good() const {
    return good_;
  }

private:
  bool good_ = true;
};

put_version decode_put(const v1::PutVersion& m, field_reader& read) {
  put_version b;
  b.node = read.id<node_id>(m.node());
  b.version = read.id<version_id>(m.version());
  b.replaces = read.ids<version_id>(m.replaces());
  b.size = m.size();
  b.mode = m.mode();
  b.modified_ns = m.modified_ns();
  b.symlink_target = m.symlink_target();
  b.extent_count = m.extent_count();
  b.extents = read.extents(m.extents());
  return b;
}

operation_body read_body(const v1::Operation& in, field_reader& read) {
  switch (in.body_case()) {
  case v1::Operation::kMoveNode: {
    const auto& m = in.move_node();
    auto kind = m.kind() <= 3 ? static_cast<node_kind>(m.kind()) : node_kind{};
    return move_node{read.id<node_id>(m.node()), read.id<node_id>(m.parent()), m.name(), kind};
  }
  case v1::Operation::kAddExtents: {
    const auto& m = in.add_extents();
    return add_extents{read.id<version_id>(m.version()), m.ordinal(), read.extents(m.extents())};
  }
  case v1::Operation::kPutVersion:
    return decode_put(in.put_version(), read);
  case v1::Operation::kDropVersion: {
    const auto& m = in.drop_version();
    return drop_version{read.id<node_id>(m.node()), read.id<version_id>(m.version())};
  }
  case v1::Operation::kPurgeNode:
    return purge_node{read.id<node_id>(in.purge_node().node())};
  case v1::Operation::kSetTag: {
    const auto& m = in.set_tag();
    return set_tag{read.id<node_id>(m.node()), m.key(), m.has_value() ? std::optional{m.value()} : std::nullopt};
  }
  case v1::Operation::kCondemnPacks:
    return condemn_packs{read.ids<pack_id>(in.condemn_packs().packs())};
  case v1::Operation::BODY_NOT_SET:
    break;
  }
  return purge_node{}; // Not reached: the caller has looked.
}

/// Of a message without a body: whether more is in it than we know of.
bool has_unknown_fields(v1::Operation m) {
  m.clear_lamport();
  m.clear_device();
  m.clear_sequence();
  m.clear_wall_ns();
  m.clear_previous();
  return m.ByteSizeLong() > 0;
}

bool parse(std::string_view encoded, v1::Operation& m) {
  google::protobuf::io::CodedInputStream in{reinterpret_cast<const uint8_t*>(encoded.data()), static_cast<int>(encoded.size())};
  in.SetRecursionLimit(16);
  return m.ParseFromCodedStream(&in) && in.ConsumedEntireMessage();
}

// -- validation --------------------------------------------------------------------

/// What is wrong with a body, or null.
struct body_checker {
  /// Adds up lengths; nothing when an extent is out of bounds.
  static std::optional<uint64_t> length_of(const std::vector<extent>& list) {
    uint64_t sum = 0;
    for (const auto& e : list) {
      if (e.length == 0 || e.length > (e.chunk ? chunk_plain_max : file_size_max))
        return std::nullopt;
      sum += e.length;
      if (sum > file_size_max)
        return std::nullopt;
    }
    return sum;
  }
  const char* operator()(const move_node& b) const {
    if (b.node == root_node() || b.node == trash_node())
      return "moves the root or the trash";
    if (b.kind != node_kind::file && b.kind != node_kind::folder && b.kind != node_kind::symlink)
      return "unknown node kind";
    return validate_name(b.name) ? nullptr : "invalid name";
  }
  const char* operator()(const add_extents& b) const {
    if (b.extents.empty() || b.extents.size() > extents_per_operation_max || b.ordinal > file_size_max)
      return "extent count out of bounds";
    return length_of(b.extents) ? nullptr : "extent length out of bounds";
  }
  const char* operator()(const put_version& b) const {
    if (b.node == trash_node() || b.replaces.size() > replaces_max || b.symlink_target.size() > symlink_target_max)
      return "field out of bounds";
    if (b.extents.size() > extents_per_operation_max || b.extents.size() > b.extent_count || b.extent_count > file_size_max)
      return "extent count out of bounds";
    auto sum = length_of(b.extents);
    if (!sum || b.size > file_size_max || *sum > b.size)
      return "extent length out of bounds";
    if (b.extent_count > 0 && b.extents.size() == b.extent_count && *sum != b.size)
      return "extents do not add up to the size";
    return nullptr;
  }
  const char* operator()(const drop_version&) const {
    return nullptr;
  }
  const char* operator()(const purge_node& b) const {
    return b.node == root_node() || b.node == trash_node() ? "purges the root or the trash" : nullptr;
  }
  const char* operator()(const set_tag& b) const {
    if (b.key.empty() || b.key.size() > name_size_max || b.key.find('\0') != std::string::npos)
      return "invalid tag key";
    return b.value && b.value->size() > tag_value_max ? "tag value too long" : nullptr;
  }
  const char* operator()(const condemn_packs& b) const {
    return b.packs.empty() || b.packs.size() > operation_size_max / (pack_id::size + 3) ? "pack count out of bounds" : nullptr;
  }
};

} // namespace

node_id root_node() noexcept {
  return {};
}

node_id trash_node() noexcept {
  node_id id;
  for (auto& b : id.span())
    b = std::byte{0xff};
  return id;
}

std::string encode_stamp(const operation& op) {
  v1::Operation m;
  m.set_lamport(op.at.lamport);
  m.set_device(raw(op.at.device));
  m.set_sequence(op.sequence);
  m.set_wall_ns(op.wall_ns);
  if (!op.previous.is_zero())
    m.set_previous(raw(op.previous));
  return m.SerializeAsString();
}

std::string encode_body(const operation_body& body) {
  v1::Operation m;
  std::visit(body_encoder{m}, body);
  return m.SerializeAsString();
}

std::string encode(const operation& op) {
  // Fields are written in the order of their numbers, and those of a body are higher.
  return encode_stamp(op) + encode_body(op.body);
}

result<operation_body> decode_body(std::string_view encoded) {
  v1::Operation m;
  if (encoded.size() + stamp_size_max > operation_size_max || !parse(encoded, m) || m.body_case() == v1::Operation::BODY_NOT_SET)
    return fail(errc::format_damaged, "decode operation", "not a well-formed body");
  field_reader read;
  auto body = read_body(m, read);
  if (!read.good())
    return fail(errc::format_damaged, "decode operation", "identifier of the wrong size");
  if (const char* wrong = std::visit(body_checker{}, body))
    return fail(errc::format_damaged, "decode operation", wrong);
  return body;
}

result<void> validate(const operation& op) {
  const char* wrong = std::visit(body_checker{}, op.body);
  if (!wrong && (op.sequence == 0 || op.sequence > lamport_max || op.at.lamport == 0 || op.at.lamport > lamport_max))
    wrong = "sequence or Lamport time out of bounds";
  if (wrong)
    return fail(errc::format_damaged, "check operation", wrong);
  return {};
}

result<operation> decode_operation(std::string_view encoded) {
  auto damaged = [](const char* why) {
    return fail(errc::format_damaged, "decode operation", why);
  };
  if (encoded.empty() || encoded.size() > operation_size_max)
    return damaged("size out of bounds");
  v1::Operation m;
  if (!parse(encoded, m))
    return damaged("not a well-formed message");
  if (m.body_case() == v1::Operation::BODY_NOT_SET)
    return fail(has_unknown_fields(m) ? errc::format_newer : errc::format_damaged, "decode operation", "no body that is known");
  field_reader read;
  operation op;
  op.at = {m.lamport(), read.id<device_id>(m.device())};
  op.sequence = m.sequence();
  op.wall_ns = m.wall_ns();
  if (!m.previous().empty()) {
    op.previous = read.id<digest>(m.previous());
    if (op.previous.is_zero())
      return damaged("explicit hash link of zeros");
  }
  op.body = read_body(m, read);
  if (!read.good())
    return damaged("identifier of the wrong size");
  if (auto good = validate(op); !good)
    return fail(good.error().within("decode operation"));
  // The hash links cover these very bytes, so only one encoding of an operation
  // is accepted. What we would drop was written by a newer version.
  if (auto canonical = encode(op); canonical != encoded)
    return fail(canonical.size() < m.ByteSizeLong() ? errc::format_newer : errc::format_damaged, "decode operation",
                "not the canonical encoding");
  return op;
}

result<void> validate_name(std::string_view name) {
  auto refused = [](const char* why) {
    return fail(errc::name_invalid, "check name", why);
  };
  if (name.empty())
    return refused("it is empty");
  if (name.size() > name_size_max)
    return refused("it has more than 255 bytes");
  if (name == "." || name == "..")
    return refused("\".\" and \"..\" are no names");
  if (name.find('\0') != std::string_view::npos || name.find('/') != std::string_view::npos)
    return refused("it holds a slash or a NUL");
  return {};
}

} // namespace datamesh::storage
