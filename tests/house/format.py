#!/usr/bin/env python3
"""Asks clang-format 14 whether every C++ file has the form of .clang-format.

    format.py ROOT          names the files that have not
    format.py ROOT --write  reformats them

Other versions of clang-format break lines elsewhere, so they are not asked: the
exit code is then 77, "skipped".
"""

import os
import re
import shutil
import subprocess
import sys

from rules import CODE_TOPS, CPP, listed

SKIPPED = 77


def formatter() -> str | None:
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path:
            out = subprocess.run([path, "--version"], stdout=subprocess.PIPE, check=False, text=True).stdout
            if re.search(r"version 14\.", out):
                return path
    return None


def ill_formed(program: str, paths: list[str]) -> set[str]:
    """Those of *paths* whose text is not what clang-format makes of it."""
    if not paths:
        return set()
    out = subprocess.run([program, "--dry-run", "-Werror", "-style=file", *paths], stderr=subprocess.PIPE, check=False, text=True)
    found = {match for match in re.findall(r"^(.+?):\d+:\d+: error: code should be clang-formatted", out.stderr, re.MULTILINE)}
    if out.returncode and not found:
        raise RuntimeError(out.stderr)
    return found


def main(arguments: list[str]) -> int:
    program = formatter()
    if not program:
        print("clang-format 14 is not installed")
        return SKIPPED
    root = arguments[0]
    paths = [os.path.join(root, path) for path in listed(root) if path.startswith(CODE_TOPS) and path.endswith(CPP)]
    found = sorted(ill_formed(program, paths))
    if arguments[1:] == ["--write"] and found:
        subprocess.run([program, "-i", "-style=file", *found], check=True)
        return 0
    for path in found:
        print(f"{os.path.relpath(path, root)}: run clang-format-14 -i on it")
    print(f"{len(paths)} files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
