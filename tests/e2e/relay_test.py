#!/usr/bin/env python3
"""relay_test.py PROGRAM DOCS DAEMON [--mib N]: two daemons, each in a house behind a router that hides it, and a public one that
passes on, each in a network namespace of its own. Nobody can dial the two. One keeps a vault and stores on the other one through the
third, gets back byte for byte what it stored, and both say through whom. When the third one goes that is told, and when it comes back
all is as before."""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

from mesh_world import LIMIT

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "apps", "datameshd"))
from daemon_process import Daemon  # noqa: E402
from program import World  # noqa: E402

SKIPPED = 77
NETWORK = "a mesh for nodes that nobody can dial"
PUBLIC = "9.9.9.1"
SEED = f'mesh_seeds = ["{PUBLIC}:7000"]\n'
RELAY = f'mesh_listen = ["{PUBLIC}:7000"]\nmesh_relay = "256MiB"\n'


class Wires:
    """Two houses with a router each, and a public place, on one bridge."""

    def __init__(self):
        self.prefix = f"dmy{os.getpid()}"
        self.made: list[str] = []
        try:
            for name in ("bridge", "public", "router1", "router2", "house1", "house2"):
                subprocess.run(["ip", "netns", "add", self.name(name)], check=True)
                self.made.append(name)
                self.inside(name, "ip", "link", "set", "lo", "up")
            self.inside("bridge", "ip", "link", "add", "bridge", "type", "bridge")
            self.inside("bridge", "ip", "link", "set", "bridge", "up")
            self.plug("public", f"{PUBLIC}/24")
            for house in ("1", "2"):
                self.plug(f"router{house}", f"9.9.9.1{house}/24")
                self.hide(house)
        except BaseException:
            self.close()
            raise

    def name(self, of: str) -> str:
        return f"{self.prefix}-{of}"

    def enter(self, name: str) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.name(name)}", "--"]

    def inside(self, name: str, *command: str, text: str = "") -> None:
        subprocess.run([*self.enter(name), *command], check=True, input=text, text=True)

    def plug(self, name: str, address: str) -> None:
        self.inside(name, "ip", "link", "add", "outer", "type", "veth", "peer", "name", f"to-{name}", "netns", self.name("bridge"))
        self.inside(name, "ip", "addr", "add", address, "dev", "outer")
        self.inside(name, "ip", "link", "set", "outer", "up")
        self.inside("bridge", "ip", "link", "set", f"to-{name}", "master", "bridge")
        self.inside("bridge", "ip", "link", "set", f"to-{name}", "up")

    def hide(self, number: str) -> None:
        """Connections go out with the router's address, and none comes in."""
        house, router, net = f"house{number}", f"router{number}", f"192.168.{number}"
        self.inside(house, "ip", "link", "add", "wire", "type", "veth", "peer", "name", "inner", "netns", self.name(router))
        for space, device, at in ((house, "wire", f"{net}.7/24"), (router, "inner", f"{net}.1/24")):
            self.inside(space, "ip", "addr", "add", at, "dev", device)
            self.inside(space, "ip", "link", "set", device, "up")
        self.inside(house, "ip", "route", "add", "default", "via", f"{net}.1")
        self.inside(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        rules = "table ip hides { chain out { type nat hook postrouting priority 100; oifname outer masquerade; }\n"
        rules += "chain through { type filter hook forward priority 0; iifname outer ct state new drop; }\n}"
        self.inside(router, "nft", "-f", "-", text=rules)

    def close(self) -> None:
        for name in self.made:
            subprocess.run(["ip", "netns", "del", self.name(name)], check=False)


class Node:
    def __init__(self, given: argparse.Namespace, wires: Wires, place: str, settings: str):
        self.world = World(given.program, given.docs)
        self.command = [*wires.enter(place), given.daemon]
        self.settings = f'mesh_network = "{NETWORK}"\n{settings}'
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
def node(*arguments):
    made = Node(*arguments)
    try:
        yield made
    finally:
        made.close()


def shards_lost(drive: str) -> int:
    lost = 0
    for folder, _, names in os.walk(drive):
        for name in names:
            if os.path.getsize(os.path.join(folder, name)) > 1 << 20:
                os.unlink(os.path.join(folder, name))
                lost += 1
    return lost


def states(of: Node) -> list[str]:
    return sorted(drive["state"] for drive in of.good("drive list").items)


def stores_through(owner: Node, keeper: Node, relay: Node, content: bytes) -> None:
    drive = owner.folder()
    owner.good("drive add", drive)
    owner.good("vault create", "main", "--trust-device")
    keeper.good("drive add", keeper.folder())
    keeper.good("node allow", owner.good("vault list").items[0]["id"], "8G")
    owner.good("drive add", "node:" + keeper.status["id"])
    owner.await_that("the node is a drive", lambda: states(owner) == ["ok", "ok"])
    begun = time.monotonic()
    owner.good("put", owner.world.write("work/file", content))
    put = time.monotonic() - begun
    owner.good("verify", "--deep")
    # What lies at home is lost, so it has to come back through the third one.
    assert shards_lost(drive) > 0
    begun = time.monotonic()
    check_bytes(owner, content)
    print(f"put {len(content) / put / 2**20:.1f} MiB/s, got back {len(content) / (time.monotonic() - begun) / 2**20:.1f} MiB/s", flush=True)
    assert relay.status["relay_bytes"] > 2 * len(content), relay.status
    line = owner.good("bandwidth", keeper.status["id"]).items[0]
    print(f"the line: {line['up']['bytes_per_second'] / 2**20:.1f} MiB/s up, {line['down']['bytes_per_second'] / 2**20:.1f} MiB/s down", flush=True)


def check_bytes(owner: Node, content: bytes) -> None:
    owner.good("get", "/file", "--to", owner.world.path("back"), "--force")
    with open(owner.world.path("back", "file") if os.path.isdir(owner.world.path("back")) else owner.world.path("back"), "rb") as back:
        assert back.read() == content


def tells_through_whom(owner: Node, keeper: Node, relay: Node) -> None:
    middle = relay.status["id"]
    for one, other in ((owner, keeper), (keeper, owner)):
        seen = one.status
        assert seen["announces"] == [] and not seen["relays"], seen
        assert seen["relayed_by"] == [f"through {middle}@{PUBLIC}:7000"], seen
        found = {peer["id"]: peer for peer in one.good("peers").items}[other.status["id"]]
        assert found["through"] == middle and not found["known"], found
        assert f"through {middle}" in one.world.run("peers").text
    seen = relay.status
    assert (seen["relays"], seen["relay_streams"], seen["relay_served"]) == (True, 1, 2), seen
    assert "through" not in [key for peer in relay.good("peers").items for key in peer]


def outlives_it(owner: Node, keeper: Node, relay: Node, content: bytes) -> None:
    """The one that passes on is killed, and comes back."""
    relay.daemon.end(signal.SIGKILL)
    keeper.daemon.wait_to_say("no other node passes on to this one any more")
    assert keeper.status["relayed_by"] == []
    owner.await_that("the node is missing", lambda: "missing" in states(owner))
    assert [peer for peer in owner.good("peers").items if "through" in peer] == []
    refused = owner.world.json("get", "/file", "--to", owner.world.path("nothing"))
    assert refused.code == 7 and not os.path.exists(owner.world.path("nothing", "file")), refused.all
    relay.start()
    keeper.await_that("it is passed on to again", lambda: len(keeper.status["relayed_by"]) == 1)
    owner.await_that("the node is a drive again", lambda: states(owner) == ["ok", "ok"])
    check_bytes(owner, content)


def story(given: argparse.Namespace, wires: Wires) -> None:
    begun = time.monotonic()
    content = os.urandom(given.mib << 20)
    with contextlib.ExitStack() as open_nodes:
        relay = open_nodes.enter_context(node(given, wires, "public", RELAY))
        keeper = open_nodes.enter_context(node(given, wires, "house2", SEED))
        keeper.daemon.wait_to_say(f"nobody can dial this node; it is reached through {relay.status['id']}@{PUBLIC}:7000")
        owner = open_nodes.enter_context(node(given, wires, "house1", SEED))
        owner.daemon.wait_to_say("nobody can dial this node; it is reached through")
        for step in (stores_through, outlives_it):
            step(owner, keeper, relay, content)
            tells_through_whom(owner, keeper, relay)
            print(f"{time.monotonic() - begun:6.1f} s  {step.__name__.replace('_', ' ')}", flush=True)


def why_not() -> str | None:
    """Why this can not be tried here."""
    for needed in ("ip", "nsenter", "nft"):
        if not shutil.which(needed):
            return f"there is no program '{needed}'"
    probe = f"dmy{os.getpid()}-probe"
    done = subprocess.run(["ip", "netns", "add", probe], stderr=subprocess.PIPE, check=False, text=True)
    if done.returncode != 0:
        return f"no network namespace can be made: {done.stderr.strip()}"
    inside = ["nsenter", f"--net=/run/netns/{probe}", "--"]
    wired = subprocess.run([*inside, "ip", "link", "add", "dmr0", "type", "veth", "peer", "name", "dmr1"], stderr=subprocess.PIPE, check=False, text=True)
    hidden = subprocess.run([*inside, "nft", "add", "table", "ip", "probe"], stderr=subprocess.PIPE, check=False, text=True)
    subprocess.run(["ip", "netns", "del", probe], check=True)
    if wired.returncode != 0:
        return f"the system makes no veth pair: {wired.stderr.strip()}"
    return None if hidden.returncode == 0 else f"the system hides no house: {hidden.stderr.strip()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("docs")
    parser.add_argument("daemon")
    parser.add_argument("--mib", type=int, default=24)
    given = parser.parse_args()
    given.daemon = os.path.abspath(given.daemon)
    if reason := why_not():
        print(f"skipped: {reason}")
        return SKIPPED
    wires = Wires()
    try:
        story(given, wires)
    finally:
        wires.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
