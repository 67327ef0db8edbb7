"""Running hopbench, once: results are kept in a folder, and a run that was made before is read from there.

A result belongs to its arguments, to the program's bytes and to the kernels asked for (HOPFIELDD_ISA); a new build
starts afresh. A run that fails is a result too, with a `problem` instead of figures, but is tried again next time.
"""
import hashlib
import json
import os
import platform
import subprocess
import sys
import time

RUN_SECONDS, SCRIPT_SECONDS = 600, 3600  # after which a run counts as failed


class Runs:
    """hopbench and its neighbours in one build folder; results in `<build>/bench-report`."""

    def __init__(self, build, wrap, fresh):
        self.build = build
        self.wrap = wrap.split()
        self.fresh = fresh
        self.folder = os.path.join(build, "bench-report")
        os.makedirs(self.folder, exist_ok=True)
        self.made = self.kept = self.failed = 0

    def program(self, name):
        """The path of a program of bench/, None where it was not built."""
        path = os.path.join(self.build, "bench", name)
        return path if os.path.exists(path) else None

    def hopbench(self, *arguments):
        """The fields of one run."""
        words = [str(word) for word in arguments]
        said = self._kept("hopbench", words + ["--json"], [self.program("hopbench")])
        fields = {"command": "hopbench " + " ".join(words)}
        if "problem" in said:
            return dict(fields, problem=said["problem"])
        return dict(json.loads(said["output"].splitlines()[-1]), **fields)

    def text(self, name, *arguments):
        """What another program of bench/ prints; None where there is none."""
        if not self.program(name):
            return None
        return self._kept(name, [str(word) for word in arguments], [self.program(name)])

    def script(self, path, *arguments):
        """A Python script that wraps its own timed commands; it runs under this interpreter."""
        return self._kept(os.path.basename(path), [str(word) for word in arguments], [sys.executable, path], True)

    def _kept(self, name, words, start, is_script=False):
        path = os.path.join(self.folder, self._key(name, words, start[-1]) + ".json")
        if not self.fresh and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                said = json.load(file)
            if "problem" not in said:
                self.kept += 1
                return said
        print("  %s %s" % (name, " ".join(words)), file=sys.stderr, flush=True)
        if is_script:
            said = self._run(start + words, SCRIPT_SECONDS)
        else:
            said = self._run(self.wrap + start + words, RUN_SECONDS)
        self.made += 1
        self.failed += "problem" in said
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump(dict(said, name=name, words=words), file)
        os.replace(path + ".new", path)
        return said

    def _key(self, name, words, program):
        hashed = hashlib.sha256()
        for path in sorted({program, self.program("hopbench")}):
            with open(path, "rb") as file:
                hashed.update(hashlib.sha256(file.read()).digest())
        hashed.update(json.dumps([name, words, os.environ.get("HOPFIELDD_ISA", "")]).encode())
        return "%s-%s" % (name.replace(".", "-"), hashed.hexdigest()[:24])

    @staticmethod
    def _run(command, timeout):
        started = time.monotonic()
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        except (OSError, subprocess.TimeoutExpired) as problem:
            return {"problem": type(problem).__name__ + ": " + str(problem).split("\n")[0][:120]}
        if done.returncode != 0 or not done.stdout.strip():
            lines = done.stderr.strip().splitlines() or ["exit %d" % done.returncode]
            told = [line for line in lines if line.startswith(("hopbench:", "peers.py:", "tightness:"))]
            return {"problem": (told or lines)[-1][:200]}
        return {"output": done.stdout, "spent_seconds": time.monotonic() - started}


def first_line(path, start):
    """The value of a `name : value` line of a /proc file."""
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith(start):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


def cache_sizes():
    """Of CPU 0, as the system reports them."""
    sizes = []
    for index in range(4):
        folder = "/sys/devices/system/cpu/cpu0/cache/index%d/" % index
        try:
            with open(folder + "level", encoding="utf-8") as level, open(folder + "type", encoding="utf-8") as kind, \
                    open(folder + "size", encoding="utf-8") as size:
                words = level.read().strip(), kind.read().strip(), size.read().strip()
        except OSError:
            continue
        if words[1] != "Instruction":
            sizes.append("L%s %s" % (words[0], words[2]))
    return ", ".join(sizes)


def machine():
    """What the figures depend on, without the machine's name."""
    memory, flags = first_line("/proc/meminfo", "MemTotal"), first_line("/proc/cpuinfo", "flags") or ""
    return {
        "CPU": "%s, family %s model %s" % (first_line("/proc/cpuinfo", "model name"),
                                           first_line("/proc/cpuinfo", "cpu family"),
                                           first_line("/proc/cpuinfo", "model\t")),
        "CPUs": str(os.cpu_count()) + (", virtual" if "hypervisor" in flags else ""),
        "caches": cache_sizes(),
        "memory": "%d GiB" % (int(memory.split()[0]) >> 20) if memory else "unknown",
        "system": "%s %s" % (platform.system(), platform.machine()),
        "load average at the start": "%.1f" % os.getloadavg()[0],
    }
