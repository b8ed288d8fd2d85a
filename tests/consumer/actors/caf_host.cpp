// A host that runs CAF: it spawns a vault in its own actor system, beside actors and
// message types of its own, and talks to it in messages.
#include <datamesh/vault_actor.hpp>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>

namespace fs = std::filesystem;

namespace host {

struct order {
  std::string what;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, order& x) {
  return f(caf::meta::type_name("order"), x.what);
}

} // namespace host

CAF_BEGIN_TYPE_ID_BLOCK(host, first_custom_type_id)
CAF_ADD_TYPE_ID(host, (host::order))
CAF_END_TYPE_ID_BLOCK(host)

namespace {

namespace v1 = datamesh::v1;
constexpr auto limit = std::chrono::minutes{5};

void require(bool condition, const std::string& sentence) {
  if (!condition) {
    std::cerr << "not so: " << sentence << "\n";
    std::exit(1);
  }
}

template <class T>
T need(datamesh::result<T> answer) {
  require(answer.has_value(), answer ? "" : answer.error().message());
  return std::move(*answer);
}

/// The answer, or the end of the program.
template <class Answer, class... Message>
Answer ask(caf::scoped_actor& self, const datamesh::vault_actor& vault, Message... message) {
  Answer out;
  self->request(vault, limit, std::move(message)...)
      .receive([&](Answer& answer) { out = std::move(answer); },
               [](caf::error& reason) { require(false, datamesh::from_caf(reason).message()); });
  return out;
}

/// The code of the error that must come.
template <class Answer, class... Message>
datamesh::errc code(caf::scoped_actor& self, const datamesh::vault_actor& vault, Message... message) {
  datamesh::errc out{};
  self->request(vault, limit, std::move(message)...)
      .receive([](Answer&) { require(false, "this fails"); }, [&](caf::error& reason) { out = datamesh::from_caf(reason).code(); });
  return out;
}

v1::OnPath at(const std::string& path, const std::string& other = {}) {
  v1::OnPath what;
  what.set_path(path);
  what.set_other(other);
  return what;
}

v1::GetStream range(const std::string& path, uint64_t first, uint64_t length) {
  v1::GetStream what;
  what.set_path(path);
  what.set_first(first);
  what.set_length(length);
  return what;
}

struct listener_state {
  uint64_t last = 0;
};

using counter_actor = datamesh::event_listener_actor::extend<caf::replies_to<caf::get_atom>::with<uint64_t>>;

counter_actor::behavior_type count_events(counter_actor::stateful_pointer<listener_state> self) {
  return {
      [=](const v1::Event& what) {
        require(what.sequence() == self->state.last + 1, "events come in order and none is missing");
        self->state.last = what.sequence();
      },
      [=](caf::get_atom) { return self->state.last; },
  };
}

caf::behavior keep_order(caf::event_based_actor* self) {
  return {[=](const host::order& what) {
    self->quit();
    return what.what;
  }};
}

void data_goes_in_and_out(caf::scoped_actor& self, const datamesh::vault_actor& vault) {
  std::string first(300'000, 'a');
  std::string second(200'000, 'b');
  v1::PutStream put;
  put.set_target_path("/letters/one.txt");
  put.set_mode(0640);
  datamesh::slices content{datamesh::bytes::copy_of(first), {}, datamesh::bytes::copy_of(second)};
  auto stored = ask<v1::PutSummary>(self, vault, put, content);
  require(stored.files() == 1 && stored.bytes() == 500'000, "both slices are stored as one file");
  auto part = ask<datamesh::bytes>(self, vault, range("/letters/one.txt", 299'990, 20));
  require(datamesh::as_text(part) == "aaaaaaaaaabbbbbbbbbb", "a range over the border of both comes back");
  require(code<datamesh::bytes>(self, vault, range("/letters/one.txt", 0, 400'001)) == datamesh::errc::capacity_exceeded,
          "a longer range than agreed is refused");
  require(code<datamesh::bytes>(self, vault, range("/letters/two.txt", 0, 1)) == datamesh::errc::not_found,
          "what is not there is an error of ours");
}

void names_and_care(caf::scoped_actor& self, const datamesh::vault_actor& vault) {
  ask<v1::ChangeResult>(self, vault, datamesh::move_atom_v, at("/letters/one.txt", "/letters/first.txt"));
  ask<v1::ChangeResult>(self, vault, datamesh::copy_atom_v, at("/letters/first.txt", "/letters/second.txt"));
  ask<v1::ChangeResult>(self, vault, datamesh::remove_atom_v, at("/letters/second.txt"));
  v1::ListPart list;
  list.set_path("/");
  list.set_recursive(true);
  list.set_limit(10);
  auto page = ask<v1::EntryPage>(self, vault, list);
  require(page.entries_size() == 2 && page.entries(1).path() == "/letters/first.txt", "the names are as they were made");
  require(ask<v1::Entry>(self, vault, datamesh::info_atom_v, at("/letters/first.txt")).mode() == 0640, "with their modes");
  auto wrong = at("/letters/first.txt", "/x");
  wrong.set_conflict(77);
  require(code<v1::ChangeResult>(self, vault, datamesh::move_atom_v, wrong) == datamesh::errc::format_damaged,
          "a number out of its bounds is refused");
  ask<v1::Nothing>(self, vault, caf::flush_atom_v);
  require(ask<v1::VaultStats>(self, vault, datamesh::stats_atom_v).files() == 2, "the trash counts, too");
  require(ask<v1::StatusReport>(self, vault, datamesh::status_atom_v).packs_degraded() == 0, "the status is told");
  v1::Verify verify;
  verify.set_deep(true);
  require(ask<v1::VerifySummary>(self, vault, verify).shards_damaged() == 0, "every block is good");
  self->send(vault, datamesh::cancel_atom_v);
  require(ask<v1::VerifySummary>(self, vault, verify).shards_damaged() == 0, "nothing is cancelled where nothing runs");
}

} // namespace

int main(int argc, char** argv) {
  require(argc == 2, "a folder is given");
  auto root = fs::path(argv[1]);
  fs::remove_all(root);
  fs::create_directories(root);

  caf::actor_system_config config;
  config.add_message_types<caf::id_block::host>();
  config.add_message_types<caf::id_block::datamesh_vault>();
  caf::actor_system system{config};
  auto counter = system.spawn(count_events);

  datamesh::node_options options;
  options.home = root / "home";
  options.on_event = datamesh::tell(counter);
  auto node = need(datamesh::node::create(std::move(options)));
  for (int drive = 1; drive <= 3; ++drive)
    need(node->add_drive(root / ("drive" + std::to_string(drive))));
  need(node->create_vault({.name = "main", .trust_this_device = true}));
  {
    caf::scoped_actor self{system};
    auto vault = datamesh::spawn_vault(system, need(node->open_vault("main", datamesh::credential::this_device())), {.fetch_max = 400'000});
    data_goes_in_and_out(self, vault);
    names_and_care(self, vault);
    auto idle = datamesh::spawn_vault(system, need(node->open_vault("main", datamesh::credential::this_device())), {.jobs_max = 0});
    require(code<v1::VerifySummary>(self, idle, v1::Verify{}) == datamesh::errc::capacity_exceeded, "more jobs than agreed are refused");
    self->send_exit(idle, caf::exit_reason::user_shutdown);
    self->wait_for(idle);
    self->request(system.spawn(keep_order), limit, host::order{"tea"})
        .receive([](std::string& kept) { require(kept == "tea", "the host's own messages arrive"); },
                 [](caf::error&) { require(false, "the host's own actors answer"); });
    self->send_exit(vault, caf::exit_reason::user_shutdown);
    self->wait_for(vault);
  }
  node.reset();
  {
    caf::scoped_actor self{system};
    self->request(counter, limit, caf::get_atom_v)
        .receive([](uint64_t count) { require(count > 0, "the node's events reached the host's actor"); },
                 [](caf::error&) { std::exit(1); });
    self->send_exit(counter, caf::exit_reason::user_shutdown);
  }
  system.await_all_actors_done();
  std::cout << "a vault lived in the host's actor system\n";
}
