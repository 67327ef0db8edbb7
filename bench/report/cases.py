"""What is measured: each function runs its share and returns rows of hopbench's fields."""
import math
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.path.join(ROOT, "bench", "peers", "peers.py")
SPHERE = ["--dist", "sphere"]


def bars(runs, quick, more):
    """(case, row, what is measured, its value, at least or at most, the aim) of every promise about speed."""
    M, big = (200000, 100000) if quick else (200000, 1000000)
    out = []

    def least(title, row, field, aim, unit=""):
        out.append((title, row, row.get(field), "at least", aim, unit))

    dense = {}
    for d, aim in ((16, 0.65), (64, 0.85), (256, 0.85)):
        dense[d] = runs.hopbench("dense", "--d", d, "--M", M, "--L", 512, *more)
        least("dense, d = %d: fraction of the FMA peak" % d, dense[d], "ratio_to_peak", aim)
    two = runs.hopbench("dense", "--d", 64, "--M", M, "--L", 512, "--threads", 2, *more)
    out.append(("dense, d = 64: two threads against one", two, ratio(dense[64], two, "seconds"), "at least", 1.9, "x"))
    single = runs.hopbench("dense-single", "--d", 64, "--M", big, *more)
    least("dense, one query: fraction of the memory's read bandwidth", single, "ratio_to_bandwidth", 0.75)
    uniform = ["--d", 16, "--B", 1, "--max-error", "1e-3", *more]
    batched = runs.hopbench("almost-linear", "--M", big, "--L", 512, *uniform)
    least("almost-linear, uniform d = 16, against our dense", batched, "speedup", 1000, "x")
    one = runs.hopbench("almost-linear", "--M", big, "--L", 1, *uniform)
    out.append(("almost-linear, one query, bound included", one, times(one.get("seconds_per_query"), 1e6), "at most",
                5, "us"))
    few = runs.hopbench("almost-linear", "--M", big // 100, "--L", 512, *uniform)
    many = runs.hopbench("almost-linear", "--M", big * 10, "--L", 512, "--no-dense", *uniform)
    out.append(("almost-linear, %s memories against %s" % (count(big * 10), count(big // 100)), many,
                ratio(many, few, "seconds_per_query"), "at most", 1.1, "x"))
    for d, R in ((32, 2), (8, 4)):
        sphere = runs.hopbench("almost-linear", "--d", d, "--M", big, "--L", 512, *SPHERE, "--R", R, "--max-error",
                               "1e-2", *more)
        least("almost-linear, sphere d = %d, R = %d, against our dense" % (d, R), sphere, "speedup", 150, "x")
    build = runs.hopbench("build", "--d", 16, "--M", big, "--degree", 3, "--threads", 2, *more)
    out.append(("build, d = 16, g = 3, two threads: time over its multiply-adds at the f64 peak", build,
                times(1, 1 / build["ratio_to_peak"]) if build.get("ratio_to_peak") else None, "at most", 2.5, "x"))
    return out


def against_memories(runs, quick, more):
    M = [1000, 10000, 100000] if quick else [1000, 3000, 10000, 30000, 100000, 300000, 1000000, 3000000, 10000000]
    rows = {}
    for L in (512, 1):
        rows[L] = [runs.hopbench("almost-linear", "--d", 16, "--M", m, "--L", L, "--B", 1, "--max-error", "1e-3", *more)
                   for m in M]
    return rows[512], rows[1]


def against_norm(runs, quick, more):
    """tau = max(M, L) is M here. The error asked for grows with the values: 0.01 B."""
    families = []
    for tau in ((10000,) if quick else (10000, 1000000)):
        sweep = (0.5, 1, 2, 3, 4, 5) if quick else (0.5, 1, 1.5, 2, 2.5, 2.75, 3, 3.25, 3.5, 3.75, 4, 4.5, 5)
        rows = [dict(runs.hopbench("almost-linear", "--d", 8, "--M", tau, "--L", 512, "--B", B, "--max-error",
                                   "%.4g" % (0.01 * B), *more), B=B) for B in sweep]
        families.append((tau, math.sqrt(math.log(tau)), rows))
    return families


def against_degree(runs, quick, more):
    families = []
    for name, d, R, degrees in (("d = 8, R = 4", 8, 4, 12), ("d = 16, R = 2", 16, 2, 6), ("d = 32, R = 2", 32, 2, 4)):
        rows = [runs.hopbench("almost-linear", "--d", d, "--M", 20000, "--L", 64, *SPHERE, "--R", R, "--degree", g,
                              "--max-error", 0, "--best-effort", "--no-dense", *more)
                for g in range(1, (min(degrees, 6) if quick else degrees) + 1)]
        families.append((name, rows))
    return families


def against_dimension(runs, quick, more):
    dimensions = (8, 16, 64, 256) if quick else (4, 8, 16, 32, 64, 128, 256, 512)
    M = 50000 if quick else 200000
    families = []
    for name, L, threads in (("L = 512, one thread", 512, 1), ("L = 512, two threads", 512, 2),
                             ("L = 64, one thread", 64, 1)):
        families.append((name, [runs.hopbench("dense", "--d", d, "--M", M, "--L", L, "--threads", threads, *more)
                                for d in dimensions]))
    return families


def plans(runs, quick, more):
    shapes = [(8, 1000, 512, [], "1e-3"), (16, 100000, 512, [], "1e-3"), (16, 100000, 1, [], "1e-3"),
              (64, 100000, 512, [], "1e-5"), (64, 100000, 1, [], "1e-6"),
              (32, 100000, 512, SPHERE + ["--R", 2], "1e-2"), (8, 100000, 512, SPHERE + ["--R", 4], "1e-2"),
              (256, 20000, 64, [], "1e-4")]
    return [runs.hopbench("plan", "--d", d, "--M", M, "--L", L, *dist, "--max-error", error, *more)
            for d, M, L, dist, error in (shapes[:3] if quick else shapes)]


def appends(runs, quick, more):
    M = 100000 if quick else 1000000
    return [runs.hopbench("append", "--d", 16, "--M", M, "--L", 64, "--degree", 3, "--changed", changed, *more)
            for changed in (1, 1000, M // 10)]


def peers(runs, quick, wrap):
    small = ["--M", 200000, "--seconds", 0.7]
    if quick:
        small = ["--M", 20000, "--d", "16,64", "--L", "1,64", "--seconds", 0.2]
    said = runs.script(PEERS, "--hopbench", runs.program("hopbench"), *small, "--wrap", wrap)
    command = "bench/peers/peers.py --hopbench PROGRAM " + " ".join(str(word) for word in small)
    return command, said


def daemon_script(runs, name, options):
    """A script of bench/ that starts the daemon itself."""
    return runs.script(os.path.join(ROOT, "bench", name), os.path.join(runs.build, "src/server/hopfieldd"), *options)


def times(a, b):
    return None if a is None else a * b


def ratio(a, b, field):
    return a[field] / b[field] if a.get(field) and b.get(field) else None


def count(n):
    return "{:,}".format(n)
