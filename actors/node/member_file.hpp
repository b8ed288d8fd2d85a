// Which list of members a node begins with: the one that its home keeps, or a newer one of the file that
// its settings name. docs/formats/members.md.
#pragma once

#include "datamesh/base/environment.hpp"
#include "datamesh/event.hpp"
#include "network/member_list.hpp"

#include <functional>

namespace datamesh {

using member_teller = std::function<void(severity, std::string, std::optional<errc>)>;

/// Null for an open mesh: nothing is kept and no file is named. Fails when what is kept can not be
/// used, or nothing is kept and the file can not be: nobody would know whom to let in.
[[nodiscard]] result<std::shared_ptr<network::membership>> begin_membership(const environment& env, const network_id& mesh,
                                                                            const std::string& kept_at, const std::string& file,
                                                                            const member_teller& tell);

[[nodiscard]] result<bytes> read_member_file(const environment& env, const std::string& path);

} // namespace datamesh
