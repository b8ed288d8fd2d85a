#!/usr/bin/env python3
"""What a built library or program is linked to, and what it shows.

    linked.py [--library] FILE...

CAF's own network libraries must not be needed, directly or through others, and no
symbol of its node protocol may be called or defined. With --library the files are
ours for others: they show nothing but the names of namespace datamesh and, for C,
`datamesh_*`, so that a host's own protobuf, fmt or spdlog is left alone.
"""

import re
import subprocess
import sys

NETWORK_LIBRARY = re.compile(r"\blibcaf_(io|openssl|net)\b")
# Mangled names: caf::io, caf::openssl, caf::net, and BASP under whatever namespace.
NETWORK_SYMBOL = re.compile(r"N[KVRO]*3caf(2io|7openssl|3net)\d|4basp\d")
# A vague-linkage datum of the C++ runtime (std::) is the same in every library of
# the process, so it may show; so may the sanitizers' own names.
SHOWN = re.compile(r"^_Z(T[VISTh]|GV|Z)?(N[KVRO]*)?(8datamesh|S[tabsiod]|NSt|St)|^_ZN[KVRO]*(St|S[abso])|^datamesh_|^__(asan|odr_asan|ubsan|tsan)|^_(init|fini|edata|end|_bss_start)$|^__bss_start$")


def output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def defined(nm: str) -> list[str]:
    """Symbols of `nm -D` output that are defined, without what is weak and unique to templates."""
    shown = []
    for line in nm.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in "TDBRiuVWSG":
            shown.append(fields[2].split("@")[0])
    return shown


def findings(name: str, needed: str, nm: str, library: bool) -> list[str]:
    found = [f"{name} needs {match.group()}" for match in NETWORK_LIBRARY.finditer(needed)]
    found += [f"{name} has the symbol {symbol}" for symbol in nm.split() if NETWORK_SYMBOL.search(symbol)]
    if library:
        strangers = [symbol for symbol in defined(nm) if not SHOWN.search(symbol)]
        found += [f"{name} shows {symbol}" for symbol in strangers[:20]]
        if not any("8datamesh" in symbol for symbol in defined(nm)):
            found.append(f"{name} shows nothing of namespace datamesh")
    return found


def main(arguments: list[str]) -> int:
    library = arguments[:1] == ["--library"]
    files = arguments[1:] if library else arguments
    if not files:
        print(__doc__, file=sys.stderr)
        return 2
    found = []
    for name in files:
        found += findings(name, output("ldd", name), output("nm", "-D", name), library)
    print("\n".join(found) or f"{len(files)} looked at, nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
