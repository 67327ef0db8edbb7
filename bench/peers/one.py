#!/usr/bin/env python3
"""One peer on one pair of arrays, alone in its process: prints one JSON object.

    one.py PEER MEMORIES.npy QUERIES.npy BETA --seconds S [--out Z.npy]

Each peer is a function that takes the arrays and returns a function to be timed and what is to be said about it. The
libraries' threads and instruction sets are set by the environment that peers.py makes, before anything is imported.
What is timed is the best that the library's own documentation offers for the job; arrays are converted outside.
"""
import argparse
import json
import re
import time


def softmax_rows(np, scores):
    """In place: no second array of L x M."""
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    return scores.sum(axis=1, keepdims=True)


def numpy_whole(memories, queries, beta):
    """All scores at once, L x M."""
    import numpy as np

    def run():
        weights = (queries * np.float32(beta)) @ memories.T
        total = softmax_rows(np, weights)
        return weights @ memories / total
    return run, {"version": np.__version__}


def numpy_blocks(memories, queries, beta):
    """A block of memories at a time, with a running maximum; the best of three block sizes."""
    import numpy as np

    def with_block(block):
        def run():
            scaled = queries * np.float32(beta)
            top = np.full((len(queries), 1), -np.inf, np.float32)
            N, D = np.zeros_like(queries), np.zeros((len(queries), 1), np.float32)
            for first in range(0, len(memories), block):
                rows = memories[first:first + block]
                scores = scaled @ rows.T
                higher = np.maximum(top, scores.max(axis=1, keepdims=True))
                scores -= higher
                np.exp(scores, out=scores)
                old = np.exp(top - higher)
                N *= old
                N += scores @ rows
                D *= old
                D += scores.sum(axis=1, keepdims=True)
                top = higher
            return N / D
        return run

    runs = {block: with_block(block) for block in (1024, 4096, 16384)}
    best = min(runs, key=lambda block: min(timed(runs[block]) for _ in range(2)))
    return runs[best], {"version": np.__version__, "note": "blocks of %d" % best}


def torch_setup():
    import os
    import torch
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_grad_enabled(False)
    mkl = re.search(r"Math Kernel Library Version (\S+)", torch.__config__.show())
    return torch, {"version": torch.__version__, "note": torch.backends.cpu.get_cpu_capability(),
                   "blas": ["MKL " + mkl.group(1)] if mkl else threadpools()}


def torch_matmul(memories, queries, beta):
    torch, about = torch_setup()
    xi, x = torch.from_numpy(memories), torch.from_numpy(queries)

    def run():
        return (torch.softmax((x * beta) @ xi.T, dim=-1) @ xi).numpy()
    return run, about


def torch_sdpa(memories, queries, beta):
    torch, about = torch_setup()
    xi, x = torch.from_numpy(memories)[None, None], torch.from_numpy(queries)[None, None]

    def run():
        return torch.nn.functional.scaled_dot_product_attention(x, xi, xi, scale=beta)[0, 0].numpy()
    return run, about


KEOPS_QUERIES = 32  # a query takes as long in a larger batch


def keops(memories, queries, beta):
    import numpy as np
    import pykeops
    from pykeops.numpy import LazyTensor
    pykeops.set_verbose(False)
    few = queries[:KEOPS_QUERIES]
    x, xi = LazyTensor(few[:, None, :] * np.float32(beta)), LazyTensor(memories[None, :, :])

    def run():
        return (x | xi).sumsoftmaxweight(xi, axis=1, backend="CPU")
    return run, {"version": pykeops.__version__, "queries": len(few),
                 "note": "compiled here, -O3 -march=native; %d queries" % len(few)}


KDE_QUERIES, KDE_RTOL = 4, 1e-3


def sklearn_tree(memories, queries, beta):
    """log sum_mu exp(beta <xi, x>) alone: a Gaussian kernel of bandwidth beta^-1/2 with weights exp(beta |xi|^2/2)."""
    import numpy as np
    import sklearn
    from sklearn.neighbors import KernelDensity
    squares = (memories.astype(np.float64) ** 2).sum(axis=1) * beta / 2
    weights = np.exp(squares - squares.max())
    d = memories.shape[1]
    tree = KernelDensity(bandwidth=beta ** -0.5, kernel="gaussian", algorithm="kd_tree", rtol=KDE_RTOL, atol=0)
    tree.fit(memories, sample_weight=weights)
    x = queries[:KDE_QUERIES].astype(np.float64)
    # score_samples divides by the weights' sum and by the kernel's norm.
    undo = squares.max() + np.log(weights.sum()) + d / 2 * np.log(2 * np.pi / beta) + (x ** 2).sum(axis=1) * beta / 2

    def run():
        return (tree.score_samples(x) + undo)[:, None]
    about = {"version": sklearn.__version__, "queries": len(x), "normaliser_only": True,
             "note": "kd_tree, f64, one thread, rtol %g, %d queries" % (KDE_RTOL, len(x))}
    return run, about


PEERS = {"numpy": numpy_whole, "numpy-blocks": numpy_blocks, "torch-matmul": torch_matmul, "torch-sdpa": torch_sdpa,
         "keops": keops, "sklearn-kde": sklearn_tree}


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def threadpools():
    """What the loaded BLAS libraries say about themselves."""
    import threadpoolctl
    pools = threadpoolctl.threadpool_info()
    said = ["%s %s %s" % (pool["internal_api"], pool.get("version"), pool.get("architecture", ""))
            for pool in pools if pool["user_api"] == "blas"]
    return sorted({" ".join(words.split()) for words in said})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("memories")
    parser.add_argument("queries")
    parser.add_argument("beta", type=float)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--out")
    options = parser.parse_args()
    import numpy as np
    memories, queries = np.load(options.memories), np.load(options.queries)
    run, about = PEERS[options.peer](memories, queries, options.beta)
    answer = run()  # warms up, and compiles where there is a compiler
    times = []
    while not times or sum(times) < options.seconds or (len(times) < 3 and sum(times) < 5):
        times.append(timed(run))
    if options.out:
        np.save(options.out, np.asarray(answer))
    print(json.dumps({"peer": options.peer, "seconds": min(times), "runs": len(times),
                      "queries": len(queries), "blas": threadpools(), **about}))


if __name__ == "__main__":
    main()
