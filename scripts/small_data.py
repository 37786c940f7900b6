"""A Bayesian and a plain LeNet5 learn from few images: test error, nll and calibration against their number.

Both have the same layers and start from the same means, and take as many steps of Adam with the same learning rate.
The plain network is trained without and with dropout. OUTPUT_DIR then holds small_data.json and small_data.png, and a
JSON file for each training: those that are there already are not repeated.
"""

import argparse
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.kept_results import read_or_make, settings
from scripts.common.reporting import ScriptError, log
from tfp_bnn.plots.style import panels, themed

MEASURES = {"error_percent": "Error (%)", "nll": "nll (nats an image)", "ece": "Expected calibration error"}
NETWORKS = ("Bayes by Backprop", "plain", "dropout")


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    reporting.add_data_arguments(parser)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--sizes", type=int, nargs="+", default=(100, 300, 1000, 3000, 10_000), help="training images")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,), help="of images, weights and noise")
    parser.add_argument("--steps", type=int, default=1000, help="training steps, whatever the number of images")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam at the start; it falls to 0")
    parser.add_argument("--prior-scale", type=float, default=0.3, help="standard deviation of the normal prior")
    parser.add_argument("--initial-stddev", type=float, default=0.02, help="posterior standard deviation at the start")
    parser.add_argument("--beta", type=float, default=1.0, help="tempering of the KL term; 1 is the Bayesian posterior")
    parser.add_argument("--num-draws", type=int, default=20, help="weight draws of a prediction")
    parser.add_argument("--images", choices=("test", "validation"), default="test", help="what the figures are of")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/small_data"))
    return parser.parse_args()


def make_model(network: str, args: argparse.Namespace, dataset: bnn.datasets.Dataset) -> keras.Model:
    """Returns the network, compiled."""
    model = bnn.models.lenet5(
        dataset.x_train.shape[1:],
        len(dataset.class_names),
        prior=bnn.priors.Normal(scale=args.prior_scale),
        posterior=bnn.posteriors.MeanFieldNormal(args.initial_stddev),
    )
    if network != "Bayes by Backprop":
        model = bnn.to_deterministic(model)
    if network == "dropout":
        *hidden, last = model.layers
        model = keras.Sequential([keras.Input(model.input_shape[1:]), *hidden, keras.layers.Dropout(0.5), last])
    rate = keras.optimizers.schedules.CosineDecay(args.learning_rate, args.steps)
    model.compile(keras.optimizers.Adam(rate), loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
    return model


def fit(model: keras.Model, args: argparse.Namespace, x: np.ndarray, y: np.ndarray) -> None:
    """Trains the network for so many steps; each epoch shows all images in a new order."""
    epochs = math.ceil(args.steps / math.ceil(len(x) / args.batch_size))
    weighs_kl = [bnn.callbacks.KLWeight(len(x), args.beta)] if bnn.layers.variational_layers(model) else []
    model.fit(x, y, batch_size=args.batch_size, epochs=epochs, verbose=0, callbacks=weighs_kl)


def train(network: str, size: int, seed: int, args: argparse.Namespace, dataset: bnn.datasets.Dataset) -> dict:
    """Trains one network on random images, as many of each class; returns its figures."""
    keras.utils.set_random_seed(seed)
    (x, y), validation = reporting.split_validation(dataset)
    chosen = balanced(y, size, seed)
    model = make_model(network, args, dataset)
    started = time.perf_counter()
    fit(model, args, x[chosen], y[chosen])
    seconds = time.perf_counter() - started
    images, labels = (dataset.x_test, dataset.y_test) if args.images == "test" else validation
    if network == "Bayes by Backprop":
        predictive = bnn.predict(model, images, args.num_draws, seed=seed, verbose=False)
    else:
        predictive = reporting.predict_plain(model, images)
    figures = reporting.quality(predictive, labels)
    return {"network": network, "size": size, "seed": seed, **figures, "seconds": round(seconds, 1)}


def balanced(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Returns the places of so many random labels: of each class as many as of the others, or one more."""
    order = np.random.default_rng(seed).permutation(len(labels))
    # How many of its class came before each of them.
    rank = pd.Series(labels[order]).groupby(labels[order]).cumcount().to_numpy()
    return order[np.argsort(rank, kind="stable")[:size]]


@themed
def draw(rows: pd.DataFrame) -> Figure:
    """Returns a panel for each measure: its mean over seeds, and the range."""
    figure, axes = panels(1, len(MEASURES), (11, 3.6))
    looks = {"hue": "network", "style": "network", "markers": True, "palette": "colorblind"}
    for panel, (measure, label) in zip(axes, MEASURES.items(), strict=True):
        seaborn.lineplot(rows, x="size", y=measure, errorbar=("pi", 100), ax=panel, **looks)
        panel.set(xscale="log", xlabel="Training images", ylabel=label, ylim=(0, None))
        panel.legend(title=None)
    return figure


def main() -> None:
    """Trains what has not been trained, and draws all."""
    args = parse_arguments()
    reporting.check_at_least_one(args, "steps", "batch_size", "num_draws")
    reporting.make_output_directory(args.output_dir)
    dataset = reporting.load_dataset(args.dataset, args.data_dir)
    most = len(reporting.split_validation(dataset)[0][0])
    if not 1 <= min(args.sizes) <= max(args.sizes) <= most:
        raise ScriptError(f"--sizes must be from 1 to {most:,} of {dataset.name}. Received: {args.sizes}")
    devices = reporting.log_devices()
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for size in args.sizes:
            for network in args.networks:
                path = args.output_dir / f"{network.lower().replace(' ', '-')}-{size}-seed{seed}.json"
                make = partial(train, network, size, seed, args, dataset)
                rows.append(read_or_make(path, settings(args, but=("networks", "sizes", "seeds")), make))
                log.info(
                    "%(network)s, %(size)d images: error %(error_percent).2f %%, %(nll).3f nats, ECE %(ece).3f",
                    rows[-1],
                )
    reporting.save_figure(draw(pd.DataFrame(rows)), args.output_dir, "small_data")
    report = {"dataset": dataset.name, "images": args.images, "rows": rows, **reporting.provenance(args, devices)}
    reporting.write_json(report, args.output_dir / "small_data.json")


if __name__ == "__main__":
    reporting.exit_on_error(main)
