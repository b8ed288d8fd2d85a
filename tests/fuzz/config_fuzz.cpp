// The configuration file of the command line, read and changed.
#include "fuzz.hpp"
#include "settings.hpp"

#include <algorithm>

using namespace datamesh;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text{as_text(fuzz::view(data, size))};
  auto parsed = cli::parse_config(text, "config.toml");
  if (!parsed)
    return 0;
  auto changed = cli::set_in_config(text, "config.toml", "memory", "64M");
  // What can not be changed line by line is refused, and never broken.
  if (!changed)
    return 0;
  auto again = cli::parse_config(*changed, "config.toml");
  fuzz::require(again.has_value(), "what was changed still parses");
  auto found = again->find("memory");
  fuzz::require(found != again->end() && found->second.values == std::vector<std::string>{"64M"}, "the change is there");
  again->erase(found);
  parsed->erase("memory");
  auto same = [](const auto& a, const auto& b) {
    return a.first == b.first && a.second.values == b.second.values;
  };
  fuzz::require(std::equal(parsed->begin(), parsed->end(), again->begin(), again->end(), same), "nothing else has changed");
  return 0;
}
