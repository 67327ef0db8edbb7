#!/usr/bin/env python3
"""Every experiment, quickly, against the built daemon: each writes its section and its figure. TAP.

    test_experiments.py <build folder> <folder for files>

Experiments check on their own that no true error is above its bound. Skipped where numpy is missing; figures where
matplotlib is. MNIST and the series are made up here, since their files are not in the project.
"""
import importlib.util
import os
import random
import re
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "experiments", "experiments.py")


def write_u8(path, rows):
    header = "{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }" % ", ".join(
        str(n) for n in ([len(rows), len(rows[0])] if isinstance(rows[0], list) else [len(rows), ""]))
    header += " " * (-(len(header) + 11) % 64) + "\n"
    flat = [value for row in rows for value in row] if isinstance(rows[0], list) else rows
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(flat))


def make_data(folder):
    """60 images of 12 x 12, ink in the middle, and 14,400 rows of a daily wave."""
    rng = random.Random(0)
    images = [[rng.randrange(256) if 3 <= i // 12 < 9 and 3 <= i % 12 < 9 else 0 for i in range(144)]
              for _ in range(60)]
    write_u8(os.path.join(folder, "mnist-u8.npy"), images)
    write_u8(os.path.join(folder, "mnist-labels-u8.npy"), [i % 10 for i in range(60)])
    path = os.path.join(folder, "wave.csv")
    with open(path, "w", encoding="ascii") as file:
        file.write("date,a,b\n")
        for t in range(14400):
            file.write("%d,%.3f,%.3f\n" % (t, t % 24 + rng.random(), (t + 7) % 24 + rng.random()))
    return path


def run(build, docs, names, *more):
    command = [sys.executable, PROGRAM, *names, "--quick", "--build", build, "--docs", docs, *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600,
                          env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    return "" if done.returncode == 0 else done.stderr[-2000:] or "exit %d" % done.returncode


def wrong(docs, name, figure):
    """A sentence on what is missing of a section; None where nothing is."""
    with open(os.path.join(docs, "EXPERIMENTS.md"), encoding="utf-8") as file:
        found = re.search(r"<!-- %s -->\n(.*?)\n<!-- end of %s -->" % (name, name), file.read(), re.DOTALL)
    if not found:
        return "no section"
    for part in ("**Question.**", "**Protocol.**", "**Seeds.**", "**Command.**", "**Seen.**", "\n|", "\n- "):
        if part not in found.group(1):
            return "no " + part.strip()
    if re.search(r"\b(nan|inf)\b", found.group(1)):
        return "nan or inf"
    picture = os.path.join(docs, "experiments", name + ".png")
    if figure and not (os.path.exists(picture) and "(experiments/%s.png)" % name in found.group(1)):
        return "no figure"
    return None


def main(build, folder):
    docs = os.path.join(folder, "experiments-docs")
    os.makedirs(docs, exist_ok=True)
    if importlib.util.find_spec("numpy") is None:
        print("1..0 # SKIP numpy is missing (Debian: python3-numpy, python3-matplotlib)")
        return 0
    figures = importlib.util.find_spec("matplotlib") is not None
    sys.path.insert(0, os.path.dirname(PROGRAM))
    sys.dont_write_bytecode = True
    from experiments import NAMES
    series = make_data(folder)
    failed = 0
    print("TAP version 13\n1..%d" % (len(NAMES) + 2))
    for number, name in enumerate(NAMES, 1):
        problem = run(build, docs, [name], "--mnist", folder, "--series", series, *([] if figures else ["--no-plots"]))
        problem = problem or wrong(docs, name, figures)
        failed += bool(problem)
        print("%s %d - %s%s" % ("not ok" if problem else "ok", number, name, "" if figures else ", without its figure"))
        for line in (problem or "").splitlines():
            print("# " + line)
        sys.stdout.flush()
    problem = run(build, docs, ["half-masked-mnist"]) or wrong(docs, "half-masked-mnist", figures)
    failed += bool(problem)
    print("%s %d - a section without its data stays as it was" % ("not ok" if problem else "ok", len(NAMES) + 1))
    problem = run(build, docs, ["no-such"])
    failed += "no experiment 'no-such'" not in problem
    print("%s %d - an unknown name is refused" % ("ok" if "no experiment 'no-such'" in problem else "not ok",
                                                  len(NAMES) + 2))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
