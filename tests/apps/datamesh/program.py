"""Runs the program in a world of its own: its home, settings and drives lie in one
temporary folder, and every line of JSON that it prints is held against the schema."""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import tempfile

import jsonschema

PASSWORD = "correct horse battery staple"


class World:
    """A temporary folder with the environment that points the program there."""

    def __init__(self, program: str, docs: str):
        self.program = os.path.abspath(program)
        with open(os.path.join(docs, "schemas", "command-line.json"), encoding="utf-8") as file:
            self.schema = json.load(file)
        self.folder_keeper = tempfile.TemporaryDirectory(prefix="datamesh-test-")
        self.folder = self.folder_keeper.name
        for name in ("config", "data", "run", "work"):
            os.mkdir(self.path(name), 0o700)
        self.write("password", PASSWORD + "\n")
        os.chmod(self.path("password"), 0o600)
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "XDG_CONFIG_HOME": self.path("config"),
            "XDG_DATA_HOME": self.path("data"),
            "XDG_RUNTIME_DIR": self.path("run"),
            "DATAMESH_PASSWORD_FILE": self.path("password"),
            "TMPDIR": self.folder,
            "LC_ALL": "C.UTF-8",
        }
        for name in os.environ:
            # What sanitizers are told.
            if name.endswith("SAN_OPTIONS"):
                self.environment[name] = os.environ[name]
        self.validators: dict[str, jsonschema.Draft202012Validator] = {}

    def close(self) -> None:
        self.folder_keeper.cleanup()

    def path(self, *names: str) -> str:
        return os.path.join(self.folder, *names)

    def write(self, name: str, content: str | bytes) -> str:
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def variables(self, changes: dict[str, str | None] | None) -> dict[str, str]:
        result = dict(self.environment)
        for name, value in (changes or {}).items():
            if value is None:
                result.pop(name, None)
            else:
                result[name] = value
        return result

    def run(self, *arguments: str | bytes, env: dict[str, str | None] | None = None, stdin: bytes | None = None) -> "Ended":
        # No terminal to open: a question must fail, not hang.
        done = subprocess.run(
            [self.program, *arguments],
            env=self.variables(env),
            cwd=self.path("work"),
            capture_output=True,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            start_new_session=True,
            timeout=240,
            check=False,
        )
        return Ended(arguments, done.returncode, done.stdout, done.stderr)

    def run_read_only(self, folder: str, *arguments: str) -> "Ended | None":
        """As `run`, where *folder* is mounted read-only. None where this machine lets nobody do that."""
        return self.run_apart('mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"', folder, *arguments)

    def run_apart(self, mounts: str, operand: str, *arguments: str, env: dict[str, str | None] | None = None) -> "Ended | None":
        """As `run`, as root of a namespace of its own after the shell's *mounts*, in which "$0" is *operand*."""
        alone = ["unshare", "-rm", "sh", "-c", mounts + ' && exec "$@"', operand]
        more = {"env": self.variables(env), "cwd": self.path("work"), "capture_output": True, "stdin": subprocess.DEVNULL, "timeout": 240, "check": False}
        if not shutil.which("unshare") or subprocess.run([*alone, "true"], **more).returncode != 0:
            return None
        done = subprocess.run([*alone, self.program, *arguments], **more)
        return Ended(arguments, done.returncode, done.stdout, done.stderr)

    def validator(self, command: str) -> jsonschema.Draft202012Validator:
        if command not in self.validators:
            name = command if command in self.schema["$defs"] else "exit_error"
            whole = {"$schema": self.schema["$schema"], "$ref": f"#/$defs/{name}", "$defs": self.schema["$defs"]}
            self.validators[command] = jsonschema.Draft202012Validator(whole)
        return self.validators[command]

    def json(self, command: str, *arguments: str | bytes, env: dict[str, str | None] | None = None, stdin: bytes | None = None) -> "Lines":
        """Runs *command* with --json; every line must match the schema of the command,
        and standard error must be empty."""
        ended = self.run(*command.split(), *arguments, "--json", env=env, stdin=stdin)
        if ended.err:
            raise AssertionError(f"{ended}: something on standard error with --json")
        lines = []
        for line in ended.out.decode().splitlines():
            value = json.loads(line)
            self.validator(command).validate(value)
            lines.append(value)
        if not lines:
            raise AssertionError(f"{ended}: no line at all")
        last = lines[-1]
        if (last["message_type"] == "exit_error") != (ended.code != 0):
            raise AssertionError(f"{ended}: the last line does not fit the exit code")
        kinds = [line["message_type"] for line in lines]
        if "summary" in kinds and kinds[kinds.index("summary") + 1 :] not in ([], ["exit_error"]):
            raise AssertionError(f"{ended}: something other than the exit code's line follows the summary")
        if ended.code != 0 and last["exit_code"] != ended.code:
            raise AssertionError(f"{ended}: the last line tells another exit code")
        return Lines(ended.code, lines)

    def terminal(self, *arguments: str, env: dict[str, str | None] | None = None) -> "Terminal":
        return Terminal([self.program, *arguments], self.variables(env), self.path("work"))


class Ended:
    def __init__(self, arguments, code: int, out: bytes, err: bytes):
        self.arguments, self.code, self.out, self.err = arguments, code, out, err

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def errors(self) -> str:
        return self.err.decode()

    def __str__(self) -> str:
        return f"{self.arguments} ended with {self.code}\n--- stdout\n{self.out.decode(errors='replace')}\n--- stderr\n{self.err.decode(errors='replace')}"


class Lines:
    def __init__(self, code: int, lines: list[dict]):
        self.code, self.all = code, lines

    def of(self, message_type: str) -> list[dict]:
        return [line for line in self.all if line["message_type"] == message_type]

    @property
    def items(self) -> list[dict]:
        return self.of("item")

    @property
    def summary(self) -> dict:
        return self.of("summary")[-1]

    @property
    def failure(self) -> dict:
        return self.of("exit_error")[-1]


class Terminal:
    """The program on a terminal of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: str):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir(folder)
                os.execve(command[0], command, environment)
            finally:
                os._exit(127)
        self.seen = b""

    def read_until(self, text: str, seconds: float = 60) -> None:
        while text.encode() not in self.seen:
            if not self.read_some(seconds):
                raise AssertionError(f"the terminal never showed {text!r}, but {self.seen!r}")

    def read_some(self, seconds: float) -> bool:
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def interrupt(self) -> None:
        os.kill(self.pid, signal.SIGINT)

    def end(self) -> int:
        """Reads all that is left and answers the exit code."""
        while self.read_some(60):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)
