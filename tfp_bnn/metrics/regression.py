"""How good predicted intervals and distributions of real targets are.

Targets of several dimensions count one by one: the means are over examples and dimensions.
"""

import numpy as np

from tfp_bnn.metrics.checks import check_level


def coverage(y: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> float:
    """Returns the share of targets that lie in their intervals, the bounds included.

    Args:
        y: targets, [n] or [n, d].
        lower: lower bounds, of the shape of y.
        upper: upper bounds, of the shape of y.

    Raises:
        ValueError: if the shapes do not match, there is no target, a value is not a number, or bounds are swapped.

    Example:

    >>> coverage(y=np.array([1.0, 2.0, 3.0, 4.0]), lower=np.zeros(4), upper=np.full(4, 3.0))
    0.75
    """
    y, lower, upper = _check_intervals(y, lower, upper)
    return float(((lower <= y) & (y <= upper)).mean())


def interval_score(y: np.ndarray, lower: np.ndarray, upper: np.ndarray, level: float) -> float:
    """Returns the mean width of the intervals, with a penalty for each target outside: lower is better.

    `(u - l) + 2/a (l - y) 1[y < l] + 2/a (y - u) 1[y > u]` with `a = 1 - level`, in units of y. No interval has
    a lower expected score than that from the quantile `a/2` to `1 - a/2` of the true distribution.

    Args:
        y: targets, [n] or [n, d].
        lower: lower bounds, of the shape of y.
        upper: upper bounds, of the shape of y.
        level: probability that the intervals claim, between 0 and 1.

    Raises:
        ValueError: if the shapes do not match, there is no target, a value is not a number, bounds are swapped, or
            `level` is out of range.

    Example:

    >>> interval_score(y=np.array([1.0, 4.0]), lower=np.zeros(2), upper=np.full(2, 3.0), level=0.5)  # (3 + 3 + 4) / 2
    5.0

    Source: Gneiting & Raftery 2007, "Strictly Proper Scoring Rules, Prediction, and Estimation", equation 43.
    """
    check_level(level)
    y, lower, upper = _check_intervals(y, lower, upper)
    outside = np.maximum(lower - y, 0.0) + np.maximum(y - upper, 0.0)
    return float((upper - lower + 2 / (1 - level) * outside).mean())


def crps(draws: np.ndarray, y: np.ndarray) -> float:
    """Returns the continuous ranked probability score of predicted draws, in units of y: 0 is best.

    `E|X - y| - E|X - X'| / 2`, the mean over examples, with X and X' from the empirical distribution of an example's
    draws: `1/S sum_s |x_s - y| - 1/(2 S^2) sum_st |x_s - x_t|`. Of a single draw, it is the absolute error. Sorted, the
    draws take O(S log S).

    Args:
        draws: of the predictive distribution of y, its noise included, [draws, n] or [draws, n, d].
        y: targets, [n] or [n, d].

    Raises:
        ValueError: if the shapes do not match, there is no draw or no target, or a value is not finite.

    Example:

    >>> crps(draws=np.array([[0.0], [2.0]]), y=np.array([1.0]))  # 1 - 1 / 2
    0.5

    Source: Gneiting & Raftery 2007, "Strictly Proper Scoring Rules, Prediction, and Estimation", equations 20 and 21.
    """
    draws, y = np.asarray(draws), np.asarray(y)
    if not y.ndim or draws.shape[1:] != y.shape or not draws.size:
        raise ValueError(
            "Expected draws of shape [draws, n] or [draws, n, d] and y of shape [n] or [n, d], or with positions too. "
            f"Received: {draws.shape} and {y.shape}"
        )
    for name, values in (("draws", draws), ("y", y)):
        if not np.isfinite(values).all():
            raise ValueError(f"`{name}` must be finite. Received: {values[~np.isfinite(values)][0]}")
    # The errors differ as the draws do, and are smaller.
    errors = np.sort(draws - y.astype("float64"), axis=0)
    num_draws = len(draws)
    # In sum_st |x_s - x_t|, the i-th of the sorted draws is added 2 (i - 1) times and taken away 2 (S - i) times.
    signs = 2 * np.arange(1, num_draws + 1) - num_draws - 1
    spread = np.tensordot(signs / num_draws**2, errors, axes=1)
    return float((np.abs(errors).mean(axis=0) - spread).mean())


def _check_intervals(y: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    y, lower, upper = (np.asarray(values, "float64") for values in (y, lower, upper))
    if not y.ndim or not y.shape == lower.shape == upper.shape or not y.size:
        raise ValueError(
            "Expected y, lower and upper of one shape, [n] or [n, d], or with positions too, n at least 1. "
            f"Received: {y.shape}, {lower.shape} and {upper.shape}"
        )
    if np.isnan(y).any():
        raise ValueError("`y` must be numbers. Received: nan")
    swapped = ~(lower <= upper)
    if swapped.any():
        raise ValueError(
            "Lower bounds must be numbers, and no more than the upper ones. "
            f"Received: {lower[swapped][0]} and {upper[swapped][0]}"
        )
    return y, lower, upper
