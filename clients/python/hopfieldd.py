"""A client for hopfieldd: certified modern-Hopfield retrieval over HTTP. Standard library only.

Every answer is the daemon's JSON as a dict; docs/API.md says what is in it. What the daemon refuses is raised as
Problem.
A Client keeps one connection and belongs to one thread at a time.
"""

import base64
import http.client
import json
import time
import urllib.parse

__all__ = ["Client", "Problem"]


class Problem(Exception):
    """A request that the daemon refused: its status, stable code, and the whole problem document."""

    def __init__(self, status, document):
        super().__init__(document.get("detail") or document.get("error") or "HTTP %d" % status)
        self.status = status
        self.code = document.get("code")
        self.document = document


def _is_array(rows):
    return hasattr(rows, "astype") and hasattr(rows, "tobytes")


def _raw(rows):
    return rows.astype("<f4", order="C").tobytes()


class Client:
    def __init__(self, url="http://127.0.0.1:4520", timeout=60.0):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("url is http://HOST[:PORT], not %r" % url)
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port or 4520, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._connection.close()

    def info(self):
        """Version, limits, threads, kernels."""
        return self._call("GET", "/v1/info")

    def sets(self):
        """Descriptions of all sets."""
        return self._call("GET", "/v1/sets")["sets"]

    def describe(self, name):
        return self._call("GET", self._path(name))

    def put(self, name, memories, values=None, etag=None, wait=True, **options):
        """Create or replace a set from M rows of d numbers; options are beta, max_error, similarity, labels, max_degree.

        Of this and the other changes: etag is that of the version to be changed, else Problem 412 ("*": any; "": there
        must be none). With wait=False the answer is an operation for finish(), as soon as the daemon has the rows.
        """
        path = self._admin(name)
        how = {"etag": etag, "wait": wait}
        if _is_array(memories) and values is None and "labels" not in options:
            query = urllib.parse.urlencode({"d": memories.shape[1], **options})
            return self._change("PUT", path + "?" + query, _raw(memories), "application/octet-stream", **how)
        document = dict(options, memories=self._rows(memories))
        if values is not None:
            document["values"] = self._rows(values)
        return self._change("PUT", path, document, **how)

    def append(self, name, memories, values=None, labels=None, **how):
        """Append rows; the new ids are the last of those below `next_id` of the answer. how: etag, wait."""
        path = self._admin(name) + "/memories"
        if _is_array(memories) and values is None and labels is None:
            return self._change("POST", path + "?d=%d" % memories.shape[1], _raw(memories), "application/octet-stream", **how)
        document = {"memories": self._rows(memories)}
        if values is not None:
            document["values"] = self._rows(values)
        if labels is not None:
            document["labels"] = labels
        return self._change("POST", path, document, **how)

    def remove(self, name, ids, **how):
        """Remove memories by id. how: etag, wait."""
        return self._change("DELETE", self._admin(name) + "/memories", {"ids": [int(i) for i in ids]}, **how)

    def patch(self, name, etag=None, wait=True, **settings):
        """Change beta, max_error, max_degree or labels; None: back to the default."""
        return self._change("PATCH", self._admin(name), settings, etag=etag, wait=wait)

    def export(self, name, everything=False):
        """The set as bytes: its memories as npy, or everything as safetensors."""
        kind = "application/vnd.safetensors" if everything else "application/x-npy"
        return self._exchange("GET", self._admin(name) + "/data", headers={"Accept": kind})[1]

    def delete(self, name):
        self._call("DELETE", self._admin(name))

    def retrieve(self, name, queries, mode=None, model=None, **options):
        """Retrieve for L rows of d numbers.

        mode is auto, dense, almost_linear, or a structured model, whose parameters are in model: {"k": 8} for top_k.
        options are beta, max_error, steps, on_unmet, top, `returns` and so on.
        """
        if mode is not None:
            options["mode"] = mode
        if model is not None:
            options["model"] = model
        return self._ask(name, "retrieve", queries, options)

    def energy(self, name, queries, **options):
        return self._ask(name, "energy", queries, options)

    def plan(self, name, queries, **options):
        """What mode auto would do with these queries, and why."""
        return self._ask(name, "plan", queries, options)

    def theory(self, name, patience=600.0, **parameters):
        """What the papers say about the set; parameters are beta, max_error, L, B and p.

        Asks again while the daemon measures, and raises TimeoutError after so many seconds of it.
        """
        path = self._path(name) + "/theory"
        if parameters:
            path += "?" + urllib.parse.urlencode(parameters)
        give_up, pause = time.monotonic() + patience, 0.05
        while True:
            status, document = self._exchange("GET", path)
            if status != 202:
                return document
            if time.monotonic() + pause > give_up:
                raise TimeoutError("operation %(id)d is %(state)s at %(percent)d percent" % document)
            time.sleep(pause)
            pause = min(2 * pause, 1.0)

    def operation(self, number):
        """How far an operation in the background is."""
        return self._call("GET", "/v1/admin/operations/%d" % number)

    def finish(self, operation, patience=600.0):
        """Wait for what was begun with wait=False; its last document. One that failed is raised as Problem."""
        give_up, pause = time.monotonic() + patience, 0.02
        while operation["state"] in ("queued", "running"):
            if time.monotonic() + pause > give_up:
                raise TimeoutError("operation %(id)d is %(state)s at %(percent)d percent" % operation)
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
            operation = self.operation(operation["id"])
        if operation["state"] == "failed":
            raise Problem(operation["problem"]["status"], operation["problem"])
        return operation

    @staticmethod
    def _path(name):
        return "/v1/sets/" + urllib.parse.quote(name, safe="")

    @staticmethod
    def _admin(name):
        return "/v1/admin/sets/" + urllib.parse.quote(name, safe="")

    @staticmethod
    def _rows(rows):
        return rows.tolist() if _is_array(rows) else rows

    def _ask(self, name, verb, queries, options):
        document = dict(options)
        if "returns" in document:
            document["return"] = document.pop("returns")  # return is a word of Python
        if _is_array(queries):
            document["queries_b64"] = base64.b64encode(_raw(queries)).decode("ascii")
            document["shape"] = list(queries.shape)
        else:
            document["queries"] = queries
        return self._call("POST", self._path(name) + "/" + verb, document)

    def _call(self, method, path, body=None, content_type="application/json"):
        return self._exchange(method, path, body, content_type)[1]

    def _change(self, method, path, body, content_type="application/json", etag=None, wait=True):
        headers = {} if wait else {"Prefer": "respond-async"}
        if etag is not None:
            headers.update({"If-Match": etag} if etag else {"If-None-Match": "*"})
        return self._exchange(method, path, body, content_type, headers)[1]

    def _exchange(self, method, path, body=None, content_type="application/json", headers=None):
        if isinstance(body, dict):
            body = json.dumps(body, allow_nan=False).encode("ascii")
        headers = {"Accept": "application/json", **(headers or {})}
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next call starts afresh
            raise
        if response.status < 400 and "json" not in response.getheader("Content-Type", "json"):
            return response.status, data
        try:
            document = json.loads(data) if data else None
        except ValueError:
            document = {"error": data[:200].decode("latin-1")}
        if response.status >= 400:
            raise Problem(response.status, document or {})
        return response.status, document
