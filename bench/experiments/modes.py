"""The modes as the experiments ask for them, each with its colour and marker in every figure."""


class Mode:
    def __init__(self, label, mode, colour, marker, style="-", **model):
        self.label = label
        self.mode = mode
        self.model = model
        self.line = {"color": colour, "marker": marker, "linestyle": style, "label": label}


DENSE = Mode("dense", "dense", "#111111", "o")
ALMOST_LINEAR = Mode("almost_linear", "almost_linear", "#8c8c8c", "s", "--")
TOP_K = Mode("top_k", "top_k", "#1f5fa8", "^")
RANDOM_MASK = Mode("random_mask", "random_mask", "#d9730d", "v", seed=1)
WINDOW = Mode("window", "window", "#2b8a3e", "D")
LINEAR = Mode("linear", "linear", "#b3261e", "x", ":")
RANDOM_FEATURES = Mode("random_features", "random_features", "#7b4fa3", "+", "-.", seed=1)
SPARSEMAX = Mode("sparsemax", "sparsemax", "#0b8f8f", "<")
ENTMAX = Mode("entmax", "entmax", "#c2497c", ">", alpha=1.5)
STRUCTURED = [TOP_K, RANDOM_MASK, WINDOW, LINEAR, RANDOM_FEATURES, SPARSEMAX, ENTMAX]
EVERY = [DENSE, ALMOST_LINEAR] + STRUCTURED
