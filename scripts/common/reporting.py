"""What the scripts share: logs, output directories, figures of merit and pictures of uncertainty."""

import argparse
import contextlib
import json
import logging
import re
import shlex
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

import tfp_bnn as bnn
from scripts.common.places import ROOT

log = logging.getLogger("tfp_bnn")

NUM_PICTURES = 10
# As command lines spell them.
ESTIMATORS, PRIORS = (
    tuple(name.replace("_", "-") for name in names) for names in (bnn.estimators.NAMES, bnn.priors.NAMES)
)
ACTIVATIONS = ("relu", "tanh")


class ScriptError(Exception):
    """An error that the user can mend; scripts print its message alone."""


def set_up_logging() -> None:
    """Sends the logs to standard error, with the time of day."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    log.setLevel(logging.INFO)


def exit_on_error(main: Any) -> None:
    """Runs a script's main function; an error of the user's ends it with one line."""
    set_up_logging()
    try:
        main()
    except (ScriptError, ValueError, OSError) as error:
        # Keras's messages have many lines.
        sys.exit(f"error: {' '.join(str(error).split())}")


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that choose the images."""
    parser.add_argument("--dataset", choices=bnn.datasets.NAMES, help=DATASET_HELP)
    parser.add_argument(
        "--data-dir", help="directory with the data set; without it TFP_BNN_DATA, then Keras's download"
    )


def add_prediction_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of a prediction on held-out and noise images."""
    add_data_arguments(parser)
    parser.add_argument("--num-draws", type=int, default=50, help="weight draws of a prediction")
    parser.add_argument("--cutoff", type=float, default=0.5, help="refuse to classify below this probability")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")


def add_activation_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that choose what LeNet5's hidden layers end with."""
    parser.add_argument("--activation", choices=ACTIVATIONS, default="relu", help="of the convolutions")
    parser.add_argument(
        "--dense-activation",
        choices=ACTIVATIONS,
        default="tanh",
        help="of the layer of 84 units; tanh bounds what images unlike the known ones do to the logits",
    )


def check_at_least_one(args: argparse.Namespace, *names: str) -> None:
    """Raises ScriptError if one of these arguments is given and less than 1."""
    for name in names:
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ScriptError(f"--{name.replace('_', '-')} must be at least 1. Received: {getattr(args, name)}")


def check_positive(args: argparse.Namespace, *names: str) -> None:
    """Raises ScriptError if one of these arguments is not positive and finite."""
    for name in names:
        if not 0 < getattr(args, name) < np.inf:
            raise ScriptError(f"--{name.replace('_', '-')} must be positive. Received: {getattr(args, name)}")


def check_share(args: argparse.Namespace, *names: str) -> None:
    """Raises ScriptError if one of these arguments is not a probability or a share."""
    for name in names:
        if not 0 <= getattr(args, name) <= 1:
            raise ScriptError(f"--{name.replace('_', '-')} must be between 0 and 1. Received: {getattr(args, name)}")


DATASET_HELP = "default: MNIST or, if it can't be had, its embedded sample of 5,000 images"


def load_dataset(name: str | None, data_dir: str | None) -> bnn.datasets.Dataset:
    """Returns the data set of a name; without one MNIST or, if that can't be had, its embedded sample."""
    dataset = bnn.datasets.load(name, data_dir) if name else bnn.datasets.load_default(data_dir)
    log.info("data: %s from %s", dataset.name, dataset.source)
    return dataset


def split_validation(dataset: bnn.datasets.Dataset, held_out: int | None = None) -> tuple[Any, Any]:
    """Returns images and labels to train on, and those held out of it: the last ones, one in six if not said."""
    return dataset.split_validation(len(dataset.x_train) // 6 if held_out is None else held_out)


def noise_images(num_images: int, shape: Sequence[int], seed: int) -> dict[str, np.ndarray]:
    """Returns images that show nothing, by the name of their noise."""
    return {
        "gaussian_noise": bnn.datasets.gaussian_noise(num_images, tuple(shape), seed=seed),
        "uniform_noise": bnn.datasets.uniform_noise(num_images, tuple(shape), seed=seed),
    }


def repeats_data() -> None:
    """Says that the data of the training are repeated on purpose, so that `KLWeight` does not warn of their number."""
    warnings.filterwarnings("ignore", message="KLWeight")


def uncertainty_metrics(predictive: bnn.Predictive, cutoff: float) -> dict[str, float]:
    """Returns how unsure a prediction is: means in nats, and the share of images that it refuses to classify."""
    return {
        "mean_entropy": float(predictive.entropy().mean()),
        "mean_mutual_information": float(predictive.mutual_information().mean()),
        "fraction_refused": float((~(predictive.class_probabilities().max(axis=-1) >= cutoff)).mean()),
    }


def quality(predictive: bnn.Predictive, labels: np.ndarray) -> dict[str, float]:
    """Returns how good a prediction is: error in percent, negative held-out nats an image, and calibration."""
    probabilities = predictive.class_probabilities()
    return {
        "error_percent": 100 * float((probabilities.argmax(axis=-1) != labels).mean()),
        "nll": -float(predictive.log_prob(labels).mean()),
        "ece": bnn.metrics.expected_calibration_error(probabilities, labels),
    }


def predict_plain(model: keras.Model, images: np.ndarray) -> bnn.Predictive:
    """Returns the prediction of a network without random weights, as that of a single draw."""
    logits = model.predict(images, batch_size=1000, verbose=0)
    return bnn.Predictive(logits[np.newaxis], bnn.likelihoods.Categorical())


def single_draws(predictive: bnn.Predictive) -> Iterator[bnn.Predictive]:
    """Yields the predictions of each draw alone."""
    for outputs in predictive.outputs:
        yield bnn.Predictive(outputs[np.newaxis], predictive.likelihood)


def accuracy_metrics(predictive: bnn.Predictive, labels: np.ndarray, cutoff: float) -> dict[str, float | None]:
    """Returns how good a prediction is: accuracy, held-out nats, calibration, and accuracy where it did not refuse."""
    probabilities = predictive.class_probabilities()
    correct, kept = probabilities.argmax(axis=-1) == labels, probabilities.max(axis=-1) >= cutoff
    found = quality(predictive, labels)
    return {
        "accuracy": float(correct.mean()),
        "log_likelihood": -found["nll"],
        "nll": found["nll"],
        "ece": found["ece"],
        "accuracy_of_classified": float(correct[kept].mean()) if kept.any() else None,
    }


def make_output_directory(directory: Path) -> None:
    """Makes a directory; raises ScriptError if nothing can be written there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise ScriptError(
            f"--output-dir must be a directory that can be written to. Received: {directory} ({error.strerror})"
        ) from error


def check_no_run(directory: Path, files: Sequence[str], resume: bool) -> None:
    """Raises ScriptError if a directory holds files of a run that is not to be resumed."""
    held = [name for name in files if (directory / name).exists()]
    if held and not resume:
        raise ScriptError(
            f"{directory} holds a run already ({', '.join(held)}). Go on with it by --resume, or name another "
            "--output-dir."
        )


def check_room(directory: Path, num_bytes: int) -> None:
    """Raises ScriptError if a file of this size cannot be written to a directory."""
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(bytes(num_bytes))
    except OSError as error:
        raise ScriptError(
            f"Expected room for {num_bytes:,} bytes in {directory}. Received: {error.strerror}"
        ) from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields another path to write to, whose file then takes its place; if that fails, what was there before stays."""
    unfinished = path.with_name(f"unfinished_{path.name}")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise ScriptError(f"{path} cannot be written, and is left as it was: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def save_figure(figure: Figure, directory: Path, *names: str) -> None:
    """Writes a figure as PNG files of these names."""
    for name in names:
        with whole_file(directory / f"{name}.png") as path:
            figure.savefig(path, dpi=100)
    log.info("wrote %s", " and ".join(str(directory / f"{name}.png") for name in names))


def save_model(model: keras.Model, directory: Path) -> Path:
    """Writes model.keras and returns its path; a model that diverged must not replace a good one."""
    path = directory / "model.keras"
    diverged = [weight.path for weight in model.trainable_variables if not np.isfinite(weight.numpy()).all()]
    if diverged:
        raise ScriptError(
            f"Expected finite weights: training diverged (try a lower learning rate), and {path} is left as it was. "
            f"Received: nan or inf in {diverged[0]}"
        )
    with whole_file(path) as unfinished:
        model.save(unfinished)
    return path


def load_model(path: Path) -> keras.Model:
    """Returns a saved model; raises ScriptError if there is none."""
    if not path.is_file():
        raise ScriptError(f"There is no model at {path}; the scripts train_*.py make one.")
    try:
        return keras.saving.load_model(path)
    except Exception as error:
        raise ScriptError(f"{path} is not a model that Keras can load: {error}") from error


def check_input_shape(model: keras.Model, dataset: bnn.datasets.Dataset) -> None:
    """Raises ScriptError if a model does not take the images of a data set."""
    if model.input_shape[1:] != dataset.x_test.shape[1:]:
        raise ScriptError(
            f"The model takes images of shape {model.input_shape[1:]}; {dataset.name} has {dataset.x_test.shape[1:]}."
        )


def check_bayesian(model: keras.Model, path: Path) -> None:
    """Raises ScriptError if a model that was loaded has no Bayesian layers."""
    if not bnn.layers.variational_layers(model):
        raise ScriptError(f"{path} must have Bayesian layers. Received: a plain network")


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Writes a JSON file."""
    with whole_file(path) as unfinished:
        text = json.dumps(content, indent=2)
        # Lists of numbers in one line.
        text = re.sub(r"\[[^\[\]{}]*\]", lambda match: re.sub(r"\s*\n\s*", " ", match[0]), text)
        unfinished.write_text(text + "\n")
    log.info("wrote %s", path)


def log_devices() -> list[str]:
    """Logs where Keras computes; returns its devices."""
    devices = keras.distribution.list_devices()
    log.info("Keras %s on %s, devices: %s", keras.__version__, keras.backend.backend(), ", ".join(devices))
    return devices


def provenance(args: argparse.Namespace, devices: Sequence[str]) -> dict[str, Any]:
    """Returns what made a result: arguments, command, devices and versions."""
    return {
        "arguments": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "command": command(),
        "devices": list(devices),
        "versions": versions(),
    }


def command() -> str:
    """Returns the command that runs this script as it was run."""
    backend = [f"KERAS_BACKEND={keras.backend.backend()}"] if keras.backend.backend() != "tensorflow" else []
    script, *arguments = sys.argv
    # `python -m` gives the whole path, which is another one in each checkout.
    path = Path(script).relative_to(ROOT) if Path(script).is_relative_to(ROOT) else script
    return " ".join([*backend, "python", shlex.join([str(path), *arguments])])


def versions() -> dict[str, str]:
    """Returns the versions that made a result."""
    packages = ("keras", keras.backend.backend(), "tensorflow-probability", "numpy")
    found = {"python": sys.version.split()[0], "tfp_bnn": bnn.__version__, "backend": keras.backend.backend()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
