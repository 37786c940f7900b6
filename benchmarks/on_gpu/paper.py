"""Bayes by Backprop on MNIST (Blundell et al. 2015): recipes on validation images, then the test, then pruning."""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np

import tfp_bnn as bnn
from benchmarks.on_gpu import recipes, training
from benchmarks.on_gpu.recipes import Recipe
from benchmarks.on_gpu.report import Report
from benchmarks.on_gpu.training import Group
from scripts.common import reporting
from scripts.common.reporting import ScriptError, log

SPARSITIES = (0.5, 0.75, 0.95, 0.98)
NUM_VALIDATION = 10_000
# Pixels of 0 to 255 are divided by 126, as in the paper.
PIXELS = 255 / 126

Images = tuple[np.ndarray, np.ndarray]


class Data:
    """MNIST in rows, without the images that are held out."""

    def __init__(self, quick: bool):
        dataset = bnn.datasets.load("mnist")
        held_out = dataset.split_validation(NUM_VALIDATION)
        parts = (*held_out, (dataset.x_test, dataset.y_test))
        many = 1000 if quick else None
        self.train, self.validation, self.test = (
            (PIXELS * x[:many].reshape(len(x[:many]), -1), y[:many]) for x, y in parts
        )
        self.on_device = tuple(jax.numpy.asarray(array) for array in self.train)


class Clock:
    """How much of the run's time is left.

    Args:
        seconds: how long the run may take.
        reserve: what to leave for predictions.
    """

    def __init__(self, seconds: float, reserve: float):
        self._start = time.perf_counter()
        self._deadline, self._end = self._start + seconds - reserve, self._start + seconds
        self._last_training: float | None = None

    def passed(self) -> float:
        """Returns the seconds since the start."""
        return time.perf_counter() - self._start

    def is_over(self) -> bool:
        """Returns whether there is no time left at all."""
        return time.perf_counter() > self._end

    def left(self) -> float:
        """Returns the seconds that are left for training."""
        return self._deadline - time.perf_counter()

    def train(self, group: Group, epochs: int) -> int:
        """Trains a group; what was done since the last one, predictions, is none of the time for training."""
        if self._last_training is not None:
            self._deadline = min(self._end, self._deadline + time.perf_counter() - self._last_training)
        done = group.train(epochs, self._deadline)
        self._last_training = time.perf_counter()
        return done


# Trainings.


def prepare(groups: Sequence[Group], clock: Clock, most_epochs: Sequence[int]) -> list[int]:
    """Compiles; returns for how many epochs each group trains: at most as many as given, and all within the time."""
    training.compile_all(groups)
    log.info("compiled %d programs after %.0f s", len(groups), clock.passed())
    seconds = [group.seconds_an_epoch() for group in groups]
    for group, each in zip(groups, seconds, strict=True):
        first = group.recipes[0]
        log.info(
            "%.3f s an epoch: %d x 2x%d, %s, %s",
            each,
            len(group.recipes),
            first.width,
            first.estimator,
            first.optimizer,
        )
    left, epochs = 0.97 * clock.left(), 0
    while sum(each * min(epochs + 1, most) for each, most in zip(seconds, most_epochs, strict=True)) <= left:
        epochs += 1
        if epochs == max(most_epochs):
            break
    if epochs < 1:
        raise ScriptError(f"--seconds must leave time to train. Received: {clock.passed():.0f} s have passed already")
    log.info("%d epochs fit", epochs)
    return [min(epochs, most) for most in most_epochs]


def figures(model: keras.Model, data: Images, num_draws: int) -> dict[str, float]:
    """Returns error in percent, nll and ECE of the ensemble of draws, and the error of one draw."""
    images, labels = data
    predictive = bnn.predict(model, images, num_draws, batch_size=len(images), seed=0, verbose=False)
    one = 100 * float((predictive.outputs.argmax(axis=-1) != labels).mean())
    found = {**reporting.quality(predictive, labels), "error_percent_of_one_draw": one}
    return {name: round(value, 5) for name, value in found.items()}


def error_of_means(model: keras.Model, weights: Sequence[Any], data: Images, num_draws: int) -> float:
    """Returns the error of the mean weights in percent: of draws without noise, since those are compiled already."""
    quiet = [
        jax.numpy.full_like(value, -100.0) if variable.name.endswith("_rho") else value
        for variable, value in zip(model.trainable_variables, weights, strict=True)
    ]
    return figures(training.with_weights(model, quiet), data, num_draws)["error_percent"]


class Pruned:
    """Pruned copies of a network, one after the other in one model, so that it is compiled once."""

    def __init__(self) -> None:
        self._model: keras.Model | None = None

    def figures(self, model: keras.Model, sparsity: float, data: Images, num_draws: int) -> dict[str, float]:
        """Returns what a network is worth whose weights of least signal-to-noise ratio are pruned."""
        copy = bnn.prune(model, sparsity)
        if self._model is None:
            self._model = copy
        else:
            self._model.set_weights(copy.get_weights())
        kept = bnn.count_weights(self._model).kept
        return {"sparsity": sparsity, "weights_kept": kept, **figures(self._model, data, num_draws)}


def described(group: Group, index: int, epochs: int) -> dict[str, Any]:
    """Returns what a training was."""
    recipe = group.recipes[index]
    nll, kl = (float(half[index]) for half in group.halves)
    return {
        "recipe": dataclasses.asdict(recipe),
        "epochs": epochs,
        "seconds_of_the_group": round(group.seconds, 1),
        "networks_in_the_group": len(group.recipes),
        "train_nll": nll,
        "train_kl_a_image": kl,
    }


# Choosing, on validation images.


def tune(args: argparse.Namespace) -> None:
    """Trains all recipes for equally many epochs; writes their validation errors."""
    clock, report = Clock(args.seconds, args.reserve), Report(args.command, args, "results", "pruned")
    data = Data(args.quick)
    tried = list(recipes.tried(args.widths))
    if args.quick:
        tried = [dataclasses.replace(recipe, width=16) for recipe in tried[:: max(1, len(tried) // 4)]]
    groups = training.grouped(tried, *data.on_device)
    trained = []
    for group, epochs in zip(groups, prepare(groups, clock, [args.epochs] * len(groups)), strict=True):
        done = clock.train(group, epochs)
        for index, recipe in enumerate(group.recipes):
            weights = group.weights(index)
            model = training.with_weights(training.predictor(recipe.width), weights)
            found = figures(model, data.validation, args.num_draws)
            report.add(
                "results",
                {
                    "name": recipe.name,
                    "width": recipe.width,
                    "validation_error_percent": found["error_percent"],
                    "validation_nll": round(found["nll"], 4),
                    "validation": found,
                    **described(group, index, done),
                },
            )
            trained.append((found["error_percent"], recipe, weights))
    _prune_best(report, [each for each in trained if each[1].width == args.widths[0] or args.quick], data, clock, args)
    for result in sorted(report["results"], key=_order):
        log.info(
            "2x%d %-60s %.2f %% %.4f nats, one draw %.2f %%; train %.4f + %.4f",
            result["width"],
            result["name"],
            result["validation_error_percent"],
            result["validation_nll"],
            result["validation"]["error_percent_of_one_draw"],
            result["train_nll"],
            result["train_kl_a_image"],
        )


def _prune_best(report: Report, trained: list[Any], data: Data, clock: Clock, args: argparse.Namespace) -> None:
    pruned = Pruned()
    for error, recipe, weights in sorted(trained, key=lambda each: each[0])[:4]:
        if clock.is_over():
            return
        model = training.with_weights(training.predictor(recipe.width), weights)
        found = pruned.figures(model, 0.98, data.validation, args.num_draws)
        report.add(
            "pruned", {"name": recipe.name, "unpruned": error, "pruned_98": found["error_percent"], "validation": found}
        )


def _order(result: dict[str, Any]) -> Any:
    return -result["width"], result["validation_error_percent"], result["validation_nll"]


# The finals.


def paper(args: argparse.Namespace) -> None:
    """Trains with several seeds, chooses on validation images, measures the test error of what was chosen, and prunes.

    By the public recipe the networks of the first width train with several standard deviations at the start; the best
    serves all widths. For fewer epochs, the best of `tune` with Adam and either prior train at the greatest width.
    """
    clock, report = Clock(args.seconds, args.reserve), Report(args.command, args, "results", "summary", "pruning")
    data = Data(args.quick)
    narrowest, *wider = args.widths
    by_public_recipe = [
        _with_seeds((recipes.public_recipe(narrowest, stddev) for stddev in args.initial_stddevs), args),
        *(_with_seeds([recipes.public_recipe(width)], args) for width in wider),
    ]
    by_adam = [_with_seeds([recipe], args) for recipe in _best_of_adam(args)]
    groups = [Group(each, *data.on_device) for each in (*by_public_recipe, *by_adam)]
    most = [args.epochs] * len(by_public_recipe) + [args.adam_epochs] * len(by_adam)
    stddev, pruned = None, Pruned()
    for group, epochs in zip(groups, prepare(groups, clock, most), strict=True):
        if stddev is not None and group.recipes[0].optimizer == "sgd":
            width = group.recipes[0].width
            group.start(_with_seeds([recipes.public_recipe(width, stddev)], args))
        trained = list(_train(group, epochs, data, clock, args))
        best = min({_name(each) for each, _ in trained}, key=lambda name: _mean_validation_error(trained, name))
        chosen = [each for each in trained if _name(each[0]) == best]
        stddev = chosen[0][0]["recipe"]["initial_stddev"] if stddev is None else stddev
        _test(chosen, data, report, args)
        if args.quick or (group.recipes[0].width == max(args.widths) and group.recipes[0].prior == "mixture"):
            _prune(chosen, pruned, data, report, args)
        for result, _ in trained:
            if _name(result) != best:
                report.add("results", result)


def _with_seeds(some: Iterable[Recipe], args: argparse.Namespace) -> list[Recipe]:
    width = {"width": 16} if args.quick else {}
    return [dataclasses.replace(recipe, seed=seed, **width) for recipe in some for seed in range(args.seeds)]


def _best_of_adam(args: argparse.Namespace) -> Iterable[Recipe]:
    """Yields the recipes of least validation error with Adam, of each kind of prior, for the greatest width."""
    results = json.loads((Path(args.output_dir) / "tune.json").read_text())["results"]
    for prior in ("mixture", "normal"):
        found = [
            result
            for result in results
            if result["recipe"]["prior"] == prior
            and result["recipe"]["optimizer"] == "adam"
            and (args.quick or result["width"] == max(args.widths))
        ]
        for result in sorted(found, key=_order)[:1]:
            yield Recipe(**result["recipe"])


def _train(
    group: Group, epochs: int, data: Data, clock: Clock, args: argparse.Namespace
) -> Iterable[tuple[dict[str, Any], list[Any]]]:
    """Yields what each network of a group is on validation images, and its weights."""
    done = clock.train(group, epochs)
    for index, recipe in enumerate(group.recipes):
        weights = group.weights(index)
        model = training.with_weights(training.predictor(recipe.width), weights)
        found = figures(model, data.validation, args.num_draws)
        log.info("%s, seed %d: validation error %.2f %%", recipe.name, recipe.seed, found["error_percent"])
        yield {"seed": recipe.seed, "validation": found, **described(group, index, done)}, weights


def _name(result: dict[str, Any]) -> str:
    return result["recipe"]["name"]


def _mean_validation_error(trained: list[Any], name: str) -> float:
    return float(np.mean([each["validation"]["error_percent"] for each, _ in trained if _name(each) == name]))


def _test(chosen: list[Any], data: Data, report: Report, args: argparse.Namespace) -> None:
    """Measures the networks of the recipe that was chosen on the test images."""
    errors, nlls = [], []
    for result, weights in chosen:
        predictor = training.predictor(result["recipe"]["width"])
        result["test"] = figures(training.with_weights(predictor, weights), data.test, args.num_draws)
        result["test"]["error_percent_of_mean_weights"] = error_of_means(predictor, weights, data.test, args.num_draws)
        errors.append(result["test"]["error_percent"])
        nlls.append(result["test"]["nll"])
        report.add("results", result)
    report.add(
        "summary",
        {
            "width": chosen[0][0]["recipe"]["width"],
            "prior": chosen[0][0]["recipe"]["prior"],
            "recipe": _name(chosen[0][0]),
            "seeds": len(chosen),
            "epochs": chosen[0][0]["epochs"],
            "mean_test_error_percent": round(float(np.mean(errors)), 3),
            "stddev": round(float(np.std(errors, ddof=1)), 3) if len(errors) > 1 else None,
            "mean_validation_error_percent": round(_mean_validation_error(chosen, _name(chosen[0][0])), 3),
            "mean_test_nll": round(float(np.mean(nlls)), 4),
            "test_errors": " ".join(f"{error:.2f}" for error in errors),
        },
    )


def _prune(chosen: list[Any], pruned: Pruned, data: Data, report: Report, args: argparse.Namespace) -> None:
    for result, weights in chosen:
        predictor = training.with_weights(training.predictor(result["recipe"]["width"]), weights)
        for sparsity in args.sparsities:
            found = pruned.figures(predictor, sparsity, data.test, args.num_draws)
            added = found["error_percent"] - result["test"]["error_percent"]
            report.add(
                "pruning", {"recipe": _name(result), "seed": result["seed"], **found, "error_added": round(added, 3)}
            )
