#!/usr/bin/env python3
"""Measures this machine and writes docs/BENCHMARKS.md with its figures.

    report.py --build build [--quick] [--fresh]

Needs hopbench in the build folder and matplotlib; the peers' section needs what bench/peers/requirements.txt names,
and says so where it is missing. Results are kept in the build folder: an interrupted report goes on where it was, and
--fresh measures everything again. Run it on a machine that does nothing else.
"""
import argparse
import datetime
import math
import os
import sys

import cases
from cases import ROOT, count
from runs import Runs, machine


def figure_text(value, unit):
    if value is None:
        return "not measured"
    return ("%.3g" % value if value < 1000 else count(round(value))) + (" " + unit if unit else "")


def bars_section(rows):
    lines = ["| what | measured | aim | met | command |", "|---|--:|--:|---|---|"]
    for title, row, value, way, aim, unit in rows:
        met = "" if value is None else "yes" if (value >= aim if way == "at least" else value <= aim) else "**no**"
        text = row["problem"].replace("|", "/") if "problem" in row else figure_text(value, unit)
        aimed = "%s %s" % (way, figure_text(aim, unit))
        lines.append("| %s | %s | %s | %s | `%s` |" % (title, text, aimed, met, row["command"]))
    return lines


def fields_section(rows, columns):
    """columns: (heading, field, format)."""
    lines = ["| " + " | ".join(heading for heading, _, _ in columns) + " | command |",
             "|" + "--:|" * len(columns) + "---|"]
    for row in rows:
        if "problem" in row:
            cells = [row["problem"].replace("|", "/")] + [""] * (len(columns) - 1)
        else:
            cells = ["" if row.get(field) is None else how % row[field] for _, field, how in columns]
        lines.append("| " + " | ".join(cells) + " | `%s` |" % row["command"])
    return lines


ERRORS = [("bound", "error_bound_max", "%.2g"), ("true error", "error_true_max", "%.2g")]
PLAN = [("d", "d", "%d"), ("M", "M", "%d"), ("L", "L", "%d"), ("planned degree", "planned_degree", "%d"),
        ("degree", "degree", "%d"), ("rows as planned", "agreement", "%.2f"),
        ("planned s a query", "planned_seconds_per_query", "%.2g"), ("measured", "seconds_per_query", "%.2g"),
        ("ratio", "measured_over_planned", "%.2f"), ("dense planned", "dense_planned_seconds_per_query", "%.2g"),
        ("dense measured", "dense_seconds_per_query", "%.2g"),
        ("ratio", "dense_measured_over_planned", "%.2f")] + ERRORS
APPEND = [("M", "M", "%d"), ("rows changed", "changed", "%d"), ("degree", "degree", "%d"),
          ("update s", "seconds", "%.2e"), ("fraction of f64 peak", "ratio_to_peak", "%.2f"),
          ("rebuild s", "rebuild_seconds", "%.2e"), ("model s", "model_seconds", "%.2e"),
          ("centre's drift", "drift_centre", "%.1e")] + ERRORS
DENSE = [("d", "d", "%d"), ("L", "L", "%d"), ("threads", "threads", "%d"), ("ns a pair", "ns_per_pair", "%.3g"),
         ("GFLOP/s", "gflops", "%.4g"), ("peak", "peak_gflops", "%.4g"), ("fraction", "ratio_to_peak", "%.2f")] + ERRORS
MODE = [("M", "M", "%d"), ("L", "L", "%d"), ("mode", "mode", "%s"), ("degree", "degree", "%d"),
        ("s a query", "seconds_per_query", "%.2e"), ("dense", "dense_seconds_per_query", "%.2e"),
        ("speed-up", "speedup", "%.3g")] + ERRORS
NORM = [("M", "M", "%d"), ("B", "B", "%g"), ("mode", "mode", "%s"), ("degree", "degree", "%d"),
        ("speed-up", "speedup", "%.3g")] + ERRORS
DEGREE = [("d", "d", "%d"), ("degree built", "degree_built", "%d"), ("best degree", "degree", "%d")] + ERRORS


PHASE = [
    "Hu et al. prove that almost-linear time is possible while `B` stays below the order of `B* = sqrt(ln tau)`,",
    "`tau = max(M, L)`, and impossible above it unless SETH fails. With the error asked for held in proportion to the",
    "values, the degree that the certificate needs grows with `B^2`, until dense is cheaper."]


def crossings(families):
    """Where each speed-up falls to 1, on straight lines between the points as they are drawn."""
    said = []
    for tau, threshold, rows in families:
        points = [(row["B"], math.log(row["speedup"])) for row in rows if row.get("speedup")]
        where = [B + (next_B - B) * log / (log - next_log)
                 for (B, log), (next_B, next_log) in zip(points, points[1:]) if log > 0 >= next_log]
        said.append("M = %s: the speed-up falls to 1 %s; B* = %.2f." % (
            count(tau), "at B = %.2f" % where[0] if where else "nowhere in this range", threshold))
    return said


def header(quick, rows):
    about = machine()
    for what, field, how in (("kernels", "isa", "%s"), ("OpenBLAS core type", "blas_core", "%s"),
                             ("f32 FMA peak, one thread", "peak_gflops", "%.0f GFLOP/s"),
                             ("memory read bandwidth, one thread", "read_bandwidth", "%.1f GB/s")):
        said = [row[field] for row in rows if field in row]
        about[what] = how % said[0] if said else "unknown"
    lines = ["# Benchmarks", "",
             "Made by `bench/report/report.py%s` on %s. Times are the best of several runs; every ratio is to a limit"
             % (" --quick" if quick else "", datetime.date.today().isoformat()),
             "measured in the same process. Bounds are those of the answers that were timed; true errors are against",
             "plain f64 sums on a sample of them. `hopbench` is `build/bench/hopbench`, on one thread where no",
             "`--threads` is given.", ""]
    lines += ["| | |", "|---|---|"] + ["| %s | %s |" % pair for pair in about.items()] + [""]
    return lines


def all_rows(families):
    return [row for family in families for row in family[-1]]


class Report:
    """The page, a section at a time."""

    def __init__(self, options, runs, figures):
        self.runs = runs
        self.figures = figures
        self.quick = options.quick
        self.wrap = options.wrap
        self.docs = options.docs
        self.more = ["--seconds", 0.2] if options.quick else []
        self.lines = []

    def run(self, what):
        return what(self.runs, self.quick, self.more)

    def path(self, name):
        folder = os.path.join(self.docs, "benchmarks")
        os.makedirs(folder, exist_ok=True)
        return os.path.join(folder, name + ".png")

    def section(self, heading, paragraph, picture_name, title, rows, columns):
        self.lines += ["## " + heading, ""] + paragraph
        self.lines += ["", "![%s](benchmarks/%s.png)" % (title, picture_name), ""]
        self.lines += ["<details><summary>figures and commands</summary>", ""] + fields_section(rows, columns)
        self.lines += ["", "</details>", ""]

    def aims(self):
        promised = self.run(cases.bars)
        self.lines += header(self.quick, [row for _, row, *_ in promised])
        self.lines += ["## What is aimed at, and what is measured", ""]
        if self.quick:
            self.lines += ["The aims are for larger sets than a quick report measures.", ""]
        self.lines += bars_section(promised) + [""]

    def memories(self):
        batched, single = self.run(cases.against_memories)
        title = "Time against memories: d = 16, entries in [-1, 1], beta = 1/d, max_error = 1e-3"
        self.figures.time_against_memories(batched, single, self.path("time-against-memories"), title)
        self.section("Time against memories", [], "time-against-memories", title, batched + single, MODE)

    def norm(self):
        families = self.run(cases.against_norm)
        title = "Speed-up over dense against the entries' size: d = 8, beta = 1/d, max_error = 0.01 B"
        self.figures.speedup_against_norm(families, self.path("speedup-against-norm"), title)
        self.section("The phase transition", PHASE + crossings(families), "speedup-against-norm", title,
                     all_rows(families), NORM)

    def degree(self):
        families = self.run(cases.against_degree)
        title = "Bound and true error against degree: unit sphere, M = 20,000, R = beta |x|"
        self.figures.errors_against_degree(families, self.path("errors-against-degree"), title)
        text = ["The largest of 64 queries' bounds, and the largest true error of 8 of them: the best degree up to g."]
        self.section("Bound and true error", text, "errors-against-degree", title, all_rows(families), DEGREE)
        tightness = self.runs.text("tightness", *(["--M", 5000, "--queries", 7] if self.quick else []))
        if tightness:
            self.lines += ["### Tightness", "", "Printed by `tightness`: bound over true error.", "", "```",
                           tightness.get("output", tightness.get("problem", "")).rstrip(), "```", ""]

    def dimension(self):
        families = self.run(cases.against_dimension)
        title = "Dense: fraction of the FMA peak against dimension, M = %s" % count(families[0][1][0].get("M", 0))
        self.figures.fraction_of_peak(families, {16: 0.65, 64: 0.85, 256: 0.85}, self.path("fraction-of-peak"), title)
        text = ["The peak is that of f32 FMA on vectors. Where the kernels are amx, batches multiply bf16 on tiles, six",
                "products for each one of f32, and a fraction may be above 1; the clock is lower meanwhile."]
        self.section("Dense against the peak", text, "fraction-of-peak", title, all_rows(families), DENSE)

    def plans(self):
        self.lines += ["## Plans", "",
                       "What `auto` planned for a batch, and what it took. A row is as planned when its degree is.",
                       ""] + fields_section(self.run(cases.plans), PLAN) + [""]

    def appends(self):
        self.lines += ["## Append and remove", "",
                       "Feature maps carried over to a set where some rows went and as many came, and building afresh.",
                       "`model s` is what measuring and packing the changed set takes besides, either way.", ""]
        self.lines += fields_section(self.run(cases.appends), APPEND) + [""]

    def peers(self):
        command, said = cases.peers(self.runs, self.quick, self.wrap)
        self.lines += ["## Peers", "",
                       "Dense retrieval of the same arrays (standard normal, beta = d^-1/2), one thread, by",
                       "`%s`: accuracy against f64 beside the time." % command,
                       "Ours is packed once at load, and answers with a proven bound.", "",
                       said.get("output", "Not run: " + said.get("problem", "")).rstrip(), ""]

    def loading(self):
        size = ["--M", 20000] if self.quick else []
        self.lines += ["## Loading and starting", "",
                       "An upload of 2 GB, beside cp, sync and sha256sum of the same file in the same run, until it is",
                       "acknowledged as durable; and how soon a daemon that starts on 1 GB answers.", ""]
        for name, options in (("load.py", size), ("start.py", size + (["--rounds", 1] if self.quick else []))):
            said = cases.daemon_script(self.runs, name, options)
            self.lines += ["`bench/%s %s`" % (name, " ".join(["build/src/server/hopfieldd", *map(str, options)])), "",
                           "```", said.get("output", "Not run: " + said.get("problem", "")).rstrip(), "```", ""]

    def write(self):
        path = os.path.join(self.docs, "BENCHMARKS.md")
        os.makedirs(self.docs, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(self.lines).rstrip() + "\n")
        print("%s: %d runs made, %d kept from before, %d failed" % (
            os.path.basename(path), self.runs.made, self.runs.kept, self.runs.failed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="meson's build folder")
    parser.add_argument("--docs", default=os.path.join(ROOT, "docs"), help="where BENCHMARKS.md goes")
    parser.add_argument("--quick", action="store_true", help="few points and small sizes: is everything in order?")
    parser.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    parser.add_argument("--wrap", default="", help="put before every timed command, for example 'taskset -c 0,1'")
    options = parser.parse_args()
    try:
        import figures  # here, so that --help needs no matplotlib
    except ImportError as error:
        sys.exit("report.py: %s: pip install -r bench/report/requirements.txt" % error)
    runs = Runs(os.path.abspath(options.build), options.wrap, options.fresh)
    if not runs.program("hopbench"):
        sys.exit("report.py: no hopbench in %s: meson setup build && ninja -C build" % options.build)
    report = Report(options, runs, figures)
    for part in (report.aims, report.memories, report.norm, report.degree, report.dimension, report.plans,
                 report.appends, report.loading, report.peers):
        part()
        report.write()


if __name__ == "__main__":
    main()
