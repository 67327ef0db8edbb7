#!/usr/bin/env python3
"""How long a large upload takes, beside cp, sync and sha256sum of the same file in the same run.

    bench/load.py build/src/server/hopfieldd [--M 8000000] [--d 64] [--packing full] [--keep FOLDER] [--json]

Makes a file of M x d f32 numbers as npy, copies it (cp), makes the copy durable (sync FILE) and sums it (sha256sum);
then PUTs it over loopback to a daemon of its own, with ?sha256= and without maps, and waits for the acknowledgement:
rows checked, model packed, file written and synced. One line a packing. As much memory as the set will take is touched
just before by another process: a virtual machine may get its memory only then, at a fraction of the speed of memory.
Of the disk it needs three times the file's bytes, of memory what the set takes; everything is removed again. Python's
standard library is all it needs.
"""

import argparse
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time

PIECE_ROWS_BYTES = 16 << 20
PATIENCE_S = 600


def write_npy(path, M, d):
    """Random f32 of both signs, from 1/2 to 2 in size. Pieces repeat with other signs: their cost is the same."""
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (M, d)
    text += " " * (-(10 + len(text) + 1) % 64) + "\n"
    rng = random.Random(1)
    rows = max(1, min(M, PIECE_ROWS_BYTES // (4 * d)))
    piece = bytearray(rng.randbytes(4 * d * rows))
    signs = bytes(0x3F if b < 128 else 0xBF for b in range(256))
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())
        left = 4 * d * M
        while left > 0:
            piece[3::4] = rng.randbytes(len(piece) // 4).translate(signs)
            file.write(piece[:left])
            left -= len(piece)
        file.flush()
        os.fsync(file.fileno())


TOUCH = """
import mmap, sys, time
n = int(sys.argv[1])
for _ in range(2):
    room = mmap.mmap(-1, n)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        room.madvise(mmap.MADV_HUGEPAGE)
    start = time.monotonic()
    for i in range(0, n, 4096):
        room[i] = 1
    print(time.monotonic() - start)
    room.close()
"""


def touch(n):
    """Seconds to get n bytes of memory, the first time and again."""
    said = subprocess.run([sys.executable, "-c", TOUCH, str(n)], check=True, capture_output=True, text=True).stdout
    return [float(word) for word in said.split()]


def timed(*command):
    start = time.monotonic()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return time.monotonic() - start, said


def peers(path, copy):
    """Seconds of cp, sync and sha256sum, and the sum."""
    seconds = {}
    seconds["cp"], _ = timed("cp", path, copy)
    seconds["sync"], _ = timed("sync", copy)
    seconds["sha256sum"], said = timed("sha256sum", copy)
    os.unlink(copy)
    return seconds, said.split()[0]


class Daemon:
    def __init__(self, binary, folder, packing):
        self.folder = tempfile.mkdtemp(prefix="load-", dir=folder)
        port_file = os.path.join(self.folder, "port")
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(
            [binary, "--listen", "127.0.0.1:0", "--port-file", port_file, "--packing", packing]
            + ["--data-dir", os.path.join(self.folder, "sets")],
            stdin=subprocess.DEVNULL,
            stderr=self.log,
            env={"PATH": os.environ.get("PATH", ""), "HOPFIELDD_CALIBRATE": "off"},
        )
        give_up = time.monotonic() + 30
        while not os.path.exists(port_file):
            if self.process.poll() is not None or time.monotonic() > give_up:
                sys.exit("the daemon did not start: see %s" % self.log.name)
            time.sleep(0.01)
        with open(port_file) as file:
            self.port = int(file.read())

    def resident_bytes(self, what):
        with open("/proc/%d/status" % self.process.pid) as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith(what + ":"))

    def put(self, path, query):
        """Seconds until the last byte was sent, and until the answer was there."""
        size = os.path.getsize(path)
        with socket.create_connection(("127.0.0.1", self.port)) as sock, open(path, "rb") as file:
            sock.settimeout(PATIENCE_S)
            start = time.monotonic()
            sock.sendall(
                b"PUT /v1/admin/sets/load?%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-npy\r\n"
                b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (query.encode(), size)
            )
            sock.sendfile(file)
            sent = time.monotonic() - start
            answer = b""
            while piece := sock.recv(65536):
                answer += piece
            done = time.monotonic() - start
        status = answer.split(b"\r\n", 1)[0]
        if b" 201 " not in status + b" ":
            sys.exit("the upload was refused: %r" % answer[:2000])
        return sent, done

    def stop(self):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def load(binary, folder, packing, path, digest):
    daemon = Daemon(binary, folder, packing)
    try:
        before = daemon.resident_bytes("VmRSS")
        sent, done = daemon.put(path, "max_degree=0" + ("&sha256=" + digest if digest else ""))
        return {
            "packing": packing,
            "sent_seconds": sent,
            "seconds": done,
            "resident_before_bytes": before,
            "resident_bytes": daemon.resident_bytes("VmRSS"),
            "resident_peak_bytes": daemon.resident_bytes("VmHWM"),
        }
    finally:
        daemon.stop()


def say(run):
    print(
        "packing %-5s %.2f GB: sent %.2f s, acknowledged %.2f s; cp %.2f + sync %.2f + sha256sum %.2f s;"
        " speed %.2f of theirs; peak %.2f of the file; memory touched first %.1f s, then %.1f s"
        % (
            run["packing"],
            run["bytes"] / 1e9,
            run["sent_seconds"],
            run["seconds"],
            *(run["peers_seconds"][k] for k in ("cp", "sync", "sha256sum")),
            run["speed_ratio"],
            run["peak_over_file"],
            *run["touched_seconds"],
        ),
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary", help="the daemon")
    parser.add_argument("--M", type=int, default=8000000)
    parser.add_argument("--d", type=int, default=64)
    parser.add_argument("--packing", action="append", help="as the daemon's; several: one run each. full and none")
    parser.add_argument("--keep", metavar="FOLDER", help="where files go; the npy stays there and is used again")
    parser.add_argument("--no-sha256", action="store_true", help="PUT without ?sha256=")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = options.keep or tempfile.mkdtemp(prefix="hopfieldd-load.")
    os.makedirs(folder, exist_ok=True)
    try:
        path = os.path.join(folder, "%dx%d.npy" % (options.M, options.d))
        if not os.path.exists(path):
            write_npy(path, options.M, options.d)
        size = os.path.getsize(path)
        runs = []
        for packing in options.packing or ["full", "none"]:
            seconds, digest = peers(path, os.path.join(folder, "copy"))
            touched = touch((2 if packing == "none" else 4) * size)  # now: some systems take it back in seconds
            run = load(options.binary, folder, packing, path, None if options.no_sha256 else digest)
            run.update({"bytes": size, "touched_seconds": touched, "peers_seconds": seconds})
            run["speed_ratio"] = sum(seconds.values()) / run["seconds"]
            run["peak_over_file"] = (run["resident_peak_bytes"] - run["resident_before_bytes"]) / size
            runs.append(run)
            if not options.json:
                say(run)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        print(json.dumps(runs, indent=1))


if __name__ == "__main__":
    main()
