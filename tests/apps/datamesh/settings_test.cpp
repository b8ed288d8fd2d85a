#include "settings.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::cli;

namespace {

using values = std::map<std::string, std::string>;

variables env_of(values v) {
  return [v = std::move(v)](const std::string& name) -> std::optional<std::string> {
    auto i = v.find(name);
    return i == v.end() ? std::nullopt : std::optional{i->second};
  };
}

settings resolve(const std::vector<std::string>& words, values env, const std::string& config) {
  auto line = parse_command_line(words);
  REQUIRE(line);
  auto parsed = parse_config(config, "config.toml");
  REQUIRE(parsed);
  auto set = settings::resolve(*line, env_of(std::move(env)), *parsed);
  REQUIRE(set);
  return *set;
}

std::string config_error(const std::string& text) {
  auto parsed = parse_config(text, "config.toml");
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().code == errc::config_invalid);
  return parsed.error().what;
}

} // namespace

TEST_CASE("a flag counts more than a variable, that more than the file, that more than the default", "[settings]") {
  auto origin_of = [](const settings& s) {
    return s.all().find("color")->second.from;
  };
  auto all = resolve({"ls", "--color", "never"}, {{"DATAMESH_COLOR", "always"}}, "color = 'auto'");
  CHECK(all.text("color") == "never");
  CHECK(origin_of(all) == origin::flag);
  auto variable = resolve({"ls"}, {{"DATAMESH_COLOR", "always"}}, "color = 'auto'");
  CHECK(variable.text("color") == "always");
  CHECK(origin_of(variable) == origin::environment);
  CHECK(variable.all().find("color")->second.where == "DATAMESH_COLOR");
  auto file = resolve({"ls"}, {}, "\ncolor = 'never'");
  CHECK(file.text("color") == "never");
  CHECK(origin_of(file) == origin::config);
  CHECK(file.all().find("color")->second.where == "config.toml:2");
  auto none = resolve({"ls"}, {}, "");
  CHECK(none.text("color") == "auto");
  CHECK_FALSE(none.given("color"));
}

TEST_CASE("a flag that is off on the command line beats one that is on in the file", "[settings]") {
  CHECK(resolve({"ls"}, {}, "json = true").flag("json"));
  CHECK_FALSE(resolve({"ls", "--json=false"}, {}, "json = true").flag("json"));
  CHECK_FALSE(resolve({"ls"}, {{"DATAMESH_JSON", "0"}}, "json = true").flag("json"));
}

TEST_CASE("numbers and sizes of the file may be written with and without quotes", "[settings]") {
  CHECK(resolve({"put", "a"}, {}, "memory = '192M'").number("memory") == 192ull << 20);
  CHECK(resolve({"put", "a"}, {}, "memory = 50000000").number("memory") == 50'000'000);
  CHECK(resolve({"cleanup"}, {}, "trash-age = '7d'").number("trash-age") == 604'800);
}

TEST_CASE("lists come from arrays and from variables with colons", "[settings]") {
  using list = std::vector<std::string>;
  CHECK(resolve({"put", "a"}, {}, "exclude = ['*.o', 'build']").list("exclude") == list{"*.o", "build"});
  CHECK(resolve({"put", "a"}, {{"DATAMESH_EXCLUDE", "*.o:tmp"}}, "exclude = 'x'").list("exclude") == list{"*.o", "tmp"});
}

TEST_CASE("unknown keys and wrong values name line and suggestion", "[settings]") {
  CHECK(config_error("json = true\ncolr = 'auto'") == "config.toml, line 2: unknown key 'colr'; did you mean 'color'?");
  CHECK(config_error("color = 'blue'").starts_with("config.toml, line 1: 'color': 'blue' is none of"));
  CHECK(config_error("json = 'perhaps'").find("neither true nor false") != std::string::npos);
  CHECK(config_error("json = 1.5").find("wrong type") != std::string::npos);
  CHECK(config_error("color = ['auto']").find("not a list") != std::string::npos);
  CHECK(config_error("[put]\nexclude = 'x'").find("unknown key 'put'") != std::string::npos);
  CHECK(config_error("json = \n").starts_with("config.toml, line 1:"));
}

TEST_CASE("numbers that no command would take are refused wherever they stand, and told with their place", "[settings]") {
  CHECK(config_error("json = true\nmemory = '10M'") == "config.toml, line 2: 'memory': '10M' is too little; the least is 40.0 MiB");
  CHECK(config_error("memory = 41943039").find("too little") != std::string::npos);
  CHECK(parse_config("memory = '40M'", "config.toml"));
  CHECK(config_error("compression = 20") == "config.toml, line 1: 'compression': '20' is too much; the most is 19");
  CHECK(parse_config("compression = 19", "config.toml"));
  CHECK(config_error("threads = 1025").find("the most is 1024") != std::string::npos);
  auto line = parse_command_line({"ls"});
  auto set = settings::resolve(*line, env_of({{"DATAMESH_MEMORY", "1M"}}), {});
  REQUIRE_FALSE(set);
  CHECK(set.error().what == "variable DATAMESH_MEMORY: '1M' is too little; the least is 40.0 MiB");
  auto option = parse_command_line({"ls", "--memory", "1M"});
  REQUIRE_FALSE(option);
  CHECK(option.error().what == "option '--memory': '1M' is too little; the least is 40.0 MiB");
}

TEST_CASE("what confirms or destroys can not stand in the file", "[settings]") {
  for (auto key : {"yes", "force", "dry-run", "recursive", "phrase-file", "new-password-file"}) {
    CAPTURE(key);
    CHECK(config_error(std::string{key} + " = true").find("unknown key") != std::string::npos);
  }
}

TEST_CASE("a variable with a wrong value is refused by its name", "[settings]") {
  auto line = parse_command_line({"ls"});
  auto set = settings::resolve(*line, env_of({{"DATAMESH_COLOR", "blue"}}), {});
  REQUIRE_FALSE(set);
  CHECK(set.error().what.starts_with("variable DATAMESH_COLOR:"));
}

TEST_CASE("the files lie where XDG says, and for root where the system keeps them", "[settings]") {
  auto user = standard_paths(env_of({{"HOME", "/home/ann"}}), 1000);
  CHECK(user.config_file == "/home/ann/.config/datamesh/config.toml");
  CHECK(user.machine_config_file.empty());
  CHECK(user.home == "/home/ann/.local/share/datamesh");
  auto xdg = standard_paths(env_of({{"HOME", "/nonexistent"}, {"XDG_CONFIG_HOME", "/c"}, {"XDG_DATA_HOME", "/d"}}), 0);
  CHECK(xdg.config_file == "/c/datamesh/config.toml");
  CHECK(xdg.machine_config_file.empty());
  CHECK(xdg.home == "/d/datamesh");
  auto root = standard_paths(env_of({{"HOME", "/root"}, {"XDG_DATA_HOME", "relative"}}), 0);
  CHECK(root.config_file == "/root/.config/datamesh/config.toml");
  CHECK(root.machine_config_file == "/etc/datamesh/config.toml");
  CHECK(root.home == "/var/lib/datamesh");
  for (const auto& [home, uid] : {std::pair{"", 0u}, {"relative", 0u}, {"/root", 999u}}) {
    auto system = standard_paths(env_of({{"HOME", home}}), uid);
    CHECK(system.config_file == "/etc/datamesh/config.toml");
    CHECK(system.machine_config_file.empty());
  }
}

TEST_CASE("setting a key leaves comments and other lines alone", "[settings]") {
  std::string text = "# mine\njson = true # always\nvault = \"old\"\ncolor = 'auto'\n";
  auto changed = set_in_config(text, "config.toml", "vault", "new \"one\"");
  REQUIRE(changed);
  CHECK(*changed == "# mine\njson = true # always\nvault = \"new \\\"one\\\"\"\ncolor = 'auto'\n");
  CHECK(parse_config(*changed, "config.toml")->find("vault")->second.values == std::vector<std::string>{"new \"one\""});
  auto added = set_in_config("json = true\n", "config.toml", "vault", "x");
  REQUIRE(added);
  CHECK(*added == "vault = \"x\"\njson = true\n");
}

TEST_CASE("a value over several lines is not replaced by halves", "[settings]") {
  std::string text = "vault = \"\"\"\nold\"\"\"\n";
  auto changed = set_in_config(text, "config.toml", "vault", "new");
  REQUIRE_FALSE(changed);
  CHECK(changed.error().code == errc::config_invalid);
  // The same, but what is left over would pass for a setting.
  text = "vault = \"\"\"\njson = true #\"\"\"\n";
  REQUIRE(parse_config(text, "config.toml"));
  CHECK_FALSE(set_in_config(text, "config.toml", "vault", "new"));
}

TEST_CASE("a byte order mark stays before all else", "[settings]") {
  std::string mark = "\xEF\xBB\xBF";
  CHECK(set_in_config(mark + "# mine\n", "config.toml", "vault", "x").value() == mark + "vault = \"x\"\n# mine\n");
  CHECK(set_in_config(mark + "vault = \"old\"\n", "config.toml", "vault", "x").value() == mark + "vault = \"x\"\n");
}

TEST_CASE("a letter beyond ASCII outside of quotes is refused, as any other is", "[settings]") {
  for (const auto* text : {"\xC3\xA9 = 1\n", "vault = \xC3\xA9\n", "vault = 'x' \xEF\xBB\xAF\n"}) {
    auto parsed = parse_config(text, "config.toml");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == errc::config_invalid);
  }
  CHECK(parse_config("vault = '\xC3\xA9' # \xC3\xA9\n", "config.toml"));
}

TEST_CASE("a configuration that is cut off, or no date where one begins, is refused", "[settings]") {
  for (const auto* text : {"[\"xy", "[", "[ $", "vault = 1979-05-27Tz07:32:00Z", "vault = [", "vault = {", "vault =", "vault"}) {
    auto parsed = parse_config(text, "config.toml");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == errc::config_invalid);
  }
}

TEST_CASE("a configuration with control characters, or not in UTF-8, is refused with its line", "[settings]") {
  using namespace std::string_literals;
  for (const auto& line : {"[ \0\0$\6"s, "[\0"s, "vault = '\x1b'"s, "# \x7f"s, "vault = '\xff'"s}) {
    auto parsed = parse_config("json = true\r\n" + line + "\n", "config.toml");
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == errc::config_invalid);
    CHECK(parsed.error().what.find("line 2") != std::string::npos);
  }
}
