"""Bayes by Backprop on MNIST or Fashion-MNIST: a multilayer perceptron, Bayesian or by SGD or with dropout.

OUTPUT_DIR then holds model.keras, history.csv, curves.png, metrics.json (validation and test error, nll and ECE of the
mean weights, of one draw and of the ensemble of draws) and, of a Bayesian network, weights.png and signal_to_noise.png.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.interrupts import fit, read_history, resume
from scripts.common.reporting import ScriptError, log
from scripts.learning.mlp_presets import PRESETS
from scripts.learning.several_draws import RepeatedBatches, schedule_of_minibatches

RUN_FILES = ("model.keras", "history.csv", "metrics.json", "backup")


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    reporting.add_data_arguments(parser)
    parser.add_argument("--preset", choices=tuple(PRESETS), help="a whole recipe; other arguments change it")
    parser.add_argument(
        "--method", choices=("bayes", "sgd", "dropout"), default="bayes", help="how the weights are trained"
    )
    parser.add_argument("--units", type=int, default=400, help="width of each hidden layer")
    parser.add_argument("--layers", type=int, default=2, help="number of hidden layers")
    parser.add_argument("--pixel-divisor", type=float, default=255.0, help="what pixels of 0 to 255 are divided by")
    parser.add_argument("--num-validation", type=int, default=10_000, help="last training images to hold out")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/mlp"))
    parser.add_argument("--resume", action="store_true", help="go on with the run in the output directory")
    bayes = parser.add_argument_group("Bayes by Backprop")
    bayes.add_argument("--prior", choices=reporting.PRIORS, default="scale-mixture")
    bayes.add_argument("--sigma-1", type=float, default=1.0, help="standard deviation of the prior or its wide part")
    bayes.add_argument("--sigma-2", type=float, default=math.exp(-6), help="standard deviation of its narrow part")
    bayes.add_argument("--pi", type=float, default=0.5, help="share of the wide part")
    bayes.add_argument("--learn-prior", action="store_true", help="learn the mixture, one for all layers")
    bayes.add_argument("--estimator", choices=reporting.ESTIMATORS, default="reparameterization")
    bayes.add_argument("--initial-stddev", type=float, default=0.05, help="posterior standard deviation at the start")
    bayes.add_argument(
        "--initial-mean-range",
        type=float,
        help="uniform means at the start, from minus this to this; default: He normal",
    )
    bayes.add_argument("--kl-schedule", choices=("constant", "warmup", "cyclical", "blundell"), default="constant")
    bayes.add_argument("--warmup-epochs", type=float, default=5, help="of --kl-schedule warmup")
    bayes.add_argument("--beta", type=float, default=1.0, help="tempering of the KL term; 1 is the Bayesian posterior")
    bayes.add_argument("--train-draws", type=int, default=1, help="weight draws of a training step")
    bayes.add_argument("--num-draws", type=int, default=100, help="weight draws of a prediction")
    training = parser.add_argument_group("training")
    training.add_argument("--optimizer", choices=("sgd", "adam"), help="default: sgd for --method sgd, adam for others")
    training.add_argument("--momentum", type=float, default=0.0, help="of SGD")
    training.add_argument(
        "--learning-rate", type=float, default=1e-3, help="of the mean loss of a batch; the paper's are of the sum"
    )
    training.add_argument(
        "--lr-schedule",
        choices=("constant", "step", "cosine"),
        default="constant",
        help="step: a tenth from the middle on",
    )
    training.add_argument("--epochs", type=int, default=100)
    training.add_argument("--batch-size", type=int, default=128)
    training.add_argument("--backup-every", type=int, default=5, help="epochs between backups")
    training.add_argument("--seed", type=int, default=0, help="seed of everything random")
    return parser


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments, over those of the preset, over the defaults."""
    parser = make_parser()
    preset = parser.parse_known_args()[0].preset
    parser.set_defaults(**PRESETS.get(preset, {}))
    args = parser.parse_args()
    if args.optimizer is None:
        args.optimizer = "sgd" if args.method == "sgd" else "adam"
    return args


def check_arguments(args: argparse.Namespace) -> None:
    """Raises ScriptError if something is wrong, before any work is done."""
    reporting.check_at_least_one(
        args, "units", "layers", "train_draws", "num_draws", "epochs", "batch_size", "backup_every"
    )
    if args.learn_prior and args.prior != "scale-mixture":
        raise ScriptError(f"--learn-prior needs --prior scale-mixture. Received: --prior {args.prior}")
    if not args.pixel_divisor > 0:
        raise ScriptError(f"--pixel-divisor must be positive. Received: {args.pixel_divisor}")
    if args.initial_mean_range is not None and not args.initial_mean_range > 0:
        raise ScriptError(f"--initial-mean-range must be positive. Received: {args.initial_mean_range}")
    reporting.check_no_run(args.output_dir, RUN_FILES, args.resume)
    reporting.make_output_directory(args.output_dir)


# The networks.


def make_prior(args: argparse.Namespace) -> bnn.priors.Prior:
    """Returns the prior of all weights."""
    if args.prior == "normal":
        return bnn.priors.Normal(scale=args.sigma_1)
    return bnn.priors.ScaleMixture(args.sigma_1, args.sigma_2, args.pi, trainable=args.learn_prior)


def bayesian_layers(args: argparse.Namespace, widths: list[int]) -> list[keras.layers.Layer]:
    """Returns layers whose weights are all random, biases too, with one prior."""
    prior = make_prior(args)
    reach = args.initial_mean_range
    means = "he_normal" if reach is None else keras.initializers.RandomUniform(-reach, reach)
    posterior = bnn.posteriors.MeanFieldNormal(args.initial_stddev, means)
    random = {"prior": prior, "posterior": posterior, "bias_prior": prior, "bias_posterior": posterior}
    random["estimator"] = args.estimator
    return [bnn.layers.Dense(width, activation, **random) for width, activation in with_activations(widths)]


def plain_layers(args: argparse.Namespace, widths: list[int]) -> list[keras.layers.Layer]:
    """Returns Keras's layers, with dropout of inputs (0.2) and hidden units (0.5) if asked."""
    layers: list[keras.layers.Layer] = []
    for width, activation in with_activations(widths):
        if args.method == "dropout":
            layers.append(keras.layers.Dropout(0.5 if layers else 0.2))
        layers.append(keras.layers.Dense(width, activation, kernel_initializer="he_normal"))
    return layers


def with_activations(widths: list[int]) -> list[tuple[int, str | None]]:
    """Returns each width with its activation: none for the last."""
    return [*((width, "relu") for width in widths[:-1]), (widths[-1], None)]


def make_optimizer(args: argparse.Namespace, steps: int) -> keras.optimizers.Optimizer:
    """Returns the optimizer; its schedule ends after so many steps.

    Keras's schedules count each draw of the weights, also those whose gradients are only summed up.
    """
    steps *= args.train_draws
    schedules = keras.optimizers.schedules
    rate = {
        "constant": lambda: args.learning_rate,
        "step": lambda: schedules.PiecewiseConstantDecay([steps // 2], [args.learning_rate, args.learning_rate / 10]),
        "cosine": lambda: schedules.CosineDecay(args.learning_rate, steps),
    }[args.lr_schedule]()
    accumulate = {"gradient_accumulation_steps": args.train_draws} if args.train_draws > 1 else {}
    if args.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=args.momentum, **accumulate)
    return keras.optimizers.Adam(rate, **accumulate)


def make_model(args: argparse.Namespace, dataset: bnn.datasets.Dataset, steps: int) -> keras.Model:
    """Returns the network, compiled; it takes pixels from 0 to 1, and divides them anew itself."""
    widths = [args.units] * args.layers + [len(dataset.class_names)]
    layers = bayesian_layers(args, widths) if args.method == "bayes" else plain_layers(args, widths)
    model = keras.Sequential(
        [
            keras.Input(dataset.x_train.shape[1:]),
            keras.layers.Rescaling(255 / args.pixel_divisor),
            keras.layers.Flatten(),
            *layers,
        ],
        name=f"mlp_{args.method}",
    )
    model.compile(make_optimizer(args, steps), loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
    return model


# Training.


def kl_callback(args: argparse.Namespace, num_examples: int) -> keras.callbacks.Callback:
    """Returns the callback that weighs the KL term."""
    schedule = {
        "constant": bnn.kl_schedules.constant,
        "warmup": bnn.kl_schedules.linear_warmup(args.warmup_epochs),
        "cyclical": bnn.kl_schedules.cyclical(max(1, args.epochs / 5)),
        "blundell": bnn.kl_schedules.blundell,
    }[args.kl_schedule]
    schedule = schedule_of_minibatches(schedule, args.train_draws)
    return bnn.callbacks.KLWeight(num_examples, args.beta, schedule=schedule)


def train(args: argparse.Namespace, model: keras.Model, train: tuple, validation: tuple) -> bool:
    """Trains the model; returns whether it went to the end."""
    done, records = resume(model, args.output_dir, args.backup_every)
    x, y = train
    log.info("training on %d images, validating on %d, for %d epochs", len(x), len(validation[0]), args.epochs - done)
    weighs_kl = [kl_callback(args, len(x))] if args.method == "bayes" else []
    if args.train_draws > 1:
        reporting.repeats_data()
        data: tuple = (RepeatedBatches(x, y, args.batch_size, args.train_draws, args.seed + done),)
        how: dict[str, Any] = {"shuffle": False}
    else:
        data, how = (x, y), {"batch_size": args.batch_size}
    finished = fit(
        model,
        *data,
        epochs=args.epochs,
        validation_data=validation,
        validation_batch_size=1000,
        callbacks=[*weighs_kl, *records],
        **how,
    )
    log.info("wrote %s", reporting.save_model(model, args.output_dir))
    return finished


# Evaluation.


def predictives(args: argparse.Namespace, model: keras.Model, x: np.ndarray) -> Iterator[tuple[str, bnn.Predictive]]:
    """Yields the predictions of the mean weights and, of a Bayesian network, of each draw together."""
    plain = bnn.to_deterministic(model) if args.method == "bayes" else model
    yield "mean_weights", reporting.predict_plain(plain, x)
    if args.method == "bayes":
        yield "ensemble", bnn.predict(model, x, args.num_draws, seed=args.seed)


def evaluate(args: argparse.Namespace, model: keras.Model, x: np.ndarray, y: np.ndarray) -> dict[str, dict[str, float]]:
    """Returns error, nll and ECE of the mean weights, of one draw (their average over draws), and of all draws."""
    figures = {}
    for name, predictive in predictives(args, model, x):
        figures[name] = reporting.quality(predictive, y)
        if name == "ensemble":
            draws = [reporting.quality(draw, y) for draw in reporting.single_draws(predictive)]
            figures["one_draw"] = {key: float(np.mean([draw[key] for draw in draws])) for key in draws[0]}
    return figures


def draw_figures(args: argparse.Namespace, model: keras.Model, history: pd.DataFrame) -> None:
    """Writes the pictures."""
    if len(history):
        reporting.save_figure(bnn.plots.training_curves(history), args.output_dir, "curves")
    if args.method == "bayes":
        reporting.save_figure(bnn.plots.weight_posteriors(model), args.output_dir, "weights")
        reporting.save_figure(bnn.plots.signal_to_noise(model), args.output_dir, "signal_to_noise")


def main() -> None:
    """Trains, evaluates, and writes everything down."""
    args = parse_arguments()
    check_arguments(args)
    keras.utils.set_random_seed(args.seed)
    dataset = reporting.load_dataset(args.dataset, args.data_dir)
    # The sample of MNIST has fewer images than are held out of MNIST.
    args.num_validation = min(args.num_validation, len(dataset.x_train) // 6 * 2)
    training, validation = dataset.split_validation(args.num_validation)
    steps = args.epochs * math.ceil(len(training[0]) / args.batch_size)
    model = make_model(args, dataset, steps)
    devices = reporting.log_devices()
    finished = train(args, model, training, validation)
    history = read_history(args.output_dir)
    report = {
        "dataset": dataset.name,
        "finished": finished,
        "epochs": int(model.optimizer.iterations) / math.ceil(len(training[0]) / args.batch_size),
        "seconds": round(float(history["seconds"].sum()), 1),
        "validation": evaluate(args, model, *validation) if len(validation[0]) else None,
        "test": evaluate(args, model, dataset.x_test, dataset.y_test),
        **reporting.provenance(args, devices),
    }
    draw_figures(args, model, history)
    reporting.write_json(report, args.output_dir / "metrics.json")
    for name, figures in report["test"].items():
        log.info("test, %s: error %.2f %%, %.4f nats, ECE %.4f", name, *figures.values())


if __name__ == "__main__":
    reporting.exit_on_error(main)
