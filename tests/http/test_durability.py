#!/usr/bin/env python3
"""What was acknowledged is there after a restart; what is damaged says so; one daemon a data directory."""

import os
import shutil
import subprocess
import tempfile
import time

import harness
import tap
from harness import Daemon

UNAVAILABLE = 69
CONFIG = 78
D = 4


class Folder(tap.Case):
    def setUp(self):
        self.parent = tempfile.mkdtemp(prefix="hopfieldd-data-")
        self.folder = os.path.join(self.parent, "sets")

    def tearDown(self):
        shutil.rmtree(self.parent, ignore_errors=True)

    def daemon(self, *options, **more):
        return Daemon(*options, data_dir=self.folder, **more)

    def file(self, name, version=1):
        return os.path.join(self.folder, "%s@%d.safetensors" % (name, version))

    def wait_loaded(self, daemon):
        give_up = time.monotonic() + harness.PATIENCE_S
        while True:
            ready = daemon.get("/readyz").json()
            if ready["status"] != "loading":
                return {s["name"]: s for s in ready["sets"]}
            assert time.monotonic() < give_up, ready
            time.sleep(0.01)


def rows_of(tag, M=12):
    return harness.uniform_rows(tag, M, D)


class Restart(Folder):
    def test_sets_come_back_as_they_were(self):
        rows = rows_of(1, 300)
        with self.daemon() as daemon:
            self.assertIs(daemon.get("/v1/info").json()["persistent"], True)
            self.assertEqual(daemon.put("a", {"memories": rows}).status, 201)
            answer = daemon.put(
                "a",
                {
                    "memories": rows,
                    "values": [[v[0], 2 * v[1]] for v in rows],
                    "labels": ["r\u00f6w %d" % i for i in range(300)],
                    "similarity": "centered_cosine",
                    "beta": 2.5,
                    "max_degree": 3,
                },
            )
            self.assertEqual(answer.status, 200)
            before = daemon.wait_ready("a")
            ask = {"queries": rows[:5], "return": ["top", "energy"], "mode": "dense", "max_error": 1}
            said = daemon.retrieve("a", ask).json()
            fast = {"queries": rows[:5], "mode": "almost_linear", "on_unmet": "best_effort", "beta": 0.01}
            quick = daemon.retrieve("a", fast).json()
        with self.daemon() as daemon:
            self.wait_loaded(daemon)
            self.assertEqual(daemon.wait_ready("a"), before)
            again, quick_again = daemon.retrieve("a", ask).json(), daemon.retrieve("a", fast).json()
            for one, other in ((said, again), (quick, quick_again)):
                del one["timing_ms"], other["timing_ms"]
                self.assertEqual(one, other)
            self.assertEqual(daemon.put("a", {"memories": rows}).json()["version"], 3)
            self.assertEqual(daemon.delete("a").status, 204)
            self.assertEqual(daemon.get("/v1/sets/a").status, 404)
        self.assertRegex(daemon.stderr, "feature maps of degree 3 were kept")
        self.assertEqual(os.listdir(self.folder), [])
        with self.daemon() as daemon:
            self.assertEqual(self.wait_loaded(daemon), {})

    def test_state_directory_is_where_sets_go_by_default(self):
        for variables, folder in (
            ({"STATE_DIRECTORY": self.folder + ":/nowhere"}, self.folder),
            ({"XDG_STATE_HOME": self.parent}, os.path.join(self.parent, "hopfieldd")),
            ({"XDG_STATE_HOME": "", "HOME": self.parent}, os.path.join(self.parent, ".local/state/hopfieldd")),
        ):
            daemon = Daemon(env=variables)
            daemon.keep = []
            with daemon:
                self.assertEqual(daemon.put("here", {"memories": rows_of(1)}).status, 201)
            self.assertTrue(os.path.exists(os.path.join(folder, "here@1.safetensors")), folder)

    def test_nothing_is_written_without_persistence(self):
        daemon = Daemon("--no-persist", data_dir=self.folder)
        with daemon:
            self.assertIs(daemon.get("/v1/info").json()["persistent"], False)
            daemon.put("a", {"memories": rows_of(1)})
        self.assertFalse(os.path.exists(self.folder))


class Damage(Folder):
    def fill(self, *names):
        with self.daemon() as daemon:
            for name in names:
                self.assertEqual(daemon.put(name, {"memories": rows_of(1), "max_degree": 0}).status, 201)

    def test_a_damaged_set_says_so_and_the_others_answer(self):
        self.fill("a", "b", "c")
        with open(self.file("a"), "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\xff")
        with open(self.file("b"), "r+b") as file:
            file.truncate(100)
        with self.daemon() as daemon:
            sets = self.wait_loaded(daemon)
            self.assertEqual([sets[n]["state"] for n in "abc"], ["failed", "failed", "ready"])
            self.assertIn("memories are damaged", sets["a"]["reason"])
            self.assertIn("b@1.safetensors", sets["b"]["reason"])
            self.assertEqual(daemon.get("/readyz").json()["status"], "degraded")
            self.assertEqual(harness.metric(daemon.metrics(), "hopfieldd_sets", state="failed"), 2)
            for answer in (daemon.get("/v1/sets/a"), daemon.retrieve("a", {"queries": [[0] * D]})):
                self.assertEqual((answer.status, answer.json()["code"]), (503, "set_not_loaded"))
                self.assertIn("memories are damaged", answer.json()["detail"])
            self.assertEqual([s["name"] for s in daemon.get("/v1/sets").json()["sets"]], ["c"])
            self.assertEqual(daemon.retrieve("c", {"queries": [[0] * D]}).status, 200)
            headers = {"If-None-Match": "*"}
            self.assertEqual(daemon.put("a", {"memories": rows_of(2)}, headers=headers).status, 412)
            answer = daemon.put("a", {"memories": rows_of(2)})
            self.assertEqual((answer.status, answer.json()["version"]), (200, 2))
            self.assertEqual(daemon.delete("b").status, 204)
            self.assertEqual(daemon.get("/readyz").json()["status"], "ready")

    def test_a_file_cut_off_or_changed_while_it_serves_changes_no_answer(self):
        rows = rows_of(1)
        self.fill("a")
        with self.daemon() as daemon:
            self.wait_loaded(daemon)
            ask = {"queries": rows[:3], "mode": "dense", "max_error": 1}
            before = daemon.retrieve("a", ask).json()["retrieved"]
            size = os.path.getsize(self.file("a"))
            with open(self.file("a"), "r+b") as file:
                file.seek(size - 50)
                file.write(b"\0" * 50)
            self.assertEqual(daemon.retrieve("a", ask).json()["retrieved"], before)
            os.truncate(self.file("a"), 10)
            self.assertEqual(daemon.retrieve("a", ask).json()["retrieved"], before)
        with self.daemon() as daemon:
            self.assertEqual(self.wait_loaded(daemon)["a"]["state"], "failed")

    def test_a_set_over_the_budget_fails_and_comes_back_with_more(self):
        with self.daemon() as daemon:
            self.assertEqual(daemon.put("a", {"memories": rows_of(1, 20000)}).status, 201)
        with self.daemon("--memory-budget", "1M") as daemon:
            self.assertIn("budget", self.wait_loaded(daemon)["a"]["reason"])
        with self.daemon() as daemon:
            self.assertIn(self.wait_loaded(daemon)["a"]["state"], ("building", "ready"))


class Trouble(Folder):
    def run_daemon(self, *options, limit=None):
        """Exit code and log of a daemon that does not start."""
        result = subprocess.run(
            [harness.binary(), "--listen", "127.0.0.1:0", *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=harness.PATIENCE_S,
            env={"PATH": os.environ.get("PATH", ""), "HOPFIELDD_CALIBRATE": "off"},
        )
        return result.returncode, result.stderr

    def test_a_second_daemon_is_refused(self):
        with self.daemon() as daemon:
            daemon.put("a", {"memories": rows_of(1)})
            code, text = self.run_daemon("--data-dir", self.folder)
            self.assertEqual(code, UNAVAILABLE, text)
            self.assertIn("in use by another process", text)
            self.assertEqual(daemon.get("/v1/sets/a").status, 200)

    def test_no_place_for_sets_is_a_bad_configuration(self):
        code, text = self.run_daemon()
        self.assertEqual(code, CONFIG, text)
        self.assertIn("--data-dir", text)

    def test_a_data_directory_that_is_none_is_refused(self):
        os.makedirs(self.parent, exist_ok=True)
        with open(self.folder, "w"):
            pass
        code, text = self.run_daemon("--data-dir", self.folder)
        self.assertNotEqual(code, 0)
        self.assertIn("Not a directory", text)


if __name__ == "__main__":
    tap.main()
