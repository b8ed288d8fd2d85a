#include "checkup.hpp"

#include "display.hpp"

namespace datamesh::cli {

void checkup::tell(finding result, std::string_view check, const std::string& cause, const std::string& run, std::optional<int64_t> at) {
  static constexpr std::string_view names[] = {"ok", "warn", "fail"};
  static constexpr tone tones[] = {tone::good, tone::warning, tone::bad};
  auto i = static_cast<size_t>(result);
  count(result);
  json_line line{"item"};
  line.add("result", names[i]).add("check", check).add("cause", cause);
  if (!run.empty())
    line.add("run", run);
  if (at)
    line.time("since", *at);
  out_->line(line);
  if (at)
    out_->print("{}", out_->time(*at));
  out_->print("{}{}  {:<12} {}", out_->paint(tones[i], names[i]), std::string(4 - names[i].size(), ' '), check, printable(cause));
  if (!run.empty())
    out_->print("      run: {}", printable(run));
}

int checkup::finish(std::string_view command) {
  out_->line(json_line{"summary"}.add("ok", counted(finding::ok)).add("warn", counted(finding::warn)).add("fail", counted(finding::fail)));
  if (counted(finding::fail) > 0)
    return out_->json() ? out_->fail(command, failure{errc::io_failed, fmt::format("{} checks failed", counted(finding::fail))}) : 1;
  if (counted(finding::warn) > 0)
    return out_->json() ? out_->fail(command, failure{errc::degraded, fmt::format("{} checks gave a warning", counted(finding::warn))}) : 3;
  return 0;
}

} // namespace datamesh::cli
