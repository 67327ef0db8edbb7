"""A daemon under test and a client for it.

Holds: starting and stopping hopfieldd on a free loopback port, one-connection-a-request HTTP, raw sockets for
requests that no client library would send, npy bytes, and reading Prometheus text. Every answer that goes
through Daemon.request() is checked against docs/openapi.json (contract.py). What the answers should hold
is left to the tests; exact arithmetic to oracle.py.

Environment
    HOPFIELDD_BINARY     the daemon to test (needed)
    HOPFIELDD_TEST_FAST  1: less work and longer time-outs, for sanitizer builds
    HOPFIELDD_VALGRIND   1: the daemon runs under valgrind --leak-check=full; by hand, slow
    HOPFIELDD_TEST_WRAPPER   what runs a daemon that was built for another machine: words of a command
"""

import array
import base64
import http.client
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from decimal import Decimal

import contract

FAST = os.environ.get("HOPFIELDD_TEST_FAST", "0") not in ("", "0")
VALGRIND = os.environ.get("HOPFIELDD_VALGRIND", "0") not in ("", "0")

# Nothing here asserts how long anything takes: a wait this long means that it hangs.
PATIENCE_S = 300.0 if VALGRIND else 120.0 if FAST else 40.0

JSON = "application/json"
NPY = "application/x-npy"
OCTETS = "application/octet-stream"
PROBLEM = "application/problem+json"

SANITIZER_MARKS = (
    "AddressSanitizer",
    "LeakSanitizer",
    "ThreadSanitizer",
    "UndefinedBehaviorSanitizer",
    "runtime error:",
    "Assertion",
    "stack smashing",
)


def binary():
    path = os.environ.get("HOPFIELDD_BINARY")
    if not path or not os.access(path, os.X_OK):
        sys.exit("HOPFIELDD_BINARY does not name a daemon that can be run")
    return path


# ---- bytes ---------------------------------------------------------------------------------------------


def f32(value):
    """The f32 nearest to value, as a Python float; overflow gives an infinity."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def f32_rows(rows):
    return [[f32(v) for v in row] for row in rows]


def pack_f32(rows):
    flat = array.array("f", (v for row in rows for v in row))
    if sys.byteorder == "big":
        flat.byteswap()
    return flat.tobytes()


def npy_header(descr, shape, fortran=False, version=(1, 0), pad_to=64, extra=""):
    """The bytes before the data; arguments are written down as they are, true or not."""
    text = "{'descr': %s, 'fortran_order': %s, 'shape': %s, %s}" % (
        descr if descr.startswith("[") else "'%s'" % descr,
        fortran,
        shape,
        extra,
    )
    size = struct.calcsize("<H" if version[0] == 1 else "<I")
    padding = -(8 + size + len(text) + 1) % pad_to
    text = text + " " * padding + "\n"
    return (
        b"\x93NUMPY"
        + bytes(version)
        + struct.pack("<H" if version[0] == 1 else "<I", len(text))
        + text.encode("latin-1")
    )


def npy(rows, descr="<f4", fortran=False, version=(1, 0)):
    """A 2-D npy of the rows."""
    code = {"<f4": "f", "<f8": "d", "<f2": "e", "|u1": "B"}[descr]
    cells = [v for row in rows for v in row] if not fortran else [v for column in zip(*rows) for v in column]
    shape = "(%d, %d)" % (len(rows), len(rows[0]))
    return npy_header(descr, shape, fortran, version) + struct.pack("<%d%s" % (len(cells), code), *cells)


def read_npy(data):
    """Rows of a 2-D C-order '<f4' npy such as the daemon sends; anything else is an error."""
    assert data[:6] == b"\x93NUMPY", "no npy magic: %r" % data[:16]
    assert data[6] == 1, "npy version %d" % data[6]
    size = struct.unpack_from("<H", data, 8)[0]
    assert (10 + size) % 64 == 0, "npy data is not 64-byte aligned"
    header = eval(data[10 : 10 + size].decode("latin-1"), {"__builtins__": {}})  # a dict literal by the format
    assert header["descr"] == "<f4" and header["fortran_order"] is False, header
    rows, columns = header["shape"]
    assert len(data) == 10 + size + 4 * rows * columns, "npy length does not match its shape"
    flat = struct.unpack_from("<%df" % (rows * columns), data, 10 + size)
    return [list(flat[i * columns : (i + 1) * columns]) for i in range(rows)]


def b64_f32(rows):
    return base64.b64encode(pack_f32(rows)).decode()


def uniform_rows(seed, rows, columns, low=-1.0, high=1.0):
    """Deterministic f32 rows."""
    rng = random.Random(seed)
    return [[f32(rng.uniform(low, high)) for _ in range(columns)] for _ in range(rows)]


# ---- answers -------------------------------------------------------------------------------------------


class Answer:
    """One HTTP answer. headers are lower-case; json() reads floats as f64, exact() as Decimal."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def type(self):
        return self.headers.get("content-type", "").split(";")[0].strip()

    def json(self):
        return json.loads(self.body)

    def exact(self):
        return json.loads(self.body, parse_float=Decimal)

    def __repr__(self):
        return "<%d %s %r>" % (self.status, self.type, self.body[:300])


def read_metrics(text):
    """{(name, (('label', 'value'), ...)): number} of a Prometheus text exposition."""
    series = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r'([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})? (\S+)', line)
        assert match, "not a sample line: %r" % line
        labels = tuple(sorted(re.findall(r'([A-Za-z_][A-Za-z0-9_]*)="((?:[^"\\]|\\.)*)"', match.group(2) or "")))
        key = (match.group(1), labels)
        assert key not in series, "series twice: %r" % line
        series[key] = float(match.group(3))
    return series


def metric(series, name, **labels):
    """Sum of the series with this name and at least these labels."""
    want = set(labels.items())
    found = [v for (n, have), v in series.items() if n == name and want <= set(have)]
    assert found, "no series %s%r" % (name, labels)
    return sum(found)


def eventually(check):
    """Run check() until it raises no AssertionError: for what the daemon does just after it has answered."""
    give_up = time.monotonic() + PATIENCE_S / 4
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)


# ---- the daemon ----------------------------------------------------------------------------------------


class Daemon:
    """hopfieldd on a free port of 127.0.0.1. Use as a context manager, or start() and stop()."""

    def __init__(self, *options, env=None, listen="127.0.0.1:0", data_dir=None):
        self.options = list(options)
        self.keep = ["--no-persist"] if data_dir is None else ["--data-dir", data_dir]
        self.env = env or {}
        self.listen = listen
        self.process = None
        self.port = None
        self.stderr = ""
        self.folder = tempfile.mkdtemp(prefix="hopfieldd-test-")

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    def command(self, *arguments):
        wrap = shlex.split(os.environ.get("HOPFIELDD_TEST_WRAPPER", ""))
        if VALGRIND:
            wrap = [
                "valgrind",
                "--quiet",
                "--leak-check=full",
                "--errors-for-leak-kinds=definite,indirect",
                "--error-exitcode=99",
            ]
        return wrap + [binary(), *arguments]

    def start(self):
        port_file = os.path.join(self.folder, "port")
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith("HOPFIELDD_") or k == "HOPFIELDD_ISA"
        }
        # Built-in costs: what auto chooses is then the same at every start.
        environment.update(
            {"HOME": self.folder, "XDG_STATE_HOME": self.folder, "HOPFIELDD_CALIBRATE": "off", **self.env}
        )
        self.log = open(os.path.join(self.folder, "log"), "w+b")
        self.process = subprocess.Popen(
            self.command("--listen", self.listen, "--port-file", port_file, *self.keep, *self.options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            env=environment,
            cwd=self.folder,
        )
        give_up = time.monotonic() + PATIENCE_S
        while not os.path.exists(port_file):
            if self.process.poll() is not None or time.monotonic() > give_up:
                text = self.read_log()
                self.kill()
                raise AssertionError("the daemon did not start (exit %r): %s" % (self.process.returncode, text))
            time.sleep(0.01)
        with open(port_file) as file:
            self.port = int(file.read())
        return self

    def read_log(self):
        with open(os.path.join(self.folder, "log"), "rb") as file:
            return file.read().decode("utf-8", "replace")

    def finish(self):
        """Wait for the exit code of a daemon that has been told to stop; keep its log, remove its folder."""
        process, self.process = self.process, None
        try:
            return process.wait(PATIENCE_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            self.log.close()
            self.stderr = self.read_log()
            shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        """SIGTERM; a clean stop is exit 0 with nothing from a sanitizer in the log."""
        if self.process is None:
            return
        alive = self.process.poll() is None
        if alive:
            self.process.send_signal(signal.SIGTERM)
        code = self.finish()
        assert alive, "the daemon died by itself (exit %d):\n%s" % (code, self.stderr[-6000:])
        assert code == 0, "exit %d after SIGTERM:\n%s" % (code, self.stderr[-6000:])
        for mark in SANITIZER_MARKS:
            assert mark not in self.stderr, self.stderr[-8000:]

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.finish()

    # -- asking --

    def request(self, method, path, body=None, type=None, headers=None, check=True, timeout=None):
        """One request on a connection of its own. body: bytes, str, or what json.dumps takes (as JSON)."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            type = type or JSON
        if isinstance(body, str):
            body = body.encode()
        if type is not None:
            headers["Content-Type"] = type
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout or PATIENCE_S)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body is not None and "Content-Length" not in headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            reply = connection.getresponse()
            answer = Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())
        finally:
            connection.close()
        if check:
            contract.check(method, path, answer)
        return answer

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def put(self, name, body, query="", **more):
        return self.request("PUT", "/v1/admin/sets/%s%s" % (name, query), body, **more)

    def delete(self, name, **more):
        return self.request("DELETE", "/v1/admin/sets/%s" % name, **more)

    def retrieve(self, name, body, query="", **more):
        return self.request("POST", "/v1/sets/%s/retrieve%s" % (name, query), body, **more)

    def metrics(self):
        return read_metrics(self.get("/metrics").body.decode())

    def wait_ready(self, name):
        """Wait until nothing of the set is left to build; its description."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            description = self.get("/v1/sets/" + name).json()
            if description["state"] == "ready":
                return description
            assert description["state"] in ("building", "loading"), description
            assert time.monotonic() < give_up, "still %(state)s" % description
            time.sleep(0.02)

    def wait_metric(self, name, at_least, **labels):
        """Wait until a gauge or counter reaches a value."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            value = metric(self.metrics(), name, **labels)
            if value >= at_least:
                return value
            assert time.monotonic() < give_up, "%s stays at %r" % (name, value)
            time.sleep(0.01)

    # -- below HTTP libraries --

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def raw(self, data):
        """Send bytes as they are, read one answer; None where the daemon closes without one."""
        with self.connect() as sock:
            sock.sendall(data)
            return read_answer(sock)


def read_answer(sock):
    """One answer from a socket (Content-Length only); None at a clean close or a reset before the first byte."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                assert not data, "half an answer: %r" % data
                return None
            data += piece
    except ConnectionResetError:
        assert not data, "half an answer: %r" % data
        return None
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
    if status in (100, 204, 304):
        return Answer(status, headers, b"")
    length = int(headers.get("content-length", 0))
    while len(body) < length:
        piece = sock.recv(65536)
        if not piece:
            break
        body += piece
    return Answer(status, headers, body[:length])


class Clients:
    """Threads that each run a function until told to stop; their first failure is raised by join()."""

    def __init__(self):
        self.stop = threading.Event()
        self.failures = []
        self.threads = []

    def run(self, function, *arguments):
        def body():
            try:
                function(*arguments)
            except BaseException as failure:  # carried to the test's own thread
                self.failures.append(failure)
                self.stop.set()

        thread = threading.Thread(target=body, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def join(self):
        for thread in self.threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a client hangs"
        if self.failures:
            raise self.failures[0]
