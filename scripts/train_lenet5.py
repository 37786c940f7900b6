"""Trains a Bayesian LeNet5 on images and shows what it knows and what it does not know.

While it trains, and at the end, it draws the weights 50 times and predicts held-out images and noise images. At the
end, OUTPUT_DIR holds model.keras, history.csv, metrics.json and, for each picture, one a step and the last one:
heldout.png, noise.png, weights.png; and curves.png, uncertainty.png.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.interrupts import fit, read_history, resume
from scripts.common.reporting import NUM_PICTURES, ScriptError, log

RUN_FILES = ("model.keras", "history.csv", "metrics.json", "backup")


def parse_arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    reporting.add_prediction_arguments(parser)
    parser.add_argument("--epochs", type=int, help="stop after so many epochs, if --max-steps does not stop it before")
    parser.add_argument("--max-steps", type=int, default=6000, help="stop after so many training steps")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of Adam at the start")
    parser.add_argument(
        "--lr-schedule", choices=("constant", "cosine"), default="cosine", help="cosine: it falls to 0 at the end"
    )
    parser.add_argument("--viz-every", type=int, default=400, help="training steps between pictures")
    reporting.add_activation_arguments(parser)
    parser.add_argument("--estimator", choices=reporting.ESTIMATORS, default="flipout")
    parser.add_argument("--prior", choices=reporting.PRIORS, default="normal")
    parser.add_argument("--learn-prior", action="store_true", help="learn the scale mixture, one for all layers")
    parser.add_argument("--prior-scale", type=float, default=0.3, help="standard deviation of the normal prior")
    parser.add_argument("--initial-stddev", type=float, default=0.01, help="posterior standard deviation at the start")
    parser.add_argument("--warmup-epochs", type=float, default=0, help="epochs over which the KL weight rises to 1 / N")
    parser.add_argument("--num-validation", type=int, help="last training images to hold out; default: one in six")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/lenet5"))
    parser.add_argument("--resume", action="store_true", help="go on with the run in the output directory")
    return parser.parse_args()


def check_arguments(args: argparse.Namespace) -> None:
    """Raises ScriptError if something is wrong, before any work is done."""
    # Pictures are of validation images.
    reporting.check_at_least_one(args, "max_steps", "epochs", "batch_size", "viz_every", "num_draws", "num_validation")
    reporting.check_positive(args, "learning_rate", "prior_scale", "initial_stddev")
    if args.learn_prior and args.prior != "scale-mixture":
        raise ScriptError(f"--learn-prior needs --prior scale-mixture. Received: --prior {args.prior}")
    reporting.check_share(args, "cutoff")
    reporting.check_no_run(args.output_dir, RUN_FILES, args.resume)
    reporting.make_output_directory(args.output_dir)


def steps_in_all(args: argparse.Namespace, num_examples: int) -> int:
    """Returns after how many steps the training ends."""
    steps = args.max_steps
    return min(steps, args.epochs * math.ceil(num_examples / args.batch_size)) if args.epochs else steps


def learning_rate(args: argparse.Namespace, steps: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Returns Adam's learning rate, or its schedule over so many steps."""
    if args.lr_schedule == "cosine":
        return keras.optimizers.schedules.CosineDecay(args.learning_rate, steps)
    return args.learning_rate


def make_model(args: argparse.Namespace, dataset: bnn.datasets.Dataset, rate: Any) -> keras.Model:
    """Returns the Bayesian LeNet5, compiled."""
    if args.prior == "scale-mixture":
        prior = bnn.priors.ScaleMixture(sigma_1=1.0, sigma_2=math.exp(-3), pi=0.5, trainable=args.learn_prior)
    else:
        prior = bnn.priors.Normal(scale=args.prior_scale)
    model = bnn.models.lenet5(
        dataset.x_train.shape[1:],
        len(dataset.class_names),
        activation=args.activation,
        dense_activation=args.dense_activation,
        estimator=args.estimator,
        prior=prior,
        posterior=bnn.posteriors.MeanFieldNormal(initial_stddev=args.initial_stddev),
    )
    model.compile(keras.optimizers.Adam(rate), loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
    return model


class Pictures:
    """Draws the pictures of a training: some held-out images, some noise images, and the weights."""

    def __init__(
        self, model: keras.Model, args: argparse.Namespace, images: np.ndarray, labels: np.ndarray, names: Any
    ):
        self._model = model
        self._args = args
        self._last = -1
        self._images, self._labels, self._names = images[:NUM_PICTURES], labels[:NUM_PICTURES], names
        self._noise = bnn.datasets.gaussian_noise(NUM_PICTURES, images.shape[1:], seed=args.seed)

    def draw(self, step: int) -> None:
        """Writes the pictures of a training step, and again as the last ones, unless they are there."""
        if step == self._last:
            return
        self._last = step
        self._draw_predictions("heldout", step, self._images, self._labels)
        self._draw_predictions("noise", step, self._noise, None)
        self._save(bnn.plots.weight_posteriors(self._model), "weights", step)

    def _draw_predictions(self, name: str, step: int, images: np.ndarray, labels: np.ndarray | None) -> None:
        predictive = bnn.predict(self._model, images, self._args.num_draws, seed=self._args.seed)
        self._save(bnn.plots.predictions(images, predictive, labels, self._names), name, step)

    def _save(self, figure: Any, name: str, step: int) -> None:
        reporting.save_figure(figure, self._args.output_dir, f"{name}_{step:05d}", name)


def train(args: argparse.Namespace, dataset: bnn.datasets.Dataset) -> tuple[keras.Model, bool]:
    """Returns the trained model, and whether it was trained to the end."""
    (x_train, y_train), (x_val, y_val) = reporting.split_validation(dataset, args.num_validation)
    rate = learning_rate(args, steps_in_all(args, len(x_train)))
    model = make_model(args, dataset, rate)
    pictures = Pictures(model, args, x_val, y_val, dataset.class_names)
    done, records = resume(model, args.output_dir)
    steps = max(0, args.max_steps - int(model.optimizer.iterations))
    epochs = done + math.ceil(steps / math.ceil(len(x_train) / args.batch_size))
    log.info("training on %d images, validating on %d, for %d steps", len(x_train), len(x_val), steps)
    log.info(
        "loss = nll + kl / %d. nll: how far predictions are from the labels, in nats an image. kl: how far all weights "
        "together are from the prior, in nats; it falls slowly, and on few images it is nearly all of the loss",
        len(x_train),
    )
    callbacks = [
        # Before all that write something: it raises where the loss is not a number.
        bnn.callbacks.KLWeight(num_examples=len(x_train), warmup_epochs=args.warmup_epochs),
        *records,
        # The backup restores the learning rate too.
        keras.callbacks.LambdaCallback(on_train_begin=lambda logs: setattr(model.optimizer, "learning_rate", rate)),
        bnn.callbacks.EverySteps(args.viz_every, pictures.draw),
        bnn.callbacks.EverySteps(args.max_steps, lambda step: setattr(model, "stop_training", True)),
    ]
    finished = fit(
        model,
        x_train,
        y_train,
        batch_size=args.batch_size,
        epochs=min(epochs, args.epochs or epochs),
        validation_data=(x_val, y_val),
        validation_batch_size=1000,
        callbacks=callbacks,
    )
    log.info("wrote %s", reporting.save_model(model, args.output_dir))
    pictures.draw(int(model.optimizer.iterations))
    return model, finished


def evaluate(args: argparse.Namespace, model: keras.Model, dataset: bnn.datasets.Dataset) -> dict[str, Any]:
    """Returns the figures on test and noise images, also at the temperature that validation images ask for."""
    _, (x_val, y_val) = reporting.split_validation(dataset, args.num_validation)
    kinds = {"validation": x_val, "heldout": dataset.x_test}
    kinds |= reporting.noise_images(1000, dataset.x_test.shape[1:], args.seed)
    predictives = {}
    for name, images in kinds.items():
        log.info("predicting %d images with %d draws: %s", len(images), args.num_draws, name)
        predictives[name] = bnn.predict(model, images, args.num_draws, seed=args.seed)
    validation = predictives.pop("validation")
    reporting.save_figure(bnn.plots.uncertainty(predictives), args.output_dir, "uncertainty")
    metrics = measure(args, predictives, dataset.y_test)
    try:
        temperature = bnn.calibrate_temperature(validation, y_val)
    except ValueError as error:
        log.warning("no temperature: %s", error)
        return metrics
    scaled = {name: predictive.at_temperature(temperature) for name, predictive in predictives.items()}
    return {**metrics, "temperature": temperature, "at_temperature": measure(args, scaled, dataset.y_test)}


def measure(args: argparse.Namespace, predictives: dict[str, bnn.Predictive], labels: np.ndarray) -> dict[str, Any]:
    """Returns how unsure each prediction is, and how good that of the test images."""
    metrics = {name: reporting.uncertainty_metrics(predictive, args.cutoff) for name, predictive in predictives.items()}
    metrics["heldout"] |= reporting.accuracy_metrics(predictives["heldout"], labels, args.cutoff)
    return metrics


def main() -> None:
    """Trains, evaluates, and writes everything down."""
    args = parse_arguments()
    check_arguments(args)
    keras.utils.set_random_seed(args.seed)
    dataset = reporting.load_dataset(args.dataset, args.data_dir)
    devices = reporting.log_devices()
    model, finished = train(args, dataset)
    history = read_history(args.output_dir)
    if len(history):
        reporting.save_figure(bnn.plots.training_curves(history), args.output_dir, "curves")
    report = {
        "dataset": dataset.name,
        "source": dataset.source,
        "finished": finished,
        "steps": int(model.optimizer.iterations),
        "seconds": round(float(history["seconds"].sum()), 1),
        "num_draws": args.num_draws,
        "cutoff": args.cutoff,
        **evaluate(args, model, dataset),
        **reporting.provenance(args, devices),
    }
    reporting.write_json(report, args.output_dir / "metrics.json")
    held_out = report["heldout"]
    log.info("test accuracy %.4f, %.4f nats an image", held_out["accuracy"], held_out["log_likelihood"])
    for name in ("heldout", "gaussian_noise", "uniform_noise"):
        shares = report[name]
        log.info(
            "%s: entropy %.3f nats of %.2f at most; %.1f %% refused, as no class has a probability of %g",
            name,
            shares["mean_entropy"],
            math.log(len(dataset.class_names)),
            100 * shares["fraction_refused"],
            args.cutoff,
        )


if __name__ == "__main__":
    reporting.exit_on_error(main)
