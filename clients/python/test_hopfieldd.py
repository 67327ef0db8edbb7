"""The Python client against a daemon of its own. PYTHONPATH names the folder of the black-box harness."""

import array
import math
import sys

import harness
import tap

from hopfieldd import Client, Problem


class Rows:
    """As much of a numpy array as the client uses."""

    def __init__(self, rows):
        self.rows = rows
        self.shape = (len(rows), len(rows[0]))

    def astype(self, dtype, order):
        assert (dtype, order) == ("<f4", "C") and sys.byteorder == "little"
        return self

    def tobytes(self):
        return array.array("f", (v for row in self.rows for v in row)).tobytes()

    def tolist(self):
        return self.rows


class PythonClient(tap.Case):
    @classmethod
    def setUpClass(cls):
        cls.daemon = harness.Daemon().start()
        cls.client = Client("http://127.0.0.1:%d" % cls.daemon.port)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.daemon.stop()

    def held(self, answer):
        """The compass answers (0.9, 0.2) within its bound."""
        weights = [math.exp(2 * t) for t in (0.9, 0.2, -0.9)]
        exact = ((weights[0] - weights[2]) / sum(weights), weights[1] / sum(weights))
        bound = answer["error_bound"][0]
        self.assertLessEqual(bound, 1e-4)
        for got, want in zip(answer["retrieved"][0], exact):
            self.assertLessEqual(abs(got - want), bound + 1e-7)  # 0.9 and 0.2 are rounded to f32

    def test_a_set_lives_and_answers(self):
        described = self.client.put("compass", [[1, 0], [0, 1], [-1, 0]], beta=2)
        self.assertEqual((described["M"], described["d"], described["version"]), (3, 2, 1))
        self.held(self.client.retrieve("compass", [[0.9, 0.2]], max_error=1e-4))
        self.assertIn("compass", [s["name"] for s in self.client.sets()])
        self.assertEqual(self.client.describe("compass")["beta"], 2)
        self.client.delete("compass")
        with self.assertRaises(Problem) as raised:
            self.client.describe("compass")
        self.assertEqual((raised.exception.status, raised.exception.code), (404, "no_such_set"))

    def test_arrays_travel_as_bytes(self):
        self.client.put("bytes", Rows([[1, 0], [0, 1], [-1, 0]]), beta=2, similarity="dot")
        self.held(self.client.retrieve("bytes", Rows([[0.9, 0.2]]), max_error=1e-4))

    def test_values_labels_and_returns(self):
        self.client.put("pairs", [[1, 0], [0, 1]], values=[[5.0], [7.0]], labels=["east", "north"], beta=50)
        answer = self.client.retrieve("pairs", [[0, 1]], returns=["top", "energy"], top=1)
        self.assertEqual(answer["top"][0][0]["label"], "north")
        self.assertAlmostEqual(answer["retrieved"][0][0], 7.0, delta=answer["error_bound"][0] + 1e-12)
        self.assertEqual(len(answer["energy"]), 1)

    def test_energy_and_plan(self):
        self.client.put("plan", [[1, 0], [0, 1]], beta=1)
        energy = self.client.energy("plan", [[0, 0]])
        self.assertAlmostEqual(energy["log_sum_exp"][0], math.log(2), delta=energy["log_sum_exp_bound"][0] + 1e-12)
        self.assertEqual(len(self.client.plan("plan", [[0, 0]])["plan"]), 1)

    def test_structured_models(self):
        self.client.put("modes", [[1, 0], [0, 1], [-1, 0]], beta=2)
        answer = self.client.retrieve("modes", [[0.9, 0.2]], mode="top_k", model={"k": 1})
        self.assertEqual((answer["mode"], answer["model"], answer["retrieved"]), ("top_k", {"k": 1}, [[1, 0]]))
        answer = self.client.retrieve("modes", [[0.9, 0.2]], mode="random_features", model={"seed": 3}, beta=1)
        self.assertEqual(answer["model"]["seed"], 3)
        self.assertEqual(len(answer["standard_error"]), 1)
        with self.assertRaises(Problem) as raised:
            self.client.retrieve("modes", [[0.9, 0.2]], mode="top_k", model={"seed": 1})
        self.assertEqual(raised.exception.status, 400)

    def test_theory_is_waited_for(self):
        with harness.Daemon("--theory-seconds", "0") as daemon:
            with Client("http://127.0.0.1:%d" % daemon.port) as client:
                client.put("far", [[3, 4], [0, 0]], beta=1)
                report = client.theory("far", L=9)
                self.assertEqual((report["L"], report["separation"]["R_sep"]), (9, 2.5))
                self.assertEqual(client.operation(1)["state"], "succeeded")
        self.client.put("near", [[3, 4], [0, 0]], beta=1)
        self.assertEqual(self.client.theory("near")["separation"]["m"], 5)

    def test_a_set_changes(self):
        first = self.client.put("life", [[1, 0], [0, 1]], beta=2, etag="")
        second = self.client.append("life", [[-1, 0]], labels=["west"], etag=first["etag"])
        self.assertEqual((second["M"], second["version"], second["next_id"]), (3, 2, 3))
        self.held(self.client.retrieve("life", [[0.9, 0.2]], max_error=1e-4))
        self.assertEqual(self.client.append("life", Rows([[5, 5]]))["next_id"], 4)
        self.assertEqual(self.client.remove("life", [3])["M"], 3)
        self.held(self.client.retrieve("life", [[0.9, 0.2]], max_error=1e-4))
        patched = self.client.patch("life", beta=None, labels=None)
        self.assertAlmostEqual(patched["beta"], 2**-0.5)
        for etag in (first["etag"], ""):
            with self.assertRaises(Problem) as raised:
                self.client.patch("life", beta=1, etag=etag)
            self.assertEqual(raised.exception.status, 412)
        memories = self.client.export("life")
        self.assertEqual(harness.read_npy(memories), [[1, 0], [0, 1], [-1, 0]])
        self.assertIn(b'"next_id":"4"', self.client.export("life", everything=True))

    def test_what_is_not_waited_for_can_be_finished_later(self):
        begun = self.client.put("later", [[1, 0], [0, 1]], wait=False)
        self.assertEqual((begun["kind"], begun["set"]), ("put", "later"))
        self.assertEqual(self.client.finish(begun)["version"], 1)
        done = self.client.finish(self.client.append("later", [[2, 2]], wait=False))
        self.assertEqual((done["state"], done["version"]), ("succeeded", 2))
        with self.assertRaises(Problem) as raised:
            self.client.finish(self.client.remove("later", [9], wait=False))
        self.assertEqual((raised.exception.status, raised.exception.code), (422, "unknown"))

    def test_a_refusal_is_a_problem(self):
        self.client.put("refuse", [[1, 0], [0, 1]])
        with self.assertRaises(Problem) as raised:
            self.client.retrieve("refuse", [[1, 2, 3]])
        self.assertEqual(raised.exception.status, 422)
        self.assertIn("3", str(raised.exception))
        self.assertEqual(self.client.info()["name"], "hopfieldd")  # the connection still serves


if __name__ == "__main__":
    tap.main()
