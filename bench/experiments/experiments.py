#!/usr/bin/env python3
"""Runs the experiments against a daemon of the build folder and writes docs/EXPERIMENTS.md.

    experiments.py [NAME...] --build build [--mnist DIR] [--series CSV] [--quick]

Without names: all of them. With names: those; the other sections of the page stay as they are, and so do the sections
on MNIST and on a series where no path is given. Needs numpy and matplotlib (requirements.txt).

"""
import argparse
import os
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

NAMES = {
    "half-masked-digits": "retrieval error against M, mask, noise and beta, for every mode",
    "half-masked-mnist": "the same on MNIST (--mnist)",
    "support-digits": "histogram of support sizes against beta",
    "support-mnist": "the same on MNIST (--mnist)",
    "sparsity": "structured models against dense, at sparsity 10, 50 and 90 %",
    "kernels": "linear, polynomial and random features against dense, by number of features",
    "pooling": "multiple-instance pooling on bags of digits",
    "forecast": "forecasting by soft retrieval of continuations (--series)",
    "capacity": "measured success of retrieval, and the capacity that Theorem B.1 of P1 promises",
    "transition": "the speed-up over dense around B*",
}


def parse():
    listing = "\n".join("  %-20s %s" % pair for pair in NAMES.items())
    parser = argparse.ArgumentParser(description=__doc__ + listing,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments to run (default: all)")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="meson's build folder")
    parser.add_argument("--docs", default=os.path.join(ROOT, "docs"), help="where EXPERIMENTS.md goes")
    parser.add_argument("--mnist", metavar="DIR", help="a folder with mnist*-u8.npy and mnist*-labels-u8.npy")
    parser.add_argument("--series", metavar="CSV", help="ETTh1.csv, or another hourly series with a date column")
    parser.add_argument("--quick", action="store_true", help="few points, small sizes: is everything in order?")
    parser.add_argument("--no-plots", action="store_true", help="no figures, and no need for matplotlib")
    options = parser.parse_args()
    for name in options.names:
        if name not in NAMES:
            parser.error("no experiment '%s' (--help lists them)" % name)
    return options


class Experiments:
    """One method an experiment; each returns its section, None where it lacks its data."""

    def __init__(self, options):
        self.options = options
        self.folder = None if options.no_plots else os.path.join(options.docs, "experiments")

    def command(self, name, path=""):
        return "bench/experiments/experiments.py %s%s" % (name, " " + path if path else "")

    def lab(self, *options):
        """A new daemon and a client of it. Built-in costs, so that what auto chooses is the same at every start."""
        return Session(self.options, options or ("--calibrate=off",))

    def half_masked_digits(self, name):
        import data
        import masked
        with self.lab() as lab:
            return masked.run(lab, masked.digits(lab, data.digits(), self.command(name)), self.folder)

    def half_masked_mnist(self, name):
        import data
        import masked
        if not self.options.mnist:
            return None
        with self.lab() as lab:
            study = masked.mnist(lab, data.mnist(self.options.mnist), self.command(name, "--mnist DIR"))
            return masked.run(lab, study, self.folder)

    def support_digits(self, name):
        import data
        import support
        with self.lab() as lab:
            return support.run(lab, data.digits(), name, self.command(name), self.folder)

    def support_mnist(self, name):
        import data
        import support
        if not self.options.mnist:
            return None
        with self.lab() as lab:
            return support.run(lab, data.mnist(self.options.mnist), name, self.command(name, "--mnist DIR"),
                               self.folder)

    def sparsity(self, name):
        import data
        import sparsity
        with self.lab() as lab:
            return sparsity.run(lab, data.digits(), self.command(name), self.folder)

    def kernels(self, name):
        import data
        import kernels
        with self.lab() as lab:
            return kernels.run(lab, data.digits(), self.command(name), self.folder)

    def pooling(self, name):
        import data
        import pooling
        with self.lab() as lab:
            return pooling.run(lab, data.digits(), self.command(name), self.folder)

    def forecast(self, name):
        import data
        import forecast
        if not self.options.series:
            return None
        with self.lab() as lab:
            title = os.path.splitext(os.path.basename(self.options.series))[0]
            return forecast.run(lab, title, *data.series(self.options.series), self.command(name, "--series CSV"),
                                self.folder)

    def capacity(self, name):
        import capacity
        with self.lab() as lab:
            return capacity.run(lab, self.command(name), self.folder)

    def transition(self, name):
        import transition
        with self.lab("--calibrate") as lab:
            return transition.run(lab, self.command(name), self.folder)


class Session:
    """`with` gives a Lab on a daemon that lives as long."""

    def __init__(self, options, daemon_options):
        from daemon import Daemon
        patience = "--request-deadline-ms=600000"  # where other work runs, a batch may take longer than it should
        self.quick, self.daemon = options.quick, Daemon(options.build, patience, *daemon_options)

    def __enter__(self):
        from lab import Lab
        self.daemon.__enter__()
        try:
            self.lab = Lab(self.daemon.url, self.quick)
        except BaseException:
            self.daemon.__exit__()
            raise
        return self.lab

    def __exit__(self, *_):
        self.lab.client.close()
        self.daemon.__exit__()


def main():
    options = parse()
    try:
        import numpy  # noqa: F401  (here, so that --help needs nothing)
        if not options.no_plots:
            import matplotlib  # noqa: F401
    except ImportError as error:
        sys.exit("experiments.py: %s: pip install -r bench/experiments/requirements.txt" % error)
    import page
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the daemon ends too
    experiments = Experiments(options)
    os.makedirs(experiments.folder or options.docs, exist_ok=True)
    path, started = os.path.join(options.docs, "EXPERIMENTS.md"), time.monotonic()
    for name in options.names or NAMES:
        since = time.monotonic()
        section = getattr(experiments, name.replace("-", "_"))(name)
        if section is None:
            print("%s: needs a path (--help); left as it was" % name, flush=True)
            continue
        page.write(path, {name: section.text()}, list(NAMES))
        print("%s: %.1f s" % (name, time.monotonic() - since), flush=True)
    print("%s written, %.0f s" % (os.path.basename(path), time.monotonic() - started))


if __name__ == "__main__":
    main()
