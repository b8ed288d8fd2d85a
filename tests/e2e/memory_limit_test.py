#!/usr/bin/env python3
"""memory_limit_test.py PROGRAM DOCS: put, get, verify and repair in a control group that
holds 112 MiB and no swap, with a budget of 48 MiB. The kernel ends who takes more.
Mapped libraries and dirty pages count, clean pages of files give way."""

import argparse
import os
import shutil
import sys
import tempfile

# What lies in memory would count, too.
os.environ.setdefault("TMPDIR", "/var/tmp")

from store_world import Store, content  # noqa: E402

LIMIT = 112 << 20
LARGE = 384 << 20
SMALL = 3000
SKIPPED = 77


class Group:
    """A control group for memory, version 1 or 2; `OSError` where none can be made."""

    def __init__(self):
        first = "/sys/fs/cgroup/memory"
        self.version = 1 if os.path.isdir(first) else 2
        self.folder = tempfile.mkdtemp(prefix="datamesh-", dir=first if self.version == 1 else "/sys/fs/cgroup")
        try:
            if self.version == 1:
                self.write("memory.limit_in_bytes", LIMIT)
                if os.path.exists(self.path("memory.memsw.limit_in_bytes")):
                    self.write("memory.memsw.limit_in_bytes", LIMIT)
            else:
                self.write("memory.max", LIMIT)
                if os.path.exists(self.path("memory.swap.max")):
                    self.write("memory.swap.max", 0)
        except OSError:
            self.close()
            raise

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def write(self, name: str, value: int) -> None:
        with open(self.path(name), "w") as file:
            file.write(str(value))

    def killed(self) -> int:
        with open(self.path("memory.oom_control" if self.version == 1 else "memory.events")) as file:
            facts = dict(line.split() for line in file)
        return int(facts["oom_kill"])

    def peak(self) -> int:
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if os.path.exists(self.path(name)):
                with open(self.path(name)) as file:
                    return int(file.read())
        return 0

    def close(self) -> None:
        os.rmdir(self.folder)


def confine(program: str, group: Group, folder: str) -> str:
    """A program that enters the group and becomes *program*."""
    path = os.path.join(folder, "confined")
    with open(path, "w") as file:
        file.write(f'#!/bin/sh\necho $$ >"{group.path("cgroup.procs")}" || exit 99\nexec "{program}" "$@"\n')
    os.chmod(path, 0o700)
    return path


def run(store: Store, group: Group) -> None:
    store.init()
    large = b"".join(content(seed, 64 << 20) for seed in range(LARGE >> 26))
    store.write("work/tree/large", large)
    for number in range(SMALL):
        store.write(f"work/tree/small/{number:05}", content(number, 1 + number % 5000))
    os.makedirs(store.path("work/back"))
    store.program = confine(store.program, group, store.path("work"))
    budget = ("--memory", "48M")
    stored = store.good("put", store.path("work/tree"), *budget)
    assert stored.summary["files"] == SMALL + 1, stored.summary
    store.good("put", store.path("work/tree"), "--as", "again", *budget)
    store.good("verify", "--deep", *budget)
    shutil.rmtree(os.path.join(store.drives[0], "shards"))
    os.mkdir(os.path.join(store.drives[0], "shards"))
    store.good("repair", *budget)
    store.good("get", "/tree", "--to", store.path("work/back"), *budget)
    with open(store.path("work/back/tree/large"), "rb") as file:
        assert file.read() == large, "the large file came back wrong"
    for number in range(SMALL):
        with open(store.path(f"work/back/tree/small/{number:05}"), "rb") as file:
            assert file.read() == content(number, 1 + number % 5000), number
    assert group.killed() == 0, f"the kernel ended {group.killed()} commands"
    print(f"{len(large) + SMALL * 2500 >> 20} MiB in and out within {LIMIT >> 20} MiB, clean pages of files included", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("docs")
    options = parser.parse_args()
    try:
        group = Group()
    except OSError as reason:
        print(f"SKIPPED: no control group can be made here: {reason}")
        return SKIPPED
    store = None
    try:
        store = Store(os.path.abspath(options.program), options.docs)
        run(store, group)
        return 0
    finally:
        if store is not None:
            store.close()
        group.close()


if __name__ == "__main__":
    sys.exit(main())
