#!/usr/bin/env python3
"""Shows every house rule a sample that it must refuse and one that it must let pass."""

import contextlib
import io
import os
import sys
import tempfile
import unittest

import rules
from rules import RULES, Tree

SRC = "libdatamesh/src/"
INC = "libdatamesh/include/datamesh/"
ROCKSDB = "#include <rocksdb/db.h>\n"

# rule: ([trees it must refuse], [trees it must let pass])
SAMPLES = {
    "arrows": (
        [
            {SRC + "storage/a.cpp": '#include "actors/storage/b.hpp"\n', "actors/storage/b.hpp": ""},
            {SRC + "storage/a.cpp": '#include "storage/b.hpp"\n', "actors/storage/b.hpp": ""},
            {"actors/vault/a.cpp": '#include "../../apps/datamesh/b.hpp"\n', "apps/datamesh/b.hpp": ""},
            {INC + "node.hpp": '#include "datamesh/vault_actor.hpp"\n', INC + "vault_actor.hpp": ""},
        ],
        [
            {"apps/datamesh/a.cpp": '#include "datamesh/node.hpp"\n', INC + "node.hpp": ""},
            {"actors/vault/a.cpp": '#include "storage/b.hpp"\n#include "datamesh/v1/c.pb.h"\n', SRC + "storage/b.hpp": "", "proto/datamesh/v1/c.proto": ""},
        ],
    ),
    "rooms": (
        [
            {SRC + "crypto/a.hpp": '#include "storage/b.hpp"\n', SRC + "storage/b.hpp": ""},
            {SRC + "base/a.cpp": '#include "../crypto/b.hpp"\n', SRC + "crypto/b.hpp": ""},
            {INC + "base/a.hpp": '#include "crypto/b.hpp"\n', SRC + "crypto/b.hpp": ""},
        ],
        [{SRC + "storage/a.cpp": '#include "crypto/b.hpp"\n', SRC + "crypto/b.hpp": ""}],
    ),
    "no_caf_in_engines": (
        [
            {SRC + "storage/a.cpp": "#include <caf/all.hpp>\n"},
            {INC + "node.hpp": '  #  include "caf/actor.hpp"\n'},
            {SRC + "base/a.hpp": "namespace caf { class actor; }\nvoid f(caf::actor*);\n"},
        ],
        [{INC + "vault_actor.hpp": "#include <caf/all.hpp>\nusing x = caf::actor;\n"}, {SRC + "base/a.cpp": "// As caf::actor does.\n"}],
    ),
    "engine_headers": (
        [
            {SRC + "storage/a.hpp": ROCKSDB},
            {SRC + "storage/a.hpp": '#include "datamesh/v1/pack.pb.h"\n'},
            {SRC + "crypto/a.hpp": "#include <openssl/evp.h>\n"},
            {SRC + "crypto/a.hpp": "#include <sodium.h>\n"},
            {SRC + "crypto/a.hpp": "#include <blake3.h>\n"},
            {SRC + "storage/a.hpp": "#include <zstd.h>\n"},
            {SRC + "storage/a.hpp": "#include <isa-l.h>\n"},
            {SRC + "storage/a.hpp": "#include <isa-l/erasure_code.h>\n"},
        ],
        [{SRC + "storage/a.cpp": ROCKSDB + '#include "datamesh/v1/pack.pb.h"\n'}, {SRC + "storage/a.hpp": "#include <vector>\n"}],
    ),
    "exported_headers": (
        [
            {INC + "node.hpp": "#include <caf/all.hpp>\n"},
            {INC + "node.hpp": "#include <google/protobuf/message_lite.h>\n"},
            {INC + "node.hpp": "#include <boost/asio.hpp>\n"},
            {INC + "node.hpp": ROCKSDB},
            {INC + "node.hpp": "namespace rocksdb { class DB; }\nrocksdb::DB* db();\n"},
            {INC + "node.hpp": "namespace google::protobuf {}\nvoid f(google::protobuf::Message&);\n"},
            {INC + "node.hpp": "struct x { EVP_PKEY* key; };\n"},
            {INC + "node.hpp": '#include "storage/pack.hpp"\n', SRC + "storage/pack.hpp": ""},
        ],
        [
            {INC + "vault_actor.hpp": '#include <caf/all.hpp>\n#include "datamesh/v1/pack.pb.h"\n'},
            {INC + "node.hpp": '// Over rocksdb::DB.\n#include <tl/expected.hpp>\n#include "datamesh/event.hpp"\n', INC + "event.hpp": ""},
        ],
    ),
    "no_caf_network": (
        [
            {"actors/a.cpp": "#include <caf/io/middleman.hpp>\n"},
            {"tests/a.cpp": '#include "caf/openssl/all.hpp"\n'},
            {"actors/CMakeLists.txt": "target_link_libraries(x caf_io)\n"},
            {"cmake/FindCAF.cmake": "find_library(CAF_IO_LIBRARY\n  caf_io)\n"},
            {"apps/CMakeLists.txt": "target_link_libraries(x CAF::openssl)\n"},
        ],
        [{"actors/CMakeLists.txt": "# caf_io is not linked.\ntarget_link_libraries(x CAF::core)\n"}, {"actors/a.cpp": "#include <caf/all.hpp>\n"}],
    ),
    "requests_end": (
        [{"actors/storage/a.cpp": "self->request(whom, caf::infinite, x);\n"}],
        [{"actors/storage/ask.hpp": "constexpr auto until_answered = caf::infinite;\n"}, {"tests/a.cpp": "caf::infinite;\n"}],
    ),
    "no_coroutines": (
        [{"actors/a.cpp": "co_await x;\n"}, {"apps/a.hpp": "co_return 1;\n"}, {"tests/a.cpp": "f(boost::asio::use_awaitable);\n"}],
        [{"actors/a.cpp": '// No co_await here.\nauto s = "co_yield";\n'}],
    ),
    "nothing_ambient": (
        [
            {SRC + "storage/a.cpp": "auto t = std::chrono::system_clock::now();\n"},
            {"actors/a.cpp": "auto t = clock::steady_clock ::now();\n"},
            {SRC + "storage/a.hpp": "auto t = time(nullptr);\n"},
            {SRC + "storage/a.cpp": "auto t = std::time(0);\n"},
            {SRC + "crypto/a.cpp": "std::random_device d;\n"},
            {SRC + "crypto/a.cpp": "int i = rand();\n"},
            {SRC + "crypto/a.cpp": "RAND_bytes(p, 32);\n"},
            {SRC + "crypto/a.cpp": "getrandom(p, 32, 0);\n"},
            {SRC + "crypto/a.cpp": "randombytes_buf(p, 32);\n"},
            {SRC + "storage/a.cpp": "#include <fstream>\n"},
            {SRC + "storage/a.cpp": "std::ifstream in(path);\n"},
            {SRC + "storage/a.cpp": "int fd = ::open(path, O_RDONLY);\n"},
            {"actors/a.cpp": "std::filesystem::remove(path);\n"},
            {"actors/a.cpp": "int s = ::socket(AF_INET, SOCK_STREAM, 0);\n"},
            {INC + "base/system_clock.hpp": "inline auto t() { return std::chrono::steady_clock::now(); }\n"},
        ],
        [
            {SRC + "base/system_clock.cpp": "auto t = std::chrono::system_clock::now();\n"},
            {SRC + "base/system_random.cpp": "getrandom(p, 32, 0);\n"},
            {SRC + "storage/a.cpp": "auto t = env.clock->now(); disk.open(path); s.time(0); x.rand(); files::open(p);\n"},
            {SRC + "storage/a.cpp": "std::chrono::steady_clock::time_point at; // not steady_clock::now()\n"},
            {"tests/support/seeded.cpp": "std::mt19937_64 g;\n"},
        ],
    ),
    "names_say_something": (
        [
            {SRC + "utils/a.cpp": ""},
            {SRC + "storage/pack_helpers.hpp": ""},
            {"actors/common/a.cpp": ""},
            {"apps/datamesh/misc.cpp": ""},
            {SRC + "storage/shard-manager.cpp": ""},
            {"tests/Helper/a.cpp": ""},
        ],
        [{SRC + "storage/commonly_used.cpp": "", "README.md": "", "docs/common.md": ""}],
    ),
    "tests_never_sleep": (
        [
            {"tests/a.cpp": "std::this_thread::sleep_for(1ms);\n"},
            {"tests/a.cpp": "usleep(10);\n"},
            {"tests/a.cpp": "  ::sleep(1);\n"},
            {"tests/e2e/a.py": "import time\ntime.sleep(1)\n"},
            {"tests/e2e/a.sh": "while true; do sleep 1; done\n"},
            {"tests/e2e/a.sh": "sleep 0.2\n"},
        ],
        [{"tests/a.cpp": "// Never sleep(1).\nx.sleep(1);\n"}, {"tests/e2e/a.sh": "# sleep 1\n"}, {SRC + "base/a.cpp": "sleep_for(1s);\n"}],
    ),
    "tests_are_sentences": (
        [{"tests/a.cpp": 'TEST_CASE("pack1", "[pack]") {\n'}, {"tests/a.cpp": 'TEST_CASE_METHOD(fixture, "read write") {\n'}],
        [{"tests/a.cpp": 'TEST_CASE("a truncated header is refused", "[shard]") {\n'}],
    ),
    "sources_are_listed": (
        [
            {SRC + "base/a.cpp": "", SRC + "base/CMakeLists.txt": "datamesh_room(x SOURCES b.cpp)\n"},
            {SRC + "base/a.cpp": "", SRC + "base/CMakeLists.txt": "# a.cpp\n"},
            {"tests/a_test.cpp": ""},
            {"proto/datamesh/v1/a.proto": "", "proto/CMakeLists.txt": "set(protos datamesh/v1/b.proto)\n"},
        ],
        [
            {SRC + "base/a.cpp": "", SRC + "base/CMakeLists.txt": "datamesh_room(x\n  SOURCES\n    a.cpp)\n"},
            {SRC + "base/a.cpp": "", "libdatamesh/CMakeLists.txt": "add_library(x src/base/a.cpp)\n"},
            {"proto/datamesh/v1/a.proto": "", "proto/CMakeLists.txt": "set(protos datamesh/v1/a.proto)\n"},
        ],
    ),
    "lite_protos": (
        [
            {"proto/datamesh/v1/a.proto": "package datamesh.v1;\n"},
            {"proto/datamesh/v1/a.proto": "package other;\noption optimize_for = LITE_RUNTIME;\n"},
            {"actors/CMakeLists.txt": "target_link_libraries(x protobuf::libprotobuf)\n"},
        ],
        [
            {"proto/datamesh/v1/a.proto": "package datamesh.v1;\noption optimize_for = LITE_RUNTIME;\n"},
            {"actors/CMakeLists.txt": "target_link_libraries(x protobuf::libprotobuf-lite)\n"},
        ],
    ),
    "guarded_headers": (
        [{SRC + "base/a.hpp": "int x;\n"}, {SRC + "base/a.hpp": "#pragma once\nusing namespace std;\n"}],
        [{SRC + "base/a.hpp": "// What it is.\n#pragma once\nusing std::string; // not using namespace std;\n"}],
    ),
}

VERSION = "#define DATAMESH_VERSION_MAJOR 0\n#define DATAMESH_VERSION_MINOR 1\n#define DATAMESH_VERSION_PATCH 0\n"
PROJECT = "project(datamesh VERSION 0.1.0 LANGUAGES CXX)\n"
SAMPLES["one_seal"] = (
    [
        {SRC + "storage/a.cpp": "bool f() { return EVP_EncryptInit_ex2(c, a, k, n, nullptr) == 1; }\n"},
        {"actors/a.cpp": "int f() { return EVP_CipherInit_ex2(c, a, k, n, 1, nullptr); }\n"},
        {"apps/datamesh/a.cpp": "int f() { return crypto_secretbox_easy(o, i, n, s, k); }\n"},
    ],
    [{SRC + "crypto/aead.cpp": "int f() { return EVP_CipherInit_ex2(c, a, k, n, 1, nullptr); }\n"}, {SRC + "crypto/a.cpp": "auto f = EVP_MD_fetch;\n"}],
)
SAMPLES["one_version"] = (
    [{"CMakeLists.txt": PROJECT, INC + "version.hpp": VERSION.replace("MINOR 1", "MINOR 2")}, {INC + "version.hpp": VERSION}],
    [{"CMakeLists.txt": PROJECT, INC + "version.hpp": VERSION}],
)
SAMPLES["links_lead_somewhere"] = (
    [{"README.md": "see [this](docs/gone.md)"}, {"docs/a.md": "[up](../b.md#part)"}],
    [{"README.md": "[a](docs/a.md#x) [b](docs/) [c](https://example.org) [d](#here) `[e](gone)`", "docs/a.md": ""}],
)


class EveryRule(unittest.TestCase):
    def test_has_samples(self):
        self.assertEqual(set(RULES), set(SAMPLES))

    def test_refuses_what_it_is_there_for(self):
        for name, (bad, _) in SAMPLES.items():
            self.assertTrue(bad)
            for files in bad:
                with self.subTest(rule=name, files=files):
                    self.assertTrue(list(RULES[name](Tree(files))))

    def test_lets_good_code_pass(self):
        for name, (_, good) in SAMPLES.items():
            self.assertTrue(good)
            for files in good:
                with self.subTest(rule=name, files=files):
                    self.assertEqual(list(RULES[name](Tree(files))), [])

    def test_names_the_line(self):
        findings = list(RULES["no_coroutines"](Tree({"actors/a.cpp": "/* one\ntwo */\n\nco_await x;\n"})))
        self.assertEqual([finding.line for finding in findings], [4])


class TheCommand(unittest.TestCase):
    def run_over(self, files, *names):
        files = {"CMakeLists.txt": PROJECT, INC + "version.hpp": "#pragma once\n" + VERSION, **files} if files else {}
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
                return rules.main([root, *names]), out.getvalue()

    def test_fails_on_a_finding_in_a_folder(self):
        code, out = self.run_over({SRC + "storage/a.hpp": "#pragma once\n" + ROCKSDB})
        self.assertEqual(code, 1)
        self.assertIn(SRC + "storage/a.hpp:2: engine_headers: ", out)

    def test_passes_a_clean_folder(self):
        code, out = self.run_over({SRC + "storage/a.hpp": "#pragma once\n"})
        self.assertEqual((code, out), (0, "3 files, 0 findings\n"))

    def test_does_not_call_an_empty_folder_clean(self):
        self.assertEqual(self.run_over({})[0], 2)

    def test_knows_its_rules(self):
        self.assertEqual(self.run_over({SRC + "storage/a.hpp": ""}, "no_such_rule")[0], 2)


class Reading(unittest.TestCase):
    def test_blanks_comments_and_literals_only(self):
        self.assertEqual(rules.bare('a("x//y"); // b\nc').split(), ["a(", ");", "c"])
        self.assertEqual(rules.bare("n = 1'000'000; f(rand());"), "n = 1'000'000; f(rand());")
        self.assertEqual(rules.bare('auto s = R"(a\n"b")"; g();').replace(" ", ""), "autos=\n;g();")
        self.assertEqual(rules.bare("'\"' rand '\"'").split(), ["rand"])


if __name__ == "__main__":
    sys.exit(unittest.main())
