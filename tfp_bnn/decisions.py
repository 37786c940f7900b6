"""Decisions of a classifier that may refuse: the likeliest class where it is sure enough, and abstention elsewhere."""

import math
import numbers

import numpy as np


def sure_by_cutoff(probabilities: np.ndarray, cutoff: float) -> np.ndarray:
    """Returns where the greatest class probability is at least `cutoff`, bool [n].

    Raises:
        ValueError: if `cutoff` is not a probability.
    """
    _check_between("cutoff", cutoff, 0, 1)
    return probabilities.max(axis=-1) >= cutoff


def sure_by_coverage(probabilities: np.ndarray, coverage: float) -> np.ndarray:
    """Returns the share `coverage` of the inputs with the greatest class probabilities, bool [n].

    Equal probabilities are treated alike, so it may be more of them.

    Raises:
        ValueError: if `coverage` is not a share.
    """
    _check_between("coverage", coverage, 0, 1)
    confidence = probabilities.max(axis=-1)
    if not coverage or not len(confidence):
        return np.zeros(len(confidence), bool)
    # The fewest whose share is `coverage`; the product of coverage and number is rounded, up at times.
    count = 1 + np.searchsorted(np.arange(1, len(confidence)) / len(confidence), coverage)
    return confidence >= np.sort(confidence)[-count]


def sure_by_entropy(entropies: np.ndarray, entropy: float) -> np.ndarray:
    """Returns where the predictive entropy is at most `entropy` nats, bool [n].

    Raises:
        ValueError: if `entropy` is negative.
    """
    _check_between("entropy", entropy, 0, math.inf)
    return entropies <= entropy


def labels_or_abstain(probabilities: np.ndarray, sure: np.ndarray, abstain: int) -> np.ndarray:
    """Returns the likeliest classes where the classifier is sure, and `abstain` elsewhere, integers [n].

    Raises:
        ValueError: if `abstain` is not an integer, or is a class.
    """
    classes = probabilities.shape[-1]
    if not isinstance(abstain, numbers.Integral) or 0 <= abstain < classes:
        raise ValueError(f"`abstain` must be an integer that is none of {classes} classes. Received: abstain={abstain}")
    return np.where(sure, probabilities.argmax(axis=-1), abstain)


def _check_between(name: str, value: float, least: float, greatest: float) -> None:
    if not isinstance(value, numbers.Real) or not least <= value <= greatest:
        raise ValueError(f"`{name}` must be a number from {least} to {greatest}. Received: {name}={value!r}")
