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

Seeds are fixed. Where no time is involved, the tables come out the same on a machine with the same kernels.
Sections on MNIST and ETTh1 were made with a path argument: that data is not in this project. `beta` is the inverse
temperature, `M` the number of memories, `d` their dimension; a *support* is the effective number of memories,
`1/sum p^2`. Parameters that are not named have the daemon's defaults: `top_k` keeps 32 memories, `random_mask` a
tenth, `window` reaches `ceil(sqrt M)` to each side, `random_features` has `max(2d, ceil(d ln d))` features, `entmax`
has alpha = 1.5."""


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
