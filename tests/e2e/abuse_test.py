#!/usr/bin/env python3
"""abuse_test.py PROGRAM DOCS STRANGER DAEMON [--each N] [--seconds N] [--seed N]: one real daemon with
a vault, room for others and a mesh of two, against strangers. Every bad handshake is refused and an
honest peer served after it; then, unless --each is 0, very many strangers hold on to it at once, and what it takes in
memory stays within its bound. What honest peers wait is told and not judged: a figure of one run
on a busy machine."""

import argparse
import os
import re
import resource
import signal
import subprocess
import sys
import time

from mesh_world import NETWORK, Mesh

BOUND_KIB = 256 << 10
SKIPPED = 77


def status_kib(pid: int, name: str) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return int(re.search(rf"^{name}:\s+(\d+) kB", file.read(), re.MULTILINE)[1])


def processor_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Siege:
    """The daemon that is tried, and one beside it that has a vault on both."""

    def __init__(self, program: str, docs: str, daemon: str, stranger: str, seed: int):
        self.mesh = Mesh(program, docs, daemon, 4, seed)
        self.stranger, self.seed = os.path.abspath(stranger), seed
        self.mesh.build(1)
        self.tried = self.mesh.keepers[0]
        for name in self.mesh.files:
            self.mesh.put(name)
        self.port = int(self.tried.address.rsplit(":", 1)[1].rsplit("/", 1)[-1])
        self.tried.good("vault create", "own", "--trust-device")
        owner = self.run("owner", str(seed)).stdout.strip()
        self.tried.good("node allow", owner, "64M")

    def run(self, what: str, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([self.stranger, what, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)

    @property
    def pid(self) -> int:
        return self.tried.daemon.process.pid

    def speak(self, what: str, *arguments: str) -> str:
        """What strangers do; their words go on to whoever reads this test's."""
        done = self.run(what, str(self.port), NETWORK, str(self.seed), *arguments)
        print(done.stdout, end="", flush=True)
        assert self.tried.daemon.process.poll() is None, f"the daemon ended: {self.tried.daemon.said()}"
        if done.returncode == SKIPPED:
            sys.exit(SKIPPED)
        assert done.returncode == 0, f"strangers: {what} ended with {done.returncode}; the daemon: {self.tried.daemon.said()}"
        return done.stdout

    def check_store(self) -> None:
        """What honest nodes have there is as it was."""
        self.mesh.wait_for({"ok": 2})
        self.mesh.check_full()
        self.mesh.check_bytes()

    def handshakes(self) -> None:
        said = self.speak("handshakes")
        refused = len(re.findall("^refused  ", said, re.MULTILINE))
        assert refused >= 40, f"only {refused} kinds of bad handshakes were tried"
        self.check_store()

    def crowd(self, each: int, seconds: int) -> None:
        took = processor_seconds(self.pid)
        said = self.speak("crowd", str(each), str(max(3, seconds // 6)), str(seconds))
        figures = {name: int(value) for name, value in re.findall(r"^figure ([^:\n]+): (\d+)$", said, re.MULTILINE)}
        most = status_kib(self.pid, "VmHWM")
        print(f"figure daemon's memory at most in KiB: {most}")
        print(f"figure daemon's processor time in ms: {int(1000 * (processor_seconds(self.pid) - took))}")
        # The crowd was there, or this shows nothing.
        for kind in ("partial frame", "slow reader"):
            opened = figures[f"{kind}, opened"]
            assert opened >= each, f"only {opened} times a stranger of {each} of the kind '{kind}' came in"
        refused = figures["honest requests refused beside them"] + figures["honest requests lost beside them"]
        asked = refused + figures["honest requests served beside them"]
        assert refused * 100 <= asked, f"of {asked} honest requests {refused} were not served"
        assert most <= BOUND_KIB, f"the daemon took {most} KiB"
        self.check_store()

    def close(self) -> None:
        code = self.tried.end(signal.SIGTERM)
        assert code == 0, f"the daemon that was told to end did so with {code}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("docs")
    parser.add_argument("stranger")
    parser.add_argument("daemon")
    parser.add_argument("--each", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DATAMESH_SEED", "1")))
    given = parser.parse_args()
    # Both sides: the daemon inherits it.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * given.each + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        print(f"skipped: this takes {wanted} open files, and the hard limit is {hard}")
        return SKIPPED
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else hard, hard))
    siege = None
    begun = time.monotonic()
    try:
        siege = Siege(given.program, given.docs, os.path.abspath(given.daemon), given.stranger, given.seed)
        siege.handshakes()
        if given.each > 0:
            siege.crowd(given.each, given.seconds)
        siege.close()
    finally:
        if siege:
            siege.mesh.close()
    print(f"{given.each} strangers of each kind for {given.seconds} s, seed {given.seed}, {time.monotonic() - begun:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
