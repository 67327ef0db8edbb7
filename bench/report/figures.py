"""The four figures, from rows of hopbench's fields. A row with a `problem` is left out."""
import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402  (the backend first)

BLUE, ORANGE, GREEN, RED, GREY = "#1f5fa8", "#d9730d", "#2b8a3e", "#b3261e", "#6b6b6b"
COLOURS = [BLUE, ORANGE, GREEN, RED]


def good(rows):
    return [row for row in rows if "problem" not in row]


def begin(title, x, y):
    figure, axes = plt.subplots(figsize=(8, 5))
    dress(axes, title, x, y)
    return figure, axes


def dress(axes, title, x, y):
    axes.set_title(title, fontsize=12)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def finish(figure, path):
    figure.tight_layout()
    figure.savefig(path, dpi=130, metadata={"Software": None})
    plt.close(figure)


def time_against_memories(batched, single, path, title):
    """Dense grows with M, almost-linear does not; where `auto` answered dense its marker is hollow."""
    figure, axes = begin(title, "memories M", "seconds a query, one thread")
    for rows, style, what in ((good(batched), "-", "batch of %d"), (good(single), "--", "batch of %d")):
        if not rows:
            continue
        what = what % rows[0]["L"] if rows[0]["L"] > 1 else "single query"
        M = [row["M"] for row in rows]
        axes.plot(M, [row["dense_seconds_per_query"] for row in rows], style, color=BLUE, marker="s", markersize=5,
                  label="dense, " + what)
        axes.plot(M, [row["seconds_per_query"] for row in rows], style, color=ORANGE, label="auto, " + what)
        for row in rows:
            filled = row["mode"] == "almost_linear"
            axes.plot(row["M"], row["seconds_per_query"], "o", color=ORANGE, markersize=6,
                      markerfacecolor=ORANGE if filled else "white")
    axes.plot([], [], "o", color=ORANGE, label="almost-linear")
    axes.plot([], [], "o", color=ORANGE, markerfacecolor="white", label="dense, or mixed")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    finish(figure, path)


def speedup_against_norm(families, path, title):
    """families: (tau, B*, rows), rows with `B`."""
    figure, axes = begin(title, "B: entries of memories and queries are uniform in [-B, B]",
                         "dense time / hopfieldd's time")
    for colour, (tau, threshold, rows) in zip(COLOURS, families):
        rows = good(rows)
        axes.plot([row["B"] for row in rows], [row["speedup"] for row in rows], "-o", color=colour, markersize=5,
                  label=r"$\tau$ = M = %s" % power(tau))
        axes.axvline(threshold, color=colour, linestyle=":", linewidth=1.6,
                     label=r"$B^* = \sqrt{\ln \tau}$ = %.2f" % threshold)
    axes.axhline(1, color=GREY, linewidth=1)
    axes.set_yscale("log")
    axes.legend(frameon=False)
    finish(figure, path)


def errors_against_degree(families, path, title):
    """families: (name, rows), rows with `degree_built`."""
    figure, axes = begin(title, "degree g", "largest error in a coordinate")
    for colour, (name, rows) in zip(COLOURS, families):
        rows = good(rows)
        g = [row["degree_built"] for row in rows]
        axes.plot(g, [row["error_bound_max"] for row in rows], "-o", color=colour, markersize=5, label=name + ": bound")
        axes.plot(g, [row["error_true_max"] for row in rows], "--o", color=colour, markersize=5,
                  markerfacecolor="white", label=name + ": true error")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)
    finish(figure, path)


def fraction_of_peak(families, bars, path, title):
    """families: (name, rows); bars: what is asked for, by d."""
    figure, axes = begin(title, "dimension d", "fraction of the measured f32 FMA peak")
    for colour, (name, rows) in zip(COLOURS, families):
        rows = good(rows)
        axes.plot([row["d"] for row in rows], [row["ratio_to_peak"] for row in rows], "-o", color=colour, markersize=5,
                  label=name)
    axes.plot(list(bars), list(bars.values()), "_", color=GREY, markersize=26, markeredgewidth=2,
              label="aim at one thread")
    axes.set_xscale("log", base=2)
    ticks = sorted({row["d"] for _, rows in families for row in good(rows)})
    axes.set_xticks(ticks, [str(d) for d in ticks])
    axes.set_ylim(0, max(1, axes.get_ylim()[1]))  # tiles may be above 1
    axes.legend(frameon=False, loc="lower right")
    finish(figure, path)


def power(number):
    """1000000 as 10^6."""
    exponent = len(str(number)) - 1
    return r"$10^{%d}$" % exponent if number == 10 ** exponent else str(number)
