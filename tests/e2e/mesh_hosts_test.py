#!/usr/bin/env python3
"""mesh_hosts_test.py PROGRAM DOCS DAEMON [--mib N] [--nodes N] [--seed N] [--loopback] [--other DAEMON]: daemons of which
each is in a network namespace of its own, with an address of its own, on one bridge. As many are killed
as parity allows, two are cut off, one packet of a hundred is lost everywhere while one node is slow,
another node joins, and as many as parity allows are lost with their disks and replaced; every byte comes
back each time, and full redundancy. Tells how long that took, and what went over the wires for it.

With --loopback all are on the loopback address, where more fit than the kernel has neighbours for (32
namespaces know each other by 1,024 entries): who is cut off is stopped, nothing is lost on the way, and
the bytes are those that the nodes say they sent. With --other every second node is that daemon, of another version; the
owner of the vault is not."""

import argparse
import os
import signal
import subprocess
import sys
import time

from mesh_world import LIMIT, Mesh, Member
from namespaces import Namespaces, why_not

SKIPPED = 77
# Classic BPF on the way out: a random word below 1 % of 2^32 is TC_ACT_SHOT, all else goes on.
LOSS = "4,32 0 0 4294963256,53 1 0 42949673,6 0 0 2,6 0 0 4294967295"
SLOW = ("rate", "32mbit", "burst", "64k", "latency", "400ms")


class Wires(Namespaces):
    """Each with one end of a wire, and the bridge at the other ends."""

    def __init__(self, count: int):
        super().__init__("dm")
        try:
            self.add("hub")
            self.inside("hub", "ip", "link", "add", "bridge", "type", "bridge")
            self.up("hub", "bridge")
            for number in range(count):
                name = str(number)
                self.add(name)
                self.wire(name, "wire", "hub", f"to{number}")
                self.address(name, "wire", f"{self.at(number)}/24")
                self.inside("hub", "ip", "link", "set", f"to{number}", "master", "bridge")
                self.plug(number, True)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def at(number: int) -> str:
        return f"10.77.0.{number + 1}"

    def command(self, number: int) -> list[str]:
        return self.enter(str(number))

    def plug(self, number: int, into: bool) -> None:
        self.inside("hub", "ip", "link", "set", f"to{number}", "up" if into else "down")

    def lose(self, number: int) -> None:
        name = str(number)
        self.inside(name, "tc", "qdisc", "add", "dev", "wire", "clsact")
        self.inside(name, "tc", "filter", "add", "dev", "wire", "egress", "bpf", "bytecode", LOSS, "direct-action")

    def slow(self, number: int) -> None:
        self.inside(str(number), "tc", "qdisc", "add", "dev", "wire", "root", "tbf", *SLOW)

    def mend(self, number: int) -> None:
        for kind in (["clsact"], ["root"]):
            subprocess.run([*self.command(number), "tc", "qdisc", "del", "dev", "wire", *kind], check=False, stderr=subprocess.DEVNULL)

    def sent(self) -> int:
        """Bytes that all nodes have sent, with what each layer adds."""
        total = 0
        for number in range(len(self.made) - 1):
            for line in self.inside(str(number), "cat", "/proc/net/dev").splitlines():
                device, _, fields = line.partition(":")
                if device.strip() == "wire":
                    total += int(fields.split()[8])
        return total


class OneHost:
    """All daemons on the loopback address."""

    def __init__(self) -> None:
        self.mesh: Hosts | None = None

    def command(self, number: int) -> list[str]:
        return []

    @staticmethod
    def at(number: int) -> str:
        return "127.0.0.1"

    def plug(self, number: int, into: bool) -> None:
        self.mesh.members[number].daemon.process.send_signal(signal.SIGCONT if into else signal.SIGSTOP)

    def sent(self) -> int:
        return sum(one.good("node status").summary["sent"] for one in self.mesh.members if one.lives())

    def close(self) -> None:
        pass


class Hosts(Mesh):
    def __init__(self, wires: Wires | OneHost, program: str, docs: str, daemon: str, mebibytes: int, seed: int):
        super().__init__(program, docs, daemon, mebibytes, seed)
        self.wires = wires
        self.other = ""
        self.shared = isinstance(wires, OneHost)
        if self.shared:
            wires.mesh = self

    def command(self, number: int) -> list[str]:
        return [*self.wires.command(number), self.other if self.other and number % 2 == 1 else self.daemon]

    def listens(self, number: int) -> str:
        return f"{self.wires.at(number)}:{0 if self.shared else 7000}"

    def join(self) -> Member:
        fresh = self.add()
        self.lend(fresh)
        return fresh


def figure(name: str, value: float) -> None:
    print(f"figure {name}: {round(value)}", flush=True)


def until_full(mesh: Hosts) -> None:
    """By what the owner of a vault would do; what does not come about within the time is a failure."""
    until = time.monotonic() + 5 * LIMIT
    while True:
        mesh.owner.good("repair")
        seen = mesh.owner.good("verify").summary
        if (seen["shards_missing"], seen["shards_damaged"], seen["packs_lost"]) == (0, 0, 0):
            return
        assert time.monotonic() < until, f"full redundancy does not come back: {seen}"


def lossy(mesh: Hosts) -> None:
    """Packets are lost everywhere, and one node is slow."""
    slow = mesh.random.choice(mesh.keepers)
    for one in mesh.members:
        if one is not slow:
            mesh.wires.lose(one.number)
    mesh.wires.slow(slow.number)
    mesh.files["lossy"] = mesh.files["large"][: 8 << 20]
    mesh.put("lossy")
    mesh.check_bytes()
    for one in mesh.members:
        mesh.wires.mend(one.number)


def story(mesh: Hosts, nodes: int) -> None:
    mesh.build(nodes - 1)
    mesh.wait_for({"ok": nodes})
    for name in mesh.files:
        mesh.put(name)
    policy = mesh.owner.good("status").summary["policy"]
    data, parity = (int(part) for part in policy.split("+"))
    print(f"{nodes} nodes, {policy}", flush=True)
    mesh.check_full()
    mesh.check_bytes()

    # As many are killed as parity allows.
    killed = mesh.random.sample(mesh.keepers, parity)
    for one in killed:
        one.end()
    mesh.wait_for({"ok": nodes - parity, "missing": parity})
    mesh.check_bytes()
    for one in killed:
        one.start()
    mesh.wait_for({"ok": nodes})

    # Two are cut off, and nobody tells the others.
    apart = mesh.random.sample(mesh.keepers, 2)
    for one in apart:
        mesh.wires.plug(one.number, False)
    mesh.check_bytes()
    for one in apart:
        mesh.wires.plug(one.number, True)
    mesh.wait_for({"ok": nodes})

    if not mesh.shared:
        lossy(mesh)

    # One joins, and gets its part of what is stored from then on.
    joined = mesh.join()
    mesh.wait_for({"ok": nodes + 1})
    mesh.files["later"] = mesh.files["large"][::-1][: 8 << 20]
    mesh.put("later")
    mesh.check_bytes()
    assert joined.number == nodes

    # What it takes to look at all, which has nodes prove blocks, is no part of what a repair takes.
    looks = mesh.wires.sent()
    until_full(mesh)
    looks = mesh.wires.sent() - looks

    # As many are lost with their disks as parity allows, and others take their places.
    lost = mesh.random.sample(mesh.keepers, parity)
    used = 0
    for one in lost:
        used += one.good("node status").items[0]["used"]
        one.end()
    begun = time.monotonic()
    sent = mesh.wires.sent()  # On one host, of those that are left.
    for one in lost:
        mesh.owner.good("drive remove", one.place, "--force", "--yes")
    for _ in lost:
        mesh.join()
    mesh.wait_for({"ok": nodes + 1})
    until_full(mesh)
    took = time.monotonic() - begun
    sent = mesh.wires.sent() - sent
    mesh.check_full()
    mesh.check_bytes()
    figure("bytes stored", sum(map(len, mesh.files.values())))
    figure("bytes of lost shards", used)
    figure("ms from the last loss to full redundancy", 1000 * took)
    figure("bytes sent by the same looks with nothing lost", looks)
    figure("bytes sent for it", sent)
    sent -= looks
    figure("without those looks, of 100 of (k+1) times the lost shards", 100 * sent / ((data + 1) * used))
    assert took <= 600, f"full redundancy took {took:.0f} s"
    assert sent <= 1.2 * (data + 1) * used, f"{sent} bytes were sent for {used} bytes of lost shards of {policy}"

    for member in mesh.members:
        if member.lives():
            code = member.end(signal.SIGTERM)
            assert code == 0, f"a daemon that was told to end did so with {code}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("docs")
    parser.add_argument("daemon")
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--nodes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DATAMESH_SEED", "1")))
    parser.add_argument("--loopback", action="store_true")
    parser.add_argument("--other", metavar="DAEMON", type=os.path.abspath)
    given = parser.parse_args()
    if reason := None if given.loopback else why_not("tc"):
        print(f"skipped: {reason}")
        return SKIPPED
    begun = time.monotonic()
    # One that joins, and as many as parity in the place of those that are lost.
    wires = OneHost() if given.loopback else Wires(given.nodes + 1 + 6)
    mesh = Hosts(wires, given.program, given.docs, os.path.abspath(given.daemon), given.mib, given.seed)
    mesh.other = given.other
    try:
        story(mesh, given.nodes)
    finally:
        mesh.close()
        wires.close()
    where = "on loopback" if given.loopback else "in namespaces"
    print(f"{given.nodes} daemons {where}, {given.mib} MiB, seed {given.seed}, {time.monotonic() - begun:.0f} s in all; 0 bytes lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
