"""Proper scores of predicted classes."""

import numpy as np

from tfp_bnn.metrics.checks import check_probabilities


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the held-out nats an example, `-1/n sum_i log p_i[y_i]`: 0 is best.

    Args:
        probabilities: predicted probabilities, [n, classes].
        labels: integers, [n].

    Returns:
        The mean in nats; infinite if one of the labels has probability 0.

    Raises:
        ValueError: if the shapes do not match, there is no example, or a value is out of range.

    Example:

    >>> round(negative_log_likelihood(np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([0, 1])), 4)  # log 2
    0.6931

    Source: Good 1952, "Rational Decisions".
    """
    probabilities, labels = check_probabilities(probabilities, labels)
    with np.errstate(divide="ignore"):
        return float(-np.log(probabilities[np.arange(len(labels)), labels]).mean())


def brier_score(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean squared error of the probabilities, `1/n sum_i sum_c (p_i[c] - 1[y_i = c])^2`.

    It is from 0, which is best, to 2: the sum is over all classes. For two classes, some take half of it.

    Args:
        probabilities: predicted probabilities, [n, classes].
        labels: integers, [n].

    Raises:
        ValueError: if the shapes do not match, there is no example, or a value is out of range.

    Example:

    >>> round(brier_score(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])), 2)  # (0.02 + 1.62) / 2
    0.82

    Source: Brier 1950, "Verification of Forecasts Expressed in Terms of Probability", equation 2.
    """
    probabilities, labels = check_probabilities(probabilities, labels)
    one_hot = labels[:, np.newaxis] == np.arange(probabilities.shape[1])
    return float(np.square(probabilities - one_hot).sum(axis=1).mean())
