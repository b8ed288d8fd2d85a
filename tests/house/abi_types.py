#!/usr/bin/env python3
"""The layout of what the shared library offers, held against a committed baseline.

    abi_types.py LIBRARY HEADERS BASELINE            compare
    abi_types.py --update LIBRARY HEADERS BASELINE   write the baseline anew

The baseline is what libabigail's abidw says of the library: its soname, its strong
functions, and the types of the public headers that these lead to, with sizes, offsets,
enumerators and virtual functions. abidiff compares. Functions and types may be added;
any other change needs another soname, and --update refuses to write one without it
(--nothing-released overrules that, while no release has the soname).

To libabigail every result<T> is one and the same type: debug information names an alias
without what it is made with, and of these the first is looked at. So types that a result
holds are shown to it by a second library, made of the headers alone: BASELINE with
`.results` before its ending.

Types of the standard library are named only: their ABI is the compiler's to keep.
tests/house/abi.py looks at the list of symbols alone, where libabigail is missing.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as tree

SKIPPED = 77
ABI_CHANGE = 4  # Bits of abidiff's exit code.
SIZE_MAX = 1 << 20

ADVICE = """
What programs were built against has changed: they would read the wrong bytes. Before
1.0 raise the minor version, from 1.0 on the major one (project() in CMakeLists.txt,
which the soname follows, and libdatamesh/include/datamesh/version.hpp), and say so in
CHANGELOG.md. Then write the baseline anew:
  tests/house/abi_types.py --update LIBRARY libdatamesh/include tests/house/abi/libdatamesh.abi
As long as nothing was released with this soname, --nothing-released is enough.
"""

FOREIGN = re.compile(r"^(std|__gnu_cxx|tl)(::|$)")


def slim(xml: str) -> str:
    """Without what depends on the optimiser or belongs to others: weak symbols, functions
    that are not symbols of the library, and the insides of foreign classes."""
    corpus = tree.fromstring(xml)
    # The same library from whatever build folder.
    corpus.attrib.pop("path", None)
    symbols = corpus.find("elf-function-symbols")
    strong = set()
    if symbols is not None:
        for symbol in list(symbols):
            if symbol.get("binding") == "weak-binding":
                symbols.remove(symbol)
            else:
                strong.add(symbol.get("name"))
    variables = corpus.find("elf-variable-symbols")
    if variables is not None:
        corpus.remove(variables)

    def prune(element: tree.Element, scope: str) -> None:
        for child in list(element):
            if child.tag in ("member-function", "function-decl"):
                function = child if child.tag == "function-decl" else child.find("function-decl")
                if function is not None and function.get("elf-symbol-id") not in strong:
                    # A virtual function has its place even where it has no symbol.
                    if child.get("vtable-offset") is None or FOREIGN.match(scope):
                        element.remove(child)
                        continue
                    function.attrib.pop("elf-symbol-id", None)
                if child.tag == "member-function":
                    continue
            name = child.get("name", "")
            inner = scope
            if child.tag in ("namespace-decl", "class-decl", "union-decl"):
                inner = f"{scope}::{name}" if scope else name
            prune(child, inner)

    for number, unit in enumerate(corpus.findall("abi-instr")):
        unit.set("path", f"unit {number}")
        prune(unit, "")
    tree.indent(corpus, space=" ")
    return tree.tostring(corpus, encoding="unicode") + "\n"


def described(library: str, headers: str) -> str:
    with tempfile.NamedTemporaryFile(suffix=".abi") as out:
        options = ["--drop-private-types", "--drop-undefined-syms", "--exported-interfaces-only", "--no-show-locs", "--no-corpus-path", "--no-comp-dir-path"]
        options += ["--no-elf-needed", "--no-write-default-sizes", "--no-parameter-names", "--type-id-style", "hash"]
        subprocess.run(["abidw", "--headers-dir", headers, *options, "--out-file", out.name, library], check=True)
        with open(out.name, encoding="utf-8") as file:
            return slim(file.read())


def held_by_results(headers: str) -> dict[str, str]:
    """Classes of ours that a public header puts into a result, with the header that has them."""
    texts = {}
    for folder, _, names in os.walk(headers):
        for name in names:
            if name.endswith(".hpp") and not name.endswith("_actor.hpp"):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    texts[os.path.relpath(os.path.join(folder, name), headers)] = file.read()
    held = {word for text in texts.values() for inside in re.findall(r"\bresult<([\w:<> ]+)>", text) for word in re.findall(r"\w+", inside)}
    where = {}
    for path, text in texts.items():
        for name in re.findall(r"^(?:struct|class)(?: [A-Z_]+)? (\w+)(?: final)?(?: : [^{;]+)? {", text, re.MULTILINE):
            if name in held:
                where[name] = path
    return dict(sorted(where.items()))


def described_results(headers: str, name: str) -> str:
    """The same description of a library *name* that takes each of them."""
    held = held_by_results(headers)
    lines = [f'#include "{path}"' for path in sorted(set(held.values()))]
    lines += [f'__attribute__((visibility("default"))) void takes_{one}(datamesh::{one}*) {{}}' for one in held]
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "results.cpp")
        with open(source, "w", encoding="utf-8") as out:
            out.write("\n".join(lines) + "\n")
        command = [os.environ.get("CXX", "c++"), "-std=c++20", "-g2", "-femit-class-debug-always", "-fPIC", "-shared", "-fvisibility=hidden"]
        library = os.path.join(folder, "libresults.so")
        subprocess.run([*command, "-I", headers, f"-Wl,-soname,{name}", source, "-o", library], check=True)
        return described(library, headers)


def soname(xml: str) -> str:
    match = re.search(r"<abi-corpus [^>]*soname='?\"?([^'\" ]+)", xml)
    return match.group(1) if match else "none"


def incompatible(before: str, after: str) -> str:
    """abidiff's report of all that is not an addition; nothing when there is none."""
    with tempfile.NamedTemporaryFile("w", suffix=".abi") as old, tempfile.NamedTemporaryFile("w", suffix=".abi") as new:
        old.write(before)
        new.write(after)
        old.flush()
        new.flush()
        done = subprocess.run(
            ["abidiff", "--no-added-syms", "--ignore-soname", "--no-corpus-path", old.name, new.name], capture_output=True, text=True, check=False
        )
    if done.returncode & 3:
        raise RuntimeError(done.stderr or done.stdout)
    return done.stdout if done.returncode & ABI_CHANGE else ""


def judge(before: str, after: str) -> list[str]:
    """What is wrong with *after* where *before* was promised."""
    if soname(before) != soname(after):
        return [f"the soname is {soname(after)}, the baseline's {soname(before)}: write the baseline anew"]
    report = incompatible(before, after)
    return [report, ADVICE] if report else []


def write(path: str, built: str, free: bool) -> int:
    try:
        with open(path, encoding="utf-8") as file:
            before = file.read()
    except FileNotFoundError:
        before = built
    if not free and soname(before) == soname(built) and incompatible(before, built):
        print(f"programs that use {soname(built)} would break; it needs another soname first")
        return 1
    if len(built) > SIZE_MAX:
        print(f"{len(built)} bytes: too much to keep")
        return 1
    with open(path, "w", encoding="utf-8") as file:
        file.write(built)
    return 0


def main(arguments: list[str]) -> int:
    update = "--update" in arguments
    free = "--nothing-released" in arguments
    arguments = [word for word in arguments if not word.startswith("--")]
    if len(arguments) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    if not shutil.which("abidw") or not shutil.which("abidiff"):
        print("libabigail (abigail-tools) is not installed")
        return SKIPPED
    library, headers, path = arguments
    built = described(library, headers)
    if "put_request" not in built:
        print(f"{library} has no debug information of its types")
        return 1
    baselines = {path: built, path.removesuffix(".abi") + ".results.abi": described_results(headers, soname(built))}
    if update:
        return max(write(path, built, free) for path, built in baselines.items())
    found = []
    for path, built in baselines.items():
        with open(path, encoding="utf-8") as file:
            found += judge(file.read(), built)
    print("\n".join(found) or f"{soname(built)} is compatible with what was promised")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
