"""What the server says of predictions: numbers for JSON, with the doubt about them."""

from typing import Any

import numpy as np

import tfp_bnn as bnn
from scripts.serving.inputs import BadRequest
from scripts.serving.served_model import ServedModel

INTERVAL = 0.95


def answers(served: ServedModel, predictive: bnn.Predictive, draws: bool) -> list[dict[str, Any]]:
    """Returns an answer for each input.

    Of classes: `label`, or null where the network refuses, `name` of the label if classes have names, `probability` of
    the likeliest class, `probabilities` of all, `entropy` and its parts `expected_entropy` and `mutual_information` in
    nats. Of other targets, in lists of d: `mean`, `stddev` and its parts `epistemic_stddev` and `aleatoric_stddev` and,
    if there are quantiles, the ends of the central 95 % `interval`.

    Args:
        served: what predicted.
        predictive: the predictive distribution of n inputs.
        draws: whether to add `draws`: the class probabilities, or the mean, of each draw, [draws, classes or d].

    Raises:
        BadRequest: if a number is not finite, as it may be far from what the network learned from.
    """
    if predictive.predicts_classes():
        columns, of_draws = _classes(served, predictive), predictive.as_classes().draws
    else:
        columns, of_draws = _targets(predictive), predictive.draws
    if draws:
        columns["draws"] = np.asarray(of_draws).swapaxes(0, 1)
    _check_finite(columns, len(predictive))
    lists = {name: np.asarray(values).tolist() for name, values in columns.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _classes(served: ServedModel, predictive: bnn.Predictive) -> dict[str, Any]:
    probabilities = predictive.class_probabilities()
    labels = [None if label < 0 else label for label in predictive.decide(cutoff=served.cutoff).tolist()]
    names = [None if label is None else served.class_names[label] for label in labels] if served.class_names else None
    return {
        "label": np.array(labels, object),
        **({} if names is None else {"name": np.array(names, object)}),
        "probability": probabilities.max(axis=-1),
        "probabilities": probabilities,
        "entropy": predictive.entropy(),
        "expected_entropy": predictive.expected_entropy(),
        "mutual_information": predictive.mutual_information(),
    }


def _targets(predictive: bnn.Predictive) -> dict[str, Any]:
    columns = {
        "mean": predictive.mean(),
        "stddev": predictive.stddev(),
        "epistemic_stddev": predictive.epistemic_stddev(),
        "aleatoric_stddev": predictive.aleatoric_stddev(),
    }
    # One yes or no of several has no quantiles, nor has every likelihood of a user's own.
    if predictive.likelihood.target_kind in ("real", "counts"):
        ends = predictive.quantiles(((1 - INTERVAL) / 2, (1 + INTERVAL) / 2))
        columns["interval"] = np.asarray(ends).swapaxes(0, 1)
    return columns


def _check_finite(columns: dict[str, Any], number: int) -> None:
    finite = np.ones(number, bool)
    for values in columns.values():
        if np.asarray(values).dtype.kind == "f":
            finite &= np.isfinite(values).reshape(number, -1).all(axis=-1)
    if not finite.all():
        raise BadRequest(
            "The prediction must be finite numbers; are the inputs scaled as those that the network learned from? "
            f"Received: others from example {int(np.argmin(finite))}"
        )
