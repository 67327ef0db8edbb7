#!/usr/bin/env python3
"""Disks that are full, read-only or somebody else's: what is refused says why, what was there stays, and goes on.

The file systems are real ones, of a few MiB, mounted in a namespace of this test's own: it starts itself again under
unshare(1). Where that is not allowed, a limit on the size of files stands for the full disk.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile

import harness
import ledger
import tap
from harness import Daemon

INSIDE = "HOPFIELDD_TEST_IN_NAMESPACE"
ROOMS = 4 << 20
FULL = (507, "disk_full")

WIDE = ledger.Kind(d=512, limits=(20, 40, 10000), rows=60, raw=True)
NAMED = ledger.Kind(d=3, p=2, labels=True, similarity="centered_cosine", limits=(5, 20, 60))
APPEND, PATCH, REMOVE, PUT = (((verb, 1),) for verb in (ledger.append, ledger.patch, ledger.remove, ledger.put))


def mount(*words):
    subprocess.run(["mount", *words], check=True, capture_output=True)


class Room(tap.Case):
    """A folder of ROOMS bytes and a ledger of what was acknowledged."""

    def setUp(self):
        self.parent = tempfile.mkdtemp(prefix="hopfieldd-disk-")
        self.addCleanup(shutil.rmtree, self.parent, ignore_errors=True)
        self.folder = os.path.join(self.parent, "sets")
        os.mkdir(self.folder, 0o700)
        self.rng = random.Random(1)
        self.ledger = ledger.Ledger({"wide": WIDE, "named": NAMED})
        self.mounted = False

    def mount_room(self):
        if INSIDE not in os.environ:
            self.skipTest("no namespace of its own may be made here: no file system can be mounted")
        mount("-t", "tmpfs", "-o", "size=%d,mode=0700" % ROOMS, "tmpfs", self.folder)
        self.addCleanup(subprocess.run, ["umount", "-l", self.folder])

    def daemon(self, *options, **more):
        daemon = Daemon(*options, data_dir=self.folder, **more)
        self.addCleanup(daemon.kill)
        return daemon.start()

    def change(self, daemon, name, verbs=PUT, refused=None):
        """One change; refused: it may be, in this way. Did it happen?"""
        change = self.ledger.propose(name, self.rng, verbs)
        answer = change.send(daemon)
        if answer.status >= 400:
            self.assertEqual((answer.status, answer.json()["code"]), refused, (change.verb, answer))
            harness.contract.validate_problem(answer)
            self.ledger.refuse(name, change)
            return False
        self.ledger.settle(name, change, answer)
        return True

    def until_refused(self, daemon, name, verbs, refused, most=2000):
        """How many changes it took."""
        for n in range(most):
            if not self.change(daemon, name, verbs, refused):
                return n
        return None

    def all_there(self, daemon):
        harness.eventually(lambda: self.assertNotEqual(daemon.get("/readyz").json()["status"], "loading"))
        for name in self.ledger.kinds:
            before = self.ledger.known[name]
            self.assertIs(self.ledger.resolve(name, daemon, self.rng), before)

    def no_strays(self):
        """Nothing on its way in or out."""
        left = os.listdir(self.folder)
        self.assertFalse([f for f in left if f.endswith((".tmp", ".deleted"))], left)


class Full(Room):
    def fill(self, daemon):
        """Both sets, then appends until the disk is full."""
        self.change(daemon, "named")
        self.change(daemon, "wide")
        self.assertGreater(self.until_refused(daemon, "wide", APPEND, FULL), 3)

    def test_a_full_disk_refuses_and_keeps_what_was_and_goes_on_when_there_is_room(self):
        self.mount_room()
        daemon = self.daemon()
        self.fill(daemon)
        for _ in range(3):
            self.change(daemon, "wide", PUT, FULL)
            self.change(daemon, "wide", APPEND, FULL)
        self.all_there(daemon)
        harness.eventually(self.no_strays)
        daemon.stop()
        # A full disk starts, answers, and says why it takes nothing.
        daemon = self.daemon()
        self.all_there(daemon)
        self.until_refused(daemon, "wide", APPEND, FULL)
        # Changes that need next to nothing, until they do not fit either.
        self.until_refused(daemon, "named", PATCH, FULL, 50)
        self.all_there(daemon)
        mount("-o", "remount,size=%d" % (8 * ROOMS), self.folder)
        for _ in range(5):
            self.assertTrue(self.change(daemon, "wide", APPEND))
            self.assertTrue(self.change(daemon, "named", APPEND))
        self.all_there(daemon)
        daemon.kill()
        daemon = self.daemon()
        self.all_there(daemon)
        daemon.stop()

    def test_deleting_makes_room_on_a_full_disk(self):
        self.mount_room()
        daemon = self.daemon()
        self.fill(daemon)
        self.assertEqual(daemon.delete("wide").status, 204)
        self.ledger.known["wide"] = None
        self.assertTrue(self.change(daemon, "wide"))
        self.all_there(daemon)
        daemon.stop()

    def test_a_log_that_cannot_be_compacted_for_want_of_room_loses_nothing(self):
        """Changes whose results stay small, while the log beside them fills the disk."""
        self.mount_room()
        daemon = self.daemon()
        self.change(daemon, "named")
        self.change(daemon, "wide")
        ballast = os.path.join(self.folder, "ballast")
        with open(ballast, "wb") as file:
            file.write(bytes(ROOMS * 5 // 8))
        happened = 0
        for _ in range(60):
            happened += self.change(daemon, "wide", APPEND, FULL)
            happened += self.change(daemon, "wide", REMOVE, FULL)
        self.assertGreater(happened, 5)
        self.all_there(daemon)
        daemon.kill()
        daemon = self.daemon()
        self.all_there(daemon)
        os.unlink(ballast)
        for _ in range(20):
            self.assertTrue(self.change(daemon, "wide", APPEND))
            self.assertTrue(self.change(daemon, "wide", REMOVE))
        self.all_there(daemon)
        harness.eventually(self.no_strays)
        daemon.stop()

    def test_feature_maps_that_find_no_room_are_used_and_built_again_after_a_restart(self):
        self.mount_room()
        daemon = self.daemon()
        M, d = 20000, 16  # 1.28 MB of rows; maps of degree 3 are 39 kB
        body = harness.npy_header("|u1", "(%d, %d)" % (M, d)) + self.rng.randbytes(M * d)
        query = "?max_degree=3&similarity=centered_cosine"
        with open(os.path.join(self.folder, "ballast"), "wb") as file:
            file.write(bytes(ROOMS - 4 * M * d - (28 << 10)))
        self.assertEqual(daemon.put("maps", body, query, type=harness.NPY).status, 201)
        about = daemon.wait_ready("maps")
        self.assertEqual(about["features"]["max_degree"], 3)
        self.assertEqual(len([f for f in os.listdir(self.folder) if f != "ballast"]), 1)
        daemon.stop()
        self.assertIn("No space left on device", daemon.stderr)
        os.unlink(os.path.join(self.folder, "ballast"))
        daemon = self.daemon()
        harness.eventually(lambda: self.assertEqual(daemon.get("/readyz").json()["status"], "ready"))
        self.assertEqual(daemon.wait_ready("maps")["etag"], about["etag"])
        harness.eventually(lambda: self.assertIn("maps@1.maps.safetensors", os.listdir(self.folder)))
        daemon.stop()

    def test_a_limit_on_files_is_a_full_disk(self):
        """RLIMIT_FSIZE: a write beyond it fails with EFBIG. Lifted, everything goes on."""
        daemon = self.daemon()
        self.change(daemon, "named")
        self.change(daemon, "wide")

        def limit(n):
            subprocess.run(["prlimit", "--pid", str(daemon.process.pid), "--fsize=%s:" % n], check=True)

        limit(120 << 10)
        self.assertIsNotNone(self.until_refused(daemon, "wide", APPEND, FULL))
        self.change(daemon, "wide", PUT, FULL)
        self.all_there(daemon)
        self.no_strays()
        limit("unlimited")
        for _ in range(3):
            self.assertTrue(self.change(daemon, "wide", APPEND))
        daemon.kill()
        daemon = self.daemon()
        self.all_there(daemon)
        daemon.stop()


class Forbidden(Room):
    REFUSED = (500, "io")

    def start_with_sets(self, **more):
        daemon = self.daemon(**more)
        self.change(daemon, "named")
        self.change(daemon, "wide")
        return daemon

    def nothing_changes(self, daemon, why):
        for verbs in (PUT, APPEND, PATCH, REMOVE):
            with self.subTest(verb=verbs[0][0].__name__):
                change = self.ledger.propose("named", self.rng, verbs)
                answer = change.send(daemon)
                self.ledger.refuse("named", change)
                if answer.status != 200:  # a log that is open already may still take a change
                    self.assertEqual((answer.status, answer.json()["code"]), self.REFUSED, answer)
                    self.assertIn(why, answer.json()["detail"])
                else:
                    self.ledger.flying["named"].append(change)
                    self.ledger.settle("named", change, answer)
        answer = daemon.delete("wide")
        self.assertEqual((answer.status, answer.json()["code"]), self.REFUSED, answer)
        self.assertIn(why, answer.json()["detail"])
        self.all_there(daemon)

    def test_a_read_only_file_system_answers_and_takes_nothing(self):
        self.mount_room()
        daemon = self.start_with_sets()
        daemon.stop()
        mount("-o", "remount,ro", self.folder)
        daemon = self.daemon()
        self.all_there(daemon)
        self.nothing_changes(daemon, "Read-only file system")
        mount("-o", "remount,rw", self.folder)
        self.assertTrue(self.change(daemon, "named"))
        self.assertTrue(self.change(daemon, "named", APPEND))
        self.all_there(daemon)
        daemon.stop()

    def test_a_folder_that_may_not_be_written_answers_and_takes_nothing(self):
        """Root may write anywhere, unless it lets go of that."""
        drop = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
        if os.geteuid() == 0:
            if subprocess.run([*drop, "true"], capture_output=True).returncode != 0:
                self.skipTest("root cannot let go of its rights here")
        else:
            drop = []
        wrapped = {"HOPFIELDD_TEST_WRAPPER": " ".join(drop + [os.environ.get("HOPFIELDD_TEST_WRAPPER", "")]).strip()}
        before = os.environ.get("HOPFIELDD_TEST_WRAPPER", "")
        self.addCleanup(os.environ.__setitem__, "HOPFIELDD_TEST_WRAPPER", before)
        os.environ.update(wrapped)
        daemon = self.start_with_sets()
        os.chmod(self.folder, 0o500)
        self.addCleanup(os.chmod, self.folder, 0o700)
        self.nothing_changes(daemon, "Permission denied")
        daemon.stop()
        daemon = self.daemon()
        self.all_there(daemon)
        self.nothing_changes(daemon, "Permission denied")
        os.chmod(self.folder, 0o700)
        self.assertTrue(self.change(daemon, "named"))
        self.assertTrue(self.change(daemon, "named", APPEND))
        daemon.stop()


if __name__ == "__main__":
    if INSIDE not in os.environ:
        enter = ["unshare", "--map-root-user", "--mount"]
        probe = [*enter, "mount", "-t", "tmpfs", "-o", "size=4096", "tmpfs", "/tmp"]
        try:
            allowed = subprocess.run(probe, capture_output=True).returncode == 0
        except OSError:
            allowed = False
        if allowed:
            os.environ[INSIDE] = "1"
            os.execvp(enter[0], [*enter, sys.executable, *sys.argv])
    tap.main()
