#!/usr/bin/env python3
"""The life of the process: start, refuse to start, probes, healthcheck, drain, exit codes."""

import json
import os
import signal
import socket
import subprocess
import time

import harness
import tap
from harness import Daemon

CLEAN, USAGE, UNAVAILABLE, CONFIG = 0, 64, 69, 78


def run(*arguments, env=None, folder=None):
    """A daemon command that ends by itself: (exit code, stdout, stderr)."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HOPFIELDD_")}
    environment.update(env or {})
    done = subprocess.run(
        [harness.binary(), *arguments],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=harness.PATIENCE_S,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Start(tap.Case):
    def test_port_0_picks_a_port_and_the_port_file_and_first_log_line_say_which(self):
        with Daemon() as daemon:
            with open(os.path.join(daemon.folder, "port"), "rb") as file:
                self.assertEqual(file.read(), b"%d\n" % daemon.port)
            self.assertEqual(
                [f for f in os.listdir(daemon.folder) if f.startswith("port")],
                ["port"],
                "the file is written aside and renamed: nothing is left over",
            )
            self.assertIn(str(daemon.port), daemon.read_log().splitlines()[0])

    def test_a_daemon_without_sets_is_alive_and_ready(self):
        with Daemon() as daemon:
            self.assertEqual(daemon.get("/livez").status, 200)
            self.assertEqual(daemon.get("/healthz").status, 200)
            ready = daemon.get("/readyz")
            self.assertEqual((ready.status, ready.json()), (200, {"status": "ready", "sets": []}))
            self.assertEqual(daemon.get("/v1/sets").json(), {"sets": []})

    def test_readyz_has_a_line_for_every_set(self):
        with Daemon() as daemon:
            daemon.put("b", {"memories": [[1, 2]]})
            daemon.put("a", {"memories": [[1, 2]]})
            daemon.wait_ready("a")
            daemon.wait_ready("b")
            ready = daemon.get("/readyz").json()
            self.assertEqual(ready["status"], "ready")
            self.assertEqual(
                sorted((s["name"], s["state"]) for s in ready["sets"]), [("a", "ready"), ("b", "ready")]
            )

    def test_info_says_what_is_in_force(self):
        with Daemon("--workers", "1", "--query-body-limit", "2M", "--max-batch", "77") as daemon:
            info = daemon.get("/v1/info").json()
            self.assertIs(info["persistent"], False)
            text = json.dumps(info)
            self.assertIn("2097152", text)
            self.assertIn("77", text)

    def test_openapi_is_served_as_documented(self):
        with Daemon() as daemon:
            with open(os.path.join(harness.contract.DOCS, "openapi.json"), encoding="utf-8") as file:
                same = daemon.get("/openapi.json").json() == json.load(file)
            self.assertTrue(same, "the daemon serves another docs/openapi.json than this tree's: build it again")

    def test_ipv6_loopback_can_be_bound(self):
        try:
            with socket.socket(socket.AF_INET6) as sock:
                sock.bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 loopback here")
        daemon = Daemon(listen="[::1]:0").start()
        with socket.create_connection(("::1", daemon.port), timeout=harness.PATIENCE_S) as sock:
            sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertEqual(harness.read_answer(sock).status, 200)
        daemon.stop()


class Options(tap.Case):
    def test_help_names_the_options_and_version_the_version(self):
        code, out, _ = run("--help")
        self.assertEqual(code, CLEAN)
        for option in (
            "--config",
            "--listen",
            "--port-file",
            "--workers",
            "--memory-budget",
            "--insecure",
            "--check-config",
            "--drain-timeout",
        ):
            self.assertIn(option, out)
        code, out, _ = run("--version")
        self.assertEqual(code, CLEAN)
        self.assertRegex(out, r"^hopfieldd \d+\.\d+\.\d+")

    def test_usage_errors_exit_64_and_name_the_option(self):
        for arguments, word in (
            (["--no-such-option"], "no-such-option"),
            (["--listen"], "listen"),
            (["stray"], "stray"),
        ):
            with self.subTest(arguments=arguments):
                code, _, error = run(*arguments)
                self.assertEqual(code, USAGE, error)
                self.assertIn(word, error)

    def test_bad_values_exit_78_and_name_the_key(self):
        for arguments in (
            ["--workers", "many"],
            ["--memory-budget", "12 parsecs"],
            ["--listen", "here"],
            ["--listen", "127.0.0.1:70000"],
            ["--log-level", "loud"],
            ["--workers", "-1"],
            ["--request-deadline-ms", "nan"],
        ):
            with self.subTest(arguments=arguments):
                code, _, error = run(*arguments, "--check-config")
                self.assertEqual(code, CONFIG, error)
                self.assertIn(arguments[0].lstrip("-"), error)

    def test_an_instruction_set_that_does_not_exist_exits_78(self):
        code, _, error = run("--isa", "z80", "--listen", "127.0.0.1:0", "--no-persist")
        self.assertEqual(code, CONFIG, error)
        self.assertIn("z80", error)

    def test_bad_config_files_exit_78_and_name_file_line_and_key(self):
        daemon = Daemon()
        path = os.path.join(daemon.folder, "bad.conf")
        for text, line, word in (
            ("workers = 1\nbetta = 2\n", 2, "betta"),
            ("# fine\n\nworkers = x\n", 3, "workers"),
            ("workers\n", 1, "workers"),
        ):
            with self.subTest(text=text):
                with open(path, "w") as file:
                    file.write(text)
                code, _, error = run("--check-config", "--config", path)
                self.assertEqual(code, CONFIG, error)
                self.assertIn("bad.conf", error)
                self.assertRegex(error, r"\b%d\b" % line)
                self.assertIn(word, error)
        code, _, error = run("--check-config", "--config", os.path.join(daemon.folder, "missing.conf"))
        self.assertEqual(code, CONFIG, error)
        self.assertIn("missing.conf", error)

    def test_command_line_beats_environment_beats_file(self):
        daemon = Daemon(env={"HOPFIELDD_MAX_BATCH": "22", "HOPFIELDD_CONNECTIONS": "99"})
        path = os.path.join(daemon.folder, "a.conf")
        with open(path, "w") as file:
            file.write("# comment\nmax-batch = 11\nconnections = 55\nquery-body-limit = 3MiB\n")
        daemon.options = ["--config", path, "--max-batch", "33"]
        with daemon:
            text = json.dumps(daemon.get("/v1/info").json())
            for there in ("33", "99", "3145728"):
                self.assertRegex(text, r"\b%s\b" % there)

    def test_check_config_accepts_good_options_and_starts_nothing(self):
        port = free_port()
        code, _, error = run("--check-config", "--listen", "127.0.0.1:%d" % port, "--workers", "2")
        self.assertEqual(code, CLEAN, error)
        with socket.socket() as sock:
            self.assertNotEqual(sock.connect_ex(("127.0.0.1", port)), 0)

    def test_other_than_loopback_is_refused_without_insecure(self):
        for address in ("0.0.0.0:0", "[::]:0"):
            with self.subTest(address=address):
                code, _, error = run("--listen", address, "--no-persist")
                self.assertEqual(code, CONFIG, error)
                self.assertIn("--insecure", error)
                code, _, error = run("--listen", address, "--insecure", "--check-config")
                self.assertEqual(code, CLEAN, error)

    def test_a_second_daemon_on_the_same_port_exits_69(self):
        with Daemon() as daemon:
            code, _, error = run("--listen", "127.0.0.1:%d" % daemon.port, "--no-persist")
            self.assertEqual(code, UNAVAILABLE, error)
            self.assertIn(str(daemon.port), error)
            self.assertEqual(daemon.get("/livez").status, 200)


class Healthcheck(tap.Case):
    def test_0_for_a_daemon_that_runs_1_for_one_that_does_not(self):
        with Daemon() as daemon:
            address = "127.0.0.1:%d" % daemon.port
            for extra in ([], ["--ready"]):
                code, out, error = run("healthcheck", "--listen", address, *extra)
                self.assertEqual(code, 0, out + error)
                self.assertLessEqual((out + error).count("\n"), 1, "one line")
            self.assertEqual(run("healthcheck", env={"HOPFIELDD_LISTEN": address})[0], 0)
        for extra in ([], ["--ready"]):
            self.assertEqual(run("healthcheck", "--listen", address, *extra)[0], 1)

    def test_1_for_something_else_that_accepts_connections(self):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            sock.settimeout(harness.PATIENCE_S)
            process = subprocess.Popen(
                [harness.binary(), "healthcheck", "--listen", "127.0.0.1:%d" % sock.getsockname()[1]],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            connection, _ = sock.accept()
            connection.sendall(b"220 mail.example ESMTP\r\n")
            connection.close()
            self.assertEqual(process.wait(harness.PATIENCE_S), 1)


def heavy(daemon):
    """A set and a request that keep a worker busy for a good while; returns the query body."""
    d, M, L = 64, 200000, 512  # not less where FAST: a sanitizer need not slow the kernels down
    header = harness.npy_header("|u1", "(%d, %d)" % (M, d))
    data = harness.random.Random(1).randbytes(M * d)
    answer = daemon.put("heavy", header + data, "?max_degree=0&similarity=centered_cosine", type=harness.NPY)
    assert answer.status == 201, answer
    return harness.npy(harness.uniform_rows(2, L, d))


class Stop(tap.Case):
    def test_sigterm_and_sigint_stop_an_idle_daemon_with_exit_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = Daemon().start()
            daemon.process.send_signal(number)
            self.assertEqual(daemon.finish(), 0, daemon.stderr)

    def test_idle_keep_alive_connections_do_not_hold_the_drain(self):
        daemon = Daemon("--drain-timeout-ms", "600000").start()
        with daemon.connect() as idle, daemon.connect() as half:
            idle.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(harness.read_answer(idle).status, 200)
            half.sendall(b"POST /v1/sets/a/retr")
            time.sleep(0.1)
            daemon.stop()

    def test_sigterm_finishes_admitted_work_and_readyz_says_draining_meanwhile(self):
        daemon = Daemon("--workers", "1", "--drain-timeout-ms", "600000", "--request-deadline-ms", "600000").start()
        body = heavy(daemon)
        head = (
            "POST /v1/sets/heavy/retrieve?mode=dense&max_error=1&steps=%d HTTP/1.1\r\nHost: x\r\n"
            "Accept: application/x-npy\r\nContent-Type: application/x-npy\r\nContent-Length: %d\r\n\r\n"
            % (3 if harness.FAST else 6, len(body))
        ).encode()
        with daemon.connect() as probe, daemon.connect() as busy:
            probe.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(harness.read_answer(probe).status, 200)
            busy.sendall(head + body)
            daemon.wait_metric("hopfieldd_workers_busy", 1)
            daemon.process.send_signal(signal.SIGTERM)
            # Until the signal is seen, readyz is 200; from then on it is 503, or the connection is closed at the end.
            seen = []
            while True:
                try:
                    probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                    answer = harness.read_answer(probe)
                except OSError:
                    break
                if answer is None:
                    break
                seen.append(answer.status)
                if answer.status == 503:
                    self.assertEqual(answer.json()["status"], "draining")
                    break
            self.assertIn(503, seen)
            answer = harness.read_answer(busy)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(len(harness.read_npy(answer.body)), 512)
        self.assertEqual(daemon.finish(), 0, daemon.stderr)

    def test_work_beyond_the_drain_timeout_does_not_keep_the_process(self):
        daemon = Daemon("--workers", "1", "--drain-timeout-ms", "1").start()
        body = heavy(daemon)
        head = (
            "POST /v1/sets/heavy/retrieve?mode=dense&max_error=1 HTTP/1.1\r\nHost: x\r\n"
            "Content-Type: application/x-npy\r\nContent-Length: %d\r\n\r\n" % len(body)
        ).encode()
        with daemon.connect() as running, daemon.connect() as waiting:
            running.sendall(head + body)
            daemon.wait_metric("hopfieldd_workers_busy", 1)
            waiting.sendall(head + body)
            daemon.wait_metric("hopfieldd_queue_requests", 1)
            daemon.stop()

    def test_a_second_signal_exits_at_once(self):
        daemon = Daemon("--workers", "1", "--drain-timeout-ms", "600000").start()
        body = heavy(daemon)
        with daemon.connect() as busy:
            busy.sendall(
                (
                    "POST /v1/sets/heavy/retrieve?mode=dense&max_error=1 HTTP/1.1\r\nHost: x\r\n"
                    "Content-Type: application/x-npy\r\nContent-Length: %d\r\n\r\n" % len(body)
                ).encode()
                + body
            )
            daemon.wait_metric("hopfieldd_workers_busy", 1)
            daemon.process.send_signal(signal.SIGTERM)
            time.sleep(0.05)
            if daemon.process.poll() is None:
                daemon.process.send_signal(signal.SIGTERM)
            daemon.finish()

    def test_sighup_does_not_stop_it(self):
        with Daemon() as daemon:
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
            self.assertEqual(daemon.get("/livez").status, 200)

    def test_signals_that_come_in_a_crowd_find_the_thread_that_waits(self):
        with Daemon() as daemon:
            pid = daemon.process.pid
            for _ in range(200000):
                os.kill(pid, signal.SIGHUP)
            self.assertEqual(daemon.get("/livez").status, 200)

    def test_readiness_is_told_to_a_service_manager(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            daemon = Daemon()
            path = os.path.join(daemon.folder, "notify")
            notify.bind(path)
            notify.settimeout(harness.PATIENCE_S)
            daemon.env = {"NOTIFY_SOCKET": path}
            daemon.start()
            self.assertIn(b"READY=1", notify.recv(4096))
            daemon.process.send_signal(signal.SIGTERM)
            self.assertIn(b"STOPPING=1", notify.recv(4096))
            self.assertEqual(daemon.finish(), 0, daemon.stderr)


if __name__ == "__main__":
    tap.main()
