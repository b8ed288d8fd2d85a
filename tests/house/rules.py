#!/usr/bin/env python3
"""The rules of the house, checked over the source tree.

    rules.py ROOT           every rule over the tree at ROOT
    rules.py ROOT RULE...   only these
    rules.py --list

Prints one line a finding ("path:line: rule: sentence") and exits 1 when there is
any. A rule is a generator over a `Tree`; rules_selftest.py shows every one of them
a sample that it must refuse.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Callable, Iterator


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    text: str


class Tree:
    """Paths, relative to the root and with slashes, with their text."""

    def __init__(self, files: dict[str, str]):
        self.files = files

    @staticmethod
    def of_folder(root: str) -> "Tree":
        files = {}
        for path in listed(root):
            full = os.path.join(root, path)
            if os.path.islink(full) or not os.path.isfile(full):
                continue
            text = ""
            if is_read(path):
                with open(full, encoding="utf-8", errors="replace") as file:
                    text = file.read()
            files[path] = text
        return Tree(files)

    def matching(self, top: tuple[str, ...], endings: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for path in sorted(self.files):
            if path.startswith(top) and path.endswith(endings):
                yield path, self.files[path]


def listed(root: str) -> list[str]:
    """Files of the tree, without what builds leave behind."""
    if os.path.exists(os.path.join(root, ".git")):
        command = ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        if out.returncode == 0:
            return [os.fsdecode(path) for path in out.stdout.split(b"\0") if path]
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith((".", "build")) and name != "node_modules"]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return found


CPP = (".cpp", ".hpp", ".c", ".h", ".cc")
HEADERS = (".hpp", ".h")
SOURCES = (".cpp", ".c", ".cc")
CODE_TOPS = ("libdatamesh/", "actors/", "apps/", "tests/", "benchmarks/", "docs/examples/")
EXPORTED = "libdatamesh/include/"
ENGINES = "libdatamesh/src/"


def is_read(path: str) -> bool:
    return path.endswith(CPP + (".proto", ".cmake", ".in", ".py", ".sh", ".txt", ".md")) or path.startswith("scripts/")


def is_actor_header(path: str) -> bool:
    return path.startswith(EXPORTED) and path.endswith("_actor.hpp")


# -- reading C++ --------------------------------------------------------------------

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|(?:u8|[uUL])?R"([^()\\\s]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\'', re.DOTALL
)


def bare(text: str) -> str:
    """The text with comments and literals blanked; lines stay where they are."""
    return TOKEN.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def includes(text: str) -> Iterator[tuple[int, str]]:
    for match in INCLUDE.finditer(text):
        yield line_of(text, match.start()), match.group(2)


def target_of(tree: Tree, path: str, name: str) -> str:
    """The file of the tree that `#include` *name* in *path* reaches, or ""."""
    here = os.path.dirname(path)
    roots = (here, "libdatamesh/include", "libdatamesh/src", "", "actors", "apps", "proto")
    if name.endswith(".pb.h"):
        name = name[: -len(".pb.h")] + ".proto"
    for root in roots:
        candidate = os.path.normpath(os.path.join(root, name))
        if candidate in tree.files:
            return candidate
    return ""


def words(tree: Tree, tops: tuple[str, ...], pattern: str, sentence: str, spared: Callable[[str], bool]) -> Iterator[Finding]:
    """Findings where code, not comment or literal, matches *pattern*."""
    compiled = re.compile(pattern)
    for path, text in tree.matching(tops, CPP):
        if spared(path):
            continue
        code = bare(text)
        for match in compiled.finditer(code):
            yield Finding(path, line_of(code, match.start()), sentence.format(match.group().strip()))


# -- rules ----------------------------------------------------------------------------

FLOORS = (("proto/", 0), (EXPORTED, 1), (ENGINES, 1), ("actors/", 2), ("apps/", 3))
NAMES = {0: "proto", 1: "the engines", 2: "the actors", 3: "the programs"}


def floor_of(path: str) -> int | None:
    if is_actor_header(path):
        return 2
    return next((floor for top, floor in FLOORS if path.startswith(top)), None)


def arrows(tree: Tree) -> Iterator[Finding]:
    """apps -> actors -> engines -> proto, and never back."""
    for path, text in tree.matching(("libdatamesh/", "actors/", "apps/"), CPP):
        own = floor_of(path)
        for line, name in includes(text):
            floor = floor_of(target_of(tree, path, name))
            if own is not None and floor is not None and floor > own:
                yield Finding(path, line, f"{NAMES[own]} must not include {name}, which belongs to {NAMES[floor]}")


# Rooms of the engines that must stand without those above them.
ROOMS = {"base": (), "crypto": ("base",), "storage": ("base", "crypto")}


def room_of(path: str) -> str:
    if path.startswith(ENGINES):
        return path[len(ENGINES) :].split("/")[0]
    if path.startswith(EXPORTED + "datamesh/") and path.count("/") > 3:
        return path[len(EXPORTED + "datamesh/") :].split("/")[0]
    return ""


def rooms(tree: Tree) -> Iterator[Finding]:
    """storage -> crypto -> base among the engines."""
    for path, text in tree.matching((ENGINES, EXPORTED), CPP):
        own = room_of(path)
        if own not in ROOMS or is_actor_header(path):
            continue
        for line, name in includes(text):
            room = room_of(target_of(tree, path, name))
            if room and room != own and room not in ROOMS[own]:
                yield Finding(path, line, f"room {own} must not include {name} of room {room}")


def no_caf_in_engines(tree: Tree) -> Iterator[Finding]:
    """An engine knows no actor framework."""
    for path, text in tree.matching(("libdatamesh/",), CPP):
        if is_actor_header(path):
            continue
        for line, name in includes(text):
            if name.startswith("caf/"):
                yield Finding(path, line, f"{name} belongs to the actors")
    yield from words(tree, ("libdatamesh/",), r"\bcaf\s*::", "{} belongs to the actors", is_actor_header)


LIBRARY_HEADERS = re.compile(
    r"^(caf|rocksdb|openssl|isa-l|sodium|boost|asio|google/protobuf|spdlog|CLI|prometheus|zdict)(/|\.h)|^(zstd|lz4|blake3|isa-l|erasure_code|curl/curl)\w*\.h$"
)
LIBRARY_NAMES = (
    r"\b(caf|rocksdb|boost|asio|spdlog|CLI|google\s*::\s*protobuf)\s*::"
    r"|\b(EVP|SSL|BIO|OSSL|ZSTD|RAND|crypto_pwhash|sodium|blake3|ec|gf)_\w+"
)


def engine_headers(tree: Tree) -> Iterator[Finding]:
    """Headers of the engines show no generated protobuf and no library behind them."""
    for path, text in tree.matching((ENGINES,), HEADERS):
        for line, name in includes(text):
            if name.endswith(".pb.h") or LIBRARY_HEADERS.search(name):
                yield Finding(path, line, f"{name} belongs into the source, not into the header")


def exported_headers(tree: Tree) -> Iterator[Finding]:
    """Exported headers name no type of CAF, protobuf, RocksDB, OpenSSL, ISA-L or Asio."""
    for path, text in tree.matching((EXPORTED,), HEADERS):
        if is_actor_header(path):
            continue
        for line, name in includes(text):
            target = target_of(tree, path, name)
            if name.endswith(".pb.h") or LIBRARY_HEADERS.search(name):
                yield Finding(path, line, f"an exported header must not include {name}")
            elif target and not target.startswith(EXPORTED):
                yield Finding(path, line, f"an exported header must not include {target}, which is not installed")
            elif is_actor_header(target):
                yield Finding(path, line, f"only *_actor.hpp may include {name}")
    yield from words(tree, (EXPORTED,), LIBRARY_NAMES, "an exported header must not name {}", is_actor_header)


def no_caf_network(tree: Tree) -> Iterator[Finding]:
    """CAF's own node protocol is neither included nor linked."""
    for path, text in tree.matching(CODE_TOPS, CPP):
        for line, name in includes(text):
            if re.match(r"caf/(io|openssl|net)/", name):
                yield Finding(path, line, f"{name} is CAF's own network")
    linked = re.compile(r"\b(lib)?caf[_-]?(io|openssl|net)\b|\bCAF::(io|openssl|net)\b", re.IGNORECASE)
    for path, text in tree.matching(("",), ("CMakeLists.txt", ".cmake", ".cmake.in", ".pc.in")):
        code = re.sub(r"#[^\n]*", "", text)
        for match in linked.finditer(code):
            yield Finding(path, line_of(code, match.start()), f"{match.group()} must not be linked")


def no_coroutines(tree: Tree) -> Iterator[Finding]:
    """g++ 12 miscompiles coroutines."""
    yield from words(
        tree, CODE_TOPS, r"\b(co_await|co_return|co_yield|use_awaitable)\b", "{}: g++ 12 miscompiles coroutines", lambda _: False
    )


def requests_end(tree: Tree) -> Iterator[Finding]:
    """A request has a finite timeout, or says by `until_answered` why it needs none."""
    yield from words(
        tree, ("actors/", "apps/"), r"\bcaf\s*::\s*infinite\b", "{}: see until_answered", lambda path: path == "actors/storage/ask.hpp"
    )


CLOCK = r"\b(system_clock|steady_clock|high_resolution_clock|utc_clock)\s*::\s*now\b|\b(clock_gettime|gettimeofday|localtime|gmtime)\s*\(|(?<![\w.>:])(std\s*::\s*|::\s*)?time\s*\(\s*(nullptr|NULL|0|&)"
CHANCE = r"\brandom_device\b|\b(getrandom|getentropy|RAND_bytes|RAND_priv_bytes|randombytes_\w+|arc4random\w*)\b|(?<![\w.>])s?rand\s*\(|\bmt19937(_64)?\b|\bdefault_random_engine\b"
DISK = r"\b(i|o)?fstream\b|\bstd\s*::\s*filesystem\b|\bf(re)?open\s*\(|(?<![\w>.:])::\s*(open|openat|openat2|creat|unlink|rename|mkdir|stat|fsync|fdatasync|pread|pwrite)\s*\("
WIRE = r"(?<![\w>.])::\s*(socket|connect|bind|listen|accept4?)\s*\("


def is_system_part(path: str) -> bool:
    return path.startswith(ENGINES + "base/system_") and path.endswith(".cpp")


def nothing_ambient(tree: Tree) -> Iterator[Finding]:
    """Time, chance, disk and wire come from the environment alone."""
    tops = ("libdatamesh/", "actors/")
    for pattern, what in ((CLOCK, "clock"), (CHANCE, "random source"), (DISK, "file system"), (WIRE, "transport")):
        yield from words(tree, tops, pattern, "{} reaches past the " + what + " of the environment", is_system_part)
    for path, text in tree.matching(tops, CPP):
        if is_system_part(path):
            continue
        for line, name in includes(text):
            if name in ("fstream", "filesystem", "random") or name.startswith(("sys/socket", "netinet/", "arpa/")):
                yield Finding(path, line, f"<{name}> reaches past the environment")


SEAL = r"\bEVP_(Encrypt|Cipher|Seal)Init\w*|\bEVP_AEAD\w*|\bcrypto_(aead|secretbox|secretstream|box|stream)_\w+"
# The second runs AES-CTR, which seals nothing, over the files of ordered stores.
SEALERS = (ENGINES + "crypto/aead.cpp", ENGINES + "base/file_cipher.cpp")


def one_seal(tree: Tree) -> Iterator[Finding]:
    """Ciphers are run in one place, so that a tracer there sees every seal."""
    yield from words(tree, ("libdatamesh/", "actors/", "apps/"), SEAL, "{} belongs to crypto/aead.cpp", lambda path: path in SEALERS)


EMPTY_NAMES = {"util", "utils", "utility", "utilities", "helper", "helpers", "common", "misc", "manager", "managers"}


def names_say_something(tree: Tree) -> Iterator[Finding]:
    """No utils, helpers, common, misc or manager: name the thing."""
    for path in sorted(tree.files):
        if not path.startswith(CODE_TOPS + ("proto/", "scripts/", "cmake/", "deploy/")):
            continue
        for part in path.split("/"):
            found = EMPTY_NAMES.intersection(re.split(r"[^a-z]+", part.lower()))
            if found:
                yield Finding(path, 1, f"'{found.pop()}' says nothing about what is in it")
                break


SLEEP = r"\bsleep_(for|until)\b|(?<![\w.>])(u|nano)?sleep\s*\(|\bclock_nanosleep\b"


def tests_never_sleep(tree: Tree) -> Iterator[Finding]:
    """A test waits for what it needs, never for time to pass."""
    yield from words(tree, ("tests/",), SLEEP, "{} in a test", lambda _: False)
    for path, text in tree.matching(("tests/",), (".py", ".sh")):
        if path.startswith("tests/house/rules"):
            continue
        for match in re.finditer(r"^[^#\n]*?(\btime\.sleep\s*\(|(?:^|[;&|]|\bdo)\s*sleep\s+[\d$])", text, re.MULTILINE):
            yield Finding(path, line_of(text, match.start(1)), "sleep in a test")


TEST_CASE = re.compile(r'\b(TEST_CASE|SCENARIO|TEMPLATE_TEST_CASE|TEST_CASE_METHOD)\s*\(\s*(?:\w+\s*,\s*)?"((?:\\.|[^"\\])*)"')


def tests_are_sentences(tree: Tree) -> Iterator[Finding]:
    """The name of a test says what is so."""
    for path, text in tree.matching(("tests/",), (".cpp",)):
        for match in TEST_CASE.finditer(text):
            if len(match.group(2).split()) < 3:
                yield Finding(path, line_of(text, match.start()), f'"{match.group(2)}" is not a sentence')


def sources_are_listed(tree: Tree) -> Iterator[Finding]:
    """A source that no CMakeLists.txt names is not built, and nobody sees it rot."""
    lists = {}
    for path, text in tree.matching(("",), ("CMakeLists.txt",)):
        code = re.sub(r"#[^\n]*", "", text)
        lists[os.path.dirname(path)] = set(re.findall(r"[\w./+-]+", code))
    for path, _ in tree.matching(CODE_TOPS, SOURCES):
        folder = os.path.dirname(path)
        while True:
            if os.path.relpath(path, folder or ".") in lists.get(folder, ()):
                break
            if not folder:
                yield Finding(path, 1, "no CMakeLists.txt lists it")
                break
            folder = os.path.dirname(folder)
    for path, _ in tree.matching(("proto/",), (".proto",)):
        if os.path.relpath(path, "proto") not in lists.get("proto", ()):
            yield Finding(path, 1, "proto/CMakeLists.txt does not list it")


def lite_protos(tree: Tree) -> Iterator[Finding]:
    """Generated code is protobuf-lite, which keeps no registry in the process."""
    for path, text in tree.matching(("proto/",), (".proto",)):
        if not re.search(r"^option\s+optimize_for\s*=\s*LITE_RUNTIME\s*;", text, re.MULTILINE):
            yield Finding(path, 1, "option optimize_for = LITE_RUNTIME is missing")
        if not re.search(r"^package\s+datamesh\.v\d+\s*;", text, re.MULTILINE):
            yield Finding(path, 1, "its package must be datamesh.v<number>")
    full = re.compile(r"\bprotobuf::libprotobuf\b(?!-lite)")
    for path, text in tree.matching(("",), ("CMakeLists.txt", ".cmake")):
        if path.startswith("tests/consumer/"):
            continue
        for match in full.finditer(re.sub(r"#[^\n]*", "", text)):
            yield Finding(path, line_of(text, match.start()), "the full protobuf library must not be linked")


def guarded_headers(tree: Tree) -> Iterator[Finding]:
    """Headers carry #pragma once, and never a using-directive."""
    for path, text in tree.matching(CODE_TOPS, (".hpp",)):
        if not re.search(r"^#pragma once$", text, re.MULTILINE):
            yield Finding(path, 1, "#pragma once is missing")
        code = bare(text)
        for match in re.finditer(r"^\s*using\s+namespace\b", code, re.MULTILINE):
            yield Finding(path, line_of(code, match.end()), "using namespace in a header")


def links_lead_somewhere(tree: Tree) -> Iterator[Finding]:
    """A link in a document leads to a file that is there."""
    for path, text in tree.matching(("",), (".md",)):
        for match in re.finditer(r"\]\((?!\w+:)([^)#\s]+)(#[^)]*)?\)", re.sub(r"`[^`]*`", lambda code: " " * len(code.group()), text)):
            target = os.path.normpath(os.path.join(os.path.dirname(path), match.group(1)))
            if target not in tree.files and not any(other.startswith(target + "/") for other in tree.files):
                yield Finding(path, line_of(text, match.start()), f"{match.group(1)} is not there")


def one_version(tree: Tree) -> Iterator[Finding]:
    """CMake's project and the public header name the same version."""
    project = re.search(r"project\(datamesh[^)]*VERSION ([\d.]+)", tree.files.get("CMakeLists.txt", ""))
    header = EXPORTED + "datamesh/version.hpp"
    macros = re.findall(r"DATAMESH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", tree.files.get(header, ""))
    if not project or ".".join(macros) != project.group(1):
        yield Finding(header, 1, f"says {'.'.join(macros)}, CMakeLists.txt says {project.group(1) if project else 'nothing'}")


RULES = {
    rule.__name__: rule
    for rule in (
        arrows,
        rooms,
        no_caf_in_engines,
        engine_headers,
        exported_headers,
        no_caf_network,
        no_coroutines,
        requests_end,
        nothing_ambient,
        one_seal,
        names_say_something,
        tests_never_sleep,
        tests_are_sentences,
        sources_are_listed,
        lite_protos,
        guarded_headers,
        links_lead_somewhere,
        one_version,
    )
}


def main(arguments: list[str]) -> int:
    if arguments == ["--list"]:
        for name, rule in RULES.items():
            print(f"{name}: {rule.__doc__}")
        return 0
    if not arguments or any(name not in RULES for name in arguments[1:]):
        print(__doc__, file=sys.stderr)
        return 2
    tree = Tree.of_folder(arguments[0])
    if not any(path.startswith(ENGINES) for path in tree.files):
        print(f"{arguments[0]} is not the source tree", file=sys.stderr)
        return 2
    bad = 0
    for name in arguments[1:] or RULES:
        for finding in RULES[name](tree):
            print(f"{finding.path}:{finding.line}: {name}: {finding.text}")
            bad += 1
    print(f"{len(tree.files)} files, {bad} findings")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
