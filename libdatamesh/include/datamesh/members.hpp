// A closed mesh: the list of its members, which its operators sign. Operators are people with a key
// each; so many of them as the list says have to sign. Nodes let in only who is on the newest list
// that they have seen. docs/formats/members.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/base/random_source.hpp"
#include "datamesh/base/result.hpp"
#include "datamesh/mesh.hpp"

#include <memory>

namespace datamesh {

/// An operator's Ed25519 public key.
using operator_id = id<struct operator_tag, 32>;

inline constexpr size_t members_max = 4096;
inline constexpr size_t operators_max = 16;
inline constexpr size_t member_signatures_max = 32;
/// Bytes of a label, UTF-8 without control characters.
inline constexpr size_t member_label_max = 64;
/// Bytes of the longest list.
inline constexpr size_t member_list_size_max = 512 << 10;

struct listed_node {
  peer_id id;
  std::string label{}; ///< For people; may be empty.

  friend bool operator==(const listed_node&, const listed_node&) = default;
};

struct member_list {
  network_id network;
  uint64_t number = 1;                ///< Grows with each list of the mesh; never 0.
  int64_t made_s = 0;                 ///< Seconds since 1970, for people.
  std::optional<int64_t> expires_s{}; ///< Nobody is let in by it from then on.
  uint32_t threshold = 1;             ///< How many of the operators have to sign.
  std::vector<operator_id> operators; ///< In the order of keys, none twice.
  std::vector<listed_node> members;   ///< In the order of ids, none twice.

  [[nodiscard]] DATAMESH_EXPORT const listed_node* find(const peer_id& who) const noexcept;
  friend bool operator==(const member_list&, const member_list&) = default;
};

/// A list with its signatures, each of which holds.
struct signed_members {
  member_list list;
  std::vector<operator_id> signers; ///< In the order of keys; may hold some that are no operators of this list.
  bytes raw;                        ///< As it is kept and sent.

  /// Of the operators of *of*, so many have signed this as *of* wants.
  [[nodiscard]] DATAMESH_EXPORT bool satisfies(const member_list& of) const noexcept;
  /// Enough of its own operators have signed it.
  [[nodiscard]] bool is_whole() const noexcept {
    return satisfies(list);
  }
};

/// The id of the mesh that *text* names, as `mesh_options::network` does. `invalid_argument` tells what
/// would be right.
[[nodiscard]] DATAMESH_EXPORT result<network_id> mesh_id_of(std::string_view text);

/// Reads a list and checks each signature: `format_alien`, `format_newer`, `format_damaged`;
/// `authentication_failed` when a signature does not hold. Whether those who signed may is for the
/// caller to see.
[[nodiscard]] DATAMESH_EXPORT result<signed_members> read_members(byte_view raw);

/// The secret key of an operator.
class DATAMESH_EXPORT operator_key {
public:
  [[nodiscard]] static result<operator_key> make(random_source& random);
  /// From what `seal` made. `wrong_password`; `format_alien`, `format_newer`, `key_file_damaged`.
  [[nodiscard]] static result<operator_key> open(byte_view sealed, std::string_view password);
  /// Whose key it is, without the password; against accidents only.
  [[nodiscard]] static result<operator_id> inspect(byte_view sealed);
  operator_key(operator_key&&) noexcept;
  operator_key& operator=(operator_key&&) noexcept;
  ~operator_key();

  [[nodiscard]] const operator_id& id() const noexcept;
  /// The file of it. `invalid_argument` for a password that is empty or has more than 1,024 bytes.
  [[nodiscard]] result<bytes> seal(std::string_view password, random_source& random) const;
  /// The list, signed by this one. `invalid_argument` when the list breaks a rule.
  [[nodiscard]] result<signed_members> sign(const member_list& list) const;
  /// The same list with the signature of this one, too; as it is when it has that already.
  /// `capacity_exceeded` beyond `member_signatures_max`.
  [[nodiscard]] result<signed_members> sign(const signed_members& list) const;

private:
  struct impl;
  explicit operator_key(std::unique_ptr<impl> with);
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh
