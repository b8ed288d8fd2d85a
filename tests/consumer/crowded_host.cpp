// A host that has a life of its own: the full protobuf library with a message of the
// same name as one of ours, spdlog as its logger, and two nodes at once.
#include "host_operation.pb.h"

#include <datamesh/node.hpp>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace fs = std::filesystem;

namespace {

void require(bool condition, const std::string& sentence) {
  if (!condition) {
    std::cerr << "not so: " << sentence << "\n";
    std::exit(1);
  }
}

template <class T>
T need(datamesh::result<T> answer) {
  require(answer.has_value(), answer ? "" : answer.error().message());
  if constexpr (!std::is_void_v<T>)
    return std::move(*answer);
}

class counting_sink : public spdlog::sinks::base_sink<std::mutex> {
public:
  size_t count = 0;

protected:
  void sink_it_(const spdlog::details::log_msg&) override {
    ++count;
  }
  void flush_() override {}
};

// The library's records go where the host says.
class bridge : public datamesh::log_sink {
public:
  void write(datamesh::severity, std::string_view component, std::string_view message, std::span<const datamesh::log_field>) override {
    std::lock_guard guard{mutex_};
    records_.push_back(std::string{component} + ": " + std::string{message});
  }

private:
  std::mutex mutex_;
  std::vector<std::string> records_;
};

// The host's own message still has the host's fields, in the registry and on the wire.
void host_protobuf_is_whole() {
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  const auto* type = pool->FindMessageTypeByName("datamesh.v1.Operation");
  require(type != nullptr && type->field_count() == 3, "the registry knows the host's message");
  require(type->FindFieldByName("surgeon") != nullptr, "it has the host's fields");
  datamesh::v1::Operation message;
  message.set_surgeon("Larrey");
  message.add_dose(0.5);
  message.mutable_theatre()->set_floor(3);
  datamesh::v1::Operation again;
  require(again.ParseFromString(message.SerializeAsString()), "it is read back");
  std::string json;
  require(google::protobuf::util::MessageToJsonString(again, &json).ok(), "reflection works");
  require(json == R"({"surgeon":"Larrey","dose":[0.5],"theatre":{"floor":3}})", "nothing of it is lost: " + json);
}

struct neighbour {
  std::unique_ptr<datamesh::node> node;
  fs::path root;
  std::string name;
};

neighbour move_in(const fs::path& root, const std::string& name) {
  fs::create_directories(root / "back");
  std::ofstream(root / "note.txt") << "written for " << name;
  datamesh::node_options options;
  options.home = root / "home";
  options.environment.log = std::make_shared<bridge>();
  neighbour out{need(datamesh::node::create(std::move(options))), root, name};
  for (int drive = 1; drive <= 3; ++drive)
    need(out.node->add_drive(root / ("drive" + std::to_string(drive))));
  need(out.node->create_vault({.name = "main", .password = datamesh::credential::password(name)}));
  return out;
}

void live(neighbour& who) {
  auto vault = need(who.node->open_vault("main", datamesh::credential::password(who.name)));
  for (int round = 0; round < 5; ++round) {
    auto path = "/note-" + who.name + std::to_string(round);
    need(vault.put({.sources = {{who.root / "note.txt", path}}}));
    need(vault.get({.paths = {path}, .target_folder = who.root / "back"}));
    host_protobuf_is_whole();
  }
  auto page = need(vault.list({}));
  require(page.entries.size() == 5, "a node sees its own files only");
  for (const auto& entry : page.entries)
    require(entry.name.starts_with("note-" + who.name), "and they are its own");
}

} // namespace

int main(int argc, char** argv) {
  require(argc == 2, "a folder is given");
  auto root = fs::path(argv[1]);
  fs::remove_all(root);

  auto sink = std::make_shared<counting_sink>();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("host", sink));
  spdlog::set_level(spdlog::level::trace);
  spdlog::info("the host is up");
  host_protobuf_is_whole();
  {
    std::vector<neighbour> both;
    both.push_back(move_in(root / "a", "ann"));
    both.push_back(move_in(root / "b", "bob"));
    std::vector<std::jthread> threads;
    for (auto& one : both)
      threads.emplace_back([&one] { live(one); });
    threads.clear();
    // One leaves, the other stays.
    both.erase(both.begin());
    auto& bob = both.front();
    auto vault = need(bob.node->open_vault("main", datamesh::credential::password(bob.name)));
    need(vault.get({.paths = {"/note-bob0"}, .target_folder = bob.root / "back", .target_name = "again"}));
  }
  host_protobuf_is_whole();
  spdlog::info("the host goes on");
  size_t loggers = 0;
  spdlog::apply_all([&](const std::shared_ptr<spdlog::logger>&) { ++loggers; });
  require(loggers == 1, "the host's registry holds the host's logger alone");
  require(sink->count == 2, "and the host's log holds what the host wrote");
  std::cout << "two nodes and the host's own protobuf and log got along\n";
}
