"""TAP output for unittest: one test point a behaviour, failures explained in diagnostics.

Holds the result class and main(); what a test does is unittest's own business. meson reads the output
with protocol 'tap'. The Python 3 standard library is all it needs.

    class Life(tap.Case): ...
    if __name__ == "__main__":
        tap.main()

Environment: HOPFIELDD_TEST_ONLY keeps only the tests whose name contains this text.
"""

import os
import sys
import time
import unittest


class Case(unittest.TestCase):
    """A test case whose long differences are shown whole."""

    maxDiff = 4000
    longMessage = True


class _Result(unittest.TestResult):
    def __init__(self, out):
        super().__init__()
        self.out = out
        self.count = 0
        self.failed = 0
        self._problems = []
        self._skip = None
        self._started = 0.0

    def say(self, line):
        self.out.write(line + "\n")
        self.out.flush()

    def point(self, ok, name, suffix=""):
        self.count += 1
        if not ok:
            self.failed += 1
        self.say("%s %d - %s%s" % ("ok" if ok else "not ok", self.count, name.replace("#", " "), suffix))

    @staticmethod
    def name_of(test):
        method = getattr(test, "_testMethodName", None)
        if method is None:
            return str(test)
        return "%s: %s" % (type(test).__name__, method.removeprefix("test_").replace("_", " "))

    def startTest(self, test):
        super().startTest(test)
        self._problems, self._skip, self._started = [], None, time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        if self._skip is not None and not self._problems:
            self.point(True, self.name_of(test), " # SKIP " + self._skip)
            return
        self.point(not self._problems, self.name_of(test))
        for title, text in self._problems:
            self.explain(title, text)
        if time.monotonic() - self._started > 2.0:
            self.say("# %s took %.1f s" % (self.name_of(test), time.monotonic() - self._started))

    def explain(self, title, text):
        for line in (title + "\n" + text).rstrip().splitlines():
            self.say("# " + line)

    def _remember(self, test, error, title=""):
        text = self._exc_info_to_string(error, test)
        if getattr(test, "_testMethodName", None) is None:  # setUpClass, tearDownClass, a module that fails
            self.point(False, str(test))
            self.explain(title, text)
        else:
            self._problems.append((title, text))

    def addError(self, test, err):
        self._remember(test, err)

    def addFailure(self, test, err):
        self._remember(test, err)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self._remember(test, err, subtest._subDescription())

    def addSkip(self, test, reason):
        self._skip = reason
        if getattr(test, "_testMethodName", None) is None:
            self.point(True, str(test), " # SKIP " + reason)

    def addExpectedFailure(self, test, err):
        self._remember(test, err, "an expected failure is not a result here")

    def addUnexpectedSuccess(self, test):
        self._problems.append(("unexpected success", ""))


class _Loader(unittest.TestLoader):
    """Tests in the order they are written."""

    def getTestCaseNames(self, case):
        return sorted(super().getTestCaseNames(case), key=lambda name: getattr(case, name).__code__.co_firstlineno)


def _flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flatten(item)
        else:
            yield item


def main(module="__main__"):
    """Run every Case of the module, print TAP, exit 1 if a point failed or if nothing ran."""
    suite = _Loader().loadTestsFromModule(sys.modules[module])
    only = os.environ.get("HOPFIELDD_TEST_ONLY")
    if only:
        suite = unittest.TestSuite(t for t in _flatten(suite) if only in _Result.name_of(t) or only in t.id())
    result = _Result(sys.stdout)
    result.say("TAP version 13")
    suite.run(result)
    result.say("1..%d" % result.count)
    sys.exit(1 if result.failed or result.count == 0 else 0)
