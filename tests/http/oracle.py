"""Retrieval in 50-digit arithmetic: what the daemon's answers are held against.

Holds dense retrieval, weights, log-sum-exp and energy on the stored f32 data, evaluated with decimal at 50
digits, so that its own error (below 1e-40 of the largest value) is nothing beside any bound but 0. Small sets
only: one exponential costs microseconds here, not nanoseconds. How the similarities transform keys and queries
follows docs/MATH.md: keys in f64 then f32, which are then *the* keys; queries exactly.
"""

import decimal
from decimal import Decimal

from harness import f32

CONTEXT = decimal.Context(prec=50, Emin=-999999, Emax=999999)
decimal.setcontext(CONTEXT)
# Threads start from the default context, not from their creator's.
decimal.DefaultContext.prec, decimal.DefaultContext.Emin, decimal.DefaultContext.Emax = 50, -999999, 999999


def exact(values):
    """Decimals of f32 or f64 values, without rounding."""
    return [Decimal(v) for v in values]


def dot(a, b):
    return sum((x * y for x, y in zip(a, b)), Decimal(0))


class Set:
    """A stored set. memories, values: rows of f32 values."""

    def __init__(self, memories, values=None, similarity="dot"):
        self.similarity = similarity
        self.values = [exact(row) for row in (memories if values is None else values)]
        # What 50 digits may lose in a retrieval: all that is ever added to a bound.
        self.own_error = max(abs(v) for row in self.values for v in row) * Decimal("1e-40")
        rows = [exact(row) for row in memories]
        self.centre = None
        if similarity == "centered_cosine":
            self.centre = [sum(column, Decimal(0)) / len(rows) for column in zip(*rows)]
        self.keys = (
            [exact(f32(float(v)) for v in self.transform(row)) for row in rows] if similarity != "dot" else rows
        )

    def transform(self, x):
        """The vector that takes part in the scores."""
        if self.similarity == "dot":
            return list(x)
        if self.centre is not None:
            x = [a - c for a, c in zip(x, self.centre)]
        norm = dot(x, x).sqrt()
        return [a / norm for a in x]

    def scores(self, query, beta):
        x = self.transform(exact(f32(v) for v in query))
        return [Decimal(beta) * dot(key, x) for key in self.keys], x

    def weights(self, query, beta):
        scores, _ = self.scores(query, beta)
        top = max(scores)
        powers = [(s - top).exp(CONTEXT) for s in scores]
        total = sum(powers, Decimal(0))
        return [w / total for w in powers]

    def retrieve(self, query, beta):
        """Z for one query, exactly."""
        weights = self.weights(query, beta)
        return [dot(weights, column) for column in zip(*self.values)]

    def log_sum_exp(self, query, beta):
        scores, x = self.scores(query, beta)
        top = max(scores)
        total = sum(((s - top).exp(CONTEXT) for s in scores), Decimal(0))
        return (top + total.ln(CONTEXT)) / Decimal(beta), x

    def energy(self, query, beta):
        lse, x = self.log_sum_exp(query, beta)
        return dot(x, x) / 2 - lse


def distance(z, target):
    """Largest coordinate difference between f32 values and Decimals."""
    return max(abs(Decimal(a) - b) for a, b in zip(z, target))
