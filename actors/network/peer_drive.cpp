#include "network/peer_drive.hpp"

#include "crypto/hash.hpp"
#include "network/audit_book.hpp"
#include "network/peer_watch.hpp"
#include "network/remote_shard.hpp"
#include "storage/ask.hpp"
#include "storage/shard_index.hpp"

#include <set>

namespace datamesh::network {

namespace {

using namespace storage;
using std::chrono::seconds;

constexpr std::string_view folder_prefix = "node:";
/// What our own actors may take beyond what they were told.
constexpr auto grace = seconds{10};
/// A shard is sent in thirty requests or more, four at a time.
constexpr auto stored_in = 20 * peer_answers_in;
/// Bytes that a node is taken to have room for until it says so, which it is asked when a vault is
/// opened. One that has none refuses the shard.
constexpr uint64_t room_to_try = 1 << 30;
/// A node that leaves so many requests in a row without an answer, though it has a link, counts as one that is away,
/// for so long: else every shard that lies there is waited for.
constexpr uint32_t silent_at_most = 5;
constexpr auto silent_for = std::chrono::minutes{10};

class peer_drive final : public shard_place {
public:
  peer_drive(caf::actor_system& sys, const environment& env, peer_drive_options options, std::unique_ptr<shard_index> index)
      : sys_(sys), time_(env.clock), peer_(options.peer), folder_(peer_folder(options.peer)), access_(std::move(options.access)),
        index_(std::move(index)), audits_(env, options.index_folder + ".audits"), standing_(std::make_shared<peer_standing>()),
        watch_(spawn_peer_watch(sys, env.clock, access_, peer_, standing_)) {
    access_->watch(peer_, standing_);
  }
  ~peer_drive() override {
    caf::anon_send_exit(watch_, caf::exit_reason::user_shutdown);
  }

  [[nodiscard]] const drive_id& id() const noexcept override {
    return index_->drive();
  }
  [[nodiscard]] const std::string& folder() const noexcept override {
    return folder_;
  }
  [[nodiscard]] drive_state state() const noexcept override {
    return audits_.lies() ? drive_state::failed : index_->state();
  }
  [[nodiscard]] double trust() const override {
    return audits_.score();
  }
  [[nodiscard]] std::optional<audit_report> audits() const override {
    return audits_.report();
  }

  [[nodiscard]] result<void> store(std::span<const shard_write> writes) override {
    shard_index::batch rows;
    for (const auto& write : writes)
      if (auto stored = store_one(write, rows); !stored)
        return stored;
    std::lock_guard guard{index_mutex_};
    return index_->write(std::move(rows), durability::synced);
  }

  [[nodiscard]] result<void> remove(std::span<const shard_key> keys, const vault_id& vault) override {
    // A deletion is for all of a pack's shards; there is never more than one here.
    for (const auto& key : keys) {
      auto known = find_ticket(key);
      if (!known && known.error().code() == errc::shard_missing)
        continue;
      if (!known)
        return fail(known.error());
      if (!vault.is_zero() && known->by.owner != vault)
        continue;
      if (auto removed = remove_one(*known); !removed)
        return removed;
    }
    return {};
  }

  [[nodiscard]] result<void> set_state(drive_state next) override {
    if (audits_.lies())
      return fail(errc::peer_lies, "change drive", folder_);
    std::lock_guard guard{index_mutex_};
    return index_->write_state(next);
  }
  [[nodiscard]] result<uint64_t> sweep(int64_t) override {
    return 0; // The node removes what runs out.
  }

  [[nodiscard]] result<uint64_t> relist(const vault_id& vault) override {
    std::set<shard_key> there;
    uint64_t changed = 0;
    for (std::string after;;) {
      auto page = list_there(vault, after);
      if (!page)
        return fail(page.error().within("list a vault's shards on a node", folder_));
      shard_index::batch rows;
      for (const auto& raw : page->ticket())
        if (auto taken = take_in(as_view(raw), there, rows))
          changed += *taken ? 1 : 0;
        else
          return fail(taken.error());
      std::lock_guard guard{index_mutex_};
      if (auto written = rows.empty() ? result<void>{} : index_->write(std::move(rows), durability::synced); !written)
        return fail(written.error());
      if (!page->more() || page->ticket().empty())
        break;
      after = *page->ticket().rbegin();
    }
    return forget_others(vault, there).map([&](uint64_t gone) { return changed + gone; });
  }

  [[nodiscard]] result<shard_header> read_header(const shard_key& key) const override {
    auto known = find_ticket(key);
    if (!known)
      return fail(known.error());
    auto answer = read(known->by, {}, 0, 0);
    if (!answer)
      return fail(answer.error());
    return parse_shard_header(as_view(answer->first.header()));
  }

  [[nodiscard]] result<void> read_checked(const shard_header& header, uint32_t first_block, byte_span out, work_kind work) const override {
    auto known = find_ticket({header.pack.id, header.index});
    if (!known)
      return fail(known.error());
    auto encoded = encode_shard_header(header, false);
    while (!out.empty()) {
      auto length = std::min(out.size(), blocks_bytes_max);
      auto count = static_cast<uint32_t>((length + block_size - 1) / block_size);
      auto answer = read(known->by, encoded, first_block, count, work);
      if (!answer)
        return fail(answer.error());
      auto from = answer->second.view().first(length);
      std::copy(from.begin(), from.end(), out.begin());
      out = out.subspan(length);
      first_block += count;
    }
    return {};
  }

  [[nodiscard]] result<std::optional<shard_record>> find(const shard_key& key) const override {
    return index_->find(key);
  }

  [[nodiscard]] result<void> check_quick(const shard_key& key) const override {
    auto known = find_ticket(key);
    if (!known)
      return fail(known.error());
    auto is_due = known->by.expiry - time_->wall() < ticket_life / 2;
    auto chosen = audits_.is_due(key, index_->totals().shard_count);
    if (!chosen)
      return fail(chosen.error());
    if (*chosen)
      if (auto proved = audit(known->by); !proved || !is_due)
        return proved;
    auto header = read_header(key);
    if (!header)
      return fail(header.error());
    return is_due ? renew(*known, *header) : result<void>{};
  }

  [[nodiscard]] result<void> check_deep(const shard_key& key) const override {
    if (auto quick = check_quick(key); !quick)
      return quick;
    auto header = read_header(key);
    if (!header)
      return fail(header.error());
    std::vector<std::byte> blocks(blocks_bytes_max);
    auto length = header->pack.shape.shard_length;
    for (uint32_t at = 0; at < length; at += blocks_bytes_max) {
      auto part = byte_span{blocks}.first(std::min<size_t>(blocks.size(), length - at));
      if (auto good = read_checked(*header, at / block_size, part, work_kind::scrub); !good)
        return good;
    }
    return {};
  }

  [[nodiscard]] result<std::vector<shard_record>> list(const std::optional<shard_key>& after, size_t limit) const override {
    return index_->list(after, limit);
  }

  [[nodiscard]] result<drive_usage> usage() const override {
    auto totals = index_->totals();
    drive_usage usage;
    usage.shard_count = totals.shard_count;
    usage.shard_bytes = totals.shard_bytes;
    usage.disk.total = standing_->granted;
    if (!is_in_place())
      usage.disk.available = 0;
    else if (!standing_->told)
      usage.disk.available = room_to_try;
    else
      usage.disk.available = usage.disk.total - std::min<uint64_t>(usage.disk.total, standing_->used);
    usage.read_only = !index_->writable();
    return usage;
  }

  [[nodiscard]] uint64_t term() const noexcept override {
    return 0;
  }
  [[nodiscard]] result<void> claim() override {
    return {};
  }
  [[nodiscard]] uint64_t shards_changed(const vault_id& vault) const override {
    return index_->changes_of(vault);
  }
  [[nodiscard]] bool is_in_place() const override {
    return access_->is_linked(peer_) && time_->monotonic().time_since_epoch().count() >= silent_until_;
  }
  [[nodiscard]] result<void> flush() override {
    std::lock_guard guard{index_mutex_};
    return index_->flush();
  }

private:
  struct known_shard {
    shard_record record;
    ticket by;
  };

  [[nodiscard]] result<known_shard> find_ticket(const shard_key& key) const {
    constexpr auto attempted = "find a shard on another node";
    auto record = index_->find(key);
    if (!record)
      return fail(record.error());
    if (!*record)
      return fail(errc::shard_missing, attempted, key.pack.brief());
    auto raw = index_->content(key);
    if (!raw)
      return fail(raw.error());
    auto by = *raw ? read_ticket(as_view(**raw)) : fail(errc::store_corrupt, attempted, folder_);
    if (!by)
      return fail(by.error().as(errc::store_corrupt, attempted, folder_));
    return known_shard{**record, std::move(*by)};
  }

  /// Who does not answer is a drive that is away.
  [[nodiscard]] error as_of_a_drive(const error& what, const char* attempted) const {
    auto silent = what.code() == errc::unavailable || what.code() == errc::timed_out;
    return silent ? what.as(errc::drive_missing, attempted, folder_) : what.within(attempted, folder_);
  }

  /// Asks through our own actors, and notes whether the node is heard.
  template <class... Answer, class Request, class... Beside>
  [[nodiscard]] auto ask_node(const peer_access::way& through, std::chrono::nanoseconds within, Request request, Beside... beside) const {
    request.set_peer(std::string{peer_.text()});
    request.set_timeout_ms(static_cast<uint32_t>(std::chrono::milliseconds{peer_answers_in}.count()));
    caf::scoped_actor self{sys_};
    auto answer = [&] {
      if constexpr (sizeof...(Answer) == 1)
        return storage::ask<Answer...>(self.ptr(), through.shards, within, std::move(request), std::move(beside)...);
      else
        return ask_with<Answer...>(self.ptr(), through.shards, within, std::move(request), std::move(beside)...);
    }();
    if (answer || answer.error().code() != errc::timed_out)
      silent_ = 0;
    else if (++silent_ >= silent_at_most) {
      silent_until_ = (time_->monotonic() + silent_for).time_since_epoch().count();
      silent_ = 0;
    }
    return answer;
  }

  // -- audits ----------------------------------------------------------------------------------------

  [[nodiscard]] result<bytes> challenge_node(const ticket& by, uint32_t block) const {
    auto through = way();
    if (!through)
      return fail(through.error());
    v1::ProveAtPeer request;
    request.set_ticket(std::string{as_text(by.raw)});
    request.set_block(block);
    return ask_node<v1::Done, bytes>(*through, peer_answers_in + grace, std::move(request)).map([](auto&& shown) {
      return std::move(shown.second);
    });
  }

  /// Has the node prove a block of the shard. `shard_missing`, `shard_damaged` where it can not.
  [[nodiscard]] result<void> audit(const ticket& by) const {
    constexpr auto attempted = "have a node prove a shard";
    auto blocks = (by.size + block_size - 1) / block_size;
    for (;;) {
      auto what = audits_.next(by.shard, blocks);
      if (!what)
        return fail(what.error());
      auto shown = challenge_node(by, what->block);
      auto code = shown ? errc{} : shown.error().code();
      if (shown) {
        audits_.note(*what, audit_outcome::passed);
        return {};
      }
      if (code == errc::shard_missing || code == errc::shard_damaged) {
        audits_.note(*what, audit_outcome::lost);
        return fail(shown.error().within(attempted, folder_));
      }
      if (code == errc::timed_out && audits_.note(*what, audit_outcome::unanswered) == audit_outcome::lost)
        return fail(shown.error().as(errc::shard_missing, attempted, folder_));
      if (code != errc::peer_lies)
        return fail(as_of_a_drive(shown.error(), attempted));
      // Once may be a fault of its memory; it is asked the same again.
      auto known = audits_.lies();
      audits_.note(*what, audit_outcome::wrong);
      if (known || audits_.lies())
        return fail(shown.error().as(errc::shard_damaged, attempted, folder_));
    }
  }

  /// What was not what it should be, of a shard that was read or stored.
  void note_lie(const error& what, const shard_key& shard, uint32_t block = 0) const {
    if (what.code() == errc::peer_lies)
      audits_.note({shard, block}, audit_outcome::wrong);
  }

  [[nodiscard]] result<peer_access::way> way() const {
    auto now = access_->now();
    if (!now)
      return fail(errc::drive_missing, "ask a node while this one is in no mesh", folder_);
    return std::move(*now);
  }

  /// Above all before: of two tickets for one shard the later counts.
  [[nodiscard]] uint64_t next_number(uint64_t before = 0) const {
    auto now = std::chrono::duration_cast<std::chrono::milliseconds>(time_->wall().time_since_epoch()).count();
    return std::max<uint64_t>(static_cast<uint64_t>(std::max<int64_t>(now, 1)), before + 1);
  }

  [[nodiscard]] result<ticket> sign_ticket(const peer_access::way& through, const vault_id& owner, const shard_key& key, uint32_t size,
                                           uint64_t before) const {
    auto signer = access_->signer_of(owner);
    if (!signer)
      return fail(signer.error());
    ticket by;
    by.owner = owner;
    by.shard = key;
    by.size = size;
    by.number = next_number(before);
    by.expiry = std::chrono::floor<seconds>(time_->wall()) + ticket_life;
    return sign(through.mesh, std::move(by), *signer);
  }

  [[nodiscard]] result<void> send(const peer_access::way& through, const ticket& by, const shard_header& header, bytes body,
                                  work_kind work) const {
    v1::StoreAtPeer request;
    request.set_ticket(std::string{as_text(by.raw)});
    request.set_header(std::string{as_text(encode_shard_header(header, false))});
    request.set_work(static_cast<uint32_t>(work));
    auto stored = ask_node<v1::StoredAtPeer>(through, stored_in, std::move(request), std::move(body));
    if (stored)
      return {};
    note_lie(stored.error(), by.shard);
    return fail(as_of_a_drive(stored.error(), "store a shard"));
  }

  [[nodiscard]] result<void> store_one(const shard_write& write, shard_index::batch& rows) {
    shard_key key{write.header.pack.id, write.header.index};
    auto through = way();
    if (!through)
      return fail(through.error());
    auto there = find_ticket(key);
    if (!there && there.error().code() != errc::shard_missing)
      return fail(there.error());
    if (auto alone = check_alone(key); !alone)
      return alone;
    auto by = sign_ticket(*through, write.vault, key, write.header.pack.shape.shard_length, there ? there->by.number : 0);
    if (!by)
      return fail(by.error());
    if (auto sent = send(*through, *by, write.header, write.body, write.work); !sent)
      return sent;
    shard_record record{key, write.header.pack.shape, time_->wall().time_since_epoch().count(), true};
    rows.put(record, there.has_value(), as_text(by->raw));
    if (!there) {
      rows.count_change(write.vault);
      standing_->used += stored_length(record.shape);
    }
    return {};
  }

  /// A deletion takes all of a pack's shards, so one node gets no second one.
  [[nodiscard]] result<void> check_alone(const shard_key& key) const {
    std::optional<shard_key> after;
    if (key.index > 0 || !key.pack.is_zero())
      after = before(key.pack);
    auto rows = index_->list(after, 2);
    if (!rows)
      return fail(rows.error());
    for (const auto& row : *rows)
      if (row.key.pack == key.pack && row.key.index != key.index)
        return fail(errc::conflict, "store a second shard of a pack on one node", folder_);
    return {};
  }

  /// What stands before the first shard of a pack.
  [[nodiscard]] static std::optional<shard_key> before(const pack_id& pack) {
    auto raw = std::string{pack.text()};
    for (auto at = raw.size(); at-- > 0;) {
      auto digit = static_cast<uint8_t>(raw[at]);
      raw[at] = static_cast<char>(digit - 1);
      if (digit > 0)
        return shard_key{pack_id::from(as_view(raw)), UINT8_MAX};
    }
    return std::nullopt;
  }

  [[nodiscard]] result<void> remove_one(const known_shard& known) {
    auto through = way();
    if (!through)
      return fail(through.error());
    auto signer = access_->signer_of(known.by.owner);
    if (!signer)
      return fail(signer.error());
    deletion what;
    what.owner = known.by.owner;
    what.pack = known.by.shard.pack;
    what.number = next_number(known.by.number);
    what.made = std::chrono::floor<seconds>(time_->wall());
    auto word = sign(through->mesh, std::move(what), *signer);
    if (!word)
      return fail(word.error());
    v1::DeleteAtPeer request;
    request.set_deletion(std::string{as_text(word->raw)});
    auto deleted = ask_node<v1::DeletedAtPeer>(*through, peer_answers_in + grace, std::move(request));
    if (!deleted)
      return fail(as_of_a_drive(deleted.error(), "remove a shard"));
    shard_index::batch rows;
    rows.erase(known.record, false);
    rows.count_change(known.by.owner);
    auto freed = stored_length(known.record.shape);
    standing_->used -= std::min<uint64_t>(standing_->used, freed);
    std::lock_guard guard{index_mutex_};
    return index_->write(std::move(rows), durability::synced);
  }

  [[nodiscard]] result<std::pair<v1::ReadFromPeer, bytes>> read(const ticket& by, const bytes& header, uint32_t first, uint32_t count,
                                                                work_kind work = work_kind::client) const {
    auto through = way();
    if (!through)
      return fail(through.error());
    v1::ReadAtPeer request;
    request.set_ticket(std::string{as_text(by.raw)});
    request.set_header(std::string{as_text(header)});
    request.set_first(first);
    request.set_count(count);
    request.set_work(static_cast<uint32_t>(work));
    auto answer = ask_node<v1::ReadFromPeer, bytes>(*through, 2 * peer_answers_in + grace, std::move(request));
    if (answer)
      return answer;
    note_lie(answer.error(), by.shard, first);
    return fail(as_of_a_drive(answer.error(), "read a shard"));
  }

  [[nodiscard]] result<v1::ListedAtPeer> list_there(const vault_id& vault, const std::string& after) const {
    auto through = way();
    if (!through)
      return fail(through.error());
    auto signer = access_->signer_of(vault);
    if (!signer)
      return fail(signer.error());
    auto allowed = sign_permit(*through, vault, *signer, peer_, time_->wall());
    if (!allowed)
      return fail(allowed.error());
    v1::ListAtPeer request;
    request.set_permit(std::string{as_text(allowed->raw)});
    request.set_after(after);
    request.set_limit(listed_at_once);
    return ask_node<v1::ListedAtPeer>(*through, peer_answers_in + grace, std::move(request));
  }

  /// A shard that is there by this ticket: true where that is news. What of it can not be read counts
  /// as missing.
  [[nodiscard]] result<bool> take_in(byte_view raw, std::set<shard_key>& there, shard_index::batch& rows) const {
    auto by = read_ticket(raw);
    if (!by)
      return fail(by.error());
    auto known = find_ticket(by->shard);
    if (known && known->by.owner == by->owner && known->by.number >= by->number) {
      there.insert(by->shard);
      return false;
    }
    auto answer = read(*by, {}, 0, 0);
    auto header = answer.and_then([](const auto& found) { return parse_shard_header(as_view(found.first.header())); });
    if (!header) {
      auto code = header.error().code();
      return code == errc::shard_damaged || code == errc::shard_missing ? result<bool>{false} : fail(header.error());
    }
    there.insert(by->shard);
    rows.put({by->shard, header->pack.shape, time_->wall().time_since_epoch().count(), true}, known.has_value(), as_text(by->raw));
    return !known.has_value();
  }

  /// Rows of a vault's shards that are not there any more.
  [[nodiscard]] result<uint64_t> forget_others(const vault_id& vault, const std::set<shard_key>& there) {
    constexpr size_t rows_at_once = 1024;
    std::optional<shard_key> after;
    uint64_t forgotten = 0;
    for (;;) {
      auto page = index_->list(after, rows_at_once);
      if (!page)
        return fail(page.error());
      shard_index::batch gone;
      for (const auto& row : *page)
        if (there.count(row.key) == 0)
          if (auto known = find_ticket(row.key); known && known->by.owner == vault) {
            gone.erase(row, false);
            gone.count_change(vault);
            ++forgotten;
          }
      std::lock_guard guard{index_mutex_};
      if (auto written = gone.empty() ? result<void>{} : index_->write(std::move(gone), durability::synced); !written)
        return fail(written.error());
      if (page->size() < rows_at_once)
        return forgotten;
      after = page->back().key;
    }
  }

  /// The shard is there, so nothing of it is sent.
  [[nodiscard]] result<void> renew(const known_shard& known, const shard_header& header) const {
    auto through = way();
    if (!through)
      return fail(through.error());
    auto by = sign_ticket(*through, known.by.owner, known.by.shard, known.by.size, known.by.number);
    if (!by)
      return fail(by.error());
    if (auto sent = send(*through, *by, header, {}, work_kind::scrub); !sent)
      return sent;
    std::lock_guard guard{index_mutex_};
    auto still = index_->find(known.record.key);
    if (!still || !*still)
      return still ? result<void>{} : fail(still.error()); // Removed meanwhile: the deletion has the later number.
    shard_index::batch rows;
    rows.put(known.record, true, as_text(by->raw));
    return index_->write(std::move(rows), durability::synced);
  }

  caf::actor_system& sys_;
  std::shared_ptr<const clock> time_;
  peer_id peer_;
  std::string folder_;
  std::shared_ptr<peer_access> access_;
  mutable std::mutex index_mutex_; ///< Readers renew tickets.
  std::unique_ptr<shard_index> index_;
  mutable audit_book audits_;
  mutable std::atomic<uint32_t> silent_ = 0;                         ///< Requests in a row without an answer.
  mutable std::atomic<clock::monotonic_time::rep> silent_until_ = 0; ///< Of the monotonic clock.
  std::shared_ptr<peer_standing> standing_;
  peer_watch_actor watch_;
};

} // namespace

std::string peer_folder(const peer_id& peer) {
  return std::string{folder_prefix} + peer.hex();
}

std::optional<peer_id> peer_of(std::string_view folder) {
  return folder.starts_with(folder_prefix) ? peer_id::parse(folder.substr(folder_prefix.size())) : std::nullopt;
}

drive_id peer_drive_id(const peer_id& peer) {
  crypto::hasher hash;
  hash.update(as_view(std::string_view{"dm/peer-drive/1"})).update(peer.view());
  return drive_id::from(hash.finish().view().first(drive_id::size));
}

result<std::unique_ptr<shard_place>> open_peer_drive(caf::actor_system& sys, const environment& env, peer_drive_options options) {
  auto index = shard_index::open(env.stores, options.index_folder);
  if (!index && index.error().code() == errc::not_found) {
    if (auto made = make_folders(*env.files, options.index_folder).and_then([&] {
          return shard_index::create(*env.stores, options.index_folder, peer_drive_id(options.peer));
        });
        !made)
      return fail(made.error());
    index = shard_index::open(env.stores, options.index_folder);
  }
  if (!index)
    return fail(index.error());
  if ((*index)->drive() != peer_drive_id(options.peer))
    return fail(errc::drive_alien, "open the index of a node's shards", options.index_folder);
  return std::make_unique<peer_drive>(sys, env, std::move(options), std::move(*index));
}

} // namespace datamesh::network
