#!/usr/bin/env python3
"""The regime of a set, the theory report, and the operations behind it."""

import math
import time

import harness
import tap
from harness import OCTETS, Daemon


def theory(daemon, name, query=""):
    return daemon.get("/v1/sets/%s/theory%s" % (name, query))


class Report(tap.Case):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon().start()
        # |a| = 5, |b| = 1, |c| = 0; <a, b> = 3. Distances: a-b sqrt(20), b-c 1, a-c 5.
        cls.daemon.put("three", {"memories": [[3, 4], [1, 0], [0, 0]], "beta": 0.5, "max_error": 0.01})
        cls.daemon.put("one", {"memories": [[3, 4]]})
        cls.daemon.put("same", {"memories": [[1, 2]] * 4})
        cls.daemon.put("line", {"memories": [[1], [2], [4]]})
        cls.daemon.put("valued", {"memories": [[3, 4], [1, 0], [0, 0]], "values": [[1], [2], [5]]})
        for name in ("three", "one", "same", "line", "valued"):
            cls.daemon.wait_ready(name)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def report(self, name, query=""):
        answer = theory(self.daemon, name, query)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def test_by_hand(self):
        report = self.report("three")
        self.assertEqual([report[name] for name in ("set", "version", "M", "d", "L")], ["three", 1, 3, 2, 1])
        self.assertEqual((report["beta"], report["max_error"]), (0.5, 0.01))
        regime = report["regime"]
        self.assertEqual((regime["tau"], regime["B"]), (3, 4))
        self.assertAlmostEqual(regime["B_star"], math.sqrt(math.log(3)))
        self.assertAlmostEqual(regime["beta_B2_d"], 0.5 * 16 * 2)
        self.assertEqual(regime["probes"], 3)
        separation = report["separation"]
        self.assertTrue(separation["exact"])
        self.assertEqual((separation["rows"], separation["m"], separation["R_sep"]), (3, 5, 0.5))
        # Delta: a 25 - 3 = 22, b 1 - 3 = -2, c 0 - 0 = 0
        self.assertEqual(
            [separation["Delta_" + q] for q in ("min", "q10", "median", "q90", "max")], [-2, -2, 0, 22, 22]
        )
        delta = math.sqrt(2) * 0.01
        self.assertAlmostEqual(separation["delta"], delta)
        self.assertAlmostEqual(separation["threshold"], 2 * math.log(2 * 2 * 5 / (0.5 - delta)) + 2 * 5 * 0.5)
        self.assertAlmostEqual(separation["well_separated"], 1 / 3)
        # P1: delta_A = max_error / (2 M B) at R = 16
        p1 = report["p1"]
        self.assertAlmostEqual(p1["delta_A"], 0.01 / (2 * 3 * 4))
        self.assertAlmostEqual(p1["R"], 16)

        def taylor(g):
            return (g + 1) * math.log(16) - math.lgamma(g + 2) + 16

        self.assertLessEqual(taylor(p1["g"]), math.log(p1["delta_A"]))
        self.assertGreater(taylor(p1["g"] - 1), math.log(p1["delta_A"]))
        rank = math.log10(math.comb(2 * (2 + int(p1["g"])), 2 * int(p1["g"])))
        self.assertAlmostEqual(p1["log10_rank"], rank, places=6)

    def test_what_is_asked_for(self):
        report = self.report("three", "?beta=2&max_error=0.5&L=1000&B=10&p=0.25")
        self.assertEqual((report["beta"], report["max_error"], report["L"]), (2, 0.5, 1000))
        self.assertEqual((report["regime"]["tau"], report["regime"]["B"]), (1000, 10))
        self.assertEqual(report["capacity"]["p"], 0.25)
        self.assertEqual(self.report("three", "?B=1")["regime"]["B"], 4)

    def test_where_the_paper_gives_nothing_there_is_null_and_a_reason(self):
        one = self.report("one")
        for part, member in (("separation", "R_sep"), ("retrieval_error", "at_memory_max"), ("capacity", "M_max")):
            self.assertIsNone(one[part][member])
            self.assertTrue(one[part]["reason"])
        same = self.report("same")
        self.assertEqual(same["separation"]["R_sep"], 0)
        self.assertIsNone(same["capacity"]["M_max"])
        self.assertIsNone(self.report("line")["capacity"]["M_max"])  # d = 1
        self.assertEqual(self.report("valued")["separation"]["delta"], 0)

    def test_bad_parameters_are_named(self):
        for query, status, word in (
            ("?beta=0", 422, "beta"),
            ("?beta=x", 400, "beta"),
            ("?max_error=-1", 422, "max_error"),
            ("?L=0", 422, "L"),
            ("?L=1.5", 400, "L"),
            ("?B=0", 422, "B"),
            ("?B=-3", 422, "B"),
            ("?p=0", 422, "p"),
            ("?p=1", 422, "p"),
            ("?p=nan", 400, "p"),
            ("?M=3", 400, "M"),
            ("?beta=1&beta=2", 400, "beta"),
        ):
            answer = theory(self.daemon, "three", query)
            self.assertEqual(answer.status, status, answer)
            self.assertIn(word, answer.json()["detail"])
        self.assertEqual(theory(self.daemon, "nowhere").status, 404)
        self.assertEqual(self.daemon.request("POST", "/v1/sets/three/theory", {}).status, 405)

    def test_the_description_has_the_regime(self):
        regime = self.daemon.get("/v1/sets/three").json()["regime"]
        whole = self.report("three")["regime"]
        self.assertEqual(regime, {name: whole[name] for name in regime})
        self.assertEqual(list(regime), ["tau", "B", "B_star", "beta_B2_d", "verdict", "reason"])
        self.assertNotIn("predicted", regime["reason"])  # its maps are there
        answer = self.daemon.put("bare", {"memories": harness.uniform_rows(3, 50, 4), "max_degree": 0})
        self.assertIn("predicted", answer.json()["regime"]["reason"])
        verdicts = set()
        for beta in (1e-3, 1e4):
            self.daemon.put("v", {"memories": harness.uniform_rows(3, 5000, 4), "beta": beta, "max_error": 1e-3})
            verdicts.add(self.daemon.wait_ready("v")["regime"]["verdict"])
        self.assertEqual(verdicts, {"efficient", "hard"})


class Operations(tap.Case):
    def poll(self, daemon, location):
        give_up = time.monotonic() + harness.PATIENCE_S
        while True:
            answer = daemon.get(location)
            self.assertEqual(answer.status, 200, answer)
            if answer.json()["state"] in ("succeeded", "failed"):
                return answer.json()
            self.assertEqual(answer.headers["retry-after"], "1")
            self.assertLess(time.monotonic(), give_up, answer)
            time.sleep(0.01)

    def test_a_long_measurement_is_an_operation(self):
        with Daemon("--theory-seconds", "0") as daemon:
            daemon.put("s", {"memories": harness.uniform_rows(1, 500, 4)})
            reference = daemon.get("/v1/sets/s").json()["bytes"]["separation"]
            self.assertEqual(reference, 0)
            answer = theory(daemon, "s")
            self.assertEqual(answer.status, 202, answer)
            operation = answer.json()
            self.assertEqual(answer.headers["location"], "/v1/admin/operations/%d" % operation["id"])
            self.assertEqual((operation["set"], operation["version"], operation["problem"]), ("s", 1, None))
            done = self.poll(daemon, answer.headers["location"])
            self.assertEqual((done["state"], done["percent"], done["problem"]), ("succeeded", 100, None))
            for query in ("", "?beta=3&L=7"):  # measured once for every question
                answer = theory(daemon, "s", query)
                self.assertEqual(answer.status, 200, answer)
            self.assertGreater(daemon.get("/v1/sets/s").json()["bytes"]["separation"], 0)

            # Another version is measured for itself.
            daemon.put("s", {"memories": harness.uniform_rows(2, 500, 4)})
            answer = theory(daemon, "s")
            self.assertEqual((answer.status, answer.json()["version"]), (202, 2))
            self.assertEqual(self.poll(daemon, answer.headers["location"])["state"], "succeeded")
            self.assertEqual(theory(daemon, "s").status, 200)
            # Bad questions are refused before anything is measured.
            daemon.put("t", {"memories": harness.uniform_rows(2, 500, 4)})
            self.assertEqual(theory(daemon, "t", "?beta=0").status, 422)

    def test_other_ids_are_not_there(self):
        with Daemon() as daemon:
            for one in ("1", "0", "-1", "01", "x", "1.0", "18446744073709551616", "1" * 200):
                answer = daemon.get("/v1/admin/operations/" + one)
                self.assertEqual((answer.status, answer.json()["code"]), (404, "no_such_operation"), answer)

    def test_it_never_blocks_and_ends_with_its_version(self):
        # 1e11 multiply-adds: seconds, on any machine of today.
        with Daemon("--workers", "1") as daemon:
            rows = harness.uniform_rows(1, 2000, 16)
            body = b"".join(harness.pack_f32([[v + k for v in row] for row in rows]) for k in range(60))
            self.assertEqual(daemon.put("big", body, "?d=16&max_degree=0", type=OCTETS).status, 201)
            daemon.put("small", {"memories": rows[:50]})
            answer = theory(daemon, "big")
            self.assertEqual(answer.status, 202, answer)
            location = answer.headers["location"]
            self.assertEqual(daemon.retrieve("big", {"queries": rows[:2]}).status, 200)
            self.assertEqual(daemon.retrieve("small", {"queries": rows[:2]}).status, 200)
            self.assertEqual(theory(daemon, "small").status, 200)
            self.assertEqual(theory(daemon, "big").headers.get("location", location), location)
            self.assertEqual(daemon.delete("big").status, 204)
            done = self.poll(daemon, location)
            if done["state"] == "failed":
                self.assertEqual(done["problem"]["code"], "cancelled")
                self.assertIn("replaced or deleted", done["problem"]["detail"])
            self.assertEqual(theory(daemon, "big").status, 404)

    def test_a_stop_does_not_wait_for_it(self):
        with Daemon("--workers", "1") as daemon:
            rows = harness.uniform_rows(1, 2000, 16)
            body = b"".join(harness.pack_f32([[v + k for v in row] for row in rows]) for k in range(60))
            self.assertEqual(daemon.put("big", body, "?d=16&max_degree=0", type=OCTETS).status, 201)
            self.assertEqual(theory(daemon, "big").status, 202)


if __name__ == "__main__":
    tap.main()
