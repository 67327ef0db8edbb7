"""Multiple-instance pooling: does a bag of digits hold one 9? P2's task, with retrieval as the pooling."""
import numpy as np

from modes import DENSE, ENTMAX, LINEAR, RANDOM_FEATURES, RANDOM_MASK, SPARSEMAX, TOP_K, Mode
from page import Section, percent

TARGET = 9
RIDGE = 0.01
TOP = Mode("top_k, k = 3", "top_k", TOP_K.line["color"], "^", k=3)
HALF = Mode("random_mask, keep = 0.5", "random_mask", RANDOM_MASK.line["color"], "v", keep=0.5, seed=1)
MODES = [DENSE, TOP, SPARSEMAX, ENTMAX, RANDOM_FEATURES, HALF, LINEAR]
BASELINES = {"mean": {"color": "#8c8c8c", "marker": "s", "linestyle": "--", "label": "mean of the bag"},
             "max": {"color": "#8c8c8c", "marker": "d", "linestyle": ":", "label": "max of the bag, per pixel"}}


def make_bags(rng, pool, labels, count, size):
    """Every second bag holds one target; the other instances are other digits."""
    targets, others = pool[labels[pool] == TARGET], pool[labels[pool] != TARGET]
    bags = [rng.choice(others, size) for _ in range(count)]
    for bag in bags[1::2]:
        bag[rng.integers(size)] = rng.choice(targets)
    return bags, np.arange(count) % 2


def fit(x, y):
    """Ridge logistic regression on standardised columns, by Newton steps; returns the decision."""
    centre, scale = x.mean(0), x.std(0) + 1e-9
    design = np.c_[(x - centre) / scale, np.ones(len(x))]
    w = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(design @ w, -30, 30)))
        hessian = (design * (p * (1 - p))[:, None]).T @ design / len(y) + RIDGE * np.eye(len(w))
        w -= np.linalg.solve(hessian, design.T @ (p - y) / len(y) + RIDGE * w)
    return lambda z: np.c_[(z - centre) / scale, np.ones(len(z))] @ w > 0


def pooled(lab, images, bags, query, asked):
    """{(label, beta): one row a bag}: each bag is a set of its own, the query is the state pattern."""
    rows = {key: [] for key in [(mode.label, beta) for mode, beta in asked] + [("mean", None), ("max", None)]}
    for bag in bags:
        instances = images.pixels[bag]
        lab.load(instances, max_degree=0)
        for mode, beta in asked:
            rows[mode.label, beta].append(lab.ask(query, beta, mode.mode, mode.model).z[0])
        rows["mean", None].append(instances.mean(0))
        rows["max", None].append(instances.max(0))
    return {key: np.array(value, dtype=float) for key, value in rows.items()}


def run(lab, images, command, folder):
    sizes, seeds, count = ([5], [0], 20) if lab.quick else ([5, 10, 20, 50, 100], [0, 1, 2], 150)
    beta, betas, middle = 3, [3] if lab.quick else [0.3, 1, 3, 10, 30], sizes[len(sizes) // 2]
    accuracy, largest_is = {}, {size: [] for size in sizes}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(images.pixels))
        train, test = order[:len(order) // 2], order[len(order) // 2:]
        is_target = images.labels[train] == TARGET
        query = images.pixels[train][is_target].mean(0) - images.pixels[train][~is_target].mean(0)
        query = (query / np.linalg.norm(query))[None]
        for size in sizes:
            asked = [(mode, b) for mode in MODES for b in (betas if size == middle else [beta])]
            learned, y = make_bags(rng, train, images.labels, count, size)
            judged, truth = make_bags(rng, test, images.labels, count, size)
            largest_is[size] += [images.labels[bag[(images.pixels[bag] @ query[0]).argmax()]] == TARGET
                                 for bag, holds in zip(judged, truth) if holds]
            learned, judged = (pooled(lab, images, bags, query, asked) for bags in (learned, judged))
            for key in learned:
                decide = fit(learned[key], y)
                accuracy.setdefault((size,) + key, []).append((decide(judged[key]) == truth).mean())
    accuracy = {key: (float(np.mean(value)), float(np.std(value))) for key, value in accuracy.items()}
    section = Section(
        "pooling", "Multiple-instance pooling on bags of digits",
        "P2 pools bags of instances by retrieval. Does the pooled vector tell whether one instance of a bag is a %d?"
        % TARGET,
        ["A bag is a set of its own, its instances the memories; half of the bags hold exactly one %d. The query is a"
         " fixed state pattern: mean of the %ds" % (TARGET, TARGET),
         "minus mean of the other training images, of length 1. The answer Z is the pooled bag; a ridge logistic"
         " regression on Z decides. A bag has no order, so `window` is left out; `almost_linear` and `auto` stand for"
         " `dense`.",
         "Images are split in two for training and testing; %d bags each. Nothing but the regression is learned (P2"
         " trains the pooling too). Baselines: mean and maximum of the bag's instances, pixel by pixel." % count],
        "%s: images, bags. `random_mask` and `random_features` have seed 1." % ", ".join(
            "`default_rng(%d)`" % seed for seed in seeds), command)
    labels = [mode.label for mode in MODES]
    rows = [["`%s`" % mode.mode + mode.label[len(mode.mode):]] +
            [text(accuracy[size, mode.label, beta]) for size in sizes] for mode in MODES]
    rows += [[BASELINES[name]["label"]] + [text(accuracy[size, name, None]) for size in sizes] for name in BASELINES]
    section.table(
        "Accuracy on unseen bags at beta = %g, mean and standard deviation over %d seeds; guessing gives 50 %%."
        % (beta, len(seeds)), ["pooling"] + ["bags of %d" % size for size in sizes], rows)
    if folder:
        draw(sizes, betas, beta, middle, accuracy, "%s/pooling.png" % folder)
        section.plots.append(("pooling", "Accuracy of pooling against bag size and beta"))
    ranked = sorted(labels, key=lambda label: -accuracy[middle, label, beta][0])
    at_best = sorted((max((accuracy[middle, label, b][0], b) for b in betas) + (label,) for label in labels
                      if label != LINEAR.label), reverse=True)
    largest = sizes[-1]
    section.seen = [
        "Bags of %d, best first: %s; the bag's mean %s." % (
            middle, ", ".join("`%s` %s" % (label, percent(accuracy[middle, label, beta][0])) for label in ranked),
            percent(accuracy[middle, "mean", None][0])),
        "Each at its best beta of the sweep, bags of %d: %s." % (middle, ", ".join(
            "`%s` %s (beta %g)" % (label, percent(share), at) for share, at, label in at_best)),
        "P2 reports that its sparse-structured models compete with dense. Here that is so for `top_k`, not for"
        " `random_mask`: an untrained pooling cannot make up for an instance that the mask has left out.",
        "What makes pooling work is that one instance among many decides: models that weigh by score (dense, `top_k`,"
        " `sparsemax`, `entmax`) keep it, and the mean drowns it. `linear` is close to the mean (%s against %s in bags"
        " of %d), `random_mask` keeps the instance half of the time." % (
            percent(accuracy[largest, "linear", beta][0]), percent(accuracy[largest, "mean", None][0]), largest),
        "Bags of %d are harder than bags of %d for every model: `dense` falls from %s to %s, `entmax` from %s to %s."
        " The instance of the largest score is the %d in %s of the bags of %d that hold one, in %s of those of %d."
        " Differences of %.0f points are within the seeds' spread." % (
            largest, sizes[0], percent(accuracy[sizes[0], "dense", beta][0]),
            percent(accuracy[largest, "dense", beta][0]),
            percent(accuracy[sizes[0], "entmax", beta][0]), percent(accuracy[largest, "entmax", beta][0]), TARGET,
            percent(np.mean(largest_is[sizes[0]])), sizes[0], percent(np.mean(largest_is[largest])), largest,
            100 * 2 * np.mean([accuracy[size, label, beta][1] for size in sizes for label in labels]))]
    return section


def text(said):
    return "%.0f ± %.0f %%" % (100 * said[0], 100 * said[1])


def draw(sizes, betas, beta, middle, accuracy, path):
    import plots
    figure, axes = plots.panels(["beta = %g" % beta, "bags of %d" % middle], ["instances in a bag", "beta"],
                                ["accuracy on unseen bags"] * 2)
    for mode in MODES:
        plots.curve(axes[0], sizes, [accuracy[size, mode.label, beta][0] for size in sizes], mode.line)
        plots.curve(axes[1], betas, [accuracy[middle, mode.label, b][0] for b in betas], mode.line)
    for name, line in BASELINES.items():
        plots.curve(axes[0], sizes, [accuracy[size, name, None][0] for size in sizes], line)
        axes[1].axhline(accuracy[middle, name, None][0], color=line["color"], linestyle=line["linestyle"])
    for one in axes:
        one.set_xscale("log")
        one.set_ylim(0.4, 1)
    axes[0].set_xticks(sizes, [str(size) for size in sizes])
    axes[0].minorticks_off()
    plots.finish(figure, path, axes[0], 5)
