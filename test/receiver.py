#!/usr/bin/env python3
"""A webhook receiver for the demo and the tests.

A real TLS server in a process of its own.  The URL chooses how it behaves, so
a test needs no side channel: /status/500,500,200 fails twice for each event
and then succeeds.  Every request is journaled before it is answered.
"""
import argparse
import base64
import collections
import contextlib
import functools
import hashlib
import hmac
import http.client
import inspect
import itertools
import json
import os
import re
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse
import warnings
import zlib

HANG, CLOSE, RESET = "hang", "close", "reset"
REQUEST_LINE = re.compile(rb"([A-Z]+) (/[\x21-\x7e]*) HTTP/1\.1")
HEADER = re.compile(rb"([!#-'*+.^_`|~\w-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


def head(status, length, *headers):
    reason = http.client.responses.get(int(status), "Odd")
    return "\r\n".join([f"HTTP/1.1 {status} {reason}", *headers,
                        f"Content-Length: {length}", "", ""]).encode()


def answer(status, body=b"ok", *headers):
    """An ordinary answer, as a behaviour."""
    return [int(status), head(status, len(body), *headers) + body]


def endless(start, piece):
    return itertools.chain([200, start], itertools.repeat(piece))


@functools.cache
def zipped_zeros(mebibytes):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = [packer.compress(bytes(1 << 20)) for _ in range(mebibytes)]
    return b"".join(packed) + packer.flush()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OPEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"  # more headers may follow
FLOOD = b"X-Flood: " + b"x" * 1000 + b"\r\n"
HELLO_REQUESTS = b"\x16\3\3\x40\0" + bytes(0x4000)  # 4 bytes each
HANGS = {"answer": [None], "headers": [200, OPEN[:25]],
         "body": [200, head(200, 9) + b"ok"]}
INFINITE = {"chunked": (CHUNKED, b"4000\r\n" + b"x" * 0x4000 + b"\r\n"),
            "plain": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 0x4000)}
FLOODS = {"headers": (OPEN, FLOOD), "line": (OPEN + b"X-Flood: ", b"x" * 1000),
          "trailers": (CHUNKED + b"2\r\nok\r\n0\r\n", FLOOD)}
INTERIM = {"100": b"HTTP/1.1 100 Continue\r\n\r\n",
           "103": b"HTTP/1.1 103 Early Hints\r\n" + FLOOD * 4 + b"\r\n"}
MALFORMED = {
    "nonsense": b"HELLO\r\n\r\n",
    "nul": OPEN + b"X-Nul: a\0b\r\n\r\nok",
    "status": OPEN.replace(b"200", b"2OO") + b"\r\nok",
    "chunk": CHUNKED + b"xyz\r\nok\r\n0\r\n\r\n",
    "length": OPEN.replace(b": 2", b": " + b"9" * 20) + b"\r\nok",
    "lengths": OPEN + b"Content-Length: 3\r\n\r\nok",
}

# What each kind of URL does: first the status that it will answer, which is
# journaled (None: no answer), then bytes to send, seconds to wait (floats),
# or how the connection ends.  Arguments are the rest of the path.
BEHAVIOURS = {
    "ok": lambda request, *anything: answer(200),
    # The n-th request of an event gets the n-th status, then the last.
    "status": lambda request, statuses: answer(
        request.take_turn(statuses.split(","))),
    "delay": lambda request, ms, status="200": [
        int(status), int(ms) / 1000, answer(status)[1]],
    "hang": lambda request, where="answer": [*HANGS[where], HANG],
    "drip": lambda request, length="1000": itertools.chain(
        [200, head(200, length)], *[[0.1, b"."]] * int(length)),
    # Answers the first request of each connection, and is silent then.
    "once": lambda request, ms: [
        200, int(ms) / 1000, answer(200)[1]] if request.is_first else [
            None, HANG],
    "last": lambda request, status="200": [
        *answer(status, b"bye", "Connection: close"), CLOSE],
    "close": lambda request: [None, CLOSE],
    "reset": lambda request: [None, RESET],
    # 200, but less body than announced; a reset must not overtake it.
    "early-close": lambda request, end=CLOSE: [
        200, head(200, 1000) + b"only this", 0.05, end],
    # Answers before it reads the body.
    "early": lambda request, status: [
        *answer(status, b"early", "Connection: close"), CLOSE],
    "redirect": lambda request, status: answer(
        status, b"", "Location: " + request.query["to"]),
    "retry-after": lambda request, seconds, status: answer(
        status, b"later", "Retry-After: " + seconds),
    # And some time later another answer, which nobody has asked for.
    "unasked": lambda request, ms, status="200": [
        *answer(200), int(ms) / 1000, answer(status, b"unasked")[1]],
    # Sends back what it should keep to itself.
    "echo": lambda request, ms="0": [500, int(ms) / 1000, answer(
        500, f"got {request.first('authorization')}, thank you".encode(),
        f"X-Echo: {request.first('authorization')}")[1]],
    "gone": lambda request: answer(410, b"gone"),
    "body": lambda request, length: answer(200, b"x" * int(length)),
    "binary": lambda request: answer(
        200, b"\0nul \xff\xfe\xc3( \x1b[31mred\x1b]0;title\x07 \r\nline"),
    "odd-header": lambda request: [
        500, b"HTTP/1.1 500 Odd\r\nX-Odd: caf\xe9 \x1b[31m\xc3\xa9\xff\r\n"
        b"Content-Length: 0\r\n\r\n"],
    "infinite": lambda request, kind="chunked": endless(*INFINITE[kind]),
    "headers-flood": lambda request, kind="headers": endless(*FLOODS[kind]),
    "1xx-flood": lambda request, status="100": endless(b"", INTERIM[status]),
    "chunk-extension": lambda request: endless(CHUNKED + b"2;", b"x" * 4096),
    "gzip-bomb": lambda request, mebibytes="100": answer(
        200, zipped_zeros(int(mebibytes)), "Content-Encoding: gzip"),
    "status-line": lambda request, status: answer(status),  # any number
    "switch-101": lambda request: [
        101, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
        b"Connection: upgrade\r\n\r\n", HANG],
    "malformed": lambda request, kind="nonsense": [
        None, MALFORMED[kind], CLOSE],
}


class Request:
    """One request, read strictly: what HTTP/1.1 does not allow is refused."""
    turns = collections.Counter()
    turns_lock = threading.Lock()

    def __init__(self, header_bytes, is_first):
        self.time, self.monotonic = time.time(), time.monotonic()
        self.is_first = is_first  # on its connection
        first, *lines = header_bytes.split(b"\r\n")
        found = [REQUEST_LINE.fullmatch(first),
                 *[HEADER.fullmatch(line) for line in lines]]
        if None in found:
            raise ValueError("a malformed request")
        (self.method, self.path), *self.headers = [
            [text.decode("latin-1").strip(" \t") for text in match.groups()]
            for match in found]
        lengths = self.all("content-length")
        if len(self.all("host")) != 1 or len(lengths) > 1 \
                or self.all("transfer-encoding"):
            raise ValueError("needs one Host, one Content-Length, no chunks")
        self.length = int(lengths[0]) if lengths else 0
        self.id = self.first("webhook-id")
        self.body = None
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        self.kind, *self.arguments = [
            urllib.parse.unquote(part) for part in url.path[1:].split("/")]

    def all(self, name):
        """A header's values; "*-name" stands for any prefix."""
        return [value for key, value in self.headers if key.lower() == name or
                name[0] == "*" and key.lower().endswith(name[1:])]

    def first(self, name):
        return next(iter(self.all(name)), None)

    def take_turn(self, statuses):
        """The status for this event's next request to this URL."""
        with self.turns_lock:
            turn = self.turns[self.path, self.id]
            self.turns[self.path, self.id] += 1
        return statuses[min(turn, len(statuses) - 1)]

    def behave(self):
        """What to do, as (status, steps)."""
        try:
            steps = iter(BEHAVIOURS[self.kind](self, *self.arguments))
        except (KeyError, TypeError, ValueError):
            steps = iter(answer(404, b"no such behaviour"))
        return next(steps), steps


class Verifier:
    """Judges signatures as a careful customer does."""

    def __init__(self, secrets, tolerance):
        self.secrets = [secret.encode() for secret in secrets]
        self.keys = [self.standard_key(secret) for secret in secrets]
        self.tolerance = tolerance or float("inf")

    @staticmethod
    def standard_key(secret):
        """The key in a Standard Webhooks secret, None if it is not one."""
        with contextlib.suppress(ValueError):
            key = base64.b64decode(secret[6:], validate=True)
            return key if secret[:6] == "whsec_" and 24 <= len(key) <= 64 \
                else None

    def signers(self, request):
        """By kind, the number of the secret behind each signature, or None."""
        stamp = request.first("webhook-timestamp")
        signed = f"{request.id}.{stamp}.".encode("latin-1") + request.body
        own = [b"sha256=" + mac(secret, request.body).hex().encode()
               for secret in self.secrets]
        standard = [key and b"v1," + base64.b64encode(mac(key, signed))
                    for key in self.keys]
        lists = request.all("webhook-signature")
        found = {"own": [which(own, value) for value
                         in request.all("*-signature") if value not in lists]}
        if lists or any(self.keys):
            found["standard"] = [which(standard, value)
                                 for value in " ".join(lists).split()]
        return found

    def judge(self, request, signers):
        if not any(signers.values()):
            return "absent"
        good = signers["own"] and None not in signers["own"]
        if "standard" in signers:  # of a rotation's list, one is enough
            stamp = request.first("webhook-timestamp") or ""
            good = good and set(signers["standard"]) - {None} and \
                stamp.isdecimal() and \
                abs(int(stamp) - request.time) <= self.tolerance
        return "valid" if good else "INVALID"


def mac(key, data):
    return hmac.digest(key, data, hashlib.sha256)


def which(candidates, value):
    return next((number for number, candidate in enumerate(candidates)
                 if candidate and
                 hmac.compare_digest(candidate, value.encode())), None)


class Connection:
    def __init__(self, client, number, peer_port):
        self.socket, self.number, self.peer_port = client, number, peer_port
        self.buffer = b""
        self.is_new = True

    def secure(self, context):
        self.socket.settimeout(60)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.socket.settimeout(None)

    def read_head(self):
        """A request's head without its empty line; empty: the client left."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                return b""
            self.buffer += data
            if not self.buffer[:1].isupper() or len(self.buffer) > 1 << 20:
                raise ValueError("not an HTTP request")
        header_bytes, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return header_bytes

    def read_body(self, length):
        parts, missing = [self.buffer], length - len(self.buffer)
        while missing > 0:
            parts.append(self.socket.recv(65536))
            missing -= len(parts[-1])
            if not parts[-1]:
                raise ConnectionError("the client left in mid-body")
        data = b"".join(parts)
        self.buffer = data[length:]
        return data[:length]

    def play(self, steps):
        """Do what a behaviour says; true if the connection lives on."""
        for step in steps:
            if isinstance(step, bytes):
                self.socket.sendall(step)
            elif isinstance(step, float):
                time.sleep(step)
            else:
                return self.end(step)
        return True

    def end(self, how):
        if how == HANG:
            while self.socket.recv(65536):
                pass
        elif how == RESET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        elif isinstance(self.socket, ssl.SSLSocket):
            self.socket.settimeout(0)  # say good-bye, wait for none
            with contextlib.suppress(OSError):
                self.socket.unwrap()
        return False


class Receiver:
    def __init__(self, options):
        self.options = options
        self.print_lock = threading.Lock()
        self.journal = options.journal and os.open(
            options.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.context = None if options.plain else self.make_context()

    def make_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.options.cert, self.options.key)
        if self.options.tls_max:
            version = ssl.TLSVersion["TLSv" + self.options.tls_max.
                                     removesuffix(".0").replace(".", "_")]
            warnings.simplefilter("ignore", DeprecationWarning)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")  # what 1.1 needs
            context.minimum_version = context.maximum_version = version
        if self.options.tls_flood == "tickets":
            context.num_tickets = 1_000_000
        return context

    def run(self):
        address = self.options.address, self.options.port
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        listener = socket.create_server(address, family=family, backlog=1024,
                                        dualstack_ipv6=address[0] == "::")
        port = listener.getsockname()[1]
        if self.options.ready_file:
            new_file = self.options.ready_file + ".new"
            with open(new_file, "w", encoding="ascii") as file:
                print(port, file=file)
            os.replace(new_file, self.options.ready_file)
        else:
            print(f"listening on port {port}", file=sys.stderr)
        for number in itertools.count(1):
            client, peer = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.options.connections:
                self.note_connection(client)
            connection = Connection(client, number, peer[1])
            threading.Thread(target=self.serve, args=[connection],
                             daemon=True).start()

    def note_connection(self, client):
        """Which of our addresses was dialled, IPv4 as such."""
        address, port = client.getsockname()[:2]
        address = address.removeprefix("::ffff:")
        with open(self.options.connections, "a", encoding="ascii") as file:
            print(address, port, file=file)

    def serve(self, connection):
        try:
            if self.options.tls_hang:
                connection.end(HANG)
            elif self.options.tls_abort:
                connection.socket.recv(1)
                connection.end(RESET)
            elif self.options.tls_flood == "handshakes":
                connection.socket.recv(1)
                connection.play(itertools.repeat(HELLO_REQUESTS))
            else:
                self.serve_requests(connection)
        except OSError as error:
            print(f"connection {connection.number}: {error}", file=sys.stderr)
        finally:
            connection.socket.close()

    def serve_requests(self, connection):
        if self.context:
            connection.secure(self.context)
        try:
            while self.answer_next(connection):
                pass
        except ValueError as error:
            print(f"connection {connection.number}: {error}", file=sys.stderr)
            connection.play([*answer(400, str(error).encode())[1:], CLOSE])

    def answer_next(self, connection):
        """Serve one request; true if another may follow."""
        header_bytes = connection.read_head()
        if not header_bytes:
            return False
        request = Request(header_bytes, connection.is_new)
        connection.is_new = False
        if request.kind != "early":
            request.body = connection.read_body(request.length)
        status, steps = request.behave()
        self.record(request, status, connection)
        return connection.play(steps) and \
            (request.first("connection") or "").lower() != "close"

    def record(self, request, status, connection):
        body, attempt = request.body, request.first("*-attempt") or ""
        entry = {
            "time": request.time, "monotonic": request.monotonic,
            "connection": connection.number, "port": connection.peer_port,
            "resumed": getattr(connection.socket, "session_reused", None),
            "method": request.method, "path": request.path,
            "headers": request.headers, "id": request.id,
            "attempt": int(attempt) if attempt.isdecimal() else None,
            "sha256": None, "body": None, "status": status}
        if body is not None:
            entry["sha256"] = hashlib.sha256(body).hexdigest()
            with contextlib.suppress(UnicodeDecodeError):
                entry["body"] = body.decode()
        secrets = self.secrets()
        if secrets and body is not None:
            verifier = Verifier(secrets, self.options.tolerance)
            entry["signers"] = verifier.signers(request)
            entry["signature"] = verifier.judge(request, entry["signers"])
        if self.journal:
            os.write(self.journal, json.dumps(entry).encode() + b"\n")
        if self.options.pretty:
            with self.print_lock:
                print(pretty(entry), flush=True)

    def secrets(self):
        """Those of the command line and, read anew, those of the file."""
        secrets = list(self.options.secret)
        if self.options.secret_file:
            with contextlib.suppress(FileNotFoundError), \
                    open(self.options.secret_file, encoding="utf-8") as file:
                secrets += file.read().splitlines()
        return secrets


def pretty(entry):
    """A request as a person wants to see it."""
    clock = time.strftime("%H:%M:%S", time.localtime(entry["time"]))
    lines = [f"{clock}  {entry['method']} {entry['path']}"]
    lines += [f"{name}: {value}" for name, value in entry["headers"]
              if name.lower() not in ("host", "accept", "content-length")]
    lines += ["", entry["body"] or "(no text)", ""]
    if "signature" in entry:
        lines.append("signature " + entry["signature"])
    lines.append(f"answered {entry['status'] or 'nothing'}")
    return re.sub(r"[^\n -~\xa1-\U0010ffff]", "?", "\n    ".join(lines) + "\n")


def parse_options():
    parser = argparse.ArgumentParser(
        description=inspect.cleandoc(__doc__),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="behaviours: /" + " /".join(BEHAVIOURS))
    option = parser.add_argument
    option("--cert")
    option("--key")
    option("--address", default="127.0.0.1", help="::: all, IPv4 too")
    option("--port", type=int, default=0, help="0 (the default): a free one")
    option("--ready-file", help="gets the port once the receiver listens")
    option("--journal", help="one JSON line for each request is appended")
    option("--connections", help="gets a line for each: the address dialled")
    option("--secret", action="append", default=[],
           help="verify signatures (again for an older one; newest first)")
    option("--secret-file", help="more of them, read at each request")
    option("--tolerance", type=int, default=300, metavar="SECONDS",
           help="how far off a timestamp may be; 0: any")
    option("--pretty", action="store_true", help="show requests on stdout")
    option("--plain", action="store_true", help="HTTP without TLS")
    option("--tls-max", choices=["1.0", "1.1", "1.2"], help="this TLS version only")
    option("--tls-hang", action="store_true", help="accept, say nothing")
    option("--tls-abort", action="store_true", help="reset in the handshake")
    option("--tls-flood", choices=["handshakes", "tickets"],
           help="ask for a new handshake, or give tickets, without end")
    options = parser.parse_args()
    if not options.plain and not (options.cert and options.key):
        parser.error("--cert and --key are needed without --plain")
    return options


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.reconfigure(errors="backslashreplace")
    Receiver(parse_options()).run()
