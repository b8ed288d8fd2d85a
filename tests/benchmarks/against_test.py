#!/usr/bin/env python3
"""benchmarks/against over a few bytes: it makes its data, stores and fetches with our
program, and with restic where that is installed, and tells ratios from bars.

    against_test.py DATAMESH AGAINST [UNITTEST ARGUMENTS]
"""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import shutil
import sys
import tempfile
import unittest
from unittest import mock

DATAMESH = os.path.abspath(sys.argv[1])
AGAINST = os.path.abspath(sys.argv[2])


def load(path):
    loader = importlib.machinery.SourceFileLoader("against", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("against", loader))
    loader.exec_module(module)
    return module


def read(path):
    with open(path, "rb") as file:
        return file.read()


against = load(AGAINST)
# Only /usr/bin/time tells CPU and memory; without it the commands run all the same.
TIMED = os.path.exists("/usr/bin/time")


class InAFolder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="datamesh-against-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)


class Data(InAFolder):
    def test_one_seed_gives_one_content(self):
        for write in (against.write_random, against.write_text):
            write(self.path("one"), against.MIB, 7)
            write(self.path("two"), against.MIB, 7)
            write(self.path("three"), against.MIB, 8)
            one, two, three = (read(self.path(name)) for name in ("one", "two", "three"))
            self.assertEqual(len(one), against.MIB)
            self.assertEqual(one, two)
            self.assertNotEqual(one, three)

    def test_a_part_is_changed_and_the_length_stays(self):
        against.write_random(self.path("file"), 8 * against.MIB, 7)
        before = read(self.path("file"))
        against.change_part(self.path("file"), 9)
        after = read(self.path("file"))
        self.assertEqual(len(before), len(after))
        changed = sum(before[at : at + 4096] != after[at : at + 4096] for at in range(0, len(before), 4096))
        self.assertTrue(0 < changed * 4096 <= len(before) // 50, changed)

    def test_small_files_are_as_many_as_asked(self):
        against.write_files(self.path("files"), 120, 7)
        sizes = [os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(self.path("files")) for name in names]
        self.assertEqual(len(sizes), 120)
        self.assertTrue(all(1024 <= size <= 8192 for size in sizes))


class Verdicts(unittest.TestCase):
    def test_ratios_are_held_to_their_bars(self):
        def row(wall, size):
            return {"wall": wall, "cpu": 1.0, "peak": 1.0, "bytes": size}

        table = {
            ("random", "store", "datamesh"): row(1.0, 100),
            ("random", "store", "restic"): row(3.5, 100),
            ("text", "store", "datamesh"): row(1.0, 120),
            ("text", "store", "restic"): row(1.5, 100),
        }
        found = {(case, what): met for case, what, _, _, met in against.verdicts(table)}
        self.assertEqual(found, {("random", "store: times as fast"): True, ("text", "store: times as fast"): False, ("text", "bytes"): False})

    def test_the_median_is_of_all_rounds(self):
        rows = [{"case": "text", "what": "store", "tool": "restic", "wall": wall, "cpu": 0.0, "peak": 0.0, "bytes": None} for wall in (5, 1, 2)]
        self.assertEqual(against.medians(rows)[("text", "store", "restic")]["wall"], 2)


@unittest.skipUnless(TIMED, "/usr/bin/time is not installed")
class Runs(InAFolder):
    def test_cases_go_through(self):
        restic = shutil.which("restic") is not None
        cases = ["random", "files"] + (["changed"] if restic else [])
        options = argparse.Namespace(datamesh=DATAMESH, tools=["restic"] if restic else [], cases=cases, size=against.MIB, files=30, rounds=1)
        told = io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(io.StringIO()):
            table = against.medians(against.run_all(options, self.folder))
            against.print_table(table, options)
        for case in cases:
            ours = table[(case, "store", "datamesh")]
            self.assertGreater(ours["wall"], 0)
            self.assertGreater(ours["bytes"], 0)
            self.assertIn(case, told.getvalue())
            self.assertEqual((case, "fetch", "datamesh") in table, case != "changed")
        self.assertEqual(len(against.verdicts(table)) > 0, restic)

    def test_memory_is_measured_and_the_bytes_compared(self):
        options = argparse.Namespace(datamesh=DATAMESH, memory_size=against.MIB)
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            against.check_memory(options, self.folder)
        self.assertEqual(told.getvalue().count("MiB peak RSS"), 2)
        self.assertNotIn("differ", told.getvalue())


class Options(unittest.TestCase):
    def test_quick_makes_it_small(self):
        with mock.patch.object(sys, "argv", ["against", "--quick", "--datamesh", DATAMESH]):
            options = against.read_options()
        self.assertEqual((options.size, options.rounds), (64 * against.MIB, 1))
        self.assertEqual(options.tools, ["restic", "borg", "rclone"])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:])
