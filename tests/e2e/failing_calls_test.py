#!/usr/bin/env python3
"""failing_calls_test.py PROGRAM DOCS SHIM [--points N] [--seed N]: lets the N-th call of
each kind fail in a small put and in an rm, for every N until the command makes fewer;
with --points at most so many, spread over all. Each command then succeeds, or fails with
an error that is explained; what was acknowledged before is there, and the store takes a
put again."""

import argparse
import errno
import os
import random
import sys

from store_world import CALLS, Store, content

# What the kernel may answer there.
ERRORS = {"read": [errno.EIO], "open": [errno.EIO, errno.EMFILE], "write": [errno.EIO, errno.ENOSPC], "fallocate": [errno.ENOSPC]}


class Sweep:
    def __init__(self, options: argparse.Namespace):
        self.shim = os.path.abspath(options.shim)
        self.random = random.Random(options.seed)
        self.store = Store(options.program, options.docs, drives=3)
        self.succeeded = self.refused = 0
        self.place = "the beginning"

    def prepare(self) -> None:
        store = self.store
        store.init()
        for name, size in (("small", 3_000), ("kept", 400_000), ("gone", 200_000)):
            data = content(len(name), size)
            store.good("put", store.write("work/" + name, data))
            store.may_become("/" + name, data, True)
        # One shard below and one above the size from which on shards are files.
        self.new = {"new": content(7, 500_000), "tiny": content(8, 900)}
        self.sources = [store.write("work/" + name, data) for name, data in self.new.items()]
        self.commands = {"put": ["put", *self.sources], "rm": ["rm", "/gone", "--flush"]}
        store.save()

    def points(self, command: str) -> list[tuple[str, int, int]]:
        """Every call that the command makes when nothing fails, with each error."""
        code = self.store.run_with(self.commands[command], self.store.shim(self.shim, "any", 0, None))
        if code != 0:
            raise AssertionError(f"{command} ended with {code}: {self.store.lines()}")
        counts, _ = self.store.tally()
        self.store.bring_back()
        for call in ("open", "write", "fdatasync", "fsync", "link", "read"):
            if command == "put" and counts[call] == 0:
                raise AssertionError(f"no {call} was seen: the shim is blind")
        return [(call, at, error) for call in CALLS for at in range(1, counts[call] + 1) for error in ERRORS.get(call, [errno.EIO])]

    def expect(self, command: str, acknowledged: bool) -> None:
        if command == "rm":
            return self.store.may_become("/gone", None, acknowledged)
        for name, data in self.new.items():
            self.store.may_become("/" + name, data, acknowledged)

    def point(self, command: str, call: str, at: int, error: int) -> None:
        store = self.store
        self.place = f"{command}, {call} {at} with {errno.errorcode[error]}"
        code = store.run_with(self.commands[command], store.shim(self.shim, call, at, error))
        lines = store.lines()
        with open(store.path("err"), "rb") as file:
            told = file.read()
        if code < 0 or told:
            raise AssertionError(f"the command ended with {code}: {lines} {told.decode(errors='replace')}")
        for line in lines:
            store.validator(command).validate(line)
        if code == 0:
            self.succeeded += 1
        else:
            self.refused += 1
            last = lines[-1]
            if last["message_type"] != "exit_error" or last["exit_code"] != code or last["error"] in ("DM-INTERNAL", "DM-OK"):
                raise AssertionError(f"no clear error: {lines}")
        self.expect(command, store.acknowledged(code))
        store.check_content()
        # Missing is what a failed drive did not take; wrong is nothing.
        store.check_shards(missing_allowed=True)
        again = store.write("work/again", content(at, 100_000))
        after = store.json("put", again)
        if after.code != 0:
            raise AssertionError(f"the store takes nothing any more: {after.all}")
        store.may_become("/again", content(at, 100_000), True)
        store.check_content()
        store.bring_back()

    def some_of(self, points: list[tuple[str, int, int]], count: int) -> list[tuple[str, int, int]]:
        """As many of each call, as far as there are: else reads would take all the room."""
        left = [self.random.sample(group, len(group)) for call in CALLS if (group := [point for point in points if point[0] == call])]
        chosen = []
        while len(chosen) < count:
            left = [group for group in left if group]
            chosen += [group.pop() for group in left]
        return sorted(chosen[:count], key=lambda point: CALLS.index(point[0]))

    def run(self, points_max: int | None) -> None:
        self.prepare()
        for command in self.commands:
            points = self.points(command)
            if points_max is not None and len(points) > points_max // len(self.commands):
                points = self.some_of(points, points_max // len(self.commands))
            for point in points:
                self.point(command, *point)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("docs")
    parser.add_argument("shim")
    parser.add_argument("--points", type=int)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("DATAMESH_SEED", "1")))
    options = parser.parse_args()
    sweep = Sweep(options)
    try:
        sweep.run(options.points)
    except AssertionError:
        print(f"seed {options.seed}, {sweep.place}", file=sys.stderr)
        raise
    finally:
        sweep.store.close()
    print(f"figure system calls failed: {sweep.succeeded + sweep.refused}\nfigure of these refused to the caller: {sweep.refused}")


if __name__ == "__main__":
    main()
