"""Forecasting without training: the past windows like this one, and what came after them."""
import numpy as np

from modes import DENSE, STRUCTURED
from page import Section

WINDOW, DAY = 96, 24
HORIZONS = [96, 192, 336, 720]
TRAIN, VALIDATE, TEST = 8640, 11520, 14400  # the ends of 12, 4 and 4 months of hourly rows
DIGITS = 3  # uploaded continuations are rounded to a thousandth of a standard deviation
MODES = [DENSE] + STRUCTURED
NEAREST = "the nearest window"


class Windows:
    """Windows and continuations of one part of the series, less the window's mean, channel by channel."""

    def __init__(self, series, start, end, stride, horizon):
        times = np.arange(start + WINDOW, end - horizon + 1, stride)
        past = np.stack([series[t - WINDOW:t] for t in times])
        self.future = np.stack([series[t:t + horizon] for t in times])
        self.past = past
        self.level = past.mean(1, keepdims=True)
        self.keys = (past - self.level).reshape(len(times), -1)
        self.values = (self.future - self.level).reshape(len(times), -1)


def score(forecast, future, horizon):
    apart = forecast[:, :horizon] - future[:, :horizon]
    return float((apart ** 2).mean()), float(np.abs(apart).mean())


def forecasts(lab, part, beta, mode, channels):
    said = lab.ask(part.keys, beta, mode.mode, mode.model)
    return said.z.astype(float).reshape(len(part.keys), -1, channels) + part.level, said


def nearest(known, part, channels):
    """The continuation of the one known window of the largest cosine."""
    keys = known.keys / np.linalg.norm(known.keys, axis=1, keepdims=True)
    return known.values[(part.keys @ keys.T).argmax(1)].reshape(len(part.keys), -1, channels) + part.level


def baselines(part, horizon):
    return {"persistence": np.repeat(part.past[:, -1:], horizon, 1),
            "seasonal persistence": np.tile(part.past[:, -DAY:], (1, horizon // DAY, 1)),
            "mean day of the window": np.tile(part.past.reshape(len(part.past), -1, DAY, part.past.shape[2]).mean(1),
                                              (1, horizon // DAY, 1))}


def run(lab, title, names, series, command, folder):
    horizons = HORIZONS[:1] if lab.quick else HORIZONS
    horizon, stride, every = horizons[-1], 48 if lab.quick else 6, 240 if lab.quick else 24
    betas = [10] if lab.quick else [1, 3, 10, 30, 100]
    if len(series) < TEST:
        raise SystemExit("experiments.py: a series of %s rows; %s are needed" % (len(series), TEST))
    scaled = (series - series[:TRAIN].mean(0)) / series[:TRAIN].std(0)
    known = Windows(scaled, 0, TRAIN, stride, horizon)
    validation = Windows(scaled, TRAIN - WINDOW, VALIDATE, every, horizon)
    test = Windows(scaled, VALIDATE - WINDOW, TEST, every, horizon)
    M, channels = len(known.keys), series.shape[1]
    lab.load(known.keys, np.round(known.values, DIGITS), similarity="cosine", max_degree=0)
    found, chosen, example, bound = {}, {}, None, 0
    for mode in MODES:
        tries = [(score(forecasts(lab, validation, beta, mode, channels)[0], validation.future, horizons[0])[0], beta)
                 for beta in (betas if mode.mode != "linear" else betas[:1])]
        chosen[mode.label] = min(tries)[1]
        made, said = forecasts(lab, test, chosen[mode.label], mode, channels)
        for h in horizons:
            found[mode.label, h] = score(made, test.future, h)
        if mode is DENSE:
            example, bound = made, said.rows("error_bound").max()
            support = np.median(lab.ask(test.keys, chosen["dense"], "dense", returns=["support"]).rows("support"))
    others = baselines(test, horizon)
    single = nearest(known, test, channels)
    for name, made in [(NEAREST, single), *others.items()]:
        for h in horizons:
            found[name, h] = score(made, test.future, h)
    section = Section(
        "forecast", "Forecasting %s by retrieving continuations" % title,
        "Is soft retrieval of what followed similar windows a forecast, without any training?",
        ["Keys: all %d channels of %d hours, less the window's mean; values: the %d hours after it, less the same mean"
         " (hetero-association, `similarity` cosine)." % (channels, WINDOW, horizon),
         "Standardised by the first 12 months, which also give the %s memories (every %d h); beta is chosen on the next"
         " 4 months at horizon %d, the" % ("{:,}".format(M), stride, horizons[0]),
         "4 after them are the test (every %d h, %d windows, %d numbers each). Shorter horizons are prefixes of the"
         " longest. *The nearest window*: the continuation of the one memory of the largest cosine. *Persistence*: the"
         " last hour repeated; *seasonal*: the last day; *mean day*: the mean of the window's days."
         % (every, len(test.keys), horizon * channels)],
        "None: nothing is random but `random_mask` and `random_features` (seed 1).", command)
    order = [mode.label for mode in MODES] + [NEAREST] + list(others)
    section.table(
        "Mean squared error / mean absolute error over all channels, in standard deviations.",
        ["forecast", "beta"] + ["%d h" % h for h in horizons],
        [["`%s`" % name if name in chosen else name,
          "%g" % chosen[name] if name in chosen and name != "linear" else "-"] +
         ["%.3f / %.3f" % found[name, h] for h in horizons] for name in order])
    if folder:
        draw(test, example, others, names, horizons, found, "%s/forecast.png" % folder)
        section.plots.append(("forecast", "Error against horizon, and one forecast"))
    h = horizons[0]
    absolute = min(found[name, h][1] for name in others)
    best = min((found[mode.label, h][0], mode.label) for mode in MODES)
    rival = min((found[name, h][0], name) for name in others)
    worse = [mode.label for mode in MODES if found[mode.label, h][0] > rival[0]]
    section.seen = [
        "Squared error of `dense`, of the best simple rule and of persistence: at %d h %.3f against %.3f (%s) and %.3f"
        " (persistence); at %d h %.3f against %.3f and %.3f." % (
            h, found["dense", h][0], rival[0], rival[1], found["persistence", h][0], horizon,
            found["dense", horizon][0], found[rival[1], horizon][0], found["persistence", horizon][0]),
        "It is an average over many continuations: the chosen beta = %g has a median support of %.0f of %s windows, and"
        " the nearest window alone is much worse (%.3f at %d h). Its largest error bound is %.1e, far below what"
        " matters here." % (
            chosen["dense"], support, "{:,}".format(M), found[NEAREST, h][0], h, bound),
        "Best mode at %d h: `%s`, %.3f (`dense` %.3f; %d windows do not tell thousandths apart). %s" % (
            h, best[1], best[0], found["dense", h][0], len(test.keys),
            "No better than the best simple rule: %s." % ", ".join("`%s`" % name for name in worse)
            if worse else "Every mode beats the simple rules."),
        "`window` looks about the memories at the query's place in the request, which means nothing here; `linear` has"
        " no beta to be sharp with.",
        "In mean absolute error the best simple rule is %s: %.3f against %.3f at %d h. These are every %dth hour's"
        " windows of the test months, not to be set beside figures of another protocol." % (
            "closer" if absolute < found["dense", h][1] else "no closer", absolute, found["dense", h][1], h, every)]
    return section


def draw(test, example, others, names, horizons, found, path):
    import plots
    figure, axes = plots.panels(["test months, all channels", "one test window: %s" % names[-1]],
                                ["horizon, hours", "hours from now"],
                                ["mean squared error", "standard deviations"], width=5.6, height=4.2)
    for mode in MODES:
        plots.curve(axes[0], horizons, [found[mode.label, h][0] for h in horizons], mode.line)
    greys = zip(others, ("#444444", "#777777", "#aaaaaa"), (":", "--", "-."))
    for name, colour, style in greys:
        plots.curve(axes[0], horizons, [found[name, h][0] for h in horizons],
                    {"color": colour, "linestyle": style, "marker": "", "label": name})
    axes[0].set_ylim(bottom=0)
    axes[0].set_xticks(horizons)
    axes[0].legend(frameon=False, fontsize=7, ncol=2)
    which, hours = len(example) // 2, 168 if horizons[-1] >= 168 else horizons[-1]
    axes[1].plot(range(-WINDOW, 0), test.past[which, :, -1], color="#111111", label="the query's window")
    axes[1].plot(range(hours), test.future[which, :hours, -1], color="#8c8c8c", label="what followed")
    axes[1].plot(range(hours), example[which, :hours, -1], color="#1f5fa8", label="retrieved continuation (dense)")
    axes[1].legend(frameon=False, fontsize=8)
    plots.finish(figure, path)
