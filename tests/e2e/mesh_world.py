"""A mesh of real daemons, of which the first keeps a vault on itself and the others, and what must
hold of it."""

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

NETWORK = "a mesh for a store over real daemons"
LIMIT = 120
ROOM = 8 << 30


class Member:
    """A node of the mesh with one drive."""

    def __init__(self, mesh: "Mesh"):
        self.mesh = mesh
        self.number = len(mesh.members)
        self.world = World(mesh.program, mesh.docs)
        self.daemon: Daemon | None = None
        self.start()
        os.mkdir(self.world.path("drive"))
        self.id = self.good("node status").summary["id"]

    def start(self) -> None:
        # A daemon takes no more.
        seeds = [member.address for member in self.mesh.members if member.lives()][:16]
        self.daemon = Daemon(
            self.mesh.command(self.number),
            self.world,
            f'mesh_network = "{NETWORK}"\nmesh_listen = ["{self.mesh.listens(self.number)}"]\nmesh_local = true\nmesh_seeds = {seeds}\n'.replace("'", '"'),
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

    # -- where its members are --------------------------------------------------------------

    def command(self, number: int) -> list[str]:
        """What starts the daemon of that member."""
        return [self.daemon]

    def listens(self, number: int) -> str:
        return "127.0.0.1:0"

    def add(self) -> Member:
        self.members.append(Member(self))
        return self.members[-1]

    def close(self) -> None:
        for member in self.members:
            if member.lives():
                member.end()
            member.world.close()

    # -- what is done --------------------------------------------------------------------

    def build(self, keepers: int = 5) -> None:
        self.owner = self.add()
        self.owner.good("drive add", self.owner.world.path("drive"))
        self.owner.good("vault create", "main", "--trust-device")
        self.vault = self.owner.good("vault list").items[0]["id"]
        for _ in range(keepers):
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
