#!/usr/bin/env python3
"""Shows the check of the library's layout what it must refuse, by small libraries."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import abi_types

HEADER = """
#include <functional>
#include <memory>
#include <string>
#include <vector>
template <class T> struct either {
  T value;
  int reason;
};
#define SHOWN __attribute__((visibility("default")))
namespace datamesh {
enum class conflict : unsigned char { version, fail };
struct request {
  std::string path;
  conflict how = conflict::version;
  bool dry_run = false;
};
struct summary {
  unsigned files = 0;
  std::vector<std::string> names;
};
template <class T>
using result = either<T>;
struct page {
  std::vector<std::string> names;
};
struct facts {
  unsigned long packs = 0;
};
class SHOWN source {
public:
  virtual ~source() = default;
  virtual int read(char* to) = 0;
};
class SHOWN vault {
public:
  summary put(const request& what);
  summary put(std::shared_ptr<source> from, std::function<void(summary)> done);
  result<page> list();
  result<std::vector<facts>> look();
private:
  struct impl;
  std::unique_ptr<impl> impl_;
};
}
"""
SOURCE = """
#include "it.hpp"
namespace datamesh {
struct vault::impl { int hidden; };
summary vault::put(const request& what) { return {1, {what.path}}; }
summary vault::put(std::shared_ptr<source> from, std::function<void(summary)> done) { char c; from->read(&c); done({}); return {}; }
result<page> vault::list() { return {}; }
result<std::vector<facts>> vault::look() { return {}; }
}
"""


def built(header: str = HEADER, source: str = SOURCE, name: str = "libit.so.0.1", flags: tuple = ("-O2",)) -> str:
    with tempfile.TemporaryDirectory() as folder:
        for file, text in (("it.hpp", header), ("it.cpp", source)):
            with open(os.path.join(folder, file), "w", encoding="utf-8") as out:
                out.write(text)
        command = [os.environ.get("CXX", "c++"), "-std=c++20", "-g2", "-femit-class-debug-always", "-fPIC", "-shared", "-fvisibility=hidden", f"-Wl,-soname,{name}", *flags, "it.cpp", "-o", "libit.so"]
        subprocess.run(command, cwd=folder, check=True)
        return abi_types.described(os.path.join(folder, "libit.so"), folder)


def results(header: str = HEADER) -> str:
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "it.hpp"), "w", encoding="utf-8") as out:
            out.write(header)
        return abi_types.described_results(folder, "libit.so.0.1")


@unittest.skipUnless(shutil.which("abidw") and shutil.which("abidiff"), "libabigail is not installed")
class Types(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.before = built()

    def compatible(self, after: str):
        self.assertEqual(abi_types.judge(self.before, after), [])

    def refused(self, old: str, new: str, word: str, source: str = SOURCE):
        changed = HEADER.replace(old, new)
        self.assertNotEqual(changed, HEADER)
        found = abi_types.judge(self.before, built(changed, source))
        self.assertTrue(found, f"'{new}' went through")
        self.assertIn(word, found[0])

    def test_takes_the_same_from_another_folder_and_by_another_optimiser(self):
        self.compatible(self.before)
        self.compatible(built(flags=("-O1", "-fno-inline")))

    def test_names_no_folder_of_the_machine(self):
        self.assertNotIn(tempfile.gettempdir() + "/", self.before)

    def test_takes_what_is_added(self):
        self.compatible(built(HEADER.replace("private:", "  void more();\nprivate:"), SOURCE.replace("struct vault", "void vault::more() {}\nstruct vault")))
        self.compatible(built(HEADER.replace("version, fail", "version, fail, rename")))

    def test_takes_what_is_hidden(self):
        self.compatible(built(source=SOURCE.replace("int hidden", "long hidden[7]")))

    def test_refuses_a_member_more_fewer_or_elsewhere(self):
        self.refused("bool dry_run = false;", "bool dry_run = false; unsigned long limit = 0;", "request")
        self.refused("bool dry_run = false;", "", "request", SOURCE)
        self.refused("unsigned files = 0;\n  std::vector<std::string> names;", "std::vector<std::string> names;\n  unsigned files = 0;", "summary", SOURCE.replace("{1, {what.path}}", "{{what.path}, 1}"))

    def test_refuses_another_type_of_a_member(self):
        self.refused("unsigned files = 0", "unsigned long files = 0", "summary")

    def test_refuses_an_enumerator_that_moves(self):
        self.refused("version, fail", "ask, version, fail", "conflict")

    def test_refuses_a_virtual_function_more(self):
        self.refused("virtual int read(char* to) = 0;", "virtual int peek() = 0;\n  virtual int read(char* to) = 0;", "source")

    def test_refuses_a_function_that_is_gone(self):
        gone = built(HEADER.replace("  summary put(const request& what);\n", ""), SOURCE.replace("summary vault::put(const request& what) { return {1, {what.path}}; }", ""))
        self.assertTrue(abi_types.judge(self.before, gone))

    def test_sees_what_a_result_holds(self):
        before = results()
        self.assertEqual(abi_types.judge(before, results(HEADER + "// the same")), [])
        for old, new in (("unsigned long packs = 0;", "unsigned long packs = 0; bool whole = true;"), ("std::vector<std::string> names;\n};\nstruct facts", "unsigned count; std::vector<std::string> names;\n};\nstruct facts")):
            self.assertIn(old, HEADER)
            self.assertTrue(abi_types.judge(before, results(HEADER.replace(old, new))), f"'{new}' went through")
        self.assertTrue(abi_types.judge(before, results(HEADER.replace("result<std::vector<facts>> look();", ""))), "a result that is gone went through")

    def test_asks_for_a_new_baseline_with_a_new_soname(self):
        found = abi_types.judge(self.before, built(HEADER.replace("version, fail", "ask, version, fail"), name="libit.so.0.2"))
        self.assertEqual(found, ["the soname is libit.so.0.2, the baseline's libit.so.0.1: write the baseline anew"])


if __name__ == "__main__":
    sys.exit(unittest.main())
