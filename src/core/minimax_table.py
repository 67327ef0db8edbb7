"""Certificate W's polynomials: makes src/core/minimax_table.c, the same bytes every time. Half a minute.

    python3 src/core/minimax_table.py > src/core/minimax_table.c

For every degree g and every half-width R of the ladder: the polynomial p(t) = sum_k c_k t^k/k! that makes
max |p(t) - e^t| / (e^t - t) over [-R, R] smallest (Remez's exchange), its coefficients rounded to f64, and eps, for
which |p(t) - e^t| <= eps (e^t - t) on all of [-R, R] is then proved for the rounded coefficients: cell by cell, by the
Taylor expansion of eps (e^t - t) -+ (p(t) - e^t) about the cell's middle with every higher term taken by its absolute
value, cells halved until it is positive (docs/MATH.md, "Certificate W").

Arithmetic is decimal with 60 digits. Numbers stay below 1e12 and a cell's value takes fewer than 1e4 operations, so
what is lost is below 1e-40; the margin asked for is 1e-30.
"""
import re
from decimal import Decimal as D, getcontext
from math import cos, factorial, pi

getcontext().prec = 60
DEGREES = 16            # 1..DEGREES
STEPS = 8               # half-widths an octave
FIRST, LAST = -8, 35    # R = 2^(step/8): 0.5 to 20.7
EPS_MOST, EPS_LEAST = D("0.25"), D("1e-13")
MARGIN = D("1e-30")
FACTORIAL = [D(factorial(k)) for k in range(80)]


def value(c, t):
    s = D(0)
    for k in range(len(c) - 1, -1, -1):
        s = s * t + c[k]
    return s


def solve(a, b):
    """Gaussian elimination with pivots."""
    n = len(b)
    for i in range(n):
        p = max(range(i, n), key=lambda r: abs(a[r][i]))
        a[i], a[p], b[i], b[p] = a[p], a[i], b[p], b[i]
        for r in range(i + 1, n):
            f = a[r][i] / a[i][i]
            if f:
                for j in range(i, n):
                    a[r][j] -= f * a[i][j]
                b[r] -= f * b[i]
    x = [D(0)] * n
    for i in range(n - 1, -1, -1):
        x[i] = (b[i] - sum(a[i][j] * x[j] for j in range(i + 1, n))) / a[i][i]
    return x


def remez(g, R):
    """Coefficients of t^k, and the levelled error of the last exchange."""
    n = 24 * (g + 2)
    grid = [R * D(-cos(pi * i / n)) for i in range(n + 1)]
    grid[0], grid[-1] = -R, R
    e = [t.exp() for t in grid]
    u = [x - t for x, t in zip(e, grid)]
    at = [round(i * n / (g + 1)) for i in range(g + 2)]
    for _ in range(12):
        rows = [[grid[i] ** k if k else D(1) for k in range(g + 1)] + [u[i] * (-1) ** s] for s, i in enumerate(at)]
        x = solve(rows, [e[i] for i in at])
        c, level = x[:-1], abs(x[-1])
        f = [(value(c, t) - y) / w for t, y, w in zip(grid, e, u)]
        new = []
        for i, v in enumerate(f):
            if new and (f[new[-1]] > 0) == (v > 0):
                if abs(v) > abs(f[new[-1]]):
                    new[-1] = i
            else:
                new.append(i)
        while len(new) > g + 2:
            new.pop(0 if abs(f[new[0]]) < abs(f[new[-1]]) else -1)
        if len(new) < g + 2 or new == at:
            break
        at = new
    return c, max(abs(v) for v in f)


def proved(c, R, eps):
    """|p - e^t| <= eps (e^t - t) on [-R, R], c the coefficients of t^k as exact decimals."""
    g = len(c) - 1
    cells = [(-R + 2 * R * i / 64, -R + 2 * R * (i + 1) / 64, 0) for i in range(64)]
    while cells:
        a, b, depth = cells.pop()
        m, h = (a + b) / 2, (b - a) / 2
        shifted = list(c)
        for i in range(g):
            for k in range(g - 1, i - 1, -1):
                shifted[k] += m * shifted[k + 1]
        x = m.exp()
        for sign in (1, -1):
            # eps (e^t - t) - sign (p - e^t) = sum_j f_j s^j, t = m + s
            low, hj = eps * (x - m) - sign * (shifted[0] - x) - MARGIN, D(1)
            for j in range(1, g + 1):
                hj *= h
                f = eps * (x / FACTORIAL[j] - (1 if j == 1 else 0)) - sign * (shifted[j] - x / FACTORIAL[j])
                low -= abs(f) * hj
            # (eps + sign) e^t has the rest of its series: below e^{m+h} h^{g+1}/(g+1)!
            low -= (1 + eps) * (m + h).exp() * hj * h / FACTORIAL[g + 1]
            if low <= 0:
                if depth > 16:
                    return False
                cells += [(a, m, depth + 1), (m, b, depth + 1)]
                break
    return True


def up(x):
    """The f64 next above a positive decimal, to 20 bits: short in print."""
    e = 0
    while x < 2 ** 19:
        x, e = x * 2, e - 1
    while x >= 2 ** 20:
        x, e = x / 2, e + 1
    return float((int(x) + 1) * D(2) ** e)


def word(x):
    return re.sub(r"\.?0*p", "p", x.hex())


def main():
    entries, coefficients = [], []
    for step in range(FIRST, LAST + 1):
        R = D(2) ** (D(step) / STEPS)
        R = D(float(R)) * (1 + D("1e-12"))  # whichever way the reader's 2^(step/8) is rounded
        for g in range(1, DEGREES + 1):
            c, worst = remez(g, R)
            if worst > EPS_MOST or worst < EPS_LEAST:
                entries.append((step, g, None, 0))
                continue
            numbers = [float(c[k] * FACTORIAL[k]) for k in range(g + 1)]
            rounded = [D(x) / FACTORIAL[k] for k, x in enumerate(numbers)]
            eps = None
            for slack in ("1.001", "1.004", "1.02", "1.1"):
                eps = D(up(worst * D(slack)))
                if proved(rounded, R, eps):
                    break
            else:
                raise SystemExit(f"no proof at R = {R}, g = {g}")
            entries.append((step, g, eps, len(coefficients)))
            coefficients += numbers
    print("/*\n * minimax_table.c - made by minimax_table.py; see there, and minimax.h.\n */")
    print('#include "core/minimax.h"\n')
    print("/* clang-format off */")
    print("const hop_minimax_entry hop_minimax_table[HOP_MINIMAX_BUCKETS][HOP_MINIMAX_DEGREES] = {")
    for step in range(FIRST, LAST + 1):
        row = [e for e in entries if e[0] == step]
        cells = [f"{{{word(float(e[2])) if e[2] else '1'}, {e[3]}}}" for e in row]
        print("    {" + ",\n     ".join(", ".join(cells[i:i + 4]) for i in range(0, len(cells), 4)) + "},")
    print("};\n")
    print("const double hop_minimax_coefficients[] = {")
    words = [word(x) for x in coefficients]
    for i in range(0, len(words), 4):
        print("    " + ", ".join(words[i:i + 4]) + ",")
    print("};\n/* clang-format on */")


if __name__ == "__main__":
    main()
