#include "tests/simulation/mesh/courier.hpp"

#include <fmt/format.h>

namespace datamesh::test {

using namespace network;
using std::chrono::milliseconds;

namespace {

/// Courses are dropped of which nothing was heard for so long, when there are so many.
constexpr size_t courses_kept = 100'000;
constexpr auto nothing_comes_after = std::chrono::hours{1};

digest hash_of(std::string_view message, const bytes& body) {
  crypto::hasher hash;
  auto size = message.size();
  hash.update(as_view(message)).update(std::as_bytes(std::span{&size, 1})).update(body.view());
  return hash.finish();
}

using answer_promise = caf::typed_response_promise<v1::PeerAnswer, bytes>;

struct courier_state {
  static inline constexpr const char* name = "courier";
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

} // namespace

// -- what is asked and answered --------------------------------------------------------------------

sim_courier::question sim_courier::question_of(const peer_id& from, const peer_id& to, std::string_view message, const bytes& body) {
  crypto::hasher hash;
  hash.update(from.view()).update(to.view()).update(hash_of(message, body).view());
  return {from, to, hash.finish()};
}

sim_courier::course& sim_courier::course_of(const question& what) {
  auto now = net_.stage.now();
  if (courses_.size() >= courses_kept)
    std::erase_if(courses_, [&](const auto& each) { return now - each.second.last > nothing_comes_after; });
  auto& one = courses_[what.name];
  one.last = now;
  return one;
}

void sim_courier::asked(const question& what) {
  ++course_of(what).asked;
}

/// What was asked over one of two links that crossed is asked again over the other one, so each connection may double it once.
void sim_courier::arrived(const question& what, uint64_t connections) {
  auto& one = course_of(what);
  if (++one.arrived > one.asked + (one.asked > 0 ? connections : 0))
    wrong = fmt::format("node {} was asked {} times by node {} what that asked {} times", what.to.brief(), one.arrived, what.from.brief(),
                        one.asked);
}

void sim_courier::given(const question& what, const digest& answer) {
  course_of(what).given.insert(answer);
}

void sim_courier::came(const question& what, const digest& answer) {
  ++answers;
  auto& given = course_of(what).given;
  auto found = given.find(answer);
  if (found == given.end())
    wrong = fmt::format("node {} was given an answer that node {} did not give to its question, or gave once and not twice",
                        what.from.brief(), what.to.brief());
  else
    given.erase(found);
}

bool sim_courier::happens(uint64_t one_in, const char* what) {
  if (one_in == 0 || net_.stage.chance->below(one_in) != 0)
    return false;
  if (told)
    told(what);
  return true;
}

// -- of one node -----------------------------------------------------------------------------------

link_actor sim_courier::outgoing(const peer_id& self_id, const ip_address& at, link_actor links) {
  at_[self_id] = at;
  using pointer = link_actor::stateful_pointer<courier_state>;
  return net_.stage.sys.spawn([this, self_id, links](pointer self) -> link_actor::behavior_type {
    return {
        [=](const v1::ConnectPeer& request) { return self->delegate(links, request); },
        [=, this](const v1::AskPeer& request, const bytes& body) -> caf::result<v1::PeerAnswer, bytes> {
          auto promise = self->make_response_promise<answer_promise>();
          auto what = question_of(self_id, peer_id::from(as_view(request.peer())), request.message(), body);
          asked(what);
          self->request(links, caf::infinite, request, body)
              .then(
                  [=, this](const v1::PeerAnswer& answer, const bytes& data) mutable {
                    came(what, hash_of(answer.message(), data));
                    promise.deliver(answer, data);
                  },
                  [=](caf::error& reason) mutable { promise.deliver(std::move(reason)); });
          return promise;
        },
        [=](const v1::DropPeer& request) { return self->delegate(links, request); },
        [=](const v1::CheckPeers& request) { self->send(links, request); },
        [=](const v1::ListLinks& request) { return self->delegate(links, request); },
        [=](caf::close_atom close) { return self->delegate(links, close); },
    };
  });
}

peer_handler_actor sim_courier::incoming(const peer_id& self_id, const ip_address& at, peer_handler_actor handler) {
  using pointer = peer_handler_actor::stateful_pointer<courier_state>;
  return net_.stage.sys.spawn([this, self_id, at, handler](pointer self) -> peer_handler_actor::behavior_type {
    return {
        [=, this](const v1::PeerRequest& request, const bytes& body) -> caf::result<v1::PeerAnswer, bytes> {
          auto promise = self->make_response_promise<answer_promise>();
          auto from = peer_id::from(as_view(request.peer()));
          auto what = question_of(from, self_id, request.message(), body);
          arrived(what, net_.connections(at_[from], at));
          // Whoever asked hears nothing, until he waits no more.
          if (happens(habits.loses_request, "request-lost"))
            return promise;
          auto answer_is_lost = happens(habits.loses_answer, "answer-lost");
          auto serve = [=, this](bool is_answered) {
            self->request(handler, milliseconds{request.timeout_ms()}, request, body)
                .then(
                    [=, this](const v1::PeerAnswer& answer, const bytes& data) mutable {
                      if (!is_answered)
                        return;
                      given(what, hash_of(answer.message(), data));
                      promise.deliver(answer, data);
                    },
                    [=](caf::error& reason) mutable {
                      if (is_answered)
                        promise.deliver(std::move(reason));
                    });
          };
          if (happens(habits.doubles, "request-doubled"))
            serve(false);
          if (!happens(habits.delays, "request-overtaken")) {
            serve(!answer_is_lost);
            return promise;
          }
          auto delay = milliseconds{1 + net_.stage.chance->below(2 * request.timeout_ms() + 1)};
          net_.stage.after(delay, [=, alive = std::weak_ptr{self->state.alive}] {
            if (!alive.expired())
              serve(!answer_is_lost);
          });
          return promise;
        },
    };
  });
}

} // namespace datamesh::test
