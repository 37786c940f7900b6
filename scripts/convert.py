"""Makes a plain image classifier Bayesian, trains it on, and compares it with the plain one on held-out images.

The plain one is a file, or is made and trained here. Beside the Bayesian network stands the plain one trained for as
many epochs more, and each at the temperature that is best for validation images. OUTPUT_DIR then holds model.keras,
the Bayesian network; plain.keras, the one before; reliability.png; and convert.json. Several seeds have a directory
each.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.reporting import ScriptError, log
from scripts.data import npz_images
from scripts.learning import conversion, plain_networks

BEFORE, LONGER, BAYESIAN = "plain, before", "plain, trained on", "Bayesian, trained on"


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "model", help="a .keras file, small-cnn, or a name of keras.applications, such as ResNet50 or MobileNetV2"
    )
    reporting.add_data_arguments(parser)
    parser.add_argument("--data", type=Path, help="a .npz file of x_train, y_train, x_test, y_test, and no --dataset")
    parser.add_argument("--num-validation", type=int, help="last training images to hold out; default: one in six")
    parser.add_argument("--judge", choices=("test", "validation"), default="test", help="validation: to try settings")
    plain = parser.add_argument_group("the plain network, if it is no file")
    plain.add_argument("--plain-epochs", type=int, default=5, help="of its training")
    plain.add_argument("--plain-learning-rate", type=float, default=1e-3, help="of Adam in that training")
    plain.add_argument("--weights", choices=("imagenet",), help="of keras.applications; default: random ones")
    plain.add_argument("--side", type=int, help="resize images to this side for keras.applications")
    bayesian = parser.add_argument_group("the Bayesian network")
    bayesian.add_argument("--layers", nargs="+", default=["all"], help="all, last, or names of layers")
    bayesian.add_argument("--estimator", choices=reporting.ESTIMATORS, default="reparameterization")
    bayesian.add_argument(
        "--prior", choices=("normal", "pretrained"), default="normal", help="pretrained: N(w | plain weight, 1)"
    )
    bayesian.add_argument("--prior-scale", type=float, default=0.1, help="standard deviation of the normal prior")
    bayesian.add_argument(
        "--relative-stddev", type=float, default=0.2, help="posterior standard deviation at the start, in plain weights"
    )
    bayesian.add_argument("--num-draws", type=int, default=50, help="weight draws of a prediction")
    training = parser.add_argument_group("training on, both networks")
    training.add_argument("--epochs", type=int, default=2)
    training.add_argument("--batch-size", type=int, default=32, help="of all trainings")
    training.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam at the start; it falls to 0")
    training.add_argument(
        "--beta",
        type=float,
        default=0.1,
        help="factor of the KL term; 1 is Bayes's posterior, less a tempered one, which few epochs fit better",
    )
    training.add_argument("--warmup-epochs", type=float, default=0, help="over which the KL weight rises")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="all is done once for each")
    parser.add_argument("--json", type=Path, help="where the results go; default: convert.json in the output directory")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/convert"))
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    """Raises ScriptError if something is wrong, before any work is done."""
    reporting.check_at_least_one(args, "epochs", "plain_epochs", "batch_size", "num_draws", "num_validation", "side")
    reporting.check_positive(args, "learning_rate", "plain_learning_rate", "prior_scale", "relative_stddev", "beta")
    if args.data and (args.dataset or args.data_dir):
        raise ScriptError(f"Give --data, or --dataset and --data-dir, not both. Received: --data {args.data}")
    if not is_file(args) and args.model not in plain_networks.NAMES:
        raise ScriptError(
            "MODEL must be a .keras file, small-cnn or a name of keras.applications as Keras spells it. "
            f"Received: {args.model}"
        )
    if is_file(args) and not Path(args.model).is_file():
        raise ScriptError(f"There is no model at the path that was given. Received: {args.model}")
    reporting.make_output_directory(args.output_dir)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)


def is_file(args: argparse.Namespace) -> bool:
    """Returns whether the model is one that was saved."""
    return args.model.endswith(".keras")


def load_data(args: argparse.Namespace) -> bnn.datasets.Dataset:
    """Returns the images."""
    if not args.data:
        return reporting.load_dataset(args.dataset, args.data_dir)
    dataset = npz_images.load(args.data)
    log.info("data: %s from %s", dataset.name, dataset.source)
    return dataset


def plain_network(args: argparse.Namespace, dataset: bnn.datasets.Dataset, data: conversion.Split) -> keras.Model:
    """Returns the trained plain network, compiled."""
    if is_file(args):
        model = reporting.load_model(Path(args.model))
        if bnn.layers.variational_layers(model):
            raise ScriptError(f"The model must be a plain one, with no Bayesian layers. Received: {args.model}")
        reporting.check_input_shape(model, dataset)
        if model.output_shape != (None, len(dataset.class_names)):
            raise ScriptError(
                f"The model must have one output for each of {len(dataset.class_names)} classes. "
                f"Received: outputs of shape {model.output_shape}"
            )
        conversion.train(model, data, 0, args.learning_rate, args)
        return model
    model = plain_networks.make(args.model, data[0].shape[1:], len(dataset.class_names), args.weights, args.side)
    log.info("training the plain network for %d epochs on %d images", args.plain_epochs, len(data[0]))
    conversion.train(model, data, args.plain_epochs, args.plain_learning_rate, args, decays=False)
    return model


def networks(
    args: argparse.Namespace, plain: keras.Model, path: Path, data: conversion.Split, seed: int
) -> tuple[dict[str, keras.Model], dict[str, float]]:
    """Returns the three networks, compiled, and how many seconds each training took.

    Args:
        args: of the command line.
        plain: the plain network, trained.
        path: the file that it was saved to.
        data: what to train on.
        seed: of the training.
    """
    found = {BEFORE: plain, LONGER: reporting.load_model(path), BAYESIAN: conversion.convert(plain, args)}
    seconds = {}
    for name in (LONGER, BAYESIAN):
        weighs_kl = bnn.callbacks.KLWeight(len(data[0]), args.beta, args.warmup_epochs)
        log.info("%s: %d epochs more", name.split(",")[0], args.epochs)
        keras.utils.set_random_seed(seed)  # so that both see the images in the same order
        started = time.perf_counter()
        callbacks = [weighs_kl] if name == BAYESIAN else []
        conversion.train(found[name], data, args.epochs, args.learning_rate, args, callbacks)
        seconds[name] = round(time.perf_counter() - started, 1)
    return found, seconds


def convert(args: argparse.Namespace, dataset: bnn.datasets.Dataset, seed: int, directory: Path) -> dict[str, Any]:
    """Does all of it with one seed; returns the figures."""
    keras.utils.set_random_seed(seed)
    data, (x_val, y_val) = reporting.split_validation(dataset, args.num_validation)
    reporting.make_output_directory(directory)
    plain, path = plain_network(args, dataset, data), directory / "plain.keras"
    plain.save(path)
    log.info("wrote %s", path)
    found, seconds = networks(args, plain, path, data, seed)
    log.info("wrote %s", reporting.save_model(found[BAYESIAN], directory))
    log.info("predicting %s images, %d draws of the Bayesian network", args.judge, args.num_draws)
    validation = {name: conversion.predictive(model, x_val, args, seed) for name, model in found.items()}
    judges, labels = validation, y_val
    if args.judge == "test":
        labels = dataset.y_test
        judges = {name: conversion.predictive(model, dataset.x_test, args, seed) for name, model in found.items()}
    reporting.save_figure(bnn.plots.reliability(judges, labels), directory, "reliability")
    rows = conversion.judged(judges, labels, validation if args.judge == "test" else {}, y_val)
    return {"seed": seed, "rows": rows, "seconds": seconds, "weights": plain.count_params()}


def mean_rows(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Returns the mean over seeds of each figure of each network."""
    names = [name for name in runs[0]["rows"] if all(name in run["rows"] for run in runs)]
    return {
        name: {key: float(np.mean([run["rows"][name][key] for run in runs])) for key in runs[0]["rows"][name]}
        for name in names
    }


def print_rows(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Prints a table of the networks' figures."""
    print(f"{title}\n{pd.DataFrame(rows).T.round(4).to_string(na_rep='')}")


def main() -> None:
    """Converts, trains on, compares, and writes everything down."""
    args = parse_arguments()
    check_arguments(args)
    dataset = load_data(args)
    devices = reporting.log_devices()
    runs = []
    for seed in args.seeds:
        directory = args.output_dir if len(args.seeds) == 1 else args.output_dir / f"seed{seed}"
        runs.append(convert(args, dataset, seed, directory))
        print_rows(f"{args.judge} images, seed {seed}", runs[-1]["rows"])
    report = {
        "dataset": dataset.name,
        "mean": mean_rows(runs),
        "runs": runs,
        **reporting.provenance(args, devices),
    }
    reporting.write_json(report, args.json or args.output_dir / "convert.json")
    if len(runs) > 1:
        print_rows(f"{args.judge} images, mean of {len(runs)} seeds", report["mean"])


if __name__ == "__main__":
    reporting.exit_on_error(main)
