"""Measures what richer posteriors, and other changes of the ELBO, bring on the UCI sets.

Run by hand, on Keras's JAX backend: `KERAS_BACKEND=jax python benchmarks/posteriors.py`. It prints a table and writes
docs/results/posteriors.json.

All are trained as `scripts/uci.py` trains Bayes by Backprop, with Student's t noise, on the training rows of the first
splits less their validation rows; the figures are means over splits, of the validation rows.
"""

import argparse
import time
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from tqdm import auto as tqdm

import tfp_bnn as bnn
from benchmarks.richer_posteriors.dependent_weights import FullNormal, LowRankNormal
from benchmarks.richer_posteriors.laplace import LaplaceLearner, plain_network
from benchmarks.richer_posteriors.natural_gradient import NaturalGradientLearner
from scripts import uci
from scripts.common import reporting
from scripts.common.places import RESULTS
from scripts.data import uci_data
from scripts.learning import uci_learning

SETS = ("concrete", "energy", "yacht")
INITIAL_STDDEV = 0.02


def last_layer_alone(split: uci_data.Split, args: argparse.Namespace) -> keras.Model:
    """Returns the same network with a hidden layer of Keras's."""
    bayesian = uci_learning.bayesian_network(split, args)
    hidden = keras.layers.Dense(args.units, "relu", kernel_initializer="he_normal")
    return keras.Sequential([keras.Input(split.x_train.shape[1:]), hidden, bayesian.layers[-1]])


class Contender(NamedTuple):
    """What is trained: its network, what the KL term counts, and who learns."""

    make_network: Any
    beta: float = 1.0
    learner: type[uci_learning.Learner] = uci_learning.Learner


def reparameterized(posterior: bnn.posteriors.Posterior | None = None) -> Contender:
    """Returns a network with one draw of its weights for each batch, from a posterior of each layer."""
    return Contender(partial(uci_learning.bayesian_network, estimator="reparameterization", posterior=posterior))


CONTENDERS = {
    "mean field, local reparameterization": Contender(uci_learning.bayesian_network),
    "mean field, reparameterization": reparameterized(),
    "diagonal and rank 4": reparameterized(LowRankNormal(4, INITIAL_STDDEV)),
    "full covariance in each layer": reparameterized(FullNormal(INITIAL_STDDEV)),
    "last layer alone": Contender(last_layer_alone),
    "mean field, KL term at 0.3": Contender(uci_learning.bayesian_network, beta=0.3),
    "mean field, natural gradients (IVON)": Contender(plain_network, learner=NaturalGradientLearner),
    "Laplace, full covariance": Contender(plain_network, learner=LaplaceLearner),
}


def measure(name: str, data: uci_data.RegressionSet, num_splits: int, args: argparse.Namespace) -> dict[str, float]:
    """Returns the means over splits of one contender's figures on one set."""
    make_network, beta, learns = CONTENDERS[name]
    learner, found = learns(make_network, args, "student-t", beta), []
    for number in range(num_splits):
        found.append(uci_learning.measure(learner, data.split(number, validate=True), args.seed + number))
    means = {figure: float(np.mean([of_split[figure] for of_split in found])) for figure in found[0]}
    spread = np.std([of_split["log_likelihood"] for of_split in found], ddof=1) / np.sqrt(num_splits)
    return {figure: float(f"{value:.4g}") for figure, value in {**means, "standard_error": spread}.items()}


def main() -> None:
    """Measures all, prints the table, writes the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="directory with uci/NAME.npz; without it TFP_BNN_DATA")
    parser.add_argument("--num-splits", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", metavar="SUBSTRING", help="posteriors whose names contain this; no file")
    own = parser.parse_args()
    if keras.backend.backend() != "jax":
        parser.error("this script needs Keras's JAX backend; set KERAS_BACKEND=jax")
    if not 2 <= own.num_splits <= uci_data.SPLITS:
        parser.error(f"--num-splits must be from 2 to {uci_data.SPLITS}. Received: {own.num_splits}")
    args = uci.parse_arguments(["--seed", str(own.seed), "--initial-stddev", str(INITIAL_STDDEV)])
    sets = {name: uci_data.load(name, own.data_dir) for name in SETS}
    started, rows = time.perf_counter(), []
    pairs = [(name, contender_name) for name in SETS for contender_name in CONTENDERS if own.only in contender_name]
    for name, contender_name in tqdm.tqdm(pairs):
        rows.append(
            {"set": name, "posterior": contender_name, **measure(contender_name, sets[name], own.num_splits, args)}
        )
        row = rows[-1]
        print(f"{name:10s} {contender_name:38s} {row['log_likelihood']:7.3f} ± {row['standard_error']:.3f}", flush=True)
    if own.only:
        return
    report = {
        "seconds": round(time.perf_counter() - started, 1),
        "rows": rows,
        **reporting.provenance(own, keras.distribution.list_devices()),
    }
    path = RESULTS / "posteriors.json"
    reporting.write_json(report, path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
