"""Compares defaults: how well does the program that a newcomer writes first predict, with each of them?

Ten tasks: regression from 32 points to 8,000 rows, digits at three widths, garments, a text, a series. Every choice
differs from the first one in what its name says. The figure is the negative log-likelihood of the validation data under
50 draws, in nats (targets standardized), the mean over the seeds. OUTPUT_DIR then holds defaults.json, and a JSON file
for each training: those that are there already are not repeated.
"""

import argparse
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.kept_results import read_or_make
from scripts.common.reporting import log
from scripts.learning.first_fits import TASKS, Task

MeanField, Normal = bnn.posteriors.MeanFieldNormal, bnn.priors.Normal

CHOICES: Mapping[str, tuple[Callable[[], Any], Callable[[], Any], float]] = {
    "start 0.05": (lambda: MeanField(0.05), Normal, 0),
    "start 0.02": (lambda: MeanField(0.02), Normal, 0),
    "start 0.1 by fan-in": (lambda: MeanField(fan_in_stddev=0.1), Normal, 0),
    "start 0.3 by fan-in": (lambda: MeanField(fan_in_stddev=0.3), Normal, 0),
    "warm-up": (lambda: MeanField(0.05), Normal, 0.5),
    "start 0.1 by fan-in, warm-up": (lambda: MeanField(fan_in_stddev=0.1), Normal, 0.5),
    "start 0.3 by fan-in, warm-up": (lambda: MeanField(fan_in_stddev=0.3), Normal, 0.5),
    "start 0.3 by fan-in, warm-up, prior 0.3": (
        lambda: MeanField(fan_in_stddev=0.3),
        lambda: Normal(scale=0.3),
        0.5,
    ),
    "start 0.3 by fan-in, warm-up, mixture learned": (
        lambda: MeanField(fan_in_stddev=0.3),
        lambda: bnn.priors.ScaleMixture(1.0, 0.1, 0.5, trainable=True),
        0.5,
    ),
}
"""By name: the posterior, the prior, and over which share of the epochs the KL term warms up."""


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=tuple(TASKS), metavar="TASK")
    parser.add_argument("--choices", nargs="+", choices=tuple(CHOICES), default=tuple(CHOICES), metavar="CHOICE")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1), help="of data, weights and noise")
    parser.add_argument("--data-dir", help="directory with Fashion-MNIST; without it TFP_BNN_DATA, then a download")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/defaults"))
    return parser.parse_args()


def fit(model: keras.Model, task: Task, warmup: float) -> None:
    """Trains the network as the program would."""
    x, y = task.train
    epochs = math.ceil(task.steps / math.ceil(len(x) / task.batch_size))
    model.compile(keras.optimizers.Adam(task.learning_rate), loss=task.likelihood)
    weight = bnn.callbacks.KLWeight(len(x), warmup_epochs=warmup * epochs)
    model.fit(x, y, task.batch_size, epochs, verbose=0, callbacks=[weight])


def run(task: str, choice: str, seed: int, data_dir: str | None) -> dict[str, Any]:
    """Returns the figures of one training."""
    keras.utils.set_random_seed(seed)
    chosen = TASKS[task](data_dir, np.random.default_rng(seed))
    posterior, prior, warmup = CHOICES[choice]
    model = chosen.make_model({"posterior": posterior(), "prior": prior()})
    started = time.perf_counter()
    fit(model, chosen, warmup)
    seconds = time.perf_counter() - started
    figures = bnn.evaluate(model, *chosen.validation, 50, seed=seed, verbose=False)
    log.info("%s; %s; seed %d: nll %.3f in %.0f s", task, choice, seed, figures["nll"], seconds)
    return {"task": task, "choice": choice, "seed": seed, **figures, "seconds": round(seconds, 1)}


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the mean nll over seeds: a row a task, a column a choice."""
    return rows.pivot_table("nll", "task", "choice", sort=False)


def main() -> None:
    """Trains what has not been trained, and writes the table."""
    args = parse_arguments()
    reporting.make_output_directory(args.output_dir)
    devices = reporting.log_devices()
    rows = []
    for seed in args.seeds:
        for task in args.tasks:
            for choice in args.choices:
                name = re.sub(r"[^a-z0-9]+", "-", f"{task} {choice} {seed}".lower())
                wanted = {"task": task, "choice": choice, "seed": seed}
                path = args.output_dir / f"{name}.json"
                rows.append(read_or_make(path, wanted, lambda wanted=wanted: run(**wanted, data_dir=args.data_dir)))
    found = table(pd.DataFrame(rows))
    print(f"\nNegative log-likelihood, nats\n{found.round(3).T.to_string()}\n")
    nll = {task: {choice: round(value, 4) for choice, value in found.loc[task].items()} for task in found.index}
    reporting.write_json(
        {"nll": nll, "trainings": rows, **reporting.provenance(args, devices)}, args.output_dir / "defaults.json"
    )


if __name__ == "__main__":
    reporting.exit_on_error(main)
