#!/usr/bin/env python3
"""Write a C file that holds the bytes of docs/openapi.json: embed.py INPUT OUTPUT.

The text is checked to be JSON first, so that a broken document stops the build and not a client.
"""
import json
import sys

source, target = sys.argv[1:3]
with open(source, "rb") as file:
    data = file.read()
json.loads(data)
lines = [",".join(str(b) for b in data[i : i + 24]) for i in range(0, len(data), 24)]
with open(target, "w", encoding="ascii") as file:
    file.write("/* Made by embed.py from docs/openapi.json. */\n#include \"server/openapi.h\"\n\n")
    file.write("const unsigned char srv_openapi[] = {\n" + ",\n".join(lines) + "\n};\n")
    file.write(f"const size_t srv_openapi_bytes = {len(data)};\n")
