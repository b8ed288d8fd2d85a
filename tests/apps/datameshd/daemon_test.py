#!/usr/bin/env python3
"""daemon_test.py DAEMON PROGRAM ROOT [TEST...]: the real daemon over a temporary home."""

import array
import contextlib
import fcntl
import http.server
import json
import os
import queue
import random
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import termios
import threading
import unittest

from daemon_process import LIMIT, Daemon

DAEMON, PROGRAM, ROOT = "", "", ""
NOBODY = 65534


def prefix(kind: int, header: int, body: int = 0, version: int = 1, flags: int = 0) -> bytes:
    return struct.pack("<IBBHI", 8 + header + body, kind, flags, version, header)


HELLO = prefix(1, 2) + b"\x52\x00"


def free_ports() -> str:
    """Digits that, with one of 1 to 7 behind them, are free ports of the loopback address."""
    for prefix in range(2100, 3200):
        with contextlib.ExitStack() as stack:
            try:
                for last in range(1, 8):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", prefix * 10 + last))
            except OSError:
                continue
            return str(prefix)
    raise AssertionError("no free ports")


class Receiver:
    """An HTTP server on this machine that answers what it is told to, then 204."""

    def __init__(self, answers=(), certificate: str = ""):
        self.posts: queue.Queue = queue.Queue()
        answers = list(answers)
        posts = self.posts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = answers.pop(0) if answers else 204
                posts.put((status, self.path, dict(self.headers), body))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        return self.posts.get(timeout=LIMIT)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def read_exactly(from_: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = from_.recv(count - len(data))
        if not part:
            return data
        data += part
    return data


def read_frame(from_: socket.socket) -> tuple[int, bytes]:
    head = read_exactly(from_, 12)
    if len(head) < 12:
        return 0, b""
    length, kind, _, _, _ = struct.unpack("<IBBHI", head)
    return kind, read_exactly(from_, length - 8)


class WithDaemon(unittest.TestCase):
    CONFIG = ""

    def setUp(self):
        self.world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(self.world.close)
        self.drives = [self.world.path("drive", str(number)) for number in range(6)]
        words = []
        for drive in self.drives:
            os.makedirs(drive)
            words += ["--drive", drive]
        self.run_well("init", *words)
        self.daemon = Daemon(DAEMON, self.world, self.CONFIG)
        self.addCleanup(self.daemon.end, signal.SIGKILL)

    def run_well(self, *arguments, **more):
        ended = self.world.run(*arguments, **more)
        self.assertEqual(ended.code, 0, str(ended))
        return ended

    def answers(self):
        """The daemon is well: it answers a new connection."""
        with self.daemon.connect() as link:
            link.sendall(HELLO)
            kind, reply = read_frame(link)
            self.assertEqual(kind, 2)
            self.assertIn(self.world.path("data", "datamesh").encode(), reply)

    def closed(self, link: socket.socket):
        try:
            self.assertEqual(link.recv(1), b"", "the connection is still open")
        except ConnectionResetError:
            pass


class Requests(WithDaemon):
    def test_what_is_put_through_the_daemon_comes_back_through_it_and_without_it(self):
        content = os.urandom(3 << 20)
        self.world.write("work/tree/a/large", content)
        self.world.write("work/tree/small", b"small")
        self.world.write("work/tree/empty", b"")
        os.symlink("small", self.world.path("work", "tree", "link"))
        self.run_well("put", "tree")
        self.run_well("put", "-", "--as", "stream", stdin=content)
        self.assertEqual(self.run_well("cat", "/stream").out, content)
        self.assertEqual(self.run_well("cat", "/stream", "--range", "100-199").out, content[100:200])
        self.assertEqual(self.run_well("ls", "/").text.split(), ["stream", "tree/"])
        self.run_well("get", "/tree", "--to", "back")
        self.compare("back/tree", content)
        self.run_well("mv", "/stream", "/moved")
        self.run_well("cp", "/moved", "/copied")
        self.run_well("tag", "/copied", "colour=red")
        self.run_well("rm", "/moved")
        self.assertIn("red", self.run_well("info", "/copied", "--json").text)
        for command in ("status", "stats", "verify", "repair", "rebalance"):
            self.run_well(command)
        self.assertEqual(self.daemon.end(), 0, self.daemon.said())
        self.run_well("get", "/tree", "--to", "alone")
        self.compare("alone/tree", content)

    def compare(self, folder: str, content: bytes):
        with open(self.world.path("work", folder, "a", "large"), "rb") as file:
            self.assertEqual(file.read(), content)
        with open(self.world.path("work", folder, "small"), "rb") as file:
            self.assertEqual(file.read(), b"small")
        self.assertEqual(os.readlink(self.world.path("work", folder, "link")), "small")

    def test_failures_come_through_as_they_are_without_a_daemon(self):
        self.world.write("wrong", "not the password\n")
        ended = self.world.run("ls", "--password-file", self.world.path("wrong"))
        self.assertEqual(ended.code, 12, str(ended))
        self.assertEqual(self.world.run("get", "/none").code, 5)
        self.world.write("work/file", b"x")
        self.assertNotEqual(self.world.run("put", "file", "none").code, 0)
        self.answers()

    def test_a_second_daemon_on_the_same_home_is_refused(self):
        env = {**self.world.environment, "XDG_RUNTIME_DIR": self.world.path("work")}
        second = subprocess.run([DAEMON], env=env, capture_output=True, timeout=LIMIT, check=False)
        self.assertEqual(second.returncode, 11, second.stderr)
        self.assertIn(b"DM-LOCKED", second.stderr)

    def test_a_second_opener_that_finds_no_socket_is_refused(self):
        ended = self.world.run("ls", env={"XDG_RUNTIME_DIR": self.world.path("work")})
        self.assertEqual(ended.code, 11, str(ended))
        self.assertIn("DM-LOCKED", ended.errors)
        self.assertIn(f"process {self.daemon.process.pid} (datameshd) has the node in", ended.errors)
        self.assertIn("--socket", ended.errors)

    def test_a_reader_that_leaves_hears_of_no_error(self):
        self.world.write("work/file", os.urandom(6 << 20))
        self.run_well("put", "file")
        program = subprocess.Popen(
            [PROGRAM, "cat", "/file"], env=self.world.environment, cwd=self.world.path("work"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        program.stdout.read(100)
        program.stdout.close()
        err = program.stderr.read()
        program.stderr.close()
        self.assertEqual((program.wait(LIMIT), err), (-signal.SIGPIPE, b""))
        with open("/dev/full", "wb") as full:
            done = subprocess.run([PROGRAM, "cat", "/file"], env=self.world.environment, stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (8, 3), done.stderr)

    def test_the_doctor_looks_at_the_daemon_that_it_is_told_to(self):
        elsewhere = {"XDG_RUNTIME_DIR": self.world.path("work"), "XDG_DATA_HOME": self.world.path("work")}
        ended = self.world.run("doctor", "--socket", self.daemon.socket_path, env=elsewhere)
        self.assertIn(ended.code, (0, 3), str(ended))
        self.assertRegex(ended.text, r"(?m)^ok +daemon +a daemon serves .* at " + self.daemon.socket_path + "$")
        self.assertRegex(ended.text, r"(?m)^\w+ +drive ")
        refused = self.world.run("doctor", "--socket", self.world.path("none"))
        self.assertEqual(refused.code, 1, str(refused))
        self.assertIn("no daemon answers", refused.text)

    def test_a_drive_can_be_added_and_removed(self):
        extra = self.world.path("drive", "extra")
        os.mkdir(extra)
        self.run_well("drive", "add", extra)
        self.assertIn(extra, self.run_well("drive", "list").text)
        self.run_well("drive", "remove", extra, "--yes")

    def test_a_vault_is_made_and_destroyed(self):
        self.run_well("vault", "create", "second")
        self.assertIn("second", self.run_well("vault", "list").text)
        self.run_well("vault", "destroy", "second", "--yes")
        self.assertNotIn("second", self.run_well("vault", "list").text)


class Socket(WithDaemon):
    def test_a_command_asks_the_daemon_that_it_is_told_to(self):
        self.world.write("work/file", b"kept")
        elsewhere = {"XDG_RUNTIME_DIR": self.world.path("work")}
        self.run_well("put", "file", "--socket", self.daemon.socket_path, env=elsewhere)
        self.assertEqual(self.run_well("cat", "/file", env={**elsewhere, "DATAMESH_SOCKET": self.daemon.socket_path}).out, b"kept")
        refused = self.world.run("ls", "--socket", self.world.path("none"))
        self.assertEqual(refused.code, 8, str(refused))
        self.assertIn("no daemon answers", refused.errors)


    def test_init_gives_the_drives_and_the_vault_to_the_daemon_that_it_is_told_to(self):
        elsewhere = {"XDG_RUNTIME_DIR": self.world.path("work"), "XDG_DATA_HOME": self.world.path("work"), "DATAMESH_SOCKET": self.daemon.socket_path}
        refused = self.world.run("init", "--drive", self.world.path("late"), env=elsewhere)
        self.assertEqual(refused.code, 1, str(refused))
        self.assertIn("there is a node with a vault", refused.errors)
        self.run_well("vault", "destroy", "main", "--yes")
        self.run_well("init", "--drive", self.world.path("late"), "--name", "second", env=elsewhere)
        self.assertIn("second", self.run_well("vault", "list").text)
        self.assertIn(self.world.path("late"), self.run_well("drive", "list").text)
        # The same without being told, since the daemon holds this home.
        self.run_well("vault", "destroy", "second", "--yes")
        self.run_well("init", "--drive", self.world.path("late"))
        self.assertFalse(os.path.exists(self.world.path("work", "datamesh")))
        nobody = self.world.run("init", "--drive", self.world.path("other"), env={"DATAMESH_SOCKET": self.world.path("none")})
        self.assertEqual(nobody.code, 8, str(nobody))
        self.assertIn("(DATAMESH_SOCKET says so)", nobody.errors)
        self.assertFalse(os.path.exists(self.world.path("other")))


class Others(WithDaemon):
    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_another_uid_sees_no_vault_of_ours_and_changes_no_drive(self):
        os.chmod(self.daemon.socket_path, 0o666)
        for folder in (self.world.folder, self.world.path("run"), self.world.path("work")):
            os.chmod(folder, 0o755)
        self.world.write("work/file", b"ours")
        self.run_well("put", "file")

        def become():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

        def as_nobody(*arguments):
            env = {**self.world.environment, "XDG_DATA_HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
            env["DATAMESH_PASSWORD_COMMAND"] = "echo '" + PASSWORD + "'"
            env.pop("DATAMESH_PASSWORD_FILE")
            return subprocess.run(
                [PROGRAM, *arguments], env=env, cwd=self.world.path("work"), preexec_fn=become, capture_output=True, timeout=LIMIT, check=False
            )

        if as_nobody("version").returncode != 0:
            self.skipTest("the program is not where nobody can run it")
        seen = as_nobody("vault", "list")
        self.assertEqual(seen.returncode, 0, seen.stderr)
        self.assertNotIn(b"main", seen.stdout)
        self.assertEqual(as_nobody("cat", "/file", "--vault", "main").returncode, 10)
        self.assertEqual(as_nobody("ls", "--vault", "u0.main").returncode, 10)
        refused = as_nobody("drive", "drain", self.drives[0])
        self.assertIn(b"DM-PERMISSION-DENIED", refused.stderr)
        made = as_nobody("vault", "create", "main")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(as_nobody("cat", "/file").returncode, 5)
        # What root alone may read is not read for nobody.
        secret = self.world.write("work/secret", b"of root")
        os.chmod(secret, 0o600)
        put = as_nobody("put", "secret")
        self.assertNotEqual(put.returncode, 0, put.stdout)
        self.assertEqual(as_nobody("cat", "/secret").returncode, 5)
        # What nobody has on a drive goes off it by nobody's key alone.
        self.assertEqual(as_nobody("put", "file").returncode, 0)
        replace = ["drive", "replace", self.drives[0], self.world.path("drive", "new")]
        stays = self.world.run(*replace)
        self.assertEqual(stays.code, 1, str(stays))
        self.assertIn(f"next: whoever has a vault here runs: datamesh rebalance; then again: datamesh {' '.join(replace)}\n", stays.errors)
        moved = as_nobody("rebalance")
        self.assertEqual(moved.returncode, 0, moved.stderr)
        self.run_well(*replace)


class Frames(WithDaemon):
    def test_bad_frames_end_their_connection_and_nothing_else(self):
        bad = {
            "a reply": prefix(2, 0),
            "an unknown type": prefix(9, 0),
            "a flag": prefix(1, 0, flags=1),
            "a newer version": prefix(1, 0, version=2),
            "an oversized header": prefix(1, 2 << 20),
            "an oversized body": prefix(1, 0, 1 << 20),
            "four gigabytes": struct.pack("<IBBHI", 0xFFFFFFFF, 4, 0, 1, 0xFFFFFFF0),
            "a length below its prefix": struct.pack("<IBBHI", 3, 1, 0, 1, 0),
            "garbage for a header": prefix(1, 4) + b"\xff\xff\xff\xff",
            "an answer to no call": prefix(4, 2) + b"\x08\x01",
            "deep nesting": prefix(1, 0),
        }
        bad["deep nesting"] = b"\x82\x01\x00" + bad["an unknown type"]
        for what, data in bad.items():
            with self.subTest(what), self.daemon.connect() as link:
                link.sendall(data)
                self.closed(link)
                self.answers()

    def test_a_truncated_frame_is_dropped_with_its_connection(self):
        for length in range(len(HELLO)):
            with self.daemon.connect() as link:
                link.sendall(HELLO[:length])
                link.shutdown(socket.SHUT_WR)
                self.closed(link)
        self.answers()

    def test_a_request_to_a_vault_that_is_not_open_is_answered(self):
        with self.daemon.connect() as link:
            link.sendall(HELLO * 1)
            read_frame(link)
            # Field 61, status, of vault 7.
            header = b"\x10\x07\xea\x03\x00"
            link.sendall(prefix(1, len(header)) + header)
            kind, reply = read_frame(link)
            self.assertEqual(kind, 2)
            self.assertEqual(reply[0], 0x0A, "not a failure")
        self.answers()

    def test_only_so_many_connections_of_one_uid_are_taken(self):
        held = [self.daemon.connect() for _ in range(16)]
        for link in held:
            link.sendall(HELLO)
            self.assertEqual(read_frame(link)[0], 2)
        with self.daemon.connect() as one_more:
            # It is told before it asks, and that is all.
            kind, reply = read_frame(one_more)
            self.assertEqual(kind, 2)
            self.assertIn(f"serve more than 16 programs of user {os.getuid()} at once".encode(), reply)
            self.assertEqual(one_more.recv(1), b"")
        for options in ([], ["--socket", self.daemon.socket_path]):
            refused = self.world.json("ls", *options)
            self.assertEqual((refused.code, refused.failure["error"]), (8, "DM-UNAVAILABLE"), refused.all)
            self.assertIn("serve more than 16 programs of user", refused.failure["message"])
            self.assertIn("wait until another command has ended", refused.failure["suggestion"])
        for link in held:
            link.close()


class Closed(unittest.TestCase):
    """Started without one of the standard streams."""

    def test_what_is_due_on_a_closed_stream_goes_into_no_file(self):
        for closed in (0, 1, 2):
            with self.subTest(closed=closed):
                world = World(PROGRAM, os.path.join(ROOT, "docs"))
                self.addCleanup(world.close)
                daemon = Daemon(DAEMON, world, closed=closed)
                self.addCleanup(daemon.end)
                self.assertEqual(world.run("drive", "list").code, 0)
                self.assertEqual(daemon.end(), 0)
                for top, _, names in os.walk(world.path("data")):
                    for name in names:
                        with open(os.path.join(top, name), "rb") as file:
                            self.assertNotIn(b"draining", file.read(), name)


class Life(WithDaemon):
    def test_sigterm_lets_a_job_end_and_takes_nothing_new(self):
        env = dict(self.world.environment)
        job = subprocess.Popen(
            [PROGRAM, "put", "-", "--as", "slow"], env=env, cwd=self.world.path("work"), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        job.stdin.write(b"first ")
        job.stdin.flush()
        # The put runs once the daemon has asked for what is in the pipe.
        left = array.array("i", [1])
        while left[0] > 0:
            self.daemon.wait_for("WATCHDOG=1")
            fcntl.ioctl(job.stdin, termios.FIONREAD, left)
        self.daemon.process.send_signal(signal.SIGTERM)
        self.daemon.wait_for("STOPPING=1")
        job.stdin.write(b"last")
        job.stdin.close()
        self.assertEqual(job.wait(LIMIT), 0, job.stderr.read())
        job.stderr.close()
        self.assertEqual(self.daemon.process.wait(LIMIT), 0)
        self.assertFalse(os.path.exists(self.daemon.socket_path))
        self.assertEqual(self.run_well("cat", "/slow").out, b"first last")

    def test_after_a_kill_the_next_daemon_takes_the_socket_over(self):
        self.world.write("work/file", b"kept")
        self.run_well("put", "file")
        self.daemon.end(signal.SIGKILL)
        self.daemon = Daemon(DAEMON, self.world)
        self.addCleanup(self.daemon.end, signal.SIGKILL)
        self.assertEqual(self.run_well("cat", "/file").out, b"kept")

    def test_sighup_reads_the_settings_again(self):
        self.world.write("config/datamesh/datameshd.toml", 'memory = "128MiB"\n')
        self.daemon.process.send_signal(signal.SIGHUP)
        self.daemon.wait_for("RELOADING=1")
        self.daemon.wait_for("READY=1")
        self.assertIn("takes effect after a restart", self.daemon.said())
        self.answers()


class Told(WithDaemon):
    """A webhook hears of the drives, which the daemon looks at by itself."""

    TOKEN = "tok-3f9a"

    def setUp(self):
        super().setUp()
        self.daemon.end()

    def listen(self, *answers, certificate: str = "") -> Receiver:
        receiver = Receiver(answers, certificate)
        self.addCleanup(receiver.close)
        return receiver

    def begin(self, config: str):
        self.daemon = Daemon(DAEMON, self.world, config)
        self.addCleanup(self.daemon.end, signal.SIGKILL)

    def test_a_drive_that_vanishes_is_posted_without_anybody_using_it(self):
        receiver = self.listen()
        self.begin(f'webhook = "http://127.0.0.1:{receiver.port}/hooks/secret-path"\ndrive_check = "1s"\ndrive_low = 0\ndrive_full = 0\n')
        os.rename(self.drives[2], self.world.path("pulled-out"))
        status, path, headers, body = receiver.next()
        self.assertEqual((status, path, headers["Content-Type"]), (204, "/hooks/secret-path", "application/json"))
        event = json.loads(body)
        self.assertEqual((event["event"], event["subject"], event["level"]), ("drive-changed", self.drives[2], "error"))
        # It may go between the look for its marker and the write.
        self.assertIn(event["code"], ("DM-DRIVE-MISSING", "DM-NOT-FOUND"))
        os.rename(self.world.path("pulled-out"), self.drives[2])
        again = json.loads(receiver.next()[3])
        self.assertEqual((again["subject"], again["level"]), (self.drives[2], "info"))
        self.assertEqual(self.daemon.end(), 0, self.daemon.said())
        self.assertNotIn("secret-path", self.daemon.said())

    def test_a_receiver_that_is_at_fault_is_tried_again_with_the_token_that_is_there_then(self):
        token = self.world.write("token", "old\n")
        receiver = self.listen(503, 429)
        self.begin(f'webhook = "http://127.0.0.1:{receiver.port}/"\nwebhook_token_file = "{token}"\ndrive_low = 100\n')
        first = receiver.next()
        self.assertEqual((first[0], first[2]["Authorization"]), (503, "Bearer old"))
        self.world.write("token", self.TOKEN + "\n")
        seen = [receiver.next() for _ in range(7)]
        self.assertEqual([post[0] for post in seen], [429] + [204] * 6)
        self.assertEqual(seen[1][3], first[3], "the same event comes again")
        self.assertEqual(seen[-1][2]["Authorization"], "Bearer " + self.TOKEN)
        self.assertEqual(sorted(json.loads(post[3])["subject"] for post in seen[1:]), sorted(self.drives))
        self.assertEqual(self.daemon.end(), 0, self.daemon.said())
        self.assertNotIn(self.TOKEN, self.daemon.said())

    def test_what_is_refused_or_redirected_is_not_posted_again(self):
        receiver = self.listen(400, 302)
        self.begin(f'webhook = "http://127.0.0.1:{receiver.port}/here"\ndrive_low = 100\n')
        seen = [receiver.next() for _ in range(6)]
        self.assertEqual([post[0] for post in seen], [400, 302, 204, 204, 204, 204])
        self.assertEqual(len({post[3] for post in seen}), 6)
        self.assertEqual({post[1] for post in seen}, {"/here"})
        self.assertEqual(self.daemon.end(), 0, self.daemon.said())
        self.assertIn("did not take an event: it answered 400", self.daemon.said())

    def test_while_nobody_listens_the_daemon_serves_and_ends_at_once(self):
        receiver = Receiver()
        receiver.close()
        self.begin(f'webhook = "http://127.0.0.1:{receiver.port}/"\ndrive_low = 100\n')
        self.daemon.wait_to_say("the webhook is tried again")
        self.answers()
        self.assertEqual(self.daemon.end(), 0, self.daemon.said())
        self.assertIn("were not told to the webhook", self.daemon.said())

    def test_a_sighup_turns_the_webhook_on_and_looks_at_the_drives(self):
        receiver = self.listen()
        self.begin("")
        self.world.write("config/datamesh/datameshd.toml", f'webhook = "http://127.0.0.1:{receiver.port}/"\ndrive_low = 100\n')
        self.daemon.process.send_signal(signal.SIGHUP)
        self.assertEqual(json.loads(receiver.next()[3])["level"], "warning")

    @unittest.skipUnless(shutil.which("openssl"), "openssl makes the certificate")
    def test_certificates_are_verified(self):
        certificate = self.world.path("certificate.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", certificate + ".key", "-out", certificate, "-days", "2"]
            + ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True,
            capture_output=True,
        )
        both = self.world.path("both.pem")
        with open(both, "wb") as out:
            for part in (certificate + ".key", certificate):
                with open(part, "rb") as file:
                    out.write(file.read())
        receiver = self.listen(certificate=both)
        url = f'webhook = "https://127.0.0.1:{receiver.port}/"\ndrive_low = 100\n'
        self.begin(url)
        self.daemon.wait_to_say("the webhook is tried again")
        self.assertTrue(receiver.posts.empty(), "a receiver that nobody vouches for was told")
        self.daemon.end()
        self.begin(url + f'webhook_ca_file = "{certificate}"\n')
        self.assertEqual(receiver.next()[0], 204)


class Settings(unittest.TestCase):
    def setUp(self):
        self.world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(self.world.close)

    def check(self, text: str):
        path = self.world.write("settings.toml", text)
        return subprocess.run(
            [DAEMON, "--config", path, "--check-config"], env=self.world.environment, capture_output=True, timeout=LIMIT, check=False
        )

    def test_good_settings_are_called_good(self):
        done = self.check('home = "/srv/datamesh"\nmemory = "128MiB"\nnotify = ["/usr/bin/logger", "-t", "mesh"]\nscrub = false\n')
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_what_can_not_be_printed_is_told(self):
        for arguments in (["--check-config"], ["--version"], ["--help"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([DAEMON, *arguments], env=self.world.environment, stdout=full, stderr=subprocess.PIPE, check=False)
            self.assertEqual((done.returncode, done.stderr.count(b"\n")), (8, 3), done.stderr)
            done = subprocess.run([DAEMON, *arguments], env=self.world.environment, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1), check=False)
            self.assertEqual(done.returncode, 1, done.stderr)

    def test_an_unknown_key_is_told_with_its_line_and_what_was_meant(self):
        done = self.check('home = "/srv/datamesh"\nmemroy = "128MiB"\n')
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(b"line 2", done.stderr)
        self.assertIn(b"'memory'", done.stderr)

    def test_values_out_of_bounds_are_refused(self):
        for text in ('memory = "1MiB"', "memory = -1", "connections = 0", 'home = "relative"', 'notify = ["relative"]', "scrub = 1", "= x", 'webhook = "example.org"', "webhook = 1", 'drive_check = "0s"', "drive_low = 101", 'webhook = "http://example.org/"\nwebhook_token_file = "/t"'):
            with self.subTest(text):
                self.assertEqual(self.check(text + "\n").returncode, 2)


def loopback_has_multicast() -> bool:
    """Whether what is sent to a group on the loopback interface comes back."""
    group = ("239.255.68.76", 17467)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            ear.bind(group)
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group[0]) + socket.inet_aton("127.0.0.1"))
            ear.settimeout(2)
            out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            out.sendto(b"is it there?", group)
            return bool(ear.recv(64))
    except OSError:
        return False


on_a_lan = unittest.skipUnless(loopback_has_multicast(), "this system has no multicast on its loopback interface")


class Mesh(unittest.TestCase):
    """Daemons of one machine that are members of a mesh."""

    NAME = "a mesh for the tests of the daemon"

    def member(self, *seeds: str, more: str = "", world=None, program: str | list[str] = "") -> Daemon:
        if world is None:
            world = World(PROGRAM, os.path.join(ROOT, "docs"))
            self.addCleanup(world.close)
        config = f'mesh_network = "{self.NAME}"\nmesh_listen = ["127.0.0.1:0"]\nmesh_local = true\nmesh_seeds = {json.dumps(seeds)}\n'
        daemon = Daemon(program or DAEMON, world, config + more)
        self.addCleanup(daemon.end, signal.SIGKILL)
        return daemon

    def status(self, of: Daemon) -> dict:
        told = of.world.json("node status")
        self.assertEqual(told.code, 0, told.all)
        return told.summary

    def seed(self, of: Daemon) -> str:
        return self.status(of)["id"] + "@" + self.status(of)["announces"][0]

    def test_two_daemons_find_each_other_and_do_so_again_after_a_restart_without_a_seed(self):
        first = self.member()
        alone = self.status(first)
        self.assertEqual((alone["member"], alone["daemon"], alone["joined"], alone["links"], alone["nodes_known"]), (True, True, False, 0, 0))
        self.assertEqual(alone["listens"], alone["announces"])
        self.assertEqual(first.world.json("peers").summary, {"message_type": "summary", "peers": 0, "member": True, "daemon": True})
        self.assertIn("No other node", first.world.run("peers").text)
        second = self.member(self.seed(first))
        for daemon in (first, second):
            daemon.wait_to_say("joined the mesh")
        for one, other in ((first, second), (second, first)):
            peers = one.world.json("peers")
            self.assertEqual([peer["id"] for peer in peers.items], [self.status(other)["id"]])
            self.assertTrue(peers.items[0]["known"])
            self.assertEqual(peers.items[0]["addresses"], self.status(other)["announces"])
            self.assertEqual(peers.summary["peers"], 1)
            self.assertTrue(self.status(one)["joined"])
            self.assertEqual(self.status(one)["network"], alone["network"])
        shown = second.world.run("node", "status")
        self.assertEqual((shown.code, shown.errors), (0, ""))
        self.assertIn("joined: 1 other node answers (1 known)", shown.text)
        self.assertIn("Seed      " + self.seed(second), shown.text)
        self.assertIn(self.status(first)["id"], second.world.run("peers").text)
        before = self.status(second)["id"]
        self.assertEqual(second.end(), 0, second.said())
        again = self.member(world=second.world)
        again.wait_to_say("joined the mesh")
        self.assertEqual(self.status(again)["id"], before)
        self.assertEqual([peer["id"] for peer in again.world.json("peers").items], [alone["id"]])
        with open(again.world.path("data", "datamesh", "node.key"), "rb") as key:
            self.assertNotIn(key.read()[12:44].hex(), again.said())

    def operate(self, world, command: str, *arguments: str) -> dict:
        """What the operator does, on the machine of a node."""
        password = world.write("work/password", "a password\n")
        os.chmod(password, 0o600)
        told = world.json("members " + command, *arguments, "--operator-password-file", password)
        self.assertEqual(told.code, 0, told.all)
        return told.summary

    def test_a_mesh_is_closed_and_changed_by_its_operator(self):
        first, second, stranger = self.member(), self.member(), self.member()
        ids = [self.status(each)["id"] for each in (first, second, stranger)]
        world = first.world
        key, made = world.path("work", "operator.key"), world.path("work", "list")
        self.operate(world, "key", key)
        self.assertEqual(self.operate(world, "init", made, "-k", key)["members"], 1)
        self.operate(world, "add", made, *ids[1:], "-k", key)

        def hand(to: Daemon) -> str:
            with open(made, "rb") as file:
                return to.world.write("work/members.list", file.read())

        closed = f'mesh_members = "{hand(first)}"\n'
        self.assertEqual(first.end(), 0)
        first = self.member(more=closed, world=world)
        said = self.status(first)
        self.assertEqual((said["members_list"], said["members"], said["operators"], said["threshold"], said["listed"]), (2, 3, 1, 1, True))
        self.assertIn("Members   list 2: 3 nodes, signed by 1 of 1 operator\n", world.run("node", "status").text)
        for each in (second, stranger):
            self.assertEqual(each.end(), 0)
        second = self.member(self.seed(first), more=f'mesh_members = "{hand(second)}"\n', world=second.world)
        stranger = self.member(self.seed(first), world=stranger.world)
        stranger.wait_to_say("joined the mesh")
        second.wait_to_say("joined the mesh")

        self.operate(world, "remove", made, ids[2], "-k", key)
        hand(first)
        first.process.send_signal(signal.SIGHUP)
        first.wait_to_say("list of members 3 holds")
        first.wait_to_say(f"no link with node {ids[2]}")
        stranger.wait_to_say("it is not on its list of members")
        second.wait_to_say("list of members 3 holds")
        self.assertEqual(self.status(second)["members"], 2)
        self.assertNotIn(ids[2], [peer["id"] for peer in first.world.json("peers").items if peer["links_dialed"] + peer["links_accepted"] > 0])

        # What is older, and what somebody else signed, is refused, and the list stays.
        self.operate(world, "key", world.path("work", "eve.key"))
        os.remove(made)
        self.operate(world, "init", made, "-k", world.path("work", "eve.key"))
        hand(first)
        first.process.send_signal(signal.SIGHUP)
        first.wait_to_say("the list of members is not taken")
        self.assertEqual(self.status(first)["members_list"], 3)

    def test_a_node_comes_in_by_an_invite(self):
        first = self.member()
        own = self.status(first)
        made = first.world.json("invite create", "carol.invite")
        self.assertEqual(made.code, 0, made.all)
        path = first.world.path("work", "carol.invite")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual((made.summary["network"], made.summary["from"], made.summary["local"], made.summary["closed"]), (own["network"], own["id"], True, False))
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        with open(path, "rb") as file:
            invite = file.read()
        world.write("work/carol.invite", invite)
        config = world.path("config", "datamesh", "datameshd.toml")
        os.makedirs(os.path.dirname(config), exist_ok=True)
        with open(config, "w", encoding="utf-8") as file:
            file.write("# mine\nscrub = false\n")
        accept = ("invite accept", "carol.invite", "--listen", "127.0.0.1:0")
        tried = world.json(*accept, "--dry-run")
        self.assertEqual((tried.code, tried.summary["file"]), (0, config))
        with open(config, encoding="utf-8") as file:
            self.assertEqual(file.read(), "# mine\nscrub = false\n")
        self.assertEqual(world.json(*accept, "--from", "5a" * 32).failure["error"], "DM-AUTHENTICATION-FAILED")
        self.assertEqual(world.json(*accept, "--from", own["id"]).code, 0)
        with open(config, encoding="utf-8") as file:
            written = file.read()
        self.assertTrue(written.startswith("# mine\nscrub = false\nmesh_network"), written)
        again = world.json(*accept)
        self.assertEqual((again.code, again.failure["error"]), (1, "DM-ALREADY-EXISTS"))
        self.assertEqual(world.json(*accept, "--force").code, 0)
        with open(config, encoding="utf-8") as file:
            self.assertEqual(file.read(), written)
        second = Daemon(DAEMON, world, written)
        self.addCleanup(second.end, signal.SIGKILL)
        second.wait_to_say("joined the mesh")
        self.assertEqual(self.status(second)["network"], own["network"])
        world.write("work/carol.invite", invite[:-1] + bytes([invite[-1] ^ 1]))
        self.assertEqual(world.json("invite show", "carol.invite").failure["error"], "DM-AUTHENTICATION-FAILED")

    def test_an_invite_into_a_closed_mesh_brings_the_list_and_does_not_let_in(self):
        first = self.member()
        world = first.world
        key, made = world.path("work", "operator.key"), world.path("work", "list")
        self.operate(world, "key", key)
        self.operate(world, "init", made, "-k", key)
        self.assertEqual(first.end(), 0)
        first = self.member(more=f'mesh_members = "{made}"\n', world=world)
        self.assertEqual(world.json("invite create", "dan.invite").failure["error"], "DM-USAGE")
        self.assertTrue(world.json("invite create", "dan.invite", "--members", made).summary["closed"])
        other = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(other.close)
        with open(world.path("work", "dan.invite"), "rb") as file:
            other.write("work/dan.invite", file.read())
        taken = other.json("invite accept", "dan.invite")
        self.assertEqual(taken.code, 0, taken.all)
        with open(taken.summary["file"], encoding="utf-8") as file:
            second = Daemon(DAEMON, other, file.read())
        self.addCleanup(second.end, signal.SIGKILL)
        second.wait_to_say("this node is not on the list of members")
        second.wait_to_say("it is not on its list of members")
        self.operate(world, "add", made, self.status(second)["id"], "-k", key)
        first.process.send_signal(signal.SIGHUP)
        first.wait_to_say("list of members 2 holds")
        second.wait_to_say("list of members 2 holds")
        second.wait_to_say("joined the mesh")

    def test_a_daemon_that_does_not_know_whom_to_let_in_does_not_start(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        done = self.refused(world, f'mesh_network = "{self.NAME}"\nmesh_listen = ["127.0.0.1:0"]\nmesh_local = true\nmesh_members = "/nowhere/list"\n')
        self.assertIn(b"/nowhere/list", done.stderr)
        self.assertIn(b"datamesh members show", done.stderr)

    def test_a_seed_may_have_a_name(self):
        first = self.member()
        port = self.status(first)["announces"][0].rsplit(":", 1)[1]
        second = self.member(f"{self.status(first)['id']}@/dns4/localhost/tcp/{port}")
        second.wait_to_say("joined the mesh")
        third = self.member("nobody.invalid:7000")
        third.wait_to_say("the seed /dns/nobody.invalid/tcp/7000 is not reached")

    def test_a_node_in_no_mesh_says_so_and_what_to_do(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        os.mkdir(world.path("drive"))
        self.assertEqual(world.run("init", "--drive", world.path("drive")).code, 0)
        for command in ("node status", "peers"):
            ended = world.run(*command.split())
            self.assertEqual(ended.code, 0, str(ended))
            self.assertIn("only a daemon is a member", ended.text)
            self.assertIn("and start datameshd", ended.text)
            self.assertEqual((world.json(command).summary["member"], world.json(command).summary["daemon"]), (False, False))
        daemon = Daemon(DAEMON, world)
        self.addCleanup(daemon.end, signal.SIGKILL)
        for command in ("node status", "peers"):
            ended = world.run(*command.split())
            self.assertEqual(ended.code, 0, str(ended))
            self.assertIn("in no mesh", ended.text)
            self.assertIn("and restart datameshd", ended.text)
            self.assertEqual((world.json(command).summary["member"], world.json(command).summary["daemon"]), (False, True))
        self.assertFalse(os.path.exists(world.path("data", "datamesh", "node.key")))

    def refused(self, world, config: str) -> subprocess.CompletedProcess:
        """The daemon does not start, and says why in three lines."""
        path = world.write("config/datamesh/datameshd.toml", config)
        done = subprocess.run([DAEMON, "--config", path], env=world.environment, capture_output=True, timeout=LIMIT, check=False)
        self.assertNotEqual(done.returncode, 0)
        lines = done.stderr.decode().splitlines()
        self.assertEqual(len(lines), 3, done.stderr)
        self.assertTrue(lines[0].startswith("error: ") and lines[1].startswith("  why: ") and lines[2].startswith("  next: "), done.stderr)
        return done

    def test_a_key_that_is_damaged_and_a_port_that_is_taken_are_told(self):
        first = self.member()
        taken = self.status(first)["announces"][0]
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        done = self.refused(world, f'mesh_network = "{self.NAME}"\nmesh_listen = ["{taken}"]\nmesh_local = true\n')
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn(taken.encode(), done.stderr)
        self.assertIn(b"mesh_listen", done.stderr)
        key = first.world.path("data", "datamesh", "node.key")
        self.assertEqual(os.stat(key).st_mode & 0o777, 0o600)
        self.assertEqual(first.end(), 0, first.said())
        os.truncate(key, 40)
        done = self.refused(first.world, f'mesh_network = "{self.NAME}"\nmesh_listen = ["127.0.0.1:0"]\nmesh_local = true\n')
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"node.key", done.stderr)
        self.assertIn(b"another one to the mesh", done.stderr)

    def test_settings_that_make_no_mesh_are_refused_with_their_line(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        good = f'mesh_network = "{self.NAME}"\nmesh_local = true\n'
        for line, what, text in (
            (1, "mesh_network", 'mesh_network = "home"\nmesh_listen = ["9.9.9.9:1"]'),
            (1, "mesh_network", "mesh_network = 7"),
            (1, "mesh_network", 'mesh_network = ""'),
            (1, "mesh_network", 'mesh_listen = ["9.9.9.9:1"]'),
            (1, "mesh_network", good),
            (3, "mesh_listen", good + 'mesh_listen = "127.0.0.1:1"'),
            (3, "mesh_listen", good + "mesh_listen = [1]"),
            (3, "mesh_listen", good + 'mesh_listen = ["127.0.0.1"]'),
            (3, "mesh_listen", good + 'mesh_listen = ["0.0.0.0:7000"]\nmesh_lan = false'),
            (3, "mesh_lan", good + 'mesh_lan = "on"\nmesh_listen = ["127.0.0.1:7000"]'),
            (1, "mesh_lan", "mesh_lan = true"),
            (4, "mesh_announce", good + 'mesh_listen = ["0.0.0.0:7000"]\nmesh_announce = ["host.example:7000"]'),
            (3, "mesh_seeds", good + 'mesh_seeds = ["/dns5/host.example/tcp/7000"]'),
            (3, "mesh_members", good + 'mesh_members = "members.list"'),
            (1, "mesh_members", 'mesh_members = "/etc/datamesh/members"'),
            (2, "mesh_seeds", f'mesh_network = "{self.NAME}"\nmesh_seeds = ["127.0.0.1:7000"]'),
            (2, "mesh_local", f'mesh_network = "{self.NAME}"\nmesh_local = 1'),
            (4, "mesh_map_port", good + 'mesh_listen = ["192.168.1.7:7000"]\nmesh_map_port = true'),
            (3, "mesh_map_port", f'mesh_network = "{self.NAME}"\nmesh_listen = ["[::]:7000"]\nmesh_map_port = true'),
            (2, "mesh_map_port", f'mesh_network = "{self.NAME}"\nmesh_map_port = "yes"\nmesh_seeds = ["9.9.9.9:7000"]'),
            (1, "mesh_map_port", "mesh_map_port = true"),
            (4, "mesh_relay", good + 'mesh_listen = ["127.0.0.1:7000"]\nmesh_relay = 1000'),
            (4, "mesh_relay", good + 'mesh_listen = ["127.0.0.1:7000"]\nmesh_relay = "fast"'),
            (4, "mesh_relay", good + 'mesh_listen = ["127.0.0.1:7000"]\nmesh_relay = -1'),
            (1, "mesh_relay", "mesh_relay = 1000000"),
        ):
            with self.subTest(text):
                done = self.refused(world, text + "\n")
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(f"line {line}: ".encode(), done.stderr)
                self.assertIn(what.encode(), done.stderr)

    def test_a_sighup_names_what_of_the_mesh_waits_for_a_restart(self):
        daemon = self.member()
        daemon.world.write("config/datamesh/datameshd.toml", "")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_to_say("read the settings again")
        for key in ("mesh_network", "mesh_listen", "mesh_local"):
            self.assertIn(key, daemon.said())
        self.assertTrue(self.status(daemon)["member"])

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_another_uid_sees_the_peers_and_not_the_id_of_the_mesh(self):
        daemon = self.member()
        os.chmod(daemon.socket_path, 0o666)
        for folder in (daemon.world.folder, daemon.world.path("run"), daemon.world.path("work")):
            os.chmod(folder, 0o755)

        def become():
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)

        def as_nobody(*arguments):
            env = {**daemon.world.environment, "XDG_DATA_HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent"}
            return subprocess.run([PROGRAM, *arguments], env=env, cwd="/", preexec_fn=become, capture_output=True, timeout=LIMIT, check=False)

        if as_nobody("version").returncode != 0:
            self.skipTest("the program is not where nobody can run it")
        own = self.status(daemon)
        done = as_nobody("node", "status", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        seen = json.loads(done.stdout)
        self.assertEqual(seen.pop("network", None), None)
        self.assertEqual(seen, {key: value for key, value in own.items() if key not in ("network", "hosting")})
        self.assertNotIn(own["network"].encode(), as_nobody("node", "status").stdout)
        self.assertEqual(daemon.world.run("node", "allow", self.OWNER, "1G").code, 0)
        self.assertNotIn(self.OWNER.encode(), as_nobody("node", "status").stdout)
        self.assertEqual(as_nobody("node", "status").returncode, 0)
        denied = as_nobody("node", "allow", self.OWNER, "2G")
        self.assertIn(b"(DM-PERMISSION-DENIED)", denied.stderr)
        self.assertIn(b"next: run it as root", denied.stderr)
        self.assertEqual(self.rooms(daemon)[0]["granted"], 1 << 30)
        self.assertEqual(as_nobody("node", "limit", "--json").returncode, 0)
        self.assertIn(b"(DM-PERMISSION-DENIED)", as_nobody("node", "limit", "--up", "1M").stderr)
        self.assertEqual(as_nobody("peers", "--json").returncode, 0)

    OWNER = "5a" * 32

    def rooms(self, of: Daemon) -> list:
        return [{key: value for key, value in item.items() if key != "message_type"} for item in of.world.json("node status").items]

    def test_room_is_given_by_a_command_and_is_there_after_a_restart(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        os.mkdir(world.path("drive"))
        self.assertEqual(world.run("init", "--drive", world.path("drive")).code, 0)
        # Without the daemon, for when it is there.
        self.assertEqual(world.run("node", "allow", self.OWNER, "1G").code, 0)
        self.assertFalse(os.path.exists(world.path("drive", "guests")))
        daemon = self.member(world=world)
        daemon.wait_to_say("1 owner has room")
        self.assertEqual(self.rooms(daemon), [{"owner": self.OWNER, "granted": 1 << 30, "used": 0, "shards": 0}])
        self.assertTrue(os.path.exists(world.path("drive", "guests", "datamesh-drive")))
        told = world.json("node allow", self.OWNER, "2G")
        self.assertEqual(told.summary, {"message_type": "summary", "dry_run": False, "owner": self.OWNER, "granted": 2 << 30})
        self.assertEqual(world.json("node allow", self.OWNER, "0", "--dry-run").summary["dry_run"], True)
        self.assertIn(self.OWNER, world.run("node", "status").text)
        self.assertEqual(daemon.end(), 0, daemon.said())
        again = self.member(world=world)
        self.assertEqual(self.rooms(again)[0]["granted"], 2 << 30)
        self.assertEqual(world.run("node", "allow", self.OWNER, "0").code, 0)
        self.assertEqual(self.rooms(again), [])
        # The room is nobody's any more, and nothing of others is there: the drive may go.
        self.assertNotIn("kept for others", world.run("drive", "remove", world.path("drive")).errors)

    def test_a_node_that_is_made_for_others_is_started_by_a_command(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        world.environment["PATH"] = os.path.dirname(DAEMON) + os.pathsep + world.environment["PATH"]
        # As the document shows.
        with open(os.path.join(ROOT, "docs", "mesh.md"), encoding="utf-8") as file:
            (made, told) = re.findall(r"^    datamesh (node init.*|node status --json)$", file.read().split("### How much in all")[1], re.MULTILINE)
        words = made.replace("$PWD", world.path("work")).replace('"', "").replace("20G", "20M").split()
        self.assertEqual(world.run(*words).code, 0)
        self.assertEqual(world.run(*told.split()).code, 0)
        self.assertEqual(world.run("node", "allow", self.OWNER, "15M").code, 0)
        daemon = self.member(world=world, program=[PROGRAM, "node", "start"])
        daemon.wait_to_say("1 owner has room")
        of = world.json("node status").summary
        self.assertEqual([of[k] for k in ("daemon", "reserved", "granted", "used")], [True, 20 << 20, 15 << 20, 0])
        self.assertEqual(world.json("node allow", self.OWNER, "21M").failure["error"], "DM-CAPACITY-EXCEEDED")
        self.assertEqual(world.run("node", "init", "--capacity", "30M").code, 0)
        self.assertEqual(world.run("node", "allow", self.OWNER, "21M").code, 0)
        env = {**world.environment, "XDG_RUNTIME_DIR": world.path("work")}
        second = subprocess.run([PROGRAM, "node", "start"], env=env, capture_output=True, timeout=LIMIT, check=False)
        self.assertEqual(second.returncode, 11, second.stderr)
        self.assertEqual(daemon.end(), 0, daemon.said())

    def held(self, of: Daemon, **due) -> dict:
        """What the node says of what it set aside, once it says that."""
        while True:
            told = self.status(of)
            if all(told.get(key) == value for key, value in due.items()):
                return told
            of.wait_for("WATCHDOG=1")

    def test_what_was_set_aside_is_there_for_others_when_the_disk_is_full(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        drive = world.path("drive")
        os.mkdir(drive)
        # A drive keeps 64 MiB in reserve.
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "datamesh-test", drive], capture_output=True, check=False).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", drive], check=False, capture_output=True)
        self.assertEqual(world.run("node", "init", "--folder", drive, "--capacity", "60M").code, 0)
        self.assertEqual(world.json("node status").summary["held"], 60 << 20)
        keeper = self.member(world=world)
        self.held(keeper, held=60 << 20, lacking=0)
        self.assertGreater(world.json("drive list").items[0]["held"], 60 << 20)
        self.assertIn("HELD", world.run("drive", "list").text)
        owner = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(owner.close)
        os.mkdir(owner.path("drive"))
        self.assertEqual(owner.run("init", "--drive", owner.path("drive")).code, 0)
        self.assertEqual(world.run("node", "allow", owner.json("vault list").items[0]["id"], "60M").code, 0)
        asker = self.member(self.seed(keeper), world=owner)
        asker.wait_to_say("joined the mesh")
        added = owner.json("drive add", "node:" + self.status(keeper)["id"])
        self.assertEqual(added.code, 0, added.all)

        def fill():
            with open(os.path.join(drive, "of somebody else"), "ab", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(1 << 16)):
                    pass

        fill()
        # The settling that follows keeps something free for the node itself, of what is held beyond the promise.
        self.assertLess(shutil.disk_usage(drive).free, 64 << 20)
        for number in range(5):
            owner.write(f"work/file{number}", os.urandom(10 << 20))
            put = owner.json("put", f"file{number}")
            self.assertEqual((put.code, put.summary["shards_short"]), (0, 0), put.all)
        told = self.held(keeper, lacking=0)
        self.assertGreater(told["used"], 50 << 20)
        self.assertEqual(told["used"] + told["held"], 60 << 20)
        report = owner.json("status").summary
        self.assertEqual((report["policy"], report["answer"]), ("1+1", "safe"), report)
        # What is taken away is free for others, and what comes back is held again.
        os.remove(os.path.join(drive, "of somebody else"))
        for number in range(5):
            self.assertEqual(owner.run("rm", f"/file{number}").code, 0)
        cleaned = owner.json("cleanup", "--trash-age", "0s", "--yes")
        self.assertEqual(cleaned.code, 0, cleaned.all)
        told = self.held(keeper, lacking=0)
        self.assertLess(told["used"], 30 << 20)
        self.assertEqual(told["used"] + told["held"], 60 << 20)
        self.assertEqual(keeper.end(), 0, keeper.said())
        self.assertTrue(os.path.exists(os.path.join(drive, "guests", "ballast")))

    def test_how_others_are_served_is_said_by_a_command_and_holds_after_a_restart(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        os.mkdir(world.path("drive"))
        self.assertEqual(world.run("init", "--drive", world.path("drive")).code, 0)
        self.assertEqual(world.json("node pause", "--dry-run").summary["dry_run"], True)
        self.assertFalse(os.path.exists(world.path("data", "datamesh", "hosting")))
        # Without the daemon, for when it is there.
        self.assertEqual(world.json("node pause").summary["hosting"], "paused")
        daemon = self.member(world=world)
        self.assertEqual(world.json("node status").summary["hosting"], "paused")
        self.assertIn("datamesh node resume", world.run("node", "status").text)
        told = world.json("node drain", "--wait")
        self.assertEqual(told.summary, {"message_type": "summary", "dry_run": False, "hosting": "draining", "owners": 0, "shards": 0, "stuck": 0})
        self.assertEqual(daemon.end(), 0, daemon.said())
        again = self.member(world=world)
        self.assertEqual(world.json("node status").summary["hosting"], "draining")
        self.assertEqual(again.end(), 0, again.said())
        world.write("data/datamesh/hosting", "nothing of the kind\n")
        mended = self.member(world=world)
        mended.wait_to_say("takes nothing from others")
        self.assertIn("hosting", world.run("node", "status").errors)
        self.assertEqual(world.run("node", "resume").code, 0)
        self.assertEqual(world.json("node status").summary["hosting"], "open")

    def test_a_node_that_leaves_is_in_no_mesh_after_a_restart(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        os.mkdir(world.path("drive"))
        self.assertEqual(world.run("init", "--drive", world.path("drive")).code, 0)
        config = world.path("config", "datamesh", "datameshd.toml")
        self.assertEqual(world.json("node leave").failure["error"], "DM-NOT-FOUND")
        daemon = self.member(world=world, more="memory = \"64MiB\"\n")
        before = self.read(config)
        told = world.json("node leave", "--dry-run")
        self.assertEqual((told.summary["left"], told.summary["file"]), (False, config))
        self.assertEqual((self.read(config), self.status(daemon)["hosting"]), (before, "open"))
        # A file that can not be read is found before anything is done.
        world.write("work/broken.toml", "mesh_network = \n")
        self.assertEqual(world.json("node leave", "--to", "broken.toml").failure["error"], "DM-CONFIG-INVALID")
        self.assertEqual(self.status(daemon)["hosting"], "open")
        told = world.json("node leave")
        self.assertEqual((told.code, told.summary["left"], told.summary["shards"]), (0, True, 0), told.all)
        self.assertEqual(self.read(config), 'memory = "64MiB"\n')
        self.assertEqual(daemon.end(), 0, daemon.said())
        self.assertFalse(world.json("node status").summary["member"])
        # Nothing of others is here, so it goes without a daemon, too.
        self.assertEqual(world.run("node", "allow", self.OWNER, "1G").code, 0)
        world.write("config/datamesh/datameshd.toml", before)
        self.assertEqual(world.json("node leave", "--force").summary["left"], True)
        self.assertEqual(self.read(config), 'memory = "64MiB"\n')

    def test_the_health_of_the_mesh_is_told_with_what_to_do_and_watched(self):
        alone = self.member()
        told = alone.world.json("network health")
        self.assertEqual((told.code, told.summary["fail"]), (1, 1), told.all)
        self.assertEqual([one["result"] for one in told.items if one["check"] == "mesh"], ["fail"])
        self.assertTrue(all("run" in one for one in told.items if one["result"] != "ok"))
        other = self.member(self.seed(alone))
        other.wait_to_say("joined the mesh")
        alone.wait_to_say("joined the mesh")
        told = alone.world.json("network health")
        self.assertEqual((told.code, told.summary["ok"], told.summary["warn"], told.summary["fail"]), (0, 1, 0, 0), told.all)
        self.assertEqual(alone.world.run("network", "health").text, "ok    mesh         1 of 1 known node answers\n")
        watch = subprocess.Popen([PROGRAM, "network", "health", "--watch", "--every", "1", "--json"], env=alone.world.environment, stdout=subprocess.PIPE, text=True)
        self.addCleanup(watch.wait)
        self.addCleanup(watch.stdout.close)
        self.addCleanup(watch.kill)
        self.assertEqual(json.loads(watch.stdout.readline())["cause"], "1 of 1 known node answers")
        self.assertEqual(alone.world.run("node", "pause").code, 0)
        changed = json.loads(watch.stdout.readline())
        self.assertEqual((changed["result"], changed["check"], changed["run"]), ("warn", "others", "datamesh node resume"))
        self.assertIn("since", changed)
        # The daemon ends, and the one who watches does not keep it from beginning anew.
        self.assertEqual(alone.end(), 0, alone.said())
        self.assertEqual(json.loads(watch.stdout.readline())["result"], "fail")
        again = self.member(self.seed(other), world=alone.world)
        self.assertEqual(self.status(again)["hosting"], "paused")
        watch.send_signal(signal.SIGINT)
        rest = [json.loads(line) for line in watch.stdout.read().splitlines()]
        self.assertIn("summary", [line["message_type"] for line in rest])
        self.assertIn(watch.wait(), (1, 3))
        for line in rest:
            alone.world.validator("network health").validate(line)
        nobody = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(nobody.close)
        self.assertEqual(nobody.json("network health").code, 1)

    @staticmethod
    def read(path: str) -> str:
        with open(path, encoding="utf-8") as file:
            return file.read()

    def test_what_a_node_takes_of_its_line_is_limited_by_a_command_and_after_a_restart(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        os.mkdir(world.path("drive"))
        self.assertEqual(world.run("init", "--drive", world.path("drive")).code, 0)

        def limits(*words) -> tuple:
            told = world.json("node limit", *words)
            self.assertEqual(told.code, 0, told.all)
            return told.summary["up"], told.summary["down"], [tuple(one.values()) for one in told.summary["windows"]]

        self.assertEqual(limits(), (0, 0, []))
        self.assertEqual(limits("--up", "2M", "--dry-run"), (2 << 20, 0, []))
        self.assertFalse(os.path.exists(world.path("data", "datamesh", "rates")))
        # Without the daemon, for when it is there.
        self.assertEqual(limits("--up", "2M"), (2 << 20, 0, []))
        daemon = self.member(world=world)
        own = self.status(daemon)
        self.assertEqual((own["limit_up"], own["limit_down"], own["sent"], own["received"]), (2 << 20, 0, 0, 0))
        self.assertEqual(limits("--down", "10M"), (2 << 20, 10 << 20, []))
        self.assertIn("; now at most 2.0 MiB up, 10.0 MiB down a second\n", world.run("node", "status").text)
        self.assertEqual(limits("--between", "00:00-24:00", "--up", "512K"), (2 << 20, 10 << 20, [("00:00", "24:00", 512 << 10, 10 << 20)]))
        self.assertEqual(self.status(daemon)["limit_up"], 512 << 10)
        self.assertIn("00:00-24:00  512.0 KiB a second", world.run("node", "limit").text)
        for words, error in (
            (["--up", "255K"], "DM-INVALID-ARGUMENT"),
            (["--between", "10:00-12:00", "--up", "0"], "DM-INVALID-ARGUMENT"),
            (["--between", "10:00-12:00"], "DM-USAGE"),
            (["--between", "10-12", "--up", "0"], "DM-USAGE"),
            (["--between", "24:00-12:00", "--up", "0"], "DM-USAGE"),
            (["--between", "10:00-10:00", "--up", "0"], "DM-USAGE"),
            (["--clear", "--up", "1M"], "DM-USAGE"),
            (["--between", "10:00-12:00", "--clear"], "DM-NOT-FOUND"),
            (["--up", "much"], "DM-USAGE"),
        ):
            refused = world.json("node limit", *words)
            self.assertEqual(refused.failure["error"], error, words)
        self.assertEqual(daemon.end(), 0, daemon.said())
        again = self.member(world=world)
        self.assertEqual(self.status(again)["limit_up"], 512 << 10)
        self.assertEqual(limits("--between", "00:00-24:00", "--clear"), (2 << 20, 10 << 20, []))
        self.assertEqual(self.status(again)["limit_up"], 2 << 20)
        self.assertEqual(again.end(), 0, again.said())
        world.write("data/datamesh/rates", "nothing of the kind\n")
        mended = self.member(world=world)
        mended.wait_to_say("the line is not limited")
        damaged = world.run("node", "limit")
        self.assertIn("datamesh node limit --clear", damaged.errors)
        self.assertEqual(limits("--clear"), (0, 0, []))
        other = self.member(self.seed(mended))
        other.wait_to_say("joined the mesh")
        ours, theirs = self.status(mended), self.status(other)
        self.assertGreater(min(ours["sent"], ours["received"], theirs["sent"], theirs["received"]), 1000)
        # As the document shows.
        with open(os.path.join(ROOT, "docs", "mesh.md"), encoding="utf-8") as file:
            shown = re.findall(r"^    datamesh (node limit.*)$", file.read(), re.MULTILINE)
        self.assertEqual(len(shown), 4)
        for line in shown:
            self.assertEqual(world.run(*line.split()).code, 0, line)
        self.assertEqual(limits(), (0, 0, []))

    def pair(self) -> tuple:
        """Two daemons that have a link."""
        first = self.member()
        second = self.member(self.seed(first))
        for daemon in (first, second):
            daemon.wait_to_say("joined the mesh")
        return first, second

    def test_the_line_to_other_nodes_is_measured(self):
        first, second = self.pair()
        world, other = first.world, self.status(second)
        told = world.json("bandwidth", "--size", "3M")
        self.assertEqual((told.code, told.summary["measured"], told.summary["failed"]), (0, 1, 0), told.all)
        (one,) = told.items
        self.assertEqual(one["id"], other["id"])
        # It dialed: the address is whence it came.
        self.assertTrue(one["address"].startswith("127.0.0.1:"), one)
        self.assertGreater(one["rtt_min_ns"], 0)
        self.assertLess(one["rtt_median_ns"], 5_000_000_000)
        self.assertNotIn("refilled_seconds", one)
        for way in ("up", "down"):
            self.assertEqual((one[way]["bytes"], one[way]["stop"]), (3 << 20, "bytes"), one)
            self.assertGreater(one[way]["bytes_per_second"], 100_000)
            self.assertNotIn("held_by", one[way])
        # It went over the links.
        self.assertGreater(min(self.status(first)["sent"], self.status(first)["received"]), 3 << 20)
        # As the document shows, for the node that there is.
        shown = re.findall(r"^    datamesh (bandwidth.*)$", self.read(os.path.join(ROOT, "docs", "mesh.md")), re.MULTILINE)
        self.assertEqual(len(shown), 2)
        for line in shown:
            ended = second.world.run(*line.replace("5f1e2d3c", self.status(first)["id"][:8]).split())
            self.assertEqual((ended.code, ended.errors), (0, ""), line)
            self.assertIn(self.status(first)["id"], ended.text)
        for words, error in (
            (["5a5a5a5a"], "DM-NOT-FOUND"),
            (["5a" * 32], "DM-UNAVAILABLE"),
            ([self.status(first)["id"]], "DM-INVALID-ARGUMENT"),
            (["--size", "1K"], "DM-USAGE"),
            (["--size", "2G"], "DM-USAGE"),
            (["--seconds", "61"], "DM-USAGE"),
        ):
            self.assertEqual(world.json("bandwidth", *words).failure["error"], error, words)
        # One of two is not reached: the other one is told.
        both = world.json("bandwidth", "5a" * 32, other["id"][:6], "--size", "64K")
        self.assertEqual((both.code, both.summary["measured"], both.summary["failed"]), (3, 1, 1), both.all)

    def test_a_node_in_no_mesh_and_one_without_a_link_say_so_when_the_line_is_to_be_measured(self):
        alone = self.member()
        told = alone.world.json("bandwidth")
        self.assertEqual(told.failure["error"], "DM-UNAVAILABLE")
        self.assertIn("datamesh peers", told.failure["suggestion"])
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        os.mkdir(world.path("drive"))
        self.assertEqual(world.run("init", "--drive", world.path("drive")).code, 0)
        told = world.json("bandwidth")
        self.assertEqual(told.failure["error"], "DM-UNAVAILABLE")
        self.assertIn("no daemon", told.failure["message"])
        self.assertIn("start datameshd", told.failure["suggestion"])

    def test_a_limit_of_either_node_is_told_where_it_was_measured_in_place_of_the_line(self):
        first, second = self.pair()
        self.assertEqual(first.world.run("node", "limit", "--up", "512K").code, 0)
        limit = 512 << 10
        for of, limited, other, by in ((first, "up", "down", "own"), (second, "down", "up", "their")):
            told = of.world.json("bandwidth", "--size", "2M", "--seconds", "3")
            self.assertEqual(told.code, 0, told.all)
            (one,) = told.items
            self.assertEqual(one[limited]["held_by"], by, one)
            self.assertEqual(one[limited][by + "_limit"], limit)
            self.assertGreater(one[limited]["bytes_per_second"], 0.75 * limit)
            # What was saved up while nothing went over the line comes on top.
            self.assertLess(one[limited]["bytes_per_second"], 1.5 * limit)
            self.assertNotIn("held_by", one[other])
        self.assertIn("this is the limit of this node's line, 512.0 KiB/s", first.world.run("bandwidth", "--size", "1M").text)
        self.assertIn("the limit that the operator of that node set, 512.0 KiB/s", second.world.run("bandwidth", "--size", "1M").text)

    def test_a_node_that_has_answered_enough_tests_of_the_line_refuses_more_and_says_how_long(self):
        first, second = self.pair()
        moved, items = 0, []
        while not items or "refilled_seconds" not in items[-1]:
            told = first.world.json("bandwidth", "--seconds", "60")
            self.assertEqual(told.code, 0, told.all)
            items += told.items
            moved += sum(items[-1][way]["bytes"] for way in ("up", "down"))
        self.assertEqual(items[-1]["down"]["stop"], "budget")
        # What came back meanwhile is some 120 KB a second.
        self.assertGreater(moved, 64 << 20)
        self.assertLess(moved, 120 << 20)
        told = first.world.json("bandwidth")
        while "refilled_seconds" in told.items[-1] and told.items[-1]["up"]["bytes"] > 0:
            told = first.world.json("bandwidth")
        self.assertEqual(told.failure["error"], "DM-CAPACITY-EXCEEDED")
        self.assertRegex(told.failure["message"], r"answers no more tests of this one for \d+ (min|h|s)")
        self.assertEqual((told.summary["measured"], told.items[-1]["up"]["bytes"], told.items[-1]["down"]["bytes"]), (0, 0, 0))
        self.assertGreater(told.items[-1]["refilled_seconds"], 60)
        self.assertLess(told.items[-1]["refilled_seconds"], 601)
        self.assertIn("wait that long", told.failure["suggestion"])
        # Its own tests of the first one go on, and so does all else.
        back = second.world.json("bandwidth", "--size", "1M")
        self.assertEqual((back.code, back.items[0]["up"]["stop"]), (0, "bytes"))

    def test_a_measurement_is_ended_by_an_interruption_and_is_the_only_one(self):
        first, second = self.pair()
        self.assertEqual(first.world.run("node", "limit", "--up", "256K", "--down", "256K").code, 0)
        running = subprocess.Popen(
            [PROGRAM, "bandwidth", "--json", "--seconds", "60"], env=first.world.variables(None), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(running.stdout.close)
        self.addCleanup(running.kill)
        seen = json.loads(running.stdout.readline())
        self.assertEqual((seen["message_type"], seen["kind"]), ("status", "progress"))
        self.assertEqual(first.world.json("bandwidth").failure["error"], "DM-CONFLICT")
        running.send_signal(signal.SIGINT)
        self.assertEqual(running.wait(timeout=60), 130)
        self.assertEqual(json.loads(running.stdout.readlines()[-1])["error"], "DM-CANCELLED")
        again = first.world.json("bandwidth", "--size", "64K")
        self.assertEqual((again.code, again.summary["measured"]), (0, 1), again.all)

    def keeper(self, *seeds: str) -> Daemon:
        """A member with a drive."""
        made = self.member(*seeds)
        os.mkdir(made.world.path("drive"))
        self.assertEqual(made.world.run("drive", "add", made.world.path("drive")).code, 0)
        return made

    def test_without_a_daemon_a_command_is_a_member_of_the_mesh_while_it_runs(self):
        keepers = [self.keeper()]
        seed = self.seed(keepers[0])
        keepers += [self.keeper(seed) for _ in range(2)]
        laptop = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(laptop.close)
        self.assertEqual(laptop.run("init", "--drive", laptop.path("drive"), "--trust-device").code, 0)
        owner = laptop.json("vault list").items[0]["id"]
        ids = [self.status(keeper)["id"] for keeper in keepers]
        for keeper in keepers:
            self.assertEqual(keeper.world.run("node", "allow", owner, "1G").code, 0)
        # No settings of a mesh: it is in none.
        refused = laptop.run("drive", "add", "node:" + ids[0])
        self.assertEqual(refused.code, 2, str(refused))
        self.assertIn("mesh", refused.errors)
        settings = f'mesh_network = "{self.NAME}"\nmesh_listen = ["0.0.0.0:7000"]\nmesh_lan = false\nmesh_local = true\nmesh_seeds = ["{seed}"]\n'
        laptop.write("config/datamesh/datameshd.toml", settings)
        for id in ids:
            added = laptop.json("drive add", "node:" + id)
            self.assertEqual(added.code, 0, added.all)
        content = random.Random(7).randbytes(6 << 20)
        laptop.write("work/file", content)
        self.assertEqual(laptop.json("put", "file").code, 0)
        self.assertTrue(all(int(keeper.world.json("node status").items[0]["shards"]) > 0 for keeper in keepers))
        self.assertEqual([drive["state"] for drive in laptop.json("drive list").items], ["ok"] * 4)

        # What lies here is lost, and comes back from there.
        for folder, _, names in os.walk(laptop.path("drive", "shards")):
            for name in names:
                os.unlink(os.path.join(folder, name))
        self.assertEqual(laptop.run("get", "/file", "--to", "back").code, 0)
        with open(laptop.path("work", "back", "file"), "rb") as back:
            self.assertEqual(back.read(), content)
        self.assertEqual(laptop.run("repair").code, 0)

        # One that is away is told of, and is not needed.
        self.assertEqual(keepers[2].end(), 0)
        ended = laptop.run("get", "/file", "--to", "again")
        self.assertEqual(ended.code, 0, str(ended))
        self.assertTrue(ended.errors.startswith(f"1 node does not answer: node:{ids[2]}\n"), ended.errors)
        # What needs no other node asks none: it would have said so.
        self.assertEqual(laptop.run("ls").errors, "")

        # Settings of another home are none of this one, and those that are wrong do not stand in the way.
        laptop.write("config/datamesh/datameshd.toml", 'home = "/srv/elsewhere"\n' + settings)
        self.assertEqual(sorted(drive["state"] for drive in laptop.json("drive list").items), ["missing"] * 3 + ["ok"])
        laptop.write("config/datamesh/datameshd.toml", "mesh_local = 7\n")
        ended = laptop.run("status")
        self.assertIn("other nodes are not asked: ", ended.errors)
        self.assertIn("datameshd.toml, line 1: 'mesh_local'", ended.errors)

    def test_an_owner_is_named_by_the_id_that_vault_list_shows(self):
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        os.mkdir(world.path("drive"))
        self.assertEqual(world.run("init", "--drive", world.path("drive")).code, 0)
        owner = world.json("vault list").items[0]["id"]
        self.assertEqual(world.run("node", "allow", owner, "100G").code, 0)
        with open(world.path("data", "datamesh", "grants"), encoding="utf-8") as file:
            self.assertIn(f"owner {owner} {100 << 30}\n", file.read())
        world.write("data/datamesh/grants", "nothing of the kind\n")
        ended = world.run("node", "status")
        self.assertEqual(ended.code, 0, str(ended))
        self.assertIn("grants", ended.errors)
        ended = world.run("node", "allow", owner, "1G")
        self.assertIn("(DM-FORMAT-DAMAGED)", ended.errors)
        self.assertIn("next: look at " + world.path("data", "datamesh", "grants"), ended.errors)
        for wrong in ("main", owner[:-1], owner + "0", "0" * 64):
            ended = world.run("node", "allow", wrong, "1G")
            self.assertEqual(ended.code, 2, str(ended))
            self.assertIn("datamesh vault list --json", ended.errors)

    def test_what_the_document_shows_is_so(self):
        scripts = self.scripts_of("Two nodes on one machine")
        self.assertEqual(len(scripts), 3, scripts)
        with socket.socket() as one, socket.socket() as two:
            for port, free in (("7001", one), ("7002", two)):
                free.bind(("127.0.0.1", 0))
                scripts = [script.replace(port, str(free.getsockname()[1])) for script in scripts]
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        shell = self.shell(world)
        shell.stdin.write(scripts[0] + scripts[1] + "echo begun $(jobs -p)\n")
        shell.stdin.flush()
        lines = []
        while not lines or not lines[-1].startswith("begun"):
            lines.append(shell.stdout.readline())
            self.assertTrue(lines[-1], lines)
        for number in lines[-1].split()[1:]:
            self.addCleanup(self.end_process, int(number))
        for log in ("one/log", "two/log"):
            with subprocess.Popen(["tail", "-n", "+1", "-F", world.path("work", log)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as told:
                late = threading.Timer(LIMIT, told.kill)
                late.start()
                self.assertTrue(any("joined the mesh" in line for line in told.stdout), "it never joined")
                late.cancel()
                told.kill()
        shell.stdin.write(scripts[2] + "kill %1 %2\nwait\necho ended\n")
        shell.stdin.close()
        said = shell.stdout.read()
        self.assertTrue(said.endswith("ended\n"), said)
        self.assertIn("joined: 1 other node answers", said)
        self.assertEqual(json.loads([line for line in said.splitlines() if line.startswith("{")][-1])["peers"], 1)

    def lan_name(self) -> str:
        """A mesh of this test alone: tests that run at once hear each other's beacons."""
        return "a mesh on the local network " + os.urandom(8).hex()

    def lan_member(self, name: str, listen: str = "127.0.0.1:0", more: str = "", program: str = "") -> Daemon:
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        daemon = Daemon(program or DAEMON, world, f'mesh_network = "{name}"\nmesh_listen = ["{listen}"]\nmesh_local = true\n{more}')
        self.addCleanup(daemon.end, signal.SIGKILL)
        return daemon

    def heard_by(self, daemon: Daemon, count: int = 1) -> list:
        """Who of the mesh is heard, once it is so many: who was dialed first may hear the other later."""
        while True:
            items = [one for one in daemon.world.json("discover").items if one["same_mesh"]]
            if len(items) >= count:
                return items
            daemon.wait_for("WATCHDOG=1")

    @on_a_lan
    def test_daemons_without_a_seed_find_each_other_on_the_local_network(self):
        name, on = self.lan_name(), "mesh_lan = true\n"
        first = self.lan_member(name, more=on)
        silent = self.lan_member(name)
        other = self.lan_member(self.lan_name(), more=on)
        second = self.lan_member(name, more=on)
        ids = [self.status(each)["id"] for each in (first, second)]
        for daemon in (first, second):
            daemon.wait_to_say("joined the mesh")
        self.assertEqual([peer["id"] for peer in second.world.json("peers").items], ids[:1])
        self.assertEqual((self.status(first)["lan"], self.status(first)["lan_interfaces"]), (True, ["lo"]))
        self.assertIn("LAN       heard on lo\n", first.world.run("node", "status").text)
        self.heard_by(first)
        found = first.world.json("discover")
        self.assertEqual(found.code, 0, found.all)
        self.assertEqual([one["id"] for one in found.items if one["same_mesh"]], ids[1:])
        one = found.items[0]
        self.assertEqual((one["known"], one["linked"], one["addresses"]), (True, True, self.status(second)["announces"]))
        strangers = [one for one in found.items if not one["same_mesh"]]
        # Other tests may run beside this one.
        self.assertIn((None, ["127.0.0.1"]), [(one.get("id"), one["addresses"]) for one in strangers])
        self.assertEqual((found.summary["of_mesh"], found.summary["mesh_known"], found.summary["node_listens"]), (1, True, True))
        self.assertIn(ids[1], first.world.run("discover").text)
        # Who was told not to, and who is of another mesh, met nobody.
        self.assertFalse(self.status(silent)["lan"])
        self.assertIn("LAN       not looked for\n", silent.world.run("node", "status").text)
        for each in (silent, other):
            self.assertFalse(self.status(each)["joined"])

    @on_a_lan
    def test_who_is_on_the_local_network_is_seen_without_a_node(self):
        name = self.lan_name()
        daemon = self.lan_member(name, more="mesh_lan = true\n")
        own = self.status(daemon)
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        world.write("work/other.toml", f'mesh_network = "{name}"\n')
        found = world.json("discover", "--timeout", "3", "--from", "other.toml")
        self.assertEqual(found.code, 0, found.all)
        self.assertEqual([(one["id"], one["addresses"], one["linked"]) for one in found.items if one["same_mesh"]], [(own["id"], own["announces"], False)])
        self.assertEqual((found.summary["mesh_known"], found.summary["node_listens"]), (True, False))
        # Nodes say that they are there every ten seconds and a part by chance; more than that is waited for.
        found = world.json("discover", "--timeout", "14")
        self.assertNotIn(True, [one["same_mesh"] for one in found.items])
        self.assertIn(["127.0.0.1"], [one["addresses"] for one in found.items])
        self.assertFalse(found.summary["mesh_known"])
        self.assertEqual(world.json("discover", "--timeout", "0").code, 2)

    @on_a_lan
    def test_a_forged_or_repeated_datagram_changes_nothing(self):
        name = self.lan_name()
        daemon = self.lan_member(name, more="mesh_lan = true\n")
        group = ("239.255.68.77", 17468)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            for number in range(3000):
                size = (0, 1, 60, 240, 1200, 1201, 9000)[number % 7]
                out.sendto((b"DMBEACN\x01" + os.urandom(size))[:size], group)
        # The limit of that host is used up; it fills again.
        second = self.lan_member(name, more="mesh_lan = true\n")
        for each in (daemon, second):
            each.wait_to_say("joined the mesh")
        self.assertEqual([one["id"] for one in self.heard_by(daemon)], [self.status(second)["id"]])

    def test_nodes_on_a_wire_between_two_machines_find_each_other(self):
        if os.geteuid() != 0 or not shutil.which("ip") or subprocess.run(["unshare", "-n", "true"], stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("only root can make network namespaces")
        machines = []
        for _ in range(2):
            process = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo up; exec sleep 1000"], stdout=subprocess.PIPE)
            self.addCleanup(process.wait)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.kill)
            self.assertEqual(process.stdout.readline(), b"up\n")
            machines.append(process.pid)
        names = [f"dm{os.getpid() % 100000}{side}" for side in "ab"]
        wire = ["ip", "link", "add", names[0], "netns", str(machines[0]), "type", "veth", "peer", "name", names[1], "netns", str(machines[1])]
        if subprocess.run(wire, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("the system makes no veth pair")
        programs = []
        for number, (machine, wire) in enumerate(zip(machines, names)):
            inside = ["nsenter", "-t", str(machine), "-n"]
            for command in (f"link set lo up", f"addr add 10.77.0.{number + 1}/24 dev {wire}", f"link set {wire} up"):
                subprocess.run([*inside, "ip", *command.split()], check=True)
            world = World(PROGRAM, os.path.join(ROOT, "docs"))
            self.addCleanup(world.close)
            program = world.write("datameshd", f'#!/bin/sh\nexec {" ".join(inside)} {DAEMON} "$@"\n')
            os.chmod(program, 0o755)
            programs.append(program)
        # As a person would set it: no seed, no address, nothing of the local network.
        name = self.lan_name()
        both = [self.lan_member(name, listen="0.0.0.0:7000", program=program) for program in programs]
        for number, daemon in enumerate(both):
            daemon.wait_to_say("joined the mesh")
            self.assertEqual(self.status(daemon)["lan_interfaces"], [names[number]])
        found = self.heard_by(both[0])
        self.assertEqual([(one["id"], one["addresses"]) for one in found], [(self.status(both[1])["id"], ["10.77.0.2:7000"])])

    @on_a_lan
    def test_a_mesh_that_finds_itself_is_made_as_the_document_shows(self):
        scripts = self.scripts_of("Nodes that find each other on a LAN")
        self.assertEqual(len(scripts), 3, scripts)
        name, prefix = self.lan_name(), free_ports()
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        shell = self.shell(world)
        script = scripts[1].replace("730$n", f"{prefix}$n").replace("a try of a mesh that finds itself", name)
        shell.stdin.write("trap 'kill $(jobs -p); wait; echo over' EXIT\n" + script + scripts[2])
        shell.stdin.close()
        said = shell.stdout.read()
        self.assertTrue(said.endswith("over\n"), said)
        found = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        self.assertEqual(found[-1]["of_mesh"], 1, said)
        self.assertIn("Removed the preset 'house'.", said)
        with open(world.path("work", "house.toml"), encoding="utf-8") as file:
            text = file.read()
        self.assertRegex(text, r'\Amesh_network = "[0-9a-f]{64}"\nmesh_listen = \["0.0.0.0:7000"\]\nmesh_local = true\nmesh_lan = true\n\Z')
        # What the first block shows is a mesh.
        world.write("config/datamesh/datameshd.toml", scripts[0].replace("3f1c...", "3f1c" * 16))
        done = subprocess.run([DAEMON, "--check-config"], env=world.environment, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_invite_hands_a_preset_on(self):
        first = self.member()
        own = self.status(first)
        config = f'mesh_network = "{"7c" * 32}"\nmesh_seeds = ["{own["id"]}@/ip4/192.168.1.7/tcp/7000"]\nmesh_local = true\n'
        first.world.write("work/other.toml", config)
        self.assertEqual(first.world.json("preset save", "house", "--from", "other.toml").code, 0)
        made = first.world.json("invite create", "house.invite", "--preset", "house")
        self.assertEqual(made.code, 0, made.all)
        self.assertEqual((made.summary["network"], made.summary["seeds"], made.summary["local"]), ("7c" * 32, [own["id"] + "@/ip4/192.168.1.7/tcp/7000"], True))
        self.assertEqual(first.world.json("invite create", "none.invite", "--preset", "none").failure["error"], "DM-NOT-FOUND")

    def scripts_of(self, heading: str) -> list[str]:
        """The blocks of a part of the document."""
        with open(os.path.join(ROOT, "docs", "mesh.md"), encoding="utf-8") as file:
            parts = [part for part in file.read().split("\n## ") if part.startswith(heading + "\n")]
        self.assertEqual(len(parts), 1, heading)
        blocks = re.findall(r"(?:^    .*\n)+", parts[0], re.MULTILINE)
        return ["".join(line[4:] + "\n" for line in block.splitlines()) for block in blocks]

    def shell(self, world) -> subprocess.Popen:
        # Of a shell that reads its script, "&" ends nothing; of one that ends, the test ends what is left.
        env = {**world.environment, "PATH": os.pathsep.join([os.path.dirname(PROGRAM), os.path.dirname(DAEMON), world.environment["PATH"]])}
        shell = subprocess.Popen(["bash", "-em"], env=env, cwd=world.path("work"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(shell.stdout.close)
        self.addCleanup(shell.wait, LIMIT)
        self.addCleanup(shell.stdin.close)
        return shell

    def test_a_store_over_six_nodes_is_built_as_the_document_shows(self):
        scripts = self.scripts_of("Six nodes, one store")
        self.assertEqual(len(scripts), 6, scripts)
        prefix = free_ports()
        scripts = [script.replace("720$1", f"{prefix}$1").replace("7201", f"{prefix}1") for script in scripts]
        world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(world.close)
        shell = self.shell(world)
        # The owner does not leave what is elsewhere; who was drained may go.
        leaves = "node 1 node leave --to node1.toml --json || true\nnode 6 node leave --to node6.toml --json\ngrep mesh_ node6.toml || echo no mesh\n"
        shell.stdin.write("trap 'kill $(jobs -p); wait; echo over' EXIT\n" + "".join(scripts) + leaves + "node 1 status --json\nnode 1 drive audits --json\n")
        shell.stdin.close()
        said = shell.stdout.read()
        self.assertTrue(said.endswith("over\n"), said)
        reports = [line for line in said.splitlines() if line.startswith("{")]
        self.assertTrue(reports, said)
        report = [one for one in map(json.loads, reports) if "policy" in one][-1]
        self.assertEqual(report["policy"], "4+2", said)
        self.assertEqual(report["answer"], "safe", said)
        told = [json.loads(line) for line in reports]
        self.assertIn("DM-CONFLICT", [one.get("error") for one in told], said)
        self.assertEqual([(one["left"], one["shards"]) for one in told if "left" in one], [(True, 0)], said)
        audits = [one for one in told if "unanswered" in one]
        self.assertEqual(len(audits), 7, said)
        self.assertTrue(sum(one["passed"] for one in audits) > 0 and all(one["score"] == 1 for one in audits), said)
        self.assertIn("\nno mesh\n", said)

    @staticmethod
    def end_process(number: int):
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            pass


class Care(WithDaemon):
    """The vault trusts this machine: the daemon scrubs it, heals it, and tells."""

    def setUp(self):
        self.world = World(PROGRAM, os.path.join(ROOT, "docs"))
        self.addCleanup(self.world.close)
        self.drives = [self.world.path("drive", str(number)) for number in range(6)]
        words = []
        for drive in self.drives:
            os.makedirs(drive)
            words += ["--drive", drive]
        self.run_well("init", "--trust-device", *words)
        self.world.write("work/file", os.urandom(2 << 20))
        self.run_well("put", "file")
        self.told = self.world.path("told")
        os.mkfifo(self.told)

    def shards(self) -> list[str]:
        found = []
        for folder, _, names in os.walk(self.drives[0]):
            found += [os.path.join(folder, name) for name in names if os.path.getsize(os.path.join(folder, name)) > 65536]
        return found

    def test_a_missing_shard_is_healed_without_being_asked_and_the_hook_hears_of_it(self):
        lost = [path for path in self.shards() if not path.endswith((".sst", ".log"))]
        self.assertTrue(lost)
        for path in lost:
            os.unlink(path)
        hook = self.world.write("hook", f"#!/bin/sh\ncat >> {self.told}\n")
        os.chmod(hook, 0o755)
        reader = os.open(self.told, os.O_RDWR)
        self.addCleanup(os.close, reader)
        self.daemon = Daemon(DAEMON, self.world, f'notify = ["{hook}"]\n')
        self.addCleanup(self.daemon.end, signal.SIGKILL)
        heard = b""
        while b"damage-healed" not in heard:
            heard += os.read(reader, 65536)
        self.assertIn(b"damage-found", heard)
        self.assertEqual(self.daemon.end(), 0, self.daemon.said())
        again = self.run_well("verify", "--json")
        self.assertIn('"shards_missing":0', again.text.replace(" ", ""))


def main(arguments: list[str]) -> int:
    global DAEMON, PROGRAM, ROOT, World, PASSWORD
    DAEMON, PROGRAM, ROOT = (os.path.abspath(path) for path in arguments[:3])
    sys.path.insert(0, os.path.join(ROOT, "tests", "apps", "datamesh"))
    import program

    World, PASSWORD = program.World, program.PASSWORD
    unittest.main(argv=["daemon_test.py", *arguments[3:]], verbosity=1)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
