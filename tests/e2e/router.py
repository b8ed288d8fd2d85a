#!/usr/bin/env python3
"""router.py KIND: a router in the network namespace that it is started in, with the address INSIDE towards the house and
OUTSIDE towards everybody else. It gives ports as KIND says, leads their connections into the house, and prints a line for
each port that comes or goes. It ends with its standard input."""

import re
import selectors
import socket
import struct
import sys
import threading

INSIDE = "192.168.77.1"
OUTSIDE = "9.9.9.9"
GROUP = "239.255.255.250"
DESCRIPTION_PORT = 5000
SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"

# What each kind speaks, and how it is wicked. Of those that are wicked no port comes.
KINDS = {
    "nat-pmp": {"nat_pmp"},
    "upnp": {"upnp"},
    "upnp-for-ever": {"upnp", "for_ever"},
    "silent": set(),
    "behind-another": {"nat_pmp", "upnp", "private"},
    "refusing": {"nat_pmp", "upnp", "refuses"},
    "cut-short": {"nat_pmp", "upnp", "cut"},
    "noise": {"nat_pmp", "upnp", "noise"},
    "leading-elsewhere": {"upnp", "elsewhere"},
    "dripping": {"upnp", "drips"},
    "endless": {"upnp", "endless"},
}


def say(text: str) -> None:
    print(text, flush=True)


class Ports:
    """Ports outside that lead into the house, each by a listener of its own."""

    def __init__(self):
        self.lock = threading.Lock()
        self.led: dict[int, tuple[tuple[str, int], socket.socket]] = {}

    def add(self, outside: int, to: tuple[str, int]) -> bool:
        with self.lock:
            if outside in self.led:
                return self.led[outside][0] == to
            listener = socket.create_server((OUTSIDE, outside))
            self.led[outside] = (to, listener)
        threading.Thread(target=self.serve, args=(listener, to), daemon=True).start()
        say(f"leads {outside} to {to[0]}:{to[1]}")
        return True

    def remove(self, outside: int) -> bool:
        with self.lock:
            if outside not in self.led:
                return False
            listener = self.led.pop(outside)[1]
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        say(f"ends {outside}")
        return True

    def of(self, to: tuple[str, int]) -> list[int]:
        with self.lock:
            return [outside for outside, (whom, _) in self.led.items() if whom == to]

    def serve(self, listener: socket.socket, to: tuple[str, int]) -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=pass_on, args=(connection, to), daemon=True).start()


def pass_on(connection: socket.socket, to: tuple[str, int]) -> None:
    with connection, socket.create_connection(to) as other, selectors.DefaultSelector() as ready:
        ready.register(connection, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, connection)
        while True:
            for key, _ in ready.select():
                try:
                    piece = key.fileobj.recv(65536)
                    if not piece:
                        return
                    key.data.sendall(piece)
                except OSError:
                    return


class Router:
    def __init__(self, kind: str):
        self.ways = KINDS[kind]
        self.outside = "10.1.2.3" if "private" in self.ways else OUTSIDE
        self.ports = Ports()

    def start(self) -> None:
        if "nat_pmp" in self.ways:
            asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            asked.bind((INSIDE, 5351))
            threading.Thread(target=self.serve_nat_pmp, args=(asked,), daemon=True).start()
        if "upnp" in self.ways:
            searched = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            searched.bind((GROUP, 1900))
            searched.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(INSIDE))
            threading.Thread(target=self.serve_search, args=(searched,), daemon=True).start()
            described = socket.create_server((INSIDE, DESCRIPTION_PORT))
            threading.Thread(target=self.serve_http, args=(described,), daemon=True).start()

    # -- NAT-PMP ----------------------------------------------------------------------------

    def serve_nat_pmp(self, asked: socket.socket) -> None:
        while True:
            request, whom = asked.recvfrom(64)
            answer = self.answer_nat_pmp(request, whom[0])
            if "cut" in self.ways:
                answer = answer[:-1]
            if "noise" in self.ways:
                answer = b"\xff" * 1000
            asked.sendto(answer, whom)

    def answer_nat_pmp(self, request: bytes, whom: str) -> bytes:
        code = 2 if "refuses" in self.ways else 0
        head = struct.pack(">BBHI", 0, request[1] | 0x80, code, 1)
        if len(request) == 2:
            return head + socket.inet_aton(self.outside)
        inside, outside, lifetime = struct.unpack(">HHI", request[4:12])
        if lifetime == 0:
            for port in self.ports.of((whom, inside)):
                self.ports.remove(port)
        elif code == 0:
            while not self.ports.add(outside, (whom, inside)):
                outside += 1
        return head + struct.pack(">HHI", inside, outside, lifetime)

    # -- UPnP -------------------------------------------------------------------------------

    def serve_search(self, searched: socket.socket) -> None:
        host = "192.168.77.66" if "elsewhere" in self.ways else INSIDE
        while True:
            request, whom = searched.recvfrom(2048)
            if not request.startswith(b"M-SEARCH * HTTP/1.1\r\n"):
                continue
            answer = f"HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://{host}:{DESCRIPTION_PORT}/desc.xml\r\n\r\n"
            # From the port of its own that routers answer by, so that it has the address inside.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaks:
                speaks.bind((INSIDE, 0))
                speaks.sendto(answer.encode()[:40] if "cut" in self.ways else answer.encode(), whom)

    def serve_http(self, listener: socket.socket) -> None:
        while True:
            connection, whom = listener.accept()
            threading.Thread(target=self.answer_http, args=(connection, whom[0]), daemon=True).start()

    def answer_http(self, connection: socket.socket, whom: str) -> None:
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            head, body = request.split(b"\r\n\r\n", 1)
            size = re.search(rb"content-length: *(\d+)", head.lower())
            while size and len(body) < int(size[1]):
                body += connection.recv(4096)
            try:
                self.send_http(connection, *self.answer(head.decode(), body.decode(), whom))
            except OSError:
                pass  # Who asked has had enough.

    def send_http(self, connection: socket.socket, status: str, content: str) -> None:
        if "noise" in self.ways:
            connection.sendall(b"\xff" * 1000)
        elif "endless" in self.ways:
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"<service>" * 1000)
        elif "drips" in self.ways:
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            connection.settimeout(0.2)
            while True:
                try:
                    if not connection.recv(1):
                        return
                except TimeoutError:
                    connection.sendall(b"<")
        else:
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n{content}".encode())

    def answer(self, head: str, body: str, whom: str) -> tuple[str, str]:
        if head.startswith("GET /desc.xml "):
            return "200 OK", f"<root><device><serviceList><service><serviceType>{SERVICE}</serviceType><controlURL>/control</controlURL></service></serviceList></device></root>"
        action = re.search(rf'soapaction: "{SERVICE}#(\w+)"', head, re.IGNORECASE)
        if not head.startswith("POST /control ") or not action:
            return "404 Not Found", ""
        said = dict(re.findall(r"<(New\w+)>([^<]*)</", body))
        code = self.act(action[1], said)
        if code:
            return "500 Internal Server Error", f"<s:Fault><detail><UPnPError><errorCode>{code}</errorCode></UPnPError></detail></s:Fault>"
        return "200 OK", f"<u:{action[1]}Response><NewExternalIPAddress>{self.outside}</NewExternalIPAddress></u:{action[1]}Response>"

    def act(self, action: str, said: dict[str, str]) -> int:
        """What it is refused with, or 0."""
        if "refuses" in self.ways:
            return 606
        if action == "AddPortMapping":
            if "for_ever" in self.ways and said["NewLeaseDuration"] != "0":
                return 725
            return 0 if self.ports.add(int(said["NewExternalPort"]), (said["NewInternalClient"], int(said["NewInternalPort"]))) else 718
        if action == "DeletePortMapping":
            return 0 if self.ports.remove(int(said["NewExternalPort"])) else 714
        return 0 if action == "GetExternalIPAddress" else 401


def main() -> None:
    Router(sys.argv[1]).start()
    say("up")
    sys.stdin.read()


if __name__ == "__main__":
    main()
