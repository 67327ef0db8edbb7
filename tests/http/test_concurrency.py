#!/usr/bin/env python3
"""Many clients at once: atomic replacement, nobody blocks anybody, overload is refused in order."""

import json
import random
import socket
import struct
import threading
import time

import harness
import ledger
import tap
from harness import NPY, Clients, Daemon

HEAD = (
    b"POST /v1/sets/%s/retrieve HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


def heavy_set(daemon, M, d=64, name="heavy"):
    header = harness.npy_header("|u1", "(%d, %d)" % (M, d))
    answer = daemon.put(
        name,
        header + harness.random.Random(1).randbytes(M * d),
        "?max_degree=0&similarity=centered_cosine",
        type=NPY,
    )
    assert answer.status == 201, answer


class Shared(tap.Case):
    """One request may be worked on by several workers; nobody can tell from its answer."""

    def test_answers_do_not_depend_on_the_number_of_workers(self):
        M = 20000 if harness.FAST else 100000
        body = harness.pack_f32(harness.uniform_rows(7, 300, 64))
        answers = []
        for workers in ("1", "2", "5"):
            with Daemon("--workers", workers) as daemon:
                heavy_set(daemon, M)
                given = []
                for rows in (1, 3, 60, 300):
                    for options in ("mode=dense&max_error=1", "mode=dense&max_error=1e-4&beta=0.3&return=energy"):
                        answer = daemon.post(
                            "/v1/sets/heavy/retrieve?on_unmet=best_effort&" + options,
                            body[: rows * 64 * 4],
                            type=harness.OCTETS,
                        )
                        self.assertEqual(answer.status, 200, answer)
                        given.append({k: v for k, v in answer.json().items() if k != "timing_ms"})
                answers.append(given)
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(answers[0], answers[2])

    def test_many_long_requests_at_once_are_all_answered(self):
        with Daemon("--workers", "3") as daemon:
            heavy_set(daemon, 20000 if harness.FAST else 100000)
            body = harness.pack_f32(harness.uniform_rows(8, 20, 64))

            def ask():
                for _ in range(3):
                    answer = daemon.post("/v1/sets/heavy/retrieve?mode=dense", body, type=harness.OCTETS)
                    self.assertEqual(answer.status, 200, answer)

            clients = Clients()
            for _ in range(8):
                clients.run(ask)
            clients.join()


class Swap(tap.Case):
    """Every version has one value everywhere, so each answer shows which version gave it."""

    CLIENTS = 8
    ROUNDS = 25 if harness.FAST else 120

    def versions(self, k):
        """The body of version k: all memories are [k, k/2], so every retrieval is exactly that."""
        return {"memories": [[float(k), k / 2.0]] * (3 + k % 5), "max_degree": k % 3}

    def test_replacing_while_8_clients_query_gives_exactly_one_version_each_time(self):
        with Daemon("--workers", "2") as daemon:
            daemon.put("s", self.versions(1))
            clients, seen = Clients(), set()

            def query():
                while not clients.stop.is_set():
                    answer = daemon.retrieve("s", {"queries": [[0.3, 0.1], [2, 5]]})
                    self.assertEqual(answer.status, 200, answer)
                    body = answer.json()
                    k = body["version"]
                    self.assertEqual(body["retrieved"], [[k, k / 2.0]] * 2, "not the rows of version %d" % k)
                    self.assertEqual(body["error_bound"], [0, 0])
                    seen.add(k)

            for _ in range(self.CLIENTS):
                clients.run(query)
            for k in range(2, self.ROUNDS):
                if clients.stop.is_set():
                    break
                answer = daemon.put("s", self.versions(k))
                self.assertEqual((answer.status, answer.json()["version"]), (200, k), answer)
            clients.stop.set()
            clients.join()
            self.assertGreater(len(seen), 2, "the clients saw several versions")

    def test_a_large_set_is_swapped_whole(self):
        with Daemon("--workers", "2") as daemon:
            M, d = 4000, 16
            bodies = {
                k: harness.npy_header("<f4", "(%d, %d)" % (M, d)) + struct.pack("<f", float(k)) * (M * d)
                for k in range(1, 8)
            }
            daemon.put("s", bodies[1], type=NPY)
            clients = Clients()

            def query():
                while not clients.stop.is_set():
                    answer = daemon.retrieve("s", {"queries": [[0.5] * d], "mode": "dense"})
                    self.assertEqual(answer.status, 200, answer)
                    body = answer.json()
                    self.assertEqual(body["retrieved"], [[body["version"]] * d])

            for _ in range(self.CLIENTS):
                clients.run(query)
            for k in range(2, 8):
                self.assertEqual(daemon.put("s", bodies[k], type=NPY).json()["version"], k)
            clients.stop.set()
            clients.join()

    def test_deleting_while_8_clients_query_gives_the_answer_or_404(self):
        with Daemon("--workers", "2") as daemon:
            clients, statuses = Clients(), set()

            def query():
                while not clients.stop.is_set():
                    answer = daemon.retrieve("s", {"queries": [[1, 1]], "mode": "dense"})
                    statuses.add(answer.status)
                    if answer.status == 200:
                        body = answer.json()
                        self.assertEqual(len({body["retrieved"][0][0], 2 * body["retrieved"][0][1]}), 1)
                    else:
                        self.assertEqual((answer.status, answer.json()["code"]), (404, "no_such_set"), answer)

            for _ in range(self.CLIENTS):
                clients.run(query)
            for k in range(1, self.ROUNDS // 2):
                self.assertEqual(daemon.put("s", self.versions(k)).status, 201)
                self.assertEqual(daemon.delete("s").status, 204)
            clients.stop.set()
            clients.join()
            self.assertEqual(statuses, {200, 404})
            harness.eventually(  # the last reader gives everything back
                lambda: self.assertEqual(harness.metric(daemon.metrics(), "hopfieldd_memory_reserved_bytes"), 0)
            )

    def test_two_uploads_of_one_set_are_409_or_one_after_the_other(self):
        with Daemon("--workers", "2") as daemon:
            clients, statuses = Clients(), []
            M, d = 30000, 16
            body = harness.npy_header("|u1", "(%d, %d)" % (M, d)) + harness.random.Random(3).randbytes(M * d)

            def upload():
                for _ in range(6):
                    answer = daemon.put("s", body, type=NPY)
                    self.assertIn(answer.status, (200, 201, 409), answer)
                    statuses.append(answer.status)

            for _ in range(4):
                clients.run(upload)
            clients.join()
            self.assertEqual(statuses.count(201), 1, statuses)
            self.assertEqual(daemon.get("/v1/sets/s").json()["version"], len(statuses) - statuses.count(409))

    def test_a_replaced_set_whose_maps_are_being_built_does_not_wait_for_them(self):
        with Daemon("--workers", "2") as daemon:
            M, d = (20000 if harness.FAST else 200000), 12
            body = harness.npy_header("|u1", "(%d, %d)" % (M, d)) + harness.random.Random(4).randbytes(M * d)
            self.assertEqual(daemon.put("s", body, "?max_degree=6", type=NPY).status, 201)
            answer = daemon.put("s", {"memories": [[1.0] * 12]})
            self.assertEqual((answer.status, answer.json()["version"]), (200, 2))
            self.assertEqual(daemon.wait_ready("s")["M"], 1)
            self.assertEqual(daemon.put("s", body, "?max_degree=6", type=NPY).status, 200)
            self.assertEqual(daemon.delete("s").status, 204)


class Revised(tap.Case):
    """Versions made of versions, without a pause: each answer is that of exactly the version that it names."""

    KINDS = {
        "plain": ledger.Kind(d=4, max_degree=2, limits=(3, 20, 40)),
        "named": ledger.Kind(d=3, p=2, labels=True, similarity="centered_cosine", max_degree=1, limits=(3, 20, 40)),
    }
    CHANGES = 40 if harness.FAST else 200
    READERS = 5

    def write(self, daemon, book, name, rng):
        for _ in range(self.CHANGES):
            change = book.propose(name, rng)
            answer = change.send(daemon)
            self.assertIn(answer.status, (200, 201, 204), answer)
            book.settle(name, change, answer)

    def read(self, daemon, book, rng, clients, seen):
        while not clients.stop.is_set():
            name = rng.choice(list(self.KINDS))
            before = book.known[name]
            if before is None:
                continue
            ask = before.questions(rng)
            ask["top"] = ledger.TOP_MOST
            answer = daemon.retrieve(name, ask, check=False)
            if answer.status == 404:
                continue
            self.assertEqual(answer.status, 200, answer)
            said = answer.json()
            objections = [s.objection(ask, said) for s in book.states_of(name, said["version"])]
            self.assertIn(None, objections, "%s is at none of version %d" % (name, said["version"]))
            seen.add((name, said["version"]))

    def test_answers_under_append_remove_and_patch_are_of_exactly_one_version(self):
        with Daemon("--workers", "2") as daemon:
            book, clients, writers, seen = ledger.Ledger(self.KINDS), Clients(), Clients(), set()
            for i in range(self.READERS):
                clients.run(self.read, daemon, book, random.Random(i), clients, seen)
            for i, name in enumerate(self.KINDS):
                writers.run(self.write, daemon, book, name, random.Random(100 + i))
            writers.join()
            clients.stop.set()
            clients.join()
            self.assertGreater(len(seen), self.CHANGES // 4)
            for name in self.KINDS:
                book.resolve(name, daemon, random.Random(1))
            for name in self.KINDS:
                daemon.delete(name)
            harness.eventually(  # what readers and builds held is given back
                lambda: self.assertEqual(harness.metric(daemon.metrics(), "hopfieldd_memory_reserved_bytes"), 0)
            )


class Fairness(tap.Case):
    def test_slow_bodies_do_not_block_others(self):
        with Daemon("--workers", "1", "--io-threads", "1") as daemon:
            daemon.put("s", {"memories": [[1, 2]]})
            body = b'{"queries": [[1,2]]}'
            slow = []
            for i in range(20):
                sock = daemon.connect()
                sock.sendall(HEAD % (b"s", len(body)) + body[:i])
                slow.append(sock)
            for _ in range(5):
                self.assertEqual(daemon.retrieve("s", {"queries": [[1, 2]]}).status, 200)
            for i, sock in enumerate(slow):
                sock.sendall(body[i:])
            for sock in slow:
                self.assertEqual(harness.read_answer(sock).status, 200)
                sock.close()

    def test_probes_and_descriptions_answer_while_every_worker_is_busy(self):
        with Daemon("--workers", "1", "--queue-seconds", "1000", "--request-deadline-ms", "600000") as daemon:
            heavy_set(daemon, 200000)
            L = 64 if harness.FAST else 512
            body = harness.npy(harness.uniform_rows(2, L, 64))
            clients = Clients()
            threads = [
                clients.run(
                    lambda: self.assertEqual(
                        daemon.retrieve(
                            "heavy", body, "?mode=dense&max_error=1", type=NPY, headers={"Accept": NPY}
                        ).status,
                        200,
                    )
                )
                for _ in range(3)
            ]
            daemon.wait_metric("hopfieldd_queue_requests", 1)
            for path in (
                "/livez",
                "/healthz",
                "/readyz",
                "/metrics",
                "/v1/info",
                "/v1/sets",
                "/v1/sets/heavy",
                "/openapi.json",
            ):
                self.assertEqual(daemon.get(path).status, 200)
            self.assertTrue(any(thread.is_alive() for thread in threads), "the worker was busy all the time")
            clients.join()

    def test_an_upload_does_not_starve_queries(self):
        with Daemon("--workers", "2") as daemon:
            daemon.put("s", {"memories": [[1, 2]]})
            clients = Clients()
            M, d = (50000 if harness.FAST else 300000), 16
            body = harness.npy_header("|u1", "(%d, %d)" % (M, d)) + harness.random.Random(3).randbytes(M * d)
            for i in range(3):
                clients.run(lambda name: self.assertEqual(daemon.put(name, body, type=NPY).status, 201), "u%d" % i)
            for _ in range(50):
                self.assertEqual(daemon.retrieve("s", {"queries": [[1, 2]]}).status, 200)
            clients.join()

    def test_clients_that_leave_do_no_harm(self):
        with Daemon("--workers", "1") as daemon:
            heavy_set(daemon, 20000)
            daemon.put("s", {"memories": [[1, 2]]})
            body = harness.npy(harness.uniform_rows(2, 64, 64))
            head = (
                b"POST /v1/sets/heavy/retrieve?mode=dense&max_error=1 HTTP/1.1\r\nHost: x\r\n"
                b"Content-Type: application/x-npy\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body)
            )
            for i in range(30):
                sock = daemon.connect()
                if i % 3 == 0:  # reset instead of an orderly close
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.sendall(head + (body[: len(body) // 2] if i % 2 else body))
                sock.close()
            self.assertEqual(daemon.retrieve("s", {"queries": [[1, 2]]}).status, 200)
            # Half bodies, dropped and finished ones: all are noticed, long before any time-out.
            harness.eventually(lambda: self.assertEqual(self.held(daemon), (0, 0, 1)))

    def held(self, daemon):
        """(waiting requests, busy workers, open connections), the asking one included."""
        series = daemon.metrics()
        return tuple(
            harness.metric(series, name)
            for name in ("hopfieldd_queue_requests", "hopfieldd_workers_busy", "hopfieldd_http_connections")
        )

    def test_a_client_that_stopped_in_the_middle_of_a_body_does_not_outlast_the_drain(self):
        daemon = Daemon("--drain-timeout-ms", "300").start()
        daemon.put("s", {"memories": [[1, 2]]})
        with daemon.connect() as sock:
            sock.sendall(HEAD % (b"s", 100) + b"{")
            daemon.wait_metric("hopfieldd_http_connections", 2)
            daemon.stop()

    def test_pipelined_requests_are_answered_in_order(self):
        with Daemon() as daemon:
            daemon.put("s", {"memories": [[1, 2]]})
            body = b'{"queries": [[1,2]]}'
            with daemon.connect() as sock:
                sock.sendall(
                    (HEAD % (b"s", len(body)) + body + b"GET /v1/sets/nowhere HTTP/1.1\r\nHost: x\r\n\r\n") * 5
                )
                data = b""
                while data.count(b"HTTP/1.1 ") < 10:
                    piece = sock.recv(65536)
                    self.assertTrue(piece, data)
                    data += piece
                statuses = [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]
                self.assertEqual(statuses, [200, 404] * 5)


class Overload(tap.Case):
    L = 32 if harness.FAST else 128

    def hammer(self, daemon, count):
        """count clients that each ask for heavy work until told to stop; the answers by status."""
        clients, statuses, lock = Clients(), {}, threading.Lock()
        body = harness.npy(harness.uniform_rows(2, self.L, 64))

        def ask():
            for _ in range(4 if harness.FAST else 8):
                answer = daemon.retrieve(
                    "heavy", body, "?mode=dense&max_error=1", type=NPY, headers={"Accept": NPY}
                )
                with lock:
                    statuses.setdefault(answer.status, []).append(answer)

        for _ in range(count):
            clients.run(ask)
        clients.join()
        return statuses

    def test_a_full_queue_is_429_with_retry_after(self):
        with Daemon("--workers", "1", "--queue-seconds", "0.001") as daemon:
            heavy_set(daemon, 20000)
            statuses = self.hammer(daemon, 8)
            self.assertEqual(set(statuses), {200, 429})
            for answer in statuses[429]:
                self.assertEqual(answer.json()["code"], "queue_full")
                self.assertGreaterEqual(int(answer.headers["retry-after"]), 1)
            refused = len(statuses[429])
            harness.eventually(
                lambda: self.assertEqual(
                    harness.metric(daemon.metrics(), "hopfieldd_rejected_total", reason="queue_full"), refused
                )
            )

    def test_a_deadline_that_passes_in_the_queue_is_504(self):
        with Daemon("--workers", "1", "--queue-seconds", "1000", "--request-deadline-ms", "30") as daemon:
            heavy_set(daemon, 100000)
            statuses = self.hammer(daemon, 8)
            self.assertLessEqual(set(statuses), {200, 504})
            self.assertIn(504, statuses)
            for answer in statuses[504]:
                self.assertEqual(answer.json()["code"], "deadline")

    def test_a_deadline_ends_long_work_and_frees_its_worker(self):
        with Daemon("--workers", "1", "--request-deadline-ms", "50") as daemon:
            heavy_set(daemon, 20000, d=16)
            rows = harness.npy([[1.0 + (i % 7) for i in range(16)]] * 1000)
            answer = daemon.retrieve(
                "heavy", rows, "?mode=dense&max_error=1e9&steps=64", type=NPY, headers={"Accept": NPY}
            )
            self.assertEqual(answer.status, 504, answer)
            self.assertEqual(answer.json()["code"], "deadline")

    def test_more_connections_than_allowed_do_not_stop_the_daemon(self):
        with Daemon("--connections", "16") as daemon:
            sockets = []
            for _ in range(40):
                try:
                    sockets.append(daemon.connect())
                except OSError:
                    break
            for sock in sockets:
                sock.close()
            give_up = harness.time.monotonic() + harness.PATIENCE_S
            while True:
                try:
                    self.assertEqual(daemon.get("/livez", timeout=5).status, 200)
                    break
                except OSError:
                    self.assertLess(harness.time.monotonic(), give_up)


class Sums(tap.Case):
    def test_one_client_cannot_hold_every_worker_with_sums(self):
        """Whoever comes while all workers but one make sums for long is told at once, and others are answered."""
        with Daemon("--workers", "2") as daemon:
            M, d = 60000, 64
            header = harness.npy_header("|u1", "(%d, %d)" % (M, d))
            body = header + random.Random(1).randbytes(M * d)
            daemon.put("a", body, "?max_degree=0&similarity=cosine", type=harness.NPY)
            daemon.put("b", {"memories": [[1, 2]]})

            def ask(seed):
                model = {"features": 8192, "seed": seed}
                return json.dumps({"queries": [[1] * d], "mode": "random_features", "beta": 1, "model": model}).encode()

            with daemon.connect() as first:
                first.sendall(HEAD % (b"a", len(ask(1))) + ask(1))
                daemon.wait_metric("hopfieldd_workers_busy", 1)
                second = daemon.retrieve("a", ask(2), type=harness.JSON)
                self.assertEqual((second.status, second.json()["code"]), (429, "queue_full"), second)
                self.assertIn("sums", second.json()["detail"])
                self.assertEqual(second.headers["retry-after"], "1")
                self.assertEqual(daemon.retrieve("b", {"queries": [[1, 2]]}).status, 200)
            # It left: its sums are given up, and the next one may begin.
            give_up = time.monotonic() + harness.PATIENCE_S
            while True:
                with daemon.connect() as third:
                    third.sendall(HEAD % (b"a", len(ask(3))) + ask(3))
                    third.settimeout(0.3)
                    try:
                        refused = third.recv(12)
                    except TimeoutError:
                        break
                self.assertIn(b" 429", refused + b" ")
                self.assertLess(time.monotonic(), give_up)


if __name__ == "__main__":
    tap.main()
