#!/usr/bin/env python3
"""What the daemon predicts with: measured at start, kept in a file, shown by /v1/info; and what /plan says of it.

That predictions come true is for bench/ to show; here they are only consistent.
"""

import os

import harness
import tap
from harness import Daemon

MEASURE = {"HOPFIELDD_CALIBRATE": "on"}


def costs(daemon):
    return daemon.get("/v1/info").json()["costs"]


class Costs(tap.Case):
    def test_built_in_costs_where_nothing_is_measured(self):
        with Daemon() as daemon:
            shown = costs(daemon)
            self.assertEqual(shown["source"], "built_in")
            self.assertTrue(all(0 < seconds < 1e-5 for seconds in shown["seconds"].values()))

    def test_measured_costs_are_kept_and_read_again(self):
        with Daemon("--cost-cache", "costs", env=MEASURE) as first:
            path = os.path.join(first.folder, "costs")
            shown = costs(first)
            if shown["source"] == "built_in":  # too slow here to measure anything, which the log must say
                self.assertIn("costs not measured", first.read_log())
                self.assertFalse(os.path.exists(path))
                self.skipTest("this build is too slow to be measured")
            self.assertEqual(shown["source"], "measured")
            self.assertEqual(first.read_log().count("costs measured in"), 1)
            with open(path) as file:
                text = file.read()
            self.assertEqual(os.listdir(first.folder).count("costs"), 1)
            self.assertFalse([name for name in os.listdir(first.folder) if name.endswith(".tmp")])
            with Daemon("--cost-cache", path, env=MEASURE) as second:
                again = costs(second)
                self.assertEqual(again["source"], "cache")
                self.assertEqual(again["seconds"], shown["seconds"])
                self.assertNotIn("costs measured in", second.read_log())
            for foreign in ("", "not a cache\n", text.replace("\ncpu ", "\ncpu other "), text.replace("isa ", "isa x")):
                with open(path, "w") as file:
                    file.write(foreign)
                with Daemon("--cost-cache", path) as third:
                    self.assertEqual(costs(third)["source"], "built_in")
                    self.assertEqual(third.read_log().count("is ignored"), 1)
                with open(path) as file:
                    self.assertEqual(file.read(), foreign)

    def test_a_cache_that_cannot_be_written_is_no_reason_not_to_start(self):
        with Daemon("--cost-cache", "no/such/folder/costs", env=MEASURE) as daemon:
            self.assertIn(costs(daemon)["source"], ("measured", "built_in"))
            if costs(daemon)["source"] == "measured":
                self.assertIn("cost cache cannot be written", daemon.read_log())


class Packing(tap.Case):
    def test_less_is_kept_and_the_answers_hold_all_the_same(self):
        memories = harness.uniform_rows(5, 900, 20)
        body = {"queries": harness.uniform_rows(6, 30, 20), "beta": 1, "mode": "dense", "max_error": 1e-3}
        kept, answers = [], []
        for packing in ("full", "keys", "none"):
            with Daemon("--packing", packing) as daemon:
                self.assertEqual(daemon.get("/v1/info").json()["packing"], packing)
                description = daemon.put("set", {"memories": memories, "max_degree": 0}).json()
                kept.append(description["bytes"]["model"])
                answers.append(daemon.post("/v1/sets/set/retrieve", body).json())

                def settled():  # the request's own charge goes just after its answer
                    series = harness.read_metrics(daemon.get("/metrics").body.decode())
                    total = daemon.get("/v1/sets/set").json()["bytes"]["total"]
                    beside = harness.metric(series, "hopfieldd_memory_reserved_bytes") - total
                    self.assertTrue(0 <= beside < 2048, beside)  # the set's bookkeeping

                harness.eventually(settled)
        self.assertGreater(kept[0], kept[1])
        self.assertGreater(kept[1], kept[2])
        self.assertLess(kept[2], 900 * 20 * 4)
        for other in answers[1:]:
            for a, b, bound_a, bound_b in zip(
                answers[0]["retrieved"], other["retrieved"], answers[0]["error_bound"], other["error_bound"]
            ):
                self.assertLessEqual(max(abs(x - y) for x, y in zip(a, b)), (bound_a + bound_b) * 1.000001)


class Maps(tap.Case):
    def degree(self, *options, query=""):
        with Daemon(*options) as daemon:
            daemon.put("set", {"memories": harness.uniform_rows(9, 4000, 6)}, query)
            return daemon.wait_ready("set")["features"]

    def test_maps_keep_within_their_budgets_unless_a_set_says_otherwise(self):
        usual = self.degree()
        self.assertGreater(usual["max_degree"], 1)
        self.assertLessEqual(usual["bytes"], 4000 * 6 * 4)
        small = self.degree("--map-bytes", "4k")
        self.assertLess(small["max_degree"], usual["max_degree"])
        self.assertLessEqual(small["bytes"], 4096)
        self.assertEqual(self.degree("--map-build-seconds", "0")["max_degree"], 0)
        self.assertEqual(self.degree("--map-bytes", "4k", query="?max_degree=5")["max_degree"], 5)


class Plans(tap.Case):
    def test_every_candidate_has_a_reason_and_one_is_chosen(self):
        with Daemon() as daemon:
            daemon.put("set", {"memories": harness.uniform_rows(3, 2000, 5), "max_degree": 4})
            daemon.wait_ready("set")
            queries = harness.uniform_rows(4, 7, 5)
            for max_error in (0.3, 1e-2, 1e-4, 1e-7, 1e-12):
                body = {"queries": queries, "beta": 0.7, "max_error": max_error}
                plans = daemon.post("/v1/sets/set/plan", body).json()["plan"]
                self.assertEqual(len(plans), 7)
                for plan in plans:
                    chosen = [c for c in plan["candidates"] if c["reason"] == "chosen"]
                    self.assertEqual(len(chosen), 1)
                    self.assertEqual((plan["mode"], plan["degree"]), (chosen[0]["mode"], chosen[0]["degree"]))
                    absent = ("max_degree", "no_maps")
                    able = [c for c in plan["candidates"] if c["meets"] and c["reason"] not in absent]
                    if able:
                        self.assertEqual(plan["predicted_us"], min(c["predicted_us"] for c in able))
                if max_error >= 1e-4:
                    done = daemon.post("/v1/sets/set/retrieve", body).json()
                    # What is predicted is an estimate; certificates may be better, and seldom are worse.
                    within = sum((p["degree"] > 0) == (g > 0) and g <= p["degree"] for p, g in zip(plans, done["degree"]))
                    self.assertGreaterEqual(within, 4, (plans, done["degree"]))

    def test_it_is_of_one_step_in_mode_auto_whatever_is_asked(self):
        with Daemon() as daemon:
            daemon.put("set", {"memories": harness.uniform_rows(3, 2000, 5), "max_degree": 4})
            daemon.wait_ready("set")
            body = {"queries": harness.uniform_rows(4, 7, 5), "beta": 0.7, "max_error": 1e-2}
            usual = daemon.post("/v1/sets/set/plan", body).json()["plan"]
            for more in ({"steps": 3, "tolerance": 0.1}, {"mode": "dense"}, {"on_unmet": "best_effort"}):
                self.assertEqual(daemon.post("/v1/sets/set/plan", {**body, **more}).json()["plan"], usual, more)
            self.assertEqual(daemon.post("/v1/sets/set/plan", {**body, "steps": 0}).status, 422)


class Cache(tap.Case):
    def test_what_is_no_cache_is_neither_waited_for_nor_changed(self):
        with Daemon() as daemon:  # for its folder
            path, target = (os.path.join(daemon.folder, name) for name in ("there", "target"))
            with open(target, "w") as file:
                file.write("hopfieldd-costs 0\n")
            for make in (os.mkfifo, os.mkdir, lambda path: os.symlink(target, path)):
                make(path)
                before = os.lstat(path)
                with Daemon("--cost-cache", path, env=MEASURE) as other:
                    self.assertNotEqual(costs(other)["source"], "cache")
                    self.assertEqual(other.read_log().count("is ignored and left as it is"), 1)
                after = os.lstat(path)
                self.assertEqual((before.st_ino, before.st_mode), (after.st_ino, after.st_mode))
                os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
            with open(target) as file:
                self.assertEqual(file.read(), "hopfieldd-costs 0\n")


if __name__ == "__main__":
    tap.main()
