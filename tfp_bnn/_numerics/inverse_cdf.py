"""Quantiles where they have no closed form: where a distribution function reaches a probability, between two ends."""

from collections.abc import Callable

import numpy as np

Cdf = Callable[[np.ndarray], np.ndarray]

_NO_CHANGE_OF_SIGN = -1  # A status of `elementwise.find_root`.


def real_quantile(cdf: Cdf, low: np.ndarray, high: np.ndarray, probability: float) -> np.ndarray:
    """Returns the y with `cdf(y) = probability`, elementwise; it lies between the two ends, and SciPy finds it there.

    Example:

    >>> from scipy import special
    >>> real_quantile(special.ndtr, np.array([-9.0]), np.array([9.0]), 0.975).round(2).tolist()
    [1.96]
    """
    from scipy.optimize import elementwise  # Slow to import.

    y = np.array(low)

    def excess(values: np.ndarray, *at: np.ndarray) -> np.ndarray:
        y[at] = values
        return cdf(y)[at] - probability

    root = elementwise.find_root(excess, (low, high), args=tuple(np.indices(y.shape)))
    # Where nearly all the weight is at one end, that end is the quantile, and rounding may leave no change of sign.
    at_low, at_high = map(np.abs, root.f_bracket)
    return np.where(root.status == _NO_CHANGE_OF_SIGN, np.where(at_low < at_high, low, high), root.x)


def least_count(cdf: Cdf, low: np.ndarray, high: np.ndarray, probability: float) -> np.ndarray:
    """Returns the least count y with `cdf(y) >= probability`, elementwise, by bisection: from `low` to `high`.

    Example:

    >>> from scipy import special
    >>> least_count(lambda y: special.pdtr(y, 2.0), np.zeros(1), np.full(1, 99.0), 0.95).tolist()
    [5.0]
    """
    low = low - 1
    while True:
        middle = np.floor(0.5 * (low + high))
        # Not `high - low > 1`, which would never end: large floats have gaps, and to an infinite end it is infinite.
        searched = (low < middle) & (middle < high)
        if not searched.any():
            return high
        below = cdf(np.where(searched, middle, 0.0))
        is_below = below < probability
        # What is not a number makes the quantile not a number, and ends its search.
        enough = np.where(np.isnan(below), np.nan, middle)
        low, high = np.where(searched & is_below, middle, low), np.where(searched & ~is_below, enough, high)
