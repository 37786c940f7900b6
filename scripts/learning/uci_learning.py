"""Networks of the UCI regressions, their training and what a prediction is worth."""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.data import uci_data
from scripts.learning.learning_loop import compiled_steps

INTERVAL = 0.025, 0.975
# Normal noise is all too sure of targets that are often the same number; heavier tails bound what that costs.
LIKELIHOODS = {"normal": bnn.likelihoods.Normal, "student-t": bnn.likelihoods.StudentT}
# Compiled calls of a training; what is warmed up grows from one to the next.
CALLS = 50


class VaryingNoise(keras.layers.Layer):
    """Makes `[loc, a + share * r]` of outputs `[loc, r]`: the second one gives the likelihood's scale.

    At a share of 0 the noise is the same for all inputs. A network that may vary it from the start explains as noise
    what it could have learned, and stays there (Seitzer et al. 2022, "On the Pitfalls of Heteroscedastic Uncertainty
    Estimation with Probabilistic Neural Networks").
    """

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes a, trained, and the share, which is set from outside."""
        self.constant = self.add_weight(name="constant", shape=(), initializer="zeros")
        self.share = self.add_weight(name="share", shape=(), initializer="zeros", trainable=False)

    def call(self, outputs: Any) -> Any:
        """Returns the outputs, [n, 2]."""
        loc, varying = keras.ops.split(outputs, 2, axis=-1)
        return keras.ops.concatenate([loc, self.constant + self.share * varying], axis=-1)


def bayesian_network(
    split: uci_data.Split,
    args: argparse.Namespace,
    estimator: str = "local-reparameterization",
    posterior: bnn.posteriors.Posterior | None = None,
) -> keras.Model:
    """Returns the network of Bayes by Backprop; its prior is learned, its weights are independent if not said."""
    return bnn.models.mlp(
        split.x_train.shape[1:],
        [args.units] * args.layers,
        num_outputs=2,
        estimator=estimator,
        prior=bnn.priors.ScaleMixture(sigma_1=1.0, sigma_2=0.1, pi=0.5, trainable=True),
        posterior=posterior or bnn.posteriors.MeanFieldNormal(args.initial_stddev),
    )


def dropout_network(split: uci_data.Split, args: argparse.Namespace, dropout_rate: float) -> keras.Model:
    """Returns the network of MC dropout.

    Its weight decay is `-log N(w | 0, weight_scale^2)` in nats, divided by the number of training rows.
    """
    weights = {
        "kernel_initializer": "he_normal",
        "kernel_regularizer": keras.regularizers.L2(0.5 / (len(split.x_train) * args.weight_scale**2)),
    }
    hidden = [
        layer
        for _ in range(args.layers)
        for layer in (keras.layers.Dense(args.units, "relu", **weights), keras.layers.Dropout(dropout_rate))
    ]
    return keras.Sequential(
        [keras.Input(split.x_train.shape[1:]), *hidden, keras.layers.Dense(2, **weights)], name="mc_dropout"
    )


NETWORKS = {"bayes": bayesian_network, "dropout": dropout_network}


def with_noise(network: keras.Model, likelihood: str, args: argparse.Namespace) -> keras.Model:
    """Returns a network of two outputs with its noise, compiled."""
    model = keras.Sequential([keras.Input(network.input_shape[1:]), network, VaryingNoise()])
    rate = keras.optimizers.schedules.CosineDecay(args.learning_rate, CALLS * math.ceil(args.steps / CALLS))
    model.compile(keras.optimizers.Adam(rate), loss=LIKELIHOODS[likelihood]())
    model.optimizer.build(model.trainable_variables)
    return model


class Learner:
    """One method on one set. The splits' networks follow each other in one model, so that it is compiled once.

    Args:
        make_network: makes the network of a split, of two outputs.
        args: the command line's.
        likelihood: one of LIKELIHOODS.
        beta: what the KL term counts at the end.
    """

    def __init__(
        self,
        make_network: Callable[[uci_data.Split, argparse.Namespace], keras.Model],
        args: argparse.Namespace,
        likelihood: str,
        beta: float = 1.0,
    ):
        self._make_network, self._args, self._likelihood, self._beta = make_network, args, likelihood, beta
        self._model = None

    def fit(self, split: uci_data.Split, seed: int) -> None:
        """Trains a new network on the training rows of a split."""
        keras.utils.set_random_seed(seed)
        rng = np.random.default_rng(seed)
        self._start(with_noise(self._make_network(split, self._args), self._likelihood, self._args))
        num_examples, steps = len(split.x_train), math.ceil(self._args.steps / CALLS)
        batch_size = min(self._args.batch_size, num_examples)
        for call in range(CALLS):
            self._warm_up((call + 1) / (self._args.warmup * CALLS), num_examples)
            rows = rng.integers(num_examples, size=(steps, batch_size))
            self._learn(split.x_train[rows], split.y_train[rows])

    def _start(self, new: keras.Model) -> None:
        if self._model is None:
            self._model, self._learn = new, compiled_steps(new, lambda x, y: (x, y))
            return
        ours, theirs = ([*model.variables, *model.optimizer.variables] for model in (self._model, new))
        for variable, value in zip(ours, theirs, strict=True):
            variable.assign(value)

    def _warm_up(self, progress: float, num_examples: int) -> None:
        share = min(1.0, progress)
        for layer in bnn.layers.variational_layers(self._model):
            layer.kl_weight = self._beta * share / num_examples
        self._model.layers[-1].share.assign(share)

    def predict(self, x: np.ndarray, seed: int) -> bnn.Predictive:
        """Returns the predictive distribution of standardised targets."""
        num_draws = self._args.num_draws
        if bnn.layers.variational_layers(self._model):
            return bnn.predict(self._model, x, num_draws, seed=seed, verbose=False)
        # As in training, each row drops units of its own.
        outputs = keras.ops.convert_to_numpy(self._model(np.tile(x, (num_draws, 1)), training=True))
        return bnn.Predictive(outputs.reshape(num_draws, len(x), -1), self._model.loss)


def figures(predictive: bnn.Predictive, y: np.ndarray, stddev: float) -> dict[str, float]:
    """Returns how good a prediction of standardised targets is, in units of y: one is `stddev` of them."""
    lower, upper = predictive.quantiles(INTERVAL)
    return {
        "rmse": stddev * float(np.sqrt(np.square(predictive.mean() - y).mean())),
        "log_likelihood": log_likelihood(predictive, y, stddev),
        "coverage": bnn.metrics.coverage(y, lower, upper),
        "width": stddev * float((upper - lower).mean()),
    }


def log_likelihood(predictive: bnn.Predictive, y: np.ndarray, stddev: float) -> float:
    """Returns the mean held-out nats of standardised targets, as of y in its own units: one is `stddev` of them."""
    return float(predictive.log_prob(y).mean()) - math.log(stddev)


def measure_log_likelihood(learner: Learner, split: uci_data.Split, seed: int) -> float:
    """Trains a network on a split; returns its held-out nats alone: not a number if the training diverged."""
    learner.fit(split, seed)
    return log_likelihood(learner.predict(split.x_test, seed), split.y_test, split.y_stddev)


def measure(learner: Learner, split: uci_data.Split, seed: int) -> dict[str, float]:
    """Trains a network on a split; returns its figures."""
    started = time.perf_counter()
    learner.fit(split, seed)
    seconds = time.perf_counter() - started
    found = figures(learner.predict(split.x_test, seed), split.y_test, split.y_stddev)
    return {**found, "seconds": round(seconds, 1)}
