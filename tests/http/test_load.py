#!/usr/bin/env python3
"""Loading sets: every body format, similarities, labels and values, versions, preconditions, deletion."""

import struct

import harness
import tap
from harness import NPY, OCTETS, Daemon

ROWS = [[0.5, -1.25, 3.0], [2.0, 0.0, -0.125], [7.0, 1.5, 0.25], [-4.0, 8.0, 1.0]]
QUERY = {"queries": [[0.1, 0.2, 0.3]], "beta": 0.7, "mode": "dense"}


class Load(tap.Case):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon().start()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def put(self, name, body, query="", status=201, **more):
        answer = self.daemon.put(name, body, query, **more)
        self.assertEqual(answer.status, status, answer)
        return answer

    def ask(self, name, **more):
        answer = self.daemon.retrieve(name, {**QUERY, **more})
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def same_answer(self, name, other="reference"):
        """Two sets with the same rows answer with the same bits."""
        self.assertEqual(self.ask(name)["retrieved"], self.ask(other)["retrieved"])


class Formats(Load):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        assert cls.daemon.put("reference", {"memories": ROWS}).status == 201

    def test_json_with_defaults(self):
        about = self.put("json", {"memories": ROWS}).json()
        self.assertEqual(
            (about["name"], about["M"], about["d"], about["p"], about["version"], about["similarity"]),
            ("json", 4, 3, 3, 1, "dot"),
        )
        self.assertAlmostEqual(about["beta"], 3**-0.5, places=15)
        self.assertAlmostEqual(about["max_error"], 0.011, places=12, msg="1e-3 of the largest coordinate range")
        self.assertEqual(about["norms"]["max_abs"], 8.0)
        self.assertGreaterEqual(about["norms"]["max_l2"], 81.0**0.5)
        self.assertIn(about["state"], ("building", "ready"))
        self.same_answer("json")

    def test_what_a_set_was_given_is_in_its_description(self):
        about = self.put(
            "given", {"memories": ROWS, "beta": 0.25, "max_error": 0.5, "max_degree": 2, "similarity": "cosine"}
        ).json()
        self.assertEqual((about["beta"], about["max_error"], about["similarity"]), (0.25, 0.5, "cosine"))
        about = self.daemon.wait_ready("given")
        self.assertLessEqual(about["features"]["max_degree"], 2)

    def test_ranks_of_the_feature_maps_are_binomials(self):
        self.put("ranks", {"memories": ROWS, "max_degree": 4})
        features = self.daemon.wait_ready("ranks")["features"]
        self.assertEqual(features["max_degree"], 4)
        self.assertEqual(features["rank"], 35)
        self.assertEqual(features["ranks"], [4, 10, 20, 35])
        self.assertGreater(features["bytes"], 0)

    def test_max_degree_0_builds_no_maps(self):
        self.put("nomaps", {"memories": ROWS, "max_degree": 0})
        self.assertEqual(self.daemon.wait_ready("nomaps")["features"]["max_degree"], 0)
        self.assertEqual(self.ask("nomaps", mode="auto")["fallback"], "building")

    def test_npy_of_every_type_order_and_version(self):
        whole = [[1, 2, 3], [4, 5, 6], [255, 0, 7], [8, 9, 10]]
        self.put("whole", {"memories": whole})
        for descr in ("<f4", "<f8", "<f2", "|u1"):
            for fortran in (False, True):
                for version in ((1, 0), (2, 0)):
                    rows, other = (whole, "whole") if descr == "|u1" else (ROWS, "reference")
                    with self.subTest(descr=descr, fortran=fortran, version=version):
                        name = "npy-%s-%d-%d" % (descr[1:], fortran, version[0])
                        about = self.put(name, harness.npy(rows, descr, fortran, version), type=NPY).json()
                        self.assertEqual((about["M"], about["d"]), (4, 3))
                        self.same_answer(name, other)

    def test_npy_f8_is_rounded_to_the_nearest_f32(self):
        rows = [[0.1, 1 / 3, 1 + 2.0**-24], [1e-46, 3.4028235e38 / 1e30, -0.7]]
        self.put("f8", harness.npy(rows, "<f8"), type=NPY)
        self.put("f4", harness.npy(harness.f32_rows(rows), "<f4"), type=NPY)
        self.put("text", {"memories": rows})
        self.same_answer("f8", "f4")
        self.same_answer("text", "f4")

    def test_npy_subnormal_and_extreme_halves_are_widened_exactly(self):
        rows = [[65504.0, 2.0**-24, -(2.0**-14)], [0.0, -0.0, 1.0]]
        self.put("f2", harness.npy(rows, "<f2"), type=NPY)
        self.put("f2-json", {"memories": rows})
        self.same_answer("f2", "f2-json")

    def test_raw_f32_with_d(self):
        self.put("raw", harness.pack_f32(ROWS), "?d=3&beta=0.25", type=OCTETS)
        self.same_answer("raw")
        self.assertEqual(self.daemon.get("/v1/sets/raw").json()["beta"], 0.25)

    def test_npy_inside_octet_stream_is_known_by_its_magic(self):
        self.put("magic", harness.npy(ROWS), type=OCTETS)
        self.same_answer("magic")

    def test_options_of_npy_in_the_query_string(self):
        about = self.put(
            "options",
            harness.npy(ROWS),
            "?similarity=centered_cosine&beta=2&max_error=0.125&max_degree=1",
            type=NPY,
        ).json()
        self.assertEqual((about["similarity"], about["beta"], about["max_error"]), ("centered_cosine", 2, 0.125))

    def test_a_chunked_upload_has_no_content_length_and_works(self):
        body = harness.npy(ROWS)
        with self.daemon.connect() as sock:
            sock.sendall(
                b"PUT /v1/admin/sets/chunked HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-npy\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            for i in range(0, len(body), 13):
                piece = body[i : i + 13]
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            sock.sendall(b"0\r\n\r\n")
            self.assertEqual(harness.read_answer(sock).status, 201)
        self.same_answer("chunked")

    def test_expect_100_continue_is_answered_before_the_body(self):
        body = harness.npy(ROWS)
        with self.daemon.connect() as sock:
            sock.sendall(
                b"PUT /v1/admin/sets/expect HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-npy\r\n"
                b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body)
            )
            self.assertEqual(harness.read_answer(sock).status, 100)
            sock.sendall(body)
            self.assertEqual(harness.read_answer(sock).status, 201)
        self.same_answer("expect")

    def test_a_set_of_one_memory_answers_that_memory(self):
        self.put("one", {"memories": [[1.5, -2.5]]})
        answer = self.daemon.retrieve("one", {"queries": [[9, 9]]}).json()
        self.assertEqual(answer["retrieved"], [[1.5, -2.5]])

    def test_values_make_a_set_hetero_associative(self):
        about = self.put("values", {"memories": ROWS, "values": [[1], [2], [3], [4]]}).json()
        self.assertEqual((about["d"], about["p"]), (3, 1))
        answer = self.ask("values")
        self.assertEqual([len(row) for row in answer["retrieved"]], [1])
        self.assertTrue(1 <= answer["retrieved"][0][0] <= 4)

    def test_labels_name_the_memories(self):
        labels = ["eins", "zwei \u00fc\u4e2d\U0001f600", "", 'quote " back\\slash\n']
        self.put("labels", {"memories": ROWS, "labels": labels})
        top = self.ask("labels", **{"return": ["top"], "top": 4})["top"][0]
        self.assertEqual({t["id"]: t["label"] for t in top}, dict(enumerate(labels)))

    def test_a_label_of_1_kib_fits(self):
        self.put("label-1k", {"memories": [[1], [2]], "labels": ["x" * 1024, "y"]})

    def test_the_longest_set_name_works_and_all_its_characters(self):
        name = "A" + "9._-" * 31 + "zzz"
        self.assertEqual(len(name), 128)
        self.put(name, {"memories": [[1]]})
        self.assertEqual(self.daemon.get("/v1/sets/" + name).json()["name"], name)


class Similarities(Load):
    def test_cosine_ignores_the_length_of_keys_and_queries_and_keeps_the_originals(self):
        self.put("cos", {"memories": [[3, 0], [0, 500]], "similarity": "cosine"})
        short = self.ask("cos", queries=[[1e-3, 0]], beta=200.0)
        long = self.ask("cos", queries=[[1e3, 0]], beta=200.0)
        self.assertEqual(short["retrieved"], long["retrieved"])
        self.assertEqual(short["retrieved"][0][0], 3.0)

    def test_centered_cosine_is_blind_to_an_offset_of_keys_and_queries(self):
        rows, query = [[1, 2, 3], [3, 2, 1], [2, 4, 0], [2, 0, 4]], [1, 3, 2]
        offset = 1024
        self.put("near", {"memories": rows, "similarity": "centered_cosine"})
        self.put("far", {"memories": [[v + offset for v in row] for row in rows], "similarity": "centered_cosine"})
        near = self.ask("near", queries=[query], beta=5.0)
        far = self.ask("far", queries=[[v + offset for v in query]], beta=5.0)
        for a, b in zip(near["retrieved"][0], far["retrieved"][0]):
            self.assertAlmostEqual(a, b - offset, delta=near["error_bound"][0] + far["error_bound"][0])

    def test_a_zero_norm_is_422_naming_the_row(self):
        for similarity, rows, row in (
            ("cosine", [[1, 2], [3, 4], [0, 0]], 2),
            ("centered_cosine", [[1, 1], [2, 2], [3, 3]], 1),
        ):
            with self.subTest(similarity=similarity):
                answer = self.put("zero", {"memories": rows, "similarity": similarity}, status=422)
                self.assertEqual(answer.json()["row"], row)
                self.assertIn("row %d" % row, answer.json()["detail"])
                self.assertEqual(self.daemon.get("/v1/sets/zero").status, 404)

    def test_a_query_of_zero_norm_is_422_naming_the_row(self):
        self.put("cosq", {"memories": [[1, 2], [3, 4]], "similarity": "cosine"})
        answer = self.daemon.retrieve("cosq", {"queries": [[1, 1], [0, 0]]})
        self.assertEqual((answer.status, answer.json()["row"]), (422, 1))


class Versions(Load):
    def test_replacing_answers_200_and_the_next_version_with_its_own_defaults(self):
        first = self.put("v", {"memories": ROWS, "beta": 9})
        self.assertEqual(first.json()["version"], 1)
        second = self.put("v", {"memories": ROWS[:2]}, status=200)
        self.assertEqual((second.json()["version"], second.json()["M"]), (2, 2))
        self.assertNotEqual(second.json()["beta"], 9, "PUT resets defaults to what it says")
        self.assertEqual(self.ask("v")["version"], 2)
        third = self.put("v", {"memories": ROWS[:2]}, status=200)
        self.assertEqual(third.json()["version"], 3, "every change counts, the same bytes too")

    def test_the_etag_is_in_header_and_body_and_feature_maps_do_not_change_it(self):
        answer = self.put("e", {"memories": ROWS})
        etag = answer.headers["etag"]
        self.assertEqual(answer.json()["etag"], etag)
        after = self.daemon.wait_ready("e")
        self.assertEqual((after["etag"], after["version"]), (etag, 1))
        self.assertEqual(self.daemon.get("/v1/sets/e").headers["etag"], etag)
        self.assertNotEqual(self.put("e", {"memories": ROWS}, status=200).headers["etag"], etag)

    def test_get_with_the_current_etag_is_304(self):
        etag = self.put("g", {"memories": ROWS}).headers["etag"]
        for wanted, status in ((etag, 304), ('"other", %s' % etag, 304), ("*", 304), ('"other"', 200)):
            with self.subTest(wanted=wanted):
                answer = self.daemon.get("/v1/sets/g", headers={"If-None-Match": wanted})
                self.assertEqual(answer.status, status)

    def test_if_none_match_star_only_creates(self):
        self.put("c", {"memories": ROWS}, headers={"If-None-Match": "*"})
        answer = self.put("c", {"memories": ROWS[:1]}, headers={"If-None-Match": "*"}, status=412)
        self.assertEqual(answer.json()["code"], "precondition_failed")
        self.assertEqual(self.daemon.get("/v1/sets/c").json()["M"], 4)

    def test_if_match_compares_and_swaps(self):
        etag = self.put("m", {"memories": ROWS}).headers["etag"]
        self.put("m", {"memories": ROWS[:3]}, headers={"If-Match": '"stale"'}, status=412)
        new = self.put("m", {"memories": ROWS[:3]}, headers={"If-Match": etag}, status=200).headers["etag"]
        self.put("m", {"memories": ROWS[:2]}, headers={"If-Match": etag}, status=412)
        self.put("m", {"memories": ROWS[:2]}, headers={"If-Match": "*"}, status=200)
        self.assertNotEqual(new, etag)
        self.put("absent", {"memories": ROWS}, headers={"If-Match": "*"}, status=412)
        self.assertEqual(self.daemon.get("/v1/sets/absent").status, 404)

    def test_a_failed_upload_changes_nothing(self):
        before = self.put("same", {"memories": ROWS}).headers["etag"]
        for body in ('{"memories":[[1,2],[3]]}', '{"memories":[[1,2]', '{"memories":[[1e39]]}', ""):
            self.assertIn(self.daemon.put("same", body, type=harness.JSON).status, (400, 422))
        self.assertEqual(self.daemon.get("/v1/sets/same").headers["etag"], before)

    def test_sets_are_listed(self):
        self.put("list-b", {"memories": ROWS})
        self.put("list-a", {"memories": ROWS})
        names = [s["name"] for s in self.daemon.get("/v1/sets").json()["sets"]]
        self.assertIn("list-a", names)
        self.assertEqual(names, sorted(names))
        self.assertEqual(len(names), len(set(names)))

    def test_head_answers_the_headers_of_get(self):
        self.put("h", {"memories": ROWS})
        self.daemon.wait_ready("h")
        get, head = self.daemon.get("/v1/sets/h"), self.daemon.request("HEAD", "/v1/sets/h")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(
            (head.headers["etag"], head.headers["content-length"], head.type),
            (get.headers["etag"], get.headers["content-length"], get.type),
        )


class Deletion(Load):
    def reserved(self):
        return harness.metric(self.daemon.metrics(), "hopfieldd_memory_reserved_bytes")

    def test_delete_is_204_then_404(self):
        self.put("d", {"memories": ROWS})
        answer = self.daemon.delete("d")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(self.daemon.delete("d").status, 404)
        self.assertEqual(self.daemon.get("/v1/sets/d").status, 404)
        self.assertEqual(self.daemon.retrieve("d", QUERY).status, 404)

    def test_delete_with_a_stale_etag_is_412(self):
        etag = self.put("de", {"memories": ROWS}).headers["etag"]
        self.assertEqual(self.daemon.delete("de", headers={"If-Match": '"stale"'}).status, 412)
        self.assertEqual(self.daemon.delete("de", headers={"If-Match": etag}).status, 204)

    def test_deleting_gives_the_memory_back(self):
        for about in self.daemon.get("/v1/sets").json()["sets"]:
            self.daemon.delete(about["name"])
        harness.eventually(lambda: self.assertEqual(self.reserved(), 0))
        self.put("mem", harness.npy_header("<f4", "(20000, 8)") + struct.pack("<f", 0.5) * 160000, type=NPY)
        self.daemon.wait_ready("mem")
        during = self.reserved()
        self.assertGreaterEqual(during, 640000)
        self.daemon.delete("mem")
        harness.eventually(lambda: self.assertEqual(self.reserved(), 0))


class Budget(tap.Case):
    def test_a_set_beyond_the_budget_is_507_before_its_body_is_read(self):
        with Daemon("--memory-budget", "8M") as daemon:
            answer = daemon.raw(
                b"PUT /v1/admin/sets/big HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-npy\r\n"
                b"Content-Length: 1000000000\r\n\r\n"
            )
            self.assertEqual(answer.status, 507, answer)
            problem = harness.contract.validate_problem(answer)
            self.assertEqual(problem["code"], "memory_budget")
            self.assertGreater(problem["actual"], problem["limit"])
            self.assertEqual(daemon.get("/livez").status, 200)

    def test_a_small_body_that_needs_more_than_the_budget_is_507_and_deleting_still_works(self):
        with Daemon("--memory-budget", "6M") as daemon:
            rows = 100000
            self.assertEqual(daemon.put("small", {"memories": ROWS}).status, 201)
            body = harness.npy_header("|u1", "(%d, 8)" % rows) + bytes(range(1, 9)) * rows
            answer = daemon.put("big", body, type=NPY)
            self.assertEqual((answer.status, answer.json()["code"]), (507, "memory_budget"), answer)
            self.assertEqual(daemon.delete("small").status, 204)
            harness.eventually(
                lambda: self.assertEqual(harness.metric(daemon.metrics(), "hopfieldd_memory_reserved_bytes"), 0)
            )


if __name__ == "__main__":
    tap.main()
