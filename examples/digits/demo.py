#!/usr/bin/env python3
"""Digits for hopfieldd: masks images, draws what came back, counts the hits. Standard library only.

    demo.py mask DIGITS.npy OUT.json [ROW...]       a request: those rows (default: all), bottom half set to the mean
    demo.py show QUERIES.json ANSWER.json LABELS.npy [ROW...]   draws masked -> retrieved, a caption under each
    demo.py rate ANSWER.json LABELS.npy             hit rates of an answer to all rows, in order
"""
import ast
import json
import struct
import sys

SIDE = 8
INK = 16
BETA = 40
TOP = 20


def read_u8(path):
    """Shape and bytes of a uint8 npy file in C order."""
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise SystemExit(f"{path}: not an npy file")
        major, _ = file.read(2)
        length = struct.unpack("<H", file.read(2))[0] if major == 1 else struct.unpack("<I", file.read(4))[0]
        header = ast.literal_eval(file.read(length).decode("latin-1"))
        if header["descr"] != "|u1" or header["fortran_order"]:
            raise SystemExit(f"{path}: expected uint8 in C order")
        return header["shape"], file.read()


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def mask(digits, out, *chosen):
    (count, d), data = read_u8(digits)
    half = d // 2
    mean = [round(sum(data[j::d]) / count, 3) for j in range(half, d)]
    rows = [int(row) for row in chosen] or range(count)
    queries = [list(data[row * d:row * d + half]) + mean for row in rows]
    request = {"beta": BETA, "return": ["top"], "top": TOP, "queries": queries}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(request, file, separators=(",", ":"))


def shades():
    """From no ink to full ink."""
    return " ░▒▓█" if (sys.stdout.encoding or "").lower().startswith("utf") else " .:*#"


def picture(pixels, ramp):
    """SIDE lines of 2 SIDE characters."""
    steps = len(ramp) - 1
    cells = [ramp[min(steps, max(0, round(pixel * steps / INK)))] * 2 for pixel in pixels]
    return ["".join(cells[row * SIDE:(row + 1) * SIDE]) for row in range(SIDE)]


def show(queries, answer, labels, *chosen):
    asked = read_json(queries)["queries"]
    answer = read_json(answer)
    _, label = read_u8(labels)
    rows = [int(row) for row in chosen] or list(range(len(asked)))
    ramp = shades()
    panels = []
    for i, row in enumerate(rows):
        heaviest = answer["top"][i][0]
        degree = answer["degree"][i]
        mode = "almost_linear" if degree else "dense"
        verdict = "itself" if heaviest["id"] == row else "another image"
        left, right = picture(asked[i], ramp), picture(answer["retrieved"][i], ramp)
        lines = [f"{a}{' -> ' if y == SIDE // 2 else '    '}{b}" for y, (a, b) in enumerate(zip(left, right))]
        lines.append(f"row {row}, a {label[row]}: heaviest {heaviest['id']} ({verdict})")
        lines.append(f"  its weight {heaviest['weight']:.2f}, it shows a {label[heaviest['id']]}")
        lines.append(f"  {mode}, degree {degree}, error <= {answer['error_bound'][i]:.1e}")
        panels.append([line.ljust(38) for line in lines])
    for start in range(0, len(panels), 2):
        for line in zip(*panels[start:start + 2]):
            print("  ".join(line).rstrip())
        print()


def rate(answer, labels):
    answer = read_json(answer)
    _, label = read_u8(labels)
    own = one = vote = 0
    for row, top in enumerate(answer["top"]):
        weight = [0.0] * 10
        for memory in top:
            weight[label[memory["id"]]] += memory["weight"]
        own += top[0]["id"] == row
        one += label[top[0]["id"]] == label[row]
        vote += weight.index(max(weight)) == label[row]
    count = len(answer["top"])
    print(f"own image heaviest:              {own:5d} of {count}  {100 * own / count:.1f} %")
    print(f"right label, heaviest memory:    {one:5d} of {count}  {100 * one / count:.1f} %")
    print(f"right label, by summed weights:  {vote:5d} of {count}  {100 * vote / count:.1f} %")
    print(f"largest error bound of all rows: {max(answer['error_bound']):.2e} (a pixel goes from 0 to {INK})")


def main(argv):
    commands = {"mask": (mask, 2), "show": (show, 3), "rate": (rate, 2)}
    command, least = commands.get(argv[0] if argv else "", (None, 0))
    if command is None or len(argv) - 1 < least:
        raise SystemExit(__doc__.strip())
    command(*argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
