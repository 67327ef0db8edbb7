#!/usr/bin/env python3
"""Bad bodies and options: each kind with its status, its code, and a message that says where."""

import base64
import json
import struct
import urllib.parse

import harness
import tap
from bad import ROWS, Bad
from harness import JSON, NPY, OCTETS


class Json(Bad):
    def test_malformed_json_is_400_with_the_byte(self):
        for text, byte in (
            ('{"queries": [[1,2,3]], "beta": 1', None),
            ('{"queries": [[1,2,3}', 19),
            ("{", None),
            ('{"queries": [[1,2,3]] "beta": 1}', 22),
            ("", None),
            ("   ", None),
            ("nonsense", 0),
            ('{"queries": [[1,2,3]]} trailing', 23),
            ("[1,2,3]", None),
            ("null", None),
            ("3", None),
            ("{'queries': [[1,2,3]]}", 1),
            ('{"queries": [[1,,3]]}', 16),
            ('{"queries": [[1,2,3],]}', 21),
            ('{"queries": [[1,2,3]],}', 22),
            ('{"queries": [[1,2,3]], "beta": .5}', 31),
            ('{"queries": [[01,2,3]]}', 15),
            ('{"queries": [[1.,2,3]]}', 16),
            ('{"queries": [[+1,2,3]]}', 14),
            ('{"queries": [[1e,2,3]]}', 16),
            ('{"queries": [[0x1,2,3]]}', 15),
            ('{"queries": [[-,2,3]]}', 15),
            ('{"queries": [[1 2,3]]}', 16),
        ):
            with self.subTest(text=text):
                problem = self.query(text, 400, "format")
                if byte is not None:
                    self.assertIn("byte", problem, problem)
                    self.assertLessEqual(abs(problem["byte"] - byte), 1, problem)

    def test_nan_and_infinity_literals_are_400(self):
        for word in ("NaN", "Infinity", "-Infinity", "nan", "inf"):
            with self.subTest(word=word):
                self.query('{"queries": [[1,2,%s]]}' % word, 400, "format", "byte")
                self.query('{"queries": [[1,2,3]], "beta": %s}' % word, 400, "format")
                self.upload('{"memories": [[1,2],[3,%s]]}' % word, 400, "format", "byte")

    def test_numbers_beyond_f64_are_400_and_beyond_f32_422_with_row_and_column(self):
        self.query('{"queries": [[1,2,3],[4,1e400,6]]}', 400, "format", row=1, column=1)
        self.query('{"queries": [[1,2,3],[4,5,-1e39]]}', 422, "domain", "row 1", "column 2", row=1, column=2)
        self.upload('{"memories": [[1,2],[1e400,3]]}', 400, "format", row=1, column=0)
        self.upload('{"memories": [[1,2],[1e39,3]]}', 422, "domain", "row 1", "column 0", row=1, column=0)
        self.upload('{"memories": [[1],[2]], "values": [[1,2],[3,1e39]]}', 422, "domain", row=1, column=1)
        self.query('{"queries": [[1,2,3]], "beta": 1e400}', 400, "format")
        self.query('{"queries": [[1,2,3.4028235677973366e38]]}', 422, "domain", row=0, column=2)

    def test_the_largest_f32_and_long_digits_are_fine(self):
        for number in ("3.4028235677973362e38", "1e-400", "0." + "3" * 4000, "1" + "0" * 37, "-0", "1E+2", "1e-45"):
            with self.subTest(number=number[:30]):
                body = '{"queries": [[1,2,%s]], "on_unmet": "best_effort"}' % number
                answer = self.daemon.retrieve("s", body, type=JSON)
                self.assertEqual(answer.status, 200, answer)

    def test_ragged_rows_name_the_row(self):
        self.upload({"memories": [[1, 2], [3, 4], [5]]}, 422, "shape", "row 2", row=2)
        self.upload({"memories": [[1, 2], [3, 4, 5]]}, 422, "shape", "row 1", row=1)
        self.upload({"memories": [[1, 2], []]}, 422, "shape", row=1)
        self.query({"queries": [[1, 2, 3], [1, 2]]}, 422, "shape", "row 1", row=1)
        self.upload({"memories": [[1], [2]], "values": [[1, 2], [3]]}, 422, "shape", "row 1", row=1)

    def test_elements_that_are_not_numbers_are_400_with_the_byte(self):
        for element in ("null", "true", '"1"', "[1]", "{}", '"NaN"'):
            with self.subTest(element=element):
                self.query('{"queries": [[1,2,%s]]}' % element, 400, "format", "byte")
                self.upload('{"memories": [[1,%s]]}' % element, 400, "format", "byte")

    def test_queries_that_are_not_arrays_are_refused(self):
        for value in ("1", "null", '"x"', "{}", "true", "[null]", '["a"]', "[{}]", "[[1,2,3],4]", "[1,[2],3]"):
            with self.subTest(value=value):
                self.query('{"queries": %s}' % value, 400, "format")

    def test_wrong_d_is_422_stating_both(self):
        problem = self.query({"queries": [[1, 2]]}, 422, "shape", "3", "2")
        self.assertEqual((problem.get("limit"), problem.get("actual")) if "limit" in problem else (3, 2), (3, 2))
        self.query({"queries": [1, 2, 3, 4]}, 422, "shape", "3", "4")
        self.query(harness.npy([[1, 2, 3, 4]]), 422, "shape", "3", "4", type=NPY)
        self.query(harness.pack_f32([[1, 2, 3, 4]]), 400, None, type=OCTETS)
        self.query({"queries_b64": harness.b64_f32([[1, 2]]), "shape": [1, 2]}, 422, "shape")

    def test_empty_batches_are_422(self):
        for value in ([], [[]]):
            self.query({"queries": value}, 422, "shape")
        self.query(harness.npy_header("<f4", "(0, 3)"), 422, "shape", type=NPY)
        self.query(b"", 400, "format", "empty", type=OCTETS)
        self.upload({"memories": []}, 422, "shape")
        self.upload({"memories": [[]]}, 422, "shape")
        self.upload(harness.npy_header("<f4", "(0, 4)"), 422, "shape", type=NPY)
        self.upload(harness.npy_header("<f4", "(4, 0)"), 422, "shape", type=NPY)

    def test_a_body_without_queries_or_memories_says_what_is_missing(self):
        self.query({}, 400, "format", "queries")
        self.query({"beta": 1}, 400, "format", "queries")
        self.upload({}, 400, "format", "memories")
        self.upload({"values": [[1]]}, 400, "format", "memories")

    def test_queries_twice_in_two_ways_are_400(self):
        self.query({"queries": [[1, 2, 3]], "queries_b64": harness.b64_f32(ROWS), "shape": [2, 3]}, 400, "format")

    def test_duplicate_keys_are_400(self):
        for text in (
            '{"queries": [[1,2,3]], "beta": 1, "beta": 2}',
            '{"queries": [[1,2,3]], "queries": [[1,2,3]]}',
            '{"queries": [[1,2,3]], "quer\\u0069es": [[4,5,6]]}',
            '{"quer\\u0069es": [[1,2,3]], "b\\u0065ta": 1, "beta": 2}',
        ):
            with self.subTest(text=text):
                self.query(text, 400, "format")
        self.upload('{"memories": [[1]], "memories": [[2]]}', 400, "format")

    def test_a_key_with_escapes_is_the_same_key(self):
        answer = self.daemon.retrieve("s", '{"\\u0071ueries": [[1,2,3]], "b\\u0065ta": 0.5}', type=JSON)
        self.assertEqual((answer.status, answer.json()["beta"]), (200, 0.5))

    def test_unknown_fields_are_400_with_a_suggestion(self):
        self.query({"queries": [[1, 2, 3]], "betta": 2}, 400, "format", "betta", "beta")
        self.query({"query": [[1, 2, 3]]}, 400, "format", "query", "queries")
        self.upload({"memories": [[1]], "lables": ["a"]}, 400, "format", "lables", "labels")
        self.upload({"memories": [[1]], "x" * 3000: 1}, 400, "format")
        self.upload({"memories": [[1]], "<\u00fc\n\"": 1}, 400, "format")

    def test_nesting_deeper_than_the_limit_is_400(self):
        for text in (
            "[" * 20 + "]" * 20,
            '{"queries": [[1,2,3]], "return": ' + "[" * 100000 + "]" * 100000 + "}",
            '{"queries": ' + "[" * 100000 + "]" * 100000 + "}",
            '{"a":' * 50000 + "1" + "}" * 50000,
        ):
            self.query(text, 400, "format")

    def test_nul_bytes_and_invalid_utf_8_are_400(self):
        for body in (
            b'{"queries": [[1,2,3]]}\0',
            b'{"queries"\0: [[1,2,3]]}',
            b'{"queries": [[1,2,3]], "mode": "\xff\xfe"}',
            b'{"queries": [[1,2,3]], "mode": "\xc0\x80"}',
            b'\xef\xbb\xbf\xff{}',
            b"\0" * 100,
            b'{"queries": [[1,2,3]], "mode": "a\\u0000b"}',
            b'{"queries": [[1,2,3]], "\\ud800": 1}',
        ):
            with self.subTest(body=body):
                self.assertIn(self.query(body, 400, None)["code"], ("format",))

    def test_base64_that_is_none_is_400_with_the_byte(self):
        good = harness.b64_f32([[1, 2, 3]])
        for text in (
            good[:-1] + "*",
            good[:-1],
            "=" + good[1:],
            good + "=",
            good + "AAAA",
            " " + good,
            good[:4] + "\n" + good[4:],
            "",
            "A",
        ):
            with self.subTest(text=text):
                self.query({"queries_b64": text, "shape": [1, 3]}, 400, "format")

    def test_base64_must_match_its_shape(self):
        good = harness.b64_f32([[1, 2, 3]])
        for shape in (
            [2, 3],
            [1, 3, 1],
            [3],
            [],
            [1, -3],
            [1.5, 2],
            ["1", 3],
            None,
            {},
            3,
            [0, 3],
            [2**40, 2**40],
            [2**62, 4],
            [1e300, 3],
        ):
            with self.subTest(shape=shape):
                self.assertIn(
                    self.daemon.retrieve("s", {"queries_b64": good, "shape": shape}).status, (400, 413, 422)
                )
        self.query({"queries_b64": good}, 400, "format", "shape")

    def test_nan_in_base64_is_422_with_row_and_column(self):
        body = struct.pack("<6f", 1, 2, 3, 4, float("nan"), 6)
        self.query(
            {"queries_b64": base64.b64encode(body).decode(), "shape": [2, 3]}, 422, "domain", row=1, column=1
        )


class Options(Bad):
    def test_beta_must_be_above_0_and_finite(self):
        for beta in (0, -1, -0.0, -1e-300):
            with self.subTest(beta=beta):
                self.query({"queries": [[1, 2, 3]], "beta": beta}, 422, "domain", "beta")
                self.upload({"memories": [[1]], "beta": beta}, 422, "domain", "beta")
                self.query(harness.npy([[1, 2, 3]]), 422, "domain", "beta", query="?beta=%r" % beta, type=NPY)
        for text in ("nan", "inf", "-inf", "NaN", "1e400", "x", "", "0x1", "1,5", " 1"):
            with self.subTest(text=text):
                answer = self.daemon.retrieve(
                    "s", harness.npy([[1, 2, 3]]), "?beta=" + urllib.parse.quote(text), type=NPY
                )
                self.assertIn(answer.status, (400, 422), answer)
                self.assertIn("beta", answer.json()["detail"])

    def test_options_of_a_wrong_type_are_400_naming_the_field(self):
        for field, values in (
            ("beta", ["1", None, [1], {}, True]),
            ("mode", [1, None, ["auto"]]),
            ("max_error", ["x", None, []]),
            ("steps", ["1", 1.5, None, [], True]),
            ("tolerance", ["0", None]),
            ("return", ["top", 1, {}, None, [1], [None]]),
            ("top", ["1", 1.5, None]),
            ("on_unmet", [1, None, True]),
        ):
            for value in values:
                with self.subTest(field=field, value=value):
                    answer = self.daemon.retrieve("s", {"queries": [[1, 2, 3]], field: value})
                    self.assertIn(answer.status, (400, 422), answer)
                    self.assertIn(field, answer.json()["detail"])

    def test_values_out_of_range_are_422_naming_the_field(self):
        for field, values in (
            ("max_error", [-1, -1e-300]),
            ("steps", [0, -1, 65, 10**15]),
            ("tolerance", [-1]),
            ("top", [0, -1, 1001]),
            ("mode", ["fast", "", "DENSE", "lowrank"]),
            ("return", [["nothing"], ["energy", "tops"]]),
            ("on_unmet", ["ignore"]),
        ):
            for value in values:
                with self.subTest(field=field, value=value):
                    more = {"return": ["top"]} if field == "top" else {}
                    answer = self.daemon.retrieve("s", {"queries": [[1, 2, 3]], field: value, **more})
                    self.problem(answer, 422, None, field)

    def test_integers_beyond_64_bits_are_refused(self):
        for text in ("9223372036854775808", "1" + "0" * 400):
            answer = self.daemon.retrieve("s", '{"queries": [[1,2,3]], "steps": %s}' % text, type=JSON)
            self.assertIn(answer.status, (400, 422), answer)

    def test_an_unknown_mode_lists_the_known_ones(self):
        self.query(
            {"queries": [[1, 2, 3]], "mode": "fast"}, 422, "unknown", "fast", "auto", "almost_linear", "top_k", "entmax"
        )

    def test_upload_options_out_of_range_are_422(self):
        for field, values in (("max_error", [-1]), ("max_degree", [-1, 10**9]), ("similarity", ["angle", ""])):
            for value in values:
                with self.subTest(field=field, value=value):
                    self.problem(self.daemon.put("new", {"memories": [[1]], field: value}), 422, None, field)

    def test_labels_must_be_M_strings_of_at_most_1_kib(self):
        self.upload({"memories": [[1], [2]], "labels": ["a"]}, 422, "shape", "labels", "1", "2")
        self.upload({"memories": [[1], [2]], "labels": ["a", 3]}, 400, "format", "labels")
        self.upload({"memories": [[1], [2]], "labels": "ab"}, 400, "format", "labels")
        self.assertIn(self.daemon.put("new", {"memories": [[1]], "labels": ["x" * 1025]}).status, (413, 422))
        self.assertEqual(self.daemon.get("/v1/sets/new").status, 404)

    def test_values_must_have_M_rows(self):
        self.upload({"memories": [[1], [2]], "values": [[1]]}, 422, "shape", "values")
        self.upload({"memories": [[1], [2]], "values": []}, 422, "shape")

    def test_unmet_max_error_in_almost_linear_is_422_with_row_bound_and_limit(self):
        problem = self.query(
            {"queries": [[1, 2, 3], [9, 9, 9]], "mode": "almost_linear", "beta": 30.0, "max_error": 1e-7},
            422,
            "unmet_max_error",
            "row 0",
            row=0,
        )
        self.assertEqual(problem["limit"], 1e-7)
        self.assertGreater(problem["actual"], 1e-7)

    def test_batches_and_answers_over_their_limits_are_413_with_limit_and_actual(self):
        rows = [[1, 2, 3]] * 101
        for body, kind in (
            (json.dumps({"queries": rows}), JSON),
            (harness.npy(rows), NPY),
            (harness.pack_f32(rows), OCTETS),
        ):
            problem = self.query(body, 413, "limit", "100", type=kind)
            self.assertEqual((problem["limit"], problem["actual"]), (100, 101))


class Npy(Bad):
    def bad(self, body, status, code, *words):
        self.upload(body, status, code, *words, type=NPY)
        self.query(body, status, code, *words, type=NPY)
        self.upload(body, status, code, *words, type=OCTETS)

    def test_a_huge_header_is_refused(self):
        for body in (
            b"\x93NUMPY\x02\x00" + struct.pack("<I", 0xFFFFFFF0) + b"{" + b" " * 100,
            b"\x93NUMPY\x02\x00" + struct.pack("<I", 900000) + b" " * 900000,
        ):
            for answer in (self.daemon.put("new", body, type=NPY), self.daemon.retrieve("s", body, type=NPY)):
                self.problem(answer, 400, "format", "header")
        self.bad(b"\x93NUMPY\x01\x00" + struct.pack("<H", 65535) + b"{}", 400, "format")

    def test_lying_shapes_are_400_stating_both_sizes(self):
        data = struct.pack("<6f", *range(6))
        for shape in ("(3, 3)", "(1, 3)", "(200, 3)"):
            with self.subTest(shape=shape):
                self.bad(harness.npy_header("<f4", shape) + data, 400, "format", "24")
        for shape in (
            "(4294967296, 4294967296)",
            "(9223372036854775807, 2)",
            "(18446744073709551616, 3)",
            "(-2, 3)",
            "(2, 3, 1)",
            "()",
            "(6,)",
            "(2, 3",
            "2, 3",
            "(2.0, 3)",
            "('2', 3)",
            "(True, 3)",
            "(2, 03)",
            "(99999999999999999999999999, 1)",
        ):
            with self.subTest(shape=shape):
                answer = self.daemon.put("new", harness.npy_header("<f4", shape) + data, type=NPY)
                self.assertIn(answer.status, (400, 413, 422, 507), answer)

    def test_truncated_bodies_are_400(self):
        whole = harness.npy(ROWS)
        for size in (0, 1, 5, 6, 7, 8, 9, 10, 20, 80, len(whole) - 24, len(whole) - 1):
            with self.subTest(size=size):
                self.assertEqual(self.daemon.put("new", whole[:size], type=NPY).status, 400)
                self.assertEqual(self.daemon.retrieve("s", whole[:size], type=NPY).status, 400)

    def test_other_types_are_refused_by_name(self):
        for descr in ("|O", "<i4", ">f4", "<c8", "<U4", "<f16", "|b1", "<u2", "float32", "[('a', '<f4')]"):
            with self.subTest(descr=descr):
                answer = self.daemon.put("new", harness.npy_header(descr, "(2, 3)") + b"\0" * 96, type=NPY)
                problem = self.problem(answer, 400, "format")
                if descr[0] != "[":
                    self.assertIn(descr, problem["detail"])

    def test_objects_are_refused_without_unpickling(self):
        pickled = b"\x80\x04\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94."
        self.bad(harness.npy_header("|O", "(1, 3)") + pickled, 400, "format", "|O")

    def test_headers_that_are_no_dict_are_400(self):
        for text in (
            "",
            "[]",
            "{",
            "{'descr': '<f4'}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}",
            "{'descr': '<f4', 'fortran_order': False}",
            "__import__('os').system('true')",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)" + "}" * 50,
            "\xff\xfe\0",
        ):
            with self.subTest(text=text):
                header = text.encode("latin-1") + b"\n"
                body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 24
                self.bad(body, 400, "format")

    def test_other_versions_and_magics_are_400(self):
        whole = harness.npy(ROWS)
        for start in (
            b"\x93NUMPY\x00\x00",
            b"\x93NUMPY\x04\x00",
            b"\x93NUMPX\x01\x00",
            b"PK\x03\x04\x00\x00\x00\x00",
        ):
            self.assertEqual(self.daemon.put("new", start + whole[8:], type=NPY).status, 400)

    def test_nan_and_infinity_are_422_with_row_and_column(self):
        for descr, value in (
            ("<f4", float("nan")),
            ("<f4", float("-inf")),
            ("<f8", float("nan")),
            ("<f8", 1e39),
            ("<f2", float("inf")),
        ):
            for fortran in (False, True):
                with self.subTest(descr=descr, value=value, fortran=fortran):
                    body = harness.npy([[1, 2, 3], [4, value, 6]], descr, fortran)
                    self.upload(body, 422, "domain", "row 1", "column 1", type=NPY, row=1, column=1)
                    self.query(body, 422, "domain", type=NPY, row=1, column=1)

    def test_raw_f32_must_be_whole_rows_of_d(self):
        self.upload(b"\0" * 23, 400, None, type=OCTETS, query="?d=3")
        self.upload(b"\0" * 20, 400, None, type=OCTETS, query="?d=3")
        self.upload(b"\0" * 24, 400, None, "d", type=OCTETS)
        self.query(b"\0" * 13, 400, None, type=OCTETS)
        for d in ("0", "-1", "x", "", "1e3", "99999999999999999999", "4611686018427387904"):
            with self.subTest(d=d):
                answer = self.daemon.put("new", b"\0" * 24, "?d=" + d, type=OCTETS)
                self.assertIn(answer.status, (400, 413, 422), answer)
        nan = struct.pack("<6f", 1, 2, 3, 4, 5, float("nan"))
        self.upload(nan, 422, "domain", type=OCTETS, query="?d=3", row=1, column=2)

    def test_d_beyond_its_limit_is_refused(self):
        answer = self.daemon.put("new", harness.npy_header("|u1", "(1, 65537)") + b"\1" * 65537, type=NPY)
        self.assertIn(answer.status, (413, 422), answer)


if __name__ == "__main__":
    tap.main()
