#!/usr/bin/env python3
"""Random damage, from a printed seed: whatever is sent, every answer is one that docs/openapi.json describes.

Bodies that were good are cut, doubled and overwritten; options get hostile values; the bytes of whole requests are
damaged. The daemon must answer each, keep its sets, and be there at the end (stop() looks at its exit code).
"""

import json
import os
import random
import select
import urllib.parse

import harness
import tap
from harness import JSON, NPY, OCTETS, Daemon

SEED = int(os.environ.get("HOPFIELDD_TEST_SEED", "20402"))
ROUNDS = 60 if harness.FAST else 400

TOKENS = (
    "[", "]", "{", "}", ",", ":", '"', "\\", "\\u0000", "\\ud800", "null", "true",
    "NaN", "-", "1e999", "1e39", "-0", "0.1e-400",
    "9" * 400, "[" * 40, '"queries":', '"beta":0,', "\u00ff", "\x00", " ", "1e", "0x10", "[[[]]]", '"mode":"top_k",',
)  # fmt: skip
VALUES = (
    "0", "-1", "1", "1e-320", "1e308", "1e309", "nan", "", "65", "64", "auto", "dense",
    "almost_linear", "energy,top", ",", "%00",
    "99999999999999999999", "true", "[]", "best_effort", "centered_cosine",
    "0x1p3", "1" * 3000, "\u2028", "3", "2.5", " 1", "+1",
)  # fmt: skip
NAMES = (
    "beta",
    "mode",
    "max_error",
    "steps",
    "tolerance",
    "return",
    "top",
    "on_unmet",
    "d",
    "max_degree",
    "similarity",
    "x",
)


class Hostile(tap.Case):
    @classmethod
    def setUpClass(cls):
        print("# seed %d" % SEED, flush=True)
        cls.daemon = Daemon(
            "--memory-budget", "64M", "--query-body-limit", "256k", "--response-limit", "1M"
        ).start()
        assert cls.daemon.put("s", {"memories": [[1, 2, 3], [4, 5, 6.5]], "labels": ["a", "b"]}).status == 201
        cls.before = cls.daemon.wait_ready("s")

    @classmethod
    def tearDownClass(cls):
        after = cls.daemon.get("/v1/sets/s").json()
        cls.daemon.stop()
        assert after == cls.before, after

    def setUp(self):
        self.random = random.Random("%d %s" % (SEED, self._testMethodName))

    def damage(self, data):
        """A few cuts, repeats, overwrites and foreign tokens."""
        data = bytearray(data)
        for _ in range(self.random.choice((1, 1, 1, 2, 3, 8))):
            at = self.random.randrange(len(data) + 1)
            kind = self.random.randrange(6)
            if kind == 0:
                del data[at : at + self.random.randrange(1, 20)]
            elif kind == 1:
                data[at:at] = data[at : at + self.random.randrange(1, 200)]
            elif kind == 2 and at < len(data):
                data[at] = self.random.randrange(256)
            elif kind == 3 and at < len(data):
                data[at] ^= 1 << self.random.randrange(8)
            elif kind == 4:
                data[at:at] = self.random.choice(TOKENS).encode("utf-8")
            else:
                del data[at:]
        return bytes(data)

    def survive(self, answer, sent):
        """200s and refusals are fine (Daemon.request() has checked their form), a 500 is not."""
        self.assertTrue(200 <= answer.status < 500 or answer.status in (503, 507), (answer, sent[:2000]))

    def test_damaged_json_queries(self):
        good = json.dumps(
            {
                "queries": [[0.5, -1e-3, 2], [3, 4e1, 5]],
                "beta": 0.25,
                "mode": "auto",
                "max_error": 0.5,
                "steps": 2,
                "tolerance": 0.001,
                "return": ["energy", "top", "log_sum_exp", "support", "weights", "steps"],
                "top": 2,
                "on_unmet": "best_effort",
            }
        ).encode()
        for i in range(ROUNDS):
            sent = self.damage(good)
            action = ("retrieve", "energy", "plan")[i % 3]
            self.survive(self.daemon.post("/v1/sets/s/" + action, sent, type=JSON), sent)

    def test_damaged_base64_queries(self):
        good = json.dumps({"queries_b64": harness.b64_f32([[1, 2, 3]] * 5), "shape": [5, 3]}).encode()
        for _ in range(ROUNDS // 2):
            sent = self.damage(good)
            self.survive(self.daemon.retrieve("s", sent, type=JSON), sent)

    def test_damaged_uploads(self):
        good = json.dumps(
            {
                "memories": [[1, 2], [3.5, 4], [5, 6e-3]],
                "values": [[1], [2], [3]],
                "labels": ["a", "\u00fc", "c"],
                "beta": 2,
                "similarity": "cosine",
                "max_degree": 2,
                "max_error": 0.1,
            }
        ).encode()
        bodies = [
            (good, JSON),
            (harness.npy([[1, 2, 3], [4, 5, 6]]), NPY),
            (harness.npy([[1, 2]] * 9, "<f8", True), OCTETS),
        ]
        for i in range(ROUNDS):
            body, kind = bodies[i % 3]
            sent = self.damage(body)
            self.survive(self.daemon.put("fuzz", sent, type=kind), sent)

    def test_hostile_options_in_the_query_string(self):
        body = harness.npy([[1, 2, 3]])
        for _ in range(ROUNDS):
            pairs = [
                "%s=%s" % (self.random.choice(NAMES), urllib.parse.quote(self.random.choice(VALUES), safe="%"))
                for _ in range(self.random.randrange(1, 4))
            ]
            path = self.random.choice(
                ("/v1/sets/s/retrieve", "/v1/sets/s/energy", "/v1/sets/s/plan", "/v1/admin/sets/fuzz")
            )
            method = "PUT" if "admin" in path else "POST"
            target = path + "?" + self.random.choice("&&&&;?").join(pairs)
            self.survive(self.daemon.request(method, target, body, type=NPY), target)

    def test_damaged_requests_down_to_the_bytes(self):
        body = b'{"queries": [[1,2,3]], "beta": 1}'
        good = (
            b"POST /v1/sets/s/retrieve?top=3 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Accept: application/json, */*;q=0.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        for _ in range(ROUNDS // 25):
            # Damage may leave a request that never ends, so that its answer never comes: nobody waits for those.
            sent = {self.daemon.connect(): self.damage(good) for _ in range(25)}
            for sock, data in sent.items():
                try:
                    sock.sendall(data)
                except OSError:
                    pass  # refused while it was sent
            waiting = dict(sent)
            while waiting:
                readable, _, _ = select.select(list(waiting), [], [], 0.2)
                if not readable:
                    break
                for sock in readable:
                    try:
                        status = sock.recv(65536)[:12]
                    except OSError:
                        status = b""  # closed without an answer: its right with bytes that are no HTTP
                    self.assertNotIn(status[9:], (b"500", b"502"), waiting.pop(sock))
            for sock in sent:
                sock.close()
        self.assertEqual(self.daemon.get("/livez").status, 200)


if __name__ == "__main__":
    tap.main()
