"""Network namespaces that a test makes and takes away, wires between them, and a router's rules."""

import os
import shutil
import subprocess


class Namespaces:
    """Those of one test, by short names. `made` has their whole names, in the order in which they came."""

    def __init__(self, prefix: str):
        self.prefix = f"{prefix}{os.getpid()}"
        self.made: list[str] = []

    def name(self, of: str) -> str:
        return f"{self.prefix}-{of}"

    def add(self, *names: str) -> None:
        for one in names:
            subprocess.run(["ip", "netns", "add", self.name(one)], check=True)
            self.made.append(self.name(one))
            self.up(one, "lo")

    def enter(self, name: str) -> list[str]:
        """What stands before a command that is to run there."""
        return ["nsenter", f"--net=/run/netns/{self.name(name)}", "--"]

    def inside(self, name: str, *command: str, text: str = "") -> str:
        return subprocess.run([*self.enter(name), *command], check=True, input=text, text=True, stdout=subprocess.PIPE).stdout

    def up(self, name: str, device: str) -> None:
        self.inside(name, "ip", "link", "set", device, "up")

    def address(self, name: str, device: str, address: str) -> None:
        self.inside(name, "ip", "addr", "add", address, "dev", device)
        self.up(name, device)

    def wire(self, one: str, its: str, other: str, others: str) -> None:
        """Between a device in one and a device in the other."""
        self.inside(one, "ip", "link", "add", its, "type", "veth", "peer", "name", others, "netns", self.name(other))

    def forward(self, router: str) -> None:
        self.inside(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def hide(self, router: str) -> None:
        """What is behind it: connections go out by the device `outer` with the router's address, and none comes in."""
        rules = "table ip hides { chain out { type nat hook postrouting priority 100; oifname outer masquerade; }\n"
        rules += "chain through { type filter hook forward priority 0; iifname outer ct state new drop; }\n}"
        self.inside(router, "nft", "-f", "-", text=rules)

    def close(self) -> None:
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], check=False)


def why_not(*programs: str) -> str | None:
    """Why this system has none for us, or not those programs."""
    for needed in ("ip", "nsenter", *programs):
        if not shutil.which(needed):
            return f"there is no program '{needed}'"
    probe = f"dmprobe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], stderr=subprocess.PIPE, check=False, text=True)
    if made.returncode != 0:
        return f"no network namespace can be made: {made.stderr.strip()}"
    inside = ["nsenter", f"--net=/run/netns/{probe}", "--"]
    tried = [("makes no veth pair", ["ip", "link", "add", "one", "type", "veth", "peer", "name", "other"])]
    if "nft" in programs:
        tried.append(("hides no house", ["nft", "add", "table", "ip", "probe"]))
    reason = None
    for what, command in tried:
        done = subprocess.run([*inside, *command], stderr=subprocess.PIPE, check=False, text=True)
        if done.returncode != 0:
            reason = f"the system {what}: {done.stderr.strip()}"
            break
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return reason
