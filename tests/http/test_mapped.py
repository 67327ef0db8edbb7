#!/usr/bin/env python3
"""Large sets answer from their files before they are in memory: right, or not at all, whatever becomes of the files.

The daemon is stopped by a signal (SIGSTOP) when it has said that the set is mapped, so that nothing here depends on how
fast it is. Where it had gone on by then, the start is tried again.
"""

import array
import os
import random
import shutil
import signal
import tempfile
import time

import harness
import tap
from harness import Daemon

D = 64
BLOCK_ROWS = 2048
BLOCKS = 10 if harness.FAST else 20  # over what is read at once, 4 MiB
TRIES = 10
REASON = "its file was changed while it was mapped"


def rows_of(seed):
    rng = random.Random(seed)
    return array.array("f", (rng.uniform(-1, 1) for _ in range(BLOCK_ROWS * D)))


class Mapped(tap.Case):
    """'z', the largest, is the last to be mapped and the last to be read into memory; others go before it."""

    def setUp(self):
        self.parent = tempfile.mkdtemp(prefix="hopfieldd-data-")
        self.addCleanup(shutil.rmtree, self.parent, True)
        self.folder = os.path.join(self.parent, "sets")
        self.file = os.path.join(self.folder, "z@1.safetensors")
        self.copy = os.path.join(self.parent, "copy")
        block = rows_of(1)
        self.ask = {"queries": [list(block[:D]), list(block[D : 2 * D])], "mode": "dense", "beta": 2, "max_error": 1}
        with self.daemon() as daemon:
            for name, blocks in (("w", BLOCKS - 2), ("x", BLOCKS - 2), ("y", BLOCKS - 1), ("z", BLOCKS)):
                answer = daemon.put(name, block.tobytes() * blocks, "?d=%d&max_degree=0" % D, type=harness.OCTETS)
                self.assertEqual(answer.status, 201, answer)
            self.before = daemon.retrieve("z", self.ask).json()
        shutil.copy(self.file, self.copy)
        time.sleep(0.1)  # what was just written is not mapped

    def daemon(self):
        return Daemon("--workers", "2", data_dir=self.folder)

    def start_mapped(self):
        """A daemon that stands still with 'z' mapped, and not yet read into memory."""
        for _ in range(TRIES):
            daemon = self.daemon().start()
            self.addCleanup(daemon.kill)
            give_up = time.monotonic() + harness.PATIENCE_S
            while "set 'z': version 1 loaded" not in daemon.read_log():
                assert time.monotonic() < give_up, daemon.read_log()
                time.sleep(0.0005)
            daemon.process.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            log = daemon.read_log()
            self.assertIn("set 'z': version 1 loaded, mapped", log)
            if "set 'z': version 1 is in memory" not in log:
                return daemon
            daemon.process.send_signal(signal.SIGCONT)
            daemon.kill()
        return None

    def go_on(self, daemon):
        daemon.process.send_signal(signal.SIGCONT)

    def assert_right(self, answer):
        self.assertEqual((answer["version"], answer["L"]), (1, 2))
        for i, (one, other) in enumerate(zip(answer["retrieved"], self.before["retrieved"])):
            most = answer["error_bound"][i] + self.before["error_bound"][i]
            self.assertTrue(all(abs(a - b) <= most for a, b in zip(one, other)), (one, other, most))

    def state(self, daemon):
        return {s["name"]: s for s in daemon.get("/readyz").json()["sets"]}["z"]

    def wait_over(self, daemon, words):
        """Ask until the log says so: every answer is right, or says why there is none."""
        give_up = time.monotonic() + harness.PATIENCE_S
        while words not in daemon.read_log():
            assert time.monotonic() < give_up, daemon.read_log()
            answer = daemon.retrieve("z", self.ask)
            if answer.status == 200:
                self.assert_right(answer.json())
            else:
                self.assertEqual((answer.status, answer.json()["code"]), (503, "set_not_loaded"))
                self.assertIn(REASON, answer.json()["detail"])

    def test_answers_are_right_from_the_first_to_the_last_form(self):
        with self.daemon() as daemon:
            seen = 0
            give_up = time.monotonic() + harness.PATIENCE_S
            while "set 'z': version 1 is in memory" not in daemon.read_log() or seen < 3:
                assert time.monotonic() < give_up, daemon.read_log()
                answer = daemon.retrieve("z", self.ask)
                if answer.status == 200:
                    self.assert_right(answer.json())
                    seen += 1
                else:
                    self.assertEqual((answer.status, seen), (503, 0))  # it loads
            etag = daemon.get("/v1/sets/z").headers["etag"]
            self.assertEqual(daemon.wait_ready("z")["etag"], etag)
        self.assertIn("set 'z': version 1 loaded, mapped", daemon.stderr)

    def test_a_file_cut_off_while_it_is_mapped(self):
        daemon = self.start_mapped()
        if not daemon:
            self.skipTest("this daemon is never seen with a mapped set")
        os.truncate(self.file, 100000)
        self.go_on(daemon)
        self.wait_over(daemon, "is not used any more")
        answer = daemon.retrieve("z", self.ask)
        self.assertEqual((answer.status, answer.json()["code"]), (503, "set_not_loaded"))
        self.assertEqual(daemon.get("/v1/sets/z").status, 503)
        state = self.state(daemon)
        self.assertEqual((state["state"], state["reason"]), ("failed", REASON))
        self.assertEqual(daemon.read_log().count("is not used any more"), 1)
        self.assertEqual(daemon.get("/readyz").json()["status"], "degraded")
        self.assertEqual(daemon.wait_ready("y")["state"], "ready")
        # Made whole again it would serve after a restart; a new version does at once.
        answer = daemon.put("z", rows_of(2).tobytes(), "?d=%d" % D, type=harness.OCTETS)
        self.assertEqual((answer.status, answer.json()["version"]), (200, 2))
        self.assertEqual(daemon.retrieve("z", self.ask).status, 200)
        daemon.stop()

    def test_a_file_written_to_while_it_is_mapped(self):
        daemon = self.start_mapped()
        if not daemon:
            self.skipTest("this daemon is never seen with a mapped set")
        with open(self.file, "r+b") as file:
            file.seek(-4096, os.SEEK_END)
            file.write(b"\x3f" * 64)
        self.go_on(daemon)
        self.wait_over(daemon, "is not used any more")
        self.assertEqual(self.state(daemon)["state"], "failed")
        self.assertEqual(daemon.delete("z").status, 204)
        self.assertEqual(daemon.get("/v1/sets/z").status, 404)
        daemon.stop()

    def test_a_file_replaced_while_it_is_mapped(self):
        """Restored from a copy in the right way: aside, and renamed."""
        daemon = self.start_mapped()
        if not daemon:
            self.skipTest("this daemon is never seen with a mapped set")
        os.rename(self.copy, self.file)
        self.go_on(daemon)
        self.wait_over(daemon, "set 'z': version 1 is in memory")
        self.assert_right(daemon.retrieve("z", self.ask).json())
        self.assertEqual(daemon.wait_ready("z")["version"], 1)
        self.assertNotIn("is not used any more", daemon.read_log())
        daemon.stop()


if __name__ == "__main__":
    tap.main()
