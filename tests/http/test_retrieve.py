#!/usr/bin/env python3
"""Retrieval: every answered row is held against 50-digit arithmetic, |z - exact| <= error_bound <= max_error."""

import math
import re
from decimal import Decimal

import harness
import oracle
import tap
from harness import JSON, NPY, OCTETS, Daemon, f32

ENOUGH = 3 if harness.FAST else 12


class Retrieval(tap.Case):
    """A daemon with a set of each kind; the oracle knows the same rows."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon().start()
        cls.sets = {}
        cls.load("plain", harness.uniform_rows(11, 40, 5))
        cls.load("valued", harness.uniform_rows(12, 30, 4), values=harness.uniform_rows(13, 30, 3, -50, 50))
        cls.load("cosine", harness.uniform_rows(14, 25, 6), similarity="cosine")
        # 16 rows of small integers: the mean is exact in every format, so key rounding cannot be ambiguous.
        cls.load(
            "centred",
            [[float(round(v)) for v in row] for row in harness.uniform_rows(15, 16, 5, 0, 16)],
            similarity="centered_cosine",
        )
        cls.load("constant", [[1.5, v[0], -3.0] for v in harness.uniform_rows(16, 20, 1)])
        cls.load("offset", [[v + 1000 for v in row] for row in harness.uniform_rows(17, 20, 4)])
        cls.load("tiny", [[v * 1e-20 for v in row] for row in harness.uniform_rows(18, 20, 4)])
        cls.load("single", [[0.75, -1.0 / 3]])
        for name in cls.sets:
            cls.daemon.wait_ready(name)

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    @classmethod
    def load(cls, name, memories, values=None, similarity="dot"):
        memories = harness.f32_rows(memories)
        values = harness.f32_rows(values) if values else None
        body = {"memories": memories, "similarity": similarity, "max_degree": 4}
        if values:
            body["values"] = values
        answer = cls.daemon.put(name, body)
        assert answer.status == 201, answer
        cls.sets[name] = oracle.Set(memories, values, similarity)

    def queries(self, name, count, scale=1.0, seed=100):
        d = len(self.sets[name].keys[0])
        return harness.uniform_rows(seed, count, d, -scale, scale)

    def ask(self, name, status=200, **body):
        answer = self.daemon.retrieve(name, body)
        self.assertEqual(answer.status, status, answer)
        return answer.exact() if status == 200 else answer.json()

    def hold(self, name, answer, queries, beta, max_error=None):
        """Every row within its bound, every bound within the promise."""
        self.assertEqual(len(answer["retrieved"]), len(queries))
        self.assertEqual(len(answer["error_bound"]), len(queries))
        self.assertEqual(answer["L"], len(queries))
        self.assertEqual(answer["bound_against"], "dense")
        for i, query in enumerate(queries):
            bound = Decimal(answer["error_bound"][i])
            allowed = bound + self.sets[name].own_error
            z = [f32(float(v)) for v in answer["retrieved"][i]]
            error = oracle.distance(z, self.sets[name].retrieve(query, beta))
            self.assertLessEqual(error, allowed, "row %d of %s is off by more than its bound" % (i, name))
            if max_error is not None:
                self.assertLessEqual(bound, Decimal(max_error), "row %d: the bound breaks the promise" % i)


class Bounds(Retrieval):
    def test_dense_rows_are_within_their_bounds(self):
        for name in self.sets:
            for beta in (1e-3, 0.5, 3.0, 40.0):
                with self.subTest(name=name, beta=beta):
                    queries = self.queries(name, ENOUGH)
                    answer = self.ask(name, queries=queries, beta=beta, mode="dense", on_unmet="best_effort")
                    self.assertEqual(
                        (answer["mode"], answer["fallback"], set(answer["degree"])), ("dense", None, {0})
                    )
                    self.hold(name, answer, queries, beta)

    def test_almost_linear_rows_are_within_their_bounds(self):
        for name in self.sets:
            for beta in (1e-3, 0.3, 1.0):
                with self.subTest(name=name, beta=beta):
                    queries = self.queries(name, ENOUGH)
                    answer = self.ask(
                        name, queries=queries, beta=beta, mode="almost_linear", on_unmet="best_effort"
                    )
                    self.assertEqual(answer["mode"], "almost_linear")
                    self.assertTrue(all(g == -1 or 1 <= g <= 4 for g in answer["degree"]), answer["degree"])
                    self.assertEqual(answer["dense_rows"], [])
                    self.hold(name, answer, queries, beta)

    def test_what_auto_answers_meets_max_error(self):
        for name in ("plain", "valued", "cosine", "centred"):
            for beta in (0.01, 0.5, 4.0):
                for max_error in (1e-1, 1e-3, 1e-5):
                    with self.subTest(name=name, beta=beta, max_error=max_error):
                        queries = self.queries(name, ENOUGH)
                        answer = self.ask(name, queries=queries, beta=beta, max_error=max_error)
                        self.hold(name, answer, queries, beta, max_error)

    def test_the_default_max_error_is_kept_too(self):
        for name in ("plain", "valued", "cosine", "centred", "offset", "tiny"):
            with self.subTest(name=name):
                about = self.daemon.get("/v1/sets/" + name).exact()
                queries = self.queries(name, ENOUGH)
                answer = self.ask(name, queries=queries)
                self.assertEqual(answer["beta"], about["beta"])
                self.hold(name, answer, queries, float(about["beta"]), about["max_error"])

    def test_large_and_tiny_queries_and_zero(self):
        d = 5
        queries = [
            [0.0] * d,
            [1e-38] * d,
            [1e-45] + [0.0] * (d - 1),
            [1e4] * d,
            [-3e5] + [1.0] * (d - 1),
            [3e38] * d,
        ]
        queries = harness.f32_rows(queries)
        for mode in ("auto", "dense", "almost_linear"):
            with self.subTest(mode=mode):
                answer = self.ask("plain", queries=queries, beta=1.0, mode=mode, on_unmet="best_effort")
                self.hold("plain", answer, queries, 1.0)

    def test_extreme_beta(self):
        queries = self.queries("plain", 3)
        for beta in (1e-300, 5e-324, 1e-12, 1e6, 1e30, 1e308):
            with self.subTest(beta=beta):
                answer = self.ask("plain", queries=queries, beta=beta, on_unmet="best_effort")
                self.assertEqual(float(answer["beta"]), beta)
                self.hold("plain", answer, queries, beta)

    def test_queries_are_taken_as_cast_to_f32(self):
        answer = self.ask("plain", queries=[[0.1, 1 / 3, 1e-50, -0.7, 2.00000001]], beta=2.0, max_error=1e-4)
        self.hold("plain", answer, [[0.1, 1 / 3, 1e-50, -0.7, 2.00000001]], 2.0, 1e-4)

    def test_one_memory_and_constant_coordinates_are_exact(self):
        answer = self.ask("single", queries=[[1, 2], [-5, 3]])
        self.assertEqual([[f32(float(v)) for v in row] for row in answer["retrieved"]], [[0.75, f32(-1 / 3)]] * 2)
        self.assertEqual(answer["error_bound"], [0, 0])
        answer = self.ask("constant", queries=[[0.3, 0.2, 0.1]], beta=0.8)
        self.assertEqual((answer["retrieved"][0][0], answer["retrieved"][0][2]), (Decimal("1.5"), -3))

    def test_a_row_in_a_batch_and_alone_agree_within_their_bounds(self):
        queries = self.queries("plain", 9)
        whole = self.ask("plain", queries=queries, beta=2.0, mode="dense")
        for q, query in enumerate(queries):
            alone = self.ask("plain", queries=[query], beta=2.0, mode="dense")
            allowed = whole["error_bound"][q] + alone["error_bound"][0]
            for a, b in zip(whole["retrieved"][q], alone["retrieved"][0]):
                self.assertLessEqual(abs(a - b), allowed)

    def test_max_error_0_is_met_only_where_the_answer_is_exact(self):
        self.assertEqual(self.ask("single", queries=[[1, 2]], max_error=0)["error_bound"], [0])
        problem = self.ask("plain", status=422, queries=self.queries("plain", 2), max_error=0)
        self.assertEqual((problem["code"], problem["row"], problem["limit"]), ("unmet_max_error", 0, 0))
        self.assertGreater(problem["actual"], 0)

    def test_numbers_are_the_shortest_that_read_back(self):
        text = self.daemon.retrieve("plain", {"queries": self.queries("plain", 20), "beta": 1.5}).body.decode()
        inside = re.search(r'"retrieved":\s*\[(.*?)\]\]', text, re.S).group(1)
        for number in re.findall(r"-?[0-9][0-9.eE+-]*", inside):
            digits = len(Decimal(number).normalize().as_tuple().digits)
            value = f32(float(number))
            if digits > 1:
                shorter = float("%.*e" % (digits - 2, value))
                self.assertNotEqual(f32(shorter), value, "%s has a shorter form" % number)


class Formats(Retrieval):
    def setUp(self):
        self.rows = self.queries("plain", 3)
        self.expected = self.ask("plain", queries=self.rows, beta=0.75, mode="dense")["retrieved"]

    def post(self, body, query="?beta=0.75&mode=dense", **more):
        answer = self.daemon.retrieve("plain", body, query, **more)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def test_one_flat_row(self):
        answer = self.ask("plain", queries=self.rows[0], beta=0.75, mode="dense")
        self.assertEqual((answer["L"], answer["retrieved"]), (1, self.expected[:1]))

    def test_base64(self):
        answer = self.ask("plain", queries_b64=harness.b64_f32(self.rows), shape=[3, 5], beta=0.75, mode="dense")
        self.assertEqual(answer["retrieved"], self.expected)

    def test_npy_and_its_types_and_orders(self):
        for descr in ("<f4", "<f8"):
            for fortran in (False, True):
                with self.subTest(descr=descr, fortran=fortran):
                    answer = self.post(harness.npy(self.rows, descr, fortran), type=NPY)
                    self.assertEqual(answer.exact()["retrieved"], self.expected)

    def test_raw_f32_and_npy_by_its_magic(self):
        self.assertEqual(self.post(harness.pack_f32(self.rows), type=OCTETS).exact()["retrieved"], self.expected)
        self.assertEqual(self.post(harness.npy(self.rows), type=OCTETS).exact()["retrieved"], self.expected)

    def test_json_type_with_parameters_and_capitals(self):
        body = '{"queries": [[1,2,3,4,5]]}'
        for kind in ("application/json; charset=utf-8", "Application/JSON"):
            self.assertEqual(self.daemon.retrieve("plain", body, type=kind).status, 200)

    def test_npy_out_is_z_alone_with_its_headers(self):
        for accept in (NPY, "application/json;q=0.5, application/x-npy"):
            answer = self.daemon.retrieve(
                "plain", {"queries": self.rows, "beta": 0.75, "mode": "dense"}, headers={"Accept": accept}
            )
            self.assertEqual((answer.status, answer.type), (200, NPY))
            self.assertEqual(harness.read_npy(answer.body), [[f32(float(v)) for v in row] for row in self.expected])
            self.assertEqual(answer.headers["hopfield-mode"], "dense")
            self.assertEqual(answer.headers["hopfield-version"], "1")
            bound = Decimal(answer.headers["hopfield-error-bound-max"])
            for query, z in zip(self.rows, harness.read_npy(answer.body)):
                self.assertLessEqual(oracle.distance(z, self.sets["plain"].retrieve(query, 0.75)), bound)

    def test_accept_anything_and_json_give_json(self):
        for accept in ("*/*", "application/*", JSON, "text/html, */*;q=0.1"):
            answer = self.daemon.retrieve("plain", {"queries": self.rows}, headers={"Accept": accept})
            self.assertEqual((answer.status, answer.type), (200, JSON), accept)

    def test_return_in_the_query_string_is_a_list(self):
        answer = self.post(harness.npy(self.rows), "?return=energy,top&top=2", type=NPY).json()
        self.assertEqual([len(row) for row in answer["top"]], [2, 2, 2])
        self.assertIn("energy", answer)

    def test_every_option_has_its_query_parameter(self):
        answer = self.post(
            harness.npy(self.rows),
            "?beta=2&mode=dense&max_error=0.01&steps=2&tolerance=0&" "on_unmet=best_effort&return=steps",
            type=NPY,
        ).json()
        self.assertEqual((answer["beta"], answer["mode"], answer["steps"]), (2, "dense", [2, 2, 2]))

    def test_many_queries_in_one_batch(self):
        count = 64 if harness.FAST else 3000
        rows = self.queries("plain", count, seed=5)
        answer = self.post(harness.npy(rows), "?beta=0.5&max_error=1e-3", type=NPY).exact()
        self.assertEqual(answer["L"], count)
        some = range(0, count, max(1, count // 20))
        picked = {
            **answer,
            "retrieved": [answer["retrieved"][i] for i in some],
            "L": len(some),
            "error_bound": [answer["error_bound"][i] for i in some],
        }
        self.hold("plain", picked, [rows[i] for i in some], 0.5, 1e-3)


class Returns(Retrieval):
    def test_energy_and_log_sum_exp_are_within_their_bounds(self):
        for name in ("plain", "valued", "cosine", "centred", "offset"):
            for beta in (0.01, 1.0, 30.0):
                with self.subTest(name=name, beta=beta):
                    queries = self.queries(name, 4)
                    answer = self.ask(
                        name,
                        queries=queries,
                        beta=beta,
                        on_unmet="best_effort",
                        **{"return": ["energy", "log_sum_exp"]}
                    )
                    self.hold_energy(name, answer, queries, beta)

    def hold_energy(self, name, answer, queries, beta):
        for i, query in enumerate(queries):
            lse, _ = self.sets[name].log_sum_exp(query, beta)
            energy = self.sets[name].energy(query, beta)
            self.assertLessEqual(
                abs(Decimal(answer["log_sum_exp"][i]) - lse), Decimal(answer["log_sum_exp_bound"][i])
            )
            self.assertLessEqual(abs(Decimal(answer["energy"][i]) - energy), Decimal(answer["energy_bound"][i]))

    def test_the_energy_route_answers_bounds_without_retrieval(self):
        for name in ("plain", "valued", "cosine", "centred"):
            for mode in ("auto", "dense", "almost_linear"):
                for beta in (0.01, 0.7):
                    with self.subTest(name=name, mode=mode, beta=beta):
                        queries = self.queries(name, 4)
                        reply = self.daemon.post(
                            "/v1/sets/%s/energy" % name,
                            {"queries": queries, "beta": beta, "mode": mode, "on_unmet": "best_effort"},
                        )
                        self.assertEqual(reply.status, 200, reply)
                        self.assertNotIn("retrieved", reply.json())
                        self.hold_energy(name, reply.exact(), queries, beta)

    def test_the_energy_routes_max_error_is_a_promise_about_energies(self):
        queries = self.queries("plain", 4)
        reply = self.daemon.post("/v1/sets/plain/energy", {"queries": queries, "beta": 0.7, "max_error": 1e-4})
        self.assertEqual(reply.status, 200, reply)
        self.assertLessEqual(max(reply.exact()["energy_bound"]), Decimal(1e-4))
        reply = self.daemon.post("/v1/sets/plain/energy", {"queries": queries, "beta": 0.7, "max_error": 1e-30})
        self.assertEqual((reply.status, reply.json()["code"]), (422, "unmet_max_error"))

    def test_top_are_the_heaviest_memories_in_order(self):
        queries = self.queries("plain", 5)
        answer = self.ask("plain", queries=queries, beta=3.0, top=7, **{"return": ["top"]})
        for query, top in zip(queries, answer["top"]):
            weights = self.sets["plain"].weights(query, 3.0)
            order = sorted(range(len(weights)), key=lambda mu: (-weights[mu], mu))[:7]
            self.assertEqual([t["id"] for t in top], order)
            for t in top:
                self.assertAlmostEqual(float(t["weight"]), float(weights[t["id"]]), delta=1e-5)
                self.assertIsNone(t["label"])
        self.assertEqual((answer["mode"], answer["fallback"]), ("dense", "return"))
        self.assertEqual(answer["dense_rows"], list(range(5)))

    def test_equal_weights_go_to_the_lower_id_and_top_is_clipped_to_M(self):
        self.daemon.put("twins", {"memories": [[1, 0], [0, 1], [1, 0], [0, 1]]})
        answer = self.ask("twins", queries=[[1, 0], [0, 1]], top=9, **{"return": ["top"]})
        self.assertEqual([[t["id"] for t in top] for top in answer["top"]], [[0, 2, 1, 3], [1, 3, 0, 2]])

    def test_support_and_weights(self):
        queries = self.queries("valued", 4)
        answer = self.ask("valued", queries=queries, beta=1.2, **{"return": ["support", "weights"]})
        for query, support, row in zip(queries, answer["support"], answer["weights"]):
            weights = self.sets["valued"].weights(query, 1.2)
            self.assertAlmostEqual(float(support), float(1 / sum(w * w for w in weights)), delta=1e-3)
            self.assertEqual(len(row), 30)
            self.assertAlmostEqual(math.fsum(float(v) for v in row), 1.0, delta=1e-5)
            for a, b in zip(row, weights):
                self.assertAlmostEqual(float(a), float(b), delta=1e-6)

    def test_scores_beyond_f64_give_numbers_or_a_refusal(self):
        reply = self.daemon.retrieve(
            "plain",
            {
                "queries": [[f32(3e38)] * 5],
                "beta": 1e300,
                "on_unmet": "best_effort",
                "return": ["top", "support", "weights"],
            },
        )  # the contract check of the harness refuses nulls
        self.assertIn(reply.status, (200, 422))

    def test_almost_linear_cannot_return_what_needs_every_score(self):
        for word in ("top", "support", "weights"):
            with self.subTest(word=word):
                problem = self.ask(
                    "plain",
                    status=422,
                    queries=self.queries("plain", 1),
                    mode="almost_linear",
                    **{"return": [word]}
                )
                self.assertIn("almost_linear", problem["detail"])

    def test_only_what_was_asked_for_is_returned(self):
        answer = self.ask("plain", queries=self.queries("plain", 1), **{"return": ["log_sum_exp"]})
        self.assertIn("log_sum_exp", answer)
        for word in ("top", "support", "weights", "steps"):
            self.assertNotIn(word, answer)


class Steps(Retrieval):
    def test_each_step_starts_from_the_previous_answer(self):
        queries = self.queries("plain", 4)
        beta = 6.0
        one = self.ask("plain", queries=queries, beta=beta, mode="dense")
        middle = [[f32(float(v)) for v in row] for row in one["retrieved"]]
        two = self.ask("plain", queries=queries, beta=beta, mode="dense", steps=2, **{"return": ["steps"]})
        self.assertEqual(two["steps"], [2] * 4)
        self.hold("plain", two, middle, beta)
        for a, b in zip(one["error_bound"], two["error_bound"]):
            self.assertGreaterEqual(b, a, "the bound is the largest over the steps taken")

    def test_a_row_stops_when_its_change_is_below_the_tolerance(self):
        answer = self.ask(
            "plain",
            queries=self.queries("plain", 4),
            beta=60.0,
            mode="dense",
            steps=64,
            tolerance=0.25,
            **{"return": ["steps"]}
        )
        self.assertTrue(all(1 <= n < 64 for n in answer["steps"]), answer["steps"])

    def test_steps_need_values_of_the_same_dimension(self):
        problem = self.ask("valued", status=422, queries=self.queries("valued", 1), steps=2)
        self.assertIn("step", problem["detail"])
        self.assertEqual(
            self.daemon.retrieve("valued", {"queries": self.queries("valued", 1), "steps": 1}).status, 200
        )


class Plan(Retrieval):
    def plan(self, name, **body):
        reply = self.daemon.post("/v1/sets/%s/plan" % name, body)
        self.assertEqual(reply.status, 200, reply)
        return reply.json()

    def test_a_plan_has_a_choice_and_candidates_for_each_row(self):
        queries = self.queries("plain", 3)
        plan = self.plan("plain", queries=queries, beta=0.5)
        self.assertEqual((plan["L"], len(plan["plan"])), (3, 3))
        for query, row in zip(queries, plan["plan"]):
            self.assertEqual(row["candidates"][0]["mode"], "dense")
            chosen = [c for c in row["candidates"] if (c["mode"], c["degree"]) == (row["mode"], row["degree"])]
            self.assertEqual(len(chosen), 1)
            self.assertEqual({c["degree"] for c in row["candidates"]}, {0, 1, 2, 3, 4})
            scores, _ = self.sets["plain"].scores(query, 0.5)
            mean = sum(scores) / len(scores)
            self.assertGreaterEqual(
                Decimal(row["radius"]) * (1 + Decimal("1e-12")), max(abs(s - mean) for s in scores)
            )

    def test_a_plan_says_why_dense(self):
        queries = self.queries("plain", 1, scale=200.0)
        self.assertEqual(self.plan("plain", queries=queries, beta=5.0, mode="auto")["plan"][0]["mode"], "dense")

    def test_a_plan_counts_what_is_to_be_returned(self):
        queries = self.queries("plain", 1)
        for word in ("top", "support", "weights"):
            row = self.plan("plain", queries=queries, beta=1e-3, **{"return": [word]})["plan"][0]
            answer = self.ask("plain", queries=queries, beta=1e-3, **{"return": [word]})
            self.assertEqual((answer["mode"], answer["fallback"]), ("dense", "return"))
            self.assertEqual((row["mode"], row["fallback"]), ("dense", "return"))


class Auto(tap.Case):
    """A set large enough for almost-linear to be the cheaper way."""

    M, d = (20000 if harness.FAST else 100000), 3

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon().start()
        cls.rows = harness.uniform_rows(21, cls.M, cls.d)
        assert cls.daemon.put("large", harness.npy(cls.rows), "?max_degree=6", type=NPY).status == 201
        cls.daemon.wait_ready("large")

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def exact(self, query, beta):
        """Dense retrieval in f64 with exactly rounded sums: good to 1e-12 here, where bounds are above 1e-8."""
        scores = [beta * math.fsum(a * b for a, b in zip(row, query)) for row in self.rows]
        top = max(scores)
        weights = [math.exp(s - top) for s in scores]
        total = math.fsum(weights)
        return [math.fsum(w * row[j] for w, row in zip(weights, self.rows)) / total for j in range(self.d)]

    def test_easy_rows_go_almost_linear_and_hard_rows_dense_in_one_batch(self):
        easy, hard = [0.25, -0.5, 0.125], [90.0, 40.0, -70.0]
        queries = [easy, hard, easy, hard]
        reply = self.daemon.retrieve("large", {"queries": queries, "beta": 0.5, "max_error": 1e-4})
        self.assertEqual(reply.status, 200, reply)
        answer = reply.json()
        self.assertEqual((answer["mode"], answer["dense_rows"], answer["fallback"]), ("mixed", [1, 3], "bound"))
        self.assertEqual([g > 0 for g in answer["degree"]], [True, False, True, False])
        self.assertEqual(answer["retrieved"][0], answer["retrieved"][2])
        for query, z, bound in list(zip(queries, answer["retrieved"], answer["error_bound"]))[:2]:
            self.assertLessEqual(bound, 1e-4)
            error = max(abs(f32(a) - b) for a, b in zip(z, self.exact(query, 0.5)))
            self.assertLessEqual(error, bound + 1e-12)

    def test_every_beta_from_the_same_maps(self):
        for beta in (1e-6, 0.1, 0.5, 1.0):
            answer = self.daemon.retrieve("large", {"queries": [[0.3, 0.1, -0.2]], "beta": beta}).json()
            self.assertEqual(answer["mode"], "almost_linear", answer)
            error = max(
                abs(f32(a) - b)
                for a, b in zip(answer["retrieved"][0], self.exact([f32(0.3), f32(0.1), f32(-0.2)], beta))
            )
            self.assertLessEqual(error, answer["error_bound"][0] + 1e-12)

    def test_an_unmet_promise_is_422_with_row_bound_and_limit_or_best_effort(self):
        body = {"queries": [[0.1, 0.1, 0.1], [50, 50, 50]], "beta": 1.0, "mode": "almost_linear", "max_error": 1e-3}
        reply = self.daemon.retrieve("large", body)
        self.assertEqual(reply.status, 422, reply)
        problem = reply.json()
        self.assertEqual((problem["code"], problem["row"], problem["limit"]), ("unmet_max_error", 1, 1e-3))
        self.assertGreater(problem["actual"], 1e-3)
        self.assertIn("row 1", problem["detail"])
        answer = self.daemon.retrieve("large", {**body, "on_unmet": "best_effort"}).json()
        self.assertLessEqual(answer["error_bound"][0], 1e-3)
        self.assertGreater(answer["error_bound"][1], 1e-3)
        error = max(abs(f32(a) - b) for a, b in zip(answer["retrieved"][1], self.exact([50.0] * 3, 1.0)))
        self.assertLessEqual(error, answer["error_bound"][1] + 1e-12)

    def test_a_tighter_max_error_takes_a_higher_degree(self):
        degrees = []
        for max_error in (1e-1, 1e-3, 1e-5):
            answer = self.daemon.retrieve(
                "large", {"queries": [[0.5, 0.5, 0.5]], "beta": 0.5, "max_error": max_error}
            ).json()
            self.assertLessEqual(answer["error_bound"][0], max_error)
            degrees.append(answer["degree"][0])
        self.assertEqual(degrees, sorted(degrees))
        self.assertLess(degrees[0], degrees[-1])

    def test_npy_out_says_mixed(self):
        answer = self.daemon.retrieve(
            "large",
            {"queries": [[0.25, -0.5, 0.125], [90, 40, -70]], "beta": 0.5, "max_error": 1e-4},
            headers={"Accept": NPY},
        )
        self.assertEqual(answer.headers["hopfield-mode"], "mixed")
        self.assertLessEqual(float(answer.headers["hopfield-error-bound-max"]), 1e-4)

    def test_several_steps_in_auto_keep_the_promise_of_each_step(self):
        one = self.daemon.retrieve("large", {"queries": [[0.5, 0.25, -0.5]], "beta": 1.0, "max_error": 1e-3}).json()
        two = self.daemon.retrieve(
            "large", {"queries": [[0.5, 0.25, -0.5]], "beta": 1.0, "max_error": 1e-3, "steps": 2}
        ).json()
        middle = [f32(v) for v in one["retrieved"][0]]
        error = max(abs(f32(a) - b) for a, b in zip(two["retrieved"][0], self.exact(middle, 1.0)))
        self.assertLessEqual(error, two["error_bound"][0] + 1e-12)
        self.assertLessEqual(two["error_bound"][0], 1e-3)


if __name__ == "__main__":
    tap.main()
