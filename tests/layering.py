#!/usr/bin/env python3
"""Check the rooms' walls: who includes whom, and what each room may call. TAP on standard output.

    layering.py <source root>

Rules are those of ARCHITECTURE.md. Comments and string literals are ignored. Leaves everything else about style to
the formatter and the compilers.
"""
import pathlib
import re
import sys

# A room may include its own headers and those of the rooms listed here.
ROOMS = {
    "src/core": {"core"},
    "src/store": {"core", "store"},
    "src/server": {"core", "store", "server"},
    "tests/core": {"core", "support"},
    "tests/store": {"core", "store", "support"},
    "tests/server": {"core", "store", "server", "support"},
}

# Third-party headers that exactly one file may include.
SOLE = {
    "cblas.h": "src/core/blas.c",
    "f77blas.h": "src/core/blas.c",
    "microhttpd.h": "src/server/http.c",
    "jansson.h": "src/server/json.c",
    "nettle/sha2.h": "src/server/sha256.c",
}

# Headers that are installed side by side, and those of the project's that they may include.
PUBLIC = {"src/core/hopfield.h": set(), "src/core/theory.h": {"hopfield.h"}, "src/core/ahop.h": {"hopfield.h"}}

# What pure numerics must do without: headers, and names where the header is needed for something harmless.
CORE_HEADERS = re.compile(
    r"^(pthread|threads|semaphore|time|sys/time|sys/socket|sys/un|netinet/.*|arpa/.*|netdb|poll|sys/epoll|fcntl|"
    r"sys/stat|sys/mman|dirent|signal|syslog|locale|microhttpd|jansson)\.h$")
# OpenBLAS's thread count is one setting of the whole process: pthread_once guards it, and nothing else of pthread.
# Large blocks are advised to take huge pages: madvise, and no mapping.
CORE_EXCEPTIONS = {("src/core/blas.c", "pthread.h"), ("src/core/alloc.c", "sys/mman.h")}
CORE_NAMES = re.compile(
    r"\b(pthread_(?!once)\w+|(?:FILE|stdout|stderr|stdin)\b|"
    r"(?:fopen|fdopen|fprintf|vfprintf|printf|vprintf|puts|fputs|fputc|putchar|perror|fwrite|fread|open|socket|time|clock|"
    r"clock_gettime|gettimeofday|nanosleep|usleep|exit|abort|system|fork|rand|srand|setenv|putenv)(?=\s*\())")

# Everything goes through the gate that lets a test make memory run out.
ALLOCATION = re.compile(r"\b(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|alloca|strdup|free)\s*\(")

# The attribute that has the compiler check a format names printf and prints nothing.
FORMAT_ATTRIBUTE = re.compile(r"format\s*\(\s*printf\s*,")

INCLUDE = re.compile(r'^[ \t]*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.M)
NOISE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def blank(match):
    """Keep the lines, drop the text."""
    return re.sub(r"[^\n]", " ", match.group(0))


def strip_comments(text):
    return re.sub(r'/\*.*?\*/|//[^\n]*', blank, text, flags=re.S)


class Source:
    def __init__(self, root, path):
        text = path.read_text(encoding="utf-8")
        self.name = path.relative_to(root).as_posix()
        self.code = NOISE.sub(blank, text)
        self.text = strip_comments(text)
        self.includes = []  # (line, header, quoted)
        for match in INCLUDE.finditer(self.text):
            line = self.text.count("\n", 0, match.start()) + 1
            self.includes.append((line, match.group(1) or match.group(2), match.group(1) is not None))


def load(root):
    return [Source(root, path) for top in ("src", "tests", "bench", "clients")
            for path in sorted((root / top).rglob("*.[ch]"))]


def wall_violations(sources, folder, allowed):
    for source in sources:
        if not source.name.startswith(folder + "/"):
            continue
        for line, header, quoted in source.includes:
            room = header.split("/")[0] if "/" in header else folder.split("/")[1]
            if not quoted and room not in ("core", "store", "server"):
                continue  # the system's and third parties' headers
            if ".." in header.split("/"):
                yield f"{source.name}:{line}: {header}: climb no folders, name the room"
            elif room not in allowed and not (folder.startswith("tests/") and "/" not in header):
                yield f"{source.name}:{line}: {header}: {folder} may include {', '.join(sorted(allowed))}"


def sole_violations(sources, header, owner):
    for source in sources:
        for line, included, _ in source.includes:
            if included == header and source.name != owner:
                yield f"{source.name}:{line}: only {owner} includes {header}"


def core_violations(sources):
    for source in sources:
        if not source.name.startswith("src/core/"):
            continue
        for line, header, _ in source.includes:
            if CORE_HEADERS.match(header) and (source.name, header) not in CORE_EXCEPTIONS:
                yield f"{source.name}:{line}: the core does without {header}"
        code = FORMAT_ATTRIBUTE.sub(blank, source.code)
        for match in CORE_NAMES.finditer(code):
            before = code[max(0, match.start() - 2):match.start()]
            if before.endswith((".", "->")):
                continue  # a member of that name
            line = code.count("\n", 0, match.start()) + 1
            yield f"{source.name}:{line}: the core does without {match.group(1)}"


def allocation_violations(sources):
    for source in sources:
        if not source.name.startswith("src/core/") or source.name == "src/core/alloc.c":
            continue
        for match in ALLOCATION.finditer(source.code):
            line = source.code.count("\n", 0, match.start()) + 1
            yield f"{source.name}:{line}: {match.group(1)}: the core's memory comes from alloc.c"


def public_header_violations(sources):
    for source in sources:
        if source.name in PUBLIC:
            for line, header, quoted in source.includes:
                if (quoted or "/" in header) and header not in PUBLIC[source.name]:
                    yield f"{source.name}:{line}: {header}: a public header stands alone"


def main():
    root = pathlib.Path(sys.argv[1]).resolve()
    sources = load(root)
    checks = [(f"{folder} includes only {', '.join(sorted(allowed))}", list(wall_violations(sources, folder, allowed)))
              for folder, allowed in ROOMS.items()]
    checks += [(f"{header} is included by {owner} alone", list(sole_violations(sources, header, owner)))
               for header, owner in SOLE.items()]
    checks.append(("the core has no files, sockets, threads, clock or output", list(core_violations(sources))))
    checks.append(("the core allocates in alloc.c alone", list(allocation_violations(sources))))
    checks.append(("public headers include standard headers and hopfield.h only", list(public_header_violations(sources))))
    checks.append(("there are sources to check", [] if any(s.name.startswith("src/core/") for s in sources)
                   else [f"nothing under {root}/src/core"]))

    print(f"1..{len(checks)}")
    failed = 0
    for number, (name, violations) in enumerate(checks, 1):
        for violation in violations:
            print(f"# {violation}")
        print(f"{'not ok' if violations else 'ok'} {number} - {name}")
        failed += bool(violations)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
