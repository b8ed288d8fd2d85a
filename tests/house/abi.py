#!/usr/bin/env python3
"""What the shared library offers, held against a committed list.

    abi.py LIBRARY LIST            compare
    abi.py --update LIBRARY LIST   write the list anew

The list has the soname and each strong dynamic symbol, demangled and sorted. Weak
ones (inline functions, templates) are compiled into the programs, too, and depend on
the optimiser, so they are no part of it; tests/house/linked.py looks at those.
"""

import difflib
import re
import subprocess
import sys

STRANGERS = re.compile(r"\b(caf|google|rocksdb|spdlog|fmt|boost)::|\b(EVP|SSL|BIO|OSSL|ZSTD)_")
OF_A_SANITIZER = re.compile(r"^__?(asan|odr_asan|ubsan|tsan|lsan|sanitizer)|^(_init|_fini|_edata|_end|__bss_start)$")
OURS = re.compile(r"^((vtable|typeinfo|typeinfo name|VTT|guard variable) for )?datamesh(::|_)")

ADVICE = """
What the library offers has changed against the committed list.
  - What was only added (+) is fine: new functions and classes do not disturb programs
    that are built already.
  - What is gone or changed (-) breaks them: before 1.0 raise the minor version, from
    1.0 on the major one (project() in CMakeLists.txt, which the soname follows, and
    libdatamesh/include/datamesh/version.hpp), and say so in CHANGELOG.md. A member
    added to a struct, or a virtual function, does the same without showing here:
    tests/house/abi_types.py sees it.
  - Then write the list anew: tests/house/abi.py --update LIBRARY tests/house/abi/libdatamesh.symbols
"""


def output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def offered(nm: str) -> list[str]:
    """Strong symbols of `nm -D --defined-only -C` output, each once."""
    found = set()
    for line in nm.splitlines():
        match = re.match(r"^[0-9a-f]*\s+([A-Za-z])\s+(.*)$", line)
        if match and match.group(1) in "TDBRGS" and not OF_A_SANITIZER.search(match.group(2)):
            found.add(match.group(2))
    return sorted(found)


def leaks(symbols: list[str]) -> list[str]:
    """Symbols that are not ours to show, or speak of types that are not."""
    return [name for name in symbols if not OURS.search(name) or STRANGERS.search(name)]


def soname(readelf: str) -> str:
    match = re.search(r"\(SONAME\).*\[(.*)\]", readelf)
    return match.group(1) if match else "none"


def described(nm: str, readelf: str) -> str:
    return "".join(f"{line}\n" for line in [f"soname {soname(readelf)}", *offered(nm)])


def differences(committed: str, built: str) -> list[str]:
    lines = difflib.unified_diff(committed.splitlines(), built.splitlines(), lineterm="", n=0)
    return [line for line in lines if re.match(r"^[+-](?![+-]{2})", line)]


def main(arguments: list[str]) -> int:
    update = arguments[:1] == ["--update"]
    if update:
        arguments = arguments[1:]
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    library, path = arguments
    nm = output("nm", "-D", "--defined-only", "-C", library)
    strange = leaks(offered(nm))
    if strange:
        print("\n".join(f"{library} shows {name}" for name in strange[:20]))
        return 1
    built = described(nm, output("readelf", "-d", library))
    if update:
        with open(path, "w", encoding="utf-8") as file:
            file.write(built)
        return 0
    with open(path, encoding="utf-8") as file:
        found = differences(file.read(), built)
    if found:
        print("\n".join(found) + "\n" + ADVICE)
        return 1
    print(f"{built.count(chr(10)) - 1} symbols, as they are committed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
