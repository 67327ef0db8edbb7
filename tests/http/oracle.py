"""Retrieval in 50-digit arithmetic: what the daemon's answers are held against, and the structured models likewise.

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

    def kept(self, query, beta, ids):
        """Weights of a softmax over some of the memories, 0 for the others."""
        scores, _ = self.scores(query, beta)
        top = max(scores[i] for i in ids)
        powers = {i: (scores[i] - top).exp(CONTEXT) for i in ids}
        total = sum(powers.values(), Decimal(0))
        return [powers[i] / total if i in powers else Decimal(0) for i in range(len(scores))]

    def top_k(self, query, beta, k):
        scores, _ = self.scores(query, beta)
        return self.kept(query, beta, sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:k])

    def random_mask(self, query, beta, keep, seed):
        numbers = [mask_number(seed, i) for i in range(len(self.keys))]
        ids = [i for i, n in enumerate(numbers) if n < keep]
        return self.kept(query, beta, ids or [numbers.index(min(numbers))])

    def window(self, query, beta, width, row, total):
        centre = (2 * row * (len(self.keys) - 1) + max(1, total - 1)) // (2 * max(1, total - 1))
        return self.kept(query, beta, [i for i in range(len(self.keys)) if abs(i - centre) <= width])

    def sparsemax(self, query, beta):
        """The projection of the scores on the simplex (Martins and Astudillo 2016)."""
        scores, _ = self.scores(query, beta)
        total, tau = Decimal(0), None
        for n, z in enumerate(sorted(scores, reverse=True), 1):
            total += z
            if 1 + n * z > total:
                tau = (total - 1) / n
        return [max(z - tau, Decimal(0)) for z in scores]

    def entmax(self, query, beta, alpha):
        """p = [(alpha - 1) z - tau]_+^(1/(alpha - 1)), tau by bisection (Peters, Niculae and Martins 2019)."""
        scores, _ = self.scores(query, beta)
        a = Decimal(alpha) - 1
        z = [a * s for s in scores]
        low, high = max(z) - 1, max(z)

        def weights(tau):
            return [(v - tau) ** (1 / a) if v > tau else Decimal(0) for v in z]

        while high - low > Decimal("1e-30"):
            middle = (low + high) / 2
            low, high = (middle, high) if sum(weights(middle)) >= 1 else (low, middle)
        return weights(low)

    def linear(self, query):
        """phi = elu + 1, coordinate by coordinate, of keys and query as the similarity transforms them."""

        def phi(x):
            return [v + 1 if v > 0 else v.exp(CONTEXT) for v in x]

        x = phi(self.transform(exact(f32(v) for v in query)))
        weights = [dot(phi(key), x) for key in self.keys]
        return [w / sum(weights) for w in weights]

    def mean(self, weights):
        """The values' weighted mean."""
        return [dot(weights, column) for column in zip(*self.values)]

    def log_sum_exp(self, query, beta):
        scores, x = self.scores(query, beta)
        top = max(scores)
        total = sum(((s - top).exp(CONTEXT) for s in scores), Decimal(0))
        return (top + total.ln(CONTEXT)) / Decimal(beta), x

    def energy(self, query, beta):
        lse, x = self.log_sum_exp(query, beta)
        return dot(x, x) / 2 - lse


def _mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & (1 << 64) - 1
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & (1 << 64) - 1
    return z ^ (z >> 31)


def mask_number(seed, i):
    """The number in [0, 1) of memory i: output i of splitmix64 from the state mix(seed), its first 53 bits."""
    return (_mix(_mix(seed) + (i + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 11) * 2.0**-53


def distance(z, target):
    """Largest coordinate difference between f32 values and Decimals."""
    return max(abs(Decimal(a) - b) for a, b in zip(z, target))
