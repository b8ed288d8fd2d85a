#include "datamesh/base/ordered_store.hpp"

namespace datamesh {

std::string prefix_end(std::string_view prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xff)
    prefix.remove_suffix(1);
  std::string end{prefix};
  if (!end.empty())
    end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

} // namespace datamesh
