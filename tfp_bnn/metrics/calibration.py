"""How well confidence, the probability of the most probable class, foretells accuracy."""

from typing import TYPE_CHECKING

import numpy as np

from tfp_bnn._checks import check_count
from tfp_bnn._extras import needed
from tfp_bnn.metrics.checks import check_level, check_probabilities

if TYPE_CHECKING:
    import pandas as pd


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, num_bins: int = 15) -> float:
    """Returns how far confidence and accuracy lie apart on average, between 0 and 1.

    `sum_b |accuracy_b - confidence_b| n_b / n` over bins b of the most probable class's probability.

    Args:
        probabilities: predicted probabilities, [n, classes].
        labels: integers, [n].
        num_bins: number of bins of equal width.

    Raises:
        ValueError: if the shapes do not match, there is no example, or an argument is out of range.

    Example:

    >>> round(expected_calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])), 2)
    0.4

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    check_count("num_bins", num_bins)
    confidence, correct = _confidence_and_correct(probabilities, labels)
    return _mean_gap(confidence, correct, _bins_of_equal_width(confidence, num_bins))


def adaptive_calibration_error(probabilities: np.ndarray, labels: np.ndarray, num_bins: int = 15) -> float:
    """Returns how far confidence and accuracy lie apart on average, between 0 and 1, in bins of equal mass.

    The sum of `expected_calibration_error`, over bins that hold as many examples each, except for rounding. A sure
    network's examples do not all fall into one bin then. Examples of equal confidence share a bin, so that the order
    of the examples does not matter.

    The bins are those of Nguyen & O'Connor, who take the root of the mean square where this is the mean. Nixon et al.
    average over the probabilities of all classes; this is of the most probable one alone.

    Args:
        probabilities: predicted probabilities, [n, classes].
        labels: integers, [n].
        num_bins: number of bins of equal mass.

    Raises:
        ValueError: if the shapes do not match, there is no example, or an argument is out of range.

    Example:

    >>> probabilities = np.array([[0.92, 0.08], [0.94, 0.06], [0.96, 0.04], [0.98, 0.02]])
    >>> round(adaptive_calibration_error(probabilities, np.array([1, 1, 0, 0]), num_bins=2), 2)  # (0.93 + 0.03) / 2
    0.48

    Source: Nguyen & O'Connor 2015, "Posterior Calibration and Exploratory Analysis for Natural Language Processing
    Models", algorithm 1; Nixon et al. 2019, "Measuring Calibration in Deep Learning".
    """
    check_count("num_bins", num_bins)
    confidence, correct = _confidence_and_correct(probabilities, labels)
    return _mean_gap(confidence, correct, _bins_of_equal_mass(confidence, num_bins))


def reliability(
    probabilities: np.ndarray, labels: np.ndarray, num_bins: int = 15, level: float = 0.95
) -> "pd.DataFrame":
    """Returns confidence beside accuracy, bin by bin: what a reliability diagram shows.

    The bins are those of `expected_calibration_error`. The bounds of the accuracy are those of Clopper & Pearson: the
    true accuracy of a bin's examples lies between them with probability `level` at least.

    Args:
        probabilities: predicted probabilities, [n, classes].
        labels: integers, [n].
        num_bins: number of bins of equal width.
        level: probability of the bounds, between 0 and 1.

    Returns:
        A row for each bin that is not empty: its edges `lower` and `upper`, the mean `confidence`, the `accuracy`, its
        bounds `accuracy_lower` and `accuracy_upper`, and the `count` of examples.

    Raises:
        ValueError: if the shapes do not match, there is no example, or an argument is out of range.

    Example:

    >>> table = reliability(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]), num_bins=2)
    >>> table[["lower", "upper", "confidence", "accuracy", "count"]].to_numpy().tolist()
    [[0.5, 1.0, 0.9, 0.5, 2.0]]

    Source: DeGroot & Fienberg 1983, "The Comparison and Evaluation of Forecasters"; Clopper & Pearson 1934, "The Use
    of Confidence or Fiducial Limits Illustrated in the Case of the Binomial".
    """
    # Slow to import.
    with needed("data"):
        import pandas as pd
    from scipy import stats

    check_count("num_bins", num_bins)
    check_level(level)
    confidence, correct = _confidence_and_correct(probabilities, labels)
    examples = pd.DataFrame({"bin": _bins_of_equal_width(confidence, num_bins), "confidence": confidence})
    bins = examples.assign(correct=correct).groupby("bin")
    right, counts = bins["correct"].sum(), bins.size()
    bounds = [stats.binomtest(k, n).proportion_ci(level, method="exact") for k, n in zip(right, counts, strict=True)]
    return pd.DataFrame(
        {
            "lower": counts.index / num_bins,
            "upper": (counts.index + 1) / num_bins,
            "confidence": bins["confidence"].mean().to_numpy(),
            "accuracy": (right / counts).to_numpy(),
            "accuracy_lower": [bound.low for bound in bounds],
            "accuracy_upper": [bound.high for bound in bounds],
            "count": counts.to_numpy(),
        }
    )


def _confidence_and_correct(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = check_probabilities(probabilities, labels)
    return probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels


def _bins_of_equal_width(confidence: np.ndarray, num_bins: int) -> np.ndarray:
    # Not TFP's: it takes logits, whose softmax in float32 parts equal confidences at the edge of a bin.
    return np.minimum((confidence * num_bins).astype(int), num_bins - 1)


def _bins_of_equal_mass(confidence: np.ndarray, num_bins: int) -> np.ndarray:
    # The rank of an example is the number of lesser ones, that of its equals.
    ranks = np.searchsorted(np.sort(confidence), confidence)
    return ranks * num_bins // len(confidence)


def _mean_gap(confidence: np.ndarray, correct: np.ndarray, bins: np.ndarray) -> float:
    gaps = np.bincount(bins, weights=correct - confidence)
    return float(np.abs(gaps).sum() / len(bins))
