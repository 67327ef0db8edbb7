"""The phase transition: how much faster than dense `auto` is, around P1's B* = sqrt(ln tau)."""
import math

import numpy as np

from page import Section, percent

D, L = 8, 512
ERROR = 0.01


def measure(lab, M, B, queries, times):
    """Entries in [-B, B] at beta = 1/d are entries in [-1, 1] at beta = B^2/d: one set serves every B."""
    beta = B * B / D
    fast = slow = math.inf
    for _ in range(times):  # in turns, so that both meet the same disturbances
        said, dense = (lab.ask(queries, beta, mode, max_error=ERROR) for mode in ("auto", "dense"))
        fast, slow = min(fast, said.seconds), min(slow, dense.seconds)
    apart = np.abs(said.z.astype(float) - dense.z).max(1)
    assert (apart <= said.rows("error_bound") + dense.rows("error_bound")).all()
    degrees = said.rows("degree")
    return {"speedup": slow / fast, "fast": fast / L, "slow": slow / L, "share": float((degrees > 0).mean()),
            "degree": float(np.median(degrees[degrees > 0])) if (degrees > 0).any() else math.nan,
            "bound": float(said.rows("error_bound").max()), "apart": float(apart.max())}


def end(M, sweep, rows, star):
    """Up to which B of the sweep there is a gain."""
    gains = [B for B in sweep if rows[B]["speedup"] > 1.5]
    if not gains:
        return "M = %s gains nowhere (B* = %.2f)" % ("{:,}".format(M), star)
    return "M = %s gains up to B = %g%s, %.2f B*" % (
        "{:,}".format(M), gains[-1], " at least" if gains[-1] == sweep[-1] else "", gains[-1] / star)


def run(lab, command, folder):
    sizes = [10000] if lab.quick else [1000, 10000, 100000, 1000000]
    sweep = [1, 4] if lab.quick else [0.5, 1, 1.5, 2, 2.5, 2.75, 3, 3.25, 3.5, 3.75, 4, 4.5, 5]
    found, degrees = {}, {}
    for M in sizes:
        rng = np.random.default_rng([D, M])
        lab.load(rng.uniform(-1, 1, (M, D)))
        degrees[M] = lab.ready()["features"]["max_degree"]
        queries = rng.uniform(-1, 1, (L, D))
        lab.ask(queries, 1 / D, "auto")
        found[M] = {B: measure(lab, M, B, queries, 2 if lab.quick else 9 if M < 1000000 else 5) for B in sweep}
    section = Section(
        "transition", "The phase transition",
        "P1 proves that almost-linear time is possible while entries stay below the order of B* = sqrt(ln tau), tau ="
        " max(M, L), and impossible above unless SETH fails. Where does it end here?",
        ["Entries of M memories and %d queries uniform in [-B, B], d = %d, beta = 1/d, max_error = %g B; run as"
         " entries in [-1, 1] at beta = B^2/d, which is the same retrieval." % (L, D, ERROR),
         "Speed-up: compute time of the batch in mode `dense` over that in mode `auto`, best of several requests, one"
         " daemon, default feature maps,",
         "measured costs. *Almost-linear rows*: queries of `auto` that were answered so. Times depend on the"
         " machine and on its load; degrees and bounds do not."],
        "`default_rng([8, M])`.", command)
    rows = []
    for M in sizes:
        for B in sweep:
            said = found[M][B]
            rows.append(["{:,}".format(M), "%g" % B, B / math.sqrt(math.log(max(M, L))), said["degree"],
                         percent(said["share"]), said["speedup"], said["fast"] * 1e6, said["bound"] * B])
    section.table(
        "Degree: median of the rows that were answered almost-linearly; bound: the largest, in units of the entries.",
        ["M", "B", "B/B*", "degree", "almost-linear rows", "speed-up", "us a query", "bound"], rows)
    if folder:
        draw(sizes, sweep, found, "%s/transition.png" % folder)
        section.plots.append(("transition", "Speed-up over dense against B and against B over B*"))
    star = {M: math.sqrt(math.log(max(M, L))) for M in sizes}
    section.seen = [
        "The gain ends later for larger sets, as the theorem has it, and around B* where a dense pass is long (more"
        " than 1.5 x counts as gain): "
        + "; ".join(end(M, sweep, found[M], star[M]) for M in sizes) + ".",
        "Far below it the gain grows with M, since the cost of `auto` does not: at B = %g it is %s." % (
            sweep[1] if len(sweep) > 2 else sweep[0], ", ".join("%.3g for M = %s" % (
                found[M][sweep[1] if len(sweep) > 2 else sweep[0]]["speedup"], "{:,}".format(M)) for M in sizes)),
        "Where it ends, `auto` is not free: at worst %.2g of dense's speed (M = %s, B = %g), where it tries degrees"
        " that do not meet the tolerance, or predicts the cost wrongly." % min(
            (found[M][B]["speedup"], "{:,}".format(M), B) for M in sizes for B in sweep),
        "The theorem is about d of the order of log tau, beta = 1/d and an error of 1/poly(tau), and about the worst"
        " input; d and the error are fixed here, the data are random. The mechanism is the same; it is no test of"
        " the theorem.",
        "It is a slope, not a cliff: every degree more costs a factor, until dense is cheaper and `auto` runs it. Above"
        " B* the promise holds all the same; only the time is dense's. B* names an order of growth, so agreement within"
        " a factor is all that can be asked for."]
    return section


def draw(sizes, sweep, found, path):
    import plots
    figure, axes = plots.panels(["against B", "against B / B*"], ["B", "B / sqrt(ln tau)"],
                                ["dense time / auto's time", "dense time / auto's time"])
    for M, colour in zip(sizes, ("#2b8a3e", "#1f5fa8", "#d9730d", "#b3261e")):
        star = math.sqrt(math.log(max(M, L)))
        line = {"color": colour, "marker": "o", "label": "M = %s, B* = %.2f" % ("{:,}".format(M), star)}
        plots.curve(axes[0], sweep, [found[M][B]["speedup"] for B in sweep], line)
        axes[0].axvline(star, color=colour, linestyle=":", linewidth=1.4)
        plots.curve(axes[1], [B / star for B in sweep], [found[M][B]["speedup"] for B in sweep], line)
    axes[1].axvline(1, color="#6b6b6b", linestyle=":", linewidth=1.4)
    for one in axes:
        one.axhline(1, color="#6b6b6b", linewidth=1)
        one.set_yscale("log")
    plots.finish(figure, path, axes[0], 4)
