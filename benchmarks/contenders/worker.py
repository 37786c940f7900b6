"""One contender at one work, in a process of its own: says it is ready, then does turns when it is told to.

It reads a line for each turn and answers with a line of JSON: seconds of a step or a prediction, and memory.
`compare.py` starts it; it needs the contender's library and NumPy, and no other.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from benchmarks.common.memory import peak_mebibytes, resident_mebibytes
from benchmarks.contenders import networks
from benchmarks.contenders.keras_contenders import DeterministicKeras, Tfp, TfpBnn
from benchmarks.contenders.torch_contenders import BayesianTorch, Blitz, DeterministicTorch

CONTENDERS = {
    kind.__name__: kind for kind in (TfpBnn, DeterministicKeras, Tfp, DeterministicTorch, BayesianTorch, Blitz)
}


def make_turn(args: argparse.Namespace) -> Callable[[], float]:
    """Returns the function that does one turn of work and returns its seconds: a step's, or a prediction's."""
    kind, _, size = args.network.partition("-")
    sizes = [int(part) for part in size.split("x")] if size else []
    network = networks.mlp(*sizes) if kind == "mlp" else getattr(networks, kind.upper())
    contender = CONTENDERS[args.contender](network, args.estimator, args.mixture, args.xla)
    rng = np.random.default_rng(0)
    num_images = args.images or args.batch * args.units
    x = rng.random((num_images, *network.input_shape), "float32")
    if args.task == "train":
        y = rng.integers(0, 10, len(x))
        return lambda: contender.train(x, y, args.batch)

    def draw() -> float:
        start = time.perf_counter()
        getattr(contender, args.task)(x, args.units)
        return time.perf_counter() - start

    return draw


def main() -> None:
    """Prepares, warms up, and answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("task", choices=["train", "predict", "summarize"])
    parser.add_argument("network", help="lenet5, resnet20, mlp-WIDTHxDEPTH")
    parser.add_argument("--estimator", default="Flipout")
    parser.add_argument("--mixture", action="store_true")
    parser.add_argument("--xla", type=json.loads, default=None)
    parser.add_argument("--units", type=int, default=20, help="steps of an epoch, or draws of a prediction")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, help="how many images; default: what the steps need")
    args = parser.parse_args()

    answers = sys.stdout
    sys.stdout = sys.stderr  # What libraries print is not an answer.

    def answer(**content: Any) -> None:
        print(json.dumps(content), file=answers, flush=True)

    missing = []
    for package in CONTENDERS[args.contender].PACKAGES:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
    if missing:
        answer(missing=missing)
        return
    turn = make_turn(args)
    before = resident_mebibytes()
    start = time.perf_counter()
    turn()
    answer(ready=True, first_turn_seconds=time.perf_counter() - start)
    for _ in sys.stdin:
        seconds = turn()
        answer(seconds=seconds, peak=peak_mebibytes(), growth=peak_mebibytes() - before)


if __name__ == "__main__":
    main()
