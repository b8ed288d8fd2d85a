// key: who may open a vault.
#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"
#include "units.hpp"

#include <algorithm>
#include <cstring>

namespace datamesh::cli {

outcome<int> run_key_list(session& s) {
  auto facts = s.chosen_vault();
  if (!facts)
    return refuse(facts.error());
  text_table table{{text_table::align::right, text_table::align::left, text_table::align::left, text_table::align::left}};
  table.heading({"NUMBER", "KIND", "MADE", "LABEL"});
  for (auto& lock : facts->locks) {
    s.out.line(
        json_line{"item"}.add("number", lock.number).add("kind", lock.kind).name("label", lock.label).time("created", lock.created_ns));
    table.row({std::to_string(lock.number), lock.kind, s.out.time(lock.created_ns), printable(lock.label)});
  }
  s.out.page(table.render());
  s.out.line(json_line{"summary"}.name("vault", facts->name).add("keys", facts->locks.size()));
  return 0;
}

namespace {

int key_done(session& s, const vault& v, const std::string& text) {
  s.out.line(json_line{"summary"}.name("vault", v.name()));
  s.out.print("{}", text);
  return 0;
}

} // namespace

outcome<int> run_key_change_password(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto next = s.new_password("new-");
  if (!next)
    return refuse(next.error());
  if (auto done = (*v)->change_password(**next); !done)
    return refuse(done.error());
  return key_done(s, **v, "The new password holds from now on.");
}

namespace {

/// Removes the recovery phrase that nobody saw: the one that was not there *before*.
failure take_back(vault& v, const std::vector<key_lock>& before) {
  auto now = v.key_locks();
  auto is_new = [&](const key_lock& lock) {
    return lock.kind == "recovery-phrase"
           && std::none_of(before.begin(), before.end(), [&](auto& old) { return old.number == lock.number; });
  };
  auto unseen = now ? std::find_if(now->begin(), now->end(), is_new) : decltype(now->begin()){};
  if (now && unseen != now->end() && v.remove_key_lock(unseen->number))
    return {errc::io_failed, "the new recovery phrase was not shown and holds no more", "datamesh key recovery"};
  return {errc::io_failed, "the new recovery phrase holds, but was not shown",
          "remove it, as 'datamesh key list' numbers it, with datamesh key remove NUMBER; then datamesh key recovery"};
}

} // namespace

outcome<int> run_key_recovery(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto before = (*v)->key_locks();
  if (!before)
    return refuse(before.error());
  auto phrase = (*v)->add_recovery_phrase();
  if (!phrase)
    return refuse(phrase.error());
  s.out.line(json_line{"summary"}.name("vault", (*v)->name()).add("recovery_phrase", *phrase));
  print_phrase(s.out, *phrase);
  explicit_bzero(phrase->data(), phrase->size());
  if (s.out.lost())
    s.out.if_lost(take_back(**v, *before));
  return 0;
}

namespace {

/// Why the copy of a key file was not written: all that is about a path of this machine.
failure not_exported(const error& why, const std::string& file) {
  failure told{why};
  auto folder = file.substr(0, std::max<size_t>(file.rfind('/'), 1));
  if (why.code() == errc::not_found)
    told.next = fmt::format("mkdir -p {}, then the same again", shell_word(folder));
  else if (why.code() == errc::no_space)
    told.next = fmt::format("free space where {} is, or name another FILE", shell_word(folder));
  else
    told.next = fmt::format("see what {} is and who may write there, or name another FILE", shell_word(folder));
  return told;
}

} // namespace

outcome<int> run_key_export(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto sealed = (*v)->key_file();
  if (!sealed)
    return refuse(sealed.error());
  auto file = absolute_path(s.arguments()[0]);
  auto files = system_files();
  auto there = files->status(file);
  if (there && there->kind == file_kind::folder)
    return refuse(errc::is_a_folder, fmt::format("'{}' is a folder", printable(file)),
                  "datamesh key export " + shell_word(fmt::format("{}/{}.key", file, (*v)->name())));
  if (!s.set.flag("force") && there)
    return refuse(errc::already_exists, fmt::format("'{}' is there", printable(file)), "run it again with --force, or name another FILE");
  if (auto written = write_whole(*files, file, *sealed, 0600); !written)
    return refuse(not_exported(written.error(), file));
  s.out.line(json_line{"summary"}.name("vault", (*v)->name()).name("file", file).add("bytes", sealed->size()));
  s.out.print("Copied the key file of '{}' to {}.", printable((*v)->name()), printable(file));
  s.out.note("What opens the vault opens it there, too. Should this home be lost: datamesh vault restore FILE --drive DIR...");
  return 0;
}

outcome<int> run_key_trust_device(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  if (auto done = (*v)->trust_this_device(); !done)
    return refuse(done.error());
  return key_done(s, **v, "This machine opens the vault without a password from now on.");
}

outcome<int> run_key_remove(session& s) {
  auto facts = s.chosen_vault();
  if (!facts)
    return refuse(facts.error());
  auto number = static_cast<uint32_t>(parse_size(s.arguments()[0]).value_or(0));
  auto lock = std::find_if(facts->locks.begin(), facts->locks.end(), [&](auto& l) { return l.number == number; });
  if (lock == facts->locks.end())
    return refuse(errc::not_found, fmt::format("the vault has no key number {}", number), "datamesh key list");
  auto shown = fmt::format("{} {} ({})", lock->kind, number, printable(lock->label));
  if (!s.dry_run()) {
    auto sure = s.confirm(fmt::format("Remove the {}? What it opens stays open to the other keys only.", shown));
    if (!sure)
      return refuse(sure.error());
    if (!*sure)
      return refuse(not_confirmed("the key stays"));
    auto v = s.open_vault();
    if (!v)
      return refuse(v.error());
    if (auto done = (*v)->remove_key_lock(number); !done)
      return refuse(done.error());
  }
  s.out.line(json_line{"summary"}.add("dry_run", s.dry_run()).name("vault", facts->name).add("number", number));
  s.out.print("{} the {}.", s.dry_run() ? "Would remove" : "Removed", shown);
  return 0;
}

outcome<int> run_key_rotate(session& s) {
  auto v = s.open_vault();
  if (!v)
    return refuse(v.error());
  auto epoch = (*v)->rotate_epoch();
  if (!epoch)
    return refuse(epoch.error());
  s.out.line(json_line{"summary"}.name("vault", (*v)->name()).add("epoch", *epoch));
  s.out.print("New data is sealed under key {} from now on.", *epoch);
  s.out.print("Copies of the key file that were made before do not open it; run: datamesh key export FILE");
  return 0;
}

} // namespace datamesh::cli
