#!/usr/bin/env python3
"""Shows the check of the library's symbols what it must refuse."""

import sys
import unittest

import abi

NM = """0000000000001000 T datamesh::node::open(datamesh::node_options)
0000000000001010 T datamesh::node::~node()
0000000000001010 T datamesh::node::~node()
0000000000001020 T datamesh_version
0000000000002000 V typeinfo for std::bad_alloc
0000000000002010 W std::vector<int>::~vector()
0000000000003000 D vtable for datamesh::vault
"""
READELF = " 0x000000000000000e (SONAME)             Library soname: [libdatamesh.so.0.1]\n"


class Abi(unittest.TestCase):
    def test_lists_strong_symbols_once_and_sorted(self):
        expected = ["datamesh::node::open(datamesh::node_options)", "datamesh::node::~node()", "datamesh_version", "vtable for datamesh::vault"]
        self.assertEqual(abi.offered(NM), expected)
        self.assertEqual(abi.described(NM, READELF), "soname libdatamesh.so.0.1\n" + "\n".join(expected) + "\n")

    def test_sees_what_is_gone_added_or_renumbered(self):
        before = abi.described(NM, READELF)
        self.assertEqual(abi.differences(before, before), [])
        gone = abi.described(NM.replace("0000000000001020 T datamesh_version\n", ""), READELF)
        self.assertEqual(abi.differences(before, gone), ["-datamesh_version"])
        self.assertEqual(abi.differences(gone, before), ["+datamesh_version"])
        self.assertEqual(len(abi.differences(before, abi.described(NM, READELF.replace("0.1", "0.2")))), 2)

    def test_sees_a_changed_parameter(self):
        changed = abi.described(NM.replace("(datamesh::node_options)", "(datamesh::node_options const&)"), READELF)
        self.assertEqual(len(abi.differences(abi.described(NM, READELF), changed)), 2)

    def test_refuses_what_is_not_ours(self):
        self.assertEqual(abi.leaks(abi.offered(NM)), [])
        for name in ("caf::actor_system::spawn()", "datamesh::spawn(caf::actor_system&)", "google::protobuf::Message::New()", "rocksdb::DB::Open()", "EVP_EncryptInit", "ec_encode_data", "main"):
            self.assertEqual(abi.leaks([name]), [name])

    def test_sanitizers_own_symbols_are_no_part_of_it(self):
        self.assertEqual(abi.offered("0000000000001000 B __odr_asan.datamesh\n0000000000001000 B __odr_asan_gen_x\n"), [])


if __name__ == "__main__":
    sys.exit(unittest.main())
