#!/usr/bin/env python3
"""docs/API.md, docs/openapi.json and the daemon say the same.

The curl lines of docs/API.md are run, in their order, against a fresh daemon, and each answer is compared with the one
printed below it: the same members, the same words; numbers that depend on the machine need only be numbers.
"""

import json
import os
import re
import shutil
import subprocess

import contract
import harness
import tap
from harness import Daemon

# Members whose value differs from run to run or from machine to machine.
VOLATILE = {
    "etag",
    "created",
    "request_id",
    "version",
    "queue",
    "compute",
    "total",
    "predicted_us",
    "predicted_bound",
    "bytes",
    "uptime_s",
    "uptime_seconds",
    "isa",
    "blas",
    "blas_core",
    "blas_config",
    "core",
    "config",
    "workers",
    "io_threads",
    "progress",
    "state",
    "percent",
    "eta_seconds",
    "started",
    "finished",
    "threads",
    "mode_note",
    # Which side dense's predicted cost is on depends on the kernels.
    "verdict",
    "met_below",
    "sums",
}
# Numbers that may differ in their last digits between instruction sets.
TOLERANCE = 1e-5


def read_doc(name):
    with open(os.path.join(contract.DOCS, name), encoding="utf-8") as file:
        return file.read()


def blocks(text):
    """(language, content, line) of every fenced block."""
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M):
        yield match.group(1), match.group(2), text.count("\n", 0, match.start()) + 1


def operations():
    for path, item in contract.OPENAPI["paths"].items():
        for method, described in item.items():
            if method != "parameters":
                yield path, method, described


class Description(tap.Case):
    def test_it_is_openapi_3_1_with_unique_operations_and_responses(self):
        self.assertRegex(contract.OPENAPI["openapi"], r"^3\.1\.\d$")
        ids = [described["operationId"] for _, _, described in operations()]
        self.assertEqual(len(ids), len(set(ids)))
        for path, method, described in operations():
            self.assertTrue(described["responses"], path + method)

    def test_every_reference_leads_somewhere_and_everything_is_referred_to(self):
        text = read_doc("openapi.json")
        used = set(re.findall(r'"\$ref":\s*"#/components/([^"]+)"', text))
        there = {"%s/%s" % (kind, name) for kind, parts in contract.OPENAPI["components"].items() for name in parts}
        self.assertEqual(used, there)

    def test_every_schema_is_one_that_the_checker_knows(self):
        def walk(schema):
            self.assertIsInstance(schema, (dict, bool))
            if schema is True or "$ref" in schema:
                return
            known = contract.SILENT | {
                "type",
                "enum",
                "const",
                "oneOf",
                "anyOf",
                "properties",
                "required",
                "items",
                "additionalProperties",
                "minItems",
                "maxItems",
                "minimum",
                "maximum",
                "exclusiveMinimum",
                "pattern",
                "minLength",
                "maxLength",
            }
            self.assertLessEqual(set(schema), known)
            for child in [
                *schema.get("properties", {}).values(),
                *schema.get("oneOf", ()),
                *schema.get("anyOf", ()),
                *([schema["items"]] if "items" in schema else ()),
            ]:
                walk(child)
            self.assertLessEqual(set(schema.get("required", ())), set(schema.get("properties", {})))

        for schema in contract.OPENAPI["components"]["schemas"].values():
            walk(schema)

    def test_every_example_matches_its_schema(self):
        count = 0

        def walk(node):
            nonlocal count
            if isinstance(node, dict):
                if "schema" in node and "example" in node:
                    contract.validate(node["example"], node["schema"], "example")
                    count += 1
                for child in node.values():
                    walk(child)
            elif isinstance(node, list):
                for child in node:
                    walk(child)

        walk(contract.OPENAPI)
        self.assertGreaterEqual(count, 10)

    def test_every_json_answer_has_an_example(self):
        for path, method, described in operations():
            bodies = [
                r["content"]["application/json"]
                for r in map(contract.resolve, described["responses"].values())
                if "application/json" in r.get("content", {})
            ]
            if bodies and path != "/openapi.json":
                self.assertTrue(any("example" in body for body in bodies), "%s %s" % (method, path))

    def test_the_checker_refuses_what_departs(self):
        for value, schema in (
            (1.5, {"type": "integer"}),
            ("x", {"enum": ["y"]}),
            ({}, {"type": "object", "required": ["a"], "properties": {"a": {}}}),
            ({"b": 1}, {"type": "object", "properties": {"a": {}}}),
            (True, {"type": "integer"}),
            ([1], {"type": "array", "minItems": 2}),
            (float("nan"), {"type": "number"}),
            (-1, {"type": "number", "minimum": 0}),
            ("b", {"type": "string", "pattern": "^a"}),
            (0, {"exclusiveMinimum": 0}),
            (None, {"type": "string"}),
            (1, {"unheard-of": 1}),
        ):
            with self.subTest(value=value, schema=schema), self.assertRaises(contract.Mismatch):
                contract.validate(value, schema)


class Routes(tap.Case):
    def test_every_described_route_is_served_and_405_lists_exactly_the_described_methods(self):
        with Daemon() as daemon:
            daemon.put("name", {"memories": [[1]]})
            for path, item in contract.OPENAPI["paths"].items():
                methods = {m.upper() for m in item if m != "parameters"}
                answer = daemon.request("PROPFIND", path.replace("{name}", "name").replace("{id}", "1"))
                self.assertEqual(answer.status, 405, path)
                allow = {m.strip() for m in answer.headers["allow"].split(",")} - {"HEAD", "OPTIONS"}
                self.assertEqual(allow, methods, path)

    def test_described_parameters_are_known_and_no_others(self):
        with Daemon() as daemon:
            daemon.put("name", {"memories": [[1]]})
            every = {
                contract.resolve(p)["name"]
                for _, _, d in operations()
                for p in d.get("parameters", ())
                if contract.resolve(p)["in"] == "query"
            }
            for path, method, described in operations():
                known = {
                    contract.resolve(p)["name"]
                    for p in described.get("parameters", ())
                    if contract.resolve(p)["in"] == "query"
                }
                for name in sorted(every | {"zzz", "sha256", "ids"}):
                    with self.subTest(path=path, method=method, name=name):
                        answer = daemon.request(
                            method.upper(),
                            "%s?%s=!" % (path.replace("{name}", "other").replace("{id}", "1"), name),
                        )
                        refused = answer.status == 400 and answer.json()["code"] == "unknown_parameter"
                        self.assertEqual(refused, name not in known, answer)


class Pages(tap.Case):
    """docs/API.md as a session."""

    def expected(self, text):
        """[[curl line, printed answer or None, its language, line]] in the order of the page."""
        out = []
        for language, content, line in blocks(text):
            if language == "sh":
                out.append([content, None, None, line])
            elif language in ("json", "text") and out and out[-1][1] is None:
                out[-1][1:3] = content, language
        return out

    def same(self, printed, got, where, key=""):
        if (key in VOLATILE or (key == "reason" and ".regime." in where)) and not isinstance(printed, (dict, list)):
            self.assertEqual(isinstance(printed, str), isinstance(got, str), where)
        elif isinstance(printed, dict):
            self.assertIsInstance(got, dict, where)
            if key not in VOLATILE:
                self.assertEqual(list(printed), list(got), "%s: members" % where)
            if printed.get("state") == "building":  # the maps may be there by the time the answer is written
                printed, got = [
                    {k: v for k, v in side.items() if k not in ("state", "bytes", "features", "regime")}
                    for side in (printed, got)
                ]
            for name in printed:
                if name in got:  # what a set's parts take is the kernels' business
                    inner = "bytes" if key == "bytes" else name
                    self.same(printed[name], got[name], "%s.%s" % (where, name), inner)
        elif isinstance(printed, list):
            self.assertIsInstance(got, list, where)
            if key not in VOLATILE:
                self.assertEqual(len(printed), len(got), where)
            for i, (a, b) in enumerate(zip(printed, got)):
                self.same(a, b, "%s[%d]" % (where, i), key)
        elif isinstance(printed, (int, float)) and not isinstance(printed, bool):
            self.assertIsInstance(got, (int, float), where)
            if key.endswith("error_bound") or key.endswith("_bound"):
                self.assertLessEqual(got, max(10 * printed, 1e-6), where)
            else:
                self.assertAlmostEqual(printed, got, delta=TOLERANCE * max(1.0, abs(printed)), msg=where)
        else:
            self.assertEqual(printed, got, where)

    def test_the_curl_lines_of_api_md_answer_what_is_printed(self):
        if shutil.which("curl") is None:
            self.skipTest("no curl")
        session = self.expected(read_doc("API.md"))
        self.assertGreaterEqual(len(session), 12)
        with Daemon("--memory-budget", "2G", "--theory-seconds", "0") as daemon:
            for command, printed, language, line in session:
                where = "API.md:%d" % line
                command = command.replace("127.0.0.1:4520", "127.0.0.1:%d" % daemon.port)
                done = subprocess.run(
                    ["sh", "-ec", command],
                    cwd=daemon.folder,
                    capture_output=True,
                    timeout=harness.PATIENCE_S,
                    env={**os.environ, "NO_PROXY": "127.0.0.1"},
                )
                self.assertEqual(done.returncode, 0, "%s: %s" % (where, done.stderr))
                if language == "json":
                    self.same(json.loads(printed), json.loads(done.stdout), where)
                elif printed is not None:
                    bound = re.compile(r"(Bound-Max: )\S+")
                    got = bound.sub(r"\1..", done.stdout.decode()).replace("\r", "")
                    self.assertEqual(bound.sub(r"\1..", printed).strip(), got.strip(), where)
                name = re.search(r"/v1/admin/sets/([\w.-]+)", command)
                if "PUT" in command or "--upload-file" in command or " -T " in command:
                    daemon.wait_ready(name.group(1))

    def test_api_md_has_a_section_with_a_curl_line_for_every_route(self):
        text = read_doc("API.md")
        headings = set(re.findall(r"^#+ .*`(GET|PUT|POST|PATCH|DELETE) (/[^`]*)`", text, re.M))
        wanted = {(method.upper(), path) for path, method, _ in operations()}
        self.assertLessEqual(wanted, headings)
        self.assertLessEqual(headings, wanted, "API.md describes routes that are not there")

    def test_every_problem_code_of_api_md_is_known_and_the_error_table_covers_every_status(self):
        text = read_doc("API.md")
        rows = re.findall(r"^\| (\d{3}) \| `", text, re.M)
        described = {code for _, _, d in operations() for code in d["responses"] if code >= "400"}
        self.assertLessEqual(described, set(rows) | {"405"})

    def test_every_json_block_of_the_docs_parses(self):
        for name in ("API.md", "OPERATIONS.md"):
            for language, content, line in blocks(read_doc(name)):
                if language == "json":
                    with self.subTest(name=name, line=line):
                        json.loads(content)


if __name__ == "__main__":
    tap.main()
