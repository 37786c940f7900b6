"""Decisions of a classifier that may refuse: the likeliest class where it is sure enough, and abstention elsewhere."""

import math
import numbers

import numpy as np


def decide(
    probabilities: np.ndarray,
    entropies: np.ndarray,
    cutoff: float | None,
    coverage: float | None,
    entropy: float | None,
    abstain: int,
) -> np.ndarray:
    """Returns the likeliest class of each input, or `abstain` where it is not sure enough, integers [n].

    Args:
        probabilities: of the classes, [n, classes].
        entropies: of the predictive distributions in nats, [n].
        cutoff: see `sure_by_cutoff`; None does not ask for it. Exactly one of the three is to be given.
        coverage: see `sure_by_coverage`.
        entropy: see `sure_by_entropy`.
        abstain: what stands for "I do not know"; none of the classes.

    Raises:
        ValueError: if none or several of the three are given, or an argument is out of range.

    Example:

    >>> decide(np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0.33, 0.69]), 0.8, None, None, abstain=-1).tolist()
    [0, -1]
    """
    given = {"cutoff": cutoff, "coverage": coverage, "entropy": entropy}
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) != 1:
        raise ValueError(f"Expected exactly one of `cutoff`, `coverage` and `entropy`. Received: {given}")
    if cutoff is not None:
        sure = sure_by_cutoff(probabilities, cutoff)
    elif coverage is not None:
        sure = sure_by_coverage(probabilities, coverage)
    else:
        sure = sure_by_entropy(entropies, entropy)
    return labels_or_abstain(probabilities, sure, abstain)


def sure_by_cutoff(probabilities: np.ndarray, cutoff: float) -> np.ndarray:
    """Returns where the greatest class probability is at least `cutoff`, bool [n].

    Raises:
        ValueError: if `cutoff` is not a probability.
    """
    _check_between("cutoff", cutoff, 0, 1)
    # As `calibrate_cutoff` compares them: in single precision a cut-off is another number.
    return probabilities.max(axis=-1).astype("float64") >= cutoff


def sure_by_coverage(probabilities: np.ndarray, coverage: float) -> np.ndarray:
    """Returns the share `coverage` of the inputs with the greatest class probabilities, bool [n].

    Equal probabilities are treated alike, so it may be more of them. Probabilities that are not numbers are never
    sure, and count among the inputs, so it may be fewer.

    Raises:
        ValueError: if `coverage` is not a share.
    """
    _check_between("coverage", coverage, 0, 1)
    # NumPy would sort what is not a number as the greatest.
    confidence = np.nan_to_num(probabilities.max(axis=-1), nan=-np.inf)
    if not coverage or not len(confidence):
        return np.zeros(len(confidence), bool)
    # The fewest whose share is `coverage`; the product of coverage and number is rounded, up at times.
    count = 1 + np.searchsorted(np.arange(1, len(confidence)) / len(confidence), coverage)
    return (confidence >= np.sort(confidence)[-count]) & (confidence > -np.inf)


def sure_by_entropy(entropies: np.ndarray, entropy: float) -> np.ndarray:
    """Returns where the predictive entropy is at most `entropy` nats, bool [n].

    Raises:
        ValueError: if `entropy` is negative.
    """
    _check_between("entropy", entropy, 0, math.inf)
    # log C, the most there is, is rounded up in single precision.
    return entropies.astype("float64") <= entropy * (1 + 1e-6)


def labels_or_abstain(probabilities: np.ndarray, sure: np.ndarray, abstain: int) -> np.ndarray:
    """Returns the likeliest classes where the classifier is sure, and `abstain` elsewhere, integers [n].

    Raises:
        ValueError: if `abstain` is not an integer, or is a class.
    """
    classes = probabilities.shape[-1]
    if not isinstance(abstain, numbers.Integral) or 0 <= abstain < classes:
        raise ValueError(
            f"`abstain` must be an integer, and not one of the {classes} classes. Received: abstain={abstain}"
        )
    return np.where(sure, probabilities.argmax(axis=-1), abstain)


def _check_between(name: str, value: float, least: float, greatest: float) -> None:
    if not isinstance(value, numbers.Real) or not least <= value <= greatest:
        raise ValueError(f"`{name}` must be a number from {least} to {greatest}. Received: {name}={value!r}")
