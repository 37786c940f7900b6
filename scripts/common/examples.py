"""What the short examples share: their arguments, how they train, and how they end."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.interrupts import fit


def make_parser(description: str, name: str, epochs: int, learning_rate: float) -> argparse.ArgumentParser:
    """Returns a parser with the arguments of all examples; another one can be added.

    Args:
        description: of the command.
        name: of the folder in runs/.
        epochs: of the training, if it is not to be quick.
        learning_rate: of Adam at the start.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--epochs", type=int, default=epochs, help="of the training")
    parser.add_argument("--learning-rate", type=float, default=learning_rate, help="of Adam at the start; falls to 0")
    parser.add_argument("--num-draws", type=int, default=100, help="weight draws of a prediction")
    parser.add_argument("--quick", action="store_true", help="fewer data and epochs: seconds, and worse figures")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    parser.add_argument("--output-dir", type=Path, default=Path("runs") / name)
    return parser


def parse(parser: argparse.ArgumentParser, quick_epochs: int) -> argparse.Namespace:
    """Returns the command line's arguments; a quick run has fewer epochs, unless they are given."""
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(epochs=quick_epochs)
    return parser.parse_args()


def start(args: argparse.Namespace) -> list[str]:
    """Checks the arguments, makes the output directory and sets the seed; returns the devices."""
    reporting.check_at_least_one(args, "epochs", "num_draws")
    reporting.check_positive(args, "learning_rate")
    reporting.make_output_directory(args.output_dir)
    keras.utils.set_random_seed(args.seed)
    return reporting.log_devices()


def train(
    model: keras.Model, x: Any, y: np.ndarray, loss: bnn.likelihoods.Likelihood, args: argparse.Namespace
) -> keras.callbacks.History:
    """Trains a network, Bayesian or plain, by Adam in 30 steps an epoch; returns its history.

    Args:
        model: the network; it is compiled here.
        x: its inputs: an array, or a dict of arrays.
        y: the targets.
        loss: the likelihood.
        args: with `epochs`, `learning_rate` and `quick`.
    """
    batch_size = max(16, len(y) // 30)
    steps = args.epochs * -(-len(y) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(args.learning_rate, steps)
    # XLA takes longer to compile than a quick run has steps to gain by it.
    compiled = "auto" if not args.quick or keras.backend.backend() == "jax" else False
    model.compile(keras.optimizers.Adam(schedule), loss=loss, jit_compile=compiled)
    callbacks = []
    if bnn.layers.variational_layers(model):
        # Fit first, then pay for it: few data give way to a full KL term from the start.
        callbacks.append(bnn.callbacks.KLWeight(len(y), warmup_epochs=args.epochs / 2))
    fit(model, x, y, batch_size=batch_size, epochs=args.epochs, callbacks=callbacks)
    return model.history


def copy_of(model: keras.Model) -> keras.Model:
    """Returns a plain network's copy with the same weights."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def predict(model: keras.Model, x: Any, args: argparse.Namespace) -> bnn.Predictive:
    """Returns the prediction of a compiled network: that of many draws, if it is Bayesian."""
    if bnn.layers.variational_layers(model):
        return bnn.predict(model, x, args.num_draws, seed=args.seed)
    return bnn.Predictive(model.predict(x, verbose=0)[np.newaxis], model.loss)


def quality(predictive: bnn.Predictive, labels: np.ndarray) -> dict[str, float]:
    """Returns a classifier's accuracy, negative log-likelihood in nats, and calibration error."""
    found = reporting.quality(predictive, labels)
    return {"accuracy": 1 - found["error_percent"] / 100, "nll": found["nll"], "ece": found["ece"]}


def finish(
    args: argparse.Namespace, devices: list[str], title: str, rows: Mapping[str, Mapping[str, float]], **more: Any
) -> None:
    """Prints a table and writes OUTPUT_DIR/metrics.json.

    Args:
        args: of the command line.
        devices: where it ran.
        title: above the table.
        rows: figures by their names, of each row.
        **more: what else goes into the file.
    """
    print(f"\n{title}\n{pd.DataFrame(rows).T.astype(float).round(3).to_string(na_rep='')}\n")
    reporting.write_json(
        {"rows": rows, **more, **reporting.provenance(args, devices)}, args.output_dir / "metrics.json"
    )
