"""docs/EXPERIMENTS.md: one section an experiment, between marks, so that one experiment rewrites its own alone."""
import os
import re
import textwrap

INTRODUCTION = """# Experiments

What the models of Hu et al. 2024 ([arXiv 2402.04520](https://arxiv.org/abs/2402.04520), P1 here) and of Hu et al. 2024
([arXiv 2404.03900](https://arxiv.org/abs/2404.03900), P2) do on data. Every figure is what a client of the running
daemon gets: sets are uploaded and queries asked over HTTP. One command makes the page again, one more word makes one
section of it (`--help`):

    build/venv/bin/python bench/experiments/experiments.py --build build [--mnist DIR] [--series CSV]

Seeds are fixed. Where no time is involved, the tables come out the same, to rounding.
Sections on MNIST and ETTh1 were made with a path argument: that data is not in this project.

`beta` is the inverse temperature, `M` the number of memories `xi`, `d` their dimension, `L` the number of queries `x`
of a request. An answer is `Z = sum p v`, `p` the weights that the mode gives the memories; the values `v` are the
memories themselves where nothing else is said. A *support* is the effective number of memories, `1/sum p^2`. An *error
bound* is what the daemon proves of the largest coordinate of |answer - Z|. The similarity says what the weights are
made from: `dot`, the papers' inner product `<xi, x>`; `cosine`, that of vectors of length 1; `centered_cosine`, the
same after the memories' mean has been subtracted from both. Parameters that are not named have the defaults of this
table.

| mode | weights | from |
|---|---|---|
| `dense` | softmax of `beta <xi, x>` over all memories, in f32 with a bound | both papers |
| `almost_linear` | the same with a polynomial of degree g for exp, so that sums over the memories can be made \
beforehand; with a bound. \
Where no degree has a better bound than the mean of the memories, \
the answer is that mean | P1, section 3 |
| `auto` | almost_linear where its bound is within `max_error` and it is predicted to be faster, else dense. \
Default `max_error`: 1e-3 of the largest range of a coordinate | |
| `top_k` | softmax over the k = 32 memories of the largest scores; its bound is against `dense` | P2, mask |
| `random_mask` | softmax over a random subset, the same for all queries: about a share keep = 0.1 | P2, mask |
| `window` | softmax over the memories up to `ceil(sqrt M)` places to each side of the query's own place, \
which is its number in the request stretched from L to M | P2, mask |
| `linear` | proportional to `phi(xi)^T phi(x)`, phi = elu + 1 of each coordinate; beta plays no part | P2, kernel |
| `random_features` | the same with phi of `max(2d, ceil(d ln d))` positive random features, \
an estimate of `dense` | P2, kernel |
| `sparsemax`, `entmax` | `[(alpha-1) beta <xi, x> - tau]_+^(1/(alpha-1))`, tau such that they sum to 1; \
alpha = 2 is sparsemax, entmax has 1.5 | sparse models that P2 builds on |"""


def number(value, digits=3):
    """Short, for a table; a dash where there is none."""
    if value is None or value != value:
        return "-"
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (abs(value) >= 1000 and value == int(value)):
        return "{:,}".format(int(value))
    return "%.*g" % (digits, value)


def percent(share):
    return "-" if share != share else "%.0f %%" % (100 * share)


def wrapped(text, indent=""):
    return textwrap.fill(text, 118, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


class Section:
    """What one experiment has to say. Tables: (headings, rows of text or numbers). Plots: (file name, what it"
    " shows)."""

    def __init__(self, name, title, question, protocol, seeds, command):
        self.name, self.title, self.question, self.protocol = name, title, question, protocol
        self.seeds, self.command = seeds, command
        self.tables, self.plots, self.seen = [], [], []

    def table(self, caption, headings, rows):
        self.tables.append((caption, headings, [[number(cell) for cell in row] for row in rows]))

    def text(self):
        lines = ["## " + self.title, ""]
        for word, text in (("Question", self.question), ("Protocol", " ".join(self.protocol)), ("Seeds", self.seeds),
                           ("Command", "`%s`" % self.command)):
            lines += [wrapped("**%s.** %s" % (word, text)), ""]
        for caption, headings, rows in self.tables:
            lines += [wrapped(caption), "", "| " + " | ".join(headings) + " |", "|---|" + "--:|" * (len(headings) - 1)]
            lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
        for file, alt in self.plots:
            lines += ["![%s](experiments/%s.png)" % (alt, file), ""]
        return "\n".join(lines + ["**Seen.**", ""] + [wrapped("- " + sentence, "  ") for sentence in self.seen])


def marked(name, text):
    return "<!-- %s -->\n%s\n<!-- end of %s -->" % (name, text, name)


def earlier(path):
    """The sections of the page as it is, by name."""
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return dict(re.findall(r"<!-- ([a-z-]+) -->\n(.*?)\n<!-- end of \1 -->", file.read(), re.DOTALL))


def write(path, made, names):
    """made: the text of new sections by name; the others of `names` stay as they were, or are left out."""
    texts = dict(earlier(path), **made)
    parts = [INTRODUCTION] + [marked(name, texts[name]) for name in names if name in texts]
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write("\n\n".join(parts) + "\n")
    os.replace(path + ".new", path)
