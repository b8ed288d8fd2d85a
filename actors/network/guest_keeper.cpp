#include "network/guest_keeper.hpp"

namespace datamesh::network {

namespace {

struct keeper_state {
  static inline constexpr const char* name = "guest-keeper";
};

using keeper_pointer = guest_keeper_actor::stateful_pointer<keeper_state>;

class keeper {
public:
  explicit keeper(const keeper_parts& parts) : parts_(parts) {}

  [[nodiscard]] result<shard_answer> claim(const v1::ClaimGuest& request) const {
    auto by = read_ticket(as_view(request.ticket()));
    if (!by)
      return fail(by.error());
    auto kept = parts_.guests->renew(*by);
    if (!kept)
      return fail(kept.error());
    if (!*kept)
      return upload_begun{};
    return receipt_of(**kept).map([](bytes raw) -> shard_answer { return upload_begun{std::move(raw)}; });
  }

  [[nodiscard]] result<shard_answer> keep(const v1::KeepGuest& request, const bytes& body) const {
    auto by = read_ticket(as_view(request.ticket()));
    if (!by)
      return fail(by.error());
    auto header = storage::parse_shard_header(as_view(request.header()));
    if (!header)
      return fail(header.error());
    auto kept = parts_.guests->store({std::move(*by), std::move(*header), body}, request.room());
    if (!kept)
      return fail(kept.error());
    return receipt_of(*kept).map([](bytes raw) -> shard_answer { return shard_kept{std::move(raw)}; });
  }

  [[nodiscard]] result<shard_answer> remove(const v1::RemoveGuests& request) const {
    auto what = read_deletion(as_view(request.deletion()));
    if (!what)
      return fail(what.error());
    auto removed = parts_.guests->remove(*what, request.room());
    if (!removed)
      return fail(removed.error());
    removal done;
    done.holder = parts_.identity->key();
    done.owner = what->owner;
    done.pack = what->pack;
    done.by = what->name();
    done.removed = parts_.time->wall();
    done.shards = *removed;
    auto signed_word = sign(parts_.mesh, std::move(done), signer());
    if (!signed_word)
      return fail(signed_word.error());
    return pack_deleted{signed_word->raw};
  }

  [[nodiscard]] result<shard_answer> keep(const v1::KeepRoster& request) const {
    auto what = read_roster(as_view(request.roster()));
    if (!what)
      return fail(what.error());
    return parts_.guests->keep(*what).map([](bool) -> shard_answer { return roster_kept{}; });
  }

  [[nodiscard]] result<void> remember(const v1::RememberSiblings& request) const {
    std::vector<ticket> siblings;
    for (const auto& raw : request.ticket()) {
      auto read = read_ticket(as_view(raw));
      if (!read)
        return fail(read.error());
      siblings.push_back(std::move(*read));
    }
    return parts_.guests->remember(siblings);
  }

  [[nodiscard]] result<void> let_go(const v1::LetGoOfGuest& request) const {
    auto by = read_ticket(as_view(request.ticket()));
    return by ? parts_.guests->let_go(*by) : fail(by.error());
  }

  [[nodiscard]] result<void> expire() const {
    return parts_.guests->expire().map([](uint64_t) {});
  }
  [[nodiscard]] v1::GuestsSettled settle() const {
    v1::GuestsSettled settled;
    settled.set_done(parts_.guests->settle());
    return settled;
  }
  [[nodiscard]] result<void> flush() const {
    return parts_.guests->flush();
  }

private:
  [[nodiscard]] word_signer signer() const {
    return [identity = parts_.identity](byte_view message) {
      return identity->sign(message);
    };
  }
  [[nodiscard]] result<bytes> receipt_of(const kept_guest& kept) const {
    auto signed_word = sign(parts_.mesh, receipt_for(kept.by, parts_.identity->key(), kept.stored), signer());
    if (!signed_word)
      return fail(signed_word.error());
    return signed_word->raw;
  }

  keeper_parts parts_;
};

caf::result<v1::PeerAnswer, bytes> answer(const result<shard_answer>& outcome) {
  if (!outcome)
    return to_caf(outcome.error());
  v1::PeerAnswer message;
  message.set_message(encode(*outcome));
  return {std::move(message), bytes{}};
}

caf::result<v1::Done> answer(const result<void>& outcome) {
  if (!outcome)
    return to_caf(outcome.error());
  return v1::Done{};
}

guest_keeper_actor::behavior_type keep(keeper_pointer, const keeper_parts& parts) {
  keeper does{parts};
  return {
      [=](const v1::ClaimGuest& request) { return answer(does.claim(request)); },
      [=](const v1::KeepGuest& request, const bytes& body) { return answer(does.keep(request, body)); },
      [=](const v1::RemoveGuests& request) { return answer(does.remove(request)); },
      [=](const v1::KeepRoster& request) { return answer(does.keep(request)); },
      [=](const v1::RememberSiblings& request) { return answer(does.remember(request)); },
      [=](const v1::LetGoOfGuest& request) { return answer(does.let_go(request)); },
      [=](const v1::ExpireGuests&) { return answer(does.expire()); },
      [=](const v1::SettleGuests&) { return does.settle(); },
      [=](caf::close_atom) { return answer(does.flush()); },
  };
}

} // namespace

guest_keeper_actor spawn_guest_keeper(caf::actor_system& sys, const keeper_parts& parts) {
  return storage::spawn_worker(parts.place, sys, keep, parts);
}

} // namespace datamesh::network
