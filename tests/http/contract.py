"""docs/openapi.json as a test: is an answer one that the description allows?

Holds a checker for the part of JSON Schema 2020-12 that the description uses, and check(), which finds the operation
of a request, its response by status and media type, and applies the schema. An unknown keyword is an error, so that
nothing is silently left unchecked. Objects are closed: a member the schema does not list is a mismatch, unless the
schema says `"additionalProperties": true`.
"""

import json
import math
import os
import re
from decimal import Decimal

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, "docs")

with open(os.path.join(DOCS, "openapi.json"), encoding="utf-8") as _file:
    OPENAPI = json.load(_file)

# Keywords that describe and do not constrain.
SILENT = {
    "title",
    "description",
    "default",
    "examples",
    "format",
    "deprecated",
    "contentEncoding",
    "contentMediaType",
}


class Mismatch(AssertionError):
    """A value that its schema does not allow, or a description that cannot be used."""


def resolve(node):
    """Follow $ref inside the description."""
    while isinstance(node, dict) and "$ref" in node:
        target = OPENAPI
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def _is(value, name):
    number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "integer": number and (isinstance(value, int) or value == int(value)),
        "number": number,
        "string": isinstance(value, str),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }[name]


def validate(value, schema, where="$"):
    """Raise Mismatch naming the first place where value departs from the schema."""

    def fail(message):
        raise Mismatch("%s: %s (value %.200r)" % (where, message, value))

    schema = resolve(schema)
    if schema is True:
        return
    if isinstance(value, float) and not math.isfinite(value):
        fail("not a finite number")
    for keyword, wanted in schema.items():
        if keyword in SILENT:
            continue
        if keyword == "type":
            if not any(_is(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted)):
                fail("is not of type %s" % wanted)
        elif keyword == "enum":
            if value not in wanted:
                fail("is not one of %s" % wanted)
        elif keyword == "const":
            if value != wanted or isinstance(value, bool) != isinstance(wanted, bool):
                fail("is not %r" % (wanted,))
        elif keyword in ("oneOf", "anyOf"):
            reasons, matches = [], 0
            for option in wanted:
                try:
                    validate(value, option, where)
                    matches += 1
                except Mismatch as reason:
                    reasons.append(str(reason))
            if matches == 0 or (keyword == "oneOf" and matches != 1):
                fail("%d of %s match: %s" % (matches, keyword, "; ".join(reasons)))
        elif keyword in ("properties", "required", "additionalProperties"):
            pass  # together, below
        elif keyword in ("items", "minItems", "maxItems"):
            if isinstance(value, list):
                if keyword == "items":
                    for i, item in enumerate(value):
                        validate(item, wanted, "%s[%d]" % (where, i))
                elif len(value) < wanted if keyword == "minItems" else len(value) > wanted:
                    fail("has %d items, %s is %d" % (len(value), keyword, wanted))
        elif keyword in ("minimum", "maximum", "exclusiveMinimum"):
            if _is(value, "number"):
                good = {"minimum": value >= wanted, "maximum": value <= wanted, "exclusiveMinimum": value > wanted}
                if not good[keyword]:
                    fail("%s is %r" % (keyword, wanted))
        elif keyword in ("pattern", "minLength", "maxLength"):
            if isinstance(value, str):
                good = (
                    re.search(wanted, value)
                    if keyword == "pattern"
                    else len(value) >= wanted
                    if keyword == "minLength"
                    else len(value) <= wanted
                )
                if not good:
                    fail("%s is %r" % (keyword, wanted))
        else:
            raise Mismatch("%s: the checker does not know %r" % (where, keyword))
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in value:
                fail("has no member %r" % name)
        rest = schema.get("additionalProperties", not known and "type" not in schema)
        for name, member in value.items():
            if name in known:
                validate(member, known[name], "%s.%s" % (where, name))
            elif rest is False:
                fail("has a member %r that the schema does not list" % name)
            elif rest is not True:
                validate(member, rest, "%s.%s" % (where, name))


def operation(method, path):
    """(template, operation) of a request target, or (template, None), or (None, None)."""
    path = path.split("?")[0]
    for template, item in OPENAPI["paths"].items():
        parts = re.split(r"\{[^}]*\}", template)
        if re.fullmatch("[^/]+".join(re.escape(part) for part in parts), path):
            name = "get" if method == "HEAD" else method.lower()
            return template, item.get(name)
    return None, None


def validate_problem(answer):
    """A problem document of RFC 9457 with this project's extensions, matching its status line."""
    if answer.type != "application/problem+json":
        raise Mismatch(
            "%d with the type %r instead of application/problem+json: %r"
            % (answer.status, answer.type, answer.body[:300])
        )
    problem = answer.json()
    validate(problem, {"$ref": "#/components/schemas/Problem"}, "problem")
    if problem["status"] != answer.status:
        raise Mismatch("status %d in an answer with status %d" % (problem["status"], answer.status))
    return problem


def check(method, path, answer):
    """Raise Mismatch where the answer is not one that the description has for this request."""
    template, described = operation(method, path)
    where = "%s %s -> %d" % (method, path, answer.status)
    if method == "HEAD":
        if answer.body:
            raise Mismatch("%s: HEAD with a body" % where)
        return
    if described is None:  # an unknown path or method: whatever it is, it is a problem
        if answer.status not in (404, 405, 400):
            raise Mismatch("%s: the description does not have this route" % where)
        validate_problem(answer)
        return
    response = resolve(described["responses"].get(str(answer.status)))
    if response is None:
        raise Mismatch("%s: not described; body %r" % (where, answer.body[:400]))
    for name, header in response.get("headers", {}).items():
        header = resolve(header)
        if name.lower() in answer.headers:
            _check_header(where, name, answer.headers[name.lower()], header["schema"])
        elif header.get("required"):
            raise Mismatch("%s: no header %s" % (where, name))
    content = response.get("content", {})
    if not content:
        if answer.body:
            raise Mismatch("%s: a body where none is described: %r" % (where, answer.body[:200]))
        return
    if answer.type not in content:
        raise Mismatch("%s: type %r, described are %s" % (where, answer.type, sorted(content)))
    if answer.type == "application/problem+json":
        validate_problem(answer)
    elif answer.type == "application/json":
        validate(answer.json(), content[answer.type].get("schema", True), where)


def _check_header(where, name, text, schema):
    schema = resolve(schema)
    value = text
    if schema.get("type") in ("integer", "number"):
        try:
            value = int(text) if schema["type"] == "integer" else float(text)
        except ValueError:
            raise Mismatch("%s: header %s is %r" % (where, name, text)) from None
    validate(value, schema, "%s: header %s" % (where, name))
