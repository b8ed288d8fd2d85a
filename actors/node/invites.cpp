#include "network/invite.hpp"

#include "node/home.hpp"

namespace datamesh {

result<bytes> sign_invite(const invite& what, const std::string& home) {
  auto env = system_environment();
  // It is the node's to make one.
  auto path = join_path(home, "node.key");
  if (auto there = env.files->status(path); !there)
    return fail(there.error().within("make an invite"));
  auto seed = node_home{env, home}.node_seed();
  if (!seed)
    return fail(seed.error().within("make an invite"));
  return network::sign_invite(what, *seed);
}

} // namespace datamesh
