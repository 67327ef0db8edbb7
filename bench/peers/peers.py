#!/usr/bin/env python3
"""hopbench's dense pass and other libraries on the same arrays, with the same number of threads, in one run.

    peers.py --hopbench PROGRAM [--threads N] [--M N] [--d N,N] [--L N,N] [--peers NAME,NAME] [--json FILE]

Prints a table: seconds of one batch, how many times ours that is, and the largest error against f64. A library that
is not installed or fails is named with its reason, never left out. Each measurement is a process of its own (one.py),
so that no library's idle threads are in another's way; ours is measured before and after the peers of a shape, and the
better time counts, as the best of several does for everyone.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = ["numpy", "numpy-blocks", "torch-matmul", "torch-sdpa", "keops", "sklearn-kde"]
SAMPLE = 8  # queries whose answers are compared
CORE_TYPES = ["", "HASWELL", "SKYLAKEX", "COOPERLAKE", "SAPPHIRERAPIDS", "ZEN"]  # of OpenBLAS; "": its own choice
SGEMM = """
import numpy as np, time, threadpoolctl
a, b = np.ones((512, 64), np.float32), np.ones((64, 8192), np.float32)
def once():
    start = time.perf_counter(); a @ b; return time.perf_counter() - start
once()
print(min(once() for _ in range(60)), threadpoolctl.threadpool_info()[0].get("architecture"))
"""


def environment(threads, core_type):
    env = dict(os.environ, CXXFLAGS="-O3 -march=native", KEOPS_VERBOSE="0")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        env[name] = str(threads)
    env.pop("OPENBLAS_CORETYPE", None)
    if core_type:
        env["OPENBLAS_CORETYPE"] = core_type
    return env


def run(command, env, timeout=600):
    """(the last line of standard output, None) or (None, why not)."""
    try:
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=timeout)
    except subprocess.TimeoutExpired:
        return None, "no answer within %d s" % timeout
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        reason = (done.stderr.strip() or "exit %d" % done.returncode).splitlines()[-1]
        return None, reason
    return lines[-1], None


def best_core_type(wrap, threads):
    """The core type with which numpy's OpenBLAS multiplies fastest here: (name to force, what it then says it is)."""
    best = None
    for core_type in CORE_TYPES:
        line, _ = run(wrap + [sys.executable, "-c", SGEMM], environment(threads, core_type))
        if line:
            seconds, name = line.split()
            # A choice of its own wins unless another is clearly faster.
            if best is None or float(seconds) < 0.97 * best[0]:
                best = float(seconds), core_type, name
    return best[1:] if best else ("", "unknown")


def make_arrays(np, folder, M, d, L):
    """Standard normal entries and beta = d^-1/2, as in attention: scores of variance 1."""
    rng = np.random.default_rng(M + 1000003 * d + L)
    paths = {name: os.path.join(folder, name + ".npy") for name in ("memories", "queries", "out")}
    np.save(paths["memories"], rng.standard_normal((M, d), np.float32))
    np.save(paths["queries"], rng.standard_normal((L, d), np.float32))
    return paths


def reference(np, paths, beta):
    """f64 answers and log-sum-exp of the first SAMPLE queries."""
    memories = np.load(paths["memories"]).astype(np.float64)
    scores = beta * np.load(paths["queries"])[:SAMPLE].astype(np.float64) @ memories.T
    top = scores.max(axis=1, keepdims=True)
    weights = np.exp(scores - top)
    total = weights.sum(axis=1, keepdims=True)
    return weights @ memories / total, top + np.log(total)


def error_of(np, exact, path, normaliser_only):
    got = np.load(path)[:SAMPLE].astype(np.float64)
    truth = exact[1] if normaliser_only else exact[0]
    return float(np.abs(got - truth[:len(got)]).max())


def ours(np, options, paths, beta, exact, env):
    command = options.wrap.split() + [
        options.hopbench, "dense", "--memories", paths["memories"], "--queries", paths["queries"], "--out",
        paths["out"], "--beta", repr(beta), "--threads", str(options.threads), "--seconds", str(options.seconds),
        "--max-error", "1e-2", "--json"]
    line, problem = run(command, env)
    if problem:
        sys.exit("peers.py: hopbench: " + problem)
    got = json.loads(line)
    return {"peer": "hopfieldd", "seconds": got["seconds"], "queries": got["L"], "version": got["isa"],
            "note": "bound %.1e" % got["error_bound_max"], "error": error_of(np, exact, paths["out"], False)}


def peer(np, name, options, paths, beta, exact, env):
    command = options.wrap.split() + [
        sys.executable, os.path.join(HERE, "one.py"), name, paths["memories"], paths["queries"], repr(beta),
        "--seconds", str(options.seconds), "--out", paths["out"]]
    line, problem = run(command, env)
    if problem:
        return {"peer": name, "problem": problem}
    got = json.loads(line)
    got["error"] = error_of(np, exact, paths["out"], got.get("normaliser_only", False))
    return got


def measure_shape(np, options, d, L, env, folder):
    beta = d ** -0.5
    paths = make_arrays(np, folder, options.M, d, L)
    exact = reference(np, paths, beta)
    first = ours(np, options, paths, beta, exact, env)
    rows = [peer(np, name, options, paths, beta, exact, env) for name in options.peers]
    again = ours(np, options, paths, beta, exact, env)
    mine = min(first, again, key=lambda row: row["seconds"])
    per_query = mine["seconds"] / L
    for row in [mine] + rows:
        row.update(d=d, M=options.M, L=L, threads=options.threads)
        if "seconds" in row:
            row["seconds_per_query"] = row["seconds"] / row["queries"]
            row["times_ours"] = row["seconds_per_query"] / per_query
    return [mine] + rows


def table(rows):
    lines = ["| d | L | who | ms a batch | times ours | largest error | notes |", "|--:|--:|---|--:|--:|--:|---|"]
    for row in rows:
        start = "| %d | %d | %s |" % (row["d"], row["L"], row["peer"])
        if "problem" in row:
            lines.append("%s | | | %s |" % (start, row["problem"].replace("|", "/")))
            continue
        lines.append("%s %.3g | %.2f | %.1e | %s |" % (
            start, 1e3 * row["seconds_per_query"] * row["L"], row["times_ours"], row["error"],
            ("normaliser only; " if row.get("normaliser_only") else "") + row.get("note", "")))
    return "\n".join(lines)


def not_beaten(rows):
    """Who is not slower than ours by 1.2 times, and where: to be said, not to be looked for in a table."""
    close = ["%s at d = %d, L = %d (%.2f)" % (row["peer"], row["d"], row["L"], row["times_ours"])
             for row in rows if row["peer"] != "hopfieldd" and row.get("times_ours", 9) < 1.2]
    return "Not slower than ours by at least 1.2 times: " + (", ".join(close) or "none") + "."


def about(rows, core_type):
    """Versions and BLAS, once each."""
    seen = {}
    for row in rows:
        if "version" in row:
            seen.setdefault(row["peer"], "%s %s%s" % (
                row["peer"], row["version"], " (%s)" % ", ".join(row["blas"]) if row.get("blas") else ""))
    return "; ".join(seen.values()) + "; OpenBLAS's fastest core type here: " + core_type


def parse():
    def numbers(text):
        return [int(word) for word in text.split(",")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hopbench", required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--M", type=int, default=200000)
    parser.add_argument("--d", type=numbers, default=[16, 64, 256])
    parser.add_argument("--L", type=numbers, default=[1, 64, 512])
    parser.add_argument("--peers", type=lambda text: text.split(","), default=PEERS)
    parser.add_argument("--seconds", type=float, default=1, help="least time of a measurement")
    parser.add_argument("--json", help="rows, versions and core type")
    parser.add_argument("--wrap", default="", help="put before every timed command, for example 'taskset -c 0,1'")
    return parser.parse_args()


def main():
    options = parse()
    try:
        import numpy as np
    except ImportError:
        sys.exit("peers.py: numpy is needed for the arrays: pip install -r bench/peers/requirements.txt")
    force, core_type = best_core_type(options.wrap.split(), options.threads)
    env = environment(options.threads, force)
    rows = []
    for d in options.d:
        for L in options.L:
            with tempfile.TemporaryDirectory() as folder:
                shape = measure_shape(np, options, d, L, env, folder)
            rows += shape
            print("\n".join(table(shape).splitlines()[2:]), file=sys.stderr, flush=True)
    print(table(rows))
    print("", not_beaten(rows), "", about(rows, core_type), sep="\n")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rows": rows, "about": about(rows, core_type), "table": table(rows)}, file, indent=1)


if __name__ == "__main__":
    main()
