#!/usr/bin/env python3
"""mesh_store_test.py PROGRAM DOCS SHIM DAEMON [--mib N] [--seed N]: six daemons on loopback, of
which one stores a vault on itself and the five others. They are killed, wiped, made to lie and
replaced, no more of them at a time than parity allows, and after each of it every byte is there;
the vault then gets back to full redundancy. At the end the owner's machine is lost, and the vault
comes back from the others."""

import argparse
import os
import signal
import sys

from mesh_world import Mesh


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
