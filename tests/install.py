#!/usr/bin/env python3
"""libhopfield as a user meets it: installed, found by pkg-config, its headers, one answer. Speaks TAP."""
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

PROGRAM = r"""
#include <ahop.h>
#include <hopfield.h>
#include <math.h>
#include <stdio.h>
#include <theory.h>

int main(void)
{
    const float memories[] = {1, 0, 0, 1, -1, 0}, x[] = {0.9f, 0.2f};
    const hop_source source = {.M = 3, .d = 2, .memories = memories};
    hop_error error = HOP_ERROR_NONE;
    hop_model *model;
    if (hop_model_new(&source, NULL, &model, &error) != HOP_OK)
        return 2;
    size_t bytes = hop_retrieve_workspace_bytes(model, 1);
    void *workspace = hop_aligned_alloc(bytes);
    float z[2];
    double bound;
    int degree;
    hop_fallback fallback;
    const hop_request request = {.beta = 2, .max_error = 1e-4, .mode = HOP_DENSE, .steps = 1};
    const hop_answer answer = {.z = z, .error_bound = &bound, .degree = &degree, .fallback = &fallback};
    if (hop_retrieve(model, &request, 1, x, workspace, bytes, &answer, &error) != HOP_OK)
        return 3;
    double a = exp(1.8), b = exp(0.4), c = exp(-1.8), s = a + b + c;
    int held = fabs((a - c) / s - (double)z[0]) <= bound + 1e-9 && fabs(b / s - (double)z[1]) <= bound + 1e-9;
    hop_aligned_free(workspace);
    hop_model_free(model);
    if (hop_ahop_degree(1, 0.1) != 4 || hop_verdict_word(HOP_HARD)[0] != 'h')
        return 5;
    return held && bound <= 1e-4 ? 0 : 4;
}
"""


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main():
    build = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        run("meson", "install", "-C", build, "--no-rebuild", "--destdir", folder)
        found = next(pathlib.Path(folder).rglob("libhopfield.pc"))
        prefix = folder + run("pkg-config", "--variable=prefix", str(found))
        flags = run("pkg-config", "--define-variable=prefix=" + prefix, "--cflags", "--libs", str(found))
        source, program = os.path.join(folder, "user.c"), os.path.join(folder, "user")
        pathlib.Path(source).write_text(PROGRAM)
        cflags = shlex.split(os.environ.get("HOPFIELDD_TEST_CFLAGS", ""))
        run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", source, *cflags, "-o", program, *shlex.split(flags), "-lm")
        code = subprocess.run([program], check=False).returncode
        print("ok 1 - a program built with pkg-config retrieves within its bound" if code == 0
              else f"not ok 1 - the installed library's program exited with {code}")
    print("1..1")
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        print(f"not ok 1 - {shlex.join(failed.cmd)}\n1..1")
        print(failed.stderr, file=sys.stderr)
        sys.exit(1)
