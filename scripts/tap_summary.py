#!/usr/bin/env python3
"""Counts the TAP test points of meson test logs and prints `N passed, N failed`.

Usage: tap_summary.py testlog.json...
A test that meson calls failed without a failing point of its own (crash, time-out, missing points) counts as one
failure; a test without TAP counts as one point; a log that is missing or empty (the build failed, or nothing ran)
is a failure too. Exit code 0 only when something passed and nothing failed.
"""
import json
import os
import re
import sys

POINT = re.compile(r"^(not )?ok\b(?:\s+\d+)?(.*)$")
DIRECTIVE = re.compile(r"#\s*(skip|todo)\b", re.IGNORECASE)
GOOD = {"OK", "SKIP", "EXPECTEDFAIL"}
SHOWN_LINES = 40


def read(path):
    """The tests of one log, a dictionary each."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as log:
        return [json.loads(line) for line in log]


def count(test):
    """(passed, failed, skipped) points of one test, and the lines that say what failed."""
    passed = failed = skipped = 0
    lines = []
    failing = False
    for line in (test.get("stdout") or "").splitlines():
        point = POINT.match(line)
        if point is None:
            if failing and line.startswith(("#", " ")):
                lines.append(line)
            continue
        failing = False
        if DIRECTIVE.search(point.group(2)):
            skipped += 1
        elif point.group(1):
            failed += 1
            failing = True
            lines.append(line)
        else:
            passed += 1
    result = test["result"]
    if result not in GOOD and failed == 0:
        failed = 1
    elif passed + failed + skipped == 0:
        passed, skipped = (0, 1) if result == "SKIP" else (1, 0)
    return (passed, failed, skipped), lines


def main(paths):
    totals = (0, 0, 0)
    for path in paths:
        tests = read(path)
        if not tests:
            print(f"FAILED: no test ran for {path}")
            totals = (totals[0], totals[1] + 1, totals[2])
        for test in tests:
            points, lines = count(test)
            totals = tuple(a + b for a, b in zip(totals, points))
            if points[1]:
                print(f"FAILED: {test['name']} ({test['result']}), {points[1]} of {sum(points)} points, see {path}")
                for line in lines[:SHOWN_LINES]:
                    print(f"    {line}")
    passed, failed, skipped = totals
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
