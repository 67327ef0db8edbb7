"""The look of the figures: axes in a row or a grid, one legend for all of them, PNG without the maker's name."""
import os
import sys

from lab import ROOT

sys.path.append(os.path.join(ROOT, "bench", "report"))
from figures import dress, plt  # noqa: E402  (found by the line above; chooses the backend)


def panels(titles, x_labels, y_labels, columns=2, width=5.2, height=3.9):
    """One figure and its axes, left to right, top to bottom."""
    rows = -(-len(titles) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    axes = list(grid.flat)[:len(titles)]
    for unused in list(grid.flat)[len(titles):]:
        unused.set_visible(False)
    for one, title, x, y in zip(axes, titles, x_labels, y_labels):
        dress(one, title, x, y)
    return figure, axes


def curve(axes, x, y, line, **more):
    axes.plot(x, y, **{"markersize": 5, "linewidth": 1.5, **line, **more})


def finish(figure, path, legend_from=None, columns=5):
    """legend_from: axes whose labels make one legend under the figure."""
    handles, labels = legend_from.get_legend_handles_labels() if legend_from else ([], [])
    lines = -(-len(labels) // columns)
    room = 0.3 * lines / figure.get_figheight()
    figure.tight_layout(rect=(0, room, 1, 1))
    if labels:
        figure.legend(handles, labels, loc="lower center", ncol=columns, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
