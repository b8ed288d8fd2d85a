"""A daemon at a place of its own in a network, with a home and a program that asks it."""

import contextlib
import os
import signal
import sys
import time

from mesh_world import LIMIT

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "apps", "datameshd"))
from daemon_process import Daemon  # noqa: E402
from program import World  # noqa: E402


class Node:
    def __init__(self, program: str, docs: str, command: list[str], settings: str):
        """*command*: what starts the daemon there."""
        self.world = World(program, docs)
        self.command = command
        self.settings = settings
        self.start()

    def start(self) -> None:
        self.daemon = Daemon(self.command, self.world, self.settings)

    def good(self, command: str, *arguments: str):
        lines = self.world.json(command, *arguments)
        assert lines.code == 0, f"{command} {arguments} ended with {lines.code}: {lines.all}; {self.daemon.said()}"
        return lines

    @property
    def status(self) -> dict:
        return self.good("node status").summary

    def await_that(self, what: str, holds) -> None:
        """Looks again whenever the daemon tells its watchdog that all is well."""
        until = time.monotonic() + 2 * LIMIT
        while not holds():
            assert time.monotonic() < until, f"it never came to be that {what}: {self.daemon.said()}"
            self.daemon.wait_for("WATCHDOG=1")

    def folder(self) -> str:
        path = self.world.path("drive")
        os.mkdir(path)
        return path

    def close(self) -> None:
        code = self.daemon.end(signal.SIGTERM)
        self.world.close()
        assert code == 0, f"a daemon that was told to end did so with {code}: {self.daemon.last_words}"


@contextlib.contextmanager
def closing(made: Node):
    try:
        yield made
    finally:
        made.close()


def lose_shards(drive: str) -> int:
    """Of a drive's shards, those of some size; answers how many."""
    lost = 0
    for folder, _, names in os.walk(drive):
        for name in names:
            if os.path.getsize(os.path.join(folder, name)) > 1 << 20:
                os.unlink(os.path.join(folder, name))
                lost += 1
    return lost
