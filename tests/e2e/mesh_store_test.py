#!/usr/bin/env python3
"""mesh_store_test.py PROGRAM DOCS SHIM DAEMON [--mib N] [--seed N]: six daemons on loopback, of
which one stores a vault on itself and the five others. They are killed, wiped, made to lie and
replaced, no more of them at a time than parity allows, and after each of it every byte is there;
the vault then gets back to full redundancy. At the end the owner's machine is lost, and the vault
comes back from the others."""

import argparse
import os
import random
import shutil
import signal
import sys
import time

from store_world import content

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "apps", "datameshd"))
from daemon_process import Daemon  # noqa: E402
from program import World  # noqa: E402

NETWORK = "a mesh for a store over six daemons"
LIMIT = 120
ROOM = 1 << 30


class Member:
    """A node of the mesh with one drive."""

    def __init__(self, mesh: "Mesh"):
        self.mesh = mesh
        self.world = World(mesh.program, mesh.docs)
        self.daemon: Daemon | None = None
        self.start()
        os.mkdir(self.world.path("drive"))
        self.id = self.good("node status").summary["id"]

    def start(self) -> None:
        seeds = [member.address for member in self.mesh.members if member.lives()]
        self.daemon = Daemon(
            self.mesh.daemon,
            self.world,
            f'mesh_network = "{NETWORK}"\nmesh_listen = ["127.0.0.1:0"]\nmesh_local = true\nmesh_seeds = {seeds}\n'.replace("'", '"'),
        )
        self.address = self.good("node status").summary["announces"][0]

    def lives(self) -> bool:
        return self.daemon is not None

    def end(self, number: int = signal.SIGKILL) -> int:
        code = self.daemon.end(number)
        self.daemon = None
        return code

    def good(self, command: str, *arguments: str):
        lines = self.world.json(command, *arguments)
        assert lines.code == 0, f"{command} {arguments} ended with {lines.code}: {lines.all}; {self.daemon.said()}"
        return lines

    @property
    def place(self) -> str:
        return "node:" + self.id

    def shard_files(self) -> list[str]:
        below = self.world.path("drive", "guests", "shards")
        return [os.path.join(folder, name) for folder, _, names in os.walk(below) for name in names]


class Mesh:
    def __init__(self, program: str, docs: str, daemon: str, mebibytes: int, seed: int):
        self.program, self.docs, self.daemon = program, docs, daemon
        self.random = random.Random(seed)
        self.members: list[Member] = []
        self.files = {"large": content(seed, mebibytes << 20), "small": b"a few words\n", "empty": b""}

    def add(self) -> Member:
        self.members.append(Member(self))
        return self.members[-1]

    def close(self) -> None:
        for member in self.members:
            if member.lives():
                member.end()
            member.world.close()

    # -- what is done --------------------------------------------------------------------

    def build(self) -> None:
        self.owner = self.add()
        self.owner.good("drive add", self.owner.world.path("drive"))
        self.owner.good("vault create", "main", "--trust-device")
        self.vault = self.owner.good("vault list").items[0]["id"]
        for _ in range(5):
            self.lend(self.add())

    def lend(self, keeper: Member) -> None:
        """The node gives room, and the owner takes it."""
        keeper.good("drive add", keeper.world.path("drive"))
        keeper.good("node allow", self.vault, str(ROOM))
        self.owner.good("drive add", keeper.place)

    @property
    def keepers(self) -> list[Member]:
        return [member for member in self.members if member is not self.owner and member.lives()]

    def put(self, name: str) -> None:
        self.owner.world.write(f"work/{name}", self.files[name])
        self.owner.good("put", name)

    def put_refused(self) -> None:
        self.owner.world.write("work/refused", b"what is not acknowledged is not there")
        ended = self.owner.world.json("put", "refused")
        assert ended.code == 8, f"a put with too few places ended with {ended.code}: {ended.all}"
        assert "/refused" not in [item["path"] for item in self.owner.good("ls", "/").items]

    def wait_for(self, states: dict[str, int]) -> None:
        """Until so many places are in such a state."""
        until = time.monotonic() + LIMIT
        while True:
            seen: dict[str, int] = {}
            for drive in self.owner.good("drive list").items:
                seen[drive["state"]] = seen.get(drive["state"], 0) + 1
            if seen == states:
                return
            assert time.monotonic() < until, f"places never came to be {states}: {seen}"

    # -- what must hold --------------------------------------------------------------------

    def check_bytes(self, of: Member | None = None) -> None:
        of = of or self.owner
        shutil.rmtree(of.world.path("work", "back"), ignore_errors=True)
        of.good("get", "/*", "--to", "back")
        for name, expected in self.files.items():
            with open(of.world.path("work", "back", name), "rb") as file:
                assert file.read() == expected, f"{name} came back with other bytes"
        found = sorted(os.listdir(of.world.path("work", "back")))
        assert found == sorted(self.files), f"nobody stored {found}"

    def check_full(self) -> None:
        """Each shard is where it should be, to the last byte."""
        seen = self.owner.good("verify", "--deep").summary
        assert (seen["shards_missing"], seen["shards_damaged"], seen["packs_lost"]) == (0, 0, 0), seen
        assert seen["shards"] > 0, seen

    def repair(self) -> dict:
        return self.owner.good("repair", "--deep").summary


def story(mesh: Mesh) -> None:
    mesh.build()
    mesh.wait_for({"ok": 6})
    for name in mesh.files:
        mesh.put(name)
    shape = mesh.owner.good("status").summary["policy"]
    assert shape == "4+2", f"six places make {shape}"
    for keeper in mesh.keepers:
        room = keeper.good("node status").items[0]
        assert room["owner"] == mesh.vault and room["shards"] > 0 and room["used"] > len(mesh.files["large"]) // 5, room
    mesh.check_full()
    mesh.check_bytes()

    # Two are gone at once, and one of them with its disk.
    lost, away = mesh.random.sample(mesh.keepers, 2)
    lost.end()
    away.end()
    mesh.wait_for({"ok": 4, "missing": 2})
    mesh.check_bytes()
    mesh.put_refused()
    away.start()
    mesh.wait_for({"ok": 5, "missing": 1})
    mesh.owner.good("drive remove", lost.place, "--force", "--yes")
    mesh.lend(mesh.add())
    mesh.wait_for({"ok": 6})
    healed = mesh.repair()
    assert healed["shards_repaired"] > 0, healed
    mesh.check_full()
    mesh.check_bytes()

    # One lies about what it keeps, and another one has nothing of it any more.
    liar, empty = mesh.random.sample(mesh.keepers, 2)
    for path in liar.shard_files():
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
    for path in empty.shard_files():
        os.unlink(path)
    mesh.check_bytes()
    healed = mesh.repair()
    assert healed["shards_damaged"] > 0 and healed["shards_missing"] > 0, healed
    mesh.check_full()
    mesh.check_bytes()

    # What is deleted is deleted there, too.
    used = sum(keeper.good("node status").items[0]["used"] for keeper in mesh.keepers)
    mesh.owner.good("rm", "/large")
    mesh.owner.good("cleanup", "--trash-age", "0", "--yes")
    left = sum(keeper.good("node status").items[0]["used"] for keeper in mesh.keepers)
    assert left < used // 2, f"{left} of {used} bytes are left on other nodes"
    mesh.put("large")

    # The owner's machine is lost but for a copy of the key file.
    mesh.owner.good("key export", "key")
    with open(mesh.owner.world.path("work", "key"), "rb") as file:
        key = file.read()
    mesh.owner.end()
    places = [keeper.place for keeper in mesh.keepers]
    elsewhere = mesh.add()
    elsewhere.world.write("work/key", key)
    for place in places:
        elsewhere.good("drive add", place)
    elsewhere.good("vault restore", "key")
    mesh.check_bytes(elsewhere)

    for member in mesh.members:
        if member.lives():
            code = member.end(signal.SIGTERM)
            assert code == 0, f"a daemon that was told to end did so with {code}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("docs")
    parser.add_argument("shim")
    parser.add_argument("daemon")
    parser.add_argument("--mib", type=int, default=32)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DATAMESH_SEED", "1")))
    given = parser.parse_args()
    mesh = Mesh(given.program, given.docs, os.path.abspath(given.daemon), given.mib, given.seed)
    try:
        story(mesh)
    finally:
        mesh.close()
    print(f"six daemons, {given.mib} MiB, seed {given.seed}: two killed, one replaced, one that lied, one emptied, the owner lost; 0 bytes lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
