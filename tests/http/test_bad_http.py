#!/usr/bin/env python3
"""Bad requests: unknown sets and paths, methods, types, names, sizes, and bytes that are no HTTP at all."""

import harness
import tap
from bad import Bad
from harness import JSON, NPY


class Http(Bad):
    def test_unknown_sets_are_404_naming_the_set(self):
        for action in ("retrieve", "energy", "plan"):
            answer = self.daemon.post("/v1/sets/nowhere/" + action, {"queries": [[1]]})
            self.problem(answer, 404, "no_such_set", "nowhere")
        self.problem(self.daemon.get("/v1/sets/nowhere"), 404, "no_such_set", "nowhere")
        self.problem(self.daemon.delete("nowhere"), 404, "no_such_set", "nowhere")

    def test_unknown_paths_are_404(self):
        for path in (
            "/",
            "/v1",
            "/v1/",
            "/v1/sets/",
            "/v1/sets/s/",
            "/v1/sets/s/retrieve/",
            "/v1/sets/s/forget",
            "/v2",
            "/v1/admin/sets",
            "//v1/sets",
            "/v1/../livez",
            "/V1/sets",
            "/v1/admin/sets/s/memories/",
            "/livez/",
            "/v1/sets/s%2Fretrieve",
        ):
            with self.subTest(path=path):
                answer = self.daemon.get(path)
                self.assertIn(answer.status, (400, 404), answer)

    def test_wrong_methods_are_405_with_allow(self):
        for method, path, allow in (
            ("POST", "/livez", {"GET", "HEAD"}),
            ("DELETE", "/v1/sets/s", {"GET", "HEAD"}),
            ("PUT", "/v1/sets/s", {"GET", "HEAD"}),
            ("GET", "/v1/sets/s/retrieve", {"POST"}),
            ("PUT", "/v1/sets/s/energy", {"POST"}),
            ("GET", "/v1/admin/sets/s", {"PUT", "PATCH", "DELETE"}),
            ("POST", "/v1/admin/sets/s", {"PUT", "PATCH", "DELETE"}),
            ("BREW", "/v1/sets", {"GET", "HEAD"}),
            ("TRACE", "/v1/info", {"GET", "HEAD"}),
            ("PATCH", "/v1/admin/sets/s/memories", {"POST", "DELETE"}),
            ("POST", "/v1/admin/sets/s/data", {"GET", "HEAD"}),
        ):
            with self.subTest(method=method, path=path):
                answer = self.daemon.request(method, path)
                self.problem(answer, 405, "method_not_allowed")
                self.assertEqual({m.strip() for m in answer.headers["allow"].split(",")}, allow)

    def test_curl_d_without_a_type_is_415_with_a_hint(self):
        problem = self.query(
            '{"queries": [[1,2,3]]}',
            415,
            "unsupported_media_type",
            "--json",
            type="application/x-www-form-urlencoded",
        )
        self.assertIn("json", problem["detail"])

    def test_other_and_missing_types_are_415(self):
        for kind in (
            "text/plain",
            "application/xml",
            "json",
            "application/jsonx",
            "application/vnd.safetensors",
            "",
            ";",
            "a/b/c",
        ):
            with self.subTest(kind=kind):
                self.query(b"{}", 415, "unsupported_media_type", type=kind)
        answer = self.daemon.request("POST", "/v1/sets/s/retrieve", b"{}")
        self.problem(answer, 415, "unsupported_media_type")

    def test_unknown_query_parameters_are_400_naming_them(self):
        for path in ("/livez", "/v1/sets", "/v1/sets/s", "/v1/info"):
            self.problem(self.daemon.get(path + "?betta=1"), 400, "unknown_parameter", "betta")
        self.query({"queries": [[1, 2, 3]]}, 400, "unknown_parameter", "betta", query="?betta=1")
        self.upload({"memories": [[1]]}, 400, "unknown_parameter", "colour", query="?colour=blue")
        self.query(harness.npy([[1, 2, 3]]), 400, None, query="?beta=1&beta=2", type=NPY)

    def test_an_option_given_twice_in_body_and_query_is_never_ambiguous(self):
        answer = self.daemon.retrieve("s", {"queries": [[1, 2, 3]], "beta": 1}, "?beta=2")
        if answer.status == 200:
            self.fail("beta came twice and one was dropped silently: %r" % answer)
        self.assertEqual(answer.status, 400, answer)

    def test_bad_set_names_are_400(self):
        for name in (
            ".hidden",
            "-dash",
            "_x",
            "a b",
            "a%20b",
            "%2e%2e",
            "a%00b",
            "%ff%fe",
            "x" * 129,
            "caf%C3%A9",
            "a%0Ab",
            "a+b",
            "a*",
            "a:b",
            "%E2%80%AE",
        ):
            with self.subTest(name=name):
                if " " in name:
                    continue
                for answer in (
                    self.daemon.get("/v1/sets/" + name),
                    self.daemon.put(name, {"memories": [[1]]}),
                    self.daemon.delete(name),
                    self.daemon.retrieve(name, {"queries": [[1]]}),
                ):
                    self.assertIn(self.problem(answer, 400)["code"], ("bad_set_name", "bad_request"))

    def test_malformed_escapes_in_the_target_are_400(self):
        for path in ("/v1/sets/%", "/v1/sets/%4", "/v1/sets/%zz", "/v1/sets/s?a=%", "/v1/sets?%=1"):
            with self.subTest(path=path):
                self.assertEqual(self.daemon.get(path).status, 400)

    def test_types_that_cannot_be_served_are_406(self):
        for accept in ("text/html", "image/*", "application/json;q=0", "application/vnd.safetensors"):
            with self.subTest(accept=accept):
                self.query({"queries": [[1, 2, 3]]}, 406, "not_acceptable", headers={"Accept": accept})

    def test_a_body_over_its_limit_is_413_from_content_length_alone(self):
        answer = self.daemon.raw(
            b"POST /v1/sets/s/retrieve HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1048577\r\n\r\n"
        )
        self.assertEqual(answer.status, 413, answer)
        problem = harness.contract.validate_problem(answer)
        self.assertEqual((problem["code"], problem["limit"], problem["actual"]), ("body_limit", 1048576, 1048577))

    def test_a_chunked_body_over_its_limit_is_413(self):
        with self.daemon.connect() as sock:
            sock.sendall(
                b"POST /v1/sets/s/retrieve HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            try:
                for _ in range(40):
                    sock.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                sock.sendall(b"0\r\n\r\n")
            except OSError:
                pass  # it may stop reading once it has refused
            answer = harness.read_answer(sock)
        self.assertIsNotNone(answer, "an answer, not a reset")
        self.assertEqual(answer.status, 413)

    def test_a_body_of_exactly_the_limit_is_read(self):
        body = b'{"queries": [[1,2,3]]}'
        self.assertEqual(self.daemon.retrieve("s", body + b" " * (1048576 - len(body)), type=JSON).status, 200)

    def test_problems_have_a_request_id_and_the_path(self):
        first = self.query({"queries": [[1]]}, 422, "shape")
        second = self.query({"queries": [[1]]}, 422, "shape")
        self.assertNotEqual(first["request_id"], second["request_id"])
        self.assertEqual(first["instance"], "/v1/sets/s/retrieve")
        self.assertIn(first["request_id"], self.daemon.read_log())

    def test_a_connection_survives_refusals(self):
        with self.daemon.connect() as sock:
            for body, status in ((b'{"queries": [[1]]}', 422), (b"{", 400), (b'{"queries": [[1,2,3]]}', 200)) * 3:
                sock.sendall(
                    b"POST /v1/sets/s/retrieve HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                self.assertEqual(harness.read_answer(sock).status, status)

    def test_an_early_refusal_keeps_the_connection_or_says_that_it_closes(self):
        body = b'{"queries": [[1,2,3]]}'
        for head, status in (
            (b"POST /v1/sets/nowhere/retr", 404),
            (b"POST /v1/sets/s/retrieve?x=1", 400),
            (b"POST /livez", 405),
        ):
            with self.subTest(head=head), self.daemon.connect() as sock:
                sock.sendall(
                    head
                    + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    % len(body)
                    + body
                )
                answer = harness.read_answer(sock)
                self.assertEqual(answer.status, status)
                if answer.headers.get("connection", "").lower() != "close":
                    sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                    self.assertEqual(harness.read_answer(sock).status, 200)

    def test_a_body_whose_length_is_ambiguous_is_400_and_ends_the_connection(self):
        body = b'{"queries": [[1,2,3]]}'
        post = b"POST /v1/sets/s/retrieve HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        for data in (
            post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked,
            post + b"Content-Length: 5\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
            post + b"Transfer-Encoding: gzip\r\n\r\n" + body,
        ):
            with self.subTest(data=data):
                answer = self.daemon.raw(data)
                self.assertEqual((answer.status, answer.headers["connection"]), (400, "close"))

    def test_garbage_on_the_socket_harms_nobody(self):
        post = b"POST /v1/sets/s/retrieve HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        for data in (
            b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"\0" * 4096,
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /livez HTTP/1.1\r\nHost" + b"x" * 70000,
            b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 400,
            post + b"Content-Length: -5\r\n\r\n",
            post + b"Content-Length: 99999999999999999999999\r\n\r\n",
            post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        ):
            with self.subTest(data=data[:60]):
                with self.daemon.connect() as sock:
                    try:
                        sock.sendall(data)
                        sock.shutdown(harness.socket.SHUT_WR)
                        while sock.recv(65536):
                            pass
                    except OSError:
                        pass
                self.assertEqual(self.daemon.get("/livez").status, 200)

    def test_a_request_that_dies_before_its_headers_are_read_is_forgotten(self):
        with harness.Daemon() as daemon:
            for _ in range(20):
                with daemon.connect() as sock:
                    sock.sendall(b"GET /livez?" + b"a&" * 1500 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
                    sock.shutdown(harness.socket.SHUT_WR)
                    sock.settimeout(0.2)
                    try:
                        sock.recv(65536)
                    except OSError:
                        pass
            harness.eventually(
                lambda: self.assertEqual(harness.metric(daemon.metrics(), "hopfieldd_http_connections"), 1)
            )
            daemon.stop()
            log = daemon.stderr
            self.assertEqual(log.count("(connection lost)"), 20)
            self.assertRegex(log, "draining: [01] requests in flight")  # the question for the metrics may just be ending

    def test_control_bytes_of_a_client_reach_neither_log_nor_headers(self):
        self.daemon.raw(b"GET /v1/sets/a%0d%0aX-Evil:%201%1b[31m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = self.daemon.raw(b"GET /no%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertNotIn("x-evil", answer.headers)
        self.assertNotIn("\x1b", self.daemon.read_log())
        self.assertNotIn("\nX-Evil", self.daemon.read_log())


if __name__ == "__main__":
    tap.main()
