#include "six_nodes.hpp"

#include "datamesh/node.hpp"
#include "stages.hpp"

#include <fmt/core.h>

#include <filesystem>

namespace datamesh::reference {

namespace {

constexpr int others = 6;
constexpr uint64_t room = uint64_t{1} << 40;

result<std::unique_ptr<node>> open_member(const std::string& home, std::vector<std::string> seeds) {
  node_options options;
  options.home = home;
  options.mesh = {"a mesh of six nodes that is measured", {"127.0.0.1:0"}, {}, std::move(seeds), true};
  return node::create(options);
}

/// A vault of a node without drives, at home in six others.
struct street {
  std::unique_ptr<node> own;
  std::vector<std::unique_ptr<node>> peers;
  std::optional<vault> store;
};

result<void> lend(street& to, const vault_id& owner, const std::string& folder, const std::string& seed, int number) {
  auto peer = open_member(fmt::format("{}/home{}", folder, number), {seed});
  if (!peer)
    return fail(peer.error());
  if (auto added = (*peer)->add_drive(fmt::format("{}/d{}", folder, number)); !added)
    return fail(added.error());
  auto told = (*peer)->mesh();
  if (!told || !*told)
    return fail(told ? error{errc::unavailable, "join a mesh"} : told.error());
  auto added = (*peer)->allow(owner, room).and_then([&] { return to.own->add_drive("node:" + (*told)->self.hex()); });
  to.peers.push_back(std::move(*peer));
  return added ? result<void>{} : fail(added.error());
}

result<street> make_street(const std::string& folder) {
  street made;
  auto own = open_member(folder + "/home", {});
  if (!own)
    return fail(own.error());
  made.own = std::move(*own);
  new_vault fresh;
  fresh.trust_this_device = true;
  if (auto created = made.own->create_vault(fresh); !created)
    return fail(created.error());
  auto opened = made.own->open_vault("main", credential::this_device());
  auto told = opened ? made.own->mesh() : fail(opened.error());
  if (!told || !*told)
    return fail(told ? error{errc::unavailable, "join a mesh"} : told.error());
  for (int number = 0; number < others; ++number)
    if (auto lent = lend(made, opened->id(), folder, (*told)->listens.at(0), number); !lent)
      return fail(lent.error());
  made.store.emplace(std::move(*opened));
  return made;
}

template <class Call>
result<double> timed(Call call) {
  auto begin = wall_now();
  auto done = call();
  if (!done)
    return fail(done.error());
  if (done->failure_count != 0)
    return fail(errc::internal, "measure a mesh of six nodes");
  return wall_now() - begin;
}

} // namespace

result<std::pair<double, double>> store_and_fetch_by_nodes(const std::string& folder, const std::string& source) {
  auto mesh = make_street(folder);
  if (!mesh)
    return fail(mesh.error());
  put_request put;
  put.sources.push_back({source, "/file"});
  put.policy = "4+2";
  auto stored = timed([&] { return mesh->store->put(put); });
  if (!stored)
    return fail(stored.error());
  get_request get;
  get.paths = {"/file"};
  get.target_folder = folder;
  auto fetched = timed([&] { return mesh->store->get(get); });
  if (!fetched)
    return fail(fetched.error());
  return std::pair{*stored, *fetched};
}

} // namespace datamesh::reference
