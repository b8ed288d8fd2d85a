#!/usr/bin/env python3
"""kill_test.py PROGRAM DOCS SHIM [--points N] [--seed N]: ends commands by SIGKILL, half of
them after a random time and half in place of a random system call, some of which take
their time while the other threads go on, and looks after each whether all that was
acknowledged is there, byte for byte, and nothing else."""

import argparse
import os
import random
import shutil
import sys
import time

from store_world import Store, content

LARGE = 24 << 20
LINGER_MS = 40


class Killer:
    def __init__(self, options: argparse.Namespace):
        self.shim = os.path.abspath(options.shim)
        self.random = random.Random(options.seed)
        self.store = Store(options.program, options.docs)
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}
        self.killed: dict[str, int] = {}
        self.resumed = 0

    def run(self, points: int) -> None:
        store = self.store
        store.init()
        self.large = content(1, LARGE)
        source = store.write("work/large", self.large)
        store.good("put", source)
        store.may_become("/large", self.large, True)
        for _ in range(4):
            self.put(kill=False)
        self.overwrite(kill=False)
        self.remove(kill=False)
        self.repair(kill=False)
        self.cleanup(kill=False)
        self.get(kill=False)
        steps = [self.put, self.put, self.overwrite, self.remove, self.repair, self.cleanup, self.get]
        for point in range(points):
            # Every kind of step, also in a short run.
            step = steps[point] if point < len(steps) else self.random.choice(steps)
            self.place = f"point {point}, {step.__name__}"
            step(kill=True)
            store.check_content()
        store.good("repair", "--deep")
        store.check_shards()
        self.sweep()
        store.check_content()

    # -- one command --------------------------------------------------------------------

    def command(self, name: str, arguments: list[str], kill: bool, below: str = "store") -> bool:
        """Runs it, or kills it on the way; true when it was acknowledged."""
        store = self.store
        watched = [store.path(below)]
        if not kill:
            begin = time.monotonic()
            code = store.run_with(arguments, store.shim(self.shim, "any", 0, None, watched))
            self.seconds[name] = time.monotonic() - begin
            self.calls[name] = sum(store.tally()[0].values())
            if code != 0:
                raise AssertionError(f"{arguments} ended with {code}: {store.lines()}")
            return True
        if self.random.random() < 0.5:
            code = store.run_and_kill(arguments, self.random.uniform(0, 1.1 * self.seconds[name]))
        else:
            at = self.random.randint(1, self.calls[name])
            self.place += f", call {at}"
            code = store.run_with(arguments, store.shim(self.shim, "any", at, None, watched, self.random.choice([0, LINGER_MS])))
        if code not in (0, -9):
            raise AssertionError(f"{arguments} ended with {code}: {store.lines()}")
        self.killed[name] = self.killed.get(name, 0) + (code == -9)
        return store.acknowledged(code)

    def fresh(self) -> tuple[str, bytes]:
        self.store.counter += 1
        size = self.random.choice([0, 1, 3_000, 70_000, 600_000, 3_000_000])
        return f"f{self.store.counter}", content(self.random.getrandbits(60), size)

    # -- the steps ------------------------------------------------------------------------

    def put(self, kill: bool) -> None:
        store = self.store
        files = dict(self.fresh() for _ in range(self.random.randint(1, 5)))
        folder = store.fresh_folder("put")
        for name, data in files.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        acknowledged = self.command("put", ["put", *(os.path.join(folder, name) for name in files)], kill)
        for name, data in files.items():
            store.may_become("/" + name, data, acknowledged)
        if kill and not acknowledged and self.random.random() < 0.5:
            # Running it once more resumes.
            store.good("put", *(os.path.join(folder, name) for name in files))
            for name, data in files.items():
                store.may_become("/" + name, data, True)
        shutil.rmtree(folder)

    def some(self) -> str | None:
        known = sorted(path for path in self.store.expected if path != "/large")
        return self.random.choice(known) if known else None

    def overwrite(self, kill: bool) -> None:
        path = self.some()
        if path is None:
            return self.put(kill)
        data = self.fresh()[1]
        source = self.store.write("work/over", data)
        self.store.may_become(path, data, self.command("overwrite", ["put", source, "--as", path[1:]], kill))

    def remove(self, kill: bool) -> None:
        path = self.some()
        if path is None:
            return self.put(kill)
        arguments = ["rm", path] + (["--flush"] if self.random.random() < 0.3 else [])
        self.store.may_become(path, None, self.command("remove", arguments, kill))

    def repair(self, kill: bool) -> None:
        store = self.store
        # What a killed put left lacks shards as it is; with two drives' more nobody could read it.
        store.good("repair")
        first, second = self.random.sample(range(len(store.drives)), 2)
        files = [path for path in sorted(store.shard_files()) if f"/drive{first}/" in path or f"/drive{second}/" in path]
        for path in self.random.sample(files, min(len(files), 4)):
            if self.random.random() < 0.5:
                os.remove(path)
            else:
                with open(path, "r+b") as file:
                    file.seek(self.random.randrange(os.path.getsize(path)))
                    byte = file.read(1)
                    file.seek(-1, os.SEEK_CUR)
                    file.write(bytes([byte[0] ^ 1]))
        self.command("repair", ["repair", "--deep"], kill)
        store.good("repair", "--deep")
        store.check_shards()

    def cleanup(self, kill: bool) -> None:
        self.command("cleanup", ["cleanup", "--trash-age", "0s", "--keep-versions", "2", "--yes"], kill)

    def get(self, kill: bool) -> None:
        folder = self.store.fresh_folder("get")
        target = os.path.join(folder, "large")
        whole = self.command("get", ["get", "/large", "--to", folder], kill, below=folder)
        there = os.path.exists(target)
        if whole and not there:
            raise AssertionError("an acknowledged get left no file")
        if there:
            self.same(target)
        stray = set(os.listdir(folder)) - {"large"}
        parts = [name for name in stray if name.startswith(".large.") and name.endswith(".datamesh-part")]
        if len(stray) > len(parts) or len(parts) > 1:
            raise AssertionError(f"a get left {stray}")
        written = sum(os.path.getsize(os.path.join(folder, name)) for name in parts)
        if not there:
            again = self.store.good("get", "/large", "--to", folder)
            self.resumed += again.summary["bytes_resumed"]
            # A chunk has at most 4 MiB.
            if written >= 4 << 20 and again.summary["bytes_resumed"] == 0:
                raise AssertionError(f"{written} bytes were there, and none was resumed")
            self.same(target)
            if os.listdir(folder) != ["large"]:
                raise AssertionError(f"beside the file there is {os.listdir(folder)}")
        shutil.rmtree(folder)

    def same(self, path: str) -> None:
        with open(path, "rb") as file:
            if file.read() != self.large:
                raise AssertionError("a half file stands under the final name")

    def sweep(self) -> None:
        """A shard that was linked and has no row yet is taken away by a later cleanup."""
        if left := self.left_by_kill_before_row():
            raise AssertionError(f"not swept: {left}")

    def left_by_kill_before_row(self) -> set[str]:
        store = self.store
        store.good("cleanup", "--trash-age", "0s", "--keep-versions", "2", "--yes")
        self.age()
        store.good("cleanup")
        before = set(store.shard_files())
        data = content(self.random.getrandbits(60), 2_000_000)
        source = store.write("work/swept", data)
        # The first sync of a folder of shards, which each drive makes before it writes a row.
        shards = [os.path.join(drive, "shards") for drive in store.drives]
        code = store.run_with(["put", source], store.shim(self.shim, "fsync", 1, None, shards))
        left = set(store.shard_files()) - before
        if code != -9 or not left:
            raise AssertionError(f"the kill between link and row left nothing: {code}, {store.tally()}")
        store.may_become("/swept", data, False)
        self.age()
        store.good("cleanup")
        # A cleanup may write packs of its own.
        return left & set(store.shard_files())

    def age(self) -> None:
        """Two hours pass for all shard files: what may still be on its way is spared."""
        then = time.time() - 7200
        for path in self.store.shard_files():
            os.utime(path, (then, then))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("docs")
    parser.add_argument("shim")
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DATAMESH_SEED", "1")))
    options = parser.parse_args()
    killer = Killer(options)
    killer.place = "the beginning"
    try:
        killer.run(options.points)
    except AssertionError:
        print(f"seed {options.seed}, {killer.place}", file=sys.stderr)
        raise
    finally:
        killer.store.close()
    print(f"figure points: {options.points}")
    for name, count in sorted(killer.killed.items()):
        print(f"figure {name} killed: {count}")


if __name__ == "__main__":
    main()
