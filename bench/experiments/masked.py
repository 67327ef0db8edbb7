"""Damaged images: how far the retrieved image is from the stored one, for every mode."""
import numpy as np

import data
from modes import ALMOST_LINEAR, DENSE, EVERY, RANDOM_FEATURES, Mode
from page import Section, percent

SHUFFLED = Mode("window, shuffled", "window", "#8fc79b", "d", "--")
MODES = EVERY + [SHUFFLED]
FEWER = Mode("random_features", "random_features", "#7b4fa3", "+", "-.", seed=1, features=512)  # 5,225 by default
LARGEST, MEAN = "the largest score", "the mean image"
QUERIES = 200
DOT, CENTRED = "dot", "centered_cosine"


class Study:
    """One data set: the sizes that it is asked with. beta and betas: for each similarity."""

    def __init__(self, name, images, command, sizes, middle, beta, betas, draws):
        self.name, self.images, self.command = name, images, command
        self.sizes, self.middle, self.beta, self.betas, self.draws = sizes, middle, beta, betas, draws
        self.masks = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875] if images.side == 8 else [0.1, 0.3, 0.5, 0.7, 0.9]
        self.noise = [0, 0.05, 0.1, 0.3, 0.5, 0.7, 1, 1.4]
        self.shown = sorted({sizes[len(sizes) // 3], middle, sizes[-1]})
        self.modes = MODES
        self.max_degree = 2 if images.side == 8 else 1

    def smaller(self):
        """A try of everything."""
        self.sizes, self.middle, self.shown, self.draws = [10, 20], 20, [10, 20], 1
        self.masks, self.noise = [0.5], [0.3]
        self.betas = {similarity: betas[-2:] for similarity, betas in self.betas.items()}
        return self


def digits(lab, images, command):
    betas = {DOT: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100], CENTRED: [0.1, 0.3, 1, 3, 10, 30, 100, 300]}
    study = Study("half-masked-digits", images, command, [10, 20, 50, 100, 200, 500, 1000, 1797], 200,
                  {DOT: 10, CENTRED: 100}, betas, 3)
    return study.smaller() if lab.quick else study


def mnist(lab, images, command):
    betas = {DOT: [0.001, 0.01, 0.1, 0.3, 1, 10], CENTRED: [0.1, 1, 10, 30, 100, 300]}
    study = Study("half-masked-mnist", images, command, [10, 20, 50, 100, 200, 500], 100,
                  {DOT: 1, CENTRED: 100}, betas, 3)
    study.modes = [FEWER if mode is RANDOM_FEATURES else mode for mode in MODES]
    return study.smaller() if lab.quick else study


def points(study):
    """(panel, x, M, similarity, damage, beta) of every point; damage(images, rng, mean of the memories) makes the"
    " queries.
    Centred, a masked pixel is set to the mean: it then adds nothing to a score, as a zero does to an inner product."""
    side, middle, beta = study.images.side, study.middle, study.beta[DOT]

    def half(images, rng, mean):
        return data.mask_bottom(images, side, 0.5)

    def half_centred(images, rng, mean):
        return data.mask_bottom(images - mean, side, 0.5) + mean

    for M in study.sizes:
        yield "M", M, M, DOT, half, beta
        yield "M, centred", M, M, CENTRED, half_centred, study.beta[CENTRED]
    for x in study.masks:
        yield "mask", x, middle, DOT, lambda images, rng, mean, x=x: data.mask_bottom(images, side, x), beta
        yield "pixels", x, middle, DOT, lambda images, rng, mean, x=x: data.mask_pixels(images, rng, x), beta
    for x in study.noise:
        yield "noise", x, middle, DOT, lambda images, rng, mean, x=x: data.add_noise(images, rng, x), beta
    for x in study.betas[DOT]:
        yield "beta", x, middle, DOT, half, x
    for x in study.betas[CENTRED]:
        yield "beta, centred", x, middle, CENTRED, half_centred, x


def evenly(M):
    """Up to QUERIES memories at the places where `window` looks for them."""
    L = min(M, QUERIES)
    return (np.arange(L) * (M - 1) + (L - 1) // 2) // max(1, L - 1)


def judge(z, memories, asked):
    """Mean over queries of the squared distance to the image asked for, and how often it is the nearest one."""
    z = np.clip(z.astype(float), 0, 1)
    squares = (z ** 2).sum(1)[:, None] - 2 * z @ memories.T + (memories ** 2).sum(1)[None]
    return squares[np.arange(len(z)), asked].mean(), (squares.argmin(1) == asked).mean()


def best_scores(queries, memories, similarity):
    """The memory of the largest score of each query: what every mode tends to for large beta."""
    keys = memories
    if similarity == CENTRED:
        queries, keys = queries - memories.mean(0), memories - memories.mean(0)
        keys = keys / np.linalg.norm(keys, axis=1, keepdims=True)
    return memories[(queries @ keys.T).argmax(1)]


class Found:
    """Of every (panel, x, label): draws of (error, own image nearest)."""

    def __init__(self):
        self.judged, self.promised = {}, {}
        self.apart = 0.0  # largest difference of auto from dense over the sum of their bounds

    def add(self, panel, x, label, judged):
        self.judged.setdefault((panel, x, label), []).append(judged)

    def error(self, panel, x, label):
        return float(np.mean([error for error, _ in self.judged[panel, x, label]]))

    def own(self, panel, x, label):
        return float(np.mean([own for _, own in self.judged[panel, x, label]]))

    def best(self, panel, xs, label):
        """(error, x) where the mode's error is smallest."""
        return min((self.error(panel, x, label), x) for x in xs)


def measure(lab, study):
    found = Found()
    for draw in range(study.draws):
        for M, similarity in sorted({point[2:4] for point in points(study)}):
            memories = study.images.draw(np.random.default_rng(draw), M).astype(float)
            limit = lab.load(memories, similarity=similarity, max_degree=study.max_degree)["max_error"]
            lab.ready()
            for panel, x, size, alike, damage, beta in points(study):
                if (size, alike) == (M, similarity):
                    rng = np.random.default_rng([draw, M, 7])
                    queries = damage(memories[evenly(M)], rng, memories.mean(0))
                    ask(lab, study, found, (panel, x), memories, similarity, queries, beta, limit, rng)
    return found


def ask(lab, study, found, where, memories, similarity, queries, beta, limit, rng):
    """Every mode on one point."""
    asked, order = evenly(len(memories)), rng.permutation(len(queries))
    for mode in study.modes:
        turn = order if mode is SHUFFLED else slice(None)
        said = lab.ask(queries[turn], beta, mode.mode, mode.model)
        found.add(*where, mode.label, judge(said.z, memories, asked[turn]))
        if mode is DENSE:
            dense = said
        if mode is ALMOST_LINEAR:
            found.promised.setdefault(where, []).append((said.rows("error_bound") <= limit).mean())
    auto = lab.ask(queries, beta, "auto")
    room = auto.rows("error_bound") + dense.rows("error_bound")
    found.apart = max(found.apart, (np.abs(auto.z.astype(float) - dense.z).max(1) / room).max())
    found.add(*where, LARGEST, judge(best_scores(queries, memories, similarity), memories, asked))
    found.add(*where, MEAN, judge(np.repeat(memories.mean(0)[None], len(queries), 0), memories, asked))


def draw(study, found, path):
    import plots
    M, beta, centred = study.middle, study.beta[DOT], study.beta[CENTRED]
    floor = min(max(found.best(panel, xs, "dense")[0], 1e-3) for panel, xs in (
        ("M, centred", study.sizes), ("beta, centred", study.betas[CENTRED]))) / 4
    shown = [("M", study.sizes, "dot, beta = %g" % beta, "memories M, log"),
             ("beta", study.betas[DOT], "dot, M = %d" % M, "beta, log"),
             ("mask", study.masks, "dot, M = %d, beta = %g" % (M, beta), "fraction of the rows zeroed, from below"),
             ("M, centred", study.sizes, "centered_cosine, beta = %g" % centred, "memories M, log"),
             ("beta, centred", study.betas[CENTRED], "centered_cosine, M = %d" % M, "beta, log"),
             ("noise", study.noise, "dot, M = %d, beta = %g" % (M, beta), "sigma of the noise")]
    figure, axes = plots.panels([title for _, _, title, _ in shown], [label for _, _, _, label in shown],
                                ["squared distance", "squared distance", "squared distance",
                                 "squared distance, log", "squared distance, log", "squared distance"],
                                columns=3, width=4.4, height=3.7)
    for one, (panel, xs, _, label) in zip(axes, shown):
        for mode in MODES:
            plots.curve(one, xs, [found.error(panel, x, mode.label) for x in xs],
                        dict(mode.line, markersize=9, markerfacecolor="none") if mode is DENSE else mode.line)
        if "centred" in panel:
            one.set_yscale("log")
            one.set_ylim(bottom=floor)
        else:
            one.set_ylim(bottom=0)
        if label.endswith("log"):
            one.set_xscale("log")
    plots.curve(axes[2], study.masks, [found.error("pixels", x, "dense") for x in study.masks],
                {"color": "#111111", "marker": ".", "linestyle": ":", "label": "dense, random pixels zeroed"})
    plots.finish(figure, path, axes[2], 6)


def table(section, study, found, similarity):
    panel = "" if similarity == DOT else ", centred"
    rows = []
    for label in [mode.label for mode in MODES] + [LARGEST, MEAN]:
        error, beta = found.best("beta" + panel, study.betas[similarity], label)
        rows.append(["`%s`" % label if label in [mode.mode for mode in MODES] else label] +
                    [found.error("M" + panel, M, label) for M in study.shown] +
                    [percent(found.own("M" + panel, M, label)) for M in study.shown] +
                    ([error, "%g" % beta] if label not in (LARGEST, MEAN) else [None, None]))
    section.table(
        "`similarity` %s, bottom half masked, beta = %g. Last columns: M = %d at the mode's best beta of the sweep."
        % (similarity, study.beta[similarity], study.middle),
        ["mode"] + ["error, M = %s" % "{:,}".format(M) for M in study.shown] +
        ["own, M = %s" % "{:,}".format(M) for M in study.shown] + ["best error", "at beta"], rows)


def run(lab, study, folder):
    found = measure(lab, study)
    section = Section(
        study.name, "Half-masked %s" % study.images.name,
        "How close does one retrieval bring a damaged image to the stored one, and what spoils it: more memories, a"
        " larger mask, noise, the wrong beta?",
        ["M images in [0, 1] are stored; a query is a stored image with its bottom rows zeroed (centred: set to the"
         " mean image), survivors not scaled,",
         "or with pixels zeroed at random, or |x + N(0, sigma^2)| cut at 1; up to %d queries, evenly spaced over the"
         " memories and in their order (*shuffled*: in random order). One step. `almost_linear` has degrees up to %d"
         " and answers the best it can." % (QUERIES, study.max_degree),
         "Error: the squared distance between answer, cut to [0, 1], and stored image, summed over pixels, mean over"
         " queries. *Own*: the stored image is the nearest of all to the answer. *The largest score*: the answer is the"
         " memory of the largest score, which all weights by score tend to for large beta; *the mean image*: it is the"
         " mean of the memories, where they start from for small beta."
         " Where the figure is logarithmic, curves that leave it below are smaller than its last tick."],
        "%d draws of memories, the first M of the order that `default_rng(draw)` gives, draw = 0 ... %d; queries' noise"
        " from `default_rng([draw, M, 7])`. `random_mask` and `random_features` have seed 1%s." % (
            study.draws, study.draws - 1, "" if study.modes is MODES else ", the latter 512 features"), study.command)
    for similarity in (DOT, CENTRED):
        table(section, study, found, similarity)
    if folder:
        draw(study, found, "%s/%s.png" % (folder, study.name))
        section.plots.append((study.name, "Retrieval error against memories, beta, mask and noise"))
    section.seen = seen(study, found)
    return section


def ranking(study, found, panel, similarity):
    """Modes by their error at their own best beta; window, which is told where to look, apart."""
    at_best = sorted((found.best(panel, study.betas[similarity], mode.label), mode.label)
                     for mode in MODES if mode.mode != "window")
    return ", ".join("`%s` %.3g (beta %g)" % (label, error, beta) for (error, beta), label in at_best)


def more_memories(study, found):
    """Whether dense gets worse with every memory, or only in the end."""
    texts = []
    for panel, similarity in (("M", DOT), ("M, centred", CENTRED)):
        errors = [found.error(panel, M, "dense") for M in study.sizes]
        worst = int(np.argmax(errors))
        turns = "" if worst == len(errors) - 1 else ", by way of %.3g at M = %d" % (errors[worst], study.sizes[worst])
        texts.append("from %.3g at M = %d to %.3g at M = %s%s (%s, beta = %g)" % (
            errors[0], study.sizes[0], errors[-1], "{:,}".format(study.sizes[-1]), turns,
            "dot" if similarity == DOT else "centred", study.beta[similarity]))
    return "More memories: `dense` goes %s; own image nearest goes from %s to %s and from %s to %s." % (
        " and ".join(texts), *(percent(found.own(panel, M, "dense")) for panel in ("M", "M, centred")
                               for M in (study.sizes[0], study.sizes[-1])))


def smaller_beta(study, found):
    """What the sweep says of sparsemax and entmax, where their best beta is not at its end."""
    (dense, at), sparse = found.best("beta", study.betas[DOT], "dense"), [
        found.best("beta", study.betas[DOT], label) for label in ("sparsemax", "entmax")]
    if all(beta <= at and error < 1.1 * dense for error, beta in sparse):
        return " With dot the sparse models want a smaller beta than `dense` and are then about as good."
    return ""


def seen(study, found):
    M, middle = study.middle, len(study.noise) // 2
    dot = found.best("beta", study.betas[DOT], "dense")
    centred = found.best("beta, centred", study.betas[CENTRED], "dense")
    met = [beta for beta in study.betas[DOT] if np.mean(found.promised["beta", beta]) > 0.99]
    unmet = [beta for beta in study.betas[DOT] if np.mean(found.promised["beta", beta]) < 0.5]
    lines = [
        "What is compared decides more than the mode. The papers' plain inner product prefers bright images, whatever"
        " they show; with the stored mean subtracted and lengths made equal, `dense` at its best beta goes from error"
        " %.3g to %.3g at M = %d, own image nearest from %s to %s." % (
            dot[0], centred[0], M, percent(found.own("beta", dot[1], "dense")),
            percent(found.own("beta, centred", centred[1], "dense"))),
        more_memories(study, found),
        "A larger mask is worse: `dense` goes from %.3g with %.3g of the rows zeroed to %.3g with %.3g (dot, M = %d)."
        " What is missing matters as much as how much: with as many pixels zeroed at random it goes from %.3g to %.3g."
        % (found.error("mask", study.masks[0], "dense"), study.masks[0], found.error("mask", study.masks[-1], "dense"),
           study.masks[-1], M, found.error("pixels", study.masks[0], "dense"),
           found.error("pixels", study.masks[-1], "dense")),
        "Each mode at its own best beta, M = %d, dot: %s. Centred: %s.%s" % (
            M, ranking(study, found, "beta", DOT), ranking(study, found, "beta, centred", CENTRED),
            smaller_beta(study, found)),
        "`window` is not comparable: queries come in the order of the memories here, so that its place in the batch"
        " tells it where the answer is (%.3g at M = %d, dot). The same queries shuffled: %.3g. It is a model for"
        " aligned sequences." % (found.error("M", M, "window"), M, found.error("M", M, "window, shuffled")),
        "`random_mask` keeps a tenth and loses the others: own image nearest in %s at M = %d, centred. `linear` is the"
        " mean image within %.2g %% of its error (%.3g, dot). `random_features` is at best somewhat nearer than the"
        " mean (%.3g dot, %.3g centred), and farther where beta is large (%.3g at beta = %g, dot)." % (
            percent(found.own("M, centred", M, "random_mask")), M,
            100 * abs(1 - found.error("M", M, "linear") / found.error("M", M, MEAN)), found.error("M", M, MEAN),
            found.best("beta", study.betas[DOT], "random_features")[0],
            found.best("beta, centred", study.betas[CENTRED], "random_features")[0],
            found.error("beta", study.betas[DOT][-1], "random_features"), study.betas[DOT][-1]),
        "Noise (dot, M = %d, beta = %g): `dense` has error %s%.3g at sigma = %g and %.3g at sigma = %g;"
        " %s. From sigma = %s on the mean image (%.3g) is nearer than `dense`." % (
            M, study.beta[DOT], "%.3g without, " % found.error("noise", 0, "dense") if 0 in study.noise else "",
            found.error("noise", study.noise[middle], "dense"), study.noise[middle],
            found.error("noise", study.noise[-1], "dense"), study.noise[-1],
            ", ".join("`%s` %.3g" % (mode.label, found.error("noise", study.noise[middle], mode.label))
                      for mode in MODES if mode.mode != "dense") + " at sigma = %g" % study.noise[middle],
            next(("%g" % x for x in study.noise if found.error("noise", x, "dense") > found.error("noise", x, MEAN)),
                 "no value"), found.error("noise", study.noise[-1], MEAN)),
        "`auto` gave exactly what `dense` gave, on every point: at these sizes dense is predicted to be the faster one."
        if found.apart == 0 else
        "`auto` gave what `dense` gave, within the promise: the difference is at most %.2g of the two bounds' sum."
        % found.apart]
    if met and unmet:
        lines.append("`almost_linear` (degree %d at most) keeps the default max_error for all rows at beta = %s, for"
                     " less than half of them at beta = %s (dot). Where memories are told apart no degree has a useful"
                     " bound, and its answer is the mean image: `auto` runs dense there." % (
                         study.max_degree, ", ".join("%g" % beta for beta in met),
                         ", ".join("%g" % beta for beta in unmet)))
    return lines
