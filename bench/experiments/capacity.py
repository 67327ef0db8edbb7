"""How many random patterns can be stored and retrieved, and how many Theorem B.1 of P1 promises."""
import math

import numpy as np

from lab import SET
from page import Section, number

REPORTED = 512  # patterns whose R_sep is measured
FAILURE = 0.1  # the theorem's p: all patterns are stored with probability 1 - p


def lambert(log_x):
    """w with w e^w = x, from log x: w + ln w = log x, by Newton from above or below."""
    w = max(log_x - math.log(max(log_x, 1)), 1e-3) if log_x > -5 else math.exp(log_x)
    for _ in range(100):
        w = max(w - (w + math.log(w) - log_x) / (1 + 1 / w), w / 10)
    return w


def promised(d, m, beta, R, delta=0.0):
    """Theorem B.1 with its erratum: sqrt(p) C^((d-1)/4), C = b / W(e^(a + ln b)); 0 where R <= delta.

    a = (4/(d-1)) (ln(2 m sqrt(p) / (R - delta)) + 2 beta m R), b = 4 m^2 beta / (5 (d-1)). R is the radius of the
    spheres S_mu; the printed constant is the value at R = 1/(2 beta m), which is also where the bound is largest.
    """
    if R <= delta:
        return 0.0
    a = 4 / (d - 1) * (math.log(2 * m * math.sqrt(FAILURE) / (R - delta)) + 2 * beta * m * R)
    b = 4 * m * m * beta / (5 * (d - 1))
    return math.sqrt(FAILURE) * (b / lambert(a + math.log(b))) ** ((d - 1) / 4)


def sphere(rng, count, d):
    rows = rng.normal(size=(count, d))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(patterns):
    """The distance from each pattern to the nearest other."""
    squares = 2 * (patterns ** 2).sum(1)[0] - 2 * patterns @ patterns.T
    np.fill_diagonal(squares, np.inf)
    return np.sqrt(np.maximum(squares.min(1), 0))


def stored(lab, patterns, rng, beta, R):
    """Which patterns are stored: S_mu of radius R is apart from all others, and a point of its surface, drawn at"
    " random,
    is brought back into it (and so is its centre)."""
    d = patterns.shape[1]
    lab.load(patterns, max_degree=0)
    apart = nearest(patterns) > 2 * R
    said = lab.ask(np.concatenate([patterns + R * sphere(rng, len(patterns), d), patterns]), beta, "dense")
    back = np.linalg.norm(said.z - np.concatenate([patterns, patterns]), axis=1)
    inside = back + math.sqrt(d) * said.rows("error_bound") <= R
    return apart & inside[:len(patterns)] & inside[len(patterns):]


def reported(lab, d, K, M):
    """(bound at the R_sep of one set of M patterns, the daemon's own report of the same number)."""
    patterns = (K * math.sqrt(d - 1) * sphere(np.random.default_rng([d, 0]), M, d)).astype(np.float32)
    lab.load(patterns, max_degree=0)
    said = lab.client.theory(SET, beta=1, p=FAILURE)["capacity"]["log10_M_dense"]
    patterns = patterns.astype(float)
    squares = ((patterns[:, None] - patterns[None]) ** 2).sum(2) + np.diag([np.inf] * M)
    m = math.sqrt((patterns ** 2).sum(1).max())
    return promised(d, m, 1, math.sqrt(squares.min()) / 2), 10 ** said


def measure(lab, d, K, draws, sizes):
    """{M: (share of the draws with every pattern stored, share of the patterns stored)} up to the first M without."""
    beta, m, found = 1.0, K * math.sqrt(d - 1), {}
    R = 1 / (2 * beta * m)
    for M in sizes:
        rng = np.random.default_rng([d, round(10 * K), M])
        said = [stored(lab, m * sphere(rng, M, d), rng, beta, R) for _ in range(draws)]
        found[M] = np.mean([one.all() for one in said]), np.mean([one.mean() for one in said])
        if found[M][0] == 0 and found[M][1] < 0.5:
            break
    return found


def run(lab, command, folder):
    dimensions, factors, draws = ([6], [2, 3], 3) if lab.quick else ([8, 12, 16], [1, 1.5, 2, 2.5, 3, 3.5, 4], 10)
    sizes = [2 ** n for n in range(1, 8 if lab.quick else 11)]
    found, rows, table = {}, {}, []
    for d in dimensions:
        for K in factors:
            found[d, K] = measure(lab, d, K, draws, sizes)
            m = K * math.sqrt(d - 1)
            R = 1 / (2 * m)
            held = [M for M in found[d, K] if all(found[d, K][n][0] >= 1 - FAILURE for n in sizes if n <= M)]
            most = held[-1] if held else 0
            share = [M for M in found[d, K] if found[d, K][M][1] >= 1 - FAILURE]
            rows[d, K] = promised(d, m, 1, R), most, share[-1] if share else 0, most == sizes[-1]
            ours, theirs = reported(lab, d, K, min(max(most, 2), REPORTED))
            assert abs(ours / theirs - 1) < 1e-6, "the daemon's report and this file's formula differ"
            table.append([d, "%g" % K, R, rows[d, K][0], ours,
                          (">= " if rows[d, K][3] else "") + "{:,}".format(most),
                          (">= " if rows[d, K][2] == sizes[-1] else "") + "{:,}".format(rows[d, K][2])])
    section = Section(
        "capacity", "Capacity against Theorem B.1",
        "P1 proves that sqrt(p) C^((d-1)/4) random patterns on a sphere can be stored and retrieved with probability 1"
        " - p, by dense and, less, by almost-linear retrieval; P2 (Lemma 4.2) has a bound of this form for sparse ones."
        " How many are in fact?",
        ["M patterns uniform on the sphere of radius m = K sqrt(d-1), beta = 1, p = %g, %d draws. A pattern is stored"
         " if its ball S of radius R = 1/(2 beta m), where the" % (FAILURE, draws),
         "bound is largest, is apart from all others and one step of `dense` brings the centre and a random point of"
         " its surface back into S, the error bound included.",
         "M doubles from 2 to %s. *All*: largest M up to which every pattern is stored in at least 90 %% of the draws;"
         " *most*: 90 %% of the patterns." % "{:,}".format(sizes[-1])],
        "`default_rng([d, 10 K, M])`.", command)
    section.table(
        "The theorem's bound for dense (delta_A = 0), with its misprints mended (docs/MATH.md, erratum d), at R, and at"
        " the measured R_sep, half of the smallest distance in a set of that many patterns, at most %d; below 2 it"
        " promises nothing." % REPORTED,
        ["d", "K", "R", "bound at R", "bound at R_sep", "measured, all", "measured, most"], table)
    if folder:
        draw(dimensions, factors, rows, found, "%s/capacity.png" % folder)
        section.plots.append(("capacity", "Measured capacity and the bound, and success against M"))
    pairs = [row for row in rows.values() if row[0] >= 1]
    broken = [key for key, row in rows.items() if row[0] >= 2 * max(row[1], 1) and not row[3]]  # M comes in doublings
    if broken:
        verdict = "The bound is above the measured capacity at (d, K) = %s." % broken
    elif pairs:
        ratios = [row[1] / row[0] for row in pairs]
        verdict = ("The bound holds everywhere and is cautious: where it is 1 or more, %s to %s times as"
                   " many are stored, or more where the sweep ends." % (number(min(ratios)), number(max(ratios))))
    else:
        verdict = "The bound promises nothing at these sizes."
    section.seen = [
        verdict,
        "Capacity and bound grow fast with K, which is the exponent's scale beta m^2 = K^2 (d-1), and with d: at K = %g"
        " from %s (d = %d) to %s (d = %d) patterns. M in factors of 2 and %d draws are a coarse measure: a dip is"
        " chance." % (
            factors[-2], say(rows[dimensions[0], factors[-2]]), dimensions[0],
            say(rows[dimensions[-1], factors[-2]]), dimensions[-1], draws),
        "`GET /theory` of the daemon gives the bound at R_sep too; its number and this file's agree to six digits on"
        " every set of the table.",
        "At R_sep, the radius of the definition, the bound says nothing here: its term 2 beta m R is then of the order"
        " of the whole exponent. It is a statement about small balls.",
        "Storing needs beta m^2 large, an almost-linear answer needs it small: at K = 1, d = %d the exponents already"
        " reach %d. These are different ends of one axis." % (
            dimensions[-1], dimensions[-1] - 1)]
    return section


def say(row):
    return ("at least " if row[3] else "") + "{:,}".format(row[1])


def draw(dimensions, factors, rows, found, path):
    import plots
    last = dimensions[0]
    figure, axes = plots.panels(["capacity, p = %g" % FAILURE, "success against M, d = %d" % last],
                                ["K: radius m = K sqrt(d-1)", "patterns M"], ["patterns", "share of the patterns"
                                 " stored"])
    for d, colour in zip(dimensions, ("#1f5fa8", "#d9730d", "#2b8a3e")):
        full = [(K, rows[d, K]) for K in factors if rows[d, K][1] > 0]
        plots.curve(axes[0], [K for K, _ in full], [row[1] for _, row in full],
                    {"color": colour, "marker": "o", "label": "measured, all stored, d = %d" % d})
        for K, row in full:
            if row[3]:
                axes[0].plot(K, row[1] * 1.35, marker="^", color=colour, markersize=6)
        plots.curve(axes[0], factors, [rows[d, K][0] for K in factors],
                    {"color": colour, "marker": "", "linestyle": "--", "label": "Theorem B.1, d = %d" % d})
    axes[0].set_yscale("log")
    axes[0].set_ylim(bottom=0.001)
    axes[0].plot([], [], color="#6b6b6b", marker="^", linestyle="", label="or more: the sweep ends")
    axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    shades = ["#c5dcf2", "#9dc3e8", "#6fa3d8", "#3f7fc0", "#1f5fa8", "#14427a", "#0d2f57"]
    for K, colour in zip(factors, shades[-len(factors):]):
        said = found[last, K]
        plots.curve(axes[1], list(said), [said[M][1] for M in said],
                    {"color": colour, "marker": "o", "label": "K = %g" % K})
    axes[1].axhline(1 - FAILURE, color="#6b6b6b", linewidth=1, linestyle=":")
    axes[1].set_xscale("log", base=2)
    axes[1].legend(frameon=False, fontsize=8)
    plots.finish(figure, path)
