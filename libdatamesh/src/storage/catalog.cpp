#include "storage/catalog_state.hpp"

#include "crypto/hash.hpp"
#include "storage/checkpoint.hpp"
#include "storage/chunk_index.hpp"
#include "storage/tree_fold.hpp"
#include "storage/version_fold.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace datamesh::storage {

namespace {

constexpr const char* open_failed = "open catalog";
/// More than all packs hold that may be on their way together.
constexpr uint64_t numbers_skipped = uint64_t{1} << 20;

/// Hands each body that is not a move to its fold. Moves are folded together.
struct body_fold {
  fold& into;
  op_context how;
  std::vector<move_row>& moves;

  void operator()(const move_node& b) const {
    moves.push_back({b.node, {b.parent, b.name, b.kind, how.wall_ns, how.at}, std::nullopt, false});
  }
  void operator()(const add_extents& b) const {
    fold_extents(into, b);
  }
  void operator()(const put_version& b) const {
    fold_put(into, how, b);
  }
  void operator()(const drop_version& b) const {
    fold_drop(into, b);
  }
  void operator()(const purge_node& b) const {
    fold_purge(into, how, b);
  }
  void operator()(const set_tag& b) const {
    fold_tag(into, how, b);
  }
  void operator()(const condemn_packs& b) const {
    for (const auto& p : b.packs)
      condemn_pack(into, p);
  }
};

/// Keeps, or forgets, that an operation waits for a pack.
void fold_pending(fold& into, const operation& op, const std::string* encoded, bool in_pack) {
  if (in_pack && into.head.pending == 0)
    return;
  auto key = pending_key(op.at.device, op.sequence);
  if (!in_pack) {
    if (!encoded)
      return;
    into.rows.put(std::move(key), *encoded);
    into.head.pending += 1;
  } else if (into.rows.has(key)) {
    into.rows.erase(std::move(key));
    into.head.pending -= 1;
  }
}

/// An operation that this device stamped is encoded already.
const stamped_operation* find_stamped(const operation& op, std::span<const stamped_operation> stamped) {
  if (stamped.empty() || op.sequence - stamped.front().op.sequence >= stamped.size())
    return nullptr;
  const auto& given = stamped[op.sequence - stamped.front().op.sequence];
  return given.op == op ? &given : nullptr;
}

result<void> fold_operations(fold& into, const catalog_commit& what, std::span<const stamped_operation> stamped) {
  std::vector<move_row> moves;
  for (const auto& op : what.operations) {
    if (auto good = validate(op); !good)
      return good;
    auto& log = into.log_of(op.at.device);
    if (log.knows(op.sequence)) {
      fold_pending(into, op, nullptr, what.operations_in_pack);
      continue;
    }
    const auto* given = find_stamped(op, stamped);
    auto fresh = given ? std::string{} : encode(op);
    const auto& encoded = given ? given->encoded : fresh;
    if (encoded.size() > operation_size_max)
      return fail(errc::invalid_argument, "commit operation", "it is too large");
    log.add(op.sequence, op.previous, given ? given->hash : crypto::blake3(as_view(encoded)));
    fold_pending(into, op, &encoded, what.operations_in_pack);
    into.head.lamport = std::max(into.head.lamport, op.at.lamport);
    into.head.totals.operations += 1;
    std::visit(body_fold{into, {{op.at, op.sequence}, op.wall_ns}, moves}, op.body);
  }
  fold_moves(into, std::move(moves));
  return {};
}

} // namespace

size_t pack_record::shards_present() const noexcept {
  return static_cast<size_t>(std::count_if(drives.begin(), drives.end(), [](const drive_id& d) { return !d.is_zero(); }));
}

int drives_to_spare(std::vector<size_t> shards_by_drive, size_t k) {
  auto left = std::reduce(shards_by_drive.begin(), shards_by_drive.end());
  if (left < k)
    return -1;
  // The worst that can happen: those that hold most.
  std::ranges::sort(shards_by_drive, std::greater{});
  int spare = 0;
  for (auto count : shards_by_drive) {
    left -= count;
    if (left < k)
      break;
    ++spare;
  }
  return spare;
}

int drive_losses_survived(const pack_record& pack) {
  std::map<drive_id, size_t> shards;
  std::vector<size_t> counts;
  for (const auto& drive : pack.drives) {
    if (drive.is_zero())
      counts.push_back(1);
    else
      ++shards[drive];
  }
  for (const auto& [drive, count] : shards)
    counts.push_back(count);
  return drives_to_spare(std::move(counts), pack.seal.shape.k);
}

bool pack_record::is_faulty(size_t shard) const noexcept {
  return std::binary_search(faulty.begin(), faulty.end(), shard);
}

catalog::catalog() : impl_(std::make_unique<impl>()) {}

catalog::~catalog() = default;

result<std::unique_ptr<catalog>> catalog::open(std::unique_ptr<lasting_store> store, const vault_id& vault, const device_id& fresh,
                                               std::string_view place) {
  std::unique_ptr<catalog> result{new catalog};
  auto& self = *result->impl_;
  self.store = std::move(store);
  self.fresh = fresh;
  self.place = place;
  self.head.vault = vault;
  if (auto good = self.load(); !good)
    return fail(good.error().within(open_failed));
  self.interrupted = self.head.dirty || self.fenced;
  self.behind = self.head.behind;
  return result;
}

result<void> catalog::impl::load() {
  auto stored = store->get(head_key());
  if (!stored)
    return fail(stored.error());
  catalog_head read_head;
  read_head.vault = head.vault;
  if (*stored) {
    auto read = catalog_head::decode(**stored);
    if (!read)
      return fail(read.error());
    if (read->vault != head.vault)
      return fail(errc::format_alien, "look whose it is", "it belongs to vault " + read->vault.brief());
    read_head = *read;
  }
  head = read_head;
  device = head.writer.is_zero() ? fresh : head.writer;
  if (auto good = load_own_log(); !good)
    return good;
  lamport = std::max(lamport, head.lamport);
  // The pack that the crash cut short may lie on drives that are away; and the original of a
  // copy goes on.
  moved = *stored && head.place != place;
  fenced = fenced || moved || (*stored && head.dirty);
  return fenced || left ? leave_log() : result<void>{};
}

result<void> catalog::impl::leave_log() {
  if (device == fresh && known > 0) {
    skip_numbers();
    return {};
  }
  device = fresh;
  if (auto good = load_own_log(); !good)
    return good;
  lamport = std::max(lamport, head.lamport + numbers_skipped);
  return {};
}

result<void> catalog::make_writable() {
  constexpr auto attempt = "open catalog anew";
  auto& self = *impl_;
  // An empty write tells whether others would be refused.
  auto refused = [&self] {
    auto told = self.store->write({}, durability::relaxed);
    return told ? std::nullopt : std::optional{told.error().within("write to catalog")};
  };
  auto why = self.refusal ? self.refusal : refused();
  if (!why)
    return {};
  if (!self.stamped.empty() || !disk_refuses(why->code()))
    return fail(*why);
  self.refusal = why; // Until all of what follows succeeds.
  if (auto opened = self.store->reopen(); !opened)
    return fail(opened.error().within(attempt));
  if (auto good = self.load(); !good)
    return fail(good.error().within(attempt));
  self.interrupted = self.interrupted || self.head.dirty;
  self.refusal = refused();
  return self.refusal ? fail(*self.refusal) : result<void>{};
}

const stamped_operation& catalog::stamp_encoded(operation_body body, std::string_view encoded, int64_t wall_ns) {
  auto& self = *impl_;
  auto& next = self.stamped.emplace_back();
  next.op = {{++self.lamport, self.device}, ++self.sequence, wall_ns, self.last_hash, std::move(body)};
  next.encoded = encode_stamp(next.op);
  next.encoded += encoded;
  next.hash = self.last_hash = crypto::blake3(as_view(next.encoded));
  return next;
}

std::vector<operation> catalog::stamp(const std::vector<operation_body>& bodies, int64_t wall_ns) {
  std::vector<operation> result;
  result.reserve(bodies.size());
  for (const auto& body : bodies)
    result.push_back(stamp_encoded(body, encode_body(body), wall_ns).op);
  return result;
}

std::span<const stamped_operation> catalog::stamped() const noexcept {
  return impl_->stamped;
}

result<void> catalog::impl::load_own_log() {
  row_source rows{*store};
  auto log = rows.load<device_log>(id_key(row_kind::device, device));
  sequence = 0;
  last_hash = {};
  if (log && !log->runs().empty()) {
    sequence = log->runs().back().last;
    last_hash = log->runs().back().last_hash;
  }
  known = sequence;
  sequence = std::max(sequence, floor);
  return rows.outcome();
}

void catalog::unstamp() {
  impl_->stamped.clear();
  if (!impl_->store)
    return;
  if (auto good = impl_->load_own_log(); !good)
    impl_->refusal = good.error().within("take back stamps");
}

result<void> catalog::commit(const catalog_commit& what, durability level) {
  auto& self = *impl_;
  if (self.refusal)
    return fail(*self.refusal);
  fold next{*self.store, self.head};
  next.head.dirty = true;
  next.head.writer = self.device;
  next.head.place = self.place;
  if (what.behind)
    next.head.behind = *what.behind;
  for (const auto& p : what.packs)
    add_pack(next, p);
  auto good = import_checkpoint(next, what.imported);
  if (good)
    good = fold_operations(next, what, self.stamped);
  if (what.checkpoint)
    next.rows.put(checkpoint_key(), encode_note(*what.checkpoint));
  for (const auto& p : what.placed)
    place_pack(next, p);
  for (const auto& p : what.forgotten)
    forget_pack(next, p);
  next.publish();
  if (good)
    good = next.rows.outcome();
  if (good)
    good = self.store->write(next.rows.take_batch(), level);
  if (!good) {
    self.refusal = good.error().within("commit to catalog");
    return fail(*self.refusal);
  }
  self.head = next.head;
  self.behind = self.head.behind;
  self.lamport = std::max(self.lamport, self.head.lamport);
  if (!self.stamped.empty())
    std::erase_if(self.stamped, [&log = next.log_of(self.device)](const auto& given) { return log.knows(given.op.sequence); });
  return self.follow_own_log(next);
}

result<void> catalog::mark_packs(const std::vector<pack_id>& lost, const std::vector<pack_id>& whole) {
  auto& self = *impl_;
  if (self.refusal)
    return fail(*self.refusal);
  write_batch batch;
  for (const auto& pack : lost)
    batch.put(id_key(row_kind::lost, pack), {});
  for (const auto& pack : whole)
    batch.erase(id_key(row_kind::lost, pack));
  if (auto good = self.store->write(batch, durability::synced); !good)
    return fail(good.error().within("mark lost packs"));
  return {};
}

result<void> catalog::mark_shards(const std::vector<seen_shard>& faulty, const std::vector<seen_shard>& good) {
  auto& self = *impl_;
  if (self.refusal)
    return fail(*self.refusal);
  if (!self.store->writable())
    return {};
  fold next{*self.store, self.head};
  for (const auto& shard : faulty)
    mark_shard(next, shard, true);
  for (const auto& shard : good)
    mark_shard(next, shard, false);
  auto done = next.rows.outcome();
  if (auto batch = next.rows.take_batch(); done && !batch.empty())
    done = self.store->write(batch, durability::relaxed);
  if (!done)
    return fail(done.error().within("mark shards"));
  return {};
}

result<void> catalog::remember_sources(const std::vector<std::pair<node_id, source_mark>>& marks) {
  auto& self = *impl_;
  if (self.refusal)
    return fail(*self.refusal);
  write_batch batch;
  for (const auto& [node, mark] : marks)
    batch.put(id_key(row_kind::source, node), encode_mark(mark));
  if (auto good = self.store->write(batch, durability::relaxed); !good)
    return fail(good.error().within("remember sources"));
  return {};
}

result<void> catalog::impl::follow_own_log(fold& committed) {
  const auto& runs = committed.log_of(device).runs();
  if (runs.empty())
    return committed.rows.outcome();
  const auto& last = runs.back();
  auto from_pack = last.last > sequence || (last.last > known && last.last <= floor);
  if (last.last > floor)
    skipped = false;
  if (from_pack) {
    // Operations of this device that came from a pack, as in a rebuild, move its head
    // on. There may be more where they came from.
    last_hash = last.last_hash;
    skip_numbers();
  }
  known = last.last;
  return committed.rows.outcome();
}

void catalog::impl::skip_numbers() {
  // The clock of a device is never behind its numbers.
  lamport = std::max(lamport, head.lamport + numbers_skipped);
  sequence = floor = lamport;
  skipped = true;
}

result<std::vector<operation>> catalog::pending_operations(size_t limit) const {
  std::vector<operation> result;
  std::optional<error> wrong;
  if (limit == 0)
    return result;
  auto view = impl_->store->snapshot();
  row_source rows{*view};
  const std::string prefix{static_cast<char>(row_kind::pending)};
  rows.scan(prefix, [&](std::string_view, std::string_view value) {
    auto op = decode_operation(value);
    if (!op) {
      wrong = op.error().as(errc::store_corrupt, "read pending operation");
      return false;
    }
    result.push_back(std::move(*op));
    return result.size() < limit;
  });
  if (wrong)
    return fail(*wrong);
  if (auto good = rows.outcome(); !good)
    return fail(good.error());
  return result;
}

result<void> catalog::impl::mark(bool dirty) {
  if (refusal)
    return fail(*refusal);
  auto marked = head;
  // What is known of drives that are away stays.
  if (!dirty && drives_now)
    for (const auto& [drive, brought] : drives_now())
      if (std::lock_guard guard{seen_mutex}; seen.count(drive) > 0)
        marked.drives[drive] = brought;
  if (dirty || fenced) {
    marked.writer = device;
    marked.place = place;
  }
  auto same = marked.drives == head.drives && marked.writer == head.writer && marked.place == head.place;
  // An empty write tells whether others would be refused.
  if (head.dirty == dirty && head.lamport >= floor && same)
    return store->write({}, durability::relaxed);
  marked.dirty = dirty;
  marked.lamport = std::max(marked.lamport, floor);
  write_batch batch;
  batch.put(head_key(), marked.encode());
  if (auto good = store->write(batch, durability::synced); !good) {
    refusal = good.error().within("mark catalog");
    return fail(*refusal);
  }
  head = marked;
  return {};
}

result<void> catalog::begin_writing() {
  return impl_->mark(true);
}

result<void> catalog::close() {
  auto& self = *impl_;
  if (self.closed)
    return {};
  // Numbers that were skipped are known as such once there are some behind them.
  auto closed = self.skipped || self.interrupted ? result<void>{} : self.mark(false);
  if (closed)
    closed = self.store->flush();
  // Whoever still holds this object must not keep the next process out, and is told so.
  self.store->close();
  self.closed = true;
  self.refusal = error{errc::unavailable, "write to a closed catalog"};
  if (!closed)
    return fail(closed.error().within("close catalog"));
  return {};
}

void catalog::follow_drives(std::function<drive_marks()> now) {
  impl_->drives_now = std::move(now);
}

namespace {

uint64_t count_of(const drive_marks& marks, const drive_id& drive) {
  auto found = marks.find(drive);
  return found == marks.end() ? 0 : found->second;
}

} // namespace

void catalog::compare_drives(const std::vector<drive_id>& expected) {
  auto& self = *impl_;
  self.opened_with = self.head.drives;
  auto strange = [&](const auto& mark) {
    return mark.second != count_of(self.opened_with, mark.first);
  };
  auto marks = self.drives_now();
  {
    std::lock_guard guard{self.seen_mutex};
    for (const auto& [drive, brought] : marks)
      self.seen.insert(drive);
  }
  auto differ = std::ranges::any_of(marks, strange);
  // After a crash where it always was, what the drives have more is what the crash cut off.
  self.older = self.moved ? self.head.dirty || differ : !self.head.dirty && differ;
  if (self.interrupted)
    return;
  self.interrupted = self.fenced = differ;
  // What is stored without this catalog on those alone that are away, nothing tells.
  auto away = std::ranges::any_of(expected, [&](const drive_id& drive) { return marks.count(drive) == 0; });
  self.left = self.fenced || away;
  if (auto good = self.left ? self.leave_log() : result<void>{}; !good)
    self.refusal = good.error().within("begin another log");
}

bool catalog::is_behind() const noexcept {
  return impl_->behind;
}

bool catalog::was_interrupted() const noexcept {
  return impl_->interrupted;
}

bool catalog::may_be_older() const noexcept {
  return impl_->older;
}

void catalog::trust(const std::vector<drive_id>& drives) {
  std::lock_guard guard{impl_->seen_mutex};
  impl_->seen.insert(drives.begin(), drives.end());
}

void catalog::doubt(const drive_id& drive) {
  ++impl_->doubts;
  impl_->interrupted = true;
  if (impl_->drives_now && count_of(impl_->drives_now(), drive) != count_of(impl_->opened_with, drive))
    impl_->older = true;
}

uint64_t catalog::doubts() const noexcept {
  return impl_->doubts;
}

void catalog::reconciled(uint64_t doubts, const std::vector<drive_id>& seen) {
  auto& self = *impl_;
  trust(seen);
  self.interrupted = false;
  if (self.doubts != doubts)
    self.interrupted = true;
}

uint64_t catalog::disk_bytes() const {
  return impl_->store->disk_bytes();
}

} // namespace datamesh::storage
