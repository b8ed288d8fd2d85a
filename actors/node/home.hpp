// The node's folder: which drives there are, the secret of this device, and below
// `vaults/` a folder a vault with its key file, its catalog and what is remembered
// of its care. Layout: docs/formats/home.md.
#pragma once

#include "crypto/secret.hpp"
#include "datamesh/base/environment.hpp"
#include "datamesh/mesh.hpp"
#include "network/capacity.hpp"
#include "network/grants.hpp"
#include "storage/drive_label_file.hpp"
#include "storage/placement_rule.hpp"

#include <optional>
#include <string>
#include <vector>

namespace datamesh {

struct known_drive {
  drive_id id;
  std::string folder;
  /// How often it had changed hands when this node took it over.
  uint64_t term = 0;
};

/// When a vault was last looked at, in nanoseconds since the epoch, and what was found.
struct care_times {
  uint64_t files_lost = 0;    ///< By the last look at all of it that ended.
  uint64_t packs_unread = 0;  ///< On the drives, and not taken into the catalog, when that was last tried.
  uint64_t drives_unseen = 0; ///< Away at that time, so that packs may be there of which nothing is known.
  /// On the drives with too few shards on all of them, and nobody knows whether more are elsewhere.
  uint64_t packs_incomplete = 0;
  std::optional<int64_t> quick_verify_ns;
  std::optional<int64_t> deep_verify_ns;

  /// Something may be on drives that the catalog does not know.
  [[nodiscard]] bool knows_of_unread() const noexcept {
    return packs_unread > 0 || drives_unseen > 0 || packs_incomplete > 0;
  }
};

class node_home {
public:
  node_home(environment env, std::string folder) : env_(std::move(env)), folder_(std::move(folder)) {}

  [[nodiscard]] const std::string& folder() const noexcept {
    return folder_;
  }
  [[nodiscard]] bool exists() const;
  /// Makes an empty node. `vault_exists` when there is one.
  [[nodiscard]] result<void> create();
  /// Takes the lock that keeps a second process out. Null where the home is read-only and
  /// can not be locked: then this object does not write there, though it become writable.
  [[nodiscard]] result<std::unique_ptr<file_lock>> lock();

  [[nodiscard]] result<std::vector<known_drive>> drives() const;
  [[nodiscard]] result<void> set_drives(const std::vector<known_drive>& drives);

  /// Where drives are; none where there is no such file.
  [[nodiscard]] result<storage::label_table> labels() const;
  /// Durable when it succeeds. Writes nothing where that is what the file says.
  [[nodiscard]] result<void> set_labels(const storage::label_table& labels);
  /// Where data may lie; an empty rule where there is no such file.
  [[nodiscard]] result<placement_rule> rule() const;
  /// Durable when it succeeds.
  [[nodiscard]] result<void> set_rule(const placement_rule& rule);

  /// The X25519 secret of this installation; made when first asked for.
  [[nodiscard]] result<crypto::key256> device_secret();
  /// Names this installation to its drives; derived from the secret's public key.
  [[nodiscard]] result<device_id> device();
  /// Names the catalog's folder as it lies on this disk: a copy of it or of the home has another
  /// name. Of a folder that is not there, the home's part.
  [[nodiscard]] std::string place_of_catalog(const std::string& name) const;

  /// The Ed25519 seed by which other nodes know this one; made when first asked for.
  /// `key_file_damaged` where the file is not what was written.
  [[nodiscard]] result<crypto::key256> node_seed();
  /// Where the newest list of members of that mesh is kept; there is none in an open one.
  [[nodiscard]] std::string members_file(const network_id& mesh) const;
  /// Where the known nodes of the mesh with that id are kept; empty where nothing can be.
  [[nodiscard]] std::string known_nodes_file(const network_id& mesh) const;
  /// The index of what lies on another node.
  [[nodiscard]] std::string peer_index_folder(const peer_id& peer) const;

  /// The room that owners on other nodes have here; none where there is no such file.
  [[nodiscard]] result<network::grants> grants() const;
  /// Durable when it succeeds. As `network::write_grants`, and `read_only`.
  [[nodiscard]] result<void> set_grants(const network::grants& what);
  /// Bytes that are set aside for all of them; 0 where there is no such file.
  [[nodiscard]] result<uint64_t> capacity() const;
  [[nodiscard]] result<void> set_capacity(uint64_t bytes);
  /// `open` where there is no such file; `format_damaged` where it says something else.
  [[nodiscard]] result<hosting> hosts() const;
  /// Durable when it succeeds. `read_only`.
  [[nodiscard]] result<void> set_hosts(hosting how);
  /// No limits where there is no such file.
  [[nodiscard]] result<rate_plan> rates() const;
  [[nodiscard]] result<void> set_rates(const rate_plan& plan);

  /// `name_invalid` unless 1..64 letters, digits, '.', '_' or '-', and not a dot first.
  [[nodiscard]] static result<void> check_vault_name(const std::string& name);
  [[nodiscard]] result<std::vector<std::string>> vault_names() const;
  [[nodiscard]] std::string vault_folder(const std::string& name) const;
  [[nodiscard]] std::string catalog_folder(const std::string& name) const;
  [[nodiscard]] result<bytes> key_file(const std::string& name) const;
  [[nodiscard]] result<void> set_key_file(const std::string& name, byte_view encoded);
  [[nodiscard]] care_times care(const std::string& name) const;
  [[nodiscard]] result<void> set_care(const std::string& name, const care_times& times);
  /// Removes the vault, key first; may be called again after an interruption. Lists of
  /// its shards (see node/removal.hpp) move to the folder of lists.
  [[nodiscard]] result<void> remove_vault(const std::string& name);
  /// True while a removal that began has not ended: the key is gone, the folder is not.
  [[nodiscard]] result<bool> is_half_removed(const std::string& name) const;

  /// Writes list number *number* of what a vault that is to be removed has on the drives.
  /// It counts only once the key is gone.
  [[nodiscard]] result<void> set_removal_list(const std::string& name, uint32_t number, byte_view text);
  /// Removes lists that a removal left which did not come to the key.
  [[nodiscard]] result<void> drop_removal_lists(const std::string& name);
  /// A list that is worked off, by its path.
  [[nodiscard]] result<void> drop_removal_list(const std::string& path);
  /// Paths of the lists of removed vaults, those of *name* or of all.
  [[nodiscard]] result<std::vector<std::string>> removal_lists(const std::optional<std::string>& name) const;

  /// Notes durably that the catalog is being made again, and that it is whole. In
  /// between, what lies in the catalog's folder is not to be believed.
  [[nodiscard]] result<void> begin_rebuild(const std::string& name);
  [[nodiscard]] result<void> end_rebuild(const std::string& name);
  [[nodiscard]] result<bool> is_rebuilding(const std::string& name) const;

private:
  [[nodiscard]] result<void> check_writable(const std::string& path) const;
  [[nodiscard]] result<void> write(const std::string& path, byte_view content, uint32_t mode = 0600) const;
  [[nodiscard]] std::string drives_file() const;
  [[nodiscard]] std::string grants_file() const;
  [[nodiscard]] std::string hosting_file() const;
  [[nodiscard]] std::string rates_file() const;
  [[nodiscard]] std::string labels_file() const;
  [[nodiscard]] std::string rule_file() const;
  [[nodiscard]] std::string capacity_file() const;
  [[nodiscard]] std::string removed_folder() const;
  [[nodiscard]] result<void> keep_removal_list(const std::string& name, const std::string& path);
  [[nodiscard]] std::string rebuild_file(const std::string& name) const;

  environment env_;
  std::string folder_;
  bool read_only_ = false;
};

} // namespace datamesh
