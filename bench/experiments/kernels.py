"""Linear, polynomial and random features against dense: P2's second open question."""
import math

import numpy as np

import data
from lab import exact
from modes import LINEAR, RANDOM_FEATURES
from page import Section

SEEDS = [1, 2, 3]
NOISE = 1e-13  # of the f64 sums that answers are compared with
USE = 0.1  # a deviation that may be of use: a tenth of the range of a pixel


def run(lab, images, command, folder):
    M, L = (300, 20) if lab.quick else (len(images.pixels), 200)
    betas = [0.1, 1] if lab.quick else [0.03, 0.1, 0.3, 1, 3, 10]
    features = [64, 256] if lab.quick else [64, 128, 256, 512, 1024, 2048, 4096, 8192]
    degrees = [1, 2] if lab.quick else [1, 2, 3]
    d = images.pixels.shape[1]
    memories = images.draw(np.random.default_rng(0), M).astype(float)
    asked = np.random.default_rng(1).permutation(M)[:L]
    queries = data.mask_bottom(memories[asked], images.side, 0.5)
    lab.load(memories, max_degree=0)
    Z, found, seconds = {}, {}, {}
    times = 1 if lab.quick else 5
    for beta in betas:
        seconds["dense", beta], said = lab.best_seconds(times, queries, beta, "dense")
        Z[beta] = exact(memories, queries, beta)
        found["dense", M, beta] = np.abs(said.z - Z[beta]).max(1).mean(), said.rows("error_bound").mean()
    for beta in betas:
        seconds["linear", beta], said = lab.best_seconds(times, queries, beta, "linear")
        found["linear", d, beta] = np.abs(said.z - Z[beta]).max(1).mean(), math.nan
        for count in features:
            apart, told = [], []
            for seed in SEEDS:
                model = {"features": count, "seed": seed}
                seconds[count, beta], said = lab.best_seconds(times, queries, beta, "random_features", model=model)
                apart.append(np.abs(said.z - Z[beta]).max(1).mean())
                told.append(said.rows("standard_error").mean())
            found["random_features", count, beta] = float(np.mean(apart)), float(np.mean(told))
    for degree in degrees:
        lab.load(memories, max_degree=degree)
        lab.ready()
        for beta in betas:
            seconds["degree %d" % degree, beta], said = lab.best_seconds(
                times, queries, beta, "almost_linear", max_error=0)
            apart = np.abs(said.z - Z[beta]).max(1)
            assert (apart <= said.rows("error_bound") + NOISE).all()
            found["polynomial", degree, beta] = apart.mean(), said.rows("error_bound").mean()
    section = Section(
        "kernels", "Kernels: linear, polynomial, random features",
        "P2's open question 2: which kernel (linear, polynomial, random features) is the best in accuracy and in"
        " time?",
        ["%s digits in [0, 1], `similarity` dot; %d queries, bottom half zeroed. `linear`: elu + 1. Polynomial: mode"
         " `almost_linear`, maps up to degree g," % ("{:,}".format(M), L),
         "max_error 0 and on_unmet best_effort, so that every row gets the best degree there is. `random_features`:"
         " positive orthogonal features.",
         "Deviation: max over pixels of |Z_mode - Z|, Z dense retrieval in f64, mean over queries. Time: compute time"
         " of the batch over %d, best of %d requests." % (L, times)],
        "`default_rng(0)` orders the memories, `default_rng(1)` chooses the queries; `random_features` has seeds 1, 2,"
        " 3 (means).", command)
    shown = betas if len(betas) <= 4 else [betas[1], betas[3], betas[5]]
    middle = shown[len(shown) // 2]
    rows = [["`dense`", M] + [found["dense", M, beta][0] for beta in shown] +
            ["bound %.2g" % found["dense", M, middle][1], 1e6 * seconds["dense", middle] / L],
            ["`linear`", d] + [found["linear", d, beta][0] for beta in shown] +
            [None, 1e6 * seconds["linear", middle] / L]]
    rows += [["polynomial, g = %d" % g, math.comb(d + g, g)] + [found["polynomial", g, beta][0] for beta in shown] +
             ["bound %.2g" % found["polynomial", g, middle][1], 1e6 * seconds["degree %d" % g, middle] / L]
             for g in degrees]
    rows += [["`random_features`", count] + [found["random_features", count, beta][0] for beta in shown] +
             ["std. error %.2g" % found["random_features", count, middle][1], 1e6 * seconds[count, middle] / L]
             for count in features]
    section.table(
        "Deviation from dense. What the mode itself says about its error, and the time, at beta = %g." % middle,
        ["kernel", "features"] + ["beta = %g" % beta for beta in shown] + ["the mode says", "us a query"], rows)
    if folder:
        draw(shown, betas, features, degrees, d, found, "%s/kernels.png" % folder)
        section.plots.append(("kernels", "Deviation from dense against the number of features, and against beta"))
    section.seen = seen(betas, features, degrees, found, seconds, middle, M, d)
    return section


def draw(shown, betas, features, degrees, d, found, path):
    import plots
    figure, axes = plots.panels(["against the number of features", "against beta"], ["features (polynomial: C(d+g, g))",
                                                                                    "beta"],
                                ["max |Z_mode - Z|, mean over queries"] * 2)
    colours = ["#7fb3e6", "#1f5fa8", "#0d2f57"]
    for beta, colour in zip(shown, colours):
        plots.curve(axes[0], features, [found["random_features", count, beta][0] for count in features],
                    {"color": colour, "marker": "+", "label": "random features, beta = %g" % beta})
        plots.curve(axes[0], [math.comb(d + g, g) for g in degrees],
                    [found["polynomial", g, beta][0] for g in degrees],
                    {"color": colour, "marker": "s", "linestyle": "--", "label": "polynomial, beta = %g" % beta})
        plots.curve(axes[0], [d], [found["linear", d, beta][0]],
                    {"color": colour, "marker": "x", "linestyle": "", "label": "linear, beta = %g" % beta})
    axes[0].set_xscale("log")
    axes[0].set_yscale("log")
    axes[0].set_ylim(bottom=1e-9)
    axes[0].legend(frameon=False, fontsize=7)
    for count, style in ((features[0], ":"), (features[-1], "-")):
        plots.curve(axes[1], betas, [found["random_features", count, beta][0] for beta in betas],
                    dict(RANDOM_FEATURES.line, linestyle=style, label="random features, m = %d" % count))
    for g, style in zip(degrees, (":", "--", "-")):
        plots.curve(axes[1], betas, [found["polynomial", g, beta][0] for beta in betas],
                    {"color": "#1f5fa8", "marker": "s", "linestyle": style, "label": "polynomial, g = %d" % g})
    plots.curve(axes[1], betas, [found["linear", d, beta][0] for beta in betas], LINEAR.line)
    axes[1].set_xscale("log")
    axes[1].set_yscale("log")
    axes[1].legend(frameon=False, fontsize=8)
    plots.finish(figure, path)


def seen(betas, features, degrees, found, seconds, middle, M, d):
    few, many, g = features[0], features[-1], degrees[-1]
    small = betas[0]
    polynomial = {beta: found["polynomial", g, beta][0] for beta in betas}
    random = {beta: found["random_features", many, beta][0] for beta in betas}
    better = [beta for beta in betas if polynomial[beta] < min(USE, random[beta])]
    useless = [beta for beta in betas
               if min(found[key][0] for key in found if key[2] == beta and key[0] != "dense") > USE]
    slope = math.log(found["random_features", few, small][0] / random[small]) / math.log(many / few)
    time = seconds["dense", middle]
    quick = ["%s (%.3g)" % (name, found[key][0]) for name, key, took in [
        ("linear", ("linear", d, middle), seconds["linear", middle])] + [
        ("polynomial, g = %d" % g, ("polynomial", g, middle), seconds["degree %d" % g, middle]) for g in degrees] + [
        ("%s random features" % "{:,}".format(count), ("random_features", count, middle), seconds[count, middle])
        for count in features] if took < time]
    return [
        "Answer to question 2: no kernel is the best everywhere. In accuracy it is the polynomial of the highest degree"
        " while beta is small, and none of them where softmax is sharp; in time a few features. At beta = %g faster"
        " than dense are, with their deviation: %s." % (middle, "; ".join(quick) or "none"),
        "Where the exponents are small (beta = %g) the polynomial is the best kernel by far: %.2g at degree %d against"
        " %.2g for %s random features, and it is the only one with a proven bound. It is the better of these two at"
        " beta = %s; at beta = %s no feature map is within %g." % (
            small, polynomial[small], g, random[small],
            "{:,}".format(many), ", ".join("%g" % beta for beta in better) or "none",
                         ", ".join("%g" % beta for beta in useless) or "no value", USE),
        "Random features gain as m^-%.2f at beta = %g (m^-1/2 is what independent features give), and lose quickly with"
        " beta, since the relative variance of a weight grows like exp(beta |x + xi|^2): %.2g at beta = %g, %.2g at"
        " beta = %g with m = %s." % (
            slope, small, found["random_features", many, small][0], small, found["random_features", many, betas[-1]][0],
            betas[-1], "{:,}".format(many)),
        "`linear` is another model than dense, not an approximation of it: its answer does not depend on beta (%.2g"
        " from dense at beta = %g, %.2g at beta = %g)." % (
            found["linear", d, small][0], small, found["linear", d, betas[-1]][0], betas[-1]),
        "At this size (M = %s) a kernel of more features than that is slower than dense. The gain is for larger M,"
        " where the cost of a query stays as it is for all three." % "{:,}".format(M)]
