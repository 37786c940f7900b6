"""Conformal prediction: sets of classes, and intervals of targets, that hold the truth as often as was asked for.

Split conformal prediction: held-out inputs say how strange the truth looks to the network, and the set holds what is
not stranger than most of these. The guarantee asks nothing of the network: a bad one has large sets, not false ones.
"""

import dataclasses
import math
import numbers
import random
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from tfp_bnn.prediction.positions import targets_beside
from tfp_bnn.prediction.predictive import Predictive, check_classes_of, check_no_positions

# In units of the last place: more than scores and ends of intervals are rounded by.
_ROUNDING = 4 * np.finfo("float64").eps


@dataclasses.dataclass(frozen=True)
class ConformalSets:
    """Sets of classes that hold the right one with a probability: what `calibrate_sets` returns.

    Args:
        coverage: the least probability.
        score: how strange a class is, "adaptive" or "threshold".
        threshold: the greatest score of the classes in a set.
        num_classes: of the network.
        num_draws: of the weights.
        num_inputs: that it was calibrated on.
        seed: of the random numbers of adaptive sets; None for the others.
    """

    coverage: float
    score: Literal["adaptive", "threshold"]
    threshold: float
    num_classes: int
    num_draws: int
    num_inputs: int
    seed: int | None

    def sets(self, predictive: Predictive) -> np.ndarray:
        """Returns which classes are in the set of each input, bool [n, classes].

        A set may be empty: then each class is stranger than the right one mostly is. It holds all classes where their
        probabilities are not numbers. Adaptive sets are random at their border: the i-th input of any call has the i-th
        of the seed's random numbers.

        Args:
            predictive: the predictive distribution of the inputs, of the draws of the weights that were calibrated.

        Raises:
            ValueError: if it is of positions, or of other classes or another number of draws than the calibrated ones.

        Example:

        >>> from tfp_bnn.likelihoods import Categorical
        >>> conformal = ConformalSets(0.9, "threshold", 0.75, num_classes=3, num_draws=2, num_inputs=99, seed=None)
        >>> predictive = Predictive(np.log([[[0.5, 0.3, 0.2]], [[0.5, 0.3, 0.2]]]), Categorical())
        >>> conformal.sets(predictive).tolist()  # the classes with a probability of at least 1 - 0.75
        [[True, True, False]]
        """
        scores = self._scores(predictive)
        return (scores <= self.threshold) | np.isposinf(scores)

    def covers(self, predictive: Predictive, y: np.ndarray) -> np.ndarray:
        """Returns whether the set of each input holds its label, bool [n]: its mean is the coverage that was reached.

        Args:
            predictive: as `sets` takes it.
            y: labels, integers [n] or [n, 1].

        Raises:
            ValueError: as `sets` does, or if there are not n labels, or one is not a class.
        """
        sets = self.sets(predictive)
        return sets[np.arange(len(sets)), _labels(predictive, y)]

    def _scores(self, predictive: Predictive) -> np.ndarray:
        _check_classifier(predictive)
        _check_draws(predictive, self.num_draws)
        probabilities = predictive.class_probabilities()
        if probabilities.shape[-1] != self.num_classes:
            raise ValueError(
                f"`predictive` must be of {self.num_classes} classes, as the calibrated one. Received: {predictive!r} "
                f"of {probabilities.shape[-1]}"
            )
        return _class_scores(probabilities, self.score, self.seed, "predicted")


@dataclasses.dataclass(frozen=True)
class ConformalIntervals:
    """Intervals that hold a target with a probability: what `calibrate_intervals` returns.

    Args:
        coverage: the least probability, of each target by itself.
        score: how strange a target is, "normalized" or "quantile".
        thresholds: the greatest score of what is in an interval, one for each target.
        num_draws: of the weights.
        num_inputs: that it was calibrated on.
    """

    coverage: float
    score: Literal["normalized", "quantile"]
    thresholds: tuple[float, ...]
    num_draws: int
    num_inputs: int

    def intervals(self, predictive: Predictive) -> np.ndarray:
        """Returns the lower and the upper ends of the intervals in units of y, float64 [2, n, d].

        Both ends belong to them; those of counts are whole numbers. An interval is infinite where the prediction is not
        finite. Where quantiles are moved past each other, and nothing lies between, both ends are their middle.

        Args:
            predictive: the predictive distribution of the inputs, of the draws of the weights that were calibrated.

        Raises:
            ValueError: if it is of positions, of classes, or of other targets or another number of draws than the
                calibrated ones.

        Example:

        >>> from tfp_bnn.likelihoods import Normal
        >>> conformal = ConformalIntervals(0.9, "normalized", (1.5,), num_draws=2, num_inputs=99)
        >>> conformal.intervals(Predictive(np.array([[[1.0]], [[7.0]]]), Normal(scale=4.0))).ravel().round(6).tolist()
        [-3.5, 11.5]
        """
        _check_regression(predictive)
        _check_draws(predictive, self.num_draws)
        low, high, scale = _band(predictive, self.score, self.coverage)
        if low.shape[-1] != len(self.thresholds):
            raise ValueError(
                f"`predictive` must be of {len(self.thresholds)} targets, as the calibrated one. Received: "
                f"{predictive!r} of {low.shape[-1]}"
            )
        return np.stack(_widened(low, high, np.asarray(self.thresholds) * scale, predictive.likelihood.target_kind))

    def covers(self, predictive: Predictive, y: np.ndarray) -> np.ndarray:
        """Returns whether each interval holds its target, bool [n, d]: the mean over n is the coverage of each target.

        Args:
            predictive: as `intervals` takes it.
            y: targets, [n, d], or [n] of one target.

        Raises:
            ValueError: as `intervals` does, or if there are not n rows of d targets.
        """
        low, high = self.intervals(predictive)
        targets = _targets(predictive, y)
        return (low <= targets) & (targets <= high)


def calibrate_sets(
    predictive: Predictive,
    y: np.ndarray,
    coverage: float = 0.9,
    score: Literal["adaptive", "threshold"] = "adaptive",
    seed: int | None = None,
) -> ConformalSets:
    """Returns what makes sets of classes that hold the right one with probability `coverage` or more.

        P(y in set(x)) >= coverage

    over calibration inputs and one input to come that are exchangeable, such as independent ones of one source, if the
    same draws of the weights decide. It is the mean over inputs, not of each class or each kind of input by itself. A
    set holds the classes whose score is at most the `ceil((n + 1) coverage)`-th smallest one of the n right classes.

    Args:
        predictive: the predictive distribution of the calibration inputs; they must not have been trained on, nor any
            number, such as a temperature, chosen on them.
        y: their labels, integers [n] or [n, 1]. Inputs must be exchangeable, so it is not of positions (time steps,
            pixels), which have their input in common.
        coverage: between 0 and 1.
        score: how strange a class is. "adaptive": the probability of all likelier classes and, times a random number
            between 0 and 1, its own, so that sets are large where the network is unsure. "threshold": 1 less its
            probability: the smallest sets on average, at the cost of too few classes for hard inputs.
        seed: integer that makes adaptive sets repeatable; None draws one.

    Returns:
        What has `sets(predictive)`. It is of these draws of the weights: predict the inputs to come with the same
        `num_draws` and `seed`.

    Raises:
        ValueError: if an argument is out of range, or if there are fewer inputs than `coverage / (1 - coverage)`, 9 for
            0.9 and 99 for 0.99: only the sets of all classes would be large enough, which say nothing.

    Example:

    >>> from tfp_bnn.likelihoods import Categorical
    >>> outputs = np.tile([[4.0, 0.0, 0.0], [0.2, 0.0, -9.0]], (50, 500, 1))  # every other input is hard
    >>> predictive, y = Predictive(outputs, Categorical()), np.tile([0, 0, 0, 1], 250)
    >>> conformal = calibrate_sets(predictive, y, coverage=0.95, seed=1)
    >>> conformal.sets(predictive[:2]).tolist()
    [[True, False, False], [True, True, False]]

    Source: Romano, Sesia and Candès 2020, "Classification with Valid and Adaptive Coverage", section 2, for adaptive
    sets; Sadinle, Lei and Wasserman 2019, "Least Ambiguous Set-Valued Classifiers with Bounded Error Levels", section
    2, for the threshold.
    """
    _check_choice("score", score, ("adaptive", "threshold"))
    _check_coverage(coverage)
    _check_classifier(predictive)
    labels, probabilities = _labels(predictive, y), predictive.class_probabilities()
    if score == "threshold":
        seed = None
    elif seed is None:
        seed = random.getrandbits(31)
    scores = _class_scores(probabilities, score, seed, "calibrated")[np.arange(len(labels)), labels]
    return ConformalSets(
        coverage=float(coverage),
        score=score,
        threshold=float(_threshold(scores, coverage)),
        num_classes=probabilities.shape[-1],
        num_draws=len(predictive.outputs),
        num_inputs=len(labels),
        seed=seed,
    )


def calibrate_intervals(
    predictive: Predictive,
    y: np.ndarray,
    coverage: float = 0.9,
    score: Literal["normalized", "quantile"] = "normalized",
) -> ConformalIntervals:
    """Returns what makes intervals that hold the target with probability `coverage` or more.

        P(low(x) <= y <= high(x)) >= coverage

    over calibration inputs and one input to come that are exchangeable, such as independent ones of one source, if the
    same draws of the weights decide. Of several targets each has its own interval, and each by itself that coverage:
    all at once are held less often. With `low_0` and `high_0` of the network, a scale s, and q the
    `ceil((n + 1) coverage)`-th smallest of the n scores `max(low_0 - y, y - high_0) / s`,

        low = low_0 - q s,  high = high_0 + q s

    Args:
        predictive: the predictive distribution of the calibration inputs; they must not have been trained on, nor any
            number chosen on them.
        y: their targets, [n, d], or [n] of one target. Inputs must be exchangeable, so it is not of positions (time
            steps, pixels), which have their input in common.
        coverage: between 0 and 1.
        score: "normalized": low_0 and high_0 are the mean and s the standard deviation, so that intervals lie evenly
            about the mean. "quantile": they are the `(1 - coverage) / 2` and `(1 + coverage) / 2` quantiles and s is 1,
            so that intervals are as skewed as the prediction.

    Returns:
        What has `intervals(predictive)`. It is of these draws of the weights: predict the inputs to come with the same
        `num_draws` and `seed`.

    Raises:
        ValueError: if an argument is out of range, or if there are fewer inputs than `coverage / (1 - coverage)`, 9 for
            0.9 and 99 for 0.99: only infinite intervals would be wide enough, which say nothing.

    Example:

    >>> from tfp_bnn.likelihoods import Normal
    >>> predictive = Predictive(np.zeros((50, 99, 1)), Normal(scale=1.0))  # sure of a standard deviation of 1
    >>> y = np.linspace(-10, 10, 99)
    >>> conformal = calibrate_intervals(predictive, y, coverage=0.9)
    >>> conformal.intervals(predictive[:1]).ravel().round(2).tolist()
    [-9.18, 9.18]

    Source: Lei et al. 2018, "Distribution-Free Predictive Inference for Regression", section 5.2, for normalized
    residuals; Romano, Patterson and Candès 2019, "Conformalized Quantile Regression", section 4, for quantiles.
    """
    _check_choice("score", score, ("normalized", "quantile"))
    _check_coverage(coverage)
    _check_regression(predictive)
    targets = _targets(predictive, y)
    thresholds = _threshold(_excess(targets, *_band(predictive, score, coverage)), coverage)
    return ConformalIntervals(
        coverage=float(coverage),
        score=score,
        thresholds=tuple(thresholds.tolist()),
        num_draws=len(predictive.outputs),
        num_inputs=len(targets),
    )


def _threshold(scores: np.ndarray, coverage: float) -> np.ndarray:
    """Returns the `ceil((n + 1) coverage)`-th smallest of n scores, along the first axis.

    The truth of an input to come is one of n + 1 exchangeable scores, each as likely to be among the smallest ones.

    Example:

    >>> scores = np.arange(1.0, 10.0)
    >>> float(_threshold(scores, 0.85)), float(np.quantile(scores, 0.85, method="inverted_cdf"))
    (9.0, 8.0)
    """
    # As the decimal is written: the product of floats is rounded, up at times.
    share = Fraction(str(float(coverage)))
    rank = math.ceil((len(scores) + 1) * share)
    if rank > len(scores):
        raise ValueError(
            f"A coverage of {coverage} takes at least {math.ceil(share / (1 - share))} calibration inputs. Received: "
            f"{len(scores)} inputs"
        )
    threshold = np.sort(scores, axis=0)[rank - 1]
    if not np.isfinite(threshold).all():
        number = int((~np.isfinite(scores.reshape(len(scores), -1))).any(axis=-1).sum())
        raise ValueError(
            f"A coverage of {coverage} takes {rank} of {len(scores)} calibration inputs that have a finite prediction, "
            f"and a standard deviation above 0 where it is wrong. Received: {number} inputs without"
        )
    return threshold


# Classes


def _class_scores(probabilities: np.ndarray, score: str, seed: int | None, purpose: str) -> np.ndarray:
    """Returns how strange each class is, float64 [n, classes]; infinite where probabilities are not numbers.

    Args:
        probabilities: of the classes, [n, classes].
        score: "adaptive" or "threshold".
        seed: of the random numbers.
        purpose: "calibrated" or "predicted"; the random numbers of the two are independent.
    """
    probabilities = probabilities.astype("float64")
    if score == "threshold":
        scores = 1 - probabilities
    else:
        rng = np.random.default_rng((seed, ("calibrated", "predicted").index(purpose)))
        scores = _adaptive_scores(probabilities, rng.random((len(probabilities), 1)))
    return np.where(np.isfinite(probabilities).all(axis=-1, keepdims=True), scores, np.inf)


def _adaptive_scores(probabilities: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Returns the probability of all likelier classes and u times that of the class itself, [n, classes].

    Args:
        probabilities: of the classes, [n, classes].
        u: between 0 and 1, [n, 1]. Classes that are as likely as each other are in the order of their numbers.

    Example:

    >>> _adaptive_scores(np.array([[0.25, 0.625, 0.125]]), np.array([[0.5]])).tolist()
    [[0.75, 0.3125, 0.9375]]
    """
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, axis=-1)
    scores = np.empty_like(probabilities)
    np.put_along_axis(scores, order, ordered.cumsum(axis=-1) - (1 - u) * ordered, axis=-1)
    return scores


# Targets


def _band(predictive: Predictive, score: str, coverage: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the ends of the network's own intervals and the scale they are widened by, float64 [n, d] each."""
    if score == "normalized":
        mean, stddev = (np.asarray(part, "float64") for part in (predictive.mean(), predictive.stddev()))
        return mean, mean, stddev
    low, high = np.asarray(predictive.quantiles(((1 - coverage) / 2, (1 + coverage) / 2)))
    return low, high, np.ones_like(low)


def _excess(targets: np.ndarray, low: np.ndarray, high: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Returns how far targets lie outside of bands, in their scales; infinite where a band is not finite.

    Args:
        targets: [n, d].
        low: lower ends of the bands, [n, d].
        high: upper ends.
        scale: of the bands.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.maximum(low - targets, targets - high)
        # A network that is sure, with no scale, is right or infinitely wrong.
        excess = np.where(excess == 0, 0.0, excess / scale)
    return np.where(np.isfinite(low + high + scale), excess, np.inf)


def _widened(low: np.ndarray, high: np.ndarray, reach: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ends of bands after each was moved outwards by `reach`, or inwards if that is negative."""
    known = np.isfinite(low + high + reach)
    low, high, reach = (np.where(known, part, 0.0) for part in (low, high, reach))
    # Rounding must not take out a target whose score is the threshold: equal inputs may have equal targets.
    slack = _ROUNDING * (np.abs(low) + np.abs(high) + np.abs(reach))
    low, high = low - reach - slack, high + reach + slack
    if kind == "counts":
        low, high = np.ceil(low), np.floor(high)
    middle = (low + high) / 2
    empty = low > high
    low, high = np.where(empty, middle, low), np.where(empty, middle, high)
    if kind == "counts":
        low, high = np.maximum(np.floor(low), 0.0), np.maximum(np.floor(high), 0.0)
    return np.where(known, low, -np.inf), np.where(known, high, np.inf)


# Arguments


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"`{name}` must be {' or '.join(map(repr, choices))}. Received: {name}={value!r}")


def _check_coverage(coverage: Any) -> None:
    if not isinstance(coverage, numbers.Real) or not 0 < coverage < 1:
        raise ValueError(f"`coverage` must be a number between 0 and 1. Received: coverage={coverage!r}")


def _check_classifier(predictive: Any) -> None:
    check_classes_of("predictive", predictive)
    _check_inputs(predictive)


def _check_regression(predictive: Any) -> None:
    if not isinstance(predictive, Predictive) or predictive.likelihood.target_kind not in ("real", "counts"):
        raise ValueError(
            "`predictive` must be a Predictive of real targets or of counts; for sets of classes see `calibrate_sets`. "
            f"Received: {predictive!r}"
        )
    _check_inputs(predictive)


def _check_inputs(predictive: Predictive) -> None:
    check_no_positions(
        "predictive",
        predictive,
        "The guarantee is of exchangeable inputs, and the positions of an input are not: choose one of each input.",
    )


def _check_draws(predictive: Predictive, num_draws: int) -> None:
    if len(predictive.outputs) != num_draws:
        raise ValueError(
            f"The guarantee is of the draws of the weights that were calibrated: predict with num_draws={num_draws} "
            f"and the same `seed`. Received: {predictive!r}"
        )


def _targets(predictive: Predictive, y: np.ndarray) -> np.ndarray:
    """Returns a row of targets for each input, [n, d]; raises ValueError if they do not fit."""
    return targets_beside(predictive.likelihood, predictive.outputs, y, None).astype("float64")


def _labels(predictive: Predictive, y: np.ndarray) -> np.ndarray:
    """Returns the label of each input, integers [n]; raises ValueError if they do not fit."""
    return targets_beside(predictive.likelihood, predictive.outputs, y, None)[:, 0].astype(int)
