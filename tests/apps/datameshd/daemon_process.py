"""The real daemon over a world of its own, with a notify socket that the test reads."""

import os
import queue
import signal
import socket
import subprocess
import threading

LIMIT = 60


class Daemon:
    """datameshd with the settings that it is given; it is ready when it has been made."""

    def __init__(self, program: str | list[str], world, config: str = "", closed: int | None = None):
        self.world = world
        self.config = world.write("config/datamesh/datameshd.toml", config)
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = world.path("notify")
        if os.path.exists(path):
            os.unlink(path)
        self.notices.bind(path)
        self.log = open(world.path("log"), "ab+")
        self.process = subprocess.Popen(
            [program] if isinstance(program, str) else program, env={**world.environment, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "300000"}, stderr=self.log, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
            preexec_fn=None if closed is None else lambda: os.close(closed),
        )
        self.heard: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()
        self.wait_for("READY=1")

    def listen(self):
        while True:
            text = self.notices.recv(4096).decode()
            self.heard.put(text)
            if text == "END":
                self.notices.close()
                return

    @property
    def socket_path(self) -> str:
        return self.world.path("run", "datamesh", "control.sock")

    def wait_for(self, word: str) -> str:
        while True:
            try:
                text = self.heard.get(timeout=LIMIT)
            except queue.Empty as late:
                raise AssertionError(f"the daemon never said {word}: {self.said()}") from late
            if word in text.split("\n"):
                return text

    def wait_to_say(self, words: str):
        """Looks at the log whenever the watchdog is told that all is well."""
        while words not in self.said():
            self.wait_for("WATCHDOG=1")

    def said(self) -> str:
        if self.log.closed:
            return self.last_words
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(LIMIT)
        made.connect(self.socket_path)
        return made

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(LIMIT)
        if not self.log.closed:
            self.last_words = self.said()
            self.log.close()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"END", self.world.path("notify"))
        return code
