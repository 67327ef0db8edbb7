#!/usr/bin/env python3
"""Sets that change: settings, rows appended and removed, preconditions, operations, export.

What the daemon holds is compared with a plain copy that the test keeps.
"""

import array
import json
import os
import random
import shutil
import struct
import tempfile
import time
from decimal import Decimal

import harness
import oracle
import tap
from harness import Daemon

SAFETENSORS = "application/vnd.safetensors"
STEPS = 12 if harness.FAST else 40


class Model:
    """A set as lists: what the daemon should hold."""

    def __init__(self, memories, values=None, labels=None, similarity="dot"):
        self.similarity = similarity
        self.memories = harness.f32_rows(memories)
        self.values = harness.f32_rows(values) if values else None
        self.labels = list(labels) if labels else None
        self.ids = list(range(len(memories)))
        self.next_id = len(memories)
        self.version = 1
        self.beta = 1 / len(memories[0]) ** 0.5
        self.max_error = self.fresh_max_error()

    def fresh_max_error(self):
        rows = self.values or self.memories
        return 1e-3 * max(max(column) - min(column) for column in zip(*rows))

    def append(self, memories, values=None, labels=None):
        before, n = len(self.memories), len(memories)
        self.memories += harness.f32_rows(memories)
        if self.values:
            self.values += harness.f32_rows(values)
        if labels and not self.labels:
            self.labels = [""] * before
        if self.labels:
            self.labels += labels or [""] * n
        self.ids += range(self.next_id, self.next_id + n)
        self.next_id += n
        self.version += 1

    def remove(self, ids):
        keep = [i for i, id in enumerate(self.ids) if id not in ids]
        for name in ("memories", "values", "labels", "ids"):
            rows = getattr(self, name)
            if rows is not None:
                setattr(self, name, [rows[i] for i in keep])
        self.version += 1

    def patch(self, changes):
        if "beta" in changes:
            self.beta = 1 / len(self.memories[0]) ** 0.5 if changes["beta"] is None else changes["beta"]
        if "max_error" in changes:
            self.max_error = self.fresh_max_error() if changes["max_error"] is None else changes["max_error"]
        if "labels" in changes:
            self.labels = changes["labels"]
        self.version += 1


def read_safetensors(data):
    """(metadata, {name: (dtype, shape, bytes)}) of a file without gaps."""
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")
    body, at, out = data[8 + length :], 0, {}
    for name, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        start, end = tensor["data_offsets"]
        assert start == at, "a gap before %s" % name
        at = end
        out[name] = (tensor["dtype"], tensor["shape"], body[start:end])
    assert at == len(body), "bytes behind the last tensor"
    return metadata, out


class Changing(tap.Case):
    def problem(self, answer, status, code, *words, **members):
        self.assertEqual(answer.status, status, answer)
        problem = answer.json()
        self.assertEqual(problem["code"], code, problem)
        for word in words:
            self.assertIn(word, problem["detail"])
        for name, value in members.items():
            self.assertEqual(problem.get(name), value, problem)

    def rows(self, daemon, name, path="/memories", method="POST", body=None, query="", **more):
        return daemon.request(method, "/v1/admin/sets/%s%s%s" % (name, path, query), body, **more)

    def patch(self, daemon, name, body, **more):
        return self.rows(daemon, name, "", "PATCH", body, **more)

    def remove(self, daemon, name, ids, **more):
        return self.rows(daemon, name, method="DELETE", query="?ids=" + ",".join(map(str, ids)), **more)

    def export(self, daemon, name, type=None, **more):
        headers = dict(more.pop("headers", {}), **({"Accept": type} if type else {}))
        return daemon.get("/v1/admin/sets/%s/data" % name, headers=headers, **more)

    def is_described(self, description, model):
        self.assertEqual(
            [description[k] for k in ("version", "M", "d", "p", "next_id", "similarity")],
            [
                model.version,
                len(model.memories),
                len(model.memories[0]),
                len((model.values or model.memories)[0]),
                model.next_id,
                model.similarity,
            ],
        )
        self.assertAlmostEqual(description["beta"], model.beta, delta=1e-12)
        self.assertAlmostEqual(description["max_error"], model.max_error, delta=1e-9 * (1 + model.max_error))

    def is_held(self, daemon, name, model, seed=0):
        """Description, both exports, and answers."""
        description = daemon.get("/v1/sets/" + name).json()
        self.is_described(description, model)
        answer = self.export(daemon, name)
        self.assertEqual(answer.headers["etag"], description["etag"])
        self.assertEqual(harness.read_npy(answer.body), model.memories)

        metadata, tensors = read_safetensors(self.export(daemon, name, SAFETENSORS).body)
        self.assertEqual(metadata["similarity"], model.similarity)
        self.assertEqual(float(metadata["beta"]), description["beta"])
        self.assertEqual(float(metadata["max_error"]), description["max_error"])
        wanted = {"memories": ("F32", harness.pack_f32(model.memories))}
        if model.values:
            wanted["values"] = ("F32", harness.pack_f32(model.values))
        if model.labels:
            wanted["labels"] = ("U8", b"".join(label.encode() + b"\0" for label in model.labels))
        if model.ids != list(range(model.next_id)):
            self.assertEqual(metadata["next_id"], str(model.next_id))
            wanted["ids"] = ("I64", struct.pack("<%dq" % len(model.ids), *model.ids))
        if model.similarity == "centered_cosine":
            wanted["mean"] = ("F64", tensors["mean"][2])
            self.assertEqual(tensors["mean"][1], [len(model.memories[0])])
        self.assertEqual({k: (dtype, data) for k, (dtype, _, data) in tensors.items()}, wanted)

        query = harness.uniform_rows(seed, 1, len(model.memories[0]))
        answer = daemon.retrieve(name, {"queries": query, "on_unmet": "best_effort", "return": ["top"], "top": 1000})
        answer = answer.json()
        exact = oracle.Set(model.memories, model.values, model.similarity)
        distance = oracle.distance(answer["retrieved"][0], exact.retrieve(query[0], model.beta))
        self.assertLessEqual(distance, answer["error_bound"][0] + float(exact.own_error))
        weights = dict(zip(model.ids, exact.weights(query[0], model.beta)))
        names = dict(zip(model.ids, model.labels or [None] * len(model.ids)))
        self.assertEqual(sorted(t["id"] for t in answer["top"][0]), model.ids)
        for entry in answer["top"][0]:
            self.assertEqual(entry["label"], names[entry["id"]])
            self.assertAlmostEqual(entry["weight"], float(weights[entry["id"]]), delta=1e-4)

    def walk(self, daemon, name, model, seed):
        """Random changes, each compared."""
        rng = random.Random(seed)
        d, p = len(model.memories[0]), len(model.values[0]) if model.values else 0
        for step in range(STEPS):
            kind = rng.choice(("append", "append", "remove", "patch"))
            if kind == "append":
                n = rng.randrange(1, 5)
                body = {"memories": harness.uniform_rows(rng.random(), n, d)}
                if p:
                    body["values"] = harness.uniform_rows(rng.random(), n, p)
                if rng.random() < 0.3:
                    body["labels"] = ["row %d" % (model.next_id + i) for i in range(n)]
                answer = self.rows(daemon, name, body=body)
                model.append(**body)
            elif kind == "remove":
                most = len(model.ids) - 1
                if most == 0:
                    continue
                ids = rng.sample(model.ids, rng.randrange(1, min(most, 4) + 1))
                if rng.random() < 0.5:
                    answer = self.remove(daemon, name, ids)
                else:
                    answer = self.rows(daemon, name, method="DELETE", body={"ids": ids})
                model.remove(ids)
            else:
                choices = {
                    "beta": rng.choice((None, 0.5, 2.0)),
                    "max_error": rng.choice((None, 0.01, 0.5)),
                    "labels": rng.choice((None, ["L%d" % i for i in model.ids])),
                }
                names = rng.sample(sorted(choices), rng.randrange(1, 4))
                body = {k: choices[k] for k in names}
                answer = self.patch(daemon, name, body)
                model.patch(body)
            self.assertEqual(answer.status, 200, (step, kind, answer))
            self.assertEqual(answer.headers["etag"], answer.json()["etag"])
            self.is_described(answer.json(), model)
            if step % 4 == 3:
                self.is_held(daemon, name, model, seed=step)
        self.is_held(daemon, name, model)


class Walks(Changing):
    def test_random_changes_of_keys_alone(self):
        with Daemon() as daemon:
            model = Model(harness.uniform_rows(1, 6, 4))
            self.assertEqual(daemon.put("a", {"memories": model.memories}).status, 201)
            self.walk(daemon, "a", model, seed=11)

    def test_random_changes_with_values_and_labels(self):
        with Daemon() as daemon:
            model = Model(
                harness.uniform_rows(2, 5, 3),
                harness.uniform_rows(3, 5, 2),
                ["a", "b", "", "d", "\u00e9"],
                similarity="cosine",
            )
            body = {
                "memories": model.memories,
                "values": model.values,
                "labels": model.labels,
                "similarity": "cosine",
            }
            self.assertEqual(daemon.put("a", body).status, 201)
            self.walk(daemon, "a", model, seed=12)

    def test_changes_outlive_the_daemon(self):
        folder = tempfile.mkdtemp(prefix="hopfieldd-data-")
        try:
            model = Model(harness.uniform_rows(4, 6, 4))
            with Daemon(data_dir=os.path.join(folder, "sets")) as daemon:
                daemon.put("a", {"memories": model.memories})
                self.walk(daemon, "a", model, seed=13)
            with Daemon(data_dir=os.path.join(folder, "sets")) as daemon:
                harness.eventually(lambda: self.assertEqual(daemon.get("/readyz").status, 200))
                self.is_held(daemon, "a", model)
        finally:
            shutil.rmtree(folder)

    def test_ids_are_never_given_twice(self):
        with Daemon() as daemon:
            model = Model([[1, 2], [3, 4], [5, 6]])
            daemon.put("a", {"memories": model.memories})
            for change in ([2], [1]):  # the last ones go
                self.remove(daemon, "a", change)
                model.remove(change)
                self.rows(daemon, "a", body={"memories": [[7, 8]]})
                model.append([[7, 8]])
            self.is_held(daemon, "a", model)
            self.assertEqual(model.ids, [0, 3, 4])
            # Replacing starts again.
            answer = daemon.put("a", {"memories": [[1, 2]]})
            self.assertEqual((answer.json()["next_id"], answer.json()["version"]), (1, 6))
            self.problem(self.remove(daemon, "a", [3]), 422, "unknown", "3", row=0)

    def test_appended_rows_in_every_format(self):
        with Daemon() as daemon:
            model = Model([[1, 2], [3, 4]])
            daemon.put("a", {"memories": model.memories})
            daemon.put("one", {"memories": [[5, 6]]})
            for body, query, type in (
                (harness.npy([[0.5, -1.25]]), "", harness.NPY),
                (harness.npy([[0.5, -1.25], [2, 3]], "<f8", fortran=True), "", harness.NPY),
                (harness.pack_f32([[9, 8]]), "?d=2", harness.OCTETS),
                (harness.npy([[7, 7]], "|u1"), "", harness.OCTETS),
                (self.export(daemon, "one").body, "", harness.NPY),
                (self.export(daemon, "one", SAFETENSORS).body, "", SAFETENSORS),
            ):
                answer = self.rows(daemon, "a", body=body, query=query, type=type)
                self.assertEqual(answer.status, 200, answer)
            for rows in ([[0.5, -1.25]], [[0.5, -1.25], [2, 3]], [[9, 8]], [[7, 7]], [[5, 6]], [[5, 6]]):
                model.append(rows)
            self.is_held(daemon, "a", model)


class Refusals(Changing):
    """Each is refused, and changes nothing."""

    ROWS = [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]
    VALUES = [[1.0], [2.0], [3.0]]

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("--query-body-limit", "1M").start()
        cls.daemon.put("s", {"memories": cls.ROWS})
        cls.daemon.put("pairs", {"memories": cls.ROWS, "values": cls.VALUES})
        cls.before = [cls.daemon.wait_ready(name) for name in ("pairs", "s")]

    @classmethod
    def tearDownClass(cls):
        after = cls.daemon.get("/v1/sets").json()["sets"]
        cls.daemon.stop()
        assert after == cls.before, "the stored sets changed: %r" % after

    def test_settings(self):
        for body, status, code, word in (
            ({}, 422, "domain", "nothing"),
            ({"betta": 1}, 400, "format", "did you mean"),
            ({"similarity": "cosine"}, 400, "format", "similarity"),
            ({"memories": [[1, 2]]}, 400, "format", "memories"),
            ({"beta": 0}, 422, "domain", "beta"),
            ({"beta": "1"}, 400, "format", "beta"),
            ({"max_error": -1}, 422, "domain", "max_error"),
            ({"max_degree": 99}, 422, "domain", "max_degree"),
            ({"labels": ["a"]}, 422, "shape", "3"),
            ({"labels": []}, 422, "shape", "3"),
            ({"labels": ["a", "b", "c" * 1025]}, 413, "limit", "1024"),
            ({"labels": ["a", "b", "c\0"]}, 400, "format", "NUL"),
        ):
            with self.subTest(body=body):
                self.problem(self.patch(self.daemon, "s", body), status, code, word)
        self.problem(self.patch(self.daemon, "s", b'{"beta": 1', type=harness.JSON), 400, "format", "byte")
        self.problem(self.patch(self.daemon, "s", b"\x93NUMPY", type=harness.NPY), 415, "unsupported_media_type")
        self.problem(self.patch(self.daemon, "none", {"beta": 1}), 404, "no_such_set", "none")
        self.problem(self.rows(self.daemon, "s", "", "PATCH", {"beta": 1}, "?beta=1"), 400, "unknown_parameter")

    def test_appending(self):
        for name, body, status, code, *words in (
            ("s", {"memories": [[1, 2, 3]]}, 422, "shape", "2", "3"),
            ("s", {"memories": []}, 422, "shape"),
            ("s", {"memories": [[1, 2], [3]]}, 422, "shape", "row 1"),
            ("s", {"memories": [[1, 1e39]]}, 422, "domain", "row 0"),
            ("s", {"memories": [[1, 2]], "values": [[1]]}, 422, "shape", "values"),
            ("s", {"memories": [[1, 2]], "labels": []}, 422, "shape", "labels"),
            ("s", {"memories": [[1, 2]], "beta": 2}, 400, "format", "beta"),
            ("s", {"memories": [[1, 2]], "similarity": "dot"}, 400, "format", "similarity"),
            ("s", {}, 400, "format", "memories"),
            ("pairs", {"memories": [[1, 2]]}, 422, "shape", "values"),
            ("pairs", {"memories": [[1, 2]], "values": [[1, 2]]}, 422, "shape", "values"),
            ("none", {"memories": [[1, 2]]}, 404, "no_such_set"),
        ):
            with self.subTest(name=name, body=body):
                self.problem(self.rows(self.daemon, name, body=body), status, code, *words)
        more = {"body": harness.pack_f32([[1, 2]]), "type": harness.OCTETS}
        self.problem(self.rows(self.daemon, "s", **more), 400, "format", "d")
        self.problem(self.rows(self.daemon, "s", query="?d=1&beta=2", **more), 400, "unknown_parameter", "beta")
        self.problem(self.rows(self.daemon, "s", query="?d=1", **more), 422, "shape", "2")

    def test_removing(self):
        for query, body, status, code, row, *words in (
            ("?ids=7", None, 422, "unknown", 0, "id 7"),
            ("?ids=0,7", None, 422, "unknown", 1, "id 7"),
            ("?ids=1,0,1", None, 422, "domain", 2, "id 1", "twice"),
            ("?ids=0,1,2", None, 422, "domain", None, "all 3"),
            ("?ids=0,1,2,3", None, 422, "unknown", 3, "id 3"),
            ("?ids=", None, 422, "shape", None, "no ids"),
            ("?ids=1,x", None, 400, "format", 1, "entry 1"),
            ("?ids=-1", None, 400, "format", 0),
            ("?ids=1&ids=2", None, 400, "unknown_parameter", None),
            ("", None, 422, "domain", None, "ids"),
            ("", {"ids": []}, 422, "shape", None),
            ("", {"ids": [0, 9]}, 422, "unknown", 1, "id 9"),
            ("", {"ids": [2.5]}, 400, "format", 0),
            ("", {"ids": "1"}, 400, "format", None),
            ("", {"id": [1]}, 400, "format", None, "did you mean"),
            ("", {}, 400, "format", None, "missing"),
            ("?ids=1", {"ids": [1]}, 400, "format", None, "both"),
        ):
            with self.subTest(query=query, body=body):
                answer = self.rows(self.daemon, "s", method="DELETE", body=body, query=query)
                self.problem(answer, status, code, *words, row=row)
        self.problem(self.remove(self.daemon, "none", [1]), 404, "no_such_set")
        big = {"ids": list(range(400000))}
        self.problem(self.rows(self.daemon, "s", method="DELETE", body=big), 413, "body_limit")
        many = {"ids": list(range(5, 100000))}
        self.problem(self.rows(self.daemon, "s", method="DELETE", body=many), 422, "unknown", "id 5", row=0)

    def test_exporting(self):
        self.problem(self.export(self.daemon, "none"), 404, "no_such_set")
        self.problem(self.export(self.daemon, "s", "text/html"), 406, "not_acceptable")
        self.problem(self.daemon.get("/v1/admin/sets/s/data?d=1"), 400, "unknown_parameter")

    def test_preconditions(self):
        current = self.before[1]["etag"]
        for headers in (
            {"If-Match": '"x"'},
            {"If-Match": 'W/%s' % current},
            {"If-None-Match": "*"},
            {"If-None-Match": current},
        ):
            for ask in (
                lambda: self.patch(self.daemon, "s", {"beta": 3}, headers=headers),
                lambda: self.rows(self.daemon, "s", body={"memories": [[1, 2]]}, headers=headers),
                lambda: self.remove(self.daemon, "s", [0], headers=headers),
                lambda: self.daemon.put("s", {"memories": [[1, 2]]}, headers=headers),
                lambda: self.daemon.delete("s", headers=headers),
            ):
                with self.subTest(headers=headers):
                    self.problem(ask(), 412, "precondition_failed", current)


class Preconditions(Changing):
    def test_a_chain_of_compare_and_swap(self):
        with Daemon() as daemon:
            tags = [daemon.put("a", {"memories": [[1, 2], [3, 4]]}, headers={"If-None-Match": "*"}).headers["etag"]]
            for ask in (
                lambda h: self.patch(daemon, "a", {"beta": 3}, headers=h),
                lambda h: self.rows(daemon, "a", body={"memories": [[1, 2]]}, headers=h),
                lambda h: self.remove(daemon, "a", [0], headers=h),
                lambda h: daemon.put("a", {"memories": [[1, 2]]}, headers=h),
            ):
                answer = ask({"If-Match": '"other", %s' % tags[-1]})
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual(ask({"If-Match": tags[-1]}).status, 412)
                tags.append(answer.headers["etag"])
            self.assertEqual(len(set(tags)), 5)
            self.assertEqual([int(tag.strip('"').split("-")[1]) for tag in tags], [1, 2, 3, 4, 5])
            self.assertEqual(daemon.get("/v1/sets/a", headers={"If-None-Match": tags[-1]}).status, 304)
            self.assertEqual(daemon.get("/v1/sets/a", headers={"If-None-Match": tags[0]}).status, 200)
            self.assertEqual(daemon.delete("a", headers={"If-Match": tags[-1]}).status, 204)


class Export(Changing):
    def test_head_length_and_name(self):
        with Daemon() as daemon:
            name = "a." + "b" * 126
            daemon.put(name, {"memories": harness.uniform_rows(1, 30, 7)})
            for type, suffix in ((harness.NPY, "npy"), (SAFETENSORS, "safetensors")):
                answer = self.export(daemon, name, type)
                head = daemon.request("HEAD", "/v1/admin/sets/%s/data" % name, headers={"Accept": type})
                self.assertEqual(head.status, 200)
                for key in ("content-length", "content-type", "etag", "content-disposition"):
                    self.assertEqual(head.headers[key], answer.headers[key])
                self.assertEqual(int(head.headers["content-length"]), len(answer.body))
                self.assertEqual(head.headers["content-disposition"], 'attachment; filename="%s.%s"' % (name, suffix))
                known = {"If-None-Match": answer.headers["etag"]}
                self.assertEqual(self.export(daemon, name, type, headers=known).status, 304)

    def test_npy_goes_round_to_the_byte(self):
        with Daemon() as daemon:
            sent = harness.npy(harness.uniform_rows(2, 50, 9))
            daemon.put("a", sent, type=harness.NPY)
            self.assertEqual(self.export(daemon, "a").body, sent)
            daemon.put("b", self.export(daemon, "a").body, type=harness.NPY)
            self.assertEqual(self.export(daemon, "b").body, sent)

    def test_safetensors_goes_round_to_the_byte(self):
        rows, values = harness.uniform_rows(3, 6, 4), harness.uniform_rows(4, 6, 2)
        labels = ["a", "", "\u00e9\u4e2d", "d", "e", "f"]
        with Daemon() as daemon:
            for body, ids in (
                ({"memories": rows}, []),
                ({"memories": rows, "values": values, "labels": labels, "beta": 0.1, "max_degree": 3}, [0, 5]),
                ({"memories": rows, "similarity": "centered_cosine", "max_error": 1e-3, "labels": labels}, [2]),
                ({"memories": rows}, [5, 4]),
            ):
                daemon.put("a", body)
                if ids:
                    self.assertEqual(self.remove(daemon, "a", ids).status, 200)
                first = self.export(daemon, "a", SAFETENSORS).body
                answer = daemon.put("elsewhere", first, type=SAFETENSORS)
                self.assertIn(answer.status, (200, 201), answer)
                self.assertEqual(self.export(daemon, "elsewhere", SAFETENSORS).body, first)
                sides = [daemon.get("/v1/sets/" + name).json() for name in ("a", "elsewhere")]
                for side in sides:  # about a centre that changed rows keep
                    del side["norms"]["centred_max_l2"]
                for key in ("M", "d", "p", "beta", "max_error", "similarity", "norms", "next_id"):
                    self.assertEqual(sides[0][key], sides[1][key])

    def test_a_mean_that_is_no_longer_the_rows_goes_round(self):
        first, far = harness.uniform_rows(3, 30, 5), harness.uniform_rows(4, 20, 5, 2.0, 5.0)
        query = {"queries": harness.uniform_rows(5, 12, 5, 0.0, 2.0), "on_unmet": "best_effort", "beta": 4}
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        with Daemon(data_dir=os.path.join(folder, "sets")) as daemon:
            daemon.put("a", {"memories": first, "similarity": "centered_cosine"})
            fresh = read_safetensors(self.export(daemon, "a", SAFETENSORS).body)[1]["mean"]
            self.assertEqual(self.rows(daemon, "a", body={"memories": far}).status, 200)
            self.assertEqual(self.remove(daemon, "a", range(1, 25)).status, 200)
            sent = self.export(daemon, "a", SAFETENSORS).body
            self.assertEqual(read_safetensors(sent)[1]["mean"], fresh)
            answer = daemon.put("b", sent, type=SAFETENSORS)
            self.assertEqual(answer.status, 201, answer)
            self.assertEqual(self.export(daemon, "b", SAFETENSORS).body, sent)
            daemon.put("rows", self.export(daemon, "a").body, "?similarity=centered_cosine", type=harness.NPY)
            daemon.put("c", self.export(daemon, "b", SAFETENSORS).body, type=SAFETENSORS)
            for mode in ("dense", "auto"):
                self.answers_agree(daemon, dict(query, mode=mode))
            answer = daemon.put("b", sent, "?similarity=dot", type=SAFETENSORS)
            self.problem(answer, 400, "format", "mean: a set of similarity dot has none")
            answer = self.rows(daemon, "a", body=sent, type=SAFETENSORS)
            self.problem(answer, 400, "format", "leave the tensor out")
        with Daemon(data_dir=os.path.join(folder, "sets")) as daemon:
            self.assertEqual(self.export(daemon, "b", SAFETENSORS).body, sent)
            self.answers_agree(daemon, query)

    def answers_agree(self, daemon, query):
        """Of a and b, within both bounds: a changed set keeps its centre too; b and c, made afresh both, to the digit.
        `rows` has a mean of its own."""
        for name in ("a", "b", "c", "rows"):
            daemon.wait_ready(name)
        a, b, c, rows = (daemon.retrieve(name, query).exact() for name in ("a", "b", "c", "rows"))
        self.assertEqual([b[k] for k in ("retrieved", "error_bound")], [c[k] for k in ("retrieved", "error_bound")])
        for x, y, *bounds in zip(a["retrieved"], b["retrieved"], a["error_bound"], b["error_bound"]):
            self.assertLessEqual(oracle.distance(x, y), sum(bounds))
        apart = max(oracle.distance(x, y) for x, y in zip(a["retrieved"], rows["retrieved"]))
        self.assertGreater(apart, Decimal("0.01") + max(a["error_bound"]) + max(rows["error_bound"]))

    def test_a_large_export_is_whole_while_its_set_is_replaced_and_deleted(self):
        M, d = 60000, 64  # more than sockets hold
        with Daemon() as daemon:
            data = random.Random(5).randbytes(M * d)
            header = harness.npy_header("|u1", "(%d, %d)" % (M, d))
            daemon.put("a", header + data, "?max_degree=0", type=harness.NPY)
            with daemon.connect() as sock:
                sock.sendall(b"GET /v1/admin/sets/a/data HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                with sock.makefile("rb") as answer:
                    self.assertIn(b" 200 ", answer.readline())
                    self.assertEqual(daemon.put("a", {"memories": [[1]]}).status, 200)
                    self.assertEqual(daemon.delete("a").status, 204)
                    body = answer.read().partition(b"\r\n\r\n")[2]
            self.assertEqual(len(body), 128 + 4 * M * d)
            self.assertTrue(array.array("f", body[128:]) == array.array("f", iter(data)))
            harness.eventually(lambda: self.assertEqual(self.reserved(daemon), 0))

    def reserved(self, daemon):
        return daemon.get("/v1/info").json()["memory"]["reserved_bytes"]

    def test_a_client_that_leaves_in_the_middle_keeps_nothing(self):
        with Daemon() as daemon:
            header = harness.npy_header("|u1", "(%d, %d)" % (60000, 64))
            daemon.put("a", header + bytes(60000 * 64), "?max_degree=0", type=harness.NPY)
            for accept in (harness.NPY, SAFETENSORS):
                with daemon.connect() as sock:
                    sock.sendall(b"GET /v1/admin/sets/a/data HTTP/1.1\r\nHost: x\r\nAccept: %s\r\n\r\n" % accept.encode())
                    sock.recv(1000)
            self.assertEqual(daemon.delete("a").status, 204)
            harness.eventually(lambda: self.assertEqual(self.reserved(daemon), 0))


class Operations(Changing):
    ASYNC = {"Prefer": "respond-async"}

    def over(self, daemon, answer):
        """Wait for the operation that a 202 names; its document."""
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual(answer.headers["preference-applied"], "respond-async")
        give_up = time.monotonic() + harness.PATIENCE_S
        percent = 0
        while True:
            operation = daemon.get(answer.headers["location"]).json()
            self.assertGreaterEqual(operation["percent"], percent)
            percent = operation["percent"]
            if operation["state"] in ("succeeded", "failed"):
                self.assertEqual(operation["id"], answer.json()["id"])
                self.assertIsNotNone(operation["finished"])
                return operation
            assert time.monotonic() < give_up, operation
            time.sleep(0.005)

    def test_every_change_can_go_on_by_itself(self):
        with Daemon() as daemon:
            model = Model(harness.uniform_rows(1, 4, 3))
            done = [self.over(daemon, daemon.put("a", {"memories": model.memories}, headers=self.ASYNC))]
            done.append(self.over(daemon, self.patch(daemon, "a", {"beta": 2}, headers=self.ASYNC)))
            model.patch({"beta": 2})
            more = harness.uniform_rows(2, 2, 3)
            done.append(
                self.over(daemon, self.rows(daemon, "a", body={"memories": more}, headers={"Prefer": "a, Respond-Async"}))
            )
            model.append(more)
            done.append(self.over(daemon, self.remove(daemon, "a", [0, 5], headers=self.ASYNC)))
            model.remove([0, 5])
            self.assertEqual(
                [(o["id"], o["kind"], o["set"], o["version"], o["state"], o["percent"], o["problem"]) for o in done],
                [
                    (i + 1, kind, "a", i + 1, "succeeded", 100, None)
                    for i, kind in enumerate(("put", "patch", "append", "remove"))
                ],
            )
            self.is_held(daemon, "a", model)

    def test_a_failure_is_the_problem_that_a_waiting_client_would_have_had(self):
        with Daemon() as daemon:
            daemon.put("a", {"memories": [[1, 2], [3, 4]]})
            for ask in (
                lambda h: self.remove(daemon, "a", [7], headers=h),
                lambda h: self.remove(daemon, "a", [0, 1], headers=h),
                lambda h: self.remove(daemon, "a", [1, 1], headers=h),
            ):
                waited = ask({}).json()
                operation = self.over(daemon, ask(self.ASYNC))
                self.assertEqual((operation["state"], operation["version"]), ("failed", None))
                for key in ("code", "status", "detail", "type", "row"):
                    self.assertEqual(operation["problem"].get(key), waited.get(key))
            self.assertEqual(daemon.get("/v1/sets/a").json()["version"], 1)
            # What is malformed, or may not be, is said at once.
            self.problem(self.patch(daemon, "a", {"x": 1}, headers=self.ASYNC), 400, "format")
            self.problem(self.patch(daemon, "a", {"labels": ["x"]}, headers=self.ASYNC), 422, "shape")
            self.problem(self.rows(daemon, "a", body={"memories": [[1]]}, headers=self.ASYNC), 422, "shape")
            self.problem(self.patch(daemon, "b", {"beta": 1}, headers=self.ASYNC), 404, "no_such_set")
            later = {**self.ASYNC, "If-Match": '"x"'}
            self.problem(self.patch(daemon, "a", {"beta": 1}, headers=later), 412, "precondition_failed")

    def large(self):
        M, d = 100000, 64
        header = harness.npy_header("|u1", "(%d, %d)" % (M, d))
        return header + random.Random(1).randbytes(M * d)

    def test_one_writer_a_set_and_readers_meanwhile(self):
        with Daemon() as daemon:
            daemon.put("a", {"memories": [[1] * 64]})
            answer = daemon.put("a", self.large(), "?max_degree=0", type=harness.NPY, headers=self.ASYNC)
            self.assertEqual(answer.status, 202)
            busy = 0
            while daemon.get(answer.headers["location"]).json()["state"] in ("queued", "running"):
                self.assertIn(daemon.get("/v1/sets/a").json()["M"], (1, 100000))
                second = self.patch(daemon, "a", {"beta": 3})
                if second.status == 409:
                    busy += 1
                    self.problem(second, 409, "busy", "'a'")
            self.assertEqual(self.over(daemon, answer)["state"], "succeeded")
            self.assertGreaterEqual(busy, 0 if harness.FAST else 1)
            self.assertEqual(self.patch(daemon, "a", {"beta": 3}).status, 200)

    def test_what_was_accepted_is_finished_by_a_drain(self):
        folder = tempfile.mkdtemp(prefix="hopfieldd-data-")
        try:
            path = os.path.join(folder, "sets")
            with Daemon("--drain-timeout-ms", "600000", data_dir=path) as daemon:
                answer = daemon.put("a", self.large(), "?max_degree=0", type=harness.NPY, headers=self.ASYNC)
                self.assertEqual(answer.status, 202)
            with Daemon(data_dir=path) as daemon:
                harness.eventually(lambda: self.assertEqual(daemon.get("/readyz").status, 200))
                described = daemon.get("/v1/sets/a").json()
                self.assertEqual((described["M"], described["version"]), (100000, 1))
        finally:
            shutil.rmtree(folder)

    def test_measurements_and_changes_share_one_table(self):
        with Daemon("--theory-seconds", "0") as daemon:
            first = self.over(daemon, daemon.put("a", {"memories": [[3, 4], [0, 0]]}, headers=self.ASYNC))
            second = daemon.get("/v1/sets/a/theory").json()
            third = self.over(daemon, self.patch(daemon, "a", {"beta": 1}, headers=self.ASYNC))
            self.assertEqual([first["id"], second["id"], third["id"]], [1, 2, 3])
            self.assertEqual(second["kind"], "separation")
            for i in range(70):
                self.over(daemon, self.patch(daemon, "a", {"beta": 1 + i}, headers=self.ASYNC))
            self.problem(daemon.get("/v1/admin/operations/1"), 404, "no_such_operation")
            self.assertEqual(daemon.get("/v1/admin/operations/73").json()["version"], 72)


class Budget(Changing):
    def test_every_byte_has_a_kind(self):
        with Daemon() as daemon:
            daemon.put("a", {"memories": harness.uniform_rows(1, 300, 8), "labels": ["x"] * 300})
            daemon.put("b", {"memories": [[1, 2]] * 40, "values": [[3]] * 40})
            self.remove(daemon, "b", [3])
            sets = [daemon.wait_ready(name)["bytes"] for name in "ab"]
            memory = harness.eventually(lambda: daemon.get("/v1/info").json()["memory"])
            self.assertEqual(sum(memory["bytes"].values()), memory["reserved_bytes"])
            for kind in ("memories", "values", "ids", "labels", "features"):
                self.assertEqual(memory["bytes"][kind], sum(part[kind] for part in sets))
                self.assertGreater(memory["bytes"][kind], 0)
            self.assertEqual(memory["bytes"]["models"], sum(part["model"] for part in sets))
            series = daemon.metrics()
            for kind, value in memory["bytes"].items():
                self.assertEqual(harness.metric(series, "hopfieldd_memory_bytes", kind=kind), value)

    def test_a_change_that_does_not_fit_changes_nothing_and_deleting_always_works(self):
        with Daemon("--memory-budget", "16M") as daemon:
            rows = harness.npy_header("|u1", "(20000, 64)") + bytes(20000 * 64)
            self.assertEqual(daemon.put("a", rows, "?max_degree=0", type=harness.NPY).status, 201, "fits once")
            before = daemon.get("/v1/sets/a").json()
            reserved = harness.eventually(lambda: daemon.get("/v1/info").json()["memory"]["reserved_bytes"])
            answer = self.rows(daemon, "a", body=rows, type=harness.NPY)
            self.problem(answer, 507, "memory_budget")
            self.assertGreater(answer.json()["actual"], answer.json()["limit"])
            self.problem(daemon.put("b", rows, type=harness.NPY), 507, "memory_budget")
            self.assertEqual(daemon.get("/v1/sets/a").json(), before)
            harness.eventually(
                lambda: self.assertEqual(daemon.get("/v1/info").json()["memory"]["reserved_bytes"], reserved)
            )
            self.assertEqual(daemon.delete("a").status, 204)
            self.assertEqual(daemon.put("b", rows, "?max_degree=0", type=harness.NPY).status, 201)


if __name__ == "__main__":
    tap.main()
