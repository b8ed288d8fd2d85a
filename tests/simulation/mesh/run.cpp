#include "tests/simulation/mesh/run.hpp"

#include "tests/libdatamesh/network/mesh_fixture.hpp"
#include "tests/simulation/mesh/owner.hpp"

#include "network/shard_intake.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::test {

using namespace network;
using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

constexpr size_t kinds_least = 5;
constexpr uint64_t faults_least = 20;
constexpr uint64_t room_of_owner = 24 << 20;
/// What a shard is charged on the average, and the largest.
constexpr uint64_t shard_charge = 52 << 10;
constexpr uint64_t shard_charge_max = 130 << 10;
constexpr uint32_t owner_place = 200;

enum class fault : uint8_t {
  power_loss,
  torn_write,
  long_absence,
  drives_replaced,
  bit_flip,
  disk_full,
  call_refused,
  parted,
  parted_one_way,
  reset,
  slow,
  lost,
  doubled,
  overtaken,
  clock_jump,
  late_node,
  leaving,
};
constexpr size_t fault_kinds = 17;
constexpr std::array<const char*, fault_kinds> fault_names{
    "power-loss", "torn-write",   "long-absence", "drives-replaced", "bit-flip",  "disk-full",  "call-refused", "parted", "parted-one-way",
    "reset",      "slow-network", "lost",         "doubled",         "overtaken", "clock-jump", "late-node",    "leaving"};

class mesh_run {
public:
  explicit mesh_run(const mesh_run_options& options);
  ~mesh_run();

  mesh_run_outcome run();

private:
  [[nodiscard]] uint64_t below(uint64_t bound) {
    return chance_.below(bound);
  }
  /// Between the two, by chance.
  template <class Span>
  [[nodiscard]] Span between(Span least, Span most) {
    return least + Span{static_cast<typename Span::rep>(below(static_cast<uint64_t>((most - least).count()) + 1))};
  }

  void draw_swarm();
  void begin();
  void trouble();
  void heal();
  void await_whole();
  void await_reads();

  void pass(
      std::chrono::nanoseconds span, const std::function<bool()>& enough = [] { return false; });
  void watch_step();
  void check_all();
  void mind_power();
  void mind_leaving();
  [[nodiscard]] uint64_t draw_room();
  [[nodiscard]] bool is_damage_hidden() const;
  void lose_some_at_once();
  [[nodiscard]] bool somebody_fell() const;
  void start(sim_place& place);
  void fall(sim_place& place, std::chrono::nanoseconds back_after);
  void begin_fault(fault what);
  void count_as(const char* what) {
    ++outcome_.faults[what];
  }
  void count(fault what) {
    count_as(fault_names[static_cast<size_t>(what)]);
  }
  [[nodiscard]] sim_place* some_up();
  [[nodiscard]] size_t away() const;
  [[nodiscard]] bool may_lose(const sim_place& place) const;
  [[nodiscard]] bool has_whole(const sim_place& place, const owned_pack& pack, size_t index) const;
  [[nodiscard]] std::string who_knows(const sim_owner& owner, const ticket& by) const;
  [[nodiscard]] std::optional<std::string> what_is_missing() const;
  void replace_drives(sim_place& place);
  bool replace_failed();
  void flip_bit(sim_place& place);
  void part(bool both_ways);

  mesh_run_options options_;
  mesh_run_outcome outcome_;
  seeded_random chance_;
  sim_stage stage_;
  sim_network net_{stage_};
  sim_courier courier_{net_};
  sim_mesh mesh_;
  sim_ledger ledger_;
  grants room_;
  std::vector<std::unique_ptr<sim_place>> places_;
  std::unique_ptr<sim_place> owners_place_;
  std::vector<std::unique_ptr<sim_owner>> owners_;
  std::vector<fault> kinds_;
  seconds gap_most_{};
  owner_habits habits_;
  bool owners_stay_ = false;
  uint64_t line_limit_ = 0;
  std::map<uint32_t, clock::monotonic_time> back_at_;   ///< Of those without power, by number.
  std::map<uint32_t, clock::monotonic_time> leaves_at_; ///< Of those that are drained until then, by number.
  std::set<uint32_t> late_;
  clock::monotonic_time ends_{};
  uint64_t checked_at_ = 0;
};

mesh_run::mesh_run(const mesh_run_options& options)
    : options_(options), chance_(options.seed * 0x9e3779b97f4a7c15u + 1),
      stage_(options.seed), mesh_{stage_, net_, courier_, network_id::from(as_view("a mesh that is simulated, with id")), {}} {
  outcome_.seed = options.seed;
}

mesh_run::~mesh_run() {
  stage_.after_step = nullptr;
  for (auto& owner : owners_)
    owner->leave();
  for (auto& place : places_)
    if (place->is_up())
      place->lose_power(0);
  if (owners_place_ && owners_place_->is_up())
    owners_place_->lose_power(0);
}

// -- what may happen ---------------------------------------------------------------------------------------

void mesh_run::draw_swarm() {
  outcome_.nodes = options_.nodes > 0 ? options_.nodes : 8 + static_cast<uint32_t>(below(9));
  auto span = options_.hours > 0 ? milliseconds{static_cast<int64_t>(options_.hours * 3'600'000)}
                                 : std::chrono::duration_cast<milliseconds>(between(minutes{25}, minutes{60}));
  ends_ = stage_.now() + span;
  while (kinds_.size() < kinds_least) {
    kinds_.clear();
    for (size_t i = 0; i < fault_kinds; ++i)
      if (below(2) == 0)
        kinds_.push_back(static_cast<fault>(i));
  }
  // Without that there is nothing to repair.
  if (std::ranges::count(kinds_, fault::drives_replaced) == 0)
    kinds_.push_back(fault::drives_replaced);
  gap_most_ = std::chrono::duration_cast<seconds>(span) / static_cast<int>(faults_least + 5 + below(40));
  net_.delay_min = between(0ms, 20ms);
  net_.delay_max = net_.delay_min + between(1ms, 80ms);
  habits_.acts_every = between(4s, 12s);
  habits_.patience = std::chrono::duration_cast<seconds>(between(minutes{8}, minutes{20}));
  habits_.shape = below(2) == 0 ? storage::geometry{4, 2, 0} : storage::geometry{3, 3, 0};
  habits_.packs_max = 12 + below(24);
  owners_stay_ = below(4) == 0;
  line_limit_ = below(4) == 0 ? rate_limit_min << below(3) : 0;
}

/// In some runs hardly more than what is needed, so that nodes refuse.
uint64_t mesh_run::draw_room() {
  if (below(2) == 0)
    return room_of_owner;
  auto shards = habits_.packs_max * (habits_.shape.k + habits_.shape.m);
  // Of four things in ten that an owner does at the most, and until half an hour after the faults.
  auto deletions = static_cast<uint64_t>((ends_ - stage_.now() + 30min) / habits_.acts_every) * 4 / 10;
  return shards * shard_charge / outcome_.nodes * 3 / 2 + 2 * shard_charge_max + deletions * row_charge;
}

void mesh_run::begin() {
  for (uint32_t i = 0; i < 3; ++i)
    mesh_.seeds.push_back({std::nullopt, {public_ip((i + 1) * 256), 7000}});
  auto owners = 1 + below(2);
  for (uint64_t i = 0; i < owners; ++i)
    room_[signatory{0x6f776e6572 + i}.owner] = draw_room();
  std::vector<peer_id> nodes;
  for (uint32_t i = 0; i < outcome_.nodes; ++i) {
    places_.push_back(std::make_unique<sim_place>(mesh_, i + 1, 1 + static_cast<unsigned>(below(2))));
    places_.back()->limit_line(line_limit_);
    nodes.push_back(places_.back()->id());
  }
  auto has_late = std::ranges::count(kinds_, fault::late_node) > 0;
  for (auto& place : places_)
    if (has_late && place->number() > 3 && late_.size() < 2)
      late_.insert(place->number());
    else
      start(*place);
  owners_place_ = std::make_unique<sim_place>(mesh_, owner_place, 0);
  start(*owners_place_);
  for (uint64_t i = 0; i < owners; ++i)
    owners_.push_back(std::make_unique<sim_owner>(mesh_, *owners_place_, i, ledger_, nodes, habits_));
  stage_.after_step = [this] {
    watch_step();
  };
  pass(2min);
  for (auto& owner : owners_)
    owner->begin();
}

// -- what must always be -------------------------------------------------------------------------------------

void mesh_run::watch_step() {
  for (const auto& owner : owners_)
    if (owner->wrong)
      throw violation{*owner->wrong};
  if (courier_.wrong)
    throw violation{*courier_.wrong};
  if (net_.pieces - checked_at_ >= options_.check_every) {
    checked_at_ = net_.pieces;
    check_all();
  }
}

void mesh_run::check_all() {
  for (const auto& place : places_)
    if (place->is_up() && place->disk->powered())
      ledger_.check(*place, places_, room_);
}

/// After each start: what was signed for is there in full, and not only its name.
void mesh_run::start(sim_place& place) {
  auto started = place.start(room_);
  if (!started) {
    if (!place.disk->powered())
      place.disk->crash(below(UINT64_MAX));
    else if (started.error().code() != errc::no_space)
      throw violation{fmt::format("node {} does not start again: {}", place.number(), started.error().message())};
    back_at_[place.number()] = stage_.now() + 60s;
    return;
  }
  back_at_.erase(place.number());
  if (place.guests() == nullptr)
    return;
  ledger_.check(place, places_, room_);
  for (const auto& owner : owners_)
    for (const auto& pack : owner->packs())
      for (size_t i = 0; i < pack->shards.size(); ++i)
        if (ledger_.is_kept(place.id(), {owner->id(), pack->tickets[i].shard}) && !has_whole(place, *pack, i))
          throw violation{fmt::format("node {} has not what it signed for: pack {}, shard {}", place.number(), pack->id().brief(), i)};
}

bool mesh_run::has_whole(const sim_place& place, const owned_pack& pack, size_t index) const {
  if (place.guests() == nullptr)
    return false;
  auto body = place.guests()->read_blocks(pack.tickets[index], 0, pack.shape().block_count());
  return body && std::ranges::equal(body->view(), pack.shards[index].body.view());
}

// -- time ------------------------------------------------------------------------------------------------------

bool mesh_run::somebody_fell() const {
  return std::ranges::any_of(places_, [](const auto& place) { return place->is_up() && !place->disk->powered(); });
}

/// Also of those whose power goes in the middle of a write, and of those that come back.
void mesh_run::pass(std::chrono::nanoseconds span, const std::function<bool()>& enough) {
  auto end = stage_.now() + span;
  while (stage_.now() < end && !enough()) {
    auto next = end;
    for (const auto* each : {&back_at_, &leaves_at_})
      for (const auto& [number, when] : *each)
        next = std::min(next, when);
    (void) stage_.pass(std::max(next - stage_.now(), std::chrono::nanoseconds{1}), [&] { return somebody_fell() || enough(); });
    mind_power();
    mind_leaving();
  }
}

/// Who was drained and has nothing any more is taken away, and comes back with other drives; another one stays after all.
void mesh_run::mind_leaving() {
  for (auto& place : places_) {
    auto due = leaves_at_.find(place->number());
    if (due == leaves_at_.end() || stage_.now() < due->second)
      continue;
    leaves_at_.erase(due);
    place->set(hosting::open);
    auto keeps = [&](const auto& each) {
      auto listed = place->guests()->list(each.first, std::nullopt, 1);
      return !listed || !listed->empty();
    };
    if (!place->is_up() || !place->disk->powered() || std::ranges::any_of(room_, keeps))
      continue;
    count_as("left");
    place->lose_power(below(UINT64_MAX));
    place->replace_drives();
    ledger_.destroyed(place->id());
    back_at_[place->number()] = stage_.now() + between(60s, 3600s);
  }
}

void mesh_run::mind_power() {
  for (auto& place : places_)
    if (place->is_up() && !place->disk->powered())
      fall(*place, between(1s, 600s));
  for (auto& place : places_)
    if (auto back = back_at_.find(place->number()); back != back_at_.end() && stage_.now() >= back->second)
      start(*place);
}

void mesh_run::fall(sim_place& place, std::chrono::nanoseconds back_after) {
  place.lose_power(below(UINT64_MAX));
  back_at_[place.number()] = stage_.now() + back_after;
}

// -- faults ------------------------------------------------------------------------------------------------------

sim_place* mesh_run::some_up() {
  std::vector<sim_place*> up;
  for (auto& place : places_)
    if (place->is_up() && place->disk->powered())
      up.push_back(place.get());
  return up.empty() ? nullptr : up[below(up.size())];
}

size_t mesh_run::away() const {
  return static_cast<size_t>(std::ranges::count_if(places_, [](const auto& place) { return !place->is_up(); }));
}

/// Whether each pack is still there in enough shards when all that is on that node goes.
bool mesh_run::may_lose(const sim_place& place) const {
  for (const auto& owner : owners_)
    for (const auto& pack : owner->packs()) {
      if (pack->unwanted || !pack->acknowledged)
        continue;
      size_t left = 0;
      for (size_t i = 0; i < pack->shards.size(); ++i)
        left += std::ranges::any_of(places_, [&](const auto& other) {
          if (other.get() == &place)
            return false;
          return other->is_up() ? has_whole(*other, *pack, i) : ledger_.is_kept(other->id(), {owner->id(), pack->tickets[i].shard});
        });
      if (left < pack->shape().k)
        return false;
    }
  return true;
}

void mesh_run::replace_drives(sim_place& place) {
  if (!may_lose(place))
    return;
  count(fault::drives_replaced);
  place.lose_power(below(UINT64_MAX));
  place.replace_drives();
  ledger_.destroyed(place.id());
  back_at_[place.number()] = stage_.now() + between(1s, 600s);
}

void mesh_run::flip_bit(sim_place& place) {
  auto files = place.shard_files();
  if (files.empty() || !may_lose(place))
    return;
  const auto& path = files[below(files.size())];
  auto size = place.disk->status(path).value().size;
  if (!place.disk->flip_bit(path, below(size * 8)))
    return;
  count(fault::bit_flip);
  for (const auto& owner : owners_)
    for (const auto& pack : owner->packs())
      for (size_t i = 0; i < pack->shards.size(); ++i) {
        shard_name name{owner->id(), pack->tickets[i].shard};
        // Another node may have brought it, and nobody signed for it yet.
        auto there = place.guests() != nullptr && place.guests()->read_header(pack->tickets[i]);
        if ((there || ledger_.is_kept(place.id(), name)) && !has_whole(place, *pack, i))
          ledger_.damaged(place.id(), name);
      }
}

void mesh_run::part(bool both_ways) {
  std::vector<ip_address> one;
  std::vector<ip_address> other;
  for (const auto& place : places_)
    (below(3) == 0 ? one : other).push_back(place->at().ip);
  (below(2) == 0 ? one : other).push_back(owners_place_->at().ip);
  for (const auto& a : one)
    for (const auto& b : other) {
      net_.part(a, b);
      if (both_ways)
        net_.part(b, a);
    }
  stage_.after(between(5s, 900s), [this] { net_.mend(); });
}

void mesh_run::begin_fault(fault what) {
  auto* place = some_up();
  if (place == nullptr)
    return;
  auto goes = away() + 1 <= habits_.shape.m;
  switch (what) {
  case fault::power_loss:
    if (!goes)
      return;
    fall(*place, between(1s, 300s));
    break;
  case fault::torn_write:
    if (!goes)
      return;
    place->disk->crash_after(1 + below(40));
    break;
  case fault::long_absence:
    if (!goes)
      return;
    fall(*place, between(habits_.patience / 2, 2 * habits_.patience));
    break;
  case fault::drives_replaced:
    if (goes)
      replace_drives(*place);
    return;
  case fault::bit_flip:
    return flip_bit(*place);
  case fault::disk_full:
    place->disk->set_capacity(place->disk->used() + below(64 << 10));
    stage_.after(between(30s, 1200s), [disk = place->disk] { disk->set_capacity(UINT64_MAX); });
    break;
  case fault::call_refused:
    if (!goes)
      return;
    place->disk->fail_call(1 + below(40), below(2) == 0 ? errc::io_failed : errc::no_space);
    // Who saw a call fail may refuse all others until he is started again.
    stage_.after(between(60s, 600s), [disk = place->disk] {
      if (disk->powered())
        disk->crash_after(1);
    });
    break;
  case fault::parted:
    part(true);
    break;
  case fault::parted_one_way:
    part(false);
    break;
  case fault::reset:
    for (auto i = 1 + below(8); i > 0; --i)
      net_.reset(places_[below(places_.size())]->at().ip);
    break;
  case fault::slow:
    net_.slow_one_in = 2 + below(50);
    stage_.after(between(30s, 900s), [this] { net_.slow_one_in = 0; });
    break;
  case fault::lost:
    courier_.habits.loses_request = 10 + below(200);
    courier_.habits.loses_answer = 10 + below(200);
    stage_.after(between(30s, 900s), [this] { courier_.habits.loses_request = courier_.habits.loses_answer = 0; });
    break;
  case fault::doubled:
    courier_.habits.doubles = 2 + below(50);
    stage_.after(between(30s, 900s), [this] { courier_.habits.doubles = 0; });
    break;
  case fault::overtaken:
    courier_.habits.delays = 2 + below(50);
    stage_.after(between(30s, 900s), [this] { courier_.habits.delays = 0; });
    break;
  case fault::clock_jump:
    place->time->off = between(minutes{-20}, minutes{20});
    stage_.after(between(30s, 1800s), [time = place->time] { time->off = {}; });
    break;
  case fault::late_node:
    if (late_.empty())
      return;
    for (auto& each : places_)
      if (each->number() == *late_.begin())
        start(*each);
    late_.erase(late_.begin());
    break;
  case fault::leaving:
    if (!goes || !leaves_at_.empty())
      return;
    place->set(hosting::draining);
    ledger_.drained(place->id());
    leaves_at_[place->number()] = stage_.now() + between(seconds{300}, habits_.patience);
    break;
  }
  count(what);
}

/// As an operator does who reads that a drive failed. False as long as there are some, or nodes that are away.
bool mesh_run::replace_failed() {
  auto done = true;
  for (auto& place : places_) {
    auto is_there = place->is_up() && place->disk->powered();
    if (is_there && !place->has_failed_drive())
      continue;
    done = false;
    if (is_there && away() == 0)
      replace_drives(*place);
  }
  return done;
}

void mesh_run::trouble() {
  while (stage_.now() < ends_) {
    pass(between(1s, gap_most_));
    (void) replace_failed();
    auto what = kinds_[below(kinds_.size())];
    stage_.note("fault", as_view(fault_names[static_cast<size_t>(what)]));
    begin_fault(what);
  }
}

// -- what must come to be ------------------------------------------------------------------------------------------

void mesh_run::heal() {
  pass(30min); // All that was begun ends by then.
  for (auto& place : places_) {
    if (late_.erase(place->number()) > 0)
      start(*place);
    if (place->is_up())
      fall(*place, 0s);
    back_at_[place->number()] = stage_.now();
    place->time->off = {};
    place->set(hosting::open);
  }
  net_.mend();
  net_.slow_one_in = 0;
  courier_.habits = {};
  leaves_at_.clear();
  for (auto& place : places_)
    place->disk->set_capacity(UINT64_MAX);
  mind_power();
  for (int i = 0; i < 20 && !replace_failed(); ++i)
    pass(habits_.patience);
  for (auto& owner : owners_)
    owner->rest();
  pass(10min); // Until all have links again.
  pass(2h, [&] { return std::ranges::all_of(owners_, [](const auto& owner) { return owner->is_at_rest(); }); });
  for (const auto& owner : owners_)
    if (auto undone = owner->undone())
      throw violation{"what an owner began is not done, two hours after all was healed: " + *undone};
  // Also of those who leave: what was stored and lost between two rounds of the siblings is remembered by no node.
  await_reads();
  if (auto missing = what_is_missing())
    throw violation{"its owner did not make up for what is missing: " + *missing};
  // So that everybody knows by then who keeps what.
  pass(2 * habits_.patience);
  // What is damaged and not missing is its owner's to find.
  owners_stay_ = owners_stay_ || is_damage_hidden();
  if (!owners_stay_)
    for (auto& owner : owners_)
      owner->leave();
  lose_some_at_once();
}

/// Whether a node keeps a shard that is not whole, though another one may have it whole.
bool mesh_run::is_damage_hidden() const {
  for (const auto& owner : owners_)
    for (const auto& place : places_) {
      auto listed = place->guests()->list(owner->id(), std::nullopt, SIZE_MAX);
      for (const auto& pack : owner->packs())
        for (size_t i = 0; i < pack->shards.size(); ++i)
          if (listed && std::ranges::find(*listed, pack->tickets[i].shard, &ticket::shard) != listed->end() && !has_whole(*place, *pack, i))
            return true;
    }
  return false;
}

/// One node more, or as many as parity allows, comes back with nothing: from here on without a key, where the owners left.
void mesh_run::lose_some_at_once() {
  auto first = below(places_.size());
  auto count = 1 + below(habits_.shape.m);
  for (size_t i = 0; i < places_.size() && count > 0; ++i)
    if (auto& place = *places_[(first + i) % places_.size()]; ledger_.keeps_any(place.id()) && may_lose(place)) {
      replace_drives(place);
      --count;
    }
}

/// Every pack comes back, and what is damaged is found and made good.
void mesh_run::await_reads() {
  for (int round = 0; round < 3; ++round) {
    for (auto& owner : owners_)
      owner->read_all();
    pass(6h, [&] { return std::ranges::all_of(owners_, [](const auto& owner) { return owner->reads_under_way == 0; }); });
    pass(30min, [&] { return std::ranges::all_of(owners_, [](const auto& owner) { return owner->is_at_rest(); }); });
  }
  for (const auto& owner : owners_)
    for (const auto& pack : owner->packs())
      if (pack->acknowledged && !pack->unwanted && !pack->read_well)
        throw violation{fmt::format("pack {} does not come back, though all is healed", pack->id().brief())};
}

/// How many nodes have some of its pack, and how many of these remember it.
std::string mesh_run::who_knows(const sim_owner& owner, const ticket& by) const {
  size_t keepers = 0;
  size_t remembering = 0;
  for (const auto& place : places_) {
    if (place->guests() == nullptr)
      continue;
    auto known = place->guests()->siblings(owner.id(), by.shard.pack);
    auto kept = place->guests()->list(owner.id(), std::nullopt, SIZE_MAX);
    keepers += kept && std::ranges::any_of(*kept, [&](const ticket& one) { return one.shard.pack == by.shard.pack; });
    remembering += known && std::ranges::find(*known, by.shard, &ticket::shard) != known->end();
  }
  return fmt::format("pack {}, shard {}, which {} of {} nodes with some of it remember", by.shard.pack.brief(), by.shard.index, remembering,
                     keepers);
}

std::optional<std::string> mesh_run::what_is_missing() const {
  for (const auto& owner : owners_)
    for (const auto& pack : owner->packs())
      if (pack->acknowledged && !pack->unwanted)
        for (size_t i = 0; i < pack->shards.size(); ++i)
          if (std::ranges::none_of(places_, [&](const auto& place) { return has_whole(*place, *pack, i); }))
            return who_knows(*owner, pack->tickets[i]);
  return std::nullopt;
}

void mesh_run::await_whole() {
  constexpr auto looked_at = minutes{5};
  // Its turn comes to each node that keeps some of a pack, one round after the other.
  auto end = stage_.now() + 2 * habits_.patience + (habits_.shape.k + habits_.shape.m + 2) * habits_.patience / 4 + 1h;
  while (auto missing = what_is_missing()) {
    if (stage_.now() >= end)
      throw violation{"nobody made up for what is missing, though all is healed: " + *missing};
    pass(looked_at);
  }
}

mesh_run_outcome mesh_run::run() {
  try {
    draw_swarm();
    begin();
    trouble();
    heal();
    await_whole();
    if (owners_stay_)
      await_reads();
    check_all();
  } catch (const violation& what) {
    outcome_.failure = what.what();
  }
  outcome_.hours = std::chrono::duration<double, std::ratio<3600>>{stage_.now().time_since_epoch()}.count();
  outcome_.messages = net_.pieces;
  outcome_.steps = stage_.steps();
  outcome_.owners_left = !owners_stay_;
  outcome_.repairs = ledger_.repairs();
  outcome_.handed_over = ledger_.handed_over();
  outcome_.checks = ledger_.checks;
  for (const auto& owner : owners_) {
    outcome_.packs_stored += owner->stored;
    outcome_.packs_deleted += owner->deleted;
    outcome_.packs_read += owner->reads;
  }
  outcome_.trace = stage_.trace();
  return outcome_;
}

} // namespace

uint64_t mesh_run_outcome::fault_count() const {
  uint64_t all = 0;
  for (const auto& [kind, count] : faults)
    all += count;
  return all;
}

bool mesh_run_outcome::counts() const {
  return nodes >= 8 && messages >= 100'000 && fault_count() >= faults_least && faults.size() >= kinds_least && repairs >= 3;
}

std::string mesh_run_outcome::text() const {
  std::string kinds;
  for (const auto& [kind, count] : faults)
    kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", kind, count);
  return fmt::format(
      "seed {}: {}; {} nodes, {:.1f} h{}, {} messages, {} faults ({}), {} repairs, {} handed over, {} packs stored, {} deleted, {} "
      "read, {} checks, trace {}{}",
      seed, failure ? "FAILED" : "ok", nodes, hours, owners_left ? " (at the end without owners)" : "", messages, fault_count(), kinds,
      repairs, handed_over, packs_stored, packs_deleted, packs_read, checks, trace,
      failure ? ": " + *failure : std::string{counts() ? "" : " (too little to count)"});
}

mesh_run_outcome run_mesh(const mesh_run_options& options) {
  return mesh_run{options}.run();
}

} // namespace datamesh::test
