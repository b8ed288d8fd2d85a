#!/usr/bin/env python3
"""daemon_kill_test.py PROGRAM DOCS SHIM DAEMON [--points N] [--seed N]: clients put,
overwrite and delete through the control socket of the real daemon while it is ended by
SIGKILL, half of the time at a random moment and half in place of a random system call,
also of its start; some of these calls take their time while the other threads go on.
Each time the next daemon opens the home, and what was acknowledged is there, byte for
byte, and nothing that was deleted."""

import argparse
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time

from store_world import Store, content

CLIENTS = 3
LIMIT = 240
LINGER_MS = 40
SIZES = [0, 1, 3_000, 3_000, 70_000, 600_000]


class Daemon:
    """datameshd over the home of a store, which lies at a place that only it is told."""

    def __init__(self, store: Store, path: str, variables: dict[str, str] | None = None):
        self.store = store
        with open(store.path("log"), "ab") as log, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            address = store.path("notify")
            if os.path.exists(address):
                os.unlink(address)
            notices.bind(address)
            self.process = subprocess.Popen(
                [path],
                env={**store.environment, **(variables or {}), "NOTIFY_SOCKET": address},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
            self.ready = self.wait_for_start(notices)

    def wait_for_start(self, notices: socket.socket) -> bool:
        """False when it was killed on the way."""
        notices.settimeout(0.02)
        until = time.monotonic() + LIMIT
        while time.monotonic() < until:
            try:
                if "READY=1" in notices.recv(4096).decode().split("\n"):
                    return True
            except TimeoutError:
                if self.process.poll() is not None:
                    return False
        self.end()
        raise AssertionError("the daemon does not come up")

    def end(self, number: int = signal.SIGKILL) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(LIMIT)


class Client(threading.Thread):
    """Works on names of its own, one command after the other, until the daemon is gone."""

    def __init__(self, killer: "Killer", number: int, seed: int):
        super().__init__()
        self.killer, self.number = killer, number
        self.store = killer.store
        self.random = random.Random(seed)
        self.refused: str | None = None

    def run(self) -> None:
        try:
            while not self.killer.over.is_set():
                known = self.killer.names(self.number)
                full = len(known) > 12
                step = self.random.choices([self.put, self.overwrite, self.remove, self.tend], [1 if full else 4, 3, 8 if full else 2, 0.3])[0]
                step(known)
        except AssertionError as wrong:
            with self.killer.told:
                self.refused = str(wrong)
                self.killer.told.notify_all()

    def command(self, name: str, *arguments: str) -> bool:
        """True when it was acknowledged."""
        done = subprocess.run(
            [self.store.program, *arguments, "--json"],
            env=self.store.environment,
            cwd=self.store.path("work"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT,
            check=False,
        )
        lines = [self.store.parsed(line) for line in done.stdout.splitlines()]
        summary = any(line["message_type"] == "summary" and line.get("failed", 0) == 0 for line in lines)
        # Its exit is seen a moment after its end.
        if done.returncode and not self.killer.ended():
            raise AssertionError(f"{arguments} ended with {done.returncode} under a daemon that lives: {lines} {done.stderr.decode()}")
        if done.returncode < 0 or done.stderr:
            raise AssertionError(f"{arguments} ended with {done.returncode}: {done.stderr.decode()}")
        with self.killer.told:
            counts = self.killer.counts.setdefault(name, [0, 0])
            counts[0 if done.returncode == 0 else 1] += 1
            self.killer.told.notify_all()
        return done.returncode == 0 or summary

    def fresh(self) -> tuple[str, bytes]:
        size = self.random.choice(SIZES) if self.random.random() < 0.97 else 5_000_000
        return f"c{self.number}-{self.random.getrandbits(40):x}", content(self.random.getrandbits(60), size)

    def put(self, _: list[str]) -> None:
        files = dict(self.fresh() for _ in range(self.random.randint(1, 3)))
        sources = [self.store.write(f"work/{self.number}/{name}", data) for name, data in files.items()]
        self.stored({"/" + name: data for name, data in files.items()}, self.command("put", "put", *sources))
        for source in sources:
            os.unlink(source)

    def overwrite(self, known: list[str]) -> None:
        if not known:
            return self.put(known)
        path, data = self.random.choice(known), self.fresh()[1]
        source = self.store.write(f"work/{self.number}-over", data)
        self.stored({path: data}, self.command("overwrite", "put", source, "--as", path[1:]))

    def remove(self, known: list[str]) -> None:
        if not known:
            return self.put(known)
        path = self.random.choice(known)
        self.stored({path: None}, self.command("delete", "rm", path))

    def tend(self, _: list[str]) -> None:
        """Work beside the others' that moves what is stored."""
        if self.random.random() < 0.5:
            self.command("cleanup", "cleanup", "--trash-age", "0s", "--keep-versions", "2", "--yes")
        else:
            self.command("repair", "repair")

    def stored(self, files: dict[str, bytes | None], acknowledged: bool) -> None:
        with self.killer.lock:
            for path, data in files.items():
                self.store.may_become(path, data, acknowledged)


class Killer:
    def __init__(self, options: argparse.Namespace):
        self.shim, self.program = os.path.abspath(options.shim), os.path.abspath(options.daemon)
        self.random = random.Random(options.seed)
        self.store = Store(options.program, options.docs)
        self.daemon: Daemon | None = None
        self.lock = threading.Lock()
        self.told = threading.Condition(self.lock)  # A command ended.
        self.over = threading.Event()
        self.counts: dict[str, list[int]] = {}
        self.at_start = self.at_call = self.at_moment = 0
        self.place = "the beginning"

    def names(self, client: int) -> list[str]:
        with self.lock:
            return sorted(path for path, allowed in self.store.expected.items() if path.startswith(f"/c{client}-") and None not in allowed)

    def acknowledged(self) -> int:
        """To be asked under the lock."""
        return sum(good for good, _ in self.counts.values())

    def ended(self) -> bool:
        try:
            self.daemon.process.wait(10)
        except subprocess.TimeoutExpired:
            return False
        return True

    def run(self, points: int) -> None:
        store = self.store
        store.init()
        # From here on a client knows no home: it has to ask the daemon.
        home = store.environment.pop("DATAMESH_HOME")
        store.write("config/datamesh/datameshd.toml", f'home = "{home}"\n')
        for client in range(CLIENTS):
            os.makedirs(store.path("work", str(client)))
        for point in range(points):
            self.place = f"point {point}"
            self.kill_one()
            self.daemon = Daemon(store, self.program)
            if not self.daemon.ready:
                raise AssertionError("the daemon does not start again")
            store.check_content()
            self.daemon.end()
        self.place = "the end"
        self.daemon = Daemon(store, self.program)
        store.good("repair", "--deep")
        store.check_shards()
        store.check_content()
        if self.daemon.end(signal.SIGTERM) != 0:
            raise AssertionError("the last daemon did not end well")
        store.environment["DATAMESH_HOME"] = home
        store.check_content()

    def kill_one(self) -> None:
        """A daemon, its clients, and its end."""
        store = self.store
        variables, seconds = None, self.random.uniform(0, 0.2)
        at, commands = 0, self.random.randint(0, 8)
        if self.random.random() < 0.5:
            # Its start makes some two hundred calls, a small put some sixty; below the home,
            # where commits go, it is a small part of them.
            place, most = self.random.choice([("store", 250), ("store", 2_500), ("store/home", 150)])
            at = self.random.randint(1, most)
            self.place += f", call {at} below {place}"
            variables = store.shim(self.shim, "any", at, None, [store.path(place)], self.random.choice([0, LINGER_MS]))
            seconds, commands = 6.0, 0
        self.daemon = Daemon(store, self.program, variables)
        if not self.daemon.ready:
            if not at:
                raise AssertionError("the daemon does not start")
            self.at_start += 1
            return
        self.over.clear()
        clients = [Client(self, number, self.random.getrandbits(60)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        # However slow the machine is: after so many commands, and then some time.
        with self.told:
            enough = self.acknowledged() + commands
            self.told.wait_for(lambda: self.acknowledged() >= enough or any(client.refused for client in clients), LIMIT)
        try:
            self.daemon.process.wait(seconds)
            self.at_call += 1
        except subprocess.TimeoutExpired:
            self.at_moment += 1
        code = self.daemon.end()
        self.over.set()
        for client in clients:
            client.join()
        for client in clients:
            if client.refused:
                raise AssertionError(client.refused)
        if code != -signal.SIGKILL:
            raise AssertionError(f"the daemon ended by itself with {code}")

    def close(self) -> None:
        if self.daemon:
            self.daemon.end()
        self.store.close()

    def said(self) -> str:
        with open(self.store.path("log"), encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-20:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("docs")
    parser.add_argument("shim")
    parser.add_argument("daemon")
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DATAMESH_SEED", "1")))
    options = parser.parse_args()
    killer = Killer(options)
    try:
        killer.run(options.points)
    except AssertionError:
        print(f"seed {options.seed}, {killer.place}\n{killer.said()}", file=sys.stderr)
        raise
    finally:
        killer.close()
    for what, count in {"while it started": killer.at_start, "in place of a call": killer.at_call, "at a random moment": killer.at_moment}.items():
        print(f"figure daemon killed {what}: {count}")
    for name, (good, cut) in sorted(killer.counts.items()):
        print(f"figure acknowledged {name}: {good}\nfigure cut off {name}: {cut}")


if __name__ == "__main__":
    main()
