"""How many memories an answer is made of, against beta: fixed points between one memory and the mean of all."""
import numpy as np

from modes import DENSE, ENTMAX, SPARSEMAX
from page import Section, percent

CLASSES = [("1", 1, 1), ("2-4", 2, 4), ("5-10", 5, 10), ("11-50", 11, 50), ("51-100", 51, 100),
           ("none", 0, 0)]
COLOURS = ["#0d2f57", "#1f5fa8", "#6fa3d8", "#c5dcf2", "#f2c9a0", "#d9730d"]
THRESHOLD = 0.01
STEPS = 5
TOP = 100  # no more than 100 weights can reach 0.01


def counts(answer, threshold):
    return np.array([(weights >= threshold).sum() for weights in answer.weights()])


def run(lab, images, name, command, folder):
    betas = [0.1, 0.3, 0.5, 0.7, 1, 2, 3, 10] if images.side == 8 else [0.01, 0.03, 0.1, 0.3, 1, 3]
    betas = betas[::3] if lab.quick else betas
    asked = 20 if lab.quick else 400 if images.side == 8 else 200
    order = np.random.default_rng(0).permutation(len(images.pixels))
    queries, stored = images.pixels[order[:asked]], images.pixels[order[asked:]]
    M, norms = len(stored), np.linalg.norm(stored, axis=1)
    lab.load(stored, max_degree=0)
    section = Section(
        name, "Support size against beta: %s" % images.name,
        "Between one memory and the mean of all of them, what are answers made of (the metastable states of Ramsauer et"
        " al.), and from which beta on do the sparse models have a small support?",
        ["%s images in [0, 1] are stored as they are, %d others are the queries; %d steps, the weights of the last"
         " one: near a fixed point, though not all queries are at one."
         % ("{:,}".format(M), asked, STEPS),
         "Counted per query: memories of weight at least %g, as published histograms have it; the support 1/sum p^2;"
         " for `sparsemax` and `entmax`" % THRESHOLD,
         "the memories of non-zero weight, at most 1,000. *None*: no memory reaches %g." % THRESHOLD],
        "`default_rng(0)` splits the images.", command)
    shares, medians, different, rows = [], {}, {}, []
    for beta in betas:
        said = lab.ask(queries, beta, "dense", steps=STEPS, top=min(TOP, M), returns=["top", "support"])
        heavy, effective = counts(said, THRESHOLD), said.rows("support")
        shares.append([((heavy >= low) & (heavy <= high)).mean() for _, low, high in CLASSES])
        sizes = [np.median(effective)]
        ends = sorted({row[0]["id"] for row in said.document["top"]})
        different[beta] = len(ends)
        for mode in (SPARSEMAX, ENTMAX):
            sparse = lab.ask(queries, beta, mode.mode, mode.model, steps=STEPS, top=min(1000, M), returns=["top"])
            sizes.append(np.median(counts(sparse, 1e-300)))
        medians[beta] = sizes
        rows.append(["%g" % beta] + [percent(share) for share in shares[-1]] + [float(size) for size in sizes] +
                    [different[beta]])
    section.table(
        "`dense`: share of the queries with so many memories of weight >= %g; medians of the support. *Ends*: how many"
        " different memories are the heaviest of some query." % THRESHOLD,
        ["beta"] + [label for label, _, _ in CLASSES] + ["dense, 1/sum p^2", "sparsemax, non-zero",
                                                         "entmax, non-zero", "dense, ends"], rows)
    if folder:
        draw(betas, shares, medians, M, "%s/%s.png" % (folder, name))
        section.plots.append((name, "Support sizes against beta"))
    single = [beta for beta, share in zip(betas, shares) if share[0] > 0.5]
    spread = [beta for beta, share in zip(betas, shares) if share[-1] > 0.5]
    between = [beta for beta in betas if beta not in single and beta not in spread]
    section.seen = [
        "Three regimes, as Ramsauer et al. describe them: %s most answers are spread over so many memories that none"
        " reaches %g; %s they are mixtures, with a median support of %s; %s most are one memory. The counts say less"
        " than the support between the first two: where few memories reach %g, most of the weight may lie below it." % (
            where("at beta", spread), THRESHOLD, where("at", between),
            ", ".join("%.3g" % medians[beta][0] for beta in between) or "-", where("at", single), THRESHOLD),
        "`sparsemax` (median of %s non-zero weights at beta = %g) and `entmax` (%s) leave the uniform regime at a"
        " smaller beta than `dense` (%.3g): their weights are exactly 0 outside a window of 1/(beta(alpha-1)) below the"
        " best score." % (
            format(medians[betas[0]][1], ".3g"), betas[0], format(medians[betas[0]][2], ".3g"), medians[betas[0]][0]),
        "One memory need not be the right one: with the plain inner product the %d queries end in %d different memories"
        " at beta = %g, whose l2 norm is above that of %s of all memories (mean over the ends): steps lead to the"
        " bright images." % (
            asked, different[betas[-1]], betas[-1], percent((norms[ends][:, None] > norms[None]).mean()))]
    return section


def where(word, betas):
    return word + " " + (", ".join("%g" % beta for beta in betas) if betas else "no beta of the sweep")


def draw(betas, shares, medians, M, path):
    import plots
    figure, axes = plots.panels(["dense: memories of weight at least %g" % THRESHOLD,
                                 "median support of %d memories" % M],
                                ["beta", "beta"], ["share of the queries", "memories"], width=5.8)
    base = np.zeros(len(betas))
    for (label, _, _), colour, share in zip(CLASSES, COLOURS, np.array(shares).T):
        axes[0].bar(range(len(betas)), share, bottom=base, color=colour, width=0.8, label=label)
        base = base + share
    axes[0].set_xticks(range(len(betas)), ["%g" % beta for beta in betas])
    axes[0].set_ylim(0, 1)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), title="memories")
    lines = [dict(DENSE.line, label="dense, 1/sum p^2"),
             dict(SPARSEMAX.line, label="sparsemax, non-zero (1,000 at most)"),
             dict(ENTMAX.line, label="entmax 1.5, non-zero (1,000 at most)")]
    for which, line in enumerate(lines):
        plots.curve(axes[1], betas, [medians[beta][which] for beta in betas], line)
    axes[1].set_xscale("log")
    axes[1].set_yscale("log")
    axes[1].legend(frameon=False, fontsize=8)
    plots.finish(figure, path)
