#include "storage/pack_run.hpp"

namespace datamesh::storage {

void answer(intake_batch& batch, const caf::error& reason) {
  if (auto* sealing = std::get_if<seal_promise>(&batch.promise)) {
    if (reason)
      sealing->deliver(reason);
    else
      sealing->deliver(std::move(batch.reply));
    return;
  }
  auto& copying = std::get<done_promise>(batch.promise);
  if (reason)
    copying.deliver(reason);
  else
    copying.deliver(v1::Done{});
}

stage_wait stage_of(const pack_run& run) {
  using stage = pack_run::stage;
  switch (run.at) {
  case stage::filling:
    return {run.jobs > 0 ? transfer_stage::codec : transfer_stage::none};
  case stage::ready:
    return {transfer_stage::catalog};
  case stage::coding:
    return {run.asks_catalog ? transfer_stage::catalog : transfer_stage::codec};
  case stage::coded:
    return {};
  case stage::storing:
    return {transfer_stage::drives, run.answers_due.size() == 1 ? *run.answers_due.begin() : drive_id{}};
  case stage::stored:
    return {transfer_stage::catalog};
  }
  return {};
}

} // namespace datamesh::storage
