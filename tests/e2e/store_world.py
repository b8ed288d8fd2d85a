"""A store over real folders that is treated badly, and what it must hold in spite of it."""

import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "apps", "datamesh"))
from program import Lines, World  # noqa: E402

CALLS = ("open", "write", "fdatasync", "fsync", "link", "rename", "unlink", "mkdir", "rmdir", "fallocate", "ftruncate", "read")


def quick_folder() -> str | None:
    """Memory instead of a disk where there is enough: a SIGKILL loses nothing that was
    written, so a sync has nothing to do here."""
    memory = "/dev/shm"
    if "TMPDIR" not in os.environ and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30:
        return memory
    return None


def content(seed: int, size: int) -> bytes:
    # In pieces: of 256 MiB and more at once Python makes none.
    source, piece = random.Random(seed), 64 << 20
    return b"".join(source.randbytes(min(piece, size - at)) for at in range(0, size, piece))


class Store(World):
    """A node with its drives below `store/`, opened by the device's key. `expected`
    says for each path which contents may stand there; None is absence. Where there is
    one, it was acknowledged."""

    def __init__(self, program: str, docs: str, drives: int = 6):
        tempfile.tempdir = quick_folder()
        super().__init__(program, docs)
        self.environment["DATAMESH_HOME"] = self.path("store", "home")
        del self.environment["DATAMESH_PASSWORD_FILE"]
        self.drives = [self.path("store", f"drive{i}") for i in range(drives)]
        self.expected: dict[str, list[bytes | None]] = {}
        self.counter = 0
        os.mkdir(self.path("store"))

    def init(self) -> None:
        self.good("init", "--no-password", *(word for drive in self.drives for word in ("--drive", drive)))

    def good(self, command: str, *arguments: str | bytes, **more) -> Lines:
        lines = self.json(command, *arguments, **more)
        if lines.code != 0:
            raise AssertionError(f"{command} {arguments} ended with {lines.code}: {lines.all}")
        return lines

    def fresh_folder(self, name: str) -> str:
        self.counter += 1
        path = self.path("work", f"{name}{self.counter}")
        os.makedirs(path)
        return path

    # -- snapshots ------------------------------------------------------------------

    def save(self) -> None:
        subprocess.run(["cp", "-a", self.path("store"), self.path("saved")], check=True)
        self.saved = {path: list(allowed) for path, allowed in self.expected.items()}

    def bring_back(self) -> None:
        subprocess.run(["chmod", "-R", "u+rwX", self.path("store")], check=True)
        shutil.rmtree(self.path("store"))
        subprocess.run(["cp", "-a", self.path("saved"), self.path("store")], check=True)
        self.expected = {path: list(allowed) for path, allowed in self.saved.items()}

    # -- running into trouble -------------------------------------------------------

    def start(self, arguments: list[str], variables: dict[str, str] | None = None) -> subprocess.Popen:
        with open(self.path("out"), "wb") as out, open(self.path("err"), "wb") as err:
            return subprocess.Popen(
                [self.program, *arguments, "--json"],
                env=self.variables(variables),
                cwd=self.path("work"),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def lines(self) -> list[dict]:
        """What the last started program printed; its last line may be torn."""
        with open(self.path("out"), "rb") as file:
            return [json.loads(line) for line in file.read().split(b"\n")[:-1]]

    def parsed(self, line: bytes) -> dict:
        try:
            return json.loads(line)
        except ValueError:
            raise AssertionError(f"a line that is no JSON: {line!r}") from None

    def acknowledged(self, code: int) -> bool:
        """Either the exit code or the summary tells a caller that it is done."""
        return code == 0 or any(line["message_type"] == "summary" and line.get("failed", 0) == 0 for line in self.lines())

    def shim(self, shim: str, call: str, at: int, error: int | None, below: list[str] | None = None, linger_ms: int = 0) -> dict[str, str]:
        """Variables that let call number *at* on files *below* fail with *error*, or kill
        after it has taken its time."""
        with open(self.path("tally"), "wb") as file:
            file.write(bytes(4096))
        sanitizer = self.environment.get("ASAN_OPTIONS", "")
        return {
            "LD_PRELOAD": shim,
            # The sanitizer wants to come first; the shim calls nothing of it.
            "ASAN_OPTIONS": sanitizer + (":" if sanitizer else "") + "verify_asan_link_order=0",
            "FAILING_BELOW": ":".join(below or [self.path("store")]),
            "FAILING_TALLY": self.path("tally"),
            "FAILING_CALL": call,
            "FAILING_AT": str(at),
            "FAILING_WITH": "kill" if error is None else str(error),
            "FAILING_LINGER": str(linger_ms),
        }

    def tally(self) -> tuple[dict[str, int], bool]:
        """How often each kind of call was made, and whether one was made to fail."""
        with open(self.path("tally"), "rb") as file:
            numbers = struct.unpack(f"<{len(CALLS) + 1}Q", file.read(8 * (len(CALLS) + 1)))
        return dict(zip(CALLS, numbers)), numbers[-1] != 0

    def run_with(self, arguments: list[str], variables: dict[str, str]) -> int:
        program = self.start(arguments, variables)
        try:
            return program.wait(timeout=240)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
            raise AssertionError(f"{arguments} hangs") from None

    def run_and_kill(self, arguments: list[str], seconds: float) -> int:
        program = self.start(arguments)
        try:
            program.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.kill(program.pid, signal.SIGKILL)
        return program.wait()

    # -- what must hold -------------------------------------------------------------

    def may_become(self, path: str, new: bytes | None, acknowledged: bool) -> None:
        old = self.expected.get(path, [None])
        self.expected[path] = [new] if acknowledged else old + [new]

    def look(self) -> dict[str, bytes]:
        """All files of the vault by path, fetched anew."""
        listed = [item["path"] for item in self.good("ls", "/", "-r").items if item["kind"] == "file"]
        if not listed:
            return {}
        folder = self.fresh_folder("look")
        self.good("get", "/*", "--to", folder)
        found = {}
        for path in listed:
            with open(folder + path, "rb") as file:
                found[path] = file.read()
        shutil.rmtree(folder)
        return found

    def check_content(self) -> None:
        """Every file is one that was acknowledged, or the one of a command that got no
        answer; from then on it has to stay."""
        found = self.look()
        for path, allowed in list(self.expected.items()):
            now = found.pop(path, None)
            if now not in allowed:
                told = "gone" if now is None else f"{len(now)} other bytes"
                raise AssertionError(f"{path} is {told}; {len(allowed)} contents may stand there")
            if now is None:
                del self.expected[path]
            else:
                self.expected[path] = [now]
        if found:
            raise AssertionError(f"nobody stored {sorted(found)}")

    def check_shards(self, missing_allowed: bool = False) -> None:
        lines = self.json("verify", "--deep")
        summary = lines.summary
        if summary["shards_damaged"] or summary["packs_lost"] or summary["files_lost"]:
            raise AssertionError(f"damage after a crash: {lines.all}")
        if summary["shards_missing"] and not missing_allowed:
            raise AssertionError(f"shards that were never written: {lines.all}")

    def shard_files(self) -> list[str]:
        return [os.path.join(folder, name) for drive in self.drives for folder, _, names in os.walk(os.path.join(drive, "shards")) for name in names]
