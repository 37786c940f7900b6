"""Measures the memory that stays for each model that a process has trained and dropped.

Run by hand, on Keras's TensorFlow backend: `python benchmarks/dropped_models.py`. It writes
docs/results/dropped_models.json.

A process for each kind makes LeNet5s, one after the other: each is compiled, trained for a step, asked for predictions,
and dropped; then garbage is collected. The figure is the growth of resident memory a model, after the first few.
"""

import argparse
import gc
import json
import subprocess
import sys

import keras
import numpy as np

import tfp_bnn as bnn
from benchmarks.common.memory import resident_mebibytes
from scripts.common import reporting
from scripts.common.places import RESULTS, ROOT

KINDS = ("plain", "bayesian")
NOT_COUNTED = 4


def train_and_drop(kind: str) -> None:
    """Makes, trains and asks one model."""
    x, y = np.zeros((64, 28, 28, 1), "float32"), np.zeros(64, int)
    model = bnn.models.lenet5()
    if kind == "plain":
        model = bnn.to_deterministic(model)
    model.compile("adam", loss=bnn.likelihoods.Categorical())
    model.fit(x, y, batch_size=64, verbose=0, callbacks=[bnn.callbacks.KLWeight()] if kind == "bayesian" else [])
    if kind == "plain":
        model.predict(x, verbose=0)
    else:
        bnn.predict(model, x, num_draws=5, verbose=False)


def growth(kind: str, models: int) -> float:
    """Returns the mebibytes a model that stay."""
    found = []
    for _ in range(models):
        train_and_drop(kind)
        gc.collect()
        found.append(resident_mebibytes())
    return (found[-1] - found[NOT_COUNTED - 1]) / (models - NOT_COUNTED)


def main() -> None:
    """Measures both kinds, and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=14, help=f"how many of each kind, more than {NOT_COUNTED}")
    parser.add_argument("--kind", choices=KINDS, help="only this kind, in this process, to standard output")
    args = parser.parse_args()
    if args.kind:
        print(json.dumps(growth(args.kind, args.models)))
        return
    reporting.set_up_logging()
    figures = {}
    for kind in KINDS:
        command = [sys.executable, "-m", "benchmarks.dropped_models", "--models", str(args.models), "--kind", kind]
        output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        figures[kind] = round(json.loads(output.splitlines()[-1]), 1)
        reporting.log.info("%s: %.1f MiB a model", kind, figures[kind])
    report = {"mebibytes": figures, **reporting.provenance(args, keras.distribution.list_devices())}
    reporting.write_json(report, RESULTS / "dropped_models.json")


if __name__ == "__main__":
    reporting.exit_on_error(main)
