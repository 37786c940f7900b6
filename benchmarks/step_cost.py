"""Measures how many training steps of a plain LeNet5 one with each estimator takes.

Run by hand, on one core as the experiments are: `taskset -c 0 python benchmarks/step_cost.py`, also with
`KERAS_BACKEND=jax`. It writes docs/results/step_cost/BACKEND.json: what it takes to compare networks of equal cost.

Epochs of 20 steps of the networks alternate; a cost is the median over rounds of the ratio to the plain network's epoch
of the same round.
"""

import argparse
import time
from collections.abc import Callable

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.places import RESULTS

BATCH_SIZE, STEPS = 128, 20


def epoch_of(estimator: str | None) -> Callable[[], float]:
    """Returns the function that trains a compiled network for an epoch and returns the seconds; None: a plain one."""
    rng = np.random.default_rng(0)
    x = rng.random((BATCH_SIZE * STEPS, 28, 28, 1)).astype("float32")
    y = rng.integers(10, size=len(x))
    model = bnn.models.lenet5(dense_activation="tanh", estimator=estimator or "flipout")
    callbacks = [bnn.callbacks.KLWeight(len(x))]
    if estimator is None:
        model, callbacks = bnn.to_deterministic(model), []
    model.compile("adam", loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])

    def train() -> float:
        started = time.perf_counter()
        model.fit(x, y, batch_size=BATCH_SIZE, epochs=1, verbose=0, callbacks=callbacks)
        return time.perf_counter() - started

    train()  # Compiles it.
    return train


def main() -> None:
    """Measures, prints and writes the costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    reporting.set_up_logging()
    plain, epochs = epoch_of(None), {estimator: epoch_of(estimator) for estimator in reporting.ESTIMATORS}
    ratios: dict[str, list[float]] = {estimator: [] for estimator in epochs}
    for _ in range(args.rounds):
        seconds = plain()
        for estimator, epoch in epochs.items():
            ratios[estimator].append(epoch() / seconds)
    costs = {
        estimator: {"median": float(np.median(found)), "least": min(found), "greatest": max(found)}
        for estimator, found in ratios.items()
    }
    report = {"costs": costs, **reporting.provenance(args, reporting.log_devices())}
    path = RESULTS / "step_cost" / f"{keras.backend.backend()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    reporting.write_json(report, path)
    reporting.log.info("%s\nwrote %s", costs, path)


if __name__ == "__main__":
    reporting.exit_on_error(main)
