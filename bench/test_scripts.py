#!/usr/bin/env python3
"""The scripts that time the daemon, on tiny sizes: they end well and print a line a run. TAP.

    test_scripts.py <daemon> <folder for files>
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = (
    ("load.py", ["--M", "3000"], r"packing (full|none) .* acknowledged [\d.]+ s; .* speed [\d.]+ of theirs"),
    ("start.py", ["--M", "3000", "--rounds", "1"], r"(full|none) +first answer"),
)


def wrong(name, options, line, daemon, folder):
    done = subprocess.run([sys.executable, os.path.join(HERE, name), daemon, *options], capture_output=True, text=True,
                          timeout=300, env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1", TMPDIR=folder))
    if done.returncode != 0:
        return done.stderr.strip()[-1000:] or "exit %d" % done.returncode
    said = set(match.group(1) for match in re.finditer(line, done.stdout))
    return None if said == {"full", "none"} else "it printed %r" % done.stdout


def main():
    daemon, folder = sys.argv[1:]
    print("1..%d" % len(SCRIPTS))
    failed = 0
    for number, (name, options, line) in enumerate(SCRIPTS, 1):
        problem = wrong(name, options, line, daemon, folder)
        failed += problem is not None
        print("%sok %d - %s" % ("not " if problem else "", number, name))
        for text in (problem or "").splitlines():
            print("# " + text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
