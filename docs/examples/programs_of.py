#!/usr/bin/env python3
"""Writes the whole programs of a page into files, and prints their paths.

    programs_of.py PAGE PREFIX

A whole program is a block that begins with ```cpp and has a main function. Files that
would not change are left alone.
"""

import os
import re
import sys


def programs(page: str) -> list[str]:
    blocks = re.findall(r"^```cpp\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if re.search(r"^int main\(", block, re.MULTILINE)]


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    page, prefix = arguments
    with open(page, encoding="utf-8") as file:
        found = programs(file.read())
    if not found:
        print(f"{page} has no whole program", file=sys.stderr)
        return 1
    for number, program in enumerate(found, 1):
        path = f"{prefix}-{number}.cpp"
        if not os.path.exists(path) or open(path, encoding="utf-8").read() != program:
            with open(path, "w", encoding="utf-8") as file:
                file.write(program)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
