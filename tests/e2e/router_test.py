#!/usr/bin/env python3
"""router_test.py PROGRAM DOCS DAEMON: a daemon in a house behind a router, and another one outside, each in a network
namespace of its own with an address of its own. The one outside knows nothing but the address that the router gives, and
reaches the one in the house there; a router that refuses, lies, is silent or never ends harms nobody. Where 'nft' is, the
router hides the house, and a node in it that nobody can dial serves over the links that it opened; where 'miniupnpd' is,
that router is asked, too."""

import argparse
import contextlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from mesh_world import LIMIT
from namespaces import Namespaces, why_not
from placed_node import Node, closing, lose_shards
from router import INSIDE, KINDS, OUTSIDE

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77
NETWORK = "a mesh for a node behind a router"
HOME = "192.168.77.7"
FAR = "9.9.9.8"
WICKED = {
    "silent": "NAT-PMP: it does not do that; UPnP: no answer",
    "behind-another": "double NAT: the router 192.168.77.1 has the address 10.1.2.3 outside",
    "refusing": "NAT-PMP: it does not allow it; UPnP: it does not allow it",
    "cut-short": "NAT-PMP: an answer of a wrong size",
    "noise": "NAT-PMP: no answer; UPnP: no answer by HTTP",
    "leading-elsewhere": "UPnP: it leads to another host",
    "dripping": "UPnP: no answer",
    "endless": "UPnP: no answer by HTTP",
}


class Wires(Namespaces):
    """A house, its router, and a place outside."""

    def __init__(self):
        super().__init__("dmr")
        try:
            self.add("house", "router", "far")
            for one, its, other, others in (("house", f"{HOME}/24", "inner", f"{INSIDE}/24"), ("far", f"{FAR}/24", "outer", f"{OUTSIDE}/24")):
                self.wire(one, "wire", "router", other)
                self.address(one, "wire", its)
                self.address("router", other, others)
            self.inside("house", "ip", "route", "add", "default", "via", INSIDE)
            self.forward("router")
        except BaseException:
            self.close()
            raise


class Process:
    """What runs in the router, and prints lines."""

    def __init__(self, command: list[str]):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines: queue.Queue[str] = queue.Queue()
        self.said: list[str] = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def wait_for(self, words: str) -> None:
        while words not in "\n".join(self.said):
            try:
                self.said.append(self.lines.get(timeout=LIMIT))
            except queue.Empty as late:
                raise AssertionError(f"the router never said '{words}': {self.said}") from late

    def end(self) -> None:
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(LIMIT)


def node(given: argparse.Namespace, wires: Wires, place: str, settings: str):
    return closing(Node(given.program, given.docs, [*wires.enter(place), given.daemon], f'mesh_network = "{NETWORK}"\n{settings}'))


@contextlib.contextmanager
def router(wires: Wires, kind: str):
    made = Process([*wires.enter("router"), sys.executable, "-B", os.path.join(HERE, "router.py"), kind])
    try:
        made.wait_for("up")
        yield made
    finally:
        made.end()


HOUSE = 'mesh_listen = ["0.0.0.0:7000"]\nmesh_map_port = true\n'


def seeded(*seeds: str) -> str:
    return f"mesh_seeds = {list(seeds)}\n".replace("'", '"')


def is_dialed(house: Node, far: Node, at: str) -> None:
    """By whom knows nothing of it but what the router gave."""
    far.daemon.wait_to_say("joined the mesh")
    found = {one["id"]: one for one in far.good("peers").items}
    assert found[house.status["id"]]["addresses"] == [at], found
    assert found[house.status["id"]]["known"], found


def gives(given: argparse.Namespace, wires: Wires, kind: str, protocol: str) -> None:
    with router(wires, kind) as between:
        with node(given, wires, "house", HOUSE + seeded(f"{FAR}:7000")) as house:
            house.daemon.wait_to_say(f"the router {INSIDE} leads {OUTSIDE}:7000 here, by {protocol}")
            between.wait_for(f"leads 7000 to {HOME}:7000")
            seen = house.status
            assert (seen["gateway"], seen["mapped"], seen["mapped_by"]) == (INSIDE, f"{OUTSIDE}:7000", protocol), seen
            assert seen["announces"] == [f"{OUTSIDE}:7000"], seen
            assert ("mapped_until" in seen) == (kind != "upnp-for-ever"), seen
            shown = house.world.run("node", "status").text
            assert f"Router    {OUTSIDE}:7000 by {protocol}" in shown, shown
            with node(given, wires, "far", f'mesh_listen = ["{FAR}:7000"]\n' + seeded(f"{OUTSIDE}:7000")) as far:
                is_dialed(house, far, f"{OUTSIDE}:7000")
        between.wait_for("ends 7000")


def gives_none(given: argparse.Namespace, wires: Wires, kind: str) -> None:
    with router(wires, kind) as between, node(given, wires, "house", HOUSE + seeded(f"{FAR}:7000")) as house:
        house.daemon.wait_to_say("no port of a router leads here: ")
        seen = house.status
        assert seen["announces"] == [] and "mapped" not in seen, seen
        assert seen["map_error"] == "DM-UNAVAILABLE" and WICKED[kind] in seen["map_reason"], seen
        health = [one for one in house.world.json("network health").items if one["check"] == "router"]
        assert [one["result"] for one in health] == ["warn"], health
        assert not [line for line in between.said if "leads" in line], between.said


def ends_at_once(given: argparse.Namespace, wires: Wires) -> None:
    """While the router drips an answer, which takes seconds until it is given up, and then once more."""
    with router(wires, "dripping"), node(given, wires, "house", HOUSE + seeded(f"{FAR}:7000")):
        pass


def no_router(given: argparse.Namespace, wires: Wires) -> None:
    wires.inside("house", "ip", "route", "del", "default")
    try:
        with node(given, wires, "house", HOUSE + seeded(f"{FAR}:7000")) as house:
            house.daemon.wait_to_say("this host has no default route by IPv4")
            assert house.status["map_error"] == "DM-NOT-FOUND" and "gateway" not in house.status, house.status
    finally:
        wires.inside("house", "ip", "route", "add", "default", "via", INSIDE)


def by_miniupnpd(given: argparse.Namespace, wires: Wires, protocol: str) -> None:
    """A router that others wrote, and of which there are many."""
    chains = "chain miniupnpd {}\nchain prerouting_miniupnpd {}\nchain postrouting_miniupnpd {}\n"
    chains += "chain forward { type filter hook forward priority 0; iifname outer ct state new jump miniupnpd; }\n"
    chains += "chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }\n"
    chains += "chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; oifname outer masquerade; }\n"
    nft(wires, f"table inet filter {{ {chains} }}")
    with tempfile.TemporaryDirectory(prefix="datamesh-test-") as folder:
        settings = os.path.join(folder, "settings")
        with open(settings, "w", encoding="utf-8") as file:
            file.write("ext_ifname=outer\nlistening_ip=inner\nport=0\nsecure_mode=yes\nsystem_uptime=yes\nclean_ruleset_interval=0\n")
            file.write("uuid=0a3ba5d5-7b8a-4c3a-9f43-6a1f6a9a7d11\nserial=1\nmodel_number=1\nallow 1024-65535 192.168.77.0/24 1024-65535\n")
            file.write(f"enable_natpmp={'yes' if protocol == 'NAT-PMP' else 'no'}\nenable_upnp={'yes' if protocol == 'UPnP' else 'no'}\n")
        between = Process([*wires.enter("router"), "miniupnpd", "-d", "-f", settings, "-P", os.path.join(folder, "pid")])
        try:
            between.wait_for("Listening for NAT-PMP" if protocol == "NAT-PMP" else "HTTP listening on port")
            with node(given, wires, "house", HOUSE + seeded(f"{FAR}:7000")) as house:
                house.daemon.wait_to_say(f"the router {INSIDE} leads {OUTSIDE}:7000 here, by {protocol}")
                assert "dnat" in nft(wires, "list ruleset"), between.said
                with node(given, wires, "far", f'mesh_listen = ["{FAR}:7000"]\n' + seeded(f"{OUTSIDE}:7000")) as far:
                    is_dialed(house, far, f"{OUTSIDE}:7000")
                    house.daemon.wait_to_say("joined the mesh")
            assert "dnat" not in nft(wires, "list ruleset"), between.said
        finally:
            between.end()
            nft(wires, "delete table inet filter")


def nft(wires: Wires, what: str) -> str:
    return wires.inside("router", "nft", "-f", "-", text=what)


def serves_over_its_links(given: argparse.Namespace, wires: Wires) -> None:
    """Nobody can dial the house. Its node gives room to a vault outside, and keeps what that stores there."""
    with node(given, wires, "far", f'mesh_listen = ["{FAR}:7000"]\n') as far:
        drive = far.folder()
        far.good("drive add", drive)
        far.good("vault create", "main", "--trust-device")
        vault = far.good("vault list").items[0]["id"]
        with node(given, wires, "house", seeded(f"{FAR}:7000")) as house:
            house.daemon.wait_to_say("joined the mesh")
            house.good("drive add", house.folder())
            house.good("node allow", vault, "1G")
            assert house.status["announces"] == []
            far.good("drive add", "node:" + house.status["id"])
            content = os.urandom(3 << 20)
            path = far.world.write("work/file", content)
            far.good("put", path)
            far.good("verify", "--deep")
            assert [int(one["shards"]) > 0 for one in house.good("node status").items] == [True], house.status
            # What lies outside is lost, so it has to come back over that link.
            assert lose_shards(drive) > 0
            far.good("get", "/file", "--to", far.world.path("back"))
            with open(far.world.path("back", "file"), "rb") as back:
                assert back.read() == content


def story(given: argparse.Namespace, wires: Wires) -> None:
    def tell(what: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {what}", flush=True)

    begun = time.monotonic()
    for kind, protocol in (("nat-pmp", "NAT-PMP"), ("upnp", "UPnP"), ("upnp-for-ever", "UPnP")):
        gives(given, wires, kind, protocol)
        tell(f"a router of the kind '{kind}' gave a port, it led there, and it was given back")
    assert set(WICKED) | {"nat-pmp", "upnp", "upnp-for-ever"} == set(KINDS)
    for kind in WICKED:
        gives_none(given, wires, kind)
        tell(f"a router of the kind '{kind}' gave none, and that was told")
    ends_at_once(given, wires)
    no_router(given, wires)
    tell("without a router that was told, too")
    if shutil.which("nft") and shutil.which("miniupnpd"):
        for protocol in ("NAT-PMP", "UPnP"):
            by_miniupnpd(given, wires, protocol)
            tell(f"miniupnpd gave a port by {protocol}, it led there, and it was given back")
    else:
        print("skipped: there is no 'miniupnpd' with 'nft'")
    if shutil.which("nft"):
        wires.hide("router")
        serves_over_its_links(given, wires)
        tell("a node that nobody can dial kept shards over a link that it opened")
    else:
        print("skipped: without 'nft' no house is hidden")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("docs")
    parser.add_argument("daemon")
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
