#!/usr/bin/env python3
"""kill -9 at random moments, while sets are created, replaced, appended to, cut down, set and deleted, and read.

After every restart every acknowledged change is there, an unacknowledged one is there whole or not at all, every set
answers as the clients' own copy of it does, and the data directory holds nothing that docs/SNAPSHOT.md does not name.

The long run, by hand, with the environment of the tests: HOPFIELDD_CRASH_CYCLES=300 python3 test_crash.py
"""

import os
import random
import re
import shutil
import signal
import tempfile
import threading
import time

import harness
import ledger
import tap
from harness import Daemon

CYCLES = int(os.environ.get("HOPFIELDD_CRASH_CYCLES", "4" if harness.FAST else "12"))
SEED = int(os.environ.get("HOPFIELDD_CRASH_SEED", "1"))
LONG = CYCLES >= 100
READERS = 2

KINDS = {
    "plain": ledger.Kind(d=4, max_degree=2),
    "named": ledger.Kind(d=3, p=2, labels=True, similarity="centered_cosine", max_degree=1),
    "shared": ledger.Kind(d=2, p=1, labels=True, limits=(3, 6, 12), rows=2),
    # Rows of 2 KiB: its log is long enough to be compacted after a few dozen changes.
    "wide": ledger.Kind(d=512, limits=(3, 20, 150), rows=32, raw=True),
}
WRITERS = ("plain", "named", "shared", "shared", "wide")

GONE = (OSError, harness.http.client.HTTPException)  # what a client sees of a daemon that was killed


class Crash(tap.Case):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hopfieldd-data-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.ledger = ledger.Ledger(KINDS)
        self.compacted = self.checked = 0
        self.over = threading.Event()

    def start(self):
        daemon = Daemon("--workers", "2", data_dir=self.folder).start()
        self.addCleanup(daemon.kill)
        return daemon

    def wait_loaded(self, daemon):
        give_up = time.monotonic() + harness.PATIENCE_S
        while True:
            ready = daemon.get("/readyz").json()
            if ready["status"] != "loading":
                self.assertTrue(all(s["state"] != "failed" for s in ready["sets"]), ready)
                return
            self.assertLess(time.monotonic(), give_up, ready)
            time.sleep(0.01)

    # ---- clients ---------------------------------------------------------------------------------------

    def write(self, daemon, name, rng):
        """One change after the other until the daemon is gone or takes no more."""
        while True:
            change = self.ledger.propose(name, rng)
            try:
                answer = change.send(daemon)
            except GONE:
                return
            if answer.status == 503:
                self.ledger.refuse(name, change)
                return
            if answer.status in (404, 409, 412) and WRITERS.count(name) > 1:
                self.ledger.refuse(name, change)
                continue
            wanted = 204 if change.after is None else 201 if change.before is None else 200
            assert answer.status == wanted, (name, change.verb, answer)
            self.ledger.settle(name, change, answer)

    def read(self, daemon, rng):
        """Every answer is that of one state that the set may have had, named by its version."""
        while not self.over.is_set():
            name = rng.choice(list(KINDS))
            state = self.ledger.known[name]
            if state is None:
                time.sleep(0.001)
                continue
            ask = state.questions(rng)
            ask["top"] = ledger.TOP_MOST
            try:
                answer = daemon.retrieve(name, ask, check=False)
            except GONE:
                return
            if answer.status in (404, 503):
                continue
            assert answer.status == 200, (name, answer)
            said = answer.json()
            objections = [s.objection(ask, said) for s in self.ledger.states_of(name, said["version"])]
            assert None in objections, "%s, version %d: %s" % (name, said["version"], objections)
            self.checked += 1

    def run_clients(self, daemon, rng, end):
        """Writers and readers until end() has ended the daemon."""
        failures, threads = [], []
        self.over.clear()

        def guarded(work, *arguments):
            try:
                work(daemon, *arguments)
            except BaseException as failure:  # carried to the test's own thread
                failures.append(failure)

        for name in WRITERS:
            threads.append(threading.Thread(target=guarded, args=(self.write, name, random.Random(rng.random()))))
        for _ in range(READERS):
            threads.append(threading.Thread(target=guarded, args=(self.read, random.Random(rng.random()))))
        for thread in threads:
            thread.start()
        time.sleep(rng.uniform(0, 0.4))
        end()
        self.over.set()
        for thread in threads:
            thread.join(harness.PATIENCE_S)
            self.assertFalse(thread.is_alive(), "a client hangs")
        if failures:
            raise failures[0]

    # ---- after a restart -------------------------------------------------------------------------------

    def check_folder(self):
        """One snapshot a set, a log only where it leads to the set's version, and maps of either; nothing else."""
        left, files = set(os.listdir(self.folder)), {}
        for file in left:
            match = re.fullmatch(r"(\w+)@(\d+)\.(safetensors|maps\.safetensors|log)", file)
            self.assertTrue(match, "%s in %r" % (file, left))
            files.setdefault(match.group(1), {}).setdefault(match.group(3), []).append(int(match.group(2)))
        self.assertEqual(set(files), {n for n, s in self.ledger.known.items() if s is not None}, left)
        for name, versions in files.items():
            state = self.ledger.known[name]
            (snapshot,) = versions.pop("safetensors")
            self.assertIn(snapshot, range(state.put_version, state.version + 1), left)
            for kind, found in versions.items():
                self.assertEqual(len(found), 1, left)
                self.assertIn(found[0], (snapshot, state.version), left)
                self.assertFalse(kind == "log" and found[0] != snapshot, left)
            if snapshot < state.version:
                self.assertIn("log", versions, left)
            self.compacted += state.put_version < snapshot
        return left

    def check_all(self, daemon, rng):
        self.wait_loaded(daemon)
        for name in KINDS:
            state = self.ledger.resolve(name, daemon, rng)
            if state is not None:
                daemon.wait_ready(name)
        # What a restart finds to tidy or to compact is done in the background.
        harness.eventually(self.check_folder)

    def cycle(self, rng):
        daemon = self.start()
        self.check_all(daemon, rng)
        if rng.random() < 0.15:
            self.run_clients(daemon, rng, daemon.stop)
        else:
            self.run_clients(daemon, rng, lambda: daemon.process.send_signal(signal.SIGKILL))
            daemon.kill()
        while rng.random() < 0.3:  # and again while it starts
            daemon = self.start()
            time.sleep(rng.uniform(0, 0.03))
            daemon.kill()

    def test_what_was_acknowledged_survives_kill(self):
        rng = random.Random(SEED)
        for number in range(CYCLES):
            try:
                self.cycle(rng)
            except BaseException:
                print("# seed %d, cycle %d of %d, files: %r" % (SEED, number, CYCLES, sorted(os.listdir(self.folder))))
                raise
        daemon = self.start()
        self.check_all(daemon, rng)
        daemon.stop()
        counts = self.ledger.counts
        print("# seed %d, %d cycles: acknowledged %r" % (SEED, CYCLES, counts))
        print("# %d answers of readers checked, %d restarts found a compacted set" % (self.checked, self.compacted))
        self.assertGreater(sum(counts.values()), 0)
        if LONG:
            for verb in ("put", "append", "remove", "patch", "delete"):
                self.assertGreater(counts.get(verb, 0), CYCLES // 10, counts)
            self.assertGreater(self.compacted, CYCLES // 10)


if __name__ == "__main__":
    tap.main()
