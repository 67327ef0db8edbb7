#!/usr/bin/env python3
"""The Prometheus page: the series that docs/OPERATIONS.md names, there at 0 from the start, counting what happens."""

import os
import re

import harness
import tap
from harness import Daemon, metric

SERIES = (
    "hopfieldd_build_info",
    "hopfieldd_ready",
    "hopfieldd_http_requests_total",
    "hopfieldd_http_request_duration_seconds_bucket",
    "hopfieldd_http_request_duration_seconds_sum",
    "hopfieldd_http_request_duration_seconds_count",
    "hopfieldd_http_connections",
    "hopfieldd_queries_total",
    "hopfieldd_fallbacks_total",
    "hopfieldd_rejected_total",
    "hopfieldd_workers",
    "hopfieldd_workers_busy",
    "hopfieldd_queue_requests",
    "hopfieldd_sets",
    "hopfieldd_memory_budget_bytes",
    "hopfieldd_memory_reserved_bytes",
    "hopfieldd_memory_bytes",
    "hopfieldd_sums",
    "hopfieldd_sums_bytes",
    "hopfieldd_sums_limit_bytes",
    "hopfieldd_sums_lookups_total",
    "hopfieldd_sums_dropped_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_start_time_seconds",
    "process_cpu_seconds_total",
)

RETRIEVE = "/v1/sets/{name}/retrieve"


class Metrics(tap.Case):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--workers", "2").start()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def test_every_series_is_there_from_the_start(self):
        series = self.daemon.metrics()
        names = {name for name, _ in series}
        self.assertEqual([name for name in SERIES if name not in names], [])
        self.assertEqual(metric(series, "hopfieldd_queries_total"), 0)
        self.assertEqual(
            {dict(labels)["mode"] for name, labels in series if name == "hopfieldd_queries_total"},
            {
                "dense",
                "almost_linear",
                "top_k",
                "random_mask",
                "window",
                "linear",
                "random_features",
                "sparsemax",
                "entmax",
            },
        )
        self.assertEqual(
            {dict(labels)["reason"] for name, labels in series if name == "hopfieldd_fallbacks_total"},
            {"bound", "cost", "building", "return"},
        )
        self.assertEqual(metric(series, "hopfieldd_build_info", costs="built_in"), 1)
        self.assertEqual(metric(series, "hopfieldd_ready"), 1)
        self.assertEqual(metric(series, "hopfieldd_workers"), 2)
        self.assertGreater(metric(series, "hopfieldd_memory_budget_bytes"), 0)

    def test_the_page_is_prometheus_text(self):
        answer = self.daemon.get("/metrics")
        self.assertRegex(answer.headers["content-type"], r"^text/plain; version=0\.0\.4")
        text = answer.body.decode()
        self.assertTrue(text.endswith("\n"))
        typed, seen, last = {}, {}, None
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.assertNotIn(name, typed, "TYPE twice")
                typed[name] = kind
            elif not line.startswith("#"):
                name = re.match(r"[a-z_:]+", line).group(0)
                family = name if name in typed else re.sub("_(bucket|sum|count)$", "", name)
                self.assertIn(family, typed, "a sample before its TYPE")
                if family != last:
                    self.assertNotIn(family, seen, "the samples of %s are not together" % family)
                seen[family], last = True, family
                if typed[family] == "counter":
                    self.assertTrue(name.endswith("_total"), name)
        self.assertEqual(set(typed), set(seen), "a TYPE without samples")

    def test_histograms_are_cumulative_and_end_at_infinity(self):
        self.daemon.get("/livez")
        series = self.daemon.metrics()
        by_route = {}
        for (name, labels), value in series.items():
            if name == "hopfieldd_http_request_duration_seconds_bucket":
                labels = dict(labels)
                by_route.setdefault(labels["route"], []).append((float(labels["le"].replace("+Inf", "inf")), value))
        for route, buckets in by_route.items():
            buckets.sort()
            self.assertEqual(buckets[-1][0], float("inf"))
            self.assertEqual([v for _, v in buckets], sorted(v for _, v in buckets))
            self.assertEqual(
                buckets[-1][1], metric(series, "hopfieldd_http_request_duration_seconds_count", route=route)
            )

    def test_requests_are_counted_by_route_method_and_code(self):
        before = self.daemon.metrics()
        self.daemon.put("a", {"memories": [[1, 2]]})
        for _ in range(3):
            self.daemon.retrieve("a", {"queries": [[1, 2]]})
        self.daemon.retrieve("a", {"queries": [[1]]})
        self.daemon.get("/nowhere/%d" % os.getpid())

        def grown(**labels):
            def count(series):
                return sum(
                    v
                    for (n, have), v in series.items()
                    if n == "hopfieldd_http_requests_total" and set(labels.items()) <= set(have)
                )

            return count(self.daemon.metrics()) - count(before)

        for count, route, method, code in (
            (3, RETRIEVE, "POST", "200"),
            (1, RETRIEVE, "POST", "422"),
            (1, "/v1/admin/sets/{name}", "PUT", "201"),
            (1, "other", "GET", "404"),
        ):
            with self.subTest(route=route, code=code):
                harness.eventually(lambda: self.assertEqual(grown(route=route, method=method, code=code), count))

    def test_the_number_of_series_does_not_follow_what_clients_send(self):
        self.daemon.get("/metrics")
        before = len(self.daemon.metrics())
        for i in range(30):
            self.daemon.get("/nowhere/%d" % i)
            self.daemon.get("/v1/sets/unknown-%d" % i)
            self.daemon.request("M%d" % i, "/livez")
        self.assertLessEqual(len(self.daemon.metrics()) - before, 4)

    def test_rows_are_counted_by_the_mode_that_answered_and_fallbacks_by_reason(self):
        self.daemon.put("b", {"memories": harness.uniform_rows(1, 30, 3)})
        self.daemon.wait_ready("b")
        before = self.daemon.metrics()
        rows = harness.uniform_rows(2, 7, 3)
        self.daemon.retrieve("b", {"queries": rows, "mode": "dense"})
        self.daemon.retrieve("b", {"queries": rows[:2], "mode": "almost_linear", "beta": 1e-3})
        self.daemon.retrieve("b", {"queries": rows[:3], "return": ["top"]})
        after = self.daemon.metrics()
        self.assertEqual(
            metric(after, "hopfieldd_queries_total", mode="dense")
            - metric(before, "hopfieldd_queries_total", mode="dense"),
            10,
        )
        self.assertEqual(
            metric(after, "hopfieldd_queries_total", mode="almost_linear")
            - metric(before, "hopfieldd_queries_total", mode="almost_linear"),
            2,
        )
        self.assertEqual(
            metric(after, "hopfieldd_fallbacks_total", reason="return")
            - metric(before, "hopfieldd_fallbacks_total", reason="return"),
            3,
        )

    def test_sets_and_their_memory_are_gauges(self):
        self.daemon.put("c", {"memories": [[1, 2]]})
        self.daemon.wait_ready("c")
        during = self.daemon.metrics()
        self.daemon.delete("c")
        for name, difference in (("hopfieldd_sets", 1), ("hopfieldd_memory_reserved_bytes", 16)):
            harness.eventually(
                lambda: self.assertGreaterEqual(
                    metric(during, name) - metric(self.daemon.metrics(), name), difference
                )
            )

    def test_operations_md_names_every_series(self):
        with open(os.path.join(harness.contract.DOCS, "OPERATIONS.md"), encoding="utf-8") as file:
            text = file.read()
        for name, _ in self.daemon.metrics():
            family = re.sub("_(bucket|sum|count)$", "", name)
            self.assertIn("`%s" % family, text)


if __name__ == "__main__":
    tap.main()
