"""A daemon that is given bad input: what the bad_* themes share."""

import tap
from harness import JSON, Daemon

ROWS = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]]


class Bad(tap.Case):
    """A daemon with the set `s` (M = 2, d = 3), which must be the same at the end."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--query-body-limit", "1M", "--max-batch", "100").start()
        assert cls.daemon.put("s", {"memories": ROWS}).status == 201
        cls.before = cls.daemon.wait_ready("s")

    @classmethod
    def tearDownClass(cls):
        after = cls.daemon.get("/v1/sets").json()["sets"]
        cls.daemon.stop()
        assert after == [cls.before], "the stored sets changed: %r" % after

    def problem(self, answer, status, code=None, *words, **members):
        """Check a problem document: status, code, words of the message, members such as row and column."""
        self.assertEqual(answer.status, status, answer)
        problem = answer.json()
        if code is not None:
            self.assertEqual(problem["code"], code, problem)
        for word in words:
            self.assertIn(word, problem["detail"], problem)
        for name, value in members.items():
            self.assertEqual(problem.get(name), value, problem)
        self.assertEqual(problem["error"], problem["detail"])
        return problem

    def query(self, body, status, code=None, *words, query="", type=None, headers=None, **members):
        if isinstance(body, (str, bytes)):
            type = JSON if type is None else type
        answer = self.daemon.retrieve("s", body, query, type=type, headers=headers)
        return self.problem(answer, status, code, *words, **members)

    def upload(self, body, status, code=None, *words, query="", type=None, headers=None, **members):
        if isinstance(body, (str, bytes)):
            type = JSON if type is None else type
        answer = self.daemon.put("new", body, query, type=type, headers=headers)
        return self.problem(answer, status, code, *words, **members)
