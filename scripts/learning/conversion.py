"""A plain classifier, trained; the Bayesian one made of it, trained on; and how good what they predict is."""

import argparse
import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.interrupts import fit
from scripts.common.reporting import log

Split = tuple[np.ndarray, np.ndarray]


def likelihood(model: keras.Model, images: np.ndarray) -> bnn.likelihoods.Categorical:
    """Returns the likelihood of a classifier's outputs, which may be logits or probabilities."""
    outputs = model.predict(images[:100], verbose=0)
    are_probabilities = outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3)
    return bnn.likelihoods.Categorical(from_logits=not are_probabilities)


def train(
    model: keras.Model,
    data: Split,
    epochs: int,
    rate: float,
    args: argparse.Namespace,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    decays: bool = True,
) -> bool:
    """Trains a classifier by Adam, anew; returns whether it went to the end.

    Args:
        model: the classifier; it is compiled here.
        data: images and labels.
        epochs: how many; 0 only compiles it.
        rate: Adam's learning rate.
        args: with `batch_size`.
        callbacks: of the training.
        decays: whether the learning rate falls to 0, along a cosine.
    """
    steps = epochs * math.ceil(len(data[0]) / args.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps) if decays and steps else rate
    loss = likelihood(model, data[0])
    model.compile(keras.optimizers.Adam(schedule), loss=loss, metrics=["accuracy"])
    # So that a file of it has the optimizer whole.
    model.optimizer.build(model.trainable_variables)
    return not epochs or fit(model, *data, batch_size=args.batch_size, epochs=epochs, callbacks=callbacks)


def convert(model: keras.Model, args: argparse.Namespace) -> keras.Model:
    """Returns the Bayesian network whose posterior means are a model's weights."""
    layers = {("all",): None, ("last",): "last"}.get(tuple(args.layers), args.layers)
    prior = "pretrained" if args.prior == "pretrained" else bnn.priors.Normal(scale=args.prior_scale)
    return bnn.to_bayesian(
        model,
        estimator=args.estimator,
        prior=prior,
        posterior=bnn.posteriors.MeanFieldNormal(relative_stddev=args.relative_stddev),
        layers=layers,
    )


def predictive(model: keras.Model, images: np.ndarray, args: argparse.Namespace, seed: int) -> bnn.Predictive:
    """Returns the prediction of a compiled classifier: that of many draws, if it is Bayesian."""
    if bnn.layers.variational_layers(model):
        return bnn.predict(model, images, args.num_draws, seed=seed)
    return bnn.Predictive(model.predict(images, batch_size=1000, verbose=0)[np.newaxis], model.loss)


def quality(prediction: bnn.Predictive, labels: np.ndarray) -> dict[str, float]:
    """Returns accuracy in percent, negative log-likelihood in nats, and calibration error."""
    found = reporting.quality(prediction, labels)
    return {"accuracy_percent": 100 - found["error_percent"], "nll": found["nll"], "ece": found["ece"]}


def judged(
    predictives: Mapping[str, bnn.Predictive],
    labels: np.ndarray,
    validation: Mapping[str, bnn.Predictive],
    validation_labels: np.ndarray,
) -> dict[str, dict[str, float]]:
    """Returns the quality of each network, and that at the temperature which is best for the validation images.

    Args:
        predictives: predictions of the images that judge, by the network's name.
        labels: their labels.
        validation: predictions of the validation images, by the network's name; none: no temperatures.
        validation_labels: their labels.
    """
    rows = {}
    for name, prediction in predictives.items():
        rows[name] = quality(prediction, labels)
        if name not in validation:
            continue
        try:
            temperature = bnn.calibrate_temperature(validation[name], validation_labels)
        except ValueError as error:
            log.warning("no temperature for the %s network: %s", name, error)
            continue
        scaled = quality(prediction.at_temperature(temperature), labels)
        rows[f"{name}, at its temperature"] = {**scaled, "temperature": temperature}
    return rows
