#include "health/scrubber.hpp"

#include <algorithm>

namespace datamesh::health {

namespace {

constexpr auto rest = std::chrono::minutes{1};
constexpr uint64_t state_size_max = 4096;

std::string state_path(const node& of, const std::string& name) {
  return join_path(join_path(join_path(of.home(), "vaults"), name), "scrub");
}

} // namespace

struct scrubber::lease {
  scrubber& of;
  std::string name;
  lease(scrubber& s, std::string n) : of(s), name(std::move(n)) {}
  lease(const lease&) = delete;
  lease& operator=(const lease&) = delete;
  ~lease() {
    std::lock_guard guard{of.mutex_};
    if (--of.released_[name] == 0)
      of.released_.erase(name);
  }
};

scrubber::scrubber(node& of, environment env) : node_(of), env_(std::move(env)) {}

scrubber::~scrubber() {
  stop();
}

void scrubber::start() {
  thread_ = std::thread{[this] {
    std::unique_lock lock{mutex_};
    while (!stopping_) {
      lock.unlock();
      (void) tick();
      lock.lock();
      changed_.wait_for(lock, rest, [this] { return stopping_; });
    }
  }};
}

void scrubber::stop() {
  {
    std::lock_guard guard{mutex_};
    stopping_ = true;
    cancel_.cancel();
  }
  changed_.notify_all();
  if (thread_.joinable())
    thread_.join();
  std::lock_guard guard{working_};
  vaults_.clear();
}

std::shared_ptr<void> scrubber::release(const std::string& name) {
  cancel_token running;
  {
    std::lock_guard guard{mutex_};
    ++released_[name];
    running = cancel_;
  }
  auto held = std::make_shared<lease>(*this, name);
  // What runs is ended; the schedule takes it up again.
  running.cancel();
  std::lock_guard working{working_};
  vaults_.erase(name);
  std::lock_guard guard{mutex_};
  if (!stopping_)
    cancel_ = cancel_token{};
  return held;
}

size_t scrubber::tick() {
  auto all = node_.vaults();
  size_t steps = 0;
  if (!all)
    return steps;
  for (const auto& facts : *all)
    steps += look_after(facts);
  return steps;
}

size_t scrubber::look_after(const vault_facts& facts) {
  auto trusted = std::any_of(facts.locks.begin(), facts.locks.end(), [](const key_lock& lock) { return lock.kind == "device"; });
  size_t steps = 0;
  while (trusted) {
    std::lock_guard working{working_};
    auto* v = opened(facts.name);
    if (v == nullptr)
      break;
    auto state = load(facts.name);
    auto status = v->status();
    if (!status)
      break;
    auto step = next_step(state, status->last_quick_verify_ns, status->packs, env_.clock->wall().time_since_epoch().count());
    if (step.what == scrub_step::kind::nothing || !take_step(*v, step, state))
      break;
    ++steps;
  }
  return steps;
}

bool scrubber::take_step(vault& of, scrub_step step, scrub_state& state) {
  job_options job;
  {
    std::lock_guard guard{mutex_};
    job.cancel = cancel_;
  }
  verify_request what;
  what.repair = true;
  what.background = true;
  if (step.what == scrub_step::kind::quick)
    return of.verify(what, job).has_value();
  auto now = env_.clock->wall().time_since_epoch().count();
  auto goes_on = !state.deep_over && state.deep_began_ns > 0 && state.deep_began_ns <= now;
  what.deep = true;
  what.packs_max = step.packs;
  if (goes_on)
    what.after = state.deep_after;
  auto looked = of.verify(what, job);
  if (!looked)
    return false;
  save(of.name(), after_part(state, looked->packs, looked->next_after, now));
  return true;
}

vault* scrubber::opened(const std::string& name) {
  {
    std::lock_guard guard{mutex_};
    if (stopping_ || released_.count(name) > 0)
      return nullptr;
  }
  auto found = vaults_.find(name);
  if (found != vaults_.end())
    return &found->second;
  auto opened = node_.open_vault(name, credential::this_device());
  if (!opened)
    return nullptr;
  return &vaults_.emplace(name, std::move(*opened)).first->second;
}

scrub_state scrubber::load(const std::string& name) const {
  auto text = read_whole(*env_.files, state_path(node_, name), state_size_max);
  auto state = text ? scrub_state::decode(as_text(*text)) : fail(text.error());
  return state.value_or(scrub_state{});
}

void scrubber::save(const std::string& name, const scrub_state& state) {
  // When it can not be kept, the part is looked at again after a restart.
  (void) write_whole(*env_.files, state_path(node_, name), as_view(state.encode()));
}

} // namespace datamesh::health
