"""A daemon of one's own, on a free loopback port, for as long as a `with` lasts; it keeps nothing on disk."""
import os
import shutil
import subprocess
import tempfile
import time

START_SECONDS, STOP_SECONDS = 60, 30


class Daemon:
    """hopfieldd of a build folder; `url` says where it listens. Options are those of its command line."""

    def __init__(self, build, *options):
        self.program = os.path.join(os.path.abspath(build), "src", "server", "hopfieldd")
        self.options = options
        self.url = self.process = None

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="hopfieldd-experiments-")
        port_file, log = os.path.join(self.folder, "port"), os.path.join(self.folder, "log")
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("HOPFIELDD_") or name == "HOPFIELDD_ISA"}
        environment.update(HOME=self.folder, XDG_STATE_HOME=self.folder)
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                [self.program, "--listen", "127.0.0.1:0", "--port-file", port_file, "--no-persist", *self.options],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=file, env=environment, cwd=self.folder)
        patience = time.monotonic() + START_SECONDS
        while not os.path.exists(port_file):
            if self.process.poll() is not None or time.monotonic() > patience:
                with open(log, encoding="utf-8", errors="replace") as file:
                    told = file.read()[-2000:]
                self.__exit__()
                raise RuntimeError("the daemon did not start: " + told)
            time.sleep(0.01)
        with open(port_file, encoding="ascii") as file:
            self.url = "http://127.0.0.1:%d" % int(file.read())
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
