"""The data sets: the digits that are shipped, MNIST and a CSV series by path. Nothing else is read."""
import csv
import os

import numpy as np

from lab import ROOT

DIGITS = os.path.join(ROOT, "examples", "digits")


class Images:
    """N images of side x side in [0, 1], one a row, and the digit each shows."""

    def __init__(self, name, pixels, labels, ink):
        self.name = name
        self.pixels = (pixels / np.float32(ink)).astype(np.float32)
        self.labels = labels
        self.side = int(round(pixels.shape[1] ** 0.5))

    def draw(self, rng, count):
        """Different images, in random order."""
        return self.pixels[rng.permutation(len(self.pixels))[:count]]


def digits():
    return Images("digits", np.load(os.path.join(DIGITS, "digits-u8.npy")),
                  np.load(os.path.join(DIGITS, "labels-u8.npy")), 16)


def mnist(folder):
    """A folder with mnist*-u8.npy (N x 784, uint8) and mnist*-labels-u8.npy."""
    names = sorted(name for name in os.listdir(folder) if name.startswith("mnist") and name.endswith("-u8.npy"))
    labels = [name for name in names if name.endswith("-labels-u8.npy")]
    pixels = [name for name in names if name not in labels]
    if not pixels or not labels:
        raise SystemExit("experiments.py: %s has no mnist*-u8.npy with mnist*-labels-u8.npy" % folder)
    return Images("MNIST", np.load(os.path.join(folder, pixels[0])), np.load(os.path.join(folder, labels[0])), 255)


def series(path):
    """Names of the columns and their values, T x channels; the first column, a date, is left out."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return rows[0][1:], np.array([[float(value) for value in row[1:]] for row in rows[1:]])


def mask_bottom(images, side, fraction):
    """The bottom rows of pixels zeroed; the others as they were."""
    masked = images.copy()
    masked[:, (side - int(round(fraction * side))) * side:] = 0
    return masked


def mask_pixels(images, rng, fraction):
    """Pixels zeroed at random, every image its own; the others as they were."""
    return images * (rng.random(images.shape) >= fraction)


def add_noise(images, rng, sigma):
    """|x + N(0, sigma^2)|, cut at 1."""
    return np.clip(np.abs(images + rng.normal(0, sigma, images.shape)), 0, 1)
