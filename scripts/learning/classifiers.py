"""Four ways to a LeNet5 that says how sure it is, of equal cost: Bayesian, plain, MC dropout, deep ensemble."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

import tfp_bnn as bnn

# How many plain training steps of a LeNet5 one with each estimator takes: JAX on one core; TensorFlow 2.0, 1.0 and 2.0.
STEP_COST = {"flipout": 2.2, "reparameterization": 1.1, "local-reparameterization": 2.6}
MEMBERS = 5
DROPOUT_RATE = 0.5


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How the networks are trained; `epochs` are those of the plain one."""

    epochs: int
    batch_size: int
    learning_rate: float
    estimator: str
    activation: str
    dense_activation: str | None
    prior_scale: float
    initial_stddev: float
    warmup_epochs: float


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A way to train and to predict.

    Args:
        make: makes one network, not compiled.
        members: how many networks predict together.
        step_cost: how many training steps of the plain network one of this takes.
        random: whether predictions are random, so that several are averaged.
    """

    make: Callable[[Recipe, bnn.datasets.Dataset], keras.Model]
    members: int = 1
    step_cost: Callable[[Recipe], float] = lambda recipe: 1.0
    random: bool = False

    def steps(self, recipe: Recipe, steps_per_epoch: int) -> int:
        """Returns the training steps of each member that all together take as long as those of the plain network."""
        return max(1, round(recipe.epochs * steps_per_epoch / (self.members * self.step_cost(recipe))))


def bayesian(recipe: Recipe, dataset: bnn.datasets.Dataset) -> keras.Model:
    """Returns a Bayesian LeNet5."""
    return bnn.models.lenet5(
        dataset.x_train.shape[1:],
        len(dataset.class_names),
        activation=recipe.activation,
        dense_activation=recipe.dense_activation,
        estimator=recipe.estimator,
        prior=bnn.priors.Normal(scale=recipe.prior_scale),
        posterior=bnn.posteriors.MeanFieldNormal(recipe.initial_stddev),
    )


def plain(recipe: Recipe, dataset: bnn.datasets.Dataset) -> keras.Model:
    """Returns a LeNet5 of Keras's layers."""
    return bnn.to_deterministic(bayesian(recipe, dataset))


def with_dropout(recipe: Recipe, dataset: bnn.datasets.Dataset) -> keras.Model:
    """Returns a LeNet5 whose last layer sees a random half of its inputs, in predictions too."""
    *hidden, last = plain(recipe, dataset).layers
    return keras.Sequential([keras.Input(dataset.x_train.shape[1:]), *hidden, MonteCarloDropout(DROPOUT_RATE), last])


@keras.saving.register_keras_serializable("tfp_bnn.scripts")
class MonteCarloDropout(keras.layers.Dropout):
    """Dropout that also drops in predictions.

    Source: Gal and Ghahramani 2016, "Dropout as a Bayesian Approximation".
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Drops, whether it is training or not."""
        return super().call(inputs, training=True)


CLASSIFIERS = {
    "Bayes by Backprop": Classifier(bayesian, step_cost=lambda recipe: STEP_COST[recipe.estimator], random=True),
    "plain": Classifier(plain),
    "MC dropout": Classifier(with_dropout, random=True),
    "ensemble of 5": Classifier(plain, members=MEMBERS),
}


def train(name: str, recipe: Recipe, dataset: bnn.datasets.Dataset, x: np.ndarray, y: np.ndarray, seed: int) -> list:
    """Returns the trained networks of a classifier, all of its members."""
    classifier = CLASSIFIERS[name]
    models = []
    for member in range(classifier.members):
        keras.utils.set_random_seed(1000 * seed + member)
        model = classifier.make(recipe, dataset)
        steps_per_epoch = math.ceil(len(x) / recipe.batch_size)
        steps = classifier.steps(recipe, steps_per_epoch)
        epochs = math.ceil(steps / steps_per_epoch)
        rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
        model.compile(keras.optimizers.Adam(rate), loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
        weighs_kl = bnn.callbacks.KLWeight(len(x), warmup_epochs=min(recipe.warmup_epochs, epochs))
        callbacks = [weighs_kl] if bnn.layers.variational_layers(model) else []
        callbacks.append(bnn.callbacks.EverySteps(steps, stop(model)))
        model.fit(x, y, batch_size=recipe.batch_size, epochs=epochs, callbacks=callbacks, verbose=2)
        models.append(model)
    return models


def stop(model: keras.Model) -> Callable[[int], None]:
    """Returns the function that ends a model's training."""
    return lambda step: setattr(model, "stop_training", True)


def predict(name: str, models: Sequence[keras.Model], images: np.ndarray, num_draws: int, seed: int) -> bnn.Predictive:
    """Returns what a classifier's networks predict together."""
    if name == "Bayes by Backprop":
        return bnn.predict(models[0], images, num_draws, seed=seed)
    keras.utils.set_random_seed(seed)
    passes = num_draws if CLASSIFIERS[name].random else 1
    logits = [model.predict(images, batch_size=1000, verbose=0) for model in models for _ in range(passes)]
    return bnn.Predictive(np.stack(logits), bnn.likelihoods.Categorical())


def timed(function: Callable, *args: Any) -> tuple[Any, float]:
    """Returns what a function returns, and the seconds that it took."""
    started = time.perf_counter()
    return function(*args), round(time.perf_counter() - started, 1)
