#!/usr/bin/env python3
"""relay_test.py PROGRAM DOCS DAEMON [--mib N]: two daemons, each in a house behind a router that hides it, and a public one that
passes on, each in a network namespace of its own. Nobody can dial the two. One keeps a vault and stores on the other one through the
third, gets back byte for byte what it stored, and both say through whom. When the third one goes that is told, and when it comes back
all is as before. So it is when the mesh is closed, until one of the two is taken off the list of members."""

import argparse
import contextlib
import os
import signal
import sys
import time

from namespaces import Namespaces, why_not
from placed_node import Node, closing, lose_shards

SKIPPED = 77
NETWORK = "a mesh for nodes that nobody can dial"
PUBLIC = "9.9.9.1"
SEED = f'mesh_seeds = ["{PUBLIC}:7000"]\n'
RELAY = f'mesh_listen = ["{PUBLIC}:7000"]\nmesh_relay = "256MiB"\n'


class Wires(Namespaces):
    """Two houses with a router each, and a public place, on one bridge."""

    def __init__(self):
        super().__init__("dmy")
        try:
            self.add("bridge", "public", "router1", "router2", "house1", "house2")
            self.inside("bridge", "ip", "link", "add", "bridge", "type", "bridge")
            self.up("bridge", "bridge")
            self.plug("public", f"{PUBLIC}/24")
            for house in ("1", "2"):
                self.plug(f"router{house}", f"9.9.9.1{house}/24")
                self.settle(house)
        except BaseException:
            self.close()
            raise

    def plug(self, name: str, address: str) -> None:
        self.wire(name, "outer", "bridge", f"to-{name}")
        self.address(name, "outer", address)
        self.inside("bridge", "ip", "link", "set", f"to-{name}", "master", "bridge")
        self.up("bridge", f"to-{name}")

    def settle(self, number: str) -> None:
        """A house behind its router."""
        house, router, net = f"house{number}", f"router{number}", f"192.168.{number}"
        self.wire(house, "wire", router, "inner")
        self.address(house, "wire", f"{net}.7/24")
        self.address(router, "inner", f"{net}.1/24")
        self.inside(house, "ip", "route", "add", "default", "via", f"{net}.1")
        self.forward(router)
        self.hide(router)


def node(given: argparse.Namespace, wires: Wires, place: str, settings: str):
    return closing(Node(given.program, given.docs, [*wires.enter(place), given.daemon], f'mesh_network = "{NETWORK}"\n{settings}'))


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
    assert lose_shards(drive) > 0
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
    (seen,) = [drive for drive in owner.good("topology").items if drive["node"] != "this node"]
    assert seen["through"] == f"node:{middle}", seen
    assert f"through node:{middle[:12]}" in owner.world.run("topology").text
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


def cuts_off(owner: Node, keeper: Node, relay: Node) -> None:
    """For a while the one that passes on is a drive, too: what would be without it?"""
    relay.good("drive add", relay.folder())
    relay.good("node allow", owner.good("vault list").items[0]["id"], "8G")
    middle = f"node:{relay.status['id']}"
    owner.good("drive add", middle)
    told = owner.good("topology", "--without", middle)
    assert (told.summary["nodes_cut_off"], told.summary["then"]["lost"]) == (1, 0), told.all
    assert "Cut off      1 node is reached through there" in owner.world.run("topology", "--without", middle).text
    assert owner.good("topology", "--without", f"node:{keeper.status['id']}").summary["nodes_cut_off"] == 0
    owner.good("drive remove", middle, "--yes")


def closes(owner: Node, keeper: Node, relay: Node, content: bytes) -> None:
    """An operator, at the one that passes on, names all three."""
    key, made = (relay.world.path("work", name) for name in ("operator.key", "list"))
    password = relay.world.write("work/password", "a password\n")
    os.chmod(password, 0o600)

    def operate(command: str, *arguments: str) -> None:
        relay.good(f"members {command}", *arguments, "--operator-password-file", password)

    def hand(to: Node) -> str:
        with open(made, "rb") as file:
            return to.world.write("work/members.list", file.read())

    operate("key", key)
    operate("init", made, "-k", key)
    operate("add", made, owner.status["id"], keeper.status["id"], "-k", key)
    for one in (relay, keeper, owner):
        assert one.daemon.end(signal.SIGTERM) == 0
        one.settings += f'mesh_members = "{hand(one)}"\n'
        one.start()
    keeper.await_that("it is passed on to again", lambda: len(keeper.status["relayed_by"]) == 1)
    owner.await_that("the node is a drive again", lambda: states(owner) == ["ok", "ok"])
    assert [(one.status["members"], one.status["listed"]) for one in (relay, keeper, owner)] == [(3, True)] * 3
    check_bytes(owner, content)
    tells_through_whom(owner, keeper, relay)
    owner.good("repair")
    operate("remove", made, keeper.status["id"], "-k", key)
    hand(relay)
    relay.daemon.process.send_signal(signal.SIGHUP)
    relay.daemon.wait_to_say("list of members 3 holds")
    relay.daemon.wait_to_say(f"no link with node {keeper.status['id']}")
    owner.daemon.wait_to_say("list of members 3 holds")
    owner.await_that("the node is missing", lambda: "missing" in states(owner))
    assert (relay.status["relay_served"], keeper.status["relayed_by"]) == (1, []), (relay.status, keeper.status)
    assert lose_shards(owner.world.path("drive")) > 0
    refused = owner.world.json("get", "/file", "--to", owner.world.path("nothing"))
    assert refused.code == 7 and not os.path.exists(owner.world.path("nothing", "file")), refused.all


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
        cuts_off(owner, keeper, relay)
        closes(owner, keeper, relay, content)
        print(f"{time.monotonic() - begun:6.1f} s  closes", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("docs")
    parser.add_argument("daemon")
    parser.add_argument("--mib", type=int, default=24)
    given = parser.parse_args()
    given.daemon = os.path.abspath(given.daemon)
    if reason := why_not("nft"):
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
