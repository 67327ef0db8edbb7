#!/usr/bin/env python3
"""The structured models: each against a plain reference in 50 digits, its parameters, its bounds, its sums."""

import math
from decimal import Decimal

import harness
import oracle
import tap
from harness import NPY, OCTETS, Daemon, f32
from test_retrieve import Retrieval

ALL = ("top_k", "random_mask", "window", "linear", "random_features", "sparsemax", "entmax")
AGAINST = {"top_k": "dense", "sparsemax": "model", "entmax": "model"}
NAMES = ("plain", "valued", "cosine", "centred", "single", "twins")


class Models(Retrieval):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rows = harness.uniform_rows(21, 6, 4)
        cls.load("twins", [row for row in rows for _ in range(3)])
        cls.daemon.wait_ready("twins")

    def reference(self, name, mode, query, beta, row=0, total=1, **model):
        """Weights of the memories, by the definition."""
        own = self.sets[name]
        M = len(own.keys)
        if mode == "top_k":
            return own.top_k(query, beta, model.get("k", 32))
        if mode == "random_mask":
            return own.random_mask(query, beta, model.get("keep", 0.1), model.get("seed", 0))
        if mode == "window":
            return own.window(query, beta, model.get("width", math.isqrt(M - 1) + 1), row, total)
        if mode == "linear":
            return own.linear(query)
        if mode == "sparsemax":
            return own.sparsemax(query, beta)
        return own.entmax(query, beta, model.get("alpha", 1.5))

    def z(self, answer, row):
        return [f32(float(v)) for v in answer["retrieved"][row]]

    def hold_model(self, name, mode, beta, queries, **model):
        """Answers equal the reference to rounding, and are within their bounds of what those refer to."""
        options = {"model": model} if model else {}
        answer = self.ask(name, queries=queries, beta=beta, mode=mode, **options)
        self.assertEqual(answer["mode"], mode)
        self.assertEqual(answer["bound_against"], AGAINST.get(mode))
        self.assertEqual(answer["degree"], [None] * len(queries))
        self.assertEqual((answer["dense_rows"], answer["fallback"]), ([], None))
        own = self.sets[name]
        scale = max(abs(v) for row in own.values for v in row)
        for i, query in enumerate(queries):
            exact = own.mean(self.reference(name, mode, query, beta, i, len(queries), **model))
            bound = answer["error_bound"][i]
            error = oracle.distance(self.z(answer, i), exact)
            if AGAINST.get(mode) == "model":
                self.assertLessEqual(error, Decimal(bound) + own.own_error, "row %d of %s" % (i, name))
                self.assertLess(bound, scale * Decimal("1e-5"))
            else:
                self.assertLessEqual(error, scale * Decimal("2e-6"), "row %d of %s" % (i, name))
            if mode == "top_k":
                deviation = oracle.distance(self.z(answer, i), own.retrieve(query, beta))
                self.assertLessEqual(deviation, Decimal(bound) + own.own_error, "row %d of %s" % (i, name))
            elif mode not in AGAINST:
                self.assertIsNone(bound)
        return answer


class Definitions(Models):
    def each(self, mode, betas=(0.02, 1.0, 30.0), **model):
        for name in NAMES:
            for beta in betas:
                with self.subTest(mode=mode, name=name, beta=beta, **model):
                    self.hold_model(name, mode, beta, self.queries(name, 3), **model)

    def test_top_k(self):
        for k in (1, 4, 10**6):
            self.each("top_k", k=k)

    def test_top_k_of_all_is_dense(self):
        queries = self.queries("plain", 3)
        answer = self.ask("plain", queries=queries, beta=2.0, mode="top_k", model={"k": 40}, max_error=1e-4)
        self.hold("plain", answer, queries, 2.0, 1e-4)

    def test_random_mask(self):
        for keep, seed in ((0.3, 0), (0.3, 2**63 - 1), (1, 5), (1e-9, 7)):
            self.each("random_mask", keep=keep, seed=seed)

    def test_window(self):
        for model in ({}, {"width": 0}, {"width": 3}, {"width": 2**63 - 1}):
            self.each("window", **model)

    def test_linear(self):
        self.each("linear")

    def test_sparsemax(self):
        self.each("sparsemax")

    def test_entmax(self):
        for alpha in (1.01, 1.2, 1.5, 2):
            self.each("entmax", betas=(0.02, 5.0), alpha=alpha)

    def test_a_window_knows_its_row_across_the_pieces_of_a_batch(self):
        # A batch is cut into pieces of at most 512 rows; every row's place depends on its number in all of it.
        queries = self.queries("plain", 1100, seed=9)
        answer = self.ask("plain", queries=queries, beta=3.0, mode="window", model={"width": 1})
        own = self.sets["plain"]
        for i in [*range(0, 1100, 57), *range(505, 520), *range(1018, 1030), 1099]:
            exact = own.mean(own.window(queries[i], 3.0, 1, i, 1100))
            self.assertLessEqual(oracle.distance(self.z(answer, i), exact), Decimal("2e-6"), "row %d" % i)

    def test_random_features_come_near_dense_as_their_standard_error_says(self):
        for name in ("plain", "valued", "cosine"):
            queries = self.queries(name, 6)
            errors = []
            for features in (16, 4096):
                answer = self.ask(
                    name, queries=queries, beta=0.5, mode="random_features", model={"features": features, "seed": 3}
                )
                self.assertEqual(answer["bound_against"], None)
                for i, query in enumerate(queries):
                    error = oracle.distance(self.z(answer, i), self.sets[name].retrieve(query, 0.5))
                    self.assertLessEqual(error, 8 * Decimal(answer["standard_error"][i]) + Decimal("1e-6"))
                errors.append(max(answer["standard_error"]))
            self.assertLess(errors[1], errors[0] / 4)

    def test_one_memory_and_constant_coordinates(self):
        for mode in ALL:
            with self.subTest(mode=mode):
                answer = self.ask("single", queries=[[1, 2], [-5, 3]], mode=mode)
                self.assertEqual([self.z(answer, i) for i in range(2)], [[0.75, f32(-1 / 3)]] * 2)


class Parameters(Models):
    def test_the_answer_says_what_was_in_force(self):
        query = [self.queries("plain", 1)[0]]  # M = 40, d = 5
        for mode, model in (
            ("top_k", {"k": 32}),
            ("random_mask", {"keep": 0.1, "seed": 0}),
            ("window", {"width": 7}),
            ("linear", {}),
            ("random_features", {"features": 10, "seed": 0}),
            ("sparsemax", {}),
            ("entmax", {"alpha": 1.5}),
        ):
            with self.subTest(mode=mode):
                answer = self.daemon.retrieve("plain", {"queries": query, "mode": mode}).json()
                self.assertEqual(answer["model"], model)
                again = self.daemon.retrieve("plain", {"queries": query, "mode": mode, "model": model}).json()
                self.assertEqual((again["model"], again["retrieved"]), (model, answer["retrieved"]))
        self.assertNotIn("model", self.daemon.retrieve("plain", {"queries": query}).json())

    def test_the_query_string_has_them_too(self):
        rows = self.queries("plain", 4)
        for mode, model in (
            ("top_k", {"k": 3}),
            ("random_mask", {"keep": 0.5, "seed": 2**63 - 1}),
            ("window", {"width": 2}),
            ("random_features", {"features": 12, "seed": 2**53 + 1}),
            ("entmax", {"alpha": 1.25}),
        ):
            with self.subTest(mode=mode):
                query = "?beta=2&mode=%s&%s" % (mode, "&".join("%s=%s" % item for item in model.items()))
                expected = self.ask("plain", queries=rows, beta=2, mode=mode, model=model)
                for body, kind in ((harness.npy(rows), NPY), (harness.pack_f32(rows), OCTETS)):
                    answer = self.daemon.retrieve("plain", body, query, type=kind)
                    self.assertEqual(answer.status, 200, answer)
                    self.assertEqual(answer.exact()["model"], expected["model"])
                    self.assertEqual(answer.exact()["retrieved"], expected["retrieved"])

    def test_seeds_repeat_and_differ(self):
        rows = self.queries("plain", 2)
        for mode, more in (("random_mask", {"keep": 0.5}), ("random_features", {"features": 8})):
            seen = {}
            for seed in (0, 1, 2**53, 2**53 + 1, 2**63 - 1, 0):
                answer = self.ask("plain", queries=rows, beta=1, mode=mode, model={"seed": seed, **more})
                self.assertEqual(answer["model"]["seed"], seed)
                z = str(answer["retrieved"])
                self.assertEqual(seen.setdefault(seed, z), z)
            self.assertEqual(len(set(seen.values())), 5)

    def test_wrong_ones_are_refused_and_named(self):
        for status, mode, model, words in (
            (400, "top_k", {"keep": 0.5}, "`keep` belongs to mode random_mask: mode top_k takes k"),
            (400, "dense", {"k": 5}, "mode dense takes no parameters"),
            (400, "auto", {"seed": 5}, "mode auto takes no parameters"),
            (400, "random_mask", {"width": 5}, "mode random_mask takes keep and seed"),
            (400, "top_k", {"K": 5}, "unknown member `K` of `model`: mode top_k takes k"),
            (400, "top_k", 5, "`model` must be an object"),
            (400, "top_k", {"k": 2.5}, "whole number"),
            (400, "top_k", {"k": None}, "not null"),
            (400, "random_mask", {"seed": 2**63}, "too big"),
            (422, "top_k", {"k": 0}, "k must be 1 to"),
            (422, "random_mask", {"keep": 0}, "above 0"),
            (422, "random_mask", {"keep": 1.01}, "at most 1"),
            (422, "random_mask", {"seed": -1}, "seed must be 0 to"),
            (422, "window", {"width": -1}, "width must be 0 to"),
            (422, "random_features", {"features": 0}, "features must be 1 to 65536"),
            (422, "random_features", {"features": 65537}, "not 65537"),
            (422, "entmax", {"alpha": 1}, "at least 1.01"),
            (422, "entmax", {"alpha": 2.01}, "at most 2"),
            (422, "softmax", {}, "softmax"),
        ):
            with self.subTest(mode=mode, model=model):
                answer = self.daemon.retrieve("plain", {"queries": [[0] * 5], "mode": mode, "model": model})
                self.assertEqual(answer.status, status, answer)
                self.assertIn(words, answer.json()["detail"])
        for query, status in (
            ("?mode=top_k&keep=1", 400),
            ("?mode=top_k&k=1&k=2", 400),
            ("?k=3", 400),
            ("?mode=top_k&k=x", 400),
            ("?mode=top_k&k=0", 422),
            ("?mode=random_mask&seed=18446744073709551616", 400),
        ):
            answer = self.daemon.retrieve("plain", harness.npy([[0] * 5]), query, type=NPY)
            self.assertEqual(answer.status, status, answer)

    def test_energy_and_plan_are_of_no_structured_model(self):
        for verb in ("energy", "plan"):
            for mode in ALL:
                answer = self.daemon.post("/v1/sets/plain/" + verb, {"queries": [[0] * 5], "mode": mode})
                self.assertEqual((answer.status, answer.json()["code"]), (422, "domain"), answer)


class Promises(Models):
    def test_max_error_constrains_only_where_it_is_said(self):
        rows = self.queries("plain", 3)
        for mode in ALL:
            with self.subTest(mode=mode):
                answer = self.ask("plain", queries=rows, beta=0.01, mode=mode)
                if mode in AGAINST:
                    self.assertTrue(all(b >= 0 for b in answer["error_bound"]))
                    continue
                problem = self.ask("plain", status=422, queries=rows, mode=mode, max_error=10)
                self.assertEqual(problem["code"], "unmet_max_error")
                self.assertIn(mode, problem["detail"])
                answer = self.ask("plain", queries=rows, mode=mode, max_error=10, on_unmet="best_effort")
                self.assertEqual(answer["error_bound"], [None] * 3)

    def test_top_k_meets_max_error_or_says_no(self):
        rows = self.queries("plain", 4)
        loose = self.ask("plain", queries=rows, beta=8, mode="top_k", model={"k": 20})
        limit = max(loose["error_bound"])
        answer = self.ask("plain", queries=rows, beta=8, mode="top_k", model={"k": 20}, max_error=float(limit))
        self.hold("plain", answer, rows, 8, limit)
        problem = self.ask("plain", status=422, queries=rows, beta=8, mode="top_k", model={"k": 20}, max_error=1e-9)
        self.assertEqual((problem["code"], problem["limit"]), ("unmet_max_error", 1e-9))
        self.assertGreater(problem["actual"], 1e-9)

    def test_npy_has_a_bound_header_where_there_is_a_bound(self):
        rows = self.queries("plain", 3)
        for mode in ALL:
            answer = self.daemon.retrieve("plain", {"queries": rows, "mode": mode}, headers={"Accept": NPY})
            self.assertEqual((answer.status, answer.headers["hopfield-mode"]), (200, mode))
            self.assertEqual("hopfield-error-bound-max" in answer.headers, mode in AGAINST)
            json_answer = self.ask("plain", queries=rows, mode=mode)
            self.assertEqual(harness.read_npy(answer.body), [self.z(json_answer, i) for i in range(3)])

    def test_rows_are_counted_by_their_mode(self):
        rows = self.queries("plain", 3)
        for mode in ALL:
            before = harness.metric(self.daemon.metrics(), "hopfieldd_queries_total", mode=mode)
            self.ask("plain", queries=rows, mode=mode)
            after = harness.metric(self.daemon.metrics(), "hopfieldd_queries_total", mode=mode)
            self.assertEqual(after - before, 3, mode)


class Returns(Models):
    WITH_SCORES = ("top_k", "random_mask", "window", "sparsemax", "entmax")

    def test_top_support_and_weights_are_of_the_modes_own_weights(self):
        for name in ("plain", "valued", "cosine", "single"):
            queries = self.queries(name, 2)
            M = len(self.sets[name].keys)
            for mode in self.WITH_SCORES:
                model = {"k": 3} if mode == "top_k" else {"keep": 0.2, "seed": 4} if mode == "random_mask" else {}
                with self.subTest(name=name, mode=mode):
                    answer = self.ask(
                        name,
                        queries=queries,
                        beta=2.0,
                        mode=mode,
                        top=6,
                        **{"model": model, "return": ["top", "support", "weights"]},
                    )
                    for i, query in enumerate(queries):
                        p = self.reference(name, mode, query, 2.0, i, 2, **model)
                        some = sorted((j for j in range(M) if p[j] > Decimal("1e-9")), key=lambda j: (-p[j], j))
                        top = answer["top"][i]
                        self.assertEqual([t["id"] for t in top][: len(some)], some[:6])
                        self.assertLessEqual(len(top), 6)
                        for t in top:
                            self.assertAlmostEqual(float(t["weight"]), float(p[t["id"]]), delta=1e-6)
                            self.assertGreater(t["weight"], 0)
                        for j in range(M):
                            self.assertAlmostEqual(float(answer["weights"][i][j]), float(p[j]), delta=1e-6)
                        support = 1 / sum(v * v for v in p)
                        self.assertAlmostEqual(float(answer["support"][i]), float(support), delta=1e-5 * float(support))

    def test_energies_of_the_kept_memories(self):
        queries = self.queries("plain", 3)
        own = self.sets["plain"]
        for mode, model in (("top_k", {"k": 4}), ("random_mask", {"keep": 0.5, "seed": 1}), ("window", {"width": 2})):
            answer = self.ask(
                "plain", queries=queries, beta=2.0, mode=mode, **{"model": model, "return": ["energy", "log_sum_exp"]}
            )
            for i, query in enumerate(queries):
                scores, x = own.scores(query, 2.0)
                p = self.reference("plain", mode, query, 2.0, i, 3, **model)
                kept = [s for s, w in zip(scores, p) if w > 0]
                lse = sum((s.exp() for s in kept), Decimal(0)).ln() / 2
                error = abs(Decimal(answer["log_sum_exp"][i]) - lse)
                self.assertLessEqual(error, Decimal(answer["log_sum_exp_bound"][i]), mode)
                error = abs(Decimal(answer["energy"][i]) - (oracle.dot(x, x) / 2 - lse))
                self.assertLessEqual(error, Decimal(answer["energy_bound"][i]), mode)

    def test_sparsemax_energy(self):
        # Psi*(z) = <p, z> - Psi(p), Psi(p) = (|p|^2 - 1)/2 on the simplex: E = |x|^2/2 - Psi*(beta Xi^T x)/beta
        queries = self.queries("plain", 3)
        own = self.sets["plain"]
        answer = self.ask("plain", queries=queries, beta=2.0, mode="sparsemax", **{"return": ["energy"]})
        for i, query in enumerate(queries):
            scores, x = own.scores(query, 2.0)
            p = own.sparsemax(query, 2.0)
            conjugate = oracle.dot(p, scores) - (oracle.dot(p, p) - 1) / 2
            error = abs(Decimal(answer["energy"][i]) - (oracle.dot(x, x) / 2 - conjugate / 2))
            self.assertLessEqual(error, Decimal(answer["energy_bound"][i]))

    def test_what_has_no_meaning_is_refused(self):
        for mode, words in (
            ("linear", ("top", "support", "weights", "energy", "log_sum_exp")),
            ("random_features", ("top", "support", "weights", "energy", "log_sum_exp")),
            ("sparsemax", ("log_sum_exp",)),
            ("entmax", ("log_sum_exp",)),
        ):
            for word in words:
                problem = self.ask("plain", status=422, queries=[[0] * 5], mode=mode, **{"return": [word]})
                self.assertEqual(problem["code"], "domain", problem)
                self.assertIn(mode, problem["detail"])

    def test_steps(self):
        query = self.queries("plain", 1)
        for mode in ALL:
            with self.subTest(mode=mode):
                answer = self.ask("plain", queries=query, beta=4, mode=mode, steps=3, **{"return": ["steps"]})
                state = query
                for _ in range(answer["steps"][0]):
                    one = self.ask("plain", queries=state, beta=4, mode=mode)
                    state = [self.z(one, 0)]
                self.assertEqual(self.z(answer, 0), state[0])
        self.assertEqual(self.ask("valued", status=422, queries=[[0] * 4], mode="linear", steps=2)["code"], "shape")


class Sums(tap.Case):
    """What linear and random_features answer from: kept, bounded, charged."""

    @staticmethod
    def ask(daemon, seed=0, features=64, name="s", status=200, mode="random_features"):
        model = {"features": features, "seed": seed} if mode == "random_features" else {}
        answer = daemon.retrieve(name, {"queries": [[0.1] * 8], "beta": 1, "mode": mode, "model": model})
        assert answer.status == status, answer
        return answer.json()

    @staticmethod
    def lookups(daemon):
        series = daemon.metrics()
        return [
            harness.metric(series, "hopfieldd_sums_lookups_total", result="found"),
            harness.metric(series, "hopfieldd_sums_lookups_total", result="built"),
            harness.metric(series, "hopfieldd_sums_dropped_total"),
            harness.metric(series, "hopfieldd_sums"),
        ]

    def test_they_are_made_once_and_go_with_their_version(self):
        with Daemon() as daemon:
            daemon.put("s", {"memories": harness.uniform_rows(1, 200, 8), "max_degree": 0})
            empty = daemon.get("/v1/sets/s").json()["bytes"]
            self.assertEqual(empty["sums"], 0)
            first, again = self.ask(daemon), self.ask(daemon)
            self.assertGreater(first["timing_ms"]["sums"], 0)
            self.assertEqual(again["timing_ms"]["sums"], 0)
            self.assertEqual(first["retrieved"], again["retrieved"])
            self.ask(daemon, mode="linear")
            self.assertEqual(self.lookups(daemon), [1, 2, 0, 2])
            held = daemon.get("/v1/sets/s").json()["bytes"]
            self.assertGreater(held["sums"], 0)
            self.assertEqual(held["total"], empty["total"] + held["sums"])
            self.assertEqual(daemon.get("/v1/info").json()["memory"]["sums_bytes"], held["sums"])

            daemon.put("s", {"memories": harness.uniform_rows(2, 200, 8), "max_degree": 0})
            harness.eventually(lambda: self.assertEqual(self.lookups(daemon)[3], 0))
            other = self.ask(daemon)
            self.assertGreater(other["timing_ms"]["sums"], 0)
            self.assertNotEqual(first["retrieved"], other["retrieved"])
            daemon.delete("s")

            def nothing_is_left():
                series = daemon.metrics()
                self.assertEqual(harness.metric(series, "hopfieldd_sums_bytes"), 0)
                self.assertEqual(harness.metric(series, "hopfieldd_memory_reserved_bytes"), 0)

            harness.eventually(nothing_is_left)

    def test_the_least_recently_used_are_given_up_and_what_never_fits_is_507(self):
        with Daemon("--sums-bytes", "200k") as daemon:
            self.assertEqual(daemon.get("/v1/info").json()["limits"]["sums_bytes"], 200 << 10)
            daemon.put("s", {"memories": harness.uniform_rows(1, 100, 8), "max_degree": 0})
            for seed in range(40):
                self.ask(daemon, seed, features=256)
                self.ask(daemon, 0, features=256)  # always in use
            found, built, dropped, kept = self.lookups(daemon)
            self.assertEqual((found, built), (40, 40))
            self.assertEqual(kept, 40 - dropped)
            self.assertGreater(dropped, 0)
            series = daemon.metrics()
            self.assertLessEqual(harness.metric(series, "hopfieldd_sums_bytes"), 200 << 10)
            self.assertGreater(self.ask(daemon, 1, features=256)["timing_ms"]["sums"], 0)

            problem = self.ask(daemon, features=65536, status=507)
            self.assertEqual((problem["code"], problem["limit"]), ("memory_budget", 200 << 10))
            self.assertGreater(problem["actual"], 200 << 10)
            self.ask(daemon, 3, features=256)
            self.assertEqual(daemon.retrieve("s", {"queries": [[0.1] * 8]}).status, 200)

    def test_they_leave_the_memory_budget_to_others(self):
        # All that is left of the budget is too little for the sums: 507, and the set goes on serving.
        with Daemon("--memory-budget", "1M", "--sums-bytes", "1M") as daemon:
            daemon.put("s", {"memories": harness.uniform_rows(1, 50, 8), "max_degree": 0})
            problem = self.ask(daemon, features=65536, status=507)
            self.assertEqual(problem["code"], "memory_budget")
            self.assertEqual(harness.metric(daemon.metrics(), "hopfieldd_rejected_total", reason="memory"), 1)
            self.ask(daemon, features=16)

    def test_a_crowd_shares_them(self):
        with Daemon("--sums-bytes", "600k", "--workers", "3") as daemon:  # about four of the five
            daemon.put("s", {"memories": harness.uniform_rows(1, 3000, 8), "max_degree": 0})
            clients = harness.Clients()
            seen = {}

            def ask(turn):
                for i in range(6 if harness.FAST else 20):
                    seed = (i + turn) % 5
                    z = str(self.ask(daemon, seed, features=512)["retrieved"])
                    assert seen.setdefault(seed, z) == z

            for turn in range(6):
                clients.run(ask, turn)
            clients.join()
            self.assertEqual(len(seen), 5)


if __name__ == "__main__":
    tap.main()
