#!/usr/bin/env python3
"""How soon a daemon that starts on a large set answers, and what it holds then.

    bench/start.py build/src/server/hopfieldd [--M 4194304] [--d 64] [--packing full] [--rounds 3] [--keep FOLDER]

Uploads M x d rows once, then starts the daemon again and again on the same data directory, whose file the system has
in its cache by then. Printed a round: seconds from the start of the process to the first answer, which is compared with
the answer before the restart, within both bounds; to the set being in memory, packed, where it was mapped first; to
`ready`; and the resident megabytes at the first answer and in the end (of files and of its own). As a measure of the
machine, in the same run: seconds to read the file with one thread.
"""
import argparse
import array
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

BLOCK_ROWS = 65536
ASK_SECONDS = 0.02  # apart: who asks takes processors from who loads
NAME = "start"


def rows_of(d, seed):
    rng = random.Random(seed)
    return array.array("f", (rng.gauss(0, 1) for _ in range(BLOCK_ROWS * d)))


def start(binary, folder, packing, log):
    port_file = os.path.join(folder, "port")
    if os.path.exists(port_file):
        os.unlink(port_file)
    began = time.monotonic()
    process = subprocess.Popen([binary, "--listen", "127.0.0.1:0", "--data-dir", os.path.join(folder, "data"),
                                "--packing", packing, "--port-file", port_file], stdout=log, stderr=log)
    while True:
        try:
            with open(port_file, encoding="ascii") as file:
                return process, int(file.read()), began
        except (OSError, ValueError):
            assert process.poll() is None, "the daemon ended"
            time.sleep(0.001)


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def ask(port, method, path, body=None, kind="application/json"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request(method, path, body, {"Content-Type": kind, "Accept": "application/json"})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, json.loads(data) if data else None


def upload(port, M, d, block):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.putrequest("PUT", f"/v1/admin/sets/{NAME}?d={d}")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Content-Length", str(4 * M * d))
    connection.endheaders()
    bytes_of_block = memoryview(block).cast("B")
    for first in range(0, M, BLOCK_ROWS):
        connection.send(bytes_of_block[:4 * d * min(BLOCK_ROWS, M - first)])
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status in (200, 201), text


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        text = file.read()
    return [int(re.search(rf"{name}:\s+(\d+)", text).group(1)) / 1024 for name in ("RssAnon", "RssFile", "VmHWM")]


def answer_of(port, query):
    return ask(port, "POST", f"/v1/sets/{NAME}/retrieve", json.dumps({"queries": [query], "mode": "dense"}))


def same(one, other):
    most = one["error_bound"][0] + other["error_bound"][0]
    return all(abs(a - b) <= most for a, b in zip(one["retrieved"][0], other["retrieved"][0]))


def await_log(path, words, process):
    while True:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if words in text:
            return True
        if process.poll() is not None or "could not be" in text:
            return False
        time.sleep(ASK_SECONDS)


def measure(binary, folder, packing, query, before):
    path = os.path.join(folder, "log")
    with open(path, "w", encoding="utf-8") as log:
        process, port, began = start(binary, folder, packing, log)
        while True:
            status, answer = answer_of(port, query)
            if status == 200:
                break
            assert status == 503, answer
            time.sleep(ASK_SECONDS)
        answered = time.monotonic() - began
        assert same(answer, before), "another answer than before the restart"
        itself = answer["timing_ms"]["total"] / 1e3
        first = resident(process.pid)
        with open(path, encoding="utf-8") as file:
            mapped = "loaded, mapped" in file.read()
        moved = await_log(path, "is in memory", process) if mapped else False
        in_memory = time.monotonic() - began
        while ask(port, "GET", f"/v1/sets/{NAME}")[1]["state"] != "ready":
            time.sleep(0.02)
        ready = time.monotonic() - began
        status, answer = answer_of(port, query)
        assert status == 200 and same(answer, before)
        last = resident(process.pid)
        stop(process)
    print(f"{packing:5} first answer {answered:6.3f} s (itself {itself:.3f}){' mapped' if mapped else ''}   "
          f"in memory {in_memory if moved else answered:6.3f} s   ready {ready:6.3f} s   "
          f"resident at the first answer {first[0]:.0f} own + {first[1]:.0f} of files, "
          f"at the end {last[0]:.0f} + {last[1]:.0f}, most {last[2]:.0f} MB", flush=True)


def read_speed(folder):
    path, = [entry.path for entry in os.scandir(os.path.join(folder, "data"))
             if entry.name.startswith(NAME + "@") and "maps" not in entry.name]
    buffer = bytearray(4 << 20)
    for _ in range(2):
        began = time.monotonic()
        with open(path, "rb", buffering=0) as file:
            total = 0
            while n := file.readinto(buffer):
                total += n
    print(f"the file: {total / 1e9:.3f} GB, read in {time.monotonic() - began:.3f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--M", type=int, default=1 << 22)
    parser.add_argument("--d", type=int, default=64)
    parser.add_argument("--packing", action="append", choices=["full", "keys", "none"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", help="a folder that keeps the set between calls")
    options = parser.parse_args()
    folder = options.keep or tempfile.mkdtemp(prefix="hopfieldd-start.")
    os.makedirs(folder, exist_ok=True)
    try:
        block = rows_of(options.d, 1)
        query = block[:options.d].tolist()
        before_path = os.path.join(folder, "answer")
        if not os.path.exists(before_path):
            with open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
                process, port, _ = start(options.binary, folder, "none", log)
                upload(port, options.M, options.d, block)
                status, before = answer_of(port, query)
                assert status == 200, before
                while ask(port, "GET", f"/v1/sets/{NAME}")[1]["state"] != "ready":
                    time.sleep(0.1)
                stop(process)
            with open(before_path, "w", encoding="utf-8") as file:
                json.dump(before, file)
        with open(before_path, encoding="utf-8") as file:
            before = json.load(file)
        read_speed(folder)
        for packing in options.packing or ["full", "none"]:
            for _ in range(options.rounds):
                measure(options.binary, folder, packing, query, before)
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
