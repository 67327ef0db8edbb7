#!/usr/bin/env python3
"""hopbench's cases on tiny sizes: each prints one JSON object with every field that is promised. TAP.

    test_hopbench.py <hopbench> <folder for files>

Holds the fields' names: reports and peers read them. No timing is asserted, only that there is one, and that no bound
is below the true error.
"""
import json
import math
import os
import struct
import subprocess
import sys

PASS = "case d M L threads isa beta max_error seconds ns_per_pair gflops peak_gflops ratio_to_peak".split()
ERRORS = ["error_bound_max", "error_true_max"]
FIELDS = {
    "dense": PASS + ERRORS,
    "dense-single": PASS + ERRORS + ["bandwidth", "read_bandwidth", "ratio_to_bandwidth"],
    "almost-linear": PASS + ERRORS +
                     ["mode", "degree", "rank", "seconds_per_query", "dense_seconds_per_query", "speedup"],
    "build": "case d M threads isa degree rank numbers bytes seconds gflops peak_gflops ratio_to_peak "
             "blas_core".split(),
    "append": "case d M L threads isa degree rank numbers bytes changed seconds gflops peak_gflops ratio_to_peak "
              "model_seconds rebuild_seconds speedup drift_rounding drift_centre drift_scale".split() + ERRORS,
    "model": "case d M threads isa changed full_seconds full_append_seconds keys_seconds keys_append_seconds seconds "
             "append_seconds bandwidth read_bandwidth ratio_to_bandwidth".split(),
    "plan": "case d M L threads isa beta max_error seconds planned_degree degree agreement planned_seconds_per_query "
            "seconds_per_query measured_over_planned dense_planned_seconds_per_query dense_seconds_per_query "
            "dense_measured_over_planned costs".split() + ERRORS,
    "gap-anns": PASS + ERRORS + "mode degree degree_built seconds_per_query dense_seconds_per_query n near far B B_star "
                                "B_decides decided right".split(),
    "structured": "case d M L threads isa beta mode seconds seconds_per_query dense_seconds_per_query speedup "
                  "measured_over_planned bound_against distance_to_dense_max".split(),
}
# What of a structured mode is a number, and is null for the others.
MODES = {"top_k": ["error_bound_max"], "random_mask": [], "window": [], "linear": ["sums_seconds", "sums_bytes"],
         "random_features": ["sums_seconds", "sums_bytes", "standard_error_max"],
         "sparsemax": ["error_bound_max"], "entmax": ["error_bound_max"]}
SOMETIMES = ["error_bound_max", "sums_seconds", "sums_bytes", "standard_error_max"]
TINY = ["--d", "3", "--M", "70", "--L", "5", "--seconds", "0", "--json"]
MAPS = {"almost-linear": ["--degree", "3"], "build": ["--degree", "2"],
        "append": ["--degree", "2", "--changed", "4"], "plan": ["--degree", "2"],
        "gap-anns": ["--degree", "2", "--d", "32", "--M", "16", "--B", "0"]}


def write_npy(path, rows):
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (len(rows), len(rows[0]))
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
        for row in rows:
            file.write(struct.pack("<%df" % len(row), *row))


def read_npy(path, columns):
    with open(path, "rb") as file:
        data = file.read()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    flat = struct.unpack("<%df" % ((len(data) - start) // 4), data[start:])
    return [flat[i:i + columns] for i in range(0, len(flat), columns)]


def run(program, *arguments):
    return subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)


def fields_missing(program, case, *more):
    """A sentence on what is wrong with one run; None where nothing is."""
    done = run(program, case, *TINY, *MAPS.get(case, []), *more)
    if done.returncode != 0:
        return "exit %d: %s" % (done.returncode, done.stderr.strip())
    got = json.loads(done.stdout)
    missing = [name for name in FIELDS[case] if name not in got]
    empty = [name for name in FIELDS[case] if got.get(name, 0) is None]
    if missing or empty:
        return "missing %s, null %s" % (missing, empty)
    if got["case"] != case or not got["seconds"] > 0:
        return "case %r, seconds %r" % (got["case"], got["seconds"])
    if "error_true_max" in got and not got["error_true_max"] <= got["error_bound_max"]:
        return "true error %r above the bound %r" % (got["error_true_max"], got["error_bound_max"])
    return None


def decisions_wrong(program):
    """Entries below B*: nothing is decided, or rightly; where the gap outweighs, everything is, and rightly."""
    for B, least in (("0.5", 0), ("0", 1)):
        done = run(program, "gap-anns", *TINY, *MAPS["gap-anns"], "--B", B)
        got = json.loads(done.stdout)
        if not least <= got["decided"] == got["right"]:
            return "B %s: decided %r, right %r" % (B, got["decided"], got["right"])
    for arguments in (["--d", "30"], ["--M", "7"], ["--M", "100000", "--d", "16"]):
        done = run(program, "gap-anns", "--seconds", "0", *arguments)
        if done.returncode != 1 or "gap" not in done.stderr:
            return "%r: exit %d" % (arguments, done.returncode)
    return None


def mode_wrong(program, mode):
    """Fields that a mode has, and those that it cannot have."""
    arguments = ["--mode", mode, "--k", "3", "--keep", "0.5", "--width", "2", "--features", "9", "--alpha", "1.5"]
    wrong = fields_missing(program, "structured", *arguments)
    if wrong:
        return wrong
    got = json.loads(run(program, "structured", *TINY, *arguments).stdout)
    numbers = [name for name in SOMETIMES if got[name] is not None]
    if got["mode"] != mode or sorted(numbers) != sorted(MODES[mode]):
        return "%s has %s" % (got["mode"], numbers)
    if got["bound_against"] == "dense" and not got["distance_to_dense_max"] <= got["error_bound_max"]:
        return "%r from dense, bound %r" % (got["distance_to_dense_max"], got["error_bound_max"])
    return None


def files_wrong(program, folder):
    """Rows in and answers out through npy files, against the formula."""
    memories = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.5]]
    queries = [[0.5, -0.25], [2.0, 1.0]]
    paths = [os.path.join(folder, "hopbench-%s.npy" % name) for name in ("memories", "queries", "out")]
    write_npy(paths[0], memories)
    write_npy(paths[1], queries)
    done = run(program, "dense", "--memories", paths[0], "--queries", paths[1], "--out", paths[2], "--beta", "2",
               "--seconds", "0", "--json")
    if done.returncode != 0:
        return done.stderr.strip()
    got, answers = json.loads(done.stdout), read_npy(paths[2], 2)
    if (got["M"], got["d"], got["L"]) != (3, 2, 2) or len(answers) != 2:
        return "shape %r, %d answers" % ((got["M"], got["d"], got["L"]), len(answers))
    for x, z in zip(queries, answers):
        weights = [math.exp(2 * sum(a * b for a, b in zip(row, x))) for row in memories]
        for j in range(2):
            exact = sum(w * row[j] for w, row in zip(weights, memories)) / sum(weights)
            if not abs(exact - z[j]) <= got["error_bound_max"]:
                return "%r is not %r within %r" % (z[j], exact, got["error_bound_max"])
    return None


def misuse_wrong(program):
    for arguments in (["no-such-case"], ["dense", "--d", "0"], ["dense", "--dist", "cube"], ["dense", "--L", "x"]):
        done = run(program, *arguments)
        if done.returncode != 64 or "usage" not in done.stderr:
            return "%r: exit %d" % (arguments, done.returncode)
    for words in (["--L", "x"], ["--threads", "0"], ["--max-error", "-1"], ["--M"], ["--Q", "1"]):
        done = run(program, "dense", "--seed", "2", *words)
        if done.returncode != 64 or words[0] + ": " not in done.stderr.splitlines()[0]:
            return "%s is not named" % words[0]
    return None


def help_wrong(program):
    for arguments in (["--help"], ["-h"], ["dense", "--help"]):
        done = run(program, *arguments)
        if done.returncode != 0 or not done.stdout.startswith("usage") or done.stderr:
            return "%r: exit %d" % (arguments, done.returncode)
    return None


def report_help_wrong():
    """Without the packages of this Python, so without matplotlib."""
    report = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report", "report.py")
    done = subprocess.run([sys.executable, "-S", "-B", report, "--help"], capture_output=True, text=True, timeout=60)
    return None if done.returncode == 0 and done.stdout.startswith("usage") else done.stderr.strip()


def main():
    program, folder = sys.argv[1:]
    points = [(case + " prints its fields", lambda case=case: fields_missing(program, case)) for case in FIELDS]
    points += [(case + " with two threads", lambda case=case: fields_missing(program, case, "--threads", "2"))
               for case in FIELDS]
    points.append(("dense on the sphere", lambda: fields_missing(program, "dense", "--dist", "sphere", "--R", "2")))
    points.append(("gap-anns decides rightly", lambda: decisions_wrong(program)))
    points += [("structured " + mode, lambda mode=mode: mode_wrong(program, mode)) for mode in MODES]
    points.append(("npy files in and out", lambda: files_wrong(program, folder)))
    points.append(("misuse is told", lambda: misuse_wrong(program)))
    points.append(("help is given", lambda: help_wrong(program)))
    points.append(("the report's help needs no packages", report_help_wrong))
    print("1..%d" % len(points))
    failed = 0
    for number, (name, check) in enumerate(points, 1):
        problem = check()
        failed += problem is not None
        print("%sok %d - %s" % ("not " if problem else "", number, name))
        if problem:
            print("# " + problem)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
