"""What a client knows of the sets it changes: its own copy, and every state that an unanswered change may have left.

Holds: State, one version of a set as plain Python (ids, rows, values, labels, settings), and what it answers in f64;
Change, a request together with the state that it makes; Ledger, the acknowledged state of each name and the changes in
flight. A test sends changes, tells the ledger what was said, and afterwards asks it which state the daemon is in:
anything but the acknowledged one or that of one unanswered change is a failure.

Changes are compare-and-swap (If-Match, If-None-Match: *), so several writers may share a name: whichever comes second
is refused, and each unanswered change leads from the acknowledged state.
"""

import array
import json
import math
import struct
import threading
from operator import mul

import harness

# 256 values that are f32 exactly.
LEVELS = [(b - 128) / 128 for b in range(256)]
LEVELS[128] = 1.0
TOP_MOST = 1000  # of one answer


def random_row(rng, n):
    return array.array("f", map(LEVELS.__getitem__, rng.randbytes(n)))


class Kind:
    """What a name holds. limits: memories at PUT, and the most there may be; rows: of one append."""

    def __init__(self, d, p=0, labels=False, similarity="dot", max_degree=0, limits=(3, 40, 80), rows=4, raw=False):
        self.d, self.p, self.labels, self.similarity = d, p, labels, similarity
        self.max_degree, self.limits, self.rows, self.raw = max_degree, limits, rows, raw


class State:
    """One version of one set. Nothing in it changes; etag is what the daemon called it, None while unknown."""

    def __init__(self, kind, **members):
        self.kind = kind
        self.etag = None
        self.version, self.put_version, self.next_id = 1, 1, 0
        self.ids, self.rows, self.values, self.labels = (), (), None, None
        self.beta, self.max_error, self.mean = 1.0, 1e-3, None
        self.__dict__.update(members)
        self._keys = None

    def but(self, **members):
        """The next version, with these members changed."""
        known = {k: v for k, v in self.__dict__.items() if k not in ("kind", "etag", "_keys")}
        return State(self.kind, **{**known, "version": self.version + 1, **members})

    # -- retrieval in f64 --

    def keys(self):
        if self._keys is None:
            self._keys = [self.transformed(row) for row in self.rows] if self.kind.similarity != "dot" else self.rows
        return self._keys

    def transformed(self, x):
        if self.kind.similarity == "dot":
            return x
        if self.mean is not None:
            x = [a - b for a, b in zip(x, self.mean)]
        norm = math.sqrt(sum(map(mul, x, x)))
        return [a / norm for a in x]

    def weights(self, query, beta):
        x = self.transformed(query)
        scores = [beta * sum(map(mul, key, x)) for key in self.keys()]
        top = max(scores)
        powers = [math.exp(s - top) for s in scores]
        total = sum(powers)
        return [w / total for w in powers]

    def retrieve(self, weights):
        columns = zip(*(self.rows if self.values is None else self.values))
        return [sum(map(mul, weights, column)) for column in columns]

    # -- holding the daemon against it --

    def questions(self, rng, mode="dense"):
        """A retrieval in which every memory has a say, and what all of them weigh."""
        d = self.kind.d
        scale = 2.0 ** round(math.log2(4 / math.sqrt(d)))
        queries = [[scale * v for v in random_row(rng, d)] for _ in range(2)]
        ask = {"queries": queries, "beta": rng.choice((0.25, 0.5, 1.0)), "mode": mode}
        if mode == "dense":
            ask.update({"max_error": 1e-5, "on_unmet": "best_effort"})
            if len(self.ids) <= TOP_MOST:
                ask.update({"return": ["top"], "top": len(self.ids)})
        else:
            ask.update({"beta": 0.0625, "max_error": 0.05, "on_unmet": "best_effort"})
        return ask

    def objection(self, ask, said):
        """Why this is no answer of this state; None: it is one."""
        if said["version"] != self.version:
            return "version %d, not %d" % (said["version"], self.version)
        beta = ask["beta"]
        source = self.rows if self.values is None else self.values
        extent = max(max(abs(v) for v in row) for row in source)
        # The keys of the cosines are rounded to f32 by the daemon, and then are the keys: here they are not.
        slack = extent * (1e-12 if self.kind.similarity == "dot" else 1e-6 * (1 + beta))
        for i, query in enumerate(ask["queries"]):
            weights = self.weights(query, beta)
            bound = said["error_bound"][i] + slack
            exact = self.retrieve(weights)
            worst = max(abs(harness.f32(a) - b) for a, b in zip(said["retrieved"][i], exact))
            if len(exact) != len(said["retrieved"][i]) or not worst <= bound:
                return "row %d is off by %g, its bound is %g" % (i, worst, bound)
            if "top" not in ask:
                continue
            if sorted(t["id"] for t in said["top"][i]) != list(self.ids):
                return "ids are %r, not %r" % (sorted(t["id"] for t in said["top"][i]), self.ids)
            labels = dict(zip(self.ids, self.labels)) if self.labels else {}
            of_id = dict(zip(self.ids, weights))
            for top in said["top"][i]:
                if top["label"] != labels.get(top["id"]):
                    return "id %d is called %r, not %r" % (top["id"], top["label"], labels.get(top["id"]))
                if not abs(top["weight"] - of_id[top["id"]]) <= 1e-4:
                    return "id %d weighs %r, not %r" % (top["id"], top["weight"], of_id[top["id"]])
        return None

    def denied_by(self, daemon, name, rng):
        """Why the daemon's set is not this state; None: it is, by its description, its answers and its data."""
        about = daemon.get("/v1/sets/" + name)
        if about.status != 200:
            return "status %d" % about.status
        about = about.json()
        for key, want in (
            ("version", self.version),
            ("M", len(self.ids)),
            ("d", self.kind.d),
            ("p", self.kind.p or self.kind.d),
            ("beta", self.beta),
            ("max_error", self.max_error),
            ("similarity", self.kind.similarity),
            ("etag", self.etag or about["etag"]),
        ):
            if about[key] != want:
                return "%s is %r, not %r" % (key, about[key], want)
        for mode in ("dense", "auto"):
            ask = self.questions(rng, mode)
            answer = daemon.retrieve(name, ask)
            if answer.status != 200:
                return repr(answer)
            objection = self.objection(ask, answer.json())
            if objection:
                return mode + ": " + objection
        data = daemon.get("/v1/admin/sets/%s/data" % name, headers={"Accept": "application/vnd.safetensors"})
        if data.status != 200:
            return repr(data)
        objection = self.differs_from_export(data.body)
        if objection:
            return objection
        self.etag = about["etag"]
        return None

    def differs_from_export(self, data):
        tensors = read_safetensors(data)
        want = {"memories": b"".join(row.tobytes() for row in self.rows)}
        if self.values is not None:
            want["values"] = b"".join(row.tobytes() for row in self.values)
        if self.labels is not None:
            want["labels"] = b"".join(label.encode() + b"\0" for label in self.labels)
        if "ids" in tensors or list(self.ids) != list(range(len(self.ids))):
            want["ids"] = struct.pack("<%dq" % len(self.ids), *self.ids)
        mean = tensors.pop("mean", None)
        if (mean is None) != (self.mean is None):
            return "the export has %s mean" % ("no" if mean is None else "a")
        if mean is not None and any(
            abs(a - b) > 1e-12 * (1 + abs(b))
            for a, b in zip(struct.unpack("<%dd" % len(self.mean), mean), self.mean)
        ):
            return "the export's mean is not that of the rows it was put with"
        if set(tensors) != set(want):
            return "the export holds %r, not %r" % (sorted(tensors), sorted(want))
        for name, data in want.items():
            if tensors[name] != data:
                return "the export's %s are others" % name
        return None


def read_safetensors(data):
    """{name: bytes} of a safetensors file."""
    n = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + n])
    header.pop("__metadata__", None)
    return {k: data[8 + n + v["data_offsets"][0] : 8 + n + v["data_offsets"][1]] for k, v in header.items()}


# ---- changes -------------------------------------------------------------------------------------------


class Change:
    """A request and the state it makes; after None: the set is gone."""

    def __init__(self, verb, before, after, method, path, body=None, type=None):
        self.verb, self.before, self.after = verb, before, after
        self.method, self.path, self.body, self.type = method, path, body, type

    def send(self, daemon):
        headers = {"If-None-Match": "*"} if self.before is None else {"If-Match": self.before.etag}
        return daemon.request(self.method, self.path, self.body, self.type, headers, check=False)


def made_rows(kind, rng, n):
    rows = tuple(random_row(rng, kind.d) for _ in range(n))
    values = tuple(random_row(rng, kind.p) for _ in range(n)) if kind.p else None
    labels = tuple("%08x \u00fc" % rng.getrandbits(32) for _ in range(n)) if kind.labels else None
    return rows, values, labels


def as_json(rows, values, labels, **more):
    body = {"memories": [list(row) for row in rows], **more}
    if values is not None:
        body["values"] = [list(row) for row in values]
    if labels is not None:
        body["labels"] = list(labels)
    return body


def put(name, kind, rng, before):
    n = rng.randint(kind.limits[0], kind.limits[1])
    rows, values, labels = made_rows(kind, rng, n)
    after = State(
        kind,
        version=before.version + 1 if before else 1,
        ids=tuple(range(n)),
        next_id=n,
        rows=rows,
        values=values,
        labels=labels,
        beta=rng.choice((0.25, 0.5, 2.0)),
        max_error=rng.choice((0.125, 0.0625)),
    )
    after.put_version = after.version
    if kind.similarity == "centered_cosine":
        after.mean = [sum(column) / n for column in zip(*rows)]
    options = {
        "beta": after.beta,
        "max_error": after.max_error,
        "similarity": kind.similarity,
        "max_degree": kind.max_degree,
    }
    path = "/v1/admin/sets/" + name
    if kind.raw:
        path += "?d=%d&%s" % (kind.d, "&".join("%s=%s" % item for item in options.items()))
        return Change("put", before, after, "PUT", path, b"".join(r.tobytes() for r in rows), harness.OCTETS)
    return Change("put", before, after, "PUT", path, as_json(rows, values, labels, **options))


def append(name, kind, rng, before):
    n = rng.randint(1, kind.rows)
    rows, values, labels = made_rows(kind, rng, n)
    named = None
    if before.labels is not None or labels is not None:
        named = (before.labels or ("",) * len(before.ids)) + (labels or ("",) * n)
    after = before.but(
        ids=before.ids + tuple(range(before.next_id, before.next_id + n)),
        next_id=before.next_id + n,
        rows=before.rows + rows,
        values=None if values is None else before.values + values,
        labels=named,
    )
    path = "/v1/admin/sets/%s/memories" % name
    if kind.raw:
        path += "?d=%d" % kind.d
        return Change("append", before, after, "POST", path, b"".join(r.tobytes() for r in rows), harness.OCTETS)
    return Change("append", before, after, "POST", path, as_json(rows, values, labels))


def remove(name, kind, rng, before):
    over = len(before.ids) - kind.limits[2]
    n = max(over, rng.randint(1, max(1, min(kind.rows, len(before.ids) - 2))))
    gone = set(rng.sample(before.ids, n))
    if rng.random() < 0.2:
        gone.add(before.ids[-1])  # the next id is not used again for that
    keep = [mu for mu, name_of_row in enumerate(before.ids) if name_of_row not in gone]

    def kept(rows):
        return None if rows is None else tuple(rows[mu] for mu in keep)

    after = before.but(
        ids=kept(before.ids), rows=kept(before.rows), values=kept(before.values), labels=kept(before.labels)
    )
    order = list(gone)
    rng.shuffle(order)
    path = "/v1/admin/sets/%s/memories" % name
    if rng.random() < 0.5:
        return Change("remove", before, after, "DELETE", path + "?ids=" + ",".join(map(str, order)))
    return Change("remove", before, after, "DELETE", path, {"ids": order})


def patch(name, kind, rng, before):
    body, members = {}, {}
    for key, choices in (("beta", (0.25, 0.5, 1.0, 2.0)), ("max_error", (0.25, 0.125, 0.0625))):
        if rng.random() < 0.6 or not body:
            body[key] = members[key] = rng.choice(choices)
    if kind.labels and rng.random() < 0.4:
        members["labels"] = tuple("%08x" % rng.getrandbits(32) for _ in before.ids)
        body["labels"] = list(members["labels"])
    return Change("patch", before, before.but(**members), "PATCH", "/v1/admin/sets/" + name, body)


def delete(name, kind, rng, before):
    return Change("delete", before, None, "DELETE", "/v1/admin/sets/" + name)


# What a writer does, and how often; a set that is full only loses rows.
VERBS = ((append, 8), (remove, 5), (patch, 3), (put, 1), (delete, 1))


class Ledger:
    """Acknowledged states by name, changes in flight, and every state that a reader may see. Any thread."""

    def __init__(self, kinds):
        self.kinds = kinds
        self.lock = threading.Lock()
        self.known = {name: None for name in kinds}
        self.flying = {name: [] for name in kinds}
        self.seen = {name: [] for name in kinds}  # that may be current while this daemon runs
        self.counts = {}

    def propose(self, name, rng, verbs=VERBS):
        """A change from the acknowledged state; it is in flight until settle() or lost()."""
        with self.lock:
            kind, before = self.kinds[name], self.known[name]
            if before is None:
                make = put
            elif len(before.ids) > kind.limits[2]:
                make = remove
            else:
                make = rng.choices([v for v, _ in verbs], [w for _, w in verbs])[0]
            if make is remove and len(before.ids) < 4:
                make = append
            change = make(name, kind, rng, before)
            self.flying[name].append(change)
            if change.after is not None:
                self.seen[name].append(change.after)
            return change

    def refuse(self, name, change):
        """It was answered: it did not happen."""
        with self.lock:
            self.flying[name].remove(change)

    def settle(self, name, change, answer):
        """It was acknowledged. What the answer says must be what was sent."""
        with self.lock:
            assert self.known[name] is change.before, "%s: %s of a state that is not current" % (name, change.verb)
            if change.after is not None:
                about = answer.json()
                assert about["version"] == change.after.version, (change.verb, about)
                assert about["M"] == len(change.after.ids), (change.verb, about)
                change.after.etag = answer.headers["etag"]
                assert about["etag"] == change.after.etag
            self.known[name] = change.after
            self.flying[name].remove(change)
            self.counts[change.verb] = self.counts.get(change.verb, 0) + 1

    def candidates(self, name):
        """The acknowledged state, and what unanswered changes would make of it."""
        with self.lock:
            known = self.known[name]
            return [known] + [c.after for c in self.flying[name] if c.before is known]

    def resolve(self, name, daemon, rng):
        """Which state the daemon has: that is the acknowledged one from now on."""
        objections = []
        about = daemon.get("/v1/sets/" + name)
        for state in self.candidates(name):
            if state is None:
                objection = None if about.status == 404 else "it is there: %r" % about
            else:
                objection = state.denied_by(daemon, name, rng)
            if objection is None:
                with self.lock:
                    self.known[name] = state
                    self.flying[name] = []
                    self.seen[name] = [] if state is None else [state]
                return state
            objections.append(objection)
        raise AssertionError("%s is in no state that it may be in: %s" % (name, "; ".join(objections)))

    def states_of(self, name, version):
        with self.lock:
            return [s for s in self.seen[name] if s.version == version]
