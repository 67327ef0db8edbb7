#!/usr/bin/env python3
"""Uploads as they arrive: every format in odd cuts, checksums, what is refused before the body, memory, lost clients."""

import hashlib
import json
import random
import struct
import time

import harness
import tap
from harness import NPY, OCTETS, Daemon
from test_load import Load

TENSORS = "application/vnd.safetensors"
ROWS = harness.uniform_rows(5, 40, 7)
VALUES = harness.uniform_rows(6, 40, 3)
LABELS = ["label %d \u00fc" % i if i % 3 else "" for i in range(40)]


def safetensors(arrays, metadata=None, order=None, pad=0):
    """A file of {name: (dtype, shape, bytes)}; the data lies in the given order, the header has its own."""
    header, at = {}, 0
    for name in order or arrays:
        dtype, shape, data = arrays[name]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    header = {name: header[name] for name in arrays}
    if metadata is not None:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode() + b" " * pad
    return struct.pack("<Q", len(text)) + text + b"".join(arrays[name][2] for name in order or arrays)


def everything(**more):
    """memories, values, labels and ids."""
    text = b"".join(label.encode() + b"\0" for label in LABELS)
    return safetensors(
        {
            "memories": ("F32", [40, 7], harness.pack_f32(ROWS)),
            "values": ("F32", [40, 3], harness.pack_f32(VALUES)),
            "ids": ("U64", [40], struct.pack("<40Q", *range(0, 120, 3))),
            "labels": ("U8", [len(text)], text),
        },
        **more,
    )


def head(name, type, length, query="", more="", append=False):
    """The head of a PUT, or of rows to append; length None: chunked."""
    framing = "Transfer-Encoding: chunked" if length is None else "Content-Length: %d" % length
    method, path = ("POST", name + "/memories") if append else ("PUT", name)
    return (
        "%s /v1/admin/sets/%s%s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n%s\r\n%s\r\n"
        % (method, path, query, type, framing, more)
    ).encode()


class Upload(Load):
    def send(self, name, body, type, query="", seed=1, chunked=False, append=False):
        """In pieces of random lengths, each in a segment of its own where the network is kind."""
        rng = random.Random(seed)
        with self.daemon.connect() as sock:
            sock.sendall(head(name, type, None if chunked else len(body), query, append=append))
            at = 0
            while at < len(body):
                piece = body[at : at + rng.choice((1, 2, 3, 5, 64, 127, 1000))]
                at += len(piece)
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                if rng.random() < 0.05:
                    time.sleep(0.001)
            if chunked:
                sock.sendall(b"0\r\n\r\n")
            return harness.read_answer(sock)

    def reserved(self):
        """Once nothing is built in the background any more."""
        for about in self.daemon.get("/v1/sets").json()["sets"]:
            self.daemon.wait_ready(about["name"])
        return harness.metric(self.daemon.metrics(), "hopfieldd_memory_reserved_bytes")


class Formats(Upload):
    def test_every_format_comes_to_the_same_set_in_any_cuts(self):
        flat = harness.pack_f32(ROWS)
        bodies = {
            "json-text": ("application/json", json.dumps({"memories": ROWS}).encode(), ""),
            "npy": (NPY, harness.npy(ROWS), ""),
            "npy-v2-f8-fortran": (NPY, harness.npy(ROWS, "<f8", True, (2, 0)), ""),
            "raw": (OCTETS, flat, "?d=7"),
            "npy-by-magic": (OCTETS, harness.npy(ROWS), ""),
            "safetensors": (TENSORS, safetensors({"memories": ("F32", [40, 7], flat)}), ""),
            "safetensors-by-its-start": (OCTETS, safetensors({"memories": ("F32", [40, 7], flat)}, pad=11), ""),
            "safetensors-f8": (
                TENSORS,
                safetensors({"memories": ("F64", [40, 7], struct.pack("<280d", *(v for r in ROWS for v in r)))}),
                "",
            ),
        }
        self.put("reference", {"memories": ROWS})
        wanted = self.daemon.get("/v1/sets/reference").json()["etag"].split("-")[0]
        for name, (type, body, query) in bodies.items():
            for chunked in (False, True):
                for seed in range(3):
                    with self.subTest(body=name, chunked=chunked, seed=seed):
                        answer = self.send(name, body, type, query, seed, chunked)
                        self.assertIn(answer.status, (200, 201), answer)
                        # The hash of shape, rows and settings.
                        self.assertEqual(answer.json()["etag"].split("-")[0], wanted)

    def test_json_in_any_order_and_any_cuts(self):
        members = {"labels": LABELS, "beta": 0.5, "values": VALUES, "memories": ROWS}
        wanted = self.put("ordered", members).json()["etag"].split("-")[0]
        for seed in range(4):
            order = random.Random(seed).sample(sorted(members), 4)
            body = json.dumps({name: members[name] for name in order}, ensure_ascii=seed % 2 == 0).encode()
            answer = self.send("shuffled", body, "application/json", "", seed, seed > 1)
            self.assertEqual(answer.json()["etag"].split("-")[0], wanted, answer)

    def test_json_is_refused_where_it_goes_wrong_and_leaves_nothing(self):
        before = self.reserved()
        body = json.dumps({"memories": ROWS, "values": VALUES}).encode()
        bad = body.replace(b"]]", b", NaN]]", 1)
        for chunked in (False, True):
            answer = self.send("bad", bad, "application/json", "", 1, chunked)
            self.assertEqual(answer.status, 400, answer)
            self.assertEqual((answer.json()["row"], answer.json()["column"]), (39, 7))
            self.assertIn("(byte %d)" % bad.index(b"NaN"), answer.json()["detail"])
            answer = self.send("bad", body[:-20], "application/json", "", 1, chunked)
            self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.daemon.get("/v1/sets/bad").status, 404)
        harness.eventually(lambda: self.assertEqual(self.reserved(), before))

    def test_values_labels_and_ids_of_safetensors(self):
        self.put("json", {"memories": ROWS, "values": VALUES, "labels": LABELS, "beta": 0.5})
        arranged = everything(metadata={"beta": "0.5"}, order=["labels", "ids", "values", "memories"])
        for i, body in enumerate((everything(metadata={"beta": "0.5", "note": "x"}), arranged)):
            name = "tensors-%d" % i
            about = self.send(name, body, TENSORS).json()
            self.assertEqual((about["M"], about["d"], about["p"], about["beta"]), (40, 7, 3, 0.5))
            query = {"queries": ROWS[:5], "return": ["top"], "top": 40, "mode": "dense"}
            mine, other = (self.daemon.retrieve(n, query).json() for n in (name, "json"))
            self.assertEqual(mine["retrieved"], other["retrieved"])
            for a, b in zip(mine["top"], other["top"]):
                self.assertEqual(
                    [(t["id"], t["label"], t["weight"]) for t in a],
                    [(3 * t["id"], t["label"], t["weight"]) for t in b],
                )

    def test_what_a_safetensors_file_says_is_overruled_by_the_query_string(self):
        body = everything(metadata={"beta": "0.5", "max_error": "0.25", "similarity": "cosine", "max_degree": "2"})
        about = self.put("meta", body, type=TENSORS).json()
        self.assertEqual((about["beta"], about["max_error"], about["similarity"]), (0.5, 0.25, "cosine"))
        about = self.put("meta", body, "?beta=2&similarity=dot", 200, type=TENSORS).json()
        self.assertEqual((about["beta"], about["max_error"], about["similarity"]), (2, 0.25, "dot"))

    def test_a_bad_body_changes_nothing_whenever_it_shows(self):
        etag = self.put("keep", {"memories": ROWS}).headers["etag"]
        rows = [list(row) for row in ROWS]
        rows[31][4] = float("nan")
        tensor = safetensors({"memories": ("F32", [40, 7], harness.pack_f32(rows))})
        for type, body, query, status in (
            (NPY, harness.npy(rows), "", 422),
            (NPY, harness.npy(rows, "<f8", True), "", 422),
            (OCTETS, harness.pack_f32(rows), "?d=7", 422),
            (TENSORS, tensor, "", 422),
            (NPY, harness.npy(ROWS)[:-1], "", 400),
            (NPY, harness.npy(ROWS) + b"x", "", 400),
            (OCTETS, harness.pack_f32(ROWS)[:-1], "?d=7", 400),
            (TENSORS, everything()[:-1], "", 400),
            (TENSORS, everything() + b"x", "", 400),
            (TENSORS, everything()[:20], "", 400),
        ):
            for chunked in (False, True):
                with self.subTest(type=type, n=len(body), chunked=chunked):
                    answer = self.send("keep", body, type, query, 3, chunked)
                    self.assertEqual(answer.status, status, answer)
                    problem = answer.json()
                    if status == 422:
                        self.assertEqual((problem["row"], problem["column"]), (31, 4), problem)
                    self.assertEqual(self.daemon.get("/v1/sets/keep").headers["etag"], etag)


class Appending(Upload):
    """Rows for a set that is there come in the same ways."""

    def test_every_format_appends_the_same_rows_in_any_cuts(self):
        more = ROWS[25:]
        flat = harness.pack_f32(more)
        bodies = (
            (NPY, harness.npy(more, "<f8", True), ""),
            (OCTETS, flat, "?d=7"),
            (OCTETS, harness.npy(more), ""),
            (TENSORS, safetensors({"memories": ("F32", [15, 7], flat)}), ""),
            (harness.JSON, json.dumps({"memories": more}).encode(), ""),
        )
        for type, body, query in bodies:
            for chunked in (False, True):
                with self.subTest(type=type, chunked=chunked):
                    self.put("grown", {"memories": ROWS[:25], "max_error": 1}, status=self.status("grown"))
                    sums = hashlib.sha256(body).hexdigest()
                    asked = (query + "&" if query else "?") + "sha256=" + sums
                    answer = self.send("grown", body, type, asked, chunked=chunked, append=True)
                    self.assertEqual((answer.status, answer.json()["M"]), (200, 40), answer)
                    data = self.daemon.get("/v1/admin/sets/grown/data", headers={"Accept": NPY})
                    self.assertEqual(data.body, harness.npy(ROWS, version=(1, 0)))

    def status(self, name):
        return 200 if self.daemon.get("/v1/sets/" + name).status == 200 else 201

    def test_rows_of_another_shape_are_422_with_both(self):
        self.put("shape", {"memories": ROWS, "values": VALUES}, status=201)
        etag = self.daemon.get("/v1/sets/shape").headers["etag"]
        wide = harness.npy([row + [1] for row in ROWS])
        for chunked in (False, True):
            problem = self.send("shape", wide, NPY, chunked=chunked, append=True).json()
            self.assertEqual((problem["status"], problem["limit"], problem["actual"]), (422, 7, 8), problem)
            problem = self.send("shape", harness.npy(ROWS), NPY, chunked=chunked, append=True).json()
            self.assertEqual((problem["status"], problem["limit"], problem["actual"]), (422, 3, 0), problem)
        self.assertEqual(self.daemon.get("/v1/sets/shape").headers["etag"], etag)

    def test_what_the_head_is_enough_for(self):
        self.put("heads", {"memories": ROWS})
        for name, query, more, status in (
            ("nobody", "", "", 404),
            ("heads", "", 'If-Match: "stale"\r\n', 412),
            ("heads", "?beta=1", "", 400),
            ("heads", "?sha256=12", "", 400),
        ):
            with self.subTest(name=name, query=query, more=more):
                answer = self.daemon.raw(head(name, OCTETS, 10 << 20, query, more, append=True))
                self.assertEqual(answer.status, status, answer)
        said = "0123456789abcdef" * 4
        problem = self.send("heads", harness.npy(ROWS), NPY, "?sha256=" + said, append=True).json()
        self.assertEqual((problem["status"], problem["code"]), (422, "checksum"), problem)
        self.assertEqual(self.daemon.get("/v1/sets/heads").json()["M"], 40)


class Checksums(Upload):
    def test_the_right_sum_is_taken_in_digits_of_either_case(self):
        for type, body, query in (
            (NPY, harness.npy(ROWS), ""),
            (OCTETS, harness.pack_f32(ROWS), "&d=7"),
            (TENSORS, everything(), ""),
            (harness.JSON, json.dumps({"memories": ROWS}).encode(), ""),
        ):
            digits = hashlib.sha256(body).hexdigest()
            for text in (digits, digits.upper()):
                with self.subTest(type=type, text=text):
                    answer = self.send("right", body, type, "?sha256=%s%s" % (text, query), chunked=True)
                    self.assertIn(answer.status, (200, 201), answer)

    def test_another_sum_is_422_naming_both_and_changes_nothing(self):
        etag = self.put("wrong", {"memories": ROWS[:3]}).headers["etag"]
        said = "0123456789abcdef" * 4
        for type, body in ((NPY, harness.npy(ROWS)), (harness.JSON, json.dumps({"memories": ROWS}).encode())):
            answer = self.daemon.put("wrong", body, "?sha256=" + said, type=type)
            self.assertEqual((answer.status, answer.json()["code"]), (422, "checksum"), answer)
            for digits in (said, hashlib.sha256(body).hexdigest()):
                self.assertIn(digits, answer.json()["detail"])
            self.assertEqual(self.daemon.get("/v1/sets/wrong").headers["etag"], etag)

    def test_what_is_no_sum_is_400(self):
        for text in ("", "12", "g" * 64, "0" * 63, "0" * 65, "sha256:" + "0" * 64):
            with self.subTest(text=text):
                answer = self.daemon.put("none", harness.npy(ROWS), "?sha256=" + text, type=NPY)
                self.assertEqual((answer.status, answer.json()["code"]), (400, "format"), answer)


class BeforeTheBody(Upload):
    """What the head is enough for is answered without a byte of the body."""

    LENGTH = 10 << 20

    def refused(self, name, query="", more="", status=409, type=OCTETS, length=LENGTH):
        for expect in ("", "Expect: 100-continue\r\n"):
            answer = self.daemon.raw(head(name, type, length, query, more + expect))
            self.assertEqual(answer.status, status, answer)
        return answer.json()

    def test_a_set_that_is_being_uploaded_is_409(self):
        body = harness.npy(ROWS)
        with self.daemon.connect() as first:
            first.sendall(head("taken", NPY, len(body)) + body[:200])
            self.daemon.wait_metric("hopfieldd_memory_reserved_bytes", 1)
            self.assertEqual(self.refused("taken", "?d=1")["code"], "busy")
            self.assertEqual(self.daemon.put("other", body, type=NPY).status, 201)
            first.sendall(body[200:])
            self.assertEqual(harness.read_answer(first).status, 201)
        self.assertEqual(self.daemon.put("taken", body, type=NPY).status, 200)

    def test_a_precondition_that_fails_is_412(self):
        self.put("there", {"memories": ROWS})
        self.refused("there", "?d=1", "If-None-Match: *\r\n", 412)
        self.refused("there", "?d=1", 'If-Match: "stale"\r\n', 412)
        self.refused("nothing", "?d=1", "If-Match: *\r\n", 412)

    def test_options_that_are_wrong_are_refused(self):
        self.refused("options", "?d=1&beta=-1", status=422)
        self.refused("options", "?d=1&similarity=angle", status=422)
        self.refused("options", "?d=1&sha256=12", status=400)

    def test_a_refused_upload_leaves_the_name_free(self):
        body = harness.npy(ROWS)
        for _ in range(3):
            self.assertEqual(self.daemon.put("free", body[:-1], type=NPY).status, 400)
        self.assertEqual(self.daemon.put("free", body, type=NPY).status, 201)


class Budget(tap.Case):
    def resident(self, daemon, what="VmRSS"):
        with open("/proc/%d/status" % daemon.process.pid) as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith(what + ":"))

    def test_what_does_not_fit_is_507_before_the_rows_are_kept(self):
        rows = 1 << 19
        with Daemon("--memory-budget", "6M", "--packing", "none") as daemon:
            before = self.resident(daemon)
            flat = b"\0" * (rows * 8)
            npy = harness.npy_header("<f4", "(%d, 4)" % rows) + flat * 2
            tensor = safetensors({"memories": ("F32", [rows, 4], flat * 2)})
            quarter = harness.npy_header("|u1", "(%d, 8)" % rows) + flat
            for type, body, query in ((NPY, npy, ""), (TENSORS, tensor, ""), (NPY, quarter, ""), (OCTETS, flat * 2, "?d=1")):
                answer = daemon.put("big", body, query, type=type)
                self.assertEqual((answer.status, answer.json()["code"]), (507, "memory_budget"), answer)
                self.assertEqual(answer.json()["limit"], 6 << 20)
                self.assertGreater(answer.json()["actual"], 6 << 20)
            self.assertEqual(harness.metric(daemon.metrics(), "hopfieldd_memory_reserved_bytes"), 0)
            if not harness.FAST:
                self.assertLess(self.resident(daemon) - before, 5 << 20)

    def test_a_chunked_body_is_507_once_it_no_longer_fits(self):
        with Daemon("--memory-budget", "8M", "--packing", "none") as daemon:
            piece = b"%x\r\n%s\r\n" % (1 << 16, struct.pack("<f", 1.5) * (1 << 14))
            with daemon.connect() as sock:
                sock.sendall(head("big", OCTETS, None, "?d=16"))
                for _ in range(400):
                    sock.sendall(piece)
                sock.sendall(b"0\r\n\r\n")
                answer = harness.read_answer(sock)
            self.assertEqual((answer.status, answer.json()["code"]), (507, "memory_budget"), answer)
            self.assertGreater(answer.json()["actual"], answer.json()["limit"])
            self.assertEqual(harness.metric(daemon.metrics(), "hopfieldd_memory_reserved_bytes"), 0)

    def test_a_client_that_goes_away_gives_everything_back(self):
        header = harness.npy_header("<f4", "(1000000, 4)")
        with Daemon("--memory-budget", "200M") as daemon:

            def reserved():
                return harness.metric(daemon.metrics(), "hopfieldd_memory_reserved_bytes")

            for how in ("close", "reset"):
                with daemon.connect() as sock:
                    sock.sendall(head("lost", NPY, len(header) + 16000000) + header + b"\0" * 1000000)
                    # The whole set is charged before its rows are here.
                    daemon.wait_metric("hopfieldd_memory_reserved_bytes", 16000000)
                    self.assertEqual(daemon.put("lost", {"memories": ROWS}).status, 409)
                    if how == "reset":
                        sock.setsockopt(harness.socket.SOL_SOCKET, harness.socket.SO_LINGER, struct.pack("ii", 1, 0))
                harness.eventually(lambda: self.assertEqual(reserved(), 0))
                self.assertEqual(daemon.put("lost", {"memories": ROWS}).status, 201)
                self.assertEqual(daemon.delete("lost").status, 204)
                harness.eventually(lambda: self.assertEqual(reserved(), 0))

    def test_a_set_is_uploaded_into_its_own_size(self):
        if harness.FAST or harness.VALGRIND:
            self.skipTest("sanitizers keep memory of their own")
        megabytes = 200
        block = struct.pack("<16f", *(i / 16 - 0.4 for i in range(16))) * 16384
        start = harness.npy_header("<f4", "(%d, 16)" % (megabytes << 14))
        with Daemon("--memory-budget", "2G", "--packing", "none") as daemon:
            before = self.resident(daemon)
            with daemon.connect() as sock:
                sock.sendall(head("large", NPY, len(start) + (megabytes << 20), "?max_degree=0") + start)
                for _ in range(megabytes):
                    sock.sendall(block)
                answer = harness.read_answer(sock)
            self.assertEqual(answer.status, 201, answer)
            kept = answer.json()["bytes"]
            self.assertEqual(kept["memories"], megabytes << 20)
            # Rows, and what the model keeps beside them.
            peak = self.resident(daemon, "VmHWM") - before
            self.assertLess(peak, 1.1 * kept["memories"] + kept["model"])

    def test_json_takes_the_size_of_its_rows_not_of_its_text(self):
        if harness.FAST or harness.VALGRIND:
            self.skipTest("sanitizers keep memory of their own")
        rows, blocks = 4096, 160
        block = b",".join(b"[%s]" % b",".join(b"%.12f" % (i % 7 + j / 16) for j in range(16)) for i in range(rows))
        length = len(b'{"memories":[]}') + blocks * len(block) + blocks - 1
        with Daemon("--memory-budget", "2G", "--packing", "none") as daemon:
            before = self.resident(daemon)
            with daemon.connect() as sock:
                sock.sendall(head("large", "application/json", length, "?max_degree=0") + b'{"memories":[')
                for i in range(blocks):
                    sock.sendall((b"," if i else b"") + block)
                sock.sendall(b"]}")
                answer = harness.read_answer(sock)
            self.assertEqual(answer.status, 201, answer)
            kept = answer.json()["bytes"]
            self.assertEqual(kept["memories"], blocks * rows * 16 * 4)
            self.assertGreater(length, 3.5 * kept["memories"])
            peak = self.resident(daemon, "VmHWM") - before
            self.assertLess(peak, 1.1 * kept["memories"] + kept["model"] + (1 << 20))


if __name__ == "__main__":
    tap.main()
