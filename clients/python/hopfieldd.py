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

    def put(self, name, memories, values=None, **options):
        """Create or replace a set from M rows of d numbers; options are beta, max_error, similarity, labels, max_degree."""
        path = "/v1/admin/sets/" + urllib.parse.quote(name, safe="")
        if _is_array(memories) and values is None and "labels" not in options:
            query = urllib.parse.urlencode({"d": memories.shape[1], **options})
            return self._call("PUT", path + "?" + query, _raw(memories), "application/octet-stream")
        document = dict(options, memories=self._rows(memories))
        if values is not None:
            document["values"] = self._rows(values)
        return self._call("PUT", path, document)

    def delete(self, name):
        self._call("DELETE", "/v1/admin/sets/" + urllib.parse.quote(name, safe=""))

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

    @staticmethod
    def _path(name):
        return "/v1/sets/" + urllib.parse.quote(name, safe="")

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

    def _exchange(self, method, path, body=None, content_type="application/json"):
        if isinstance(body, dict):
            body = json.dumps(body, allow_nan=False).encode("ascii")
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            data = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next call starts afresh
            raise
        try:
            document = json.loads(data) if data else None
        except ValueError:
            document = {"error": data[:200].decode("latin-1")}
        if response.status >= 400:
            raise Problem(response.status, document or {})
        return response.status, document
