"""What every experiment does with the daemon: load a set, ask it, read arrays off the answer."""
import os
import sys
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "clients", "python"))
import hopfieldd  # noqa: E402  (found by the line above)

MAPS_SECONDS = 600  # after which feature maps that are not ready are given up
SET = "experiment"


def exact(memories, queries, beta):
    """Z = softmax(beta Xi^T x) Xi of the f32 that is stored and asked, in f64: what dense answers are near to."""
    memories, queries = (np.asarray(rows, dtype=np.float32).astype(float) for rows in (memories, queries))
    scores = beta * queries @ memories.T
    weights = np.exp(scores - scores.max(1, keepdims=True))
    return weights @ memories / weights.sum(1, keepdims=True)


class Answer:
    """Of L queries: z (L x p, f32) and the daemon's document."""

    def __init__(self, document):
        self.document = document
        self.z = np.array(document["retrieved"], dtype=np.float32)

    def rows(self, field):
        """A number a row; nan where the mode has none to give."""
        said = self.document.get(field)
        if not isinstance(said, list):
            said = [said] * len(self.z)
        return np.array([np.nan if value is None else value for value in said], dtype=float)

    @property
    def seconds(self):
        """Compute time, without the queue and the wire."""
        return self.document["timing_ms"]["compute"] / 1e3

    def weights(self):
        """The weights of `top`, heaviest first: one array a row."""
        return [np.array([memory["weight"] for memory in row]) for row in self.document["top"]]


class Lab:
    """One set at a time on one daemon. quick: few points, small sizes."""

    def __init__(self, url, quick=False):
        self.client = hopfieldd.Client(url, timeout=600)
        self.quick = quick

    def load(self, memories, values=None, **options):
        """Replaces the set; max_degree=0 keeps feature maps from being built."""
        rows = np.asarray(memories, dtype=np.float32) if values is None else np.asarray(memories)
        return self.client.put(SET, rows, values, **options)

    def ready(self):
        """Waits for the feature maps and returns the set's description."""
        patience = time.monotonic() + MAPS_SECONDS
        while True:
            said = self.client.describe(SET)
            if said["state"] == "ready":
                return said
            if said["state"] == "failed" or time.monotonic() > patience:
                raise RuntimeError("no feature maps: " + str(said))
            time.sleep(0.005)

    def ask(self, queries, beta, mode="dense", model=None, **options):
        """One request, so that `window` sees all rows. A mode that cannot meet max_error answers the best it can."""
        if model:
            options["model"] = model
        if mode == "almost_linear":
            options.setdefault("on_unmet", "best_effort")
        queries = np.asarray(queries, dtype=np.float32)
        return Answer(self.client.retrieve(SET, queries, beta=float(beta), mode=mode, **options))

    def best_seconds(self, times, queries, beta, mode, **options):
        """The shortest compute time of some requests, and the last answer."""
        answers = [self.ask(queries, beta, mode, **options) for _ in range(times)]
        return min(answer.seconds for answer in answers), answers[-1]
