#!/usr/bin/env python3
"""Shows the check of linked libraries what it must refuse."""

import glob
import sys
import unittest

import linked

OURS = "0000000000001000 T _ZN8datamesh4node4openENS_12node_optionsE\n"
CLEAN = "\tlibcaf_core.so.0.17.6 => /usr/lib/libcaf_core.so.0.17.6 (0x1)\n"


class Linked(unittest.TestCase):
    def test_lets_a_clean_library_pass(self):
        nm = OURS + "                 U _ZN3caf12actor_systemC1ERNS_19actor_system_configE\n                 w __gmon_start__\n"
        self.assertEqual(linked.findings("x", CLEAN, nm, True), [])

    def test_refuses_a_needed_network_library(self):
        for name in ("libcaf_io.so.0.17.6", "libcaf_openssl.so", "libcaf_net.so.1"):
            self.assertTrue(linked.findings("x", f"\t{name} => /usr/lib/{name} (0x1)\n", OURS, True))

    def test_refuses_a_symbol_of_the_node_protocol(self):
        for symbol in ("_ZN3caf2io9middleman6createEv", "_ZNK3caf2io4basp8instance6handleEv", "_ZN3caf7openssl7managerC1Ev", "_ZN2my4basp5helloEv"):
            self.assertTrue(linked.findings("x", CLEAN, OURS + f"                 U {symbol}\n", False), symbol)

    def test_refuses_a_library_that_shows_what_is_not_ours(self):
        for symbol in ("_ZN6google8protobuf7Message4initEv", "_ZN6spdlog4infoEv", "blake3_hasher_init", "ec_encode_data"):
            for kind in "TWV":
                self.assertTrue(linked.findings("x", CLEAN, OURS + f"0000000000001000 {kind} {symbol}\n", True), symbol)

    def test_refuses_a_library_that_shows_nothing(self):
        self.assertTrue(linked.findings("x", CLEAN, "                 U malloc\n", True))

    def test_refuses_the_network_library_itself(self):
        for path in glob.glob("/usr/lib/*/libcaf_io.so"):
            nm = linked.output("nm", "-D", path)
            self.assertTrue(linked.findings(path, "", nm, False))


if __name__ == "__main__":
    sys.exit(unittest.main())
