"""How a small CNN learns images: settings that differ in one lever each, and in what helped together."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.data.augmented_images import AugmentedImages
from scripts.learning.classifiers import DROPOUT_RATE, MonteCarloDropout

EMA_MOMENTUM = 0.99
"""Averages reach back over about the last 100 steps."""

BATCH_MOMENTUM = 0.9
"""Of running statistics: Keras's 0.99 would remember the start in a training of few hundred steps."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """How a network is made and trained; each field is a lever.

    Args:
        network: Bayesian, plain, or plain with dropout of the last layer's inputs, in predictions too.
        normalization: group normalization as the network has it, or batch normalization in its place.
        estimator: of the Bayesian layers.
        initial_stddev: of the posterior, in units of the weights.
        fan_in_stddev: the same in units of `1 / sqrt(fan-in)`; None: `initial_stddev`.
        prior_scale: of the Gaussian prior; "fitted" for the one that `FitPriorScale` sets, for all layers.
        beta: tempering of the KL term.
        warmup: share of the epochs over which the KL term comes in.
        augments: whether images are flipped and shifted.
        decays: whether the learning rate falls to 0, along a cosine.
        averages: whether the network that is left has moving averages of the variables.
    """

    network: Literal["bayesian", "plain", "dropout"] = "bayesian"
    normalization: Literal["group", "batch"] = "group"
    estimator: str = "reparameterization"
    initial_stddev: float = 0.05
    fan_in_stddev: float | None = None
    prior_scale: float | Literal["fitted"] = 1.0
    beta: float = 1.0
    warmup: float = 0.0
    augments: bool = False
    decays: bool = False
    averages: bool = False


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What all settings have in common: how long they train, and how fast."""

    epochs: int
    batch_size: int
    learning_rate: float


START = Setting()
TOGETHER = Setting(estimator="antithetic", initial_stddev=0.02, beta=0.1)
"""What helped alone, on validation images."""
PLAIN_START = Setting(network="plain")

SETTINGS: Mapping[str, Setting] = {
    "start": START,
    "posterior starts at 0.02": dataclasses.replace(START, initial_stddev=0.02),
    "posterior starts at 0.01": dataclasses.replace(START, initial_stddev=0.01),
    "posterior starts at 0.1 by fan-in": dataclasses.replace(START, fan_in_stddev=0.1),
    "prior 0.3": dataclasses.replace(START, prior_scale=0.3),
    "prior 0.1": dataclasses.replace(START, prior_scale=0.1),
    "prior fitted": dataclasses.replace(START, prior_scale="fitted"),
    "KL term times 0.3": dataclasses.replace(START, beta=0.3),
    "KL term times 0.1": dataclasses.replace(START, beta=0.1),
    "KL warm-up": dataclasses.replace(START, warmup=0.5),
    "augmentation": dataclasses.replace(START, augments=True),
    "cosine decay": dataclasses.replace(START, decays=True),
    "moving averages": dataclasses.replace(START, averages=True),
    "flipout": dataclasses.replace(START, estimator="flipout"),
    "antithetic": dataclasses.replace(START, estimator="antithetic"),
    "local reparameterization": dataclasses.replace(START, estimator="local_reparameterization"),
    "batch normalization": dataclasses.replace(START, normalization="batch"),
    "plain": PLAIN_START,
    "plain, cosine decay": dataclasses.replace(PLAIN_START, decays=True),
    "MC dropout": Setting(network="dropout"),
    "MC dropout, cosine decay": Setting(network="dropout", decays=True),
    "plain, augmentation, cosine decay": dataclasses.replace(PLAIN_START, augments=True, decays=True),
    "together": TOGETHER,
    "together, KL term as it is": dataclasses.replace(TOGETHER, beta=1.0),
    "together, cosine decay": dataclasses.replace(TOGETHER, decays=True),
    "together, augmentation, cosine decay": dataclasses.replace(TOGETHER, augments=True, decays=True),
}
"""By name: "start" has the package's defaults, but one draw of the weights a batch, the cheapest estimator."""


def make_model(setting: Setting, dataset: bnn.datasets.Dataset) -> keras.Model:
    """Returns the network, not compiled."""
    is_fitted = setting.prior_scale == "fitted"
    model = bnn.models.small_cnn(
        dataset.x_train.shape[1:],
        len(dataset.class_names),
        estimator=setting.estimator,
        prior=bnn.priors.FittedNormal() if is_fitted else bnn.priors.Normal(scale=setting.prior_scale),
        posterior=bnn.posteriors.MeanFieldNormal(setting.initial_stddev, fan_in_stddev=setting.fan_in_stddev),
    )
    if setting.normalization == "batch":
        model = keras.Sequential([keras.Input(model.input_shape[1:]), *map(_with_batch_statistics, model.layers)])
    if setting.network == "bayesian":
        return model
    plain = bnn.to_deterministic(model)
    if setting.network == "plain":
        return plain
    *hidden, last = plain.layers
    return keras.Sequential([keras.Input(dataset.x_train.shape[1:]), *hidden, MonteCarloDropout(DROPOUT_RATE), last])


def _with_batch_statistics(layer: keras.layers.Layer) -> keras.layers.Layer:
    is_replaced = isinstance(layer, keras.layers.GroupNormalization)
    return keras.layers.BatchNormalization(momentum=BATCH_MOMENTUM) if is_replaced else layer


def fit(model: keras.Model, setting: Setting, schedule: Schedule, x: np.ndarray, y: np.ndarray, seed: int) -> None:
    """Compiles the network and trains it."""
    steps = schedule.epochs * math.ceil(len(x) / schedule.batch_size)
    rate: Any = schedule.learning_rate
    if setting.decays:
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    averages = {"use_ema": True, "ema_momentum": EMA_MOMENTUM} if setting.averages else {}
    model.compile(keras.optimizers.Adam(rate, **averages), loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
    options = {"epochs": schedule.epochs, "verbose": 2, "callbacks": _callbacks(setting, schedule, len(x))}
    if setting.augments:
        model.fit(AugmentedImages(x, y, schedule.batch_size, seed), **options)
    else:
        model.fit(x, y, batch_size=schedule.batch_size, **options)


def _callbacks(setting: Setting, schedule: Schedule, num_examples: int) -> list[keras.callbacks.Callback]:
    if setting.network != "bayesian":
        return []
    weight = bnn.callbacks.KLWeight(num_examples, setting.beta, warmup_epochs=setting.warmup * schedule.epochs)
    return [weight, bnn.callbacks.FitPriorScale()] if setting.prior_scale == "fitted" else [weight]


def predict(model: keras.Model, setting: Setting, images: np.ndarray, num_draws: int, seed: int) -> bnn.Predictive:
    """Returns the prediction: of many draws or masks, or of the plain network."""
    if setting.network == "bayesian":
        return bnn.predict(model, images, num_draws, seed=seed, verbose=False)
    if setting.network == "plain":
        return reporting.predict_plain(model, images)
    # What lies before the mask is the same for all of them.
    *hidden, mask, last = model.layers
    features = keras.Sequential(hidden).predict(images, batch_size=1000, verbose=0)
    keras.utils.set_random_seed(seed)
    logits = [keras.ops.convert_to_numpy(last(mask(features))) for _ in range(num_draws)]
    return bnn.Predictive(np.stack(logits), bnn.likelihoods.Categorical())
