"""Prediction with as few draws as it takes: each input is drawn for until its mean, or its decision, is settled."""

import numbers
from typing import Any

import keras
import numpy as np

from tfp_bnn.prediction.averages import RunningAverages
from tfp_bnn.prediction.heads import Heads
from tfp_bnn.prediction.passes import Pass
from tfp_bnn.prediction.summary import BatchAverages, averages_of, summaries

_DRAWS_AT_ONCE = 10
_STANDARD_ERRORS = 4.0
"""How far from the cut-off a probability must be for a decision to be settled: many draws are looked at in turn."""


def check_tolerance(tolerance: float, cutoff: float | None) -> None:
    """Raises ValueError if the standard error asked for is not positive, or the cut-off is not a probability."""
    if not isinstance(tolerance, numbers.Real) or not 0 < tolerance < np.inf:
        raise ValueError(f"`tolerance` must be a positive number. Received: tolerance={tolerance!r}")
    if cutoff is not None and not (isinstance(cutoff, numbers.Real) and 0 <= cutoff <= 1):
        raise ValueError(f"`cutoff` must be a number from 0 to 1. Received: cutoff={cutoff!r}")


def predict_until_settled(run: Pass, tolerance: float, cutoff: float | None) -> Any:
    """Returns the summary of draws that go on, input by input, until it is settled or there are no more.

    An input is settled if the Monte Carlo standard error of each of its means is at most the tolerance, or, with a
    cut-off, if the decision of `decide(cutoff=...)` lies four standard errors from being another. At least ten draws
    are made.

    Args:
        run: the inputs and the most draws.
        tolerance: in the units of the mean; of classes, of their probabilities.
        cutoff: the least probability of a class that is decided for, or None.
    """
    parts = []
    for batch, bar in run.batches():
        averages: BatchAverages = ()
        active = np.arange(batch.size)
        for start in range(0, len(run.seeds), _DRAWS_AT_ONCE):
            some = keras.tree.map_structure(lambda array, active=active: array[active], batch.inputs)
            drawn = run.draw(some, run.seeds[start : start + _DRAWS_AT_ONCE])
            averages = averages or averages_of(run.heads, batch.targets, drawn.masks)
            for outputs, pair in zip(drawn.outputs, averages, strict=True):
                if pair is not None:
                    pair[0].add(outputs, active)
            unsettled = active[~_settled(run.heads, averages, tolerance, cutoff)[active]]
            bar.update(len(active) - len(unsettled))
            active = unsettled
            if not len(active):
                break
        bar.update(len(active))
        parts.append(averages)
    return run.heads.pack(summaries(run.heads, parts))


def _settled(heads: Heads, averages: BatchAverages, tolerance: float, cutoff: float | None) -> np.ndarray:
    """Returns which inputs are settled in all outputs, bool [n]."""
    settled = []
    for likelihood, pair in zip(heads.likelihoods, averages, strict=True):
        if pair is None:
            continue
        running, mask = pair
        errors = running.standard_errors()
        enough = (errors <= tolerance).all(axis=-1)
        if cutoff is not None and likelihood.predicts_classes(errors.shape[-1]):
            enough |= _is_decided(running, errors, cutoff)
        if mask is not None:
            enough |= ~mask
        settled.append(enough.reshape(len(enough), -1).all(axis=-1))
    return np.all(settled, axis=0)


def _is_decided(running: RunningAverages, errors: np.ndarray, cutoff: float) -> np.ndarray:
    """Returns where neither the cut-off nor another class is within some standard errors, bool [n, ...]."""
    mean = running.result()["mean"]
    margin = _STANDARD_ERRORS * errors
    if mean.shape[-1] == 1:  # One yes or no.
        mean, margin = np.concatenate([1 - mean, mean], axis=-1), np.concatenate([margin, margin], axis=-1)
    # No class may reach the cut-off, or one does, and no other may overtake it.
    refused = (mean + margin < cutoff).all(axis=-1)
    first = mean.argmax(axis=-1)[..., np.newaxis]
    least = np.take_along_axis(mean - margin, first, axis=-1)[..., 0]
    others = mean + margin
    np.put_along_axis(others, first, -np.inf, axis=-1)
    return refused | ((least >= cutoff) & (least > others.max(axis=-1)))
