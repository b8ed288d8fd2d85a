#!/usr/bin/env python3
"""bad_input_test.py PROGRAM DOCS SHIM [TEST...]: what people, disks and file systems do to a
store. Each gets a clear error, and what was stored stays."""

import errno
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import unittest

from store_world import Store, content

PROGRAM, DOCS, SHIM = "", "", ""


def may_mount() -> bool:
    """Mounting wants root, and a container may refuse even root."""
    folder = "/tmp/datamesh-may-mount"
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, check=False)
    if done.returncode == 0:
        subprocess.run(["umount", folder], check=True)
    os.rmdir(folder)
    return done.returncode == 0


class BadInput(unittest.TestCase):
    def setUp(self):
        self.store = Store(PROGRAM, DOCS)
        self.addCleanup(self.store.close)

    def begin(self, size: int = 1_000_000) -> bytes:
        """A store with one file in it."""
        self.store.init()
        data = content(1, size)
        self.store.good("put", self.store.write("work/first", data))
        self.store.may_become("/first", data, True)
        return data

    def fails(self, exit_code: int, code: str, command: str, *arguments, **more):
        lines = self.store.json(command, *arguments, **more)
        self.assertEqual((lines.code, lines.failure["error"]), (exit_code, code), lines.all)
        return lines

    def key_file(self) -> str:
        return self.store.path("store/home/vaults/main/key")

    # -- keys and formats -------------------------------------------------------------

    def test_a_wrong_password_opens_nothing_and_changes_nothing(self):
        self.store.good("init", "--password-file", self.store.path("password"), *(word for drive in self.store.drives for word in ("-d", drive)))
        wrong = self.store.write("wrong", "wrong\n")
        os.chmod(wrong, 0o600)
        before = self.read(self.key_file())
        self.fails(12, "DM-WRONG-PASSWORD", "ls", "--password-file", wrong)
        self.fails(12, "DM-WRONG-PASSWORD", "put", wrong, "--password-file", wrong)
        self.assertEqual(self.read(self.key_file()), before)
        self.store.good("ls", "--password-file", self.store.path("password"))

    def read(self, path: str) -> bytes:
        with open(path, "rb") as file:
            return file.read()

    def test_a_key_file_that_is_cut_or_changed_is_told_and_its_copy_opens_again(self):
        self.begin()
        whole = self.read(self.key_file())
        for size in (0, 1, 7, 8, 19, 20, 60, len(whole) // 2, len(whole) - 1):
            with self.subTest(size=size):
                self.store.write("store/home/vaults/main/key", whole[:size])
                self.fails(1, "DM-KEY-FILE-DAMAGED", "ls")
        for name, changed, code in (
            ("alien", b"PK" + whole[2:], "DM-FORMAT-ALIEN"),
            ("longer", whole + b"\0", "DM-KEY-FILE-DAMAGED"),
            ("version without a checksum that fits", whole[:8] + b"\3" + whole[9:], "DM-KEY-FILE-DAMAGED"),
            ("flipped", whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], "DM-KEY-FILE-DAMAGED"),
        ):
            with self.subTest(name):
                self.store.write("store/home/vaults/main/key", changed)
                self.fails(1, code, "ls")
        self.store.write("store/home/vaults/main/key", whole)
        self.store.check_content()

    def test_a_home_of_a_newer_version_or_of_something_else_is_not_touched(self):
        self.begin()
        path = self.store.path("store/home/drives")
        whole = self.read(path)
        for changed, code in ((whole.replace(b"node 1", b"node 2"), "DM-FORMAT-NEWER"), (b"[drives]\n", "DM-FORMAT-ALIEN"), (whole[:-40], "DM-FORMAT-DAMAGED")):
            with self.subTest(code):
                self.store.write("store/home/drives", changed)
                self.fails(1, code, "ls")
                self.assertEqual(self.read(path), changed)
        self.store.write("store/home/drives", whole)
        self.store.check_content()

    def test_drives_of_a_newer_version_or_of_something_else_are_left_alone_and_read_around(self):
        self.begin()
        markers = [os.path.join(drive, "datamesh-drive") for drive in self.store.drives[:2]]
        whole = [self.read(marker) for marker in markers]
        for marker, text in zip(markers, (whole[0].replace(b"drive 1", b"drive 2"), b"not a drive\n")):
            with open(marker, "wb") as file:
                file.write(text)
        self.assertEqual(self.store.json("status").code, 3)
        self.store.check_content()
        self.fails(1, "DM-FORMAT-NEWER", "drive add", self.store.drives[0])
        self.fails(1, "DM-DRIVE-ALIEN", "drive add", self.store.drives[1])
        for marker, text in zip(markers, whole):
            with open(marker, "wb") as file:
                file.write(text)
        self.store.good("status")
        self.store.check_shards()

    def test_shards_that_are_alien_newer_cut_or_empty_are_read_around_and_rebuilt(self):
        self.begin()
        files = sorted(self.store.shard_files())
        self.assertEqual(len(files), 6)
        changes = [lambda b: b"PK\3\4" + b[4:], lambda b: b[:8] + b"\2" + b[9:], lambda b: b[:5000], lambda b: b""]
        for first in (0, 2):
            for path, change in zip(files[first:], changes[first : first + 2]):
                with open(path, "rb") as file:
                    whole = file.read()
                with open(path, "wb") as file:
                    file.write(change(whole))
            self.store.check_content()
            verified = self.store.json("verify", "--deep")
            self.assertEqual((verified.code, verified.summary["shards_damaged"] + verified.summary["shards_missing"]), (3, 2))
            self.assertEqual(self.store.good("repair", "--deep").summary["shards_repaired"], 2)
            self.store.check_shards()

    # -- drives that fail ---------------------------------------------------------------

    def put_in_two_parts(self, name: str, between) -> tuple[int, bytes]:
        """Stores 40 MB from a pipe; *between* is called when the first packs are written."""
        data = content(2, 40_000_000)
        reader, writer = os.pipe()
        with open(self.store.path("out"), "wb") as out, open(self.store.path("err"), "wb") as err:
            program = subprocess.Popen(
                [PROGRAM, "put", "-", "--as", name, "--json"], env=self.store.variables(None), stdin=reader, stdout=out, stderr=err
            )
        os.close(reader)
        with os.fdopen(writer, "wb") as pipe:
            # What the program can not have in memory and in the pipe has been read; a
            # first pack of 16 MiB is on its way.
            pipe.write(data[:30_000_000])
            between()
            pipe.write(data[30_000_000:])
        return program.wait(timeout=240), data

    def test_a_drive_that_goes_amid_a_put_costs_nothing(self):
        self.begin()
        drive = self.store.drives[2]
        code, data = self.put_in_two_parts("long", lambda: os.rename(drive, drive + ".gone"))
        self.assertEqual(code, 0, self.store.lines())
        self.store.may_become("/long", data, True)
        self.store.check_content()
        os.rename(drive + ".gone", drive)
        self.store.check_content()
        self.store.good("repair", "--deep")
        self.store.check_shards()

    def test_too_few_drives_refuse_a_put_and_keep_what_there_is(self):
        self.begin()
        for drive in self.store.drives[:2]:
            os.rename(drive, drive + ".gone")
        refused = self.store.json("put", self.store.write("work/second", content(3, 100_000)))
        self.assertEqual((refused.code, refused.failure["error"]), (8, "DM-TOO-FEW-DRIVES"), refused.all)
        self.store.check_content()
        for drive in self.store.drives[:2]:
            os.rename(drive + ".gone", drive)
        self.store.check_content()
        self.store.good("put", self.store.path("work/second"))

    def test_a_second_process_is_refused_and_the_first_goes_on(self):
        self.begin()

        def others():
            self.fails(11, "DM-LOCKED", "ls")
            self.fails(11, "DM-LOCKED", "rm", "/first")
            self.fails(11, "DM-LOCKED", "put", self.store.path("work/first"))

        code, data = self.put_in_two_parts("long", others)
        self.assertEqual(code, 0, self.store.lines())
        self.store.may_become("/long", data, True)
        self.store.check_content()

    # -- targets --------------------------------------------------------------------------

    def test_a_target_that_is_full_or_read_only_is_told_from_the_drives(self):
        self.store.init()
        folder = self.store.fresh_folder("source")
        for name, size in (("one", 9_000), ("two", 90_000)):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content(size, size))
        self.store.good("put", folder, "--as", "s")
        tries = ((errno.ENOSPC, "DM-NO-SPACE", 8, "free space where"), (errno.EROFS, "DM-READ-ONLY", 4, "mount the file system of"), (errno.EIO, "DM-IO-FAILED", 1, "disk of"))
        for number, name, code, next_words in tries:
            for call, path in (("open", "/s/one"), ("write", "/s/one"), ("link", "/s/one"), ("mkdir", "/s"), ("write", "/s")):
                with self.subTest(error=name, call=call, path=path):
                    target = self.store.fresh_folder("target")
                    shim = self.store.shim(SHIM, call, 1, number, [target])
                    refused = self.store.json("get", path, "--to", target, env=shim)
                    self.assertIn(name, [line.get("error") for line in refused.all], refused.all)
                    if path == "/s/one":
                        self.assertEqual((refused.code, refused.failure["error"]), (code, name), refused.all)
                    suggestion = refused.failure["suggestion"]
                    self.assertIn(next_words, suggestion)
                    self.assertIn(target, suggestion)
                    self.assertNotIn("drive ", suggestion)
            target = self.store.fresh_folder("target")
            refused = self.store.json("get", "/s", "--to", target + "/new", env=self.store.shim(SHIM, "mkdir", 1, number, [target]))
            self.assertEqual((refused.code, refused.failure["error"]), (code, name), refused.all)
            self.assertIn(next_words, refused.failure["suggestion"])
        self.assertIn("--as", self.store.json("get", "/s/one", "--as", "a/b", "--to", target).failure["suggestion"])

    # -- sources --------------------------------------------------------------------------

    def test_files_that_can_not_be_read_are_told_and_the_rest_is_stored(self):
        self.store.init()
        folder = self.store.fresh_folder("source")
        for name in ("a", "secret", "z"):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(name.encode())
        os.mkdir(folder + "/closed")
        os.chmod(folder + "/secret", 0)
        os.chmod(folder + "/closed", 0)
        # Root reads everything unless these are taken away.
        drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        done = subprocess.run([*drop, PROGRAM, "put", folder, "--as", "s", "--json"], env=self.store.variables(None), capture_output=True, check=False)
        os.chmod(folder + "/closed", 0o700)
        with open(self.store.path("out"), "wb") as file:
            file.write(done.stdout)
        lines = self.store.lines()
        self.assertEqual((done.returncode, done.stderr), (3, b""), lines)
        failed = {os.path.basename(line["object"]): line["error"] for line in lines if line["message_type"] == "error"}
        self.assertEqual(failed, {"secret": "DM-PERMISSION-DENIED", "closed": "DM-PERMISSION-DENIED"})
        for name in ("a", "z"):
            self.assertEqual(self.store.run("cat", "/s/" + name).out, name.encode())
        self.assertEqual(self.store.json("cat", "/s/secret").code, 5)

    def test_names_of_any_bytes_come_back(self):
        self.store.init()
        folder = self.store.fresh_folder("names").encode()
        names = [b"new\nline", b"\x1b[31mred", b"\xff\xfe", b"caf\xc3\xa9", b"-rf", b" ", b"a" * 255, b"\xe2" * 255, b"tab\tand\"quote'", b"%0a", b"*", b"..."]
        for i, name in enumerate(names):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content(i, 100 + i))
        os.mkdir(os.path.join(folder, b"\x80folder"))
        with open(os.path.join(folder, b"\x80folder", b"\n"), "wb") as file:
            file.write(b"inside")
        stored = self.store.good("put", folder, "--as", "names")
        self.assertEqual((stored.summary["files"], stored.summary["failed"]), (len(names) + 1, 0))
        back = self.store.fresh_folder("back").encode()
        self.store.good("get", "/names", "--to", back)
        subprocess.run([b"diff", b"-r", folder, back + b"/names"], check=True)
        for name in names:
            self.assertNotIn(b"\x1b", self.store.run("ls", "-l", b"/names/" + name.replace(b"*", b"[*]")).out)
        self.assertEqual(self.store.run("cat", b"/names/\xff\xfe").out, content(2, 102))

    def test_links_come_back_as_links_wherever_they_lead(self):
        self.store.init()
        folder = self.store.fresh_folder("links")
        links = {"dangling": "nowhere/at/all", "loop": "loop", "a": "b", "b": "a", "up": "../..", "root": "/", "long": "x" * 4000}
        for name, target in links.items():
            os.symlink(target, os.path.join(folder, name))
        stored = self.store.good("put", folder, "--as", "l")
        self.assertEqual((stored.summary["symlinks"], stored.summary["files"]), (len(links), 0))
        back = self.store.fresh_folder("back")
        self.store.good("get", "/l", "--to", back)
        self.assertEqual({name: os.readlink(os.path.join(back, "l", name)) for name in os.listdir(back + "/l")}, links)
        # A link in the way of a folder is not followed out of the target.
        outside = self.store.fresh_folder("outside")
        shutil.rmtree(back + "/l")
        os.symlink(outside, back + "/l")
        self.assertNotEqual(self.store.json("get", "/l", "--to", back, "--force").code, 0)
        self.assertEqual(os.listdir(outside), [])

    def test_pipes_and_sockets_are_refused_without_waiting_for_them(self):
        self.store.init()
        folder = self.store.fresh_folder("special")
        os.mkfifo(folder + "/pipe")
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        before = os.getcwd()
        os.chdir(folder)
        listening.bind("socket")
        os.chdir(before)
        with open(folder + "/file", "wb") as file:
            file.write(b"x")
        lines = self.fails(3, "DM-PARTIAL-FAILURE", "put", folder, "--as", "s")
        self.assertEqual([line["error"] for line in lines.of("error")], ["DM-UNSUPPORTED-SOURCE"] * 2)
        self.assertEqual(self.store.run("cat", "/s/file").out, b"x")
        self.fails(1, "DM-UNSUPPORTED-SOURCE", "put", folder + "/pipe")

    def test_holes_take_no_space_and_come_back_as_holes(self):
        self.store.init()
        source = self.store.path("work", "sparse")
        size = 8 << 30
        with open(source, "wb") as file:
            file.write(b"begin")
            file.seek(size // 2)
            file.write(content(5, 100_000))
            file.truncate(size)
        stored = self.store.good("put", source).summary
        self.assertEqual((stored["files"], stored["bytes"]), (1, size))
        self.assertLess(stored["bytes_written"], 1_000_000)
        self.assertGreater(stored["hole_bytes"], size - (16 << 20))
        back = self.store.fresh_folder("back")
        self.store.good("get", "/sparse", "--to", back)
        status = os.stat(back + "/sparse")
        self.assertEqual(status.st_size, size)
        self.assertLess(status.st_blocks * 512, 16 << 20)
        with open(back + "/sparse", "rb") as file:
            self.assertEqual(file.read(6), b"begin\0")
            file.seek(size // 2 - 1)
            self.assertEqual(file.read(100_002), b"\0" + content(5, 100_000) + b"\0")

    def test_a_file_that_changes_while_it_is_read_is_told_and_not_stored(self):
        self.store.init()
        source = self.store.write("work/busy", content(6, 60_000_000))
        program = self.store.start(["put", source])
        # Stopped as soon as it has the file open, it can not be done before the change.
        while not self.reads(program.pid, source):
            self.assertIsNone(program.poll(), self.store.lines())
        os.kill(program.pid, signal.SIGSTOP)
        with open(source, "ab") as file:
            file.write(b"more")
        os.kill(program.pid, signal.SIGCONT)
        self.assertEqual(program.wait(timeout=240), 8)
        told = [line["error"] for line in self.store.lines() if line["message_type"] == "error"]
        self.assertEqual(told, ["DM-SOURCE-CHANGED"])
        self.assertEqual(self.store.good("ls").items, [])
        self.store.good("put", source)
        self.store.may_become("/busy", content(6, 60_000_000) + b"more", True)
        self.store.check_content()

    def reads(self, pid: int, path: str) -> bool:
        try:
            return any(os.readlink(f"/proc/{pid}/fd/{fd}") == path for fd in os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            return False

    def test_an_interrupted_put_is_resumed_by_what_is_known(self):
        self.store.init()
        data = content(7, 80_000_000)
        source = self.store.write("work/long", data)
        # 80 MB are five packs of six shards; the first ones are in the catalog when the
        # fourth is being linked.
        code = self.store.run_with(["put", source], self.store.shim(SHIM, "link", 20, None))
        self.assertEqual(code, -9)
        self.assertEqual(self.store.good("ls", "/").items, [])
        again = self.store.good("put", source).summary
        self.assertGreater(again["bytes_known"], 10_000_000)
        self.assertEqual(again["bytes_known"] + again["bytes_new_plain"], len(data))
        self.store.may_become("/long", data, True)
        self.store.check_content()


    def test_a_lost_home_comes_back_from_the_key_file_and_the_drives(self):
        self.begin()
        phrase = self.store.good("key recovery").summary["recovery_phrase"]
        key = self.store.path("main.key")
        self.store.good("key export", key)
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        self.assertEqual(self.store.json("key export", key).failure["error"], "DM-ALREADY-EXISTS")
        self.store.good("key export", key, "--force")
        shutil.rmtree(self.store.path("store", "home"))
        words = self.store.write("phrase", phrase.encode())
        os.chmod(words, 0o600)
        drives = [word for drive in self.store.drives for word in ("--drive", drive)]
        nothing = self.store.json("vault restore", self.store.path("no.key"), *drives, "--phrase-file", words)
        self.assertEqual(nothing.failure["error"], "DM-NOT-FOUND")
        back = self.store.good("vault restore", key, *drives, "--phrase-file", words)
        self.assertEqual(back.summary["packs_unreadable"], 0)
        self.assertEqual(self.store.json("vault restore", key, "--phrase-file", words).failure["error"], "DM-VAULT-EXISTS")
        self.store.good("key trust-device", "--phrase-file", words)
        self.store.check_content()


class Mounted(BadInput):
    """Drives that are file systems of their own. Where nothing can be mounted, these are skipped."""

    # A drive keeps 64 MiB in reserve.
    SIZE = "96m"

    def setUp(self):
        if not may_mount():
            self.skipTest("nothing can be mounted here")
        super().setUp()
        for drive in self.store.drives:
            os.mkdir(drive)
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.SIZE}", "datamesh-test", drive], check=True)
            self.addCleanup(subprocess.run, ["umount", "-l", drive], check=False, capture_output=True)

    def remount(self, drive: str, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", drive], check=True)

    def test_full_drives_refuse_early_lose_nothing_and_take_data_again_after_a_cleanup(self):
        self.begin(10_000_000)
        big = self.store.write("work/big", content(8, 180_000_000))
        refused = self.store.json("put", big)
        self.assertEqual(refused.code, 8, refused.all)
        self.assertEqual(refused.failure["error"], "DM-DRIVE-FULL")
        self.store.check_content()
        self.store.check_shards()
        self.store.good("rm", "/first")
        del self.store.expected["/first"]
        self.store.good("cleanup", "--trash-age", "0s", "--yes")
        fits = content(9, 10_000_000)
        self.store.good("put", self.store.write("work/fits", fits))
        self.store.may_become("/fits", fits, True)
        self.store.check_content()

    def test_a_read_only_home_is_read_by_one_at_a_time(self):
        home = self.store.path("store", "home")
        os.makedirs(home)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "datamesh-test", home], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", home], check=False, capture_output=True)
        self.begin()
        self.remount(home, "ro")
        self.store.check_content()
        refused = self.store.json("put", self.store.write("work/second", b"x"))
        self.assertIn(refused.failure["error"], ("DM-READ-ONLY",), refused.all)
        # What another command holds while it runs.
        with open(os.path.join(home, "lock"), "rb") as lock:
            fcntl.fcntl(lock, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0))
            self.assertEqual(self.store.json("status").code, 11)
            self.remount(home, "rw")
            self.assertEqual(self.store.json("status").code, 11)
        self.store.good("put", self.store.path("work/second"))
        self.store.may_become("/second", b"x", True)
        self.store.check_content()

    def test_drives_that_became_read_only_are_read_around(self):
        self.begin()
        self.remount(self.store.drives[0], "ro")
        self.store.check_content()
        data = content(10, 500_000)
        self.store.good("put", self.store.write("work/second", data))
        self.store.may_become("/second", data, True)
        self.remount(self.store.drives[1], "ro")
        self.store.check_content()
        refused = self.store.json("put", self.store.write("work/third", content(11, 500_000)))
        self.assertIn(refused.code, (4, 8), refused.all)
        for drive in self.store.drives[:2]:
            self.remount(drive, "rw")
        self.store.check_content()
        self.store.good("put", self.store.path("work/third"))

    def test_a_drive_that_is_unmounted_amid_a_put_costs_nothing(self):
        self.begin()
        drive = self.store.drives[3]
        code, data = self.put_in_two_parts("long", lambda: subprocess.run(["umount", "-l", drive], check=True))
        self.assertEqual(code, 0, self.store.lines())
        self.store.may_become("/long", data, True)
        # Nothing may be written where the drive is not.
        self.assertEqual(os.listdir(drive), [])
        self.store.check_content()
        self.assertEqual(os.listdir(drive), [])


# Only its own tests; those of the base run over plain folders.
for inherited in [name for name in dir(BadInput) if name.startswith("test_")]:
    setattr(Mounted, inherited, None)


if __name__ == "__main__":
    PROGRAM, DOCS, SHIM = os.path.abspath(sys.argv[1]), sys.argv[2], os.path.abspath(sys.argv[3])
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]])
